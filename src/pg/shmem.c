/*
 * pg/shmem.c: tables in shared memory that are made when they are first needed.
 *
 * The memory is what the server keeps in reserve for such things (as contrib's pg_prewarm takes it before 17), or asked
 * for at the start where the library is in shared_preload_libraries. A table is never given back, and its name says
 * which version of the library it is of: processes that have loaded another, after the package was exchanged under a
 * running server, have another table, and nobody reads a layout that is not his.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pg/shmem.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

static Size reserved;

#if PG_VERSION_NUM >= 150000
static shmem_request_hook_type previous_request;

static void
request_memory(void)
{
	if (previous_request != NULL)
		previous_request();
	RequestAddinShmemSpace(reserved);
}
#endif

void
mg_shmem_reserve(Size size)
{
#if PG_VERSION_NUM >= 150000
	if (reserved == 0)
	{
		previous_request = shmem_request_hook;
		shmem_request_hook = request_memory;
	}
#else
	RequestAddinShmemSpace(MAXALIGN(size));
#endif
	reserved = add_size(reserved, MAXALIGN(size));
}

void *
mg_shmem_find(const char *name, Size size, const char *tranche)
{
	MemoryContext old = CurrentMemoryContext;
	MgShmemHead *volatile head = NULL;
	char full[SHMEM_INDEX_KEYSIZE];
	bool found;

	snprintf(full, sizeof(full), "%s of %s", name, MG_LIBRARY_VERSION);

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	PG_TRY();
	{
		MgShmemHead *h = ShmemInitStruct(full, size, &found);

		if (!found)
		{
			memset(h, 0, size);
			h->tranche = LWLockNewTrancheId();
			LWLockInitialize(&h->lock, h->tranche);
		}
		head = h;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		FlushErrorState();
		HOLD_INTERRUPTS(); /* the error has let go of what the lock held, and its release will again */
	}
	PG_END_TRY();
	LWLockRelease(AddinShmemInitLock);
	if (head != NULL)
		LWLockRegisterTranche(head->tranche, tranche);
	return head;
}
