/*
 * test/unit/test_privacy_noise.c: the samplers against their exact laws, the source against forks and breakage.
 *
 * Oracles: probabilities summed from their definitions in long double; 1/e from its series in big integers. Seeds are
 * fixed, so a goodness-of-fit test either always passes or always fails; its power is shown by laws a little off.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "privacy/account.h"
#include "privacy/noise_private.h"
#include "seeded_noise.h"

typedef long double (*weight_fn)(long double x, long double parameter);

static long double
gauss_weight(long double x, long double sigma2)
{
	return expl(-x * x / (2 * sigma2));
}

static long double
laplace_weight(long double x, long double scale)
{
	return expl(-fabsl(x) / scale);
}

/* The quantile of chi-square at 1 - 1e-5 (Wilson, Hilferty 1931). */
static double
chi_square_limit(double freedom)
{
	double c = 2 / (9 * freedom), root = 1 - c + 4.264890793922825 * sqrt(c);

	return freedom * root * root * root;
}

static int
compare_i64(const void *a, const void *b)
{
	int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

	return (x > y) - (x < y);
}

/*
 * Chi-square of draws (sorted here) against the integer law of `weight`, divided by its limit: above 1 is a misfit.
 * Cells are runs of integers that expect at least count / 100 draws together, so that large scales are tested too.
 */
static double
misfit(int64_t *draws, size_t count, weight_fn weight, long double parameter, int64_t reach)
{
	long double total = 0, mass = 0;
	double chi = 0;
	size_t at = 0, from = 0, cells = 0;

	qsort(draws, count, sizeof(*draws), compare_i64);
	for (int64_t x = -reach; x <= reach; x++)
		total += weight((long double) x, parameter);
	for (int64_t x = -reach; x <= reach; x++)
	{
		mass += weight((long double) x, parameter) / total * (long double) count;
		if (mass >= (long double) count / 100 || x == reach)
		{
			double seen;

			while (at < count && (draws[at] <= x || x == reach))
				at++;
			seen = (double) (at - from);
			if (mass > 1e-3L)
			{
				chi += (seen - (double) mass) * (seen - (double) mass) / (double) mass;
				cells++;
			}
			from = at;
			mass = 0;
		}
	}
	assert_int_equal(at, count);
	return cells < 2 ? 0 : chi / chi_square_limit((double) cells - 1);
}

static int64_t *
gaussian_draws(mg_ratio sigma2, size_t count, uint64_t seed)
{
	mg_ctx ctx;
	mg_noise *n = seeded_noise(seed);
	int64_t *v = calloc(count, sizeof(*v));

	mg_ctx_init(&ctx);
	assert_non_null(v);
	assert_int_equal(mg_add_discrete_gaussian(&ctx, n, sigma2, v, count), MG_OK);
	mg_noise_destroy(n);
	return v;
}

static int64_t *
laplace_draws(mg_ratio scale, size_t count, uint64_t seed)
{
	mg_ctx ctx;
	mg_noise *n = seeded_noise(seed);
	int64_t *v = calloc(count, sizeof(*v));

	mg_ctx_init(&ctx);
	assert_non_null(v);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(mg_discrete_laplace(&ctx, n, scale, &v[i]), MG_OK);
	mg_noise_destroy(n);
	return v;
}

#define DRAWS 200000

static void
test_gaussian_law(void **state)
{
	static const double sigmas[] = {0.2, 0.5, 1, 3.7, 25, 1000, 30000};

	for (size_t i = 0; i < sizeof(sigmas) / sizeof(*sigmas); i++)
	{
		mg_ratio sigma2;
		int64_t *v, reach = (int64_t) (12 * sigmas[i]) + 12;

		assert_true(mg_ratio_above(sigmas[i] * sigmas[i] * 1.00001, &sigma2));
		v = gaussian_draws(sigma2, DRAWS, 100 + i);
		assert_true(misfit(v, DRAWS, gauss_weight, (long double) sigma2.num / sigma2.den, reach) < 1);
		/* The test has teeth: a law five per cent off does not fit. */
		assert_true(misfit(v, DRAWS, gauss_weight, 1.05L * sigma2.num / sigma2.den, reach) > 1 || sigmas[i] < 0.5);
		free(v);
	}
}

