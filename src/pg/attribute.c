/*
 * pg/attribute.c: what the catalogs say about one attribute: keys, defaults, NOT NULL, labels of its type. Reads
 * catalogs only. Owner of all memory: the context current at the call.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "pg/attribute.h"
#include "pg/compat.h"
#include "pg/inert.h"
#include "pg/types.h"
#include "rewrite/rewriteHandler.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

bool
mg_is_key(Relation rel, AttrNumber attnum, bool notnull)
{
	List *indexes = RelationGetIndexList(rel);
	ListCell *cell;
	bool key = false;

	foreach (cell, indexes)
	{
		HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(cell)));
		Form_pg_index form;

		if (!HeapTupleIsValid(tuple))
			continue;
		form = (Form_pg_index) GETSTRUCT(tuple);
		key |= form->indisunique && form->indisvalid && form->indnkeyatts == 1 && form->indkey.values[0] == attnum &&
			   (notnull || form->indisprimary) && heap_attisnull(tuple, Anum_pg_index_indpred, NULL);
		ReleaseSysCache(tuple);
	}
	list_free(indexes);
	return key;
}

bool
mg_is_serial(Relation rel, Form_pg_attribute att)
{
	if (att->attidentity != '\0')
		return true;
	if (!att->atthasdef || att->attgenerated != '\0')
		return false;
	return mg_expression_draws(build_column_default(rel, att->attnum));
}

bool
mg_is_not_null(Relation rel, Form_pg_attribute att)
{
	bool sure = att->attnotnull && rel->rd_rel->relkind != RELKIND_FOREIGN_TABLE;

	if (sure && MG_NOT_NULL_MAY_BE_INVALID)
	{
		Relation constraints = table_open(ConstraintRelationId, AccessShareLock);
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple tuple;

		ScanKeyInit(&key, Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(RelationGetRelid(rel)));
		scan = systable_beginscan(constraints, ConstraintRelidTypidNameIndexId, true, NULL, 1, &key);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);
			bool null;
			Datum keys;

			if (form->contype != 'n' || (form->convalidated && !(form->connoinherit && rel->rd_rel->relhassubclass)))
				continue;
			keys = heap_getattr(tuple, Anum_pg_constraint_conkey, RelationGetDescr(constraints), &null);
			if (!null && ((int16 *) ARR_DATA_PTR(DatumGetArrayTypeP(keys)))[0] == att->attnum)
				sure = false;
		}
		systable_endscan(scan);
		table_close(constraints, AccessShareLock);
	}
	return sure;
}

bool
mg_domain_is_not_null(Oid type)
{
	bool notnull = false;

	while (get_typtype(type) == TYPTYPE_DOMAIN && !notnull)
	{
		HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for type %u", type);
		notnull = ((Form_pg_type) GETSTRUCT(tuple))->typnotnull;
		type = ((Form_pg_type) GETSTRUCT(tuple))->typbasetype;
		ReleaseSysCache(tuple);
	}
	return notnull;
}

List *
mg_enum_labels(Oid type)
{
	Relation rel = table_open(EnumRelationId, AccessShareLock);
	Relation index = index_open(EnumTypIdSortOrderIndexId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	List *labels = NIL;

	ScanKeyInit(&key, Anum_pg_enum_enumtypid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(type));
	scan = systable_beginscan_ordered(rel, index, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
		labels = lappend(labels, pstrdup(NameStr(((Form_pg_enum) GETSTRUCT(tuple))->enumlabel)));
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
	return labels;
}

char *
mg_constant_default(Relation rel, Form_pg_attribute att, Oid base)
{
	Node *expr;
	Oid output;
	bool varlena;

	if (!att->atthasdef || att->attgenerated != '\0' || !mg_type_is_inert(base))
		return NULL;
	expr = build_column_default(rel, att->attnum);
	while (expr != NULL && IsA(expr, RelabelType))
		expr = (Node *) ((RelabelType *) expr)->arg;
	if (expr == NULL || !IsA(expr, Const) || ((Const *) expr)->constisnull)
		return NULL;
	getTypeOutputInfo(((Const *) expr)->consttype, &output, &varlena);
	return OidOutputFunctionCall(output, ((Const *) expr)->constvalue);
}
