/*
 * pg/source.c: what may be trained on: relations where one row of the protected base gives at most
 * one row to read, by expressions that cannot tell rows apart by failing.
 *
 * A plain table of which nothing is computed while it is read needs no look. Otherwise the query that the reading will
 * run is analysed and rewritten by the server itself (which expands views and adds the current user's policies), and
 * the resulting tree is checked level by level: one relation or one subquery in FROM, nothing that joins, groups,
 * multiplies, cuts or looks elsewhere, and expressions that are immutable and leakproof. The check is a list of what
 * is allowed, not of what is not.
 *
 * An administrator's assertion stands in for the check of just what it was made about. Of a table: its own policies and
 * virtual generated columns, wherever it is read. Of a view: its definition, down to the tables, as it was then; a
 * fingerprint tells. Neither covers the other, since who owns a table may write any view over it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "pg/compat.h"
#include "pg/reader.h"
#include "pg/server.h"
#include "rewrite/rewriteHandler.h"
#include "seal/seal.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/syscache.h"

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
		mg_refuse_unknown_relation(relid);
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

typedef enum Assertion
{
	ASSERTION_NONE,
	ASSERTION_VOID, /* of a view that was defined otherwise */
	ASSERTION_VALID
} Assertion;

/* One look at a source. */
typedef struct Check
{
	Oid of;              /* what errors name */
	const char *part;    /* of it: "definition", "row security", "generated column" */
	Assertion assertion; /* of the source, where it is a view */
	MgSourceLookup recorded;
	bool relied; /* some assertion stood in for a check */
} Check;

static int
hint_assertion(const Check *check)
{
	char *name = mg_relation_name(check->of);

	if (check->assertion == ASSERTION_VOID)
		return errhint("What was asserted of %s was about another definition: a mirage_admin looks at this one, and "
					   "calls dp_protect for it with assert_stable => true again.",
					   name);
	return errhint("Learn from the underlying table, or let a mirage_admin call dp_protect for %s with "
				   "assert_stable => true.",
				   name);
}

static void
refuse(const Check *check, const char *construct)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s cannot be learnt from: its %s %s", mg_relation_name(check->of), check->part, construct),
			 errdetail("Each protected row must yield at most one row, by immutable and leakproof expressions alone."),
			 hint_assertion(check)));
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
check_expression(const Check *check, Node *expr)
{
	if (has_sublink(expr, NULL))
		refuse(check, "has a sub-select");
	if (returns_set(expr, NULL))
		refuse(check, "has a set-returning function");
	if (contain_mutable_functions(expr))
		refuse(check, "has an expression that is not immutable");
	if (contain_leaked_vars(expr))
		refuse(check, "has an expression that is not leakproof");
}

static void
check_level(const Check *check, const Query *query)
{
	if (query->commandType != CMD_SELECT || query->hasModifyingCTE)
		refuse(check, "is more than a SELECT");
	if (query->cteList != NIL || query->hasRecursive)
		refuse(check, "has a WITH clause");
	if (query->setOperations != NULL)
		refuse(check, "has a set operation");
	if (query->hasAggs || query->groupClause != NIL || query->groupingSets != NIL || query->havingQual != NULL)
		refuse(check, "has an aggregate or GROUP BY");
	if (query->hasWindowFuncs || query->windowClause != NIL)
		refuse(check, "has a window function");
	if (query->distinctClause != NIL || query->hasDistinctOn)
		refuse(check, "has DISTINCT");
	if (query->limitCount != NULL || query->limitOffset != NULL)
		refuse(check, "has LIMIT or OFFSET");
	if (query->hasTargetSRFs)
		refuse(check, "has a set-returning function");
	if (query->rowMarks != NIL || query->hasForUpdate)
		refuse(check, "locks rows");
}

/*
 * Generated columns may be computed by whoever reads, since PostgreSQL 18; the planner puts their expressions in, after
 * the rewriting that is looked at here. used: of the relation's columns, offset as pull_varattnos() does; NULL: all.
 */
#define GENERATED_VIRTUAL 'v'

static bool
is_used(const Bitmapset *used, AttrNumber attnum)
{
	return used == NULL || bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber, used) ||
		   bms_is_member(InvalidAttrNumber - FirstLowInvalidHeapAttributeNumber, used);
}

/* The expressions of the virtual generated columns. */
static List *
virtual_expressions(Oid relid, const Bitmapset *used)
{
	Relation rel = relation_open(relid, AccessShareLock);
	TupleDesc desc = RelationGetDescr(rel);
	List *expressions = NIL;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && att->attgenerated == GENERATED_VIRTUAL && is_used(used, att->attnum))
			expressions = lappend(expressions, build_column_default(rel, att->attnum));
	}
	relation_close(rel, AccessShareLock);
	return expressions;
}

