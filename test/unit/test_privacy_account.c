/*
 * test/unit/test_privacy_account.c: the price of events, its conversion, the filter, the allowance, the odometer.
 *
 * Oracles: Renyi divergences by sums and integrals over the definitions; orders searched by brute force; a few figures
 * of an independent accountant (RDP of the Python library dp_accounting, default orders).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "num/rng.h"
#include "privacy/account.h"

#define NEAR(a, b, relative) (fabs((double) (a) - (double) (b)) <= (relative) *fabs((double) (b)))

static const double alphas[] = {1.0001, 1.01, 1.5, 2, 3.3, 8, 32, 256, 5000};
#define NALPHAS (sizeof(alphas) / sizeof(*alphas))

static mg_event
event(mg_event_kind kind, double param, uint64_t count)
{
	mg_event e = {kind, param, count, 0};

	return e;
}

static double
rdp_of(mg_event_kind kind, double param, double alpha)
{
	mg_event e = event(kind, param, 1);

	return mg_event_rdp(&e, alpha);
}

static double
rho_of(mg_event_kind kind, double param)
{
	mg_event e = event(kind, param, 1);

	return mg_event_rho(&e);
}

/* Renyi divergence of two laws given as log weights on the integers -reach..reach, both normalised here. */
static double
renyi(const double *p, const double *q, size_t n, double alpha)
{
	long double zp = 0, zq = 0, sum = 0, high = -INFINITY;

	for (size_t i = 0; i < n; i++)
	{
		long double t = alpha * (long double) p[i] + (1 - alpha) * (long double) q[i];

		zp += expl(p[i]);
		zq += expl(q[i]);
		high = t > high ? t : high;
	}
	for (size_t i = 0; i < n; i++)
		sum += expl(alpha * (long double) p[i] + (1 - (long double) alpha) * q[i] - high);
	return (double) ((logl(sum) + high - alpha * logl(zp) - (1 - (long double) alpha) * logl(zq)) / (alpha - 1));
}

static void
test_gaussian_price(void **state)
{
	enum
	{
		REACH = 400,
		SIZE = 2 * REACH + 1
	};
	static double p[SIZE], q[SIZE];
	static const double sigmas[] = {0.5, 1, 3, 10};

	for (size_t s = 0; s < 4; s++)
	{
		double sigma = sigmas[s];

		for (int x = -REACH; x <= REACH; x++)
		{
			p[x + REACH] = -0.5 * x * x / sigma / sigma;
			q[x + REACH] = -0.5 * (x - 1.0) * (x - 1.0) / sigma / sigma;
		}
		assert_true(rho_of(MG_EVENT_DISCRETE_GAUSSIAN, sigma) >= 0.5 / sigma / sigma);
		assert_true(NEAR(rho_of(MG_EVENT_DISCRETE_GAUSSIAN, sigma), 0.5 / sigma / sigma, 1e-12));
		for (size_t a = 1; a < 6; a++)
		{
			double exact = renyi(p, q, SIZE, alphas[a]), price = rdp_of(MG_EVENT_DISCRETE_GAUSSIAN, sigma, alphas[a]);

			assert_true(price >= exact * (1 - 1e-9));
			assert_true(price <= exact * 1.001 || sigma < 1);
			assert_true(price == rdp_of(MG_EVENT_GAUSSIAN, sigma, alphas[a]));
		}
	}
}

