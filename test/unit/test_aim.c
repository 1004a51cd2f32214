/*
 * test/unit/test_aim.c: the methods that search, aim and swift, from rows to model, through the real curator with
 * seeded noise: what they find, what they charge, how large the model gets, options.
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

#include "search_world.h"

/* ---- looking at models ---- */

static bool
measured(const mg_model *m, const uint32_t *cols, uint32_t k)
{
	const mg_graphical *g = m->body;

	for (uint32_t i = 0; i < g->nmeasured; i++)
		if (g->measured[i].k == k && memcmp(g->measured[i].cols, cols, k * sizeof(*cols)) == 0)
			return true;
	return false;
}

/* Total variation distance between the table and drawn rows in the joint of a few columns (coarse codes). */
static double
drawn_distance(search_world *w, const mg_model *m, const uint32_t *cols, uint32_t k)
{
	enum
	{
		DRAWN = 16000
	};
	uint16_t *codes = search_draw(w, m, DRAWN);
	size_t cells = 1;
	double *diff, sum = 0;

	for (uint32_t i = 0; i < k; i++)
		cells *= m->columns[cols[i]].ncoarse;
	diff = calloc(cells, sizeof(*diff));
	for (uint32_t r = 0; r < w->nrows + DRAWN; r++)
	{
		bool real = r < w->nrows;
		size_t x = 0;

		for (uint32_t i = 0; i < k; i++)
			x = x * m->columns[cols[i]].ncoarse + (real ? m->columns[cols[i]].merge[w->rows[r][cols[i]]]
														: codes[(size_t) cols[i] * DRAWN + r - w->nrows]);
		diff[x] += real ? 1.0 / w->nrows : -1.0 / DRAWN;
	}
	for (size_t x = 0; x < cells; x++)
		sum += fabs(diff[x]) / 2;
	free(diff);
	free(codes);
	return sum;
}

/* ---- what is found ---- */

/* c is a or b exclusively, so that no pair of them says anything; d follows e, most of the time; f is on its own. */
static void
exclusive_rows(search_world *w)
{
	static const uint32_t sizes[] = {2, 2, 2, 4, 4, 3};

	search_columns(w, 6, sizes, 3000);
	search_independent_rows(w);
	for (uint32_t r = 0; r < w->nrows; r++)
	{
		uint32_t *row = w->rows[r];

		row[2] = below(w, 10) > 0 ? row[0] ^ row[1] : row[2];
		row[3] = below(w, 10) > 2 ? (row[4] + 1) % 4 : row[3];
	}
}

static void
aim_finds_pairs_and_triples(void **state)
{
	static const uint32_t abc[] = {0, 1, 2}, de[] = {3, 4};
	search_world *w = *state;
	mg_model *m;

	exclusive_rows(w);
	m = search_fit(w, "aim", 1, 1);
	search_check_model(m);
	assert_true(measured(m, abc, 3));
	assert_true(measured(m, de, 2) || drawn_distance(w, m, de, 2) < 0.02);
	assert_true(drawn_distance(w, m, abc, 3) < 0.03);
	assert_true(drawn_distance(w, m, de, 2) < 0.03);
	mg_model_destroy(m);
	/* pairs alone cannot tell */
	search_option(w, "degree", "2");
	m = search_fit(w, "aim", 1, 1);
	for (uint32_t i = 0; i < ((mg_graphical *) m->body)->nmeasured; i++)
		assert_int_equal(((mg_graphical *) m->body)->measured[i].k, 2);
	assert_true(drawn_distance(w, m, de, 2) < 0.03);
	assert_true(drawn_distance(w, m, abc, 3) > 0.3);
	mg_model_destroy(m);
}