static void
test_gaussian_odd_ratio(void **state)
{
	mg_ratio sigma2 = {7, 3};
	int64_t *v = gaussian_draws(sigma2, DRAWS, 7);

	assert_true(misfit(v, DRAWS, gauss_weight, 7.0L / 3, 40) < 1);
	free(v);

	/* The corners of the range: nothing overflows (the sanitizers watch) and the spread is right. */
	sigma2.num = 1;
	sigma2.den = UINT64_C(1) << 53;
	v = gaussian_draws(sigma2, 1000, 8);
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(v[i], 0);
	free(v);
	for (int corner = 0; corner < 2; corner++)
	{
		double sum = 0, s2;

		sigma2.num = UINT64_C(1) << 53;
		sigma2.den = corner == 0 ? 1 : (UINT64_C(1) << 53) - 1;
		s2 = mg_ratio_value(sigma2);
		v = gaussian_draws(sigma2, 20000, 9);
		for (size_t i = 0; i < 20000; i++)
			sum += (double) v[i] * (double) v[i] / s2;
		assert_true(fabs(sum / 20000 - 1) < 0.05);
		free(v);
	}
}

static void
test_gaussian_moments(void **state)
{
	static const double sigmas[] = {1, 5, 25, 500};

	for (size_t i = 0; i < 4; i++)
	{
		double sum = 0, squares = 0, s = sigmas[i], n = DRAWS;
		mg_ratio sigma2;
		int64_t *v;

		assert_true(mg_ratio_above(s * s, &sigma2));
		v = gaussian_draws(sigma2, DRAWS, 40 + i);
		for (size_t j = 0; j < DRAWS; j++)
		{
			sum += (double) v[j];
			squares += (double) v[j] * (double) v[j];
		}
		assert_true(fabs(sum / n) < 4.5 * s / sqrt(n));
		assert_true(fabs(squares / n / (s * s) - 1) < 4.5 * sqrt(2 / n));
		free(v);
	}
}

static void
test_laplace_law(void **state)
{
	static const mg_ratio scales[] = {{1, 2}, {1, 1}, {37, 10}, {25, 1}, {20000, 1}, {123457, 1000}};

	for (size_t i = 0; i < sizeof(scales) / sizeof(*scales); i++)
	{
		long double scale = (long double) scales[i].num / scales[i].den;
		int64_t *v = laplace_draws(scales[i], DRAWS, 200 + i), reach = (int64_t) (50 * scale) + 50;

		assert_true(misfit(v, DRAWS, laplace_weight, scale, reach) < 1);
		assert_true(misfit(v, DRAWS, laplace_weight, scale * 1.05L, reach) > 1);
		free(v);
	}
}

static void
test_bernoulli_exp(void **state)
{
	static const mg_ratio gammas[] = {{0, 1}, {1, 1000000}, {1, 3}, {1, 1}, {5, 2}, {9, 1}};
	mg_noise *n = seeded_noise(3);
	mg_ctx ctx;
	bool b;

	mg_ctx_init(&ctx);
	for (size_t i = 0; i < sizeof(gammas) / sizeof(*gammas); i++)
	{
		double p = exp(-mg_ratio_value(gammas[i])), count = 300000, seen = 0;

		for (int j = 0; j < 300000; j++)
		{
			assert_int_equal(mg_bernoulli_exp(&ctx, n, gammas[i], &b), MG_OK);
			seen += b;
		}
		assert_true(fabs(seen / count - p) <= 4.5 * sqrt(p * (1 - p) / count) + 1e-15);
	}
	mg_noise_destroy(n);
}

