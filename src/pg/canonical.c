/*
 * pg/canonical.c: the canonical form of JSON after RFC 8785: no white space, members in the order of their names'
 * UTF-16 code units, numbers as ECMAScript prints them, strings with as few escapes as there can be.
 *
 * jsonb has parsed the document before: of members of one name the last counts. Numbers are numerics there; one counts
 * as canonical only if its double, printed, is the same number again, so that no two numbers share a form.
 */
#include "pg/canonical.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "seal/encode.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

static bool put_container(StringInfo buf, JsonbContainer *c, const char *except);

char *
mg_to_utf8(const char *s, int len, int *out_len)
{
	char *text = GetDatabaseEncoding() == PG_SQL_ASCII ? (char *) s : pg_server_to_any(s, len, PG_UTF8);

	*out_len = text == s ? len : (int) strlen(text);
	return text;
}

char *
mg_from_utf8(const char *s, int len)
{
	return GetDatabaseEncoding() == PG_SQL_ASCII ? pnstrdup(s, (Size) len) : pg_any_to_server(s, len, PG_UTF8);
}

static void
put_string(StringInfo buf, const char *s, int len)
{
	int n;
	const char *text = mg_to_utf8(s, len, &n);

	appendStringInfoChar(buf, '"');
	for (int i = 0; i < n; i++)
	{
		unsigned char c = (unsigned char) text[i];

		switch (c)
		{
			case '"':
				appendStringInfoString(buf, "\\\"");
				break;
			case '\\':
				appendStringInfoString(buf, "\\\\");
				break;
			case '\b':
				appendStringInfoString(buf, "\\b");
				break;
			case '\f':
				appendStringInfoString(buf, "\\f");
				break;
			case '\n':
				appendStringInfoString(buf, "\\n");
				break;
			case '\r':
				appendStringInfoString(buf, "\\r");
				break;
			case '\t':
				appendStringInfoString(buf, "\\t");
				break;
			default:
				if (c < 0x20)
					appendStringInfo(buf, "\\u%04x", c);
				else
					appendStringInfoCharMacro(buf, (char) c);
		}
	}
	appendStringInfoChar(buf, '"');
}

static bool
put_number(StringInfo buf, Numeric value)
{
	char *text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value)));
	char form[MG_JSON_NUMBER_SIZE];
	Datum again;

	if (!mg_json_number(strtod(text, NULL), form)) /* out of a double's range, or no number at all */
		return false;
	again = DirectFunctionCall3(numeric_in, CStringGetDatum(form), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	if (!DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(value), again)))
		return false;
	appendStringInfoString(buf, form);
	return true;
}

static bool
put_value(StringInfo buf, JsonbValue *v)
{
	switch (v->type)
	{
		case jbvNull:
			appendStringInfoString(buf, "null");
			return true;
		case jbvBool:
			appendStringInfoString(buf, v->val.boolean ? "true" : "false");
			return true;
		case jbvNumeric:
			return put_number(buf, v->val.numeric);
		case jbvString:
			put_string(buf, v->val.string.val, v->val.string.len);
			return true;
		case jbvBinary:
			return put_container(buf, v->val.binary.data, NULL);
		default:
			elog(ERROR, "unexpected kind of JSON value: %d", (int) v->type);
	}
	return false;
}

typedef struct Member
{
	char *name; /* in UTF-8 */
	int len;
	JsonbValue key, value;
} Member;

/* Where UTF-16 puts a code unit: it sorts what it writes as surrogates (four bytes in UTF-8) before U+E000 to U+FFFF.
 */
static int
rank_of_lead(unsigned char c)
{
	return c >= 0xf0 ? c - 2 : c >= 0xee ? c + 16 : c;
}

/* A lead byte that differs decides by its rank; below it the order of bytes is that of code points. */
static int
compare_members(const void *a, const void *b)
{
	const Member *x = a, *y = b;
	int n = Min(x->len, y->len);

	for (int i = 0; i < n; i++)
	{
		unsigned char c = (unsigned char) x->name[i], d = (unsigned char) y->name[i];

		if (c != d)
			return rank_of_lead(c) - rank_of_lead(d);
	}
	return (x->len > y->len) - (x->len < y->len);
}

static bool
put_object(StringInfo buf, JsonbContainer *c, const char *except)
{
	Member *member = palloc(sizeof(Member) * Max(JsonContainerSize(c), 1));
	JsonbIterator *it = JsonbIteratorInit(c);
	JsonbIteratorToken token;
	JsonbValue v;
	int n = 0;
	bool good = true;

	token = JsonbIteratorNext(&it, &v, true);
	while ((token = JsonbIteratorNext(&it, &v, true)) == WJB_KEY)
	{
		Member *m = &member[n];

		m->key = v;
		m->name = mg_to_utf8(v.val.string.val, v.val.string.len, &m->len);
		(void) JsonbIteratorNext(&it, &m->value, true);
		if (except == NULL || m->len != (int) strlen(except) || memcmp(m->name, except, (size_t) m->len) != 0)
			n++;
	}
	qsort(member, (size_t) n, sizeof(Member), compare_members);
	appendStringInfoChar(buf, '{');
	for (int i = 0; i < n && good; i++)
	{
		if (i > 0)
			appendStringInfoChar(buf, ',');
		put_string(buf, member[i].key.val.string.val, member[i].key.val.string.len);
		appendStringInfoChar(buf, ':');
		good = put_value(buf, &member[i].value);
	}
	appendStringInfoChar(buf, '}');
	pfree(member);
	return good;
}

static bool
put_array(StringInfo buf, JsonbContainer *c)
{
	bool scalar = JsonContainerIsScalar(c);
	uint32 n = JsonContainerSize(c);
	bool good = true;

	if (!scalar)
		appendStringInfoChar(buf, '[');
	for (uint32 i = 0; i < n && good; i++)
	{
		JsonbValue *v = getIthJsonbValueFromContainer(c, i);

		if (i > 0)
			appendStringInfoChar(buf, ',');
		good = put_value(buf, v);
	}
	if (!scalar)
		appendStringInfoChar(buf, ']');
	return good;
}

static bool
put_container(StringInfo buf, JsonbContainer *c, const char *except)
{
	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	return JsonContainerIsObject(c) ? put_object(buf, c, except) : put_array(buf, c);
}

bool
mg_canonical_json(StringInfo buf, Jsonb *document, const char *except)
{
	return put_container(buf, &document->root, except);
}
