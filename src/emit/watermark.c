/*
 * emit/watermark.c: see watermark.h. Keys are on the stack for as long as the mark is compiled from them; the mark holds
 * signs, and is wiped with the release.
 */
#include "postgres.h"

#include "emit/watermark.h"
#include "pg/groups.h"

/* The unsealed plan into the core's memory. */
static void
load_plan(MgReleaseMark *m, mg_ctx *ctx, const MgMarkRoot *root, int64 model)
{
	MgMarkBundle bundle = {0};
	size_t len;
	void *plain = mg_mark_plan_load(root, model, &len);
	mg_code code = plain != NULL ? mg_mark_bundle_read(ctx, plain, len, &bundle)
								 : mg_fail(ctx, MG_CORRUPT, "the plan of a watermark is missing");

	m->plan = bundle.plan;
	if (plain != NULL)
	{
		mg_wipe(plain, len);
		pfree(plain);
	}
	if (code == MG_CORRUPT)
		mg_hint(ctx, "Restore the table mirage.mark_plan from a backup.");
	MG_CHECK(ctx, code);
}

static mg_code
compile(MgReleaseMark *m, mg_ctx *ctx, const MgMarkRoot *root, int64 model, const MgRecipient *recipient)
{
	uint8 model_key[MG_KEY_BYTES], recipient_key[MG_KEY_BYTES];
	mg_code code = mg_mark_key(ctx, root, model, NULL, model_key);

	if (code == MG_OK)
		code = mg_mark_key(ctx, root, model, recipient->label, recipient_key);
	if (code == MG_OK)
		code = mg_mark_create(ctx, m->plan, model_key, recipient_key, &m->mark);
	if (code == MG_OK)
		code = mg_mark_key_id(ctx, recipient_key, m->id);
	mg_wipe(model_key, sizeof(model_key));
	mg_wipe(recipient_key, sizeof(recipient_key));
	return code;
}

void
mg_release_mark_open(MgReleaseMark *m, mg_ctx *ctx, const MgModel *model, const MgRecipient *recipient)
{
	MgMarkState state = mg_mark_state(model->id);

	if (state == MG_MARK_UNPLANNED)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("model \"%s\" has no plan to mark its rows by", model->name),
						errdetail("It was trained by a version that did not mark rows."),
						errhint("A member of mirage_admin can make the plan: SELECT dp_set_model(%s, watermark => true)",
								quote_literal_cstr(model->name))));
	if (state != MG_MARK_ON)
		return;
	mg_mark_root_open(&m->root, false); /* closed after errors too, with the release */
	load_plan(m, ctx, &m->root, model->id);
	MG_CHECK(ctx, compile(m, ctx, &m->root, model->id, recipient));
	mg_mark_root_close(&m->root);
}

void
mg_release_mark_close(MgReleaseMark *m)
{
	mg_mark_root_close(&m->root);
	mg_mark_destroy(m->mark);
	mg_mark_plan_destroy(m->plan);
	m->mark = NULL;
	m->plan = NULL;
	m->id[0] = '\0';
}
