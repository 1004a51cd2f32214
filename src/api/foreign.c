/*
 * api/foreign.c: the two functions of the foreign data wrapper pg_mirage_fdw.
 */
#include "api/args.h"

#include "access/reloptions.h"
#include "emit/foreign.h"

MG_FUNCTION(mg_fdw_handler);
MG_FUNCTION(mg_fdw_validator);

Datum
mg_fdw_handler(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(mg_foreign_routine());
}

/* (options text[], catalog oid) */
Datum
mg_fdw_validator(PG_FUNCTION_ARGS)
{
	mg_foreign_validate(untransformRelOptions(PG_GETARG_DATUM(0)), PG_GETARG_OID(1));
	PG_RETURN_VOID();
}
