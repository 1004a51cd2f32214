/*
 * pg/conditions.h: a parsed boolean expression over a table's columns as the core's expression (model/constraint.h).
 * Private to pg/.
 */
#ifndef MIRAGE_PG_CONDITIONS_H
#define MIRAGE_PG_CONDITIONS_H

#include "model/constraint.h"
#include "pg/types.h"

typedef struct MgScope
{
	const MgColumns *columns;
	int nattrs;
	const int *column_of;  /* [nattrs + 1] attribute number -> index into columns->col; -1: none */
	const MgColumn *value; /* what CoerceToDomainValue stands for, or NULL */
} MgScope;

/*
 * expr: simplified, and free of foreign code (mg_contains_foreign_code); of columns with core >= 0 only. False where it
 * says anything that the core cannot say in exactly the same way. nodes: palloc'ed.
 */
extern bool mg_condition_translate(const MgScope *scope, Node *expr, mg_expr **nodes, uint32 *n);

#endif
