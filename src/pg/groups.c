/*
 * pg/groups.c: see groups.h. Hot: a million rows by fifteen columns are read in seconds, so that numbers of number
 * types go straight to their group, and whatever needs a text does it once for each distinct value in a while: a small
 * direct-mapped cache a column keeps (bytes, group).
 *
 * What single values need is allocated in a scratch context that is reset every few rows.
 */
#include "postgres.h"

#include <ctype.h>
#include <math.h>

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "common/shortest_dec.h"
#include "pg/compat.h"
#include "pg/groups.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* ---------------------------------------------------------------- bundles */

#define BUNDLE_VERSION 1

/* Names of classes, as they are stored: never to be changed. */
static const struct
{
	MgTypeClass cls;
	const char *name;
} class_names[] = {{MG_TYPE_BOOL, "boolean"},      {MG_TYPE_INT2, "smallint"},
				   {MG_TYPE_INT4, "integer"},      {MG_TYPE_INT8, "bigint"},
				   {MG_TYPE_FLOAT4, "real"},       {MG_TYPE_FLOAT8, "double precision"},
				   {MG_TYPE_NUMERIC, "numeric"},   {MG_TYPE_TEXT, "text"},
				   {MG_TYPE_BPCHAR, "character"},  {MG_TYPE_ENUM, "enum"},
				   {MG_TYPE_DATE, "date"},         {MG_TYPE_TIME, "time"},
				   {MG_TYPE_INTERVAL, "interval"}, {MG_TYPE_TIMESTAMP, "timestamp"},
				   {MG_TYPE_UUID, "uuid"},         {MG_TYPE_TIMESTAMPTZ, "timestamptz"}};

static const char *
class_name(MgTypeClass cls)
{
	for (size_t i = 0; i < lengthof(class_names); i++)
		if (class_names[i].cls == cls)
			return class_names[i].name;
	return "";
}

static MgTypeClass
class_of_name(const char *name, size_t len)
{
	for (size_t i = 0; i < lengthof(class_names); i++)
		if (strlen(class_names[i].name) == len && memcmp(class_names[i].name, name, len) == 0)
			return class_names[i].cls;
	return MG_TYPE_NONE;
}

mg_code
mg_mark_bundle_write(mg_ctx *ctx, const mg_mark_plan *plan, const MgColumns *columns, mg_writer *w)
{
	mg_put_u16(w, BUNDLE_VERSION);
	mg_put_u32(w, plan->ncolumns);
	for (uint32 core = 0; core < plan->ncolumns; core++)
	{
		const char *name = "";

		for (int i = 0; i < columns->n; i++)
			if (columns->col[i].core == (int) core)
				name = class_name(mg_type_class(columns->col[i].base));
		mg_put_str(w, name, strlen(name));
	}
	mg_mark_plan_write(plan, w);
	return w->failed ? mg_fail(ctx, MG_NOMEM, "out of memory") : MG_OK;
}

static mg_code
corrupt(mg_ctx *ctx)
{
	return mg_fail(ctx, MG_CORRUPT, "the plan of a watermark is damaged");
}

mg_code
mg_mark_bundle_read(mg_ctx *ctx, const void *data, size_t len, MgMarkBundle *out)
{
	mg_reader r;
	uint32 n;

	mg_reader_init(&r, data, len);
	if (mg_get_u16(&r) != BUNDLE_VERSION)
		return corrupt(ctx);
	n = mg_get_count(&r, sizeof(uint32));
	if (r.failed || n > MG_MAX_COLUMNS)
		return corrupt(ctx);
	out->cls = palloc(sizeof(MgTypeClass) * Max(n, 1));
	for (uint32 i = 0; i < n; i++)
	{
		size_t size;
		const char *name = mg_get_str(&r, &size);

		out->cls[i] = name != NULL ? class_of_name(name, size) : MG_TYPE_NONE;
	}
	if (r.failed)
		return corrupt(ctx);
	MG_TRY(mg_mark_plan_read(ctx, r.data + r.pos, mg_reader_left(&r), &out->plan));
	if (out->plan->ncolumns == n)
		return MG_OK;
	mg_mark_plan_destroy(out->plan);
	out->plan = NULL;
	return corrupt(ctx);
}

/* ---------------------------------------------------------------- columns */

typedef enum GroupOp
{
	GROUP_ABSENT,
	GROUP_POINT,  /* a number's value, of a type that lies on the same axis */
	GROUP_TEXT,   /* a text type: by its bytes, cached */
	GROUP_DATUM,  /* passed by value: by the value, cached */
	GROUP_GENERAL /* by the value, each time */
} GroupOp;

