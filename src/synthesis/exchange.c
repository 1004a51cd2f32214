/*
 * synthesis/exchange.c: rows of a batch grouped by the codes of a separator, and who may exchange with whom.
 *
 * A hash table with linear probing from a separator's codes (as one mixed-radix number, so that different codes never
 * meet) to a group's number; then a counting sort. Everything is a function of the rows and of the given order.
 */
#include "synthesis/marking_private.h"

#include "model/dependency.h"

#include <string.h>

#define SLOTS ((uint32_t) 2 * MG_BATCH_ROWS)

mg_code
mg_row_groups_make(mg_ctx *ctx, mg_arena *a, mg_row_groups *g)
{
	MG_NEW(ctx, a, g->row, MG_BATCH_ROWS);
	MG_NEW(ctx, a, g->start, MG_BATCH_ROWS + 1);
	MG_NEW(ctx, a, g->slot, SLOTS);
	MG_NEW(ctx, a, g->key, MG_BATCH_ROWS);
	MG_NEW(ctx, a, g->group, MG_BATCH_ROWS);
	MG_NEW(ctx, a, g->order, MG_BATCH_ROWS);
	return MG_OK;
}

bool
mg_separator_fits(const mg_model *m, const mg_branch *b)
{
	uint64_t cells = 1;

	for (uint32_t i = 0; i < b->nsep; i++)
	{
		if (cells > UINT64_MAX / m->columns[b->sep[i]].ncoarse)
			return false;
		cells *= m->columns[b->sep[i]].ncoarse;
	}
	return true;
}

/* The group of this key, a new one where it has none. */
static inline uint16_t
group_of_key(mg_row_groups *g, uint64_t key, bool few)
{
	uint32_t at = few ? (uint32_t) key : (uint32_t) (mg_mix64(key + 1) % SLOTS);

	while (g->slot[at] != 0 && g->key[g->slot[at] - 1] != key)
		at = at + 1 == SLOTS ? 0 : at + 1;
	if (g->slot[at] == 0)
	{
		g->key[g->n] = key;
		g->slot[at] = ++g->n;
	}
	return (uint16_t) (g->slot[at] - 1);
}

void
mg_group_rows(const mg_model *m, const mg_branch *b, uint16_t *const *codes, uint32_t n, mg_row_groups *g)
{
	uint32_t sum = 0;
	uint64_t cells = 1;

	for (uint32_t j = 0; j < b->nsep && cells <= SLOTS; j++)
		cells *= m->columns[b->sep[j]].ncoarse;
	g->n = 0;
	memset(g->slot, 0, SLOTS * sizeof(*g->slot));
	memset(g->start, 0, (n + 1) * sizeof(*g->start));
	for (uint32_t i = 0; i < n; i++)
	{
		uint64_t key = 0;

		for (uint32_t j = 0; j < b->nsep; j++)
			key = key * m->columns[b->sep[j]].ncoarse + codes[b->sep[j]][i];
		g->group[i] = group_of_key(g, key, cells <= SLOTS);
		g->start[g->group[i]]++;
	}
	for (uint32_t i = 0; i < g->n; i++)
	{
		uint32_t size = g->start[i];

		g->start[i] = sum;
		sum += size;
	}
	for (uint32_t i = 0; i < n; i++)
		g->row[g->start[g->group[g->order[i]]]++] = g->order[i];
	/* each start has moved to the next group's */
	memmove(g->start + 1, g->start, g->n * sizeof(*g->start));
	g->start[0] = 0;
}

double
mg_branch_reach(const mg_model *m, const mg_branch *b, uint16_t *const *codes, uint32_t n, mg_row_groups *g)
{
	if (!mg_separator_fits(m, b))
		return 0;
	for (uint32_t i = 0; i < n; i++)
		g->order[i] = (uint16_t) i;
	mg_group_rows(m, b, codes, n, g);
	return (double) (n - g->n) / n;
}
