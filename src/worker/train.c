/*
 * worker/train.c: one training: reserve, read, fit, store.
 *
 * Lock order: the job's own lock, the relation (for the session, until the reading has ended), public tables that it
 * refers to (while their keys are read), the budget's row. The charge is committed before the first row is read;
 * whatever happens later, only `reading == false` can give it back.
 */
#include "worker/shared.h"

#include <unistd.h>

#include "access/xact.h"
#include "base/pool.h"
#include "catalog/namespace.h"
#include "catalog/catalog.h"
#include "catalog/highwater.h"
#include "catalog/pg_class.h"
#include "catalog/receipt.h"
#include "catalog/watermark.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "model/dependency.h"
#include "postmaster/interrupt.h"
#include "replication/syncrep.h"
#include "pg/compat.h"
#include "pg/constraints.h"
#include "pg/guc.h"
#include "pg/json.h"
#include "pg/options.h"
#include "pg/reader.h"
#include "pg/server.h"
#include "pg/unit.h"
#include "seal/seal.h"
#include "storage/lmgr.h"
#include "synthesis/marking.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* What the failure path must know; one job a process. */
static struct
{
	bool reserved, reading, read_done;
	int64 charge, model;
	LockRelId relation;
} progress;

static void
pack_call(mg_writer *w, const MgTrainCall *call)
{
	mg_put_i64(w, call->job);
	mg_params_put_text(w, call->model);
	mg_params_put_text(w, call->method);
	mg_params_put_text(w, call->options);
	mg_put_i64(w, call->share);
	mg_put_u32(w, call->relid);
	mg_put_u32(w, call->base);
	mg_put_u32(w, call->reader);
	mg_put_i64(w, call->budget);
	mg_put_f64(w, call->epsilon);
	mg_put_f64(w, call->delta);
	mg_params_put_texts(w, call->columns);
}

static void
unpack_call(mg_reader *r, MgTrainCall *call)
{
	memset(call, 0, sizeof(*call));
	call->job = mg_get_i64(r);
	call->model = mg_params_text(r);
	call->method = mg_params_text(r);
	call->options = mg_params_text(r);
	call->share = mg_get_i64(r);
	call->relid = mg_get_u32(r);
	call->base = mg_get_u32(r);
	call->reader = mg_get_u32(r);
	call->budget = mg_get_i64(r);
	call->epsilon = mg_get_f64(r);
	call->delta = mg_get_f64(r);
	call->columns = mg_params_texts(r);
	if (r->failed)
		elog(ERROR, "malformed parameters of a training");
}

void
mg_train_start(const MgTrainCall *call, bool wait)
{
	MgLaunch launch;
	mg_writer w;

	if (!enableFsync && !mg_guc_allow_unsafe_fsync)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the server runs with fsync = off: a charge could be lost in a crash"),
						errhint("Turn fsync on. For tests only, a superuser may set pg_mirage.allow_unsafe_fsync.")));
	mg_writer_init(&w);
	pack_call(&w, call);
	mg_launch(&launch, MG_WORK_TRAIN, call->job, &w, call->reader == GetUserId());
	mg_launch_wait(&launch, wait ? MG_WORK_DONE : MG_WORK_RESERVED, wait);
	mg_launch_detach(&launch);
}

/*
 * Keys that a training keeps between its phases: of the unit's hash until the table is read, of the model and of mark
 * plans until it is stored. They are taken with the reservation, when the model's is wrapped, so that the end of a long
 * training needs no master key. Static, to be wiped also when an error has left every frame.
 */
static struct
{
	uint8 unit[MG_KEY_BYTES], model[MG_KEY_BYTES], plan[MG_KEY_BYTES];
} secrets;

/* Everything that a training holds between its phases. */
typedef struct Training
{
	MgShared *shared;
	MgTrainCall call;
	MgColumns *columns;
	MgBudget *budget;
	MgRelation *protection;
	MgUnit *unit; /* NULL: the row */
	char *relation_name;
	double share_epsilon; /* 0: no share pays */
	char *share_name;
	bool assert_stable;
	MemoryContext context;
	const mg_method *method;
	mg_fit_request request;
	mg_ctx ctx;
	mg_noise *noise;
	mg_odometer odometer;
	mg_curator *curator;
	mg_model *model;
	mg_mark_plan *mark_plan;
} Training;

