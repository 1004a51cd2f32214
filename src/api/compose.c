/*
 * api/compose.c: dp_compose, the accountants as a calculator.
 *
 * It is IMMUTABLE: a function of its arguments alone. What it returns are upper bounds; a later version may find
 * smaller ones.
 */
#include "api/args.h"

#include <math.h>

#include "funcapi.h"
#include "miscadmin.h"
#include "pg/server.h"
#include "privacy/pld.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

MG_FUNCTION(dp_compose);

#define MOST_EVENTS 256
#define MOST_CALLS 1e12

#define EXAMPLE "An event looks like {\"mechanism\": \"gaussian\", \"sigma\": 5, \"count\": 10}."

/* The parameter of each mechanism and its name there; those with a rate have it as "q". */
static const char *const parameter[MG_EVENT_KINDS] = {
	[MG_EVENT_ZCDP] = "rho",
	[MG_EVENT_GAUSSIAN] = "sigma",
	[MG_EVENT_DISCRETE_GAUSSIAN] = "sigma",
	[MG_EVENT_LAPLACE] = "scale",
	[MG_EVENT_DISCRETE_LAPLACE] = "scale",
	[MG_EVENT_EXPONENTIAL] = "epsilon",
	[MG_EVENT_POISSON_GAUSSIAN] = "sigma",
	[MG_EVENT_GNMAX] = "sigma",
};

static bool
is_key(const JsonbValue *key, const char *name)
{
	return key->val.string.len == (int) strlen(name) && memcmp(key->val.string.val, name, strlen(name)) == 0;
}

/* A field as a number; `i` is the event's place in the array, from 1. */
static double
number_of(const JsonbValue *v, int i, const char *field)
{
	double x;

	if (v->type != jbvNumeric)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("field \"%s\" of event %d must be a number", field, i), errhint(EXAMPLE)));
	x = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(v->val.numeric)));
	if (!isfinite(x))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("field \"%s\" of event %d is out of range", field, i)));
	return x;
}

static mg_event_kind
kind_of(JsonbContainer *object, int i)
{
	JsonbValue *v = getKeyJsonValueFromContainer(object, "mechanism", strlen("mechanism"), NULL);
	StringInfoData known;
	mg_event_kind kind;

	if (v == NULL || v->type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("event %d names no mechanism", i), errhint(EXAMPLE)));
	if (mg_event_kind_of(pnstrdup(v->val.string.val, v->val.string.len), &kind))
		return kind;
	initStringInfo(&known);
	for (int k = 0; k < MG_EVENT_KINDS; k++)
		appendStringInfo(&known, "%s%s", k > 0 ? ", " : "", mg_event_name((mg_event_kind) k));
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("unknown mechanism in event %d", i),
					errhint("Mechanisms are %s.", known.data)));
}

/* Ranges: every figure that the accountants take, and no other. */
static void
check_event(const mg_event *e, double calls, bool has_parameter, bool has_rate, int i)
{
	const char *name = mg_event_name(e->kind);
	bool may_be_zero = e->kind == MG_EVENT_ZCDP || e->kind == MG_EVENT_EXPONENTIAL;

	if (!has_parameter)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("event %d, %s, has no field \"%s\"", i, name, parameter[e->kind])));
	if (e->kind == MG_EVENT_POISSON_GAUSSIAN && !has_rate)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("event %d, %s, has no field \"q\"", i, name),
						errhint("q is the probability with which each unit takes part in a step.")));
	if (e->param < 0 || (e->param == 0 && !may_be_zero))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("field \"%s\" of event %d must be %s", parameter[e->kind], i,
							   may_be_zero ? "zero or more" : "above zero"),
						errhint("Scales are relative to a sensitivity of 1.")));
	if (!(e->rate >= 0 && e->rate <= 1))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("field \"q\" of event %d must lie between 0 and 1", i)));
	if (!(e->delta >= 0 && e->delta <= 1))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("field \"delta\" of event %d must lie between 0 and 1", i)));
	if (!(calls >= 0 && calls <= MOST_CALLS && calls == floor(calls)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("field \"count\" of event %d must be a whole number between 0 and %.0f", i, MOST_CALLS)));
}

