/*
 * table/keep.c: leaves a code table with some of its rows, in place.
 *
 * Rows move forward only. Those to keep are gathered into a spare group; when that is full, the group whose number it
 * takes was read to its end already (no more rows are kept than were read), so it changes places with it, or is written
 * over it in the store. Memory: the group to read into and the spare one are two of the three that the table's sizes
 * leave room for beside the resident ones; the third is the last, partial group.
 *
 * The side streams of open texts are read in step with the rows and thinned out likewise.
 */
#include <stdlib.h>

#include "table/codes.h"

typedef struct keeping
{
	mg_codes *t;
	mg_keep_next next;
	void *arg;
	uint64_t row, unit; /* the next row to keep; UINT64_MAX: none */
	uint64_t read;      /* rows read so far */

	uint8_t *spare;
	uint32_t filled;   /* rows of it */
	uint64_t placed;   /* full groups */
	uint64_t kept;     /* rows */
	uint64_t nstored;  /* before */
	uint32_t *index;   /* [MG_BLOCK_ROWS] rows of the block to keep */
	uint64_t *unit_of; /* [MG_BLOCK_ROWS] */
} keeping;

static void
gather(uint8_t *to, const uint8_t *from, uint8_t width, const uint32_t *index, uint32_t n)
{
	if (width == 1)
		for (uint32_t i = 0; i < n; i++)
			to[i] = from[index[i]];
	else if (width == 2)
		for (uint32_t i = 0; i < n; i++)
			((uint16_t *) (void *) to)[i] = ((const uint16_t *) (const void *) from)[index[i]];
	else
		for (uint32_t i = 0; i < n; i++)
			((uint64_t *) (void *) to)[i] = ((const uint64_t *) (const void *) from)[index[i]];
}

/* The spare group is full: it becomes group `placed`. */
static mg_code
place_group(mg_ctx *ctx, keeping *k)
{
	mg_codes *t = k->t;

	if (k->placed < t->nresident)
	{
		uint8_t *old = t->resident[k->placed];

		t->resident[k->placed] = k->spare;
		k->spare = old;
	}
	else
		MG_TRY(t->store->write(ctx, t->store, t->file, (k->placed - t->nresident) * t->group_bytes, k->spare,
							   t->group_bytes));
	k->placed++;
	k->filled = 0;
	return MG_OK;
}

/* n rows of a block, at index[], go to the spare group. */
static mg_code
move_rows(mg_ctx *ctx, keeping *k, const uint8_t *base, const uint32_t *index, const uint64_t *unit_of, uint32_t n)
{
	mg_codes *t = k->t;

	while (n > 0)
	{
		uint32_t room = t->group_rows - k->filled, some = n < room ? n : room;

		for (uint32_t j = 0; j < t->ncolumns; j++)
		{
			const mg_code_column *c = &t->column[j];

			gather(k->spare + c->offset + (size_t) k->filled * c->width, base + c->offset, c->width, index, some);
		}
		if (t->units)
			memcpy(k->spare + t->column[t->ncolumns].offset + (size_t) k->filled * sizeof(uint64_t), unit_of,
				   some * sizeof(uint64_t));
		k->filled += some;
		k->kept += some;
		index += some;
		unit_of += some;
		n -= some;
		if (k->filled == t->group_rows)
			MG_TRY(place_group(ctx, k));
	}
	return MG_OK;
}

/* The escapes of a block's rows: those of rows to keep stay. */
static mg_code
thin_streams(mg_ctx *ctx, keeping *k, const uint8_t *base, uint32_t first, uint32_t rows, uint32_t n)
{
	mg_codes *t = k->t;

	for (uint32_t j = 0; j < t->ncolumns; j++)
	{
		const mg_code_column *c = &t->column[j];
		const uint16_t *p = (const uint16_t *) (const void *) (base + c->offset);
		uint32_t at = 0;

		if (c->storage != MG_STORE_TEXT || c->text->kept == NULL)
			continue;
		for (uint32_t i = first; i < first + rows; i++)
		{
			uint64_t hash;

			while (at < n && k->index[at] < i)
				at++;
			if (p[i] != MG_TEXT_ESCAPE)
				continue;
			MG_TRY(mg_text_next(ctx, c->text, t->store, &hash));
			if (at < n && k->index[at] == i)
				MG_TRY(mg_text_keep(ctx, c->text, t->store, hash));
		}
	}
	return MG_OK;
}

