/*
 * api/trace.c: dp_trace: which model, and which recipient, do the rows of a query come from?
 *
 * The query is read once, as the caller, and its rows go through one detector for each model that shares at least two
 * columns with it; nothing of it is kept but counts of cells. Then every key is tried: each model's own, and those of
 * all who were given marked rows of it. What is shown is corrected (Bonferroni) for all keys that were tried in the
 * call; a query column stands for one column of a model only, so one mapping is tried.
 *
 * Detection is an oracle that somebody who wants to remove a mark would like to ask. So it is for auditors and admins,
 * and each call is in the log, by a transaction of its own, before its answer. The log holds no word of the query.
 *
 * Keys exist while they are tried, after the caller's query has ended, and nothing raises an error meanwhile.
 */
#include "api/watch.h"

#include <math.h>

#include "access/xlog.h"
#include "catalog/watermark.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pg/json.h"
#include "pg/groups.h"
#include "pg/select.h"
#include "utils/jsonb.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"
#include "watermark/detect.h"
#include "worker/worker.h"

MG_FUNCTION(dp_trace);

#define SHOW_RECIPIENTS_P 0.01 /* of a model whose own test, or best recipient, is at most so likely by chance */
#define LEAST_P 1e-300         /* smaller ones are shown as this */
#define MOST_NAMESAKES 10      /* that are told one by one */

/* ---------------------------------------------------------------- the call */

typedef struct Mapping
{
	char *query, *model; /* columns */
	bool used;
} Mapping;

/* A model that the rows are compared with. */
typedef struct Suspect
{
	const MgMarkedModel *model;
	MgMarkBundle bundle;
	mg_detector *detector;
	MgGroups *groups;
} Suspect;

/* One key that was tried. */
typedef struct Finding
{
	int suspect;
	const MgSuspect *recipient; /* NULL: the model's own key */
	mg_detection detection;
} Finding;

typedef struct Trace
{
	MemoryContext context;
	mg_ctx ctx;
	MgMarkRoot root;   /* while plans or keys are made of it */
	const char *model; /* NULL: all */
	int nmappings;
	Mapping *mapping;
	int nsuspects;
	Suspect *suspect;
	int nfindings;
	Finding *finding;
} Trace;

static void
trace_free(void *arg)
{
	Trace *t = arg;

	mg_mark_root_close(&t->root);
	for (int i = 0; i < t->nsuspects; i++)
	{
		mg_detector_destroy(t->suspect[i].detector);
		mg_mark_plan_destroy(t->suspect[i].bundle.plan);
	}
	t->nsuspects = 0;
}

static void
bad_mapping(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("parameter \"mapping\" must be an object of texts"),
			 errhint("Write {\"column of the query\": \"column of the model\", ...}.")));
}

/* {"query column": "model column", ...}; the keys of an object are distinct. */
static void
parse_mapping(Trace *t, Jsonb *json)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue v;
	bool pending = false;

	if (!JB_ROOT_IS_OBJECT(json))
		bad_mapping();
	t->mapping = palloc0(sizeof(Mapping) * Max(JB_ROOT_COUNT(json), 1));
	it = JsonbIteratorInit(&json->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			t->mapping[t->nmappings].query = pnstrdup(v.val.string.val, v.val.string.len);
			pending = true;
		}
		else if (token == WJB_VALUE && pending)
		{
			if (v.type != jbvString || v.val.string.len >= NAMEDATALEN)
				bad_mapping();
			t->mapping[t->nmappings++].model = pnstrdup(v.val.string.val, v.val.string.len);
			pending = false;
		}
	}
}

/* ---------------------------------------------------------------- columns */

/* What the model calls this column of the query, if it has it. */
static const char *
model_name_of(Trace *t, const char *name)
{
	for (int i = 0; i < t->nmappings; i++)
		if (strcmp(t->mapping[i].query, name) == 0)
			return t->mapping[i].model;
	return name;
}

static void
check_mapping(Trace *t, TupleDesc desc)
{
	for (int i = 0; i < t->nmappings; i++)
	{
		bool found = false;

		for (int j = 0; j < desc->natts; j++)
			found |= strcmp(NameStr(TupleDescAttr(desc, j)->attname), t->mapping[i].query) == 0;
		if (!found)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("the query has no column \"%s\", which parameter \"mapping\" names", t->mapping[i].query)));
	}
}

