/*
 * test/unit/test_inference.c: triangulation, calibration and marginals across cliques, each against brute force: all
 * orders of small graphs, all cells of the joint table.
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
#include "graphical/junction.h"
#include "graphical/marginals.h"
#include "graphical/triangulate.h"
#include "world.h"

#define MOST 16

typedef struct world
{
	WORLD;
} world;

static int
set_up(void **state)
{
	return make_world(state, sizeof(world), 20260109) == NULL;
}

/* k of n columns, ascending. */
static uint32_t *
random_columns(world *w, uint32_t n, uint32_t k)
{
	uint32_t *cols = mg_arena_alloc(w->a, k + 1, sizeof(*cols)), got = 0;

	for (uint32_t i = 0; i < n && got < k; i++)
	{
		if (below(w, n - i) < k - got)
			cols[got++] = i;
	}
	return cols;
}

static mg_column_set *
random_sets(world *w, uint32_t n, uint32_t count, uint32_t most)
{
	mg_column_set *sets = mg_arena_alloc(w->a, count + 2, sizeof(*sets));

	for (uint32_t i = 0; i < count; i++)
	{
		sets[i].k = 1 + below(w, most);
		sets[i].k = sets[i].k > n ? n : sets[i].k;
		sets[i].cols = random_columns(w, n, sets[i].k);
	}
	return sets;
}

static uint32_t *
random_sizes(world *w, uint32_t n, uint32_t least, uint32_t most)
{
	uint32_t *sizes = mg_arena_alloc(w->a, n, sizeof(*sizes));

	for (uint32_t i = 0; i < n; i++)
		sizes[i] = least + below(w, most - least + 1);
	return sizes;
}

/* ---- the oracle of triangulation: cells of one order of up to 64 columns, from the definition ---- */

static double
order_cells(const uint32_t *sizes, uint32_t n, const mg_column_set *sets, uint32_t nsets, const uint32_t *order)
{
	uint64_t adj[64] = {0}, clique[64], gone = 0;
	double total = 0;

	for (uint32_t i = 0; i < nsets; i++)
		for (uint32_t x = 0; x < sets[i].k; x++)
			for (uint32_t y = 0; y < sets[i].k; y++)
				adj[sets[i].cols[x]] |= (uint64_t) (x != y) << sets[i].cols[y];
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t v = order[i];

		clique[i] = (adj[v] & ~gone) | (uint64_t) 1 << v;
		for (uint32_t u = 0; u < n; u++)
		{
			if (u != v && clique[i] >> u & 1)
				adj[u] |= clique[i] & ~((uint64_t) 1 << u);
		}
		gone |= (uint64_t) 1 << v;
	}
	for (uint32_t i = 0; i < n; i++)
	{
		double cells = 1;
		bool within = false;

		for (uint32_t j = 0; j < n; j++)
			within = within || (j != i && (clique[i] & ~clique[j]) == 0 && (clique[i] != clique[j] || j < i));
		for (uint32_t u = 0; u < n; u++)
			cells *= clique[i] >> u & 1 ? sizes[u] : 1;
		total += within ? 0 : cells;
	}
	return total;
}

static double
naive_cells(const uint32_t *sizes, uint32_t n, const mg_column_set *sets, uint32_t nsets)
{
	uint32_t order[64];

	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	return order_cells(sizes, n, sets, nsets, order);
}

/* The best of all orders (Heap's algorithm). */
static double
best_cells(const uint32_t *sizes, uint32_t n, const mg_column_set *sets, uint32_t nsets)
{
	uint32_t order[10], c[10] = {0}, i = 0;
	double best;

	for (uint32_t v = 0; v < n; v++)
		order[v] = v;
	best = order_cells(sizes, n, sets, nsets, order);
	while (i < n)
	{
		uint32_t from = i % 2 == 0 ? 0 : c[i], keep;
		double cells;

		if (c[i] >= i)
		{
			c[i++] = 0;
			continue;
		}
		keep = order[from];
		order[from] = order[i];
		order[i] = keep;
		cells = order_cells(sizes, n, sets, nsets, order);
		best = cells < best ? cells : best;
		c[i]++;
		i = 0;
	}
	return best;
}

