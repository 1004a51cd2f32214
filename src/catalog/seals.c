/*
 * catalog/seals.c: seals of rows.
 *
 * The log is chained and signed; the other tables are not. So each row that is written into one of them has its hash in
 * the log's entry that tells of it: mirage.log.seals is a JSON array of [table, key, hash], part of what the chain
 * hashes. Who forces a change past the triggers then has three ways, all of which verification finds: a row that
 * differs from its seal, a seal without its row, a row without a seal.
 *
 * Append-only tables have one seal a row, whose key is a number. Tables of state (grants, models, protections, ..) are
 * sealed at each change: [table, key, hash, before], where keys are texts, a row that was deleted leaves null for its
 * hash, and `before` is the hash of the row that the change found, or null. So the seals of a key are a chain of their
 * own: what a change found must be what the one before it had left. Who alters a row by force, and lets an ordinary
 * change pass over it, leaves that for good in an entry that is signed; and the change itself looks at the last seal,
 * and says so.
 *
 * The order of entries is that of the changes of a key: a transaction draws its entry's number after it has the row's
 * lock, which it keeps to its end. So nothing may be sealed that the transaction has not itself written: it might be
 * the older version of what another one is about to commit. What a change found is read when the seal is taken, as of
 * the command that made it: nobody else can have touched the row since.
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
 * Verification is in catalog/verify_rows.c.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/seals.h"
#include "catalog/watch.h"
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

#define BY_ID "r.id::text", "r.id = $1::bigint"
#define FIRST "split_part($1, ' ', 1)::bigint"
#define REST "substr($1, strpos($1, ' ') + 1)"

static const MgSealedTable sealed_tables[] =
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

/* ---------------------------------------------------------------- the hash of a row */

static void
put_bytes(StringInfo buf, const char *p, size_t n)
{
	pq_sendint64(buf, n);
	appendBinaryStringInfo(buf, p, (int) n);
}

static void
put_text_datum(StringInfo buf, Datum value)
{
	text *t = DatumGetTextPP(value);
	int n;
	char *utf8 = mg_to_utf8(VARDATA_ANY(t), (int) VARSIZE_ANY_EXHDR(t), &n);

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
			put_text_datum(&list, element[i]);
	}
	put_bytes(buf, list.data, (size_t) list.len);
}

typedef struct Column
{
	const char *name;
	int attnum;
	Oid type;
	FmgrInfo function; /* of jsonb what prints it, else the one of its binary form */
} Column;

struct MgRowForm
{
	const char *table;
	TupleDesc desc;
	StringInfoData buf;
	int ncolumns;
	Column column[FLEXIBLE_ARRAY_MEMBER]; /* in the order of their names' bytes */
};

static void
put_value(StringInfo buf, Column *column, Datum value)
{
	if (column->type == TEXTARRAYOID)
		put_texts(buf, value);
	else if (column->type == TEXTOID)
		put_text_datum(buf, value);
	else if (column->type == JSONBOID)
	{
		char *s = OutputFunctionCall(&column->function, value);
		int n;
		char *utf8 = mg_to_utf8(s, (int) strlen(s), &n);

		put_bytes(buf, utf8, (size_t) n);
	}
	else
	{
		bytea *bytes = SendFunctionCall(&column->function, value);

		put_bytes(buf, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	}
}

static int
compare_columns(const void *a, const void *b)
{
	return strcmp(((const Column *) a)->name, ((const Column *) b)->name);
}

MgRowForm *
mg_row_form(const char *table, TupleDesc desc, int first)
{
	MgRowForm *form = palloc(offsetof(MgRowForm, column) + sizeof(Column) * (size_t) desc->natts);

	form->table = table;
	form->desc = desc;
	form->ncolumns = 0;
	initStringInfo(&form->buf);
	for (int attnum = first; attnum <= desc->natts; attnum++)
	{
		Column *c = &form->column[form->ncolumns++];
		Oid function;
		bool varlena;

		c->name = NameStr(TupleDescAttr(desc, attnum - 1)->attname);
		c->attnum = attnum;
		c->type = TupleDescAttr(desc, attnum - 1)->atttypid;
		if (c->type == JSONBOID)
			getTypeOutputInfo(c->type, &function, &varlena);
		else
			getTypeBinaryOutputInfo(c->type, &function, &varlena);
		fmgr_info(function, &c->function);
	}
	qsort(form->column, (size_t) form->ncolumns, sizeof(Column), compare_columns);
	return form;
}

void
mg_row_hash(MgRowForm *form, HeapTuple tuple, uint8 out[MG_HASH_BYTES])
{
	StringInfo buf = &form->buf;
	mg_ctx ctx;

	resetStringInfo(buf);
	appendStringInfoString(buf, "pg_mirage row 1");
	put_bytes(buf, form->table, strlen(form->table));
	for (int i = 0; i < form->ncolumns; i++)
	{
		Column *c = &form->column[i];
		bool null;
		Datum value = SPI_getbinval(tuple, form->desc, c->attnum, &null);

		if (null)
			continue;
		put_bytes(buf, c->name, strlen(c->name));
		put_value(buf, c, value);
	}
	mg_ctx_init(&ctx);
	MG_CHECK(&ctx, mg_sha256(&ctx, buf->data, (size_t) buf->len, out));
}

/* Of the first row that the last statement returned: all columns of the table. */
static void
hash_returned(const char *table, uint8 out[MG_HASH_BYTES])
{
	mg_row_hash(mg_row_form(table, SPI_tuptable->tupdesc, 1), SPI_tuptable->vals[0], out);
}

/* ---------------------------------------------------------------- sealing */

typedef struct Written
{
	const MgSealedTable *table;
	char *key;
	SubTransactionId sub;      /* that wrote it */
	SubTransactionId taken;    /* that put its seal into an entry; invalid: nobody has yet */
	CommandId command;         /* of a table of state: the first that did */
	bool hashed;               /* else it is read again */
	uint8 hash[MG_HASH_BYTES]; /* of what was written */
} Written;

/*
 * Of Written *, in TopTransactionContext; NIL whenever that is reset. What was sealed stays only where the entry was
 * written in a subtransaction of the one that wrote the row: a ROLLBACK TO takes the seal back, and not the row.
 */
static List *written;

static void
forget_written(void *arg)
{
	written = NIL;
}

static void
require_sealed(XactEvent event, void *arg)
{
	ListCell *lc;

	if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PRE_PREPARE)
		return;
	foreach (lc, written)
	{
		const Written *w = lfirst(lc);

		if (w->taken == InvalidSubTransactionId)
			elog(ERROR, "a row of mirage.%s was written without an entry in the log", w->table->name);
	}
}

