/*
 * pg/column_condition.h: what a caller's condition on one column means: from JSON, by the column's own type, to the
 * core's labels and intervals.
 *
 *   value                      equality; null is IS NULL
 *   [value, ..]                category: any of these, null among them
 *   [low, high]                number, time: both ends belong to it; null: no end
 *   {"in": [value, ..]}        any of these, of every kind
 *   {"between": [low, high]}   number, time
 *   {"not": any of the above}  what is not NULL and does not satisfy it: SQL's NOT
 *
 * Strings go through the input function of the column's base type, all of which are the server's own; constraints of
 * domains are not run. Numbers are taken exactly; where no double holds one, an end moves inwards.
 */
#ifndef MIRAGE_PG_COLUMN_CONDITION_H
#define MIRAGE_PG_COLUMN_CONDITION_H

#include "postgres.h"

#include "pg/columns.h"
#include "synthesis/condition.h"
#include "utils/jsonb.h"

typedef struct MgColumnCondition MgColumnCondition;

/* Everything in the current memory context. col: of the core (col->core >= 0). Errors name the column. */
extern MgColumnCondition *mg_condition_parse(const MgColumn *col, const JsonbValue *spec);
/* What satisfies both of two conditions on one column; refers to both. */
extern MgColumnCondition *mg_condition_both(const MgColumnCondition *a, const MgColumnCondition *b);
/* For the core; refers to the condition. */
extern mg_condition mg_condition_core(const MgColumnCondition *condition);

/*
 * numeric only, whose values are more exact than the doubles that the core draws: the value that `d`, decoded from
 * `point`, must be replaced by so that the condition holds in decimals too: d itself mostly, else fresh memory.
 */
extern Datum mg_condition_fit(const MgColumnCondition *condition, Datum d, double point);

#endif
