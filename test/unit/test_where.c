/*
 * test/unit/test_where.c: rows that are passed over, against the same rows without conditions, row by row: no row that
 * satisfies the conditions is missing, none is another, and what is passed over does not satisfy them. Over random
 * models with NULLs, single values, lattices and spans, dependent columns and a constraint, and with numbers that are
 * rounded when they are seen.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <string.h>

#include "synthesis/marking.h"
#include "synthesis/where.h"
#include "toy_model.h"

/* ---- random conditions ---- */

#define MOST_INTERVALS 3

/* On column col; ends of intervals are often values that the column has. */
static mg_condition
random_condition(world *w, uint32_t col)
{
	const mg_column *c = &w->model->columns[col];
	mg_condition out = {.col = col, .null = below(w, 3) == 0};
	mg_interval *v = toy_take(w->a, MOST_INTERVALS, sizeof(mg_interval));
	double at = -10;

	if (c->domain.kind == MG_CATEGORY)
	{
		bool *label = toy_take(w->a, c->domain.nlabels + 1, sizeof(bool));
		uint32_t rare = 1 + below(w, 10);

		for (uint32_t i = 0; i <= c->domain.nlabels; i++)
			label[i] = below(w, rare) == 0;
		out.label = label;
		return out;
	}
	for (uint32_t i = below(w, MOST_INTERVALS + 1); i > 0; i--)
	{
		bool point = below(w, 3) == 0;
		double from = at + 1 + below(w, 30), to = from + (point ? 0 : 0.5 * below(w, 20));

		v[out.nintervals++] = (mg_interval){from, to};
		at = to;
	}
	if (out.nintervals > 0 && below(w, 4) == 0)
		v[out.nintervals - 1].high = INFINITY;
	out.interval = v;
	return out;
}

/* By definition, without looking for anything in a clever way. */
static bool
satisfies(const world *w, const mg_condition *c, const mg_values *v, uint32_t i, mg_snap snap)
{
	double x;

	if (v->null[i])
		return c->null;
	if (w->model->columns[c->col].domain.kind == MG_CATEGORY)
		return c->label[v->label[i]];
	x = snap != NULL ? snap(NULL, c->col, v->number[i]) : v->number[i];
	for (uint32_t k = 0; k < c->nintervals; k++)
		if (c->interval[k].low <= x && x <= c->interval[k].high)
			return true;
	return false;
}

static double
to_fours(void *arg, uint32_t col, double v)
{
	return 4 * rint(v / 4);
}

/* ---- models ---- */

static mg_kind
kind_of(const void *columns, uint32_t col)
{
	return ((const mg_column *) columns)[col].domain.kind;
}

/* Columns 3 and 6 are numbers that depend on nothing: the first is at most the second. Some rows must be drawn again.
 */
static void
constrain(world *w)
{
	static const mg_term terms[] = {{.col = 3, .factor = 1}, {.col = 6, .factor = -1}};
	static const mg_expr node = {.kind = MG_EXPR_COMPARE,
								 .span = 1,
								 .compare = MG_LESS | MG_EQUAL,
								 .nterms = 2,
								 .terms = terms};
	mg_constraint c = {.name = "order", .definition = "", .how = MG_HOW_REDRAWS, .nnodes = 1, .expr = &node};

	assert_int_equal(mg_constraint_finish(&w->ctx, w->a, COLUMNS, kind_of, w->model->columns, &c), MG_OK);
	assert_int_equal(mg_model_constrain(&w->ctx, w->model, &c, 1), MG_OK);
}

typedef struct variant
{
	bool depends, constrained, marked;
	mg_snap snap;
	mg_mark_plan *plan; /* of the model there is, where rows are marked; and the mark */
	mg_mark *mark;
} variant;

static void
forget_mark(variant *v)
{
	mg_mark_destroy(v->mark);
	mg_mark_plan_destroy(v->plan);
	v->mark = NULL;
	v->plan = NULL;
}

static void
random_model(world *w, variant *v)
{
	static const uint8_t key[MG_KEY_BYTES] = "a key of marks";

	forget_mark(v);
	make_mixed(w, &even);
	if (v->depends)
		assert_int_equal(mg_model_depend(&w->ctx, w->model, mixed, NMIXED), MG_OK);
	if (v->constrained)
		constrain(w);
	if (!v->marked)
		return;
	assert_int_equal(mg_mark_plan_make(&w->ctx, w->model, &v->plan), MG_OK);
	assert_int_equal(mg_mark_create(&w->ctx, v->plan, key, NULL, &v->mark), MG_OK);
}

