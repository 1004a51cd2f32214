/*
 * pg/conditions.c: conditions between columns, from the server's parsed expressions to the core's.
 *
 * Understood are AND, OR, NOT, IS [NOT] NULL, IS [NOT] TRUE/FALSE/UNKNOWN, boolean columns and equality of conditions,
 * CASE and COALESCE, num_nulls and num_nonnulls; for texts, enums and uuids equality and lists (for enums also their
 * order); for numbers and times comparisons of sums (expr_sums.c). Operators are known by their btree family, nothing
 * by name. What is not understood makes the whole condition not understood: a part of it would mean something else.
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "pg/attribute.h"
#include "pg/checks.h"
#include "pg/conditions.h"
#include "pg/expr_build.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#define MOST_ELEMENTS 1000 /* of a list of numbers */

static bool condition(MgExprBuild *b, Node *node);

/* ---------------------------------------------------------------- comparisons */

/* A column whose values are texts for the core, and whose equality is that of the texts. */
static const MgColumn *
as_label_column(const MgExprBuild *b, Node *node, Oid compared)
{
	const MgColumn *col = mg_expr_column(b, node);

	if (col == NULL || col->domain.kind != MG_CATEGORY)
		return NULL;
	/* compared without trailing blanks, but kept with them */
	if (compared == BPCHAROID && mg_type_class(col->base) != MG_TYPE_BPCHAR)
		return NULL;
	return MG_TYPE_IS_TEXT(mg_type_class(col->base)) || mg_type_class(col->base) == MG_TYPE_ENUM ||
				   mg_type_class(col->base) == MG_TYPE_UUID
			   ? col
			   : NULL;
}

static bool
collation_is_plain(Oid collation)
{
	return !OidIsValid(collation) || get_collation_isdeterministic(collation);
}

static uint32
swapped(uint32 compare)
{
	return (compare & MG_EQUAL) | ((compare & MG_LESS) != 0 ? MG_GREATER : 0) |
		   ((compare & MG_GREATER) != 0 ? MG_LESS : 0);
}

/* The signs for which the operator is true; 0: not an operator of the type's order. */
static uint32
signs_of(Oid op, Oid lefttype)
{
	Oid negator;

	switch (mg_btree_strategy(op, lefttype))
	{
		case BTLessStrategyNumber:
			return MG_LESS;
		case BTLessEqualStrategyNumber:
			return MG_LESS | MG_EQUAL;
		case BTEqualStrategyNumber:
			return MG_EQUAL;
		case BTGreaterEqualStrategyNumber:
			return MG_EQUAL | MG_GREATER;
		case BTGreaterStrategyNumber:
			return MG_GREATER;
		default:
			/* whoever makes an operator may name any other as its negator */
			negator = op < FirstNormalObjectId ? get_negator(op) : InvalidOid;
			return OidIsValid(negator) && mg_btree_strategy(negator, lefttype) == BTEqualStrategyNumber
					   ? MG_LESS | MG_GREATER
					   : 0;
	}
}

/* Labels of an enum at these places relative to one of them. */
static List *
enum_labels_at(Oid type, uint32 compare, const char *label)
{
	List *all = mg_enum_labels(type), *out = NIL;
	ListCell *cell;
	uint32 sign = MG_LESS;

	foreach (cell, all)
	{
		bool here = strcmp(lfirst(cell), label) == 0;

		if (here)
			sign = MG_EQUAL;
		if ((compare & sign) != 0)
			out = lappend(out, lfirst(cell));
		if (here)
			sign = MG_GREATER;
	}
	return out;
}

/*
 * The order of two columns of one enum: for each label of x, y is one of those that stand so to it. NULL where one is
 * NULL: the arms alone would be false where y is beyond all labels.
 */
