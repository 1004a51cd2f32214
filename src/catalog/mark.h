/*
 * catalog/mark.h: a high-water mark as such: its form, and the file that it is in. What it is for is in
 * catalog/highwater.c.
 */
#ifndef MIRAGE_CATALOG_MARK_H
#define MIRAGE_CATALOG_MARK_H

#include "postgres.h"

#include "base/bytes.h"
#include "datatype/timestamp.h"
#include "seal/seal.h"

#define MG_MARK_MAX (64 * 1024 * 1024) /* bytes */

/* The charges of one share of one budget; share 0: those that no share paid for. */
typedef struct MgMarkGroup
{
	char *budget;    /* by name: budgets are neither dropped nor renamed, and a name survives what a number may not */
	char *unit_kind; /* that the budget's first charge froze; "": none */
	int64 share, count;
	double cap_epsilon, cap_delta, alpha;  /* the budget's own, should it be lost too */
	double epsilon, rho, rdp, delta_atoms; /* sums; rdp at order alpha */
} MgMarkGroup;

typedef struct MgMark
{
	char identity[64];
	int64 charges, highest;
	TimestampTz last_at; /* of the newest charge */
	int64 head_number;   /* the log's last block; 0: none */
	uint8 head[MG_HASH_BYTES];
	int ngroups;
	MgMarkGroup *groups; /* by budget and share */
} MgMark;

/* For qsort and bsearch: by the bytes of the budget's name, whatever the database's collation, then by share. */
extern int mg_mark_compare_groups(const void *a, const void *b);
/* What is signed; the signature is appended to it. */
extern void mg_mark_encode(mg_writer *w, const MgMark *m);
/* False when it is not a mark that `pub` signed. Nothing is read before the signature is found good, unless pub is
 * NULL. palloc'ed groups. */
extern bool mg_mark_decode(const uint8 *data, size_t len, const uint8 pub[32], MgMark *m);

/* The content; NULL when there is no such file. What is too long to be a mark is cut, and so damaged. */
extern uint8 *mg_mark_read(const char *path, size_t *len);
/* In the place of the mark before it, whole or not at all, and durable. */
extern void mg_mark_replace(const char *path, const uint8 *data, size_t len);
/* A former ledger's mark is no longer one: whoever still has that ledger misses it. */
extern void mg_mark_retire(const char *path);
/* ereport(ERROR) with errno. */
extern void mg_mark_unreadable(const char *path) __attribute__((noreturn));

#endif
