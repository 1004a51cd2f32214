/*
 * catalog/query.c: one way to run SQL on our own tables: as the extension's owner, search_path pinned, SPI connected.
 *
 * A statement that a process runs for the second time is one that it may run a thousand times: its plan is kept, for
 * as long as the process lives. That is no more than what a prepared statement is: rights are checked at each
 * execution, for who runs it then; whatever the plan rests on (a table, a function, the search_path, statistics)
 * invalidates it, and it is made again from its text.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/parallel.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/seals.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

void
mg_query_begin(MgQuery *q)
{
	q->caller = CurrentMemoryContext;
	mg_identity_enter_owner(&q->identity);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
}

void
mg_query_end(MgQuery *q)
{
	SPI_finish();
	mg_identity_leave(&q->identity);
}

void
mg_query_by_index(MgQuery *q)
{
	(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

void
mg_query_by_heap(MgQuery *q)
{
	static const char *const off[] = {"enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan"};

	for (size_t i = 0; i < lengthof(off); i++)
		(void) set_config_option(off[i], "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("enable_seqscan", "on", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* ---------------------------------------------------------------- plans */

#define MAX_ARGS 32
#define MAX_KEPT 512 /* more than there are statements here; none ever makes room for another, which may be running */

typedef struct Kept
{
	uint32 hash; /* the key: of the statement that was the first to have it */
	char *sql;   /* NULL: seen once, not kept */
	int nargs;
	Oid *types;
	SPIPlanPtr plan;
} Kept;

static HTAB *kept;

/* The entry of a statement's hash; *first: it is new. NULL: there are too many. */
static Kept *
kept_entry(const char *sql, bool *first)
{
	uint32 hash = DatumGetUInt32(hash_any((const unsigned char *) sql, (int) strlen(sql)));
	Kept *entry;
	bool found;

	if (kept == NULL)
	{
		HASHCTL info = {.keysize = sizeof(uint32), .entrysize = sizeof(Kept), .hcxt = TopMemoryContext};

		kept = hash_create("pg_mirage plans", 64, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(kept, &hash, hash_get_num_entries(kept) < MAX_KEPT ? HASH_ENTER : HASH_FIND, &found);
	*first = entry != NULL && !found;
	if (*first)
		entry->sql = NULL;
	return entry;
}

static bool
is_kept(const Kept *entry, const char *sql, int nargs, const Oid *types)
{
	return entry->sql != NULL && entry->nargs == nargs && strcmp(entry->sql, sql) == 0 &&
		   (nargs == 0 || memcmp(entry->types, types, sizeof(Oid) * (size_t) nargs) == 0);
}

static void
keep(Kept *entry, const char *sql, int nargs, const Oid *types, SPIPlanPtr plan)
{
	char *text = MemoryContextStrdup(TopMemoryContext, sql);
	Oid *copy = MemoryContextAlloc(TopMemoryContext, sizeof(Oid) * MAX_ARGS);

	memcpy(copy, types, sizeof(Oid) * (size_t) nargs);
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "could not keep a plan");
	entry->nargs = nargs;
	entry->types = copy;
	entry->plan = plan;
	entry->sql = text;
}

/* *ours: it is kept, and not to be freed. */
static SPIPlanPtr
find_plan(const char *sql, int nargs, const Oid *types, bool *ours)
{
	bool first;
	Kept *entry = kept_entry(sql, &first);
	SPIPlanPtr plan;

	*ours = entry != NULL && is_kept(entry, sql, nargs, types);
	if (*ours)
		return entry->plan;
	plan = SPI_prepare(sql, nargs, (Oid *) types);
	if (plan == NULL)
		elog(ERROR, "could not prepare a statement on the schema mirage: %s", SPI_result_code_string(SPI_result));
	if (entry != NULL && !first && entry->sql == NULL)
	{
		keep(entry, sql, nargs, types, plan);
		*ours = true;
	}
	return plan;
}

/* snapshot: of a read-only statement; NULL: an ordinary command. */
static uint64
run(const char *sql, int nargs, const MgArg *args, Snapshot snapshot)
{
	Oid types[MAX_ARGS];
	Datum values[MAX_ARGS];
	char nulls[MAX_ARGS];
	SPIPlanPtr plan;
	bool ours;
	int rc;

	Assert(nargs <= (int) lengthof(types));
	for (int i = 0; i < nargs; i++)
	{
		types[i] = args[i].type;
		values[i] = args[i].value;
		nulls[i] = args[i].null ? 'n' : ' ';
	}
	plan = find_plan(sql, nargs, types, &ours);
	rc = SPI_execute_snapshot(plan, values, nulls, snapshot, InvalidSnapshot, snapshot != NULL, snapshot == NULL, 0);
	if (!ours)
		SPI_freeplan(plan);
	if (rc < 0)
		elog(ERROR, "a statement on the schema mirage failed: %s", SPI_result_code_string(rc));
	return SPI_processed;
}

uint64
mg_query_run(MgQuery *q, bool latest, const char *sql, int nargs, const MgArg *args)
{
	Snapshot snapshot;
	uint64 n;

	if (!latest)
		return run(sql, nargs, args, InvalidSnapshot);
	/*
	 * Where a plan has parallel parts the server takes no new snapshot of that name, but one for its catalogs, which is
	 * as new.
	 */
	snapshot = RegisterSnapshot(IsInParallelMode() ? GetCatalogSnapshot(InvalidOid) : GetLatestSnapshot());
	n = run(sql, nargs, args, snapshot);
	UnregisterSnapshot(snapshot);
	return n;
}

uint64
mg_query_run_before(MgQuery *q, CommandId command, const char *sql, int nargs, const MgArg *args)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot()); /* a copy */
	uint64 n;

	snapshot->curcid = command;
	n = run(sql, nargs, args, snapshot);
	UnregisterSnapshot(snapshot);
	return n;
}

