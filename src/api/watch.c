/*
 * api/watch.c: dp_acknowledge_alert, and the counting of refused calls.
 */
#include "api/watch.h"

#include "miscadmin.h"
#include "worker/worker.h"

MG_FUNCTION(dp_acknowledge_alert);

typedef struct Call
{
	PGFunction function;
	FunctionCallInfo fcinfo;
	Datum result;
} Call;

static void
run(void *arg)
{
	Call *call = arg;

	call->result = call->function(call->fcinfo);
}

Datum
mg_watched(MgWatched what, PGFunction function, FunctionCallInfo fcinfo)
{
	Call call = {function, fcinfo, (Datum) 0};

	mg_watch_call(what, run, &call);
	return call.result;
}

void
mg_watch_init(void)
{
	mg_watch_set_starter(mg_watch_start);
	if (process_shared_preload_libraries_in_progress)
		mg_watch_reserve();
}

/* (id bigint, note text) */
MG_WATCHED_FUNCTION(dp_acknowledge_alert, MG_WATCHED_ACT)
{
	char *note = mg_arg_text(fcinfo, 1, "note");

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("parameter \"id\" must not be null")));
	if (!mg_is_auditor(GetUserId()) && !mg_is_admin(GetUserId()))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied to acknowledge an alert"),
						errhint("Members of mirage_auditor and mirage_admin may do this.")));
	mg_require_writable("dp_acknowledge_alert()");
	mg_check_note(note, "Say what it was and what was done: it stays in the log.");
	if (!mg_alert_acknowledge(PG_GETARG_INT64(0), note))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("alert " INT64_FORMAT " was acknowledged before", PG_GETARG_INT64(0)),
						errhint("SELECT * FROM dp_alerts shows by whom, and the note.")));
	PG_RETURN_VOID();
}
