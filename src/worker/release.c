/*
 * worker/release.c: the autonomous transaction of a release: issuance and log entry, durable before the first row
 * leaves; and the chaining of the log, in a second transaction that nobody waits for.
 */
#include "worker/shared.h"

#include "catalog/catalog.h"
#include "pg/server.h"
#include "utils/json.h"

int64
mg_release_record(const MgReleaseCall *call)
{
	MgLaunch launch;
	mg_writer w;
	int64 id;

	mg_writer_init(&w);
	mg_put_i64(&w, call->model);
	mg_put_str(&w, call->model_name, strlen(call->model_name));
	mg_put_str(&w, call->role, strlen(call->role));
	mg_put_str(&w, call->recipient, strlen(call->recipient));
	mg_put_i64(&w, call->rows);
	mg_put_u8(&w, call->seeded);
	mg_put_str(&w, call->conditioned != NULL ? call->conditioned : "",
			   call->conditioned != NULL ? strlen(call->conditioned) : 0);
	mg_launch(&launch, MG_WORK_RELEASE, 0, &w, true);
	mg_launch_wait(&launch, MG_WORK_RESERVED, false);
	id = launch.shared->result;
	mg_launch_detach(&launch);
	return id;
}

static char *
get_text(mg_reader *r)
{
	size_t n;
	const char *s = mg_get_str(r, &n);

	return s == NULL ? pstrdup("") : pnstrdup(s, n);
}

void
mg_work_release(MgShared *s, mg_reader *params)
{
	int64 model = mg_get_i64(params);
	char *model_name = get_text(params), *role = get_text(params), *recipient = get_text(params);
	int64 rows = mg_get_i64(params);
	bool seeded = mg_get_u8(params) != 0;
	char *conditioned = get_text(params);
	StringInfoData detail;
	int64 id;

	if (params->failed)
		elog(ERROR, "malformed parameters of a release");
	mg_work_begin(s, false);
	id = mg_issuance_insert(model, model_name, role, recipient, rows, seeded);
	initStringInfo(&detail);
	appendStringInfo(&detail,
					 "{\"issuance\": " INT64_FORMAT ", \"rows\": " INT64_FORMAT ", \"seeded\": %s, \"recipient\": ", id,
					 rows, seeded ? "true" : "false");
	escape_json(&detail, recipient);
	if (conditioned[0] != '\0')
		appendStringInfo(&detail, ", \"conditions\": %s", conditioned);
	appendStringInfoChar(&detail, '}');
	mg_log("release", model_name, detail.data);
	mg_work_commit();
	SpinLockAcquire(&s->mutex);
	s->result = id;
	SpinLockRelease(&s->mutex);
	mg_work_state(s, MG_WORK_RESERVED);

	mg_work_begin(s, false);
	mg_log_chain();
	mg_work_commit();
}
