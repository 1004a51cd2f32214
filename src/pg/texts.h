/*
 * pg/texts.h: lists of texts (char *, NUL-terminated, in the server's encoding), compared byte by byte: names of
 * columns, labels, purposes. No collation enters: what is equal here is the same to every reader.
 */
#ifndef MIRAGE_PG_TEXTS_H
#define MIRAGE_PG_TEXTS_H

#include "postgres.h"

#include "nodes/pg_list.h"

extern bool mg_texts_have(const List *texts, const char *text);
/* The same texts in the same order. */
extern bool mg_texts_equal(const List *a, const List *b);

#endif
