/*
 * curator/workload.c: exact marginals, counted once and kept; scores and measurements from them.
 *
 * score = weight * (sum over cells of |exact - answer| - penalty). Answers, weights and penalties do not depend on the
 * table, and a row is in one cell: adding or removing a unit's k rows moves contender i's score by at most k *
 * weight_i, and clamping to +-2^62 is 1-Lipschitz. A choice among the contenders A that are allowed is an exponential
 * mechanism over the scores of A alone, whose sensitivity is k * max over A of weight_i: what is not in A has no part
 * in it (the set itself is a caller's, made from public and released figures, like answers and penalties).
 * docs/privacy.md has the proof.
 *
 * Kept counts live in one array, which is wiped by mg_workload_end; the buffers of what is counted again are wiped when
 * the call ends. The only ways out of here are mg_selection_choose, and mg_add_discrete_gaussian over a private copy.
 */
#include "curator/workload.h"

#include "curator/curator_private.h"

#include <math.h>
#include <stdlib.h>

typedef struct kept
{
	uint32_t k;
	uint32_t *cols; /* into the workload's */
	size_t cells;
	uint32_t *count; /* [cells], into the workload's; NULL: counted when asked for */
} kept;

struct mg_workload
{
	mg_curator *c;
	size_t n;
	kept *of;          /* [n] */
	uint32_t *cols;    /* of all */
	uint32_t *count;   /* of those kept */
	size_t cells_kept; /* and of the gaps between them */
};

#define CELLS_ALIGN 16 /* no two marginals share a cache line: tasks write to different ones at once */

size_t
mg_workload_cells(const mg_workload *w, size_t marginal)
{
	return w->of[marginal].cells;
}

void
mg_workload_end(mg_workload *w)
{
	if (w == NULL)
		return;
	mg_zeroize_free(w->count, w->count ? w->cells_kept * sizeof(*w->count) : 0);
	free(w->cols);
	free(w->of);
	free(w);
}

