/*
 * graphical/candidates.h: the marginals that a workload asks for, and those below them (downward closure), as
 * candidates for measurement.
 */
#ifndef MIRAGE_GRAPHICAL_CANDIDATES_H
#define MIRAGE_GRAPHICAL_CANDIDATES_H

#include "curator/workload.h"
#include "graphical/factor.h"

typedef struct mg_candidates
{
	uint32_t count;
	mg_marginal_of *set; /* columns ascending; pairs first */
	size_t *cells;
	uint32_t *weight; /* 1 .. 2^16: how much of the workload a set bears on */
	size_t all_cells, most_cells;
} mg_candidates;

/*
 * All pairs, and for degree 3 all triples, of columns of these sizes, of at most `most_cells` cells each and, smallest
 * first, `all_cells` together. The weight of a set r is proportional to sum over the workload's sets s of |r and s|
 * (McKenna et al. 2022, section 4), the workload being all sets of `degree` columns. A function of public figures.
 */
mg_code mg_candidates_list(mg_ctx *ctx, mg_arena *a, const uint32_t *sizes, uint32_t ncolumns, uint32_t degree,
						   size_t most_cells, size_t all_cells, mg_candidates *out);

#endif
