/*
 * test/unit/test_fft.c: the transform against the definition summed in long double, and its stated error bound.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "num/fft.h"
#include "num/rng.h"

#define LARGEST 4096

static double re[LARGEST], im[LARGEST], keep_re[LARGEST], keep_im[LARGEST];

static void
fill(mg_rng *r, size_t n)
{
	for (size_t j = 0; j < n; j++)
	{
		keep_re[j] = re[j] = mg_rng_unit(r) - 0.5;
		keep_im[j] = im[j] = mg_rng_unit(r) - 0.5;
	}
}

static double
norm1(size_t n)
{
	double sum = 0;

	for (size_t j = 0; j < n; j++)
		sum += hypot(keep_re[j], keep_im[j]);
	return sum;
}

/* |transform - definition| at k; turn = 1: the values of the polynomial at exp(i pi / 2n - 2 pi i k / n). */
static double
error_at(const mg_fft *plan, size_t n, size_t k, int turn)
{
	long double sr = 0, si = 0, pi = acosl(-1);
	size_t at = mg_fft_reverse(plan, k);

	for (size_t j = 0; j < n; j++)
	{
		long double angle = -2 * pi * (long double) (j * k % n) / n + turn * pi * (long double) j / (2 * n);

		sr += keep_re[j] * cosl(angle) - keep_im[j] * sinl(angle);
		si += keep_re[j] * sinl(angle) + keep_im[j] * cosl(angle);
	}
	return (double) hypotl(re[at] - sr, im[at] - si);
}

static void
test_definition(void **state)
{
	mg_ctx ctx;
	mg_arena *arena = mg_arena_create(0);
	mg_rng r;

	mg_ctx_init(&ctx);
	mg_rng_seed(&r, 1);
	for (unsigned log2n = 0; log2n <= 12; log2n++)
		for (int turn = 0; turn <= 1; turn++)
		{
			size_t n = (size_t) 1 << log2n, step = n > 256 ? n / 97 : 1;
			double bound, worst = 0;
			mg_fft *plan;

			assert_int_equal(mg_fft_create(&ctx, arena, log2n, &plan), MG_OK);
			assert_int_equal(mg_fft_size(plan), n);
			fill(&r, n);
			bound = (turn ? mg_ring_error(plan) : mg_fft_error(plan)) * norm1(n);
			(turn ? mg_ring_forward : mg_fft_forward)(plan, re, im);
			for (size_t k = 0; k < n; k += step)
				worst = fmax(worst, error_at(plan, n, k, turn));
			assert_true(worst <= bound);
			(turn ? mg_ring_inverse : mg_fft_inverse)(plan, re, im);
			for (size_t j = 0; j < n; j++)
				assert_true(hypot(re[j] - keep_re[j], im[j] - keep_im[j]) <= 4 * bound);
		}
	mg_arena_destroy(arena);
}

/* Adversarial for a bound on one output: one large coefficient, and all of one sign. */
static void
test_bound_extremes(void **state)
{
	mg_ctx ctx;
	mg_arena *arena = mg_arena_create(0);
	mg_fft *plan;
	const size_t n = 1024;

	mg_ctx_init(&ctx);
	assert_int_equal(mg_fft_create(&ctx, arena, 10, &plan), MG_OK);
	for (int shape = 0; shape < 3; shape++)
	{
		for (size_t j = 0; j < n; j++)
		{
			keep_re[j] = re[j] = shape == 0 ? (j == 513) : shape == 1 ? 1 / 3.0 : exp(-(double) j * 0.3);
			keep_im[j] = im[j] = 0;
		}
		mg_ring_forward(plan, re, im);
		for (size_t k = 0; k < n; k += 11)
			assert_true(error_at(plan, n, k, 1) <= mg_ring_error(plan) * norm1(n));
	}
	assert_true(mg_ring_error(plan) < 1e-14 && mg_ring_error(plan) > mg_fft_error(plan));
	mg_arena_destroy(arena);
}