static void
test_discrete_laplace_price(void **state)
{
	enum
	{
		REACH = 600,
		SIZE = 2 * REACH + 1
	};
	static double p[SIZE], q[SIZE];
	static const double scales[] = {0.3, 1, 2, 10};

	for (size_t s = 0; s < 4; s++)
	{
		for (int x = -REACH; x <= REACH; x++)
		{
			p[x + REACH] = -abs(x) / scales[s];
			q[x + REACH] = -abs(x - 1) / scales[s];
		}
		for (size_t a = 1; a < NALPHAS; a++)
		{
			double exact = renyi(p, q, SIZE, alphas[a]);
			double price = rdp_of(MG_EVENT_DISCRETE_LAPLACE, scales[s], alphas[a]);

			assert_true(price >= exact * (1 - 1e-9));
			assert_true(NEAR(price, exact, 1e-6));
			assert_true(price <= 1 / scales[s] * (1 + 1e-9));
			assert_true(price <= alphas[a] * rho_of(MG_EVENT_DISCRETE_LAPLACE, scales[s]) * (1 + 1e-9));
		}
	}
}

/* The divergence of two continuous Laplace laws, by Simpson's rule on the middle piece and closed outer pieces. */
static double
laplace_integral(double scale, double alpha)
{
	const int n = 20000;
	long double sum = 0, e = 1 / (long double) scale, a = alpha, h = 1.0L / n;

	/* x < 0: the ratio p/q is e^e; x > 1: e^-e; 0 < x < 1: e^(e (1 - 2x)). */
	for (int i = 0; i <= n; i++)
		sum += (i == 0 || i == n ? 1 : i % 2 == 1 ? 4 : 2) * expl(-a * e * (i * h) - (1 - a) * e * (1 - i * h));
	sum = e / 2 * sum * h / 3 + expl((a - 1) * e) / 2 + expl(-a * e) / 2;
	return (double) (logl(sum) / (a - 1));
}

static void
test_laplace_price(void **state)
{
	static const double scales[] = {0.3, 1, 2, 10, 300};

	for (size_t s = 0; s < 5; s++)
		for (size_t a = 1; a < NALPHAS - 1; a++) /* Simpson's steps are too coarse for the last */
		{
			double exact = laplace_integral(scales[s], alphas[a]);
			double price = rdp_of(MG_EVENT_LAPLACE, scales[s], alphas[a]);

			assert_true(price >= exact * (1 - 1e-9) - 1e-14);
			assert_true(NEAR(price, exact, 1e-5));
			assert_true(price <= rdp_of(MG_EVENT_DISCRETE_LAPLACE, scales[s], alphas[a]) * (1 + 1e-12));
			assert_true(price <= alphas[a] * rho_of(MG_EVENT_LAPLACE, scales[s]) * (1 + 1e-9));
		}
	/* Very large scales, where the closed form cancels: near alpha / (2 scale^2), and above the true value's series. */
	assert_true(NEAR(rdp_of(MG_EVENT_LAPLACE, 1e7, 2), 1e-14, 1e-3));
	assert_true(rdp_of(MG_EVENT_LAPLACE, 1e7, 2) >= 1e-14 * (1 - 1e-6));
}

/* Selections over random scores and neighbours: none costs more than its event. */
static void
test_exponential_price(void **state)
{
	static const double epsilons[] = {0.01, 0.5, 2, 6, 20};
	mg_rng r;

	mg_rng_seed(&r, 4);
	for (int trial = 0; trial < 3000; trial++)
	{
		double p[12], q[12], epsilon = epsilons[trial % 5];
		size_t n = 2 + mg_rng_u64(&r) % 11;

		for (size_t i = 0; i < n; i++)
		{
			int64_t score = (int64_t) (mg_rng_u64(&r) % 21), change = (int64_t) (mg_rng_u64(&r) % 3) - 1;

			p[i] = epsilon / 2 * (double) score;
			q[i] = epsilon / 2 * (double) (score + change);
		}
		for (size_t a = 2; a < 7; a++)
		{
			double exact = renyi(p, q, n, alphas[a]);

			assert_true(exact <= rdp_of(MG_EVENT_EXPONENTIAL, epsilon, alphas[a]) + 1e-12);
			assert_true(exact <= alphas[a] * rho_of(MG_EVENT_EXPONENTIAL, epsilon) + 1e-12);
		}
	}
	assert_true(NEAR(rho_of(MG_EVENT_EXPONENTIAL, 0.5), 0.03125, 1e-12));
	assert_true(rho_of(MG_EVENT_EXPONENTIAL, 20) < 20.001); /* pure DP is the better bound there */
}

