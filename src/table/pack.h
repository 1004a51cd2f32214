/*
 * table/pack.h: distinct rows with multiplicities. Exact data; only curator/ may include this (by way of codes.h).
 *
 * A pack takes groups of rows and keeps each distinct row once, with the number of times that it came. Rows are
 * compared byte by byte: nothing is merged that differs. What it holds follows from a limit that is given when it is
 * made; the rows decide how much of that is touched, and whether packing goes on (mg_pack_pays): both show in time
 * only.
 *
 * A multiplicity is at most MG_MOST_WEIGHT; a row that comes more often is kept several times. So the weights of a
 * group sum to less than 2^31, and counters of 32 bits can be folded between groups.
 *
 * Owned by the code table, used by one thread, wiped when it is destroyed.
 */
#ifndef MIRAGE_TABLE_PACK_H
#define MIRAGE_TABLE_PACK_H

#include "base/mirage.h"

#define MG_MOST_WEIGHT 32767u

/* Where a column's array is in a group, and its bytes a row (1, 2 or 8). */
typedef struct mg_pack_column
{
	size_t offset;
	uint8_t width;
} mg_pack_column;

typedef struct mg_pack mg_pack;

/* memory: bytes for all that it will ever hold; most_rows: distinct rows that may be asked back; patience: groups in a
 * row that may be new for the most part. NULL in *out (and MG_OK) where that is not worth beginning: fewer distinct
 * rows than two groups have. */
mg_code mg_pack_create(mg_ctx *ctx, const mg_pack_column *column, uint32_t ncolumns, uint32_t group_rows,
					   uint64_t most_rows, size_t memory, uint64_t odd, uint32_t patience, mg_pack **out);
void mg_pack_destroy(mg_pack *p); /* NULL allowed */

/* Is there room for a whole group more, and are rows still met again? */
bool mg_pack_pays(const mg_pack *p);
/* Takes rows 0..rows-1 (at most a group) of a group at `base`; weight[rows], or NULL where each is there once. */
void mg_pack_add(mg_pack *p, const uint8_t *base, uint32_t rows, const uint16_t *weight);

uint64_t mg_pack_rows(const mg_pack *p); /* distinct ones */
/* Rows first .. first + rows - 1 back into a group at `base`, laid out by `column`, and their weights. */
void mg_pack_get(const mg_pack *p, uint64_t first, uint32_t rows, uint8_t *base, uint16_t *weight);

#endif
