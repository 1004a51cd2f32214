/*
 * test/unit/test_fits.c: what holds of every fit: any table and any epsilon train, structural zeros hold nothing, a
 * cancel and a failure of memory end it at once and cleanly, and the same noise gives the same model whatever the
 * threads and the order of rows.
 *
 * The program is linked with malloc, calloc and realloc wrapped, so that the n-th of them can be made to fail.
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
#include "search_world.h"

/* ---- memory that runs out ---- */

static size_t allocations, failing; /* the failing-th fails, and all after it; 0: none */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static bool
fails(void)
{
	size_t n = __atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED);

	return failing > 0 && n >= failing;
}

void *
__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : __real_realloc(p, size);
}

/* ---- any table ---- */

/* None, few and many rows; one column and more; columns of one code; units. */
static void
any_table_trains(void **state)
{
	static const char *const methods[] = {"aim", "swift", "mst", "independent"};
	static const uint32_t sizes[] = {1, 3, 1, 2, 1};
	search_world *w = *state;

	for (uint32_t which = 0; which < 4; which++)
		for (uint32_t n = 1; n <= 5; n++)
			for (uint32_t rows = 0; rows <= 40; rows = rows * 3 + 1)
				for (w->k = 0; w->k <= 5; w->k += 5)
				{
					mg_model *m;

					search_columns(w, n, sizes, rows);
					search_independent_rows(w);
					m = search_fit(w, methods[which], rows, 0.02);
					search_check_model(m);
					assert_true(w->odometer.rho_used <= 0.02 * (1 + 1e-9));
					mg_model_destroy(m);
				}
}

/* From an epsilon that can say nothing to one that hides nothing. The former may be refused, by name. */
static void
any_epsilon_trains(void **state)
{
	static const char *const methods[] = {"aim", "swift"};
	search_world *w = *state;

	search_ring_rows(w, 6, 5, 400);
	for (uint32_t which = 0; which < 2; which++)
		for (double rho = 1e-18; rho < 1e9; rho *= 1000)
		{
			mg_model *m = NULL;
			mg_code code;

			search_open(w, 9, rho);
			code = mg_method_find(methods[which])->fit(&w->ctx, w->curator, &w->req, &m);
			assert_true(code == MG_OK || (code == MG_INVALID && strstr(w->ctx.message, "too small") && rho < 1e-12));
			assert_true((code == MG_OK) == (m != NULL));
			if (code == MG_OK)
				search_check_model(m);
			mg_model_destroy(m);
		}
}

/* ---- structural zeros ---- */

/* Cells that the constraint makes impossible hold exactly nothing, and no row is drawn into one. */
static void
check_zeros(search_world *w, const mg_model *m, const mg_constraint *c)
{
	const mg_graphical *g = m->body;
	mg_arena *a = mg_arena_create(0);
	const uint32_t *cols;
	uint16_t *codes = search_draw(w, m, 4000);
	uint32_t k, home;
	double mass[MOST_LABELS * MOST_LABELS + 100] = {0};
	bool *possible;
	mg_factor f;

	assert_int_equal(c->how, MG_HOW_ZEROS);
	assert_int_equal(mg_constraint_zeros(&w->ctx, a, m->columns, m->ncolumns, c, &k, &cols, &possible), MG_OK);
	assert_int_equal(k, 2);
	home = mg_junction_find(&g->tree, cols, k);
	assert_true(home < g->tree.count);
	assert_int_equal(mg_factor_make(&w->ctx, a, cols, k, g->tree.size, &f), MG_OK);
	f.v = mass;
	mg_factor_marginal(&g->marginal[home], &f);
	for (size_t x = 0; x < f.cells; x++)
		assert_true(possible[x] || mass[x] == 0);
	for (uint32_t r = 0; r < 4000; r++)
		assert_true(possible[codes[cols[0] * 4000 + r] * f.size[1] + codes[cols[1] * 4000 + r]]);
	free(codes);
	mg_arena_destroy(a);
}

/* a <= b <= c, and d <= b; rows obey, but noise does not know that. */
static void
ordered_rows(search_world *w, uint32_t nrows)
{
	search_equal_columns(w, 6, 5, nrows);
	search_independent_rows(w);
	for (uint32_t r = 0; r < nrows; r++)
	{
		uint32_t *row = w->rows[r];

		row[1] = row[0] + below(w, 5 - row[0]);
		row[2] = row[1] + below(w, 5 - row[1]);
		row[3] = below(w, row[1] + 1);
	}
}

