/*
 * catalog/recipient.c: who rows are for: the table mirage.recipient.
 *
 * A name is no identity. Roles are renamed, and others are created under the names of roles that were dropped; an
 * accusation must meet neither the one nor the other. So what keys are derived from is an id of 122 random bits, drawn
 * when a recipient is met for the first time: random, so that a database that was taken back, or a copy of it, never
 * gives to somebody an id under which somebody else was given rows in the part of history that was lost or left behind.
 *
 *   A role is the same recipient as long as its OID is the same in one cluster, whatever it is called. A server gives
 *   an OID out again after 2^32 others, and then only by chance to a role.
 *
 *   In another cluster (a restore, pg_upgrade) it is the same where the role of that OID also has the name that was
 *   recorded of the OID last. pg_upgrade keeps OIDs and names; where a dump is restored beside other roles, in doubt
 *   somebody is another recipient than before, unless an administrator says otherwise.
 *
 *   A claim is the same as long as the text is, and the login that makes it: two applications may know different people
 *   under one name, and one could have rows marked as the other's user. It outlives a restore if the login does.
 *
 * The table has a row for each time that a role was met under another name, or in another cluster, than before; in one
 * cluster all rows of an OID have one id, and all rows of an id one OID. It is append-only. Rows are written by a
 * worker, in a transaction of its own, under a lock on the login's OID, so that parallel first releases agree, and one
 * on an id that comes from elsewhere.
 */
#include "postgres.h"

#include "catalog/seals.h"
#include "catalog/watermark.h"
#include "miscadmin.h"
#include "pg/guc.h"

/*
 * What is known of a role by its OID, in a cluster: a subselect of at most one row. Rows of other clusters count where
 * this one has none, and only the last of them, if it has the role's name and nobody here is that recipient.
 */
#define CLUSTER(identity) "split_part(" identity ", ':', 1)"
#define IS_HERE(recipient_id, here)                                               \
	"EXISTS (SELECT FROM mirage.recipient o WHERE o.recipient_id = " recipient_id \
	" AND " CLUSTER("o.identity") " = " here ")"
#define ROLE(oid, its_name, here)                                                           \
	"(SELECT p.recipient_id, p.writer, p.here AND p.name = " its_name                       \
	" AS current FROM (SELECT r.recipient_id, r.xmin AS writer, r.name, " CLUSTER(          \
		"r.identity") " = " here " AS here FROM mirage.recipient r WHERE r.role_oid = " oid \
					  " ORDER BY here DESC, r.id DESC LIMIT 1) p WHERE "                       \
					  "p.here OR (p.name = " its_name " AND NOT " IS_HERE("p.recipient_id", here) "))"

MgRecipient
mg_recipient(void)
{
	MgRecipient r = {.claimed = mg_guc_recipient != NULL && mg_guc_recipient[0] != '\0'};

	if (r.claimed)
	{
		mg_check_name("recipient", mg_guc_recipient);
		mg_require_claims();
		r.name = pstrdup(mg_guc_recipient);
	}
	else
		r.name = GetUserNameFromId(GetAuthenticatedUserId(), false);
	return r;
}

/* ---------------------------------------------------------------- finding and recording */

/* What is recorded of the user that logged in, and of what it claims. */
typedef struct Known
{
	char *login;  /* its id; NULL: none */
	bool current; /* under its present name, and in this cluster */
	char *claim;  /* the claim's id; NULL: none, or nothing is claimed */
	bool uncommitted; /* the login's row is of this very transaction */
} Known;

static Known
find(const char *claim)
{
	MgArg args[] = {MG_OID(GetAuthenticatedUserId()), MG_TEXT(GetUserNameFromId(GetAuthenticatedUserId(), false)),
					MG_TEXT(mg_database_identity()), MG_TEXT(claim)};
	Known k = {NULL, false, NULL, false};
	MgQuery q;

	mg_query_begin(&q);
	if (mg_query_run(&q, true,
					 "SELECT l.recipient_id::text, l.current, (SELECT c.recipient_id::text FROM mirage.recipient c "
					 "WHERE c.claimed_by = l.recipient_id AND c.name = $4), l.writer FROM " ROLE("$1", "$2",
																								CLUSTER("$3")) " l",
					 lengthof(args), args) > 0)
	{
		k.login = mg_get_text(&q, 0, 1);
		k.current = mg_get_bool(0, 2);
		k.claim = mg_get_text(&q, 0, 3);
		k.uncommitted = mg_get_mine(0, 4);
	}
	mg_query_end(&q);
	return k;
}

bool
mg_recipient_find(MgRecipient *r)
{
	Known k = find(r->claimed ? r->name : NULL);

	if (k.uncommitted)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("who role \"%s\" is was decided by this transaction, which has not committed",
							   GetUserNameFromId(GetAuthenticatedUserId(), false)),
						errhint("Commit first: keys follow from it, and rows that were given out are not taken back.")));
	r->id = r->claimed ? k.claim : k.login;
	return k.current && r->id != NULL;
}

