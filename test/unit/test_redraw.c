/*
 * test/unit/test_redraw.c: rows that are drawn again: none violates a constraint, whatever is wanted, with bounded
 * work; and the rejection rates that a model is described with.
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

#include "constraint_world.h"
#include "synthesis/values.h"

/* ---- rows that are drawn again ---- */

static void
constrain(world *w, const mg_constraint *list, uint32_t n)
{
	assert_int_equal(mg_model_constrain(&w->ctx, &w->model, list, n), MG_OK);
}

/* Rows of the batch that violate a constraint of the model, by the oracle. */
static uint32_t
violations(world *w, const mg_batch *b)
{
	uint32_t bad = 0;

	for (uint32_t i = 0; i < b->rows; i++)
		for (uint32_t k = 0; k < w->model.nconstraints; k++)
		{
			const mg_constraint *c = &w->model.constraints[k];
			cell row[NCOLUMNS] = {{0}};

			for (uint32_t j = 0; j < c->ncols; j++)
				row[c->cols[j]] = cell_of(&w->column[c->cols[j]], &b->column[c->cols[j]], i);
			bad += oracle_truth(c->expr, row) == MG_TRUTH_FALSE;
		}
	return bad;
}

/* age <= short (violated by more than half), colour differs from paint, price is there unless the grade is below 2 */
static void
three_constraints(world *w, tree *t, mg_constraint *list)
{
	uint32_t i;

	put_order(&t[0], AGE, MG_LESS | MG_EQUAL, SHORT, 0);
	i = open_node(&t[1], MG_EXPR_NOT);
	put_same(&t[1], COLOUR, PAINT);
	close_node(&t[1], i);
	i = open_node(&t[2], MG_EXPR_OR);
	put_compare(&t[2], MG_EXPR_COMPARE, MG_LESS, 2, 1, &(mg_term){GRADE, 1});
	put_compare(&t[2], MG_EXPR_NONNULL, MG_GREATER, 0, 1, &(mg_term){PRICE, 1});
	close_node(&t[2], i);
	list[0] = constraint(w, &t[0], "order");
	list[1] = constraint(w, &t[1], "differ");
	list[2] = constraint(w, &t[2], "implied");
}

static void
no_row_violates(void **state)
{
	static const uint32_t sizes[] = {1, 7, 1000, MG_BATCH_ROWS, 3};
	world *w = *state;
	static tree t[3];
	mg_constraint list[3];
	const mg_batch *b;
	mg_stream *s;

	memset(t, 0, sizeof(t));
	/* without constraints most rows violate: the test can fail */
	assert_int_equal(mg_stream_create(&w->ctx, &w->model, w->key, &s), MG_OK);
	assert_int_equal(mg_stream_next(&w->ctx, s, 1000, &b), MG_OK);
	three_constraints(w, t, list);
	constrain(w, list, 3);
	assert_true(violations(w, b) > 300);
	mg_stream_destroy(s);

	assert_int_equal(mg_stream_create(&w->ctx, &w->model, w->key, &s), MG_OK);
	for (int k = 0; k < 5; k++)
	{
		assert_int_equal(mg_stream_next(&w->ctx, s, sizes[k], &b), MG_OK);
		assert_int_equal(b->rows, sizes[k]);
		assert_int_equal(violations(w, b), 0);
	}
	mg_stream_destroy(s);
}

static bool
same_values(const mg_column *col, const mg_values *x, const mg_values *y, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
	{
		if (x->null[i] != y->null[i])
			return false;
		if (!x->null[i] && (col->domain.kind == MG_NUMBER ? x->number[i] != y->number[i] : x->label[i] != y->label[i]))
			return false;
	}
	return true;
}

