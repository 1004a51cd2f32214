/*
 * pg/canonical.h: JSON in its canonical form of bytes, which is what is signed.
 */
#ifndef MIRAGE_PG_CANONICAL_H
#define MIRAGE_PG_CANONICAL_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

/*
 * A string of the database's encoding in UTF-8: `s` itself, or palloc'ed. SQL_ASCII says nothing of what its bytes
 * mean: they are taken as they are, so that no value can make this fail.
 */
extern char *mg_to_utf8(const char *s, int len, int *out_len);
extern char *mg_from_utf8(const char *s, int len); /* back */

/*
 * Appends the canonical form of a document, in UTF-8 whatever the database's encoding: RFC 8785 (JSON Canonicalization
 * Scheme). except: a member of the outermost object that is left out; NULL: none. False when there is no such form: a
 * number that no double holds, so that another could stand in its place; then what was appended is of no use.
 */
extern bool mg_canonical_json(StringInfo buf, Jsonb *document, const char *except);

#endif
