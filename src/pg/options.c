/* pg/options.c: see options.h. */
#include "pg/options.h"

#include "graphical/candidates.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

static char *
scalar_text(const JsonbValue *v, const char *name)
{
	switch (v->type)
	{
		case jbvString:
			return pnstrdup(v->val.string.val, v->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(v->val.numeric)));
		case jbvBool:
			return pstrdup(v->val.boolean ? "true" : "false");
		default:
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("option \"%s\" must be a number, a text or a boolean", name)));
	}
}

/* ---- the workload: an array of sets, each an array of column names or {"columns": [..], "weight": 2} ---- */

static void
workload_error(void)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("option \"workload\" must be a list of sets of columns"),
		 errhint(
			 "For example '{\"workload\": [[\"age\", \"sex\"], {\"columns\": [\"sex\", \"income\"], \"weight\": 2}]}'.")));
}

/* Names of an array of strings, separated. */
static void
append_names(StringInfo out, JsonbContainer *array)
{
	JsonbIterator *it = JsonbIteratorInit(array);
	JsonbValue v;
	bool any = false;

	if (!JsonContainerIsArray(array))
		workload_error();
	(void) JsonbIteratorNext(&it, &v, true);
	while (JsonbIteratorNext(&it, &v, true) == WJB_ELEM)
	{
		if (v.type != jbvString)
			workload_error();
		if (any)
			appendStringInfoChar(out, MG_NAMES_APART);
		appendBinaryStringInfo(out, v.val.string.val, v.val.string.len);
		any = true;
	}
}

static void
append_weighted(StringInfo out, JsonbContainer *object)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbValue v;
	char *weight = NULL;
	JsonbIteratorToken token;

	(void) JsonbIteratorNext(&it, &v, true);
	while ((token = JsonbIteratorNext(&it, &v, true)) == WJB_KEY)
	{
		char *name = pnstrdup(v.val.string.val, v.val.string.len);

		(void) JsonbIteratorNext(&it, &v, true);
		if (strcmp(name, "columns") == 0 && v.type == jbvBinary)
			append_names(out, v.val.binary.data);
		else if (strcmp(name, "weight") == 0 && v.type == jbvNumeric)
			weight = scalar_text(&v, name);
		else
			workload_error();
	}
	if (weight != NULL)
		appendStringInfo(out, "%c%s", MG_WEIGHT_APART, weight);
}

/* As mg_candidates_list reads it. */
static char *
workload_text(const JsonbValue *value)
{
	StringInfoData out;
	JsonbIterator *it;
	JsonbValue v;
	bool any = false;

	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		workload_error();
	initStringInfo(&out);
	it = JsonbIteratorInit(value->val.binary.data);
	(void) JsonbIteratorNext(&it, &v, true);
	while (JsonbIteratorNext(&it, &v, true) == WJB_ELEM)
	{
		if (v.type != jbvBinary)
			workload_error();
		if (any)
			appendStringInfoChar(&out, MG_SETS_APART);
		if (JsonContainerIsObject(v.val.binary.data))
			append_weighted(&out, v.val.binary.data);
		else
			append_names(&out, v.val.binary.data);
		any = true;
	}
	return out.data;
}

void
mg_options_parse(const char *json, mg_fit_request *req)
{
	Jsonb *jb;
	JsonbIterator *it;
	JsonbValue v;
	JsonbIteratorToken token;
	mg_option *options;
	uint32 n = 0;

	req->options = NULL;
	req->noptions = 0;
	if (json == NULL)
		return;
	jb = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));
	if (!JB_ROOT_IS_OBJECT(jb))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("options must be a JSON object"),
						errhint("For example '{\"select_share\": 0.1}'.")));
	options = palloc0(sizeof(mg_option) * Max(JB_ROOT_COUNT(jb), 1));
	it = JsonbIteratorInit(&jb->root);
	(void) JsonbIteratorNext(&it, &v, false);
	while ((token = JsonbIteratorNext(&it, &v, true)) == WJB_KEY)
	{
		char *name = pnstrdup(v.val.string.val, v.val.string.len);

		(void) JsonbIteratorNext(&it, &v, true);
		options[n].name = name;
		options[n].value = strcmp(name, "workload") == 0 ? workload_text(&v) : scalar_text(&v, name);
		n++;
	}
	req->options = options;
	req->noptions = n;
}
