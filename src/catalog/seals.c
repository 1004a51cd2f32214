/*
 * catalog/seals.c: seals of rows.
 *
 * The log is chained and signed; the other tables are not. So each row that is written into one of them has its hash in
 * the log's entry that tells of it: mirage.log.seals is a JSON array of [table, key, hash], part of what the chain
 * hashes. Who forces a change past the triggers then has three ways, all of which verification finds: a row that
 * differs from its seal, a seal without its row, a row without a seal.
 *
 * Append-only tables have one seal a row, whose key is a number. Tables of state (grants, models, protections, ..) are
 * sealed at each change: there the last seal of a key counts, keys are texts, and a row that was deleted leaves a seal
 * with null for its hash. The order of entries is that of the changes of a key: a transaction draws its entry's number
 * after it has the row's lock, which it keeps to its end. So nothing may be sealed that the transaction has not itself
 * written: it might be the older version of what another one is about to commit.
 *
 * The canonical bytes of a row (version 1), strings as their length (64 bits, big-endian) and their bytes:
 *
 *   "pg_mirage row 1", the table's name as a string;
 *   of each column that is not NULL, in the order of their names' bytes: its name and its value, both as strings.
 *
 * A value is in the type's binary form, but text and jsonb are as they print, in UTF-8, and of an array of text each
 * element is a string of its own. Neither the session's settings nor the order of columns counts, and a column that a
 * later version adds, NULL in older rows, changes no older hash.
 *
 * Beside the seals, what they imply is compared: cap and order of a budget with its last recorded change, a model's
 * state with what was decided about it last, its price with its charge, the stored parameters with their fingerprint;
 * the running totals of releases must add up (catalog/quota.c). What was done to the tables themselves is
 * catalog/objects.c's.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/keys.h"
#include "catalog/seals.h"
#include "executor/spi.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "pg/canonical.h"
#include "seal/seal.h"
#include "utils/array.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#define ROWS_PER_FETCH 1000

typedef struct SealedTable
{
	const char *name;
	const char *key;   /* a column that is never NULL; of append-only tables the key */
	const char *text;  /* of a table of state: the key as text, over row r; NULL: append-only */
	const char *where; /* and the row of that key, $1 */
} SealedTable;

#define BY_ID "r.id::text", "r.id = $1::bigint"
#define FIRST "split_part($1, ' ', 1)::bigint"
#define REST "substr($1, strpos($1, ' ') + 1)"

static const SealedTable sealed_tables[] =
	{{"ledger", "id", NULL, NULL},
	 {"budget_change", "id", NULL, NULL},
	 {"decision", "id", NULL, NULL},
	 {"recipient", "id", NULL, NULL},
	 {"issuance", "id", NULL, NULL},
	 {"receipt", "issuance", NULL, NULL},
	 {"receipt_rows", "issuance", NULL, NULL},
	 {"model_fingerprint", "model", NULL, NULL},
	 {"mark_plan", "model", NULL, NULL},
	 {"mark_switch", "id", NULL, NULL},
	 {"alert", "id", NULL, NULL},
	 {"alert_acknowledged", "alert", NULL, NULL},
	 {"budget", "id", BY_ID},
	 {"share", "id", BY_ID},
	 {"relation", "id", BY_ID},
	 {"column_decl", "relation", "r.relation || ' ' || r.attname", "r.relation = " FIRST " AND r.attname = " REST},
	 {"job", "id", BY_ID},
	 {"model", "id", BY_ID},
	 {"model_column", "model", "r.model || ' ' || r.pos", "r.model = " FIRST " AND r.pos = " REST "::int"},
	 {"model_grant", "model", "r.model || ' ' || r.grantee_name", "r.model = " FIRST " AND r.grantee_name = " REST},
	 {"claimant", "role_oid", "r.role_name", "r.role_name = $1"}};

void
mg_found(MgFindings *f, int64 entry)
{
	f->bad = true;
	if (entry > 0 && (f->first_bad == 0 || entry < f->first_bad))
		f->first_bad = entry;
}

/* ---------------------------------------------------------------- the hash of a row */

static void
put_bytes(StringInfo buf, const char *p, size_t n)
{
	pq_sendint64(buf, n);
	appendBinaryStringInfo(buf, p, (int) n);
}

