/*
 * catalog/rotate.c: dp_rotate_key's work on the catalog: every wrapped key of this database is wrapped anew under the
 * next master key. What the wrapped keys seal or sign does not change: models, marks, receipts and the log's signatures
 * stay as they are.
 *
 * The order is what makes it safe to be killed anywhere, and to run beside trainings, releases and drops:
 *
 *   1 choose   both keys are at hand, the next one durable where the site keeps its keys
 *   2 record   mirage.key_rotation names both; committed, the next key is in force: new keys are wrapped under it
 *   3 rewrap   batches, each a transaction; a row names the key that it is wrapped under, so a mixture is no harm
 *   4 install  files only: the next key's takes the key file's place, the old one stays under its fingerprint
 *   5 finish   the record is closed, and the log says so
 *
 * Whoever wraps a new key holds mirage.master_key in ROW SHARE mode from before it looks which key is in force until it
 * has committed; step 2 takes EXCLUSIVE mode. So after step 2 no row appears under the old key, and step 3 ends. Rows
 * are locked one by one: a transaction that drops a model holds up only the last batch, which waits for it; it is
 * passed over until then.
 *
 * A second call finds the open record and goes on from step 2: what is done is found done. Where the next key was lost
 * before anything was wrapped under it, the record is passed over and another key is chosen. A wrapped key that does
 * not unwrap was damaged before, stays as it is, and is counted.
 *
 * Several databases share the key file. One whose key in force is not the file's follows to that: no key is made. One
 * rotation runs in a cluster at a time.
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/keys.h"
#include "catalog/pg_extension_d.h"
#include "catalog/rotate.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "utils/memutils.h"

#define BATCH 256
#define LOCK_TRIES 20
#define LOCK_RETRY_MS 100L
#define LOCK_NUMBER 1 /* beside the accounts of the high-water mark, whose number is 0 */

static void
rotation_tag(LOCKTAG *tag)
{
	/* no shared catalog is pg_extension, so nobody else's lock looks like this */
	SET_LOCKTAG_OBJECT(*tag, InvalidOid, ExtensionRelationId, 0, LOCK_NUMBER);
}

/* Not for long: another one may be minutes away from its end. But one that was cancelled is about to go. */
void
mg_rotation_lock(void)
{
	LOCKTAG tag;

	rotation_tag(&tag);
	for (int i = 0; LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL; i++)
	{
		if (i == LOCK_TRIES)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE), errmsg("the master key is being rotated already"),
							errhint("By another session, perhaps in another database of this cluster. Wait for it.")));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOCK_RETRY_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

void
mg_rotation_unlock(void)
{
	LOCKTAG tag;

	rotation_tag(&tag);
	(void) LockRelease(&tag, ExclusiveLock, true);
}

/* ---------------------------------------------------------------- choosing */

/* The last rotation, where it has not ended. */
static bool
find_open(MgRotation *r)
{
	MgQuery q;
	bool open = false;

	mg_query_begin(&q);
	if (mg_query_run(&q, true,
					 "SELECT id, old, new, finished_at IS NULL FROM mirage.key_rotation ORDER BY id DESC LIMIT 1", 0,
					 NULL) > 0 &&
		mg_get_bool(0, 4))
	{
		open = true;
		r->id = mg_get_int8(0, 1);
		strlcpy(r->from, mg_get_text(&q, 0, 2), sizeof(r->from));
		strlcpy(r->to, mg_get_text(&q, 0, 3), sizeof(r->to));
	}
	mg_query_end(&q);
	return open;
}

static bool
anything_under(const char *master)
{
	MgArg arg = MG_TEXT(master);

	return mg_query_any("SELECT 1 FROM mirage.wrapped_key WHERE master = $1 LIMIT 1", 1, &arg);
}

/* Finds the key and wipes it: it is held from now on, or can be read again. */
static bool
at_hand(const char *fingerprint, MgKeyProblem *why)
{
	uint8 key[MG_KEY_BYTES];
	bool found = mg_master_find(fingerprint, key, why);

	mg_wipe(key, sizeof(key));
	return found;
}

static void
choose_next(MgRotation *r)
{
	MgKeyProblem why;

	if (!mg_master_offered(r->to, &why))
		mg_key_problem_raise(&why);
	if (strcmp(r->from, r->to) != 0)
		return;
	if (mg_master_by_command())
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the master key command gives the key that is in force"),
						errhint("Change the key behind the command first: where PG_MIRAGE_KEY_FINGERPRINT is empty it "
								"must print the next key, where it is %s the present one.",
								r->from)));
	mg_master_prepare(r->to);
	if (strcmp(r->from, r->to) == 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the file of the next master key holds the key that is in force"),
						errhint("Remove it, or put another key there.")));
}

void
mg_rotation_choose(MgRotation *r)
{
	MgKeyProblem why;
	char *current;

	if (find_open(r))
	{
		if (at_hand(r->to, &why))
			return;
		if (anything_under(r->to))
			mg_key_problem_raise(&why);
		r->id = 0;
	}
	else
	{
		current = mg_master_fingerprint();
		if (current == NULL)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("there is no master key yet that could be rotated"),
							errhint("The first training in this database takes one.")));
		strlcpy(r->from, current, sizeof(r->from));
	}
	choose_next(r);
	if (!at_hand(r->from, &why) || !at_hand(r->to, &why))
		mg_key_problem_raise(&why);
}

