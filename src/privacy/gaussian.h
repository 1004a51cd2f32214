/*
 * privacy/gaussian.h: Gaussian noise for real-valued vectors (sums of clipped gradients).
 *
 * Nothing real is drawn. Contributions are put on a lattice of multiples of `step`, a power of two, each entry rounded
 * towards zero; a unit's contribution then has a norm no larger than before, so clipping to C means sensitivity C with
 * nothing to add. Sums of lattice points are exact in 64-bit integers and so is what is added: discrete Gaussian noise
 * of deviation `sigma` steps, 2^30 <= sigma <= 2^31, by integer arithmetic. With contributions of norm <= C the price
 * is that of the discrete Gaussian: rho = (C / (sigma step))^2 / 2, exactly (Canonne, Kamath, Steinke 2020, Theorem 4,
 * coordinate by coordinate).
 *
 * Subsampled steps are priced as those of the continuous Gaussian, from which `draws` entries of this noise differ by
 * what mg_lattice_excess says; docs/privacy.md has the argument.
 */
#ifndef MIRAGE_PRIVACY_GAUSSIAN_H
#define MIRAGE_PRIVACY_GAUSSIAN_H

#include "privacy/noise.h"

typedef struct mg_lattice
{
	double step;         /* a power of two */
	uint64_t sigma;      /* of the noise, in steps: 2^30 .. 2^31 */
	uint64_t reciprocal; /* floor(2^94 / sigma), in 2^63 .. 2^64 - 1 but for sigma = 2^30, which is 2^64 - 1 */
	uint32_t rejected;   /* 2^32 mod sigma */
} mg_lattice;

/* The lattice for noise of deviation `sigma` in the vector's own unit; what it gives is mg_lattice_sigma >= sigma,
 * by at most 2^-30 of it. MG_INVALID: sigma outside [1e-280, 1e280]. */
mg_code mg_lattice_init(mg_ctx *ctx, mg_lattice *l, double sigma);
double mg_lattice_sigma(const mg_lattice *l); /* sigma step, exact */

/*
 * sum[i] += v[i] / step, rounded towards zero; for each contribution by itself, v[0..n-1] of one unit, already clipped.
 * NaN counts as 0; entries beyond 2^52 steps, which no clipped contribution has, as 2^52; sums saturate at 2^62.
 */
void mg_lattice_accumulate(const mg_lattice *l, const double *v, int64_t *sum, size_t n);
/* Adds independent noise to each of sum[0..n-1]; polls. On failure `sum` is to be discarded. */
mg_code mg_lattice_noise(mg_ctx *ctx, mg_noise *noise, const mg_lattice *l, int64_t *sum, size_t n);
/* v[i] = sum[i] step, exact up to 2^53 steps, rounded beyond (post-processing of noisy sums only). */
void mg_lattice_values(const mg_lattice *l, const int64_t *sum, double *v, size_t n);

/*
 * All at once, for sums that are held as doubles: v[0..n-1] must be sums of contributions that were each put on the
 * multiples of `grid`, and below 2^52 of them, so that they are exact (what is not on the grid is rounded towards zero,
 * which moves neighbours apart by up to grid sqrt(n): the caller's sensitivity then has to say so). NaN counts as 0.
 * grid: a power of two with 2^30 <= sigma / grid <= 2^31; mg_lattice_init's step is the one. The deviation is sigma
 * rounded up to the grid. MG_INVALID: another grid or a bad sigma.
 */
mg_code mg_gaussian_vector(mg_ctx *ctx, mg_noise *noise, double sigma, double grid, double *v, size_t n);

/*
 * How far `draws` entries are from continuous Gaussian noise rounded to the lattice (a post-processing of it): outside
 * an event of probability `distance` on each of two neighbours, densities differ by a factor of at most e^(epsilon /
 * 2). So what would be (epsilon0, delta0)-DP with continuous noise is (epsilon0 + epsilon, delta0 e^(epsilon / 2) + (1
 * + e^(epsilon0 + epsilon)) distance)-DP. `distance` contains the sampler's own error. For 10^9 draws: epsilon below
 * 1.2e-7, distance below 4e-24.
 */
typedef struct mg_lattice_error
{
	double epsilon, distance;
} mg_lattice_error;
mg_lattice_error mg_lattice_excess(const mg_lattice *l, double draws);

#endif
