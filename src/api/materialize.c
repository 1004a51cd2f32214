/*
 * api/materialize.c: dp_materialize.
 */
#include "api/watch.h"

#include "emit/emit.h"
#include "emit/materialize.h"

MG_FUNCTION(dp_materialize);

/* (model text, target text, n bigint, conditions jsonb, seed bigint, purpose text, existing boolean) */
MG_WATCHED_FUNCTION(dp_materialize, MG_WATCHED_RELEASE)
{
	NullableDatum args[MG_RELEASE_ARGS] = {0}; /* those that have no parameter here: false */
	char *target = mg_arg_text(fcinfo, 1, "target");
	MgExisting existing = MG_EXISTING_OR_NEW;

	args[MG_ARG_MODEL] = fcinfo->args[0];
	args[MG_ARG_N] = fcinfo->args[2];
	args[MG_ARG_CONDITIONS] = fcinfo->args[3];
	args[MG_ARG_SEED] = fcinfo->args[4];
	args[MG_ARG_PURPOSE] = fcinfo->args[5];
	if (!PG_ARGISNULL(6))
		existing = PG_GETARG_BOOL(6) ? MG_EXISTING_ONLY : MG_NEW_ONLY;
	PG_RETURN_INT64(mg_materialize(args, target, existing));
}
