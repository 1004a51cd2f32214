/*
 * model/check.h: a constraint whose texts are resolved for the columns of one model. Private to check.c, which makes it
 * and runs it over rows, and zeros.c, which runs it over boxes of coarse codes.
 */
#ifndef MIRAGE_MODEL_CHECK_H
#define MIRAGE_MODEL_CHECK_H

#include "model/constraint.h"

/* Over label indexes 0..nlabels, the last standing for what has no label of its own: `other`, or what a NOT NULL column
 * shows. */
typedef struct mg_check_tables
{
	uint8_t *truth;       /* LABELS */
	uint32_t *id, *other; /* SAME: numbers of the texts of the two columns: equal texts, equal numbers */
	double **number;      /* COMPARE: [nterms] labels as numbers; NULL for a number */
} mg_check_tables;

struct mg_check
{
	const mg_expr *expr;
	mg_check_tables *tables; /* [nnodes] */
	uint8_t *level[MG_MAX_EXPR_DEPTH + 1];
	double *sum, *size; /* of a block of rows */
};

/* A label as a number; what is none (a NaN) is above all, as it is in the type's order. */
double mg_label_number(const mg_column *col, uint32_t index);

#endif
