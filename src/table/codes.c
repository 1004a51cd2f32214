/*
 * table/codes.c: the code table's memory: making it, moving full groups to the store, passes over all rows.
 */
#include "table/codes.h"

#include <math.h>
#include <stdlib.h>

#define LABEL_BUFFER 65536
#define LOAD_PATIENCE 2 /* groups of mostly new rows; how many are to come is not known while loading */

/* The column's form from public facts; its text is made later, when the memory for each is known. */
static mg_code
column_init(mg_ctx *ctx, mg_code_column *c, const mg_domain *d, uint32_t j)
{
	c->kind = d->kind;
	c->nullable = d->nullable;
	if (d->kind == MG_CATEGORY)
	{
		if (d->open)
		{
			c->storage = MG_STORE_TEXT;
			c->width = 2;
			c->null_code = MG_TEXT_NULL;
			c->other_code = MG_TEXT_OTHER;
			return MG_OK;
		}
		if (d->nlabels > MG_MAX_LABELS || (d->nlabels > 0 && d->labels == NULL))
			return mg_fail(ctx, MG_INVALID, "column %u has more than %d labels", j + 1, MG_MAX_LABELS);
		c->storage = MG_STORE_CODE;
		c->nfine = d->nlabels + 2;
		c->other_code = (uint16_t) d->nlabels;
		c->null_code = (uint16_t) (d->nlabels + 1);
	}
	else if (d->kind == MG_NUMBER)
	{
		double steps;

		if (isnan(d->lower) || isnan(d->upper) || !(d->lower <= d->upper) || !(d->step >= 0) || isinf(d->step) ||
			(!d->open && (isinf(d->lower) || isinf(d->upper))))
			return mg_fail(ctx, MG_INVALID, "the range of column %u is not one", j + 1);
		c->lower = d->lower + 0.0;
		c->upper = d->upper + 0.0;
		c->step = d->step;
		c->clamped = !d->open;
		steps = d->step > 0 ? floor((d->upper - d->lower) / d->step + 0.5) + 1 : HUGE_VAL;
		if (d->open || !(steps <= MG_MAX_CELLS))
		{
			c->storage = MG_STORE_KEY;
			c->width = 8;
			return MG_OK;
		}
		c->storage = MG_STORE_CODE;
		c->nfine = (uint32_t) steps + 1;
		c->null_code = c->other_code = (uint16_t) steps;
	}
	else
		return mg_fail(ctx, MG_INVALID, "column %u is of no known kind", j + 1);
	c->fixed = true;
	c->width = c->nfine <= 256 ? 1 : 2;
	return MG_OK;
}

/* Offsets of the arrays; each begins on a cache line. */
static size_t
layout(mg_code_column *column, uint32_t ncolumns, uint32_t group_rows)
{
	size_t bytes = 0;

	for (uint32_t j = 0; j < ncolumns; j++)
	{
		column[j].offset = bytes;
		bytes +=
			(size_t) group_rows * column[j].width; /* at most 1600 * 2^16 * 8, and group_rows is a power of two >= 64 */
	}
	return bytes;
}

/*
 * Half of the memory is for groups: the one being loaded, one to read stored groups into, one more while recoding,
 * the rest resident.
 */
static mg_code
size_groups(mg_ctx *ctx, mg_codes *t)
{
	size_t area = t->memory / 2;

	t->group_rows = MG_GROUP_ROWS;
	t->group_bytes = layout(t->column, t->ncolumns + t->units, t->group_rows);
	while (t->group_bytes > area / 4 && t->group_rows > MG_GROUP_ROWS_LEAST)
	{
		t->group_rows /= 2;
		t->group_bytes = layout(t->column, t->ncolumns + t->units, t->group_rows);
	}
	if (t->group_bytes > area / 3)
	{
		mg_fail(ctx, MG_NOMEM, "%zu bytes of memory are too few for %u columns", t->memory, t->ncolumns);
		return mg_hint(ctx, "allow more memory, or train on fewer columns");
	}
	t->max_resident = (uint32_t) (area / t->group_bytes > UINT32_MAX ? UINT32_MAX : area / t->group_bytes - 3);
	return MG_OK;
}

