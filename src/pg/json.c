/*
 * pg/json.c: see json.h.
 */
#include "pg/json.h"

#include "utils/json.h"

void
mg_json_begin(StringInfo b)
{
	initStringInfo(b);
	appendStringInfoChar(b, '{');
}

char *
mg_json_end(StringInfo b)
{
	appendStringInfoChar(b, '}');
	return b->data;
}

static void
begin_member(StringInfo b, const char *name)
{
	if (b->len > 0 && b->data[b->len - 1] != '{')
		appendStringInfoString(b, ", ");
	escape_json(b, name);
	appendStringInfoString(b, ": ");
}

void
mg_json_text(StringInfo b, const char *name, const char *value)
{
	if (value == NULL)
		return;
	begin_member(b, name);
	escape_json(b, value);
}

void
mg_json_append_texts(StringInfo b, const List *texts)
{
	ListCell *cell;

	appendStringInfoChar(b, '[');
	foreach (cell, texts)
	{
		if (foreach_current_index(cell) > 0)
			appendStringInfoString(b, ", ");
		escape_json(b, lfirst(cell));
	}
	appendStringInfoChar(b, ']');
}

void
mg_json_texts(StringInfo b, const char *name, const List *texts)
{
	if (texts == NIL)
		return;
	begin_member(b, name);
	mg_json_append_texts(b, texts);
}

void
mg_json_int(StringInfo b, const char *name, int64 value)
{
	begin_member(b, name);
	appendStringInfo(b, INT64_FORMAT, value);
}

void
mg_json_double(StringInfo b, const char *name, double value)
{
	begin_member(b, name);
	appendStringInfo(b, "%.17g", value);
}

void
mg_json_bool(StringInfo b, const char *name, bool value)
{
	begin_member(b, name);
	appendStringInfoString(b, value ? "true" : "false");
}

void
mg_json_raw(StringInfo b, const char *name, const char *json)
{
	if (json == NULL)
		return;
	begin_member(b, name);
	appendStringInfoString(b, json);
}
