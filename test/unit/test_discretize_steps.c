/*
 * test/unit/test_discretize_steps.c: the steps from columns to codes. Least squares, projection and smoothing against
 * brute force; ranges and bins by their rules.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "discretize_world.h"

/* ---- the lattice ---- */

static void
grid_keeps_decimals(void **state)
{
	mg_domain cents = {.kind = MG_NUMBER, .lower = -99999999.99, .upper = 99999999.99, .step = 0.01};
	mg_domain wide = {.kind = MG_NUMBER, .lower = -0x1p63, .upper = 0x1p63, .step = 1};
	mg_domain odd = {.kind = MG_NUMBER, .lower = 1, .upper = 16, .step = 3};
	mg_domain real = {.kind = MG_NUMBER, .lower = -1, .upper = 1};
	mg_grid g;

	mg_grid_init(&g, &cents);
	assert_true(mg_grid_value(&g, mg_grid_nearest(&g, 12.34)) == 12.34);
	assert_true(mg_grid_value(&g, 1234567) == 12345.67);
	assert_true(mg_grid_count(&g, 0.01, 0.29) == 29);
	mg_grid_init(&g, &wide);
	assert_true(mg_grid_value(&g, mg_grid_nearest(&g, 5)) == 5);
	assert_true(mg_grid_ceil(&g, 5.25) == 6);
	assert_true(mg_domain_is_wide(&wide) && mg_domain_is_wide(&real) && !mg_domain_is_wide(&odd));
	mg_grid_init(&g, &odd);
	assert_true(mg_grid_count(&g, 1, 16) == 6);
	assert_true(mg_grid_value(&g, mg_grid_ceil(&g, 5)) == 7);
	mg_grid_init(&g, &real);
	assert_true(isinf(mg_grid_count(&g, -1, 1)) && mg_grid_count(&g, 1, 1) == 1 && mg_grid_count(&g, 1, 0) == 0);
}

/* ---- least squares ---- */

#define MOST 12

/* Inverts a symmetric positive definite matrix by Gauss and Jordan. */
static void
invert(double m[MOST][MOST], uint32_t n)
{
	for (uint32_t k = 0; k < n; k++)
	{
		double pivot = m[k][k];

		assert_true(pivot > 0);
		m[k][k] = 1;
		for (uint32_t j = 0; j < n; j++)
			m[k][j] /= pivot;
		for (uint32_t i = 0; i < n; i++)
		{
			double f = m[i][k];

			if (i == k)
				continue;
			m[i][k] = 0;
			for (uint32_t j = 0; j < n; j++)
				m[i][j] -= f * m[k][j];
		}
	}
}

/* Adds the measurement y, of variance v, of the sum of the cells with in[cell]. */
static void
measure_sum(double m[MOST][MOST], double *rhs, uint32_t n, const bool *in, double y, double v)
{
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; in[i] && j < n; j++)
			m[i][j] += in[j] ? 1 / v : 0;
	for (uint32_t i = 0; i < n; i++)
		rhs[i] += in[i] ? y / v : 0;
}

