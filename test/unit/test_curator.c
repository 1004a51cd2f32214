/*
 * test/unit/test_curator.c: every query of the curator against brute force over the rows that were loaded, with memory
 * so small that all goes to the store, with plenty, and with threads; and what makes it private: the sensitivity of
 * each exact vector, the charge of each query, and noise that is there.
 *
 * Exactness is seen through queries of a variance of 2^-20: a discrete Gaussian of sigma 0.001 is 0 but with
 * probability e^-500000.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "curator/curator_private.h"
#include "memory_store.h"
#include "num/rng.h"
#include "seeded_noise.h"

#define COLUMNS 7
#define SMALL (256u << 10) /* 1,024 rows a group, 2 resident groups before recoding and 12 after */
#define LARGE (64u << 20)

enum
{
	COLOUR, /* closed category of 5 labels, loaded as text */
	CODE,   /* closed category of 300 labels, loaded as codes */
	AGE,    /* closed 0..90, step 1 */
	HALF,   /* closed -100..100, step 1/2 */
	TOWN,   /* open text */
	PAY,    /* open number */
	REAL    /* closed -1..1, continuous */
};

static const mg_ratio exactly = {1, 1 << 20};
static const mg_label colours[] = {{"red", 3},
								   {"green", 5},
								   {"blue", 4},
								   {"", 0},
								   {"a label that is longer than the cache", 37}};
static mg_label codes[300];

static void
fill_domains(mg_domain d[COLUMNS])
{
	for (int i = 0; i < 300; i++)
		codes[i] = (mg_label){"x", 1}; /* loaded by code: the text does not matter */
	memset(d, 0, COLUMNS * sizeof(*d));
	d[COLOUR] = (mg_domain){.name = "colour",
							.kind = MG_CATEGORY,
							.nullable = true,
							.has_other = true,
							.nlabels = 5,
							.labels = colours};
	d[CODE] = (mg_domain){.name = "code", .kind = MG_CATEGORY, .nlabels = 300, .labels = codes};
	d[AGE] = (mg_domain){.name = "age", .kind = MG_NUMBER, .nullable = true, .upper = 90, .step = 1};
	d[HALF] = (mg_domain){.name = "half", .kind = MG_NUMBER, .lower = -100, .upper = 100, .step = 0.5};
	d[TOWN] = (mg_domain){.name = "town", .kind = MG_CATEGORY, .nullable = true, .open = true, .has_other = true};
	d[PAY] = (mg_domain){
		.name = "pay", .kind = MG_NUMBER, .nullable = true, .open = true, .lower = -1e300, .upper = 1e300, .step = 1};
	d[REAL] = (mg_domain){.name = "real", .kind = MG_NUMBER, .lower = -1, .upper = 1};
}

/* A row as the test made it. */
typedef struct row
{
	bool null[COLUMNS];
	char text[2][64]; /* COLOUR, TOWN */
	uint32_t len[2];
	uint32_t code;
	double number[COLUMNS];
} row;

#define LONG_TEXT 2000 /* a len of more than MG_MAX_LABEL_BYTES stands for that many letters */

static void
make_row(mg_rng *r, row *w, uint32_t towns)
{
	static const double odd[] = {NAN, INFINITY, -INFINITY, -0.0, 1e308, -1e308, 90.4, -0.6};
	uint64_t u = mg_rng_u64(r);

	memset(w, 0, sizeof(*w));
	for (int j = 0; j < COLUMNS; j++)
	{
		w->null[j] = mg_rng_u64(r) % 13 == 0;
		w->number[j] =
			mg_rng_u64(r) % 10 == 0 ? odd[mg_rng_u64(r) % 8] : (double) (int) (mg_rng_unit(r) * mg_rng_unit(r) * 100);
	}
	if (mg_rng_u64(r) % 2)
		w->number[REAL] = mg_rng_unit(r) * 2.2 - 1.1;
	w->number[HALF] = w->number[HALF] * 3 - 120 + 0.13;
	if (u % 7 < 5)
	{
		w->len[0] = colours[u % 7].len;
		memcpy(w->text[0], colours[u % 7].text, w->len[0]);
	}
	else
		w->len[0] = (uint32_t) sprintf(w->text[0], "redd%d", (int) (u % 3));
	w->code = (uint32_t) (mg_rng_unit(r) * 310);
	if (mg_rng_u64(r) % 50 == 0)
		w->len[1] = LONG_TEXT;
	else
		w->len[1] =
			(uint32_t) sprintf(w->text[1], "town %d", (int) (mg_rng_unit(r) * mg_rng_unit(r) * mg_rng_unit(r) * towns));
}

static void
load_rows(mg_ctx *ctx, mg_curator *c, const row *w, size_t n, size_t leave_out)
{
	static char letters[LONG_TEXT];

	memset(letters, 'z', sizeof(letters));
	for (size_t i = 0; i < n; i++)
	{
		if (i == leave_out)
			continue;
		for (uint32_t j = 0; j < COLUMNS; j++)
		{
			if (w[i].null[j])
			{
				if (i % 2) /* no call at all is NULL, too */
					mg_load_null(c, j);
			}
			else if (j == COLOUR)
				mg_load_text(c, j, w[i].text[0], w[i].len[0]);
			else if (j == TOWN)
				mg_load_text(c, j, w[i].len[1] == LONG_TEXT ? letters : w[i].text[1], w[i].len[1]);
			else if (j == CODE)
				mg_load_code(c, j, w[i].code);
			else
				mg_load_number(c, j, w[i].number[j]);
		}
		assert_int_equal(mg_load_row(ctx, c), MG_OK);
	}
	assert_int_equal(mg_load_finish(ctx, c), MG_OK);
}

typedef struct world
{
	mg_ctx ctx;
	mg_noise *noise;
	mg_odometer odometer;
	memory_store store;
	mg_arena *a;
	mg_curator *c;
	mg_domain domain[COLUMNS];
} world;

static void
open_world(world *w, size_t memory, int threads, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	mg_ctx_init(&w->ctx);
	if (threads > 0)
		w->ctx.pool = mg_pool_create(threads);
	w->noise = seeded_noise(seed);
	mg_odometer_init(&w->odometer, 1e15, 1);
	memory_store_init(&w->store);
	w->a = mg_arena_create(0);
	fill_domains(w->domain);
	assert_int_equal(mg_curator_create(&w->ctx, w->domain, COLUMNS, w->noise, &w->odometer, &w->store.store, memory,
									   &w->c),
					 MG_OK);
}

static void
close_world(world *w)
{
	mg_curator_destroy(w->c);
	assert_int_equal(w->store.opened, w->store.closed);
	memory_store_free(&w->store);
	mg_noise_destroy(w->noise);
	mg_arena_destroy(w->a);
	mg_pool_destroy(w->ctx.pool);
}

