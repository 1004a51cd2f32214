/*
 * table/fix.c: stored forms into fine cells, fine cells into histograms and coarse codes.
 *
 * A KEY column gets its cell by binary search, a TEXT column by a table over ids, and by a hash table for hashes from
 * its side stream, which is read in step with the rows.
 */
#include <math.h>
#include <stdlib.h>

#include "table/codes.h"

mg_code
mg_codes_fix_number(mg_ctx *ctx, mg_codes *t, uint32_t col, const mg_cell *cells, uint32_t ncells)
{
	mg_code_column *c = &t->column[col];

	MG_TRY(mg_axis_of_cells(ctx, cells, ncells, &c->axis));
	c->nfine = ncells + 1;
	c->fixed = true;
	return MG_OK;
}

static size_t
label_slot(const mg_code_column *c, uint64_t hash)
{
	size_t i = (size_t) hash & c->label_mask;

	while (c->label_hash[i] != 0 && c->label_hash[i] != hash)
		i = (i + 1) & c->label_mask;
	return i;
}

uint16_t
mg_codes_fine_of_hash(const mg_code_column *c, uint64_t hash)
{
	size_t i = label_slot(c, hash);

	return c->label_hash[i] != 0 ? c->label_fine[i] : (uint16_t) (c->nfine - 2);
}