/* attr[plan column]: of the query, or -1; returns how many there are. */
static int
match_columns(Trace *t, const mg_mark_plan *plan, TupleDesc desc, int *attr)
{
	int matched = 0;

	for (uint32 i = 0; i < plan->ncolumns; i++)
	{
		attr[i] = -1;
		for (int j = 0; j < desc->natts && plan->column[i].ngroups > 0; j++)
		{
			const char *name = NameStr(TupleDescAttr(desc, j)->attname);

			if (strcmp(model_name_of(t, name), plan->column[i].name) != 0)
				continue;
			if (attr[i] >= 0)
				ereport(ERROR, (errcode(ERRCODE_DUPLICATE_COLUMN),
								errmsg("two columns of the query stand for column \"%s\"", plan->column[i].name),
								errhint("Select it once, or give the others another name.")));
			attr[i] = j;
			matched++;
			for (int k = 0; k < t->nmappings; k++)
				t->mapping[k].used |= strcmp(t->mapping[k].query, name) == 0;
		}
	}
	return matched;
}

static char *
column_names(const mg_mark_plan *plan)
{
	StringInfoData s;

	initStringInfo(&s);
	for (uint32 i = 0; i < plan->ncolumns; i++)
		if (plan->column[i].ngroups > 0)
			appendStringInfo(&s, "%s\"%s\"", s.len > 0 ? ", " : "", plan->column[i].name);
	return s.data;
}

/* ---------------------------------------------------------------- suspects */

/* Its plan, and a detector where the query has enough of its columns; else its columns' names. */
static char *
suspect_open(Trace *t, const MgMarkedModel *model, TupleDesc desc)
{
	Suspect *s = &t->suspect[t->nsuspects];
	bool *present;
	int *attr;
	char *names;

	memset(s, 0, sizeof(*s));
	s->model = model;
	t->nsuspects++; /* from here on trace_free sees to it */
	MG_CHECK(&t->ctx, mg_mark_plan_load(&t->ctx, &t->root, model->id, &s->bundle));
	if (s->bundle.plan == NULL)
		elog(ERROR, "the plan of a watermark is gone");
	attr = palloc(sizeof(int) * Max(s->bundle.plan->ncolumns, 1));
	present = palloc(sizeof(bool) * Max(s->bundle.plan->ncolumns, 1));
	if (match_columns(t, s->bundle.plan, desc, attr) < 2)
	{
		names = column_names(s->bundle.plan);
		t->nsuspects--;
		mg_mark_plan_destroy(s->bundle.plan);
		return names;
	}
	for (uint32 i = 0; i < s->bundle.plan->ncolumns; i++)
		present[i] = attr[i] >= 0;
	MG_CHECK(&t->ctx, mg_detector_create(&t->ctx, s->bundle.plan, present, &s->detector));
	s->groups = mg_groups_create(&s->bundle, desc, attr);
	return NULL;
}

static void
refuse_columns(const Trace *t, const char *names)
{
	if (t->model != NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("the query has fewer than two columns of model \"%s\"", t->model),
						errhint("Its columns are: %s. Name them by aliases, or by parameter \"mapping\".", names)));
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN), errmsg("the query has fewer than two columns of any model"),
					names != NULL ? errhint("Name them as the model does, by aliases or by parameter \"mapping\"; "
											"the columns of the latest model are: %s.",
											names)
								  : errhint("No model of this database has marked rows yet.")));
}

/* Once the query's columns are known: whom to suspect. */
static void
begin_query(void *arg, TupleDesc desc)
{
	Trace *t = arg;
	List *models = mg_mark_models(t->model);
	char *names = NULL;
	ListCell *lc;

	if (models == NIL && t->model != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("no model called \"%s\" has ever marked its rows", t->model),
				 errhint("Leave out parameter \"model\" to try them all.")));
	check_mapping(t, desc);
	t->suspect = palloc0(sizeof(Suspect) * Max(list_length(models), 1));
	if (models != NIL)
		mg_mark_root_open(&t->root, false);
	foreach (lc, models)
	{
		char *other = suspect_open(t, lfirst(lc), desc);

		names = other != NULL ? other : names;
	}
	mg_mark_root_close(&t->root);
	if (t->nsuspects == 0)
		refuse_columns(t, names);
	for (int i = 0; i < t->nmappings; i++)
		if (!t->mapping[i].used)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("no model that is tried has a marked column \"%s\", which parameter \"mapping\" names",
							t->mapping[i].model),
					 names != NULL ? errhint("Columns are: %s.", names)
								   : errhint("Columns of \"%s\" are: %s.", t->suspect[0].model->name,
											 column_names(t->suspect[0].bundle.plan))));
}

