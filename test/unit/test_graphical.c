/*
 * test/unit/test_graphical.c: factors, junction trees and estimation, each against an oracle that enumerates the whole
 * joint table.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "graphical/body.h"
#include "joint_world.h"

/* ---- factors ---- */

static void
random_factor(world *w, const uint32_t *cols, uint32_t k, const uint32_t *sizes, mg_factor *f)
{
	assert_int_equal(mg_factor_make(&w->ctx, w->a, cols, k, sizes, f), MG_OK);
	for (size_t i = 0; i < f->cells; i++)
		f->v[i] = normal(&w->rng);
}

static void
factors_follow_their_definition(void **state)
{
	static const uint32_t sizes[] = {3, 2, 4, 1, 5}, wide[] = {0, 1, 2, 3, 4};
	/* every subset of five columns, as the smaller factor */
	world *w = *state;
	joint all = whole(sizes, 5);

	for (uint32_t set = 0; set < 32; set++)
	{
		uint32_t cols[5], k = 0, code[MOST];
		mg_factor f, g, sum, before, peak, slices;
		double *expect;

		for (uint32_t i = 0; i < 5; i++)
			if (set >> i & 1)
				cols[k++] = i;
		random_factor(w, wide, 5, sizes, &f);
		random_factor(w, wide, 5, sizes, &before);
		random_factor(w, cols, k, sizes, &g);
		random_factor(w, cols, k, sizes, &sum);
		random_factor(w, cols, k, sizes, &peak);
		random_factor(w, cols, k, sizes, &slices);
		expect = mg_arena_alloc(w->a, g.cells, sizeof(double));
		oracle_marginal(&all, f.v, cols, k, expect, g.cells);
		mg_factor_marginal(&f, &sum);
		for (size_t i = 0; i < sum.cells; i++)
			assert_near(sum.v[i], expect[i], 1e-12);
		memcpy(before.v, f.v, f.cells * sizeof(double));
		mg_factor_add(&f, &g);
		mg_factor_scale(&f, &g);
		for (size_t x = 0; x < f.cells; x++)
		{
			double other;

			codes_of(&all, x, code);
			other = g.v[cell_of(cols, k, sizes, code)];
			assert_near(f.v[x], (before.v[x] + other) * other, 1e-12);
		}
		for (size_t x = 0; x < f.cells; x++)
			before.v[x] = exp(f.v[x]);
		oracle_marginal(&all, before.v, cols, k, expect, g.cells);
		mg_factor_log_slices(&f, &peak, &slices);
		for (size_t i = 0; i < g.cells; i++)
			assert_near(peak.v[i] + log(slices.v[i]), log(expect[i]), 1e-10);
	}
}

static void
products_cover_the_union(void **state)
{
	static const uint32_t sizes[] = {3, 2, 4, 5}, left[] = {0, 2}, right[] = {1, 2, 3}, both[] = {0, 1, 2, 3};
	world *w = *state;
	joint all = whole(sizes, 4);
	mg_factor f, g, product, log_product;

	random_factor(w, left, 2, sizes, &f);
	random_factor(w, right, 3, sizes, &g);
	assert_int_equal(mg_factor_product(&w->ctx, w->a, &f, &g, false, &product), MG_OK);
	assert_int_equal(mg_factor_product(&w->ctx, w->a, &f, &g, true, &log_product), MG_OK);
	assert_int_equal(product.k, 4);
	assert_memory_equal(product.cols, both, sizeof(both));
	for (size_t x = 0; x < all.cells; x++)
	{
		uint32_t code[MOST];
		double a, b;

		codes_of(&all, x, code);
		a = f.v[cell_of(left, 2, sizes, code)];
		b = g.v[cell_of(right, 3, sizes, code)];
		assert_near(product.v[x], a * b, 1e-12);
		assert_near(log_product.v[x], a + b, 1e-12);
	}
}

static void
factors_refuse_nonsense(void **state)
{
	static const uint32_t sizes[] = {65535, 65535, 0}, order[] = {1, 0}, large[] = {0, 1}, empty[] = {2};
	world *w = *state;
	mg_factor f;

	assert_int_equal(mg_factor_make(&w->ctx, w->a, order, 2, sizes, &f), MG_INVALID);
	mg_ctx_init(&w->ctx);
	assert_int_equal(mg_factor_make(&w->ctx, w->a, large, 2, sizes, &f), MG_INVALID);
	mg_ctx_init(&w->ctx);
	assert_int_equal(mg_factor_make(&w->ctx, w->a, empty, 1, sizes, &f), MG_INVALID);
}

