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
#define PAIRS 128

/* How even a column's groups are (entropy). */
static double
evenness(const maker *k, uint32_t c)
{
	double h = 0;

	for (uint32_t g = 0; g < k->column[c].ngroups; g++)
		h -= k->margin[c][g] > 0 ? k->margin[c][g] * log(k->margin[c][g]) : 0;
	return h;
}

/* A column that is not `other`, the sooner the more even: pairs of nearly constant ones are of little account. */
static uint32_t
draw_column(const double *even, uint32_t n, uint32_t other, mg_rng *rng)
{
	double sum = 0, at;
	uint32_t last = 0;

	for (uint32_t c = 0; c < n; c++)
		sum += c != other ? even[c] : 0;
	at = mg_rng_unit(rng) * sum;
	for (uint32_t c = 0; c < n && at >= 0; c++)
		if (c != other && even[c] > 0)
		{
			at -= even[c];
			last = c;
		}
	return last;
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

mg_code
mg_maker_pairs(mg_ctx *ctx, maker *k)
{
	uint32_t n = k->model->ncolumns, even_columns = 0, a;
	double *even;
	mg_rng rng;

	mg_rng_seed(&rng, SEED);
	MG_NEW(ctx, k->work, even, n);
	MG_NEW(ctx, k->work, k->cost.pair, PAIRS);
	for (uint32_t c = 0; c < n; c++)
	{
		even[c] = evenness(k, c);
		even_columns += even[c] > 0;
	}
	if ((uint64_t) even_columns * (even_columns - 1) / 2 > PAIRS)
		for (uint32_t i = 0; i < PAIRS; i++)
		{
			a = draw_column(even, n, n, &rng);
			MG_TRY(add_pair(ctx, k, a, draw_column(even, n, a, &rng)));
		}
	else
		for (a = 0; a < n; a++)
			for (uint32_t b = a + 1; b < n; b++)
				if (even[a] > 0 && even[b] > 0)
					MG_TRY(add_pair(ctx, k, a, b));
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
