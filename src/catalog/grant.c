/*
 * catalog/grant.c: who may have rows of a model, and within which limits.
 *
 * A grant is one row, keyed by model and the grantee's name, and replaced by the next dp_grant; what was used of it is
 * kept by grantee (catalog/quota.c), so that neither replacing nor revoking it gives anything back. Reads take the
 * latest snapshot.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/seals.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pg/texts.h"
#include "utils/acl.h"
#include "utils/fmgrprotos.h"

#define GRANT_COLUMNS                                                                                         \
	"g.grantee_name, g.grantee_oid, g.identity, g.granted_at, g.valid_until, g.max_rows, g.per, g.purposes, " \
	"g.conditions, g.columns, g.xmin"
#define RETURNING_KEY " RETURNING model || ' ' || grantee_name"

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
	g->identity = mg_get_text(q, row, 3);
	g->grantee = mg_role_binding(mg_get_oid(row, 2), g->recorded, g->identity);
	g->granted_at = DatumGetTimestampTz(mg_get_datum(row, 4));
	g->expires = !mg_get_null(row, 5);
	g->valid_until = g->expires ? DatumGetTimestampTz(mg_get_datum(row, 5)) : 0;
	g->limited = !mg_get_null(row, 6);
	g->max_rows = g->limited ? mg_get_int8(row, 6) : 0;
	g->per = mg_get_interval(q, row, 7);
	g->purposes = mg_get_texts(q, row, 8);
	g->conditions = (Jsonb *) mg_get_varlena(q, row, 9);
	g->columns = mg_get_texts(q, row, 10);
	g->mine_uncommitted = mg_get_mine(row, 11);
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
					MG_INTERVAL(g->per),
					MG_TEXTS(g->purposes),
					{JSONBOID, PointerGetDatum(g->conditions), g->conditions == NULL},
					MG_TEXTS(g->columns)};
	MgQuery q;

	mg_query_begin(&q);
	/* of a role that was renamed since */
	mg_change(&q, "model_grant",
			  "DELETE FROM mirage.model_grant WHERE model = $1 AND grantee_oid = $2 AND grantee_name <> $3 "
			  "AND split_part(identity, ':', 1) = split_part($4, ':', 1)" RETURNING_KEY,
			  4, args);
	mg_roles_follow(&q,
					&(MgRoleNames){"model_grant", "grantee_oid", "grantee_name", "k.model || ' ' || k.grantee_name",
								   "model"},
					g->model, GetUserNameFromId(g->grantee.oid, false));
	mg_change(
		&q, "model_grant",
		"INSERT INTO mirage.model_grant AS g (model, grantee_oid, grantee_name, identity, granted_by, valid_until, "
		"max_rows, per, purposes, conditions, columns) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) "
		"ON CONFLICT (model, grantee_name) DO UPDATE SET "
		"grantee_oid = excluded.grantee_oid, identity = excluded.identity, granted_by = excluded.granted_by, "
		"valid_until = excluded.valid_until, max_rows = excluded.max_rows, per = excluded.per, "
		"purposes = excluded.purposes, conditions = excluded.conditions, columns = excluded.columns, "
		"granted_at = clock_timestamp() RETURNING g.model || ' ' || g.grantee_name",
		lengthof(args), args);
	mg_query_end(&q);
}

bool
mg_grant_remove(int64 model, Oid grantee)
{
	MgArg args[] = {MG_INT8(model), MG_OID(grantee), MG_TEXT(GetUserNameFromId(grantee, false)),
					MG_TEXT(mg_database_identity())};
	uint64 n;

	/* by name what is dead, but not what another role holds that was called so */
	n = mg_change_alone("model_grant",
						"DELETE FROM mirage.model_grant g WHERE model = $1 AND (grantee_oid = $2 AND " MG_HERE(
							"identity", "$4") " OR grantee_name = $3 AND NOT " MG_ROLE_LIVES("g.grantee_oid",
																							 "g.identity",
																							 "$4") ")" RETURNING_KEY,
						lengthof(args), args);
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

static bool
serves(const MgGrant *g, Oid role)
{
	return g->grantee.live && has_privs_of_role(role, g->grantee.oid);
}

bool
mg_may_release(const MgModel *model, Oid role)
{
	ListCell *lc;

	if (mg_owns_model(model, role))
		return true;
	foreach (lc, unexpired(model->id))
		if (serves(lfirst(lc), role))
			return true;
	return false;
}

static void
refuse_right(const char *model)
{
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied for model \"%s\"", model),
					errhint("Its owner can grant you its rows by dp_grant().")));
}

void
mg_model_require_released(const MgModel *model, Oid role)
{
	if (!mg_may_release(model, role))
		refuse_right(model->name);
	if (strcmp(model->state, "ready") != 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("model \"%s\" is not ready: its state is \"%s\"", model->name, model->state),
						errhint("A member of mirage_admin other than who trained it can approve it by dp_approve().")));
}

/* ---------------------------------------------------------------- which one pays */

static bool
permits_purpose(const MgGrant *g, const char *purpose)
{
	return g->purposes == NIL || (purpose != NULL && mg_texts_have(g->purposes, purpose));
}

