/*
 * test/unit/test_workload_text.c: the marginals of a given workload: closure, weights against a count by hand, what is
 * refused, and that a caller may cancel.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graphical/candidates.h"
#include "world.h"

#define COLUMNS 40
#define N "\x1f"
#define S "\x1e"
#define W "\x1d"

typedef struct world
{
	WORLD;
	mg_column col[COLUMNS];
	char name[COLUMNS][16];
} world;

static int
set_up(void **state)
{
	world *w = make_world(state, sizeof(*w), 0);

	if (w == NULL)
		return 1;
	for (int i = 0; i < COLUMNS; i++)
	{
		snprintf(w->name[i], sizeof(w->name[i]), "c%d", i);
		w->col[i].domain.name = w->name[i];
		w->col[i].ncoarse = 3;
	}
	return 0;
}

static mg_code
list(world *w, const char *workload, mg_candidates *out)
{
	return mg_candidates_list(&w->ctx, w->a, w->col, COLUMNS, 3, workload, 1 << 20, 1 << 24, out);
}

/* The weight of a set; 0: it is no candidate. */
static uint32_t
weight_of(const mg_candidates *c, uint32_t k, const uint32_t *cols)
{
	uint32_t weight = 0;

	for (uint32_t i = 0; i < c->count; i++)
		if (c->set[i].k == k && memcmp(c->set[i].cols, cols, k * sizeof(*cols)) == 0)
		{
			assert_int_equal(weight, 0);
			weight = c->weight[i];
		}
	return weight;
}

/* {0,1,2} with 1 and {1,2,3} with 2: closure of 4 + 4 sets, {1,2} in both. */
static void
test_closure_and_weights(void **state)
{
	world *w = *state;
	mg_candidates c;

	assert_int_equal(list(w, "c2" N "c0" N "c1" N "c0" S "c1" N "c2" N "c3" W "2", &c), MG_OK);
	assert_int_equal(c.count, 7);
	/* sums of c_s |r and s|: {1,2,3}: 2 + 2 * 3 = 8, the largest */
	assert_int_equal(weight_of(&c, 3, (uint32_t[]){1, 2, 3}), MG_MAX_WEIGHT);
	assert_int_equal(weight_of(&c, 3, (uint32_t[]){0, 1, 2}), MG_MAX_WEIGHT * 7 / 8);
	assert_int_equal(weight_of(&c, 2, (uint32_t[]){1, 2}), MG_MAX_WEIGHT * 6 / 8);
	assert_int_equal(weight_of(&c, 2, (uint32_t[]){0, 1}), MG_MAX_WEIGHT * 4 / 8);
	assert_int_equal(weight_of(&c, 2, (uint32_t[]){1, 3}), MG_MAX_WEIGHT * 5 / 8);
	assert_int_equal(weight_of(&c, 2, (uint32_t[]){0, 3}), 0);
}

static void
test_refusals(void **state)
{
	static const struct
	{
		const char *text;
		mg_code code;
	} bad[] = {{"", MG_INVALID},
			   {"c0", MG_INVALID},
			   {"c0" N "c0", MG_INVALID},
			   {"c0" N "c1" S, MG_OK},
			   {"c0" N "c1" S S "c2" N "c3", MG_INVALID},
			   {"c0" N "", MG_INVALID},
			   {"c0" N "c40", MG_UNKNOWN},
			   {"c0" N "C1", MG_UNKNOWN},
			   {"c0" N "c1" W "0", MG_INVALID},
			   {"c0" N "c1" W "-1", MG_INVALID},
			   {"c0" N "c1" W "1e309", MG_INVALID},
			   {"c0" N "c1" W "nan", MG_INVALID},
			   {"c0" N "c1" W "1x", MG_INVALID},
			   {"c0" N "c1" W, MG_INVALID},
			   {"c0" N "c1" N "c2" N "c3" N "c4" N "c5" N "c6", MG_INVALID}};
	world *w = *state;
	mg_candidates c;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		mg_ctx_init(&w->ctx);
		if (list(w, bad[i].text, &c) != bad[i].code)
			fail_msg("workload %zu: %s", i, w->ctx.message);
	}
}

static bool
cancel_at_once(void *arg)
{
	return true;
}

/* A thousand sets of six: 57,000 subsets against a thousand sets each is a second's work. */
static char *
large_workload(void)
{
	char *text = calloc(1, 1000 * 32), *at = text;

	assert_non_null(text);
	for (int i = 0; i < 1000; i++)
		for (int j = 0; j < 6; j++)
			at += sprintf(at, "c%d%s", (i / 7 + j * (1 + i % 6)) % COLUMNS, j < 5 ? N : i < 999 ? S : "");
	return text;
}

static void
test_cancel(void **state)
{
	world *w = *state;
	char *text = large_workload();
	mg_candidates c;

	assert_int_equal(list(w, text, &c), MG_OK);
	w->ctx.cancel = cancel_at_once;
	assert_int_equal(list(w, text, &c), MG_CANCELLED);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_closure_and_weights, set_up, free_world),
		cmocka_unit_test_setup_teardown(test_refusals, set_up, free_world),
		cmocka_unit_test_setup_teardown(test_cancel, set_up, free_world),
	};

	return cmocka_run_group_tests_name("candidates", tests, NULL, NULL);
}
