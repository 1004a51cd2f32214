/*
 * test/unit/test_curator_privacy.c: what makes the curator private: the sensitivity of each exact vector, noise that is
 * there, the charge of each query; and calls that are wrong, hooks that say stop, stores that fail.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "curator_world.h"

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
