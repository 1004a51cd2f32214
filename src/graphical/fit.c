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
list_measurements(mg_ctx *ctx, mg_arena *a, const mg_model *m, const mg_set *pairs, uint32_t npairs,
				  mg_measurement **out)
{
	mg_measurement *list = NULL;
	uint32_t *index;

	MG_NEW(ctx, a, list, (size_t) npairs + m->ncolumns);
	MG_NEW(ctx, a, index, m->ncolumns);
	for (uint32_t i = 0; i < npairs; i++)
	{
		double *y;

		MG_NEW(ctx, a, y, pairs[i].cells);
		for (size_t x = 0; x < pairs[i].cells; x++)
			y[x] = (double) pairs[i].noisy[x];
		list[i] = (mg_measurement){.k = 2, .cols = pairs[i].cols, .y = y, .var = mg_ratio_value(pairs[i].sigma2)};
	}
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
build_tree(mg_ctx *ctx, mg_arena *a, const mg_model *m, mg_graphical *body, const mg_set *pairs, uint32_t npairs)
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
finish_tree(mg_ctx *ctx, mg_arena *a, mg_model *m, mg_graphical *body, const mg_set *pairs, uint32_t npairs)
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

static mg_code
finish_network(mg_ctx *ctx, mg_arena *a, mg_model *m, mg_graphical *body, const mg_set *sets, uint32_t n,
			   const mg_required *required, double gamma)
{
	static const mg_learn_options how = {.tolerance = 2e-3, .iterations = 500, .steps = 1, .restarts = 50};
	mg_learner *l = NULL;
	mg_code code = mg_learner_create(ctx, a, m, gamma, required->zeros, required->nzeros, &l);

	for (uint32_t i = 0; i < n && code == MG_OK; i++)
		code = mg_learner_add(ctx, l, sets[i].cols, sets[i].k, sets[i].noisy, mg_ratio_value(sets[i].sigma2));
	if (code == MG_OK)
		code = mg_learner_fit(ctx, l, &how);
	if (code == MG_OK)
		code = mg_learner_finish(ctx, l, m, body);
	mg_learner_destroy(l);
	return code;
}

/* Are they pairs, and no cycle among them? */
static mg_code
is_forest(mg_ctx *ctx, mg_arena *a, const mg_set *sets, uint32_t n, uint32_t ncolumns, bool *out)
{
	uint32_t *part;

	*out = true;
	MG_NEW(ctx, a, part, ncolumns);
	for (uint32_t i = 0; i < ncolumns; i++)
		part[i] = i;
	for (uint32_t i = 0; i < n && *out; i++)
	{
		uint32_t from = part[sets[i].cols[sets[i].k - 1]], to = part[sets[i].cols[0]];

		*out = sets[i].k == 2 && from != to;
		for (uint32_t c = 0; c < ncolumns; c++)
			part[c] = part[c] == from ? to : part[c];
	}
	return MG_OK;
}

mg_code
mg_finish_model(mg_ctx *ctx, mg_model *m, mg_graphical *body, const mg_set *sets, uint32_t n,
				const mg_required *required, double gamma)
{
	mg_arena *scratch = mg_arena_create(0);
	bool forest = false;
	mg_code code;

	if (scratch == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	mg_progress(ctx, "estimation", 0);
	code = is_forest(ctx, scratch, sets, n, m->ncolumns, &forest);
	if (code == MG_OK)
		code = forest && required->nzeros == 0 ? finish_tree(ctx, scratch, m, body, sets, n)
											   : finish_network(ctx, scratch, m, body, sets, n, required, gamma);
	mg_arena_destroy(scratch);
	return code;
}

mg_code
mg_set_make(mg_ctx *ctx, const mg_model *m, const mg_column_set *cols, mg_set *out)
{
	size_t cells = 1;

	for (uint32_t i = 0; i < cols->k; i++)
	{
		if (!mg_mul_size(cells, m->columns[cols->cols[i]].ncoarse, &cells))
			return mg_fail(ctx, MG_INVALID, "a set of columns has too many cells");
	}
	*out = (mg_set){.k = cols->k, .cols = cols->cols, .cells = cells};
	return MG_OK;
}

mg_code
mg_measure_sets(mg_ctx *ctx, mg_curator *c, mg_arena *a, mg_set *sets, uint32_t n, double rho)
{
	mg_marginal_query *query;
	mg_ratio *sigma2;
	size_t *cells;

	if (n == 0)
		return MG_OK;
	MG_NEW(ctx, a, query, n);
	MG_NEW(ctx, a, sigma2, n);
	MG_NEW(ctx, a, cells, n);
	for (uint32_t i = 0; i < n; i++)
		cells[i] = sets[i].cells;
	MG_TRY(mg_allocate_noise(ctx, cells, n, rho, mg_curator_rows_per_unit(c), sigma2));
	for (uint32_t i = 0; i < n; i++)
	{
		query[i] = (mg_marginal_query){.k = sets[i].k, .cols = sets[i].cols, .sigma2 = sigma2[i]};
		MG_NEW(ctx, a, query[i].noisy, cells[i]);
	}
	MG_TRY(mg_curator_marginals(ctx, c, query, n));
	for (uint32_t i = 0; i < n; i++)
	{
		sets[i].sigma2 = sigma2[i];
		sets[i].noisy = query[i].noisy;
	}
	return MG_OK;
}

mg_code
mg_hand_over(mg_code code, mg_model *m, mg_model **out)
{
	if (code == MG_OK)
		*out = m;
	else
		mg_model_destroy(m);
	return code;
}
