/*
 * catalog/job.c: one row a training job. The row is written with the reservation and settled by the worker; a row that
 * says `running` beside a worker that is gone is an orphan (worker/ finds out), and its charge stands.
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/seals.h"
#include "executor/spi.h"
#include "miscadmin.h"

static int64
next_value(const char *sql)
{
	MgQuery q;
	int64 id;

	mg_query_begin(&q);
	mg_query_run(&q, false, sql, 0, NULL);
	id = mg_get_int8(0, 1);
	mg_query_end(&q);
	return id;
}

int64
mg_job_next_id(void)
{
	return next_value("SELECT nextval('mirage.job_id')");
}

int64
mg_model_next_id(void)
{
	return next_value("SELECT nextval('mirage.model_id')");
}

void
mg_job_insert(const MgJob *job, Oid relid, double epsilon)
{
	MgArg args[] = {MG_INT8(job->id),
					MG_TEXT(job->model),
					MG_TEXT(job->relation),
					MG_OID(relid),
					MG_TEXT(job->method),
					MG_FLOAT8(epsilon),
					MG_OID(job->role.oid),
					MG_TEXT(job->role.name),
					MG_OID(GetAuthenticatedUserId()),
					MG_TEXT(GetUserNameFromId(GetAuthenticatedUserId(), false)),
					MG_TEXT(mg_database_identity()),
					MG_INT8(job->charge),
					MG_INT8((int64) job->dsm_handle),
					MG_INT4(job->pid)};

	mg_change_alone(
		"job",
		"INSERT INTO mirage.job (id, model, relation, relid, method, epsilon, role_oid, role_name, login_oid, "
		"login_name, identity, charge, state, dsm_handle, pid) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'running', $13, $14) RETURNING id",
		lengthof(args), args);
}

void
mg_job_finish(int64 id, const char *state, const char *code, const char *error)
{
	MgArg args[] = {MG_INT8(id), MG_TEXT(state), MG_TEXT(code), MG_TEXT(error)};

	mg_change_alone("job",
					"UPDATE mirage.job SET state = $2, errcode = $3, error = $4, ended_at = clock_timestamp() "
					"WHERE id = $1 RETURNING id",
					lengthof(args), args);
}

MgJob *
mg_job_find(int64 id)
{
	MgArg arg = MG_INT8(id);
	MgQuery q;
	MgJob *job = NULL;

	mg_query_begin(&q);
	if (mg_query_run(
			&q, true,
			"SELECT id, model, relation, method, state, error, role_oid, role_name, identity, dsm_handle, pid, charge, "
			"relid, errcode FROM mirage.job WHERE id = $1",
			1, &arg) > 0)
	{
		MemoryContext old = MemoryContextSwitchTo(q.caller);

		job = palloc0(sizeof(MgJob));
		job->id = mg_get_int8(0, 1);
		job->model = mg_get_text(&q, 0, 2);
		job->relation = mg_get_text(&q, 0, 3);
		job->method = mg_get_text(&q, 0, 4);
		job->state = mg_get_text(&q, 0, 5);
		job->error = mg_get_text(&q, 0, 6);
		job->role = mg_get_role(&q, 0, 7);
		job->dsm_handle = (uint32) mg_get_int8(0, 10);
		job->pid = DatumGetInt32(mg_get_datum(0, 11));
		job->charge = mg_get_int8(0, 12);
		job->relid = mg_get_oid(0, 13);
		job->errcode = mg_get_text(&q, 0, 14);
		MemoryContextSwitchTo(old);
	}
	mg_query_end(&q);
	return job;
}
