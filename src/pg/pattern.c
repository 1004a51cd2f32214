/*
 * pg/pattern.c: identifier patterns; see pattern.h. No state, no allocation.
 */
#include "postgres.h"

#include <ctype.h>

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "pg/pattern.h"

static uint32
radix_of(char c)
{
	switch (c)
	{
		case '#':
			return 10;
		case '@':
			return 26;
		case '*':
			return 36;
		default:
			return 0;
	}
}

static char
symbol(char place, uint32 digit)
{
	if (place == '@')
		return (char) ('A' + digit);
	return (char) (digit < 10 ? '0' + digit : 'A' + digit - 10);
}

void
mg_pattern_check(const char *pattern, int32 typmod)
{
	size_t len = strlen(pattern), backslashes = 0;
	bool place = false;

	if (len == 0 || len > MG_PATTERN_BYTES)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a pattern must have between 1 and %d bytes", MG_PATTERN_BYTES)));
	for (size_t i = 0; i < len; i++)
	{
		if (pattern[i] == '\\')
		{
			if (i + 1 == len)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a pattern must not end with a backslash")));
			backslashes++;
			i++;
		}
		else
			place |= radix_of(pattern[i]) != 0;
	}
	if (!place)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("pattern \"%s\" gives the same text for every row", pattern),
						errhint("Use # for a digit, @ for a letter and * for either.")));
	if (typmod >= (int32) VARHDRSZ && pg_mbstrlen(pattern) - (int) backslashes > typmod - (int32) VARHDRSZ)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("pattern \"%s\" is longer than the column's %d characters", pattern,
							   typmod - (int32) VARHDRSZ)));
}

size_t
mg_pattern_write(const char *pattern, uint64 row, char *out)
{
	/* where the places are in the output, to be filled from the right */
	uint8 at[MG_PATTERN_BYTES];
	char place[MG_PATTERN_BYTES];
	size_t n = 0, len = 0;

	for (const char *p = pattern; *p != '\0' && len < MG_PATTERN_BYTES; p++)
	{
		if (*p == '\\' && p[1] != '\0')
			out[len++] = *++p;
		else
		{
			if (radix_of(*p) != 0)
			{
				at[n] = (uint8) len;
				place[n++] = *p;
			}
			out[len++] = *p;
		}
	}
	while (n > 0)
	{
		uint32 radix = radix_of(place[--n]);

		out[at[n]] = symbol(place[n], (uint32) (row % radix));
		row /= radix;
	}
	out[len] = '\0';
	return len;
}

uint64
mg_pattern_capacity(const char *pattern)
{
	uint64 capacity = 1;

	for (const char *p = pattern; *p != '\0'; p++)
	{
		uint32 radix = radix_of(*p);

		if (*p == '\\' && p[1] != '\0')
			p++;
		else if (radix != 0)
		{
			if (capacity > PG_UINT64_MAX / radix)
				return PG_UINT64_MAX;
			capacity *= radix;
		}
	}
	return capacity;
}

/* The digit that the character stands for in such a place; -1: none. */
static int
digit_of(char place, char c)
{
	if (c >= '0' && c <= '9')
		return place == '@' ? -1 : c - '0';
	if (c >= 'A' && c <= 'Z' && place != '#')
		return c - 'A' + (place == '@' ? 0 : 10);
	return -1;
}

bool
mg_pattern_row(const char *pattern, const char *text, uint64 *row)
{
	uint64 n = 0;

	for (const char *p = pattern; *p != '\0'; p++, text++)
	{
		uint32 radix = radix_of(*p);
		int digit;

		if (*p == '\\' && p[1] != '\0')
			p++;
		if (radix == 0)
		{
			if (*text != *p)
				return false;
			continue;
		}
		digit = digit_of(*p, *text);
		if (digit < 0 || n > (PG_UINT64_MAX - (uint64) digit) / radix)
			return false;
		n = n * radix + (uint64) digit;
	}
	*row = n;
	return *text == '\0';
}

char *
mg_pattern_regex(const char *pattern)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '^');
	for (const char *p = pattern; *p != '\0'; p++)
	{
		uint32 radix = radix_of(*p);

		if (*p == '\\' && p[1] != '\0')
			p++;
		if (radix != 0)
			appendStringInfoString(&buf, radix == 10 ? "[0-9]" : radix == 26 ? "[A-Z]" : "[0-9A-Z]");
		else
		{
			/* a letter after a backslash would mean something, and what is no ASCII needs none */
			if (!IS_HIGHBIT_SET(*p) && !isalnum((unsigned char) *p))
				appendStringInfoChar(&buf, '\\');
			appendStringInfoChar(&buf, *p);
		}
	}
	appendStringInfoChar(&buf, '$');
	return buf.data;
}
