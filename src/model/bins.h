/*
 * model/bins.h: fine cells into coarse codes, from noisy masses alone.
 *
 * A marginal over bins meets fresh noise in each of its cells, so a bin must be heavy against that noise; and values
 * that matter by themselves (a zero, a cap) must not be mixed with others. Layout of the codes: table/domain.h.
 */
#ifndef MIRAGE_MODEL_BINS_H
#define MIRAGE_MODEL_BINS_H

#include "table/domain.h"

typedef struct mg_bin_rule
{
	double least;  /* mass below which a bin drowns in the noise that it will meet */
	uint32_t most; /* bins of a number, NULL not counted; >= 1 */
} mg_bin_rule;

/*
 * Fills merge[nfine] and *ncoarse. Numbers: runs of neighbouring cells of about equal mass; a cell as heavy as a whole
 * bin stands alone; what is lighter than `least` joins a neighbour. Categories: labels below `least` share one bin,
 * which takes `other` in when that is light too and is a bin of its own otherwise. NULL: see table/domain.h.
 */
mg_code mg_bins_merge(mg_ctx *ctx, mg_arena *a, const mg_domain *d, const double *fine, uint32_t nfine,
					  const mg_bin_rule *rule, uint16_t *merge, uint32_t *ncoarse);

#endif
