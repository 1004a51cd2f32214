/*
 * emit/foreign_analyze.c: ANALYZE of foreign tables.
 *
 * The server runs it as the table's owner, and so are the model's rights asked for: what lands in pg_statistic is made
 * of rows that the owner could read, and whoever may read the table's columns may read it, as with any table. A sample
 * is one release of as many rows as it has. Blocks are functions of their numbers, so a sample draws some of them,
 * spread evenly, instead of all.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/catalog.h"
#include "emit/emit.h"
#include "emit/foreign.h"
#include "miscadmin.h"
#include "num/rng.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#define LEAST_BLOCKS 64 /* that a sample draws, where there are so many */

typedef struct Sample
{
	uint64 total, size; /* rows of the table, of the sample */
	uint64 blocks;      /* that rows are taken from: block k is in the k-th of as many equal parts of the table */
	mg_rng rng;
} Sample;

/* The rows of one part: k of `n` rows from `first`, each k-subset equally likely, in order (Knuth's algorithm S). */
static int
take_part(Sample *s, MgRows *rows, TupleDesc desc, const int *attrs, uint64 first, uint64 n, uint64 k, HeapTuple *out)
{
	Datum *values = palloc0(sizeof(Datum) * desc->natts), *made = palloc(sizeof(Datum) * desc->natts);
	bool *nulls = palloc(sizeof(bool) * desc->natts), *made_nulls = palloc(sizeof(bool) * desc->natts);
	int taken = 0;

	memset(nulls, true, sizeof(bool) * desc->natts);
	for (uint64 i = 0; i < n && (uint64) taken < k; i++)
	{
		if (mg_rng_unit(&s->rng) * (double) (n - i) >= (double) (k - taken))
			continue;
		mg_rows_seek(rows, first + i);
		if (!mg_rows_fill(rows, made, made_nulls))
			break;
		for (int a = 0; attrs[a] > 0; a++)
		{
			values[attrs[a] - 1] = made[a];
			nulls[attrs[a] - 1] = made_nulls[a];
		}
		out[taken++] = heap_form_tuple(desc, values, nulls);
	}
	return taken;
}

/* Where every block is drawn, each gives its share of rows, the last may be short; else all give as many. */
static uint64
share_of(const Sample *s, bool every, uint64 part)
{
	uint64 to = Min(s->total, (part + 1) * MG_BATCH_ROWS);

	if (!every)
		return s->size * (part + 1) / s->blocks - s->size * part / s->blocks;
	return s->size * to / s->total - s->size * (part * MG_BATCH_ROWS) / s->total;
}

static int
take_sample(Sample *s, MgRows *rows, TupleDesc desc, const int *attrs, HeapTuple *out)
{
	uint64 all = (s->total + MG_BATCH_ROWS - 1) / MG_BATCH_ROWS;
	int taken = 0;

	s->blocks = Min(all, Max(LEAST_BLOCKS, 2 * s->size / MG_BATCH_ROWS));
	if (s->blocks == 0)
		return 0;
	for (uint64 part = 0; part < s->blocks; part++)
	{
		uint64 from = all / s->blocks * part + Min(part, all % s->blocks);
		uint64 width = all / s->blocks + (part < all % s->blocks);
		uint64 first = (from + (uint64) (mg_rng_unit(&s->rng) * (double) width)) * MG_BATCH_ROWS;
		uint64 n = Min(s->total - first, MG_BATCH_ROWS), k = share_of(s, s->blocks == all, part);

		taken += take_part(s, rows, desc, attrs, first, n, Min(k, n), out + taken);
	}
	return taken;
}

static int *
all_attributes(TupleDesc desc, int *n)
{
	int *attrs = palloc0(sizeof(int) * (desc->natts + 1));

	*n = 0;
	for (int i = 1; i <= desc->natts; i++)
		if (!TupleDescAttr(desc, i - 1)->attisdropped)
			attrs[(*n)++] = i;
	return attrs;
}

static int
acquire_rows(Relation relation, int elevel, HeapTuple *out, int most, double *total, double *dead)
{
	MgForeignOptions options = mg_foreign_options(RelationGetRelid(relation));
	TupleDesc desc = RelationGetDescr(relation);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_mirage sample", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	int natts, taken;
	int *attrs = all_attributes(desc, &natts);
	TupleDesc shape = mg_foreign_shape(RelationGetRelid(relation), desc, attrs, natts);
	MgRelease *release = mg_foreign_open(&options, GetUserId(), shape, false);
	MgRows *rows = mg_rows_create(release, shape, true, NULL, 0);
	Sample s = {.total = (uint64) mg_release_rows(release)};

	s.size = Min(s.total, (uint64) most);
	mg_rng_seed(&s.rng, (uint64) options.seed);
	mg_release_set_sample(release, (int64) s.size);
	mg_rows_begin(rows);
	MemoryContextSwitchTo(old);
	taken = take_sample(&s, rows, desc, attrs, out);
	MemoryContextDelete(context);
	*total = (double) s.total;
	*dead = 0;
	ereport(elevel, (errmsg("\"%s\": %d of %.0f rows of model \"%s\" in the sample", RelationGetRelationName(relation),
							taken, *total, options.model)));
	return taken;
}

/* Asked for before the server turns into the table's owner. Without the right there is nothing to analyze: a warning.
 */
bool
mg_foreign_analyze(Relation relation, AcquireSampleRowsFunc *acquire, BlockNumber *pages)
{
	MgForeignOptions options = mg_foreign_options(RelationGetRelid(relation));
	MgModel *model = mg_model_find(options.model);

	if (model == NULL || !mg_may_release(model, relation->rd_rel->relowner))
		return false;
	*acquire = acquire_rows;
	/* nothing is read from anywhere: a page, so that the table does not count as empty */
	*pages = 1;
	return true;
}
