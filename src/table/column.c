/*
 * table/column.c: a learnt column as bytes, and back with every claim of domain.h checked.
 */
#include <math.h>

#include "table/domain.h"

#define FLAG_NULLABLE 1
#define FLAG_OPEN 2
#define FLAG_OTHER 4
#define FLAG_OTHER_LABEL 8

static size_t
length_of(const char *s)
{
	return s == NULL ? 0 : __builtin_strlen(s);
}

void
mg_column_write(mg_writer *w, const mg_column *c)
{
	const mg_domain *d = &c->domain;

	mg_put_str(w, d->name, length_of(d->name));
	mg_put_u8(w, (uint8_t) d->kind);
	mg_put_u8(w, (uint8_t) ((d->nullable ? FLAG_NULLABLE : 0) | (d->open ? FLAG_OPEN : 0) |
							(d->has_other ? FLAG_OTHER : 0) | (d->other != NULL ? FLAG_OTHER_LABEL : 0)));
	mg_put_u32(w, d->kind == MG_CATEGORY ? d->nlabels : 0);
	for (uint32_t i = 0; d->kind == MG_CATEGORY && i < d->nlabels; i++)
		mg_put_str(w, d->labels[i].text, d->labels[i].len);
	if (d->other != NULL)
		mg_put_str(w, d->other, length_of(d->other));
	mg_put_f64(w, d->lower);
	mg_put_f64(w, d->upper);
	mg_put_f64(w, d->step);
	mg_put_u32(w, d->bins);

	mg_put_u32(w, c->nfine);
	for (uint32_t i = 0; d->kind == MG_NUMBER && i + 1 < c->nfine; i++)
	{
		mg_put_f64(w, c->cells[i].lower);
		mg_put_f64(w, c->cells[i].upper);
	}
	for (uint32_t i = 0; i < c->nfine; i++)
	{
		mg_put_f64(w, c->fine[i]);
		mg_put_u16(w, c->merge[i]);
	}
	mg_put_u32(w, c->ncoarse);
	mg_put_f64(w, c->total);
	for (uint32_t i = 0; i < c->ncoarse; i++)
	{
		mg_put_f64(w, c->coarse[i]);
		mg_put_f64(w, c->coarse_var[i]);
	}
}

static mg_code
damaged(mg_ctx *ctx, const char *what)
{
	return mg_fail(ctx, MG_CORRUPT, "a column of the model has damaged %s", what);
}

