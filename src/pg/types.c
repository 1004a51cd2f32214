/*
 * pg/types.c: the table of learnable types; see types.h. No state; memory is the current context's.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pg/types.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

MgTypeClass
mg_type_class(Oid base)
{
	switch (base)
	{
		case BOOLOID:
			return MG_TYPE_BOOL;
		case INT2OID:
			return MG_TYPE_INT2;
		case INT4OID:
			return MG_TYPE_INT4;
		case INT8OID:
			return MG_TYPE_INT8;
		case FLOAT4OID:
			return MG_TYPE_FLOAT4;
		case FLOAT8OID:
			return MG_TYPE_FLOAT8;
		case NUMERICOID:
			return MG_TYPE_NUMERIC;
		case TEXTOID:
		case VARCHAROID:
			return MG_TYPE_TEXT;
		case BPCHAROID:
			return MG_TYPE_BPCHAR;
		case DATEOID:
			return MG_TYPE_DATE;
		case TIMEOID:
			return MG_TYPE_TIME;
		case TIMESTAMPOID:
			return MG_TYPE_TIMESTAMP;
		case TIMESTAMPTZOID:
			return MG_TYPE_TIMESTAMPTZ;
		case INTERVALOID:
			return MG_TYPE_INTERVAL;
		case UUIDOID:
			return MG_TYPE_UUID;
		default:
			return get_typtype(base) == TYPTYPE_ENUM ? MG_TYPE_ENUM : MG_TYPE_NONE;
	}
}

/* ---------------------------------------------------------------- numeric */

/*
 * The stored form: a 16-bit header, in the long form a 16-bit weight after it, then base-10000 digits, most
 * significant first: value = sum digit[i] * 10000^(weight - i).
 *   header 10ssssss s......  short: bit 13 sign, bits 7..12 display scale, bits 0..6 weight as a signed 7-bit number
 *   header 00 / 01           long, positive / negative, bits 0..13 display scale
 *   header 11                NaN, +-infinity
 */
#define NUMERIC_KIND 0xC000
#define NUMERIC_KIND_SHORT 0x8000
#define NUMERIC_KIND_NEGATIVE 0x4000
#define NUMERIC_KIND_SPECIAL 0xC000
#define NUMERIC_SPECIAL_PINF 0xD000
#define NUMERIC_SPECIAL_NINF 0xF000