static void
check_tree(world *w, uint32_t n, uint32_t ordered, uint32_t branch, uint32_t levels, bool extras, bool total)
{
	double m[MOST][MOST] = {{0}}, rhs[MOST] = {0}, var[MG_TREE_LEVELS], leaf_y[MOST] = {0}, leaf_var[MOST] = {0};
	double got[MOST];
	int64_t noisy[MG_TREE_LEVELS][MOST];
	const int64_t *pointers[MG_TREE_LEVELS];
	bool empty[MOST] = {false}, in[MOST];
	uint16_t merge[MOST];
	mg_tree t;

	assert_int_equal(mg_tree_build(&w->ctx, w->a, n, ordered, branch, levels, &t), MG_OK);
	for (uint32_t k = 0; k < t.levels; k++)
	{
		var[k] = 1 + 9 * mg_rng_unit(&w->rng);
		pointers[k] = noisy[k];
		for (uint32_t g = 0; g < t.size[k]; g++)
			noisy[k][g] = (int64_t) (mg_rng_u64(&w->rng) % 200) - 20;
	}
	if (extras)
	{
		empty[n - 1] = true;
		leaf_y[1] = 40;
		leaf_var[1] = 0.5;
	}
	/* the oracle: a certain zero is a measurement of next to no variance */
	for (uint32_t k = 0; k < t.levels; k++)
		for (uint32_t g = 0; g < t.size[k]; g++)
		{
			bool any = false;

			for (uint32_t i = 0; i < n; i++)
			{
				in[i] = t.group[k][i] == g && !empty[i];
				any = any || in[i];
			}
			if (any)
				measure_sum(m, rhs, n, in, (double) noisy[k][g], var[k]);
		}
	for (uint32_t i = 0; i < n; i++)
	{
		memset(in, 0, sizeof(in));
		in[i] = true;
		if (empty[i])
			measure_sum(m, rhs, n, in, 0, 1e-12);
		else if (leaf_var[i] > 0)
			measure_sum(m, rhs, n, in, leaf_y[i], leaf_var[i]);
	}
	for (uint32_t i = 0; i < n; i++)
		in[i] = !empty[i];
	if (total)
		measure_sum(m, rhs, n, in, 500, 3);
	invert(m, n);

	mg_tree_up(&t, pointers, var, empty, leaf_y, leaf_var);
	mg_tree_down(&t, 500, total ? 3 : INFINITY);
	for (uint32_t i = 0; i < n; i++)
	{
		double want = 0;

		for (uint32_t j = 0; j < n; j++)
			want += m[i][j] * rhs[j];
		assert_near(t.z[0][i], want, 1e-6);
	}
	/* consistent: each group is the sum of its cells */
	for (uint32_t k = 1; k < t.levels; k++)
		for (uint32_t g = 0; g < t.size[k]; g++)
		{
			double sum = 0;

			for (uint32_t i = 0; i < n; i++)
				sum += t.group[k][i] == g ? t.z[0][i] : 0;
			assert_near(sum, t.z[k][g], 1e-9);
		}
	/* variances of sums */
	for (uint32_t i = 0; i < n; i++)
		merge[i] = (uint16_t) (mg_rng_u64(&w->rng) % 3);
	assert_int_equal(mg_tree_bin_vars(&w->ctx, w->a, &t, merge, 3, got), MG_OK);
	for (uint32_t b = 0; b < 3; b++)
	{
		double want = 0;

		for (uint32_t i = 0; i < n; i++)
			for (uint32_t j = 0; j < n; j++)
				want += merge[i] == b && merge[j] == b ? m[i][j] : 0;
		assert_near(got[b], want, 1e-6);
	}
}

static void
tree_is_least_squares(void **state)
{
	world *w = *state;

	for (uint32_t n = 3; n <= MOST; n++)
		for (uint32_t rest = 0; rest <= 2 && rest < n; rest++)
			for (uint32_t levels = 1; levels <= 3; levels++)
				for (uint32_t branch = 2; branch <= 4; branch++)
					for (int how = 0; how < 4; how++)
						check_tree(w, n, n - rest, branch, levels, (how & 1) != 0, (how & 2) != 0);
}

/* All subsets of cells that may be positive: the nearest point is the best feasible one of them. */
static void
projection_is_nearest(void **state)
{
	world *w = *state;

	for (int round = 0; round < 200; round++)
	{
		uint32_t n = 1 + (uint32_t) (mg_rng_u64(&w->rng) % 8);
		double x[8], y[8], var[8], total = 0.5 + 60 * mg_rng_unit(&w->rng), best = INFINITY, got = 0, sum = 0;

		for (uint32_t i = 0; i < n; i++)
		{
			x[i] = y[i] = 20 * normal(&w->rng);
			var[i] = 0.2 + 4 * mg_rng_unit(&w->rng);
		}
		for (uint32_t set = 1; set < 1u << n; set++)
		{
			double s = 0, v = 0, cost = 0, worst = 0;

			for (uint32_t i = 0; i < n; i++)
				if (set >> i & 1)
				{
					s += y[i];
					v += var[i];
				}
			for (uint32_t i = 0; i < n; i++)
			{
				double p = set >> i & 1 ? y[i] - (s - total) / v * var[i] : 0;

				worst = fmin(worst, p);
				cost += (p - y[i]) * (p - y[i]) / var[i];
			}
			if (worst >= 0 && cost < best)
				best = cost;
		}
		mg_project_simplex(x, var, n, total);
		for (uint32_t i = 0; i < n; i++)
		{
			assert_true(x[i] >= 0);
			sum += x[i];
			got += (x[i] - y[i]) * (x[i] - y[i]) / var[i];
		}
		assert_near(sum, total, 1e-9 * total);
		assert_near(got, best, 1e-6 * (1 + best));
	}
}

