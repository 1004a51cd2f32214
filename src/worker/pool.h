/*
 * worker/pool.h: workers that linger after a piece of short work, and the queue of what waits for them. Private to
 * worker/.
 *
 * A worker serves callers of one database and one user that logged in, the ones that it connected as; pool.c says why,
 * and what makes it leave.
 */
#ifndef MIRAGE_WORKER_POOL_H
#define MIRAGE_WORKER_POOL_H

#include "postgres.h"

#include "storage/dsm.h"

/* -- the caller's side -- */

/*
 * Queues the segment for a worker that lives and goes on; its ticket, or 0 where there is none that it could be for.
 * The caller then waits on its latch, and looks: until the ticket is taken, the work is not begun.
 */
extern uint64 mg_pool_post(dsm_handle handle);

typedef enum MgPoolLook
{
	MG_POOL_QUEUED,
	MG_POOL_TAKEN,  /* a worker has it */
	MG_POOL_BACK,   /* it was taken out of the queue: nobody serves it, start a worker */
	MG_POOL_NOWHERE /* neither queued nor with a worker: it is done with, or its worker has ended */
} MgPoolLook;

extern MgPoolLook mg_pool_look(uint64 ticket);
/* Takes it out of the queue, or interrupts the worker that has it and nothing else, and no other work of the same. */
extern void mg_pool_cancel(uint64 ticket);
/* Interrupts a worker that was started for the caller's own work, unless it is done with that and lingers. */
extern void mg_pool_interrupt(pid_t worker);
/* A worker was started for short work: it may stay, so others of our kind may wait for it instead of starting theirs.
 */
extern void mg_pool_started(void);
/*
 * No slot was free: asks the worker that has been idle for longest to leave; true: one will. short_work: a worker that
 * stays would do, if it is of our kind. Does nothing that can fail.
 */
extern bool mg_pool_give_way(bool short_work);

/* -- the worker's side -- */

#define MG_POOL_AT_ONCE 16 /* what one worker takes before the first of it is done with */

/*
 * Whether this process, which has just done a piece of short work, may stay for more; from then on callers find it. It
 * leaves by itself when it ends. superuser: whether it connected as one.
 */
extern bool mg_pool_join(bool superuser);

typedef enum MgPoolNext
{
	MG_POOL_WORK,  /* *handle, *ticket: taken */
	MG_POOL_QUIET, /* nothing came for quiet_ms */
	MG_POOL_LEAVE  /* and the process ends; nobody can find it any more */
} MgPoolNext;

/* Waits for the next piece of work; quiet_ms < 0: the caller has nothing to do in quiet moments. No transaction. */
extern MgPoolNext mg_pool_next(long quiet_ms, dsm_handle *handle, uint64 *ticket);
/* One more while the last is not done with; false: there is none, or enough was taken. Never waits. */
extern bool mg_pool_take(dsm_handle *handle, uint64 *ticket);
/* Is there more? */
extern bool mg_pool_waiting(void);
/* What was taken is done with. */
extern void mg_pool_done(uint64 ticket);

#endif
