/*
 * graphical/aim.c: adaptive, workload-aware selection (McKenna, Mullins, Sheldon, Miklau 2022, "AIM").
 */
#include "graphical/candidates.h"
#include "graphical/fit.h"
#include "graphical/graphical.h"
#include "graphical/learn.h"
#include "graphical/marginals.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double
TUNE(const char *name, double def)
{
	const char *v = getenv(name);

	return v ? atof(v) : def;
}

#define MOST_BATCH 64

typedef struct aim
{
	const mg_fit_request *req;
	mg_curator *curator;
	mg_learner *learner;
	mg_candidates cand;
	mg_workload *workload;
	double total;

	double rho, used;   /* of rounds; what is left goes to the last */
	double rho_pick;    /* of one pick: selection and measurement */
	double select;      /* share of it for selection */
	double most_cells;
	uint32_t k;

	double **answer; /* [candidates] the model's, NULL: not now */
	double *answers;
	bool *allowed;
	mg_contender *contender;
	uint32_t *which; /* contender -> candidate */
	uint32_t ncontenders;
	uint32_t rounds, picks;
} aim;

typedef struct pick
{
	uint32_t candidate;
	double *before;
} pick;

static void
fill(void *arg, size_t i, double *out)
{
	const aim *s = arg;
	uint32_t c = s->which[i];

	memcpy(out, s->answer[c], s->cand.cells[c] * sizeof(double));
}

/* Allowed: the model with it stays under the limit that the budget spent so far grants. */
static mg_code
allow(mg_ctx *ctx, aim *s, mg_arena *a)
{
	double limit = s->most_cells * fmin(1, (s->used + s->rho_pick) / s->rho);
	mg_growth *growth;
	uint32_t nsets;
	const mg_column_set *sets = mg_learner_sets(s->learner, &nsets);
	double now;

	MG_TRY(mg_growth_create(ctx, a, mg_learner_sizes(s->learner), s->req->ncolumns, sets, nsets, &growth));
	now = mg_growth_cells(growth, NULL, 0);
	for (uint32_t i = 0; i < s->cand.count; i++)
	{
		double cells = mg_growth_cells(growth, s->cand.set[i].cols, s->cand.set[i].k);

		s->allowed[i] = cells <= limit || cells <= now;
	}
	return MG_OK;
}

static mg_code
ask_model(mg_ctx *ctx, aim *s, mg_arena *a)
{
	mg_column_set *sets;
	bool *answered;
	double *at = s->answers;

	MG_NEW(ctx, a, sets, s->cand.count);
	MG_NEW(ctx, a, answered, s->cand.count);
	for (uint32_t i = 0; i < s->cand.count; i++)
	{
		sets[i] = (mg_column_set){.k = s->cand.set[i].k, .cols = s->cand.set[i].cols};
		s->answer[i] = s->allowed[i] ? at : NULL;
		at += s->allowed[i] ? s->cand.cells[i] : 0;
	}
	MG_TRY(mg_junction_marginals(ctx, mg_learner_tree(s->learner), mg_learner_marginals(s->learner), sets,
								 s->cand.count, (size_t) 1 << 20, s->answer, answered));
	for (uint32_t i = 0; i < s->cand.count; i++)
		s->allowed[i] = s->allowed[i] && answered[i];
	return MG_OK;
}

