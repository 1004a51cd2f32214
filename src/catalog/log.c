/*
 * catalog/log.c: the tamper-evident log.
 *
 * Entries are ordinary rows of mirage.log, in whatever transaction they belong to. Workers chain *committed* entries
 * into blocks: block = SHA-256 over its number, the previous block's hash and the hashes of its entries, signed with
 * the Ed25519 root "log". So no user's transaction ever holds the head of the chain, and an entry is in no block only
 * until the next worker ran.
 *
 * Finding what is in no block yet must not read the whole log each time, and ids do not tell: they are drawn before the
 * commit, so a lower id may appear later. A block therefore records `settled`: the largest id such that whatever has an
 * id up to it, and is in no block up to this one, will never appear. It is found so, in this order: (1) read the
 * sequence's last value M; (2) look who holds ROW EXCLUSIVE on mirage.log, which a writer takes before it draws an id
 * and keeps to its end; (3) take a snapshot. If nobody does in (2), every id up to M is committed and in the snapshot,
 * or gone: settled = M. Else it stays as it was, and later blocks search a longer tail, which costs time and nothing
 * else.
 *
 * Lock order: the extension, the log's key where it is made, then mirage.log_block in SHARE ROW EXCLUSIVE mode, held to
 * the end of the transaction: one block at a time.
 *
 * The canonical bytes of an entry (version 2): integers of 64 bits big-endian, strings as their length and their bytes
 * in UTF-8 (of a database that knows no encoding, SQL_ASCII: as they are); id, at in microseconds since 2000-01-01,
 * role, session role, action, object, the role's OID, the database it was written in; then of detail and of seals
 * (catalog/seals.c) whether there is one, and as jsonb prints itself.
 *
 * A block also says how many entries of charges there are up to its own: what a training asks before it spends, which
 * must not count the log. This, `settled` and the block's time are signed beside its hash.
 *
 * Verification is in catalog/verify.c.
 */
#include "postgres.h"

#include "catalog/log.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "catalog/seals.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "pg/canonical.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define ENTRIES_PER_BLOCK 4096
#define MOST_DETAIL_BYTES (1 << 20)

/* ---------------------------------------------------------------- writing */

/*
 * An entry that has no canonical form must not be written: chaining would stop at it for ever; nor one that nobody has
 * the memory to read. The functions bound what they write, far below this.
 */
static void
require_readable(const char *detail)
{
	if (detail != NULL && strlen(detail) > MOST_DETAIL_BYTES)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("an entry of the audit log would be too long"),
						errdetail("It has at most %d bytes.", MOST_DETAIL_BYTES)));
}

static void
require_utf8(const char *s)
{
	int n;

	if (s != NULL)
		(void) mg_to_utf8(s, (int) strlen(s), &n);
}

void
mg_log(const char *action, const char *object, const char *detail)
{
	/* before the identity changes: who does it, not who writes it down */
	char *role = GetUserNameFromId(GetUserId(), false), *session_role = GetUserNameFromId(GetSessionUserId(), false);
	char *seals = mg_seals_take();
	MgArg args[] =
		{MG_TEXT(role),       MG_TEXT(session_role),           MG_TEXT(action), MG_TEXT(object), MG_TEXT(detail),
		 MG_OID(GetUserId()), MG_TEXT(mg_database_identity()), MG_TEXT(seals)};
	MgQuery q;

	require_utf8(role);
	require_utf8(session_role);
	require_utf8(object);
	require_utf8(detail);
	require_readable(detail);
	mg_query_begin(&q);
	mg_query_run(&q, false,
				 "INSERT INTO mirage.log (role_name, session_role, action, object, detail, role_oid, identity, seals) "
				 "VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7, $8::jsonb)",
				 lengthof(args), args);
	mg_query_end(&q);
}

/* ---------------------------------------------------------------- canonical form */

static void
put_text(StringInfo buf, Datum value)
{
	text *t = DatumGetTextPP(value);
	int n;
	char *utf8 = mg_to_utf8(VARDATA_ANY(t), (int) VARSIZE_ANY_EXHDR(t), &n);

	pq_sendint64(buf, (uint64) n);
	appendBinaryStringInfo(buf, utf8, n);
}

