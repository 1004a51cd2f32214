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
	uint32_t *from;      /* [nzeros] the constraint of each */
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

/*
 * Gives up zeros, the last first, until the model of these sets and what is left of them has at most `most_cells`
 * cells; their constraints are marked MG_HOW_REDRAWS. For sets that were chosen without regard to them.
 */
mg_code mg_required_trim(mg_ctx *ctx, const mg_fit_request *req, const mg_model *m, const mg_column_set *sets,
						 uint32_t nsets, double most_cells, mg_required *required);

#endif
