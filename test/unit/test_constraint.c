/*
 * test/unit/test_constraint.c: constraints between columns. Truth on rows against an evaluator written from SQL's truth
 * tables; truth on boxes against all values of the box; structural zeros; the stored form.
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

/* ---- rows ---- */

static void
rows_against_the_oracle(void **state)
{
	enum
	{
		ROWS = 2500
	};
	world *w = *state;
	static uint8_t truth[ROWS];
	const mg_batch *b = NULL;
	uint32_t seen[3] = {0};
	mg_stream *s;
	mg_rng r;

	mg_rng_seed(&r, 1);
	assert_int_equal(mg_stream_create(&w->ctx, &w->model, w->key, &s), MG_OK);
	assert_int_equal(mg_stream_next(&w->ctx, s, ROWS, &b), MG_OK);
	for (int k = 0; k < 400; k++)
	{
		tree t = {.n = 0};
		mg_constraint c;
		mg_check *check;

		random_node(&t, &r, 4);
		c = constraint(w, &t, "random");
		assert_int_equal(mg_check_prepare(&w->ctx, w->a, w->column, NCOLUMNS, &c, &check), MG_OK);
		mg_check_rows(check, b->column, ROWS, truth);
		for (uint32_t i = 0; i < ROWS; i++)
		{
			cell row[NCOLUMNS];

			for (uint32_t j = 0; j < NCOLUMNS; j++)
				row[j] = cell_of(&w->column[j], &b->column[j], i);
			assert_int_equal(truth[i], oracle_truth(t.node, row));
			seen[truth[i]]++;
		}
	}
	/* the trees are worth something */
	assert_true(seen[0] > 100000 && seen[1] > 20000 && seen[2] > 100000);
	mg_stream_destroy(s);
}

/* Decimals are compared as decimals: 0.1 + 0.2 is 0.3, and no less. */
static void
decimals_are_exact(void **state)
{
	world *w = *state;
	double x = 0.1, y = 0.2;
	bool null = false;
	mg_values values[NCOLUMNS] = {[AGE] = {&null, NULL, &x}, [PRICE] = {&null, NULL, &y}};
	const mg_term terms[] = {{AGE, 1}, {PRICE, 1}};

	for (uint32_t compare = 1; compare < 7; compare++)
	{
		tree t = {.n = 0};
		mg_constraint c;
		mg_check *check;
		uint8_t truth;

		put_compare(&t, MG_EXPR_COMPARE, compare, 0.3, 2, terms);
		t.node[0].decimal = true;
		c = constraint(w, &t, "decimal");
		assert_int_equal(mg_check_prepare(&w->ctx, w->a, w->column, NCOLUMNS, &c, &check), MG_OK);
		mg_check_rows(check, values, 1, &truth);
		assert_int_equal(truth, (compare & MG_EQUAL) ? MG_TRUTH_TRUE : MG_TRUTH_FALSE);
	}
}

/* ---- boxes ---- */

/* All values of a code, by what a fine cell means; numbers on their grid. */
static uint32_t
values_of_code(const mg_column *col, uint32_t code, cell *out)
{
	const mg_domain *d = &col->domain;
	uint32_t n = 0;

	for (uint32_t i = 0; i < col->nfine; i++)
	{
		if (col->merge[i] != code)
			continue;
		if (i == col->nfine - 1)
			out[n++] = (cell){.null = true};
		else if (d->kind == MG_NUMBER)
		{
			const mg_cell *q = &col->cells[i];

			for (double v = q->lower; v < q->upper || v == q->lower; v += d->step)
				out[n++] = (cell){.number = v};
		}
		else if (i < d->nlabels || d->other != NULL)
		{
			const char *text = i < d->nlabels ? d->labels[i].text : d->other;

			out[n++] = (cell){.text = text, .number = atof(text)};
		}
	}
	assert_true(n > 0);
	return n;
}

/* Enumerates the box of the constraint's columns (at most three): the set of truths. */
static uint32_t
truths_of_box(world *w, const mg_constraint *c, const uint16_t *codes)
{
	static cell values[3][256];
	uint32_t n[3] = {1, 1, 1}, out = 0;
	cell row[NCOLUMNS] = {{0}};

	for (uint32_t i = 0; i < c->ncols; i++)
		n[i] = values_of_code(&w->column[c->cols[i]], codes[i], values[i]);
	for (uint32_t x = 0; x < n[0]; x++)
		for (uint32_t y = 0; y < n[1]; y++)
			for (uint32_t z = 0; z < n[2]; z++)
			{
				const uint32_t at[] = {x, y, z};

				for (uint32_t i = 0; i < c->ncols; i++)
					row[c->cols[i]] = values[i][at[i]];
				out |= 1u << oracle_truth(c->expr, row);
			}
	return out;
}

