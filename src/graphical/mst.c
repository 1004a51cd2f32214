/*
 * graphical/mst.c: a private maximum spanning tree of pairs of columns, measured and estimated (McKenna,
 * Miklau, Sheldon 2021, "Winning the NIST Contest", section 4), with three differences:
 *
 *   - one-way marginals come from the fine histograms of discretisation, nothing is measured twice;
 * - a pair's score is its distance from independence less the noise that measuring it would bring, so that a
 * large table that would drown
 *     loses against a small one that will not;
 * - the measurement's rho is shared out over the chosen pairs by their numbers of cells, and estimation is an
 * exact quadratic program on the tree (tree.c).
 *
 * Rounds are Kruskal's: each picks, by the exponential mechanism, one of the pairs that join two parts of the
 * forest. A round's epsilon e costs e^2 / 8 (bounded range), hence e = sqrt(8 rho / rounds).
 */
#include "graphical/fit.h"
#include "graphical/graphical.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Pairs with more cells are no candidates: they would not be worth their noise, nor their memory. */
#define MOST_CELLS ((size_t) 1 << 22)
/* A cell of a chosen pair: the noisy count, the same as a double, estimation's table, the model's table; and as much
 * again. */
#define PAIR_BYTES 64

typedef struct candidates
{
	size_t count;
	mg_candidate *item;
	mg_pair *pair;
	bool *allowed;
	double *const *oneway;
	const uint32_t *sizes;
	double total;
} candidates;

static double
pair_noise_rho(const mg_fit_request *req, const mg_split *split)
{
	return req->allowance.rho * split->measure;
}

static uint32_t
rows_per_unit(const mg_fit_request *req)
{
	return req->rows_per_unit > 0 ? req->rows_per_unit : 1;
}

static mg_code
mst_plan(mg_ctx *ctx, mg_arena *a, const mg_fit_request *req, mg_plan *out)
{
	mg_plan_item extra[2];
	uint32_t rounds = req->ncolumns - 1, n = 0;
	mg_split split;

	MG_TRY(mg_split_mst(ctx, req, &split));
	memset(extra, 0, sizeof(extra));
	if (split.select > 0)
	{
		snprintf(extra[n].what, sizeof(extra[n].what), "selection");
		extra[n].rho = req->allowance.rho * split.select;
		extra[n++].count = rounds;
	}
	if (split.measure > 0)
	{
		snprintf(extra[n].what, sizeof(extra[n].what), "pair marginals");
		extra[n].rho = pair_noise_rho(req, &split);
		/* of pairs of equal size; larger ones get less noise, smaller ones more */
		extra[n].sigma = rows_per_unit(req) * sqrt(rounds / (2 * extra[n].rho));
		extra[n++].count = rounds;
	}
	return mg_split_plan(ctx, a, req, &split, extra, n, out);
}

/* The largest pair that estimation has memory for, were all pairs as large. */
static size_t
cell_limit(const mg_fit_request *req)
{
	size_t each = PAIR_BYTES, pairs = req->ncolumns > 1 ? req->ncolumns - 1 : 1;
	size_t limit = req->memory == 0 ? MOST_CELLS : req->memory / each / pairs;

	if (limit > MOST_CELLS)
		limit = MOST_CELLS;
	/* a small memory never makes the model empty */
	return limit < 4096 ? 4096 : limit;
}

static mg_code
list_candidates(mg_ctx *ctx, mg_arena *a, const mg_fit_request *req, const mg_split *split, const mg_model *m,
				double *const *oneway, candidates *out)
{
	size_t most = (size_t) m->ncolumns * (m->ncolumns - 1) / 2, limit = cell_limit(req);
	double sigma = rows_per_unit(req) * sqrt((m->ncolumns - 1) / (2 * pair_noise_rho(req, split)));
	uint32_t *sizes;

	memset(out, 0, sizeof(*out));
	MG_TRY(mg_column_sizes(ctx, a, m->columns, m->ncolumns, &sizes));
	MG_NEW(ctx, a, out->item, most + 1);
	MG_NEW(ctx, a, out->pair, most + 1);
	MG_NEW(ctx, a, out->allowed, most + 1);
	for (uint32_t i = 0; i < m->ncolumns; i++)
	{
		for (uint32_t j = i + 1; j < m->ncolumns; j++)
		{
			mg_pair *pair = &out->pair[out->count];

			pair->cells = (size_t) sizes[i] * sizes[j];
			if (pair->cells > limit)
				continue;
			pair->cols[0] = i;
			pair->cols[1] = j;
			/* E|X| = sqrt(2 / pi) sigma in each cell */
			out->item[out->count].k = 2;
			out->item[out->count].cols = pair->cols;
			out->item[out->count].penalty = (int64_t) (sqrt(2 / M_PI) * sigma * (double) pair->cells);
			out->count++;
		}
	}
	out->oneway = oneway;
	out->sizes = sizes;
	for (uint32_t i = 0; i < m->ncolumns; i++)
		out->total += m->columns[i].total / m->ncolumns;
	if (!(out->total > 1))
		out->total = 1;
	return MG_OK;
}

/* The independent model's answer, rounded. */
static void
fill_answer(void *arg, size_t i, int64_t *out)
{
	const candidates *all = arg;
	const uint32_t *cols = all->pair[i].cols;
	const double *p = all->oneway[cols[0]], *q = all->oneway[cols[1]];
	uint32_t rows = all->sizes[cols[0]], columns = all->sizes[cols[1]];

	for (uint32_t x = 0; x < rows; x++)
	{
		double mass = all->total * p[x];

		for (uint32_t y = 0; y < columns; y++)
			*out++ = (int64_t) (mass * q[y] + 0.5);
	}
}

