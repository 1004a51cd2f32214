/*
 * test/unit/test_seal.c: encryption that refuses every change, key derivation, digests and signatures against published
 * vectors (FIPS 180-4, RFC 4231, RFC 8032), the chain; keys and numbers as text (base58 of the Bitcoin project's
 * drafts, appendix B of RFC 8785, a Multikey of the W3C's cryptosuites).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/hmac.h>

#include "base/pool.h"
#include "seal/encode.h"
#include "seal/seal.h"

static void
from_hex(const char *hex, uint8_t *out)
{
	for (size_t i = 0; hex[2 * i] != '\0'; i++)
	{
		char byte[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

		out[i] = (uint8_t) strtoul(byte, NULL, 16);
	}
}

static void
test_round_trip(void **state)
{
	static const size_t sizes[] = {0, 1, 15, 16, 17, 1000, 1000000};
	uint8_t key[MG_KEY_BYTES];
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	assert_int_equal(mg_random_key(&ctx, key), MG_OK);
	for (size_t i = 0; i < 7; i++)
		for (int with_aad = 0; with_aad < 2; with_aad++)
		{
			const char *aad = with_aad ? "model" : NULL;
			uint8_t *plain = malloc(sizes[i] + 1), *sealed, *again, *back;
			size_t len, again_len, back_len, aad_len = with_aad ? 5 : 0;

			memset(plain, 'p', sizes[i] + 1);
			assert_int_equal(mg_seal(&ctx, key, aad, aad_len, plain, sizes[i], &sealed, &len), MG_OK);
			assert_int_equal(mg_seal(&ctx, key, "model", aad_len, plain, sizes[i], &again, &again_len), MG_OK);
			assert_int_equal(len, sizes[i] + MG_SEAL_OVERHEAD);
			assert_memory_not_equal(sealed, again, len); /* nonces are fresh */
			assert_int_equal(mg_unseal(&ctx, key, "model", aad_len, sealed, len, &back, &back_len), MG_OK);
			assert_int_equal(back_len, sizes[i]);
			assert_memory_equal(back, plain, sizes[i] > 0 ? sizes[i] : 0);
			free(plain);
			free(sealed);
			free(again);
			free(back);
		}
}

static mg_code
try_unseal(const uint8_t *key, const char *aad, const uint8_t *sealed, size_t len)
{
	/* A block of exactly its size: the sanitizers see a read past it. */
	uint8_t *copy = malloc(len + (len == 0)), *out = NULL;
	size_t out_len;
	mg_ctx ctx;
	mg_code code;

	mg_ctx_init(&ctx);
	memcpy(copy, sealed, len);
	code = mg_unseal(&ctx, key, aad, strlen(aad), copy, len, &out, &out_len);
	if (code == MG_OK)
		free(out);
	else
		assert_null(out);
	assert_true(ERR_peek_error() == 0); /* nothing of ours is left for the server's TLS to meet */
	free(copy);
	return code;
}

static void
test_every_change_is_seen(void **state)
{
	uint8_t key[MG_KEY_BYTES] = {1, 2, 3}, other[MG_KEY_BYTES] = {1, 2, 4}, *sealed;
	size_t len;
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	assert_int_equal(mg_seal(&ctx, key, "m1", 2, "secret weights", 14, &sealed, &len), MG_OK);
	assert_int_equal(try_unseal(key, "m1", sealed, len), MG_OK);
	assert_int_equal(try_unseal(other, "m1", sealed, len), MG_CORRUPT);
	assert_int_equal(try_unseal(key, "m2", sealed, len), MG_CORRUPT);
	assert_int_equal(try_unseal(key, "", sealed, len), MG_CORRUPT);
	for (size_t i = 0; i < len * 8; i++)
	{
		sealed[i / 8] ^= (uint8_t) (1 << (i % 8));
		assert_int_equal(try_unseal(key, "m1", sealed, len), MG_CORRUPT);
		sealed[i / 8] ^= (uint8_t) (1 << (i % 8));
	}
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(try_unseal(key, "m1", sealed, cut), MG_CORRUPT);
	assert_int_equal(try_unseal(key, "m1", sealed, len), MG_OK);
	/* The plain text is not in there. */
	for (size_t i = 0; i + 6 <= len; i++)
		assert_memory_not_equal(sealed + i, "secret", 6);
	free(sealed);
}

