/*
 * worker/jobs.c: asking about jobs that run: liveness by the lock that a living job holds, progress through its
 * segment.
 *
 * The lock is a session-level one of the *user* lock method: like an advisory lock it outlives an aborted transaction
 * and goes with the process, however that ends, both of which the server does for no lock of its own method; but its
 * tag is one that no SQL function makes, so that nobody can forge it. A reader asks for it without waiting.
 */
#include "worker/shared.h"

#include <signal.h>

#include "catalog/catalog.h"
#include "miscadmin.h"
#include "pg/compat.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/procarray.h"
#include "utils/memutils.h"

#define JOB_LOCK_CLASS 0x6d67 /* tells our locks from those of others who may use this kind of tag */

static void
job_tag(LOCKTAG *tag, int64 job)
{
	memset(tag, 0, sizeof(*tag));
	tag->locktag_field1 = MyDatabaseId;
	tag->locktag_field2 = (uint32) ((uint64) job >> 32);
	tag->locktag_field3 = (uint32) job;
	tag->locktag_field4 = JOB_LOCK_CLASS;
	tag->locktag_type = LOCKTAG_USERLOCK;
	tag->locktag_lockmethodid = USER_LOCKMETHOD;
}

bool
mg_job_lock(int64 job)
{
	LOCKTAG tag;

	job_tag(&tag, job);
	return LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
}

static bool
job_lock_held(int64 job)
{
	LOCKTAG tag;

	job_tag(&tag, job);
	if (LockAcquire(&tag, ShareLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	LockRelease(&tag, ShareLock, true);
	return false;
}

/* Copies the segment's head, when it is still that job's. Handles are reused: magic, size and job number are checked.
 */
static bool
peek(int64 job, uint32 handle, MgShared *out, bool cancel)
{
	dsm_segment *segment = dsm_find_mapping(handle);
	bool attached = false, ok = false;
	MgShared *s;

	if (handle == 0)
		return false;
	if (segment == NULL)
	{
		segment = dsm_attach(handle);
		attached = true;
	}
	if (segment == NULL)
		return false;
	s = dsm_segment_address(segment);
	if (dsm_segment_map_length(segment) >= sizeof(MgShared) && s->magic == MG_SHARED_MAGIC && s->job == job)
	{
		SpinLockAcquire(&s->mutex);
		if (cancel)
			s->cancel = true;
		*out = *s;
		SpinLockRelease(&s->mutex);
		ok = true;
	}
	if (attached)
		dsm_detach(segment);
	return ok;
}

bool
mg_job_alive(int64 job, uint32 dsm_handle, char *phase, size_t phase_size, double *fraction)
{
	MgShared now;

	if (!job_lock_held(job))
		return false;
	strlcpy(phase, "", phase_size);
	*fraction = 0;
	if (peek(job, dsm_handle, &now, false))
	{
		strlcpy(phase, now.phase, phase_size);
		*fraction = now.fraction;
	}
	return true;
}

bool
mg_job_cancel(int64 job)
{
	MgJob *j = mg_job_find(job);
	MgShared now;

	if (j == NULL || strcmp(j->state, "running") != 0 || !job_lock_held(job) || !peek(job, j->dsm_handle, &now, true))
		return false;
	/* the process is the job's as long as it holds the segment and the lock, which was just seen */
	if (now.worker_pid != 0 && BackendPidGetProc(now.worker_pid) != NULL)
		kill(now.worker_pid, SIGINT);
	return true;
}

/* The job's state now; a worker that is gone without settling it left an orphan. */
static const char *
job_state(int64 job)
{
	MgJob *j = mg_job_find(job);

	if (j != NULL && (strcmp(j->state, "running") != 0 || job_lock_held(job)))
		return j->state;
	/* it may have settled between the two looks; a row that is lost says as little as a worker that is */
	j = mg_job_find(job);
	return j == NULL || strcmp(j->state, "running") == 0 ? "orphaned" : j->state;
}

char *
mg_job_wait(int64 job, int64 timeout_ms)
{
	TimestampTz deadline = timeout_ms < 0 ? DT_NOEND : TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);
	MemoryContext look = AllocSetContextCreate(CurrentMemoryContext, "pg_mirage wait", ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(look);
	const char *state;

	for (;;)
	{
		MemoryContextReset(look);
		state = job_state(job);
		if (strcmp(state, "running") != 0 || GetCurrentTimestamp() >= deadline)
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 50L, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextSwitchTo(caller);
	return pstrdup(state);
}
