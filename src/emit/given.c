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
#include "pg/json.h"
#include "pg/texts.h"
#include "utils/jsonb.h"

/* NIL names them all. */
static bool
is_named(List *named, const char *name)
{
	return named == NIL || mg_texts_have(named, name);
}

MgColumns *
mg_columns_named(const MgColumns *columns, List *named)
{
	MgColumns *some = palloc(sizeof(MgColumns));

	*some = (MgColumns){.ncore = columns->ncore};
	some->col = palloc(sizeof(MgColumn) * Max(columns->n, 1));
	for (int i = 0; i < columns->n; i++)
		if (is_named(named, columns->col[i].name))
			some->col[some->n++] = columns->col[i];
	return some;
}

/* ---------------------------------------------------------------- conditions */

static MgColumn *
find_conditioned(MgColumns *columns, List *named, const char *name, const char *model)
{
	MgColumn *c = is_named(named, name) ? mg_columns_find(columns, name) : NULL;

	if (c == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("conditions: model \"%s\" has no column \"%s\"", model, name),
						errhint("Its columns are %s.", mg_rows_column_names(mg_columns_named(columns, named)))));
	if (c->core < 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("conditions: column \"%s\" of model \"%s\" was not learnt, its kind is \"%s\"", name,
							   model, mg_column_kind_name(c->kind)),
						errhint("Condition on columns of other kinds.")));
	return c;
}

static void
require_object(const Jsonb *json)
{
	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("conditions must be a JSON object"),
						errhint("As in conditions => '{\"sex\": \"Female\", \"age\": [30, 39]}'.")));
}

/* Notes the members' conditions in their columns, joined with what is noted there; returns the columns, new ones last.
 */
static List *
note_conditions(Jsonb *json, MgColumns *columns, List *named, const char *model, List *noted)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue v;
	MgColumn *col = NULL;

	require_object(json);
	it = JsonbIteratorInit(&json->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			col = find_conditioned(columns, named, pnstrdup(v.val.string.val, v.val.string.len), model);
		else if (token == WJB_VALUE)
		{
			MgColumnCondition *condition = mg_condition_parse(col, &v);

			if (col->condition == NULL)
				noted = lappend(noted, col);
			col->condition = col->condition == NULL ? condition : mg_condition_both(col->condition, condition);
		}
	}
	return noted;
}

MgGiven
mg_given_parse(Jsonb *call, Jsonb *grant, MgColumns *columns, List *named, const char *model)
{
	MgGiven given = {0};
	List *noted = NIL;
	List *names = NIL;
	StringInfoData buf;
	ListCell *lc;

	for (int i = 0; i < columns->n; i++)
		columns->col[i].condition = NULL;
	if (call != NULL)
		noted = note_conditions(call, columns, named, model, noted);
	if (grant != NULL)
		noted = note_conditions(grant, columns, NIL, model, noted);
	if (noted == NIL)
		return given;
	given.condition = palloc0(sizeof(mg_condition) * list_length(noted));
	foreach (lc, noted)
	{
		const MgColumn *col = lfirst(lc);

		names = lappend(names, col->name);
		given.condition[given.n++] = mg_condition_core(col->condition);
	}
	initStringInfo(&buf);
	mg_json_append_texts(&buf, names);
	given.columns = buf.data;
	return given;
}

bool
mg_given_within(Jsonb *call, List *named)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue v;

	if (call == NULL || named == NIL)
		return true;
	require_object(call);
	it = JsonbIteratorInit(&call->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
		if (token == WJB_KEY && !is_named(named, pnstrdup(v.val.string.val, v.val.string.len)))
			return false;
	return true;
}