/* Checks the sets, copies them and finds which are kept. */
static mg_code
take_sets(mg_ctx *ctx, mg_workload *w, const mg_marginal_of *sets, size_t memory)
{
	size_t ncols = 0;
	uint32_t *next;

	for (size_t i = 0; i < w->n; i++)
		if (sets[i].k == 0 || sets[i].k > w->c->ncolumns || !mg_add_size(ncols, sets[i].k, &ncols))
			return mg_fail(ctx, MG_INVALID, "a marginal of a workload has no columns, or too many");
	w->of = calloc(w->n > 0 ? w->n : 1, sizeof(*w->of));
	w->cols = calloc(ncols > 0 ? ncols : 1, sizeof(*w->cols));
	if (w->of == NULL || w->cols == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	next = w->cols;
	for (size_t i = 0; i < w->n; i++)
	{
		kept *m = &w->of[i];

		for (uint32_t j = 1; j < sets[i].k; j++)
			if (sets[i].cols[j] <= sets[i].cols[j - 1])
				return mg_fail(ctx, MG_INVALID, "the columns of a marginal must ascend");
		MG_TRY(mgc_check_marginal(ctx, w->c, sets[i].cols, sets[i].k, &m->cells));
		m->k = sets[i].k;
		m->cols = memcpy(next, sets[i].cols, m->k * sizeof(*next));
		next += m->k;
	}
	for (size_t i = 0; i < w->n; i++)
	{
		size_t room = (w->of[i].cells + CELLS_ALIGN - 1) & ~(size_t) (CELLS_ALIGN - 1);

		if (room <= memory / sizeof(uint32_t) - w->cells_kept)
			w->cells_kept += room;
		else
			w->of[i].cols = NULL; /* for the moment: it is not kept */
	}
	return MG_OK;
}

/* One pass over the table for all that is kept. */
static mg_code
count_kept(mg_ctx *ctx, mg_workload *w)
{
	mg_count_32 *count = calloc(w->n > 0 ? w->n : 1, sizeof(*count));
	uint32_t *cols = w->cols;
	size_t at = 0, n = 0;
	mg_code code;

	w->count = malloc(w->cells_kept > 0 ? w->cells_kept * sizeof(*w->count) : 1);
	if (count == NULL || w->count == NULL)
	{
		free(count);
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	}
	memset(w->count, 0, w->cells_kept * sizeof(*w->count));
	for (size_t i = 0; i < w->n; cols += w->of[i++].k)
	{
		kept *m = &w->of[i];

		if (m->cols != NULL && mg_count_narrow(w->c->codes))
		{
			m->count = w->count + at;
			count[n++] = (mg_count_32){.k = m->k, .cols = m->cols, .out = m->count};
			at += (m->cells + CELLS_ALIGN - 1) & ~(size_t) (CELLS_ALIGN - 1);
		}
		m->cols = cols;
	}
	code = mg_count_run_32(ctx, w->c->codes, count, n);
	free(count);
	return code;
}

mg_code
mg_workload_begin(mg_ctx *ctx, mg_curator *c, const mg_marginal_of *sets, size_t count, size_t memory,
				  mg_workload **out)
{
	mg_workload *w;
	mg_code code;

	MG_TRY(mgc_check_coarse(ctx, c));
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	w->c = c;
	w->n = count;
	code = take_sets(ctx, w, sets, memory);
	if (code == MG_OK)
		code = count_kept(ctx, w);
	if (code != MG_OK)
	{
		mg_workload_end(w);
		return code;
	}
	*out = w;
	return MG_OK;
}

/* ---- scores ---- */

uint64_t
mgc_selection_sensitivity(const mg_selection *s, const bool *allowed)
{
	uint64_t most = 1;

	for (size_t i = 0; i < s->count && s->weight != NULL; i++)
		if ((allowed == NULL || allowed[i]) && s->weight[i] > most)
			most = s->weight[i];
	return most * s->c->k;
}

uint64_t
mgc_selection_squared_reach(const mg_selection *s)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < s->count; i++)
	{
		uint64_t move = (uint64_t) s->c->k * (s->weight != NULL ? s->weight[i] : 1);

		if (__builtin_mul_overflow(move, move, &move) || __builtin_add_overflow(sum, move, &sum))
			return UINT64_MAX;
	}
	return sum;
}

int64_t
mgc_weighted_score(const mgc_score *s, uint32_t weight, int64_t penalty)
{
	const __int128 most = (__int128) 1 << 62;
	__int128 v = ((__int128) s->sum - penalty) * weight; /* the sum is below 2^28 * 2^64, weights are at most 2^16 */

	return (int64_t) (v > most ? most : v < -most ? -most : v);
}

/* Rounded half away from zero, NaN 0, clamped to +-2^62. */
static inline int64_t
whole(double x)
{
	int64_t n;
	double rest;

	if (!(fabs(x) < 0x1.0p62))
		return x > 0 ? INT64_C(1) << 62 : x < 0 ? -(INT64_C(1) << 62) : 0;
	n = (int64_t) x; /* towards zero; the rest is exact */
	rest = x - (double) n;
	return n + (rest >= 0.5) - (rest <= -0.5);
}

#define CELLS_AT_ONCE 1024

static void
add_kept(mgc_score *s, const uint32_t *exact, const double *answer, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		int64_t d = (int64_t) exact[i] - whole(answer[i]); /* below 2^63 */

		s->sum += (uint64_t) (d < 0 ? -d : d);
	}
}

static void
add_counted(mgc_score *s, const int64_t *exact, const double *answer, size_t n)
{
	int64_t rounded[CELLS_AT_ONCE];

	for (size_t at = 0; at < n; at += CELLS_AT_ONCE)
	{
		size_t some = n - at < CELLS_AT_ONCE ? n - at : CELLS_AT_ONCE;

		for (size_t i = 0; i < some; i++)
			rounded[i] = whole(answer[at + i]);
		mgc_score_add(s, exact + at, rounded, some);
	}
}

typedef struct scoring
{
	mg_workload *w;
	const mg_contender *cont;
	size_t count;
	double *answer; /* [longest] what fill wrote */
	size_t longest;
	int64_t *buffer; /* [most] counts of marginals that are not kept */
	size_t most;
	size_t again, used; /* such contenders before this one are counted, into so much of the buffer */
	size_t read;        /* of the buffer, by the contenders before the present one */
	mg_count *batch;    /* [count] */
} scoring;