static void
refuse_gone(void)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("the relation was dropped while the job began"),
					errhint("Nothing was spent.")));
}

/* Holds the relation for the session, so that what is checked is what is read. */
static void
lock_relation(Training *t)
{
	progress.relation.dbId = get_rel_relkind(t->call.relid) == '\0' ? InvalidOid : MyDatabaseId;
	progress.relation.relId = t->call.relid;
	if (!OidIsValid(progress.relation.dbId))
		refuse_gone();
	LockRelationIdForSession(&progress.relation, AccessShareLock);
	/* the lock may have been granted after a drop */
	AcceptInvalidationMessages();
	if (get_rel_relkind(t->call.relid) == '\0')
		refuse_gone();
}

/* Rights and protection again, under the lock: they may have changed since the call. */
static void
check_again(Training *t)
{
	MgRelation *protection = mg_relation_protection(t->call.base, false);
	MgTrainRight right;

	if (protection->budget != t->call.budget)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
						errmsg("the protection of \"%s\" changed while the job began", protection->name),
						errhint("Call dp_train again; nothing was spent.")));
	right = mg_train_right(t->call.relid, t->call.base, protection);
	if (right.reader != t->call.reader || right.share_id != t->call.share)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
						errmsg("rights on \"%s\" changed while the job began", protection->name),
						errhint("Call dp_train again; nothing was spent.")));
	t->share_epsilon = right.share_epsilon;
	t->share_name = right.share;
	t->assert_stable = protection->assert_stable;
	t->protection = protection;
	t->relation_name = mg_relation_name(t->call.relid);
	t->budget = mg_budget_by_id(t->call.budget, false);
}

/* Columns as the catalogs have them, and the method's request; all in the job's own memory. */
static void
describe(Training *t)
{
	MemoryContext old = MemoryContextSwitchTo(t->context);
	mg_domain *domains;
	mg_allowance allowance;

	if (t->protection->unit != NULL)
		t->unit = mg_unit_of_source(t->call.relid, t->call.base, t->protection->unit, t->protection->max_rows);
	t->columns = mg_describe_columns(t->call.relid, t->call.columns, mg_declaration, mg_relation_publicness);
	mg_require_trainable(t->columns);
	domains = palloc0(sizeof(mg_domain) * Max(t->columns->ncore, 1));
	for (int i = 0; i < t->columns->n; i++)
		if (t->columns->col[i].core >= 0)
			domains[t->columns->col[i].core] = t->columns->col[i].domain;
	allowance = mg_ledger_allowance(t->budget, t->share_epsilon, t->call.epsilon, t->call.delta);
	t->request.domains = domains;
	t->request.ncolumns = (uint32_t) t->columns->ncore;
	mg_columns_dependencies(t->columns, &t->request);
	t->request.allowance = allowance;
	mg_options_parse(t->call.options, &t->request);
	t->request.rows_per_unit = t->unit != NULL ? (uint32) t->unit->max_rows : 1;
	t->request.memory = (size_t) mg_guc_work_mem * 1024 / 4;
	t->request.constraints = mg_read_constraints(t->call.relid, t->call.base, t->columns, &t->request.nconstraints);
	MemoryContextSwitchTo(old);
}

static char *
events_json(const Training *t)
{
	return psprintf("[{\"mechanism\": \"zcdp\", \"rho\": %.17g, \"delta\": %.17g, \"count\": 1}]",
					t->request.allowance.rho, t->request.allowance.delta_atoms);
}

