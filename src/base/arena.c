/*
 * base/arena.c: memory that is freed together.
 *
 * Small allocations are cut from chunks, each twice as large as the one before up to a megabyte; large ones are blocks
 * of their own, straight from calloc, so that fresh pages of the system are not zeroed a second time. A chunk is never
 * handed out twice between resets, hence memory from calloc is still zero when it is cut.
 *
 * Invariants: `held` is the sum of the block sizes (headers included) and never passes `limit` where there is one; a
 * failed allocation changes nothing. The arena owns all blocks.
 */
#include "base/mirage.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_LINE ((size_t) 64)        /* alignment of what is at least this large */
#define ARENA_GRAIN ((size_t) 16)       /* alignment of what is smaller */
#define ARENA_FIRST ((size_t) 8 * 1024) /* the first chunk */
#define ARENA_LARGEST ((size_t) 1024 * 1024)
#define ARENA_OWN_BLOCK ((size_t) 64 * 1024) /* from here on an allocation gets a block of its own */

typedef struct block
{
	struct block *next;
	size_t size; /* bytes, this header included */
} block;

struct mg_arena
{
	size_t limit, held;
	block *blocks;
	uint8_t *cut, *end; /* free part of the current chunk; NULL before the first */
	size_t next_chunk;
};

mg_arena *
mg_arena_create(size_t limit)
{
	mg_arena *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->limit = limit;
	a->next_chunk = ARENA_FIRST;
	return a;
}

static size_t
arena_room(const mg_arena *a)
{
	if (a->limit == 0)
		return SIZE_MAX;
	return a->limit - a->held;
}

static uint8_t *
align_up(uint8_t *p, size_t align)
{
	return p + ((align - ((uintptr_t) p & (align - 1))) & (align - 1));
}

/* A zeroed block with `payload` bytes after its header; NULL: no memory, or over the limit. */
static block *
arena_block(mg_arena *a, size_t payload)
{
	size_t size;
	block *b;

	if (!mg_add_size(payload, sizeof(block), &size) || size > arena_room(a))
		return NULL;
	b = calloc(1, size);
	if (b == NULL)
		return NULL;
	b->size = size;
	b->next = a->blocks;
	a->blocks = b;
	a->held += size;
	return b;
}

/* A chunk that can serve `need` bytes at any alignment; smaller than usual where the limit is near. */
static bool
arena_chunk(mg_arena *a, size_t need)
{
	size_t least = need + ARENA_LINE, payload = a->next_chunk, room = arena_room(a);
	block *b;

	if (room < sizeof(block) || room - sizeof(block) < least)
		return false;
	if (payload > room - sizeof(block))
		payload = room - sizeof(block);
	if (payload < least)
		payload = least;
	b = arena_block(a, payload);
	if (b == NULL)
		return false;
	a->cut = (uint8_t *) (b + 1);
	a->end = a->cut + payload;
	if (a->next_chunk < ARENA_LARGEST)
		a->next_chunk *= 2;
	return true;
}

void *
mg_arena_alloc(mg_arena *a, size_t count, size_t size)
{
	size_t bytes, align;
	uint8_t *p;

	if (!mg_mul_size(count, size, &bytes) || bytes > (size_t) PTRDIFF_MAX)
		return NULL;
	if (bytes == 0)
		bytes = 1;
	align = bytes >= ARENA_LINE ? ARENA_LINE : ARENA_GRAIN;

	if (bytes >= ARENA_OWN_BLOCK)
	{
		block *b = arena_block(a, bytes + ARENA_LINE);

		return b == NULL ? NULL : align_up((uint8_t *) (b + 1), ARENA_LINE);
	}
	p = a->cut == NULL ? NULL : align_up(a->cut, align);
	if (p == NULL || p > a->end || (size_t) (a->end - p) < bytes)
	{
		if (!arena_chunk(a, bytes))
			return NULL;
		p = align_up(a->cut, align);
	}
	a->cut = p + bytes;
	return p;
}

char *
mg_arena_strndup(mg_arena *a, const char *s, size_t len)
{
	size_t bytes;
	char *copy;

	if (!mg_add_size(len, 1, &bytes))
		return NULL;
	copy = mg_arena_alloc(a, bytes, 1);
	if (copy == NULL)
		return NULL;
	if (len > 0)
		memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

size_t
mg_arena_bytes(const mg_arena *a)
{
	return a->held;
}

void
mg_arena_reset(mg_arena *a)
{
	block *b = a->blocks;

	while (b != NULL)
	{
		block *next = b->next;

		free(b);
		b = next;
	}
	a->blocks = NULL;
	a->held = 0;
	a->cut = a->end = NULL;
	a->next_chunk = ARENA_FIRST;
}

void
mg_arena_destroy(mg_arena *a)
{
	if (a == NULL)
		return;
	mg_arena_reset(a);
	free(a);
}
