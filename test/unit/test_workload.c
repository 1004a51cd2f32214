/*
 * test/unit/test_workload.c: workloads against brute force over the rows that were loaded: scores, measurements, what
 * is kept; and what makes them private: how far a unit moves a score, what is charged, noise that is there, the part of
 * the weights in a choice.
 *
 * Exactness is seen through measurements of a variance of 2^-20, whose noise is 0 but with probability e^-500000.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "curator/curator_private.h"
#include "curator/workload.h"
#include "memory_store.h"
#include "num/rng.h"
#include "seeded_noise.h"

#define COLUMNS 5
#define SMALL (192u << 10) /* 4,096 cells at once, and few resident groups */
#define LARGE (64u << 20)

static const uint32_t labels_of[COLUMNS] = {3, 7, 300, 2, 260};
static const uint32_t codes_of[COLUMNS] = {5, 9, 302, 4, 262}; /* `other` and NULL beside the labels */
static const mg_ratio exactly = {1, 1 << 20};

/* The workload of most tests: narrow and wide columns in each place, one marginal over four columns. */
#define SETS 13
static const uint32_t set_cols[SETS][4] = {{0},       {2},       {0, 1},      {1, 2},    {2, 3},
										   {2, 4},    {0, 1, 3}, {0, 1, 2},   {0, 2, 3}, {1, 2, 4},
										   {2, 3, 4}, {0, 3, 4}, {0, 1, 2, 3}};
static const uint32_t set_k[SETS] = {1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 4};

typedef struct row
{
	uint32_t unit;
	uint32_t code[COLUMNS];
} row;

typedef struct world
{
	mg_ctx ctx;
	mg_noise *noise;
	mg_odometer odometer;
	memory_store store;
	mg_curator *c;
	mg_marginal_of set[SETS];
} world;

static size_t
cells_of(size_t set)
{
	size_t n = 1;

	for (uint32_t i = 0; i < set_k[set]; i++)
		n *= codes_of[set_cols[set][i]];
	return n;
}

/* k 0: a row is a unit. leave_out: a unit. */
static void
open_world(world *w, const row *rows, size_t n, uint32_t leave_out, uint32_t k, size_t memory, int threads,
		   uint64_t seed)
{
	static const uint8_t key[MG_UNIT_KEY_BYTES] = {3};
	static mg_label labels[300];
	const mg_units units = {k, key};
	uint16_t merge[COLUMNS][302];
	const uint16_t *merges[COLUMNS];
	mg_domain domain[COLUMNS];

	memset(w, 0, sizeof(*w));
	memset(domain, 0, sizeof(domain));
	mg_ctx_init(&w->ctx);
	if (threads > 0)
		w->ctx.pool = mg_pool_create(threads);
	w->noise = seeded_noise(seed);
	mg_odometer_init(&w->odometer, 1e15, 1);
	memory_store_init(&w->store);
	for (int i = 0; i < 300; i++)
		labels[i] = (mg_label){"x", 1}; /* loaded by code: the text does not matter */
	for (uint32_t j = 0; j < COLUMNS; j++)
	{
		domain[j] =
			(mg_domain){.name = "c", .kind = MG_CATEGORY, .nullable = true, .nlabels = labels_of[j], .labels = labels};
		for (uint16_t i = 0; i < codes_of[j]; i++)
			merge[j][i] = i;
		merges[j] = merge[j];
	}
	assert_int_equal(mg_curator_create_for_units(&w->ctx, domain, COLUMNS, k > 0 ? &units : NULL, w->noise,
												 &w->odometer, &w->store.store, memory, &w->c),
					 MG_OK);
	for (size_t i = 0; i < n; i++)
	{
		if (rows[i].unit == leave_out)
			continue;
		mg_load_unit(w->c, &rows[i].unit, sizeof(rows[i].unit));
		for (uint32_t j = 0; j < COLUMNS; j++)
			mg_load_code(w->c, j, rows[i].code[j]);
		assert_int_equal(mg_load_row(&w->ctx, w->c), MG_OK);
	}
	assert_int_equal(mg_load_finish(&w->ctx, w->c), MG_OK);
	assert_int_equal(mg_curator_recode(&w->ctx, w->c, merges, codes_of), MG_OK);
	for (size_t i = 0; i < SETS; i++)
		w->set[i] = (mg_marginal_of){set_k[i], set_cols[i]};
}

static void
close_world(world *w)
{
	mg_curator_destroy(w->c);
	assert_int_equal(w->store.opened, w->store.closed);
	memory_store_free(&w->store);
	mg_noise_destroy(w->noise);
	mg_pool_destroy(w->ctx.pool);
}

