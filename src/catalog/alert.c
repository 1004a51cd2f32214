/*
 * catalog/alert.c: alerts, and what a recipient's rows are compared with.
 *
 * An alert is a row of mirage.alert, an entry of the log, a WARNING in the server's log (a worker has no client) and a
 * notification on channel pg_mirage with kind and number only: anybody may listen. All but the WARNING are of one
 * transaction, a worker's. Who caused it is not shown it: the log's entry is the extension owner's.
 *
 * One alert of a kind and role in a window. That is decided here, under a lock on kind and role: the counters in shared
 * memory are forgotten by a restart, and a worker that died after its commit leaves what it wrote due.
 */
#include "postgres.h"

#include "catalog/seals.h"
#include "catalog/watch.h"
#include "commands/async.h"
#include "miscadmin.h"
#include "pg/guc.h"
#include "pg/json.h"

#define CHANNEL "pg_mirage"
#define HISTORY_DAYS 30
#define DAY_SECONDS 86400.0
#define UNUSUAL_ROWS "unusual rows"

typedef struct Alert
{
	const char *kind, *role;
	bool claimed;
	const char *object; /* NULL: none */
	const char *detail; /* json */
	double window;      /* seconds in which there is one of it */
} Alert;

/* ---------------------------------------------------------------- raising */

static bool
raised_lately(MgQuery *q, const Alert *a)
{
	MgArg args[] = {MG_TEXT(a->role), MG_TEXT(a->kind), MG_BOOL(a->claimed), MG_FLOAT8(a->window)};

	return mg_query_run(q, true,
						"SELECT FROM mirage.alert WHERE role_name = $1 AND kind = $2 AND claimed = $3 "
						"AND at > clock_timestamp() - make_interval(secs => $4) LIMIT 1",
						lengthof(args), args) > 0;
}

static int64
insert_alert(MgQuery *q, const Alert *a)
{
	MgArg args[] = {MG_TEXT(a->kind), MG_TEXT(a->role), MG_BOOL(a->claimed), MG_TEXT(a->object), MG_TEXT(a->detail)};

	mg_query_run(q, false,
				 "INSERT INTO mirage.alert (kind, role_name, claimed, object, detail) VALUES ($1, $2, $3, $4, "
				 "$5::jsonb) RETURNING id",
				 lengthof(args), args);
	mg_row_written("alert", mg_get_int8(0, 1));
	return mg_get_int8(0, 1);
}

/* The log's entry, as the extension's owner: what a role is suspected of is not for it to read. */
static void
log_alert(const Alert *a, int64 id)
{
	StringInfoData buf;
	MgIdentity identity;

	mg_json_begin(&buf);
	mg_json_int(&buf, "alert", id);
	mg_json_text(&buf, "role", a->role);
	if (a->claimed)
		mg_json_bool(&buf, "claimed", true);
	mg_json_text(&buf, "object", a->object);
	mg_json_raw(&buf, "detail", a->detail);
	mg_identity_enter_owner(&identity);
	mg_log("alert", a->kind, mg_json_end(&buf));
	mg_identity_leave(&identity);
}

static void
raise_alert(const Alert *a)
{
	MgQuery q;
	int64 id;
	bool lately;

	mg_lock_name("alert", psprintf("%s|%s", a->kind, a->role));
	mg_query_begin(&q);
	lately = raised_lately(&q, a);
	id = lately ? 0 : insert_alert(&q, a);
	mg_query_end(&q);
	if (lately)
		return;
	log_alert(a, id);
	Async_Notify(CHANNEL, psprintf("{\"kind\": \"%s\", \"id\": " INT64_FORMAT "}", a->kind, id));
	ereport(WARNING, (errmsg("pg_mirage alert " INT64_FORMAT ": %s", id, a->kind),
					  errdetail("%s \"%s\": %s", a->claimed ? "Claimed recipient" : "Role", a->role, a->detail),
					  errhint("SELECT * FROM dp_alerts WHERE id = " INT64_FORMAT ";", id)));
}

/* ---------------------------------------------------------------- from the counters */

static const char *const kind_name[MG_WATCH_KINDS] = {[MG_WATCH_REFUSED] = "refused calls",
													  [MG_WATCH_BUDGET] = "budget refusals",
													  [MG_WATCH_AUDIT] = "audit verification failed",
													  [MG_WATCH_RECEIPT] = "receipt verification failed",
													  [MG_WATCH_REWIND] = "rewind",
													  [MG_WATCH_CONFIGURATION] = "configuration failure",
													  [MG_WATCH_DAMAGE] = "damage"};
static const char *const kind_object[MG_WATCH_KINDS] =
	{[MG_WATCH_AUDIT] = "audit log", [MG_WATCH_RECEIPT] = "receipt", [MG_WATCH_REWIND] = "high-water mark"};

