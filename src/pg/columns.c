/*
 * pg/columns.c: what the schema and the owner say about columns. Reads catalogs only.
 *
 * The order of the sources of a domain: what the owner declared, keys of a public table, ENUM labels, boolean,
 * validated CHECK constraints, the type's own range where it is small; what none of these bounds is learnt. A
 * declaration narrows what the constraints allow and never widens it. Owner of all memory: the context current at the
 * call.
 */
#include "postgres.h"

#include "access/relation.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "pg/attribute.h"
#include "pg/checks.h"
#include "pg/column_domain.h"
#include "pg/compat.h"
#include "pg/dependence.h"
#include "pg/server.h"
#include "pg/texts.h"
#include "rewrite/rewriteHandler.h"
#include "utils/lsyscache.h"
#include "utils/relcache.h"

/* ---------------------------------------------------------------- one column */

/*
 * A view's column that is nothing but a column of the one relation that the view reads: what the schema says of that
 * column holds for it. Follows views of views. joined: or that it reads among others, where the value is all that
 * matters, and what a join makes of rows has been vouched for. Returns the relation, opened, or NULL.
 */
static Relation
traced_relation(Relation view, AttrNumber attnum, bool joined, AttrNumber *traced)
{
	Relation rel = relation_open(RelationGetRelid(view), AccessShareLock);

	while (rel->rd_rel->relkind == RELKIND_VIEW)
	{
		Query *query = get_view_query(rel);
		TargetEntry *target = get_tle_by_resno(query->targetList, attnum);
		Var *var = target != NULL ? (Var *) target->expr : NULL;
		RangeTblEntry *rte;
		Relation next;

		if (var == NULL || !IsA(var, Var) || var->varlevelsup != 0 || var->varattno <= 0 ||
			query->setOperations != NULL || query->groupingSets != NIL ||
			(!joined &&
			 (list_length(query->jointree->fromlist) != 1 || !IsA(linitial(query->jointree->fromlist), RangeTblRef) ||
			  linitial_node(RangeTblRef, query->jointree->fromlist)->rtindex != (int) var->varno)))
			break;
		rte = list_nth_node(RangeTblEntry, query->rtable, (int) var->varno - 1);
		if (rte->rtekind != RTE_RELATION)
			break;
		attnum = var->varattno;
		next = try_relation_open(rte->relid, AccessShareLock);
		relation_close(rel, AccessShareLock);
		if (next == NULL)
			return NULL;
		rel = next;
	}
	*traced = attnum;
	if (rel->rd_rel->relkind != RELKIND_VIEW)
		return rel;
	relation_close(rel, AccessShareLock);
	return NULL;
}

/* The public keys of a column; not of one that is declared never to be learnt. */
static void
read_keys(Relation rel, Form_pg_attribute att, const MgDeclaration *decl, MgTypeClass cls, const MgColumn *col,
		  MgPublicLookup is_public, MgKeys *keys)
{
	MgColumnKind kind = MG_COLUMN_CATEGORY;

	memset(keys, 0, sizeof(*keys));
	if (decl != NULL && decl->kind != NULL)
		(void) mg_column_kind_parse(decl->kind, &kind);
	if (kind != MG_COLUMN_IDENTIFIER && kind != MG_COLUMN_EXCLUDED)
		mg_read_keys(rel, att->attnum, cls, col->base_typmod, is_public, keys);
}

/*
 * What the schema and the owner say about an attribute of a relation with rows of its own (or of a view that could
 * not be seen through).
 */
static void
describe_attribute(Relation rel, Form_pg_attribute att, const MgDeclaration *decl, MgPublicLookup is_public,
				   MgColumn *col)
{
	MgTypeClass cls;
	MgChecks checks;
	MgKeys keys;

	col->type = att->atttypid;
	col->typmod = col->base_typmod = att->atttypmod;
	col->base = getBaseTypeAndTypmod(col->type, &col->base_typmod);
	col->notnull = mg_is_not_null(rel, att) || mg_domain_is_not_null(col->type);
	col->core = -1;
	cls = mg_type_class(col->base);
	read_keys(rel, att, decl, cls, col, is_public, &keys);
	col->kind = mg_column_choose_kind(rel, att, decl, col, keys.has_labels || (keys.has_range && MG_TYPE_IS_INT(cls)));
	mg_column_check_parameters(col, decl);
	col->unused_checks = keys.unused;
	if (col->kind == MG_COLUMN_IDENTIFIER && OidIsValid(keys.relation))
		col->unused_checks = lappend(col->unused_checks, psprintf("%s (identifiers are made afresh)", keys.constraint));

	switch (col->kind)
	{
		case MG_COLUMN_EXCLUDED:
			col->source = pstrdup("declared");
			if (col->notnull)
				col->pattern = mg_constant_default(rel, att, col->base);
			return;
		case MG_COLUMN_IDENTIFIER:
			col->source = pstrdup("identifier");
			if (decl != NULL && decl->pattern != NULL)
				col->pattern = pstrdup(decl->pattern);
			return;
		case MG_COLUMN_CATEGORY:
		case MG_COLUMN_NUMBER:
		case MG_COLUMN_TIME:
			break;
	}
	mg_read_checks(rel, att->attnum, col->type, cls, col->base_typmod, &checks);
	col->unused_checks = list_concat(checks.unused, keys.unused);
	col->notnull |= checks.notnull;
	if (OidIsValid(keys.relation))
	{
		if (mg_checks_add_keys(&checks, &keys, cls, col->base, col->base_typmod))
		{
			col->keys_of = keys.relation;
			col->keys_by = keys.constraint_oid;
			col->key_attnum = keys.attnum;
		}
		else
			col->unused_checks =
				lappend(col->unused_checks, psprintf("%s (no key satisfies the other constraints)", keys.constraint));
	}

	mg_column_set_domain(col, decl, &checks);
	col->domain.name = col->name;
	col->domain.nullable = !col->notnull;
}

