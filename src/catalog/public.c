/*
 * catalog/public.c: tables declared public, whose keys may serve as domains. Ordinary transactional rows; what makes a
 * declared table one that counts is looked at again each time it is used.
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/pg_inherits.h"
#include "catalog/seals.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"

/* The tables that foreign keys of $1 refer to. */
static const char *const direct_targets =
	"SELECT DISTINCT confrelid FROM pg_catalog.pg_constraint WHERE conrelid = $1 AND contype = 'f' ORDER BY confrelid";

/*
 * And those that they refer to, and so on; of every one of them, partitions, children and parents, whose foreign keys
 * may be their own.
 */
static const char *const all_targets =
	"WITH RECURSIVE t AS (SELECT $1 AS r, false AS target UNION SELECT n.r, n.target OR t.target FROM t, LATERAL ("
	"SELECT inhrelid AS r, false AS target FROM pg_catalog.pg_inherits WHERE inhparent = t.r UNION ALL "
	"SELECT inhparent, false FROM pg_catalog.pg_inherits WHERE inhrelid = t.r UNION ALL "
	"SELECT confrelid, true FROM pg_catalog.pg_constraint WHERE conrelid = t.r AND contype = 'f') n) "
	"SELECT DISTINCT r FROM t WHERE target ORDER BY r";

/* Of Oid. */
static List *
targets_of(Oid relid, const char *query)
{
	MgArg arg = MG_OID(relid);

	return mg_query_oids(query, 1, &arg);
}

Oid
mg_relation_tied_to(Oid relid)
{
	List *targets = targets_of(relid, all_targets);
	ListCell *lc;

	foreach (lc, targets)
		if (mg_relation_protection(lfirst_oid(lc), true) != NULL)
			return lfirst_oid(lc);
	return InvalidOid;
}

void
mg_relation_lock_public_targets(Oid relid)
{
	List *targets = targets_of(relid, direct_targets);
	ListCell *lc;

	foreach (lc, targets)
	{
		MgRelation *r = mg_relation_find(lfirst_oid(lc));

		/* the root and, of a partitioned table, all that is read of it */
		if (r == NULL || !r->is_public)
			continue;
		LockRelationOid(r->relid, AccessShareLock);
		(void) find_all_inheritors(r->relid, AccessShareLock, NULL);
	}
}

/* Was a table of this name declared public in a database that this one was restored from? */
static bool
was_public(const char *name)
{
	MgArg args[] = {MG_TEXT(name), MG_TEXT(mg_database_identity())};

	return mg_query_any("SELECT 1 FROM mirage.relation WHERE name = $1 AND is_public AND identity <> $2 LIMIT 1",
						lengthof(args), args);
}

MgPublicness
mg_relation_publicness(Oid relid)
{
	MgRelation *r = mg_relation_find(relid);
	char *name = mg_relation_name(relid);

	if (name == NULL)
		return MG_NOT_PUBLIC;
	if (r == NULL || !r->is_public)
		return r == NULL && was_public(name) ? MG_PUBLIC_STALE : MG_NOT_PUBLIC;
	if (mg_relation_protection(relid, true) != NULL || OidIsValid(mg_relation_tied_to(relid)))
		return MG_PUBLIC_TIED;
	return MG_PUBLIC;
}

Oid
mg_relation_public_member(Oid relid)
{
	ListCell *lc;

	foreach (lc, mg_relation_family(relid))
	{
		MgRelation *r = mg_relation_find(lfirst_oid(lc));

		if (r != NULL && r->is_public)
			return lfirst_oid(lc);
	}
	return InvalidOid;
}

void
mg_relation_set_public(Oid relid, bool is_public)
{
	MgArg args[] = {MG_INT8(mg_relation_record(relid)), MG_BOOL(is_public), MG_TEXT(mg_relation_name(relid)),
					MG_TEXT(mg_database_identity())};

	mg_change_alone("relation",
					"UPDATE mirage.relation SET is_public = $2, name = $3, identity = $4 WHERE id = $1 RETURNING id",
					lengthof(args), args);
}

void
mg_relations_forget_dropped(void)
{
	MgArg arg = MG_TEXT(mg_database_identity());
	uint64 n;

	n = mg_change_alone("relation",
						"UPDATE mirage.relation r SET is_public = false WHERE r.is_public AND r.identity = $1 "
						"AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = r.relid) RETURNING id",
						1, &arg);
	if (n > 0)
		mg_log("forget dropped", "public tables", NULL);
}
