/*
 * model/zeros.c: constraints on boxes of coarse codes, and the structural zeros that follow. See constraint.h.
 *
 * A box is one coarse code of each column: all values that emission may make of it (synthesis/values.h): the fine cells
 * merged into the code, numbers as an interval that holds them, with what rounding to the type may add. A node's result
 * on a box is the set of truth values that it may take; sets of arguments are combined as if the arguments were
 * independent, so a set may be too large, never too small.
 */
#include "model/check.h"
#include "model/grid.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define F (1u << MG_TRUTH_FALSE)
#define N (1u << MG_TRUTH_NULL)
#define T (1u << MG_TRUTH_TRUE)

/* What one coarse code of a column may become. */
typedef struct box
{
	bool null, value;
	double low, high;       /* numbers, and categories of numbers */
	uint32_t from, nlabels; /* categories: label[from ..] */
} box;

typedef struct box_column
{
	const mg_column *col;
	box *box;        /* [ncoarse] */
	uint32_t *label; /* label indexes of the codes, code after code; the last run is the whole column's */
} box_column;

struct mg_boxes
{
	const mg_constraint *constraint;
	box_column *column; /* [ncols] */
	mg_check *check;    /* for its tables */
};

/* ---- boxes ---- */

/*
 * Rounding to the type beside the grid: real keeps 24 bits; numeric without a scale at least four digits of the
 * column's range (pg/decode.c). Whole numbers that both hold stay what they are.
 */
static double
rounding(const mg_domain *d, double low, double high)
{
	double most = fmax(fabs(low), fabs(high));

	if (d->step > 0 || (low == high && rint(low) == low && most <= 0x1p24))
		return 0;
	return 1e-7 * most + 1e-9 + (low == high ? 0 : 1e-4 * (d->upper - d->lower));
}

/* The values of fine cell i, as synthesis/values.c makes them. */
static void
cell_range(const mg_column *col, uint32_t i, double *low, double *high)
{
	const mg_domain *d = &col->domain;
	const mg_cell *cell = &col->cells[i];
	mg_grid g;
	double pad;

	mg_grid_init(&g, d);
	*low = fmin(fmax(cell->lower, d->lower), d->upper);
	*high = fmax(fmin(cell->upper, d->upper), d->lower);
	if (cell->lower == cell->upper || !(*high > *low))
		*high = *low;
	else if (g.step > 0)
	{
		double first = mg_grid_ceil(&g, *low), end = mg_grid_ceil(&g, cell->upper) - 1;

		if (mg_grid_value(&g, end) > d->upper)
			end = mg_grid_nearest(&g, d->upper);
		*low = fmin(fmax(mg_grid_value(&g, first), d->lower), d->upper);
		*high = end > first ? mg_grid_value(&g, end) : *low;
	}
	pad = rounding(d, *low, *high);
	*low -= pad;
	*high += pad;
}

static void
widen(box *b, double low, double high)
{
	b->low = b->value ? fmin(b->low, low) : low;
	b->high = b->value ? fmax(b->high, high) : high;
	b->value = true;
}

/* Adds what emission may make of fine cell i; its label, where it has one, is appended. */
static void
add_cell(box_column *c, uint32_t i, box *b, uint32_t *nlabels)
{
	const mg_column *col = c->col;
	const mg_domain *d = &col->domain;
	double low, high;

	if (i == col->nfine - 1)
		b->null = b->null || d->nullable;
	else if (d->kind == MG_NUMBER)
	{
		cell_range(col, i, &low, &high);
		widen(b, low, high);
	}
	else if (i == d->nlabels && d->other == NULL)
		b->null = b->null || (d->has_other && d->nullable);
	else if (i < d->nlabels || d->has_other)
	{
		low = mg_label_number(col, i);
		widen(b, low, low);
		c->label[(*nlabels)++] = i;
		b->nlabels++;
	}
}