static mg_stream *
open_stream(world *w, const variant *v, const bool *want)
{
	static const uint8_t key[32] = "rows that are passed over";
	mg_stream *s;

	assert_int_equal(mg_stream_create(&w->ctx, w->model, key, &s), MG_OK);
	if (v->mark != NULL)
		assert_int_equal(mg_stream_mark(&w->ctx, s, v->mark), MG_OK);
	mg_stream_snap(s, v->snap, NULL);
	mg_stream_want(s, want);
	return s;
}

/* ---- the property ---- */

static bool
same_value(const mg_values *x, const mg_values *y, uint32_t i)
{
	if (x->null[i] || y->null[i])
		return x->null[i] == y->null[i];
	return x->label != NULL ? x->label[i] == y->label[i] : x->number[i] == y->number[i];
}

typedef struct tally
{
	uint64_t rows, kept, satisfied, empty;
} tally;

static void
compare_batch(const world *w, const variant *v, const mg_batch *all, const mg_batch *some, const bool *want,
			  const mg_condition *where, uint32_t n, tally *t)
{
	uint32_t k = 0;

	assert_int_equal(all->rows, some->rows);
	assert_null(all->row);
	assert_non_null(some->row);
	for (uint32_t i = 0; i < all->rows; i++)
	{
		bool good = true, kept = k < some->nrows && some->row[k] == i;

		for (uint32_t c = 0; c < n; c++)
			good = good && satisfies(w, &where[c], &all->column[where[c].col], i, v->snap);
		/* values are far enough apart from the ends that they do not equal */
		assert_true(kept == good);
		t->satisfied += good;
		if (!kept)
			continue;
		k++;
		for (uint32_t c = 0; c < COLUMNS; c++)
			if (want[c])
				assert_true(same_value(&all->column[c], &some->column[c], i));
	}
	assert_int_equal(k, some->nrows);
	t->rows += all->rows;
	t->kept += k;
	t->empty += k == 0;
}

static void
random_scan(world *w, const variant *v, tally *t)
{
	static const uint32_t sizes[] = {900, 1, 300, 40};
	bool want[COLUMNS];
	uint32_t n = 0;
	mg_condition where[3];
	mg_stream *full, *some;
	const mg_batch *x, *y;

	for (uint32_t c = 0; c < COLUMNS; c++)
	{
		want[c] = below(w, 2) == 0;
		if (n < 3 && below(w, 3) == 0)
			where[n++] = random_condition(w, c);
	}
	if (n == 0)
		where[n++] = random_condition(w, below(w, COLUMNS));
	full = open_stream(w, v, NULL);
	some = open_stream(w, v, want);
	assert_int_equal(mg_stream_where(&w->ctx, some, where, n), MG_OK);
	for (int b = 0; b < 4; b++)
	{
		assert_int_equal(mg_stream_next(&w->ctx, full, sizes[b], &x), MG_OK);
		assert_int_equal(mg_stream_next(&w->ctx, some, sizes[b], &y), MG_OK);
		compare_batch(w, v, x, y, want, where, n, t);
	}
	mg_stream_destroy(some);
	mg_stream_destroy(full);
}

static void
scans_are_filtered_scans(world *w, variant *v)
{
	tally t = {0};

	for (int model = 0; model < 12; model++)
	{
		random_model(w, v);
		for (int scan = 0; scan < 12; scan++)
			random_scan(w, v, &t);
	}
	/* it was about something: rows of both kinds, and batches without any */
	assert_true(t.satisfied > t.rows / 100 && t.satisfied < t.rows / 2 && t.empty > 20);
	forget_mark(v);
}

static void
plain_columns(void **state)
{
	scans_are_filtered_scans(*state, &(variant){0});
}

static void
dependent_columns(void **state)
{
	scans_are_filtered_scans(*state, &(variant){.depends = true});
}

static void
rows_drawn_again(void **state)
{
	scans_are_filtered_scans(*state, &(variant){.constrained = true});
}

static void
rounded_numbers(void **state)
{
	scans_are_filtered_scans(*state, &(variant){.snap = to_fours});
	scans_are_filtered_scans(*state, &(variant){.depends = true, .constrained = true, .snap = to_fours});
}

static void
marked_rows(void **state)
{
	scans_are_filtered_scans(*state, &(variant){.depends = true, .constrained = true, .marked = true});
}

/* ---- codes ---- */

/*
 * A condition that no code can satisfy costs no values at all, and one that codes decide alone is decided there: values
 * of the other columns stay as they were.
 */
