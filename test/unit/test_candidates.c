/*
 * test/unit/test_candidates.c: what may be measured (graphical/candidates.h), against the definition: all subsets
 * listed one by one, weights summed over the workload set by set, and the text form of a workload with every refusal.
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

#include "graphical/candidates.h"
#include "world.h"

#define MOST_COLUMNS 150
#define NO_LIMIT ((size_t) 1 << 40)
#define NAMES "\x1f"
#define SETS "\x1e"
#define WEIGHT "\x1d"

typedef struct world
{
	WORLD;
	mg_column column[MOST_COLUMNS];
	mg_domain domain[MOST_COLUMNS];
	char name[MOST_COLUMNS][8];
	uint32_t d;
} world;

static int
set_up(void **state)
{
	world *w = make_world(state, sizeof(*w), 33);

	if (w == NULL)
		return 1;
	for (uint32_t i = 0; i < MOST_COLUMNS; i++)
	{
		snprintf(w->name[i], sizeof(w->name[i]), "c%u", i);
		w->domain[i] = (mg_domain){.name = w->name[i], .kind = MG_CATEGORY};
		w->column[i].domain = w->domain[i];
		w->column[i].ncoarse = 2;
	}
	return 0;
}

static void
random_sizes(world *w, uint32_t d)
{
	w->d = d;
	for (uint32_t i = 0; i < d; i++)
		w->column[i].ncoarse = 1 + below(w, 9);
}

static mg_candidates
list(world *w, uint32_t degree, const char *workload, size_t most, size_t all)
{
	mg_candidates out;

	mg_ctx_init(&w->ctx);
	assert_int_equal(mg_candidates_list(&w->ctx, w->a, w->column, w->d, degree, workload, most, all, &out), MG_OK);
	return out;
}

/* ---- the definition, with sets as bits ---- */

static uint32_t
bits_of(const mg_marginal_of *set)
{
	uint32_t bits = 0;

	for (uint32_t i = 0; i < set->k; i++)
	{
		assert_true(i == 0 || set->cols[i] > set->cols[i - 1]);
		bits |= 1u << set->cols[i];
	}
	return bits;
}

static size_t
cells_of(const world *w, uint32_t bits)
{
	size_t cells = 1;

	for (uint32_t i = 0; i < w->d; i++)
		cells *= bits & 1u << i ? w->column[i].ncoarse : 1;
	return cells;
}

typedef struct goal
{
	uint32_t bits[64];
	double weight[64];
	uint32_t count;
} goal;

static double
bears_on(const goal *g, uint32_t bits)
{
	double sum = 0;

	for (uint32_t i = 0; i < g->count; i++)
		sum += g->weight[i] * __builtin_popcount(bits & g->bits[i]);
	return sum;
}

/* Everything that is within a set of the workload, once, in order, with its weight; and nothing else. */
static void
check_closure(const world *w, const goal *g, const mg_candidates *got)
{
	bool within[1 << 10] = {false};
	double top = 0;
	uint32_t n = 0;
	size_t all = 0, most = 0;

	for (uint32_t bits = 0; bits < 1u << w->d; bits++)
		for (uint32_t i = 0; i < g->count && __builtin_popcount(bits) >= 2; i++)
			within[bits] = within[bits] || (bits & g->bits[i]) == bits;
	for (uint32_t bits = 0; bits < 1u << w->d; bits++)
	{
		n += within[bits];
		top = within[bits] ? fmax(top, bears_on(g, bits)) : top;
	}
	assert_int_equal(got->count, n);
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t bits = bits_of(&got->set[i]);

		assert_true(within[bits]);
		within[bits] = false;
		assert_true(got->cells[i] == cells_of(w, bits));
		assert_true(fabs(got->weight[i] - bears_on(g, bits) / top * MG_MAX_WEIGHT) <= 1);
		assert_true(got->weight[i] >= 1 && got->weight[i] <= MG_MAX_WEIGHT);
		if (i > 0 && (got->set[i].k == 2) == (got->set[i - 1].k == 2))
			assert_true(got->cells[i] >= got->cells[i - 1]);
		else
			assert_true(i == 0 || got->set[i - 1].k == 2);
		all += got->cells[i];
		most = got->cells[i] > most ? got->cells[i] : most;
	}
	assert_true(got->all_cells == all && got->most_cells == most);
}

static void
all_sets_of_a_degree_are_listed_with_their_weights(void **state)
{
	world *w = *state;

	for (uint32_t d = 1; d <= 7; d++)
		for (uint32_t degree = 2; degree <= 3; degree++)
		{
			goal g = {.count = 0};
			mg_candidates got;

			random_sizes(w, d);
			/* fewer columns than the degree: they are the workload */
			for (uint32_t bits = 0; bits < 1u << d; bits++)
				if ((uint32_t) __builtin_popcount(bits) == (degree < d ? degree : d) && d > 1)
				{
					g.weight[g.count] = 1;
					g.bits[g.count++] = bits;
				}
			got = list(w, degree, NULL, NO_LIMIT, NO_LIMIT);
			check_closure(w, &g, &got);
			if (d > 1)
				assert_int_equal(got.weight[got.count - 1], MG_MAX_WEIGHT);
		}
}