static void
projection_at_its_ends(void **state)
{
	double x[3] = {5, -2, 9}, none[3] = {0, 0, 0}, some[3] = {1, 0, 1};

	mg_project_simplex(x, some, 3, 10);
	assert_true(x[1] == 0);
	assert_near(x[0] + x[2], 10, 1e-12);
	mg_project_simplex(x, none, 3, 4);
	assert_near(x[0] + x[1] + x[2], 4, 1e-12);
	mg_project_simplex(x, none, 0, 4);
}

/* ---- smoothing ---- */

/* Prior density of a mass above zero: smooth.c's, written once more. */
static double
prior(double mass, double total)
{
	double sum = 0, m = total;

	for (int j = 0; j < 6; j++, m /= 4)
		sum += 0.9 / 6 * exp(-mass / m) / m;
	return sum;
}

/* Evidence and posterior mean of one mass behind the cells y[from..to), by quadrature. */
static double
quadrature(const double *y, uint32_t from, uint32_t to, double var, double total, double *mean)
{
	enum
	{
		STEPS = 40000
	};
	double high = total * 1.5, step = high / STEPS, evidence = 0.1, first = 0;

	for (uint32_t i = from; i < to; i++)
		evidence *= exp(-y[i] * y[i] / (2 * var));
	for (int s = 0; s < STEPS; s++)
	{
		double mass = (s + 0.5) * step, p = prior(mass, total) * step;

		for (uint32_t i = from; i < to; i++)
			p *= exp(-(y[i] - mass) * (y[i] - mass) / (2 * var));
		evidence += p;
		first += p * mass;
	}
	*mean = first / evidence;
	return evidence;
}

static void
labels_by_quadrature(void **state)
{
	const double y[] = {-12, 0, 3, 9, 30, 200};

	for (size_t i = 0; i < sizeof(y) / sizeof(y[0]); i++)
	{
		double x = y[i], var = 25, want;

		(void) quadrature(y, (uint32_t) i, (uint32_t) i + 1, var, 400, &want);
		mg_smooth_labels(&x, &var, 1, 400);
		assert_near(x, want, 0.01 + 1e-3 * want);
		/* nothing to smooth */
		var = 0.01;
		x = y[i];
		mg_smooth_labels(&x, &var, 1, 400);
		assert_true(x == y[i]);
	}
}

static void
segments_by_enumeration(void **state)
{
	enum
	{
		N = 6
	};
	static const double rough[] = {0.05, 0.1, 0.2, 0.4, 0.7, 0.95};
	const double y[N] = {4, -3, 1, 60, 52, 7};
	double x[N], var[N], mean[N + 1][N + 1], evidence[N + 1][N + 1], want[N] = {0}, all = 0;
	world *w = *state;

	for (uint32_t i = 0; i < N; i++)
	{
		x[i] = y[i];
		var[i] = 36;
		for (uint32_t j = i + 1; j <= N; j++)
			evidence[i][j] = quadrature(y, i, j, 36, 130, &mean[i][j]);
	}
	for (size_t r = 0; r < sizeof(rough) / sizeof(rough[0]); r++)
		for (uint32_t cuts = 0; cuts < 1u << (N - 1); cuts++)
		{
			double p = 1, value[N];

			for (uint32_t i = 0, end; i < N; i = end)
			{
				for (end = i + 1; end < N && !(cuts >> (end - 1) & 1); end++)
					p *= 1 - rough[r];
				p *= evidence[i][end] * (end < N ? rough[r] : 1);
				for (uint32_t k = i; k < end; k++)
					value[k] = mean[i][end];
			}
			all += p;
			for (uint32_t k = 0; k < N; k++)
				want[k] += p * value[k];
		}
	assert_int_equal(mg_smooth_ordered(&w->ctx, w->a, x, var, N, 130), MG_OK);
	for (uint32_t k = 0; k < N; k++)
		assert_near(x[k], want[k] / all, 0.01 + 1e-3 * want[k] / all);
}

