/*
 * pg/columns.c: what the schema and the owner say about columns. Reads catalogs only.
 *
 * The order of the sources of a domain: what the owner declared, keys of a public table, ENUM labels, boolean,
 * validated CHECK constraints, the type's own range where it is small; what none of these bounds is learnt. A
 * declaration narrows what the constraints allow and never widens it. Owner of all memory: the context current at the
 * call.
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "pg/checks.h"
#include "pg/compat.h"
#include "pg/dependence.h"
#include "pg/inert.h"
#include "parser/parsetree.h"
#include "pg/pattern.h"
#include "rewrite/rewriteHandler.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

/* An integer column declared as a category is enumerated from its bounds up to this many values. */
#define MOST_ENUMERATED 1024

static const char *const kind_names[] = {"category", "number", "time", "identifier", "excluded"};

const char *
mg_column_kind_name(MgColumnKind kind)
{
	return kind_names[kind];
}

bool
mg_column_kind_parse(const char *name, MgColumnKind *kind)
{
	for (int i = 0; i < (int) lengthof(kind_names); i++)
	{
		if (strcmp(name, kind_names[i]) == 0)
		{
			*kind = (MgColumnKind) i;
			return true;
		}
	}
	return false;
}

char *
mg_column_type_text(const MgColumn *col)
{
	return format_type_extended(col->type, col->typmod, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
}

/* ---------------------------------------------------------------- facts of the catalogs */

/* Is the column alone the key of a primary key or a unique index, and never NULL? */
static bool
is_key(Relation rel, AttrNumber attnum, bool notnull)
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

static bool
is_serial(Relation rel, Form_pg_attribute att)
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

/* Is one of the domain types over which the column lies NOT NULL? */
static bool
domain_is_not_null(Oid type)
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

/*
 * The text of a default that is a constant, or NULL: what an excluded NOT NULL column can be filled with. base: the
 * type that reads it back, for whoever asks for rows, and so one whose input runs nobody's code.
 */
static char *
constant_default(Relation rel, Form_pg_attribute att, Oid base)
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

/* ---------------------------------------------------------------- one column */

/* The kind of a column that nobody said anything about. keyed: it holds keys of a public table. */
static MgColumnKind
default_kind(Relation rel, Form_pg_attribute att, MgTypeClass cls, bool notnull, bool keyed)
{
	if (cls == MG_TYPE_UUID && (!keyed || is_key(rel, att->attnum, notnull)))
		return MG_COLUMN_IDENTIFIER;
	if ((MG_TYPE_IS_INT(cls) || MG_TYPE_IS_TEXT(cls)) &&
		((!keyed && is_serial(rel, att)) || is_key(rel, att->attnum, notnull)))
		return MG_COLUMN_IDENTIFIER;
	if (MG_TYPE_IS_NUMBER(cls))
		return MG_COLUMN_NUMBER;
	if (MG_TYPE_IS_TIME(cls))
		return MG_COLUMN_TIME;
	return MG_COLUMN_CATEGORY;
}

static bool
kind_fits(MgColumnKind kind, MgTypeClass cls)
{
	switch (kind)
	{
		case MG_COLUMN_CATEGORY:
			return cls != MG_TYPE_NONE;
		case MG_COLUMN_NUMBER:
			return MG_TYPE_IS_NUMBER(cls);
		case MG_COLUMN_TIME:
			return MG_TYPE_IS_TIME(cls);
		case MG_COLUMN_IDENTIFIER:
			return MG_TYPE_IS_INT(cls) || MG_TYPE_IS_TEXT(cls) || cls == MG_TYPE_UUID;
		case MG_COLUMN_EXCLUDED:
			return true;
	}
	return false;
}

static void
unsupported_type(const MgColumn *col)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("column \"%s\" has type %s, which cannot be learnt", col->name, format_type_be(col->type)),
			 errhint(
				 "Leave it out: call dp_set_column for it with kind => 'excluded', or name the columns to train on.")));
}

