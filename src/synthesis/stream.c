/*
 * synthesis/stream.c: batches of rows from a model and a key.
 *
 * Batch b draws its codes from a generator seeded by (key, b), and each column its values from one seeded by (key, b,
 * column): a column's values do not depend on which others are wanted. Where the model has constraints to keep, the
 * columns that they mention come first, rows that violate one are drawn again (redraw.c), and then come the others,
 * from the codes as they are by then. The stream owns one arena: buffers of MG_BATCH_ROWS a column. The key is wiped
 * with the stream.
 */
#include "synthesis/marking_private.h"

#include "model/dependency.h"

#include <string.h>

/* ---- seeds ---- */

/* A generator for (key, batch, lane): each word passes the two numbers, and two rounds spread every word over all. */
void
mg_stream_seed(const mg_stream *s, uint64_t batch, uint64_t lane, mg_rng *rng)
{
	uint64_t w[4];
	uint8_t bytes[32];

	for (int i = 0; i < 4; i++)
		w[i] = mg_mix64(s->key[i] + mg_mix64(batch + 0x9E3779B97F4A7C15u * (uint64_t) (i + 1)) +
						mg_mix64(lane + 0xD1B54A32D192ED03u * (uint64_t) (i + 1)));
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 4; i++)
			w[i] = mg_mix64(w[i] + w[(i + 3) & 3] + 0x9E3779B97F4A7C15u);
	for (int i = 0; i < 32; i++)
		bytes[i] = (uint8_t) (w[i / 8] >> (8 * (i % 8)));
	mg_rng_seed_bytes(rng, bytes);
}

/* ---- life ---- */

mg_code
mg_stream_alloc_values(mg_ctx *ctx, mg_stream *s, uint32_t col, mg_values *v)
{
	MG_NEW(ctx, s->arena, v->null, MG_BATCH_ROWS);
	if (s->model->columns[col].domain.kind == MG_CATEGORY)
		MG_NEW(ctx, s->arena, v->label, MG_BATCH_ROWS);
	else
		MG_NEW(ctx, s->arena, v->number, MG_BATCH_ROWS);
	return MG_OK;
}

mg_code
mg_stream_ready(mg_ctx *ctx, mg_stream *s)
{
	for (uint32_t i = 0; i < s->model->ncolumns && !s->ready; i++)
	{
		MG_NEW(ctx, s->arena, s->codes[i], MG_BATCH_ROWS);
		MG_TRY(mg_stream_alloc_values(ctx, s, i, &s->batch.column[i]));
	}
	s->ready = true;
	return MG_OK;
}

static mg_code
stream_init(mg_ctx *ctx, mg_stream *s)
{
	uint32_t n = s->model->ncolumns, bins = 1;

	MG_NEW(ctx, s->arena, s->make, n);
	MG_NEW(ctx, s->arena, s->decoder, n);
	MG_NEW(ctx, s->arena, s->codes, n);
	MG_NEW(ctx, s->arena, s->batch.column, n);
	for (uint32_t i = 0; i < n; i++)
	{
		s->decoder[i] = s->given != NULL ? mg_conditioned_decoder(s->given, i) : NULL;
		if (s->decoder[i] == NULL)
			MG_TRY(mg_values_prepare(ctx, s->arena, &s->model->columns[i], &s->decoder[i]));
		s->make[i] = true;
		if (s->model->columns[i].ncoarse > bins)
			bins = s->model->columns[i].ncoarse;
	}
	MG_NEW(ctx, s->arena, s->scratch.cell, MG_BATCH_ROWS);
	MG_NEW(ctx, s->arena, s->scratch.pool, MG_BATCH_ROWS);
	MG_NEW(ctx, s->arena, s->scratch.left, bins);
	MG_NEW(ctx, s->arena, s->scratch.start, bins);
	MG_TRY(mg_dependents_prepare(ctx, s->arena, s->model, s->decoder, &s->dependents));
	MG_TRY(mg_redraw_create(ctx, s));
	if (s->given == NULL)
		return s->model->method->compile(ctx, s->model, &s->sampler);
	s->sampler = mg_conditioned_sampler(s->given);
	return MG_OK;
}

static mg_code
create(mg_ctx *ctx, const mg_model *m, const mg_conditioned *given, const uint8_t key[32], mg_stream **out)
{
	mg_arena *arena = mg_arena_create(0);
	mg_stream *s;
	mg_code code;

	*out = NULL;
	s = arena != NULL ? mg_arena_alloc(arena, 1, sizeof(*s)) : NULL;
	if (s == NULL)
	{
		mg_arena_destroy(arena);
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	}
	s->arena = arena;
	s->model = m;
	s->given = given;
	for (int i = 0; i < 32; i++)
		s->key[i / 8] |= (uint64_t) key[i] << (8 * (i % 8));
	code = stream_init(ctx, s);
	if (code != MG_OK)
	{
		mg_stream_destroy(s);
		return code;
	}
	*out = s;
	return MG_OK;
}

mg_code
mg_stream_create(mg_ctx *ctx, const mg_model *m, const uint8_t key[32], mg_stream **out)
{
	return create(ctx, m, NULL, key, out);
}

mg_code
mg_stream_create_conditioned(mg_ctx *ctx, const mg_conditioned *c, const uint8_t key[32], mg_stream **out)
{
	return create(ctx, mg_conditioned_model(c), c, key, out);
}

