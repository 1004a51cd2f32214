/*
 * graphical/aim.c: adaptive, workload-aware selection (McKenna, Mullins, Sheldon, Miklau 2022, "AIM", algorithm 2).
 *
 * One-way marginals come from the histograms of discretisation; the rest of rho goes to picks. A round scores every
 * candidate r that the model has room for,
 *
 *     w_r ( |M_r(data) - M_r(model)|_1  -  sqrt(2/pi) sigma |r| )          (equation 1; |r| its cells)
 *
 * picks some by the exponential mechanism, measures them with noise sigma, and estimates again. When most picks of a
 * round moved the model by no more than their noise, a pick's rho is multiplied by four from then on (noise halves):
 * "budget annealing". The room grows with the share of rho that is spent. Differences from the paper:
 *
 * - a round picks up to a quarter as many candidates as there are columns, any two of which share at most one column:
 *   it measures as well, with a quarter of the estimations;
 * - the first picks get a fourth of rho / columns, not a sixteenth: with estimates that are regularised the weak
 *   measurements that the paper begins with only cost;
 * - estimation weighs measurements against the product of the one-way marginals by GAMMA (estimate.h): what noise says
 *   about cells that hold nothing is not believed. This is where most of the gain over plain Private-PGM comes from.
 *
 * The choice of what to do next depends on noisy results, so all of it is one zCDP block, whose parts the curator
 * debits. Memory: an arena for the fit, one for each round.
 */
#include "graphical/candidates.h"
#include "graphical/fit.h"
#include "graphical/graphical.h"
#include "graphical/marginals.h"
#include "graphical/required.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define GAMMA 0.015
#define PICKS_PER_COLUMN 4 /* rho / (this * columns) is the first pick's */
#define COLUMNS_PER_PICK 4 /* picks of a round: columns / this, rounded up */
#define MOST_PICKS 64
#define MOST_REQUIRED_SHARE 0.5 /* of rho, for dependent columns */
#define MOST_SHARED 1           /* columns that two picks of a round may share */

#define MOST_CANDIDATE_CELLS ((size_t) 1 << 16)
#define MOST_ALL_CELLS ((size_t) 1 << 23)   /* of all candidates */
#define CELL_BYTES 12                       /* of each: its exact count is kept, and what the model says */
#define MOST_TABLE_CELLS ((size_t) 1 << 20) /* on the way to a marginal across cliques */

static const mg_learn_options first_fit = {.tolerance = 1e-2, .iterations = 50, .steps = 1};
static const mg_learn_options round_fit = {.tolerance = 1e-2, .iterations = 12, .steps = 1};
static const mg_learn_options last_fit = {.tolerance = 2e-3, .iterations = 500, .steps = 1, .restarts = 50};

typedef struct aim
{
	const mg_fit_request *req;
	mg_curator *curator;
	mg_search_options search;
	mg_required required;
	mg_learner *learner;
	mg_candidates cand;
	mg_workload *workload;
	uint32_t ncolumns, k; /* k: rows of a unit */

	double rho, used;  /* of all picks */
	double rho_pick;   /* of one pick, selection and measurement */
	double select;     /* share of it that selection takes */
	double choosing;   /* the same in this round: 0 where there is nothing to choose */
	double most_cells; /* of the model, at the end */
	double base_cells; /* of the model before the first pick */

	double *answers; /* [all cells] what the model says of the candidates in question */
	double **answer; /* [candidates] into answers; NULL: not in question */
	bool *allowed;
	mg_contender *contender;
	uint32_t *which, ncontenders; /* contender -> candidate */
	uint32_t picks;
} aim;

typedef struct pick
{
	uint32_t candidate;
	double *before; /* the model's answer when it was picked */
} pick;

static mg_column_set
set_of(const aim *s, uint32_t candidate)
{
	return (mg_column_set){.k = s->cand.set[candidate].k, .cols = s->cand.set[candidate].cols};
}

/* Expected absolute noise of a cell. */
static double
expected_noise(double sigma)
{
	return sqrt(2 / M_PI) * sigma;
}

static double
sigma_of(const aim *s)
{
	return s->k / sqrt(2 * s->rho_pick * (1 - s->choosing));
}

/* ---- what is in question this round ---- */

/*
 * Cells that the model may have when `picks` more are paid for: a share of what it may ever grow by. (A share of all it
 * may have would leave no room beside structural zeros, which are there from the beginning.)
 */
