/*
 * synthesis/mark_cost.c: what a mark costs, as a plan on trial sees it.
 *
 * Pairs of columns are counted by groups: in the batches that are kept, which stand for the model, and in other batches
 * before and after they are marked. The cost is the mean total variation distance of the marked batches to the model,
 * over that of the same batches unmarked: 1 where a mark does not show beside the noise of sampling. How far the model
 * is from the real rows is not known here; it can only make what is seen of a mark less. (Triples were tried: in a mean
 * over them there is more noise, and a mark shows less.)
 *
 * All memory is of the maker's work arena. Where there are too many pairs for all of them, they are drawn from a public
 * seed.
 */
#include "synthesis/mark_maker.h"

#include <math.h>
#include <string.h>

#define SEED UINT64_C(0x6d61726b636f7374)
#define PAIRS 512

/* Does the column say anything? */
static bool
varies(const maker *k, uint32_t c)
{
	for (uint32_t g = 0; g < k->column[c].ngroups; g++)
		if (k->margin[c][g] > 0 && k->margin[c][g] < 1)
			return true;
	return false;
}

/* Counts rows by their groups in both columns, into [groups of a][groups of b]. */
static void
count_pair(maker *k, uint8_t *const *group, const mg_pair *p, uint32_t *count)
{
	mg_maker_cells(k, group, p->cols, 2, MG_BATCH_ROWS, k->at);
	for (uint32_t r = 0; r < MG_BATCH_ROWS; r++)
		count[k->at[r]]++;
}

static mg_code
add_pair(mg_ctx *ctx, maker *k, uint32_t a, uint32_t b)
{
	mg_pair *p = &k->cost.pair[k->cost.npairs];

	*p = (mg_pair){.cols = {a, b}, .cells = (uint32_t) k->column[a].ngroups * k->column[b].ngroups};
	MG_NEW(ctx, k->work, p->model, p->cells);
	for (uint32_t i = 0; i < k->batches; i++)
		count_pair(k, mg_maker_kept(k, i), p, p->model);
	k->cost.npairs++;
	return mg_poll(ctx);
}

static uint32_t
draw_below(mg_rng *rng, uint32_t n)
{
	return mg_rng_below32((uint32_t) (mg_rng_u64(rng) >> 32), n);
}

mg_code
mg_maker_pairs(mg_ctx *ctx, maker *k)
{
	uint32_t *col, n = 0;
	mg_rng rng;

	mg_rng_seed(&rng, SEED);
	MG_NEW(ctx, k->work, col, k->model->ncolumns);
	MG_NEW(ctx, k->work, k->cost.pair, PAIRS);
	for (uint32_t c = 0; c < k->model->ncolumns; c++)
		if (varies(k, c))
			col[n++] = c;
	if ((uint64_t) n * (n - 1) / 2 > PAIRS)
		for (uint32_t i = 0; i < PAIRS; i++)
		{
			uint32_t a = draw_below(&rng, n), b = draw_below(&rng, n - 1);

			MG_TRY(add_pair(ctx, k, col[a], col[b + (b >= a)]));
		}
	else
		for (uint32_t a = 0; a < n; a++)
			for (uint32_t b = a + 1; b < n; b++)
				MG_TRY(add_pair(ctx, k, col[a], col[b]));
	return MG_OK;
}

double
mg_maker_distance(maker *k)
{
	uint32_t count[MG_MARK_GROUPS * MG_MARK_GROUPS];
	double sum = 0;

	for (uint32_t i = 0; i < k->cost.npairs; i++)
	{
		const mg_pair *p = &k->cost.pair[i];

		memset(count, 0, p->cells * sizeof(*count));
		count_pair(k, k->group, p, count);
		for (uint32_t j = 0; j < p->cells; j++)
			sum += fabs(count[j] - (double) p->model[j] / k->batches);
	}
	return sum;
}
