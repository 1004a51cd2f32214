/*
 * graphical/estimate.c: ascent of the dual of regularised Private-PGM.
 *
 * Write A for the linear map from the joint to the stacked measured cells and z = A (N P). Introducing z as a
 * variable and multipliers r = -gamma q for z = A (N P), the Lagrangian is minimised by z = y - gamma v q and P
 * = P0 exp(A' q) / Z, and
 *
 *     D(q) / gamma  = <q, y> - gamma/2 <q, v q> - N log( Z(q) / Z(0) )
 *     grad            = y - gamma v q - A (N P_q)                        (y, v: measured values and variances)
 *
 * Since z = A (N P_q) of any q is feasible for the primal, the duality gap is known exactly: F(P_q) - D(q) =
 * 1/2 <grad, grad / v>, in nats of the noise's log-likelihood. That is the stopping rule.
 *
 * Coordinate ascent over whole measurements along the junction tree (sweep.c) climbs it; every few sweeps a fresh
 * inference at q gives exact figures and the gap.
 *
 * A point is evaluated in scaled linear space: exp(q) of the measured cells is multiplied into exp(log P0), no
 * exponential a cell of the cliques; where that leaves the range of doubles, in log space, and from then on.
 *
 * Memory: an arena of its own for the time of the call.
 */
#include "graphical/estimate.h"

#include "graphical/estimate_private.h"

#include <math.h>
#include <string.h>

/*
 * What a log-potential may be away from its clique's largest, and a variable from its measurement's, for linear space
 * to be tried.
 */
#define LINEAR_RANGE 200
/* Sweeps between two looks at the gap. */
#define LOOK_EVERY 4

double
mg_estimate_total(const uint32_t *sizes, const mg_measurement *m, uint32_t count)
{
	double weight = 0, sum = 0;

	for (uint32_t i = 0; i < count; i++)
	{
		size_t cells = 0;
		double y = 0, var = 0;

		if (!mg_factor_count(m[i].cols, m[i].k, sizes, &cells))
			continue;
		for (size_t x = 0; x < cells; x++)
		{
			y += m[i].y[x];
			var += m[i].cell_var != NULL ? m[i].cell_var[x] : m[i].var;
		}
		if (!(var > 0))
			continue;
		sum += y / var;
		weight += 1 / var;
	}
	return weight > 0 && sum / weight > 1 ? sum / weight : 1;
}

static mg_code
set_measurement(mg_ctx *ctx, mge_problem *p, const mg_measurement *m, uint32_t i)
{
	mg_factor *scope = &p->scope[i];

	for (size_t x = 0; x < scope->cells; x++)
	{
		double var = m->cell_var != NULL ? m->cell_var[x] : m->var;

		if (!(var > 0) || !isfinite(var) || !isfinite(m->y[x]) || !isnormal(p->gamma * var))
			return mg_fail(ctx, MG_INVALID, "a measurement is not finite, or its variance is not positive");
		p->y[p->start[i] + x] = m->y[x];
		p->var[p->start[i] + x] = var;
	}
	return MG_OK;
}

/* The smallest clique that holds the measurement; count when none does. */
static uint32_t
smallest_home(const mg_junction *j, const mg_measurement *m)
{
	uint32_t best = j->count;

	for (uint32_t c = 0; c < j->count; c++)
	{
		if ((best == j->count || j->clique[c].cells < j->clique[best].cells) &&
			mg_columns_within(m->cols, m->k, j->clique[c].cols, j->clique[c].k))
			best = c;
	}
	return best;
}

/* base as weights, where they are within the range of doubles. */
static void
set_weights(mge_problem *p)
{
	for (uint32_t c = 0; c < p->j->count && p->weight != NULL; c++)
	{
		const mg_factor *b = &p->base[c];
		double top = -INFINITY;

		for (size_t x = 0; x < b->cells; x++)
			top = b->v[x] > top ? b->v[x] : top;
		if (top == -INFINITY)
			top = 0;
		for (size_t x = 0; x < b->cells; x++)
		{
			double d = b->v[x] - top;

			p->weight[c].v[x] = exp(d);
			if (d < -LINEAR_RANGE && d != -INFINITY)
			{
				p->weight = NULL;
				break;
			}
		}
		p->top[c] = top;
	}
}

