/*
 * pg/unit.c: see unit.h. Hot part: mg_unit_encoder_row, a switch a row.
 */
#include "postgres.h"

#include <math.h>

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "miscadmin.h"
#include "pg/server.h"
#include "pg/types.h"
#include "pg/unit.h"
#include "seal/seal.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "utils/uuid.h"

/* ---------------------------------------------------------------- what may be a unit */

/* Integers of all widths, and texts of all kinds, are one kind each: their values can be equal. */
static char *
unit_kind(Oid type)
{
	MgTypeClass cls = mg_type_class(type);

	if (MG_TYPE_IS_INT(cls))
		return pstrdup("column of type integer");
	if (cls == MG_TYPE_TEXT)
		return pstrdup("column of type text");
	return psprintf("column of type %s", format_type_extended(type, -1, FORMAT_TYPE_FORCE_QUALIFY));
}

static bool
deterministic(Oid collation)
{
	return !OidIsValid(collation) || get_collation_isdeterministic(collation);
}

/* Has the type bytes of its own that equality goes by? */
static bool
canonical(MgTypeClass cls, Oid collation)
{
	return cls != MG_TYPE_NONE && (!MG_TYPE_IS_TEXT(cls) || deterministic(collation));
}

static bool
hashable(Oid type)
{
	return OidIsValid(lookup_type_cache(type, TYPECACHE_HASH_EXTENDED_PROC)->hash_extended_proc);
}

/* The attribute, its name allocated; error when it is not there. */
static AttrNumber
find_unit(Oid base, const char *column, Form_pg_attribute form)
{
	HeapTuple tuple = SearchSysCacheAttName(base, column);

	if (!HeapTupleIsValid(tuple) || ((Form_pg_attribute) GETSTRUCT(tuple))->attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("relation \"%s\" has no column \"%s\" to be its unit", mg_relation_name(base), column),
				 errhint("The unit of a table is a column of it, and of its partitions, children and parents.")));
	*form = *(Form_pg_attribute) GETSTRUCT(tuple);
	ReleaseSysCache(tuple);
	return form->attnum;
}

MgUnit *
mg_unit_of_source(Oid source, Oid base, const char *column, int max_rows)
{
	MgUnit *unit = palloc0(sizeof(MgUnit));
	FormData_pg_attribute att;
	AttrNumber attnum = find_unit(base, column, &att);

	unit->base_column = pstrdup(column);
	unit->type = getBaseType(att.atttypid);
	unit->collation = att.attcollation;
	unit->max_rows = max_rows;
	if (!att.attnotnull)
		ereport(ERROR, (errcode(ERRCODE_NOT_NULL_VIOLATION),
						errmsg("unit column \"%s\" of \"%s\" may be NULL", column, mg_relation_name(base)),
						errhint("Every row must belong to a unit: make the column NOT NULL.")));
	if (!canonical(mg_type_class(unit->type), unit->collation) && !hashable(unit->type))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("unit column \"%s\" has type %s, whose values cannot be hashed", column,
							   format_type_be(att.atttypid)),
						errhint("Name a column of another type.")));
	unit->kind = unit_kind(unit->type);
	unit->column = mg_source_column(source, base, attnum);
	if (unit->column == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("view \"%s\" does not show \"%s\", the unit of \"%s\"", mg_relation_name(source), column,
						mg_relation_name(base)),
				 errhint("Add the column to the view as it is; it is not learnt, and tells whose each row is.")));
	return unit;
}

MgDeclaration *
mg_unit_declaration(Oid source, const char *column)
{
	MgDeclaration *decl = palloc0(sizeof(MgDeclaration));
	FormData_pg_attribute att;
	MgTypeClass cls;

	(void) find_unit(source, column, &att);
	cls = mg_type_class(getBaseType(att.atttypid));
	decl->kind =
		pstrdup(MG_TYPE_IS_INT(cls) || MG_TYPE_IS_TEXT(cls) || cls == MG_TYPE_UUID ? "identifier" : "excluded");
	return decl;
}

/* ---------------------------------------------------------------- values */

struct MgUnitEncoder
{
	mg_curator *curator;
	MgTypeClass cls; /* MG_TYPE_NONE: by the type's hash function */
	Oid collation;
	FmgrInfo hash;
	int64 seed[2];
	MemoryContext scratch;
};

MgUnitEncoder *
mg_unit_encoder_create(const MgUnit *unit, const uint8 key[32], mg_curator *curator)
{
	MgUnitEncoder *enc = palloc0(sizeof(MgUnitEncoder));

	enc->curator = curator;
	enc->collation = unit->collation;
	enc->scratch = AllocSetContextCreate(CurrentMemoryContext, "pg_mirage unit", ALLOCSET_SMALL_SIZES);
	enc->cls = mg_type_class(unit->type);
	if (!canonical(enc->cls, unit->collation))
	{
		static const char info[] = "pg_mirage unit seeds";
		uint8 seeds[32];
		mg_ctx ctx;

		enc->cls = MG_TYPE_NONE;
		fmgr_info_copy(&enc->hash,
					   &lookup_type_cache(unit->type, TYPECACHE_HASH_EXTENDED_PROC_FINFO)->hash_extended_proc_finfo,
					   CurrentMemoryContext);
		mg_ctx_init(&ctx);
		MG_CHECK(&ctx, mg_hkdf(&ctx, key, info, sizeof(info) - 1, seeds, sizeof(seeds)));
		memcpy(enc->seed, seeds, sizeof(enc->seed));
		mg_wipe(seeds, sizeof(seeds));
	}
	return enc;
}

