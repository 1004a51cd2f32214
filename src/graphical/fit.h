/*
 * graphical/fit.h: the steps of a fit that independent and mst share. All of it sees noisy figures only.
 */
#ifndef MIRAGE_GRAPHICAL_FIT_H
#define MIRAGE_GRAPHICAL_FIT_H

#include "graphical/body.h"
#include "graphical/split.h"

/* A chosen pair of columns and its measurement. */
typedef struct mg_pair
{
	uint32_t cols[2]; /* ascending */
	size_t cells;
	mg_ratio sigma2;
	const double *y; /* [cells] */
} mg_pair;

/*
 * sigma2[i] = sigma_i^2 of n Gaussian measurements with sum k^2 / (2 sigma_i^2) <= rho, k the rows of a unit, that
 * minimise the expected sum of absolute noise, sum_i cells_i sigma_i: sigma_i proportional to cells_i^(-1/3). Rounded
 * up, so that the charge stays within rho.
 */
mg_code mg_allocate_noise(mg_ctx *ctx, const size_t *cells, uint32_t n, double rho, uint32_t k, mg_ratio *sigma2);

/* An empty model with its columns made by discretisation, and the body's split filled in. */
mg_code mg_begin_model(mg_ctx *ctx, mg_curator *c, const mg_fit_request *req, const mg_method *method,
					   const mg_split *split, mg_model **out, mg_graphical **body);

/* Noisy one-way marginals as probabilities, all positive: one array a column, in arena a. */
mg_code mg_oneway_probabilities(mg_ctx *ctx, mg_arena *a, const mg_model *m, double ***out);

/*
 * Builds the tree of these pairs and of the columns that no pair has, and estimates it from pairs and one-way
 * marginals.
 */
mg_code mg_finish_model(mg_ctx *ctx, mg_model *m, mg_graphical *body, const mg_pair *pairs, uint32_t npairs);

#endif
