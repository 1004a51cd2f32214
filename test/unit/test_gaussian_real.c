/*
 * test/unit/test_gaussian_real.c: Gaussian noise for real vectors.
 *
 * Oracles: the tables and weights against long double and against each other, the law against normal integrals by
 * chi-square (fixed seeds; a law a little off fails), every branch of the comparison by scripted words.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "num/rng.h"
#include "privacy/account.h"
#include "privacy/gaussian_private.h"
#include "seeded_noise.h"

#define DRAWS 400000

static mg_lattice
lattice(double sigma)
{
	mg_lattice l;
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	assert_int_equal(mg_lattice_init(&ctx, &l, sigma), MG_OK);
	return l;
}

static void
test_lattice(void **state)
{
	mg_rng r;
	mg_ctx ctx;
	mg_lattice l;
	static const double bad[] = {0, -1, NAN, INFINITY, 1e-300, 1e300};

	mg_rng_seed(&r, 1);
	for (int i = 0; i < 2000; i++)
	{
		double sigma = exp(600 * (mg_rng_unit(&r) - 0.5)), given;
		int exponent;

		l = lattice(sigma);
		given = mg_lattice_sigma(&l);
		assert_true(given >= sigma && given <= sigma * (1 + 0x1p-30));
		assert_true(l.sigma >= UINT64_C(1) << 30 && l.sigma <= UINT64_C(1) << 31);
		assert_true(frexp(l.step, &exponent) == 0.5);
	}
	l = lattice(1); /* a power of two itself */
	assert_true(mg_lattice_sigma(&l) == 1);
	l = lattice(nextafter(1, 0));
	assert_true(mg_lattice_sigma(&l) >= nextafter(1, 0) && l.sigma == UINT64_C(1) << 31);
	for (size_t i = 0; i < 6; i++)
	{
		mg_ctx_init(&ctx);
		assert_int_equal(mg_lattice_init(&ctx, &l, bad[i]), MG_INVALID);
	}
}

static void
test_cells(void **state)
{
	long double z = 0, sum = 0;

	for (int k = 60; k >= 0; k--)
		z += expl(-k * k / 2.0L);
	for (int k = 0; k < MG_GAUSS_CELLS; k++)
	{
		long double entry = mg_gauss_cell[k][0] * 0x1p-64L + mg_gauss_cell[k][1] * 0x1p-128L, rest = 0;

		sum += expl(-k * k / 2.0L) / z;
		assert_true(fabsl(entry - sum) < 1e-18L);
		/* the complement too, where the entry is next to 1 */
		for (int j = 60; j > k; j--)
			rest += expl(-j * j / 2.0L) / z;
		entry = (~mg_gauss_cell[k][0]) * 0x1p-64L + (~mg_gauss_cell[k][1]) * 0x1p-128L;
		assert_true(fabsl(entry - rest) <= 1e-17L * rest + 0x1p-126L);
	}
}

/* exp(-x (2k + x) / 2) over all cells and many offsets, the ends included. */
static void
test_weights(void **state)
{
	static const double sigmas[] = {1, 1.1, 1.999999999, 1.5};
	mg_rng r;

	mg_rng_seed(&r, 2);
	for (size_t s = 0; s < 4; s++)
	{
		mg_lattice l = lattice(sigmas[s]);

		for (unsigned k = 0; k < MG_GAUSS_CELLS; k++)
			for (int i = 0; i < 4000; i++)
			{
				uint64_t j = i < 4 ? (uint64_t) i : i < 8 ? l.sigma + 3 - i - 0 : mg_rng_u64(&r) % l.sigma, fast;
				long double x, exact, wide;

				if (j >= l.sigma)
					continue;
				x = (long double) j / (long double) l.sigma;
				exact = expl(-x * (2 * (long double) k + x) / 2);
				fast = mg_gauss_weight(&l, k, j);
				wide = (long double) mg_gauss_weight_exact(&l, k, j) * 0x1p-128L;
				/* half of the margin that the sampler allows */
				assert_true(fabsl((long double) fast - exact * 0x1p64L) < MG_GAUSS_MARGIN / 2);
				assert_true(fabsl(wide - exact) < 8e-19L);
				assert_true(fabsl((long double) fast - wide * 0x1p64L) < MG_GAUSS_MARGIN / 2);
			}
	}
}