/* The same rows again, whichever columns are wanted; those that nobody wants and no constraint needs are not made. */
static void
wants_change_nothing(void **state)
{
	enum
	{
		ROWS = 3000
	};
	world *w = *state;
	static tree t[3];
	mg_constraint list[3];
	const mg_batch *x, *y;
	mg_stream *s, *u;

	memset(t, 0, sizeof(t));
	three_constraints(w, t, list);
	constrain(w, list, 1);
	for (uint32_t only = 0; only < NCOLUMNS; only++)
	{
		bool want[NCOLUMNS] = {false};

		want[only] = true;
		assert_int_equal(mg_stream_create(&w->ctx, &w->model, w->key, &s), MG_OK);
		assert_int_equal(mg_stream_create(&w->ctx, &w->model, w->key, &u), MG_OK);
		mg_stream_want(u, want);
		for (int batch = 0; batch < 2; batch++)
		{
			assert_int_equal(mg_stream_next(&w->ctx, s, ROWS, &x), MG_OK);
			assert_int_equal(mg_stream_next(&w->ctx, u, ROWS, &y), MG_OK);
			assert_true(same_values(&w->column[only], &x->column[only], &y->column[only], ROWS));
			assert_int_equal(violations(w, y), 0);
			/* not made: still as it was allocated */
			if (only != PRICE)
				for (uint32_t i = 0; i < ROWS; i++)
					assert_true(!y->column[PRICE].null[i] && y->column[PRICE].number[i] == 0);
		}
		mg_stream_destroy(s);
		mg_stream_destroy(u);
	}
}

/* Nothing wanted, or nothing to keep: the sampler draws what was asked for, once. */
static void
others_pay_nothing(void **state)
{
	static const bool none[NCOLUMNS] = {false};
	world *w = *state;
	static tree t[3];
	mg_constraint list[3];
	const mg_batch *b;
	mg_stream *s;

	memset(t, 0, sizeof(t));
	three_constraints(w, t, list);
	constrain(w, list, 3);
	assert_int_equal(mg_stream_create(&w->ctx, &w->model, w->key, &s), MG_OK);
	mg_stream_want(s, none);
	drawn = 0;
	assert_int_equal(mg_stream_next(&w->ctx, s, 500, &b), MG_OK);
	assert_int_equal(drawn, 500);
	mg_stream_want(s, NULL);
	assert_int_equal(mg_stream_next(&w->ctx, s, 500, &b), MG_OK);
	assert_true(drawn > 1000);
	mg_stream_destroy(s);
	for (int i = 0; i < 3; i++)
		list[i].how = MG_HOW_NONE;
	constrain(w, list, 3);
	assert_int_equal(mg_stream_create(&w->ctx, &w->model, w->key, &s), MG_OK);
	drawn = 0;
	assert_int_equal(mg_stream_next(&w->ctx, s, 500, &b), MG_OK);
	assert_int_equal(drawn, 500);
	assert_true(violations(w, b) > 100);
	mg_stream_destroy(s);
}

/* What new values within the same bins can mend does not change bins: none is drawn. */
static void
bins_stay_where_they_can(void **state)
{
	enum
	{
		ROWS = 5000
	};
	world *w = *state;
	mg_constraint c;
	const mg_batch *b;
	uint32_t i, upper = 0;
	mg_stream *s;
	tree t = {.n = 0};

	/* both columns have one code, of values 0..39 and 0..5 */
	static const uint16_t one[] = {0, 0, 0, 0, 0, 0, 0};

	w->column[AGE].merge = w->column[SHORT].merge = one;
	w->column[AGE].ncoarse = w->column[SHORT].ncoarse = 1;
	put_order(&t, AGE, MG_GREATER | MG_EQUAL, SHORT, 0);
	c = constraint(w, &t, "order");
	constrain(w, &c, 1);
	assert_int_equal(mg_stream_create(&w->ctx, &w->model, w->key, &s), MG_OK);
	drawn = 0;
	assert_int_equal(mg_stream_next(&w->ctx, s, ROWS, &b), MG_OK);
	assert_int_equal(violations(w, b), 0);
	assert_int_equal(drawn, ROWS);
	for (i = 0; i < ROWS; i++)
		upper += !b->column[AGE].null[i] && b->column[AGE].number[i] >= 20;
	/* a quarter of the mass, and what fails is mended from all of it */
	assert_in_range(upper, ROWS / 4, ROWS / 3);
	mg_stream_destroy(s);
	/* the test can fail: some do violate it */
	w->model.nconstraints = 0;
	assert_int_equal(mg_stream_create(&w->ctx, &w->model, w->key, &s), MG_OK);
	assert_int_equal(mg_stream_next(&w->ctx, s, ROWS, &b), MG_OK);
	w->model.nconstraints = 1;
	assert_in_range(violations(w, b), 100, ROWS / 5);
	mg_stream_destroy(s);
}

