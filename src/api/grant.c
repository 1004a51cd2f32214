/*
 * api/grant.c: who may have rows of a model, within which limits, and for whom: dp_grant, dp_revoke, dp_allow_claims,
 * dp_adopt_recipient; and dp_drop_model. Ordinary transactional acts, like GRANT: a ROLLBACK undoes them, their log
 * entry included.
 *
 * The log names the columns of a grant's conditions, not their values: those may describe one person, and the log
 * forgets nothing.
 */
#include "api/watch.h"

#include "emit/emit.h"
#include "miscadmin.h"
#include "pg/json.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"

MG_FUNCTION(dp_grant);
MG_FUNCTION(dp_revoke);
MG_FUNCTION(dp_allow_claims);
MG_FUNCTION(dp_adopt_recipient);
MG_FUNCTION(dp_drop_model);

/* ---------------------------------------------------------------- the log's entries */

static List *
member_names(Jsonb *object)
{
	JsonbIterator *it = JsonbIteratorInit(&object->root);
	JsonbIteratorToken token;
	JsonbValue v;
	List *names = NIL;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
		if (token == WJB_KEY)
			names = lappend(names, pnstrdup(v.val.string.val, v.val.string.len));
	return names;
}

/* {"grantee": .., and the limits that were given} */
static char *
grant_detail(const char *grantee, const MgGrant *g)
{
	StringInfoData buf;

	mg_json_begin(&buf);
	mg_json_text(&buf, "grantee", grantee);
	if (g == NULL)
		return mg_json_end(&buf);
	if (g->expires)
	{
		char stamp[MAXDATELEN + 1];

		JsonEncodeDateTime(stamp, TimestampTzGetDatum(g->valid_until), TIMESTAMPTZOID, NULL);
		mg_json_text(&buf, "valid_until", stamp);
	}
	if (g->limited)
		mg_json_int(&buf, "max_rows", g->max_rows);
	if (g->per != NULL)
		mg_json_raw(&buf, "per_seconds",
					DatumGetCString(DirectFunctionCall1(numeric_out, DirectFunctionCall2(extract_interval,
																						 CStringGetTextDatum("epoch"),
																						 IntervalPGetDatum(g->per)))));
	mg_json_texts(&buf, "purposes", g->purposes);
	mg_json_texts(&buf, "conditions", g->conditions != NULL ? member_names(g->conditions) : NIL);
	mg_json_texts(&buf, "columns", g->columns);
	return mg_json_end(&buf);
}

/* ---------------------------------------------------------------- grants */

#define MOST_YEARS 1000

/* A window must be one that can be reckoned back from now, in whatever parts it is given. */
static void
check_window(const Interval *per)
{
	if (per->month > MOST_YEARS * MONTHS_PER_YEAR || per->day > MOST_YEARS * 366 ||
		per->time > MOST_YEARS * 366 * USECS_PER_DAY)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("per must be at most %d years", MOST_YEARS),
						errhint("Leave it out for a limit of all rows ever.")));
}

static void
read_rows(FunctionCallInfo fcinfo, MgGrant *g)
{
	g->limited = !PG_ARGISNULL(2);
	g->max_rows = g->limited ? PG_GETARG_INT64(2) : 0;
	g->per = mg_arg_interval(fcinfo, 3, "per");
	if (g->per != NULL)
		check_window(g->per);
	if (g->limited && g->max_rows < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("max_rows must be at least 1"),
						errhint("Take a grant back by dp_revoke().")));
	if (g->per != NULL && !g->limited)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("per says nothing without max_rows"),
						errhint("As in max_rows => 10000, per => '1 day'.")));
}

#define MOST_PURPOSES 100

/* They are in the log, too, which must stay readable whatever a model's owner writes. */
static void
read_purposes(FunctionCallInfo fcinfo, MgGrant *g)
{
	ListCell *lc;

	g->purposes = mg_arg_texts(fcinfo, 4, "purposes");
	if (list_length(g->purposes) > MOST_PURPOSES)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("a grant can have at most %d purposes", MOST_PURPOSES)));
	foreach (lc, g->purposes)
		mg_check_name("purpose", lfirst(lc));
}

