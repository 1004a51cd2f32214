/*
 * test/unit/test_synthesis.c: from codes to values. A method of the test's own hands out known codes; what comes out
 * must stay in its domain, follow the fine masses, and keep columns independent given their codes.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "synthesis/synthesis.h"
#include "toy_sampler.h"
#include "world.h"

/* ---- a method whose sampler deals out codes in turn: row i of a batch has code i mod ncoarse in every column ---- */

static mg_code
turn_batch(mg_ctx *ctx, mg_sampler *s, mg_rng *rng, uint32_t n, uint16_t *const *codes)
{
	const mg_model *m = ((toy_sampler *) s)->model;

	for (uint32_t c = 0; c < m->ncolumns; c++)
		for (uint32_t i = 0; i < n; i++)
			codes[c][i] = (uint16_t) (i % m->columns[c].ncoarse);
	return MG_OK;
}

static mg_code
turn_compile(mg_ctx *ctx, const mg_model *m, mg_sampler **out)
{
	return toy_sampler_make(m, turn_batch, out);
}

static mg_code
broken_compile(mg_ctx *ctx, const mg_model *m, mg_sampler **out)
{
	return mg_fail(ctx, MG_INTERNAL, "does not compile");
}

static const mg_method turn_method = {.name = "turn", .compile = turn_compile};
static const mg_method broken_method = {.name = "broken", .compile = broken_compile};

typedef struct world
{
	WORLD;
	mg_model model;
	mg_column column[8];
	uint8_t key[32];
} world;

static int
set_up(void **state)
{
	world *w = make_world(state, sizeof(*w), 0);

	if (w == NULL)
		return 1;
	w->model = (mg_model){.method = &turn_method, .columns = w->column, .total = 1000};
	for (int i = 0; i < 32; i++)
		w->key[i] = (uint8_t) (i * 7 + 1);
	return 0;
}

static mg_column *
add_column(world *w, mg_domain d, uint32_t nfine, const mg_cell *cells, const double *fine, const uint16_t *merge,
		   uint32_t ncoarse)
{
	mg_column *c = &w->column[w->model.ncolumns++];

	*c = (mg_column){
		.domain = d, .nfine = nfine, .cells = cells, .fine = fine, .merge = merge, .ncoarse = ncoarse, .total = 1000};
	return c;
}

static mg_stream *
open_stream(world *w)
{
	mg_stream *s = NULL;

	assert_int_equal(mg_stream_create(&w->ctx, &w->model, w->key, &s), MG_OK);
	return s;
}

static const mg_batch *
next(world *w, mg_stream *s, uint32_t rows)
{
	const mg_batch *b = NULL;

	assert_int_equal(mg_stream_next(&w->ctx, s, rows, &b), MG_OK);
	assert_int_equal(b->rows, rows);
	return b;
}

static const mg_label colours[] = {{"red", 3}, {"blue", 4}, {"green", 5}, {"white", 5}};

static mg_domain
number(const char *name, double lower, double upper, double step)
{
	return (mg_domain){.name = name, .kind = MG_NUMBER, .lower = lower, .upper = upper, .step = step};
}

static mg_domain
category(const char *name, uint32_t nlabels, bool nullable, bool has_other, const char *other)
{
	return (mg_domain){.name = name,
					   .kind = MG_CATEGORY,
					   .nlabels = nlabels,
					   .labels = colours,
					   .nullable = nullable,
					   .has_other = has_other,
					   .other = other};
}

/* Chi-square statistic of counts that should be even. */
static double
chi_square(const uint32_t *count, uint32_t n, double expected)
{
	double sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += (count[i] - expected) * (count[i] - expected) / expected;
	return sum;
}

/* ---- frequencies ---- */

/* Within each bin of each batch a cell's count is its share, rounded down or up: for large, small and single-row
 * batches. */