/* ---- triangulation ---- */

static void
triangulated(world *w, const uint32_t *sizes, uint32_t n, const mg_column_set *sets, uint32_t nsets, uint32_t restarts,
			 mg_junction *j)
{
	assert_int_equal(mg_triangulate(&w->ctx, w->a, sizes, n, sets, nsets, restarts, j), MG_OK);
}

/* Every set in a clique, every column in one, none within another, running intersection. */
static void
check_tree(const mg_junction *j, uint32_t n, const mg_column_set *sets, uint32_t nsets)
{
	size_t cells = 0;

	for (uint32_t i = 0; i < nsets; i++)
		assert_true(mg_junction_find(j, sets[i].cols, sets[i].k) < j->count);
	for (uint32_t v = 0; v < n; v++)
		assert_true(mg_junction_find(j, &v, 1) < j->count);
	for (uint32_t c = 0; c < j->count; c++)
	{
		const mg_clique *x = &j->clique[c];

		cells += x->cells;
		for (uint32_t d = 0; d < j->count; d++)
		{
			const mg_clique *y = &j->clique[d];

			if (c == d)
				continue;
			assert_false(mg_columns_within(x->cols, x->k, y->cols, y->k));
			for (uint32_t i = 0; i < x->k; i++)
			{
				bool before = d < c && mg_columns_within(&x->cols[i], 1, y->cols, y->k);

				assert_true(!before || mg_columns_within(&x->cols[i], 1, x->sep, x->nsep));
			}
		}
		assert_true(c == 0 || mg_columns_within(x->sep, x->nsep, j->clique[x->parent].cols, j->clique[x->parent].k));
	}
	assert_true(cells == j->cells);
}

static void
triangulations_are_junction_trees_no_larger_than_plain_elimination(void **state)
{
	world *w = *state;

	for (uint32_t trial = 0; trial < 400; trial++)
	{
		uint32_t n = 1 + below(w, 12), count = below(w, 2 * n), *sizes = random_sizes(w, n, 2, 3);
		mg_column_set *sets = random_sets(w, n, count, 3);
		mg_junction j, more;

		triangulated(w, sizes, n, sets, count, 0, &j);
		check_tree(&j, n, sets, count);
		assert_true((double) j.cells <= naive_cells(sizes, n, sets, count));
		triangulated(w, sizes, n, sets, count, 8, &more);
		check_tree(&more, n, sets, count);
		assert_true(more.cells <= j.cells);
		mg_arena_reset(w->a);
	}
}

/* The order that a rule gives when every score is worked out anew at every step. which: 0 fill, 1 weight, 2 cells. */
static void
greedy_order(const uint32_t *sizes, uint32_t n, const mg_column_set *sets, uint32_t nsets, int which, uint32_t *order)
{
	uint64_t adj[64] = {0}, left = n == 64 ? ~(uint64_t) 0 : ((uint64_t) 1 << n) - 1;

	for (uint32_t i = 0; i < nsets; i++)
		for (uint32_t x = 0; x < sets[i].k; x++)
			for (uint32_t y = 0; y < sets[i].k; y++)
				adj[sets[i].cols[x]] |= (uint64_t) (x != y) << sets[i].cols[y];
	for (uint32_t step = 0; step < n; step++)
	{
		uint32_t best = n;
		double least[2] = {0, 0};

		for (uint32_t v = 0; v < n; v++)
		{
			double fill = 0, weight = 0, cells = sizes[v], score[2];

			if (!(left >> v & 1))
				continue;
			for (uint32_t x = 0; x < n; x++)
			{
				cells *= adj[v] & left & (uint64_t) 1 << x ? sizes[x] : 1;
				for (uint32_t y = 0; y < x; y++)
				{
					if ((adj[v] & left) >> x & (adj[v] & left) >> y & ~(adj[x] >> y) & 1)
					{
						fill++;
						weight += (double) sizes[x] * sizes[y];
					}
				}
			}
			score[0] = fill == 0 ? -1 : which == 0 ? fill : which == 1 ? weight : cells;
			score[1] = fill == 0 ? -1 : which == 2 ? fill : cells;
			if (best == n || score[0] < least[0] || (score[0] == least[0] && score[1] < least[1]))
			{
				best = v;
				memcpy(least, score, sizeof(score));
			}
		}
		for (uint32_t u = 0; u < n; u++)
		{
			if (adj[best] & left & (uint64_t) 1 << u)
				adj[u] |= adj[best] & left & ~((uint64_t) 1 << u);
		}
		left &= ~((uint64_t) 1 << best);
		order[step] = best;
	}
}

