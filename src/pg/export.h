/*
 * pg/export.h: the symbols that the server looks up in the module. All others are hidden (-fvisibility=hidden).
 */
#ifndef MIRAGE_PG_EXPORT_H
#define MIRAGE_PG_EXPORT_H

#include "postgres.h"

#include "fmgr.h"

/* Before 16 PGDLLEXPORT says nothing where symbols are visible by default, as those of the server's own modules were.
 * It is expanded where PG_MODULE_MAGIC and PG_FUNCTION_INFO_V1 are used, so it can still be told. */
#if PG_VERSION_NUM < 160000
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))
extern PGDLLEXPORT void _PG_init(void);
#endif

/* A function that SQL calls: before 16 PG_FUNCTION_INFO_V1 exports its record, but not the function itself. */
#define MG_FUNCTION(name)                            \
	extern PGDLLEXPORT Datum name(PG_FUNCTION_ARGS); \
	PG_FUNCTION_INFO_V1(name)

#endif
