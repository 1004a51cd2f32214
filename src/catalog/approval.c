/*
 * catalog/approval.c: which models wait for an administrator, and what was decided about them.
 *
 * The decision that counts is the model's state; who made which, when and why is a row of mirage.decision, append-only,
 * and an entry of the log. All three are written in the caller's transaction, under the model's lock in its exclusive
 * mode, so that a release is either recorded before the decision commits or refused.
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/seals.h"
#include "miscadmin.h"
#include "pg/guc.h"
#include "utils/acl.h"

const char *
mg_model_first_state(const MgBudget *budget)
{
	return mg_guc_require_approval || budget->require_approval ? "pending" : "ready";
}

void
mg_budget_set_approval(int64 budget, bool required)
{
	MgArg args[] = {MG_INT8(budget), MG_BOOL(required)};

	mg_change_alone("budget", "UPDATE mirage.budget SET require_approval = $2 WHERE id = $1 RETURNING id",
					lengthof(args), args);
}

/* ---------------------------------------------------------------- four eyes */

/*
 * Could `who` be the one that the recorded role stands for: the role itself, or a member, who can become it at any
 * time? Superusers count as members of what they were made members of. What is dead counts by its name.
 */
static bool
could_be(Oid who, const MgRole *role)
{
	if (!role->live)
		return strcmp(GetUserNameFromId(who, false), role->name) == 0;
	return is_member_of_role_nosuper(who, role->oid);
}

bool
mg_independent_of(const MgRole *role)
{
	return !could_be(GetUserId(), role) && !could_be(GetSessionUserId(), role) &&
		   !could_be(GetAuthenticatedUserId(), role);
}

MgRole
mg_job_login(int64 job)
{
	MgArg arg = MG_INT8(job);
	MgRole role = {.name = pstrdup("")};
	MgQuery q;

	mg_query_begin(&q);
	if (mg_query_run(&q, true, "SELECT login_oid, login_name, identity FROM mirage.job WHERE id = $1", 1, &arg) > 0)
		role = mg_get_role(&q, 0, 1);
	mg_query_end(&q);
	return role;
}

/* ---------------------------------------------------------------- decisions */

void
mg_decide(const MgModel *model, const char *decision, const char *state, const char *note)
{
	MgArg args[] = {MG_INT8(model->id),
					MG_TEXT(model->name),
					MG_TEXT(decision),
					MG_TEXT(GetUserNameFromId(GetUserId(), false)),
					MG_TEXT(GetUserNameFromId(GetAuthenticatedUserId(), false)),
					MG_TEXT(note)};
	MgArg change[] = {MG_INT8(model->id), MG_TEXT(state)};
	MgQuery q;

	mg_query_begin(&q);
	mg_change(&q, "model", "UPDATE mirage.model SET state = $2 WHERE id = $1 RETURNING id", lengthof(change), change);
	mg_query_run(&q, false,
				 "INSERT INTO mirage.decision (model, model_name, decision, role_name, login_name, note) "
				 "VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
				 lengthof(args), args);
	mg_row_written("decision", mg_get_int8(0, 1));
	mg_query_end(&q);
}
