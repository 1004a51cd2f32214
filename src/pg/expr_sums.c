/*
 * pg/expr_sums.c: comparisons of sums of numbers and times: columns, constants, and what +, - and multiplication by a
 * constant make of them where the server's arithmetic is exact. Arithmetic is known by the server's own functions,
 * nothing by name.
 *
 * Left out of account: arithmetic that overflows, which for the server is an error and neither true nor false.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "pg/checks.h"
#include "pg/expr_build.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

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
	MgTypeClass cls = mg_type_class(col->base);

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

static bool sum_of(MgExprBuild *b, Node *node, Sum *s);

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
sum_of_operation(MgExprBuild *b, OpExpr *op, Sum *s)
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
sum_of_cast(MgExprBuild *b, FuncExpr *f, Sum *s)
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
sum_of(MgExprBuild *b, Node *node, Sum *s)
{
	check_stack_depth();
	while (IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	memset(s, 0, sizeof(*s));
	if (IsA(node, Const))
		return sum_of_constant((Const *) node, s);
	if (IsA(node, Var) || IsA(node, CoerceToDomainValue))
	{
		const MgColumn *col = mg_expr_column(b, node);

		return col != NULL && sum_of_column(col, s);
	}
	if (IsA(node, OpExpr))
		return sum_of_operation(b, (OpExpr *) node, s);
	if (IsA(node, FuncExpr))
		return sum_of_cast(b, (FuncExpr *) node, s);
	return false;
}

bool
mg_expr_compare_sums(MgExprBuild *b, uint32 compare, Node *left, Node *right)
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
	ok = ok && mg_expr_put_terms(b, MG_EXPR_COMPARE, compare, s->term, s->n, -s->constant, s->decimal && s->computed);
	pfree(s);
	pfree(t);
	return ok;
}