/* The digits of 1/e by its alternating series in 384-bit fixed point: most significant word first. */
static void
digits_of_inverse_e(uint64_t out[4])
{
	uint64_t term[6] = {0}, sum[6] = {0};

	/* 1/2! - 1/3! + ...: the first two terms cancel. */
	term[0] = UINT64_C(1) << 63;
	for (uint64_t k = 2; k < 90; k++)
	{
		mg_u128 carry = 0;

		for (int i = 5; i >= 0; i--)
		{
			carry = (k & 1) == 0 ? (mg_u128) sum[i] + term[i] + carry : (mg_u128) sum[i] - term[i] - carry;
			sum[i] = (uint64_t) carry;
			carry = (carry >> 64) != 0;
		}
		carry = 0;
		for (int i = 0; i < 6; i++)
		{
			carry = carry << 64 | term[i];
			term[i] = (uint64_t) (carry / (k + 1));
			carry %= k + 1;
		}
	}
	memcpy(out, sum, 4 * sizeof(*out));
}

/* A trial that the first digits leave open is decided by the later ones, down to the last stored word. */
static void
test_inverse_e_digits(void **state)
{
	const mg_ratio one = {1, 1};
	uint64_t digits[4], words[5];

	digits_of_inverse_e(digits);
	for (int open = 0; open < 4; open++)
		for (int above = 0; above < 2; above++)
		{
			mg_ctx ctx;
			mg_noise *n;
			bool b = above != 0;

			mg_ctx_init(&ctx);
			memcpy(words, digits, sizeof(digits));
			words[open] += above ? 1 : (uint64_t) -1;
			words[open + 1] = UINT64_MAX;
			words[4] = UINT64_MAX;
			n = scripted_noise(words, 5);
			assert_int_equal(mg_bernoulli_exp(&ctx, n, one, &b), MG_OK);
			assert_int_equal(b, above == 0);
			mg_noise_destroy(n);
		}
}

/* U whose words agree with the digits of gamma is settled by the next word, exactly: K = 1 when U >= gamma. */
static void
test_lazy_digits(void **state)
{
	static const mg_ratio gammas[] = {{1, 3}, {2, 7}, {123456789, 1000000007}, {1, (UINT64_C(1) << 53) - 111}};

	for (size_t g = 0; g < sizeof(gammas) / sizeof(*gammas); g++)
		for (size_t equal = 0; equal < 20; equal++)
			for (int above = 0; above < 2; above++)
			{
				uint64_t words[22], num = gammas[g].num;
				mg_ctx ctx;
				mg_noise *n;
				bool b;

				mg_ctx_init(&ctx);
				for (size_t i = 0; i <= equal; i++)
				{
					mg_u128 shifted = (mg_u128) num << 64; /* long division, 64 digits at a time */

					words[i] = (uint64_t) (shifted / gammas[g].den);
					num = (uint64_t) (shifted % gammas[g].den);
				}
				words[equal] += above ? 1 : (uint64_t) -1;
				words[equal + 1] = UINT64_MAX; /* then the trial of gamma/2, if any, fails: K = 2 is even */
				n = scripted_noise(words, equal + 2);
				assert_int_equal(mg_bernoulli_exp(&ctx, n, gammas[g], &b), MG_OK);
				assert_int_equal(b, above != 0);
				mg_noise_destroy(n);
			}
}

static void
test_below(void **state)
{
	static const uint64_t bounds[] = {1, 2, 7, 1000, (UINT64_C(3) << 62) - 1, UINT64_MAX};
	mg_noise *n = seeded_noise(5);
	mg_ctx ctx;
	uint64_t x;

	mg_ctx_init(&ctx);
	for (size_t i = 0; i < sizeof(bounds) / sizeof(*bounds); i++)
	{
		double chi = 0, seen[7] = {0};
		size_t cells = bounds[i] < 7 ? (size_t) bounds[i] : 7;

		for (int j = 0; j < 70000; j++)
		{
			assert_int_equal(mg_noise_below(&ctx, n, bounds[i], &x), MG_OK);
			assert_true(x < bounds[i]);
			seen[(size_t) ((mg_u128) x * cells / bounds[i])]++;
		}
		for (size_t c = 0; c < cells; c++)
			chi += (seen[c] - 70000.0 / cells) * (seen[c] - 70000.0 / cells) / (70000.0 / cells);
		assert_true(cells < 2 || bounds[i] == 1000 || chi < chi_square_limit((double) cells - 1));
	}
	/* Multiplication without rejection would give the residues 2 : 1 : 1 here. */
	{
		double chi = 0, seen[3] = {0};

		for (int j = 0; j < 30000; j++)
		{
			assert_int_equal(mg_noise_below(&ctx, n, UINT64_C(3) << 62, &x), MG_OK);
			seen[x % 3]++;
		}
		for (int c = 0; c < 3; c++)
			chi += (seen[c] - 10000) * (seen[c] - 10000) / 10000;
		assert_true(chi < chi_square_limit(2));
	}
	assert_int_equal(mg_noise_below(&ctx, n, 0, &x), MG_INVALID);
	mg_noise_destroy(n);
}

