/*
 * curator/oneway.c: histograms of one column. Neighbours differ by one unit, which has at most k rows.
 */
#include "curator/curator_private.h"

#include <stdlib.h>

/* ---- histograms ---- */

/* A closed number of few steps is stored as step indexes: each step's value goes to the cell that it lies in. */
static mg_code
exact_cells_of_steps(mg_ctx *ctx, mg_curator *c, uint32_t col, const mg_axis *axis, int64_t *exact)
{
	const mg_code_column *k = &c->codes->column[col];
	int64_t *fine = malloc(k->nfine * sizeof(*fine));
	mg_code code;

	if (fine == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	code = mgc_exact_fine(ctx, c, col, fine);
	if (code == MG_OK)
	{
		memset(exact, 0, ((size_t) axis->nbounds + 2) * sizeof(*exact));
		for (uint32_t i = 0; i + 1 < k->nfine; i++)
			exact[mg_axis_cell(axis, mg_key_of(k->lower + i * k->step))] += fine[i];
		exact[axis->nbounds + 1] += fine[k->nfine - 1];
	}
	mg_zeroize_free(fine, k->nfine * sizeof(*fine));
	return code;
}

/* One row is in one cell: adding or removing k rows of a unit moves counts by k in sum. */
mg_code
mgc_exact_cells(mg_ctx *ctx, mg_curator *c, uint32_t col, const double *cuts, uint32_t ncuts, int64_t *exact)
{
	mg_axis *axis;
	mg_code code;

	MG_TRY(mg_axis_of_cuts(ctx, cuts, ncuts, &axis));
	if (c->codes->column[col].storage == MG_STORE_KEY)
		code = mg_codes_histogram(ctx, c->codes, col, axis, ncuts + 2, exact);
	else
		code = exact_cells_of_steps(ctx, c, col, axis, exact);
	free(axis);
	return code;
}

/* One row is in one fine cell. */
mg_code
mgc_exact_fine(mg_ctx *ctx, mg_curator *c, uint32_t col, int64_t *exact)
{
	return mg_codes_histogram(ctx, c->codes, col, NULL, c->codes->column[col].nfine, exact);
}

mg_code
mg_curator_cells(mg_ctx *ctx, mg_curator *c, uint32_t col, const double *cuts, uint32_t ncuts, mg_ratio sigma2,
				 int64_t *noisy)
{
	mg_event e = mgc_rows_event(c, sigma2);
	mg_axis *axis;
	int64_t *exact;
	mg_code code;

	MG_TRY(mgc_check_fine(ctx, c, col));
	MG_TRY(mgc_check_sigma2(ctx, sigma2));
	if (c->codes->column[col].kind != MG_NUMBER)
		return mg_fail(ctx, MG_INVALID, "column %u is not a number", col + 1);
	if (ncuts > MG_MAX_CELLS * 1024u)
		return mg_fail(ctx, MG_INVALID, "there are too many cuts");
	MG_TRY(mg_axis_of_cuts(ctx, cuts, ncuts, &axis)); /* checked before it is paid for */
	free(axis);

	exact = calloc((size_t) ncuts + 2, sizeof(*exact));
	if (exact == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	code = mgc_debit(ctx, c, &e);
	if (code == MG_OK)
		code = mgc_exact_cells(ctx, c, col, cuts, ncuts, exact);
	if (code == MG_OK)
		code = mg_add_discrete_gaussian(ctx, c->noise, sigma2, exact, (size_t) ncuts + 2);
	if (code == MG_OK)
		memcpy(noisy, exact, ((size_t) ncuts + 2) * sizeof(*noisy));
	mg_zeroize_free(exact, ((size_t) ncuts + 2) * sizeof(*exact));
	return code;
}

static mg_event
level_event(const mg_curator *c, const void *arg, size_t i)
{
	return mgc_rows_event(c, ((const mg_ratio *) arg)[i]);
}

/* Level 0 has no groups of its own: its cells are the fine ones. */
static mg_code
check_levels(mg_ctx *ctx, uint32_t nfine, uint32_t levels, const uint32_t *size, const uint32_t *const *group,
			 const mg_ratio *sigma2, size_t *most)
{
	*most = nfine;
	if (levels == 0 || size[0] != nfine)
		return mg_fail(ctx, MG_INVALID, "level 0 of a hierarchy is the fine cells");
	for (uint32_t k = 0; k < levels; k++)
	{
		MG_TRY(mgc_check_sigma2(ctx, sigma2[k]));
		if (size[k] == 0 || size[k] > nfine)
			return mg_fail(ctx, MG_INVALID, "a level of a hierarchy has 1 to as many groups as there are cells");
		for (uint32_t i = 0; k > 0 && i < nfine; i++)
			if (group[k][i] >= size[k])
				return mg_fail(ctx, MG_INVALID, "a cell belongs to a group that is not there");
	}
	return MG_OK;
}

mg_code
mg_curator_hierarchy(mg_ctx *ctx, mg_curator *c, uint32_t col, uint32_t levels, const uint32_t *size,
					 const uint32_t *const *group, const mg_ratio *sigma2, int64_t *const *noisy)
{
	uint32_t nfine = mg_curator_nfine(c, col);
	int64_t *fine, *level;
	size_t cells, at = 0;
	mg_code code;

	MG_TRY(mgc_check_fine(ctx, c, col));
	if (!c->codes->column[col].fixed)
		return mg_fail(ctx, MG_INVALID, "the domain of column %u is not fixed yet", col + 1);
	MG_TRY(check_levels(ctx, nfine, levels, size, group, sigma2, &cells));
	cells = 0;
	for (uint32_t k = 0; k < levels; k++)
		if (!mg_add_size(cells, size[k], &cells))
			return mg_fail(ctx, MG_INVALID, "a hierarchy is too large");
	fine = calloc(nfine, sizeof(*fine));
	level = calloc(cells, sizeof(*level));
	code = fine == NULL || level == NULL ? mg_fail(ctx, MG_NOMEM, "out of memory") : MG_OK;

	if (code == MG_OK)
		code = mgc_debit_all(ctx, c, levels, level_event, sigma2);
	if (code == MG_OK)
		code = mgc_exact_fine(ctx, c, col, fine);
	/* One row is in one fine cell, so in one group of each level: each level has sensitivity k and noise of its own. */
	for (uint32_t k = 0; code == MG_OK && k < levels; at += size[k++])
	{
		for (uint32_t i = 0; i < nfine; i++)
			level[at + (k == 0 ? i : group[k][i])] += fine[i];
		code = mg_add_discrete_gaussian(ctx, c->noise, sigma2[k], level + at, size[k]);
	}
	at = 0;
	for (uint32_t k = 0; code == MG_OK && k < levels; at += size[k++])
		memcpy(noisy[k], level + at, size[k] * sizeof(int64_t));
	mg_zeroize_free(fine, fine ? nfine * sizeof(*fine) : 0);
	mg_zeroize_free(level, level ? cells * sizeof(*level) : 0);
	return code;
}