static void
cells_follow_their_masses(void **state)
{
	static const uint32_t sizes[] = {MG_BATCH_ROWS, 1000, 17, 2, 1};
	static const mg_cell cells[] = {{0, 0}, {1, 1}, {2, 2}, {3, 3}, {4, 4}, {5, 5}, {6, 6}};
	static const double fine[] = {10, 0, 5, 35, 1, 1, 998, 0};
	static const uint16_t merge[] = {0, 0, 0, 0, 1, 1, 1, 0};
	world *w = *state;
	mg_stream *s;

	add_column(w, number("x", 0, 6, 1), 8, cells, fine, merge, 2);
	s = open_stream(w);
	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++)
		for (int round = 0; round < 20; round++)
		{
			const mg_batch *b = next(w, s, sizes[k]);
			uint32_t count[7] = {0}, bin[2] = {(b->rows + 1) / 2, b->rows / 2};

			for (uint32_t i = 0; i < b->rows; i++)
			{
				uint32_t v = (uint32_t) b->column[0].number[i];

				assert_true(!b->column[0].null[i] && v == b->column[0].number[i] && v <= 6);
				assert_int_equal(merge[v], i % 2);
				count[v]++;
			}
			for (uint32_t v = 0; v < 7; v++)
			{
				double expected = bin[merge[v]] * fine[v] / (merge[v] == 0 ? 50 : 1000);

				assert_true(fabs(count[v] - expected) < 1 + 1e-9);
				assert_true(fine[v] > 0 || count[v] == 0);
			}
		}
	mg_stream_destroy(s);
}

/* The rows of a bin are dealt its cells in random order: two columns know nothing of each other, nor of the row number.
 */
static void
columns_are_independent_within_bins(void **state)
{
	static const mg_cell cells[] = {{0, 0}, {1, 1}, {2, 2}, {3, 3}};
	static const double fine[] = {1, 1, 1, 1, 0};
	static const uint16_t merge[] = {0, 0, 0, 0, 0};
	uint32_t pair[16] = {0}, place[16] = {0}, follow[16] = {0};
	world *w = *state;
	mg_stream *s;

	add_column(w, number("x", 0, 3, 1), 5, cells, fine, merge, 1);
	add_column(w, number("y", 0, 3, 1), 5, cells, fine, merge, 1);
	s = open_stream(w);
	for (int round = 0; round < 20; round++)
	{
		const mg_batch *b = next(w, s, 8000);

		for (uint32_t i = 0; i < b->rows; i++)
		{
			uint32_t x = (uint32_t) b->column[0].number[i], y = (uint32_t) b->column[1].number[i];

			pair[4 * x + y]++;
			place[4 * x + i * 4 / b->rows]++;
			follow[4 * x + (i > 0 ? (uint32_t) b->column[0].number[i - 1] : x)]++;
		}
	}
	/* nine degrees of freedom: 27.9 is the 0.999 quantile (both margins are fixed, which only makes it smaller) */
	assert_true(chi_square(pair, 16, 10000) < 27.9);
	assert_true(chi_square(place, 16, 10000) < 27.9);
	assert_true(chi_square(follow, 16, 10000) < 27.9);
	/* and not suspiciously even: the counts do vary */
	assert_true(chi_square(pair, 16, 10000) > 1);
	mg_stream_destroy(s);
}

static void
steps_are_uniform(void **state)
{
	static const mg_cell cells[] = {{-3, 17}};
	static const double fine[] = {5, 0};
	static const uint16_t merge[] = {0, 0};
	uint32_t count[20] = {0};
	world *w = *state;
	mg_stream *s;

	add_column(w, number("x", -3, 16, 1), 2, cells, fine, merge, 1);
	s = open_stream(w);
	for (int round = 0; round < 10; round++)
	{
		const mg_batch *b = next(w, s, 10000);

		for (uint32_t i = 0; i < b->rows; i++)
		{
			double v = b->column[0].number[i];

			assert_true(v >= -3 && v <= 16 && v == rint(v));
			count[(int) v + 3]++;
		}
	}
	assert_true(chi_square(count, 20, 5000) < 43.8); /* 19 degrees of freedom, 0.999 */
	mg_stream_destroy(s);
}

