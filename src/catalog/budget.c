/*
 * catalog/budget.c: budgets, the relations they protect, declared columns, shares. Ordinary transactional rows, as DBAs
 * expect of GRANT; what is charged against them is in catalog/ledger.c.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/seals.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pg/guc.h"
#include "pg/unit.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define BUDGET_COLUMNS                                                                                   \
	"SELECT id, name, epsilon, delta, period, owner_oid, owner_name, identity, xmin, alpha, unit_kind, " \
	"require_approval FROM mirage.budget "

/* The site's limit binds budgets that were made before it was set as well. */
static double
effective_epsilon(double epsilon)
{
	return mg_guc_max_epsilon > 0 ? Min(epsilon, mg_guc_max_epsilon) : epsilon;
}

/* Remembers the cap that stands now. */
static void
budget_note_change(MgQuery *q, int64 id, const char *by)
{
	MgArg args[] = {MG_INT8(id), MG_TEXT(by)};

	mg_query_run(q, false,
				 "INSERT INTO mirage.budget_change (budget, epsilon, delta, alpha, period, changed_by) "
				 "SELECT id, epsilon, delta, alpha, period, $2 FROM mirage.budget WHERE id = $1 RETURNING id",
				 lengthof(args), args);
	mg_row_written("budget_change", mg_get_int8(0, 1));
}

static MgBudget *
budget_fetch(const char *sql, const MgArg *arg)
{
	MgQuery q;
	MgBudget *b = NULL;

	mg_query_begin(&q);
	if (mg_query_run(&q, true, sql, 1, arg) > 0)
	{
		mg_ctx ctx;
		MemoryContext old = MemoryContextSwitchTo(q.caller);

		b = palloc0(sizeof(MgBudget));
		b->id = mg_get_int8(0, 1);
		b->name = mg_get_text(&q, 0, 2);
		mg_server_ctx(&ctx);
		b->epsilon = mg_get_float8(0, 3);
		b->filter.alpha = mg_get_float8(0, 10);
		MG_CHECK(&ctx, mg_filter_init_at(&ctx, &b->filter, b->filter.alpha, effective_epsilon(b->epsilon),
										 mg_get_float8(0, 4)));
		b->period = mg_get_interval(&q, 0, 5);
		b->owner = mg_get_role(&q, 0, 6);
		b->mine_uncommitted = mg_get_mine(0, 9);
		b->unit_kind = mg_get_text(&q, 0, 11);
		b->require_approval = mg_get_bool(0, 12);
		MemoryContextSwitchTo(old);
	}
	mg_query_end(&q);
	return b;
}

MgBudget *
mg_budget_by_name(const char *name)
{
	MgArg arg = MG_TEXT(name);

	return budget_fetch(BUDGET_COLUMNS "WHERE name = $1", &arg);
}

MgBudget *
mg_budget_by_id(int64 id, bool missing_ok)
{
	MgArg arg = MG_INT8(id);
	MgBudget *b = budget_fetch(BUDGET_COLUMNS "WHERE id = $1", &arg);

	if (b == NULL && !missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED), errmsg("budget number " INT64_FORMAT " is missing", id),
				 errhint("Restore the table mirage.budget from a backup; what was charged to it still counts.")));
	return b;
}

int64
mg_budget_create(const char *name, double epsilon, double delta, Interval *period)
{
	Oid owner = GetUserId();
	char *owner_name = GetUserNameFromId(owner, false);
	mg_filter filter;
	mg_ctx ctx;
	MgQuery q;
	int64 id = 0;

	mg_server_ctx(&ctx);
	MG_CHECK(&ctx, mg_filter_init(&ctx, &filter, epsilon, delta));
	MgArg args[] = {MG_TEXT(name),
					MG_FLOAT8(epsilon),
					MG_FLOAT8(delta),
					MG_INTERVAL(period),
					MG_OID(owner),
					MG_TEXT(owner_name),
					MG_TEXT(mg_database_identity()),
					MG_FLOAT8(filter.alpha)};

	mg_query_begin(&q);
	if (mg_query_run(&q, false,
					 "INSERT INTO mirage.budget (name, epsilon, delta, period, owner_oid, owner_name, identity, alpha) "
					 "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (name) DO NOTHING RETURNING id",
					 lengthof(args), args) > 0)
	{
		id = mg_get_int8(0, 1);
		mg_rows_changed("budget", 1, 1);
		budget_note_change(&q, id, owner_name);
	}
	mg_query_end(&q);
	if (id == 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("budget \"%s\" already exists", name),
			 errhint(
				 "Join it with dp_protect(..., budget => %s), or give the new one another name with dp_create_budget.",
				 quote_literal_cstr(name))));
	return id;
}

