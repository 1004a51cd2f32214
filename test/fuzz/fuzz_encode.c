/*
 * test/fuzz/fuzz_encode.c: any bytes as a public key, as base58 and as a number. What is accepted as text is just what
 * would be written, and what is written reads back.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "seal/encode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static void
try_text(const char *text)
{
	uint8_t bytes[MG_SIGNATURE_BYTES], pub[32], back[32];
	char again[mg_base58_size(MG_SIGNATURE_BYTES)], key[MG_PEM_SIZE];

	for (size_t n = 0; n <= sizeof(bytes); n += 16)
		if (mg_base58_decode(text, bytes, n))
		{
			mg_base58_encode(bytes, n, again);
			check(strcmp(again, text) == 0);
		}
	if (!mg_public_parse(text, pub))
		return;
	mg_public_pem(pub, key);
	check(mg_public_parse(key, back) && memcmp(pub, back, 32) == 0);
	mg_multikey(pub, key);
	check(mg_public_parse(key, back) && memcmp(pub, back, 32) == 0);
}

static void
try_bytes(const uint8_t *data, size_t size)
{
	uint8_t back[MG_SIGNATURE_BYTES];
	char text[mg_base58_size(MG_SIGNATURE_BYTES)], number[MG_JSON_NUMBER_SIZE];
	size_t n = size < sizeof(back) ? size : sizeof(back);
	double v;

	mg_base58_encode(data, n, text);
	check(mg_base58_decode(text, back, n) && memcmp(back, data, n) == 0);
	if (size < sizeof(v))
		return;
	memcpy(&v, data, sizeof(v));
	check(mg_json_number(v, number) == (isfinite(v) != 0));
	if (isfinite(v))
		check(strtod(number, NULL) == v && strlen(number) < 30);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (text == NULL)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	try_text(text);
	if (size > 0)
		try_bytes(data, size);
	free(text);
	return 0;
}
