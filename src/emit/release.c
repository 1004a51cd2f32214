/*
 * emit/release.c: who may have rows of a model, the record that they were given out, and the batches.
 *
 * Rights are looked up in the latest snapshot on every call; nothing is remembered between calls, so that a revoked
 * grant, a dropped model, a damaged blob or a missing key counts at once.
 *
 * The stream's key is HKDF of the model's own key, which dies with the model, over who receives and which issuance it
 * is:
 *
 *   label, recipient, 'S', seed                      with a seed: repeats for the recipient, differs between recipients
 *   label, recipient, 'F', issuance, 32 fresh bytes  without: never again
 *
 * where recipient is the id of MgRecipient, so that nobody repeats the rows of somebody else of that name.
 *
 * Its first half drives the sampler, its second the decoder (identifiers). Spare rows, from which a domain's
 * constraints may take values, have HKDF of the first half for a key. Seeds move post-processing only: no private noise
 * is drawn here.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/catalog.h"
#include "catalog/watch.h"
#include "emit/emit.h"
#include "emit/limits.h"
#include "emit/watermark.h"
#include "miscadmin.h"
#include "pg/constraints.h"
#include "seal/seal.h"
#include "synthesis/where.h"
#include "utils/memutils.h"

#define STREAM_LABEL "pg_mirage stream 1"
#define SPARE_LABEL "pg_mirage spare 1"

struct MgRelease
{
	MemoryContext context;
	MgModel *entry;
	MgColumns *columns;
	MgRecipient recipient;
	const char *purpose, *path;
	MgLimits limits;
	int64 done, issuance;
	bool seeded, hash, draw_identifiers;
	int64 seed;
	mg_ctx ctx;
	mg_model *model;
	mg_stream *stream, *spare;
	MgReleaseMark mark;
	MgSnapper *snapper;
	bool *want; /* [core column]: whose values will be read */
	bool any;   /* is there one? */
	mg_batch empty;
	int64 sample; /* rows to record; -1: all */
	const mg_condition *where;
	uint32 nwhere;
	MgSkipped skipped;
	uint8 model_key[MG_KEY_BYTES]; /* from open to begin */
	uint8 key[2 * MG_KEY_BYTES];   /* sampler, decoder */
};

static void start_stream(MgRelease *r);

static MgRecorder recorder;
static MgRowsRecorder rows_recorder;
static MgRecipientRecorder recipient_recorder;

void
mg_release_set_recorder(MgRecorder new_recorder, MgRowsRecorder new_rows_recorder,
						MgRecipientRecorder new_recipient_recorder)
{
	recorder = new_recorder;
	rows_recorder = new_rows_recorder;
	recipient_recorder = new_recipient_recorder;
}

static void
release_free(void *arg)
{
	MgRelease *r = arg;

	if (r->stream != NULL)
		mg_stream_destroy(r->stream);
	if (r->spare != NULL)
		mg_stream_destroy(r->spare);
	mg_conditioned_destroy(r->limits.conditioned);
	if (r->model != NULL)
		mg_model_destroy(r->model);
	r->stream = r->spare = NULL;
	r->limits.conditioned = NULL;
	r->model = NULL;
	mg_release_mark_close(&r->mark);
	mg_wipe(r->model_key, sizeof(r->model_key));
	mg_wipe(r->key, sizeof(r->key));
}

/* ---------------------------------------------------------------- open */

/*
 * The model, provided that the caller may have its rows. That a model of a name exists is no secret: undefined_object
 * and insufficient_privilege tell it apart, as they do for tables.
 */
static MgModel *
require_right(const char *name)
{
	MgModel *entry = mg_model_require(name);

	mg_model_require_released(entry, GetUserId());
	return entry;
}

static void
load_model(MgRelease *r)
{
	size_t len;
	void *plain = mg_model_unseal(r->entry->id, mg_model_blob(r->entry->id), &len);
	mg_code code = mg_model_read(&r->ctx, mg_methods, plain, len, &r->model);

	mg_wipe(plain, len);
	pfree(plain);
	if (code == MG_CORRUPT)
		mg_hint(&r->ctx, "Restore the table mirage.model_blob from a backup, or drop the model and train again.");
	MG_CHECK(&r->ctx, code);
	r->columns = mg_model_columns(r->entry->id, r->model);
	for (int i = 0; i < r->columns->n; i++)
		if (r->columns->col[i].core >= (int) r->model->ncolumns)
			ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
							errmsg("the columns of model \"%s\" do not fit its parameters", r->entry->name)));
	r->limits.entry = r->entry;
	r->limits.model = r->model;
	r->limits.columns = r->columns;
}

