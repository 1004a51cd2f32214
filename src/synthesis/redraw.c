/*
 * synthesis/redraw.c: rows that violate a constraint are drawn again, a bounded number of times.
 *
 * Of the rows of a batch that violate one, the needed columns get new values within the same bins, a few times: what
 * the model measured, its codes, stays as it is. Rows that still violate one get new codes: candidates are drawn from
 * the sampler as any batch is, and those that satisfy everything take the rows' places, in order. What is left after a
 * bounded number of candidates copies a row of the batch that satisfies everything. A row's law is thus the model's
 * given the constraints, but that bins are changed no more than needed.
 *
 * All draws come from one generator, so a batch stays a function of model, key, number and rows; which columns are
 * wanted has no part in it.
 */
#include "synthesis/stream_private.h"

#include <stdio.h>
#include <string.h>

#define VALUE_TRIES 6
/* Candidates for a batch: so many a row, and so many more. */
#define ROW_CANDIDATES 64.0
#define MORE_CANDIDATES 65536.0
#define LEAST_CANDIDATES 64u
/*
 * Rows that a model's rejection rates are estimated from, and the shares of them that must satisfy a constraint, and
 * all of them together. What fewer satisfy (an equality of sums, say, which rows meet by NULLs or by chance) would
 * leave rows that have little to do with the model.
 */
#define MEASURED_BATCHES 4
#define MEASURED_ROWS 8192
#define LEAST_SATISFIED (1.0 / 20)
#define LEAST_TOGETHER (1.0 / 500)

/* ---- life ---- */

static mg_code
alloc(mg_ctx *ctx, mg_stream *s, mg_redraw *r)
{
	MG_NEW(ctx, s->arena, r->codes, s->model->ncolumns);
	MG_NEW(ctx, s->arena, r->value, s->model->ncolumns);
	MG_NEW(ctx, s->arena, r->truth, MG_BATCH_ROWS);
	MG_NEW(ctx, s->arena, r->bad, MG_BATCH_ROWS);
	MG_NEW(ctx, s->arena, r->open, MG_BATCH_ROWS);
	MG_NEW(ctx, s->arena, r->row, MG_BATCH_ROWS);
	r->fixed = true;
	for (uint32_t c = 0; c < s->model->ncolumns; c++)
	{
		MG_NEW(ctx, s->arena, r->codes[c], MG_BATCH_ROWS);
		if (!r->needed[c])
			continue;
		MG_TRY(mg_stream_alloc_values(ctx, s, c, &r->value[c]));
		r->fixed = r->fixed && mg_values_fixed(s->decoder[c]) && !mg_dependents_has(s->dependents, c);
	}
	return MG_OK;
}

mg_code
mg_redraw_create(mg_ctx *ctx, mg_stream *s)
{
	const mg_model *m = s->model;
	mg_redraw *r;
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->nconstraints; i++)
		n += mg_constraint_enforced(&m->constraints[i]);
	if (n == 0)
		return MG_OK;
	MG_NEW(ctx, s->arena, r, 1);
	MG_NEW(ctx, s->arena, r->check, n);
	MG_NEW(ctx, s->arena, r->from, n);
	MG_NEW(ctx, s->arena, r->needed, m->ncolumns);
	for (uint32_t i = 0; i < m->nconstraints; i++)
	{
		const mg_constraint *c = &m->constraints[i];

		if (!mg_constraint_enforced(c))
			continue;
		MG_TRY(mg_check_prepare(ctx, s->arena, m->columns, m->ncolumns, c, &r->check[r->nchecks]));
		r->from[r->nchecks++] = c;
		for (uint32_t k = 0; k < c->ncols; k++)
			r->needed[c->cols[k]] = true;
	}
	/* and what these depend on */
	mg_dependents_want(s->dependents, r->needed, m->ncolumns, r->needed);
	MG_TRY(alloc(ctx, s, r));
	s->redraw = r;
	return MG_OK;
}

/* ---- judging ---- */

/* bad[i]: row i violates a constraint. */
static void
judge(mg_redraw *r, const mg_values *value, uint32_t n)
{
	memset(r->bad, 0, n * sizeof(*r->bad));
	for (uint32_t k = 0; k < r->nchecks; k++)
	{
		mg_check_rows(r->check[k], value, n, r->truth);
		for (uint32_t i = 0; i < n; i++)
			r->bad[i] = r->bad[i] || r->truth[i] == MG_TRUTH_FALSE;
	}
}

/* Rows of the batch that are bad, into row[]; how many. */
static uint32_t
list_bad(mg_redraw *r, uint32_t rows)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < rows; i++)
	{
		r->open[i] = r->bad[i];
		if (r->bad[i])
			r->row[n++] = (uint16_t) i;
	}
	return n;
}