bool
mg_query_any(const char *sql, int nargs, const MgArg *args)
{
	MgQuery q;
	uint64 n;

	mg_query_begin(&q);
	n = mg_query_run(&q, true, sql, nargs, args);
	mg_query_end(&q);
	return n > 0;
}

List *
mg_query_oids(const char *sql, int nargs, const MgArg *args)
{
	MgQuery q;
	List *oids = NIL;
	uint64 n;

	mg_query_begin(&q);
	n = mg_query_run(&q, true, sql, nargs, args);
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(q.caller);

		oids = lappend_oid(oids, mg_get_oid(i, 1));
		MemoryContextSwitchTo(old);
	}
	mg_query_end(&q);
	return oids;
}

uint64
mg_change(MgQuery *q, const char *table, const char *sql, int nargs, const MgArg *args)
{
	uint64 n = mg_query_run(q, false, sql, nargs, args);

	mg_rows_changed(table, n, 1);
	return n;
}

uint64
mg_change_alone(const char *table, const char *sql, int nargs, const MgArg *args)
{
	MgQuery q;
	uint64 n;

	mg_query_begin(&q);
	n = mg_change(&q, table, sql, nargs, args);
	mg_query_end(&q);
	return n;
}

/* A trigger or rule that somebody forced upon a table of ours may keep a row from it, which RETURNING then lacks. */
static HeapTuple
tuple(uint64 row)
{
	if (SPI_tuptable == NULL || row >= SPI_tuptable->numvals)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("a table of the schema mirage did not take a row"),
						errhint("Drop the triggers and rules that are not the extension's own.")));
	return SPI_tuptable->vals[row];
}

Datum
mg_get_datum(uint64 row, int col)
{
	bool isnull;

	return SPI_getbinval(tuple(row), SPI_tuptable->tupdesc, col, &isnull);
}

bool
mg_get_null(uint64 row, int col)
{
	bool isnull;

	(void) SPI_getbinval(tuple(row), SPI_tuptable->tupdesc, col, &isnull);
	return isnull;
}

int64
mg_get_int8(uint64 row, int col)
{
	return DatumGetInt64(mg_get_datum(row, col));
}

double
mg_get_float8(uint64 row, int col)
{
	return DatumGetFloat8(mg_get_datum(row, col));
}

Oid
mg_get_oid(uint64 row, int col)
{
	return DatumGetObjectId(mg_get_datum(row, col));
}

