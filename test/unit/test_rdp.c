/*
 * test/unit/test_rdp.c: Renyi prices of the subsampled Gaussian and of GNMax, and compositions by Renyi divergences.
 *
 * Oracles: the binomial closed form at integer orders, the defining integrals by Simpson's rule in long double for both
 * directions, closed forms at order 2, and figures of another accountant (dp_accounting, Python, default orders).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "privacy/account.h"

#define NEAR(a, b, relative) (fabs((double) (a) - (double) (b)) <= (relative) *fabs((double) (b)))

static const double rates[] = {1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9};
static const double sigmas[] = {0.3, 0.7, 1, 2, 10, 100};
#define NRATES 6
#define NSIGMAS 6

/* log sum_k C(n, k) (1 - q)^(n - k) q^k exp(k (k - 1) / (2 sigma^2)), less the parts that make up 1: log(A - 1). Terms
 * k >= 2 times expm1 of their exponent are what exceeds the binomial sum. */
static long double
log_excess_integer(long double q, long double sigma, int n)
{
	long double high = -INFINITY, sum = 0;

	for (int pass = 0; pass < 2; pass++)
		for (int k = 2; k <= n; k++)
		{
			long double e = k * (k - 1.0L) / (2 * sigma * sigma);
			long double t = lgammal(n + 1) - lgammal(k + 1) - lgammal(n - k + 1) + (n - k) * log1pl(-q) + k * logl(q);

			t += e > 30 ? e + log1pl(-expl(-e)) : logl(expm1l(e));
			if (pass == 0)
				high = t > high ? t : high;
			else
				sum += expl(t - high);
		}
	return high + logl(sum);
}

static void
test_integer_orders(void **state)
{
	static const int orders[] = {2, 3, 4, 7, 16, 33, 64, 200};

	for (size_t i = 0; i < NRATES; i++)
		for (size_t j = 0; j < NSIGMAS; j++)
			for (size_t k = 0; k < sizeof(orders) / sizeof(*orders); k++)
			{
				long double excess = log_excess_integer(rates[i], sigmas[j], orders[k]);
				long double exact = excess > 40 ? excess : log1pl(expl(excess));
				double price = mg_subsampled_rdp(rates[i], sigmas[j], orders[k]);

				exact /= orders[k] - 1;
				assert_true(price >= (double) exact * (1 - 1e-13));
				/* the quadrature's error is charged in full: it shows where the price is next to nothing */
				assert_true(price <=
							(double) exact * (1 + 1e-7) + 2e-17 * (1 + orders[k] * rates[i]) / (orders[k] - 1));
			}
}

/* log E_N0[r^a] (forward) or log E_mix[(1/r)^a] (backward) by Simpson's rule. */
static long double
moment(long double q, long double sigma, long double a, bool backward)
{
	const int n = 40000;
	long double from = -14 * sigma - a, to = 14 * sigma + a + 1, h = (to - from) / n, high = -INFINITY, sum = 0;

	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i <= n; i++)
		{
			long double x = from + h * i, s = (x - 0.5L) / sigma / sigma;
			long double log_r = s > 100 ? logl(q) + s + log1pl((1 - q) / q * expl(-s)) : log1pl(q * expm1l(s));
			long double t = -x * x / (2 * sigma * sigma) + (backward ? 1 - a : a) * log_r;

			if (pass == 0)
				high = t > high ? t : high;
			else
				sum += (i == 0 || i == n ? 1 : i % 2 == 1 ? 4 : 2) * expl(t - high);
		}
	return high + logl(sum * h / 3) - logl(sigma) - 0.5L * logl(2 * acosl(-1));
}

static void
test_fractional_orders(void **state)
{
	static const double orders[] = {1.05, 1.5, 2.5, 3.7, 9.9, 30.25};

	for (size_t i = 1; i < NRATES; i++)
		for (size_t j = 0; j < 5; j++)
			for (size_t k = 0; k < 6; k++)
			{
				double a = orders[k], price = mg_subsampled_rdp(rates[i], sigmas[j], a);
				double exact = (double) moment(rates[i], sigmas[j], a, false) / (a - 1);
				double back = (double) moment(rates[i], sigmas[j], a, true) / (a - 1);

				assert_true(fabs(price - exact) <= 1e-8 * exact + 1e-15 / (a - 1));
				/* one price for both directions: the other is never larger */
				assert_true(back <= price + 1e-12 / (a - 1));
			}
}

