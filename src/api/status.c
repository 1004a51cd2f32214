/*
 * api/status.c: dp_describe, and the functions behind the views: which rows concern the current role, what is left of a
 * budget, how far a job is. The views run their table scans as the extension's owner and these functions as the caller.
 */
#include "api/args.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pg/compat.h"
#include "pg/reader.h"
#include "pg/server.h"
#include "privacy/pld.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"
#include "worker/worker.h"

MG_FUNCTION(dp_describe);
MG_FUNCTION(mg_sql_is_me);
MG_FUNCTION(mg_sql_is_role);
MG_FUNCTION(mg_sql_owns);
MG_FUNCTION(mg_sql_oversees);
MG_FUNCTION(mg_sql_may_release);
MG_FUNCTION(mg_sql_budget_figures);
MG_FUNCTION(mg_sql_job_progress);

/* Where the domain comes from, and what the column is a function of. */
static char *
source_text(const MgColumns *columns, const MgColumn *c)
{
	StringInfoData s;

	initStringInfo(&s);
	appendStringInfoString(&s, c->source);
	for (int i = 0; i < c->ndeterminants; i++)
		appendStringInfo(&s, "%s%s", i == 0 ? ", a function of " : ", ",
						 quote_identifier(columns->col[c->determinants[i]].name));
	return s.data;
}

Datum
dp_describe(PG_FUNCTION_ARGS)
{
	Oid relid = mg_arg_oid(fcinfo, 0, "relation");
	Oid me = GetUserId();
	ReturnSetInfo *rsi = (ReturnSetInfo *) fcinfo->resultinfo;
	char *name = mg_relation_name_required(relid), *grantee;
	int64 share;
	MgRelation *protection;
	MgColumns *columns;

	if (!mg_owns(relid, me) && !mg_is_admin(me) && !mg_is_auditor(me) &&
		pg_class_aclcheck(relid, me, ACL_SELECT) != ACLCHECK_OK)
	{
		MgRelation *r = mg_relation_protection(relid, true);

		if (r == NULL || mg_share_find(r->budget, me, &share, &grantee) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied for relation \"%s\"", name),
					 errhint("It takes SELECT on the relation, or a share of its budget.")));
	}
	protection = get_rel_relkind(relid) != RELKIND_VIEW ? mg_relation_protection(relid, true) : NULL;
	columns = mg_describe_columns(relid, NIL, mg_declaration, mg_relation_publicness);
	mg_arg_materialize(fcinfo);
	for (int i = 0; i < columns->n; i++)
	{
		const MgColumn *c = &columns->col[i];
		bool unit = protection != NULL && protection->unit != NULL && strcmp(c->name, protection->unit) == 0;
		int64 codes = mg_domain_codes(c);
		Datum values[7];
		bool nulls[7] = {false};
		StringInfoData unused;
		ListCell *lc;

		values[0] = CStringGetTextDatum(c->name);
		values[1] = CStringGetTextDatum(format_type_with_typemod(c->type, c->typmod));
		values[2] = CStringGetTextDatum(mg_column_kind_name(c->kind));
		values[3] = CStringGetTextDatum(mg_domain_text(c));
		values[4] = CStringGetTextDatum(unit ? psprintf("unit, at most %d rows of each", protection->max_rows)
											 : source_text(columns, c));
		values[5] = Int64GetDatum(codes);
		nulls[5] = codes == 0;
		initStringInfo(&unused);
		foreach (lc, c->unused_checks)
			appendStringInfo(&unused, "%s%s", unused.len > 0 ? "; " : "", (char *) lfirst(lc));
		values[6] = CStringGetTextDatum(unused.data);
		nulls[6] = unused.len == 0;
		tuplestore_putvalues(rsi->setResult, rsi->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* (oid, name, identity): a live binding to a role whose rights the current role has. */
Datum
mg_sql_is_me(PG_FUNCTION_ARGS)
{
	MgRole role =
		mg_role_binding(PG_GETARG_OID(0), text_to_cstring(PG_GETARG_TEXT_PP(1)), text_to_cstring(PG_GETARG_TEXT_PP(2)));

	PG_RETURN_BOOL(role.live && has_privs_of_role(GetUserId(), role.oid));
}

/* (oid, name, identity): a live binding, to whichever role. */
Datum
mg_sql_is_role(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(
		mg_role_binding(PG_GETARG_OID(0), text_to_cstring(PG_GETARG_TEXT_PP(1)), text_to_cstring(PG_GETARG_TEXT_PP(2)))
			.live);
}

/* (relid, identity): owner of a relation that was recorded in this database. */
Datum
mg_sql_owns(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(strcmp(text_to_cstring(PG_GETARG_TEXT_PP(1)), mg_database_identity()) == 0 &&
				   mg_owns(PG_GETARG_OID(0), GetUserId()));
}

Datum
mg_sql_oversees(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(mg_is_auditor(GetUserId()) || mg_is_admin(GetUserId()));
}

Datum
mg_sql_may_release(PG_FUNCTION_ARGS)
{
	MgModel *m = mg_model_find(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	PG_RETURN_BOOL(m != NULL && mg_may_release(m, GetUserId()));
}

/* Epsilon at delta of charges together, each a block of zCDP with atoms: by the tightest accountant there is. */
static double
together(const MgUse *use, double delta)
{
	mg_event e = {.kind = MG_EVENT_ZCDP, .param = use->rho, .count = 1, .delta = use->delta_atoms};
	double epsilon;
	mg_ctx ctx;

	if (!(use->rho > 0))
		return 0;
	mg_server_ctx(&ctx);
	MG_CHECK(&ctx, mg_pld_epsilon(&ctx, &e, 1, delta, &epsilon));
	return epsilon;
}

/* (budget) -> visible, used, spent, remaining, lifetime; all NULL but the first for those whom it does not concern. */
Datum
mg_sql_budget_figures(PG_FUNCTION_ARGS)
{
	MgBudget *b = mg_budget_by_id(PG_GETARG_INT64(0), true);
	TupleDesc desc;
	Datum values[5] = {0};
	bool nulls[5] = {false, true, true, true, true};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = BoolGetDatum(b != NULL && mg_budget_visible(b));
	if (DatumGetBool(values[0]))
	{
		const mg_filter *f = &b->filter;
		MgUse use = mg_ledger_use(b, 0);
		double spent = together(&use, f->delta);

		values[1] = Float8GetDatum(mg_filter_used(f, use.rdp, use.delta_atoms));
		values[2] = Float8GetDatum(spent);
		values[3] = Float8GetDatum(mg_filter_remaining(f, use.rdp, use.delta_atoms));
		use = mg_ledger_lifetime(b);
		values[4] = Float8GetDatum(together(&use, f->delta));
		memset(nulls, 0, sizeof(nulls));
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* (job, dsm handle) -> alive, phase, fraction. Progress is no secret, but a job's row is: the view shows only one's
 * own. */
Datum
mg_sql_job_progress(PG_FUNCTION_ARGS)
{
	TupleDesc desc;
	char phase[64] = "";
	double fraction = 0;
	Datum values[3];
	bool nulls[3] = {false, false, false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] =
		BoolGetDatum(mg_job_alive(PG_GETARG_INT64(0), (uint32) PG_GETARG_INT64(1), phase, sizeof(phase), &fraction));
	values[1] = CStringGetTextDatum(phase);
	values[2] = Float8GetDatum(fraction);
	nulls[1] = nulls[2] = !DatumGetBool(values[0]);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
