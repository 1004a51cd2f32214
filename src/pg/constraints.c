/*
 * pg/constraints.c: the table's constraints as conditions on rows of its model; see constraints.h.
 *
 * A CHECK that the domain of its only column says completely is left out (checks.c has it). Of the others those that
 * conditions.c understands, over columns that are learnt (or are always NULL or a constant, as excluded ones are), are
 * held to by synthesis; the rest is listed with the reason. NOT VALID constraints bind new rows, and synthetic rows are
 * new rows: they are kept by re-draws, but are no structural zeros, since rows of the table may break them. Those that
 * say nothing of child tables (NO INHERIT), and those of foreign tables and NOT ENFORCED ones, which bind nobody, are
 * not kept.
 *
 * Keys: fresh identifiers meet them within one call; what is learnt may repeat.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/prep.h"
#include "pg/checks.h"
#include "pg/compat.h"
#include "pg/conditions.h"
#include "pg/constraints.h"
#include "pg/server.h"
#include "pg/texts.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/relcache.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

#define MOST_DEFINITION 1000 /* bytes */

typedef struct Found
{
	const MgColumns *columns;
	MgScope scope;
	Relation rel;
	mg_arena *arena;
	const mg_domain **domains; /* [ncore] */
	mg_constraint *list;
	uint32 n, room;
} Found;

/* One row of pg_constraint. */
typedef struct Row
{
	Oid oid;
	char *name, type;
	bool valid, inherited, enforced;
	char *condition; /* CHECK; NULL otherwise */
	int nkeys;
	int16 *keys; /* unique keys and exclusion */
} Row;

/* ---------------------------------------------------------------- the list */

static char *
clipped(char *s)
{
	s[pg_mbcliplen(s, (int) strlen(s), MOST_DEFINITION)] = '\0';
	return s;
}

/* A new entry, not enforced; NULL when there are too many. */
static mg_constraint *
add(Found *f, const char *name, char *definition, const char *why)
{
	mg_constraint *c;

	if (f->n == MG_MAX_CONSTRAINTS)
		return NULL;
	if (f->n == f->room)
	{
		f->room = Max(8, f->room * 2);
		f->list = f->list == NULL ? palloc0(sizeof(*f->list) * f->room) : repalloc(f->list, sizeof(*f->list) * f->room);
	}
	c = &f->list[f->n++];
	memset(c, 0, sizeof(*c));
	c->name = name;
	c->definition = clipped(definition);
	c->why = why;
	c->rejected = -1;
	return c;
}

static char *
definition_of(Oid constraint)
{
	return TextDatumGetCString(OidFunctionCall1(F_PG_GET_CONSTRAINTDEF_OID, ObjectIdGetDatum(constraint)));
}

/* ---------------------------------------------------------------- the catalog */

static Row *
copy_row(HeapTuple tuple, TupleDesc desc)
{
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);
	Row *r = palloc0(sizeof(Row));
	bool null;
	Datum d;

	r->oid = form->oid;
	r->name = pstrdup(NameStr(form->conname));
	r->type = form->contype;
	r->valid = form->convalidated;
	r->inherited = !form->connoinherit;
	r->enforced = MG_CONSTRAINT_ENFORCED(form);
	d = heap_getattr(tuple, Anum_pg_constraint_conbin, desc, &null);
	if (!null)
		r->condition = TextDatumGetCString(d);
	d = heap_getattr(tuple, Anum_pg_constraint_conkey, desc, &null);
	if (!null)
	{
		ArrayType *keys = DatumGetArrayTypePCopy(d);

		r->nkeys = ARR_DIMS(keys)[0];
		r->keys = (int16 *) ARR_DATA_PTR(keys);
	}
	return r;
}

/* The constraints of a table or of a domain, by name. */
static List *
rows_of(Oid owner, bool domain)
{
	Relation rel = table_open(ConstraintRelationId, AccessShareLock);
	List *rows = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, domain ? Anum_pg_constraint_contypid : Anum_pg_constraint_conrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(owner));
	scan =
		systable_beginscan(rel, domain ? ConstraintTypidIndexId : ConstraintRelidTypidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		rows = lappend(rows, copy_row(tuple, RelationGetDescr(rel)));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return rows;
}

/* ---------------------------------------------------------------- CHECK */

/* The column of an attribute number; NULL: the model has none. */
static const MgColumn *
column_at(const Found *f, AttrNumber a)
{
	return a > 0 && a <= f->scope.nattrs && f->scope.column_of[a] >= 0 ? &f->columns->col[f->scope.column_of[a]] : NULL;
}