static void
test_digests(void **state)
{
	uint8_t want[32], got[32];
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	from_hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", want);
	assert_int_equal(mg_sha256(&ctx, "abc", 3, got), MG_OK);
	assert_memory_equal(got, want, 32);
	from_hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", want);
	assert_int_equal(mg_sha256(&ctx, NULL, 0, got), MG_OK);
	assert_memory_equal(got, want, 32);
}

/* HKDF by its definition (RFC 5869, no salt), from HMAC alone. */
static void
test_hkdf(void **state)
{
	uint8_t key[MG_KEY_BYTES] = {7}, salt[32] = {0}, prk[32], want[96], block[32 + 4 + 1], got[96];
	unsigned n;
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	assert_non_null(HMAC(EVP_sha256(), salt, 32, key, 32, prk, &n));
	for (uint8_t i = 1; i <= 3; i++)
	{
		size_t at = 0;

		if (i > 1)
		{
			memcpy(block, want + 32 * (i - 2), 32);
			at = 32;
		}
		memcpy(block + at, "info", 4);
		block[at + 4] = i;
		assert_non_null(HMAC(EVP_sha256(), prk, 32, block, at + 5, want + 32 * (i - 1), &n));
	}
	assert_int_equal(mg_hkdf(&ctx, key, "info", 4, got, 96), MG_OK);
	assert_memory_equal(got, want, 96);
	assert_int_equal(mg_hkdf(&ctx, key, "other", 5, got, 32), MG_OK);
	assert_memory_not_equal(got, want, 32);
	assert_int_equal(mg_hkdf(&ctx, key, NULL, 0, got, 32), MG_OK);
	assert_int_equal(mg_hkdf(&ctx, key, "info", 4, got, 0), MG_INVALID);
	assert_int_equal(mg_hkdf(&ctx, key, "info", 4, got, 255 * 32 + 1), MG_INVALID);
}

static void
test_fingerprint(void **state)
{
	uint8_t key[MG_KEY_BYTES] = {0};
	char a[33], b[33];
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	assert_int_equal(mg_key_fingerprint(&ctx, key, a), MG_OK);
	assert_int_equal(strlen(a), 32);
	assert_int_equal(strspn(a, "0123456789abcdef"), 32);
	key[31] = 1;
	assert_int_equal(mg_key_fingerprint(&ctx, key, b), MG_OK);
	assert_string_not_equal(a, b);
}

static void
test_signatures(void **state)
{
	uint8_t seed[32], pub[32], got[32], want[64], sig[64], text = 0x72;
	mg_ctx ctx;
	bool ok;

	/* RFC 8032, 7.1, tests 1 (empty message) and 2. */
	mg_ctx_init(&ctx);
	from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", seed);
	from_hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", pub);
	from_hex("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
			 "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
			 want);
	assert_int_equal(mg_sign_public(&ctx, seed, got), MG_OK);
	assert_memory_equal(got, pub, 32);
	assert_int_equal(mg_sign(&ctx, seed, NULL, 0, sig), MG_OK);
	assert_memory_equal(sig, want, 64);
	from_hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", seed);
	from_hex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
			 "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
			 want);
	assert_int_equal(mg_sign(&ctx, seed, &text, 1, sig), MG_OK);
	assert_memory_equal(sig, want, 64);

	assert_int_equal(mg_sign_public(&ctx, seed, pub), MG_OK);
	assert_int_equal(mg_verify(&ctx, pub, &text, 1, sig, &ok), MG_OK);
	assert_true(ok);
	for (size_t i = 0; i < 64 * 8; i += 7)
	{
		sig[i / 8] ^= (uint8_t) (1 << (i % 8));
		assert_int_equal(mg_verify(&ctx, pub, &text, 1, sig, &ok), MG_OK);
		assert_false(ok);
		sig[i / 8] ^= (uint8_t) (1 << (i % 8));
	}
	text ^= 1;
	assert_int_equal(mg_verify(&ctx, pub, &text, 1, sig, &ok), MG_OK);
	assert_false(ok);
	text ^= 1;
	memset(pub, 0xff, 32); /* no point of the curve */
	ok = true;
	assert_true(mg_verify(&ctx, pub, &text, 1, sig, &ok) != MG_OK || !ok);
	assert_true(ERR_peek_error() == 0);
}

