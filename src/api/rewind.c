/*
 * api/rewind.c: dp_acknowledge_rewind. A transactional act: its charges and its entry in the log are undone by a
 * ROLLBACK, and then training stays refused.
 */
#include "api/args.h"

#include "catalog/highwater.h"
#include "miscadmin.h"

MG_FUNCTION(dp_acknowledge_rewind);

/* (note text) RETURNS bigint: how many charges had been lost, and count again. */
Datum
dp_acknowledge_rewind(PG_FUNCTION_ARGS)
{
	char *note = mg_arg_text(fcinfo, 0, "note");

	if (!mg_is_admin(GetUserId()))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied to acknowledge a rewind"),
						errhint("A member of mirage_admin may do this.")));
	mg_require_writable("dp_acknowledge_rewind");
	mg_check_note(note, "Say what happened and who decided: it stays in the log.");
	if (!mg_high_water_kept())
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("no high-water mark is kept"),
						errhint("Set pg_mirage.high_water_file in the server's configuration.")));
	PG_RETURN_INT64(mg_high_water_acknowledge(note));
}
