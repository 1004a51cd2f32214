/*
 * test/unit/test_discretize.c: from columns to codes. Least squares, projection and smoothing against brute force; bins
 * by their rules; whole discretisations through a real curator, with noise from next to none to everything.
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

#include "memory_store.h"
#include "model/bins.h"
#include "model/grid.h"
#include "model/hierarchy.h"
#include "model/model.h"
#include "model/ranges.h"
#include "model/smooth.h"
#include "seeded_noise.h"

#define assert_near(a, b, most) assert_true(fabs((double) (a) - (double) (b)) <= (most))

typedef struct world
{
	mg_ctx ctx;
	mg_arena *a;
	mg_rng rng;
} world;

static int
set_up(void **state)
{
	world *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return 1;
	mg_ctx_init(&w->ctx);
	w->a = mg_arena_create(0);
	mg_rng_seed(&w->rng, 77);
	*state = w;
	return w->a == NULL;
}

static int
tear_down(void **state)
{
	world *w = *state;

	mg_arena_destroy(w->a);
	free(w);
	return 0;
}

static double
normal(mg_rng *rng)
{
	double u = mg_rng_unit(rng) + 1e-18, v = mg_rng_unit(rng);

	return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

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
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(grid_keeps_decimals),
		TEST(tree_is_least_squares),
		TEST(projection_is_nearest),
		TEST(projection_at_its_ends),
		TEST(labels_by_quadrature),
		TEST(segments_by_enumeration),
		TEST(smoothing_pays),
		TEST(bounds_take_in_tails),
		TEST(far_cells_need_more),
		TEST(cells_beyond_are_near),
		TEST(reach_stays_on_its_side),
		TEST(cells_cut_out_spikes),
		TEST(bins_of_numbers),
		TEST(bins_of_labels),
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