/* ---- junction trees ---- */

static void
build_net(world *w, mg_junction *j)
{
	assert_int_equal(mg_junction_build(&w->ctx, w->a, net_sizes, NET_COLUMNS, net, NET_CLIQUES, j), MG_OK);
}

static double *
oracle_joint(world *w, const joint *all, const mg_factor *potential, uint32_t count, double total, double *log_z)
{
	double *p = mg_arena_alloc(w->a, all->cells, sizeof(double)), top = -INFINITY, sum = 0;

	for (size_t x = 0; x < all->cells; x++)
	{
		uint32_t code[MOST];

		codes_of(all, x, code);
		for (uint32_t c = 0; c < count; c++)
			p[x] += potential[c].v[cell_of(potential[c].cols, potential[c].k, all->size, code)];
		top = p[x] > top ? p[x] : top;
	}
	for (size_t x = 0; x < all->cells; x++)
		sum += exp(p[x] - top);
	for (size_t x = 0; x < all->cells; x++)
		p[x] = total * exp(p[x] - top) / sum;
	*log_z = top + log(sum);
	return p;
}

/* Potentials of this spread, a share of them impossible. */
static void
check_inference(world *w, double spread, double impossible)
{
	joint all = whole(net_sizes, NET_COLUMNS);
	mg_junction j;
	mg_messages m;
	mg_factor *f;
	double *p, log_z, expect[64];

	build_net(w, &j);
	assert_int_equal(mg_junction_factors(&w->ctx, w->a, &j, &f), MG_OK);
	assert_int_equal(mg_messages_make(&w->ctx, w->a, &j, &m), MG_OK);
	for (uint32_t c = 0; c < j.count; c++)
		for (size_t i = 0; i < f[c].cells; i++)
			f[c].v[i] = mg_rng_unit(&w->rng) < impossible ? -INFINITY : spread * normal(&w->rng);
	p = oracle_joint(w, &all, f, j.count, 1000, &log_z);
	assert_near(mg_junction_calibrate(&j, &m, 1000, f), log_z, 1e-10 * (1 + fabs(log_z)));
	for (uint32_t c = 0; c < j.count; c++)
	{
		oracle_marginal(&all, p, f[c].cols, f[c].k, expect, f[c].cells);
		for (size_t i = 0; i < f[c].cells; i++)
			assert_near(f[c].v[i], expect[i], 1e-8);
	}
	assert_true(mg_junction_inconsistency(&j, &m, f) < 1e-9);
}

static void
inference_matches_enumeration(void **state)
{
	world *w = *state;

	for (int i = 0; i < 20; i++)
		check_inference(w, 1.5, 0);
	for (int i = 0; i < 20; i++)
		check_inference(w, 1.5, 0.1);
	/* far beyond what exp can hold */
	for (int i = 0; i < 5; i++)
		check_inference(w, 2000, 0);
}

static void
impossible_joint_is_all_zero(void **state)
{
	world *w = *state;
	mg_junction j;
	mg_messages m;
	mg_factor *f;

	build_net(w, &j);
	assert_int_equal(mg_junction_factors(&w->ctx, w->a, &j, &f), MG_OK);
	assert_int_equal(mg_messages_make(&w->ctx, w->a, &j, &m), MG_OK);
	for (size_t i = 0; i < f[2].cells; i++)
		f[2].v[i] = -INFINITY;
	assert_true(mg_junction_calibrate(&j, &m, 10, f) == -INFINITY);
	for (uint32_t c = 0; c < j.count; c++)
		assert_true(mg_factor_total(&f[c]) == 0);
}