/* A string without NUL bytes, copied into the arena. */
static mg_code
read_text(mg_ctx *ctx, mg_arena *a, mg_reader *r, const char **out, uint32_t *len)
{
	size_t n = 0;
	const char *s = mg_get_str(r, &n);

	if (s == NULL || n > UINT32_MAX || (n > 0 && __builtin_memchr(s, 0, n) != NULL))
		return damaged(ctx, "text");
	*out = mg_arena_strndup(a, s, n);
	if (*out == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	*len = (uint32_t) n;
	return MG_OK;
}

static mg_code
read_domain(mg_ctx *ctx, mg_arena *a, mg_reader *r, mg_domain *d)
{
	uint32_t len;
	uint8_t kind, flags;

	MG_TRY(read_text(ctx, a, r, &d->name, &len));
	kind = mg_get_u8(r);
	flags = mg_get_u8(r);
	if (r->failed || kind > MG_NUMBER || flags > 15)
		return damaged(ctx, "kind");
	d->kind = (mg_kind) kind;
	d->nullable = (flags & FLAG_NULLABLE) != 0;
	d->open = (flags & FLAG_OPEN) != 0;
	d->has_other = (flags & FLAG_OTHER) != 0;
	d->nlabels = mg_get_count(r, 4);
	if (r->failed || d->nlabels > MG_MAX_LABELS || (d->kind == MG_NUMBER && (d->nlabels > 0 || flags > 3)))
		return damaged(ctx, "labels");
	if (d->nlabels > 0)
	{
		mg_label *labels;

		MG_NEW(ctx, a, labels, d->nlabels);
		for (uint32_t i = 0; i < d->nlabels; i++)
			MG_TRY(read_text(ctx, a, r, &labels[i].text, &labels[i].len));
		d->labels = labels;
	}
	if (flags & FLAG_OTHER_LABEL)
		MG_TRY(read_text(ctx, a, r, &d->other, &len));
	d->lower = mg_get_f64(r);
	d->upper = mg_get_f64(r);
	d->step = mg_get_f64(r);
	d->bins = mg_get_u32(r);
	if (r->failed || (d->kind == MG_NUMBER && !(d->lower <= d->upper && d->step >= 0 && d->step < HUGE_VAL)))
		return damaged(ctx, "range");
	return MG_OK;
}

static mg_code
read_fine(mg_ctx *ctx, mg_arena *a, mg_reader *r, mg_column *c)
{
	bool number = c->domain.kind == MG_NUMBER;
	mg_cell *cells;
	double *fine;
	uint16_t *merge;

	c->nfine = mg_get_count(r, number ? 10 : 10);
	if (r->failed || (number ? c->nfine < 2 || c->nfine > MG_MAX_CELLS + 1 : c->nfine != c->domain.nlabels + 2))
		return damaged(ctx, "cells");
	if (number)
	{
		MG_NEW(ctx, a, cells, c->nfine - 1);
		for (uint32_t i = 0; i + 1 < c->nfine; i++)
		{
			cells[i].lower = mg_get_f64(r);
			cells[i].upper = mg_get_f64(r);
			if (!isfinite(cells[i].lower) || !isfinite(cells[i].upper) || cells[i].lower > cells[i].upper ||
				(i > 0 && cells[i - 1].upper > cells[i].lower))
				return damaged(ctx, "cells");
		}
		c->cells = cells;
	}
	MG_NEW(ctx, a, fine, c->nfine);
	MG_NEW(ctx, a, merge, c->nfine);
	for (uint32_t i = 0; i < c->nfine; i++)
	{
		fine[i] = mg_get_f64(r);
		merge[i] = mg_get_u16(r);
		if (!isfinite(fine[i]) || fine[i] < 0)
			return damaged(ctx, "masses");
	}
	c->fine = fine;
	c->merge = merge;
	return r->failed ? damaged(ctx, "cells") : MG_OK;
}

static mg_code
read_coarse(mg_ctx *ctx, mg_arena *a, mg_reader *r, mg_column *c)
{
	double *coarse, *variance;

	c->ncoarse = mg_get_u32(r);
	c->total = mg_get_f64(r);
	if (r->failed || c->ncoarse < 1 || c->ncoarse > 65535 || mg_reader_left(r) / 16 < c->ncoarse || !isfinite(c->total))
		return damaged(ctx, "codes");
	for (uint32_t i = 0; i < c->nfine; i++)
	{
		bool null_cell = i == c->nfine - 1;

		/* The code of NULL, where there is one, is the last and holds nothing else. */
		if (c->merge[i] >= c->ncoarse || (c->domain.nullable && (c->merge[i] == c->ncoarse - 1) != null_cell))
			return damaged(ctx, "codes");
	}
	MG_NEW(ctx, a, coarse, c->ncoarse);
	MG_NEW(ctx, a, variance, c->ncoarse);
	for (uint32_t i = 0; i < c->ncoarse; i++)
	{
		coarse[i] = mg_get_f64(r);
		variance[i] = mg_get_f64(r);
		if (!isfinite(coarse[i]) || !isfinite(variance[i]) || variance[i] < 0)
			return damaged(ctx, "measurements");
	}
	c->coarse = coarse;
	c->coarse_var = variance;
	return r->failed ? damaged(ctx, "measurements") : MG_OK;
}

mg_code
mg_column_read(mg_ctx *ctx, mg_arena *a, mg_reader *r, mg_column *out)
{
	mg_column c = {.nfine = 0};

	MG_TRY(read_domain(ctx, a, r, &c.domain));
	MG_TRY(read_fine(ctx, a, r, &c));
	MG_TRY(read_coarse(ctx, a, r, &c));
	*out = c;
	return MG_OK;
}
