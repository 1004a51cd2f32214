/*
 * graphical/marginals.h: marginals of a calibrated junction tree over any sets of columns, in one clique or across
 * several, exactly.
 *
 * Within a clique: summed out of the smallest clique that holds the set. Across: elimination along the tree, carrying
 * tables over (columns wanted so far, separator); pairs share the tables of their first column, so that all pairs take
 * one pass over the tree a column.
 */
#ifndef MIRAGE_GRAPHICAL_MARGINALS_H
#define MIRAGE_GRAPHICAL_MARGINALS_H

#include "graphical/junction.h"

/*
 * f: calibrated marginals, one a clique, all of one total. out[i]: [product of the sizes of sets[i]], row-major in the
 * order of its (ascending) columns; sums to the total. NULL where it is not wanted. most_cells: of a set across
 * cliques, neither the result nor a table that carries wanted columns to it may have more; sets that would need one are
 * left alone and answered[i] is false (a public rule: structure and sizes only). Not wanted: false. Runs on ctx's pool,
 * with the same bits whatever its width.
 */
mg_code mg_junction_marginals(mg_ctx *ctx, const mg_junction *j, const mg_factor *f, const mg_column_set *sets,
							  uint32_t count, size_t most_cells, double *const *out, bool *answered);

#endif
