/*
 * watermark/mark.h: the keyed signs of a mark.
 *
 * Every cell of every subset of a plan has a sign of +1 or -1 per key: bits of a keystream. A mark holds the scores of
 * cells, the sum of the model's sign and the recipient's, and 0 for cells that are frequent: what emission raises, row
 * by row (synthesis/marking.h). Signs of two keys are independent fair coins for whoever lacks one.
 */
#ifndef MIRAGE_WATERMARK_MARK_H
#define MIRAGE_WATERMARK_MARK_H

#include "watermark/plan.h"

#include "seal/seal.h"

/* A mark key's name: 16 hex digits, the first 8 bytes of SHA-256("pg_mirage mark id 1" | key). */
mg_code mg_mark_key_id(mg_ctx *ctx, const uint8_t key[MG_KEY_BYTES], char out[17]);

/* bits[(cells + 7) / 8]: the sign of cell i is + where bit i % 8 of byte i / 8 is set. Deterministic. */
mg_code mg_mark_signs(mg_ctx *ctx, const uint8_t key[MG_KEY_BYTES], uint32_t cells, uint8_t *bits);

typedef struct mg_mark
{
	const mg_mark_plan *plan;
	/* [plan->cells] sum of signs times weight; subset s begins at plan->subset[s].first */
	int8_t *score;
} mg_mark;

/*
 * recipient_key: NULL for rows that name no recipient. The mark keeps a reference to the plan; keys are not kept. A
 * mark may be shared by streams.
 */
mg_code mg_mark_create(mg_ctx *ctx, const mg_mark_plan *plan, const uint8_t model_key[MG_KEY_BYTES],
					   const uint8_t *recipient_key, mg_mark **out);
void mg_mark_destroy(mg_mark *m); /* wipes; NULL allowed */

#endif
