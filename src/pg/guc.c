/*
 * pg/guc.c: the settings of pg_mirage.
 *
 * What decides where the master key comes from is PGC_SIGHUP: a placeholder that a user sets before the library is
 * loaded is rejected when it is defined.
 */
#include "postgres.h"

#include <limits.h>

#include "pg/guc.h"
#include "utils/guc.h"

char *mg_guc_master_key_file;
char *mg_guc_master_key_command;
char *mg_guc_high_water_file;
int mg_guc_work_mem;
int mg_guc_worker_timeout;
int mg_guc_threads;
double mg_guc_max_epsilon;
bool mg_guc_require_approval;
char *mg_guc_recipient;
bool mg_guc_allow_unsafe_fsync;

static void
define_key_gucs(void)
{
	DefineCustomStringVariable(
		"pg_mirage.master_key_file", "File that holds the master key.",
		"64 hexadecimal digits in a file of mode 0600 owned by the server's user. A relative path starts "
		"at the data directory. The first training makes the file where there is none.",
		&mg_guc_master_key_file, "pg_mirage.key", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomStringVariable("pg_mirage.master_key_command", "Shell command that prints the master key.",
							   "Its output is 64 hexadecimal digits. Where it is set, no key file is read or made.",
							   &mg_guc_master_key_command, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
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

void
mg_define_gucs(void)
{
	define_key_gucs();
	define_release_gucs();
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
