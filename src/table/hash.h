/*
 * table/hash.h: the keyed hash of open text, and the wiping of memory that held private values.
 *
 * SipHash-1-3 (Aumasson, Bernstein 2012; the reduced-round variant that hash tables use): under a random key that lives
 * and dies with one code table, equal hashes of different labels are a matter of chance (2^-64 a pair) that no author
 * of data can help. What a collision would do is merge two labels into one; a row still counts once, so sensitivity is
 * untouched.
 */
#ifndef MIRAGE_TABLE_HASH_H
#define MIRAGE_TABLE_HASH_H

#include <string.h>

#include "base/mirage.h"

#define MG_HASH_KEY_BYTES 16

/* Never 0: tables use 0 for an empty slot. */
uint64_t mg_keyed_hash(const uint64_t key[2], const void *p, size_t len);

/* The same with 128 bits of output (SipHash's own wide form), where equal hashes must mean equal bytes: a chance of
 * 2^-128 a pair. */
void mg_keyed_hash_wide(const uint64_t key[2], const void *p, size_t len, uint64_t out[2]);

/* A bijection of 64-bit words that keeps 0, keyed by an odd multiplier: spreads keys over slots and partitions. */
static inline uint64_t
mg_mix64(uint64_t x, uint64_t odd)
{
	x *= odd;
	x ^= x >> 32;
	x *= UINT64_C(0xd6e8feb86659fd93);
	x ^= x >> 32;
	x *= UINT64_C(0xd6e8feb86659fd93);
	x ^= x >> 32;
	return x;
}

/* Zeroes memory in a way that the compiler may not leave out. NULL with n = 0 is allowed. */
static inline void
mg_zeroize(void *p, size_t n)
{
	if (n == 0)
		return;
	memset(p, 0, n);
	__asm__ __volatile__("" : : "r"(p) : "memory");
}

/* Zeroes, then frees. */
void mg_zeroize_free(void *p, size_t n);

#endif
