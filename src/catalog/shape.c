/*
 * catalog/shape.c: models by name, and their columns as they are recorded, without their parameters.
 */
#include "postgres.h"

#include "catalog/catalog.h"

List *
mg_model_names(void)
{
	List *names = NIL;
	MgQuery q;
	uint64 n;

	mg_query_begin(&q);
	n = mg_query_run(&q, true, "SELECT name FROM mirage.model ORDER BY name", 0, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		char *name = mg_get_text(&q, i, 1);
		MemoryContext old = MemoryContextSwitchTo(q.caller);

		names = lappend(names, name);
		MemoryContextSwitchTo(old);
	}
	mg_query_end(&q);
	return names;
}

List *
mg_model_shape(int64 model)
{
	MgArg arg = MG_INT8(model);
	List *shape = NIL;
	MgQuery q;
	uint64 n;

	mg_query_begin(&q);
	n = mg_query_run(&q, true, "SELECT name, type, not_null FROM mirage.model_column WHERE model = $1 ORDER BY pos", 1,
					 &arg);
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(q.caller);
		MgShapeColumn *c = palloc(sizeof(MgShapeColumn));

		c->name = mg_get_text(&q, i, 1);
		c->type = mg_get_text(&q, i, 2);
		c->notnull = mg_get_bool(i, 3);
		shape = lappend(shape, c);
		MemoryContextSwitchTo(old);
	}
	mg_query_end(&q);
	return shape;
}
