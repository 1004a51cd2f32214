/*
 * worker/worker.h: background workers: training, and the autonomous transaction of a release.
 *
 * A call packs its parameters into a DSM segment, starts one dynamic worker with the caller's identity and settings,
 * and waits: for the reservation, or for the end. Errors of the worker are raised again in the caller, with errcode,
 * detail and hint.
 */
#ifndef MIRAGE_WORKER_WORKER_H
#define MIRAGE_WORKER_WORKER_H

#include "postgres.h"

#include "catalog/catalog.h"
#include "nodes/pg_list.h"
#include "pg/columns.h"
#include "pg/unit.h"

typedef struct MgTrainCall
{
	int64 job;                            /* from mg_job_next_id */
	const char *model, *method, *options; /* options: json text */
	Oid relid;                            /* what is read */
	Oid base;                             /* whose protection and budget stand for it */
	int64 budget;
	Oid reader;    /* the role that the table is read as */
	int64 share;   /* the share that pays too; 0: none */
	List *columns; /* char *; NIL: all */
	double epsilon, delta;
} MgTrainCall;

/* Starts the job; returns when it has ended (wait) or when its reservation is committed. Raises the worker's error. */
extern void mg_train_start(const MgTrainCall *call, bool wait);
/* Error unless the role that reads may SELECT every column that is learnt. */
extern void mg_train_require_select(Oid relid, Oid reader, const MgColumns *columns, const MgUnit *unit);
/* Waits for a running job of this database to end; timeout_ms < 0: for ever. Returns its state. */
extern char *mg_job_wait(int64 job, int64 timeout_ms);
/* Asks a job to stop; false: it does not run any more. */
extern bool mg_job_cancel(int64 job);
/* Does the job's worker live? Its phase and fraction, where it can be asked. */
extern bool mg_job_alive(int64 job, uint32 dsm_handle, char *phase, size_t phase_size, double *fraction);

/*
 * Records an issuance and its log entry in a transaction of its own, durably; returns the issuance's number. Rights,
 * the model's state and the limits of grants are checked again there, under locks; a refusal is raised here.
 */
extern int64 mg_release_record(const MgIssuance *call);

/* Records a recipient who is not known yet, or not by this name, in a transaction of its own, durably. */
extern void mg_recipient_register(const MgRecipient *recipient);

/*
 * Wraps every key of this database under the next master key, in transactions of the worker's own: a ROLLBACK of the
 * caller's changes nothing. Interrupted, it leaves a state that works; called again, it goes on. Shows progress.
 */
extern void mg_rotate(void);
/* An entry of the log in a transaction of its own, durably: of what must be on record whatever becomes of the caller.
 */
extern void mg_note_record(const char *action, const char *object, const char *detail);
/* Records the hash of an issuance's rows, and a receipt with it, likewise; model: its name, for the log. */
extern void mg_release_record_rows(int64 issuance, const char *model, const char *hash, int64 rows);
/* Chains all that is committed in the log, an entry about this among it; returns when that is committed. */
extern void mg_log_chain_now(void);
/* From _PG_init, where the library is preloaded: asks for the shared memory of workers that linger. */
extern void mg_workers_reserve(void);
/* Asks for a worker that writes the alerts that are due; returns at once, false where there is no slot. */
extern bool mg_watch_start(void);

#endif