static mg_code
keep_of_group(mg_ctx *ctx, keeping *k, const uint8_t *base, uint32_t rows)
{
	for (uint32_t first = 0; first < rows; first += MG_BLOCK_ROWS)
	{
		uint32_t some = rows - first < MG_BLOCK_ROWS ? rows - first : MG_BLOCK_ROWS, n = 0;

		MG_TRY(mg_poll(ctx));
		for (; k->row < k->read + some; n++)
		{
			k->index[n] = first + (uint32_t) (k->row - k->read);
			k->unit_of[n] = k->unit;
			if (k->unit >= k->t->nunits)
				k->t->nunits = k->unit + 1;
			MG_TRY(k->next(ctx, k->arg, &k->row, &k->unit));
			if (k->row <= k->read + k->index[n] - first)
				return mg_fail(ctx, MG_INTERNAL, "rows to keep are out of order");
		}
		MG_TRY(thin_streams(ctx, k, base, first, some, n));
		MG_TRY(move_rows(ctx, k, base, k->index, k->unit_of, n));
		k->read += some;
	}
	return MG_OK;
}

static mg_code
keep_all(mg_ctx *ctx, keeping *k)
{
	mg_codes *t = k->t;

	for (uint32_t j = 0; j < t->ncolumns; j++)
		if (t->column[j].storage == MG_STORE_TEXT && mg_text_escapes(t->column[j].text) > 0)
			MG_TRY(mg_text_keep_begin(ctx, t->column[j].text));
	MG_TRY(k->next(ctx, k->arg, &k->row, &k->unit));
	for (uint32_t g = 0; g < t->nresident; g++)
		MG_TRY(keep_of_group(ctx, k, t->resident[g], t->group_rows));
	for (uint64_t g = 0; g < k->nstored; g++)
	{
		MG_TRY(mg_codes_fetch(ctx, t, g));
		MG_TRY(keep_of_group(ctx, k, t->scratch, t->group_rows));
	}
	MG_TRY(keep_of_group(ctx, k, t->last, t->last_rows));
	if (k->row != UINT64_MAX)
		return mg_fail(ctx, MG_INTERNAL, "a row to keep is not there");
	return MG_OK;
}

/* The groups as they are now. */
static void
adopt(keeping *k)
{
	mg_codes *t = k->t;
	uint32_t resident = k->placed < t->nresident ? (uint32_t) k->placed : t->nresident;
	uint8_t *old = t->last;

	for (uint32_t g = resident; g < t->nresident; g++)
		mg_zeroize_free(t->resident[g], t->group_bytes);
	t->nresident = resident;
	t->nstored = k->placed - resident;
	t->last = k->spare;
	t->last_rows = k->filled;
	t->rows = k->kept;
	k->spare = old;
	for (uint32_t j = 0; j < t->ncolumns + t->units; j++)
		t->column[j].load = t->last + t->column[j].offset;
	for (uint32_t j = 0; j < t->ncolumns; j++)
		if (t->column[j].text != NULL && t->column[j].text->kept != NULL)
			mg_text_keep_end(t->column[j].text, t->store);
	if (t->nstored == 0 && t->file >= 0)
	{
		t->store->close(t->store, t->file);
		t->file = -1;
	}
}

mg_code
mg_codes_keep(mg_ctx *ctx, mg_codes *t, mg_keep_next next, void *arg)
{
	keeping k = {.t = t, .next = next, .arg = arg, .nstored = t->nstored};
	mg_code code = MG_OK;

	k.spare = malloc(t->group_bytes);
	k.index = malloc(MG_BLOCK_ROWS * sizeof(*k.index));
	k.unit_of = malloc(MG_BLOCK_ROWS * sizeof(*k.unit_of));
	if (k.spare == NULL || k.index == NULL || k.unit_of == NULL)
		code = mg_fail(ctx, MG_NOMEM, "out of memory");
	if (code == MG_OK)
		code = keep_all(ctx, &k);
	if (code == MG_OK)
		adopt(&k);
	else
		t->broken = true; /* groups are half what they were */
	mg_zeroize_free(k.spare, k.spare ? t->group_bytes : 0);
	mg_zeroize_free(k.index, k.index ? MG_BLOCK_ROWS * sizeof(*k.index) : 0);
	mg_zeroize_free(k.unit_of, k.unit_of ? MG_BLOCK_ROWS * sizeof(*k.unit_of) : 0);
	return code;
}
