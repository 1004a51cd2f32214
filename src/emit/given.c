/*
 * emit/given.c: see given.h. What a condition on one column means is in pg/column_condition.h.
 *
 * The record names the columns that were conditioned on, not the values: those may describe one person, and the log
 * forgets nothing.
 */
#include "postgres.h"

#include "emit/emit.h"
#include "emit/given.h"
#include "pg/column_condition.h"
#include "utils/json.h"
#include "utils/jsonb.h"

static MgColumn *
find_conditioned(MgColumns *columns, const char *name, const char *model)
{
	MgColumn *c = NULL;

	for (int i = 0; i < columns->n && c == NULL; i++)
		if (strcmp(columns->col[i].name, name) == 0)
			c = &columns->col[i];
	if (c == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("conditions: model \"%s\" has no column \"%s\"", model, name),
						errhint("Its columns are %s.", mg_rows_column_names(columns))));
	if (c->core < 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("conditions: column \"%s\" of model \"%s\" was not learnt, its kind is \"%s\"", name,
							   model, mg_column_kind_name(c->kind)),
						errhint("Condition on columns of other kinds.")));
	return c;
}

MgGiven
mg_given_parse(Datum conditions, MgColumns *columns, const char *model)
{
	Jsonb *json = DatumGetJsonbP(conditions);
	MgGiven given = {0};
	StringInfoData names;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue v;
	MgColumn *col = NULL;

	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("conditions must be a JSON object"),
						errhint("As in conditions => '{\"sex\": \"Female\", \"age\": [30, 39]}'.")));
	if (JB_ROOT_COUNT(json) == 0)
		return given;
	given.condition = palloc0(sizeof(mg_condition) * JB_ROOT_COUNT(json));
	initStringInfo(&names);
	it = JsonbIteratorInit(&json->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			col = find_conditioned(columns, pnstrdup(v.val.string.val, v.val.string.len), model);
			appendStringInfoString(&names, given.n == 0 ? "[" : ", ");
			escape_json(&names, col->name);
		}
		else if (token == WJB_VALUE)
		{
			MgColumnCondition *condition = mg_condition_parse(col, &v);

			col->condition = condition;
			given.condition[given.n++] = mg_condition_core(condition);
		}
	}
	appendStringInfoChar(&names, ']');
	given.columns = names.data;
	return given;
}
