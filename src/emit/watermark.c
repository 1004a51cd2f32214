/*
 * emit/watermark.c: see watermark.h. Keys are on the stack for as long as the mark is compiled from them; the mark
 * holds signs, and is wiped with the release.
 */
#include "postgres.h"

#include "emit/watermark.h"

static mg_code
compile(MgReleaseMark *m, mg_ctx *ctx, const MgMarkRoot *root, int64 model, const MgRecipient *recipient)
{
	uint8 model_key[MG_KEY_BYTES], recipient_key[MG_KEY_BYTES];
	mg_code code = mg_mark_key(ctx, root, model, NULL, model_key);

	if (code == MG_OK)
		code = mg_mark_key(ctx, root, model, recipient->id, recipient_key);
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
	MgMarkBundle bundle;

	if (state == MG_MARK_UNPLANNED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" has no plan to mark its rows by", model->name),
				 errdetail("It was trained by a version that did not mark rows."),
				 errhint("A member of mirage_admin can make the plan: SELECT dp_set_model(%s, watermark => true)",
						 quote_literal_cstr(model->name))));
	if (state != MG_MARK_ON)
		return;
	mg_mark_root_open(&m->root, false); /* closed after errors too, with the release */
	MG_CHECK(ctx, mg_mark_plan_load(ctx, &m->root, model->id, &bundle));
	m->plan = bundle.plan;
	if (m->plan == NULL)
		elog(ERROR, "the plan of a watermark is gone");
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
