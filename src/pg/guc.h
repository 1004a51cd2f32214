/*
 * pg/guc.h: the settings of pg_mirage. None of them is a secret: before the library is loaded, anybody can SHOW what
 * postgresql.conf says about a placeholder.
 */
#ifndef MIRAGE_PG_GUC_H
#define MIRAGE_PG_GUC_H

#include "postgres.h"

extern char *mg_guc_master_key_file;    /* relative to the data directory where it is relative */
extern char *mg_guc_master_key_command; /* prints the key; empty: the file is read */
extern int mg_guc_master_key_timeout;   /* ms: how long the command may take */
extern char *mg_guc_high_water_file;    /* where the high-water mark of the ledger is kept; empty: nowhere */
extern int mg_guc_work_mem;             /* kB: what one training may use */
extern int mg_guc_worker_timeout;       /* ms: how long a call retries for a worker slot */
extern int mg_guc_threads;              /* threads that one training may compute with, its own among them */
extern int mg_guc_worker_linger;        /* ms: how long a worker stays for further short work; 0: it does not */
extern double mg_guc_max_epsilon;       /* what no budget of this site may exceed; 0: no limit */
extern bool mg_guc_require_approval;    /* new models wait for an administrator */
extern char *mg_guc_recipient;          /* whom rows are for, as a pooler's login may claim; empty: who logged in */
extern bool mg_guc_allow_unsafe_fsync;  /* for tests: charges may be written to a server with fsync = off */

/* Limits and alerts, see docs/reference.md, "Watching"; 0: no limit */
extern int mg_guc_max_failures, mg_guc_failure_window; /* refused calls within a window, of seconds */
extern int mg_guc_max_releases_per_minute, mg_guc_max_rows_per_hour;
extern bool mg_guc_alerts;
extern int mg_guc_alert_rows; /* of a day */
extern double mg_guc_alert_rows_factor;

/* Called once, from _PG_init. */
extern void mg_define_gucs(void);

#endif
