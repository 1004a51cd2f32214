/*
 * seal/seal.c: authenticated encryption, key derivation, digests, signatures and the hash chain, over OpenSSL 3's EVP.
 *
 * A sealed message is: version (u32, little-endian, 1) | nonce (12) | ciphertext | tag (16). The version is
 * authenticated in front of the caller's associated data. Nonces are random: with one key for few messages (each model
 * has its own) a collision is out of reach.
 *
 * Results of malloc belong to the caller. Whenever a call of OpenSSL fails the thread's error queue is emptied: the
 * server's own TLS code would otherwise meet our errors there.
 */
#include "seal/seal.h"

#include "base/pool.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#define SEAL_VERSION 1
#define VERSION_BYTES 4
/* NIST SP 800-38D: at most 2^39 - 256 bits of plain text in one message. */
#define GCM_LARGEST ((UINT64_C(1) << 36) - 32)
#define HKDF_LARGEST (255 * MG_HASH_BYTES)

static mg_code
crypto_failed(mg_ctx *ctx, const char *what)
{
	ERR_clear_error();
	return mg_fail(ctx, MG_CRYPTO, "OpenSSL could not %s", what);
}

void
mg_wipe(void *p, size_t n)
{
	if (p != NULL && n > 0)
		OPENSSL_cleanse(p, n);
}

mg_code
mg_random_key(mg_ctx *ctx, uint8_t key[MG_KEY_BYTES])
{
	if (RAND_priv_bytes(key, MG_KEY_BYTES) != 1)
		return crypto_failed(ctx, "draw a random key");
	return MG_OK;
}

/* One direction of the cipher over n bytes, in pieces that fit OpenSSL's int lengths. out NULL: associated data. */
static bool
cipher_update(EVP_CIPHER_CTX *c, uint8_t *out, const uint8_t *in, size_t n)
{
	const size_t most = (size_t) 1 << 30;

	while (n > 0)
	{
		size_t part = n < most ? n : most;
		int done = 0;

		if (EVP_CipherUpdate(c, out, &done, in, (int) part) != 1 || (size_t) done != part)
			return false;
		if (out != NULL)
			out += part;
		in += part;
		n -= part;
	}
	return true;
}

/* Readies AES-256-GCM with key, nonce and associated data (the version first). */
static bool
cipher_begin(EVP_CIPHER_CTX *c, const uint8_t *key, const uint8_t *version, const uint8_t *nonce, const void *aad,
			 size_t aad_len, int encrypt)
{
	return EVP_CipherInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce, encrypt) == 1 &&
		   cipher_update(c, NULL, version, VERSION_BYTES) && cipher_update(c, NULL, aad, aad_len);
}

mg_code
mg_seal(mg_ctx *ctx, const uint8_t key[MG_KEY_BYTES], const void *aad, size_t aad_len, const void *plain, size_t len,
		uint8_t **out, size_t *out_len)
{
	static const uint8_t version[VERSION_BYTES] = {SEAL_VERSION, 0, 0, 0};
	EVP_CIPHER_CTX *c;
	size_t total;
	uint8_t *sealed, *nonce, *text, *tag;
	int rest = 0;
	bool ok;

	if (!mg_add_size(len, MG_SEAL_OVERHEAD, &total) || (uint64_t) len > GCM_LARGEST)
		return mg_fail(ctx, MG_INVALID, "too much to seal in one message");
	sealed = malloc(total);
	c = EVP_CIPHER_CTX_new();
	if (sealed == NULL || c == NULL)
	{
		free(sealed);
		EVP_CIPHER_CTX_free(c);
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	}
	nonce = sealed + VERSION_BYTES;
	text = nonce + MG_NONCE_BYTES;
	tag = text + len;
	memcpy(sealed, version, VERSION_BYTES);
	ok = RAND_bytes(nonce, MG_NONCE_BYTES) == 1 && cipher_begin(c, key, version, nonce, aad, aad_len, 1) &&
		 cipher_update(c, text, plain, len) && EVP_CipherFinal_ex(c, tag, &rest) == 1 &&
		 EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, MG_TAG_BYTES, tag) == 1;
	EVP_CIPHER_CTX_free(c);
	if (!ok)
	{
		mg_wipe(sealed, total);
		free(sealed);
		return crypto_failed(ctx, "seal");
	}
	*out = sealed;
	*out_len = total;
	return MG_OK;
}