void
mg_entry_hash(HeapTuple tuple, TupleDesc desc, int first, StringInfo buf, MgHash out)
{
	Datum value[MG_ENTRY_NCOLUMNS];
	bool null[MG_ENTRY_NCOLUMNS];
	mg_ctx ctx;

	for (int i = 0; i < MG_ENTRY_NCOLUMNS; i++)
		value[i] = SPI_getbinval(tuple, desc, first + i, &null[i]);
	resetStringInfo(buf);
	appendStringInfoString(buf, "pg_mirage log entry 2");
	pq_sendint64(buf, (uint64) DatumGetInt64(value[0]));
	pq_sendint64(buf, (uint64) DatumGetTimestampTz(value[1]));
	for (int i = 2; i < 6; i++)
		put_text(buf, value[i]);
	pq_sendint64(buf, DatumGetObjectId(value[6]));
	put_text(buf, value[7]);
	for (int i = 8; i < MG_ENTRY_NCOLUMNS; i++)
	{
		pq_sendbyte(buf, !null[i]);
		if (!null[i])
			put_text(buf, value[i]);
	}
	mg_ctx_init(&ctx);
	MG_CHECK(&ctx, mg_sha256(&ctx, buf->data, (size_t) buf->len, out));
}

void
mg_block_signed(const MgBlock *block, uint8 out[MG_BLOCK_SIGNED])
{
	const int64 field[4] = {block->number, block->settled, block->charges, block->chained_at};
	uint8 *p = out + sizeof(MG_BLOCK_LABEL);

	memcpy(out, MG_BLOCK_LABEL, sizeof(MG_BLOCK_LABEL));
	for (size_t f = 0; f < lengthof(field); f++)
		for (int shift = 56; shift >= 0; shift -= 8)
			*p++ = (uint8) ((uint64) field[f] >> shift);
	memcpy(p, block->hash, MG_HASH_BYTES);
}

/* ---------------------------------------------------------------- chaining */

/* The last block, but not its time; number, settled and charges 0 and a hash of zeros where there is none. */
static void
last_block(MgQuery *q, MgBlock *b)
{
	memset(b, 0, sizeof(*b));
	if (mg_query_run(q, true,
					 "SELECT number, settled, hash, charges FROM mirage.log_block ORDER BY number DESC LIMIT 1", 0,
					 NULL) > 0)
	{
		bytea *hash = (bytea *) mg_get_varlena(q, 0, 3);

		b->number = mg_get_int8(0, 1);
		b->settled = mg_get_int8(0, 2);
		b->charges = mg_get_int8(0, 4);
		if (VARSIZE_ANY_EXHDR(hash) != MG_HASH_BYTES)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED), errmsg("the head of the audit log is damaged"),
					 errhint("Call dp_verify_audit(), and restore the tables mirage.log and mirage.log_block.")));
		memcpy(b->hash, VARDATA_ANY(hash), MG_HASH_BYTES);
	}
}

/* Does another transaction hold the lock that writers of the log hold? */
static bool
log_has_writers(void)
{
	Oid log = get_relname_relid("log", get_namespace_oid("mirage", false));
	VirtualTransactionId *holders;
	LOCKTAG tag;
	int n;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, log);
	holders = GetLockConflicts(&tag, ShareLock, &n);
	pfree(holders);
	return n > 0;
}

/* Steps 1 and 2 of the head comment; 3 is whatever query comes next. */
static int64
find_settled(MgQuery *q, int64 before)
{
	int64 drawn;

	mg_query_run(q, true, "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM mirage.log_id", 0, NULL);
	drawn = mg_get_int8(0, 1);
	return log_has_writers() ? before : Max(drawn, before);
}

