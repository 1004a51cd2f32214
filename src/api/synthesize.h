/*
 * api/synthesize.h: the functions that the scan node of emit/ takes the place of.
 */
#ifndef MIRAGE_API_SYNTHESIZE_H
#define MIRAGE_API_SYNTHESIZE_H

#include "pg/export.h"

extern PGDLLEXPORT Datum dp_synthesize(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum dp_synthesize_as(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum dp_synthesize_support(PG_FUNCTION_ARGS);

#endif