/* What the call alone can be refused for. */
static void
check_args(const NullableDatum *args)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION), errmsg("rows cannot be released on a standby"),
				 errdetail("Every release is recorded before its first row."), errhint("Connect to the primary.")));
	if (args[MG_ARG_MODEL].isnull)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("parameter \"model\" must not be null")));
	if (!args[MG_ARG_N].isnull && DatumGetInt64(args[MG_ARG_N].value) < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("n must not be negative")));
}

/* Columns that must be there, as char *; NULL: none. */
static List *
listed_names(TupleDesc listed)
{
	List *names = NIL;

	for (int i = 0; listed != NULL && i < listed->natts; i++)
		if (!TupleDescAttr(listed, i)->attisdropped)
			names = lappend(names, pstrdup(NameStr(TupleDescAttr(listed, i)->attname)));
	return names;
}

/* The call's purpose, which is recorded; NULL: none. */
static char *
read_purpose(const NullableDatum *arg)
{
	char *purpose = arg->isnull ? NULL : TextDatumGetCString(arg->value);

	if (purpose != NULL)
		mg_check_name("purpose", purpose);
	return purpose;
}

/* Keys follow from the recipient's id, which so has to last: it is committed before any is made. */
static void
identify(MgRecipient *recipient)
{
	if (mg_recipient_find(recipient))
		return;
	recipient_recorder(recipient);
	/* a name that only the caller's own transaction has given to the role is not recorded, and need not be */
	if (!mg_recipient_find(recipient) && recipient->id == NULL)
		elog(ERROR, "the record of a recipient is gone");
}

/* peek: to look at the model only, so that what rows are made with is left out. */
static MgRelease *
open_release(const NullableDatum *args, TupleDesc listed, bool peek)
{
	MgRelease *r;
	List *grants = NIL;

	check_args(args);
	r = palloc0(sizeof(MgRelease));
	r->context = CurrentMemoryContext;
	r->purpose = read_purpose(&args[MG_ARG_PURPOSE]);
	r->entry = require_right(TextDatumGetCString(args[MG_ARG_MODEL].value));
	if (!mg_owns_model(r->entry, GetUserId()))
		grants = mg_grants_for(r->entry, GetUserId(), r->purpose);
	r->recipient = mg_recipient();
	if (!peek)
		identify(&r->recipient);
	r->path = "call";
	r->sample = -1;
	mg_server_ctx(&r->ctx);
	mg_release_with(r->context, release_free, r);
	mg_keys_hold();
	load_model(r);
	if (!peek)
	{
		mg_model_key(r->entry->id, r->model_key); /* now: after the record nothing more should be able to fail */
		mg_release_mark_open(&r->mark, &r->ctx, r->entry, &r->recipient);
	}
	mg_keys_drop();
	r->limits.conditions = args[MG_ARG_CONDITIONS].isnull ? NULL : DatumGetJsonbP(args[MG_ARG_CONDITIONS].value);
	r->limits.listed = listed_names(listed);
	r->limits.repeats = !args[MG_ARG_SEED].isnull;
	r->limits.has_rows = !args[MG_ARG_N].isnull;
	r->limits.rows = r->limits.has_rows ? DatumGetInt64(args[MG_ARG_N].value) : 0;
	mg_limits_apply(&r->ctx, &r->limits, grants);
	r->snapper = mg_snapper_create(r->columns, r->model);
	r->seeded = !args[MG_ARG_SEED].isnull;
	r->hash = !args[MG_ARG_HASH].isnull && DatumGetBool(args[MG_ARG_HASH].value);
	r->seed = r->seeded ? DatumGetInt64(args[MG_ARG_SEED].value) : 0;
	return r;
}

typedef struct OpenCall
{
	const NullableDatum *args;
	TupleDesc listed;
	bool peek;
	MgRelease *release;
} OpenCall;

static void
run_open(void *arg)
{
	OpenCall *call = arg;

	call->release = open_release(call->args, call->listed, call->peek);
}

MgRelease *
mg_release_open_listed(const NullableDatum *args, TupleDesc listed)
{
	OpenCall call = {.args = args, .listed = listed};

	mg_watch_call(MG_WATCHED_RELEASE, run_open, &call);
	return call.release;
}

MgRelease *
mg_release_open(const NullableDatum *args)
{
	return mg_release_open_listed(args, NULL);
}

void
mg_release_check_grant(MgModel *entry, MgGrant *grant)
{
	MgRelease *r = palloc0(sizeof(MgRelease));
	ListCell *lc;

	r->context = CurrentMemoryContext;
	r->entry = entry;
	mg_server_ctx(&r->ctx);
	mg_release_with(r->context, release_free, r);
	load_model(r);
	foreach (lc, grant->columns)
		if (mg_columns_named(r->columns, list_make1(lfirst(lc)))->n == 0)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
							errmsg("model \"%s\" has no column \"%s\"", entry->name, (char *) lfirst(lc)),
							errhint("Its columns are %s.", mg_rows_column_names(r->columns))));
	mg_limits_apply(&r->ctx, &r->limits, list_make1(grant));
}

