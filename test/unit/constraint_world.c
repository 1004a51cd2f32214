/* test/unit/constraint_world.c: see constraint_world.h. */
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
#include "toy_sampler.h"

/* ---- columns: two categories of words, one of numbers, three numbers on different grids; all may be NULL ---- */

static const mg_label colours[] = {{"red", 3}, {"blue", 4}, {"green", 5}, {"white", 5}};
static const mg_label paints[] = {{"white", 5}, {"black", 5}, {"red", 3}};
static const mg_label grades[] = {{"1", 1}, {"2", 1}, {"10", 2}, {"-3", 2}};
static const mg_cell ages[] = {{0, 10}, {10, 10}, {10, 20}, {20, 40}};
static const mg_cell shorts[] = {{0, 1}, {1, 2}, {2, 3}, {3, 4}, {4, 5}, {5, 6}};
static const mg_cell prices[] = {{0, 0}, {0, 12.5}, {12.5, 50}};
const double mass[8] = {5, 3, 2, 4, 1, 1, 2, 1};
/* the last two fine cells of a category are `other` and NULL, the last of a number NULL */
static const uint16_t merge_colour[] = {0, 0, 1, 2, 1, 3}, merge_paint[] = {0, 1, 1, 1, 2},
					  merge_grade[] = {0, 1, 1, 2, 0, 3}, merge_short[] = {0, 1, 1, 2, 2, 2, 3},
					  merge_price[] = {0, 1, 2, 3};

static mg_domain
category(const char *name, const mg_label *labels, uint32_t n, const char *other)
{
	return (mg_domain){.name = name,
					   .kind = MG_CATEGORY,
					   .nullable = true,
					   .nlabels = n,
					   .labels = labels,
					   .has_other = other != NULL,
					   .other = other};
}

mg_domain
number(const char *name, double lower, double upper, double step)
{
	return (mg_domain){.name = name, .kind = MG_NUMBER, .nullable = true, .lower = lower, .upper = upper, .step = step};
}

static void
make_columns(mg_column *c)
{
	c[COLOUR] =
		(mg_column){.domain = category("colour", colours, 4, "black"), .nfine = 6, .merge = merge_colour, .ncoarse = 4};
	c[PAINT] =
		(mg_column){.domain = category("paint", paints, 3, NULL), .nfine = 5, .merge = merge_paint, .ncoarse = 3};
	c[GRADE] =
		(mg_column){.domain = category("grade", grades, 4, NULL), .nfine = 6, .merge = merge_grade, .ncoarse = 4};
	c[AGE] =
		(mg_column){.domain = number("age", 0, 39, 1), .nfine = 5, .cells = ages, .merge = merge_age, .ncoarse = 4};
	c[SHORT] = (mg_column){.domain = number("short", 0, 5, 1),
						   .nfine = 7,
						   .cells = shorts,
						   .merge = merge_short,
						   .ncoarse = 4};
	c[PRICE] = (mg_column){.domain = number("price", 0, 50, 0.25),
						   .nfine = 4,
						   .cells = prices,
						   .merge = merge_price,
						   .ncoarse = 4};
	for (int i = 0; i < NCOLUMNS; i++)
		c[i].fine = mass;
}

/* ---- a sampler of independent, even codes; it counts what it draws ---- */

uint64_t drawn;
bool tied;

const uint16_t merge_age[5] = {0, 1, 2, 2, 3};

static mg_code
even_batch(mg_ctx *ctx, mg_sampler *s, mg_rng *rng, uint32_t n, uint16_t *const *codes)
{
	const mg_model *m = ((toy_sampler *) s)->model;

	drawn += n;
	for (uint32_t c = 0; c < m->ncolumns; c++)
		for (uint32_t i = 0; i < n; i++)
		{
			uint32_t code = random_below(rng, m->columns[c].ncoarse);

			codes[c][i] = (uint16_t) (tied && c == PRICE ? codes[AGE][i] % m->columns[c].ncoarse : code);
		}
	return MG_OK;
}

static mg_code
even_compile(mg_ctx *ctx, const mg_model *m, mg_sampler **out)
{
	return toy_sampler_make(m, even_batch, out);
}

static const mg_method even_method = {.name = "even", .compile = even_compile};

int
set_up(void **state)
{
	world *w = make_world(state, sizeof(*w), 0);

	if (w == NULL)
		return 1;
	make_columns(w->column);
	w->model =
		(mg_model){.method = &even_method, .arena = w->a, .ncolumns = NCOLUMNS, .columns = w->column, .total = 1000};
	for (int i = 0; i < 32; i++)
		w->key[i] = (uint8_t) (i * 11 + 3);
	tied = false;
	return 0;
}