static mg_code
choose_batch(mg_ctx *ctx, aim *s, uint32_t most, double rho_select, double sigma, pick *picks, uint32_t *npicks)
{
	mg_selection *sel = NULL;
	mg_ratio epsilon;
	mg_arena *a = mg_arena_create(0);
	bool *mask;
	mg_code code;
	double pen = TUNE("PEN", 1) * sqrt(2 / M_PI) * sigma;

	s->ncontenders = 0;
	*npicks = 0;
	for (uint32_t i = 0; i < s->cand.count; i++)
	{
		if (!s->allowed[i])
			continue;
		s->contender[s->ncontenders] = (mg_contender){i, TUNE("FLATW", 0) ? 1 : s->cand.weight[i], (int64_t) (pen * (double) s->cand.cells[i])};
		s->which[s->ncontenders++] = i;
	}
	if (s->ncontenders == 0)
		return MG_OK;
	MG_NEW(ctx, a, mask, s->ncontenders);
	memset(mask, 1, s->ncontenders);
	if (!mg_ratio_below(sqrt(8 * rho_select), &epsilon))
		return mg_fail(ctx, MG_INVALID, "the privacy budget is too small to select marginals");
	code = mg_workload_score(ctx, s->workload, s->contender, s->ncontenders, fill, s, &sel);
	while (code == MG_OK && *npicks < most)
	{
		size_t chosen;
		uint32_t c;
		bool any = false;
		mg_growth *growth;
		mg_column_set *more;
		uint32_t nsets;
		const mg_column_set *sets = mg_learner_sets(s->learner, &nsets);
		double limit = s->most_cells * fmin(1, (s->used + s->rho_pick * (*npicks + 2)) / s->rho);

		code = mg_selection_choose(ctx, sel, mask, epsilon, &chosen);
		if (code != MG_OK)
			break;
		c = s->which[chosen];
		picks[(*npicks)++].candidate = c;
		if (*npicks == most)
			break;
		/* the rest: not comparable with it, and still within the limit beside it */
		more = mg_arena_alloc(a, nsets + *npicks, sizeof(*more));
		if (nsets > 0)
		memcpy(more, sets, nsets * sizeof(*more));
		for (uint32_t p = 0; p < *npicks; p++)
			more[nsets + p] = (mg_column_set){.k = s->cand.set[picks[p].candidate].k, .cols = s->cand.set[picks[p].candidate].cols};
		code = mg_growth_create(ctx, a, mg_learner_sizes(s->learner), s->req->ncolumns, more, nsets + *npicks, &growth);
		if (code != MG_OK)
			break;
		for (uint32_t i = 0; i < s->ncontenders; i++)
		{
			const mg_marginal_of *r = &s->cand.set[s->which[i]], *t = &s->cand.set[c];

			if (!mask[i])
				continue;
			if (mg_columns_within(r->cols, r->k, t->cols, t->k) || mg_columns_within(t->cols, t->k, r->cols, r->k))
				mask[i] = false;
			else
			{
				/* compatible: at most one column shared with each pick */
				uint32_t shared = 0;

				for (uint32_t x = 0; x < r->k; x++)
					shared += mg_columns_within(&r->cols[x], 1, t->cols, t->k);
				if (shared > TUNE("SHARED", 1) || mg_growth_cells(growth, r->cols, r->k) > limit)
					mask[i] = false;
			}
			any = any || mask[i];
		}
		if (!any)
			break;
	}
	mg_selection_end(sel);
	mg_arena_destroy(a);
	return code;
}

static mg_code
measure_batch(mg_ctx *ctx, aim *s, mg_arena *a, pick *picks, uint32_t n, double rho_measure, double *sigma)
{
	mg_workload_query *q;

	MG_NEW(ctx, a, q, n);
	for (uint32_t i = 0; i < n; i++)
	{
		q[i].marginal = picks[i].candidate;
		if (!mg_noise_for_rows(rho_measure, s->k, &q[i].sigma2))
			return mg_fail(ctx, MG_INVALID, "the privacy budget is too small to measure anything");
		MG_NEW(ctx, a, q[i].noisy, s->cand.cells[picks[i].candidate]);
		MG_NEW(ctx, a, picks[i].before, s->cand.cells[picks[i].candidate]);
		memcpy(picks[i].before, s->answer[picks[i].candidate], s->cand.cells[picks[i].candidate] * sizeof(double));
		*sigma = sqrt(mg_ratio_value(q[i].sigma2));
	}
	MG_TRY(mg_workload_measure(ctx, s->workload, q, n));
	for (uint32_t i = 0; i < n; i++)
	{
		const mg_marginal_of *r = &s->cand.set[picks[i].candidate];

		MG_TRY(mg_learner_add(ctx, s->learner, r->cols, r->k, q[i].noisy, mg_ratio_value(q[i].sigma2)));
	}
	return MG_OK;
}