/* Allows the pairs that join two parts; false when there is none. */
static bool
allow_joining(const candidates *all, const uint32_t *part)
{
	bool any = false;

	for (size_t i = 0; i < all->count; i++)
	{
		all->allowed[i] = part[all->pair[i].cols[0]] != part[all->pair[i].cols[1]];
		any = any || all->allowed[i];
	}
	return any;
}

static void
join_parts(uint32_t *part, uint32_t n, const mg_pair *pair)
{
	uint32_t from = part[pair->cols[1]], to = part[pair->cols[0]];

	for (uint32_t i = 0; i < n; i++)
	{
		if (part[i] == from)
			part[i] = to;
	}
}

static mg_code
select_rounds(mg_ctx *ctx, mg_selection *s, const candidates *all, uint32_t ncolumns, double rho, uint32_t *part,
			  mg_pair *chosen, uint32_t *nchosen)
{
	uint32_t rounds = ncolumns - 1;
	mg_ratio epsilon;

	if (!mg_ratio_below(sqrt(8 * rho / rounds), &epsilon))
		return mg_fail(ctx, MG_INVALID, "the privacy budget is too small to select pairs of columns");
	for (uint32_t i = 0; i < ncolumns; i++)
		part[i] = i;
	while (*nchosen < rounds && allow_joining(all, part))
	{
		size_t pick;

		MG_TRY(mg_selection_choose(ctx, s, all->allowed, epsilon, &pick));
		chosen[(*nchosen)++] = all->pair[pick];
		join_parts(part, ncolumns, &all->pair[pick]);
		mg_progress(ctx, "selection", (double) *nchosen / rounds);
	}
	return MG_OK;
}

/* Chooses a spanning forest of pairs; chosen has room for ncolumns - 1. */
static mg_code
select_pairs(mg_ctx *ctx, mg_curator *c, mg_arena *a, candidates *all, uint32_t ncolumns, double rho, mg_pair *chosen,
			 uint32_t *nchosen)
{
	mg_selection *s;
	uint32_t *part;
	mg_code code;

	*nchosen = 0;
	if (all->count == 0)
		return MG_OK;
	if (ncolumns == 2)
	{
		chosen[(*nchosen)++] = all->pair[0];
		return MG_OK;
	}
	MG_NEW(ctx, a, part, ncolumns);
	MG_TRY(mg_selection_begin(ctx, c, all->item, all->count, fill_answer, all, &s));
	code = select_rounds(ctx, s, all, ncolumns, rho, part, chosen, nchosen);
	mg_selection_end(s);
	return code;
}

static mg_code
measure_pairs(mg_ctx *ctx, mg_curator *c, mg_arena *a, mg_pair *pairs, uint32_t n, double rho)
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
		cells[i] = pairs[i].cells;
	MG_TRY(mg_allocate_noise(ctx, cells, n, rho, mg_curator_rows_per_unit(c), sigma2));
	for (uint32_t i = 0; i < n; i++)
	{
		query[i] = (mg_marginal_query){.k = 2, .cols = pairs[i].cols, .sigma2 = sigma2[i]};
		MG_NEW(ctx, a, query[i].noisy, cells[i]);
	}
	MG_TRY(mg_curator_marginals(ctx, c, query, n));
	for (uint32_t i = 0; i < n; i++)
	{
		double *y;

		MG_NEW(ctx, a, y, cells[i]);
		for (size_t x = 0; x < cells[i]; x++)
			y[x] = (double) query[i].noisy[x];
		pairs[i].sigma2 = sigma2[i];
		pairs[i].y = y;
	}
	return MG_OK;
}

static mg_code
learn_structure(mg_ctx *ctx, mg_curator *c, const mg_fit_request *req, const mg_split *split, mg_arena *a, mg_model *m,
				mg_graphical *body)
{
	uint32_t n = 0;
	double **oneway;
	candidates all;
	mg_pair *pairs;

	MG_TRY(mg_oneway_probabilities(ctx, a, m, &oneway));
	MG_NEW(ctx, a, pairs, m->ncolumns);
	if (m->ncolumns > 1)
	{
		MG_TRY(list_candidates(ctx, a, req, split, m, oneway, &all));
		MG_TRY(select_pairs(ctx, c, a, &all, m->ncolumns, req->allowance.rho * split->select, pairs, &n));
		MG_TRY(measure_pairs(ctx, c, a, pairs, n, pair_noise_rho(req, split)));
		body->rounds = m->ncolumns > 2 ? n : 0;
	}
	return mg_finish_model(ctx, m, body, pairs, n);
}

static mg_code
mst_fit(mg_ctx *ctx, mg_curator *c, const mg_fit_request *req, mg_model **out)
{
	mg_arena *scratch;
	mg_graphical *body;
	mg_split split;
	mg_model *m;
	mg_code code;

	MG_TRY(mg_split_mst(ctx, req, &split));
	MG_TRY(mg_begin_model(ctx, c, req, &mg_method_mst, &split, &m, &body));
	scratch = mg_arena_create(0);
	if (scratch == NULL)
		code = mg_fail(ctx, MG_NOMEM, "out of memory");
	else
		code = learn_structure(ctx, c, req, &split, scratch, m, body);
	mg_arena_destroy(scratch);
	if (code != MG_OK)
	{
		mg_model_destroy(m);
		return code;
	}
	*out = m;
	return MG_OK;
}

const mg_method mg_method_mst = {
	.name = "mst",
	.summary = "private maximum spanning tree of pairs of columns",
	.plan = mst_plan,
	.fit = mst_fit,
	.write_body = mg_graphical_write,
	.read_body = mg_graphical_read,
	.compile = mg_graphical_compile,
	.describe = mg_graphical_describe,
	.marginal = mg_graphical_marginal,
};
