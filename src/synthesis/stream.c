/*
 * synthesis/stream.c: batches of rows from a model and a key.
 *
 * Batch b draws its codes from a generator seeded by (key, b), and each column its values from one seeded by (key, b,
 * column): a column's values do not depend on which others are wanted. The stream owns one arena: buffers of
 * MG_BATCH_ROWS a column. The key is wiped with the stream.
 */
#include "synthesis/synthesis.h"

#include "model/dependency.h"
#include "synthesis/depend.h"
#include "synthesis/values.h"

#include <string.h>

struct mg_stream
{
	mg_arena *arena;
	const mg_model *model;
	mg_sampler *sampler;
	uint64_t key[4];
	uint64_t next;             /* the batch to come */
	bool *make;                /* [ncolumns] those that are wanted, or that one depends on that is */
	mg_dependents *dependents; /* NULL: none */
	mg_decoder_column **decoder;
	uint16_t **codes;
	mg_values_scratch scratch;
	mg_batch batch;
};

/* ---- seeds ---- */

/* A generator for (key, batch, lane): each word passes the two numbers, and two rounds spread every word over all. */
static void
seed_lane(const mg_stream *s, uint64_t batch, uint64_t lane, mg_rng *rng)
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

static mg_code
alloc_column(mg_ctx *ctx, mg_stream *s, uint32_t col)
{
	const mg_column *c = &s->model->columns[col];
	mg_values *v = &s->batch.column[col];

	MG_TRY(mg_values_prepare(ctx, s->arena, c, &s->decoder[col]));
	MG_NEW(ctx, s->arena, s->codes[col], MG_BATCH_ROWS);
	MG_NEW(ctx, s->arena, v->null, MG_BATCH_ROWS);
	if (c->domain.kind == MG_CATEGORY)
		MG_NEW(ctx, s->arena, v->label, MG_BATCH_ROWS);
	else
		MG_NEW(ctx, s->arena, v->number, MG_BATCH_ROWS);
	s->make[col] = true;
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
		MG_TRY(alloc_column(ctx, s, i));
		if (s->model->columns[i].ncoarse > bins)
			bins = s->model->columns[i].ncoarse;
	}
	MG_NEW(ctx, s->arena, s->scratch.cell, MG_BATCH_ROWS);
	MG_NEW(ctx, s->arena, s->scratch.pool, MG_BATCH_ROWS);
	MG_NEW(ctx, s->arena, s->scratch.left, bins);
	MG_NEW(ctx, s->arena, s->scratch.start, bins);
	MG_TRY(mg_dependents_prepare(ctx, s->arena, s->model, s->decoder, &s->dependents));
	return s->model->method->compile(ctx, s->model, &s->sampler);
}

mg_code
mg_stream_create(mg_ctx *ctx, const mg_model *m, const uint8_t key[32], mg_stream **out)
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

void
mg_stream_want(mg_stream *s, const bool *want)
{
	mg_dependents_want(s->dependents, want, s->model->ncolumns, s->make);
}

mg_code
mg_stream_next(mg_ctx *ctx, mg_stream *s, uint32_t rows, const mg_batch **out)
{
	mg_rng rng;

	if (rows < 1 || rows > MG_BATCH_ROWS)
		return mg_fail(ctx, MG_INTERNAL, "a batch of %u rows", (unsigned) rows);
	seed_lane(s, s->next, UINT64_MAX, &rng);
	MG_TRY(s->sampler->batch(ctx, s->sampler, &rng, rows, s->codes));
	for (uint32_t i = 0; i < s->model->ncolumns; i++)
	{
		if (!s->make[i] || mg_dependents_has(s->dependents, i))
			continue;
		seed_lane(s, s->next, i, &rng);
		mg_values_fill(s->decoder[i], &rng, s->codes[i], rows, &s->scratch, &s->batch.column[i]);
	}
	mg_dependents_fill(s->dependents, s->make, rows, s->codes, s->batch.column);
	s->next++;
	s->batch.rows = rows;
	*out = &s->batch;
	return MG_OK;
}

void
mg_stream_destroy(mg_stream *s)
{
	mg_arena *arena;

	if (s == NULL)
		return;
	if (s->sampler != NULL)
		s->sampler->destroy(s->sampler);
	arena = s->arena;
	for (int i = 0; i < 4; i++)
		((volatile uint64_t *) s->key)[i] = 0;
	mg_arena_destroy(arena);
}
