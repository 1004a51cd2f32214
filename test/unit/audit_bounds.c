/*
 * test/unit/audit_bounds.c: see the header. Pure; memory is freed before a call returns, and a test program that has
 * none aborts.
 */
#include "audit_bounds.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "num/special.h"

#define EVENTS 4        /* "at least t" and "below t", each likelier on one table or on the other */
#define THRESHOLDS 1000 /* tried at most; those between are so near that nothing is lost */
#define CHOOSING_Z 5.2  /* about AUDIT_ERROR / 8 of a normal: only for choosing */

/* Pr[at least k of n], 0 < p < 1. Terms fall from k on, as k > n p wherever it matters. */
static double
binomial_tail(size_t n, size_t k, double p)
{
	double first = lgamma((double) n + 1) - lgamma((double) k + 1) - lgamma((double) (n - k) + 1) +
				   (double) k * log(p) + (double) (n - k) * log1p(-p);
	double sum = 0, ratio = 1;

	for (size_t i = k; i <= n && ratio > 1e-18; i++)
	{
		sum += ratio;
		ratio *= (double) (n - i) / (double) (i + 1) * (p / (1 - p));
	}
	return exp(first) * sum;
}

double
audit_least_probability(size_t n, size_t k, double error)
{
	double low = 0, high = (double) k / (double) n;

	if (k == 0)
		return 0;
	if (k == n)
		return pow(error, 1 / (double) n);
	for (int i = 0; i < 60; i++)
	{
		double middle = (low + high) / 2;

		if (binomial_tail(n, k, middle) < error)
			low = middle;
		else
			high = middle;
	}
	return low;
}

double
audit_most_probability(size_t n, size_t k, double error)
{
	return 1 - audit_least_probability(n, n - k, error);
}

double
audit_gaussian_epsilon(double mu, double delta)
{
	double low = 0, high = mu * mu / 2 + mu * 40; /* delta is below 1e-300 there */

	if (!(mu > 0))
		return 0;
	for (int i = 0; i < 100; i++)
	{
		double e = (low + high) / 2;
		double there = mg_normal_cdf(mu / 2 - e / mu) - exp(e + mg_log_normal_cdf(-mu / 2 - e / mu));

		if (there > delta)
			low = e;
		else
			high = e;
	}
	return low;
}

static int
ascending(const void *x, const void *y)
{
	double a = *(const double *) x, b = *(const double *) y;

	return (a > b) - (a < b);
}

static double *
sorted(const double *v, size_t n)
{
	double *s = malloc(n * sizeof(*s));

	if (s == NULL)
		abort();
	memcpy(s, v, n * sizeof(*s));
	qsort(s, n, sizeof(*s), ascending);
	return s;
}

/* How many of v[0..n-1], ascending, are at least t. */
static size_t
at_least(const double *v, size_t n, double t)
{
	size_t low = 0, high = n;

	while (low < high)
	{
		size_t middle = low + (high - low) / 2;

		if (v[middle] < t)
			low = middle + 1;
		else
			high = middle;
	}
	return n - low;
}

/* The outcomes of both tables, ascending. */
typedef struct half
{
	double *without, *with;
	size_t n;
} half;

/* Counts of event kind i at t: *likely on the table that it is to be likelier on. */
static void
count_event(const half *h, int i, double t, size_t *likely, size_t *other)
{
	size_t a = at_least(h->with, h->n, t), b = at_least(h->without, h->n, t);

	if (i & 1)
	{
		a = h->n - a;
		b = h->n - b;
	}
	*likely = i & 2 ? b : a;
	*other = i & 2 ? a : b;
}

/* About what Clopper-Pearson would say (Wilson 1927), at a hundredth of the cost: for choosing. */
static double
about(size_t n, size_t k, double z)
{
	double p = (double) k / (double) n, m = (double) n;

	return (p + z * z / (2 * m) + z * sqrt(p * (1 - p) / m + z * z / (4 * m * m))) / (1 + z * z / m);
}

