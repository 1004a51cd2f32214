/*
 * pg/errors.c: the one place where a status of the core becomes an ereport.
 *
 * The core's messages are written for users (lower case, no data value, no exact count) and are passed on as they
 * are; what is added here is the SQLSTATE. A cancelled computation is first left to the server, which knows whether
 * it was a cancel request, a timeout or a termination and says so in its own words.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pg/server.h"
#include "pg/spill.h"

static int
sqlstate_of(mg_code code)
{
	int recorded;

	switch (code)
	{
		case MG_CANCELLED:
			return ERRCODE_QUERY_CANCELED;
		case MG_NOMEM:
			return ERRCODE_OUT_OF_MEMORY;
		case MG_INVALID:
			return ERRCODE_INVALID_PARAMETER_VALUE;
		case MG_UNKNOWN:
			return ERRCODE_UNDEFINED_OBJECT;
		case MG_IO:
			recorded = mg_spill_take_sqlstate();
			return recorded != 0 ? recorded : ERRCODE_IO_ERROR;
		case MG_CORRUPT:
			return ERRCODE_DATA_CORRUPTED;
		case MG_CRYPTO:
			return ERRCODE_EXTERNAL_ROUTINE_EXCEPTION;
		case MG_BUDGET:
			return ERRCODE_PROGRAM_LIMIT_EXCEEDED;
		case MG_IMPOSSIBLE:
			return ERRCODE_INVALID_PARAMETER_VALUE;
		case MG_OK:
		case MG_INTERNAL:
			break;
	}
	return ERRCODE_INTERNAL_ERROR;
}

void
mg_throw(mg_ctx *ctx)
{
	int state = sqlstate_of(ctx->code);
	/* Copies: the ctx may live in memory that the error's clean-up frees. */
	char *message = pstrdup(ctx->message[0] != '\0' ? ctx->message : mg_code_name(ctx->code));
	char *hint = ctx->hint[0] != '\0' ? pstrdup(ctx->hint) : NULL;

	if (ctx->code == MG_CANCELLED)
	{
		CHECK_FOR_INTERRUPTS();
		/* Still here: interrupts are held off, or another hook asked to stop. */
		ereport(ERROR, (errcode(state), errmsg("canceling the computation on request")));
	}
	ereport(ERROR, (errcode(state), errmsg("%s", message), hint != NULL ? errhint("%s", hint) : 0));
	pg_unreachable();
}