static void
triangulations_are_no_larger_than_those_of_the_rules(void **state)
{
	world *w = *state;

	for (uint32_t trial = 0; trial < 200; trial++)
	{
		uint32_t n = 10 + below(w, 20), count = n + below(w, n), *sizes = random_sizes(w, n, 2, 4), order[64];
		mg_column_set *sets = random_sets(w, n, count, 2);
		mg_growth *g;

		/* growth of nothing: the greedy triangulation, however large */
		assert_int_equal(mg_growth_create(&w->ctx, w->a, sizes, n, sets, count, &g), MG_OK);
		for (int which = 0; which < 3; which++)
		{
			greedy_order(sizes, n, sets, count, which, order);
			assert_true(mg_growth_cells(g, NULL, 0) <= order_cells(sizes, n, sets, count, order));
		}
		mg_arena_reset(w->a);
	}
}

static void
chordal_graphs_gain_no_edge(void **state)
{
	/* cliques of a junction tree, given as sets, come back as they are */
	world *w = *state;

	for (uint32_t trial = 0; trial < 100; trial++)
	{
		uint32_t n = 2 + below(w, 11), count = 1 + below(w, 2 * n), *sizes = random_sizes(w, n, 1, 3);
		mg_column_set *sets = random_sets(w, n, count, 3);
		mg_junction j, again;

		triangulated(w, sizes, n, sets, count, 0, &j);
		sets = mg_arena_alloc(w->a, j.count, sizeof(*sets));
		for (uint32_t c = 0; c < j.count; c++)
			sets[c] = (mg_column_set){j.clique[c].k, j.clique[c].cols, 0};
		triangulated(w, sizes, n, sets, j.count, 0, &again);
		assert_int_equal(again.count, j.count);
		for (uint32_t c = 0; c < j.count; c++)
		{
			uint32_t d = mg_junction_find(&again, j.clique[c].cols, j.clique[c].k);

			assert_true(d < again.count && again.clique[d].k == j.clique[c].k);
		}
		mg_arena_reset(w->a);
	}
}

static void
known_graphs_are_triangulated_best(void **state)
{
	static const uint32_t edge[][2] = {{0, 1}, {1, 2}, {2, 3}, {0, 3}, {3, 4}, {0, 4}, {4, 5},
									   {3, 6}, {4, 7}, {5, 8}, {6, 7}, {7, 8}, {1, 4}, {2, 5}};
	static const uint8_t cycle4[] = {0, 1, 2, 3}, cycle5[] = {0, 1, 2, 4, 5};
	static const uint8_t grid[] = {0, 1, 12, 13, 4, 6, 7, 8, 9, 10, 11, 3};
	world *w = *state;
	mg_column_set sets[16];
	mg_junction j;
	uint32_t plain[9] = {3, 3, 3, 3, 3, 3, 3, 3, 3};

	for (uint32_t i = 0; i < 4; i++)
		sets[i] = (mg_column_set){2, edge[cycle4[i]], 0};
	triangulated(w, plain, 4, sets, 4, 0, &j);
	assert_int_equal(j.cells, 2 * 27);
	for (uint32_t trial = 0; trial < 50; trial++)
	{
		uint32_t *sizes = random_sizes(w, 9, 2, 9);

		for (uint32_t i = 0; i < 4; i++)
			sets[i] = (mg_column_set){2, edge[cycle4[i]], 0};
		triangulated(w, sizes, 4, sets, 4, 0, &j);
		assert_true((double) j.cells == best_cells(sizes, 4, sets, 4));
		for (uint32_t i = 0; i < 5; i++)
			sets[i] = (mg_column_set){2, edge[cycle5[i]], 0};
		triangulated(w, sizes, 5, sets, 5, 40, &j);
		assert_true((double) j.cells == best_cells(sizes, 5, sets, 5));
	}
	/* rows 0 1 2, 3 4 5, 6 7 8; 0-3 is an edge */
	for (uint32_t i = 0; i < 12; i++)
		sets[i] = (mg_column_set){2, edge[grid[i]], 0};
	triangulated(w, plain, 9, sets, 12, 0, &j);
	assert_true((double) j.cells == best_cells(plain, 9, sets, 12));
}

