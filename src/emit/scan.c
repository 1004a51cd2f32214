/*
 * emit/scan.c: a scan node that streams the rows of dp_synthesize and dp_synthesize_as in FROM.
 *
 * The executor materialises whatever a function in FROM returns, all columns of it, before the first row is used. This
 * node takes the function scan's place where nothing else depends on it: rows are made when they are asked for, only in
 * the columns that the query reads, and LIMIT ends the work; nothing is written to temporary files. The rows are those
 * that the function would have made, since a column's values do not depend on which others are wanted.
 *
 * The node is planned like a join that was pushed down (scanrelid 0): its tuples hold just the needed attributes,
 * listed in custom_scan_tlist. The planner falls back to the function scan for whole-row references, which UPDATE,
 * DELETE and row locks need too (so that no EvalPlanQual recheck ever comes here), WITH ORDINALITY, ROWS FROM of
 * several functions, subplans among the arguments, members of an inheritance tree, and results that are no row type.
 *
 * Where a hash of the rows is asked for, or may be, all columns are made: it is a hash of what the function returns.
 *
 * As with a function scan, rescans show the same rows, without a second record, unless a parameter of the arguments
 * changed.
 *
 * custom_exprs: the call itself. custom_private: attribute numbers of the tuple's columns; then names, types, typmods
 * and collations of the column definition list, all NIL for a typed call.
 */
#include "postgres.h"

#include "catalog/objectaccess.h"
#include "emit/emit.h"
#include "emit/scan.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/extensible.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "parser/parsetree.h"
#include "pg/compat.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define SCAN_NAME "pg_mirage rows"

static PGFunction support_function, record_function, typed_function;
static set_rel_pathlist_hook_type previous_hook;

static Node *create_state(CustomScan *scan);

static const CustomScanMethods scan_methods = {.CustomName = SCAN_NAME, .CreateCustomScanState = create_state};

/* ---------------------------------------------------------------- planning */

static PGFunction
code_of(Oid function)
{
	FmgrInfo info;

	fmgr_info(function, &info);
	return info.fn_addr;
}

/* Is it a call of ours? The support function is looked at first, so that no other library is loaded to find out. */
static bool
is_ours(const FuncExpr *call, bool *typed)
{
	Oid support = get_func_support(call->funcid);
	PGFunction code;

	if (!OidIsValid(support) || code_of(support) != support_function)
		return false;
	code = code_of(call->funcid);
	*typed = code == typed_function;
	return *typed || code == record_function;
}

/* The call, where this node can take the place of its function scan; else NULL. */
static FuncExpr *
streamable_call(RelOptInfo *rel, RangeTblEntry *rte)
{
	RangeTblFunction *function;
	FuncExpr *call;
	TupleDesc desc;
	Bitmapset *attrs = NULL;
	ListCell *cell;
	bool typed;

	if (rte->rtekind != RTE_FUNCTION || rte->funcordinality || list_length(rte->functions) != 1 ||
		rel->reloptkind != RELOPT_BASEREL)
		return NULL;
	function = linitial(rte->functions);
	call = (FuncExpr *) function->funcexpr;
	if (!IsA(call, FuncExpr) || !call->funcretset || !is_ours(call, &typed) || contain_subplans((Node *) call))
		return NULL;
	if (typed ? get_expr_result_type((Node *) call, NULL, &desc) != TYPEFUNC_COMPOSITE : function->funccolnames == NIL)
		return NULL;
	pull_varattnos((Node *) rel->reltarget->exprs, rel->relid, &attrs);
	foreach (cell, rel->baserestrictinfo)
		pull_varattnos((Node *) lfirst_node(RestrictInfo, cell)->clause, rel->relid, &attrs);
	return bms_is_member(InvalidAttrNumber - FirstLowInvalidHeapAttributeNumber, attrs) ? NULL : call;
}

/* The Vars of `rel` in an expression list, one an attribute. */
static List *
needed_vars(Index relid, List *exprs)
{
	List *vars =
		pull_var_clause((Node *) exprs, PVC_RECURSE_AGGREGATES | PVC_RECURSE_WINDOWFUNCS | PVC_RECURSE_PLACEHOLDERS);
	List *needed = NIL;
	Bitmapset *seen = NULL;
	ListCell *cell;

	foreach (cell, vars)
	{
		Var *var = lfirst_node(Var, cell);

		if ((int) var->varno != (int) relid || bms_is_member(var->varattno, seen))
			continue;
		Assert(var->varattno > 0); /* streamable_call */
		seen = bms_add_member(seen, var->varattno);
		needed = lappend(needed, var);
	}
	return needed;
}

/* Is a hash of the rows asked for, or may it be? */
static bool
may_hash(const FuncExpr *call)
{
	const Const *hash = llast(call->args);

	return !IsA(hash, Const) || (!hash->constisnull && DatumGetBool(hash->constvalue));
}