static void
copy_value(const mg_values *from, uint32_t i, mg_values *to, uint32_t k)
{
	to->null[k] = from->null[i];
	if (to->label != NULL)
		to->label[k] = from->label[i];
	else
		to->number[k] = from->number[i];
}

/* Values of the n candidates whose codes are in r->codes, and their verdicts. */
static void
fill_candidates(mg_stream *s, mg_rng *rng, uint32_t n)
{
	mg_redraw *r = s->redraw;

	for (uint32_t c = 0; c < s->model->ncolumns; c++)
		if (r->needed[c] && !mg_dependents_has(s->dependents, c))
			mg_stream_fill(s, c, rng, r->codes[c], n, &r->value[c]);
	mg_stream_fill_dependents(s, r->needed, r->codes, n, r->value);
	judge(r, r->value, n);
}

/* Candidate i becomes row k of the batch. */
static void
take(mg_stream *s, uint32_t i, uint32_t k)
{
	mg_redraw *r = s->redraw;

	for (uint32_t c = 0; c < s->model->ncolumns; c++)
		if (r->needed[c])
			copy_value(&r->value[c], i, &s->batch.column[c], k);
	r->open[k] = false;
}

/* ---- draws ---- */

/* New values for the m open rows, codes as they are; how many stay open. */
static uint32_t
draw_values(mg_stream *s, mg_rng *rng, uint32_t m)
{
	mg_redraw *r = s->redraw;
	uint32_t left = 0;

	for (uint32_t c = 0; c < s->model->ncolumns; c++)
		for (uint32_t i = 0; r->needed[c] && i < m; i++)
			r->codes[c][i] = s->codes[c][r->row[i]];
	fill_candidates(s, rng, m);
	for (uint32_t i = 0; i < m; i++)
	{
		if (r->bad[i])
			r->row[left++] = r->row[i];
		else
			take(s, i, r->row[i]);
	}
	return left;
}

/* n candidates from the sampler for the m open rows; how many stay open. *satisfied: of the candidates. */
static mg_code
draw_codes(mg_ctx *ctx, mg_stream *s, mg_rng *rng, uint32_t n, uint32_t *m, uint32_t *satisfied)
{
	mg_redraw *r = s->redraw;
	uint32_t used = 0;

	MG_TRY(s->sampler->batch(ctx, s->sampler, rng, n, r->codes));
	fill_candidates(s, rng, n);
	*satisfied = 0;
	for (uint32_t i = 0; i < n; i++)
	{
		if (r->bad[i])
			continue;
		(*satisfied)++;
		if (used == *m)
			continue;
		for (uint32_t c = 0; c < s->model->ncolumns; c++)
			s->codes[c][r->row[used]] = r->codes[c][i];
		take(s, i, r->row[used++]);
	}
	*m -= used;
	memmove(r->row, r->row + used, *m * sizeof(*r->row));
	return MG_OK;
}

/* Candidates for m rows when `satisfied` of `drawn` were good. */
static uint32_t
candidates_for(uint32_t m, double satisfied, double drawn)
{
	double n = 1.25 * m * (drawn + 1) / (satisfied + 1) + 8;

	return n > MG_BATCH_ROWS ? MG_BATCH_ROWS : n < LEAST_CANDIDATES ? LEAST_CANDIDATES : (uint32_t) n;
}

/* No row was found: the constraint that most candidates of the last round violated. */
static mg_code
give_up(mg_ctx *ctx, mg_stream *s, uint32_t n)
{
	mg_redraw *r = s->redraw;
	uint32_t worst = 0, most = 0;

	for (uint32_t k = 0; k < r->nchecks; k++)
	{
		uint32_t bad = 0;

		mg_check_rows(r->check[k], r->value, n, r->truth);
		for (uint32_t i = 0; i < n; i++)
			bad += r->truth[i] == MG_TRUTH_FALSE;
		if (bad > most)
		{
			most = bad;
			worst = k;
		}
	}
	mg_fail(ctx, MG_IMPOSSIBLE, "the model has hardly any row that satisfies its constraints, above all \"%.63s\"",
			r->from[worst]->name);
	return mg_hint(ctx,
				   "Ask under other conditions, or train with more epsilon or without a column of the constraint.");
}

/* The m open rows become copies of rows that are not. */
static mg_code
copy_rows(mg_ctx *ctx, mg_stream *s, mg_rng *rng, uint32_t rows, uint32_t m, uint32_t judged)
{
	mg_redraw *r = s->redraw;
	uint32_t good = 0;

	if (m == rows)
		return give_up(ctx, s, judged);
	for (uint32_t i = 0; i < rows; i++)
		if (!r->open[i])
			r->codes[0][good++] = (uint16_t) i; /* candidates are done with */
	for (uint32_t i = 0; i < m; i++)
	{
		uint32_t from = r->codes[0][mg_rng_below32((uint32_t) (mg_rng_u64(rng) >> 32), good)], to = r->row[i];

		for (uint32_t c = 0; c < s->model->ncolumns; c++)
		{
			s->codes[c][to] = s->codes[c][from];
			if (r->needed[c])
				copy_value(&s->batch.column[c], from, &s->batch.column[c], to);
		}
	}
	return MG_OK;
}

