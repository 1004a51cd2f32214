/* api/args.c: see args.h. */
#include "api/args.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "datatype/timestamp.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pg/compat.h"
#include "pg/server.h"
#include "pg/texts.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#define MOST_NOTE_BYTES 2000

static void
refuse_null(const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("parameter \"%s\" must not be null", name),
					errhint("Name the parameter and give it a value, as in %s => ...", name)));
}

char *
mg_arg_text(FunctionCallInfo fcinfo, int i, const char *name)
{
	if (PG_ARGISNULL(i))
		refuse_null(name);
	return text_to_cstring(PG_GETARG_TEXT_PP(i));
}

char *
mg_arg_text_or_null(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i));
}

char *
mg_arg_name_or_null(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? NULL : pstrdup(NameStr(*PG_GETARG_NAME(i)));
}

Oid
mg_arg_oid(FunctionCallInfo fcinfo, int i, const char *name)
{
	if (PG_ARGISNULL(i))
		refuse_null(name);
	return PG_GETARG_OID(i);
}

double
mg_arg_float8(FunctionCallInfo fcinfo, int i, const char *name)
{
	if (PG_ARGISNULL(i))
		refuse_null(name);
	return PG_GETARG_FLOAT8(i);
}

Interval *
mg_arg_interval(FunctionCallInfo fcinfo, int i, const char *name)
{
	Interval *v;

	if (PG_ARGISNULL(i))
		return NULL;
	v = PG_GETARG_INTERVAL_P(i);
	if (v->month < 0 || v->day < 0 || v->time < 0 || (v->month == 0 && v->day == 0 && v->time < USECS_PER_SEC))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must be at least one second", name),
						errhint("For example '1 day'.")));
	return v;
}

static List *
array_list(ArrayType *array, Oid type, const char *name)
{
	int16 len;
	bool by_value;
	char align;
	Datum *items;
	bool *nulls;
	int n;
	List *list = NIL;

	get_typlenbyvalalign(type, &len, &by_value, &align);
	deconstruct_array(array, type, len, by_value, align, &items, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("parameter \"%s\" must not hold nulls", name)));
		list =
			lappend(list, type == NAMEOID ? pstrdup(NameStr(*DatumGetName(items[i]))) : TextDatumGetCString(items[i]));
	}
	if (n == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("parameter \"%s\" must not be empty", name),
						errhint("Leave it out to take the default.")));
	return list;
}

List *
mg_arg_names(FunctionCallInfo fcinfo, int i, const char *name)
{
	List *list, *seen = NIL;
	ListCell *lc;

	if (PG_ARGISNULL(i))
		return NIL;
	list = array_list(PG_GETARG_ARRAYTYPE_P(i), NAMEOID, name);
	foreach (lc, list)
	{
		if (mg_texts_have(seen, lfirst(lc)))
			ereport(ERROR, (errcode(ERRCODE_DUPLICATE_COLUMN),
							errmsg("column \"%s\" is named twice in parameter \"%s\"", (char *) lfirst(lc), name)));
		seen = lappend(seen, lfirst(lc));
	}
	return list;
}

List *
mg_arg_texts(FunctionCallInfo fcinfo, int i, const char *name)
{
	return PG_ARGISNULL(i) ? NIL : array_list(PG_GETARG_ARRAYTYPE_P(i), TEXTOID, name);
}

void
mg_arg_materialize(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *rsi = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old;
	TupleDesc desc;

	if (rsi == NULL || !IsA(rsi, ReturnSetInfo) || !(rsi->allowedModes & SFRM_Materialize))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("set-valued function called in a context that cannot accept a set")));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	old = MemoryContextSwitchTo(rsi->econtext->ecxt_per_query_memory);
	rsi->returnMode = SFRM_Materialize;
	rsi->setDesc = CreateTupleDescCopy(desc);
	rsi->setResult = tuplestore_begin_heap((rsi->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
	MemoryContextSwitchTo(old);
}

void
mg_check_epsilon(double epsilon)
{
	if (!isfinite(epsilon) || epsilon <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("epsilon must be a finite number above zero"),
						errhint("Common choices are between 0.1 and 10; smaller protects more.")));
}

void
mg_check_delta(double delta)
{
	if (!(delta > 0 && delta < 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("delta must lie between 0 and 1, both excluded"),
				 errhint("It should be far below one over the number of people; the default is 1e-9.")));
}

void
mg_check_note(const char *note, const char *hint)
{
	if (note[strspn(note, " \t\r\n")] == '\0' || strlen(note) > MOST_NOTE_BYTES)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("note must have 1 to %d bytes", MOST_NOTE_BYTES), errhint("%s", hint)));
}

void
mg_require_writable(const char *function)
{
	if (RecoveryInProgress())
		ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION), errmsg("%s cannot run on a standby", function),
						errhint("Connect to the primary.")));
	PreventCommandIfReadOnly(function);
}

void
mg_require_owner(Oid relid)
{
	char *name = mg_relation_name_required(relid);

	if (!mg_owns(relid, GetUserId()) && !mg_is_admin(GetUserId()))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("must be owner of relation \"%s\"", name),
						errhint("Its owner or a member of mirage_admin may do this.")));
}

static void
require_model_owner(const MgModel *model)
{
	if (!mg_is_admin(GetUserId()) && !mg_owns_model(model, GetUserId()))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("must be owner of model \"%s\"", model->name),
						errhint("A member of mirage_admin can do it too.")));
}

MgModel *
mg_arg_own_model(FunctionCallInfo fcinfo, const char *function, LOCKMODE lock)
{
	MgModel *model;
	char *name;

	mg_require_writable(function);
	name = mg_arg_text(fcinfo, 0, "model");
	model = mg_model_require(name);
	require_model_owner(model);
	if (lock != NoLock)
	{
		/* whose is it now? Nobody waits for a lock on what is not theirs. */
		model = mg_model_require_locked(name, lock);
		require_model_owner(model);
	}
	return model;
}

Oid
mg_arg_role(FunctionCallInfo fcinfo, int i, const char *parameter, char **name)
{
	Oid role = mg_arg_oid(fcinfo, i, parameter);

	*name = mg_role_name(role);
	if (*name == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("role with OID %u does not exist", role)));
	return role;
}

/* Does the role own a relation under the budget, or may it train on one? */
static bool
concerned(int64 budget)
{
	MgArg arg = MG_INT8(budget);
	Oid me = GetUserId();
	bool trainer = mg_is_trainer(me), result = false;
	MgQuery q;
	uint64 n;

	mg_query_begin(&q);
	n = mg_query_run(&q, true, "SELECT relid FROM mirage.relation WHERE budget = $1", 1, &arg);
	for (uint64 i = 0; i < n && !result; i++)
	{
		Oid relid = mg_get_oid(i, 1);

		if (get_rel_relkind(relid) == '\0')
			continue;
		result = mg_owns(relid, me) || (trainer && pg_class_aclcheck(relid, me, ACL_SELECT) == ACLCHECK_OK);
	}
	mg_query_end(&q);
	return result;
}

bool
mg_budget_visible(const MgBudget *budget)
{
	Oid me = GetUserId();
	char *grantee;
	int64 share;

	return mg_is_admin(me) || mg_is_auditor(me) || (budget->owner.live && has_privs_of_role(me, budget->owner.oid)) ||
		   mg_share_find(budget->id, me, &share, &grantee) > 0 || concerned(budget->id);
}
