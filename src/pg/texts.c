/*
 * pg/texts.c: see texts.h.
 */
#include "pg/texts.h"

bool
mg_texts_have(const List *texts, const char *text)
{
	ListCell *cell;

	foreach (cell, texts)
		if (strcmp(lfirst(cell), text) == 0)
			return true;
	return false;
}

bool
mg_texts_equal(const List *a, const List *b)
{
	ListCell *x, *y;

	if (list_length(a) != list_length(b))
		return false;
	forboth (x, a, y, b)
		if (strcmp(lfirst(x), lfirst(y)) != 0)
			return false;
	return true;
}
