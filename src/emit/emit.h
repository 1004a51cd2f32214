/*
 * emit/emit.h: the release of rows: from a call's parameters to tuples of the shape that the caller asked for.
 *
 * A release goes through four steps, in this order and once each: open (every check that can refuse, and the unsealed
 * model), a shape (the caller's columns against the model's; still able to refuse), begin (the autonomous record: from
 * here on it has happened), rows. All of it lives in the memory context that was current at open; resetting or deleting
 * that context frees the core's memory and wipes the keys, after errors and abandoned cursors as well.
 */
#ifndef MIRAGE_EMIT_EMIT_H
#define MIRAGE_EMIT_EMIT_H

#include "postgres.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "catalog/catalog.h"
#include "pg/columns.h"
#include "synthesis/condition.h"
#include "utils/tuplestore.h"

/* -- emit/release.c: rights, the record, batches -- */

typedef struct MgRelease MgRelease;

/* The parameters of a call, in the order of the SQL functions (base, where there is one, comes before them). */
typedef enum MgReleaseArg
{
	MG_ARG_MODEL,
	MG_ARG_N,          /* NULL: as many as the model's noisy total, times the probability of the conditions */
	MG_ARG_CONDITIONS, /* emit/given.h; NULL: none */
	MG_ARG_SEED,       /* repeats for the same recipient; NULL: each issuance is fresh */
	MG_ARG_PURPOSE,
	MG_ARG_HASH, /* the receipt is to name a hash of the rows; NULL: not */
	MG_RELEASE_ARGS
} MgReleaseArg;

/* What records an issuance durably, outside the caller's transaction, and returns its number. Set from above, by api/:
 * recording takes a worker, and emit/ knows none. */
typedef int64 (*MgRecorder)(const MgIssuance *issuance);
/* The same for the hash of an issuance's rows, once all of them have left. */
typedef void (*MgRowsRecorder)(int64 issuance, const char *model, const char *hash, int64 rows);
/* The same for a recipient who is not known yet, or not by this name. */
typedef void (*MgRecipientRecorder)(const MgRecipient *recipient);
extern void mg_release_set_recorder(MgRecorder recorder, MgRowsRecorder rows_recorder,
									MgRecipientRecorder recipient_recorder);

/* Refuses, or returns the model ready to emit. Writes nothing. args: [MG_RELEASE_ARGS] */
extern MgRelease *mg_release_open(const NullableDatum *args);
/* The same for a caller who names columns that must be there, so that a grant without them does not decide. */
extern MgRelease *mg_release_open_listed(const NullableDatum *args, TupleDesc listed);
/* Error unless the grant's columns are the model's, and its conditions such as some rows can satisfy. */
extern void mg_release_check_grant(MgModel *model, MgGrant *grant);
/* The same, to look at the model only: NULL where the caller may have none of its rows, or cannot have them now. */
extern MgRelease *mg_release_peek(const NullableDatum *args, TupleDesc listed);
extern const char *mg_release_model_name(const MgRelease *release);
/* What it was opened with, or what stands for it: the rows that there are. */
extern int64 mg_release_rows(const MgRelease *release);
extern const mg_model *mg_release_model(const MgRelease *release);
extern int64 mg_release_model_id(const MgRelease *release);
/* The share of the model's rows, under the release's own conditions, that satisfies `where`; an estimate. */
extern double mg_release_share(MgRelease *release, const mg_condition *where, uint32 n);
/* Of the rows only so many will be read, whichever (mg_release_seek): what is recorded. Before begin. */
extern void mg_release_set_sample(MgRelease *release, int64 rows);
/* The columns that the caller may have; all others do not exist for it. */
extern const MgColumns *mg_release_columns(const MgRelease *release);
/* Before begin: identifiers that are drawn are so anew, also where a seed repeats the rows. */
extern void mg_release_draw_identifiers(MgRelease *release);
extern int64 mg_release_issuance(const MgRelease *release); /* its number, after begin */
/* By which way the rows leave: "call" where nothing is said, "foreign", "materialize". Before begin. */
extern void mg_release_set_path(MgRelease *release, const char *path);
/* Records the issuance and makes the stream. asked: the columns whose values will be read, any of the release's. */
extern void mg_release_begin(MgRelease *release, const MgColumns *asked);
/*
 * Rows that cannot satisfy all of these are passed over (synthesis/where.h): before begin, or before a rewind that
 * follows at once. Kept by reference.
 */
