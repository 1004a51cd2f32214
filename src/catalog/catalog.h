/*
 * catalog/catalog.h: access to the tables of the schema `mirage`; the only folder with SQL on them.
 *
 * Every function here runs its SQL as the extension's owner with search_path = pg_catalog, pg_temp and restores the
 * caller's identity. Reads of models, grants, jobs and budgets take the latest snapshot, whatever the caller's
 * isolation level, so that a revoked grant is gone and a worker's commit is there. Results are palloc'ed in the
 * caller's context.
 *
 * Bindings. Roles and relations are stored as an OID beside a name, with the system identifier and database they were
 * written in. A binding is live when the OID still exists and either it was written in this very database (a rename is
 * followed) or the name agrees as well. After a restore elsewhere bindings are dead until somebody with the right
 * renews them; charges count all the same.
 */
#ifndef MIRAGE_CATALOG_CATALOG_H
#define MIRAGE_CATALOG_CATALOG_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "storage/lockdefs.h"
#include "catalog/pg_type.h"
#include "pg/columns.h"
#include "pg/reader.h"
#include "pg/server.h"
#include "privacy/account.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

typedef struct MgRole
{
	Oid oid;
	char *name;
	bool live;
} MgRole;

/* -- relations, budgets, shares (catalog/budget.c; public tables: catalog/public.c) -- */

typedef struct MgBudget
{
	int64 id;
	char *name;
	double epsilon;   /* as declared; the filter's is at most pg_mirage.max_epsilon */
	mg_filter filter; /* at the order that was fixed when the budget was made */
	Interval *period; /* NULL: none. A policy: only charges of the last period count towards the cap */
	MgRole owner;
	char *unit_kind;       /* frozen by the first charge; NULL: none yet */
	bool require_approval; /* its models wait for an administrator */
	bool mine_uncommitted; /* written by the caller's own open transaction: a worker cannot see it */
} MgBudget;

/* What is known of a relation: protected, declared public, or only with declared columns. */
typedef struct MgRelation
{
	int64 id;
	Oid relid;
	char *name; /* as recorded */
	bool live;
	int64 budget; /* 0: not protected */
	MgRole protected_by;
	bool assert_stable;
	char *fingerprint; /* of a view: of its definition when something was last said about its stability; else NULL */
	bool is_public;
	char *unit;     /* the unit's column, by its present name; NULL: each row is a unit */
	int max_rows;   /* of a unit */
	bool inherited; /* under the budget as a partition, child or parent, not by dp_protect itself */
	bool mine_uncommitted;
} MgRelation;

extern MgBudget *mg_budget_by_name(const char *name); /* NULL: none */
/* An id that a table of ours holds. Where its budget is missing (rows lost by force or a partial restore): NULL if
 * missing_ok, else an error. */
extern MgBudget *mg_budget_by_id(int64 id, bool missing_ok);
/* A new cap and period; the caller has seen to it that what was charged fits, under mg_ledger_lock. */
extern void mg_budget_alter(const MgBudget *budget, double epsilon, double delta, Interval *period);
/* Owned by the current user; its filter's order is the best at this cap, for good. Error where the name is taken.
 * period NULL: never renewed. Returns its number. */
extern int64 mg_budget_create(const char *name, double epsilon, double delta, Interval *period);
/* Do models of the budget wait for an administrator? Of models to come. */
extern void mg_budget_set_approval(int64 budget, bool required);

/* Before any of the writes below: two sessions must not decide about one relation, or parent and child, at once. Locks
 * the family of `relid` (an object lock of ours on the least OID of it) to the end of the transaction; nobody else is
 * held up. */
