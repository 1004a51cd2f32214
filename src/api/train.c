/*
 * api/train.c: dp_plan, dp_train, dp_wait, dp_cancel. dp_train checks all that can be checked without looking at a row,
 * and hands over to a worker, which checks it again under locks.
 */
#include "api/watch.h"

#include <math.h>

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pg/compat.h"
#include "pg/constraints.h"
#include "pg/guc.h"
#include "pg/options.h"
#include "pg/reader.h"
#include "pg/server.h"
#include "pg/unit.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"
#include "worker/worker.h"

MG_FUNCTION(dp_plan);
MG_FUNCTION(dp_train);
MG_FUNCTION(dp_wait);
MG_FUNCTION(dp_cancel);

static const mg_method *
require_method(const char *name)
{
	const mg_method *method = mg_method_find(name);

	if (method == NULL)
	{
		StringInfoData names;

		initStringInfo(&names);
		for (int i = 0; mg_methods[i] != NULL; i++)
			appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", mg_methods[i]->name);
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("unknown method \"%s\"", name),
						errhint("This version has: %s.", names.data)));
	}
	return method;
}

/* What a call of dp_plan or dp_train comes to once its arguments are understood. */
typedef struct Request
{
	Oid relid, base;
	MgRelation *protection;
	MgBudget *budget;
	MgTrainRight right;
	MgUnit *unit; /* NULL: the row */
	MgColumns *columns;
	List *names;
	const mg_method *method;
	char *options;
	double epsilon, delta;
	mg_fit_request fit;
	mg_plan plan;
} Request;

/* The method's own view of it: options are checked, rho is split; no row is read. */
static void
plan_request(Request *r)
{
	mg_domain *domains = palloc0(sizeof(mg_domain) * Max(r->columns->ncore, 1));
	mg_arena *arena = mg_arena_create(0);
	mg_ctx ctx;

	if (arena == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	mg_release_with(CurrentMemoryContext, (void (*)(void *)) mg_arena_destroy, arena);
	for (int i = 0; i < r->columns->n; i++)
		if (r->columns->col[i].core >= 0)
			domains[r->columns->col[i].core] = r->columns->col[i].domain;
	mg_server_ctx(&ctx);
	r->fit.allowance = mg_ledger_allowance(r->budget, r->right.share_epsilon, r->epsilon, r->delta);
	r->fit.domains = domains;
	r->fit.ncolumns = (uint32_t) r->columns->ncore;
	mg_columns_dependencies(r->columns, &r->fit);
	mg_options_parse(r->options, &r->fit);
	r->fit.rows_per_unit = r->unit != NULL ? (uint32) r->unit->max_rows : 1;
	r->fit.memory = (size_t) mg_guc_work_mem * 1024 / 4;
	r->fit.constraints = mg_read_constraints(r->relid, r->base, r->columns, &r->fit.nconstraints);
	MG_CHECK(&ctx, r->method->plan(&ctx, arena, &r->fit, &r->plan));
}

/*
 * Before anything is said about columns, whose declarations are not for everybody: the right to train, of those who
 * have nothing else to do with the relation. What a right comes to for the others is worked out with the source.
 */
static void
refuse_strangers(Oid relid)
{
	Oid me = GetUserId(), base;

	if (mg_owns(relid, me) || pg_class_aclcheck(relid, me, ACL_SELECT) == ACLCHECK_OK ||
		pg_attribute_aclcheck_all(relid, me, ACL_SELECT, ACLMASK_ANY) == ACLCHECK_OK)
		return;
	if (get_rel_relkind(relid) == RELKIND_VIEW)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for view \"%s\"", mg_relation_name(relid)),
				 errhint("Training on a view takes SELECT on it; a share of the budget reaches the table itself.")));
	base = mg_source_base_peek(relid, NIL, mg_relation_source, false);
	(void) mg_train_right(relid, base, mg_relation_protection(base, false));
}

