/*
 * worker/release.c: the autonomous transaction of a release: issuance and log entry, durable before the first row
 * leaves; and the chaining of the log, in a second transaction that nobody waits for.
 *
 * The caller has checked all that can refuse; between that and here a grant may have been revoked, a model withdrawn, a
 * quota used up by others. So it is checked once more, on the latest state, under locks that whoever changes it needs
 * too. Order of locks: the model (mg_model_lock, shared), rows of grants.
 */
#include "worker/shared.h"

#include "catalog/catalog.h"
#include "catalog/receipt.h"
#include "catalog/watermark.h"
#include "catalog/watch.h"
#include "miscadmin.h"
#include "pg/json.h"
#include "pg/server.h"

/* ---------------------------------------------------------------- the call's parameters */

static void
pack_call(mg_writer *w, const MgIssuance *call)
{
	ListCell *lc;

	mg_put_i64(w, call->model);
	mg_params_put_text(w, call->model_name);
	mg_params_put_text(w, call->role);
	mg_params_put_text(w, call->recipient);
	mg_put_u8(w, call->claimed);
	mg_params_put_text(w, call->recipient_id);
	mg_put_i64(w, call->rows);
	mg_put_u8(w, call->seeded);
	mg_params_put_text(w, call->purpose);
	mg_params_put_text(w, call->path);
	mg_params_put_text(w, call->conditioned);
	mg_params_put_text(w, call->watermark);
	mg_params_put_texts(w, call->columns);
	mg_put_u32(w, (uint32_t) list_length(call->grants));
	foreach (lc, call->grants)
	{
		mg_params_put_text(w, ((MgGrantRef *) lfirst(lc))->recorded);
		mg_put_i64(w, ((MgGrantRef *) lfirst(lc))->granted_at);
	}
}

static void
unpack_call(mg_reader *r, MgIssuance *call)
{
	uint32_t n;

	memset(call, 0, sizeof(*call));
	call->model = mg_get_i64(r);
	call->model_name = mg_params_text(r);
	call->role = mg_params_text(r);
	call->recipient = mg_params_text(r);
	call->claimed = mg_get_u8(r) != 0;
	call->recipient_id = mg_params_text(r);
	call->rows = mg_get_i64(r);
	call->seeded = mg_get_u8(r) != 0;
	call->purpose = mg_params_text(r);
	call->path = mg_params_text(r);
	call->conditioned = mg_params_text(r);
	call->watermark = mg_params_text(r);
	call->columns = mg_params_texts(r);
	n = mg_get_count(r, 9);
	for (uint32_t i = 0; i < n; i++)
	{
		MgGrantRef *grant = palloc(sizeof(MgGrantRef));

		grant->recorded = mg_params_text(r);
		grant->granted_at = mg_get_i64(r);
		call->grants = lappend(call->grants, grant);
	}
	if (r->failed)
		elog(ERROR, "malformed parameters of a release");
}

int64
mg_release_record(const MgIssuance *call)
{
	MgLaunch launch;
	mg_writer w;
	int64 id;

	mg_writer_init(&w);
	pack_call(&w, call);
	mg_launch(&launch, MG_WORK_RELEASE, 0, &w, true);
	mg_launch_wait(&launch, MG_WORK_RESERVED, false);
	id = launch.shared->result;
	mg_launch_detach(&launch);
	return id;
}

/* ---------------------------------------------------------------- the record */

/* Is the model still there, and the caller still allowed? Returns the grant that pays; NULL: the owner's own right. */
static const MgGrant *
check_again(const MgIssuance *call)
{
	MgModel *model;

	mg_model_lock(call->model, AccessShareLock);
	model = mg_model_find(call->model_name);
	if (model == NULL || model->id != call->model)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("model \"%s\" does not exist", call->model_name)));
	if (strcmp(model->state, "ready") != 0 || (call->grants == NIL && !mg_owns_model(model, GetUserId())))
		mg_model_require_released(model, GetUserId());
	mg_mark_require(model, call->watermark != NULL);
	if (call->claimed)
		mg_require_claims();
	if (call->grants != NIL)
		return mg_grant_pay(model, call->grants, call->rows);
	if (!mg_owns_model(model, GetUserId()))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("must be owner of model \"%s\"", model->name)));
	return NULL;
}

/* The log's entry: what is not said is as usual. */
static char *
entry_detail(const MgIssuance *call, int64 id, const MgGrant *payer)
{
	StringInfoData detail;

	mg_json_begin(&detail);
	mg_json_int(&detail, "issuance", id);
	mg_json_int(&detail, "rows", call->rows);
	mg_json_bool(&detail, "seeded", call->seeded);
	mg_json_text(&detail, "recipient", call->recipient);
	if (call->claimed)
		mg_json_bool(&detail, "claimed", true);
	mg_json_text(&detail, "grantee", payer != NULL ? payer->grantee.name : NULL);
	mg_json_text(&detail, "purpose", call->purpose);
	mg_json_text(&detail, "path", strcmp(call->path, "call") == 0 ? NULL : call->path);
	mg_json_text(&detail, "watermark", call->watermark);
	mg_json_raw(&detail, "conditions", call->conditioned);
	return mg_json_end(&detail);
}

static int64
record(const MgIssuance *call)
{
	const MgGrant *payer = check_again(call);
	int64 id;

	id = mg_issuance_insert(call, payer);
	mg_receipt_write(id);
	mg_log("release", call->model_name, entry_detail(call, id, payer));
	mg_watch_release(call->recipient, call->claimed, call->rows, call->model_name);
	return id;
}

void
mg_work_release(MgShared *s, mg_reader *params)
{
	MgIssuance call;
	int64 id;

	unpack_call(params, &call);
	mg_work_begin(s, false);
	mg_keys_warm("receipt"); /* before the locks of the model and the grant */
	id = record(&call);
	mg_work_commit();
	SpinLockAcquire(&s->mutex);
	s->result = id;
	SpinLockRelease(&s->mutex);
	mg_work_state(s, MG_WORK_RESERVED);
	mg_work_chain(s, true);
}