#define CACHE_SLOTS 512 /* a power of two */
#define CACHE_BYTES 23

typedef struct CacheSlot
{
	uint8 len; /* UINT8_MAX: empty; of a Datum, its size */
	char bytes[CACHE_BYTES];
	uint8 group;
} CacheSlot;

typedef struct GroupColumn
{
	GroupOp op;
	int attr;
	const mg_mark_column *plan;
	MgTypeClass cls;  /* the model's */
	MgTypeClass from; /* the query's; MG_TYPE_NONE: any other, by its output function */
	FmgrInfo output;
	CacheSlot *cache; /* [CACHE_SLOTS] of GROUP_TEXT, GROUP_DATUM */
	uint8 *group;     /* [MG_GROUP_ROWS] */
} GroupColumn;

struct MgGroups
{
	uint32 ncolumns, rows;
	GroupColumn *column; /* [ncolumns] */
	const uint8 **group; /* [ncolumns] */
	MemoryContext scratch;
};

#define SCRATCH_ROWS 64 /* a power of two */

static bool
same_axis(MgTypeClass a, MgTypeClass b)
{
	return (MG_TYPE_IS_NUMBER(a) && MG_TYPE_IS_NUMBER(b)) || (MG_TYPE_IS_TIME(a) && a == b);
}

static void
column_init(GroupColumn *c, const mg_mark_column *plan, MgTypeClass cls, Form_pg_attribute attr)
{
	int32 typmod = attr->atttypmod;
	Oid base = getBaseTypeAndTypmod(attr->atttypid, &typmod), output;
	bool varlena;

	c->plan = plan;
	c->cls = cls;
	c->from = mg_type_class(base);
	c->group = palloc(MG_GROUP_ROWS);
	getTypeOutputInfo(base, &output, &varlena);
	fmgr_info(output, &c->output);
	if (plan->kind == MG_NUMBER && same_axis(cls, c->from))
		c->op = GROUP_POINT;
	else if (MG_TYPE_IS_TEXT(c->from))
		c->op = GROUP_TEXT;
	else
		c->op = attr->attbyval ? GROUP_DATUM : GROUP_GENERAL;
	if (c->op == GROUP_TEXT || c->op == GROUP_DATUM)
	{
		c->cache = palloc(sizeof(CacheSlot) * CACHE_SLOTS);
		for (int i = 0; i < CACHE_SLOTS; i++)
			c->cache[i].len = UINT8_MAX;
	}
}

MgGroups *
mg_groups_create(const MgMarkBundle *bundle, TupleDesc desc, const int *attr)
{
	MgGroups *g = palloc0(sizeof(MgGroups));
	uint32 n = bundle->plan->ncolumns;

	g->ncolumns = n;
	g->column = palloc0(sizeof(GroupColumn) * Max(n, 1));
	g->group = palloc0(sizeof(uint8 *) * Max(n, 1));
	g->scratch = AllocSetContextCreate(CurrentMemoryContext, "pg_mirage groups", ALLOCSET_DEFAULT_SIZES);
	for (uint32 i = 0; i < n; i++)
	{
		GroupColumn *c = &g->column[i];

		c->attr = attr[i];
		if (attr[i] < 0)
			continue;
		column_init(c, &bundle->plan->column[i], bundle->cls[i], TupleDescAttr(desc, attr[i]));
		g->group[i] = c->group;
	}
	return g;
}

uint32
mg_groups_rows(const MgGroups *g)
{
	return g->rows;
}

const uint8 *const *
mg_groups_columns(const MgGroups *g)
{
	return g->group;
}

void
mg_groups_clear(MgGroups *g)
{
	g->rows = 0;
}

/* The model's column of class real saw singles: breaks may lie on one. */
static inline uint8
number_group(const GroupColumn *c, double v)
{
	return mg_mark_number_group(c->plan, c->cls == MG_TYPE_FLOAT4 ? (double) (float) v : v);
}

/* ---------------------------------------------------------------- texts */

#define NUMBER_TEXT 64 /* longer ones are no numbers */

static bool
parse_number(const char *s, double *v)
{
	char *end;

	if (*s == '\0')
		return false;
	*v = strtod(s, &end);
	return *end == '\0' && isfinite(*v);
}

static Oid
time_type(MgTypeClass cls)
{
	switch (cls)
	{
		case MG_TYPE_DATE:
			return DATEOID;
		case MG_TYPE_TIME:
			return TIMEOID;
		case MG_TYPE_TIMESTAMP:
			return TIMESTAMPOID;
		case MG_TYPE_TIMESTAMPTZ:
			return TIMESTAMPTZOID;
		default:
			return INTERVALOID;
	}
}

