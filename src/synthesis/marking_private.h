/*
 * synthesis/marking_private.h: what mark_plan.c, marking.c and exchange.c share. Private to synthesis/.
 */
#ifndef MIRAGE_SYNTHESIS_MARKING_PRIVATE_H
#define MIRAGE_SYNTHESIS_MARKING_PRIVATE_H

#include "synthesis/marking.h"
#include "synthesis/stream_private.h"

/* The marker of a stream: NULL where it is unmarked. Memory is the stream's arena. */
struct mg_marker;
typedef struct mg_marker mg_marker;

/* exchange.c: rows grouped by the codes of a separator. */
typedef struct mg_row_groups
{
	uint32_t n;      /* groups */
	uint16_t *row;   /* [MG_BATCH_ROWS] group after group */
	uint32_t *start; /* [MG_BATCH_ROWS + 1] */
	uint32_t *slot;  /* [2 * MG_BATCH_ROWS] group + 1 */
	uint64_t *key;   /* [MG_BATCH_ROWS] of a group */
	uint16_t *group; /* [MG_BATCH_ROWS] of a row */
	uint16_t *order; /* [MG_BATCH_ROWS] */
} mg_row_groups;

mg_code mg_row_groups_make(mg_ctx *ctx, mg_arena *a, mg_row_groups *g);
/* False: the separator has more cells than a 64-bit number tells apart. */
bool mg_separator_fits(const mg_model *m, const mg_branch *b);
/* Rows in g->order, dealt to groups; their order is kept. */
void mg_group_rows(const mg_model *m, const mg_branch *b, uint16_t *const *codes, uint32_t n, mg_row_groups *g);

/* Share of n rows that have a partner of the same separator, less one a group; 0 where its codes do not fit. */
double mg_branch_reach(const mg_model *m, const mg_branch *b, uint16_t *const *codes, uint32_t n, mg_row_groups *g);

/* How many rows are to be drawn for a batch of so many. NULL: no more. */
uint32_t mg_mark_pool(const mg_marker *k, uint32_t rows);
/* Makes the batch's rows, s->codes[][0..rows), out of what was drawn, s->codes[][0..mg_mark_pool). */
mg_code mg_mark_batch(mg_ctx *ctx, mg_stream *s, mg_rng *rng, uint32_t rows);

/* The signs that a marker holds; NULL allowed. */
void mg_marker_wipe(mg_marker *k);

#endif
