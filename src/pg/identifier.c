/*
 * pg/identifier.c: identifiers that continue those which a table already has; see identifier.h.
 *
 * Texts of a pattern that stand in the order of "C" stand in the order of their rows: all have one length, and in each
 * place digits come before letters. So max() finds the last of them. Texts that are not of the pattern, and numbers
 * below one, are none of ours and cannot be met again.
 */
#include "postgres.h"

#include <math.h>

#include "pg/identifier.h"
#include "pg/pattern.h"
#include "pg/types.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* Decimal numbers that fit 64 bits with room to spare. */
#define DECIMAL_REGEX "^[1-9][0-9]{0,18}$"

static uint64
room_of_ints(MgTypeClass cls)
{
	switch (cls)
	{
		case MG_TYPE_INT2:
			return PG_INT16_MAX;
		case MG_TYPE_INT4:
			return PG_INT32_MAX;
		default:
			return PG_INT64_MAX;
	}
}

/* Characters that a text type of this modifier holds; 0: as many as there are. */
static int
most_characters(int32 typmod)
{
	return typmod >= (int32) VARHDRSZ ? typmod - (int32) VARHDRSZ : 0;
}

uint64
mg_identifier_room(const MgColumn *column, Oid type)
{
	MgTypeClass from = mg_type_class(column->base), to = mg_type_class(getBaseType(type));
	int most = most_characters(column->base_typmod);
	uint64 room = PG_UINT64_MAX;

	if (MG_TYPE_IS_INT(from))
		room = room_of_ints(from);
	else if (MG_TYPE_IS_TEXT(from) && column->pattern != NULL)
		room = mg_pattern_capacity(column->pattern);
	else if (MG_TYPE_IS_TEXT(from) && most > 0 && most < 19)
		room = (uint64) rint(mg_power10(most)) - 1;
	return MG_TYPE_IS_INT(to) ? Min(room, room_of_ints(to)) : room;
}

char *
mg_identifier_query(const MgColumn *column, const char *relation, const char *attribute, Oid type)
{
	MgTypeClass from = mg_type_class(column->base), to = mg_type_class(getBaseType(type));
	char *text = psprintf("t.%s::pg_catalog.text COLLATE pg_catalog.\"C\"", attribute), *regex;

	if (from == MG_TYPE_UUID)
		return NULL;
	if (MG_TYPE_IS_INT(from) && MG_TYPE_IS_INT(to))
		return psprintf("SELECT pg_catalog.max(t.%s)::pg_catalog.text FROM %s AS t", attribute, relation);
	if (MG_TYPE_IS_TEXT(from) && column->pattern != NULL)
	{
		regex = quote_literal_cstr(mg_pattern_regex(column->pattern));
		return psprintf("SELECT pg_catalog.max(%s) FROM %s AS t WHERE %s OPERATOR(pg_catalog.~) %s", text, relation,
						text, regex);
	}
	return psprintf("SELECT pg_catalog.max((%s)::pg_catalog.numeric)::pg_catalog.text FROM %s AS t "
					"WHERE %s OPERATOR(pg_catalog.~) '" DECIMAL_REGEX "'",
					text, relation, text);
}

bool
mg_identifier_after(const MgColumn *column, const char *largest, uint64 *first)
{
	*first = 0;
	if (largest == NULL || largest[0] == '-')
		return true;
	if (MG_TYPE_IS_TEXT(mg_type_class(column->base)) && column->pattern != NULL)
	{
		if (!mg_pattern_row(column->pattern, largest, first) || *first == PG_UINT64_MAX)
			return false;
		(*first)++;
		return true;
	}
	/* number n is that of row n - 1 */
	*first = strtoull(largest, NULL, 10);
	return true;
}