extern void mg_relations_lock(Oid relid);
/* All that is connected with `relid` by inheritance and partitioning, itself too: Oid, ascending. */
extern List *mg_relation_family(Oid relid);
/* Records the budget with every member that has none, so that a partition that is detached later keeps it. */
extern void mg_relation_stamp(List *members, int64 budget, const char *unit, int max_rows);
extern void mg_relation_stamp_family(Oid relid, int64 budget, const char *unit, int max_rows);
/* The live record of `relid` itself, or NULL. */
extern MgRelation *mg_relation_find(Oid relid);
/*
 * The protection that stands for a base relation: its own, an ancestor's (partition, inheritance) or a descendant's.
 * Error when there is none (hint: dp_protect), or when several budgets are concerned.
 */
extern MgRelation *mg_relation_protection(Oid relid, bool missing_ok);
/* The protection that this relation has or, by its name, had (a restore, a table made again); NULL: none. */
extern MgRelation *mg_relation_recorded(Oid relid);
/* Live protections of its partitions, children and parents, its own left out: a List of MgRelation *. */
extern List *mg_relation_relatives(Oid relid);
/* The number of the relation's record, which is made where there is none, with what was declared of a relation of this
 * name before a restore. */
extern int64 mg_relation_record(Oid relid);
/* fingerprint: of a view, which it marks as one; else NULL. */
extern void mg_relation_protect(Oid relid, int64 budget, bool assert_stable, const char *fingerprint, const char *unit,
								int max_rows);
extern MgSourceRecord mg_relation_source(Oid relid);   /* an MgSourceLookup */
extern MgPublicness mg_relation_publicness(Oid relid); /* an MgPublicLookup */
/* A protected table that foreign keys lead to from `relid` or its partitions, through others or not; or InvalidOid. */
extern Oid mg_relation_tied_to(Oid relid);
/* Declares the table public, or no more; the caller has seen to it that it may be. */
extern void mg_relation_set_public(Oid relid, bool is_public);
/*
 * Locks the public tables that foreign keys of `relid` refer to, to the end of the transaction: for whoever is about to
 * lock a budget, which must not be held while a table is waited for.
 */
extern void mg_relation_lock_public_targets(Oid relid);
/* A member of the family of `relid` that is declared public, or InvalidOid. */
extern Oid mg_relation_public_member(Oid relid);
extern MgDeclaration *mg_declaration(Oid relid, const char *column); /* an MgDeclarationLookup */
/* Another unit (NULL: the row), or another limit of rows of one; the caller has seen to it that it may change. */
extern void mg_relation_set_unit(const MgRelation *r, const char *unit, int max_rows);

/* Error when the budget counts units of another kind. freeze: and that is its kind from now on; under mg_ledger_lock.
 */
extern void mg_budget_require_kind(const MgBudget *budget, const char *kind, bool freeze);
/* In the place of what was declared before; after mg_check_declaration. */
extern void mg_declaration_store(Oid relid, const char *column, const MgDeclaration *decl);
/* Did the caller's own open transaction declare a column of it? A worker could not see that. */
extern bool mg_declarations_uncommitted(Oid relid);
/* Brings recorded names up to what the relations are called now, so that a dump, which carries no OIDs over, finds them
 * again. */
extern void mg_relations_follow_names(void);
/* Takes the declaration of a public table back when the table is dropped: its OID may come to name another. */
extern void mg_relations_forget_dropped(void);

/* A share of epsilon, in the place of the one that the role has of this budget. */
extern void mg_share_grant(int64 budget, Oid grantee, double epsilon);
/* The largest live share whose grantee `role` is or is a member of: its epsilon, number and grantee's name; 0: none. */
extern double mg_share_find(int64 budget, Oid role, int64 *id, char **grantee);

/* -- rights (catalog/rights.c) -- */

/* Has the role the rights of the relation's owner? False where it is gone. */
extern bool mg_owns(Oid relid, Oid role);
/*
 * Names of budgets, models and recipients, and purposes: 1 to 200 bytes, no control characters, no blank at either end.
 */
extern void mg_check_name(const char *what, const char *name);

/* How the current role may train on a relation whose base is `base`, protected as given; error when it may not. */
typedef struct MgTrainRight
{
	Oid reader;     /* the role that the table is read as */
	int64 share_id; /* the share that pays too; 0: none */
	double share_epsilon;
	char *share; /* its grantee */
} MgTrainRight;
extern MgTrainRight mg_train_right(Oid relid, Oid base, const MgRelation *protection);

