/*
 * pg/fkeys.c: see fkeys.h. Owner of all memory: the context current at the call; values that are looked at live in one
 * of their own.
 *
 * A foreign key promises nothing where it is not validated or not enforced, on a table with inheritance children (it
 * does not hold for their rows), under a nondeterministic collation (equal keys may look different), or, over several
 * columns, where one of them may be NULL (MATCH SIMPLE then checks none). Of a key of several columns each column gets
 * the values of its own; that only their combinations occur is not used.
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "pg/compat.h"
#include "pg/attribute.h"
#include "pg/fkeys.h"
#include "pg/server.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/* One value that was seen; the text is the label, v its place on the axis where it has one. */
typedef struct Key
{
	char *text;
	double v;
} Key;

/* What was seen of a public table's column. */
typedef struct Found
{
	MgTypeClass cls; /* of the public column */
	MemoryContext context;
	Key *key;
	int n, room;
	bool distinct;    /* the column is unique by itself */
	bool many;        /* more than MG_MAX_LABELS: none are kept any more */
	bool long_label;  /* one is longer than a label may be */
	bool off_axis;    /* one has no place on the axis */
	int64 rows;       /* that are not NULL */
	double low, high; /* of those on the axis */
} Found;

/* ---------------------------------------------------------------- reading */

static int
compare_keys(const void *a, const void *b)
{
	const Key *x = a, *y = b;

	if (x->v != y->v)
		return x->v < y->v ? -1 : 1;
	return strcmp(x->text, y->text);
}

/* In order, without repetitions. */
static void
compact(Found *f)
{
	int kept = 0;

	if (f->n == 0)
		return;
	qsort(f->key, f->n, sizeof(Key), compare_keys);
	for (int i = 0; i < f->n; i++)
	{
		if (kept > 0 && strcmp(f->key[kept - 1].text, f->key[i].text) == 0)
			pfree(f->key[i].text);
		else
			f->key[kept++] = f->key[i];
	}
	f->n = kept;
	f->many = kept > MG_MAX_LABELS;
}

static void
note_value(void *arg, const Datum *values)
{
	Found *f = arg;
	Datum value = values[0];
	Key key = {NULL, 0};

	f->rows++;
	if (MG_TYPE_HAS_AXIS(f->cls))
	{
		if (!mg_axis_value(f->cls, value, &key.v))
			f->off_axis = true;
		else
		{
			f->low = f->rows == 1 ? key.v : Min(f->low, key.v);
			f->high = f->rows == 1 ? key.v : Max(f->high, key.v);
		}
	}
	if (f->many || f->long_label)
		return;
	key.text = mg_value_text(f->cls, value);
	f->long_label = strlen(key.text) > MG_MAX_LABEL_BYTES;
	if (f->n == f->room)
		compact(f);
	if (!f->many && !f->long_label)
		f->key[f->n++] = key;
}

/* A pass over a public table's columns, by name, since partitions number them in their own ways. */
typedef struct Pass
{
	int n;
	const char *column[2];
	void (*row)(void *arg, const Datum *values); /* of a row without NULLs in these columns */
	void *arg;
	MemoryContext context; /* of what `row` allocates */
	int64 rows;
} Pass;

/* NULL, or why the table's keys cannot serve. */
static const char *
scan_heap(Oid relid, Snapshot snapshot, Pass *pass)
{
	Relation rel = try_relation_open(relid, AccessShareLock);
	MemoryContext old = CurrentMemoryContext;
	TupleTableSlot *slot;
	TableScanDesc scan;
	AttrNumber attnum[2];
	Datum values[2];
	const char *why = NULL;
	bool null;

	if (rel == NULL)
		return NULL; /* a partition that has just been dropped */
	if (rel->rd_rel->relkind != RELKIND_RELATION || rel->rd_rel->relrowsecurity)
	{
		if (rel->rd_rel->relrowsecurity)
			why = psprintf("%s has row security", mg_relation_name(relid));
		else if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE) /* which has no heap of its own */
			why = psprintf("%s is not a table", mg_relation_name(relid));
		relation_close(rel, AccessShareLock);
		return why;
	}
	for (int i = 0; i < pass->n; i++)
		if ((attnum[i] = get_attnum(relid, pass->column[i])) == InvalidAttrNumber)
			why = "its column is gone";
	slot = table_slot_create(rel, NULL);
	scan = table_beginscan(rel, snapshot, 0, NULL);
	MemoryContextSwitchTo(pass->context);
	while (why == NULL && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		int i = 0;

		CHECK_FOR_INTERRUPTS();
		for (null = false; i < pass->n && !null; i++)
			values[i] = slot_getattr(slot, attnum[i], &null);
		if (!null)
			pass->row(pass->arg, values);
		if (++pass->rows > MG_MAX_KEY_ROWS)
			break;
	}
	MemoryContextSwitchTo(old);
	if (pass->rows > MG_MAX_KEY_ROWS)
		why = psprintf("%s has more than %d rows", mg_relation_name(relid), MG_MAX_KEY_ROWS);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	relation_close(rel, AccessShareLock);
	return why;
}