void
mg_budget_alter(const MgBudget *budget, double epsilon, double delta, Interval *period)
{
	MgArg args[] = {MG_INT8(budget->id), MG_FLOAT8(epsilon), MG_FLOAT8(delta), MG_INTERVAL(period)};
	char *by = GetUserNameFromId(GetUserId(), false);
	MgQuery q;

	mg_query_begin(&q);
	mg_change(&q, "budget", "UPDATE mirage.budget SET epsilon = $2, delta = $3, period = $4 WHERE id = $1 RETURNING id",
			  lengthof(args), args);
	budget_note_change(&q, budget->id, by);
	mg_query_end(&q);
}

#define RELATION_COLUMNS                                                                                              \
	"SELECT id, relid, name, identity, budget, protected_by_oid, protected_by_name, assert_stable, is_public, xmin, " \
	"fingerprint, unit, unit_attnum, max_rows_per_unit, inherited FROM mirage.relation "

/*
 * A recorded relation is live when its OID still names a relation, and either it was recorded here or, in a cluster
 * that pg_upgrade made, its name agrees. A database copied within the cluster (CREATE DATABASE ... TEMPLATE) is another
 * one, whose charges are not counted here.
 */
static bool
relation_live(Oid relid, const char *name, const char *identity)
{
	char *now = mg_relation_name(relid);

	return now != NULL &&
		   (strcmp(identity, mg_database_identity()) == 0 || (strcmp(now, name) == 0 && !mg_same_cluster(identity)));
}

static MgRelation *
relation_row(MgQuery *q, uint64 row)
{
	MemoryContext old = MemoryContextSwitchTo(q->caller);
	MgRelation *r = palloc0(sizeof(MgRelation));
	char *identity = mg_get_text(q, row, 4);

	r->id = mg_get_int8(row, 1);
	r->relid = mg_get_oid(row, 2);
	r->name = mg_get_text(q, row, 3);
	r->live = relation_live(r->relid, r->name, identity);
	r->budget = mg_get_null(row, 5) ? 0 : mg_get_int8(row, 5);
	if (!mg_get_null(row, 6))
		r->protected_by = mg_role_binding(mg_get_oid(row, 6), mg_get_text(q, row, 7), identity);
	r->assert_stable = mg_get_bool(row, 8);
	r->is_public = mg_get_bool(row, 9);
	r->mine_uncommitted = mg_get_mine(row, 10);
	r->fingerprint = mg_get_text(q, row, 11);
	r->unit = mg_get_text(q, row, 12);
	r->max_rows = DatumGetInt32(mg_get_datum(row, 14));
	r->inherited = mg_get_bool(row, 15);
	/* a column that was renamed here is followed, as the relation itself is */
	if (r->unit != NULL && strcmp(identity, mg_database_identity()) == 0)
	{
		char *now = get_attname(r->relid, DatumGetInt16(mg_get_datum(row, 13)), true);

		if (now != NULL)
			r->unit = now;
	}
	MemoryContextSwitchTo(old);
	return r;
}

/* The first of a query's relations that is live, or that is not; NULL: none. */
static MgRelation *
first_relation(const char *sql, const MgArg *arg, bool live)
{
	MgQuery q;
	MgRelation *found = NULL;
	uint64 n;

	mg_query_begin(&q);
	n = mg_query_run(&q, true, sql, 1, arg);
	for (uint64 i = 0; i < n && found == NULL; i++)
	{
		MgRelation *r = relation_row(&q, i);

		if (r->live == live)
			found = r;
	}
	mg_query_end(&q);
	return found;
}

MgRelation *
mg_relation_find(Oid relid)
{
	MgArg arg = MG_OID(relid);

	return first_relation(RELATION_COLUMNS "WHERE relid = $1 ORDER BY id DESC", &arg, true);
}