static void
junction_trees_are_checked(void **state)
{
	static const uint32_t sizes[] = {2, 2, 2, 2}, ab[] = {0, 1}, bc[] = {1, 2}, ac[] = {0, 2}, cd[] = {2, 3};
	static const uint32_t outside[] = {3, 4}, unordered[] = {3, 2};
	const mg_column_set cycle[] = {{2, ab, 0}, {2, bc, 0}, {2, ac, 0}, {2, cd, 0}};
	const mg_column_set chain[] = {{2, ab, 0}, {2, cd, 0}, {2, bc, 0}};
	const mg_column_set wrong[] = {{2, ab, MG_NO_PARENT}, {2, bc, 0}, {2, cd, 0}};
	const mg_column_set far[] = {{2, ab, 0}, {2, bc, 0}, {2, outside, 0}};
	const mg_column_set backwards[] = {{2, ab, 0}, {2, bc, 0}, {2, unordered, 0}};
	world *w = *state;
	mg_junction j;

	assert_int_equal(mg_junction_build(&w->ctx, w->a, sizes, 4, chain, 3, &j), MG_OK);
	assert_int_equal(j.clique[0].parent, MG_NO_PARENT);
	for (uint32_t c = 1; c < 3; c++)
		assert_int_equal(j.clique[c].nsep, 1);
	assert_int_equal(mg_junction_find(&j, bc, 2) < 3, 1);
	assert_int_equal(mg_junction_find(&j, ac, 2), 3);
	assert_int_equal(mg_junction_build(&w->ctx, w->a, sizes, 4, cycle, 4, &j), MG_INVALID);
	assert_int_equal(mg_junction_build(&w->ctx, w->a, sizes, 4, chain, 2, &j), MG_OK);
	assert_int_equal(mg_junction_build(&w->ctx, w->a, sizes, 4, &chain[1], 2, &j), MG_INVALID);
	assert_int_equal(mg_junction_adopt(&w->ctx, w->a, sizes, 4, wrong, 3, &j), MG_INVALID);
	assert_int_equal(mg_junction_build(&w->ctx, w->a, sizes, 4, far, 3, &j), MG_INVALID);
	assert_int_equal(mg_junction_build(&w->ctx, w->a, sizes, 4, backwards, 3, &j), MG_INVALID);
	assert_int_equal(mg_junction_build(&w->ctx, w->a, sizes, 4, chain, 0, &j), MG_INVALID);
}

/* ---- estimation ---- */

#define NET_MEASURED 6

/*
 * Noisy measurements of a random joint: all cliques but one of the triangles, of which a pair, and two single
 * columns.
 */
static void
measure_net(world *w, double total, mg_measurement *m)
{
	static const uint32_t pair[] = {6, 7}, one[] = {1}, four[] = {4};
	static const mg_column_set what[NET_MEASURED] = {
		{3, net_a, 0}, {3, net_b, 0}, {2, net_c, 0}, {2, pair, 0}, {1, one, 0}, {1, four, 0},
	};
	joint all = whole(net_sizes, NET_COLUMNS);
	double *p = mg_arena_alloc(w->a, all.cells, sizeof(double)), sum = 0;

	for (size_t x = 0; x < all.cells; x++)
	{
		p[x] = exp(2 * normal(&w->rng));
		sum += p[x];
	}
	for (size_t x = 0; x < all.cells; x++)
		p[x] *= total / sum;
	for (uint32_t i = 0; i < NET_MEASURED; i++)
	{
		size_t cells;
		double *y, *var;

		assert_true(mg_factor_count(what[i].cols, what[i].k, net_sizes, &cells));
		y = mg_arena_alloc(w->a, cells, sizeof(double));
		var = mg_arena_alloc(w->a, cells, sizeof(double));
		oracle_marginal(&all, p, what[i].cols, what[i].k, y, cells);
		for (size_t x = 0; x < cells; x++)
		{
			var[x] = 400 * (1 + 3 * mg_rng_unit(&w->rng));
			y[x] = rint(y[x] + sqrt(var[x]) * normal(&w->rng));
		}
		m[i] = (mg_measurement){.k = what[i].k, .cols = what[i].cols, .y = y, .var = 500};
		if (i >= 3)
			m[i].cell_var = var;
	}
}

static size_t
measured_cells(const mg_measurement *m, uint32_t count)
{
	size_t sum = 0, cells;

	for (uint32_t i = 0; i < count; i++)
	{
		assert_true(mg_factor_count(m[i].cols, m[i].k, net_sizes, &cells));
		sum += cells;
	}
	return sum;
}