static void
zeros_are_never_drawn(void **state)
{
	static const char *const methods[] = {"aim", "swift", "mst", "independent"};
	static const double rhos[] = {0.02, 0.2, 2};
	search_world *w = *state;

	search_order(w, 0, MG_LESS | MG_EQUAL, 1);
	search_order(w, 1, MG_LESS | MG_EQUAL, 2);
	search_order(w, 1, MG_GREATER | MG_EQUAL, 3);
	for (uint32_t which = 0; which < 4; which++)
		for (uint32_t i = 0; i < 3; i++)
		{
			mg_model *m;

			ordered_rows(w, i == 0 ? 2000 : 500);
			m = search_fit(w, methods[which], i, rhos[i]);
			search_check_model(m);
			for (uint32_t c = 0; c < 3; c++)
				check_zeros(w, m, &w->constraint[c]);
			mg_model_destroy(m);
		}
}

/* a < b and b < a: no row is possible. The first is kept, the second left to re-draws, which say what they think of it;
 * the third agrees with the first. */
static void
contradictions_are_left_out(void **state)
{
	static const char *const methods[] = {"aim", "swift", "mst", "independent"};
	search_world *w = *state;

	ordered_rows(w, 1000);
	search_order(w, 0, MG_LESS, 1);
	search_order(w, 0, MG_GREATER, 1);
	search_order(w, 1, MG_LESS, 2);
	for (uint32_t which = 0; which < 4; which++)
	{
		mg_model *m = search_fit(w, methods[which], 1, 1);

		search_check_model(m);
		check_zeros(w, m, &w->constraint[0]);
		check_zeros(w, m, &w->constraint[2]);
		assert_int_equal(w->constraint[1].how, MG_HOW_REDRAWS);
		mg_model_destroy(m);
	}
}

/*
 * mst chooses its tree without regard to zeros. Here they are a grid and it is another path through the same columns:
 * together they need cliques of several columns, which for mst would be too large; some zeros go then, and what is kept
 * is kept whole.
 */
static void
zeros_give_way_to_the_tree(void **state)
{
	static const uint32_t path[12] = {0, 7, 2, 9, 4, 11, 6, 1, 8, 3, 10, 5};
	search_world *w = *state;
	mg_model *m;
	uint32_t kept = 0;
	const mg_graphical *g;

	search_equal_columns(w, 12, 30, 5000);
	search_independent_rows(w);
	for (uint32_t r = 0; r < w->nrows; r++)
	{
		uint32_t *row = w->rows[r];

		row[0] = 1 + below(w, 28);
		for (uint32_t i = 1; i < 12; i++)
			row[path[i]] = below(w, 4) ? row[path[i - 1]] : 1 + below(w, 28);
	}
	for (uint32_t i = 0; i < 8; i++)
		search_order(w, i, MG_LESS | MG_EQUAL, i + 4);
	m = search_fit(w, "mst", 1, 100);
	g = m->body;
	search_check_model(m);
	assert_int_equal(g->nmeasured, 11);
	assert_true(g->tree.cells <= (1u << 19) + 11 * 900);
	for (uint32_t i = 0; i < 8; i++)
	{
		if (w->constraint[i].how != MG_HOW_ZEROS)
			continue;
		check_zeros(w, m, &w->constraint[i]);
		kept++;
	}
	assert_true(kept > 0 && kept < 8);
	mg_model_destroy(m);
}

/* ---- stopping, failing, threads ---- */

typedef struct stop
{
	size_t polls, at;
} stop;

static bool
stops(void *arg)
{
	stop *s = arg;

	return ++s->polls >= s->at;
}

/* Whenever the hook says so the fit ends soon, as cancelled, and frees what it had (the sanitizer looks). */
static void
cancelling_ends_a_fit_soon(void **state)
{
	static const char *const methods[] = {"aim", "swift"};
	search_world *w = *state;

	search_ring_rows(w, 6, 4, 300);
	for (uint32_t which = 0; which < 2; which++)
	{
		stop s = {0, SIZE_MAX};
		size_t all;
		mg_model *m;

		search_open(w, 1, 0.2);
		w->ctx.cancel = stops;
		w->ctx.cancel_arg = &s;
		assert_int_equal(mg_method_find(methods[which])->fit(&w->ctx, w->curator, &w->req, &m), MG_OK);
		mg_model_destroy(m);
		all = s.polls;
		assert_true(all > 20);
		for (size_t at = 1; at <= all; at += 1 + all / 60)
		{
			s = (stop){0, at};
			m = NULL;
			search_open(w, 1, 0.2);
			w->ctx.cancel = stops;
			w->ctx.cancel_arg = &s;
			assert_int_equal(mg_method_find(methods[which])->fit(&w->ctx, w->curator, &w->req, &m), MG_CANCELLED);
			assert_null(m);
			assert_true(s.polls <= at + 2);
		}
	}
}