/* -- ledger (catalog/ledger.c) -- */

typedef struct MgUse
{
	double rho, rdp, delta_atoms; /* sums over charges that were not released */
} MgUse;

typedef struct MgCharge
{
	int64 charge;
	int64 budget;
	const char *budget_name, *relation, *model;
	Oid relid, role;
	int64 job;
	double epsilon, delta, rho, delta_atoms;
	int64 share;        /* the share that pays too; 0: none */
	const char *events; /* json text */
} MgCharge;

/* Of the budget's current period, where it has one: all charges, or (share > 0) those of one share. */
extern MgUse mg_ledger_use(const MgBudget *budget, int64 share);
extern MgUse mg_ledger_lifetime(const MgBudget *budget); /* whatever the period */
/*
 * What a training of (epsilon, delta) may use: under the budget's filter and, where a share pays, also under a filter
 * of the share's epsilon, so that (e) fits an untouched share of e as it fits an untouched budget of e.
 */
extern mg_allowance mg_ledger_allowance(const MgBudget *budget, double share_epsilon, double epsilon, double delta);
/* The share's own filter. */
extern mg_filter mg_ledger_share_filter(const MgBudget *budget, double share_epsilon);
extern void mg_ledger_lock(int64 budget);               /* row lock, held to the end of the transaction */
extern int64 mg_ledger_reserve(const MgCharge *charge); /* returns the charge's number */
/* 'spent' or 'released': a new row. used: what the job's mechanisms used, for information; NULL where it is not known.
 */
extern void mg_ledger_settle(int64 charge, const char *state, const mg_odometer *used);
/* Error unless the ledger is as whole as the log says it must be: a charge that is in the log is in the ledger. */
extern void mg_ledger_require_whole(void);

/* -- jobs (catalog/job.c) -- */

typedef struct MgJob
{
	int64 id;
	char *model, *relation, *method, *state, *errcode, *error;
	Oid relid;
	MgRole role;
	uint32 dsm_handle;
	int pid;
	int64 charge;
} MgJob;

extern int64 mg_job_next_id(void);
/* In state 'running'; of the job, state, error and errcode are not read. */
extern void mg_job_insert(const MgJob *job, Oid relid, double epsilon);
/* state: 'done', 'failed', 'cancelled'; errcode (an SQLSTATE) and error: NULL where it is done. */
extern void mg_job_finish(int64 id, const char *state, const char *errcode, const char *error);
extern MgJob *mg_job_find(int64 id); /* NULL: none */

/* -- models and grants (catalog/model.c) -- */

typedef struct MgModel
{
	int64 id;
	char *name, *relation, *method;
	char *state; /* 'ready', 'pending', 'rejected', 'withdrawn': only the first releases rows */
	Oid relid;
	MgRole owner;
	double epsilon, delta, total;
	int64 charge, job;
	char *card; /* json text; for mg_model_insert: what was found has none */
} MgModel;

extern MgModel *mg_model_find(const char *name);    /* NULL: none */
extern MgModel *mg_model_require(const char *name); /* error: none */
/*
 * The same, locked in that mode to the end of the transaction, as it is under the lock: not the one of that name that
 * another transaction dropped, or decided about, while this waited.
 */
extern MgModel *mg_model_require_locked(const char *name, LOCKMODE mode);
/* The model with its columns and its sealed blob; error where another job has taken the name. */
extern void mg_model_insert(const MgModel *model, const MgColumns *columns, const bytea *sealed);
extern int64 mg_model_next_id(void);
/* The relation that the model was trained on, where its record is live (catalog/origin.c); else InvalidOid. */
extern Oid mg_model_origin(int64 model);
extern bytea *mg_model_blob(int64 model); /* sealed; error when missing */
/* The columns as stored; `learnt`: the parsed model's columns. */
extern MgColumns *mg_model_columns(int64 model, const mg_model *parsed);
extern void mg_model_delete(int64 model); /* row, columns, blob, key, grants */
/*
 * Held to the end of the transaction: a release takes the lock in AccessShareLock, whatever ends releases (a decision,
 * dropping) in AccessExclusiveLock, so that once that has committed nothing more is recorded.
 */
