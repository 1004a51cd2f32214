/*
 * test/unit/test_triangulate.c: triangulations against brute force, all orders of small graphs, and against graphs
 * whose best one is known.
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

#include "tree_world.h"

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