static bool
next_codes(world *w, const mg_constraint *c, uint16_t *codes)
{
	for (uint32_t i = c->ncols; i-- > 0;)
	{
		if (++codes[i] < w->column[c->cols[i]].ncoarse)
			return true;
		codes[i] = 0;
	}
	return false;
}

static void
boxes_are_sound(void **state)
{
	world *w = *state;
	uint32_t tried = 0, certain = 0, exact = 0;
	mg_rng r;

	mg_rng_seed(&r, 2);
	while (tried < 4000)
	{
		tree t = {.n = 0};
		uint16_t codes[NCOLUMNS] = {0};
		mg_constraint c;
		mg_boxes *boxes;

		random_node(&t, &r, 3);
		c = constraint(w, &t, "random");
		if (c.ncols == 0 || c.ncols > 3)
			continue;
		assert_int_equal(mg_boxes_prepare(&w->ctx, w->a, w->column, NCOLUMNS, &c, &boxes), MG_OK);
		do
		{
			uint32_t claimed = mg_boxes_truths(boxes, codes), found = truths_of_box(w, &c, codes);

			assert_int_equal(found & ~claimed, 0);
			tried++;
			certain += (claimed & (claimed - 1)) == 0;
			exact += claimed == found;
		} while (next_codes(w, &c, codes));
	}
	/* and not by saying nothing */
	assert_true(certain > tried / 3 && exact > tried * 3 / 4);
}

/* What rounding may do to values of a column without a grid is in the box. */
static void
boxes_allow_for_rounding(void **state)
{
	static const mg_cell left[] = {{0, 1}}, right[] = {{1, 2}};
	world *w = *state;
	uint16_t codes[] = {0, 0};
	mg_constraint c;
	mg_boxes *boxes;
	tree t = {.n = 0};

	w->column[AGE] = (mg_column){.domain = number("a", 0, 2, 0),
								 .nfine = 2,
								 .cells = left,
								 .fine = mass,
								 .merge = merge_age,
								 .ncoarse = 2};
	w->column[SHORT] = (mg_column){.domain = number("b", 0, 2, 0),
								   .nfine = 2,
								   .cells = right,
								   .fine = mass,
								   .merge = merge_age,
								   .ncoarse = 2};
	put_order(&t, AGE, MG_LESS | MG_EQUAL, SHORT, 0);
	c = constraint(w, &t, "order");
	assert_int_equal(mg_boxes_prepare(&w->ctx, w->a, w->column, NCOLUMNS, &c, &boxes), MG_OK);
	assert_int_equal(mg_boxes_truths(boxes, codes), 1u << MG_TRUTH_TRUE | 1u << MG_TRUTH_FALSE);
}

/* ---- zeros ---- */

static void
zeros_of_an_order(void **state)
{
	/* age: 0..9, 10, 11..39, NULL; short: 0, 1..2, 3..5, NULL */
	static const bool expected[4][4] = {{true, true, true, true},
										{false, false, false, true},
										{false, false, false, true},
										{true, true, true, true}};
	world *w = *state;
	const uint32_t *cols = NULL;
	bool *possible = NULL;
	mg_constraint c;
	uint32_t k = 99;
	tree t = {.n = 0};

	put_order(&t, AGE, MG_LESS | MG_EQUAL, SHORT, 0);
	c = constraint(w, &t, "order");
	assert_int_equal(mg_constraint_zeros(&w->ctx, w->a, w->column, NCOLUMNS, &c, &k, &cols, &possible), MG_OK);
	assert_int_equal(k, 2);
	assert_int_equal(cols[0], AGE);
	assert_int_equal(cols[1], SHORT);
	for (int i = 0; i < 4; i++)
		for (int j = 0; j < 4; j++)
			assert_int_equal(possible[i * 4 + j], expected[i][j]);
	c.sure = false;
	assert_int_equal(mg_constraint_zeros(&w->ctx, w->a, w->column, NCOLUMNS, &c, &k, &cols, &possible), MG_OK);
	assert_int_equal(k, 0);
	c.sure = true;
	c.how = MG_HOW_NONE;
	assert_int_equal(mg_constraint_zeros(&w->ctx, w->a, w->column, NCOLUMNS, &c, &k, &cols, &possible), MG_OK);
	assert_int_equal(k, 0);
}