static int64_t *
draws_of(const mg_lattice *l, size_t n, uint64_t seed)
{
	mg_noise *noise = seeded_noise(seed);
	int64_t *v = calloc(n, sizeof(*v));
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	assert_non_null(v);
	assert_int_equal(mg_lattice_noise(&ctx, noise, l, v, n), MG_OK);
	mg_noise_destroy(noise);
	return v;
}

/* Chi-square over 200 cells of equal probability under N(0, (scale sigma)^2), over its 1 - 1e-5 quantile. */
static double
misfit(const int64_t *v, size_t n, double sigma)
{
	enum
	{
		CELLS = 200
	};
	double seen[CELLS] = {0}, chi = 0, c = 2 / (9.0 * (CELLS - 1));

	for (size_t i = 0; i < n; i++)
	{
		int cell = (int) (CELLS * 0.5 * erfc(-(double) v[i] / sigma * M_SQRT1_2));

		seen[cell >= CELLS ? CELLS - 1 : cell]++;
	}
	for (int i = 0; i < CELLS; i++)
		chi += (seen[i] - (double) n / CELLS) * (seen[i] - (double) n / CELLS) / ((double) n / CELLS);
	return chi / ((CELLS - 1) * pow(1 - c + 4.2649 * sqrt(c), 3));
}

static void
test_law(void **state)
{
	static const double sigmas[] = {1, 1.3, 1.99999};

	for (size_t s = 0; s < 3; s++)
	{
		mg_lattice l = lattice(sigmas[s]);
		int64_t *v = draws_of(&l, DRAWS, 10 + s);
		double low[64] = {0}, chi = 0, tails = 0, squares = 0;

		assert_true(misfit(v, DRAWS, (double) l.sigma) < 1);
		assert_true(misfit(v, DRAWS, (double) l.sigma * 1.02) > 1); /* it has teeth */
		for (size_t i = 0; i < DRAWS; i++)
		{
			low[v[i] & 63]++;
			tails += fabs((double) v[i]) > 3 * (double) l.sigma;
			squares += (double) v[i] / (double) l.sigma * ((double) v[i] / (double) l.sigma);
		}
		for (int i = 0; i < 64; i++)
			chi += (low[i] - DRAWS / 64.0) * (low[i] - DRAWS / 64.0) / (DRAWS / 64.0);
		assert_true(chi < 130); /* 63 degrees of freedom */
		assert_true(fabs(squares / DRAWS - 1) < 4.5 * sqrt(2.0 / DRAWS));
		assert_true(fabs(tails - DRAWS * 0.0026998) < 4.5 * sqrt(DRAWS * 0.0027));
		free(v);
	}
}

/*
 * Words that lead into each branch of the comparison of U with the weight: K = 0 (first word 0), J and 31 digits of U
 * from the second, further digits from the third and fourth. What is kept is J; what is refused is followed by an
 * attempt with J = another.
 */
static void
test_comparison(void **state)
{
	mg_lattice l = lattice(1.25);
	const uint64_t top = UINT64_C(3000000001);
	uint64_t j = top * l.sigma >> 32, other = UINT64_C(4000000001) * l.sigma >> 32;
	uint64_t fast = mg_gauss_weight(&l, 0, j);
	mg_u128 exact = mg_gauss_weight_exact(&l, 0, j);
	uint64_t high = (uint64_t) (exact >> 64), low = (uint64_t) exact;
	const struct
	{
		uint64_t first, more, last; /* digits of U: 31, then 33, then 64 */
		bool kept;
	} cases[] = {
		{(fast >> 33) - 1, 0, 0, true},
		{(fast >> 33) + 1, 0, 0, false},
		{fast >> 33, ((fast & 0x1ffffffff) - 5000) << 31, 0, true},
		{fast >> 33, ((fast & 0x1ffffffff) + 5000) << 31, 0, false},
		{high >> 33, (high & 0x1ffffffff) << 31, low - 1, true},
		{high >> 33, (high & 0x1ffffffff) << 31, low, false},
		{high >> 33, ((high & 0x1ffffffff) - 1) << 31, UINT64_MAX, true},
		{high >> 33, ((high & 0x1ffffffff) + 1) << 31, 0, false},
	};

	assert_true((fast & 0x1ffffffff) > 6000 && (fast & 0x1ffffffff) < 0x1ffffffff - 6000);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
	{
		uint64_t words[8] = {0}, n = 0;
		mg_noise *noise;
		int64_t v = 0;
		mg_ctx ctx;

		words[n++] = 0;
		words[n++] = top << 32 | cases[i].first;
		if (i >= 2)
			words[n++] = cases[i].more;
		if (i >= 4)
			words[n++] = cases[i].last;
		words[n++] = 0;
		words[n++] = UINT64_C(4000000001) << 32 | UINT64_C(0x80000000); /* U = 0: kept, and negative */
		noise = scripted_noise(words, n);
		mg_ctx_init(&ctx);
		assert_int_equal(mg_lattice_noise(&ctx, noise, &l, &v, 1), MG_OK);
		assert_true(v == (cases[i].kept ? (int64_t) j : -(int64_t) other));
		mg_noise_destroy(noise);
	}
}

