/*
 * emit/foreign.c: planning and running scans of foreign tables; see foreign.h.
 *
 * Rows are those of dp_synthesize with the same model, number, conditions and seed for the same recipient, made as they
 * are asked for: nothing is stored, LIMIT ends the work, columns that nobody reads are not made, and a scan that reads
 * none (count(*)) draws nothing. Usable clauses (where.h) let a scan pass over rows; it still judges all clauses on all
 * rows that it returns.
 *
 * Rights: SELECT on the foreign table is the executor's; the model's own are asked for as the user that the scan runs
 * as, a view's owner where it is read through one. The recipient is the session's user in any case. Opening and
 * recording run as that user, everything else (domains, casts) as whoever runs the query.
 *
 * The release begins with the first row that is asked for, so EXPLAIN, a node that is never reached and an EvalPlanQual
 * recheck record nothing. Rescans show the same rows without a second record.
 *
 * fdw_exprs: the usable clauses; fdw_private: the attributes that are read, the attributes of these clauses, and the
 * planner's number of rows as a text.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "emit/emit.h"
#include "emit/foreign.h"
#include "emit/scan.h"
#include "emit/where.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "parser/parsetree.h"
#include "pg/compat.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/selfuncs.h"

#define UNKNOWN_ROWS 1000.0
/* Recording takes a background worker's transaction: the price of a few hundred rows. */
#define STARTUP_COST 10.0
/* Of a column's code, which every row draws before it is known whether it will be passed over: some 10 ns. */
#define CODE_COST (cpu_operator_cost * 0.1)

/* ---------------------------------------------------------------- opening */

MgRelease *
mg_foreign_open(const MgForeignOptions *options, Oid role, TupleDesc shape, bool peek)
{
	NullableDatum args[MG_RELEASE_ARGS];
	MgIdentity identity;
	MgRelease *release;

	for (int i = 0; i < MG_RELEASE_ARGS; i++)
		args[i] = (NullableDatum){.isnull = true};
	args[MG_ARG_MODEL].isnull = args[MG_ARG_SEED].isnull = false;
	args[MG_ARG_MODEL].value = CStringGetTextDatum(options->model);
	args[MG_ARG_N].isnull = !options->has_rows;
	args[MG_ARG_N].value = Int64GetDatum(options->rows);
	args[MG_ARG_CONDITIONS].isnull = options->condition == NULL;
	if (options->condition != NULL)
		args[MG_ARG_CONDITIONS].value = DirectFunctionCall1(jsonb_in, CStringGetDatum(options->condition));
	args[MG_ARG_SEED].value = Int64GetDatum(options->seed);
	args[MG_ARG_PURPOSE].isnull = options->purpose == NULL;
	if (options->purpose != NULL)
		args[MG_ARG_PURPOSE].value = CStringGetTextDatum(options->purpose);
	mg_identity_enter(&identity, role);
	release = peek ? mg_release_peek(args, shape) : mg_release_open_listed(args, shape);
	mg_identity_leave(&identity);
	if (release != NULL)
		mg_release_set_path(release, "foreign");
	return release;
}

/* ---------------------------------------------------------------- planning */

typedef struct ScanPlan
{
	List *usable; /* of RestrictInfo */
	List *attnos; /* of them, their attributes */
	double rows;  /* of the table */
	double share; /* of them that is not passed over, as far as it is known */
	int codes;    /* learnt columns of the model */
} ScanPlan;

/* Where `parent` security barriers let a clause be run early, and it can be judged by one column. */
static void
choose_clauses(RelOptInfo *rel, ScanPlan *plan)
{
	ListCell *cell;

	foreach (cell, rel->baserestrictinfo)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, cell);
		AttrNumber attnum = 0;

		if (rinfo->pseudoconstant || !restriction_is_securely_promotable(rinfo, rel) ||
			!mg_where_usable(rel->relid, (Node *) rinfo->clause, &attnum))
			continue;
		plan->usable = lappend(plan->usable, rinfo);
		plan->attnos = lappend_int(plan->attnos, attnum);
	}
}