/* Does it fit? Decided under the budget's lock, on the latest committed charges. */
static void
require_room(Training *t)
{
	const mg_filter *f = &t->budget->filter;
	const mg_allowance *a = &t->request.allowance;
	MgUse use = mg_ledger_use(t->budget, 0);
	mg_filter share;

	if (!mg_filter_fits(f, use.rdp, use.delta_atoms, f->alpha * a->rho, a->delta_atoms))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("budget \"%s\" has no room for a training of epsilon %g", t->budget->name, t->call.epsilon),
				 use.delta_atoms + a->delta_atoms > f->delta_cap
					 ? errdetail("Its delta for rare labels and values is used up: each training takes a hundredth.")
					 : errdetail("The largest that fits has epsilon %.4g.",
								 mg_filter_remaining(f, use.rdp, use.delta_atoms)),
				 errhint("Ask for less. What was learnt from these people stays learnt.")));
	if (t->call.share == 0)
		return;
	share = mg_ledger_share_filter(t->budget, t->share_epsilon);
	use = mg_ledger_use(t->budget, t->call.share);
	if (!mg_filter_fits(&share, share.alpha * use.rho, use.delta_atoms, share.alpha * a->rho, a->delta_atoms))
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("the share of \"%s\" in budget \"%s\" has no room for a training of epsilon %g",
							   t->share_name, t->budget->name, t->call.epsilon),
						errdetail("The largest that fits has epsilon %.4g.",
								  mg_filter_remaining(&share, share.alpha * use.rho, use.delta_atoms)),
						errhint("Ask for less, or ask the budget's owner for a larger share.")));
}

/* One model name, one job at a time: a lock of ours on the name, held until the process ends. */
static void
claim_name(const Training *t)
{
	LOCKTAG tag;
	Oid class = get_relname_relid("model", get_namespace_oid("mirage", false));
	uint32 hash = DatumGetUInt32(hash_any((const unsigned char *) t->call.model, (int) strlen(t->call.model)));

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, class, hash, 0);
	if (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("a job that trains model \"%s\" is running", t->call.model),
				 errhint("Choose another name, or wait for it: SELECT * FROM dp_jobs.")));
	if (mg_model_find(t->call.model) != NULL)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("model \"%s\" already exists", t->call.model),
						errhint("Choose another name, or drop it with dp_drop_model(%s).",
								quote_literal_cstr(t->call.model))));
}

/*
 * A cancel while the commit waited for a synchronous standby is only a warning to the server, but the charge could be
 * lost in a failover: wait again, and begin nothing for a caller that has gone.
 */
static void
require_durable(Training *t)
{
	if (mg_work_cancelled(t->shared))
		ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg("the job was cancelled before it read anything")));
	SyncRepWaitForLSN(XactLastCommitEnd, true);
	CHECK_FOR_INTERRUPTS();
	if (mg_work_cancelled(t->shared))
		ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg("the job was cancelled before it read anything")));
}

/*
 * Leaves the charge where no rewind of this cluster reaches, before anything is read; where that fails, the charge is
 * given back. The log is chained before, so that the mark's head covers the charge's entry.
 */
static void
mark_high_water(Training *t)
{
	mg_work_begin(t->shared, false);
	mg_log_chain();
	mg_work_commit();
	mg_work_begin(t->shared, false);
	mg_high_water_write();
	mg_work_commit();
}

/* The first transaction: everything is checked again, and the charge is durable before anything is read. */
static void
reserve(Training *t)
{
	MgCharge charge = {0};
	MgJob job = {0};
	uint8 key[MG_KEY_BYTES];
	MemoryContext old;

	mg_keys_hold();
	mg_work_begin(t->shared, false);
	if (!mg_job_lock(t->call.job))
		elog(ERROR, "job " INT64_FORMAT " runs already", t->call.job);
	claim_name(t);
	lock_relation(t);
	mg_relation_lock_public_targets(t->call.base);
	mg_master_key(key, true); /* no key: refuse before reading */
	mg_wipe(key, sizeof(key));
	mg_root_key("log", key, true);
	mg_wipe(key, sizeof(key));
	mg_mark_plan_key(secrets.plan);
	mg_ledger_lock(t->call.budget);
	mg_ledger_require_whole();
	if (mg_high_water_kept())
		mg_high_water_require();
	old = MemoryContextSwitchTo(t->context);
	check_again(t);
	MemoryContextSwitchTo(old);
	describe(t);
	mg_budget_require_kind(t->budget, t->unit != NULL ? t->unit->kind : MG_UNIT_KIND_ROW, true);
	if (t->unit != NULL)
		mg_root_key("unit", secrets.unit, true);
	require_room(t);

	charge.budget = t->budget->id;
	charge.budget_name = t->budget->name;
	charge.relation = t->relation_name;
	charge.relid = t->call.relid;
	charge.model = t->call.model;
	charge.role = t->shared->current_user;
	charge.job = t->call.job;
	charge.epsilon = t->call.epsilon;
	charge.delta = t->call.delta;
	charge.rho = t->request.allowance.rho;
	charge.delta_atoms = t->request.allowance.delta_atoms;
	charge.share = t->call.share;
	charge.events = events_json(t);
	progress.model = mg_model_next_id();
	mg_model_key_create(progress.model, secrets.model);
	progress.charge = mg_ledger_reserve(&charge);
	mg_relation_stamp_family(t->call.base, t->budget->id, t->protection->unit, t->protection->max_rows);

	job.id = t->call.job;
	job.model = (char *) t->call.model;
	job.relation = t->relation_name;
	job.method = (char *) t->call.method;
	job.role.oid = t->shared->current_user;
	job.role.name = GetUserNameFromId(t->shared->current_user, false);
	job.dsm_handle = t->shared->handle;
	job.pid = MyProcPid;
	job.charge = progress.charge;
	mg_job_insert(&job, t->call.relid, t->call.epsilon);
	mg_log("charge", t->relation_name,
		   psprintf("{\"charge\": " INT64_FORMAT ", \"job\": " INT64_FORMAT ", \"epsilon\": %.17g, \"delta\": %.17g, "
					"\"rho\": %.17g}",
					progress.charge, t->call.job, t->call.epsilon, t->call.delta, charge.rho));
	mg_work_commit();
	progress.reserved = true;
	require_durable(t);
	if (mg_high_water_kept())
		mark_high_water(t);
	mg_work_progress(t->shared, "charged", 0);
	mg_work_state(t->shared, MG_WORK_RESERVED);
	/* outside of the budget's lock, which others may be waiting for */
	if (!mg_high_water_kept())
		mg_work_chain(t->shared, false);
	mg_keys_drop();
}

