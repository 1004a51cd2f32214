/*
 * test/unit/test_binning.c: how numbers are cut into bins: the three ways by their definitions, the law for how many
 * against simulated pairs of columns, the options, and what learning gets of the budget.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory_store.h"
#include "model/binning.h"
#include "model/hierarchy.h"
#include "seeded_noise.h"
#include "world.h"

typedef struct world
{
	WORLD;
} world;

static int
set_up(void **state)
{
	return make_world(state, sizeof(world), 19) == NULL;
}

/* ---- the ways ---- */

#define N 97

/* Codes dense and in the cells' order, every cell has one; NULL alone and last where there can be one. */
static void
check_codes(const uint16_t *merge, uint32_t ncells, uint32_t ncoarse, uint32_t most, bool nullable)
{
	uint32_t bins = ncoarse - (nullable ? 1 : 0);

	assert_int_equal(merge[0], 0);
	for (uint32_t i = 1; i < ncells; i++)
		assert_true(merge[i] == merge[i - 1] || merge[i] == merge[i - 1] + 1);
	assert_int_equal(merge[ncells], nullable ? bins : 0);
	assert_int_equal(merge[ncells - 1], bins - 1);
	assert_true(bins >= 1 && bins <= most);
}

static void
uniform_bins_have_equal_width(void **state)
{
	world *w = *state;
	mg_domain d = {.name = "x", .kind = MG_NUMBER, .nullable = true, .lower = 3, .upper = 3 + N - 1, .step = 1};
	mg_cell cells[N];
	double fine[N + 1];
	uint16_t merge[N + 1];
	uint32_t n;

	for (uint32_t i = 0; i < N; i++)
	{
		cells[i].lower = cells[i].upper = 3 + i;
		fine[i] = i == 50 ? 1e6 : 1;
	}
	fine[N] = 1;
	for (uint32_t most = 1; most <= 2 * N; most++)
	{
		mg_bin_rule rule = {.how = MG_BINS_UNIFORM, .least = 1e9, .most = most};
		uint32_t width[2 * N] = {0};

		assert_int_equal(mg_bins_merge(&w->ctx, w->a, &d, cells, fine, N + 1, &rule, merge, &n), MG_OK);
		check_codes(merge, N, n, most, true);
		/* whatever they hold: as many bins as asked, values shared out to within one */
		assert_int_equal(n - 1, most < N ? most : N);
		for (uint32_t i = 0; i < N; i++)
			width[merge[i]]++;
		for (uint32_t b = 0; b + 1 < n; b++)
			assert_true(width[b] >= N / most && width[b] <= N / most + 1);
	}
}

/* Cells of unequal width: by the axis, not by their number; over the whole range of doubles. */
static void
uniform_bins_follow_the_axis(void **state)
{
	world *w = *state;
	mg_domain d = {.name = "x", .kind = MG_NUMBER, .nullable = true};
	const mg_cell cells[] = {{-0.5 * DBL_MAX, -0.4 * DBL_MAX}, {-0.4 * DBL_MAX, -0.3 * DBL_MAX}, {-1, 0}, {0, 0},
							 {DBL_MIN, 0.3 * DBL_MAX},         {0.3 * DBL_MAX, DBL_MAX / 2}};
	const double fine[7] = {1, 1, 1, 1, 1, 1, 1};
	mg_bin_rule rule = {.how = MG_BINS_UNIFORM, .most = 10};
	uint16_t merge[7];
	uint32_t n;

	assert_int_equal(mg_bins_merge(&w->ctx, w->a, &d, cells, fine, 7, &rule, merge, &n), MG_OK);
	/* tenths of the range: the first cell in the first, the second in the second, none in the next two .. */
	assert_memory_equal(merge, ((const uint16_t[]){0, 1, 2, 2, 3, 4, 5}), sizeof(merge));
	/* a single cell, without width */
	assert_int_equal(mg_bins_merge(&w->ctx, w->a, &d, cells + 3, fine, 2, &rule, merge, &n), MG_OK);
	assert_int_equal(n, 2);
}

