/*
 * catalog/watch.c: counters of refused calls and of releases, in shared memory.
 *
 * A refused call costs its caller next to nothing, so it must cost the server next to nothing, too: it is counted under
 * a lightweight lock, in memory that every session shares. No worker is started for it, no row written, and nothing
 * that can fail is done while the error is on its way. Only when a count reaches its limit, once in a window, is an
 * alert due: it is noted beside the counter, and a worker that nobody waits for is asked to write it. Where there is no
 * slot it stays due, and the next call of anybody in the database asks again, at most once a second.
 *
 * The memory is a fixed table of one entry for each role and database (pg/shmem.h). Where there is none left, nothing
 * is counted, and the server's log says so once a session; limits on rows, which are counted in tables, hold all the
 * same. An entry that nobody has used for the longest time gives way when the table is full; those of roles that are
 * shut out, or with an alert due, last.
 *
 * Windows. The first event of a role opens one of pg_mirage.failure_window; all counts of the role start from zero when
 * an event finds it over. So within any window of that length at most twice the limit is served: the price of one
 * number instead of a list of times.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/highwater.h"
#include "catalog/watch.h"
#include "miscadmin.h"
#include "pg/guc.h"
#include "pg/shmem.h"

#define WATCH_NAME "pg_mirage watch 1"
#define ENTRIES 128
#define RETRY_MS 1000
#define BUDGET_REFUSALS 5
#define BAD_RECEIPTS 3

typedef struct Counter
{
	uint32 count;    /* in the window */
	TimestampTz due; /* since when an alert is to be written; 0: none is */
} Counter;

typedef struct Entry
{
	Oid database, role;  /* role InvalidOid: free */
	TimestampTz seen;    /* the last event */
	TimestampTz window;  /* when the window of the counters was opened */
	TimestampTz shut_at; /* refused for a window from then on; 0: not */
	TimestampTz minute;  /* when the minute of `releases` began */
	TimestampTz tried;   /* when a worker was last asked for what is due; 0: not since something was written */
	int releases;
	int sqlstate; /* of the last refusal */
	Counter counter[MG_WATCH_KINDS];
} Entry;

typedef struct Watch
{
	MgShmemHead head;
	Entry entry[ENTRIES];
} Watch;

static Watch *watch;
static bool no_memory;
static bool counted; /* the error that is on its way, by a watched call within this one */
static MgWatchStarter starter;

void
mg_watch_set_starter(MgWatchStarter new_starter)
{
	starter = new_starter;
}

/* ---------------------------------------------------------------- the memory */

void
mg_watch_reserve(void)
{
	mg_shmem_reserve(sizeof(Watch));
}

/* The table; NULL: no memory was left. Not for use while an error is handled. */
static Watch *
attach(void)
{
	if (watch != NULL || no_memory)
		return watch;
	watch = mg_shmem_find(WATCH_NAME, sizeof(Watch), "pg_mirage_watch");
	no_memory = watch == NULL;
	if (no_memory)
		ereport(LOG_SERVER_ONLY, (errmsg("pg_mirage counts no refused calls: no shared memory was left for it"),
								  errhint("Add pg_mirage to shared_preload_libraries.")));
	return watch;
}

/* ---------------------------------------------------------------- entries: under the lock */

static Entry *
find_entry(Oid role)
{
	for (int i = 0; i < ENTRIES; i++)
		if (watch->entry[i].role == role && watch->entry[i].database == MyDatabaseId)
			return &watch->entry[i];
	return NULL;
}

static bool
is_due(const Entry *e)
{
	for (int k = 0; k < MG_WATCH_KINDS; k++)
		if (e->counter[k].due != 0)
			return true;
	return false;
}

static TimestampTz
after_window(TimestampTz t)
{
	return t + (TimestampTz) mg_guc_failure_window * USECS_PER_SEC;
}

/* A clock that was set back ends it, too. */
static bool
is_shut_out(const Entry *e, TimestampTz now)
{
	return e->shut_at != 0 && now >= e->shut_at && now < after_window(e->shut_at);
}

/* Which of two entries gives way: a free one, then the one that matters less, then the one not used for longer. */
static bool
gives_way(const Entry *a, const Entry *b, TimestampTz now)
{
	bool a_matters, b_matters;

	if (!OidIsValid(a->role) || !OidIsValid(b->role))
		return !OidIsValid(a->role);
	a_matters = is_due(a) || is_shut_out(a, now);
	b_matters = is_due(b) || is_shut_out(b, now);
	return a_matters != b_matters ? b_matters : a->seen < b->seen;
}