static uint32_t
zeros_of(world *w, const tree *t)
{
	const uint32_t *cols;
	bool *possible;
	uint32_t k = 99;
	mg_constraint c = constraint(w, t, "zeros");

	assert_int_equal(mg_constraint_zeros(&w->ctx, w->a, w->column, NCOLUMNS, &c, &k, &cols, &possible), MG_OK);
	return k;
}

static void
no_zeros(void **state)
{
	world *w = *state;
	tree t = {.n = 0};

	/* nothing is impossible, everything is */
	put_order(&t, AGE, MG_LESS, SHORT, 100);
	assert_int_equal(zeros_of(w, &t), 0);
	t.n = 0;
	t.node[open_node(&t, MG_EXPR_AND)].span = 2;
	put_compare(&t, MG_EXPR_NONNULL, MG_GREATER, 1, 1, &(mg_term){AGE, 1});
	assert_int_equal(zeros_of(w, &t), 0);
	/* a pair of large columns */
	w->column[AGE] = w->column[SHORT] = wide_column(1024, true);
	t.n = 0;
	put_order(&t, AGE, MG_LESS, SHORT, 0);
	assert_int_equal(zeros_of(w, &t), 0);
	/* the same with one of them small */
	w->column[SHORT].ncoarse = 4;
	w->column[SHORT].nfine = 5;
	w->column[SHORT].merge = merge_age;
	t.n = 0;
	put_order(&t, AGE, MG_LESS, SHORT, 0);
	assert_int_equal(zeros_of(w, &t), 2);
}

/* ---- the stored form ---- */

static void
write_all(const mg_constraint *c, uint32_t n, mg_writer *w)
{
	mg_writer_init(w);
	mg_constraints_write(w, c, n);
	assert_false(w->failed);
}

static void
make_list(world *w, tree *t, mg_constraint *list)
{
	mg_rng r;
	uint32_t i;

	mg_rng_seed(&r, 5);
	i = open_node(&t[0], MG_EXPR_OR);
	for (int k = 0; k < 4; k++)
		random_node(&t[0], &r, 3);
	put_listed(&t[0], COLOUR, some_texts, 4);
	put_same(&t[0], COLOUR, PAINT);
	put_order(&t[0], AGE, MG_LESS, PRICE, 0.5);
	close_node(&t[0], i);
	list[0] = constraint(w, &t[0], "first \"of\" all");
	list[0].rejected = 0.25;
	list[1] =
		(mg_constraint){.name = "key", .definition = "UNIQUE (id)", .why = "", .how = MG_HOW_FRESH, .rejected = -1};
	list[2] = (mg_constraint){.name = "why", .definition = "CHECK (f(x))", .why = "it \n calls", .rejected = -1};
}

static mg_code
read_all(world *w, const void *data, size_t len, mg_constraint **out, uint32_t *n)
{
	mg_ctx ctx;
	mg_reader r;
	mg_code code;

	mg_ctx_init(&ctx);
	mg_reader_init(&r, data, len);
	code = mg_constraints_read(&ctx, w->a, &r, w->column, NCOLUMNS, out, n);
	assert_true(code == MG_OK || code == MG_CORRUPT);
	return code == MG_OK && mg_reader_left(&r) != 0 ? MG_CORRUPT : code;
}

static void
stored_and_read(void **state)
{
	world *w = *state;
	static tree t[1];
	mg_constraint list[3], *back;
	mg_writer one, two, text;
	uint32_t n;

	memset(t, 0, sizeof(t));
	make_list(w, t, list);
	write_all(list, 3, &one);
	assert_int_equal(read_all(w, one.data, one.len, &back, &n), MG_OK);
	assert_int_equal(n, 3);
	assert_string_equal(back[0].name, list[0].name);
	assert_int_equal(back[0].ncols, list[0].ncols);
	assert_true(back[1].how == MG_HOW_FRESH && back[1].why != NULL && back[0].why == NULL);
	write_all(back, n, &two);
	assert_int_equal(one.len, two.len);
	assert_memory_equal(one.data, two.data, one.len);
	mg_writer_init(&text);
	mg_constraints_describe(&text, back, n);
	mg_put_u8(&text, 0);
	assert_non_null(strstr((char *) text.data, "[{\"name\": \"first \\\"of\\\" all\", \"definition\": \"CHECK (..)\", "
											   "\"how\": \"re-draws\", \"rejected\": 0.25}, {"));
	assert_non_null(strstr((char *) text.data, "\"how\": \"not enforced\", \"reason\": \"it \\u000a calls\"}]"));
	mg_writer_free(&text);
	mg_writer_free(&one);
	mg_writer_free(&two);
}