/* Codes beyond the labels are `other`; small ones are common. */
static row *
make_rows(size_t n, uint32_t units, uint64_t seed)
{
	row *rows = calloc(n > 0 ? n : 1, sizeof(*rows));
	mg_rng r;

	mg_rng_seed(&r, seed);
	for (size_t i = 0; i < n; i++)
	{
		rows[i].unit = units > 0 ? (uint32_t) (mg_rng_u64(&r) % units) : (uint32_t) i;
		for (uint32_t j = 0; j < COLUMNS; j++)
			rows[i].code[j] = (uint32_t) (mg_rng_unit(&r) * mg_rng_unit(&r) * (labels_of[j] + 1));
	}
	return rows;
}

static int64_t *
marginal_by_force(const row *rows, size_t n, size_t set)
{
	int64_t *m = calloc(cells_of(set), sizeof(*m));

	for (size_t i = 0; i < n; i++)
	{
		size_t cell = 0;

		for (uint32_t j = 0; j < set_k[set]; j++)
			cell = cell * codes_of[set_cols[set][j]] + rows[i].code[set_cols[set][j]];
		m[cell]++;
	}
	return m;
}

/* ---- scores ---- */

#define CONTENDERS 16
static const mg_contender contender[CONTENDERS] = {{12, 1, 0},      {0, 3, 10}, {7, 65536, -5}, {5, 2, 0},
												   {5, 7, 1000},    {9, 1, 0},  {10, 11, 3},    {1, 1, 0},
												   {2, 100, 12345}, {3, 1, 0},  {4, 1, 0},      {6, 1, 77},
												   {8, 6, 0},       {11, 1, 0}, {12, 5, 9},     {0, 1, INT64_MAX}};

/* An answer of each kind: fractions on both sides of a half, nothing, NaN, more than fits. */
static double
answer_at(size_t i, size_t cell)
{
	uint64_t u = (cell + 1) * UINT64_C(0x9e3779b97f4a7c15) + i * 77;

	u ^= u >> 29;
	switch (u % 97)
	{
		case 0:
			return NAN;
		case 1:
			return 0.49999999999999994;
		case 2:
			return -2.5;
		case 3:
			return i == 3 ? INFINITY : 1e9;
		case 4:
			return i == 6 ? -1e300 : -1e9;
		default:
			return (double) (u % 1000) / 100 - 2;
	}
}

typedef struct filling
{
	size_t next; /* contender that must be asked for */
} filling;

static void
fill(void *arg, size_t i, double *out)
{
	filling *f = arg;

	assert_int_equal(i, f->next++);
	for (size_t cell = 0; cell < cells_of(contender[i].marginal); cell++)
		out[cell] = answer_at(i, cell);
}

static __int128
clamped(__int128 v)
{
	const __int128 most = (__int128) 1 << 62;

	return v > most ? most : v < -most ? -most : v;
}

/* By the contract: rounded by the definition of halves, not by a library. */
static int64_t
score_by_force(const row *rows, size_t n, size_t i)
{
	int64_t *m = marginal_by_force(rows, n, contender[i].marginal);
	__int128 sum = 0;

	for (size_t cell = 0; cell < cells_of(contender[i].marginal); cell++)
	{
		double x = answer_at(i, cell), down = floor(fabs(x));
		__int128 a, d;

		if (isnan(x))
			a = 0;
		else if (fabs(x) >= 0x1p62)
			a = clamped(x > 0 ? (__int128) 1 << 100 : -((__int128) 1 << 100));
		else
			a = (__int128) (down + (fabs(x) - down >= 0.5)) * (x < 0 ? -1 : 1);
		d = m[cell] - a;
		sum += d < 0 ? -d : d;
	}
	free(m);
	return (int64_t) clamped((sum - contender[i].penalty) * contender[i].weight);
}

static const struct setting
{
	size_t rows, memory, kept;
	int threads;
} settings[] = {
	{0, LARGE, LARGE, 0},      {3000, LARGE, LARGE, 0}, {70001, LARGE, LARGE, 3}, {40000, SMALL, LARGE, 0},
	{40000, SMALL, 400000, 2}, {9000, SMALL, 0, 0},     {9000, LARGE, 0, 2},      {66000, SMALL, 60000, 1},
};
#define SETTINGS (sizeof(settings) / sizeof(*settings))