static row *
make_rows(size_t n, uint32_t towns, uint64_t seed)
{
	row *w = calloc(n > 0 ? n : 1, sizeof(*w));
	mg_rng r;

	mg_rng_seed(&r, seed);
	for (size_t i = 0; i < n; i++)
		make_row(&r, &w[i], towns);
	return w;
}

/* ---- the oracle ---- */

#define PAY_CELLS 12
#define REAL_CELLS 8
#define TOWNS 3
static const mg_label towns[TOWNS] = {{"town 0", 6}, {"town 5", 6}, {"town 17", 7}};
static mg_cell pay_cells[PAY_CELLS], real_cells[REAL_CELLS];
static const uint32_t nfine_of[COLUMNS] = {7, 302, 92, 402, TOWNS + 2, PAY_CELLS + 1, REAL_CELLS + 1};

static void
fill_cells(void)
{
	for (int i = 0; i < PAY_CELLS; i++)
		pay_cells[i] = (mg_cell){i * 8, (i + 1) * 8};
	for (int i = 0; i < REAL_CELLS; i++)
		real_cells[i] = (mg_cell){-1 + i * 0.25, -0.75 + i * 0.25};
}

/* What the contract says the fine cell of a value is, once open columns are fixed to the cells and towns above. */
static uint32_t
fine_by_contract(const row *w, uint32_t j)
{
	double v = w->number[j];
	uint32_t null_cell = nfine_of[j] - 1;

	if (w->null[j])
		return null_cell;
	if (j == COLOUR || j == TOWN)
	{
		const mg_label *l = j == COLOUR ? colours : towns;
		uint32_t n = nfine_of[j] - 2, k = j == COLOUR ? 0 : 1;

		for (uint32_t i = 0; i < n && w->len[k] != LONG_TEXT; i++)
			if (l[i].len == w->len[k] && memcmp(l[i].text, w->text[k], w->len[k]) == 0)
				return i;
		return n;
	}
	if (j == CODE)
		return w->code < 300 ? w->code : 300;
	if (!isfinite(v))
		return null_cell;
	if (j == AGE)
		return (uint32_t) lround(fmin(fmax(v, 0), 90));
	if (j == HALF)
		return (uint32_t) lround((fmin(fmax(v, -100), 100) + 100) * 2);
	if (j == PAY)
		return (uint32_t) fmin(fmax(floor(v / 8), 0), PAY_CELLS - 1);
	return (uint32_t) fmin(fmax(floor((fmin(fmax(v, -1), 1) + 1) * 4), 0), REAL_CELLS - 1);
}

static void
fix_open(world *w)
{
	fill_cells();
	assert_int_equal(mg_curator_fix_labels(&w->ctx, w->c, TOWN, towns, TOWNS), MG_OK);
	assert_int_equal(mg_curator_fix_number(&w->ctx, w->c, PAY, pay_cells, PAY_CELLS), MG_OK);
	assert_int_equal(mg_curator_fix_number(&w->ctx, w->c, REAL, real_cells, REAL_CELLS), MG_OK);
}

static uint32_t
coarse_count(uint32_t j)
{
	return nfine_of[j] < 300 ? (nfine_of[j] + 1) / 2 : nfine_of[j] - 1; /* CODE and HALF stay wider than a byte */
}

static uint16_t
coarse_of(uint32_t j, uint32_t fine)
{
	return (uint16_t) (nfine_of[j] < 300 ? fine / 2 : fine > 0 ? fine - 1 : 0);
}

static void
recode_all(world *w)
{
	const uint16_t *merge[COLUMNS];
	uint32_t ncoarse[COLUMNS];

	for (uint32_t j = 0; j < COLUMNS; j++)
	{
		uint16_t *m = mg_arena_alloc(w->a, nfine_of[j], sizeof(*m));

		for (uint32_t i = 0; i < nfine_of[j]; i++)
			m[i] = coarse_of(j, i);
		merge[j] = m;
		ncoarse[j] = coarse_count(j);
	}
	assert_int_equal(mg_curator_recode(&w->ctx, w->c, merge, ncoarse), MG_OK);
}

static size_t
marginal_cells(const uint32_t *cols, uint32_t k)
{
	size_t n = 1;

	for (uint32_t i = 0; i < k; i++)
		n *= coarse_count(cols[i]);
	return n;
}

static int64_t *
marginal_by_force(const row *w, size_t n, const uint32_t *cols, uint32_t k)
{
	int64_t *m = calloc(marginal_cells(cols, k), sizeof(*m));

	for (size_t i = 0; i < n; i++)
	{
		size_t at = 0;

		for (uint32_t j = 0; j < k; j++)
			at = at * coarse_count(cols[j]) + coarse_of(cols[j], fine_by_contract(&w[i], cols[j]));
		m[at]++;
	}
	return m;
}

/* ---- queries against brute force ---- */

static const struct
{
	size_t memory;
	int threads;
	size_t rows;
	uint32_t towns;
} settings[] = {{SMALL, 0, 30000, 9000}, {SMALL, 2, 30000, 9000}, {LARGE, 0, 30000, 50}, {LARGE, 3, 70000, 9000},
				{SMALL, 0, 0, 1},        {LARGE, 0, 1, 1},        {SMALL, 0, 8192, 1000}};
#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

static void
check_hierarchy(world *w, const row *rows, size_t n, uint32_t col)
{
	uint32_t nfine = nfine_of[col], size[3] = {nfine, (nfine + 2) / 3, 1};
	uint32_t *group = malloc(nfine * sizeof(*group)), *one = calloc(nfine, sizeof(*one));
	const uint32_t *groups[3] = {NULL, group, one};
	const mg_ratio sigma2[3] = {exactly, exactly, exactly};
	int64_t *noisy[3], *expected = calloc(nfine, sizeof(*expected));

	assert_int_equal(mg_curator_nfine(w->c, col), nfine);
	for (int k = 0; k < 3; k++)
		noisy[k] = malloc(size[k] * sizeof(int64_t));
	for (uint32_t i = 0; i < nfine; i++)
		group[i] = i / 3;
	for (size_t i = 0; i < n; i++)
		expected[fine_by_contract(&rows[i], col)]++;
	assert_int_equal(mg_curator_hierarchy(&w->ctx, w->c, col, 3, size, groups, sigma2, noisy), MG_OK);
	for (uint32_t i = 0; i < nfine; i++)
	{
		assert_int_equal(noisy[0][i], expected[i]);
		noisy[1][i / 3] -= expected[i];
		noisy[2][0] -= expected[i];
	}
	for (uint32_t i = 0; i < size[1]; i++)
		assert_int_equal(noisy[1][i], 0);
	assert_int_equal(noisy[2][0], 0);
	for (int k = 0; k < 3; k++)
		free(noisy[k]);
	free(expected);
	free(group);
	free(one);
}

