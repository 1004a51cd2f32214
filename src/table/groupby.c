/*
 * table/groupby.c: see groupby.h.
 */
#include "table/groupby.h"

#include <stdlib.h>

#include "table/sort.h"

#define SPACE (UINT64_C(1) << 32)

typedef struct grouping
{
	mg_codes *t;
	const mg_code_column *c;
	uint64_t *value; /* [mask + 1], 0: empty */
	int64_t *count;
	size_t mask, used, limit;
	uint64_t low, high; /* the slice */
	bool full;
	int64_t *per_id; /* TEXT: exact counts of ids */
} grouping;

static inline void
group_add(grouping *g, uint64_t value, int64_t n)
{
	uint64_t m = mg_mix64(value, g->t->odd), place = m >> 32;
	size_t i;

	if (place < g->low || place >= g->high)
		return;
	for (i = (size_t) m & g->mask; g->value[i] != value; i = (i + 1) & g->mask)
	{
		if (g->value[i] != 0)
			continue;
		if (g->used == g->limit)
		{
			g->full = true;
			return;
		}
		g->used++;
		g->value[i] = value;
		break;
	}
	g->count[i] += n;
}

#define KEYS_AHEAD 32
#define CACHED_SLOTS 65536

static inline void
group_ahead(const grouping *g, uint64_t value)
{
	uint64_t m = mg_mix64(value, g->t->odd), place = m >> 32;

	if (place < g->low || place >= g->high)
		return;
	__builtin_prefetch(&g->value[(size_t) m & g->mask]);
	__builtin_prefetch(&g->count[(size_t) m & g->mask], 1);
}

static mg_code
group_keys(mg_ctx *ctx, void *arg, const mg_block *b)
{
	grouping *g = arg;
	const uint64_t *p = mg_block_column(g->c, b);

	for (uint32_t first = 0; first < b->rows && !g->full; first += KEYS_AHEAD)
	{
		uint32_t end = b->rows - first < KEYS_AHEAD ? b->rows : first + KEYS_AHEAD;

		/* A table larger than the caches: all its lines of a batch are asked for before the first is needed. */
		for (uint32_t i = first; i < end && g->mask >= CACHED_SLOTS; i++)
			group_ahead(g, p[i]);
		for (uint32_t i = first; i < end && !g->full; i++)
			if (p[i] != MG_KEY_NULL && (b->weight == NULL || b->weight[i] > 0)) /* rows of weight 0 hold no value */
				group_add(g, p[i], b->weight != NULL ? b->weight[i] : 1);
	}
	return MG_OK;
}

static mg_code
count_ids(mg_ctx *ctx, void *arg, const mg_block *b)
{
	grouping *g = arg;
	const uint16_t *p = mg_block_column(g->c, b);

	for (uint32_t i = 0; i < b->rows; i++)
		g->per_id[p[i]] += b->weight != NULL ? b->weight[i] : 1;
	return MG_OK;
}

static mg_code
group_text(mg_ctx *ctx, grouping *g)
{
	mg_text *x = g->c->text;
	uint64_t n = mg_text_escapes(x);

	for (uint32_t id = 0; id < x->nids; id++)
		if (g->per_id[MG_TEXT_FIRST + id] > 0)
			group_add(g, x->hash[id], g->per_id[MG_TEXT_FIRST + id]);
	mg_text_rewind(x);
	for (uint64_t i = 0; i < n && !g->full; i++)
	{
		uint64_t hash;

		if (i % MG_BLOCK_ROWS == 0)
			MG_TRY(mg_poll(ctx));
		MG_TRY(mg_text_next(ctx, x, g->t->store, &hash));
		group_add(g, hash, 1);
	}
	return MG_OK;
}

