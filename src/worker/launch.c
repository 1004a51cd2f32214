/*
 * worker/launch.c: the caller's side: start a worker, wait for it, pass its error on.
 */
#include "worker/pool.h"
#include "worker/shared.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "pg/compat.h"
#include "pg/guc.h"
#include "pg/server.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"

#define WAIT_MS 100L
#define QUEUE_MS 25L
#define GIVE_WAY_MS 2L
#define RETRY_MS 64.0
#define NOTICE_SECONDS 2
#define MAX_BLOCKERS 64

static void
launch_segment(MgLaunch *launch, MgWork work, int64 job, const mg_writer *params, bool own_settings)
{
	Size guc_size = EstimateGUCStateSpace();
	Size guc_offset = MAXALIGN(sizeof(MgShared));
	Size params_offset = add_size(guc_offset, MAXALIGN(guc_size));
	Size total = add_size(params_offset, MAXALIGN(params->len));
	MgShared *s;

	launch->handle = NULL;
	launch->ticket = 0;
	launch->deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), mg_guc_worker_timeout);
	launch->segment = dsm_create(total, 0);
	s = launch->shared = dsm_segment_address(launch->segment);
	memset(s, 0, sizeof(MgShared));
	strlcpy(s->version, MG_LIBRARY_VERSION, sizeof(s->version));
	s->size = total;
	s->job = job;
	s->work = work;
	s->handle = dsm_segment_handle(launch->segment);
	s->database = MyDatabaseId;
	s->authenticated_user = GetAuthenticatedUserId();
	s->session_user = GetSessionUserId();
	s->current_user = GetUserId();
	s->own_settings = own_settings;
	s->guc_offset = guc_offset;
	s->guc_size = guc_size;
	s->params_offset = params_offset;
	s->params_size = params->len;
	SerializeGUCState(guc_size, (char *) s + guc_offset);
	memcpy((char *) s + params_offset, params->data, params->len);
	SpinLockInit(&s->mutex);
	s->state = MG_WORK_STARTING;
	s->waiter = MyProc;
	strlcpy(s->phase, "starting", sizeof(s->phase));
	pg_write_barrier();
	s->magic = MG_SHARED_MAGIC;
}

/*
 * The nearer its deadline, the more often a caller asks for a slot, by the cube of what is left: who has waited for
 * half of its time asks eight times as often as who has just come, and nobody starves behind those who come back.
 */
static long
retry_ms(TimestampTz deadline)
{
	double left = (double) TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
	double part = Min(left / Max(mg_guc_worker_timeout, 1), 1);

	return Max(1, (long) (RETRY_MS * part * part * part));
}

/* Finds a worker: one that lingers, if there is one that could do it, or a new one. */
static void
launch_find(MgLaunch *launch, bool lingering)
{
	MgWork work = launch->shared->work;
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "pg_mirage", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "mg_worker_main", BGW_MAXLEN);
	strlcpy(worker.bgw_type,
			work == MG_WORK_TRAIN    ? "pg_mirage training"
			: work == MG_WORK_ROTATE ? "pg_mirage key rotation"
									 : "pg_mirage release",
			BGW_MAXLEN);
	strlcpy(worker.bgw_name, worker.bgw_type, BGW_MAXLEN);
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(launch->segment));
	worker.bgw_notify_pid = MyProcPid;

	for (;;)
	{
		long nap;

		if (lingering && mg_work_is_short(work))
			launch->ticket = mg_pool_post(dsm_segment_handle(launch->segment));
		if (launch->ticket != 0)
			return;
		if (RegisterDynamicBackgroundWorker(&worker, &launch->handle))
		{
			if (mg_work_is_short(work))
				mg_pool_started();
			return;
		}
		lingering = true;
		nap = mg_pool_give_way(mg_work_is_short(work)) ? GIVE_WAY_MS : retry_ms(launch->deadline);
		if (GetCurrentTimestamp() >= launch->deadline)
			ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES), errmsg("no background worker slot was free"),
							errhint("Raise max_worker_processes, or try again later; nothing was spent.")));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, nap, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

void
mg_launch(MgLaunch *launch, MgWork work, int64 job, mg_writer *params, bool own_settings)
{
	PG_TRY();
	{
		if (RecoveryInProgress())
			ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
							errmsg("pg_mirage neither trains nor releases on a standby"),
							errhint("Connect to the primary: what is spent and what is released is recorded there.")));
		/* what an index's function does where the server analyzes a table would be recorded as the bootstrap
		 * superuser's */
		if (mg_in_autovacuum())
			ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
							errmsg("pg_mirage neither trains nor releases where nobody has logged in")));
		/* a leader may, while it has parallel workers: our functions are unsafe there, but foreign scans are not run in
		 * them either */
		if (IsParallelWorker())
			elog(ERROR, "a worker of pg_mirage cannot be started by a parallel worker");
		if (params->failed)
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
		launch_segment(launch, work, job, params, own_settings);
		launch_find(launch, true);
	}
	PG_CATCH();
	{
		mg_writer_free(params);
		PG_RE_THROW();
	}
	PG_END_TRY();
	mg_writer_free(params);
}

/* Stops the work: by the flag and a query cancel when it runs, by its place in the queue or its slot when it does not
 * yet. */