/* Values of a bin within bounds: no others, each as often as its part of the bin's mass. */
static void
values_within_bounds(void **state)
{
	/* a bin of 0..9 (mass 5), 10 (3), 10..19 (2), 20..39 (4) */
	static const uint16_t one[] = {0, 0, 0, 0, 0};
	world *w = *state;
	mg_decoder_column *dc;
	uint32_t count[40] = {0};
	mg_rng r;
	double v = -1;

	w->column[AGE].merge = one;
	w->column[AGE].ncoarse = 1;
	mg_rng_seed(&r, 3);
	assert_int_equal(mg_values_prepare(&w->ctx, w->a, &w->column[AGE], &dc), MG_OK);
	for (int i = 0; i < 47000; i++)
	{
		assert_true(mg_values_within(dc, &r, 0, 7.5, 21, &v));
		assert_true(v >= 8 && v <= 21 && v == rint(v));
		count[(int) v]++;
	}
	/* masses 2/10 of 5, 3, 2, 2/20 of 4: 6.4 in all */
	assert_near(count[8], 47000 * 0.5 / 6.4, 300);
	assert_near(count[10], 47000 * 3.2 / 6.4, 600);
	assert_near(count[15], 47000 * 0.2 / 6.4, 200);
	assert_near(count[21], 47000 * 0.2 / 6.4, 200);
	assert_false(mg_values_within(dc, &r, 0, 40, 50, &v));
	assert_false(mg_values_within(dc, &r, 0, 8.2, 8.8, &v));
	assert_false(mg_values_within(dc, &r, 0, 9, 8, &v));
	assert_true(mg_values_within(dc, &r, 0, -INFINITY, INFINITY, &v));
	assert_true(mg_values_within(dc, &r, 0, 33, 33, &v));
	assert_true(v == 33);
}

/* A sum that must be met exactly, and a narrow window: what chance would hardly meet is aimed at, within the bins. */
static void
narrow_conditions_are_aimed_at(void **state)
{
	static const uint16_t one[] = {0, 0, 0, 0, 0, 0, 0};
	const mg_term sum[] = {{PRICE, 1}, {AGE, -1}, {SHORT, -0.1}};
	world *w = *state;
	static tree t[2];
	mg_constraint list[2];
	const mg_batch *b;
	mg_stream *s;

	memset(t, 0, sizeof(t));
	w->column[AGE].merge = w->column[SHORT].merge = w->column[PRICE].merge = one;
	w->column[AGE].ncoarse = w->column[SHORT].ncoarse = w->column[PRICE].ncoarse = 1;
	w->column[PRICE].domain.step = 0.1;
	w->column[AGE].domain.nullable = w->column[SHORT].domain.nullable = w->column[PRICE].domain.nullable = false;
	put_compare(&t[0], MG_EXPR_COMPARE, MG_EQUAL, 0, 3, sum);
	t[0].node[0].decimal = true;
	t[1].node[open_node(&t[1], MG_EXPR_AND)].span = 3;
	put_order(&t[1], AGE, MG_LESS, PRICE, 0);
	put_order(&t[1], AGE, MG_GREATER | MG_EQUAL, PRICE, -0.25);
	for (int i = 0; i < 2; i++)
	{
		list[i] = constraint(w, &t[i], "narrow");
		constrain(w, &list[i], 1);
		assert_int_equal(mg_stream_create(&w->ctx, &w->model, w->key, &s), MG_OK);
		drawn = 0;
		assert_int_equal(mg_stream_next(&w->ctx, s, 4000, &b), MG_OK);
		/* no new codes */
		assert_int_equal(drawn, 4000);
		for (uint32_t k = 0; k < 4000; k++)
		{
			const mg_values *price = &b->column[PRICE], *age = &b->column[AGE], *add = &b->column[SHORT];
			double more = price->number[k] - age->number[k];

			if (i == 0)
				assert_near(more, add->number[k] / 10, 1e-9);
			if (i == 1)
				assert_true(more > 0.05 && more < 0.25);
		}
		/* and it is no reason to give the constraint up */
		assert_int_equal(mg_constraints_measure(&w->ctx, &w->model, NULL, NULL), MG_OK);
		assert_true(mg_constraint_enforced(&w->model.constraints[0]) && w->model.constraints[0].rejected > 0.4);
		mg_stream_destroy(s);
	}
}

