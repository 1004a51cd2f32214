/*
 * catalog/rights.c: who owns a relation, who may train on it, and as whom it is then read.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/catalog.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/syscache.h"

static Oid
relation_owner(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

bool
mg_owns(Oid relid, Oid role)
{
	Oid owner = relation_owner(relid);

	return OidIsValid(owner) && has_privs_of_role(role, owner);
}

/*
 * Reading a table runs its owner's code: index expressions are folded while the plan is made, views and policies while
 * it runs. So nobody lends another role's rights to it: a share holder without SELECT, and a superuser, read as the
 * table's owner, whose code it is.
 */
MgTrainRight
mg_train_right(Oid relid, Oid base, const MgRelation *protection)
{
	Oid me = GetUserId(), owner = relation_owner(relid);
	MgTrainRight right = {.reader = me, .share = NULL};
	bool selects = pg_class_aclcheck(relid, me, ACL_SELECT) == ACLCHECK_OK ||
				   pg_attribute_aclcheck_all(relid, me, ACL_SELECT, ACLMASK_ANY) == ACLCHECK_OK;

	if (mg_owns(base, me) || (selects && mg_is_trainer(me)))
	{
		if (superuser_arg(me) && OidIsValid(owner) && !superuser_arg(owner))
			right.reader = owner;
		return right;
	}
	right.share_epsilon = mg_share_find(protection->budget, me, &right.share_id, &right.share);
	if (right.share_epsilon > 0)
	{
		if (pg_class_aclcheck(relid, me, ACL_SELECT) == ACLCHECK_OK)
			return right;
		/* of that table alone, not of a view that somebody wrote over it */
		if (relid != base)
			ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
							errmsg("permission denied for view \"%s\"", mg_relation_name(relid)),
							errhint("A share of the budget reaches the protected table itself, not views over it.")));
		right.reader = owner;
		return right;
	}
	ereport(
		ERROR,
		(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		 errmsg("permission denied to train on relation \"%s\"", protection->name),
		 errhint(
			 "Its owner may, a member of mirage_trainer with SELECT on it, and a role that dp_grant_budget gave a share.")));
}

void
mg_check_name(const char *what, const char *name)
{
	size_t len = strlen(name);
	bool bad = len == 0 || len > 200 || name[0] == ' ' || name[len - 1] == ' ';

	for (size_t i = 0; i < len; i++)
		bad |= (unsigned char) name[i] < 32 || name[i] == 127;
	if (bad)
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME), errmsg("invalid name for a %s", what),
						errhint("Use 1 to 200 bytes without control characters and without blanks at the ends.")));
}
