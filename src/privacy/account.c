/*
 * privacy/account.c: what each event costs, and what a cost means as (epsilon, delta).
 *
 * Rule of this file: costs and epsilons are rounded up, capacities down, and nothing is NaN. A sum of terms is padded
 * by PAD times the sum of their absolute values, far more than libm and the additions err. Bad parameters cost +inf.
 *
 * Sources. Gaussian: Mironov 2017; discrete Gaussian: Canonne, Kamath, Steinke 2020 ("CKS"), Theorem 4. Laplace:
 * Mironov 2017, Proposition 6. Pure epsilon-DP, hence discrete Laplace: randomised response, see rdp_pure. Exponential
 * mechanism: bounded range, Cesar, Rogers 2021. GNMax: Papernot et al. 2018, Proposition 8. Conversion: CKS,
 * Proposition 12. All pure functions, no state. Several events together are in compose.c.
 */
#include "privacy/account.h"

#include "privacy/rounding.h"

#include <math.h>
#include <string.h>

static const char *const names[MG_EVENT_KINDS] = {
	[MG_EVENT_ZCDP] = "zcdp",
	[MG_EVENT_GAUSSIAN] = "gaussian",
	[MG_EVENT_DISCRETE_GAUSSIAN] = "discrete_gaussian",
	[MG_EVENT_LAPLACE] = "laplace",
	[MG_EVENT_DISCRETE_LAPLACE] = "discrete_laplace",
	[MG_EVENT_EXPONENTIAL] = "exponential",
	[MG_EVENT_POISSON_GAUSSIAN] = "poisson_gaussian",
	[MG_EVENT_GNMAX] = "gnmax",
};

const char *
mg_event_name(mg_event_kind kind)
{
	return (unsigned) kind < MG_EVENT_KINDS ? names[kind] : "unrecognized";
}

bool
mg_event_kind_of(const char *name, mg_event_kind *kind)
{
	for (int k = 0; k < MG_EVENT_KINDS; k++)
		if (strcmp(name, names[k]) == 0)
		{
			*kind = (mg_event_kind) k;
			return true;
		}
	return false;
}

/* log cosh x, full relative accuracy. */
static double
log_cosh(double x)
{
	x = fabs(x);
	if (x < 1)
	{
		double s = sinh(x / 2);

		return log1p(2 * s * s);
	}
	return x - M_LN2 + log1p(exp(-2 * x));
}

/* zCDP of a pure epsilon-DP mechanism: epsilon tanh(epsilon / 2), see rdp_pure. */
static double
rho_pure(double epsilon)
{
	return padded(epsilon * tanh(epsilon / 2));
}

/*
 * RDP of a pure epsilon-DP mechanism. The worst such pair is randomised response with odds e^epsilon (Kairouz, Oh,
 * Viswanath 2015: all others are post-processing of it), whose divergence is
 *
 *	 D_a = log(cosh((a - 1/2) epsilon) / cosh(epsilon / 2)) / (a - 1).
 *
 * The discrete Laplace of scale 1/epsilon attains it: the likelihood ratio of neighbours takes no values but e^epsilon
 * and e^-epsilon. As a function of u = (a - 1/2)^2, log cosh(sqrt(u) epsilon) is concave, so it lies below its tangent
 * at u = 1/4; u - 1/4 = a (a - 1) then gives D_a <= a epsilon tanh(epsilon / 2).
 */
static double
rdp_pure(double epsilon, double alpha)
{
	double above = log_cosh((alpha - 0.5) * epsilon), below = log_cosh(epsilon / 2);
	double exact = (above - below + PAD * (above + below)) / (alpha - 1);
	double bound = least(padded(alpha * rho_pure(epsilon)), epsilon);

	return exact >= 0 ? least(padded(exact), bound) : bound; /* not NaN */
}

/*
 * RDP of the continuous Laplace mechanism, Mironov 2017, Proposition 6, with e = 1 / scale:
 *
 *	 D_a = log(a / (2a - 1) exp((a - 1) e) + (a - 1) / (2a - 1) exp(-a e)) / (a - 1).
 *
 * The weights sum to one; where the exponents are small the terms nearly cancel and expm1 keeps what is left.
 */
