/*
 * emit/target.c: the table that dp_materialize fills; see target.h.
 *
 * Identifiers. A column that draws from a sequence, by identity or default, is left to it: whatever others insert
 * meanwhile, nobody draws a number twice. Other integers and texts are numbered after the largest that the table has.
 * For that, fills of one table wait for one another (an object lock of ours, to the end of the transaction) and look in
 * the latest snapshot, whatever the isolation level; INSERTs of others are not held up, and meet a unique index where
 * there is one. UUIDs are drawn.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/transam.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "emit/target.h"
#include "miscadmin.h"
#include "pg/compat.h"
#include "pg/identifier.h"
#include "pg/inert.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* ---------------------------------------------------------------- finding */

static void
refuse_relation(const char *name, const char *what, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" %s", name, what), errhint("%s", hint)));
}

/* Before the lock is taken: a table that the caller may insert into, at least some columns of it. */
static void
check_found(const RangeVar *rel, Oid relid, Oid old, void *arg)
{
	char kind;

	if (!OidIsValid(relid) || relid == old)
		return;
	kind = get_rel_relkind(relid);
	if (kind == '\0')
		return;
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_FOREIGN_TABLE)
		refuse_relation(rel->relname, "is not a table", "Rows are written into tables; name the one behind it.");
	if (relid < FirstNormalObjectId || get_rel_namespace(relid) == get_namespace_oid("mirage", true))
		refuse_relation(rel->relname, "belongs to the system", "Name a table of your own.");
	if (pg_class_aclcheck(relid, GetUserId(), ACL_INSERT) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(relid, GetUserId(), ACL_INSERT, ACLMASK_ANY) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(kind), rel->relname);
}

/* Synthetic rows among people would be trained on as people. */
static void
refuse_protected(Oid relid)
{
	if (mg_relation_protection(relid, true) != NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("table \"%s\" is protected", mg_relation_name(relid)),
						errdetail("Synthetic rows in it would be counted as people."), errhint("Name another table.")));
}

static char *
qualified_name(Oid schema, const char *table)
{
	return quote_qualified_identifier(get_namespace_name(schema), table);
}

static void
create(MgTarget *t, const MgRelease *release, const RangeVar *wanted)
{
	RangeVar *rel = copyObject((RangeVar *) wanted);
	Oid schema = RangeVarGetCreationNamespace(rel);
	AclResult result;
	int pinned;

	result = mg_namespace_aclcheck(schema, GetUserId(), ACL_CREATE);
	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_SCHEMA, get_namespace_name(schema));
	t->name = qualified_name(schema, rel->relname);
	pinned = mg_path_pin();
	t->like = mg_likeness_create(release, mg_model_origin(mg_release_model_id(release)));
	mg_statement_run(mg_likeness_statement(t->like, t->name));
	mg_path_release(pinned);
	t->relid = get_relname_relid(rel->relname, schema);
	if (!OidIsValid(t->relid))
		elog(ERROR, "table %s was made and is not there", t->name);
	ereport(NOTICE, (errmsg("table %s is created", t->name)));
}

static void
find(MgTarget *t, const MgRelease *release, const char *name, MgExisting existing)
{
	RangeVar *rel = makeRangeVarFromNameList(mg_qualified_name_list(name));

	t->relid = RangeVarGetRelidExtended(rel, RowExclusiveLock, RVR_MISSING_OK, check_found, NULL);
	if (!OidIsValid(t->relid))
	{
		if (existing == MG_EXISTING_ONLY)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("table \"%s\" does not exist", name),
							errhint("Leave out existing => true to have it created.")));
		create(t, release, rel);
		return;
	}
	if (existing == MG_NEW_ONLY)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE), errmsg("table \"%s\" already exists", mg_relation_name(t->relid)),
				 errhint("Leave out existing => false to have it filled.")));
	refuse_protected(t->relid);
	t->name = qualified_name(get_rel_namespace(t->relid), get_rel_name(t->relid));
}

/* ---------------------------------------------------------------- columns */

static bool
draws(Relation rel, Form_pg_attribute att)
{
	return att->attidentity != '\0' ||
		   (att->atthasdef && att->attgenerated == '\0' && mg_expression_draws(build_column_default(rel, att->attnum)));
}

