/*
 * pg/conditions.c: conditions between columns, from the server's parsed expressions to the core's.
 *
 * Understood are AND, OR, NOT, IS [NOT] NULL, IS [NOT] TRUE/FALSE/UNKNOWN, boolean columns and equality of conditions,
 * CASE and COALESCE, num_nulls and num_nonnulls; for texts, enums and uuids equality and lists (for enums also their
 * order); for numbers and times comparisons of sums: columns, constants, and what +, - and multiplication by a constant
 * make of them where the server's arithmetic is exact. Operators are known by their btree family, arithmetic by the
 * server's own functions, nothing by name. What is not understood makes the whole condition not understood: a part of
 * it would mean something else.
 *
 * Left out of account: arithmetic that overflows, which for the server is an error and neither true nor false.
 */
#include "postgres.h"

#include <math.h>

#include "access/stratnum.h"
#include "access/transam.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "pg/checks.h"
#include "pg/conditions.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#define MOST_ELEMENTS 1000 /* of a list of numbers */

typedef struct Build
{
	const MgScope *scope;
	mg_expr *node;
	uint32 n, room;
	int depth;
} Build;

static bool condition(Build *b, Node *node);

/* ---------------------------------------------------------------- nodes */

/* The number of a new node; its arguments follow, then end(). */
static uint32
begin(Build *b, mg_expr_kind kind)
{
	if (b->n == b->room)
	{
		b->room = Max(16, b->room * 2);
		b->node = b->node == NULL ? palloc(sizeof(mg_expr) * b->room) : repalloc(b->node, sizeof(mg_expr) * b->room);
	}
	memset(&b->node[b->n], 0, sizeof(mg_expr));
	b->node[b->n].kind = kind;
	b->node[b->n].span = 1;
	return b->n++;
}

static bool
end(Build *b, uint32 i)
{
	b->node[i].span = b->n - i;
	return b->n <= MG_MAX_EXPR_NODES;
}

static bool
put_constant(Build *b, mg_truth value)
{
	uint32 i = begin(b, MG_EXPR_CONSTANT);

	b->node[i].value = value;
	return end(b, i);
}

static bool
put_is_null(Build *b, const MgColumn *col)
{
	uint32 i = begin(b, MG_EXPR_IS_NULL);

	b->node[i].col = (uint32) col->core;
	return end(b, i);
}

static bool
put_not_null(Build *b, const MgColumn *col)
{
	uint32 i = begin(b, MG_EXPR_NOT);

	return put_is_null(b, col) && end(b, i);
}

/* texts: char * */
static bool
put_labels(Build *b, const MgColumn *col, List *texts)
{
	mg_label *labels = palloc0(sizeof(mg_label) * Max(list_length(texts), 1));
	uint32 i = begin(b, MG_EXPR_LABELS);
	ListCell *cell;

	foreach (cell, texts)
	{
		labels[foreach_current_index(cell)].text = lfirst(cell);
		labels[foreach_current_index(cell)].len = (uint32) strlen(lfirst(cell));
	}
	b->node[i].col = (uint32) col->core;
	b->node[i].labels = labels;
	b->node[i].nlabels = (uint32) list_length(texts);
	return end(b, i);
}

static bool
put_terms(Build *b, mg_expr_kind kind, uint32 compare, const mg_term *terms, uint32 nterms, double constant,
		  bool decimal)
{
	mg_term *copy = palloc(sizeof(mg_term) * nterms);
	uint32 i = begin(b, kind);

	memcpy(copy, terms, sizeof(mg_term) * nterms);
	b->node[i].compare = compare;
	b->node[i].constant = constant;
	b->node[i].decimal = decimal;
	b->node[i].terms = copy;
	b->node[i].nterms = nterms;
	return end(b, i);
}

/* ---------------------------------------------------------------- columns */

/* The modelled column that the node is, under relabels and casts that change nothing. */
static const MgColumn *
as_column(const Build *b, Node *node)
{
	const MgScope *s = b->scope;

	for (;;)
	{
		if (IsA(node, RelabelType))
			node = (Node *) ((RelabelType *) node)->arg;
		else if (IsA(node, FuncExpr) && mg_cast_is_faithful((FuncExpr *) node))
			node = linitial(((FuncExpr *) node)->args);
		else
			break;
	}
	if (IsA(node, CoerceToDomainValue))
		return s->value;
	if (IsA(node, Var))
	{
		AttrNumber a = ((Var *) node)->varattno;
		const MgColumn *col =
			a > 0 && a <= s->nattrs && s->column_of[a] >= 0 ? &s->columns->col[s->column_of[a]] : NULL;

		return col != NULL && col->core >= 0 ? col : NULL;
	}
	return NULL;
}