static double
rdp_laplace(double e, double alpha)
{
	double up = (alpha - 1) * e, down = alpha * e, wide = 2 * alpha - 1, exact;

	if (down < 1)
	{
		double first = alpha / wide * expm1(up), second = (alpha - 1) / wide * expm1(-down);

		exact = log1p(first + second + PAD * (first - second));
	}
	else
	{
		double weight = log(alpha / wide), other = log1p((alpha - 1) / alpha * exp(-wide * e));

		exact = up + weight + other + PAD * (up - weight + other);
	}
	exact /= alpha - 1;
	return exact >= 0 ? least(padded(exact), rdp_pure(e, alpha)) : rdp_pure(e, alpha);
}

bool
mg_event_valid(const mg_event *e)
{
	if (!isfinite(e->param) || e->param < 0 || !(e->delta >= 0 && e->delta <= 1))
		return false;
	if ((unsigned) e->kind >= MG_EVENT_KINDS)
		return false;
	if (e->kind == MG_EVENT_POISSON_GAUSSIAN && !(e->rate >= 0 && e->rate <= 1))
		return false;
	return e->param > 0 || e->kind == MG_EVENT_ZCDP || e->kind == MG_EVENT_EXPONENTIAL;
}

/* One over x, rounded up. */
static double
inverse(double x)
{
	return padded(1 / x);
}

double
mg_event_rdp(const mg_event *e, double alpha)
{
	double once = INFINITY;

	if (!mg_event_valid(e) || !(alpha > 1) || !isfinite(alpha))
		return INFINITY;
	if (e->count == 0)
		return 0;
	switch (e->kind)
	{
		case MG_EVENT_ZCDP:
			once = alpha * e->param;
			break;
		case MG_EVENT_GAUSSIAN:
		case MG_EVENT_DISCRETE_GAUSSIAN:
			once = alpha / 2 / e->param / e->param;
			break;
		case MG_EVENT_LAPLACE:
			once = rdp_laplace(inverse(e->param), alpha);
			break;
		case MG_EVENT_DISCRETE_LAPLACE:
			once = rdp_pure(inverse(e->param), alpha);
			break;
		case MG_EVENT_EXPONENTIAL:
			once = least(alpha * e->param * e->param / 8, rdp_pure(e->param, alpha));
			break;
		case MG_EVENT_POISSON_GAUSSIAN:
			once = mg_subsampled_rdp(e->rate, e->param, alpha);
			break;
		case MG_EVENT_GNMAX: /* one teacher's vote moves: two counts change by one */
			once = alpha / e->param / e->param;
			break;
	}
	return once >= 0 ? padded(once * (double) e->count) : INFINITY;
}

double
mg_event_rho(const mg_event *e)
{
	double once = INFINITY;

	if (!mg_event_valid(e))
		return INFINITY;
	if (e->count == 0)
		return 0;
	switch (e->kind)
	{
		case MG_EVENT_ZCDP:
			once = e->param;
			break;
		case MG_EVENT_GAUSSIAN:
		case MG_EVENT_DISCRETE_GAUSSIAN:
			once = 0.5 / e->param / e->param;
			break;
		case MG_EVENT_LAPLACE:
		case MG_EVENT_DISCRETE_LAPLACE:
			once = rho_pure(inverse(e->param));
			break;
		case MG_EVENT_EXPONENTIAL:
			once = least(e->param * e->param / 8, rho_pure(e->param));
			break;
		case MG_EVENT_POISSON_GAUSSIAN:
			once = e->rate == 0 ? 0 : 0.5 / e->param / e->param;
			break;
		case MG_EVENT_GNMAX:
			once = 1 / e->param / e->param;
			break;
	}
	return once >= 0 ? padded(once * (double) e->count) : INFINITY;
}

/* CKS, Proposition 12, with b = alpha - 1 given, since 1 + b may round b away. delta in (0, 1). */
static double
convert(double b, double rdp, double delta)
{
	double l = -log(delta), below = -log1p(1 / b), order = log1p(b);
	double epsilon = rdp + below + (l - order) / b;
	double size = rdp - below + (l + order) / b;

	epsilon += PAD * size;
	if (isnan(epsilon))
		return INFINITY;
	return epsilon > 0 ? epsilon : 0;
}