/* An excluded column is always NULL, or its constant default. */
static Node *
put_known(Node *node, Found *f)
{
	const MgColumn *col;
	bool byval;
	int16 len;
	Datum value = (Datum) 0;

	if (node == NULL)
		return NULL;
	if (!IsA(node, Var) || (col = column_at(f, ((Var *) node)->varattno)) == NULL || col->kind != MG_COLUMN_EXCLUDED)
		return expression_tree_mutator(node, put_known, f);
	get_typlenbyval(col->type, &len, &byval);
	if (col->pattern != NULL) /* of an inert type: see constant_default */
		value = mg_value_parse(col->base, col->base_typmod, col->pattern);
	return (Node *) makeConst(col->type, col->typmod, get_typcollation(col->type), len, value, col->pattern == NULL,
							  byval);
}

/* What an expression mentions. */
typedef struct Mentions
{
	const Found *found;
	Bitmapset *cores;
	char *why; /* something that no row of the model has */
} Mentions;

static bool
mentions_walker(Node *node, Mentions *m)
{
	const MgColumn *col;
	AttrNumber a;

	if (node == NULL)
		return false;
	if (IsA(node, CoerceToDomainValue) && m->found->scope.value != NULL)
		m->cores = bms_add_member(m->cores, m->found->scope.value->core);
	if (!IsA(node, Var))
		return expression_tree_walker(node, mentions_walker, m);
	a = ((Var *) node)->varattno;
	col = column_at(m->found, a);
	if (a <= 0)
		m->why = pstrdup("it refers to the whole row");
	else if (col == NULL)
		m->why = psprintf("column \"%s\" is not in the model",
						  NameStr(TupleDescAttr(RelationGetDescr(m->found->rel), a - 1)->attname));
	else if (col->core < 0)
		m->why = psprintf("column \"%s\" is not learnt", col->name);
	else
		m->cores = bms_add_member(m->cores, col->core);
	return false;
}

static mg_kind
kind_of_core(const void *arg, uint32_t col)
{
	return ((const Found *) arg)->domains[col]->kind;
}

/* Does its column's domain say all that the constraint says? */
static bool
is_domain_business(const Found *f, const Row *r, const Bitmapset *cores)
{
	const MgColumn *col = NULL;

	if (bms_num_members(cores) != 1 || !r->valid || !r->inherited)
		return false;
	for (int i = 0; i < f->columns->n; i++)
		if (f->columns->col[i].core >= 0 && bms_is_member(f->columns->col[i].core, cores))
			col = &f->columns->col[i];
	return col != NULL && !mg_texts_have(col->unused_checks, r->name) &&
		   !mg_texts_have(col->unused_checks, MG_CHECKS_CONTRADICT) &&
		   !mg_texts_have(col->unused_checks, "a list of allowed values");
}

/* The simplified condition in the core's terms; false with *why. */
static bool
understand(Found *f, const Row *r, Node *expr, mg_constraint *c)
{
	mg_expr *nodes;
	mg_ctx ctx;

	if (!mg_condition_translate(&f->scope, expr, &nodes, &c->nnodes))
	{
		c->nnodes = 0;
		c->why = "it is not made of comparisons that can be checked outside of the server";
		return false;
	}
	c->expr = nodes;
	mg_server_ctx(&ctx);
	if (mg_constraint_finish(&ctx, f->arena, (uint32) f->columns->ncore, kind_of_core, f, c) != MG_OK)
	{
		if (ctx.code != MG_INVALID)
			mg_throw(&ctx);
		c->nnodes = 0;
		c->why = "it is too long";
		return false;
	}
	c->how = MG_HOW_REDRAWS;
	c->sure = r->valid && r->inherited;
	return true;
}

/*
 * The condition with what is known of excluded columns, simplified. NULL: that raised an error of values, as a division
 * by a default of zero does, which rows of the table need not have.
 */
static Node *
simplify(Found *f, Node *expr)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	Node *volatile result = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		result = eval_const_expressions(NULL, put_known(expr, f));
		result = (Node *) canonicalize_qual((Expr *) result, true);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION)
			ReThrowError(error);
		result = NULL;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return result;
}

static void
read_check(Found *f, const Row *r, const char *name)
{
	Node *expr, *simple = NULL;
	Mentions m = {.found = f};
	mg_constraint *c;
	const char *why = NULL;

	if (r->type != CONSTRAINT_CHECK || r->condition == NULL)
		return;
	expr = stringToNode(r->condition);
	if (!r->enforced)
		why = "the table does not enforce it";
	else if (!r->inherited && f->rel->rd_rel->relhassubclass)
		why = "it says nothing of the rows of child tables";
	else if (mg_contains_foreign_code(expr))
		why = "it needs functions beyond the server's own immutable ones";
	else if ((simple = simplify(f, expr)) == NULL)
		why = "the default of a column that it mentions makes it an error";
	else
		expr = simple;
	mentions_walker(expr, &m);
	if (bms_is_empty(m.cores) && m.why == NULL)
		return; /* about excluded columns alone, or about nothing */
	if (why == NULL && m.why == NULL && is_domain_business(f, r, m.cores))
		return;
	c = add(f, name, definition_of(r->oid), why != NULL ? why : m.why);
	if (c != NULL && c->why == NULL)
		(void) understand(f, r, expr, c);
}