static const kept *
marginal_of(const scoring *s, size_t i)
{
	return &s->w->of[s->cont[i].marginal];
}

/* Contender i is not kept and not in the buffer: counts it and as many of the next ones as fit. */
static mg_code
count_again(mg_ctx *ctx, scoring *s, size_t i)
{
	size_t n = 0;

	s->used = s->read = 0;
	for (s->again = i; s->again < s->count; s->again++)
	{
		const kept *m = marginal_of(s, s->again);

		if (m->count != NULL)
			continue;
		if (m->cells > s->most - s->used)
			break;
		s->batch[n++] = (mg_count){.k = m->k, .cols = m->cols, .cells = m->cells, .out = s->buffer + s->used};
		s->used += m->cells;
	}
	return mg_count_run(ctx, s->w->c->codes, s->batch, n, mgc_counting_memory(s->w->c));
}

/* One that is larger than the buffer, in ranges of cells. The batch before it ended here, so none of it is lost. */
static mg_code
score_large(mg_ctx *ctx, scoring *s, const kept *m, mgc_score *sum)
{
	for (size_t at = 0; at < m->cells; at += s->most)
	{
		size_t n = m->cells - at < s->most ? m->cells - at : s->most;
		mg_count q = {.k = m->k, .cols = m->cols, .first = at, .cells = n, .out = s->buffer};

		MG_TRY(mg_count_run(ctx, s->w->c->codes, &q, 1, mgc_counting_memory(s->w->c)));
		add_counted(sum, s->buffer, s->answer + at, n);
	}
	return MG_OK;
}

static mg_code
score_one(mg_ctx *ctx, scoring *s, size_t i, mgc_score *sum)
{
	const kept *m = marginal_of(s, i);

	if (m->count != NULL)
		add_kept(sum, m->count, s->answer, m->cells);
	else if (m->cells > s->most)
		return score_large(ctx, s, m, sum);
	else
	{
		if (i >= s->again)
			MG_TRY(count_again(ctx, s, i));
		add_counted(sum, s->buffer + s->read, s->answer, m->cells);
		s->read += m->cells;
	}
	return MG_OK;
}

static mg_code
check_contenders(mg_ctx *ctx, scoring *s)
{
	size_t all = 0, most = mgc_cells_at_once(s->w->c);

	if (s->count == 0)
		return mg_fail(ctx, MG_INVALID, "there is nothing to select from");
	for (size_t i = 0; i < s->count; i++)
	{
		const kept *m = s->w->of;

		if (s->cont[i].marginal >= s->w->n)
			return mg_fail(ctx, MG_INVALID, "a contender is not in the workload");
		if (s->cont[i].weight == 0 || s->cont[i].weight > MG_MAX_WEIGHT)
			return mg_fail(ctx, MG_INVALID, "a contender's weight must be 1 to %u", MG_MAX_WEIGHT);
		m += s->cont[i].marginal;
		if (m->cells > s->longest)
			s->longest = m->cells;
		if (m->count == NULL)
			all = all < most - (m->cells < most ? m->cells : most) ? all + m->cells : most;
	}
	s->most = all; /* no more than all of them need */
	return MG_OK;
}

static mg_code
score_all(mg_ctx *ctx, scoring *s, void (*fill)(void *arg, size_t i, double *out), void *arg, mg_selection *out)
{
	for (size_t i = 0; i < s->count; i++)
	{
		mgc_score sum = {0};

		MG_TRY(mg_poll(ctx));
		fill(arg, i, s->answer);
		MG_TRY(score_one(ctx, s, i, &sum));
		out->score[i] = mgc_weighted_score(&sum, s->cont[i].weight, s->cont[i].penalty);
		out->weight[i] = s->cont[i].weight;
	}
	return MG_OK;
}