/* Products of real polynomials modulo x^2n + 1 against the schoolbook: what runs over comes back negative. */
static void
test_ring_product(void **state)
{
	mg_ctx ctx;
	mg_arena *arena = mg_arena_create(0);
	mg_rng r;

	mg_ctx_init(&ctx);
	mg_rng_seed(&r, 2);
	for (unsigned log2n = 0; log2n <= 8; log2n++)
	{
		size_t n = (size_t) 1 << log2n, m = 2 * n;
		double a[512], b[512], br[256], bi[256], direct[512] = {0};
		mg_fft *plan;

		assert_int_equal(mg_fft_create(&ctx, arena, log2n, &plan), MG_OK);
		for (size_t j = 0; j < m; j++)
		{
			a[j] = mg_rng_unit(&r) - 0.5;
			b[j] = mg_rng_unit(&r) - 0.5;
		}
		for (size_t i = 0; i < m; i++)
			for (size_t j = 0; j < m; j++)
				direct[(i + j) % m] += (i + j < m ? 1 : -1) * a[i] * b[j];
		for (size_t j = 0; j < n; j++)
		{
			re[j] = a[j];
			im[j] = a[n + j];
			br[j] = b[j];
			bi[j] = b[n + j];
		}
		mg_ring_forward(plan, re, im);
		mg_ring_forward(plan, br, bi);
		for (size_t k = 0; k < n; k++)
		{
			double x = re[k] * br[k] - im[k] * bi[k];

			im[k] = re[k] * bi[k] + im[k] * br[k];
			re[k] = x;
		}
		mg_ring_inverse(plan, re, im);
		for (size_t j = 0; j < n; j++)
		{
			assert_true(fabs(re[j] - direct[j]) < 1e-12);
			assert_true(fabs(im[j] - direct[n + j]) < 1e-12);
		}
	}
	mg_arena_destroy(arena);
}

/* Large transforms: a shifted unit, whose values are known, there and back. */
static void
test_large(void **state)
{
	mg_ctx ctx;
	mg_arena *arena = mg_arena_create(0);
	mg_fft *plan;
	const size_t n = (size_t) 1 << 18, at = 123457;
	double *x = calloc(n, sizeof(*x)), *y = calloc(n, sizeof(*y));

	mg_ctx_init(&ctx);
	assert_non_null(x);
	assert_non_null(y);
	assert_int_equal(mg_fft_create(&ctx, arena, 18, &plan), MG_OK);
	x[at] = 1;
	mg_fft_forward(plan, x, y);
	for (size_t k = 0; k < n; k += 997)
	{
		long double angle = -2 * acosl(-1) * (long double) (at * k % n) / n;
		size_t r = mg_fft_reverse(plan, k);

		assert_true(hypotl(x[r] - cosl(angle), y[r] - sinl(angle)) <= mg_fft_error(plan));
	}
	mg_fft_inverse(plan, x, y);
	for (size_t j = 0; j < n; j++)
		assert_true(fabs(x[j] - (j == at)) <= 2 * mg_fft_error(plan) && fabs(y[j]) <= 2 * mg_fft_error(plan));
	free(x);
	free(y);

	assert_int_equal(mg_fft_create(&ctx, arena, MG_FFT_LARGEST + 1, &plan), MG_INVALID);
	mg_arena_destroy(arena);

	mg_ctx_init(&ctx);
	arena = mg_arena_create(1 << 12);
	assert_int_equal(mg_fft_create(&ctx, arena, 12, &plan), MG_NOMEM);
	mg_arena_destroy(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_definition),
		cmocka_unit_test(test_bound_extremes),
		cmocka_unit_test(test_ring_product),
		cmocka_unit_test(test_large),
	};

	return cmocka_run_group_tests_name("fourier transform", tests, NULL, NULL);
}
