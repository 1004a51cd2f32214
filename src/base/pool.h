/*
 * base/pool.h: a small thread pool for pure work.
 *
 * Threads are created with every signal blocked, so that the server's handlers run in the server's own thread only.
 * Tasks must not touch an mg_ctx, palloc, ereport or anything of the server. One caller at a time.
 */
#ifndef MIRAGE_BASE_POOL_H
#define MIRAGE_BASE_POOL_H

#include "base/mirage.h"

/* threads: workers besides the caller, 0..63. NULL: could not be made (the caller may go on without). */
mg_pool *mg_pool_create(int threads);
void mg_pool_destroy(mg_pool *pool);    /* joins all threads; NULL allowed */
int mg_pool_width(const mg_pool *pool); /* workers + the caller; 1 for NULL */

/* lane: 0..width-1, distinct among tasks that run at once. The caller runs some: tasks should stay below 50 ms. */
typedef void (*mg_task)(void *arg, size_t index, int lane);

/* Runs task(arg, 0..count-1, lane), in any order, and returns when all have ended; polls ctx's cancel hook meanwhile:
 * MG_CANCELLED then, with tasks not yet begun left out. pool NULL: runs them here. */
mg_code mg_pool_run(mg_ctx *ctx, mg_pool *pool, mg_task task, void *arg, size_t count);

#endif