/* Vars of all attributes of the function's result, whether the query needs them or not. */
static List *
all_vars(Index relid, const RangeTblFunction *function)
{
	TupleDesc desc;
	List *vars = NIL;

	if (function->funccolnames != NIL)
		desc = BuildDescFromLists(function->funccolnames, function->funccoltypes, function->funccoltypmods,
								  function->funccolcollations);
	else if (get_expr_result_type(function->funcexpr, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "the result of a release is not a row any more");
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped)
			vars = lappend(vars, makeVar((int) relid, (AttrNumber) (i + 1), att->atttypid, att->atttypmod,
										 att->attcollation, 0));
	}
	return vars;
}

static Plan *
plan_scan(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *tlist, List *clauses, List *children)
{
	CustomScan *scan = makeNode(CustomScan);
	RangeTblFunction *function = linitial(planner_rt_fetch(rel->relid, root)->functions);
	List *quals = extract_actual_clauses(clauses, false), *attnos = NIL, *vars;
	ListCell *cell;

	if (may_hash((FuncExpr *) function->funcexpr))
		vars = all_vars(rel->relid, function);
	else
		vars = needed_vars(rel->relid, list_make2(rel->reltarget->exprs, quals));

	/* not of tlist: the planner may put another one, of the same Vars, in its place later */
	foreach (cell, vars)
	{
		Var *var = lfirst_node(Var, cell);

		attnos = lappend_int(attnos, var->varattno);
		scan->custom_scan_tlist =
			lappend(scan->custom_scan_tlist,
					makeTargetEntry((Expr *) copyObject(var), (AttrNumber) list_length(attnos), NULL, false));
	}
	scan->scan.plan.targetlist = tlist;
	scan->scan.plan.qual = quals;
	scan->scan.scanrelid = 0;
	scan->flags = path->flags;
	scan->custom_exprs = list_make1(copyObject(function->funcexpr));
	scan->custom_private = list_make5(attnos, copyObject(function->funccolnames), copyObject(function->funccoltypes),
									  copyObject(function->funccoltypmods), copyObject(function->funccolcollations));
	scan->methods = &scan_methods;
	return &scan->scan.plan;
}

static const CustomPathMethods path_methods = {.CustomName = SCAN_NAME, .PlanCustomPath = plan_scan};

/* Beside the function scan's path goes ours, cheaper: it makes the same rows and stores none of them. */
static void
add_scan_path(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	CustomPath *path;
	Path *function = NULL;
	ListCell *cell;

	if (previous_hook != NULL)
		previous_hook(root, rel, rti, rte);
	if (rte->rtekind != RTE_FUNCTION || streamable_call(rel, rte) == NULL)
		return;
	foreach (cell, rel->pathlist)
		if (((Path *) lfirst(cell))->pathtype == T_FunctionScan)
			function = lfirst(cell);
	if (function == NULL)
		return;
	path = makeNode(CustomPath);
	path->path.pathtype = T_CustomScan;
	path->path.parent = rel;
	path->path.pathtarget = rel->reltarget;
	path->path.param_info = function->param_info;
	path->path.rows = function->rows;
	path->path.startup_cost = function->startup_cost * 0.5;
	path->path.total_cost = function->total_cost * 0.5;
	/* not backwards: under a scrollable cursor the planner puts a Material node above */
	path->flags = MG_CUSTOMPATH_PROJECTS;
	path->methods = &path_methods;
	add_path(rel, &path->path);
}

/* ---------------------------------------------------------------- execution */

typedef struct RowsScan
{
	CustomScanState css;
	FuncExpr *call;
	bool typed;
	List *args;        /* of ExprState */
	Bitmapset *params; /* numbers of the PARAM_EXEC parameters in them */
	TupleDesc shape;   /* all attributes of the function's result */
	int nattrs;
	int *attrs;            /* those of the scan tuple */
	MemoryContext context; /* of the release; reset where it begins anew */
	MgRows *rows;          /* NULL: not begun */
} RowsScan;

bool
mg_exec_params(Node *node, Bitmapset **params)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXEC)
		*params = bms_add_member(*params, ((Param *) node)->paramid);
	return expression_tree_walker(node, mg_exec_params, params);
}

/* As the executor does for a function scan. */
static void
check_execute(Oid function)
{
	AclResult result = mg_proc_aclcheck(function, GetUserId());

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_FUNCTION, get_func_name(function));
	InvokeFunctionExecuteHook(function);
}