/* Moves what was counted to the front, hands it over, empties the table. */
static mg_code
hand_over(mg_ctx *ctx, grouping *g, mg_groups_step each, void *arg)
{
	size_t n = 0;

	for (size_t i = 0; i <= g->mask; i++)
		if (g->value[i] != 0)
		{
			g->value[n] = g->value[i];
			g->count[n++] = g->count[i];
		}
	return n > 0 ? each(ctx, arg, g->value, g->count, n) : MG_OK;
}

/*
 * What was expected is the number of rows, what came may be far fewer values, and hashes spread them evenly: the next
 * slice is as wide as lets it fill three quarters of the table at most.
 */
static uint64_t
next_width(const grouping *g, uint64_t width)
{
	if (g->used <= g->limit / 32)
		width *= 16;
	else if (g->used <= g->limit / 8)
		width *= 4;
	else if (g->used <= g->limit / 8 * 3)
		width *= 2;
	return width < SPACE ? width : SPACE;
}

static mg_code
group_slices(mg_ctx *ctx, grouping *g, uint32_t col, uint64_t expected, mg_groups_step each, void *arg)
{
	uint64_t width = SPACE / (1 + expected / (g->limit / 4 * 3)) + 1;

	for (g->low = 0; g->low < SPACE; g->low = g->high)
	{
		for (;;)
		{
			mg_zeroize(g->value, (g->mask + 1) * sizeof(*g->value));
			mg_zeroize(g->count, (g->mask + 1) * sizeof(*g->count));
			g->used = 0;
			g->full = false;
			g->high = g->low + width < SPACE ? g->low + width : SPACE;
			if (g->c->storage == MG_STORE_TEXT)
				MG_TRY(group_text(ctx, g));
			else
				MG_TRY(mg_codes_pass_in_order(ctx, g->t, &col, 1, group_keys, g));
			if (!g->full)
				break;
			if (width < 2)
				return mg_fail(ctx, MG_INTERNAL, "a partition of one point does not fit the table");
			width /= 2;
		}
		MG_TRY(hand_over(ctx, g, each, arg));
		width = next_width(g, width);
	}
	return MG_OK;
}

mg_code
mg_codes_groupby(mg_ctx *ctx, mg_codes *t, uint32_t col, size_t memory, mg_groups_step each, void *arg)
{
	grouping g = {.t = t, .c = &t->column[col]};
	size_t slots = 256, ids = 0;
	uint64_t expected = mg_codes_rows_held(t);
	mg_code code = MG_OK;

	while (slots * 2 * 16 <= memory)
		slots *= 2;
	g.value = malloc(slots * sizeof(*g.value));
	g.count = malloc(slots * sizeof(*g.count));
	if (g.c->storage == MG_STORE_TEXT)
	{
		ids = MG_TEXT_FIRST + (size_t) g.c->text->max_ids;
		g.per_id = calloc(ids, sizeof(*g.per_id));
		expected = mg_text_escapes(g.c->text) + g.c->text->nids;
	}
	/* What is asked for depends on `memory` alone; how much of it has to be cleared each time, on what may be in it. */
	g.mask = slots - 1;
	while (g.mask > 255 && g.mask / 8 > expected)
		g.mask /= 2;
	g.limit = (g.mask + 1) / 2;
	if (g.value == NULL || g.count == NULL || (ids > 0 && g.per_id == NULL))
		code = mg_fail(ctx, MG_NOMEM, "out of memory");
	if (code == MG_OK && ids > 0)
		code = mg_codes_pass_in_order(ctx, t, &col, 1, count_ids, &g);
	if (code == MG_OK)
		code = group_slices(ctx, &g, col, expected, each, arg);
	mg_zeroize_free(g.value, g.value ? (g.mask + 1) * sizeof(*g.value) : 0);
	mg_zeroize_free(g.count, g.count ? (g.mask + 1) * sizeof(*g.count) : 0);
	mg_zeroize_free(g.per_id, ids * sizeof(*g.per_id));
	return code;
}

/* ---- distinct units ---- */

#define VALUES_AT_ONCE 4096

