/*
 * catalog/grant.c: who may have rows of a model, and within which limits.
 *
 * A grant is one row, keyed by model and the grantee's name, and replaced by the next dp_grant; what was used of it is
 * summed over mirage.issuance by grantee, so that neither replacing nor revoking it gives anything back. Reads take the
 * latest snapshot.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/catalog.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"

#define GRANT_COLUMNS                                                                                              \
	"g.grantee_name, g.grantee_oid, g.identity, g.granted_at, g.valid_until, g.max_rows, g.per, g.purposes, "      \
	"g.conditions, g.columns, g.xmin"

bool
mg_owns_model(const MgModel *model, Oid role)
{
	return superuser_arg(role) || (model->owner.live && has_privs_of_role(role, model->owner.oid));
}

static MgGrant *
read_grant(MgQuery *q, uint64 row, int64 model)
{
	MemoryContext old = MemoryContextSwitchTo(q->caller);
	MgGrant *g = palloc0(sizeof(MgGrant));

	g->model = model;
	g->recorded = mg_get_text(q, row, 1);
	g->grantee = mg_role_binding(mg_get_oid(row, 2), g->recorded, mg_get_text(q, row, 3));
	g->granted_at = DatumGetTimestampTz(mg_get_datum(row, 4));
	g->expires = !mg_get_null(row, 5);
	g->valid_until = g->expires ? DatumGetTimestampTz(mg_get_datum(row, 5)) : 0;
	g->limited = !mg_get_null(row, 6);
	g->max_rows = g->limited ? mg_get_int8(row, 6) : 0;
	if (!mg_get_null(row, 7))
	{
		g->per = palloc(sizeof(Interval));
		memcpy(g->per, DatumGetPointer(mg_get_datum(row, 7)), sizeof(Interval));
	}
	g->purposes = mg_get_texts(q, row, 8);
	g->conditions = (Jsonb *) mg_get_varlena(q, row, 9);
	g->columns = mg_get_texts(q, row, 10);
	g->mine_uncommitted = TransactionIdIsCurrentTransactionId(DatumGetTransactionId(mg_get_datum(row, 11)));
	MemoryContextSwitchTo(old);
	return g;
}

void
mg_grant_set(const MgGrant *g)
{
	MgArg args[] = {MG_INT8(g->model),
					MG_OID(g->grantee.oid),
					MG_TEXT(GetUserNameFromId(g->grantee.oid, false)),
					MG_TEXT(mg_database_identity()),
					MG_TEXT(GetUserNameFromId(GetUserId(), false)),
					{TIMESTAMPTZOID, TimestampTzGetDatum(g->valid_until), !g->expires},
					{INT8OID, Int64GetDatum(g->max_rows), !g->limited},
					{INTERVALOID, PointerGetDatum(g->per), g->per == NULL},
					{TEXTARRAYOID, mg_text_array(g->purposes), g->purposes == NIL},
					{JSONBOID, PointerGetDatum(g->conditions), g->conditions == NULL},
					{TEXTARRAYOID, mg_text_array(g->columns), g->columns == NIL}};
	MgQuery q;

	mg_query_begin(&q);
	/* of a role that was renamed since */
	mg_query_run(&q, false,
				 "DELETE FROM mirage.model_grant WHERE model = $1 AND grantee_oid = $2 AND grantee_name <> $3 "
				 "AND split_part(identity, ':', 1) = split_part($4, ':', 1)",
				 4, args);
	mg_query_run(&q, false,
				 "INSERT INTO mirage.model_grant (model, grantee_oid, grantee_name, identity, granted_by, valid_until, "
				 "max_rows, per, purposes, conditions, columns) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) "
				 "ON CONFLICT (model, grantee_name) DO UPDATE SET "
				 "grantee_oid = excluded.grantee_oid, identity = excluded.identity, granted_by = excluded.granted_by, "
				 "valid_until = excluded.valid_until, max_rows = excluded.max_rows, per = excluded.per, "
				 "purposes = excluded.purposes, conditions = excluded.conditions, columns = excluded.columns, "
				 "granted_at = clock_timestamp()",
				 lengthof(args), args);
	mg_query_end(&q);
}

bool
mg_grant_remove(int64 model, Oid grantee)
{
	MgArg args[] = {MG_INT8(model), MG_OID(grantee), MG_TEXT(GetUserNameFromId(grantee, false))};
	MgQuery q;
	uint64 n;

	mg_query_begin(&q);
	n = mg_query_run(&q, false,
					 "DELETE FROM mirage.model_grant WHERE model = $1 AND (grantee_oid = $2 OR grantee_name = $3)",
					 lengthof(args), args);
	mg_query_end(&q);
	return n > 0;
}

/* Grants of the model that have not run out, as recorded: live or dead, anybody's. */
static List *
unexpired(int64 model)
{
	MgArg arg = MG_INT8(model);
	List *grants = NIL;
	MgQuery q;
	uint64 n;

	mg_query_begin(&q);
	n = mg_query_run(&q, true,
					 "SELECT " GRANT_COLUMNS " FROM mirage.model_grant g WHERE g.model = $1 "
					 "AND (g.valid_until IS NULL OR g.valid_until > clock_timestamp())",
					 1, &arg);
	for (uint64 i = 0; i < n; i++)
	{
		MgGrant *g = read_grant(&q, i, model);
		MemoryContext old = MemoryContextSwitchTo(q.caller);

		grants = lappend(grants, g);
		MemoryContextSwitchTo(old);
	}
	mg_query_end(&q);
	return grants;
}

bool
mg_may_release(const MgModel *model, Oid role)
{
	ListCell *lc;

	if (mg_owns_model(model, role))
		return true;
	foreach (lc, unexpired(model->id))
	{
		const MgGrant *g = lfirst(lc);

		if (g->grantee.live && has_privs_of_role(role, g->grantee.oid))
			return true;
	}
	return false;
}

void
mg_model_require_released(const MgModel *model, Oid role)
{
	const char *hint = "A member of mirage_admin can approve it by dp_approve().";

	if (!mg_may_release(model, role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied for model \"%s\"", model->name),
				 errhint("Its owner can grant you its rows by dp_grant().")));
	if (strcmp(model->state, "pending") == 0)
		hint = "A member of mirage_admin other than who trained it decides, by dp_approve() or dp_reject().";
	if (strcmp(model->state, "ready") != 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("model \"%s\" is not ready: its state is \"%s\"", model->name, model->state),
						errhint("%s", hint)));
}
