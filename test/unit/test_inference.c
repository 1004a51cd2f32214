/*
 * test/unit/test_inference.c: calibration and marginals across cliques, against all cells of the joint table.
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
#include "graphical/marginals.h"
#include "joint.h"
#include "tree_world.h"

/* ---- the oracle of inference: the joint table ---- */

static size_t
joint_cells(const mg_junction *j)
{
	size_t cells = 1;

	for (uint32_t i = 0; i < j->ncolumns; i++)
		cells *= j->size[i];
	return cells;
}

/* The joint of these log-potentials (-inf: impossible), scaled to total; zeros where nothing is possible. */
static double *
joint_of(world *w, const mg_junction *j, const mg_factor *f, double total, double *log_z)
{
	size_t cells = joint_cells(j);
	double *p = mg_arena_alloc(w->a, cells, sizeof(*p)), top = -INFINITY, sum = 0;

	for (uint32_t c = 0; c < j->count; c++)
		for (size_t x = 0; x < cells; x++)
			p[x] += f[c].v[cell_under(j->size, j->ncolumns, x, f[c].cols, f[c].k)];
	for (size_t x = 0; x < cells; x++)
		top = p[x] > top ? p[x] : top;
	for (size_t x = 0; x < cells; x++)
	{
		p[x] = top == -INFINITY ? 0 : exp(p[x] - top);
		sum += p[x];
	}
	for (size_t x = 0; x < cells; x++)
		p[x] *= sum > 0 ? total / sum : 0;
	*log_z = sum > 0 ? top + log(sum) : -INFINITY;
	return p;
}

static double *
marginal_of(world *w, const mg_junction *j, const double *p, const uint32_t *cols, uint32_t k, size_t *cells)
{
	size_t all = joint_cells(j);
	double *out;

	assert_true(mg_factor_count(cols, k, j->size, cells));
	out = mg_arena_alloc(w->a, *cells, sizeof(*out));
	for (size_t x = 0; x < all; x++)
		out[cell_under(j->size, j->ncolumns, x, cols, k)] += p[x];
	return out;
}

static void
check_cells(const double *got, const double *expect, size_t cells, double most)
{
	for (size_t i = 0; i < cells; i++)
		assert_near(got[i], expect[i], most);
}

/* A tree over random sets whose joint has at most `most` cells. */
static void
random_tree(world *w, size_t most, uint32_t widest, mg_junction *j)
{
	for (;;)
	{
		uint32_t n = 1 + below(w, 9), *sizes = random_sizes(w, n, 1, 5), count = below(w, n + 1);
		size_t cells = 1;

		for (uint32_t i = 0; i < n; i++)
			cells *= sizes[i];
		if (cells > most)
			continue;
		triangulated(w, sizes, n, random_sets(w, n, count, widest), count, 0, j);
		return;
	}
}

/* Log-potentials of this spread, a share of the cells impossible. */
static void
random_potentials(world *w, const mg_junction *j, double spread, double impossible, mg_factor *f)
{
	for (uint32_t c = 0; c < j->count; c++)
		for (size_t i = 0; i < f[c].cells; i++)
			f[c].v[i] = mg_rng_unit(&w->rng) < impossible ? -INFINITY : spread * (mg_rng_unit(&w->rng) - 0.5);
}

/* ---- factors ---- */

