/*
 * test/unit/test_discretize.c: from columns to codes: whole discretisations through a real curator, with noise from
 * next to none to everything.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "discretize_world.h"

/* ---- through a curator ---- */

typedef void (*load_row)(mg_curator *c, uint32_t row, mg_rng *rng);

typedef struct run
{
	memory_store store;
	mg_noise *noise;
	mg_odometer odometer;
	mg_curator *curator;
	mg_column column[16];
} run;

static void
run_discretize(world *w, run *r, const mg_domain *d, uint32_t n, uint32_t rows, load_row load,
			   const mg_discretize_options *opt, uint64_t seed)
{
	mg_rng rng;

	memset(r, 0, sizeof(*r));
	mg_rng_seed(&rng, 5);
	memory_store_init(&r->store);
	r->noise = seeded_noise(seed);
	mg_odometer_init(&r->odometer, opt->rho_learn + opt->rho_oneway, opt->delta_atoms);
	assert_int_equal(mg_curator_create(&w->ctx, d, n, r->noise, &r->odometer, &r->store.store, 1 << 22, &r->curator),
					 MG_OK);
	for (uint32_t i = 0; i < rows; i++)
	{
		if (load != NULL)
			load(r->curator, i, &rng);
		assert_int_equal(mg_load_row(&w->ctx, r->curator), MG_OK);
	}
	assert_int_equal(mg_load_finish(&w->ctx, r->curator), MG_OK);
	if (mg_discretize(&w->ctx, r->curator, d, n, opt, w->a, r->column) != MG_OK)
		fail_msg("%s", w->ctx.message);
}

static void
run_end(run *r)
{
	mg_curator_destroy(r->curator);
	mg_noise_destroy(r->noise);
	memory_store_free(&r->store);
}

/* What table/domain.h promises of every column. */
static void
check_column(const mg_column *c)
{
	const mg_domain *d = &c->domain;
	double sum = 0, coarse = 0;

	assert_true(c->nfine >= 2 && c->ncoarse >= 1 && c->total >= 1);
	for (uint32_t i = 0; i < c->nfine; i++)
	{
		assert_true(isfinite(c->fine[i]) && c->fine[i] >= 0);
		assert_true(c->merge[i] < c->ncoarse);
		sum += c->fine[i];
	}
	for (uint32_t b = 0; b < c->ncoarse; b++)
	{
		assert_true(isfinite(c->coarse[b]) && c->coarse_var[b] > 0 && isfinite(c->coarse_var[b]));
		coarse += c->coarse[b];
	}
	assert_near(sum, c->total, 1e-6 * c->total);
	assert_near(coarse, c->total, 1e-6 * c->total);
	for (uint32_t i = 0; i < c->nfine; i++)
		if (d->nullable)
			assert_true((c->merge[i] == c->ncoarse - 1) == (i == c->nfine - 1));
	if (!d->nullable)
		assert_true(c->fine[c->nfine - 1] == 0 && c->merge[c->nfine - 1] == 0);
	if (d->kind == MG_CATEGORY)
	{
		assert_int_equal(c->nfine, d->nlabels + 2);
		assert_true(d->has_other || c->fine[d->nlabels] == 0);
		return;
	}
	assert_true(c->nfine <= MG_MAX_CELLS + 1 && d->lower <= d->upper);
	for (uint32_t i = 0; i + 1 < c->nfine; i++)
	{
		assert_true(c->cells[i].lower <= c->cells[i].upper && c->cells[i].lower <= d->upper);
		if (i > 0)
			assert_true(c->cells[i - 1].upper <= c->cells[i].lower);
	}
	if (d->bins > 0)
		assert_true(c->ncoarse <= d->bins + (d->nullable ? 1 : 0));
}

static const mg_label colours[] = {{"red", 3}, {"blue", 4}, {"green", 5}};

