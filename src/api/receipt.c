/*
 * api/receipt.c: dp_receipt, dp_verify_receipt, dp_public_key, dp_hash_rows.
 */
#include "api/watch.h"

#include "access/xact.h"
#include "catalog/keys.h"
#include "catalog/receipt.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pg/rowhash.h"
#include "seal/encode.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

MG_FUNCTION(dp_receipt);
MG_FUNCTION(dp_verify_receipt);
MG_FUNCTION(dp_public_key);
MG_FUNCTION(dp_hash_rows);

/* (issuance bigint). Whether there is an issuance of a number is not for everybody: one error for both cases. */
MG_WATCHED_FUNCTION(dp_receipt, MG_WATCHED_ACT)
{
	int64 issuance = PG_GETARG_INT64(0);
	Jsonb *receipt = mg_receipt_may_read(issuance, GetUserId()) ? mg_receipt_find(issuance) : NULL;

	if (receipt == NULL)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied for the receipt of issuance " INT64_FORMAT, issuance),
						errhint("Receipts are for the recipient, the role that asked for the rows, the model's owner "
								"and members of mirage_auditor.")));
	PG_RETURN_JSONB_P(receipt);
}

/* (receipt jsonb, public_key text) */
Datum
dp_verify_receipt(PG_FUNCTION_ARGS)
{
	char *key = mg_arg_text_or_null(fcinfo, 1);
	uint8 pub[32];
	bool ok;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	if (key != NULL && !mg_public_parse(key, pub))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("public_key is not an Ed25519 public key"),
						errhint("Give what dp_public_key() returned, 64 hexadecimal digits, or a Multikey (z6Mk..).")));
	/* without a key of its own this database has signed none */
	ok = (key != NULL || mg_root_public("receipt", pub)) && mg_receipt_verify(PG_GETARG_JSONB_P(0), pub);
	if (!ok)
		mg_watch_event(MG_WATCH_RECEIPT);
	PG_RETURN_BOOL(ok);
}

/* (purpose text) */
Datum
dp_public_key(PG_FUNCTION_ARGS)
{
	char *purpose = mg_arg_text(fcinfo, 0, "purpose");
	char pem[MG_PEM_SIZE];
	uint8 pub[32];

	if (strcmp(purpose, "receipt") != 0 && strcmp(purpose, "log") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("nothing is signed for \"%s\"", purpose),
						errhint("purpose is \"receipt\" or \"log\".")));
	if (!mg_root_public(purpose, pub))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("nothing has been signed for \"%s\" yet", purpose),
				 errhint("The key is made with the first release of rows, that of the log with its first block.")));
	mg_public_pem(pub, pem);
	PG_RETURN_TEXT_P(cstring_to_text(pem));
}

/* ---------------------------------------------------------------- rows of a query */

#define ROWS_PER_FETCH 1000

/* One SELECT, prepared with the caller's rights and search_path. */
static Portal
open_query(const char *query)
{
	SPIPlanPtr plan = SPI_prepare(query, 0, NULL);
	CachedPlanSource *source;

	if (plan == NULL)
		elog(ERROR, "could not prepare the query: %s", SPI_result_code_string(SPI_result));
	source = SPI_is_cursor_plan(plan) ? linitial(SPI_plan_get_plan_sources(plan)) : NULL;
	if (source == NULL || source->commandTag != CMDTAG_SELECT ||
		linitial_node(Query, source->query_list)->hasModifyingCTE)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("query must be one SELECT"),
						errhint("For example 'TABLE copy', or 'SELECT * FROM copy ORDER BY id'.")));
	return SPI_cursor_open(NULL, plan, NULL, NULL, true);
}

static void
hash_portal(Portal portal, char out[MG_ROWS_HASH_SIZE])
{
	MgRowHash *hash = mg_row_hash_create(portal->tupDesc, NULL, 0);
	int natts = portal->tupDesc->natts;
	Datum *values = palloc(sizeof(Datum) * (size_t) Max(natts, 1));
	bool *nulls = palloc(sizeof(bool) * (size_t) Max(natts, 1));

	for (;;)
	{
		SPI_cursor_fetch(portal, true, ROWS_PER_FETCH);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			CHECK_FOR_INTERRUPTS();
			heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, nulls);
			mg_row_hash_add(hash, values, nulls);
		}
		SPI_freetuptable(SPI_tuptable);
	}
	mg_row_hash_finish(hash, out);
}

/* (query text). Functions in the query write nothing either: the transaction is read-only while it runs. */
Datum
dp_hash_rows(PG_FUNCTION_ARGS)
{
	char *query = mg_arg_text(fcinfo, 0, "query"), out[MG_ROWS_HASH_SIZE];
	bool was = XactReadOnly;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	XactReadOnly = true;
	PG_TRY();
	{
		Portal portal = open_query(query);

		hash_portal(portal, out);
		SPI_cursor_close(portal);
	}
	PG_FINALLY();
	{
		XactReadOnly = was;
	}
	PG_END_TRY();
	SPI_finish();
	PG_RETURN_TEXT_P(cstring_to_text(out));
}
