/* graphical/candidates.c: see candidates.h. */
#include "graphical/candidates.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_WEIGHT 65536.0
/* Scoring looks at every candidate in every round. */
#define MOST_TRIPLES 8192

typedef struct triple
{
	uint32_t cols[3];
	size_t cells;
} triple;

/* C(n, k) for k <= 3; 0 where n < k. */
static double
choose(uint32_t n, uint32_t k)
{
	double c = 1;

	for (uint32_t i = 0; i < k; i++)
		c *= n > i ? (double) (n - i) / (i + 1) : 0;
	return c;
}

/* sum over all sets s of `degree` of d columns of |r and s|, |r| = k. */
static double
workload_weight(uint32_t d, uint32_t degree, uint32_t k)
{
	double sum = 0;

	for (uint32_t shared = 1; shared <= k && shared <= degree; shared++)
		sum += shared * choose(k, shared) * choose(d - k, degree - shared);
	return sum;
}

static int
compare_triples(const void *a, const void *b)
{
	const triple *x = a, *y = b;

	if (x->cells != y->cells)
		return x->cells < y->cells ? -1 : 1;
	return memcmp(x->cols, y->cols, sizeof(x->cols));
}

static mg_code
add(mg_ctx *ctx, mg_arena *a, mg_candidates *out, const uint32_t *cols, uint32_t k, size_t cells, double weight)
{
	uint32_t *own;

	MG_NEW(ctx, a, own, k);
	memcpy(own, cols, k * sizeof(*own));
	out->set[out->count] = (mg_marginal_of){.k = k, .cols = own};
	out->cells[out->count] = cells;
	out->weight[out->count] = weight < 1 ? 1 : (uint32_t) weight;
	out->all_cells += cells;
	if (cells > out->most_cells)
		out->most_cells = cells;
	out->count++;
	return MG_OK;
}

static uint32_t
list_triples(const uint32_t *sizes, uint32_t d, size_t most_cells, triple *out)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < d; i++)
	{
		for (uint32_t j = i + 1; j < d; j++)
		{
			for (uint32_t k = j + 1; k < d; k++)
			{
				triple t = {{i, j, k}, 0};

				if (!mg_factor_count(t.cols, 3, sizes, &t.cells) || t.cells > most_cells)
					continue;
				if (out != NULL)
					out[n] = t;
				n++;
			}
		}
	}
	return n;
}

mg_code
mg_candidates_list(mg_ctx *ctx, mg_arena *a, const uint32_t *sizes, uint32_t ncolumns, uint32_t degree,
				   size_t most_cells, size_t all_cells, mg_candidates *out)
{
	uint32_t pairs = ncolumns * (ncolumns - 1) / 2, ntriples = 0;
	double top = workload_weight(ncolumns, degree, degree), scale = top > 0 ? MOST_WEIGHT / top : 1;
	triple *triples = NULL;

	memset(out, 0, sizeof(*out));
	if (degree > 2 && ncolumns > 2)
	{
		MG_NEW(ctx, a, triples, (size_t) list_triples(sizes, ncolumns, most_cells, NULL) + 1);
		ntriples = list_triples(sizes, ncolumns, most_cells, triples);
		qsort(triples, ntriples, sizeof(*triples), compare_triples);
		ntriples = ntriples < MOST_TRIPLES ? ntriples : MOST_TRIPLES;
	}
	MG_NEW(ctx, a, out->set, (size_t) pairs + ntriples + 1);
	MG_NEW(ctx, a, out->cells, (size_t) pairs + ntriples + 1);
	MG_NEW(ctx, a, out->weight, (size_t) pairs + ntriples + 1);
	for (uint32_t i = 0; i < ncolumns; i++)
	{
		for (uint32_t j = i + 1; j < ncolumns; j++)
		{
			uint32_t cols[2] = {i, j};
			size_t cells;

			if (mg_factor_count(cols, 2, sizes, &cells) && cells <= most_cells)
				MG_TRY(add(ctx, a, out, cols, 2, cells, scale * workload_weight(ncolumns, degree, 2)));
		}
	}
	for (uint32_t i = 0; i < ntriples && out->all_cells + triples[i].cells <= all_cells; i++)
		MG_TRY(add(ctx, a, out, triples[i].cols, 3, triples[i].cells, scale * workload_weight(ncolumns, degree, 3)));
	return MG_OK;
}
