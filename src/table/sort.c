/*
 * table/sort.c: see sort.h.
 *
 * Runs of one level lie one after another in one file; merging a level writes the next one to a file of its own and
 * closes the old. The last level is never written: mg_sort_next merges it as it is read.
 */
#include "table/sort.h"

#include <stdlib.h>

#include "table/hash.h"

#define LEAST_RECORDS 64    /* in the buffer */
#define BLOCK_BYTES 16384   /* of a run, read at once, where the memory allows */
#define LEAST_BLOCK 8       /* records */
#define INSERTION 24        /* fewer records than this are sorted by insertion */
#define POLL_RECORDS 65536u /* between two looks at the cancel hook */

typedef struct run
{
	uint64_t first, count; /* records in the file */
} run;

/* A run being read: its records from `next` on, `have` of them in its block. */
typedef struct cursor
{
	uint64_t next, left; /* in the file */
	uint64_t *block;
	size_t at, have;
} cursor;

struct mg_sort
{
	uint32_t words;
	mg_store *store;
	uint64_t *buffer; /* [capacity] records */
	size_t capacity, used;
	uint32_t since_poll;

	run *run;
	size_t nruns, room;
	int file; /* -1: none */
	uint64_t written;

	/* reading */
	bool finished;
	size_t block;   /* records of a cursor's block */
	cursor *cursor; /* [ncursors] */
	size_t *heap;   /* [nheap] cursors, the least record on top */
	size_t ncursors, nheap;
	bool advance;     /* the top's record was handed out: move on before the next */
	size_t in_memory; /* next record of the buffer, where there are no runs */
};

/* ---- in place ---- */

