/*
 * pg/checks.c: CHECK constraints as public knowledge of a column's domain.
 *
 * A constraint is satisfied by what is true *or NULL*, so a conjunction gives what each of its members gives, a list
 * with a NULL in it gives nothing, and `x IS NULL OR c` gives what c gives. Understood are: comparisons of the column
 * with constants (either side), BETWEEN, IN and = ANY of constants, IS NOT NULL, disjunctions of equalities, and
 * conjunctions of all these; the column may be relabelled or cast in a way that keeps order and loses nothing.
 * Operators are known by their strategy in the type's btree family, never by name. Whatever else a constraint says is
 * reported by its name, not used: the domain is then wider than it could be, never wrong.
 *
 * Expressions are simplified by the planner's own functions; before that it is made sure that nothing in them is a
 * function that a user wrote, so that looking at a constraint runs no foreign code.
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/indexing.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/prep.h"
#include "pg/checks.h"
#include "pg/compat.h"
#include "pg/texts.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* What is being looked for: the column (or the value of its domain). */
typedef struct Look
{
	AttrNumber attnum; /* InvalidAttrNumber: CoerceToDomainValue */
	MgTypeClass cls;
	double fine;
	MgChecks *out;
} Look;

/* ---------------------------------------------------------------- safety */

static bool
function_is_foreign(Oid func, void *context)
{
	return func >= FirstNormalObjectId || func_volatile(func) != PROVOLATILE_IMMUTABLE;
}

static bool
foreign_code_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, function_is_foreign, context))
		return true;
	if (IsA(node, SubLink) || IsA(node, CoerceToDomain) || IsA(node, NextValueExpr))
		return true;
	return expression_tree_walker(node, foreign_code_walker, context);
}

bool
mg_contains_foreign_code(Node *node)
{
	return foreign_code_walker(node, NULL);
}

typedef struct Mentions
{
	AttrNumber attnum;
	bool this, others;
} Mentions;

static bool
mentions_walker(Node *node, Mentions *m)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		AttrNumber n = ((Var *) node)->varattno;

		/* a whole-row reference mentions every column */
		if (n == m->attnum)
			m->this = true;
		else
		{
			m->others = true;
			m->this |= n == 0;
		}
		return false;
	}
	return expression_tree_walker(node, mentions_walker, m);
}

/* ---------------------------------------------------------------- operands */

/*
 * Casts that keep order and equality exactly: the comparison of the result with a constant says the same of the
 * column.
 */
static bool
is_faithful(Oid from, Oid to)
{
	switch (from)
	{
		case INT2OID:
			return to == INT4OID || to == INT8OID || to == NUMERICOID || to == FLOAT4OID || to == FLOAT8OID;
		case INT4OID:
			return to == INT8OID || to == NUMERICOID || to == FLOAT8OID;
		case INT8OID:
			return to == NUMERICOID;
		case FLOAT4OID:
			return to == FLOAT8OID;
		case DATEOID:
			return to == TIMESTAMPOID;
		case BPCHAROID: /* blanks at the end go; they never counted, and labels have none */
			return to == TEXTOID || to == VARCHAROID;
		default:
			return false;
	}
}

bool
mg_cast_is_known(const FuncExpr *f)
{
	Oid from = exprType(linitial(f->args));
	HeapTuple cast = SearchSysCache2(CASTSOURCETARGET, ObjectIdGetDatum(from), ObjectIdGetDatum(f->funcresulttype));
	bool known = HeapTupleIsValid(cast) && ((Form_pg_cast) GETSTRUCT(cast))->castfunc == f->funcid;

	if (HeapTupleIsValid(cast))
		ReleaseSysCache(cast);
	return known;
}

bool
mg_cast_is_faithful(const FuncExpr *f)
{
	return list_length(f->args) == 1 && is_faithful(exprType(linitial(f->args)), f->funcresulttype) &&
		   mg_cast_is_known(f);
}

/* The node is the column, perhaps in a dress. */
static bool
is_column(const Look *look, Node *node)
{
	while (node != NULL)
	{
		if (IsA(node, RelabelType))
			node = (Node *) ((RelabelType *) node)->arg;
		else if (IsA(node, FuncExpr) && mg_cast_is_faithful((FuncExpr *) node))
			node = linitial(((FuncExpr *) node)->args);
		else if (IsA(node, Var))
			return look->attnum != InvalidAttrNumber && ((Var *) node)->varattno == look->attnum;
		else
			return look->attnum == InvalidAttrNumber && IsA(node, CoerceToDomainValue);
	}
	return false;
}