/*
 * May figures of the model be shown that no record tells of? Who may have so many rows and no more could draw any
 * number of its marginals out of estimates.
 */
static bool
may_peek(const MgModel *entry, Oid role)
{
	ListCell *lc;

	if (strcmp(entry->state, "ready") != 0 || !mg_may_release(entry, role))
		return false;
	if (mg_owns_model(entry, role))
		return true;
	foreach (lc, mg_grants_held(entry, role))
		if (((const MgGrant *) lfirst(lc))->limited)
			return false;
	return true;
}

MgRelease *
mg_release_peek(const NullableDatum *args, TupleDesc listed)
{
	OpenCall call = {.args = args, .listed = listed, .peek = true};
	MgModel *entry;

	if (RecoveryInProgress() || args[MG_ARG_MODEL].isnull)
		return NULL;
	entry = mg_model_find(TextDatumGetCString(args[MG_ARG_MODEL].value));
	if (entry == NULL || !may_peek(entry, GetUserId()))
		return NULL;
	mg_watch_call(MG_WATCHED_RELEASE, run_open, &call);
	return call.release;
}

int64
mg_release_rows(const MgRelease *r)
{
	return r->limits.rows;
}

const mg_model *
mg_release_model(const MgRelease *r)
{
	return r->model;
}

double
mg_release_share(MgRelease *r, const mg_condition *where, uint32 n)
{
	double share;

	MG_CHECK(&r->ctx, mg_where_share(&r->ctx, r->model, r->limits.conditioned, where, n, &share));
	return share;
}

void
mg_release_set_sample(MgRelease *r, int64 rows)
{
	r->sample = rows;
}

/* From the first row again. */
static void
restart(MgRelease *r)
{
	mg_stream_destroy(r->stream);
	r->stream = NULL;
	r->done = 0;
	start_stream(r);
}

void
mg_release_where(MgRelease *r, const mg_condition *where, uint32 n)
{
	r->where = where;
	r->nwhere = n;
	/* a stream takes its conditions before its first batch */
	if (r->stream != NULL)
		restart(r);
}

MgSkipped
mg_release_skipped(const MgRelease *r)
{
	return r->skipped;
}

const char *
mg_release_model_name(const MgRelease *r)
{
	return r->entry->name;
}

void
mg_release_set_path(MgRelease *r, const char *path)
{
	r->path = path;
}

const MgColumns *
mg_release_columns(const MgRelease *r)
{
	return r->limits.visible;
}

int64
mg_release_model_id(const MgRelease *r)
{
	return r->entry->id;
}

int64
mg_release_issuance(const MgRelease *r)
{
	return r->issuance;
}

void
mg_release_draw_identifiers(MgRelease *r)
{
	r->draw_identifiers = true;
}

/* ---------------------------------------------------------------- begin */

static void
derive_key(MgRelease *r, int64 issuance)
{
	uint8 fresh[MG_KEY_BYTES];
	mg_writer info;
	mg_code code = MG_OK;

	mg_writer_init(&info);
	mg_put_str(&info, STREAM_LABEL, strlen(STREAM_LABEL));
	mg_put_str(&info, r->recipient.id, strlen(r->recipient.id));
	mg_put_u8(&info, r->seeded ? 'S' : 'F');
	if (r->seeded)
		mg_put_i64(&info, r->seed);
	else
	{
		code = mg_random_key(&r->ctx, fresh);
		mg_put_i64(&info, issuance);
		mg_put_raw(&info, fresh, sizeof(fresh));
	}
	if (code == MG_OK && info.failed)
		code = mg_fail(&r->ctx, MG_NOMEM, "out of memory");
	if (code == MG_OK)
		code = mg_hkdf(&r->ctx, r->model_key, info.data, info.len, r->key, sizeof(r->key));
	if (code == MG_OK && r->draw_identifiers)
		code = mg_random_key(&r->ctx, r->key + MG_KEY_BYTES);
	mg_wipe(r->model_key, sizeof(r->model_key));
	mg_wipe(fresh, sizeof(fresh));
	mg_writer_free(&info);
	MG_CHECK(&r->ctx, code);
}

static mg_code
make_stream(MgRelease *r, const uint8 *key, mg_stream **out)
{
	return r->limits.conditioned != NULL ? mg_stream_create_conditioned(&r->ctx, r->limits.conditioned, key, out)
										 : mg_stream_create(&r->ctx, r->model, key, out);
}

static void
start_stream(MgRelease *r)
{
	MG_CHECK(&r->ctx, make_stream(r, r->key, &r->stream));
	if (r->mark.mark != NULL)
		MG_CHECK(&r->ctx, mg_stream_mark(&r->ctx, r->stream, r->mark.mark));
	mg_stream_snap(r->stream, mg_snap_number, r->snapper);
	mg_stream_want(r->stream, r->want);
	MG_CHECK(&r->ctx, mg_stream_where(&r->ctx, r->stream, r->where, r->nwhere));
}

