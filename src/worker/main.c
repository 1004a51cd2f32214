/*
 * worker/main.c: the worker's side: a process that takes on the caller's identity and settings, does one piece of work
 * in its own transactions, and leaves its outcome in the segment. After short work it may linger for more
 * (worker/pool.c): each piece begins with what it would find in a worker that was just started, and ends with nothing
 * held.
 *
 * The connection is made as the caller's *authenticated* user, never as a superuser in disguise; phases that read user
 * relations switch to the reading role as a restricted operation, phases on our own tables to the extension's owner.
 */
#include "worker/pool.h"
#include "worker/shared.h"

#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/pg_extension_d.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pg/compat.h"
#include "pg/server.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/procsignal.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#define QUIET_MS 10  /* without work, before the log is chained */
#define CHAIN_MS 250 /* between the first entry and its chaining, whatever work there is */

static MgShared *current;     /* what is worked on; NULL: nothing */
static TimestampTz chain_due; /* since when the log is to be chained; 0: it is not */

PGDLLEXPORT void mg_worker_main(Datum arg) __attribute__((visibility("default")));

static void
wake_waiter(PGPROC *waiter)
{
	if (waiter != NULL)
		SetLatch(&waiter->procLatch);
}

void
mg_work_state(MgShared *s, MgWorkState state)
{
	PGPROC *waiter;

	SpinLockAcquire(&s->mutex);
	s->state = state;
	waiter = s->waiter;
	SpinLockRelease(&s->mutex);
	wake_waiter(waiter);
}

void
mg_work_progress(void *arg, const char *phase, double fraction)
{
	MgShared *s = arg;
	PGPROC *waiter = NULL;

	SpinLockAcquire(&s->mutex);
	if (strncmp(s->phase, phase, sizeof(s->phase) - 1) != 0)
	{
		strlcpy(s->phase, phase, sizeof(s->phase));
		waiter = s->waiter;
	}
	s->fraction = fraction;
	SpinLockRelease(&s->mutex);
	wake_waiter(waiter);
}

bool
mg_work_cancelled(MgShared *s)
{
	bool cancel;

	SpinLockAcquire(&s->mutex);
	cancel = s->cancel;
	SpinLockRelease(&s->mutex);
	return cancel;
}

void
mg_work_begin(MgShared *s, bool read_only)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	XactIsoLevel = read_only ? XACT_REPEATABLE_READ : XACT_READ_COMMITTED;
	XactReadOnly = read_only;
	XactDeferrable = false;
	SetUserIdAndSecContext(s->current_user, SECURITY_LOCAL_USERID_CHANGE);
	/* before any table: in the order in which DROP EXTENSION takes its locks */
	LockDatabaseObject(ExtensionRelationId, mg_extension_oid(), 0, AccessShareLock);
	PushActiveSnapshot(GetTransactionSnapshot());
}

void
mg_work_commit(void)
{
	PopActiveSnapshot();
	SetUserIdAndSecContext(GetSessionUserId(), 0);
	CommitTransactionCommand();
}

void
mg_work_chain(MgShared *s, bool over)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		mg_keys_hold();
		mg_work_begin(s, false);
		mg_log_chain();
		mg_work_commit();
		mg_keys_drop();
	}
	PG_CATCH();
	{
		ErrorData *e;

		if (!over && geterrcode() == ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(context);
		e = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		mg_keys_drop_all();
		QueryCancelPending = false;
		RESUME_INTERRUPTS();
		ereport(LOG, (errcode(e->sqlerrcode), errmsg_internal("the audit log was not chained: %s", e->message),
					  errdetail("What is in no block yet is chained by the next job.")));
		FreeErrorData(e);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
}

void
mg_work_chain_soon(void)
{
	if (chain_due == 0)
		chain_due = GetCurrentTimestamp();
}

static void
chain_what_is_due(void)
{
	MgShared as_ourselves = {.current_user = GetAuthenticatedUserId()};

	if (chain_due == 0)
		return;
	chain_due = 0;
	mg_work_chain(&as_ourselves, true);
}

static void
force_settings(void)
{
	/* a stronger setting of the caller's stays */
	if (synchronous_commit < SYNCHRONOUS_COMMIT_REMOTE_FLUSH)
		SetConfigOption("synchronous_commit", "on", PGC_SUSET, PGC_S_SESSION);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_SESSION);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_SESSION);
	SetConfigOption("default_transaction_deferrable", "off", PGC_SUSET, PGC_S_SESSION);
	SetConfigOption("idle_in_transaction_session_timeout", "0", PGC_SUSET, PGC_S_SESSION);
	/* as long as honest queues last; the caller's own lock_timeout ends its wait, and with it the job */
	SetConfigOption("lock_timeout", "60s", PGC_SUSET, PGC_S_SESSION);