static void
test_exponential_law(void **state)
{
	static const int64_t scores[8] = {10, 12, 3, 12, -5, 9, 11, 7};
	static const bool allowed[8] = {true, true, true, false, true, true, true, true};
	const mg_ratio epsilon = {3, 4};
	mg_noise *n = seeded_noise(11);
	double seen[2][8] = {{0}};
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	for (int masked = 0; masked < 2; masked++)
	{
		double total = 0, chi = 0, freedom = -1, trials = 100000;

		for (int j = 0; j < 100000; j++)
		{
			size_t chosen;

			assert_int_equal(mg_exponential(&ctx, n, epsilon, scores, masked ? allowed : NULL, 8, &chosen), MG_OK);
			seen[masked][chosen]++;
		}
		for (int i = 0; i < 8; i++)
			if (!masked || allowed[i])
				total += exp(0.375 * (double) scores[i]);
		for (int i = 0; i < 8; i++)
		{
			double expected = trials * exp(0.375 * (double) scores[i]) / total;

			if (masked && !allowed[i])
			{
				assert_true(seen[masked][i] == 0);
				continue;
			}
			chi += (seen[masked][i] - expected) * (seen[masked][i] - expected) / expected;
			freedom++;
		}
		assert_true(chi < chi_square_limit(freedom));
	}
	mg_noise_destroy(n);
}

static void
test_exponential_edges(void **state)
{
	int64_t extreme[3] = {INT64_MIN, INT64_MAX, 0};
	static const bool none[3] = {false, false, false}, last[3] = {false, false, true};
	mg_ratio epsilon = {UINT64_C(1) << 53, 1};
	mg_noise *n = seeded_noise(12);
	mg_ctx ctx;
	size_t chosen;
	int64_t *many = calloc(50000, sizeof(*many));

	mg_ctx_init(&ctx);
	for (int i = 0; i < 100; i++)
	{
		assert_int_equal(mg_exponential(&ctx, n, epsilon, extreme, NULL, 3, &chosen), MG_OK);
		assert_int_equal(chosen, 1);
		assert_int_equal(mg_exponential(&ctx, n, epsilon, extreme, last, 3, &chosen), MG_OK);
		assert_int_equal(chosen, 2);
	}
	/* One candidate above many: found though an attempt in 50,000 succeeds. */
	many[31415] = 1000;
	epsilon.num = 1;
	assert_non_null(many);
	for (int i = 0; i < 5; i++)
	{
		assert_int_equal(mg_exponential(&ctx, n, epsilon, many, NULL, 50000, &chosen), MG_OK);
		assert_int_equal(chosen, 31415);
	}
	assert_int_equal(mg_exponential(&ctx, n, epsilon, extreme, none, 3, &chosen), MG_INVALID);
	assert_int_equal(mg_exponential(&ctx, n, epsilon, extreme, NULL, 0, &chosen), MG_INVALID);
	epsilon.den = 0;
	assert_int_equal(mg_exponential(&ctx, n, epsilon, extreme, NULL, 3, &chosen), MG_INVALID);
	free(many);
	mg_noise_destroy(n);
}