mg_code
mg_codes_fix_labels(mg_ctx *ctx, mg_codes *t, uint32_t col, const mg_label *labels, uint32_t nlabels)
{
	mg_code_column *c = &t->column[col];
	size_t slots = 16, ids = MG_TEXT_FIRST + (size_t) c->text->nids;

	while (slots < 2 * (size_t) nlabels)
		slots *= 2;
	c->label_hash = calloc(slots, sizeof(*c->label_hash));
	c->label_fine = calloc(slots, sizeof(*c->label_fine));
	c->fine_of = calloc(MG_TEXT_FIRST + (size_t) c->text->max_ids, sizeof(*c->fine_of));
	if (c->label_hash == NULL || c->label_fine == NULL || c->fine_of == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	c->label_mask = slots - 1;
	c->nfine = nlabels + 2;
	for (uint32_t i = 0; i < nlabels; i++)
	{
		uint64_t h = mg_keyed_hash(t->key, labels[i].text, labels[i].len);
		size_t slot = label_slot(c, h);

		if (c->label_hash[slot] != 0 || labels[i].len > MG_MAX_LABEL_BYTES)
			continue; /* the first of two; one too long was loaded as `other` */
		c->label_hash[slot] = h;
		c->label_fine[slot] = (uint16_t) i;
	}
	c->fine_of[MG_TEXT_NULL] = (uint16_t) (nlabels + 1);
	c->fine_of[MG_TEXT_OTHER] = c->fine_of[MG_TEXT_ESCAPE] = (uint16_t) nlabels;
	for (size_t i = MG_TEXT_FIRST; i < ids; i++)
		c->fine_of[i] = mg_codes_fine_of_hash(c, c->text->hash[i - MG_TEXT_FIRST]);
	c->fixed = true;
	return MG_OK;
}

/* ---- histograms ---- */

typedef struct histogram
{
	mg_codes *t;
	const mg_code_column *c;
	const mg_axis *axis;
	uint32_t nout, lanes;
	int64_t *out;
	uint32_t *lane; /* [lanes][nout]: at most 2^30 rows between two folds */
} histogram;

static void
histogram_task(void *arg, const mg_block *b, int lane)
{
	const histogram *h = arg;
	uint32_t *n = h->lane + (size_t) lane * h->nout;
	const void *p = mg_block_column(h->c, b);

	switch (h->c->storage)
	{
		case MG_STORE_KEY:
			for (uint32_t i = 0; i < b->rows; i++)
				n[mg_axis_cell(h->axis, ((const uint64_t *) p)[i])]++;
			break;
		case MG_STORE_TEXT:
			for (uint32_t i = 0; i < b->rows; i++)
				n[h->c->fine_of[((const uint16_t *) p)[i]]]++;
			break;
		case MG_STORE_CODE:
			if (h->c->width == 1)
				for (uint32_t i = 0; i < b->rows; i++)
					n[((const uint8_t *) p)[i]]++;
			else
				for (uint32_t i = 0; i < b->rows; i++)
					n[((const uint16_t *) p)[i]]++;
			break;
	}
}

static void
histogram_fold(void *arg)
{
	histogram *h = arg;

	for (uint32_t l = 0; l < h->lanes; l++)
		for (uint32_t i = 0; i < h->nout; i++)
			h->out[i] += h->lane[(size_t) l * h->nout + i];
	mg_zeroize(h->lane, (size_t) h->lanes * h->nout * sizeof(*h->lane));
}

/* The escaped rows only: histogram_task counted them as `other`, which is what most of them are. */
static mg_code
histogram_escapes(mg_ctx *ctx, histogram *h)
{
	mg_text *x = h->c->text;

	mg_text_rewind(x);
	for (uint64_t i = 0, n = mg_text_escapes(x); i < n; i++)
	{
		uint64_t hash;

		if (i % MG_BLOCK_ROWS == 0)
			MG_TRY(mg_poll(ctx));
		MG_TRY(mg_text_next(ctx, x, h->t->store, &hash));
		h->out[h->c->nfine - 2]--;
		h->out[mg_codes_fine_of_hash(h->c, hash)]++;
	}
	return MG_OK;
}

mg_code
mg_codes_histogram(mg_ctx *ctx, mg_codes *t, uint32_t col, const mg_axis *axis, uint32_t nout, int64_t *out)
{
	histogram h = {t, &t->column[col], axis, nout, (uint32_t) mg_pool_width(ctx->pool), out, NULL};
	mg_code code;

	if (h.axis == NULL)
		h.axis = h.c->axis;
	h.lane = calloc((size_t) h.lanes * nout, sizeof(*h.lane));
	if (h.lane == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	memset(out, 0, (size_t) nout * sizeof(*out));
	code = mg_codes_pass(ctx, t, &col, 1, ctx->pool, histogram_task, histogram_fold, &h);
	if (code == MG_OK && h.c->storage == MG_STORE_TEXT)
		code = histogram_escapes(ctx, &h);
	mg_zeroize_free(h.lane, (size_t) h.lanes * nout * sizeof(*h.lane));
	return code;
}

/* ---- recoding ---- */

typedef struct recode
{
	mg_codes *t;
	const uint16_t *const *merge;
	mg_code_column *to; /* layout after */
	uint16_t **text_of; /* [ncolumns]: stored text code -> coarse; NULL for others */
	size_t to_bytes;
	uint32_t rows;
	const uint8_t *from_base;
	uint8_t *to_base;
} recode;

static inline void
put(uint8_t *p, uint8_t width, uint32_t i, uint16_t v)
{
	if (width == 1)
		p[i] = (uint8_t) v;
	else
		((uint16_t *) (void *) p)[i] = v;
}

/* One column of one group; the escapes of text follow in recode_escapes. */
static void
recode_column(void *arg, size_t j, int lane)
{
	const recode *r = arg;
	const mg_code_column *c = &r->t->column[j];
	const void *p = r->from_base + c->offset;
	uint8_t *q = r->to_base + r->to[j].offset, w = r->to[j].width;
	const uint16_t *map = c->storage == MG_STORE_TEXT ? r->text_of[j] : r->merge[j];

	if (c->storage == MG_STORE_KEY)
		for (uint32_t i = 0; i < r->rows; i++)
			put(q, w, i, map[mg_axis_cell(c->axis, ((const uint64_t *) p)[i])]);
	else if (c->width == 1)
		for (uint32_t i = 0; i < r->rows; i++)
			put(q, w, i, map[((const uint8_t *) p)[i]]);
	else
		for (uint32_t i = 0; i < r->rows; i++)
			put(q, w, i, map[((const uint16_t *) p)[i]]);
}

static mg_code
recode_escapes(mg_ctx *ctx, const recode *r, uint32_t j)
{
	const mg_code_column *c = &r->t->column[j];
	const uint16_t *p = (const uint16_t *) (const void *) (r->from_base + c->offset);
	uint8_t *q = r->to_base + r->to[j].offset;

	for (uint32_t i = 0; i < r->rows; i++)
	{
		uint64_t hash;

		if (p[i] != MG_TEXT_ESCAPE)
			continue;
		MG_TRY(mg_text_next(ctx, c->text, r->t->store, &hash));
		put(q, r->to[j].width, i, r->merge[j][mg_codes_fine_of_hash(c, hash)]);
	}
	return MG_OK;
}

static mg_code
recode_group(mg_ctx *ctx, recode *r, const uint8_t *from, uint8_t *to, uint32_t rows)
{
	r->from_base = from;
	r->to_base = to;
	r->rows = rows;
	MG_TRY(mg_poll(ctx));
	MG_TRY(mg_pool_run(ctx, ctx->pool, recode_column, r, r->t->ncolumns));
	for (uint32_t j = 0; j < r->t->ncolumns; j++)
		if (r->t->column[j].storage == MG_STORE_TEXT && mg_text_escapes(r->t->column[j].text) > 0)
			MG_TRY(recode_escapes(ctx, r, j));
	return MG_OK;
}

/*
 * All groups, in row order. Coarse groups are no longer than fine ones, so more of them stay in memory, and in the
 * store each goes to where it or an earlier group lay that was read before.
 */
static mg_code
recode_groups(mg_ctx *ctx, recode *r, uint8_t ***groups, uint32_t *ngroups, uint64_t *nstored)
{
	mg_codes *t = r->t;
	uint64_t area = t->memory / 2 / r->to_bytes;
	uint64_t all = t->nresident + t->nstored, stored = 0;
	uint32_t most = (uint32_t) (area > UINT32_MAX ? UINT32_MAX : area > 2 ? area - 2 : 0);
	uint64_t keep = all < most ? all : most;

	if (keep < t->nresident)
		keep = t->nresident; /* what was resident stays so */
	*groups = calloc((size_t) keep + 1, sizeof(**groups));
	if (*groups == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	for (uint64_t g = 0; g < all; g++)
	{
		uint8_t *from, *to = malloc(r->to_bytes);
		mg_code code = to == NULL ? mg_fail(ctx, MG_NOMEM, "out of memory") : MG_OK;

		from = g < t->nresident ? t->resident[g] : t->scratch;
		if (code == MG_OK && g >= t->nresident)
			code = t->store->read(ctx, t->store, t->file, (g - t->nresident) * t->group_bytes, from, t->group_bytes);
		if (code == MG_OK)
			code = recode_group(ctx, r, from, to, t->group_rows);
		if (code == MG_OK && g >= keep)
			code = t->store->write(ctx, t->store, t->file, stored++ * r->to_bytes, to, r->to_bytes);
		if (code != MG_OK || g >= keep)
			mg_zeroize_free(to, to ? r->to_bytes : 0);
		else
			(*groups)[(*ngroups)++] = to;
		if (code != MG_OK)
			return code;
		if (g < t->nresident)
		{
			mg_zeroize_free(from, t->group_bytes);
			t->resident[g] = NULL;
		}
	}
	*nstored = stored;
	return MG_OK;
}

static mg_code
recode_prepare(mg_ctx *ctx, recode *r, const uint32_t *ncoarse)
{
	mg_codes *t = r->t;

	r->to = calloc(t->ncolumns, sizeof(*r->to));
	r->text_of = calloc(t->ncolumns, sizeof(*r->text_of));
	if (r->to == NULL || r->text_of == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	if (t->nstored > 0 && t->scratch == NULL && (t->scratch = malloc(t->group_bytes)) == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	for (uint32_t j = 0; j < t->ncolumns; j++)
	{
		const mg_code_column *c = &t->column[j];

		r->to[j].width = ncoarse[j] <= 256 ? 1 : 2;
		r->to[j].offset = r->to_bytes;
		r->to_bytes += (size_t) t->group_rows * r->to[j].width;
		if (c->storage != MG_STORE_TEXT)
			continue;
		mg_text_rewind(c->text);
		r->text_of[j] = calloc(MG_TEXT_FIRST + (size_t) c->text->max_ids, sizeof(**r->text_of));
		if (r->text_of[j] == NULL)
			return mg_fail(ctx, MG_NOMEM, "out of memory");
		for (size_t i = 0; i < MG_TEXT_FIRST + (size_t) c->text->nids; i++)
			r->text_of[j][i] = r->merge[j][c->fine_of[i]];
	}
	return MG_OK;
}

/* The coarse table takes the fine one's place; dictionaries, streams and labels go. */
static void
recode_adopt(mg_codes *t, const recode *r, uint8_t **groups, uint32_t ngroups, uint64_t nstored, uint8_t *last,
			 const uint32_t *ncoarse)
{
	for (uint32_t j = 0; j < t->ncolumns; j++)
	{
		mg_code_column *c = &t->column[j];

		if (c->fine_of != NULL)
			mg_zeroize_free(c->fine_of, (MG_TEXT_FIRST + (size_t) c->text->max_ids) * sizeof(*c->fine_of));
		mg_text_destroy(c->text, t->store);
		free(c->axis);
		free(c->label_hash);
		free(c->label_fine);
		c->fine_of = NULL;
		c->text = NULL;
		c->axis = NULL;
		c->label_hash = NULL;
		c->label_fine = NULL;
		c->storage = MG_STORE_CODE;
		c->ncodes = ncoarse[j];
		c->width = r->to[j].width;
		c->offset = r->to[j].offset;
		c->load = NULL;
	}
	if (t->label_file >= 0)
		t->store->close(t->store, t->label_file);
	t->label_file = -1;
	mg_zeroize_free(t->label_buffer, t->label_cap);
	t->label_buffer = NULL;
	t->label_len = t->label_cap = 0;
	mg_zeroize_free(t->last, t->group_bytes);
	mg_zeroize_free(t->scratch, t->scratch ? t->group_bytes : 0);
	free(t->resident);
	t->last = last;
	t->scratch = NULL;
	t->resident = groups;
	t->nresident = ngroups;
	t->nstored = nstored;
	t->group_bytes = r->to_bytes;
	t->recoded = true;
	t->units = false;
	if (nstored == 0 && t->file >= 0)
	{
		t->store->close(t->store, t->file);
		t->file = -1;
	}
}

mg_code
mg_codes_recode(mg_ctx *ctx, mg_codes *t, const uint16_t *const *merge, const uint32_t *ncoarse)
{
	recode r = {.t = t, .merge = merge};
	uint8_t **groups = NULL, *last = NULL;
	uint32_t ngroups = 0;
	uint64_t nstored = 0;
	mg_code code = recode_prepare(ctx, &r, ncoarse);

	if (code == MG_OK)
		code = recode_groups(ctx, &r, &groups, &ngroups, &nstored);
	if (code == MG_OK && (last = malloc(r.to_bytes)) == NULL)
		code = mg_fail(ctx, MG_NOMEM, "out of memory");
	if (code == MG_OK)
		code = recode_group(ctx, &r, t->last, last, t->last_rows);
	for (uint32_t j = 0; r.text_of != NULL && j < t->ncolumns; j++)
		free(r.text_of[j]);
	free(r.text_of);
	if (code == MG_OK)
		recode_adopt(t, &r, groups, ngroups, nstored, last, ncoarse);
	else
	{
		/* Half the groups are coarse and half are fine: nothing can be asked of this table any more. */
		for (uint32_t g = 0; g < ngroups; g++)
			mg_zeroize_free(groups[g], r.to_bytes);
		free(groups);
		mg_zeroize_free(last, last ? r.to_bytes : 0);
		t->broken = true;
	}
	free(r.to);
	return code;
}