static void
test_bad_events(void **state)
{
	static const double bad[] = {NAN, INFINITY, -1, -INFINITY};
	mg_event e;

	for (int kind = MG_EVENT_ZCDP; kind <= MG_EVENT_EXPONENTIAL; kind++)
	{
		for (size_t i = 0; i < 4; i++)
		{
			assert_true(rho_of((mg_event_kind) kind, bad[i]) == INFINITY);
			assert_true(rdp_of((mg_event_kind) kind, bad[i], 2) == INFINITY);
		}
		assert_true(rdp_of((mg_event_kind) kind, 1, 1) == INFINITY);
		assert_true(rdp_of((mg_event_kind) kind, 1, 0.5) == INFINITY);
		assert_true(rdp_of((mg_event_kind) kind, 1, NAN) == INFINITY);
		assert_true(rdp_of((mg_event_kind) kind, 1, INFINITY) == INFINITY);
		/* The ends of double: never NaN. */
		for (double x = DBL_TRUE_MIN; x < DBL_MAX / 1e20; x *= 1e20)
			for (size_t a = 0; a < NALPHAS; a++)
			{
				assert_true(rdp_of((mg_event_kind) kind, x, alphas[a]) >= 0);
				assert_true(rho_of((mg_event_kind) kind, x) >= 0);
			}
		e = event((mg_event_kind) kind, 1, 0);
		assert_true(mg_event_rdp(&e, 2) == 0 && mg_event_rho(&e) == 0);
		e.count = 1;
		e.delta = NAN;
		assert_true(mg_event_rho(&e) == INFINITY);
		assert_true(strcmp(mg_event_name((mg_event_kind) kind), "unrecognized") != 0);
	}
	assert_true(rho_of(MG_EVENT_GAUSSIAN, 0) == INFINITY);
	assert_true(rho_of(MG_EVENT_LAPLACE, 0) == INFINITY);
	assert_true(rho_of(MG_EVENT_ZCDP, 0) == 0);
}

static void
test_counts_add(void **state)
{
	for (int kind = MG_EVENT_ZCDP; kind <= MG_EVENT_EXPONENTIAL; kind++)
		for (size_t a = 0; a < NALPHAS; a++)
		{
			mg_event one = event((mg_event_kind) kind, 1.7, 1), many = event((mg_event_kind) kind, 1.7, 1000);

			assert_true(NEAR(mg_event_rdp(&many, alphas[a]), 1000 * mg_event_rdp(&one, alphas[a]), 1e-12));
			assert_true(NEAR(mg_event_rho(&many), 1000 * mg_event_rho(&one), 1e-12));
		}
}

