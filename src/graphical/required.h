/*
 * graphical/required.h: what a model must hold whatever selection says, from the public part of the request: structural
 * zeros, and each dependent column with its determinants.
 */
#ifndef MIRAGE_GRAPHICAL_REQUIRED_H
#define MIRAGE_GRAPHICAL_REQUIRED_H

#include "graphical/learn.h"

typedef struct mg_required
{
	mg_zero_set *zeros; /* cliques of the model */
	uint32_t nzeros;
	mg_column_set *sets; /* to be measured */
	uint32_t nsets;
} mg_required;

/*
 * columns: discretised. Zero sets are taken in the order of the constraints: those with which the model that holds
 * nothing else has at most `most_cells` cells and some row is still possible. Then dependencies, while there is room.
 * Constraints whose zeros are taken are marked MG_HOW_ZEROS, the others stay as they are.
 */
mg_code mg_required_list(mg_ctx *ctx, mg_arena *a, const mg_fit_request *req, const mg_model *m, double most_cells,
						 mg_required *out);

#endif
