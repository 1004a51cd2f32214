/*
 * privacy/subsampled.c: Renyi divergence of the Gaussian mechanism on a Poisson sample.
 *
 * With N0, N1 the normal laws of mean 0, 1 and deviation sigma and r = 1 + y, y = q (N1/N0 - 1), the divergence of
 * order a of the mixture (1 - q) N0 + q N1 from N0 is log(A) / (a - 1), A = E_N0[r^a], and the other direction is never
 * larger (Mironov, Talwar, Zhang 2019, Theorem 5). They expand A into series, one for integer orders and one for
 * others, whose terms alternate; here one positive integral serves all orders. As E_N0[y] = 0,
 *
 *     A - 1 = E_N0[g],   g = (1 + y)^a - 1 - a y >= 0  (Bernoulli),
 *
 * which keeps full relative accuracy where A is next to 1, and is summed by the trapezoidal rule on the whole line.
 *
 * Error of the rule with step h (Trefethen, Weideman 2014, Theorem 5.1): 2 M / (exp(2 pi c / h) - 1) for an integrand
 * that is analytic in |Im x| < c with integrals of its modulus at most M on each line there. (1 + y) vanishes only
 * where the imaginary part of x is pi sigma^2 or more; below, |1 + y(x + ic)| <= 1 + y(x) and |N0(x + ic)| = N0(x)
 * exp(c^2 / (2 sigma^2)), so M <= exp(c^2 / (2 sigma^2)) (A + 1 + 2 a q). The step makes
 * exp(c^2 / (2 sigma^2) - 2 pi c / h) = exp(-DIGITS), with the best c within the strip. The sum is cut 9.5 deviations
 * outside the two peaks at most, 0 and a: what is cut is below 1e-20 (A - 1) max(1, sigma^2).
 */
#include "privacy/account.h"

#include <math.h>

#include "num/special.h"

#define DIGITS 42.0
#define REACH 9.5
#define MOST_NODES 20000
#define RELATIVE 1e-11 /* more than the nodes' rounding: exponents are below 2^14 where it matters */

/* log((1 + y)^(1 + b) - 1 - (1 + b) y) for L = log(1 + y). */
static double
log_excess(double y, double L, double b)
{
	double a = 1 + b, grow = b * L;

	if (fabs(y) < 0.01 && fabs(a * y) < 0.01)
	{
		/* the binomial series from its square on; each term is below a hundredth of the one before */
		double term = a * b / 2, sum = 0, power = 1;

		for (int k = 3; k <= 10; k++)
		{
			sum += term * power;
			term *= (a - k + 1) / k;
			power *= y;
		}
		return log(sum) + 2 * log(fabs(y));
	}
	if (grow > 40)
		return L + grow + log1p(-(1 - b * expm1(-L)) * exp(-grow));
	return L + log(expm1(grow) + b * expm1(-L));
}

static double
trapezoid_step(double sigma)
{
	double wide = M_PI * sqrt(2 / DIGITS) * sigma; /* c = 2 pi sigma^2 / h */

	if (2 * M_PI * sigma * sigma / wide <= M_PI * sigma * sigma)
		return wide;
	return 2 * M_PI * M_PI * sigma * sigma / (DIGITS + M_PI * M_PI * sigma * sigma / 2); /* c = pi sigma^2 */
}

double
mg_subsampled_rdp(double q, double sigma, double alpha)
{
	double b = alpha - 1, whole, h, low, nodes, high = -INFINITY, sum = 0, excess, rdp;

	if (!(q >= 0 && q <= 1) || !(sigma > 0) || !isfinite(sigma) || !(b > 0) || !isfinite(alpha))
		return INFINITY;
	if (q == 0)
		return 0;
	whole = alpha / 2 / sigma / sigma;
	h = trapezoid_step(sigma);
	low = -REACH * sigma;
	nodes = (alpha + 2 * REACH * sigma) / h;
	/* Without sampling it is the same; with very small or large figures it is too much work for too little. */
	if (q == 1 || sigma > 1e7 || !(nodes <= MOST_NODES))
		return whole * (1 + RELATIVE);
	for (int i = 0; i <= (int) nodes + 1; i++)
	{
		double x = low + h * i, s = (x - 0.5) / sigma / sigma, y, L, t;

		if (s > 690) /* 1 + y = q exp(s) to rounding */
			L = log(q) + s, t = alpha * L;
		else
		{
			y = q * expm1(s);
			L = log1p(y);
			if (y == 0)
				continue;
			t = log_excess(y, L, b);
		}
		t -= x / sigma * (x / sigma) / 2;
		if (t <= high)
		{
			if (t > high - 60)
				sum += exp(t - high);
		}
		else if (t > high)
		{
			sum = sum * exp(high - t) + 1;
			high = t;
		}
	}
	excess = high + log(sum * h / sigma) - 0.91893853320467274178; /* log(A - 1) */
	if (isnan(excess))
		return INFINITY;
	excess = mg_log_add(excess, log(4 * exp(-DIGITS) * (2 + 2 * alpha * q)) + (excess > 0 ? excess : 0));
	rdp = mg_log_add(0, excess) / b * (1 + RELATIVE);
	return rdp < whole ? rdp : whole * (1 + RELATIVE);
}
