/*
 * synthesis/condition.c: see condition.h. One arena holds the decoders of the conditioned columns and their weights;
 * the sampler owns itself.
 */
#include "synthesis/condition.h"

#include "model/dependency.h"

#include <math.h>

struct mg_conditioned
{
	mg_arena *arena;
	const mg_model *model;
	mg_decoder_column **decoder; /* [ncolumns] */
	double **weight;             /* [ncolumns] [ncoarse]; NULL: free */
	mg_sampler *sampler;
	double probability;
};

static mg_code
check_condition(mg_ctx *ctx, const mg_conditioned *c, const mg_condition *given)
{
	const mg_domain *d;

	if (given->col >= c->model->ncolumns || c->weight[given->col] != NULL)
		return mg_fail(ctx, MG_INTERNAL, "conditions on a column that is not of the model, or two on one column");
	d = &c->model->columns[given->col].domain;
	if (d->kind == MG_CATEGORY ? given->label == NULL : given->nintervals > MG_CONDITION_INTERVALS)
		return mg_fail(ctx, MG_INVALID, "a condition on column \"%.63s\" is of the wrong kind, or too long", d->name);
	for (uint32_t i = 0; i < given->nintervals && d->kind == MG_NUMBER; i++)
	{
		const mg_interval *v = &given->interval[i];

		if (!(v->low <= v->high) || (i > 0 && !(v[-1].high < v->low)))
			return mg_fail(ctx, MG_INVALID, "the intervals of a condition on column \"%.63s\" are not in order",
						   d->name);
	}
	return MG_OK;
}

/* A dependent column's values follow from others' values, not from the model's codes: inference does not see them. */
static mg_code
refuse_dependent(mg_ctx *ctx, const mg_model *m, uint32_t col)
{
	for (uint32_t i = 0; i < m->ndependencies; i++)
		if (m->dependencies[i].column == col)
		{
			mg_fail(ctx, MG_INVALID, "column \"%.63s\" depends on others and cannot be conditioned on",
					m->columns[col].domain.name);
			return mg_hint(ctx, "Condition on what it depends on, column \"%.63s\" among them.",
						   m->columns[m->dependencies[i].determinants[0]].domain.name);
		}
	return MG_OK;
}

static mg_code
add_condition(mg_ctx *ctx, mg_conditioned *c, const mg_condition *given)
{
	const mg_column *col;
	bool possible = false;

	MG_TRY(check_condition(ctx, c, given));
	MG_TRY(refuse_dependent(ctx, c->model, given->col));
	col = &c->model->columns[given->col];
	MG_NEW(ctx, c->arena, c->weight[given->col], col->ncoarse);
	MG_TRY(mg_values_prepare_given(ctx, c->arena, col, given, &c->decoder[given->col], c->weight[given->col]));
	for (uint32_t i = 0; i < col->ncoarse; i++)
		possible |= c->weight[given->col][i] > 0;
	if (!possible)
	{
		mg_fail(ctx, MG_IMPOSSIBLE, "the model has no value of column \"%.63s\" that satisfies the condition",
				col->domain.name);
		return col->domain.kind == MG_NUMBER && col->domain.step == 0
				   ? mg_hint(ctx, "Widen the range; a single number has a probability only where it was frequent.")
				   : mg_hint(ctx, "Rows with such a value are never drawn; widen the condition.");
	}
	return MG_OK;
}

static mg_code
conditioned_init(mg_ctx *ctx, mg_conditioned *c, const mg_condition *condition, uint32_t n)
{
	const mg_model *m = c->model;
	double log_p = 0;
	mg_code code;

	MG_NEW(ctx, c->arena, c->decoder, (size_t) m->ncolumns + 1);
	MG_NEW(ctx, c->arena, c->weight, (size_t) m->ncolumns + 1);
	for (uint32_t i = 0; i < n; i++)
		MG_TRY(add_condition(ctx, c, &condition[i]));
	if (m->method->condition == NULL)
		return mg_fail(ctx, MG_INVALID, "models of method \"%.63s\" cannot be conditioned", m->method->name);
	code = m->method->condition(ctx, m, (const double *const *) c->weight, &c->sampler, &log_p);
	if (code == MG_IMPOSSIBLE)
		mg_hint(ctx, "Rows that satisfy them are never drawn; widen or drop one.");
	c->probability = fmin(exp(log_p), 1);
	return code;
}

mg_code
mg_conditioned_create(mg_ctx *ctx, const mg_model *m, const mg_condition *condition, uint32_t n, mg_conditioned **out)
{
	mg_arena *arena = mg_arena_create(0);
	mg_conditioned *c = arena != NULL ? mg_arena_alloc(arena, 1, sizeof(*c)) : NULL;
	mg_code code;

	*out = NULL;
	if (c == NULL)
	{
		mg_arena_destroy(arena);
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	}
	c->arena = arena;
	c->model = m;
	code = conditioned_init(ctx, c, condition, n);
	if (code != MG_OK)
	{
		mg_conditioned_destroy(c);
		return code;
	}
	*out = c;
	return MG_OK;
}

void
mg_conditioned_destroy(mg_conditioned *c)
{
	if (c == NULL)
		return;
	if (c->sampler != NULL)
		c->sampler->destroy(c->sampler);
	mg_arena_destroy(c->arena);
}

double
mg_conditioned_probability(const mg_conditioned *c)
{
	return c->probability;
}

const mg_model *
mg_conditioned_model(const mg_conditioned *c)
{
	return c->model;
}

mg_sampler *
mg_conditioned_sampler(const mg_conditioned *c)
{
	return c->sampler;
}

const double *
mg_conditioned_weight(const mg_conditioned *c, uint32_t col)
{
	return c->weight[col];
}

mg_decoder_column *
mg_conditioned_decoder(const mg_conditioned *c, uint32_t col)
{
	return c->decoder[col];
}