static void
begin_column(Form_pg_attribute att, MgColumn *col)
{
	memset(col, 0, sizeof(*col));
	col->attnum = att->attnum;
	col->name = pstrdup(NameStr(att->attname));
}

/*
 * Everything about one attribute but its index in the core, and what it depends on: *depends_on is the owner's word.
 * declared: NULL: nothing is.
 */
static void
describe(Relation rel, Form_pg_attribute att, MgDeclarationLookup declared, MgPublicLookup is_public, MgColumn *col,
		 List **depends_on)
{
	Relation under = rel;
	AttrNumber attnum = att->attnum;
	MgDeclaration *decl = NULL;

	begin_column(att, col);
	if (rel->rd_rel->relkind == RELKIND_VIEW)
		under = traced_relation(rel, att->attnum, false, &attnum);
	if (under == NULL)
	{
		describe_attribute(rel, att, NULL, is_public, col);
		return;
	}
	att = TupleDescAttr(RelationGetDescr(under), attnum - 1);
	if (declared != NULL)
		decl = declared(RelationGetRelid(under), NameStr(att->attname));
	describe_attribute(under, att, decl, is_public, col);
	col->under = RelationGetRelid(under);
	col->under_name = pstrdup(NameStr(att->attname));
	*depends_on = decl != NULL ? decl->depends_on : NIL;
	if (under != rel)
		relation_close(under, AccessShareLock);
}

/* ---------------------------------------------------------------- relations */

static Relation
open_source(Oid relid)
{
	Relation rel = try_relation_open(relid, AccessShareLock);

	if (rel == NULL)
		mg_refuse_unknown_relation(relid);
	return rel;
}

static bool
name_wanted(List *names, const char *name)
{
	return names == NIL || mg_texts_have(names, name);
}

static Form_pg_attribute
find_attribute(Relation rel, const char *name)
{
	TupleDesc desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return att;
	}
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
					errmsg("column \"%s\" of relation \"%s\" does not exist", name, RelationGetRelationName(rel))));
	return NULL;
}

MgColumns *
mg_describe_columns(Oid relid, List *names, MgDeclarationLookup declared, MgPublicLookup is_public)
{
	Relation rel = open_source(relid);
	TupleDesc desc = RelationGetDescr(rel);
	MgColumns *columns = palloc0(sizeof(MgColumns));
	List **depends_on = palloc0(sizeof(List *) * Max(desc->natts, 1));
	ListCell *cell;

	foreach (cell, names)
		(void) find_attribute(rel, lfirst(cell));
	columns->col = palloc0(sizeof(MgColumn) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		MgColumn *col = &columns->col[columns->n];

		if (att->attisdropped || !name_wanted(names, NameStr(att->attname)))
			continue;
		describe(rel, att, declared, is_public, col, &depends_on[columns->n]);
		if (col->kind != MG_COLUMN_IDENTIFIER && col->kind != MG_COLUMN_EXCLUDED)
			col->core = columns->ncore++;
		columns->n++;
	}
	for (int i = 0; i < columns->n; i++)
		mg_resolve_dependence(columns, i, depends_on[i]);
	/* Not kept: a caller that waits for a worker must not stand in the way of others. */
	relation_close(rel, AccessShareLock);
	return columns;
}

char *
mg_source_column(Oid source, Oid base, AttrNumber attnum)
{
	Relation rel = open_source(source);
	TupleDesc desc = RelationGetDescr(rel);
	char *found = NULL;

	for (int i = 0; i < desc->natts && found == NULL; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		AttrNumber traced = att->attnum;
		Relation under;

		if (att->attisdropped || (under = traced_relation(rel, att->attnum, true, &traced)) == NULL)
			continue;
		if (RelationGetRelid(under) == base && traced == attnum)
			found = pstrdup(NameStr(att->attname));
		relation_close(under, AccessShareLock);
	}
	relation_close(rel, AccessShareLock);
	return found;
}

