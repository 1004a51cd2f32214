/*
 * synthesis/values.h: one column's coarse codes into values; what a stream is made of.
 *
 * Within a bin the fine cells are drawn systematically by their noisy masses, then dealt to the bin's rows in random
 * order: of m rows in a bin, a cell of share p gets floor(m p) or ceil(m p), and columns stay independent given their
 * codes. Codes that cannot be emitted (NULL in a NOT NULL column, `other` without a label there) are drawn from the
 * whole column instead.
 */
#ifndef MIRAGE_SYNTHESIS_VALUES_H
#define MIRAGE_SYNTHESIS_VALUES_H

#include "synthesis/synthesis.h"

typedef struct mg_decoder_column mg_decoder_column;

/* All memory is the arena's. The decoder keeps a reference to the column. */
mg_code mg_values_prepare(mg_ctx *ctx, mg_arena *a, const mg_column *col, mg_decoder_column **out);
/*
 * The same under a condition (synthesis/condition.h), which is not kept: only values that satisfy it are drawn, in the
 * proportions that they had. weight[ncoarse]: the probability that a value drawn for this code without the condition
 * satisfies it; a code of weight zero must not occur.
 */
struct mg_condition;
mg_code mg_values_prepare_given(mg_ctx *ctx, mg_arena *a, const mg_column *col, const struct mg_condition *given,
								mg_decoder_column **out, double *weight);
/* Does a code say all: is every bin one label, one number or NULL? */
bool mg_values_fixed(const mg_decoder_column *dc);
/* One value of this code in [low, high], by the masses of what is there; false where nothing is. Never NULL. */
bool mg_values_within(const mg_decoder_column *dc, mg_rng *rng, uint16_t code, double low, double high, double *out);
/* Working memory of mg_values_fill, to be shared by all columns of a stream. */
typedef struct mg_values_scratch
{
	uint16_t *cell, *pool;  /* [MG_BATCH_ROWS] */
	uint32_t *left, *start; /* [the most coarse codes of any column] */
} mg_values_scratch;

/* codes[n], n <= MG_BATCH_ROWS, each below the column's ncoarse. Fills null, and label or number. */
void mg_values_fill(const mg_decoder_column *dc, mg_rng *rng, const uint16_t *codes, uint32_t n, mg_values_scratch *s,
					mg_values *out);
/*
 * The same values of row[0..nrows-1] alone, which ascend; the other rows' are left as they are. `codes` are those of
 * all n rows.
 */
void mg_values_fill_rows(const mg_decoder_column *dc, mg_rng *rng, const uint16_t *codes, uint32_t n,
						 const uint16_t *row, uint32_t nrows, mg_values_scratch *s, mg_values *out);
/*
 * May a value of this code satisfy the condition, seen through snap (NULL: as drawn), which must be monotone? False
 * only where none does; redraws within the code's cells (mg_values_within) are covered.
 */
bool mg_values_may(const mg_decoder_column *dc, uint16_t code, const struct mg_condition *c, mg_snap snap, void *arg);
/* One value of `code` into row i, a function of the generator's state alone: no share of a batch is dealt out. */
void mg_values_draw(const mg_decoder_column *dc, mg_rng *rng, uint16_t code, uint32_t i, mg_values *out);
/* The same of a fine cell; of its code where the cell alone cannot be emitted. */
void mg_values_draw_cell(const mg_decoder_column *dc, mg_rng *rng, uint32_t fine, uint32_t i, mg_values *out);

#endif
