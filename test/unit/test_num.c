/*
 * test/unit/test_num.c: special functions against long double oracles and published values; the post-processing
 * generator against the published output of its algorithm and uniformity.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "num/rng.h"
#include "num/special.h"

#define NEAR(a, b, relative) (fabsl((long double) (a) - (long double) (b)) <= (relative) *fabsl((long double) (b)))

static void
test_logs(void **state)
{
	double x[3] = {-1000, -1001, -1002}, huge[2] = {800, 800}, none[2] = {-INFINITY, -INFINITY};

	assert_true(NEAR(mg_log_add(1, 2), logl(expl(1) + expl(2)), 1e-15L));
	assert_true(mg_log_add(-INFINITY, 3) == 3 && mg_log_add(3, -INFINITY) == 3);
	assert_true(mg_log_add(-INFINITY, -INFINITY) == -INFINITY);
	assert_true(mg_log_add(INFINITY, 1) == INFINITY && isnan(mg_log_add(NAN, 1)) && isnan(mg_log_add(1, NAN)));
	assert_true(NEAR(mg_log_add(-1e5, -1e5), -1e5L + logl(2), 1e-15L));
	assert_true(NEAR(mg_log_sum_exp(x, 3), -1000 + logl(1 + expl(-1) + expl(-2)), 1e-15L));
	assert_true(NEAR(mg_log_sum_exp(huge, 2), 800 + logl(2), 1e-15L));
	assert_true(mg_log_sum_exp(x, 0) == -INFINITY && mg_log_sum_exp(none, 2) == -INFINITY);
	x[1] = NAN;
	assert_true(isnan(mg_log_sum_exp(x, 3)));
	for (double d = 1e-12; d < 50; d *= 3)
	{
		long double exact = d < 1 ? logl(-expm1l(-(long double) d)) : log1pl(-expl(-(long double) d));

		assert_true(NEAR(mg_log1mexp(d), exact, 1e-14L));
		assert_true(NEAR(mg_log_sub(d, 0), logl(expm1l((long double) d)), 1e-14L) || fabs(d - M_LN2) < 0.3);
	}
	assert_true(mg_log_sub(5, 5) == -INFINITY && mg_log_sub(5, -INFINITY) == 5);
}

static void
test_normal(void **state)
{
	for (double x = -37; x < 9; x += 0.37)
	{
		long double exact = 0.5L * erfcl(-(long double) x / sqrtl(2));

		/* The argument of erfc is rounded: its relative effect grows with x^2. */
		assert_true(NEAR(mg_normal_cdf(x), exact, 3e-16L * (2 + (long double) x * x)));
		assert_true(NEAR(mg_log_normal_cdf(x), x > 0 ? log1pl(-0.5L * erfcl((long double) x / sqrtl(2))) : logl(exact),
						 x > 0 ? 1e-14L * (1 + (long double) x * x) : 1e-14L));
	}
	/* Both sides of the seam at -30, and far out: -x^2/2 - log(-x sqrt(2 pi)) + log(1 - 1/x^2 + ...). */
	assert_true(NEAR(mg_log_normal_cdf(nextafter(-30, -31)), mg_log_normal_cdf(-30), 1e-14L));
	assert_true(NEAR(mg_log_normal_cdf(-100), logl(0.5L * erfcl(100 / sqrtl(2))), 1e-15L));
	assert_true(NEAR(mg_log_normal_cdf(-1e150), -0.5e300L, 1e-15L));
	assert_true(isnan(mg_normal_cdf(NAN)) && isnan(mg_log_normal_cdf(NAN)));
	assert_true(mg_log_normal_cdf(INFINITY) == 0);
}

static void
test_quantile(void **state)
{
	/* Published: the 97.5% and 99.9999% points. */
	assert_true(NEAR(mg_normal_quantile(0.975), 1.959963984540054L, 1e-14L));
	assert_true(NEAR(mg_normal_quantile(1e-6), -4.753424308822899L, 1e-14L));
	assert_true(mg_normal_quantile(0.5) == 0);
	assert_true(mg_normal_quantile(0) == -INFINITY && mg_normal_quantile(1) == INFINITY);
	assert_true(isnan(mg_normal_quantile(-0.1)) && isnan(mg_normal_quantile(1.1)) && isnan(mg_normal_quantile(NAN)));
	for (double p = 1e-305; p < 0.5; p *= 3.7)
	{
		double x = mg_normal_quantile(p);

		assert_true(NEAR(mg_log_normal_cdf(x), logl((long double) p), 1e-13L));
		if (p > 1e-10)
			assert_true(NEAR(mg_normal_quantile(1 - p), -x, 1e-6L));
	}
	for (double p = 0.01; p < 0.99; p += 0.01)
		assert_true(mg_normal_quantile(p) < mg_normal_quantile(p + 0.005));
}