extern void mg_model_lock(int64 model, LOCKMODE mode);

/* -- catalog/shape.c -- */

extern List *mg_model_names(void); /* of char *, in order: all there are */
typedef struct MgShapeColumn
{
	char *name, *type; /* the type as recorded: mg_column_type_text */
	bool notnull;
} MgShapeColumn;
extern List *mg_model_shape(int64 model); /* of MgShapeColumn *, in order */

/* -- grants (catalog/grant.c) -- */

typedef struct MgGrant
{
	int64 model;
	char *recorded; /* the grantee's name as recorded: with the model, the key */
	MgRole grantee;
	char *identity;         /* of the database that it was recorded in */
	TimestampTz granted_at; /* changes with each dp_grant */
	bool expires;
	TimestampTz valid_until;
	bool limited; /* max_rows within any `per`, or for ever where that is NULL */
	int64 max_rows;
	Interval *per;
	List *purposes;    /* of char *; NIL: any, or none */
	Jsonb *conditions; /* NULL: none */
	List *columns;     /* of char *; NIL: all */
	bool mine_uncommitted;
} MgGrant;

/* A grant as it was when a call was checked against it. */
typedef struct MgGrantRef
{
	char *recorded;
	TimestampTz granted_at;
} MgGrantRef;

/*
 * The grants of the model by which `role` may release for this purpose (NULL: none), live and unexpired, the least
 * restrictive first: without conditions before with them; then all columns before more before fewer; then without limit
 * of rows before with one, more rows before fewer; then by the grantee's name. Error where the only ones ask for
 * another purpose, or were made by this very transaction, which no worker can see.
 */
extern List *mg_grants_for(const MgModel *model, Oid role, const char *purpose);
/* All of them, whatever they ask for, in the same order; never an error. */
extern List *mg_grants_held(const MgModel *model, Oid role);
/* Do both confine the rows to the same? */
extern bool mg_grants_alike(const MgGrant *a, const MgGrant *b);
/*
 * In a worker's transaction, READ COMMITTED: locks the grants in order, to the end of the transaction, until one has
 * room, and returns it. A grant that was revoked, replaced or ran out since does not pay. Error where none does.
 */
extern MgGrant *mg_grant_pay(const MgModel *model, List *refs, int64 rows);
extern void mg_grant_set(const MgGrant *grant); /* model, grantee.oid, and the limits */
extern bool mg_grant_remove(int64 model, Oid grantee);
/* Releases as the owner does, without a grant: a superuser, the owner, members of the owner. */
extern bool mg_owns_model(const MgModel *model, Oid role);
/*
 * Error unless `role` may have rows of the model (mg_may_release) and its state is 'ready'. That a model of a name
 * exists is no secret; what state it is in is only for those who have the right.
 */
extern void mg_model_require_released(const MgModel *model, Oid role);
/* May `role` read rows of the model: by owning it, or by a live unexpired grant to a role whose rights it has. */
extern bool mg_may_release(const MgModel *model, Oid role);

/* -- what was given out, against limits (catalog/quota.c) -- */

/* Is there room for so many rows at this moment? */
extern bool mg_grant_has_room(const MgGrant *grant, int64 rows);
/*
 * The moment, as text, from which on there is room, if nobody draws on the grant until then: when the oldest releases
 * that are in the way have left the window. NULL: never.
 */
extern char *mg_grant_room_from(const MgGrant *grant, int64 rows);
/* What a recipient was given within the last hour, whatever the model: would it be more than `limit` with these? */
extern bool mg_recipient_hour_full(const char *recipient, bool claimed, int64 rows, int64 limit);
/*
 * To the end of the transaction nobody else adds to these totals. Order: rows of grants, grants, the recipient, which
 * mg_issuance_insert takes.
 */