static void
dual_gradient_matches_differences(void **state)
{
	world *w = *state;
	mg_measurement m[NET_MEASURED];
	mg_junction j;
	mg_factor *prior;
	double *q, *grad, *unused, value, up, down;
	size_t dim;

	build_net(w, &j);
	measure_net(w, 1000, m);
	assert_int_equal(mg_junction_factors(&w->ctx, w->a, &j, &prior), MG_OK);
	for (uint32_t c = 0; c < j.count; c++)
		for (size_t i = 0; i < prior[c].cells; i++)
			prior[c].v[i] = normal(&w->rng);
	dim = measured_cells(m, NET_MEASURED);
	q = mg_arena_alloc(w->a, dim, sizeof(double));
	grad = mg_arena_alloc(w->a, dim, sizeof(double));
	unused = mg_arena_alloc(w->a, dim, sizeof(double));
	for (size_t x = 0; x < dim; x++)
		q[x] = 0.5 * normal(&w->rng);
	assert_int_equal(mg_estimate_dual(&w->ctx, &j, m, NET_MEASURED, 1000, 0.3, prior, q, &value, grad), MG_OK);
	for (size_t x = 0; x < dim; x++)
	{
		double h = 1e-4, keep = q[x];

		q[x] = keep + h;
		assert_int_equal(mg_estimate_dual(&w->ctx, &j, m, NET_MEASURED, 1000, 0.3, prior, q, &up, unused), MG_OK);
		q[x] = keep - h;
		assert_int_equal(mg_estimate_dual(&w->ctx, &j, m, NET_MEASURED, 1000, 0.3, prior, q, &down, unused), MG_OK);
		q[x] = keep;
		assert_near((up - down) / (2 * h), grad[x], 1e-4 * (1 + fabs(grad[x])));
	}
}

typedef struct trace
{
	uint32_t step, calls;
	double dual;
	bool monotone;
} trace;

static void
watch(void *arg, uint32_t step, uint32_t iteration, double dual, double gap)
{
	trace *t = arg;

	if (t->calls > 0 && step == t->step && dual < t->dual)
		t->monotone = false;
	t->step = step;
	t->dual = dual;
	t->calls++;
}

/*
 * Oracle: minimises 1/2 sum (z - y)^2 / v + gamma N KL(P || P0) over the joint table of the net by
 * exponentiated gradient steps (Kivinen, Warmuth 1997) with backtracking. P0 uniform. Returns the minimum; p is
 * the minimiser, scaled to total.
 */
static double
oracle_objective(const joint *all, const mg_measurement *m, uint32_t count, double gamma, double total, const double *p,
				 double *grad)
{
	double f = 0, z[64], pull[64];

	for (size_t x = 0; x < all->cells; x++)
	{
		double ratio = p[x] / total * (double) all->cells;

		f += p[x] > 0 ? gamma * p[x] * log(ratio) : 0;
		grad[x] = gamma * log(p[x] > 0 ? ratio : 1e-300);
	}
	for (uint32_t i = 0; i < count; i++)
	{
		size_t cells;
		uint32_t code[MOST];

		assert_true(mg_factor_count(m[i].cols, m[i].k, all->size, &cells));
		oracle_marginal(all, p, m[i].cols, m[i].k, z, cells);
		for (size_t x = 0; x < cells; x++)
		{
			pull[x] = (z[x] - m[i].y[x]) / (m[i].cell_var != NULL ? m[i].cell_var[x] : m[i].var);
			f += pull[x] * (z[x] - m[i].y[x]) / 2;
		}
		for (size_t x = 0; x < all->cells; x++)
		{
			codes_of(all, x, code);
			grad[x] += pull[cell_of(m[i].cols, m[i].k, all->size, code)];
		}
	}
	return f;
}

static double
oracle_minimise(world *w, const joint *all, const mg_measurement *m, double gamma, double total, int iterations,
				double *p)
{
	double *grad = mg_arena_alloc(w->a, all->cells, sizeof(double)),
		   *next = mg_arena_alloc(w->a, all->cells, sizeof(double));
	double *spare = mg_arena_alloc(w->a, all->cells, sizeof(double)), step = 0.1, f;

	for (size_t x = 0; x < all->cells; x++)
		p[x] = total / (double) all->cells;
	f = oracle_objective(all, m, NET_MEASURED, gamma, total, p, grad);
	for (int i = 0; i < iterations; i++)
	{
		double sum = 0, g;

		for (size_t x = 0; x < all->cells; x++)
			sum += next[x] = p[x] * exp(-step * grad[x]);
		for (size_t x = 0; x < all->cells; x++)
			next[x] *= total / sum;
		g = oracle_objective(all, m, NET_MEASURED, gamma, total, next, spare);
		if (g > f)
		{
			step /= 2;
			continue;
		}
		step *= 1.05;
		f = g;
		memcpy(p, next, all->cells * sizeof(double));
		memcpy(grad, spare, all->cells * sizeof(double));
	}
	return f;
}