static double
ratio(double p, double q, double delta)
{
	return p > delta && q > 0 ? log((p - delta) / q) : -INFINITY;
}

static double
about_epsilon(const half *h, int i, double t, double delta)
{
	size_t likely, other;

	count_event(h, i, t, &likely, &other);
	return ratio(about(h->n, likely, -CHOOSING_Z), about(h->n, other, CHOOSING_Z), delta);
}

static double
normal_quantile(double p)
{
	return p <= 0 ? -INFINITY : p >= 1 ? INFINITY : mg_normal_quantile(p);
}

static double
about_mu(const half *h, double t)
{
	size_t likely, other;

	count_event(h, 0, t, &likely, &other);
	return normal_quantile(about(h->n, likely, -CHOOSING_Z)) - normal_quantile(about(h->n, other, CHOOSING_Z));
}

static double
proved_epsilon(const half *h, int i, double t, double delta, double error)
{
	size_t likely, other;

	count_event(h, i, t, &likely, &other);
	return ratio(audit_least_probability(h->n, likely, error / 2), audit_most_probability(h->n, other, error / 2),
				 delta);
}

static double
proved_mu(const half *h, double t, double error)
{
	size_t likely, other;

	count_event(h, 0, t, &likely, &other);
	return normal_quantile(audit_least_probability(h->n, likely, error / 2)) -
		   normal_quantile(audit_most_probability(h->n, other, error / 2));
}

/* Thresholds are outcomes of the choosing half. */
typedef struct choice
{
	double t[EVENTS], value[EVENTS];
	double mu_t, mu;
} choice;

static void
choose_at(choice *c, const half *h, double t, double delta)
{
	double mu = about_mu(h, t);

	for (int i = 0; i < EVENTS; i++)
	{
		double e = about_epsilon(h, i, t, delta);

		if (e > c->value[i])
		{
			c->value[i] = e;
			c->t[i] = t;
		}
	}
	if (mu > c->mu)
	{
		c->mu = mu;
		c->mu_t = t;
	}
}

static choice
choose(const half *h, double delta)
{
	choice c = {.mu = -INFINITY, .mu_t = h->with[h->n / 2]};
	size_t step = h->n / (THRESHOLDS / 2) + 1;

	for (int i = 0; i < EVENTS; i++)
	{
		c.value[i] = -INFINITY;
		c.t[i] = c.mu_t;
	}
	for (size_t i = 0; i < h->n; i += step)
	{
		choose_at(&c, h, h->with[i], delta);
		choose_at(&c, h, h->without[i], delta);
	}
	return c;
}

audit_bound
audit_lower_bound(const double *without, const double *with, size_t n, double delta, bool gaussian)
{
	size_t m = n / 2;
	half first = {sorted(without, m), sorted(with, m), m};
	half second = {sorted(without + m, n - m), sorted(with + m, n - m), n - m};
	choice c = choose(&first, delta);
	double error = (gaussian ? AUDIT_ERROR / 2 : AUDIT_ERROR) / EVENTS;
	audit_bound b = {0};

	for (int i = 0; i < EVENTS; i++)
	{
		double e = proved_epsilon(&second, i, c.t[i], delta, error);

		if (e > b.epsilon)
			b.epsilon = e;
	}
	b.ceiling =
		ratio(audit_least_probability(n - m, n - m, error / 2), audit_most_probability(n - m, 0, error / 2), delta);
	if (gaussian)
	{
		b.mu = fmax(proved_mu(&second, c.mu_t, AUDIT_ERROR / 2), 0);
		b.gaussian = audit_gaussian_epsilon(b.mu, delta);
	}
	b.best = fmax(b.epsilon, b.gaussian);
	free(first.without);
	free(first.with);
	free(second.without);
	free(second.with);
	return b;
}