extern void mg_quota_lock_grant(const MgGrant *grant);
extern void mg_quota_lock_recipient(const char *recipient);

/* -- approval (catalog/approval.c) -- */

extern const char *mg_model_first_state(const MgBudget *budget); /* of a model that was just trained under it */
/* Is none of the roles that the session has, or logged in as, this role or a member of it? */
extern bool mg_independent_of(const MgRole *role);
extern MgRole mg_job_login(int64 job); /* who had logged in when it was started; no name: not known */
/* Puts the model into `state` and records the decision; under its lock. The log's entry, which is the caller's to write
 * next, seals it. */
extern void mg_decide(const MgModel *model, const char *decision, const char *state, const char *note);

/* -- keys (catalog/keys.c) -- */

#define MG_MODEL_KEY_VERSION 1

/*
 * The master key from pg_mirage.master_key_command or master_key_file (default: a file of mode 0600 in the data
 * directory, made where no fingerprint is recorded yet). Errors fail closed: missing, unreadable, malformed, or not the
 * key whose fingerprint is recorded. create: may make the file and record the fingerprint (workers, before a
 * reservation).
 *
 * Until the matching mg_keys_drop, this process reads a master key at most once, and unwraps what is wrapped under it
 * at most once, whatever of the functions below are called; nested pairs are one. Within one C function that does not
 * return in between: an error forgets by itself. An error that is caught without the abort of a transaction needs
 * mg_keys_drop_all.
 */
extern void mg_keys_hold(void);
extern void mg_keys_drop(void);
extern void mg_keys_drop_all(void);
/*
 * Unwraps a root that will be wanted, made where there is none, while keys are held: for whoever is about to take locks
 * that others wait for.
 */
extern void mg_keys_warm(const char *purpose);
extern void mg_master_key(uint8 key[32], bool create);
/* A new random key for a model, wrapped under the master key and stored; and back. Wipe after use. */
extern void mg_model_key_create(int64 model, uint8 key[32]);
extern void mg_model_key(int64 model, uint8 key[32]);
extern void mg_model_key_forget(int64 model); /* of a model that never came to be */
/* Random roots of purpose "log", "receipt", "watermark", "unit": made on first use when create, wrapped. */
extern void mg_root_key(const char *purpose, uint8 key[32], bool create);
/* Seal and unseal a model's blob: AAD binds model id and format version. */
extern bytea *mg_model_seal_with(int64 model, const uint8 key[32], const void *plain, size_t len);
extern void *mg_model_unseal(int64 model, const bytea *sealed, size_t *len); /* palloc'ed huge; wipe after use */

/* -- the log (catalog/log.c) -- */

/* Appends an entry in the current transaction; object: what it is about; detail: json text or NULL, no data values. */
extern void mg_log(const char *action, const char *object, const char *detail);
/* Chains all committed entries that are in no block yet into one signed block. In a worker's transaction only. */
extern void mg_log_chain(void);

typedef struct MgLogCheck
{
	int64 entries; /* seen, chained or not */
	bool ok;
	int64 first_bad; /* entry id; 0: none */
	char *head;      /* hex of the last block's number and hash */
} MgLogCheck;
extern MgLogCheck mg_log_verify(const char *expected_head);

/* -- recipients (catalog/recipient.c) -- */

/*
 * Who rows are for: the user that logged in, which neither SET ROLE nor SET SESSION AUTHORIZATION changes; or, where
 * that user is a claimant (dp_allow_claims), whom pg_mirage.recipient names. A claim is another recipient than a role
 * of the same name, and than what another login claims.
 */
typedef struct MgRecipient
{
	char *name;
	bool claimed;
	char *id; /* what keys are derived from, a UUID as text, whatever the name; NULL: not known yet */
} MgRecipient;

