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

/* The fine cell of an escaped hash. */
static uint16_t
fine_of_hash(const mg_code_column *c, uint64_t hash)
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
		c->fine_of[i] = fine_of_hash(c, c->text->hash[i - MG_TEXT_FIRST]);
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
	uint32_t *lane; /* [lanes][nout]: fewer than 2^32 rows between two folds */
} histogram;

/* cell: of row i. */
#define COUNT_CELLS(cell)                          \
	do                                             \
	{                                              \
		if (b->weight == NULL)                     \
			for (uint32_t i = 0; i < b->rows; i++) \
				n[cell]++;                         \
		else                                       \
			for (uint32_t i = 0; i < b->rows; i++) \
				n[cell] += b->weight[i];           \
	} while (0)

static void
histogram_task(void *arg, const mg_block *b, int lane)
{
	const histogram *h = arg;
	uint32_t *n = h->lane + (size_t) lane * h->nout;
	const void *p = mg_block_column(h->c, b);

	if (h->c->storage == MG_STORE_KEY)
		COUNT_CELLS(mg_axis_cell(h->axis, ((const uint64_t *) p)[i]));
	else if (h->c->storage == MG_STORE_TEXT)
		COUNT_CELLS(h->c->fine_of[((const uint16_t *) p)[i]]);
	else if (h->c->width == 1)
		COUNT_CELLS(((const uint8_t *) p)[i]);
	else
		COUNT_CELLS(((const uint16_t *) p)[i]);
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
		h->out[fine_of_hash(h->c, hash)]++;
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

	/* what comes of it */
	mg_pack *pack; /* takes the coarse rows; NULL: it does not pay any more */
	uint8_t **groups;
	uint16_t **weights;
	uint64_t keep; /* groups that stay in memory, the first ones */
	uint32_t ngroups;
	uint64_t nstored;
	uint8_t *last;
	uint16_t *last_weight;
	uint32_t last_rows;
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
		put(q, r->to[j].width, i, r->merge[j][fine_of_hash(c, hash)]);
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

/* A coarse group and its weights take their place; the caller's no longer, whatever comes. */
static mg_code
place_coarse(mg_ctx *ctx, recode *r, uint8_t *to, uint16_t *weight)
{
	mg_codes *t = r->t;
	mg_code code;

	if (r->ngroups < r->keep)
	{
		r->weights[r->ngroups] = weight;
		r->groups[r->ngroups++] = to;
		return MG_OK;
	}
	/* Only groups that were read from the store come here: fewer than were resident fit no memory. None has weights. */
	code = weight == NULL ? t->store->write(ctx, t->store, t->file, r->nstored++ * r->to_bytes, to, r->to_bytes)
						  : mg_fail(ctx, MG_INTERNAL, "a packed group does not fit the memory");
	mg_zeroize_free(to, r->to_bytes);
	mg_codes_free_weights(weight, t->group_rows);
	return code;
}

/* n packed rows from `first` on; the rest of the group has weight 0. */
static mg_code
unpack_coarse(mg_ctx *ctx, const recode *r, uint64_t first, uint64_t n, uint8_t **to, uint16_t **weight)
{
	*to = calloc(1, r->to_bytes);
	if (*to == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	MG_TRY(mg_codes_new_weights(ctx, r->t->group_rows, weight));
	mg_pack_get(r->pack, first, (uint32_t) n, *to, *weight);
	return MG_OK;
}

/* Packed rows become groups; at the end of the table those that do not fill one become the last, partial group. */
static mg_code
unpack_all(mg_ctx *ctx, recode *r, bool at_end)
{
	const uint32_t rows = r->t->group_rows;

	for (uint64_t first = 0, left; (left = mg_pack_rows(r->pack) - first) > 0; first += left)
	{
		uint8_t *to = NULL;
		uint16_t *weight = NULL;
		mg_code code;

		left = left < rows ? left : rows;
		code = unpack_coarse(ctx, r, first, left, &to, &weight);
		if (code == MG_OK && at_end && left < rows)
		{
			r->last = to;
			r->last_weight = weight;
			r->last_rows = (uint32_t) left;
			continue;
		}
		if (code == MG_OK)
			code = place_coarse(ctx, r, to, weight);
		else
		{
			mg_zeroize_free(to, to ? r->to_bytes : 0);
			mg_codes_free_weights(weight, rows);
		}
		MG_TRY(code);
	}
	mg_pack_destroy(r->pack);
	r->pack = NULL;
	return MG_OK;
}

/* One group: recoded, and packed or placed. *weight is taken over. */
static mg_code
recode_one(mg_ctx *ctx, recode *r, const uint8_t *from, uint16_t **weight)
{
	uint8_t *to = malloc(r->to_bytes);
	mg_code code = to == NULL ? mg_fail(ctx, MG_NOMEM, "out of memory") : MG_OK;

	if (code == MG_OK)
		code = recode_group(ctx, r, from, to, r->t->group_rows);
	if (code == MG_OK && r->pack != NULL && !mg_pack_pays(r->pack))
		code = unpack_all(ctx, r, false);
	if (code == MG_OK && r->pack == NULL)
	{
		uint16_t *taken = *weight;

		*weight = NULL;
		return place_coarse(ctx, r, to, taken);
	}
	if (code == MG_OK)
		mg_pack_add(r->pack, to, r->t->group_rows, *weight);
	mg_zeroize_free(to, to ? r->to_bytes : 0);
	mg_codes_free_weights(*weight, r->t->group_rows);
	*weight = NULL;
	return code;
}

/*
 * All groups, in row order. Coarse groups are no longer than fine ones, so more of them stay in memory, and in the
 * store each goes to where it or an earlier group lay that was read before.
 */
static mg_code
recode_groups(mg_ctx *ctx, recode *r)
{
	mg_codes *t = r->t;
	uint64_t all = t->nresident + t->nstored;

	for (uint64_t g = 0; g < all; g++)
	{
		bool resident = g < t->nresident;
		uint16_t *none = NULL, **weight = resident ? &t->weight[g] : &none;
		uint8_t *from = resident ? t->resident[g] : t->scratch;

		if (!resident)
			MG_TRY(t->store->read(ctx, t->store, t->file, (g - t->nresident) * t->group_bytes, from, t->group_bytes));
		MG_TRY(recode_one(ctx, r, from, weight));
		if (resident)
		{
			mg_zeroize_free(from, t->group_bytes);
			t->resident[g] = NULL;
		}
	}
	return MG_OK;
}

static mg_code
recode_last(mg_ctx *ctx, recode *r)
{
	mg_codes *t = r->t;

	r->last = malloc(r->to_bytes);
	if (r->last == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	r->last_rows = t->last_rows;
	MG_TRY(recode_group(ctx, r, t->last, r->last, t->last_rows));
	if (r->pack == NULL || !mg_pack_pays(r->pack) || (mg_pack_rows(r->pack) == 0 && t->last_weight == NULL))
	{
		r->last_weight = t->last_weight;
		t->last_weight = NULL;
		return r->pack != NULL ? unpack_all(ctx, r, false) : MG_OK;
	}
	mg_pack_add(r->pack, r->last, t->last_rows, t->last_weight);
	r->last_rows = 0;
	if (mg_pack_rows(r->pack) % t->group_rows != 0)
	{
		mg_zeroize_free(r->last, r->to_bytes);
		r->last = NULL;
	}
	return unpack_all(ctx, r, true);
}

/* How many coarse groups stay in memory, the lists of them, and the pack, for which a part of the table may be taken in
 * vain: what it may save is most of all that follows. */
static mg_code
recode_room(mg_ctx *ctx, recode *r)
{
	mg_codes *t = r->t;
	uint64_t area = t->memory / 2 / r->to_bytes, all = t->nresident + t->nstored;
	uint32_t most = (uint32_t) (area > UINT32_MAX ? UINT32_MAX : area > 2 ? area - 2 : 0);
	mg_pack_column *column;
	mg_code code;

	r->keep = all < most ? all : most;
	if (r->keep < t->nresident)
		r->keep = t->nresident; /* what was resident stays so */
	r->groups = calloc((size_t) r->keep + 1, sizeof(*r->groups));
	r->weights = calloc((size_t) r->keep + 1, sizeof(*r->weights));
	column = calloc(t->ncolumns, sizeof(*column));
	code = !r->groups || !r->weights || !column ? mg_fail(ctx, MG_NOMEM, "out of memory") : MG_OK;
	if (code == MG_OK)
	{
		for (uint32_t j = 0; j < t->ncolumns; j++)
			column[j] = (mg_pack_column){r->to[j].offset, r->to[j].width};
		code = mg_pack_create(ctx, column, t->ncolumns, t->group_rows, (uint64_t) most * t->group_rows, t->memory / 4,
							  t->odd, (uint32_t) (all / 16 < 1000 ? 2 + all / 16 : 1000), &r->pack);
	}
	free(column);
	return code;
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
	return recode_room(ctx, r);
}

/* The coarse table takes the fine one's place; dictionaries, streams and labels go. */
static void
recode_adopt(mg_codes *t, const recode *r, const uint32_t *ncoarse)
{
	for (uint32_t j = 0; j < t->ncolumns; j++)
	{
		mg_code_column *c = &t->column[j];

		mg_codes_drop_fine(t, c);
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
	free(t->weight);
	mg_codes_free_weights(t->last_weight, t->group_rows);
	t->last = r->last;
	t->last_rows = r->last_rows;
	t->last_weight = r->last_weight;
	t->scratch = NULL;
	t->resident = r->groups;
	t->weight = r->weights;
	t->nresident = r->ngroups;
	t->nstored = r->nstored;
	t->group_bytes = r->to_bytes;
	t->recoded = true;
	t->units = false;
	if (t->nstored == 0 && t->file >= 0)
	{
		t->store->close(t->store, t->file);
		t->file = -1;
	}
}

mg_code
mg_codes_recode(mg_ctx *ctx, mg_codes *t, const uint16_t *const *merge, const uint32_t *ncoarse)
{
	recode r = {.t = t, .merge = merge};
	mg_code code = recode_prepare(ctx, &r, ncoarse);

	if (code == MG_OK)
		code = recode_groups(ctx, &r);
	if (code == MG_OK)
		code = recode_last(ctx, &r);
	for (uint32_t j = 0; r.text_of != NULL && j < t->ncolumns; j++)
		free(r.text_of[j]);
	free(r.text_of);
	mg_pack_destroy(r.pack);
	if (code == MG_OK)
		recode_adopt(t, &r, ncoarse);
	else
	{
		/* Half the groups are coarse and half are fine: nothing can be asked of this table any more. */
		for (uint32_t g = 0; g < r.ngroups; g++)
		{
			mg_zeroize_free(r.groups[g], r.to_bytes);
			mg_codes_free_weights(r.weights[g], t->group_rows);
		}
		free(r.groups);
		free(r.weights);
		mg_zeroize_free(r.last, r.last ? r.to_bytes : 0);
		mg_codes_free_weights(r.last_weight, t->group_rows);
		t->broken = true;
	}
	free(r.to);
	return code;
}
