/*
 * graphical/split.h: options of this folder's methods, how they split rho, and the plan that follows; public
 * figures only.
 */
#ifndef MIRAGE_GRAPHICAL_SPLIT_H
#define MIRAGE_GRAPHICAL_SPLIT_H

#include "model/model.h"

/* What aim and swift are told beside the shares. */
typedef struct mg_search_options
{
	uint32_t degree;      /* the workload: all sets of so many columns, 2 or 3 */
	double max_model_mb;  /* of the tables of the model's cliques, in MiB */
	const char *workload; /* other than all sets: see mg_candidates_list; NULL: none */
} mg_search_options;

/*
 * MG_UNKNOWN: an option that the method does not have (hint: its names). MG_INVALID: a value that is no
 * number, or out of range.
 */
mg_code mg_split_mst(mg_ctx *ctx, const mg_fit_request *req, mg_split *out);
mg_code mg_split_independent(mg_ctx *ctx, const mg_fit_request *req, mg_split *out);
mg_code mg_split_aim(mg_ctx *ctx, const mg_fit_request *req, mg_split *out, mg_search_options *search);
mg_code mg_split_swift(mg_ctx *ctx, const mg_fit_request *req, mg_split *out, mg_search_options *search);

/*
 * Most cells of the model: max_model_mb, but no more than estimation has memory for (half of the request's, five tables
 * of doubles a cell).
 */
double mg_search_cells(const mg_fit_request *req, const mg_search_options *search);

/* What discretisation is asked for under this split. */
void mg_split_discretize(const mg_fit_request *req, const mg_split *split, mg_discretize_options *out);

/* The items of discretisation, then `extra` more. */
mg_code mg_split_plan(mg_ctx *ctx, mg_arena *a, const mg_fit_request *req, const mg_split *split,
					  const mg_plan_item *extra, uint32_t nextra, mg_plan *out);

#endif
