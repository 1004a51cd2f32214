/*
 * graphical/split.c: see split.h. The default shares were chosen by measuring the mean total variation distance of
 * pairs and triples of columns on census and hospital data, epsilon 0.1 to 20 (test/bench/fit_csv.c): a larger share of
 * the histograms than the third of the literature pays, since every column's noise is in all of its pairs.
 */
#include "graphical/split.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ONEWAY_SHARE 0.40
/* What learning takes, it takes from the histograms by this part: a label's release counts it too. */
#define LEARNING_COUNTS (1.0 / 3)
#define SELECT_SHARE 0.06
#define LEAST_SHARE 0.001
#define MOST_SHARE 0.9
#define LEAST_REST 0.05

/* aim's and swift's own: selection takes a tenth of what is left after the histograms. */
#define SEARCH_ONEWAY_SHARE 0.30
#define SEARCH_MODEL_MB 4
#define LEAST_MODEL_MB 0.01
#define MOST_MODEL_MB 1024

/* An option that is a number, or a text. */
typedef struct setting
{
	const char *name;
	double value, least, most;
	const char *text;
	bool is_text;
} setting;

static mg_code
unknown_option(mg_ctx *ctx, const char *method, const char *name, const setting *known, uint32_t n)
{
	char names[192] = "";

	for (uint32_t i = 0; i < n; i++)
	{
		size_t used = strlen(names);

		snprintf(names + used, sizeof(names) - used, "%s%s", i == 0 ? "" : ", ", known[i].name);
	}
	mg_fail(ctx, MG_UNKNOWN, "method \"%s\" has no option \"%.64s\"", method, name);
	return mg_hint(ctx, "Its options are: %s, " MG_DISCRETIZE_OPTIONS ".", names);
}

static bool
is_share(const setting *s)
{
	return s->least == LEAST_SHARE && s->most == MOST_SHARE;
}

static mg_code
parse_number(mg_ctx *ctx, const mg_option *option, setting *s)
{
	char *end = NULL;
	double x = option->value == NULL ? NAN : strtod(option->value, &end);

	if (end == NULL || end == option->value || *end != '\0' || !(x >= s->least && x <= s->most))
	{
		mg_fail(ctx, MG_INVALID, "option \"%s\" is not a number between %g and %g", option->name, s->least, s->most);
		return is_share(s) ? mg_hint(ctx, "It is the share of the training's privacy budget, such as 0.1.")
						   : MG_INVALID;
	}
	s->value = x;
	return MG_OK;
}

static mg_code
parse_options(mg_ctx *ctx, const char *method, const mg_fit_request *req, setting *known, uint32_t n)
{
	for (uint32_t o = 0; o < req->noptions; o++)
	{
		mg_discretize_options binning;
		uint32_t i = 0;
		bool mine;

		MG_TRY(mg_discretize_option(ctx, &req->options[o], &binning, &mine));
		if (mine)
			continue;
		while (i < n && strcmp(known[i].name, req->options[o].name) != 0)
			i++;
		if (i == n)
			return unknown_option(ctx, method, req->options[o].name, known, n);
		if (known[i].is_text)
			known[i].text = req->options[o].value;
		else
			MG_TRY(parse_number(ctx, &req->options[o], &known[i]));
	}
	return MG_OK;
}

#define SHARE(name, value)                   \
	{                                        \
		name, value, LEAST_SHARE, MOST_SHARE \
	}

/* The default share of learning; 0 where nothing is learnt, whatever the option says. */
static double
learn_share(const mg_fit_request *req)
{
	return mg_discretize_learn_share(req->domains, req->ncolumns);
}

static mg_code
check_request(mg_ctx *ctx, const mg_fit_request *req)
{
	if (req->ncolumns == 0)
		return mg_fail(ctx, MG_INVALID, "there is no column to learn");
	if (!(req->allowance.rho > 0) || !isfinite(req->allowance.rho))
		return mg_fail(ctx, MG_INVALID, "the privacy budget of the training is not positive");
	return MG_OK;
}

/* Shares of a method that selects and measures marginals of several columns. */
static mg_code
share_out(mg_ctx *ctx, const mg_fit_request *req, double learn, double oneway, double select, mg_split *out)
{
	out->learn = learn_share(req) > 0 ? learn : 0;
	out->oneway = oneway;
	/* with two columns there is one pair, with one column none */
	out->select = req->ncolumns > 2 ? select : 0;
	if (req->ncolumns == 1)
		out->oneway = 1 - out->learn;
	out->measure = 1 - out->learn - out->oneway - out->select;
	if (req->ncolumns == 1)
		out->measure = 0;
	else if (out->measure < LEAST_REST)
	{
		mg_fail(ctx, MG_INVALID, "the shares leave nothing for the marginals");
		return mg_hint(ctx, "learn_share, oneway_share and select_share may sum to at most %g.", 1 - LEAST_REST);
	}
	return MG_OK;
}

