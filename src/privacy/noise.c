/*
 * privacy/noise.c: the source of private randomness, and the rationals that scales are made of.
 *
 * All private noise of the product comes from RAND_priv_bytes (OpenSSL's private generator, AES-CTR-DRBG, reseeded by
 * OpenSSL after a fork) through a buffer of 4 KiB. A word is wiped as it is handed out and the rest when the handle is
 * destroyed: no word is used twice, and what was used cannot be read back from memory.
 *
 * Forks: a child holds a copy of its parent's unused words. Two detectors make it fail rather than use them: a counter
 * that an atfork handler moves in every child (looked at on each draw) and the process id (looked at on each refill,
 * for children made by clone() without handlers).
 */
#include "privacy/noise_private.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

atomic_uint mg_noise_generation;

static pthread_once_t watch_once = PTHREAD_ONCE_INIT;
static bool watching;

static void
count_fork(void)
{
	atomic_fetch_add_explicit(&mg_noise_generation, 1, memory_order_relaxed);
}

static void
watch_forks(void)
{
	watching = pthread_atfork(NULL, NULL, count_fork) == 0;
}

mg_noise *
mg_noise_over(mg_noise_fill fill)
{
	mg_noise *n;

	if (pthread_once(&watch_once, watch_forks) != 0 || !watching)
		return NULL;
	n = calloc(1, sizeof(*n));
	if (n == NULL)
		return NULL;
	n->fill = fill;
	n->pid = getpid();
	n->generation = atomic_load_explicit(&mg_noise_generation, memory_order_relaxed);
	n->next = MG_NOISE_WORDS;
	return n;
}

static mg_code
fill_private(mg_ctx *ctx, mg_noise *n, void *out, size_t len)
{
	if (RAND_priv_bytes(out, (int) len) != 1)
		return mg_fail(ctx, MG_CRYPTO, "the random generator of OpenSSL failed");
	return MG_OK;
}

mg_code
mg_noise_create(mg_ctx *ctx, mg_noise **out)
{
	mg_noise *n = mg_noise_over(fill_private);
	mg_code code;

	if (n == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory for the random source");
	/* The first refill shows at once whether there is a generator. */
	code = mg_noise_refill(ctx, n);
	if (code != MG_OK)
	{
		mg_noise_destroy(n);
		return code;
	}
	*out = n;
	return MG_OK;
}

void
mg_noise_destroy(mg_noise *n)
{
	if (n == NULL)
		return;
	OPENSSL_cleanse(n, sizeof(*n));
	free(n);
}

mg_code
mg_noise_refill(mg_ctx *ctx, mg_noise *n)
{
	mg_code code;

	if (n->generation != atomic_load_explicit(&mg_noise_generation, memory_order_relaxed) || n->pid != getpid())
	{
		OPENSSL_cleanse(n->word, sizeof(n->word));
		n->coins = 0;
		n->ncoins = 0;
		n->next = MG_NOISE_WORDS;
		return mg_fail(ctx, MG_INTERNAL, "a random source was used in a forked process");
	}
	if (n->next < MG_NOISE_WORDS)
		return MG_OK;
	code = n->fill(ctx, n, n->word, sizeof(n->word));
	if (code != MG_OK)
	{
		OPENSSL_cleanse(n->word, sizeof(n->word));
		return code;
	}
	n->next = 0;
	return MG_OK;
}

mg_code
mg_noise_u64(mg_ctx *ctx, mg_noise *n, uint64_t *out)
{
	return mg_noise_word(ctx, n, out);
}

mg_code
mg_noise_bytes(mg_ctx *ctx, mg_noise *n, void *out, size_t len)
{
	uint8_t *p = out;

	while (len > 0)
	{
		uint64_t word;
		size_t part = len < sizeof(word) ? len : sizeof(word);

		MG_TRY(mg_noise_word(ctx, n, &word));
		memcpy(p, &word, part);
		OPENSSL_cleanse(&word, sizeof(word));
		p += part;
		len -= part;
	}
	return MG_OK;
}

/* num / 2^shift in lowest terms. */
static mg_ratio
dyadic(uint64_t num, int shift)
{
	mg_ratio r;

	while (shift > 0 && (num & 1) == 0)
	{
		num >>= 1;
		shift--;
	}
	r.num = num;
	r.den = UINT64_C(1) << shift;
	return r;
}

/*
 * Scaling a double by a power of two is exact, and so are ceil and floor; hence the rationals bound x exactly. Their
 * lowest terms fit 53 bits: a double of more than 20 (40) fractional bits is below 2^33 (2^13), others are copied.
 */
bool
mg_ratio_above(double x, mg_ratio *out)
{
	if (!(x > 0 && x <= 0x1.0p40))
		return false;
	*out = dyadic((uint64_t) ceil(x * 0x1.0p20), 20);
	return true;
}

bool
mg_ratio_below(double x, mg_ratio *out)
{
	if (!(x >= 0x1.0p-30 && x <= 0x1.0p20))
		return false;
	*out = dyadic((uint64_t) floor(x * 0x1.0p40), 40);
	return true;
}

double
mg_ratio_value(mg_ratio r)
{
	return (double) r.num / (double) r.den;
}