mg_code
mg_unseal(mg_ctx *ctx, const uint8_t key[MG_KEY_BYTES], const void *aad, size_t aad_len, const void *sealed, size_t len,
		  uint8_t **out, size_t *out_len)
{
	static const uint8_t version[VERSION_BYTES] = {SEAL_VERSION, 0, 0, 0};
	const uint8_t *in = sealed, *nonce, *text;
	uint8_t tag[MG_TAG_BYTES], *plain;
	EVP_CIPHER_CTX *c;
	size_t n;
	int rest = 0;
	bool begun, genuine;

	if (len < MG_SEAL_OVERHEAD)
		return mg_fail(ctx, MG_CORRUPT, "a sealed message is too short");
	if (memcmp(in, version, VERSION_BYTES) != 0)
		return mg_fail(ctx, MG_CORRUPT, "a sealed message has an unknown version");
	n = len - MG_SEAL_OVERHEAD;
	nonce = in + VERSION_BYTES;
	text = nonce + MG_NONCE_BYTES;
	memcpy(tag, text + n, MG_TAG_BYTES);
	plain = malloc(n > 0 ? n : 1);
	c = EVP_CIPHER_CTX_new();
	if (plain == NULL || c == NULL)
	{
		free(plain);
		EVP_CIPHER_CTX_free(c);
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	}
	begun = cipher_begin(c, key, version, nonce, aad, aad_len, 0) && cipher_update(c, plain, text, n) &&
			EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, MG_TAG_BYTES, tag) == 1;
	/* The final step compares the tag, in constant time; nothing of plain is used before it has. */
	genuine = begun && EVP_CipherFinal_ex(c, plain + n, &rest) == 1;
	EVP_CIPHER_CTX_free(c);
	if (!genuine)
	{
		mg_wipe(plain, n);
		free(plain);
		if (!begun)
			return crypto_failed(ctx, "unseal");
		ERR_clear_error();
		return mg_fail(ctx, MG_CORRUPT, "a sealed message is damaged or was sealed with another key");
	}
	*out = plain;
	*out_len = n;
	return MG_OK;
}

mg_code
mg_hkdf(mg_ctx *ctx, const uint8_t key[MG_KEY_BYTES], const void *info, size_t info_len, uint8_t *out, size_t len)
{
	char digest[] = "SHA256";
	uint8_t secret[MG_KEY_BYTES];
	OSSL_PARAM params[4], *p = params;
	EVP_KDF *kdf;
	EVP_KDF_CTX *c;
	bool ok;

	if (len == 0 || len > HKDF_LARGEST)
		return mg_fail(ctx, MG_INVALID, "a derived key of that length");
	kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_HKDF, NULL);
	c = EVP_KDF_CTX_new(kdf);
	EVP_KDF_free(kdf);
	if (c == NULL)
		return crypto_failed(ctx, "derive a key");
	/* OSSL_PARAM takes pointers to non-const, though it only reads here: the key is copied, info is cast. */
	memcpy(secret, key, sizeof(secret));
	*p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret, sizeof(secret));
	if (info_len > 0)
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *) (uintptr_t) info, info_len);
	*p = OSSL_PARAM_construct_end();
	ok = EVP_KDF_derive(c, out, len, params) == 1;
	EVP_KDF_CTX_free(c);
	mg_wipe(secret, sizeof(secret));
	return ok ? MG_OK : crypto_failed(ctx, "derive a key");
}

mg_code
mg_keystream(mg_ctx *ctx, const uint8_t key[MG_KEY_BYTES], uint8_t *out, size_t len)
{
	static const uint8_t counter[16];
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	bool ok = c != NULL && EVP_EncryptInit_ex(c, EVP_aes_256_ctr(), NULL, key, counter) == 1;

	memset(out, 0, len);
	ok = ok && cipher_update(c, out, out, len);
	EVP_CIPHER_CTX_free(c);
	return ok ? MG_OK : crypto_failed(ctx, "make a keystream");
}

mg_code
mg_sha256(mg_ctx *ctx, const void *p, size_t n, uint8_t out[MG_HASH_BYTES])
{
	if (EVP_Digest(n > 0 ? p : "", n, out, NULL, EVP_sha256(), NULL) != 1)
		return crypto_failed(ctx, "hash");
	return MG_OK;
}

struct mg_hasher
{
	EVP_MD_CTX *md;
};