static Datum
id_array(const int64 *ids, int n)
{
	Datum *d = palloc(sizeof(Datum) * n);

	for (int i = 0; i < n; i++)
		d[i] = Int64GetDatum(ids[i]);
	return PointerGetDatum(construct_array(d, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static bytea *
make_bytea(const void *p, size_t n)
{
	bytea *b = palloc(VARHDRSZ + n);

	SET_VARSIZE(b, VARHDRSZ + n);
	memcpy(VARDATA(b), p, n);
	return b;
}

/* What goes into a block. */
typedef struct Content
{
	int64 *ids;
	MgHash *hashes;
	int n;
	int charges; /* entries of charges among them */
} Content;

/* Signs and inserts the block that follows `b`, and makes it the new `b`. */
static void
append_block(MgQuery *q, MgBlock *b, const Content *c, int64 settled, const uint8 seed[32])
{
	MgBlock next = {.number = b->number + 1,
					.settled = settled,
					.charges = b->charges + c->charges,
					.chained_at = GetCurrentTimestamp()};
	uint8 signature[MG_SIGNATURE_BYTES], message[MG_BLOCK_SIGNED];
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	MG_CHECK(&ctx, mg_chain_block(&ctx, (uint64) next.number, b->hash, c->hashes, (uint32) c->n, next.hash));
	mg_block_signed(&next, message);
	MG_CHECK(&ctx, mg_sign(&ctx, seed, message, sizeof(message), signature));
	{
		MgArg args[] = {MG_INT8(next.number),
						{INT8ARRAYOID, id_array(c->ids, c->n), false},
						MG_BYTEA(make_bytea(b->hash, MG_HASH_BYTES)),
						MG_BYTEA(make_bytea(next.hash, MG_HASH_BYTES)),
						MG_BYTEA(make_bytea(signature, MG_SIGNATURE_BYTES)),
						MG_INT8(next.settled),
						MG_INT8(next.charges),
						MG_STAMP(next.chained_at)};

		mg_query_run(q, false,
					 "INSERT INTO mirage.log_block (number, entries, previous, hash, signature, settled, charges, "
					 "chained_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
					 lengthof(args), args);
	}
	*b = next;
}

/* Where a walk over what is in no block stands: what was there when it began, and what it has taken. */
typedef struct Walk
{
	int64 first;   /* the last block that there was */
	int64 settled; /* as it was found before the first look, so that all of it was seen then */
	int64 after;   /* the last entry taken; the next is beyond it */
} Walk;

/*
 * One block of what is in none; true when there may be more. Entries beyond the last block's `settled` may be in a
 * block that recorded the same mark (it never falls), so only those blocks are looked at, and none that the walk has
 * made: the time of all of it is proportional to what is chained. What appears meanwhile behind the walk is beyond its
 * `settled`, and so left to the next.
 */
static bool
chain_some(MgQuery *q, MgBlock *b, Walk *walk, const uint8 seed[32])
{
	MgArg args[] = {MG_INT8(b->settled), MG_INT4(ENTRIES_PER_BLOCK), MG_INT8(walk->after), MG_INT8(walk->first)};
	StringInfoData buf;
	Content c = {0};
	uint64 n;

	n = mg_query_run(
		q, true,
		"SELECT " MG_ENTRY_COLUMNS ", " MG_ENTRY_CHARGES
		" FROM mirage.log l LEFT JOIN (SELECT pg_catalog.unnest(b.entries) AS id "
		"FROM mirage.log_block b WHERE b.settled >= $1 AND b.number <= $4) c ON c.id = l.id WHERE l.id > $3 "
		"AND c.id IS NULL "
		"ORDER BY l.id LIMIT $2",
		lengthof(args), args);
	if (n == 0)
		return false;
	c.ids = palloc(sizeof(int64) * n);
	c.hashes = palloc(sizeof(MgHash) * n);
	c.n = (int) n;
	initStringInfo(&buf);
	for (uint64 i = 0; i < n; i++)
	{
		c.ids[i] = mg_get_int8(i, 1);
		mg_entry_hash(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &buf, c.hashes[i]);
		c.charges += mg_get_bool(i, MG_ENTRY_NCOLUMNS + 1);
	}
	walk->after = c.ids[n - 1];
	append_block(q, b, &c, n < ENTRIES_PER_BLOCK ? walk->settled : b->settled, seed);
	return n == ENTRIES_PER_BLOCK;
}

static void
chain_all(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_mirage log chain", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	uint8 seed[MG_KEY_BYTES];
	MgQuery q;
	MgBlock b;
	Walk walk;

	mg_root_key("log", seed, true); /* before the lock: a key command may take a second */
	PG_TRY();
	{
		bool more;

		mg_query_begin(&q);
		mg_query_run(&q, false, "LOCK TABLE mirage.log_block IN SHARE ROW EXCLUSIVE MODE", 0, NULL);
		last_block(&q, &b);
		walk = (Walk){.first = b.number, .settled = find_settled(&q, b.settled), .after = b.settled};
		mg_query_end(&q);
		do
		{
			CHECK_FOR_INTERRUPTS();
			mg_query_begin(&q);
			mg_query_by_index(&q);
			more = chain_some(&q, &b, &walk, seed);
			mg_query_end(&q);
			MemoryContextReset(context);
		} while (more);
	}
	PG_FINALLY();
	{
		mg_wipe(seed, sizeof(seed));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * Held to the end of the transaction: DROP EXTENSION takes the extension before its tables, so it waits for us here
 * instead of meeting us half way. False: it was dropped.
 */
static bool
hold_extension(void)
{
	Oid extension = get_extension_oid("pg_mirage", true);

	if (!OidIsValid(extension))
		return false;
	LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
	return get_extension_oid("pg_mirage", true) == extension;
}

void
mg_log_chain(void)
{
	if (hold_extension())
		chain_all();
}