/* Figures of another implementation, whose orders are coarser: ours is at most theirs, and near. */
static void
test_reference_figures(void **state)
{
	static const struct
	{
		mg_event events[2];
		size_t n;
		double delta, epsilon, pld;
	} facts[] = {
		{{{MG_EVENT_GAUSSIAN, 0.5, 1, 0}}, 1, 1e-5, 10.725510, 9.997256},
		{{{MG_EVENT_GAUSSIAN, 0.5, 1, 0}}, 1, 1e-9, 14.150183, 13.534772},
		{{{MG_EVENT_GAUSSIAN, 1, 1, 0}}, 1, 1e-5, 4.728507, 4.377178},
		{{{MG_EVENT_GAUSSIAN, 10, 100, 0}}, 1, 1e-9, 6.474124, 6.173935},
		{{{MG_EVENT_GAUSSIAN, 4, 16, 0}}, 1, 1e-5, 4.728507, 4.377178},
		{{{MG_EVENT_GAUSSIAN, 5, 1, 0}}, 1, 1e-9, 1.163411, 1.104040},
		{{{MG_EVENT_GAUSSIAN, 50, 200, 0}}, 1, 1e-9, 1.673110, 1.589368},
		{{{MG_EVENT_LAPLACE, 1, 1, 0}}, 1, 1e-5, 1.002824, 0.999980},
		{{{MG_EVENT_LAPLACE, 2, 1, 0}}, 1, 1e-9, 0.511828, 0.500000},
		{{{MG_EVENT_LAPLACE, 10, 1, 0}}, 1, 1e-9, 0.111828, 0.100000},
		{{{MG_EVENT_GAUSSIAN, 5, 10, 0}, {MG_EVENT_LAPLACE, 10, 5, 0}}, 2, 1e-5, 2.986806, 2.758087},
		{{{MG_EVENT_GAUSSIAN, 5, 10, 0}, {MG_EVENT_LAPLACE, 10, 5, 0}}, 2, 1e-9, 4.153755, 3.959171},
	};

	for (size_t i = 0; i < sizeof(facts) / sizeof(*facts); i++)
	{
		const mg_event *e = facts[i].events;
		double ours = mg_compose_epsilon(e, facts[i].n, facts[i].delta);

		assert_true(ours <= facts[i].epsilon + 1e-6);
		assert_true(ours >= facts[i].pld);
		assert_true(ours >= facts[i].epsilon * 0.999 || e->kind == MG_EVENT_LAPLACE);
		if (facts[i].n == 1 && e->kind == MG_EVENT_GAUSSIAN)
			assert_true(NEAR(mg_zcdp_epsilon(mg_event_rho(e), facts[i].delta), ours, 1e-9));
	}
}

/* The least over a fine grid of orders: the optimum is not above any of them, and each is a valid bound. */
static void
test_conversion_optimal(void **state)
{
	for (double rho = 1e-8; rho < 1e5; rho *= 7)
		for (double delta = 1e-14; delta < 1; delta *= 31)
		{
			double found = mg_zcdp_epsilon(rho, delta), brute = INFINITY;

			for (double b = 1e-6; b < 1e12; b *= 1.01)
			{
				double here = mg_rdp_to_epsilon(1 + b, (1 + b) * rho, delta);

				brute = here < brute ? here : brute;
			}
			assert_true(found <= brute * (1 + 1e-9) + 1e-12);
			assert_true(found >= brute * (1 - 1e-3) - 1e-9);
			assert_true(found <= rho + 2 * sqrt(rho * -log(delta)) + 1e-12); /* Bun, Steinke 2016: the looser bound */
		}
}

static void
test_conversion_properties(void **state)
{
	for (double delta = 1e-12; delta < 0.5; delta *= 100)
	{
		double before = 0;

		for (double rho = 1e-7; rho < 1e4; rho *= 3)
		{
			double epsilon = mg_zcdp_epsilon(rho, delta), back;

			assert_true(epsilon >= before && isfinite(epsilon));
			assert_true(mg_zcdp_epsilon(rho, delta * 1.5) <= epsilon);
			before = epsilon;
			if (epsilon < 1e-9)
				continue;
			back = mg_zcdp_rho(epsilon, delta);
			assert_true(mg_zcdp_epsilon(back, delta) <= epsilon);
			assert_true(mg_zcdp_epsilon(back * (1 + 1e-6), delta) > epsilon);
			assert_true(NEAR(back, rho, 1e-6));
			/* The bound in its other form, rounded up on both ways. */
			assert_true(mg_zcdp_delta(rho, epsilon) >= delta * (1 - 1e-9));
			assert_true(mg_zcdp_delta(rho, epsilon) <= delta * (1 + 1e-6));
		}
	}
	assert_true(mg_zcdp_epsilon(0, 1e-9) == 0);
	assert_true(mg_zcdp_epsilon(1, 0) == INFINITY);
	assert_true(mg_zcdp_epsilon(1, 1) == 0);
	assert_true(mg_zcdp_epsilon(NAN, 1e-9) == INFINITY);
	assert_true(mg_zcdp_epsilon(-1, 1e-9) == INFINITY);
	assert_true(mg_zcdp_epsilon(1, NAN) == INFINITY);
	assert_true(mg_zcdp_epsilon(INFINITY, 1e-9) == INFINITY);
	assert_true(mg_zcdp_rho(0, 1e-9) == 0 && mg_zcdp_rho(-1, 1e-9) == 0 && mg_zcdp_rho(NAN, 1e-9) == 0);
	assert_true(mg_zcdp_rho(1, 0) == 0 && mg_zcdp_rho(1, NAN) == 0);
	assert_true(mg_zcdp_delta(0, 1) == 0 && mg_zcdp_delta(NAN, 1) == 1 && mg_zcdp_delta(1, NAN) == 1);
	assert_true(mg_zcdp_delta(INFINITY, 1) == 1 && mg_zcdp_delta(1e-9, 700) > 0);
	assert_true(mg_rdp_to_epsilon(1, 1, 0.1) == INFINITY && mg_rdp_to_epsilon(2, NAN, 0.1) == INFINITY);
}

