/*
 * emit/likeness.c: a new table like the one behind a model; see likeness.h.
 *
 * The caller names a model and a table to make; that the model's table has a DEFAULT or a CHECK which calls somebody's
 * function is nothing that the caller asked for. Where the caller is not the role itself that owns the source (a member
 * or a superuser is not), only inert expressions are kept, and domains become the types that they are
 * over. Sequences of the source are left alone: a column that draws from one becomes an identity column.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "emit/likeness.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "pg/inert.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

/* A column of the source, as pg_attribute and pg_attrdef have it. */
typedef struct SourceColumn
{
	char *name;
	AttrNumber attnum;
	Oid type;
	char identity, generated; /* '\0': not */
	char *expression;         /* default or generation; NULL: none */
	Node *tree;               /* the same, as an expression over attributes of variable 1 */
	char *collation;          /* quoted; NULL: the type's own */
	const MgColumn *column;   /* the model's, of the same name and type; NULL: none */
} SourceColumn;

typedef struct Rule
{
	char type; /* of pg_constraint */
	char *name;
	char *clause; /* what follows ADD */
} Rule;

struct MgLikeness
{
	char *source; /* its name; NULL: it is gone */
	bool trusted;
	int nsource;
	SourceColumn *column; /* [nsource] */
	List *clauses;        /* of char *: columns */
	List *constraints;    /* of Rule * */
};

/* ---------------------------------------------------------------- statements */

int
mg_path_pin(void)
{
	int nest = NewGUCNestLevel();

	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
	return nest;
}

void
mg_path_release(int pinned)
{
	AtEOXact_GUC(true, pinned);
}

void
mg_statement_run(const char *sql)
{
	MemoryContext old = CurrentMemoryContext;
	int rc = SPI_execute(sql, false, 0);

	MemoryContextSwitchTo(old);
	if (rc < 0)
		elog(ERROR, "a statement failed: %s", SPI_result_code_string(rc));
}

char *
mg_statement_text(const char *sql)
{
	MemoryContext old = CurrentMemoryContext;
	SPIPlanPtr plan = SPI_prepare(sql, 0, NULL);
	Snapshot snapshot;
	char *value = NULL;
	int rc;

	if (plan == NULL)
		elog(ERROR, "could not prepare a statement: %s", SPI_result_code_string(SPI_result));
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	rc = SPI_execute_snapshot(plan, NULL, NULL, snapshot, InvalidSnapshot, true, false, 1);
	UnregisterSnapshot(snapshot);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "a query failed: %s", SPI_result_code_string(rc));
	MemoryContextSwitchTo(old);
	if (SPI_processed > 0)
	{
		char *text = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

		value = text == NULL ? NULL : pstrdup(text);
	}
	SPI_freetuptable(SPI_tuptable);
	SPI_freeplan(plan);
	return value;
}

/* A query on the catalogs about relation $1. */
static uint64
look_up(const char *sql, Oid relid)
{
	MemoryContext old = CurrentMemoryContext;
	Oid type = OIDOID;
	Datum arg = ObjectIdGetDatum(relid);
	int rc = SPI_execute_with_args(sql, 1, &type, &arg, NULL, true, 0);

	MemoryContextSwitchTo(old);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "a query on the catalogs failed: %s", SPI_result_code_string(rc));
	return SPI_processed;
}

static Datum
field(uint64 row, int col, bool *null)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, col, null);
}

static char *
text_field(uint64 row, int col)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, col);
}

/* ---------------------------------------------------------------- the source */

static const char *const columns_query =
	"SELECT a.attname::text, a.attnum, a.atttypid, a.attidentity, a.attgenerated, "
	"pg_get_expr(d.adbin, d.adrelid), d.adbin::text, "
	"CASE WHEN a.attcollation <> t.typcollation THEN format('%I.%I', n.nspname, c.collname) END "
	"FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid "
	"LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum "
	"LEFT JOIN pg_collation c ON c.oid = a.attcollation LEFT JOIN pg_namespace n ON n.oid = c.collnamespace "
	"WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

static const MgColumn *
model_column(const MgRelease *release, const char *name, Oid type)
{
	const MgColumn *column = mg_columns_find(mg_release_columns(release), name);

	return column != NULL && column->type == type ? column : NULL;
}

