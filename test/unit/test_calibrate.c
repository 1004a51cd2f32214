/*
 * test/unit/test_calibrate.c: the noise multiplier that is found holds, and a little less of it does not.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "privacy/pld.h"

static double
epsilon_of(double q, double sigma, uint64_t steps, double delta, const mg_event *others, size_t n)
{
	mg_event e[4];
	double epsilon;
	mg_ctx ctx;

	for (size_t i = 0; i < n; i++)
		e[i] = others[i];
	e[n] = (mg_event){MG_EVENT_POISSON_GAUSSIAN, sigma, steps, 0, q};
	mg_ctx_init(&ctx);
	assert_int_equal(mg_pld_epsilon(&ctx, e, n + 1, delta, &epsilon), MG_OK);
	return epsilon;
}

static double
calibrated(double epsilon, double delta, double q, uint64_t steps, const mg_event *others, size_t n)
{
	double sigma = NAN;
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	assert_int_equal(mg_calibrate_gaussian(&ctx, epsilon, delta, q, steps, others, n, &sigma), MG_OK);
	return sigma;
}

static void
test_smallest(void **state)
{
	static const double epsilons[] = {0.1, 1, 8}, rates[] = {1e-3, 0.02, 0.5, 1};
	static const uint64_t steps[] = {1, 200, 5000};

	for (size_t e = 0; e < 3; e++)
		for (size_t q = 0; q < 4; q++)
			for (size_t s = 0; s < 3; s++)
			{
				double sigma = calibrated(epsilons[e], 1e-8, rates[q], steps[s], NULL, 0);

				assert_true(epsilon_of(rates[q], sigma, steps[s], 1e-8, NULL, 0) <= epsilons[e]);
				assert_true(epsilon_of(rates[q], sigma * (1 - 2e-4), steps[s], 1e-8, NULL, 0) > epsilons[e]);
			}
}

static void
test_closed_form(void **state)
{
	for (double epsilon = 0.05; epsilon < 20; epsilon *= 3)
	{
		double sigma = calibrated(epsilon, 1e-9, 1, 64, NULL, 0);

		assert_true(mg_gaussian_epsilon(8 / sigma, 1e-9) <= epsilon * (1 + 1e-9));
		assert_true(mg_gaussian_epsilon(8 / sigma * (1 + 2e-4), 1e-9) > epsilon);
	}
}

static void
test_with_others(void **state)
{
	static const mg_event others[2] = {{MG_EVENT_LAPLACE, 10, 3, 0, 0}, {MG_EVENT_DISCRETE_GAUSSIAN, 20, 5, 1e-10, 0}};
	double alone = calibrated(2, 1e-8, 0.01, 1000, NULL, 0), sigma = calibrated(2, 1e-8, 0.01, 1000, others, 2);

	assert_true(sigma > alone);
	assert_true(epsilon_of(0.01, sigma, 1000, 1e-8, others, 2) <= 2);
	assert_true(epsilon_of(0.01, sigma * (1 - 2e-4), 1000, 1e-8, others, 2) > 2);
	/* more steps, more noise; a larger delta, less */
	assert_true(calibrated(2, 1e-8, 0.01, 2000, others, 2) > sigma);
	assert_true(calibrated(2, 1e-6, 0.01, 1000, others, 2) < sigma);
}

static void
test_refused(void **state)
{
	static const struct
	{
		double epsilon, delta, q;
		uint64_t steps;
	} bad[] = {{0, 1e-9, 0.1, 1}, {-1, 1e-9, 0.1, 1}, {NAN, 1e-9, 0.1, 1}, {INFINITY, 1e-9, 0.1, 1},
			   {1, 0, 0.1, 1},    {1, 1, 0.1, 1},     {1, NAN, 0.1, 1},    {1, 1e-9, 0, 1},
			   {1, 1e-9, 1.1, 1}, {1, 1e-9, NAN, 1},  {1, 1e-9, 0.1, 0}};
	const mg_event dear = {MG_EVENT_GAUSSIAN, 1, 1, 0, 0}, invalid = {MG_EVENT_GAUSSIAN, -1, 1, 0, 0};
	double sigma;
	mg_ctx ctx;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
	{
		mg_ctx_init(&ctx);
		assert_int_equal(mg_calibrate_gaussian(&ctx, bad[i].epsilon, bad[i].delta, bad[i].q, bad[i].steps, NULL, 0,
											   &sigma),
						 MG_INVALID);
		assert_true(ctx.message[0] != '\0');
	}
	mg_ctx_init(&ctx);
	assert_int_equal(mg_calibrate_gaussian(&ctx, 1, 1e-9, 0.1, 10, &dear, 1, &sigma), MG_INVALID);
	assert_true(ctx.hint[0] != '\0');
	mg_ctx_init(&ctx);
	assert_int_equal(mg_calibrate_gaussian(&ctx, 1, 1e-9, 0.1, 10, &invalid, 1, &sigma), MG_INVALID);
	/* more steps than any noise is large enough for */
	mg_ctx_init(&ctx);
	assert_int_equal(mg_calibrate_gaussian(&ctx, 1e-6, 1e-12, 1, UINT64_C(1) << 40, NULL, 0, &sigma), MG_INVALID);
	/* so little to do that the least noise will */
	assert_true(calibrated(1e5, 1e-9, 0.5, 1, NULL, 0) < 0.011);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_smallest),
		cmocka_unit_test(test_closed_form),
		cmocka_unit_test(test_with_others),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests_name("calibration", tests, NULL, NULL);
}
