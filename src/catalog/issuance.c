/*
 * catalog/issuance.c: who may say whom rows are for, and the record that they were given out: append-only, written by a
 * worker's transaction before the first row leaves.
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/seals.h"
#include "miscadmin.h"

static bool
may_claim(void)
{
	Oid login = GetAuthenticatedUserId();
	MgQuery q;
	bool may = false;
	uint64 n;

	mg_query_begin(&q);
	n = mg_query_run(&q, true, "SELECT role_oid, role_name, identity FROM mirage.claimant", 0, NULL);
	for (uint64 i = 0; i < n && !may; i++)
	{
		MgRole r = mg_get_role(&q, i, 1);

		may = r.live && r.oid == login;
	}
	mg_query_end(&q);
	return may;
}

void
mg_require_claims(void)
{
	if (!may_claim())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("role \"%s\" may not say whom rows are for",
							   GetUserNameFromId(GetAuthenticatedUserId(), false)),
						errhint("RESET pg_mirage.recipient, or let a member of mirage_admin call "
								"dp_allow_claims() for the role that logs in.")));
}

void
mg_claimant_set(Oid role, bool allowed)
{
	MgArg args[] = {MG_TEXT(GetUserNameFromId(role, false)), MG_OID(role), MG_TEXT(mg_database_identity()),
					MG_TEXT(GetUserNameFromId(GetUserId(), false))};
	MgQuery q;

	mg_query_begin(&q);
	mg_change(&q, "claimant",
			  "DELETE FROM mirage.claimant c WHERE role_oid = $2 AND " MG_HERE("identity", "$3") " OR role_name = $1 "
			  "AND NOT " MG_ROLE_LIVES("c.role_oid", "c.identity", "$3") " RETURNING role_name",
			  3, args);
	if (allowed)
	{
		mg_roles_follow(&q, &(MgRoleNames){"claimant", "role_oid", "role_name", "k.role_name", NULL}, 0,
						GetUserNameFromId(role, false));
		mg_change(&q, "claimant",
				  "INSERT INTO mirage.claimant (role_name, role_oid, identity, allowed_by) "
				  "VALUES ($1, $2, $3, $4) RETURNING role_name",
				  lengthof(args), args);
	}
	mg_query_end(&q);
}

/*
 * With the running totals that the row brings up to date: under the locks of catalog/quota.c, so that nobody else is
 * about to. One moment is never before another's of the same order.
 */
static const char insert_statement[] =
	"INSERT INTO mirage.issuance (model, model_name, role_oid, role_name, identity, recipient, claimed, grantee_oid, "
	"grantee_name, requested_rows, seeded, purpose, path, conditions, columns, watermark, name_total, oid_total, "
	"both_total, recipient_total, issued_at, recipient_id) "
	"SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14::jsonb, $15, $16, "
	"CASE WHEN $9 IS NOT NULL THEN coalesce(n.total, 0) + $10 END, "
	"CASE WHEN $9 IS NOT NULL THEN coalesce(o.total, 0) + $10 END, "
	"CASE WHEN $9 IS NOT NULL THEN coalesce(b.total, 0) + $10 END, "
	"coalesce(r.total, 0) + $10, greatest(clock_timestamp(), n.at, o.at, r.at), $17::uuid "
	"FROM (VALUES (0)) one "
	"LEFT JOIN (SELECT name_total AS total, issued_at AS at FROM mirage.issuance "
	"WHERE model = $1 AND grantee_name = $9 ORDER BY issued_at DESC, id DESC LIMIT 1) n ON true "
	"LEFT JOIN (SELECT oid_total AS total, issued_at AS at FROM mirage.issuance "
	"WHERE model = $1 AND grantee_name IS NOT NULL AND grantee_oid = $8 "
	"AND split_part(identity, ':', 1) = split_part($5, ':', 1) ORDER BY issued_at DESC, id DESC LIMIT 1) o ON true "
	"LEFT JOIN (SELECT both_total AS total FROM mirage.issuance "
	"WHERE model = $1 AND grantee_name = $9 AND grantee_oid = $8 "
	"AND split_part(identity, ':', 1) = split_part($5, ':', 1) ORDER BY issued_at DESC, id DESC LIMIT 1) b ON true "
	"LEFT JOIN (SELECT recipient_total AS total, issued_at AS at FROM mirage.issuance "
	"WHERE recipient = $6 AND claimed = $7 ORDER BY issued_at DESC, id DESC LIMIT 1) r ON true RETURNING *";

int64
mg_issuance_insert(const MgIssuance *i, const MgGrant *payer)
{
	MgArg args[] = {MG_INT8(i->model),
					MG_TEXT(i->model_name),
					MG_OID(GetUserId()),
					MG_TEXT(i->role),
					MG_TEXT(mg_database_identity()),
					MG_TEXT(i->recipient),
					MG_BOOL(i->claimed),
					{OIDOID, ObjectIdGetDatum(payer != NULL ? payer->grantee.oid : InvalidOid), payer == NULL},
					MG_TEXT(payer != NULL ? payer->grantee.name : NULL),
					MG_INT8(i->rows),
					MG_BOOL(i->seeded),
					MG_TEXT(i->purpose),
					MG_TEXT(i->path),
					MG_TEXT(i->conditioned),
					{TEXTARRAYOID, mg_text_array(i->columns), false},
					MG_TEXT(i->watermark),
					MG_TEXT(i->recipient_id)};
	MgQuery q;
	int64 id;

	mg_quota_lock_recipient(i->recipient);
	mg_query_begin(&q);
	mg_query_run(&q, false, insert_statement, lengthof(args), args);
	id = mg_get_int8(0, 1);
	mg_row_returned("issuance", id);
	mg_query_end(&q);
	return id;
}
