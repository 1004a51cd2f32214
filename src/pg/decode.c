/*
 * pg/decode.c: values of a model into Datums of the columns' own types. Hot: labels are Datums that were made once,
 * points become values by rounding and clamping in integers.
 *
 * A decoded value is one that the column could hold: within the type's range, within the domain's bounds, on the
 * typmod's scale, not NULL where the column is not. No value of a valid model raises an error. Memory: the decoder's
 * in the context of its creation; single values (numeric, interval, uuid, fresh texts) in the context that is current
 * when a row is decoded.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "pg/column_condition.h"
#include "pg/constraints.h"
#include "pg/identifier.h"
#include "pg/pattern.h"
#include "pg/types.h"
#include "seal/seal.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

typedef enum DecodeOp
{
	DECODE_NULL,
	DECODE_CONSTANT, /* the fallback */
	DECODE_LABEL,
	DECODE_INT2,
	DECODE_INT4,
	DECODE_INT8,
	DECODE_FLOAT4,
	DECODE_FLOAT8,
	DECODE_NUMERIC,      /* 10^-scale times an integer */
	DECODE_NUMERIC_WIDE, /* beyond that */
	DECODE_INTERVAL,
	DECODE_ID_INT,
	DECODE_ID_UUID,
	DECODE_ID_PATTERN,
	DECODE_ID_TEXT
} DecodeOp;

/* A column's way from a point of its axis to a value. */
typedef struct Point
{
	DecodeOp op;
	double lower, upper; /* of the axis */
	double unit;         /* integers: the axis value of 1 in `low..high`; numeric: 10^scale */
	int64 low, high;     /* integers: in multiples of unit (numeric: of 1/unit) */
	int scale;
	int32 typmod;
	const MgColumnCondition *condition; /* numeric: its decimals must satisfy it; NULL: nothing to see to */
} Point;

typedef struct DecodeColumn
{
	DecodeOp op;
	bool nullable, has_fallback;
	Datum fallback; /* in a NOT NULL column for which the model has nothing */
	int core;
	Point point;
	uint32 nlabels;
	Datum *label;    /* [nlabels + 1]; the last: other */
	bool has_other;  /* label[nlabels] is there */
	MgTypeClass cls; /* identifiers */
	int32 typmod;    /* identifiers */
	uint64 modulus;  /* identifiers: row numbers start anew there */
	uint64 first;    /* identifiers: rows that came before */
	const char *pattern;
	uint64 seed;
} DecodeColumn;

struct MgDecoder
{
	int n;
	DecodeColumn *column;
};

/* ---------------------------------------------------------------- points */

/* Nearest int64 to v; v need not be in its range. */
static inline int64
nearest(double v)
{
	if (v >= 9.2233720368547748e18)
		return PG_INT64_MAX;
	if (v <= -9.2233720368547748e18)
		return PG_INT64_MIN;
	return (int64) rint(v);
}

static inline int64
clamp_int(int64 k, int64 low, int64 high)
{
	return k < low ? low : (k > high ? high : k);
}

/*
 * The least integer at or above v, where v * unit is what was meant (0.29 * 100 is 29 though its double product is
 * less).
 */
static int64
index_up(double v, double unit)
{
	double k = rint(v * unit);

	if (fabs(k) < 9e15 && k / unit == v)
		return (int64) k;
	return nearest(ceil(v * unit));
}

static int64
index_down(double v, double unit)
{
	double k = rint(v * unit);

	if (fabs(k) < 9e15 && k / unit == v)
		return (int64) k;
	return nearest(floor(v * unit));
}

/* Decimals that v needs, as far as nine say. */
static int
decimals(double v)
{
	for (int s = 0; s < 9; s++)
	{
		double k = rint(v * mg_power10(s));

		if (k / mg_power10(s) == v)
			return s;
	}
	return 9;
}

/*
 * numeric without a scale: as many decimals as its frequent single values need, and enough for four digits of its
 * range. (Post-processing of what was released; a column of prices comes out as prices.)
 */
static int
natural_scale(const mg_domain *d, const mg_column *learnt)
{
	double width = d->upper - d->lower;
	int scale = 0;

	if (width > 0 && width < 1e4)
		scale = Min((int) ceil(log10(1e4 / width)), 15);
	if (width <= 0)
		scale = decimals(d->lower);
	if (learnt != NULL && learnt->cells != NULL)
	{
		for (uint32 i = 0; i + 1 < learnt->nfine; i++)
		{
			if (learnt->cells[i].lower == learnt->cells[i].upper)
				scale = Max(scale, decimals(learnt->cells[i].lower));
		}
	}
	return scale;
}