/* Sizes that take every path of the loops: short rows and long ones, columns of one code, rows beside rows. */
static void
factor_loops_follow_their_definition(void **state)
{
	static const uint32_t some[] = {1, 2, 2, 3, 4, 5, 8, 17, 35}, cols[] = {0, 1, 2, 3, 4};
	world *w = *state;

	for (uint32_t trial = 0; trial < 600; trial++)
	{
		uint32_t n = 1 + below(w, 5), sizes[5], k = below(w, n + 1), *within = random_columns(w, n, k);
		mg_junction all = {.ncolumns = n, .size = sizes};
		mg_factor f, g, sum, peak;
		double *expect, *before, least = INFINITY;

		for (uint32_t i = 0; i < n; i++)
			sizes[i] = some[below(w, 9)];
		if (joint_cells(&all) > 30000)
			continue;
		assert_int_equal(mg_factor_make(&w->ctx, w->a, cols, n, sizes, &f), MG_OK);
		assert_int_equal(mg_factor_make(&w->ctx, w->a, within, k, sizes, &g), MG_OK);
		assert_int_equal(mg_factor_make(&w->ctx, w->a, within, k, sizes, &sum), MG_OK);
		assert_int_equal(mg_factor_make(&w->ctx, w->a, within, k, sizes, &peak), MG_OK);
		before = mg_arena_alloc(w->a, f.cells, sizeof(double));
		expect = mg_arena_alloc(w->a, g.cells, sizeof(double));
		for (size_t i = 0; i < g.cells; i++)
			g.v[i] = mg_rng_unit(&w->rng);
		for (size_t i = 0; i < f.cells; i++)
		{
			f.v[i] = before[i] = below(w, 3) == 0 ? 0 : 0.1 + mg_rng_unit(&w->rng);
			least = before[i] > 0 && before[i] < least ? before[i] : least;
		}
		assert_true(mg_factor_least(&f) == least);
		mg_factor_add(&f, &g);
		for (size_t i = 0; i < f.cells; i++)
			assert_true(f.v[i] == before[i] + g.v[cell_under(all.size, all.ncolumns, i, within, k)]);
		memcpy(f.v, before, f.cells * sizeof(double));
		mg_factor_scale(&f, &g);
		for (size_t i = 0; i < f.cells; i++)
		{
			assert_true(f.v[i] == before[i] * g.v[cell_under(all.size, all.ncolumns, i, within, k)]);
			expect[cell_under(all.size, all.ncolumns, i, within, k)] += f.v[i];
			before[i] = log(f.v[i]);
		}
		mg_factor_marginal(&f, &sum);
		check_cells(sum.v, expect, sum.cells, 1e-12 * (double) f.cells);
		memcpy(f.v, before, f.cells * sizeof(double));
		mg_factor_log_slices(&f, &peak, &sum);
		for (size_t i = 0; i < sum.cells; i++)
			assert_near(exp(peak.v[i]) * sum.v[i], expect[i], 1e-12 * (double) f.cells);
		mg_arena_reset(w->a);
	}
}

/* ---- calibration ---- */

typedef struct model
{
	mg_junction j;
	mg_messages m;
	mg_factor *log, *linear; /* potentials, then marginals */
	double *p, log_z, total;
} model;

static void
random_model(world *w, size_t most, double spread, double impossible, model *x)
{
	x->total = 1000;
	random_tree(w, most, 3, &x->j);
	assert_int_equal(mg_junction_factors(&w->ctx, w->a, &x->j, &x->log), MG_OK);
	assert_int_equal(mg_junction_factors(&w->ctx, w->a, &x->j, &x->linear), MG_OK);
	assert_int_equal(mg_messages_make(&w->ctx, w->a, &x->j, &x->m), MG_OK);
	random_potentials(w, &x->j, spread, impossible, x->log);
	for (uint32_t c = 0; c < x->j.count; c++)
		for (size_t i = 0; i < x->log[c].cells; i++)
			x->linear[c].v[i] = exp(x->log[c].v[i]);
	x->p = joint_of(w, &x->j, x->log, x->total, &x->log_z);
}

static void
check_calibrated(world *w, model *x, const mg_factor *f, double log_z)
{
	if (x->log_z == -INFINITY)
		assert_true(log_z == -INFINITY);
	else
		assert_near(log_z, x->log_z, 1e-9 * (1 + fabs(x->log_z)));
	for (uint32_t c = 0; c < x->j.count; c++)
	{
		size_t cells;
		double *expect = marginal_of(w, &x->j, x->p, f[c].cols, f[c].k, &cells);

		check_cells(f[c].v, expect, cells, 1e-9 * x->total);
	}
	assert_true(mg_junction_inconsistency(&x->j, &x->m, f) <= 1e-9 * x->total);
}