static double
room(const aim *s, uint32_t picks)
{
	double share = fmin(1, (s->used + picks * s->rho_pick) / s->rho);

	return s->base_cells + fmax(s->most_cells - s->base_cells, 0) * share;
}

/* Model sets, then the picks so far, prepared for one more. */
static mg_code
prepare_growth(mg_ctx *ctx, const aim *s, mg_arena *a, const pick *picks, uint32_t n, mg_growth **out)
{
	uint32_t nsets;
	const mg_column_set *sets = mg_learner_sets(s->learner, &nsets);
	mg_column_set *all;

	MG_NEW(ctx, a, all, (size_t) nsets + n + 1);
	if (nsets > 0)
		memcpy(all, sets, nsets * sizeof(*all));
	for (uint32_t i = 0; i < n; i++)
		all[nsets + i] = set_of(s, picks[i].candidate);
	return mg_growth_create(ctx, a, mg_learner_sizes(s->learner), s->ncolumns, all, nsets + n, out);
}

static mg_code
allow(mg_ctx *ctx, aim *s, mg_arena *a)
{
	mg_growth *growth;
	double limit, now;

	MG_TRY(prepare_growth(ctx, s, a, NULL, 0, &growth));
	now = mg_growth_cells(growth, NULL, 0);
	if (s->base_cells == 0)
		s->base_cells = now;
	limit = fmax(now, room(s, 1)); /* what the model holds already may always be measured (again) */
	for (uint32_t i = 0; i < s->cand.count; i++)
	{
		MG_TRY(mg_poll(ctx));
		s->allowed[i] = mg_growth_cells(growth, s->cand.set[i].cols, s->cand.set[i].k) <= limit;
	}
	return MG_OK;
}

/* The model's marginals of what is allowed; what would take too large a table is no longer. */
static mg_code
ask_model(mg_ctx *ctx, aim *s, mg_arena *a)
{
	mg_column_set *sets;
	bool *answered;
	double *at = s->answers;

	MG_NEW(ctx, a, sets, (size_t) s->cand.count + 1);
	MG_NEW(ctx, a, answered, (size_t) s->cand.count + 1);
	for (uint32_t i = 0; i < s->cand.count; i++)
	{
		sets[i] = set_of(s, i);
		s->answer[i] = s->allowed[i] ? at : NULL;
		at += s->allowed[i] ? s->cand.cells[i] : 0;
	}
	MG_TRY(mg_junction_marginals(ctx, mg_learner_tree(s->learner), mg_learner_marginals(s->learner), sets,
								 s->cand.count, MOST_TABLE_CELLS, s->answer, answered));
	for (uint32_t i = 0; i < s->cand.count; i++)
		s->allowed[i] = s->allowed[i] && answered[i];
	return MG_OK;
}

static void
list_contenders(aim *s)
{
	double penalty = expected_noise(sigma_of(s));

	s->ncontenders = 0;
	for (uint32_t i = 0; i < s->cand.count; i++)
	{
		if (!s->allowed[i])
			continue;
		s->contender[s->ncontenders] = (mg_contender){.marginal = i,
													  .weight = s->cand.weight[i],
													  .penalty = (int64_t) (penalty * (double) s->cand.cells[i])};
		s->which[s->ncontenders++] = i;
	}
}

/* ---- picks ---- */

static void
fill(void *arg, size_t i, double *out)
{
	const aim *s = arg;
	uint32_t c = s->which[i];

	memcpy(out, s->answer[c], s->cand.cells[c] * sizeof(double));
}

/* May both be measured before the model is asked again? */
static bool
compatible(const mg_marginal_of *a, const mg_marginal_of *b)
{
	uint32_t shared = 0;

	for (uint32_t i = 0; i < a->k; i++)
		shared += mg_columns_within(&a->cols[i], 1, b->cols, b->k);
	return shared <= MOST_SHARED;
}

/* Takes out what is not compatible with the latest pick; false: nothing is left. */
static bool
narrow(const aim *s, uint32_t latest, bool *mask)
{
	bool any = false;

	for (uint32_t i = 0; i < s->ncontenders; i++)
	{
		mask[i] = mask[i] && compatible(&s->cand.set[s->which[i]], &s->cand.set[latest]);
		any = any || mask[i];
	}
	return any;
}

