/*
 * table/codes.h: the code table: rows as columns of narrow integers. Exact data; only curator/ may include this.
 *
 * Rows come in groups (up to 65,536 rows; fewer where many columns would make a group too large for `memory`). In a
 * group each column is an array of its own, in the narrowest form that loses nothing:
 *
 * - MG_STORE_CODE, u8 or u16: closed categories (domain.h's fine layout), numbers of few steps; coarse codes
 * - MG_STORE_TEXT, u16: open categories, ids and escapes (text.h)
 * - MG_STORE_KEY, u64: any other number, its double as an order-preserving integer, NULL all ones (axis.h)
 *
 * As many groups as `memory` allows stay in memory, later ones go to the store in the same form, the last (partial) one
 * stays in the loading buffer. Row order is: resident groups, stored groups, the last. All sizes follow from `memory`
 * and the columns.
 *
 * Rows that come again and again are held once, with a weight (pack.h): while loading, from the first group on for as
 * long as it pays, and again while recoding. The groups that this leaves are resident, and their rows are in no order;
 * a row of weight 0 fills up a group. A table with units, whose rows are told apart by number, is packed when recoded.
 *
 * Two stages: *fine* while loading and learning, *coarse* after mg_codes_recode. Nothing here adds noise, so nothing
 * here may be reached but through a curator query that does. The table is owned by its curator and used by one thread
 * at a time; pool tasks read blocks of it.
 */
#ifndef MIRAGE_TABLE_CODES_H
#define MIRAGE_TABLE_CODES_H

#include "base/pool.h"
#include "table/axis.h"
#include "table/domain.h"
#include "table/hash.h"
#include "table/pack.h"
#include "table/store.h"
#include "table/text.h"

#define MG_GROUP_ROWS 65536u
#define MG_GROUP_ROWS_LEAST 1024u
#define MG_BLOCK_ROWS 8192u  /* rows a counting task takes at once: a few columns of it fit the first-level cache */
#define MG_STRIPE_ROWS 1024u /* rows set to NULL ahead of loading; divides the least group */

typedef enum mg_storage
{
	MG_STORE_CODE,
	MG_STORE_TEXT,
	MG_STORE_KEY
} mg_storage;

typedef struct mg_code_column
{
	/* what loading touches */
	uint8_t *load; /* this column's array in the group being loaded */
	mg_storage storage;
	uint8_t width;                  /* bytes a row: 1, 2, 8 */
	bool clamped;                   /* number: closed range */
	uint16_t null_code, other_code; /* CODE and TEXT; other_code of a number is its null_code */
	double lower, upper, step;
	mg_text *text; /* category; NULL for a number */

	size_t offset; /* of the array within a group */
	mg_kind kind;
	bool nullable;
	bool fixed;      /* its fine cells are known */
	uint32_t nfine;  /* 0 until fixed */
	uint32_t ncodes; /* ncoarse after recoding; 0 before */

	/* how what is stored becomes fine cells, once fixed; NULL where stored codes are fine already */
	mg_axis *axis;        /* KEY */
	uint16_t *fine_of;    /* TEXT: [MG_TEXT_FIRST + max_ids] */
	uint64_t *label_hash; /* TEXT: open addressing, hash of a fixed label -> its fine cell */
	uint16_t *label_fine;
	size_t label_mask;
} mg_code_column;

typedef struct mg_codes
{
	uint32_t ncolumns;
	uint32_t nloading;      /* ncolumns while rows are loaded, then 0: a loading call is a no-op then */
	mg_code_column *column; /* [ncolumns], and one more */
	mg_store *store;
	size_t memory;

	bool units; /* column[ncolumns] is the unit of each row (keep.c): KEY, numbers from 0; fine stage only */
	uint64_t nunits;

	uint32_t group_rows;
	size_t group_bytes;
	uint32_t max_resident;
	uint32_t nresident;
	uint8_t **resident; /* [max_resident] */
	uint16_t **weight; /* [max_resident] weights of their rows; NULL: each row is there once. Stored groups have none */
	uint64_t nstored;  /* groups in the store */
	int file;
	uint8_t *last; /* being loaded; then the partial group */
	uint32_t last_rows;
	uint16_t *last_weight; /* NULL: each row is there once */
	mg_pack *pack;         /* takes the rows that are loaded; NULL: it does not pay, or loading is over */
	uint8_t *scratch;      /* one stored group, read back */
	uint64_t rows;         /* exact: never leaves the curator */

	uint64_t key[2];
	uint64_t odd; /* multiplier of mg_mix64 */

	/* escapes of the row being loaded */
	struct mg_row_escape
	{
		uint32_t col;
		uint64_t hash;
	} * escape;
	uint32_t nescape, ntext;
	bool misused; /* a column was loaded twice in a row */

	/* the label file */
	uint8_t *label_buffer;
	size_t label_len, label_cap, label_flush;
	uint64_t label_written;
	int label_file;

	bool recoded;
	bool broken; /* a recoding failed half way: no query is answered any more */
} mg_codes;

/* key: MG_HASH_KEY_BYTES secret random bytes and 8 more. */
mg_code mg_codes_create(mg_ctx *ctx, const mg_domain *columns, uint32_t ncolumns,
						const uint8_t key[MG_HASH_KEY_BYTES + 8], mg_store *store, size_t memory, mg_codes **out);
/* The same with room for the unit of each row, which mg_codes_keep fills in. */
mg_code mg_codes_create_with_units(mg_ctx *ctx, const mg_domain *columns, uint32_t ncolumns,
								   const uint8_t key[MG_HASH_KEY_BYTES + 8], mg_store *store, size_t memory,
								   mg_codes **out);
