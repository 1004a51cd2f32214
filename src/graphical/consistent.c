/* graphical/consistent.c: see consistent.h. Components live in a scratch arena for the time of the call. */
#include "graphical/consistent.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_COLUMNS 16 /* 2^k components */

typedef struct component
{
	mg_factor table; /* weighted sum of what was told, then its mean */
	double weight;
} component;

typedef struct decomposition
{
	const uint32_t *sizes;
	component *item;
	uint32_t count;
	uint32_t *slot; /* hash table of indexes + 1; [mask + 1] */
	size_t mask;
} decomposition;

static size_t
hash_columns(const uint32_t *cols, uint32_t k)
{
	uint64_t h = 0x9E3779B97F4A7C15u;

	for (uint32_t i = 0; i < k; i++)
	{
		h = (h ^ (cols[i] + 1)) * 0xBF58476D1CE4E5B9u;
		h ^= h >> 29;
	}
	return (size_t) h;
}

/* The component of these columns, made where it is new. */
static mg_code
find(mg_ctx *ctx, mg_arena *a, decomposition *d, const uint32_t *cols, uint32_t k, component **out)
{
	size_t at = hash_columns(cols, k) & d->mask;

	for (; d->slot[at] != 0; at = (at + 1) & d->mask)
	{
		component *c = &d->item[d->slot[at] - 1];

		if (c->table.k == k && (k == 0 || memcmp(c->table.cols, cols, k * sizeof(*cols)) == 0))
		{
			*out = c;
			return MG_OK;
		}
	}
	*out = &d->item[d->count];
	MG_TRY(mg_factor_make(ctx, a, cols, k, d->sizes, &(*out)->table));
	d->slot[at] = ++d->count;
	return MG_OK;
}

/* f less its mean along column `at` of its own. */
static void
centre(mg_factor *f, uint32_t at)
{
	size_t inner = 1, n = f->size[at];

	for (uint32_t i = at + 1; i < f->k; i++)
		inner *= f->size[i];
	for (size_t outer = 0; outer < f->cells; outer += n * inner)
	{
		for (size_t i = 0; i < inner; i++)
		{
			double *v = f->v + outer + i, mean = 0;

			for (size_t x = 0; x < n; x++)
				mean += v[x * inner];
			mean /= (double) n;
			for (size_t x = 0; x < n; x++)
				v[x * inner] -= mean;
		}
	}
}

/* The columns of a measurement that `subset` (a bit each) names; *rest: cells that each of theirs was summed over. */
static uint32_t
columns_of(const mg_factor *y, uint32_t subset, uint32_t *cols, double *rest)
{
	uint32_t k = 0;

	*rest = 1;
	for (uint32_t i = 0; i < y->k; i++)
	{
		if (subset & 1u << i)
			cols[k++] = y->cols[i];
		else
			*rest *= y->size[i];
	}
	return k;
}

/* Adds what measurement y, of variance var, tells of all its components. */
static mg_code
tell(mg_ctx *ctx, mg_arena *a, mg_arena *scratch, decomposition *d, const mg_factor *y, double var)
{
	uint32_t cols[MG_FACTOR_COLUMNS];

	for (uint32_t subset = 0; subset < 1u << y->k; subset++)
	{
		double rest;
		uint32_t k = columns_of(y, subset, cols, &rest);
		double weight = 1 / (var * rest);
		component *c;
		mg_factor told;

		MG_TRY(find(ctx, a, d, cols, k, &c));
		MG_TRY(mg_factor_make(ctx, scratch, cols, k, d->sizes, &told));
		mg_factor_marginal(y, &told);
		for (uint32_t i = 0; i < k; i++)
			centre(&told, i);
		for (size_t x = 0; x < told.cells; x++)
			c->table.v[x] += weight * told.v[x];
		c->weight += weight;
		mg_arena_reset(scratch);
	}
	return MG_OK;
}

/* y = sum of its components, each spread evenly over the columns that it lacks. */
static mg_code
rebuild(mg_ctx *ctx, mg_arena *a, mg_arena *scratch, decomposition *d, mg_factor *y)
{
	uint32_t cols[MG_FACTOR_COLUMNS];

	memset(y->v, 0, y->cells * sizeof(*y->v));
	for (uint32_t subset = 0; subset < 1u << y->k; subset++)
	{
		double rest;
		uint32_t k = columns_of(y, subset, cols, &rest);
		component *c;
		mg_factor part;

		MG_TRY(find(ctx, a, d, cols, k, &c));
		MG_TRY(mg_factor_make(ctx, scratch, cols, k, d->sizes, &part));
		for (size_t x = 0; x < part.cells; x++)
			part.v[x] = c->table.v[x] / (c->weight * rest);
		mg_factor_add(y, &part);
		mg_arena_reset(scratch);
	}
	return MG_OK;
}

static mg_code
run(mg_ctx *ctx, mg_arena *a, mg_arena *keep, mg_arena *scratch, const uint32_t *sizes, const mg_measurement *m,
	uint32_t count, double **out)
{
	decomposition d = {.sizes = sizes, .mask = 1};
	size_t most = 1;
	mg_factor *y;

	for (uint32_t i = 0; i < count; i++)
		most += (size_t) 1 << m[i].k;
	while (d.mask < 2 * most)
		d.mask = 2 * d.mask + 1;
	MG_NEW(ctx, keep, d.item, most);
	MG_NEW(ctx, keep, d.slot, d.mask + 1);
	MG_NEW(ctx, keep, y, (size_t) count + 1);
	for (uint32_t i = 0; i < count; i++)
	{
		MG_TRY(mg_factor_make(ctx, a, m[i].cols, m[i].k, sizes, &y[i]));
		memcpy(y[i].v, m[i].y, y[i].cells * sizeof(double));
		MG_TRY(tell(ctx, keep, scratch, &d, &y[i], m[i].var));
		MG_TRY(mg_poll(ctx));
	}
	for (uint32_t i = 0; i < count; i++)
	{
		MG_TRY(rebuild(ctx, keep, scratch, &d, &y[i]));
		out[i] = y[i].v;
	}
	return MG_OK;
}

mg_code
mg_make_consistent(mg_ctx *ctx, mg_arena *a, const uint32_t *sizes, const mg_measurement *m, uint32_t count,
				   double **out)
{
	mg_arena *keep = mg_arena_create(0), *scratch = mg_arena_create(0);
	mg_code code = MG_OK;

	for (uint32_t i = 0; i < count && code == MG_OK; i++)
	{
		if (m[i].k > MOST_COLUMNS)
			code = mg_fail(ctx, MG_INVALID, "a measurement of more than %d columns", MOST_COLUMNS);
		else if (m[i].cell_var != NULL || !(m[i].var >= DBL_MIN) || !isfinite(m[i].var))
			code = mg_fail(ctx, MG_INVALID, "consistency needs one positive variance for all cells of a measurement");
	}
	if (keep == NULL || scratch == NULL)
		code = mg_fail(ctx, MG_NOMEM, "out of memory");
	if (code == MG_OK)
		code = run(ctx, a, keep, scratch, sizes, m, count, out);
	mg_arena_destroy(keep);
	mg_arena_destroy(scratch);
	return code;
}
