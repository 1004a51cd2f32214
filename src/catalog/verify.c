/*
 * catalog/verify.c: verification of the log, and all that it says of other tables.
 *
 * One pass over the log, in whatever order its rows lie, hashes each entry and takes its seals out. One over the blocks
 * says which entries they hold. Both are sorted by the entry's number and merged: what is in one only, or twice, is
 * wrong. What comes out of that, sorted by block and place, is read beside the blocks in their order, each of which is
 * hashed again and its signature verified. Then each sealed table is read once, and its rows merged with their seals
 * (catalog/verify_rows.c). All sorting is in work_mem and temporary files (catalog/sorter.c), all reading in one
 * snapshot: time is that of sorting, memory does not grow.
 *
 * Rows are read from the tables themselves, never through an index: one that was damaged, or not kept up for a while,
 * would hide some. (What indexes decide is compared in the end: keys that are there twice, totals that do not add up.)
 *
 * Each signature is verified, although the last one covers all before it: one that was altered would be found by nobody
 * else. That is most of the work, and is done in pg_mirage.threads threads; where the master key is at hand, as it must
 * be to say that the public key is genuine, by signing again (seal/seal.h), which takes less.
 *
 * Nothing is left out for a head that was kept outside: it says what the log's hashes were, not that the rows still
 * have them.
 *
 * Who compares the log only with itself cannot see that its end was cut off. So a head, which names a block and its
 * hash, can be kept elsewhere: plain, as "number:hash", or signed (catalog/head.c).
 */
#include "postgres.h"

#include "base/pool.h"
#include "catalog/head.h"
#include "catalog/keys.h"
#include "catalog/log.h"
#include "catalog/objects.h"
#include "catalog/verify.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pg/guc.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#define ROWS_PER_FETCH 500
#define SIGNATURES_AT_ONCE 1024

void
mg_found(MgFindings *f, int64 entry)
{
	f->bad = true;
	if (entry > 0 && (f->first_bad == 0 || entry < f->first_bad))
		f->first_bad = entry;
}

/* ---------------------------------------------------------------- reading */

void
mg_verify_scan(Snapshot snapshot, const char *sql, MgVisit visit, void *arg)
{
	MemoryContext row = AllocSetContextCreate(CurrentMemoryContext, "pg_mirage row", ALLOCSET_DEFAULT_SIZES);
	SPIPlanPtr plan;
	Portal portal;
	MgQuery q;

	mg_query_begin(&q);
	mg_query_by_heap(&q);
	PushActiveSnapshot(snapshot);
	plan = SPI_prepare(sql, 0, NULL);
	if (plan == NULL)
		elog(ERROR, "could not prepare a verification: %s", SPI_result_code_string(SPI_result));
	portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	PopActiveSnapshot();
	do
	{
		MemoryContext old;

		SPI_cursor_fetch(portal, true, ROWS_PER_FETCH);
		old = MemoryContextSwitchTo(row);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			CHECK_FOR_INTERRUPTS();
			visit(arg, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
			MemoryContextReset(row);
		}
		MemoryContextSwitchTo(old);
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed > 0);
	SPI_cursor_close(portal);
	mg_query_end(&q);
	MemoryContextDelete(row);
}

static int64
get_int8(HeapTuple tuple, TupleDesc desc, int column, bool *null)
{
	return DatumGetInt64(SPI_getbinval(tuple, desc, column, null));
}

/* Exactly n bytes to `out`; false for anything else. */
static bool
get_bytes(HeapTuple tuple, TupleDesc desc, int column, void *out, size_t n)
{
	bool null;
	Datum value = SPI_getbinval(tuple, desc, column, &null);
	bytea *b = null ? NULL : DatumGetByteaPP(value);

	if (b == NULL || VARSIZE_ANY_EXHDR(b) != n)
		return false;
	memcpy(out, VARDATA_ANY(b), n);
	return true;
}

/* ---------------------------------------------------------------- the state */

/* A block whose chain holds, but for its signature. */
typedef struct Pending
{
	uint8 message[MG_BLOCK_SIGNED], signature[MG_SIGNATURE_BYTES];
	int64 first; /* entry */
} Pending;