static void
swift_finds_the_strong_pairs_and_few_others(void **state)
{
	search_world *w = *state;
	const mg_graphical *g;
	uint32_t few;
	mg_model *m;

	search_ring_rows(w, 8, 4, 4000);
	m = search_fit(w, "swift", 2, 0.5);
	search_check_model(m);
	g = m->body;
	for (uint32_t i = 0; i + 1 < 8; i++)
	{
		const uint32_t pair[] = {i, i + 1};

		assert_true(measured(m, pair, 2));
		assert_true(drawn_distance(w, m, pair, 2) < 0.05);
	}
	few = g->nmeasured;
	assert_true(few <= 20); /* of 28 */
	mg_model_destroy(m);
	/* with less to spend, fewer are worth their noise */
	for (double rho = 0.02; rho > 1e-4; rho /= 15)
	{
		m = search_fit(w, "swift", 2, rho);
		g = m->body;
		assert_true(g->nmeasured < few);
		few = g->nmeasured;
		mg_model_destroy(m);
	}
}

/* What is explained by a path is not measured again, though its score is large. */
static void
swift_does_not_measure_what_a_path_explains(void **state)
{
	static const uint32_t ac[] = {0, 2}, sizes[] = {3, 3, 3, 3};
	search_world *w = *state;
	mg_model *m;

	search_columns(w, 4, sizes, 4000);
	search_independent_rows(w);
	for (uint32_t r = 0; r < w->nrows; r++)
		for (uint32_t i = 1; i < 3; i++)
			if (below(w, 20) > 0)
				w->rows[r][i] = w->rows[r][i - 1];
	m = search_fit(w, "swift", 3, 0.5);
	assert_true(measured(m, (const uint32_t[]){0, 1}, 2));
	assert_true(measured(m, (const uint32_t[]){1, 2}, 2));
	assert_false(measured(m, ac, 2));
	assert_true(drawn_distance(w, m, ac, 2) < 0.05);
	mg_model_destroy(m);
}

/* Of two pairs alike, the one that the workload weighs more is looked at first; what is not in it, never. */
static void
aim_follows_the_workload(void **state)
{
	static const char text[] = "a\x1f"
							   "b\x1e"
							   "c\x1f"
							   "d\x1d"
							   "20\x1e"
							   "e\x1f"
							   "f";
	search_world *w = *state;

	search_equal_columns(w, 6, 3, 2000);
	search_independent_rows(w);
	for (uint32_t r = 0; r < w->nrows; r++)
		for (uint32_t i = 1; i < 6; i++)
			w->rows[r][i] = below(w, 3) == 0 ? w->rows[r][i - 1] : w->rows[r][i];
	search_option(w, "workload", text);
	for (uint64_t seed = 1; seed <= 8; seed++)
	{
		mg_model *m = search_fit(w, "aim", seed, 0.05);
		const mg_graphical *g = m->body;

		assert_true(g->nmeasured > 0);
		assert_int_equal(g->measured[0].cols[0], 2);
		for (uint32_t i = 0; i < g->nmeasured; i++)
		{
			assert_int_equal(g->measured[i].k, 2);
			assert_int_equal(g->measured[i].cols[0] % 2, 0);
			assert_int_equal(g->measured[i].cols[1], g->measured[i].cols[0] + 1);
		}
		mg_model_destroy(m);
	}
}

/*
 * A wide pair that only looks uneven, since its cells are many, and a small one that is: the first has the larger
 * distance, the second is worth its noise.
 */
static void
aim_weighs_distance_against_noise(void **state)
{
	static const uint32_t sizes[] = {30, 30, 2, 2}, small[] = {2, 3};
	search_world *w = *state;
	uint32_t first = 0;

	search_columns(w, 4, sizes, 1500);
	search_independent_rows(w);
	for (uint32_t r = 0; r < w->nrows; r++)
		w->rows[r][3] = below(w, 4) == 0 ? w->rows[r][2] : w->rows[r][3];
	for (uint64_t seed = 1; seed <= 10; seed++)
	{
		mg_model *m = search_fit(w, "aim", seed, 0.3);
		const mg_graphical *g = m->body;

		for (uint32_t i = 0; i < 4; i++)
			assert_int_equal(m->columns[i].ncoarse, sizes[i]);
		first += g->nmeasured > 0 && g->measured[0].k == 2 && memcmp(g->measured[0].cols, small, sizeof(small)) == 0;
		mg_model_destroy(m);
	}
	assert_true(first >= 8);
}

