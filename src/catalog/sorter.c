/*
 * catalog/sorter.c: the server's own sort, for verification, which compares tables of any size with one another in
 * bounded memory: what is put in is kept in work_mem at most, and else in temporary files that the server removes.
 *
 * The plans of SQL would do the same as long as the planner knows how large the tables are; here nothing depends on
 * statistics, which nobody may have gathered.
 */
#include "postgres.h"

#include "access/tupdesc.h"
#include "catalog/pg_collation_d.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "catalog/sorter.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/tuplesort.h"

struct MgSorter
{
	TupleDesc desc;
	TupleTableSlot *in, *out;
	Tuplesortstate *sort;
	MgSorted row;
	bool there; /* a row */
};

static Oid
less_operator(Oid type)
{
	switch (type)
	{
		case INT8OID:
			return Int8LessOperator;
		case INT4OID:
			return Int4LessOperator;
		case TEXTOID:
			return TextLessOperator;
		default:
			elog(ERROR, "nothing is sorted by type %u", type);
	}
	return InvalidOid;
}

MgSorter *
mg_sorter_begin(int ncolumns, const Oid *types, int nkeys)
{
	MgSorter *s = palloc0(sizeof(MgSorter));
	AttrNumber number[MG_SORTER_COLUMNS];
	Oid less[MG_SORTER_COLUMNS], collation[MG_SORTER_COLUMNS];
	bool nulls_first[MG_SORTER_COLUMNS] = {false};

	Assert(ncolumns <= MG_SORTER_COLUMNS && nkeys <= ncolumns);
	s->desc = CreateTemplateTupleDesc(ncolumns);
	for (int i = 0; i < ncolumns; i++)
		TupleDescInitEntry(s->desc, (AttrNumber) (i + 1), NULL, types[i], -1, 0);
	for (int i = 0; i < nkeys; i++)
	{
		number[i] = (AttrNumber) (i + 1);
		less[i] = less_operator(types[i]);
		collation[i] = types[i] == TEXTOID ? C_COLLATION_OID : InvalidOid;
	}
	s->in = MakeSingleTupleTableSlot(s->desc, &TTSOpsVirtual);
	s->out = MakeSingleTupleTableSlot(s->desc, &TTSOpsMinimalTuple);
	/* the last argument: no random access, by its name in each version */
	s->sort = tuplesort_begin_heap(s->desc, nkeys, number, less, collation, nulls_first, work_mem, NULL, 0);
	return s;
}

void
mg_sorter_put(MgSorter *s, const Datum *values, const bool *nulls)
{
	size_t n = (size_t) s->desc->natts;

	ExecClearTuple(s->in);
	memcpy(s->in->tts_values, values, n * sizeof(Datum));
	memcpy(s->in->tts_isnull, nulls, n * sizeof(bool));
	ExecStoreVirtualTuple(s->in);
	tuplesort_puttupleslot(s->sort, s->in);
}

void
mg_sorter_sort(MgSorter *s)
{
	tuplesort_performsort(s->sort);
}

const MgSorted *
mg_sorter_next(MgSorter *s)
{
	s->there = tuplesort_gettupleslot(s->sort, true, false, s->out, NULL);
	if (s->there)
	{
		slot_getallattrs(s->out);
		s->row.values = s->out->tts_values;
		s->row.nulls = s->out->tts_isnull;
	}
	return mg_sorter_row(s);
}

const MgSorted *
mg_sorter_row(const MgSorter *s)
{
	return s->there ? &s->row : NULL;
}

void
mg_sorter_end(MgSorter *s)
{
	ExecDropSingleTupleTableSlot(s->in);
	ExecDropSingleTupleTableSlot(s->out);
	tuplesort_end(s->sort);
	FreeTupleDesc(s->desc);
	pfree(s);
}
