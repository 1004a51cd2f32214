/*
 * curator/marginal.c: noisy marginals. One row is in one cell of a marginal, and a unit has at most k: L2 sensitivity
 * k, reached when all of them are in the same cell.
 *
 * Marginals are counted in batches whose counters fit the counting memory; one that does not fit alone is counted in
 * ranges of cells. Each batch or range is noised before the next is counted, and reaches the caller when all are done
 * or, for a range, when it is noised; the odometer was debited for all of them before the first.
 */
#include "curator/curator_private.h"

#include <stdlib.h>

mg_code
mgc_exact_marginal(mg_ctx *ctx, mg_curator *c, const uint32_t *cols, uint32_t k, int64_t *exact)
{
	mg_count q = {.k = k, .cols = cols, .out = exact};

	if (!mg_count_cells(c->codes, cols, k, &q.cells))
		return mg_fail(ctx, MG_INVALID, "a marginal has too many cells");
	return mg_count_run(ctx, c->codes, &q, 1, mgc_counting_memory(c));
}

mg_code
mgc_check_marginal(mg_ctx *ctx, const mg_curator *c, const uint32_t *cols, uint32_t k, size_t *cells)
{
	for (uint32_t i = 0; i < k; i++)
		if (cols[i] >= c->ncolumns)
			return mg_fail(ctx, MG_INVALID, "there is no column %u", cols[i] + 1);
	if (!mg_count_cells(c->codes, cols, k, cells))
		return mg_fail(ctx, MG_INVALID, "a marginal has too many cells");
	return MG_OK;
}

static mg_event
query_event(const mg_curator *c, const void *arg, size_t i)
{
	return mgc_rows_event(c, ((const mg_marginal_query *) arg)[i].sigma2);
}

size_t
mgc_cells_at_once(const mg_curator *c)
{
	size_t n = mgc_counting_memory(c) / mg_count_bytes(1);

	return n < 4096 ? 4096 : n;
}

/* Counts, noises and hands out the ranges of `count[0..n-1]`; buffer holds all their cells. */
static mg_code
measure(mg_ctx *ctx, mg_curator *c, mg_count *count, const size_t *which, size_t n, mg_marginal_query *q)
{
	MG_TRY(mg_count_run(ctx, c->codes, count, n, mgc_counting_memory(c)));
	for (size_t i = 0; i < n; i++)
		MG_TRY(mg_add_discrete_gaussian(ctx, c->noise, q[which[i]].sigma2, count[i].out, count[i].cells));
	for (size_t i = 0; i < n; i++)
		memcpy(q[which[i]].noisy + count[i].first, count[i].out, count[i].cells * sizeof(int64_t));
	return MG_OK;
}

/* Takes queries from *next on (and from cell *first of that one) until `most` cells are together. */
static size_t
next_batch(const mg_curator *c, const mg_marginal_query *q, size_t total, size_t most, int64_t *buffer, size_t *next,
		   size_t *first, mg_count *count, size_t *which)
{
	size_t n = 0, used = 0;

	while (*next < total)
	{
		size_t cells = 0, left;

		mg_count_cells(c->codes, q[*next].cols, q[*next].k, &cells); /* checked before */
		left = cells - *first;
		if (left > most - used)
		{
			if (n > 0)
				break; /* it begins the next batch */
			left = most;
		}
		count[n] =
			(mg_count){.k = q[*next].k, .cols = q[*next].cols, .first = *first, .cells = left, .out = buffer + used};
		which[n++] = *next;
		used += left;
		*first += left;
		if (*first < cells)
			break;
		*first = 0;
		++*next;
	}
	return n;
}

mg_code
mgc_measure_debited(mg_ctx *ctx, mg_curator *c, mg_marginal_query *q, size_t count)
{
	size_t most = mgc_cells_at_once(c), next = 0, first = 0, all = 0;
	mg_count *batch;
	size_t *which;
	int64_t *buffer;
	mg_code code;

	for (size_t i = 0; i < count; i++)
	{
		size_t cells = 0;

		mg_count_cells(c->codes, q[i].cols, q[i].k, &cells); /* checked before */
		all = all < most - (cells < most ? cells : most) ? all + cells : most;
	}
	if (count == 0)
		return MG_OK;
	batch = calloc(count, sizeof(*batch));
	which = calloc(count, sizeof(*which));
	buffer = calloc(all, sizeof(*buffer));
	code = !batch || !which || !buffer ? mg_fail(ctx, MG_NOMEM, "out of memory") : MG_OK;
	while (code == MG_OK && next < count)
	{
		size_t n = next_batch(c, q, count, all, buffer, &next, &first, batch, which);

		code = measure(ctx, c, batch, which, n, q);
	}
	free(batch);
	free(which);
	mg_zeroize_free(buffer, buffer ? all * sizeof(*buffer) : 0);
	return code;
}

mg_code
mg_curator_marginals(mg_ctx *ctx, mg_curator *c, mg_marginal_query *q, size_t count)
{
	MG_TRY(mgc_check_coarse(ctx, c));
	for (size_t i = 0; i < count; i++)
	{
		size_t cells;

		MG_TRY(mgc_check_marginal(ctx, c, q[i].cols, q[i].k, &cells));
		MG_TRY(mgc_check_sigma2(ctx, q[i].sigma2));
	}
	MG_TRY(mgc_debit_all(ctx, c, count, query_event, q));
	return mgc_measure_debited(ctx, c, q, count);
}

mg_code
mg_curator_marginal(mg_ctx *ctx, mg_curator *c, const uint32_t *cols, uint32_t k, mg_ratio sigma2, int64_t *noisy)
{
	mg_marginal_query q = {.k = k, .cols = cols, .sigma2 = sigma2, .noisy = noisy};

	return mg_curator_marginals(ctx, c, &q, 1);
}