static void
check_cells(world *w, const row *rows, size_t n, uint32_t col, const double *cuts, uint32_t ncuts)
{
	int64_t *noisy = calloc(ncuts + 2, sizeof(*noisy));

	assert_int_equal(mg_curator_cells(&w->ctx, w->c, col, cuts, ncuts, exactly, noisy), MG_OK);
	for (size_t i = 0; i < n; i++)
	{
		double v = rows[i].number[col];
		uint32_t cell = 0;

		if (rows[i].null[col] || !isfinite(v))
			cell = ncuts + 1;
		else
		{
			if (col == AGE)
				v = (double) lround(fmin(fmax(v, 0), 90));
			if (col == REAL)
				v = fmin(fmax(v, -1), 1);
			while (cell < ncuts && v >= cuts[cell])
				cell++;
		}
		noisy[cell]--;
	}
	for (uint32_t i = 0; i < ncuts + 2; i++)
		assert_int_equal(noisy[i], 0);
	free(noisy);
}

static void
test_histograms_match_brute_force(void **state)
{
	static const double cuts[] = {-1e308, -3, 0, 1, 7.5, 30, 1e308}, unit[] = {-1, -0.5, 0, 1};

	for (size_t s = 0; s < SETTINGS; s++)
	{
		row *rows = make_rows(settings[s].rows, settings[s].towns, s);
		world w;

		open_world(&w, settings[s].memory, settings[s].threads, 1);
		load_rows(&w.ctx, w.c, rows, settings[s].rows, SIZE_MAX);
		assert_true((w.store.written > 0) == (settings[s].memory == SMALL && settings[s].rows > 0));
		assert_int_equal(mg_curator_nfine(w.c, PAY), 0);
		check_cells(&w, rows, settings[s].rows, PAY, cuts, 7);
		check_cells(&w, rows, settings[s].rows, REAL, unit, 4);
		check_cells(&w, rows, settings[s].rows, AGE, cuts, 7);
		check_cells(&w, rows, settings[s].rows, PAY, NULL, 0);
		fix_open(&w);
		for (uint32_t j = 0; j < COLUMNS; j++)
			check_hierarchy(&w, rows, settings[s].rows, j);
		close_world(&w);
		free(rows);
	}
}

static void
check_marginal(world *w, const row *rows, size_t n, const uint32_t *cols, uint32_t k)
{
	size_t cells = marginal_cells(cols, k);
	int64_t *expected = marginal_by_force(rows, n, cols, k), *noisy = malloc(cells * sizeof(*noisy));

	assert_int_equal(mg_curator_marginal(&w->ctx, w->c, cols, k, exactly, noisy), MG_OK);
	assert_memory_equal(noisy, expected, cells * sizeof(*noisy));
	free(noisy);
	free(expected);
}

static void
test_marginals_match_brute_force(void **state)
{
	for (size_t s = 0; s < SETTINGS; s++)
	{
		row *rows = make_rows(settings[s].rows, settings[s].towns, 10 + s);
		world w;
		mg_marginal_query q[21];
		uint32_t cols[21][2], n = 0;

		open_world(&w, settings[s].memory, settings[s].threads, 1);
		load_rows(&w.ctx, w.c, rows, settings[s].rows, SIZE_MAX);
		fix_open(&w);
		recode_all(&w);
		assert_true((w.c->codes->nstored > 0) == (settings[s].memory == SMALL && settings[s].rows > 20000));

		check_marginal(&w, rows, settings[s].rows, NULL, 0);
		for (uint32_t j = 0; j < COLUMNS; j++)
			check_marginal(&w, rows, settings[s].rows, &j, 1);
		check_marginal(&w, rows, settings[s].rows, (const uint32_t[]){TOWN, COLOUR, AGE}, 3);
		check_marginal(&w, rows, settings[s].rows, (const uint32_t[]){REAL, PAY, TOWN, COLOUR}, 4);
		/* half a million cells: in SMALL memory, 65,536 / 12 at a time */
		check_marginal(&w, rows, settings[s].rows, (const uint32_t[]){CODE, COLOUR, HALF}, 3);

		/* All pairs at once: the same, whichever share a pass. */
		for (uint32_t i = 0; i < COLUMNS; i++)
			for (uint32_t j = 0; j < i; j++, n++)
			{
				cols[n][0] = i;
				cols[n][1] = j;
				q[n] = (mg_marginal_query){2, cols[n], exactly, malloc(marginal_cells(cols[n], 2) * sizeof(int64_t))};
			}
		assert_int_equal(mg_curator_marginals(&w.ctx, w.c, q, n), MG_OK);
		while (n-- > 0)
		{
			int64_t *expected = marginal_by_force(rows, settings[s].rows, cols[n], 2);

			assert_memory_equal(q[n].noisy, expected, marginal_cells(cols[n], 2) * sizeof(int64_t));
			free(expected);
			free(q[n].noisy);
		}
		close_world(&w);
		free(rows);
	}
}

static void
fill_answer(void *arg, size_t i, int64_t *out)
{
	const mg_candidate *cand = arg;
	size_t cells = marginal_cells(cand[i].cols, cand[i].k);

	for (size_t k = 0; k < cells; k++)
		out[k] = (int64_t) (k * 7919 % 41) - 10;
}

static void
test_selection_matches_brute_force(void **state)
{
	static const uint32_t cols[][3] = {{COLOUR, AGE},        {CODE, HALF}, {TOWN, PAY},
									   {CODE, COLOUR, HALF}, {REAL},       {PAY, AGE, REAL}};
	static const uint32_t k[] = {2, 2, 2, 3, 1, 3};
	enum
	{
		N = 6
	};

	for (size_t s = 0; s < SETTINGS; s++)
	{
		row *rows = make_rows(settings[s].rows, settings[s].towns, 20 + s);
		int64_t fixed[64] = {3, 1, 4, 1, 5}, best = INT64_MIN;
		mg_candidate cand[N];
		mg_selection *sel;
		size_t winner = N, chosen = N;
		bool allowed[N] = {true, true, true, true, true, true};
		world w;

		open_world(&w, settings[s].memory, settings[s].threads, 1);
		load_rows(&w.ctx, w.c, rows, settings[s].rows, SIZE_MAX);
		fix_open(&w);
		recode_all(&w);
		for (size_t i = 0; i < N; i++)
			cand[i] = (mg_candidate){k[i], cols[i], i == 4 ? fixed : NULL, (int64_t) i * 100};
		assert_int_equal(mg_selection_begin(&w.ctx, w.c, cand, N, fill_answer, cand, &sel), MG_OK);
		for (size_t i = 0; i < N; i++)
		{
			size_t cells = marginal_cells(cols[i], k[i]);
			int64_t *m = marginal_by_force(rows, settings[s].rows, cols[i], k[i]), *a = calloc(cells, sizeof(*a)),
					sum = 0;

			if (i == 4)
				memcpy(a, fixed, cells * sizeof(*a));
			else
				fill_answer(cand, i, a);
			for (size_t j = 0; j < cells; j++)
				sum += llabs(m[j] - a[j]);
			assert_int_equal(mgc_selection_scores(sel)[i], sum - cand[i].penalty);
			if (sum - cand[i].penalty > best && i != 3)
			{
				best = sum - cand[i].penalty;
				winner = i;
			}
			free(m);
			free(a);
		}
		/* At an epsilon of 64 a lead of one is worth e^32, and what is not allowed is not chosen. */
		allowed[3] = false;
		assert_int_equal(mg_selection_choose(&w.ctx, sel, allowed, (mg_ratio){64, 1}, &chosen), MG_OK);
		assert_int_equal(mgc_selection_scores(sel)[chosen], best);
		assert_true(chosen == winner || mgc_selection_scores(sel)[chosen] == mgc_selection_scores(sel)[winner]);
		mg_selection_end(sel);
		close_world(&w);
		free(rows);
	}
}

