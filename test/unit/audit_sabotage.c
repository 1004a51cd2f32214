/*
 * test/unit/audit_sabotage.c: the wrappers of test_audit. __real_x is the core's function x, __wrap_x is what calls of
 * x reach; the linker makes both. One defect at a time, one thread.
 */
#include "audit_sabotage.h"

#include <math.h>
#include <string.h>

#include "curator/curator_private.h"
#include "privacy/noise.h"
#include "table/codes.h"
#include "table/hash.h"

#define COLUMNS 8     /* of a row that is loaded; audits have fewer */
#define TEXT_BYTES 32 /* of a label */
#define COPIES 3      /* of a row under AUDIT_NO_BOUND */

#define WRAPPED(type, name, ...)     \
	type __real_##name(__VA_ARGS__); \
	type __wrap_##name(__VA_ARGS__); \
	type __wrap_##name(__VA_ARGS__)

static audit_defect defect;
static size_t changed;

static mg_event charged[AUDIT_EVENTS];
static size_t ncharged;

void
audit_forget(void)
{
	ncharged = 0;
}

void
audit_break(audit_defect d)
{
	defect = d;
	changed = 0;
	audit_forget();
}

audit_defect
audit_broken(void)
{
	return defect;
}

size_t
audit_defective_calls(void)
{
	return changed;
}

const mg_event *
audit_charged(size_t *count)
{
	*count = ncharged;
	return charged;
}

/* True, and counted, when the present defect is d. */
static bool
broken(audit_defect d)
{
	if (defect != d)
		return false;
	changed++;
	return true;
}

/* ---- noise ---- */

WRAPPED(mg_code, mg_add_discrete_gaussian, mg_ctx *ctx, mg_noise *n, mg_ratio sigma2, int64_t *v, size_t count)
{
	if (broken(AUDIT_NO_NOISE))
		return MG_OK;
	if (broken(AUDIT_WEAK_NOISE))
		sigma2.den *= 2;
	return __real_mg_add_discrete_gaussian(ctx, n, sigma2, v, count);
}

WRAPPED(mg_code, mg_discrete_laplace, mg_ctx *ctx, mg_noise *n, mg_ratio scale, int64_t *out)
{
	if (broken(AUDIT_NO_NOISE))
	{
		*out = 0;
		return MG_OK;
	}
	if (broken(AUDIT_WEAK_NOISE))
		scale.den *= 2;
	return __real_mg_discrete_laplace(ctx, n, scale, out);
}

WRAPPED(mg_code, mg_exponential, mg_ctx *ctx, mg_noise *n, mg_ratio epsilon, const int64_t *score, const bool *allowed,
		size_t count, size_t *chosen)
{
	size_t best = count;

	if (broken(AUDIT_WEAK_NOISE))
		epsilon.num *= 2;
	if (!broken(AUDIT_NO_NOISE))
		return __real_mg_exponential(ctx, n, epsilon, score, allowed, count, chosen);
	for (size_t i = 0; i < count; i++)
		if ((allowed == NULL || allowed[i]) && (best == count || score[i] > score[best]))
			best = i;
	*chosen = best;
	return MG_OK;
}

/* ---- domain discovery ---- */

WRAPPED(mg_code, mg_partition_threshold, mg_ctx *ctx, mg_ratio sigma2, double delta, int64_t *threshold)
{
	mg_code code = __real_mg_partition_threshold(ctx, sigma2, delta, threshold);

	if (code == MG_OK && broken(AUDIT_LOW_THRESHOLD))
		*threshold -= 1;
	if (code == MG_OK && broken(AUDIT_NO_THRESHOLD))
		*threshold = INT64_MIN;
	return code;
}

/* ---- accounting ---- */

WRAPPED(mg_code, mg_odometer_debit, mg_ctx *ctx, mg_odometer *o, const mg_event *e)
{
	mg_event entry = *e;
	mg_code code;

	if (entry.delta > 0 && broken(AUDIT_FREE_DELTA))
		entry.delta = 0;
	if (o->calls > 0 && broken(AUDIT_ONE_DEBIT))
		return MG_OK;
	code = __real_mg_odometer_debit(ctx, o, &entry);
	if (code == MG_OK && ncharged < AUDIT_EVENTS)
		charged[ncharged++] = entry;
	return code;
}