void
mg_train_require_select(Oid relid, Oid reader, const MgColumns *columns, const MgUnit *unit)
{
	if (pg_class_aclcheck(relid, reader, ACL_SELECT) == ACLCHECK_OK)
		return;
	if (unit != NULL &&
		pg_attribute_aclcheck(relid, get_attnum(relid, unit->column), reader, ACL_SELECT) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" may not read column \"%s\" of relation \"%s\", its unit",
						GetUserNameFromId(reader, false), unit->column, mg_relation_name(relid)),
				 errhint(
					 "Grant it SELECT on the column: whose each row is must be known to bound what is used of them.")));
	for (int i = 0; i < columns->n; i++)
	{
		const MgColumn *c = &columns->col[i];

		if (c->core >= 0 && pg_attribute_aclcheck(relid, c->attnum, reader, ACL_SELECT) != ACLCHECK_OK)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("role \"%s\" may not read column \"%s\" of relation \"%s\"",
							GetUserNameFromId(reader, false), c->name, mg_relation_name(relid)),
					 errhint(
						 "Grant it SELECT, or leave the column out by naming the others in parameter \"columns\".")));
	}
}

/*
 * Members that joined the family after the reservation (ATTACH PARTITION, INHERIT) may have been read, too. Those of
 * another budget end the job, whose charge stands; the others, still locked by the reading, are held for the session
 * until the budget is recorded with them, so that none can leave in between and be counted afresh.
 */
static List *
hold_joined(Training *t)
{
	MemoryContext old = MemoryContextSwitchTo(t->context);
	List *joined = NIL;
	ListCell *lc;

	if (mg_relation_protection(t->call.base, false)->budget != t->call.budget)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
						errmsg("the protection of \"%s\" changed while the job ran", t->relation_name),
						errhint("What was reserved counts as spent.")));
	foreach (lc, mg_relation_family(t->call.base))
	{
		MgRelation *r = mg_relation_find(lfirst_oid(lc));
		LockRelId id = {.relId = lfirst_oid(lc), .dbId = MyDatabaseId};

		if (r != NULL && r->budget != 0)
			continue;
		LockRelationIdForSession(&id, AccessShareLock);
		joined = lappend_oid(joined, id.relId);
	}
	MemoryContextSwitchTo(old);
	return joined;
}

static void
stamp_joined(Training *t, List *joined)
{
	ListCell *lc;

	if (joined == NIL)
		return;
	mg_work_begin(t->shared, false);
	mg_relation_stamp(joined, t->budget->id, t->protection->unit, t->protection->max_rows);
	mg_log("protect", t->relation_name, psprintf("{\"budget\": " INT64_FORMAT ", \"joined\": true}", t->budget->id));
	mg_work_commit();
	foreach (lc, joined)
	{
		LockRelId id = {.relId = lfirst_oid(lc), .dbId = MyDatabaseId};

		UnlockRelationIdForSession(&id, AccessShareLock);
	}
}