/* A source that is stuck is noticed; minus zero is refused. */
static void
test_broken_source(void **state)
{
	static const uint64_t stuck[] = {0, UINT64_MAX, UINT64_C(0x80000000)};

	for (int i = 0; i < 3; i++)
	{
		mg_lattice l = lattice(1.1);
		mg_noise *noise = scripted_noise(&stuck[i], 1);
		int64_t v = 0;
		mg_ctx ctx;

		mg_ctx_init(&ctx);
		assert_int_equal(mg_lattice_noise(&ctx, noise, &l, &v, 1), MG_INTERNAL);
		mg_noise_destroy(noise);
	}
}

/* A clipped contribution stays within its clip on the lattice, exactly: no allowance for rounding is needed. */
static void
test_contributions(void **state)
{
	enum
	{
		SIZE = 500
	};
	mg_rng r;

	mg_rng_seed(&r, 3);
	for (int trial = 0; trial < 200; trial++)
	{
		double v[SIZE], back[SIZE], clip = exp(8 * (mg_rng_unit(&r) - 0.5)), norm = 0;
		mg_lattice l = lattice(clip * (0.3 + 3 * mg_rng_unit(&r)));
		int64_t sum[SIZE] = {0};
		long double squares = 0, wide = (long double) clip / l.step;

		for (int i = 0; i < SIZE; i++)
		{
			v[i] = mg_rng_unit(&r) - 0.5;
			norm += v[i] * v[i];
		}
		for (int i = 0; i < SIZE; i++)
			v[i] *= clip / sqrt(norm) * (1 - 1e-12);
		mg_lattice_accumulate(&l, v, sum, SIZE);
		mg_lattice_values(&l, sum, back, SIZE);
		for (int i = 0; i < SIZE; i++)
		{
			squares += (long double) sum[i] * sum[i];
			assert_true(fabs((double) sum[i]) * l.step <= fabs(v[i]));
			assert_true(fabs((double) sum[i] * l.step - v[i]) < l.step);
			assert_true(back[i] == (double) sum[i] * l.step);
		}
		assert_true(squares <= wide * wide);
	}
	{
		mg_lattice l = lattice(1);
		double odd[5] = {NAN, INFINITY, -INFINITY, 1e300, -0.0};
		int64_t sum[5] = {7, 7, 7, 7, 7};

		mg_lattice_accumulate(&l, odd, sum, 5);
		assert_true(sum[0] == 7 && sum[1] == 7 + (INT64_C(1) << 52) && sum[2] == 7 - (INT64_C(1) << 52));
		assert_true(sum[3] == sum[1] && sum[4] == 7);
		for (int i = 0; i < 3000; i++)
			mg_lattice_accumulate(&l, odd, sum, 5);
		assert_true(sum[1] == INT64_C(1) << 62 && sum[2] == -(INT64_C(1) << 62));
	}
}

