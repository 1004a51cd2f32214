/*
 * base/status.c: the context of a pure call (first failure, cancel and progress hooks) and checked size arithmetic.
 *
 * Invariant: once ctx->code is set it never changes, and message and hint belong to that same failure. A ctx owns no
 * memory.
 */
#include "base/mirage.h"

#include <stdio.h>
#include <string.h>

void
mg_ctx_init(mg_ctx *ctx)
{
	memset(ctx, 0, sizeof(*ctx));
}

mg_code
mg_fail(mg_ctx *ctx, mg_code code, const char *fmt, ...)
{
	va_list args;

	if (ctx->failures < UINT32_MAX)
		ctx->failures++;
	if (ctx->code != MG_OK || code == MG_OK)
		return code;
	ctx->code = code;
	ctx->failures = 1;
	va_start(args, fmt);
	(void) vsnprintf(ctx->message, sizeof(ctx->message), fmt, args);
	va_end(args);
	return code;
}

mg_code
mg_hint(mg_ctx *ctx, const char *fmt, ...)
{
	/* A hint that comes with a later failure would mislead beside the first one's message. */
	if (ctx->code != MG_OK && ctx->failures == 1)
	{
		va_list args;

		va_start(args, fmt);
		(void) vsnprintf(ctx->hint, sizeof(ctx->hint), fmt, args);
		va_end(args);
	}
	return ctx->code;
}

const char *
mg_code_name(mg_code code)
{
	switch (code)
	{
		case MG_OK:
			return "ok";
		case MG_CANCELLED:
			return "cancelled";
		case MG_NOMEM:
			return "out of memory";
		case MG_INVALID:
			return "invalid parameter";
		case MG_UNKNOWN:
			return "unknown name";
		case MG_IO:
			return "input or output failed";
		case MG_CORRUPT:
			return "corrupt data";
		case MG_CRYPTO:
			return "cryptography failed";
		case MG_BUDGET:
			return "budget exceeded";
		case MG_IMPOSSIBLE:
			return "impossible condition";
		case MG_INTERNAL:
			return "internal error";
	}
	return "unrecognized status";
}

mg_code
mg_poll(mg_ctx *ctx)
{
	if (ctx->cancel != NULL && ctx->cancel(ctx->cancel_arg))
		return mg_fail(ctx, MG_CANCELLED, "cancelled on request");
	return MG_OK;
}

void
mg_progress(mg_ctx *ctx, const char *phase, double fraction)
{
	if (ctx->progress == NULL)
		return;
	if (!(fraction >= 0)) /* NaN as well */
		fraction = 0;
	if (fraction > 1)
		fraction = 1;
	ctx->progress(ctx->progress_arg, phase, fraction);
}

bool
mg_mul_size(size_t a, size_t b, size_t *out)
{
	size_t product;

	if (__builtin_mul_overflow(a, b, &product))
		return false;
	*out = product;
	return true;
}

bool
mg_add_size(size_t a, size_t b, size_t *out)
{
	size_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return false;
	*out = sum;
	return true;
}