/* Is the model with all these picks within what may be spent on it? The first pick was asked before. */
static mg_code
has_room(mg_ctx *ctx, const aim *s, mg_arena *a, const pick *picks, uint32_t n, bool *out)
{
	mg_growth *growth;
	uint32_t last = picks[n - 1].candidate;

	*out = true;
	if (n == 1)
		return MG_OK;
	MG_TRY(prepare_growth(ctx, s, a, picks, n - 1, &growth));
	*out = mg_growth_cells(growth, s->cand.set[last].cols, s->cand.set[last].k) <=
		   fmax(room(s, n), mg_growth_cells(growth, NULL, 0));
	return MG_OK;
}

/* Up to `most` picks, *n of them; a pick that would make the model too large ends it (its selection is paid for). */
static mg_code
choose(mg_ctx *ctx, aim *s, mg_arena *a, mg_selection *scores, mg_ratio epsilon, uint32_t most, pick *picks,
	   uint32_t *n)
{
	bool *mask, more = true, fits;

	MG_NEW(ctx, a, mask, s->ncontenders);
	memset(mask, 1, s->ncontenders * sizeof(*mask));
	for (*n = 0; *n < most && more;)
	{
		size_t chosen;

		MG_TRY(mg_selection_choose(ctx, scores, mask, epsilon, &chosen));
		picks[(*n)++].candidate = s->which[chosen];
		MG_TRY(has_room(ctx, s, a, picks, *n, &fits));
		if (!fits)
		{
			--*n;
			s->used += s->rho_pick * s->select;
			break;
		}
		more = narrow(s, s->which[chosen], mask);
	}
	return MG_OK;
}

static mg_code
select_picks(mg_ctx *ctx, aim *s, mg_arena *a, uint32_t most, pick *picks, uint32_t *n)
{
	mg_selection *scores;
	mg_ratio epsilon;
	mg_code code;

	MG_TRY(allow(ctx, s, a));
	MG_TRY(ask_model(ctx, s, a));
	s->choosing = s->select;
	list_contenders(s);
	*n = 0;
	if (s->ncontenders == 0)
		return MG_OK;
	if (s->ncontenders == 1)
	{
		s->choosing = 0;
		picks[(*n)++].candidate = s->which[0];
		return MG_OK;
	}
	/* bounded range: epsilon^2 / 8 = rho */
	if (!mg_ratio_below(sqrt(8 * s->rho_pick * s->select), &epsilon))
		return mg_fail(ctx, MG_INVALID, "the privacy budget is too small to select marginals");
	MG_TRY(mg_workload_score(ctx, s->workload, s->contender, s->ncontenders, fill, s, &scores));
	code = choose(ctx, s, a, scores, epsilon, most, picks, n);
	mg_selection_end(scores);
	return code;
}

static mg_code
measure_picks(mg_ctx *ctx, aim *s, mg_arena *a, pick *picks, uint32_t n)
{
	mg_workload_query *query;
	mg_ratio sigma2;

	if (!mg_noise_for_rows(s->rho_pick * (1 - s->choosing), s->k, &sigma2))
		return mg_fail(ctx, MG_INVALID, "the privacy budget is too small to measure anything");
	MG_NEW(ctx, a, query, n);
	for (uint32_t i = 0; i < n; i++)
	{
		size_t cells = s->cand.cells[picks[i].candidate];

		query[i] = (mg_workload_query){.marginal = picks[i].candidate, .sigma2 = sigma2};
		MG_NEW(ctx, a, query[i].noisy, cells);
		MG_NEW(ctx, a, picks[i].before, cells);
		memcpy(picks[i].before, s->answer[picks[i].candidate], cells * sizeof(double));
	}
	MG_TRY(mg_workload_measure(ctx, s->workload, query, n));
	for (uint32_t i = 0; i < n; i++)
	{
		const mg_marginal_of *r = &s->cand.set[picks[i].candidate];

		MG_TRY(mg_learner_add(ctx, s->learner, r->cols, r->k, query[i].noisy, mg_ratio_value(sigma2)));
	}
	s->used += n * s->rho_pick;
	s->picks += n;
	return MG_OK;
}

/* Did at least half of the picks move the model by no more than their noise? */
static mg_code
is_weak(mg_ctx *ctx, const aim *s, mg_arena *a, const pick *picks, uint32_t n, bool *weak)
{
	double noise = expected_noise(sigma_of(s));
	uint32_t count = 0;

	for (uint32_t i = 0; i < n; i++)
	{
		size_t cells = s->cand.cells[picks[i].candidate];
		mg_column_set set = set_of(s, picks[i].candidate);
		double *now, moved = 0;
		bool answered;

		MG_NEW(ctx, a, now, cells);
		MG_TRY(mg_junction_marginals(ctx, mg_learner_tree(s->learner), mg_learner_marginals(s->learner), &set, 1,
									 MOST_TABLE_CELLS, &now, &answered));
		for (size_t x = 0; x < cells; x++)
			moved += fabs(now[x] - picks[i].before[x]);
		count += moved <= noise * (double) cells;
	}
	*weak = 2 * count >= n;
	return MG_OK;
}

