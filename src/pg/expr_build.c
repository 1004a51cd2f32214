/*
 * pg/expr_build.c: nodes of the core's expressions, in prefix order, in one array that grows; and the columns that they
 * are about.
 */
#include "pg/expr_build.h"

#include "pg/checks.h"

uint32
mg_expr_begin(MgExprBuild *b, mg_expr_kind kind)
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

bool
mg_expr_end(MgExprBuild *b, uint32 i)
{
	b->node[i].span = b->n - i;
	return b->n <= MG_MAX_EXPR_NODES;
}

bool
mg_expr_put_constant(MgExprBuild *b, mg_truth value)
{
	uint32 i = mg_expr_begin(b, MG_EXPR_CONSTANT);

	b->node[i].value = value;
	return mg_expr_end(b, i);
}

bool
mg_expr_put_is_null(MgExprBuild *b, const MgColumn *col)
{
	uint32 i = mg_expr_begin(b, MG_EXPR_IS_NULL);

	b->node[i].col = (uint32) col->core;
	return mg_expr_end(b, i);
}

bool
mg_expr_put_not_null(MgExprBuild *b, const MgColumn *col)
{
	uint32 i = mg_expr_begin(b, MG_EXPR_NOT);

	return mg_expr_put_is_null(b, col) && mg_expr_end(b, i);
}

bool
mg_expr_put_labels(MgExprBuild *b, const MgColumn *col, List *texts)
{
	mg_label *labels = palloc0(sizeof(mg_label) * Max(list_length(texts), 1));
	uint32 i = mg_expr_begin(b, MG_EXPR_LABELS);
	ListCell *cell;

	foreach (cell, texts)
	{
		labels[foreach_current_index(cell)].text = lfirst(cell);
		labels[foreach_current_index(cell)].len = (uint32) strlen(lfirst(cell));
	}
	b->node[i].col = (uint32) col->core;
	b->node[i].labels = labels;
	b->node[i].nlabels = (uint32) list_length(texts);
	return mg_expr_end(b, i);
}

bool
mg_expr_put_terms(MgExprBuild *b, mg_expr_kind kind, uint32 compare, const mg_term *terms, uint32 nterms,
				  double constant, bool decimal)
{
	mg_term *copy = palloc(sizeof(mg_term) * nterms);
	uint32 i = mg_expr_begin(b, kind);

	memcpy(copy, terms, sizeof(mg_term) * nterms);
	b->node[i].compare = compare;
	b->node[i].constant = constant;
	b->node[i].decimal = decimal;
	b->node[i].terms = copy;
	b->node[i].nterms = nterms;
	return mg_expr_end(b, i);
}

const MgColumn *
mg_expr_column(const MgExprBuild *b, Node *node)
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
