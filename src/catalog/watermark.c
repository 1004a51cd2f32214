/*
 * catalog/watermark.c: the tables mirage.mark_plan and mirage.mark_switch, and the keys of marks; see watermark.h.
 *
 * Both tables are append-only. A plan is written once, with the model it belongs to or when an administrator asks for
 * it, and never deleted: it is post-processing of a private model, and what makes the rows of a dropped one traceable.
 */
#include "postgres.h"

#include "catalog/seals.h"
#include "catalog/watermark.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#define MARK_LABEL "pg_mirage mark 1"
#define PLAN_LABEL "pg_mirage mark plan 1"

/* ---------------------------------------------------------------- keys */

void
mg_mark_root_open(MgMarkRoot *root, bool create)
{
	mg_root_key("watermark", root->key, create);
}

void
mg_mark_root_close(MgMarkRoot *root)
{
	mg_wipe(root->key, sizeof(root->key));
}

mg_code
mg_mark_key(mg_ctx *ctx, const MgMarkRoot *root, int64 model, const char *recipient, uint8 key[MG_KEY_BYTES])
{
	mg_writer info;
	mg_code code;

	mg_writer_init(&info);
	mg_put_str(&info, MARK_LABEL, strlen(MARK_LABEL));
	mg_put_i64(&info, model);
	if (recipient != NULL)
		mg_put_str(&info, recipient, strlen(recipient));
	code = info.failed ? mg_fail(ctx, MG_NOMEM, "out of memory")
					   : mg_hkdf(ctx, root->key, info.data, info.len, key, MG_KEY_BYTES);
	mg_writer_free(&info);
	return code;
}

/* ---------------------------------------------------------------- the switch */

MgMarkState
mg_mark_state(int64 model)
{
	MgArg arg = MG_INT8(model);
	MgMarkState state = MG_MARK_ON;
	MgQuery q;

	mg_query_begin(&q);
	mg_query_run(&q, true,
				 "SELECT coalesce((SELECT marked FROM mirage.mark_switch WHERE model = $1 ORDER BY id DESC LIMIT 1), "
				 "true), (SELECT carries FROM mirage.mark_plan WHERE model = $1)",
				 1, &arg);
	if (!mg_get_bool(0, 1))
		state = MG_MARK_OFF;
	else if (mg_get_null(0, 2))
		state = MG_MARK_UNPLANNED;
	else if (!mg_get_bool(0, 2))
		state = MG_MARK_BLANK;
	mg_query_end(&q);
	return state;
}

void
mg_mark_switch(int64 model, bool marked)
{
	char *by = GetUserNameFromId(GetUserId(), false);
	MgArg args[] = {MG_INT8(model), MG_BOOL(marked), MG_TEXT(by)};
	MgQuery q;
	uint64 n;

	mg_query_begin(&q);
	n = mg_query_run(
		&q, false,
		"WITH s AS (INSERT INTO mirage.mark_switch (model, marked, switched_by) VALUES ($1, $2, $3) "
		"RETURNING id, switched_at) UPDATE mirage.model m SET card = m.card || jsonb_build_object('watermark', "
		"jsonb_build_object('marked', $2 AND coalesce((SELECT carries FROM mirage.mark_plan p "
		"WHERE p.model = $1), true), 'switched_by', $3, 'switched_at', s.switched_at)) "
		"FROM s WHERE m.id = $1 RETURNING s.id, m.id",
		lengthof(args), args);
	if (n == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("the model was dropped meanwhile")));
	mg_row_written("mark_switch", mg_get_int8(0, 1));
	mg_rows_changed("model", n, 2);
	mg_query_end(&q);
}

void
mg_mark_require(const MgModel *model, bool marked)
{
	if ((mg_mark_state(model->id) == MG_MARK_ON) == marked)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the watermark of model \"%s\" is being switched", model->name),
			 errhint("Where this transaction called dp_set_model(), commit first; otherwise ask for the rows again.")));
}

/* ---------------------------------------------------------------- plans */

static mg_code
plan_key(mg_ctx *ctx, const MgMarkRoot *root, uint8 key[MG_KEY_BYTES])
{
	return mg_hkdf(ctx, root->key, PLAN_LABEL, strlen(PLAN_LABEL), key, MG_KEY_BYTES);
}

static size_t
plan_aad(char *aad, size_t size, int64 model)
{
	return (size_t) snprintf(aad, size, "pg_mirage mark plan|" INT64_FORMAT, model);
}

void
mg_mark_plan_key(uint8 key[MG_KEY_BYTES])
{
	MgMarkRoot root;
	mg_ctx ctx;
	mg_code code;

	mg_ctx_init(&ctx);
	mg_mark_root_open(&root, true);
	code = plan_key(&ctx, &root, key);
	mg_mark_root_close(&root);
	MG_CHECK(&ctx, code);
}

