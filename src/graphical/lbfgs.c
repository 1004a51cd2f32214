/*
 * graphical/lbfgs.c: see lbfgs.h. The line search is Armijo's with quadratic interpolation; strong convexity
 * does the rest.
 */
#include "graphical/lbfgs.h"

#include <math.h>
#include <string.h>

typedef struct point
{
	double *x, *grad;
	double value;
} point;

typedef struct history
{
	double *s[MG_LBFGS_HISTORY], *g[MG_LBFGS_HISTORY]; /* differences of x and of the gradient */
	double rho[MG_LBFGS_HISTORY];
	uint32_t used, next;
} history;

static double
dot(const double *a, const double *b, size_t n)
{
	double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
	size_t i = 0;

	for (; i + 4 <= n; i += 4)
	{
		s0 += a[i] * b[i];
		s1 += a[i + 1] * b[i + 1];
		s2 += a[i + 2] * b[i + 2];
		s3 += a[i + 3] * b[i + 3];
	}
	for (; i < n; i++)
		s0 += a[i] * b[i];
	return (s0 + s1) + (s2 + s3);
}

static void
add_scaled(double *out, double scale, const double *a, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] += scale * a[i];
}

/* d = - H grad by the two-loop recursion. */
static void
choose_direction(const mg_lbfgs *f, const point *at, const history *h, double *d)
{
	double alpha[MG_LBFGS_HISTORY] = {0};
	size_t n = f->dim;

	for (size_t i = 0; i < n; i++)
		d[i] = -at->grad[i];
	for (uint32_t i = 0; i < h->used; i++)
	{
		uint32_t k = (h->next + MG_LBFGS_HISTORY - 1 - i) % MG_LBFGS_HISTORY;

		alpha[k] = h->rho[k] * dot(h->s[k], d, n);
		add_scaled(d, -alpha[k], h->g[k], n);
	}
	f->precondition(f->arg, d);
	for (uint32_t i = h->used; i-- > 0;)
	{
		uint32_t k = (h->next + MG_LBFGS_HISTORY - 1 - i) % MG_LBFGS_HISTORY;

		add_scaled(d, alpha[k] - h->rho[k] * dot(h->g[k], d, n), h->s[k], n);
	}
}

static void
remember(history *h, size_t dim, const point *from, const point *to)
{
	double *s = h->s[h->next], *g = h->g[h->next], sg;

	for (size_t i = 0; i < dim; i++)
	{
		s[i] = to->x[i] - from->x[i];
		g[i] = to->grad[i] - from->grad[i];
	}
	sg = dot(s, g, dim);
	/* convexity makes it positive, but for rounding */
	if (!(sg > 1e-300))
		return;
	h->rho[h->next] = 1 / sg;
	h->next = (h->next + 1) % MG_LBFGS_HISTORY;
	h->used += h->used < MG_LBFGS_HISTORY;
}

/* False: no descent is left above the rounding of the value. */
static bool
line_search(const mg_lbfgs *f, const point *from, const double *d, point *to)
{
	double slope = dot(from->grad, d, f->dim), step = 1;

	if (!(slope < 0))
		return false;
	for (int tries = 0; tries < 30; tries++)
	{
		double curve, best;

		for (size_t i = 0; i < f->dim; i++)
			to->x[i] = from->x[i] + step * d[i];
		to->value = f->evaluate(f->arg, to->x, to->grad);
		if (to->value <= from->value + 1e-4 * step * slope)
			return true;
		curve = 2 * (to->value - from->value - step * slope);
		best = curve > 0 && isfinite(curve) ? -slope * step * step / curve : 0;
		step = best < 0.1 * step ? 0.1 * step : best > 0.6 * step ? 0.6 * step : best;
	}
	return false;
}

static mg_code
make_point(mg_ctx *ctx, mg_arena *a, size_t dim, point *out)
{
	MG_NEW(ctx, a, out->x, dim + 1);
	MG_NEW(ctx, a, out->grad, dim + 1);
	return MG_OK;
}

mg_code
mg_lbfgs_minimise(mg_ctx *ctx, mg_arena *a, const mg_lbfgs *f, double *x, uint32_t *iterations)
{
	history h = {.used = 0};
	point at, to;
	double *d;

	for (int i = 0; i < MG_LBFGS_HISTORY; i++)
	{
		MG_NEW(ctx, a, h.s[i], f->dim + 1);
		MG_NEW(ctx, a, h.g[i], f->dim + 1);
	}
	MG_NEW(ctx, a, d, f->dim + 1);
	MG_TRY(make_point(ctx, a, f->dim, &at));
	MG_TRY(make_point(ctx, a, f->dim, &to));
	memcpy(at.x, x, f->dim * sizeof(double));
	at.value = f->evaluate(f->arg, at.x, at.grad);
	*iterations = 0;
	while (!f->done(f->arg, *iterations, at.x, at.grad, at.value) && *iterations < f->max_iterations)
	{
		point swap = at;

		MG_TRY(mg_poll(ctx));
		choose_direction(f, &at, &h, d);
		if (!line_search(f, &at, d, &to))
			break;
		remember(&h, f->dim, &at, &to);
		at = to;
		to = swap;
		++*iterations;
	}
	memcpy(x, at.x, f->dim * sizeof(double));
	return MG_OK;
}