static void
test_scores_match_brute_force(void **state)
{
	for (size_t s = 0; s < SETTINGS; s++)
	{
		row *rows = make_rows(settings[s].rows, 0, 10 + s);
		filling f = {0};
		mg_workload *m;
		mg_selection *sel;
		world w;

		open_world(&w, rows, settings[s].rows, UINT32_MAX, 0, settings[s].memory, settings[s].threads, s);
		assert_int_equal(mg_workload_begin(&w.ctx, w.c, w.set, SETS, settings[s].kept, &m), MG_OK);
		for (int again = 0; again < 2; again++) /* several rounds from the same counts */
		{
			f.next = 0;
			assert_int_equal(mg_workload_score(&w.ctx, m, contender, CONTENDERS, fill, &f, &sel), MG_OK);
			assert_int_equal(f.next, CONTENDERS);
			for (size_t i = 0; i < CONTENDERS; i++)
				assert_int_equal(mgc_selection_scores(sel)[i], score_by_force(rows, settings[s].rows, i));
			mg_selection_end(sel);
		}
		assert_int_equal(w.odometer.calls, 0);
		mg_workload_end(m);
		close_world(&w);
		free(rows);
	}
}

/* ---- measurements ---- */

static void
test_measurements_match_brute_force(void **state)
{
	for (size_t s = 0; s < SETTINGS; s++)
	{
		row *rows = make_rows(settings[s].rows, 0, 30 + s);
		mg_workload_query q[SETS];
		mg_workload *m;
		world w;

		open_world(&w, rows, settings[s].rows, UINT32_MAX, 0, settings[s].memory, settings[s].threads, s);
		assert_int_equal(mg_workload_begin(&w.ctx, w.c, w.set, SETS, settings[s].kept, &m), MG_OK);
		for (size_t i = 0; i < SETS; i++)
		{
			assert_int_equal(mg_workload_cells(m, i), cells_of(i));
			q[i] = (mg_workload_query){i, exactly, malloc(cells_of(i) * sizeof(int64_t))};
		}
		assert_int_equal(mg_workload_measure(&w.ctx, m, q, SETS), MG_OK);
		assert_int_equal(w.odometer.calls, SETS);
		for (size_t i = 0; i < SETS; i++)
		{
			int64_t *expected = marginal_by_force(rows, settings[s].rows, i);

			assert_memory_equal(q[i].noisy, expected, cells_of(i) * sizeof(int64_t));
			free(expected);
			free(q[i].noisy);
		}
		mg_workload_end(m);
		close_world(&w);
		free(rows);
	}
}

/* From the same state of the source, word by word what mg_curator_marginals gives, at the same price. */
static void
test_measures_as_the_curator_does(void **state)
{
	static const size_t asked[4] = {7, 0, 12, 7};
	row *rows = make_rows(5000, 0, 50);
	mg_ratio sigma2[4] = {{9, 1}, {1, 3}, {2000, 7}, {9, 1}};
	int64_t *out[2][4];
	mg_odometer paid[2];

	for (int how = 0; how < 2; how++)
	{
		mg_workload_query q[4];
		mg_marginal_query p[4];
		mg_workload *m = NULL;
		world w;

		open_world(&w, rows, 5000, UINT32_MAX, 0, LARGE, 0, 51);
		for (int i = 0; i < 4; i++)
		{
			out[how][i] = malloc(cells_of(asked[i]) * sizeof(int64_t));
			q[i] = (mg_workload_query){asked[i], sigma2[i], out[how][i]};
			p[i] = (mg_marginal_query){set_k[asked[i]], set_cols[asked[i]], sigma2[i], out[how][i]};
		}
		if (how == 0)
			assert_int_equal(mg_curator_marginals(&w.ctx, w.c, p, 4), MG_OK);
		else
		{
			assert_int_equal(mg_workload_begin(&w.ctx, w.c, w.set, SETS, LARGE, &m), MG_OK);
			assert_int_equal(mg_workload_measure(&w.ctx, m, q, 4), MG_OK);
		}
		paid[how] = w.odometer;
		mg_workload_end(m);
		close_world(&w);
	}
	assert_memory_equal(&paid[0], &paid[1], sizeof(paid[0]));
	for (int i = 0; i < 4; i++)
	{
		assert_memory_equal(out[0][i], out[1][i], cells_of(asked[i]) * sizeof(int64_t));
		free(out[0][i]);
		free(out[1][i]);
	}
	free(rows);
}