/* What the server computes for the table itself while it is read: policies, and generated columns. */
static void
check_table(Check *check, const RangeTblEntry *rte, const Bitmapset *used)
{
	List *generated = virtual_expressions(rte->relid, used);
	Check own = *check;
	ListCell *cell;

	if (rte->securityQuals == NIL && generated == NIL)
		return;
	if (check->recorded(rte->relid).asserted)
	{
		check->relied = true;
		return;
	}
	own.of = rte->relid;
	own.assertion = ASSERTION_NONE;
	own.part = "row security";
	foreach (cell, rte->securityQuals)
		check_expression(&own, lfirst(cell));
	own.part = "generated column";
	foreach (cell, generated)
		check_expression(&own, lfirst(cell));
}

/* The columns of the only relation of a level that has been checked: nothing in it looks further. */
static Bitmapset *
used_columns(const Query *query, Index rti)
{
	const RangeTblEntry *rte = list_nth_node(RangeTblEntry, query->rtable, (int) rti - 1);
	Bitmapset *used = NULL;
	ListCell *cell;

	pull_varattnos((Node *) query->targetList, rti, &used);
	pull_varattnos(query->jointree->quals, rti, &used);
	foreach (cell, rte->securityQuals)
	{
		/* one that is not allowed will be refused, unless it was vouched for: with all that it uses */
		if (!has_sublink(lfirst(cell), NULL))
			pull_varattnos(lfirst(cell), rti, &used);
	}
	/* NULL would mean all */
	return used != NULL ? used : bms_make_singleton(0);
}

/* Checks one level and what is under it; returns the base relation. */
static Oid
check_query(Check *check, const Query *query)
{
	RangeTblEntry *rte;
	ListCell *cell;
	Node *from;
	Index rti;

	check_stack_depth();
	check_level(check, query);
	if (query->jointree == NULL || list_length(query->jointree->fromlist) != 1)
		refuse(check,
			   list_length(query->jointree ? query->jointree->fromlist : NIL) > 1 ? "has a join" : "reads no relation");
	from = linitial(query->jointree->fromlist);
	if (!IsA(from, RangeTblRef))
		refuse(check, "has a join");
	check_expression(check, query->jointree->quals);
	foreach (cell, query->targetList)
		check_expression(check, (Node *) ((TargetEntry *) lfirst(cell))->expr);
	rti = (Index) ((RangeTblRef *) from)->rtindex;
	rte = list_nth_node(RangeTblEntry, query->rtable, (int) rti - 1);
	if (rte->rtekind == RTE_SUBQUERY)
	{
		foreach (cell, rte->securityQuals)
			check_expression(check, lfirst(cell));
		return check_query(check, rte->subquery);
	}
	if (rte->rtekind != RTE_RELATION)
		refuse(check, "reads something other than a relation");
	if (rte->tablesample != NULL)
		refuse(check, "has TABLESAMPLE");
	require_source(rte->relid);
	check_table(check, rte, used_columns(query, rti));
	return rte->relid;
}

/* Under a view that was vouched for: what its tables do by themselves was not. */
static bool
check_tables(Node *node, Check *check)
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

			if (rte->rtekind == RTE_RELATION && get_rel_relkind(rte->relid) != RELKIND_VIEW)
				check_table(check, rte, NULL);
		}
		return query_tree_walker(query, check_tables, check, 0);
	}
	return expression_tree_walker(node, check_tables, check);
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

/* Policies are part of the tree; for the search and for fingerprints they are taken out. */
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
		/* and where in which text it was written */
		((Query *) node)->stmt_location = ((Query *) node)->stmt_len = 0;
		((Query *) node)->hasRowSecurity = false;
		((Query *) node)->hasSubLinks = false; /* theirs set it, too; who walks the tree sees them anyway */
		return query_tree_walker((Query *) node, drop_policies, context, 0);
	}
	return expression_tree_walker(node, drop_policies, context);
}

/* The base relations of a query, which is no longer what the server would run afterwards. */
static List *
bases_of(Query *query)
{
	List *bases = NIL;

	drop_policies((Node *) query, NULL);
	collect_bases((Node *) query, &bases);
	return bases;
}

static Oid
only_base(const Check *check, Query *query)
{
	List *bases = bases_of(query);

	if (list_length(bases) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s reads %d relations", mg_relation_name(check->of), list_length(bases)),
				 errdetail("The rows of a source must come from one relation, whose budget they are charged to."),
				 hint_assertion(check)));
	require_source(linitial_oid(bases));
	return linitial_oid(bases);
}

/* Of a view that was vouched for: it may read others, but people of one budget only. */
static Oid
protected_base(const Check *check, Query *query)
{
	List *bases = bases_of(query);
	Oid found = InvalidOid;
	ListCell *cell;

	foreach (cell, bases)
	{
		if (!check->recorded(lfirst_oid(cell)).budgeted)
			continue;
		if (OidIsValid(found))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("%s reads several protected relations", mg_relation_name(check->of)),
					 errdetail("The rows of a source must come from one relation, whose budget they are charged to.")));
		found = lfirst_oid(cell);
	}
	if (!OidIsValid(found))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("no relation that %s reads is protected", mg_relation_name(check->of)),
						errhint("Call dp_protect for the table with the people first.")));
	require_source(found);
	return found;
}

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