static void
prepare_integer(Point *p, DecodeOp op, double unit, int64 low, int64 high)
{
	p->op = op;
	p->unit = unit;
	p->low = Max(low, index_up(p->lower / unit, 1));
	p->high = Min(high, index_down(p->upper / unit, 1));
	if (p->low > p->high) /* no such value in the domain: the nearest of the type's */
		p->low = p->high = clamp_int(nearest(p->lower / unit), low, high);
}

static void
prepare_numeric(Point *p, int32 typmod, const mg_domain *d, const mg_column *learnt)
{
	double most;

	p->scale = typmod >= (int32) VARHDRSZ ? mg_numeric_scale(typmod) : natural_scale(d, learnt);
	p->op = DECODE_NUMERIC_WIDE;
	if (p->scale < 0 || p->scale > 22)
		return;
	p->unit = mg_power10(p->scale);
	most = Max(fabs(p->lower), fabs(p->upper)) * p->unit;
	if (most >= 9e18)
		return;
	p->low = index_up(p->lower, p->unit);
	p->high = index_down(p->upper, p->unit);
	if (p->low <= p->high)
		p->op = DECODE_NUMERIC;
}

/* learnt: the model's column, or NULL. */
static void
prepare_point(Point *p, MgTypeClass cls, int32 typmod, const mg_domain *d, const mg_column *learnt)
{
	MgAxis axis;

	mg_type_axis(cls, typmod, &axis);
	memset(p, 0, sizeof(*p));
	p->typmod = typmod;
	p->lower = Max(d->lower, axis.lower);
	p->upper = Min(d->upper, axis.upper);
	if (!(p->lower <= p->upper))
	{
		p->lower = axis.lower;
		p->upper = axis.upper;
	}
	switch (cls)
	{
		case MG_TYPE_INT2:
			prepare_integer(p, DECODE_INT2, 1, PG_INT16_MIN, PG_INT16_MAX);
			break;
		case MG_TYPE_INT4:
			prepare_integer(p, DECODE_INT4, 1, PG_INT32_MIN, PG_INT32_MAX);
			break;
		case MG_TYPE_INT8:
			prepare_integer(p, DECODE_INT8, 1, PG_INT64_MIN, PG_INT64_MAX);
			break;
		case MG_TYPE_FLOAT4:
			p->op = DECODE_FLOAT4;
			break;
		case MG_TYPE_NUMERIC:
			prepare_numeric(p, typmod, d, learnt);
			break;
		case MG_TYPE_DATE:
			prepare_integer(p, DECODE_INT4, 1, (int64) axis.lower, (int64) axis.upper);
			break;
		case MG_TYPE_TIME:
			prepare_integer(p, DECODE_INT8, axis.fine, 0, (int64) (USECS_PER_DAY / axis.fine));
			break;
		case MG_TYPE_TIMESTAMP:
		case MG_TYPE_TIMESTAMPTZ:
			prepare_integer(p, DECODE_INT8, axis.fine, (int64) ceil(MIN_TIMESTAMP / axis.fine),
							(END_TIMESTAMP - 1) / (int64) axis.fine);
			break;
		case MG_TYPE_INTERVAL:
			prepare_integer(p, DECODE_INTERVAL, axis.fine, PG_INT64_MIN, PG_INT64_MAX);
			break;
		default:
			p->op = DECODE_FLOAT8;
			break;
	}
}

static Datum
interval_datum(const Point *p, double v)
{
	Interval *out = palloc0(sizeof(Interval));
	int64 usec;

	if (p->unit >= (double) DAYS_PER_MONTH * USECS_PER_DAY)
	{
		/* fields of months or years only */
		int64 k = clamp_int(nearest(v / p->unit), p->low, p->high);

		out->month = (int32) clamp_int(k * (int64) rint(p->unit / ((double) DAYS_PER_MONTH * USECS_PER_DAY)),
									   -2000000000, 2000000000);
		return IntervalPGetDatum(out);
	}
	usec = clamp_int(nearest(v / p->unit), p->low, p->high) * (int64) p->unit;
	out->day = (int32) (usec / USECS_PER_DAY);
	out->time = usec % USECS_PER_DAY;
	return IntervalPGetDatum(out);
}

static Datum
float4_datum(const Point *p, double v)
{
	float f = (float) v;

	if (f < p->lower)
		f = nextafterf(f, INFINITY);
	else if (f > p->upper)
		f = nextafterf(f, -INFINITY);
	if (isinf(f))
		f = f > 0 ? FLT_MAX : -FLT_MAX;
	return Float4GetDatum(f);
}