/* The second transaction: one read-only snapshot, one pass, as the reading role. */
static void
read_table(Training *t)
{
	MgIdentity id;
	mg_store *store;
	mg_units units = {t->request.rows_per_unit, secrets.unit};
	bool relied;
	uint32 n = t->request.ncolumns;
	List *joined;

	store = mg_server_store(t->context);
	MG_CHECK(&t->ctx, mg_noise_create(&t->ctx, &t->noise));
	mg_release_with(t->context, (void (*)(void *)) mg_noise_destroy, t->noise);
	mg_odometer_init(&t->odometer, t->request.allowance.rho, t->request.allowance.delta_atoms);
	MG_CHECK(&t->ctx,
			 mg_curator_create_for_units(&t->ctx, t->request.domains, n, t->unit != NULL ? &units : NULL, t->noise,
										 &t->odometer, store, (size_t) mg_guc_work_mem * 1024 / 4 * 3, &t->curator));
	mg_release_with(t->context, (void (*)(void *)) mg_curator_destroy, t->curator);
	mg_work_begin(t->shared, true);
	mg_identity_enter(&id, t->call.reader);
	mg_train_require_select(t->call.relid, t->call.reader, t->columns, t->unit);
	if (mg_source_base(t->call.relid, t->call.columns, mg_relation_source, &relied) != t->call.base)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE), errmsg("%s was defined anew while the job began", t->relation_name),
				 errhint("Call dp_train again; nothing was spent.")));
	t->assert_stable |= relied; /* the card says either */
	/* a view under the view may have changed since; from here on its definition is held */
	if (t->unit != NULL &&
		strcmp(t->unit->column,
			   mg_unit_of_source(t->call.relid, t->call.base, t->unit->base_column, t->unit->max_rows)->column) != 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE), errmsg("a definition changed while the job began"),
						errhint("Call dp_train again; nothing was spent.")));
	/* in this order: whoever sees the phase knows that the charge is no longer given back */
	progress.reading = true;
	mg_work_progress(t->shared, "reading", 0);
	mg_read_relation(&t->ctx, t->call.relid, t->columns, t->unit, secrets.unit, t->curator);
	mg_wipe(secrets.unit, sizeof(secrets.unit));
	progress.read_done = true;
	mg_identity_leave(&id);
	joined = hold_joined(t);
	mg_work_commit();
	stamp_joined(t, joined);
	UnlockRelationIdForSession(&progress.relation, AccessShareLock);
	/* code of a view or policy may have called pg_advisory_unlock_all() */
	(void) mg_job_lock(t->call.job);
}

static void
fit(Training *t)
{
	t->ctx.progress = mg_work_progress;
	t->ctx.progress_arg = t->shared;
	if (mg_guc_threads > 1)
	{
		t->ctx.pool = mg_pool_create(mg_guc_threads - 1);
		if (t->ctx.pool != NULL)
			mg_release_with(t->context, (void (*)(void *)) mg_pool_destroy, t->ctx.pool);
	}
	MG_CHECK(&t->ctx, t->method->fit(&t->ctx, t->curator, &t->request, &t->model));
	mg_release_with(t->context, (void (*)(void *)) mg_model_destroy, t->model);
	MG_CHECK(&t->ctx, mg_model_depend(&t->ctx, t->model, t->request.dependencies, t->request.ndependencies));
	MG_CHECK(&t->ctx, mg_model_constrain(&t->ctx, t->model, t->request.constraints, t->request.nconstraints));
	MG_CHECK(&t->ctx,
			 mg_constraints_measure(&t->ctx, t->model, mg_snap_number, mg_snapper_create(t->columns, t->model)));
	/* by what its rows will be marked: post-processing, by a public seed */
	mg_work_progress(t->shared, "planning the watermark", 0);
	MG_CHECK(&t->ctx, mg_mark_plan_make(&t->ctx, t->model, &t->mark_plan));
	mg_release_with(t->context, (void (*)(void *)) mg_mark_plan_destroy, t->mark_plan);
}

