/*
 * emit/foreign_import.c: IMPORT FOREIGN SCHEMA: a foreign table for each model that the current user may have rows of,
 * in the columns that it may have. The name of the remote schema means nothing.
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/pg_foreign_table.h"
#include "commands/defrem.h"
#include "emit/foreign.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "pg/compat.h"
#include "pg/texts.h"
#include "utils/builtins.h"

static void
append_option(StringInfo buf, const char *name, const char *value)
{
	appendStringInfo(buf, ", %s %s", name, quote_literal_cstr(value));
}

/* Options of the command become those of every table. */
static char *
table_options(List *options)
{
	List *checked = list_make1(makeDefElem(pstrdup("model"), (Node *) makeString(pstrdup("any")), -1));
	StringInfoData buf;
	ListCell *cell;

	initStringInfo(&buf);
	foreach (cell, options)
	{
		DefElem *def = lfirst_node(DefElem, cell);

		if (strcmp(def->defname, "rows") != 0 && strcmp(def->defname, "seed") != 0 &&
			strcmp(def->defname, "purpose") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_OPTION_NAME), errmsg("invalid option \"%s\"", def->defname),
					 errhint("Options here are rows, seed, purpose; those of one table can be altered afterwards.")));
		checked = lappend(checked, def);
		append_option(&buf, def->defname, defGetString(def));
	}
	mg_foreign_validate(checked, ForeignTableRelationId);
	return buf.data;
}

/* CREATE FOREIGN TABLE; NULL where no column is left. */
static char *
table_command(const char *model, List *shape, const char *server, const char *options)
{
	StringInfoData buf;
	ListCell *cell;
	int n = 0;

	initStringInfo(&buf);
	appendStringInfo(&buf, "CREATE FOREIGN TABLE %s (", quote_identifier(model));
	foreach (cell, shape)
	{
		const MgShapeColumn *c = lfirst(cell);
		Oid type;
		int32 typmod;

		if (!mg_parse_type(c->type, &type, &typmod))
		{
			ereport(WARNING, (errmsg("column \"%s\" of model \"%s\" is left out: its type %s does not exist any more",
									 c->name, model, c->type)));
			continue;
		}
		appendStringInfo(&buf, "%s%s %s%s", n++ == 0 ? "" : ", ", quote_identifier(c->name), c->type,
						 c->notnull ? " NOT NULL" : "");
	}
	appendStringInfo(&buf, ") SERVER %s OPTIONS (model %s%s)", quote_identifier(server), quote_literal_cstr(model),
					 options);
	return n > 0 ? buf.data : NULL;
}

/* The columns that the user may have: of one grant, the least restrictive, since a scan is made under one. */
static List *
visible_shape(const MgModel *model)
{
	List *grants = mg_owns_model(model, GetUserId()) ? NIL : mg_grants_held(model, GetUserId()), *out = NIL;
	const MgGrant *grant = grants != NIL ? linitial(grants) : NULL;
	ListCell *cell;

	foreach (cell, mg_model_shape(model->id))
		if (grant == NULL || grant->columns == NIL ||
			mg_texts_have(grant->columns, ((MgShapeColumn *) lfirst(cell))->name))
			out = lappend(out, lfirst(cell));
	return out;
}

static bool
is_asked_for(const ImportForeignSchemaStmt *stmt, const char *name)
{
	ListCell *cell;
	bool named = false;

	if (stmt->list_type == FDW_IMPORT_SCHEMA_ALL)
		return true;
	foreach (cell, stmt->table_list)
		named |= strcmp(lfirst_node(RangeVar, cell)->relname, name) == 0;
	return named == (stmt->list_type == FDW_IMPORT_SCHEMA_LIMIT_TO);
}

List *
mg_foreign_import(ImportForeignSchemaStmt *stmt, Oid server)
{
	const char *server_name = GetForeignServer(server)->servername;
	char *options = table_options(stmt->options);
	List *commands = NIL;
	ListCell *cell;

	foreach (cell, mg_model_names())
	{
		char *name = lfirst(cell), *command;
		MgModel *model = is_asked_for(stmt, name) ? mg_model_find(name) : NULL;

		if (model == NULL || strcmp(model->state, "ready") != 0 || !mg_may_release(model, GetUserId()))
			continue;
		command = table_command(name, visible_shape(model), server_name, options);
		if (command != NULL)
			commands = lappend(commands, command);
	}
	return commands;
}
