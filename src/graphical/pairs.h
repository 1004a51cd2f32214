/*
 * graphical/pairs.h: pairs of columns scored against independence; what mst and swift choose from.
 */
#ifndef MIRAGE_GRAPHICAL_PAIRS_H
#define MIRAGE_GRAPHICAL_PAIRS_H

#include "model/model.h"

typedef struct mg_pairs
{
	size_t count;
	uint32_t (*cols)[2]; /* [count] ascending */
	size_t *cells;
	mg_candidate *item; /* [count] for the curator; penalties 0 */
	const uint32_t *sizes;
	double *const *oneway; /* [columns] probabilities, positive */
	double total;          /* noisy, at least 1 */
} mg_pairs;

/* All pairs of at most `most_cells` cells. m: columns discretised, kept by reference as all else is in arena a. */
mg_code mg_pairs_list(mg_ctx *ctx, mg_arena *a, const mg_model *m, size_t most_cells, mg_pairs *out);

/* Scores |exact - total * product of one-way probabilities|_1 - penalty inside the curator. At least one pair. */
mg_code mg_pairs_score(mg_ctx *ctx, mg_curator *c, mg_pairs *pairs, mg_selection **out);

#endif