/* Variance as asked for, kept or not, and independent from call to call. Red when the noise is taken out. */
static void
test_noise_is_there(void **state)
{
	const size_t set = 12, cells = cells_of(set);
	row *rows = make_rows(2000, 0, 60);
	int64_t *exact = marginal_by_force(rows, 2000, set), *noisy[2];

	for (int kept = 0; kept < 2; kept++)
	{
		double squares = 0, cross = 0;
		mg_workload *m;
		world w;

		open_world(&w, rows, 2000, UINT32_MAX, 0, SMALL, 0, 61);
		assert_int_equal(mg_workload_begin(&w.ctx, w.c, w.set, SETS, kept ? LARGE : 0, &m), MG_OK);
		for (int i = 0; i < 2; i++)
		{
			mg_workload_query q = {set, {100, 1}, NULL};

			q.noisy = noisy[i] = malloc(cells * sizeof(int64_t));
			assert_int_equal(mg_workload_measure(&w.ctx, m, &q, 1), MG_OK);
		}
		for (size_t i = 0; i < cells; i++)
		{
			double a = (double) (noisy[0][i] - exact[i]), b = (double) (noisy[1][i] - exact[i]);

			squares += a * a + b * b;
			cross += a * b;
		}
		/* 5 standard deviations of sums over that many Gaussians */
		assert_true(fabs(squares / (2 * (double) cells) - 100) < 500 * sqrt(1 / (double) cells));
		assert_true(fabs(cross / (double) cells) < 500 * sqrt(1 / (double) cells));
		free(noisy[0]);
		free(noisy[1]);
		mg_workload_end(m);
		close_world(&w);
	}
	free(exact);
	free(rows);
}

/* ---- what is kept ---- */

/* What is kept asks the store for nothing, what is not kept does: with a store that fails from now on, it shows. */
static void
test_keeps_what_fits_in_the_order_given(void **state)
{
	row *rows = make_rows(30000, 0, 70);
	size_t memory = 0;
	bool expected[SETS];
	mg_workload *m;
	world w;

	open_world(&w, rows, 30000, UINT32_MAX, 0, SMALL, 0, 71);
	/* Room for the one-ways and two of the pairs, a line of the cache more for each; then for a small one again. */
	for (size_t i = 0; i < SETS; i++)
	{
		expected[i] = i < 4 || i == 6;
		memory += expected[i] ? (cells_of(i) + 16) * 4 : 0;
	}
	assert_int_equal(mg_workload_begin(&w.ctx, w.c, w.set, SETS, memory, &m), MG_OK);
	w.store.fail_after = 0;
	for (size_t i = 0; i < SETS; i++)
	{
		int64_t *noisy = malloc(cells_of(i) * sizeof(*noisy));
		mg_workload_query q = {i, {1, 1}, noisy};

		mg_ctx_init(&w.ctx);
		assert_int_equal(mg_workload_measure(&w.ctx, m, &q, 1), expected[i] ? MG_OK : MG_IO);
		free(noisy);
	}
	mg_workload_end(m);
	close_world(&w);
	free(rows);
}

/* ---- privacy ---- */

static void
fill_steady(void *arg, size_t i, double *out)
{
	const mg_contender *of = arg;

	for (size_t cell = 0; cell < cells_of(of[i].marginal); cell++)
		out[cell] = (double) (cell % 4) / 2;
}

#define MOVED 15 /* all contenders but the saturated one */

static void
scores_without(const row *rows, size_t n, uint32_t unit, uint32_t k, int64_t scores[MOVED])
{
	mg_workload *m;
	mg_selection *sel;
	world w;

	open_world(&w, rows, n, unit, k, SMALL, 0, 80);
	assert_int_equal(mg_workload_begin(&w.ctx, w.c, w.set, SETS, 100000, &m), MG_OK);
	assert_int_equal(mg_workload_score(&w.ctx, m, contender, MOVED, fill_steady, (void *) contender, &sel), MG_OK);
	memcpy(scores, mgc_selection_scores(sel), MOVED * sizeof(*scores));
	assert_int_equal(mgc_selection_sensitivity(sel, NULL), (uint64_t) k * 65536);
	mg_selection_end(sel);
	mg_workload_end(m);
	close_world(&w);
}

/* A unit of up to six rows, of which k are used, moves contender i's score by at most k * weight_i, and some unit moves
 * some of them by just that: a smaller sensitivity would be wrong. */
static void
test_a_unit_moves_a_score_by_k_times_its_weight(void **state)
{
	enum
	{
		N = 60,
		UNITS = 14
	};
	bool reached = false;

	for (uint32_t k = 1; k <= 4; k++)
	{
		row *rows = make_rows(N, UNITS, 80 + k);
		int64_t with[MOVED], without[MOVED];

		for (uint32_t j = 0; j < COLUMNS; j++) /* unit 0: all rows the same */
			for (size_t i = 0; i < N; i++)
				if (rows[i].unit == 0)
					rows[i].code[j] = 1;
		scores_without(rows, N, UINT32_MAX, k, with);
		for (uint32_t u = 0; u < UNITS; u++)
		{
			scores_without(rows, N, u, k, without);
			for (size_t i = 0; i < MOVED; i++)
			{
				int64_t moved = llabs(with[i] - without[i]), most = (int64_t) k * contender[i].weight;

				assert_true(moved <= most);
				reached = reached || (k == 4 && moved == most);
			}
		}
		free(rows);
	}
	assert_true(reached);
}

