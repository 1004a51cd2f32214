/*
 * graphical/triangulate.h: from the sets of columns that a model must hold to a small junction tree over them.
 *
 * The graph has an edge between any two columns of one set. Eliminating the columns in some order makes it chordal, and
 * its maximal cliques are those of a junction tree; orders are found greedily by fill, by fill weighted with sizes, and
 * by the size of the clique made (Kjaerulff 1990), with chance among the best in restarts, beside the order of the
 * columns themselves, and the one with the fewest cells in all cliques wins, in each connected part on its own. A
 * function of its arguments: the generator is seeded by a constant.
 */
#ifndef MIRAGE_GRAPHICAL_TRIANGULATE_H
#define MIRAGE_GRAPHICAL_TRIANGULATE_H

#include "graphical/junction.h"

/*
 * Every set lies within a clique, every column is in one, no clique lies within another. restarts: further random
 * orders beside the greedy ones. MG_INVALID: a set that mg_junction_build would refuse, or a clique of too many
 * columns or cells.
 */
mg_code mg_triangulate(mg_ctx *ctx, mg_arena *a, const uint32_t *sizes, uint32_t ncolumns, const mg_column_set *sets,
					   uint32_t nsets, uint32_t restarts, mg_junction *out);

/*
 * What a model of these sets and one more would weigh: cells of all cliques of mg_triangulate without restarts, as a
 * double, since it may be astronomical (even infinite). Where `extra` lies within a clique of the base already, the
 * base does as it is. Prepared once for the sets; cheap for each `extra` (ascending, in range; not checked).
 */
typedef struct mg_growth mg_growth;
mg_code mg_growth_create(mg_ctx *ctx, mg_arena *a, const uint32_t *sizes, uint32_t ncolumns, const mg_column_set *sets,
						 uint32_t nsets, mg_growth **out);
double mg_growth_cells(mg_growth *g, const uint32_t *extra, uint32_t k); /* k 0: of the sets alone */
/* The same for one `extra`, with nothing prepared. */
mg_code mg_grown_cells(mg_ctx *ctx, const uint32_t *sizes, uint32_t ncolumns, const mg_column_set *sets, uint32_t nsets,
					   const uint32_t *extra, uint32_t k, double *cells);

#endif
