/*
 * pg/server.h: the server edge's small change: error mapping, the core's hooks, identity switches, object lookup.
 */
#ifndef MIRAGE_PG_SERVER_H
#define MIRAGE_PG_SERVER_H

#include "postgres.h"

#include "base/mirage.h"

/*
 * A ctx whose cancel hook serves pending interrupts as far as they can be served without a jump (it processes signal
 * barriers, and says true when a query cancel or a termination is pending). progress is left empty.
 */
extern void mg_server_ctx(mg_ctx *ctx);

/*
 * ereport(ERROR) for a failed ctx: MG_CANCELLED runs CHECK_FOR_INTERRUPTS first. The only place where a status
 * becomes one.
 */
extern void mg_throw(mg_ctx *ctx) __attribute__((noreturn));
#define MG_CHECK(ctx, expr)  \
	do                       \
	{                        \
		if ((expr) != MG_OK) \
			mg_throw(ctx);   \
	} while (0)

/*
 * Calls `release(arg)` when `context` is reset or deleted, after errors too: for arenas, threads and files of the
 * core.
 */
extern void mg_release_with(MemoryContext context, void (*release)(void *), void *arg);

/* The extension in this database; cached, invalidated. Error when it is not installed. */
extern Oid mg_extension_oid(void);

/* Runs as the extension's owner with search_path = pg_catalog, pg_temp until mg_identity_leave (errors restore by the
 * transaction's own cleanup of GUC nest level and user id). */
typedef struct MgIdentity
{
	Oid user;
	int sec_context;
	int guc_nest_level;
} MgIdentity;
extern void mg_identity_enter_owner(MgIdentity *id);
extern void mg_identity_enter(MgIdentity *id, Oid user); /* restricted operation as `user`, search_path untouched */
extern void mg_identity_leave(MgIdentity *id);

/*
 * Has the role (InvalidOid: the current one) the rights of mirage_admin, mirage_trainer, mirage_auditor? Superusers
 * do.
 */
extern bool mg_is_admin(Oid role);
extern bool mg_is_trainer(Oid role);
extern bool mg_is_auditor(Oid role);

/* schema-qualified, quoted where needed, whatever the search_path; NULL when the object is gone. palloc'ed. */
extern char *mg_relation_name(Oid relid);
extern char *mg_relation_name_required(Oid relid); /* error when it is gone */
extern void mg_refuse_unknown_relation(Oid relid) __attribute__((noreturn));
extern char *mg_role_name(Oid role);

/*
 * Refuses by name a relation that the caller's open transaction made or altered (itself, a column, a child or
 * partition), and temporary relations: a worker could not see them.
 */
extern void mg_require_visible_to_workers(Oid relid);

#endif