static void
test_scores_saturate(void **state)
{
	mgc_score s = {.sum = (unsigned __int128) 1 << 91};

	assert_true(mgc_weighted_score(&s, 65536, INT64_MIN) == INT64_C(1) << 62);
	assert_true(mgc_weighted_score(&s, 1, INT64_MAX) == INT64_C(1) << 62);
	s.sum = 0;
	assert_true(mgc_weighted_score(&s, 65536, INT64_MAX) == -(INT64_C(1) << 62));
	assert_int_equal(mgc_weighted_score(&s, 65536, 3), -3 * 65536);
	s.sum = (unsigned __int128) 1 << 46; /* times the weight: just at the end */
	assert_true(mgc_weighted_score(&s, 65536, 0) == INT64_C(1) << 62);
	assert_true(mgc_weighted_score(&s, 65535, 0) == (INT64_C(65535) << 46));
}

/* Frequencies of a choice between two of three contenders are those of the formula, with the sensitivity of the heavier
 * of the two; the third, far heavier, has a part only where it is allowed. */
static void
test_choices_follow_the_weights(void **state)
{
	mg_contender three[3] = {{0, 2, 0}, {0, 4, 0}, {0, 200, 0}};
	const bool two[3] = {true, true, false};
	row *rows = make_rows(12, 0, 90);

	for (int all = 0; all < 2; all++)
	{
		const mg_ratio epsilon = {all ? 4 : 1, 1};
		double weight[3], sum = 0, s = all ? 200 : 4;
		int64_t error;
		size_t count[3] = {0};
		const int64_t *score;
		mg_workload *m;
		mg_selection *sel;
		world w;

		open_world(&w, rows, 12, UINT32_MAX, 0, LARGE, 0, 91);
		assert_int_equal(mg_workload_begin(&w.ctx, w.c, w.set, SETS, LARGE, &m), MG_OK);
		assert_int_equal(mg_workload_score(&w.ctx, m, three, 1, fill_steady, three, &sel), MG_OK);
		error = mgc_selection_scores(sel)[0] / 2 + three[0].penalty;
		mg_selection_end(sel);
		three[0].penalty = error - 3; /* scores of 6, 20 and 200 */
		three[1].penalty = error - 5;
		three[2].penalty = error - 1;
		assert_int_equal(mg_workload_score(&w.ctx, m, three, 3, fill_steady, three, &sel), MG_OK);
		mg_workload_end(m); /* scores stay without it */
		score = mgc_selection_scores(sel);
		assert_int_equal(mgc_selection_sensitivity(sel, NULL), 200);
		assert_int_equal(mgc_selection_sensitivity(sel, two), 4);
		for (int i = 0; i < 3; i++)
			sum += weight[i] = all || two[i] ? exp((double) epsilon.num * (double) (score[i] - score[1]) / (2 * s)) : 0;
		for (int i = 0; i < 6000; i++)
		{
			size_t chosen = 3;

			assert_int_equal(mg_selection_choose(&w.ctx, sel, all ? NULL : two, epsilon, &chosen), MG_OK);
			assert_in_range(chosen, 0, 2);
			count[chosen]++;
		}
		for (int i = 0; i < 3; i++)
		{
			double p = weight[i] / sum;

			assert_true(fabs((double) count[i] - 6000 * p) <= 5 * sqrt(6000 * p * (1 - p)));
		}
		assert_int_equal(w.odometer.calls, 6000);
		assert_true(w.odometer.rho_used >= 6000 * (double) (epsilon.num * epsilon.num) / 8 * (1 - 1e-12));
		assert_true(w.odometer.rho_used <= 6000 * (double) (epsilon.num * epsilon.num) / 8 * (1 + 1e-12));
		mg_selection_end(sel);
		close_world(&w);
	}
	free(rows);
}

/* The ratio of epsilon to sensitivity need not fit the sampler's terms: it is rounded to the safe side, not refused. */
static void
test_small_epsilons_over_large_sensitivities(void **state)
{
	static const mg_contender two[2] = {{0, 65536, 0}, {0, 65535, 0}};
	row *rows = make_rows(10, 0, 92);
	mg_workload *m;
	mg_selection *sel;
	size_t chosen, first = 0;
	mg_ratio epsilon;
	world w;

	assert_true(mg_ratio_below(0.0123456789, &epsilon));
	open_world(&w, rows, 10, UINT32_MAX, 8192, LARGE, 0, 93);
	assert_true(epsilon.den > (UINT64_C(1) << 53) / (65536 * 8192)); /* or this tests nothing */
	assert_int_equal(mg_workload_begin(&w.ctx, w.c, w.set, SETS, LARGE, &m), MG_OK);
	assert_int_equal(mg_workload_score(&w.ctx, m, two, 2, fill_steady, (void *) two, &sel), MG_OK);
	for (int i = 0; i < 1000; i++)
	{
		assert_int_equal(mg_selection_choose(&w.ctx, sel, NULL, epsilon, &chosen), MG_OK);
		first += chosen == 0;
	}
	assert_in_range(first, 400, 600);
	assert_int_equal(mg_selection_choose(&w.ctx, sel, NULL, (mg_ratio){1, UINT64_C(1) << 53}, &chosen), MG_INVALID);
	assert_int_equal(w.odometer.calls, 1000);
	mg_selection_end(sel);
	mg_workload_end(m);
	close_world(&w);
	free(rows);
}

