/*
 * emit/rows.c: from batches of a model to tuples of the caller's shape.
 *
 * Only the columns that the shape names are sampled and decoded. They are given to the decoder in the shape's order, so
 * that where no attribute is missing and none needs a conversion, a row is decoded straight into the arrays that the
 * tuple is formed from.
 *
 * Where a hash of the rows is asked for, it is over all attributes of the shape that are made here, row by row as they
 * leave; with the last row it is recorded, so that whoever stops before leaves none.
 *
 * Memory: values of a row are made in `row_context`, which is reset before every RESET_ROWS-th row.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "emit/convert.h"
#include "emit/emit.h"
#include "funcapi.h"
#include "pg/rowhash.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define RESET_ROWS 64
#define MOST_NAMES_BYTES 800 /* of a hint that lists columns */

/* One attribute of the shape: a column of the decoder, converted where that is needed; or NULL. */
typedef struct Output
{
	int decoded; /* index into MgRows.used; -1: NULL */
	MgConversion *conversion;
} Output;

struct MgRows
{
	MgRelease *release;
	TupleDesc desc;
	MgColumns used; /* what is decoded, in the shape's order */
	MgDecoder *decoder;
	const uint64 *identifiers; /* [noutputs] how many came before; NULL: none */
	int noutputs;
	const int *attrs; /* [noutputs]; NULL: all */
	Output *output;
	bool direct; /* output i is decoded column i as it is */
	MemoryContext row_context;
	Datum *decoded, *values; /* the same array where direct; likewise the flags */
	bool *decoded_nulls, *nulls;
	const mg_batch *batch;
	uint32 next; /* row of the batch; of its list of rows, where it has one */
	uint64 first;
	MemoryContext hash_context;
	MgRowHash *hash; /* NULL: not asked for, or recorded */
};

TupleDesc
mg_rows_record(const MgRelease *release)
{
	const MgColumns *columns = mg_release_columns(release);
	TupleDesc desc = CreateTemplateTupleDesc(columns->n);

	for (int i = 0; i < columns->n; i++)
	{
		const MgColumn *c = &columns->col[i];

		/* not as a domain: nobody named it, so its constraints are neither run nor broken */
		TupleDescInitEntry(desc, (AttrNumber) (i + 1), c->name, c->base, c->base_typmod, 0);
	}
	return BlessTupleDesc(desc);
}

/* ---------------------------------------------------------------- shapes */

char *
mg_rows_column_names(const MgColumns *columns)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < columns->n && buf.len < MOST_NAMES_BYTES; i++)
		appendStringInfo(&buf, "%s%s", i == 0 ? "" : ", ", quote_identifier(columns->col[i].name));
	if (buf.len >= MOST_NAMES_BYTES)
		appendStringInfoString(&buf, ", ...");
	return buf.data;
}

/* An attribute that stays NULL must be of a type that allows it. */
static void
check_null_output(Form_pg_attribute att)
{
	if (get_typtype(att->atttypid) == TYPTYPE_DOMAIN)
		domain_check((Datum) 0, true, att->atttypid, NULL, NULL);
}

/* The column behind an attribute, NULL where it stays NULL; *conversion: how it becomes the attribute. */
static const MgColumn *
resolve_attribute(const MgRows *rows, int attnum, bool must_exist, MgConversion **conversion)
{
	Form_pg_attribute att = TupleDescAttr(rows->desc, attnum - 1);
	const char *name = NameStr(att->attname), *model = mg_release_model_name(rows->release);
	const MgColumn *c;

	*conversion = NULL;
	if (att->attisdropped)
		return NULL;
	c = mg_columns_find(mg_release_columns(rows->release), name);
	if (c == NULL && must_exist)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN), errmsg("model \"%s\" has no column \"%s\"", model, name),
						errhint("Its columns are %s.", mg_rows_column_names(mg_release_columns(rows->release)))));
	if (c == NULL)
		check_null_output(att);
	else
		*conversion = mg_conversion_create(rows->release, c, att);
	return c;
}