static bool
compare_enums(MgExprBuild *b, uint32 signs, const MgColumn *x, const MgColumn *y)
{
	uint32 either = mg_expr_begin(b, MG_EXPR_OR);
	ListCell *cell;

	foreach (cell, mg_enum_labels(x->base))
	{
		uint32 arm = mg_expr_begin(b, MG_EXPR_AND);

		if (!mg_expr_put_labels(b, x, list_make1(lfirst(cell))) ||
			!mg_expr_put_labels(b, y, enum_labels_at(x->base, swapped(signs), lfirst(cell))) || !mg_expr_end(b, arm))
			return false;
	}
	for (int first = 0; first < 2; first++)
	{
		uint32 arm = mg_expr_begin(b, MG_EXPR_AND);

		if (!mg_expr_put_is_null(b, first ? x : y) || !mg_expr_put_constant(b, MG_TRUTH_NULL) || !mg_expr_end(b, arm))
			return false;
	}
	return mg_expr_end(b, either);
}

static bool
compare_labels(MgExprBuild *b, uint32 compare, Oid type, Node *left, Node *right)
{
	const MgColumn *x = as_label_column(b, left, type), *y = as_label_column(b, right, type);
	Const *c = mg_as_constant(x != NULL ? right : left);
	bool equal = compare == MG_EQUAL, unequal = compare == (MG_LESS | MG_GREATER);
	const MgColumn *col = x != NULL ? x : y;
	uint32 not = 0;
	char *text;

	if (col == NULL)
		return false;
	if (x != NULL && y != NULL && !equal && !unequal)
		return mg_type_class(x->base) == MG_TYPE_ENUM && x->base == y->base && compare_enums(b, compare, x, y);
	if (unequal)
		not = mg_expr_begin(b, MG_EXPR_NOT);
	if (x != NULL && y != NULL)
	{
		uint32 i = mg_expr_begin(b, MG_EXPR_SAME);

		b->node[i].col = (uint32) x->core;
		b->node[i].other = (uint32) y->core;
		return mg_expr_end(b, i) && (!unequal || mg_expr_end(b, not ));
	}
	if (c == NULL || c->constisnull || mg_type_class(getBaseType(c->consttype)) == MG_TYPE_NONE)
		return false;
	text = mg_value_text(mg_type_class(getBaseType(c->consttype)), c->constvalue);
	if (equal || unequal)
		return mg_expr_put_labels(b, col, list_make1(text)) && (!unequal || mg_expr_end(b, not ));
	return mg_type_class(col->base) == MG_TYPE_ENUM &&
		   mg_expr_put_labels(b, col, enum_labels_at(col->base, x != NULL ? compare : swapped(compare), text));
}

/* x = y of conditions: both or neither. */
static bool
equivalence(MgExprBuild *b, Node *left, Node *right)
{
	uint32 either = mg_expr_begin(b, MG_EXPR_OR), both, neither, not ;

	both = mg_expr_begin(b, MG_EXPR_AND);
	if (!condition(b, left) || !condition(b, right) || !mg_expr_end(b, both))
		return false;
	neither = mg_expr_begin(b, MG_EXPR_AND);
	not = mg_expr_begin(b, MG_EXPR_NOT);
	if (!condition(b, left) || !mg_expr_end(b, not ))
		return false;
	not = mg_expr_begin(b, MG_EXPR_NOT);
	return condition(b, right) && mg_expr_end(b, not ) && mg_expr_end(b, neither) && mg_expr_end(b, either);
}

/* num_nonnulls(..) or num_nulls(..) compared with a constant. */
static bool
compare_counts(MgExprBuild *b, uint32 compare, FuncExpr *f, Node *right)
{
	Const *c = mg_as_constant(right);
	mg_term term[MG_MAX_EXPR_TERMS];
	bool nulls = f->funcid == F_NUM_NULLS;
	double constant;
	uint32 n = 0;
	ListCell *cell;

	if (f->funcvariadic || c == NULL || c->constisnull || c->consttype != INT4OID ||
		list_length(f->args) > MG_MAX_EXPR_TERMS)
		return false;
	constant = DatumGetInt32(c->constvalue);
	foreach (cell, f->args)
	{
		Const *known = mg_as_constant(lfirst(cell));
		const MgColumn *col = known == NULL ? mg_expr_column(b, lfirst(cell)) : NULL;

		if (known != NULL)
		{
			constant -= known->constisnull == nulls;
			continue;
		}
		if (col == NULL)
			return false;
		/* the NULLs are all less those that are not */
		constant -= nulls;
		term[n].col = (uint32) col->core;
		term[n++].factor = nulls ? -1 : 1;
	}
	return n > 0 && mg_expr_put_terms(b, MG_EXPR_NONNULL, compare, term, n, constant, false);
}

