/*
 * curator/unit.c: at most k rows of a unit (docs/privacy.md).
 *
 * A row is known by 128-bit keyed hashes of its unit and of its content (its cells as encoded). Of the rows of a unit
 * with the same content the r-th has rank r; the k rows whose keyed hash of (unit, content, rank) is least stay. Rows
 * of one unit and one content are interchangeable, so what stays of a unit, as a multiset of rows, is a function of the
 * key and of that unit's rows alone: not of other units, nor of the order of rows. Ties go by content and rank.
 *
 * How: while rows are loaded their (unit, content, row number) goes to a sort that spills (table/sort.h). Read back in
 * order, a unit's rows come together, and rows of one content one after another, so ranks are counted and the least k
 * kept in a heap of k; no unit is too large. The rows that stay are sorted by their number, and the code table is left
 * with these. Memory: a quarter of the curator's, which counting has no use for yet, and the heap.
 */
#include <stdlib.h>

#include "curator/curator_private.h"
#include "table/sort.h"

/* One of the rows that are least so far. */
typedef struct chosen
{
	uint64_t hash, place; /* place: in the order of (content, rank) within the unit */
	uint64_t row;
} chosen;

struct mgc_bounding
{
	uint32_t k;
	uint64_t unit_key[2], content_key[2], rank_key[2];
	mg_store *store;
	size_t memory;
	uint64_t rows;
	uint64_t unit[2]; /* of the row being loaded; zero: none was named */
	uint8_t *content; /* [MG_CONTENT_BYTES * ncolumns] */
	mg_sort *sort;    /* of unit[2], content[2], row number */

	/* bounding */
	chosen *heap; /* [k] the greatest on top */
	uint32_t nheap;
	mg_sort *kept; /* of row number, unit's number */
	uint64_t nunits;
};

/*
 * Keys for each purpose from the one that was given: a pseudo-random function of their number under both its halves.
 * Nothing keyed ever leaves the curator; what the key must do is be unknown to whoever can write rows.
 */
static void
derive_keys(mgc_bounding *b, const uint8_t master[MG_UNIT_KEY_BYTES], uint8_t key[MG_HASH_KEY_BYTES + 8])
{
	uint64_t half[4], word[9];

	memcpy(half, master, sizeof(half));
	for (uint64_t i = 0; i < 9; i++)
		word[i] = mg_keyed_hash(half, &i, sizeof(i)) + mg_keyed_hash(half + 2, &i, sizeof(i));
	memcpy(b->unit_key, word, sizeof(b->unit_key));
	memcpy(b->content_key, word + 2, sizeof(b->content_key));
	memcpy(b->rank_key, word + 4, sizeof(b->rank_key));
	memcpy(key, word + 6, MG_HASH_KEY_BYTES + 8);
	mg_zeroize(half, sizeof(half));
	mg_zeroize(word, sizeof(word));
}

