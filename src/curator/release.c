/*
 * curator/release.c: partition selection: which values of a column may be named at all.
 *
 * What is counted is units, not rows: each value that occurs gets independent noise on the exact number of units that
 * hold it and is named iff that reaches the threshold (Korolova et al. 2009, here with Gaussian noise). Neighbours
 * differ by one unit, whose at most k rows hold at most k values. The count of each of these that both tables hold
 * moves by one: together by sqrt(k) in L2, which the Gaussian covers. Each that only one table holds has count 1
 * there, and is named with probability at most delta / k by the choice of the threshold (mg_partition_threshold); so
 * one of them is with at most `delta`.
 *
 * The result is a function of the multiset of rows and of noise. Of more than `most` values at or over the threshold
 * the heaviest by noisy count stay, ties broken by a fresh random word; the result is ordered by noisy count, then by
 * label or value. So neither the order of rows nor hashes are visible in it, and cutting at `most` is post-processing.
 */
#include "curator/curator_private.h"

#include <stdlib.h>

typedef struct winner
{
	uint64_t value; /* hash or key */
	int64_t noisy;
	uint64_t tie;
	mg_label label;
} winner;

typedef struct release
{
	mg_curator *c;
	mg_ratio sigma2;
	int64_t threshold;
	winner *w; /* a heap: the lightest on top */
	uint32_t n, most;
	mg_arena *a;
} release;

static inline bool
lighter(const winner *x, const winner *y)
{
	return x->noisy != y->noisy ? x->noisy < y->noisy : x->tie < y->tie;
}

static void
sift_down(winner *w, uint32_t n, uint32_t i)
{
	for (;;)
	{
		uint32_t least = i, l = 2 * i + 1;

		if (l < n && lighter(&w[l], &w[least]))
			least = l;
		if (l + 1 < n && lighter(&w[l + 1], &w[least]))
			least = l + 1;
		if (least == i)
			return;
		winner swap = w[i];

		w[i] = w[least];
		w[least] = swap;
		i = least;
	}
}

static void
offer(release *r, const winner *x)
{
	if (r->n < r->most)
	{
		uint32_t i = r->n++;

		for (; i > 0 && lighter(x, &r->w[(i - 1) / 2]); i = (i - 1) / 2)
			r->w[i] = r->w[(i - 1) / 2];
		r->w[i] = *x;
	}
	else if (r->most > 0 && lighter(&r->w[0], x))
	{
		r->w[0] = *x;
		sift_down(r->w, r->n, 0);
	}
}

/* A slice of the distinct values with exact counts, which become noisy here. */
static mg_code
release_slice(mg_ctx *ctx, void *arg, uint64_t *value, int64_t *count, size_t n)
{
	release *r = arg;

	MG_TRY(mg_add_discrete_gaussian(ctx, r->c->noise, r->sigma2, count, n));
	for (size_t i = 0; i < n; i++)
	{
		winner x = {.value = value[i], .noisy = count[i]};

		if (count[i] < r->threshold)
			continue;
		MG_TRY(mg_noise_u64(ctx, r->c->noise, &x.tie));
		offer(r, &x);
	}
	return MG_OK;
}

static mg_code
keep_label(mg_ctx *ctx, void *arg, size_t i, const char *s, size_t len)
{
	release *r = arg;
	char *copy = mg_arena_strndup(r->a, s, len);

	if (copy == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	r->w[i].label.text = copy;
	r->w[i].label.len = (uint32_t) len;
	return MG_OK;
}

static int
by_label(const void *x, const void *y)
{
	const winner *a = x, *b = y;
	uint32_t n = a->label.len < b->label.len ? a->label.len : b->label.len;
	int d;

	if (a->noisy != b->noisy)
		return a->noisy > b->noisy ? -1 : 1;
	d = n > 0 ? memcmp(a->label.text, b->label.text, n) : 0;
	return d != 0 ? d : (a->label.len > b->label.len) - (a->label.len < b->label.len);
}

static int
by_value(const void *x, const void *y)
{
	const winner *a = x, *b = y;

	if (a->noisy != b->noisy)
		return a->noisy > b->noisy ? -1 : 1;
	return (a->value > b->value) - (a->value < b->value); /* keys are in the order of values */
}

static mg_code
find_labels(mg_ctx *ctx, release *r, uint32_t col)
{
	uint64_t *hash = malloc((r->n > 0 ? r->n : 1) * sizeof(*hash));
	mg_code code;

	if (hash == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	for (uint32_t i = 0; i < r->n; i++)
		hash[i] = r->w[i].value;
	code = mg_codes_labels(ctx, r->c->codes, col, hash, r->n, keep_label, r);
	mg_zeroize_free(hash, r->n * sizeof(*hash));
	return code;
}

static mg_code
release_run(mg_ctx *ctx, release *r, uint32_t col, mg_released *out)
{
	bool text = r->c->codes->column[col].storage == MG_STORE_TEXT;
	mg_released result = {.threshold = r->threshold};

	MG_TRY((r->c->k > 1 ? mg_codes_groupby_units : mg_codes_groupby)(ctx, r->c->codes, col, mgc_counting_memory(r->c),
																	 release_slice, r));
	if (text)
		MG_TRY(find_labels(ctx, r, col));
	qsort(r->w, r->n, sizeof(*r->w), text ? by_label : by_value);

	result.count = r->n;
	MG_NEW(ctx, r->a, result.noisy, r->n > 0 ? r->n : 1);
	if (text)
		MG_NEW(ctx, r->a, result.labels, r->n > 0 ? r->n : 1);
	else
		MG_NEW(ctx, r->a, result.values, r->n > 0 ? r->n : 1);
	for (uint32_t i = 0; i < r->n; i++)
	{
		result.noisy[i] = r->w[i].noisy;
		if (text)
			result.labels[i] = r->w[i].label;
		else
			result.values[i] = mg_key_value(r->w[i].value);
	}
	*out = result;
	return MG_OK;
}

mg_code
mg_curator_release(mg_ctx *ctx, mg_curator *c, uint32_t col, mg_ratio sigma2, double delta, uint32_t most, mg_arena *a,
				   mg_released *out)
{
	release r = {.c = c, .sigma2 = sigma2, .a = a};
	mg_event e = mgc_gaussian_event(sigma2, c->k, delta);
	mg_code code;

	MG_TRY(mgc_check_fine(ctx, c, col));
	MG_TRY(mgc_check_sigma2(ctx, sigma2));
	if (!(delta > 0 && delta < 1))
		return mg_fail(ctx, MG_INVALID, "the delta of partition selection must lie between 0 and 1");
	if (c->codes->column[col].storage == MG_STORE_CODE)
		return mg_fail(ctx, MG_INVALID, "the values of column %u are public already", col + 1);
	r.most = most < MG_MAX_LABELS ? most : MG_MAX_LABELS;
	MG_TRY(mg_partition_threshold(ctx, sigma2, delta / c->k, &r.threshold));
	r.w = calloc(r.most > 0 ? r.most : 1, sizeof(*r.w));
	if (r.w == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	code = mgc_debit(ctx, c, &e);
	if (code == MG_OK)
		code = release_run(ctx, &r, col, out);
	mg_zeroize_free(r.w, (r.most > 0 ? r.most : 1) * sizeof(*r.w));
	return code;
}
