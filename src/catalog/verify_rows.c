/*
 * catalog/verify_rows.c: sealed tables beside their seals, and what the seals imply.
 *
 * Each table is read once, in whatever order its rows lie; keys and hashes of the rows are sorted and merged with the
 * seals of all entries, which are sorted by table, key and order. Three things are wrong: a row that differs from its
 * seal, a seal without its row, a row without a seal. Of a table of state the last seal of a key counts, and each seal
 * must have found what the one before it left.
 *
 * What a forged entry holds must not make verification fail: what does not look like a seal is none, and what does not
 * look like a hash is no row's.
 *
 * Beside the seals, what they imply is compared: cap and order of a budget with its last recorded change, a model's
 * state with what was decided about it last, its price with its charge, the stored parameters with their fingerprint;
 * the running totals of releases must add up (catalog/quota.c). What was done to the tables themselves is
 * catalog/objects.c's.
 */
#include "postgres.h"

#include "catalog/keys.h"
#include "catalog/seals.h"
#include "catalog/verify.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

/* ---------------------------------------------------------------- seals */

/* Columns of the sorted seals; by all of the first five. A key is a number or a text, and the other is empty. */
enum
{
	SEAL_TABLE,
	SEAL_NUMBER,
	SEAL_TEXT,
	SEAL_ENTRY,
	SEAL_POS,
	SEAL_HASH,   /* of no bytes: it does not look like one; NULL: the row was deleted */
	SEAL_BEFORE, /* NULL: the change found no row */
	SEAL_HAS_BEFORE,
	SEAL_COLUMNS
};
static const Oid seal_types[SEAL_COLUMNS] = {INT4OID, INT8OID, TEXTOID, INT8OID, INT4OID, BYTEAOID, BYTEAOID, INT4OID};

/* And of the sorted rows of one table. */
enum
{
	ROW_NUMBER,
	ROW_TEXT,
	ROW_HASH,
	ROW_COLUMNS
};
static const Oid row_types[ROW_COLUMNS] = {INT8OID, TEXTOID, BYTEAOID};

#define NO_NUMBER (-1) /* no row's */
#define LONGEST_NUMBER 18

MgSorter *
mg_verify_seals_begin(void)
{
	return mg_sorter_begin(SEAL_COLUMNS, seal_types, SEAL_POS + 1);
}

static bool
is_text(const JsonbValue *v, const char *text)
{
	return v->type == jbvString && v->val.string.len == (int) strlen(text) &&
		   memcmp(v->val.string.val, text, strlen(text)) == 0;
}

static int
find_table(const JsonbValue *name)
{
	int n;
	const MgSealedTable *table = mg_sealed_tables(&n);

	for (int i = 0; i < n; i++)
		if (is_text(name, table[i].name))
			return i;
	return -1;
}

static Datum
number_key(const JsonbValue *v)
{
	char *digits;

	if (v->type != jbvNumeric)
		return Int64GetDatum(NO_NUMBER);
	digits = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(v->val.numeric)));
	if (strlen(digits) > LONGEST_NUMBER || strspn(digits, "0123456789") < strlen(digits))
		return Int64GetDatum(NO_NUMBER);
	return Int64GetDatum(strtoll(digits, NULL, 10));
}

static Datum
text_key(const JsonbValue *v)
{
	return PointerGetDatum(v->type == jbvString ? cstring_to_text_with_len(v->val.string.val, v->val.string.len)
												: cstring_to_text(""));
}

/* 64 hexadecimal digits as bytes; anything else as none. */
static Datum
hash_value(const JsonbValue *v)
{
	bytea *b = palloc(VARHDRSZ + MG_HASH_BYTES);
	bool good = v->type == jbvString && v->val.string.len == 2 * MG_HASH_BYTES &&
				mg_unhex(v->val.string.val, 2 * MG_HASH_BYTES, (uint8 *) VARDATA(b), MG_HASH_BYTES);

	SET_VARSIZE(b, VARHDRSZ + (good ? MG_HASH_BYTES : 0));
	return PointerGetDatum(b);
}

static void
put_seal(MgSorter *seals, int64 entry, int pos, JsonbContainer *c)
{
	uint32 n = JsonContainerSize(c);
	JsonbValue *name = n > 0 ? getIthJsonbValueFromContainer(c, 0) : NULL, nothing = {.type = jbvNull};
	JsonbValue *key = n > 1 ? getIthJsonbValueFromContainer(c, 1) : &nothing;
	JsonbValue *hash = n > 2 ? getIthJsonbValueFromContainer(c, 2) : &nothing;
	JsonbValue *before = n > 3 ? getIthJsonbValueFromContainer(c, 3) : &nothing;
	int table = name != NULL ? find_table(name) : -1, ntables;
	bool state, nulls[SEAL_COLUMNS] = {false};
	Datum values[SEAL_COLUMNS];

	if (table < 0)
		return;
	state = mg_sealed_tables(&ntables)[table].text != NULL;
	values[SEAL_TABLE] = Int32GetDatum(table);
	values[SEAL_NUMBER] = state ? Int64GetDatum(0) : number_key(key);
	values[SEAL_TEXT] = state ? text_key(key) : PointerGetDatum(cstring_to_text(""));
	values[SEAL_ENTRY] = Int64GetDatum(entry);
	values[SEAL_POS] = Int32GetDatum(pos);
	values[SEAL_HASH] = hash_value(hash);
	nulls[SEAL_HASH] = hash->type == jbvNull;
	values[SEAL_BEFORE] = hash_value(before);
	nulls[SEAL_BEFORE] = before->type == jbvNull;
	values[SEAL_HAS_BEFORE] = Int32GetDatum(n > 3);
	mg_sorter_put(seals, values, nulls);
}