mg_code
mg_workload_score(mg_ctx *ctx, mg_workload *w, const mg_contender *cont, size_t count,
				  void (*fill)(void *arg, size_t i, double *out), void *arg, mg_selection **out)
{
	scoring s = {.w = w, .cont = cont, .count = count};
	mg_selection *result;
	mg_code code;

	MG_TRY(mgc_check_coarse(ctx, w->c));
	MG_TRY(check_contenders(ctx, &s));
	result = calloc(1, sizeof(*result));
	s.batch = calloc(count, sizeof(*s.batch));
	s.buffer = calloc(s.most > 0 ? s.most : 1, sizeof(*s.buffer));
	s.answer = calloc(s.longest, sizeof(*s.answer));
	code = !result || !s.batch || !s.buffer || !s.answer ? mg_fail(ctx, MG_NOMEM, "out of memory") : MG_OK;
	if (code == MG_OK)
	{
		result->c = w->c;
		result->count = count;
		result->score = calloc(count, sizeof(*result->score));
		result->weight = calloc(count, sizeof(*result->weight));
		code = !result->score || !result->weight ? mg_fail(ctx, MG_NOMEM, "out of memory") : MG_OK;
	}
	if (code == MG_OK)
		code = score_all(ctx, &s, fill, arg, result);
	free(s.batch);
	free(s.answer);
	mg_zeroize_free(s.buffer, s.buffer ? s.most * sizeof(*s.buffer) : 0);
	if (code == MG_OK)
		*out = result;
	else
		mg_selection_end(result);
	return code;
}

/* ---- measurements ---- */

#define CELLS_OF_COPY 65536

static mg_event
query_event(const mg_curator *c, const void *arg, size_t i)
{
	return mgc_rows_event(c, ((const mg_workload_query *) arg)[i].sigma2);
}

/* Noised in a private copy of `size` cells, and handed out from there. */
static mg_code
measure_kept(mg_ctx *ctx, mg_curator *c, const kept *m, const mg_workload_query *q, int64_t *copy, size_t size)
{
	for (size_t at = 0; at < m->cells; at += size)
	{
		size_t n = m->cells - at < size ? m->cells - at : size;

		for (size_t i = 0; i < n; i++)
			copy[i] = m->count[at + i];
		MG_TRY(mg_add_discrete_gaussian(ctx, c->noise, q->sigma2, copy, n));
		memcpy(q->noisy + at, copy, n * sizeof(*copy));
	}
	return MG_OK;
}

static mg_code
measure_debited(mg_ctx *ctx, mg_workload *w, const mg_workload_query *q, size_t count)
{
	mg_marginal_query *again = calloc(count, sizeof(*again));
	int64_t *copy = calloc(CELLS_OF_COPY, sizeof(*copy));
	mg_code code = again == NULL || copy == NULL ? mg_fail(ctx, MG_NOMEM, "out of memory") : MG_OK;
	size_t n = 0;

	for (size_t i = 0; i < count && code == MG_OK; i++)
	{
		const kept *m = &w->of[q[i].marginal];

		if (m->count != NULL)
			code = measure_kept(ctx, w->c, m, &q[i], copy, CELLS_OF_COPY);
		else
			again[n++] = (mg_marginal_query){.k = m->k, .cols = m->cols, .sigma2 = q[i].sigma2, .noisy = q[i].noisy};
	}
	if (code == MG_OK)
		code = mgc_measure_debited(ctx, w->c, again, n);
	free(again);
	mg_zeroize_free(copy, copy ? CELLS_OF_COPY * sizeof(*copy) : 0);
	return code;
}

mg_code
mg_workload_measure(mg_ctx *ctx, mg_workload *w, mg_workload_query *q, size_t count)
{
	MG_TRY(mgc_check_coarse(ctx, w->c));
	for (size_t i = 0; i < count; i++)
	{
		if (q[i].marginal >= w->n)
			return mg_fail(ctx, MG_INVALID, "a marginal is not in the workload");
		MG_TRY(mgc_check_sigma2(ctx, q[i].sigma2));
	}
	if (count == 0)
		return MG_OK;
	MG_TRY(mgc_debit_all(ctx, w->c, count, query_event, q));
	return measure_debited(ctx, w, q, count);
}
