/*
 * pg/select.c: see select.h.
 *
 * The statement is analysed before it runs, so that one that writes is refused in our own words; what functions in it
 * may do is bounded by the transaction's being read only while it runs, and by a security-restricted operation: it has
 * the caller's rights, but cannot become another role (whoever logged in as a superuser could be made one again), make
 * temporary objects, or listen. Whatever it sets goes back with its level of settings, after errors too. Rows go from
 * the executor's slots to the sink through a DestReceiver of our own, so that a plan may be parallel and no tuple is
 * copied.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pg/select.h"
#include "pg/server.h"
#include "tcop/dest.h"
#include "utils/guc.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"

typedef struct Receiver
{
	DestReceiver dest; /* first */
	const MgSelectSink *sink;
} Receiver;

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	const MgSelectSink *sink = ((Receiver *) self)->sink;

	slot_getallattrs(slot);
	sink->row(sink->arg, slot);
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

/* The statement's only source, where it is one SELECT that writes and locks nothing; else NULL. */
static const CachedPlanSource *
plain_select(SPIPlanPtr plan)
{
	List *sources = SPI_plan_get_plan_sources(plan);
	const CachedPlanSource *source;
	const Query *query;

	if (list_length(sources) != 1)
		return NULL;
	source = linitial(sources);
	if (source->raw_parse_tree == NULL || !IsA(source->raw_parse_tree->stmt, SelectStmt) ||
		list_length(source->query_list) != 1 || source->resultDesc == NULL)
		return NULL;
	query = linitial_node(Query, source->query_list);
	return query->commandType == CMD_SELECT && !query->hasModifyingCTE && query->rowMarks == NIL ? source : NULL;
}

static void
run(SPIPlanPtr plan, const MgSelectSink *sink)
{
	Receiver receiver = {.sink = sink};
	bool was = XactReadOnly;
	SPIExecuteOptions options = {.read_only = true, .dest = (DestReceiver *) &receiver};
	int rc;

	receiver.dest.receiveSlot = receive_row;
	receiver.dest.rStartup = receive_startup;
	receiver.dest.rShutdown = receive_nothing;
	receiver.dest.rDestroy = receive_nothing;
	receiver.dest.mydest = DestTuplestore; /* any that takes rows and is not SPI's own */
	/* not as a setting, which 17 and later refuse to save within a function; an abort puts it back by itself, too */
	PG_TRY();
	{
		XactReadOnly = true;
		rc = SPI_execute_plan_extended(plan, &options);
	}
	PG_FINALLY();
	{
		XactReadOnly = was;
	}
	PG_END_TRY();
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "reading failed: %s", SPI_result_code_string(rc));
}

void
mg_read_select(const char *what, const char *sql, const MgSelectSink *sink)
{
	MemoryContext caller = CurrentMemoryContext, old;
	const CachedPlanSource *source;
	MgIdentity identity;
	SPIPlanPtr plan;

	mg_identity_enter(&identity,
					  GetUserId()); /* before anything of the statement is looked at: planning runs functions */
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	plan = SPI_prepare_cursor(sql, 0, NULL, sink->serial ? 0 : CURSOR_OPT_PARALLEL_OK);
	source = plan != NULL ? plain_select(plan) : NULL;
	if (source == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must be one SELECT", what),
						errhint("Write a single SELECT, VALUES or TABLE statement that changes and locks nothing.")));
	old = MemoryContextSwitchTo(caller);
	sink->begin(sink->arg, source->resultDesc);
	MemoryContextSwitchTo(old);
	run(plan, sink);
	SPI_freeplan(plan);
	SPI_finish();
	mg_identity_leave(&identity);
}
