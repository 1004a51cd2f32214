/*
 * catalog/sorter.h: rows of a few columns, sorted by the first of them; what does not fit into work_mem is in temporary
 * files.
 */
#ifndef MIRAGE_CATALOG_SORTER_H
#define MIRAGE_CATALOG_SORTER_H

#include "postgres.h"

#define MG_SORTER_COLUMNS 8

typedef struct MgSorter MgSorter;

/*
 * types: int8, int4, text, bytea; of the keys, which are ascending and never NULL, no bytea. Texts are compared by
 * their bytes. Lives in the current memory context; an error releases its files with the transaction.
 */
extern MgSorter *mg_sorter_begin(int ncolumns, const Oid *types, int nkeys);
extern void mg_sorter_put(MgSorter *s, const Datum *values, const bool *nulls); /* copies */
extern void mg_sorter_sort(MgSorter *s); /* no more puts; stands before the first row */

/* The next row, or NULL behind the last: its columns, which stand until the next call. */
typedef struct MgSorted
{
	const Datum *values;
	const bool *nulls;
} MgSorted;
extern const MgSorted *mg_sorter_next(MgSorter *s);
extern const MgSorted *mg_sorter_row(const MgSorter *s); /* the one that next returned last */
extern void mg_sorter_end(MgSorter *s);

#endif
