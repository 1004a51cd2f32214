/*
 * graphical/swift.c: one look at all pairs, one measurement, one estimation; for wide tables and for haste.
 *
 * 1. Every pair's distance from independence, S = |M(data) - product of one-way marginals|_1, is released once with
 *    Gaussian noise: the vector of d (d - 1) / 2 scores has an L2 sensitivity of the square root of their number.
 * 2. Pairs are taken greedily. Measuring pairs of n_i cells with variances that share out rho so that the expected
 *    noise, sum of n_i sigma_i, is least (mg_allocate_noise) leaves
 *
 *        c (sum n_i^(2/3))^(3/2) / sqrt(2 rho),    c = NOISE_SEEN sqrt(2/pi) k
 *
 *    of it, so a pair is worth its score, as far as the pairs taken so far do not explain it, less what that noise
 *    grows by. What they explain is guessed as along a Markov chain: the association of two columns, S over the most
 *    that it could be, is the product of those on the best path between them. A pair that would take the model beyond
 *    its limit is passed over.
 * 3. They are measured together, and the model is estimated once.
 *
 * Noise of both steps is fixed before either; the rest is post-processing.
 */
#include "graphical/fit.h"
#include "graphical/graphical.h"
#include "graphical/pairs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The prior's weight in estimation (estimate.h). */
#define GAMMA 0.01
/* Of the noise of measured pairs, what is left in the model's after estimation. */
#define NOISE_SEEN 0.4
#define MOST_PAIR_CELLS ((size_t) 1 << 18)

typedef struct swift
{
	const mg_fit_request *req;
	mg_search_options search;
	mg_required required;
	uint32_t ncolumns, k;
	double most_cells; /* of the model */
	double rho_select, rho_measure;

	mg_pairs pairs;
	double *score;  /* [pairs] noisy counts, >= 0 */
	double *most;   /* [pairs] what a score could be */
	double *strong; /* [columns x columns] the best product of associations along pairs taken */
	bool *closed;   /* [pairs] taken, or without room */
	double weight;  /* sum of n_i^(2/3) over what is taken */

	mg_set *set;
	uint32_t nsets;
} swift;

/* ---- scores ---- */

/*
 * Twice all rows, less what even identical columns have in common with independent ones: 2 N (1 - sum p^2), of the
 * column that allows less.
 */
static double
most_distance(const mg_pairs *pairs, size_t i)
{
	double least = 1;

	for (int c = 0; c < 2; c++)
	{
		uint32_t col = pairs->cols[i][c];
		double same = 0;

		for (uint32_t x = 0; x < pairs->sizes[col]; x++)
			same += pairs->oneway[col][x] * pairs->oneway[col][x];
		least = fmin(least, 1 - same);
	}
	return 2 * pairs->total * fmax(least, 1e-6);
}

static mg_code
release_scores(mg_ctx *ctx, swift *s, mg_curator *c, mg_arena *a)
{
	size_t n = s->pairs.count;
	mg_selection *scores;
	mg_ratio sigma2;
	int64_t *noisy;
	mg_code code;

	MG_NEW(ctx, a, noisy, n);
	if (!mg_noise_for_scores(s->rho_select, s->k, n, &sigma2))
		return mg_fail(ctx, MG_INVALID, "the privacy budget is too small to score pairs of columns");
	MG_TRY(mg_pairs_score(ctx, c, &s->pairs, &scores));
	code = mg_selection_release(ctx, scores, sigma2, noisy);
	mg_selection_end(scores);
	MG_TRY(code);
	for (size_t i = 0; i < n; i++)
	{
		s->most[i] = most_distance(&s->pairs, i);
		s->score[i] = fmin(fmax((double) noisy[i], 0), s->most[i]);
	}
	return MG_OK;
}

/* ---- the greedy choice ---- */

static double
association(const swift *s, size_t i)
{
	return s->score[i] / s->most[i];
}

