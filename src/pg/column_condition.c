/*
 * pg/column_condition.c: see column_condition.h. Reads no relation. All memory is the context's that is current at the
 * call.
 *
 * Ends of ranges are rounded to the column's own values before they become doubles: of an integer or a numeric(p, s)
 * column 30.5 as a low end is 31, or 30.50. What is drawn then satisfies the condition as a double, which decides it
 * for every type whose values are doubles or integers of the axis; numeric alone is looked at again (mg_condition_fit).
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pg/column_condition.h"
#include "pg/types.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/numeric.h"

#define MOST_VALUES 4096    /* of a list */
#define MOST_HINT_BYTES 400 /* of a hint that lists labels */

/* A closed range of values. Without an end: infinite. */
typedef struct Range
{
	double low, high;  /* on the axis */
	Datum dlow, dhigh; /* numeric; unset where infinite */
} Range;

struct MgColumnCondition
{
	const char *name; /* of the column */
	MgTypeClass cls;
	Oid base;
	int32 typmod;
	const mg_domain *domain; /* the model's */
	int core;
	bool negated, null;
	bool *label; /* [nlabels + 1]; category */
	/* number: within a range and in no hole */
	bool anywhere; /* no range is asked for */
	int n, room;
	Range *range; /* [n] sorted, disjoint */
	int nholes;
	Range *hole;          /* [nholes] likewise */
	mg_interval *allowed; /* [nallowed]: what of it the core may draw */
	int nallowed;
};

/* ---------------------------------------------------------------- refusals */

static const char *const forms_category = "Give a value, a list of values, null, or {\"not\": ...}.";
static const char *const forms_number =
	"Give a value, a range [low, high] (null for no end), {\"in\": [values]}, null, or "
	"{\"not\": ...}.";

static void
refuse_form(const MgColumnCondition *c, const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("condition on column \"%s\": %s", c->name, what),
					errhint("%s", c->label != NULL ? forms_category : forms_number)));
}

static void
refuse_json(const MgColumnCondition *c, const char *json, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
					errmsg("condition on column \"%s\": a JSON %s is no value of type %s", c->name, json,
						   format_type_be(c->base)),
					errhint("%s", hint)));
}

/* ---------------------------------------------------------------- values */

static void
name_column(void *name)
{
	errcontext("condition on column \"%s\"", (const char *) name);
}

/* The type's own input, whose errors know no column. */
static Datum
read_value(const MgColumnCondition *c, const char *text)
{
	ErrorContextCallback context = {.previous = error_context_stack,
									.callback = name_column,
									.arg = unconstify(char *, c->name)};
	Datum value;

	error_context_stack = &context;
	value = mg_value_parse(c->base, -1, text);
	error_context_stack = context.previous;
	return value;
}

/* A JSON scalar other than null as a value of the column's base type, without its typmod. */
static Datum
scalar_value(const MgColumnCondition *c, const JsonbValue *v)
{
	switch (v->type)
	{
		case jbvString:
			return read_value(c, pnstrdup(v->val.string.val, v->val.string.len));
		case jbvNumeric:
			if (!MG_TYPE_IS_NUMBER(c->cls))
				refuse_json(c, "number",
							c->cls == MG_TYPE_BOOL ? "Write true or false." : "Write the value as a string.");
			return read_value(c, numeric_normalize(v->val.numeric));
		case jbvBool:
			if (c->cls != MG_TYPE_BOOL)
				refuse_json(c, "boolean",
							MG_TYPE_IS_NUMBER(c->cls) ? "Write a number." : "Write the value as a string.");
			return BoolGetDatum(v->val.boolean);
		default:
			refuse_form(c, "a value is expected");
			return (Datum) 0;
	}
}

static char *
known_labels(const mg_domain *d)
{
	StringInfoData s;

	initStringInfo(&s);
	for (uint32 i = 0; i < d->nlabels; i++)
	{
		if (s.len + d->labels[i].len > MOST_HINT_BYTES)
		{
			appendStringInfoString(&s, i == 0 ? "..." : ", ...");
			break;
		}
		appendStringInfo(&s, "%s%s", i > 0 ? ", " : "", d->labels[i].text);
	}
	return s.data;
}

/* What a message shows of a text that the caller gave. */
static char *
clip(const char *text, size_t len)
{
	int most = 200;

	if (len <= (size_t) most)
		return pstrdup(text);
	return psprintf("%.*s...", pg_mbcliplen(text, most + MAX_MULTIBYTE_CHAR_LEN, most), text);
}

