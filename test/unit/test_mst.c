/*
 * test/unit/test_mst.c: the methods mst and independent from rows to model, through the real curator with
 * seeded noise: options, plans, what is charged, the tree that is found, tables that are empty, tiny or
 * degenerate.
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

#include "graphical/fit.h"
#include "memory_store.h"
#include "seeded_noise.h"
#include "synthesis/synthesis.h"
#include "world.h"

#define COLUMNS 6
static const uint32_t sizes[COLUMNS] = {3, 4, 2, 5, 3, 2};

typedef struct world
{
	WORLD;
	memory_store store;
	mg_noise *noise;
	mg_odometer odometer;
	mg_domain domain[COLUMNS];
	mg_curator *curator;
	mg_fit_request req;
} world;

static int
set_up(void **state)
{
	static const char *const names[COLUMNS] = {"a", "b", "c", "d", "e", "f"};
	static const mg_label labels[] = {{"0", 1}, {"1", 1}, {"2", 1}, {"3", 1}, {"4", 1}};
	world *w = make_world(state, sizeof(*w), 77);

	if (w == NULL)
		return 1;
	memory_store_init(&w->store);
	w->noise = seeded_noise(4711);
	for (uint32_t i = 0; i < COLUMNS; i++)
		w->domain[i] = (mg_domain){.name = names[i], .kind = MG_CATEGORY, .nlabels = sizes[i], .labels = labels};
	w->req = (mg_fit_request){.domains = w->domain, .ncolumns = COLUMNS, .memory = 8 << 20};
	return 0;
}

static int
tear_down(void **state)
{
	world *w = *state;

	mg_curator_destroy(w->curator);
	mg_noise_destroy(w->noise);
	memory_store_free(&w->store);
	return free_world(state);
}

/* A fresh curator over the first n columns, with an odometer of rho. */
static void
open_curator(world *w, uint32_t n, double rho)
{
	mg_curator_destroy(w->curator);
	w->curator = NULL;
	mg_odometer_init(&w->odometer, rho, 1e-12);
	w->req.allowance = (mg_allowance){rho, 1e-12};
	w->req.ncolumns = n;
	assert_int_equal(mg_curator_create(&w->ctx, w->domain, n, w->noise, &w->odometer, &w->store.store, 8 << 20,
									   &w->curator),
					 MG_OK);
}

/* The truth: e - a - b - c, b - d; f alone. A child repeats (a function of) its parent with probability keep. */
static void
make_row(world *w, uint32_t *code, double keep)
{
	static const uint32_t order[] = {4, 0, 1, 2, 3}, parent[] = {4, 4, 0, 1, 1};

	for (uint32_t i = 0; i < 5; i++)
	{
		uint32_t col = order[i], fresh = mg_rng_below32((uint32_t) mg_rng_u64(&w->rng), sizes[col]);

		code[col] = i > 0 && mg_rng_unit(&w->rng) < keep ? (code[parent[i]] + 1) % sizes[col] : fresh;
	}
	code[5] = mg_rng_unit(&w->rng) < 0.3;
}

static void
load_rows(world *w, uint32_t n, uint32_t rows, double keep, uint32_t (*out)[COLUMNS])
{
	for (uint32_t r = 0; r < rows; r++)
	{
		uint32_t code[COLUMNS];

		make_row(w, code, keep);
		for (uint32_t i = 0; i < n; i++)
			mg_load_code(w->curator, i, code[i]);
		assert_int_equal(mg_load_row(&w->ctx, w->curator), MG_OK);
		if (out != NULL)
			memcpy(out[r], code, sizeof(code));
	}
	assert_int_equal(mg_load_finish(&w->ctx, w->curator), MG_OK);
}

static mg_model *
fit(world *w, const char *method)
{
	mg_model *m = NULL;

	assert_int_equal(mg_method_find(method)->fit(&w->ctx, w->curator, &w->req, &m), MG_OK);
	assert_non_null(m);
	return m;
}

/* ---- budget ---- */

static double
expected_error(const size_t *cells, const double *sigma2, uint32_t n)
{
	double sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += (double) cells[i] * sqrt(sigma2[i]);
	return sum;
}

