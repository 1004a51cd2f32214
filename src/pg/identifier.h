/*
 * pg/identifier.h: identifiers that continue those which a table already has.
 *
 * A release numbers its rows from 0, and pg/decode.c makes each identifier of its row's number: 1, 2, 3, .. of integers
 * and texts, the i-th text of a pattern. A row that comes after others is numbered from `first` instead; UUIDs are
 * drawn and need no number.
 */
#ifndef MIRAGE_PG_IDENTIFIER_H
#define MIRAGE_PG_IDENTIFIER_H

#include "postgres.h"

#include "pg/columns.h"

/* How many rows have an identifier of their own in a column of type `type` (a domain or not). Saturates. */
extern uint64 mg_identifier_room(const MgColumn *column, Oid type);

/*
 * A query for the largest identifier of this kind in column `attribute`, of type `type`, of `relation` (both quoted as
 * SQL needs it): one text, NULL where there is none. NULL: the column needs no number.
 */
extern char *mg_identifier_query(const MgColumn *column, const char *relation, const char *attribute, Oid type);

/* The number of the first row after the largest, which that query gave; false where it is beyond all numbers. */
extern bool mg_identifier_after(const MgColumn *column, const char *largest, uint64 *first);

#endif