/* Arguments relation, method, epsilon, delta, columns, options, from `first` on. */
static void
understand(FunctionCallInfo fcinfo, int first, Request *r)
{
	memset(r, 0, sizeof(*r));
	r->relid = mg_arg_oid(fcinfo, first, "relation");
	r->method = require_method(mg_arg_text(fcinfo, first + 1, "method"));
	r->epsilon = mg_arg_float8(fcinfo, first + 2, "epsilon");
	mg_check_epsilon(r->epsilon);
	if (!PG_ARGISNULL(first + 3))
		mg_check_delta(PG_GETARG_FLOAT8(first + 3));
	r->names = mg_arg_names(fcinfo, first + 4, "columns");
	r->options =
		PG_ARGISNULL(first + 5) ? NULL : DatumGetCString(DirectFunctionCall1(jsonb_out, PG_GETARG_DATUM(first + 5)));

	(void) mg_relation_name_required(r->relid);
	refuse_strangers(r->relid);
	r->columns = mg_describe_columns(r->relid, r->names, mg_declaration, mg_relation_publicness);
	r->base = mg_source_base_peek(r->relid, mg_columns_names(r->columns), mg_relation_source, false);
	r->protection = mg_relation_protection(r->base, false);
	r->right = mg_train_right(r->relid, r->base, r->protection);
	if (r->right.reader == GetUserId())
		(void) mg_source_base_peek(r->relid, mg_columns_names(r->columns), mg_relation_source, true);
	r->budget = mg_budget_by_id(r->protection->budget, false);
	r->delta = PG_ARGISNULL(first + 3) ? r->budget->filter.delta : PG_GETARG_FLOAT8(first + 3);
	if (r->delta > r->budget->filter.delta)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("delta is above that of the budget, %g", r->budget->filter.delta),
						errhint("Leave delta out to take the budget's.")));
	if (r->protection->unit != NULL)
		r->unit = mg_unit_of_source(r->relid, r->base, r->protection->unit, r->protection->max_rows);
	mg_budget_require_kind(r->budget, r->unit != NULL ? r->unit->kind : MG_UNIT_KIND_ROW, false);
	mg_require_trainable(r->columns);
	mg_train_require_select(r->relid, r->right.reader, r->columns, r->unit);
	plan_request(r);
}

static void
put_plan_row(ReturnSetInfo *rsi, const char *step, const char *column, double share, double rho, double delta,
			 double sigma, int64 count)
{
	Datum values[7];
	bool nulls[7] = {false};

	values[0] = CStringGetTextDatum(step);
	values[1] = CStringGetTextDatum(column);
	nulls[1] = column[0] == '\0';
	values[2] = Float8GetDatum(rint(share * 1e6) / 1e6); /* for the eye; rho is exact */
	values[3] = Float8GetDatum(rho);
	nulls[3] = rho == 0;
	values[4] = Float8GetDatum(delta);
	nulls[4] = delta == 0;
	values[5] = Float8GetDatum(rint(sigma * 100) / 100);
	nulls[5] = sigma == 0;
	values[6] = Int64GetDatum(count);
	tuplestore_putvalues(rsi->setResult, rsi->setDesc, values, nulls);
}

/* What becomes of the table's constraints; they cost nothing. */
static void
put_constraints(ReturnSetInfo *rsi, const mg_fit_request *fit)
{
	for (uint32 i = 0; i < fit->nconstraints; i++)
	{
		const mg_constraint *c = &fit->constraints[i];
		const char *how = c->how == MG_HOW_NONE    ? "not enforced"
						  : c->how == MG_HOW_FRESH ? "met by fresh values"
												   : "kept";

		put_plan_row(rsi,
					 psprintf("constraint \"%s\": %s%s%s", c->name, how, c->why != NULL ? "; " : "",
							  c->why != NULL ? c->why : ""),
					 "", 0, 0, 0, 0, 1);
	}
}

/* One row a measurement, one a constraint; the last two say what all of it costs of the budget, and what would be left.
 */
MG_WATCHED_FUNCTION(dp_plan, MG_WATCHED_TRAINING)
{
	ReturnSetInfo *rsi = (ReturnSetInfo *) fcinfo->resultinfo;
	const mg_filter *f;
	Request r;
	MgUse use;
	double before, after;
	bool fits;

	understand(fcinfo, 0, &r);
	f = &r.budget->filter;
	use = mg_ledger_use(r.budget, 0);
	mg_arg_materialize(fcinfo);
	for (uint32 i = 0; i < r.plan.count; i++)
	{
		const mg_plan_item *item = &r.plan.item[i];

		put_plan_row(rsi, item->what, item->column, item->share, item->rho, item->delta, item->sigma,
					 (int64) item->count);
	}
	if (r.unit != NULL)
		put_plan_row(rsi, "unit: rows that share its value; at most so many are used", r.unit->column, 0, 0, 0, 0,
					 r.unit->max_rows);
	put_constraints(rsi, &r.fit);
	put_plan_row(rsi,
				 psprintf("memory: at most %d MB, beyond it temporary files (pg_mirage.work_mem)",
						  mg_guc_work_mem / 1024),
				 "", 0, 0, 0, 0, 1);
	before = mg_filter_used(f, use.rdp, use.delta_atoms);
	after = mg_filter_used(f, use.rdp + f->alpha * r.fit.allowance.rho, use.delta_atoms + r.fit.allowance.delta_atoms);
	fits = mg_filter_fits(f, use.rdp, use.delta_atoms, f->alpha * r.fit.allowance.rho, r.fit.allowance.delta_atoms);
	put_plan_row(rsi, psprintf("price: of budget \"%s\"", r.budget->name), "", after - before, r.fit.allowance.rho,
				 r.fit.allowance.delta_atoms, 0, 1);
	put_plan_row(rsi, fits ? "left of the budget afterwards" : "does not fit: the budget would be exceeded", "",
				 1 - after, 0, 0, 0, 1);
	return (Datum) 0;
}

