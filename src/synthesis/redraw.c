/*
 * synthesis/redraw.c: rows that violate a constraint are drawn again, a bounded number of times.
 *
 * Of the rows of a batch that violate one, the needed columns get new values within the same bins, a few times: what
 * the model measured, its codes, stays as it is. Where that does not help, one number after the other is drawn from the
 * part of its bin that comparisons with the others leave to it (an end soon after a start, a sum of other columns).
 * Rows that still violate one get new codes: candidates are drawn from the sampler as any batch is, treated in the same
 * way, and those that satisfy everything take the rows' places, in order. What is left after a bounded number of
 * candidates copies a row of the batch that satisfies everything.
 *
 * All draws come from one generator, so a batch stays a function of model, key, number and rows; which columns are
 * wanted has no part in it.
 */
#include "synthesis/stream_private.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define VALUE_TRIES 6
#define MOST_TARGETS 32
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

static mg_target *
target_of(mg_redraw *r, uint32_t col)
{
	for (uint32_t i = 0; i < r->ntargets; i++)
		if (r->target[i].col == col)
			return &r->target[i];
	if (r->ntargets == MOST_TARGETS)
		return NULL;
	r->target[r->ntargets].col = col;
	return &r->target[r->ntargets++];
}

/* Does the node compare several numbers? */
static bool
binds_numbers(const mg_model *m, const mg_expr *e)
{
	if (e->kind != MG_EXPR_COMPARE || e->nterms < 2)
		return false;
	for (uint32_t t = 0; t < e->nterms; t++)
		if (m->columns[e->terms[t].col].domain.kind != MG_NUMBER)
			return false;
	return true;
}

/*
 * The comparisons of a constraint, for each number in them that does not follow from other columns. Not every one need
 * hold for the constraint to (they may be arms of an OR, or negated): whatever is drawn by them is judged by the whole.
 */