/* ---- domains ---- */

/* Cells that reach beyond the domain, up to the ends of the types, never lead out of it. */
static void
values_stay_in_their_domain(void **state)
{
	static const mg_cell ints[] = {{-100, 2.5}, {2.5, 2.5}, {3, 50}}, cents[] = {{0, 0.29}, {0.29, 0.29}, {0.30, 1.01}},
						 reals[] = {{-1, -0.5}, {-0.5, -0.5}, {0.25, 9}}, vast[] = {{-DBL_MAX, DBL_MAX}},
						 huge[] = {{-0x1p63, 0}, {0, 0}, {1, 0x1p63}}, far[] = {{1e15, 1e15 + 1}};
	static const double fine[] = {1, 1, 1, 0}, one[] = {1, 0};
	static const uint16_t merge[] = {0, 0, 0, 0};
	world *w = *state;
	mg_stream *s;

	add_column(w, number("int", -2, 7, 1), 4, ints, fine, merge, 1);
	add_column(w, number("cents", 0, 1, 0.01), 4, cents, fine, merge, 1);
	add_column(w, number("real", -0.75, 0.75, 0), 4, reals, fine, merge, 1);
	add_column(w, number("vast", -DBL_MAX, DBL_MAX, 0), 2, vast, one, merge, 1);
	add_column(w, number("huge", -0x1p63, 0x1p63, 1), 4, huge, fine, merge, 1);
	add_column(w, number("odd", 1, 16, 3), 4, ints, fine, merge, 1);
	add_column(w, number("far", 1e15, 1e15 + 1, 0), 2, far, one, merge, 1);
	s = open_stream(w);
	for (int round = 0; round < 3; round++)
	{
		const mg_batch *b = next(w, s, 5000);

		for (uint32_t c = 0; c < w->model.ncolumns; c++)
		{
			const mg_domain *d = &w->column[c].domain;

			for (uint32_t i = 0; i < b->rows; i++)
			{
				double v = b->column[c].number[i];

				assert_true(!b->column[c].null[i] && v >= d->lower && v <= d->upper);
				if (c == 0)
					assert_true(v == rint(v) || v == 2.5); /* a stored cell may be off the step; it is kept */
				if (c == 1)
					assert_true(v == rint(v * 100) / 100); /* the double nearest to its decimal */
				if (c == 5)
					assert_true(v == 2.5 || fmod(v - 1, 3) == 0);
			}
		}
	}
	mg_stream_destroy(s);
}

/* Values of a cell without steps come on a decimal grid of at least 16 points a cell, and reach both halves of it. */
static void
spans_are_rounded(void **state)
{
	static const mg_cell cells[] = {{0.1, 0.2}, {1000, 9000}};
	static const double fine[] = {1, 1, 0};
	static const uint16_t merge[] = {0, 1, 0};
	world *w = *state;
	const mg_batch *b;
	uint32_t low = 0;
	mg_stream *s;

	add_column(w, number("x", 0, 10000, 0), 3, cells, fine, merge, 2);
	s = open_stream(w);
	b = next(w, s, 10000);
	for (uint32_t i = 0; i < b->rows; i++)
	{
		double v = b->column[0].number[i];

		if (i % 2 == 0)
		{
			assert_true(v >= 0.1 && v <= 0.2 && v == rint(v * 1000) / 1000);
			low += v < 0.15;
		}
		else
			assert_true(v >= 1000 && v <= 9000 && fmod(v, 100) == 0);
	}
	assert_near(low, 2500, 150);
	mg_stream_destroy(s);
}

