/*
 * catalog/follow.c: recorded names of roles that were renamed, where the name is part of a key.
 *
 * A binding is by OID, and lives on under another name; the row keeps the name that the role had. A role that is made,
 * or renamed, later may have that name, and then both must have their rows: before one is written, those that stand
 * under names which are no longer their roles' are recorded under the present ones. All of the scope at once, since
 * roles may have exchanged their names: they are first put under names that no role can have (longer than any), then
 * under their own. What lies there of roles that are gone, or of other clusters, was dead and goes.
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/seals.h"

#define PARKED "repeat('-', 64) || %s.%s"

/* The rows called `t` that are in the scope. */
static char *
in_scope(const MgRoleNames *n, const char *t)
{
	return n->scope != NULL ? psprintf("%s.%s = $3", t, n->scope) : pstrdup("$3 = 0");
}

/* Of a row called `k` and a role called `r`: the row is the role's, which was renamed since. */
static char *
is_stale(const MgRoleNames *n)
{
	return psprintf("r.oid = k.%s AND " MG_HERE("k.identity", "$2") " AND r.rolname <> k.%s AND %s", n->oid, n->name,
					in_scope(n, "k"));
}

void
mg_roles_follow(MgQuery *q, const MgRoleNames *n, int64 scope, const char *name)
{
	MgArg args[] = {MG_TEXT(name), MG_TEXT(mg_database_identity()), MG_INT8(scope)};
	char *stale = is_stale(n);
	char *parked = psprintf(PARKED, "p", n->oid), *unparked = psprintf(PARKED, "k", n->oid);

	if (mg_query_run(q, false,
					 psprintf("SELECT FROM mirage.%s k, pg_roles r WHERE %s AND k.%s = $1", n->table, stale, n->name),
					 lengthof(args), args) == 0)
		return;
	/* `p` is what is written, `k` the same row before: its key is the one that there is none of any more */
	mg_change(q, n->table,
			  psprintf("UPDATE mirage.%s p SET %s = %s FROM mirage.%s k, pg_roles r WHERE %s AND %s AND p.%s = k.%s "
					   "AND $1 IS NOT NULL RETURNING %s",
					   n->table, n->name, parked, n->table, stale, in_scope(n, "p"), n->name, n->name, n->key),
			  lengthof(args), args);
	mg_change(q, n->table,
			  psprintf("DELETE FROM mirage.%s k USING mirage.%s p, pg_roles r WHERE %s AND %s AND p.%s = %s "
					   "AND r.oid = p.%s AND k.%s = r.rolname AND $1 || $2 IS NOT NULL RETURNING %s",
					   n->table, n->table, in_scope(n, "k"), in_scope(n, "p"), n->name, parked, n->oid, n->name,
					   n->key),
			  lengthof(args), args);
	mg_change(q, n->table,
			  psprintf("UPDATE mirage.%s k SET %s = r.rolname FROM pg_roles r WHERE %s AND k.%s = %s AND r.oid = k.%s "
					   "AND $1 || $2 IS NOT NULL RETURNING %s",
					   n->table, n->name, in_scope(n, "k"), n->name, unparked, n->oid, n->key),
			  lengthof(args), args);
}