static void
noise_is_allocated_best(void **state)
{
	static const size_t cells[] = {4, 30, 900, 12};
	enum
	{
		N = 4
	};
	world *w = *state;
	mg_ratio ratio[N];
	double sigma2[N], rho = 0, least;

	assert_int_equal(mg_allocate_noise(&w->ctx, cells, N, 0.01, 1, ratio), MG_OK);
	for (uint32_t i = 0; i < N; i++)
	{
		sigma2[i] = mg_ratio_value(ratio[i]);
		rho += 1 / (2 * sigma2[i]);
	}
	assert_true(rho <= 0.01 && rho > 0.01 * (1 - 1e-6));
	least = expected_error(cells, sigma2, N);
	/* any shift of budget from one pair to another makes the expected error larger */
	for (uint32_t i = 0; i < N; i++)
		for (uint32_t j = 0; j < N; j++)
		{
			double moved[N], part = 0.1 / (2 * sigma2[i]);

			if (i == j)
				continue;
			memcpy(moved, sigma2, sizeof(moved));
			moved[i] = 1 / (2 * (1 / (2 * sigma2[i]) - part));
			moved[j] = 1 / (2 * (1 / (2 * sigma2[j]) + part));
			assert_true(expected_error(cells, moved, N) > least);
		}
}

static mg_code
plan_with(world *w, const char *method, const char *name, const char *value, mg_plan *plan)
{
	mg_option option = {name, value};

	w->req.options = &option;
	w->req.noptions = name != NULL;
	w->req.allowance = (mg_allowance){0.01, 1e-12};
	mg_ctx_init(&w->ctx);
	return mg_method_find(method)->plan(&w->ctx, w->a, &w->req, plan);
}

