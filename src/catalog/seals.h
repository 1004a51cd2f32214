/*
 * catalog/seals.h: rows of append-only tables and of tables of state, sealed by the log, so that one that is changed,
 * removed or added by hand is found.
 */
#ifndef MIRAGE_CATALOG_SEALS_H
#define MIRAGE_CATALOG_SEALS_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "catalog/catalog.h"
#include "seal/seal.h"

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
 * that the last statement returned, with nothing in between. Only of rows that it has written itself. What the change
 * found is sealed along; the transaction warns, and an alert is raised, where that is not what the log says of it.
 */
extern void mg_rows_changed(const char *table, uint64 n, int column);
/* For mg_log: the seals of what was written and not yet sealed, a JSON array; NULL: nothing was. */
extern char *mg_seals_take(void);

/* -- for verification -- */

/* The condition on mirage.log that its index of entries with seals of state has: their keys are texts. */
#define MG_SEALS_OF_STATE "seals @? '$[*][1]?(@.type() == \"string\")'"

typedef struct MgSealedTable
{
	const char *name;
	const char *key;   /* a column that is never NULL; of append-only tables the key */
	const char *text;  /* of a table of state: the key as text, over row r; NULL: append-only */
	const char *where; /* and the row of that key, $1 */
} MgSealedTable;
extern const MgSealedTable *mg_sealed_tables(int *n);

extern List *mg_append_only_tables(void); /* of char *, without the schema: those that refuse changes */

/* How rows of a table that come as columns first, first + 1, .. of a result are hashed; lives as long as `desc`. */
typedef struct MgRowForm MgRowForm;
extern MgRowForm *mg_row_form(const char *table, TupleDesc desc, int first);
/* Leaves what it needs in the current memory context. */
extern void mg_row_hash(MgRowForm *form, HeapTuple tuple, uint8 out[MG_HASH_BYTES]);

#endif