/* How many picks moved the model by less than their noise. */
static mg_code
count_weak(mg_ctx *ctx, aim *s, mg_arena *a, const pick *picks, uint32_t n, double sigma, uint32_t *weak)
{
	*weak = 0;
	for (uint32_t i = 0; i < n; i++)
	{
		const mg_marginal_of *r = &s->cand.set[picks[i].candidate];
		size_t cells = s->cand.cells[picks[i].candidate];
		mg_column_set set = {.k = r->k, .cols = r->cols};
		double *now, moved = 0;
		bool answered;

		MG_NEW(ctx, a, now, cells);
		MG_TRY(mg_junction_marginals(ctx, mg_learner_tree(s->learner), mg_learner_marginals(s->learner), &set, 1,
									 (size_t) 1 << 20, &now, &answered));
		for (size_t x = 0; x < cells; x++)
			moved += fabs(now[x] - picks[i].before[x]);
		*weak += moved <= TUNE("ANN", 1) * sqrt(2 / M_PI) * sigma * (double) cells;
	}
	return MG_OK;
}

static mg_code
one_round(mg_ctx *ctx, aim *s, mg_arena *a, bool *more)
{
	uint32_t batch = (uint32_t) TUNE("BATCH", 1), n, weak;
	double left = s->rho - s->used, sigma;
	pick picks[MOST_BATCH];
	mg_learn_options how = {.tolerance = TUNE("TOL", 0.01), .iterations = (uint32_t) TUNE("ITER", 20), .steps = 1};

	if (left < 2 * s->rho_pick)
	{
		s->rho_pick = left;
		batch = 1;
	}
	if (batch > left / s->rho_pick)
		batch = (uint32_t) (left / s->rho_pick);
	batch = batch < 1 ? 1 : batch > MOST_BATCH ? MOST_BATCH : batch;
	/* a hair free for the rounding of ratios */
	if (s->rho_pick * batch > left * (1 - 1e-9))
		s->rho_pick = left * (1 - 1e-9) / batch;
	MG_TRY(allow(ctx, s, a));
	MG_TRY(ask_model(ctx, s, a));
	sigma = s->k * sqrt(1 / (2 * s->rho_pick * (1 - s->select)));
	MG_TRY(choose_batch(ctx, s, batch, s->rho_pick * s->select, sigma, picks, &n));
	if (n == 0)
	{
		*more = false;
		return MG_OK;
	}
	MG_TRY(measure_batch(ctx, s, a, picks, n, s->rho_pick * (1 - s->select), &sigma));
	s->used += n * s->rho_pick;
	s->rounds++;
	s->picks += n;
	MG_TRY(mg_learner_fit(ctx, s->learner, &how));
	MG_TRY(count_weak(ctx, s, a, picks, n, sigma, &weak));
	if (getenv("VERBOSE"))
	{
		fprintf(stderr, "round %u picks %u weak %u sigma %.1f used %.3f cells %zu:", s->rounds, n, weak, sigma, s->used / s->rho, mg_learner_tree(s->learner)->cells);
		for (uint32_t i = 0; i < n; i++)
		{
			const mg_marginal_of *r = &s->cand.set[picks[i].candidate];
			fprintf(stderr, " (");
			for (uint32_t x = 0; x < r->k; x++)
				fprintf(stderr, "%u%s", r->cols[x], x + 1 < r->k ? "," : ")");
		}
		fprintf(stderr, "\n");
	}
	if (2 * weak >= n)
		s->rho_pick *= TUNE("ANNUP", 4);
	*more = s->used < s->rho * (1 - 1e-6);
	mg_progress(ctx, "selection", fmin(1, s->used / s->rho));
	return MG_OK;
}

