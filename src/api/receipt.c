/*
 * api/receipt.c: dp_receipt, dp_verify_receipt, dp_public_key, dp_hash_rows.
 */
#include "api/watch.h"

#include "catalog/keys.h"
#include "catalog/receipt.h"
#include "miscadmin.h"
#include "pg/rowhash.h"
#include "pg/select.h"
#include "seal/encode.h"

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

typedef struct HashedQuery
{
	MgRowHash *hash;
} HashedQuery;

static void
begin_query(void *arg, TupleDesc desc)
{
	((HashedQuery *) arg)->hash = mg_row_hash_create(desc, NULL, 0);
}

static void
query_row(void *arg, TupleTableSlot *slot)
{
	mg_row_hash_add(((HashedQuery *) arg)->hash, slot->tts_values, slot->tts_isnull);
}

/* (query text). The order of rows counts, so no part of the plan is parallel. */
Datum
dp_hash_rows(PG_FUNCTION_ARGS)
{
	char *query = mg_arg_text(fcinfo, 0, "query"), out[MG_ROWS_HASH_SIZE];
	HashedQuery hashed = {0};
	MgSelectSink sink = {.begin = begin_query, .row = query_row, .arg = &hashed, .serial = true};

	mg_read_select("query", query, &sink);
	mg_row_hash_finish(hashed.hash, out);
	PG_RETURN_TEXT_P(cstring_to_text(out));
}
