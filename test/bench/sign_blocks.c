/*
 * test/bench/sign_blocks.c: makes blocks of the log as workers do, one entry each, for a log that is longer than a
 * benchmark can wait for.
 *
 * Arguments: the file of the master key, the wrapped root "log" in hexadecimal digits, then of the block before the
 * first: number, hash and charges. Lines of input: the number of an entry and its hash; of output: rows for
 * COPY mirage.log_block (number, entries, previous, hash, signature, settled, charges, chained_at).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "seal/seal.h"

#define LABEL "pg_mirage log block 2" /* with its terminating zero: catalog/log.c */
#define AAD "pg_mirage key|log|0"

static void
fail(const char *why)
{
	fprintf(stderr, "sign_blocks: %s\n", why);
	exit(1);
}

/* At most `room` bytes; how many there are. */
static size_t
from_hex(const char *text, uint8_t *out, size_t room)
{
	size_t n = 0;
	unsigned byte;

	for (; n < room && sscanf(text + 2 * n, "%2x", &byte) == 1; n++)
		out[n] = (uint8_t) byte;
	return n;
}

static void
put_hex(const uint8_t *p, size_t n)
{
	printf("\t\\\\x");
	for (size_t i = 0; i < n; i++)
		printf("%02x", p[i]);
}

/* Big-endian; returns what follows. */
static uint8_t *
put_number(uint8_t *p, unsigned long long n)
{
	for (int shift = 56; shift >= 0; shift -= 8)
		*p++ = (uint8_t) (n >> shift);
	return p;
}

static void
unwrap_root(const char *key_file, const char *wrapped_hex, uint8_t seed[MG_KEY_BYTES])
{
	uint8_t master[MG_KEY_BYTES], wrapped[256], *plain;
	char text[2 * MG_KEY_BYTES + 2];
	FILE *f = fopen(key_file, "r");
	size_t n = from_hex(wrapped_hex, wrapped, sizeof(wrapped)), len;
	mg_ctx ctx;

	if (f == NULL || fgets(text, sizeof(text), f) == NULL || from_hex(text, master, sizeof(master)) != sizeof(master))
		fail("the file of the master key cannot be read");
	fclose(f);
	mg_ctx_init(&ctx);
	if (mg_unseal(&ctx, master, AAD, strlen(AAD), wrapped, n, &plain, &len) != MG_OK || len != MG_KEY_BYTES)
		fail("the root does not unwrap");
	memcpy(seed, plain, MG_KEY_BYTES);
	free(plain);
}

int
main(int argc, char **argv)
{
	uint8_t seed[MG_KEY_BYTES], previous[MG_HASH_BYTES], signature[MG_SIGNATURE_BYTES];
	uint8_t message[sizeof(LABEL) + 4 * 8 + MG_HASH_BYTES], entry[1][MG_HASH_BYTES], hash[MG_HASH_BYTES];
	uint8_t *p;
	char line[256];
	unsigned long long number, id;
	mg_ctx ctx;

	if (argc != 6)
		fail("arguments: key-file root number hash charges");
	unwrap_root(argv[1], argv[2], seed);
	number = strtoull(argv[3], NULL, 10);
	if (from_hex(argv[4], previous, sizeof(previous)) != sizeof(previous))
		fail("no hash");
	mg_ctx_init(&ctx);
	memcpy(message, LABEL, sizeof(LABEL));
	while (fgets(line, sizeof(line), stdin) != NULL)
	{
		char *end;

		id = strtoull(line, &end, 10);
		number++;
		if (*end != '\t' || from_hex(end + 1, entry[0], sizeof(entry[0])) != sizeof(entry[0]))
			fail("a line is not an entry's number and hash");
		if (mg_chain_block(&ctx, number, previous, (const uint8_t(*)[MG_HASH_BYTES]) entry, 1, hash) != MG_OK)
			fail(ctx.message);
		p = put_number(message + sizeof(LABEL), number);
		p = put_number(p, id);
		p = put_number(p, strtoull(argv[5], NULL, 10));
		p = put_number(p, 0); /* chained when PostgreSQL's clock begins */
		memcpy(p, hash, sizeof(hash));
		if (mg_sign(&ctx, seed, message, sizeof(message), signature) != MG_OK)
			fail(ctx.message);
		printf("%llu\t{%llu}", number, id);
		put_hex(previous, sizeof(previous));
		put_hex(hash, sizeof(hash));
		put_hex(signature, sizeof(signature));
		printf("\t%llu\t%s\t2000-01-01 00:00:00+00\n", id, argv[5]);
		memcpy(previous, hash, sizeof(hash));
	}
	mg_wipe(seed, sizeof(seed));
	return 0;
}