/* A random workload, and the same as text. */
static void
random_workload(world *w, goal *g, char *text)
{
	g->count = 1 + below(w, 6);
	for (uint32_t i = 0; i < g->count; i++)
	{
		uint32_t k = 2 + below(w, w->d < 5 ? w->d - 1 : 4), first = below(w, w->d);

		g->bits[i] = 0;
		g->weight[i] = below(w, 2) ? 1 : 0.25 * (1 + below(w, 12));
		text += sprintf(text, "%s", i > 0 ? SETS : "");
		for (uint32_t n = 0; n < k; n++)
		{
			uint32_t col = (first + n * 3) % w->d; /* in no order, and perhaps the same again */

			g->bits[i] |= 1u << col;
			text += sprintf(text, "%sc%u", n > 0 ? NAMES : "", col);
		}
		if (__builtin_popcount(g->bits[i]) < 2)
		{
			uint32_t col = (first + 1) % w->d;

			g->bits[i] |= 1u << col;
			text += sprintf(text, NAMES "c%u", col);
		}
		if (g->weight[i] != 1)
			text += sprintf(text, WEIGHT "%g", g->weight[i]);
	}
}

static void
a_workload_is_closed_downwards_with_its_weights(void **state)
{
	world *w = *state;

	for (uint32_t round = 0; round < 200; round++)
	{
		char text[512] = "";
		goal g;
		mg_candidates got;

		random_sizes(w, 3 + below(w, 6));
		random_workload(w, &g, text);
		got = list(w, 3, text, NO_LIMIT, NO_LIMIT);
		check_closure(w, &g, &got);
		assert_int_equal(mg_workload_check(&w->ctx, w->domain, w->d, text), MG_OK);
	}
}

static void
limits_take_the_smallest_and_pairs_first(void **state)
{
	world *w = *state;

	for (uint32_t round = 0; round < 50; round++)
	{
		mg_candidates all, some;
		size_t most = 1 + below(w, 100), room;
		uint32_t n = 0;

		random_sizes(w, 7);
		all = list(w, 3, NULL, NO_LIMIT, NO_LIMIT);
		some = list(w, 3, NULL, most, NO_LIMIT);
		for (uint32_t i = 0; i < all.count; i++)
		{
			if (all.cells[i] > most)
				continue;
			assert_true(n < some.count);
			assert_int_equal(bits_of(&some.set[n++]), bits_of(&all.set[i]));
		}
		assert_int_equal(n, some.count);
		assert_true(some.most_cells <= most);
		room = 1 + below(w, (uint32_t) all.all_cells);
		some = list(w, 3, NULL, NO_LIMIT, room);
		assert_true(some.all_cells <= room);
		assert_true(some.count < all.count || some.all_cells == all.all_cells);
		for (uint32_t i = 0; i < some.count; i++)
			assert_int_equal(bits_of(&some.set[i]), bits_of(&all.set[i]));
		if (some.count < all.count)
			assert_true(some.all_cells + all.cells[some.count] > room);
	}
}

/* Every candidate is scored in every round: there are not to be too many, but pairs are never given up. */
static void
wide_tables_lose_triples_not_pairs(void **state)
{
	world *w = *state;
	mg_candidates got;

	random_sizes(w, 40);
	got = list(w, 3, NULL, NO_LIMIT, NO_LIMIT);
	assert_int_equal(got.count, 6000);
	for (uint32_t i = 0; i < got.count; i++)
		assert_int_equal(got.set[i].k, i < 40 * 39 / 2 ? 2 : 3);
	random_sizes(w, MOST_COLUMNS);
	got = list(w, 3, NULL, NO_LIMIT, NO_LIMIT);
	assert_int_equal(got.count, MOST_COLUMNS * (MOST_COLUMNS - 1) / 2);
	assert_int_equal(got.set[got.count - 1].k, 2);
}

/* ---- the text ---- */

static void
check_refused(world *w, const char *text, mg_code code, const char *about)
{
	mg_candidates out;

	mg_ctx_init(&w->ctx);
	assert_int_equal(mg_workload_check(&w->ctx, w->domain, w->d, text), code);
	assert_non_null(strstr(w->ctx.message, about));
	mg_ctx_init(&w->ctx);
	assert_int_equal(mg_candidates_list(&w->ctx, w->a, w->column, w->d, 3, text, NO_LIMIT, NO_LIMIT, &out), code);
	assert_non_null(strstr(w->ctx.message, about));
}