/* A protection recorded under this name whose OID is not this relation's (a restore): to be renewed before anything is
 * spent. */
static MgRelation *
relation_stale(const char *name)
{
	MgArg arg = MG_TEXT(name);

	return first_relation(RELATION_COLUMNS
						  "WHERE name = $1 AND budget IS NOT NULL AND fingerprint IS NULL ORDER BY id DESC",
						  &arg, false);
}

/* All that is connected with the relation through inheritance and partitioning, up and down: one set of people. */
List *
mg_relation_family(Oid relid)
{
	MgArg arg = MG_OID(relid);

	return mg_query_oids(
		"WITH RECURSIVE f AS (SELECT $1 AS r UNION SELECT CASE WHEN i.inhrelid = f.r THEN i.inhparent "
		"ELSE i.inhrelid END FROM f JOIN pg_catalog.pg_inherits i ON i.inhrelid = f.r OR i.inhparent = f.r) "
		"SELECT r FROM f ORDER BY r",
		1, &arg);
}

/* The same for the relation or, where it has none, any of its family: a restored partition is under its parent's budget
 * as it was before. */
static MgRelation *
family_stale(Oid relid)
{
	MgRelation *found = relation_stale(mg_relation_name(relid));
	ListCell *lc;

	if (found != NULL)
		return found;
	foreach (lc, mg_relation_family(relid))
	{
		char *name = mg_relation_name(lfirst_oid(lc));

		found = name == NULL ? NULL : relation_stale(name);
		if (found != NULL)
			return found;
	}
	return NULL;
}

static bool
same_unit(const MgRelation *a, const MgRelation *b)
{
	return a->unit == NULL || b->unit == NULL ? a->unit == b->unit : strcmp(a->unit, b->unit) == 0;
}

List *
mg_relation_relatives(Oid relid)
{
	List *found = NIL;
	ListCell *lc;

	foreach (lc, mg_relation_family(relid))
	{
		MgRelation *r = lfirst_oid(lc) != relid ? mg_relation_find(lfirst_oid(lc)) : NULL;

		if (r != NULL && r->budget != 0)
			found = lappend(found, r);
	}
	return found;
}

MgRelation *
mg_relation_protection(Oid relid, bool missing_ok)
{
	MgRelation *found = NULL;
	ListCell *lc;

	foreach (lc, mg_relation_family(relid))
	{
		MgRelation *r = mg_relation_find(lfirst_oid(lc));

		if (r == NULL || r->budget == 0)
			continue;
		if (found != NULL && found->budget != r->budget)
			ereport(
				ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("relation \"%s\" and its partitions or parents are protected by different budgets",
						mg_relation_name(relid)),
				 errhint(
					 "Detach or disinherit one of them: what two budgets have counted apart cannot be counted as one.")));
		if (found != NULL && !same_unit(found, r))
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("relation \"%s\" and its partitions or parents have different units",
								   mg_relation_name(relid)),
							errhint("Name one unit for all of them with dp_protect(..., unit => ...).")));
		/* the record of the relation itself counts before a relative's */
		if (found == NULL || r->relid == relid)
			found = r;
	}
	if (found == NULL && !missing_ok)
	{
		char *name = mg_relation_name(relid);
		MgRelation *stale = family_stale(relid);

		if (stale != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the protection of \"%s\" was recorded for another relation of that name", stale->name),
					 errdetail("It was restored from another database, or the table was made again."),
					 errhint("SELECT dp_protect(%s, budget => %s) renews it; what was charged stays charged.",
							 quote_literal_cstr(name),
							 quote_literal_cstr(mg_budget_by_id(stale->budget, false)->name))));
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("relation \"%s\" is not protected", name),
			 errhint(
				 "Its owner calls dp_protect(%s, epsilon => ...) first, which sets what may ever be learnt from it.",
				 quote_literal_cstr(name))));
	}
	return found;
}

void
mg_relations_lock(Oid relid)
{
	Oid class = get_relname_relid("relation", get_namespace_oid("mirage", false));

	/* the least OID stands for the family: thousands of partitions need one lock */
	LockDatabaseObject(class, linitial_oid(mg_relation_family(relid)), 0, ExclusiveLock);
}

