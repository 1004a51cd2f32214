/*
 * pg/rowhash.h: a hash over rows, by which a table that was written out and read in again can be compared.
 */
#ifndef MIRAGE_PG_ROWHASH_H
#define MIRAGE_PG_ROWHASH_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "seal/seal.h"

#define MG_ROWS_HASH_SIZE (7 + 2 * MG_HASH_BYTES + 1) /* "sha256:" and hexadecimal digits */

typedef struct MgRowHash MgRowHash;

/*
 * Of rows of this shape, whose dropped columns do not count. All memory is the current context's, which frees what is
 * the core's when it is reset. attrs: the numbers (from 1) of the attributes that the arrays of mg_row_hash_add hold,
 * in that order; NULL: all of desc.
 */
extern MgRowHash *mg_row_hash_create(TupleDesc desc, const int *attrs, int nattrs);
extern void mg_row_hash_add(MgRowHash *h, const Datum *values, const bool *nulls);
extern int64 mg_row_hash_rows(const MgRowHash *h);
/* Once; nothing can be added afterwards. */
extern void mg_row_hash_finish(MgRowHash *h, char out[MG_ROWS_HASH_SIZE]);

#endif
