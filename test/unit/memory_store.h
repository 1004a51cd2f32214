/*
 * test/unit/memory_store.h: an mg_store in memory. It refuses to read what was not written and to leave holes, counts
 * open files and bytes, and can be told to fail.
 */
#ifndef MIRAGE_TEST_MEMORY_STORE_H
#define MIRAGE_TEST_MEMORY_STORE_H

#include "table/store.h"

#define MEMORY_STORE_FILES 64

typedef struct memory_store
{
	mg_store store; /* pass &m->store; arg is the memory_store */
	struct
	{
		uint8_t *data;
		uint64_t len, cap;
		bool open;
	} file[MEMORY_STORE_FILES];
	int opened, closed;     /* calls so far */
	uint64_t written, peak; /* bytes written; most bytes held at once */
	int64_t fail_after;     /* reads and writes that still work; negative: all */
} memory_store;

void memory_store_init(memory_store *m);
void memory_store_free(memory_store *m);

#endif
