/*
 * pg/guc.c: the settings of pg_mirage.
 *
 * What decides where the master key comes from is PGC_SIGHUP: a placeholder that a user sets before the library is
 * loaded is rejected when it is defined.
 */
#include "postgres.h"

#include <limits.h>

#include "pg/compat.h"
#include "pg/guc.h"
#include "utils/guc.h"

char *mg_guc_master_key_file;
char *mg_guc_master_key_command;
int mg_guc_master_key_timeout;
char *mg_guc_high_water_file;
int mg_guc_work_mem;
int mg_guc_worker_timeout;
int mg_guc_worker_linger;
int mg_guc_threads;
double mg_guc_max_epsilon;
bool mg_guc_require_approval;
char *mg_guc_recipient;
bool mg_guc_allow_unsafe_fsync;
int mg_guc_max_failures;
int mg_guc_failure_window;
int mg_guc_max_releases_per_minute;
int mg_guc_max_rows_per_hour;
bool mg_guc_alerts;
int mg_guc_alert_rows;
double mg_guc_alert_rows_factor;

static void
define_key_gucs(void)
{
	DefineCustomStringVariable(
		"pg_mirage.master_key_file", "File that holds the master key.",
		"64 hexadecimal digits in a file of mode 0600 owned by the server's user. A relative path starts "
		"at the data directory. The first training makes the file where there is none.",
		&mg_guc_master_key_file, "pg_mirage.key", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomStringVariable("pg_mirage.master_key_command", "Shell command that prints the master key.",
							   "Its output is 64 hexadecimal digits. Where it is set, no key file is read or made. The "
							   "environment variable PG_MIRAGE_KEY_FINGERPRINT says which key is wanted; empty: the "
							   "one that is to be used from now on.",
							   &mg_guc_master_key_command, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_mirage.master_key_timeout", "How long the master key command may take.",
							"After it the command is killed with its children, and what needs the key is refused.",
							&mg_guc_master_key_timeout, 10000, 1, INT_MAX / 2, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL,
							NULL);
}

/* Limits on the calls of roles, and when alerts are raised. */
static void
define_watch_gucs(void)
{
	DefineCustomIntVariable("pg_mirage.max_failures", "Refused calls of one role that shut it out for a while.",
							"So many within pg_mirage.failure_window; superusers are not shut out. 0: no limit.",
							&mg_guc_max_failures, 100, 0, 1000000, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_mirage.failure_window", "Time in which refused calls are counted.",
							"And for which a role with too many is shut out.", &mg_guc_failure_window, 600, 1,
							7 * 86400, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_mirage.max_releases_per_minute", "Most releases of rows to one role in a minute.",
							"Superusers are not limited. 0: no limit.", &mg_guc_max_releases_per_minute, 600, 0,
							INT_MAX, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_mirage.max_rows_per_hour", "Most rows to one recipient in an hour.",
							"Of all models together; superusers are not limited. 0: no limit.",
							&mg_guc_max_rows_per_hour, 0, 0, INT_MAX, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("pg_mirage.alerts", "Raises alerts about unusual use and failed verifications.",
							 "They are rows of dp_alerts, warnings in the server's log, and notifications.",
							 &mg_guc_alerts, true, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_mirage.alert_rows", "Rows to one recipient in a day that may raise an alert.",
							"They do where they are pg_mirage.alert_rows_factor times its history, too. 0: they never "
							"do.",
							&mg_guc_alert_rows, 100000, 0, INT_MAX, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomRealVariable("pg_mirage.alert_rows_factor", "How far above its history a recipient's rows are unusual.",
							 "In multiples of its largest day of the last 30.", &mg_guc_alert_rows_factor, 10, 1, 1e6,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
}

static void
define_release_gucs(void)
{
	DefineCustomBoolVariable("pg_mirage.require_approval",
							 "New models release nothing until an administrator has approved them.",
							 "A member of mirage_admin other than who trained the model calls dp_approve().",
							 &mg_guc_require_approval, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("pg_mirage.recipient", "Whom rows are for, where the login serves several people.",
							   "Only logins that dp_allow_claims() names may set it; others are refused rows.",
							   &mg_guc_recipient, "", PGC_USERSET, 0, NULL, NULL, NULL);
}

/* ---------------------------------------------------------------- values from elsewhere */

/* Settings that anybody may make, or that fall back to what is stricter when they are not taken. */
static bool
is_free(const char *name)
{
	static const char *const names[] = {"recipient", "work_mem", "worker_timeout",
										"threads",   "alerts",   "allow_unsafe_fsync"};

	for (int i = 0; i < (int) lengthof(names); i++)
		if (pg_strcasecmp(name, names[i]) == 0)
			return true;
	return false;
}

/*
 * Before the library is loaded a session can start with any value for our settings: from its connection's options, or
 * from ALTER ROLE and ALTER DATABASE. It takes the place of what the configuration file says, and when it is rejected
 * here the server knows nothing but the built-in default any more, which may be no limit at all. So such a session gets
 * no library. (A SET in a session leaves what is under it, which stands when the SET is rejected.)
 */
static void
refuse_session_values(void)
{
	int n;
	struct config_generic **all = mg_all_gucs(&n);
	const size_t prefix = strlen("pg_mirage.");

	for (int i = 0; i < n; i++)
		if ((all[i]->flags & GUC_CUSTOM_PLACEHOLDER) != 0 && pg_strncasecmp(all[i]->name, "pg_mirage.", prefix) == 0 &&
			all[i]->reset_source > PGC_S_ARGV && !is_free(all[i]->name + prefix))
			ereport(ERROR,
					(errcode(ERRCODE_CANT_CHANGE_RUNTIME_PARAM),
					 errmsg("parameter \"%s\" cannot be set for a session, a role or a database", all[i]->name),
					 errhint(
						 "Take it out of the connection's options, or ALTER ROLE or ALTER DATABASE .. RESET it, and "
						 "connect again.")));
}

void
mg_define_gucs(void)
{
	refuse_session_values();
	define_key_gucs();
	define_release_gucs();
	define_watch_gucs();
	DefineCustomStringVariable(
		"pg_mirage.high_water_file", "File outside of the cluster that shows how much the ledger held.",
		"An absolute path, to which each ledger adds a suffix of its own. A training is refused where the file shows "
		"charges that the ledger lacks. Empty: no such file is kept.",
		&mg_guc_high_water_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_mirage.work_mem", "Memory that one training may use.",
							"Beyond it the coded table goes to temporary files.", &mg_guc_work_mem, 256 * 1024,
							32 * 1024, MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_mirage.worker_timeout", "How long a call waits for a free background worker.",
							"After it the call is refused; nothing was read or charged.", &mg_guc_worker_timeout, 10000,
							0, INT_MAX, PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_mirage.worker_linger", "How long the worker of a release stays for the next one.",
							"It serves the same login in the same database only, and gives way to whoever needs its "
							"slot or the database. 0: each release starts a worker.",
							&mg_guc_worker_linger, 1000, 0, 60000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_mirage.threads", "Threads that one training may compute with.",
							"The worker's own among them; they only run pure numerics.", &mg_guc_threads, 2, 1, 64,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomRealVariable("pg_mirage.max_epsilon", "Largest epsilon that a budget of this site may have.",
							 "Budgets above it count as capped by it. 0: no limit.", &mg_guc_max_epsilon, 0, 0, 1e6,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("pg_mirage.allow_unsafe_fsync", "Allows training on a server that runs with fsync = off.",
							 "For tests only: a crash of the machine could then lose charges.",
							 &mg_guc_allow_unsafe_fsync, false, PGC_SUSET, 0, NULL, NULL, NULL);
#if PG_VERSION_NUM >= 150000
	MarkGUCPrefixReserved("pg_mirage");
#else
	EmitWarningsOnPlaceholders("pg_mirage");
#endif
}