/* What it is for: nearer to the truth than clipping, on a column with flat parts, a spike and empty cells. */
static void
smoothing_pays(void **state)
{
	enum
	{
		N = 100
	};
	world *w = *state;
	double plain = 0, smooth = 0;

	for (int round = 0; round < 10; round++)
	{
		double x[N], var[N], truth, total = 30 * 200 + 4000;

		for (uint32_t i = 0; i < N; i++)
		{
			truth = i < 30 ? 200 : i == 60 ? 4000 : 0;
			var[i] = 2500;
			x[i] = truth + 50 * normal(&w->rng);
			plain += fabs(fmax(x[i], 0) - truth);
		}
		assert_int_equal(mg_smooth_ordered(&w->ctx, w->a, x, var, N, total), MG_OK);
		for (uint32_t i = 0; i < N; i++)
		{
			truth = i < 30 ? 200 : i == 60 ? 4000 : 0;
			assert_true(x[i] >= 0 && isfinite(x[i]));
			smooth += fabs(x[i] - truth);
		}
	}
	assert_true(smooth < 0.4 * plain);
}

/* ---- ranges ---- */

/* A range takes in a thin tail that no cell of it shows alone, leaves out what is only noise, and clips a closed one
 * nowhere. */
static void
bounds_take_in_tails(void **state)
{
	enum
	{
		N = 12
	};
	double edge[N + 1], mass[N] = {12, -20, -3, 18, 17, 19, 500, 700, 0, -8, 11, -14};
	bool kept[N] = {[6] = true, [7] = true};
	mg_partition p = {.n = N, .edge = edge, .mass = mass, .kept = kept, .sigma = 10, .total = 1200};
	mg_domain d = {.name = "x", .kind = MG_NUMBER, .open = true, .lower = -6, .upper = 113, .step = 1};
	double lower, upper;

	for (int i = 0; i <= N; i++)
		edge[i] = -6 + 10 * i;
	mg_partition_bounds(&d, &p, &lower, &upper);
	assert_true(lower == 24 && upper == 73);
	/* what was significant a round ago stays */
	kept[10] = true;
	mg_partition_bounds(&d, &p, &lower, &upper);
	assert_true(lower == 24 && upper == 103);
	d.open = false;
	mg_partition_bounds(&d, &p, &lower, &upper);
	assert_true(lower == -6 && upper == 113);
	/* nothing: the public range, from zero */
	d.open = true;
	kept[6] = kept[7] = kept[10] = false;
	mg_partition_bounds(&d, &p, &lower, &upper);
	assert_true(lower == 0 && upper == 113);
}

/* A cell that seems to hold something, but lies a thousand widths away, needs more than a thin tail does. */
static void
far_cells_need_more(void **state)
{
	double edge[] = {0, 10, 20, 20000, 40000}, mass[] = {500, 0, 0, 70};
	bool kept[] = {true, false, false, false};
	mg_partition p = {.n = 4, .edge = edge, .mass = mass, .kept = kept, .sigma = 10, .total = 570};
	mg_domain d = {.name = "x", .kind = MG_NUMBER, .open = true, .lower = 0, .upper = 39999, .step = 1};
	double lower, upper;

	mg_partition_bounds(&d, &p, &lower, &upper);
	assert_true(lower == 0 && upper == 9);
	mass[1] = 35;
	mass[3] = 40;
	mg_partition_bounds(&d, &p, &lower, &upper);
	assert_true(upper == 19);
	mass[3] = 100;
	mg_partition_bounds(&d, &p, &lower, &upper);
	assert_true(upper == 39999);
}

/* Around an occupied cell the next ones are of its own scale, whatever the axis; not a cell that ends at infinity. */
static void
cells_beyond_are_near(void **state)
{
	world *w = *state;
	mg_domain d = {.name = "x", .kind = MG_NUMBER, .open = true, .lower = -1e300, .upper = 1e300};
	mg_partition p, fine;
	uint32_t at = 0;

	assert_int_equal(mg_partition_start(&w->ctx, w->a, &d, &p), MG_OK);
	while (!(p.edge[at] == 16))
		at++;
	p.kept[at] = true;
	p.mass[at] = 1000;
	p.sigma = 10;
	assert_int_equal(mg_partition_refine(&w->ctx, w->a, &d, 64, &p, &fine), MG_OK);
	for (uint32_t i = 0; i < fine.n; i++)
	{
		double width = fine.edge[i + 1] - fine.edge[i];

		if (fine.edge[i] >= 16 && fine.edge[i + 1] <= 32)
			assert_true(width <= 0.5 && fine.kept[i]);
		else if (fine.edge[i] >= 32 && i + 1 < fine.n)
			assert_true(width <= fine.edge[i] - 16 && !fine.kept[i]);
		else if (fine.edge[i + 1] <= 16 && i > 0)
			assert_true(width <= 32 - fine.edge[i + 1] && !fine.kept[i]);
	}
	assert_true(fine.edge[0] == p.edge[0] && fine.edge[fine.n] == p.edge[p.n]);
	for (at = 0; at < fine.n && fine.edge[at] != 0; at++)
		;
	assert_true(at < fine.n);
}