static void
does_not_fit(const MgColumn *col, const char *parameter, const char *why)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("%s does not fit column \"%s\" of type %s", parameter, col->name, format_type_be(col->type)),
					errhint("%s", why)));
}

/* What the declaration implies, says, or gets wrong about the kind. */
static MgColumnKind
choose_kind(Relation rel, Form_pg_attribute att, const MgDeclaration *decl, const MgColumn *col, MgTypeClass cls,
			bool keyed)
{
	MgColumnKind kind;

	if (decl != NULL && decl->kind != NULL)
	{
		if (!mg_column_kind_parse(decl->kind, &kind))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown kind \"%s\"", decl->kind),
							errhint("Kinds are category, number, time, identifier and excluded.")));
		if (kind == MG_COLUMN_EXCLUDED || cls != MG_TYPE_NONE)
		{
			if (!kind_fits(kind, cls))
				does_not_fit(
					col, psprintf("kind \"%s\"", decl->kind),
					"Numbers need a numeric type, times a date or time type, identifiers an integer, text or uuid.");
			return kind;
		}
	}
	if (cls == MG_TYPE_NONE)
		unsupported_type(col);
	if (decl != NULL && decl->categories != NIL)
		return MG_COLUMN_CATEGORY;
	if (decl != NULL && (decl->lower != NULL || decl->upper != NULL) && MG_TYPE_HAS_AXIS(cls))
		return MG_TYPE_IS_NUMBER(cls) ? MG_COLUMN_NUMBER : MG_COLUMN_TIME;
	if (decl != NULL && decl->pattern != NULL)
		return MG_COLUMN_IDENTIFIER;
	return default_kind(rel, att, cls, col->notnull, keyed);
}

/* Parameters that make no sense for the kind. */
static void
check_parameters(const MgColumn *col, const MgDeclaration *decl, MgTypeClass cls)
{
	bool axis = col->kind == MG_COLUMN_NUMBER || col->kind == MG_COLUMN_TIME;

	if (decl == NULL)
		return;
	if ((decl->lower != NULL || decl->upper != NULL) && !axis)
		does_not_fit(col, "a bound (lower, upper)", "Bounds belong to columns of kind number or time.");
	if (decl->bins != 0 && !axis)
		does_not_fit(col, "bins", "Bins belong to columns of kind number or time.");
	if (decl->bins < 0 || decl->bins > MG_MAX_CELLS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("bins must be between 1 and %d", MG_MAX_CELLS)));
	if ((decl->categories != NIL || decl->other != NULL) && col->kind != MG_COLUMN_CATEGORY)
		does_not_fit(col, "categories or other", "They belong to columns of kind category.");
	if (decl->pattern != NULL && (col->kind != MG_COLUMN_IDENTIFIER || !MG_TYPE_IS_TEXT(cls)))
		does_not_fit(col, "pattern", "A pattern belongs to a text column of kind identifier.");
	if (decl->pattern != NULL)
		mg_pattern_check(decl->pattern, col->base_typmod);
	if (decl->depends_on != NIL && (col->kind == MG_COLUMN_IDENTIFIER || col->kind == MG_COLUMN_EXCLUDED))
		does_not_fit(col, "depends_on", "It belongs to columns of kind category, number or time.");
}

/* A declared bound as a point of the axis. */
static double
declared_bound(const MgColumn *col, MgTypeClass cls, const char *what, const char *literal)
{
	double v;

	if (!mg_axis_value(cls, mg_value_parse(col->base, col->base_typmod, literal), &v))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s of column \"%s\" must be finite", what, col->name)));
	return v;
}

/*
 * Known bounds go inwards to the lattice of emitted values. A range that holds none of its points falls back to the
 * type's own finer lattice, and then to none. (The type's own bounds are on the lattice already.)
 */