/* ---- the account, and calls that are refused ---- */

#define SENTINEL INT64_C(-987654321)

static void
test_refused_beyond_the_reservation(void **state)
{
	row *rows = make_rows(100, 0, 95);
	int64_t buffer[2][5] = {{SENTINEL}, {SENTINEL}};
	mg_workload_query q[2] = {{0, {1, 1}, buffer[0]}, {0, {1, 1}, buffer[1]}};
	mg_selection *sel;
	mg_workload *m;
	size_t chosen = 77;
	filling f = {0};
	world w;

	open_world(&w, rows, 100, UINT32_MAX, 2, LARGE, 0, 96);
	mg_odometer_init(&w.odometer, 3.9, 0); /* a unit of two rows: 2 for each */
	assert_int_equal(mg_workload_begin(&w.ctx, w.c, w.set, SETS, LARGE, &m), MG_OK);
	assert_int_equal(mg_workload_measure(&w.ctx, m, q, 2), MG_BUDGET);
	assert_int_equal(buffer[0][0], SENTINEL);
	assert_int_equal(w.odometer.calls, 0);
	mg_ctx_init(&w.ctx);
	assert_int_equal(mg_workload_measure(&w.ctx, m, q, 1), MG_OK);
	assert_true(fabs(w.odometer.rho_used - 2) < 1e-12);
	assert_int_equal(buffer[1][0], SENTINEL);
	assert_int_equal(mg_workload_score(&w.ctx, m, contender, CONTENDERS, fill, &f, &sel), MG_OK);
	assert_int_equal(mg_selection_choose(&w.ctx, sel, NULL, (mg_ratio){4, 1}, &chosen), MG_BUDGET);
	assert_int_equal(chosen, 77);
	assert_int_equal(w.odometer.calls, 1);
	mg_selection_end(sel);
	mg_workload_end(m);
	close_world(&w);
	free(rows);
}

static void
test_bad_calls_are_refused_and_cost_nothing(void **state)
{
	static const uint32_t twice[2] = {1, 1}, falling[2] = {2, 1}, missing[1] = {COLUMNS}, wide[3] = {2, 4, 4};
	static const mg_marginal_of bad[] = {{2, twice}, {2, falling}, {1, missing}, {0, twice}, {3, wide}, {99, wide}};
	static const mg_contender none[] = {{SETS, 1, 0}, {0, 0, 0}, {0, MG_MAX_WEIGHT + 1, 0}};
	row *rows = make_rows(10, 0, 97);
	int64_t noisy[5] = {SENTINEL};
	mg_workload_query q = {0, {0, 1}, noisy};
	mg_workload *m = NULL;
	mg_selection *sel = NULL;
	filling f = {0};
	world w;

	open_world(&w, rows, 10, UINT32_MAX, 0, LARGE, 0, 98);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(mg_workload_begin(&w.ctx, w.c, &bad[i], 1, LARGE, &m), MG_INVALID);
	assert_null(m);
	assert_int_equal(mg_workload_begin(&w.ctx, w.c, NULL, 0, LARGE, &m), MG_OK); /* of nothing: allowed */
	assert_int_equal(mg_workload_measure(&w.ctx, m, NULL, 0), MG_OK);
	mg_workload_end(m);
	mg_workload_end(NULL);
	assert_int_equal(mg_workload_begin(&w.ctx, w.c, w.set, SETS, LARGE, &m), MG_OK);
	for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++)
		assert_int_equal(mg_workload_score(&w.ctx, m, &none[i], 1, fill, &f, &sel), MG_INVALID);
	assert_int_equal(mg_workload_score(&w.ctx, m, none, 0, fill, &f, &sel), MG_INVALID);
	assert_int_equal(f.next, 0);
	assert_null(sel);
	assert_int_equal(mg_workload_measure(&w.ctx, m, &q, 1), MG_INVALID);
	q = (mg_workload_query){SETS, {1, 1}, noisy};
	assert_int_equal(mg_workload_measure(&w.ctx, m, &q, 1), MG_INVALID);
	assert_int_equal(noisy[0], SENTINEL);
	assert_int_equal(w.odometer.calls, 0);
	mg_workload_end(m);
	close_world(&w);
	free(rows);
}