double
mg_rdp_to_epsilon(double alpha, double rdp, double delta)
{
	if (!(alpha > 1) || !isfinite(alpha) || !(rdp >= 0))
		return INFINITY;
	if (rdp == 0)
		return 0; /* the two distributions are the same */
	if (!(delta > 0))
		return INFINITY;
	if (delta >= 1)
		return 0;
	return convert(alpha - 1, rdp, delta);
}

/*
 * The best order for rho-zCDP. d/da of a rho + log(1 - 1/a) - log(delta a) / (a - 1) is rho + log(delta a) / (a - 1)^2:
 * with b = a - 1 the root of rho b^2 = log(1/delta) - log(1 + b), whose left side grows and right side falls. Any order
 * gives a valid bound, so the root need not be exact.
 */
static double
best_order(double rho, double delta)
{
	double l = -log(delta), low, high = log(expm1(l)), from = log(l / rho) / 2 - 1;

	if (!(high < 690))
		high = 690;
	/* b^2 <= l / rho, and log(1 + b) <= b shrinks it: search from well below. */
	low = from - 60 < -690 ? -690 : from - 60;
	if (low > high)
		low = high - 1;
	for (int i = 0; i < 80; i++)
	{
		double middle = (low + high) / 2, b = exp(middle);

		if (rho * b * b + log1p(b) < l)
			low = middle;
		else
			high = middle;
	}
	return exp(low);
}

double
mg_zcdp_order(double rho, double delta)
{
	if (!(rho > 0) || !isfinite(rho) || !(delta > 0 && delta < 1))
		return 2; /* any order is valid */
	return nextafter(1 + best_order(rho, delta), INFINITY);
}

double
mg_zcdp_epsilon(double rho, double delta)
{
	double b;

	if (!(rho >= 0))
		return INFINITY;
	if (rho == 0)
		return 0;
	if (!(delta > 0) || !isfinite(rho))
		return INFINITY;
	if (delta >= 1)
		return 0;
	b = best_order(rho, delta);
	return convert(b, padded(rho + rho * b), delta);
}

/*
 * The same bound solved for delta: log delta = b ((1 + b) rho - epsilon - log(1 + 1/b)) - log(1 + b), stationary where
 * (1 + 2b) rho = epsilon + log(1 + 1/b); the left side grows with b and the right side falls.
 */
double
mg_zcdp_delta(double rho, double epsilon)
{
	double low = -690, high, b, log_delta, size, delta;

	if (!(rho >= 0) || !(epsilon >= 0))
		return 1;
	if (rho == 0)
		return 0;
	if (!isfinite(rho))
		return 1;
	high = log((epsilon + 1) / rho + 2);
	if (!(high < 690))
		high = 690;
	for (int i = 0; i < 80; i++)
	{
		double middle = (low + high) / 2;

		b = exp(middle);
		if ((1 + 2 * b) * rho < epsilon + log1p(1 / b))
			low = middle;
		else
			high = middle;
	}
	b = exp(low);
	log_delta = b * ((1 + b) * rho - epsilon - log1p(1 / b)) - log1p(b);
	size = b * ((1 + b) * rho + epsilon + log1p(1 / b)) + log1p(b);
	delta = exp(log_delta + PAD * size) * (1 + PAD);
	if (!(delta < 1))
		return 1;
	return delta > 0 ? delta : DBL_TRUE_MIN;
}

double
mg_zcdp_rho(double epsilon, double delta)
{
	double low, high;

	if (!(epsilon > 0) || !(delta > 0))
		return 0;
	if (delta >= 1 || !isfinite(epsilon))
		return epsilon; /* any rho would do; a finite answer where there is one */
	low = high = epsilon;
	while (mg_zcdp_epsilon(high, delta) <= epsilon && high < 1e300)
	{
		low = high;
		high *= 2;
	}
	while (mg_zcdp_epsilon(low, delta) > epsilon)
	{
		high = low;
		low /= 2;
		if (low < 1e-300)
			return 0;
	}
	for (int i = 0; i < 100; i++)
	{
		double middle = low + (high - low) / 2;

		if (middle <= low || middle >= high)
			break;
		if (mg_zcdp_epsilon(middle, delta) <= epsilon)
			low = middle;
		else
			high = middle;
	}
	return low;
}
