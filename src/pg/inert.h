/*
 * pg/inert.h: expressions that somebody else wrote, and that are to run with the rights of whoever calls.
 */
#ifndef MIRAGE_PG_INERT_H
#define MIRAGE_PG_INERT_H

#include "postgres.h"

#include "nodes/nodes.h"

/*
 * Does the expression run nothing but code of the server's own, of kinds that do no more than compute a value? Then a
 * caller may run it whoever wrote it. Domains, composite types and types of others are refused with their constraints
 * and functions, all that reads tables or settings on demand with them: what is not known to be harmless is not.
 */
extern bool mg_expression_is_inert(Node *expr);
/* Does it draw from a sequence? */
extern bool mg_expression_draws(Node *expr);

#endif