static bool
is_count(Node *node)
{
	return IsA(node, FuncExpr) &&
		   (((FuncExpr *) node)->funcid == F_NUM_NULLS || ((FuncExpr *) node)->funcid == F_NUM_NONNULLS);
}

static bool
compare(MgExprBuild *b, uint32 signs, Oid collation, Node *left, Node *right)
{
	Oid type = exprType(left);
	MgTypeClass cls = mg_type_class(getBaseType(type));
	Const *l = mg_as_constant(left), *r = mg_as_constant(right);

	if (signs == 0)
		return false;
	if ((l != NULL && l->constisnull) || (r != NULL && r->constisnull))
		return mg_expr_put_constant(b, MG_TRUTH_NULL);
	if (is_count(left))
		return compare_counts(b, signs, (FuncExpr *) left, right);
	if (is_count(right))
		return compare_counts(b, swapped(signs), (FuncExpr *) right, left);
	if (cls == MG_TYPE_BOOL)
	{
		uint32 not ;

		if (signs == MG_EQUAL)
			return equivalence(b, left, right);
		if (signs != (MG_LESS | MG_GREATER))
			return false;
		not = mg_expr_begin(b, MG_EXPR_NOT);
		return equivalence(b, left, right) && mg_expr_end(b, not );
	}
	if (MG_TYPE_IS_TEXT(cls) || cls == MG_TYPE_ENUM || cls == MG_TYPE_UUID)
		return collation_is_plain(collation) && compare_labels(b, signs, type, left, right);
	return mg_expr_compare_sums(b, signs, left, right);
}

/* ---------------------------------------------------------------- choices */

static bool
find_coalesce(Node *node, CoalesceExpr **found)
{
	if (node == NULL)
		return false;
	if (IsA(node, CoalesceExpr))
	{
		*found = (CoalesceExpr *) node;
		return true;
	}
	return expression_tree_walker(node, find_coalesce, found);
}

typedef struct Exchange
{
	Node *from, *to;
} Exchange;

static Node *
exchange(Node *node, Exchange *x)
{
	if (node == NULL)
		return NULL;
	if (node == x->from || (x->from == NULL && IsA(node, CaseTestExpr)))
		return x->to;
	if (x->from == NULL && IsA(node, CaseExpr))
		return node; /* its tests are its own */
	return expression_tree_mutator(node, exchange, x);
}

/* A condition with COALESCE(p, q, ..) in it: that with p where p is not NULL, else that with q where .. */
static bool
choose(MgExprBuild *b, Node *whole, CoalesceExpr *c)
{
	uint32 either = mg_expr_begin(b, MG_EXPR_OR);
	ListCell *cell, *before;

	foreach (cell, c->args)
	{
		Exchange x = {(Node *) c, lfirst(cell)};
		bool last = foreach_current_index(cell) == list_length(c->args) - 1;
		uint32 all = mg_expr_begin(b, MG_EXPR_AND);

		foreach (before, c->args)
		{
			const MgColumn *col;
			bool this = foreach_current_index(before) == foreach_current_index(cell);

			if (this && last)
				break;
			col = mg_expr_column(b, lfirst(before));
			if (col == NULL || !(this ? mg_expr_put_not_null(b, col) : mg_expr_put_is_null(b, col)))
				return false;
			if (this)
				break;
		}
		/* what a constant made constant is settled now */
		if (!condition(b, eval_const_expressions(NULL, exchange(whole, &x))) || !mg_expr_end(b, all))
			return false;
	}
	return mg_expr_end(b, either);
}