/* The column's number as an argument. */
static MgArg
unit_attnum(Oid relid, const char *unit)
{
	MgArg arg = {INT2OID, Int16GetDatum(unit != NULL ? get_attnum(relid, unit) : 0), unit == NULL};

	return arg;
}

void
mg_relation_stamp(List *members, int64 budget, const char *unit, int max_rows)
{
	ListCell *lc;

	foreach (lc, members)
	{
		Oid member = lfirst_oid(lc);
		MgRelation *r = mg_relation_find(member);
		MgArg args[] = {MG_OID(member),
						MG_TEXT(mg_relation_name(member)),
						MG_TEXT(mg_database_identity()),
						MG_INT8(budget),
						MG_TEXT(unit),
						unit_attnum(member, unit),
						MG_INT4(max_rows)};

		if (r != NULL && r->budget != 0)
			continue;
		mg_change_alone(
			"relation",
			"INSERT INTO mirage.relation AS r (relid, name, identity, budget, inherited, unit, unit_attnum, "
			"max_rows_per_unit) VALUES ($1, $2, $3, $4, true, $5, $6, $7) ON CONFLICT (relid, identity) DO UPDATE SET "
			"budget = excluded.budget, inherited = true, unit = excluded.unit, unit_attnum = excluded.unit_attnum, "
			"max_rows_per_unit = excluded.max_rows_per_unit WHERE r.budget IS NULL RETURNING r.id",
			lengthof(args), args);
	}
}

void
mg_relation_stamp_family(Oid relid, int64 budget, const char *unit, int max_rows)
{
	mg_relation_stamp(mg_relation_family(relid), budget, unit, max_rows);
}

int64
mg_relation_record(Oid relid)
{
	MgRelation *r = mg_relation_find(relid);
	char *name = mg_relation_name(relid);
	MgArg args[] = {MG_OID(relid), MG_TEXT(name), MG_TEXT(mg_database_identity())};
	MgQuery q;
	int64 id;

	if (r != NULL)
		return r->id;
	mg_query_begin(&q);
	mg_query_run(&q, false,
				 "INSERT INTO mirage.relation (relid, name, identity) VALUES ($1, $2, $3) "
				 "ON CONFLICT (relid, identity) DO UPDATE SET name = excluded.name RETURNING id",
				 lengthof(args), args);
	id = mg_get_int8(0, 1);
	mg_rows_changed("relation", 1, 1);
	/* what was declared for a relation of this name in a database that was restored here goes on */
	{
		MgArg adopt[] = {MG_INT8(id), MG_TEXT(name), MG_TEXT(mg_database_identity())};

		mg_change(
			&q, "column_decl",
			"INSERT INTO mirage.column_decl SELECT $1, d.attname, d.kind, d.lower, d.upper, d.categories, d.bins, "
			"d.pattern, d.other, d.depends_on FROM mirage.column_decl d WHERE d.relation = (SELECT max(r.id) FROM "
			"mirage.relation r WHERE r.name = $2 AND r.identity <> $3) ON CONFLICT DO NOTHING "
			"RETURNING relation || ' ' || attname",
			lengthof(adopt), adopt);
	}
	mg_query_end(&q);
	return id;
}

void
mg_relation_protect(Oid relid, int64 budget, bool assert_stable, const char *fingerprint, const char *unit,
					int max_rows)
{
	int64 id = mg_relation_record(relid);
	Oid by = GetUserId();
	MgArg args[] = {MG_INT8(id),
					MG_INT8(budget),
					MG_BOOL(assert_stable),
					MG_OID(by),
					MG_TEXT(GetUserNameFromId(by, false)),
					MG_TEXT(mg_relation_name(relid)),
					MG_TEXT(mg_database_identity()),
					MG_TEXT(fingerprint),
					MG_TEXT(unit),
					unit_attnum(relid, unit),
					MG_INT4(max_rows)};

	mg_change_alone(
		"relation",
		"UPDATE mirage.relation SET budget = $2, assert_stable = $3, protected_by_oid = $4, "
		"protected_by_name = $5, name = $6, identity = $7, fingerprint = $8, inherited = false, unit = $9, "
		"unit_attnum = $10, max_rows_per_unit = $11, protected_at = pg_catalog.clock_timestamp() WHERE id = $1 "
		"RETURNING id",
		lengthof(args), args);
}

