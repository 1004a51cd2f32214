/*
 * num/special.c: special functions in double precision, over libm. No state, no memory.
 *
 * NaN in gives NaN out. Sources: the asymptotic series of the normal tail (Abramowitz, Stegun 26.2.12); log(1 - e^-x)
 * after Maechler 2012.
 */
#include "num/special.h"

#include <math.h>

#define LOG_SQRT_2PI 0.91893853320467274178

double
mg_log_add(double a, double b)
{
	double high = a > b ? a : b, low = a > b ? b : a;

	if (isnan(a) || isnan(b))
		return NAN;
	if (high == -INFINITY || high == INFINITY)
		return high;
	return high + log1p(exp(low - high));
}

double
mg_log_sum_exp(const double *x, size_t n)
{
	double high = -INFINITY, sum = 0;

	for (size_t i = 0; i < n; i++)
	{
		if (isnan(x[i]))
			return NAN;
		if (x[i] > high)
			high = x[i];
	}
	if (high == -INFINITY || high == INFINITY)
		return high;
	for (size_t i = 0; i < n; i++)
		sum += exp(x[i] - high);
	return high + log(sum);
}

double
mg_log_sub(double a, double b)
{
	if (b == -INFINITY)
		return a;
	if (a == b)
		return -INFINITY;
	return a + mg_log1mexp(a - b);
}

double
mg_normal_cdf(double x)
{
	return 0.5 * erfc(-x * M_SQRT1_2);
}

double
mg_log_normal_cdf(double x)
{
	if (x > 0)
		return log1p(-0.5 * erfc(x * M_SQRT1_2));
	if (x >= -30)
		return log(0.5 * erfc(-x * M_SQRT1_2));
	else
	{
		/* Phi(x) = phi(x) / -x (1 - 1/x^2 + 3/x^4 - 15/x^6 + 105/x^8 - ...); the next term is below 2e-14 here */
		double y = 1 / x / x, series = y * (-1 + y * (3 + y * (-15 + y * (105 - y * 945))));

		return -0.5 * x * x - LOG_SQRT_2PI - log(-x) + log1p(series);
	}
}

/*
 * Newton on log Phi(x) = log p for p <= 1/2. log Phi is concave and increasing and Phi(-sqrt(-2 log p)) <= p / 2, so
 * the steps go up to the root without passing it; they end when rounding stops them. The upper half is its mirror image
 * (1 - p is exact for p in [1/2, 1]).
 */
double
mg_normal_quantile(double p)
{
	double target, x;

	if (!(p >= 0 && p <= 1))
		return NAN;
	if (p > 0.5)
		return -mg_normal_quantile(1 - p);
	if (p == 0)
		return -INFINITY;
	if (p == 0.5)
		return 0;
	target = log(p);
	x = -sqrt(-2 * target);
	for (int i = 0; i < 64; i++)
	{
		double at = mg_log_normal_cdf(x), slope = exp(-0.5 * x * x - LOG_SQRT_2PI - at);
		double next = x + (target - at) / slope;

		if (!(next > x))
			break;
		x = next;
	}
	return x;
}

double
mg_log1mexp(double x)
{
	return x < M_LN2 ? log(-expm1(-x)) : log1p(-exp(-x));
}
