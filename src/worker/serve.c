/*
 * worker/serve.c: one piece of work after the other: what a worker does between its start and its end.
 *
 * Each piece begins with what it would find in a worker that was just started, and ends with nothing held: the caller's
 * settings and current role are set anew, no transaction is open, no key is held, the segment is let go of. What stays
 * is what makes lingering worth while: the connection, the server's caches, plans of our own statements.
 *
 * Releases that wait while one is recorded are recorded in one transaction, each in a subtransaction, so that a flush
 * to disk is shared. Whatever does not go through at once ends the round: those that did are committed, and it is done
 * alone, as if there had been no others. So no release waits for a lock while others that are ready wait with it, and a
 * refusal is the same error from the same place. A round never waits for work, and takes none that has other settings.
 *
 * Nobody waits for the chaining of the log. It is done in the first quiet moment, and after CHAIN_MS in any case.
 */
#include "worker/shared.h"

#include "access/xact.h"
#include "catalog/catalog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "worker/pool.h"

#define QUIET_MS 10    /* without work, before the log is chained */
#define CHAIN_MS 250   /* between the first entry and its chaining, whatever work there is */
#define LOCK_MS "20ms" /* for which a release among others waits for a lock */

/* A piece of work that is ours. */
typedef struct Piece
{
	dsm_segment *segment;
	MgShared *shared;
	uint64 ticket;  /* 0: we were started for it */
	int64 issuance; /* of a release that is not committed yet */
} Piece;

static Piece piece[MG_POOL_AT_ONCE]; /* in hand */
static int npieces;
static TimestampTz chain_due; /* since when the log is to be chained; 0: it is not */

bool
mg_work_is_short(MgWork work)
{
	return work != MG_WORK_TRAIN && work != MG_WORK_ROTATE;
}

/* ---------------------------------------------------------------- taking on, letting go */

/*
 * However the process ends, no session lock stays behind (the server sees to those of a transaction only), and waiting
 * callers learn that it did: by the slot's state or that of the pool, and by their latch. Runs after the server has
 * aborted what was open.
 */
static void
on_exit_clean(int code, Datum arg)
{
	if (MyProc != NULL)
		LockReleaseAll(DEFAULT_LOCKMETHOD, true);
	for (int i = 0; i < npieces; i++)
		mg_work_wake(piece[i].shared);
}

/* NULL: its caller has gone before we came, so nobody waits, and nothing was spent. */
static Piece *
take_on(dsm_handle handle, uint64 ticket)
{
	Piece *p = &piece[npieces];
	MgShared *s;

	p->segment = dsm_attach(handle);
	if (p->segment == NULL)
	{
		if (ticket != 0)
			mg_pool_done(ticket);
		return NULL;
	}
	s = p->shared = dsm_segment_address(p->segment);
	if (dsm_segment_map_length(p->segment) < sizeof(MgShared) || s->magic != MG_SHARED_MAGIC)
		proc_exit(1);
	if (strncmp(s->version, MG_LIBRARY_VERSION, sizeof(s->version) - 1) != 0)
		ereport(FATAL,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the session that called has loaded another version of pg_mirage than the one installed"),
				 errhint("Sessions from before the package was exchanged have to connect again.")));
	dsm_pin_mapping(p->segment);
	p->ticket = ticket;
	npieces++;
	SpinLockAcquire(&s->mutex);
	s->worker_pid = MyProcPid;
	s->state = MG_WORK_ATTACHED;
	SpinLockRelease(&s->mutex);
	if (ticket != 0 && (s->database != MyDatabaseId || s->authenticated_user != GetAuthenticatedUserId() ||
						!mg_work_is_short(s->work)))
		elog(FATAL, "a worker of pg_mirage was given what is not for it");
	return p;
}

static void
let_go(Piece *p)
{
	Piece gone = *p;

	*p = piece[--npieces];
	dsm_detach(gone.segment);
	if (gone.ticket != 0)
		mg_pool_done(gone.ticket);
}

/* ---------------------------------------------------------------- settings */

static char *in_force; /* the caller's settings that are; NULL: others */
static Size in_force_size;

static char *
settings_of(const MgShared *s)
{
	return s->own_settings ? (char *) s + s->guc_offset : NULL;
}

/* Nothing that short work does to a setting outlives its transaction. */
static bool
are_in_force(const MgShared *s)
{
	return in_force != NULL && s->own_settings && s->session_user == GetSessionUserId() &&
		   in_force_size == s->guc_size && memcmp(in_force, settings_of(s), s->guc_size) == 0;
}

static void
put_in_force(const MgShared *s)
{
	if (are_in_force(s))
		return;
	if (in_force != NULL)
		pfree(in_force);
	in_force = NULL;
	mg_work_settings(settings_of(s), s->session_user);
	if (!s->own_settings || !mg_work_is_short(s->work))
		return;
	in_force = MemoryContextAlloc(TopMemoryContext, s->guc_size);
	in_force_size = s->guc_size;
	memcpy(in_force, settings_of(s), s->guc_size);
}

