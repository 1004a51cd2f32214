/*
 * emit/where.c: see where.h.
 *
 * A category has so many labels: each is decoded as the scan would show it, and the clauses themselves are run on it,
 * so what a label's condition says is what the executor will say. A number's clauses become closed intervals of its
 * axis; what is too exact for a double, and every open end, is left to the executor. Whatever the model shows where it
 * has nothing (NULL, or a fallback in a column that is NOT NULL) is judged like a label.
 *
 * No code of users runs here: operators are the server's own. What a clause compares with is evaluated once a scan, as
 * for an index scan.
 */
#include "postgres.h"

#include <math.h>

#include "access/stratnum.h"
#include "access/transam.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "emit/where.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "pg/types.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

/* ---------------------------------------------------------------- which clauses */

static Node *
strip_relabel(Node *node)
{
	while (node != NULL && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	return node;
}

/* Is it the attribute that was found so far (0: none), as its own or a binary compatible type? */
static bool
is_attribute(Index relid, Node *node, AttrNumber *attnum)
{
	Var *var = (Var *) strip_relabel(node);

	if (var == NULL || !IsA(var, Var) || (int) var->varno != (int) relid || var->varlevelsup != 0 ||
		var->varattno <= 0 || (*attnum != 0 && *attnum != var->varattno))
		return false;
	*attnum = var->varattno;
	return true;
}

/* Does it stay the same during a scan? */
static bool
is_constant(Node *node)
{
	return !contain_var_clause(node) && !contain_volatile_functions(node) && !contain_subplans(node);
}

/* A strict, immutable operator of the server's own, in the default btree family of `type` or the negator of one. */
static bool
is_comparison(Oid operator, Oid type)
{
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY);
	Oid negator;

	if (operator>= FirstNormalObjectId || !OidIsValid(entry->btree_opf) || !op_strict(operator) ||
		op_volatile(operator) != PROVOLATILE_IMMUTABLE)
		return false;
	if (op_in_opfamily(operator, entry->btree_opf))
		return true;
	negator = get_negator(operator);
	return OidIsValid(negator) && get_op_opfamily_strategy(negator, entry->btree_opf) == BTEqualStrategyNumber;
}

static bool
usable_comparison(Index relid, OpExpr *op, AttrNumber *attnum)
{
	Node *left, *right;

	if (list_length(op->args) != 2)
		return false;
	left = linitial(op->args);
	right = lsecond(op->args);
	if (is_attribute(relid, left, attnum))
		return is_constant(right) && is_comparison(op->opno, exprType(left));
	return is_attribute(relid, right, attnum) && is_constant(left) && is_comparison(op->opno, exprType(right));
}

bool
mg_where_usable(Index relid, Node *clause, AttrNumber *attnum)
{
	ListCell *cell;

	check_stack_depth();
	switch (nodeTag(clause))
	{
		case T_OpExpr:
			return usable_comparison(relid, (OpExpr *) clause, attnum);
		case T_ScalarArrayOpExpr:
		{
			ScalarArrayOpExpr *op = (ScalarArrayOpExpr *) clause;

			return is_attribute(relid, linitial(op->args), attnum) && is_constant(lsecond(op->args)) &&
				   is_comparison(op->opno, exprType(linitial(op->args)));
		}
		case T_NullTest:
			return !((NullTest *) clause)->argisrow && is_attribute(relid, (Node *) ((NullTest *) clause)->arg, attnum);
		case T_BooleanTest:
			return is_attribute(relid, (Node *) ((BooleanTest *) clause)->arg, attnum);
		case T_Var:
			return ((Var *) clause)->vartype == BOOLOID && is_attribute(relid, clause, attnum);
		case T_BoolExpr:
			foreach (cell, ((BoolExpr *) clause)->args)
				if (!mg_where_usable(relid, lfirst(cell), attnum))
					return false;
			return true;
		default:
			return false;
	}
}

/* ---------------------------------------------------------------- intervals */

typedef struct Intervals
{
	int n;
	mg_interval *v; /* [n] sorted, disjoint */
} Intervals;

typedef struct Context
{
	MgTypeClass cls; /* of the column */
	PlanState *parent;
	ExprContext *econtext;
} Context;

static Intervals
between(double low, double high)
{
	Intervals out = {0};

	if (!(low <= high))
		return out;
	out.n = 1;
	out.v = palloc(sizeof(mg_interval));
	out.v[0] = (mg_interval){low, high};
	return out;
}