/* A code of which nothing can be emitted is drawn from the whole column (synthesis/values.c). */
static mg_code
prepare_column(mg_ctx *ctx, mg_arena *a, const mg_column *col, box_column *c)
{
	uint32_t nlabels = 0, *start, *order;
	box whole = {0};

	c->col = col;
	MG_NEW(ctx, a, c->box, col->ncoarse);
	MG_NEW(ctx, a, c->label, 2 * (size_t) col->nfine + 1);
	MG_NEW(ctx, a, start, (size_t) col->ncoarse + 2);
	MG_NEW(ctx, a, order, col->nfine);
	/* fine cells sorted by code: after the loop, those of code b end at start[b + 1] */
	for (uint32_t i = 0; i < col->nfine; i++)
		start[col->merge[i] + 2]++;
	for (uint32_t b = 2; b <= col->ncoarse; b++)
		start[b] += start[b - 1];
	for (uint32_t i = 0; i < col->nfine; i++)
		order[start[col->merge[i] + 1]++] = i;
	for (uint32_t b = 0; b < col->ncoarse; b++)
	{
		c->box[b].from = nlabels;
		for (uint32_t at = start[b]; at < start[b + 1]; at++)
			add_cell(c, order[at], &c->box[b], &nlabels);
	}
	whole.from = nlabels;
	for (uint32_t i = 0; i < col->nfine; i++)
		add_cell(c, i, &whole, &nlabels);
	if (!whole.null && !whole.value)
	{
		/* nothing at all: the label index after the last */
		c->label[nlabels] = col->domain.nlabels;
		whole.nlabels = 1;
		widen(&whole, mg_label_number(col, col->domain.nlabels), mg_label_number(col, col->domain.nlabels));
	}
	for (uint32_t b = 0; b < col->ncoarse; b++)
		if (!c->box[b].null && !c->box[b].value)
			c->box[b] = whole;
	return MG_OK;
}

mg_code
mg_boxes_prepare(mg_ctx *ctx, mg_arena *a, const mg_column *columns, uint32_t ncolumns, const mg_constraint *c,
				 mg_boxes **out)
{
	mg_boxes *b;

	MG_NEW(ctx, a, b, 1);
	MG_NEW(ctx, a, b->column, (size_t) c->ncols + 1);
	b->constraint = c;
	for (uint32_t i = 0; i < c->ncols; i++)
		MG_TRY(prepare_column(ctx, a, &columns[c->cols[i]], &b->column[i]));
	MG_TRY(mg_check_prepare(ctx, a, columns, ncolumns, c, &b->check));
	*out = b;
	return MG_OK;
}

/* ---- nodes ---- */

static const box *
box_of(const mg_boxes *b, const uint16_t *codes, uint32_t col, const box_column **column)
{
	uint32_t low = 0, high = b->constraint->ncols;

	while (high - low > 1)
	{
		uint32_t mid = low + (high - low) / 2;

		if (b->constraint->cols[mid] <= col)
			low = mid;
		else
			high = mid;
	}
	*column = &b->column[low];
	return &b->column[low].box[codes[low]];
}

/* Truths of a comparison whose sum may be anything in [low, high]. */
static uint32_t
interval_truths(uint32_t compare, double low, double high, double constant)
{
	uint32_t signs = 0;

	signs |= low < constant ? MG_LESS : 0;
	signs |= low <= constant && constant <= high ? MG_EQUAL : 0;
	signs |= high > constant ? MG_GREATER : 0;
	return ((signs & compare) != 0 ? T : 0) | ((signs & ~compare) != 0 ? F : 0);
}

static uint32_t
compare_truths(const mg_boxes *b, const mg_expr *e, const uint16_t *codes)
{
	double low = 0, high = 0, size = fabs(e->constant), slack;
	bool null = false, value = true;

	for (uint32_t t = 0; t < e->nterms; t++)
	{
		const box_column *column;
		const box *x = box_of(b, codes, e->terms[t].col, &column);
		double p, q;

		null = null || x->null;
		value = value && x->value;
		if (!x->value)
			continue;
		p = e->terms[t].factor * x->low;
		q = e->terms[t].factor * x->high;
		low += fmin(p, q);
		high += fmax(p, q);
		size += fmax(fabs(p), fabs(q));
	}
	if (!value)
		return N;
	if (isnan(low) || isnan(high))
		return F | T | (null ? N : 0);
	/* the rounding of these sums, and of the rows' own */
	slack = e->nterms > 1 || e->decimal ? 4 * (e->nterms + 4) * DBL_EPSILON * size : 0;
	/* integers are exact */
	if (!e->decimal && rint(low) == low && rint(high) == high && size < 0x1p52)
		slack = 0;
	return interval_truths(e->compare, low - slack, high + slack, e->constant) | (null ? N : 0);
}

static uint32_t
nonnull_truths(const mg_boxes *b, const mg_expr *e, const uint16_t *codes)
{
	double low = 0, high = 0;

	for (uint32_t t = 0; t < e->nterms; t++)
	{
		const box_column *column;
		const box *x = box_of(b, codes, e->terms[t].col, &column);
		double f = e->terms[t].factor;

		low += x->value && !x->null ? f : x->value ? fmin(f, 0) : 0;
		high += x->value && !x->null ? f : x->value ? fmax(f, 0) : 0;
	}
	return interval_truths(e->compare, low, high, e->constant);
}

static uint32_t
label_truths(const mg_boxes *b, uint32_t i, const uint16_t *codes)
{
	const box_column *column;
	const box *x = box_of(b, codes, b->constraint->expr[i].col, &column);
	uint32_t out = x->null ? N : 0;

	for (uint32_t k = 0; k < x->nlabels; k++)
		out |= 1u << b->check->tables[i].truth[column->label[x->from + k]];
	return out;
}