static void
load_exact(mg_curator *c, uint32_t row, mg_rng *rng)
{
	static const char *towns[] = {"Ulm", "Bonn", "Trier"};
	uint32_t t = row % 10 < 6 ? 0 : row % 10 < 9 ? 1 : 2;

	mg_load_number(c, 0, row % 7 == 0 ? 40 : row % 5);
	if (row % 4 != 0)
		mg_load_code(c, 1, row % 4 - 1);
	mg_load_text(c, 2, towns[t], strlen(towns[t]));
}

/* With next to no noise every histogram is what was loaded. */
static void
exact_when_nothing_is_private(void **state)
{
	const mg_domain d[] = {
		{.name = "n", .kind = MG_NUMBER, .lower = 0, .upper = 50, .step = 1},
		{.name = "colour", .kind = MG_CATEGORY, .nullable = true, .nlabels = 3, .labels = colours},
		{.name = "town", .kind = MG_CATEGORY, .open = true, .has_other = true},
	};
	const mg_discretize_options opt = {.rho_learn = 1e6, .rho_oneway = 1e6, .delta_atoms = 1e-9, .rho_measure = 1e6};
	world *w = *state;
	double want[51] = {0};
	run r;

	for (uint32_t i = 0; i < 700; i++)
		want[i % 7 == 0 ? 40 : i % 5]++;
	run_discretize(w, &r, d, 3, 700, load_exact, &opt, 1);
	for (int i = 0; i < 3; i++)
	{
		check_column(&r.column[i]);
		assert_near(r.column[i].total, 700, 1e-6);
	}
	for (uint32_t i = 0; i <= 50; i++)
		assert_near(r.column[0].fine[i], want[i], 1e-6);
	for (uint32_t i = 0; i < 5; i++)
		assert_near(r.column[1].fine[i], i == 3 ? 0 : 175, 1e-6);
	assert_int_equal(r.column[2].domain.nlabels, 3);
	for (uint32_t i = 0; i < 3; i++)
	{
		const char *t = r.column[2].domain.labels[i].text;

		assert_near(r.column[2].fine[i], strcmp(t, "Ulm") == 0 ? 420 : strcmp(t, "Bonn") == 0 ? 210 : 70, 1e-6);
	}
	/* bins: six values that occur, each alone */
	assert_int_equal(r.column[0].ncoarse, 6);
	run_end(&r);
}

#define DAY 86400e6
#define YEAR_2017 (17 * 365.25 * DAY)

static void
load_axes(mg_curator *c, uint32_t row, mg_rng *rng)
{
	double z = normal(rng);

	mg_load_number(c, 0, YEAR_2017 + floor(DAY * mg_rng_unit(rng))); /* one day, in microseconds */
	mg_load_number(c, 1, exp(4 * z));                                /* incomes over many orders */
	mg_load_number(c, 2, row % 10 < 8 ? 0 : floor(3000 + 1000 * z)); /* mostly zero */
	mg_load_number(c, 3, floor(40 + 12 * z));
	if (row % 3 != 0)
		mg_load_number(c, 4, rint(-1e6 + 100 * normal(rng) * 100) / 100);
}

static double
mass_between(const mg_column *c, double from, double to)
{
	double sum = 0;

	for (uint32_t i = 0; i + 1 < c->nfine; i++)
		if (c->cells[i].lower >= from && c->cells[i].upper <= to)
			sum += c->fine[i];
	return sum;
}