static void
both_calibrations_are_the_joint(void **state)
{
	static const double impossible[] = {0, 0.2, 0.7};
	world *w = *state;
	uint32_t nothing = 0, forests = 0;

	for (uint32_t trial = 0; trial < 150; trial++)
	{
		model x;
		double log_z = 0;

		random_model(w, trial % 30 == 0 ? 100000 : 1500, trial % 2 == 0 ? 4 : 60, impossible[trial % 3], &x);
		for (uint32_t c = 1; c < x.j.count; c++)
			forests += x.j.clique[c].nsep == 0;
		nothing += x.log_z == -INFINITY;
		log_z = mg_junction_calibrate(&x.j, &x.m, x.total, x.log);
		check_calibrated(w, &x, x.log, log_z);
		assert_true(mg_junction_calibrate_linear(&x.j, &x.m, x.total, x.linear, &log_z));
		check_calibrated(w, &x, x.linear, log_z);
		mg_arena_reset(w->a);
	}
	assert_true(nothing > 5 && forests > 50);
}

static void
extreme_potentials_are_right_or_refused(void **state)
{
	/* spreads at which products of weights leave the range of doubles: what is not refused must be right */
	static const double spread[] = {300, 700, 1000, 1400};
	world *w = *state;
	uint32_t refused = 0, done = 0;

	for (uint32_t trial = 0; trial < 400; trial++)
	{
		model x;
		double log_z = 0;

		random_model(w, 500, spread[trial % 4], trial % 8 < 4 ? 0 : 0.3, &x);
		if (mg_junction_calibrate_linear(&x.j, &x.m, x.total, x.linear, &log_z))
		{
			done++;
			check_calibrated(w, &x, x.linear, log_z);
		}
		else
			refused++;
		log_z = mg_junction_calibrate(&x.j, &x.m, x.total, x.log);
		check_calibrated(w, &x, x.log, log_z);
		mg_arena_reset(w->a);
	}
	assert_true(refused > 50 && done > 50);
}

/* Three columns in a chain, 0 - 1 - 2, of two codes each; refused exactly where something was lost. */
static void
linear_pass_tells_loss_from_impossible(void **state)
{
	static const uint32_t sizes[] = {2, 2, 2}, left[] = {0, 1}, right[] = {1, 2};
	static const mg_column_set sets[] = {{2, left, 0}, {2, right, 0}};
	static const struct
	{
		double first[4], second[4];
		bool fine;
	} cases[] = {
		{{1, 1, 1, 1}, {1, 1, 1, 1}, true},
		/* code 1 of column 1 is impossible: in both, in one */
		{{1, 0, 1, 0}, {1, 1, 0, 0}, true},
		{{1, 0, 1, 0}, {1, 1, 1, 1}, true},
		/* large times nothing, and so small that it is lost although what it meets is large */
		{{1, 1e200, 1, 1e200}, {1, 1, 0, 0}, true},
		{{1, 1e200, 1, 1e200}, {1, 1, 1e-260, 0}, false},
		{{0, 1e-200, 0, 1e-200}, {1, 1, 1e-100, 0}, false},
		/* as small, but the message's scale takes care of it */
		{{1e-200, 1, 1e-200, 1}, {1e-200, 1e-200, 0, 0}, true},
		/* both sums are safe, but not beside each other */
		{{1, 0, 1, 0}, {1e-200, 1e-200, 1e200, 1e200}, false},
		/* beyond the range */
		{{1e300, 1e300, 1e300, 1e300}, {1, 1, 1, 1}, false},
		{{INFINITY, 1, 1, 1}, {1, 1, 1, 1}, false},
		{{NAN, 1, 1, 1}, {1, 1, 1, 1}, false},
		{{5e-324, 0, 0, 0}, {1, 1, 1, 1}, false},
		{{0, 0, 0, 0}, {1, 1, 1, 1}, true},
	};
	world *w = *state;
	mg_junction j;

	/* the first is the root */
	assert_int_equal(mg_junction_build(&w->ctx, w->a, sizes, 3, sets, 2, &j), MG_OK);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
	{
		mg_messages m;
		mg_factor *f;
		double log_z;

		assert_int_equal(mg_junction_factors(&w->ctx, w->a, &j, &f), MG_OK);
		assert_int_equal(mg_messages_make(&w->ctx, w->a, &j, &m), MG_OK);
		memcpy(f[0].v, cases[i].first, sizeof(cases[i].first));
		memcpy(f[1].v, cases[i].second, sizeof(cases[i].second));
		assert_true(mg_junction_calibrate_linear(&j, &m, 1, f, &log_z) == cases[i].fine);
	}
}