static double
noise_of(const swift *s, double weight)
{
	return NOISE_SEEN * sqrt(2 / M_PI) * s->k * weight * sqrt(weight) / sqrt(2 * s->rho_measure);
}

static double
weight_of(size_t cells)
{
	return cbrt((double) cells * (double) cells);
}

/* What measuring pair i is worth, in counts. */
static double
gain(const swift *s, size_t i)
{
	double known = s->strong[(size_t) s->pairs.cols[i][0] * s->ncolumns + s->pairs.cols[i][1]];
	double all = association(s, i);
	double news = all > known ? s->score[i] * (all - known) / all : 0;

	return news - (noise_of(s, s->weight + weight_of(s->pairs.cells[i])) - noise_of(s, s->weight));
}

/* Paths through the new pair. */
static void
connect(swift *s, uint32_t u, uint32_t v, double strength)
{
	uint32_t d = s->ncolumns;

	for (uint32_t x = 0; x < d; x++)
	{
		for (uint32_t y = 0; y < d; y++)
		{
			double xu = x == u ? 1 : s->strong[(size_t) x * d + u], vy = y == v ? 1 : s->strong[(size_t) v * d + y];
			double *best = &s->strong[(size_t) x * d + y];

			if (x == y || xu * strength * vy <= *best)
				continue;
			*best = xu * strength * vy;
			s->strong[(size_t) y * d + x] = *best;
		}
	}
}

static size_t
best_pair(const swift *s)
{
	size_t best = s->pairs.count;
	double most = 0;

	for (size_t i = 0; i < s->pairs.count; i++)
	{
		double worth = s->closed[i] ? 0 : gain(s, i);

		if (worth > most)
		{
			most = worth;
			best = i;
		}
	}
	return best;
}

/* `sets` begins with what is required, and has room. */
static mg_code
take_pairs(mg_ctx *ctx, swift *s, mg_column_set *sets, uint32_t n)
{
	size_t i;

	while ((i = best_pair(s)) < s->pairs.count)
	{
		const uint32_t *cols = s->pairs.cols[i];
		double cells;

		MG_TRY(mg_poll(ctx));
		s->closed[i] = true;
		MG_TRY(mg_grown_cells(ctx, s->pairs.sizes, s->ncolumns, sets, n, cols, 2, &cells));
		if (cells > s->most_cells)
			continue;
		sets[n++] = (mg_column_set){.k = 2, .cols = cols};
		s->set[s->nsets++] = (mg_set){.k = 2, .cols = cols, .cells = s->pairs.cells[i]};
		s->weight += weight_of(s->pairs.cells[i]);
		connect(s, cols[0], cols[1], association(s, i));
	}
	return MG_OK;
}

static mg_code
take_sets(mg_ctx *ctx, swift *s, mg_arena *a, const mg_model *m)
{
	mg_column_set *sets;
	uint32_t n = 0;

	MG_NEW(ctx, a, sets, s->pairs.count + s->required.nsets + s->required.nzeros + 1);
	MG_NEW(ctx, a, s->set, s->pairs.count + s->required.nsets + 1);
	for (uint32_t i = 0; i < s->required.nzeros; i++)
		sets[n++] = (mg_column_set){.k = s->required.zeros[i].k, .cols = s->required.zeros[i].cols};
	for (uint32_t i = 0; i < s->required.nsets; i++)
	{
		sets[n++] = s->required.sets[i];
		MG_TRY(mg_set_make(ctx, m, &s->required.sets[i], &s->set[s->nsets]));
		s->weight += weight_of(s->set[s->nsets++].cells);
	}
	return s->pairs.count > 0 ? take_pairs(ctx, s, sets, n) : MG_OK;
}

/* ---- the method ---- */

