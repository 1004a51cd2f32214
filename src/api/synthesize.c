/*
 * api/synthesize.c: rows of a model: dp_synthesize, dp_synthesize_as.
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
#include "utils/memutils.h"
#include "worker/worker.h"

MG_FUNCTION(dp_synthesize);
MG_FUNCTION(dp_synthesize_as);
MG_FUNCTION(dp_synthesize_support);

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
	bool listed = !typed && expected != NULL;
	MgRelease *release = mg_release_open_listed(fcinfo->args + (typed ? 1 : 0), listed ? expected : NULL);

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
	mg_release_set_recorder(mg_release_record, mg_release_record_rows, mg_recipient_register);
	mg_scan_install(dp_synthesize_support, dp_synthesize, dp_synthesize_as);
}