/* Cut anywhere, any byte changed: refused, or something that can be used and written again. */
static void
damage_is_refused(void **state)
{
	world *w = *state;
	static tree t[1];
	mg_constraint list[3], *back;
	mg_writer bytes;
	uint32_t n, accepted = 0;

	memset(t, 0, sizeof(t));
	make_list(w, t, list);
	write_all(list, 3, &bytes);
	for (size_t cut = 0; cut < bytes.len; cut++)
		assert_int_equal(read_all(w, bytes.data, cut, &back, &n), MG_CORRUPT);
	for (size_t i = 0; i < bytes.len; i++)
		for (int flip = 1; flip < 256; flip += flip < 8 ? 1 : 31)
		{
			bytes.data[i] ^= (uint8_t) flip;
			if (read_all(w, bytes.data, bytes.len, &back, &n) == MG_OK)
			{
				mg_check *check;
				mg_boxes *boxes;
				uint16_t codes[NCOLUMNS] = {0};

				accepted++;
				assert_int_equal(n, 3);
				assert_int_equal(mg_check_prepare(&w->ctx, w->a, w->column, NCOLUMNS, &back[0], &check), MG_OK);
				assert_int_equal(mg_boxes_prepare(&w->ctx, w->a, w->column, NCOLUMNS, &back[0], &boxes), MG_OK);
				(void) mg_boxes_truths(boxes, codes);
			}
			bytes.data[i] ^= (uint8_t) flip;
		}
	assert_true(accepted > 100); /* letters of names, constants */
	mg_writer_free(&bytes);
}

static void
bad_expressions(void **state)
{
	world *w = *state;
	mg_constraint c = {.name = "bad"};
	mg_ctx ctx;
	tree t = {.n = 0};

	c.expr = t.node;
#define REFUSED()                                                                                         \
	do                                                                                                    \
	{                                                                                                     \
		c.nnodes = t.n;                                                                                   \
		mg_ctx_init(&ctx);                                                                                \
		assert_int_equal(mg_constraint_finish(&ctx, w->a, NCOLUMNS, kind_of, w->column, &c), MG_INVALID); \
		t.n = 0;                                                                                          \
	} while (0)
	REFUSED();
	put_is_null(&t, NCOLUMNS);
	REFUSED();
	put_listed(&t, AGE, some_texts, 1); /* a number has no labels */
	REFUSED();
	put_same(&t, COLOUR, AGE);
	REFUSED();
	put_order(&t, AGE, MG_LESS, SHORT, NAN);
	REFUSED();
	put_order(&t, AGE, 8, SHORT, 0);
	REFUSED();
	open_node(&t, MG_EXPR_NOT); /* of nothing */
	REFUSED();
	open_node(&t, MG_EXPR_AND);
	put_is_null(&t, AGE); /* beyond the span */
	REFUSED();
	t.node[open_node(&t, MG_EXPR_AND)].span = 3;
	put_is_null(&t, AGE);
	REFUSED();
	for (uint32_t i = 0; i < MG_MAX_EXPR_DEPTH + 1; i++)
		open_node(&t, MG_EXPR_NOT);
	put_is_null(&t, AGE);
	for (uint32_t i = 0; i < t.n; i++)
		close_node(&t, i);
	REFUSED();
#undef REFUSED
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, free_world)
	const struct CMUnitTest tests[] = {
		TEST(rows_against_the_oracle),  TEST(decimals_are_exact), TEST(boxes_are_sound),
		TEST(boxes_allow_for_rounding), TEST(zeros_of_an_order),  TEST(no_zeros),
		TEST(stored_and_read),          TEST(damage_is_refused),  TEST(bad_expressions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