/* The model's column behind an attribute; NULL: the attribute gets its default. */
static const MgColumn *
column_for(Relation rel, Form_pg_attribute att, const MgColumns *columns)
{
	const MgColumn *c;

	if (att->attisdropped || att->attgenerated != '\0' || att->attidentity != '\0')
		return NULL;
	c = mg_columns_find(columns, NameStr(att->attname));
	if (c == NULL)
		return NULL;
	if (c->kind == MG_COLUMN_EXCLUDED && (att->atthasdef || !c->notnull || c->pattern == NULL))
		return NULL;
	return c->kind == MG_COLUMN_IDENTIFIER && draws(rel, att) ? NULL : c;
}

/* A column that would be NULL and must not, where nothing can change that before it is looked at. */
static void
check_left_out(Relation rel, Form_pg_attribute att)
{
	if (att->attisdropped || !att->attnotnull || att->atthasdef || att->attidentity != '\0' ||
		(rel->trigdesc != NULL && rel->trigdesc->trig_insert_before_row) ||
		rel->rd_rel->relkind == RELKIND_FOREIGN_TABLE)
		return;
	ereport(ERROR, (errcode(ERRCODE_NOT_NULL_VIOLATION),
					errmsg("column \"%s\" of table \"%s\" must not be NULL, and the model has no value for it",
						   NameStr(att->attname), RelationGetRelationName(rel)),
					errhint("Give it a default.")));
}

/* ---------------------------------------------------------------- identifiers */

/* Fills of one table, or of one partitioned table, go one after the other. */
static void
lock_numbers(Oid relid)
{
	Oid class = get_relname_relid("relation", get_namespace_oid("mirage", false));
	List *ancestors = get_rel_relispartition(relid) ? get_partition_ancestors(relid) : NIL;

	LockDatabaseObject(class, ancestors == NIL ? relid : llast_oid(ancestors), 1, ExclusiveLock);
}

static void
check_room(const MgRelease *release, const MgColumn *c, Oid type, bool known, uint64 first)
{
	uint64 room = mg_identifier_room(c, type);

	if (!known || first > room || (uint64) mg_release_rows(release) > room - first)
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("column \"%s\" has no room for so many identifiers", c->name),
						errhint("Use a wider type or a longer pattern, or ask for fewer rows.")));
}

static bool
may(AclMode what, Oid relid, AttrNumber attnum)
{
	return pg_class_aclcheck(relid, GetUserId(), what) == ACLCHECK_OK ||
		   pg_attribute_aclcheck(relid, attnum, GetUserId(), what) == ACLCHECK_OK;
}

static void
require_look(const MgTarget *t, Form_pg_attribute att)
{
	if (!may(ACL_SELECT, t->relid, att->attnum))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied for column \"%s\" of table %s", NameStr(att->attname), t->name),
						errhint("Its identifiers go on after the largest that it has: that takes SELECT on the "
								"column, or a default that draws from a sequence.")));
}

static void
number(MgTarget *t, const MgRelease *release, const MgColumn *c, Form_pg_attribute att, uint64 *first, bool *locked)
{
	char *query = NULL;
	bool known = true;

	if (t->like == NULL)
		query = mg_identifier_query(c, t->name, quote_identifier(NameStr(att->attname)), att->atttypid);
	if (query != NULL)
	{
		require_look(t, att);
		if (!*locked)
			lock_numbers(t->relid);
		*locked = true;
		known = mg_identifier_after(c, mg_statement_text(query), first);
	}
	check_room(release, c, att->atttypid, known, *first);
}

/* The sequence's next number is not above the column's largest: then the text of that; else NULL. */
static char *
ahead_of_sequence(const char *table, const char *column, const char *sequence)
{
	return mg_statement_text(
		psprintf("SELECT m.m::pg_catalog.text FROM (SELECT pg_catalog.max(t.%s)::pg_catalog.int8 AS m FROM %s AS t) m "
				 "JOIN pg_catalog.pg_sequence s ON s.seqrelid OPERATOR(pg_catalog.=) %s::pg_catalog.regclass "
				 "WHERE s.seqincrement OPERATOR(pg_catalog.>) 0 AND m.m OPERATOR(pg_catalog.>) "
				 "COALESCE(pg_catalog.pg_sequence_last_value(s.seqrelid), s.seqstart OPERATOR(pg_catalog.-) 1)",
				 column, table, sequence));
}

/*
 * Rows that came with identifiers of their own may be ahead of the sequence; where the caller may, it is moved behind
 * them, as setval() would, while nobody draws from it. Where not, a unique index will say so.
 */