static void
suspect_flush(Trace *t, Suspect *s)
{
	if (mg_groups_rows(s->groups) > 0)
		MG_CHECK(&t->ctx, mg_detect_add(&t->ctx, s->detector, mg_groups_columns(s->groups), mg_groups_rows(s->groups)));
	mg_groups_clear(s->groups);
}

static void
query_row(void *arg, TupleTableSlot *slot)
{
	Trace *t = arg;

	for (int i = 0; i < t->nsuspects; i++)
		if (!mg_groups_row(t->suspect[i].groups, slot))
			suspect_flush(t, &t->suspect[i]);
}

/* ---------------------------------------------------------------- keys */

static void
list_keys(Trace *t)
{
	List **recipients = palloc(sizeof(List *) * t->nsuspects);
	int n = t->nsuspects;

	for (int i = 0; i < t->nsuspects; i++)
	{
		recipients[i] = mg_mark_recipients(t->suspect[i].model->id);
		n += list_length(recipients[i]);
	}
	t->finding = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Finding) * (Size) n);
	for (int i = 0; i < t->nsuspects; i++)
	{
		ListCell *lc;

		t->finding[t->nfindings++] = (Finding){.suspect = i};
		foreach (lc, recipients[i])
			t->finding[t->nfindings++] = (Finding){.suspect = i, .recipient = lfirst(lc)};
	}
}

static mg_code
try_keys(Trace *t)
{
	for (int i = 0; i < t->nfindings; i++)
	{
		Finding *f = &t->finding[i];
		const Suspect *s = &t->suspect[f->suspect];
		uint8 key[MG_KEY_BYTES];
		mg_code code =
			mg_mark_key(&t->ctx, &t->root, s->model->id, f->recipient != NULL ? f->recipient->recipient.id : NULL, key);

		if (code == MG_OK)
			code = mg_detect_key(&t->ctx, s->detector, key, &f->detection);
		mg_wipe(key, sizeof(key));
		MG_TRY(code);
		MG_TRY(mg_poll(&t->ctx));
	}
	return MG_OK;
}

static void
find(Trace *t)
{
	mg_code code;

	for (int i = 0; i < t->nsuspects; i++)
	{
		suspect_flush(t, &t->suspect[i]);
		MG_CHECK(&t->ctx, mg_detect_finish(&t->ctx, t->suspect[i].detector));
	}
	list_keys(t);
	mg_mark_root_open(&t->root, false);
	code = try_keys(t);
	mg_mark_root_close(&t->root);
	MG_CHECK(&t->ctx, code);
}

/* ---------------------------------------------------------------- the answer */

/* Corrected for all keys that were tried; natural logarithm. */
static double
corrected_log_p(const Trace *t, const Finding *f)
{
	return Min(f->detection.log_p + log((double) t->nfindings), 0.0);
}

/* Models before recipients; then the least likely by chance first; then as they were listed. */
static int
compare_findings(const void *a, const void *b)
{
	const Finding *x = *(const Finding *const *) a, *y = *(const Finding *const *) b;

	if ((x->recipient != NULL) != (y->recipient != NULL))
		return x->recipient != NULL ? 1 : -1;
	if (x->detection.log_p != y->detection.log_p)
		return x->detection.log_p < y->detection.log_p ? -1 : 1;
	return (x > y) - (x < y);
}

/* A role by its name, a claim as one; the few roles that would look like either say what they are. */
static char *
recipient_text(const MgRecipient *r)
{
	if (r->claimed)
		return psprintf("claim:%s", r->name);
	return psprintf("%s%s", strncmp(r->name, "claim:", 6) == 0 || strncmp(r->name, "role:", 5) == 0 ? "role:" : "",
					r->name);
}

static void
put_finding(const Trace *t, const Finding *f, ReturnSetInfo *rsi)
{
	double log_p = corrected_log_p(t, f);
	bool nulls[7] = {
		false,
		f->recipient == NULL, [5] = f->recipient == NULL, [6] = f->recipient == NULL || f->recipient->role_now == NULL};
	Datum values[7] = {
		CStringGetTextDatum(t->suspect[f->suspect].model->name),
		f->recipient != NULL ? CStringGetTextDatum(recipient_text(&f->recipient->recipient)) : (Datum) 0,
		Int64GetDatum(f->detection.features),
		Float8GetDatum(f->detection.z),
		Float8GetDatum(log_p < log(LEAST_P) ? LEAST_P : exp(log_p)),
		nulls[5] ? (Datum) 0 : DirectFunctionCall1(uuid_in, CStringGetDatum(f->recipient->recipient.id)),
		nulls[6] ? (Datum) 0 : CStringGetTextDatum(f->recipient->role_now),
	};

	tuplestore_putvalues(rsi->setResult, rsi->setDesc, values, nulls);
}