static void
estimation_finds_the_regularised_minimum(void **state)
{
	world *w = *state;
	joint all = whole(net_sizes, NET_COLUMNS);
	trace t = {.monotone = true};
	mg_estimate_options opt =
		{.gamma = 0.5, .steps = 1, .tolerance = 1e-12, .max_iterations = 2000, .watch = watch, .watch_arg = &t};
	mg_measurement m[NET_MEASURED];
	mg_estimate_report report;
	mg_messages messages;
	mg_junction j;
	mg_factor *f;
	double *p = mg_arena_alloc(w->a, all.cells, sizeof(double)), expect[64];

	build_net(w, &j);
	measure_net(w, 1000, m);
	assert_int_equal(mg_junction_factors(&w->ctx, w->a, &j, &f), MG_OK);
	assert_int_equal(mg_estimate(&w->ctx, &j, m, NET_MEASURED, 1000, &opt, f, &report), MG_OK);
	assert_true(report.gap <= 1e-12 * (double) measured_cells(m, NET_MEASURED));
	assert_true(t.monotone && t.calls <= report.iterations && t.calls > 1);
	oracle_minimise(w, &all, m, 0.5, 1000, 4000, p);
	for (uint32_t c = 0; c < j.count; c++)
	{
		oracle_marginal(&all, p, f[c].cols, f[c].k, expect, f[c].cells);
		for (size_t i = 0; i < f[c].cells; i++)
			assert_near(f[c].v[i], expect[i], 0.05);
		assert_near(mg_factor_total(&f[c]), 1000, 1e-8);
	}
	assert_int_equal(mg_messages_make(&w->ctx, w->a, &j, &messages), MG_OK);
	assert_true(mg_junction_inconsistency(&j, &messages, f) < 1e-8);
}

/* Euclidean projection onto { p >= 0, sum p = total } (Held, Wolfe, Crowder 1974), by bisection. */
static void
project_simplex(double *p, size_t n, double total)
{
	double low = -1e9, high = 1e9;

	for (int i = 0; i < 200; i++)
	{
		double mid = (low + high) / 2, sum = 0;

		for (size_t x = 0; x < n; x++)
			sum += p[x] > mid ? p[x] - mid : 0;
		if (sum > total)
			low = mid;
		else
			high = mid;
	}
	for (size_t x = 0; x < n; x++)
		p[x] = p[x] > low ? p[x] - low : 0;
}

/*
 * Least squares over the joint table by accelerated projected gradient (Beck, Teboulle 2009): the minimum,
 * minimiser in p.
 */
static double
oracle_least_squares(world *w, const joint *all, const mg_measurement *m, uint32_t count, double total, double step,
					 int iterations, double *p)
{
	size_t n = all->cells;
	double *q = mg_arena_alloc(w->a, n, sizeof(double)), *r = mg_arena_alloc(w->a, n, sizeof(double));
	double *grad = mg_arena_alloc(w->a, n, sizeof(double)), momentum = 1;

	for (size_t x = 0; x < n; x++)
		p[x] = q[x] = total / (double) n;
	for (int i = 0; i < iterations; i++)
	{
		double next = (1 + sqrt(1 + 4 * momentum * momentum)) / 2;

		oracle_objective(all, m, count, 0, total, q, grad);
		for (size_t x = 0; x < n; x++)
			r[x] = q[x] - step * grad[x];
		project_simplex(r, n, total);
		for (size_t x = 0; x < n; x++)
		{
			q[x] = r[x] + (momentum - 1) / next * (r[x] - p[x]);
			p[x] = r[x];
		}
		momentum = next;
	}
	return oracle_objective(all, m, count, 0, total, p, grad);
}