static MgTypeClass
class_of(const MgColumn *col)
{
	return mg_type_class(col->base);
}

/* A column whose values are texts for the core, and whose equality is that of the texts. */
static const MgColumn *
as_label_column(const Build *b, Node *node, Oid compared)
{
	const MgColumn *col = as_column(b, node);

	if (col == NULL || col->domain.kind != MG_CATEGORY)
		return NULL;
	/* compared without trailing blanks, but kept with them */
	if (compared == BPCHAROID && class_of(col) != MG_TYPE_BPCHAR)
		return NULL;
	return MG_TYPE_IS_TEXT(class_of(col)) || class_of(col) == MG_TYPE_ENUM || class_of(col) == MG_TYPE_UUID ? col
																											: NULL;
}

static bool
collation_is_plain(Oid collation)
{
	return !OidIsValid(collation) || get_collation_isdeterministic(collation);
}

/* ---------------------------------------------------------------- sums */

/* What the numbers of a sum count. */
typedef enum Space
{
	SPACE_NUMBER,
	SPACE_DATE, /* days */
	SPACE_TIME, /* microseconds, as are the rest */
	SPACE_STAMP,
	SPACE_STAMPTZ,
	SPACE_SPAN
} Space;

typedef struct Sum
{
	Space space;
	uint32 n;
	mg_term term[MG_MAX_EXPR_TERMS];
	double constant;
	bool real;     /* of a floating type: its arithmetic rounds */
	bool decimal;  /* numeric is among it */
	bool computed; /* more than a column or a constant */
	bool months;   /* a span of months, which is no fixed number of days */
	bool lettered; /* a category of numbers other than integers */
} Sum;

static bool
space_of(MgTypeClass cls, Space *space)
{
	switch (cls)
	{
		case MG_TYPE_DATE:
			*space = SPACE_DATE;
			return true;
		case MG_TYPE_TIME:
			*space = SPACE_TIME;
			return true;
		case MG_TYPE_TIMESTAMP:
			*space = SPACE_STAMP;
			return true;
		case MG_TYPE_TIMESTAMPTZ:
			*space = SPACE_STAMPTZ;
			return true;
		case MG_TYPE_INTERVAL:
			*space = SPACE_SPAN;
			return true;
		default:
			*space = SPACE_NUMBER;
			return MG_TYPE_IS_NUMBER(cls);
	}
}

static void
scale_sum(Sum *s, double factor)
{
	for (uint32 i = 0; i < s->n; i++)
		s->term[i].factor *= factor;
	s->constant *= factor;
}

static void
date_as_stamp(Sum *s)
{
	scale_sum(s, (double) USECS_PER_DAY);
	s->space = SPACE_STAMP;
}

/* s += factor * other, spaces aside. */
static bool
add_sum(Sum *s, const Sum *other, double factor)
{
	for (uint32 i = 0; i < other->n; i++)
	{
		uint32 k = 0;

		while (k < s->n && s->term[k].col != other->term[i].col)
			k++;
		if (k == MG_MAX_EXPR_TERMS)
			return false;
		if (k == s->n)
		{
			s->term[s->n].col = other->term[i].col;
			s->term[s->n++].factor = 0;
		}
		s->term[k].factor += factor * other->term[i].factor;
	}
	s->constant += factor * other->constant;
	s->real |= other->real;
	s->decimal |= other->decimal;
	s->computed |= other->computed;
	s->months |= other->months;
	s->lettered |= other->lettered;
	return true;
}

static bool
sum_of_constant(const Const *c, Sum *s)
{
	MgTypeClass cls = mg_type_class(getBaseType(c->consttype));

	if (c->constisnull || !space_of(cls, &s->space) || !mg_axis_value(cls, c->constvalue, &s->constant))
		return false;
	s->real = cls == MG_TYPE_FLOAT4 || cls == MG_TYPE_FLOAT8;
	s->decimal = cls == MG_TYPE_NUMERIC;
	s->months = cls == MG_TYPE_INTERVAL && DatumGetIntervalP(c->constvalue)->month != 0;
	return cls != MG_TYPE_INT8 || fabs(s->constant) <= 9007199254740992.0; /* what a double holds */
}