static void
quantile_bins_have_equal_mass(void **state)
{
	world *w = *state;
	mg_domain d = {.name = "x", .kind = MG_NUMBER, .nullable = true, .upper = N - 1, .step = 1};
	double fine[N + 1], total = 0;
	uint16_t merge[N + 1];
	uint32_t n;

	for (uint32_t i = 0; i <= N; i++)
		fine[i] = i == 60 ? 400 : i % 7 == 0 ? 0 : 1 + 9 * mg_rng_unit(&w->rng);
	for (uint32_t i = 0; i < N; i++)
		total += fine[i];
	for (uint32_t most = 1; most <= N; most++)
	{
		mg_bin_rule rule = {.how = MG_BINS_QUANTILE, .least = 1e9, .most = most};

		assert_int_equal(mg_bins_merge(&w->ctx, w->a, &d, NULL, fine, N + 1, &rule, merge, &n), MG_OK);
		check_codes(merge, N, n, most, true);
		for (uint32_t from = 0, to; from < N; from = to)
		{
			double mass = 0;

			for (to = from; to < N && merge[to] == merge[from]; to++)
				mass += fine[to];
			/* middles within one part: beyond it reach half the first cell and half the last */
			assert_true(mass <= total / most + fine[from] / 2 + fine[to - 1] / 2 + 1e-9);
			/* and with half of either neighbour it is a part at least */
			if (from > 0 && to < N)
				assert_true(mass + fine[from - 1] / 2 + fine[to] / 2 >= total / most - 1e-9);
		}
		/* a value of two parts or more shares its bin only with what has no mass */
		if (fine[60] > 2 * total / most)
			for (uint32_t i = 0; i < N; i++)
				assert_true(i == 60 || fine[i] <= 0 || merge[i] != merge[60]);
	}
	/* no mass at all: by rank */
	memset(fine, 0, sizeof(fine));
	{
		mg_bin_rule rule = {.how = MG_BINS_QUANTILE, .most = 5};

		assert_int_equal(mg_bins_merge(&w->ctx, w->a, &d, NULL, fine, N + 1, &rule, merge, &n), MG_OK);
		assert_int_equal(n, 6);
	}
}

/* ---- how many ---- */

static void
bins_follow_the_noise(void **state)
{
	mg_discretize_options opt = {.rho_measure = 0.005};
	mg_domain d = {.name = "x", .kind = MG_NUMBER};
	mg_bin_rule rule = mg_bin_rule_for(&opt, &d, 2, 2e5);

	/* one pair: sigma = sqrt(1 / (2 rho)) = 10; b^2 * 8 * 10 = 2e5 */
	assert_int_equal(rule.most, 50);
	assert_near(rule.least, 40, 1e-9);
	assert_int_equal(rule.how, MG_BINS_MERGED);
	/* four times the noise, half the bins, bins four times as heavy: by more marginals, or by more rows of a unit */
	opt.marginals = 16;
	rule = mg_bin_rule_for(&opt, &d, 2, 2e5);
	assert_int_equal(rule.most, 25);
	assert_near(rule.least, 160, 1e-9);
	opt.marginals = 0;
	assert_int_equal(mg_bin_rule_for(&opt, &d, 17, 2e5).most, 25);
	opt.rows_per_unit = 4;
	assert_int_equal(mg_bin_rule_for(&opt, &d, 2, 2e5).most, 25);
	/* neither one bin nor thousands */
	assert_int_equal(mg_bin_rule_for(&opt, &d, 2, 1).most, 12);
	assert_int_equal(mg_bin_rule_for(&opt, &d, 2, 1e12).most, 128);
	/* no marginal will be measured: nothing to drown in */
	opt.rho_measure = 0;
	assert_int_equal(mg_bin_rule_for(&opt, &d, 2, 2e5).most, 128);
	/* what was asked for goes before, what the column declares before that */
	opt.most_bins = 7;
	opt.bin_deviations = 3;
	opt.rho_measure = 0.005;
	opt.rows_per_unit = 1;
	opt.how = MG_BINS_QUANTILE;
	rule = mg_bin_rule_for(&opt, &d, 2, 2e5);
	assert_int_equal(rule.most, 7);
	assert_near(rule.least, 30, 1e-9);
	assert_int_equal(rule.how, MG_BINS_QUANTILE);
	d.bins = 9;
	assert_int_equal(mg_bin_rule_for(&opt, &d, 2, 2e5).most, 9);
	d.bins = 100000;
	assert_int_equal(mg_bin_rule_for(&opt, &d, 2, 2e5).most, MG_MAX_CELLS);
}

