/*
 * test/unit/test_seal.c: encryption that refuses every change, key derivation, digests and signatures against published
 * vectors (FIPS 180-4, RFC 4231, RFC 8032), the chain.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/hmac.h>

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
	uint8_t want[32], got[32], key[MG_KEY_BYTES];
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	from_hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", want);
	assert_int_equal(mg_sha256(&ctx, "abc", 3, got), MG_OK);
	assert_memory_equal(got, want, 32);
	from_hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", want);
	assert_int_equal(mg_sha256(&ctx, NULL, 0, got), MG_OK);
	assert_memory_equal(got, want, 32);

	/* RFC 4231, case 1: its key of 20 bytes padded with zeros to 32 is the same HMAC key. */
	memset(key, 0, sizeof(key));
	memset(key, 0x0b, 20);
	from_hex("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7", want);
	assert_int_equal(mg_hmac_sha256(&ctx, key, "Hi There", 8, got), MG_OK);
	assert_memory_equal(got, want, 32);
	assert_int_equal(mg_hmac_sha256(&ctx, key, NULL, 0, got), MG_OK);
	assert_memory_not_equal(got, want, 32);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_every_change_is_seen),
		cmocka_unit_test(test_digests),     cmocka_unit_test(test_hkdf),
		cmocka_unit_test(test_fingerprint), cmocka_unit_test(test_signatures),
		cmocka_unit_test(test_chain),       cmocka_unit_test(test_keys_and_wipe),
	};

	return cmocka_run_group_tests_name("seal", tests, NULL, NULL);
}