typedef struct pairing
{
	mg_codes *t;
	const mg_code_column *c, *units;
	mg_sort *sort; /* of (value, unit) */
	mg_groups_step each;
	void *arg;
	uint64_t *value; /* [VALUES_AT_ONCE] */
	int64_t *count;
	size_t n;
} pairing;

static mg_code
pair_keys(mg_ctx *ctx, void *arg, const mg_block *b)
{
	pairing *g = arg;
	const uint64_t *p = mg_block_column(g->c, b), *unit = mg_block_column(g->units, b);

	for (uint32_t i = 0; i < b->rows; i++)
		if (p[i] != MG_KEY_NULL)
			MG_TRY(mg_sort_add(ctx, g->sort, (const uint64_t[]){p[i], unit[i]}));
	return MG_OK;
}

static mg_code
pair_text(mg_ctx *ctx, void *arg, const mg_block *b)
{
	pairing *g = arg;
	const uint16_t *p = mg_block_column(g->c, b);
	const uint64_t *unit = mg_block_column(g->units, b);

	for (uint32_t i = 0; i < b->rows; i++)
	{
		uint64_t hash;

		if (p[i] == MG_TEXT_ESCAPE)
			MG_TRY(mg_text_next(ctx, g->c->text, g->t->store, &hash));
		else if (p[i] >= MG_TEXT_FIRST)
			hash = g->c->text->hash[p[i] - MG_TEXT_FIRST];
		else
			continue;
		MG_TRY(mg_sort_add(ctx, g->sort, (const uint64_t[]){hash, unit[i]}));
	}
	return MG_OK;
}

static mg_code
give_values(mg_ctx *ctx, pairing *g)
{
	size_t n = g->n;

	g->n = 0;
	return n > 0 ? g->each(ctx, g->arg, g->value, g->count, n) : MG_OK;
}

static mg_code
count_pairs(mg_ctx *ctx, pairing *g)
{
	uint64_t last[2] = {0, 0}; /* no value is 0 */
	const uint64_t *r;

	MG_TRY(mg_sort_finish(ctx, g->sort));
	for (;;)
	{
		MG_TRY(mg_sort_next(ctx, g->sort, &r));
		if (r == NULL)
			return give_values(ctx, g);
		if (r[0] == last[0] && r[1] == last[1])
			continue;
		if (r[0] != last[0])
		{
			if (g->n == VALUES_AT_ONCE)
				MG_TRY(give_values(ctx, g));
			g->value[g->n] = r[0];
			g->count[g->n++] = 0;
		}
		g->count[g->n - 1]++;
		last[0] = r[0];
		last[1] = r[1];
	}
}

static mg_code
units_by_sort(mg_ctx *ctx, pairing *g, uint32_t col, size_t memory)
{
	const uint32_t cols[2] = {col, g->t->ncolumns};
	bool text = g->c->storage == MG_STORE_TEXT;
	mg_code code = mg_sort_create(ctx, 2, memory, g->t->store, &g->sort);

	if (code == MG_OK && text)
		mg_text_rewind(g->c->text);
	if (code == MG_OK)
		code = mg_codes_pass_in_order(ctx, g->t, cols, 2, text ? pair_text : pair_keys, g);
	if (code == MG_OK)
		code = count_pairs(ctx, g);
	mg_sort_destroy(g->sort);
	return code;
}

/* A bit for each pair of an id and a unit; ids first .. first + some - 1 in one pass. */
typedef struct bits
{
	const mg_code_column *c, *units;
	uint8_t *seen; /* [some][stride] */
	size_t stride;
	uint32_t first, some;
	int64_t *count; /* [some] */
} bits;

#define MOST_BIT_PASSES 4

