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
 * Who compares the log only with itself cannot see that its end was cut off. So a head, which names a block and its
 * hash, can be kept elsewhere: plain, as "number:hash", or signed (catalog/head.c).
 */
#include "postgres.h"

#include "access/genam.h"
#include "catalog/keys.h"
#include "catalog/namespace.h"
#include "catalog/head.h"
#include "catalog/pg_extension.h"
#include "catalog/seals.h"
#include "commands/extension.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "pg/canonical.h"
#include "seal/seal.h"
#include "storage/lock.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define ENTRIES_PER_BLOCK 4096
#define BLOCKS_PER_PAGE 2048   /* of verification: at most so many blocks, */
#define ENTRIES_PER_PAGE 16384 /* and no further one once there are so many entries */
#define SIGNED_LABEL "pg_mirage log block"

typedef uint8 Hash[MG_HASH_BYTES];

/* ---------------------------------------------------------------- writing */

/* An entry that has no canonical form must not be written: chaining would stop at it for ever. */
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
	mg_query_begin(&q);
	mg_query_run(&q, false,
				 "INSERT INTO mirage.log (role_name, session_role, action, object, detail, role_oid, identity, seals) "
				 "VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7, $8::jsonb)",
				 lengthof(args), args);
	mg_query_end(&q);
}

/* ---------------------------------------------------------------- canonical form */

static void
put_text(StringInfo buf, const char *s)
{
	int n;
	char *utf8 = mg_to_utf8(s, (int) strlen(s), &n);

	pq_sendint64(buf, (uint64) n);
	appendBinaryStringInfo(buf, utf8, n);
}

/* An entry as both chaining and verification read it: the columns of ENTRY_COLUMNS, from column `first` of a result. */
#define ENTRY_COLUMNS \
	"l.id, l.at, l.role_name, l.session_role, l.action, l.object, l.role_oid, l.identity, l.detail::text, l.seals::text"

static void
hash_entry(MgQuery *q, uint64 row, int first, StringInfo buf, Hash out)
{
	mg_ctx ctx;

	resetStringInfo(buf);
	appendStringInfoString(buf, "pg_mirage log entry 2");
	pq_sendint64(buf, (uint64) mg_get_int8(row, first));
	pq_sendint64(buf, (uint64) DatumGetTimestampTz(mg_get_datum(row, first + 1)));
	for (int i = 2; i < 6; i++)
		put_text(buf, mg_get_text(q, row, first + i));
	pq_sendint64(buf, mg_get_oid(row, first + 6));
	put_text(buf, mg_get_text(q, row, first + 7));
	for (int i = 8; i < 10; i++)
	{
		pq_sendbyte(buf, !mg_get_null(row, first + i));
		if (!mg_get_null(row, first + i))
			put_text(buf, mg_get_text(q, row, first + i));
	}
	mg_ctx_init(&ctx);
	MG_CHECK(&ctx, mg_sha256(&ctx, buf->data, (size_t) buf->len, out));
}

/* What is signed: a label, the number and the hash, so that the signature means this and nothing else. */
#define SIGNED_SIZE (sizeof(SIGNED_LABEL) + 8 + MG_HASH_BYTES)

static void
signed_bytes(int64 number, const Hash hash, uint8 out[SIGNED_SIZE])
{
	memcpy(out, SIGNED_LABEL, sizeof(SIGNED_LABEL));
	for (int i = 0; i < 8; i++)
		out[sizeof(SIGNED_LABEL) + i] = (uint8) ((uint64) number >> (56 - 8 * i));
	memcpy(out + sizeof(SIGNED_LABEL) + 8, hash, MG_HASH_BYTES);
}

/* ---------------------------------------------------------------- chaining */

typedef struct Block
{
	int64 number, settled;
	Hash hash;
} Block;