/* The picks of a round are made from the same scores: two that share more than a column would tell the same twice. */
static void
picks_of_a_round_overlap_little(void **state)
{
	search_world *w = *state;

	search_equal_columns(w, 8, 3, 2000);
	search_independent_rows(w);
	for (uint32_t r = 0; r < w->nrows; r++)
		for (uint32_t i = 1; i < 4; i++)
			w->rows[r][i] = w->rows[r][0];
	for (uint64_t seed = 1; seed <= 6; seed++)
	{
		mg_model *m = search_fit(w, "aim", seed, 1);
		const mg_graphical *g = m->body;
		uint32_t shared = 0;

		for (uint32_t i = 0; i < g->measured[0].k; i++)
			shared += mg_columns_within(&g->measured[0].cols[i], 1, g->measured[1].cols, g->measured[1].k);
		assert_true(shared <= 1);
		mg_model_destroy(m);
	}
}

/* ---- budget ---- */

static uint32_t
rounds_of(search_world *w, const char *method, uint64_t seed, double rho)
{
	mg_model *m = search_fit(w, method, seed, rho);
	uint32_t n = ((mg_graphical *) m->body)->rounds;

	mg_model_destroy(m);
	return n;
}

/*
 * Where measurements find nothing new, noise halves, and so a few dear ones are made; where there is much to find
 * against the noise, many cheap ones: 4 a column, were none of them weak.
 */
static void
aim_anneals(void **state)
{
	search_world *w = *state;

	search_equal_columns(w, 8, 4, 1000);
	search_independent_rows(w);
	for (uint64_t seed = 1; seed <= 3; seed++)
		assert_true(rounds_of(w, "aim", seed, 0.02) <= 12);
	search_ring_rows(w, 8, 4, 20000);
	for (uint64_t seed = 1; seed <= 3; seed++)
		assert_true(rounds_of(w, "aim", seed, 0.5) >= 10);
}

/* All that was allowed is used, whatever the rows, the units and the noise. */
static void
charges_follow_the_plan(void **state)
{
	static const double rhos[] = {1e-7, 1e-4, 0.01, 1, 20};
	search_world *w = *state;

	for (uint32_t k = 0; k <= 3; k += 3)
		for (uint32_t i = 0; i < 5; i++)
			for (uint32_t rows = 0; rows <= 600; rows += 300)
			{
				mg_model *m;

				w->k = k;
				search_ring_rows(w, 7, 4, rows);
				m = search_fit(w, "aim", i, rhos[i]);
				search_check_model(m);
				assert_true(w->odometer.rho_used <= rhos[i] * (1 + 1e-9));
				assert_true(w->odometer.rho_used >= rhos[i] * 0.99);
				assert_true(w->odometer.delta_used == 0);
				mg_model_destroy(m);
				m = search_fit(w, "swift", i, rhos[i]);
				search_check_model(m);
				assert_true(w->odometer.rho_used <= rhos[i] * (1 + 1e-9));
				/* where no pair is worth its noise, none is measured */
				assert_true(w->odometer.rho_used >= rhos[i] * 0.99 || ((mg_graphical *) m->body)->nmeasured == 0);
				mg_model_destroy(m);
			}
}

/* A workload of one set leaves nothing to choose; its budget is measured all the same. */
static void
nothing_to_choose_costs_nothing(void **state)
{
	search_world *w = *state;
	mg_model *m;

	search_ring_rows(w, 5, 4, 500);
	search_option(w, "workload",
				  "b\x1f"
				  "d");
	m = search_fit(w, "aim", 1, 0.1);
	assert_int_equal(((mg_graphical *) m->body)->nmeasured, 1);
	assert_true(w->odometer.rho_used <= 0.1 * (1 + 1e-9));
	assert_true(w->odometer.rho_used >= 0.1 * 0.99);
	mg_model_destroy(m);
}