static void
options_are_checked(void **state)
{
	static const char *const bad[] = {"", "x", "0.1x", "nan", "inf", "-0.1", "0", "0.95", "1e-9", NULL};
	world *w = *state;
	mg_plan plan;

	assert_int_equal(plan_with(w, "mst", "oneway_share", "0.25", &plan), MG_OK);
	assert_near(plan.split.oneway, 0.25, 0);
	assert_int_equal(plan_with(w, "mst", "select_share", "0.2", &plan), MG_OK);
	assert_near(plan.split.select, 0.2, 0);
	for (uint32_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
	{
		assert_int_equal(plan_with(w, "mst", "oneway_share", bad[i], &plan), MG_INVALID);
		assert_true(w->ctx.hint[0] != '\0');
	}
	assert_int_equal(plan_with(w, "mst", "oneway_share", "0.9", &plan), MG_INVALID);
	assert_int_equal(plan_with(w, "mst", "degree", "2", &plan), MG_UNKNOWN);
	assert_non_null(strstr(w->ctx.hint, "learn_share, oneway_share, select_share"));
	assert_int_equal(plan_with(w, "independent", "select_share", "0.1", &plan), MG_UNKNOWN);
	assert_non_null(strstr(w->ctx.hint, "learn_share"));
}

static void
plans_add_up(void **state)
{
	static const char *const methods[] = {"mst", "independent"};
	world *w = *state;

	for (uint32_t k = 0; k < 2; k++)
		for (uint32_t n = 1; n <= COLUMNS; n++)
			for (int open = 0; open < 2; open++)
			{
				double rho = 0, share = 0;
				mg_plan plan;

				w->req.ncolumns = n;
				w->domain[0].open = open;
				assert_int_equal(plan_with(w, methods[k], NULL, NULL, &plan), MG_OK);
				for (uint32_t i = 0; i < plan.count; i++)
				{
					rho += plan.item[i].rho;
					share += plan.item[i].share;
				}
				assert_near(rho, 0.01, 1e-9);
				assert_near(share, 1, 1e-6);
				assert_near(plan.split.learn + plan.split.oneway + plan.split.select + plan.split.measure, 1, 1e-12);
				assert_true((plan.split.learn > 0) == (open == 1));
			}
	w->domain[0].open = false;
}

/* ---- structure and marginals ---- */

static bool
has_clique(const mg_model *m, uint32_t a, uint32_t b)
{
	const mg_graphical *g = m->body;
	const uint32_t pair[] = {a, b};
	bool measured = false;

	for (uint32_t i = 0; i < g->nmeasured; i++)
		measured = measured || (g->measured[i].k == 2 && memcmp(g->measured[i].cols, pair, sizeof(pair)) == 0);
	return measured && mg_junction_find(&g->tree, pair, 2) < g->tree.count;
}

/* Mean absolute difference, as a share, of all cliques of the model from the rows. */
static double
distance(const mg_model *m, uint32_t (*rows)[COLUMNS], uint32_t n)
{
	const mg_graphical *g = m->body;
	double sum = 0;

	for (uint32_t c = 0; c < g->tree.count; c++)
	{
		const mg_factor *f = &g->marginal[c];
		double count[64] = {0};

		for (uint32_t r = 0; r < n; r++)
		{
			size_t x = 0;

			for (uint32_t i = 0; i < f->k; i++)
				x = x * f->size[i] + m->columns[f->cols[i]].merge[rows[r][f->cols[i]]];
			count[x]++;
		}
		for (size_t x = 0; x < f->cells; x++)
			sum += fabs(f->v[x] / m->total - count[x] / n) / 2 / g->tree.count;
	}
	return sum;
}

static void
true_tree_is_found(void **state)
{
	enum
	{
		ROWS = 4000
	};
	world *w = *state;
	uint32_t(*rows)[COLUMNS] = mg_arena_alloc(w->a, ROWS, sizeof(*rows));
	const mg_graphical *g;
	mg_model *m;

	open_curator(w, COLUMNS, 1000);
	load_rows(w, COLUMNS, ROWS, 0.6, rows);
	m = fit(w, "mst");
	g = m->body;
	assert_int_equal(g->tree.count, COLUMNS - 1);
	assert_int_equal(g->rounds, COLUMNS - 1);
	assert_true(has_clique(m, 0, 4));
	assert_true(has_clique(m, 0, 1));
	assert_true(has_clique(m, 1, 2));
	assert_true(has_clique(m, 1, 3));
	assert_near(m->total, ROWS, 3);
	assert_true(distance(m, rows, ROWS) < 0.001);
	assert_true(w->odometer.rho_used <= 1000 * (1 + 1e-9));
	mg_model_destroy(m);
}

/* All that was allowed is used, to rounding; the charge does not follow the data. */
static void
charges_follow_the_plan(void **state)
{
	static const double rhos[] = {1e-4, 0.01, 1};
	static const char *const methods[] = {"mst", "independent"};
	world *w = *state;

	for (uint32_t k = 0; k < 2; k++)
		for (uint32_t i = 0; i < 3; i++)
			for (uint32_t rows = 0; rows <= 500; rows += 500)
			{
				mg_model *m;

				open_curator(w, COLUMNS, rhos[i]);
				load_rows(w, COLUMNS, rows, 0.5, NULL);
				m = fit(w, methods[k]);
				assert_true(w->odometer.rho_used <= rhos[i] * (1 + 1e-9));
				assert_true(w->odometer.rho_used >= rhos[i] * 0.98);
				mg_model_destroy(m);
			}
}

/* Distance between real and synthetic rows in the pairs of columns that belong together. */
static double
drawn_distance(world *w, const mg_model *m, uint32_t (*rows)[COLUMNS], uint32_t n)
{
	static const uint32_t pairs[][2] = {{4, 0}, {0, 1}, {1, 2}, {1, 3}};
	static const uint8_t key[32] = {9};
	const mg_batch *b;
	mg_stream *s;
	double sum = 0;

	assert_int_equal(mg_stream_create(&w->ctx, m, key, &s), MG_OK);
	assert_int_equal(mg_stream_next(&w->ctx, s, n, &b), MG_OK);
	for (uint32_t k = 0; k < 4; k++)
	{
		double count[64] = {0};
		uint32_t x = pairs[k][0], y = pairs[k][1];

		for (uint32_t r = 0; r < n; r++)
		{
			count[rows[r][x] * 8 + rows[r][y]]++;
			count[b->column[x].label[r] * 8 + b->column[y].label[r]]--;
		}
		for (uint32_t i = 0; i < 64; i++)
			sum += fabs(count[i]) / (2 * n * 4.0);
	}
	mg_stream_destroy(s);
	return sum;
}

/* More budget, nearer; with next to none, what comes out has little to do with the rows. */
static void
noise_shrinks_with_rho(void **state)
{
	enum
	{
		ROWS = 2000
	};
	static const double rhos[] = {1e-6, 0.02, 4};
	world *w = *state;
	uint32_t(*rows)[COLUMNS] = mg_arena_alloc(w->a, ROWS, sizeof(*rows));
	double error[3];

	for (uint32_t i = 0; i < 3; i++)
	{
		mg_model *m;

		open_curator(w, COLUMNS, rhos[i]);
		load_rows(w, COLUMNS, ROWS, 0.5, rows);
		m = fit(w, "mst");
		error[i] = drawn_distance(w, m, rows, ROWS);
		mg_model_destroy(m);
	}
	assert_true(error[0] > 0.2);
	assert_true(error[1] < 0.5 * error[0]);
	assert_true(error[2] < 0.5 * error[1]);
}

static void
independent_has_single_columns(void **state)
{
	enum
	{
		ROWS = 3000
	};
	world *w = *state;
	uint32_t(*rows)[COLUMNS] = mg_arena_alloc(w->a, ROWS, sizeof(*rows));
	const mg_graphical *g;
	mg_model *m;

	open_curator(w, COLUMNS, 10);
	load_rows(w, COLUMNS, ROWS, 0.5, rows);
	m = fit(w, "independent");
	g = m->body;
	assert_int_equal(g->tree.count, COLUMNS);
	for (uint32_t c = 0; c < COLUMNS; c++)
	{
		assert_int_equal(g->tree.clique[c].k, 1);
		assert_near(mg_factor_total(&g->marginal[c]), m->total, 1e-6);
	}
	assert_true(distance(m, rows, ROWS) < 0.005);
	mg_model_destroy(m);
}

/* Any table trains: none, one row, few columns. */
static void
any_table_trains(void **state)
{
	static const char *const methods[] = {"mst", "independent"};
	world *w = *state;

	for (uint32_t k = 0; k < 2; k++)
		for (uint32_t n = 1; n <= COLUMNS; n++)
			for (uint32_t rows = 0; rows < 3; rows++)
			{
				const mg_graphical *g;
				mg_model *m;

				open_curator(w, n, 0.01);
				load_rows(w, n, rows, 1, NULL);
				m = fit(w, methods[k]);
				g = m->body;
				assert_true(m->total >= 1);
				assert_true(g->tree.count <= n);
				for (uint32_t c = 0; c < g->tree.count; c++)
					assert_near(mg_factor_total(&g->marginal[c]), m->total, 1e-6 * m->total);
				mg_model_destroy(m);
			}
}

/* Written, read, and drawn from: the reader's rows are the writer's. */
static void
models_travel(void **state)
{
	static const uint8_t key[32] = {1, 2, 3};
	world *w = *state;
	const mg_batch *first, *second;
	mg_stream *here, *there;
	mg_model *m, *back;
	mg_writer out;

	open_curator(w, COLUMNS, 1);
	load_rows(w, COLUMNS, 2000, 0.5, NULL);
	m = fit(w, "mst");
	mg_writer_init(&out);
	assert_int_equal(mg_model_write(&w->ctx, m, &out), MG_OK);
	assert_int_equal(mg_model_read(&w->ctx, mg_methods, out.data, out.len, &back), MG_OK);
	assert_int_equal(mg_stream_create(&w->ctx, m, key, &here), MG_OK);
	assert_int_equal(mg_stream_create(&w->ctx, back, key, &there), MG_OK);
	assert_int_equal(mg_stream_next(&w->ctx, here, 1000, &first), MG_OK);
	assert_int_equal(mg_stream_next(&w->ctx, there, 1000, &second), MG_OK);
	for (uint32_t i = 0; i < COLUMNS; i++)
		assert_memory_equal(first->column[i].label, second->column[i].label, 1000 * sizeof(uint32_t));
	mg_stream_destroy(here);
	mg_stream_destroy(there);
	mg_model_destroy(back);
	mg_model_destroy(m);
	mg_writer_free(&out);
}

static bool
always(void *arg)
{
	return true;
}

static void
cancelling_ends_a_fit(void **state)
{
	world *w = *state;
	mg_model *m = NULL;

	open_curator(w, COLUMNS, 0.1);
	load_rows(w, COLUMNS, 100, 0.5, NULL);
	w->ctx.cancel = always;
	assert_int_equal(mg_method_find("mst")->fit(&w->ctx, w->curator, &w->req, &m), MG_CANCELLED);
	assert_null(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(noise_is_allocated_best, set_up, tear_down),
		cmocka_unit_test_setup_teardown(options_are_checked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(plans_add_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(true_tree_is_found, set_up, tear_down),
		cmocka_unit_test_setup_teardown(charges_follow_the_plan, set_up, tear_down),
		cmocka_unit_test_setup_teardown(noise_shrinks_with_rho, set_up, tear_down),
		cmocka_unit_test_setup_teardown(independent_has_single_columns, set_up, tear_down),
		cmocka_unit_test_setup_teardown(any_table_trains, set_up, tear_down),
		cmocka_unit_test_setup_teardown(models_travel, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cancelling_ends_a_fit, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
