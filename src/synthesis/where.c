/*
 * synthesis/where.c: see where.h. Memory is the stream's arena: a byte a code of each column with a condition, and one
 * list of rows.
 *
 * A column that depends on others has no code before it has its value, so it is judged by values alone, after those of
 * its determinants.
 */
#include "synthesis/where.h"

#include "synthesis/stream_private.h"

#include <math.h>
#include <string.h>

/* ---- life ---- */

static mg_code
check_where(mg_ctx *ctx, const mg_model *m, const bool *has, const mg_condition *c)
{
	const mg_column *col;

	if (c->col >= m->ncolumns || has[c->col])
		return mg_fail(ctx, MG_INVALID, "conditions on a column that is not of the model, or two on one column");
	col = &m->columns[c->col];
	if (col->domain.kind == MG_CATEGORY ? c->label == NULL : c->nintervals > 0 && c->interval == NULL)
		return mg_fail(ctx, MG_INVALID, "a condition on column \"%.63s\" is of the wrong kind", col->domain.name);
	for (uint32_t i = 0; col->domain.kind == MG_NUMBER && i < c->nintervals; i++)
		if (!(c->interval[i].low <= c->interval[i].high) || (i > 0 && !(c->interval[i - 1].high < c->interval[i].low)))
			return mg_fail(ctx, MG_INVALID, "the intervals of a condition on column \"%.63s\" are not in order",
						   col->domain.name);
	return MG_OK;
}

/* Which codes may become a value that satisfies the condition; *any: one at least, as far as codes tell. */
static mg_code
prepare_codes(mg_ctx *ctx, mg_stream *s, const mg_condition *c, bool **out, bool *any)
{
	uint32_t n = s->model->columns[c->col].ncoarse;
	bool *may;

	*any = true;
	*out = NULL;
	if (mg_dependents_has(s->dependents, c->col))
		return MG_OK;
	MG_NEW(ctx, s->arena, may, n);
	*any = false;
	for (uint32_t code = 0; code < n; code++)
	{
		may[code] = mg_values_may(s->decoder[c->col], (uint16_t) code, c, s->snap, s->snap_arg);
		*any = *any || may[code];
	}
	*out = may;
	return MG_OK;
}

mg_code
mg_stream_where(mg_ctx *ctx, mg_stream *s, const mg_condition *where, uint32_t n)
{
	uint32_t ncolumns = s->model->ncolumns;
	mg_where *w;

	s->where = NULL;
	if (n == 0)
		return MG_OK;
	MG_NEW(ctx, s->arena, w, 1);
	MG_NEW(ctx, s->arena, w->may, n);
	MG_NEW(ctx, s->arena, w->needed, ncolumns);
	MG_NEW(ctx, s->arena, w->made, ncolumns);
	MG_NEW(ctx, s->arena, w->row, MG_BATCH_ROWS);
	w->condition = where;
	w->n = n;
	for (uint32_t i = 0; i < n; i++)
	{
		MG_TRY(check_where(ctx, s->model, w->needed, &where[i]));
		w->needed[where[i].col] = true;
		w->dependent = w->dependent || mg_dependents_has(s->dependents, where[i].col);
	}
	for (uint32_t i = 0; i < n; i++)
	{
		bool any;

		MG_TRY(prepare_codes(ctx, s, &where[i], &w->may[i], &any));
		w->nothing = w->nothing || !any;
	}
	/* and what these depend on */
	mg_dependents_want(s->dependents, w->needed, ncolumns, w->needed);
	s->where = w;
	return MG_OK;
}

/* ---- judging ---- */

/* Rows of the batch all of whose codes may do. */
static void
judge_codes(mg_stream *s, uint32_t rows)
{
	mg_where *w = s->where;

	w->nrows = 0;
	for (uint32_t i = 0; i < rows; i++)
		w->row[w->nrows++] = (uint16_t) i;
	for (uint32_t k = 0; k < w->n; k++)
	{
		const uint16_t *codes = s->codes[w->condition[k].col];
		uint32_t left = 0;

		for (uint32_t i = 0; w->may[k] != NULL && i < w->nrows; i++)
		{
			uint16_t row = w->row[i];

			w->row[left] = row;
			left += w->may[k][codes[row]];
		}
		if (w->may[k] != NULL)
			w->nrows = left;
	}
}

bool
mg_condition_admits(const mg_condition *c, double low, double high)
{
	/* the last places of what was computed twice, in two ways */
	double slack = fmax(fabs(low), fabs(high)) * 1e-15;
	uint32_t from = 0, to = c->nintervals;

	if (isinf(slack))
		slack = 0;
	/* the first interval that ends at or above the low end */
	while (from < to)
	{
		uint32_t mid = from + (to - from) / 2;

		if (c->interval[mid].high >= low - slack)
			to = mid;
		else
			from = mid + 1;
	}
	return from < c->nintervals && c->interval[from].low <= high + slack;
}