static void
put_text(StringInfo buf, char *s)
{
	int n;
	char *utf8 = mg_to_utf8(s, (int) strlen(s), &n);

	put_bytes(buf, utf8, (size_t) n);
}

static void
put_texts(StringInfo buf, Datum value)
{
	StringInfoData list;
	Datum *element;
	bool *null;
	int n;

	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &element, &null, &n);
	initStringInfo(&list);
	for (int i = 0; i < n; i++)
	{
		pq_sendbyte(&list, !null[i]);
		if (!null[i])
			put_text(&list, TextDatumGetCString(element[i]));
	}
	put_bytes(buf, list.data, (size_t) list.len);
}

static void
put_value(StringInfo buf, Oid type, Datum value)
{
	Oid function;
	bool varlena;

	if (type == TEXTARRAYOID)
		put_texts(buf, value);
	else if (type == TEXTOID || type == JSONBOID)
	{
		getTypeOutputInfo(type, &function, &varlena);
		put_text(buf, OidOutputFunctionCall(function, value));
	}
	else
	{
		bytea *bytes;

		getTypeBinaryOutputInfo(type, &function, &varlena);
		bytes = OidSendFunctionCall(function, value);
		put_bytes(buf, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	}
}

typedef struct Column
{
	const char *name;
	int attnum;
} Column;

static int
compare_columns(const void *a, const void *b)
{
	return strcmp(((const Column *) a)->name, ((const Column *) b)->name);
}

/* Of columns first, first + 1, .. of a tuple: all columns of the table. */
static void
hash_row(const char *table, HeapTuple tuple, TupleDesc desc, int first, char out[2 * MG_HASH_BYTES + 1])
{
	Column *column = palloc(sizeof(Column) * (size_t) desc->natts);
	uint8 hash[MG_HASH_BYTES];
	StringInfoData buf;
	int n = 0;
	mg_ctx ctx;

	for (int attnum = first; attnum <= desc->natts; attnum++)
		column[n++] = (Column){NameStr(TupleDescAttr(desc, attnum - 1)->attname), attnum};
	qsort(column, (size_t) n, sizeof(Column), compare_columns);
	initStringInfo(&buf);
	appendStringInfoString(&buf, "pg_mirage row 1");
	put_bytes(&buf, table, strlen(table));
	for (int i = 0; i < n; i++)
	{
		bool null;
		Datum value = SPI_getbinval(tuple, desc, column[i].attnum, &null);

		if (null)
			continue;
		put_bytes(&buf, column[i].name, strlen(column[i].name));
		put_value(&buf, TupleDescAttr(desc, column[i].attnum - 1)->atttypid, value);
	}
	mg_ctx_init(&ctx);
	MG_CHECK(&ctx, mg_sha256(&ctx, buf.data, (size_t) buf.len, hash));
	for (int i = 0; i < MG_HASH_BYTES; i++)
		snprintf(out + 2 * i, 3, "%02x", hash[i]);
	pfree(buf.data);
	pfree(column);
}

/* ---------------------------------------------------------------- sealing */

typedef struct Written
{
	const SealedTable *table;
	char *key;
	SubTransactionId sub;             /* that wrote it */
	char hash[2 * MG_HASH_BYTES + 1]; /* empty: not known yet */
} Written;

static List *written; /* of Written *, in TopTransactionContext; NIL whenever that is reset */

static void
forget_written(void *arg)
{
	written = NIL;
}

static void
require_sealed(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT && written != NIL)
		elog(ERROR, "a row of mirage.%s was written without an entry in the log",
			 ((Written *) linitial(written))->table->name);
}

/* What was written since the savepoint is gone; a subtransaction's number is above those of whatever began before. */
static void
forget_rolled_back(SubXactEvent event, SubTransactionId sub, SubTransactionId parent, void *arg)
{
	ListCell *lc;

	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	foreach (lc, written)
		if (((Written *) lfirst(lc))->sub >= sub)
			written = foreach_delete_current(written, lc);
}