/* ---------------------------------------------------------------- alone */

static void
do_alone(Piece *p)
{
	put_in_force(p->shared);
	mg_work_do(p->shared);
	let_go(p);
}

/* ---------------------------------------------------------------- with others */

static bool
may_go_with_others(const MgShared *s)
{
	return s->work == MG_WORK_RELEASE && are_in_force(s);
}

/*
 * In one transaction, the first and what waits behind it; all but the last in hand are recorded, and the last too where
 * *last says so.
 */
static void
record_round(bool *last)
{
	dsm_handle handle;
	uint64 ticket;

	mg_keys_hold();
	mg_work_begin(piece[0].shared, false);
	(void) set_config_option("lock_timeout", LOCK_MS, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	mg_keys_warm("receipt"); /* before any lock */
	do
	{
		Piece *p = &piece[npieces - 1];

		*last = may_go_with_others(p->shared) && !mg_work_cancelled(p->shared) &&
				mg_work_release_with_others(p->shared, &p->issuance);
	} while (*last && mg_pool_take(&handle, &ticket) && take_on(handle, ticket) != NULL);
	mg_work_commit();
	mg_keys_drop();
}

/* As many as go through at once; what is in hand then was not recorded, and is to be done alone. */
static void
do_with_others(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "pg_mirage releases", ALLOCSET_DEFAULT_SIZES);
	volatile int recorded = 0;
	bool last = false;

	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		record_round(&last);
		recorded = last ? npieces : npieces - 1;
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(context);
		FlushErrorState();
		AbortCurrentTransaction();
		mg_keys_drop_all();
		QueryCancelPending = false;
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextDelete(context);
	for (int i = recorded - 1; i >= 0; i--)
	{
		mg_work_released(piece[i].shared, piece[i].issuance);
		mg_work_state(piece[i].shared, MG_WORK_DONE);
		let_go(&piece[i]);
	}
}

/*
 * A cancel of work that is done with is delivered by now, and meant for nothing that follows (mg_pool_cancel,
 * mg_pool_interrupt): unblocking is a call of the system, after which no signal is on its way.
 */
static void
forget_cancel(void)
{
	BackgroundWorkerBlockSignals();
	BackgroundWorkerUnblockSignals();
	QueryCancelPending = false;
}

/* ---------------------------------------------------------------- the chain of the log */

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
	forget_cancel();
	pgstat_report_activity(STATE_RUNNING, "pg_mirage: chaining the log");
	mg_work_chain(&as_ourselves, true);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* ---------------------------------------------------------------- one after the other */

static void
serve(dsm_handle handle, uint64 ticket)
{
	Piece *p = take_on(handle, ticket);

	if (p == NULL)
		return;
	forget_cancel();
	pgstat_report_activity(STATE_RUNNING, "pg_mirage: release");
	put_in_force(p->shared);
	if (may_go_with_others(p->shared) && mg_pool_waiting())
		do_with_others();
	while (npieces > 0)
		do_alone(&piece[npieces - 1]);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* While it may: returns when it has left. */
static void
linger(void)
{
	for (;;)
	{
		dsm_handle handle;
		uint64 ticket;

		switch (mg_pool_next(chain_due != 0 ? QUIET_MS : -1, &handle, &ticket))
		{
			case MG_POOL_WORK:
				serve(handle, ticket);
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
mg_serve_first(dsm_handle handle)
{
	Piece *p;
	MgWork work;
	bool stay, superuser;

	CurrentResourceOwner = ResourceOwnerCreate(NULL, "pg_mirage worker");
	p = take_on(handle, 0);
	if (p == NULL)
		return;
	before_shmem_exit(on_exit_clean, (Datum) 0);
	BackgroundWorkerInitializeConnectionByOid(p->shared->database, p->shared->authenticated_user, 0);
	superuser = strcmp(GetConfigOption("is_superuser", false, false), "on") == 0;
	work = p->shared->work;
	pgstat_report_activity(STATE_RUNNING, work == MG_WORK_TRAIN    ? "pg_mirage: training"
										  : work == MG_WORK_ROTATE ? "pg_mirage: key rotation"
																   : "pg_mirage: release");
	if (mg_work_is_short(work))
		mg_keys_hold(); /* where it does not stay, once for all that it does */
	do_alone(p);
	stay = mg_work_is_short(work) && mg_pool_join(superuser);
	if (!stay)
		chain_what_is_due();
	mg_keys_drop();
	pgstat_report_activity(STATE_IDLE, NULL);
	if (stay)
		linger();
	chain_what_is_due();
}