static void
texts_that_are_no_workload_are_refused(void **state)
{
	static const char *const weights[] = {"",     "0",   "-1", "-0",      "nan", "inf",   "-inf",        "1e999",
										  "1e9x", "two", "1 ", "1" NAMES, "1,5", "1e300", "1" WEIGHT "1"};
	world *w = *state;
	char text[64], *many;
	size_t at = 0;

	w->d = 8;
	check_refused(w, "", MG_INVALID, "less than two columns");
	check_refused(w, "c1", MG_INVALID, "less than two columns");
	check_refused(w, "c1" NAMES "c1", MG_INVALID, "less than two columns");
	check_refused(w, "c1" NAMES "c2" SETS SETS "c1" NAMES "c2", MG_INVALID, "less than two columns");
	check_refused(w, WEIGHT "2", MG_INVALID, "less than two columns");
	check_refused(w, "c1" NAMES "c8", MG_UNKNOWN, "\"c8\"");
	check_refused(w, "c1" NAMES "c", MG_UNKNOWN, "\"c\"");
	check_refused(w, "c1" NAMES "c22", MG_UNKNOWN, "\"c22\"");
	check_refused(w, "c1" NAMES NAMES "c2", MG_UNKNOWN, "\"\"");
	check_refused(w, "c1 c2", MG_UNKNOWN, "\"c1 c2\"");
	check_refused(w, "c0" NAMES "c1" NAMES "c2" NAMES "c3" NAMES "c4" NAMES "c5" NAMES "c6", MG_INVALID, "more than 6");
	for (size_t i = 0; i < sizeof(weights) / sizeof(*weights); i++)
	{
		snprintf(text, sizeof(text), "c1" NAMES "c2" WEIGHT "%s", weights[i]);
		check_refused(w, text, MG_INVALID, "weight");
	}
	many = malloc(1001 * 8);
	for (uint32_t i = 0; i < 1001; i++)
		at += (size_t) sprintf(many + at, "%sc0" NAMES "c1", i > 0 ? SETS : "");
	check_refused(w, many, MG_INVALID, "more than 1000 sets");
	many[1000 * 6 - 1] = '\0'; /* the last one */
	assert_int_equal(list(w, 3, many, NO_LIMIT, NO_LIMIT).count, 1);
	free(many);
}

/* What counts is the proportion: weights from the very small to the very large give whole numbers that are in range. */
static void
weights_are_proportions(void **state)
{
	static const char *const texts[] = {"c0" NAMES "c1" WEIGHT "1e-9" SETS "c2" NAMES "c3" WEIGHT "1e9",
										"c0" NAMES "c1" WEIGHT "1" SETS "c2" NAMES "c3" WEIGHT "2",
										"c0" NAMES "c1" WEIGHT "500" SETS "c2" NAMES "c3" WEIGHT "1e3"};
	static const uint32_t light[] = {1, MG_MAX_WEIGHT / 2, MG_MAX_WEIGHT / 2};
	world *w = *state;

	w->d = 4;
	for (uint32_t i = 0; i < 3; i++)
	{
		mg_candidates got = list(w, 3, texts[i], NO_LIMIT, NO_LIMIT);

		assert_int_equal(got.count, 2);
		for (uint32_t k = 0; k < 2; k++)
			assert_int_equal(got.weight[k], got.set[k].cols[0] == 0 ? light[i] : MG_MAX_WEIGHT);
	}
}

/* The curator takes ascending columns only: a name that comes again must leave no trace. */
static void
a_column_named_twice_counts_once(void **state)
{
	static const char *const texts[] = {"c2" NAMES "c0" NAMES "c1" NAMES "c0", "c0" NAMES "c0" NAMES "c1" NAMES "c2",
										"c2" NAMES "c1" NAMES "c0" NAMES "c1" NAMES "c2" NAMES "c0" NAMES "c0"};
	world *w = *state;

	w->d = 3;
	for (size_t t = 0; t < sizeof(texts) / sizeof(texts[0]); t++)
	{
		mg_candidates got = list(w, 3, texts[t], NO_LIMIT, NO_LIMIT);

		assert_int_equal(got.count, 4);
		for (uint32_t i = 0; i < got.count; i++)
			for (uint32_t c = 1; c < got.set[i].k; c++)
				assert_true(got.set[i].cols[c - 1] < got.set[i].cols[c]);
	}
}

static bool
cancel_at_once(void *arg)
{
	return true;
}

/* A thousand sets of six are a second's work. */
static void
a_closure_can_be_cancelled(void **state)
{
	world *w = *state;
	mg_candidates got;

	w->ctx.cancel = cancel_at_once;
	assert_int_equal(mg_candidates_list(&w->ctx, w->a, w->column, 3, 3, "c0" NAMES "c1" SETS "c1" NAMES "c2", NO_LIMIT,
										NO_LIMIT, &got),
					 MG_CANCELLED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_sets_of_a_degree_are_listed_with_their_weights, set_up, free_world),
		cmocka_unit_test_setup_teardown(a_workload_is_closed_downwards_with_its_weights, set_up, free_world),
		cmocka_unit_test_setup_teardown(limits_take_the_smallest_and_pairs_first, set_up, free_world),
		cmocka_unit_test_setup_teardown(wide_tables_lose_triples_not_pairs, set_up, free_world),
		cmocka_unit_test_setup_teardown(texts_that_are_no_workload_are_refused, set_up, free_world),
		cmocka_unit_test_setup_teardown(weights_are_proportions, set_up, free_world),
		cmocka_unit_test_setup_teardown(a_column_named_twice_counts_once, set_up, free_world),
		cmocka_unit_test_setup_teardown(a_closure_can_be_cancelled, set_up, free_world),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