MgSourceRecord
mg_relation_source(Oid relid)
{
	MgRelation *r = mg_relation_find(relid);
	MgSourceRecord record = {.budgeted = mg_relation_protection(relid, true) != NULL};

	if (r != NULL)
	{
		record.asserted = r->assert_stable;
		record.fingerprint = r->fingerprint;
	}
	return record;
}

void
mg_relation_set_unit(const MgRelation *r, const char *unit, int max_rows)
{
	MgArg args[] = {MG_INT8(r->id), MG_TEXT(unit), unit_attnum(r->relid, unit), MG_INT4(max_rows)};

	mg_change_alone("relation",
					"UPDATE mirage.relation SET unit = $2, unit_attnum = $3, max_rows_per_unit = $4 WHERE id = $1 "
					"RETURNING id",
					lengthof(args), args);
}

void
mg_budget_require_kind(const MgBudget *budget, const char *kind, bool freeze)
{
	MgArg args[] = {MG_INT8(budget->id), MG_TEXT(kind)};

	if (budget->unit_kind != NULL && strcmp(budget->unit_kind, kind) != 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("budget \"%s\" counts units of another kind", budget->name),
			 errdetail("Its unit has been \"%s\" since its first charge; here it would be \"%s\".", budget->unit_kind,
					   kind),
			 errhint(
				 "Name the same kind of unit with dp_protect(..., unit => ...), or put the table under a budget of its own.")));
	if (!freeze || budget->unit_kind != NULL)
		return;
	mg_change_alone("budget",
					"UPDATE mirage.budget SET unit_kind = $2 WHERE id = $1 AND unit_kind IS NULL RETURNING id",
					lengthof(args), args);
}

static MgDeclaration *
declared(Oid relid, const char *column)
{
	MgRelation *r = mg_relation_find(relid);
	MgDeclaration *d = NULL;
	MgQuery q;

	if (r == NULL)
		return NULL;
	mg_query_begin(&q);
	{
		MgArg args[] = {MG_INT8(r->id), MG_TEXT(column)};

		if (mg_query_run(
				&q, true,
				"SELECT kind, lower, upper, categories, bins, pattern, other, depends_on FROM mirage.column_decl "
				"WHERE relation = $1 AND attname = $2",
				lengthof(args), args) > 0)
		{
			MemoryContext old = MemoryContextSwitchTo(q.caller);

			d = palloc0(sizeof(MgDeclaration));
			d->kind = mg_get_text(&q, 0, 1);
			d->lower = mg_get_text(&q, 0, 2);
			d->upper = mg_get_text(&q, 0, 3);
			d->categories = mg_get_texts(&q, 0, 4);
			d->bins = mg_get_null(0, 5) ? 0 : DatumGetInt32(mg_get_datum(0, 5));
			d->pattern = mg_get_text(&q, 0, 6);
			d->other = mg_get_text(&q, 0, 7);
			d->depends_on = mg_get_texts(&q, 0, 8);
			MemoryContextSwitchTo(old);
		}
	}
	mg_query_end(&q);
	return d;
}

MgDeclaration *
mg_declaration(Oid relid, const char *column)
{
	MgDeclaration *d = declared(relid, column);
	MgRelation *r;

	if (d != NULL)
		return d;
	/* the unit is nobody's attribute: it is learnt only where its owner asked for it */
	r = mg_relation_find(relid);
	if (r == NULL || r->budget == 0)
		r = mg_relation_protection(relid, true);
	return r != NULL && r->unit != NULL && strcmp(r->unit, column) == 0 ? mg_unit_declaration(relid, column) : NULL;
}

void
mg_declaration_store(Oid relid, const char *column, const MgDeclaration *decl)
{
	MgArg args[] = {MG_INT8(mg_relation_record(relid)),
					MG_TEXT(column),
					MG_TEXT(decl->kind),
					MG_TEXT(decl->lower),
					MG_TEXT(decl->upper),
					MG_TEXTS(decl->categories),
					{INT4OID, Int32GetDatum(decl->bins), decl->bins == 0},
					MG_TEXT(decl->pattern),
					MG_TEXT(decl->other),
					MG_TEXTS(decl->depends_on)};

	mg_change_alone(
		"column_decl",
		"INSERT INTO mirage.column_decl AS d (relation, attname, kind, lower, upper, categories, bins, pattern, "
		"other, depends_on) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) "
		"ON CONFLICT (relation, attname) DO UPDATE SET "
		"kind = excluded.kind, lower = excluded.lower, upper = excluded.upper, categories = excluded.categories, "
		"bins = excluded.bins, pattern = excluded.pattern, other = excluded.other, "
		"depends_on = excluded.depends_on RETURNING d.relation || ' ' || d.attname",
		lengthof(args), args);
}