/* All partitions of it, where it has such: NULL, or why its keys cannot serve. */
static const char *
scan_table(Oid relid, Pass *pass)
{
	List *heaps = list_make1_oid(relid);
	const char *why = NULL;
	Snapshot snapshot;
	ListCell *cell;

	for (int i = 0; i < pass->n; i++)
		if (pass->column[i] == NULL)
			return "its column is gone";
	if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
		heaps = find_all_inheritors(relid, NoLock, NULL);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	foreach (cell, heaps)
		if (why == NULL)
			why = scan_heap(lfirst_oid(cell), snapshot, pass);
	UnregisterSnapshot(snapshot);
	return why;
}

static const char *
scan_keys(Oid relid, AttrNumber attnum, Found *f)
{
	Pass pass = {1, {get_attname(relid, attnum, true)}, note_value, f, f->context, 0};
	const char *why;

	f->room = 4 * MG_MAX_LABELS;
	f->key = MemoryContextAlloc(f->context, sizeof(Key) * f->room);
	why = scan_table(relid, &pass);
	compact(f);
	return why;
}

/* ---------------------------------------------------------------- what two columns of a key say of each other */

#define SEVERAL_LABELS (MG_NO_LABEL - 1)

typedef struct Side
{
	MgTypeClass cls;
	const mg_domain *domain;
	uint32 *order; /* [nlabels] by text */
} Side;

typedef struct KeyMap
{
	Side from, to;
	uint16 *map;
} KeyMap;

static int
compare_labels(const void *a, const void *b, void *labels)
{
	const mg_label *l = labels;

	return strcmp(l[*(const uint32 *) a].text, l[*(const uint32 *) b].text);
}

static void
prepare_side(Side *side, Oid relation, AttrNumber attnum, const mg_domain *domain)
{
	Oid type = get_atttype(relation, attnum);

	side->cls = mg_type_class(OidIsValid(type) ? getBaseType(type) : InvalidOid);
	side->domain = domain;
	side->order = palloc(sizeof(uint32) * Max(domain->nlabels, 1));
	for (uint32 i = 0; i < domain->nlabels; i++)
		side->order[i] = i;
	qsort_arg(side->order, domain->nlabels, sizeof(uint32), compare_labels, (void *) domain->labels);
}

static uint16
label_of(const Side *side, Datum value)
{
	char *text = mg_value_text(side->cls, value);
	uint32 low = 0, high = side->domain->nlabels;
	uint16 found = MG_NO_LABEL;

	while (low < high && found == MG_NO_LABEL)
	{
		uint32 mid = low + (high - low) / 2;
		int order = strcmp(side->domain->labels[side->order[mid]].text, text);

		if (order == 0)
			found = (uint16) side->order[mid];
		else if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	pfree(text);
	return found;
}

static void
note_pair(void *arg, const Datum *values)
{
	KeyMap *m = arg;
	uint16 from = label_of(&m->from, values[0]), to = label_of(&m->to, values[1]);

	if (from == MG_NO_LABEL || to == MG_NO_LABEL)
		return;
	if (m->map[from] == MG_NO_LABEL)
		m->map[from] = to;
	else if (m->map[from] != to)
		m->map[from] = SEVERAL_LABELS;
}

uint16 *
mg_read_key_map(Oid relation, AttrNumber from_attnum, const mg_domain *from, AttrNumber to_attnum, const mg_domain *to)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_mirage keys", ALLOCSET_DEFAULT_SIZES);
	KeyMap m;
	Pass pass = {2,         {get_attname(relation, from_attnum, true), get_attname(relation, to_attnum, true)},
				 note_pair, &m,
				 context,   0};

	prepare_side(&m.from, relation, from_attnum, from);
	prepare_side(&m.to, relation, to_attnum, to);
	m.map = palloc(sizeof(uint16) * Max(from->nlabels, 1));
	for (uint32 i = 0; i < from->nlabels; i++)
		m.map[i] = MG_NO_LABEL;
	if (scan_table(relation, &pass) != NULL)
		m.map = NULL;
	for (uint32 i = 0; m.map != NULL && i < from->nlabels; i++)
		if (m.map[i] == SEVERAL_LABELS)
			m.map[i] = MG_NO_LABEL;
	MemoryContextDelete(context);
	return m.map;
}