/* Each axis is found at its own scale, wherever it lies. */
static void
open_numbers_find_their_range(void **state)
{
	const mg_domain d[] = {
		{.name = "at", .kind = MG_NUMBER, .open = true, .lower = -2.1e17, .upper = 9.2e18, .step = 1},
		{.name = "income", .kind = MG_NUMBER, .open = true, .lower = -1.7e308, .upper = 1.7e308},
		{.name = "gain", .kind = MG_NUMBER, .open = true, .lower = -2147483648.0, .upper = 2147483647, .step = 1},
		{.name = "age", .kind = MG_NUMBER, .open = true, .lower = -32768, .upper = 32767, .step = 1, .bins = 9},
		{.name = "cents",
		 .kind = MG_NUMBER,
		 .open = true,
		 .nullable = true,
		 .lower = -1e13,
		 .upper = 1e13,
		 .step = 0.01},
	};
	const mg_discretize_options opt = {.rho_learn = 0.02, .rho_oneway = 0.02, .delta_atoms = 1e-9, .rho_measure = 0.1};
	const uint32_t rows = 20000;
	world *w = *state;
	run r;

	run_discretize(w, &r, d, 5, rows, load_axes, &opt, 2);
	for (int i = 0; i < 5; i++)
		check_column(&r.column[i]);
	/* within some days, of the 300,000 years that the type has */
	assert_true(r.column[0].domain.lower > YEAR_2017 - 20 * DAY && r.column[0].domain.upper < YEAR_2017 + 20 * DAY);
	assert_true(mass_between(&r.column[0], YEAR_2017 - DAY, YEAR_2017 + 2 * DAY) > 0.98 * rows);
	assert_true(r.column[0].ncoarse >= 10);
	/* the median at 1, quartiles at exp(-+2.7): cells must tell them apart although the range spans ten orders */
	assert_near(mass_between(&r.column[1], -1, 1.001), 0.5 * rows, 0.06 * rows);
	assert_near(mass_between(&r.column[1], -1, 16), 0.755 * rows, 0.06 * rows);
	assert_true(r.column[1].domain.upper > 2e3 && r.column[1].domain.upper < 1e9);
	/* the zero is a cell and a bin of its own */
	{
		const mg_column *gain = &r.column[2];
		uint32_t zero = 0;

		while (zero + 1 < gain->nfine && !(gain->cells[zero].lower == 0 && gain->cells[zero].upper == 0))
			zero++;
		assert_true(zero + 1 < gain->nfine);
		assert_near(gain->fine[zero], 0.8 * rows, 0.02 * rows);
		assert_near(gain->coarse[gain->merge[zero]], gain->fine[zero], 0.01 * rows);
		assert_near(mass_between(gain, 2000, 4096), 0.2 * 0.68 * rows, 0.03 * rows);
	}
	/* a cell a value */
	for (uint32_t i = 0; i + 1 < r.column[3].nfine; i++)
		assert_true(r.column[3].cells[i].lower == r.column[3].cells[i].upper);
	assert_true(r.column[3].domain.lower <= 16 && r.column[3].domain.lower >= -32 && r.column[3].domain.upper < 256);
	assert_near(r.column[4].fine[r.column[4].nfine - 1], rows / 3.0, 0.03 * rows);
	/* all of the budget, and not a hair more */
	assert_true(r.odometer.rho_used <= 0.04 * (1 + 1e-9) && r.odometer.rho_used >= 0.04 * (1 - 1e-4));
	assert_true(r.odometer.delta_used <= 1e-9 * (1 + 1e-9));
	run_end(&r);
}

#define TAILS 6

/* Each in its own units: a skewed value up to 40, exponential, far from zero, a heavy tail, counts with many zeros,
 * days of a decade. */
static double
tail_value(uint32_t col, mg_rng *rng)
{
	double u = 1 - mg_rng_unit(rng), z = normal(rng);

	switch (col)
	{
		case 0:
			return fmin(exp(0.7 + 0.8 * z), 40);
		case 1:
			return -50 * log(u);
		case 2:
			return 1e6 + 30 * z;
		case 3:
			return pow(u, -1 / 1.5);
		case 4:
			return mg_rng_unit(rng) < 0.6 ? 0 : floor(-2000 * log(u));
		default:
			return 5479 + floor(3653 * mg_rng_unit(rng));
	}
}

static double tail_low[TAILS], tail_high[TAILS];