/* Many at once: with the private key and without, with another's, with threads and without, in every remainder of a
 * task: each answer is that of verifying it alone. */
static void
test_many_signatures(void **state)
{
	enum
	{
		N = 70
	};
	uint8_t seed[32], other[32], pub[32], sig[N][64], text[N][9];
	const uint8_t *seeds[] = {NULL, seed, other};
	static const size_t counts[] = {0, 1, 31, 32, 33, N};
	mg_pool *pool = mg_pool_create(2);
	mg_signed s[N];
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	memset(seed, 7, sizeof(seed));
	memset(other, 8, sizeof(other));
	assert_int_equal(mg_sign_public(&ctx, seed, pub), MG_OK);
	for (size_t i = 0; i < N; i++)
	{
		memset(text[i], (int) i, sizeof(text[i]));
		assert_int_equal(mg_sign(&ctx, i == 20 ? other : seed, text[i], sizeof(text[i]), sig[i]), MG_OK);
		s[i] = (mg_signed){.message = text[i], .signature = sig[i], .len = sizeof(text[i])};
	}
	sig[5][3] ^= 1;
	text[32][8] ^= 1;
	s[40].len--;
	memset(sig[69], 0, sizeof(sig[69]));
	for (size_t k = 0; k < 3 * 2 * (sizeof(counts) / sizeof(counts[0])); k++)
	{
		size_t n = counts[k / 6];

		ctx.pool = k % 2 > 0 ? pool : NULL;
		for (size_t i = 0; i < N; i++)
			s[i].ok = i % 3 == 0; /* what was there before does not count */
		assert_int_equal(mg_verify_many(&ctx, pub, seeds[k / 2 % 3], s, n), MG_OK);
		for (size_t i = 0; i < n; i++)
		{
			bool alone;

			assert_int_equal(mg_verify(&ctx, pub, s[i].message, s[i].len, s[i].signature, &alone), MG_OK);
			assert_int_equal(s[i].ok, alone);
			assert_int_equal(alone, i != 5 && i != 20 && i != 32 && i != 40 && i != 69);
		}
		for (size_t i = n; i < N; i++)
			assert_int_equal(s[i].ok, i % 3 == 0);
	}
	assert_true(ERR_peek_error() == 0);
	mg_pool_destroy(pool);
}

static void
test_chain(void **state)
{
	uint8_t prev[32] = {9}, entries[3][32] = {{1}, {2}, {3}}, text[15 + 8 + 32 + 4 + 96] = "pg_mirage block", want[32];
	uint8_t a[32], b[32];
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	text[15] = 0x02;
	text[16] = 0x01; /* block 258 */
	memcpy(text + 23, prev, 32);
	text[55] = 3;
	memcpy(text + 59, entries, 96);
	assert_int_equal(mg_sha256(&ctx, text, sizeof(text), want), MG_OK);
	assert_int_equal(mg_chain_block(&ctx, 258, prev, (const uint8_t(*)[32]) entries, 3, a), MG_OK);
	assert_memory_equal(a, want, 32);
	/* Number, predecessor, count and each entry matter. */
	assert_int_equal(mg_chain_block(&ctx, 259, prev, (const uint8_t(*)[32]) entries, 3, b), MG_OK);
	assert_memory_not_equal(a, b, 32);
	assert_int_equal(mg_chain_block(&ctx, 258, prev, (const uint8_t(*)[32]) entries, 2, b), MG_OK);
	assert_memory_not_equal(a, b, 32);
	prev[31] ^= 1;
	assert_int_equal(mg_chain_block(&ctx, 258, prev, (const uint8_t(*)[32]) entries, 3, b), MG_OK);
	assert_memory_not_equal(a, b, 32);
	prev[31] ^= 1;
	entries[2][31] ^= 1;
	assert_int_equal(mg_chain_block(&ctx, 258, prev, (const uint8_t(*)[32]) entries, 3, b), MG_OK);
	assert_memory_not_equal(a, b, 32);
	assert_int_equal(mg_chain_block(&ctx, 0, prev, NULL, 0, b), MG_OK);
}

