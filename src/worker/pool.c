/*
 * worker/pool.c: workers that linger.
 *
 * Most of what the autonomous transaction of a small release takes is the start of its worker: a process, a connection,
 * caches that are filled anew. So a worker that has done a piece of short work stays for pg_mirage.worker_linger, and
 * takes the next one of the same kind of caller from a queue in shared memory (pg/shmem.h).
 *
 * Identity. A worker serves callers of the database and of the *authenticated* user that it connected as, and nobody
 * else: who logged in cannot be changed in a process, and is what recipients, claims and limits are about. The
 * current role and the settings are the caller's, set anew for each piece of work as in a worker that was just started
 * (worker/main.c). Before it takes one it asks again what a connection is asked: does the role still exist and
 * log in, does it have CONNECT, does the database take connections, is it the superuser that it was or not? Else it
 * leaves, and the caller starts a worker, which fails as it always did.
 *
 * Nothing is held while idle: no key, no lock, no snapshot, no transaction, no segment.
 *
 * It is in nobody's way. It leaves
 *   - when somebody of ours found no slot whom it cannot serve (mg_pool_give_way), or it has been idle for a while and
 *     the server has no background process left;
 *   - when somebody holds a lock on the database that a new connection would wait for: DROP, ALTER and CREATE DATABASE
 *     take it before they count who is connected, for five seconds, and it looks ten times a second;
 *   - at a termination, a shutdown and a change of the configuration, at once;
 *   - when nothing came for as long as it may linger, and after LIFE_MS in any case, so that what its caches have come
 *     to hold goes with it.
 * At most a quarter of max_worker_processes linger, and one of each kind: releases to one recipient stand in line for
 * their recipient's lock (catalog/quota.c), so that a second would only wait, and what waits for the first shares a
 * transaction (worker/serve.c). A second one joins where the first has come to wait for a lock.
 *
 * The queue is served in order. Who finds that the worker has waited for a lock for STUCK_MS, or was at one piece of
 * work for SLOW_MS, takes its work back and starts a worker of its own, as if there were none; so nobody waits behind
 * another's lock, and who waits for its own is told so (worker/launch.c). Where a worker has just been started, others
 * of its kind wait for it to come, START_MS at most, rather than start as many as they are.
 */
#include "worker/pool.h"
#include "worker/worker.h"

#include <signal.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pg/compat.h"
#include "pg/guc.h"
#include "pg/shmem.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/sinval.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#define POOL_NAME "pg_mirage pool 1"
#define MEMBERS 16
#define REQUESTS 128
#define POLL_MS 100
#define STUCK_MS 100
#define SLOW_MS 1000
#define START_MS 250
#define WANTED_MS 100
#define NOTES 8
#define LIFE_MS (10 * 60 * 1000)

/* Whom a worker serves. */
typedef struct Kind
{
	Oid database, user;
} Kind;

typedef struct Member
{
	pid_t pid; /* 0: free */
	PGPROC *proc;
	Kind kind;
	bool idle, leave;
	TimestampTz since; /* idle since then; or when it last took something */
	int n;             /* what it has */
	uint64 ticket[MG_POOL_AT_ONCE];
} Member;

typedef struct Request
{
	uint64 ticket; /* 0: free. They rise */
	Kind kind;
	dsm_handle handle;
	TimestampTz posted;
	PGPROC *caller;
} Request;

/* That something happened to callers of a kind, and when last; the oldest note gives way. */
typedef struct Note
{
	Kind kind;
	TimestampTz at;
} Note;

typedef struct Pool
{
	MgShmemHead head;
	uint64 last_ticket;
	Note want[NOTES];  /* found no slot; no database: one that no worker helps which stays */
	Note start[NOTES]; /* started a worker, which may join */
	Member member[MEMBERS];
	Request request[REQUESTS];
} Pool;

static Pool *pool;
static bool no_memory;
static Member *me;
static TimestampTz joined, looked; /* when it was last looked who is in need of what we have */
static bool was_superuser;