static void
add_label(MgColumnCondition *c, const JsonbValue *v)
{
	const mg_domain *d = c->domain;
	char *text = mg_value_text(c->cls, scalar_value(c, v));
	size_t len = strlen(text);
	bool found = false;

	for (uint32 i = 0; i < d->nlabels; i++)
		if (d->labels[i].len == len && memcmp(d->labels[i].text, text, len) == 0)
			c->label[i] = found = true;
	if (d->other != NULL && strcmp(d->other, text) == 0)
		c->label[d->nlabels] = found = true;
	if (!found)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("condition on column \"%s\": the model knows no value \"%s\"", c->name, clip(text, len)),
						errdetail("Values that were too rare to be learnt are not told apart."),
						d->nlabels > 0 ? errhint("Its values are: %s.", known_labels(d)) : 0));
	pfree(text);
}

/* ---------------------------------------------------------------- ends of ranges */

/* x on the lattice of 10^-scale, upwards or downwards. */
static Datum
snap(Datum x, int scale, bool up)
{
	Datum r = DirectFunctionCall2(numeric_round, x, Int32GetDatum(scale));
	int order = DatumGetInt32(DirectFunctionCall2(numeric_cmp, r, x));
	Datum unit;

	if (up ? order >= 0 : order <= 0)
		return r;
	unit = DirectFunctionCall3(numeric_in, CStringGetDatum(psprintf("1e%d", -scale)), ObjectIdGetDatum(InvalidOid),
							   Int32GetDatum(-1));
	return DirectFunctionCall2(up ? numeric_add : numeric_sub, r, unit);
}

/* The double nearest to i on the side of `up`. */
static double
int_point(int64 i, bool up)
{
	double d = (double) i;

	/* the double of the largest integers is 2^63, which is none */
	if (up)
		return d < 0x1p63 && (int64) d < i ? nextafter(d, INFINITY) : d;
	return d >= 0x1p63 || (int64) d > i ? nextafter(d, -INFINITY) : d;
}

static double
int_end(const MgColumnCondition *c, const JsonbValue *v, bool low, double *raw)
{
	Datum n = v->type == jbvNumeric ? NumericGetDatum(v->val.numeric) : (Datum) 0;
	MgAxis axis;

	if (v->type != jbvNumeric)
	{
		Datum value = scalar_value(c, v);
		int64 i = c->cls == MG_TYPE_INT2   ? DatumGetInt16(value)
				  : c->cls == MG_TYPE_INT4 ? DatumGetInt32(value)
										   : DatumGetInt64(value);

		n = DirectFunctionCall1(int8_numeric, Int64GetDatum(i));
	}
	*raw = mg_numeric_double(n);
	mg_type_axis(c->cls, -1, &axis);
	if (*raw < axis.lower || *raw > axis.upper)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("condition on column \"%s\": value out of range for type %s", c->name, format_type_be(c->base)),
				 errhint("A range without an end has null for it.")));
	return int_point(DatumGetInt64(DirectFunctionCall1(numeric_int8, snap(n, 0, low))), low);
}

/* One end on the axis; *raw: before it was rounded to the column's values; *exact: numeric, as it must compare. */
static double
range_end(const MgColumnCondition *c, const JsonbValue *v, bool low, double *raw, Datum *exact)
{
	double point;

	if (MG_TYPE_IS_INT(c->cls))
		return int_end(c, v, low, raw);
	*exact = scalar_value(c, v);
	if (!mg_axis_value(c->cls, *exact, raw))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("condition on column \"%s\": NaN and infinities are never drawn", c->name),
						errhint("A range without an end has null for it.")));
	point = *raw;
	if (c->cls == MG_TYPE_NUMERIC && c->typmod >= (int32) VARHDRSZ)
	{
		*exact = snap(*exact, mg_numeric_scale(c->typmod), low);
		point = mg_numeric_double(*exact);
	}
	return point + 0.0; /* no negative zero */
}