static void
read_source(MgLikeness *like, const MgRelease *release, Oid source)
{
	uint64 n = look_up(columns_query, source);

	like->column = palloc0(sizeof(SourceColumn) * Max(n, 1));
	like->nsource = (int) n;
	for (uint64 i = 0; i < n; i++)
	{
		SourceColumn *c = &like->column[i];
		char *tree = text_field(i, 7);
		bool null;

		c->name = text_field(i, 1);
		c->attnum = DatumGetInt16(field(i, 2, &null));
		c->type = DatumGetObjectId(field(i, 3, &null));
		c->identity = DatumGetChar(field(i, 4, &null));
		c->generated = DatumGetChar(field(i, 5, &null));
		c->expression = text_field(i, 6);
		c->tree = tree == NULL ? NULL : stringToNode(tree);
		c->collation = text_field(i, 8);
		c->column = model_column(release, c->name, c->type);
	}
	SPI_freetuptable(SPI_tuptable);
}

static const SourceColumn *
source_column(const MgLikeness *like, AttrNumber attnum)
{
	for (int i = 0; i < like->nsource; i++)
		if (like->column[i].attnum == attnum)
			return &like->column[i];
	return NULL;
}

static const SourceColumn *
source_of(const MgLikeness *like, const MgColumn *column)
{
	for (int i = 0; i < like->nsource; i++)
		if (like->column[i].column == column)
			return &like->column[i];
	return NULL;
}

/* Are all attributes of the expression columns that the new table has? A whole row or a system column is none. */
static bool
is_covered(const MgLikeness *like, Node *tree)
{
	Bitmapset *attrs = NULL;
	int a = -1;

	pull_varattnos(tree, 1, &attrs);
	while ((a = bms_next_member(attrs, a)) >= 0)
	{
		const SourceColumn *c = source_column(like, (AttrNumber) (a + FirstLowInvalidHeapAttributeNumber));

		if (c == NULL || c->column == NULL)
			return false;
	}
	return true;
}

static bool
may_run(const MgLikeness *like, Node *tree)
{
	return like->trusted || mg_expression_is_inert(tree);
}

static void
tell_left_out(const char *what, const char *name, const MgLikeness *like, const char *why)
{
	ereport(NOTICE, (errmsg("%s \"%s\" of %s is left out: %s", what, name, like->source, why)));
}

/* ---------------------------------------------------------------- columns */

/* Identity columns are of these types alone. */
static bool
may_be_identity(const MgColumn *column)
{
	return column->kind == MG_COLUMN_IDENTIFIER &&
		   (column->type == INT2OID || column->type == INT4OID || column->type == INT8OID);
}

static void
add_default(StringInfo buf, const MgLikeness *like, const SourceColumn *c)
{
	if (mg_expression_draws(c->tree))
	{
		if (may_be_identity(c->column))
			appendStringInfoString(buf, " GENERATED BY DEFAULT AS IDENTITY");
		else
			tell_left_out("the default of column", c->name, like, "it draws from a sequence.");
	}
	else if (may_run(like, c->tree))
		appendStringInfo(buf, " DEFAULT %s", c->expression);
	else
		tell_left_out("the default of column", c->name, like, "it may run code of others.");
}

/* An expression that cannot be had leaves a column that is filled with the model's values. */
static void
add_generation(StringInfo buf, const MgLikeness *like, const SourceColumn *c)
{
	if (!is_covered(like, c->tree))
		tell_left_out("the generation of column", c->name, like, "it needs columns that the model does not have.");
	else if (!may_run(like, c->tree))
		tell_left_out("the generation of column", c->name, like, "it may run code of others.");
	else
		appendStringInfo(buf, " GENERATED ALWAYS AS (%s) %s", c->expression,
						 c->generated == ATTRIBUTE_GENERATED_STORED ? "STORED" : "VIRTUAL");
}

