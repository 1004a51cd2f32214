/*
 * privacy/noise_private.h: the inside of a noise handle, for privacy/ itself and for the test objects that build a
 * seedable source. Nothing else includes it.
 */
#ifndef MIRAGE_PRIVACY_NOISE_PRIVATE_H
#define MIRAGE_PRIVACY_NOISE_PRIVATE_H

#include "privacy/noise.h"

#include <stdatomic.h>
#include <sys/types.h>

#define MG_NOISE_WORDS 512 /* 4 KiB a refill: the lock of OpenSSL's generator is paid once in 512 draws */

__extension__ typedef unsigned __int128 mg_u128;

/* Fills out[0..len-1] with independent uniform bytes, or fails and says why. */
typedef mg_code (*mg_noise_fill)(mg_ctx *ctx, mg_noise *n, void *out, size_t len);

/* Invariant: word[next..] are unused and uniform; word[..next-1] have been handed out once and are zero. */
struct mg_noise
{
	mg_noise_fill fill;
	uint64_t state[4];   /* the fill's own; the production source has none */
	pid_t pid;           /* of the process that made the handle */
	unsigned generation; /* forks seen by that process when it did */
	size_t next;
	uint64_t coins; /* single bits not yet used */
	unsigned ncoins;
	uint64_t word[MG_NOISE_WORDS];
};

/* Forks between the start of the first process and this one; moved by an atfork handler in each child. */
extern atomic_uint mg_noise_generation;

/* An empty handle over `fill`, freed by mg_noise_destroy; NULL: out of memory, or no fork handler could be set. */
mg_noise *mg_noise_over(mg_noise_fill fill);
mg_code mg_noise_refill(mg_ctx *ctx, mg_noise *n);

/* 64 fresh bits. The generation is compared at each draw (one load), the process id at each refill as well. */
static inline mg_code
mg_noise_word(mg_ctx *ctx, mg_noise *n, uint64_t *out)
{
	if (__builtin_expect(n->next == MG_NOISE_WORDS ||
							 n->generation != atomic_load_explicit(&mg_noise_generation, memory_order_relaxed),
						 0))
		MG_TRY(mg_noise_refill(ctx, n));
	*out = n->word[n->next];
	n->word[n->next++] = 0;
	return MG_OK;
}

/* A ratio that the samplers take: both parts in 1..2^53. */
static inline bool
mg_ratio_valid(mg_ratio r)
{
	const uint64_t most = UINT64_C(1) << 53;

	return r.num >= 1 && r.num <= most && r.den >= 1 && r.den <= most;
}

#endif