#define AXIS 128

/* Two numbers that depend on each other as a normal pair of correlation 0.9 does. */
static void
count_dependent(world *w, uint32_t rows, double *joint)
{
	memset(joint, 0, AXIS * AXIS * sizeof(*joint));
	for (uint32_t r = 0; r < rows; r++)
	{
		double x = normal(&w->rng), y = 0.9 * x + sqrt(1 - 0.81) * normal(&w->rng);
		uint32_t i = (uint32_t) fmin(fmax((x + 3.2) * 20, 0), AXIS - 1);
		uint32_t j = (uint32_t) fmin(fmax((y + 3.2) * 20, 0), AXIS - 1);

		joint[i * AXIS + j]++;
	}
}

/* Distance of the pair from what its noisy, non-negative table over `most` bins a side says, spread within bins. */
static double
distance_over_bins(world *w, const double *joint, double rows, double sigma, uint32_t most)
{
	mg_domain d = {.name = "x", .kind = MG_NUMBER, .upper = AXIS - 1, .step = 1};
	mg_bin_rule rule = {.least = 8 * sigma, .most = most};
	static double table[AXIS * AXIS], var[AXIS * AXIS], fine[2][AXIS + 1], coarse[2][AXIS];
	uint16_t merge[2][AXIS + 1];
	uint32_t n[2];
	double sum = 0;

	memset(fine, 0, sizeof(fine));
	memset(coarse, 0, sizeof(coarse));
	memset(table, 0, sizeof(table));
	for (uint32_t i = 0; i < AXIS * AXIS; i++)
	{
		fine[0][i / AXIS] += joint[i];
		fine[1][i % AXIS] += joint[i];
	}
	for (uint32_t k = 0; k < 2; k++)
	{
		assert_int_equal(mg_bins_merge(&w->ctx, w->a, &d, NULL, fine[k], AXIS + 1, &rule, merge[k], &n[k]), MG_OK);
		for (uint32_t i = 0; i < AXIS; i++)
			coarse[k][merge[k][i]] += fine[k][i];
	}
	for (uint32_t i = 0; i < AXIS * AXIS; i++)
		table[merge[0][i / AXIS] * n[1] + merge[1][i % AXIS]] += joint[i];
	for (uint32_t i = 0; i < n[0] * n[1]; i++)
	{
		table[i] += sigma * normal(&w->rng);
		var[i] = sigma * sigma;
	}
	mg_project_simplex(table, var, n[0] * n[1], rows);
	for (uint32_t i = 0; i < AXIS * AXIS; i++)
	{
		uint32_t x = i / AXIS, y = i % AXIS, bx = merge[0][x], by = merge[1][y];
		double of = coarse[0][bx] * coarse[1][by];

		sum += fabs(joint[i] - (of > 0 ? table[bx * n[1] + by] * fine[0][x] * fine[1][y] / of : 0));
	}
	return 0.5 * sum / rows;
}

