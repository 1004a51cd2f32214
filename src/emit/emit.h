/*
 * emit/emit.h: the release of rows: from a call's parameters to tuples of the shape that the caller asked for.
 *
 * A release goes through four steps, in this order and once each: open (every check that can refuse, and the unsealed model), a
 * shape (the caller's columns against the model's; still able to refuse), begin (the autonomous record: from here on it
 * has happened), rows. All of it lives in the memory context that was current at open; resetting or deleting that context frees the
 * core's memory and wipes the keys, after errors and abandoned cursors as well.
 */
#ifndef MIRAGE_EMIT_EMIT_H
#define MIRAGE_EMIT_EMIT_H

#include "postgres.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "pg/columns.h"
#include "synthesis/synthesis.h"
#include "utils/tuplestore.h"

/* -- emit/release.c: rights, the record, batches -- */

typedef struct MgReleaseRequest
{
	const char *model;
	bool has_rows; /* false: as many as the model's noisy total */
	int64 rows;
	bool has_seed; /* a seed repeats for the same recipient; without one each issuance is fresh */
	int64 seed;
} MgReleaseRequest;

typedef struct MgRelease MgRelease;

/* Refuses, or returns the model ready to emit. Writes nothing. */
extern MgRelease *mg_release_open(const MgReleaseRequest *request);
extern const char *mg_release_model_name(const MgRelease *release);
extern const MgColumns *mg_release_columns(const MgRelease *release);
/* Records the issuance and makes the stream. want[core column]: whose values will be read. */
extern void mg_release_begin(MgRelease *release, const bool *want);
/* A decoder of `columns` (any of the model's, in any order) for this release; after begin. */
extern MgDecoder *mg_release_decoder(MgRelease *release, const MgColumns *columns);
/* The next batch, which lives until the next call; NULL at the end. *first: the number of its first row, from 0. */
extern const mg_batch *mg_release_next(MgRelease *release, uint64 *first);

/* -- emit/rows.c: shapes -- */

typedef struct MgRows MgRows;

/* All columns of the model, in order: a descriptor for a blessed record. */
extern TupleDesc mg_rows_record(const MgRelease *release);
/*
 * Maps the attributes of desc (kept by reference) to the model's columns by name, with assignment casts. must_exist: an attribute
 * that the model has no column for is an error (a column definition list); else it is NULL (a composite type).
 */
extern MgRows *mg_rows_create(MgRelease *release, TupleDesc desc, bool must_exist);
/* Calls mg_release_begin for the columns that are mapped. */
extern void mg_rows_begin(MgRows *rows);
/* The next row as a composite Datum in the current memory context; false at the end. */
extern bool mg_rows_next(MgRows *rows, Datum *row);
/* All rows. */
extern void mg_rows_store(MgRows *rows, Tuplestorestate *store);

#endif