static void
align_bounds(mg_domain *d, bool lower, bool upper, double fine)
{
	double steps[] = {d->step, fine};

	for (int i = 0; i < (int) lengthof(steps); i++)
	{
		double low = lower ? mg_lattice_up(d->lower, steps[i], false) : d->lower;
		double high = upper ? mg_lattice_down(d->upper, steps[i], false) : d->upper;

		if (low <= high)
		{
			d->lower = low;
			d->upper = high;
			d->step = steps[i];
			return;
		}
	}
	d->step = 0;
}

/* The range of a number or time: declared, else checked, else the type's; closed when both ends are known. */
static void
number_domain(MgColumn *col, MgTypeClass cls, const MgDeclaration *decl, const MgChecks *checks)
{
	mg_domain *d = &col->domain;
	bool lower = checks->has_lower, upper = checks->has_upper, declared = false;
	MgAxis axis;

	mg_type_axis(cls, col->base_typmod, &axis);
	d->kind = MG_NUMBER;
	d->step = axis.step;
	d->lower = lower ? Max(axis.lower, checks->lower) : axis.lower;
	d->upper = upper ? Min(axis.upper, checks->upper) : axis.upper;
	d->bins = decl != NULL ? (uint32) decl->bins : 0;
	if (decl != NULL && decl->lower != NULL)
	{
		d->lower = Max(d->lower, declared_bound(col, cls, "lower", decl->lower));
		lower = declared = true;
	}
	if (decl != NULL && decl->upper != NULL)
	{
		d->upper = Min(d->upper, declared_bound(col, cls, "upper", decl->upper));
		upper = declared = true;
	}
	if (d->lower > d->upper)
	{
		if (declared)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("the bounds of column \"%s\" leave no value", col->name),
					 errhint("lower must not be above upper, and both must agree with the table's constraints.")));
		/* constraints beyond the type's own range: nothing but NULL; the type's range has to do */
		d->lower = axis.lower;
		d->upper = axis.upper;
		lower = upper = false;
		col->unused_checks = lappend(col->unused_checks, pstrdup(MG_CHECKS_CONTRADICT));
	}

	align_bounds(d, lower, upper, axis.fine);

	/* The hours of a day are as good as declared. */
	d->open = !(lower && upper) && cls != MG_TYPE_TIME;
	if (d->open)
		col->source = pstrdup("learnt");
	else
		col->source = pstrdup(declared                 ? "declared"
							  : !(lower && upper)      ? "type"
							  : checks->source != NULL ? checks->source
													   : "check");
}

/* Into the domain; texts must be distinct and are owned by the domain from here on. */
static void
set_labels(MgColumn *col, List *texts)
{
	mg_label *labels;
	ListCell *cell;
	uint32 n = 0;

	if (list_length(texts) > MG_MAX_LABELS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("column \"%s\" has more than %d categories", col->name, MG_MAX_LABELS),
						errhint("Declare fewer categories, or exclude the column.")));
	labels = palloc0(sizeof(mg_label) * Max(list_length(texts), 1));
	foreach (cell, texts)
	{
		char *text = lfirst(cell);
		size_t len = strlen(text);

		if (len > MG_MAX_LABEL_BYTES)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("a category of column \"%s\" is longer than %d bytes", col->name, MG_MAX_LABEL_BYTES)));
		labels[n].text = text;
		labels[n].len = (uint32) len;
		n++;
	}
	col->domain.nlabels = n;
	col->domain.labels = labels;
}

static bool
has_text(List *list, const char *text)
{
	ListCell *cell;

	foreach (cell, list)
	{
		if (strcmp(lfirst(cell), text) == 0)
			return true;
	}
	return false;
}

/*
 * A declared label in its canonical form. By the base type: to describe a column runs no domain's constraints, which
 * may be foreign code.
 */