/* The entry of a role, made where there is none. */
static Entry *
require_entry(Oid role, TimestampTz now)
{
	Entry *e = find_entry(role);

	if (e == NULL)
	{
		e = &watch->entry[0];
		for (int i = 1; i < ENTRIES; i++)
			if (gives_way(&watch->entry[i], e, now))
				e = &watch->entry[i];
		memset(e, 0, sizeof(*e));
		e->database = MyDatabaseId;
		e->role = role;
	}
	e->seen = now;
	return e;
}

/* How many events of a kind within a window raise an alert; 0: none do. */
static int
limit_of(MgWatchKind kind)
{
	switch (kind)
	{
		case MG_WATCH_REFUSED:
			return mg_guc_max_failures;
		case MG_WATCH_BUDGET:
			return BUDGET_REFUSALS;
		case MG_WATCH_RECEIPT:
			return BAD_RECEIPTS;
		default:
			return 1;
	}
}

static void
count_event(Entry *e, MgWatchKind kind, TimestampTz now)
{
	Counter *c = &e->counter[kind];

	if (now >= after_window(e->window) || now < e->window)
	{
		for (int k = 0; k < MG_WATCH_KINDS; k++)
			e->counter[k].count = 0;
		e->window = now;
	}
	if (c->count < PG_UINT32_MAX)
		c->count++;
	if (mg_guc_alerts && c->due == 0 && c->count == (uint32) limit_of(kind))
		c->due = now;
}

/* ---------------------------------------------------------------- alerts that are due */

/* Asks for a worker where something is due, at most once a second for each role. Cannot fail. */
static void
press(void)
{
	TimestampTz now = GetCurrentTimestamp();
	bool ask = false;

	if (starter == NULL || RecoveryInProgress())
		return;
	LWLockAcquire(&watch->head.lock, LW_EXCLUSIVE);
	for (int i = 0; i < ENTRIES; i++)
	{
		Entry *e = &watch->entry[i];

		if (e->database != MyDatabaseId || !is_due(e) ||
			(now >= e->tried && !TimestampDifferenceExceeds(e->tried, now, RETRY_MS)))
			continue;
		e->tried = now; /* whoever writes it writes all of this database */
		ask = true;
	}
	LWLockRelease(&watch->head.lock);
	if (ask)
		(void) starter();
}

/* Is anything due here? The common answer, by a shared lock. */
static bool
anything_due(void)
{
	bool due = false;

	LWLockAcquire(&watch->head.lock, LW_SHARED);
	for (int i = 0; i < ENTRIES && !due; i++)
		due = watch->entry[i].database == MyDatabaseId && is_due(&watch->entry[i]);
	LWLockRelease(&watch->head.lock);
	return due;
}

List *
mg_watch_due(void)
{
	MgWatchDue *found = palloc(sizeof(MgWatchDue) * ENTRIES * MG_WATCH_KINDS);
	List *due = NIL;
	int n = 0;

	if (attach() == NULL)
		return NIL;
	LWLockAcquire(&watch->head.lock, LW_SHARED);
	for (int i = 0; i < ENTRIES; i++)
		for (int k = 0; k < MG_WATCH_KINDS; k++)
		{
			const Entry *e = &watch->entry[i];

			if (e->database == MyDatabaseId && e->counter[k].due != 0)
				found[n++] =
					(MgWatchDue){e->role, (MgWatchKind) k, e->counter[k].count, e->sqlstate, e->counter[k].due};
		}
	LWLockRelease(&watch->head.lock);
	for (int i = 0; i < n; i++)
		due = lappend(due, &found[i]);
	return due;
}

void
mg_watch_written(const MgWatchDue *d)
{
	Entry *e;

	LWLockAcquire(&watch->head.lock, LW_EXCLUSIVE);
	e = find_entry(d->role);
	if (e != NULL && e->counter[d->kind].due == d->since)
	{
		e->counter[d->kind].due = 0;
		e->tried = 0; /* only failures are waited for */
	}
	LWLockRelease(&watch->head.lock);
}

/* ---------------------------------------------------------------- counting */

/* Counts up to two kinds, the second where it is not MG_WATCH_KINDS. Does nothing that can fail. */
static void
note(Oid role, bool exempt, MgWatchKind kind, MgWatchKind also, int sqlstate)
{
	TimestampTz now = GetCurrentTimestamp();
	Entry *e;
	bool due;

	LWLockAcquire(&watch->head.lock, LW_EXCLUSIVE);
	e = require_entry(role, now);
	count_event(e, kind, now);
	if (also != MG_WATCH_KINDS)
		count_event(e, also, now);
	if (sqlstate != 0)
		e->sqlstate = sqlstate;
	if (kind == MG_WATCH_REFUSED && !exempt && mg_guc_max_failures > 0 &&
		e->counter[MG_WATCH_REFUSED].count >= (uint32) mg_guc_max_failures)
		e->shut_at = now;
	due = is_due(e);
	LWLockRelease(&watch->head.lock);
	if (due)
		press();
}

