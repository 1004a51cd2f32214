/*
 * graphical/independent.c: every column on its own, the baseline. All of rho goes into the columns' histograms.
 */
#include "graphical/fit.h"
#include "graphical/graphical.h"

#define MOST_REQUIRED_CELLS 524288.0
/* The prior's weight where there are structural zeros (estimate.h). */
#define GAMMA 0.015

static mg_code
independent_plan(mg_ctx *ctx, mg_arena *a, const mg_fit_request *req, mg_plan *out)
{
	mg_split split;

	MG_TRY(mg_split_independent(ctx, req, &split));
	return mg_split_plan(ctx, a, req, &split, NULL, 0, out);
}

/* Structural zeros tie columns together even here. */
static mg_code
finish(mg_ctx *ctx, const mg_fit_request *req, mg_model *m, mg_graphical *body)
{
	mg_arena *scratch = mg_arena_create(0);
	mg_required required;
	mg_code code;

	if (scratch == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	code = mg_required_list(ctx, scratch, req, m, MOST_REQUIRED_CELLS, &required);
	if (code == MG_OK)
		code = mg_finish_model(ctx, m, body, NULL, 0, &required, GAMMA);
	mg_arena_destroy(scratch);
	return code;
}

static mg_code
independent_fit(mg_ctx *ctx, mg_curator *c, const mg_fit_request *req, mg_model **out)
{
	mg_split split;
	mg_graphical *body;
	mg_model *m;
	mg_code code;

	MG_TRY(mg_split_independent(ctx, req, &split));
	MG_TRY(mg_begin_model(ctx, c, req, &mg_method_independent, &split, &m, &body));
	code = finish(ctx, req, m, body);
	return mg_hand_over(code, m, out);
}

const mg_method mg_method_independent = {
	.name = "independent",
	.summary = "noisy one-way marginals, columns independent of each other",
	.plan = independent_plan,
	.fit = independent_fit,
	.write_body = mg_graphical_write,
	.read_body = mg_graphical_read,
	.compile = mg_graphical_compile,
	.condition = mg_graphical_condition,
	.describe = mg_graphical_describe,
	.marginal = mg_graphical_marginal,
	.branches = mg_graphical_branches,
};
