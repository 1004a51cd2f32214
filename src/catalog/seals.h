/*
 * catalog/seals.h: the rows of append-only tables, sealed by the log, so that one that is changed, removed or added by
 * hand is found.
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
 * In a transaction without savepoints, as workers' are: after one was rolled back there would be a seal without its
 * row.
 */
extern void mg_row_returned(const char *table, int64 key);
/* For mg_log: the seals of what was written and not yet sealed, a JSON array; NULL: nothing was. */
extern char *mg_seals_take(void);

/* What verification found, beside a NOTICE of what it is. */
typedef struct MgFindings
{
	bool bad;
	int64 first_bad; /* the smallest log entry concerned; 0: none */
} MgFindings;
extern void mg_found(MgFindings *f, int64 entry); /* entry 0: no entry can be named */

/* Compares sealed tables with their seals, and all else that can be checked against them. */
extern void mg_seals_verify(MgFindings *f);

#endif