/* What a column cannot show is not shown: its mass goes to what it can. */
static void
nulls_and_others(void **state)
{
	static const double fine[] = {30, 10, 20, 15, 25}; /* red blue green, other, NULL */
	static const uint16_t own[] = {0, 1, 2, 3, 4}, four[] = {0, 1, 2, 3, 0}, three[] = {0, 1, 2, 0, 0};
	static const mg_cell cells[] = {{1, 1}};
	static const double number_fine[] = {3, 5};
	static const uint16_t number_merge[] = {0, 1};
	uint32_t label[5][5] = {{0}}, null[6] = {0};
	world *w = *state;
	mg_stream *s;

	add_column(w, category("all", 3, true, true, "else"), 5, NULL, fine, own, 5);
	add_column(w, category("null for other", 3, true, true, NULL), 5, NULL, fine, own, 5);
	add_column(w, category("not null", 3, false, true, NULL), 5, NULL, fine, four, 4);
	add_column(w, category("not null, else", 3, false, true, "else"), 5, NULL, fine, four, 4);
	add_column(w, category("closed", 3, false, false, NULL), 5, NULL, fine, three, 3);
	add_column(w, number("x", 1, 1, 1), 2, cells, number_fine, number_merge,
			   2); /* a code of NULL in a NOT NULL column */
	add_column(w, category("nothing", 0, false, true, NULL), 2, NULL, fine, three, 2);
	s = open_stream(w);
	for (int round = 0; round < 4; round++)
	{
		const mg_batch *b = next(w, s, 6000);

		for (uint32_t i = 0; i < b->rows; i++)
		{
			for (uint32_t c = 0; c < 5; c++)
			{
				null[c] += b->column[c].null[i];
				if (!b->column[c].null[i])
				{
					assert_true(b->column[c].label[i] <= 3);
					label[c][b->column[c].label[i]]++;
				}
			}
			null[5] += b->column[5].null[i] || b->column[6].null[i];
			assert_true(b->column[5].number[i] == 1);
			assert_int_equal(b->column[6].label[i], 0); /* beyond its labels, of which there are none */
		}
	}
	/* 24,000 rows, codes in turn */
	assert_int_equal(null[0], 4800);
	assert_int_equal(label[0][3], 4800);
	assert_int_equal(null[1], 9600);
	assert_int_equal(label[1][3], 0);
	assert_int_equal(null[2] + null[3] + null[4] + null[5], 0);
	assert_int_equal(label[3][3], 6000);
	assert_int_equal(label[2][3] + label[4][3], 0);
	/* the 6,000 rows coded `other` fall on the labels by their masses */
	assert_near(label[2][0], 6000 + 3000, 8);
	assert_near(label[2][1], 6000 + 1000, 8);
	assert_near(label[2][2], 6000 + 2000, 8);
	assert_int_equal(label[4][0], 8000);
	mg_stream_destroy(s);
}

/* A bin of no mass at all still has values: evenly. */
static void
empty_bins_are_even(void **state)
{
	static const mg_cell cells[] = {{0, 0}, {1, 1}};
	static const double fine[] = {0, 0, 0};
	static const uint16_t merge[] = {0, 0, 0};
	uint32_t ones = 0;
	world *w = *state;
	const mg_batch *b;
	mg_stream *s;

	add_column(w, number("x", 0, 1, 1), 3, cells, fine, merge, 1);
	s = open_stream(w);
	b = next(w, s, 1000);
	for (uint32_t i = 0; i < 1000; i++)
		ones += b->column[0].number[i] == 1;
	assert_near(ones, 500, 1);
	mg_stream_destroy(s);
}

/* ---- streams ---- */

static void
add_two_columns(world *w)
{
	static const mg_cell cells[] = {{0, 100}, {100, 5000}};
	static const double fine[] = {3, 1, 0}, labels[] = {4, 3, 2, 1, 0, 0};
	static const uint16_t merge[] = {0, 0, 0}, label_merge[] = {0, 0, 1, 1, 0, 0};

	add_column(w, number("x", 0, 5000, 1), 3, cells, fine, merge, 1);
	add_column(w, category("c", 4, false, false, NULL), 6, NULL, labels, label_merge, 2);
}

