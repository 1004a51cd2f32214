/*
 * worker/params.c: texts among the parameters that travel to a worker: a byte that says whether there is one, then
 * its length and bytes. What is read back is palloc'd in the current context; a parameter that is cut short makes
 * the reader fail, which whoever unpacks a call asks for once, at its end.
 */
#include "worker/shared.h"

void
mg_params_put_text(mg_writer *w, const char *s)
{
	mg_put_u8(w, s != NULL);
	if (s != NULL)
		mg_put_str(w, s, strlen(s));
}

void
mg_params_put_texts(mg_writer *w, List *texts)
{
	ListCell *lc;

	mg_put_u32(w, (uint32_t) list_length(texts));
	foreach (lc, texts)
		mg_params_put_text(w, lfirst(lc));
}

char *
mg_params_text(mg_reader *r)
{
	size_t n;
	const char *s;

	if (mg_get_u8(r) == 0)
		return NULL;
	s = mg_get_str(r, &n);
	return s == NULL ? pstrdup("") : pnstrdup(s, n);
}

List *
mg_params_texts(mg_reader *r)
{
	uint32_t n = mg_get_count(r, 1);
	List *texts = NIL;

	for (uint32_t i = 0; i < n; i++)
		texts = lappend(texts, mg_params_text(r));
	return texts;
}
