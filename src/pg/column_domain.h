/*
 * pg/column_domain.h: the kind and the domain of one column, from what its owner declared and its schema says. Private
 * to pg/. decl may be NULL: nothing was declared.
 */
#ifndef MIRAGE_PG_COLUMN_DOMAIN_H
#define MIRAGE_PG_COLUMN_DOMAIN_H

#include "pg/checks.h"
#include "pg/columns.h"
#include "pg/types.h"
#include "utils/rel.h"

/*
 * What the declaration implies, says, or gets wrong about the kind; of col, name, types and notnull are set. keyed: it
 * holds keys of a public table. Errors: an unknown kind, one that does not fit the type, a type that cannot be learnt.
 */
extern MgColumnKind mg_column_choose_kind(Relation rel, Form_pg_attribute att, const MgDeclaration *decl,
										  const MgColumn *col, bool keyed);
/* Error where the declaration says what makes no sense for col->kind. */
extern void mg_column_check_parameters(const MgColumn *col, const MgDeclaration *decl);
/*
 * Sets col->domain (but its name and nullable) and col->source; col->kind is category, number or time, and becomes
 * category where the checks list the values and nothing else was declared. checks: bounds may be added from the list.
 * Errors: bounds that leave no value, categories that the table does not allow, too many or too long ones.
 */
extern void mg_column_set_domain(MgColumn *col, const MgDeclaration *decl, MgChecks *checks);

#endif