static void
load_tails(mg_curator *c, uint32_t row, mg_rng *rng)
{
	for (uint32_t i = 0; i < TAILS; i++)
	{
		double v = tail_value(i, rng);

		tail_low[i] = row == 0 ? v : fmin(tail_low[i], v);
		tail_high[i] = row == 0 ? v : fmax(tail_high[i], v);
		mg_load_number(c, i, v);
	}
}

/* Learnt ranges end near the data's: nothing far beyond can be drawn, at any size and budget that shows the column. */
static void
learnt_ranges_end_near_the_data(void **state)
{
	mg_domain d[TAILS];
	static const uint32_t sizes[] = {4000, 20000};
	static const double budgets[] = {2e-2, 2e-4};
	world *w = *state;

	for (uint32_t i = 0; i < TAILS; i++)
		d[i] = (mg_domain){.name = "x", .kind = MG_NUMBER, .open = true, .lower = -4e307, .upper = 4e307};
	d[4].lower = -2147483648.0;
	d[4].upper = 2147483647;
	d[5].lower = -2451507;
	d[5].upper = 2145031948;
	d[4].step = d[5].step = 1;
	for (int s = 0; s < 2; s++)
		for (uint64_t seed = 0; seed < 12; seed++)
		{
			mg_discretize_options opt = {.rho_learn = budgets[s],
										 .rho_oneway = 4 * budgets[s],
										 .delta_atoms = 1e-11,
										 .rho_measure = 5 * budgets[s]};
			run r;

			run_discretize(w, &r, d, TAILS, sizes[s], load_tails, &opt, 4242 + seed);
			for (uint32_t i = 0; i < TAILS; i++)
			{
				const mg_column *c = &r.column[i];
				double width = tail_high[i] - tail_low[i];

				check_column(c);
				/* within four times the data's own width at either side, and never a hundred times its maximum */
				assert_true(c->domain.upper <= tail_high[i] + 4 * width);
				assert_true(c->domain.lower >= tail_low[i] - 4 * width);
				assert_true(c->cells[c->nfine - 2].upper <= c->domain.upper + 1);
			}
			assert_true(r.odometer.rho_used <= 5 * budgets[s] * (1 + 1e-9));
			assert_true(r.odometer.rho_used >= 5 * budgets[s] * (1 - 1e-3));
			run_end(&r);
		}
}

static void
load_narrow(mg_curator *c, uint32_t row, mg_rng *rng)
{
	mg_load_number(c, 0, 1e6 + 30 * normal(rng));
}

/* A heap a thousandth of its octave wide is found at its own scale in the few rounds that there are, noise or not. */
static void
narrow_heaps_are_found(void **state)
{
	const mg_domain d = {.name = "x", .kind = MG_NUMBER, .open = true, .lower = -4e307, .upper = 4e307};
	/* a round's deviation is a thirteenth of the rows */
	const mg_discretize_options opt = {.rho_learn = 1.06e-4,
									   .rho_oneway = 3.7e-4,
									   .delta_atoms = 1e-11,
									   .rho_measure = 1e-3};
	world *w = *state;
	int found = 0;

	for (uint64_t seed = 0; seed < 10; seed++)
	{
		run r;

		run_discretize(w, &r, &d, 1, 2000, load_narrow, &opt, 99 + seed);
		check_column(&r.column[0]);
		found += r.column[0].domain.lower > 1e6 - 1000 && r.column[0].domain.upper < 1e6 + 1000;
		run_end(&r);
	}
	assert_true(found >= 9);
}

/* Labels lost are lost: an open text gets more of the atoms than a number's spikes do, and no more than there are. */
static void
text_gets_more_atoms(void **state)
{
	const mg_domain d[] = {
		{.name = "text", .kind = MG_CATEGORY, .open = true, .has_other = true},
		{.name = "real", .kind = MG_NUMBER, .open = true, .lower = -1e300, .upper = 1e300},
	};
	const mg_discretize_options opt = {.rho_learn = 0.5, .rho_oneway = 0.25, .delta_atoms = 9e-9};
	world *w = *state;
	mg_plan plan = {0};
	double text = 0, spikes = 0;

	assert_int_equal(mg_discretize_plan(&w->ctx, w->a, d, 2, &opt, &plan), MG_OK);
	for (uint32_t i = 0; i < plan.count; i++)
	{
		if (strcmp(plan.item[i].what, "labels") == 0)
			text = plan.item[i].delta;
		else
			spikes += plan.item[i].delta;
	}
	assert_near(text, 8e-9, 1e-20);
	assert_near(spikes, 1e-9, 1e-20);
}