static mg_code
find_targets(mg_ctx *ctx, mg_stream *s, mg_redraw *r)
{
	MG_NEW(ctx, s->arena, r->target, MOST_TARGETS);
	/* once to count, once to list */
	for (int pass = 0; pass < 2; pass++)
	{
		for (uint32_t i = 0; pass == 1 && i < r->ntargets; i++)
		{
			MG_NEW(ctx, s->arena, r->target[i].atom, r->target[i].natoms);
			r->target[i].natoms = 0;
		}
		for (uint32_t k = 0; k < r->nchecks; k++)
			for (uint32_t i = 0; i < r->from[k]->nnodes; i++)
			{
				const mg_expr *e = &r->from[k]->expr[i];

				for (uint32_t t = 0; binds_numbers(s->model, e) && t < e->nterms; t++)
				{
					uint32_t col = e->terms[t].col;
					bool free = e->terms[t].factor != 0 && !mg_dependents_has(s->dependents, col);
					mg_target *to = free ? target_of(r, col) : NULL;

					if (to != NULL && pass == 1)
						to->atom[to->natoms] = e;
					if (to != NULL)
						to->natoms++;
				}
			}
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
	MG_TRY(find_targets(ctx, s, r));
	MG_TRY(alloc(ctx, s, r));
	s->redraw = r;
	return MG_OK;
}

/* ---- judging ---- */

/* bad[i]: row i violates a constraint. */
static mg_code
judge(mg_ctx *ctx, mg_redraw *r, const mg_values *value, uint32_t n)
{
	memset(r->bad, 0, n * sizeof(*r->bad));
	for (uint32_t k = 0; k < r->nchecks; k++)
	{
		MG_TRY(mg_poll(ctx));
		mg_check_rows(r->check[k], value, n, r->truth);
		for (uint32_t i = 0; i < n; i++)
			r->bad[i] = r->bad[i] || r->truth[i] == MG_TRUTH_FALSE;
	}
	return MG_OK;
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

/* Values of the n candidates whose codes are in r->codes. */
static void
fill_candidates(mg_stream *s, mg_rng *rng, uint32_t n)
{
	mg_redraw *r = s->redraw;

	for (uint32_t c = 0; c < s->model->ncolumns; c++)
		if (r->needed[c] && !mg_dependents_has(s->dependents, c))
			mg_stream_fill(s, c, rng, r->codes[c], n, &r->value[c]);
	mg_stream_fill_dependents(s, r->needed, r->codes, n, r->value);
}

/* ---- aiming ---- */

/* Narrows [low, high], where candidate i's target may be, by one comparison. */
static void
narrow(const mg_redraw *r, const mg_target *t, const mg_expr *e, uint32_t i, double *low, double *high)
{
	double rest = e->constant, size = fabs(e->constant), factor = 0, bound, slack;
	uint32_t signs = e->compare;

	for (uint32_t k = 0; k < e->nterms; k++)
	{
		const mg_values *v = &r->value[e->terms[k].col];

		if (e->terms[k].col == t->col)
			factor += e->terms[k].factor;
		else if (v->null[i])
			return; /* NULL, whatever the target is */
		else
		{
			rest -= e->terms[k].factor * v->number[i];
			size += fabs(e->terms[k].factor * v->number[i]);
		}
	}
	bound = rest / factor;
	/* decimals: what is meant may be beyond the last digit; the verdict allows for as much (model/check.c) */
	slack = e->decimal ? 4 * DBL_EPSILON * size / fabs(factor) : 0;
	if (factor < 0)
		signs =
			(signs & MG_EQUAL) | ((signs & MG_LESS) != 0 ? MG_GREATER : 0) | ((signs & MG_GREATER) != 0 ? MG_LESS : 0);
	if (!isfinite(bound) || signs == (MG_LESS | MG_GREATER))
		return;
	if ((signs & MG_GREATER) == 0)
		*high = fmin(*high, (signs & MG_EQUAL) != 0 ? bound + slack : nextafter(bound - slack, -INFINITY));
	if ((signs & MG_LESS) == 0)
		*low = fmax(*low, (signs & MG_EQUAL) != 0 ? bound - slack : nextafter(bound + slack, INFINITY));
}

/* Bad candidates of the n get a target within what the other columns leave to it. */
static void
aim(mg_stream *s, mg_rng *rng, const mg_target *t, uint32_t n)
{
	mg_redraw *r = s->redraw;
	mg_values *v = &r->value[t->col];

	for (uint32_t i = 0; i < n; i++)
	{
		double low = -INFINITY, high = INFINITY;

		if (!r->bad[i] || v->null[i])
			continue;
		for (uint32_t k = 0; k < t->natoms; k++)
			narrow(r, t, t->atom[k], i, &low, &high);
		if (mg_values_within(s->decoder[t->col], rng, r->codes[t->col][i], low, high, &v->number[i]) && s->snap != NULL)
			v->number[i] = s->snap(s->snap_arg, t->col, v->number[i]);
	}
}

static bool
any_bad(const mg_redraw *r, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (r->bad[i])
			return true;
	return false;
}

/* Judges n candidates, and helps those that are bad, one target after the other. */
static mg_code
mend(mg_ctx *ctx, mg_stream *s, mg_rng *rng, uint32_t n)
{
	mg_redraw *r = s->redraw;

	MG_TRY(judge(ctx, r, r->value, n));
	for (uint32_t t = 0; t < r->ntargets && any_bad(r, n); t++)
	{
		aim(s, rng, &r->target[t], n);
		mg_stream_fill_dependents(s, r->needed, r->codes, n, r->value);
		MG_TRY(judge(ctx, r, r->value, n));
	}
	return MG_OK;
}

/* Candidate i becomes row k of the batch. */
static void
take_candidate(mg_stream *s, uint32_t i, uint32_t k)
{
	mg_redraw *r = s->redraw;

	for (uint32_t c = 0; c < s->model->ncolumns; c++)
		if (r->needed[c])
			copy_value(&r->value[c], i, &s->batch.column[c], k);
	r->open[k] = false;
}

/* ---- draws ---- */

/* New values for the *m open rows, codes as they are; aimed: those that are no better are mended. *m stay open. */
static mg_code
draw_values(mg_ctx *ctx, mg_stream *s, mg_rng *rng, uint32_t *m, bool aimed)
{
	mg_redraw *r = s->redraw;
	uint32_t left = 0;

	for (uint32_t c = 0; c < s->model->ncolumns; c++)
		for (uint32_t i = 0; r->needed[c] && i < *m; i++)
			r->codes[c][i] = s->codes[c][r->row[i]];
	fill_candidates(s, rng, *m);
	MG_TRY(aimed ? mend(ctx, s, rng, *m) : judge(ctx, r, r->value, *m));
	for (uint32_t i = 0; i < *m; i++)
	{
		if (r->bad[i])
			r->row[left++] = r->row[i];
		else
			take_candidate(s, i, r->row[i]);
	}
	*m = left;
	return MG_OK;
}

/* n candidates from the sampler for the m open rows; how many stay open. *satisfied: of the candidates. */
static mg_code
draw_codes(mg_ctx *ctx, mg_stream *s, mg_rng *rng, uint32_t n, uint32_t *m, uint32_t *satisfied)
{
	mg_redraw *r = s->redraw;
	uint32_t used = 0;

	MG_TRY(s->sampler->batch(ctx, s->sampler, rng, n, r->codes));
	fill_candidates(s, rng, n);
	MG_TRY(mend(ctx, s, rng, n));
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
		take_candidate(s, i, r->row[used++]);
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

		MG_TRY(mg_poll(ctx));
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

/* New values within bins for rows of the batch that are bad; *m stay open. */
static mg_code
settle(mg_ctx *ctx, mg_stream *s, mg_rng *rng, uint32_t rows, uint32_t *m)
{
	mg_redraw *r = s->redraw;

	*m = list_bad(r, rows);
	for (int i = 0; i <= VALUE_TRIES && *m > 0 && !r->fixed; i++)
		MG_TRY(draw_values(ctx, s, rng, m, i == VALUE_TRIES));
	return MG_OK;
}

mg_code
mg_redraw_batch(mg_ctx *ctx, mg_stream *s, mg_rng *rng, uint32_t rows)
{
	mg_redraw *r = s->redraw;
	uint32_t m, satisfied, n = 0;
	double drawn = rows, good, most = rows + ROW_CANDIDATES * rows + MORE_CANDIDATES;

	MG_TRY(judge(ctx, r, s->batch.column, rows));
	MG_TRY(settle(ctx, s, rng, rows, &m));
	good = rows - m;
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

/* What a constraint did to the rows of the measured batches. */
typedef struct tally
{
	uint32_t raw;  /* rows that violate it as the model makes them */
	uint32_t left; /* rows that do after all that new values can do */
} tally;

static mg_code
count_violations(mg_ctx *ctx, mg_stream *s, bool settled, tally *count)
{
	mg_redraw *r = s->redraw;

	for (uint32_t k = 0; k < r->nchecks; k++)
	{
		MG_TRY(mg_poll(ctx));
		mg_check_rows(r->check[k], s->batch.column, MEASURED_ROWS, r->truth);
		for (uint32_t i = 0; i < MEASURED_ROWS; i++)
			*(settled ? &count[k].left : &count[k].raw) += r->truth[i] == MG_TRUTH_FALSE;
	}
	return MG_OK;
}

/* One batch; together: rows that violate nothing in the end. */
static mg_code
measure_batch(mg_ctx *ctx, mg_stream *s, uint64_t batch, tally *count, uint32_t *together)
{
	mg_redraw *r = s->redraw;
	uint32_t open;
	mg_rng rng;

	mg_stream_seed(s, batch, MG_LANE_REDRAWS, &rng);
	MG_TRY(s->sampler->batch(ctx, s->sampler, &rng, MEASURED_ROWS, s->codes));
	for (uint32_t c = 0; c < s->model->ncolumns; c++)
		if (r->needed[c] && !mg_dependents_has(s->dependents, c))
			mg_stream_fill(s, c, &rng, s->codes[c], MEASURED_ROWS, &s->batch.column[c]);
	mg_stream_fill_dependents(s, r->needed, s->codes, MEASURED_ROWS, s->batch.column);
	MG_TRY(count_violations(ctx, s, false, count));
	MG_TRY(judge(ctx, r, s->batch.column, MEASURED_ROWS));
	MG_TRY(settle(ctx, s, &rng, MEASURED_ROWS, &open));
	*together += MEASURED_ROWS - open;
	return count_violations(ctx, s, true, count);
}

/* Enforced constraints that more than `most` rows violate to the end are enforced no more. True: there were some. */
static bool
drop_above(mg_model *m, const tally *count, uint32_t most, const char *why)
{
	bool any = false;

	for (uint32_t i = 0, k = 0; i < m->nconstraints; i++)
	{
		mg_constraint *c = &m->constraints[i];

		if (!mg_constraint_enforced(c) || count[k++].left <= most)
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
	uint32_t together = 0, k = 0, worst = 0;
	tally *count;

	*again = false;
	if (s->redraw == NULL)
		return MG_OK;
	MG_NEW(ctx, s->arena, count, s->redraw->nchecks);
	MG_TRY(mg_stream_ready(ctx, s));
	for (uint64_t b = 0; b < MEASURED_BATCHES; b++)
		MG_TRY(measure_batch(ctx, s, b, count, &together));
	for (uint32_t i = 0; i < m->nconstraints; i++)
		if (mg_constraint_enforced(&m->constraints[i]))
		{
			m->constraints[i].rejected = (double) count[k].raw / rows;
			worst = count[k].left > worst ? count[k].left : worst;
			k++;
		}
	if (drop_above(m, count, (uint32_t) (rows * (1 - LEAST_SATISFIED)), "hardly any row of the model satisfies it"))
		*again = true;
	else if (together < rows * LEAST_TOGETHER && worst > 0)
		*again = drop_above(m, count, worst - 1, "hardly any row of the model satisfies it and the others together");
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