void
mg_workers_reserve(void)
{
	mg_shmem_reserve(sizeof(Pool));
}

static bool
attach(void)
{
	if (pool == NULL && !no_memory)
		pool = mg_shmem_find(POOL_NAME, sizeof(Pool), "pg_mirage_pool");
	no_memory = pool == NULL;
	return pool != NULL;
}

static void
lock(void)
{
	LWLockAcquire(&pool->head.lock, LW_EXCLUSIVE);
}

static void
unlock(void)
{
	LWLockRelease(&pool->head.lock);
}

static Kind
my_kind(void)
{
	return (Kind){MyDatabaseId, GetAuthenticatedUserId()};
}

static bool
same_kind(Kind a, Kind b)
{
	return a.database == b.database && a.user == b.user;
}

static bool
within(TimestampTz t, TimestampTz now, int ms)
{
	return now >= t && !TimestampDifferenceExceeds(t, now, ms); /* a clock that was set back ends it */
}

/* ---------------------------------------------------------------- under the lock */

static Member *
find_member(Kind kind, bool idle)
{
	for (int i = 0; i < MEMBERS; i++)
	{
		Member *m = &pool->member[i];

		if (m->pid != 0 && !m->leave && same_kind(m->kind, kind) && (!idle || m->idle))
			return m;
	}
	return NULL;
}

static Member *
holder_of(uint64 ticket)
{
	for (int i = 0; i < MEMBERS; i++)
		for (int k = 0; pool->member[i].pid != 0 && k < pool->member[i].n; k++)
			if (pool->member[i].ticket[k] == ticket)
				return &pool->member[i];
	return NULL;
}

static Request *
find_request(uint64 ticket)
{
	for (int i = 0; i < REQUESTS; i++)
		if (pool->request[i].ticket == ticket)
			return &pool->request[i];
	return NULL;
}

/* The one that has waited for longest; NULL: none. */
static Request *
next_request(Kind kind)
{
	Request *next = NULL;

	for (int i = 0; i < REQUESTS; i++)
	{
		Request *r = &pool->request[i];

		if (r->ticket != 0 && same_kind(r->kind, kind) && (next == NULL || r->ticket < next->ticket))
			next = r;
	}
	return next;
}

/*
 * Idle, or it will be soon: not one that waits for a lock for long, or is busy for very long; nor one that idles and
 * does not see what lies there for it, because something keeps it from running.
 */
static bool
goes_on(const Member *m, TimestampTz now)
{
	bool waits = (m->proc->wait_event_info & 0xFF000000) == PG_WAIT_LOCK; /* a hint: one word, read without its lock */
	TimestampTz since = m->since;

	if (m->idle)
	{
		const Request *r = next_request(m->kind);

		if (r == NULL)
			return true;
		since = Max(since, r->posted);
	}
	return within(since, now, waits ? STUCK_MS : SLOW_MS);
}

/* Is there a worker of the kind that goes on, or one that is about to be? */
static bool
is_served(Kind kind, TimestampTz now)
{
	for (int i = 0; i < MEMBERS; i++)
	{
		const Member *m = &pool->member[i];

		if (m->pid != 0 && !m->leave && same_kind(m->kind, kind) && goes_on(m, now))
			return true;
	}
	for (int i = 0; i < NOTES; i++)
		if (same_kind(pool->start[i].kind, kind) && within(pool->start[i].at, now, START_MS))
			return true;
	return false;
}

/* Does another one serve the kind? The first in the table stays. */
static bool
is_one_too_many(const Member *m, TimestampTz now)
{
	for (const Member *other = pool->member; other < m; other++)
		if (other->pid != 0 && !other->leave && same_kind(other->kind, m->kind) && goes_on(other, now))
			return true;
	return false;
}

