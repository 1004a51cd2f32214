/*
 * emit/given.h: the conditions of a release: {"column": condition, ..}, a conjunction, of the call and of the grant
 * that it is made by.
 */
#ifndef MIRAGE_EMIT_GIVEN_H
#define MIRAGE_EMIT_GIVEN_H

#include "postgres.h"

#include "pg/columns.h"
#include "synthesis/condition.h"
#include "utils/jsonb.h"

typedef struct MgGiven
{
	int n;
	mg_condition *condition; /* [n] */
	char *columns;           /* a JSON array of the columns' names, for the record; NULL: no conditions */
} MgGiven;

/*
 * Reads the conditions on a model's columns and notes each in its column, for decoding, in place of what was noted
 * there; all memory is the current context's. call, grant: NULL for none; where both are about a column, both hold.
 * named: the only columns (char *) that the call may condition on, NIL: all. Refuses names that the model does not
 * have, or not for this caller, and columns that it has not learnt.
 */
extern MgGiven mg_given_parse(Jsonb *call, Jsonb *grant, MgColumns *columns, List *named, const char *model);
/* Are all columns that the call conditions on among these? */
extern bool mg_given_within(Jsonb *call, List *named);
/* Those columns of the model that are named, in its order; NIL: all. */
extern MgColumns *mg_columns_named(const MgColumns *columns, List *named);

#endif
