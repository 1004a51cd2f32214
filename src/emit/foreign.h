/*
 * emit/foreign.h: models as foreign tables: pg_mirage_fdw.
 *
 * A foreign table is a fixed virtual table: row i is a function of (model, options, recipient, i), whoever scans it in
 * whatever plan. Each scan node of an execution is one release, recorded before its first row.
 */
#ifndef MIRAGE_EMIT_FOREIGN_H
#define MIRAGE_EMIT_FOREIGN_H

#include "postgres.h"

#include "foreign/fdwapi.h"

/* The server's table of callbacks; palloc'ed. */
extern FdwRoutine *mg_foreign_routine(void);

/* -- emit/foreign_options.c -- */

/* Of a foreign table. */
typedef struct MgForeignOptions
{
	char *model;
	bool has_rows; /* else as many as the model says */
	int64 rows, seed;
	char *condition, *purpose; /* NULL: none */
} MgForeignOptions;

/* Checks the options of one object, by the catalog that it is in; errors name the option. */
extern void mg_foreign_validate(List *options, Oid catalog);
extern MgForeignOptions mg_foreign_options(Oid relid);
/* attrs[n] (numbers from 1) of the table, under the names of the model's columns that they show (option column_name).
 */
extern TupleDesc mg_foreign_shape(Oid relid, TupleDesc desc, const int *attrs, int n);

/* -- emit/foreign_import.c -- */

/* IMPORT FOREIGN SCHEMA: commands that make a foreign table of each model that the current user may have rows of. */
extern List *mg_foreign_import(ImportForeignSchemaStmt *stmt, Oid server);

/* -- emit/foreign_analyze.c -- */

extern bool mg_foreign_analyze(Relation relation, AcquireSampleRowsFunc *acquire, BlockNumber *pages);

/* -- emit/foreign.c, for these -- */

struct MgRelease;
/*
 * Opens the release that the options ask for as `role`, for these columns (mg_foreign_shape); peek: NULL where it may
 * not (mg_release_peek).
 */
extern struct MgRelease *mg_foreign_open(const MgForeignOptions *options, Oid role, TupleDesc shape, bool peek);

#endif
