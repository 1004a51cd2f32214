/*
 * api/guard.c: the trigger that keeps everybody but the owner from writing our tables. Rights on them are nobody's
 * else, but members of pg_write_all_data need none: they could make themselves a grant, or the log say anything.
 * Restoring a dump takes the right to make the extension, and passes.
 */
#include "api/args.h"

#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/rel.h"

MG_FUNCTION(mg_sql_refuse_strangers);

Datum
mg_sql_refuse_strangers(PG_FUNCTION_ARGS)
{
	Relation rel;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED), errmsg("not called as a trigger")));
	rel = ((TriggerData *) fcinfo->context)->tg_relation;
	if (!has_privs_of_role(GetUserId(), rel->rd_rel->relowner))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("table \"mirage.%s\" is written by pg_mirage alone", RelationGetRelationName(rel)),
						errhint("Its functions do; a right to write all tables does not reach this one.")));
	return PointerGetDatum(NULL);
}
