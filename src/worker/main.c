/*
 * worker/main.c: the worker's side: a process that takes on the caller's identity and settings, does one piece of work
 * in its own transactions, and leaves its outcome in the segment. After short work it may linger for more
 * (worker/serve.c).
 *
 * The connection is made as the caller's *authenticated* user, never as a superuser in disguise; phases that read user
 * relations switch to the reading role as a restricted operation, phases on our own tables to the extension's owner.
 */
#include "worker/shared.h"

#include "access/parallel.h"
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

#define CHAIN_LOCK_MS "2s"

PGDLLEXPORT void mg_worker_main(Datum arg) __attribute__((visibility("default")));

static void
wake_waiter(PGPROC *waiter)
{
	if (waiter != NULL)
		SetLatch(&waiter->procLatch);
}

void
mg_work_wake(MgShared *s)
{
	PGPROC *waiter;

	SpinLockAcquire(&s->mutex);
	waiter = s->waiter;
	SpinLockRelease(&s->mutex);
	wake_waiter(waiter);
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
		/* who holds it for long is not waited for by a process that others need, nor in its place */
		(void) set_config_option("lock_timeout", CHAIN_LOCK_MS, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
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

/*
 * The session's user is who it is, not who has its name by now: after the login was renamed, another role may. The
 * server restores names, but keeps the user that is there while it initialises what it takes for a parallel worker;
 * some releases before 2024-11 do not.
 */
static void
restore_settings(void *callers, Oid session_user)
{
	bool superuser = superuser_arg(session_user);

	SetSessionAuthorization(session_user, superuser);
	InitializingParallelWorker = true;
	PG_TRY();
	{
		RestoreGUCState(callers);
	}
	PG_FINALLY();
	{
		InitializingParallelWorker = false;
	}
	PG_END_TRY();
	SetSessionAuthorization(session_user, superuser);
}

void
mg_work_settings(void *callers, Oid session_user)
{
	StartTransactionCommand();
	if (callers != NULL)
		restore_settings(callers, session_user);
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
		case MG_WORK_RECIPIENT:
			mg_work_recipient(s, params);
			break;
		case MG_WORK_TRAIN:
			break; /* long: it reads the key when it needs it */
	}
}

void
mg_work_do(MgShared *s)
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

void
mg_worker_main(Datum arg)
{
	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, StatementCancelHandler);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	mg_serve_first(DatumGetUInt32(arg));
	proc_exit(0);
}