static void
catch_up(const MgTarget *t, Form_pg_attribute att)
{
	const char *column = quote_identifier(NameStr(att->attname));
	char *name = mg_statement_text(psprintf("SELECT pg_catalog.pg_get_serial_sequence(%s, %s)",
											quote_literal_cstr(t->name), quote_literal_cstr(NameStr(att->attname))));
	char *sequence;
	Oid seq;

	if (name == NULL || !may(ACL_SELECT, t->relid, att->attnum))
		return;
	sequence = quote_literal_cstr(name);
	seq = (Oid) strtoul(mg_statement_text(psprintf("SELECT %s::pg_catalog.regclass::pg_catalog.oid", sequence)), NULL,
						10);
	if (pg_class_aclcheck(seq, GetUserId(), ACL_UPDATE) != ACLCHECK_OK ||
		ahead_of_sequence(t->name, column, sequence) == NULL)
		return;
	LockRelationOid(seq, ShareRowExclusiveLock);
	name = ahead_of_sequence(t->name, column, sequence);
	if (name != NULL)
		mg_statement_run(psprintf("SELECT pg_catalog.setval(%s::pg_catalog.regclass, %s)", sequence, name));
}

/* ---------------------------------------------------------------- all of it */

/* A descriptor cannot grow: where its attributes are depends on how many it has. */
static TupleDesc
describe(const Form_pg_attribute *atts, int n)
{
	TupleDesc desc = CreateTemplateTupleDesc(n);

	for (int i = 0; i < n; i++)
	{
		TupleDescInitEntry(desc, (AttrNumber) (i + 1), NameStr(atts[i]->attname), atts[i]->atttypid, atts[i]->atttypmod,
						   atts[i]->attndims);
		TupleDescInitEntryCollation(desc, (AttrNumber) (i + 1), atts[i]->attcollation);
	}
	return desc;
}

static void
map_columns(MgTarget *t, MgRelease *release, Relation rel)
{
	const MgColumns *columns = mg_release_columns(release);
	TupleDesc all = RelationGetDescr(rel);
	Form_pg_attribute *mapped = palloc(sizeof(Form_pg_attribute) * Max(all->natts, 1));
	bool locked = false;
	int n = 0;

	t->first = palloc0(sizeof(uint64) * Max(all->natts, 1));
	for (int i = 0; i < all->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(all, i);
		const MgColumn *c = column_for(rel, att, columns), *same = mg_columns_find(columns, NameStr(att->attname));

		if (c == NULL)
		{
			check_left_out(rel, att);
			if (!att->attisdropped && same != NULL && same->kind == MG_COLUMN_IDENTIFIER && draws(rel, att))
			{
				check_room(release, same, att->atttypid, true, 0);
				if (t->like == NULL)
					catch_up(t, att);
			}
			continue;
		}
		if (!may(ACL_INSERT, t->relid, att->attnum))
			aclcheck_error_col(ACLCHECK_NO_PRIV, get_relkind_objtype(rel->rd_rel->relkind),
							   RelationGetRelationName(rel), NameStr(att->attname));
		if (c->kind == MG_COLUMN_IDENTIFIER)
			number(t, release, c, att, &t->first[n], &locked);
		mapped[n++] = att;
	}
	t->desc = describe(mapped, n);
}

MgTarget *
mg_target_open(MgRelease *release, const char *name, MgExisting existing)
{
	MgTarget *t = palloc0(sizeof(MgTarget));
	Relation rel;

	find(t, release, name, existing);
	rel = table_open(t->relid, NoLock);
	map_columns(t, release, rel);
	table_close(rel, NoLock);
	if (t->desc->natts == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("table \"%s\" has no column of model \"%s\" to fill", name, mg_release_model_name(release)),
				 errhint("Columns are found by their names: %s.", mg_rows_column_names(mg_release_columns(release)))));
	if (t->like == NULL)
		mg_release_draw_identifiers(release);
	return t;
}

char *
mg_target_insert(const MgTarget *t, const char *from)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < t->desc->natts; i++)
		appendStringInfo(&names, "%s%s", i == 0 ? "" : ", ",
						 quote_identifier(NameStr(TupleDescAttr(t->desc, i)->attname)));
	return psprintf("INSERT INTO %s (%s) SELECT %s FROM %s", t->name, names.data, names.data, from);
}