static char *
declared_label(const MgColumn *col, MgTypeClass cls, const char *literal)
{
	return mg_value_text(cls, mg_value_parse(col->base, col->base_typmod, literal));
}

/* The integers between the bounds, when constraints give a short range for a column that was declared a category. */
static List *
enumerate(MgTypeClass cls, const MgChecks *checks)
{
	List *labels = NIL;

	if (!MG_TYPE_IS_INT(cls) || !checks->has_lower || !checks->has_upper ||
		checks->upper - checks->lower >= MOST_ENUMERATED)
		return NIL;
	for (double v = checks->lower; v <= checks->upper; v++)
		labels = lappend(labels, psprintf(INT64_FORMAT, (int64) v));
	return labels;
}

/* The labels of a category: declared ones within what the schema allows, else the schema's, else learnt. */
static void
category_domain(MgColumn *col, MgTypeClass cls, const MgDeclaration *decl, const MgChecks *checks)
{
	mg_domain *d = &col->domain;
	List *schema = NIL, *labels = NIL;
	const char *source = checks->source != NULL ? checks->source : "check";
	bool unlisted = false;
	ListCell *cell;

	d->kind = MG_CATEGORY;
	if (checks->has_labels)
		schema = checks->labels;
	else if (cls == MG_TYPE_ENUM)
	{
		schema = mg_enum_labels(col->base);
		source = "enum";
	}
	else if (cls == MG_TYPE_BOOL)
	{
		schema = list_make2(pstrdup("false"), pstrdup("true"));
		source = "boolean";
	}
	else
		schema = enumerate(cls, checks);

	if (decl != NULL && decl->categories != NIL)
	{
		foreach (cell, decl->categories)
		{
			char *text = declared_label(col, cls, lfirst(cell));

			if (schema != NIL && !has_text(schema, text))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("category \"%s\" of column \"%s\" is not allowed by the table", text, col->name)));
			if (!has_text(labels, text))
				labels = lappend(labels, text);
		}
		/* Only where the declaration names all that the schema allows is there nothing else. */
		unlisted = schema == NIL || list_length(labels) < list_length(schema);
		source = "declared";
	}
	else
		labels = schema;
	if (decl != NULL && decl->other != NULL)
		d->other = declared_label(col, cls, decl->other);
	if (d->other != NULL && schema != NIL && !has_text(schema, d->other))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("other of column \"%s\", \"%s\", is not allowed by the table", col->name, d->other)));
	if (d->other != NULL && strlen(d->other) > MG_MAX_LABEL_BYTES)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("other of column \"%s\" is longer than %d bytes", col->name, MG_MAX_LABEL_BYTES)));
	d->open = labels == NIL;
	d->has_other = d->open || unlisted;
	col->source = pstrdup(d->open ? "learnt" : source);
	if (!d->open)
		set_labels(col, labels);
}