/* Proximal steps converge to plain Private-PGM. */
static void
many_steps_find_the_least_squares(void **state)
{
	world *w = *state;
	joint all = whole(net_sizes, NET_COLUMNS);
	mg_estimate_options opt = {.gamma = 0.1, .steps = 200, .tolerance = 1e-9, .max_iterations = 100000};
	mg_measurement m[NET_MEASURED];
	mg_estimate_report report;
	mg_junction j;
	mg_factor *f;
	double *p = mg_arena_alloc(w->a, all.cells, sizeof(double)), least;

	build_net(w, &j);
	measure_net(w, 1000, m);
	assert_int_equal(mg_junction_factors(&w->ctx, w->a, &j, &f), MG_OK);
	assert_int_equal(mg_estimate(&w->ctx, &j, m, NET_MEASURED, 1000, &opt, f, &report), MG_OK);
	least = oracle_least_squares(w, &all, m, NET_MEASURED, 1000, 0.15, 3000, p);
	assert_true(report.loss >= least - 1e-3 * least);
	assert_true(report.loss <= least * 1.001 + 0.01);
}

#define TREE_COLUMNS 5
#define TREE_MEASURED 8
static const uint32_t tree_sizes[] = {3, 2, 4, 2, 3}, tree_pairs[][2] = {{0, 1}, {1, 2}, {1, 3}};
static const uint32_t tree_columns[] = {0, 1, 2, 3, 4};

/* Three pairs and five columns, one of them alone; y is noise around a product, much of it negative. */
static void
measure_tree(world *w, double total, double sigma, mg_junction *j, mg_measurement *m)
{
	mg_column_set sets[4];

	for (uint32_t i = 0; i < TREE_MEASURED; i++)
	{
		bool pair = i < 3;
		const uint32_t *cols = pair ? tree_pairs[i] : &tree_columns[i - 3];
		double *y, *var;
		size_t cells;

		assert_true(mg_factor_count(cols, pair ? 2 : 1, tree_sizes, &cells));
		y = mg_arena_alloc(w->a, cells, sizeof(double));
		var = mg_arena_alloc(w->a, cells, sizeof(double));
		for (size_t x = 0; x < cells; x++)
		{
			var[x] = sigma * sigma * (0.2 + mg_rng_unit(&w->rng));
			y[x] = rint((x % 3 == 0 ? 2 : 0.5) * total / (double) cells + sigma * normal(&w->rng));
		}
		m[i] = (mg_measurement){pair ? 2 : 1, cols, y, sigma * sigma * (i + 1), pair ? NULL : var};
		if (pair)
			sets[i] = (mg_column_set){2, cols, 0};
	}
	sets[3] = (mg_column_set){1, &tree_columns[4], 0};
	assert_int_equal(mg_junction_build(&w->ctx, w->a, tree_sizes, TREE_COLUMNS, sets, 4, j), MG_OK);
}

static void
trees_are_solved_exactly(void **state)
{
	static const double sigmas[] = {1, 10, 40};
	world *w = *state;
	joint all = whole(tree_sizes, TREE_COLUMNS);
	double *p = mg_arena_alloc(w->a, all.cells, sizeof(double));

	for (int round = 0; round < 9; round++)
	{
		double total = 100, sigma = sigmas[round % 3], least, expect[64];
		trace t = {.monotone = true};
		mg_estimate_options opt = {.tolerance = 1e-9, .max_iterations = 2000, .watch = watch, .watch_arg = &t};
		mg_measurement m[TREE_MEASURED];
		mg_estimate_report report;
		mg_messages messages;
		mg_junction j;
		mg_factor *f;

		measure_tree(w, total, sigma, &j, m);
		assert_int_equal(mg_junction_factors(&w->ctx, w->a, &j, &f), MG_OK);
		assert_int_equal(mg_messages_make(&w->ctx, w->a, &j, &messages), MG_OK);
		assert_int_equal(mg_estimate_tree(&w->ctx, &j, m, TREE_MEASURED, total, &opt, f, &report), MG_OK);
		assert_true(t.monotone && t.calls > 0);
		assert_true(report.gap <= 1e-9 * 64);
		assert_true(mg_junction_inconsistency(&j, &messages, f) < 1e-9);
		least = oracle_least_squares(w, &all, m, TREE_MEASURED, total, 0.004 * sigma * sigma, 3000, p);
		assert_near(report.loss, least, 1e-4 * (1 + least));
		for (uint32_t c = 0; c < j.count; c++)
		{
			oracle_marginal(&all, p, f[c].cols, f[c].k, expect, f[c].cells);
			for (size_t i = 0; i < f[c].cells; i++)
			{
				assert_true(f[c].v[i] >= 0);
				assert_near(f[c].v[i], expect[i], 0.02 * (1 + sigma / 10));
			}
			assert_near(mg_factor_total(&f[c]), total, 1e-9);
		}
	}
}

