/*
 * graphical/estimate.c: L-BFGS on the dual of regularised Private-PGM.
 *
 * Write A for the linear map from the joint to the stacked measured cells and z = A (N P). Introducing z as a variable and
 * multipliers r = -gamma q for z = A (N P), the Lagrangian is minimised by z = y - gamma v q and P = P0 exp(A' q) / Z, and
 *
 *     D(q) / gamma  = <q, y> - gamma/2 <q, v q> - N log( Z(q) / Z(0) )
 *     grad            = y - gamma v q - A (N P_q)                        (y, v: measured values and variances)
 *
 * Since z = A (N P_q) of any q is feasible for the primal, the duality gap is known exactly: F(P_q) - D(q) = 1/2 <grad, grad / v>, in
 * nats of the noise's log-likelihood. That is the stopping rule.
 *
 * The Hessian is -(gamma diag(v) + Cov), where Cov is close to diag(z) (counts of a multinomial), so 1 / (gamma v + z) is the
 * initial matrix of the L-BFGS recursion (Nocedal 1980).
 *
 * Memory: an arena of its own for the time of the call.
 */
#include "graphical/estimate.h"

#include <math.h>
#include <string.h>

#define HISTORY 8

typedef struct problem
{
	const mg_junction *j;
	uint32_t count;
	size_t dim;         /* measured cells */
	double total, gamma;
	mg_factor *scope;   /* [count] views: columns of measurement i; v points where it is needed */
	size_t *start;      /* [count] first cell of measurement i in the arrays below */
	uint32_t *home;     /* [count] its clique */
	double *y, *var;    /* [dim] */
	mg_factor *base;    /* log-potentials of P0 */
	double base_log_z;
	mg_factor *work;    /* potentials, then marginals at the last evaluated point */
	mg_messages messages;
	uint32_t evaluations;
} problem;

typedef struct point
{
	double *q, *grad, *z; /* [dim]; grad is of -D / gamma */
	double value;         /* -D / gamma */
	double gap;
} point;

typedef struct history
{
	double *s[HISTORY], *g[HISTORY]; /* differences of q and of grad */
	double rho[HISTORY];
	uint32_t used, next;
} history;

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

size_t
mg_estimate_memory(size_t cells, size_t measured)
{
	return sizeof(double) * (2 * cells + (2 * HISTORY + 10) * measured);
}

static mg_code
set_measurement(mg_ctx *ctx, problem *p, const mg_measurement *m, uint32_t i)
{
	mg_factor *scope = &p->scope[i];

	for (size_t x = 0; x < scope->cells; x++)
	{
		double var = m->cell_var != NULL ? m->cell_var[x] : m->var;

		if (!(var > 0) || !isfinite(var) || !isfinite(m->y[x]))
			return mg_fail(ctx, MG_INVALID, "a measurement is not finite, or its variance is not positive");
		p->y[p->start[i] + x] = m->y[x];
		p->var[p->start[i] + x] = var;
	}
	return MG_OK;
}

static mg_code
set_up(mg_ctx *ctx, mg_arena *a, problem *p, const mg_junction *j, const mg_measurement *m, uint32_t count, double total,
	   double gamma, const mg_factor *prior)
{
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
		p->home[i] = mg_junction_find(j, m[i].cols, m[i].k);
		if (p->home[i] == j->count)
			return mg_fail(ctx, MG_INVALID, "a measurement is within no clique");
		MG_TRY(mg_factor_make(ctx, a, m[i].cols, m[i].k, j->size, &p->scope[i]));
		p->start[i] = p->dim;
		p->dim += p->scope[i].cells;
	}
	MG_NEW(ctx, a, p->y, p->dim + 1);
	MG_NEW(ctx, a, p->var, p->dim + 1);
	for (uint32_t i = 0; i < count; i++)
		MG_TRY(set_measurement(ctx, p, &m[i], i));
	MG_TRY(mg_junction_factors(ctx, a, j, &p->base));
	MG_TRY(mg_junction_factors(ctx, a, j, &p->work));
	MG_TRY(mg_messages_make(ctx, a, j, &p->messages));
	for (uint32_t c = 0; c < j->count; c++)
		memcpy(p->base[c].v, prior[c].v, prior[c].cells * sizeof(double));
	return MG_OK;
}