/* The clauses of the list that are on attribute `attnum`. */
static List *
clauses_on(List *clauses, List *attnos, int attnum)
{
	List *out = NIL;
	ListCell *clause, *on;

	forboth (clause, clauses, on, attnos)
		if (lfirst_int(on) == attnum)
			out = lappend(out, lfirst(clause));
	return out;
}

static bool
has_param(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return IsA(node, Param) || expression_tree_walker(node, has_param, context);
}

/* The clauses with what is known while planning put in; NIL: not all of it is known. */
static List *
known_clauses(PlannerInfo *root, Index relid, List *rinfos)
{
	List *out = NIL;
	ListCell *cell;

	foreach (cell, rinfos)
	{
		Node *clause = estimate_expression_value(root, (Node *) lfirst_node(RestrictInfo, cell)->clause);
		AttrNumber attnum = 0;

		if (has_param(clause, NULL) || !mg_where_usable(relid, clause, &attnum))
			return NIL;
		out = lappend(out, clause);
	}
	return out;
}

/* Of the clauses on one attribute no use can be made after all: the model's column is not what it shows. */
static void
forget_clauses(ScanPlan *plan, int attnum)
{
	MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(plan));
	List *usable = NIL, *attnos = NIL;
	ListCell *clause, *on;

	forboth (clause, plan->usable, on, plan->attnos)
		if (lfirst_int(on) != attnum)
		{
			usable = lappend(usable, lfirst(clause));
			attnos = lappend_int(attnos, lfirst_int(on));
		}
	plan->usable = usable;
	plan->attnos = attnos;
	MemoryContextSwitchTo(old);
}

/* Attributes that the scan has to make, as integers: those of expressions that may be evaluated on its rows. */
static List *
attributes_read(RelOptInfo *rel, Oid relid, List *clauses)
{
	Bitmapset *attrs = NULL;
	List *out = NIL;
	bool whole;
	Relation relation = table_open(relid, NoLock);
	TupleDesc desc = RelationGetDescr(relation);

	pull_varattnos((Node *) rel->reltarget->exprs, rel->relid, &attrs);
	pull_varattnos((Node *) clauses, rel->relid, &attrs);
	whole = bms_is_member(InvalidAttrNumber - FirstLowInvalidHeapAttributeNumber, attrs);
	for (int i = 1; i <= desc->natts; i++)
		if (!TupleDescAttr(desc, i - 1)->attisdropped &&
			(whole || bms_is_member(i - FirstLowInvalidHeapAttributeNumber, attrs)))
			out = lappend_int(out, i);
	table_close(relation, NoLock);
	return out;
}

static TupleDesc
shape_of(Oid relid, List *attnos)
{
	Relation relation = table_open(relid, NoLock);
	int *attrs = palloc(sizeof(int) * Max(list_length(attnos), 1)), n = 0;
	TupleDesc shape;
	ListCell *cell;

	foreach (cell, attnos)
		attrs[n++] = lfirst_int(cell);
	shape = mg_foreign_shape(relid, RelationGetDescr(relation), attrs, n);
	table_close(relation, NoLock);
	return shape;
}

/* Looks at the model, where that can tell more than the options: NULL where it cannot, or the user may not. */
static MgRelease *
look_at_model(const MgForeignOptions *options, RelOptInfo *rel, Oid relid, const ScanPlan *plan)
{
	List *clauses = extract_actual_clauses(rel->baserestrictinfo, false);

	if (plan->usable == NIL && options->has_rows)
		return NULL;
	return mg_foreign_open(options, OidIsValid(rel->userid) ? rel->userid : GetUserId(),
						   shape_of(relid, attributes_read(rel, relid, clauses)), true);
}

/*
 * Selectivity of the clauses by the model's own marginals, where they can be told from them; the rest as for any other
 * table, by its statistics if there are any. Conditions on several columns are taken to be independent.
 */