static const double power10_small[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
									   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

double
mg_power10(int e)
{
	if (e >= 0 && e <= 22)
		return power10_small[e];
	return pow(10.0, e);
}

double
mg_numeric_double(Datum value)
{
	struct varlena *raw = (struct varlena *) DatumGetPointer(value);
	struct varlena *flat = pg_detoast_datum_packed(raw);
	const char *p = VARDATA_ANY(flat);
	size_t len = VARSIZE_ANY_EXHDR(flat);
	uint16 header;
	int weight, ndigits, used;
	bool negative;
	uint64 exact = 0;
	double v;

	memcpy(&header, p, sizeof(header));
	p += sizeof(header);
	len -= sizeof(header);
	if ((header & NUMERIC_KIND) == NUMERIC_KIND_SPECIAL)
		v = header == NUMERIC_SPECIAL_PINF ? INFINITY : (header == NUMERIC_SPECIAL_NINF ? -INFINITY : NAN);
	else
	{
		if ((header & NUMERIC_KIND) == NUMERIC_KIND_SHORT)
		{
			negative = (header & 0x2000) != 0;
			weight = (header & 0x3F) - ((header & 0x40) ? 64 : 0);
		}
		else
		{
			int16 w;

			negative = (header & NUMERIC_KIND) == NUMERIC_KIND_NEGATIVE;
			memcpy(&w, p, sizeof(w));
			weight = w;
			p += sizeof(w);
			len -= sizeof(w);
		}
		ndigits = (int) (len / sizeof(int16));

		/* Four digits fit 10^16; more only change bits that a double does not have, up to the last one or two. */
		used = Min(ndigits, 4);
		for (int i = 0; i < used; i++)
		{
			int16 digit;

			memcpy(&digit, p + i * sizeof(int16), sizeof(int16));
			exact = exact * 10000 + (uint64) digit;
		}
		v = (double) exact;
		weight -= used - 1; /* of the last digit taken */
		for (int i = used; i < Min(ndigits, 6); i++)
		{
			int16 digit;

			memcpy(&digit, p + i * sizeof(int16), sizeof(int16));
			v = v * 10000.0 + digit;
			weight--;
		}
		if (v == 0.0)
			v = 0.0;
		else if (weight > 76)
			v = DBL_MAX; /* finite, but beyond a double: clamped, as every value beyond the range is */
		else if (weight < -90)
			v = 0.0;
		else if (weight >= 0)
			v *= mg_power10(4 * weight);
		else if (weight >= -70)
			v /= mg_power10(-4 * weight); /* one rounding where both are exact: 19.99 is the double 19.99 */
		else
			v = v / mg_power10(280) / mg_power10(-4 * weight - 280);
		if (isinf(v))
			v = DBL_MAX;
		if (negative)
			v = -v;
	}
	if (flat != raw)
		pfree(flat);
	return v;
}

Numeric
mg_numeric_make(int64 k, int scale)
{
	/* 19 decimal digits and up to 3 of alignment: at most 7 base-10000 digits */
	int16 digit[8];
	int n = 0, weight, first;
	uint64 u = k < 0 ? -(uint64) k : (uint64) k;
	int pad = (4 - scale % 4) % 4; /* decimal digits that the last base-10000 digit lacks */
	char *out;
	uint16 header;
	size_t size;

	Assert(scale >= 0 && scale <= 63);
	/* least significant first; the first takes 4 - pad decimals of k, moved up by pad */
	if (pad != 0)
	{
		uint64 part = pad == 1 ? 1000 : (pad == 2 ? 100 : 10);

		digit[n++] = (int16) (u % part * (10000 / part));
		u /= part;
	}
	while (u != 0)
	{
		digit[n++] = (int16) (u % 10000);
		u /= 10000;
	}
	weight = n - 1 - (scale + pad) / 4;
	while (n > 0 && digit[n - 1] == 0)
	{
		n--;
		weight--;
	}
	for (first = 0; first < n && digit[first] == 0; first++)
		;
	if (n == 0 || first == n)
	{
		n = first = 0;
		weight = 0;
	}
	size = VARHDRSZ + sizeof(uint16) + (size_t) (n - first) * sizeof(int16);
	out = palloc(size);
	SET_VARSIZE(out, size);
	header = (uint16) (NUMERIC_KIND_SHORT | (k < 0 ? 0x2000 : 0) | (scale << 7) | (weight & 0x7F));
	memcpy(out + VARHDRSZ, &header, sizeof(header));
	for (int i = n - 1; i >= first; i--)
		memcpy(out + VARHDRSZ + sizeof(uint16) + (size_t) (n - 1 - i) * sizeof(int16), &digit[i], sizeof(int16));
	return (Numeric) out;
}

int
mg_numeric_precision(int32 typmod)
{
	return ((typmod - VARHDRSZ) >> 16) & 0xffff;
}

/* 11 bits of two's complement since 15, 16 bits before, where scales are 0..1000: the same bits. */
int
mg_numeric_scale(int32 typmod)
{
	return (((typmod - VARHDRSZ) & 0x7ff) ^ 1024) - 1024;
}

/* ---------------------------------------------------------------- axes */

#define REAL_LIMIT (DBL_MAX / 4)
#define INTERVAL_LIMIT 9.2e18

/* Least unit, in microseconds, that interval fields and precision keep; 0 fields given: 1. */
static double
interval_unit(int32 typmod)
{
	int range, precision;

	if (typmod < 0)
		return 1;
	range = INTERVAL_RANGE(typmod);
	precision = INTERVAL_PRECISION(typmod);
	if (range == INTERVAL_FULL_RANGE || (range & INTERVAL_MASK(SECOND)) != 0)
		return precision >= 0 && precision <= MAX_INTERVAL_PRECISION ? mg_power10(MAX_INTERVAL_PRECISION - precision)
																	 : 1;
	if ((range & INTERVAL_MASK(MINUTE)) != 0)
		return USECS_PER_MINUTE;
	if ((range & INTERVAL_MASK(HOUR)) != 0)
		return USECS_PER_HOUR;
	if ((range & INTERVAL_MASK(DAY)) != 0)
		return USECS_PER_DAY;
	if ((range & INTERVAL_MASK(MONTH)) != 0)
		return (double) DAYS_PER_MONTH * USECS_PER_DAY;
	if ((range & INTERVAL_MASK(YEAR)) != 0)
		return (double) MONTHS_PER_YEAR * DAYS_PER_MONTH * USECS_PER_DAY;
	return 1;
}

static void
axis_set(MgAxis *axis, double lower, double upper, double fine, double step)
{
	axis->lower = lower;
	axis->upper = upper;
	axis->fine = fine;
	axis->step = step;
}

void
mg_type_axis(MgTypeClass cls, int32 typmod, MgAxis *axis)
{
	double fine = typmod >= 0 && typmod <= MAX_TIMESTAMP_PRECISION ? mg_power10(MAX_TIMESTAMP_PRECISION - typmod) : 1;
	double step = typmod >= 0 ? fine : USECS_PER_SEC;

	switch (cls)
	{
		case MG_TYPE_INT2:
			axis_set(axis, PG_INT16_MIN, PG_INT16_MAX, 1, 1);
			break;
		case MG_TYPE_INT4:
			axis_set(axis, PG_INT32_MIN, PG_INT32_MAX, 1, 1);
			break;
		case MG_TYPE_INT8:
			axis_set(axis, (double) PG_INT64_MIN, (double) PG_INT64_MAX, 1, 1);
			break;
		case MG_TYPE_FLOAT4:
			axis_set(axis, -FLT_MAX, FLT_MAX, 0, 0);
			break;
		case MG_TYPE_NUMERIC:
			axis_set(axis, -REAL_LIMIT, REAL_LIMIT, 0, 0);
			if (typmod >= (int32) VARHDRSZ)
			{
				int scale = mg_numeric_scale(typmod), whole = mg_numeric_precision(typmod) - scale;

				if (scale >= -300 && scale <= 300)
					axis->fine = axis->step = scale >= 0 ? 1 / mg_power10(scale) : mg_power10(-scale);
				if (whole <= 300)
				{
					axis->upper = mg_lattice_down(mg_power10(Max(whole, -300)), axis->step, true);
					axis->lower = -axis->upper;
				}
			}
			break;
		case MG_TYPE_DATE:
			axis_set(axis, DATETIME_MIN_JULIAN - POSTGRES_EPOCH_JDATE, DATE_END_JULIAN - POSTGRES_EPOCH_JDATE - 1, 1,
					 1);
			break;
		case MG_TYPE_TIME:
			axis_set(axis, 0, mg_lattice_down((double) USECS_PER_DAY, step, true), fine, step);
			break;
		case MG_TYPE_TIMESTAMP:
		case MG_TYPE_TIMESTAMPTZ:
			axis_set(axis, mg_lattice_up((double) MIN_TIMESTAMP, step, false),
					 mg_lattice_down((double) END_TIMESTAMP, step, true), fine, step);
			break;
		case MG_TYPE_INTERVAL:
			fine = interval_unit(typmod);
			step = fine;
			if (fine == 1 && (typmod < 0 || INTERVAL_PRECISION(typmod) == INTERVAL_FULL_PRECISION))
				step = USECS_PER_SEC;
			axis_set(axis, mg_lattice_up(-INTERVAL_LIMIT, step, false), mg_lattice_down(INTERVAL_LIMIT, step, false),
					 fine, step);
			break;
		default:
			axis_set(axis, -REAL_LIMIT, REAL_LIMIT, 0, 0);
			break;
	}
}

/* k of the lattice point at v, where v is one (as nearly as a double can say); otherwise false, with *k the floor. */
static bool
lattice_index(double v, double step, double *k, double *point)
{
	double inverse = step < 1 ? rint(1 / step) : 0;

	*k = inverse != 0 ? rint(v * inverse) : rint(v / step);
	*point = inverse != 0 ? *k / inverse : *k * step;
	return *point == v;
}

static double
lattice_point(double k, double step)
{
	return step < 1 ? k / rint(1 / step) : k * step;
}

double
mg_lattice_up(double v, double step, bool strict)
{
	double k, point;

	if (step <= 0)
		return strict ? nextafter(v, INFINITY) : v;
	if (lattice_index(v, step, &k, &point))
	{
		if (!strict)
			return v;
		point = lattice_point(k + 1, step);
	}
	else if (point < v)
		point = lattice_point(k + 1, step);
	/* beyond 2^53 steps neighbouring points are one double */
	return strict && point <= v ? nextafter(v, INFINITY) : point;
}

double
mg_lattice_down(double v, double step, bool strict)
{
	return -mg_lattice_up(-v, step, strict);
}

bool
mg_axis_value(MgTypeClass cls, Datum value, double *v)
{
	switch (cls)
	{
		case MG_TYPE_INT2:
			*v = DatumGetInt16(value);
			return true;
		case MG_TYPE_INT4:
			*v = DatumGetInt32(value);
			return true;
		case MG_TYPE_INT8:
			*v = (double) DatumGetInt64(value);
			return true;
		case MG_TYPE_FLOAT4:
			*v = DatumGetFloat4(value);
			return isfinite(*v);
		case MG_TYPE_FLOAT8:
			*v = DatumGetFloat8(value);
			return isfinite(*v);
		case MG_TYPE_NUMERIC:
			*v = mg_numeric_double(value);
			return isfinite(*v);
		case MG_TYPE_DATE:
			*v = DatumGetDateADT(value);
			return !DATE_NOT_FINITE(DatumGetDateADT(value));
		case MG_TYPE_TIME:
			*v = (double) DatumGetTimeADT(value);
			return true;
		case MG_TYPE_TIMESTAMP:
		case MG_TYPE_TIMESTAMPTZ:
			*v = (double) DatumGetTimestamp(value);
			return !TIMESTAMP_NOT_FINITE(DatumGetTimestamp(value));
		case MG_TYPE_INTERVAL:
		{
			const Interval *i = DatumGetIntervalP(value);

#ifdef INTERVAL_NOT_FINITE
			if (INTERVAL_NOT_FINITE(i))
				return false;
#endif
			/* the order's own month, see interval_cmp_value */
			*v = (double) i->time + ((double) i->day + (double) i->month * DAYS_PER_MONTH) * USECS_PER_DAY;
			return true;
		}
		default:
			return false;
	}
}

bool
mg_axis_constant(MgTypeClass cls, MgTypeClass of, Datum value, double *v)
{
	if (!mg_axis_value(of, value, v))
		return false;
	if (MG_TYPE_IS_NUMBER(cls))
		return MG_TYPE_IS_NUMBER(of);
	if (cls == of)
		return MG_TYPE_IS_TIME(cls);
	if (cls == MG_TYPE_DATE && of == MG_TYPE_TIMESTAMP)
		*v /= USECS_PER_DAY;
	else if (cls == MG_TYPE_TIMESTAMP && of == MG_TYPE_DATE)
		*v *= USECS_PER_DAY;
	else
		return false;
	return true;
}

/* ---------------------------------------------------------------- canonical texts */

/* ISO 8601 with designators, which reads the same under every IntervalStyle: P1M2DT3H4M5.5S. */
static char *
interval_text(const Interval *i)
{
	StringInfoData s;
	int64 rest = i->time;
	int hour = (int) (rest / USECS_PER_HOUR), minute, usec;

	rest %= USECS_PER_HOUR;
	minute = (int) (rest / USECS_PER_MINUTE);
	usec = (int) (rest % USECS_PER_MINUTE);
	initStringInfo(&s);
	appendStringInfoChar(&s, 'P');
	if (i->month != 0)
		appendStringInfo(&s, "%dM", i->month);
	if (i->day != 0 || (i->month == 0 && i->time == 0))
		appendStringInfo(&s, "%dD", i->day);
	if (i->time == 0)
		return s.data;
	appendStringInfoChar(&s, 'T');
	if (hour != 0)
		appendStringInfo(&s, "%dH", hour);
	if (minute != 0)
		appendStringInfo(&s, "%dM", minute);
	if (usec != 0)
	{
		appendStringInfo(&s, "%s%d", usec < 0 ? "-" : "", abs(usec) / (int) USECS_PER_SEC);
		if (usec % (int) USECS_PER_SEC != 0)
			appendStringInfo(&s, ".%06d", abs(usec) % (int) USECS_PER_SEC);
		appendStringInfoChar(&s, 'S');
	}
	return s.data;
}

char *
mg_value_text(MgTypeClass cls, Datum value)
{
	char buf[Max(MAXDATELEN + 1, DOUBLE_SHORTEST_DECIMAL_LEN)];
	static const int utc = 0;

	switch (cls)
	{
		case MG_TYPE_BOOL:
			return pstrdup(DatumGetBool(value) ? "true" : "false");
		case MG_TYPE_INT2:
			pg_itoa(DatumGetInt16(value), buf);
			return pstrdup(buf);
		case MG_TYPE_INT4:
			pg_ltoa(DatumGetInt32(value), buf);
			return pstrdup(buf);
		case MG_TYPE_INT8:
			pg_lltoa(DatumGetInt64(value), buf);
			return pstrdup(buf);
		case MG_TYPE_FLOAT4:
			float_to_shortest_decimal_buf(DatumGetFloat4(value), buf);
			return pstrdup(buf);
		case MG_TYPE_FLOAT8:
			double_to_shortest_decimal_buf(DatumGetFloat8(value), buf);
			return pstrdup(buf);
		case MG_TYPE_NUMERIC:
			return numeric_normalize(DatumGetNumeric(value));
		case MG_TYPE_TEXT:
			return TextDatumGetCString(value);
		case MG_TYPE_BPCHAR:
		{
			char *s = TextDatumGetCString(value);
			size_t len = strlen(s);

			while (len > 0 && s[len - 1] == ' ')
				s[--len] = '\0';
			return s;
		}
		case MG_TYPE_DATE:
			return pstrdup(JsonEncodeDateTime(buf, value, DATEOID, NULL));
		case MG_TYPE_TIME:
			return pstrdup(JsonEncodeDateTime(buf, value, TIMEOID, NULL));
		case MG_TYPE_TIMESTAMP:
			return pstrdup(JsonEncodeDateTime(buf, value, TIMESTAMPOID, NULL));
		case MG_TYPE_TIMESTAMPTZ:
			return pstrdup(JsonEncodeDateTime(buf, value, TIMESTAMPTZOID, &utc));
		case MG_TYPE_INTERVAL:
			return interval_text(DatumGetIntervalP(value));
		case MG_TYPE_UUID:
			return DatumGetCString(DirectFunctionCall1(uuid_out, value));
		case MG_TYPE_ENUM:
			/* needs no look at the value's type: an enum value's oid names it */
			return DatumGetCString(DirectFunctionCall1(enum_out, value));
		case MG_TYPE_NONE:
			break;
	}
	elog(ERROR, "no canonical text for a type that is not supported");
	return NULL;
}

Datum
mg_value_parse(Oid type, int32 typmod, const char *text)
{
	Oid input, ioparam;
	char *copy = pstrdup(text);
	Datum value;

	getTypeInputInfo(type, &input, &ioparam);
	value = OidInputFunctionCall(input, copy, ioparam, typmod);
	pfree(copy);
	return value;
}

bool
mg_type_is_inert(Oid type)
{
	check_stack_depth();
	switch (get_typtype(type))
	{
		case TYPTYPE_BASE:
		{
			Oid element = get_element_type(type);

			return !OidIsValid(element) || mg_type_is_inert(element);
		}
		case TYPTYPE_ENUM:
			return true;
		case TYPTYPE_RANGE:
			return mg_type_is_inert(get_range_subtype(type));
		case TYPTYPE_MULTIRANGE:
			return mg_type_is_inert(get_multirange_range(type));
		default:
			return false;
	}
}
