/*
 * worker/watch.c: the worker that writes alerts that are due, which nobody waits for.
 *
 * All that it needs to know goes with its registration, without a segment: asking for it does nothing that can fail, so
 * that it can be done while an error is on its way to the client. It connects as the user whose call asked for it, like
 * every worker here, and runs nothing but statements on our own tables as the extension's owner. Whatever stops it,
 * what is due stays so.
 */
#include "worker/pool.h"
#include "worker/shared.h"

#include "catalog/watch.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"

PGDLLEXPORT void mg_watch_worker_main(Datum arg) __attribute__((visibility("default")));

typedef struct Extra
{
	Oid database, user;
} Extra;

bool
mg_watch_start(void)
{
	BackgroundWorker worker = {0};
	Extra extra = {MyDatabaseId, GetAuthenticatedUserId()};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "pg_mirage", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "mg_watch_worker_main", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "pg_mirage alerts", BGW_MAXLEN);
	strlcpy(worker.bgw_name, worker.bgw_type, BGW_MAXLEN);
	memcpy(worker.bgw_extra, &extra, sizeof(extra));
	if (RegisterDynamicBackgroundWorker(&worker, NULL))
		return true;
	(void) mg_pool_give_way(false);
	return false;
}

/* Until there is no more: what came up while some was written asked for no other worker. */
static void
write_due(void)
{
	MgShared as_ourselves = {.current_user = GetAuthenticatedUserId()};
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "pg_mirage alerts", ALLOCSET_DEFAULT_SIZES);
	List *due;
	ListCell *cell;

	MemoryContextSwitchTo(context);
	while ((due = mg_watch_due()) != NIL)
	{
		CHECK_FOR_INTERRUPTS();
		mg_work_begin(&as_ourselves, false);
		mg_alerts_write(due);
		mg_work_commit();
		MemoryContextSwitchTo(context);
		foreach (cell, due)
			mg_watch_written(lfirst(cell));
	}
	mg_work_chain(&as_ourselves, true);
}

void
mg_watch_worker_main(Datum arg)
{
	Extra extra;

	memcpy(&extra, MyBgworkerEntry->bgw_extra, sizeof(extra));
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(extra.database, extra.user, 0);
	mg_work_settings(NULL, InvalidOid);
	pgstat_report_activity(STATE_RUNNING, "pg_mirage: alerts");
	write_due();
	pgstat_report_activity(STATE_IDLE, NULL);
	proc_exit(0);
}
