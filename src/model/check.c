/*
 * model/check.c: constraints on batches of rows, a column of truth values at a time. See constraint.h.
 *
 * Texts are resolved once: a list of labels becomes a table over the column's label indexes, two categories share
 * numbers for their texts, a category of numbers gets a table of its labels' values. Rows go through in blocks; every
 * level of the tree has a block of truth values of its own.
 */
#include "model/check.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 1024u /* rows at a time */
#define ROUNDING (8 * DBL_EPSILON)

/* The text behind a label index; index nlabels stands for `other`, or for what a NOT NULL column shows. */
static mg_label
label_text(const mg_column *col, uint32_t index)
{
	const mg_domain *d = &col->domain;

	if (index < d->nlabels)
		return d->labels[index];
	if (d->other != NULL)
		return (mg_label){d->other, (uint32_t) strlen(d->other)};
	if (d->nlabels > 0)
		return d->labels[0];
	return (mg_label){"", 0};
}

/* ---- preparation ---- */

static bool
same_label(mg_label a, mg_label b)
{
	return a.len == b.len && memcmp(a.text, b.text, a.len) == 0;
}

typedef struct numbered
{
	mg_label label;
	uint32_t index;
} numbered;

static int
compare_numbered(const void *x, const void *y)
{
	const numbered *a = x, *b = y;
	int c = memcmp(a->label.text, b->label.text, a->label.len < b->label.len ? a->label.len : b->label.len);

	if (c != 0)
		return c;
	return (a->label.len > b->label.len) - (a->label.len < b->label.len);
}