/* A list of allowed values as bounds: of a column that was declared a number all the same. */
static void
bound_by_labels(const MgColumn *col, MgTypeClass cls, MgChecks *checks)
{
	ListCell *cell;

	foreach (cell, checks->labels)
	{
		double v;

		if (!mg_axis_value(cls, mg_value_parse(col->base, col->base_typmod, lfirst(cell)), &v))
			continue;
		/* the first one sets both; earlier bounds were applied to the list already */
		checks->lower = foreach_current_index(cell) == 0 ? v : Min(checks->lower, v);
		checks->upper = foreach_current_index(cell) == 0 ? v : Max(checks->upper, v);
		checks->has_lower = checks->has_upper = true;
	}
}

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
	col->notnull = mg_is_not_null(rel, att) || domain_is_not_null(col->type);
	col->core = -1;
	cls = mg_type_class(col->base);
	read_keys(rel, att, decl, cls, col, is_public, &keys);
	col->kind = choose_kind(rel, att, decl, col, cls, keys.has_labels || (keys.has_range && MG_TYPE_IS_INT(cls)));
	check_parameters(col, decl, cls);
	col->unused_checks = keys.unused;
	if (col->kind == MG_COLUMN_IDENTIFIER && OidIsValid(keys.relation))
		col->unused_checks = lappend(col->unused_checks, psprintf("%s (identifiers are made afresh)", keys.constraint));

	switch (col->kind)
	{
		case MG_COLUMN_EXCLUDED:
			col->source = pstrdup("declared");
			if (col->notnull)
				col->pattern = constant_default(rel, att, col->base);
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

	/* A list of allowed values says more than a range: such a column is a category unless it was declared otherwise. */
	if (checks.has_labels && col->kind != MG_COLUMN_CATEGORY)
	{
		if (decl == NULL || (decl->kind == NULL && decl->lower == NULL && decl->upper == NULL))
			col->kind = MG_COLUMN_CATEGORY;
		else
		{
			bound_by_labels(col, cls, &checks);
			col->unused_checks = lappend(col->unused_checks, pstrdup("a list of allowed values"));
		}
	}
	if (col->kind == MG_COLUMN_CATEGORY)
		category_domain(col, cls, decl, &checks);
	else
		number_domain(col, cls, decl, &checks);
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
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", relid)));
	return rel;
}

static bool
name_wanted(List *names, const char *name)
{
	return names == NIL || has_text(names, name);
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

/* ---------------------------------------------------------------- words */

/* The value at v as text, without quotes. */
static char *
axis_text(const MgColumn *col, double v)
{
	MgTypeClass cls = mg_type_class(col->base);

	return mg_value_text(cls, mg_axis_datum(cls, col->base_typmod, &col->domain, v));
}

static char *
labels_text(const mg_domain *d)
{
	StringInfoData s;

	initStringInfo(&s);
	for (uint32 i = 0; i < d->nlabels; i++)
	{
		if (i == 10 && d->nlabels > 12)
		{
			appendStringInfo(&s, ", .. (%u labels)", d->nlabels);
			break;
		}
		appendStringInfo(&s, "%s%s", i > 0 ? ", " : "", d->labels[i].text);
	}
	if (d->has_other)
		appendStringInfo(&s, ", other%s%s", d->other != NULL ? ": " : "", d->other != NULL ? d->other : "");
	return s.data;
}

char *
mg_domain_text(const MgColumn *col)
{
	const mg_domain *d = &col->domain;
	MgAxis axis;
	bool lower, upper;

	if (col->kind == MG_COLUMN_IDENTIFIER)
		return col->pattern != NULL ? psprintf("fresh values like %s", col->pattern) : pstrdup("fresh values");
	if (col->kind == MG_COLUMN_EXCLUDED)
		return pstrdup(col->pattern != NULL ? "always the default" : "always NULL");
	if (d->kind == MG_CATEGORY)
		return d->open ? pstrdup("learnt from the data, within budget") : labels_text(d);
	if (!d->open)
		return psprintf("%s .. %s", axis_text(col, d->lower), axis_text(col, d->upper));
	mg_type_axis(mg_type_class(col->base), col->base_typmod, &axis);
	lower = d->lower > axis.lower;
	upper = d->upper < axis.upper;
	if (!lower && !upper)
		return pstrdup("learnt from the data, within budget");
	return psprintf("%s%s, learnt from the data, within budget", lower ? "from " : "up to ",
					axis_text(col, lower ? d->lower : d->upper));
}

int64
mg_domain_codes(const MgColumn *col)
{
	const mg_domain *d = &col->domain;
	double values;

	if (col->core < 0 || d->open)
		return 0;
	if (d->kind == MG_CATEGORY)
		return (int64) d->nlabels + d->has_other + d->nullable;
	values = d->step > 0 ? rint((d->upper - d->lower) / d->step) + 1 : MG_MAX_CELLS;
	return (int64) Min(values, (double) MG_MAX_CELLS) + d->nullable;
}