static bool
sum_of_column(const MgColumn *col, Sum *s)
{
	MgTypeClass cls = class_of(col);

	if (!space_of(cls, &s->space))
		return false;
	if (col->domain.kind == MG_CATEGORY && !MG_TYPE_IS_NUMBER(cls))
		return false;
	s->lettered = col->domain.kind == MG_CATEGORY && !MG_TYPE_IS_INT(cls);
	s->real = cls == MG_TYPE_FLOAT4 || cls == MG_TYPE_FLOAT8;
	s->decimal = cls == MG_TYPE_NUMERIC;
	s->months = cls == MG_TYPE_INTERVAL;
	s->term[0].col = (uint32) col->core;
	s->term[0].factor = 1;
	s->n = 1;
	return true;
}

/* +, - and * of the server's own that are exact; unary minus is '~'. 0: something else. */
static char
arithmetic(Oid function)
{
	switch (function)
	{
		case F_INT2PL:
		case F_INT4PL:
		case F_INT8PL:
		case F_INT24PL:
		case F_INT42PL:
		case F_INT28PL:
		case F_INT82PL:
		case F_INT48PL:
		case F_INT84PL:
		case F_NUMERIC_ADD:
		case F_DATE_PLI:
		case F_TIMESTAMP_PL_INTERVAL:
		case F_DATE_PL_INTERVAL:
		case F_INTERVAL_PL:
			return '+';
		case F_INT2MI:
		case F_INT4MI:
		case F_INT8MI:
		case F_INT24MI:
		case F_INT42MI:
		case F_INT28MI:
		case F_INT82MI:
		case F_INT48MI:
		case F_INT84MI:
		case F_NUMERIC_SUB:
		case F_DATE_MI:
		case F_DATE_MII:
		case F_TIMESTAMP_MI:
		case F_TIMESTAMPTZ_MI:
		case F_TIMESTAMP_MI_INTERVAL:
		case F_DATE_MI_INTERVAL:
		case F_INTERVAL_MI:
		case F_TIME_MI_TIME:
			return '-';
		case F_INT2MUL:
		case F_INT4MUL:
		case F_INT8MUL:
		case F_INT24MUL:
		case F_INT42MUL:
		case F_INT28MUL:
		case F_INT82MUL:
		case F_INT48MUL:
		case F_INT84MUL:
		case F_NUMERIC_MUL:
			return '*';
		case F_INT2UM:
		case F_INT4UM:
		case F_INT8UM:
		case F_NUMERIC_UMINUS:
		case F_INTERVAL_UM:
			return '~';
		default:
			return 0;
	}
}

static bool sum_of(Build *b, Node *node, Sum *s);

/* Multiplication by a constant. */
static bool
product(Sum *left, Sum *right)
{
	if (right->n > 0)
	{
		Sum swap = *left;

		*left = *right;
		*right = swap;
	}
	if (right->n > 0)
		return false;
	scale_sum(left, right->constant);
	left->decimal |= right->decimal;
	return true;
}

static bool
sum_of_operation(Build *b, OpExpr *op, Sum *s)
{
	Space result;
	char sign = arithmetic(get_opcode(op->opno));
	Sum *right;
	bool ok;

	if (sign == 0 || !sum_of(b, linitial(op->args), s) || s->real || s->lettered ||
		!space_of(mg_type_class(op->opresulttype), &result))
		return false;
	s->computed = true;
	if (sign == '~')
	{
		scale_sum(s, -1);
		return true;
	}
	right = palloc0(sizeof(Sum));
	ok = sum_of(b, lsecond(op->args), right) && !right->real && !right->lettered;
	/* a month is no fixed number of days, once it is added to a day */
	if (ok && result == SPACE_STAMP)
		ok = !s->months && !right->months;
	if (ok && result == SPACE_STAMP && s->space == SPACE_DATE)
		date_as_stamp(s);
	if (ok && sign == '*')
		ok = product(s, right);
	else if (ok)
		ok = add_sum(s, right, sign == '+' ? 1 : -1);
	pfree(right);
	s->computed = true;
	s->space = result;
	return ok;
}