static bool
cancel_at(void *arg)
{
	int *left = arg;

	return (*left)-- <= 0;
}

/* Cancelled or without its store at any point, everything is given back (the sanitizers see that) and a code comes. */
static void
test_cancel_and_failing_store(void **state)
{
	row *rows = make_rows(20000, 0, 99);

	for (int left = 0; left < 40; left++)
	{
		for (int store = 0; store < 2; store++)
		{
			int64_t *noisy = malloc(cells_of(12) * sizeof(*noisy));
			mg_workload_query q[2] = {{12, {1, 1}, noisy}, {0, {1, 1}, noisy}};
			mg_workload *m = NULL;
			mg_selection *sel = NULL;
			filling f = {0};
			int polls = left;
			mg_code code;
			world w;

			open_world(&w, rows, 20000, UINT32_MAX, 0, SMALL, 0, 100);
			if (store)
				w.store.fail_after = left;
			else
			{
				w.ctx.cancel = cancel_at;
				w.ctx.cancel_arg = &polls;
			}
			code = mg_workload_begin(&w.ctx, w.c, w.set, SETS, 9000, &m);
			if (code == MG_OK)
				code = mg_workload_score(&w.ctx, m, contender, CONTENDERS, fill, &f, &sel);
			if (code == MG_OK)
				code = mg_workload_measure(&w.ctx, m, q, 2);
			assert_int_equal(code, store ? MG_IO : MG_CANCELLED);
			mg_selection_end(sel);
			mg_workload_end(m);
			close_world(&w);
			free(noisy);
		}
	}
	free(rows);
}

/* ---- scores released ---- */

#define RELEASED 6 /* contenders with weights from 1 to 65536 */

static mg_selection *
scored(world *w, size_t count)
{
	mg_workload *m;
	mg_selection *sel;

	assert_int_equal(mg_workload_begin(&w->ctx, w->c, w->set, SETS, 100000, &m), MG_OK);
	assert_int_equal(mg_workload_score(&w->ctx, m, contender, count, fill_steady, (void *) contender, &sel), MG_OK);
	mg_workload_end(m);
	return sel;
}

/* Each score with noise of its own, of the variance that was asked for, anew in each call; the charge is that of the
 * whole vector, once a call. Red when the noise, or a part of the length, is taken out. */
static void
test_scores_are_released_with_noise(void **state)
{
	enum
	{
		RUNS = 3000
	};
	row *rows = make_rows(500, 100, 85);

	for (uint32_t k = 1; k <= 3; k += 2)
	{
		double sum[RELEASED] = {0}, squares[RELEASED] = {0}, cross = 0, reach = 0, last = 0;
		mg_selection *sel;
		world w;

		open_world(&w, rows, 500, UINT32_MAX, k, LARGE, 0, 86);
		sel = scored(&w, RELEASED);
		for (size_t i = 0; i < RELEASED; i++)
			reach += (double) k * k * contender[i].weight * contender[i].weight;
		for (uint32_t run = 0; run < RUNS; run++)
		{
			int64_t noisy[RELEASED];

			assert_int_equal(mg_selection_release(&w.ctx, sel, (mg_ratio){200, 2}, noisy), MG_OK);
			assert_int_equal(w.odometer.calls, run + 1);
			assert_true(fabs(w.odometer.rho_used - (run + 1) * reach / 200) <= 1e-9 * w.odometer.rho_used);
			for (size_t i = 0; i < RELEASED; i++)
			{
				double x = (double) (noisy[i] - mgc_selection_scores(sel)[i]);

				sum[i] += x;
				squares[i] += x * x;
				cross += x * last;
				last = x;
			}
		}
		/* 5 standard deviations of sums over so many Gaussians of variance 100 */
		for (size_t i = 0; i < RELEASED; i++)
		{
			assert_true(fabs(sum[i] / RUNS) < 50 / sqrt(RUNS));
			assert_true(fabs(squares[i] / RUNS - 100) < 500 * sqrt(2.0 / RUNS));
		}
		assert_true(fabs(cross / RUNS / RELEASED) < 500 / sqrt(RUNS * RELEASED));
		mg_selection_end(sel);
		close_world(&w);
	}
	free(rows);
}