/* Constraints of a column's domain types that the column's own domain does not say. */
static void
read_domain(Found *f, const MgColumn *col)
{
	Oid type = col->type;

	f->scope.value = col;
	while (get_typtype(type) == TYPTYPE_DOMAIN)
	{
		HeapTuple tuple;
		ListCell *cell;

		foreach (cell, rows_of(type, true))
		{
			Row *r = lfirst(cell);

			read_check(f, r, psprintf("%s of %s", r->name, col->name));
		}
		tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for type %u", type);
		type = ((Form_pg_type) GETSTRUCT(tuple))->typbasetype;
		ReleaseSysCache(tuple);
	}
	f->scope.value = NULL;
}

/* ---------------------------------------------------------------- keys */

static void
read_key(Found *f, const char *name, char *definition, const int16 *keys, int nkeys)
{
	const char *why = "learnt values may repeat";
	bool fresh = false;
	mg_constraint *c;

	for (int i = 0; i < nkeys; i++)
	{
		const MgColumn *col = column_at(f, keys[i]);

		if (keys[i] != 0 && col == NULL)
			why = "a column of it is not in the model";
		else if (col != NULL && col->kind == MG_COLUMN_IDENTIFIER)
			fresh = true;
		else if (col != NULL && nkeys == 1)
			why = "learnt values may repeat; of kind identifier the column would get fresh ones";
	}
	c = add(f, name, definition, fresh ? "within one call: the next one begins anew" : why);
	if (c != NULL && fresh)
		c->how = MG_HOW_FRESH;
}

/* Unique indexes that are no constraint. */
static void
read_unique_indexes(Found *f)
{
	List *indexes = RelationGetIndexList(f->rel);
	ListCell *cell;

	foreach (cell, indexes)
	{
		Oid index = lfirst_oid(cell);
		HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
		Form_pg_index form;
		char *name = get_rel_name(index);

		if (!HeapTupleIsValid(tuple))
			continue;
		form = (Form_pg_index) GETSTRUCT(tuple);
		if (form->indisunique && form->indisvalid && name != NULL && !OidIsValid(get_index_constraint(index)))
			read_key(f, name, TextDatumGetCString(OidFunctionCall1(F_PG_GET_INDEXDEF_OID, ObjectIdGetDatum(index))),
					 form->indkey.values, form->indnkeyatts);
		ReleaseSysCache(tuple);
	}
	list_free(indexes);
}

/* ---------------------------------------------------------------- all of it */

static void
read_table(Found *f)
{
	ListCell *cell;

	foreach (cell, rows_of(RelationGetRelid(f->rel), false))
	{
		Row *r = lfirst(cell);

		if (r->type == CONSTRAINT_PRIMARY || r->type == CONSTRAINT_UNIQUE)
			read_key(f, r->name, definition_of(r->oid), r->keys, r->nkeys);
		else if (r->type == CONSTRAINT_EXCLUSION)
			(void) add(f, r->name, definition_of(r->oid), "it compares rows with each other");
		else
			read_check(f, r, r->name);
	}
	read_unique_indexes(f);
	for (int i = 0; i < f->columns->n; i++)
		if (f->columns->col[i].core >= 0)
			read_domain(f, &f->columns->col[i]);
}

static void
map_columns(Found *f, Oid source, Oid base)
{
	int *column_of;

	f->scope.columns = f->columns;
	f->scope.nattrs = RelationGetDescr(f->rel)->natts;
	f->scope.column_of = column_of = palloc(sizeof(int) * (f->scope.nattrs + 1));
	f->domains = palloc0(sizeof(*f->domains) * Max(f->columns->ncore, 1));
	for (int i = 0; i <= f->scope.nattrs; i++)
		column_of[i] = -1;
	for (int i = 0; i < f->columns->n; i++)
	{
		const MgColumn *col = &f->columns->col[i];
		AttrNumber a = mg_base_attribute(source, col->attnum, base);

		if (a > 0 && a <= f->scope.nattrs && column_of[a] < 0)
			column_of[a] = i;
		if (col->core >= 0)
			f->domains[col->core] = &col->domain;
	}
}

mg_constraint *
mg_read_constraints(Oid source, Oid base, const MgColumns *columns, uint32 *n)
{
	Found f = {.columns = columns};

	*n = 0;
	f.rel = try_relation_open(base, AccessShareLock);
	if (f.rel == NULL)
		return NULL;
	f.arena = mg_arena_create(0);
	if (f.arena == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	mg_release_with(CurrentMemoryContext, (void (*)(void *)) mg_arena_destroy, f.arena);
	map_columns(&f, source, base);
	if (f.rel->rd_rel->relkind != RELKIND_FOREIGN_TABLE)
		read_table(&f);
	relation_close(f.rel, AccessShareLock);
	*n = f.n;
	return f.list;
}