/* ---- marginals ---- */

/* All sets of up to four columns. */
static uint32_t
all_sets(world *w, uint32_t n, mg_column_set *sets)
{
	uint32_t count = 0;

	for (uint32_t bits = 1; bits < (uint32_t) 1 << n; bits++)
	{
		uint32_t *cols, k = 0;

		if (__builtin_popcount(bits) > 4)
			continue;
		cols = mg_arena_alloc(w->a, 4, sizeof(*cols));
		for (uint32_t i = 0; i < n; i++)
		{
			if (bits >> i & 1)
				cols[k++] = i;
		}
		sets[count++] = (mg_column_set){k, cols, 0};
	}
	return count;
}

static void
check_marginals(world *w, const mg_junction *j, const mg_factor *f, const double *p, double total)
{
	mg_column_set *sets = mg_arena_alloc(w->a, 1024, sizeof(*sets));
	uint32_t count = all_sets(w, j->ncolumns, sets);
	double **out = mg_arena_alloc(w->a, count, sizeof(*out));
	bool *answered = mg_arena_alloc(w->a, count, sizeof(*answered));

	for (uint32_t i = 0; i < count; i++)
	{
		size_t cells;

		assert_true(mg_factor_count(sets[i].cols, sets[i].k, j->size, &cells));
		out[i] = below(w, 8) == 0 ? NULL : mg_arena_alloc(w->a, cells, sizeof(double));
	}
	assert_int_equal(mg_junction_marginals(&w->ctx, j, f, sets, count, MG_FACTOR_CELLS, (double *const *) out,
										   answered),
					 MG_OK);
	for (uint32_t i = 0; i < count; i++)
	{
		size_t cells;
		double *expect = marginal_of(w, j, p, sets[i].cols, sets[i].k, &cells);

		assert_true(answered[i] == (out[i] != NULL));
		if (out[i] != NULL)
			check_cells(out[i], expect, cells, 1e-11 * total);
	}
}

static void
marginals_are_those_of_the_joint(void **state)
{
	world *w = *state;
	mg_pool *pool = mg_pool_create(2);

	assert_non_null(pool);
	for (uint32_t trial = 0; trial < 80; trial++)
	{
		model x;

		w->ctx.pool = trial % 2 == 0 ? NULL : pool;
		random_model(w, 1500, 6, trial % 3 == 0 ? 0.4 : 0, &x);
		(void) mg_junction_calibrate(&x.j, &x.m, x.total, x.log);
		check_marginals(w, &x.j, x.log, x.p, x.total);
		mg_arena_reset(w->a);
	}
	w->ctx.pool = NULL;
	mg_pool_destroy(pool);
}

