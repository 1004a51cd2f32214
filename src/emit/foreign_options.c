/*
 * emit/foreign_options.c: options of foreign tables. They are checked when they are set, but for what only the model
 * can say: a dump must be restorable before its models are there. Every role can read them in pg_foreign_table.
 */
#include "postgres.h"

#include <errno.h>

#include "access/tupdesc.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_foreign_table.h"
#include "commands/defrem.h"
#include "emit/foreign.h"
#include "foreign/foreign.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

typedef struct Option
{
	const char *name;
	Oid catalog;
} Option;

static const Option options_known[] = {
	{"model", ForeignTableRelationId},     {"rows", ForeignTableRelationId},    {"seed", ForeignTableRelationId},
	{"condition", ForeignTableRelationId}, {"purpose", ForeignTableRelationId}, {"column_name", AttributeRelationId},
};

/* ---------------------------------------------------------------- values */

static int64
integer_option(DefElem *def, int64 least)
{
	char *text = defGetString(def), *end;
	long long v;

	errno = 0;
	v = strtoll(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0 || v < least)
		ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
						errmsg("invalid value for option \"%s\": \"%s\"", def->defname, text),
						least == 0 ? errhint("Give a number of rows, 0 or more.") : errhint("Give an integer.")));
	return v;
}

/* Around the server's own reading of JSON, whose errors know no option. */
static void
name_option(void *def)
{
	errcontext("option \"%s\"", ((DefElem *) def)->defname);
	errhint("As in condition '{\"sex\": \"Female\", \"age\": [30, 39]}'.");
}

static void
check_condition(DefElem *def)
{
	ErrorContextCallback context = {.previous = error_context_stack, .callback = name_option, .arg = def};
	Jsonb *json;

	error_context_stack = &context;
	json = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(defGetString(def))));
	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
						errmsg("option \"%s\" must be a JSON object", def->defname)));
	error_context_stack = context.previous;
}

static void
check_text(DefElem *def)
{
	if (defGetString(def)[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
						errmsg("option \"%s\" must not be empty", def->defname)));
}

/* ---------------------------------------------------------------- checks */

static void
refuse_option(DefElem *def, Oid catalog)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < (int) lengthof(options_known); i++)
		if (options_known[i].catalog == catalog)
			appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "", options_known[i].name);
	ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_OPTION_NAME), errmsg("invalid option \"%s\"", def->defname),
					names.len > 0 ? errhint("Options here are %s.", names.data)
								  : errhint("Nothing has options but foreign tables and their columns.")));
}

void
mg_foreign_validate(List *options, Oid catalog)
{
	bool has_model = false;
	ListCell *cell;

	foreach (cell, options)
	{
		DefElem *def = lfirst_node(DefElem, cell);
		bool known = false;

		for (int i = 0; i < (int) lengthof(options_known); i++)
			known |= options_known[i].catalog == catalog && strcmp(options_known[i].name, def->defname) == 0;
		if (!known)
			refuse_option(def, catalog);
		if (strcmp(def->defname, "rows") == 0)
			integer_option(def, 0);
		else if (strcmp(def->defname, "seed") == 0)
			integer_option(def, PG_INT64_MIN);
		else if (strcmp(def->defname, "condition") == 0)
			check_condition(def);
		else
			check_text(def);
		has_model |= strcmp(def->defname, "model") == 0;
	}
	if (catalog == ForeignTableRelationId && !has_model)
		ereport(ERROR, (errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND), errmsg("option \"model\" is required"),
						errhint("As in OPTIONS (model 'adult_v1'); the view dp_models lists the models that you may "
								"use.")));
}

/* ---------------------------------------------------------------- reading */

MgForeignOptions
mg_foreign_options(Oid relid)
{
	MgForeignOptions out = {0};
	ListCell *cell;

	foreach (cell, GetForeignTable(relid)->options)
	{
		DefElem *def = lfirst_node(DefElem, cell);

		if (strcmp(def->defname, "model") == 0)
			out.model = defGetString(def);
		else if (strcmp(def->defname, "rows") == 0)
		{
			out.has_rows = true;
			out.rows = integer_option(def, 0);
		}
		else if (strcmp(def->defname, "seed") == 0)
			out.seed = integer_option(def, PG_INT64_MIN);
		else if (strcmp(def->defname, "condition") == 0)
			out.condition = defGetString(def);
		else if (strcmp(def->defname, "purpose") == 0)
			out.purpose = defGetString(def);
	}
	if (out.model == NULL)
		ereport(ERROR, (errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND), errmsg("option \"model\" is required")));
	return out;
}

/* What the model calls an attribute. */
static const char *
model_column(Oid relid, Form_pg_attribute att)
{
	ListCell *cell;

	foreach (cell, GetForeignColumnOptions(relid, att->attnum))
	{
		DefElem *def = lfirst_node(DefElem, cell);

		if (strcmp(def->defname, "column_name") == 0)
			return defGetString(def);
	}
	return NameStr(att->attname);
}

TupleDesc
mg_foreign_shape(Oid relid, TupleDesc desc, const int *attrs, int n)
{
	TupleDesc shape = CreateTemplateTupleDesc(n);

	for (int i = 0; i < n; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, attrs[i] - 1);

		TupleDescInitEntry(shape, (AttrNumber) (i + 1), model_column(relid, att), att->atttypid, att->atttypmod,
						   att->attndims);
		TupleDescInitEntryCollation(shape, (AttrNumber) (i + 1), att->attcollation);
	}
	return shape;
}