extern MgRecipient mg_recipient(void); /* of this session, now, without its id; error for a claim without the right */
/* Finds the id, where there is one. False: the recipient, or its present name, is yet to be recorded. */
extern bool mg_recipient_find(MgRecipient *recipient);
/* In a worker's transaction, which writes the log's entry: records it, unless another has done so; sets the id. */
extern bool mg_recipient_record(MgRecipient *recipient);
/* The role, which was given no rows here yet, is a recipient that was recorded elsewhere; error where it cannot be. */
extern void mg_recipient_adopt(Oid role, const char *name, const char *id);

/* -- claimants and issuances (catalog/issuance.c) -- */

/* May a session whose user logged in as this role name recipients, from now on? */
extern void mg_claimant_set(Oid role, bool allowed);
/* Error unless the user that logged in may name recipients. */
extern void mg_require_claims(void);

/* A release, from the call to its record. */
typedef struct MgIssuance
{
	int64 model;
	const char *model_name;
	const char *role; /* that asked */
	const char *recipient;
	bool claimed; /* the recipient is a claim */
	const char *recipient_id;
	int64 rows;
	bool seeded;
	const char *purpose;     /* NULL: none was named */
	const char *path;        /* "call", "foreign", "materialize" */
	const char *conditioned; /* a JSON array of the columns that were conditioned on; NULL: none */
	List *columns;           /* of char *: those that leave */
	const char *watermark;   /* id of the recipient's mark key; NULL: the rows are unmarked */
	List *grants; /* of MgGrantRef *: the first with room pays; NIL: the owner's own right, or a superuser's */
} MgIssuance;

/* Writes the row; payer NULL: no grant pays. Returns its number. */
extern int64 mg_issuance_insert(const MgIssuance *issuance, const MgGrant *payer);

/* -- the SQL helper that every function above uses (catalog/query.c) -- */

typedef struct MgArg
{
	Oid type;
	Datum value;
	bool null;
} MgArg;
/* NULL is null. */
static inline MgArg
mg_text_value(const char *s)
{
	return (MgArg){TEXTOID, s != NULL ? CStringGetTextDatum(s) : (Datum) 0, s == NULL};
}
#define MG_TEXT(s) mg_text_value(s)
#define MG_INT4(v)                       \
	{                                    \
		INT4OID, Int32GetDatum(v), false \
	}
#define MG_INT8(v)                       \
	{                                    \
		INT8OID, Int64GetDatum(v), false \
	}
#define MG_FLOAT8(v)                        \
	{                                       \
		FLOAT8OID, Float8GetDatum(v), false \
	}
#define MG_OID(v)                          \
	{                                      \
		OIDOID, ObjectIdGetDatum(v), false \
	}
#define MG_BOOL(v)                      \
	{                                   \
		BOOLOID, BoolGetDatum(v), false \
	}
#define MG_STAMP(v)                                   \
	{                                                 \
		TIMESTAMPTZOID, TimestampTzGetDatum(v), false \
	}
#define MG_BYTEA(p)                         \
	{                                       \
		BYTEAOID, PointerGetDatum(p), false \
	}
#define MG_NULL(t)           \
	{                        \
		(t), (Datum) 0, true \
	}

/* char * as text[]; NIL is null. */
#define MG_TEXTS(list)                                   \
	{                                                    \
		TEXTARRAYOID, mg_text_array(list), (list) == NIL \
	}
#define MG_INTERVAL(p)                                 \
	{                                                  \
		INTERVALOID, IntervalPGetDatum(p), (p) == NULL \
	}

/*
 * Between begin and end: SPI is connected, the identity is the extension's owner. The values of a result are read by
 * the mg_get_* functions (row from 0, column from 1) until the next run; those that return memory allocate it in
 * `caller`.
 */
typedef struct MgQuery
{
	MgIdentity identity;
	MemoryContext caller;
} MgQuery;