/* Who waits for a worker of the kind is to look again, where there is none. */
static void
tell_callers(Kind kind)
{
	if (find_member(kind, false) != NULL)
		return;
	for (int i = 0; i < REQUESTS; i++)
		if (pool->request[i].ticket != 0 && same_kind(pool->request[i].kind, kind))
			SetLatch(&pool->request[i].caller->procLatch);
}

static void
take_note(Note *notes, Kind kind, TimestampTz at)
{
	Note *n = &notes[0];

	for (int i = 0; i < NOTES; i++)
	{
		if (same_kind(notes[i].kind, kind))
		{
			n = &notes[i];
			break;
		}
		if (notes[i].at < n->at)
			n = &notes[i];
	}
	*n = (Note){kind, at};
}

/* Does anybody lack a slot who cannot be served by a worker of this kind? */
static bool
slot_is_wanted(Kind kind, TimestampTz now)
{
	for (int i = 0; i < NOTES; i++)
		if (within(pool->want[i].at, now, WANTED_MS) && !same_kind(pool->want[i].kind, kind))
			return true;
	return false;
}

/* Out of the table. */
static void
leave(Member *m)
{
	m->pid = 0;
	m->n = 0;
	tell_callers(m->kind);
}

/* ---------------------------------------------------------------- callers */

uint64
mg_pool_post(dsm_handle handle)
{
	Kind kind = my_kind();
	Request *free = NULL;
	uint64 ticket = 0;
	TimestampTz now;
	Member *idle;

	if (mg_guc_worker_linger == 0 || !attach())
		return 0;
	lock();
	now = GetCurrentTimestamp();
	idle = find_member(kind, true);
	if (is_served(kind, now))
		free = find_request(0);
	if (free != NULL)
	{
		ticket = ++pool->last_ticket;
		*free = (Request){ticket, kind, handle, now, MyProc};
		if (idle != NULL)
			SetLatch(&idle->proc->procLatch);
	}
	unlock();
	return ticket;
}

MgPoolLook
mg_pool_look(uint64 ticket)
{
	MgPoolLook look = MG_POOL_QUEUED;
	TimestampTz now;
	Request *r;

	lock();
	now = GetCurrentTimestamp(); /* under the lock, so that nothing in the table is later */
	r = find_request(ticket);
	if (r == NULL)
		look = holder_of(ticket) != NULL ? MG_POOL_TAKEN : MG_POOL_NOWHERE;
	else if (!is_served(r->kind, now))
	{
		r->ticket = 0;
		look = MG_POOL_BACK;
	}
	unlock();
	return look;
}

void
mg_pool_cancel(uint64 ticket)
{
	Request *r;
	Member *m;

	lock();
	r = find_request(ticket);
	m = holder_of(ticket);
	if (r != NULL)
		r->ticket = 0;
	else if (m != NULL && m->n == 1)
		kill(m->pid, SIGINT); /* under the lock, without which it goes on to no other work */
	unlock();
}

void
mg_pool_interrupt(pid_t worker)
{
	bool lingers = false;

	/* without a table nobody lingers; and who is about to waits for its lock */
	if (pool != NULL)
		lock();
	for (int i = 0; pool != NULL && i < MEMBERS; i++)
		lingers |= pool->member[i].pid == worker;
	if (!lingers)
		kill(worker, SIGINT);
	if (pool != NULL)
		unlock();
}

void
mg_pool_started(void)
{
	if (mg_guc_worker_linger == 0 || !attach())
		return;
	lock();
	take_note(pool->start, my_kind(), GetCurrentTimestamp());
	unlock();
}

bool
mg_pool_give_way(bool short_work)
{
	Member *longest = NULL;
	bool leaves = false;

	if (pool == NULL)
		return false;
	lock();
	take_note(pool->want, short_work ? my_kind() : (Kind){InvalidOid, InvalidOid}, GetCurrentTimestamp());
	for (int i = 0; i < MEMBERS; i++)
	{
		Member *m = &pool->member[i];

		leaves |= m->pid != 0 && m->leave;
		if (m->pid != 0 && m->idle && !m->leave && (longest == NULL || m->since < longest->since))
			longest = m;
	}
	if (longest != NULL && !leaves)
	{
		longest->leave = leaves = true;
		SetLatch(&longest->proc->procLatch);
	}
	unlock();
	return leaves;
}