/* sigma of the first measurement is what the plan says, for units of any size. */
static void
plans_name_the_noise(void **state)
{
	static const char *const methods[] = {"aim", "swift"};
	search_world *w = *state;

	for (uint32_t which = 0; which < 2; which++)
		for (uint32_t n = 1; n <= 6; n++)
			for (w->k = 0; w->k <= 3; w->k += 3)
			{
				mg_arena *a = mg_arena_create(0);
				double rho = 0, share = 0, sigma = 0;
				mg_plan plan;

				search_ring_rows(w, n, 4, 3000);
				search_open(w, 5, 0.2);
				assert_int_equal(mg_method_find(methods[which])->plan(&w->ctx, a, &w->req, &plan), MG_OK);
				for (uint32_t i = 0; i < plan.count; i++)
				{
					rho += plan.item[i].rho;
					share += plan.item[i].share;
					sigma = strstr(plan.item[i].what, "first noise") != NULL ? plan.item[i].sigma : sigma;
				}
				assert_near(rho, 0.2, 1e-8);
				assert_near(share, 1, 1e-6);
				if (which == 0 && n > 1)
				{
					mg_model *m = search_fit(w, "aim", 5, 0.2);
					const mg_graphical *g = m->body;
					double most = 0;

					/* measured once: the first noise, or less where it was annealed or the last */
					for (uint32_t i = 0; i < g->nmeasured; i++)
						most = fmax(most, g->measured[i].sigma);
					assert_true(most <= sigma * (1 + 1e-6));
					if (n <= 2)
						assert_near(most, sigma, 1e-6 * sigma);
					mg_model_destroy(m);
				}
				mg_arena_destroy(a);
			}
}

/* ---- the model's size ---- */

/* The limit in MiB; at the lower end it is less than the room that the first picks' share of it would give a pair. */
static void
models_stay_within_their_limit(void **state)
{
	static const char *const methods[] = {"aim", "swift"}, *const limits[] = {"0.01", "0.02", "0.1", "1"};
	search_world *w = *state;

	search_ring_rows(w, 9, 12, 4000);
	search_option(w, "max_model_mb", NULL);
	for (uint32_t which = 0; which < 2; which++)
		for (uint32_t i = 0; i < 4; i++)
		{
			size_t most = (size_t) (strtod(limits[i], NULL) * (1 << 20) / sizeof(double));
			const mg_graphical *g;
			mg_model *m;

			w->option[0].value = limits[i];
			m = search_fit(w, methods[which], i, 5);
			g = m->body;
			search_check_model(m);
			for (uint32_t c = 0; c < 9; c++)
				assert_int_equal(m->columns[c].ncoarse, 12);
			assert_true(g->tree.cells <= most);
			assert_true(g->nmeasured >= (i == 0 ? 3 : 6)); /* 1,310 cells hold 7 pairs with a column each to spare */
			assert_true(w->odometer.rho_used <= 5 * (1 + 1e-9));
			if (which == 0)
				assert_true(w->odometer.rho_used >= 5 * 0.99);
			mg_model_destroy(m);
		}
}

/* What the first pick may add to the model is its share of the budget: a triple here would be four times that. */
static void
the_model_grows_with_what_is_spent(void **state)
{
	search_world *w = *state;

	search_ring_rows(w, 9, 12, 4000);
	for (uint32_t r = 0; r < w->nrows; r++)
		w->rows[r][2] = (w->rows[r][0] + w->rows[r][1]) % 12; /* a triple stands out */
	search_option(w, "max_model_mb", "0.1");
	for (uint64_t seed = 1; seed <= 3; seed++)
	{
		mg_model *m = search_fit(w, "aim", seed, 5);
		const mg_graphical *g = m->body;

		assert_int_equal(g->measured[0].k, 2);
		assert_true(g->tree.cells > 13107 / 4);
		mg_model_destroy(m);
	}
}

/* Structural zeros are most of the model from the beginning; what is left of the limit is there for picks all the same.
 */
