/*
 * base/bytes.h: writing and reading byte strings of a fixed, little-endian, portable form.
 *
 * The writer grows a malloc'ed buffer; the reader never reads past its end. Both remember the first failure, so that
 * a caller may write or read a whole record and look once.
 */
#ifndef MIRAGE_BASE_BYTES_H
#define MIRAGE_BASE_BYTES_H

#include "base/mirage.h"

typedef struct mg_writer
{
	uint8_t *data;
	size_t len, cap;
	bool failed; /* out of memory: data is NULL then */
} mg_writer;

void mg_writer_init(mg_writer *w);
void mg_writer_free(mg_writer *w); /* wipes, then frees */
void mg_put_u8(mg_writer *w, uint8_t v);
void mg_put_u16(mg_writer *w, uint16_t v);
void mg_put_u32(mg_writer *w, uint32_t v);
void mg_put_u64(mg_writer *w, uint64_t v);
void mg_put_i64(mg_writer *w, int64_t v);
void mg_put_f64(mg_writer *w, double v); /* IEEE 754 bits */
void mg_put_raw(mg_writer *w, const void *p, size_t n);
void mg_put_str(mg_writer *w, const char *s, size_t n); /* u32 length, bytes */

typedef struct mg_reader
{
	const uint8_t *data;
	size_t len, pos;
	bool failed; /* something was asked for that is not there; values read since are zero */
} mg_reader;

void mg_reader_init(mg_reader *r, const void *data, size_t len);
uint8_t mg_get_u8(mg_reader *r);
uint16_t mg_get_u16(mg_reader *r);
uint32_t mg_get_u32(mg_reader *r);
uint64_t mg_get_u64(mg_reader *r);
int64_t mg_get_i64(mg_reader *r);
double mg_get_f64(mg_reader *r);
const uint8_t *mg_get_raw(mg_reader *r, size_t n); /* into the buffer; NULL when short */
const char *mg_get_str(mg_reader *r, size_t *n);   /* into the buffer, not NUL-terminated; NULL when short */
/* A count of things that take at least `each` bytes: fails when the rest of the buffer could not hold them. */
uint32_t mg_get_count(mg_reader *r, size_t each);
size_t mg_reader_left(const mg_reader *r);

/* Text: as it is, without its NUL; and as a string of JSON: quotes, backslashes and control characters escaped, other
 * bytes (UTF-8) as they are. */
void mg_put_text(mg_writer *w, const char *s);
void mg_put_json(mg_writer *w, const char *s);

/* Bytes as text: 2 n lower-case hexadecimal digits and a NUL. */
void mg_hex(const void *p, size_t n, char *out);
/* Back: exactly 2 n digits of either case, of a text of len; false, and out undefined, for anything else. */
bool mg_unhex(const char *text, size_t len, uint8_t *out, size_t n);

#endif