/* From little noise to much, the law's number of bins is nearly as good as the best there is. */
static void
law_is_near_the_best(void **state)
{
	static const double sigmas[] = {1.5, 5, 15, 50};
	static double joint[AXIS * AXIS];
	const uint32_t rows = 60000;
	world *w = *state;
	mg_domain d = {.name = "x", .kind = MG_NUMBER};

	count_dependent(w, rows, joint);
	for (size_t s = 0; s < sizeof(sigmas) / sizeof(sigmas[0]); s++)
	{
		mg_discretize_options opt = {.rho_measure = 1 / (2 * sigmas[s] * sigmas[s])};
		uint32_t law = mg_bin_rule_for(&opt, &d, 2, rows).most;
		double best = 1, here = distance_over_bins(w, joint, rows, sigmas[s], law);

		for (uint32_t most = 4; most <= AXIS; most += most / 4)
			best = fmin(best, distance_over_bins(w, joint, rows, sigmas[s], most));
		assert_true(here <= 1.2 * best);
		/* a fixed number is much worse at one end or the other */
		if (s == 0)
			assert_true(distance_over_bins(w, joint, rows, sigmas[s], 16) > 1.5 * here);
		if (s == 3)
			assert_true(distance_over_bins(w, joint, rows, sigmas[s], 64) > 1.2 * here);
	}
}

/* ---- options and shares ---- */

static mg_code
option(world *w, const char *name, const char *value, mg_discretize_options *opt, bool *mine)
{
	mg_option o = {name, value};

	mg_ctx_init(&w->ctx);
	memset(opt, 0, sizeof(*opt));
	return mg_discretize_option(&w->ctx, &o, opt, mine);
}

static void
options_are_read(void **state)
{
	static const char *const bad[] = {"", "x", "3x", "nan", "inf", "-1", "0", "1e9", NULL};
	world *w = *state;
	mg_discretize_options opt;
	bool mine;

	assert_int_equal(option(w, "binning", "uniform", &opt, &mine), MG_OK);
	assert_true(mine && opt.how == MG_BINS_UNIFORM);
	assert_int_equal(option(w, "binning", "quantile", &opt, &mine), MG_OK);
	assert_true(mine && opt.how == MG_BINS_QUANTILE);
	assert_int_equal(option(w, "binning", "merged", &opt, &mine), MG_OK);
	assert_true(mine && opt.how == MG_BINS_MERGED);
	assert_int_equal(option(w, "binning", "quantiles", &opt, &mine), MG_INVALID);
	assert_non_null(strstr(w->ctx.hint, "merged, uniform, quantile"));
	assert_int_equal(option(w, "binning", NULL, &opt, &mine), MG_INVALID);
	assert_int_equal(option(w, "bins", "48", &opt, &mine), MG_OK);
	assert_true(mine && opt.most_bins == 48);
	assert_int_equal(option(w, "bins", "4.5", &opt, &mine), MG_INVALID);
	assert_int_equal(option(w, "bin_deviations", "4.5", &opt, &mine), MG_OK);
	assert_true(mine && opt.bin_deviations == 4.5);
	assert_int_equal(option(w, "oneway_share", "x", &opt, &mine), MG_OK);
	assert_false(mine);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		assert_int_equal(option(w, "bins", bad[i], &opt, &mine), MG_INVALID);
		assert_true(w->ctx.hint[0] != '\0');
		assert_int_equal(option(w, "bin_deviations", bad[i], &opt, &mine), MG_INVALID);
	}
}

static void
labels_are_worth_more_learning(void **state)
{
	world *w = *state;
	mg_domain d[4] = {{.name = "a", .kind = MG_CATEGORY, .open = true, .has_other = true},
					  {.name = "b", .kind = MG_NUMBER, .open = true, .lower = -1e9, .upper = 1e9, .step = 1},
					  {.name = "c", .kind = MG_NUMBER, .upper = 9, .step = 1},
					  {.name = "d", .kind = MG_NUMBER, .upper = 1e6, .step = 1}};
	mg_discretize_options opt = {.rho_learn = 0.5, .rho_oneway = 0.5, .delta_atoms = 1e-9};
	double learn[4] = {0}, sum = 0;
	mg_plan plan = {0};

	assert_near(mg_discretize_learn_share(&d[2], 1), 0, 0);
	assert_near(mg_discretize_learn_share(&d[0], 1), 0.4, 1e-12);
	assert_true(mg_discretize_learn_share(&d[1], 1) < 0.3 && mg_discretize_learn_share(&d[1], 1) > 0.1);
	assert_near(mg_discretize_learn_share(&d[1], 1), mg_discretize_learn_share(&d[3], 1), 0);
	assert_true(mg_discretize_learn_share(d, 4) < mg_discretize_learn_share(d, 1));
	assert_int_equal(mg_discretize_plan(&w->ctx, w->a, d, 4, &opt, &plan), MG_OK);
	for (uint32_t i = 0; i < plan.count; i++)
		if (strcmp(plan.item[i].what, "fine histogram") != 0)
			learn[plan.item[i].column[0] - 'a'] += plan.item[i].rho;
	for (int i = 0; i < 4; i++)
		sum += learn[i];
	assert_near(sum, opt.rho_learn, 1e-12);
	assert_near(learn[0], 3 * learn[1], 1e-12);
	assert_near(learn[1], learn[3], 1e-12);
	assert_near(learn[2], 0, 0);
}