/* ---- partition selection ---- */

static bool
same_text(const row *a, const row *b)
{
	return a->len[1] == b->len[1] && a->len[1] != LONG_TEXT && memcmp(a->text[1], b->text[1], a->len[1]) == 0;
}

static int64_t
occurrences(const row *rows, size_t n, uint32_t col, const row *like)
{
	int64_t count = 0;

	for (size_t i = 0; i < n; i++)
		count +=
			!rows[i].null[col] && (col == TOWN ? same_text(&rows[i], like) : rows[i].number[col] == like->number[col]);
	return count;
}

/* With next to no noise the threshold is 2: what occurs at least twice comes, with its count, in order. */
static void
check_release(world *w, const row *rows, size_t n, uint32_t col)
{
	mg_released out;
	int64_t sum = 0;

	assert_int_equal(mg_curator_release(&w->ctx, w->c, col, exactly, 1e-9, 100000, w->a, &out), MG_OK);
	assert_int_equal(out.threshold, 2);
	for (uint32_t i = 0; i < out.count; i++)
	{
		row like;

		if (col == TOWN)
		{
			like.len[1] = out.labels[i].len;
			memcpy(like.text[1], out.labels[i].text, out.labels[i].len);
		}
		else
			like.number[col] = out.values[i];
		sum += out.noisy[i];
		if (i % 5 == 0 || i < 20)
			assert_int_equal(out.noisy[i], occurrences(rows, n, col, &like));
		assert_true(out.noisy[i] >= 2);
		if (i == 0)
			continue;
		assert_true(out.noisy[i - 1] >= out.noisy[i]);
		if (out.noisy[i - 1] == out.noisy[i])
			assert_true(col == TOWN ? strcmp(out.labels[i - 1].text, out.labels[i].text) < 0
									: out.values[i - 1] < out.values[i]);
	}
	/* Nothing is left out: the rows of released values are all those whose value occurs twice. */
	for (size_t i = 0; i < n; i++)
		if (!rows[i].null[col] && (col == TOWN ? rows[i].len[1] != LONG_TEXT : isfinite(rows[i].number[col])))
			sum -= occurrences(rows, n, col, &rows[i]) >= 2;
	assert_int_equal(sum, 0);
}

static void
test_release_matches_brute_force(void **state)
{
	for (size_t s = 0; s < 4; s++)
	{
		size_t n = s == 0 ? 0 : 6000;
		row *rows = make_rows(n, s == 1 ? 30 : 20000, 30 + s);
		world w;

		open_world(&w, s == 3 ? LARGE : SMALL, s == 3 ? 2 : 0, 1);
		load_rows(&w.ctx, w.c, rows, n, SIZE_MAX);
		check_release(&w, rows, n, TOWN);
		check_release(&w, rows, n, PAY);
		close_world(&w);
		free(rows);
	}
}

/* 100,000 labels in a small memory: the heavy ones are found among them, by label, wherever their bytes were kept. */
static void
test_release_from_an_overflowing_dictionary(void **state)
{
	world w;
	mg_released out;
	char s[64];

	open_world(&w, SMALL, 0, 1);
	for (uint32_t i = 0; i < 200000; i++)
	{
		/* Half of the rows are of labels seen once or twice, which come first and fill the dictionary. */
		uint32_t k = i < 100000 ? i : 1000000 + i % 40;
		int len = sprintf(s, "label number %u, with a tail", k);

		mg_load_text(w.c, TOWN, s, (size_t) len);
		assert_int_equal(mg_load_row(&w.ctx, w.c), MG_OK);
	}
	assert_int_equal(mg_load_finish(&w.ctx, w.c), MG_OK);
	assert_int_equal(mg_curator_release(&w.ctx, w.c, TOWN, (mg_ratio){25, 1}, 1e-9, 1000, w.a, &out), MG_OK);
	assert_int_equal(out.count, 40);
	for (uint32_t i = 0; i < out.count; i++)
	{
		unsigned k;

		assert_int_equal(sscanf(out.labels[i].text, "label number %u,", &k), 1);
		assert_true(k >= 1000000 && k < 1000040);
		assert_true(llabs(out.noisy[i] - 2500) < 50);
	}

	/* `most` keeps the heaviest. */
	assert_int_equal(mg_curator_release(&w.ctx, w.c, TOWN, (mg_ratio){25, 1}, 1e-9, 7, w.a, &out), MG_OK);
	assert_int_equal(out.count, 7);
	assert_int_equal(mg_curator_release(&w.ctx, w.c, TOWN, (mg_ratio){25, 1}, 1e-9, 0, w.a, &out), MG_OK);
	assert_int_equal(out.count, 0);
	close_world(&w);
}

/* What is admitted to the dictionary depends on the order of rows; what comes out must not. */
static void
test_order_of_rows_does_not_matter(void **state)
{
	enum
	{
		N = 20000
	};
	row *rows = make_rows(N, 30000, 40);
	mg_released out[2];
	int64_t marginal[2][6 * 7];
	world w[2];
	mg_rng r;

	mg_rng_seed(&r, 41);
	for (int k = 0; k < 2; k++)
	{
		open_world(&w[k], SMALL, 0, 7); /* the same noise for both */
		load_rows(&w[k].ctx, w[k].c, rows, N, SIZE_MAX);
		assert_int_equal(mg_curator_release(&w[k].ctx, w[k].c, TOWN, exactly, 1e-9, 100000, w[k].a, &out[k]), MG_OK);
		fix_open(&w[k]);
		recode_all(&w[k]);
		assert_int_equal(marginal_cells((const uint32_t[]){TOWN, PAY}, 2), 3 * 7);
		assert_int_equal(mg_curator_marginal(&w[k].ctx, w[k].c, (const uint32_t[]){TOWN, PAY}, 2, exactly, marginal[k]),
						 MG_OK);
		for (size_t i = N - 1; i > 0; i--)
		{
			size_t j = (size_t) (mg_rng_u64(&r) % (i + 1));
			row swap = rows[i];

			rows[i] = rows[j];
			rows[j] = swap;
		}
	}
	assert_true(out[0].count > 1000);
	assert_int_equal(out[0].count, out[1].count);
	for (uint32_t i = 0; i < out[0].count; i++)
	{
		assert_int_equal(out[0].noisy[i], out[1].noisy[i]);
		assert_string_equal(out[0].labels[i].text, out[1].labels[i].text);
	}
	assert_memory_equal(marginal[0], marginal[1], 3 * 7 * sizeof(int64_t));
	close_world(&w[0]);
	close_world(&w[1]);
	free(rows);
}

