/* api/watch.h: functions whose refusals are counted. */
#ifndef MIRAGE_API_WATCH_H
#define MIRAGE_API_WATCH_H

#include "api/args.h"

#include "catalog/watch.h"

/* Calls `function` by mg_watch_call. Not for functions that return rows one by one. */
extern Datum mg_watched(MgWatched what, PGFunction function, FunctionCallInfo fcinfo);

/* Called once, from _PG_init. */
extern void mg_watch_init(void);

#endif
