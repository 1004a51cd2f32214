/*
 * privacy/tail.c: the tail of the discrete Gaussian and the threshold of partition selection.
 *
 * This file computes published bounds, not noise, so floating point is allowed; every result is rounded towards less
 * privacy spent than claimed: tails upwards. It owns no memory.
 *
 * For k >= 1 and f(x) = exp(-x^2 / (2 s2)), Pr[X >= k] = sum_{x >= k} f(x) / Z with Z = sum over all integers.
 *
 *   Z, small s2: summed. Any s2: Z >= sqrt(2 pi s2) by Poisson summation (the transform of f is positive).
 *   Tail, small s2: summed until the rest, bounded by a geometric series (the ratio of terms falls), is negligible.
 *   Otherwise, where f is convex on [k - 1/2, oo), that is for k - 1/2 >= s: f(x) is at most its
 *   mean over [x - 1/2, x + 1/2] (Hermite, Hadamard), so the sum is at most the integral from k - 1/2. Elsewhere f
 *   decreases, and the sum is at most f(k) + integral from k.
 */
#include "privacy/noise_private.h"

#include <float.h>
#include <math.h>

#include "num/special.h"

#define SUMMED_VARIANCE 4096.0 /* sums of a few hundred terms below it */
#define ROUNDING 1e-10         /* relative; the sums, exp and erfc err by less than 1e-12 here */
#define LEAST_TAIL 1e-300

/* sum_{x >= k} exp(-(x^2 - k^2) / (2 s2)), k >= 0, from above but for rounding. */
static double
tail_ratio(double s2, double k)
{
	double sum = 0;

	for (double j = 0;; j++)
	{
		double term = exp(-j * (2 * k + j) / (2 * s2));
		double step = (2 * (k + j) + 1) / (2 * s2); /* next term = term exp(-step); step grows with j */
		double rest = term * exp(-step) / -expm1(-step);

		sum += term;
		if (rest <= 1e-17 * sum)
			return sum + rest;
	}
}

/* log Pr[X >= k] for k >= 1, from above but for rounding. */
static double
log_tail(double s2, double k)
{
	double s = sqrt(s2);

	if (s2 <= SUMMED_VARIANCE)
	{
		double z = 2 * tail_ratio(s2, 0) - 1;

		/* tail_ratio exceeds the sum by 1e-17 of it at most: z is right to rounding. */
		return -k * k / (2 * s2) + log(tail_ratio(s2, k)) - log(z);
	}
	if (k - 0.5 >= s)
		return mg_log_normal_cdf(-(k - 0.5) / s);
	return mg_log_add(-k * k / (2 * s2) - 0.5 * log(2 * M_PI * s2), mg_log_normal_cdf(-k / s));
}

double
mg_discrete_gaussian_tail(mg_ratio sigma2, int64_t threshold_minus_one)
{
	double tail, k = (double) threshold_minus_one;

	if (!mg_ratio_valid(sigma2) || threshold_minus_one <= 0)
		return 1; /* a threshold of one or less releases every label: no bound is claimed */
	/* Rounding of the ratio and of k: towards the larger tail. */
	tail = exp(log_tail(mg_ratio_value(sigma2) * (1 + 4 * DBL_EPSILON), k * (1 - DBL_EPSILON)));
	tail *= 1 + ROUNDING;
	if (!(tail <= 1))
		return 1;
	return tail < LEAST_TAIL ? LEAST_TAIL : tail;
}

mg_code
mg_partition_threshold(mg_ctx *ctx, mg_ratio sigma2, double delta, int64_t *threshold)
{
	int64_t low = 0, high = 1; /* tail(low) > delta; tail(high) <= delta once found */

	if (!mg_ratio_valid(sigma2))
		return mg_fail(ctx, MG_INVALID, "the variance of partition selection is out of range");
	if (!(delta >= LEAST_TAIL && delta < 1))
		return mg_fail(ctx, MG_INVALID, "the delta of partition selection is out of range");
	while (mg_discrete_gaussian_tail(sigma2, high) > delta)
	{
		low = high;
		high *= 2; /* sigma <= 2^26.5, and the tail is below 1e-300 at 40 sigma: no overflow */
	}
	while (high - low > 1)
	{
		int64_t middle = low + (high - low) / 2;

		if (mg_discrete_gaussian_tail(sigma2, middle) <= delta)
			high = middle;
		else
			low = middle;
	}
	*threshold = high + 1;
	return MG_OK;
}