/* All attributes of the function's result: those of the definition list, or of the type. */
static TupleDesc
result_shape(const RowsScan *s, const List *private)
{
	TupleDesc desc;

	if (!s->typed)
		return BuildDescFromLists(list_nth(private, 1), list_nth(private, 2), list_nth(private, 3),
								  list_nth(private, 4));
	if (get_expr_result_type((Node *) s->call, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "the result of a release is not a row any more");
	return CreateTupleDescCopy(desc);
}

/* The attributes of the scan tuple; they must still be what the plan was made for. */
static void
set_attributes(RowsScan *s, const List *attnos)
{
	TupleDesc tuple = s->css.ss.ss_ScanTupleSlot->tts_tupleDescriptor;
	ListCell *cell;

	s->attrs = palloc0(sizeof(int) * Max(list_length(attnos), 1));
	foreach (cell, attnos)
	{
		int attnum = lfirst_int(cell);

		if (attnum > s->shape->natts || TupleDescAttr(s->shape, attnum - 1)->attisdropped ||
			TupleDescAttr(s->shape, attnum - 1)->atttypid != TupleDescAttr(tuple, s->nattrs)->atttypid)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("type %s was altered after the query was planned", format_type_be(s->shape->tdtypeid))));
		s->attrs[s->nattrs++] = attnum;
	}
}

static void
begin_scan(CustomScanState *css, EState *estate, int eflags)
{
	RowsScan *s = (RowsScan *) css;
	CustomScan *scan = (CustomScan *) css->ss.ps.plan;

	s->call = linitial_node(FuncExpr, scan->custom_exprs);
	s->typed = code_of(s->call->funcid) == typed_function;
	check_execute(s->call->funcid);
	s->args = ExecInitExprList(s->call->args, &css->ss.ps);
	mg_exec_params((Node *) s->call->args, &s->params);
	s->shape = result_shape(s, scan->custom_private);
	set_attributes(s, linitial(scan->custom_private));
	s->context = AllocSetContextCreate(estate->es_query_cxt, "pg_mirage release", ALLOCSET_DEFAULT_SIZES);
}

/* Evaluates the arguments and opens the release; all that it holds is in s->context. */
static void
begin_rows(RowsScan *s)
{
	ExprContext *econtext = s->css.ss.ps.ps_ExprContext;
	NullableDatum args[MG_RELEASE_ARGS];
	int skip = s->typed ? 1 : 0; /* base, of which only the type counts */
	MemoryContext old;
	MgRows *rows;

	for (int i = 0; i < MG_RELEASE_ARGS; i++)
		args[i].value = ExecEvalExprSwitchContext(list_nth(s->args, skip + i), econtext, &args[i].isnull);
	old = MemoryContextSwitchTo(s->context);
	rows = mg_rows_create(mg_release_open_listed(args, s->typed ? NULL : s->shape), s->shape, !s->typed, s->attrs,
						  s->nattrs);
	mg_rows_begin(rows);
	MemoryContextSwitchTo(old);
	s->rows = rows;
}

static TupleTableSlot *
next_row(ScanState *ss)
{
	RowsScan *s = (RowsScan *) ss;
	TupleTableSlot *slot = ss->ss_ScanTupleSlot;

	if (s->rows == NULL)
		begin_rows(s);
	ExecClearTuple(slot);
	if (mg_rows_fill(s->rows, slot->tts_values, slot->tts_isnull))
		ExecStoreVirtualTuple(slot);
	return slot;
}

/* Nothing was pushed down that would have to be checked again. */
static bool
recheck_row(ScanState *ss, TupleTableSlot *slot)
{
	return true;
}

static TupleTableSlot *
exec_scan(CustomScanState *css)
{
	return ExecScan(&css->ss, next_row, recheck_row);
}

static void
end_scan(CustomScanState *css)
{
	RowsScan *s = (RowsScan *) css;

	MemoryContextDelete(s->context);
}

static void
rescan(CustomScanState *css)
{
	RowsScan *s = (RowsScan *) css;

	ExecScanReScan(&css->ss);
	if (s->rows == NULL)
		return;
	if (bms_overlap(css->ss.ps.chgParam, s->params))
	{
		s->rows = NULL;
		MemoryContextReset(s->context);
	}
	else
		mg_rows_rewind(s->rows);
}

static void
explain_scan(CustomScanState *css, List *ancestors, ExplainState *es)
{
	ExplainPropertyText("Function", get_func_name(((RowsScan *) css)->call->funcid), es);
}

static const CustomExecMethods exec_methods = {.CustomName = SCAN_NAME,
											   .BeginCustomScan = begin_scan,
											   .ExecCustomScan = exec_scan,
											   .EndCustomScan = end_scan,
											   .ReScanCustomScan = rescan,
											   .ExplainCustomScan = explain_scan};

static Node *
create_state(CustomScan *scan)
{
	RowsScan *s = palloc0(sizeof(RowsScan));

	NodeSetTag(s, T_CustomScanState);
	s->css.methods = &exec_methods;
	return (Node *) s;
}

void
mg_scan_install(PGFunction support, PGFunction record, PGFunction typed)
{
	support_function = support;
	record_function = record;
	typed_function = typed;
	RegisterCustomScanMethods(&scan_methods);
	previous_hook = set_rel_pathlist_hook;
	set_rel_pathlist_hook = add_scan_path;
}
