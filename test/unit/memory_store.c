/*
 * test/unit/memory_store.c: see memory_store.h.
 */
#include "memory_store.h"

#include <stdlib.h>
#include <string.h>

static mg_code
may_fail(mg_ctx *ctx, memory_store *m)
{
	if (m->fail_after == 0)
		return mg_fail(ctx, MG_IO, "the store was told to fail");
	if (m->fail_after > 0)
		m->fail_after--;
	return MG_OK;
}

static mg_code
store_open(mg_ctx *ctx, mg_store *s, int *file)
{
	memory_store *m = s->arg;

	MG_TRY(may_fail(ctx, m));
	for (int i = 0; i < MEMORY_STORE_FILES; i++)
		if (!m->file[i].open)
		{
			m->file[i].open = true;
			m->file[i].len = 0;
			m->opened++;
			*file = i;
			return MG_OK;
		}
	return mg_fail(ctx, MG_IO, "too many files");
}

static mg_code
store_write(mg_ctx *ctx, mg_store *s, int file, uint64_t offset, const void *p, size_t n)
{
	memory_store *m = s->arg;
	uint64_t end = offset + n, held = 0;

	MG_TRY(may_fail(ctx, m));
	if (!m->file[file].open || offset > m->file[file].len)
		return mg_fail(ctx, MG_INTERNAL, "a write that leaves a hole");
	if (end > m->file[file].cap)
	{
		uint8_t *grown = realloc(m->file[file].data, (size_t) (2 * end));

		if (grown == NULL)
			return mg_fail(ctx, MG_NOMEM, "out of memory");
		m->file[file].data = grown;
		m->file[file].cap = 2 * end;
	}
	memcpy(m->file[file].data + offset, p, n);
	if (end > m->file[file].len)
		m->file[file].len = end;
	m->written += n;
	for (int i = 0; i < MEMORY_STORE_FILES; i++)
		held += m->file[i].open ? m->file[i].len : 0;
	if (held > m->peak)
		m->peak = held;
	return MG_OK;
}

static mg_code
store_read(mg_ctx *ctx, mg_store *s, int file, uint64_t offset, void *p, size_t n)
{
	memory_store *m = s->arg;

	MG_TRY(may_fail(ctx, m));
	if (!m->file[file].open || offset + n > m->file[file].len)
		return mg_fail(ctx, MG_INTERNAL, "a read beyond what was written");
	memcpy(p, m->file[file].data + offset, n);
	return MG_OK;
}

static void
store_close(mg_store *s, int file)
{
	memory_store *m = s->arg;

	if (!m->file[file].open)
		abort();
	m->file[file].open = false;
	m->closed++;
}

void
memory_store_init(memory_store *m)
{
	memset(m, 0, sizeof(*m));
	m->store.open = store_open;
	m->store.write = store_write;
	m->store.read = store_read;
	m->store.close = store_close;
	m->store.arg = m;
	m->fail_after = -1;
}

void
memory_store_free(memory_store *m)
{
	for (int i = 0; i < MEMORY_STORE_FILES; i++)
		free(m->file[i].data);
}
