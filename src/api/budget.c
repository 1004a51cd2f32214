/*
 * api/budget.c: dp_create_budget, dp_grant_budget, dp_protect, dp_set_column. Ordinary transactional acts, like GRANT:
 * a ROLLBACK undoes them, their log entry included. Nothing here reads a row of the relation.
 */
#include "api/args.h"

#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/event_trigger.h"
#include "miscadmin.h"
#include "pg/compat.h"
#include "pg/guc.h"
#include "pg/json.h"
#include "pg/reader.h"
#include "pg/server.h"
#include "pg/texts.h"
#include "pg/unit.h"
#include "datatype/timestamp.h"
#include "model/dependency.h"
#include "utils/acl.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

MG_FUNCTION(dp_create_budget);
MG_FUNCTION(dp_alter_budget);
MG_FUNCTION(dp_grant_budget);
MG_FUNCTION(dp_protect);
MG_FUNCTION(dp_set_column);
MG_FUNCTION(mg_sql_follow_names);

#define DEFAULT_DELTA 1e-9

static void
check_site_limit(double epsilon)
{
	if (mg_guc_max_epsilon > 0 && epsilon > mg_guc_max_epsilon)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("no budget of this site may exceed epsilon %g", mg_guc_max_epsilon),
						errhint("The limit is pg_mirage.max_epsilon in the server's configuration.")));
}

static int64
create_budget(const char *name, double epsilon, double delta, Interval *period, bool approval)
{
	StringInfoData detail;
	int64 id;

	mg_check_name("budget", name);
	mg_check_epsilon(epsilon);
	mg_check_delta(delta);
	check_site_limit(epsilon);
	id = mg_budget_create(name, epsilon, delta, period);
	if (approval)
		mg_budget_set_approval(id, true);
	mg_json_begin(&detail);
	mg_json_double(&detail, "epsilon", epsilon);
	mg_json_double(&detail, "delta", delta);
	mg_json_bool(&detail, "renews", period != NULL);
	if (approval)
		mg_json_bool(&detail, "require_approval", true);
	mg_log("create budget", name, mg_json_end(&detail));
	return id;
}

Datum
dp_create_budget(PG_FUNCTION_ARGS)
{
	char *name = mg_arg_text(fcinfo, 0, "name");
	double epsilon = mg_arg_float8(fcinfo, 1, "epsilon");
	double delta = PG_ARGISNULL(2) ? DEFAULT_DELTA : PG_GETARG_FLOAT8(2);

	Interval *period = mg_arg_interval(fcinfo, 3, "period");

	mg_require_writable("dp_create_budget");
	create_budget(name, epsilon, delta, period, !PG_ARGISNULL(4) && PG_GETARG_BOOL(4));
	PG_RETURN_VOID();
}

static MgBudget *
require_budget(const char *name)
{
	MgBudget *budget = mg_budget_by_name(name);

	if (budget == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("budget \"%s\" does not exist", name),
				 errhint("SELECT name FROM dp_budgets shows those that concern you; dp_create_budget makes one.")));
	return budget;
}

static void
require_budget_owner(const MgBudget *budget, const char *act)
{
	Oid me = GetUserId();

	if (!mg_is_admin(me) && !(budget->owner.live && has_privs_of_role(me, budget->owner.oid)))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied to %s budget \"%s\"", act, budget->name),
						errhint("Its owner or a member of mirage_admin may do this.")));
}

/*
 * That models under the budget wait for an administrator: its owner may ask for it; to let it go takes an administrator
 * who is not the owner, or whoever is supervised could end the supervision.
 */
static void
set_approval(const MgBudget *budget, bool required)
{
	if (!required && !(mg_is_admin(GetUserId()) && mg_independent_of(&budget->owner)))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("models under budget \"%s\" need approval", budget->name),
						errhint("A member of mirage_admin other than its owner may change that.")));
	mg_budget_set_approval(budget->id, required);
}