static void
load_null_row(mg_curator *c, uint32_t row, mg_rng *rng)
{
	for (uint32_t i = 0; i < 9; i++)
		mg_load_null(c, i);
}

static void
load_any(mg_curator *c, uint32_t row, mg_rng *rng)
{
	static const double odd[] = {NAN, INFINITY, -INFINITY, 1e308, -1e308, 0, 7, 1e-300, 3.5};
	char text[16];

	for (uint32_t i = 0; i < 9; i++)
	{
		double v = odd[mg_rng_u64(rng) % 9];

		if (i < 5)
			mg_load_number(c, i, v);
		else if (i < 8)
			mg_load_text(c, i, text, (size_t) snprintf(text, sizeof(text), "%d", (int) (mg_rng_u64(rng) % 90)));
		else
			mg_load_code(c, i, (uint32_t) (mg_rng_u64(rng) % 5));
	}
}

/* No data and no budget makes it fail; each spends what it was given. */
static void
nothing_makes_it_fail(void **state)
{
	const mg_domain d[] = {
		{.name = "a", .kind = MG_NUMBER, .open = true, .nullable = true, .lower = -1.7e308, .upper = 1.7e308},
		{.name = "b", .kind = MG_NUMBER, .open = true, .lower = -0x1p63, .upper = 0x1p63, .step = 1},
		{.name = "c", .kind = MG_NUMBER, .lower = 0, .upper = 1e9, .step = 1, .bins = 1},
		{.name = "d", .kind = MG_NUMBER, .nullable = true, .lower = 5, .upper = 5, .step = 1},
		{.name = "e", .kind = MG_NUMBER, .lower = 2, .upper = 2},
		{.name = "f", .kind = MG_CATEGORY, .open = true, .has_other = true},
		{.name = "g", .kind = MG_CATEGORY, .open = true, .has_other = true, .nullable = true},
		{.name = "h", .kind = MG_CATEGORY, .nlabels = 1, .labels = colours},
		{.name = "i", .kind = MG_CATEGORY, .nlabels = 3, .labels = colours, .has_other = true, .other = "else"},
	};
	static const double budgets[] = {1e-14, 1e-9, 1e-4, 1, 1e5};
	static const uint32_t sizes[] = {0, 1, 3, 500};
	world *w = *state;

	for (size_t b = 0; b < sizeof(budgets) / sizeof(budgets[0]); b++)
		for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
			for (int kind = 0; kind < 3; kind++)
			{
				mg_discretize_options opt = {.rho_learn = kind == 2 ? 0 : budgets[b],
											 .rho_oneway = budgets[b],
											 .delta_atoms = 1e-11,
											 .rho_measure = budgets[b]};
				double rho = opt.rho_learn + opt.rho_oneway;
				run r;

				run_discretize(w, &r, d, 9, sizes[s], kind == 0 ? load_null_row : load_any, &opt, 100 * b + s);
				for (int i = 0; i < 9; i++)
					check_column(&r.column[i]);
				assert_true(r.odometer.rho_used <= rho * (1 + 1e-9));
				if (budgets[b] > 1e-9 && budgets[b] < 1e3)
					assert_true(r.odometer.rho_used >= rho * (1 - 1e-3));
				assert_true(r.odometer.delta_used <= 1e-11 * (1 + 1e-9));
				run_end(&r);
				/* and each column by itself */
				for (uint32_t i = 0; sizes[s] == 1 && i < 9; i++)
				{
					run_discretize(w, &r, &d[i], 1, 1, NULL, &opt, b);
					check_column(&r.column[0]);
					run_end(&r);
				}
			}
}