/* ---------------------------------------------------------------- fingerprints */

static bool
note_function(Oid func, void *functions)
{
	if (func >= FirstNormalObjectId)
		*(List **) functions = list_append_unique_oid(*(List **) functions, func);
	return false;
}

/* The users' functions that a tree calls. */
static bool
collect_functions(Node *node, List **functions)
{
	if (node == NULL)
		return false;
	(void) check_functions_in_node(node, note_function, functions);
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, collect_functions, functions, 0);
	return expression_tree_walker(node, collect_functions, functions);
}

/* What a function does, as far as its row in the catalog says; what it calls in turn is not looked at. */
static void
append_function(StringInfo s, Oid func)
{
	static const AttrNumber texts[] = {Anum_pg_proc_prosrc, Anum_pg_proc_probin, Anum_pg_proc_prosqlbody,
									   Anum_pg_proc_proconfig};
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(func));
	Form_pg_proc form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", func);
	form = (Form_pg_proc) GETSTRUCT(tuple);
	appendStringInfo(s, "\n%u %u %c%d%d%d%d", func, form->prolang, form->provolatile, form->proleakproof,
					 form->prosecdef, form->proisstrict, form->proretset);
	for (int i = 0; i < (int) lengthof(texts); i++)
	{
		bool null;
		Datum value = SysCacheGetAttr(PROCOID, tuple, texts[i], &null);
		struct varlena *bytes = null ? NULL : pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));
		int len = null ? 0 : (int) VARSIZE_ANY_EXHDR(bytes);

		appendStringInfo(s, " %d:", len);
		if (!null)
			appendBinaryStringInfo(s, VARDATA_ANY(bytes), len);
	}
	ReleaseSysCache(tuple);
}

/*
 * Locations of nodes are not kept in a stored view, and the statement around it is the same for all but the name, which
 * is not in the tree: a view may be renamed, or be made again as it was.
 */
char *
mg_source_fingerprint(Oid relid)
{
	Query *query = rewritten_query(relid, NIL);
	List *functions = NIL;
	StringInfoData s;
	uint8 hash[MG_HASH_BYTES];
	char *out = palloc(2 * MG_HASH_BYTES + 1);
	ListCell *cell;
	mg_ctx ctx;

	/* whose policies are added depends on who asks */
	drop_policies((Node *) query, NULL);
	collect_functions((Node *) query, &functions);
	initStringInfo(&s);
	appendStringInfoString(&s, nodeToString(query));
	foreach (cell, functions)
		append_function(&s, lfirst_oid(cell));
	mg_server_ctx(&ctx);
	MG_CHECK(&ctx, mg_sha256(&ctx, s.data, (size_t) s.len, hash));
	mg_hex(hash, MG_HASH_BYTES, out);
	return out;
}

/* ---------------------------------------------------------------- entry */

static Assertion
view_assertion(Oid relid, MgSourceLookup recorded)
{
	MgSourceRecord record = recorded(relid);

	if (!record.asserted || record.fingerprint == NULL)
		return ASSERTION_NONE;
	return strcmp(record.fingerprint, mg_source_fingerprint(relid)) == 0 ? ASSERTION_VALID : ASSERTION_VOID;
}

/* judge: more than the search. *relied: did it take an assertion? */
static Oid
source_base(Oid relid, List *column_names, MgSourceLookup recorded, bool judge, bool *relied)
{
	Check check = {.of = relid, .part = "definition", .recorded = recorded};
	bool view;
	Oid base;

	require_source(relid);
	view = get_rel_relkind(relid) == RELKIND_VIEW;
	if (!view && (!judge || (check_enable_rls(relid, InvalidOid, true) != RLS_ENABLED &&
							 virtual_expressions(relid, NULL) == NIL)))
		base = relid;
	else
	{
		Query *query = rewritten_query(relid, column_names);

		if (view)
			check.assertion = view_assertion(relid, recorded);
		if (check.assertion == ASSERTION_VALID)
		{
			check.relied = true;
			if (judge)
				check_tables((Node *) query, &check);
			base = protected_base(&check, query);
		}
		else
			base = judge ? check_query(&check, query) : only_base(&check, query);
	}
	if (relied != NULL)
		*relied = check.relied;
	return base;
}

Oid
mg_source_base(Oid relid, List *column_names, MgSourceLookup recorded, bool *relied)
{
	return source_base(relid, column_names, recorded, true, relied);
}

Oid
mg_source_asserted_base(Oid relid, MgSourceLookup recorded)
{
	Check check = {.of = relid, .part = "definition", .recorded = recorded};

	require_source(relid);
	return protected_base(&check, rewritten_query(relid, NIL));
}

/*
 * Locks of a subtransaction go with its rollback; there is no other way to give back those that analysis takes.
 * Nothing is written in it, so it costs no transaction id.
 */
Oid
mg_source_base_peek(Oid relid, List *column_names, MgSourceLookup recorded, bool judge)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;
	volatile Oid base = InvalidOid;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		base = source_base(relid, column_names, recorded, judge, NULL);
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
