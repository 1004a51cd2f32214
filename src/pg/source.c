/*
 * pg/source.c: what may be trained on (DESIGN section 4): relations where one row of the protected base gives at most
 * one row to read, by expressions that cannot tell rows apart by failing.
 *
 * A plain table without row security needs no look. Otherwise the query that the reading will run is analysed and
 * rewritten by the server itself (which expands views and adds the current user's policies), and the resulting tree
 * is checked level by level: one relation or one subquery in FROM, nothing that joins, groups, multiplies, cuts or
 * looks elsewhere, and expressions that are immutable and leakproof. The check is a list of what is allowed, not of
 * what is not.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "pg/compat.h"
#include "pg/reader.h"
#include "pg/server.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"
#include "utils/rls.h"

/* ---------------------------------------------------------------- relations */

static void
refuse_relation(Oid relid, const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("%s is %s", mg_relation_name(relid), what),
					errhint("Rows can be learnt from tables, partitioned tables, foreign tables and simple views.")));
}

/* Refuses what is not a user's relation with rows of its own (or a view, where allowed). */
static void
require_source(Oid relid)
{
	char relkind = get_rel_relkind(relid);
	Oid schema = get_rel_namespace(relid);
	char *schema_name = OidIsValid(schema) ? get_namespace_name(schema) : NULL;

	if (relkind == '\0' || schema_name == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", relid)));
	if (schema == PG_CATALOG_NAMESPACE || relid < FirstNormalObjectId)
		refuse_relation(relid, "a system catalog");
	if (schema == PG_TOAST_NAMESPACE)
		refuse_relation(relid, "a TOAST table");
	if (strcmp(schema_name, "mirage") == 0)
		refuse_relation(relid, "one of the extension's own relations");
	switch (relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
		case RELKIND_FOREIGN_TABLE:
		case RELKIND_VIEW:
			return;
		case RELKIND_MATVIEW:
			refuse_relation(relid, "a materialized view");
			break;
		case RELKIND_SEQUENCE:
			refuse_relation(relid, "a sequence");
			break;
		case RELKIND_INDEX:
		case RELKIND_PARTITIONED_INDEX:
			refuse_relation(relid, "an index");
			break;
		case RELKIND_COMPOSITE_TYPE:
			refuse_relation(relid, "a composite type");
			break;
		default:
			refuse_relation(relid, "not a table or view");
			break;
	}
}

/* ---------------------------------------------------------------- the strict check */

static void
refuse(Oid relid, const char *construct)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s cannot be learnt from: its %s %s", mg_relation_name(relid),
					get_rel_relkind(relid) == RELKIND_VIEW ? "definition" : "row security", construct),
			 errdetail("Each protected row must yield at most one row, by immutable and leakproof expressions alone."),
			 errhint("Learn from the underlying table, or let a mirage_admin protect it with assert_stable => true.")));
}

static bool
returns_set(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if ((IsA(node, FuncExpr) && ((FuncExpr *) node)->funcretset) || (IsA(node, OpExpr) && ((OpExpr *) node)->opretset))
		return true;
	return expression_tree_walker(node, returns_set, context);
}

static bool
has_sublink(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubLink))
		return true;
	return expression_tree_walker(node, has_sublink, context);
}

static void
check_expression(Oid relid, Node *expr)
{
	if (has_sublink(expr, NULL))
		refuse(relid, "has a sub-select");
	if (returns_set(expr, NULL))
		refuse(relid, "has a set-returning function");
	if (contain_mutable_functions(expr))
		refuse(relid, "has an expression that is not immutable");
	if (contain_leaked_vars(expr))
		refuse(relid, "has an expression that is not leakproof");
}

static void
check_level(Oid relid, const Query *query)
{
	if (query->commandType != CMD_SELECT || query->hasModifyingCTE)
		refuse(relid, "is more than a SELECT");
	if (query->cteList != NIL || query->hasRecursive)
		refuse(relid, "has a WITH clause");
	if (query->setOperations != NULL)
		refuse(relid, "has a set operation");
	if (query->hasAggs || query->groupClause != NIL || query->groupingSets != NIL || query->havingQual != NULL)
		refuse(relid, "has an aggregate or GROUP BY");
	if (query->hasWindowFuncs || query->windowClause != NIL)
		refuse(relid, "has a window function");
	if (query->distinctClause != NIL || query->hasDistinctOn)
		refuse(relid, "has DISTINCT");
	if (query->limitCount != NULL || query->limitOffset != NULL)
		refuse(relid, "has LIMIT or OFFSET");
	if (query->hasTargetSRFs)
		refuse(relid, "has a set-returning function");
	if (query->rowMarks != NIL || query->hasForUpdate)
		refuse(relid, "locks rows");
}

