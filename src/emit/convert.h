/*
 * emit/convert.h: from the values of a model's column to those of an attribute that the caller named. Private to emit/.
 */
#ifndef MIRAGE_EMIT_CONVERT_H
#define MIRAGE_EMIT_CONVERT_H

#include "emit/emit.h"

#include "catalog/pg_attribute.h"

typedef struct MgConversion MgConversion;

/*
 * Compiled once, in the current memory context, which has to live as long as the release; NULL where a value is one of
 * the attribute as it is. Errors: there is no assignment cast, or only one that somebody wrote.
 */
extern MgConversion *mg_conversion_create(MgRelease *release, const MgColumn *column, Form_pg_attribute att);
/*
 * Converts the value of a row of the batch, where it is; number: of the row, from 0. What is made anew is in the
 * current memory context or in the conversion's. After mg_release_begin.
 */
extern void mg_convert(MgConversion *c, const mg_batch *batch, uint32 row, uint64 number, Datum *value, bool *null);

#endif
