/*
 * seal/seal.h: OpenSSL 3 behind the few shapes this product needs. Keys are wiped after use by whoever owns them
 * (mg_wipe). Every failure of OpenSSL is MG_CRYPTO; a tag that does not match is MG_CORRUPT.
 */
#ifndef MIRAGE_SEAL_SEAL_H
#define MIRAGE_SEAL_SEAL_H

#include "base/bytes.h"

#define MG_KEY_BYTES 32
#define MG_HASH_BYTES 32
#define MG_SIGNATURE_BYTES 64
#define MG_NONCE_BYTES 12
#define MG_TAG_BYTES 16
#define MG_SEAL_OVERHEAD (4 + MG_NONCE_BYTES + MG_TAG_BYTES) /* version, nonce, tag */

void mg_wipe(void *p, size_t n);                               /* OPENSSL_cleanse */
mg_code mg_random_key(mg_ctx *ctx, uint8_t key[MG_KEY_BYTES]); /* RAND_priv_bytes */

/* AES-256-GCM, random nonce. out: malloc'ed, len + MG_SEAL_OVERHEAD bytes. aad may be empty. A key seals few. */
mg_code mg_seal(mg_ctx *ctx, const uint8_t key[MG_KEY_BYTES], const void *aad, size_t aad_len, const void *plain,
				size_t len, uint8_t **out, size_t *out_len);
/* MG_CORRUPT when key, aad or bytes are not the ones sealed. out: malloc'ed; wipe before free. */
mg_code mg_unseal(mg_ctx *ctx, const uint8_t key[MG_KEY_BYTES], const void *aad, size_t aad_len, const void *sealed,
				  size_t len, uint8_t **out, size_t *out_len);

/* RFC 5869 with SHA-256, no salt; len in 1..255 * 32. */
mg_code mg_hkdf(mg_ctx *ctx, const uint8_t key[MG_KEY_BYTES], const void *info, size_t info_len, uint8_t *out,
				size_t len);
/* The first len bytes of the AES-256-CTR keystream of a key that is used for nothing else (the counter begins at zero).
 */
mg_code mg_keystream(mg_ctx *ctx, const uint8_t key[MG_KEY_BYTES], uint8_t *out, size_t len);
mg_code mg_sha256(mg_ctx *ctx, const void *p, size_t n, uint8_t out[MG_HASH_BYTES]);
/* SHA-256 of bytes that come in pieces: create, update any number of times, final once; destroy frees (NULL is fine).
 */
typedef struct mg_hasher mg_hasher;
mg_code mg_hasher_create(mg_ctx *ctx, mg_hasher **out);
mg_code mg_hasher_update(mg_ctx *ctx, mg_hasher *h, const void *p, size_t n);
mg_code mg_hasher_final(mg_ctx *ctx, mg_hasher *h, uint8_t out[MG_HASH_BYTES]);
void mg_hasher_destroy(mg_hasher *h);
/*
 * What a key is known by: the first bytes (at most MG_HASH_BYTES) of SHA-256(label | key) in hex; out: [2 * bytes + 1].
 * The label, of at most MG_KEY_LABEL_MAX bytes, says what kind of key it is.
 */
#define MG_KEY_LABEL_MAX 64
mg_code mg_key_id(mg_ctx *ctx, const char *label, const uint8_t key[MG_KEY_BYTES], size_t bytes, char *out);
/* What the catalog records of a master key: SHA-256 of a fixed label and the key, 16 bytes in hex. */
mg_code mg_key_fingerprint(mg_ctx *ctx, const uint8_t key[MG_KEY_BYTES], char out[33]);

/* Ed25519; the private key is a 32-byte seed. */
mg_code mg_sign_public(mg_ctx *ctx, const uint8_t seed[32], uint8_t pub[32]);
mg_code mg_sign(mg_ctx *ctx, const uint8_t seed[32], const void *p, size_t n, uint8_t sig[MG_SIGNATURE_BYTES]);
mg_code mg_verify(mg_ctx *ctx, const uint8_t pub[32], const void *p, size_t n, const uint8_t sig[MG_SIGNATURE_BYTES],
				  bool *ok);
/*
 * Many of one key, in the threads of ctx->pool; those that hold get ok. The caller keeps what they point to. seed: the
 * private key where it is at hand, else NULL. Ed25519 is deterministic (RFC 8032, 5.1.6): signing again and comparing
 * takes a third of the time, and what differs is verified; the answer is the same.
 */
typedef struct mg_signed
{
	const uint8_t *message, *signature;
	size_t len;
	bool ok;
} mg_signed;
mg_code mg_verify_many(mg_ctx *ctx, const uint8_t pub[32], const uint8_t *seed, mg_signed *s, size_t n);

/* Hash chain of blocks: hash = SHA-256("pg_mirage block" | number | prev | count | entry hashes in order). */
mg_code mg_chain_block(mg_ctx *ctx, uint64_t number, const uint8_t prev[MG_HASH_BYTES],
					   const uint8_t (*entries)[MG_HASH_BYTES], uint32_t count, uint8_t out[MG_HASH_BYTES]);

#endif
