/*
 * privacy/noise.h: the only source of private randomness, and the exact samplers over it.
 *
 * mg_noise draws from OpenSSL's private generator (RAND_priv_bytes). A handle belongs to the process that made it:
 * after a fork its buffer is worthless and every call fails with MG_INTERNAL. Nothing here can be seeded; the tests'
 * seedable source is built from privacy/noise_private.h in test objects only.
 *
 * The samplers are exact: integers and rationals only, no floating point between random bits and result (Canonne,
 * Kamath, Steinke 2020, "The Discrete Gaussian for Differential Privacy", Algorithms 1-3).
 * Their running time depends on what they draw; timing is outside the threat model. A ratio outside its range is
 * MG_INVALID; a source that does not look random (odds below 2^-256) is MG_INTERNAL, as is one used after a fork.
 */
#ifndef MIRAGE_PRIVACY_NOISE_H
#define MIRAGE_PRIVACY_NOISE_H

#include "base/mirage.h"

typedef struct mg_noise mg_noise;

mg_code mg_noise_create(mg_ctx *ctx, mg_noise **out);
void mg_noise_destroy(mg_noise *n); /* wipes the buffer; NULL allowed */

/* A positive rational; what scales are made of. num and den in 1..2^53, in lowest terms or not. */
typedef struct mg_ratio
{
	uint64_t num, den;
} mg_ratio;

/* The smallest ratio with den a power of two <= 2^20 that is >= x (noise is rounded up). 0 < x <= 2^40, else false. */
bool mg_ratio_above(double x, mg_ratio *out);
/* The largest such ratio <= x (for a selection's epsilon); false when x < 2^-30 or > 2^20. den <= 2^40. */
bool mg_ratio_below(double x, mg_ratio *out);
double mg_ratio_value(mg_ratio r);

mg_code mg_noise_u64(mg_ctx *ctx, mg_noise *n, uint64_t *out);
mg_code mg_noise_below(mg_ctx *ctx, mg_noise *n, uint64_t bound, uint64_t *out); /* uniform in 0..bound-1, exact */
mg_code mg_noise_bytes(mg_ctx *ctx, mg_noise *n, void *out, size_t len);

/* true with probability exp(-gamma); gamma.num may be 0 here. */
mg_code mg_bernoulli_exp(mg_ctx *ctx, mg_noise *n, mg_ratio gamma, bool *out);

/* Pr[X = x] proportional to exp(-x^2 / (2 sigma2)), x integer. */
mg_code mg_discrete_gaussian(mg_ctx *ctx, mg_noise *n, mg_ratio sigma2, int64_t *out);
/* Adds an independent draw to each of v[0..count-1] (saturating); polls. */
mg_code mg_add_discrete_gaussian(mg_ctx *ctx, mg_noise *n, mg_ratio sigma2, int64_t *v, size_t count);
/* Pr[X = x] proportional to exp(-|x| / scale). */
mg_code mg_discrete_laplace(mg_ctx *ctx, mg_noise *n, mg_ratio scale, int64_t *out);

/*
 * Exponential mechanism: index i among 0..count-1 with allowed[i] (NULL: all), exact, Pr proportional to
 * exp(epsilon * score[i] / 2). Scores must have sensitivity 1. At least one must be allowed.
 */
mg_code mg_exponential(mg_ctx *ctx, mg_noise *n, mg_ratio epsilon, const int64_t *score, const bool *allowed,
					   size_t count, size_t *chosen);

/*
 * The largest Pr[1 + X >= threshold], X discrete Gaussian of sigma2: the delta of releasing a label that one unit alone
 * holds (docs/privacy.md, partition selection). An upper bound, never below the true value, down to 1e-300.
 */
double mg_discrete_gaussian_tail(mg_ratio sigma2, int64_t threshold_minus_one);
/* The smallest threshold t with mg_discrete_gaussian_tail(sigma2, t - 1) <= delta. 0 < delta < 1. */
mg_code mg_partition_threshold(mg_ctx *ctx, mg_ratio sigma2, double delta, int64_t *threshold);

#endif