typedef struct Verify
{
	Snapshot snapshot;
	MgFindings found; /* entries that are wrong, or first of a block that is */
	uint8 pub[32];
	bool have_pub;
	uint8 seed[MG_KEY_BYTES]; /* of that key, where the master key is at hand; wiped with the memory context */
	bool have_seed;
	mg_pool *pool;
	const MgHead *expected; /* NULL: none */
	bool expected_seen;

	/* what was read */
	int64 entries;
	bool waiting;     /* an entry for more than an hour */
	int64 last_block; /* and up to where it says that all is settled */
	int64 settled;
	MgSorter *logged;  /* entry, is it a charge's, is it old, hash; by entry */
	MgSorter *members; /* entry, block, place in it; by these */
	MgSorter
		*places; /* block, place, entry, is it a charge's, hash or NULL where the entry is gone; by the first two */
	MgSorter *seals;

	/* what has been walked */
	int64 number, charges, block_settled;
	MgHash hash;
	StringInfoData buf;
	MgHash *hashes; /* of the block at hand */
	uint32 nhashes;
	size_t room;
	Pending *pending;
	mg_signed *signatures;
	size_t npending;
} Verify;

static const Oid logged_types[] = {INT8OID, INT4OID, INT4OID, BYTEAOID};
static const Oid member_types[] = {INT8OID, INT8OID, INT4OID};
static const Oid place_types[] = {INT8OID, INT4OID, INT8OID, INT4OID, BYTEAOID};

static Datum
hash_datum(const MgHash hash, char *room)
{
	SET_VARSIZE(room, VARHDRSZ + MG_HASH_BYTES);
	memcpy(VARDATA(room), hash, MG_HASH_BYTES);
	return PointerGetDatum(room);
}
typedef union HashRoom
{
	char bytes[VARHDRSZ + MG_HASH_BYTES];
	int32 align;
} HashRoom;

/* ---------------------------------------------------------------- entries */

/* The number of a charge that stands beside an entry is what it says itself: by it the ledger is compared. */
#define LOG_QUERY                                                          \
	"SELECT " MG_ENTRY_COLUMNS ", " MG_ENTRY_CHARGES                       \
	", l.at < pg_catalog.clock_timestamp() - interval '1 hour', l.seals, " \
	"l.charge::text IS DISTINCT FROM CASE WHEN l.action = 'charge' THEN l.detail->>'charge' END FROM mirage.log l"

static void
visit_entry(void *arg, HeapTuple tuple, TupleDesc desc)
{
	Verify *v = arg;
	bool null[4] = {false}, no_seals;
	Datum values[4], seals;
	HashRoom room;
	MgHash hash;
	int64 id = get_int8(tuple, desc, 1, &null[0]);

	v->entries++;
	mg_entry_hash(tuple, desc, 1, &v->buf, hash);
	values[0] = Int64GetDatum(id);
	values[1] = Int32GetDatum(DatumGetBool(SPI_getbinval(tuple, desc, MG_ENTRY_NCOLUMNS + 1, &null[1])));
	values[2] = Int32GetDatum(DatumGetBool(SPI_getbinval(tuple, desc, MG_ENTRY_NCOLUMNS + 2, &null[2])));
	values[3] = hash_datum(hash, room.bytes);
	null[0] = null[1] = null[2] = false;
	mg_sorter_put(v->logged, values, null);
	seals = SPI_getbinval(tuple, desc, MG_ENTRY_NCOLUMNS + 3, &no_seals);
	if (!no_seals)
		mg_verify_seals_put(v->seals, id, DatumGetJsonbP(seals));
	if (DatumGetBool(SPI_getbinval(tuple, desc, MG_ENTRY_NCOLUMNS + 4, &null[3])))
		mg_found(&v->found, id);
}

/* Which entries a block holds: entry by entry, those that are NULL (there are none but by force) are missing. */
static void
visit_members(void *arg, HeapTuple tuple, TupleDesc desc)
{
	Verify *v = arg;
	bool null, no_settled, none[3] = {false};
	int64 number = get_int8(tuple, desc, 1, &null), settled = get_int8(tuple, desc, 2, &no_settled);
	Datum entries = SPI_getbinval(tuple, desc, 3, &none[0]), *entry;
	bool *missing;
	int n = 0;

	if (null || no_settled || none[0])
	{
		mg_found(&v->found, 0);
		return;
	}
	if (number >= v->last_block)
	{
		v->last_block = number;
		v->settled = settled;
	}
	deconstruct_array(DatumGetArrayTypeP(entries), INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &entry,
					  &missing, &n);
	for (int i = 0; i < n; i++)
	{
		Datum values[] = {missing[i] ? Int64GetDatum(0) : entry[i], Int64GetDatum(number), Int32GetDatum(i)};

		mg_sorter_put(v->members, values, none);
	}
}