void mg_codes_destroy(mg_codes *t);
/* Before loading: rows that come again are to be packed. */
mg_code mg_codes_pack(mg_ctx *ctx, mg_codes *t);

/* load.c; the contract is mg_load_* in curator/curator.h */
void mg_codes_load_null(mg_codes *t, uint32_t col);
void mg_codes_load_number(mg_codes *t, uint32_t col, double v);
void mg_codes_load_text(mg_codes *t, uint32_t col, const char *s, size_t len);
void mg_codes_load_code(mg_codes *t, uint32_t col, uint32_t code);
mg_code mg_codes_load_row(mg_ctx *ctx, mg_codes *t);
mg_code mg_codes_load_finish(mg_ctx *ctx, mg_codes *t);
/* Of the row being loaded, before mg_codes_load_row: at most MG_CONTENT_BYTES a column; returns their number. */
#define MG_CONTENT_BYTES 10
size_t mg_codes_row_content(const mg_codes *t, uint8_t *out);

/*
 * keep.c: forgets all rows but some, after loading and before anything is asked. next: the number of the next row to
 * keep (rows count from 0 in the order of loading; ascending; none: `row` is set to UINT64_MAX) and of its unit.
 */
typedef mg_code (*mg_keep_next)(mg_ctx *ctx, void *arg, uint64_t *row, uint64_t *unit);
mg_code mg_codes_keep(mg_ctx *ctx, mg_codes *t, mg_keep_next next, void *arg);

/* codes.c, for load.c and keep.c: a group into scratch. */
mg_code mg_codes_fetch(mg_ctx *ctx, mg_codes *t, uint64_t stored);
/* codes.c, for load.c: the group being loaded is full; NULL-fills rows first .. first + MG_STRIPE_ROWS - 1 of it. */
mg_code mg_codes_group_full(mg_ctx *ctx, mg_codes *t);
void mg_codes_fill_null(mg_codes *t, uint32_t first);
/* codes.c, for load.c: all rows are loaded: packed ones become groups. */
mg_code mg_codes_pack_finish(mg_ctx *ctx, mg_codes *t);
/* codes.c, for fix.c: n weights of a packed group, all 0. */
mg_code mg_codes_new_weights(mg_ctx *ctx, uint32_t n, uint16_t **out);
void mg_codes_free_weights(uint16_t *weight, uint32_t n);
/* Rows as they are held: each packed one once. */
static inline uint64_t
mg_codes_rows_held(const mg_codes *t)
{
	return (t->nresident + t->nstored) * t->group_rows + t->last_rows;
}

/* Part of a group. Array of column j: base + column[j].offset, rows first .. first + rows - 1 of it. */
typedef struct mg_block
{
	const uint8_t *base;
	uint32_t first, rows;
	const uint16_t *weight; /* [rows] how often each is there; NULL: once */
} mg_block;

static inline const void *
mg_block_column(const mg_code_column *col, const mg_block *b)
{
	return b->base + col->offset + (size_t) b->first * col->width;
}

/*
 * Passes over all rows in blocks. `cols` names the columns that the pass reads (of stored groups only these are
 * fetched). In parallel: fn on any lane of the pool, in any order, no ctx; `between` (may be NULL) is called, by the
 * caller's thread, before 2^32 rows (by weight) have passed and at the end, with no task running. In order: fn by the
 * caller's thread, in row order.
 */
typedef void (*mg_block_task)(void *arg, const mg_block *b, int lane);
typedef mg_code (*mg_block_step)(mg_ctx *ctx, void *arg, const mg_block *b);
mg_code mg_codes_pass(mg_ctx *ctx, mg_codes *t, const uint32_t *cols, uint32_t ncols, mg_pool *pool, mg_block_task fn,
					  void (*between)(void *arg), void *arg);
/* A group at a time, whole (up to MG_GROUP_ROWS rows): fn for parts 0..parts-1; different parts at once, the same part
 * never. */
typedef void (*mg_part_task)(void *arg, const mg_block *b, size_t part);
mg_code mg_codes_pass_parts(mg_ctx *ctx, mg_codes *t, const uint32_t *cols, uint32_t ncols, mg_pool *pool, size_t parts,
							mg_part_task fn, void *arg);
mg_code mg_codes_pass_in_order(mg_ctx *ctx, mg_codes *t, const uint32_t *cols, uint32_t ncols, mg_block_step fn,
							   void *arg);

/*
 * fix.c: fine cells of open columns. Cells: sorted and disjoint (MG_INVALID otherwise); labels: those that occur twice
 * count once, under their first index.
 */
mg_code mg_codes_fix_number(mg_ctx *ctx, mg_codes *t, uint32_t col, const mg_cell *cells, uint32_t ncells);
mg_code mg_codes_fix_labels(mg_ctx *ctx, mg_codes *t, uint32_t col, const mg_label *labels, uint32_t nlabels);
/* Frees what a column needs for its fine cells: dictionary, labels, axis. */
void mg_codes_drop_fine(mg_codes *t, mg_code_column *c);
/* Replaces fine cells by coarse codes for good: merge[col][fine] < ncoarse[col] <= nfine. */
mg_code mg_codes_recode(mg_ctx *ctx, mg_codes *t, const uint16_t *const *merge, const uint32_t *ncoarse);

/*
 * Exact histogram of one column into out[nout], which it clears first: over the cells of `axis` (KEY columns only; nout
 * = nbounds + 2), or where that is NULL over the fine cells of a fixed column (nout = nfine).
 */
mg_code mg_codes_histogram(mg_ctx *ctx, mg_codes *t, uint32_t col, const mg_axis *axis, uint32_t nout, int64_t *out);

#endif
