/*
 * api/watermark.c: dp_set_model.
 */
#include "api/args.h"

#include "catalog/watermark.h"
#include "miscadmin.h"
#include "synthesis/marking.h"
#include "utils/memutils.h"

MG_FUNCTION(dp_set_model);

/* A plan for a model that has none, from the stored model. */
static void
make_plan(const MgModel *entry)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_mirage model", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	mg_mark_plan *plan;
	mg_model *model;
	mg_ctx ctx;
	mg_code code;
	size_t len;
	void *plain;

	mg_server_ctx(&ctx);
	plain = mg_model_unseal(entry->id, mg_model_blob(entry->id), &len);
	code = mg_model_read(&ctx, mg_methods, plain, len, &model);
	mg_wipe(plain, len);
	MG_CHECK(&ctx, code);
	mg_release_with(context, (void (*)(void *)) mg_model_destroy, model);
	MG_CHECK(&ctx, mg_mark_plan_make(&ctx, model, &plan));
	mg_release_with(context, (void (*)(void *)) mg_mark_plan_destroy, plan);
	mg_mark_plan_store(entry->id, entry->name, plan, mg_model_columns(entry->id, model));
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
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied to switch the watermark of a model"),
						errhint("Ask for membership in mirage_admin.")));
	name = mg_arg_text(fcinfo, 0, "model");
	model = mg_model_require(name);
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("no setting of model \"%s\" was given", name),
				 errhint("Switch its watermark: dp_set_model(%s, watermark => false)", quote_literal_cstr(name))));
	marked = PG_GETARG_BOOL(1);
	if (marked && !mg_mark_has_plan(model->id))
		make_plan(model);
	mg_mark_switch(model->id, marked);
	mg_log("set model", model->name, marked ? "{\"watermark\": true}" : "{\"watermark\": false}");
	if (mg_mark_state(model->id) == MG_MARK_BLANK)
		ereport(NOTICE, (errmsg("model \"%s\" has too few columns to carry a watermark", model->name)));
	PG_RETURN_VOID();
}
