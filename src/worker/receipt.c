/*
 * worker/receipt.c: two small transactions of a worker's own: the hash of rows that have left, with the receipt that
 * names it; and the chaining of the log when a head of it is asked for.
 */
#include "worker/shared.h"

#include "catalog/receipt.h"

void
mg_release_record_rows(int64 issuance, const char *model, const char *hash, int64 rows)
{
	MgLaunch launch;
	mg_writer w;

	mg_writer_init(&w);
	mg_put_i64(&w, issuance);
	mg_params_put_text(&w, model);
	mg_params_put_text(&w, hash);
	mg_put_i64(&w, rows);
	mg_launch(&launch, MG_WORK_ROWS, 0, &w, true);
	mg_launch_wait(&launch, MG_WORK_RESERVED, false);
	mg_launch_detach(&launch);
}

void
mg_work_rows(MgShared *s, mg_reader *params)
{
	int64 issuance = mg_get_i64(params), rows;
	char *model = mg_params_text(params), *hash = mg_params_text(params);

	rows = mg_get_i64(params);
	if (params->failed)
		elog(ERROR, "malformed parameters of a hash");
	mg_work_begin(s, false);
	if (!mg_receipt_write_rows(issuance, hash, rows))
		elog(ERROR, "the rows of issuance " INT64_FORMAT " have a hash already", issuance);
	mg_log("hash", model,
		   psprintf("{\"issuance\": " INT64_FORMAT ", \"rows\": " INT64_FORMAT ", \"hash\": \"%s\"}", issuance, rows,
					hash));
	mg_work_commit();
	mg_work_state(s, MG_WORK_RESERVED);
	mg_work_chain(s, true);
}

void
mg_log_chain_now(void)
{
	MgLaunch launch;
	mg_writer w;

	mg_writer_init(&w);
	mg_put_u8(&w, 0);
	mg_launch(&launch, MG_WORK_HEAD, 0, &w, true);
	mg_launch_wait(&launch, MG_WORK_DONE, false);
	mg_launch_detach(&launch);
}

/* The entry says that a head was given out, and makes sure that there is something to give one of. */
void
mg_work_head(MgShared *s, mg_reader *params)
{
	mg_work_begin(s, false);
	mg_log("head", "log", NULL);
	mg_work_commit();
	mg_work_begin(s, false);
	mg_log_chain();
	mg_work_commit();
}
