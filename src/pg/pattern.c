/*
 * pg/pattern.c: identifier patterns; see pattern.h. No state, no allocation.
 */
#include "postgres.h"

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