static Intervals
everything(void)
{
	return between(-INFINITY, INFINITY);
}

static int
compare_intervals(const void *a, const void *b)
{
	double x = ((const mg_interval *) a)->low, y = ((const mg_interval *) b)->low;

	return (x > y) - (x < y);
}

/* Sorts, and joins what meets. */
static void
order(Intervals *s)
{
	int n = 0;

	if (s->n == 0)
		return;
	qsort(s->v, s->n, sizeof(mg_interval), compare_intervals);
	for (int i = 1; i < s->n; i++)
	{
		if (s->v[i].low > s->v[n].high)
			s->v[++n] = s->v[i];
		else if (s->v[i].high > s->v[n].high)
			s->v[n].high = s->v[i].high;
	}
	s->n = n + 1;
}

static Intervals
unite(Intervals a, Intervals b)
{
	Intervals out = {.n = a.n + b.n};

	out.v = palloc(sizeof(mg_interval) * Max(out.n, 1));
	if (a.n > 0)
		memcpy(out.v, a.v, sizeof(mg_interval) * a.n);
	if (b.n > 0)
		memcpy(out.v + a.n, b.v, sizeof(mg_interval) * b.n);
	order(&out);
	return out;
}

static Intervals
intersect(Intervals a, Intervals b)
{
	Intervals out = {.v = palloc(sizeof(mg_interval) * Max(a.n + b.n, 1))};

	for (int i = 0, j = 0; i < a.n && j < b.n;)
	{
		double low = Max(a.v[i].low, b.v[j].low), high = Min(a.v[i].high, b.v[j].high);

		if (low <= high)
			out.v[out.n++] = (mg_interval){low, high};
		if (a.v[i].high < b.v[j].high)
			i++;
		else
			j++;
	}
	return out;
}

/* ---------------------------------------------------------------- numbers */

/*
 * `column op value`, closed: of whole numbers the next one on, as long as doubles tell them apart for certain; of
 * others the end itself stays in.
 */
static Intervals
compared(const Context *c, int strategy, Oid type, Datum value)
{
	double v;
	bool whole;

	/* NaN, an infinite date, a type that the axis does not know: the executor will tell */
	if (!mg_axis_constant(c->cls, mg_type_class(getBaseType(type)), value, &v))
		return everything();
	whole = (MG_TYPE_IS_INT(c->cls) || c->cls == MG_TYPE_DATE) && fabs(v) < 1e14;
	switch (strategy)
	{
		case BTLessStrategyNumber:
			return between(-INFINITY, whole ? ceil(v) - 0.5 : v);
		case BTLessEqualStrategyNumber:
			return between(-INFINITY, v);
		case BTEqualStrategyNumber:
			return between(v, v);
		case BTGreaterEqualStrategyNumber:
			return between(v, INFINITY);
		case BTGreaterStrategyNumber:
			return between(whole ? floor(v) + 0.5 : v, INFINITY);
		default:
			return everything(); /* <> */
	}
}

/* False: NULL. */
static bool
evaluate(const Context *c, Node *expr, Datum *value)
{
	ExprState *state = ExecInitExpr((Expr *) expr, c->parent);
	bool null;

	*value = ExecEvalExpr(state, c->econtext, &null);
	return !null;
}

static int
strategy_of(Oid operator, Oid type)
{
	return get_op_opfamily_strategy(operator, lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY)->btree_opf);
}

static Intervals
of_comparison(const Context *c, OpExpr *op)
{
	Node *left = linitial(op->args), *right = lsecond(op->args);
	Oid operator= op->opno;
	Datum value;

	if (!IsA(strip_relabel(left), CaseTestExpr))
	{
		Node *swap = left;

		left = right;
		right = swap;
		operator= get_commutator(operator);
		if (!OidIsValid(operator))
			return everything();
	}
	if (!evaluate(c, right, &value))
		return between(1, 0); /* strict */
	return compared(c, strategy_of(operator, exprType(left)), exprType(right), value);
}

