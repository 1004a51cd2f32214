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
 * Its first half drives the sampler, its second the decoder (identifiers). Spare rows, from which a domain's
 * constraints may take values, have HKDF of the first half for a key. Seeds move post-processing only: no private noise
 * is drawn here.
 */
#include "postgres.h"

#include <math.h>

#include "access/xlog.h"
#include "catalog/catalog.h"
#include "emit/emit.h"
#include "emit/given.h"
#include "miscadmin.h"
#include "pg/constraints.h"
#include "seal/seal.h"
#include "utils/memutils.h"

#define STREAM_LABEL "pg_mirage stream 1"
#define SPARE_LABEL "pg_mirage spare 1"

struct MgRelease
{
	MemoryContext context;
	MgModel *entry;
	MgColumns *columns;
	int64 rows, done, issuance;
	bool seeded, draw_identifiers;
	int64 seed;
	mg_ctx ctx;
	mg_model *model;
	MgGiven given;
	mg_conditioned *conditioned; /* NULL: no conditions */
	mg_stream *stream, *spare;
	MgSnapper *snapper;
	const bool *want;
	uint8 model_key[MG_KEY_BYTES]; /* from open to begin */
	uint8 key[2 * MG_KEY_BYTES];   /* sampler, decoder */
};

static MgRecorder recorder;

void
mg_release_set_recorder(MgRecorder new_recorder)
{
	recorder = new_recorder;
}

static void
release_free(void *arg)
{
	MgRelease *r = arg;

	if (r->stream != NULL)
		mg_stream_destroy(r->stream);
	if (r->spare != NULL)
		mg_stream_destroy(r->spare);
	mg_conditioned_destroy(r->conditioned);
	if (r->model != NULL)
		mg_model_destroy(r->model);
	r->stream = r->spare = NULL;
	r->conditioned = NULL;
	r->model = NULL;
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
	MgModel *entry = mg_model_find(name);

	if (entry == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("model \"%s\" does not exist", name),
						errhint("The view dp_models lists the models that you may use.")));
	if (!mg_may_release(entry, GetUserId()))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied for model \"%s\"", name),
						errhint("Its owner can grant you its rows by dp_grant().")));
	if (strcmp(entry->state, "ready") != 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("model \"%s\" is not ready: its state is \"%s\"", name, entry->state)));
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
}

static void
refuse_given(const NullableDatum *arg, const char *name)
{
	if (!arg->isnull)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("parameter \"%s\" is not served by this version", name), errhint("Leave it out.")));
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
	refuse_given(&args[MG_ARG_PURPOSE], "purpose");
}

/* Exact inference, once for the release; what the model gives no probability is refused here. */
static void
condition_model(MgRelease *r, const NullableDatum *conditions)
{
	if (conditions->isnull)
		return;
	r->given = mg_given_parse(conditions->value, r->columns, r->entry->name);
	if (r->given.n > 0)
		MG_CHECK(&r->ctx,
				 mg_conditioned_create(&r->ctx, r->model, r->given.condition, (uint32_t) r->given.n, &r->conditioned));
}

/* A noisy total as a number of rows, what does not fit is no total; of those that satisfy the conditions, one at least.
 */
static int64
default_rows(const MgRelease *r)
{
	double total = r->model->total;

	if (!(total >= 1 && total < 0x1p62))
		return 0;
	if (r->conditioned != NULL)
		total = Max(total * mg_conditioned_probability(r->conditioned), 1);
	return (int64) rint(total);
}

MgRelease *
mg_release_open(const NullableDatum *args)
{
	MgRelease *r;
	bool has_rows = !args[MG_ARG_N].isnull;

	check_args(args);
	r = palloc0(sizeof(MgRelease));
	r->context = CurrentMemoryContext;
	r->entry = require_right(TextDatumGetCString(args[MG_ARG_MODEL].value));
	if (has_rows && DatumGetInt64(args[MG_ARG_N].value) < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("n must not be negative")));
	mg_server_ctx(&r->ctx);
	mg_release_with(r->context, release_free, r);
	load_model(r);
	mg_model_key(r->entry->id, r->model_key); /* now: after the record nothing more should be able to fail */
	condition_model(r, &args[MG_ARG_CONDITIONS]);
	r->snapper = mg_snapper_create(r->columns, r->model);
	r->rows = has_rows ? DatumGetInt64(args[MG_ARG_N].value) : default_rows(r);
	r->seeded = !args[MG_ARG_SEED].isnull;
	r->seed = r->seeded ? DatumGetInt64(args[MG_ARG_SEED].value) : 0;
	return r;
}

const char *
mg_release_model_name(const MgRelease *r)
{
	return r->entry->name;
}

const MgColumns *
mg_release_columns(const MgRelease *r)
{
	return r->columns;
}

int64
mg_release_model(const MgRelease *r)
{
	return r->entry->id;
}

int64
mg_release_rows(const MgRelease *r)
{
	return r->rows;
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
derive_key(MgRelease *r, const char *recipient, int64 issuance)
{
	uint8 fresh[MG_KEY_BYTES];
	mg_writer info;
	mg_code code = MG_OK;

	mg_writer_init(&info);
	mg_put_str(&info, STREAM_LABEL, strlen(STREAM_LABEL));
	mg_put_str(&info, recipient, strlen(recipient));
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
	return r->conditioned != NULL ? mg_stream_create_conditioned(&r->ctx, r->conditioned, key, out)
								  : mg_stream_create(&r->ctx, r->model, key, out);
}

static void
start_stream(MgRelease *r)
{
	MG_CHECK(&r->ctx, make_stream(r, r->key, &r->stream));
	mg_stream_snap(r->stream, mg_snap_number, r->snapper);
	mg_stream_want(r->stream, r->want);
}

void
mg_release_begin(MgRelease *r, const bool *want)
{
	char *recipient = GetUserNameFromId(GetSessionUserId(), false);
	MgIssuance issuance = {.model = r->entry->id,
						   .model_name = r->entry->name,
						   .role = GetUserNameFromId(GetUserId(), false),
						   .recipient = recipient,
						   .rows = r->rows,
						   .seeded = r->seeded,
						   .conditioned = r->given.columns};

	r->issuance = recorder(&issuance);
	derive_key(r, recipient, r->issuance);
	r->want = want;
	start_stream(r);
}

void
mg_release_rewind(MgRelease *r)
{
	if (r->done == 0)
		return;
	mg_stream_destroy(r->stream);
	r->stream = NULL;
	r->done = 0;
	start_stream(r);
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

const mg_batch *
mg_release_next(MgRelease *r, uint64 *first)
{
	const mg_batch *batch;
	int64 left = r->rows - r->done;

	CHECK_FOR_INTERRUPTS();
	if (left <= 0)
		return NULL;
	MG_CHECK(&r->ctx, mg_stream_next(&r->ctx, r->stream, (uint32_t) Min(left, MG_BATCH_ROWS), &batch));
	*first = (uint64) r->done;
	r->done += batch->rows;
	return batch;
}