mg_code
mg_split_mst(mg_ctx *ctx, const mg_fit_request *req, mg_split *out)
{
	double learn = learn_share(req);
	setting known[] = {SHARE("learn_share", learn), SHARE("oneway_share", ONEWAY_SHARE - LEARNING_COUNTS * learn),
					   SHARE("select_share", SELECT_SHARE)};

	MG_TRY(check_request(ctx, req));
	MG_TRY(parse_options(ctx, "mst", req, known, 3));
	return share_out(ctx, req, known[0].value, known[1].value, known[2].value, out);
}

/* noptions: how many of them the method has; swift's workload is all pairs. */
static mg_code
split_search(mg_ctx *ctx, const char *method, const mg_fit_request *req, uint32_t noptions, mg_split *out,
			 mg_search_options *search)
{
	double learn = learn_share(req);
	setting known[] = {SHARE("learn_share", learn),
					   SHARE("oneway_share", SEARCH_ONEWAY_SHARE - LEARNING_COUNTS * learn),
					   SHARE("select_share", SELECT_SHARE),
					   {"max_model_mb", SEARCH_MODEL_MB, LEAST_MODEL_MB, MOST_MODEL_MB},
					   {"degree", 3, 2, 3},
					   {.name = "workload", .is_text = true}};

	MG_TRY(check_request(ctx, req));
	MG_TRY(parse_options(ctx, method, req, known, noptions));
	if (known[4].value != 2 && known[4].value != 3)
		return mg_fail(ctx, MG_INVALID, "option \"degree\" is neither 2 nor 3");
	search->max_model_mb = known[3].value;
	search->degree = (uint32_t) known[4].value;
	search->workload = known[5].text;
	return share_out(ctx, req, known[0].value, known[1].value, known[2].value, out);
}

mg_code
mg_split_aim(mg_ctx *ctx, const mg_fit_request *req, mg_split *out, mg_search_options *search)
{
	return split_search(ctx, "aim", req, 6, out, search);
}

mg_code
mg_split_swift(mg_ctx *ctx, const mg_fit_request *req, mg_split *out, mg_search_options *search)
{
	return split_search(ctx, "swift", req, 4, out, search);
}

mg_code
mg_split_independent(mg_ctx *ctx, const mg_fit_request *req, mg_split *out)
{
	setting known[] = {SHARE("learn_share", learn_share(req))};

	MG_TRY(check_request(ctx, req));
	MG_TRY(parse_options(ctx, "independent", req, known, 1));
	memset(out, 0, sizeof(*out));
	out->learn = learn_share(req) > 0 ? known[0].value : 0;
	out->oneway = 1 - out->learn;
	return MG_OK;
}

void
mg_split_discretize(const mg_fit_request *req, const mg_split *split, mg_discretize_options *out)
{
	mg_ctx checked;
	bool mine;

	memset(out, 0, sizeof(*out));
	mg_ctx_init(&checked);
	for (uint32_t o = 0; o < req->noptions; o++)
		(void) mg_discretize_option(&checked, &req->options[o], out, &mine); /* parse_options refused bad ones */
	out->rho_learn = req->allowance.rho * split->learn;
	out->rho_oneway = req->allowance.rho * split->oneway;
	out->rho_measure = req->allowance.rho * split->measure;
	out->delta_atoms = req->allowance.delta_atoms;
	out->rows_per_unit = req->rows_per_unit;
}

mg_code
mg_split_plan(mg_ctx *ctx, mg_arena *a, const mg_fit_request *req, const mg_split *split, const mg_plan_item *extra,
			  uint32_t nextra, mg_plan *out)
{
	mg_discretize_options opt;
	mg_plan_item *items;

	mg_split_discretize(req, split, &opt);
	memset(out, 0, sizeof(*out));
	MG_TRY(mg_discretize_plan(ctx, a, req->domains, req->ncolumns, &opt, out));
	MG_NEW(ctx, a, items, (size_t) out->count + nextra + 1);
	if (out->count > 0)
		memcpy(items, out->item, out->count * sizeof(*items));
	if (nextra > 0)
		memcpy(items + out->count, extra, nextra * sizeof(*items));
	out->item = items;
	out->count += nextra;
	out->split = *split;
	for (uint32_t i = 0; i < out->count; i++)
		items[i].share = items[i].rho / req->allowance.rho;
	return MG_OK;
}