/* v with so many significant digits, on the typmod's scale. */
static Datum
digits_datum(const Point *p, double v, int digits)
{
	char buf[64];

	snprintf(buf, sizeof(buf), "%.*e", digits - 1, v);
	return DirectFunctionCall3(numeric_in, CStringGetDatum(buf), ObjectIdGetDatum(InvalidOid),
							   Int32GetDatum(p->typmod));
}

/*
 * Numerics that no int64 carries: 15 digits, as a float8 is shown, or all 17 where the 15 would be outside the
 * bounds; kept away from the precision's end.
 */
static Datum
wide_numeric_datum(const Point *p, double v)
{
	Datum d;
	double shown;

	if (p->typmod >= (int32) VARHDRSZ)
	{
		int whole = mg_numeric_precision(p->typmod) - mg_numeric_scale(p->typmod);
		double most = whole > -300 && whole < 300 ? mg_power10(whole) * (1 - 1e-14) : DBL_MAX;

		v = v > most ? most : (v < -most ? -most : v);
	}
	d = digits_datum(p, v, DBL_DIG);
	shown = mg_numeric_double(d);
	if (shown < p->lower || shown > p->upper)
		d = digits_datum(p, v, DBL_DIG + 2);
	return d;
}

static inline Datum
round_point(const Point *p, double v)
{
	/* !(v >= lower) takes a NaN too */
	if (unlikely(!(v >= p->lower)))
		v = p->lower;
	else if (unlikely(v > p->upper))
		v = p->upper;
	switch (p->op)
	{
		case DECODE_INT2:
			return Int16GetDatum((int16) clamp_int(nearest(v), p->low, p->high));
		case DECODE_INT4:
			return Int32GetDatum((int32) clamp_int(nearest(v), p->low, p->high));
		case DECODE_INT8:
			if (p->unit == 1)
				return Int64GetDatum(clamp_int(nearest(v), p->low, p->high));
			return Int64GetDatum(clamp_int(nearest(v / p->unit), p->low, p->high) * (int64) p->unit);
		case DECODE_FLOAT4:
			return float4_datum(p, v);
		case DECODE_NUMERIC:
			return NumericGetDatum(mg_numeric_make(clamp_int(nearest(v * p->unit), p->low, p->high), p->scale));
		case DECODE_NUMERIC_WIDE:
			return wide_numeric_datum(p, v);
		case DECODE_INTERVAL:
			return interval_datum(p, v);
		default:
			return Float8GetDatum(v);
	}
}

static inline Datum
point_datum(const Point *p, double v)
{
	Datum d = round_point(p, v);

	return likely(p->condition == NULL) ? d : mg_condition_fit(p->condition, d, v);
}

Datum
mg_axis_datum(MgTypeClass cls, int32 typmod, const mg_domain *domain, double v)
{
	Point p;

	prepare_point(&p, cls, typmod, domain, NULL);
	return point_datum(&p, v);
}

/* ---------------------------------------------------------------- snapping */

struct MgSnapper
{
	Point *point;     /* [ncore] */
	MgTypeClass *cls; /* [ncore] */
};

MgSnapper *
mg_snapper_create(const MgColumns *columns, const mg_model *model)
{
	MgSnapper *s = palloc(sizeof(MgSnapper));

	s->point = palloc0(sizeof(Point) * Max(model->ncolumns, 1));
	s->cls = palloc0(sizeof(MgTypeClass) * Max(model->ncolumns, 1));
	for (int i = 0; i < columns->n; i++)
	{
		const MgColumn *col = &columns->col[i];

		if (col->core < 0 || (uint32) col->core >= model->ncolumns ||
			model->columns[col->core].domain.kind != MG_NUMBER)
			continue;
		s->cls[col->core] = mg_type_class(col->base);
		prepare_point(&s->point[col->core], s->cls[col->core], col->base_typmod, &model->columns[col->core].domain,
					  &model->columns[col->core]);
		s->point[col->core].condition = s->cls[col->core] == MG_TYPE_NUMERIC ? col->condition : NULL;
	}
	return s;
}

double
mg_snap_number(void *snapper, uint32_t col, double v)
{
	const MgSnapper *s = snapper;
	const Point *p = &s->point[col];
	double seen;
	Datum d;

	if (s->cls[col] == MG_TYPE_NONE)
		return v;
	d = point_datum(p, v);
	if (!mg_axis_value(s->cls[col], d, &seen))
		seen = v; /* never: a point of the axis has a place on it */
	if (p->op == DECODE_NUMERIC || p->op == DECODE_NUMERIC_WIDE || p->op == DECODE_INTERVAL)
		pfree(DatumGetPointer(d));
	return seen;
}

