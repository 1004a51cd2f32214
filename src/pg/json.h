/*
 * pg/json.h: small JSON objects, written member by member: details of the log's entries, cards, receipts. Names and
 * texts are escaped. What has no value is left out: NULL, NIL.
 */
#ifndef MIRAGE_PG_JSON_H
#define MIRAGE_PG_JSON_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"

/* Between these: members of an object. end returns the text, which is palloc'ed. */
extern void mg_json_begin(StringInfo b);
extern char *mg_json_end(StringInfo b);

extern void mg_json_text(StringInfo b, const char *name, const char *value);
extern void mg_json_texts(StringInfo b, const char *name, const List *texts); /* char * */
extern void mg_json_int(StringInfo b, const char *name, int64 value);
extern void mg_json_double(StringInfo b, const char *name, double value); /* finite; reads back as the same */
extern void mg_json_bool(StringInfo b, const char *name, bool value);
extern void mg_json_raw(StringInfo b, const char *name, const char *json); /* any value, as JSON */

/* An array of texts on its own. */
extern void mg_json_append_texts(StringInfo b, const List *texts);

#endif
