/*
 * test/unit/seeded_noise.c: noise sources that can be repeated, for tests.
 *
 * SplitMix64 (Steele, Lea, Flood 2014): each word is a mix of a counter. Not for privacy, and not in the product: the
 * core library offers no way to choose the words of a handle but privacy/noise_private.h, which only tests may include.
 */
#include "seeded_noise.h"

#include <stdlib.h>
#include <string.h>

#include "privacy/noise_private.h"

static mg_code
fill_seeded(mg_ctx *ctx, mg_noise *n, void *out, size_t len)
{
	uint8_t *p = out;

	while (len > 0)
	{
		uint64_t z = (n->state[0] += UINT64_C(0x9e3779b97f4a7c15));
		size_t part = len < sizeof(z) ? len : sizeof(z);

		z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
		z ^= z >> 31;
		memcpy(p, &z, part);
		p += part;
		len -= part;
	}
	return MG_OK;
}

static mg_code
fill_scripted(mg_ctx *ctx, mg_noise *n, void *out, size_t len)
{
	const uint64_t *words = (const uint64_t *) (uintptr_t) n->state[0];
	uint64_t *p = out;

	for (size_t i = 0; i < len / sizeof(*p); i++)
	{
		p[i] = words[n->state[2]];
		if (n->state[2] + 1 < n->state[1])
			n->state[2]++;
	}
	return MG_OK;
}

mg_noise *
seeded_noise(uint64_t seed)
{
	mg_noise *n = mg_noise_over(fill_seeded);

	if (n == NULL)
		abort();
	n->state[0] = seed;
	return n;
}

mg_noise *
scripted_noise(const uint64_t *words, size_t count)
{
	mg_noise *n = mg_noise_over(fill_scripted);

	if (n == NULL || count == 0)
		abort();
	n->state[0] = (uint64_t) (uintptr_t) words;
	n->state[1] = count;
	return n;
}