/* ---------------------------------------------------------------- creation */

static Datum
label_datum(const MgColumn *col, const char *text)
{
	Datum value = (Datum) 0;
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		value = mg_value_parse(col->base, col->base_typmod, text);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION)
			ReThrowError(error); /* a cancel, no memory: not about the label */
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the model's label \"%s\" of column \"%s\" is not valid for type %s any more", text,
							   col->name, format_type_be(col->type)),
						errdetail("%s", error->message)));
	}
	PG_END_TRY();
	return value;
}

/* What the type's name stands for may have changed since the training. */
static void
require_inert(const MgColumn *col)
{
	if (!mg_type_is_inert(col->base))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the default of column \"%s\" cannot be read: input of type %s may run code of others",
							   col->name, format_type_be(col->type)),
						errhint("Ask for the other columns by name.")));
}

/* What a NOT NULL column shows where the model has nothing: the declared other, else zero or nothing of the type. */
static void
set_fallback(DecodeColumn *d, const MgColumn *col, MgTypeClass cls)
{
	static const mg_domain zero = {.lower = 0, .upper = 0};

	d->has_fallback = true;
	if (d->has_other)
		d->fallback = d->label[d->nlabels];
	else if (d->nlabels > 0)
		d->fallback = d->label[0];
	else if (MG_TYPE_IS_TEXT(cls))
		d->fallback = mg_value_parse(col->base, col->base_typmod, "");
	else if (MG_TYPE_HAS_AXIS(cls))
		d->fallback = mg_axis_datum(cls, col->base_typmod, col->domain.kind == MG_NUMBER ? &col->domain : &zero, 0);
	else if (cls == MG_TYPE_UUID)
		d->fallback = mg_value_parse(col->base, -1, "00000000-0000-0000-0000-000000000000");
	else
		d->has_fallback = false; /* an enum without a label: it can hold no value */
}

static void
prepare_labels(DecodeColumn *d, const MgColumn *col)
{
	const mg_domain *domain = &col->domain;

	d->op = DECODE_LABEL;
	d->nlabels = domain->nlabels;
	d->label = palloc0(sizeof(Datum) * ((size_t) domain->nlabels + 1));
	for (uint32 i = 0; i < domain->nlabels; i++)
		d->label[i] = label_datum(col, domain->labels[i].text);
	/* the empty text that training puts where it learnt no label (discretize.c) is a value of texts alone */
	d->has_other = domain->other != NULL && (domain->other[0] != '\0' || MG_TYPE_IS_TEXT(d->cls));
	if (d->has_other)
		d->label[domain->nlabels] = label_datum(col, domain->other);
}

static void
prepare_identifier(DecodeColumn *d, const MgColumn *col, uint64 seed)
{
	d->seed = seed;
	d->typmod = col->base_typmod;
	d->modulus = mg_identifier_room(col, col->base);
	if (MG_TYPE_IS_INT(d->cls))
		d->op = DECODE_ID_INT;
	else if (d->cls == MG_TYPE_UUID)
		d->op = DECODE_ID_UUID;
	else
	{
		d->op = col->pattern != NULL ? DECODE_ID_PATTERN : DECODE_ID_TEXT;
		d->pattern = col->pattern;
		if (col->pattern != NULL)
			mg_pattern_check(col->pattern, col->base_typmod);
	}
}

MgDecoder *
mg_decoder_create(const MgColumns *columns, const mg_model *model, const uint8 key[32])
{
	MgDecoder *dec = palloc0(sizeof(MgDecoder));
	uint64 words[4];

	memcpy(words, key, sizeof(words));
	dec->n = columns->n;
	dec->column = palloc0(sizeof(DecodeColumn) * Max(columns->n, 1));
	for (int i = 0; i < columns->n; i++)
	{
		const MgColumn *col = &columns->col[i];
		DecodeColumn *d = &dec->column[i];

		d->cls = mg_type_class(col->base);
		d->core = col->core;
		d->nullable = !col->notnull;
		if (col->core >= 0 && (uint32) col->core >= model->ncolumns)
			elog(ERROR, "column %d is not of the model", col->core);
		switch (col->kind)
		{
			case MG_COLUMN_EXCLUDED:
				d->op = DECODE_NULL;
				if (!d->nullable && col->pattern != NULL)
				{
					d->op = DECODE_CONSTANT;
					require_inert(col);
					d->fallback = label_datum(col, col->pattern);
				}
				break;
			case MG_COLUMN_IDENTIFIER:
				/* by name, not by place: the same whichever columns a caller asks for */
				prepare_identifier(d, col,
								   words[0] ^ mg_rotl64(words[1], 17) ^ mg_rotl64(words[2], 31) ^
									   mg_rotl64(words[3], 47) ^
									   hash_bytes_extended((const unsigned char *) col->name, (int) strlen(col->name),
														   0));
				break;
			case MG_COLUMN_CATEGORY:
				prepare_labels(d, col);
				break;
			case MG_COLUMN_NUMBER:
			case MG_COLUMN_TIME:
				prepare_point(&d->point, d->cls, col->base_typmod, &col->domain, &model->columns[col->core]);
				d->op = d->point.op;
				d->point.condition = d->cls == MG_TYPE_NUMERIC ? col->condition : NULL;
				break;
		}
		if (!d->nullable && col->core >= 0)
			set_fallback(d, col, d->cls);
	}
	mg_wipe(words, sizeof(words));
	return dec;
}