mg_code
mg_redraw_batch(mg_ctx *ctx, mg_stream *s, mg_rng *rng, uint32_t rows)
{
	mg_redraw *r = s->redraw;
	uint32_t m, satisfied, n = 0;
	double drawn = rows, good, most = rows + ROW_CANDIDATES * rows + MORE_CANDIDATES;

	judge(r, s->batch.column, rows);
	m = list_bad(r, rows);
	good = rows - m;
	for (int i = 0; i < VALUE_TRIES && m > 0 && !r->fixed; i++)
		m = draw_values(s, rng, m);
	while (m > 0 && drawn < most)
	{
		n = candidates_for(m, good, drawn);
		MG_TRY(draw_codes(ctx, s, rng, n, &m, &satisfied));
		good += satisfied;
		drawn += n;
	}
	return m == 0 ? MG_OK : copy_rows(ctx, s, rng, rows, m, n);
}

/* ---- rejection rates ---- */

/* One batch of the model as it is: violated[k] += rows that violate constraint k; together: rows that violate none. */
static mg_code
measure_batch(mg_ctx *ctx, mg_stream *s, uint64_t batch, uint32_t *violated, uint32_t *together)
{
	mg_redraw *r = s->redraw;
	mg_rng rng;

	mg_stream_seed(s, batch, MG_LANE_REDRAWS, &rng);
	MG_TRY(s->sampler->batch(ctx, s->sampler, &rng, MEASURED_ROWS, r->codes));
	fill_candidates(s, &rng, MEASURED_ROWS);
	for (uint32_t i = 0; i < MEASURED_ROWS; i++)
		*together += !r->bad[i];
	for (uint32_t k = 0; k < r->nchecks; k++)
	{
		mg_check_rows(r->check[k], r->value, MEASURED_ROWS, r->truth);
		for (uint32_t i = 0; i < MEASURED_ROWS; i++)
			violated[k] += r->truth[i] == MG_TRUTH_FALSE;
	}
	return MG_OK;
}

/* Of the enforced constraints, those whose share is above `most` are enforced no more. True: there were some. */
static bool
drop_above(mg_model *m, double most, const char *why)
{
	bool any = false;

	for (uint32_t i = 0; i < m->nconstraints; i++)
	{
		mg_constraint *c = &m->constraints[i];

		if (!mg_constraint_enforced(c) || c->rejected <= most)
			continue;
		c->how = MG_HOW_NONE;
		c->why = why;
		any = true;
	}
	return any;
}

static mg_code
measure(mg_ctx *ctx, mg_model *m, mg_stream *s, bool *again)
{
	const uint32_t rows = MEASURED_BATCHES * MEASURED_ROWS;
	uint32_t *violated, together = 0, k = 0;
	double worst = 0;

	*again = false;
	if (s->redraw == NULL)
		return MG_OK;
	MG_NEW(ctx, s->arena, violated, s->redraw->nchecks);
	for (uint64_t b = 0; b < MEASURED_BATCHES; b++)
		MG_TRY(measure_batch(ctx, s, b, violated, &together));
	for (uint32_t i = 0; i < m->nconstraints; i++)
	{
		mg_constraint *c = &m->constraints[i];

		if (!mg_constraint_enforced(c))
			continue;
		c->rejected = (double) violated[k++] / rows;
		worst = c->rejected > worst ? c->rejected : worst;
	}
	if (drop_above(m, 1 - LEAST_SATISFIED, "hardly any row of the model satisfies it"))
		*again = true;
	else if (together < rows * LEAST_TOGETHER)
		*again = drop_above(m, worst * (1 - 1e-9), "hardly any row of the model satisfies it and the others together");
	return MG_OK;
}

mg_code
mg_constraints_measure(mg_ctx *ctx, mg_model *m, mg_snap snap, void *arg)
{
	static const uint8_t key[32] = "rejection rates of constraints";
	bool again = true;

	/* each time with fewer constraints */
	while (again)
	{
		mg_stream *s;
		mg_code code;

		MG_TRY(mg_stream_create(ctx, m, key, &s));
		mg_stream_snap(s, snap, arg);
		code = measure(ctx, m, s, &again);
		mg_stream_destroy(s);
		MG_TRY(code);
	}
	return MG_OK;
}