/* The conversion must not promise more than the exact privacy profile of the Gaussian (Balle, Wang 2018, Theorem 8). */
static void
test_conversion_sound(void **state)
{
	for (double sigma = 0.3; sigma < 100; sigma *= 1.7)
		for (double delta = 1e-10; delta < 0.1; delta *= 10)
		{
			double e = mg_zcdp_epsilon(0.5 / sigma / sigma, delta), s = M_SQRT1_2;
			double near = 0.5 * erfc(-(0.5 / sigma - e * sigma) * s), far = 0.5 * erfc((0.5 / sigma + e * sigma) * s);
			double exact = near - exp(e) * far;

			assert_true(exact <= delta);
			assert_true(exact >= delta / 50); /* nor is it idle */
		}
}

static void
test_compose(void **state)
{
	mg_event pure[2] = {{MG_EVENT_DISCRETE_LAPLACE, 20, 1, 0}, {MG_EVENT_EXPONENTIAL, 0.1, 3, 0}};
	mg_event atom = {MG_EVENT_DISCRETE_GAUSSIAN, 10, 1, 1e-6}, bare = {MG_EVENT_DISCRETE_GAUSSIAN, 10, 1, 0};

	assert_true(NEAR(mg_compose_epsilon(pure, 2, 0), 0.35, 1e-9));
	assert_true(mg_compose_epsilon(pure, 2, 1e-300) <= 0.35 * (1 + 1e-9));
	/* An atom takes its share of delta, and nothing is left when it takes all. */
	assert_true(mg_compose_epsilon(&atom, 1, 1e-5) > mg_compose_epsilon(&bare, 1, 1e-5));
	assert_true(NEAR(mg_compose_epsilon(&atom, 1, 1e-5), mg_compose_epsilon(&bare, 1, 0.9e-5), 1e-9));
	assert_true(mg_compose_epsilon(&atom, 1, 1e-6) == INFINITY);
	assert_true(mg_compose_epsilon(NULL, 0, 1e-9) == 0);
	bare.param = NAN;
	assert_true(mg_compose_epsilon(&bare, 1, 1e-9) == INFINITY);
}

static const double caps[] = {1e-3, 0.1, 1, 3, 10, 100, 5000};
static const double deltas[] = {1e-12, 1e-9, 1e-5, 0.01, 0.5};
#define EACH_FILTER(f)                       \
	for (size_t ci_ = 0; ci_ < 7; ci_++)     \
		for (size_t di_ = 0; di_ < 5; di_++) \
			if (made_filter(&(f), caps[ci_], deltas[di_]))