/* ---- privacy ---- */

static int64_t
l1(const int64_t *a, const int64_t *b, size_t n)
{
	int64_t d = 0;

	for (size_t i = 0; i < n; i++)
		d += llabs(a[i] - b[i]);
	return d;
}

/* The exact vectors behind the queries, of one table. */
typedef struct vectors
{
	int64_t cells[9], fine[COLUMNS][402], pair[151 * 7], triple[3 * 7 * 4], score[3];
} vectors;

static void
take_vectors(const row *rows, size_t n, size_t leave_out, vectors *v)
{
	static const double cuts[] = {-5, 0, 1, 2, 10, 20, 60};
	static const uint32_t pair[] = {AGE, PAY}, triple[] = {TOWN, PAY, COLOUR};
	mg_candidate cand[3] = {{2, pair, NULL, 10}, {3, triple, NULL, 0}, {1, pair, NULL, -5}};
	mg_selection *sel;
	world w;

	memset(v, 0, sizeof(*v));
	open_world(&w, SMALL, 0, 1);
	load_rows(&w.ctx, w.c, rows, n, leave_out);
	assert_int_equal(mgc_exact_cells(&w.ctx, w.c, PAY, cuts, 7, v->cells), MG_OK);
	fix_open(&w);
	for (uint32_t j = 0; j < COLUMNS; j++)
		assert_int_equal(mgc_exact_fine(&w.ctx, w.c, j, v->fine[j]), MG_OK);
	recode_all(&w);
	assert_int_equal(mgc_exact_marginal(&w.ctx, w.c, pair, 2, v->pair), MG_OK);
	assert_int_equal(mgc_exact_marginal(&w.ctx, w.c, triple, 3, v->triple), MG_OK);
	assert_int_equal(mg_selection_begin(&w.ctx, w.c, cand, 3, fill_answer, cand, &sel), MG_OK);
	memcpy(v->score, mgc_selection_scores(sel), sizeof(v->score));
	mg_selection_end(sel);
	close_world(&w);
}

/* Removing any one row changes each vector by exactly one in one place, and each score by at most one. */
static void
test_sensitivity_is_one(void **state)
{
	enum
	{
		N = 40
	};
	vectors *with = malloc(sizeof(*with)), *without = malloc(sizeof(*without));

	for (uint64_t seed = 50; seed < 53; seed++)
	{
		row *rows = make_rows(N, 10, seed);

		take_vectors(rows, N, SIZE_MAX, with);
		for (size_t i = 0; i < N; i++)
		{
			take_vectors(rows, N, i, without);
			assert_int_equal(l1(with->cells, without->cells, 9), 1);
			for (uint32_t j = 0; j < COLUMNS; j++)
				assert_int_equal(l1(with->fine[j], without->fine[j], nfine_of[j]), 1);
			assert_int_equal(l1(with->pair, without->pair, sizeof(with->pair) / sizeof(int64_t)), 1);
			assert_int_equal(l1(with->triple, without->triple, sizeof(with->triple) / sizeof(int64_t)), 1);
			for (int k = 0; k < 3; k++)
				assert_true(llabs(with->score[k] - without->score[k]) <= 1);
		}
		free(rows);
	}
	free(with);
	free(without);
}

/* Scores at the ends of what answers can be: clamped, still 1-Lipschitz. */
static void
test_scores_saturate(void **state)
{
	int64_t answer[4] = {INT64_MIN, INT64_MAX, INT64_MIN, INT64_MAX}, exact[4] = {5, 0, 7, 1};
	mgc_score s = {0};

	mgc_score_add(&s, exact, answer, 4);
	assert_true(mgc_score_value(&s, 0) == INT64_C(1) << 62);
	assert_true(mgc_score_value(&s, INT64_MIN) == INT64_C(1) << 62);
	s.sum = 0;
	assert_true(mgc_score_value(&s, INT64_MAX) == -(INT64_C(1) << 62));
	assert_int_equal(mgc_score_value(&s, 12), -12);
}

/* The variance of a query's noise is the one that was asked and charged for. Red when the noise is taken out. */
static void
check_noise(const int64_t *noisy, const int64_t *exact, size_t n, double sigma2, const char *what)
{
	double sum = 0, squares = 0;

	for (size_t i = 0; i < n; i++)
	{
		double d = (double) (noisy[i] - exact[i]);

		sum += d;
		squares += d * d;
	}
	/* 5 standard deviations of mean and variance of n Gaussians */
	if (fabs(sum / (double) n) > 5 * sqrt(sigma2 / (double) n) ||
		fabs(squares / (double) n - sigma2) > 5 * sigma2 * sqrt(2 / (double) n))
		fail_msg("%s: mean %g, variance %g instead of 0, %g", what, sum / (double) n, squares / (double) n, sigma2);
}