static mg_code
see_pairs(mg_ctx *ctx, void *arg, const mg_block *b)
{
	bits *s = arg;
	const uint16_t *p = mg_block_column(s->c, b);
	const uint64_t *unit = mg_block_column(s->units, b);

	for (uint32_t i = 0; i < b->rows; i++)
	{
		uint32_t id = (uint32_t) p[i] - MG_TEXT_FIRST - s->first; /* what is no id wraps around */
		uint8_t *byte, bit;

		if (id >= s->some)
			continue;
		byte = s->seen + id * s->stride + unit[i] / 8;
		bit = (uint8_t) (1u << (unit[i] % 8));
		s->count[id] += (*byte & bit) == 0;
		*byte |= bit;
	}
	return MG_OK;
}

static mg_code
units_by_bits(mg_ctx *ctx, pairing *g, uint32_t col, bits *s, uint32_t at_once)
{
	const mg_text *x = g->c->text;
	const uint32_t cols[2] = {col, g->t->ncolumns};

	for (s->first = 0; s->first < x->nids; s->first += s->some)
	{
		s->some = x->nids - s->first < at_once ? x->nids - s->first : at_once;
		memset(s->seen, 0, s->some * s->stride);
		memset(s->count, 0, s->some * sizeof(*s->count));
		MG_TRY(mg_codes_pass_in_order(ctx, g->t, cols, 2, see_pairs, s));
		for (uint32_t id = 0; id < s->some; id++)
		{
			if (s->count[id] == 0)
				continue;
			if (g->n == VALUES_AT_ONCE)
				MG_TRY(give_values(ctx, g));
			g->value[g->n] = x->hash[s->first + id];
			g->count[g->n++] = s->count[id];
		}
	}
	return give_values(ctx, g);
}

mg_code
mg_codes_groupby_units(mg_ctx *ctx, mg_codes *t, uint32_t col, size_t memory, mg_groups_step each, void *arg)
{
	pairing g = {.t = t, .c = &t->column[col], .units = &t->column[t->ncolumns], .each = each, .arg = arg};
	bits s = {.c = g.c, .units = g.units, .stride = (size_t) (t->nunits / 8 + 1)};
	size_t ids = g.c->storage == MG_STORE_TEXT ? g.c->text->max_ids : 0, at_once = 0;
	mg_code code = MG_OK;

	if (ids > 0 && mg_text_escapes(g.c->text) == 0)
		at_once = memory / s.stride < ids ? memory / s.stride : ids;
	/* What is asked for depends on the memory and the column alone. */
	g.value = malloc(VALUES_AT_ONCE * sizeof(*g.value));
	g.count = malloc(VALUES_AT_ONCE * sizeof(*g.count));
	s.count = malloc((ids + 1) * sizeof(*s.count));
	if (g.value == NULL || g.count == NULL || s.count == NULL)
		code = mg_fail(ctx, MG_NOMEM, "out of memory");
	if (code == MG_OK && at_once > 0 && g.c->text->nids <= MOST_BIT_PASSES * at_once)
	{
		s.seen = malloc(memory);
		code = s.seen != NULL ? units_by_bits(ctx, &g, col, &s, (uint32_t) at_once)
							  : mg_fail(ctx, MG_NOMEM, "out of memory");
		mg_zeroize_free(s.seen, s.seen ? s.stride * (g.c->text->nids < at_once ? g.c->text->nids : at_once) : 0);
	}
	else if (code == MG_OK)
		code = units_by_sort(ctx, &g, col, memory);
	mg_zeroize_free(g.value, g.value ? VALUES_AT_ONCE * sizeof(*g.value) : 0);
	mg_zeroize_free(g.count, g.count ? VALUES_AT_ONCE * sizeof(*g.count) : 0);
	mg_zeroize_free(s.count, s.count ? (ids + 1) * sizeof(*s.count) : 0);
	return code;
}

/* ---- from hashes back to labels ---- */

typedef struct finding
{
	const uint64_t *hash;
	uint32_t *slot; /* 1 + index of a hash still looked for; 0: empty */
	bool *done;
	size_t mask, left;
	mg_label_found found;
	void *arg;
} finding;

