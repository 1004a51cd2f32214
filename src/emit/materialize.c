/*
 * emit/materialize.c: rows of a model into a table: dp_materialize.
 *
 * An ordinary write of the caller's transaction. Batches of rows go through a tuplestore that a statement of the
 * caller's reads under a name (an ephemeral relation, as a trigger's transition tables are), so that all that an INSERT
 * does is done: privileges, row security, rules, partitions, defaults, triggers, constraints. Memory is that of one
 * batch; nothing is kept of rows that were written. A trigger of the kind FOR EACH STATEMENT sees each batch as a
 * statement.
 *
 * The issuance is recorded once, before the first row, when everything that can be known to fail has been looked at.
 * An error after that undoes the rows and not the record.
 */
#include "postgres.h"

#include "commands/progress.h"
#include "emit/target.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/timestamp.h"

#define BATCH_ROWS 4096
#define BATCH_NAME "pg_mirage_batch"
#define NOTICE_MS 2000

typedef struct Fill
{
	MgRelease *release;
	const MgTarget *target;
	MgRows *rows;
	EphemeralNamedRelationData batch;
	SPIPlanPtr plan;
	int64 made, written;
	TimestampTz told;
} Fill;

/* ---------------------------------------------------------------- batches */

static void
prepare(Fill *f)
{
	MemoryContext old = CurrentMemoryContext;
	char *sql = mg_target_insert(f->target, BATCH_NAME);

	f->batch.md.name = pstrdup(BATCH_NAME);
	f->batch.md.tupdesc = f->target->desc;
	f->batch.md.enrtype = ENR_NAMED_TUPLESTORE;
	f->batch.md.enrtuples = BATCH_ROWS;
	if (SPI_register_relation(&f->batch) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register a batch of rows");
	f->plan = SPI_prepare(sql, 0, NULL);
	if (f->plan == NULL)
		elog(ERROR, "could not prepare an INSERT: %s", SPI_result_code_string(SPI_result));
	MemoryContextSwitchTo(old);
}

/* What a row that the table refuses comes from, and what to do about it. */
static void
explain_error(void *arg)
{
	const Fill *f = arg;

	errcontext("filling table %s with rows of model \"%s\"", f->target->name, mg_release_model_name(f->release));
	if (ERRCODE_TO_CATEGORY(geterrcode()) == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION)
		errhint("No row of this call was written. A model knows the constraints of the table that it was trained on; "
				"fill a table without this one, or let dp_materialize() create it.");
}

static void
insert_batch(Fill *f)
{
	MemoryContext old = CurrentMemoryContext;
	ErrorContextCallback callback;
	int rc;

	callback.previous = error_context_stack;
	callback.callback = explain_error;
	callback.arg = f;
	error_context_stack = &callback;
	rc = SPI_execute_plan(f->plan, NULL, NULL, false, 0);
	error_context_stack = callback.previous;
	MemoryContextSwitchTo(old);
	if (rc < 0)
		elog(ERROR, "an INSERT failed: %s", SPI_result_code_string(rc));
	f->written += (int64) SPI_processed;
}

/* ---------------------------------------------------------------- progress */

/* As a COPY FROM of type CALLBACK in pg_stat_progress_copy: others than servers' own commands have no view. */
static void
begin_progress(const Fill *f)
{
	pgstat_progress_start_command(PROGRESS_COMMAND_COPY, f->target->relid);
	pgstat_progress_update_param(PROGRESS_COPY_COMMAND, PROGRESS_COPY_COMMAND_FROM);
	pgstat_progress_update_param(PROGRESS_COPY_TYPE, PROGRESS_COPY_TYPE_CALLBACK);
}

static void
show_progress(Fill *f)
{
	int64 rows = mg_release_rows(f->release);
	TimestampTz now = GetCurrentTimestamp();

	pgstat_progress_update_param(PROGRESS_COPY_TUPLES_PROCESSED, f->made);
	if (!TimestampDifferenceExceeds(f->told, now, NOTICE_MS))
		return;
	f->told = now;
	ereport(NOTICE, (errmsg("table %s: " INT64_FORMAT " of " INT64_FORMAT " rows (%d%%)", f->target->name, f->made,
							rows, (int) (100.0 * (double) f->made / (double) Max(rows, 1)))));
}

/* ---------------------------------------------------------------- the call */

static void
fill(Fill *f)
{
	prepare(f);
	begin_progress(f);
	f->told = GetCurrentTimestamp();
	for (;;)
	{
		Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);
		uint64 n = mg_rows_store_some(f->rows, store, BATCH_ROWS);

		f->batch.reldata = store;
		if (n > 0)
			insert_batch(f);
		tuplestore_end(store);
		f->made += (int64) n;
		if (n < BATCH_ROWS)
			break;
		show_progress(f);
	}
	pgstat_progress_end_command();
}

/* Of a table that was made for them: what it holds, and what it is held to. */
static void
finish(const Fill *f)
{
	const MgTarget *t = f->target;
	char *comment;
	int pinned;

	if (t->like == NULL)
		return;
	comment = psprintf("synthetic rows of model \"%s\" of pg_mirage, issuance " INT64_FORMAT,
					   mg_release_model_name(f->release), mg_release_issuance(f->release));
	pinned = mg_path_pin();
	mg_statement_run(psprintf("COMMENT ON TABLE %s IS %s", t->name, quote_literal_cstr(comment)));
	mg_likeness_constrain(t->like, t->name);
	mg_path_release(pinned);
}

static void
open_and_fill(Fill *f, const NullableDatum *args, const char *target, MgExisting existing)
{
	MgTarget *t;

	f->release = mg_release_open(args);
	mg_release_set_path(f->release, "materialize");
	f->target = t = mg_target_open(f->release, target, existing);
	f->rows = mg_rows_create(f->release, t->desc, true, NULL, 0);
	mg_rows_continue(f->rows, t->first);
	mg_rows_begin(f->rows);
	fill(f);
	finish(f);
}

int64
mg_materialize(const NullableDatum *args, const char *target, MgExisting existing)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_mirage release", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = CurrentMemoryContext;
	Fill f = {0};

	PreventCommandIfReadOnly("dp_materialize()");
	PreventCommandIfParallelMode("dp_materialize()");
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	MemoryContextSwitchTo(context);
	open_and_fill(&f, args, target, existing);
	SPI_finish();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return f.written;
}