static Written *
note_written(const char *table, const char *key, bool state)
{
	static bool registered;
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Written *w = palloc(sizeof(Written));

	w->table = NULL;
	w->key = pstrdup(key);
	w->sub = GetCurrentSubTransactionId();
	w->hash[0] = '\0';
	for (size_t i = 0; i < lengthof(sealed_tables); i++)
		if (strcmp(sealed_tables[i].name, table) == 0 && (sealed_tables[i].text != NULL) == state)
			w->table = &sealed_tables[i];
	if (w->table == NULL)
		elog(ERROR, "mirage.%s is no sealed table of this kind", table);
	if (!registered)
	{
		RegisterXactCallback(require_sealed, NULL);
		RegisterSubXactCallback(forget_rolled_back, NULL);
	}
	registered = true;
	if (written == NIL)
		mg_release_with(TopTransactionContext, forget_written, NULL);
	written = lappend(written, w);
	MemoryContextSwitchTo(old);
	return w;
}

static Written *
note_row(const char *table, int64 key)
{
	char text[32];

	snprintf(text, sizeof(text), INT64_FORMAT, key);
	return note_written(table, text, false);
}

void
mg_row_written(const char *table, int64 key)
{
	(void) note_row(table, key);
}

void
mg_row_returned(const char *table, int64 key)
{
	(void) mg_get_int8(0, 1); /* error where the row was not taken */
	hash_row(table, SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, note_row(table, key)->hash);
}

void
mg_rows_changed(const char *table, uint64 n, int column)
{
	for (uint64 i = 0; i < n; i++)
	{
		char *key = mg_get_key(i, column);

		(void) note_written(table, key, true);
		pfree(key);
	}
}

/* False where an append-only table has no such row: something kept it out. */
static bool
append_seal(MgQuery *q, StringInfo buf, const Written *w)
{
	const SealedTable *t = w->table;
	MgArg arg = MG_TEXT(w->key);
	char hash[2 * MG_HASH_BYTES + 1];
	bool there;

	if (w->hash[0] != '\0')
	{
		strlcpy(hash, w->hash, sizeof(hash));
		there = true;
	}
	else
	{
		char *where = t->text != NULL ? pstrdup(t->where) : psprintf("r.%s = $1::bigint", t->key);

		there = mg_query_run(q, false, psprintf("SELECT * FROM mirage.%s r WHERE %s", t->name, where), 1, &arg) > 0;
		if (there)
			hash_row(t->name, SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, hash);
	}
	if (!there && t->text == NULL)
		return false;
	appendStringInfo(buf, "[\"%s\", ", t->name);
	if (t->text != NULL)
		escape_json(buf, w->key);
	else
		appendStringInfoString(buf, w->key);
	appendStringInfo(buf, there ? ", \"%s\"]" : ", null]", hash);
	return true;
}

char *
mg_seals_take(void)
{
	StringInfoData buf;
	ListCell *cell;
	bool any = false;
	MgQuery q;

	if (written == NIL)
		return NULL;
	initStringInfo(&buf);
	mg_query_begin(&q);
	foreach (cell, written)
	{
		appendStringInfoString(&buf, any ? ", " : "[");
		if (append_seal(&q, &buf, lfirst(cell)))
			any = true;
		else
			buf.len -= any ? 2 : 1;
	}
	mg_query_end(&q);
	written = NIL;
	appendStringInfoChar(&buf, ']');
	return any ? buf.data : NULL;
}

/* ---------------------------------------------------------------- verification of rows */

/*
 * All rows of a table beside all seals of its rows, or the last of each key: entry and hash of the seal, then the row.
 * What a forged entry holds must not make the statement fail, so nothing is converted that does not look like what it
 * should be.
 */
static char *
comparison(const SealedTable *t)
{
	const char *seals =
		psprintf("FROM mirage.log g, pg_catalog.jsonb_array_elements(CASE WHEN pg_catalog.jsonb_typeof(g.seals) = "
				 "'array' THEN g.seals ELSE '[]' END) WITH ORDINALITY e (value, pos) "
				 "WHERE g.seals @> '[[\"%s\"]]' AND e.value->>0 = '%s'",
				 t->name, t->name);

	if (t->text == NULL)
		return psprintf("SELECT s.entry, s.hash, r.* FROM (SELECT g.id AS entry, e.value->>2 AS hash, CASE WHEN "
						"e.value->>1 ~ '^[0-9]{1,18}$' THEN (e.value->>1)::bigint ELSE -1 END AS key %s) s "
						"FULL JOIN mirage.%s r ON r.%s = s.key",
						seals, t->name, t->key);
	return psprintf("SELECT s.entry, s.hash, r.* FROM (SELECT DISTINCT ON ((e.value->>1) COLLATE \"C\") g.id AS entry, "
					"e.value->>1 AS key, e.value->>2 AS hash %s "
					"ORDER BY (e.value->>1) COLLATE \"C\", g.id DESC, e.pos DESC) s "
					"FULL JOIN mirage.%s r ON (%s) COLLATE \"C\" = s.key COLLATE \"C\"",
					seals, t->name, t->text);
}