/* work = marginals of P0 exp(A' q); returns log Z. q NULL: of P0. */
static double
infer(problem *p, const double *q)
{
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

static void
evaluate(problem *p, point *at)
{
	double log_z = infer(p, at->q), value, gap = 0;

	value = p->total * (log_z - p->base_log_z);
	for (uint32_t i = 0; i < p->count; i++)
	{
		mg_factor view = p->scope[i];

		view.v = at->z + p->start[i];
		mg_factor_marginal(&p->work[p->home[i]], &view);
	}
	for (size_t x = 0; x < p->dim; x++)
	{
		double pull = p->gamma * p->var[x] * at->q[x];

		value += at->q[x] * (pull / 2 - p->y[x]);
		at->grad[x] = at->z[x] - p->y[x] + pull;
		gap += at->grad[x] * at->grad[x] / p->var[x];
	}
	at->value = value;
	at->gap = gap / 2;
}

static double
dot(const double *a, const double *b, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

/* direction = - H grad by the two-loop recursion, with H0 = 1 / (gamma v + z). alpha: scratch. */
static void
choose_direction(const problem *p, const point *at, const history *h, double *direction)
{
	double alpha[HISTORY];
	size_t n = p->dim;

	for (size_t x = 0; x < n; x++)
		direction[x] = -at->grad[x];
	for (uint32_t i = 0; i < h->used; i++)
	{
		uint32_t k = (h->next + HISTORY - 1 - i) % HISTORY;

		alpha[k] = h->rho[k] * dot(h->s[k], direction, n);
		for (size_t x = 0; x < n; x++)
			direction[x] -= alpha[k] * h->g[k][x];
	}
	for (size_t x = 0; x < n; x++)
		direction[x] /= p->gamma * p->var[x] + at->z[x];
	for (uint32_t i = h->used; i-- > 0;)
	{
		uint32_t k = (h->next + HISTORY - 1 - i) % HISTORY;
		double beta = h->rho[k] * dot(h->g[k], direction, n);

		for (size_t x = 0; x < n; x++)
			direction[x] += (alpha[k] - beta) * h->s[k][x];
	}
}

static void
remember(const problem *p, history *h, const point *from, const point *to)
{
	double *s = h->s[h->next], *g = h->g[h->next], sg;

	for (size_t x = 0; x < p->dim; x++)
	{
		s[x] = to->q[x] - from->q[x];
		g[x] = to->grad[x] - from->grad[x];
	}
	sg = dot(s, g, p->dim);
	/* strong convexity makes it positive; only rounding could not */
	if (!(sg > 1e-300))
		return;
	h->rho[h->next] = 1 / sg;
	h->next = (h->next + 1) % HISTORY;
	h->used += h->used < HISTORY;
}

/* Backtracking with quadratic interpolation (Armijo). False: no descent is left above the rounding of the objective. */
static bool
line_search(problem *p, const point *from, const double *direction, point *to)
{
	double slope = dot(from->grad, direction, p->dim), step = 1;

	if (!(slope < 0))
		return false;
	for (int tries = 0; tries < 30; tries++)
	{
		double model;

		for (size_t x = 0; x < p->dim; x++)
			to->q[x] = from->q[x] + step * direction[x];
		evaluate(p, to);
		if (to->value <= from->value + 1e-4 * step * slope)
			return true;
		model = 2 * (to->value - from->value - step * slope);
		model = model > 0 && isfinite(model) ? -slope * step * step / model : 0;
		step = model < 0.1 * step ? 0.1 * step : model > 0.6 * step ? 0.6 * step : model;
	}
	return false;
}

static mg_code
make_point(mg_ctx *ctx, mg_arena *a, size_t dim, point *out)
{
	MG_NEW(ctx, a, out->q, dim + 1);
	MG_NEW(ctx, a, out->grad, dim + 1);
	MG_NEW(ctx, a, out->z, dim + 1);
	return MG_OK;
}

/* One minimisation, from at->q; the result is in `at` (and swapped with `spare` on the way). */
static mg_code
minimise(mg_ctx *ctx, problem *p, const mg_estimate_options *opt, uint32_t step, history *h, double *direction, point *at,
		 point *spare, uint32_t *iterations)
{
	double enough = opt->tolerance * (double) p->dim;

	h->used = h->next = 0;
	p->base_log_z = infer(p, NULL);
	evaluate(p, at);
	while (at->gap > enough && *iterations < opt->max_iterations)
	{
		point swap;

		MG_TRY(mg_poll(ctx));
		choose_direction(p, at, h, direction);
		if (!line_search(p, at, direction, spare))
			break;
		remember(p, h, at, spare);
		swap = *at;
		*at = *spare;
		*spare = swap;
		++*iterations;
		if (opt->watch != NULL)
			opt->watch(opt->watch_arg, step, *iterations, -at->value, at->gap);
	}
	return MG_OK;
}

/* P0 becomes the result; the same q is then the natural first guess of the next step, as the residuals hardly move. */
static void
move_prior(problem *p, const double *q)
{
	for (uint32_t i = 0; i < p->count; i++)
	{
		mg_factor view = p->scope[i];

		memcpy(view.v, q + p->start[i], view.cells * sizeof(double));
		mg_factor_add(&p->base[p->home[i]], &view);
	}
}

static mg_code
run(mg_ctx *ctx, mg_arena *a, problem *p, const mg_estimate_options *opt, mg_factor *f, mg_estimate_report *report)
{
	history h;
	point at, spare;
	double *direction;

	for (int i = 0; i < HISTORY; i++)
	{
		MG_NEW(ctx, a, h.s[i], p->dim + 1);
		MG_NEW(ctx, a, h.g[i], p->dim + 1);
	}
	MG_NEW(ctx, a, direction, p->dim + 1);
	MG_TRY(make_point(ctx, a, p->dim, &at));
	MG_TRY(make_point(ctx, a, p->dim, &spare));
	memset(report, 0, sizeof(*report));
	for (uint32_t step = 0; step < opt->steps; step++)
	{
		if (step > 0)
			move_prior(p, at.q);
		MG_TRY(minimise(ctx, p, opt, step, &h, direction, &at, &spare, &report->iterations));
		mg_progress(ctx, "estimation", (step + 1.0) / opt->steps);
	}
	/* the last evaluation may have been a rejected trial */
	infer(p, at.q);
	for (uint32_t c = 0; c < p->j->count; c++)
		memcpy(f[c].v, p->work[c].v, f[c].cells * sizeof(double));
	for (size_t x = 0; x < p->dim; x++)
		report->loss += (at.z[x] - p->y[x]) * (at.z[x] - p->y[x]) / (2 * p->var[x]);
	report->gap = at.gap;
	report->evaluations = p->evaluations;
	return MG_OK;
}

mg_code
mg_estimate(mg_ctx *ctx, const mg_junction *j, const mg_measurement *m, uint32_t count, double total,
			const mg_estimate_options *opt, mg_factor *f, mg_estimate_report *report)
{
	mg_arena *a = mg_arena_create(0);
	problem p;
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
	problem p;
	point at = {0};
	mg_code code;

	if (a == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	code = set_up(ctx, a, &p, j, m, count, total, gamma, prior);
	if (code == MG_OK)
		code = make_point(ctx, a, p.dim, &at);
	if (code == MG_OK)
	{
		p.base_log_z = infer(&p, NULL);
		memcpy(at.q, q, p.dim * sizeof(double));
		evaluate(&p, &at);
		*value = -at.value;
		for (size_t x = 0; x < p.dim; x++)
			grad[x] = -at.grad[x];
	}
	mg_arena_destroy(a);
	return code;
}
