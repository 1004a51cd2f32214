/*
 * pg/reader.c: one pass over a relation into a curator.
 *
 * The rows come from the executor, as for any query of the current user: privileges, row security, partitions and
 * foreign tables are its business. They go from its slots straight into the encoder, through a DestReceiver of our
 * own; no tuple is kept. Memory does not follow the rows.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pg/reader.h"
#include "pg/server.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#define PROGRESS_ROWS 65536 /* a power of two */

typedef struct Receiver
{
	DestReceiver dest; /* first */
	mg_ctx *ctx;
	mg_curator *curator;
	MgEncoder *encoder;
	MgUnitEncoder *unit; /* NULL: none */
	int unit_at;         /* its place in the slot: after the columns */
	uint64 rows;
} Receiver;

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	Receiver *r = (Receiver *) self;

	mg_encoder_row(r->encoder, slot);
	if (r->unit != NULL)
		mg_unit_encoder_row(r->unit, slot->tts_values[r->unit_at], slot->tts_isnull[r->unit_at]);
	MG_CHECK(r->ctx, mg_load_row(r->ctx, r->curator));
	if (unlikely((++r->rows & (PROGRESS_ROWS - 1)) == 0))
		mg_progress(r->ctx, "reading", 0.0);
	return true;
}

static void
receive_startup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
receive_nothing(DestReceiver *self)
{
}

/* The columns by their place: one NULL for each that is not read; then the unit. */
static char *
reading_query(Oid relid, const MgColumns *columns, const MgUnit *unit)
{
	char *name = mg_relation_name_required(relid);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	for (int i = 0; i < columns->n; i++)
	{
		const MgColumn *col = &columns->col[i];

		appendStringInfo(&sql, "%s%s%s", i > 0 ? ", " : "", col->core >= 0 ? "s." : "",
						 col->core >= 0 ? quote_identifier(col->name) : "NULL");
	}
	if (unit != NULL)
		appendStringInfo(&sql, "%ss.%s", columns->n > 0 ? ", " : "", quote_identifier(unit->column));
	appendStringInfo(&sql, " FROM %s AS s", name);
	return sql.data;
}

void
mg_read_relation(mg_ctx *ctx, Oid relid, const MgColumns *columns, const MgUnit *unit, const uint8 *unit_key,
				 mg_curator *curator)
{
	SPIExecuteOptions options;
	Receiver receiver;
	bool pushed = false;
	int rc;

	memset(&receiver, 0, sizeof(receiver));
	receiver.dest.receiveSlot = receive_row;
	receiver.dest.rStartup = receive_startup;
	receiver.dest.rShutdown = receive_nothing;
	receiver.dest.rDestroy = receive_nothing;
	receiver.dest.mydest = DestTuplestore; /* any that takes rows and is not SPI's own */
	receiver.ctx = ctx;
	receiver.curator = curator;
	receiver.encoder = mg_encoder_create(columns, curator);
	if (unit != NULL)
		receiver.unit = mg_unit_encoder_create(unit, unit_key, curator);
	receiver.unit_at = columns->n;
	mg_progress(ctx, "reading", 0.0);

	if (!ActiveSnapshotSet())
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		pushed = true;
	}
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	memset(&options, 0, sizeof(options));
	options.read_only = true;
	options.dest = (DestReceiver *) &receiver;
	rc = SPI_execute_extended(reading_query(relid, columns, unit), &options);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "reading failed: %s", SPI_result_code_string(rc));
	SPI_finish();
	if (pushed)
		PopActiveSnapshot();
	MG_CHECK(ctx, mg_load_finish(ctx, curator));
}