static inline int
compare(const uint64_t *x, const uint64_t *y, uint32_t words)
{
	for (uint32_t i = 0; i < words; i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	return 0;
}

static inline void
copy(uint64_t *to, const uint64_t *from, uint32_t words)
{
	for (uint32_t i = 0; i < words; i++)
		to[i] = from[i];
}

static void
insertion_sort(uint64_t *r, size_t n, uint32_t words)
{
	uint64_t x[MG_SORT_MAX_WORDS];

	for (size_t i = 1; i < n; i++)
	{
		size_t j = i;

		copy(x, r + i * words, words);
		for (; j > 0 && compare(x, r + (j - 1) * words, words) < 0; j--)
			copy(r + j * words, r + (j - 1) * words, words);
		copy(r + j * words, x, words);
	}
}

/* Byte d of a record, 0 the most significant of the first word. */
static inline unsigned
byte_of(const uint64_t *r, uint32_t d)
{
	return (unsigned) (r[d / 8] >> (56 - 8 * (d % 8))) & 0xff;
}

/* Moves each record to the part of its byte d; end[b] is where the part of b ends. */
static void
permute(uint64_t *r, uint32_t words, uint32_t d, const size_t *end, size_t *next)
{
	uint64_t x[MG_SORT_MAX_WORDS], y[MG_SORT_MAX_WORDS];

	for (unsigned b = 0; b < 256; b++)
		while (next[b] < end[b])
		{
			unsigned to;

			copy(x, r + next[b] * words, words);
			while ((to = byte_of(x, d)) != b)
			{
				uint64_t *place = r + next[to]++ * words;

				copy(y, place, words);
				copy(place, x, words);
				copy(x, y, words);
			}
			copy(r + next[b]++ * words, x, words);
		}
}

static mg_code
radix_sort(mg_ctx *ctx, uint64_t *r, size_t n, uint32_t words, uint32_t d)
{
	size_t count[256], next[256], first = 0;

	/* a byte that is the same everywhere: on to the next */
	for (;; d++)
	{
		if (n <= INSERTION)
		{
			insertion_sort(r, n, words);
			return MG_OK;
		}
		if (d == words * 8)
			return MG_OK;
		if (n > POLL_RECORDS / 2)
			MG_TRY(mg_poll(ctx));
		memset(count, 0, sizeof(count));
		for (size_t i = 0; i < n; i++)
			count[byte_of(r + i * words, d)]++;
		if (count[byte_of(r, d)] < n)
			break;
	}
	for (unsigned b = 0; b < 256; b++)
	{
		next[b] = first;
		first += count[b];
		count[b] = first; /* the end */
	}
	permute(r, words, d, count, next);
	first = 0;
	for (unsigned b = 0; b < 256; b++)
	{
		if (count[b] - first > 1)
			MG_TRY(radix_sort(ctx, r + first * words, count[b] - first, words, d + 1));
		first = count[b];
	}
	return MG_OK;
}

/* ---- runs ---- */

static size_t
record_bytes(const mg_sort *s)
{
	return s->words * sizeof(uint64_t);
}

mg_code
mg_sort_create(mg_ctx *ctx, uint32_t words, size_t memory, mg_store *store, mg_sort **out)
{
	mg_sort *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	s->words = words;
	s->store = store;
	s->file = -1;
	s->capacity = memory / record_bytes(s) > LEAST_RECORDS ? memory / record_bytes(s) : LEAST_RECORDS;
	s->buffer = malloc(s->capacity * record_bytes(s));
	if (s->buffer == NULL)
	{
		free(s);
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	}
	*out = s;
	return MG_OK;
}

void
mg_sort_destroy(mg_sort *s)
{
	if (s == NULL)
		return;
	if (s->file >= 0)
		s->store->close(s->store, s->file);
	mg_zeroize_free(s->buffer, (s->nruns > 0 ? s->capacity : s->used) * record_bytes(s));
	free(s->run);
	free(s->cursor);
	free(s->heap);
	mg_zeroize_free(s, sizeof(*s));
}

static mg_code
remember_run(mg_ctx *ctx, mg_sort *s, uint64_t first, uint64_t count)
{
	if (s->nruns == s->room)
	{
		size_t room = s->room == 0 ? 16 : 2 * s->room;
		run *more = realloc(s->run, room * sizeof(*more));

		if (more == NULL)
			return mg_fail(ctx, MG_NOMEM, "out of memory");
		s->run = more;
		s->room = room;
	}
	s->run[s->nruns++] = (run){first, count};
	return MG_OK;
}

static mg_code
flush_run(mg_ctx *ctx, mg_sort *s)
{
	if (s->store == NULL)
		return mg_fail(ctx, MG_IO, "there is no store for what does not fit the memory");
	MG_TRY(radix_sort(ctx, s->buffer, s->used, s->words, 0));
	if (s->file < 0)
		MG_TRY(s->store->open(ctx, s->store, &s->file));
	MG_TRY(s->store->write(ctx, s->store, s->file, s->written * record_bytes(s), s->buffer, s->used * record_bytes(s)));
	MG_TRY(remember_run(ctx, s, s->written, s->used));
	s->written += s->used;
	s->used = 0;
	return MG_OK;
}

mg_code
mg_sort_add(mg_ctx *ctx, mg_sort *s, const uint64_t *record)
{
	if (s->used == s->capacity)
		MG_TRY(flush_run(ctx, s));
	copy(s->buffer + s->used++ * s->words, record, s->words);
	return MG_OK;
}

/* ---- merging ---- */

static inline const uint64_t *
current(const mg_sort *s, size_t c)
{
	return s->cursor[c].block + s->cursor[c].at * s->words;
}

static void
sift_down(mg_sort *s, size_t i)
{
	for (;;)
	{
		size_t least = i, swap;

		for (size_t k = 2 * i + 1; k <= 2 * i + 2 && k < s->nheap; k++)
			if (compare(current(s, s->heap[k]), current(s, s->heap[least]), s->words) < 0)
				least = k;
		if (least == i)
			return;
		swap = s->heap[i];
		s->heap[i] = s->heap[least];
		s->heap[least] = swap;
		i = least;
	}
}

static mg_code
fill(mg_ctx *ctx, mg_sort *s, cursor *c)
{
	c->have = c->left < s->block ? (size_t) c->left : s->block;
	c->at = 0;
	if (c->have == 0)
		return MG_OK;
	MG_TRY(s->store->read(ctx, s->store, s->file, c->next * record_bytes(s), c->block, c->have * record_bytes(s)));
	c->next += c->have;
	c->left -= c->have;
	return MG_OK;
}

/* Readies n runs for merging; their blocks share the front of the buffer. */
static mg_code
merge_start(mg_ctx *ctx, mg_sort *s, const run *r, size_t n)
{
	s->nheap = 0;
	s->advance = false;
	for (size_t i = 0; i < n; i++)
	{
		s->cursor[i] = (cursor){r[i].first, r[i].count, s->buffer + i * s->block * s->words, 0, 0};
		MG_TRY(fill(ctx, s, &s->cursor[i]));
		if (s->cursor[i].have > 0)
			s->heap[s->nheap++] = i;
	}
	for (size_t i = s->nheap / 2; i-- > 0;)
		sift_down(s, i);
	return MG_OK;
}

/* The least record of the runs being merged; NULL: all are read. */
static mg_code
merge_next(mg_ctx *ctx, mg_sort *s, const uint64_t **record)
{
	if (s->advance)
	{
		cursor *c = &s->cursor[s->heap[0]];

		if (++c->at == c->have)
		{
			MG_TRY(fill(ctx, s, c));
			if (c->have == 0)
				s->heap[0] = s->heap[--s->nheap];
		}
		sift_down(s, 0);
	}
	if (++s->since_poll % POLL_RECORDS == 0)
		MG_TRY(mg_poll(ctx));
	s->advance = s->nheap > 0;
	*record = s->nheap > 0 ? current(s, s->heap[0]) : NULL;
	return MG_OK;
}

/* Merges n runs into one at the end of `to`; its block is the last of the buffer. */
static mg_code
merge_into(mg_ctx *ctx, mg_sort *s, const run *r, size_t n, int to, uint64_t *written)
{
	uint64_t *out = s->buffer + s->ncursors * s->block * s->words;
	size_t used = 0;

	MG_TRY(merge_start(ctx, s, r, n));
	for (;;)
	{
		const uint64_t *record;

		MG_TRY(merge_next(ctx, s, &record));
		if (used == s->block || (record == NULL && used > 0))
		{
			MG_TRY(s->store->write(ctx, s->store, to, *written * record_bytes(s), out, used * record_bytes(s)));
			*written += used;
			used = 0;
		}
		if (record == NULL)
			return MG_OK;
		copy(out + used++ * s->words, record, s->words);
	}
}

/* One level: groups of runs become runs of a new file. */
static mg_code
merge_level(mg_ctx *ctx, mg_sort *s)
{
	size_t n = 0;
	uint64_t written = 0;
	mg_code code = MG_OK;
	int to;

	MG_TRY(s->store->open(ctx, s->store, &to));
	for (size_t i = 0; i < s->nruns && code == MG_OK; i += s->ncursors)
	{
		size_t group = s->nruns - i < s->ncursors ? s->nruns - i : s->ncursors;
		uint64_t first = written;

		code = merge_into(ctx, s, s->run + i, group, to, &written);
		s->run[n++] = (run){first, written - first}; /* n <= i: that run was read */
	}
	s->store->close(s->store, s->file);
	s->file = to; /* mg_sort_destroy closes it, after an error too */
	s->nruns = n;
	s->written = written;
	return code;
}

mg_code
mg_sort_finish(mg_ctx *ctx, mg_sort *s)
{
	size_t most;

	s->finished = true;
	if (s->nruns == 0)
		return radix_sort(ctx, s->buffer, s->used, s->words, 0);
	if (s->used > 0)
		MG_TRY(flush_run(ctx, s));
	/* one block for each run of a merge and one to write: large blocks while that leaves enough of them */
	s->block = BLOCK_BYTES / record_bytes(s);
	while (s->block > LEAST_BLOCK && s->capacity / s->block < 17)
		s->block /= 2;
	most = s->capacity / s->block - 1;
	s->ncursors = most < 2 ? 2 : most;
	s->cursor = calloc(s->ncursors, sizeof(*s->cursor));
	s->heap = calloc(s->ncursors, sizeof(*s->heap));
	if (s->cursor == NULL || s->heap == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	while (s->nruns > s->ncursors)
		MG_TRY(merge_level(ctx, s));
	return merge_start(ctx, s, s->run, s->nruns);
}

mg_code
mg_sort_next(mg_ctx *ctx, mg_sort *s, const uint64_t **record)
{
	if (!s->finished)
		return mg_fail(ctx, MG_INTERNAL, "a sort was read before it was finished");
	if (s->nruns > 0)
		return merge_next(ctx, s, record);
	if (++s->since_poll % POLL_RECORDS == 0)
		MG_TRY(mg_poll(ctx));
	*record = s->in_memory < s->used ? s->buffer + s->in_memory++ * s->words : NULL;
	return MG_OK;
}