static mg_code
find_record(mg_ctx *ctx, finding *f, uint64_t hash, const char *s, size_t len)
{
	for (size_t i = (size_t) hash & f->mask; f->slot[i] != 0; i = (i + 1) & f->mask)
	{
		size_t k = f->slot[i] - 1;

		if (f->hash[k] != hash)
			continue;
		if (f->done[k])
			return MG_OK;
		f->done[k] = true;
		f->left--;
		return f->found(ctx, f->arg, k, s, len);
	}
	return MG_OK;
}

/* All whole records of p[0..n-1]; *used: their length. */
static mg_code
find_records(mg_ctx *ctx, finding *f, const uint8_t *p, size_t n, size_t *used)
{
	size_t at = 0;

	while (n - at >= 10)
	{
		uint64_t hash;
		uint16_t len;

		memcpy(&hash, p + at, 8);
		memcpy(&len, p + at + 8, 2);
		if (n - at - 10 < len)
			break;
		MG_TRY(find_record(ctx, f, hash, (const char *) p + at + 10, len));
		at += 10 + (size_t) len;
	}
	*used = at;
	return MG_OK;
}

static mg_code
scan_label_file(mg_ctx *ctx, mg_codes *t, finding *f)
{
	enum
	{
		CHUNK = 65536
	}; /* a record is far shorter */
	uint8_t *buffer = malloc(CHUNK);
	uint64_t at = 0;
	mg_code code = MG_OK;

	if (buffer == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	while (code == MG_OK && f->left > 0 && at < t->label_written)
	{
		size_t n = t->label_written - at < CHUNK ? (size_t) (t->label_written - at) : CHUNK, used = 0;

		code = mg_poll(ctx);
		if (code == MG_OK)
			code = t->store->read(ctx, t->store, t->label_file, at, buffer, n);
		if (code == MG_OK)
			code = find_records(ctx, f, buffer, n, &used);
		if (code == MG_OK && used == 0)
			code = mg_fail(ctx, MG_INTERNAL, "the label file does not end with a record");
		at += used;
	}
	mg_zeroize_free(buffer, CHUNK);
	return code;
}

static mg_code
find_all(mg_ctx *ctx, mg_codes *t, uint32_t col, finding *f, size_t n)
{
	const mg_text *x = t->column[col].text;
	size_t used;

	for (size_t k = 0; k < n; k++)
	{
		size_t i = (size_t) f->hash[k] & f->mask;
		int32_t id = mg_text_find(x, f->hash[k]);

		while (f->slot[i] != 0)
			i = (i + 1) & f->mask;
		f->slot[i] = (uint32_t) k + 1;
		if (id >= 0)
			MG_TRY(find_record(ctx, f, f->hash[k], x->bytes + x->start[id], x->len[id]));
	}
	if (f->left > 0 && t->label_len > 0)
		MG_TRY(find_records(ctx, f, t->label_buffer, t->label_len, &used));
	if (f->left > 0)
		MG_TRY(scan_label_file(ctx, t, f));
	return f->left == 0 ? MG_OK : mg_fail(ctx, MG_INTERNAL, "a released label has no bytes");
}

mg_code
mg_codes_labels(mg_ctx *ctx, mg_codes *t, uint32_t col, const uint64_t *hash, size_t n, mg_label_found found, void *arg)
{
	finding f = {.hash = hash, .left = n, .found = found, .arg = arg};
	size_t slots = 16;
	mg_code code;

	while (slots < 2 * n)
		slots *= 2;
	f.mask = slots - 1;
	f.slot = calloc(slots, sizeof(*f.slot));
	f.done = calloc(n > 0 ? n : 1, sizeof(*f.done));
	if (f.slot == NULL || f.done == NULL)
		code = mg_fail(ctx, MG_NOMEM, "out of memory");
	else
		code = find_all(ctx, t, col, &f, n);
	free(f.slot);
	free(f.done);
	return code;
}
