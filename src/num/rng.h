/*
 * num/rng.h: a fast generator for post-processing (sampling from a model that is already private) and for tests.
 *
 * Never for noise: privacy/ has its own source, and `make check-layers` refuses this header in privacy/ and curator/.
 * xoshiro256++ (Blackman, Vigna 2019), seeded by SplitMix64 or from 32 bytes.
 */
#ifndef MIRAGE_NUM_RNG_H
#define MIRAGE_NUM_RNG_H

#include "base/mirage.h"

typedef struct mg_rng
{
	uint64_t s[4];
} mg_rng;

void mg_rng_seed(mg_rng *r, uint64_t seed);
void mg_rng_seed_bytes(mg_rng *r, const uint8_t key[32]); /* all-zero keys are mapped to a valid state */

static inline uint64_t
mg_rotl64(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

static inline uint64_t
mg_rng_u64(mg_rng *r)
{
	uint64_t *s = r->s;
	uint64_t result = mg_rotl64(s[0] + s[3], 23) + s[0], t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = mg_rotl64(s[3], 45);
	return result;
}

/* Uniform in [0, 1), 53 bits. */
static inline double
mg_rng_unit(mg_rng *r)
{
	return (double) (mg_rng_u64(r) >> 11) * 0x1.0p-53;
}

/* Uniform in 0..n-1 by multiplication, n >= 1; bias below n / 2^32 (n up to 2^16 in batches: below 2^-16). */
static inline uint32_t
mg_rng_below32(uint32_t r32, uint32_t n)
{
	return (uint32_t) (((uint64_t) r32 * n) >> 32);
}

/* A random permutation of 0..n-1 into p (Fisher-Yates), n <= 65536. */
void mg_rng_permutation16(mg_rng *r, uint16_t *p, uint32_t n);

#endif