static bytea *
seal_plan(mg_ctx *ctx, const uint8 key[MG_KEY_BYTES], int64 model, const mg_writer *w)
{
	char aad[64];
	uint8_t *out;
	size_t len;
	bytea *sealed = NULL;

	if (mg_seal(ctx, key, aad, plan_aad(aad, sizeof(aad), model), w->data, w->len, &out, &len) != MG_OK)
		return NULL;
	if (len <= MaxAllocSize - VARHDRSZ)
		sealed = MemoryContextAllocExtended(CurrentMemoryContext, VARHDRSZ + len, MCXT_ALLOC_NO_OOM);
	if (sealed != NULL)
	{
		SET_VARSIZE(sealed, VARHDRSZ + len);
		memcpy(VARDATA(sealed), out, len);
	}
	else
		(void) mg_fail(ctx, MG_NOMEM, "out of memory");
	free(out);
	return sealed;
}

static void
store_sealed(int64 model, const char *model_name, const mg_mark_plan *plan, const bytea *sealed)
{
	MgArg args[] = {MG_INT8(model), MG_TEXT(model_name), MG_BOOL(plan->nsubsets > 0), MG_BYTEA(sealed)};
	MgQuery q;
	bool stored;

	mg_query_begin(&q);
	/* where another session made it meanwhile, that one counts: both follow from the same model */
	stored = mg_query_run(&q, false,
						  "INSERT INTO mirage.mark_plan (model, model_name, carries, sealed) VALUES ($1, $2, $3, $4) "
						  "ON CONFLICT (model) DO NOTHING",
						  lengthof(args), args) > 0;
	if (stored)
		mg_row_written("mark_plan", model);
	mg_query_end(&q);
}

void
mg_mark_plan_store_under(const uint8 key[MG_KEY_BYTES], int64 model, const char *model_name, const mg_mark_plan *plan,
						 const MgColumns *columns)
{
	bytea *sealed = NULL;
	mg_writer w;
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	mg_writer_init(&w);
	if (mg_mark_bundle_write(&ctx, plan, columns, &w) == MG_OK)
		sealed = seal_plan(&ctx, key, model, &w);
	mg_writer_free(&w);
	if (sealed == NULL)
		mg_throw(&ctx);
	store_sealed(model, model_name, plan, sealed);
}

void
mg_mark_plan_store(int64 model, const char *model_name, const mg_mark_plan *plan, const MgColumns *columns)
{
	uint8 key[MG_KEY_BYTES];

	mg_mark_plan_key(key);
	PG_TRY();
	{
		mg_mark_plan_store_under(key, model, model_name, plan, columns);
	}
	PG_FINALLY();
	{
		mg_wipe(key, sizeof(key));
	}
	PG_END_TRY();
}

bool
mg_mark_has_plan(int64 model)
{
	MgArg arg = MG_INT8(model);

	return mg_query_any("SELECT FROM mirage.mark_plan WHERE model = $1", 1, &arg);
}

static bytea *
find_plan(int64 model)
{
	MgArg arg = MG_INT8(model);
	MgQuery q;
	bytea *sealed = NULL;

	mg_query_begin(&q);
	if (mg_query_run(&q, true, "SELECT sealed FROM mirage.mark_plan WHERE model = $1", 1, &arg) > 0)
		sealed = (bytea *) mg_get_varlena(&q, 0, 1);
	mg_query_end(&q);
	return sealed;
}

mg_code
mg_mark_plan_load(mg_ctx *ctx, const MgMarkRoot *root, int64 model, MgMarkBundle *out)
{
	bytea *sealed = find_plan(model);
	uint8 key[MG_KEY_BYTES];
	char aad[64];
	uint8_t *plain = NULL;
	size_t len = 0;
	mg_code code;

	memset(out, 0, sizeof(*out));
	if (sealed == NULL)
		return MG_OK;
	code = plan_key(ctx, root, key);
	if (code == MG_OK)
		code = mg_unseal(ctx, key, aad, plan_aad(aad, sizeof(aad), model), VARDATA_ANY(sealed),
						 VARSIZE_ANY_EXHDR(sealed), &plain, &len);
	mg_wipe(key, sizeof(key));
	pfree(sealed);
	if (code == MG_OK)
	{
		code = mg_mark_bundle_read(ctx, plain, len, out);
		mg_wipe(plain, len);
		free(plain);
	}
	if (code == MG_CORRUPT)
		mg_hint(ctx, "Restore the tables mirage.mark_plan and mirage.wrapped_key from a backup.");
	return code;
}

/* ---------------------------------------------------------------- what can be traced */

List *
mg_mark_models(const char *name)
{
	MgArg arg = MG_TEXT(name);
	List *models = NIL;
	MgQuery q;
	uint64 n;

	mg_query_begin(&q);
	n = mg_query_run(&q, true,
					 "SELECT model, model_name FROM mirage.mark_plan WHERE $1 IS NULL OR model_name = $1 "
					 "ORDER BY model",
					 1, &arg);
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(q.caller);
		MgMarkedModel *m = palloc(sizeof(MgMarkedModel));

		m->id = mg_get_int8(i, 1);
		m->name = mg_get_text(&q, i, 2);
		models = lappend(models, m);
		MemoryContextSwitchTo(old);
	}
	mg_query_end(&q);
	return models;
}