static double
to_tens(void *arg, uint32_t col, double v)
{
	++*(uint32_t *) arg;
	return col == AGE ? 10 * floor(v / 10) : v;
}

/* Constraints are judged by what will be seen. */
static void
rounded_values_are_judged(void **state)
{
	world *w = *state;
	uint32_t calls = 0;
	mg_constraint c;
	const mg_batch *b;
	mg_stream *s;
	tree t = {.n = 0};

	put_order(&t, AGE, MG_GREATER, SHORT, 0);
	c = constraint(w, &t, "order");
	constrain(w, &c, 1);
	assert_int_equal(mg_stream_create(&w->ctx, &w->model, w->key, &s), MG_OK);
	mg_stream_snap(s, to_tens, &calls);
	assert_int_equal(mg_stream_next(&w->ctx, s, 2000, &b), MG_OK);
	assert_true(calls > 2000);
	for (uint32_t i = 0; i < 2000; i++)
	{
		if (!b->column[AGE].null[i])
			assert_true(fmod(b->column[AGE].number[i], 10) == 0);
		if (!b->column[AGE].null[i] && !b->column[SHORT].null[i])
			assert_true(b->column[AGE].number[i] > b->column[SHORT].number[i]);
	}
	mg_stream_destroy(s);
}

/* The model cannot: an error that names the constraint, after bounded work. */
static void
impossible_is_said(void **state)
{
	world *w = *state;
	mg_constraint c;
	const mg_batch *b;
	mg_stream *s;
	tree t = {.n = 0};

	put_compare(&t, MG_EXPR_NONNULL, MG_GREATER, 1, 1, &(mg_term){AGE, 1});
	c = constraint(w, &t, "more than one");
	constrain(w, &c, 1);
	assert_int_equal(mg_stream_create(&w->ctx, &w->model, w->key, &s), MG_OK);
	drawn = 0;
	assert_int_equal(mg_stream_next(&w->ctx, s, 100, &b), MG_IMPOSSIBLE);
	assert_non_null(strstr(w->ctx.message, "\"more than one\""));
	assert_true(drawn > 1000 && drawn < 100000);
	mg_stream_destroy(s);
}