/* ---- building expressions ---- */

uint32_t
open_node(tree *t, mg_expr_kind kind)
{
	assert_true(t->n < 512);
	t->node[t->n] = (mg_expr){.kind = kind, .span = 1};
	return t->n++;
}

void
close_node(tree *t, uint32_t i)
{
	t->node[i].span = t->n - i;
}

void
put_compare(tree *t, mg_expr_kind kind, uint32_t compare, double constant, uint32_t nterms, const mg_term *terms)
{
	uint32_t i = open_node(t, kind);

	memcpy(&t->term[t->nterms], terms, nterms * sizeof(*terms));
	t->node[i].compare = compare;
	t->node[i].constant = constant;
	t->node[i].terms = &t->term[t->nterms];
	t->node[i].nterms = nterms;
	t->nterms += nterms;
}

/* left op right + constant */
void
put_order(tree *t, uint32_t left, uint32_t compare, uint32_t right, double constant)
{
	const mg_term terms[] = {{left, 1}, {right, -1}};

	put_compare(t, MG_EXPR_COMPARE, compare, constant, 2, terms);
}

void
put_listed(tree *t, uint32_t col, const mg_label *labels, uint32_t n)
{
	uint32_t i = open_node(t, MG_EXPR_LABELS);

	t->node[i].col = col;
	t->node[i].labels = labels;
	t->node[i].nlabels = n;
}

void
put_same(tree *t, uint32_t col, uint32_t other)
{
	uint32_t i = open_node(t, MG_EXPR_SAME);

	t->node[i].col = col;
	t->node[i].other = other;
}

void
put_is_null(tree *t, uint32_t col)
{
	t->node[open_node(t, MG_EXPR_IS_NULL)].col = col;
}

mg_kind
kind_of(const void *arg, uint32_t col)
{
	return ((const mg_column *) arg)[col].domain.kind;
}

mg_constraint
constraint(world *w, const tree *t, const char *name)
{
	mg_constraint c = {.name = name,
					   .definition = "CHECK (..)",
					   .how = MG_HOW_REDRAWS,
					   .sure = true,
					   .nnodes = t->n,
					   .expr = t->node,
					   .rejected = -1};

	assert_int_equal(mg_constraint_finish(&w->ctx, w->a, NCOLUMNS, kind_of, w->column, &c), MG_OK);
	return c;
}

const mg_label some_texts[4] = {{"white", 5}, {"green", 5}, {"gold", 4}, {"black", 5}};

static void
random_leaf(tree *t, mg_rng *r)
{
	mg_term terms[3];
	uint32_t n = 1 + random_below(r, 3), i;

	switch (random_below(r, 6))
	{
		case 0:
			i = open_node(t, MG_EXPR_CONSTANT);
			t->node[i].value = (mg_truth) random_below(r, 3);
			break;
		case 1:
			put_is_null(t, random_below(r, NCOLUMNS));
			break;
		case 2:
			put_listed(t, random_below(r, 3), some_texts + random_below(r, 2), random_below(r, 3));
			break;
		case 3:
			put_same(t, random_below(r, 2), random_below(r, 3));
			break;
		case 4:
			for (i = 0; i < n; i++)
				terms[i] = (mg_term){random_below(r, NCOLUMNS), random_below(r, 2) ? 1 : -1};
			put_compare(t, MG_EXPR_NONNULL, 1 + random_below(r, 6), (double) random_below(r, 4) - 1, n, terms);
			break;
		default:
			for (i = 0; i < n; i++)
				terms[i] = (mg_term){GRADE + random_below(r, 4), (double) random_below(r, 5) - 2};
			put_compare(t, MG_EXPR_COMPARE, 1 + random_below(r, 6), (double) random_below(r, 40) - 15, n, terms);
			break;
	}
}

void
random_node(tree *t, mg_rng *r, int depth)
{
	static const mg_expr_kind inner[] = {MG_EXPR_AND, MG_EXPR_OR, MG_EXPR_NOT, MG_EXPR_IS_TRUE};
	mg_expr_kind kind = inner[random_below(r, 4)];
	uint32_t i, args = kind == MG_EXPR_NOT || kind == MG_EXPR_IS_TRUE ? 1 : random_below(r, 4);

	if (depth == 0 || random_below(r, 3) == 0)
	{
		random_leaf(t, r);
		return;
	}
	i = open_node(t, kind);
	for (uint32_t k = 0; k < args; k++)
		random_node(t, r, depth - 1);
	close_node(t, i);
}