/* Tables wide enough for every path of the products: a chain 0 - 1 - 2 - 3 of pairs and one of triangles. */
static void
marginals_of_wide_tables_are_right(void **state)
{
	static const uint32_t thin[][2] = {{0, 1}, {1, 2}, {2, 3}}, thick[][3] = {{0, 1, 2}, {1, 2, 3}};
	world *w = *state;

	for (uint32_t trial = 0; trial < 8; trial++)
	{
		uint32_t *sizes = random_sizes(w, 4, 9, 17);
		mg_column_set sets[3];
		model x = {.total = 1000};

		for (uint32_t i = 0; i < 3; i++)
			sets[i] = trial % 2 == 0 ? (mg_column_set){2, thin[i], 0} : (mg_column_set){3, thick[i % 2], 0};
		triangulated(w, sizes, 4, sets, 3, 0, &x.j);
		assert_int_equal(mg_junction_factors(&w->ctx, w->a, &x.j, &x.log), MG_OK);
		assert_int_equal(mg_messages_make(&w->ctx, w->a, &x.j, &x.m), MG_OK);
		random_potentials(w, &x.j, 3, trial % 4 < 2 ? 0 : 0.5, x.log);
		x.p = joint_of(w, &x.j, x.log, x.total, &x.log_z);
		(void) mg_junction_calibrate(&x.j, &x.m, x.total, x.log);
		check_marginals(w, &x.j, x.log, x.p, x.total);
		mg_arena_reset(w->a);
	}
}

/* Work is cut in the same pieces whoever does them. */
static void
threads_do_not_change_a_bit(void **state)
{
	world *w = *state;
	mg_pool *pool = mg_pool_create(3);

	assert_non_null(pool);
	for (uint32_t trial = 0; trial < 10; trial++)
	{
		model x;
		mg_column_set *sets = mg_arena_alloc(w->a, 1024, sizeof(*sets));
		double *out[2][1024];
		bool answered[1024];
		uint32_t count;

		random_model(w, 1500, 6, 0, &x);
		(void) mg_junction_calibrate(&x.j, &x.m, x.total, x.log);
		count = all_sets(w, x.j.ncolumns, sets);
		for (uint32_t way = 0; way < 2; way++)
		{
			for (uint32_t i = 0; i < count; i++)
				out[way][i] = mg_arena_alloc(w->a, 1500, sizeof(double));
			w->ctx.pool = way == 0 ? NULL : pool;
			assert_int_equal(mg_junction_marginals(&w->ctx, &x.j, x.log, sets, count, MG_FACTOR_CELLS,
												   (double *const *) out[way], answered),
							 MG_OK);
		}
		for (uint32_t i = 0; i < count; i++)
			assert_memory_equal(out[0][i], out[1][i], 1500 * sizeof(double));
		w->ctx.pool = NULL;
		mg_arena_reset(w->a);
	}
	mg_pool_destroy(pool);
}

/* A separator of millions of cells: everything is alike, which is calibrated as it is. */
static void
marginals_across_a_large_separator_are_right(void **state)
{
	static const uint32_t sizes[] = {2, 130, 130, 130, 2}, left[] = {0, 1, 2, 3}, right[] = {1, 2, 3, 4},
						  ends[] = {0, 4};
	static const mg_column_set cliques[] = {{4, left, 0}, {4, right, 0}}, set = {2, ends, 0};
	world *w = *state;
	mg_junction j;
	mg_factor *f;
	double pair[4], *out = pair;
	bool answered;

	triangulated(w, sizes, 5, cliques, 2, 0, &j);
	assert_int_equal(mg_junction_factors(&w->ctx, w->a, &j, &f), MG_OK);
	for (uint32_t c = 0; c < 2; c++)
		for (size_t i = 0; i < f[c].cells; i++)
			f[c].v[i] = 1.0 / (double) f[c].cells;
	assert_int_equal(mg_junction_marginals(&w->ctx, &j, f, &set, 1, MG_FACTOR_CELLS, &out, &answered), MG_OK);
	assert_true(answered);
	for (uint32_t i = 0; i < 4; i++)
		assert_near(pair[i], 0.25, 1e-9);
}

