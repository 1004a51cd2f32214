/*
 * api/synthesize.c: rows of a model, and who may have them: dp_synthesize, dp_synthesize_as, dp_grant, dp_revoke,
 * dp_drop_model.
 *
 * Where the executor prefers it (a function in FROM) all rows go to a tuplestore, which it would make of them anyway;
 * in the select list they are streamed, and LIMIT ends the work. Everything of a call lives in one memory context, so
 * that an error, a LIMIT and an abandoned cursor free it alike.
 */
#include "api/args.h"
#include "api/synthesize.h"

#include "catalog/pg_type.h"
#include "emit/emit.h"
#include "emit/scan.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "utils/acl.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "worker/worker.h"

MG_FUNCTION(dp_synthesize);
MG_FUNCTION(dp_synthesize_as);
MG_FUNCTION(dp_synthesize_support);
MG_FUNCTION(dp_grant);
MG_FUNCTION(dp_revoke);
MG_FUNCTION(dp_drop_model);

/* ---------------------------------------------------------------- rows */

/* The row type that `base` stands for, as a copy of our own. */
static TupleDesc
base_shape(FunctionCallInfo fcinfo)
{
	Oid type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	TupleDesc desc;

	switch (get_call_result_type(fcinfo, NULL, &desc))
	{
		case TYPEFUNC_COMPOSITE:
			if (type != RECORDOID)
				return CreateTupleDescCopy(desc);
			break;
		case TYPEFUNC_COMPOSITE_DOMAIN:
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("rows of domain type %s cannot be made: its constraint is over a whole row",
								   format_type_be(type)),
							errhint("Ask for rows of the composite type %s.", format_type_be(desc->tdtypeid))));
			break;
		default:
			break;
	}
	ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
					errmsg("base must be of a named composite type, not %s", format_type_be(type)),
					errhint("Write NULL::table_name, or call dp_synthesize() with a column definition list.")));
}

/* Opens the release and fits the caller's shape to it. Until mg_rows_begin nothing has happened that is worth a record.
 */
static MgRows *
open_rows(FunctionCallInfo fcinfo, bool typed, TupleDesc expected, TupleDesc *shape)
{
	TupleDesc desc = typed ? base_shape(fcinfo) : NULL;
	MgRelease *release = mg_release_open(fcinfo->args + (typed ? 1 : 0));
	bool listed = !typed && expected != NULL;

	if (listed)
		desc = CreateTupleDescCopy(expected);
	else if (!typed)
		desc = mg_rows_record(release);
	*shape = desc;
	return mg_rows_create(release, desc, listed, NULL, 0);
}

static void
materialize(FunctionCallInfo fcinfo, bool typed)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext per_query = rsinfo->econtext->ecxt_per_query_memory;
	MemoryContext context = AllocSetContextCreate(per_query, "pg_mirage release", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	TupleDesc shape;
	MgRows *rows = open_rows(fcinfo, typed, rsinfo->expectedDesc, &shape);

	mg_rows_begin(rows);
	MemoryContextSwitchTo(per_query);
	rsinfo->setDesc = CreateTupleDescCopy(shape);
	rsinfo->setResult = tuplestore_begin_heap((rsinfo->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
	rsinfo->returnMode = SFRM_Materialize;
	mg_rows_store(rows, rsinfo->setResult);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

static Datum
synthesize(FunctionCallInfo fcinfo, bool typed)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FuncCallContext *call;
	Datum row;

	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo) || (rsinfo->allowedModes & SFRM_ValuePerCall) == 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("set-valued function called in context that cannot accept a set")));
	if ((rsinfo->allowedModes & SFRM_Materialize_Preferred) != 0)
	{
		materialize(fcinfo, typed);
		return (Datum) 0;
	}
	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;
		MgRows *rows;
		TupleDesc shape;

		call = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(call->multi_call_memory_ctx);
		rows = open_rows(fcinfo, typed, rsinfo->expectedDesc, &shape);
		mg_rows_begin(rows);
		call->user_fctx = rows;
		MemoryContextSwitchTo(old);
	}
	call = SRF_PERCALL_SETUP();
	if (mg_rows_next(call->user_fctx, &row))
		SRF_RETURN_NEXT(call, row);
	SRF_RETURN_DONE(call);
}

Datum
dp_synthesize(PG_FUNCTION_ARGS)
{
	return synthesize(fcinfo, false);
}

Datum
dp_synthesize_as(PG_FUNCTION_ARGS)
{
	return synthesize(fcinfo, true);
}

/* ---------------------------------------------------------------- the planner's estimate */

/* n where it is a constant. It is the first bigint among the arguments of both functions, since base is a row. */
static bool
constant_rows(PlannerInfo *root, List *args, double *rows)
{
	ListCell *cell;

	foreach (cell, args)
	{
		Node *arg = lfirst(cell);

		if (exprType(arg) != INT8OID)
			continue;
		arg = estimate_expression_value(root, arg);
		if (!IsA(arg, Const) || ((Const *) arg)->constisnull)
			return false;
		*rows = (double) Max(DatumGetInt64(((Const *) arg)->constvalue), 0);
		return true;
	}
	return false;
}