extern void mg_release_where(MgRelease *release, const mg_condition *where, uint32 n);
/* What was passed over since begin. */
typedef struct MgSkipped
{
	int64 rows, blocks;       /* blocks: batches of which no row was left */
	int64 of_rows, of_blocks; /* that were looked at */
} MgSkipped;
extern MgSkipped mg_release_skipped(const MgRelease *release);
/*
 * A decoder of `columns` (any of the model's, in any order) for this release; after begin, but for columns that the
 * model has learnt.
 */
extern MgDecoder *mg_release_decoder(MgRelease *release, const MgColumns *columns);
/*
 * A batch of rows that nobody gets, in one of the core's columns, after begin: always the same for a release, under its
 * conditions, and independent of its rows. Lives until the next call.
 */
extern const mg_batch *mg_release_spare(MgRelease *release, int core);
/* Is a hash of the rows asked for? And the record of the hash, for a release that has begun. */
extern bool mg_release_hashes(const MgRelease *release);
extern void mg_release_record_hash(const MgRelease *release, const char *hash);
/* From the first row again: the same rows, and no second record. */
extern void mg_release_rewind(MgRelease *release);
/* The next batch is the one that holds this row. */
extern void mg_release_seek(MgRelease *release, uint64 row);
/*
 * The next batch, which lives until the next call; NULL at the end. *first: the number of its first row, from 0. It may
 * name the rows that have values (batch->row), even none.
 */
extern const mg_batch *mg_release_next(MgRelease *release, uint64 *first);

/* -- emit/rows.c: shapes -- */

typedef struct MgRows MgRows;

/* "age, sex, ...": what a caller who misspelt one needs to see. */
extern char *mg_rows_column_names(const MgColumns *columns);

/* All columns of the model, in order: a descriptor for a blessed record; domains as the types that they are over. */
extern TupleDesc mg_rows_record(const MgRelease *release);
/*
 * Maps the attributes of desc (kept by reference) to the model's columns by name, with assignment casts, and domains'
 * constraints satisfied (emit/convert.c). must_exist: an
 * attribute that the model has no column for is an error (a column definition list); else it is NULL (a composite
 * type). All attributes are checked; only attrs[0..nattrs-1] (numbers from 1) are made, in that order. attrs NULL: all
 * of them.
 */
extern MgRows *mg_rows_create(MgRelease *release, TupleDesc desc, bool must_exist, const int *attrs, int nattrs);
/* The model's column that the k-th of attrs is, as it is: NULL where there is none, or where its values are converted.
 */
extern const MgColumn *mg_rows_column(const MgRows *rows, int k);
/* Before begin: identifiers of attrs[i] are made as if the rows came after first[i] others; kept by reference. */
extern void mg_rows_continue(MgRows *rows, const uint64 *first);
/* Calls mg_release_begin for the columns that are mapped. */
extern void mg_rows_begin(MgRows *rows);
/* From the first row again. */
extern void mg_rows_rewind(MgRows *rows);
/* The next row's attrs; what is passed by reference lives until the next call. False at the end. */
extern bool mg_rows_fill(MgRows *rows, Datum *values, bool *nulls);
/* The next row is this one; it has not been passed, or is in the batch that is being read. No rows are passed over. */
extern void mg_rows_seek(MgRows *rows, uint64 row);
/* The same of all attributes, as a composite Datum in the current memory context. */
extern bool mg_rows_next(MgRows *rows, Datum *row);
/* All rows, of all attributes. */
extern void mg_rows_store(MgRows *rows, Tuplestorestate *store);
/* At most so many of the next rows; returns how many there were. */
extern uint64 mg_rows_store_some(MgRows *rows, Tuplestorestate *store, uint64 most);

#endif