/* The two estimators share a limit: the general one with a vanishing prior is the tree's. */
static void
both_estimators_agree(void **state)
{
	world *w = *state;
	mg_estimate_options exact = {.tolerance = 1e-9, .max_iterations = 2000};
	mg_estimate_options general = {.gamma = 0.02, .steps = 100, .tolerance = 1e-9, .max_iterations = 100000};
	mg_measurement m[TREE_MEASURED];
	mg_estimate_report report, other;
	mg_junction j;
	mg_factor *f, *g;

	measure_tree(w, 500, 8, &j, m);
	assert_int_equal(mg_junction_factors(&w->ctx, w->a, &j, &f), MG_OK);
	assert_int_equal(mg_junction_factors(&w->ctx, w->a, &j, &g), MG_OK);
	assert_int_equal(mg_estimate_tree(&w->ctx, &j, m, TREE_MEASURED, 500, &exact, f, &report), MG_OK);
	assert_int_equal(mg_estimate(&w->ctx, &j, m, TREE_MEASURED, 500, &general, g, &other), MG_OK);
	assert_near(report.loss, other.loss, 1e-3 * report.loss);
	for (uint32_t c = 0; c < j.count; c++)
		for (size_t i = 0; i < f[c].cells; i++)
			assert_near(f[c].v[i], g[c].v[i], 0.5);
}

/* A column with all its mass in a slice that its edge measured as empty still has a distribution. */
static void
contradictions_are_settled(void **state)
{
	static const uint32_t sizes[] = {2, 2}, ab[] = {0, 1}, a[] = {0}, b[] = {1};
	static const double pair[] = {0, 0, 500, 500}, first[] = {1000, 0}, second[] = {-1000, -2000};
	const mg_column_set sets[] = {{2, ab, 0}};
	const mg_measurement m[] = {{2, ab, pair, 1e8, NULL}, {1, a, first, 1e-6, NULL}, {1, b, second, 1e6, NULL}};
	mg_estimate_options opt = {.tolerance = 1e-9, .max_iterations = 5000};
	world *w = *state;
	mg_estimate_report report;
	mg_junction j;
	mg_factor *f;

	assert_int_equal(mg_junction_build(&w->ctx, w->a, sizes, 2, sets, 1, &j), MG_OK);
	assert_int_equal(mg_junction_factors(&w->ctx, w->a, &j, &f), MG_OK);
	assert_int_equal(mg_estimate_tree(&w->ctx, &j, m, 3, 1000, &opt, f, &report), MG_OK);
	assert_near(mg_factor_total(&f[0]), 1000, 1e-9);
	assert_near(f[0].v[0] + f[0].v[1], 1000, 0.1);
	assert_true(isfinite(report.loss) && isfinite(report.gap));
	/* of another shape: refused */
	assert_int_equal(mg_estimate_tree(&w->ctx, &j, m, 2, 1000, &opt, f, &report), MG_INVALID);
	mg_ctx_init(&w->ctx);
	assert_int_equal(mg_estimate_tree(&w->ctx, &j, &m[1], 2, 1000, &opt, f, &report), MG_INVALID);
}