/* ---------------------------------------------------------------- the record */

void
mg_rotation_record(MgRotation *r)
{
	MgArg to = MG_TEXT(r->to);
	MgArg args[] = {MG_TEXT(r->from), MG_TEXT(r->to), MG_TEXT(GetUserNameFromId(GetUserId(), false))};
	MgQuery q;

	if (r->id != 0)
		return;
	mg_query_begin(&q);
	mg_query_run(&q, false, "LOCK TABLE mirage.master_key IN EXCLUSIVE MODE", 0, NULL);
	mg_query_run(&q, false, "INSERT INTO mirage.master_key (fingerprint) VALUES ($1) ON CONFLICT DO NOTHING", 1, &to);
	mg_query_run(&q, false, "INSERT INTO mirage.key_rotation (old, new, role_name) VALUES ($1, $2, $3) RETURNING id",
				 lengthof(args), args);
	r->id = mg_get_int8(0, 1);
	mg_query_end(&q);
	mg_log("rotate key", "master key",
		   psprintf("{\"rotation\": " INT64_FORMAT ", \"from\": \"%s\", \"to\": \"%s\", \"state\": \"begun\"}", r->id,
					r->from, r->to));
}

void
mg_rotation_finish(const MgRotation *r)
{
	MgArg arg = MG_INT8(r->id);
	MgQuery q;

	mg_query_begin(&q);
	mg_query_run(&q, false,
				 "UPDATE mirage.key_rotation SET finished_at = clock_timestamp() WHERE id = $1 AND finished_at IS NULL",
				 1, &arg);
	mg_query_end(&q);
	mg_log("rotate key", "master key",
		   psprintf("{\"rotation\": " INT64_FORMAT ", \"from\": \"%s\", \"to\": \"%s\", \"state\": \"done\", "
					"\"damaged\": " INT64_FORMAT "}",
					r->id, r->from, r->to, r->damaged));
}

/* ---------------------------------------------------------------- wrapping anew */

typedef struct Row
{
	int64 id, model;
	char *purpose, *master;
	bytea *wrapped;
} Row;

/* One row, locked by this transaction; false: it is damaged. */
static bool
rewrap_row(const MgRotation *r, const Row *row)
{
	uint8 old[MG_KEY_BYTES], next[MG_KEY_BYTES];
	MgKeyProblem why;
	bytea *wrapped;
	MgQuery q;

	/* one after the other: none of them is on the stack when an error is raised */
	if (!at_hand(row->master, &why) || !at_hand(r->to, &why) || !mg_master_find(row->master, old, &why))
		mg_key_problem_raise(&why);
	if (!mg_master_find(r->to, next, &why))
	{
		mg_wipe(old, sizeof(old));
		mg_key_problem_raise(&why);
	}
	wrapped = mg_key_rewrap(old, next, row->purpose, row->model, row->wrapped);
	if (wrapped == NULL)
		return false;
	{
		MgArg args[] = {MG_INT8(row->id), MG_TEXT(r->to), MG_BYTEA(wrapped)};

		mg_query_begin(&q);
		mg_query_run(&q, false, "UPDATE mirage.wrapped_key SET master = $2, wrapped = $3 WHERE id = $1", lengthof(args),
					 args);
		mg_query_end(&q);
	}
	return true;
}

bool
mg_rotation_rewrap(MgRotation *r, int64 *last, bool wait)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_mirage rewrap", ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);
	MgArg args[] = {MG_TEXT(r->to), MG_INT8(*last), MG_INT4(BATCH)};
	Row *rows;
	MgQuery q;
	uint64 n;

	mg_query_begin(&q);
	n = mg_query_run(&q, false,
					 wait ? "SELECT id, purpose, model, master, wrapped FROM mirage.wrapped_key "
							"WHERE master <> $1 AND id > $2 ORDER BY id LIMIT $3 FOR UPDATE"
						  : "SELECT id, purpose, model, master, wrapped FROM mirage.wrapped_key "
							"WHERE master <> $1 AND id > $2 ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED",
					 lengthof(args), args);
	rows = MemoryContextAlloc(context, sizeof(Row) * Max(n, 1));
	for (uint64 i = 0; i < n; i++)
		rows[i] = (Row){.id = mg_get_int8(i, 1),
						.model = mg_get_int8(i, 3),
						.purpose = mg_get_text(&q, i, 2),
						.master = mg_get_text(&q, i, 4),
						.wrapped = (bytea *) mg_get_varlena(&q, i, 5)};
	mg_query_end(&q);
	for (uint64 i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (rewrap_row(r, &rows[i]))
			r->keys++;
		else if (wait) /* of the two rounds, the one that sees all that is left */
			r->damaged++;
		*last = rows[i].id;
	}
	MemoryContextSwitchTo(before);
	MemoryContextDelete(context);
	return n > 0;
}
