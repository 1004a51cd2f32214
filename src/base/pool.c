/*
 * base/pool.c: a pool of threads that run numbered tasks.
 *
 * The caller works too, as lane 0; worker w is lane w + 1. Tasks are claimed one at a time from an atomic counter, so
 * uneven ones balance. The caller polls the cancel hook before each task of its own and every 50 ms while it waits:
 * tasks should take well under 100 ms.
 *
 * Lock order: there is one lock. It guards `job` (the number of the current run), `busy` and `stop`; task, arg and
 * count are written under it before `job` moves and only read while `busy` > 0 or by the caller. Workers sleep between
 * runs. All signals are blocked in workers from before they start: a handler of the server must never run there.
 *
 * A forked child has none of the threads: it must not use a pool of its parent.
 */
#include "base/pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define POOL_MOST_WORKERS 63
#define POOL_POLL_NS 50000000L

typedef struct worker
{
	mg_pool *pool;
	pthread_t thread;
	int lane;
} worker;

struct mg_pool
{
	pthread_mutex_t lock;
	pthread_cond_t begin; /* job has moved, or stop is set */
	pthread_cond_t done;  /* busy has come down to 0 */
	uint64_t job;
	int busy; /* workers that have not yet left the current job */
	bool stop;

	mg_task task;
	void *arg;
	size_t count;
	atomic_size_t next;
	atomic_bool cancelled;

	int workers;
	worker each[POOL_MOST_WORKERS];
};

/* Claims the next task; false when none is left to begin. */
static bool
pool_claim(mg_pool *pool, size_t *index)
{
	if (atomic_load_explicit(&pool->cancelled, memory_order_relaxed))
		return false;
	*index = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
	return *index < pool->count;
}

static void *
worker_main(void *arg)
{
	worker *me = arg;
	mg_pool *pool = me->pool;
	uint64_t seen = 0;

	(void) pthread_mutex_lock(&pool->lock);
	for (;;)
	{
		size_t index;

		while (pool->job == seen && !pool->stop)
			(void) pthread_cond_wait(&pool->begin, &pool->lock);
		if (pool->stop)
			break;
		seen = pool->job;
		(void) pthread_mutex_unlock(&pool->lock);

		while (pool_claim(pool, &index))
			pool->task(pool->arg, index, me->lane);

		(void) pthread_mutex_lock(&pool->lock);
		if (--pool->busy == 0)
			(void) pthread_cond_signal(&pool->done);
	}
	(void) pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* Initialises lock and conditions; `done` is waited for against the monotonic clock. */
static bool
pool_sync_init(mg_pool *pool)
{
	pthread_condattr_t attr;
	bool ok;

	if (pthread_mutex_init(&pool->lock, NULL) != 0)
		return false;
	if (pthread_cond_init(&pool->begin, NULL) != 0)
	{
		(void) pthread_mutex_destroy(&pool->lock);
		return false;
	}
	if (pthread_condattr_init(&attr) == 0)
	{
		ok = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 && pthread_cond_init(&pool->done, &attr) == 0;
		(void) pthread_condattr_destroy(&attr);
		if (ok)
			return true;
	}
	(void) pthread_cond_destroy(&pool->begin);
	(void) pthread_mutex_destroy(&pool->lock);
	return false;
}

mg_pool *
mg_pool_create(int threads)
{
	mg_pool *pool;
	sigset_t all, before;
	bool ok = true;

	if (threads < 0 || threads > POOL_MOST_WORKERS)
		return NULL;
	pool = calloc(1, sizeof(*pool));
	if (pool == NULL)
		return NULL;
	atomic_init(&pool->next, 0);
	atomic_init(&pool->cancelled, false);
	if (!pool_sync_init(pool))
	{
		free(pool);
		return NULL;
	}

	/* A thread inherits the mask of its creator. */
	(void) sigfillset(&all);
	if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
	{
		mg_pool_destroy(pool);
		return NULL;
	}
	for (int i = 0; i < threads && ok; i++)
	{
		worker *w = &pool->each[i];

		w->pool = pool;
		w->lane = i + 1;
		ok = pthread_create(&w->thread, NULL, worker_main, w) == 0;
		if (ok)
			pool->workers++;
	}
	(void) pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!ok)
	{
		mg_pool_destroy(pool);
		return NULL;
	}
	return pool;
}

void
mg_pool_destroy(mg_pool *pool)
{
	if (pool == NULL)
		return;
	(void) pthread_mutex_lock(&pool->lock);
	pool->stop = true;
	(void) pthread_cond_broadcast(&pool->begin);
	(void) pthread_mutex_unlock(&pool->lock);
	for (int i = 0; i < pool->workers; i++)
		(void) pthread_join(pool->each[i].thread, NULL);
	(void) pthread_cond_destroy(&pool->done);
	(void) pthread_cond_destroy(&pool->begin);
	(void) pthread_mutex_destroy(&pool->lock);
	free(pool);
}

int
mg_pool_width(const mg_pool *pool)
{
	return pool == NULL ? 1 : pool->workers + 1;
}

static void
deadline_after(struct timespec *t, long ns)
{
	(void) clock_gettime(CLOCK_MONOTONIC, t);
	t->tv_nsec += ns;
	if (t->tv_nsec >= 1000000000L)
	{
		t->tv_nsec -= 1000000000L;
		t->tv_sec++;
	}
}

/* Waits until every worker has left the job; a cancellation is recorded and passed on, but waited out. */
static mg_code
pool_drain(mg_ctx *ctx, mg_pool *pool, mg_code code)
{
	(void) pthread_mutex_lock(&pool->lock);
	while (pool->busy > 0)
	{
		struct timespec until;

		deadline_after(&until, POOL_POLL_NS);
		if (pthread_cond_timedwait(&pool->done, &pool->lock, &until) == ETIMEDOUT && code == MG_OK)
		{
			/* The hook is foreign code: call it without the lock. */
			(void) pthread_mutex_unlock(&pool->lock);
			code = mg_poll(ctx);
			if (code != MG_OK)
				atomic_store_explicit(&pool->cancelled, true, memory_order_relaxed);
			(void) pthread_mutex_lock(&pool->lock);
		}
	}
	(void) pthread_mutex_unlock(&pool->lock);
	return code;
}

mg_code
mg_pool_run(mg_ctx *ctx, mg_pool *pool, mg_task task, void *arg, size_t count)
{
	mg_code code = MG_OK;
	size_t index;

	if (pool == NULL || pool->workers == 0 || count <= 1)
	{
		for (index = 0; index < count; index++)
		{
			MG_TRY(mg_poll(ctx));
			task(arg, index, 0);
		}
		return MG_OK;
	}
	/* The counter passes `count` by one claim a lane at most. */
	if (count > SIZE_MAX - (POOL_MOST_WORKERS + 1))
		return mg_fail(ctx, MG_INVALID, "too many tasks");
	MG_TRY(mg_poll(ctx));

	(void) pthread_mutex_lock(&pool->lock);
	pool->task = task;
	pool->arg = arg;
	pool->count = count;
	atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
	atomic_store_explicit(&pool->cancelled, false, memory_order_relaxed);
	pool->busy = pool->workers;
	pool->job++;
	(void) pthread_cond_broadcast(&pool->begin);
	(void) pthread_mutex_unlock(&pool->lock);

	while (pool_claim(pool, &index))
	{
		task(arg, index, 0);
		code = mg_poll(ctx);
		if (code != MG_OK)
		{
			atomic_store_explicit(&pool->cancelled, true, memory_order_relaxed);
			break;
		}
	}
	return pool_drain(ctx, pool, code);
}
