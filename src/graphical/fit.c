/*
 * graphical/fit.c: see fit.h. Memory: what outlives a step belongs to the model's arena, scratch to an arena of
 * the step.
 */
#include "graphical/fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Nats a cell: the likelihood of the noise itself varies by about a nat a cell. */
#define TOLERANCE 1e-4
#define MOST_ITERATIONS 2000

mg_code
mg_allocate_noise(mg_ctx *ctx, const size_t *cells, uint32_t n, double rho, uint32_t k, mg_ratio *sigma2)
{
	double sum = 0;

	/*
	 * k^2 / (2 sigma_i^2) = rho w_i / sum w with w_i = cells_i^(2/3), by Lagrange's condition cells_i = lambda
	 * sigma_i^-3
	 */
	for (uint32_t i = 0; i < n; i++)
		sum += cbrt((double) cells[i] * (double) cells[i]);
	for (uint32_t i = 0; i < n; i++)
	{
		double w = cbrt((double) cells[i] * (double) cells[i]);

		if (!mg_noise_for_rows(rho * w / sum, k, &sigma2[i]))
			return mg_fail(ctx, MG_INVALID, "the privacy budget is too small to measure anything");
	}
	return MG_OK;
}

mg_code
mg_begin_model(mg_ctx *ctx, mg_curator *c, const mg_fit_request *req, const mg_method *method, const mg_split *split,
			   mg_model **out, mg_graphical **body)
{
	mg_discretize_options opt;
	mg_model *m;
	mg_code code = MG_OK;

	MG_TRY(mg_model_create(ctx, method, req->ncolumns, 0, &m));
	*body = mg_arena_alloc(m->arena, 1, sizeof(**body));
	if (*body == NULL)
		code = mg_fail(ctx, MG_NOMEM, "out of memory");
	else
	{
		(*body)->split = *split;
		m->body = *body;
		mg_split_discretize(req, split, &opt);
		code = mg_discretize(ctx, c, req->domains, req->ncolumns, &opt, m->arena, m->columns);
	}
	if (code != MG_OK)
	{
		mg_model_destroy(m);
		return code;
	}
	*out = m;
	return MG_OK;
}

mg_code
mg_oneway_probabilities(mg_ctx *ctx, mg_arena *a, const mg_model *m, double ***out)
{
	double **p;

	MG_NEW(ctx, a, p, m->ncolumns);
	for (uint32_t i = 0; i < m->ncolumns; i++)
	{
		const mg_column *col = &m->columns[i];
		double sum = 0;

		MG_NEW(ctx, a, p[i], col->ncoarse);
		/* a floor of a fraction of the noise: what was measured as nothing may still hold a little */
		for (uint32_t x = 0; x < col->ncoarse; x++)
		{
			double floor = 0.1 * sqrt(col->coarse_var[x]);

			p[i][x] = col->coarse[x] > floor ? col->coarse[x] : floor;
			p[i][x] = p[i][x] > 1e-6 ? p[i][x] : 1e-6;
			sum += p[i][x];
		}
		for (uint32_t x = 0; x < col->ncoarse; x++)
			p[i][x] /= sum;
	}
	*out = p;
	return MG_OK;
}

/* Measurements of the pairs, then of every column. */
static mg_code
list_measurements(mg_ctx *ctx, mg_arena *a, const mg_model *m, const mg_pair *pairs, uint32_t npairs,
				  mg_measurement **out)
{
	mg_measurement *list = NULL;
	uint32_t *index;

	MG_NEW(ctx, a, list, (size_t) npairs + m->ncolumns);
	MG_NEW(ctx, a, index, m->ncolumns);
	for (uint32_t i = 0; i < npairs; i++)
		list[i] =
			(mg_measurement){.k = 2, .cols = pairs[i].cols, .y = pairs[i].y, .var = mg_ratio_value(pairs[i].sigma2)};
	for (uint32_t i = 0; i < m->ncolumns; i++)
	{
		const mg_column *col = &m->columns[i];
		double *var;

		MG_NEW(ctx, a, var, col->ncoarse);
		for (uint32_t x = 0; x < col->ncoarse; x++)
			var[x] = col->coarse_var[x] > 1e-9 ? col->coarse_var[x] : 1e-9;
		index[i] = i;
		list[npairs + i] = (mg_measurement){.k = 1, .cols = &index[i], .y = col->coarse, .cell_var = var};
	}
	*out = list;
	return MG_OK;
}

/* Cliques: the pairs, and each column that is in none. */
static mg_code
build_tree(mg_ctx *ctx, mg_arena *a, const mg_model *m, mg_graphical *body, const mg_pair *pairs, uint32_t npairs)
{
	uint32_t *sizes, *index, n = npairs;
	mg_column_set *sets;
	bool *covered;

	MG_TRY(mg_column_sizes(ctx, a, m->columns, m->ncolumns, &sizes));
	MG_NEW(ctx, a, sets, (size_t) npairs + m->ncolumns);
	MG_NEW(ctx, a, index, m->ncolumns);
	MG_NEW(ctx, a, covered, m->ncolumns);
	for (uint32_t i = 0; i < npairs; i++)
	{
		sets[i] = (mg_column_set){.k = 2, .cols = pairs[i].cols};
		covered[pairs[i].cols[0]] = covered[pairs[i].cols[1]] = true;
	}
	for (uint32_t i = 0; i < m->ncolumns; i++)
	{
		index[i] = i;
		if (!covered[i])
			sets[n++] = (mg_column_set){.k = 1, .cols = &index[i]};
	}
	return mg_junction_build(ctx, m->arena, sizes, m->ncolumns, sets, n, &body->tree);
}

static mg_code
finish(mg_ctx *ctx, mg_arena *a, mg_model *m, mg_graphical *body, const mg_pair *pairs, uint32_t npairs)
{
	mg_estimate_options opt = {.tolerance = TOLERANCE, .max_iterations = MOST_ITERATIONS};
	mg_measurement *list = NULL;
	uint32_t count = npairs + m->ncolumns;

	MG_TRY(build_tree(ctx, a, m, body, pairs, npairs));
	MG_TRY(list_measurements(ctx, a, m, pairs, npairs, &list));
	MG_NEW(ctx, m->arena, body->measured, (size_t) npairs + 1);
	for (uint32_t i = 0; i < npairs; i++)
	{
		uint32_t *cols;

		MG_NEW(ctx, m->arena, cols, 2);
		memcpy(cols, pairs[i].cols, 2 * sizeof(*cols));
		body->measured[body->nmeasured++] =
			(mg_measured){.k = 2, .cols = cols, .sigma = sqrt(mg_ratio_value(pairs[i].sigma2))};
	}
	MG_TRY(mg_junction_factors(ctx, m->arena, &body->tree, &body->marginal));
	m->total = mg_estimate_total(body->tree.size, list, count);
	return mg_estimate_tree(ctx, &body->tree, list, count, m->total, &opt, body->marginal, &body->report);
}

mg_code
mg_finish_model(mg_ctx *ctx, mg_model *m, mg_graphical *body, const mg_pair *pairs, uint32_t npairs)
{
	mg_arena *scratch = mg_arena_create(0);
	mg_code code;

	if (scratch == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	code = finish(ctx, scratch, m, body, pairs, npairs);
	mg_arena_destroy(scratch);
	return code;
}