void
mg_verify_seals_put(MgSorter *seals, int64 entry, Jsonb *of_entry)
{
	JsonbContainer *c = &of_entry->root;
	uint32 n = JsonContainerIsArray(c) && !JsonContainerIsScalar(c) ? JsonContainerSize(c) : 0;

	for (uint32 i = 0; i < n; i++)
	{
		JsonbValue *v = getIthJsonbValueFromContainer(c, i);

		if (v->type == jbvBinary && JsonContainerIsArray(v->val.binary.data))
			put_seal(seals, entry, (int) i, v->val.binary.data);
	}
}

/* ---------------------------------------------------------------- rows of a table */

typedef struct Rows
{
	const MgSealedTable *table;
	MgSorter *sorter;
	MgRowForm *form; /* made with the first row */
	MemoryContext context;
} Rows;

static void
visit_row(void *arg, HeapTuple tuple, TupleDesc desc)
{
	Rows *r = arg;
	Datum values[ROW_COLUMNS] = {Int64GetDatum(0), (Datum) 0, (Datum) 0}, key;
	bool nulls[ROW_COLUMNS] = {false}, no_key;
	uint8 hash[MG_HASH_BYTES];
	bytea *b = palloc(VARHDRSZ + MG_HASH_BYTES);

	if (r->form == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(r->context);

		r->form = mg_row_form(r->table->name, CreateTupleDescCopy(desc), 2);
		MemoryContextSwitchTo(old);
	}
	mg_row_hash(r->form, tuple, hash);
	SET_VARSIZE(b, VARHDRSZ + MG_HASH_BYTES);
	memcpy(VARDATA(b), hash, MG_HASH_BYTES);
	key = SPI_getbinval(tuple, desc, 1, &no_key);
	if (r->table->text == NULL)
		values[ROW_NUMBER] = no_key ? Int64GetDatum(NO_NUMBER) : key;
	values[ROW_TEXT] = r->table->text != NULL && !no_key ? key : PointerGetDatum(cstring_to_text(""));
	values[ROW_HASH] = PointerGetDatum(b);
	mg_sorter_put(r->sorter, values, nulls);
}

static MgSorter *
read_rows(const MgSealedTable *t, Snapshot snapshot)
{
	Rows r = {.table = t,
			  .sorter = mg_sorter_begin(ROW_COLUMNS, row_types, ROW_TEXT + 1),
			  .context = CurrentMemoryContext};

	mg_verify_scan(snapshot,
				   t->text != NULL ? psprintf("SELECT (%s)::text, r.* FROM mirage.%s r", t->text, t->name)
								   : psprintf("SELECT r.%s, r.* FROM mirage.%s r", t->key, t->name),
				   visit_row, &r);
	mg_sorter_sort(r.sorter);
	return r.sorter;
}

/* ---------------------------------------------------------------- the comparison */

typedef struct Differences
{
	int64 altered, missing, added, forced;
} Differences;

/* A hash that may be none: of no row, or (not good) of no form. */
typedef struct RowHash
{
	bool there, good;
	uint8 bytes[MG_HASH_BYTES];
} RowHash;

static RowHash
get_hash(const MgSorted *s, int column)
{
	RowHash h = {.there = !s->nulls[column]};

	if (h.there)
	{
		const struct varlena *b = (const struct varlena *) DatumGetPointer(s->values[column]);

		h.good = VARSIZE_ANY_EXHDR(b) == MG_HASH_BYTES;
		if (h.good)
			memcpy(h.bytes, VARDATA_ANY(b), MG_HASH_BYTES);
	}
	return h;
}

static bool
same_hash(const RowHash *a, const RowHash *b)
{
	if (!a->there || !b->there)
		return a->there == b->there;
	return a->good && b->good && memcmp(a->bytes, b->bytes, MG_HASH_BYTES) == 0;
}

static int
compare_texts(Datum a, Datum b)
{
	const struct varlena *x = (const struct varlena *) DatumGetPointer(a);
	const struct varlena *y = (const struct varlena *) DatumGetPointer(b);
	size_t nx = VARSIZE_ANY_EXHDR(x), ny = VARSIZE_ANY_EXHDR(y);
	int c = memcmp(VARDATA_ANY(x), VARDATA_ANY(y), Min(nx, ny));

	return c != 0 ? c : (nx > ny) - (nx < ny);
}