/* A cap that all charges so far fit, whatever period they were made in; what is given as NULL stays. */
Datum
dp_alter_budget(PG_FUNCTION_ARGS)
{
	MgBudget *budget = require_budget(mg_arg_text(fcinfo, 0, "name"));
	Interval *period = mg_arg_interval(fcinfo, 3, "period");
	double epsilon, delta;
	mg_filter filter;
	StringInfoData detail;
	bool approval;
	mg_ctx ctx;
	MgUse use;

	mg_require_writable("dp_alter_budget");
	require_budget_owner(budget, "alter");
	mg_ledger_lock(budget->id);
	budget = mg_budget_by_id(budget->id, false);
	epsilon = PG_ARGISNULL(1) ? budget->epsilon : PG_GETARG_FLOAT8(1);
	delta = PG_ARGISNULL(2) ? budget->filter.delta : PG_GETARG_FLOAT8(2);
	mg_check_epsilon(epsilon);
	mg_check_delta(delta);
	if (epsilon > budget->epsilon)
		check_site_limit(epsilon);
	mg_server_ctx(&ctx);
	if (mg_filter_init_at(&ctx, &filter, budget->filter.alpha, epsilon, delta) != MG_OK)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the filter of budget \"%s\" cannot serve so small a cap", budget->name),
						errhint("Its order was fixed for the first cap. Choose a larger epsilon or delta.")));
	use = period == NULL ? mg_ledger_use(budget, 0) : mg_ledger_lifetime(budget);
	if (!mg_filter_fits(&filter, use.rdp, use.delta_atoms, 0, 0))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("more than that is spent of budget \"%s\" already", budget->name),
						errhint("SELECT spent FROM dp_budgets shows how much. What was learnt stays learnt.")));
	approval = PG_ARGISNULL(4) ? budget->require_approval : PG_GETARG_BOOL(4);
	if (approval != budget->require_approval)
		set_approval(budget, approval);
	mg_budget_alter(budget, epsilon, delta, period == NULL ? budget->period : period);
	mg_json_begin(&detail);
	mg_json_double(&detail, "epsilon", epsilon);
	mg_json_double(&detail, "delta", delta);
	mg_json_double(&detail, "was_epsilon", budget->epsilon);
	mg_json_double(&detail, "was_delta", budget->filter.delta);
	mg_json_bool(&detail, "renews", period != NULL || budget->period != NULL);
	if (approval != budget->require_approval)
		mg_json_bool(&detail, "require_approval", approval);
	mg_log("alter budget", budget->name, mg_json_end(&detail));
	PG_RETURN_VOID();
}

Datum
dp_grant_budget(PG_FUNCTION_ARGS)
{
	char *name = mg_arg_text(fcinfo, 0, "name");
	Oid grantee = mg_arg_oid(fcinfo, 1, "grantee");
	double epsilon = mg_arg_float8(fcinfo, 2, "epsilon");
	StringInfoData detail;
	MgBudget *budget;

	mg_require_writable("dp_grant_budget");
	mg_check_epsilon(epsilon);
	budget = require_budget(name);
	require_budget_owner(budget, "grant a share of");
	mg_share_grant(budget->id, grantee, epsilon);
	mg_json_begin(&detail);
	mg_json_double(&detail, "epsilon", epsilon);
	mg_json_text(&detail, "grantee", GetUserNameFromId(grantee, false));
	mg_log("grant budget", budget->name, mg_json_end(&detail));
	PG_RETURN_VOID();
}

/* Only what holds rows of people is protected; a view's budget is its base table's, see vouch_for_view(). */
static void
require_protectable(Oid relid)
{
	char kind = get_rel_relkind(relid);

	if (relid < FirstNormalObjectId)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("\"%s\" belongs to the system catalogs", mg_relation_name(relid)),
						errhint("Protect tables of your own.")));
	if (get_rel_namespace(relid) == get_namespace_oid("mirage", true))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" belongs to the extension", mg_relation_name(relid)),
				 errhint("Protect tables of your own.")));
	if (kind == RELKIND_MATVIEW)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is a materialized view", mg_relation_name(relid)),
				 errhint("It is a copy, outside of any account: protect the table under it, and train on that.")));
	if (kind == RELKIND_VIEW)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is a view", mg_relation_name(relid)),
						errhint("Protect the table under it; trainings on the view are charged to that.")));
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_FOREIGN_TABLE)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a table", mg_relation_name(relid)),
						errhint("Tables, partitioned tables and foreign tables can be protected.")));
	if (get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is a temporary table", mg_relation_name(relid)),
				 errhint("A background worker cannot see it; use a permanent table.")));
}