/* ---- the oracle: one row, values as SQL would see them ---- */

typedef enum sql
{
	NO,
	UNKNOWN,
	YES
} sql;

static sql
oracle_compare(double x, uint32_t compare, double y)
{
	bool yes = (x < y && (compare & MG_LESS)) || (x == y && (compare & MG_EQUAL)) || (x > y && (compare & MG_GREATER));

	return yes ? YES : NO;
}

static sql oracle(const mg_expr *e, const cell *row);

static sql
oracle_list(const mg_expr *e, const cell *row)
{
	static const sql and_table[3][3] = {{NO, NO, NO}, {NO, UNKNOWN, UNKNOWN}, {NO, UNKNOWN, YES}};
	static const sql or_table[3][3] = {{NO, UNKNOWN, YES}, {UNKNOWN, UNKNOWN, YES}, {YES, YES, YES}};
	sql out = e->kind == MG_EXPR_AND ? YES : NO;

	for (const mg_expr *arg = e + 1; arg < e + e->span; arg += arg->span)
	{
		sql x = oracle(arg, row);

		out = e->kind == MG_EXPR_AND ? and_table[out][x] : or_table[out][x];
	}
	return out;
}

static sql
oracle_sum(const mg_expr *e, const cell *row)
{
	double sum = 0;

	for (uint32_t i = 0; i < e->nterms; i++)
	{
		const cell *c = &row[e->terms[i].col];

		if (e->kind == MG_EXPR_COMPARE && c->null)
			return UNKNOWN;
		sum += e->kind == MG_EXPR_COMPARE ? e->terms[i].factor * c->number : c->null ? 0 : e->terms[i].factor;
	}
	return oracle_compare(sum, e->compare, e->constant);
}

static sql
oracle(const mg_expr *e, const cell *row)
{
	sql x;

	switch (e->kind)
	{
		case MG_EXPR_CONSTANT:
			return e->value == MG_TRUTH_TRUE ? YES : e->value == MG_TRUTH_NULL ? UNKNOWN : NO;
		case MG_EXPR_AND:
		case MG_EXPR_OR:
			return oracle_list(e, row);
		case MG_EXPR_NOT:
			x = oracle(e + 1, row);
			return x == YES ? NO : x == NO ? YES : UNKNOWN;
		case MG_EXPR_IS_TRUE:
			return oracle(e + 1, row) == YES ? YES : NO;
		case MG_EXPR_IS_NULL:
			return row[e->col].null ? YES : NO;
		case MG_EXPR_LABELS:
			if (row[e->col].null)
				return UNKNOWN;
			for (uint32_t i = 0; i < e->nlabels; i++)
				if (strcmp(e->labels[i].text, row[e->col].text) == 0)
					return YES;
			return NO;
		case MG_EXPR_SAME:
			if (row[e->col].null || row[e->other].null)
				return UNKNOWN;
			return strcmp(row[e->col].text, row[e->other].text) == 0 ? YES : NO;
		default:
			return oracle_sum(e, row);
	}
}

mg_truth
oracle_truth(const mg_expr *e, const cell *row)
{
	static const mg_truth truth_of[] = {[NO] = MG_TRUTH_FALSE, [UNKNOWN] = MG_TRUTH_NULL, [YES] = MG_TRUTH_TRUE};

	return truth_of[oracle(e, row)];
}

cell
cell_of(const mg_column *col, const mg_values *v, uint32_t i)
{
	cell c = {.null = v->null[i]};

	if (c.null)
		return c;
	if (col->domain.kind == MG_NUMBER)
		c.number = v->number[i];
	else
	{
		c.text = v->label[i] < col->domain.nlabels ? col->domain.labels[v->label[i]].text : col->domain.other;
		assert_non_null(c.text);
		c.number = atof(c.text);
	}
	return c;
}

mg_column
wide_column(uint32_t values, bool nullable)
{
	static double wide_mass[1025];
	static uint16_t wide_merge[1025];
	static mg_cell wide_cells[1024];
	mg_column c;

	for (uint32_t i = 0; i < 1024; i++)
	{
		wide_cells[i] = (mg_cell){i, i};
		wide_merge[i] = (uint16_t) i;
	}
	wide_merge[values] = (uint16_t) (nullable ? values : 0);
	c = (mg_column){.domain = number("wide", 0, values - 1, 1),
					.nfine = values + 1,
					.cells = wide_cells,
					.fine = wide_mass,
					.merge = wide_merge,
					.ncoarse = values + nullable};
	c.domain.nullable = nullable;
	return c;
}
