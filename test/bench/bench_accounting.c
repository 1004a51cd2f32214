/*
 * test/bench/bench_accounting.c: how long the accountants and the real-vector noise take. Prints a table: the median of
 * five runs in milliseconds (nanoseconds for draws), and epsilon by loss distributions over epsilon by Renyi.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "privacy/gaussian.h"
#include "privacy/pld.h"

static double
now(void)
{
	struct timespec t;

	(void) clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return (x > y) - (x < y);
}

static void
compose(const char *name, const mg_event *e, size_t n, double delta)
{
	double took[5], rdp_took[5], pld = 0, rdp = 0;
	mg_ctx ctx;

	for (int i = 0; i < 5; i++)
	{
		double t = now();

		mg_ctx_init(&ctx);
		rdp = mg_compose_epsilon(e, n, delta);
		rdp_took[i] = now() - t;
		t = now();
		if (mg_pld_epsilon(&ctx, e, n, delta, &pld) != MG_OK)
			exit(1);
		took[i] = now() - t;
	}
	qsort(took, 5, sizeof(*took), by_value);
	qsort(rdp_took, 5, sizeof(*rdp_took), by_value);
	printf("%-46s %8.1f %8.1f %9.4f %9.4f %7.4f\n", name, rdp_took[2], took[2], rdp, pld, pld / rdp);
}

static void
calibrate(const char *name, double epsilon, double q, uint64_t steps)
{
	double took[5], sigma = 0;
	mg_ctx ctx;

	for (int i = 0; i < 5; i++)
	{
		double t = now();

		mg_ctx_init(&ctx);
		if (mg_calibrate_gaussian(&ctx, epsilon, 1e-9, q, steps, NULL, 0, &sigma) != MG_OK)
			exit(1);
		took[i] = now() - t;
	}
	qsort(took, 5, sizeof(*took), by_value);
	printf("%-46s %8.1f ms   sigma %.4f\n", name, took[2], sigma);
}

static double
nanoseconds_a_draw(mg_ctx *ctx, mg_noise *noise, const mg_lattice *l, mg_ratio sigma2, int64_t *v, size_t n)
{
	double took[5];

	for (int i = 0; i < 5; i++)
	{
		double t = now();

		if ((l != NULL ? mg_lattice_noise(ctx, noise, l, v, n) : mg_add_discrete_gaussian(ctx, noise, sigma2, v, n)) !=
			MG_OK)
			exit(1);
		took[i] = (now() - t) * 1e6 / (double) n;
	}
	qsort(took, 5, sizeof(*took), by_value);
	return took[2];
}

int
main(void)
{
	enum
	{
		DRAWS = 1000000
	};
	mg_event fifty[50] = {{MG_EVENT_ZCDP}};
	mg_event steps = {MG_EVENT_POISSON_GAUSSIAN, 1.1, 14062, 0, 0.004266666667};
	mg_event million = {MG_EVENT_POISSON_GAUSSIAN, 2, 1000000, 0, 0.001};
	int64_t *v = calloc(DRAWS, sizeof(*v));
	mg_ratio sigma2 = {UINT64_C(1) << 52, 1};
	mg_noise *noise;
	mg_lattice l;
	mg_ctx ctx;
	double fast, plain;

	for (int i = 0; i < 50; i++)
	{
		fifty[i].kind = i % 2 == 1   ? MG_EVENT_POISSON_GAUSSIAN
						: i % 4 == 0 ? MG_EVENT_LAPLACE
									 : MG_EVENT_DISCRETE_GAUSSIAN;
		fifty[i].param = i % 2 == 1 ? 1 + i * 0.02 : 20 + i;
		fifty[i].count = (uint64_t) (1 + 3 * i);
		fifty[i].rate = 0.01;
	}
	printf("%-46s %8s %8s %9s %9s %7s\n", "composition, delta 1e-9", "rdp ms", "pld ms", "rdp", "pld", "pld/rdp");
	compose("50 distinct events", fifty, 50, 1e-9);
	compose("14,062 steps, q = 0.0043, sigma = 1.1", &steps, 1, 1e-9);
	compose("1,000,000 steps, q = 0.001, sigma = 2", &million, 1, 1e-9);
	printf("\n%-46s %8s\n", "calibration, delta 1e-9", "median");
	calibrate("epsilon 1, q = 0.0043, 14,062 steps", 1, 0.004266666667, 14062);
	calibrate("epsilon 3, q = 0.01, 10,000 steps", 3, 0.01, 10000);
	calibrate("epsilon 1, q = 0.01, 1,000,000 steps", 1, 0.01, 1000000);

	mg_ctx_init(&ctx);
	if (v == NULL || mg_noise_create(&ctx, &noise) != MG_OK || mg_lattice_init(&ctx, &l, 1.1) != MG_OK)
		return 1;
	fast = nanoseconds_a_draw(&ctx, noise, &l, sigma2, v, DRAWS);
	plain = nanoseconds_a_draw(&ctx, noise, NULL, sigma2, v, DRAWS);
	printf("\nnoise for real vectors: %.1f ns a draw; the rational sampler at the same width %.1f ns (ratio %.2f)\n",
		   fast, plain, fast / plain);
	mg_noise_destroy(noise);
	free(v);
	return 0;
}