/* ---------------------------------------------------------------- workers: coming and going */

static void
leave_at_exit(int code, Datum arg)
{
	if (me == NULL)
		return;
	lock();
	leave(me);
	unlock();
	me = NULL;
}

/* Room for one more, by the numbers; under the lock. One that has been idle for longest may have to go for it. */
static Member *
make_room(Kind kind)
{
	TimestampTz now = GetCurrentTimestamp();
	Member *room = NULL, *longest = NULL;
	int all = 0;

	if (slot_is_wanted(kind, now))
		return NULL;
	for (int i = 0; i < MEMBERS; i++)
	{
		Member *m = &pool->member[i];

		if (m->pid == 0)
		{
			room = m;
			continue;
		}
		if (m->leave)
			continue;
		all++;
		if (same_kind(m->kind, kind) && goes_on(m, now))
			return NULL;
		if (m->idle && (longest == NULL || m->since < longest->since))
			longest = m;
	}
	if (room == NULL)
		return NULL;
	if (all >= Max(max_worker_processes / 4, 1))
	{
		if (longest == NULL)
			return NULL;
		longest->leave = true;
		SetLatch(&longest->proc->procLatch);
	}
	return room;
}

bool
mg_pool_join(bool superuser)
{
	Member *m;

	if (mg_guc_worker_linger == 0 || !attach())
		return false;
	was_superuser = superuser;
	before_shmem_exit(leave_at_exit, (Datum) 0);
	lock();
	joined = looked = GetCurrentTimestamp();
	m = make_room(my_kind());
	if (m != NULL)
		*m = (Member){.pid = MyProcPid, .proc = MyProc, .kind = my_kind(), .since = joined};
	take_note(pool->start, my_kind(), 0);
	tell_callers(my_kind());
	unlock();
	me = m;
	return m != NULL;
}

/* Would somebody who connects now as this user be let in? */
static bool
would_be_let_in(void)
{
	Oid user = GetAuthenticatedUserId();
	HeapTuple role, database;
	bool in = false;

	StartTransactionCommand();
	role = SearchSysCache1(AUTHOID, ObjectIdGetDatum(user));
	database = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));
	if (HeapTupleIsValid(role) && HeapTupleIsValid(database))
		in = ((Form_pg_authid) GETSTRUCT(role))->rolcanlogin &&
			 ((Form_pg_database) GETSTRUCT(database))->datallowconn && superuser_arg(user) == was_superuser &&
			 DatumGetBool(DirectFunctionCall3(has_database_privilege_id_id, ObjectIdGetDatum(user),
											  ObjectIdGetDatum(MyDatabaseId), CStringGetTextDatum("CONNECT")));
	if (HeapTupleIsValid(role))
		ReleaseSysCache(role);
	if (HeapTupleIsValid(database))
		ReleaseSysCache(database);
	CommitTransactionCommand();
	return in;
}