#if PG_VERSION_NUM >= 170000
	SetConfigOption("transaction_timeout", "0", PGC_SUSET, PGC_S_SESSION);
#endif
	SetConfigOption("client_min_messages", "error", PGC_SUSET, PGC_S_SESSION);
	/* errors are caught here, sanitised and settled: none may end the process */
	SetConfigOption("exit_on_error", "off", PGC_SUSET, PGC_S_SESSION);
	SetConfigOption("quote_all_identifiers", "off", PGC_SUSET, PGC_S_SESSION);
}

void
mg_work_settings(void *callers)
{
	StartTransactionCommand();
	if (callers != NULL)
		RestoreGUCState(callers);
	else
		SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_SUSET, PGC_S_SESSION);
	force_settings();
	CommitTransactionCommand();
}

/* Cuts at a whole character. */
static void
copy_text(char *to, size_t size, const char *from)
{
	int len = from == NULL ? 0 : pg_mbcliplen(from, (int) strlen(from), (int) size - 1);

	if (len > 0)
		memcpy(to, from, (size_t) len);
	to[len] = '\0';
}

/* Leaves the error for the waiting caller; what the server's log gets is the same sanitised text. */
static void
leave_error(MgShared *s, const ErrorData *e)
{
	SpinLockAcquire(&s->mutex);
	s->sqlerrcode = e->sqlerrcode;
	copy_text(s->message, sizeof(s->message), e->message ? e->message : "unknown failure");
	copy_text(s->detail, sizeof(s->detail), e->detail);
	copy_text(s->hint, sizeof(s->hint), e->hint);
	SpinLockRelease(&s->mutex);
	ereport(LOG, (errcode(e->sqlerrcode), errmsg_internal("job " INT64_FORMAT " ended: %s", s->job, s->message)));
}

static void
short_work(MgShared *s, mg_reader *params)
{
	switch (s->work)
	{
		case MG_WORK_RELEASE:
			mg_work_release(s, params);
			break;
		case MG_WORK_ROTATE:
			mg_work_rotate(s);
			break;
		case MG_WORK_NOTE:
			mg_work_note(s, params);
			break;
		case MG_WORK_ROWS:
			mg_work_rows(s, params);
			break;
		case MG_WORK_HEAD:
			mg_work_head(s, params);
			break;
		case MG_WORK_TRAIN:
			break; /* long: it reads the key when it needs it */
	}
}

static void
work(MgShared *s)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "pg_mirage job", ALLOCSET_DEFAULT_SIZES);
	mg_reader params;

	MemoryContextSwitchTo(context);
	mg_reader_init(&params, (char *) s + s->params_offset, s->params_size);
	PG_TRY();
	{
		if (mg_work_cancelled(s))
			ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg("the job was cancelled before it began")));
		if (s->work == MG_WORK_TRAIN)
			mg_work_train(s, &params);
		else
		{
			/* short work: the master key is read once for all of it */
			mg_keys_hold();
			short_work(s, &params);
			mg_keys_drop();
		}
		mg_work_state(s, MG_WORK_DONE);
	}
	PG_CATCH();
	{
		ErrorData *e;

		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(context);
		e = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		mg_keys_drop_all();
		/* the relation: an abort releases it, but there may have been no transaction */
		LockReleaseAll(DEFAULT_LOCKMETHOD, true);
		QueryCancelPending = false;
		RESUME_INTERRUPTS();
		/* a second cancel must not undo what is written down about the first */
		HOLD_CANCEL_INTERRUPTS();
		if (s->work == MG_WORK_TRAIN)
			mg_work_train_failed(s, e);
		RESUME_CANCEL_INTERRUPTS();
		leave_error(s, e);
		mg_work_state(s, MG_WORK_FAILED);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextDelete(context);
}

/*
 * However the process ends, no session lock stays behind (the server sees to those of a transaction only), and the
 * waiting caller learns that it did: by the slot's state, and by its latch. Runs after the server has aborted what was
 * open.
 */
