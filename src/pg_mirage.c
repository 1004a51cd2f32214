/*
 * pg_mirage.c: loading the module. Everything else is in the folders; see docs/architecture.md.
 */
#include "postgres.h"

#include "api/synthesize.h"
#include "api/watch.h"
#include "pg/export.h"
#include "pg/guc.h"

PG_MODULE_MAGIC;

void
_PG_init(void)
{
	mg_define_gucs();
	mg_synthesize_init();
	mg_watch_init();
}
