/*
 * catalog/head.c: signed heads of the log.
 *
 * A head names the log's last block by number and hash, and through the chain everything before it. Kept where whoever
 * holds the database cannot reach, it shows a rewind later: the block is missing, or is another. Signed, it also shows
 * that it is a head that this log gave out: nobody without the log's key can make one up to accuse an honest operator.
 *
 * The form, one line of ASCII without blanks:
 *
 *   pg_mirage-head-1;number;hash;time;database;signature
 *
 * hash and signature in hexadecimal digits, the time in UTC (ISO 8601), the database as system identifier and OID. The
 * signature is Ed25519, by the root "log" (dp_public_key('log')), over the bytes before the last semicolon.
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/head.h"
#include "pgtime.h"
#include "utils/timestamp.h"

#define LABEL "pg_mirage-head-1"
#define DIGITS "0123456789"

void
mg_head_plain(int64 number, const uint8 hash[MG_HASH_BYTES], char out[MG_HEAD_SIZE])
{
	int n = snprintf(out, MG_HEAD_SIZE, INT64_FORMAT ":", number);

	mg_hex(hash, MG_HASH_BYTES, out + n);
}

static bool
take_number(const char *text, size_t len, int64 *number)
{
	if (len == 0 || len > 18 || strspn(text, DIGITS) < len)
		return false;
	*number = strtoll(text, NULL, 10);
	return true;
}

/* The field that begins at *s, up to `end`, and *s behind it; false where there is none. */
static bool
take_field(const char **s, char end, const char **field, size_t *len)
{
	const char *stop = strchr(*s, end);

	if (stop == NULL)
		return false;
	*field = *s;
	*len = (size_t) (stop - *s);
	*s = end == '\0' ? stop : stop + 1;
	return true;
}

static bool
parse_signed(const char *text, MgHead *head)
{
	const char *s = text + strlen(LABEL ";"), *field;
	size_t len;

	if (!take_field(&s, ';', &field, &len) || !take_number(field, len, &head->number) ||
		!take_field(&s, ';', &field, &len) || !mg_unhex(field, len, head->hash, MG_HASH_BYTES) ||
		!take_field(&s, ';', &field, &len) || !take_field(&s, ';', &field, &len))
		return false;
	head->statement = pnstrdup(text, (Size) (s - 1 - text));
	return take_field(&s, '\0', &field, &len) && mg_unhex(field, len, head->signature, MG_SIGNATURE_BYTES);
}

bool
mg_head_parse(const char *text, MgHead *head)
{
	const char *s = text, *field;
	size_t len;

	memset(head, 0, sizeof(*head));
	if (strlen(text) >= MG_HEAD_TEXT_MAX)
		return false;
	if (strncmp(text, LABEL ";", strlen(LABEL ";")) == 0)
		return parse_signed(text, head);
	return take_field(&s, ':', &field, &len) && take_number(field, len, &head->number) &&
		   take_field(&s, '\0', &field, &len) && mg_unhex(field, len, head->hash, MG_HASH_BYTES);
}

bool
mg_head_genuine(const MgHead *head, const uint8 *pub)
{
	bool ok = false;
	mg_ctx ctx;

	if (head->statement == NULL)
		return true;
	if (pub == NULL)
		return false;
	mg_ctx_init(&ctx);
	MG_CHECK(&ctx, mg_verify(&ctx, pub, head->statement, strlen(head->statement), head->signature, &ok));
	return ok;
}

static char *
utc_now(void)
{
	pg_time_t now = timestamptz_to_time_t(GetCurrentTimestamp());
	char text[64];

	pg_strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", pg_gmtime(&now));
	return pstrdup(text);
}

/* Number and hash of the last block. */
static int64
last_block(uint8 hash[MG_HASH_BYTES])
{
	bytea *last = NULL;
	int64 number = 0;
	MgQuery q;

	mg_query_begin(&q);
	if (mg_query_run(&q, true, "SELECT number, hash FROM mirage.log_block ORDER BY number DESC LIMIT 1", 0, NULL) > 0)
	{
		number = mg_get_int8(0, 1);
		last = (bytea *) mg_get_varlena(&q, 0, 2);
	}
	mg_query_end(&q);
	if (last == NULL || VARSIZE_ANY_EXHDR(last) != MG_HASH_BYTES)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("the head of the audit log is damaged"),
						errhint("Call dp_verify_audit(), and restore the tables mirage.log and mirage.log_block.")));
	memcpy(hash, VARDATA_ANY(last), MG_HASH_BYTES);
	return number;
}

char *
mg_head_signed(void)
{
	uint8 hash[MG_HASH_BYTES], seed[MG_KEY_BYTES], signature[MG_SIGNATURE_BYTES];
	char digits[2 * MG_HASH_BYTES + 1], hex[2 * MG_SIGNATURE_BYTES + 1], *statement;
	int64 number = last_block(hash);
	mg_ctx ctx;
	mg_code code;

	mg_hex(hash, MG_HASH_BYTES, digits);
	statement = psprintf(LABEL ";" INT64_FORMAT ";%s;%s;%s", number, digits, utc_now(), mg_database_identity());
	mg_root_key("log", seed, false);
	mg_ctx_init(&ctx);
	code = mg_sign(&ctx, seed, statement, strlen(statement), signature);
	mg_wipe(seed, sizeof(seed));
	MG_CHECK(&ctx, code);
	mg_hex(signature, sizeof(signature), hex);
	return psprintf("%s;%s", statement, hex);
}