MG_WATCHED_FUNCTION(dp_train, MG_WATCHED_TRAINING)
{
	char *model = mg_arg_text(fcinfo, 0, "model");
	bool wait = PG_ARGISNULL(7) || PG_GETARG_BOOL(7);
	MgTrainCall call = {0};
	Request r;

	mg_check_name("model", model);
	mg_require_writable("dp_train");
	if (mg_model_find(model) != NULL)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("model \"%s\" already exists", model),
						errhint("Choose another name, or drop it with dp_drop_model(%s).", quote_literal_cstr(model))));
	mg_require_visible_to_workers(mg_arg_oid(fcinfo, 1, "relation"));
	understand(fcinfo, 1, &r);
	if (r.base != r.relid)
		mg_require_visible_to_workers(r.base);
	if (r.protection->mine_uncommitted || r.budget->mine_uncommitted)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the protection of \"%s\" was made by this transaction, which has not committed",
							   r.protection->name),
						errhint("Commit first: the background worker that trains cannot see it yet.")));
	if (mg_declarations_uncommitted(r.base))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("columns of \"%s\" were declared by this transaction, which has not committed",
							   r.protection->name),
						errhint("Commit first: the background worker that trains cannot see it yet.")));
	for (int i = 0; i < r.columns->n; i++)
	{
		MgRelation *keys = OidIsValid(r.columns->col[i].keys_of) ? mg_relation_find(r.columns->col[i].keys_of) : NULL;

		if (keys != NULL && keys->mine_uncommitted)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("\"%s\" was declared public by this transaction, which has not committed", keys->name),
					 errhint("Commit first: the background worker that trains cannot see it yet.")));
	}
	call.job = mg_job_next_id();
	call.model = model;
	call.method = r.method->name;
	call.options = r.options;
	call.relid = r.relid;
	call.base = r.base;
	call.budget = r.budget->id;
	call.reader = r.right.reader;
	call.share = r.right.share_id;
	call.columns = mg_columns_names(r.columns);
	call.epsilon = r.epsilon;
	call.delta = r.delta;
	mg_train_start(&call, wait);
	PG_RETURN_INT64(call.job);
}

/* The job, when the current role may deal with it: its own, or an admin's business. */
static MgJob *
require_job(FunctionCallInfo fcinfo)
{
	MgJob *job;
	Oid me = GetUserId();

	if (PG_ARGISNULL(0))
		(void) mg_arg_oid(fcinfo, 0, "job");
	job = mg_job_find(PG_GETARG_INT64(0));
	if (job == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("job " INT64_FORMAT " does not exist", PG_GETARG_INT64(0)),
				 errhint("SELECT id FROM dp_jobs shows yours.")));
	if (!mg_is_admin(me) && !(job->role.live && has_privs_of_role(me, job->role.oid)) && !mg_owns(job->relid, me))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied for job " INT64_FORMAT, job->id),
				 errhint("Jobs answer to the role that started them, the table's owner and mirage_admin.")));
	return job;
}

Datum
dp_wait(PG_FUNCTION_ARGS)
{
	MgJob *job = require_job(fcinfo);
	int64 timeout = -1;

	if (!PG_ARGISNULL(1))
	{
		const Interval *i = PG_GETARG_INTERVAL_P(1);
		double ms = (double) i->time / 1000 + ((double) i->day + 30.0 * i->month) * 86400000.0;

		if (ms < 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("timeout must not be negative")));
		timeout = (int64) Min(ms, 1e15);
	}
	PG_RETURN_TEXT_P(cstring_to_text(mg_job_wait(job->id, timeout)));
}

Datum
dp_cancel(PG_FUNCTION_ARGS)
{
	MgJob *job = require_job(fcinfo);

	PG_RETURN_BOOL(mg_job_cancel(job->id));
}