static mg_code
run(mg_ctx *ctx, aim *s, mg_arena *a, mg_model *m, mg_graphical *body)
{
	mg_learn_options first = {.tolerance = 0.01, .iterations = 50, .steps = 1},
					 last = {.tolerance = TUNE("FTOL", 1e-3), .iterations = (uint32_t) TUNE("FITER", 500), .steps = (uint32_t) TUNE("STEPS", 1), .restarts = 50};
	bool more = true;

	MG_TRY(mg_learner_create(ctx, a, m, TUNE("GAMMA", 0.1), NULL, 0, &s->learner));
	MG_TRY(mg_learner_fit(ctx, s->learner, &first));
	s->total = mg_learner_total(s->learner);
	MG_TRY(mg_candidates_list(ctx, a, mg_learner_sizes(s->learner), m->ncolumns, (uint32_t) TUNE("DEGREE", 3),
							  (size_t) TUNE("MOSTCELLS", 65536), (size_t) 1 << 23, &s->cand));
	MG_NEW(ctx, a, s->answer, s->cand.count + 1);
	MG_NEW(ctx, a, s->answers, s->cand.all_cells + 1);
	MG_NEW(ctx, a, s->allowed, s->cand.count + 1);
	MG_NEW(ctx, a, s->contender, s->cand.count + 1);
	MG_NEW(ctx, a, s->which, s->cand.count + 1);
	MG_TRY(mg_workload_begin(ctx, s->curator, s->cand.set, s->cand.count, (size_t) 64 << 20, &s->workload));
	while (more)
	{
		mg_arena *r = mg_arena_create(0);
		mg_code code = one_round(ctx, s, r, &more);

		mg_arena_destroy(r);
		MG_TRY(code);
	}
	MG_TRY(mg_learner_fit(ctx, s->learner, &last));
	body->rounds = s->picks;
	return mg_learner_finish(ctx, s->learner, m, body);
}

static mg_code
aim_fit(mg_ctx *ctx, mg_curator *c, const mg_fit_request *req, mg_model **out)
{
	mg_arena *scratch;
	mg_graphical *body;
	mg_split split;
	mg_model *m;
	mg_code code;
	aim s = {.req = req, .curator = c};

	MG_TRY(mg_split_mst(ctx, req, &split));
	MG_TRY(mg_begin_model(ctx, c, req, &mg_method_aim, &split, &m, &body));
	s.k = mg_curator_rows_per_unit(c);
	s.rho = req->allowance.rho * (split.measure + split.select);
	s.select = split.select / (split.measure + split.select);
	s.rho_pick = s.rho / (TUNE("ROUNDS", 16) * m->ncolumns);
	s.most_cells = TUNE("MODELMB", 4) * (1 << 20) / 8;
	scratch = mg_arena_create(0);
	if (scratch == NULL)
		code = mg_fail(ctx, MG_NOMEM, "out of memory");
	else
		code = run(ctx, &s, scratch, m, body);
	mg_workload_end(s.workload);
	mg_learner_destroy(s.learner);
	mg_arena_destroy(scratch);
	if (code != MG_OK)
	{
		mg_model_destroy(m);
		return code;
	}
	*out = m;
	return MG_OK;
}

static mg_code
aim_plan(mg_ctx *ctx, mg_arena *a, const mg_fit_request *req, mg_plan *out)
{
	mg_split split;

	MG_TRY(mg_split_mst(ctx, req, &split));
	return mg_split_plan(ctx, a, req, &split, NULL, 0, out);
}

const mg_method mg_method_aim = {
	.name = "aim",
	.summary = "adaptive, workload-aware selection of marginals",
	.plan = aim_plan,
	.fit = aim_fit,
	.write_body = mg_graphical_write,
	.read_body = mg_graphical_read,
	.compile = mg_graphical_compile,
	.describe = mg_graphical_describe,
};
