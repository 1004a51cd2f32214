/*
 * table/pack.c: see pack.h.
 *
 * A row is its columns' bytes in whole words. They are made for a batch of rows at a time, small enough for the
 * first-level cache; then each is looked up in an open-addressing table, whose slots hold 32 bits of the hash beside
 * the row's number, so that few rows are compared that differ. The hash decides time, never what is equal.
 */
#include "table/pack.h"

#include <stdlib.h>
#include <string.h>

#include "table/hash.h"

#define BATCH 256u
#define FIRST_SLOTS 4096u

struct mg_pack
{
	mg_pack_column *column;
	uint32_t *place; /* [ncolumns] byte of the row where the column begins */
	uint32_t ncolumns, words, group_rows;
	uint64_t odd; /* of the hash */
	uint64_t n, most;
	uint64_t *row;    /* [most][words] */
	uint16_t *weight; /* [most] */
	uint64_t *slot;   /* [most_slots] high half: of the hash; low half: 1 + number of the row; 0: empty */
	size_t mask, most_slots;
	uint64_t *batch;            /* [BATCH][words] */
	uint32_t strikes, patience; /* groups in a row of which most rows were new */
};

/* Columns in order of falling width, so that each is aligned within the row. */
static void
place_columns(mg_pack *p)
{
	uint32_t at = 0;

	for (uint8_t width = 8; width > 0; width /= 2)
		for (uint32_t j = 0; j < p->ncolumns; j++)
			if (p->column[j].width == width)
			{
				p->place[j] = at;
				at += width;
			}
	p->words = (at + 7) / 8;
}