static void
test_noise_is_there(void **state)
{
	enum
	{
		N = 5000,
		CUTS = 4000
	};
	const mg_ratio sigma2 = {400, 1}, twice[2] = {{400, 1}, {100, 1}};
	uint32_t pair[] = {CODE, COLOUR}, size[2] = {402, 402}, identity[402];
	const uint32_t *group[2] = {NULL, identity};
	size_t cells = marginal_cells(pair, 2);
	row *rows = make_rows(N, 100, 60);
	int64_t *exact = malloc((CUTS + 2) * 8), *a = malloc((CUTS + 2) * 8), *b = malloc((CUTS + 2) * 8);
	double *cuts = malloc(CUTS * sizeof(*cuts));
	int64_t *levels[2] = {a, b};
	mg_marginal_query q[2] = {{2, pair, sigma2, a}, {2, pair, {100, 1}, b}};
	mg_released out;
	world w;

	for (int i = 0; i < CUTS; i++)
		cuts[i] = i * 0.125;
	for (uint32_t i = 0; i < 402; i++)
		identity[i] = i;
	open_world(&w, SMALL, 0, 61);
	load_rows(&w.ctx, w.c, rows, N, SIZE_MAX);

	assert_int_equal(mgc_exact_cells(&w.ctx, w.c, PAY, cuts, CUTS, exact), MG_OK);
	assert_int_equal(mg_curator_cells(&w.ctx, w.c, PAY, cuts, CUTS, sigma2, a), MG_OK);
	assert_int_equal(mg_curator_cells(&w.ctx, w.c, PAY, cuts, CUTS, sigma2, b), MG_OK);
	check_noise(a, exact, CUTS + 2, 400, "cells");
	check_noise(a, b, CUTS + 2, 800, "two calls of cells"); /* independent of each other */

	assert_int_equal(mgc_exact_fine(&w.ctx, w.c, HALF, exact), MG_OK);
	assert_int_equal(mg_curator_hierarchy(&w.ctx, w.c, HALF, 2, size, group, twice, levels), MG_OK);
	check_noise(a, exact, 402, 400, "level 0");
	check_noise(b, exact, 402, 100, "level 1");
	check_noise(a, b, 402, 500, "two levels");

	/* A value of 1,000 or so rows comes with a noisy count; of 30 values, not all by the exact one. */
	assert_int_equal(mg_curator_release(&w.ctx, w.c, PAY, sigma2, 1e-6, 1000, w.a, &out), MG_OK);
	assert_true(out.count > 0 && out.threshold > 1 + 4 * 20);
	{
		uint32_t moved = 0;

		for (uint32_t i = 0; i < out.count; i++)
		{
			row like = {.number = {0}};

			like.number[PAY] = out.values[i];
			moved += out.noisy[i] != occurrences(rows, N, PAY, &like);
			assert_true(out.noisy[i] >= out.threshold);
		}
		assert_true(moved > 0);
	}

	fix_open(&w);
	recode_all(&w);
	assert_int_equal(mgc_exact_marginal(&w.ctx, w.c, pair, 2, exact), MG_OK);
	assert_int_equal(mg_curator_marginals(&w.ctx, w.c, q, 2), MG_OK);
	check_noise(a, exact, cells, 400, "first marginal");
	check_noise(b, exact, cells, 100, "second marginal");
	check_noise(a, b, cells, 500, "two marginals");
	close_world(&w);
	free(rows);
	free(exact);
	free(a);
	free(b);
	free(cuts);
}

/* A label that one row holds is released with probability at most delta: here a delta that can be seen. */
static void
test_a_rare_label_is_released_with_probability_delta(void **state)
{
	enum
	{
		LABELS = 20000
	};
	const double delta = 0.02;
	mg_released out;
	world w;
	char s[32];

	open_world(&w, LARGE, 0, 70);
	mg_odometer_init(&w.odometer, 1e15, 10);
	for (uint32_t i = 0; i < LABELS; i++)
	{
		mg_load_text(w.c, TOWN, s, (size_t) sprintf(s, "only %u", i));
		assert_int_equal(mg_load_row(&w.ctx, w.c), MG_OK);
	}
	assert_int_equal(mg_load_finish(&w.ctx, w.c), MG_OK);
	assert_int_equal(mg_curator_release(&w.ctx, w.c, TOWN, (mg_ratio){9, 1}, delta, 100000, w.a, &out), MG_OK);
	/* The threshold is an integer: at most delta, and more than that of one sigma above it. 5 standard deviations. */
	assert_true(out.count < LABELS * delta + 5 * sqrt(LABELS * delta));
	assert_true(out.count > LABELS * delta / 4);
	close_world(&w);
}

static void
test_selection_is_random(void **state)
{
	const uint32_t cols[2][1] = {{AGE}, {AGE}};
	int64_t answer[2][46];
	mg_candidate cand[2] = {{1, cols[0], answer[0], 0}, {1, cols[1], answer[1], 3}};
	row *rows = make_rows(500, 5, 80);
	mg_selection *sel;
	size_t first = 0;
	double p;
	world w;

	memset(answer, 0, sizeof(answer));
	open_world(&w, LARGE, 0, 81);
	load_rows(&w.ctx, w.c, rows, 500, SIZE_MAX);
	fix_open(&w);
	recode_all(&w);
	assert_int_equal(mg_selection_begin(&w.ctx, w.c, cand, 2, NULL, NULL, &sel), MG_OK);
	assert_int_equal(mgc_selection_scores(sel)[0] - mgc_selection_scores(sel)[1], 3);
	for (int i = 0; i < 4000; i++)
	{
		size_t chosen;

		assert_int_equal(mg_selection_choose(&w.ctx, sel, NULL, (mg_ratio){1, 2}, &chosen), MG_OK);
		first += chosen == 0;
	}
	p = 1 / (1 + exp(-0.5 * 3 / 2)); /* epsilon * lead / 2 */
	assert_true(fabs((double) first - 4000 * p) < 5 * sqrt(4000 * p * (1 - p)));
	assert_int_equal(w.odometer.calls, 4000);
	assert_true(fabs(w.odometer.rho_used - 4000 * 0.25 / 8) < 1e-6);
	mg_selection_end(sel);
	close_world(&w);
	free(rows);
}

/* ---- the account ---- */

#define SENTINEL INT64_C(-987654321)

static void
expect_charge(world *w, double *rho, double *delta, uint64_t *calls, double more, double atom, uint64_t n)
{
	*rho += more;
	*delta += atom;
	*calls += n;
	assert_true(fabs(w->odometer.rho_used - *rho) <= 1e-9 * *rho);
	assert_true(w->odometer.rho_used >= *rho * (1 - 1e-14)); /* never less than the truth */
	assert_true(fabs(w->odometer.delta_used - *delta) < 1e-15);
	assert_int_equal(w->odometer.calls, *calls);
}

static void
test_each_query_is_charged(void **state)
{
	const uint32_t pair[] = {AGE, COLOUR}, size[2] = {92, 1}, zeros[92] = {0};
	const uint32_t *group[2] = {NULL, zeros};
	const mg_ratio sigma2[2] = {{8, 1}, {2, 1}};
	int64_t buffer[2][46 * 4 + 100], *levels[2] = {buffer[0], buffer[1]};
	mg_marginal_query q[2] = {{2, pair, {5, 1}, buffer[0]}, {1, pair, {50, 1}, buffer[1]}};
	double rho = 0, delta = 0, cut = 3;
	uint64_t calls = 0;
	mg_released out;
	row *rows = make_rows(100, 5, 90);
	world w;

	open_world(&w, SMALL, 0, 91);
	load_rows(&w.ctx, w.c, rows, 100, SIZE_MAX);
	expect_charge(&w, &rho, &delta, &calls, 0, 0, 0);
	assert_int_equal(mg_curator_cells(&w.ctx, w.c, PAY, &cut, 1, (mg_ratio){10, 1}, buffer[0]), MG_OK);
	expect_charge(&w, &rho, &delta, &calls, 0.05, 0, 1);
	assert_int_equal(mg_curator_release(&w.ctx, w.c, TOWN, (mg_ratio){4, 1}, 1e-7, 10, w.a, &out), MG_OK);
	expect_charge(&w, &rho, &delta, &calls, 0.125, 1e-7, 1);
	fix_open(&w);
	assert_int_equal(mg_curator_hierarchy(&w.ctx, w.c, AGE, 2, size, group, sigma2, levels), MG_OK);
	expect_charge(&w, &rho, &delta, &calls, 0.0625 + 0.25, 0, 2);
	recode_all(&w);
	expect_charge(&w, &rho, &delta, &calls, 0, 0, 0);
	assert_int_equal(mg_curator_marginals(&w.ctx, w.c, q, 2), MG_OK);
	expect_charge(&w, &rho, &delta, &calls, 0.1 + 0.01, 0, 2);
	close_world(&w);
	free(rows);
}