bool
mg_declarations_uncommitted(Oid relid)
{
	MgRelation *r = mg_relation_find(relid);
	MgArg arg = MG_INT8(r == NULL ? 0 : r->id);
	MgQuery q;
	bool mine = false;
	uint64 n;

	mg_query_begin(&q);
	n = mg_query_run(&q, true, "SELECT xmin FROM mirage.column_decl WHERE relation = $1", 1, &arg);
	for (uint64 i = 0; i < n && !mine; i++)
		mine = mg_get_mine(i, 1);
	mg_query_end(&q);
	return mine;
}

void
mg_relations_follow_names(void)
{
	MgArg arg = MG_TEXT(mg_database_identity());
	uint64 n;

	n = mg_change_alone(
		"relation",
		"UPDATE mirage.relation r SET name = format('%I.%I', n.nspname, c.relname) "
		"FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = r.relid AND r.identity = $1 "
		"AND r.name <> format('%I.%I', n.nspname, c.relname) RETURNING r.id",
		1, &arg);
	if (n > 0)
		mg_log("follow names", "relations", NULL);
}

/*
 * A share follows its grantee through a change of name; what was charged to it stays charged to it. One that is found by
 * its name alone is of a role that is gone, or of another cluster.
 */
void
mg_share_grant(int64 budget, Oid grantee, double epsilon)
{
	MgArg args[] = {MG_INT8(budget),
					MG_OID(grantee),
					MG_TEXT(GetUserNameFromId(grantee, false)),
					MG_TEXT(mg_database_identity()),
					MG_FLOAT8(epsilon),
					MG_TEXT(GetUserNameFromId(GetUserId(), false))};
	MgQuery q;
	uint64 n;

	mg_query_begin(&q);
	n = mg_change(
		&q, "share",
		"UPDATE mirage.share SET grantee_oid = $2, grantee_name = $3, identity = $4, epsilon = $5, granted_by = $6, "
		"granted_at = clock_timestamp() WHERE budget = $1 AND (grantee_oid = $2 AND " MG_HERE("identity", "$4")
		" OR grantee_name = $3 AND NOT " MG_ROLE_LIVES("grantee_oid", "identity", "$4") " AND NOT EXISTS (SELECT FROM "
		"mirage.share o WHERE o.budget = $1 AND o.grantee_oid = $2 AND " MG_HERE("o.identity", "$4") ")) RETURNING id",
		lengthof(args), args);
	if (n == 0)
		mg_change(&q, "share",
				  "INSERT INTO mirage.share (budget, grantee_oid, grantee_name, identity, epsilon, granted_by) "
				  "VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
				  lengthof(args), args);
	mg_query_end(&q);
}

double
mg_share_find(int64 budget, Oid role, int64 *id, char **grantee)
{
	MgArg arg = MG_INT8(budget);
	MgQuery q;
	double best = 0;
	uint64 n;

	mg_query_begin(&q);
	n = mg_query_run(&q, true,
					 "SELECT grantee_oid, grantee_name, identity, epsilon, id FROM mirage.share WHERE budget = $1 "
					 "ORDER BY epsilon DESC, id",
					 1, &arg);
	for (uint64 i = 0; i < n && best == 0; i++)
	{
		MgRole r = mg_get_role(&q, i, 1);

		if (r.live && has_privs_of_role(role, r.oid))
		{
			best = mg_get_float8(i, 4);
			*id = mg_get_int8(i, 5);
			*grantee = MemoryContextStrdup(q.caller, r.name);
		}
	}
	mg_query_end(&q);
	return best;
}

MgRelation *
mg_relation_recorded(Oid relid)
{
	MgRelation *r = mg_relation_find(relid);

	if (r == NULL || r->budget == 0)
		r = family_stale(relid);
	return r == NULL || r->budget == 0 ? NULL : r;
}
