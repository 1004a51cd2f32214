/* api/watch.h: functions whose refusals are counted. */
#ifndef MIRAGE_API_WATCH_H
#define MIRAGE_API_WATCH_H

#include "api/args.h"

#include "catalog/watch.h"

/* Calls `function` by mg_watch_call. Not for functions that return rows one by one. */
extern Datum mg_watched(MgWatched what, PGFunction function, FunctionCallInfo fcinfo);

/* Opens the definition of a function that SQL calls: "MG_WATCHED_FUNCTION(dp_x, MG_WATCHED_ACT) { .. }". */
#define MG_WATCHED_FUNCTION(name, what)                 \
	static Datum name##_call(PG_FUNCTION_ARGS);         \
	Datum name(PG_FUNCTION_ARGS)                        \
	{                                                   \
		return mg_watched((what), name##_call, fcinfo); \
	}                                                   \
	static Datum name##_call(PG_FUNCTION_ARGS)

/* Called once, from _PG_init. */
extern void mg_watch_init(void);

#endif
