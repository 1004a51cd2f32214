/*
 * tools/cppcheck.h: what cppcheck takes the server's macros for, since it does not read the server's headers. No source
 * includes this; tools/lint.sh gives it to cppcheck.
 */
#define PG_FUNCTION_ARGS void *fcinfo
#define PG_FUNCTION_INFO_V1(f) extern int cppcheck_v1
#define PG_MODULE_MAGIC extern int cppcheck_magic
#define PG_MODULE_MAGIC_EXT(...) extern int cppcheck_magic
#define PGDLLEXPORT
#define PGDLLIMPORT
#define pg_attribute_noreturn() __attribute__((noreturn))
#define pg_noreturn
#define pg_attribute_printf(f, a)
#define FLEXIBLE_ARRAY_MEMBER
#define PG_TRY() if (1)
#define PG_CATCH() else
#define PG_FINALLY()
#define PG_END_TRY()
#define PG_RE_THROW() abort()
#define foreach(cell, list) for (cell = list_head(list); cell; cell = lnext(list, cell))
#define ERROR 21
#define FATAL 22
#define PANIC 23
#define WARNING 19
#define NOTICE 18
#define INFO 17
#define LOG 15
#define DEBUG1 14
#define DEBUG2 13
#define ereport(level, ...) \
	do \
	{ \
		if ((level) >= ERROR) \
			abort(); \
	} while (0)
#define elog(level, ...) \
	do \
	{ \
		if ((level) >= ERROR) \
			abort(); \
	} while (0)
