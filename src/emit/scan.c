/*
 * emit/scan.c: a scan node that streams the rows of dp_synthesize and dp_synthesize_as in FROM.
 *
 * The executor materialises whatever a function in FROM returns, all columns of it, before the first row is used. This node takes the
 * function scan's place where nothing else depends on it: rows are made when they are asked for, only in the columns that the query
 * reads, and LIMIT ends the work; nothing is written to temporary files. The rows are those that the function would have
 * made, since a column's values do not depend on which others are wanted.
 *
 * The node is planned like a join that was pushed down (scanrelid 0): its tuples hold just the needed attributes, listed in
 * custom_scan_tlist. The planner falls back to the function scan for whole-row references, which UPDATE, DELETE and row
 * locks need too (so that no EvalPlanQual recheck ever comes here), WITH ORDINALITY, ROWS FROM of several functions, subplans
 * among the arguments, members of an inheritance tree, and results that are no row type.
 *
 * As with a function scan, rescans show the same rows, without a second record, unless a parameter of the arguments changed.
 *
 * custom_exprs: the call itself. custom_private: attribute numbers of the tuple's columns; then names, types, typmods
 * and collations of the column definition list, all NIL for a typed call.
 */
#include "postgres.h"

#include "catalog/objectaccess.h"
#include "catalog/pg_proc.h"
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
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define SCAN_NAME "pg_mirage rows"

static PGFunction support_function, record_function, typed_function;
static set_rel_pathlist_hook_type previous_hook;

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
is_ours(const FuncExpr *call)
{
	Oid support = get_func_support(call->funcid);
	PGFunction code;

	if (!OidIsValid(support) || code_of(support) != support_function)
		return false;
	code = code_of(call->funcid);
	return code == record_function || code == typed_function;
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

	if (rte->rtekind != RTE_FUNCTION || rte->funcordinality || list_length(rte->functions) != 1 ||
		rel->reloptkind != RELOPT_BASEREL)
		return NULL;
	function = linitial(rte->functions);
	call = (FuncExpr *) function->funcexpr;
	if (!IsA(call, FuncExpr) || !call->funcretset || !is_ours(call) || contain_subplans((Node *) call))
		return NULL;
	if (function->funccolnames == NIL && get_expr_result_type((Node *) call, NULL, &desc) != TYPEFUNC_COMPOSITE)
		return NULL;
	if (!bms_is_empty(rel->attr_needed[InvalidAttrNumber - rel->min_attr]))
		return NULL;
	foreach (cell, rel->baserestrictinfo)
		pull_varattnos((Node *) lfirst_node(RestrictInfo, cell)->clause, rel->relid, &attrs);
	return bms_is_member(InvalidAttrNumber - FirstLowInvalidHeapAttributeNumber, attrs) ? NULL : call;
}

/* The Vars of `rel` in an expression list, one an attribute. */
static List *
needed_vars(Index relid, List *exprs)
{
	List *vars = pull_var_clause((Node *) exprs, PVC_RECURSE_AGGREGATES | PVC_RECURSE_WINDOWFUNCS | PVC_RECURSE_PLACEHOLDERS);
	List *needed = NIL;
	Bitmapset *seen = NULL;
	ListCell *cell;

	foreach (cell, vars)
	{
		Var *var = lfirst_node(Var, cell);

		if (var->varno != (int) relid || bms_is_member(var->varattno, seen))
			continue;
		if (var->varattno <= 0)
			elog(ERROR, "unexpected attribute %d of a function", var->varattno);
		seen = bms_add_member(seen, var->varattno);
		needed = lappend(needed, var);
	}
	return needed;
}

static Plan *
plan_scan(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *tlist, List *clauses, List *children)
{
	static const CustomScanMethods *methods;
	CustomScan *scan = makeNode(CustomScan);
	RangeTblFunction *function = linitial(planner_rt_fetch(rel->relid, root)->functions);
	List *quals = extract_actual_clauses(clauses, false), *attnos = NIL;
	ListCell *cell;

	methods = GetCustomScanMethods(SCAN_NAME, false);
	foreach (cell, needed_vars(rel->relid, list_make2(tlist, quals)))
	{
		Var *var = lfirst_node(Var, cell);

		attnos = lappend_int(attnos, var->varattno);
		scan->custom_scan_tlist = lappend(scan->custom_scan_tlist,
										  makeTargetEntry((Expr *) copyObject(var), (AttrNumber) list_length(attnos), NULL, false));
	}
	scan->scan.plan.targetlist = tlist;
	scan->scan.plan.qual = quals;
	scan->scan.scanrelid = 0;
	scan->flags = path->flags;
	scan->custom_exprs = list_make1(copyObject(function->funcexpr));
	scan->custom_private = list_make5(attnos, copyObject(function->funccolnames), copyObject(function->funccoltypes),
									  copyObject(function->funccoltypmods), copyObject(function->funccolcollations));
	scan->methods = methods;
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
#ifdef CUSTOMPATH_SUPPORT_PROJECTION
	path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
#endif
	path->methods = &path_methods;
	add_path(rel, &path->path);
}

/* ---------------------------------------------------------------- execution */

typedef struct RowsScan
{
	CustomScanState css;
	FuncExpr *call;
	bool typed;
	List *args;         /* of ExprState */
	Bitmapset *params;  /* PARAM_EXEC numbers among them */
	TupleDesc shape;    /* all attributes of the function's result */
	int nattrs;
	int *attrs;         /* those in the scan tuple */
	MemoryContext context; /* of the release */
	MgRows *rows;       /* NULL: not begun */
} RowsScan;

static Node *
create_state(CustomScan *scan)
{
	static const CustomExecMethods *methods;
	RowsScan *s = (RowsScan *) newNode(sizeof(RowsScan), T_CustomScanState);

	(void) methods;
	return (Node *) s;
}

static bool
collect_params(Node *node, void *params)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXEC)
		*(Bitmapset **) params = bms_add_member(*(Bitmapset **) params, ((Param *) node)->paramid);
	return expression_tree_walker(node, collect_params, params);
}

