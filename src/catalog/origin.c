/*
 * catalog/origin.c: the relation behind a model, as far as it is still the one that the model was trained on: its OID
 * names something, and either it was recorded in this very database (a rename is followed) or the name agrees.
 */
#include "postgres.h"

#include "catalog/catalog.h"

Oid
mg_model_origin(int64 model)
{
	MgArg arg = MG_INT8(model);
	MgQuery q;
	Oid relid = InvalidOid;
	char *recorded = NULL, *identity = NULL, *name;

	mg_query_begin(&q);
	if (mg_query_run(&q, true, "SELECT relid, relation, identity FROM mirage.model WHERE id = $1", 1, &arg) > 0)
	{
		relid = mg_get_oid(0, 1);
		recorded = mg_get_text(&q, 0, 2);
		identity = mg_get_text(&q, 0, 3);
	}
	mg_query_end(&q);
	name = OidIsValid(relid) ? mg_relation_name(relid) : NULL;
	if (name == NULL || (strcmp(identity, mg_database_identity()) != 0 && strcmp(name, recorded) != 0))
		return InvalidOid;
	return relid;
}