static void
test_vector(void **state)
{
	enum
	{
		SIZE = 20000
	};
	static double v[SIZE];
	mg_noise *noise = seeded_noise(5);
	double sigma = 0.7, sum = 0, squares = 0;
	mg_lattice l = lattice(sigma);
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	for (int i = 0; i < SIZE; i++)
		v[i] = i % 2 == 0 ? 3 : -3;
	assert_int_equal(mg_gaussian_vector(&ctx, noise, sigma, l.step, v, SIZE), MG_OK);
	for (int i = 0; i < SIZE; i++)
	{
		double off = v[i] - (i % 2 == 0 ? 3 : -3);

		assert_true(v[i] / l.step == floor(v[i] / l.step)); /* on the grid, exactly */
		sum += off;
		squares += off * off;
	}
	/* Noise of the right size is there: twice, half or none of it fails here. */
	assert_true(fabs(sum / SIZE) < 4.5 * sigma / sqrt(SIZE));
	assert_true(fabs(squares / SIZE / sigma / sigma - 1) < 4.5 * sqrt(2.0 / SIZE));

	v[0] = NAN;
	v[1] = 1e300;
	v[2] = -INFINITY;
	assert_int_equal(mg_gaussian_vector(&ctx, noise, sigma, l.step, v, 3), MG_OK);
	assert_true(fabs(v[0]) < 20 * sigma && fabs(v[1] - 0x1p52 * l.step) < 20 * sigma && v[2] < -0x1p51 * l.step);
	{
		const double grids[] = {l.step * 3, l.step / 4, l.step * 4, 0, -l.step, NAN, INFINITY};

		for (size_t i = 0; i < sizeof(grids) / sizeof(*grids); i++)
		{
			mg_ctx_init(&ctx);
			assert_int_equal(mg_gaussian_vector(&ctx, noise, sigma, grids[i], v, 3), MG_INVALID);
		}
		mg_ctx_init(&ctx);
		assert_int_equal(mg_gaussian_vector(&ctx, noise, NAN, l.step, v, 3), MG_INVALID);
	}
	mg_noise_destroy(noise);
}

/*
 * What mg_lattice_excess claims, on a lattice coarse enough to see it: continuous noise rounded to integers against the
 * discrete law, for centres on the lattice and within 40 deviations.
 */
static void
test_excess(void **state)
{
	mg_lattice l = lattice(1.7);
	mg_lattice_error e = mg_lattice_excess(&l, 1e9);
	const double s = 20, claim = 1601 / (24 * s * s);
	long double z = 0, worst = 0;

	for (int x = -2000; x <= 2000; x++)
		z += expl(-(long double) x * x / (2 * s * s));
	for (int x = -700; x <= 700; x++) /* 35 deviations: long double's erfc ends soon after */
	{
		long double a = fabsl((long double) x) - 0.5L, b = a + 1, law = -(long double) x * x / (2 * s * s) - logl(z);
		long double rounded = 0.5L * (erfcl(a / s / sqrtl(2)) - erfcl(b / s / sqrtl(2)));
		long double off = fabsl(logl(rounded) - law);

		worst = off > worst ? off : worst;
	}
	assert_true(worst <= claim);
	assert_true(worst > 0.5 * claim); /* and it is not idle */

	assert_true(e.epsilon > 0 && e.epsilon < 1.2e-7);
	assert_true(e.distance < 1e-22 && e.distance >= 1e9 * 0x1p-118);
	l.sigma = (uint64_t) s;
	assert_true(fabs(mg_lattice_excess(&l, 1).epsilon / (2 * claim) - 1) < 1e-6);
}

/*
 * An audit: two neighbouring sums, one contribution of norm 1 apart, told apart by the best threshold. What is found
 * must not pass the claim, and must pass it when the noise is half as large.
 */
static void
test_audit(void **state)
{
	const double sigma = 1, epsilon = 1.0;
	double claim = 0.5 * erfc((epsilon * sigma - 0.5 / sigma) * M_SQRT1_2) -
				   exp(epsilon) * 0.5 * erfc((epsilon * sigma + 0.5 / sigma) * M_SQRT1_2);

	for (int broken = 0; broken <= 1; broken++)
	{
		mg_lattice l = lattice(broken ? sigma / 2 : sigma);
		int64_t *v = draws_of(&l, DRAWS, 77);
		double with = 0, without = 0, found;

		for (size_t i = 0; i < DRAWS; i++)
		{
			double x = (double) v[i] * l.step;

			with += x + 1 > epsilon * sigma * sigma + 0.5;
			without += x > epsilon * sigma * sigma + 0.5;
		}
		found = (with - exp(epsilon) * without) /
				DRAWS; /* an estimate of the profile at epsilon, from below but for chance */
		if (broken)
			assert_true(found > claim + 0.015);
		else
			assert_true(fabs(found - claim) < 4.5 * (1 + exp(epsilon)) * 0.5 / sqrt(DRAWS));
		free(v);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lattice),       cmocka_unit_test(test_cells),      cmocka_unit_test(test_weights),
		cmocka_unit_test(test_law),           cmocka_unit_test(test_comparison), cmocka_unit_test(test_broken_source),
		cmocka_unit_test(test_contributions), cmocka_unit_test(test_vector),     cmocka_unit_test(test_excess),
		cmocka_unit_test(test_audit),
	};

	return cmocka_run_group_tests_name("gaussian noise for real vectors", tests, NULL, NULL);
}