/* low, high: NULL for no end. */
static void
add_range(MgColumnCondition *c, const JsonbValue *low, const JsonbValue *high)
{
	Range r = {.low = -INFINITY, .high = INFINITY};
	double raw_low = -INFINITY, raw_high = INFINITY;

	if (low != NULL)
		r.low = range_end(c, low, true, &raw_low, &r.dlow);
	if (high != NULL)
		r.high = range_end(c, high, false, &raw_high, &r.dhigh);
	if (raw_low > raw_high)
		refuse_form(c, "the range is empty, its low end is above its high end");
	if (!(r.low <= r.high))
		return; /* no value of the column lies between them; the core says so, with the whole condition in view */
	if (c->n == c->room)
	{
		c->room = Max(8, 2 * c->room);
		c->range = c->range == NULL ? palloc(sizeof(Range) * c->room) : repalloc(c->range, sizeof(Range) * c->room);
	}
	c->range[c->n++] = r;
}

/* ---------------------------------------------------------------- forms */

static void
add_value(MgColumnCondition *c, const JsonbValue *v)
{
	if (v->type == jbvNull)
		c->null = true;
	else if (c->label != NULL)
		add_label(c, v);
	else
		add_range(c, v, v);
}

static void
add_list(MgColumnCondition *c, JsonbContainer *list)
{
	JsonbIterator *it = JsonbIteratorInit(list);
	JsonbValue v;
	JsonbIteratorToken token;

	if (JsonContainerSize(list) == 0)
		refuse_form(c, "the list is empty");
	if (JsonContainerSize(list) > MOST_VALUES)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("condition on column \"%s\": a list has at most %d values", c->name, MOST_VALUES)));
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token == WJB_ELEM)
			add_value(c, &v);
	}
}

static void
add_between(MgColumnCondition *c, JsonbContainer *ends)
{
	JsonbValue *low, *high;

	if (c->label != NULL)
		refuse_form(c, "a category has no ranges");
	if (JsonContainerSize(ends) != 2)
		refuse_form(c, "a range has two ends");
	low = getIthJsonbValueFromContainer(ends, 0);
	high = getIthJsonbValueFromContainer(ends, 1);
	add_range(c, low->type == jbvNull ? NULL : low, high->type == jbvNull ? NULL : high);
}

static void add_form(MgColumnCondition *c, const JsonbValue *v);

static JsonbValue *
member(JsonbContainer *object, const char *name)
{
	JsonbValue key = {.type = jbvString, .val.string = {.val = unconstify(char *, name), .len = (int) strlen(name)}};

	return findJsonbValueFromContainer(object, JB_FOBJECT, &key);
}

/* {"in": list}, {"between": range}, {"not": form}; `not` once at most. */
static void
add_object(MgColumnCondition *c, JsonbContainer *object)
{
	static const char *const names[] = {"in", "between", "not"};
	JsonbValue *v = NULL;
	int which = 0;

	for (int i = 0; i < (int) lengthof(names) && v == NULL && JsonContainerSize(object) == 1; i++)
	{
		v = member(object, names[i]);
		which = i;
	}
	if (v == NULL)
	{
		refuse_form(c, "an object has one of the members \"in\", \"between\", \"not\"");
		return;
	}
	if (which == 2)
	{
		if (c->negated)
			refuse_form(c, "\"not\" within \"not\"");
		c->negated = true;
		add_form(c, v);
		return;
	}
	if (v->type != jbvBinary || !JsonContainerIsArray(v->val.binary.data))
		refuse_form(c, "\"in\" and \"between\" take an array");
	if (which == 0)
		add_list(c, v->val.binary.data);
	else
		add_between(c, v->val.binary.data);
}

static void
add_form(MgColumnCondition *c, const JsonbValue *v)
{
	if (v->type != jbvBinary)
		add_value(c, v);
	else if (JsonContainerIsObject(v->val.binary.data))
		add_object(c, v->val.binary.data);
	else if (c->label != NULL)
		add_list(c, v->val.binary.data);
	else
		add_between(c, v->val.binary.data);
}

/* ---------------------------------------------------------------- intervals */

static int
compare_ranges(const void *a, const void *b)
{
	double x = ((const Range *) a)->low, y = ((const Range *) b)->low;

	return (x > y) - (x < y);
}

/* Sorts, and joins those that overlap; returns how many are left. */
static int
order_ranges(Range *range, int n)
{
	int last = 0;

	if (n == 0)
		return 0;
	qsort(range, n, sizeof(Range), compare_ranges);
	for (int i = 1; i < n; i++)
	{
		if (range[i].low > range[last].high)
			range[++last] = range[i];
		else if (range[i].high > range[last].high)
		{
			range[last].high = range[i].high;
			range[last].dhigh = range[i].dhigh;
		}
	}
	return last + 1;
}