/* The point of a text on the axis of a class. */
static bool
text_point(MgTypeClass cls, char *s, double *v)
{
	Datum value;
	bool b;

	if (MG_TYPE_IS_NUMBER(cls))
	{
		if (parse_number(s, v))
			return true;
		if (!parse_bool(s, &b))
			return false;
		*v = b;
		return true;
	}
	return MG_TYPE_IS_TIME(cls) && mg_input_softly(time_type(cls), s, &value) && mg_axis_value(cls, value, v);
}

/* How the model's labels of a number type write v. */
static char *
number_label(MgTypeClass cls, double v)
{
	char buf[DOUBLE_SHORTEST_DECIMAL_LEN];

	if (v == rint(v) && fabs(v) < 1e15)
		return psprintf(INT64_FORMAT, (int64) v);
	if (cls == MG_TYPE_FLOAT4)
		float_to_shortest_decimal_buf((float) v, buf);
	else
		double_to_shortest_decimal_buf(v, buf);
	return pstrdup(buf);
}

/* A text as the model's labels are written; NULL: it cannot be a value of the class. */
static char *
text_label(MgTypeClass cls, char *s)
{
	Datum value;
	double v;
	bool b;

	if (MG_TYPE_IS_NUMBER(cls))
		return text_point(cls, s, &v) ? number_label(cls, v) : NULL;
	if (MG_TYPE_IS_TIME(cls))
		return mg_input_softly(time_type(cls), s, &value) ? mg_value_text(cls, value) : NULL;
	if (cls == MG_TYPE_BOOL)
		return parse_bool(s, &b) ? pstrdup(b ? "true" : "false") : NULL;
	if (cls == MG_TYPE_UUID)
		return mg_input_softly(UUIDOID, s, &value) ? mg_value_text(cls, value) : NULL;
	return s;
}

static bool
has_label(const mg_mark_column *c, const char *s, size_t len)
{
	uint64 hash = mg_mark_label_hash(s, len);
	uint32 low = 0, high = c->nlabels;

	while (low < high)
	{
		uint32 middle = (low + high) / 2;

		if (c->label[middle] < hash)
			low = middle + 1;
		else
			high = middle;
	}
	return low < c->nlabels && c->label[low] == hash;
}

/* Its group, as a text of `len` bytes that ends with NUL; blanks around it do not count where it is no label so. */
static uint8
text_group(const GroupColumn *c, char *s, size_t len)
{
	bool is_text = MG_TYPE_IS_TEXT(c->cls) || c->cls == MG_TYPE_ENUM;
	double v;

	if (c->plan->kind == MG_CATEGORY && is_text && has_label(c->plan, s, len))
		return mg_mark_text_group(c->plan, s, len);
	while (len > 0 && isspace((unsigned char) s[len - 1]))
		s[--len] = '\0';
	while (len > 0 && isspace((unsigned char) *s))
	{
		s++;
		len--;
	}
	if (len == 0 && !(c->plan->kind == MG_CATEGORY && is_text && has_label(c->plan, s, 0)))
		return c->plan->null_group;
	if (c->plan->kind == MG_NUMBER)
		return len <= NUMBER_TEXT && text_point(c->cls, s, &v) ? number_group(c, v) : MG_MARK_MISSING;
	if (!is_text && len > NUMBER_TEXT)
		return MG_MARK_MISSING;
	s = text_label(c->cls, s);
	return s != NULL ? mg_mark_text_group(c->plan, s, strlen(s)) : MG_MARK_MISSING;
}

/* ---------------------------------------------------------------- values */

/* The point of a value of another type on the axis of the model's: dates and timestamps, booleans. */
static bool
value_point(MgTypeClass cls, MgTypeClass from, Datum value, double *v)
{
	int overflow = 0;

	if (MG_TYPE_IS_NUMBER(cls) && from == MG_TYPE_BOOL)
	{
		*v = DatumGetBool(value);
		return true;
	}
	if (cls == MG_TYPE_TIMESTAMPTZ && from == MG_TYPE_TIMESTAMP && !TIMESTAMP_NOT_FINITE(DatumGetTimestamp(value)))
		*v = (double) timestamp2timestamptz_opt_overflow(DatumGetTimestamp(value), &overflow);
	else if (cls == MG_TYPE_TIMESTAMPTZ && from == MG_TYPE_DATE && !DATE_NOT_FINITE(DatumGetDateADT(value)))
		*v = (double) date2timestamptz_opt_overflow(DatumGetDateADT(value), &overflow);
	else if (MG_TYPE_HAS_AXIS(cls) && MG_TYPE_HAS_AXIS(from))
		return mg_axis_constant(cls, from, value, v);
	else
		return false;
	return overflow == 0;
}