/* Checks all attributes; returns how many of them the model has. */
static int
check_attributes(const MgRows *rows, bool must_exist)
{
	MgConversion *conversion;
	int found = 0;

	for (int i = 1; i <= rows->desc->natts; i++)
		found += resolve_attribute(rows, i, must_exist, &conversion) != NULL;
	return found;
}

static void
add_output(MgRows *rows, int attnum, bool must_exist)
{
	Output *out = &rows->output[rows->noutputs++];
	const MgColumn *c = resolve_attribute(rows, attnum, must_exist, &out->conversion);

	out->decoded = c == NULL ? -1 : rows->used.n;
	if (c != NULL)
		rows->used.col[rows->used.n++] = *c;
}

/* May values be decoded straight into the arrays that rows are formed from? */
static bool
is_direct(const MgRows *rows)
{
	for (int i = 0; i < rows->noutputs; i++)
		if (rows->output[i].decoded != i || rows->output[i].conversion != NULL)
			return false;
	return true;
}

MgRows *
mg_rows_create(MgRelease *release, TupleDesc desc, bool must_exist, const int *attrs, int nattrs)
{
	MgRows *rows = palloc0(sizeof(MgRows));
	int n = attrs == NULL ? desc->natts : nattrs, room = Max(n, 1);

	rows->release = release;
	rows->desc = desc;
	rows->attrs = attrs;
	if (check_attributes(rows, must_exist) == 0 && !must_exist)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("type %s has no column of model \"%s\"", format_type_be(desc->tdtypeid),
						mg_release_model_name(release)),
				 errhint(
					 "Give a row of the type to make as NULL::type, usually of the table the model was trained on.")));
	rows->used.ncore = mg_release_columns(release)->ncore;
	rows->used.col = palloc0(sizeof(MgColumn) * room);
	rows->output = palloc0(sizeof(Output) * room);
	for (int i = 0; i < n; i++)
		add_output(rows, attrs == NULL ? i + 1 : attrs[i], must_exist);
	rows->direct = is_direct(rows);
	rows->hash_context = AllocSetContextCreate(CurrentMemoryContext, "pg_mirage hash", ALLOCSET_DEFAULT_SIZES);
	rows->row_context = AllocSetContextCreate(CurrentMemoryContext, "pg_mirage row", ALLOCSET_DEFAULT_SIZES);
	rows->values = palloc0(sizeof(Datum) * room);
	rows->nulls = palloc0(sizeof(bool) * room);
	rows->decoded = rows->direct ? rows->values : palloc0(sizeof(Datum) * room);
	rows->decoded_nulls = rows->direct ? rows->nulls : palloc0(sizeof(bool) * room);
	return rows;
}

/* ---------------------------------------------------------------- the hash */

/* From nothing, also where rows were hashed before. */
static void
start_hash(MgRows *rows)
{
	MemoryContext old;

	MemoryContextReset(rows->hash_context);
	old = MemoryContextSwitchTo(rows->hash_context);
	rows->hash = mg_row_hash_create(rows->desc, rows->attrs, rows->noutputs);
	MemoryContextSwitchTo(old);
}

/* All rows have been hashed. */
static void
record_hash(MgRows *rows)
{
	char hash[MG_ROWS_HASH_SIZE];

	mg_row_hash_finish(rows->hash, hash);
	rows->hash = NULL;
	mg_release_record_hash(rows->release, hash);
}

const MgColumn *
mg_rows_column(const MgRows *rows, int k)
{
	const Output *out = &rows->output[k];

	return out->decoded < 0 || out->conversion != NULL ? NULL : &rows->used.col[out->decoded];
}

void
mg_rows_continue(MgRows *rows, const uint64 *first)
{
	rows->identifiers = first;
}