/* ---------------------------------------------------------------- entries and blocks */

/* The entry that a block holds at this place; logged: NULL where it is gone. */
static void
put_place(Verify *v, const MgSorted *member, const MgSorted *logged)
{
	Datum values[5] = {member->values[1], member->values[2], member->values[0]};
	bool nulls[5] = {false};

	values[3] = logged != NULL ? logged->values[1] : Int32GetDatum(0);
	values[4] = logged != NULL ? logged->values[3] : (Datum) 0;
	nulls[4] = logged == NULL;
	mg_sorter_put(v->places, values, nulls);
}

/* The key of a row, or beyond all keys where there is none; they are sorted. */
static bool
is_before(const MgSorted *a, const MgSorted *b)
{
	return a != NULL && (b == NULL || DatumGetInt64(a->values[0]) < DatumGetInt64(b->values[0]));
}

/*
 * Those that are in two blocks, or twice in the log, or that came after everything of their number was settled, are
 * bad. Those that wait for their block for long are worth a word: the next job chains them, if nothing is in its way.
 */
static void
match_entries(Verify *v)
{
	const MgSorted *logged = mg_sorter_next(v->logged), *member = mg_sorter_next(v->members);

	while (logged != NULL || member != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (is_before(logged, member))
		{
			if (DatumGetInt64(logged->values[0]) <= v->settled)
				mg_found(&v->found, DatumGetInt64(logged->values[0]));
			v->waiting = v->waiting || DatumGetInt32(logged->values[2]) != 0;
			logged = mg_sorter_next(v->logged);
		}
		else if (is_before(member, logged))
		{
			mg_found(&v->found, DatumGetInt64(member->values[0]));
			put_place(v, member, NULL);
			member = mg_sorter_next(v->members);
		}
		else
		{
			int64 id = DatumGetInt64(logged->values[0]);
			int times = 0;

			for (; member != NULL && DatumGetInt64(member->values[0]) == id; times++)
			{
				put_place(v, member, logged);
				member = mg_sorter_next(v->members);
			}
			if (times > 1)
				mg_found(&v->found, id);
			while ((logged = mg_sorter_next(v->logged)) != NULL && DatumGetInt64(logged->values[0]) == id)
				mg_found(&v->found, id);
		}
	}
}

/* ---------------------------------------------------------------- blocks */

static void
verify_pending(Verify *v)
{
	mg_ctx ctx;

	if (v->npending == 0)
		return;
	mg_server_ctx(&ctx);
	ctx.pool = v->pool;
	MG_CHECK(&ctx, mg_verify_many(&ctx, v->pub, v->have_seed ? v->seed : NULL, v->signatures, v->npending));
	for (size_t i = 0; i < v->npending; i++)
		if (!v->signatures[i].ok)
			mg_found(&v->found, v->pending[i].first);
	v->npending = 0;
}

static void
put_pending(Verify *v, const MgBlock *block, const uint8 *signature, int64 first)
{
	Pending *p = &v->pending[v->npending];

	mg_block_signed(block, p->message);
	memcpy(p->signature, signature, MG_SIGNATURE_BYTES);
	p->first = first;
	v->signatures[v->npending] =
		(mg_signed){.message = p->message, .signature = p->signature, .len = sizeof(p->message)};
	if (++v->npending == SIGNATURES_AT_ONCE)
		verify_pending(v);
}

/* The hashes of a block's entries, in their order; returns the first entry, and the number of charges among them. */
static int64
gather_hashes(Verify *v, int64 number, int64 *charges)
{
	const MgSorted *place = mg_sorter_row(v->places);
	int64 first = 0;

	v->nhashes = 0;
	*charges = 0;
	while (place != NULL && DatumGetInt64(place->values[0]) < number)
		place = mg_sorter_next(v->places);
	for (; place != NULL && DatumGetInt64(place->values[0]) == number; place = mg_sorter_next(v->places))
	{
		if (v->nhashes >= v->room)
		{
			v->room *= 2;
			v->hashes = repalloc_huge(v->hashes, v->room * sizeof(MgHash));
		}
		if (v->nhashes == 0)
			first = DatumGetInt64(place->values[2]);
		if (place->nulls[4])
			memset(v->hashes[v->nhashes++], 0, MG_HASH_BYTES);
		else
			memcpy(v->hashes[v->nhashes++], VARDATA_ANY(DatumGetPointer(place->values[4])), MG_HASH_BYTES);
		*charges += DatumGetInt32(place->values[3]);
	}
	return first;
}