typedef struct Differences
{
	int64 altered, missing, added;
} Differences;

static void
compare_row(const SealedTable *t, MgFindings *f, Differences *d, HeapTuple tuple, TupleDesc desc)
{
	bool no_seal, no_row;
	Datum entry = SPI_getbinval(tuple, desc, 1, &no_seal);
	int key = SPI_fnumber(desc, t->key);
	char hash[2 * MG_HASH_BYTES + 1], *sealed;

	(void) SPI_getbinval(tuple, desc, key, &no_row);
	sealed = no_seal ? NULL : SPI_getvalue(tuple, desc, 2);
	if (t->text != NULL && sealed == NULL && no_row) /* deleted, and the log says so */
		return;
	if (no_seal || (t->text != NULL && sealed == NULL))
	{
		d->added++;
		mg_found(f, 0);
		return;
	}
	if (!no_row)
		hash_row(t->name, tuple, desc, 3, hash);
	if (!no_row && sealed != NULL && strcmp(hash, sealed) == 0)
		return;
	if (no_row)
		d->missing++;
	else
		d->altered++;
	/* of a table of state the entry may be of a change before the one that was forced */
	mg_found(f, t->text == NULL ? DatumGetInt64(entry) : 0);
}

static void
tell(const SealedTable *t, const Differences *d)
{
	if (d->altered > 0)
		ereport(NOTICE, (errmsg("rows of \"mirage.%s\" are not what the log says of them", t->name),
						 errdetail("They were altered by force. Number of rows: " INT64_FORMAT ".", d->altered)));
	if (d->missing > 0)
		ereport(NOTICE, (errmsg("rows of \"mirage.%s\" that the log tells of are missing", t->name),
						 errdetail("They were removed by force. Number of rows: " INT64_FORMAT ".", d->missing)));
	if (d->added > 0)
		ereport(NOTICE, (errmsg("the log does not know of rows of \"mirage.%s\"", t->name),
						 errdetail("They were added by force. Number of rows: " INT64_FORMAT ".", d->added)));
}

static void
verify_table(const SealedTable *t, MgFindings *f)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_mirage seals", ALLOCSET_DEFAULT_SIZES);
	Differences d = {0};
	MgQuery q;
	SPIPlanPtr plan;
	Portal portal;

	mg_query_begin(&q);
	PushActiveSnapshot(GetLatestSnapshot());
	plan = SPI_prepare(comparison(t), 0, NULL);
	if (plan == NULL)
		elog(ERROR, "could not prepare a comparison: %s", SPI_result_code_string(SPI_result));
	portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	PopActiveSnapshot();
	for (;;)
	{
		MemoryContext old;

		SPI_cursor_fetch(portal, true, ROWS_PER_FETCH);
		if (SPI_processed == 0)
			break;
		old = MemoryContextSwitchTo(context);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			CHECK_FOR_INTERRUPTS();
			compare_row(t, f, &d, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
			MemoryContextReset(context);
		}
		MemoryContextSwitchTo(old);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	mg_query_end(&q);
	MemoryContextDelete(context);
	tell(t, &d);
}

/* ---------------------------------------------------------------- what the seals imply */

/* A statement that returns the number of offending objects; message: what they are. */
static void
verify_none(MgFindings *f, const char *sql, int nargs, const MgArg *args, const char *message, const char *hint)
{
	MgQuery q;
	int64 n;

	mg_query_begin(&q);
	mg_query_run(&q, true, sql, nargs, args);
	n = mg_get_int8(0, 1);
	mg_query_end(&q);
	if (n == 0)
		return;
	mg_found(f, 0);
	ereport(NOTICE, (errmsg("%s", message), hint != NULL ? errhint("%s", hint) : 0));
}