/* What goes beyond the reservation is refused whole: nothing charged, nothing drawn, nothing written. */
static void
test_refused_beyond_the_reservation(void **state)
{
	const uint32_t pair[] = {AGE, COLOUR}, size[2] = {92, 1}, zeros[92] = {0};
	const uint32_t *group[2] = {NULL, zeros};
	const mg_ratio one = {1, 1}, both[2] = {{1, 1}, {1, 1}};
	int64_t buffer[200], *levels[2] = {buffer, buffer + 92};
	mg_marginal_query q[2] = {{2, pair, {1, 1}, buffer}, {1, pair, {1, 1}, buffer}};
	mg_candidate cand = {1, pair, NULL, 0};
	mg_released out = {.count = 77};
	mg_selection *sel;
	double cut = 3;
	size_t chosen = 77;
	row *rows = make_rows(100, 5, 92);
	world w;

#define REFUSED(expr)                                                         \
	do                                                                        \
	{                                                                         \
		uint64_t before_ = w.odometer.calls;                                  \
		for (int i_ = 0; i_ < 200; i_++)                                      \
			buffer[i_] = SENTINEL;                                            \
		mg_ctx_init(&w.ctx);                                                  \
		assert_int_equal((expr), MG_BUDGET);                                  \
		assert_true(w.odometer.calls == before_ && w.odometer.rho_used == 0); \
		for (int i_ = 0; i_ < 200; i_++)                                      \
			assert_true(buffer[i_] == SENTINEL);                              \
	} while (0)

	open_world(&w, SMALL, 0, 93);
	load_rows(&w.ctx, w.c, rows, 100, SIZE_MAX);
	mg_odometer_init(&w.odometer, 0.6, 0); /* one query of sigma 1 fits, two do not; no atom does */
	REFUSED(mg_curator_release(&w.ctx, w.c, TOWN, (mg_ratio){100, 1}, 1e-9, 10, w.a, &out));
	assert_int_equal(out.count, 77);
	REFUSED(mg_curator_cells(&w.ctx, w.c, PAY, &cut, 1, (mg_ratio){1, 2}, buffer));
	fix_open(&w);
	REFUSED(mg_curator_hierarchy(&w.ctx, w.c, AGE, 2, size, group, both, levels));
	recode_all(&w);
	REFUSED(mg_curator_marginals(&w.ctx, w.c, q, 2));
	REFUSED(mg_curator_marginal(&w.ctx, w.c, pair, 2, (mg_ratio){1, 2}, buffer));
	mg_ctx_init(&w.ctx);
	assert_int_equal(mg_selection_begin(&w.ctx, w.c, &cand, 1, fill_answer, &cand, &sel), MG_OK);
	REFUSED(mg_selection_choose(&w.ctx, sel, NULL, (mg_ratio){4, 1}, &chosen));
	assert_int_equal(chosen, 77);
	mg_selection_end(sel);
	mg_ctx_init(&w.ctx);
	assert_int_equal(mg_curator_marginal(&w.ctx, w.c, pair, 2, one, buffer), MG_OK);
	close_world(&w);
	free(rows);
#undef REFUSED
}

/* ---- calls that are wrong, hooks that say stop, stores that fail ---- */

static void
test_bad_calls_are_refused_and_cost_nothing(void **state)
{
	const uint32_t pair[] = {AGE, 99}, big[] = {CODE, HALF, CODE, HALF}, age = AGE, size[2] = {92, 2},
				   beyond[92] = {0, 2};
	const uint32_t *group[2] = {NULL, beyond};
	const mg_ratio zero = {0, 1}, one[2] = {{1, 1}, {1, 1}};
	const double cuts[] = {2, 1};
	int64_t buffer[400], *levels[2] = {buffer, buffer + 92};
	mg_candidate cand = {1, &age, NULL, 0};
	mg_selection *sel = NULL;
	mg_released out;
	bool none = false;
	size_t chosen;
	world w;

#define REFUSED(expr)                          \
	do                                         \
	{                                          \
		mg_ctx_init(&w.ctx);                   \
		assert_int_equal((expr), MG_INVALID);  \
		assert_int_equal(w.odometer.calls, 0); \
	} while (0)

	open_world(&w, SMALL, 0, 95);
	REFUSED(mg_curator_cells(&w.ctx, w.c, PAY, cuts, 1, one[0], buffer)); /* not loaded */
	load_rows(&w.ctx, w.c, NULL, 0, SIZE_MAX);
	REFUSED(mg_load_row(&w.ctx, w.c));
	REFUSED(mg_load_finish(&w.ctx, w.c));
	REFUSED(mg_curator_cells(&w.ctx, w.c, 99, cuts, 1, one[0], buffer));
	REFUSED(mg_curator_cells(&w.ctx, w.c, TOWN, cuts, 1, one[0], buffer));
	REFUSED(mg_curator_cells(&w.ctx, w.c, PAY, cuts, 2, one[0], buffer));
	REFUSED(mg_curator_cells(&w.ctx, w.c, PAY, cuts, 1, zero, buffer));
	REFUSED(mg_curator_release(&w.ctx, w.c, COLOUR, one[0], 1e-9, 1, w.a, &out));
	REFUSED(mg_curator_release(&w.ctx, w.c, AGE, one[0], 1e-9, 1, w.a, &out));
	REFUSED(mg_curator_release(&w.ctx, w.c, TOWN, one[0], 0, 1, w.a, &out));
	REFUSED(mg_curator_release(&w.ctx, w.c, TOWN, one[0], NAN, 1, w.a, &out));
	REFUSED(mg_curator_hierarchy(&w.ctx, w.c, TOWN, 1, size, group, one, levels)); /* not fixed */
	REFUSED(mg_curator_hierarchy(&w.ctx, w.c, AGE, 2, size, group, one, levels));
	REFUSED(mg_curator_hierarchy(&w.ctx, w.c, AGE, 0, size, group, one, levels));
	REFUSED(mg_curator_fix_number(&w.ctx, w.c, AGE, real_cells, 1));
	REFUSED(mg_curator_fix_labels(&w.ctx, w.c, COLOUR, colours, 1));
	REFUSED(mg_curator_marginal(&w.ctx, w.c, &age, 1, one[0], buffer)); /* not recoded */
	fix_open(&w);
	REFUSED(mg_curator_fix_number(&w.ctx, w.c, PAY, pay_cells, PAY_CELLS));
	recode_all(&w);
	REFUSED(mg_curator_cells(&w.ctx, w.c, PAY, cuts, 1, one[0], buffer));
	REFUSED(mg_curator_marginal(&w.ctx, w.c, pair, 2, one[0], buffer));
	REFUSED(mg_curator_marginal(&w.ctx, w.c, big, 4, one[0], buffer));
	REFUSED(mg_curator_marginal(&w.ctx, w.c, &age, 1, zero, buffer));
	REFUSED(mg_selection_begin(&w.ctx, w.c, &cand, 1, NULL, NULL, &sel));
	REFUSED(mg_selection_begin(&w.ctx, w.c, &cand, 0, fill_answer, &cand, &sel));
	mg_ctx_init(&w.ctx);
	assert_int_equal(mg_selection_begin(&w.ctx, w.c, &cand, 1, fill_answer, &cand, &sel), MG_OK);
	REFUSED(mg_selection_choose(&w.ctx, sel, &none, one[0], &chosen));
	REFUSED(mg_selection_choose(&w.ctx, sel, NULL, zero, &chosen));
	mg_selection_end(sel);
	close_world(&w);
#undef REFUSED
}