#define BLOCK_QUERY                                                                                              \
	"SELECT number, previous, hash, signature, charges, settled, chained_at FROM mirage.log_block " \
	"WHERE number IS NOT NULL ORDER BY number"

static void
visit_block(void *arg, HeapTuple tuple, TupleDesc desc)
{
	Verify *v = arg;
	uint8 signature[MG_SIGNATURE_BYTES];
	MgHash previous, hash;
	MgBlock b;
	bool null[4], good, has_hash;
	int64 charges, first;
	mg_ctx ctx;

	b.number = get_int8(tuple, desc, 1, &null[0]);
	b.charges = get_int8(tuple, desc, 5, &null[1]);
	b.settled = get_int8(tuple, desc, 6, &null[2]);
	b.chained_at = get_int8(tuple, desc, 7, &null[3]);
	first = gather_hashes(v, b.number, &charges);
	has_hash = get_bytes(tuple, desc, 3, hash, sizeof(hash));
	mg_ctx_init(&ctx);
	MG_CHECK(&ctx, mg_chain_block(&ctx, (uint64) b.number, v->hash, v->hashes, v->nhashes, b.hash));
	/* a block of nothing is never made; what is settled stays so */
	good = v->have_pub && v->nhashes > 0 && !null[1] && !null[2] && !null[3] && b.settled >= v->block_settled &&
		   b.number == v->number + 1 && b.charges == v->charges + charges && has_hash &&
		   get_bytes(tuple, desc, 2, previous, sizeof(previous)) && memcmp(previous, v->hash, MG_HASH_BYTES) == 0 &&
		   memcmp(hash, b.hash, MG_HASH_BYTES) == 0 && get_bytes(tuple, desc, 4, signature, sizeof(signature));
	if (good)
		put_pending(v, &b, signature, first);
	else
		mg_found(&v->found, first);
	/* Goes on from what the block claims, so that one bad block is not reported for all that follow. */
	v->number = b.number;
	v->charges = b.charges;
	v->block_settled = b.settled;
	if (has_hash)
		memcpy(v->hash, hash, MG_HASH_BYTES);
	if (v->expected != NULL && v->expected->number == b.number)
		v->expected_seen = memcmp(v->expected->hash, v->hash, MG_HASH_BYTES) == 0;
}

/* ---------------------------------------------------------------- the chain */

/*
 * The signing key. Without the master key only the recorded public half can be used, which whoever may rewrite our
 * tables could exchange with the signatures: then a caller should hold an earlier head.
 */
static void
verify_signer(Verify *v)
{
	v->have_pub = mg_root_public("log", v->pub);
	if (!v->have_pub)
		return;
	switch (mg_root_public_genuine("log", v->pub))
	{
		case MG_GENUINE_YES:
			mg_root_key("log", v->seed, false);
			v->have_seed = true;
			break;
		case MG_GENUINE_NO:
			v->have_pub = false;
			break;
		case MG_GENUINE_UNKNOWN:
			ereport(
				NOTICE,
				(errmsg(
					"the master key is not available: signatures are checked against the recorded public key only")));
			break;
	}
}

static void
walk_blocks(Verify *v)
{
	v->room = 256;
	v->hashes = palloc(v->room * sizeof(MgHash));
	v->pending = palloc(SIGNATURES_AT_ONCE * sizeof(Pending));
	v->signatures = palloc(SIGNATURES_AT_ONCE * sizeof(mg_signed));
	if (mg_guc_threads > 1)
	{
		v->pool = mg_pool_create(mg_guc_threads - 1);
		if (v->pool != NULL)
			mg_release_with(CurrentMemoryContext, (void (*)(void *)) mg_pool_destroy, v->pool);
	}
	(void) mg_sorter_next(v->places);
	mg_verify_scan(v->snapshot, BLOCK_QUERY, visit_block, v);
	verify_pending(v);
	/* entries of blocks that were not among them */
	for (const MgSorted *place = mg_sorter_row(v->places); place != NULL; place = mg_sorter_next(v->places))
		mg_found(&v->found, DatumGetInt64(place->values[2]));
}