/* One row in 3,600 satisfies it: whole batches of them come out all the same, copies among them. */
static void
rare_rows_are_copied(void **state)
{
	static const mg_label red[] = {{"red", 3}};
	world *w = *state;
	mg_constraint c;
	const mg_batch *b;
	mg_stream *s;
	tree t = {.n = 0};

	w->column[AGE] = wide_column(900, false);
	w->column[COLOUR].domain.nullable = false;
	t.node[open_node(&t, MG_EXPR_AND)].span = 3;
	put_compare(&t, MG_EXPR_COMPARE, MG_EQUAL, 17, 1, &(mg_term){AGE, 1});
	put_listed(&t, COLOUR, red, 1);
	c = constraint(w, &t, "rare");
	constrain(w, &c, 1);
	assert_int_equal(mg_stream_create(&w->ctx, &w->model, w->key, &s), MG_OK);
	drawn = 0;
	tied = true;
	assert_int_equal(mg_stream_next(&w->ctx, s, MG_BATCH_ROWS, &b), MG_OK);
	/* an age of 17 ties the price to its code 1: copies are whole rows */
	for (uint32_t i = 0; i < MG_BATCH_ROWS; i++)
		assert_true(!b->column[PRICE].null[i] && b->column[PRICE].number[i] < 12.5);
	assert_int_equal(violations(w, b), 0);
	assert_true(drawn < 80ull * MG_BATCH_ROWS);
	mg_stream_destroy(s);
}

/* The code of a price or an age from its value; false where two codes have it. */
static bool
price_code(const mg_values *v, uint32_t i, uint32_t *code)
{
	*code = v->null[i] ? 3 : v->number[i] < 12.5 ? 1 : 2;
	return v->null[i] || v->number[i] != 0;
}

static bool
age_code(const mg_values *v, uint32_t i, uint32_t *code)
{
	*code = v->null[i] ? 3 : v->number[i] < 10 ? 0 : 2;
	return v->null[i] || v->number[i] != 10;
}

/* New codes and copies are whole rows: what the model ties to a constrained column stays tied to it. */
static void
rows_stay_rows(void **state)
{
	world *w = *state;
	static tree t[2];
	mg_constraint list[2];
	const mg_batch *b;
	mg_stream *s;

	memset(t, 0, sizeof(t));
	tied = true;
	put_order(&t[0], AGE, MG_LESS | MG_EQUAL, SHORT, 0);
	put_compare(&t[1], MG_EXPR_COMPARE, MG_EQUAL, 3, 1, &(mg_term){SHORT, 1});
	list[0] = constraint(w, &t[0], "order");
	list[1] = constraint(w, &t[1], "three");
	for (uint32_t n = 1; n <= 2; n++)
	{
		uint32_t judged = 0;

		constrain(w, list, n);
		assert_int_equal(mg_stream_create(&w->ctx, &w->model, w->key, &s), MG_OK);
		assert_int_equal(mg_stream_next(&w->ctx, s, 5000, &b), MG_OK);
		assert_int_equal(violations(w, b), 0);
		for (uint32_t i = 0; i < 5000; i++)
		{
			uint32_t price, age;

			if (!price_code(&b->column[PRICE], i, &price) || !age_code(&b->column[AGE], i, &age))
				continue;
			judged++;
			assert_int_equal(price, age);
		}
		assert_true(judged > 1000);
		mg_stream_destroy(s);
	}
}

/* ---- rejection rates ---- */

static void
rates_are_measured(void **state)
{
	world *w = *state;
	static tree t[4];
	mg_constraint list[4];

	memset(t, 0, sizeof(t));
	/* age and short are NULL one time in four each; another time in four the age is 10 */
	put_compare(&t[0], MG_EXPR_NONNULL, MG_EQUAL, 1, 1, &(mg_term){AGE, 1});
	put_compare(&t[1], MG_EXPR_NONNULL, MG_EQUAL, 2, 2, (mg_term[]){{AGE, 1}, {SHORT, 1}});
	put_compare(&t[2], MG_EXPR_NONNULL, MG_EQUAL, 9, 1, &(mg_term){PRICE, 1});
	put_compare(&t[3], MG_EXPR_COMPARE, MG_LESS | MG_GREATER, 10, 1, &(mg_term){AGE, 1});
	for (int i = 0; i < 4; i++)
		list[i] = constraint(w, &t[i], "rate");
	constrain(w, list, 4);
	assert_int_equal(mg_constraints_measure(&w->ctx, &w->model, NULL, NULL), MG_OK);
	/* 32,768 rows: a standard deviation is below 0.003 */
	assert_near(w->model.constraints[0].rejected, 0.25, 0.015);
	assert_near(w->model.constraints[1].rejected, 0.4375, 0.015);
	assert_near(w->model.constraints[3].rejected, 0.25, 0.015);
	assert_int_equal(w->model.constraints[0].how, MG_HOW_REDRAWS);
	/* what no row satisfies is given up */
	assert_true(w->model.constraints[2].rejected == 1);
	assert_int_equal(w->model.constraints[2].how, MG_HOW_NONE);
	assert_non_null(w->model.constraints[2].why);
}

