/*
 * pg/pattern.h: the small language of identifier patterns. Private to pg/.
 *
 *   #  a digit       @  a letter A-Z       *  a digit or a letter A-Z       \c  the character c       else  itself
 *
 * Row i of a pattern is i written in the mixed radix of its places, the last place fastest: distinct rows give
 * distinct texts until the capacity (the product of the radices) is used up, then it starts anew.
 */
#ifndef MIRAGE_PG_PATTERN_H
#define MIRAGE_PG_PATTERN_H

#include "postgres.h"

#define MG_PATTERN_BYTES 200 /* longest pattern */

/*
 * Errors for a pattern that is malformed, has no place, or does not fit a varchar or char of this typmod (-1: any
 * length).
 */
extern void mg_pattern_check(const char *pattern, int32 typmod);

/*
 * Writes row `row` into out (at least MG_PATTERN_BYTES + 1); returns the length in bytes. The pattern is a checked
 * one.
 */
extern size_t mg_pattern_write(const char *pattern, uint64 row, char *out);

/* How many rows have a text of their own. Saturates. */
extern uint64 mg_pattern_capacity(const char *pattern);

/* The row that `text` is the text of; false where it is none of the pattern, or one beyond 64 bits. */
extern bool mg_pattern_row(const char *pattern, const char *text, uint64 *row);

/* A regular expression that the pattern's texts match, and no others. palloc'ed. */
extern char *mg_pattern_regex(const char *pattern);

#endif