static mg_code
learn(mg_ctx *ctx, swift *s, mg_curator *c, mg_arena *a, mg_model *m, mg_graphical *body)
{
	MG_TRY(mg_required_list(ctx, a, s->req, m, s->most_cells, &s->required));
	MG_TRY(mg_pairs_list(ctx, a, m, MOST_PAIR_CELLS, &s->pairs));
	MG_NEW(ctx, a, s->score, s->pairs.count + 1);
	MG_NEW(ctx, a, s->most, s->pairs.count + 1);
	MG_NEW(ctx, a, s->closed, s->pairs.count + 1);
	MG_NEW(ctx, a, s->strong, (size_t) s->ncolumns * s->ncolumns);
	if (s->pairs.count > 0 && s->rho_select > 0)
		MG_TRY(release_scores(ctx, s, c, a));
	else if (s->pairs.count == 1) /* two columns: nothing to choose */
		s->score[0] = s->most[0] = 2 * s->pairs.total;
	MG_TRY(take_sets(ctx, s, a, m));
	mg_progress(ctx, "selection", 1);
	MG_TRY(mg_measure_sets(ctx, c, a, s->set, s->nsets, s->rho_measure));
	body->rounds = s->ncolumns > 2;
	return mg_finish_model(ctx, m, body, s->set, s->nsets, &s->required, GAMMA);
}

static void
set_rho(const mg_fit_request *req, const mg_split *split, swift *s)
{
	s->ncolumns = req->ncolumns;
	s->k = req->rows_per_unit > 0 ? req->rows_per_unit : 1;
	s->rho_select = req->allowance.rho * split->select;
	s->rho_measure = req->allowance.rho * split->measure;
	s->most_cells = mg_search_cells(req, &s->search);
}

static mg_code
swift_plan(mg_ctx *ctx, mg_arena *a, const mg_fit_request *req, mg_plan *out)
{
	size_t scores = (size_t) req->ncolumns * (req->ncolumns - 1) / 2;
	mg_plan_item extra[2];
	uint32_t n = 0;
	mg_ratio sigma2;
	mg_split split;
	swift s = {.req = req};

	MG_TRY(mg_split_swift(ctx, req, &split, &s.search));
	set_rho(req, &split, &s);
	memset(extra, 0, sizeof(extra));
	if (split.select > 0)
	{
		snprintf(extra[n].what, sizeof(extra[n].what), "scores of pairs");
		extra[n].rho = s.rho_select;
		extra[n].sigma = mg_noise_for_scores(s.rho_select, s.k, scores, &sigma2) ? sqrt(mg_ratio_value(sigma2)) : 0;
		extra[n++].count = scores;
	}
	if (split.measure > 0)
	{
		snprintf(extra[n].what, sizeof(extra[n].what), "pair marginals, shared out by their cells");
		extra[n++].rho = s.rho_measure;
	}
	return mg_split_plan(ctx, a, req, &split, extra, n, out);
}

static mg_code
swift_fit(mg_ctx *ctx, mg_curator *c, const mg_fit_request *req, mg_model **out)
{
	mg_arena *scratch;
	mg_graphical *body;
	mg_split split;
	mg_model *m;
	mg_code code;
	swift s = {.req = req};

	MG_TRY(mg_split_swift(ctx, req, &split, &s.search));
	MG_TRY(mg_begin_model(ctx, c, req, &mg_method_swift, &split, &m, &body));
	set_rho(req, &split, &s);
	scratch = mg_arena_create(0);
	code = scratch != NULL ? learn(ctx, &s, c, scratch, m, body) : mg_fail(ctx, MG_NOMEM, "out of memory");
	mg_arena_destroy(scratch);
	return mg_hand_over(code, m, out);
}

const mg_method mg_method_swift = {
	.name = "swift",
	.summary = "one-shot selection of pairs under a size limit",
	.plan = swift_plan,
	.fit = swift_fit,
	.write_body = mg_graphical_write,
	.read_body = mg_graphical_read,
	.compile = mg_graphical_compile,
	.condition = mg_graphical_condition,
	.marginal = mg_graphical_marginal,
	.branches = mg_graphical_branches,
	.describe = mg_graphical_describe,
};
