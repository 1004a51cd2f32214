/*
 * pg/encode.c: tuples straight into a curator. Hot: one switch a value on an operation that was chosen once a column,
 * no function-manager call for the common types, and no copy of a text that is stored inline.
 *
 * No value raises an error: NaN and infinities are NULL, a text longer than MG_MAX_LABEL_BYTES is handed over as "too
 * long" without being fetched from its TOAST table, a value without a code is `other`. Memory: the encoder's, in the
 * context of its creation; what single values need is in a context that is reset as it fills.
 */
#include "postgres.h"

#include <math.h>

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "pg/types.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

typedef enum EncodeOp
{
	ENCODE_INT2,
	ENCODE_INT4,
	ENCODE_INT8,
	ENCODE_FLOAT4,
	ENCODE_FLOAT8,
	ENCODE_NUMERIC,
	ENCODE_DATE,
	ENCODE_TIMESTAMP,
	ENCODE_AXIS, /* any other with an axis */
	ENCODE_CODE, /* a 64-bit key looked up among the labels: bool, enum, integers */
	ENCODE_TEXT,
	ENCODE_BPCHAR,
	ENCODE_CANONICAL /* by the canonical text, made for each value */
} EncodeOp;

/* Label codes by key, sorted; where the keys are close together also as an array. */
typedef struct KeyTable
{
	uint32 n;
	int64 *key;
	uint32 *code;
	int64 low;      /* of the array */
	uint32 span;    /* 0: no array */
	uint32 *direct; /* [span], UINT32_MAX: no label */
} KeyTable;

#define MOST_DIRECT 65536

typedef struct EncodeColumn
{
	EncodeOp op;
	MgTypeClass cls;
	int at;      /* in the slot */
	uint32 core; /* in the curator */
	KeyTable keys;
} EncodeColumn;

struct MgEncoder
{
	mg_curator *curator;
	int n;
	EncodeColumn *column;
	MemoryContext scratch;
	uint32 scratch_rows; /* rows since the last reset */
};

#define SCRATCH_ROWS 64

/* What stands for a text that is too long to be a label. */
static const char too_long[MG_MAX_LABEL_BYTES + 1];

/* ---------------------------------------------------------------- key tables */

typedef struct KeyCode
{
	int64 key;
	uint32 code;
} KeyCode;

static int
compare_keys(const void *a, const void *b)
{
	int64 x = ((const KeyCode *) a)->key, y = ((const KeyCode *) b)->key;

	return (x > y) - (x < y);
}

/* The key of a label: what the value looks like in a Datum. False where the type does not know the label. */
static bool
label_key(const MgColumn *col, MgTypeClass cls, const char *text, int64 *key)
{
	switch (cls)
	{
		case MG_TYPE_BOOL:
			*key = strcmp(text, "true") == 0;
			return true;
		case MG_TYPE_ENUM:
		{
			HeapTuple tuple;

			if (strlen(text) >= NAMEDATALEN)
				return false;
			tuple = SearchSysCache2(ENUMTYPOIDNAME, ObjectIdGetDatum(col->base), CStringGetDatum(text));
			if (!HeapTupleIsValid(tuple))
				return false;
			*key = (int64) ((Form_pg_enum) GETSTRUCT(tuple))->oid;
			ReleaseSysCache(tuple);
			return true;
		}
		default:
			*key = strtoll(text, NULL, 10);
			return true;
	}
}

static void
build_keys(KeyTable *t, const MgColumn *col, MgTypeClass cls)
{
	const mg_domain *d = &col->domain;
	KeyCode *pairs = palloc(sizeof(KeyCode) * Max(d->nlabels, 1));
	uint32 n = 0;

	for (uint32 i = 0; i < d->nlabels; i++)
	{
		pairs[n].code = i;
		if (label_key(col, cls, d->labels[i].text, &pairs[n].key))
			n++;
	}
	qsort(pairs, n, sizeof(KeyCode), compare_keys);
	t->n = n;
	t->key = palloc(sizeof(int64) * Max(n, 1));
	t->code = palloc(sizeof(uint32) * Max(n, 1));
	for (uint32 i = 0; i < n; i++)
	{
		t->key[i] = pairs[i].key;
		t->code[i] = pairs[i].code;
	}
	if (n > 0 && (uint64) t->key[n - 1] - (uint64) t->key[0] < MOST_DIRECT)
	{
		t->low = t->key[0];
		t->span = (uint32) (t->key[n - 1] - t->low) + 1;
		t->direct = palloc(sizeof(uint32) * t->span);
		memset(t->direct, 0xFF, sizeof(uint32) * t->span);
		for (uint32 i = 0; i < n; i++)
			t->direct[t->key[i] - t->low] = t->code[i];
	}
	pfree(pairs);
}