/* 0 - 1 - 2: the pair of the ends needs P(0, 1), and is a table itself; so it is for a larger set. */
static void
tables_that_carry_count_as_well(void **state)
{
	static const uint32_t wide[] = {10, 40, 10, 10}, ends[] = {40, 10, 40, 10};
	static const uint32_t links[][2] = {{0, 1}, {1, 2}, {2, 3}}, far[] = {0, 2}, three[] = {0, 2, 3};
	static const mg_column_set chain[] = {{2, links[0], 0}, {2, links[1], 0}, {2, links[2], 0}};
	static const mg_column_set asked[] = {{2, far, 0}, {3, three, 0}};
	static const struct
	{
		const uint32_t *sizes;
		size_t most;
		bool pair, set;
	} cases[] = {
		{wide, 400, true, false},  {wide, 399, false, false},  {wide, 1000, true, true},
		{ends, 1600, true, false}, {ends, 1599, false, false}, {ends, 16000, true, true},
	};
	world *w = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
	{
		mg_junction j;
		mg_factor *f;
		double *out[2] = {mg_arena_alloc(w->a, 16000, sizeof(double)), mg_arena_alloc(w->a, 16000, sizeof(double))};
		bool answered[2];

		triangulated(w, cases[i].sizes, 4, chain, 3, 0, &j);
		assert_int_equal(mg_junction_factors(&w->ctx, w->a, &j, &f), MG_OK);
		assert_int_equal(mg_junction_marginals(&w->ctx, &j, f, asked, 2, cases[i].most, (double *const *) out,
											   answered),
						 MG_OK);
		assert_true(answered[0] == cases[i].pair && answered[1] == cases[i].set);
	}
}

/* A chain 0 - 1 - 2 - 3 of ten codes each: what a bound on tables allows is a matter of sizes alone. */
static void
tables_beyond_the_bound_are_not_made(void **state)
{
	static const uint32_t sizes[] = {10, 10, 10, 10};
	static const uint32_t links[][2] = {{0, 1}, {1, 2}, {2, 3}}, near[] = {0, 2}, far[] = {0, 3}, three[] = {0, 1, 3};
	static const uint32_t spread[] = {0, 1, 2, 3};
	static const mg_column_set chain[] = {{2, links[0], 0}, {2, links[1], 0}, {2, links[2], 0}};
	static const mg_column_set asked[] = {{2, links[1], 0}, {2, near, 0}, {2, far, 0}, {3, three, 0}, {4, spread, 0}};
	static const struct
	{
		size_t most;
		bool answered[5];
	} cases[] = {
		{10000, {true, true, true, true, true}}, {9999, {true, true, true, true, false}},
		{1000, {true, true, true, true, false}}, {999, {true, true, true, false, false}},
		{100, {true, true, true, false, false}}, {99, {true, false, false, false, false}},
		{1, {true, false, false, false, false}},
	};
	world *w = *state;
	mg_junction j;
	mg_messages m;
	mg_factor *f;
	double *out[5];
	bool answered[5];

	triangulated(w, sizes, 4, chain, 3, 0, &j);
	assert_int_equal(mg_junction_factors(&w->ctx, w->a, &j, &f), MG_OK);
	assert_int_equal(mg_messages_make(&w->ctx, w->a, &j, &m), MG_OK);
	random_potentials(w, &j, 3, 0, f);
	(void) mg_junction_calibrate(&j, &m, 1, f);
	for (uint32_t i = 0; i < 5; i++)
		out[i] = mg_arena_alloc(w->a, 10000, sizeof(double));
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
	{
		assert_int_equal(mg_junction_marginals(&w->ctx, &j, f, asked, 5, cases[i].most, (double *const *) out,
											   answered),
						 MG_OK);
		for (uint32_t s = 0; s < 5; s++)
			assert_true(answered[s] == cases[i].answered[s]);
	}
}