/* The least restrictive first, and never two alike: names are unique. */
static int
compare_grants(const ListCell *x, const ListCell *y)
{
	const MgGrant *a = lfirst(x), *b = lfirst(y);
	int na = list_length(a->columns), nb = list_length(b->columns);

	if ((a->conditions != NULL) != (b->conditions != NULL))
		return a->conditions != NULL ? 1 : -1;
	if (na != nb)
		return na == 0 || (nb != 0 && na > nb) ? -1 : 1;
	if (a->limited != b->limited)
		return a->limited ? 1 : -1;
	if (a->max_rows != b->max_rows)
		return a->max_rows > b->max_rows ? -1 : 1;
	return strcmp(a->recorded, b->recorded);
}

static void
refuse_purpose(const MgModel *model, const char *purpose)
{
	const char *hint = "The view dp_grants shows the purposes of your grants.";

	if (purpose == NULL)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("rows of model \"%s\" are granted for named purposes only", model->name),
						errdetail("The call names none."), errhint("Name one by purpose => '...'. %s", hint)));
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					errmsg("rows of model \"%s\" are not granted for this purpose", model->name), errhint("%s", hint)));
}

List *
mg_grants_held(const MgModel *model, Oid role)
{
	List *grants = NIL;
	ListCell *lc;

	foreach (lc, unexpired(model->id))
		if (serves(lfirst(lc), role))
			grants = lappend(grants, lfirst(lc));
	list_sort(grants, compare_grants);
	return grants;
}

List *
mg_grants_for(const MgModel *model, Oid role, const char *purpose)
{
	List *grants = NIL;
	bool purposeless = false, uncommitted = false;
	ListCell *lc;

	foreach (lc, unexpired(model->id))
	{
		MgGrant *g = lfirst(lc);

		if (!serves(g, role))
			continue;
		if (!permits_purpose(g, purpose))
			purposeless = true;
		else if (g->mine_uncommitted)
			uncommitted = true;
		else
			grants = lappend(grants, g);
	}
	if (grants == NIL && uncommitted)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the grant on model \"%s\" was made by this transaction, which has not committed", model->name),
				 errhint("Commit first: the background worker that records the release cannot see it yet.")));
	if (grants == NIL && purposeless)
		refuse_purpose(model, purpose);
	if (grants == NIL)
		refuse_right(model->name);
	list_sort(grants, compare_grants);
	return grants;
}

bool
mg_grants_alike(const MgGrant *a, const MgGrant *b)
{
	if ((a->conditions != NULL) != (b->conditions != NULL) || !mg_texts_equal(a->columns, b->columns))
		return false;
	return a->conditions == NULL || (VARSIZE(a->conditions) == VARSIZE(b->conditions) &&
									 memcmp(a->conditions, b->conditions, VARSIZE(a->conditions)) == 0);
}

/* ---------------------------------------------------------------- limits of rows */

static void
refuse_rows(const MgModel *model, const MgGrant *g, int64 rows)
{
	char *window =
		g->per == NULL ? NULL : DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(g->per)));
	char *from = mg_grant_room_from(g, rows);

	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("the limit of rows of model \"%s\" for role \"%s\" is reached", model->name, g->grantee.name),
			 window != NULL ? errdetail("It is " INT64_FORMAT " rows within %s.", g->max_rows, window)
							: errdetail("It is " INT64_FORMAT " rows in all.", g->max_rows),
			 from != NULL ? errhint("Try again after %s, or ask for fewer rows.", from)
						  : errhint("Ask for fewer rows, or for another grant.")));
}

/* The grant as it is now, locked; NULL: it does not stand any more. */
static MgGrant *
lock_grant(int64 model, const MgGrantRef *ref, Oid role)
{
	MgArg args[] = {MG_INT8(model), MG_TEXT(ref->recorded)};
	MgGrant *g = NULL;
	MgQuery q;

	mg_query_begin(&q);
	if (mg_query_run(&q, false,
					 "SELECT " GRANT_COLUMNS
					 " FROM mirage.model_grant g WHERE g.model = $1 AND g.grantee_name = $2 FOR UPDATE",
					 lengthof(args), args) > 0)
		g = read_grant(&q, 0, model);
	mg_query_end(&q);
	if (g == NULL || !serves(g, role) || (g->expires && g->valid_until <= GetCurrentTimestamp()))
		return NULL;
	if (g->granted_at != ref->granted_at)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
						errmsg("the grant to role \"%s\" changed while the call began", g->grantee.name),
						errhint("Call again.")));
	return g;
}

MgGrant *
mg_grant_pay(const MgModel *model, List *refs, int64 rows)
{
	Oid role = GetUserId();
	MgGrant *payer = NULL, *full = NULL;
	ListCell *lc;

	foreach (lc, refs)
	{
		MgGrant *g = lock_grant(model->id, lfirst(lc), role);

		if (g == NULL)
			continue;
		mg_quota_lock_grant(g);
		if (mg_grant_has_room(g, rows))
		{
			payer = g;
			break;
		}
		if (full == NULL)
			full = g;
	}
	if (payer == NULL && full != NULL)
		refuse_rows(model, full, rows);
	if (payer == NULL)
		refuse_right(model->name);
	return payer;
}