/* The value of the column next to an end, outwards; values of real are floats. */
static double
beyond(const MgColumnCondition *c, double v, bool up)
{
	double to = up ? INFINITY : -INFINITY;

	return c->cls == MG_TYPE_FLOAT4 ? (double) nextafterf((float) v, (float) to) : nextafter(v, to);
}

static void
allow(MgColumnCondition *c, double low, double high)
{
	if (low <= high)
		c->allowed[c->nallowed++] = (mg_interval){low, high};
}

/* What of the range lies between the holes; *hole: the first that may touch it, on return the next range's. */
static void
allow_range(MgColumnCondition *c, double low, double high, int *hole)
{
	double from = low;

	while (*hole < c->nholes && c->hole[*hole].high < low)
		(*hole)++;
	for (int i = *hole; i < c->nholes && c->hole[i].low <= high; i++)
	{
		if (c->hole[i].low > -INFINITY)
			allow(c, from, beyond(c, c->hole[i].low, false));
		if (c->hole[i].high >= high)
			return;
		from = beyond(c, c->hole[i].high, true);
	}
	allow(c, from, high);
}

/* What the core may draw. */
static void
set_allowed(MgColumnCondition *c)
{
	int hole = 0;

	c->allowed = palloc(sizeof(mg_interval) * (c->n + c->nholes + 1));
	c->nallowed = 0;
	if (c->anywhere)
		allow_range(c, -INFINITY, INFINITY, &hole);
	else
		for (int i = 0; i < c->n; i++)
			allow_range(c, c->range[i].low, c->range[i].high, &hole);
}

MgColumnCondition *
mg_condition_parse(const MgColumn *col, const JsonbValue *spec)
{
	MgColumnCondition *c = palloc0(sizeof(MgColumnCondition));

	c->name = col->name;
	c->cls = mg_type_class(col->base);
	c->base = col->base;
	c->typmod = col->base_typmod;
	c->domain = &col->domain;
	c->core = col->core;
	if (col->domain.kind == MG_CATEGORY)
		c->label = palloc0(sizeof(bool) * ((Size) col->domain.nlabels + 1));
	add_form(c, spec);
	if (c->label == NULL)
	{
		c->n = order_ranges(c->range, c->n);
		if (c->negated)
		{
			c->anywhere = true;
			c->hole = c->range;
			c->nholes = c->n;
			c->range = NULL;
			c->n = 0;
		}
		set_allowed(c);
	}
	if (c->negated)
	{
		for (uint32 i = 0; c->label != NULL && i <= col->domain.nlabels; i++)
			c->label[i] = !c->label[i];
		c->null = false;
	}
	return c;
}

/* ---------------------------------------------------------------- both of two */

static int
compare_numeric(Datum a, Datum b)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, a, b));
}

/* Which of two low (high) ends is the narrower one; numeric decides between decimals of one double. */
static bool
narrower(const MgColumnCondition *c, const Range *a, const Range *b, bool low)
{
	double x = low ? a->low : a->high, y = low ? b->low : b->high;

	if (x != y || isinf(x) || c->cls != MG_TYPE_NUMERIC)
		return low ? x > y : x < y;
	return low ? compare_numeric(a->dlow, b->dlow) > 0 : compare_numeric(a->dhigh, b->dhigh) < 0;
}

/* What two ranges share; false: nothing. */
static bool
meet(const MgColumnCondition *c, const Range *a, const Range *b, Range *out)
{
	const Range *low = narrower(c, a, b, true) ? a : b, *high = narrower(c, a, b, false) ? a : b;

	*out = (Range){.low = low->low, .high = high->high, .dlow = low->dlow, .dhigh = high->dhigh};
	if (out->low != out->high || c->cls != MG_TYPE_NUMERIC)
		return out->low <= out->high;
	return compare_numeric(out->dlow, out->dhigh) <= 0;
}

/* Ranges of both, which are sorted and disjoint: one pass over the two. */
static void
meet_ranges(MgColumnCondition *c, const MgColumnCondition *a, const MgColumnCondition *b)
{
	int i = 0, j = 0;

	c->range = palloc(sizeof(Range) * (a->n + b->n + 1));
	while (i < a->n && j < b->n)
	{
		if (meet(c, &a->range[i], &b->range[j], &c->range[c->n]))
			c->n++;
		if (narrower(c, &a->range[i], &b->range[j], false))
			i++;
		else
			j++;
	}
}

