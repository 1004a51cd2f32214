/*
 * pg/rowhash.c: the hash of rows.
 *
 * SHA-256 over these bytes, version 1; a string is its length (64 bits, big-endian) and its bytes in UTF-8:
 *
 *   "pg_mirage rows 1", the number of columns (64 bits, big-endian);
 *   of each column its name and the name of its type (of a domain: of the type under it), both as strings;
 *   of each row: byte 'R', then of each value byte 0 for NULL, or byte 1 and the value's text as a string;
 *   byte 'E'.
 *
 * The text is what the type's output function gives under fixed settings (ISO dates, UTC, the shortest digits of a
 * floating-point number, intervals in PostgreSQL's style, bytea in hex), whatever the session's own are. The order of
 * rows and of columns counts. A type's modifier does not, nor the schema that the type lies in: a copy is a copy.
 */
#include "pg/rowhash.h"

#include "access/htup_details.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "pg/canonical.h"
#include "pg/server.h"
#include "pgtime.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#define LABEL "pg_mirage rows 1"

struct MgRowHash
{
	mg_ctx ctx;
	mg_hasher *hasher;
	int n;         /* attributes that count */
	int *from;     /* [n] place in the arrays of a row */
	FmgrInfo *out; /* [n] */
	MemoryContext row_context;
	int64 rows;
};

/* ---------------------------------------------------------------- settings */

typedef struct Settings
{
	int date_style, date_order, interval_style, digits, bytea;
	pg_tz *timezone;
} Settings;

/*
 * The variables themselves: a setting's machinery would take longer than the row. What they were is put back before
 * anything else can run.
 */
static Settings
fix_settings(void)
{
	static pg_tz *utc;
	Settings was = {DateStyle, DateOrder, IntervalStyle, extra_float_digits, bytea_output, session_timezone};

	if (utc == NULL)
		utc = pg_tzset("UTC");
	DateStyle = USE_ISO_DATES;
	DateOrder = DATEORDER_YMD;
	IntervalStyle = INTSTYLE_POSTGRES;
	extra_float_digits = 1;
	bytea_output = BYTEA_OUTPUT_HEX;
	session_timezone = utc;
	return was;
}

static void
restore_settings(const Settings *was)
{
	DateStyle = was->date_style;
	DateOrder = was->date_order;
	IntervalStyle = was->interval_style;
	extra_float_digits = was->digits;
	bytea_output = was->bytea;
	session_timezone = was->timezone;
}

/* ---------------------------------------------------------------- hashing */

static void
put(MgRowHash *h, const void *p, size_t n)
{
	MG_CHECK(&h->ctx, mg_hasher_update(&h->ctx, h->hasher, p, n));
}

static void
put_int64(MgRowHash *h, int64 v)
{
	uint64 wire = pg_hton64((uint64) v);

	put(h, &wire, sizeof(wire));
}

static void
put_text(MgRowHash *h, const char *s)
{
	int n;
	const char *utf8 = mg_to_utf8(s, (int) strlen(s), &n);

	put_int64(h, n);
	put(h, utf8, (size_t) n);
}

static char *
type_name(Oid type)
{
	HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	char *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	name = pstrdup(NameStr(((Form_pg_type) GETSTRUCT(tuple))->typname));
	ReleaseSysCache(tuple);
	return name;
}

static void
free_hasher(void *arg)
{
	MgRowHash *h = arg;

	mg_hasher_destroy(h->hasher);
	h->hasher = NULL;
}

MgRowHash *
mg_row_hash_create(TupleDesc desc, const int *attrs, int nattrs)
{
	int n = attrs == NULL ? desc->natts : nattrs;
	MgRowHash *h = palloc0(sizeof(MgRowHash));
	Oid *types = palloc(sizeof(Oid) * Max(n, 1));
	int *attnums = palloc(sizeof(int) * Max(n, 1));

	mg_server_ctx(&h->ctx);
	MG_CHECK(&h->ctx, mg_hasher_create(&h->ctx, &h->hasher));
	mg_release_with(CurrentMemoryContext, free_hasher, h);
	h->from = palloc(sizeof(int) * Max(n, 1));
	h->out = palloc(sizeof(FmgrInfo) * Max(n, 1));
	h->row_context = AllocSetContextCreate(CurrentMemoryContext, "pg_mirage row hash", ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < n; i++)
	{
		int attnum = attrs == NULL ? i + 1 : attrs[i];
		Form_pg_attribute att = TupleDescAttr(desc, attnum - 1);
		Oid output;
		bool varlena;

		if (att->attisdropped)
			continue;
		types[h->n] = getBaseType(att->atttypid);
		attnums[h->n] = attnum;
		h->from[h->n] = i;
		getTypeOutputInfo(att->atttypid, &output, &varlena);
		fmgr_info(output, &h->out[h->n++]);
	}
	put(h, LABEL, strlen(LABEL));
	put_int64(h, h->n);
	for (int i = 0; i < h->n; i++)
	{
		put_text(h, NameStr(TupleDescAttr(desc, attnums[i] - 1)->attname));
		put_text(h, type_name(types[i]));
	}
	pfree(types);
	pfree(attnums);
	return h;
}

static void
put_values(MgRowHash *h, const Datum *values, const bool *nulls)
{
	put(h, "R", 1);
	for (int i = 0; i < h->n; i++)
	{
		bool null = nulls[h->from[i]];

		put(h, null ? "\0" : "\1", 1);
		if (!null)
			put_text(h, OutputFunctionCall(&h->out[i], values[h->from[i]]));
	}
}

void
mg_row_hash_add(MgRowHash *h, const Datum *values, const bool *nulls)
{
	MemoryContext old;
	Settings was;

	MemoryContextReset(h->row_context);
	old = MemoryContextSwitchTo(h->row_context);
	was = fix_settings();
	PG_TRY();
	{
		put_values(h, values, nulls);
	}
	PG_FINALLY();
	{
		restore_settings(&was);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	h->rows++;
}

int64
mg_row_hash_rows(const MgRowHash *h)
{
	return h->rows;
}

void
mg_row_hash_finish(MgRowHash *h, char out[MG_ROWS_HASH_SIZE])
{
	uint8 hash[MG_HASH_BYTES];
	int n = snprintf(out, MG_ROWS_HASH_SIZE, "sha256:");

	put(h, "E", 1);
	MG_CHECK(&h->ctx, mg_hasher_final(&h->ctx, h->hasher, hash));
	mg_hex(hash, MG_HASH_BYTES, out + n);
}
