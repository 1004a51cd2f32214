/*
 * catalog/model.c: models, their columns and sealed blobs. A model row, its columns and its blob are
 * written in the worker's last transaction, all or nothing; dropping a model deletes its key with it.
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/seals.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"

MgModel *
mg_model_find(const char *name)
{
	MgArg arg = MG_TEXT(name);
	MgQuery q;
	MgModel *m = NULL;

	mg_query_begin(&q);
	if (mg_query_run(
			&q, true,
			"SELECT id, name, relation, method, state, relid, owner_oid, owner_name, identity, epsilon, delta, total, "
			"charge, job FROM mirage.model WHERE name = $1",
			1, &arg) > 0)
	{
		MemoryContext old = MemoryContextSwitchTo(q.caller);

		m = palloc0(sizeof(MgModel));
		m->id = mg_get_int8(0, 1);
		m->name = mg_get_text(&q, 0, 2);
		m->relation = mg_get_text(&q, 0, 3);
		m->method = mg_get_text(&q, 0, 4);
		m->state = mg_get_text(&q, 0, 5);
		m->relid = mg_get_oid(0, 6);
		m->owner = mg_get_role(&q, 0, 7);
		m->epsilon = mg_get_float8(0, 10);
		m->delta = mg_get_float8(0, 11);
		m->total = mg_get_float8(0, 12);
		m->charge = mg_get_int8(0, 13);
		m->job = mg_get_int8(0, 14);
		MemoryContextSwitchTo(old);
	}
	mg_query_end(&q);
	return m;
}

MgModel *
mg_model_require(const char *name)
{
	MgModel *m = mg_model_find(name);

	if (m == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("model \"%s\" does not exist", name),
						errhint("The view dp_models lists the models that you may use.")));
	return m;
}

MgModel *
mg_model_require_locked(const char *name, LOCKMODE mode)
{
	MgModel *m = mg_model_require(name);
	int64 locked;

	/* another may have its name by the time that the lock is had */
	do
	{
		locked = m->id;
		mg_model_lock(locked, mode);
		m = mg_model_require(name);
	} while (m->id != locked);
	return m;
}

static void
model_columns_insert(MgQuery *q, int64 model, const MgColumns *columns)
{
	for (int i = 0; i < columns->n; i++)
	{
		const MgColumn *c = &columns->col[i];
		MgArg args[] = {MG_INT8(model),
						MG_INT4(i),
						MG_TEXT(c->name),
						MG_TEXT(mg_column_type_text(c)),
						MG_TEXT(mg_column_kind_name(c->kind)),
						MG_BOOL(c->notnull),
						MG_TEXT(c->pattern),
						MG_INT4(c->core)};

		mg_change(q, "model_column",
				  "INSERT INTO mirage.model_column (model, pos, name, type, kind, not_null, pattern, core) "
				  "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING model || ' ' || pos",
				  lengthof(args), args);
	}
}

void
mg_model_insert(const MgModel *model, const MgColumns *columns, const bytea *sealed)
{
	MgArg args[] = {MG_INT8(model->id),
					MG_TEXT(model->name),
					MG_TEXT(model->relation),
					MG_OID(model->relid),
					MG_TEXT(mg_database_identity()),
					MG_TEXT(model->method),
					MG_OID(model->owner.oid),
					MG_TEXT(model->owner.name),
					MG_FLOAT8(model->epsilon),
					MG_FLOAT8(model->delta),
					MG_INT8(model->charge),
					MG_INT8(model->job),
					MG_TEXT(model->state),
					MG_FLOAT8(model->total),
					MG_TEXT(model->card)};
	MgArg blob[] = {MG_INT8(model->id), MG_BYTEA(sealed)};
	MgQuery q;
	uint64 n;

	mg_query_begin(&q);
	n = mg_change(
		&q, "model",
		"INSERT INTO mirage.model (id, name, relation, relid, identity, method, owner_oid, owner_name, epsilon, "
		"delta, charge, job, state, total, card) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, "
		"$14, $15::jsonb) ON CONFLICT (name) DO NOTHING RETURNING id",
		lengthof(args), args);
	if (n > 0)
	{
		model_columns_insert(&q, model->id, columns);
		mg_query_run(&q, false, "INSERT INTO mirage.model_blob (model, sealed) VALUES ($1, $2)", lengthof(blob), blob);
	}
	mg_query_end(&q);
	if (n == 0)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("model \"%s\" was made by another job meanwhile", model->name),
						errhint("Choose another name; what this training spent stays charged.")));
}

