/*
 * model/bins.h: fine cells into coarse codes, from noisy masses alone.
 *
 * A marginal over bins meets fresh noise in each of its cells, so a bin must be heavy against that noise; and values
 * that matter by themselves (a zero, a cap) must not be mixed with others. MG_BINS_MERGED keeps both rules; the other
 * two ways are what it is compared with (docs/methods.md). Layout of the codes: table/domain.h.
 */
#ifndef MIRAGE_MODEL_BINS_H
#define MIRAGE_MODEL_BINS_H

#include "table/domain.h"

typedef enum mg_binning
{
	MG_BINS_MERGED,   /* about equal mass, each bin heavy against the noise, heavy single values apart */
	MG_BINS_UNIFORM,  /* of equal width on the column's axis, whatever they hold */
	MG_BINS_QUANTILE, /* of equal mass, whatever the noise */
} mg_binning;

typedef struct mg_bin_rule
{
	mg_binning how;
	double least;  /* mass below which a bin drowns in the noise that it will meet */
	uint32_t most; /* bins of a number, NULL not counted; >= 1 */
} mg_bin_rule;

/*
 * Fills merge[nfine] and *ncoarse. cells: of a number, [nfine - 1]; a category has none. Numbers, merged: runs of
 * neighbouring cells of about equal mass; a cell as heavy as a whole bin stands alone; what is lighter than `least`
 * joins a neighbour. Uniform, by quantile: a cell goes to the bin in which its middle falls, of `most`; bins without a
 * cell have no code. Categories, whichever way: labels below `least` share one bin,
 * which takes `other` in when that is light too and is a bin of its own otherwise. NULL: see table/domain.h.
 */
mg_code mg_bins_merge(mg_ctx *ctx, mg_arena *a, const mg_domain *d, const mg_cell *cells, const double *fine,
					  uint32_t nfine, const mg_bin_rule *rule, uint16_t *merge, uint32_t *ncoarse);

#endif