/* Does somebody hold what a new connection to this database would wait for? */
static bool
database_is_wanted(void)
{
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
	if (LockAcquire(&tag, RowExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	LockRelease(&tag, RowExclusiveLock, true);
	return false;
}

/* ---------------------------------------------------------------- workers: waiting */

typedef enum Found
{
	FOUND_NOTHING,
	FOUND_WORK,
	FOUND_REASON_TO_LEAVE
} Found;

/* Idle from now on, where nothing is found. */
static Found
look_for_work(void)
{
	Found found = FOUND_NOTHING;
	TimestampTz now;

	lock();
	now = GetCurrentTimestamp();
	if (me->leave || slot_is_wanted(me->kind, now) || is_one_too_many(me, now))
		found = FOUND_REASON_TO_LEAVE;
	else if (next_request(me->kind) != NULL)
		found = FOUND_WORK;
	if (!me->idle && found == FOUND_NOTHING)
	{
		me->idle = true;
		me->since = now;
	}
	unlock();
	return found;
}

/* What a quiet moment is used for may take long, too, and wait for locks: callers must see that. */
static void
be_busy(void)
{
	lock();
	me->idle = false;
	me->since = GetCurrentTimestamp();
	unlock();
}

bool
mg_pool_waiting(void)
{
	bool waiting;

	lock();
	waiting = next_request(me->kind) != NULL;
	unlock();
	return waiting;
}

bool
mg_pool_take(dsm_handle *handle, uint64 *ticket)
{
	Request *r = NULL;

	lock();
	if (me->n < MG_POOL_AT_ONCE)
		r = next_request(me->kind);
	if (r != NULL)
	{
		*handle = r->handle;
		*ticket = r->ticket;
		r->ticket = 0;
		me->ticket[me->n++] = *ticket;
		me->idle = false;
		me->since = GetCurrentTimestamp();
	}
	unlock();
	return r != NULL;
}

/* Out of sight, unless there is work after all. */
static bool
take_leave(bool even_if)
{
	bool gone;

	lock();
	gone = even_if || next_request(me->kind) == NULL;
	if (gone)
		leave(me);
	unlock();
	if (gone)
		me = NULL;
	return gone;
}

/* Interrupts, at a moment when there is nothing to cancel, and a termination is no failure that the log must tell of.
 */
static void
serve_interrupts(void)
{
	if (ProcDiePending)
		proc_exit(0);
	HOLD_CANCEL_INTERRUPTS();
	CHECK_FOR_INTERRUPTS();
	RESUME_CANCEL_INTERRUPTS();
	QueryCancelPending = false;
	if (catchupInterruptPending)
		ProcessCatchupInterrupt();
}

/*
 * Is somebody in need of what we have? Looked at every POLL_MS. The last process of all is not given up while there is
 * work for it: those who wait would start others.
 */
static bool
is_in_the_way(TimestampTz now)
{
	if (within(looked, now, POLL_MS))
		return false;
	looked = now;
	return database_is_wanted() || (me->idle && !within(me->since, now, POLL_MS) && mg_no_background_process_left());
}

MgPoolNext
mg_pool_next(long quiet_ms, dsm_handle *handle, uint64 *ticket)
{
	TimestampTz began = GetCurrentTimestamp();
	long nap = Min(quiet_ms >= 0 ? Min(quiet_ms, POLL_MS) : POLL_MS, mg_guc_worker_linger) + 1;

	(void) pgstat_report_stat(false);
	for (;;)
	{
		Found found = look_for_work();
		TimestampTz now = GetCurrentTimestamp(); /* not before what it has noted */

		if (found == FOUND_REASON_TO_LEAVE || ConfigReloadPending || is_in_the_way(now) ||
			(found == FOUND_WORK && (!within(joined, now, LIFE_MS) || !would_be_let_in())))
		{
			(void) take_leave(true);
			return MG_POOL_LEAVE;
		}
		if (found == FOUND_WORK)
		{
			if (mg_pool_take(handle, ticket))
				return MG_POOL_WORK;
			continue; /* another worker was faster */
		}
		if (quiet_ms >= 0 && !within(began, now, (int) quiet_ms))
		{
			be_busy();
			return MG_POOL_QUIET;
		}
		if (!within(me->since, now, mg_guc_worker_linger) && take_leave(false))
			return MG_POOL_LEAVE;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, nap, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		serve_interrupts();
	}
}

void
mg_pool_done(uint64 ticket)
{
	lock();
	for (int i = 0; i < me->n; i++)
		if (me->ticket[i] == ticket)
			me->ticket[i--] = me->ticket[--me->n];
	unlock();
}
