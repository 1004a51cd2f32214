/*
 * pg/spill.c: the curator's store over the server's temporary files.
 *
 * Files are opened with interXact, so that they outlive the transaction that read the table; the server removes them
 * when the process ends and after a crash, and temp_file_limit counts them. They hold codes of real rows: they are
 * deleted as soon as the store's memory context goes, after errors too.
 *
 * The core calls these functions and must not be jumped through, so each call is made under PG_TRY. What is called
 * takes no locks, pins or other resources that only a transaction's abort would give back, so catching the error and
 * going on is safe. Owner of the memory: the context that was given.
 */
#include "postgres.h"

#include <unistd.h>

#include "pg/reader.h"
#include "pg/server.h"
#include "pg/spill.h"
#include "storage/fd.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#define SPILL_CHUNK (1024 * 1024) /* bytes of one system call: keeps interrupts near */

typedef struct Spill
{
	mg_store store;
	MemoryContext context;
	File *file; /* by number; -1: closed */
	int nfiles, room;
} Spill;

static int spill_sqlstate = 0;

int
mg_spill_take_sqlstate(void)
{
	int state = spill_sqlstate;

	spill_sqlstate = 0;
	return state;
}

/* Turns the error being caught into a status. The caller's memory context is current again. */
static mg_code
spill_caught(mg_ctx *ctx, MemoryContext context)
{
	ErrorData *error;
	mg_code code;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	spill_sqlstate = error->sqlerrcode;
	code = mg_fail(ctx, MG_IO, "%s", error->message != NULL ? error->message : "temporary file failed");
	if (error->hint != NULL)
		mg_hint(ctx, "%s", error->hint);
	FreeErrorData(error);
	return code;
}

static mg_code
spill_failed(mg_ctx *ctx, const char *what, int saved_errno)
{
	if (saved_errno == ENOSPC)
		spill_sqlstate = ERRCODE_DISK_FULL;
	else
		spill_sqlstate = ERRCODE_IO_ERROR;
	errno = saved_errno;
	mg_fail(ctx, MG_IO, "could not %s a temporary file: %s", what, strerror(saved_errno));
	if (saved_errno == ENOSPC)
		mg_hint(ctx, "Free space where the database keeps temporary files, or raise pg_mirage.work_mem.");
	return MG_IO;
}

static mg_code
spill_open(mg_ctx *ctx, mg_store *s, int *file)
{
	Spill *spill = s->arg;
	MemoryContext old = MemoryContextSwitchTo(spill->context);
	volatile mg_code code = MG_OK;

	PG_TRY();
	{
		if (spill->nfiles == spill->room)
		{
			int room = spill->room * 2;

			spill->file = repalloc(spill->file, mul_size(sizeof(File), room));
			spill->room = room;
		}
		spill->file[spill->nfiles] = OpenTemporaryFile(true);
		*file = spill->nfiles++;
	}
	PG_CATCH();
	{
		code = spill_caught(ctx, spill->context);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	return code;
}

static File
spill_file(Spill *spill, int file)
{
	return file >= 0 && file < spill->nfiles ? spill->file[file] : -1;
}

/* Writes (from `at`) or reads (into it); only one that reads changes what is there. */
static mg_code
spill_move(mg_ctx *ctx, mg_store *s, int file, uint64_t offset, char *at, size_t left, bool writes)
{
	Spill *spill = s->arg;
	File f = spill_file(spill, file);
	MemoryContext old = CurrentMemoryContext;
	volatile mg_code code = MG_OK;

	if (f < 0)
		return mg_fail(ctx, MG_INTERNAL, "no such temporary file");
	PG_TRY();
	{
		char *next = at;
		uint64 from = offset;
		size_t rest = left;

		while (rest > 0)
		{
			size_t chunk = Min(rest, SPILL_CHUNK);
			int done;

			errno = 0;
			if (writes)
				done = (int) FileWrite(f, next, (int) chunk, (off_t) from, WAIT_EVENT_BUFFILE_WRITE);
			else
				done = (int) FileRead(f, next, (int) chunk, (off_t) from, WAIT_EVENT_BUFFILE_READ);
			if (done <= 0)
			{
				/* a short write without an error is a full disk */
				code = spill_failed(ctx, writes ? "write" : "read",
									done < 0 && errno != 0 ? errno
									: writes               ? ENOSPC
														   : EIO);
				break;
			}
			next += done;
			from += (uint64) done;
			rest -= (size_t) done;
		}
	}
	PG_CATCH();
	{
		code = spill_caught(ctx, spill->context);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	return code;
}

static mg_code
spill_write(mg_ctx *ctx, mg_store *s, int file, uint64_t offset, const void *p, size_t n)
{
	return spill_move(ctx, s, file, offset, unconstify(char *, (const char *) p), n, true);
}

static mg_code
spill_read(mg_ctx *ctx, mg_store *s, int file, uint64_t offset, void *p, size_t n)
{
	return spill_move(ctx, s, file, offset, p, n, false);
}

static void
spill_close(mg_store *s, int file)
{
	Spill *spill = s->arg;
	File f = spill_file(spill, file);

	if (f < 0)
		return;
	spill->file[file] = -1;
	PG_TRY();
	{
		FileClose(f);
	}
	PG_CATCH();
	{
		/* The process's end removes what could not be removed now. */
		FlushErrorState();
	}
	PG_END_TRY();
}

static void
spill_release(void *arg)
{
	Spill *spill = arg;

	for (int i = 0; i < spill->nfiles; i++)
		spill_close(&spill->store, i);
}

mg_store *
mg_server_store(MemoryContext context)
{
	Spill *spill = MemoryContextAllocZero(context, sizeof(Spill));

	spill->context = context;
	spill->room = 8;
	spill->file = MemoryContextAlloc(context, sizeof(File) * spill->room);
	spill->store.open = spill_open;
	spill->store.write = spill_write;
	spill->store.read = spill_read;
	spill->store.close = spill_close;
	spill->store.arg = spill;
	mg_release_with(context, spill_release, spill);
	return &spill->store;
}