static mg_code
set_up(mg_ctx *ctx, mg_arena *a, mge_problem *p, const mg_junction *j, const mg_measurement *m, uint32_t count,
	   double total, double gamma, const mg_factor *prior)
{
	size_t most = 1;

	memset(p, 0, sizeof(*p));
	if (!(gamma > 0) || !isfinite(gamma) || !(total > 0) || !isfinite(total))
		return mg_fail(ctx, MG_INVALID, "estimation needs a positive total and a positive weight of the prior");
	p->j = j;
	p->count = count;
	p->total = total;
	p->gamma = gamma;
	MG_NEW(ctx, a, p->scope, (size_t) count + 1);
	MG_NEW(ctx, a, p->start, (size_t) count + 1);
	MG_NEW(ctx, a, p->home, (size_t) count + 1);
	for (uint32_t i = 0; i < count; i++)
	{
		p->home[i] = smallest_home(j, &m[i]);
		if (p->home[i] == j->count)
			return mg_fail(ctx, MG_INVALID, "a measurement is within no clique");
		MG_TRY(mg_factor_make(ctx, a, m[i].cols, m[i].k, j->size, &p->scope[i]));
		p->start[i] = p->dim;
		p->dim += p->scope[i].cells;
		most = p->scope[i].cells > most ? p->scope[i].cells : most;
	}
	MG_NEW(ctx, a, p->y, p->dim + 1);
	MG_NEW(ctx, a, p->var, p->dim + 1);
	MG_NEW(ctx, a, p->z, p->dim + 1);
	MG_NEW(ctx, a, p->dead, p->dim + 1);
	MG_NEW(ctx, a, p->scale, most);
	MG_NEW(ctx, a, p->top, j->count);
	for (uint32_t i = 0; i < count; i++)
		MG_TRY(set_measurement(ctx, p, &m[i], i));
	MG_TRY(mg_junction_factors(ctx, a, j, &p->base));
	MG_TRY(mg_junction_factors(ctx, a, j, &p->work));
	MG_TRY(mg_junction_factors(ctx, a, j, &p->weight));
	MG_TRY(mg_messages_make(ctx, a, j, &p->messages));
	for (uint32_t c = 0; c < j->count; c++)
		memcpy(p->base[c].v, prior[c].v, prior[c].cells * sizeof(double));
	set_weights(p);
	return MG_OK;
}

/* In linear space; false: it does not fit there. */
static bool
infer_linear(mge_problem *p, const double *q, double *log_z)
{
	double tops = 0;

	for (uint32_t c = 0; c < p->j->count; c++)
		memcpy(p->work[c].v, p->weight[c].v, p->weight[c].cells * sizeof(double));
	for (uint32_t i = 0; q != NULL && i < p->count; i++)
	{
		mg_factor view = p->scope[i];
		const double *at = q + p->start[i];
		const bool *dead = p->dead + p->start[i];
		double top = -INFINITY;

		for (size_t x = 0; x < view.cells; x++)
			top = !dead[x] && at[x] > top ? at[x] : top;
		view.v = p->scale;
		for (size_t x = 0; x < view.cells; x++)
		{
			if (!dead[x] && !(top - at[x] < LINEAR_RANGE))
				return false;
			p->scale[x] = dead[x] ? 0 : exp(at[x] - top);
		}
		tops += top == -INFINITY ? 0 : top;
		mg_factor_scale(&p->work[p->home[i]], &view);
	}
	if (!mg_junction_calibrate_linear(p->j, &p->messages, p->total, p->work, log_z))
		return false;
	for (uint32_t c = 0; c < p->j->count; c++)
		*log_z += p->top[c];
	*log_z += tops;
	return true;
}

/* work = marginals of P0 exp(A' q); returns log Z. q NULL: of P0. */
static double
infer(mge_problem *p, const double *q)
{
	double log_z;

	if (p->weight != NULL)
	{
		if (infer_linear(p, q, &log_z))
		{
			p->evaluations++;
			return log_z;
		}
		p->failures++;
	}
	for (uint32_t c = 0; c < p->j->count; c++)
		memcpy(p->work[c].v, p->base[c].v, p->base[c].cells * sizeof(double));
	for (uint32_t i = 0; q != NULL && i < p->count; i++)
	{
		mg_factor view = p->scope[i];
		double *cells = view.v;

		memcpy(cells, q + p->start[i], view.cells * sizeof(double));
		mg_factor_add(&p->work[p->home[i]], &view);
	}
	p->evaluations++;
	return mg_junction_calibrate(p->j, &p->messages, p->total, p->work);
}

/* z from work. */
static void
read_marginals(mge_problem *p)
{
	for (uint32_t i = 0; i < p->count; i++)
	{
		mg_factor view = p->scope[i];

		view.v = p->z + p->start[i];
		mg_factor_marginal(&p->work[p->home[i]], &view);
	}
}

/* The prior's log Z, and which measured cells it leaves no mass. */
static void
look_at_prior(mge_problem *p)
{
	p->base_log_z = infer(p, NULL);
	read_marginals(p);
	for (size_t x = 0; x < p->dim; x++)
		p->dead[x] = p->z[x] == 0;
}

/* -D / gamma and its gradient. */
static double
evaluate(void *arg, const double *q, double *grad)
{
	mge_problem *p = arg;
	double value = p->total * (infer(p, q) - p->base_log_z);

	read_marginals(p);
	for (size_t x = 0; x < p->dim; x++)
	{
		double pull = p->gamma * p->var[x] * q[x];

		value += p->dead[x] ? 0 : q[x] * (pull / 2 - p->y[x]);
		grad[x] = p->dead[x] ? 0 : p->z[x] - p->y[x] + pull;
	}
	return value;
}