/* Values of the wrong kind, columns that are not there, rows never completed: no error, NULL. */
static void
test_odd_loading(void **state)
{
	int64_t fine[402];
	world w;

	open_world(&w, SMALL, 0, 96);
	mg_load_number(w.c, COLOUR, 3);
	mg_load_text(w.c, AGE, "12", 2);
	mg_load_code(w.c, HALF, 1);
	mg_load_code(w.c, TOWN, 1); /* no closed label: other */
	mg_load_number(w.c, 99, 1);
	mg_load_null(w.c, 99);
	mg_load_number(w.c, PAY, 5);
	mg_load_null(w.c, PAY); /* the last call counts */
	assert_int_equal(mg_load_row(&w.ctx, w.c), MG_OK);
	mg_load_number(w.c, AGE, 20); /* not completed */
	assert_int_equal(mg_load_finish(&w.ctx, w.c), MG_OK);
	mg_load_number(w.c, AGE, 20); /* too late */
	fix_open(&w);
	for (uint32_t j = 0; j < COLUMNS; j++)
	{
		assert_int_equal(mgc_exact_fine(&w.ctx, w.c, j, fine), MG_OK);
		for (uint32_t i = 0; i < nfine_of[j]; i++)
			assert_int_equal(fine[i], i == (j == TOWN ? (uint32_t) TOWNS : nfine_of[j] - 1));
	}
	close_world(&w);
}

static bool
stop_after(void *arg)
{
	int *left = arg;

	return --*left < 0;
}

static void
test_cancel_and_failing_store(void **state)
{
	enum
	{
		N = 30000
	};
	const uint32_t pair[] = {AGE, PAY};
	row *rows = make_rows(N, 30000, 97);
	bool succeeded = false;

	/* Cut off after 0, 1, 3, 7 .. polls or store calls: an error of the right kind each time, no exact number left
	 * behind. */
	for (int k = 0; k < 16; k++)
	{
		int left = (1 << k) - 1;
		int64_t buffer[46 * 7];
		mg_code wanted = k % 2 ? MG_IO : MG_CANCELLED, code;
		mg_released out;
		world w;

		open_world(&w, SMALL, k % 3, 98);
		load_rows(&w.ctx, w.c, rows, N, SIZE_MAX);
		if (k % 2)
			w.store.fail_after = left;
		else
		{
			w.ctx.cancel = stop_after;
			w.ctx.cancel_arg = &left;
		}
		for (size_t i = 0; i < 46 * 7; i++)
			buffer[i] = SENTINEL;
		code = mg_curator_release(&w.ctx, w.c, TOWN, exactly, 1e-9, 1000, w.a, &out);
		fill_cells();
		if (code == MG_OK)
			code = mg_curator_fix_labels(&w.ctx, w.c, TOWN, towns, TOWNS);
		if (code == MG_OK)
			code = mg_curator_fix_number(&w.ctx, w.c, PAY, pay_cells, PAY_CELLS);
		if (code == MG_OK)
			code = mg_curator_fix_number(&w.ctx, w.c, REAL, real_cells, REAL_CELLS);
		if (code == MG_OK)
		{
			uint16_t map[COLUMNS][402];
			const uint16_t *merge[COLUMNS];
			uint32_t ncoarse[COLUMNS];

			for (uint32_t j = 0; j < COLUMNS; j++)
			{
				for (uint32_t i = 0; i < nfine_of[j]; i++)
					map[j][i] = coarse_of(j, i);
				merge[j] = map[j];
				ncoarse[j] = coarse_count(j);
			}
			code = mg_curator_recode(&w.ctx, w.c, merge, ncoarse);
			if (code != MG_OK)
			{
				mg_ctx again;

				mg_ctx_init(&again);
				assert_int_equal(mg_curator_marginal(&again, w.c, pair, 2, exactly, buffer), MG_INVALID);
			}
		}
		if (code == MG_OK)
			code = mg_curator_marginal(&w.ctx, w.c, pair, 2, exactly, buffer);
		if (code == MG_OK)
			succeeded = true;
		else
		{
			assert_int_equal(code, wanted);
			for (size_t i = 0; i < 46 * 7; i++)
				assert_true(buffer[i] == SENTINEL);
		}
		close_world(&w);
	}
	assert_true(succeeded);
	free(rows);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_histograms_match_brute_force),
		cmocka_unit_test(test_marginals_match_brute_force),
		cmocka_unit_test(test_selection_matches_brute_force),
		cmocka_unit_test(test_release_matches_brute_force),
		cmocka_unit_test(test_release_from_an_overflowing_dictionary),
		cmocka_unit_test(test_order_of_rows_does_not_matter),
		cmocka_unit_test(test_sensitivity_is_one),
		cmocka_unit_test(test_scores_saturate),
		cmocka_unit_test(test_noise_is_there),
		cmocka_unit_test(test_a_rare_label_is_released_with_probability_delta),
		cmocka_unit_test(test_selection_is_random),
		cmocka_unit_test(test_each_query_is_charged),
		cmocka_unit_test(test_refused_beyond_the_reservation),
		cmocka_unit_test(test_bad_calls_are_refused_and_cost_nothing),
		cmocka_unit_test(test_odd_loading),
		cmocka_unit_test(test_cancel_and_failing_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