static inline void
load_int(MgUnitEncoder *enc, int64 v)
{
	mg_load_unit(enc->curator, &v, sizeof(v));
}

/* -0 equals 0, and a NaN any other. */
static inline void
load_double(MgUnitEncoder *enc, double v)
{
	v = isnan(v) ? get_float8_nan() : v + 0.0;
	mg_load_unit(enc->curator, &v, sizeof(v));
}

static inline void
load_bytes(MgUnitEncoder *enc, Datum value)
{
	struct varlena *raw = (struct varlena *) DatumGetPointer(value);
	size_t len;

	if (unlikely(VARATT_IS_EXTERNAL(raw) || VARATT_IS_COMPRESSED(raw)))
		raw = pg_detoast_datum_packed(raw);
	len = VARSIZE_ANY_EXHDR(raw);
	if (enc->cls == MG_TYPE_BPCHAR)
		len = (size_t) bpchartruelen(VARDATA_ANY(raw), (int) len);
	mg_load_unit(enc->curator, VARDATA_ANY(raw), len);
}

/* Two intervals are equal when they span as many microseconds, a day having 24 hours and a month 30 days. */
static void
load_interval(MgUnitEncoder *enc, const Interval *i)
{
	int64 days = i->month * INT64CONST(30) + i->day;
	int64 split[2] = {days + i->time / USECS_PER_DAY, i->time % USECS_PER_DAY};

	if (split[1] < 0)
	{
		split[0]--;
		split[1] += USECS_PER_DAY;
	}
	mg_load_unit(enc->curator, split, sizeof(split));
}

static void
load_hash(MgUnitEncoder *enc, Datum value)
{
	uint64 h[2];

	for (int i = 0; i < 2; i++)
		h[i] = DatumGetUInt64(FunctionCall2Coll(&enc->hash, enc->collation, value, Int64GetDatum(enc->seed[i])));
	mg_load_unit(enc->curator, h, sizeof(h));
}

/* Those that may need memory. */
static void
load_large(MgUnitEncoder *enc, Datum value)
{
	MemoryContext old = MemoryContextSwitchTo(enc->scratch);

	if (MG_TYPE_IS_TEXT(enc->cls))
		load_bytes(enc, value);
	else if (enc->cls == MG_TYPE_NUMERIC)
	{
		char *text = mg_value_text(enc->cls, value); /* without trailing zeros */

		mg_load_unit(enc->curator, text, strlen(text));
	}
	else
		load_hash(enc, value);
	MemoryContextSwitchTo(old);
	MemoryContextReset(enc->scratch);
}

void
mg_unit_encoder_row(MgUnitEncoder *enc, Datum value, bool null)
{
	if (null)
		return; /* rows of no unit are one */
	switch (enc->cls)
	{
		case MG_TYPE_BOOL:
			load_int(enc, DatumGetBool(value));
			break;
		case MG_TYPE_INT2:
			load_int(enc, DatumGetInt16(value));
			break;
		case MG_TYPE_INT4:
			load_int(enc, DatumGetInt32(value));
			break;
		case MG_TYPE_INT8:
			load_int(enc, DatumGetInt64(value));
			break;
		case MG_TYPE_FLOAT4:
			load_double(enc, DatumGetFloat4(value));
			break;
		case MG_TYPE_FLOAT8:
			load_double(enc, DatumGetFloat8(value));
			break;
		case MG_TYPE_ENUM:
			load_int(enc, DatumGetObjectId(value));
			break;
		case MG_TYPE_DATE:
			load_int(enc, DatumGetDateADT(value));
			break;
		case MG_TYPE_TIME:
			load_int(enc, DatumGetTimeADT(value));
			break;
		case MG_TYPE_TIMESTAMP:
		case MG_TYPE_TIMESTAMPTZ:
			load_int(enc, DatumGetTimestamp(value));
			break;
		case MG_TYPE_INTERVAL:
			load_interval(enc, DatumGetIntervalP(value));
			break;
		case MG_TYPE_UUID:
			mg_load_unit(enc->curator, DatumGetUUIDP(value)->data, UUID_LEN);
			break;
		case MG_TYPE_TEXT:
		case MG_TYPE_BPCHAR:
			if (likely(!VARATT_IS_EXTENDED(DatumGetPointer(value)) || VARATT_IS_SHORT(DatumGetPointer(value))))
				load_bytes(enc, value);
			else
				load_large(enc, value);
			break;
		case MG_TYPE_NUMERIC:
		case MG_TYPE_NONE:
			load_large(enc, value);
			break;
	}
}
