/*
 * catalog/quota.c: what was given out under a grant and to a recipient, against limits of rows.
 *
 * Nothing is summed up. Each row of mirage.issuance carries running totals of requested_rows, its own included, in each
 * order that a limit is about: the model's releases that were paid by a grantee of one name, of one OID in one cluster,
 * of both; and those to one recipient. What was given out since a moment is the last total less the last one up to that
 * moment: two index look-ups, however long the history. A grant is drawn on by whatever was paid in its grantee's
 * recorded name or by its OID (a renamed role, a grant that was renewed after a restore), which is what either order
 * has, less what both have.
 *
 * The totals are exact because whoever adds to one holds its lock until its transaction has ended: a lock of ours on
 * the name and on the OID, and one on the recipient. Ids are drawn under these locks, so they rise with the totals; and
 * so does issued_at, which is the clock's, but never before that of the row before (catalog/issuance.c). A clock that
 * is set back so makes windows longer, never shorter. Totals are numeric: no sum of rows overflows them.
 *
 * A row that is forced out or altered is found by verification, which adds up (catalog/seals.c).
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "utils/fmgrprotos.h"

#define SECOND USECS_PER_SEC

/* ---------------------------------------------------------------- locks */

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

void
mg_quota_lock_grant(const MgGrant *g)
{
	char *key[3] = {psprintf(INT64_FORMAT "|name|%s", g->model, g->recorded),
					psprintf(INT64_FORMAT "|name|%s", g->model, g->grantee.name),
					psprintf(INT64_FORMAT "|oid|%u", g->model, g->grantee.oid)};

	/* one order for all: two grants may share one of them, where roles exchanged their names */
	qsort(key, lengthof(key), sizeof(key[0]), compare_texts);
	for (size_t i = 0; i < lengthof(key); i++)
		mg_lock_name("issuance", key[i]);
}

void
mg_quota_lock_recipient(const char *recipient)
{
	mg_lock_name("use_day", recipient);
}

/* ---------------------------------------------------------------- what was given out */

/* The last total of an order; and that of the moment $4. */
#define TOTAL(total, condition, moment)                                                                            \
	"coalesce((SELECT " total " FROM mirage.issuance WHERE model = $1 AND grantee_name IS NOT NULL AND " condition \
	" " moment "ORDER BY issued_at DESC, id DESC LIMIT 1), 0)"
#define SINCE(total, condition) \
	"(" TOTAL(total, condition, "") " - " TOTAL(total, condition, "AND issued_at <= $4 ") ")"
#define BY_NAME "grantee_name = $2"
#define BY_OID "grantee_oid = $3 AND split_part(identity, ':', 1) = split_part($5, ':', 1)"

/* Is there room for rows beside what was given out after `since`? */
static bool
has_room_since(MgQuery *q, const MgGrant *g, TimestampTz since, int64 rows)
{
	MgArg args[] = {MG_INT8(g->model),    MG_TEXT(g->recorded), MG_OID(g->grantee.oid), MG_STAMP(since),
					MG_TEXT(g->identity), MG_INT8(rows),        MG_INT8(g->max_rows)};

	(void) mg_query_run(q, true,
						"SELECT " SINCE("name_total",
										BY_NAME) " + " SINCE("oid_total",
															 BY_OID) " - " SINCE("both_total",
																				 BY_NAME " AND " BY_OID) " + $6 <= $7",
						lengthof(args), args);
	return mg_get_bool(0, 1);
}

/* Days of 24 hours, whatever the time zone. */
static TimestampTz
add_interval(TimestampTz t, Interval *per, bool forward)
{
	return DatumGetTimestamp(
		forward ? DirectFunctionCall2(timestamp_pl_interval, TimestampGetDatum(t), IntervalPGetDatum(per))
				: DirectFunctionCall2(timestamp_mi_interval, TimestampGetDatum(t), IntervalPGetDatum(per)));
}

static TimestampTz
window_begin(const MgGrant *g, TimestampTz now)
{
	return g->per == NULL ? DT_NOBEGIN : add_interval(now, g->per, false);
}

bool
mg_grant_has_room(const MgGrant *g, int64 rows)
{
	MgQuery q;
	bool room;

	if (!g->limited)
		return true;
	mg_query_begin(&q);
	room = has_room_since(&q, g, window_begin(g, GetCurrentTimestamp()), rows);
	mg_query_end(&q);
	return room;
}

/* Whatever was given out up to a moment will have left the window; the first moment for which that makes room, by
 * bisection to the second. */
char *
mg_grant_room_from(const MgGrant *g, int64 rows)
{
	TimestampTz now = GetCurrentTimestamp(), full, room;
	MgQuery q;

	if (g->per == NULL || rows > g->max_rows)
		return NULL;
	full = window_begin(g, now);
	room = now;
	mg_query_begin(&q);
	while (room - full > SECOND)
	{
		TimestampTz middle = full + (room - full) / 2;

		if (has_room_since(&q, g, middle, rows))
			room = middle;
		else
			full = middle;
	}
	mg_query_end(&q);
	room = add_interval(room, g->per, true);
	room += SECOND - room % SECOND;
	return DatumGetCString(DirectFunctionCall1(timestamptz_out, TimestampTzGetDatum(room)));
}

bool
mg_recipient_hour_full(const char *recipient, bool claimed, int64 rows, int64 limit)
{
	MgArg args[] = {MG_TEXT(recipient), MG_BOOL(claimed), MG_STAMP(GetCurrentTimestamp() - USECS_PER_HOUR),
					MG_INT8(rows), MG_INT8(limit)};
	bool full;
	MgQuery q;

	mg_query_begin(&q);
	mg_query_run(&q, true,
				 "SELECT coalesce((SELECT recipient_total FROM mirage.issuance WHERE recipient = $1 AND claimed = $2 "
				 "ORDER BY issued_at DESC, id DESC LIMIT 1), 0) - coalesce((SELECT recipient_total FROM "
				 "mirage.issuance WHERE recipient = $1 AND claimed = $2 AND issued_at <= $3 "
				 "ORDER BY issued_at DESC, id DESC LIMIT 1), 0) + $4 > $5",
				 lengthof(args), args);
	full = mg_get_bool(0, 1);
	mg_query_end(&q);
	return full;
}
