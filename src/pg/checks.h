/*
 * pg/checks.h: what validated CHECK constraints say about one column. Private to pg/.
 */
#ifndef MIRAGE_PG_CHECKS_H
#define MIRAGE_PG_CHECKS_H

#include "nodes/primnodes.h"
#include "pg/fkeys.h"
#include "pg/types.h"
#include "utils/rel.h"

typedef struct MgChecks
{
	bool has_lower, has_upper; /* bounds on the type's axis, inclusive, on its fine lattice */
	double lower, upper;
	bool has_labels; /* the value is one of these, or NULL */
	List *labels;    /* of char *: canonical texts, distinct, in the order of the constraint */
	bool notnull;    /* CHECK (.. IS NOT NULL) */
	char *source;    /* what the labels or bounds come from, where it is more than CHECK constraints; else NULL */
	List *unused;    /* of char *: names of constraints on this column that say more than is used here */
} MgChecks;

/* Among the unused: such leave nothing but NULL, which no domain can say. */
#define MG_CHECKS_CONTRADICT "constraints that contradict each other"

/*
 * Of the relation's column and of its domain types. Constraints that are not validated, not enforced, not inherited,
 * or on a foreign table guarantee nothing and are left out. typmod and cls are the base type's.
 */
extern void mg_read_checks(Relation rel, AttrNumber attnum, Oid type, MgTypeClass cls, int32 typmod, MgChecks *out);
/* Narrows what the constraints allow to the keys of a public table; false where nothing would be left: no key is used.
 */
extern bool mg_checks_add_keys(MgChecks *checks, const MgKeys *keys, MgTypeClass cls, Oid base, int32 typmod);

/* What reading a constraint's expression needs. */

/* Is there a function that is not the server's own and immutable, or a sub-select? Such an expression is not touched.
 */
extern bool mg_contains_foreign_code(Node *node);
/* Is the function the cast between its only argument's type and its result's? */
extern bool mg_cast_is_known(const FuncExpr *f);
/* Such a cast that keeps order and equality exactly. */
extern bool mg_cast_is_faithful(const FuncExpr *f);
extern Const *mg_as_constant(Node *node); /* NULL: it is none */
/* Strategy of the operator in the default btree family of its left operand; 0: none. */
extern int mg_btree_strategy(Oid op, Oid lefttype);

#endif
