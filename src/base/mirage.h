/*
 * base/mirage.h: what every pure (server-free) file of pg_mirage shares.
 *
 * Pure functions return an mg_code and describe a failure in the mg_ctx they were given. They never jump, never
 * print and never exit. A ctx belongs to one thread; pool threads get none and report through their own results.
 */
#ifndef MIRAGE_BASE_MIRAGE_H
#define MIRAGE_BASE_MIRAGE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum mg_code
{
	MG_OK = 0,
	MG_CANCELLED,  /* the cancel hook said stop */
	MG_NOMEM,      /* the machine, or a stated limit, has no more memory */
	MG_INVALID,    /* a parameter is outside what the function states */
	MG_UNKNOWN,    /* no method, option or column of that name */
	MG_IO,         /* a store callback or a file failed */
	MG_CORRUPT,    /* bytes that do not parse, or do not match their checksum or tag */
	MG_CRYPTO,     /* OpenSSL refused */
	MG_BUDGET,     /* a mechanism would go beyond what the odometer reserved */
	MG_IMPOSSIBLE, /* a condition of probability zero */
	MG_INTERNAL    /* cannot happen */
} mg_code;

typedef struct mg_pool mg_pool;

typedef struct mg_ctx
{
	mg_code code;      /* the first failure; MG_OK until then */
	char message[256]; /* lower case, no full stop, never a data value or an exact count */
	char hint[256];    /* what to do; may be empty */
	uint32_t failures; /* calls of mg_fail: a hint is kept for the first failure only */

	bool (*cancel)(void *arg); /* true: stop. NULL: never. Called by mg_poll, at least every 100 ms of work */
	void *cancel_arg;
	void (*progress)(void *arg, const char *phase, double fraction); /* NULL: nobody watches */
	void *progress_arg;

	mg_pool *pool; /* threads for pure work, or NULL for none */
} mg_ctx;

void mg_ctx_init(mg_ctx *ctx);

/* Records the first failure (later ones keep it) and returns `code`. */
mg_code mg_fail(mg_ctx *ctx, mg_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Adds a hint to the failure just recorded; returns its code. */
mg_code mg_hint(mg_ctx *ctx, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *mg_code_name(mg_code code);

/* MG_OK, or MG_CANCELLED (recorded) when the hook says so. */
mg_code mg_poll(mg_ctx *ctx);
void mg_progress(mg_ctx *ctx, const char *phase, double fraction);

#define MG_TRY(expr)              \
	do                            \
	{                             \
		mg_code mg_try_ = (expr); \
		if (mg_try_ != MG_OK)     \
			return mg_try_;       \
	} while (0)

/* a * b and a + b in size_t; false on overflow, *out untouched then. */
bool mg_mul_size(size_t a, size_t b, size_t *out);
bool mg_add_size(size_t a, size_t b, size_t *out);

/*
 * Arena: memory that is freed together. Allocations are zeroed and aligned to 64 bytes (16 for those under 64 bytes).
 * `limit` bounds the bytes held (0: none). An arena has one owner; destroying it twice is an error, NULL is allowed.
 * No thread safety.
 */
typedef struct mg_arena mg_arena;
mg_arena *mg_arena_create(size_t limit);                        /* NULL: out of memory */
void *mg_arena_alloc(mg_arena *a, size_t count, size_t size);   /* NULL: out of memory, over the limit, or overflow */
char *mg_arena_strndup(mg_arena *a, const char *s, size_t len); /* adds a final NUL */
size_t mg_arena_bytes(const mg_arena *a);
void mg_arena_reset(mg_arena *a); /* frees all allocations, keeps the arena */
void mg_arena_destroy(mg_arena *a);

/* mg_new(ctx, arena, count, type, var): var = zeroed array, or return MG_NOMEM from the caller. */
#define MG_NEW(ctx, arena, var, count)                                     \
	do                                                                     \
	{                                                                      \
		(var) = mg_arena_alloc((arena), (size_t) (count), sizeof(*(var))); \
		if ((var) == NULL)                                                 \
			return mg_fail((ctx), MG_NOMEM, "out of memory");              \
	} while (0)

#endif
