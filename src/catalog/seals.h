/*
 * catalog/seals.h: rows of append-only tables and of tables of state, sealed by the log, so that one that is changed,
 * removed or added by hand is found.
 */
#ifndef MIRAGE_CATALOG_SEALS_H
#define MIRAGE_CATALOG_SEALS_H

#include "catalog/catalog.h"

/*
 * Says that the current transaction has inserted this row (by its key) into a sealed table (catalog/seals.c lists
 * them). The next mg_log of the transaction takes its hash along, and a transaction that ends without one fails.
 */
extern void mg_row_written(const char *table, int64 key);
/*
 * The same of the row that the last statement, an INSERT .. RETURNING *, gave back as its first: it is not read again.
 */
extern void mg_row_returned(const char *table, int64 key);
/*
 * The same of rows of a table of state that the current transaction has inserted, updated or deleted: their keys, as
 * texts (the table's expression in catalog/seals.c; a bigint will do for an id), are this column, from 1, of the n rows
 * that the last statement returned. Only of rows that it has written itself.
 */
extern void mg_rows_changed(const char *table, uint64 n, int column);
/* For mg_log: the seals of what was written and not yet sealed, a JSON array; NULL: nothing was. */
extern char *mg_seals_take(void);

/* What verification found, beside a NOTICE of what it is. */
typedef struct MgFindings
{
	bool bad;
	int64 first_bad; /* the smallest log entry concerned; 0: none */
} MgFindings;
extern void mg_found(MgFindings *f, int64 entry); /* entry 0: no entry can be named */

extern List *mg_append_only_tables(void); /* of char *, without the schema: those that refuse changes */

/* Compares sealed tables with their seals, and all else that can be checked against them. */
extern void mg_seals_verify(MgFindings *f);

#endif