/*
 * The budget for the relation: one that exists, or a new one. What stands already decides: people who are counted under
 * one budget are never counted afresh under another, be it through a partition, a parent, or a restore under the same
 * name.
 */
static int64
choose_budget(Oid relid, const char *name, bool make, double epsilon, const MgRelation *before)
{
	MgBudget *recorded = before != NULL ? mg_budget_by_id(before->budget, false) : NULL;
	MgBudget *budget;

	if (recorded != NULL && (make || strcmp(recorded->name, name) != 0))
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("relation \"%s\" is protected by budget \"%s\" already", mg_relation_name(relid), recorded->name),
			 errdetail(
				 "A relation, its partitions and parents, and what was recorded under its name count as the same people."),
			 errhint("dp_protect(..., budget => %s) renews the protection.", quote_literal_cstr(recorded->name))));
	if (make)
	{
		name = DatumGetCString(DirectFunctionCall1(regclassout, ObjectIdGetDatum(relid)));
		return create_budget(name, epsilon, DEFAULT_DELTA, NULL, false);
	}
	budget = require_budget(name);
	require_budget_owner(budget, "join");
	return budget->id;
}

/*
 * A view has no people of its own. What an administrator can say of it is that its definition, as it is now, gives at
 * most one row for each of the table's; whose budget it is then charged to is named again, so that nobody is mistaken
 * about it.
 */
static char *
vouch_for_view(Oid relid, const char *name, bool assert_stable)
{
	Oid base;
	MgBudget *budget;

	mg_relations_lock(relid);
	base = mg_source_asserted_base(relid, mg_relation_source);
	budget = mg_budget_by_id(mg_relation_protection(base, false)->budget, false);
	if (name == NULL || strcmp(budget->name, name) != 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("view \"%s\" is over \"%s\", which is protected by budget \"%s\"",
							   mg_relation_name(relid), mg_relation_name(base), budget->name),
						errhint("dp_protect(%s, budget => %s, assert_stable => true) vouches for the view.",
								quote_literal_cstr(mg_relation_name(relid)), quote_literal_cstr(budget->name))));
	mg_relation_protect(relid, budget->id, assert_stable, mg_source_fingerprint(relid), NULL, 1);
	mg_log("protect", mg_relation_name(relid),
		   psprintf("{\"budget\": " INT64_FORMAT ", \"view\": true, \"assert_stable\": %s}", budget->id,
					assert_stable ? "true" : "false"));
	return budget->name;
}

/* What was declared public cannot be protected after the fact: it may have served as a domain. */
static void
refuse_public(Oid relid)
{
	Oid member = mg_relation_public_member(relid);

	if (OidIsValid(member))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("\"%s\" is declared public", mg_relation_name(member)),
						errhint("Its keys may be in models already. SELECT dp_declare_public(%s, false) takes the "
								"declaration back for what comes.",
								quote_literal_cstr(mg_relation_name(member)))));
}

/*
 * What stands for the relation before: its own record, a relative's, or that of a restore or of a table made again
 * under its name; NULL: nothing.
 */
static const MgRelation *
protection_before(Oid relid)
{
	MgRelation *own = mg_relation_recorded(relid);
	List *relatives = mg_relation_relatives(relid);
	ListCell *lc;

	foreach (lc, relatives)
		if (((MgRelation *) lfirst(lc))->budget != ((MgRelation *) linitial(relatives))->budget)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("partitions or parents of \"%s\" are protected by different budgets",
								   mg_relation_name(relid)),
							errhint("Put them under one budget with dp_protect(..., budget => ...).")));
	if (own == NULL || (!own->live && relatives != NIL))
		return relatives != NIL ? linitial(relatives) : own;
	return own;
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/*
 * Whose privacy a budget counts is settled by its first charge: from then on the unit of a relation under it stays,
 * since what was learnt about a person cannot be recounted as learnt about one of their visits. How many rows of a unit
 * are used may change at any time: noise follows it. A relation, its partitions, children and parents have one unit and
 * one limit.
 */
