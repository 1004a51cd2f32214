/*
 * pg/inert.c: which expressions of others a caller may run; see inert.h.
 *
 * Two lists, of what is allowed: kinds of nodes, and functions. A function must be the server's own. An immutable one
 * reads nothing. A stable one may read tables (table_to_xml does, and a view there may call anything), so it must take
 * and give plain values alone: numbers, texts, times, booleans; none that reads a table can be called so. Of the
 * volatile ones two are named. Functions behind operators and casts are looked at in the same way.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "pg/inert.h"
#include "pg/types.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/* The server's own, or an enum, which is a list of names. */
static bool
type_is_inert(Oid type)
{
	return type < FirstNormalObjectId || get_typtype(type) == TYPTYPE_ENUM;
}

static bool
is_plain(Oid type)
{
	return mg_type_class(type) != MG_TYPE_NONE;
}

static bool
takes_plain_values(Oid function)
{
	Oid *types, result;
	int n;
	bool plain;

	result = get_func_signature(function, &types, &n);
	plain = is_plain(result);
	for (int i = 0; i < n; i++)
		plain &= is_plain(types[i]);
	return plain;
}

/* For check_functions_in_node: true stops the search. */
static bool
function_is_live(Oid function, void *context)
{
	if (function >= FirstNormalObjectId)
		return true;
	switch (func_volatile(function))
	{
		case PROVOLATILE_IMMUTABLE:
			return false;
		case PROVOLATILE_STABLE:
			return !takes_plain_values(function);
		default:
			return function != F_CLOCK_TIMESTAMP && function != F_GEN_RANDOM_UUID;
	}
}

/* Input and output functions of plain types and enums are stable at most, by the calendar's settings. */
static bool
io_is_inert(const CoerceViaIO *io)
{
	Oid from = exprType((Node *) io->arg), to = io->resulttype;

	return (is_plain(from) || get_typtype(from) == TYPTYPE_ENUM) && (is_plain(to) || get_typtype(to) == TYPTYPE_ENUM);
}

static bool
is_live(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_List:
		case T_CaseWhen:
			return expression_tree_walker(node, is_live, context);
		case T_Var:
			return !type_is_inert(getBaseType(exprType(node)));
		case T_CoerceViaIO:
			return !io_is_inert((CoerceViaIO *) node) || expression_tree_walker(node, is_live, context);
		case T_Const:
		case T_FuncExpr:
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
		case T_ScalarArrayOpExpr:
		case T_BoolExpr:
		case T_CaseExpr:
		case T_CaseTestExpr:
		case T_CoalesceExpr:
		case T_MinMaxExpr:
		case T_NullTest:
		case T_BooleanTest:
		case T_RelabelType:
		case T_ArrayExpr:
		case T_ArrayCoerceExpr:
		case T_SQLValueFunction:
			break;
		default:
			return true;
	}
	return !type_is_inert(exprType(node)) || check_functions_in_node(node, function_is_live, NULL) ||
		   expression_tree_walker(node, is_live, context);
}

bool
mg_expression_is_inert(Node *expr)
{
	return !is_live(expr, NULL);
}

static bool
draws(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, NextValueExpr) || (IsA(node, FuncExpr) && ((FuncExpr *) node)->funcid == F_NEXTVAL))
		return true;
	return expression_tree_walker(node, draws, context);
}

bool
mg_expression_draws(Node *expr)
{
	return draws(expr, NULL);
}