Datum
dp_synthesize_support(PG_FUNCTION_ARGS)
{
	Node *request = (Node *) PG_GETARG_POINTER(0);

	if (IsA(request, SupportRequestRows))
	{
		SupportRequestRows *r = (SupportRequestRows *) request;

		if (is_funcclause(r->node) && constant_rows(r->root, ((FuncExpr *) r->node)->args, &r->rows))
			PG_RETURN_POINTER(r);
	}
	PG_RETURN_POINTER(NULL);
}

/* ---------------------------------------------------------------- setting up */

void
mg_synthesize_init(void)
{
	mg_release_set_recorder(mg_release_record);
	mg_scan_install(dp_synthesize_support, dp_synthesize, dp_synthesize_as);
}

/* ---------------------------------------------------------------- rights */

static void
refuse_given(FunctionCallInfo fcinfo, int arg, const char *name)
{
	if (!PG_ARGISNULL(arg))
		mg_refuse_parameter(name);
}

/* A model that the caller may decide about: its owner, or an admin. */
static MgModel *
own_model(FunctionCallInfo fcinfo, const char *function)
{
	MgModel *model;
	char *name;

	mg_require_writable(function);
	name = mg_arg_text(fcinfo, 0, "model");
	model = mg_model_find(name);
	if (model == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("model \"%s\" does not exist", name),
						errhint("The view dp_models lists the models that you may use.")));
	if (!mg_is_admin(GetUserId()) && !(model->owner.live && has_privs_of_role(GetUserId(), model->owner.oid)))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("must be owner of model \"%s\"", name),
						errhint("A member of mirage_admin can do it too.")));
	return model;
}

static Oid
grantee_arg(FunctionCallInfo fcinfo, char **name)
{
	Oid role = mg_arg_oid(fcinfo, 1, "grantee");

	*name = mg_role_name(role);
	if (*name == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("role with OID %u does not exist", role)));
	return role;
}

/* {"grantee": .., "valid_until": ..} for the log. */
static char *
grant_detail(const char *grantee, bool has_limit, TimestampTz valid_until)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "{\"grantee\": ");
	escape_json(&buf, grantee);
	if (has_limit)
	{
		char stamp[MAXDATELEN + 1];

		JsonEncodeDateTime(stamp, TimestampTzGetDatum(valid_until), TIMESTAMPTZOID, NULL);
		appendStringInfo(&buf, ", \"valid_until\": \"%s\"", stamp);
	}
	appendStringInfoChar(&buf, '}');
	return buf.data;
}

/* (model text, grantee regrole, max_rows bigint, per interval, purposes text[], valid_until timestamptz) */
Datum
dp_grant(PG_FUNCTION_ARGS)
{
	MgModel *model = own_model(fcinfo, "dp_grant()");
	char *name;
	Oid grantee = grantee_arg(fcinfo, &name);
	bool has_limit = !PG_ARGISNULL(5);
	TimestampTz valid_until = has_limit ? PG_GETARG_TIMESTAMPTZ(5) : 0;
	MgGrant grant = {0};

	refuse_given(fcinfo, 2, "max_rows");
	refuse_given(fcinfo, 3, "per");
	refuse_given(fcinfo, 4, "purposes");
	if (has_limit && TIMESTAMP_NOT_FINITE(valid_until) && !TIMESTAMP_IS_NOBEGIN(valid_until))
		has_limit = false; /* for ever */
	if (has_limit && valid_until <= GetCurrentTimestamp())
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("valid_until is in the past"),
						errhint("Take a grant back by dp_revoke().")));
	grant.model = model->id;
	grant.grantee.oid = grantee;
	grant.expires = has_limit;
	grant.valid_until = valid_until;
	mg_grant_set(&grant);
	mg_log("grant", model->name, grant_detail(name, has_limit, valid_until));
	PG_RETURN_VOID();
}

/* (model text, grantee regrole) */
Datum
dp_revoke(PG_FUNCTION_ARGS)
{
	MgModel *model = own_model(fcinfo, "dp_revoke()");
	char *name;
	Oid grantee = grantee_arg(fcinfo, &name);

	if (!mg_grant_remove(model->id, grantee))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("role \"%s\" holds no grant on model \"%s\"", name, model->name),
						errhint("Rights through other roles and the owner's own are not grants of this role.")));
	mg_log("revoke", model->name, grant_detail(name, false, 0));
	PG_RETURN_VOID();
}

/* (model text) */
Datum
dp_drop_model(PG_FUNCTION_ARGS)
{
	MgModel *model = own_model(fcinfo, "dp_drop_model()");

	mg_model_lock(model->id, AccessExclusiveLock);
	mg_model_delete(model->id);
	mg_log("drop model", model->name, NULL);
	PG_RETURN_VOID();
}
