/*
 * privacy/loss.c: privacy losses of pairs of laws, on a grid.
 *
 * Connect the dots (Doroshenko et al. 2022): the profile delta(x) = P[L > log x] - x Q[L > log x] of a pair is convex
 * in x = e^epsilon; joining its values at the grid by lines gives a larger profile, that of a loss on the grid. In
 * terms of masses: what P and Q put on a cell (g, g + h) of losses goes to its two ends so that the masses of both are
 * kept. For mass m of P at loss l that is
 *
 *     m A at g + h,  m (1 - A) at g,      A = (1 - e^(g - l)) / (1 - e^-h),
 *
 * so a density p(l) of P contributes int p A and int p (1 - A): sums of positive terms, by Gauss-Legendre quadrature
 * with panels over which the integrand changes by less than a factor of e^0.3 (error of four nodes: 1e-13). No
 * differences of distribution functions, hence no cancellation. The rule treats P and Q alike, so the backward reading
 * of a cell is the cell of the backward pair, and a symmetric pair needs its positive losses only: mass[-i] = e^(-i h)
 * mass[i].
 *
 * Tails. P's mass beyond the last point is `above`, Q's before the first is `below`. What P has before the first is at
 * most e^first below: it is raised to the first point. Likewise backwards at the other end.
 *
 * Densities of P by its loss l:
 *   normal      l ~ N(mu^2 / 2, mu^2)
 *   Laplace, e = 1/scale    masses 1/2 at e and e^-e / 2 at -e, density e^((l - e) / 2) / 4 between
 *   response    masses 1 / (1 + e^-e) at e, 1 / (1 + e^e) at -e
 *   range       delta(x) = (sqrt(a) - sqrt(x))^2 / (a - 1), a = e^epsilon, is the largest over pairs of two points with
 *               losses t and t - epsilon, 0 <= t <= epsilon, which are the worst of bounded range (Dong, Durfee, Rogers
 *               2020); its density is e^((l - epsilon) / 2) / (2 (1 - e^-epsilon)) on |l| < epsilon
 *   zCDP        see envelope_at
 */
#include "privacy/pld_private.h"

#include <float.h>
#include <math.h>

#include "num/special.h"

#define PANEL 0.3 /* the most that the logarithm of an integrand changes over a panel */
#define LOG_SQRT_2PI 0.91893853320467274178

static const double node[4] = {0.06943184420297371, 0.33000947820757187, 0.66999052179242813, 0.93056815579702629};
static const double weight[4] = {0.17392742256872693, 0.32607257743127307, 0.32607257743127307, 0.17392742256872693};

/* T with Phi(-T) <= tail. */
static double
normal_reach(double tail)
{
	if (tail >= 0.5)
		return 0;
	return -mg_normal_quantile(tail < 1e-300 ? 1e-300 : tail) * (1 + 1e-12);
}

/*
 * zCDP. A pair that is rho-zCDP has, for each b = order - 1 > 0, log delta(l) <= b ((1 + b) rho - l - log(1 + 1/b)) -
 * log(1 + b) (Canonne, Kamath, Steinke 2020, Proposition 12), least where (1 + 2b) rho = l + log(1 + 1/b). By the
 * envelope theorem d delta / dl = -b delta there: P[L > l] = (1 + b) delta, Q[L > l] = b delta e^-l, and P's density is
 * delta 2 rho m^2 / (1 + 2 rho m) with m = b (1 + b), positive: the bound is a profile by itself. So is its mirror
 * image at l < 0; about 0 the two meet in a kink of the wrong sense, which the common tangent from -c to c replaces: (1
 * + b) delta + b delta e^-c = 1. The largest profile of all rho-zCDP pairs is convex, hence below that hull too.
 */
typedef struct envelope
{
	double rho, b, log_delta;
} envelope;

/* l must not fall from call to call: b grows with l, and Newton's steps come from the left. */
static void
envelope_at(envelope *e, double l)
{
	for (int i = 0; i < 200; i++)
	{
		double b = e->b, off = l + log1p(1 / b) - (1 + 2 * b) * e->rho, slope = 2 * e->rho + 1 / (b * (b + 1));
		double next = b + off / slope;

		if (!(next > b * (1 + 1e-14)))
			break;
		e->b = next;
	}
	e->log_delta = e->b * ((1 + e->b) * e->rho - l - log1p(1 / e->b)) - log1p(e->b);
}

static double
envelope_above(double rho, double l)
{
	envelope e = {rho, 1e-12, 0};

	envelope_at(&e, l);
	return (1 + e.b) * exp(e.log_delta);
}

