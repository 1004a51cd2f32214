/* watermark/mark.c: see mark.h. A mark owns one arena, wiped before it goes. */
#include "watermark/mark.h"

#include <string.h>

static const char id_label[] = "pg_mirage mark id 1";
static const char sign_label[] = "pg_mirage mark signs 1";

typedef struct body
{
	mg_mark mark;
	mg_arena *arena;
	uint32_t cells;
} body;

mg_code
mg_mark_key_id(mg_ctx *ctx, const uint8_t key[MG_KEY_BYTES], char out[17])
{
	return mg_key_id(ctx, id_label, key, 8, out);
}

mg_code
mg_mark_signs(mg_ctx *ctx, const uint8_t key[MG_KEY_BYTES], uint32_t cells, uint8_t *bits)
{
	uint8_t stream[MG_KEY_BYTES];
	mg_code code = mg_hkdf(ctx, key, sign_label, sizeof(sign_label) - 1, stream, sizeof(stream));

	if (code == MG_OK)
		code = mg_keystream(ctx, stream, bits, ((size_t) cells + 7) / 8);
	mg_wipe(stream, sizeof(stream));
	return code;
}

/* Adds a key's signs to the scores. */
static mg_code
add_key(mg_ctx *ctx, const mg_mark_plan *plan, const uint8_t *key, uint8_t *bits, int8_t *score)
{
	MG_TRY(mg_mark_signs(ctx, key, plan->cells, bits));
	for (uint32_t i = 0; i < plan->cells; i++)
		score[i] = (int8_t) (score[i] + ((bits[i / 8] >> (i % 8)) & 1 ? 1 : -1));
	return MG_OK;
}

static mg_code
score_cells(mg_ctx *ctx, body *b, const uint8_t *model_key, const uint8_t *recipient_key)
{
	const mg_mark_plan *plan = b->mark.plan;
	uint8_t *bits;
	mg_code code;

	MG_NEW(ctx, b->arena, b->mark.score, (size_t) plan->cells + 1);
	MG_NEW(ctx, b->arena, bits, (size_t) plan->cells / 8 + 1);
	code = add_key(ctx, plan, model_key, bits, b->mark.score);
	if (code == MG_OK && recipient_key != NULL)
		code = add_key(ctx, plan, recipient_key, bits, b->mark.score);
	mg_wipe(bits, (size_t) plan->cells / 8 + 1);
	MG_TRY(code);
	for (uint32_t s = 0; s < plan->nsubsets; s++)
	{
		const mg_mark_subset *of = &plan->subset[s];

		for (uint32_t i = 0; i < of->cells; i++)
		{
			int8_t *score = &b->mark.score[of->first + i];

			*score = (int8_t) (of->q[i] == MG_MARK_FREQUENT ? 0 : *score * of->weight);
		}
	}
	return MG_OK;
}

mg_code
mg_mark_create(mg_ctx *ctx, const mg_mark_plan *plan, const uint8_t model_key[MG_KEY_BYTES],
			   const uint8_t *recipient_key, mg_mark **out)
{
	mg_arena *arena = mg_arena_create(0);
	body *b = arena != NULL ? mg_arena_alloc(arena, 1, sizeof(*b)) : NULL;
	mg_code code;

	*out = NULL;
	if (b == NULL)
	{
		mg_arena_destroy(arena);
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	}
	b->arena = arena;
	b->mark.plan = plan;
	b->cells = plan->cells;
	code = score_cells(ctx, b, model_key, recipient_key);
	if (code != MG_OK)
	{
		mg_mark_destroy(&b->mark);
		return code;
	}
	*out = &b->mark;
	return MG_OK;
}

void
mg_mark_destroy(mg_mark *m)
{
	body *b = (body *) m;

	if (b == NULL)
		return;
	if (m->score != NULL)
		mg_wipe(m->score, b->cells);
	mg_arena_destroy(b->arena);
}