void
mg_decoder_continue(MgDecoder *dec, int i, uint64 first)
{
	dec->column[i].first = first;
}

/* ---------------------------------------------------------------- rows */

/* Version 4 of RFC 4122 in form; the bits are post-processing, a function of key, column and row. */
static Datum
fresh_uuid(uint64 seed, uint64 row)
{
	pg_uuid_t *out = palloc(sizeof(pg_uuid_t));
	uint64 bits[2];
	mg_rng rng;

	mg_rng_seed(&rng, seed + row * UINT64CONST(0x9E3779B97F4A7C15));
	bits[0] = mg_rng_u64(&rng);
	bits[1] = mg_rng_u64(&rng);
	memcpy(out->data, bits, sizeof(bits));
	out->data[6] = (unsigned char) ((out->data[6] & 0x0F) | 0x40);
	out->data[8] = (unsigned char) ((out->data[8] & 0x3F) | 0x80);
	return UUIDPGetDatum(out);
}

static Datum
fresh_text(const DecodeColumn *d, uint64 row)
{
	char buf[MG_PATTERN_BYTES + 1];
	size_t len;
	text *out;

	if (d->op == DECODE_ID_PATTERN)
		len = mg_pattern_write(d->pattern, row, buf);
	else
		len = (size_t) snprintf(buf, sizeof(buf), UINT64_FORMAT, row % d->modulus + 1);
	out = cstring_to_text_with_len(buf, (int) len);
	if (d->cls == MG_TYPE_BPCHAR && d->typmod >= 0) /* blanks up to the length */
		return DirectFunctionCall3(bpchar, PointerGetDatum(out), Int32GetDatum(d->typmod), BoolGetDatum(true));
	return PointerGetDatum(out);
}

static Datum
fresh_int(const DecodeColumn *d, uint64 row)
{
	uint64 v = row % d->modulus + 1;

	switch (d->cls)
	{
		case MG_TYPE_INT2:
			return Int16GetDatum((int16) v);
		case MG_TYPE_INT4:
			return Int32GetDatum((int32) v);
		default:
			return Int64GetDatum((int64) v);
	}
}

void
mg_decoder_row(MgDecoder *dec, const mg_batch *batch, uint32 row, uint64 row_number, Datum *values, bool *nulls)
{
	for (int i = 0; i < dec->n; i++)
	{
		const DecodeColumn *d = &dec->column[i];
		const mg_values *from;

		nulls[i] = false;
		switch (d->op)
		{
			case DECODE_NULL:
				values[i] = (Datum) 0;
				nulls[i] = true;
				continue;
			case DECODE_CONSTANT:
				values[i] = d->fallback;
				continue;
			case DECODE_ID_INT:
				values[i] = fresh_int(d, d->first + row_number);
				continue;
			case DECODE_ID_UUID:
				values[i] = fresh_uuid(d->seed, row_number);
				continue;
			case DECODE_ID_PATTERN:
			case DECODE_ID_TEXT:
				values[i] = fresh_text(d, d->first + row_number);
				continue;
			default:
				break;
		}
		from = &batch->column[d->core];
		if (likely(!from->null[row]))
		{
			if (d->op != DECODE_LABEL)
			{
				values[i] = point_datum(&d->point, from->number[row]);
				continue;
			}
			else
			{
				uint32 label = from->label[row];

				if (likely(label < d->nlabels + d->has_other))
				{
					values[i] = d->label[label];
					continue;
				}
			}
		}
		/* NULL, or a value that the model does not name */
		nulls[i] = d->nullable || !d->has_fallback;
		values[i] = nulls[i] ? (Datum) 0 : d->fallback;
	}
}