/* ---- rounds ---- */

/*
 * How many picks there are to make. Those of the last round share what is left, so that no rest remains that is too
 * little to measure with.
 */
static uint32_t
picks_to_make(aim *s)
{
	double left = s->rho - s->used;
	uint32_t n = (s->ncolumns + COLUMNS_PER_PICK - 1) / COLUMNS_PER_PICK;

	n = n < MOST_PICKS ? n : MOST_PICKS;
	if (left < n * s->rho_pick)
		n = left < s->rho_pick ? 1 : (uint32_t) (left / s->rho_pick);
	if (left < (n + 1) * s->rho_pick)
		s->rho_pick = left / n;
	return n;
}

static mg_code
one_round(mg_ctx *ctx, aim *s, mg_arena *a, bool *more)
{
	pick picks[MOST_PICKS];
	uint32_t n;
	bool weak;

	MG_TRY(select_picks(ctx, s, a, picks_to_make(s), picks, &n));
	if (n == 0)
	{
		/* no candidate has room beside the model: the first of fewer and dearer picks has more */
		*more = s->used + s->rho_pick < s->rho * (1 - 1e-6);
		s->rho_pick *= 2;
		return MG_OK;
	}
	MG_TRY(measure_picks(ctx, s, a, picks, n));
	MG_TRY(mg_learner_fit(ctx, s->learner, &round_fit));
	MG_TRY(is_weak(ctx, s, a, picks, n, &weak));
	if (weak)
		s->rho_pick *= 4;
	*more = s->used < s->rho * (1 - 1e-6);
	mg_progress(ctx, "selection", fmin(1, s->used / s->rho));
	return MG_OK;
}

static mg_code
all_rounds(mg_ctx *ctx, aim *s)
{
	mg_arena *a = mg_arena_create(0);
	mg_code code = a != NULL ? MG_OK : mg_fail(ctx, MG_NOMEM, "out of memory");

	for (bool more = s->cand.count > 0 && s->rho > 0; more && code == MG_OK;)
	{
		code = one_round(ctx, s, a, &more);
		if (a != NULL)
			mg_arena_reset(a);
	}
	mg_arena_destroy(a);
	return code;
}

/*
 * A candidate of so many cells that its noise would be twice all rows, even if it got a quarter of rho, could only
 * mislead.
 */
static size_t
candidate_limit(const aim *s)
{
	double sigma = s->k / sqrt(2 * 0.25 * s->rho);
	double cells = 2 * mg_learner_total(s->learner) / expected_noise(sigma);

	return cells > (double) MOST_CANDIDATE_CELLS ? MOST_CANDIDATE_CELLS : cells < 64 ? 64 : (size_t) cells;
}

static mg_code
list_candidates(mg_ctx *ctx, aim *s, mg_arena *a, const mg_model *m)
{
	size_t all = s->req->memory / 2 / CELL_BYTES;

	if (s->req->memory == 0 || all > MOST_ALL_CELLS)
		all = MOST_ALL_CELLS;
	MG_TRY(mg_candidates_list(ctx, a, m->columns, m->ncolumns, s->search.degree, s->search.workload, candidate_limit(s),
							  all, &s->cand));
	MG_NEW(ctx, a, s->answers, s->cand.all_cells + 1);
	MG_NEW(ctx, a, s->answer, (size_t) s->cand.count + 1);
	MG_NEW(ctx, a, s->allowed, (size_t) s->cand.count + 1);
	MG_NEW(ctx, a, s->contender, (size_t) s->cand.count + 1);
	MG_NEW(ctx, a, s->which, (size_t) s->cand.count + 1);
	if (s->cand.count == 0)
		return MG_OK;
	return mg_workload_begin(ctx, s->curator, s->cand.set, s->cand.count, all * sizeof(uint32_t), &s->workload);
}