bool
mg_get_bool(uint64 row, int col)
{
	return DatumGetBool(mg_get_datum(row, col));
}

bool
mg_get_mine(uint64 row, int col)
{
	return TransactionIdIsCurrentTransactionId(DatumGetTransactionId(mg_get_datum(row, col)));
}

char *
mg_get_text(MgQuery *q, uint64 row, int col)
{
	char *value = SPI_getvalue(tuple(row), SPI_tuptable->tupdesc, col);

	return value == NULL ? NULL : MemoryContextStrdup(q->caller, value);
}

char *
mg_get_key(uint64 row, int col)
{
	char *key = SPI_getvalue(tuple(row), SPI_tuptable->tupdesc, col);

	if (key == NULL)
		elog(ERROR, "a key of the schema mirage is null");
	return key;
}

struct varlena *
mg_get_varlena(MgQuery *q, uint64 row, int col)
{
	MemoryContext old;
	struct varlena *copy;

	if (mg_get_null(row, col))
		return NULL;
	old = MemoryContextSwitchTo(q->caller);
	copy = pg_detoast_datum_copy((struct varlena *) DatumGetPointer(mg_get_datum(row, col)));
	MemoryContextSwitchTo(old);
	return copy;
}

Interval *
mg_get_interval(MgQuery *q, uint64 row, int col)
{
	Interval *copy;

	if (mg_get_null(row, col))
		return NULL;
	copy = MemoryContextAlloc(q->caller, sizeof(Interval));
	memcpy(copy, DatumGetPointer(mg_get_datum(row, col)), sizeof(Interval));
	return copy;
}

List *
mg_get_texts(MgQuery *q, uint64 row, int col)
{
	struct varlena *array = mg_get_varlena(q, row, col);
	MemoryContext old = MemoryContextSwitchTo(q->caller);
	List *list = NIL;
	Datum *items;
	int n = 0;

	if (array != NULL)
		deconstruct_array((ArrayType *) array, TEXTOID, -1, false, TYPALIGN_INT, &items, NULL, &n);
	for (int i = 0; i < n; i++)
		list = lappend(list, TextDatumGetCString(items[i]));
	MemoryContextSwitchTo(old);
	return list;
}

Datum
mg_text_array(List *texts)
{
	Datum *items = palloc(sizeof(Datum) * Max(list_length(texts), 1));
	ListCell *lc;

	foreach (lc, texts)
		items[foreach_current_index(lc)] = CStringGetTextDatum(lfirst(lc));
	return PointerGetDatum(construct_array(items, list_length(texts), TEXTOID, -1, false, TYPALIGN_INT));
}

void
mg_lock_name(const char *table, const char *name)
{
	Oid class = get_relname_relid(table, get_namespace_oid("mirage", false));
	uint32 hash = DatumGetUInt32(hash_any((const unsigned char *) name, (int) strlen(name)));
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, class, hash, 0);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

const char *
mg_database_identity(void)
{
	static char identity[64];

	if (identity[0] == '\0')
		snprintf(identity, sizeof(identity), UINT64_FORMAT ":%u", GetSystemIdentifier(), MyDatabaseId);
	return identity;
}

bool
mg_same_cluster(const char *identity)
{
	const char *mine = mg_database_identity();
	const char *colon = strchr(mine, ':');

	return strncmp(identity, mine, colon - mine + 1) == 0;
}

MgRole
mg_role_binding(Oid oid, const char *name, const char *identity)
{
	MgRole role = {.oid = oid, .name = pstrdup(name), .live = false};
	char *now = OidIsValid(oid) ? GetUserNameFromId(oid, true) : NULL;

	if (now == NULL)
		return role;
	/* roles are the cluster's, whichever database they were recorded in */
	role.live = mg_same_cluster(identity) || strcmp(now, name) == 0;
	if (role.live)
		role.name = now;
	return role;
}

MgRole
mg_get_role(MgQuery *q, uint64 row, int col)
{
	MemoryContext old = MemoryContextSwitchTo(q->caller);
	MgRole role = mg_role_binding(mg_get_oid(row, col), mg_get_text(q, row, col + 1), mg_get_text(q, row, col + 2));

	MemoryContextSwitchTo(old);
	return role;
}