/* CASE: the first arm whose condition is true. */
static bool
choose_arm(MgExprBuild *b, CaseExpr *c)
{
	uint32 either = mg_expr_begin(b, MG_EXPR_OR);
	ListCell *cell;

	for (int arm = 0; arm <= list_length(c->args); arm++)
	{
		uint32 all = mg_expr_begin(b, MG_EXPR_AND);
		Node *result = (Node *) c->defresult;

		foreach (cell, c->args)
		{
			CaseWhen *when = lfirst_node(CaseWhen, cell);
			bool this = foreach_current_index(cell) == arm;
			Exchange x = {NULL, (Node *) c->arg};
			uint32 not = 0, is;

			if (!this)
				not = mg_expr_begin(b, MG_EXPR_NOT);
			is = mg_expr_begin(b, MG_EXPR_IS_TRUE);
			if (!condition(b, c->arg != NULL ? exchange((Node *) when->expr, &x) : (Node *) when->expr) ||
				!mg_expr_end(b, is) || (!this && !mg_expr_end(b, not )))
				return false;
			if (!this)
				continue;
			result = (Node *) when->result;
			break;
		}
		if (!(result == NULL ? mg_expr_put_constant(b, MG_TRUTH_NULL) : condition(b, result)) || !mg_expr_end(b, all))
			return false;
	}
	return mg_expr_end(b, either);
}

/* ---------------------------------------------------------------- lists */

static Node *
element_constant(ArrayType *array, int16 len, bool byval, Datum value, bool null)
{
	return (Node *) makeConst(ARR_ELEMTYPE(array), -1, InvalidOid, len, value, null, byval);
}

/* The elements of ANY or ALL, as expressions. */
static bool
elements_of(Node *node, List **out)
{
	Const *c = mg_as_constant(node);
	ArrayType *array;
	Datum *value;
	bool *null, byval;
	int16 len;
	char align;
	int n;

	*out = NIL;
	if (IsA(node, ArrayExpr) && !((ArrayExpr *) node)->multidims)
	{
		*out = ((ArrayExpr *) node)->elements;
		return true;
	}
	if (c == NULL || c->constisnull)
		return false;
	array = DatumGetArrayTypeP(c->constvalue);
	get_typlenbyvalalign(ARR_ELEMTYPE(array), &len, &byval, &align);
	deconstruct_array(array, ARR_ELEMTYPE(array), len, byval, align, &value, &null, &n);
	for (int i = 0; i < n; i++)
		*out = lappend(*out, element_constant(array, len, byval, value[i], null[i]));
	return true;
}

/* x = ANY (list of texts), all constants: one node. False, and nothing built, where it is not that. */
static bool
put_text_list(MgExprBuild *b, const ScalarArrayOpExpr *op, List *elements, bool *built)
{
	const MgColumn *col = as_label_column(b, linitial(op->args), exprType(linitial(op->args)));
	List *texts = NIL;
	bool null = false;
	uint32 not = 0, either;
	ListCell *cell;

	*built = false;
	if (col == NULL || !collation_is_plain(op->inputcollid))
		return true;
	foreach (cell, elements)
	{
		Const *c = mg_as_constant(lfirst(cell));

		if (c == NULL)
			return true;
		if (c->constisnull)
			null = true;
		else
			texts = lappend(texts, mg_value_text(mg_type_class(getBaseType(c->consttype)), c->constvalue));
	}
	if (!op->useOr)
		not = mg_expr_begin(b, MG_EXPR_NOT);
	either = mg_expr_begin(b, MG_EXPR_OR);
	*built = true;
	return mg_expr_put_labels(b, col, texts) && (!null || mg_expr_put_constant(b, MG_TRUTH_NULL)) &&
		   mg_expr_end(b, either) && (op->useOr || mg_expr_end(b, not ));
}

