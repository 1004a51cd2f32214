/*
 * table/axis.c: cuts and cells as bounds over keys.
 */
#include "table/axis.h"

#include <math.h>
#include <stdlib.h>

static mg_code
axis_alloc(mg_ctx *ctx, uint32_t nbounds, mg_axis **out)
{
	mg_axis *a = malloc(sizeof(*a) + (size_t) nbounds * sizeof(a->bound[0]));

	if (a == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	a->nbounds = nbounds;
	*out = a;
	return MG_OK;
}

mg_code
mg_axis_of_cuts(mg_ctx *ctx, const double *cuts, uint32_t ncuts, mg_axis **out)
{
	for (uint32_t i = 0; i < ncuts; i++)
		if (isnan(cuts[i]) || (i > 0 && !(cuts[i - 1] < cuts[i])))
			return mg_fail(ctx, MG_INVALID, "cuts must increase");
	MG_TRY(axis_alloc(ctx, ncuts, out));
	for (uint32_t i = 0; i < ncuts; i++)
		(*out)->bound[i] = mg_key_of(cuts[i]);
	return MG_OK;
}

/* The least key that belongs to cell b rather than to cell a, its left neighbour. */
static uint64_t
bound_between(const mg_cell *a, const mg_cell *b)
{
	uint64_t low = mg_key_of(a->upper) + (a->lower == a->upper ? 1 : 0); /* the first key after cell a */
	uint64_t high = mg_key_of(b->lower), key;

	if (low >= high)
		return low; /* they touch; an interval that begins at the single value a leaves it out */
	key = mg_key_of(a->upper / 2 + b->lower / 2);
	return key < low ? low : key > high ? high : key;
}

mg_code
mg_axis_of_cells(mg_ctx *ctx, const mg_cell *cells, uint32_t ncells, mg_axis **out)
{
	if (ncells == 0)
		return mg_fail(ctx, MG_INVALID, "a number has at least one cell");
	for (uint32_t i = 0; i < ncells; i++)
	{
		const mg_cell *c = &cells[i];

		if (!(c->lower <= c->upper))
			return mg_fail(ctx, MG_INVALID, "a cell must not end before it begins");
		if (i > 0 && (cells[i - 1].upper > c->lower || (cells[i - 1].upper == c->lower && c->lower == c->upper &&
														cells[i - 1].lower == cells[i - 1].upper)))
			return mg_fail(ctx, MG_INVALID, "cells must be sorted and disjoint");
	}
	MG_TRY(axis_alloc(ctx, ncells - 1, out));
	for (uint32_t i = 1; i < ncells; i++)
		(*out)->bound[i - 1] = bound_between(&cells[i - 1], &cells[i]);
	return MG_OK;
}
