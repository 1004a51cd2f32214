/*
 * seal/encode.c: base58, numbers as RFC 8785 wants them, public keys as Multikey and PEM. Nothing allocates.
 */
#include "seal/encode.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- base58 */

static const char base58[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

void
mg_base58_encode(const uint8_t *p, size_t n, char *out)
{
	size_t room = mg_base58_size(n) - 1, zeros = 0, used = 0, begin;
	uint8_t *digit =
		(uint8_t *) out; /* the last `used` of room places hold the number so far, most significant first */

	while (zeros < n && p[zeros] == 0)
		zeros++;
	memset(out, 0, room + 1);
	for (size_t i = zeros; i < n; i++)
	{
		unsigned carry = p[i];
		size_t place = 0;

		for (; carry > 0 || place < used; place++)
		{
			carry += 256u * digit[room - 1 - place];
			digit[room - 1 - place] = (uint8_t) (carry % 58);
			carry /= 58;
		}
		used = place;
	}
	begin = room - used;
	memmove(out + zeros, out + begin, used);
	memset(out, 0, zeros);
	for (size_t i = 0; i < zeros + used; i++)
		out[i] = base58[digit[i]];
	out[zeros + used] = '\0';
}

bool
mg_base58_decode(const char *text, uint8_t *out, size_t n)
{
	size_t zeros = 0, used = 0, len = strlen(text);

	while (text[zeros] == '1')
		zeros++;
	if (zeros > n || len > mg_base58_size(n))
		return false;
	memset(out, 0, n);
	for (size_t i = zeros; i < len; i++)
	{
		const char *at = strchr(base58, text[i]);
		unsigned carry;
		size_t place = 0;

		if (at == NULL)
			return false;
		carry = (unsigned) (at - base58);
		for (; carry > 0 || place < used; place++)
		{
			if (place >= n)
				return false;
			carry += 58u * out[n - 1 - place];
			out[n - 1 - place] = (uint8_t) (carry & 255);
			carry >>= 8;
		}
		used = place;
	}
	return zeros + used == n;
}

/* ---------------------------------------------------------------- numbers */

/* The next larger number of as many digits ("d.ddde+x"), unless that needs another exponent. */
static bool
next_decimal(char *text)
{
	char *s = strchr(text, 'e') - 1;

	for (; s >= text; s--)
	{
		if (*s == '.')
			continue;
		if (*s != '9')
		{
			++*s;
			return true;
		}
		*s = '0';
	}
	return false;
}

/*
 * The fewest digits that read back as v > 0, the closest of those: "ddd", without a point; the value is
 * 0.ddd * 10^*point. The closest decimal of a length need not read back where a longer way up would: above a power of
 * two doubles are twice as far apart as below it.
 */
static size_t
shortest_digits(double v, char digits[24], int *point)
{
	char text[40];
	size_t n = 0;

	for (int precision = 0; precision < 17; precision++)
	{
		snprintf(text, sizeof(text), "%.*e", precision, v);
		if (strtod(text, NULL) == v || (next_decimal(text) && strtod(text, NULL) == v))
			break;
	}
	*point = atoi(strchr(text, 'e') + 1) + 1;
	for (const char *s = text; *s != 'e'; s++)
		if (*s >= '0' && *s <= '9')
			digits[n++] = *s;
	while (n > 1 && digits[n - 1] == '0')
		n--;
	digits[n] = '\0';
	return n;
}

/* ECMA-262, Number::toString, radix 10. */
bool
mg_json_number(double v, char out[MG_JSON_NUMBER_SIZE])
{
	char digits[24];
	int point, n;
	const char *sign = v < 0 ? "-" : "";

	if (!isfinite(v))
		return false;
	if (v == 0)
	{
		strcpy(out, "0"); /* minus zero too */
		return true;
	}
	n = (int) shortest_digits(fabs(v), digits, &point);
	if (n <= point && point <= 21)
		snprintf(out, MG_JSON_NUMBER_SIZE, "%s%s%.*s", sign, digits, point - n, "000000000000000000000");
	else if (0 < point && point <= 21)
		snprintf(out, MG_JSON_NUMBER_SIZE, "%s%.*s.%s", sign, point, digits, digits + point);
	else if (-6 < point && point <= 0)
		snprintf(out, MG_JSON_NUMBER_SIZE, "%s0.%.*s%s", sign, -point, "000000", digits);
	else
		snprintf(out, MG_JSON_NUMBER_SIZE, "%s%.1s%s%se%c%d", sign, digits, n > 1 ? "." : "", digits + 1,
				 point > 0 ? '+' : '-', abs(point - 1));
	return true;
}

/* ---------------------------------------------------------------- public keys */

static const uint8_t multicodec[2] = {0xed, 0x01};
/* SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING of 32 bytes }: what stands before the key */
static const uint8_t spki[12] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
static const char pem_begin[] = "-----BEGIN PUBLIC KEY-----", pem_end[] = "-----END PUBLIC KEY-----";
static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#define SPKI_BYTES (sizeof(spki) + 32)
#define SPKI_DIGITS 60 /* of base64; the last is padding */

void
mg_multikey(const uint8_t pub[32], char out[MG_MULTIKEY_SIZE])
{
	uint8_t key[sizeof(multicodec) + 32];

	memcpy(key, multicodec, sizeof(multicodec));
	memcpy(key + sizeof(multicodec), pub, 32);
	out[0] = 'z';
	mg_base58_encode(key, sizeof(key), out + 1);
}

static void
spki_base64(const uint8_t pub[32], char out[SPKI_DIGITS + 1])
{
	uint8_t der[SPKI_BYTES + 1] = {0};

	memcpy(der, spki, sizeof(spki));
	memcpy(der + sizeof(spki), pub, 32);
	for (size_t i = 0; i < SPKI_DIGITS / 4; i++)
	{
		unsigned three = (unsigned) der[3 * i] << 16 | (unsigned) der[3 * i + 1] << 8 | der[3 * i + 2];

		for (int j = 0; j < 4; j++)
			out[4 * i + (size_t) j] = base64[three >> (18 - 6 * j) & 63];
	}
	out[SPKI_DIGITS - 1] = '=';
	out[SPKI_DIGITS] = '\0';
}

void
mg_public_pem(const uint8_t pub[32], char out[MG_PEM_SIZE])
{
	char body[SPKI_DIGITS + 1];

	spki_base64(pub, body);
	snprintf(out, MG_PEM_SIZE, "%s\n%s\n%s\n", pem_begin, body, pem_end);
}

static int
digit_of(const char *alphabet, char c)
{
	const char *at = c == '\0' ? NULL : strchr(alphabet, c);

	return at == NULL ? -1 : (int) (at - alphabet);
}

/* The digits between the lines of a PEM text, which must be just those that the key would be written as. */
static bool
parse_pem(const char *text, uint8_t pub[32])
{
	char body[SPKI_DIGITS + 1], again[SPKI_DIGITS + 1];
	uint8_t der[SPKI_BYTES + 1];
	const char *end = strstr(text, pem_end);
	size_t n = 0;

	if (strncmp(text, pem_begin, sizeof(pem_begin) - 1) != 0 || end == NULL)
		return false;
	for (const char *s = text + sizeof(pem_begin) - 1; s < end; s++)
		if (!isspace((unsigned char) *s))
		{
			if (n >= SPKI_DIGITS)
				return false;
			body[n++] = *s;
		}
	if (n != SPKI_DIGITS)
		return false;
	body[n] = '\0';
	for (size_t i = 0; i < SPKI_DIGITS / 4; i++)
	{
		unsigned three = 0;

		for (size_t j = 0; j < 4; j++)
		{
			int d = digit_of(base64, body[4 * i + j]);

			three = three << 6 | (unsigned) (d < 0 ? 0 : d);
		}
		der[3 * i] = (uint8_t) (three >> 16);
		der[3 * i + 1] = (uint8_t) (three >> 8);
		der[3 * i + 2] = (uint8_t) three;
	}
	memcpy(pub, der + sizeof(spki), 32);
	spki_base64(pub, again);
	for (end += sizeof(pem_end) - 1; isspace((unsigned char) *end); end++)
		;
	return strcmp(body, again) == 0 && *end == '\0';
}

bool
mg_public_parse(const char *text, uint8_t pub[32])
{
	uint8_t key[sizeof(multicodec) + 32];

	while (isspace((unsigned char) *text))
		text++;
	if (text[0] == 'z')
	{
		if (!mg_base58_decode(text + 1, key, sizeof(key)) || memcmp(key, multicodec, sizeof(multicodec)) != 0)
			return false;
		memcpy(pub, key + sizeof(multicodec), 32);
		return true;
	}
	return text[0] == '-' ? parse_pem(text, pub) : mg_unhex(text, strlen(text), pub, 32);
}
