/*
 * graphical/condition.c: a calibrated junction tree under evidence about single columns, exactly.
 *
 * The joint is P(root clique) * prod over the other cliques of P(clique | separator). A weight w(code) in [0, 1] on a
 * column multiplies the joint; since the column lies within some clique, it can be multiplied into that one alone, and
 * sum-product then gives the marginals of the product (Lauritzen, Spiegelhalter 1988: soft evidence), and its sum over
 * all cells, which is the probability of the evidence. Logarithms throughout: many columns' evidence may have a
 * probability that no double holds, and its rows can still be drawn.
 *
 * Estimation leaves a little mass where it found none, so that no conditional is undefined; draw.c's 32-bit
 * probabilities round it away again. Here it must not become rows either: see ABSENT.
 *
 * Post-processing of a released model. Everything here dies at the return but the sampler, which owns its tables.
 */
#include "graphical/body.h"

#include <math.h>
#include <string.h>

/*
 * P(cell | separator) below which a cell counts as impossible: above what estimation leaves (10^-12 of a product of
 * shares), below the 2^-32 that a probability is drawn with. A million such cells hold a row in a hundred thousand.
 */
#define ABSENT 1e-11

/*
 * f = log P(clique | separator), of the root log P(clique). The clique's own sums are taken for the separator's, which
 * the root's, a single cell, is too. separator: scratch over it.
 */
static void
log_conditional(const mg_factor *marginal, mg_factor *separator, mg_factor *f)
{
	const double log_absent = log(ABSENT);

	mg_factor_marginal(marginal, separator);
	for (size_t i = 0; i < f->cells; i++)
		f->v[i] = log(marginal->v[i]);
	/* a slice without mass stays -inf, whatever is added */
	for (size_t i = 0; i < separator->cells; i++)
		separator->v[i] = separator->v[i] > 0 ? -log(separator->v[i]) : 0;
	mg_factor_add(f, separator);
	for (size_t i = 0; i < f->cells; i++)
		f->v[i] = f->v[i] < log_absent ? -INFINITY : f->v[i];
}

/* Multiplies the weights of column col into the first clique that holds it. */
static mg_code
apply_weight(mg_ctx *ctx, mg_arena *a, const mg_junction *tree, uint32_t col, const double *weight, mg_factor *f)
{
	uint32_t c = mg_junction_find(tree, &col, 1);
	mg_factor evidence;

	MG_TRY(mg_factor_make(ctx, a, &col, 1, tree->size, &evidence));
	for (size_t i = 0; i < evidence.cells; i++)
	{
		if (!(weight[i] >= 0) || !isfinite(weight[i]))
			return mg_fail(ctx, MG_INTERNAL, "a weight of a condition is negative or not finite");
		evidence.v[i] = log(weight[i]);
	}
	mg_factor_add(&f[c], &evidence);
	return MG_OK;
}

/* The marginals under the weights, each summing to the model's total, and log of the weights' expectation. */
static mg_code
infer(mg_ctx *ctx, mg_arena *a, const mg_model *m, const double *const *weight, mg_factor **out, double *log_p)
{
	const mg_graphical *g = m->body;
	mg_messages messages;

	MG_TRY(mg_junction_factors(ctx, a, &g->tree, out));
	MG_TRY(mg_messages_make(ctx, a, &g->tree, &messages));
	for (uint32_t c = 0; c < g->tree.count; c++)
	{
		log_conditional(&g->marginal[c], &messages.peak[c], &(*out)[c]);
		MG_TRY(mg_poll(ctx));
	}
	for (uint32_t i = 0; i < m->ncolumns; i++)
		if (weight[i] != NULL)
			MG_TRY(apply_weight(ctx, a, &g->tree, i, weight[i], *out));
	*log_p = mg_junction_calibrate(&g->tree, &messages, m->total, *out);
	MG_TRY(mg_poll(ctx));
	if (*log_p == -INFINITY)
		return mg_fail(ctx, MG_IMPOSSIBLE, "the model gives the conditions no probability");
	if (!isfinite(*log_p))
		return mg_fail(ctx, MG_INTERNAL, "the conditions have no finite probability");
	return MG_OK;
}

mg_code
mg_graphical_condition(mg_ctx *ctx, const mg_model *m, const double *const *weight, mg_sampler **out,
					   double *log_probability)
{
	mg_arena *a = mg_arena_create(0);
	mg_graphical given = *(const mg_graphical *) m->body;
	mg_model conditioned = *m;
	mg_code code;

	if (a == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	code = infer(ctx, a, m, weight, &given.marginal, log_probability);
	conditioned.body = &given;
	if (code == MG_OK)
		code = mg_graphical_compile(ctx, &conditioned, out);
	mg_arena_destroy(a);
	return code;
}