static bool
done(void *arg, uint32_t iteration, const double *q, const double *grad, double value)
{
	mge_problem *p = arg;

	p->gap = 0;
	for (size_t x = 0; x < p->dim; x++)
		p->gap += grad[x] * grad[x] / (2 * p->var[x]);
	if (p->opt->watch != NULL && iteration > 0)
		p->opt->watch(p->opt->watch_arg, p->step, p->before + iteration, -value, p->gap);
	return p->gap <= p->opt->tolerance * (double) p->dim;
}

/*
 * P0 becomes the result; the same q is then the natural first guess of the next step, as the residuals hardly
 * move.
 */
static void
move_prior(mge_problem *p, const double *q)
{
	for (uint32_t i = 0; i < p->count; i++)
	{
		mg_factor view = p->scope[i];

		memcpy(view.v, q + p->start[i], view.cells * sizeof(double));
		mg_factor_add(&p->base[p->home[i]], &view);
	}
}

/* Sweeps until the gap is small. */
static mg_code
ascend(mg_ctx *ctx, mge_problem *p, mge_sweep *sweep, double *q, double *grad, uint32_t *iterations)
{
	uint32_t most = p->opt->max_iterations - p->before, n = 0;
	double value = evaluate(p, q, grad);

	while (!done(p, n, q, grad, value) && n < most)
	{
		bool believed = true;

		MG_TRY(mg_poll(ctx));
		mge_sweep_begin(sweep);
		for (uint32_t i = 0; i < LOOK_EVERY && n < most && believed; i++, n++)
			believed = mge_sweep_run(sweep, q);
		value = evaluate(p, q, grad);
	}
	*iterations = n;
	return MG_OK;
}

static mg_code
run(mg_ctx *ctx, mg_arena *a, mge_problem *p, const mg_estimate_options *opt, mg_factor *f, mg_estimate_report *report)
{
	mg_code code = MG_OK;
	double *q = mg_arena_alloc(a, p->dim + 1, sizeof(double)), *grad = mg_arena_alloc(a, p->dim + 1, sizeof(double));
	mge_sweep *sweep = NULL;

	if ((q == NULL || grad == NULL) && code == MG_OK)
		code = mg_fail(ctx, MG_NOMEM, "out of memory");
	if (code == MG_OK)
		code = mge_sweep_make(ctx, a, p, &sweep);
	p->opt = opt;
	if (code == MG_OK && opt->q != NULL)
		memcpy(q, opt->q, p->dim * sizeof(double));
	for (; p->step < opt->steps && code == MG_OK; p->step++)
	{
		uint32_t iterations = 0;

		if (p->step > 0)
		{
			move_prior(p, q);
			set_weights(p);
		}
		look_at_prior(p);
		if (p->base_log_z == -INFINITY)
			return mg_fail(ctx, MG_INVALID, "no cell of the model is possible");
		for (size_t x = 0; x < p->dim; x++)
			q[x] = p->dead[x] ? 0 : q[x];
		code = ascend(ctx, p, sweep, q, grad, &iterations);
		p->before += iterations;
	}
	if (code != MG_OK)
		return code;
	if (opt->q != NULL)
		memcpy(opt->q, q, p->dim * sizeof(double));
	/* the last evaluation may have been a rejected trial */
	evaluate(p, q, grad);
	for (uint32_t c = 0; c < p->j->count; c++)
		memcpy(f[c].v, p->work[c].v, f[c].cells * sizeof(double));
	*report = (mg_estimate_report){p->before, p->evaluations, 0, p->gap};
	for (size_t x = 0; x < p->dim; x++)
		report->loss += (p->z[x] - p->y[x]) * (p->z[x] - p->y[x]) / (2 * p->var[x]);
	return MG_OK;
}

mg_code
mg_estimate(mg_ctx *ctx, const mg_junction *j, const mg_measurement *m, uint32_t count, double total,
			const mg_estimate_options *opt, mg_factor *f, mg_estimate_report *report)
{
	mg_arena *a = mg_arena_create(0);
	mge_problem p;
	mg_code code;

	if (a == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	code = set_up(ctx, a, &p, j, m, count, total, opt->gamma, f);
	if (code == MG_OK)
		code = run(ctx, a, &p, opt, f, report);
	mg_arena_destroy(a);
	return code;
}

mg_code
mg_estimate_dual(mg_ctx *ctx, const mg_junction *j, const mg_measurement *m, uint32_t count, double total, double gamma,
				 const mg_factor *prior, const double *q, double *value, double *grad)
{
	mg_arena *a = mg_arena_create(0);
	mge_problem p;
	mg_code code;

	if (a == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	code = set_up(ctx, a, &p, j, m, count, total, gamma, prior);
	if (code == MG_OK)
	{
		look_at_prior(&p);
		*value = -evaluate(&p, q, grad);
		for (size_t x = 0; x < p.dim; x++)
			grad[x] = -grad[x];
	}
	mg_arena_destroy(a);
	return code;
}