static void
settle_unit(Oid relid, int64 budget, const MgRelation *before, const char *unit, int max_rows)
{
	const char *kind = MG_UNIT_KIND_ROW;
	ListCell *lc;
	MgBudget *b;

	if (unit != NULL)
		kind = mg_unit_of_source(relid, relid, unit, max_rows)->kind;
	/* a training that reserves at this moment has the lock, and freezes the kind before it lets go */
	if (before != NULL)
		mg_ledger_lock(budget);
	b = mg_budget_by_id(budget, false);
	mg_budget_require_kind(b, kind, false);
	if (before != NULL && b->unit_kind != NULL && !same_text(before->unit, unit))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the unit of \"%s\" cannot change any more", before->name),
				 errdetail("Budget \"%s\" has been charged, and its unit there is %s.", b->name,
						   before->unit != NULL ? psprintf("column \"%s\"", before->unit) : "the row"),
				 errhint("max_rows_per_unit may change; what was learnt about one kind of unit cannot be recounted.")));
	foreach (lc, mg_relation_relatives(relid))
	{
		MgRelation *r = lfirst(lc);

		if (same_text(r->unit, unit) && r->max_rows == max_rows)
			continue;
		if (!r->inherited)
		{
			mg_require_owner(r->relid);
			if (unit != NULL)
				(void) mg_unit_of_source(r->relid, r->relid, unit, max_rows);
		}
		mg_relation_set_unit(r, unit, max_rows);
	}
}

Datum
dp_protect(PG_FUNCTION_ARGS)
{
	Oid relid = mg_arg_oid(fcinfo, 0, "relation");
	char *name = mg_arg_text_or_null(fcinfo, 1);
	const char *unit = mg_arg_name_or_null(fcinfo, 2);
	int max_rows = PG_ARGISNULL(3) ? 1 : PG_GETARG_INT32(3);
	bool make = !PG_ARGISNULL(4), assert_stable = !PG_ARGISNULL(5) && PG_GETARG_BOOL(5), view;
	const MgRelation *before;
	StringInfoData detail;
	int64 budget;

	if ((name != NULL) == make)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg(make ? "budget and epsilon cannot both be given" : "either budget or epsilon must be given"),
				 errhint("epsilon => 10 makes a budget for this table; budget => 'name' joins one that exists.")));
	if (max_rows < 1 || max_rows > MG_MAX_ROWS_PER_UNIT)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max_rows_per_unit must lie between 1 and %d", MG_MAX_ROWS_PER_UNIT),
						errhint("All noise is multiplied by it: choose the least that shows what a unit is like.")));
	mg_require_writable("dp_protect");
	mg_require_owner(relid);
	view = get_rel_relkind(relid) == RELKIND_VIEW && (assert_stable || mg_relation_source(relid).asserted);
	if (!view)
		require_protectable(relid);
	if (assert_stable && !mg_is_admin(GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("only a member of mirage_admin may assert stability"),
				 errhint("Without it, views and row security over the table must be checkable.")));
	if (view && (unit != NULL || max_rows != 1))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a view has no unit of its own"),
						errhint("Its unit is that of the table it is over: leave unit and max_rows_per_unit out.")));
	if (view)
		PG_RETURN_TEXT_P(cstring_to_text(vouch_for_view(relid, name, assert_stable)));
	mg_relations_lock(relid);
	refuse_public(relid);
	before = protection_before(relid);
	/* left out, the unit that is recorded stays, and its limit with it */
	if (unit == NULL && before != NULL && before->unit != NULL)
	{
		unit = before->unit;
		max_rows = max_rows == 1 ? before->max_rows : max_rows;
	}
	if (unit == NULL && max_rows != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("max_rows_per_unit needs a unit"),
				 errhint("unit => 'column' says which column's values are the units; without it each row is one.")));
	budget = choose_budget(relid, name, make, make ? PG_GETARG_FLOAT8(4) : 0, before);
	settle_unit(relid, budget, before, unit, max_rows);
	mg_relation_protect(relid, budget, assert_stable, NULL, unit, max_rows);
	mg_relation_stamp_family(relid, budget, unit, max_rows);
	mg_json_begin(&detail);
	mg_json_int(&detail, "budget", budget);
	mg_json_bool(&detail, "assert_stable", assert_stable);
	mg_json_int(&detail, "max_rows_per_unit", max_rows);
	mg_json_text(&detail, "unit", unit != NULL ? unit : MG_UNIT_KIND_ROW);
	mg_log("protect", mg_relation_name(relid), mg_json_end(&detail));
	PG_RETURN_TEXT_P(cstring_to_text(mg_budget_by_id(budget, false)->name));
}