static char *
value_text(GroupColumn *c, Datum value)
{
	if (c->from == MG_TYPE_NONE)
		return OutputFunctionCall(&c->output, value);
	return mg_value_text(c->from, value);
}

/* Any value; slow. In the scratch context. */
static uint8
value_group(GroupColumn *c, Datum value)
{
	char *text;
	double v;

	if (c->plan->kind == MG_CATEGORY && c->cls == c->from &&
		(!MG_TYPE_HAS_AXIS(c->cls) || mg_axis_value(c->cls, value, &v)))
	{
		text = mg_value_text(c->cls, value);
		return mg_mark_text_group(c->plan, text, strlen(text));
	}
	if (value_point(c->cls, c->from, value, &v))
	{
		if (c->plan->kind == MG_NUMBER)
			return number_group(c, v);
		if (MG_TYPE_IS_NUMBER(c->cls))
		{
			text = number_label(c->cls, v);
			return mg_mark_text_group(c->plan, text, strlen(text));
		}
	}
	else if (MG_TYPE_IS_NUMBER(c->from) && !mg_axis_value(c->from, value, &v))
		return MG_MARK_MISSING; /* NaN and infinities, which were coded as NULL */
	text = value_text(c, value);
	return text_group(c, text, strlen(text));
}

/* Its slot, which holds it or is to hold it. */
static inline CacheSlot *
cache_find(const GroupColumn *c, const char *bytes, size_t len, bool *found)
{
	CacheSlot *slot = &c->cache[hash_bytes((const unsigned char *) bytes, (int) len) & (CACHE_SLOTS - 1)];

	*found = slot->len == len && memcmp(slot->bytes, bytes, len) == 0;
	return slot;
}

static uint8
datum_group(GroupColumn *c, Datum value)
{
	bool found;
	CacheSlot *slot = cache_find(c, (const char *) &value, sizeof(value), &found);

	if (likely(found))
		return slot->group;
	slot->group = value_group(c, value);
	slot->len = sizeof(value);
	memcpy(slot->bytes, &value, sizeof(value));
	return slot->group;
}

static uint8
varlena_group(GroupColumn *c, Datum value)
{
	struct varlena *raw = (struct varlena *) DatumGetPointer(value);
	CacheSlot *slot;
	size_t len;
	char *copy;
	bool found;

	if (unlikely(VARATT_IS_EXTERNAL(raw) || VARATT_IS_COMPRESSED(raw)))
	{
		if (toast_raw_datum_size(value) - VARHDRSZ > MG_MAX_LABEL_BYTES)
			return c->plan->kind == MG_CATEGORY ? c->plan->other_group : MG_MARK_MISSING;
		raw = pg_detoast_datum_packed(raw);
	}
	len = VARSIZE_ANY_EXHDR(raw);
	if (len > CACHE_BYTES)
	{
		copy = pnstrdup(VARDATA_ANY(raw), len);
		return text_group(c, copy, len);
	}
	slot = cache_find(c, VARDATA_ANY(raw), len, &found);
	if (likely(found))
		return slot->group;
	copy = pnstrdup(VARDATA_ANY(raw), len);
	slot->group = text_group(c, copy, len);
	slot->len = (uint8) len;
	memcpy(slot->bytes, VARDATA_ANY(raw), len);
	return slot->group;
}

static inline uint8
point_group(const GroupColumn *c, Datum value)
{
	double v;

	if (!mg_axis_value(c->from, value, &v))
		return c->plan->null_group; /* as training codes what has no place on the axis */
	return number_group(c, v);
}

bool
mg_groups_row(MgGroups *g, const TupleTableSlot *slot)
{
	MemoryContext old = MemoryContextSwitchTo(g->scratch);

	for (GroupColumn *c = g->column, *end = c + g->ncolumns; c < end; c++)
	{
		uint8 group;
		Datum value;

		if (c->op == GROUP_ABSENT)
			continue;
		value = slot->tts_values[c->attr];
		if (slot->tts_isnull[c->attr])
			group = c->plan->null_group;
		else if (c->op == GROUP_POINT)
			group = point_group(c, value);
		else if (c->op == GROUP_TEXT)
			group = varlena_group(c, value);
		else
			group = c->op == GROUP_DATUM ? datum_group(c, value) : value_group(c, value);
		c->group[g->rows] = group;
	}
	MemoryContextSwitchTo(old);
	if ((++g->rows & (SCRATCH_ROWS - 1)) == 0)
		MemoryContextReset(g->scratch);
	return g->rows < MG_GROUP_ROWS;
}