mg_code
mg_hasher_create(mg_ctx *ctx, mg_hasher **out)
{
	mg_hasher *h = malloc(sizeof(*h));

	if (h == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	h->md = EVP_MD_CTX_new();
	if (h->md == NULL || EVP_DigestInit_ex(h->md, EVP_sha256(), NULL) != 1)
	{
		mg_hasher_destroy(h);
		return crypto_failed(ctx, "hash");
	}
	*out = h;
	return MG_OK;
}

mg_code
mg_hasher_update(mg_ctx *ctx, mg_hasher *h, const void *p, size_t n)
{
	return EVP_DigestUpdate(h->md, p, n) == 1 ? MG_OK : crypto_failed(ctx, "hash");
}

mg_code
mg_hasher_final(mg_ctx *ctx, mg_hasher *h, uint8_t out[MG_HASH_BYTES])
{
	return EVP_DigestFinal_ex(h->md, out, NULL) == 1 ? MG_OK : crypto_failed(ctx, "hash");
}

void
mg_hasher_destroy(mg_hasher *h)
{
	if (h == NULL)
		return;
	EVP_MD_CTX_free(h->md);
	free(h);
}

mg_code
mg_key_id(mg_ctx *ctx, const char *label, const uint8_t key[MG_KEY_BYTES], size_t bytes, char *out)
{
	uint8_t text[MG_KEY_LABEL_MAX + MG_KEY_BYTES], hash[MG_HASH_BYTES];
	size_t len = strlen(label);
	mg_code code;

	if (len > MG_KEY_LABEL_MAX || bytes > MG_HASH_BYTES)
		return mg_fail(ctx, MG_INTERNAL, "a key's id of an unknown form");
	memcpy(text, label, len);
	memcpy(text + len, key, MG_KEY_BYTES);
	code = mg_sha256(ctx, text, len + MG_KEY_BYTES, hash);
	mg_wipe(text, sizeof(text));
	MG_TRY(code);
	mg_hex(hash, bytes, out);
	return MG_OK;
}

mg_code
mg_key_fingerprint(mg_ctx *ctx, const uint8_t key[MG_KEY_BYTES], char out[33])
{
	return mg_key_id(ctx, "pg_mirage key fingerprint", key, 16, out);
}

mg_code
mg_sign_public(mg_ctx *ctx, const uint8_t seed[32], uint8_t pub[32])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	size_t len = 32;
	bool ok = key != NULL && EVP_PKEY_get_raw_public_key(key, pub, &len) == 1 && len == 32;

	EVP_PKEY_free(key);
	return ok ? MG_OK : crypto_failed(ctx, "make a signature key");
}

mg_code
mg_sign(mg_ctx *ctx, const uint8_t seed[32], const void *p, size_t n, uint8_t sig[MG_SIGNATURE_BYTES])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	size_t len = MG_SIGNATURE_BYTES;
	bool ok = key != NULL && c != NULL && EVP_DigestSignInit(c, NULL, NULL, NULL, key) == 1 &&
			  EVP_DigestSign(c, sig, &len, n > 0 ? p : (const void *) "", n) == 1 && len == MG_SIGNATURE_BYTES;

	EVP_MD_CTX_free(c);
	EVP_PKEY_free(key);
	return ok ? MG_OK : crypto_failed(ctx, "sign");
}

/* False where it could not be tried. */
static bool
verify_with(EVP_PKEY *key, const void *p, size_t n, const uint8_t *sig, bool *ok)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool begun = c != NULL && EVP_DigestVerifyInit(c, NULL, NULL, NULL, key) == 1;

	/* Anything but 1 is a signature that does not hold, also where the public key is no point of the curve. */
	if (begun)
	{
		*ok = EVP_DigestVerify(c, sig, MG_SIGNATURE_BYTES, n > 0 ? p : (const void *) "", n) == 1;
		ERR_clear_error(); /* of this thread */
	}
	EVP_MD_CTX_free(c);
	return begun;
}

mg_code
mg_verify(mg_ctx *ctx, const uint8_t pub[32], const void *p, size_t n, const uint8_t sig[MG_SIGNATURE_BYTES], bool *ok)
{
	EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, pub, 32);
	bool begun = key != NULL && verify_with(key, p, n, sig, ok);

	EVP_PKEY_free(key);
	return begun ? MG_OK : crypto_failed(ctx, "verify a signature");
}

