/*
 * api/watermark.c: dp_set_model.
 */
#include "api/args.h"

#include "catalog/watermark.h"
#include "miscadmin.h"
#include "pg/groups.h"
#include "utils/memutils.h"

MG_FUNCTION(dp_set_model);

/* A plan for a model that has none, from the stored model. */
static void
make_plan(const MgModel *entry)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_mirage model", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	mg_model *model;
	mg_writer w;
	mg_ctx ctx;
	mg_code code;
	size_t len;
	void *plain, *plan = NULL;
	bool carries = false;

	mg_server_ctx(&ctx);
	plain = mg_model_unseal(entry->id, mg_model_blob(entry->id), &len);
	code = mg_model_read(&ctx, mg_methods, plain, len, &model);
	mg_wipe(plain, len);
	MG_CHECK(&ctx, code);
	mg_release_with(context, (void (*)(void *)) mg_model_destroy, model);
	mg_writer_init(&w);
	code = mg_mark_bundle_make(&ctx, model, mg_model_columns(entry->id, model), &w, &carries);
	len = w.len;
	if (code == MG_OK)
		plan = MemoryContextAllocExtended(context, Max(len, 1), MCXT_ALLOC_NO_OOM);
	if (plan != NULL)
		memcpy(plan, w.data, len);
	else if (code == MG_OK)
		code = mg_fail(&ctx, MG_NOMEM, "out of memory");
	mg_writer_free(&w);
	MG_CHECK(&ctx, code);
	mg_mark_plan_store(entry->id, entry->name, carries, plan, len);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* (model text, watermark boolean) */
Datum
dp_set_model(PG_FUNCTION_ARGS)
{
	MgModel *model;
	char *name;
	bool marked;

	mg_require_writable("dp_set_model()");
	if (!mg_is_admin(GetUserId()))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied to set up a model"),
						errhint("Ask for membership in mirage_admin.")));
	name = mg_arg_text(fcinfo, 0, "model");
	model = mg_model_find(name);
	if (model == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("model \"%s\" does not exist", name),
						errhint("The view dp_models lists the models that you may use.")));
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("nothing was said about model \"%s\"", name),
				 errhint("Switch its watermark: dp_set_model(%s, watermark => false)", quote_literal_cstr(name))));
	marked = PG_GETARG_BOOL(1);
	mg_mark_switch(model->id, marked);
	mg_log("set model", model->name, marked ? "{\"watermark\": true}" : "{\"watermark\": false}");
	if (mg_mark_state(model->id) == MG_MARK_UNPLANNED)
		make_plan(model);
	if (mg_mark_state(model->id) == MG_MARK_BLANK)
		ereport(NOTICE, (errmsg("model \"%s\" has too few columns to carry a watermark", model->name)));
	PG_RETURN_VOID();
}
