/*
 * table/sort.h: sorts more records than fit the memory. Records are `words` 64-bit words, compared as numbers, the
 * first word first. They hold what is exact about rows; only curator/ and this folder may include this.
 *
 * Records are gathered in a buffer; a full one is sorted in place (a most-significant-byte radix sort, whose time does
 * not depend on how often records repeat) and written to the store as a run. Reading merges the runs, in several
 * levels where there are more of them than the buffer has room for blocks. Memory: `memory` bytes, asked for at the
 * start, plus 16 bytes a run. Without a store nothing may exceed the buffer (MG_IO).
 *
 * Life: create, add.., finish, next.. until NULL, destroy.
 */
#ifndef MIRAGE_TABLE_SORT_H
#define MIRAGE_TABLE_SORT_H

#include "base/mirage.h"
#include "table/store.h"

#define MG_SORT_MAX_WORDS 6

typedef struct mg_sort mg_sort;

/* words: 1 to MG_SORT_MAX_WORDS; memory in bytes; store NULL: none. MG_NOMEM, MG_IO. */
mg_code mg_sort_create(mg_ctx *ctx, uint32_t words, size_t memory, mg_store *store, mg_sort **out);
void mg_sort_destroy(mg_sort *s); /* closes its files, wipes, frees; NULL allowed */

/* record: [words], copied. */
mg_code mg_sort_add(mg_ctx *ctx, mg_sort *s, const uint64_t *record);
mg_code mg_sort_finish(mg_ctx *ctx, mg_sort *s);
/* The next record in ascending order, valid until the next call; NULL at the end. */
mg_code mg_sort_next(mg_ctx *ctx, mg_sort *s, const uint64_t **record);

#endif
