/*
 * emit/given.h: the parameter `conditions` of a release: {"column": condition, ..}, a conjunction.
 */
#ifndef MIRAGE_EMIT_GIVEN_H
#define MIRAGE_EMIT_GIVEN_H

#include "postgres.h"

#include "pg/columns.h"
#include "synthesis/condition.h"

typedef struct MgGiven
{
	int n;
	mg_condition *condition; /* [n] */
	char *columns;           /* a JSON array of the columns' names, for the record; NULL: no conditions */
} MgGiven;

/*
 * Reads the conditions on a model's columns and notes each in its column, for decoding; all memory is the current
 * context's. Refuses names that the model does not have, and columns that it has not learnt.
 */
extern MgGiven mg_given_parse(Datum conditions, MgColumns *columns, const char *model);

#endif