static inline bool
satisfies(const mg_stream *s, const mg_condition *c, const mg_values *v, uint32_t i)
{
	double x;

	if (v->null[i])
		return c->null;
	if (v->label != NULL)
		return c->label[v->label[i]];
	x = s->snap != NULL ? s->snap(s->snap_arg, c->col, v->number[i]) : v->number[i];
	return mg_condition_admits(c, x, x);
}

/* Of the rows that are left those whose value satisfies condition k. */
static mg_code
judge_values(mg_ctx *ctx, mg_stream *s, uint32_t k)
{
	mg_where *w = s->where;
	const mg_condition *c = &w->condition[k];
	uint32_t left = 0;

	MG_TRY(mg_poll(ctx));
	for (uint32_t i = 0; i < w->nrows; i++)
		if (satisfies(s, c, &s->batch.column[c->col], w->row[i]))
			w->row[left++] = w->row[i];
	w->nrows = left;
	return MG_OK;
}

/* Values of a column, for the rows that are left; once a batch. */
static void
make_column(mg_stream *s, uint32_t col, uint32_t rows)
{
	mg_where *w = s->where;
	mg_rng rng;

	if (w->made[col])
		return;
	mg_stream_seed(s, s->next, col, &rng);
	mg_values_fill_rows(s->decoder[col], &rng, s->codes[col], rows, w->row, w->nrows, &s->scratch,
						&s->batch.column[col]);
	w->made[col] = true;
}

/* Dependent columns among make[], and the conditions on them. */
static mg_code
judge_dependents(mg_ctx *ctx, mg_stream *s, uint32_t rows)
{
	mg_where *w = s->where;

	for (uint32_t col = 0; col < s->model->ncolumns; col++)
		if (w->needed[col] && !mg_dependents_has(s->dependents, col))
			make_column(s, col, rows);
	mg_dependents_fill_rows(s->dependents, w->needed, w->row, w->nrows, s->codes, s->batch.column);
	for (uint32_t k = 0; k < w->n && w->nrows > 0; k++)
		if (mg_dependents_has(s->dependents, w->condition[k].col))
			MG_TRY(judge_values(ctx, s, k));
	return MG_OK;
}

mg_code
mg_where_batch(mg_ctx *ctx, mg_stream *s, uint32_t rows, const bool *made)
{
	mg_where *w = s->where;

	s->batch.row = w->row;
	s->batch.nrows = 0;
	if (w->nothing)
		return MG_OK;
	for (uint32_t col = 0; col < s->model->ncolumns; col++)
		w->made[col] = made != NULL && made[col] && !mg_dependents_has(s->dependents, col);
	judge_codes(s, rows);
	for (uint32_t k = 0; k < w->n && w->nrows > 0; k++)
		if (w->may[k] != NULL)
		{
			make_column(s, w->condition[k].col, rows);
			MG_TRY(judge_values(ctx, s, k));
		}
	if (w->dependent && w->nrows > 0)
		MG_TRY(judge_dependents(ctx, s, rows));
	for (uint32_t col = 0; col < s->model->ncolumns && w->nrows > 0; col++)
		if (s->make[col] && !mg_dependents_has(s->dependents, col))
			make_column(s, col, rows);
	if (w->nrows > 0)
		mg_dependents_fill_rows(s->dependents, s->make, w->row, w->nrows, s->codes, s->batch.column);
	s->batch.nrows = w->nrows;
	return MG_OK;
}

/* ---- estimates ---- */

static mg_code
share_of(mg_ctx *ctx, mg_arena *a, const mg_model *m, const mg_conditioned *given, const mg_condition *c, double *share)
{
	const mg_column *col = &m->columns[c->col];
	const double *held = given != NULL ? mg_conditioned_weight(given, c->col) : NULL;
	double all = 0, kept = 0, *weight;
	mg_decoder_column *dc;

	MG_NEW(ctx, a, weight, col->ncoarse);
	MG_TRY(mg_values_prepare_given(ctx, a, col, c, &dc, weight));
	for (uint32_t code = 0; code < col->ncoarse; code++)
	{
		double mass = fmax(col->coarse[code], 0) * (held != NULL ? held[code] : 1);

		all += mass;
		kept += mass * weight[code];
	}
	*share = all > 0 ? fmin(kept / all, 1) : 1;
	return MG_OK;
}

mg_code
mg_where_share(mg_ctx *ctx, const mg_model *m, const mg_conditioned *given, const mg_condition *where, uint32_t n,
			   double *share)
{
	mg_arena *a = mg_arena_create(0);
	mg_code code = a != NULL ? MG_OK : mg_fail(ctx, MG_NOMEM, "out of memory");

	*share = 1;
	for (uint32_t i = 0; i < n && code == MG_OK; i++)
	{
		double one = 1;

		if (where[i].col >= m->ncolumns)
			code = mg_fail(ctx, MG_INTERNAL, "a condition on a column that is not of the model");
		else
			code = share_of(ctx, a, m, given, &where[i], &one);
		*share *= one;
	}
	mg_arena_destroy(a);
	return code;
}
