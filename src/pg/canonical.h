/*
 * pg/canonical.h: JSON in its canonical form of bytes, which is what is signed.
 */
#ifndef MIRAGE_PG_CANONICAL_H
#define MIRAGE_PG_CANONICAL_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

/*
 * Appends the canonical form of a document, in UTF-8 whatever the database's encoding: RFC 8785 (JSON Canonicalization
 * Scheme). except: a member of the outermost object that is left out; NULL: none. False when there is no such form: a
 * number that no double holds, so that another could stand in its place; then what was appended is of no use.
 */
extern bool mg_canonical_json(StringInfo buf, Jsonb *document, const char *except);

#endif
