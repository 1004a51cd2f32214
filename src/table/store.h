/*
 * table/store.h: where blocks of codes live when they do not fit the fixed buffers: given by the server edge (temporary
 * files that a crash cleans) or by tests (memory). Offsets are in bytes; a write goes to the end or over what was
 * written. Functions return MG_IO (or MG_CANCELLED, MG_NOMEM) on failure (disk full, temp_file_limit), recorded in ctx.
 * They are called from the caller's own thread only, never from the pool's.
 */
#ifndef MIRAGE_TABLE_STORE_H
#define MIRAGE_TABLE_STORE_H

#include "base/mirage.h"

typedef struct mg_store mg_store;
struct mg_store
{
	mg_code (*open)(mg_ctx *ctx, mg_store *s, int *file); /* a new, empty temporary file */
	mg_code (*write)(mg_ctx *ctx, mg_store *s, int file, uint64_t offset, const void *p, size_t n);
	mg_code (*read)(mg_ctx *ctx, mg_store *s, int file, uint64_t offset, void *p, size_t n);
	void (*close)(mg_store *s, int file);
	void *arg;
};

#endif