/* Is it what signing the same again makes? */
static bool
signs_again(EVP_PKEY *key, const mg_signed *s)
{
	uint8_t again[MG_SIGNATURE_BYTES];
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	size_t len = sizeof(again);
	bool made = c != NULL && EVP_DigestSignInit(c, NULL, NULL, NULL, key) == 1 &&
				EVP_DigestSign(c, again, &len, s->message, s->len) == 1 && len == sizeof(again);
	bool same = made && CRYPTO_memcmp(again, s->signature, sizeof(again)) == 0;

	EVP_MD_CTX_free(c);
	mg_wipe(again, sizeof(again));
	return same;
}

#define SIGNATURES_PER_TASK 32 /* about two milliseconds */

typedef struct verification
{
	EVP_PKEY *key, *secret; /* NULL: not at hand */
	mg_signed *s;
	size_t n;
	bool *begun; /* of each task */
} verification;

static void
verify_task(void *arg, size_t index, int lane)
{
	verification *v = arg;
	size_t first = index * SIGNATURES_PER_TASK;
	size_t end = v->n - first > SIGNATURES_PER_TASK ? first + SIGNATURES_PER_TASK : v->n;
	bool begun = true;

	for (size_t i = first; i < end && begun; i++)
	{
		mg_signed *s = &v->s[i];

		s->ok = v->secret != NULL && signs_again(v->secret, s);
		if (!s->ok)
			begun = verify_with(v->key, s->message, s->len, s->signature, &s->ok);
	}
	v->begun[index] = begun;
}

/* The private key, if it is that of the public one; else NULL. */
static EVP_PKEY *
matching_key(const uint8_t *seed, const uint8_t pub[32])
{
	EVP_PKEY *key = seed != NULL ? EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32) : NULL;
	uint8_t own[32];
	size_t len = sizeof(own);

	if (key != NULL && EVP_PKEY_get_raw_public_key(key, own, &len) == 1 && len == sizeof(own) &&
		memcmp(own, pub, sizeof(own)) == 0)
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

mg_code
mg_verify_many(mg_ctx *ctx, const uint8_t pub[32], const uint8_t *seed, mg_signed *s, size_t n)
{
	size_t tasks = n / SIGNATURES_PER_TASK + (n % SIGNATURES_PER_TASK > 0);
	verification v = {.key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, pub, 32),
					  .secret = matching_key(seed, pub),
					  .s = s,
					  .n = n,
					  .begun = calloc(tasks > 0 ? tasks : 1, sizeof(bool))};
	bool begun = v.key != NULL && v.begun != NULL;
	mg_code code = begun ? mg_pool_run(ctx, ctx->pool, verify_task, &v, tasks) : MG_OK;

	for (size_t i = 0; i < tasks && begun && code == MG_OK; i++)
		begun = v.begun[i];
	free(v.begun);
	EVP_PKEY_free(v.secret);
	EVP_PKEY_free(v.key);
	if (code != MG_OK)
		return code;
	ERR_clear_error();
	return begun ? MG_OK : crypto_failed(ctx, "verify a signature");
}

static void
store_le(uint8_t *out, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		out[i] = (uint8_t) (v >> (8 * i));
}

mg_code
mg_chain_block(mg_ctx *ctx, uint64_t number, const uint8_t prev[MG_HASH_BYTES], const uint8_t (*entries)[MG_HASH_BYTES],
			   uint32_t count, uint8_t out[MG_HASH_BYTES])
{
	static const char label[] = "pg_mirage block";
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	uint8_t head[8], tail[4];
	bool ok;

	store_le(head, number, 8);
	store_le(tail, count, 4);
	ok = c != NULL && EVP_DigestInit_ex(c, EVP_sha256(), NULL) == 1 &&
		 EVP_DigestUpdate(c, label, sizeof(label) - 1) == 1 && EVP_DigestUpdate(c, head, sizeof(head)) == 1 &&
		 EVP_DigestUpdate(c, prev, MG_HASH_BYTES) == 1 && EVP_DigestUpdate(c, tail, sizeof(tail)) == 1;
	for (uint32_t i = 0; ok && i < count; i++)
		ok = EVP_DigestUpdate(c, entries[i], MG_HASH_BYTES) == 1;
	ok = ok && EVP_DigestFinal_ex(c, out, NULL) == 1;
	EVP_MD_CTX_free(c);
	return ok ? MG_OK : crypto_failed(ctx, "hash");
}