/* A cast between numbers, or of a date to midnight. */
static bool
sum_of_cast(Build *b, FuncExpr *f, Sum *s)
{
	Oid to = f->funcresulttype, from;

	if (list_length(f->args) != 1)
		return false;
	from = exprType(linitial(f->args));
	/* to the nearest double, which is what the core holds of a value anyhow */
	if (!mg_cast_is_faithful(f) && !(to == FLOAT8OID && (from == INT8OID || from == NUMERICOID) && mg_cast_is_known(f)))
		return false;
	if (!sum_of(b, linitial(f->args), s))
		return false;
	if (to == FLOAT4OID || to == FLOAT8OID)
		s->real = true;
	if (to == TIMESTAMPOID && s->space == SPACE_DATE)
		date_as_stamp(s);
	return true;
}

static bool
sum_of(Build *b, Node *node, Sum *s)
{
	check_stack_depth();
	while (IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	memset(s, 0, sizeof(*s));
	if (IsA(node, Const))
		return sum_of_constant((Const *) node, s);
	if (IsA(node, Var) || IsA(node, CoerceToDomainValue))
	{
		const MgColumn *col = as_column(b, node);

		return col != NULL && sum_of_column(col, s);
	}
	if (IsA(node, OpExpr))
		return sum_of_operation(b, (OpExpr *) node, s);
	if (IsA(node, FuncExpr))
		return sum_of_cast(b, (FuncExpr *) node, s);
	return false;
}

static bool
compare_sums(Build *b, uint32 compare, Node *left, Node *right)
{
	Sum *s = palloc0(sizeof(Sum)), *t = palloc0(sizeof(Sum));
	bool ok = sum_of(b, left, s) && sum_of(b, right, t);

	if (ok && s->space == SPACE_DATE && t->space == SPACE_STAMP)
		date_as_stamp(s);
	else if (ok && t->space == SPACE_DATE && s->space == SPACE_STAMP)
		date_as_stamp(t);
	ok = ok && s->space == t->space && add_sum(s, t, -1) && s->n > 0;
	/* floating arithmetic rounds in its own way; texts of numbers may be no numbers */
	ok = ok && !(s->real && s->computed) && !(s->lettered && (s->computed || s->n > 1));
	ok = ok && put_terms(b, MG_EXPR_COMPARE, compare, s->term, s->n, -s->constant, s->decimal && s->computed);
	pfree(s);
	pfree(t);
	return ok;
}

/* ---------------------------------------------------------------- comparisons */

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
compare_enums(Build *b, uint32 signs, const MgColumn *x, const MgColumn *y)
{
	uint32 either = begin(b, MG_EXPR_OR);
	ListCell *cell;

	foreach (cell, mg_enum_labels(x->base))
	{
		uint32 arm = begin(b, MG_EXPR_AND);

		if (!put_labels(b, x, list_make1(lfirst(cell))) ||
			!put_labels(b, y, enum_labels_at(x->base, swapped(signs), lfirst(cell))) || !end(b, arm))
			return false;
	}
	for (int first = 0; first < 2; first++)
	{
		uint32 arm = begin(b, MG_EXPR_AND);

		if (!put_is_null(b, first ? x : y) || !put_constant(b, MG_TRUTH_NULL) || !end(b, arm))
			return false;
	}
	return end(b, either);
}

static bool
compare_labels(Build *b, uint32 compare, Oid type, Node *left, Node *right)
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
		return class_of(x) == MG_TYPE_ENUM && x->base == y->base && compare_enums(b, compare, x, y);
	if (unequal)
		not = begin(b, MG_EXPR_NOT);
	if (x != NULL && y != NULL)
	{
		uint32 i = begin(b, MG_EXPR_SAME);

		b->node[i].col = (uint32) x->core;
		b->node[i].other = (uint32) y->core;
		return end(b, i) && (!unequal || end(b, not ));
	}
	if (c == NULL || c->constisnull || mg_type_class(getBaseType(c->consttype)) == MG_TYPE_NONE)
		return false;
	text = mg_value_text(mg_type_class(getBaseType(c->consttype)), c->constvalue);
	if (equal || unequal)
		return put_labels(b, col, list_make1(text)) && (!unequal || end(b, not ));
	return class_of(col) == MG_TYPE_ENUM &&
		   put_labels(b, col, enum_labels_at(col->base, x != NULL ? compare : swapped(compare), text));
}

