/*
 * pg/attribute.h: facts of the catalogs about one attribute of an open relation. Private to pg/.
 */
#ifndef MIRAGE_PG_ATTRIBUTE_H
#define MIRAGE_PG_ATTRIBUTE_H

#include "postgres.h"

#include "catalog/pg_attribute.h"
#include "nodes/pg_list.h"
#include "utils/rel.h"

/* Is the column alone the key of a primary key or of a valid, whole unique index, and never NULL? */
extern bool mg_is_key(Relation rel, AttrNumber attnum, bool notnull);
/* An identity column, or one whose default draws from a sequence. */
extern bool mg_is_serial(Relation rel, Form_pg_attribute att);
/*
 * Does the table promise that there is no NULL? A NOT NULL of 18 may be NOT VALID or NO INHERIT; a foreign table's is
 * a wish.
 */
extern bool mg_is_not_null(Relation rel, Form_pg_attribute att);
/* Is one of the domains over which the type lies NOT NULL? */
extern bool mg_domain_is_not_null(Oid type);
/* Labels of an enum in its own order, char *. */
extern List *mg_enum_labels(Oid type);
/*
 * The text of a default that is a constant, or NULL: what an excluded NOT NULL column can be filled with. base: the
 * type that reads it back, for whoever asks for rows, and so one whose input runs nobody's code.
 */
extern char *mg_constant_default(Relation rel, Form_pg_attribute att, Oid base);

#endif