static void
on_exit_clean(int code, Datum arg)
{
	PGPROC *waiter;

	if (MyProc != NULL)
		LockReleaseAll(DEFAULT_LOCKMETHOD, true);
	if (current == NULL)
		return;
	SpinLockAcquire(&current->mutex);
	waiter = current->waiter;
	SpinLockRelease(&current->mutex);
	wake_waiter(waiter);
}

bool
mg_work_is_short(MgWork work)
{
	return work != MG_WORK_TRAIN && work != MG_WORK_ROTATE;
}

/* ---------------------------------------------------------------- one piece of work after the other */

/* Takes on a segment; NULL: its caller has gone before we came, so nobody waits, and nothing was spent. */
static dsm_segment *
take_on(dsm_handle handle)
{
	dsm_segment *segment = dsm_attach(handle);
	MgShared *s;

	if (segment == NULL)
		return NULL;
	s = dsm_segment_address(segment);
	if (dsm_segment_map_length(segment) < sizeof(MgShared) || s->magic != MG_SHARED_MAGIC)
		proc_exit(1);
	dsm_pin_mapping(segment);
	current = s;
	SpinLockAcquire(&s->mutex);
	s->worker_pid = MyProcPid;
	s->state = MG_WORK_ATTACHED;
	SpinLockRelease(&s->mutex);
	return segment;
}

/* The caller's settings, unless they are in force already: nothing that we do outlives its transaction. */
static void
settings_of(MgShared *s)
{
	static char *in_force;
	static Size size;
	char *callers = (char *) s + s->guc_offset;

	if (!s->own_settings)
	{
		mg_work_settings(NULL);
		return;
	}
	if (in_force != NULL && size == s->guc_size && memcmp(in_force, callers, size) == 0)
		return;
	if (in_force != NULL)
		pfree(in_force);
	in_force = NULL;
	mg_work_settings(callers);
	if (!mg_work_is_short(s->work))
		return;
	in_force = MemoryContextAlloc(TopMemoryContext, s->guc_size);
	size = s->guc_size;
	memcpy(in_force, callers, size);
}

static void
work_on(dsm_segment *segment)
{
	MgShared *s = dsm_segment_address(segment);

	settings_of(s);
	pgstat_report_activity(STATE_RUNNING, s->work == MG_WORK_TRAIN    ? "pg_mirage: training"
										  : s->work == MG_WORK_ROTATE ? "pg_mirage: key rotation"
																	  : "pg_mirage: release");
	work(s);
	pgstat_report_activity(STATE_IDLE, NULL);
	current = NULL;
	dsm_detach(segment);
}

/* Work that another caller queued for us. */
static void
serve(dsm_handle handle)
{
	dsm_segment *segment = take_on(handle);

	if (segment == NULL)
		return;
	if (current->database != MyDatabaseId || current->authenticated_user != GetAuthenticatedUserId() ||
		!mg_work_is_short(current->work))
		elog(FATAL, "a worker of pg_mirage was given what is not for it");
	/* a cancel of the work before is delivered by now, and not of this one (mg_pool_cancel): unblocking is a call of
	 * the system, after which no signal is on its way */
	BackgroundWorkerBlockSignals();
	BackgroundWorkerUnblockSignals();
	QueryCancelPending = false;
	work_on(segment);
}

static void
linger(void)
{
	if (!mg_pool_join())
		return;
	for (;;)
	{
		dsm_handle handle;
		uint64 ticket;

		switch (mg_pool_next(chain_due != 0 ? QUIET_MS : -1, &handle, &ticket))
		{
			case MG_POOL_WORK:
				serve(handle);
				mg_pool_done();
				if (chain_due != 0 && TimestampDifferenceExceeds(chain_due, GetCurrentTimestamp(), CHAIN_MS))
					chain_what_is_due();
				break;
			case MG_POOL_QUIET:
				chain_what_is_due();
				break;
			case MG_POOL_LEAVE:
				return;
		}
	}
}

void
mg_worker_main(Datum arg)
{
	dsm_segment *segment;
	bool stay;

	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, StatementCancelHandler);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();

	CurrentResourceOwner = ResourceOwnerCreate(NULL, "pg_mirage worker");
	segment = take_on(DatumGetUInt32(arg));
	if (segment == NULL)
		proc_exit(0);
	before_shmem_exit(on_exit_clean, (Datum) 0);
	BackgroundWorkerInitializeConnectionByOid(current->database, current->authenticated_user, 0);
	stay = mg_work_is_short(current->work);
	work_on(segment);
	if (stay)
		linger();
	chain_what_is_due();
	proc_exit(0);
}