mg_code
mgc_bounding_create(mg_ctx *ctx, const mg_units *units, uint32_t ncolumns, mg_store *store, size_t memory,
					uint8_t key[MG_HASH_KEY_BYTES + 8], mgc_bounding **out)
{
	mgc_bounding *b = calloc(1, sizeof(*b));
	mg_code code = MG_OK;

	if (b == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	b->k = units->most_rows;
	b->store = store;
	b->memory = memory;
	derive_keys(b, units->key, key);
	b->content = malloc((size_t) MG_CONTENT_BYTES * (ncolumns > 0 ? ncolumns : 1));
	b->heap = malloc(b->k * sizeof(*b->heap));
	if (b->content == NULL || b->heap == NULL)
		code = mg_fail(ctx, MG_NOMEM, "out of memory");
	if (code == MG_OK)
		code = mg_sort_create(ctx, 5, memory / 4 * 3, store, &b->sort);
	if (code != MG_OK)
	{
		mgc_bounding_destroy(b);
		return code;
	}
	*out = b;
	return MG_OK;
}

void
mgc_bounding_destroy(mgc_bounding *b)
{
	if (b == NULL)
		return;
	mg_sort_destroy(b->sort);
	mg_sort_destroy(b->kept);
	free(b->content);
	mg_zeroize_free(b->heap, b->heap ? b->k * sizeof(*b->heap) : 0);
	mg_zeroize_free(b, sizeof(*b));
}

void
mg_load_unit(mg_curator *c, const void *bytes, size_t len)
{
	if (c->units != NULL)
		mg_keyed_hash_wide(c->units->unit_key, bytes, len, c->units->unit);
}

mg_code
mgc_bounding_row(mg_ctx *ctx, mgc_bounding *b, const mg_codes *t)
{
	uint64_t r[5] = {b->unit[0], b->unit[1], 0, 0, b->rows++};

	mg_keyed_hash_wide(b->content_key, b->content, mg_codes_row_content(t, b->content), r + 2);
	b->unit[0] = b->unit[1] = 0;
	return mg_sort_add(ctx, b->sort, r);
}

static inline bool
greater(const chosen *x, const chosen *y)
{
	return x->hash != y->hash ? x->hash > y->hash : x->place > y->place;
}

static void
sift_down(chosen *h, uint32_t n)
{
	chosen x = h[0];
	uint32_t i = 0;

	for (;;)
	{
		uint32_t next = 2 * i + 1;

		if (next + 1 < n && greater(&h[next + 1], &h[next]))
			next++;
		if (next >= n || !greater(&h[next], &x))
			break;
		h[i] = h[next];
		i = next;
	}
	h[i] = x;
}

static void
offer(mgc_bounding *b, const chosen *x)
{
	if (b->nheap < b->k)
	{
		uint32_t i = b->nheap++;

		for (; i > 0 && greater(x, &b->heap[(i - 1) / 2]); i = (i - 1) / 2)
			b->heap[i] = b->heap[(i - 1) / 2];
		b->heap[i] = *x;
	}
	else if (greater(&b->heap[0], x))
	{
		b->heap[0] = *x;
		sift_down(b->heap, b->nheap);
	}
}

/* The unit has ended: its least rows stay. */
static mg_code
end_unit(mg_ctx *ctx, mgc_bounding *b)
{
	for (uint32_t i = 0; i < b->nheap; i++)
		MG_TRY(mg_sort_add(ctx, b->kept, (const uint64_t[]){b->heap[i].row, b->nunits}));
	b->nheap = 0;
	b->nunits++;
	return MG_OK;
}

static mg_code
choose_rows(mg_ctx *ctx, mgc_bounding *b)
{
	uint64_t row[5]; /* unit, content, rank: of the record before */
	uint64_t place = 0;
	const uint64_t *r;

	MG_TRY(mg_sort_finish(ctx, b->sort));
	for (;;)
	{
		chosen x;

		MG_TRY(mg_sort_next(ctx, b->sort, &r));
		if (place > 0 && (r == NULL || r[0] != row[0] || r[1] != row[1]))
		{
			MG_TRY(end_unit(ctx, b));
			place = 0;
		}
		if (r == NULL)
			return MG_OK;
		row[4] = place > 0 && r[2] == row[2] && r[3] == row[3] ? row[4] + 1 : 0;
		memcpy(row, r, 4 * sizeof(*row));
		x = (chosen){mg_keyed_hash(b->rank_key, row, sizeof(row)), place++, r[4]};
		offer(b, &x);
	}
}

static mg_code
next_kept(mg_ctx *ctx, void *arg, uint64_t *row, uint64_t *unit)
{
	mgc_bounding *b = arg;
	const uint64_t *r;

	MG_TRY(mg_sort_next(ctx, b->kept, &r));
	*row = r != NULL ? r[0] : UINT64_MAX;
	*unit = r != NULL ? r[1] : 0;
	return MG_OK;
}

mg_code
mgc_bounding_run(mg_ctx *ctx, mgc_bounding *b, mg_codes *t)
{
	MG_TRY(mg_sort_create(ctx, 2, b->memory / 4, b->store, &b->kept));
	MG_TRY(choose_rows(ctx, b));
	mg_sort_destroy(b->sort);
	b->sort = NULL;
	MG_TRY(mg_sort_finish(ctx, b->kept));
	return mg_codes_keep(ctx, t, next_kept, b);
}
