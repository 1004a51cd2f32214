/*
 * emit/likeness.h: a new table for the rows of a model, like the one that the model was trained on. Private to emit/.
 *
 * All of it runs as the caller, between SPI_connect and SPI_finish, with search_path = pg_catalog, pg_temp
 * (mg_path_pin), so that what is written out of the catalogs is read back with the same meaning. Memory is the
 * context's that is current at the call.
 */
#ifndef MIRAGE_EMIT_LIKENESS_H
#define MIRAGE_EMIT_LIKENESS_H

#include "emit/emit.h"

typedef struct MgLikeness MgLikeness;

/*
 * What the new table will have, out of the model's columns and, where `source` is a relation, of what pg_catalog says
 * about it: collations, defaults, identity, generated columns, constraints. No privilege on the source is needed, and
 * no row of it is read. Expressions of others are kept only where they are inert (pg/inert.h); notices say what is left
 * out.
 */
extern MgLikeness *mg_likeness_create(const MgRelease *release, Oid source);
/* The statement that creates it; table: its quoted name. */
extern char *mg_likeness_statement(const MgLikeness *like, const char *table);
/*
 * Adds the constraints when the rows are there: keys over identifiers, foreign keys to public tables, CHECKs. One that
 * the rows do not satisfy is left out, with a notice: the rows are what the model says, and no secret.
 */
extern void mg_likeness_constrain(const MgLikeness *like, const char *table);

/* Pins the search_path; returns what mg_path_release needs. */
extern int mg_path_pin(void);
extern void mg_path_release(int pinned);
/* Runs one statement as the caller; the current memory context stays the current one. */
extern void mg_statement_run(const char *sql);
/* The first column of a query's first row as text, in the latest snapshot; NULL where there is none. */
extern char *mg_statement_text(const char *sql);

#endif