/* x = y of conditions: both or neither. */
static bool
equivalence(Build *b, Node *left, Node *right)
{
	uint32 either = begin(b, MG_EXPR_OR), both, neither, not ;

	both = begin(b, MG_EXPR_AND);
	if (!condition(b, left) || !condition(b, right) || !end(b, both))
		return false;
	neither = begin(b, MG_EXPR_AND);
	not = begin(b, MG_EXPR_NOT);
	if (!condition(b, left) || !end(b, not ))
		return false;
	not = begin(b, MG_EXPR_NOT);
	return condition(b, right) && end(b, not ) && end(b, neither) && end(b, either);
}

/* num_nonnulls(..) or num_nulls(..) compared with a constant. */
static bool
compare_counts(Build *b, uint32 compare, FuncExpr *f, Node *right)
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
		const MgColumn *col = known == NULL ? as_column(b, lfirst(cell)) : NULL;

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
	return n > 0 && put_terms(b, MG_EXPR_NONNULL, compare, term, n, constant, false);
}

static bool
is_count(Node *node)
{
	return IsA(node, FuncExpr) &&
		   (((FuncExpr *) node)->funcid == F_NUM_NULLS || ((FuncExpr *) node)->funcid == F_NUM_NONNULLS);
}

static bool
compare(Build *b, uint32 signs, Oid collation, Node *left, Node *right)
{
	Oid type = exprType(left);
	MgTypeClass cls = mg_type_class(getBaseType(type));
	Const *l = mg_as_constant(left), *r = mg_as_constant(right);

	if (signs == 0)
		return false;
	if ((l != NULL && l->constisnull) || (r != NULL && r->constisnull))
		return put_constant(b, MG_TRUTH_NULL);
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
		not = begin(b, MG_EXPR_NOT);
		return equivalence(b, left, right) && end(b, not );
	}
	if (MG_TYPE_IS_TEXT(cls) || cls == MG_TYPE_ENUM || cls == MG_TYPE_UUID)
		return collation_is_plain(collation) && compare_labels(b, signs, type, left, right);
	return compare_sums(b, signs, left, right);
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
choose(Build *b, Node *whole, CoalesceExpr *c)
{
	uint32 either = begin(b, MG_EXPR_OR);
	ListCell *cell, *before;

	foreach (cell, c->args)
	{
		Exchange x = {(Node *) c, lfirst(cell)};
		bool last = foreach_current_index(cell) == list_length(c->args) - 1;
		uint32 all = begin(b, MG_EXPR_AND);

		foreach (before, c->args)
		{
			const MgColumn *col;
			bool this = foreach_current_index(before) == foreach_current_index(cell);

			if (this && last)
				break;
			col = as_column(b, lfirst(before));
			if (col == NULL || !(this ? put_not_null(b, col) : put_is_null(b, col)))
				return false;
			if (this)
				break;
		}
		/* what a constant made constant is settled now */
		if (!condition(b, eval_const_expressions(NULL, exchange(whole, &x))) || !end(b, all))
			return false;
	}
	return end(b, either);
}

/* CASE: the first arm whose condition is true. */
static bool
choose_arm(Build *b, CaseExpr *c)
{
	uint32 either = begin(b, MG_EXPR_OR);
	ListCell *cell;

	for (int arm = 0; arm <= list_length(c->args); arm++)
	{
		uint32 all = begin(b, MG_EXPR_AND);
		Node *result = (Node *) c->defresult;

		foreach (cell, c->args)
		{
			CaseWhen *when = lfirst_node(CaseWhen, cell);
			bool this = foreach_current_index(cell) == arm;
			Exchange x = {NULL, (Node *) c->arg};
			uint32 not = 0, is;

			if (!this)
				not = begin(b, MG_EXPR_NOT);
			is = begin(b, MG_EXPR_IS_TRUE);
			if (!condition(b, c->arg != NULL ? exchange((Node *) when->expr, &x) : (Node *) when->expr) ||
				!end(b, is) || (!this && !end(b, not )))
				return false;
			if (!this)
				continue;
			result = (Node *) when->result;
			break;
		}
		if (!(result == NULL ? put_constant(b, MG_TRUTH_NULL) : condition(b, result)) || !end(b, all))
			return false;
	}
	return end(b, either);
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
put_text_list(Build *b, const ScalarArrayOpExpr *op, List *elements, bool *built)
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
		not = begin(b, MG_EXPR_NOT);
	either = begin(b, MG_EXPR_OR);
	*built = true;
	return put_labels(b, col, texts) && (!null || put_constant(b, MG_TRUTH_NULL)) && end(b, either) &&
		   (op->useOr || end(b, not ));
}