static bool
made_filter(mg_filter *f, double epsilon, double delta)
{
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	assert_int_equal(mg_filter_init(&ctx, f, epsilon, delta), MG_OK);
	return true;
}

static void
test_filter_capacity(void **state)
{
	mg_filter f;

	EACH_FILTER(f)
	{
		double c = f.rdp_cap, d = f.delta_cap, whole = mg_rdp_to_epsilon(f.alpha, c, f.delta / 2);

		assert_true(f.alpha > 1 && c > 0 && d == f.delta / 2);
		/* Sound with the slack of odometers, and it gives away almost nothing. */
		assert_true(mg_rdp_to_epsilon(f.alpha, c * (1 + 1e-9), f.delta / 2 * (1 - 1e-9)) <= f.epsilon);
		assert_true(whole > f.epsilon * (1 - 1e-6) - 1e-8);
		assert_true(NEAR(c / f.alpha, mg_zcdp_rho(f.epsilon, f.delta / 2), 1e-6));

		assert_true(mg_filter_fits(&f, 0, 0, c, d));
		assert_true(mg_filter_fits(&f, c / 2, d / 2, c / 2, d / 2));
		assert_true(mg_filter_fits(&f, c, d, 0, 0));
		assert_false(mg_filter_fits(&f, 0, 0, nextafter(c, INFINITY), 0));
		assert_false(mg_filter_fits(&f, 0, 0, 0, nextafter(d, INFINITY)));
		assert_false(mg_filter_fits(&f, c, 0, DBL_TRUE_MIN, 0)); /* the sum rounds to c; the comparison does not */
		assert_false(mg_filter_fits(&f, 0, d, 0, DBL_TRUE_MIN));
		assert_false(mg_filter_fits(&f, c / 2, 0, nextafter(c / 2, INFINITY), 0));
		assert_false(mg_filter_fits(&f, 0, 0, NAN, 0));
		assert_false(mg_filter_fits(&f, NAN, 0, 0, 0));
		assert_false(mg_filter_fits(&f, 0, 0, -1, 0));
		assert_false(mg_filter_fits(&f, 0, 0, 0, NAN));
		assert_false(mg_filter_fits(&f, INFINITY, 0, 0, 0));
		assert_true(mg_filter_used(&f, 0, 0) == 0);
		assert_true(mg_filter_used(&f, c, d / 4) == 1);
		assert_true(mg_filter_used(&f, c / 4, d / 2) == 0.5);
		assert_true(mg_filter_used(&f, NAN, 0) == INFINITY);
	}
}

static void
test_filter_bad(void **state)
{
	static const double bad[][2] = {{0, 1e-9}, {-1, 1e-9}, {NAN, 1e-9}, {INFINITY, 1e-9}, {1, 0},
									{1, 1},    {1, -1},    {1, NAN},    {1, 2},           {1, 1e-310}};
	mg_filter f;
	mg_allowance a;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
	{
		mg_ctx ctx;

		mg_ctx_init(&ctx);
		assert_int_equal(mg_filter_init(&ctx, &f, bad[i][0], bad[i][1]), MG_INVALID);
		assert_true(ctx.message[0] != '\0');
	}
	(void) made_filter(&f, 1, 1e-9);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
	{
		mg_ctx ctx;

		mg_ctx_init(&ctx);
		assert_int_equal(mg_training_allowance(&ctx, &f, bad[i][0], bad[i][1], &a), MG_INVALID);
	}
}

static bool
charge(const mg_filter *f, double epsilon, double *rdp, double *atoms)
{
	mg_ctx ctx;
	mg_allowance a;
	mg_event e;

	mg_ctx_init(&ctx);
	assert_int_equal(mg_training_allowance(&ctx, f, epsilon, f->delta, &a), MG_OK);
	e = event(MG_EVENT_ZCDP, a.rho, 1);
	if (!mg_filter_fits(f, *rdp, *atoms, mg_event_rdp(&e, f->alpha), a.delta_atoms))
		return false;
	*rdp += mg_event_rdp(&e, f->alpha);
	*atoms += a.delta_atoms;
	return true;
}

