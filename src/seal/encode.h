/*
 * seal/encode.h: keys, signatures and numbers as text: what a signed JSON document needs so that programs other than
 * ours can read it.
 */
#ifndef MIRAGE_SEAL_ENCODE_H
#define MIRAGE_SEAL_ENCODE_H

#include "seal/seal.h"

/* n bytes in the alphabet of base58 (Bitcoin's), one '1' for each leading zero byte; out has mg_base58_size(n) bytes.
 */
#define mg_base58_size(n) ((n) *138 / 100 + 2)
void mg_base58_encode(const uint8_t *p, size_t n, char *out);
/* Exactly n bytes; false for anything else. */
bool mg_base58_decode(const char *text, uint8_t *out, size_t n);

/*
 * A finite number as ECMAScript prints it, which RFC 8785 (section 3.2.2.3) makes the canonical form of a number in
 * JSON: the shortest digits that read back as the same double. False for infinities and NaN.
 */
#define MG_JSON_NUMBER_SIZE 64
bool mg_json_number(double v, char out[MG_JSON_NUMBER_SIZE]);

/* An Ed25519 public key as a Multikey ("z6Mk..."), which a did:key is made of. */
#define MG_MULTIKEY_SIZE 64
void mg_multikey(const uint8_t pub[32], char out[MG_MULTIKEY_SIZE]);
/* And as the PEM text of a SubjectPublicKeyInfo (RFC 8410), which `openssl pkey -pubin` reads. */
#define MG_PEM_SIZE 128
void mg_public_pem(const uint8_t pub[32], char out[MG_PEM_SIZE]);
/* Back: PEM (white space does not count), a Multikey, or 64 hexadecimal digits; false for anything else. */
bool mg_public_parse(const char *text, uint8_t pub[32]);

#endif
