/*
 * worker/recipient.c: a recipient who is met for the first time, or under a new name, recorded in a transaction of its
 * own: what keys are derived from is durable before a row is made with them, and no ROLLBACK takes it back.
 */
#include "worker/shared.h"

#include "catalog/catalog.h"
#include "miscadmin.h"
#include "pg/server.h"

void
mg_recipient_register(const MgRecipient *recipient)
{
	MgLaunch launch;
	mg_writer w;

	mg_writer_init(&w);
	mg_put_u8(&w, recipient->claimed);
	mg_params_put_text(&w, recipient->name);
	mg_launch(&launch, MG_WORK_RECIPIENT, 0, &w, true);
	mg_launch_wait(&launch, MG_WORK_RESERVED, false);
	mg_launch_detach(&launch);
}

void
mg_work_recipient(MgShared *s, mg_reader *params)
{
	MgRecipient r = {.claimed = mg_get_u8(params) != 0};
	char *name = mg_params_text(params);

	if (params->failed)
		elog(ERROR, "malformed parameters of a recipient");
	mg_work_begin(s, false);
	/* a role by what it is called here and now: the caller's own transaction may have given it another name */
	r.name = r.claimed ? name : GetUserNameFromId(GetAuthenticatedUserId(), false);
	if (r.claimed)
		mg_require_claims();
	if (mg_recipient_record(&r))
		mg_log("recipient", r.name,
			   psprintf("{\"recipient_id\": \"%s\", \"claimed\": %s}", r.id, r.claimed ? "true" : "false"));
	mg_work_commit();
	mg_work_state(s, MG_WORK_RESERVED);
	mg_work_chain(s, true);
}