static char *
type_text(const MgLikeness *like, const MgColumn *column)
{
	if (like->trusted || column->type == column->base)
		return mg_column_type_text(column);
	return format_type_extended(column->base, column->base_typmod,
								FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
}

static char *
column_clause(const MgLikeness *like, const MgColumn *column)
{
	const SourceColumn *c = source_of(like, column);
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s %s", quote_identifier(column->name), type_text(like, column));
	if (c != NULL && c->collation != NULL)
		appendStringInfo(&buf, " COLLATE %s", c->collation);
	if (c != NULL && c->identity != '\0' && may_be_identity(column))
		appendStringInfo(&buf, " GENERATED %s AS IDENTITY",
						 c->identity == ATTRIBUTE_IDENTITY_ALWAYS ? "ALWAYS" : "BY DEFAULT");
	else if (c != NULL && c->generated != '\0')
		add_generation(&buf, like, c);
	else if (c != NULL && c->tree != NULL)
		add_default(&buf, like, c);
	if (column->notnull)
		appendStringInfoString(&buf, " NOT NULL");
	return buf.data;
}

/* ---------------------------------------------------------------- constraints */

static const char *const constraints_query =
	"SELECT conname::text, contype, pg_get_constraintdef(oid), conkey, pg_get_expr(conbin, conrelid), conbin::text, "
	"confrelid FROM pg_constraint WHERE conrelid = $1 AND contype IN ('p', 'u', 'c', 'f', 'x') "
	"ORDER BY array_position('{c,p,u,f,x}', contype), conname";

typedef struct Key
{
	int n, found, identifiers; /* columns; of them in the model; of these identifiers */
} Key;

static Key
read_key(const MgLikeness *like, uint64 row)
{
	Key key = {0, 0, 0};
	bool null;
	Datum value = field(row, 4, &null);
	ArrayType *array;
	int16 *attnum;

	if (null)
		return key;
	array = DatumGetArrayTypeP(value);
	attnum = (int16 *) ARR_DATA_PTR(array);
	key.n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	for (int i = 0; i < key.n; i++)
	{
		const SourceColumn *c = source_column(like, attnum[i]);

		if (c == NULL || c->column == NULL)
			continue;
		key.found++;
		key.identifiers += c->column->kind == MG_COLUMN_IDENTIFIER;
	}
	return key;
}

/* Why a foreign key cannot be had; NULL where it can. */
static const char *
why_not_reference(Oid target)
{
	switch (mg_relation_publicness(target))
	{
		case MG_PUBLIC:
			return NULL;
		case MG_PUBLIC_TIED:
			return "the table that it refers to is protected, or refers to one that is.";
		default:
			if (mg_relation_protection(target, true) != NULL)
				return "the table that it refers to is protected.";
			return "the table that it refers to is not declared public.";
	}
}

/* Ended the text so? Then not any more. */
static bool
cut_off(char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	if (n < m || strcmp(text + n - m, end) != 0)
		return false;
	text[n - m] = '\0';
	return true;
}

/* Why this constraint cannot be had; NULL where it can be tried. *clause: what follows ADD. */
static const char *
judge_constraint(const MgLikeness *like, uint64 row, Key key, Oid target, char type, const char *name, char **clause)
{
	char *tree;
	Node *node;

	if (type == CONSTRAINT_EXCLUSION)
		return "rows of a model do not exclude one another.";
	if (type != CONSTRAINT_CHECK && key.found < key.n)
		return "it needs columns that the model does not have.";
	*clause = text_field(row, 3);
	if (cut_off(*clause, " NOT ENFORCED"))
		return "it is not enforced.";
	/* rows that are new are looked at */
	(void) cut_off(*clause, " NOT VALID");
	if (type == CONSTRAINT_FOREIGN)
		return why_not_reference(target);
	if (type != CONSTRAINT_CHECK)
		return key.identifiers > 0 ? NULL : "rows of a model are unique by identifiers alone.";
	tree = text_field(row, 6);
	node = tree == NULL ? NULL : stringToNode(tree);
	if (node == NULL || !is_covered(like, node))
		return "it needs columns that the model does not have.";
	if (!may_run(like, node))
		return "it may run code of others.";
	*clause = psprintf("CONSTRAINT %s CHECK (%s)", quote_identifier(name), text_field(row, 5));
	return NULL;
}

/* The lookup of a foreign key's target uses SPI itself, so the rows are kept aside meanwhile. */
static void
read_constraints(MgLikeness *like, Oid source)
{
	uint64 n = look_up(constraints_query, source);
	SPITupleTable *table = SPI_tuptable;

	for (uint64 i = 0; i < n; i++)
	{
		Rule *c = palloc0(sizeof(Rule));
		const char *why;
		bool null;

		SPI_tuptable = table;
		c->name = text_field(i, 1);
		c->type = DatumGetChar(field(i, 2, &null));
		why = judge_constraint(like, i, read_key(like, i), DatumGetObjectId(field(i, 7, &null)), c->type, c->name,
							   &c->clause);
		if (why == NULL)
			like->constraints = lappend(like->constraints, c);
		else
			tell_left_out("constraint", c->name, like, why);
	}
	SPI_freetuptable(table);
}

/* ---------------------------------------------------------------- creation */

static bool
trusts(Oid source)
{
	char *owner = NULL;
	Oid role;

	if (look_up("SELECT relowner FROM pg_class WHERE oid = $1", source) > 0)
		owner = text_field(0, 1);
	SPI_freetuptable(SPI_tuptable);
	if (owner == NULL)
		return false;
	role = (Oid) strtoul(owner, NULL, 10);
	return role == GetUserId();
}

MgLikeness *
mg_likeness_create(const MgRelease *release, Oid source)
{
	MgLikeness *like = palloc0(sizeof(MgLikeness));
	const MgColumns *columns = mg_release_columns(release);

	like->source = OidIsValid(source) ? mg_relation_name(source) : NULL;
	if (like->source != NULL)
	{
		like->trusted = trusts(source);
		read_source(like, release, source);
		read_constraints(like, source);
	}
	for (int i = 0; i < columns->n; i++)
		like->clauses = lappend(like->clauses, column_clause(like, &columns->col[i]));
	return like;
}

char *
mg_likeness_statement(const MgLikeness *like, const char *table)
{
	StringInfoData buf;
	ListCell *cell;

	initStringInfo(&buf);
	appendStringInfo(&buf, "CREATE TABLE %s (", table);
	foreach (cell, like->clauses)
		appendStringInfo(&buf, "%s%s", cell == list_head(like->clauses) ? "" : ", ", (char *) lfirst(cell));
	appendStringInfoChar(&buf, ')');
	return buf.data;
}

/* ---------------------------------------------------------------- the finished table */

/* What rows or rights can say against a constraint; anything else is an error of its own. */
static bool
is_objection(int code)
{
	switch (ERRCODE_TO_CATEGORY(code))
	{
		case MAKE_SQLSTATE('2', '2', '0', '0', '0'): /* a value that the expression cannot take */
		case MAKE_SQLSTATE('2', '3', '0', '0', '0'): /* a row that breaks it */
		case MAKE_SQLSTATE('4', '2', '0', '0', '0'): /* no right to refer to a table, or a name that is taken */
			return true;
		default:
			return false;
	}
}

/* Runs the statement in a subtransaction; NULL, or why it did not succeed. */
static char *
attempt(const char *sql)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	char *volatile why = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		mg_statement_run(sql);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (!is_objection(error->sqlerrcode))
			ReThrowError(error);
		why = pstrdup(error->message);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return why;
}

/* All CHECKs in one pass over the rows; true where that succeeded. */
static bool
add_checks_at_once(const MgLikeness *like, const char *table)
{
	StringInfoData buf;
	ListCell *cell;
	int n = 0;

	initStringInfo(&buf);
	appendStringInfo(&buf, "ALTER TABLE %s", table);
	foreach (cell, like->constraints)
	{
		const Rule *c = lfirst(cell);

		if (c->type == CONSTRAINT_CHECK)
			appendStringInfo(&buf, "%s ADD %s", n++ == 0 ? "" : ",", c->clause);
	}
	return n == 0 || attempt(buf.data) == NULL;
}

void
mg_likeness_constrain(const MgLikeness *like, const char *table)
{
	bool checked = add_checks_at_once(like, table);
	ListCell *cell;

	foreach (cell, like->constraints)
	{
		const Rule *c = lfirst(cell);
		char *why;

		if (c->type == CONSTRAINT_CHECK && checked)
			continue;
		why = attempt(psprintf("ALTER TABLE %s ADD %s", table, c->clause));
		if (why != NULL)
			tell_left_out("constraint", c->name, like, psprintf("%s.", why));
	}
}
