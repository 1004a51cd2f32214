/*
 * table/text.h: one category column's labels while the table is loaded, and the way back from a hash to its label.
 *
 * Closed columns: the dictionary holds the public labels; a text is compared byte by byte and gets the label's index.
 *
 * Open columns: in principle the column is a sequence of keyed 64-bit hashes. It is stored in two bytes a row: labels
 * that were seen while the dictionary (of a fixed size) had room have an id, for any other the row holds MG_TEXT_ESCAPE
 * and its hash goes to the end of a side stream. Reading ids and stream in row order gives back exactly the sequence of
 * hashes, whatever the dictionary admitted: the encoding is lossless, so every query over it is a function of the
 * multiset of hashes, and admission (which does depend on the order of rows) can influence neither outputs nor errors,
 * only time and the length of temporary files. A label that has no id is also appended, as (hash, length, bytes), to a
 * label file, through a filter that drops hashes written recently; the first occurrence always passes, so each released
 * hash has its bytes in the dictionary or the file.
 *
 * Memory is fixed by capacities that come from public figures. Owned by the code table (table/codes.h), curator only.
 */
#ifndef MIRAGE_TABLE_TEXT_H
#define MIRAGE_TABLE_TEXT_H

#include "table/domain.h"
#include "table/store.h"

/* What an open column's two bytes hold: these, or MG_TEXT_FIRST + id. */
#define MG_TEXT_NULL 0
#define MG_TEXT_OTHER 1
#define MG_TEXT_ESCAPE 2
#define MG_TEXT_FIRST 3
#define MG_TEXT_MAX_IDS 32768
#define MG_TEXT_ENTRY_BYTES 80 /* fixed memory for each id of an open dictionary, all arrays together */

#define MG_STREAM_HASHES 1024 /* buffered hashes of a side stream */

/* A direct-mapped cache in front of the keyed hash: texts of at most 24 bytes as three overlapping words. */
#define MG_CACHE_BITS 7
#define MG_CACHE_TEXT 24
typedef struct mg_text_cache
{
	uint64_t word[3];
	uint32_t len; /* UINT32_MAX: empty */
	uint32_t code;
} mg_text_cache;

typedef struct mg_text
{
	mg_text_cache cache[1 << MG_CACHE_BITS];
	bool open;
	uint64_t key[2];

	/* dictionary: open addressing over hashes, at most half full */
	uint32_t nids, max_ids;
	size_t mask;         /* slots - 1 */
	uint64_t *slot_hash; /* [slots], 0: empty */
	uint16_t *slot_id;   /* [slots] */
	uint64_t *hash;      /* [max_ids] */
	uint32_t *start;     /* [max_ids] into bytes */
	uint16_t *len;       /* [max_ids] */
	char *bytes;
	size_t nbytes, max_bytes;
	size_t longest; /* closed: bytes of the longest label; nothing longer is hashed */

	/* open only */
	uint64_t *recent; /* [recent_mask + 1] hashes written to the label file lately */
	size_t recent_mask;
	uint64_t *stream; /* [MG_STREAM_HASHES] tail when loading, window when reading */
	uint32_t nstream; /* hashes in the buffer */
	uint64_t written; /* hashes in the file */
	int file;         /* -1: nothing was written yet */
	uint64_t read_at; /* next hash to read */
	uint64_t window;  /* index of the buffer's first hash when reading a file */
	uint32_t nwindow;
	uint64_t *tail; /* what was still buffered when loading ended: hashes written .. written + nstream - 1 */
	uint64_t *kept; /* the tail to be, while the stream is thinned out */
	uint32_t nkept;
	uint64_t kept_written;
	uint32_t row_slot; /* 1 + place in the table's list of this row's escapes; 0: none */
} mg_text;

/* Closed: over labels (copied). Labels that occur twice: the first counts. */
mg_code mg_text_create_closed(mg_ctx *ctx, const uint64_t key[2], const mg_label *labels, uint32_t nlabels,
							  mg_text **out);
mg_code mg_text_create_open(mg_ctx *ctx, const uint64_t key[2], uint32_t max_ids, mg_text **out);
void mg_text_destroy(mg_text *x, mg_store *store); /* closes its file, wipes, frees; NULL allowed */

/* The id of a hash, or -1. */
int32_t mg_text_find(const mg_text *x, uint64_t hash);
/* The id of an open column's label, admitted if there is room; -1: escape. */
int32_t mg_text_admit(mg_text *x, uint64_t hash, const char *s, size_t len);
/* The index of a closed label, compared byte by byte; -1: none. */
int32_t mg_text_lookup(const mg_text *x, const char *s, size_t len);

/* Side stream: append when loading (one slot is free by mg_text_room), then rewind and read in order. */
mg_code mg_text_room(mg_ctx *ctx, mg_text *x, mg_store *store);
static inline void
mg_text_append(mg_text *x, uint64_t hash)
{
	x->stream[x->nstream++] = hash;
}
/* How many escapes there are. After loading: finish once, then, for each pass, rewind and next in the order of loading.
 */
uint64_t mg_text_escapes(const mg_text *x);
mg_code mg_text_finish(mg_ctx *ctx, mg_text *x);
void mg_text_rewind(mg_text *x);
mg_code mg_text_next(mg_ctx *ctx, mg_text *x, mg_store *store, uint64_t *hash);

/*
 * Leaves out a part of the side stream, in one pass over it: begin (rewinds), then of each hash read by mg_text_next
 * those to keep, then end. After a failure the stream is of no use any more.
 */
mg_code mg_text_keep_begin(mg_ctx *ctx, mg_text *x);
mg_code mg_text_keep(mg_ctx *ctx, mg_text *x, mg_store *store, uint64_t hash);
void mg_text_keep_end(mg_text *x, mg_store *store);

/* True when the hash must be written to the label file; remembers it. */
static inline bool
mg_text_unseen(mg_text *x, uint64_t hash)
{
	uint64_t *slot = &x->recent[(hash >> 20) & x->recent_mask];

	if (*slot == hash)
		return false;
	*slot = hash;
	return true;
}

/* The three words that, with its length, are a text of at most MG_CACHE_TEXT bytes. */
static inline void
mg_text_words(const char *s, size_t len, uint64_t w[3])
{
	uint64_t first = 0, middle = 0, last = 0;

	/* Each word is loaded as a whole, in a register: parts that are stored and loaded again at once stall. */
	if (len >= 8)
	{
		__builtin_memcpy(&first, s, 8);
		__builtin_memcpy(&last, s + len - 8, 8);
		if (len > 16)
			__builtin_memcpy(&middle, s + 8, 8);
	}
	else if (len >= 4)
	{
		uint32_t low, high;

		__builtin_memcpy(&low, s, 4);
		__builtin_memcpy(&high, s + len - 4, 4);
		first = low;
		last = high;
	}
	else if (len > 0)
		first =
			(uint64_t) (uint8_t) s[0] | (uint64_t) (uint8_t) s[len >> 1] << 8 | (uint64_t) (uint8_t) s[len - 1] << 16;
	w[0] = first;
	w[1] = middle;
	w[2] = last;
}

/* Any spread will do: it decides time, never a code. */
static inline mg_text_cache *
mg_text_cached(mg_text *x, const uint64_t w[3], size_t len)
{
	uint64_t h = (w[0] ^ (w[1] << 1) ^ (w[2] << 3) ^ len) * UINT64_C(0x9e3779b97f4a7c15);

	return &x->cache[(h ^ (h >> 29)) >> (64 - MG_CACHE_BITS)];
}

#endif
