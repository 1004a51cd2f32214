/*
 * worker/note.c: an entry of the log that no ROLLBACK takes back: committed by a worker before the caller goes on, and
 * chained in a second transaction that nobody waits for.
 */
#include "worker/shared.h"

#include "catalog/catalog.h"

void
mg_note_record(const char *action, const char *object, const char *detail)
{
	MgLaunch launch;
	mg_writer w;

	mg_writer_init(&w);
	mg_params_put_text(&w, action);
	mg_params_put_text(&w, object);
	mg_params_put_text(&w, detail);
	mg_launch(&launch, MG_WORK_NOTE, 0, &w, true);
	mg_launch_wait(&launch, MG_WORK_RESERVED, false);
	mg_launch_detach(&launch);
}

void
mg_work_note(MgShared *s, mg_reader *params)
{
	char *action = mg_params_text(params), *object = mg_params_text(params), *detail = mg_params_text(params);

	if (params->failed)
		elog(ERROR, "malformed parameters of an entry of the log");
	mg_work_begin(s, false);
	mg_log(action, object, detail);
	mg_work_commit();
	mg_work_state(s, MG_WORK_RESERVED);
	mg_work_chain_soon();
}
