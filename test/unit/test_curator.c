/*
 * test/unit/test_curator.c: every query of the curator against brute force over the rows that were loaded, with memory
 * so small that all goes to the store, with plenty, and with threads.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "curator_world.h"

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