static void
codes_decide(void **state)
{
	world *w = *state;
	variant v = {0};
	mg_condition none = {.col = 3, .interval = &(mg_interval){-5, -1}, .nintervals = 1};
	const mg_batch *b;
	mg_stream *s;

	random_model(w, &v);
	s = open_stream(w, &v, NULL);
	assert_int_equal(mg_stream_where(&w->ctx, s, &none, 1), MG_OK);
	assert_int_equal(mg_stream_next(&w->ctx, s, 500, &b), MG_OK);
	assert_int_equal(b->nrows, 0);
	for (uint32_t i = 0; i < 500; i++)
		assert_true(b->column[3].number[i] == 0 && !b->column[0].null[i] && b->column[0].label[i] == 0);
	mg_stream_destroy(s);
}

/* Batches may be asked for out of turn. */
static void
batches_by_number(void **state)
{
	world *w = *state;
	variant v = {.depends = true, .constrained = true};
	mg_stream *x, *y;
	const mg_batch *a, *b;

	random_model(w, &v);
	x = open_stream(w, &v, NULL);
	y = open_stream(w, &v, NULL);
	for (uint64_t k = 0; k < 4; k++)
		assert_int_equal(mg_stream_next(&w->ctx, x, 200, &a), MG_OK);
	mg_stream_seek(y, 3);
	assert_int_equal(mg_stream_next(&w->ctx, y, 200, &b), MG_OK);
	for (uint32_t c = 0; c < COLUMNS; c++)
		for (uint32_t i = 0; i < 200; i++)
			assert_true(same_value(&a->column[c], &b->column[c], i));
	mg_stream_destroy(x);
	mg_stream_destroy(y);
}

/* ---- refusals, estimates ---- */

static void
wrong_conditions(void **state)
{
	world *w = *state;
	variant v = {0};
	static const mg_interval unordered[] = {{3, 4}, {1, 2}}, nan[] = {{NAN, 1}};
	mg_condition bad[] = {{.col = COLUMNS},
						  {.col = 0},
						  {.col = 3, .interval = unordered, .nintervals = 2},
						  {.col = 3, .interval = nan, .nintervals = 1},
						  {.col = 3, .nintervals = 1}};
	mg_condition twice[] = {{.col = 3}, {.col = 3}};
	mg_stream *s;

	random_model(w, &v);
	s = open_stream(w, &v, NULL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(mg_stream_where(&w->ctx, s, &bad[i], 1), MG_INVALID);
	assert_int_equal(mg_stream_where(&w->ctx, s, twice, 2), MG_INVALID);
	mg_stream_destroy(s);
}

/* The share that a condition is estimated to leave is the mass of its codes, and of its part of a code. */
static void
estimated_shares(void **state)
{
	world *w = *state;
	const mg_column *c;
	mg_condition where[2] = {{.col = 3}, {.col = 0}};
	mg_interval half = {0, 0}, all = {-INFINITY, INFINITY};
	bool *label;
	double share, first = 0, total = 0;

	make_mixed(w, &even);
	c = &w->model->columns[3];
	/* all of column 3, which is NOT NULL; nothing; the cells of its first code */
	where[0].interval = &all;
	where[0].nintervals = 1;
	assert_int_equal(mg_where_share(&w->ctx, w->model, NULL, where, 1, &share), MG_OK);
	assert_true(fabs(share - 1) < 1e-12);
	where[0].nintervals = 0;
	assert_int_equal(mg_where_share(&w->ctx, w->model, NULL, where, 1, &share), MG_OK);
	assert_true(share == 0);
	where[0].nintervals = 1;
	where[0].interval = &half;
	for (uint32_t f = 0; f + 1 < c->nfine; f++)
		if (c->merge[f] == 0)
			half.high = c->cells[f].upper;
	for (uint32_t i = 0; i < c->ncoarse; i++)
		total += c->coarse[i];
	first = c->coarse[0] / total;
	assert_int_equal(mg_where_share(&w->ctx, w->model, NULL, where, 1, &share), MG_OK);
	assert_true(fabs(share - first) < 0.1 && share > 0);
	/* columns multiply */
	label = toy_take(w->a, w->model->columns[0].domain.nlabels + 1, sizeof(bool));
	where[1].label = label;
	assert_int_equal(mg_where_share(&w->ctx, w->model, NULL, where, 2, &share), MG_OK);
	assert_true(share == 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(plain_columns, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(dependent_columns, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(rows_drawn_again, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(rounded_numbers, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(marked_rows, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(codes_decide, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(batches_by_number, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(wrong_conditions, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(estimated_shares, toy_set_up, toy_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