/* Each is satisfied by a third of the rows or more, but hardly any row satisfies all: the worst goes. */
static void
together_they_must_be_possible(void **state)
{
	static const mg_label white[] = {{"white", 5}};
	world *w = *state;
	static tree t[2];
	mg_constraint list[2];
	const mg_batch *b;
	mg_stream *s;

	memset(t, 0, sizeof(t));
	put_listed(&t[0], COLOUR, white, 1);
	t[1].node[open_node(&t[1], MG_EXPR_AND)].span = 4;
	t[1].node[open_node(&t[1], MG_EXPR_NOT)].span = 2;
	put_listed(&t[1], COLOUR, white, 1);
	t[1].node[open_node(&t[1], MG_EXPR_NOT)].span = 2;
	put_is_null(&t[1], COLOUR);
	t[1].node[0].span = t[1].n;
	list[0] = constraint(w, &t[0], "white");
	list[1] = constraint(w, &t[1], "coloured");
	w->column[COLOUR].domain.nullable = false;
	constrain(w, list, 2);
	assert_int_equal(mg_constraints_measure(&w->ctx, &w->model, NULL, NULL), MG_OK);
	assert_int_equal(w->model.constraints[0].how, MG_HOW_NONE);
	assert_int_equal(w->model.constraints[1].how, MG_HOW_REDRAWS);
	assert_int_equal(mg_stream_create(&w->ctx, &w->model, w->key, &s), MG_OK);
	assert_int_equal(mg_stream_next(&w->ctx, s, 100, &b), MG_OK);
	mg_stream_destroy(s);
}

static bool
stop_at(void *arg)
{
	return --*(int *) arg <= 0;
}

/* Judging many constraints, and measuring what they reject, is long work: whoever waits for it may stop it anywhere. */
static void
judging_can_be_cancelled(void **state)
{
	world *w = *state;
	mg_constraint c;
	const mg_batch *b;
	mg_stream *s;
	tree t = {.n = 0};

	put_compare(&t, MG_EXPR_NONNULL, MG_GREATER, 1, 1, &(mg_term){AGE, 1});
	c = constraint(w, &t, "more than one");
	constrain(w, &c, 1);
	w->ctx.cancel = stop_at;
	for (int polls = 1; polls <= 5; polls++)
	{
		int left = polls;

		w->ctx.code = MG_OK;
		w->ctx.cancel_arg = &left;
		assert_int_equal(mg_stream_create(&w->ctx, &w->model, w->key, &s), MG_OK);
		assert_int_equal(mg_stream_next(&w->ctx, s, 100, &b), MG_CANCELLED);
		mg_stream_destroy(s);
		w->ctx.code = MG_OK;
		left = polls;
		assert_int_equal(mg_constraints_measure(&w->ctx, &w->model, NULL, NULL), MG_CANCELLED);
	}
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, free_world)
	const struct CMUnitTest tests[] = {
		TEST(no_row_violates),
		TEST(wants_change_nothing),
		TEST(others_pay_nothing),
		TEST(bins_stay_where_they_can),
		TEST(values_within_bounds),
		TEST(narrow_conditions_are_aimed_at),
		TEST(rounded_values_are_judged),
		TEST(impossible_is_said),
		TEST(judging_can_be_cancelled),
		TEST(rare_rows_are_copied),
		TEST(rows_stay_rows),
		TEST(rates_are_measured),
		TEST(together_they_must_be_possible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