/* ---- through a curator ---- */

/* Every way makes whole columns: all mass in some bin, no more than rho, values in the codes that the merge says. */
static void
each_way_makes_columns(void **state)
{
	world *w = *state;
	const mg_domain d[2] = {{.name = "age", .kind = MG_NUMBER, .nullable = true, .upper = 99, .step = 1},
							{.name = "pay", .kind = MG_NUMBER, .open = true, .lower = -1e9, .upper = 1e9, .step = 1}};

	for (int how = MG_BINS_MERGED; how <= MG_BINS_QUANTILE; how++)
	{
		mg_discretize_options opt = {.rho_learn = 0.2,
									 .rho_oneway = 0.3,
									 .rho_measure = 0.5,
									 .delta_atoms = 1e-9,
									 .how = (mg_binning) how,
									 .most_bins = 20};
		memory_store store;
		mg_noise *noise = seeded_noise(4);
		mg_odometer odometer;
		mg_curator *c;
		mg_column column[2];

		memory_store_init(&store);
		mg_odometer_init(&odometer, 0.5, 1e-9);
		assert_int_equal(mg_curator_create(&w->ctx, d, 2, noise, &odometer, &store.store, 1 << 22, &c), MG_OK);
		for (uint32_t r = 0; r < 8000; r++)
		{
			double u = mg_rng_unit(&w->rng);

			mg_load_number(c, 0, floor(60 * u * u));
			mg_load_number(c, 1, r % 3 == 0 ? 0 : floor(exp(6 + u)));
			assert_int_equal(mg_load_row(&w->ctx, c), MG_OK);
		}
		assert_int_equal(mg_load_finish(&w->ctx, c), MG_OK);
		assert_int_equal(mg_discretize(&w->ctx, c, d, 2, &opt, w->a, column), MG_OK);
		assert_true(odometer.rho_used <= 0.5);
		for (int k = 0; k < 2; k++)
		{
			double sum = 0;

			check_codes(column[k].merge, column[k].nfine - 1, column[k].ncoarse, 20, k == 0);
			for (uint32_t b = 0; b < column[k].ncoarse; b++)
				sum += column[k].coarse[b];
			assert_near(sum, column[k].total, 1e-6 * sum);
		}
		/* of the ages, 60 of 100 values occur: equal widths leave bins to the rest, the other ways do not */
		assert_true(how == MG_BINS_UNIFORM ? column[0].coarse[19] < 50 : column[0].coarse[column[0].ncoarse - 2] > 100);
		/* a third of the pay is zero: a bin of its own unless bins are blind to it */
		assert_true(how == MG_BINS_UNIFORM || fabs(column[1].coarse[0] - 8000.0 / 3) < 100);
		mg_curator_destroy(c);
		mg_noise_destroy(noise);
		memory_store_free(&store);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, free_world)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(uniform_bins_have_equal_width),  TEST(uniform_bins_follow_the_axis), TEST(quantile_bins_have_equal_mass),
		TEST(bins_follow_the_noise),          TEST(law_is_near_the_best),         TEST(options_are_read),
		TEST(labels_are_worth_more_learning), TEST(each_way_makes_columns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