static int
compare_keys(Datum number_a, Datum text_a, Datum number_b, Datum text_b)
{
	int64 a = DatumGetInt64(number_a), b = DatumGetInt64(number_b);

	return a != b ? (a > b) - (a < b) : compare_texts(text_a, text_b);
}

/* The seal at hand if it is one of this table, else NULL. */
static const MgSorted *
seal_of(MgSorter *seals, int table)
{
	const MgSorted *s = mg_sorter_row(seals);

	return s != NULL && DatumGetInt32(s->values[SEAL_TABLE]) == table ? s : NULL;
}

/* A key's number and text, kept. */
typedef struct Key
{
	Datum number, text;
} Key;

static bool
is_key(const MgSorted *s, int number, const Key *key)
{
	return s != NULL && compare_keys(s->values[number], s->values[number + 1], key->number, key->text) == 0;
}

/*
 * All seals of a key beside its row. Of a table of state `left` ends as what the last change left; of another one each
 * seal is compared with the row, and so left is of no use.
 */
static int
compare_seals(MgSorter *seals, int table, bool state, const Key *key, const RowHash *row, MgFindings *f, Differences *d,
			  RowHash *left)
{
	int n = 0;

	*left = (RowHash){0};
	for (const MgSorted *s; is_key(s = seal_of(seals, table), SEAL_NUMBER, key); n++)
	{
		int64 entry = DatumGetInt64(s->values[SEAL_ENTRY]);
		RowHash sealed = get_hash(s, SEAL_HASH), before = get_hash(s, SEAL_BEFORE);

		CHECK_FOR_INTERRUPTS();
		if (state && DatumGetInt32(s->values[SEAL_HAS_BEFORE]) != 0 && !same_hash(&before, left))
		{
			d->forced++;
			mg_found(f, entry);
		}
		if (!state && (!sealed.there || !same_hash(&sealed, row)))
		{
			if (row->there)
				d->altered++;
			else
				d->missing++;
			mg_found(f, entry);
		}
		*left = sealed;
		(void) mg_sorter_next(seals);
	}
	return n;
}

/* One key, of a seal, of a row or of both. */
static void
compare_key(MgSorter *seals, MgSorter *rows, int table, bool state, const Key *key, MgFindings *f, Differences *d)
{
	RowHash row = {0}, left;
	int64 nrows = 0;
	int nseals;

	for (const MgSorted *r; is_key(r = mg_sorter_row(rows), ROW_NUMBER, key); nrows++)
	{
		if (nrows == 0)
			row = get_hash(r, ROW_HASH);
		(void) mg_sorter_next(rows);
	}
	nseals = compare_seals(seals, table, state, key, &row, f, d, &left);
	/* two rows of a key: its constraint is gone, too */
	if (nrows > 1 || (nrows == 1 && (nseals == 0 || (state && !left.there))))
	{
		d->added += nseals == 0 || (state && !left.there) ? nrows : nrows - 1;
		mg_found(f, 0);
	}
	/* the entry may be of a change before the one that was forced */
	else if (state && !same_hash(&row, &left))
	{
		if (row.there)
			d->altered++;
		else
			d->missing++;
		mg_found(f, 0);
	}
}

static void
tell(const MgSealedTable *t, const Differences *d)
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
	if (d->forced > 0)
		ereport(NOTICE,
				(errmsg("ordinary changes of \"mirage.%s\" did not find what the log says of the rows before", t->name),
				 errdetail("The rows had been altered, removed or added by force. Number of changes: " INT64_FORMAT ".",
						   d->forced)));
}

static void
verify_table(const MgSealedTable *t, int table, MgFindings *f, Snapshot snapshot, MgSorter *seals)
{
	MgSorter *rows = read_rows(t, snapshot);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_mirage key", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	const MgSorted *row = mg_sorter_next(rows), *seal;
	Differences d = {0};

	while ((seal = seal_of(seals, table)) != NULL || row != NULL)
	{
		bool by_seal =
			row == NULL || (seal != NULL && compare_keys(seal->values[SEAL_NUMBER], seal->values[SEAL_TEXT],
														 row->values[ROW_NUMBER], row->values[ROW_TEXT]) < 0);
		const Datum *at = by_seal ? seal->values + SEAL_NUMBER : row->values + ROW_NUMBER;
		Key key = {at[0], PointerGetDatum(DatumGetTextPCopy(at[1]))};

		compare_key(seals, rows, table, t->text != NULL, &key, f, &d);
		row = mg_sorter_row(rows);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	mg_sorter_end(rows);
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
	mg_query_by_heap(&q);
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

void
mg_verify_rows(MgFindings *f, Snapshot snapshot, MgSorter *seals)
{
	int n;
	const MgSealedTable *table = mg_sealed_tables(&n);

	mg_sorter_sort(seals);
	(void) mg_sorter_next(seals);
	for (int i = 0; i < n; i++)
		verify_table(&table[i], i, f, snapshot, seals);
	mg_sorter_end(seals);
	verify_derived(f);
	verify_receipt_key(f);
}