/*
 * What was written since the savepoint is gone, and so are entries; a subtransaction's number is above those of
 * whatever began before.
 */
static void
forget_rolled_back(SubXactEvent event, SubTransactionId sub, SubTransactionId parent, void *arg)
{
	ListCell *lc;

	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	foreach (lc, written)
	{
		Written *w = lfirst(lc);

		if (w->sub >= sub)
			written = foreach_delete_current(written, lc);
		else if (w->taken >= sub)
			w->taken = InvalidSubTransactionId;
	}
}

static const MgSealedTable *
find_table(const char *name, bool state)
{
	for (size_t i = 0; i < lengthof(sealed_tables); i++)
		if (strcmp(sealed_tables[i].name, name) == 0 && (sealed_tables[i].text != NULL) == state)
			return &sealed_tables[i];
	elog(ERROR, "mirage.%s is no sealed table of this kind", name);
	return NULL;
}

/* In TopTransactionContext. */
static Written *
add_written(const MgSealedTable *table, const char *key)
{
	static bool registered;
	Written *w = palloc0(sizeof(Written));

	w->table = table;
	w->key = pstrdup(key);
	w->sub = GetCurrentSubTransactionId();
	if (!registered)
	{
		RegisterXactCallback(require_sealed, NULL);
		RegisterSubXactCallback(forget_rolled_back, NULL);
	}
	registered = true;
	if (written == NIL)
		mg_release_with(TopTransactionContext, forget_written, NULL);
	written = lappend(written, w);
	return w;
}

static Written *
note_row(const char *table, int64 key)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	char text[32];
	Written *w;

	snprintf(text, sizeof(text), INT64_FORMAT, key);
	w = add_written(find_table(table, false), text);
	MemoryContextSwitchTo(old);
	return w;
}

/* A row that is changed again before its seal is taken has one seal: from what the first change found to the last. */
static void
note_change(const MgSealedTable *table, const char *key)
{
	MemoryContext old;
	ListCell *lc;

	foreach (lc, written)
	{
		const Written *w = lfirst(lc);

		if (w->taken == InvalidSubTransactionId && w->table == table && strcmp(w->key, key) == 0)
			return;
	}
	old = MemoryContextSwitchTo(TopTransactionContext);
	/* the statement that has just ended: what it wrote bears its number, which was counted on behind it */
	add_written(table, key)->command = GetCurrentCommandId(false) - 1;
	MemoryContextSwitchTo(old);
}

void
mg_row_written(const char *table, int64 key)
{
	(void) note_row(table, key);
}

void
mg_row_returned(const char *table, int64 key)
{
	Written *w;

	(void) mg_get_int8(0, 1); /* error where the row was not taken */
	w = note_row(table, key);
	hash_returned(table, w->hash);
	w->hashed = true;
}

void
mg_rows_changed(const char *table, uint64 n, int column)
{
	for (uint64 i = 0; i < n; i++)
	{
		char *key = mg_get_key(i, column);

		note_change(find_table(table, true), key);
		pfree(key);
	}
}

/* ---------------------------------------------------------------- what a change found */

/* The row, as it is now or (before) as the change found it; false: there is none. */
static bool
read_row(MgQuery *q, const Written *w, bool before, uint8 hash[MG_HASH_BYTES])
{
	const MgSealedTable *t = w->table;
	char *where = t->text != NULL ? pstrdup(t->where) : psprintf("r.%s = $1::bigint", t->key);
	char *sql = psprintf("SELECT * FROM mirage.%s r WHERE %s", t->name, where);
	MgArg arg = MG_TEXT(w->key);

	if ((before ? mg_query_run_before(q, w->command, sql, 1, &arg) : mg_query_run(q, false, sql, 1, &arg)) == 0)
		return false;
	hash_returned(t->name, hash);
	return true;
}