static void
test_keys_and_wipe(void **state)
{
	uint8_t a[MG_KEY_BYTES], b[MG_KEY_BYTES], zero[MG_KEY_BYTES] = {0};
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	assert_int_equal(mg_random_key(&ctx, a), MG_OK);
	assert_int_equal(mg_random_key(&ctx, b), MG_OK);
	assert_memory_not_equal(a, b, sizeof(a));
	mg_wipe(a, sizeof(a));
	assert_memory_equal(a, zero, sizeof(a));
	mg_wipe(NULL, 0);
}

/* The pieces of a message do not show in its hash. */
static void
test_hasher(void **state)
{
	uint8_t message[1000], whole[MG_HASH_BYTES], pieces[MG_HASH_BYTES];
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	for (size_t i = 0; i < sizeof(message); i++)
		message[i] = (uint8_t) (i * 7);
	assert_int_equal(mg_sha256(&ctx, message, sizeof(message), whole), MG_OK);
	for (size_t step = 1; step < 1000; step += 111)
	{
		mg_hasher *h = NULL;

		assert_int_equal(mg_hasher_create(&ctx, &h), MG_OK);
		for (size_t at = 0; at < sizeof(message); at += step)
			assert_int_equal(mg_hasher_update(&ctx, h, message + at,
											  at + step < sizeof(message) ? step : sizeof(message) - at),
							 MG_OK);
		assert_int_equal(mg_hasher_final(&ctx, h, pieces), MG_OK);
		mg_hasher_destroy(h);
		assert_memory_equal(whole, pieces, MG_HASH_BYTES);
	}
	mg_hasher_destroy(NULL);
}

static void
test_base58(void **state)
{
	static const struct
	{
		const char *hex, *text;
	} known[] = {{"48656c6c6f20576f726c6421", "2NEpo7TZRRrLZSi2U"},
				 {"0000287fb4cd", "11233QC4"},
				 {"", ""},
				 {"00", "1"},
				 {"ff", "5Q"},
				 {"516b6fcd0f", "ABnLTmg"}};
	uint8_t bytes[64], back[64];
	char text[mg_base58_size(64)];

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
	{
		size_t n = strlen(known[i].hex) / 2;

		from_hex(known[i].hex, bytes);
		mg_base58_encode(bytes, n, text);
		assert_string_equal(text, known[i].text);
		assert_true(mg_base58_decode(text, back, n));
		assert_memory_equal(back, bytes, n);
		assert_false(mg_base58_decode(text, back, n + 1));
		assert_false(n > 0 && mg_base58_decode(text, back, n - 1));
	}
	for (unsigned fill = 0; fill < 256; fill += 51)
		for (size_t n = 1; n <= 64; n++)
		{
			memset(bytes, (int) fill, n);
			bytes[n / 2] ^= 0x5a;
			mg_base58_encode(bytes, n, text);
			assert_true(mg_base58_decode(text, back, n));
			assert_memory_equal(back, bytes, n);
		}
	assert_false(mg_base58_decode("0", back, 1));
	assert_false(mg_base58_decode("5Q ", back, 1));
	assert_false(mg_base58_decode("zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", back, 8));
}