/* The n-th allocation fails, and all after it: out of memory, nothing else, and nothing is left behind. */
static void
running_out_of_memory_is_told(void **state)
{
	static const char *const methods[] = {"aim", "swift"};
	search_world *w = *state;

	search_ring_rows(w, 5, 4, 200);
	search_order(w, 0, MG_LESS | MG_EQUAL, 1);
	for (uint32_t which = 0; which < 2; which++)
	{
		size_t all;
		mg_model *m;

		search_open(w, 1, 0.2);
		allocations = 0;
		assert_int_equal(mg_method_find(methods[which])->fit(&w->ctx, w->curator, &w->req, &m), MG_OK);
		all = allocations;
		mg_model_destroy(m);
		assert_true(all > 50);
		for (size_t at = 1; at <= all; at += 1 + all / 250)
		{
			mg_code code;

			m = NULL;
			search_open(w, 1, 0.2);
			allocations = 0;
			failing = at;
			code = mg_method_find(methods[which])->fit(&w->ctx, w->curator, &w->req, &m);
			failing = 0;
			assert_int_equal(code, MG_NOMEM);
			assert_null(m);
			assert_true(w->odometer.rho_used <= 0.2 * (1 + 1e-9));
		}
	}
}

static void
written(search_world *w, const char *method, mg_pool *pool, mg_writer *out)
{
	mg_model *m = NULL;

	search_open(w, 42, 0.5);
	w->ctx.pool = pool;
	assert_int_equal(mg_method_find(method)->fit(&w->ctx, w->curator, &w->req, &m), MG_OK);
	w->ctx.pool = NULL;
	mg_writer_init(out);
	assert_int_equal(mg_model_write(&w->ctx, m, out), MG_OK);
	mg_model_destroy(m);
}

/* The same noise gives the same bytes, with and without threads. */
static void
fits_can_be_repeated(void **state)
{
	static const char *const methods[] = {"aim", "swift", "mst", "independent"};
	search_world *w = *state;
	mg_pool *pool = mg_pool_create(3);

	assert_non_null(pool);
	search_ring_rows(w, 8, 6, 3000);
	search_order(w, 0, MG_LESS | MG_EQUAL, 4);
	for (uint32_t which = 0; which < 4; which++)
	{
		mg_writer out[3];

		for (uint32_t i = 0; i < 3; i++)
			written(w, methods[which], i == 2 ? pool : NULL, &out[i]);
		for (uint32_t i = 1; i < 3; i++)
		{
			assert_int_equal(out[i].len, out[0].len);
			assert_memory_equal(out[i].data, out[0].data, out[0].len);
		}
		for (uint32_t i = 0; i < 3; i++)
			mg_writer_free(&out[i]);
	}
	mg_pool_destroy(pool);
}

/* Rows in another order are the same table: the same noise gives the same model. */
static void
the_order_of_rows_does_not_matter(void **state)
{
	static const char *const methods[] = {"aim", "swift"};
	search_world *w = *state;

	search_ring_rows(w, 6, 5, 1000);
	for (uint32_t which = 0; which < 2; which++)
	{
		mg_writer before, after;

		written(w, methods[which], NULL, &before);
		for (uint32_t r = w->nrows - 1; r > 0; r--)
		{
			uint32_t other = below(w, r + 1), row[MOST_COLUMNS];

			memcpy(row, w->rows[r], sizeof(row));
			memcpy(w->rows[r], w->rows[other], sizeof(row));
			memcpy(w->rows[other], row, sizeof(row));
		}
		written(w, methods[which], NULL, &after);
		assert_int_equal(after.len, before.len);
		assert_memory_equal(after.data, before.data, before.len);
		mg_writer_free(&before);
		mg_writer_free(&after);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, search_set_up, search_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(any_table_trains),
		TEST(any_epsilon_trains),
		TEST(zeros_are_never_drawn),
		TEST(contradictions_are_left_out),
		TEST(zeros_give_way_to_the_tree),
		TEST(cancelling_ends_a_fit_soon),
		TEST(running_out_of_memory_is_told),
		TEST(fits_can_be_repeated),
		TEST(the_order_of_rows_does_not_matter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
