/*
 * worker/shared.h: what caller and worker share: one DSM segment a job. Private to worker/.
 *
 * The caller makes and fills the segment, and keeps its mapping until the worker has attached; the worker keeps its own
 * until it has done the work. `mutex` guards everything below it. The rest is written before the worker starts and
 * never after.
 */
#ifndef MIRAGE_WORKER_SHARED_H
#define MIRAGE_WORKER_SHARED_H

#include "postgres.h"

#include "base/bytes.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/proc.h"
#include "storage/spin.h"
#include "utils/timestamp.h"
#include "worker/worker.h"

#define MG_SHARED_MAGIC UINT64CONST(0x6d6972616765776b)

typedef enum MgWork
{
	MG_WORK_TRAIN = 1,
	MG_WORK_RELEASE = 2,
	MG_WORK_ROTATE = 3,
	MG_WORK_NOTE = 4,
	MG_WORK_ROWS = 5, /* the hash of a release's rows */
	MG_WORK_HEAD = 6, /* chains the log, for a head of it */
	MG_WORK_RECIPIENT = 7
} MgWork;

typedef enum MgWorkState
{
	MG_WORK_STARTING, /* nobody attached yet */
	MG_WORK_ATTACHED,
	MG_WORK_RESERVED, /* the charge is committed */
	MG_WORK_DONE,
	MG_WORK_FAILED
} MgWorkState;

typedef struct MgShared
{
	uint64 magic;
	char version[16]; /* of the library that made it; these two have their places in every version */
	Size size;
	int64 job;
	dsm_handle handle;
	MgWork work;
	Oid database, authenticated_user, session_user, current_user;
	bool own_settings; /* the caller's settings travel: the table is read as the caller */
	Size guc_offset, guc_size;
	Size params_offset, params_size;

	slock_t mutex;
	MgWorkState state;
	bool cancel; /* the caller, or dp_cancel, wants the job to stop */
	pid_t worker_pid;
	PGPROC *waiter; /* whose latch is set on changes; NULL: nobody waits */
	char phase[64];
	double fraction;
	int64 result;
	int sqlerrcode;
	char message[512], detail[512], hint[512];
} MgShared;

/* params.c: texts of a call's parameters; NULL and NIL travel as such. What is read is palloc'd. */
extern void mg_params_put_text(mg_writer *w, const char *s);
extern void mg_params_put_texts(mg_writer *w, List *texts); /* char * */
extern char *mg_params_text(mg_reader *r);
extern List *mg_params_texts(mg_reader *r);

/* launch.c */
typedef struct MgLaunch
{
	dsm_segment *segment;
	MgShared *shared;
	BackgroundWorkerHandle *handle; /* of a worker that was started for it; NULL: none was */
	uint64 ticket;                  /* of the queue of those that linger; 0: it is not theirs */
	TimestampTz deadline;           /* for finding a worker */
} MgLaunch;

/*
 * Makes the segment and gives it to a worker: short work to one that lingers (worker/pool.h), where there is one; else
 * one is started. Retries for pg_mirage.worker_timeout when there is no slot. Frees params,
 * also on errors. own_settings false: the worker runs with the settings of a fresh session and search_path =
 * pg_catalog, pg_temp.
 */
extern void mg_launch(MgLaunch *launch, MgWork work, int64 job, mg_writer *params, bool own_settings);
/* Waits for `until` (RESERVED or DONE), shows progress as NOTICEs when asked, cancels the worker when this backend is
 * interrupted or is what the worker waits for. Raises the worker's error. */
extern void mg_launch_wait(MgLaunch *launch, MgWorkState until, bool notices);
extern void mg_launch_detach(MgLaunch *launch);

/* Work that takes milliseconds, and whose worker may linger. */
extern bool mg_work_is_short(MgWork work);

/* serve.c */

/* The first piece of work of a new worker, and others while it may linger. */
extern void mg_serve_first(dsm_handle handle);

/* main.c */
/* Does one piece of work, whose settings are in force; its outcome, an error too, is left in the segment. */
extern void mg_work_do(MgShared *shared);
extern void mg_work_wake(MgShared *shared); /* who waits for it */
extern void mg_work_state(MgShared *shared, MgWorkState state);
extern void mg_work_progress(void *shared, const char *phase, double fraction);
extern bool mg_work_cancelled(MgShared *shared);
/*
 * Settings of a worker: the caller's (serialised; NULL: those of a fresh session, search_path pinned), and what must
 * be. session_user: the caller's, where its settings travel.
 */
extern void mg_work_settings(void *callers, Oid session_user);
/* A transaction of the worker's, as the caller's current user; read_only: one repeatable-read snapshot. */
extern void mg_work_begin(MgShared *shared, bool read_only);
extern void mg_work_commit(void);

/* train.c, release.c, rotate.c */
extern void mg_work_train(MgShared *shared, mg_reader *params);
extern void mg_work_train_failed(MgShared *shared, ErrorData *error);
extern void mg_work_release(MgShared *shared, mg_reader *params);
/*
 * The same within a transaction of several, in a subtransaction: false where it was refused, would have had to wait for
 * a lock, or failed otherwise, and has left nothing. The caller's current user stays; *issuance: what is to be told
 * when the transaction has committed, by mg_work_released.
 */
extern bool mg_work_release_with_others(MgShared *shared, int64 *issuance);
extern void mg_work_released(MgShared *shared, int64 issuance);
extern void mg_work_rotate(MgShared *shared);
/* Chains the log in a transaction of its own, after work that must not fail for want of the log's key: where it fails,
 * the server's log says so, and the next worker chains. over: the work is done, and a cancel comes too late; else it
 * ends the job. */
extern void mg_work_chain(MgShared *shared, bool over);
/* The same at the next quiet moment of this worker, a quarter of a second from now at the latest: for short work, which
 * may come in quick succession. Nobody waits for it. */
extern void mg_work_chain_soon(void);
extern void mg_work_note(MgShared *shared, mg_reader *params);      /* note.c */
extern void mg_work_recipient(MgShared *shared, mg_reader *params); /* recipient.c */

/* receipt.c */
extern void mg_work_rows(MgShared *shared, mg_reader *params);
extern void mg_work_head(MgShared *shared, mg_reader *params);

/* Takes the lock that a living job holds until its process ends; false: another holds it. */
extern bool mg_job_lock(int64 job);

#endif