/* The first outputs for the state 1, 2, 3, 4, by the definition of xoshiro256++ (worked out apart, in Python). */
static void
test_rng_algorithm(void **state)
{
	static const uint64_t first[4] = {UINT64_C(41943041), UINT64_C(58720359), UINT64_C(3588806011781223),
									  UINT64_C(3591011842654386)};
	mg_rng r = {{1, 2, 3, 4}};

	for (int i = 0; i < 4; i++)
		assert_true(mg_rng_u64(&r) == first[i]);
}

static void
test_rng_seeds(void **state)
{
	uint8_t zero[32] = {0}, key[32];
	mg_rng a, b;

	mg_rng_seed_bytes(&a, zero);
	mg_rng_seed(&b, 0);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_true((a.s[0] | a.s[1] | a.s[2] | a.s[3]) != 0);
	/* Published first output of SplitMix64 from state 0. */
	assert_true(b.s[0] == UINT64_C(0xe220a8397b1dcdaf));
	for (int i = 0; i < 32; i++)
		key[i] = (uint8_t) i;
	mg_rng_seed_bytes(&a, key);
	assert_true(a.s[0] == UINT64_C(0x0706050403020100) && a.s[3] == UINT64_C(0x1f1e1d1c1b1a1918));
	mg_rng_seed(&a, 1);
	mg_rng_seed(&b, 2);
	assert_true(mg_rng_u64(&a) != mg_rng_u64(&b));
}

static void
test_rng_uniform(void **state)
{
	mg_rng r;
	double sum = 0, squares = 0, chi = 0;
	int seen[10] = {0};

	mg_rng_seed(&r, 9);
	for (int i = 0; i < 200000; i++)
	{
		double u = mg_rng_unit(&r);

		assert_true(u >= 0 && u < 1);
		sum += u;
		squares += u * u;
		seen[mg_rng_below32((uint32_t) mg_rng_u64(&r), 10)]++;
	}
	assert_true(fabs(sum / 200000 - 0.5) < 4.5 * sqrt(1 / 12.0 / 200000));
	assert_true(fabs(squares / 200000 - 1 / 3.0) < 4.5 * sqrt(4 / 45.0 / 200000));
	for (int i = 0; i < 10; i++)
		chi += (seen[i] - 20000.0) * (seen[i] - 20000.0) / 20000;
	assert_true(chi < 39);
	assert_int_equal(mg_rng_below32(UINT32_MAX, 7), 6);
	assert_int_equal(mg_rng_below32(0, 7), 0);
}

static void
test_permutation(void **state)
{
	static uint16_t p[65536];
	static bool seen[65536];
	int orders[6] = {0};
	double chi = 0;
	mg_rng r;

	mg_rng_seed(&r, 10);
	mg_rng_permutation16(&r, p, 65536);
	for (uint32_t i = 0; i < 65536; i++)
	{
		assert_false(seen[p[i]]);
		seen[p[i]] = true;
	}
	for (int i = 0; i < 60000; i++)
	{
		mg_rng_permutation16(&r, p, 3);
		orders[p[0] * 2 + (p[1] > p[2])]++;
	}
	for (int i = 0; i < 6; i++)
		chi += (orders[i] - 10000.0) * (orders[i] - 10000.0) / 10000;
	assert_true(chi < 31);
	mg_rng_permutation16(&r, p, 0);
	mg_rng_permutation16(&r, p, 1);
	assert_int_equal(p[0], 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_logs),          cmocka_unit_test(test_normal),    cmocka_unit_test(test_quantile),
		cmocka_unit_test(test_rng_algorithm), cmocka_unit_test(test_rng_seeds), cmocka_unit_test(test_rng_uniform),
		cmocka_unit_test(test_permutation),
	};

	return cmocka_run_group_tests_name("num", tests, NULL, NULL);
}
