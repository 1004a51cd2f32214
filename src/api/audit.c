/*
 * api/audit.c: dp_verify_audit, dp_audit_head.
 */
#include "api/watch.h"

#include "catalog/head.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/tuplestore.h"
#include "worker/worker.h"

MG_FUNCTION(dp_verify_audit);
MG_FUNCTION(dp_audit_head);

static void
require_auditor(const char *what)
{
	if (!mg_is_auditor(GetUserId()) && !mg_is_admin(GetUserId()))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied to %s the audit log", what),
						errhint("Ask for membership in mirage_auditor.")));
}

/* (head text) RETURNS TABLE (entries bigint, ok boolean, first_bad bigint, head text): one row. */
Datum
dp_verify_audit(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MgLogCheck check;
	Datum values[4];
	bool nulls[4] = {false};

	require_auditor("verify");
	mg_arg_materialize(fcinfo);
	mg_keys_hold();
	check = mg_log_verify(mg_arg_text_or_null(fcinfo, 0));
	mg_keys_drop();
	if (!check.ok)
		mg_watch_event(MG_WATCH_AUDIT);
	values[0] = Int64GetDatum(check.entries);
	values[1] = BoolGetDatum(check.ok);
	values[2] = Int64GetDatum(check.first_bad);
	nulls[2] = check.first_bad == 0;
	values[3] = CStringGetTextDatum(check.head);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	return (Datum) 0;
}

/* () */
Datum
dp_audit_head(PG_FUNCTION_ARGS)
{
	require_auditor("take a head of");
	mg_log_chain_now();
	PG_RETURN_TEXT_P(cstring_to_text(mg_head_signed()));
}
