/*
 * table/axis.h: doubles as order-preserving 64-bit keys, and their way into cells.
 *
 * key(x) < key(y) iff x < y for finite x, y, with -0 taken as 0; keys of finite values lie strictly between 0 and all
 * ones.
 */
#ifndef MIRAGE_TABLE_AXIS_H
#define MIRAGE_TABLE_AXIS_H

#include <string.h>

#include "table/domain.h"

#define MG_KEY_NULL UINT64_MAX

static inline uint64_t
mg_key_of(double v)
{
	uint64_t u;

	v += 0.0; /* -0 + 0 is +0 */
	memcpy(&u, &v, sizeof(u));
	return u ^ ((0 - (u >> 63)) | UINT64_C(0x8000000000000000));
}

static inline double
mg_key_value(uint64_t key)
{
	uint64_t u = key >> 63 ? key ^ UINT64_C(0x8000000000000000) : ~key;
	double v;

	memcpy(&v, &u, sizeof(v));
	return v;
}

/* The cell of a key is the number of bounds at or under it; of NULL, nbounds + 1. */
typedef struct mg_axis
{
	uint32_t nbounds;
	uint64_t bound[];
} mg_axis;

/* Neither allows NaN. Cuts increase strictly; cells are sorted and disjoint, an interval may begin at the single value
 * before it (which it then leaves out); a value between two cells goes to the nearer, to the upper one of two as near.
 */
mg_code mg_axis_of_cuts(mg_ctx *ctx, const double *cuts, uint32_t ncuts, mg_axis **out);
mg_code mg_axis_of_cells(mg_ctx *ctx, const mg_cell *cells, uint32_t ncells, mg_axis **out);

static inline uint32_t
mg_axis_cell(const mg_axis *a, uint64_t key)
{
	const uint64_t *base = a->bound;
	uint32_t n = a->nbounds;

	if (key == MG_KEY_NULL)
		return n + 1;
	while (n > 1)
	{
		uint32_t half = n / 2;

		base += half & (0 - (size_t) (base[half - 1] <= key)); /* a mask: no branch to mispredict */
		n -= half;
	}
	return (uint32_t) (base - a->bound) + (n == 1 && *base <= key);
}

#endif