static uint32_t
same_truths(const mg_boxes *b, uint32_t i, const uint16_t *codes)
{
	const mg_expr *e = &b->constraint->expr[i];
	const box_column *left, *right;
	const box *x = box_of(b, codes, e->col, &left), *y = box_of(b, codes, e->other, &right);
	const mg_check_tables *t = &b->check->tables[i];
	uint32_t out = x->null || y->null ? N : 0;

	for (uint32_t k = 0; k < x->nlabels && (out & (F | T)) != (F | T); k++)
		for (uint32_t m = 0; m < y->nlabels; m++)
			out |= t->id[left->label[x->from + k]] == t->other[right->label[y->from + m]] ? T : F;
	return out;
}

/* All that AND (the lesser) or OR (the greater) can make of two sets. */
static uint32_t
combine(uint32_t x, uint32_t y, bool and)
{
	uint32_t out = 0;

	for (uint32_t p = 0; p <= MG_TRUTH_TRUE; p++)
		for (uint32_t q = 0; q <= MG_TRUTH_TRUE; q++)
			if ((x >> p & 1) != 0 && (y >> q & 1) != 0)
				out |= 1u << ((p < q) == and? p : q);
	return out;
}

static uint32_t
node_truths(const mg_boxes *b, uint32_t i, const uint16_t *codes)
{
	const mg_expr *e = &b->constraint->expr[i];
	const box_column *column;
	const box *x;
	uint32_t out;

	switch (e->kind)
	{
		case MG_EXPR_CONSTANT:
			return 1u << e->value;
		case MG_EXPR_AND:
		case MG_EXPR_OR:
			out = e->kind == MG_EXPR_AND ? T : F;
			for (uint32_t at = i + 1; at < i + e->span; at += b->constraint->expr[at].span)
				out = combine(out, node_truths(b, at, codes), e->kind == MG_EXPR_AND);
			return out;
		case MG_EXPR_NOT:
			out = node_truths(b, i + 1, codes);
			return (out & N) | ((out & F) != 0 ? T : 0) | ((out & T) != 0 ? F : 0);
		case MG_EXPR_IS_TRUE:
			out = node_truths(b, i + 1, codes);
			return (out & T) | ((out & (F | N)) != 0 ? F : 0);
		case MG_EXPR_IS_NULL:
			x = box_of(b, codes, e->col, &column);
			return (x->null ? T : 0) | (x->value ? F : 0);
		case MG_EXPR_COMPARE:
			return compare_truths(b, e, codes);
		case MG_EXPR_NONNULL:
			return nonnull_truths(b, e, codes);
		case MG_EXPR_LABELS:
			return label_truths(b, i, codes);
		case MG_EXPR_SAME:
			return same_truths(b, i, codes);
	}
	return F | N | T;
}

uint32_t
mg_boxes_truths(const mg_boxes *b, const uint16_t *codes)
{
	return node_truths(b, 0, codes);
}

/* ---- zeros ---- */

/* Cells of the joint table; 0 where there are too many. */
static size_t
count_cells(const mg_column *columns, const mg_constraint *c)
{
	size_t cells = 1, most = c->ncols <= 2 ? MG_ZERO_PAIR_CELLS : MG_ZERO_CELLS;

	for (uint32_t i = 0; i < c->ncols; i++)
		if (!mg_mul_size(cells, columns[c->cols[i]].ncoarse, &cells) || cells > most)
			return 0;
	return cells;
}

mg_code
mg_constraint_zeros(mg_ctx *ctx, mg_arena *a, const mg_column *columns, uint32_t ncolumns, const mg_constraint *c,
					uint32_t *k, const uint32_t **cols, bool **possible)
{
	size_t cells, none = 0;
	uint16_t *codes;
	mg_boxes *boxes;
	bool *out;

	*k = 0;
	if (!mg_constraint_enforced(c) || !c->sure || c->ncols == 0 || (cells = count_cells(columns, c)) == 0)
		return MG_OK;
	MG_TRY(mg_boxes_prepare(ctx, a, columns, ncolumns, c, &boxes));
	MG_NEW(ctx, a, codes, c->ncols);
	MG_NEW(ctx, a, out, cells);
	for (size_t at = 0; at < cells; at++)
	{
		out[at] = (node_truths(boxes, 0, codes) & (N | T)) != 0;
		none += !out[at];
		for (uint32_t i = c->ncols; i-- > 0 && ++codes[i] == columns[c->cols[i]].ncoarse;)
			codes[i] = 0;
		if (at % 1024 == 0)
			MG_TRY(mg_poll(ctx));
	}
	if (none == 0 || none == cells)
		return MG_OK;
	*k = c->ncols;
	*cols = c->cols;
	*possible = out;
	return MG_OK;
}