static void
restarts_come_close_to_the_best_order(void **state)
{
	world *w = *state;
	double ratio = 0, worst = 0;

	for (uint32_t trial = 0; trial < 60; trial++)
	{
		uint32_t n = 7, count = 6 + below(w, 8), *sizes = random_sizes(w, n, 2, 12);
		mg_column_set *sets = random_sets(w, n, count, 2);
		mg_junction j;
		double best = best_cells(sizes, n, sets, count);

		triangulated(w, sizes, n, sets, count, 12, &j);
		assert_true((double) j.cells >= best);
		ratio += (double) j.cells / best / 60;
		worst = (double) j.cells / best > worst ? (double) j.cells / best : worst;
		mg_arena_reset(w->a);
	}
	assert_true(ratio < 1.005 && worst < 1.1);
}

static void
growth_is_what_triangulation_gives(void **state)
{
	world *w = *state;
	uint32_t held = 0, shared = 0;

	for (uint32_t trial = 0; trial < 600; trial++)
	{
		/* every fourth beyond one word of bits, sparse enough for finite tables */
		bool wide = trial % 4 == 3;
		uint32_t n = wide ? 66 + below(w, 10) : 2 + below(w, 14), count = wide ? n - 20 : below(w, 2 * n);
		uint32_t *sizes = random_sizes(w, n, 1, 3);
		mg_column_set *sets = random_sets(w, n, count, wide ? 2 : 3);
		mg_growth *g;
		mg_junction base;

		triangulated(w, sizes, n, sets, count, 0, &base);
		assert_int_equal(mg_growth_create(&w->ctx, w->a, sizes, n, sets, count, &g), MG_OK);
		assert_true(mg_growth_cells(g, NULL, 0) == (double) base.cells);
		for (uint32_t i = 0; i < 12; i++)
		{
			mg_junction j;
			uint32_t k = 1 + below(w, n < 4 ? n : 4);
			const uint32_t *extra = random_columns(w, n, k);
			double cells = mg_growth_cells(g, extra, k);

			sets[count] = (mg_column_set){k, extra, 0};
			triangulated(w, sizes, n, sets, count + 1, 0, &j);
			if (mg_junction_find(&base, extra, k) < base.count)
			{
				held++;
				assert_true(cells == (double) base.cells);
			}
			else
			{
				shared++;
				assert_true(cells == (double) j.cells);
			}
		}
		mg_arena_reset(w->a);
	}
	assert_true(held > 500 && shared > 500);
}

static void
growth_may_be_astronomical(void **state)
{
	world *w = *state;
	uint32_t n = 30, *sizes = random_sizes(w, n, 60000, 65535), *cols = random_columns(w, n, n);
	mg_growth *g;
	mg_junction j;
	mg_column_set all = {20, cols, 0};
	double cells;

	assert_int_equal(mg_growth_create(&w->ctx, w->a, sizes, n, NULL, 0, &g), MG_OK);
	cells = mg_growth_cells(g, cols, 20);
	assert_true(cells > pow(60000, 20) && cells < pow(65536, 20));
	assert_int_equal(mg_triangulate(&w->ctx, w->a, sizes, n, &all, 1, 0, &j), MG_INVALID);
}