static bool
membership(Build *b, ScalarArrayOpExpr *op)
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
	all = begin(b, op->useOr ? MG_EXPR_OR : MG_EXPR_AND);
	foreach (cell, elements)
		if (!compare(b, signs, op->inputcollid, left, lfirst(cell)))
			return false;
	return end(b, all);
}

/* ---------------------------------------------------------------- conditions */

static bool
junction(Build *b, mg_expr_kind kind, List *args)
{
	uint32 i = begin(b, kind);
	ListCell *cell;

	foreach (cell, args)
		if (!condition(b, lfirst(cell)))
			return false;
	return end(b, i);
}

static bool
null_test(Build *b, NullTest *t)
{
	const MgColumn *col = as_column(b, (Node *) t->arg);

	if (col == NULL || t->argisrow)
		return false;
	return t->nulltesttype == IS_NULL ? put_is_null(b, col) : put_not_null(b, col);
}

/* [NOT] ([NOT] x) IS TRUE */
static bool
put_is(Build *b, Node *arg, bool negate, bool value)
{
	uint32 not = 0, is, inner = 0;

	if (negate)
		not = begin(b, MG_EXPR_NOT);
	is = begin(b, MG_EXPR_IS_TRUE);
	if (!value)
		inner = begin(b, MG_EXPR_NOT);
	return condition(b, arg) && (value || end(b, inner)) && end(b, is) && (!negate || end(b, not ));
}

static bool
boolean_test(Build *b, BooleanTest *t)
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
			i = begin(b, t->booltesttype == IS_UNKNOWN ? MG_EXPR_AND : MG_EXPR_OR);
			return put_is(b, arg, t->booltesttype == IS_UNKNOWN, true) &&
				   put_is(b, arg, t->booltesttype == IS_UNKNOWN, false) && end(b, i);
	}
}

/* x IS DISTINCT FROM y: one of them is NULL, or both are there and differ. */
static bool
distinctness(Build *b, DistinctExpr *d)
{
	Node *left = linitial(d->args), *right = lsecond(d->args);
	const MgColumn *x = as_column(b, left), *y = as_column(b, right);
	Const *l = mg_as_constant(left), *r = mg_as_constant(right);
	uint32 either, all, not ;

	if ((x == NULL && (l == NULL || l->constisnull)) || (y == NULL && (r == NULL || r->constisnull)) ||
		signs_of(d->opno, exprType(left)) != MG_EQUAL)
		return false;
	either = begin(b, MG_EXPR_OR);
	for (int first = 0; first < 2; first++)
	{
		const MgColumn *null = first ? x : y, *other = first ? y : x;

		all = begin(b, MG_EXPR_AND);
		if (!(null != NULL ? put_is_null(b, null) : put_constant(b, MG_TRUTH_FALSE)) ||
			!(other != NULL ? put_not_null(b, other) : put_constant(b, MG_TRUTH_TRUE)) || !end(b, all))
			return false;
	}
	/* IS TRUE: where one is NULL, the arms above have decided */
	all = begin(b, MG_EXPR_IS_TRUE);
	not = begin(b, MG_EXPR_NOT);
	return compare(b, MG_EQUAL, d->inputcollid, left, right) && end(b, not ) && end(b, all) && end(b, either);
}

/* A boolean column as the condition itself. */
static bool
truth_of_column(Build *b, Node *node)
{
	const MgColumn *col = as_column(b, node);

	return col != NULL && class_of(col) == MG_TYPE_BOOL && col->domain.kind == MG_CATEGORY &&
		   put_labels(b, col, list_make1(pstrdup("true")));
}

static bool
condition_here(Build *b, Node *node)
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
			i = begin(b, MG_EXPR_NOT);
			return condition(b, linitial(((BoolExpr *) node)->args)) && end(b, i);
		case T_Const:
			if (((Const *) node)->consttype != BOOLOID)
				return false;
			if (((Const *) node)->constisnull)
				return put_constant(b, MG_TRUTH_NULL);
			return put_constant(b, DatumGetBool(((Const *) node)->constvalue) ? MG_TRUTH_TRUE : MG_TRUTH_FALSE);
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
condition(Build *b, Node *node)
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
	Build b = {.scope = scope};

	if (expr == NULL || !condition(&b, expr))
		return false;
	*nodes = b.node;
	*n = b.n;
	return true;
}