static inline uint32
find_code(const KeyTable *t, int64 key)
{
	uint32 low = 0, high = t->n;

	if (likely(t->span != 0))
	{
		uint64 at = (uint64) key - (uint64) t->low;

		return at < t->span ? t->direct[at] : UINT32_MAX;
	}
	while (low < high)
	{
		uint32 middle = (low + high) / 2;

		if (t->key[middle] < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low < t->n && t->key[low] == key ? t->code[low] : UINT32_MAX;
}

/* ---------------------------------------------------------------- creation */

static EncodeOp
number_op(MgTypeClass cls)
{
	switch (cls)
	{
		case MG_TYPE_INT2:
			return ENCODE_INT2;
		case MG_TYPE_INT4:
			return ENCODE_INT4;
		case MG_TYPE_INT8:
			return ENCODE_INT8;
		case MG_TYPE_FLOAT4:
			return ENCODE_FLOAT4;
		case MG_TYPE_FLOAT8:
			return ENCODE_FLOAT8;
		case MG_TYPE_NUMERIC:
			return ENCODE_NUMERIC;
		case MG_TYPE_DATE:
			return ENCODE_DATE;
		case MG_TYPE_TIMESTAMP:
		case MG_TYPE_TIMESTAMPTZ:
			return ENCODE_TIMESTAMP;
		default:
			return ENCODE_AXIS;
	}
}

static EncodeOp
category_op(MgTypeClass cls, bool open)
{
	if (cls == MG_TYPE_TEXT)
		return ENCODE_TEXT;
	if (cls == MG_TYPE_BPCHAR)
		return ENCODE_BPCHAR;
	if (!open && (cls == MG_TYPE_BOOL || cls == MG_TYPE_ENUM || MG_TYPE_IS_INT(cls)))
		return ENCODE_CODE;
	return ENCODE_CANONICAL;
}

MgEncoder *
mg_encoder_create(const MgColumns *columns, mg_curator *curator)
{
	MgEncoder *enc = palloc0(sizeof(MgEncoder));

	mg_require_trainable(columns);
	enc->curator = curator;
	enc->column = palloc0(sizeof(EncodeColumn) * Max(columns->n, 1));
	enc->scratch = AllocSetContextCreate(CurrentMemoryContext, "pg_mirage values", ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < columns->n; i++)
	{
		const MgColumn *col = &columns->col[i];
		EncodeColumn *e = &enc->column[enc->n];

		if (col->core < 0)
			continue;
		e->cls = mg_type_class(col->base);
		e->at = i;
		e->core = (uint32) col->core;
		e->op = col->kind == MG_COLUMN_CATEGORY ? category_op(e->cls, col->domain.open) : number_op(e->cls);
		if (e->op == ENCODE_CODE)
			build_keys(&e->keys, col, e->cls);
		enc->n++;
	}
	return enc;
}

/* ---------------------------------------------------------------- rows */

static void
load_text(MgEncoder *enc, const EncodeColumn *e, Datum value)
{
	struct varlena *raw = (struct varlena *) DatumGetPointer(value);

	if (unlikely(VARATT_IS_EXTERNAL(raw) || VARATT_IS_COMPRESSED(raw)))
	{
		MemoryContext old;

		/* char(n) may be blanks for the most part; its length is public */
		if (e->op == ENCODE_TEXT && toast_raw_datum_size(value) - VARHDRSZ > MG_MAX_LABEL_BYTES)
		{
			mg_load_text(enc->curator, e->core, too_long, sizeof(too_long));
			return;
		}
		old = MemoryContextSwitchTo(enc->scratch);
		raw = pg_detoast_datum_packed(raw);
		MemoryContextSwitchTo(old);
		if (e->op == ENCODE_BPCHAR)
			mg_load_text(enc->curator, e->core, VARDATA_ANY(raw),
						 (size_t) bpchartruelen(VARDATA_ANY(raw), (int) VARSIZE_ANY_EXHDR(raw)));
		else
			mg_load_text(enc->curator, e->core, VARDATA_ANY(raw), VARSIZE_ANY_EXHDR(raw));
		pfree(raw);
		return;
	}
	if (e->op == ENCODE_BPCHAR)
		mg_load_text(enc->curator, e->core, VARDATA_ANY(raw),
					 (size_t) bpchartruelen(VARDATA_ANY(raw), (int) VARSIZE_ANY_EXHDR(raw)));
	else
		mg_load_text(enc->curator, e->core, VARDATA_ANY(raw), VARSIZE_ANY_EXHDR(raw));
}

/* A category of a type that has no text of its own, by its canonical text. */
static void
load_canonical(MgEncoder *enc, const EncodeColumn *e, Datum value)
{
	MemoryContext old = MemoryContextSwitchTo(enc->scratch);
	double v;

	if (MG_TYPE_HAS_AXIS(e->cls) && !mg_axis_value(e->cls, value, &v))
		mg_load_null(enc->curator, e->core); /* NaN and infinities */
	else if (e->cls == MG_TYPE_NUMERIC && toast_raw_datum_size(value) > MG_MAX_LABEL_BYTES)
		mg_load_text(enc->curator, e->core, too_long, sizeof(too_long));
	else
	{
		char *text = mg_value_text(e->cls, value);

		mg_load_text(enc->curator, e->core, text, strlen(text));
	}
	MemoryContextSwitchTo(old);
	enc->scratch_rows++;
}

static inline int64
key_of(MgTypeClass cls, Datum value)
{
	switch (cls)
	{
		case MG_TYPE_BOOL:
			return DatumGetBool(value);
		case MG_TYPE_INT2:
			return DatumGetInt16(value);
		case MG_TYPE_INT4:
			return DatumGetInt32(value);
		case MG_TYPE_INT8:
			return DatumGetInt64(value);
		default:
			return DatumGetObjectId(value);
	}
}

void
mg_encoder_row(MgEncoder *enc, TupleTableSlot *slot)
{
	mg_curator *curator = enc->curator;
	const Datum *values;
	const bool *nulls;

	slot_getallattrs(slot);
	values = slot->tts_values;
	nulls = slot->tts_isnull;
	for (const EncodeColumn *e = enc->column, *end = e + enc->n; e < end; e++)
	{
		Datum value = values[e->at];
		double v;

		if (nulls[e->at])
		{
			mg_load_null(curator, e->core);
			continue;
		}
		switch (e->op)
		{
			case ENCODE_INT2:
				mg_load_number(curator, e->core, DatumGetInt16(value));
				break;
			case ENCODE_INT4:
				mg_load_number(curator, e->core, DatumGetInt32(value));
				break;
			case ENCODE_INT8:
				mg_load_number(curator, e->core, (double) DatumGetInt64(value));
				break;
			case ENCODE_FLOAT4:
				mg_load_number(curator, e->core,
							   DatumGetFloat4(value)); /* the curator takes NaN and infinities for NULL */
				break;
			case ENCODE_FLOAT8:
				mg_load_number(curator, e->core, DatumGetFloat8(value));
				break;
			case ENCODE_NUMERIC:
				mg_load_number(curator, e->core, mg_numeric_double(value));
				break;
			case ENCODE_DATE:
				if (DATE_NOT_FINITE(DatumGetDateADT(value)))
					mg_load_null(curator, e->core);
				else
					mg_load_number(curator, e->core, DatumGetDateADT(value));
				break;
			case ENCODE_TIMESTAMP:
				if (TIMESTAMP_NOT_FINITE(DatumGetTimestamp(value)))
					mg_load_null(curator, e->core);
				else
					mg_load_number(curator, e->core, (double) DatumGetTimestamp(value));
				break;
			case ENCODE_AXIS:
				if (mg_axis_value(e->cls, value, &v))
					mg_load_number(curator, e->core, v);
				else
					mg_load_null(curator, e->core);
				break;
			case ENCODE_CODE:
				mg_load_code(curator, e->core, find_code(&e->keys, key_of(e->cls, value)));
				break;
			case ENCODE_TEXT:
			case ENCODE_BPCHAR:
				load_text(enc, e, value);
				break;
			case ENCODE_CANONICAL:
				load_canonical(enc, e, value);
				break;
		}
	}
	if (unlikely(enc->scratch_rows >= SCRATCH_ROWS))
	{
		MemoryContextReset(enc->scratch);
		enc->scratch_rows = 0;
	}
}
