/*
 * pg/dependence.c: see dependence.h. Reads descriptions only. Memory: the context current at the call.
 */
#include "postgres.h"

#include "model/dependency.h"
#include "pg/dependence.h"
#include "pg/fkeys.h"
#include "utils/builtins.h"

/* Can equal values be told from the points of the core's axis? Not where emission rounds them once more. */
static bool
can_determine(const MgColumn *col)
{
	MgTypeClass cls = mg_type_class(col->base);

	if (col->kind == MG_COLUMN_IDENTIFIER || col->kind == MG_COLUMN_EXCLUDED)
		return false;
	return col->domain.kind == MG_CATEGORY || col->domain.step > 0 || cls == MG_TYPE_FLOAT4 || cls == MG_TYPE_FLOAT8;
}

/* A category whose labels are all there is. */
static bool
is_listed(const MgColumn *col)
{
	return col->domain.kind == MG_CATEGORY && !col->domain.open && !col->domain.has_other;
}

/* Two columns of one key to a public table, which then says itself what goes with what. */
static void
look_up_in_keys(const MgColumns *columns, MgColumn *col)
{
	const MgColumn *det = &columns->col[col->determinants[0]];

	if (col->ndeterminants == 1 && OidIsValid(col->keys_by) && col->keys_by == det->keys_by && is_listed(col) &&
		is_listed(det))
		col->known = mg_read_key_map(col->keys_of, det->key_attnum, &det->domain, col->key_attnum, &col->domain);
}

void
mg_resolve_dependence(MgColumns *columns, int i, List *depends_on)
{
	MgColumn *col = &columns->col[i];
	ListCell *cell;

	if (depends_on == NIL || col->core < 0)
		return;
	col->determinants = palloc(sizeof(int) * list_length(depends_on));
	foreach (cell, depends_on)
	{
		int j = 0;

		while (j < columns->n && (columns->col[j].under != col->under || columns->col[j].under_name == NULL ||
								  strcmp(columns->col[j].under_name, lfirst(cell)) != 0))
			j++;
		if (j == columns->n || j == i || columns->col[j].core < 0 || !can_determine(&columns->col[j]))
		{
			col->ndeterminants = 0;
			col->unused_checks =
				lappend(col->unused_checks,
						psprintf("depends_on (the values of \"%s\" are not learnt)", (char *) lfirst(cell)));
			return;
		}
		col->determinants[col->ndeterminants++] = j;
	}
	look_up_in_keys(columns, col);
}

void
mg_require_determinant(const MgColumn *col, const MgColumn *det)
{
	if (det->kind == MG_COLUMN_IDENTIFIER || det->kind == MG_COLUMN_EXCLUDED)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("column \"%s\" cannot depend on \"%s\", which is of kind %s", col->name, det->name,
							   mg_column_kind_name(det->kind)),
						errhint("Its values are not learnt, so nothing can be known of what they determine.")));
	if (!can_determine(det))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("column \"%s\" cannot depend on \"%s\", whose type %s is rounded when it is emitted",
							   col->name, det->name, format_type_be(det->type)),
						errhint("Give it a scale, as numeric(10, 2) has, or declare it a category.")));
}

void
mg_columns_dependencies(const MgColumns *columns, mg_fit_request *request)
{
	mg_dependency *list = palloc0(sizeof(mg_dependency) * Max(columns->ncore, 1));
	uint32 n = 0;

	for (int i = 0; i < columns->n; i++)
	{
		const MgColumn *col = &columns->col[i];
		uint32 *determinants;

		if (col->core < 0 || col->ndeterminants == 0)
			continue;
		determinants = palloc(sizeof(uint32) * col->ndeterminants);
		for (int j = 0; j < col->ndeterminants; j++)
			determinants[j] = (uint32) columns->col[col->determinants[j]].core;
		list[n].column = (uint32) col->core;
		list[n].ndeterminants = (uint32) col->ndeterminants;
		list[n].known = col->known;
		list[n++].determinants = determinants;
	}
	request->dependencies = list;
	request->ndependencies = n;
}