/* Would the column depend on itself, through what is declared of the others? Under the lock on the relation. */
static void
refuse_circle(Oid relid, const char *column, List *depends_on)
{
	List *reached = list_copy(depends_on);

	/* the list grows while it is walked */
	for (int i = 0; i < list_length(reached); i++)
	{
		MgDeclaration *decl = mg_declaration(relid, list_nth(reached, i));
		ListCell *lc;

		foreach (lc, decl != NULL ? decl->depends_on : NIL)
		{
			if (strcmp(lfirst(lc), column) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("column \"%s\" would depend on itself", column),
						 errdetail("Column \"%s\" is declared to depend on it.", (char *) list_nth(reached, i)),
						 errhint("Of columns that determine each other, declare all but one to depend on that one.")));
			if (!mg_texts_have(reached, lfirst(lc)))
				reached = lappend(reached, lfirst(lc));
		}
	}
}

Datum
dp_set_column(PG_FUNCTION_ARGS)
{
	Oid relid = mg_arg_oid(fcinfo, 0, "relation");
	MgDeclaration decl = {0};
	char *column = mg_arg_name_or_null(fcinfo, 1);

	if (column == NULL)
		(void) mg_arg_oid(fcinfo, 1, "column_name");
	decl.kind = mg_arg_text_or_null(fcinfo, 2);
	decl.lower = mg_arg_text_or_null(fcinfo, 3);
	decl.upper = mg_arg_text_or_null(fcinfo, 4);
	decl.categories = mg_arg_texts(fcinfo, 5, "categories");
	if (!PG_ARGISNULL(6))
	{
		decl.bins = PG_GETARG_INT32(6);
		if (decl.bins < 1 || decl.bins > MG_MAX_CELLS)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("bins must lie between 1 and %d", MG_MAX_CELLS)));
	}
	decl.pattern = mg_arg_text_or_null(fcinfo, 7);
	decl.other = mg_arg_text_or_null(fcinfo, 8);
	decl.depends_on = mg_arg_names(fcinfo, 9, "depends_on");
	if (list_length(decl.depends_on) > MG_MAX_DETERMINANTS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("a column can depend on at most %d others", MG_MAX_DETERMINANTS)));
	mg_require_writable("dp_set_column");
	mg_require_owner(relid);
	require_protectable(relid);
	mg_check_declaration(relid, column, &decl, mg_declaration, mg_relation_publicness);
	mg_relations_lock(relid);
	refuse_circle(relid, column, decl.depends_on);
	mg_declaration_store(relid, column, &decl);
	mg_log("set column", psprintf("%s.%s", mg_relation_name(relid), quote_identifier(column)), NULL);
	PG_RETURN_VOID();
}

/* The event trigger behind whatever may rename a relation or move it to another schema. */
Datum
mg_sql_follow_names(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED), errmsg("not called as an event trigger")));
	mg_relations_follow_names();
	PG_RETURN_NULL();
}