void
mg_watch_event(MgWatchKind kind)
{
	Oid role = GetAuthenticatedUserId();

	if (attach() != NULL)
		note(role, superuser_arg(role), kind, MG_WATCH_KINDS, 0);
}

/* Which counters an error is for, by its SQLSTATE; false: none. */
static bool
classify(MgWatched what, int sqlstate, MgWatchKind *kind, MgWatchKind *also)
{
	*also = MG_WATCH_KINDS;
	*kind = MG_WATCH_REFUSED;
	switch (sqlstate)
	{
		case ERRCODE_INSUFFICIENT_PRIVILEGE:
		case ERRCODE_UNDEFINED_OBJECT: /* names are tried out so */
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
			return true;
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
			if (what == MG_WATCHED_TRAINING)
				*also = MG_WATCH_BUDGET;
			return true;
		/*
		 * Not 53400, which our own limits raise: a program that is too fast is slowed down, not shut out. And these are
		 * the server's state, not the role's doing: they shut nobody out.
		 */
		case MG_ERRCODE_HIGH_WATER:
			*kind = MG_WATCH_REWIND;
			return true;
		case ERRCODE_CONFIG_FILE_ERROR:
			*kind = MG_WATCH_CONFIGURATION;
			return true;
		case ERRCODE_DATA_CORRUPTED:
			*kind = MG_WATCH_DAMAGE;
			return true;
		default:
			return false;
	}
}

/* Seconds for which the role is shut out; 0: it is not. */
static int
shut_out(Oid role)
{
	TimestampTz now = GetCurrentTimestamp();
	const Entry *e;
	int64 left = 0;

	if (mg_guc_max_failures == 0)
		return 0;
	LWLockAcquire(&watch->head.lock, LW_SHARED);
	e = find_entry(role);
	if (e != NULL && is_shut_out(e, now))
		left = (after_window(e->shut_at) - now) / USECS_PER_SEC + 1;
	LWLockRelease(&watch->head.lock);
	return (int) left;
}

static void
require_not_shut_out(Oid role)
{
	int seconds = shut_out(role);

	if (seconds > 0)
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("too many calls of role \"%s\" were refused", GetUserNameFromId(role, false)),
						errhint("It is served again in %d seconds (pg_mirage.max_failures, pg_mirage.failure_window).",
								seconds)));
}

void
mg_watch_call(MgWatched what, void (*call)(void *), void *arg)
{
	Oid role = GetAuthenticatedUserId();
	bool exempt;

	counted = false;
	if (attach() == NULL)
	{
		call(arg);
		return;
	}
	exempt = superuser_arg(role);
	if (anything_due())
		press();
	if (!exempt && what != MG_WATCHED_ACT)
		require_not_shut_out(role);
	PG_TRY();
	{
		call(arg);
	}
	PG_CATCH();
	{
		MgWatchKind kind, also;
		int sqlstate = geterrcode();

		if (!counted && classify(what, sqlstate, &kind, &also))
			note(role, exempt, kind, also, sqlstate);
		counted = true;
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/* ---------------------------------------------------------------- rates */

/* One release more of the role's in this minute; false: it has had all of them. */
static bool
take_release(Oid role)
{
	TimestampTz now = GetCurrentTimestamp();
	bool taken;
	Entry *e;

	LWLockAcquire(&watch->head.lock, LW_EXCLUSIVE);
	e = require_entry(role, now);
	if (now >= e->minute + USECS_PER_MINUTE || now < e->minute)
	{
		e->minute = now;
		e->releases = 0;
	}
	taken = e->releases < mg_guc_max_releases_per_minute;
	if (taken)
		e->releases++;
	LWLockRelease(&watch->head.lock);
	return taken;
}

void
mg_watch_admit(const char *recipient, bool claimed, int64 rows)
{
	Oid role = GetAuthenticatedUserId();

	if (superuser_arg(role))
		return;
	if (mg_guc_max_releases_per_minute > 0 && attach() != NULL && !take_release(role))
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("role \"%s\" has had all releases of this minute", GetUserNameFromId(role, false)),
						errhint("Ask for more rows at once, or wait (pg_mirage.max_releases_per_minute).")));
	if (mg_guc_max_rows_per_hour > 0 && mg_recipient_hour_full(recipient, claimed, rows, mg_guc_max_rows_per_hour))
		mg_watch_refuse_rows(recipient);
}