/* E y^2 = q^2 (e^(1/sigma^2) - 1): order 2 exactly, down to where A - 1 is below the rounding of A. */
static void
test_order_two(void **state)
{
	for (double q = 1e-7; q < 1; q *= 10)
		for (double sigma = 0.2; sigma < 2000; sigma *= 3)
		{
			double exact = log1p(q * q * expm1(1 / sigma / sigma)), price = mg_subsampled_rdp(q, sigma, 2);

			assert_true(price >= exact * (1 - 1e-12));
			assert_true(price <= exact * (1 + 1e-9) + 4e-17);
		}
}

static void
test_shape(void **state)
{
	for (size_t i = 0; i < NRATES; i++)
		for (size_t j = 0; j < NSIGMAS; j++)
		{
			double before = 0;

			for (double b = 1e-4; b < 1e6; b *= 1.7)
			{
				double a = 1 + b, price = mg_subsampled_rdp(rates[i], sigmas[j], a);

				assert_true(price > 0);
				if (!isfinite(price))
					continue;
				assert_true(price >= before * (1 - 1e-9) - 4e-17 * (1 + a * rates[i]) / b);
				assert_true(price <= a / 2 / sigmas[j] / sigmas[j] * (1 + 1e-9));
				assert_true(price <= mg_subsampled_rdp(rates[i] * 1.05, sigmas[j], a) * (1 + 1e-9));
				assert_true(price >= mg_subsampled_rdp(rates[i], sigmas[j] * 1.05, a) * (1 - 1e-9) - 1e-15 / b);
				before = price;
			}
		}
	assert_true(mg_subsampled_rdp(0, 1, 2) == 0);
	assert_true(NEAR(mg_subsampled_rdp(1, 4, 2), 1.0 / 16, 1e-9));
	assert_true(mg_subsampled_rdp(NAN, 1, 2) == INFINITY && mg_subsampled_rdp(0.1, NAN, 2) == INFINITY);
	assert_true(mg_subsampled_rdp(-0.1, 1, 2) == INFINITY && mg_subsampled_rdp(1.1, 1, 2) == INFINITY);
	assert_true(mg_subsampled_rdp(0.1, 0, 2) == INFINITY && mg_subsampled_rdp(0.1, INFINITY, 2) == INFINITY);
	assert_true(mg_subsampled_rdp(0.1, 1, 1) == INFINITY && mg_subsampled_rdp(0.1, 1, NAN) == INFINITY);
}

static void
test_new_events(void **state)
{
	mg_event step = {MG_EVENT_POISSON_GAUSSIAN, 1.1, 1000, 0, 0.01}, vote = {MG_EVENT_GNMAX, 40, 3, 0, 0};
	mg_event bad = step;

	assert_true(NEAR(mg_event_rdp(&step, 8), 1000 * mg_subsampled_rdp(0.01, 1.1, 8), 1e-12));
	assert_true(mg_event_rho(&step) >= mg_event_rdp(&step, 100) / 100);
	/* Two counts move by one each: a Gaussian of sensitivity sqrt(2). */
	assert_true(NEAR(mg_event_rdp(&vote, 5), 3 * 5 * 2 / (2 * 1600.0), 1e-12));
	assert_true(NEAR(mg_event_rho(&vote), 3 / 1600.0, 1e-12));
	bad.rate = 1.5;
	assert_false(mg_event_valid(&bad));
	assert_true(mg_event_rdp(&bad, 2) == INFINITY && mg_event_rho(&bad) == INFINITY);
	bad.rate = NAN;
	assert_true(mg_compose_epsilon(&bad, 1, 1e-9) == INFINITY && mg_compose_delta(&bad, 1, 1) == 1);
	bad = step;
	bad.rate = 0;
	assert_true(mg_event_rdp(&bad, 2) == 0 && mg_event_rho(&bad) == 0 && mg_compose_epsilon(&bad, 1, 1e-9) == 0);
	for (int k = 0; k < MG_EVENT_KINDS; k++)
	{
		mg_event_kind kind;

		assert_true(mg_event_kind_of(mg_event_name((mg_event_kind) k), &kind));
		assert_int_equal(kind, k);
	}
	assert_false(mg_event_kind_of("gausian", &(mg_event_kind){MG_EVENT_ZCDP}));
	assert_string_equal(mg_event_name((mg_event_kind) 99), "unrecognized");
}

