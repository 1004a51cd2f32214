/*
 * api/approval.c: dp_approve, dp_reject, dp_withdraw: what an administrator decides about a model. Transactional, like
 * GRANT. Nobody approves what they trained themselves, whichever role they have taken on since.
 */
#include "api/watch.h"

#include "miscadmin.h"
#include "pg/json.h"

MG_FUNCTION(dp_approve);
MG_FUNCTION(dp_reject);
MG_FUNCTION(dp_withdraw);

#define MOST_NOTE_BYTES 2000

/* What stands on the card for good: some text, printable but for line breaks and tabs. */
static char *
arg_note(FunctionCallInfo fcinfo)
{
	char *note = mg_arg_text(fcinfo, 1, "note");
	size_t len = strlen(note);
	bool blank = true, bad = len > MOST_NOTE_BYTES;

	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) note[i];

		blank &= c == ' ' || c == '\n' || c == '\t';
		bad |= (c < 32 && c != '\n' && c != '\t') || c == 127;
	}
	if (blank || bad)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a decision needs a note"),
				 errhint("Say why in 1 to %d bytes of text; it is shown on the model's card.", MOST_NOTE_BYTES)));
	return note;
}

/* The model, locked against releases. */
static MgModel *
arg_model(FunctionCallInfo fcinfo, const char *function)
{
	char *name = mg_arg_text(fcinfo, 0, "model");

	mg_require_writable(function);
	return mg_model_require_locked(name, AccessExclusiveLock);
}

static void
require_admin(const char *what)
{
	if (!mg_is_admin(GetUserId()))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("only a member of mirage_admin may %s a model", what)));
}

static void
refuse_state(const MgModel *model, const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("model \"%s\" cannot be %s: its state is \"%s\"", model->name, what, model->state)));
}

static void
decide(const MgModel *model, const char *decision, const char *state, const char *note)
{
	StringInfoData detail;

	mg_decide(model, decision, state, note);
	mg_json_begin(&detail);
	mg_json_text(&detail, "was", model->state);
	mg_json_text(&detail, "note", note);
	mg_log(decision, model->name, mg_json_end(&detail));
}

/* (model text, note text) */
MG_WATCHED_FUNCTION(dp_approve, MG_WATCHED_ACT)
{
	MgModel *model;
	MgRole login;
	char *note;

	require_admin("approve");
	note = arg_note(fcinfo);
	model = arg_model(fcinfo, "dp_approve()");
	login = mg_job_login(model->job);
	if (login.name[0] == '\0' || !mg_independent_of(&model->owner) || !mg_independent_of(&login))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("model \"%s\" must be approved by somebody other than who trained it", model->name),
				 errdetail("It was trained by \"%s\", logged in as \"%s\"; whoever has one of these roles, as a member "
						   "or under another role, counts as the same.",
						   model->owner.name, login.name)));
	if (strcmp(model->state, "ready") == 0)
		refuse_state(model, "approved");
	decide(model, "approve", "ready", note);
	PG_RETURN_VOID();
}

/* (model text, note text) */
MG_WATCHED_FUNCTION(dp_reject, MG_WATCHED_ACT)
{
	MgModel *model;
	char *note;

	require_admin("reject");
	note = arg_note(fcinfo);
	model = arg_model(fcinfo, "dp_reject()");
	if (strcmp(model->state, "pending") != 0)
		refuse_state(model, "rejected");
	decide(model, "reject", "rejected", note);
	PG_RETURN_VOID();
}

/* (model text, note text): by an administrator, or by who owns the model, who could drop it as well */
MG_WATCHED_FUNCTION(dp_withdraw, MG_WATCHED_ACT)
{
	char *note = arg_note(fcinfo);
	MgModel *model = mg_arg_own_model(fcinfo, "dp_withdraw()", AccessExclusiveLock);

	if (strcmp(model->state, "ready") != 0)
		refuse_state(model, "withdrawn");
	decide(model, "withdraw", "withdrawn", note);
	PG_RETURN_VOID();
}
