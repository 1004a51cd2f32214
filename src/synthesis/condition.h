/*
 * synthesis/condition.h: a model under conditions on single columns.
 *
 * A condition says which values of a column satisfy it; several are a conjunction. Rows of a conditioned model have the
 * distribution that the model's own rows have among those that satisfy them all, and every one of them does satisfy
 * them. Exact: codes by the method's inference (mg_method.condition), values within a code by what of its fine cells
 * satisfies the condition. Post-processing.
 */
#ifndef MIRAGE_SYNTHESIS_CONDITION_H
#define MIRAGE_SYNTHESIS_CONDITION_H

#include "synthesis/synthesis.h"
#include "synthesis/values.h"

/* A closed interval of a number's axis; -inf and inf: no bound. */
typedef struct mg_interval
{
	double low, high;
} mg_interval;

/* What satisfies a condition on one column is what comes out as such: `other` without a label is NULL here. */
typedef struct mg_condition
{
	uint32_t col;
	bool null;                   /* does NULL satisfy it? */
	const bool *label;           /* category: [nlabels + 1], the last for the declared label of `other` */
	const mg_interval *interval; /* number: sorted, disjoint, low <= high */
	uint32_t nintervals;
} mg_condition;

#define MG_CONDITION_INTERVALS 8192 /* most intervals of a condition */

/*
 * Works out everything that drawing needs; the model is referred to, the conditions (at most one a column) are not.
 * MG_IMPOSSIBLE: the model gives them no probability. MG_INVALID: the method cannot be conditioned.
 */
typedef struct mg_conditioned mg_conditioned;
mg_code mg_conditioned_create(mg_ctx *ctx, const mg_model *m, const mg_condition *condition, uint32_t n,
							  mg_conditioned **out);
/* NULL allowed. Not before the streams that were made of it. */
void mg_conditioned_destroy(mg_conditioned *c);
/* That a row of the model satisfies the conditions; zero where a double cannot hold it. */
double mg_conditioned_probability(const mg_conditioned *c);

/*
 * As mg_stream_create: batch b is a function of (model, key, b, its number of rows, conditions). Streams of one
 * conditioned model share its sampler, so they belong to one thread.
 */
mg_code mg_stream_create_conditioned(mg_ctx *ctx, const mg_conditioned *c, const uint8_t key[32], mg_stream **out);

/* Has a condition on a number an interval that meets [low, high], give or take the last places? */
bool mg_condition_admits(const mg_condition *c, double low, double high);

/* [ncoarse] the probability that each code of a column satisfies its condition; NULL: the column is free. */
const double *mg_conditioned_weight(const mg_conditioned *c, uint32_t col);
/* What a stream takes from it: the sampler, which stays its own, and a column's decoder, NULL where it is free. */
const mg_model *mg_conditioned_model(const mg_conditioned *c);
mg_sampler *mg_conditioned_sampler(const mg_conditioned *c);
mg_decoder_column *mg_conditioned_decoder(const mg_conditioned *c, uint32_t col);

#endif
