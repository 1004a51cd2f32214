/*
 * table/hash.c: SipHash-1-3 over little-endian words.
 */
#include "table/hash.h"

#include <stdlib.h>

typedef struct sip
{
	uint64_t a, b, c, d;
} sip;

static inline uint64_t
rotate(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

static inline void
sip_round(sip *v)
{
	v->a += v->b;
	v->c += v->d;
	v->b = rotate(v->b, 13) ^ v->a;
	v->d = rotate(v->d, 16) ^ v->c;
	v->a = rotate(v->a, 32);
	v->c += v->b;
	v->a += v->d;
	v->b = rotate(v->b, 17) ^ v->c;
	v->d = rotate(v->d, 21) ^ v->a;
	v->c = rotate(v->c, 32);
}

static inline uint64_t
load_le64(const uint8_t *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof(x));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	x = __builtin_bswap64(x);
#endif
	return x;
}

static inline void
sip_start(sip *v, const uint64_t key[2])
{
	v->a = key[0] ^ UINT64_C(0x736f6d6570736575);
	v->b = key[1] ^ UINT64_C(0x646f72616e646f6d);
	v->c = key[0] ^ UINT64_C(0x6c7967656e657261);
	v->d = key[1] ^ UINT64_C(0x7465646279746573);
}

static inline void
sip_word(sip *v, uint64_t m)
{
	v->d ^= m;
	sip_round(v);
	v->a ^= m;
}

static inline void
sip_absorb(sip *v, const void *p, size_t len)
{
	const uint8_t *s = p;
	const uint8_t *end = s + (len & ~(size_t) 7);
	uint64_t last = (uint64_t) len << 56;

	for (; s < end; s += 8)
		sip_word(v, load_le64(s));
	for (size_t i = 0; i < (len & 7); i++)
		last |= (uint64_t) s[i] << (8 * i);
	sip_word(v, last);
}

static inline uint64_t
sip_squeeze(sip *v)
{
	sip_round(v);
	sip_round(v);
	sip_round(v);
	return v->a ^ v->b ^ v->c ^ v->d;
}

uint64_t
mg_keyed_hash(const uint64_t key[2], const void *p, size_t len)
{
	uint64_t h;
	sip v;

	sip_start(&v, key);
	sip_absorb(&v, p, len);
	v.c ^= 0xff;
	h = sip_squeeze(&v);
	return h == 0 ? 1 : h;
}

void
mg_keyed_hash_wide(const uint64_t key[2], const void *p, size_t len, uint64_t out[2])
{
	sip v;

	sip_start(&v, key);
	v.b ^= 0xee;
	sip_absorb(&v, p, len);
	v.c ^= 0xee;
	out[0] = sip_squeeze(&v);
	v.b ^= 0xdd;
	out[1] = sip_squeeze(&v);
}

void
mg_zeroize_free(void *p, size_t n)
{
	if (p != NULL)
		mg_zeroize(p, n);
	free(p);
}
