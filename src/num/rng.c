/*
 * num/rng.c: seeding and shuffling for the post-processing generator (xoshiro256++, inline in rng.h). Owns nothing.
 */
#include "num/rng.h"

/* SplitMix64 (Steele, Lea, Flood 2014): spreads one word over the state, as the authors of xoshiro advise. */
static uint64_t
splitmix64(uint64_t *counter)
{
	uint64_t z = (*counter += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

void
mg_rng_seed(mg_rng *r, uint64_t seed)
{
	/* Four consecutive outputs of a bijection of distinct counters: at most one is zero. */
	for (int i = 0; i < 4; i++)
		r->s[i] = splitmix64(&seed);
}

void
mg_rng_seed_bytes(mg_rng *r, const uint8_t key[32])
{
	uint64_t any = 0;

	for (int i = 0; i < 4; i++)
	{
		uint64_t word = 0;

		for (int b = 0; b < 8; b++)
			word |= (uint64_t) key[8 * i + b] << (8 * b);
		r->s[i] = word;
		any |= word;
	}
	if (any == 0) /* the one state that xoshiro never leaves */
		mg_rng_seed(r, 0);
}

void
mg_rng_permutation16(mg_rng *r, uint16_t *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		p[i] = (uint16_t) i;
	for (uint32_t i = n; i > 1; i--)
	{
		uint32_t j = mg_rng_below32((uint32_t) (mg_rng_u64(r) >> 32), i);
		uint16_t swap = p[i - 1];

		p[i - 1] = p[j];
		p[j] = swap;
	}
}