static double
selectivity(PlannerInfo *root, RelOptInfo *rel, Oid relid, MgRelease *release, ScanPlan *plan)
{
	ExprContext *econtext = CreateStandaloneExprContext();
	List *rest = list_copy(rel->baserestrictinfo), *seen = NIL;
	ListCell *cell;

	foreach (cell, plan->attnos)
	{
		int attnum = lfirst_int(cell);
		List *rinfos = clauses_on(plan->usable, plan->attnos, attnum), *clauses;
		TupleDesc shape = shape_of(relid, list_make1_int(attnum));
		const MgColumn *column;
		mg_condition condition;

		if (list_member_int(seen, attnum))
			continue;
		seen = lappend_int(seen, attnum);
		column = mg_rows_column(mg_rows_create(release, shape, true, NULL, 0), 0);
		if (column == NULL || column->core < 0)
		{
			forget_clauses(plan, attnum);
			continue;
		}
		if ((clauses = known_clauses(root, rel->relid, rinfos)) == NIL)
			continue;
		condition = mg_where_condition(release, column, clauses, NULL, econtext);
		if (condition.nintervals > MG_CONDITION_INTERVALS)
			continue;
		plan->share *= mg_release_share(release, &condition, 1);
		rest = list_difference_ptr(rest, rinfos);
	}
	return plan->share * clauselist_selectivity(root, rest, 0, JOIN_INNER, NULL);
}