static void
triangulation_refuses_nonsense(void **state)
{
	static const uint32_t sizes[] = {2, 2, 2}, twice[] = {1, 1}, beyond[] = {0, 3}, fine[] = {0, 1};
	const mg_column_set bad[] = {{2, twice, 0}, {2, beyond, 0}, {0, fine, 0}};
	world *w = *state;
	mg_junction j;
	mg_growth *g;

	for (uint32_t i = 0; i < 3; i++)
	{
		mg_ctx_init(&w->ctx);
		assert_int_equal(mg_triangulate(&w->ctx, w->a, sizes, 3, &bad[i], 1, 0, &j), MG_INVALID);
		mg_ctx_init(&w->ctx);
		assert_int_equal(mg_growth_create(&w->ctx, w->a, sizes, 3, &bad[i], 1, &g), MG_INVALID);
	}
	mg_ctx_init(&w->ctx);
	assert_int_equal(mg_triangulate(&w->ctx, w->a, sizes, 0, NULL, 0, 0, &j), MG_INVALID);
}

/* ---- the oracle of inference: the joint table ---- */

static size_t
joint_cells(const mg_junction *j)
{
	size_t cells = 1;

	for (uint32_t i = 0; i < j->ncolumns; i++)
		cells *= j->size[i];
	return cells;
}

static size_t
cell_of(const mg_junction *j, size_t x, const uint32_t *cols, uint32_t k)
{
	uint32_t code[MOST];
	size_t cell = 0;

	for (uint32_t i = j->ncolumns; i-- > 0; x /= j->size[i])
		code[i] = (uint32_t) (x % j->size[i]);
	for (uint32_t i = 0; i < k; i++)
		cell = cell * j->size[cols[i]] + code[cols[i]];
	return cell;
}

/* The joint of these log-potentials (-inf: impossible), scaled to total; zeros where nothing is possible. */
static double *
joint_of(world *w, const mg_junction *j, const mg_factor *f, double total, double *log_z)
{
	size_t cells = joint_cells(j);
	double *p = mg_arena_alloc(w->a, cells, sizeof(*p)), top = -INFINITY, sum = 0;

	for (uint32_t c = 0; c < j->count; c++)
		for (size_t x = 0; x < cells; x++)
			p[x] += f[c].v[cell_of(j, x, f[c].cols, f[c].k)];
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
		out[cell_of(j, x, cols, k)] += p[x];
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
			assert_true(f.v[i] == before[i] + g.v[cell_of(&all, i, within, k)]);
		memcpy(f.v, before, f.cells * sizeof(double));
		mg_factor_scale(&f, &g);
		for (size_t i = 0; i < f.cells; i++)
		{
			assert_true(f.v[i] == before[i] * g.v[cell_of(&all, i, within, k)]);
			expect[cell_of(&all, i, within, k)] += f.v[i];
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
		cmocka_unit_test_setup_teardown(triangulations_are_junction_trees_no_larger_than_plain_elimination, set_up,
										free_world),
		cmocka_unit_test_setup_teardown(triangulations_are_no_larger_than_those_of_the_rules, set_up, free_world),
		cmocka_unit_test_setup_teardown(chordal_graphs_gain_no_edge, set_up, free_world),
		cmocka_unit_test_setup_teardown(known_graphs_are_triangulated_best, set_up, free_world),
		cmocka_unit_test_setup_teardown(restarts_come_close_to_the_best_order, set_up, free_world),
		cmocka_unit_test_setup_teardown(growth_is_what_triangulation_gives, set_up, free_world),
		cmocka_unit_test_setup_teardown(growth_may_be_astronomical, set_up, free_world),
		cmocka_unit_test_setup_teardown(triangulation_refuses_nonsense, set_up, free_world),
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