static void
read_until(FunctionCallInfo fcinfo, MgGrant *g)
{
	g->expires = !PG_ARGISNULL(5);
	g->valid_until = g->expires ? PG_GETARG_TIMESTAMPTZ(5) : 0;
	if (g->expires && TIMESTAMP_NOT_FINITE(g->valid_until) && !TIMESTAMP_IS_NOBEGIN(g->valid_until))
		g->expires = false; /* for ever */
	if (g->expires && g->valid_until <= GetCurrentTimestamp())
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("valid_until is in the past"),
						errhint("Take a grant back by dp_revoke().")));
}

/* No condition and no column left out are none at all, so that equal grants are recorded alike. */
static void
read_confinement(FunctionCallInfo fcinfo, MgModel *model, MgGrant *g)
{
	g->conditions = PG_ARGISNULL(6) ? NULL : PG_GETARG_JSONB_P(6);
	if (g->conditions != NULL && JB_ROOT_IS_OBJECT(g->conditions) && JB_ROOT_COUNT(g->conditions) == 0)
		g->conditions = NULL;
	g->columns = mg_arg_names(fcinfo, 7, "columns");
	if (g->conditions != NULL || g->columns != NIL)
		mg_release_check_grant(model, g);
}

/*
 * (model text, grantee regrole, max_rows bigint, per interval, purposes text[], valid_until timestamptz, conditions
 * jsonb, columns name[])
 */
MG_WATCHED_FUNCTION(dp_grant, MG_WATCHED_ACT)
{
	MgModel *model = mg_arg_own_model(fcinfo, "dp_grant()", NoLock);
	MgGrant grant = {.model = model->id};
	char *name;

	grant.grantee.oid = mg_arg_role(fcinfo, 1, "grantee", &name);
	read_rows(fcinfo, &grant);
	read_purposes(fcinfo, &grant);
	read_until(fcinfo, &grant);
	read_confinement(fcinfo, model, &grant);
	mg_grant_set(&grant);
	mg_log("grant", model->name, grant_detail(name, &grant));
	PG_RETURN_VOID();
}

/* (model text, grantee regrole) */
MG_WATCHED_FUNCTION(dp_revoke, MG_WATCHED_ACT)
{
	MgModel *model = mg_arg_own_model(fcinfo, "dp_revoke()", NoLock);
	char *name;
	Oid grantee = mg_arg_role(fcinfo, 1, "grantee", &name);

	if (!mg_grant_remove(model->id, grantee))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("role \"%s\" holds no grant on model \"%s\"", name, model->name),
						errhint("Rights through other roles and the owner's own are not grants of this role.")));
	mg_log("revoke", model->name, grant_detail(name, NULL));
	PG_RETURN_VOID();
}

/* (model text) */
MG_WATCHED_FUNCTION(dp_drop_model, MG_WATCHED_ACT)
{
	MgModel *model = mg_arg_own_model(fcinfo, "dp_drop_model()", AccessExclusiveLock);

	mg_model_delete(model->id);
	mg_log("drop model", model->name, NULL);
	PG_RETURN_VOID();
}

/* ---------------------------------------------------------------- claims */

/* (role regrole, allowed boolean) */
MG_WATCHED_FUNCTION(dp_allow_claims, MG_WATCHED_ACT)
{
	char *name;
	Oid role = mg_arg_role(fcinfo, 0, "role", &name);
	bool allowed = PG_ARGISNULL(1) || PG_GETARG_BOOL(1);

	mg_require_writable("dp_allow_claims()");
	if (!mg_is_admin(GetUserId()))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("only a member of mirage_admin may decide who names recipients")));
	mg_claimant_set(role, allowed);
	mg_log(allowed ? "allow claims" : "disallow claims", name, NULL);
	PG_RETURN_VOID();
}

/* (role regrole, recipient_id uuid) */
MG_WATCHED_FUNCTION(dp_adopt_recipient, MG_WATCHED_ACT)
{
	char *name, *id;
	Oid role = mg_arg_role(fcinfo, 0, "role", &name);

	mg_require_writable("dp_adopt_recipient()");
	if (!mg_is_admin(GetUserId()))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("only a member of mirage_admin may say who a recipient is")));
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("parameter \"recipient_id\" must not be null")));
	id = DatumGetCString(DirectFunctionCall1(uuid_out, PG_GETARG_DATUM(1)));
	mg_recipient_adopt(role, name, id);
	mg_log("adopt recipient", name, psprintf("{\"recipient_id\": \"%s\"}", id));
	PG_RETURN_VOID();
}
