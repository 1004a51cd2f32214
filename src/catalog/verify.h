/*
 * catalog/verify.h: what the parts of verification share. All of them read in one snapshot, so that what is committed
 * meanwhile is in none of them.
 */
#ifndef MIRAGE_CATALOG_VERIFY_H
#define MIRAGE_CATALOG_VERIFY_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "catalog/catalog.h"
#include "catalog/sorter.h"
#include "utils/snapshot.h"

/* What was found, beside a NOTICE of what it is. */
typedef struct MgFindings
{
	bool bad;
	int64 first_bad; /* the smallest log entry concerned; 0: none */
} MgFindings;
extern void mg_found(MgFindings *f, int64 entry); /* entry 0: no entry can be named */

/* -- catalog/verify.c -- */

/* For each row of a query on our tables, which is never held as a whole; in a memory context that is reset behind it.
 */
typedef void (*MgVisit)(void *arg, HeapTuple tuple, TupleDesc desc);
extern void mg_verify_scan(Snapshot snapshot, const char *sql, MgVisit visit, void *arg);

/* -- catalog/verify_rows.c: sealed tables -- */

extern MgSorter *mg_verify_seals_begin(void);
extern void mg_verify_seals_put(MgSorter *seals, int64 entry, Jsonb *of_entry);
/* Compares sealed tables with these seals, and all else that can be checked against them. Ends the sorter. */
extern void mg_verify_rows(MgFindings *f, Snapshot snapshot, MgSorter *seals);

#endif