static double
envelope_density(envelope *e, double l)
{
	double m;

	envelope_at(e, l);
	m = e->b * (1 + e->b);
	return exp(e->log_delta) * 2 * e->rho * m * m / (1 + 2 * e->rho * m);
}

/* c, from below: the hull then holds a little more than all mass. */
static double
envelope_kink(double rho, double reach)
{
	double low = 0, high = reach;

	for (int i = 0; i < 60; i++)
	{
		double middle = (low + high) / 2;
		envelope e = {rho, 1e-12, 0};

		envelope_at(&e, middle);
		if (exp(e.log_delta) * (1 + e.b + e.b * exp(-middle)) >= 1)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* The loss at x. */
static double
sampled_loss(double q, double sigma, double x)
{
	double t = (x - 0.5) / sigma / sigma;

	return t > 600 ? t + log(q) : log1p(q * expm1(t));
}

/* Q has at most `tail` below low, P above high. */
static void
sampled_range(const mg_pair *pair, double tail, double *low, double *high)
{
	double q = pair->q, sigma = pair->a;

	*low = sampled_loss(q, sigma, -sigma * normal_reach(tail));
	*high = sampled_loss(q, sigma, fmax(sigma * normal_reach(tail / 2), 1 + sigma * normal_reach(tail / 2 / q)));
}

double
mg_pair_reach(const mg_pair *pair, double tail)
{
	double high, low;

	switch (pair->kind)
	{
		case MG_PAIR_NORMAL:
			return pair->a * (pair->a / 2 + normal_reach(tail));
		case MG_PAIR_ZCDP:
			high = pair->a + 2 * sqrt(pair->a * -log(tail < 1e-300 ? 1e-300 : tail)) + 1e-300;
			while (envelope_above(pair->a, high) > tail && high < 1e12)
				high *= 1.25;
			return high;
		case MG_PAIR_LAPLACE:
		case MG_PAIR_RESPONSE:
		case MG_PAIR_RANGE:
			return pair->a;
		case MG_PAIR_DISCRETE_NORMAL:
			/* at least one point on each side */
			return (2 * ceil(pair->a * normal_reach(tail) + 2) - 1) / (2 * pair->a * pair->a);
		case MG_PAIR_SUBSAMPLED_NORMAL:
			sampled_range(pair, tail, &low, &high);
			return fmax(-low, high);
	}
	return INFINITY;
}

/* The positive half of a symmetric loss: mass[i] at i h. */
typedef struct half
{
	double h, span; /* span = 1 - e^-h */
	double *mass;
	size_t cells; /* mass[0 .. cells - 1] */
	double share[4];
} half;

static void
half_add(half *w, double l, double m)
{
	double at = l / w->h;
	size_t i = (size_t) at;
	double up;

	if (i + 2 > w->cells)
		i = w->cells - 2;
	up = -expm1((double) i * w->h - l) / w->span;
	up = up < 0 ? 0 : up > 1 ? 1 : up;
	w->mass[i] += m * (1 - up);
	w->mass[i + 1] += m * up;
}

typedef double (*density_fn)(void *state, double l);

/* A density over (from, to), l >= 0; rate(state, l) bounds |d log p / dl| near l, for the panels. */
static mg_code
half_integrate(mg_ctx *ctx, half *w, density_fn p, density_fn rate, void *state, double from, double to)
{
	size_t first = (size_t) (from / w->h);

	for (size_t i = first; i + 1 < w->cells; i++)
	{
		double g = (double) i * w->h, low = g > from ? g : from, high = g + w->h < to ? g + w->h : to;
		double panels, wide;

		if (i % 8192 == 0)
			MG_TRY(mg_poll(ctx));
		if (!(low < high))
		{
			if (g >= to)
				break;
			continue;
		}
		panels = ceil((high - low) * fmax(rate(state, low), rate(state, high)) / PANEL);
		if (panels <= 1 && low == g && high == g + w->h)
		{
			for (int k = 0; k < 4; k++)
			{
				double m = weight[k] * w->h * p(state, g + node[k] * w->h);

				w->mass[i] += m * (1 - w->share[k]);
				w->mass[i + 1] += m * w->share[k];
			}
			continue;
		}
		if (!(panels >= 1))
			panels = 1;
		if (panels > 1e6)
			panels = 1e6;
		wide = (high - low) / panels;
		for (double j = 0; j < panels; j++)
			for (int k = 0; k < 4; k++)
			{
				double l = low + (j + node[k]) * wide, up = -expm1(g - l) / w->span, m = weight[k] * wide * p(state, l);

				w->mass[i] += m * (1 - up);
				w->mass[i + 1] += m * up;
			}
	}
	return MG_OK;
}

/* Both halves, with what lies beyond. */
static void
half_mirror(const half *w, double above, mg_loss *out)
{
	size_t last = w->cells - 1;

	for (size_t i = 1; i <= last; i++)
	{
		out->mass[last + i] = w->mass[i];
		out->mass[last - i] = w->mass[i] * exp(-(double) i * w->h);
	}
	out->mass[last] = 2 * w->mass[0];
	out->first = -(int64_t) last;
	out->above = out->below = above;
	out->mass[0] += above * exp(-(double) last * w->h);
	out->mass[2 * last] += above;
}

static double
normal_density(void *state, double l)
{
	double mu = *(double *) state, z = (l - mu * mu / 2) / mu;

	return exp(-z * z / 2 - LOG_SQRT_2PI) / mu;
}

static double
normal_rate(void *state, double l)
{
	double mu = *(double *) state;

	return (fabs(l - mu * mu / 2) / mu + 1) / mu;
}

static double
laplace_density(void *state, double l)
{
	return exp((l - *(double *) state) / 2) / 4;
}

static double
range_density(void *state, double l)
{
	double e = *(double *) state;

	return exp((l - e) / 2) / (2 * -expm1(-e));
}

static double
half_rate(void *state, double l)
{
	return 0.5;
}

static double
zcdp_density(void *state, double l)
{
	return envelope_density(state, l);
}

/* |d log p / dl| <= b + 2 (1 + 2b) / (1 + 2 rho m), and 2 rho b^2 <= l b + 1 bounds b. */
static double
zcdp_rate(void *state, double l)
{
	double rho = ((envelope *) state)->rho;

	return 5 * (l + sqrt(l * l + 8 * rho)) / (4 * rho) + 2;
}

/*
 * The discrete Gaussian of integers, sensitivity 1: losses (1 - 2x) / (2 sigma^2), x = 0, -1, ..., on the positive
 * side. Returns the mass beyond.
 */
static mg_code
discrete_normal(mg_ctx *ctx, half *w, double sigma, double reach, double *above)
{
	double s2 = 2 * sigma * sigma, z = 1, points = floor(reach * sigma * sigma + 0.5), rest;

	for (double x = 1;; x++)
	{
		double term = exp(-x * x / s2);

		z += 2 * term;
		if (term < 1e-18 * z)
			break;
	}
	for (double x = 0; x < points; x++)
	{
		if (fmod(x, 8192) == 0)
			MG_TRY(mg_poll(ctx));
		half_add(w, (1 + 2 * x) / s2, exp(-x * x / s2) / z);
	}
	rest = exp(-points * points / s2) / z / -expm1(-(2 * points + 1) / s2);
	*above = rest * (1 + 1e-10);
	return MG_OK;
}

static mg_code
symmetric(mg_ctx *ctx, mg_arena *arena, const mg_pair *pair, double h, double tail, mg_loss *out)
{
	double reach = mg_pair_reach(pair, tail), e = pair->a, above = 0;
	half w = {h, -expm1(-h)};

	w.cells = (size_t) ceil(reach / h * (1 + 1e-14)) + 2;
	MG_NEW(ctx, arena, w.mass, w.cells);
	MG_NEW(ctx, arena, out->mass, 2 * w.cells - 1);
	out->cells = 2 * w.cells - 1;
	for (int k = 0; k < 4; k++)
		w.share[k] = -expm1(-node[k] * h) / w.span;
	switch (pair->kind)
	{
		case MG_PAIR_NORMAL:
			above = mg_normal_cdf(-(reach / e - e / 2)) * (1 + 1e-12);
			MG_TRY(half_integrate(ctx, &w, normal_density, normal_rate, &e, 0, reach));
			break;
		case MG_PAIR_ZCDP:
		{
			envelope s = {e, 1e-12, 0};

			above = envelope_above(e, reach) * (1 + 1e-10);
			MG_TRY(half_integrate(ctx, &w, zcdp_density, zcdp_rate, &s, envelope_kink(e, reach), reach));
			break;
		}
		case MG_PAIR_LAPLACE:
			half_add(&w, e, 0.5);
			MG_TRY(half_integrate(ctx, &w, laplace_density, half_rate, &e, 0, e));
			break;
		case MG_PAIR_RESPONSE:
			half_add(&w, e, 1 / (1 + exp(-e)));
			break;
		case MG_PAIR_RANGE:
			MG_TRY(half_integrate(ctx, &w, range_density, half_rate, &e, 0, e));
			break;
		case MG_PAIR_DISCRETE_NORMAL:
			MG_TRY(discrete_normal(ctx, &w, e, reach, &above));
			break;
		case MG_PAIR_SUBSAMPLED_NORMAL:
			return mg_fail(ctx, MG_INTERNAL, "no symmetric pair");
	}
	half_mirror(&w, above, out);
	return MG_OK;
}

/* What the cells of a subsampled Gaussian share. */
typedef struct sampled
{
	double q, sigma, h, span;
} sampled;

/* x at which the loss is l: e^l = 1 - q + q e^((x - 1/2) / sigma^2); -inf below the least loss. */
static double
position(const sampled *s, double l)
{
	double grown = expm1(l) + s->q; /* q e^.. */

	if (l < 1)
	{
		double v = l - log1p(-s->q);

		if (!(v > 0))
			return -INFINITY;
		grown = (1 - s->q) * expm1(v);
		return s->sigma * s->sigma * log(grown / s->q) + 0.5;
	}
	if (l > 600)
		return s->sigma * s->sigma * (l - log(s->q)) + 0.5;
	return s->sigma * s->sigma * log(grown / s->q) + 0.5;
}

/*
 * One cell (g, g + h), x from `low` to `high`. With e^l = 1 + q E, E = e^((x - 1/2) / sigma^2) - 1, the share of the
 * upper end is (q E - (e^g - 1)) / (1 + q E) / (1 - e^-h): differences of small numbers only.
 */
static void
sampled_cell(const sampled *s, double g, double low, double high, double *at)
{
	double za = low / s->sigma, zb = high / s->sigma, lift = expm1(g);
	double steep = fmax(fabs(za), fabs(zb)) + 1 + 1 / s->sigma, panels = ceil((zb - za) * steep / PANEL);
	double wide = (zb - za) / panels;

	for (double j = 0; j < panels; j++)
		for (int k = 0; k < 4; k++)
		{
			double z = za + (j + node[k]) * wide, t = (z * s->sigma - 0.5) / s->sigma / s->sigma, m, up;
			double p = exp(-z * z / 2 - LOG_SQRT_2PI);

			if (t < 600)
			{
				double grown = s->q * expm1(t);

				m = p * (1 + grown);
				up = (grown - lift) / (1 + grown) / s->span;
			}
			else
			{
				double z1 = z - 1 / s->sigma;

				m = s->q * exp(-z1 * z1 / 2 - LOG_SQRT_2PI) + (1 - s->q) * p;
				up = -expm1(g - t - log(s->q)) / s->span;
			}
			m *= weight[k] * wide;
			up = up < 0 ? 0 : up > 1 ? 1 : up;
			at[0] += m * (1 - up);
			at[1] += m * up;
		}
}

static mg_code
subsampled(mg_ctx *ctx, mg_arena *arena, const mg_pair *pair, double h, double tail, mg_loss *out)
{
	sampled s = {pair->q, pair->a, h, -expm1(-h)};
	double start = -s.sigma * normal_reach(tail), x = start, low, high, end;

	sampled_range(pair, tail, &low, &high);
	out->first = (int64_t) floor(low / h);
	out->cells = (size_t) ((int64_t) ceil(high / h) - out->first) + 2;
	MG_NEW(ctx, arena, out->mass, out->cells);
	for (size_t i = 0; i + 1 < out->cells; i++)
	{
		double g = (double) (out->first + (int64_t) i) * h, next = position(&s, g + h);

		if (i % 4096 == 0)
			MG_TRY(mg_poll(ctx));
		if (next > x)
		{
			sampled_cell(&s, g, x, next, out->mass + i);
			x = next;
		}
	}
	/* x is where the last cell ends */
	end = (1 - s.q) * mg_normal_cdf(-x / s.sigma) + s.q * mg_normal_cdf(-(x - 1) / s.sigma);
	out->above = end * (1 + 1e-10);
	out->below = mg_normal_cdf(start / s.sigma) * (1 + 1e-10);
	out->mass[0] += out->below * exp((double) out->first * h);
	out->mass[out->cells - 1] += out->above;
	return MG_OK;
}

mg_code
mg_loss_discretise(mg_ctx *ctx, mg_arena *arena, const mg_pair *pair, double h, double tail, mg_loss *out)
{
	double reach = mg_pair_reach(pair, tail);

	out->count = pair->count;
	if (!(h > 0) || !(reach / h < (double) (MG_LOSS_MOST_CELLS / 2)))
		return mg_fail(ctx, MG_INVALID, "a privacy loss has too many cells");
	if (pair->kind == MG_PAIR_SUBSAMPLED_NORMAL)
		return subsampled(ctx, arena, pair, h, tail, out);
	return symmetric(ctx, arena, pair, h, tail, out);
}