/* Where the text is in the sorted list: the number of its first place; n where it is not. */
static uint32_t
find_text(const numbered *list, uint32_t n, mg_label text)
{
	numbered key = {text, 0};
	uint32_t low = 0, high = n;

	while (low < high)
	{
		uint32_t mid = low + (high - low) / 2;

		if (compare_numbered(&list[mid], &key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < n && same_label(list[low].label, text) ? low : n;
}

static mg_code
prepare_labels(mg_ctx *ctx, mg_arena *a, const mg_column *col, const mg_expr *e, mg_check_tables *t)
{
	numbered *list;

	MG_NEW(ctx, a, list, (size_t) e->nlabels + 1);
	for (uint32_t i = 0; i < e->nlabels; i++)
		list[i].label = e->labels[i];
	qsort(list, e->nlabels, sizeof(*list), compare_numbered);
	MG_NEW(ctx, a, t->truth, (size_t) col->domain.nlabels + 1);
	for (uint32_t i = 0; i <= col->domain.nlabels; i++)
		t->truth[i] = find_text(list, e->nlabels, label_text(col, i)) < e->nlabels ? MG_TRUTH_TRUE : MG_TRUTH_FALSE;
	return MG_OK;
}

/* Numbers for the texts of two columns: equal texts, equal numbers. */
static mg_code
prepare_same(mg_ctx *ctx, mg_arena *a, const mg_column *x, const mg_column *y, mg_check_tables *t)
{
	uint32_t n = x->domain.nlabels + 1;
	numbered *list;

	MG_NEW(ctx, a, list, n);
	for (uint32_t i = 0; i < n; i++)
		list[i].label = label_text(x, i);
	qsort(list, n, sizeof(*list), compare_numbered);
	MG_NEW(ctx, a, t->id, n);
	MG_NEW(ctx, a, t->other, (size_t) y->domain.nlabels + 1);
	for (uint32_t i = 0; i < n; i++)
		t->id[i] = find_text(list, n, label_text(x, i));
	for (uint32_t i = 0; i <= y->domain.nlabels; i++)
		t->other[i] = find_text(list, n, label_text(y, i));
	return MG_OK;
}

double
mg_label_number(const mg_column *col, uint32_t index)
{
	double v = strtod(label_text(col, index).text, NULL);

	return isnan(v) ? INFINITY : v;
}

static mg_code
prepare_numbers(mg_ctx *ctx, mg_arena *a, const mg_column *columns, const mg_expr *e, mg_check_tables *t)
{
	MG_NEW(ctx, a, t->number, e->nterms);
	for (uint32_t i = 0; i < e->nterms; i++)
	{
		const mg_column *col = &columns[e->terms[i].col];

		if (col->domain.kind != MG_CATEGORY)
			continue;
		MG_NEW(ctx, a, t->number[i], (size_t) col->domain.nlabels + 1);
		for (uint32_t k = 0; k <= col->domain.nlabels; k++)
			t->number[i][k] = mg_label_number(col, k);
	}
	return MG_OK;
}

static mg_kind
kind_of_column(const void *arg, uint32_t col)
{
	return ((const mg_column *) arg)[col].domain.kind;
}

static uint32_t
depth_of(const mg_expr *expr, uint32_t i)
{
	uint32_t deepest = 0;

	for (uint32_t at = i + 1; at < i + expr[i].span; at += expr[at].span)
	{
		uint32_t d = depth_of(expr, at);

		deepest = d > deepest ? d : deepest;
	}
	return deepest + 1;
}

mg_code
mg_check_prepare(mg_ctx *ctx, mg_arena *a, const mg_column *columns, uint32_t ncolumns, const mg_constraint *c,
				 mg_check **out)
{
	mg_constraint again = *c;
	mg_check *k;
	uint32_t depth;

	MG_TRY(mg_constraint_finish(ctx, a, ncolumns, kind_of_column, columns, &again));
	MG_NEW(ctx, a, k, 1);
	MG_NEW(ctx, a, k->tables, c->nnodes);
	MG_NEW(ctx, a, k->sum, BLOCK);
	MG_NEW(ctx, a, k->size, BLOCK);
	k->expr = c->expr;
	depth = depth_of(c->expr, 0);
	for (uint32_t i = 0; i < depth; i++)
		MG_NEW(ctx, a, k->level[i], BLOCK);
	for (uint32_t i = 0; i < c->nnodes; i++)
	{
		const mg_expr *e = &c->expr[i];

		if (e->kind == MG_EXPR_LABELS)
			MG_TRY(prepare_labels(ctx, a, &columns[e->col], e, &k->tables[i]));
		else if (e->kind == MG_EXPR_SAME)
			MG_TRY(prepare_same(ctx, a, &columns[e->col], &columns[e->other], &k->tables[i]));
		else if (e->kind == MG_EXPR_COMPARE)
			MG_TRY(prepare_numbers(ctx, a, columns, e, &k->tables[i]));
	}
	*out = k;
	return MG_OK;
}

/* ---- rows ---- */

static inline uint8_t
verdict(uint32_t compare, double sum, double constant, double slack)
{
	double d = sum - constant;
	uint32_t sign = d > slack ? MG_GREATER : d < -slack ? MG_LESS : MG_EQUAL;

	return (compare & sign) != 0 ? MG_TRUTH_TRUE : MG_TRUTH_FALSE;
}

static void
check_compare(const mg_check *k, uint32_t i, const mg_values *column, uint32_t from, uint32_t n, uint8_t *out)
{
	const mg_expr *e = &k->expr[i];

	memset(k->sum, 0, n * sizeof(*k->sum));
	memset(k->size, 0, n * sizeof(*k->size));
	for (uint32_t t = 0; t < e->nterms; t++)
	{
		const mg_values *v = &column[e->terms[t].col];
		const double *number = k->tables[i].number[t];
		double factor = e->terms[t].factor;

		for (uint32_t r = 0; r < n; r++)
		{
			double x = v->null[from + r] ? 0 : number != NULL ? number[v->label[from + r]] : v->number[from + r];

			k->sum[r] += factor * x;
			k->size[r] += fabs(factor * x);
		}
	}
	for (uint32_t r = 0; r < n; r++)
		out[r] =
			verdict(e->compare, k->sum[r], e->constant, e->decimal ? ROUNDING * (k->size[r] + fabs(e->constant)) : 0);
	for (uint32_t t = 0; t < e->nterms; t++)
	{
		const bool *null = column[e->terms[t].col].null + from;

		for (uint32_t r = 0; r < n; r++)
			out[r] = null[r] ? MG_TRUTH_NULL : out[r];
	}
}

static void
check_nonnull(const mg_check *k, uint32_t i, const mg_values *column, uint32_t from, uint32_t n, uint8_t *out)
{
	const mg_expr *e = &k->expr[i];

	memset(k->sum, 0, n * sizeof(*k->sum));
	for (uint32_t t = 0; t < e->nterms; t++)
	{
		const bool *null = column[e->terms[t].col].null + from;

		for (uint32_t r = 0; r < n; r++)
			k->sum[r] += null[r] ? 0 : e->terms[t].factor;
	}
	for (uint32_t r = 0; r < n; r++)
		out[r] = verdict(e->compare, k->sum[r], e->constant, 0);
}

static void
check_leaf(const mg_check *k, uint32_t i, const mg_values *column, uint32_t from, uint32_t n, uint8_t *out)
{
	const mg_expr *e = &k->expr[i];
	const mg_check_tables *t = &k->tables[i];
	const mg_values *v = &column[e->col], *w = &column[e->other];

	switch (e->kind)
	{
		case MG_EXPR_CONSTANT:
			memset(out, (int) e->value, n);
			break;
		case MG_EXPR_IS_NULL:
			for (uint32_t r = 0; r < n; r++)
				out[r] = v->null[from + r] ? MG_TRUTH_TRUE : MG_TRUTH_FALSE;
			break;
		case MG_EXPR_LABELS:
			for (uint32_t r = 0; r < n; r++)
				out[r] = v->null[from + r] ? MG_TRUTH_NULL : t->truth[v->label[from + r]];
			break;
		case MG_EXPR_SAME:
			for (uint32_t r = 0; r < n; r++)
				out[r] = v->null[from + r] || w->null[from + r]                      ? MG_TRUTH_NULL
						 : t->id[v->label[from + r]] == t->other[w->label[from + r]] ? MG_TRUTH_TRUE
																					 : MG_TRUTH_FALSE;
			break;
		case MG_EXPR_COMPARE:
			check_compare(k, i, column, from, n, out);
			break;
		default:
			check_nonnull(k, i, column, from, n, out);
			break;
	}
}

/* Node i of rows from .. from + n - 1 into its level's block. */
static void
check_node(const mg_check *k, uint32_t i, uint32_t level, const mg_values *column, uint32_t from, uint32_t n)
{
	const mg_expr *e = &k->expr[i];
	uint8_t *out = k->level[level];

	if (e->kind < MG_EXPR_AND || e->kind > MG_EXPR_IS_TRUE)
	{
		check_leaf(k, i, column, from, n, out);
		return;
	}
	memset(out, e->kind == MG_EXPR_AND ? MG_TRUTH_TRUE : MG_TRUTH_FALSE, n);
	for (uint32_t at = i + 1; at < i + e->span; at += k->expr[at].span)
	{
		const uint8_t *arg = k->level[level + 1];

		check_node(k, at, level + 1, column, from, n);
		for (uint32_t r = 0; r < n; r++)
			switch (e->kind)
			{
				case MG_EXPR_AND:
					out[r] = arg[r] < out[r] ? arg[r] : out[r];
					break;
				case MG_EXPR_OR:
					out[r] = arg[r] > out[r] ? arg[r] : out[r];
					break;
				case MG_EXPR_NOT:
					out[r] = (uint8_t) (MG_TRUTH_TRUE - arg[r]);
					break;
				default:
					out[r] = arg[r] == MG_TRUTH_TRUE ? MG_TRUTH_TRUE : MG_TRUTH_FALSE;
					break;
			}
	}
}

void
mg_check_rows(const mg_check *k, const mg_values *column, uint32_t n, uint8_t *truth)
{
	for (uint32_t from = 0; from < n; from += BLOCK)
	{
		uint32_t m = n - from < BLOCK ? n - from : BLOCK;

		check_node(k, 0, 0, column, from, m);
		memcpy(truth + from, k->level[0], m);
	}
}
