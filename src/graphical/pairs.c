/* graphical/pairs.c: see pairs.h. */
#include "graphical/pairs.h"

#include "graphical/fit.h"

#include <string.h>

mg_code
mg_pairs_list(mg_ctx *ctx, mg_arena *a, const mg_model *m, size_t most_cells, mg_pairs *out)
{
	size_t most = (size_t) m->ncolumns * (m->ncolumns - 1) / 2;
	uint32_t *sizes;
	double **oneway;

	memset(out, 0, sizeof(*out));
	MG_TRY(mg_column_sizes(ctx, a, m->columns, m->ncolumns, &sizes));
	MG_TRY(mg_oneway_probabilities(ctx, a, m, &oneway));
	MG_NEW(ctx, a, out->cols, most + 1);
	MG_NEW(ctx, a, out->cells, most + 1);
	MG_NEW(ctx, a, out->item, most + 1);
	for (uint32_t i = 0; i < m->ncolumns; i++)
	{
		for (uint32_t j = i + 1; j < m->ncolumns; j++)
		{
			size_t n = out->count;

			out->cells[n] = (size_t) sizes[i] * sizes[j];
			if (out->cells[n] > most_cells)
				continue;
			out->cols[n][0] = i;
			out->cols[n][1] = j;
			out->item[n] = (mg_candidate){.k = 2, .cols = out->cols[n]};
			out->count++;
		}
	}
	out->sizes = sizes;
	out->oneway = oneway;
	for (uint32_t i = 0; i < m->ncolumns; i++)
		out->total += m->columns[i].total / m->ncolumns;
	if (!(out->total > 1))
		out->total = 1;
	return MG_OK;
}

/* The independent model's answer, rounded. */
static void
fill_product(void *arg, size_t i, int64_t *out)
{
	const mg_pairs *all = arg;
	const uint32_t *cols = all->cols[i];
	const double *p = all->oneway[cols[0]], *q = all->oneway[cols[1]];
	uint32_t rows = all->sizes[cols[0]], columns = all->sizes[cols[1]];

	for (uint32_t x = 0; x < rows; x++)
	{
		double mass = all->total * p[x];

		for (uint32_t y = 0; y < columns; y++)
			*out++ = (int64_t) (mass * q[y] + 0.5);
	}
}

mg_code
mg_pairs_score(mg_ctx *ctx, mg_curator *c, mg_pairs *pairs, mg_selection **out)
{
	return mg_selection_begin(ctx, c, pairs->item, pairs->count, fill_product, pairs, out);
}