typedef struct RecordCall
{
	const MgIssuance *issuance;
	int64 id;
} RecordCall;

static void
run_record(void *arg)
{
	RecordCall *call = arg;

	mg_watch_admit(call->issuance->recipient, call->issuance->claimed, call->issuance->rows);
	call->id = recorder(call->issuance);
}

/* The record, which may still refuse: for what has changed since the release was opened, or for a limit. */
static int64
record(const MgIssuance *issuance)
{
	RecordCall call = {issuance, 0};

	mg_watch_call(MG_WATCHED_RELEASE, run_record, &call);
	return call.id;
}

void
mg_release_begin(MgRelease *r, const MgColumns *asked)
{
	MgIssuance issuance = {.model = r->entry->id,
						   .model_name = r->entry->name,
						   .role = GetUserNameFromId(GetUserId(), false),
						   .recipient = r->recipient.name,
						   .claimed = r->recipient.claimed,
						   .recipient_id = r->recipient.id,
						   .rows = r->sample >= 0 ? r->sample : r->limits.rows,
						   .seeded = r->seeded,
						   .purpose = r->purpose,
						   .path = r->path,
						   .conditioned = r->limits.given.columns,
						   .columns = mg_columns_names(asked),
						   .grants = r->limits.grants,
						   .watermark = r->mark.mark != NULL ? r->mark.id : NULL};

	r->want = MemoryContextAllocZero(r->context, sizeof(bool) * Max(r->model->ncolumns, 1));
	for (int i = 0; i < asked->n; i++)
		if (asked->col[i].core >= 0)
			r->any = r->want[asked->col[i].core] = true;
	r->issuance = record(&issuance);
	derive_key(r, r->issuance);
	start_stream(r);
}

bool
mg_release_hashes(const MgRelease *r)
{
	return r->hash;
}

void
mg_release_record_hash(const MgRelease *r, const char *hash)
{
	rows_recorder(r->issuance, r->entry->name, hash, r->limits.rows);
}

void
mg_release_rewind(MgRelease *r)
{
	if (r->done > 0)
		restart(r);
}

const mg_batch *
mg_release_spare(MgRelease *r, int core)
{
	bool *want = MemoryContextAllocZero(r->context, sizeof(bool) * r->model->ncolumns);
	uint8 key[MG_KEY_BYTES];
	const mg_batch *batch;
	mg_code code;

	want[core] = true;
	if (r->spare != NULL)
		mg_stream_destroy(r->spare);
	r->spare = NULL;
	MG_CHECK(&r->ctx, mg_hkdf(&r->ctx, r->key, SPARE_LABEL, strlen(SPARE_LABEL), key, sizeof(key)));
	code = make_stream(r, key, &r->spare);
	mg_wipe(key, sizeof(key));
	MG_CHECK(&r->ctx, code);
	mg_stream_snap(r->spare, mg_snap_number, r->snapper);
	mg_stream_want(r->spare, want);
	pfree(want);
	MG_CHECK(&r->ctx, mg_stream_next(&r->ctx, r->spare, MG_BATCH_ROWS, &batch));
	return batch;
}

MgDecoder *
mg_release_decoder(MgRelease *r, const MgColumns *columns)
{
	return mg_decoder_create(columns, r->model, r->key + MG_KEY_BYTES);
}

void
mg_release_seek(MgRelease *r, uint64 row)
{
	mg_stream_seek(r->stream, row / MG_BATCH_ROWS);
	r->done = (int64) (row - row % MG_BATCH_ROWS);
}

static void
count_skipped(MgRelease *r, const mg_batch *batch)
{
	r->skipped.of_rows += batch->rows;
	r->skipped.of_blocks++;
	if (batch->row == NULL)
		return;
	r->skipped.rows += batch->rows - batch->nrows;
	r->skipped.blocks += batch->nrows == 0;
}

const mg_batch *
mg_release_next(MgRelease *r, uint64 *first)
{
	const mg_batch *batch = &r->empty;
	int64 left = r->limits.rows - r->done;

	CHECK_FOR_INTERRUPTS();
	if (left <= 0)
		return NULL;
	left = Min(left, MG_BATCH_ROWS);
	/* rows of which nothing is asked for need not be drawn */
	if (r->any || r->nwhere > 0)
		MG_CHECK(&r->ctx, mg_stream_next(&r->ctx, r->stream, (uint32_t) left, &batch));
	else
		r->empty.rows = (uint32_t) left;
	count_skipped(r, batch);
	*first = (uint64) r->done;
	r->done += batch->rows;
	return batch;
}
