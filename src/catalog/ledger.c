/*
 * catalog/ledger.c: charges. Only a worker's own transactions write here; nothing updates or deletes.
 *
 * The RDP of a charge is stored at its budget's order, as the filter needs it; rho beside it, for reports.
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/seals.h"
#include "executor/spi.h"
#include "miscadmin.h"

static MgUse
ledger_sum(int64 budget, int64 share, const Interval *period)
{
	MgArg args[] = {MG_INT8(budget), MG_INT8(share), MG_INTERVAL(period)};
	MgQuery q;
	MgUse use;

	mg_query_begin(&q);
	mg_query_run(&q, true,
				 "SELECT coalesce(sum(l.rho), 0), coalesce(sum(l.rdp), 0), coalesce(sum(l.delta_atoms), 0) "
				 "FROM mirage.ledger l WHERE l.budget = $1 AND l.state = 'reserved' AND ($2 = 0 OR l.share = $2) "
				 "AND ($3 IS NULL OR l.charged_at > clock_timestamp() - $3) "
				 "AND NOT EXISTS (SELECT FROM mirage.ledger r WHERE r.charge = l.charge AND r.state = 'released')",
				 lengthof(args), args);
	use.rho = mg_get_float8(0, 1);
	use.rdp = mg_get_float8(0, 2);
	use.delta_atoms = mg_get_float8(0, 3);
	mg_query_end(&q);
	return use;
}

MgUse
mg_ledger_use(const MgBudget *budget, int64 share)
{
	return ledger_sum(budget->id, share, budget->period);
}

MgUse
mg_ledger_lifetime(const MgBudget *budget)
{
	return ledger_sum(budget->id, 0, NULL);
}

mg_filter
mg_ledger_share_filter(const MgBudget *budget, double share_epsilon)
{
	mg_filter share;
	mg_ctx ctx;

	mg_server_ctx(&ctx);
	MG_CHECK(&ctx, mg_filter_init(&ctx, &share, share_epsilon, budget->filter.delta));
	return share;
}

mg_allowance
mg_ledger_allowance(const MgBudget *budget, double share_epsilon, double epsilon, double delta)
{
	mg_allowance a, b;
	mg_ctx ctx;

	mg_server_ctx(&ctx);
	MG_CHECK(&ctx, mg_training_allowance(&ctx, &budget->filter, epsilon, delta, &a));
	if (share_epsilon > 0)
	{
		mg_filter share = mg_ledger_share_filter(budget, share_epsilon);

		MG_CHECK(&ctx, mg_training_allowance(&ctx, &share, epsilon, delta, &b));
		a.rho = Min(a.rho, b.rho);
		a.delta_atoms = Min(a.delta_atoms, b.delta_atoms);
	}
	return a;
}

void
mg_ledger_lock(int64 budget)
{
	MgArg arg = MG_INT8(budget);
	MgQuery q;
	uint64 n;

	mg_query_begin(&q);
	n = mg_query_run(&q, false, "SELECT 1 FROM mirage.budget WHERE id = $1 FOR UPDATE", 1, &arg);
	mg_query_end(&q);
	if (n == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("the budget is gone"),
						errhint("It was made by a transaction that has not committed, or was rolled back.")));
}

int64
mg_ledger_reserve(const MgCharge *charge)
{
	char *role_name = GetUserNameFromId(charge->role, false);
	MgBudget *budget = mg_budget_by_id(charge->budget, false);
	double rdp = budget->filter.alpha * charge->rho;
	MgArg args[] =
		{MG_INT8(charge->budget), MG_TEXT(charge->budget_name),   MG_TEXT(charge->relation), MG_OID(charge->relid),
		 MG_TEXT(charge->model),  MG_INT8(charge->job),           MG_OID(charge->role),      MG_TEXT(role_name),
		 MG_INT8(charge->share),  MG_FLOAT8(charge->epsilon),     MG_FLOAT8(charge->delta),  MG_FLOAT8(charge->rho),
		 MG_FLOAT8(rdp),          MG_FLOAT8(charge->delta_atoms), MG_TEXT(charge->events)};
	MgQuery q;
	int64 number;

	mg_query_begin(&q);
	mg_query_run(
		&q, false,
		"INSERT INTO mirage.ledger (charge, state, budget, budget_name, relation, relid, model, job, role_oid, "
		"role_name, share, epsilon, delta, rho, rdp, delta_atoms, events) VALUES (nextval('mirage.charge_id'), "
		"'reserved', $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::jsonb) RETURNING charge, id",
		lengthof(args), args);
	number = mg_get_int8(0, 1);
	mg_row_written("ledger", mg_get_int8(0, 2));
	mg_query_end(&q);
	return number;
}

void
mg_ledger_settle(int64 charge, const char *state, const mg_odometer *used)
{
	MgArg args[] = {MG_INT8(charge),
					MG_TEXT(state),
					{FLOAT8OID, Float8GetDatum(used == NULL ? 0 : used->rho_used), used == NULL},
					{FLOAT8OID, Float8GetDatum(used == NULL ? 0 : used->delta_used), used == NULL}};
	MgQuery q;
	uint64 n;

	mg_query_begin(&q);
	n = mg_query_run(
		&q, false,
		"INSERT INTO mirage.ledger (charge, state, budget, budget_name, relation, relid, model, job, role_oid, "
		"role_name, share, epsilon, delta, rho, rdp, delta_atoms, events, used_rho, used_delta) SELECT charge, $2, budget, "
		"budget_name, relation, relid, model, job, role_oid, role_name, share, epsilon, delta, rho, rdp, delta_atoms, "
		"events, $3, $4 FROM mirage.ledger WHERE charge = $1 AND state = 'reserved' RETURNING id",
		lengthof(args), args);
	if (n == 0)
		elog(ERROR, "charge " INT64_FORMAT " is not in the ledger", charge);
	mg_row_written("ledger", mg_get_int8(0, 1));
	mg_query_end(&q);
}

/*
 * In time that grows with the number of charges, by indexes on them, and not with the log: each charge that is logged
 * is in the ledger, as many are logged as the last block says, and that block's entries are there. Whatever else may be
 * missing is for verification.
 */
void
mg_ledger_require_whole(void)
{
	MgQuery q;
	bool whole;

	mg_query_begin(&q);
	mg_query_by_index(&q);
	mg_query_run(
		&q, true,
		"SELECT NOT EXISTS (SELECT FROM mirage.log g WHERE g.charge IS NOT NULL AND NOT EXISTS "
		"(SELECT FROM mirage.ledger l WHERE l.charge = g.charge AND l.state = 'reserved')) "
		"AND (SELECT count(*) FROM mirage.ledger WHERE state = 'reserved') >= c.logged "
		"AND c.logged >= coalesce(b.charges, 0) "
		"AND NOT EXISTS (SELECT FROM pg_catalog.unnest(b.entries) e (id) WHERE NOT EXISTS "
		"(SELECT FROM mirage.log g WHERE g.id = e.id)) "
		"FROM (SELECT count(*) AS logged FROM mirage.log WHERE charge IS NOT NULL) c "
		"LEFT JOIN (SELECT charges, entries FROM mirage.log_block ORDER BY number DESC LIMIT 1) b ON true",
		0, NULL);
	whole = mg_get_bool(0, 1);
	mg_query_end(&q);
	if (!whole)
		ereport(
			ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED), errmsg("the ledger holds fewer charges than the log"),
			 errdetail("Rows of the ledger or of the log were lost, by a partial restore or by force."),
			 errhint(
				 "Restore both tables whole; dp_verify_audit() shows where the log breaks. No budget can be spent before.")));
}