mg_code
mg_pack_create(mg_ctx *ctx, const mg_pack_column *column, uint32_t ncolumns, uint32_t group_rows, uint64_t most_rows,
			   size_t memory, uint64_t odd, uint32_t patience, mg_pack **out)
{
	mg_pack *p = calloc(1, sizeof(*p));

	*out = NULL;
	if (p == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	p->column = calloc(ncolumns, sizeof(*p->column));
	p->place = calloc(ncolumns, sizeof(*p->place));
	p->ncolumns = ncolumns;
	p->group_rows = group_rows;
	p->odd = odd;
	p->patience = patience;
	if (p->column == NULL || p->place == NULL)
	{
		mg_pack_destroy(p);
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	}
	memcpy(p->column, column, ncolumns * sizeof(*column));
	place_columns(p);
	/* A table that is at most half full has up to four slots a row just after it grew. */
	p->most = memory / ((size_t) p->words * 8 + sizeof(uint16_t) + 4 * sizeof(uint64_t));
	p->most = p->most < most_rows ? p->most : most_rows;
	p->most = p->most < UINT32_MAX - 1 ? p->most : UINT32_MAX - 1;
	if (p->most < 2 * (uint64_t) group_rows)
	{
		mg_pack_destroy(p);
		return MG_OK;
	}
	for (p->most_slots = FIRST_SLOTS; p->most_slots < 2 * p->most; p->most_slots *= 2)
		;
	p->mask = FIRST_SLOTS - 1;
	p->row = malloc(p->most * p->words * sizeof(*p->row));
	p->weight = malloc(p->most * sizeof(*p->weight));
	p->slot = calloc(p->most_slots, sizeof(*p->slot));
	p->batch = calloc(BATCH * (size_t) p->words, sizeof(*p->batch));
	if (p->row == NULL || p->weight == NULL || p->slot == NULL || p->batch == NULL)
	{
		mg_pack_destroy(p);
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	}
	*out = p;
	return MG_OK;
}

void
mg_pack_destroy(mg_pack *p)
{
	if (p == NULL)
		return;
	/* What was never touched need not be wiped. */
	mg_zeroize_free(p->row, p->row ? p->n * p->words * sizeof(*p->row) : 0);
	mg_zeroize_free(p->weight, p->weight ? p->n * sizeof(*p->weight) : 0);
	mg_zeroize_free(p->slot, p->slot ? (p->mask + 1) * sizeof(*p->slot) : 0);
	mg_zeroize_free(p->batch, p->batch ? BATCH * (size_t) p->words * sizeof(*p->batch) : 0);
	free(p->column);
	free(p->place);
	free(p);
}

bool
mg_pack_pays(const mg_pack *p)
{
	return p->strikes < p->patience && p->most - p->n >= p->group_rows;
}

uint64_t
mg_pack_rows(const mg_pack *p)
{
	return p->n;
}

static inline uint64_t
hash_row(const mg_pack *p, const uint64_t *row)
{
	uint64_t h = p->odd;

	for (uint32_t k = 0; k < p->words; k++)
	{
		h = (h ^ row[k]) * p->odd;
		h ^= h >> 32;
	}
	return h * UINT64_C(0x9e3779b97f4a7c15);
}

static void
put_slot(mg_pack *p, uint64_t hash, uint64_t number)
{
	size_t i = (size_t) (hash >> 8) & p->mask;

	while (p->slot[i] != 0)
		i = (i + 1) & p->mask;
	p->slot[i] = (hash & UINT64_C(0xffffffff00000000)) | (number + 1);
}

static void
grow(mg_pack *p)
{
	memset(p->slot, 0, (p->mask + 1) * sizeof(*p->slot));
	p->mask = 2 * p->mask + 1;
	for (uint64_t i = 0; i < p->n; i++)
		put_slot(p, hash_row(p, p->row + i * p->words), i);
}

static inline bool
same_row(const uint64_t *a, const uint64_t *b, uint32_t words)
{
	uint64_t differ = 0;

	for (uint32_t k = 0; k < words; k++)
		differ |= a[k] ^ b[k];
	return differ == 0;
}

/* One more of a row, or `weight` more. */
static void
add_row(mg_pack *p, const uint64_t *row, uint64_t hash, uint32_t weight)
{
	size_t i = (size_t) (hash >> 8) & p->mask;

	for (; p->slot[i] != 0; i = (i + 1) & p->mask)
	{
		uint64_t number = (uint32_t) p->slot[i] - UINT64_C(1);

		if ((p->slot[i] ^ hash) >> 32 != 0 || !same_row(p->row + number * p->words, row, p->words))
			continue;
		if (p->weight[number] + weight <= MG_MOST_WEIGHT)
		{
			p->weight[number] = (uint16_t) (p->weight[number] + weight);
			return;
		}
		/* That one is full: the slot goes to a new one. */
		p->slot[i] = (hash & UINT64_C(0xffffffff00000000)) | (p->n + 1);
		break;
	}
	memcpy(p->row + p->n * p->words, row, p->words * sizeof(*row));
	p->weight[p->n] = (uint16_t) weight;
	p->slot[i] = (hash & UINT64_C(0xffffffff00000000)) | (p->n + 1);
	p->n++;
	if (2 * p->n > p->mask && p->mask + 1 < p->most_slots)
		grow(p);
}

#define SCATTER(type)                   \
	for (uint32_t i = 0; i < rows; i++) \
	*(type *) (void *) (to + i * stride) = ((const type *) (const void *) from)[i]
#define GATHER(type)                    \
	for (uint32_t i = 0; i < rows; i++) \
	((type *) (void *) to)[i] = *(const type *) (const void *) (from + i * stride)

/* Rows first .. first + rows - 1 of a group, as rows. */
static void
fill_batch(const mg_pack *p, const uint8_t *base, uint32_t first, uint32_t rows)
{
	size_t stride = (size_t) p->words * 8;

	for (uint32_t j = 0; j < p->ncolumns; j++)
	{
		const uint8_t *from = base + p->column[j].offset + (size_t) first * p->column[j].width;
		uint8_t *to = (uint8_t *) p->batch + p->place[j];

		if (p->column[j].width == 1)
			SCATTER(uint8_t);
		else if (p->column[j].width == 2)
			SCATTER(uint16_t);
		else
			SCATTER(uint64_t);
	}
}

static void
add_batch(mg_pack *p, uint32_t rows, const uint16_t *weight)
{
	uint64_t hash[BATCH];

	for (uint32_t i = 0; i < rows; i++)
	{
		hash[i] = hash_row(p, p->batch + (size_t) i * p->words);
		__builtin_prefetch(&p->slot[(size_t) (hash[i] >> 8) & p->mask]);
	}
	for (uint32_t i = 0; i < rows; i++)
	{
		uint32_t number = (uint32_t) p->slot[(size_t) (hash[i] >> 8) & p->mask];

		__builtin_prefetch(p->row + (number > 0 ? number - UINT64_C(1) : 0) * p->words);
	}
	for (uint32_t i = 0; i < rows; i++)
		if (weight == NULL)
			add_row(p, p->batch + (size_t) i * p->words, hash[i], 1);
		else if (weight[i] > 0)
			add_row(p, p->batch + (size_t) i * p->words, hash[i], weight[i]);
}

void
mg_pack_add(mg_pack *p, const uint8_t *base, uint32_t rows, const uint16_t *weight)
{
	uint64_t before = p->n;

	for (uint32_t first = 0; first < rows; first += BATCH)
	{
		uint32_t some = rows - first < BATCH ? rows - first : BATCH;

		fill_batch(p, base, first, some);
		add_batch(p, some, weight != NULL ? weight + first : NULL);
	}
	p->strikes = p->n - before > rows / 2 ? p->strikes + 1 : 0;
}

void
mg_pack_get(const mg_pack *p, uint64_t first, uint32_t rows_all, uint8_t *base, uint16_t *weight)
{
	size_t stride = (size_t) p->words * 8;

	memcpy(weight, p->weight + first, rows_all * sizeof(*weight));
	for (uint32_t at = 0; at < rows_all; at += BATCH)
	{
		uint32_t rows = rows_all - at < BATCH ? rows_all - at : BATCH;

		for (uint32_t j = 0; j < p->ncolumns; j++)
		{
			const uint8_t *from = (const uint8_t *) (p->row + (first + at) * p->words) + p->place[j];
			uint8_t *to = base + p->column[j].offset + (size_t) at * p->column[j].width;

			if (p->column[j].width == 1)
				GATHER(uint8_t);
			else if (p->column[j].width == 2)
				GATHER(uint16_t);
			else
				GATHER(uint64_t);
		}
	}
}