static void
estimation_is_exact_without_noise(void **state)
{
	static const uint32_t sizes[] = {2, 3, 2}, ab[] = {0, 1}, bc[] = {1, 2};
	static const double yab[] = {10, 20, 0, 5, 60, 5}, ybc[] = {0, 15, 40, 40, 3, 2};
	const mg_column_set sets[] = {{2, ab, 0}, {2, bc, 0}};
	const mg_measurement m[] = {{2, ab, yab, 1e-6, NULL}, {2, bc, ybc, 1e-6, NULL}};
	mg_estimate_options opt = {.gamma = 0.01, .steps = 2, .tolerance = 1e-6, .max_iterations = 2000};
	world *w = *state;
	mg_estimate_report report;
	mg_junction j;
	mg_factor *f;

	assert_int_equal(mg_junction_build(&w->ctx, w->a, sizes, 3, sets, 2, &j), MG_OK);
	assert_int_equal(mg_junction_factors(&w->ctx, w->a, &j, &f), MG_OK);
	assert_near(mg_estimate_total(sizes, m, 2), 100, 1e-9);
	assert_int_equal(mg_estimate(&w->ctx, &j, m, 2, 100, &opt, f, &report), MG_OK);
	for (uint32_t i = 0; i < 6; i++)
	{
		assert_near(f[0].v[i], yab[i], 0.01);
		assert_near(f[1].v[i], ybc[i], 0.01);
	}
}

static void
total_weighs_by_inverse_variance(void **state)
{
	static const uint32_t sizes[] = {2, 3}, a[] = {0}, b[] = {1};
	static const double ya[] = {40, 60}, yb[] = {30, 30, 60}, var[] = {1, 2, 3}, negative[] = {-5, -7};
	const mg_measurement m[] = {{1, a, ya, 1, NULL}, {1, b, yb, 0, var}}, low[] = {{1, a, negative, 1, NULL}};

	/* sums 100 of variance 2, and 120 of variance 6 */
	assert_near(mg_estimate_total(sizes, m, 2), (100.0 / 2 + 120.0 / 6) / (1.0 / 2 + 1.0 / 6), 1e-9);
	assert_near(mg_estimate_total(sizes, low, 1), 1, 0);
}

static void
estimation_refuses_nonsense(void **state)
{
	static const uint32_t sizes[] = {2, 2, 2}, ab[] = {0, 1}, bc[] = {1, 2}, ac[] = {0, 2};
	static const double y[] = {1, 2, 3, 4}, bad[] = {1, NAN, 3, 4};
	const mg_column_set sets[] = {{2, ab, 0}, {2, bc, 0}};
	mg_estimate_options opt = {.gamma = 0.1, .steps = 1, .tolerance = 1e-6, .max_iterations = 10};
	mg_measurement outside = {2, ac, y, 1, NULL}, nan = {2, ab, bad, 1, NULL}, exact = {2, ab, y, 0, NULL};
	const mg_measurement *each[] = {&outside, &nan, &exact};
	world *w = *state;
	mg_estimate_report report;
	mg_junction j;
	mg_factor *f;

	assert_int_equal(mg_junction_build(&w->ctx, w->a, sizes, 3, sets, 2, &j), MG_OK);
	assert_int_equal(mg_junction_factors(&w->ctx, w->a, &j, &f), MG_OK);
	for (int i = 0; i < 3; i++)
	{
		mg_ctx_init(&w->ctx);
		assert_int_equal(mg_estimate(&w->ctx, &j, each[i], 1, 10, &opt, f, &report), MG_INVALID);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(factors_follow_their_definition, set_up, free_world),
		cmocka_unit_test_setup_teardown(products_cover_the_union, set_up, free_world),
		cmocka_unit_test_setup_teardown(factors_refuse_nonsense, set_up, free_world),
		cmocka_unit_test_setup_teardown(inference_matches_enumeration, set_up, free_world),
		cmocka_unit_test_setup_teardown(impossible_joint_is_all_zero, set_up, free_world),
		cmocka_unit_test_setup_teardown(junction_trees_are_checked, set_up, free_world),
		cmocka_unit_test_setup_teardown(dual_gradient_matches_differences, set_up, free_world),
		cmocka_unit_test_setup_teardown(estimation_finds_the_regularised_minimum, set_up, free_world),
		cmocka_unit_test_setup_teardown(many_steps_find_the_least_squares, set_up, free_world),
		cmocka_unit_test_setup_teardown(trees_are_solved_exactly, set_up, free_world),
		cmocka_unit_test_setup_teardown(both_estimators_agree, set_up, free_world),
		cmocka_unit_test_setup_teardown(contradictions_are_settled, set_up, free_world),
		cmocka_unit_test_setup_teardown(estimation_is_exact_without_noise, set_up, free_world),
		cmocka_unit_test_setup_teardown(total_weighs_by_inverse_variance, set_up, free_world),
		cmocka_unit_test_setup_teardown(estimation_refuses_nonsense, set_up, free_world),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