/* The range moves outward, on the lattice, but not from one side of zero to the other, and only where cells are
 * intervals anyway. */
static void
reach_stays_on_its_side(void **state)
{
	mg_domain d = {.name = "x", .kind = MG_NUMBER, .open = true, .lower = -1e6, .upper = 1e5, .step = 1};
	double edge[] = {0, 5000}, mass = 1000, lower = 100, upper = 5000;
	bool kept = true;
	mg_partition p = {.n = 1, .edge = edge, .mass = &mass, .kept = &kept, .sigma = 1, .total = 1000};

	mg_partition_reach(&d, &p, &lower, &upper);
	assert_true(lower == 0 && upper > 10000 && upper < 50000 && upper == rint(upper));
	lower = -5000;
	upper = -100;
	mg_partition_reach(&d, &p, &lower, &upper);
	assert_true(upper == 0 && lower < -10000);
	lower = 100;
	upper = 99000;
	mg_partition_reach(&d, &p, &lower, &upper);
	assert_true(upper == 1e5);
	lower = 10;
	upper = 900;
	mg_partition_reach(&d, &p, &lower, &upper);
	assert_true(lower == 10 && upper == 900);
	/* nor where nothing is known */
	kept = false;
	upper = 5000;
	mg_partition_reach(&d, &p, &lower, &upper);
	assert_true(lower == 10 && upper == 5000);
}

/* Frequent values are cells of their own, in order, wherever they lie; the lattice is covered without gap or overlap.
 */
static void
cells_cut_out_spikes(void **state)
{
	const double spikes[] = {99999, 0, 5000, 5001};
	world *w = *state;
	mg_domain d = {.name = "x", .kind = MG_NUMBER, .lower = 0, .upper = 99999, .step = 1};
	mg_partition p;
	mg_cell *cells;
	uint32_t n, found = 0;
	double covered = 0;

	assert_int_equal(mg_partition_start(&w->ctx, w->a, &d, &p), MG_OK);
	assert_int_equal(mg_partition_cells(&w->ctx, w->a, &d, &p, 0, 99999, 200, spikes, 4, &cells, &n), MG_OK);
	for (uint32_t i = 0; i < n; i++)
	{
		if (i > 0)
			assert_true(cells[i].lower ==
						(cells[i - 1].lower == cells[i - 1].upper ? cells[i - 1].upper + 1 : cells[i - 1].upper));
		covered += cells[i].lower == cells[i].upper ? 1 : cells[i].upper - cells[i].lower;
		for (int k = 0; k < 4; k++)
			found += cells[i].lower == spikes[k] && cells[i].upper == spikes[k];
	}
	assert_int_equal(found, 4);
	assert_true(covered == 100000);
	/* on an axis without steps, at both ends */
	d = (mg_domain){.name = "x", .kind = MG_NUMBER, .lower = -1, .upper = 1};
	assert_int_equal(mg_partition_start(&w->ctx, w->a, &d, &p), MG_OK);
	{
		const double ends[] = {1, -1, 0};

		assert_int_equal(mg_partition_cells(&w->ctx, w->a, &d, &p, -1, 1, 50, ends, 3, &cells, &n), MG_OK);
		assert_true(cells[0].lower == -1 && cells[0].upper == -1);
		assert_true(cells[n - 1].lower == 1 && cells[n - 1].upper == 1);
		assert_true(n <= MG_MAX_CELLS);
	}
}

/* ---- bins ---- */