static void
test_ratios(void **state)
{
	mg_ratio r;

	assert_true(mg_ratio_above(0.75, &r) && r.num == 3 && r.den == 4);
	assert_true(mg_ratio_above(1e-12, &r) && r.num == 1 && r.den == UINT64_C(1) << 20);
	assert_true(mg_ratio_above(0x1.0p40, &r) && r.num == UINT64_C(1) << 40 && r.den == 1);
	assert_true(mg_ratio_above(0x1.fffffffffffffp39, &r) && mg_ratio_value(r) == 0x1.fffffffffffffp39);
	assert_false(mg_ratio_above(0, &r));
	assert_false(mg_ratio_above(-1, &r));
	assert_false(mg_ratio_above(NAN, &r));
	assert_false(mg_ratio_above(INFINITY, &r));
	assert_false(mg_ratio_above(nextafter(0x1.0p40, INFINITY), &r));
	assert_true(mg_ratio_below(0x1.0p-30, &r) && r.num == 1 && r.den == UINT64_C(1) << 30);
	assert_true(mg_ratio_below(0x1.0p20, &r) && r.num == UINT64_C(1) << 20 && r.den == 1);
	assert_false(mg_ratio_below(0x1.0p-31, &r));
	assert_false(mg_ratio_below(0x1.1p20, &r));
	assert_false(mg_ratio_below(NAN, &r));
	for (double x = 1e-6; x < 1e6; x *= 1.37)
	{
		assert_true(mg_ratio_above(x, &r) && mg_ratio_valid(r));
		assert_true(mg_ratio_value(r) >= x && mg_ratio_value(r) - x <= 0x1.0p-20);
		assert_true(mg_ratio_below(x, &r) && mg_ratio_valid(r));
		assert_true(mg_ratio_value(r) <= x && x - mg_ratio_value(r) <= 0x1.0p-40);
	}
}

static void
test_bad_ratios(void **state)
{
	static const mg_ratio bad[] = {{0, 1}, {1, 0}, {0, 0}, {UINT64_MAX, 1}, {1, (UINT64_C(1) << 53) + 1}};
	mg_noise *n = seeded_noise(1);
	int64_t x = 77;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
	{
		mg_ctx ctx;

		mg_ctx_init(&ctx);
		assert_int_equal(mg_discrete_gaussian(&ctx, n, bad[i], &x), MG_INVALID);
		assert_int_equal(mg_discrete_laplace(&ctx, n, bad[i], &x), MG_INVALID);
		assert_int_equal(mg_add_discrete_gaussian(&ctx, n, bad[i], &x, 1), MG_INVALID);
		assert_int_equal(mg_partition_threshold(&ctx, bad[i], 1e-9, &x), MG_INVALID);
		assert_true(mg_discrete_gaussian_tail(bad[i], 5) == 1);
		assert_int_equal(x, 77);
	}
	mg_noise_destroy(n);
}

static void
test_saturation(void **state)
{
	const mg_ratio sigma2 = {10000, 1};
	int64_t v[200];
	mg_noise *n = seeded_noise(21);
	mg_ctx ctx;
	bool high = false, low = false;

	mg_ctx_init(&ctx);
	for (int i = 0; i < 200; i++)
		v[i] = i < 100 ? INT64_MAX : INT64_MIN;
	assert_int_equal(mg_add_discrete_gaussian(&ctx, n, sigma2, v, 200), MG_OK);
	for (int i = 0; i < 200; i++)
	{
		assert_true(i < 100 ? v[i] > INT64_MAX - 2000 : v[i] < INT64_MIN + 2000);
		high = high || v[i] == INT64_MAX;
		low = low || v[i] == INT64_MIN;
	}
	assert_true(high && low);
	mg_noise_destroy(n);
}

/* The bound is never below the tail summed from its definition, and close to it. */
static void
test_tail(void **state)
{
	static const double sigmas[] = {0.3, 0.7, 1, 2.5, 10, 50, 63.9, 64.1, 200, 1000};

	for (size_t i = 0; i < sizeof(sigmas) / sizeof(*sigmas); i++)
	{
		mg_ratio sigma2;
		long double s2, z = 0;
		int64_t most = (int64_t) (37 * sigmas[i]) + 1, step = most / 60 + 1;

		assert_true(mg_ratio_above(sigmas[i] * sigmas[i], &sigma2));
		s2 = (long double) sigma2.num / sigma2.den;
		for (int64_t x = -2 * most; x <= 2 * most; x++)
			z += gauss_weight((long double) x, s2);
		for (int64_t k = 1; k <= most; k += step)
		{
			long double truth = 0;
			double bound = mg_discrete_gaussian_tail(sigma2, k);

			for (int64_t x = k + most; x >= k; x--)
				truth += gauss_weight((long double) x, s2);
			truth /= z;
			assert_true(bound >= truth);
			assert_true(bound <= truth * ((double) k > sigmas[i] ? 1.02L : 1.05L) || bound <= 1.0001e-300);
		}
		assert_true(mg_discrete_gaussian_tail(sigma2, 0) == 1);
		assert_true(mg_discrete_gaussian_tail(sigma2, -3) == 1);
		assert_true(mg_discrete_gaussian_tail(sigma2, INT64_MAX) == 1e-300);
	}
}