static void
test_reference(void **state)
{
	static const struct
	{
		mg_event events[2];
		size_t n;
		double delta, epsilon;
	} facts[] = {
		{{{MG_EVENT_POISSON_GAUSSIAN, 1.1, 14062, 0, 0.004266666667}}, 1, 1e-5, 2.596556},
		{{{MG_EVENT_POISSON_GAUSSIAN, 1.1, 14062, 0, 0.004266666667}}, 1, 1e-9, 3.691839},
		{{{MG_EVENT_POISSON_GAUSSIAN, 1.0, 1000, 0, 0.01}}, 1, 1e-9, 3.408243},
		{{{MG_EVENT_POISSON_GAUSSIAN, 1.5, 2000, 0, 0.02}}, 1, 1e-5, 3.118474},
		{{{MG_EVENT_POISSON_GAUSSIAN, 2.0, 200, 0, 0.1}}, 1, 1e-9, 5.260639},
		{{{MG_EVENT_POISSON_GAUSSIAN, 0.7, 10000, 0, 0.001}}, 1, 1e-5, 2.024673},
		{{{MG_EVENT_POISSON_GAUSSIAN, 8.0, 20, 0, 1}}, 1, 1e-9, 3.446021},
		{{{MG_EVENT_GAUSSIAN, 10, 20, 0, 0}, {MG_EVENT_POISSON_GAUSSIAN, 1.2, 500, 0, 0.01}}, 2, 1e-5, 2.194642},
	};

	for (size_t i = 0; i < sizeof(facts) / sizeof(*facts); i++)
	{
		double ours = mg_compose_epsilon(facts[i].events, facts[i].n, facts[i].delta);

		assert_true(ours <= facts[i].epsilon * (1 + 1e-6)); /* their orders are among those that ours beat */
		assert_true(ours >= facts[i].epsilon * 0.99);
	}
}

/* No order in a fine grid gives less than the one that was found, for either question; and the two agree. */
static void
test_best_order(void **state)
{
	static const mg_event events[3] = {{MG_EVENT_POISSON_GAUSSIAN, 1.3, 500, 0, 0.02},
									   {MG_EVENT_LAPLACE, 10, 5, 0, 0},
									   {MG_EVENT_ZCDP, 0.01, 1, 0, 0}};

	for (double delta = 1e-12; delta < 0.1; delta *= 1000)
	{
		double found = mg_compose_epsilon(events, 3, delta), brute = INFINITY,
			   back = mg_compose_delta(events, 3, found);
		mg_rdp_point at = mg_best_order_for_delta(events, 3, delta);

		for (double b = 1e-3; b < 1e3; b *= 1.03)
		{
			double rdp = 0, here;

			for (int i = 0; i < 3; i++)
				rdp += mg_event_rdp(&events[i], 1 + b);
			here = mg_rdp_to_epsilon(1 + b, rdp, delta);
			brute = here < brute ? here : brute;
		}
		assert_true(found <= brute * (1 + 1e-9));
		assert_true(found >= brute * 0.999);
		assert_true(NEAR(mg_rdp_to_epsilon(at.alpha, at.rdp, delta), found, 1e-6));
		assert_true(NEAR(back, delta, 1e-4));
	}
	assert_true(mg_compose_delta(events, 3, INFINITY) == 0 && mg_compose_delta(events, 3, NAN) == 1);
	assert_true(mg_compose_delta(&events[1], 1, 0.5 + 1e-9) == 0); /* five times a tenth, without any delta */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_integer_orders), cmocka_unit_test(test_fractional_orders),
		cmocka_unit_test(test_order_two),      cmocka_unit_test(test_shape),
		cmocka_unit_test(test_new_events),     cmocka_unit_test(test_reference),
		cmocka_unit_test(test_best_order),
	};

	return cmocka_run_group_tests_name("renyi accounting", tests, NULL, NULL);
}