/* ---- sensitivity ---- */

WRAPPED(uint64_t, mgc_selection_sensitivity, const mg_selection *s, const bool *allowed)
{
	if (broken(AUDIT_NO_WEIGHT))
		return s->c->k;
	return __real_mgc_selection_sensitivity(s, allowed);
}

WRAPPED(uint64_t, mgc_selection_squared_reach, const mg_selection *s)
{
	uint64_t one = (uint64_t) s->c->k * s->c->k;

	if (broken(AUDIT_ONE_SCORE))
		return one;
	if (broken(AUDIT_NO_WEIGHT))
		return one * s->count;
	return __real_mgc_selection_squared_reach(s);
}

/* A unit is known by this hash of its bytes. */
WRAPPED(void, mg_keyed_hash_wide, const uint64_t key[2], const void *p, size_t len, uint64_t out[2])
{
	__real_mg_keyed_hash_wide(key, p, len, out);
	if (broken(AUDIT_NO_UNITS))
		out[0] ^= changed;
}

/* The row that is being loaded, so that it can be loaded again. */
typedef struct value
{
	enum
	{
		NOTHING,
		NUMBER,
		CODE,
		TEXT
	} kind;
	double number;
	uint32_t code;
	char text[TEXT_BYTES];
	size_t len;
	int outside; /* of a number: widths of its column's range that it is out by, rounded up */
} value;

static value row[COLUMNS];
static bool brings_more;

void
audit_unit_brings_more(void)
{
	brings_more = true;
}

static int
widths_outside(const mg_code_column *c, double v)
{
	double out = v > c->upper ? v - c->upper : v < c->lower ? c->lower - v : 0;

	return c->clamped ? (int) ceil(fmin(out / (c->upper - c->lower), 100)) : 0;
}

WRAPPED(void, mg_codes_load_number, mg_codes *t, uint32_t col, double v)
{
	if (col < COLUMNS && col < t->ncolumns)
		row[col] = (value){.kind = NUMBER, .number = v, .outside = widths_outside(&t->column[col], v)};
	__real_mg_codes_load_number(t, col, v);
}

WRAPPED(void, mg_codes_load_code, mg_codes *t, uint32_t col, uint32_t code)
{
	if (col < COLUMNS)
		row[col] = (value){.kind = CODE, .code = code};
	__real_mg_codes_load_code(t, col, code);
}

WRAPPED(void, mg_codes_load_text, mg_codes *t, uint32_t col, const char *s, size_t len)
{
	if (col < COLUMNS && len <= TEXT_BYTES)
	{
		row[col] = (value){.kind = TEXT, .len = len};
		memcpy(row[col].text, s, len);
	}
	__real_mg_codes_load_text(t, col, s, len);
}

/* outside_is_null: leaves out numbers out of range. */
static void
load_again(mg_codes *t, bool outside_is_null)
{
	for (uint32_t i = 0; i < COLUMNS && i < t->ncolumns; i++)
	{
		const value *v = &row[i];

		if (v->kind == NUMBER && !(outside_is_null && v->outside > 0))
			__real_mg_codes_load_number(t, i, v->number);
		else if (v->kind == CODE)
			__real_mg_codes_load_code(t, i, v->code);
		else if (v->kind == TEXT)
			__real_mg_codes_load_text(t, i, v->text, v->len);
	}
}

WRAPPED(mg_code, mg_codes_load_row, mg_ctx *ctx, mg_codes *t)
{
	mg_code code = __real_mg_codes_load_row(ctx, t);
	int outside = 0;

	for (uint32_t i = 0; i < COLUMNS; i++)
		outside = row[i].outside > outside ? row[i].outside : outside;
	for (int i = 0; i < outside && code == MG_OK && broken(AUDIT_NO_CLIP); i++)
	{
		load_again(t, true);
		code = __real_mg_codes_load_row(ctx, t);
	}
	for (int i = 1; i < COPIES && code == MG_OK && brings_more && broken(AUDIT_NO_BOUND); i++)
	{
		load_again(t, false);
		code = __real_mg_codes_load_row(ctx, t);
	}
	memset(row, 0, sizeof(row));
	brings_more = false;
	return code;
}
