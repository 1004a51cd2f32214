/*
 * emit/where.h: a query's WHERE clauses as conditions that rows can be passed over by (synthesis/where.h).
 *
 * Taken are clauses on one column whose operators belong to the default btree family of its type: comparisons with
 * something that stays the same during a scan, IN, BETWEEN, = ANY, IS NULL, a boolean itself, and AND, OR, NOT of
 * these. What they admit here is a superset of what satisfies them; the executor judges every row that is left.
 */
#ifndef MIRAGE_EMIT_WHERE_H
#define MIRAGE_EMIT_WHERE_H

#include "emit/emit.h"
#include "nodes/execnodes.h"

/* Can it be judged by one attribute of relation `relid` (of the range table) alone? *attnum: by which. */
extern bool mg_where_usable(Index relid, Node *clause, AttrNumber *attnum);

/*
 * The condition that a conjunction of usable clauses sets on `column`, which their attribute shows unconverted; in the
 * current memory context. parent: the scan; NULL: no more than constants may be compared with (planning).
 */
extern mg_condition mg_where_condition(MgRelease *release, const MgColumn *column, List *clauses, PlanState *parent,
									   ExprContext *econtext);

#endif