/* ---------------------------------------------------------------- what becomes of them */

static void
note_unused(MgKeys *out, Form_pg_constraint fk, const char *why)
{
	out->unused = lappend(out->unused, psprintf("%s (%s)", NameStr(fk->conname), why));
}

/* Is every value of the column's lattice between the ends a key? */
static bool
without_gaps(const Found *f, const MgAxis *axis)
{
	return f->distinct && axis->fine > 0 && rint((f->high - f->low) / axis->fine) + 1 == (double) f->rows;
}

static void
take_keys(MgKeys *out, Form_pg_constraint fk, AttrNumber key_attnum, MgTypeClass cls, int32 typmod, const Found *f)
{
	char *name = mg_relation_name(fk->confrelid);
	bool ranged = MG_TYPE_HAS_AXIS(cls) && !f->off_axis, labels = !f->many && !f->long_label, exact;
	MgAxis axis = {0};

	if (f->rows == 0)
	{
		note_unused(out, fk, psprintf("%s has no keys", name));
		return;
	}
	if (MG_TYPE_HAS_AXIS(cls))
		mg_type_axis(cls, typmod, &axis);
	exact = ranged && without_gaps(f, &axis);
	/* days without a gap have an order worth keeping; numbers that name things have none */
	if (exact && MG_TYPE_IS_TIME(cls))
		labels = false;
	if (!labels && !ranged)
	{
		note_unused(out, fk,
					f->long_label ? psprintf("a key of %s is longer than %d bytes", name, MG_MAX_LABEL_BYTES)
								  : psprintf("%s has more than %d keys", name, MG_MAX_LABELS));
		return;
	}
	out->relation = fk->confrelid;
	out->name = name;
	out->constraint = pstrdup(NameStr(fk->conname));
	out->constraint_oid = fk->oid;
	out->attnum = key_attnum;
	out->has_labels = labels;
	out->has_range = !labels;
	out->lower = f->low;
	out->upper = f->high;
	for (int i = 0; labels && i < f->n; i++)
		out->labels = lappend(out->labels, pstrdup(f->key[i].text));
	if (!labels && !exact)
		note_unused(out, fk, psprintf("%s has more than %d keys: only their range is used", name, MG_MAX_LABELS));
	else if (!f->distinct)
		note_unused(out, fk, "of its several columns each by itself");
}

/* Do texts of the one class mean the same in the other? */
static bool
classes_agree(MgTypeClass column, MgTypeClass key)
{
	return column == key || (MG_TYPE_IS_INT(column) && MG_TYPE_IS_INT(key));
}

/* Reads the keys that the column has in the public table, where they can serve. */
static void
use_key(Relation rel, AttrNumber attnum, MgTypeClass cls, int32 typmod, Form_pg_constraint fk, int nkeys,
		AttrNumber key_attnum, MgKeys *out)
{
	Oid collation = TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attcollation;
	Oid key_type = get_atttype(fk->confrelid, key_attnum);
	Found found = {.cls = mg_type_class(OidIsValid(key_type) ? getBaseType(key_type) : InvalidOid),
				   .distinct = nkeys == 1};
	const char *why;

	if (OidIsValid(collation) && !get_collation_isdeterministic(collation))
		note_unused(out, fk, "its collation is not deterministic");
	else if (!classes_agree(cls, found.cls))
		note_unused(out, fk, "its two columns are of different types");
	else
	{
		found.context = AllocSetContextCreate(CurrentMemoryContext, "pg_mirage keys", ALLOCSET_DEFAULT_SIZES);
		why = scan_keys(fk->confrelid, key_attnum, &found);
		if (why == NULL)
			take_keys(out, fk, key_attnum, cls, typmod, &found);
		else
			note_unused(out, fk, why);
		MemoryContextDelete(found.context);
	}
}

/* ---------------------------------------------------------------- constraints */

/*
 * A key to a partitioned table is recorded once more for each of its partitions, which alone says nothing: its parent
 * constraint refers to another table.
 */