/* More columns than a word has bits, a star and a chain, sets given twice: against the product of the links. */
static void
marginals_of_many_columns_are_right(void **state)
{
	world *w = *state;
	uint32_t n = 90, *sizes = random_sizes(w, n, 2, 3), count = 0;
	mg_column_set *links = mg_arena_alloc(w->a, n, sizeof(*links)), pair[2];
	mg_junction j;
	mg_messages m;
	mg_factor *f;
	bool answered[2];

	for (uint32_t v = 1; v < n; v++)
	{
		uint32_t *cols = mg_arena_alloc(w->a, 2, sizeof(*cols));

		cols[0] = v < 40 ? 0 : v - 1;
		cols[1] = v;
		links[count++] = (mg_column_set){2, cols, 0};
	}
	triangulated(w, sizes, n, links, count, 0, &j);
	assert_int_equal(mg_junction_factors(&w->ctx, w->a, &j, &f), MG_OK);
	assert_int_equal(mg_messages_make(&w->ctx, w->a, &j, &m), MG_OK);
	random_potentials(w, &j, 5, 0, f);
	(void) mg_junction_calibrate(&j, &m, 1, f);
	for (uint32_t v = 2; v < n; v++)
	{
		/* P(0, v) = sum over the link's other column of P(0, that) P(v | that) */
		uint32_t before = v < 40 ? 0 : v - 1, near[] = {0, before}, far[] = {0, v}, along[] = {before, v};
		double p[9], q[2][9], step[9], expect[9] = {0};
		double *out[2] = {q[0], q[1]}, *first[2] = {p, step};

		if (before == 0)
			continue;
		pair[0] = (mg_column_set){2, near, 0};
		pair[1] = (mg_column_set){2, along, 0};
		assert_int_equal(mg_junction_marginals(&w->ctx, &j, f, pair, 2, MG_FACTOR_CELLS, (double *const *) first,
											   answered),
						 MG_OK);
		pair[0] = pair[1] = (mg_column_set){2, far, 0};
		assert_int_equal(mg_junction_marginals(&w->ctx, &j, f, pair, 2, MG_FACTOR_CELLS, (double *const *) out,
											   answered),
						 MG_OK);
		assert_true(answered[0] && answered[1]);
		for (uint32_t b = 0; b < sizes[before]; b++)
		{
			double sum = 0;

			for (uint32_t y = 0; y < sizes[v]; y++)
				sum += step[b * sizes[v] + y];
			for (uint32_t x = 0; x < sizes[0]; x++)
				for (uint32_t y = 0; y < sizes[v]; y++)
					expect[x * sizes[v] + y] += p[x * sizes[before] + b] * step[b * sizes[v] + y] / sum;
		}
		check_cells(q[0], expect, (size_t) sizes[0] * sizes[v], 1e-12);
		check_cells(q[1], expect, (size_t) sizes[0] * sizes[v], 1e-12);
	}
}

static bool
at_once(void *arg)
{
	return true;
}

static void
marginals_stop_when_told(void **state)
{
	static const uint32_t cols[] = {0};
	world *w = *state;
	const mg_column_set set = {1, cols, 0};
	model x;
	double *out;
	bool answered;

	random_model(w, 100, 1, 0, &x);
	out = mg_arena_alloc(w->a, x.j.size[0], sizeof(*out));
	w->ctx.cancel = at_once;
	assert_int_equal(mg_junction_marginals(&w->ctx, &x.j, x.log, &set, 1, MG_FACTOR_CELLS, &out, &answered),
					 MG_CANCELLED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(factor_loops_follow_their_definition, set_up, free_world),
		cmocka_unit_test_setup_teardown(both_calibrations_are_the_joint, set_up, free_world),
		cmocka_unit_test_setup_teardown(extreme_potentials_are_right_or_refused, set_up, free_world),
		cmocka_unit_test_setup_teardown(linear_pass_tells_loss_from_impossible, set_up, free_world),
		cmocka_unit_test_setup_teardown(marginals_are_those_of_the_joint, set_up, free_world),
		cmocka_unit_test_setup_teardown(marginals_of_wide_tables_are_right, set_up, free_world),
		cmocka_unit_test_setup_teardown(threads_do_not_change_a_bit, set_up, free_world),
		cmocka_unit_test_setup_teardown(marginals_across_a_large_separator_are_right, set_up, free_world),
		cmocka_unit_test_setup_teardown(tables_that_carry_count_as_well, set_up, free_world),
		cmocka_unit_test_setup_teardown(tables_beyond_the_bound_are_not_made, set_up, free_world),
		cmocka_unit_test_setup_teardown(marginals_of_many_columns_are_right, set_up, free_world),
		cmocka_unit_test_setup_teardown(marginals_stop_when_told, set_up, free_world),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