static void
test_partition_threshold(void **state)
{
	static const double deltas[] = {0.4, 1e-2, 1e-9, 5e-12, 1e-100};
	static const double variances[] = {0.01, 1, 40, 625.25, 5000, 1e9, 0x1.0p40};
	mg_ctx ctx;
	int64_t t;
	mg_ratio sigma2;

	mg_ctx_init(&ctx);
	for (size_t v = 0; v < sizeof(variances) / sizeof(*variances); v++)
		for (size_t d = 0; d < sizeof(deltas) / sizeof(*deltas); d++)
		{
			assert_true(mg_ratio_above(variances[v], &sigma2));
			assert_int_equal(mg_partition_threshold(&ctx, sigma2, deltas[d], &t), MG_OK);
			assert_true(mg_discrete_gaussian_tail(sigma2, t - 1) <= deltas[d]);
			assert_true(mg_discrete_gaussian_tail(sigma2, t - 2) > deltas[d]);
		}
	assert_int_equal(mg_partition_threshold(&ctx, sigma2, 0, &t), MG_INVALID);
	mg_ctx_init(&ctx);
	assert_int_equal(mg_partition_threshold(&ctx, sigma2, 1, &t), MG_INVALID);
	mg_ctx_init(&ctx);
	assert_int_equal(mg_partition_threshold(&ctx, sigma2, NAN, &t), MG_INVALID);
}

/* A label that one unit alone holds is released about as often as the atom says, and not more. */
static void
test_partition_rate(void **state)
{
	const mg_ratio sigma2 = {9, 1};
	const double delta = 0.01;
	mg_ctx ctx;
	int64_t t, *v;
	double seen = 0, tail;

	mg_ctx_init(&ctx);
	assert_int_equal(mg_partition_threshold(&ctx, sigma2, delta, &t), MG_OK);
	tail = mg_discrete_gaussian_tail(sigma2, t - 1);
	v = gaussian_draws(sigma2, DRAWS, 31);
	for (size_t i = 0; i < DRAWS; i++)
		seen += 1 + v[i] >= t;
	assert_true(fabs(seen / DRAWS - tail) < 4.5 * sqrt(tail / DRAWS));
	assert_true(seen / DRAWS <= delta);
	free(v);
}

/* The binomial upper tail Pr[Bin(n, p) >= k], from its largest term on (k is above the mean). */
static double
binomial_tail(size_t n, size_t k, double p)
{
	double term = lgamma((double) n + 1) - lgamma((double) k + 1) - lgamma((double) (n - k) + 1) + (double) k * log(p) +
				  (double) (n - k) * log1p(-p);
	double sum = 0, ratio = 1;

	for (size_t i = k; i <= n && ratio > 1e-18; i++)
	{
		sum += ratio;
		ratio *= (double) (n - i) / (double) (i + 1) * (p / (1 - p));
	}
	return exp(term) * sum;
}