/* Public tables whose keys bound domains, and columns that are functions of others, as JSON members. */
static void
append_relied_on(StringInfo b, const MgColumns *columns)
{
	List *tables = NIL, *names = NIL;
	StringInfoData dependent;
	ListCell *lc;

	for (int i = 0; i < columns->n; i++)
		if (OidIsValid(columns->col[i].keys_of))
			tables = list_append_unique_oid(tables, columns->col[i].keys_of);
	foreach (lc, tables)
	{
		char *name = mg_relation_name(lfirst_oid(lc));

		names = lappend(names, name != NULL ? name : pstrdup("dropped since"));
	}
	mg_json_texts(b, "public_tables", names);
	mg_json_begin(&dependent);
	for (int i = 0; i < columns->n; i++)
	{
		const MgColumn *c = &columns->col[i];

		names = NIL;
		for (int j = 0; j < c->ndeterminants; j++)
			names = lappend(names, columns->col[c->determinants[j]].name);
		mg_json_texts(&dependent, c->name, names);
	}
	if (dependent.len > 1)
		mg_json_raw(b, "dependent_columns", mg_json_end(&dependent));
}

/* What anybody who may see the model may know of it: the promise, its price and its structure. */
static char *
card_json(Training *t)
{
	StringInfoData b;
	mg_writer w;

	mg_json_begin(&b);
	mg_json_text(&b, "relation", t->relation_name);
	mg_json_text(&b, "budget", t->budget->name);
	mg_json_text(&b, "unit", t->unit != NULL ? t->unit->base_column : MG_UNIT_KIND_ROW);
	mg_json_text(&b, "method", t->method->name);
	mg_json_double(&b, "epsilon", t->call.epsilon);
	mg_json_double(&b, "delta", t->call.delta);
	mg_json_double(&b, "rho", t->request.allowance.rho);
	mg_json_double(&b, "delta_atoms", t->request.allowance.delta_atoms);
	mg_json_int(&b, "max_rows_per_unit", t->request.rows_per_unit);
	mg_json_text(&b, "neighbours", "add or remove one unit");
	mg_json_text(&b, "stability", t->assert_stable ? "asserted" : "checked");
	mg_json_text(&b, "public",
				 "the schema: types, labels, validated constraints and declarations, which whoever protected the table "
				 "attests were not written from its rows");
	append_relied_on(&b, t->columns);
	mg_writer_init(&w);
	mg_put_raw(&w, "", 0);
	MG_CHECK(&t->ctx, t->method->describe(&t->ctx, t->model, &w));
	if (w.len > 0)
	{
		appendStringInfoString(&b, ", \"model\": {");
		appendBinaryStringInfo(&b, (char *) w.data, (int) w.len);
		appendStringInfoChar(&b, '}');
	}
	mg_writer_free(&w);
	mg_writer_init(&w);
	mg_constraints_describe(&w, t->model->constraints, t->model->nconstraints);
	if (w.failed)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	appendStringInfoString(&b, ", \"constraints\": ");
	appendBinaryStringInfo(&b, (char *) w.data, (int) w.len);
	mg_writer_free(&w);
	mg_json_raw(&b, "watermark", t->mark_plan->nsubsets > 0 ? "{\"marked\": true}" : "{\"marked\": false}");
	return mg_json_end(&b);
}