/* A NOT NULL text column of which nothing was released still has something to show, and the same range stands for every
 * empty table. */
static void
noise_alone_gives_public_ranges(void **state)
{
	const mg_domain d[] = {
		{.name = "text", .kind = MG_CATEGORY, .open = true, .has_other = true},
		{.name = "real", .kind = MG_NUMBER, .open = true, .lower = -1e300, .upper = 1e300},
		{.name = "int", .kind = MG_NUMBER, .open = true, .lower = -2147483648.0, .upper = 2147483647, .step = 1},
		{.name = "far", .kind = MG_NUMBER, .open = true, .lower = 1e6, .upper = 2e9, .step = 1},
	};
	const mg_discretize_options opt = {.rho_learn = 1e-3,
									   .rho_oneway = 1e-3,
									   .delta_atoms = 1e-11,
									   .rho_measure = 1e-2};
	world *w = *state;

	for (uint64_t seed = 0; seed < 10; seed++)
	{
		run r;

		run_discretize(w, &r, d, 4, 0, NULL, &opt, 1000 + seed);
		assert_int_equal(r.column[0].domain.nlabels, 0);
		assert_string_equal(r.column[0].domain.other, "");
		assert_true(r.column[1].domain.lower == 0 && r.column[1].domain.upper == 1);
		assert_true(r.column[2].domain.lower == 0 && r.column[2].domain.upper == 1023);
		assert_true(r.column[3].domain.lower == 1e6 && r.column[3].domain.upper == 1e6 + 1023);
		run_end(&r);
	}
}

/* The plan names the same spending, before anything is read. */
static void
plan_adds_up(void **state)
{
	const mg_domain d[] = {
		{.name = "text", .kind = MG_CATEGORY, .open = true, .has_other = true},
		{.name = "real", .kind = MG_NUMBER, .open = true, .lower = -1e300, .upper = 1e300},
		{.name = "wide", .kind = MG_NUMBER, .lower = 0, .upper = 1e6, .step = 1},
		{.name = "closed", .kind = MG_CATEGORY, .nlabels = 3, .labels = colours},
	};
	mg_discretize_options opt = {.rho_learn = 0.5, .rho_oneway = 0.25, .delta_atoms = 1e-9};
	world *w = *state;

	for (uint32_t from = 0; from < 4; from++)
	{
		double rho = 0, delta = 0;
		mg_plan plan = {0};

		assert_int_equal(mg_discretize_plan(&w->ctx, w->a, d + from, 4 - from, &opt, &plan), MG_OK);
		for (uint32_t i = 0; i < plan.count; i++)
		{
			rho += plan.item[i].rho;
			delta += plan.item[i].delta;
			assert_true(plan.item[i].sigma > 0 && plan.item[i].count > 0);
			assert_near(plan.item[i].sigma, sqrt(plan.item[i].count / (2 * plan.item[i].rho)), 1e-3);
		}
		assert_near(rho, 0.75, 1e-12);
		assert_near(delta, from < 3 ? 1e-9 : 0, 1e-20);
	}
	opt.rho_learn = opt.rho_oneway = 0;
	{
		mg_plan plan = {0};
		mg_ctx ctx;

		mg_ctx_init(&ctx);
		assert_int_equal(mg_discretize_plan(&ctx, w->a, d, 4, &opt, &plan), MG_INVALID);
	}
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, free_world)
	const struct CMUnitTest tests[] = {
		TEST(exact_when_nothing_is_private),
		TEST(open_numbers_find_their_range),
		TEST(learnt_ranges_end_near_the_data),
		TEST(narrow_heaps_are_found),
		TEST(nothing_makes_it_fail),
		TEST(noise_alone_gives_public_ranges),
		TEST(text_gets_more_atoms),
		TEST(plan_adds_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
