/*
 * pg/shmem.h: small tables in memory that every session shares, without shared_preload_libraries.
 */
#ifndef MIRAGE_PG_SHMEM_H
#define MIRAGE_PG_SHMEM_H

#include "postgres.h"

#include "storage/lwlock.h"

/* What each such table begins with. The lock guards all of it. */
typedef struct MgShmemHead
{
	LWLock lock;
	int tranche;
} MgShmemHead;

/*
 * The table of that name (20 bytes at most) that processes with this version of the library share, made where there
 * is none yet, all zeros but for its head; NULL: no memory was left. The
 * caller remembers either. Not for use while an error is handled.
 */
extern void *mg_shmem_find(const char *name, Size size, const char *tranche);
/* From _PG_init, where the library is preloaded: asks for the memory that is otherwise taken from the reserve. */
extern void mg_shmem_reserve(Size size);

#endif