static void
test_allowance(void **state)
{
	mg_filter f;

	EACH_FILTER(f)
	{
		for (double part = 1; part > 1e-3; part *= 0.6)
		{
			mg_ctx ctx;
			mg_allowance a;
			double epsilon = f.epsilon * part, rdp = 0, atoms = 0;

			mg_ctx_init(&ctx);
			assert_int_equal(mg_training_allowance(&ctx, &f, epsilon, f.delta, &a), MG_OK);
			assert_true(a.rho > 0 && NEAR(a.delta_atoms, f.delta / 200, 1e-12));
			/* What an odometer may let through is still worth at most epsilon, atoms included. */
			assert_true(mg_zcdp_epsilon(a.rho * (1 + 1e-9), f.delta - a.delta_atoms * (1 + 1e-9)) <= epsilon);
			/* ... and it is not thrifty: nearly what half of delta would give, or more. */
			assert_true(a.rho >= mg_zcdp_rho(epsilon, f.delta / 2) * (1 - 1e-6));
			assert_true(charge(&f, epsilon, &rdp, &atoms)); /* fits an untouched budget, the cap included */
			assert_true(f.alpha * a.rho <= f.rdp_cap);
			assert_int_equal(mg_training_allowance(&ctx, &f, epsilon, f.delta * 1.01 + 1e-300, &a), MG_INVALID);
		}
		{
			double rdp = 0, atoms = 0;

			assert_false(charge(&f, f.epsilon * 1.001, &rdp, &atoms));
		}
	}
}

static void
test_remaining(void **state)
{
	mg_filter f;

	EACH_FILTER(f)
	{
		double before = INFINITY;

		assert_true(mg_filter_remaining(&f, 0, 0) == f.epsilon);
		for (double part = 1e-6; part < 1; part = part < 0.1 ? part * 7 : part + 0.09)
		{
			double used = part * f.rdp_cap, left = mg_filter_remaining(&f, used, 0), rdp = used, atoms = 0;

			assert_true(left >= 0 && left <= before && left <= f.epsilon);
			before = left;
			if (left == 0)
			{
				/* With a large delta even (0, delta) is worth something: no training is small enough. */
				assert_true(f.delta > 1e-6);
				assert_false(charge(&f, f.epsilon * 1e-9, &rdp, &atoms));
				continue;
			}
			assert_true(charge(&f, left, &rdp, &atoms));
			rdp = used;
			assert_false(charge(&f, left * 1.001, &rdp, &atoms));
		}
		assert_true(mg_filter_remaining(&f, f.rdp_cap, 0) == 0);
		assert_true(mg_filter_remaining(&f, 0, f.delta_cap) == 0); /* no room for a training's atoms */
		assert_true(mg_filter_remaining(&f, NAN, 0) == 0);
		assert_true(mg_filter_remaining(&f, INFINITY, 0) == 0);
	}
}

/* A budget is filled with trainings of mixed sizes: all of them together stay within it, by their exact composition. */
static void
test_filter_holds(void **state)
{
	mg_rng r;
	mg_filter f;

	mg_rng_seed(&r, 77);
	EACH_FILTER(f)
	{
		double rdp = 0, atoms = 0, rho = 0;
		int fitted = 0;

		for (int i = 0; i < 60; i++)
		{
			double epsilon = f.epsilon * (0.02 + 0.3 * mg_rng_unit(&r));
			mg_ctx ctx;
			mg_allowance a;

			mg_ctx_init(&ctx);
			assert_int_equal(mg_training_allowance(&ctx, &f, epsilon, f.delta, &a), MG_OK);
			if (charge(&f, epsilon, &rdp, &atoms))
			{
				rho += a.rho;
				fitted++;
			}
		}
		assert_true(fitted >= (f.delta < 1e-4 ? 3 : 1));
		assert_true(mg_zcdp_epsilon(rho, f.delta - atoms) <= f.epsilon);
		assert_true(mg_filter_used(&f, rdp, atoms) <= 1);
	}
}

