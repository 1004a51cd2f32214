/*
 * table/load.c: rows into codes. Hot: a call a value. Values never fail; what can (the store, memory) fails in
 * mg_codes_load_row, which has the ctx.
 */
#include <math.h>

#include "table/codes.h"

static inline void
put_code(const mg_code_column *c, uint32_t row, uint32_t code)
{
	if (c->width == 1)
		c->load[row] = (uint8_t) code;
	else
		((uint16_t *) (void *) c->load)[row] = (uint16_t) code;
}

static inline void
put_key(const mg_code_column *c, uint32_t row, uint64_t key)
{
	((uint64_t *) (void *) c->load)[row] = key;
}

void
mg_codes_load_null(mg_codes *t, uint32_t col)
{
	const mg_code_column *c;

	if (col >= t->nloading)
		return;
	c = &t->column[col];
	if (c->width == 8)
		put_key(c, t->last_rows, MG_KEY_NULL);
	else
		put_code(c, t->last_rows, c->null_code);
}

void
mg_codes_load_number(mg_codes *t, uint32_t col, double v)
{
	const mg_code_column *c;

	if (col >= t->nloading)
		return;
	c = &t->column[col];
	if (c->kind != MG_NUMBER || !isfinite(v))
	{
		mg_codes_load_null(t, col);
		return;
	}
	if (c->clamped)
		v = v < c->lower ? c->lower : v > c->upper ? c->upper : v;
	if (c->width == 8)
		put_key(c, t->last_rows, mg_key_of(v));
	else
	{
		/* v is in range, so the quotient is in 0 .. null_code - 1/2; rounding up at the very end must not reach NULL.
		 */
		double steps = v - c->lower;
		uint32_t k;

		if (c->step != 1) /* most are, and a division is the dearest thing here */
			steps /= c->step;
		k = (uint32_t) (steps + 0.5);
		put_code(c, t->last_rows, k < c->null_code ? k : c->null_code - 1u);
	}
}

void
mg_codes_load_code(mg_codes *t, uint32_t col, uint32_t code)
{
	const mg_code_column *c;

	if (col >= t->nloading)
		return;
	c = &t->column[col];
	if (c->kind != MG_CATEGORY)
		mg_codes_load_null(t, col);
	else
		put_code(c, t->last_rows, c->storage == MG_STORE_CODE && code < c->other_code ? code : c->other_code);
}

/* An open label that the dictionary has no id for. */
static uint32_t
load_escape(mg_codes *t, uint32_t col, uint64_t hash, const char *s, size_t len)
{
	mg_text *x = t->column[col].text;

	if (x->row_slot != 0)
	{
		t->misused = true;
		return MG_TEXT_OTHER;
	}
	t->escape[t->nescape].col = col;
	t->escape[t->nescape].hash = hash;
	x->row_slot = ++t->nescape;
	if (mg_text_unseen(x, hash))
	{
		uint8_t *p = t->label_buffer + t->label_len;
		uint16_t n = (uint16_t) len;

		/* The column is not written: the hash of a label is the same in all of them. */
		memcpy(p, &hash, 8);
		memcpy(p + 8, &n, 2);
		memcpy(p + 10, s, len);
		t->label_len += 10 + len;
	}
	return MG_TEXT_ESCAPE;
}

/* Not in the cache: by the keyed hash. Returns the code; *lasting: the same text has it in every later row. */
static uint32_t
load_text_slow(mg_codes *t, uint32_t col, const char *s, size_t len, bool *lasting)
{
	mg_code_column *c = &t->column[col];
	uint64_t hash;
	int32_t id;

	*lasting = true;
	if (!c->text->open)
	{
		id = mg_text_lookup(c->text, s, len);
		return id < 0 ? c->other_code : (uint32_t) id;
	}
	if (len > MG_MAX_LABEL_BYTES)
		return MG_TEXT_OTHER;
	hash = mg_keyed_hash(t->key, s, len);
	id = mg_text_admit(c->text, hash, s, len);
	if (id >= 0)
		return MG_TEXT_FIRST + (uint32_t) id;
	*lasting = false;
	return load_escape(t, col, hash, s, len);
}