/* Clopper, Pearson 1934: the p at which k or more successes out of n have a chance of 1e-4, a lower bound. */
static double
lower_bound(size_t n, size_t k)
{
	double low = 0, high = (double) k / (double) n;

	if (k == 0)
		return 0;
	for (int i = 0; i < 60; i++)
	{
		double middle = (low + high) / 2;

		if (binomial_tail(n, k, middle) < 1e-4)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/*
 * An audit: a count of 0 or 1 is released `n` times each; the events are "at least t". The largest epsilon that the
 * frequencies prove, at the given delta. `draws` has 2 n noise values.
 */
static double
audited_epsilon(const int64_t *draws, size_t n, double delta)
{
	double proven = 0;

	for (int64_t t = -8; t <= 8; t++)
	{
		size_t without = 0, with = 0;
		double p, q;

		for (size_t i = 0; i < n; i++)
		{
			without += draws[i] >= t;
			with += 1 + draws[n + i] >= t;
		}
		p = lower_bound(n, with);
		q = 1 - lower_bound(n, n - without);
		if (p - delta > 0 && log((p - delta) / q) > proven)
			proven = log((p - delta) / q);
	}
	return proven;
}

static void
test_audit_gaussian(void **state)
{
	const double delta = 1e-3, sigma = 1.5;
	const mg_event claimed = {MG_EVENT_DISCRETE_GAUSSIAN, 1.5, 1, 0};
	double claim = mg_zcdp_epsilon(mg_event_rho(&claimed), delta);
	mg_ratio sigma2;
	int64_t *v;

	assert_true(mg_ratio_above(sigma * sigma, &sigma2));
	v = gaussian_draws(sigma2, DRAWS, 51);
	assert_true(audited_epsilon(v, DRAWS / 2, delta) < claim);
	assert_true(audited_epsilon(v, DRAWS / 2, delta) > claim / 3); /* the audit sees something */
	free(v);
	/* Half the noise breaks the claim, and none of it does by far. */
	sigma2.den *= 4;
	v = gaussian_draws(sigma2, DRAWS, 52);
	assert_true(audited_epsilon(v, DRAWS / 2, delta) > claim);
	memset(v, 0, DRAWS * sizeof(*v));
	assert_true(audited_epsilon(v, DRAWS / 2, delta) > 2 * claim);
	free(v);
}

static void
test_audit_laplace(void **state)
{
	mg_ratio scale = {2, 1};
	int64_t *v = laplace_draws(scale, DRAWS, 61);
	double proven = audited_epsilon(v, DRAWS / 2, 0);

	assert_true(proven < 0.5 && proven > 0.45);
	free(v);
	scale.den = 2;
	v = laplace_draws(scale, DRAWS, 62);
	assert_true(audited_epsilon(v, DRAWS / 2, 0) > 0.9);
	free(v);
}

static void
test_production_source(void **state)
{
	const mg_ratio sigma2 = {25, 1};
	uint8_t bytes[100], zero[100] = {0};
	int64_t *v = calloc(20000, sizeof(*v));
	mg_noise *a, *b;
	uint64_t x, y;
	double squares = 0;
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	assert_non_null(v);
	assert_int_equal(mg_noise_create(&ctx, &a), MG_OK);
	assert_int_equal(mg_noise_create(&ctx, &b), MG_OK);
	assert_int_equal(mg_noise_u64(&ctx, a, &x), MG_OK);
	assert_int_equal(mg_noise_u64(&ctx, b, &y), MG_OK);
	assert_true(x != y);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(mg_noise_bytes(&ctx, a, bytes, 97), MG_OK);
	assert_memory_not_equal(bytes, zero, 97);
	assert_memory_equal(bytes + 97, zero, 3);
	assert_int_equal(mg_add_discrete_gaussian(&ctx, a, sigma2, v, 20000), MG_OK);
	for (int i = 0; i < 20000; i++)
		squares += (double) v[i] * (double) v[i];
	assert_true(fabs(squares / 20000 / 25 - 1) < 0.1); /* ten standard deviations: random, yet never red */
	/* What was handed out is gone from the buffer. */
	for (size_t i = 0; i < a->next; i++)
		assert_true(a->word[i] == 0);
	free(v);
	mg_noise_destroy(a);
	mg_noise_destroy(b);
	mg_noise_destroy(NULL);
}

/* In a forked child every call fails; the parent's source and a source made in the child work. */
static void
test_fork(void **state)
{
	const mg_ratio ratio = {25, 1};
	const int64_t score[2] = {0, 0};
	mg_noise *n;
	mg_ctx ctx;
	int64_t x;
	uint64_t u;
	pid_t child;
	int status;

	mg_ctx_init(&ctx);
	assert_int_equal(mg_noise_create(&ctx, &n), MG_OK);
	assert_int_equal(mg_discrete_gaussian(&ctx, n, ratio, &x), MG_OK);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
	{
		mg_code code[6];
		mg_noise *own = NULL;
		size_t chosen;
		bool ok = true;

		code[0] = mg_noise_u64(&ctx, n, &u);
		code[1] = mg_noise_bytes(&ctx, n, &u, sizeof(u));
		code[2] = mg_discrete_gaussian(&ctx, n, ratio, &x);
		code[3] = mg_discrete_laplace(&ctx, n, ratio, &x);
		code[4] = mg_noise_below(&ctx, n, 10, &u);
		code[5] = mg_exponential(&ctx, n, ratio, score, NULL, 2, &chosen);
		for (int i = 0; i < 6; i++)
			ok = ok && code[i] == MG_INTERNAL;
		mg_ctx_init(&ctx);
		ok = ok && mg_noise_create(&ctx, &own) == MG_OK && mg_discrete_gaussian(&ctx, own, ratio, &x) == MG_OK;
		_exit(ok ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(mg_discrete_gaussian(&ctx, n, ratio, &x), MG_OK);

	/* A child made without fork handlers is caught by its process id at the next refill. */
	n->pid++;
	n->next = MG_NOISE_WORDS;
	assert_int_equal(mg_noise_u64(&ctx, n, &u), MG_INTERNAL);
	mg_noise_destroy(n);
}

/* Sources stuck at one value never hang a sampler: whatever does not end in a few turns ends in an error. */
static void
test_broken_sources(void **state)
{
	static const uint64_t stuck[] = {0, UINT64_MAX, UINT64_C(0x5e2d58d8b3bcdf1a)};
	const mg_ratio ratio = {25, 1}, tiny = {1, 1000};
	int failures = 0;

	for (size_t i = 0; i < 3; i++)
	{
		mg_noise *n = scripted_noise(&stuck[i], 1);
		const int64_t score[2] = {0, INT64_MAX};
		mg_ctx ctx;
		int64_t x;
		size_t chosen;

		mg_ctx_init(&ctx);
		failures += mg_discrete_gaussian(&ctx, n, ratio, &x) == MG_INTERNAL;
		failures += mg_discrete_laplace(&ctx, n, tiny, &x) == MG_INTERNAL;
		(void) mg_exponential(&ctx, n, ratio, score, NULL, 2, &chosen);
		mg_noise_destroy(n);
	}
	assert_true(failures >= 3);
}

static bool
stop_now(void *arg)
{
	return true;
}

static void
test_cancel(void **state)
{
	const mg_ratio ratio = {25, 1};
	mg_noise *n = seeded_noise(1);
	int64_t v[2] = {0, 0}, score[2] = {0, 0};
	size_t chosen;
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	ctx.cancel = stop_now;
	assert_int_equal(mg_add_discrete_gaussian(&ctx, n, ratio, v, 2), MG_CANCELLED);
	assert_int_equal(mg_exponential(&ctx, n, ratio, score, NULL, 2, &chosen), MG_CANCELLED);
	mg_noise_destroy(n);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gaussian_law),
		cmocka_unit_test(test_gaussian_odd_ratio),
		cmocka_unit_test(test_gaussian_moments),
		cmocka_unit_test(test_laplace_law),
		cmocka_unit_test(test_bernoulli_exp),
		cmocka_unit_test(test_inverse_e_digits),
		cmocka_unit_test(test_lazy_digits),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_exponential_law),
		cmocka_unit_test(test_exponential_edges),
		cmocka_unit_test(test_ratios),
		cmocka_unit_test(test_bad_ratios),
		cmocka_unit_test(test_saturation),
		cmocka_unit_test(test_tail),
		cmocka_unit_test(test_partition_threshold),
		cmocka_unit_test(test_partition_rate),
		cmocka_unit_test(test_audit_gaussian),
		cmocka_unit_test(test_audit_laplace),
		cmocka_unit_test(test_production_source),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_broken_sources),
		cmocka_unit_test(test_cancel),
	};

	return cmocka_run_group_tests_name("privacy noise", tests, NULL, NULL);
}