static void
warn_of_namesake(const MgSuspect *s)
{
	ereport(NOTICE,
			(errmsg("the role that is called \"%s\" now is not the recipient of that name", s->recipient.name),
			 s->role_now != NULL ? errdetail("The recipient is called \"%s\" now.", s->role_now)
								 : errdetail("The recipient's role does not exist any more.")));
}

/* Whoever reads a name in the answer thinks of the role that has it now. The likeliest first; many are not told. */
static void
warn_of_namesakes(const Trace *t, const Finding **sorted)
{
	int n = 0;

	for (int i = 0; i < t->nfindings; i++)
		if (sorted[i]->recipient != NULL && sorted[i]->recipient->namesake &&
			corrected_log_p(t, sorted[i]) <= log(SHOW_RECIPIENTS_P) && n++ < MOST_NAMESAKES)
			warn_of_namesake(sorted[i]->recipient);
	if (n > MOST_NAMESAKES)
		ereport(NOTICE, (errmsg("the same is true of %d more recipients", n - MOST_NAMESAKES),
						 errdetail("Where role_now differs from recipient, or is null, the role of that name is another, "
								   "or there is none.")));
}

/* All models; and of those that the rows seem to come from, all recipients. */
static void
answer(const Trace *t, ReturnSetInfo *rsi)
{
	const Finding **sorted = palloc(sizeof(Finding *) * t->nfindings);
	bool *likely_model = palloc0(sizeof(bool) * t->nsuspects);

	for (int i = 0; i < t->nfindings; i++)
	{
		sorted[i] = &t->finding[i];
		likely_model[sorted[i]->suspect] |= corrected_log_p(t, sorted[i]) <= log(SHOW_RECIPIENTS_P);
	}
	qsort(sorted, t->nfindings, sizeof(*sorted), compare_findings);
	for (int i = 0; i < t->nfindings; i++)
		if (sorted[i]->recipient == NULL || likely_model[sorted[i]->suspect])
			put_finding(t, sorted[i], rsi);
	warn_of_namesakes(t, sorted);
}

/* Who asked is in every entry; which models and how many keys were tried is in this one's detail. */
static void
record(const Trace *t)
{
	StringInfoData b, models;
	List *names = NIL;

	for (int i = 0; i < t->nsuspects; i++)
		names = lappend(names, t->suspect[i].model->name);
	initStringInfo(&models);
	mg_json_append_texts(&models, names);
	mg_json_begin(&b);
	mg_json_int(&b, "keys", t->nfindings);
	mg_json_raw(&b, "models", models.data); /* also where there is none */
	mg_note_record("trace", t->model != NULL ? t->model : "all models", mg_json_end(&b));
}

/* (query text, model text, mapping jsonb) RETURNS TABLE (model, recipient, features, score, p_value, recipient_id,
 * role_now) */
MG_WATCHED_FUNCTION(dp_trace, MG_WATCHED_RELEASE)
{
	MgSelectSink sink = {.begin = begin_query, .row = query_row};
	MemoryContext context, old;
	char *query;
	Trace *t;

	if (!mg_is_auditor(GetUserId()) && !mg_is_admin(GetUserId()))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied to trace rows"),
						errhint("Ask for membership in mirage_auditor.")));
	if (RecoveryInProgress())
		ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION), errmsg("rows cannot be traced on a standby"),
						errdetail("Every trace is recorded before its answer."), errhint("Connect to the primary.")));
	query = mg_arg_text(fcinfo, 0, "query");
	mg_arg_materialize(fcinfo);
	context = AllocSetContextCreate(CurrentMemoryContext, "pg_mirage trace", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	t = palloc0(sizeof(Trace));
	t->context = context;
	mg_server_ctx(&t->ctx);
	mg_release_with(context, trace_free, t);
	t->model = mg_arg_text_or_null(fcinfo, 1);
	if (!PG_ARGISNULL(2))
		parse_mapping(t, PG_GETARG_JSONB_P(2));
	sink.arg = t;
	mg_read_select("the query to trace", query, &sink);
	find(t);
	record(t);
	answer(t, (ReturnSetInfo *) fcinfo->resultinfo);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return (Datum) 0;
}