static void
get_size(PlannerInfo *root, RelOptInfo *rel, Oid relid)
{
	MgForeignOptions options = mg_foreign_options(relid);
	ScanPlan *plan = palloc0(sizeof(ScanPlan));
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_mirage estimate", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	MgRelease *release;
	double chosen;

	choose_clauses(rel, plan);
	plan->rows = options.has_rows ? (double) options.rows : UNKNOWN_ROWS;
	plan->share = 1;
	plan->codes = rel->max_attr;
	old = MemoryContextSwitchTo(context);
	release = look_at_model(&options, rel, relid, plan);
	if (release == NULL)
		chosen = clauselist_selectivity(root, rel->baserestrictinfo, 0, JOIN_INNER, NULL);
	else
	{
		plan->rows = (double) mg_release_rows(release);
		plan->codes = (int) mg_release_model(release)->ncolumns;
		chosen = selectivity(root, rel, relid, release, plan);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	rel->tuples = plan->rows;
	rel->rows = clamp_row_est(plan->rows * chosen);
	rel->fdw_private = plan;
}

static void
get_paths(PlannerInfo *root, RelOptInfo *rel, Oid relid)
{
	ScanPlan *plan = rel->fdw_private;
	List *clauses = extract_actual_clauses(rel->baserestrictinfo, false);
	int read = list_length(attributes_read(rel, relid, clauses));
	Cost startup = STARTUP_COST + rel->baserestrictcost.startup, run;

	run = plan->rows * (read > 0 ? plan->codes * CODE_COST : 0);
	run += plan->rows * plan->share * (cpu_tuple_cost + read * cpu_operator_cost + rel->baserestrictcost.per_tuple);
	run += rel->rows * rel->reltarget->cost.per_tuple;
	add_path(rel, (Path *) mg_foreignscan_path(root, rel, rel->rows, startup + rel->reltarget->cost.startup,
											   startup + rel->reltarget->cost.startup + run, rel->lateral_relids));
}

static ForeignScan *
get_plan(PlannerInfo *root, RelOptInfo *rel, Oid relid, ForeignPath *path, List *tlist, List *clauses, Plan *outer)
{
	ScanPlan *plan = rel->fdw_private;
	List *usable = extract_actual_clauses(plan->usable, false);

	clauses = extract_actual_clauses(clauses, false);
	return make_foreignscan(tlist, clauses, rel->relid, usable,
							list_make3(attributes_read(rel, relid, clauses), plan->attnos,
									   makeString(psprintf("%.0f", plan->rows))),
							NIL, NIL, outer);
}

/* ---------------------------------------------------------------- execution */

typedef struct ForeignRows
{
	MgForeignOptions options;
	Oid role;
	int nattrs;
	int *attrs; /* [nattrs] that are read, from 1 */
	Datum *values;
	bool *nulls;
	Bitmapset *params;     /* numbers of the PARAM_EXEC parameters that clauses compare with */
	MemoryContext context; /* of the release */
	MemoryContext where;   /* of what rows are passed over by; reset where parameters changed */
	MgRelease *release;
	MgRows *rows; /* NULL: not begun */
} ForeignRows;

/* The user that the scan's rights are those of. */
static Oid
scan_user(ForeignScanState *node)
{
	Oid role = mg_foreignscan_user((ForeignScan *) node->ss.ps.plan, node->ss.ps.state);

	return OidIsValid(role) ? role : GetUserId();
}

static void
begin_scan(ForeignScanState *node, int eflags)
{
	ForeignScan *scan = (ForeignScan *) node->ss.ps.plan;
	ForeignRows *s = palloc0(sizeof(ForeignRows));
	List *attnos = linitial(scan->fdw_private);
	ListCell *cell;

	s->options = mg_foreign_options(RelationGetRelid(node->ss.ss_currentRelation));
	s->role = scan_user(node);
	s->attrs = palloc(sizeof(int) * Max(list_length(attnos), 1));
	s->values = palloc(sizeof(Datum) * Max(list_length(attnos), 1));
	s->nulls = palloc(sizeof(bool) * Max(list_length(attnos), 1));
	foreach (cell, attnos)
		s->attrs[s->nattrs++] = lfirst_int(cell);
	mg_exec_params((Node *) scan->fdw_exprs, &s->params);
	s->context = AllocSetContextCreate(node->ss.ps.state->es_query_cxt, "pg_mirage release", ALLOCSET_DEFAULT_SIZES);
	s->where = AllocSetContextCreate(s->context, "pg_mirage where", ALLOCSET_DEFAULT_SIZES);
	node->fdw_state = s;
}

/* The clauses, with the parameters as they are, become what rows are passed over by. */
static void
set_where(ForeignScanState *node)
{
	ForeignRows *s = node->fdw_state;
	ForeignScan *scan = (ForeignScan *) node->ss.ps.plan;
	List *attnos = lsecond(scan->fdw_private);
	MemoryContext old;
	ExprContext *econtext;
	mg_condition *where;
	uint32 n = 0;

	MemoryContextReset(s->where);
	old = MemoryContextSwitchTo(s->where);
	econtext = CreateExprContext(node->ss.ps.state);
	where = palloc(sizeof(mg_condition) * Max(s->nattrs, 1));
	for (int i = 0; i < s->nattrs; i++)
	{
		const MgColumn *column = mg_rows_column(s->rows, i);
		List *clauses = clauses_on(scan->fdw_exprs, attnos, s->attrs[i]);

		if (clauses != NIL && column != NULL && column->core >= 0)
			where[n++] = mg_where_condition(s->release, column, clauses, &node->ss.ps, econtext);
	}
	MemoryContextSwitchTo(old);
	mg_release_where(s->release, where, n);
	FreeExprContext(econtext, true);
}

static void
begin_rows(ForeignScanState *node)
{
	ForeignRows *s = node->fdw_state;
	Relation relation = node->ss.ss_currentRelation;
	MemoryContext old = MemoryContextSwitchTo(s->context);
	TupleDesc shape = mg_foreign_shape(RelationGetRelid(relation), RelationGetDescr(relation), s->attrs, s->nattrs);
	MgIdentity identity;

	s->release = mg_foreign_open(&s->options, s->role, shape, false);
	s->rows = mg_rows_create(s->release, shape, true, NULL, 0);
	set_where(node);
	mg_identity_enter(&identity, s->role);
	mg_rows_begin(s->rows);
	mg_identity_leave(&identity);
	MemoryContextSwitchTo(old);
}

static TupleTableSlot *
next_row(ForeignScanState *node)
{
	ForeignRows *s = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;

	if (s->rows == NULL)
		begin_rows(node);
	ExecClearTuple(slot);
	if (!mg_rows_fill(s->rows, s->values, s->nulls))
		return slot;
	memset(slot->tts_isnull, true, slot->tts_tupleDescriptor->natts * sizeof(bool));
	for (int i = 0; i < s->nattrs; i++)
	{
		slot->tts_values[s->attrs[i] - 1] = s->values[i];
		slot->tts_isnull[s->attrs[i] - 1] = s->nulls[i];
	}
	return ExecStoreVirtualTuple(slot);
}

static void
rescan(ForeignScanState *node)
{
	ForeignRows *s = node->fdw_state;

	if (s->rows == NULL)
		return;
	if (bms_overlap(node->ss.ps.chgParam, s->params))
		set_where(node);
	mg_rows_rewind(s->rows);
}

static void
end_scan(ForeignScanState *node)
{
	ForeignRows *s = node->fdw_state;

	if (s != NULL)
		MemoryContextDelete(s->context);
}

/* ---------------------------------------------------------------- EXPLAIN */

static void
explain_columns(ForeignScanState *node, const ForeignRows *s, ExplainState *es)
{
	TupleDesc desc = RelationGetDescr(node->ss.ss_currentRelation);
	List *names = NIL;

	for (int i = 0; i < s->nattrs; i++)
		names = lappend(names, (char *) quote_identifier(NameStr(TupleDescAttr(desc, s->attrs[i] - 1)->attname)));
	if (names != NIL)
		ExplainPropertyList("Columns Made", names, es);
}

static void
explain_clauses(ForeignScanState *node, ExplainState *es)
{
	ForeignScan *scan = (ForeignScan *) node->ss.ps.plan;
	List *context;

	if (scan->fdw_exprs == NIL)
		return;
	context = set_deparse_context_plan(es->deparse_cxt, node->ss.ps.plan, NIL);
	ExplainPropertyText("Skips Rows Without",
						deparse_expression((Node *) make_ands_explicit(copyObject(scan->fdw_exprs)), context,
										   list_length(es->rtable) > 1 || es->verbose, false),
						es);
}

static void
explain_scan(ForeignScanState *node, ExplainState *es)
{
	ForeignScan *scan = (ForeignScan *) node->ss.ps.plan;
	ForeignRows *s = node->fdw_state;

	ExplainPropertyText("Model", s->options.model, es);
	ExplainPropertyText("Model Rows", strVal(lthird(scan->fdw_private)), es);
	ExplainPropertyInteger("Seed", NULL, s->options.seed, es);
	if (s->options.condition != NULL)
		ExplainPropertyText("Condition", s->options.condition, es);
	explain_columns(node, s, es);
	explain_clauses(node, es);
	if (es->analyze && s->rows != NULL && scan->fdw_exprs != NIL)
	{
		MgSkipped skipped = mg_release_skipped(s->release);

		ExplainPropertyInteger("Rows Skipped", NULL, skipped.rows, es);
		ExplainPropertyText("Blocks Skipped",
							psprintf(INT64_FORMAT " of " INT64_FORMAT, skipped.blocks, skipped.of_blocks), es);
	}
}

/* ---------------------------------------------------------------- the routine */

FdwRoutine *
mg_foreign_routine(void)
{
	FdwRoutine *r = makeNode(FdwRoutine);

	r->GetForeignRelSize = get_size;
	r->GetForeignPaths = get_paths;
	r->GetForeignPlan = get_plan;
	r->BeginForeignScan = begin_scan;
	r->IterateForeignScan = next_row;
	r->ReScanForeignScan = rescan;
	r->EndForeignScan = end_scan;
	r->ExplainForeignScan = explain_scan;
	r->AnalyzeForeignTable = mg_foreign_analyze;
	r->ImportForeignSchema = mg_foreign_import;
	return r;
}
