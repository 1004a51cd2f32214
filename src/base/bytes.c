/*
 * base/bytes.c: little-endian records, written and read byte by byte so that the machine's order does not matter.
 *
 * The writer owns its buffer until the caller takes it (set data to NULL after taking it). Its content may be secret:
 * growing copies into fresh memory and wipes the old. The reader owns nothing.
 */
#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
mg_writer_init(mg_writer *w)
{
	memset(w, 0, sizeof(*w));
}

void
mg_writer_free(mg_writer *w)
{
	if (w->data != NULL)
	{
		explicit_bzero(w->data, w->cap);
		free(w->data);
	}
	memset(w, 0, sizeof(*w));
}

/* Room for n more bytes, or the writer has failed for good. */
static bool
writer_room(mg_writer *w, size_t n)
{
	size_t need, cap;
	uint8_t *data;

	if (w->failed)
		return false;
	if (mg_add_size(w->len, n, &need) && need <= (size_t) PTRDIFF_MAX)
	{
		if (need <= w->cap)
			return true;
		cap = w->cap < 256 ? 256 : w->cap;
		while (cap < need)
			cap = cap > (size_t) PTRDIFF_MAX / 2 ? need : cap * 2;
		data = malloc(cap);
		if (data != NULL)
		{
			if (w->len > 0)
				memcpy(data, w->data, w->len);
			if (w->data != NULL)
			{
				explicit_bzero(w->data, w->cap);
				free(w->data);
			}
			w->data = data;
			w->cap = cap;
			return true;
		}
	}
	mg_writer_free(w);
	w->failed = true;
	return false;
}

static void
put_le(mg_writer *w, uint64_t v, size_t n)
{
	if (!writer_room(w, n))
		return;
	for (size_t i = 0; i < n; i++)
		w->data[w->len++] = (uint8_t) (v >> (8 * i));
}

void
mg_put_u8(mg_writer *w, uint8_t v)
{
	put_le(w, v, 1);
}

void
mg_put_u16(mg_writer *w, uint16_t v)
{
	put_le(w, v, 2);
}

void
mg_put_u32(mg_writer *w, uint32_t v)
{
	put_le(w, v, 4);
}

void
mg_put_u64(mg_writer *w, uint64_t v)
{
	put_le(w, v, 8);
}

void
mg_put_i64(mg_writer *w, int64_t v)
{
	put_le(w, (uint64_t) v, 8);
}

void
mg_put_f64(mg_writer *w, double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	put_le(w, bits, 8);
}

void
mg_put_raw(mg_writer *w, const void *p, size_t n)
{
	if (n == 0 || !writer_room(w, n))
		return;
	memcpy(w->data + w->len, p, n);
	w->len += n;
}

void
mg_put_str(mg_writer *w, const char *s, size_t n)
{
	if (n > UINT32_MAX)
	{
		mg_writer_free(w);
		w->failed = true;
		return;
	}
	mg_put_u32(w, (uint32_t) n);
	mg_put_raw(w, s, n);
}

void
mg_reader_init(mg_reader *r, const void *data, size_t len)
{
	r->data = data;
	r->len = len;
	r->pos = 0;
	r->failed = false;
}

size_t
mg_reader_left(const mg_reader *r)
{
	return r->failed ? 0 : r->len - r->pos;
}

const uint8_t *
mg_get_raw(mg_reader *r, size_t n)
{
	static const uint8_t nothing[1];
	const uint8_t *p;

	if (r->failed || r->len - r->pos < n)
	{
		r->failed = true;
		return NULL;
	}
	/* An empty buffer may have no address; a successful read of nothing still returns one. */
	p = r->data == NULL ? nothing : r->data + r->pos;
	r->pos += n;
	return p;
}

static uint64_t
get_le(mg_reader *r, size_t n)
{
	const uint8_t *p = mg_get_raw(r, n);
	uint64_t v = 0;

	if (p == NULL)
		return 0;
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t) p[i] << (8 * i);
	return v;
}

uint8_t
mg_get_u8(mg_reader *r)
{
	return (uint8_t) get_le(r, 1);
}

uint16_t
mg_get_u16(mg_reader *r)
{
	return (uint16_t) get_le(r, 2);
}

uint32_t
mg_get_u32(mg_reader *r)
{
	return (uint32_t) get_le(r, 4);
}

uint64_t
mg_get_u64(mg_reader *r)
{
	return get_le(r, 8);
}

int64_t
mg_get_i64(mg_reader *r)
{
	uint64_t bits = get_le(r, 8);
	int64_t v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

double
mg_get_f64(mg_reader *r)
{
	uint64_t bits = get_le(r, 8);
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

const char *
mg_get_str(mg_reader *r, size_t *n)
{
	size_t len = mg_get_u32(r);
	const uint8_t *p = mg_get_raw(r, len);

	*n = p == NULL ? 0 : len;
	return (const char *) p;
}

uint32_t
mg_get_count(mg_reader *r, size_t each)
{
	uint32_t count = mg_get_u32(r);

	if (r->failed || (each > 0 && count > mg_reader_left(r) / each))
	{
		r->failed = true;
		return 0;
	}
	return count;
}

/* ---- text ---- */

void
mg_put_text(mg_writer *w, const char *s)
{
	mg_put_raw(w, s, strlen(s));
}

void
mg_put_json(mg_writer *w, const char *s)
{
	mg_put_u8(w, '"');
	for (; *s != '\0'; s++)
	{
		char escape[8];

		if (*s == '"' || *s == '\\')
			snprintf(escape, sizeof(escape), "\\%c", *s);
		else if ((unsigned char) *s < 0x20)
			snprintf(escape, sizeof(escape), "\\u%04x", (unsigned char) *s);
		else
		{
			mg_put_u8(w, (uint8_t) *s);
			continue;
		}
		mg_put_text(w, escape);
	}
	mg_put_u8(w, '"');
}

/* ---- hexadecimal digits ---- */

void
mg_hex(const void *p, size_t n, char *out)
{
	static const char digit[] = "0123456789abcdef";
	const uint8_t *byte = p;

	for (size_t i = 0; i < n; i++)
	{
		out[2 * i] = digit[byte[i] >> 4];
		out[2 * i + 1] = digit[byte[i] & 15];
	}
	out[2 * n] = '\0';
}

/* Of ASCII, whatever the locale; -1: no digit. */
static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
mg_unhex(const char *text, size_t len, uint8_t *out, size_t n)
{
	if (len % 2 != 0 || len / 2 != n)
		return false;
	for (size_t i = 0; i < n; i++)
	{
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t) (high << 4 | low);
	}
	return true;
}