static void
verify_derived(MgFindings *f)
{
	verify_none(
		f,
		"SELECT count(*) FROM mirage.budget b WHERE NOT EXISTS (SELECT FROM (SELECT * FROM "
		"mirage.budget_change c WHERE c.budget = b.id ORDER BY c.id DESC LIMIT 1) c WHERE c.epsilon = b.epsilon "
		"AND c.delta = b.delta AND c.alpha = b.alpha AND c.period IS NOT DISTINCT FROM b.period)",
		0, NULL, "the cap of a budget, or the order that it is reckoned at, is not the one that was recorded last",
		NULL);
	/* without a decision it is the one that it was trained with */
	verify_none(
		f,
		"SELECT count(*) FROM mirage.model m LEFT JOIN (SELECT DISTINCT ON (model) model, decision FROM "
		"mirage.decision ORDER BY model, id DESC) d ON d.model = m.id LEFT JOIN (SELECT detail->>'job' AS job, "
		"min(detail->>'state') AS state FROM mirage.log WHERE action = 'train' GROUP BY 1) g ON g.job = "
		"m.job::text WHERE m.state <> CASE d.decision WHEN 'approve' THEN 'ready' WHEN 'reject' THEN 'rejected' "
		"WHEN 'withdraw' THEN 'withdrawn' ELSE coalesce(g.state, 'ready') END",
		0, NULL, "the state of a model is not the one that was decided last", NULL);
	verify_none(
		f,
		"SELECT count(*) FROM (SELECT name_total, oid_total, both_total, recipient_total, issued_at, grantee_name, "
		"sum(requested_rows) OVER n AS by_name, sum(requested_rows) OVER o AS by_oid, sum(requested_rows) OVER b AS "
		"by_both, sum(requested_rows) OVER r AS by_recipient, max(issued_at) OVER n AS at_name, max(issued_at) OVER o "
		"AS at_oid, max(issued_at) OVER r AS at_recipient FROM mirage.issuance "
		"WINDOW n AS (PARTITION BY model, grantee_name ORDER BY id), "
		"o AS (PARTITION BY model, grantee_oid, split_part(identity, ':', 1) ORDER BY id), "
		"b AS (PARTITION BY model, grantee_oid, split_part(identity, ':', 1), grantee_name ORDER BY id), "
		"r AS (PARTITION BY recipient, claimed ORDER BY id)) i WHERE recipient_total <> by_recipient OR "
		"issued_at < at_recipient OR (grantee_name IS NOT NULL AND (name_total <> by_name OR oid_total <> by_oid OR "
		"both_total <> by_both OR issued_at < greatest(at_name, at_oid)))",
		0, NULL, "the running totals of releases do not add up", NULL);
	verify_none(f,
				"SELECT count(*) FROM mirage.model m WHERE NOT EXISTS (SELECT FROM mirage.ledger l WHERE l.charge = "
				"m.charge AND l.state = 'spent' AND l.epsilon = m.epsilon AND l.delta = m.delta)",
				0, NULL, "the price of a model is not what was charged for it", NULL);
	verify_none(f,
				"SELECT count(*) FROM mirage.model m LEFT JOIN mirage.model_fingerprint p ON p.model = m.id "
				"LEFT JOIN mirage.model_blob b ON b.model = m.id WHERE b.sealed IS NULL OR p.sha256 IS NULL OR "
				"pg_catalog.sha256(b.sealed) <> p.sha256",
				0, NULL, "the stored parameters of a model are not those that were trained",
				"Restore the table mirage.model_blob from a backup, or drop the model and train again.");
}

/* The key that readers of receipts are told must be the one that signs them. */
static void
verify_receipt_key(MgFindings *f)
{
	uint8 pub[32];

	if (!mg_root_public("receipt", pub) || mg_root_public_genuine("receipt", pub) != MG_GENUINE_NO)
		return;
	mg_found(f, 0);
	ereport(NOTICE, (errmsg("the public key of receipts is not that of their root"),
					 errhint("Restore the table mirage.wrapped_key from a backup.")));
}

List *
mg_append_only_tables(void)
{
	List *tables = list_make2(pstrdup("log"), pstrdup("log_block"));

	for (size_t i = 0; i < lengthof(sealed_tables); i++)
		if (sealed_tables[i].text == NULL)
			tables = lappend(tables, pstrdup(sealed_tables[i].name));
	return tables;
}

void
mg_seals_verify(MgFindings *f)
{
	for (size_t i = 0; i < lengthof(sealed_tables); i++)
		verify_table(&sealed_tables[i], f);
	verify_derived(f);
	verify_receipt_key(f);
}
