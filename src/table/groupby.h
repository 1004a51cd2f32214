/*
 * table/groupby.h: exact counts of the distinct values of one column in bounded memory. Exact data; only curator/ may
 * include this.
 *
 * Values are 64-bit words: the keyed hash of a text, or a number's key. A secret bijection spreads them over [0, 2^32)
 * of "partition space"; a slice of it that fits the table at a time is counted in one pass over the column, so that the
 * number of passes grows with the distinct values and memory does not. A slice that turns out not to fit is halved and
 * counted again: time only.
 */
#ifndef MIRAGE_TABLE_GROUPBY_H
#define MIRAGE_TABLE_GROUPBY_H

#include "table/codes.h"

/*
 * Calls `each` with slices of the distinct values of `col` (TEXT or KEY, fine stage): each value exactly once. NULL and
 * `other` are left out. The arrays are each's to change and wiped after. memory: bytes for the table.
 */
typedef mg_code (*mg_groups_step)(mg_ctx *ctx, void *arg, uint64_t *value, int64_t *count, size_t n);
mg_code mg_codes_groupby(mg_ctx *ctx, mg_codes *t, uint32_t col, size_t memory, mg_groups_step each, void *arg);

/*
 * The same, but what is counted is the distinct units (keep.c) of each value, not its rows: by a bit for each pair of
 * them where a text's labels all have ids and few passes of the memory do, else by sorting the pairs. Only where the
 * table has units.
 */
mg_code mg_codes_groupby_units(mg_ctx *ctx, mg_codes *t, uint32_t col, size_t memory, mg_groups_step each, void *arg);

/* Finds the labels of n distinct hashes in the dictionary and the label file: calls found(arg, i, bytes, len) once for
 * each hash[i]. */
typedef mg_code (*mg_label_found)(mg_ctx *ctx, void *arg, size_t i, const char *s, size_t len);
mg_code mg_codes_labels(mg_ctx *ctx, mg_codes *t, uint32_t col, const uint64_t *hash, size_t n, mg_label_found found,
						void *arg);

#endif
