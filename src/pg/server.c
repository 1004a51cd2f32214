/*
 * pg/server.c: the core's hooks, identity switches and the lookup of our own objects.
 *
 * The oids of the extension are cached for the process and dropped by invalidation: every statement that makes,
 * moves, gives away or drops the extension also touches its functions or its schema, whose caches do send
 * invalidations (pg_extension has none).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "pg/server.h"
#include "storage/pmsignal.h"
#include "storage/procsignal.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#define EXTENSION_NAME "pg_mirage"

/* ---------------------------------------------------------------- hooks of the core */

/*
 * Barriers are served here, or a long computation would block DROP DATABASE; should one fail, it stays pending and
 * the next CHECK_FOR_INTERRUPTS reports it, since nothing may jump through the core.
 */
static bool
server_cancel(void *arg)
{
	if (unlikely(ProcSignalBarrierPending))
	{
		MemoryContext old = CurrentMemoryContext;

		PG_TRY();
		{
			ProcessProcSignalBarrier();
		}
		PG_CATCH();
		{
			MemoryContextSwitchTo(old);
			FlushErrorState();
		}
		PG_END_TRY();
	}
	/* Nobody will come for the result of an orphan. (A flag on Linux, where the kernel tells of the death.) */
	return QueryCancelPending || ProcDiePending || (IsUnderPostmaster && unlikely(!PostmasterIsAlive()));
}

void
mg_server_ctx(mg_ctx *ctx)
{
	mg_ctx_init(ctx);
	ctx->cancel = server_cancel;
	ctx->cancel_arg = NULL;
}

typedef struct ReleaseWith
{
	MemoryContextCallback callback;
	void (*release)(void *);
	void *arg;
} ReleaseWith;

static void
release_with(void *arg)
{
	ReleaseWith *r = arg;

	r->release(r->arg);
}

void
mg_release_with(MemoryContext context, void (*release)(void *), void *arg)
{
	ReleaseWith *r = MemoryContextAllocZero(context, sizeof(ReleaseWith));

	r->release = release;
	r->arg = arg;
	r->callback.func = release_with;
	r->callback.arg = r;
	MemoryContextRegisterResetCallback(context, &r->callback);
}

/* ---------------------------------------------------------------- the extension */

static struct
{
	bool valid, registered;
	Oid oid, owner;
} extension;

static void
extension_invalidate(Datum arg, int cache, uint32 hash)
{
	extension.valid = false;
}

static void
extension_lookup(void)
{
	Relation rel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple tuple;

	if (likely(extension.valid))
		return;
	if (!extension.registered)
	{
		CacheRegisterSyscacheCallback(PROCOID, extension_invalidate, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, extension_invalidate, (Datum) 0);
		extension.registered = true;
	}
	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum(EXTENSION_NAME));
	rel = table_open(ExtensionRelationId, AccessShareLock);
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_extension form = (Form_pg_extension) GETSTRUCT(tuple);

		extension.oid = form->oid;
		extension.owner = form->extowner;
		extension.valid = true;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (!extension.valid)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("extension \"%s\" is not installed in this database", EXTENSION_NAME),
						errhint("Run CREATE EXTENSION %s in it first.", EXTENSION_NAME)));
}

Oid
mg_extension_oid(void)
{
	extension_lookup();
	return extension.oid;
}

/* ---------------------------------------------------------------- identity */

void
mg_identity_enter(MgIdentity *id, Oid user)
{
	GetUserIdAndSecContext(&id->user, &id->sec_context);
	id->guc_nest_level = NewGUCNestLevel();
	SetUserIdAndSecContext(user, id->sec_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
}

void
mg_identity_enter_owner(MgIdentity *id)
{
	extension_lookup();
	mg_identity_enter(id, extension.owner);
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
	if (quote_all_identifiers)
		(void) set_config_option("quote_all_identifiers", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
								 false);
}

void
mg_identity_leave(MgIdentity *id)
{
	AtEOXact_GUC(false, id->guc_nest_level);
	SetUserIdAndSecContext(id->user, id->sec_context);
}

/*
 * Rights, not mere membership: a NOINHERIT member has to SET ROLE first, as for the server's own predefined roles. A
 * role that somebody dropped gives nobody anything but superusers.
 */
static bool
has_role(Oid role, const char *name)
{
	Oid of;

	/* what was revoked while this transaction is open counts: it may hold all locks that would make it look */
	AcceptInvalidationMessages();
	of = get_role_oid(name, true);
	if (!OidIsValid(role))
		role = GetUserId();
	if (superuser_arg(role))
		return true;
	return OidIsValid(of) && has_privs_of_role(role, of);
}

bool
mg_is_admin(Oid role)
{
	return has_role(role, "mirage_admin");
}

bool
mg_is_trainer(Oid role)
{
	return has_role(role, "mirage_trainer");
}

bool
mg_is_auditor(Oid role)
{
	return has_role(role, "mirage_auditor");
}

/* ---------------------------------------------------------------- names */

/* Recorded names are compared with this: quoting is what the name needs, whatever the caller's quote_all_identifiers.
 */
char *
mg_relation_name(Oid relid)
{
	char *name = get_rel_name(relid), *schema, *result;
	bool quote_all = quote_all_identifiers;

	if (name == NULL)
		return NULL;
	schema = get_namespace_name(get_rel_namespace(relid));
	if (schema == NULL)
		return NULL;
	quote_all_identifiers = false;
	result = quote_qualified_identifier(schema, name);
	quote_all_identifiers = quote_all;
	return result;
}

void
mg_refuse_unknown_relation(Oid relid)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", relid)));
}

char *
mg_relation_name_required(Oid relid)
{
	char *name = mg_relation_name(relid);

	if (name == NULL)
		mg_refuse_unknown_relation(relid);
	return name;
}

char *
mg_role_name(Oid role)
{
	return GetUserNameFromId(role, true);
}

/* ---------------------------------------------------------------- visibility to workers */

static bool
made_here(HeapTuple tuple)
{
	return TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
}

/* Is the relation's row, or that of one of its columns, a work of this transaction? */
static bool
relation_made_here(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	int natts;
	bool here;

	if (!HeapTupleIsValid(tuple))
		return false;
	here = made_here(tuple);
	natts = ((Form_pg_class) GETSTRUCT(tuple))->relnatts;
	ReleaseSysCache(tuple);
	for (int i = 1; i <= natts && !here; i++)
	{
		tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(i));
		if (!HeapTupleIsValid(tuple))
			continue;
		here = made_here(tuple);
		ReleaseSysCache(tuple);
	}
	return here;
}

void
mg_require_visible_to_workers(Oid relid)
{
	List *family;
	ListCell *cell;

	if (get_rel_name(relid) == NULL)
		mg_refuse_unknown_relation(relid);
	if (get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("relation %s is temporary", mg_relation_name(relid)),
				 errdetail("Training runs in a background worker, which cannot see temporary relations."),
				 errhint("Use an ordinary table.")));
	family = find_all_inheritors(relid, NoLock, NULL);
	foreach (cell, family)
	{
		Oid member = lfirst_oid(cell);

		if (relation_made_here(member))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("relation %s was made or altered by the current transaction", mg_relation_name(member)),
					 errdetail("Training runs in a background worker, which sees committed work only."),
					 errhint("Commit first, then call again.")));
	}
}