static Range *
both_holes(const MgColumnCondition *a, const MgColumnCondition *b, int *n)
{
	Range *hole = palloc(sizeof(Range) * (a->nholes + b->nholes + 1));

	if (a->nholes > 0)
		memcpy(hole, a->hole, sizeof(Range) * a->nholes);
	if (b->nholes > 0)
		memcpy(hole + a->nholes, b->hole, sizeof(Range) * b->nholes);
	*n = order_ranges(hole, a->nholes + b->nholes);
	return hole;
}

MgColumnCondition *
mg_condition_both(const MgColumnCondition *a, const MgColumnCondition *b)
{
	MgColumnCondition *c = palloc(sizeof(MgColumnCondition));

	Assert(a->core == b->core);
	*c = *a;
	c->null = a->null && b->null;
	if (a->label != NULL)
	{
		c->label = palloc(sizeof(bool) * ((Size) a->domain->nlabels + 1));
		for (uint32 i = 0; i <= a->domain->nlabels; i++)
			c->label[i] = a->label[i] && b->label[i];
		return c;
	}
	c->anywhere = a->anywhere && b->anywhere;
	c->n = c->room = 0;
	if (!a->anywhere && !b->anywhere)
		meet_ranges(c, a, b);
	else if (!c->anywhere)
	{
		c->range = a->anywhere ? b->range : a->range;
		c->n = a->anywhere ? b->n : a->n;
	}
	c->hole = both_holes(a, b, &c->nholes);
	set_allowed(c);
	if (c->nallowed > MG_CONDITION_INTERVALS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("condition on column \"%s\" comes to more than %d ranges", c->name, MG_CONDITION_INTERVALS),
				 errhint("The grant's condition on the column is joined with the call's.")));
	return c;
}

mg_condition
mg_condition_core(const MgColumnCondition *c)
{
	return (mg_condition){.col = (uint32_t) c->core,
						  .null = c->null,
						  .label = c->label,
						  .interval = c->allowed,
						  .nintervals = (uint32_t) c->nallowed};
}

/* ---------------------------------------------------------------- decimals */

/* The last of n sorted ranges that begins at or below the point, or NULL. */
static const Range *
range_below(const Range *range, int n, double point)
{
	int low = 0, high = n;

	while (low < high)
	{
		int middle = (low + high) / 2;

		if (range[middle].low <= point)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 ? &range[low - 1] : NULL;
}

/* Is d, decoded from a point within `in` (NULL: anywhere) and between two holes (NULL: none), where it belongs? */
static bool
belongs(Datum d, const Range *in, const Range *before, const Range *after)
{
	if (in != NULL && ((!isinf(in->low) && compare_numeric(d, in->dlow) < 0) ||
					   (!isinf(in->high) && compare_numeric(d, in->dhigh) > 0)))
		return false;
	return (before == NULL || compare_numeric(d, before->dhigh) > 0) &&
		   (after == NULL || compare_numeric(d, after->dlow) < 0);
}

/*
 * The shortest decimal that reads back as the point names it alone among doubles. An end's own double is the nearest to
 * its decimals, and reading is monotone, so that decimal is on the same side of the end as the point is, whenever the
 * two doubles differ; where they are one, the end itself is meant. No point is a hole's end, so whatever reads as the
 * point is on the right side of every hole.
 */
Datum
mg_condition_fit(const MgColumnCondition *c, Datum d, double point)
{
	const Range *in = range_below(c->range, c->n, point), *before = range_below(c->hole, c->nholes, point);
	const Range *after = before != NULL ? before + 1 : c->hole;
	Datum exact;

	if (c->nholes == 0 || after == c->hole + c->nholes)
		after = NULL;
	if ((in == NULL && !c->anywhere) || belongs(d, in, before, after))
		return d;
	if (in != NULL && point == in->low)
		return datumCopy(in->dlow, false, -1);
	if (in != NULL && point == in->high)
		return datumCopy(in->dhigh, false, -1);
	exact = DirectFunctionCall3(numeric_in, CStringGetDatum(mg_value_text(MG_TYPE_FLOAT8, Float8GetDatum(point))),
								ObjectIdGetDatum(InvalidOid), Int32GetDatum(c->typmod));
	if (in == NULL || belongs(exact, in, before, after))
		return exact;
	return datumCopy(isinf(in->high) || (!isinf(in->low) && compare_numeric(exact, in->dlow) < 0) ? in->dlow
																								  : in->dhigh,
					 false, -1);
}