/* The chain: entries, which blocks they are in, and the blocks. Leaves the seals of all entries. */
static void
verify_chain(Verify *v)
{
	initStringInfo(&v->buf);
	v->seals = mg_verify_seals_begin();
	v->logged = mg_sorter_begin(lengthof(logged_types), logged_types, 1);
	mg_verify_scan(v->snapshot, LOG_QUERY, visit_entry, v);
	mg_sorter_sort(v->logged);
	v->members = mg_sorter_begin(lengthof(member_types), member_types, 3);
	mg_verify_scan(v->snapshot, "SELECT number, settled, entries FROM mirage.log_block", visit_members, v);
	mg_sorter_sort(v->members);
	v->places = mg_sorter_begin(lengthof(place_types), place_types, 2);
	match_entries(v);
	mg_sorter_end(v->logged);
	mg_sorter_end(v->members);
	mg_sorter_sort(v->places);
	walk_blocks(v);
	mg_sorter_end(v->places);
	if (v->waiting)
		ereport(NOTICE, (errmsg("there are entries older than an hour that are in no block of the log yet"),
						 errdetail("Only what is in a block is protected against changes by force."),
						 errhint("SELECT dp_audit_head() chains them, or says why it cannot be done.")));
	/* The signing root is made in the transaction of the first block: one without the other was tampered with. */
	if (v->have_pub && v->number == 0)
		mg_found(&v->found, 0);
	if (v->found.bad)
		ereport(NOTICE,
				(errmsg("the chain of the audit log is broken"),
				 errdetail("Entries, blocks or the key that signs them were altered, removed or added by force.")));
}

/* Is the head one of this log, and of this chain? */
static void
verify_head(Verify *v)
{
	const MgHead *head = v->expected;

	if (head == NULL)
		return;
	if (!mg_head_genuine(head, v->have_pub ? v->pub : NULL))
	{
		mg_found(&v->found, 0);
		ereport(NOTICE, (errmsg("the head was not signed by this log"),
						 errhint("It is of another log, or was altered where it was kept.")));
	}
	if (v->expected_seen)
		return;
	mg_found(&v->found, 0);
	if (head->number > v->number)
		ereport(NOTICE, (errmsg("the log ends before the head"),
						 errdetail("The head is of block " INT64_FORMAT ", the last block is " INT64_FORMAT ".",
								   head->number, v->number),
						 errhint("The database was rewound (recovery to an earlier moment, an old dump, a standby that "
								 "was behind), or the end of the log was cut off.")));
	else
		ereport(NOTICE, (errmsg("the log is not the one that the head was taken of"),
						 errdetail("Block " INT64_FORMAT " is another.", head->number),
						 errhint("The database was rewound and went on, or the log was written anew.")));
}

static void
wipe(void *arg)
{
	mg_wipe(((Verify *) arg)->seed, MG_KEY_BYTES);
}

MgLogCheck
mg_log_verify(const char *expected_head)
{
	MemoryContext old = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(old, "pg_mirage log verification", ALLOCSET_DEFAULT_SIZES);
	Verify *v;
	MgLogCheck check = {0};
	char head[MG_HEAD_SIZE];
	MgHead expected;

	MemoryContextSwitchTo(context);
	v = palloc0(sizeof(Verify));
	mg_release_with(context, wipe, v);
	if (expected_head != NULL)
	{
		if (!mg_head_parse(expected_head, &expected))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("head is not a head of the audit log"),
							errhint("Give the text that dp_audit_head(), or an earlier call of dp_verify_audit(), "
									"returned.")));
		v->expected = &expected;
		/* of no block yet: the hash is zeros */
		v->expected_seen = expected.number == 0 && memcmp(expected.hash, v->hash, MG_HASH_BYTES) == 0;
	}
	v->snapshot = RegisterSnapshot(GetLatestSnapshot());
	verify_signer(v);
	verify_chain(v);
	verify_head(v);
	mg_verify_rows(&v->found, v->snapshot, v->seals);
	UnregisterSnapshot(v->snapshot);
	mg_objects_verify(&v->found);
	check.entries = v->entries;
	check.ok = !v->found.bad;
	check.first_bad = v->found.first_bad;
	MemoryContextSwitchTo(old);
	mg_head_plain(v->number, v->hash, head);
	check.head = pstrdup(head);
	MemoryContextDelete(context);
	return check;
}