static void
event_of(JsonbContainer *object, int i, mg_event *e)
{
	bool has_parameter = false, has_rate = false;
	double calls = 1;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue v;

	memset(e, 0, sizeof(*e));
	e->kind = kind_of(object, i);
	it = JsonbIteratorInit(object);
	(void) JsonbIteratorNext(&it, &v, false);
	while ((token = JsonbIteratorNext(&it, &v, true)) == WJB_KEY)
	{
		JsonbValue key = v;

		(void) JsonbIteratorNext(&it, &v, true);
		if (is_key(&key, "mechanism"))
			continue;
		if (is_key(&key, "count"))
			calls = number_of(&v, i, "count");
		else if (is_key(&key, "delta"))
			e->delta = number_of(&v, i, "delta");
		else if (is_key(&key, parameter[e->kind]))
		{
			e->param = number_of(&v, i, parameter[e->kind]);
			has_parameter = true;
		}
		else if (e->kind == MG_EVENT_POISSON_GAUSSIAN && is_key(&key, "q"))
		{
			e->rate = number_of(&v, i, "q");
			has_rate = true;
		}
		else
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("unknown field in event %d, %s", i, mg_event_name(e->kind)),
							errhint("Its fields are mechanism, %s%s, count and delta.", parameter[e->kind],
									e->kind == MG_EVENT_POISSON_GAUSSIAN ? ", q" : "")));
	}
	check_event(e, calls, has_parameter, has_rate, i);
	e->count = (uint64_t) calls;
}

static size_t
events_of(Jsonb *json, mg_event **out)
{
	JsonbContainer *root = &json->root;
	uint32 n;

	if (!JB_ROOT_IS_ARRAY(json) || JB_ROOT_IS_SCALAR(json))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("events must be a JSON array"),
						errhint("For example '[{\"mechanism\": \"gaussian\", \"sigma\": 5, \"count\": 10}]'.")));
	n = JB_ROOT_COUNT(json);
	if (n > MOST_EVENTS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("more than %d events", MOST_EVENTS),
						errhint("Write equal events once, with a count.")));
	*out = palloc0(sizeof(mg_event) * Max(n, 1));
	for (uint32 i = 0; i < n; i++)
	{
		JsonbValue *v = getIthJsonbValueFromContainer(root, i);

		if (v->type != jbvBinary || !JsonContainerIsObject(v->val.binary.data))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("event %d is not a JSON object", (int) i + 1), errhint(EXAMPLE)));
		event_of(v->val.binary.data, (int) i + 1, &(*out)[i]);
	}
	return n;
}

static void
put_row(ReturnSetInfo *rsi, const char *accountant, double epsilon)
{
	Datum values[2] = {CStringGetTextDatum(accountant), Float8GetDatum(epsilon)};
	bool nulls[2] = {false, false};

	tuplestore_putvalues(rsi->setResult, rsi->setDesc, values, nulls);
}

Datum
dp_compose(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsi = (ReturnSetInfo *) fcinfo->resultinfo;
	double delta, rdp, pld;
	mg_event *events;
	size_t count;
	mg_ctx ctx;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("parameter \"%s\" must not be null", "events")));
	delta = mg_arg_float8(fcinfo, 1, "delta");
	if (!(delta >= 0 && delta < 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("delta must lie between 0 and 1, 1 excluded"),
				 errhint(
					 "It should be far below one over the number of people; 0 asks for pure differential privacy.")));
	count = events_of(PG_GETARG_JSONB_P(0), &events);
	mg_arg_materialize(fcinfo);
	mg_server_ctx(&ctx);
	CHECK_FOR_INTERRUPTS();
	rdp = mg_compose_epsilon(events, count, delta);
	CHECK_FOR_INTERRUPTS();
	MG_CHECK(&ctx, mg_pld_epsilon(&ctx, events, count, delta, &pld));
	put_row(rsi, "rdp", rdp);
	put_row(rsi, "pld", pld);
	return (Datum) 0;
}