static void
append_hash(StringInfo buf, bool there, const uint8 hash[MG_HASH_BYTES])
{
	char hex[2 * MG_HASH_BYTES + 1];

	mg_hex(hash, MG_HASH_BYTES, hex);
	appendStringInfo(buf, there ? ", \"%s\"" : ", null", hex);
}

/*
 * Is this hash the one of the key's last seal? The few entries that hold seals of state have an index of their own. It
 * is within the statement that nothing of it depends on the order that the planner takes them in.
 */
static bool
is_last_seal(MgQuery *q, const Written *w, const uint8 hash[MG_HASH_BYTES])
{
	MgArg args[] = {MG_TEXT(w->table->name), MG_TEXT(w->key)};
	char hex[2 * MG_HASH_BYTES + 1], *last;

	mg_hex(hash, MG_HASH_BYTES, hex);
	if (mg_query_run(q, true,
					 "WITH g AS MATERIALIZED (SELECT id, seals FROM mirage.log WHERE " MG_SEALS_OF_STATE
					 " AND seals @> pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_array($1, $2))) "
					 "SELECT e.value->>2 FROM g, pg_catalog.jsonb_array_elements(g.seals) WITH ORDINALITY e (value, "
					 "pos) WHERE e.value->>0 = $1 AND e.value->>1 = $2 ORDER BY g.id DESC, e.pos DESC LIMIT 1",
					 lengthof(args), args) == 0)
		return false;
	last = mg_get_text(q, 0, 1);
	return last != NULL && strcmp(last, hex) == 0;
}

/*
 * The change goes on: it may be what puts an end to the forgery, and no row may be made unchangeable by force. But
 * what it found is in its seal for ever, and now somebody is told.
 */
static void
tell_forced(const Written *w)
{
	ereport(WARNING, (errcode(ERRCODE_DATA_CORRUPTED),
					  errmsg("a row of \"mirage.%s\" had been altered by force before this change", w->table->name),
					  errdetail("The log's entry of this change holds the hash of what it found."),
					  errhint("Call dp_verify_audit().")));
	mg_watch_event(MG_WATCH_AUDIT);
}

/* ---------------------------------------------------------------- seals */

static bool
append_row_seal(MgQuery *q, StringInfo buf, const Written *w)
{
	uint8 hash[MG_HASH_BYTES];

	if (w->hashed)
		memcpy(hash, w->hash, sizeof(hash));
	else if (!read_row(q, w, false, hash))
		return false;
	appendStringInfo(buf, "[\"%s\", %s", w->table->name, w->key);
	append_hash(buf, true, hash);
	appendStringInfoChar(buf, ']');
	return true;
}

/*
 * Where the change found no row nothing is looked up: a key that is new is what that nearly always is, and one whose
 * row had been removed by force is found by verification as any other.
 */
static void
append_state_seal(MgQuery *q, StringInfo buf, const Written *w)
{
	uint8 hash[MG_HASH_BYTES];
	bool there;

	appendStringInfo(buf, "[\"%s\", ", w->table->name);
	escape_json(buf, w->key);
	there = read_row(q, w, false, hash);
	append_hash(buf, there, hash);
	there = read_row(q, w, true, hash);
	append_hash(buf, there, hash);
	appendStringInfoChar(buf, ']');
	if (there && !is_last_seal(q, w, hash))
		tell_forced(w);
}

/* False where an append-only table has no such row: something kept it out. */
static bool
append_seal(MgQuery *q, StringInfo buf, const Written *w)
{
	if (w->table->text == NULL)
		return append_row_seal(q, buf, w);
	append_state_seal(q, buf, w);
	return true;
}

static bool
is_untaken(void)
{
	ListCell *lc;

	foreach (lc, written)
		if (((const Written *) lfirst(lc))->taken == InvalidSubTransactionId)
			return true;
	return false;
}

char *
mg_seals_take(void)
{
	StringInfoData buf;
	ListCell *cell;
	bool any = false;
	MgQuery q;

	if (!is_untaken())
		return NULL;
	initStringInfo(&buf);
	mg_query_begin(&q);
	mg_query_by_index(&q);
	foreach (cell, written)
	{
		Written *w = lfirst(cell);

		if (w->taken != InvalidSubTransactionId)
			continue;
		appendStringInfoString(&buf, any ? ", " : "[");
		if (append_seal(&q, &buf, w))
			any = true;
		else
			buf.len -= any ? 2 : 1;
		w->taken = GetCurrentSubTransactionId();
		if (w->taken == w->sub)
			written = foreach_delete_current(written, cell);
	}
	mg_query_end(&q);
	appendStringInfoChar(&buf, ']');
	return any ? buf.data : NULL;
}

/* ---------------------------------------------------------------- for verification */

const MgSealedTable *
mg_sealed_tables(int *n)
{
	*n = (int) lengthof(sealed_tables);
	return sealed_tables;
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
