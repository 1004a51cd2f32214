/*
 * curator/selection.c: private selection among marginals.
 *
 * score = sum over cells of |exact - answer| - penalty. Answers and penalties do not depend on the table, and a row is
 * in one cell: adding or removing a unit's k rows moves the sum by at most k. Scores of a workload (workload.c) are
 * such sums times public weights. mg_exponential asks for scores of sensitivity 1: it gets score / s by way of
 * epsilon / s, where s is the most that an allowed score can move. Exact marginals are counted in batches and wiped;
 * scores stay in here until mg_selection_end, and only indexes drawn by the exponential mechanism leave.
 */
#include "curator/curator_private.h"

#include <stdlib.h>

typedef struct scoring
{
	mg_curator *c;
	const mg_candidate *cand;
	size_t count;
	void (*fill)(void *arg, size_t i, int64_t *out);
	void *arg;
	mg_count *batch;
	int64_t *buffer; /* [most] exact counts */
	size_t most;
	int64_t *answer; /* [longest] what fill wrote */
	size_t longest;
	int64_t *score;
} scoring;

void
mgc_score_add(mgc_score *s, const int64_t *exact, const int64_t *answer, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		__int128 d = (__int128) exact[i] - answer[i];

		s->sum += (unsigned __int128) (d < 0 ? -d : d);
	}
}

int64_t
mgc_score_value(const mgc_score *s, int64_t penalty)
{
	const __int128 most = (__int128) 1 << 62;
	__int128 v = (__int128) s->sum - penalty; /* the sum is below 2^28 * 2^64 */

	return (int64_t) (v > most ? most : v < -most ? -most : v);
}

const int64_t *
mgc_selection_scores(const mg_selection *s)
{
	return s->score;
}

static size_t
cells_of(const scoring *s, size_t i)
{
	size_t cells = 0;

	mg_count_cells(s->c->codes, s->cand[i].cols, s->cand[i].k, &cells);
	return cells;
}

static const int64_t *
answer_of(scoring *s, size_t i)
{
	if (s->cand[i].answer != NULL)
		return s->cand[i].answer;
	s->fill(s->arg, i, s->answer);
	return s->answer;
}

/* Candidates first .. first + n - 1, whose marginals fit the buffer together. */
static mg_code
score_batch(mg_ctx *ctx, scoring *s, size_t first, size_t n)
{
	size_t used = 0;

	for (size_t i = 0; i < n; i++)
	{
		const mg_candidate *k = &s->cand[first + i];

		s->batch[i] = (mg_count){.k = k->k, .cols = k->cols, .cells = cells_of(s, first + i), .out = s->buffer + used};
		used += s->batch[i].cells;
	}
	MG_TRY(mg_count_run(ctx, s->c->codes, s->batch, n, mgc_counting_memory(s->c)));
	for (size_t i = 0; i < n; i++)
	{
		mgc_score sum = {0};

		MG_TRY(mg_poll(ctx));
		mgc_score_add(&sum, s->batch[i].out, answer_of(s, first + i), s->batch[i].cells);
		s->score[first + i] = mgc_score_value(&sum, s->cand[first + i].penalty);
	}
	return MG_OK;
}

/* One candidate that is larger than the buffer, in ranges of cells. */
static mg_code
score_large(mg_ctx *ctx, scoring *s, size_t i)
{
	size_t cells = cells_of(s, i);
	const int64_t *answer = answer_of(s, i);
	mgc_score sum = {0};

	for (size_t at = 0; at < cells; at += s->most)
	{
		size_t n = cells - at < s->most ? cells - at : s->most;
		mg_count q = {.k = s->cand[i].k, .cols = s->cand[i].cols, .first = at, .cells = n, .out = s->buffer};

		MG_TRY(mg_count_run(ctx, s->c->codes, &q, 1, mgc_counting_memory(s->c)));
		mgc_score_add(&sum, s->buffer, answer + at, n);
	}
	s->score[i] = mgc_score_value(&sum, s->cand[i].penalty);
	return MG_OK;
}

static mg_code
score_all(mg_ctx *ctx, scoring *s)
{
	for (size_t first = 0; first < s->count;)
	{
		size_t n = 0, used = 0;

		while (first + n < s->count && cells_of(s, first + n) <= s->most - used)
			used += cells_of(s, first + n++);
		if (n == 0)
			MG_TRY(score_large(ctx, s, first++));
		else
			MG_TRY(score_batch(ctx, s, first, n));
		first += n;
	}
	return MG_OK;
}

static mg_code
check_candidates(mg_ctx *ctx, scoring *s)
{
	size_t sum = 0;

	if (s->count == 0)
		return mg_fail(ctx, MG_INVALID, "there is nothing to select from");
	s->most = mgc_cells_at_once(s->c);
	for (size_t i = 0; i < s->count; i++)
	{
		const mg_candidate *k = &s->cand[i];
		size_t cells = 0;

		MG_TRY(mgc_check_marginal(ctx, s->c, k->cols, k->k, &cells));
		if (k->answer == NULL && s->fill == NULL)
			return mg_fail(ctx, MG_INVALID, "a candidate has no answer");
		if (k->answer == NULL && cells > s->longest)
			s->longest = cells;
		sum = sum < s->most - (cells < s->most ? cells : s->most) ? sum + cells : s->most;
	}
	s->most = sum; /* no more than all of them need */
	return MG_OK;
}

