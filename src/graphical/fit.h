/*
 * graphical/fit.h: the steps of a fit that the methods of this folder share. All of it sees noisy figures only.
 */
#ifndef MIRAGE_GRAPHICAL_FIT_H
#define MIRAGE_GRAPHICAL_FIT_H

#include "graphical/body.h"
#include "graphical/required.h"
#include "graphical/split.h"

/* A set of columns that was chosen, and its measurement. */
typedef struct mg_set
{
	uint32_t k;
	const uint32_t *cols; /* ascending */
	size_t cells;
	mg_ratio sigma2;
	const int64_t *noisy; /* [cells] */
} mg_set;

/* One that is not measured yet. */
mg_code mg_set_make(mg_ctx *ctx, const mg_model *m, const mg_column_set *cols, mg_set *out);

/*
 * sigma2[i] = sigma_i^2 of n Gaussian measurements with sum k^2 / (2 sigma_i^2) <= rho, k the rows of a unit, that
 * minimise the expected sum of absolute noise, sum_i cells_i sigma_i: sigma_i proportional to cells_i^(-1/3). Rounded
 * up, so that the charge stays within rho.
 */
mg_code mg_allocate_noise(mg_ctx *ctx, const size_t *cells, uint32_t n, double rho, uint32_t k, mg_ratio *sigma2);

/* An empty model with its columns made by discretisation, and the body's split filled in. */
mg_code mg_begin_model(mg_ctx *ctx, mg_curator *c, const mg_fit_request *req, const mg_method *method,
					   const mg_split *split, mg_model **out, mg_graphical **body);

/* The end of a fit: the model goes to *out where the code is MG_OK, else it is destroyed. Returns the code. */
mg_code mg_hand_over(mg_code code, mg_model *m, mg_model **out);

/* Noisy one-way marginals as probabilities, all positive: one array a column, in arena a. */
mg_code mg_oneway_probabilities(mg_ctx *ctx, mg_arena *a, const mg_model *m, double ***out);

/* Measures the sets together, with noise as mg_allocate_noise shares out rho; in arena a. */
mg_code mg_measure_sets(mg_ctx *ctx, mg_curator *c, mg_arena *a, mg_set *sets, uint32_t n, double rho);

/*
 * Builds the model of these sets, what is required and all columns, and estimates it from sets and one-way marginals:
 * exactly and without a prior where the sets are a forest of pairs and nothing is impossible (mg_estimate_tree), with
 * the prior's weight gamma otherwise.
 */
mg_code mg_finish_model(mg_ctx *ctx, mg_model *m, mg_graphical *body, const mg_set *sets, uint32_t n,
						const mg_required *required, double gamma);

#endif