/* The last block; number 0, a hash of zeros and settled 0 where there is none. */
static void
last_block(MgQuery *q, Block *b)
{
	memset(b, 0, sizeof(*b));
	if (mg_query_run(q, true, "SELECT number, settled, hash FROM mirage.log_block ORDER BY number DESC LIMIT 1", 0,
					 NULL) > 0)
	{
		bytea *hash = (bytea *) mg_get_varlena(q, 0, 3);

		b->number = mg_get_int8(0, 1);
		b->settled = mg_get_int8(0, 2);
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

/* Signs and inserts the block that follows `b`, and makes it the new `b`. */
static void
append_block(MgQuery *q, Block *b, const int64 *ids, const Hash *hashes, int n, int64 settled, const uint8 seed[32])
{
	uint8 signature[MG_SIGNATURE_BYTES], message[SIGNED_SIZE];
	Hash hash;
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	MG_CHECK(&ctx, mg_chain_block(&ctx, (uint64) b->number + 1, b->hash, hashes, (uint32) n, hash));
	signed_bytes(b->number + 1, hash, message);
	MG_CHECK(&ctx, mg_sign(&ctx, seed, message, sizeof(message), signature));
	{
		MgArg args[] = {MG_INT8(b->number + 1),
						{INT8ARRAYOID, id_array(ids, n), false},
						MG_BYTEA(make_bytea(b->hash, MG_HASH_BYTES)),
						MG_BYTEA(make_bytea(hash, MG_HASH_BYTES)),
						MG_BYTEA(make_bytea(signature, MG_SIGNATURE_BYTES)),
						MG_INT8(settled)};

		mg_query_run(q, false,
					 "INSERT INTO mirage.log_block (number, entries, previous, hash, signature, settled) "
					 "VALUES ($1, $2, $3, $4, $5, $6)",
					 lengthof(args), args);
	}
	b->number++;
	b->settled = settled;
	memcpy(b->hash, hash, MG_HASH_BYTES);
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
chain_some(MgQuery *q, Block *b, Walk *walk, const uint8 seed[32])
{
	MgArg args[] = {MG_INT8(b->settled), MG_INT4(ENTRIES_PER_BLOCK), MG_INT8(walk->after), MG_INT8(walk->first)};
	StringInfoData buf;
	int64 *ids;
	Hash *hashes;
	uint64 n;

	n = mg_query_run(
		q, true,
		"SELECT " ENTRY_COLUMNS " FROM mirage.log l LEFT JOIN (SELECT pg_catalog.unnest(b.entries) AS id "
		"FROM mirage.log_block b WHERE b.settled >= $1 AND b.number <= $4) c ON c.id = l.id WHERE l.id > $3 "
		"AND c.id IS NULL "
		"ORDER BY l.id LIMIT $2",
		lengthof(args), args);
	if (n == 0)
		return false;
	ids = palloc(sizeof(int64) * n);
	hashes = palloc(sizeof(Hash) * n);
	initStringInfo(&buf);
	for (uint64 i = 0; i < n; i++)
	{
		ids[i] = mg_get_int8(i, 1);
		hash_entry(q, i, 1, &buf, hashes[i]);
	}
	walk->after = ids[n - 1];
	append_block(q, b, ids, hashes, (int) n, n < ENTRIES_PER_BLOCK ? walk->settled : b->settled, seed);
	return n == ENTRIES_PER_BLOCK;
}

static void
chain_all(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_mirage log chain", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	uint8 seed[MG_KEY_BYTES];
	MgQuery q;
	Block b;
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

/* ---------------------------------------------------------------- verification */

typedef struct Verify
{
	MgQuery q;
	Block last; /* what has been walked */
	uint8 pub[32];
	bool have_pub;
	MgFindings found;       /* entries that are wrong, or first of a block that is */
	const MgHead *expected; /* NULL: none */
	bool expected_seen;
	StringInfoData buf;
	Hash *hashes; /* of the block at hand */
	uint32 nhashes;
	size_t room;
} Verify;

static bool
bytea_equals(const bytea *b, const void *p, size_t n)
{
	return b != NULL && VARSIZE_ANY_EXHDR(b) == n && memcmp(VARDATA_ANY(b), p, n) == 0;
}

/* Judges the block whose columns stand in `row` and whose entries' hashes have been gathered; first: its first entry.
 */
static void
verify_block(Verify *v, uint64 row, int64 first)
{
	int64 number = mg_get_int8(row, 1);
	bytea *previous = (bytea *) mg_get_varlena(&v->q, row, 2), *hash = (bytea *) mg_get_varlena(&v->q, row, 3);
	bytea *signature = (bytea *) mg_get_varlena(&v->q, row, 4);
	uint8 message[SIGNED_SIZE];
	bool good = v->have_pub && number == v->last.number + 1 && bytea_equals(previous, v->last.hash, MG_HASH_BYTES);
	Hash computed;
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	MG_CHECK(&ctx, mg_chain_block(&ctx, (uint64) number, v->last.hash, v->hashes, v->nhashes, computed));
	good = good && bytea_equals(hash, computed, MG_HASH_BYTES) && VARSIZE_ANY_EXHDR(signature) == MG_SIGNATURE_BYTES;
	if (good)
	{
		signed_bytes(number, computed, message);
		MG_CHECK(&ctx, mg_verify(&ctx, v->pub, message, sizeof(message), (uint8 *) VARDATA_ANY(signature), &good));
	}
	if (!good)
		mg_found(&v->found, first);
	/* Goes on from what the block claims, so that one bad block is not reported for all that follow. */
	v->last.number = number;
	v->last.settled = mg_get_int8(row, 5);
	if (VARSIZE_ANY_EXHDR(hash) == MG_HASH_BYTES)
		memcpy(v->last.hash, VARDATA_ANY(hash), MG_HASH_BYTES);
	if (v->expected != NULL && v->expected->number == number)
		v->expected_seen = memcmp(v->expected->hash, v->last.hash, MG_HASH_BYTES) == 0;
}

/* The entry in `row`: its hash, or a row of NULLs where it is gone. */
static void
verify_entry(Verify *v, uint64 row)
{
	if (v->nhashes >= v->room)
	{
		v->room = v->room == 0 ? 256 : v->room * 2;
		v->hashes =
			v->hashes == NULL ? palloc(v->room * sizeof(Hash)) : repalloc_huge(v->hashes, v->room * sizeof(Hash));
	}
	if (mg_get_null(row, 7))
	{
		mg_found(&v->found, mg_get_int8(row, 6));
		memset(v->hashes[v->nhashes++], 0, MG_HASH_BYTES);
	}
	else
		hash_entry(&v->q, row, 7, &v->buf, v->hashes[v->nhashes++]);
}

/* Blocks after the last one walked; false: there are no more. Rows come by block, and within it in the block's own
 * order. */
static bool
verify_page(Verify *v)
{
	MgArg args[] = {MG_INT8(v->last.number), MG_INT4(BLOCKS_PER_PAGE), MG_INT4(ENTRIES_PER_PAGE)};
	uint64 n, begin;

	n = mg_query_run(
		&v->q, true,
		"SELECT b.number, b.previous, b.hash, b.signature, b.settled, e.id, " ENTRY_COLUMNS
		" FROM (SELECT p.*, pg_catalog.sum(pg_catalog.cardinality(p.entries)) OVER (ORDER BY p.number) AS upto "
		"FROM (SELECT * FROM mirage.log_block WHERE number > $1 ORDER BY number LIMIT $2) p) b "
		"LEFT JOIN LATERAL pg_catalog.unnest(b.entries) WITH ORDINALITY e (id, pos) ON true "
		"LEFT JOIN mirage.log l ON l.id = e.id "
		"WHERE b.upto - pg_catalog.cardinality(b.entries) < $3 ORDER BY b.number, e.pos",
		lengthof(args), args);
	begin = 0;
	for (uint64 i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (i == begin)
			v->nhashes = 0;
		if (mg_get_null(i, 6))
			mg_found(&v->found, 0); /* a block of nothing is never made */
		else
			verify_entry(v, i);
		if (i + 1 == n || mg_get_int8(i + 1, 1) != mg_get_int8(i, 1))
		{
			verify_block(v, begin, mg_get_null(begin, 6) ? 0 : mg_get_int8(begin, 6));
			begin = i + 1;
		}
	}
	return n > 0;
}

/*
 * How many entries there are; those that are in two blocks, or that came after everything of their number was settled,
 * are bad. Those that wait for their block for long are worth a word: the next job chains them, if nothing is in its
 * way.
 */
static int64
verify_entries(Verify *v)
{
	MgArg arg = MG_INT8(v->last.settled);
	int64 entries;

	mg_query_run(
		&v->q, true,
		"WITH c AS (SELECT e.id, pg_catalog.count(*) AS n FROM mirage.log_block b, pg_catalog.unnest(b.entries) e (id) "
		"GROUP BY e.id) "
		"SELECT pg_catalog.count(l.id), pg_catalog.min(l.id) FILTER (WHERE c.id IS NULL AND l.id <= $1), "
		"(SELECT pg_catalog.min(id) FROM c WHERE n > 1), pg_catalog.bool_or(c.id IS NULL AND l.at < "
		"pg_catalog.clock_timestamp() - interval '1 hour') FROM mirage.log l LEFT JOIN c ON c.id = l.id",
		1, &arg);
	entries = mg_get_int8(0, 1);
	if (mg_get_bool(0, 4))
		ereport(NOTICE, (errmsg("there are entries older than an hour that are in no block of the log yet"),
						 errdetail("Only what is in a block is protected against changes by force."),
						 errhint("SELECT dp_audit_head() chains them, or says why it cannot be done.")));
	for (int col = 2; col <= 3; col++)
		if (!mg_get_null(0, col))
			mg_found(&v->found, mg_get_int8(0, col));
	return entries;
}

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

/* The chain: blocks, the entries in them, and those in none. */
static int64
verify_chain(Verify *v)
{
	MemoryContext old = CurrentMemoryContext;
	MemoryContext page = AllocSetContextCreate(old, "pg_mirage log page", ALLOCSET_DEFAULT_SIZES);
	int64 entries;
	bool more;

	initStringInfo(&v->buf);
	do
	{
		MemoryContextSwitchTo(page);
		mg_query_begin(&v->q);
		v->hashes = NULL;
		v->room = 0;
		more = verify_page(v);
		mg_query_end(&v->q);
		MemoryContextReset(page);
	} while (more);
	MemoryContextSwitchTo(old);
	mg_query_begin(&v->q);
	entries = verify_entries(v);
	mg_query_end(&v->q);
	/* The signing root is made in the transaction of the first block: one without the other was tampered with. */
	if (v->have_pub && v->last.number == 0)
		mg_found(&v->found, 0);
	if (v->found.bad)
		ereport(NOTICE,
				(errmsg("the chain of the audit log is broken"),
				 errdetail("Entries, blocks or the key that signs them were altered, removed or added by force.")));
	return entries;
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
	if (head->number > v->last.number)
		ereport(NOTICE, (errmsg("the log ends before the head"),
						 errdetail("The head is of block " INT64_FORMAT ", the last block is " INT64_FORMAT ".",
								   head->number, v->last.number),
						 errhint("The database was rewound (recovery to an earlier moment, an old dump, a standby that "
								 "was behind), or the end of the log was cut off.")));
	else
		ereport(NOTICE, (errmsg("the log is not the one that the head was taken of"),
						 errdetail("Block " INT64_FORMAT " is another.", head->number),
						 errhint("The database was rewound and went on, or the log was written anew.")));
}

MgLogCheck
mg_log_verify(const char *expected_head)
{
	MemoryContext old = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(old, "pg_mirage log verification", ALLOCSET_DEFAULT_SIZES);
	Verify v = {0};
	MgLogCheck check = {0};
	char head[MG_HEAD_SIZE];
	MgHead expected;

	MemoryContextSwitchTo(context);
	if (expected_head != NULL)
	{
		if (!mg_head_parse(expected_head, &expected))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("head is not a head of the audit log"),
							errhint("Give the text that dp_audit_head(), or an earlier call of dp_verify_audit(), "
									"returned.")));
		v.expected = &expected;
		/* of no block yet: the hash is zeros */
		v.expected_seen = expected.number == 0 && memcmp(expected.hash, v.last.hash, MG_HASH_BYTES) == 0;
	}
	verify_signer(&v);
	check.entries = verify_chain(&v);
	verify_head(&v);
	mg_seals_verify(&v.found);
	check.ok = !v.found.bad;
	check.first_bad = v.found.first_bad;
	MemoryContextSwitchTo(old);
	mg_head_plain(v.last.number, v.last.hash, head);
	check.head = pstrdup(head);
	MemoryContextDelete(context);
	return check;
}