/* id NULL: a new one. Returns it. */
static char *
insert(const char *id, const char *name, Oid role, const char *claimed_by)
{
	MgArg args[] = {MG_TEXT(id),
					MG_TEXT(name),
					{OIDOID, ObjectIdGetDatum(role), !OidIsValid(role)},
					MG_TEXT(claimed_by),
					MG_TEXT(mg_database_identity())};
	MgQuery q;
	char *its_id;

	mg_query_begin(&q);
	mg_query_run(&q, false,
				 "INSERT INTO mirage.recipient (recipient_id, name, role_oid, claimed_by, identity) "
				 "VALUES (coalesce($1::uuid, gen_random_uuid()), $2, $3, $4::uuid, $5) RETURNING id, recipient_id",
				 lengthof(args), args);
	mg_row_written("recipient", mg_get_int8(0, 1));
	its_id = mg_get_text(&q, 0, 2);
	mg_query_end(&q);
	return its_id;
}

bool
mg_recipient_record(MgRecipient *r)
{
	Oid login = GetAuthenticatedUserId();
	Known k;
	bool found;

	mg_lock_name("recipient", psprintf("%u", login));
	k = find(r->claimed ? r->name : NULL);
	if (!k.current && k.login != NULL)
	{
		mg_lock_name("recipient", k.login);
		k = find(r->claimed ? r->name : NULL);
	}
	found = k.current && (!r->claimed || k.claim != NULL);
	if (!k.current)
		k.login = insert(k.login, GetUserNameFromId(login, false), login, NULL);
	if (r->claimed && k.claim == NULL)
		k.claim = insert(NULL, r->name, InvalidOid, k.login);
	r->id = r->claimed ? k.claim : k.login;
	return !found;
}

void
mg_recipient_adopt(Oid role, const char *name, const char *id)
{
	MgArg args[] = {MG_OID(role), MG_TEXT(id), MG_TEXT(mg_database_identity())};
	MgQuery q;
	bool has_one, is_role, taken;

	mg_lock_name("recipient", psprintf("%u", role));
	mg_lock_name("recipient", id);
	mg_query_begin(&q);
	mg_query_run(
		&q, true,
		"SELECT EXISTS (SELECT FROM mirage.recipient r WHERE r.role_oid = $1 AND " CLUSTER("r.identity") " = " CLUSTER(
			"$3") "), EXISTS (SELECT FROM mirage.recipient r WHERE "
				  "r.recipient_id = $2::uuid AND r.role_oid IS NOT NULL), " IS_HERE("$2::uuid", CLUSTER("$3")),
		lengthof(args), args);
	has_one = mg_get_bool(0, 1);
	is_role = mg_get_bool(0, 2);
	taken = mg_get_bool(0, 3);
	mg_query_end(&q);
	if (!is_role)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("no role was ever recipient %s", id),
						errhint("The view dp_issuances names recipients by recipient_id.")));
	if (taken)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("a role of this server is recipient %s already", id)));
	if (has_one)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("role \"%s\" is a recipient of its own already", name),
						errdetail("Rows were given out to it on this server.")));
	(void) insert(id, name, role, NULL);
}

/* ---------------------------------------------------------------- who can be traced */

/*
 * What the role behind an identity is called now: the role of its OID, here or where it was met last, if that would be
 * given this identity. A namesake has the name that the identity had then, and is not it.
 */
static const char suspects[] =
	"SELECT s.recipient_id::text, s.recipient, s.claimed, n.rolname::text, NOT s.claimed AND n.rolname IS DISTINCT "
	"FROM s.recipient AND EXISTS (SELECT FROM pg_roles a WHERE a.rolname = s.recipient) "
	"FROM (SELECT DISTINCT ON (i.recipient_id) i.recipient_id, i.recipient, i.claimed FROM mirage.issuance i "
	"WHERE i.model = $1 AND i.watermark IS NOT NULL ORDER BY i.recipient_id, i.id DESC) s "
	"LEFT JOIN LATERAL (SELECT a.rolname FROM (SELECT coalesce(c.claimed_by, c.recipient_id) AS id "
	"FROM mirage.recipient c WHERE c.recipient_id = s.recipient_id LIMIT 1) l, LATERAL (SELECT o.role_oid FROM "
	"mirage.recipient o WHERE o.recipient_id = l.id ORDER BY " CLUSTER("o.identity") " = " CLUSTER(
		"$2") " DESC, "
			  "o.id DESC LIMIT 1) o, pg_roles a WHERE a.oid = o.role_oid AND "
			  "l.id = (SELECT recipient_id FROM " ROLE("a.oid", "a.rolname",
													   CLUSTER("$2")) " k)) n ON true ORDER BY 2, 3, 1";

List *
mg_mark_recipients(int64 model)
{
	MgArg args[] = {MG_INT8(model), MG_TEXT(mg_database_identity())};
	List *list = NIL;
	MgQuery q;
	uint64 n;

	mg_query_begin(&q);
	n = mg_query_run(&q, true, suspects, lengthof(args), args);
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(q.caller);
		MgSuspect *s = palloc(sizeof(MgSuspect));

		s->recipient.id = mg_get_text(&q, i, 1);
		s->recipient.name = mg_get_text(&q, i, 2);
		s->recipient.claimed = mg_get_bool(i, 3);
		s->role_now = mg_get_text(&q, i, 4);
		s->namesake = mg_get_bool(i, 5);
		list = lappend(list, s);
		MemoryContextSwitchTo(old);
	}
	mg_query_end(&q);
	return list;
}