void
mg_codes_load_text(mg_codes *t, uint32_t col, const char *s, size_t len)
{
	mg_code_column *c;
	mg_text_cache *e;
	uint64_t w[3];
	uint32_t code;
	bool lasting;

	if (col >= t->nloading)
		return;
	c = &t->column[col];
	if (c->text == NULL)
	{
		mg_codes_load_null(t, col);
		return;
	}
	if (len > MG_CACHE_TEXT)
	{
		put_code(c, t->last_rows, load_text_slow(t, col, s, len, &lasting));
		return;
	}
	mg_text_words(s, len, w);
	e = mg_text_cached(c->text, w, len);
	if (e->len == len && e->word[0] == w[0] && e->word[1] == w[1] && e->word[2] == w[2])
	{
		put_code(c, t->last_rows, e->code);
		return;
	}
	code = load_text_slow(t, col, s, len, &lasting);
	put_code(c, t->last_rows, code);
	if (lasting)
	{
		memcpy(e->word, w, sizeof(w));
		e->len = (uint32_t) len;
		e->code = code;
	}
}

static mg_code
flush_labels(mg_ctx *ctx, mg_codes *t)
{
	if (t->label_len == 0)
		return MG_OK;
	if (t->store == NULL)
		return mg_fail(ctx, MG_IO, "there is no store for what does not fit the memory");
	if (t->label_file < 0)
		MG_TRY(t->store->open(ctx, t->store, &t->label_file));
	MG_TRY(t->store->write(ctx, t->store, t->label_file, t->label_written, t->label_buffer, t->label_len));
	t->label_written += t->label_len;
	t->label_len = 0;
	return MG_OK;
}

/* The row's escapes go to their side streams, unless a later call of the same row put something else there. */
static mg_code
keep_escapes(mg_ctx *ctx, mg_codes *t)
{
	for (uint32_t i = 0; i < t->nescape; i++)
	{
		mg_code_column *c = &t->column[t->escape[i].col];

		c->text->row_slot = 0;
		if (((const uint16_t *) (const void *) c->load)[t->last_rows] != MG_TEXT_ESCAPE)
			continue;
		MG_TRY(mg_text_room(ctx, c->text, t->store));
		mg_text_append(c->text, t->escape[i].hash);
	}
	t->nescape = 0;
	if (t->misused)
		return mg_fail(ctx, MG_INVALID, "a text column was loaded twice in a row");
	if (t->label_len >= t->label_flush)
		return flush_labels(ctx, t);
	return MG_OK;
}

/*
 * What the row holds, as bytes that are the same exactly for rows with the same cells: what is stored, but of an open
 * text its hash where the dictionary's id, or an escape, stands for it.
 */
size_t
mg_codes_row_content(const mg_codes *t, uint8_t *out)
{
	uint8_t *p = out;

	for (uint32_t j = 0; j < t->ncolumns; j++)
	{
		const mg_code_column *c = &t->column[j];
		const uint8_t *cell = c->load + (size_t) t->last_rows * c->width;
		uint16_t code;

		if (c->width == 1)
			*p++ = *cell;
		else if (c->width == 8)
		{
			memcpy(p, cell, 8);
			p += 8;
		}
		else
		{
			memcpy(&code, cell, 2);
			if (c->storage == MG_STORE_TEXT && code >= MG_TEXT_ESCAPE)
			{
				const uint64_t *hash = code == MG_TEXT_ESCAPE ? &t->escape[c->text->row_slot - 1].hash
															  : &c->text->hash[code - MG_TEXT_FIRST];

				code = MG_TEXT_ESCAPE; /* before the hash: from the first byte on it is known how long a cell is */
				memcpy(p + 2, hash, 8);
				memcpy(p, &code, 2);
				p += 10;
				continue;
			}
			memcpy(p, &code, 2);
			p += 2;
		}
	}
	return (size_t) (p - out);
}

mg_code
mg_codes_load_row(mg_ctx *ctx, mg_codes *t)
{
	if (t->nescape > 0)
		MG_TRY(keep_escapes(ctx, t));
	t->rows++;
	if (++t->last_rows % MG_STRIPE_ROWS != 0)
		return MG_OK;
	MG_TRY(mg_poll(ctx));
	if (t->last_rows == t->group_rows)
		MG_TRY(mg_codes_group_full(ctx, t));
	mg_codes_fill_null(t, t->last_rows);
	return MG_OK;
}

mg_code
mg_codes_load_finish(mg_ctx *ctx, mg_codes *t)
{
	/* Values of a row that was never completed are dropped: its escapes with it. */
	t->nescape = 0;
	t->nloading = 0;
	for (uint32_t j = 0; j < t->ncolumns; j++)
		if (t->column[j].text != NULL)
			MG_TRY(mg_text_finish(ctx, t->column[j].text));
	return mg_codes_pack_finish(ctx, t);
}