/* The last transaction: the model, sealed, and the settled charge, all or nothing. */
static void
store_model(Training *t)
{
	MgModel m = {0};
	mg_writer w;
	bytea *sealed;

	mg_work_progress(t->shared, "storing", 1);
	if (ConfigReloadPending)
	{
		/* pg_mirage.require_approval may have been turned on while the training ran */
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	mg_writer_init(&w);
	MG_CHECK(&t->ctx, mg_model_write(&t->ctx, t->model, &w));
	mg_work_begin(t->shared, false);
	m.id = progress.model;
	sealed = mg_model_seal_with(m.id, secrets.model, w.data, w.len);
	mg_writer_free(&w);
	m.name = (char *) t->call.model;
	m.relation = t->relation_name;
	m.relid = t->call.relid;
	m.method = (char *) t->method->name;
	m.owner.oid = t->shared->current_user;
	m.owner.name = GetUserNameFromId(t->shared->current_user, false);
	m.epsilon = t->call.epsilon;
	m.delta = t->call.delta;
	m.charge = progress.charge;
	m.job = t->call.job;
	m.state = pstrdup(mg_model_first_state(mg_budget_by_id(t->budget->id, false)));
	m.total = t->model->total;
	m.card = card_json(t);
	mg_model_insert(&m, t->columns, sealed);
	mg_mark_plan_store_under(secrets.plan, m.id, m.name, t->mark_plan, t->columns);
	mg_wipe(&secrets, sizeof(secrets));
	mg_fingerprint_record(m.id, sealed);
	mg_ledger_settle(progress.charge, "spent", &t->odometer);
	mg_job_finish(t->call.job, "done", NULL, NULL);
	mg_log("train", m.name,
		   psprintf("{\"charge\": " INT64_FORMAT ", \"job\": " INT64_FORMAT ", \"method\": \"%s\"%s}", progress.charge,
					t->call.job, m.method, strcmp(m.state, "ready") != 0 ? ", \"state\": \"pending\"" : ""));
	mg_work_commit();
	mg_work_chain(t->shared, true);
}

void
mg_work_train(MgShared *s, mg_reader *params)
{
	Training t = {0};

	t.shared = s;
	t.context = CurrentMemoryContext;
	unpack_call(params, &t.call);
	mg_server_ctx(&t.ctx);
	t.method = mg_method_find(t.call.method);
	if (t.method == NULL)
		elog(ERROR, "unknown method \"%s\"", t.call.method);
	reserve(&t);
	read_table(&t);
	MemoryContextSwitchTo(t.context);
	fit(&t);
	store_model(&t);
	/* frees the core's memory and wipes it */
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextDelete(t.context);
}

/*
 * Errors of the reading phase may come from user code, whose text, and whose choice of an SQLSTATE, may hold data: what
 * is passed on is one of a few classes, in our own words.
 */
static void
sanitise(ErrorData *e)
{
	const char *message, *hint = NULL;
	int code = e->sqlerrcode;

	if (code == ERRCODE_QUERY_CANCELED)
		message = "the job was cancelled while the relation was read";
	else if (code == ERRCODE_LOCK_NOT_AVAILABLE)
		message = "a lock was not to be had while the relation was read";
	else if (code == ERRCODE_INSUFFICIENT_PRIVILEGE)
	{
		message = "permission denied while the relation was read";
		hint = "The role that reads needs its rights on all that a view or policy of the relation uses.";
	}
	else if (ERRCODE_TO_CATEGORY(code) == ERRCODE_INSUFFICIENT_RESOURCES)
	{
		code = ERRCODE_INSUFFICIENT_RESOURCES;
		message = "memory, disk or temp_file_limit did not suffice while the relation was read";
	}
	else if (ERRCODE_TO_CATEGORY(code) == ERRCODE_SYSTEM_ERROR)
	{
		code = ERRCODE_SYSTEM_ERROR;
		message = "the system failed while the relation was read";
	}
	else
	{
		code = ERRCODE_EXTERNAL_ROUTINE_EXCEPTION;
		message = "the relation could not be read";
		hint =
			"An expression of a view or policy, or a foreign server, raised an error; its text is withheld, as it may hold data.";
	}
	e->sqlerrcode = code;
	e->message = pstrdup(message);
	e->detail = NULL;
	e->hint = hint == NULL ? NULL : pstrdup(hint);
}

void
mg_work_train_failed(MgShared *s, ErrorData *e)
{
	bool cancelled = e->sqlerrcode == ERRCODE_QUERY_CANCELED;

	mg_wipe(&secrets, sizeof(secrets));
	if (progress.reading && !progress.read_done)
		sanitise(e);
	if (!progress.reserved)
		return;
	mg_work_begin(s, false);
	mg_ledger_settle(progress.charge, progress.reading ? "spent" : "released", NULL);
	mg_job_finish(s->job, cancelled ? "cancelled" : "failed", unpack_sql_state(e->sqlerrcode), e->message);
	mg_log(cancelled ? "cancel" : "fail", psprintf("job " INT64_FORMAT, s->job),
		   psprintf("{\"charge\": " INT64_FORMAT ", \"state\": \"%s\"}", progress.charge,
					progress.reading ? "spent" : "released"));
	mg_model_key_forget(progress.model);
	mg_work_commit();
	mg_work_chain(s, true);
}