static bool
is_copy_for_partition(Form_pg_constraint fk)
{
	HeapTuple parent;
	bool copy;

	if (!OidIsValid(fk->conparentid))
		return false;
	parent = SearchSysCache1(CONSTROID, ObjectIdGetDatum(fk->conparentid));
	if (!HeapTupleIsValid(parent))
		return true;
	copy = ((Form_pg_constraint) GETSTRUCT(parent))->confrelid != fk->confrelid;
	ReleaseSysCache(parent);
	return copy;
}

static int
key_columns(HeapTuple tuple, Relation constraints, AttrNumber which, int16 **columns)
{
	bool null;
	Datum keys = heap_getattr(tuple, which, RelationGetDescr(constraints), &null);
	ArrayType *array = null ? NULL : DatumGetArrayTypeP(keys);

	*columns = array == NULL ? NULL : (int16 *) ARR_DATA_PTR(array);
	return array == NULL ? 0 : ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
}

/* Does every row satisfy it? NULL, or why not. */
static const char *
broken_promise(Relation rel, Form_pg_constraint fk, const int16 *columns, int n)
{
	if (!fk->convalidated)
		return "not valid";
	if (!MG_CONSTRAINT_ENFORCED(fk))
		return "not enforced";
	if (MG_CONSTRAINT_PERIOD(fk))
		return "with a period";
	if (rel->rd_rel->relkind == RELKIND_RELATION && rel->rd_rel->relhassubclass)
		return "does not hold for inheritance children";
	for (int i = 0; n > 1 && fk->confmatchtype != FKCONSTR_MATCH_FULL && i < n; i++)
		if (!mg_is_not_null(rel, TupleDescAttr(RelationGetDescr(rel), columns[i] - 1)))
			return "holds only where none of its columns is NULL";
	return NULL;
}

static const char *
not_public(Oid relid, MgPublicLookup lookup)
{
	char *name = mg_relation_name(relid);

	switch (lookup(relid))
	{
		case MG_PUBLIC:
			return NULL;
		case MG_PUBLIC_STALE:
			return psprintf("%s was declared public elsewhere: dp_declare_public renews it", name);
		case MG_PUBLIC_TIED:
			return psprintf("%s is tied to a protected table", name);
		case MG_NOT_PUBLIC:
			break;
	}
	return psprintf("%s is not declared public", name);
}

static void
consider(Relation rel, AttrNumber attnum, MgTypeClass cls, int32 typmod, HeapTuple tuple, Relation constraints,
		 MgPublicLookup lookup, MgKeys *out)
{
	Form_pg_constraint fk = (Form_pg_constraint) GETSTRUCT(tuple);
	int16 *columns, *keys;
	int n = key_columns(tuple, constraints, Anum_pg_constraint_conkey, &columns), at = 0;
	const char *why;

	if (n != key_columns(tuple, constraints, Anum_pg_constraint_confkey, &keys))
		return;
	while (at < n && columns[at] != attnum)
		at++;
	if (at == n || is_copy_for_partition(fk))
		return;
	why = broken_promise(rel, fk, columns, n);
	if (why == NULL)
		why = not_public(fk->confrelid, lookup);
	if (why == NULL && OidIsValid(out->relation))
		why = psprintf("the keys of %s are used", out->name);
	if (why != NULL)
		note_unused(out, fk, why);
	else
		use_key(rel, attnum, cls, typmod, fk, n, keys[at], out);
}

void
mg_read_keys(Relation rel, AttrNumber attnum, MgTypeClass cls, int32 typmod, MgPublicLookup lookup, MgKeys *out)
{
	Relation constraints;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	List *tuples = NIL;
	ListCell *cell;

	memset(out, 0, sizeof(*out));
	if (lookup == NULL || cls == MG_TYPE_NONE ||
		(rel->rd_rel->relkind != RELKIND_RELATION && rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE))
		return;
	constraints = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationGetRelid(rel)));
	scan = systable_beginscan(constraints, ConstraintRelidTypidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		if (((Form_pg_constraint) GETSTRUCT(tuple))->contype == CONSTRAINT_FOREIGN)
			tuples = lappend(tuples, heap_copytuple(tuple));
	systable_endscan(scan);
	foreach (cell, tuples)
		consider(rel, attnum, cls, typmod, lfirst(cell), constraints, lookup, out);
	table_close(constraints, AccessShareLock);
}
