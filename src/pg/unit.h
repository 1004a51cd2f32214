/*
 * pg/unit.h: the privacy unit as a column: what may be one, and its values as bytes for the curator.
 */
#ifndef MIRAGE_PG_UNIT_H
#define MIRAGE_PG_UNIT_H

#include "pg/columns.h"

/* The unit of a source: rows with equal values of a column of its base. */
typedef struct MgUnit
{
	char *base_column; /* of the base relation */
	char *column;      /* of the source: the same, or what a view calls it */
	Oid type;          /* base type */
	Oid collation;
	char *kind; /* what units of this kind are called: "column of type integer" */
	int max_rows;
} MgUnit;

#define MG_UNIT_KIND_ROW "row"

/*
 * The unit `column` of base relation `base` as the rows of `source` (the base, or a view over it) show it. Errors: no
 * such column, one that may be NULL, a type without a hash function, a view that does not show the column as it is.
 */
extern MgUnit *mg_unit_of_source(Oid source, Oid base, const char *column, int max_rows);
/* What a unit column is when its owner declared nothing about it: an identifier, or excluded; NULL: nobody asked. */
extern MgDeclaration *mg_unit_declaration(Oid source, const char *column);

/*
 * Values into mg_load_unit, as bytes that are the same exactly for values that the type's own equality calls equal: a
 * canonical form for the types that can be learnt, else (and for texts whose collation is not deterministic) 128 bits
 * of the type's extended hash function under two seeds that follow from the key. NULL, which a foreign table or a child
 * may hold all the same, is a unit of its own.
 */
typedef struct MgUnitEncoder MgUnitEncoder;
extern MgUnitEncoder *mg_unit_encoder_create(const MgUnit *unit, const uint8 key[32], mg_curator *curator);
extern void mg_unit_encoder_row(MgUnitEncoder *enc, Datum value, bool null);

#endif