static void
bins_of_numbers(void **state)
{
	enum
	{
		N = 102
	};
	world *w = *state;
	mg_domain d = {.name = "x", .kind = MG_NUMBER, .nullable = true, .upper = N - 2};
	double fine[N], mass[N] = {0};
	uint16_t merge[N];
	uint32_t n;

	for (uint32_t i = 0; i < N; i++)
		fine[i] = i < 40 ? 100 : 0;
	fine[0] = 5000;
	fine[20] = 900;
	fine[70] = 3000;
	fine[N - 1] = 10;
	for (uint32_t most = 1; most <= 40; most++)
	{
		mg_bin_rule rule = {.least = 150, .most = most};

		assert_int_equal(mg_bins_merge(&w->ctx, w->a, &d, NULL, fine, N, &rule, merge, &n), MG_OK);
		assert_true(n >= 2 && n <= most + 1);
		/* NULL alone and last; codes dense and in order */
		assert_int_equal(merge[N - 1], n - 1);
		assert_int_equal(merge[0], 0);
		assert_int_equal(merge[N - 2], n - 2);
		for (uint32_t i = 1; i < N - 1; i++)
			assert_true(merge[i] == merge[i - 1] || merge[i] == merge[i - 1] + 1);
		memset(mass, 0, sizeof(mass));
		for (uint32_t i = 0; i < N; i++)
			mass[merge[i]] += fine[i];
		for (uint32_t b = 0; b + 1 < n; b++)
			assert_true(mass[b] >= rule.least);
		if (most >= 12)
		{
			/* the heavy cells stand alone: their bins weigh what they weigh */
			assert_near(mass[merge[0]], 5000, 1e-9);
			assert_near(mass[merge[20]], 900, 1e-9);
			assert_near(mass[merge[70]], 3000, 1e-9);
			assert_true(n - 1 > most / 2);
		}
	}
	/* lighter than the noise altogether: one bin */
	{
		mg_bin_rule rule = {.least = 1e6, .most = 32};

		d.nullable = false;
		assert_int_equal(mg_bins_merge(&w->ctx, w->a, &d, NULL, fine, N, &rule, merge, &n), MG_OK);
		assert_int_equal(n, 1);
		assert_int_equal(merge[N - 1], 0);
	}
}

static void
bins_of_labels(void **state)
{
	world *w = *state;
	mg_domain d = {.name = "x", .kind = MG_CATEGORY, .nullable = true, .has_other = true, .nlabels = 5};
	const double fine[7] = {50, 1, 80, 2, 3, 4, 0};
	mg_bin_rule rule = {.least = 10, .most = 1};
	uint16_t merge[7];
	uint32_t n;

	/* two labels, the rare with `other`, NULL */
	assert_int_equal(mg_bins_merge(&w->ctx, w->a, &d, NULL, fine, 7, &rule, merge, &n), MG_OK);
	assert_int_equal(n, 4);
	assert_memory_equal(merge, ((const uint16_t[]){0, 2, 1, 2, 2, 2, 3}), sizeof(merge));
	/* a heavy `other` is its own */
	rule.least = 3.5;
	assert_int_equal(mg_bins_merge(&w->ctx, w->a, &d, NULL, fine, 7, &rule, merge, &n), MG_OK);
	assert_memory_equal(merge, ((const uint16_t[]){0, 2, 1, 2, 2, 3, 4}), sizeof(merge));
	/* publicly neither `other` nor NULL: both to code 0 */
	d.nullable = d.has_other = false;
	rule.least = 0.5;
	assert_int_equal(mg_bins_merge(&w->ctx, w->a, &d, NULL, fine, 7, &rule, merge, &n), MG_OK);
	assert_int_equal(n, 5);
	assert_memory_equal(merge, ((const uint16_t[]){0, 1, 2, 3, 4, 0, 0}), sizeof(merge));
	/* nothing at all */
	d.nlabels = 0;
	assert_int_equal(mg_bins_merge(&w->ctx, w->a, &d, NULL, fine + 5, 2, &rule, merge, &n), MG_OK);
	assert_int_equal(n, 1);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, free_world)
	const struct CMUnitTest tests[] = {
		TEST(grid_keeps_decimals),    TEST(tree_is_least_squares),   TEST(projection_is_nearest),
		TEST(projection_at_its_ends), TEST(labels_by_quadrature),    TEST(segments_by_enumeration),
		TEST(smoothing_pays),         TEST(bounds_take_in_tails),    TEST(far_cells_need_more),
		TEST(cells_beyond_are_near),  TEST(reach_stays_on_its_side), TEST(cells_cut_out_spikes),
		TEST(bins_of_numbers),        TEST(bins_of_labels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
