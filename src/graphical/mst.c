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
#include "graphical/pairs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Pairs with more cells are no candidates: they would not be worth their noise, nor their memory. */
#define MOST_CELLS ((size_t) 1 << 22)
/* Structural zeros and dependent columns beside the tree. */
#define MOST_REQUIRED_CELLS ((size_t) 1 << 19)
/* The prior's weight where the model is more than a tree of pairs (estimate.h). */
#define GAMMA 0.015
/* A cell of a chosen pair: the noisy count, the same as a double, estimation's table, the model's table; and as much
 * again. */
#define PAIR_BYTES 64

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

/* All pairs; a pair's penalty is the expected absolute noise, sqrt(2 / pi) sigma a cell, of measuring it. */
static mg_code
list_pairs(mg_ctx *ctx, mg_arena *a, const mg_fit_request *req, const mg_split *split, const mg_model *m, mg_pairs *out)
{
	double sigma = rows_per_unit(req) * sqrt((m->ncolumns - 1) / (2 * pair_noise_rho(req, split)));

	MG_TRY(mg_pairs_list(ctx, a, m, cell_limit(req), out));
	for (size_t i = 0; i < out->count; i++)
		out->item[i].penalty = (int64_t) (sqrt(2 / M_PI) * sigma * (double) out->cells[i]);
	return MG_OK;
}

/* Allows the pairs that join two parts; false when there is none. */
static bool
allow_joining(const mg_pairs *all, const uint32_t *part, bool *allowed)
{
	bool any = false;

	for (size_t i = 0; i < all->count; i++)
	{
		allowed[i] = part[all->cols[i][0]] != part[all->cols[i][1]];
		any = any || allowed[i];
	}
	return any;
}

static void
join_parts(uint32_t *part, uint32_t n, uint32_t u, uint32_t v)
{
	uint32_t from = part[v], to = part[u];

	for (uint32_t i = 0; i < n; i++)
	{
		if (part[i] == from)
			part[i] = to;
	}
}

static mg_code
select_rounds(mg_ctx *ctx, mg_selection *s, const mg_pairs *all, uint32_t ncolumns, double rho, uint32_t *part,
			  bool *allowed, mg_set *chosen, uint32_t *nchosen)
{
	uint32_t rounds = ncolumns - 1, round = 0;
	mg_ratio epsilon;

	if (!mg_ratio_below(sqrt(8 * rho / rounds), &epsilon))
		return mg_fail(ctx, MG_INVALID, "the privacy budget is too small to select pairs of columns");
	while (round < rounds && allow_joining(all, part, allowed))
	{
		size_t pick;

		MG_TRY(mg_selection_choose(ctx, s, allowed, epsilon, &pick));
		chosen[(*nchosen)++] = (mg_set){.k = 2, .cols = all->cols[pick], .cells = all->cells[pick]};
		join_parts(part, ncolumns, all->cols[pick][0], all->cols[pick][1]);
		mg_progress(ctx, "selection", (double) ++round / rounds);
	}
	return MG_OK;
}

/*
 * Completes what is required to a spanning forest of pairs; chosen has room for ncolumns - 1 more. *rounds: of
 * selection.
 */
static mg_code
select_pairs(mg_ctx *ctx, mg_curator *c, mg_arena *a, mg_pairs *all, uint32_t ncolumns, double rho, mg_set *chosen,
			 uint32_t *nchosen, uint32_t *rounds)
{
	uint32_t *part, required = *nchosen;
	mg_selection *s;
	bool *allowed;
	mg_code code;

	MG_NEW(ctx, a, part, ncolumns);
	MG_NEW(ctx, a, allowed, all->count + 1);
	for (uint32_t i = 0; i < ncolumns; i++)
		part[i] = i;
	for (uint32_t i = 0; i < required; i++)
		for (uint32_t x = 1; x < chosen[i].k; x++)
			join_parts(part, ncolumns, chosen[i].cols[0], chosen[i].cols[x]);
	if (!allow_joining(all, part, allowed))
		return MG_OK;
	if (ncolumns == 2)
	{
		chosen[(*nchosen)++] = (mg_set){.k = 2, .cols = all->cols[0], .cells = all->cells[0]};
		return MG_OK;
	}
	MG_TRY(mg_pairs_score(ctx, c, all, &s));
	code = select_rounds(ctx, s, all, ncolumns, rho, part, allowed, chosen, nchosen);
	mg_selection_end(s);
	*rounds = *nchosen - required;
	return code;
}

/* Zeros and the tree close cycles that neither has alone, and their cliques may be large: then zeros go. */
static mg_code
trim_zeros(mg_ctx *ctx, mg_arena *a, const mg_fit_request *req, const mg_model *m, const mg_set *sets, uint32_t n,
		   mg_required *required)
{
	double most = (double) MOST_REQUIRED_CELLS;
	mg_column_set *columns;

	MG_NEW(ctx, a, columns, (size_t) n + 1);
	for (uint32_t i = 0; i < n; i++)
	{
		columns[i] = (mg_column_set){.k = sets[i].k, .cols = sets[i].cols};
		most += (double) sets[i].cells;
	}
	return mg_required_trim(ctx, req, m, columns, n, most, required);
}

static mg_code
learn_structure(mg_ctx *ctx, mg_curator *c, const mg_fit_request *req, const mg_split *split, mg_arena *a, mg_model *m,
				mg_graphical *body)
{
	mg_required required;
	uint32_t n = 0;
	mg_pairs all;
	mg_set *sets;

	MG_TRY(mg_required_list(ctx, a, req, m, (double) MOST_REQUIRED_CELLS, &required));
	MG_NEW(ctx, a, sets, (size_t) required.nsets + m->ncolumns);
	for (; n < required.nsets; n++)
		MG_TRY(mg_set_make(ctx, m, &required.sets[n], &sets[n]));
	if (m->ncolumns > 1)
	{
		MG_TRY(list_pairs(ctx, a, req, split, m, &all));
		MG_TRY(select_pairs(ctx, c, a, &all, m->ncolumns, req->allowance.rho * split->select, sets, &n, &body->rounds));
		MG_TRY(mg_measure_sets(ctx, c, a, sets, n, pair_noise_rho(req, split)));
		MG_TRY(trim_zeros(ctx, a, req, m, sets, n, &required));
	}
	return mg_finish_model(ctx, m, body, sets, n, &required, GAMMA);
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
	return mg_hand_over(code, m, out);
}

const mg_method mg_method_mst = {
	.name = "mst",
	.summary = "private maximum spanning tree of pairs of columns",
	.plan = mst_plan,
	.fit = mst_fit,
	.write_body = mg_graphical_write,
	.read_body = mg_graphical_read,
	.compile = mg_graphical_compile,
	.condition = mg_graphical_condition,
	.describe = mg_graphical_describe,
	.marginal = mg_graphical_marginal,
	.branches = mg_graphical_branches,
};
