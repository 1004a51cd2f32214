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
 * What may be measured: all pairs, and for degree 3 all triples, of columns of these sizes; or, where a workload is
 * given, its sets and all their subsets of two columns and more. Of at most `most_cells` cells each and `all_cells`
 * together, pairs first, then smallest first. The weight of a set r is proportional to the sum over the workload's sets
 * s of c_s |r and s| (McKenna et al. 2022, section 4), the workload being all sets of `degree` columns where none is
 * given. A function of public figures.
 *
 * workload: sets separated by MG_SETS_APART, each the names of its columns separated by MG_NAMES_APART, then, where it
 * is not 1, MG_WEIGHT_APART and its weight. MG_UNKNOWN: a column that is not there; MG_INVALID: of less than two
 * or more than MG_MOST_WORKLOAD_COLUMNS columns, or a weight that is not in 0 < c <= 1e9.
 */
#define MG_MOST_WORKLOAD_COLUMNS 6
#define MG_NAMES_APART '\x1f'
#define MG_SETS_APART '\x1e'
#define MG_WEIGHT_APART '\x1d'
mg_code mg_candidates_list(mg_ctx *ctx, mg_arena *a, const mg_column *columns, uint32_t ncolumns, uint32_t degree,
						   const char *workload, size_t most_cells, size_t all_cells, mg_candidates *out);
/* Only checks the text; for plans. */
mg_code mg_workload_check(mg_ctx *ctx, const mg_domain *domains, uint32_t ncolumns, const char *workload);

#endif