void
mg_alerts_write(const List *due)
{
	ListCell *cell;

	foreach (cell, due)
	{
		const MgWatchDue *d = lfirst(cell);
		char *role = GetUserNameFromId(d->role, true);
		StringInfoData detail;
		Alert alert = {.kind = kind_name[d->kind],
					   .role = role != NULL ? role : psprintf("(dropped role %u)", d->role),
					   .object = kind_object[d->kind],
					   .window = mg_guc_failure_window};

		mg_json_begin(&detail);
		mg_json_int(&detail, "count", d->count);
		mg_json_int(&detail, "seconds", mg_guc_failure_window);
		mg_json_text(&detail, "last", d->sqlstate != 0 ? unpack_sql_state(d->sqlstate) : NULL);
		alert.detail = mg_json_end(&detail);
		raise_alert(&alert);
	}
}

/* ---------------------------------------------------------------- rows */

void
mg_watch_refuse_rows(const char *recipient)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("\"%s\" would have more rows than %d in an hour", recipient, mg_guc_max_rows_per_hour),
			 errhint("Ask for fewer, or wait until earlier rows are an hour old (pg_mirage.max_rows_per_hour).")));
}

/* Adds to the recipient's day, which is UTC's; what it comes to. */
static double
add_to_day(const char *recipient, bool claimed, int64 rows)
{
	MgArg args[] = {MG_TEXT(recipient), MG_BOOL(claimed), MG_FLOAT8((double) rows)};
	double sum;
	MgQuery q;

	mg_query_begin(&q);
	mg_query_run(&q, false,
				 "INSERT INTO mirage.use_day AS u (recipient, claimed, day, releases, rows) "
				 "VALUES ($1, $2, (clock_timestamp() AT TIME ZONE 'UTC')::date, 1, $3) "
				 "ON CONFLICT (recipient, claimed, day) DO UPDATE SET releases = u.releases + 1, "
				 "rows = u.rows + excluded.rows RETURNING rows",
				 lengthof(args), args);
	sum = mg_get_float8(0, 1);
	mg_query_end(&q);
	return sum;
}

static double
largest_day_before(const char *recipient, bool claimed)
{
	MgArg args[] = {MG_TEXT(recipient), MG_BOOL(claimed), MG_INT4(HISTORY_DAYS)};
	double largest;
	MgQuery q;

	mg_query_begin(&q);
	mg_query_run(&q, true,
				 "SELECT coalesce(max(rows), 0) FROM mirage.use_day, "
				 "LATERAL (SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date) t(today) "
				 "WHERE recipient = $1 AND claimed = $2 AND day >= today - $3 AND day < today",
				 lengthof(args), args);
	largest = mg_get_float8(0, 1);
	mg_query_end(&q);
	return largest;
}

void
mg_watch_release(const char *recipient, bool claimed, int64 rows, const char *model)
{
	double today, before;

	if (mg_guc_max_rows_per_hour > 0 && !superuser_arg(GetAuthenticatedUserId()))
	{
		/* what is ours to decide is counted by now, under the recipient's lock: mg_issuance_insert */
		if (mg_recipient_hour_full(recipient, claimed, 0, mg_guc_max_rows_per_hour))
			mg_watch_refuse_rows(recipient);
	}
	today = add_to_day(recipient, claimed, rows);
	if (!mg_guc_alerts || mg_guc_alert_rows == 0 || today < mg_guc_alert_rows)
		return;
	before = largest_day_before(recipient, claimed);
	if (today > mg_guc_alert_rows_factor * before)
	{
		Alert alert = {.kind = UNUSUAL_ROWS,
					   .role = recipient,
					   .claimed = claimed,
					   .object = model,
					   .detail = psprintf("{\"today\": %.0f, \"largest_day\": %.0f, \"days\": %d}", today, before,
										  HISTORY_DAYS),
					   .window = DAY_SECONDS};

		raise_alert(&alert);
	}
}

/* ---------------------------------------------------------------- acknowledging */

bool
mg_alert_acknowledge(int64 id, const char *note)
{
	char *role = GetUserNameFromId(GetUserId(), false);
	MgArg args[] = {MG_INT8(id), MG_TEXT(role), MG_TEXT(note)};
	bool exists, first;
	char *kind = NULL;
	StringInfoData detail;
	MgQuery q;

	mg_query_begin(&q);
	exists = mg_query_run(&q, true, "SELECT kind FROM mirage.alert WHERE id = $1", 1, args) > 0;
	if (exists)
		kind = mg_get_text(&q, 0, 1);
	first = exists && mg_query_run(&q, false,
								   "INSERT INTO mirage.alert_acknowledged (alert, role_name, note) "
								   "VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
								   lengthof(args), args) > 0;
	mg_query_end(&q);
	if (!exists)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("alert " INT64_FORMAT " does not exist", id),
						errhint("SELECT * FROM dp_alerts WHERE acknowledged_at IS NULL shows those that are open.")));
	if (!first)
		return false;
	mg_row_written("alert_acknowledged", id);
	mg_json_begin(&detail);
	mg_json_int(&detail, "alert", id);
	mg_json_text(&detail, "note", note);
	mg_log("acknowledge alert", kind, mg_json_end(&detail));
	return true;
}