void
mg_rows_begin(MgRows *rows)
{
	mg_release_begin(rows->release, &rows->used);
	rows->decoder = mg_release_decoder(rows->release, &rows->used);
	if (mg_release_hashes(rows->release))
		start_hash(rows);
	for (int i = 0; rows->identifiers != NULL && i < rows->noutputs; i++)
		if (rows->output[i].decoded >= 0)
			mg_decoder_continue(rows->decoder, rows->output[i].decoded, rows->identifiers[i]);
}

void
mg_rows_rewind(MgRows *rows)
{
	mg_release_rewind(rows->release);
	rows->batch = NULL;
	if (rows->hash != NULL)
		start_hash(rows);
}

/* ---------------------------------------------------------------- rows */

/* Converts and places the decoded values of a row of the batch; in the row's context. */
static void
convert_row(MgRows *rows, uint32 row)
{
	for (int i = 0; i < rows->noutputs; i++)
	{
		const Output *out = &rows->output[i];

		if (out->decoded < 0)
		{
			rows->values[i] = (Datum) 0;
			rows->nulls[i] = true;
		}
		else
		{
			rows->values[i] = rows->decoded[out->decoded];
			rows->nulls[i] = rows->decoded_nulls[out->decoded];
			if (out->conversion != NULL)
				mg_convert(out->conversion, rows->batch, row, rows->first + row, &rows->values[i], &rows->nulls[i]);
		}
	}
}

/* The next row into values and nulls; what they point to lives until the next call. False at the end. */
static inline bool
advance(MgRows *rows)
{
	MemoryContext old;
	uint32 row;

	while (rows->batch == NULL || rows->next >= (rows->batch->row != NULL ? rows->batch->nrows : rows->batch->rows))
	{
		rows->batch = mg_release_next(rows->release, &rows->first);
		rows->next = 0;
		if (rows->batch == NULL)
		{
			if (rows->hash != NULL)
				record_hash(rows); /* of no rows */
			return false;
		}
	}
	row = rows->batch->row != NULL ? rows->batch->row[rows->next] : rows->next;
	if (rows->next % RESET_ROWS == 0)
		MemoryContextReset(rows->row_context);
	old = MemoryContextSwitchTo(rows->row_context);
	mg_decoder_row(rows->decoder, rows->batch, row, rows->first + row, rows->decoded, rows->decoded_nulls);
	if (!rows->direct)
		convert_row(rows, row);
	MemoryContextSwitchTo(old);
	if (rows->hash != NULL)
	{
		mg_row_hash_add(rows->hash, rows->values, rows->nulls);
		if (mg_row_hash_rows(rows->hash) == mg_release_rows(rows->release))
			record_hash(rows);
	}
	rows->next++;
	return true;
}

bool
mg_rows_fill(MgRows *rows, Datum *values, bool *nulls)
{
	if (!advance(rows))
		return false;
	memcpy(values, rows->values, sizeof(Datum) * rows->noutputs);
	memcpy(nulls, rows->nulls, sizeof(bool) * rows->noutputs);
	return true;
}

void
mg_rows_seek(MgRows *rows, uint64 row)
{
	if (rows->batch == NULL || row < rows->first || row - rows->first >= rows->batch->rows)
	{
		mg_release_seek(rows->release, row);
		rows->batch = mg_release_next(rows->release, &rows->first);
	}
	rows->next = (uint32) (row - rows->first);
}

bool
mg_rows_next(MgRows *rows, Datum *row)
{
	if (!advance(rows))
		return false;
	*row = HeapTupleGetDatum(heap_form_tuple(rows->desc, rows->values, rows->nulls));
	return true;
}

uint64
mg_rows_store_some(MgRows *rows, Tuplestorestate *store, uint64 most)
{
	uint64 n = 0;

	for (; n < most && advance(rows); n++)
		tuplestore_putvalues(store, rows->desc, rows->values, rows->nulls);
	return n;
}

void
mg_rows_store(MgRows *rows, Tuplestorestate *store)
{
	(void) mg_rows_store_some(rows, store, PG_UINT64_MAX);
}