Const *
mg_as_constant(Node *node)
{
	while (node != NULL && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	return node != NULL && IsA(node, Const) ? (Const *) node : NULL;
}

int
mg_btree_strategy(Oid op, Oid lefttype)
{
	TypeCacheEntry *entry = lookup_type_cache(lefttype, TYPECACHE_BTREE_OPFAMILY);

	if (!OidIsValid(entry->btree_opf))
		return 0;
	return get_op_opfamily_strategy(op, entry->btree_opf);
}

/* ---------------------------------------------------------------- findings */

static void
merge_lower(MgChecks *out, double v)
{
	out->lower = out->has_lower ? Max(out->lower, v) : v;
	out->has_lower = true;
}

static void
merge_upper(MgChecks *out, double v)
{
	out->upper = out->has_upper ? Min(out->upper, v) : v;
	out->has_upper = true;
}

static void
merge_labels(MgChecks *out, List *labels)
{
	List *both = NIL;
	ListCell *cell;

	if (!out->has_labels)
	{
		out->has_labels = true;
		out->labels = labels;
		return;
	}
	foreach (cell, out->labels)
	{
		if (mg_texts_have(labels, lfirst(cell)))
			both = lappend(both, lfirst(cell));
	}
	out->labels = both;
}

/*
 * A constant's canonical text in the column's own terms: CHECK (i = 2.0) names the integer 2. NULL: no value of the
 * column can be equal, or the text is not known.
 */
static char *
constant_text(const Look *look, MgTypeClass of, Datum value)
{
	double v;

	if (MG_TYPE_IS_TEXT(look->cls) && MG_TYPE_IS_TEXT(of))
		return mg_value_text(look->cls, value);
	if (look->cls == of)
		return mg_value_text(of, value);
	if (MG_TYPE_IS_INT(look->cls) && mg_axis_constant(look->cls, of, value, &v) && rint(v) == v && fabs(v) < 9e15)
		return mg_value_text(MG_TYPE_INT8, Int64GetDatum((int64) v));
	return NULL;
}

static bool
find_bound(Look *look, int strategy, Const *c)
{
	MgTypeClass of = mg_type_class(c->consttype);
	bool strict = strategy == BTLessStrategyNumber || strategy == BTGreaterStrategyNumber;
	bool upper = strategy == BTLessStrategyNumber || strategy == BTLessEqualStrategyNumber;
	double v;

	if (!MG_TYPE_HAS_AXIS(look->cls) || !mg_axis_constant(look->cls, of, c->constvalue, &v))
		return false;
	/* a bigint that no double holds: the nearest one that is not outside */
	if (of == MG_TYPE_INT8 && fabs(v) > 9007199254740992.0)
		v = upper ? nextafter(v, -INFINITY) : nextafter(v, INFINITY);
	if (upper)
		merge_upper(look->out, mg_lattice_down(v, look->fine, strict));
	else
		merge_lower(look->out, mg_lattice_up(v, look->fine, strict));
	return true;
}

/* column op constant, in either order */
static bool
find_comparison(Look *look, OpExpr *op, List **equal)
{
	Node *left, *right;
	Oid opno = op->opno;
	Const *c;
	int strategy;
	char *text;

	if (list_length(op->args) != 2)
		return false;
	left = linitial(op->args);
	right = lsecond(op->args);
	if (!is_column(look, left))
	{
		Node *swap = left;

		left = right;
		right = swap;
		/* whoever makes an operator may name any other as its commutator */
		opno = opno < FirstNormalObjectId ? get_commutator(opno) : InvalidOid;
	}
	c = mg_as_constant(right);
	if (!OidIsValid(opno) || !is_column(look, left) || c == NULL || c->constisnull)
		return false;
	strategy = mg_btree_strategy(opno, exprType(left));
	if (strategy == 0)
		return false;
	if (strategy != BTEqualStrategyNumber)
		return equal == NULL && find_bound(look, strategy, c);
	text = constant_text(look, mg_type_class(c->consttype), c->constvalue);
	if (text == NULL)
		return false;
	if (equal == NULL)
		merge_labels(look->out, list_make1(text));
	else if (!mg_texts_have(*equal, text))
		*equal = lappend(*equal, text);
	return true;
}

/* column = ANY (array constant) */
static bool
find_membership(Look *look, ScalarArrayOpExpr *op, List **equal)
{
	Node *left = linitial(op->args);
	Const *c = mg_as_constant(lsecond(op->args));
	ArrayType *array;
	Datum *value;
	bool *null, byval;
	int n;
	int16 len;
	char align;
	MgTypeClass of;
	List *labels = NIL;

	if (!op->useOr || !is_column(look, left) || c == NULL || c->constisnull ||
		mg_btree_strategy(op->opno, exprType(left)) != BTEqualStrategyNumber)
		return false;
	array = DatumGetArrayTypeP(c->constvalue);
	get_typlenbyvalalign(ARR_ELEMTYPE(array), &len, &byval, &align);
	deconstruct_array(array, ARR_ELEMTYPE(array), len, byval, align, &value, &null, &n);
	of = mg_type_class(ARR_ELEMTYPE(array));
	for (int i = 0; i < n; i++)
	{
		char *text = null[i] ? NULL : constant_text(look, of, value[i]);

		if (text == NULL)
			return false;
		if (!mg_texts_have(labels, text))
			labels = lappend(labels, text);
	}
	if (equal == NULL)
		merge_labels(look->out, labels);
	else
	{
		ListCell *cell;

		foreach (cell, labels)
		{
			if (!mg_texts_have(*equal, lfirst(cell)))
				*equal = lappend(*equal, lfirst(cell));
		}
	}
	return true;
}

/* A boolean column as the condition itself, or negated: what is left of b = true. */
static bool
find_truth(Look *look, Node *node, const char *label)
{
	if (look->cls != MG_TYPE_BOOL || !is_column(look, node))
		return false;
	merge_labels(look->out, list_make1(pstrdup(label)));
	return true;
}

static bool find(Look *look, Node *node);

/* x IS NULL OR ..: the rest, when it is one condition or only equalities */
static bool
find_either(Look *look, BoolExpr *either)
{
	List *rest = NIL, *equal = NIL;
	ListCell *cell;

	foreach (cell, either->args)
	{
		Node *arg = lfirst(cell);

		if (IsA(arg, NullTest) && ((NullTest *) arg)->nulltesttype == IS_NULL &&
			is_column(look, (Node *) ((NullTest *) arg)->arg))
			continue;
		rest = lappend(rest, arg);
	}
	if (list_length(rest) == 1 && list_length(either->args) > 1)
	{
		bool notnull = look->out->notnull, used = find(look, linitial(rest));

		look->out->notnull = notnull; /* NULL has just been allowed */
		return used;
	}
	foreach (cell, rest)
	{
		Node *arg = lfirst(cell);
		bool used = IsA(arg, OpExpr)
						? find_comparison(look, (OpExpr *) arg, &equal)
						: IsA(arg, ScalarArrayOpExpr) && find_membership(look, (ScalarArrayOpExpr *) arg, &equal);

		if (!used)
			return false;
	}
	if (equal == NIL)
		return false;
	merge_labels(look->out, equal);
	return true;
}

/* Takes what the condition says about the column; true where that is all it says. */
static bool
find(Look *look, Node *node)
{
	ListCell *cell;
	bool all = true;

	if (node == NULL)
		return true;
	switch (nodeTag(node))
	{
		case T_List:
			foreach (cell, (List *) node)
				all &= find(look, lfirst(cell));
			return all;
		case T_BoolExpr:
			if (((BoolExpr *) node)->boolop == AND_EXPR)
				return find(look, (Node *) ((BoolExpr *) node)->args);
			if (((BoolExpr *) node)->boolop == OR_EXPR)
				return find_either(look, (BoolExpr *) node);
			return find_truth(look, linitial(((BoolExpr *) node)->args), "false");
		case T_OpExpr:
			return find_comparison(look, (OpExpr *) node, NULL);
		case T_ScalarArrayOpExpr:
			return find_membership(look, (ScalarArrayOpExpr *) node, NULL);
		case T_NullTest:
			if (((NullTest *) node)->nulltesttype == IS_NOT_NULL && is_column(look, (Node *) ((NullTest *) node)->arg))
			{
				look->out->notnull = true;
				return true;
			}
			return false;
		case T_Const: /* what simplification left of a tautology, or of a condition that is NULL */
			return ((Const *) node)->constisnull || DatumGetBool(((Const *) node)->constvalue);
		default:
			return find_truth(look, node, "true");
	}
}

/* One constraint's expression, as stored. */
static void
read_constraint(Look *look, const char *name, const char *stored)
{
	Node *expr = stringToNode(stored);

	if (look->attnum != InvalidAttrNumber)
	{
		Mentions m = {look->attnum, false, false};

		mentions_walker(expr, &m);
		if (!m.this)
			return;
		if (m.others)
		{
			look->out->unused = lappend(look->out->unused, pstrdup(name));
			return;
		}
	}
	if (!mg_contains_foreign_code(expr))
	{
		expr = eval_const_expressions(NULL, expr);
		expr = (Node *) canonicalize_qual((Expr *) expr, true);
		if (find(look, expr))
			return;
	}
	look->out->unused = lappend(look->out->unused, pstrdup(name));
}

/* ---------------------------------------------------------------- the catalog */

static void
scan_constraints(Look *look, Oid owner, bool domain)
{
	Relation rel = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, domain ? Anum_pg_constraint_contypid : Anum_pg_constraint_conrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(owner));
	scan =
		systable_beginscan(rel, domain ? ConstraintTypidIndexId : ConstraintRelidTypidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);
		bool null;
		Datum stored;

		if (form->contype != CONSTRAINT_CHECK || !form->convalidated || form->connoinherit ||
			!MG_CONSTRAINT_ENFORCED(form))
			continue;
		stored = heap_getattr(tuple, Anum_pg_constraint_conbin, RelationGetDescr(rel), &null);
		if (!null)
			read_constraint(look, NameStr(form->conname), TextDatumGetCString(stored));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* Labels outside the bounds that another constraint gives. */
static void
drop_labels_outside(MgChecks *out, MgTypeClass cls, Oid base, int32 typmod)
{
	List *inside = NIL;
	ListCell *cell;

	if (!out->has_labels || !MG_TYPE_HAS_AXIS(cls))
		return;
	foreach (cell, out->labels)
	{
		double v;

		if (mg_axis_value(cls, mg_value_parse(base, typmod, lfirst(cell)), &v) &&
			(!out->has_lower || v >= out->lower) && (!out->has_upper || v <= out->upper))
			inside = lappend(inside, lfirst(cell));
	}
	out->labels = inside;
}

void
mg_read_checks(Relation rel, AttrNumber attnum, Oid type, MgTypeClass cls, int32 typmod, MgChecks *out)
{
	MgAxis axis;
	Look look = {attnum, cls, 0, out};

	memset(out, 0, sizeof(*out));
	if (MG_TYPE_HAS_AXIS(cls))
	{
		mg_type_axis(cls, typmod, &axis);
		look.fine = axis.fine;
	}
	if (rel->rd_rel->relkind != RELKIND_FOREIGN_TABLE)
		scan_constraints(&look, RelationGetRelid(rel), false);

	/* The value of a domain is checked by its own constraints and by those of the domain that it is over. */
	look.attnum = InvalidAttrNumber;
	while (rel->rd_rel->relkind != RELKIND_FOREIGN_TABLE && get_typtype(type) == TYPTYPE_DOMAIN)
	{
		HeapTuple tuple;

		scan_constraints(&look, type, true);
		tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for type %u", type);
		type = ((Form_pg_type) GETSTRUCT(tuple))->typbasetype;
		ReleaseSysCache(tuple);
	}
	drop_labels_outside(out, cls, getBaseType(type), typmod);

	/* Constraints that contradict each other leave only NULL; no domain can say that, so the type speaks for itself. */
	if ((out->has_labels && out->labels == NIL) || (out->has_lower && out->has_upper && out->lower > out->upper))
	{
		List *unused = lappend(out->unused, pstrdup(MG_CHECKS_CONTRADICT));

		memset(out, 0, sizeof(*out));
		out->unused = unused;
	}
}

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Those of `labels` that are in `allowed`: by sorting, since there may be thousands of each. */
static List *
common_labels(List *labels, List *allowed)
{
	int n = list_length(allowed);
	char **sorted = palloc(sizeof(char *) * Max(n, 1));
	List *both = NIL;
	ListCell *cell;

	foreach (cell, allowed)
		sorted[foreach_current_index(cell)] = lfirst(cell);
	qsort(sorted, n, sizeof(char *), compare_texts);
	foreach (cell, labels)
	{
		char *text = lfirst(cell);

		if (bsearch(&text, sorted, n, sizeof(char *), compare_texts) != NULL)
			both = lappend(both, text);
	}
	pfree(sorted);
	return both;
}

bool
mg_checks_add_keys(MgChecks *checks, const MgKeys *keys, MgTypeClass cls, Oid base, int32 typmod)
{
	MgChecks both = *checks;

	if (keys->has_labels)
	{
		both.labels = both.has_labels ? common_labels(keys->labels, both.labels) : keys->labels;
		both.has_labels = true;
		drop_labels_outside(&both, cls, base, typmod);
		if (both.labels == NIL)
			return false;
	}
	if (keys->has_range && !both.has_labels)
	{
		merge_lower(&both, keys->lower);
		merge_upper(&both, keys->upper);
		if (both.lower > both.upper)
			return false;
	}
	*checks = both;
	checks->source = psprintf("foreign key to %s", keys->name);
	return true;
}