static void
test_odometer(void **state)
{
	mg_odometer o;
	mg_ctx ctx;
	mg_event third = event(MG_EVENT_ZCDP, 1.0 / 3, 1), bad = event(MG_EVENT_GAUSSIAN, 0, 1), atom;

	mg_ctx_init(&ctx);
	mg_odometer_init(&o, 1, 1e-6);
	for (int i = 0; i < 3; i++)
		assert_int_equal(mg_odometer_debit(&ctx, &o, &third), MG_OK);
	assert_int_equal(o.calls, 3);
	/* Full: nothing more, and nothing is debited by a refusal. */
	third.param = 1e-6;
	assert_int_equal(mg_odometer_debit(&ctx, &o, &third), MG_BUDGET);
	assert_true(NEAR(o.rho_used, 1, 1e-12));
	assert_int_equal(o.calls, 3);

	mg_ctx_init(&ctx);
	mg_odometer_init(&o, 1, 1e-6);
	assert_int_equal(mg_odometer_debit(&ctx, &o, &bad), MG_INVALID);
	atom = event(MG_EVENT_DISCRETE_GAUSSIAN, 10, 4);
	atom.delta = 2.5e-7;
	mg_ctx_init(&ctx);
	assert_int_equal(mg_odometer_debit(&ctx, &o, &atom), MG_OK);
	assert_true(NEAR(o.rho_used, 0.02, 1e-9) && NEAR(o.delta_used, 1e-6, 1e-9));
	atom.delta = 1e-9;
	assert_int_equal(mg_odometer_debit(&ctx, &o, &atom), MG_BUDGET);
	assert_true(NEAR(o.rho_used, 0.02, 1e-9));

	/* A reservation that is no number reserves nothing. */
	mg_ctx_init(&ctx);
	mg_odometer_init(&o, NAN, NAN);
	third.param = 1e-300;
	assert_int_equal(mg_odometer_debit(&ctx, &o, &third), MG_BUDGET);
}

/* The slack of odometers is small, and free in what a filter hands out (test_filter_capacity, test_allowance). */
static void
test_odometer_slack(void **state)
{
	mg_odometer o;
	mg_ctx ctx;
	mg_event e = event(MG_EVENT_ZCDP, 1 + 0.5e-9, 1);

	mg_ctx_init(&ctx);
	mg_odometer_init(&o, 1, 0);
	assert_int_equal(mg_odometer_debit(&ctx, &o, &e), MG_OK);
	mg_odometer_init(&o, 1, 0);
	e.param = 1 + 2e-9;
	assert_int_equal(mg_odometer_debit(&ctx, &o, &e), MG_BUDGET);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gaussian_price),
		cmocka_unit_test(test_discrete_laplace_price),
		cmocka_unit_test(test_laplace_price),
		cmocka_unit_test(test_exponential_price),
		cmocka_unit_test(test_bad_events),
		cmocka_unit_test(test_counts_add),
		cmocka_unit_test(test_reference_figures),
		cmocka_unit_test(test_conversion_optimal),
		cmocka_unit_test(test_conversion_properties),
		cmocka_unit_test(test_conversion_sound),
		cmocka_unit_test(test_compose),
		cmocka_unit_test(test_filter_capacity),
		cmocka_unit_test(test_filter_bad),
		cmocka_unit_test(test_allowance),
		cmocka_unit_test(test_remaining),
		cmocka_unit_test(test_filter_holds),
		cmocka_unit_test(test_odometer),
		cmocka_unit_test(test_odometer_slack),
	};

	return cmocka_run_group_tests_name("privacy accounting", tests, NULL, NULL);
}