void
mg_stream_want(mg_stream *s, const bool *want)
{
	mg_dependents_want(s->dependents, want, s->model->ncolumns, s->make);
}

void
mg_stream_snap(mg_stream *s, mg_snap snap, void *arg)
{
	s->snap = snap;
	s->snap_arg = arg;
}

/* ---- batches ---- */

void
mg_stream_fill(mg_stream *s, uint32_t col, mg_rng *rng, const uint16_t *codes, uint32_t n, mg_values *v)
{
	mg_values_fill(s->decoder[col], rng, codes, n, &s->scratch, v);
	if (s->snap == NULL || v->number == NULL)
		return;
	for (uint32_t i = 0; i < n; i++)
		if (!v->null[i])
			v->number[i] = s->snap(s->snap_arg, col, v->number[i]);
}

void
mg_stream_fill_dependents(mg_stream *s, const bool *make, uint16_t *const *codes, uint32_t n, mg_values *column)
{
	mg_dependents_fill(s->dependents, make, n, codes, column);
	for (uint32_t c = 0; c < s->model->ncolumns && s->snap != NULL; c++)
	{
		if (!make[c] || column[c].number == NULL || !mg_dependents_has(s->dependents, c))
			continue;
		for (uint32_t i = 0; i < n; i++)
			if (!column[c].null[i])
				column[c].number[i] = s->snap(s->snap_arg, c, column[c].number[i]);
	}
}

static bool
wants_any(const mg_stream *s)
{
	for (uint32_t i = 0; i < s->model->ncolumns; i++)
		if (s->make[i])
			return true;
	return false;
}

/* The columns that constraints mention, and rows that satisfy them. */
static mg_code
constrain(mg_ctx *ctx, mg_stream *s, uint32_t rows)
{
	mg_rng rng;

	for (uint32_t i = 0; i < s->model->ncolumns; i++)
		if (s->redraw->needed[i] && !mg_dependents_has(s->dependents, i))
		{
			mg_stream_seed(s, s->next, i, &rng);
			mg_stream_fill(s, i, &rng, s->codes[i], rows, &s->batch.column[i]);
		}
	mg_stream_fill_dependents(s, s->redraw->needed, s->codes, rows, s->batch.column);
	mg_stream_seed(s, s->next, MG_LANE_REDRAWS, &rng);
	return mg_redraw_batch(ctx, s, &rng, rows);
}

/* Values of what is wanted, from codes that are final. */
static void
make_values(mg_stream *s, uint32_t rows, bool constrained)
{
	mg_rng rng;

	for (uint32_t i = 0; i < s->model->ncolumns; i++)
	{
		if (!s->make[i] || mg_dependents_has(s->dependents, i) || (constrained && s->redraw->needed[i]))
			continue;
		mg_stream_seed(s, s->next, i, &rng);
		mg_values_fill(s->decoder[i], &rng, s->codes[i], rows, &s->scratch, &s->batch.column[i]);
	}
	mg_dependents_fill(s->dependents, s->make, rows, s->codes, s->batch.column);
}

/* Codes as they stay: drawn, marked, held to the constraints, whose columns have their values then. */
static mg_code
make_codes(mg_ctx *ctx, mg_stream *s, uint32_t rows, bool marked, bool constrained)
{
	uint32_t drawn = marked ? mg_mark_pool(s->marker, rows) : rows;
	mg_rng rng;

	mg_stream_seed(s, s->next, MG_LANE_CODES, &rng);
	MG_TRY(s->sampler->batch(ctx, s->sampler, &rng, drawn, s->codes));
	if (marked)
	{
		mg_stream_seed(s, s->next, MG_LANE_MARK, &rng);
		MG_TRY(mg_mark_batch(ctx, s, &rng, rows));
	}
	return constrained ? constrain(ctx, s, rows) : MG_OK;
}

mg_code
mg_stream_next(mg_ctx *ctx, mg_stream *s, uint32_t rows, const mg_batch **out)
{
	bool any = wants_any(s) || s->where != NULL, constrained = s->redraw != NULL && any;

	if (rows < 1 || rows > MG_BATCH_ROWS)
		return mg_fail(ctx, MG_INTERNAL, "a batch of %u rows", (unsigned) rows);
	MG_TRY(mg_stream_ready(ctx, s));
	if (s->where == NULL || !s->where->nothing)
		MG_TRY(make_codes(ctx, s, rows, s->marker != NULL && any, constrained));
	if (s->where != NULL)
		MG_TRY(mg_where_batch(ctx, s, rows, constrained ? s->redraw->needed : NULL));
	else
		make_values(s, rows, constrained);
	s->next++;
	s->batch.rows = rows;
	*out = &s->batch;
	return MG_OK;
}

void
mg_stream_seek(mg_stream *s, uint64_t batch)
{
	s->next = batch;
}

void
mg_stream_destroy(mg_stream *s)
{
	mg_arena *arena;

	if (s == NULL)
		return;
	if (s->sampler != NULL && s->given == NULL)
		s->sampler->destroy(s->sampler);
	mg_marker_wipe(s->marker);
	arena = s->arena;
	for (int i = 0; i < 4; i++)
		((volatile uint64_t *) s->key)[i] = 0;
	mg_arena_destroy(arena);
}