static void
launch_cancel(MgLaunch *launch)
{
	pid_t pid, running;

	SpinLockAcquire(&launch->shared->mutex);
	launch->shared->cancel = true;
	launch->shared->waiter = NULL;
	pid = launch->shared->worker_pid;
	SpinLockRelease(&launch->shared->mutex);
	if (launch->ticket != 0)
		mg_pool_cancel(launch->ticket);
	else if (launch->handle == NULL)
		return;
	else if (pid == 0)
		TerminateBackgroundWorker(launch->handle);
	else if (GetBackgroundWorkerPid(launch->handle, &running) == BGWH_STARTED && running == pid)
		mg_pool_interrupt(pid);
}

static void
launch_cleanup(int code, Datum arg)
{
	launch_cancel((MgLaunch *) DatumGetPointer(arg));
}

/* Is this backend among those that the worker waits for, directly or behind others? */
static bool
launch_blocked_by_me(pid_t worker)
{
	int queue[MAX_BLOCKERS], n = 0;

	queue[n++] = worker;
	for (int i = 0; i < n; i++)
	{
		ArrayType *a = DatumGetArrayTypeP(DirectFunctionCall1(pg_blocking_pids, Int32GetDatum(queue[i])));
		int count = ArrayGetNItems(ARR_NDIM(a), ARR_DIMS(a));
		int32 *pids = (int32 *) ARR_DATA_PTR(a);

		for (int j = 0; j < count; j++)
		{
			bool seen = false;

			if (pids[j] == MyProcPid)
				return true;
			for (int k = 0; k < n; k++)
				seen |= queue[k] == pids[j];
			if (!seen && n < MAX_BLOCKERS)
				queue[n++] = pids[j];
		}
		pfree(a);
	}
	return false;
}

static void
launch_raise(const MgShared *s)
{
	ereport(ERROR, (errcode(s->sqlerrcode), errmsg_internal("%s", s->message),
					s->detail[0] ? errdetail_internal("%s", s->detail) : 0, s->hint[0] ? errhint("%s", s->hint) : 0));
}

typedef struct Watch
{
	char phase[64];
	TimestampTz told;
} Watch;

/* Tells the client when the phase changes, and every few seconds within one. */
static void
launch_notice(const MgShared *now, Watch *w)
{
	TimestampTz t = GetCurrentTimestamp();

	if (now->phase[0] == '\0' ||
		(strcmp(now->phase, w->phase) == 0 && !TimestampDifferenceExceeds(w->told, t, NOTICE_SECONDS * 1000)))
		return;
	strlcpy(w->phase, now->phase, sizeof(w->phase));
	w->told = t;
	ereport(NOTICE, (errmsg("job " INT64_FORMAT ": %s (%d%%)", now->job, now->phase, (int) (now->fraction * 100))));
}

/* Has the worker ended, or done with it? Work that nobody takes out of the queue gets a worker of its own. */
static bool
launch_ended(MgLaunch *launch)
{
	BgwHandleStatus status;
	pid_t pid;

	if (launch->ticket != 0)
	{
		MgPoolLook look = mg_pool_look(launch->ticket);

		if (look != MG_POOL_BACK)
			return look == MG_POOL_NOWHERE;
		launch->ticket = 0;
		launch_find(launch, false);
		if (launch->ticket != 0)
			return false;
	}
	status = GetBackgroundWorkerPid(launch->handle, &pid);
	return status == BGWH_STOPPED || status == BGWH_POSTMASTER_DIED;
}

static void
launch_loop(MgLaunch *launch, MgWorkState until, bool notices)
{
	Watch watch = {{0}, 0};
	int rounds = 0;

	for (;;)
	{
		MgShared now;
		bool ended = launch_ended(launch);

		SpinLockAcquire(&launch->shared->mutex);
		now = *launch->shared;
		SpinLockRelease(&launch->shared->mutex);
		if (now.state == MG_WORK_FAILED)
			launch_raise(&now);
		if (notices && now.state >= MG_WORK_RESERVED)
			launch_notice(&now, &watch);
		if (now.state >= until)
			return;
		if (ended)
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR), errmsg("the background worker ended without a word"),
					 errhint("Look into the server's log; what had been reserved counts as spent (see dp_ledger).")));
		if (now.worker_pid != 0 && rounds++ % 5 == 4 && launch_blocked_by_me(now.worker_pid))
			ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
							errmsg("the background worker waits for a lock that this transaction holds"),
							errhint("Commit or roll back first, then call again outside of the transaction.")));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 launch->ticket != 0 && now.state == MG_WORK_STARTING ? QUEUE_MS : WAIT_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

void
mg_launch_wait(MgLaunch *launch, MgWorkState until, bool notices)
{
	PG_ENSURE_ERROR_CLEANUP(launch_cleanup, PointerGetDatum(launch));
	{
		launch_loop(launch, until, notices);
	}
	PG_END_ENSURE_ERROR_CLEANUP(launch_cleanup, PointerGetDatum(launch));
}

void
mg_launch_detach(MgLaunch *launch)
{
	SpinLockAcquire(&launch->shared->mutex);
	launch->shared->waiter = NULL;
	SpinLockRelease(&launch->shared->mutex);
	dsm_detach(launch->segment);
}
