/*
 * table/text.c: dictionaries, side streams; see text.h for why the encoding is lossless.
 */
#include "table/text.h"

#include <stdlib.h>

#include "table/hash.h"

static size_t
slots_for(uint32_t ids)
{
	size_t n = 16;

	while (n < 2 * (size_t) ids)
		n *= 2;
	return n;
}

static mg_code
text_create(mg_ctx *ctx, const uint64_t key[2], uint32_t max_ids, size_t max_bytes, mg_text **out)
{
	mg_text *x = calloc(1, sizeof(*x));
	size_t slots = slots_for(max_ids);
	size_t n = max_ids > 0 ? max_ids : 1;

	if (x == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	x->file = -1;
	x->key[0] = key[0];
	x->key[1] = key[1];
	x->max_ids = max_ids;
	x->max_bytes = max_bytes;
	x->mask = slots - 1;
	x->slot_hash = calloc(slots, sizeof(*x->slot_hash));
	x->slot_id = calloc(slots, sizeof(*x->slot_id));
	x->hash = calloc(n, sizeof(*x->hash));
	x->start = calloc(n, sizeof(*x->start));
	x->len = calloc(n, sizeof(*x->len));
	x->bytes = calloc(max_bytes + 1, 1);
	for (size_t i = 0; i < (size_t) 1 << MG_CACHE_BITS; i++)
		x->cache[i].len = UINT32_MAX;
	if (!x->slot_hash || !x->slot_id || !x->hash || !x->start || !x->len || !x->bytes)
	{
		mg_text_destroy(x, NULL);
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	}
	*out = x;
	return MG_OK;
}

static inline size_t
slot_of(const mg_text *x, uint64_t hash)
{
	size_t i = (size_t) hash & x->mask;

	while (x->slot_hash[i] != 0 && x->slot_hash[i] != hash)
		i = (i + 1) & x->mask;
	return i;
}

int32_t
mg_text_find(const mg_text *x, uint64_t hash)
{
	size_t i = slot_of(x, hash);

	return x->slot_hash[i] == 0 ? -1 : x->slot_id[i];
}

/* Takes the next id for a label that is known to fit. */
static uint32_t
text_insert(mg_text *x, size_t slot, uint64_t hash, const char *s, size_t len)
{
	uint32_t id = x->nids++;

	x->slot_hash[slot] = hash;
	x->slot_id[slot] = (uint16_t) id;
	x->hash[id] = hash;
	x->start[id] = (uint32_t) x->nbytes;
	x->len[id] = (uint16_t) len;
	if (len > 0)
		memcpy(x->bytes + x->nbytes, s, len);
	x->nbytes += len;
	return id;
}

mg_code
mg_text_create_closed(mg_ctx *ctx, const uint64_t key[2], const mg_label *labels, uint32_t nlabels, mg_text **out)
{
	size_t bytes = 0, longest = 0;

	for (uint32_t i = 0; i < nlabels; i++)
	{
		if (labels[i].len > UINT16_MAX)
			return mg_fail(ctx, MG_INVALID, "a declared label has more than %d bytes", UINT16_MAX);
		bytes += labels[i].len; /* at most 2^14 * 2^16 */
		longest = labels[i].len > longest ? labels[i].len : longest;
	}
	MG_TRY(text_create(ctx, key, nlabels, bytes, out));
	(*out)->longest = longest;
	for (uint32_t i = 0; i < nlabels; i++)
	{
		uint64_t h = mg_keyed_hash(key, labels[i].text, labels[i].len);
		size_t slot = slot_of(*out, h);
		bool taken = (*out)->slot_hash[slot] != 0;

		/* An id for each label, also for one that occurs twice: ids are label indexes. Only the first can be found. */
		if (taken)
		{
			(*out)->hash[(*out)->nids++] = h;
			continue;
		}
		text_insert(*out, slot, h, labels[i].text, labels[i].len);
	}
	return MG_OK;
}

mg_code
mg_text_create_open(mg_ctx *ctx, const uint64_t key[2], uint32_t max_ids, mg_text **out)
{
	mg_text *x;
	size_t n = 16;

	MG_TRY(text_create(ctx, key, max_ids, (size_t) max_ids * 32, &x));
	while (n < max_ids)
		n *= 2;
	x->open = true;
	x->recent_mask = n - 1;
	x->recent = calloc(n, sizeof(*x->recent));
	x->stream = calloc(MG_STREAM_HASHES, sizeof(*x->stream));
	if (x->recent == NULL || x->stream == NULL)
	{
		mg_text_destroy(x, NULL);
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	}
	*out = x;
	return MG_OK;
}

void
mg_text_destroy(mg_text *x, mg_store *store)
{
	if (x == NULL)
		return;
	if (x->file >= 0 && store != NULL)
		store->close(store, x->file);
	mg_zeroize_free(x->slot_hash, x->slot_hash ? (x->mask + 1) * sizeof(*x->slot_hash) : 0);
	mg_zeroize_free(x->slot_id, x->slot_id ? (x->mask + 1) * sizeof(*x->slot_id) : 0);
	mg_zeroize_free(x->hash, x->hash ? x->max_ids * sizeof(*x->hash) : 0);
	mg_zeroize_free(x->start, x->start ? x->max_ids * sizeof(*x->start) : 0);
	mg_zeroize_free(x->len, x->len ? x->max_ids * sizeof(*x->len) : 0);
	mg_zeroize_free(x->bytes, x->bytes ? x->max_bytes : 0);
	mg_zeroize_free(x->recent, x->recent ? (x->recent_mask + 1) * sizeof(*x->recent) : 0);
	mg_zeroize_free(x->stream, x->stream ? MG_STREAM_HASHES * sizeof(*x->stream) : 0);
	mg_zeroize_free(x->tail, x->tail ? MG_STREAM_HASHES * sizeof(*x->tail) : 0);
	mg_zeroize_free(x->kept, x->kept ? MG_STREAM_HASHES * sizeof(*x->kept) : 0);
	mg_zeroize_free(x, sizeof(*x));
}

int32_t
mg_text_admit(mg_text *x, uint64_t hash, const char *s, size_t len)
{
	size_t slot = slot_of(x, hash);

	if (x->slot_hash[slot] != 0)
		return x->slot_id[slot];
	if (x->nids >= x->max_ids || len > x->max_bytes - x->nbytes)
		return -1;
	return (int32_t) text_insert(x, slot, hash, s, len);
}

int32_t
mg_text_lookup(const mg_text *x, const char *s, size_t len)
{
	int32_t id = len <= x->longest ? mg_text_find(x, mg_keyed_hash(x->key, s, len)) : -1;

	if (id < 0 || x->len[id] != len || (len > 0 && memcmp(x->bytes + x->start[id], s, len) != 0))
		return -1;
	return id;
}

mg_code
mg_text_room(mg_ctx *ctx, mg_text *x, mg_store *store)
{
	if (x->nstream < MG_STREAM_HASHES)
		return MG_OK;
	if (store == NULL)
		return mg_fail(ctx, MG_IO, "there is no store for what does not fit the memory");
	if (x->file < 0)
		MG_TRY(store->open(ctx, store, &x->file));
	MG_TRY(store->write(ctx, store, x->file, x->written * sizeof(uint64_t), x->stream, x->nstream * sizeof(uint64_t)));
	x->written += x->nstream;
	x->nstream = 0;
	return MG_OK;
}

uint64_t
mg_text_escapes(const mg_text *x)
{
	return x->written + x->nstream;
}

/* Loading is over: the buffered rest becomes the tail, the buffer the reading window. */
mg_code
mg_text_finish(mg_ctx *ctx, mg_text *x)
{
	if (!x->open)
		return MG_OK;
	x->tail = x->stream;
	x->stream = calloc(MG_STREAM_HASHES, sizeof(*x->stream));
	if (x->stream == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	mg_text_rewind(x);
	return MG_OK;
}

void
mg_text_rewind(mg_text *x)
{
	x->read_at = 0;
	x->window = 0;
	x->nwindow = 0;
}

mg_code
mg_text_next(mg_ctx *ctx, mg_text *x, mg_store *store, uint64_t *hash)
{
	uint64_t i = x->read_at;

	if (i >= x->written)
	{
		if (i - x->written >= x->nstream)
			return mg_fail(ctx, MG_INTERNAL, "the side stream of a text column is too short");
		*hash = x->tail[i - x->written];
	}
	else
	{
		if (i - x->window >= x->nwindow)
		{
			uint64_t left = x->written - i;

			x->window = i;
			x->nwindow = left < MG_STREAM_HASHES ? (uint32_t) left : MG_STREAM_HASHES;
			MG_TRY(store->read(ctx, store, x->file, i * sizeof(uint64_t), x->stream, x->nwindow * sizeof(uint64_t)));
		}
		*hash = x->stream[i - x->window];
	}
	x->read_at++;
	return MG_OK;
}

mg_code
mg_text_keep_begin(mg_ctx *ctx, mg_text *x)
{
	mg_text_rewind(x);
	x->nkept = 0;
	x->kept_written = 0;
	x->kept = calloc(MG_STREAM_HASHES, sizeof(*x->kept));
	return x->kept != NULL ? MG_OK : mg_fail(ctx, MG_NOMEM, "out of memory");
}

/* Writes over what was read: no more hashes are kept than were read, and those that were read are in memory. */
mg_code
mg_text_keep(mg_ctx *ctx, mg_text *x, mg_store *store, uint64_t hash)
{
	if (x->nkept == MG_STREAM_HASHES)
	{
		MG_TRY(store->write(ctx, store, x->file, x->kept_written * sizeof(uint64_t), x->kept,
							x->nkept * sizeof(uint64_t)));
		x->kept_written += x->nkept;
		x->nkept = 0;
	}
	x->kept[x->nkept++] = hash;
	return MG_OK;
}

void
mg_text_keep_end(mg_text *x, mg_store *store)
{
	mg_zeroize_free(x->tail, MG_STREAM_HASHES * sizeof(*x->tail));
	x->tail = x->kept;
	x->nstream = x->nkept;
	x->written = x->kept_written;
	x->kept = NULL;
	if (x->written == 0 && x->file >= 0)
	{
		store->close(store, x->file);
		x->file = -1;
	}
	mg_text_rewind(x);
}