static void
test_json_numbers(void **state)
{
	static const struct
	{
		uint64_t bits;
		const char *text;
	} known[] = {
		{0x0000000000000000, "0"},
		{0x8000000000000000, "0"},
		{0x0000000000000001, "5e-324"},
		{0x8000000000000001, "-5e-324"},
		{0x7fefffffffffffff, "1.7976931348623157e+308"},
		{0xffefffffffffffff, "-1.7976931348623157e+308"},
		{0x4340000000000000, "9007199254740992"},
		{0xc340000000000000, "-9007199254740992"},
		{0x4430000000000000, "295147905179352830000"},
		{0x44b52d02c7e14af5, "9.999999999999997e+22"},
		{0x44b52d02c7e14af6, "1e+23"},
		{0x44b52d02c7e14af7, "1.0000000000000001e+23"},
		{0x444b1ae4d6e2ef4e, "999999999999999700000"},
		{0x444b1ae4d6e2ef4f, "999999999999999900000"},
		{0x444b1ae4d6e2ef50, "1e+21"},
		{0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
		{0x3eb0c6f7a0b5ed8d, "0.000001"},
		{0x41b3de4355555553, "333333333.3333332"},
		{0x41b3de4355555554, "333333333.33333325"},
		{0x41b3de4355555555, "333333333.3333333"},
		{0x41b3de4355555556, "333333333.3333334"},
		{0x41b3de4355555557, "333333333.33333343"},
		{0xbecbf647612f3696, "-0.0000033333333333333333"},
		{0x43143ff3c1cb0959, "1424953923781206.2"},
		/* a power of two: what is closest does not read back, what is a little farther does */
		{0x3d30000000000000, "5.684341886080802e-14"},
	};
	char text[MG_JSON_NUMBER_SIZE];

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
	{
		double v;

		memcpy(&v, &known[i].bits, sizeof(v));
		assert_true(mg_json_number(v, text));
		assert_string_equal(text, known[i].text);
		assert_true(strtod(text, NULL) == v);
	}
	assert_true(mg_json_number(1e-9, text));
	assert_string_equal(text, "1e-9");
	assert_true(mg_json_number(1234.5, text));
	assert_string_equal(text, "1234.5");
	assert_false(mg_json_number(INFINITY, text));
	assert_false(mg_json_number(-INFINITY, text));
	assert_false(mg_json_number(NAN, text));
}

static void
test_public_keys(void **state)
{
	uint8_t pub[32], back[32];
	char text[MG_PEM_SIZE], hex[65];

	for (unsigned i = 0; i < 32; i++)
		pub[i] = (uint8_t) (i * 37 + 5);
	for (int i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02X", pub[i]);
	assert_true(mg_public_parse(hex, back));
	assert_memory_equal(back, pub, 32);
	mg_public_pem(pub, text);
	assert_true(mg_public_parse(text, back));
	assert_memory_equal(back, pub, 32);
	/* any other digit of the PEM text is another key, or none */
	for (char *s = text; *s != '\0'; s++)
	{
		char was = *s;

		*s = was == 'A' ? 'B' : 'A';
		assert_false(mg_public_parse(text, back) && memcmp(back, pub, 32) == 0);
		*s = was;
	}
	mg_multikey(pub, text);
	assert_true(mg_public_parse(text, back));
	assert_memory_equal(back, pub, 32);
	/* the key of the worked examples of "Data Integrity EdDSA Cryptosuites v1.0" */
	assert_true(mg_public_parse("z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2", pub));
	mg_multikey(pub, text);
	assert_string_equal(text, "z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2");
	assert_false(mg_public_parse("", back));
	assert_false(mg_public_parse("z", back));
	assert_false(mg_public_parse("-----BEGIN PUBLIC KEY-----", back));
	assert_false(mg_public_parse("-----BEGIN PUBLIC KEY----- -----END PUBLIC KEY-----", back));
	hex[10] = 'g';
	assert_false(mg_public_parse(hex, back));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_every_change_is_seen),
		cmocka_unit_test(test_digests),      cmocka_unit_test(test_hkdf),
		cmocka_unit_test(test_fingerprint),  cmocka_unit_test(test_signatures),
		cmocka_unit_test(test_chain),        cmocka_unit_test(test_keys_and_wipe),
		cmocka_unit_test(test_hasher),       cmocka_unit_test(test_base58),
		cmocka_unit_test(test_json_numbers), cmocka_unit_test(test_public_keys),
		cmocka_unit_test(test_many_signatures),
	};

	return cmocka_run_group_tests_name("seal", tests, NULL, NULL);
}