/* Checks one level and what is under it; returns the base relation. `of`: the relation to name in errors. */
static Oid
check_query(Oid of, const Query *query)
{
	RangeTblEntry *rte;
	ListCell *cell;
	Node *from;

	check_stack_depth();
	check_level(of, query);
	if (query->jointree == NULL || list_length(query->jointree->fromlist) != 1)
		refuse(of,
			   list_length(query->jointree ? query->jointree->fromlist : NIL) > 1 ? "has a join" : "reads no relation");
	from = linitial(query->jointree->fromlist);
	if (!IsA(from, RangeTblRef))
		refuse(of, "has a join");
	check_expression(of, query->jointree->quals);
	foreach (cell, query->targetList)
		check_expression(of, (Node *) ((TargetEntry *) lfirst(cell))->expr);
	rte = list_nth_node(RangeTblEntry, query->rtable, ((RangeTblRef *) from)->rtindex - 1);
	foreach (cell, rte->securityQuals)
		check_expression(of, lfirst(cell));
	if (rte->rtekind == RTE_SUBQUERY)
		return check_query(of, rte->subquery);
	if (rte->rtekind != RTE_RELATION)
		refuse(of, "reads something other than a relation");
	if (rte->tablesample != NULL)
		refuse(of, "has TABLESAMPLE");
	require_source(rte->relid);
	return rte->relid;
}

/* ---------------------------------------------------------------- the search alone */

/* All base relations below a node; policies' own look-ups do not count. */
static bool
collect_bases(Node *node, List **bases)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query *query = (Query *) node;
		ListCell *cell;

		foreach (cell, query->rtable)
		{
			RangeTblEntry *rte = lfirst(cell);

			/* a view's own entry is a placeholder (OLD, NEW) beside its subquery */
			if (rte->rtekind == RTE_RELATION && get_rel_relkind(rte->relid) != RELKIND_VIEW)
				*bases = list_append_unique_oid(*bases, rte->relid);
		}
		return query_tree_walker(query, collect_bases, bases, 0);
	}
	return expression_tree_walker(node, collect_bases, bases);
}

/* Policies are part of the tree; for the search they are taken out. */
static bool
drop_policies(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		ListCell *cell;

		foreach (cell, ((Query *) node)->rtable)
			((RangeTblEntry *) lfirst(cell))->securityQuals = NIL;
		return query_tree_walker((Query *) node, drop_policies, context, 0);
	}
	return expression_tree_walker(node, drop_policies, context);
}

static Oid
only_base(Oid relid, Query *query)
{
	List *bases = NIL;

	drop_policies((Node *) query, NULL);
	collect_bases((Node *) query, &bases);
	if (list_length(bases) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s reads %d relations", mg_relation_name(relid), list_length(bases)),
				 errdetail("The rows of a source must come from one relation, whose budget they are charged to.")));
	require_source(linitial_oid(bases));
	return linitial_oid(bases);
}

/* ---------------------------------------------------------------- entry */

/* SELECT columns FROM relation, as the server will run it for the current user. */
static Query *
rewritten_query(Oid relid, List *column_names)
{
	StringInfoData sql;
	List *raw, *queries;
	ListCell *cell;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	foreach (cell, column_names)
		appendStringInfo(&sql, "%ss.%s", foreach_current_index(cell) > 0 ? ", " : "", quote_identifier(lfirst(cell)));
	appendStringInfo(&sql, "%s FROM %s AS s", column_names == NIL ? "*" : "", mg_relation_name(relid));
	raw = pg_parse_query(sql.data);
	queries = mg_analyze_and_rewrite(linitial_node(RawStmt, raw), sql.data);
	if (list_length(queries) != 1)
		elog(ERROR, "a query became %d", list_length(queries));
	return linitial_node(Query, queries);
}

Oid
mg_source_base(Oid relid, List *column_names, bool assert_stable)
{
	Query *query;

	require_source(relid);
	if (get_rel_relkind(relid) != RELKIND_VIEW && check_enable_rls(relid, InvalidOid, true) != RLS_ENABLED)
		return relid;
	query = rewritten_query(relid, column_names);
	return assert_stable ? only_base(relid, query) : check_query(relid, query);
}

/*
 * Locks of a subtransaction go with its rollback; there is no other way to give back those that analysis takes.
 * Nothing is written in it, so it costs no transaction id.
 */
Oid
mg_source_base_peek(Oid relid, List *column_names, bool assert_stable)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;
	volatile Oid base = InvalidOid;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		base = mg_source_base(relid, column_names, assert_stable);
	}
	PG_CATCH();
	{
		/* the subtransaction is ours: whoever sees the error must not find itself in it */
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error != NULL)
		ReThrowError(error);
	return base;
}

/* Direct parents of an inheritance child or partition. */
static List *
parents_of(Oid relid)
{
	Relation rel = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	List *parents = NIL;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		parents = lappend_oid(parents, ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return parents;
}

List *
mg_source_relatives(Oid relid)
{
	List *relatives = find_all_inheritors(relid, NoLock, NULL);
	List *above = list_make1_oid(relid);

	/* the list grows while it is walked */
	for (int i = 0; i < list_length(above); i++)
	{
		ListCell *cell;
		List *parents = parents_of(list_nth_oid(above, i));

		foreach (cell, parents)
			above = list_append_unique_oid(above, lfirst_oid(cell));
	}
	return list_concat_unique_oid(relatives, above);
}
