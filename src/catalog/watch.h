/*
 * catalog/watch.h: watching: limits on refused calls and on rates, and alerts.
 *
 * Counters are about the calls of roles, never about rows. Who is counted is the user that logged in, which SET
 * ROLE and SECURITY DEFINER do not change. Counters live in shared memory (catalog/watch.c): they outlive transactions
 * and sessions, not the server; alerts are rows (catalog/alert.c), written by workers in transactions of their own.
 */
#ifndef MIRAGE_CATALOG_WATCH_H
#define MIRAGE_CATALOG_WATCH_H

#include "catalog/catalog.h"

/* What is counted; each is also a kind of alert. */
typedef enum MgWatchKind
{
	MG_WATCH_REFUSED,       /* calls refused for want of a right, a state, a quota, a budget */
	MG_WATCH_BUDGET,        /* of these, trainings that no budget had room for */
	MG_WATCH_AUDIT,         /* the log was found not to be whole */
	MG_WATCH_RECEIPT,       /* receipts found not to be genuine */
	MG_WATCH_REWIND,        /* the ledger was found behind its high-water mark */
	MG_WATCH_CONFIGURATION, /* no master key, or a setting that cannot do what it is for */
	MG_WATCH_DAMAGE,        /* what is stored was found damaged: the ledger, a key, a model */
	MG_WATCH_KINDS
} MgWatchKind;

/* -- catalog/watch.c: counters -- */

typedef enum MgWatched
{
	MG_WATCHED_RELEASE,  /* and everything else */
	MG_WATCHED_TRAINING, /* 54000 means that the budget has no room */
	MG_WATCHED_ACT       /* counted, but served to a role that is shut out: grants, approvals */
} MgWatched;

/*
 * Runs call(arg), unless the user that logged in is shut out for too many refused calls (53400). Where it ends in an
 * error that is a refusal, by its SQLSTATE, that is counted, and the error goes on as it is. An error that passes
 * several of these calls counts once.
 */
extern void mg_watch_call(MgWatched what, void (*call)(void *), void *arg);
/* Counts what is no error: a verification that found something. */
extern void mg_watch_event(MgWatchKind kind);
/*
 * Before a worker is asked to record a release: error (53400) where the user that logged in has had its releases of
 * this minute, or the recipient its rows of this hour. Superusers pass.
 */
extern void mg_watch_admit(const char *recipient, bool claimed, int64 rows);

/* What starts a worker that writes the alerts that are due; returns at once, and whether there was a slot. */
typedef bool (*MgWatchStarter)(void);
extern void mg_watch_set_starter(MgWatchStarter starter);
/* From _PG_init, where the library is preloaded: asks for the shared memory that is otherwise taken from the reserve.
 */
extern void mg_watch_reserve(void);

/* An alert that is due in this database. */
typedef struct MgWatchDue
{
	Oid role;
	MgWatchKind kind;
	uint32 count; /* of events in the window */
	int sqlstate; /* of the last refusal */
	TimestampTz since;
} MgWatchDue;
extern List *mg_watch_due(void);                       /* of MgWatchDue * */
extern void mg_watch_written(const MgWatchDue *entry); /* committed: due no more */

/* -- catalog/alert.c: alerts -- */

/* In a worker's transaction: writes what is due. */
extern void mg_alerts_write(const List *due);
/*
 * In the worker's transaction of a release, after its issuance was inserted: error (53400) where the recipient's rows
 * of this hour are then too many, exact between parallel sessions; counts the rows of the day, and raises an alert
 * where they are far above the recipient's own history.
 */
extern void mg_watch_release(const char *recipient, bool claimed, int64 rows, const char *model);
extern void mg_watch_refuse_rows(const char *recipient) __attribute__((noreturn));
/* In the caller's transaction: false where somebody acknowledged it before. Error where there is no such alert. */
extern bool mg_alert_acknowledge(int64 id, const char *note);

#endif
