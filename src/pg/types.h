/*
 * pg/types.h: the types that can be learnt, each with its axis: how a value becomes a point of a number line and
 * back, and what the type alone says about its range and granularity. Private to pg/.
 *
 *   type                        axis (unit)                       step
 *   smallint, integer, bigint   the number                        1
 *   real, double precision      the number                        0 (continuous)
 *   numeric(p, s)               the number                        10^-s
 *   numeric                     the number                        0
 *   date                        days since 2000-01-01             1
 *   time(p), timestamp(p),      microseconds since midnight,      10^(6-p); without p, values are *emitted* on
 *   timestamptz(p)              since 2000-01-01 (UTC)            whole seconds (10^6), held to microseconds (fine)
 *   interval                    microseconds, a month is 30 days  as above, or the least unit that the fields keep
 *
 * NaN and infinities have no place on an axis. Ranges: the type's own, but at most +-DBL_MAX / 4, so that the width
 * of a range never overflows; interval +-2^63 microseconds (292,000 years).
 */
#ifndef MIRAGE_PG_TYPES_H
#define MIRAGE_PG_TYPES_H

#include "pg/columns.h"
#include "utils/numeric.h"

typedef enum MgTypeClass
{
	MG_TYPE_NONE, /* not supported */
	MG_TYPE_BOOL,
	MG_TYPE_INT2,
	MG_TYPE_INT4,
	MG_TYPE_INT8,
	MG_TYPE_FLOAT4,
	MG_TYPE_FLOAT8,
	MG_TYPE_NUMERIC,
	MG_TYPE_TEXT, /* text and varchar */
	MG_TYPE_BPCHAR,
	MG_TYPE_ENUM,
	MG_TYPE_DATE,
	MG_TYPE_TIME,
	MG_TYPE_TIMESTAMP,
	MG_TYPE_TIMESTAMPTZ,
	MG_TYPE_INTERVAL,
	MG_TYPE_UUID
} MgTypeClass;

/* Of a base type (not a domain). */
extern MgTypeClass mg_type_class(Oid base);

#define MG_TYPE_IS_INT(c) ((c) >= MG_TYPE_INT2 && (c) <= MG_TYPE_INT8)
#define MG_TYPE_IS_NUMBER(c) ((c) >= MG_TYPE_INT2 && (c) <= MG_TYPE_NUMERIC)
#define MG_TYPE_IS_TEXT(c) ((c) == MG_TYPE_TEXT || (c) == MG_TYPE_BPCHAR)
#define MG_TYPE_IS_TIME(c) ((c) >= MG_TYPE_DATE && (c) <= MG_TYPE_INTERVAL)
#define MG_TYPE_HAS_AXIS(c) (MG_TYPE_IS_NUMBER(c) || MG_TYPE_IS_TIME(c))

typedef struct MgAxis
{
	double lower, upper; /* the type's range */
	double fine;         /* distance of neighbouring values; 0: continuous */
	double step;         /* granularity at which values are emitted, >= fine */
} MgAxis;

extern void mg_type_axis(MgTypeClass cls, int32 typmod, MgAxis *axis);

/* A value's point; false for NaN and infinities. Never an error. May allocate (toasted numerics). */
extern bool mg_axis_value(MgTypeClass cls, Datum value, double *v);

/* The constant of type class `of` on the axis of `cls`; false where it has no place there. */
extern bool mg_axis_constant(MgTypeClass cls, MgTypeClass of, Datum value, double *v);

/*
 * Points of the lattice {k * step}: the least at or above v (above it where strict), the greatest at or below. step
 * 0: all doubles.
 */
extern double mg_lattice_up(double v, double step, bool strict);
extern double mg_lattice_down(double v, double step, bool strict);

/*
 * The canonical text of a value, independent of DateStyle, IntervalStyle, TimeZone and extra_float_digits, which the
 * type's input function reads back. char(n) without trailing blanks, numeric without trailing zeros.
 */
extern char *mg_value_text(MgTypeClass cls, Datum value);
/* Input of a literal by `type` (a domain checks its constraints). An ordinary error for a malformed one. */
extern Datum mg_value_parse(Oid type, int32 typmod, const char *text);
/*
 * Does input of the type run no code but that of base types, which superusers make? Not for a domain, whose constraints
 * may call anything, nor for what has one inside: arrays, ranges, and any composite type.
 */
extern bool mg_type_is_inert(Oid type);

/*
 * numeric in its on-disk form, which the server cannot change without a dump: 10^-scale * k, and to the nearest
 * double.
 */
extern double mg_numeric_double(Datum value);
extern Numeric mg_numeric_make(int64 k, int scale);
extern int mg_numeric_scale(int32 typmod); /* of numeric(p, s); undefined for typmod < 0 */
extern int mg_numeric_precision(int32 typmod);
extern double mg_power10(int e); /* -308 .. 308 */

/*
 * The value at v on the axis, rounded to the type and within [lower, upper] as far as the type allows. General, not
 * fast.
 */
extern Datum mg_axis_datum(MgTypeClass cls, int32 typmod, const mg_domain *domain, double v);

#endif