static Intervals
of_array(const Context *c, ScalarArrayOpExpr *op)
{
	int strategy = strategy_of(op->opno, exprType(linitial(op->args))), n;
	Intervals out = {0};
	Datum value, *element;
	bool *null;
	ArrayType *array;
	int16 len;
	bool by_value;
	char align;

	if (!evaluate(c, lsecond(op->args), &value))
		return out;
	if (!op->useOr)
		return everything();
	array = DatumGetArrayTypeP(value);
	get_typlenbyvalalign(ARR_ELEMTYPE(array), &len, &by_value, &align);
	deconstruct_array(array, ARR_ELEMTYPE(array), len, by_value, align, &element, &null, &n);
	out.v = palloc(sizeof(mg_interval) * Max(n, 1));
	for (int i = 0; i < n; i++)
		if (!null[i])
			out.v[out.n++] = compared(c, strategy, ARR_ELEMTYPE(array), element[i]).v[0];
	order(&out);
	return out;
}

/* What values other than NULL may satisfy the clause. */
static Intervals
intervals_of(const Context *c, Node *clause)
{
	ListCell *cell;

	switch (nodeTag(clause))
	{
		case T_OpExpr:
			return of_comparison(c, (OpExpr *) clause);
		case T_ScalarArrayOpExpr:
			return of_array(c, (ScalarArrayOpExpr *) clause);
		case T_NullTest:
			return ((NullTest *) clause)->nulltesttype == IS_NULL ? between(1, 0) : everything();
		case T_BoolExpr:
		{
			BoolExpr *b = (BoolExpr *) clause;
			Intervals out = b->boolop == OR_EXPR ? between(1, 0) : everything();

			foreach (cell, b->boolop == NOT_EXPR ? NIL : b->args)
				out = (b->boolop == OR_EXPR ? unite : intersect)(out, intervals_of(c, lfirst(cell)));
			return out;
		}
		default:
			return everything();
	}
}

/* ---------------------------------------------------------------- conditions */

/* The attribute becomes the value that is tried. */
static Node *
substitute(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		CaseTestExpr *value = makeNode(CaseTestExpr);

		value->typeId = ((Var *) node)->vartype;
		value->typeMod = ((Var *) node)->vartypmod;
		value->collation = ((Var *) node)->varcollid;
		return (Node *) value;
	}
	return expression_tree_mutator(node, substitute, context);
}

/* Runs the clauses on what the model's value becomes in the column. */
static bool
holds(MgDecoder *decoder, const mg_batch *batch, List *states, ExprContext *econtext)
{
	Datum value;
	bool null, result_null;
	ListCell *cell;

	mg_decoder_row(decoder, batch, 0, 0, &value, &null);
	econtext->caseValue_datum = value;
	econtext->caseValue_isNull = null;
	foreach (cell, states)
	{
		Datum result = ExecEvalExpr((ExprState *) lfirst(cell), econtext, &result_null);

		if (result_null || !DatumGetBool(result))
			return false;
	}
	return true;
}

mg_condition
mg_where_condition(MgRelease *release, const MgColumn *column, List *clauses, PlanState *parent, ExprContext *econtext)
{
	Context c = {.cls = mg_type_class(column->base), .parent = parent, .econtext = econtext};
	mg_condition out = {.col = (uint32_t) column->core};
	MgColumns one = {.n = 1, .ncore = mg_release_columns(release)->ncore, .col = unconstify(MgColumn *, column)};
	MgDecoder *decoder = mg_release_decoder(release, &one);
	bool nothing = true;
	uint32_t label = 0;
	mg_values *values = palloc0(sizeof(mg_values) * (column->core + 1));
	mg_batch batch = {.rows = 1, .column = values};
	List *tests = (List *) expression_tree_mutator((Node *) clauses, substitute, NULL);
	List *states = ExecInitExprList(tests, parent);

	values[column->core].null = &nothing;
	values[column->core].label = &label;
	out.null = holds(decoder, &batch, states, econtext);
	if (column->domain.kind == MG_CATEGORY)
	{
		bool *label_holds = palloc0(sizeof(bool) * ((Size) column->domain.nlabels + 1));

		nothing = false;
		for (label = 0; label <= column->domain.nlabels; label++)
		{
			CHECK_FOR_INTERRUPTS();
			label_holds[label] = holds(decoder, &batch, states, econtext);
		}
		out.label = label_holds;
	}
	else
	{
		Intervals all = everything();
		ListCell *cell;

		foreach (cell, tests)
			all = intersect(all, intervals_of(&c, lfirst(cell)));
		out.interval = all.v;
		out.nintervals = (uint32_t) all.n;
	}
	return out;
}
