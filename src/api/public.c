/*
 * api/public.c: dp_declare_public. A transactional act, like GRANT. It reads no row: keys are read when a table that
 * refers to them is described or trained on (pg/fkeys.c).
 */
#include "api/args.h"

#include "access/relation.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/event_trigger.h"
#include "pg/server.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

MG_FUNCTION(dp_declare_public);
MG_FUNCTION(mg_sql_forget_dropped);

static void
refuse(Oid relid, int code, const char *what, const char *hint)
{
	ereport(ERROR, (errcode(code), errmsg("\"%s\" %s", mg_relation_name(relid), what), errhint("%s", hint)));
}

/* Tables alone: what anything else shows may be computed from other rows, by whoever defined it. */
static void
require_table(Oid relid)
{
	char kind = get_rel_relkind(relid);

	if (relid < FirstNormalObjectId || get_rel_namespace(relid) == get_namespace_oid("mirage", true))
		refuse(relid, ERRCODE_WRONG_OBJECT_TYPE, "belongs to the system", "Declare tables of your own.");
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		refuse(relid, ERRCODE_WRONG_OBJECT_TYPE, "is not a table",
			   "Foreign keys refer to tables and partitioned tables only.");
	if (get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		refuse(relid, ERRCODE_WRONG_OBJECT_TYPE, "is a temporary table",
			   "A background worker cannot see it; use a permanent table.");
}

static void
require_no_row_security(Oid relid)
{
	Relation rel = relation_open(relid, AccessShareLock);
	bool secured = rel->rd_rel->relrowsecurity;

	relation_close(rel, AccessShareLock);
	if (secured)
		refuse(relid, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "has row security",
			   "Rows that some must not see are not public: put those that are into a table of their own.");
}

/* A table's rows are people's, or public; not both. */
static void
require_unprotected(Oid relid)
{
	Oid tied;

	if (mg_relation_recorded(relid) != NULL || mg_relation_protection(relid, true) != NULL)
		refuse(relid, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "is protected, it or a partition or parent of it",
			   "What is learnt of its rows is charged to its budget; they cannot be public as well.");
	tied = mg_relation_tied_to(relid);
	if (OidIsValid(tied))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("\"%s\" refers to the protected table \"%s\"", mg_relation_name(relid), mg_relation_name(tied)),
				 errhint("Rows that belong to protected ones depend on them: they are not public.")));
}

Datum
dp_declare_public(PG_FUNCTION_ARGS)
{
	Oid relid = mg_arg_oid(fcinfo, 0, "relation");
	bool is_public = PG_ARGISNULL(1) || PG_GETARG_BOOL(1);

	mg_require_writable("dp_declare_public");
	mg_require_owner(relid);
	require_table(relid);
	mg_relations_lock(relid);
	if (is_public)
	{
		require_no_row_security(relid);
		require_unprotected(relid);
	}
	mg_relation_set_public(relid, is_public);
	mg_log("declare public", mg_relation_name(relid), is_public ? "{\"public\": true}" : "{\"public\": false}");
	PG_RETURN_VOID();
}

/* The event trigger behind whatever may drop a table. */
Datum
mg_sql_forget_dropped(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED), errmsg("not called as an event trigger")));
	mg_relations_forget_dropped();
	PG_RETURN_NULL();
}