static mg_code
create_texts(mg_ctx *ctx, mg_codes *t, const mg_domain *columns)
{
	uint32_t ids = MG_TEXT_MAX_IDS;

	for (uint32_t j = 0; j < t->ncolumns; j++)
		t->ntext += t->column[j].storage == MG_STORE_TEXT;
	if (t->ntext > 0)
		while (ids > 64 && (size_t) ids * MG_TEXT_ENTRY_BYTES > t->memory / 4 / t->ntext)
			ids /= 2;
	for (uint32_t j = 0; j < t->ncolumns; j++)
	{
		mg_code_column *c = &t->column[j];

		if (c->kind != MG_CATEGORY)
			continue;
		if (c->storage == MG_STORE_TEXT)
			MG_TRY(mg_text_create_open(ctx, t->key, ids, &c->text));
		else
			MG_TRY(mg_text_create_closed(ctx, t->key, columns[j].labels, columns[j].nlabels, &c->text));
	}
	if (t->ntext == 0)
		return MG_OK;
	/* A row adds at most one label a column; the buffer is flushed between rows. */
	t->label_flush = LABEL_BUFFER;
	t->label_cap = LABEL_BUFFER + (size_t) t->ntext * (MG_MAX_LABEL_BYTES + 10);
	t->label_buffer = malloc(t->label_cap);
	t->escape = calloc(t->ntext, sizeof(*t->escape));
	if (t->label_buffer == NULL || t->escape == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	return MG_OK;
}

static mg_code
codes_init(mg_ctx *ctx, mg_codes *t, const mg_domain *columns)
{
	t->column = calloc((size_t) t->ncolumns + 1, sizeof(*t->column));
	if (t->column == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	for (uint32_t j = 0; j < t->ncolumns; j++)
		MG_TRY(column_init(ctx, &t->column[j], &columns[j], j));
	t->column[t->ncolumns].storage = MG_STORE_KEY;
	t->column[t->ncolumns].width = 8;
	MG_TRY(size_groups(ctx, t));
	MG_TRY(create_texts(ctx, t, columns));
	t->last = malloc(t->group_bytes);
	if (t->last == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	for (uint32_t j = 0; j < t->ncolumns + t->units; j++)
		t->column[j].load = t->last + t->column[j].offset;
	mg_codes_fill_null(t, 0);
	t->nloading = t->ncolumns;
	return MG_OK;
}

static mg_code
codes_create(mg_ctx *ctx, const mg_domain *columns, uint32_t ncolumns, const uint8_t key[MG_HASH_KEY_BYTES + 8],
			 bool units, mg_store *store, size_t memory, mg_codes **out)
{
	mg_codes *t;
	mg_code code;

	if (ncolumns == 0 || ncolumns > MG_MAX_COLUMNS)
		return mg_fail(ctx, MG_INVALID, "a code table has 1 to %d columns", MG_MAX_COLUMNS);
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	t->ncolumns = ncolumns;
	t->units = units;
	t->store = store;
	t->memory = memory;
	t->file = t->label_file = -1;
	memcpy(t->key, key, MG_HASH_KEY_BYTES);
	memcpy(&t->odd, key + MG_HASH_KEY_BYTES, sizeof(t->odd));
	t->odd |= 1;
	code = codes_init(ctx, t, columns);
	if (code != MG_OK)
	{
		mg_codes_destroy(t);
		return code;
	}
	*out = t;
	return MG_OK;
}

mg_code
mg_codes_create(mg_ctx *ctx, const mg_domain *columns, uint32_t ncolumns, const uint8_t key[MG_HASH_KEY_BYTES + 8],
				mg_store *store, size_t memory, mg_codes **out)
{
	return codes_create(ctx, columns, ncolumns, key, false, store, memory, out);
}

mg_code
mg_codes_create_with_units(mg_ctx *ctx, const mg_domain *columns, uint32_t ncolumns,
						   const uint8_t key[MG_HASH_KEY_BYTES + 8], mg_store *store, size_t memory, mg_codes **out)
{
	return codes_create(ctx, columns, ncolumns, key, true, store, memory, out);
}

void
mg_codes_drop_fine(mg_codes *t, mg_code_column *c)
{
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
}

void
mg_codes_destroy(mg_codes *t)
{
	if (t == NULL)
		return;
	for (uint32_t j = 0; t->column != NULL && j < t->ncolumns; j++)
		mg_codes_drop_fine(t, &t->column[j]);
	for (uint32_t g = 0; g < t->nresident; g++)
	{
		mg_zeroize_free(t->resident[g], t->group_bytes);
		mg_codes_free_weights(t->weight[g], t->group_rows);
	}
	free(t->resident);
	free(t->weight);
	mg_codes_free_weights(t->last_weight, t->group_rows);
	mg_pack_destroy(t->pack);
	mg_zeroize_free(t->last, t->last ? t->group_bytes : 0);
	mg_zeroize_free(t->scratch, t->scratch ? t->group_bytes : 0);
	mg_zeroize_free(t->label_buffer, t->label_cap);
	mg_zeroize_free(t->escape, t->ntext * sizeof(*t->escape));
	if (t->file >= 0)
		t->store->close(t->store, t->file);
	if (t->label_file >= 0)
		t->store->close(t->store, t->label_file);
	mg_zeroize_free(t->column, t->column ? ((size_t) t->ncolumns + 1) * sizeof(*t->column) : 0);
	mg_zeroize_free(t, sizeof(*t));
}

void
mg_codes_fill_null(mg_codes *t, uint32_t first)
{
	for (uint32_t j = 0; j < t->ncolumns + t->units; j++)
	{
		const mg_code_column *c = &t->column[j];
		uint8_t *p = c->load + (size_t) first * c->width;

		if (c->width == 8)
			memset(p, 0xff, (size_t) MG_STRIPE_ROWS * 8);
		else if (c->width == 1)
			memset(p, c->null_code, MG_STRIPE_ROWS);
		else
			for (uint32_t i = 0; i < MG_STRIPE_ROWS; i++)
				((uint16_t *) (void *) p)[i] = c->null_code;
	}
}

/* ---- full groups ---- */

/* Makes room for one more resident group. The lists grow with the groups, up to max_resident. */
static mg_code
room_for_resident(mg_ctx *ctx, mg_codes *t)
{
	size_t n = t->nresident, room = n == 0 ? 1 : 2 * n;
	uint8_t **list;
	uint16_t **weight;

	if ((n & (n - 1)) != 0)
		return MG_OK;
	list = realloc(t->resident, room * sizeof(*list));
	if (list != NULL)
		t->resident = list;
	weight = realloc(t->weight, room * sizeof(*weight));
	if (weight != NULL)
		t->weight = weight;
	return list == NULL || weight == NULL ? mg_fail(ctx, MG_NOMEM, "out of memory") : MG_OK;
}

static mg_code
add_resident(mg_ctx *ctx, mg_codes *t, uint8_t *group, uint16_t *weight)
{
	MG_TRY(room_for_resident(ctx, t));
	t->weight[t->nresident] = weight;
	t->resident[t->nresident++] = group;
	return MG_OK;
}

mg_code
mg_codes_new_weights(mg_ctx *ctx, uint32_t n, uint16_t **out)
{
	*out = calloc(n, sizeof(**out));
	return *out != NULL ? MG_OK : mg_fail(ctx, MG_NOMEM, "out of memory");
}

void
mg_codes_free_weights(uint16_t *weight, uint32_t n)
{
	mg_zeroize_free(weight, weight ? n * sizeof(*weight) : 0);
}

mg_code
mg_codes_pack(mg_ctx *ctx, mg_codes *t)
{
	mg_pack_column *column = calloc(t->ncolumns, sizeof(*column));
	mg_code code;

	if (column == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	for (uint32_t j = 0; j < t->ncolumns; j++)
		column[j] = (mg_pack_column){t->column[j].offset, t->column[j].width};
	code = mg_pack_create(ctx, column, t->ncolumns, t->group_rows, (uint64_t) t->max_resident * t->group_rows,
						  t->memory / 4, t->odd, LOAD_PATIENCE, &t->pack);
	free(column);
	return code;
}

/* Escapes lie in side streams in the order of rows: rows with one cannot be packed. */
static bool
any_escape(const mg_codes *t)
{
	for (uint32_t j = 0; j < t->ncolumns; j++)
		if (t->column[j].storage == MG_STORE_TEXT && mg_text_escapes(t->column[j].text) > 0)
			return true;
	return false;
}

/* Packed rows from `first` on, as a resident group; where they do not fill it, rows of weight 0 do. */
static mg_code
unpack_group(mg_ctx *ctx, mg_codes *t, uint64_t first)
{
	uint64_t left = mg_pack_rows(t->pack) - first;
	uint8_t *group = left >= t->group_rows ? malloc(t->group_bytes) : calloc(1, t->group_bytes);
	uint16_t *weight = NULL;
	mg_code code = group == NULL ? mg_fail(ctx, MG_NOMEM, "out of memory") : MG_OK;

	if (code == MG_OK)
		code = mg_codes_new_weights(ctx, t->group_rows, &weight);
	if (code == MG_OK)
	{
		mg_pack_get(t->pack, first, left < t->group_rows ? (uint32_t) left : t->group_rows, group, weight);
		code = add_resident(ctx, t, group, weight);
	}
	if (code != MG_OK)
	{
		mg_zeroize_free(group, group ? t->group_bytes : 0);
		mg_codes_free_weights(weight, t->group_rows);
	}
	return code;
}

/* Packing ends while rows are still loaded: what it took becomes resident groups. */
static mg_code
pack_stop(mg_ctx *ctx, mg_codes *t)
{
	for (uint64_t first = 0; first < mg_pack_rows(t->pack); first += t->group_rows)
		MG_TRY(unpack_group(ctx, t, first));
	mg_pack_destroy(t->pack);
	t->pack = NULL;
	return MG_OK;
}

static mg_code
pack_finish(mg_ctx *ctx, mg_codes *t)
{
	uint64_t first = 0;

	/* A table of less than a group, or a last part with escapes, stays as it is. */
	if (mg_pack_rows(t->pack) == 0 || !mg_pack_pays(t->pack) || any_escape(t))
		return pack_stop(ctx, t);
	mg_pack_add(t->pack, t->last, t->last_rows, NULL);
	t->last_rows = 0;
	for (; mg_pack_rows(t->pack) - first >= t->group_rows; first += t->group_rows)
		MG_TRY(unpack_group(ctx, t, first));
	MG_TRY(mg_codes_new_weights(ctx, t->group_rows, &t->last_weight));
	t->last_rows = (uint32_t) (mg_pack_rows(t->pack) - first);
	mg_pack_get(t->pack, first, t->last_rows, t->last, t->last_weight);
	mg_pack_destroy(t->pack);
	t->pack = NULL;
	return MG_OK;
}

mg_code
mg_codes_pack_finish(mg_ctx *ctx, mg_codes *t)
{
	mg_code code = t->pack != NULL ? pack_finish(ctx, t) : MG_OK;

	if (code != MG_OK)
		t->broken = true; /* rows are missing */
	return code;
}

mg_code
mg_codes_group_full(mg_ctx *ctx, mg_codes *t)
{
	if (t->pack != NULL)
	{
		if (mg_pack_pays(t->pack) && !any_escape(t))
		{
			mg_pack_add(t->pack, t->last, t->group_rows, NULL);
			t->last_rows = 0;
			return MG_OK;
		}
		MG_TRY(pack_stop(ctx, t));
	}
	if (t->nresident < t->max_resident)
	{
		uint8_t *fresh = malloc(t->group_bytes);
		mg_code code = fresh == NULL ? mg_fail(ctx, MG_NOMEM, "out of memory") : add_resident(ctx, t, t->last, NULL);

		if (code != MG_OK)
		{
			free(fresh);
			return code;
		}
		t->last = fresh;
		for (uint32_t j = 0; j < t->ncolumns + t->units; j++)
			t->column[j].load = t->last + t->column[j].offset;
	}
	else
	{
		if (t->store == NULL)
			return mg_fail(ctx, MG_IO, "there is no store for what does not fit the memory");
		if (t->file < 0)
			MG_TRY(t->store->open(ctx, t->store, &t->file));
		MG_TRY(t->store->write(ctx, t->store, t->file, t->nstored * t->group_bytes, t->last, t->group_bytes));
		t->nstored++;
	}
	t->last_rows = 0;
	return MG_OK;
}

/* Reads the columns of stored group g into scratch. */
static mg_code
fetch_group(mg_ctx *ctx, mg_codes *t, uint64_t g, const uint32_t *cols, uint32_t ncols)
{
	if (t->scratch == NULL && (t->scratch = malloc(t->group_bytes)) == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	if (ncols >= t->ncolumns)
		return t->store->read(ctx, t->store, t->file, g * t->group_bytes, t->scratch, t->group_bytes);
	for (uint32_t i = 0; i < ncols; i++)
	{
		const mg_code_column *c = &t->column[cols[i]];

		MG_TRY(t->store->read(ctx, t->store, t->file, g * t->group_bytes + c->offset, t->scratch + c->offset,
							  (size_t) t->group_rows * c->width));
	}
	return MG_OK;
}

mg_code
mg_codes_fetch(mg_ctx *ctx, mg_codes *t, uint64_t stored)
{
	return fetch_group(ctx, t, stored, NULL, t->ncolumns);
}

typedef struct pass_tasks
{
	mg_codes *t;
	mg_block_task fn;
	void *arg;
	uint8_t *const *groups;   /* full groups */
	uint16_t *const *weights; /* of their rows; NULL: none has */
	uint32_t blocks;          /* in a full group */
	uint64_t full_blocks;     /* blocks of full groups; later ones are of the last group */
	uint64_t first;           /* index of this run's first block */
} pass_tasks;

static inline mg_block
block_at(const uint8_t *base, const uint16_t *weight, uint32_t first, uint32_t rows)
{
	return (mg_block){base, first, rows - first < MG_BLOCK_ROWS ? rows - first : MG_BLOCK_ROWS,
					  weight != NULL ? weight + first : NULL};
}

static void
pass_task(void *arg, size_t index, int lane)
{
	const pass_tasks *p = arg;
	uint64_t i = p->first + index, g = i / p->blocks;
	mg_block b;

	if (i < p->full_blocks)
		b = block_at(p->groups[g], p->weights != NULL ? p->weights[g] : NULL,
					 (uint32_t) (i % p->blocks) * MG_BLOCK_ROWS, p->t->group_rows);
	else
		b = block_at(p->t->last, p->t->last_weight, (uint32_t) (i - p->full_blocks) * MG_BLOCK_ROWS, p->t->last_rows);
	p->fn(p->arg, &b, lane);
}

/* Rows of the resident group, or after all of them of the last one, by weight. */
static uint64_t
rows_by_weight(const mg_codes *t, uint32_t group)
{
	const uint16_t *weight = group < t->nresident ? t->weight[group] : t->last_weight;
	uint32_t rows = group < t->nresident ? t->group_rows : t->last_rows;
	uint64_t sum = 0;

	if (weight == NULL)
		return rows;
	for (uint32_t i = 0; i < rows; i++)
		sum += weight[i];
	return sum;
}

mg_code
mg_codes_pass(mg_ctx *ctx, mg_codes *t, const uint32_t *cols, uint32_t ncols, mg_pool *pool, mg_block_task fn,
			  void (*between)(void *arg), void *arg)
{
	pass_tasks p = {.t = t, .fn = fn, .arg = arg, .blocks = (t->group_rows + MG_BLOCK_ROWS - 1) / MG_BLOCK_ROWS};
	uint64_t since = 0;

	/* stored groups, one at a time */
	for (uint64_t g = 0; g < t->nstored; g++)
	{
		MG_TRY(mg_poll(ctx));
		MG_TRY(fetch_group(ctx, t, g, cols, ncols));
		p.groups = &t->scratch;
		p.full_blocks = p.blocks;
		MG_TRY(mg_pool_run(ctx, pool, pass_task, &p, p.blocks));
		since += t->group_rows;
		if (since > UINT32_MAX - t->group_rows && between != NULL)
		{
			between(arg);
			since = 0;
		}
	}

	/* resident groups and the last one: as many at once as 32 bits can count; a single one is below 2^31 */
	if (since > 0 && between != NULL)
		between(arg);
	p.groups = t->resident;
	p.weights = t->weight;
	p.full_blocks = (uint64_t) t->nresident * p.blocks;
	for (uint32_t g = 0; g <= t->nresident;)
	{
		uint64_t rows = rows_by_weight(t, g), more = 0, n;

		while (++g <= t->nresident && (more = rows_by_weight(t, g)) <= UINT32_MAX - rows)
			rows += more;
		n = g <= t->nresident ? (uint64_t) g * p.blocks
							  : p.full_blocks + (t->last_rows + MG_BLOCK_ROWS - 1) / MG_BLOCK_ROWS;
		MG_TRY(mg_pool_run(ctx, pool, pass_task, &p, (size_t) (n - p.first)));
		p.first = n;
		if (between != NULL)
			between(arg);
	}
	return MG_OK;
}

typedef struct part_tasks
{
	mg_part_task fn;
	void *arg;
	const uint8_t *base;
	const uint16_t *weight;
	uint32_t rows;
} part_tasks;

static void
part_task(void *arg, size_t part, int lane)
{
	const part_tasks *p = arg;
	mg_block b = {p->base, 0, p->rows, p->weight};

	p->fn(p->arg, &b, part);
}

mg_code
mg_codes_pass_parts(mg_ctx *ctx, mg_codes *t, const uint32_t *cols, uint32_t ncols, mg_pool *pool, size_t parts,
					mg_part_task fn, void *arg)
{
	part_tasks p = {.fn = fn, .arg = arg, .rows = t->group_rows};

	for (uint64_t g = 0; g < t->nstored; g++)
	{
		MG_TRY(fetch_group(ctx, t, g, cols, ncols));
		p.base = t->scratch;
		MG_TRY(mg_pool_run(ctx, pool, part_task, &p, parts));
	}
	for (uint32_t g = 0; g < t->nresident; g++)
	{
		p.base = t->resident[g];
		p.weight = t->weight[g];
		MG_TRY(mg_pool_run(ctx, pool, part_task, &p, parts));
	}
	p.base = t->last;
	p.weight = t->last_weight;
	p.rows = t->last_rows;
	return mg_pool_run(ctx, pool, part_task, &p, parts);
}

static mg_code
group_in_order(mg_ctx *ctx, const uint8_t *base, const uint16_t *weight, uint32_t rows, mg_block_step fn, void *arg)
{
	for (uint32_t first = 0; first < rows; first += MG_BLOCK_ROWS)
	{
		mg_block b = block_at(base, weight, first, rows);

		MG_TRY(mg_poll(ctx));
		MG_TRY(fn(ctx, arg, &b));
	}
	return MG_OK;
}

mg_code
mg_codes_pass_in_order(mg_ctx *ctx, mg_codes *t, const uint32_t *cols, uint32_t ncols, mg_block_step fn, void *arg)
{
	for (uint32_t g = 0; g < t->nresident; g++)
		MG_TRY(group_in_order(ctx, t->resident[g], t->weight[g], t->group_rows, fn, arg));
	for (uint64_t g = 0; g < t->nstored; g++)
	{
		MG_TRY(fetch_group(ctx, t, g, cols, ncols));
		MG_TRY(group_in_order(ctx, t->scratch, NULL, t->group_rows, fn, arg));
	}
	return group_in_order(ctx, t->last, t->last_weight, t->last_rows, fn, arg);
}