extern void mg_query_begin(MgQuery *q);
/* Until the end: an index, where there is one, also where nobody has told the planner how long our tables are. */
extern void mg_query_by_index(MgQuery *q);
extern void mg_query_by_heap(MgQuery *q); /* and here through none: verification, which must not trust them */
/* Runs one statement; returns the number of rows. latest: read-only, in the latest snapshot; else an ordinary command.
 */
extern uint64 mg_query_run(MgQuery *q, bool latest, const char *sql, int nargs, const MgArg *args);
/* Reads as a statement did that was this command of the open transaction: in the latest snapshot, without what the
 * transaction has written since. */
extern uint64 mg_query_run_before(MgQuery *q, CommandId command, const char *sql, int nargs, const MgArg *args);
extern void mg_query_end(MgQuery *q);
/* One statement between a begin and an end of its own, in the latest snapshot: has it a row? And its OIDs. */
extern bool mg_query_any(const char *sql, int nargs, const MgArg *args);
extern List *mg_query_oids(const char *sql, int nargs, const MgArg *args);
/*
 * One statement that changes a table of state (catalog/seals.h) and returns the keys of its rows as column 1: it is run
 * and its rows are to be sealed. Returns their number. _alone: between a begin and an end of its own.
 */
extern uint64 mg_change(MgQuery *q, const char *table, const char *sql, int nargs, const MgArg *args);
extern uint64 mg_change_alone(const char *table, const char *sql, int nargs, const MgArg *args);
extern bool mg_get_null(uint64 row, int col);
extern Datum mg_get_datum(uint64 row, int col); /* by value types only */
extern int64 mg_get_int8(uint64 row, int col);
extern double mg_get_float8(uint64 row, int col);
extern Oid mg_get_oid(uint64 row, int col);
extern bool mg_get_bool(uint64 row, int col);
extern bool mg_get_mine(uint64 row, int col);                           /* an xmin: of this transaction? */
extern char *mg_get_text(MgQuery *q, uint64 row, int col);              /* NULL for NULL */
extern Interval *mg_get_interval(MgQuery *q, uint64 row, int col);      /* NULL for NULL */
extern char *mg_get_key(uint64 row, int col);                           /* as text, in the current context */
extern struct varlena *mg_get_varlena(MgQuery *q, uint64 row, int col); /* detoasted copy; NULL for NULL */

extern List *mg_get_texts(MgQuery *q, uint64 row, int col); /* text[] as char *; NIL for NULL */
extern Datum mg_text_array(List *texts);                    /* of char *, as text[] */

/* To the end of the transaction: a lock of ours on what the name says, for purposes of a table of the schema mirage. */
extern void mg_lock_name(const char *table, const char *name);

/* This database, as bindings record it: system identifier and database OID as text, "6912...:16384". */
extern const char *mg_database_identity(void);
/* Was it recorded in this cluster, in whichever database? */
extern bool mg_same_cluster(const char *identity);
/* A role as recorded: live or not (see above). */
extern MgRole mg_role_binding(Oid oid, const char *name, const char *identity);
/* The same of columns col (its OID), col + 1 (its name) and col + 2 (the database it was recorded in). */
extern MgRole mg_get_role(MgQuery *q, uint64 row, int col);

/* The same in SQL, of what was recorded in this cluster: `here` is mg_database_identity(). */
#define MG_HERE(identity, here) "split_part(" identity ", ':', 1) = split_part(" here ", ':', 1)"
#define MG_ROLE_LIVES(oid, identity, here) \
	"(" MG_HERE(identity, here) " AND EXISTS (SELECT FROM pg_roles a WHERE a.oid = " oid "))"

/* A table of state whose key has a role's name in it (catalog/follow.c). key: SQL of it, of a row called `k`. */
typedef struct MgRoleNames
{
	const char *table, *oid, *name, *key;
	const char *scope; /* the column that names are unique within; NULL: in the whole table, and the scope is 0 */
} MgRoleNames;
/* Before a row is written under `name`: who is recorded under it, and called otherwise now, is recorded so. */
extern void mg_roles_follow(MgQuery *q, const MgRoleNames *names, int64 scope, const char *name);

#endif