/* What it costs is at most rho, and hardly less: from very little to much, for units and vectors of any size. */
static void
test_score_noise_costs_what_it_may(void **state)
{
	static const uint32_t ks[] = {1, 2, 7, MG_MAX_ROWS_PER_UNIT};
	static const size_t counts[] = {1, 3, 105, 4950};
	static const double never[] = {0, -1, NAN, -INFINITY, 1e-300};
	mg_ratio sigma2 = {5, 7};

	for (int i = 0; i < 4; i++)
		for (int j = 0; j < 4; j++)
			for (double rho = 3e-6; rho < 100; rho *= 7)
			{
				double reach = (double) ks[i] * ks[i] * (double) counts[j], cost;
				bool ok = mg_noise_for_scores(rho, ks[i], counts[j], &sigma2);

				assert_true(ok == (reach / (2 * rho) <= 0x1p52));
				if (!ok)
					continue;
				assert_true(sigma2.num <= UINT64_C(1) << 53 && sigma2.den <= UINT64_C(1) << 53);
				cost = reach / (2 * mg_ratio_value(sigma2));
				assert_true(cost <= rho * (1 + 1e-15));
				assert_true(cost >= rho * (1 - 1e-5 * fmax(1, 1e3 * rho / reach)));
			}
	sigma2 = (mg_ratio){5, 7};
	for (int i = 0; i < 5; i++)
		assert_false(mg_noise_for_scores(never[i], 1, 10, &sigma2));
	assert_true(sigma2.num == 5 && sigma2.den == 7);
}

static void
test_scores_are_not_released_on_credit(void **state)
{
	enum
	{
		MANY = 64
	};
	row *rows = make_rows(50, 10, 87);
	int64_t noisy[MANY], untouched[MANY];
	mg_contender heavy[MANY];
	mg_selection *sel;
	mg_workload *m;
	world w;

	for (size_t i = 0; i < MANY; i++)
	{
		heavy[i] = (mg_contender){0, MG_MAX_WEIGHT, 0};
		noisy[i] = untouched[i] = (int64_t) i - 7;
	}
	open_world(&w, rows, 50, UINT32_MAX, 1, LARGE, 0, 88);
	sel = scored(&w, 1); /* weight 1: rho 1/200 */
	mg_odometer_init(&w.odometer, 0.0099, 0);
	assert_int_equal(mg_selection_release(&w.ctx, sel, (mg_ratio){100, 1}, noisy), MG_OK);
	noisy[0] = untouched[0];
	assert_int_equal(mg_selection_release(&w.ctx, sel, (mg_ratio){100, 1}, noisy), MG_BUDGET);
	mg_ctx_init(&w.ctx);
	assert_int_equal(mg_selection_release(&w.ctx, sel, (mg_ratio){0, 1}, noisy), MG_INVALID);
	mg_ctx_init(&w.ctx);
	assert_int_equal(mg_selection_release(&w.ctx, sel, (mg_ratio){1, 0}, noisy), MG_INVALID);
	assert_int_equal(w.odometer.calls, 1);
	assert_memory_equal(noisy, untouched, sizeof(noisy));
	mg_selection_end(sel);
	close_world(&w);
	/* a length whose square has no room in 64 bits is not rounded to one that has */
	open_world(&w, rows, 50, UINT32_MAX, MG_MAX_ROWS_PER_UNIT, LARGE, 0, 89);
	assert_int_equal(mg_workload_begin(&w.ctx, w.c, w.set, SETS, LARGE, &m), MG_OK);
	for (size_t n = MANY - 1; n <= MANY; n++)
	{
		assert_int_equal(mg_workload_score(&w.ctx, m, heavy, n, fill_steady, heavy, &sel), MG_OK);
		assert_int_equal(mg_selection_release(&w.ctx, sel, (mg_ratio){UINT64_C(1) << 53, 1}, noisy),
						 n < MANY ? MG_OK : MG_INVALID);
		mg_selection_end(sel);
	}
	assert_true(fabs(w.odometer.rho_used - (MANY - 1) * 16) < 1e-6);
	mg_workload_end(m);
	close_world(&w);
	free(rows);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scores_match_brute_force),
		cmocka_unit_test(test_measurements_match_brute_force),
		cmocka_unit_test(test_measures_as_the_curator_does),
		cmocka_unit_test(test_noise_is_there),
		cmocka_unit_test(test_keeps_what_fits_in_the_order_given),
		cmocka_unit_test(test_a_unit_moves_a_score_by_k_times_its_weight),
		cmocka_unit_test(test_scores_saturate),
		cmocka_unit_test(test_choices_follow_the_weights),
		cmocka_unit_test(test_small_epsilons_over_large_sensitivities),
		cmocka_unit_test(test_refused_beyond_the_reservation),
		cmocka_unit_test(test_bad_calls_are_refused_and_cost_nothing),
		cmocka_unit_test(test_cancel_and_failing_store),
		cmocka_unit_test(test_scores_are_released_with_noise),
		cmocka_unit_test(test_score_noise_costs_what_it_may),
		cmocka_unit_test(test_scores_are_not_released_on_credit),
	};

	return cmocka_run_group_tests_name("workload", tests, NULL, NULL);
}