AttrNumber
mg_base_attribute(Oid source, AttrNumber attnum, Oid base)
{
	Relation rel, under;
	AttrNumber traced = InvalidAttrNumber;

	if (source == base)
		return attnum;
	rel = open_source(source);
	under = traced_relation(rel, attnum, false, &traced);
	if (under == NULL || RelationGetRelid(under) != base)
		traced = InvalidAttrNumber;
	if (under != NULL)
		relation_close(under, AccessShareLock);
	relation_close(rel, AccessShareLock);
	return traced;
}

MgColumn *
mg_columns_find(const MgColumns *columns, const char *name)
{
	for (int i = 0; i < columns->n; i++)
		if (strcmp(columns->col[i].name, name) == 0)
			return &columns->col[i];
	return NULL;
}

List *
mg_columns_names(const MgColumns *columns)
{
	List *names = NIL;

	for (int i = 0; i < columns->n; i++)
		names = lappend(names, columns->col[i].name);
	return names;
}

void
mg_require_trainable(const MgColumns *columns)
{
	if (columns->ncore == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("there is no column to learn"),
						errhint("Columns of kind identifier and excluded are not learnt.")));
	for (int i = 0; i < columns->n; i++)
	{
		const MgColumn *col = &columns->col[i];

		if (col->kind == MG_COLUMN_EXCLUDED && col->notnull && col->pattern == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("column \"%s\" is excluded, but it is NOT NULL and has no constant default", col->name),
					 errhint("Leave it out of the columns to train on, or give it a default; of a type with domains "
							 "inside none counts.")));
	}
}

/*
 * Literals in canonical form: what is stored means the same under every DateStyle and TimeZone. Labels are judged by
 * the declared type, with a domain's constraints.
 */
static void
canonicalize_decl(const MgColumn *col, MgDeclaration *decl)
{
	MgTypeClass cls = mg_type_class(col->base);
	ListCell *cell;

	if (decl->lower != NULL)
		decl->lower = mg_value_text(cls, mg_value_parse(col->base, col->base_typmod, decl->lower));
	if (decl->upper != NULL)
		decl->upper = mg_value_text(cls, mg_value_parse(col->base, col->base_typmod, decl->upper));
	if (decl->other != NULL)
		decl->other = mg_value_text(cls, mg_value_parse(col->type, col->typmod, decl->other));
	foreach (cell, decl->categories)
		lfirst(cell) = mg_value_text(cls, mg_value_parse(col->type, col->typmod, lfirst(cell)));
}

/* A column that another one may be a function of. */
static void
check_determinant(Relation rel, const MgColumn *col, const char *name, MgDeclarationLookup declared,
				  MgPublicLookup is_public)
{
	Form_pg_attribute att = find_attribute(rel, name);
	MgColumn det;

	if (strcmp(name, col->name) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("column \"%s\" cannot depend on itself", col->name)));
	begin_column(att, &det);
	describe_attribute(rel, att, declared(RelationGetRelid(rel), name), is_public, &det);
	mg_require_determinant(col, &det);
}

void
mg_check_declaration(Oid relid, const char *column, MgDeclaration *decl, MgDeclarationLookup declared,
					 MgPublicLookup is_public)
{
	Relation rel = open_source(relid);
	Form_pg_attribute att = find_attribute(rel, column);
	MgColumn col;
	ListCell *cell;

	begin_column(att, &col);
	describe_attribute(rel, att, decl, is_public, &col);
	canonicalize_decl(&col, decl);
	foreach (cell, decl->depends_on)
		check_determinant(rel, &col, lfirst(cell), declared, is_public);
	relation_close(rel, AccessShareLock);
}

/* ---------------------------------------------------------------- stored models */

MgColumn *
mg_column_from_catalog(const char *name, const char *type, MgColumnKind kind, bool notnull, const char *pattern,
					   int core, const mg_column *learnt)
{
	MgColumn *col = palloc0(sizeof(MgColumn));

	col->name = pstrdup(name);
	if (!mg_parse_type(type, &col->type, &col->typmod))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("type %s of the model's column \"%s\" does not exist any more", type, name),
						errhint("The model cannot give rows with this column until the type is there again.")));
	col->base_typmod = col->typmod;
	col->base = getBaseTypeAndTypmod(col->type, &col->base_typmod);
	col->notnull = notnull;
	col->kind = kind;
	col->pattern = pattern != NULL ? pstrdup(pattern) : NULL;
	col->source = pstrdup("model");
	col->core = core;
	if (core >= 0)
	{
		if (learnt == NULL || mg_type_class(col->base) == MG_TYPE_NONE ||
			(learnt->domain.kind == MG_NUMBER && !MG_TYPE_HAS_AXIS(mg_type_class(col->base))))
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("type %s does not fit the model's column \"%s\" any more", type, name)));
		col->domain = learnt->domain;
	}
	return col;
}
