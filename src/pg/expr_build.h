/*
 * pg/expr_build.h: the core's expressions (model/constraint.h) node by node, while a parsed expression is walked.
 * Private to pg/. What is built is palloc'ed in the current context. False: the core cannot say it; what was begun is
 * then of no use, and the whole build is given up.
 */
#ifndef MIRAGE_PG_EXPR_BUILD_H
#define MIRAGE_PG_EXPR_BUILD_H

#include "postgres.h"

#include "model/constraint.h"
#include "nodes/primnodes.h"
#include "pg/conditions.h"
#include "pg/types.h"

typedef struct MgExprBuild
{
	const MgScope *scope;
	mg_expr *node;  /* [n], of room */
	uint32 n, room; /* n may pass MG_MAX_EXPR_NODES by one node, of which mg_expr_end tells */
	int depth;      /* of conditions within conditions */
} MgExprBuild;

/* The number of a new node; its arguments follow, then mg_expr_end, which is false where there are too many nodes. */
extern uint32 mg_expr_begin(MgExprBuild *b, mg_expr_kind kind);
extern bool mg_expr_end(MgExprBuild *b, uint32 node);

/* Whole nodes. */
extern bool mg_expr_put_constant(MgExprBuild *b, mg_truth value);
extern bool mg_expr_put_is_null(MgExprBuild *b, const MgColumn *col);
extern bool mg_expr_put_not_null(MgExprBuild *b, const MgColumn *col);
/* The column is one of these labels. texts: char *, referred to. */
extern bool mg_expr_put_labels(MgExprBuild *b, const MgColumn *col, List *texts);
/* The sum of the terms [nterms] (copied) compared with a constant: signs of MG_LESS, MG_EQUAL, MG_GREATER. */
extern bool mg_expr_put_terms(MgExprBuild *b, mg_expr_kind kind, uint32 compare, const mg_term *terms, uint32 nterms,
							  double constant, bool decimal);

/* The modelled column that the node is, under relabels and casts that change nothing; NULL: it is none. */
extern const MgColumn *mg_expr_column(const MgExprBuild *b, Node *node);

/* Puts the comparison of two sums of numbers or times (expr_sums.c). */
extern bool mg_expr_compare_sums(MgExprBuild *b, uint32 compare, Node *left, Node *right);

#endif
