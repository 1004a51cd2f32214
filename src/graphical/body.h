/*
 * graphical/body.h: what a graphical model holds; shared by the methods of this folder. Everything belongs to
 * the model's arena.
 */
#ifndef MIRAGE_GRAPHICAL_BODY_H
#define MIRAGE_GRAPHICAL_BODY_H

#include "graphical/estimate.h"
#include "model/model.h"

/* A set of columns that was measured, with the noise of one count. */
typedef struct mg_measured
{
	uint32_t k;
	const uint32_t *cols; /* ascending */
	double sigma;
} mg_measured;

typedef struct mg_graphical
{
	mg_junction tree;
	mg_factor *marginal;   /* [tree.count] calibrated, each summing to the model's total */
	mg_measured *measured; /* [nmeasured] beside the single columns */
	uint32_t nmeasured;
	mg_split split;
	uint32_t rounds; /* of private selection */
	mg_estimate_report report;
} mg_graphical;

/* Columns' sizes as an array. */
mg_code mg_column_sizes(mg_ctx *ctx, mg_arena *a, const mg_column *columns, uint32_t n, uint32_t **out);

mg_code mg_graphical_write(mg_ctx *ctx, const mg_model *m, mg_writer *w);
mg_code mg_graphical_read(mg_ctx *ctx, mg_model *m, mg_reader *r);
mg_code mg_graphical_describe(mg_ctx *ctx, const mg_model *m, mg_writer *w);
/* An mg_method.marginal: of columns that lie within one clique. */
mg_code mg_graphical_marginal(mg_ctx *ctx, const mg_model *m, const uint32_t *cols, uint32_t k, double *out,
							  bool *answered);
mg_code mg_graphical_compile(mg_ctx *ctx, const mg_model *m, mg_sampler **out);
/* branches.c; see mg_method in model/model.h */
mg_code mg_graphical_branches(mg_ctx *ctx, const mg_model *m, mg_arena *a, const mg_branch **out, uint32_t *n);
/* condition.c; see mg_method in model/model.h */
mg_code mg_graphical_condition(mg_ctx *ctx, const mg_model *m, const double *const *weight, mg_sampler **out,
							   double *log_probability);

#endif