static bool
membership(MgExprBuild *b, ScalarArrayOpExpr *op)
{
	Node *left = linitial(op->args);
	uint32 signs = signs_of(op->opno, exprType(left)), all;
	List *elements;
	ListCell *cell;
	bool built = false;

	if (signs == 0 || !elements_of(lsecond(op->args), &elements))
		return false;
	if (signs == (op->useOr ? MG_EQUAL : MG_LESS | MG_GREATER))
	{
		if (!put_text_list(b, op, elements, &built))
			return false;
		if (built)
			return true;
	}
	if (list_length(elements) > MOST_ELEMENTS)
		return false;
	all = mg_expr_begin(b, op->useOr ? MG_EXPR_OR : MG_EXPR_AND);
	foreach (cell, elements)
		if (!compare(b, signs, op->inputcollid, left, lfirst(cell)))
			return false;
	return mg_expr_end(b, all);
}

/* ---------------------------------------------------------------- conditions */

static bool
junction(MgExprBuild *b, mg_expr_kind kind, List *args)
{
	uint32 i = mg_expr_begin(b, kind);
	ListCell *cell;

	foreach (cell, args)
		if (!condition(b, lfirst(cell)))
			return false;
	return mg_expr_end(b, i);
}

static bool
null_test(MgExprBuild *b, NullTest *t)
{
	const MgColumn *col = mg_expr_column(b, (Node *) t->arg);

	if (col == NULL || t->argisrow)
		return false;
	return t->nulltesttype == IS_NULL ? mg_expr_put_is_null(b, col) : mg_expr_put_not_null(b, col);
}

/* [NOT] ([NOT] x) IS TRUE */
static bool
put_is(MgExprBuild *b, Node *arg, bool negate, bool value)
{
	uint32 not = 0, is, inner = 0;

	if (negate)
		not = mg_expr_begin(b, MG_EXPR_NOT);
	is = mg_expr_begin(b, MG_EXPR_IS_TRUE);
	if (!value)
		inner = mg_expr_begin(b, MG_EXPR_NOT);
	return condition(b, arg) && (value || mg_expr_end(b, inner)) && mg_expr_end(b, is) &&
		   (!negate || mg_expr_end(b, not ));
}

static bool
boolean_test(MgExprBuild *b, BooleanTest *t)
{
	Node *arg = (Node *) t->arg;
	uint32 i;

	switch (t->booltesttype)
	{
		case IS_TRUE:
		case IS_NOT_TRUE:
			return put_is(b, arg, t->booltesttype == IS_NOT_TRUE, true);
		case IS_FALSE:
		case IS_NOT_FALSE:
			return put_is(b, arg, t->booltesttype == IS_NOT_FALSE, false);
		default: /* unknown: neither true nor false */
			i = mg_expr_begin(b, t->booltesttype == IS_UNKNOWN ? MG_EXPR_AND : MG_EXPR_OR);
			return put_is(b, arg, t->booltesttype == IS_UNKNOWN, true) &&
				   put_is(b, arg, t->booltesttype == IS_UNKNOWN, false) && mg_expr_end(b, i);
	}
}

/* x IS DISTINCT FROM y: one of them is NULL, or both are there and differ. */
static bool
distinctness(MgExprBuild *b, DistinctExpr *d)
{
	Node *left = linitial(d->args), *right = lsecond(d->args);
	const MgColumn *x = mg_expr_column(b, left), *y = mg_expr_column(b, right);
	Const *l = mg_as_constant(left), *r = mg_as_constant(right);
	uint32 either, all, not ;

	if ((x == NULL && (l == NULL || l->constisnull)) || (y == NULL && (r == NULL || r->constisnull)) ||
		signs_of(d->opno, exprType(left)) != MG_EQUAL)
		return false;
	either = mg_expr_begin(b, MG_EXPR_OR);
	for (int first = 0; first < 2; first++)
	{
		const MgColumn *null = first ? x : y, *other = first ? y : x;

		all = mg_expr_begin(b, MG_EXPR_AND);
		if (!(null != NULL ? mg_expr_put_is_null(b, null) : mg_expr_put_constant(b, MG_TRUTH_FALSE)) ||
			!(other != NULL ? mg_expr_put_not_null(b, other) : mg_expr_put_constant(b, MG_TRUTH_TRUE)) ||
			!mg_expr_end(b, all))
			return false;
	}
	/* IS TRUE: where one is NULL, the arms above have decided */
	all = mg_expr_begin(b, MG_EXPR_IS_TRUE);
	not = mg_expr_begin(b, MG_EXPR_NOT);
	return compare(b, MG_EQUAL, d->inputcollid, left, right) && mg_expr_end(b, not ) && mg_expr_end(b, all) &&
		   mg_expr_end(b, either);
}