static void
zeros_leave_room_for_picks(void **state)
{
	static const uint32_t sizes[] = {40, 40, 4, 4, 4, 4};
	search_world *w = *state;

	search_columns(w, 6, sizes, 4000);
	search_independent_rows(w);
	for (uint32_t r = 0; r < w->nrows; r++)
	{
		uint32_t *row = w->rows[r];

		row[1] = row[0] + below(w, 40 - row[0]);
		for (uint32_t i = 3; i < 6; i++)
			row[i] = below(w, 4) ? row[i - 1] : row[i];
	}
	search_order(w, 0, MG_LESS | MG_EQUAL, 1);
	search_option(w, "max_model_mb", "0.02");
	for (uint64_t seed = 1; seed <= 3; seed++)
	{
		mg_model *m = search_fit(w, "aim", seed, 5);
		const mg_graphical *g = m->body;

		assert_int_equal(w->constraint[0].how, MG_HOW_ZEROS);
		assert_true(g->tree.cells <= 2621);
		assert_true(g->measured[0].cols[0] >= 2);
		mg_model_destroy(m);
	}
}

/* A limit below what the single columns take: they are the model, and nothing fails. */
static void
no_room_at_all_leaves_the_columns(void **state)
{
	static const char *const methods[] = {"aim", "swift"};
	search_world *w = *state;

	search_ring_rows(w, 12, 40, 3000);
	search_option(w, "max_model_mb", "0.01");
	for (uint32_t which = 0; which < 2; which++)
	{
		mg_model *m = search_fit(w, methods[which], 1, 100);
		const mg_graphical *g = m->body;

		search_check_model(m);
		assert_true(g->nmeasured == 0);
		assert_int_equal(g->tree.count, 12);
		mg_model_destroy(m);
	}
}

static void
bad_options_are_refused(void **state)
{
	static const char *const methods[] = {"aim", "swift"};
	static const mg_option bad[] = {{"degree", "1"},        {"degree", "4"}, {"degree", "2.5"},
									{"max_model_mb", "0"},  {"rounds", "5"}, {"max_model_mb", "nan"},
									{"oneway_share", "0.9"}};
	search_world *w = *state;

	search_ring_rows(w, 4, 3, 10);
	for (uint32_t which = 0; which < 2; which++)
		for (uint32_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		{
			mg_model *m = NULL;
			mg_plan plan;
			mg_arena *a = mg_arena_create(0);
			/* swift's workload is all pairs */
			bool unknown = strcmp(bad[i].name, "rounds") == 0 || (which == 1 && strcmp(bad[i].name, "degree") == 0);

			w->req.noptions = 0;
			search_option(w, bad[i].name, bad[i].value);
			search_open(w, 1, 1);
			assert_int_equal(mg_method_find(methods[which])->plan(&w->ctx, a, &w->req, &plan),
							 unknown ? MG_UNKNOWN : MG_INVALID);
			mg_ctx_init(&w->ctx);
			assert_int_equal(mg_method_find(methods[which])->fit(&w->ctx, w->curator, &w->req, &m),
							 unknown ? MG_UNKNOWN : MG_INVALID);
			assert_true(m == NULL && w->odometer.calls == 0);
			mg_arena_destroy(a);
		}
	w->req.noptions = 0;
	search_option(w, "workload",
				  "a\x1f"
				  "z");
	search_open(w, 1, 1);
	assert_int_equal(mg_method_find("aim")->fit(&w->ctx, w->curator, &w->req, &(mg_model *){NULL}), MG_UNKNOWN);
	assert_int_equal(w->odometer.calls, 0); /* before anything was spent */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, search_set_up, search_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(aim_finds_pairs_and_triples),
		TEST(swift_finds_the_strong_pairs_and_few_others),
		TEST(swift_does_not_measure_what_a_path_explains),
		TEST(aim_follows_the_workload),
		TEST(aim_weighs_distance_against_noise),
		TEST(picks_of_a_round_overlap_little),
		TEST(aim_anneals),
		TEST(charges_follow_the_plan),
		TEST(nothing_to_choose_costs_nothing),
		TEST(plans_name_the_noise),
		TEST(models_stay_within_their_limit),
		TEST(the_model_grows_with_what_is_spent),
		TEST(zeros_leave_room_for_picks),
		TEST(no_room_at_all_leaves_the_columns),
		TEST(bad_options_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