static void
batches_repeat(void **state)
{
	static const uint32_t sizes[] = {100, 1, 4000, 1, 1, MG_BATCH_ROWS};
	static const bool second_only[] = {false, true};
	world *w = *state;
	mg_stream *s, *t, *u, *v;
	uint32_t differ = 0, rows = 0;
	double one = -1;

	add_two_columns(w);
	s = open_stream(w);
	t = open_stream(w);
	u = open_stream(w);
	mg_stream_want(u, second_only);
	w->key[31] ^= 1;
	v = open_stream(w);
	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++)
	{
		uint32_t n = sizes[k];
		const mg_batch *a = next(w, s, n), *b = next(w, t, n), *c = next(w, u, n), *d = next(w, v, n);

		assert_memory_equal(a->column[0].number, b->column[0].number, n * sizeof(double));
		assert_memory_equal(a->column[1].label, b->column[1].label, n * sizeof(uint32_t));
		/* a column's values do not hang on which others are wanted */
		assert_memory_equal(a->column[1].label, c->column[1].label, n * sizeof(uint32_t));
		for (uint32_t i = 0; i < n; i++)
			differ += a->column[0].number[i] != d->column[0].number[i];
		rows += n;
		/* batches of one row differ from each other */
		if (n == 1)
		{
			assert_true(a->column[0].number[0] != one);
			one = a->column[0].number[0];
		}
	}
	assert_true(differ > rows * 9 / 10);
	/* all columns again */
	mg_stream_want(u, NULL);
	assert_memory_equal(next(w, u, 50)->column[0].number, next(w, s, 50)->column[0].number, 50 * sizeof(double));
	mg_stream_destroy(s);
	mg_stream_destroy(t);
	mg_stream_destroy(u);
	mg_stream_destroy(v);
	mg_stream_destroy(NULL);
}

static void
bad_calls(void **state)
{
	world *w = *state;
	const mg_batch *b;
	mg_stream *s;
	mg_ctx ctx;

	add_two_columns(w);
	s = open_stream(w);
	mg_ctx_init(&ctx);
	assert_int_equal(mg_stream_next(&ctx, s, 0, &b), MG_INTERNAL);
	mg_ctx_init(&ctx);
	assert_int_equal(mg_stream_next(&ctx, s, MG_BATCH_ROWS + 1, &b), MG_INTERNAL);
	mg_stream_destroy(s);
	w->model.method = &broken_method;
	mg_ctx_init(&ctx);
	assert_int_equal(mg_stream_create(&ctx, &w->model, w->key, &s), MG_INTERNAL);
	assert_null(s);
}

static void
methods_by_name(void **state)
{
	assert_non_null(mg_method_find("mst"));
	assert_non_null(mg_method_find("independent"));
	assert_null(mg_method_find(""));
	assert_null(mg_method_find("MST"));
	for (const mg_method *const *m = mg_methods; *m != NULL; m++)
	{
		assert_ptr_equal(mg_method_find((*m)->name), *m);
		assert_true((*m)->summary != NULL && (*m)->plan != NULL && (*m)->fit != NULL && (*m)->write_body != NULL &&
					(*m)->read_body != NULL && (*m)->compile != NULL && (*m)->describe != NULL);
	}
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, free_world)
	const struct CMUnitTest tests[] = {
		TEST(cells_follow_their_masses),
		TEST(columns_are_independent_within_bins),
		TEST(steps_are_uniform),
		TEST(values_stay_in_their_domain),
		TEST(spans_are_rounded),
		TEST(nulls_and_others),
		TEST(empty_bins_are_even),
		TEST(batches_repeat),
		TEST(bad_calls),
		TEST(methods_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