/* A boolean column as the condition itself. */
static bool
truth_of_column(MgExprBuild *b, Node *node)
{
	const MgColumn *col = mg_expr_column(b, node);

	return col != NULL && mg_type_class(col->base) == MG_TYPE_BOOL && col->domain.kind == MG_CATEGORY &&
		   mg_expr_put_labels(b, col, list_make1(pstrdup("true")));
}

static bool
condition_here(MgExprBuild *b, Node *node)
{
	CoalesceExpr *choice = NULL;
	uint32 i;

	switch (nodeTag(node))
	{
		case T_List:
			return junction(b, MG_EXPR_AND, (List *) node);
		case T_BoolExpr:
			if (((BoolExpr *) node)->boolop != NOT_EXPR)
				return junction(b, ((BoolExpr *) node)->boolop == AND_EXPR ? MG_EXPR_AND : MG_EXPR_OR,
								((BoolExpr *) node)->args);
			i = mg_expr_begin(b, MG_EXPR_NOT);
			return condition(b, linitial(((BoolExpr *) node)->args)) && mg_expr_end(b, i);
		case T_Const:
			if (((Const *) node)->consttype != BOOLOID)
				return false;
			if (((Const *) node)->constisnull)
				return mg_expr_put_constant(b, MG_TRUTH_NULL);
			return mg_expr_put_constant(b, DatumGetBool(((Const *) node)->constvalue) ? MG_TRUTH_TRUE : MG_TRUTH_FALSE);
		case T_NullTest:
			return null_test(b, (NullTest *) node);
		case T_BooleanTest:
			return boolean_test(b, (BooleanTest *) node);
		case T_CaseExpr:
			return choose_arm(b, (CaseExpr *) node);
		case T_CoalesceExpr:
			return choose(b, node, (CoalesceExpr *) node);
		case T_OpExpr:
		case T_ScalarArrayOpExpr:
		case T_DistinctExpr:
			if (find_coalesce(node, &choice))
				return choose(b, node, choice);
			if (IsA(node, ScalarArrayOpExpr))
				return membership(b, (ScalarArrayOpExpr *) node);
			if (IsA(node, DistinctExpr))
				return distinctness(b, (DistinctExpr *) node);
			return list_length(((OpExpr *) node)->args) == 2 &&
				   compare(b, signs_of(((OpExpr *) node)->opno, exprType(linitial(((OpExpr *) node)->args))),
						   ((OpExpr *) node)->inputcollid, linitial(((OpExpr *) node)->args),
						   lsecond(((OpExpr *) node)->args));
		default:
			return truth_of_column(b, node);
	}
}

static bool
condition(MgExprBuild *b, Node *node)
{
	bool ok;

	if (b->depth >= MG_MAX_EXPR_DEPTH || b->n > MG_MAX_EXPR_NODES)
		return false;
	b->depth++;
	ok = condition_here(b, node);
	b->depth--;
	return ok;
}

bool
mg_condition_translate(const MgScope *scope, Node *expr, mg_expr **nodes, uint32 *n)
{
	MgExprBuild b = {.scope = scope};

	if (expr == NULL || !condition(&b, expr))
		return false;
	*nodes = b.node;
	*n = b.n;
	return true;
}