mg_code
mg_selection_begin(mg_ctx *ctx, mg_curator *c, const mg_candidate *cand, size_t count,
				   void (*fill)(void *arg, size_t i, int64_t *out), void *arg, mg_selection **out)
{
	scoring s = {.c = c, .cand = cand, .count = count, .fill = fill, .arg = arg};
	mg_selection *result;
	mg_code code;

	MG_TRY(mgc_check_coarse(ctx, c));
	MG_TRY(check_candidates(ctx, &s));
	result = calloc(1, sizeof(*result));
	s.batch = calloc(count, sizeof(*s.batch));
	s.score = calloc(count, sizeof(*s.score));
	s.buffer = calloc(s.most, sizeof(*s.buffer));
	s.answer = calloc(s.longest > 0 ? s.longest : 1, sizeof(*s.answer));
	code = !result || !s.batch || !s.score || !s.buffer || !s.answer ? mg_fail(ctx, MG_NOMEM, "out of memory") : MG_OK;
	if (code == MG_OK)
		code = score_all(ctx, &s);
	free(s.batch);
	free(s.answer);
	mg_zeroize_free(s.buffer, s.buffer ? s.most * sizeof(*s.buffer) : 0);
	if (code != MG_OK)
	{
		mg_zeroize_free(s.score, s.score ? count * sizeof(*s.score) : 0);
		free(result);
		return code;
	}
	result->c = c;
	result->count = count;
	result->score = s.score;
	*out = result;
	return MG_OK;
}

/*
 * epsilon / s as the rational that the sampler takes. Exact where its terms fit 2^53; else rounded down to a power of
 * two in the denominator, which makes the choice a little more private than it is charged for. false: not in range, or
 * rounded to nothing.
 */
static bool
per_score(mg_ratio epsilon, uint64_t s, mg_ratio *out)
{
	const uint64_t most = UINT64_C(1) << 53;
	unsigned __int128 scaled;
	int shift = 53;

	if (epsilon.num == 0 || epsilon.den == 0 || epsilon.num > most || epsilon.den > most)
		return false;
	if (epsilon.den <= most / s)
	{
		*out = (mg_ratio){epsilon.num, epsilon.den * s};
		return true;
	}
	do
		scaled = ((unsigned __int128) epsilon.num << shift) / ((unsigned __int128) epsilon.den * s);
	while (scaled > most && shift-- > 0);
	*out = (mg_ratio){(uint64_t) scaled, UINT64_C(1) << shift};
	return scaled > 0;
}

mg_code
mg_selection_choose(mg_ctx *ctx, mg_selection *s, const bool *allowed, mg_ratio epsilon, size_t *chosen)
{
	mg_event e = {MG_EVENT_EXPONENTIAL, 0, 1, 0};
	bool any = allowed == NULL;
	size_t index = 0;
	mg_ratio scaled;

	for (size_t i = 0; i < s->count && !any; i++)
		any = allowed[i];
	if (!any)
		return mg_fail(ctx, MG_INVALID, "there is nothing to select from");
	if (!per_score(epsilon, mgc_selection_sensitivity(s, allowed), &scaled))
		return mg_fail(ctx, MG_INVALID, "the epsilon of a selection must be a positive ratio");
	e.param = (double) epsilon.num / (double) epsilon.den * (1 + 0x1.0p-51); /* up: never under the truth */
	MG_TRY(mgc_debit(ctx, s->c, &e));
	MG_TRY(mg_exponential(ctx, s->c->noise, scaled, s->score, allowed, s->count, &index));
	*chosen = index;
	return MG_OK;
}

mg_code
mg_selection_release(mg_ctx *ctx, mg_selection *s, mg_ratio sigma2, int64_t *noisy)
{
	uint64_t squared = mgc_selection_squared_reach(s);
	mg_event e;
	mg_code code;
	int64_t *own;

	MG_TRY(mgc_check_sigma2(ctx, sigma2));
	if (squared == UINT64_MAX)
		return mg_fail(ctx, MG_INVALID, "too many or too heavy scores to release together");
	e = mgc_gaussian_event(sigma2, squared, 0);
	own = calloc(s->count + 1, sizeof(*own));
	if (own == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	code = mgc_debit(ctx, s->c, &e);
	if (code == MG_OK)
	{
		memcpy(own, s->score, s->count * sizeof(*own));
		code = mg_add_discrete_gaussian(ctx, s->c->noise, sigma2, own, s->count);
	}
	if (code == MG_OK)
		memcpy(noisy, own, s->count * sizeof(*own));
	mg_zeroize_free(own, (s->count + 1) * sizeof(*own));
	return code;
}

void
mg_selection_end(mg_selection *s)
{
	if (s == NULL)
		return;
	mg_zeroize_free(s->score, s->score ? s->count * sizeof(*s->score) : 0);
	free(s->weight);
	free(s);
}