/* Required sets come first: each is a pick that needs no selection, with twice the rho. */
static mg_code
measure_required(mg_ctx *ctx, aim *s, mg_arena *a, const mg_model *m)
{
	uint32_t n = s->required.nsets;
	double rho = fmin(2 * s->rho_pick * n, MOST_REQUIRED_SHARE * s->rho);
	mg_set *sets;

	if (n == 0)
		return MG_OK;
	MG_NEW(ctx, a, sets, n);
	for (uint32_t i = 0; i < n; i++)
		MG_TRY(mg_set_make(ctx, m, &s->required.sets[i], &sets[i]));
	MG_TRY(mg_measure_sets(ctx, s->curator, a, sets, n, rho));
	s->used += rho;
	for (uint32_t i = 0; i < n; i++)
		MG_TRY(mg_learner_add(ctx, s->learner, sets[i].cols, sets[i].k, sets[i].noisy, mg_ratio_value(sets[i].sigma2)));
	return MG_OK;
}

static mg_code
learn(mg_ctx *ctx, aim *s, mg_arena *a, mg_model *m, mg_graphical *body)
{
	MG_TRY(mg_required_list(ctx, a, s->req, m, s->most_cells, &s->required));
	MG_TRY(mg_learner_create(ctx, a, m, GAMMA, s->required.zeros, s->required.nzeros, &s->learner));
	MG_TRY(measure_required(ctx, s, a, m));
	MG_TRY(mg_learner_fit(ctx, s->learner, &first_fit));
	MG_TRY(list_candidates(ctx, s, a, m));
	MG_TRY(all_rounds(ctx, s));
	mg_progress(ctx, "estimation", 0);
	MG_TRY(mg_learner_fit(ctx, s->learner, &last_fit));
	body->rounds = s->picks;
	return mg_learner_finish(ctx, s->learner, m, body);
}

/* rho of all picks, a hair less: ratios are rounded. */
static void
set_rho(const mg_fit_request *req, const mg_split *split, aim *s)
{
	double both = split->measure + split->select;

	s->ncolumns = req->ncolumns;
	s->rho = req->allowance.rho * both * (1 - 1e-9);
	s->select = s->choosing = both > 0 ? split->select / both : 0;
	s->rho_pick = s->rho / (PICKS_PER_COLUMN * (double) req->ncolumns);
	if (req->ncolumns <= 2)
		s->rho_pick = s->rho;
	s->k = req->rows_per_unit > 0 ? req->rows_per_unit : 1;
	s->most_cells = mg_search_cells(req, &s->search);
}

static mg_code
aim_plan(mg_ctx *ctx, mg_arena *a, const mg_fit_request *req, mg_plan *out)
{
	mg_plan_item extra[2];
	uint32_t n = 0;
	mg_split split;
	aim s = {.req = req};

	MG_TRY(mg_split_aim(ctx, req, &split, &s.search));
	MG_TRY(mg_workload_check(ctx, req->domains, req->ncolumns, s.search.workload));
	set_rho(req, &split, &s);
	memset(extra, 0, sizeof(extra));
	if (split.select > 0)
	{
		snprintf(extra[n].what, sizeof(extra[n].what), "selection, adaptive");
		extra[n++].rho = req->allowance.rho * split.select;
	}
	if (split.measure > 0)
	{
		snprintf(extra[n].what, sizeof(extra[n].what), "marginals, adaptive; first noise");
		extra[n].rho = req->allowance.rho * split.measure;
		extra[n++].sigma = sigma_of(&s);
	}
	return mg_split_plan(ctx, a, req, &split, extra, n, out);
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

	MG_TRY(mg_split_aim(ctx, req, &split, &s.search));
	MG_TRY(mg_workload_check(ctx, req->domains, req->ncolumns, s.search.workload));
	MG_TRY(mg_begin_model(ctx, c, req, &mg_method_aim, &split, &m, &body));
	set_rho(req, &split, &s);
	scratch = mg_arena_create(0);
	code = scratch != NULL ? learn(ctx, &s, scratch, m, body) : mg_fail(ctx, MG_NOMEM, "out of memory");
	mg_workload_end(s.workload);
	mg_learner_destroy(s.learner);
	mg_arena_destroy(scratch);
	return mg_hand_over(code, m, out);
}

const mg_method mg_method_aim = {
	.name = "aim",
	.summary = "adaptive, workload-aware selection of marginals",
	.plan = aim_plan,
	.fit = aim_fit,
	.write_body = mg_graphical_write,
	.read_body = mg_graphical_read,
	.compile = mg_graphical_compile,
	.condition = mg_graphical_condition,
	.marginal = mg_graphical_marginal,
	.branches = mg_graphical_branches,
	.describe = mg_graphical_describe,
};