bytea *
mg_model_blob(int64 model)
{
	MgArg arg = MG_INT8(model);
	MgQuery q;
	bytea *sealed = NULL;

	mg_query_begin(&q);
	if (mg_query_run(&q, true, "SELECT sealed FROM mirage.model_blob WHERE model = $1", 1, &arg) > 0)
		sealed = (bytea *) mg_get_varlena(&q, 0, 1);
	mg_query_end(&q);
	if (sealed == NULL)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("the model's parameters are missing"),
						errhint("Restore the table mirage.model_blob, or drop the model and train again.")));
	return sealed;
}

MgColumns *
mg_model_columns(int64 model, const mg_model *parsed)
{
	MgArg arg = MG_INT8(model);
	MgColumns *columns = palloc0(sizeof(MgColumns));
	MgQuery q;
	uint64 n;

	mg_query_begin(&q);
	n = mg_query_run(
		&q, true,
		"SELECT name, type, kind, not_null, pattern, core FROM mirage.model_column WHERE model = $1 ORDER BY pos", 1,
		&arg);
	columns->n = (int) n;
	columns->ncore = (int) parsed->ncolumns;
	columns->col = MemoryContextAllocZero(q.caller, sizeof(MgColumn) * Max(n, 1));
	for (uint64 i = 0; i < n; i++)
	{
		int core = DatumGetInt32(mg_get_datum(i, 6));
		MgColumnKind kind;
		char *kind_name = mg_get_text(&q, i, 3);
		MemoryContext old;

		if (core >= (int) parsed->ncolumns || !mg_column_kind_parse(kind_name, &kind))
			ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("the model's columns do not fit its parameters")));
		old = MemoryContextSwitchTo(q.caller);
		columns->col[i] =
			*mg_column_from_catalog(mg_get_text(&q, i, 1), mg_get_text(&q, i, 2), kind, mg_get_bool(i, 4),
									mg_get_text(&q, i, 5), core, core < 0 ? NULL : &parsed->columns[core]);
		MemoryContextSwitchTo(old);
	}
	mg_query_end(&q);
	return columns;
}

void
mg_model_delete(int64 model)
{
	MgArg arg = MG_INT8(model);
	MgQuery q;

	mg_query_begin(&q);
	mg_change(&q, "model", "DELETE FROM mirage.model WHERE id = $1 RETURNING id", 1, &arg);
	mg_change(&q, "model_column", "DELETE FROM mirage.model_column WHERE model = $1 RETURNING model || ' ' || pos", 1,
			  &arg);
	mg_query_run(&q, false, "DELETE FROM mirage.model_blob WHERE model = $1", 1, &arg);
	mg_change(&q, "model_grant",
			  "DELETE FROM mirage.model_grant WHERE model = $1 RETURNING model || ' ' || grantee_name", 1, &arg);
	mg_query_run(&q, false, "DELETE FROM mirage.wrapped_key WHERE purpose = 'model' AND model = $1", 1, &arg);
	mg_query_end(&q);
}

void
mg_model_lock(int64 model, LOCKMODE mode)
{
	LOCKTAG tag;
	Oid class = get_relname_relid("model", get_namespace_oid("mirage", false));

	/* an object of ours that only this is a lock on; two models that share the low half of their numbers share it */
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, class, (uint32) model, 1);
	(void) LockAcquire(&tag, mode, false, false);
}
