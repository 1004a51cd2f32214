/*
 * graphical/factor.c: walks a factor row by row (a row: the last column, contiguous) with the offset of the
 * matching cell of a smaller factor beside it. Since columns ascend, the last column of the larger factor is
 * either the last of the smaller one too (stride 1 in it) or absent (stride 0), so that both inner loops run
 * over contiguous memory.
 */
#include "graphical/factor.h"

#include <math.h>
#include <string.h>

typedef struct walk
{
	uint32_t k; /* outer columns: all but the last */
	uint32_t size[MG_FACTOR_COLUMNS];
	uint32_t at[MG_FACTOR_COLUMNS];
	size_t stride[MG_FACTOR_COLUMNS]; /* in the smaller factor; 0: absent */
	size_t offset;                    /* of the current row in the smaller factor */
	size_t rows;                      /* of the larger factor */
	uint32_t inner;                   /* cells of a row */
	bool along;                       /* the smaller factor has the last column */
} walk;

bool
mg_columns_within(const uint32_t *a, uint32_t na, const uint32_t *b, uint32_t nb)
{
	uint32_t j = 0;

	for (uint32_t i = 0; i < na; i++)
	{
		while (j < nb && b[j] < a[i])
			j++;
		if (j == nb || b[j] != a[i])
			return false;
	}
	return true;
}

static void
walk_begin(walk *w, const mg_factor *f, const mg_factor *g)
{
	size_t stride[MG_FACTOR_COLUMNS] = {0};
	size_t s = 1;
	uint32_t j = g->k;

	memset(w, 0, sizeof(*w));
	for (uint32_t i = f->k; i-- > 0;)
	{
		stride[i] = 0;
		if (j > 0 && g->cols[j - 1] == f->cols[i])
		{
			stride[i] = s;
			s *= f->size[i];
			j--;
		}
	}
	w->inner = f->k == 0 ? 1 : f->size[f->k - 1];
	w->along = f->k > 0 && stride[f->k - 1] != 0;
	w->k = f->k == 0 ? 0 : f->k - 1;
	w->rows = f->cells / w->inner;
	for (uint32_t i = 0; i < w->k; i++)
	{
		w->size[i] = f->size[i];
		w->stride[i] = stride[i];
	}
}

static inline void
walk_next(walk *w)
{
	for (uint32_t i = w->k; i-- > 0;)
	{
		w->offset += w->stride[i];
		if (++w->at[i] < w->size[i])
			return;
		w->at[i] = 0;
		w->offset -= w->stride[i] * w->size[i];
	}
}

bool
mg_factor_count(const uint32_t *cols, uint32_t k, const uint32_t *sizes, size_t *cells)
{
	size_t n = 1;

	for (uint32_t i = 0; i < k; i++)
	{
		if (sizes[cols[i]] == 0 || !mg_mul_size(n, sizes[cols[i]], &n) || n > MG_FACTOR_CELLS)
			return false;
	}
	*cells = n;
	return true;
}

mg_code
mg_factor_make(mg_ctx *ctx, mg_arena *a, const uint32_t *cols, uint32_t k, const uint32_t *sizes, mg_factor *out)
{
	uint32_t *own_cols, *own_size;

	if (k > MG_FACTOR_COLUMNS)
		return mg_fail(ctx, MG_INVALID, "a factor over %u columns is beyond the limit of %d", k, MG_FACTOR_COLUMNS);
	for (uint32_t i = 1; i < k; i++)
	{
		if (cols[i] <= cols[i - 1])
			return mg_fail(ctx, MG_INVALID, "the columns of a factor do not ascend");
	}
	if (!mg_factor_count(cols, k, sizes, &out->cells))
		return mg_fail(ctx, MG_INVALID, "a factor over %u columns has too many cells", k);
	MG_NEW(ctx, a, own_cols, k + 1);
	MG_NEW(ctx, a, own_size, k + 1);
	MG_NEW(ctx, a, out->v, out->cells);
	for (uint32_t i = 0; i < k; i++)
	{
		own_cols[i] = cols[i];
		own_size[i] = sizes[cols[i]];
	}
	out->k = k;
	out->cols = own_cols;
	out->size = own_size;
	return MG_OK;
}

static mg_code
make_union(mg_ctx *ctx, mg_arena *a, const mg_factor *f, const mg_factor *g, mg_factor *out)
{
	uint32_t *cols, *size, n = 0, i = 0, j = 0;
	size_t cells = 1;

	MG_NEW(ctx, a, cols, f->k + g->k + 1);
	MG_NEW(ctx, a, size, f->k + g->k + 1);
	while (i < f->k || j < g->k)
	{
		bool from_f = j == g->k || (i < f->k && f->cols[i] <= g->cols[j]);
		uint32_t col = from_f ? f->cols[i] : g->cols[j];

		size[n] = from_f ? f->size[i] : g->size[j];
		cols[n] = col;
		if (!mg_mul_size(cells, size[n], &cells) || cells > MG_FACTOR_CELLS || n == MG_FACTOR_COLUMNS)
			return mg_fail(ctx, MG_INVALID, "the product of two factors has too many cells");
		n++;
		i += i < f->k && f->cols[i] == col;
		j += j < g->k && g->cols[j] == col;
	}
	MG_NEW(ctx, a, out->v, cells);
	out->k = n;
	out->cols = cols;
	out->size = size;
	out->cells = cells;
	return MG_OK;
}

mg_code
mg_factor_product(mg_ctx *ctx, mg_arena *a, const mg_factor *f, const mg_factor *g, bool log, mg_factor *out)
{
	MG_TRY(make_union(ctx, a, f, g, out));
	mg_factor_add(out, f);
	if (log)
		mg_factor_add(out, g);
	else
		mg_factor_scale(out, g);
	return MG_OK;
}

void
mg_factor_add(mg_factor *f, const mg_factor *g)
{
	walk w;
	double *row = f->v;

	walk_begin(&w, f, g);
	for (size_t r = 0; r < w.rows; r++, row += w.inner)
	{
		const double *x = g->v + w.offset;

		if (w.along)
			for (uint32_t i = 0; i < w.inner; i++)
				row[i] += x[i];
		else
			for (uint32_t i = 0; i < w.inner; i++)
				row[i] += *x;
		walk_next(&w);
	}
}

void
mg_factor_scale(mg_factor *f, const mg_factor *g)
{
	walk w;
	double *row = f->v;

	walk_begin(&w, f, g);
	for (size_t r = 0; r < w.rows; r++, row += w.inner)
	{
		const double *x = g->v + w.offset;

		if (w.along)
			for (uint32_t i = 0; i < w.inner; i++)
				row[i] *= x[i];
		else
			for (uint32_t i = 0; i < w.inner; i++)
				row[i] *= *x;
		walk_next(&w);
	}
}

void
mg_factor_marginal(const mg_factor *f, mg_factor *out)
{
	walk w;
	const double *row = f->v;

	memset(out->v, 0, out->cells * sizeof(*out->v));
	walk_begin(&w, f, out);
	for (size_t r = 0; r < w.rows; r++, row += w.inner)
	{
		double *x = out->v + w.offset;

		if (w.along)
			for (uint32_t i = 0; i < w.inner; i++)
				x[i] += row[i];
		else
		{
			double sum = 0;

			for (uint32_t i = 0; i < w.inner; i++)
				sum += row[i];
			*x += sum;
		}
		walk_next(&w);
	}
}

/* peak[s] = max of f over slice s. */
static void
slice_peaks(const mg_factor *f, mg_factor *peak)
{
	walk w;
	const double *row = f->v;

	for (size_t i = 0; i < peak->cells; i++)
		peak->v[i] = -INFINITY;
	walk_begin(&w, f, peak);
	for (size_t r = 0; r < w.rows; r++, row += w.inner)
	{
		double *x = peak->v + w.offset;

		if (w.along)
			for (uint32_t i = 0; i < w.inner; i++)
				x[i] = row[i] > x[i] ? row[i] : x[i];
		else
		{
			double top = *x;

			for (uint32_t i = 0; i < w.inner; i++)
				top = row[i] > top ? row[i] : top;
			*x = top;
		}
		walk_next(&w);
	}
	for (size_t i = 0; i < peak->cells; i++)
	{
		if (peak->v[i] == -INFINITY)
			peak->v[i] = 0;
	}
}

void
mg_factor_log_slices(mg_factor *f, mg_factor *peak, mg_factor *sum)
{
	walk w;
	double *row = f->v;

	slice_peaks(f, peak);
	walk_begin(&w, f, peak);
	for (size_t r = 0; r < w.rows; r++, row += w.inner)
	{
		const double *x = peak->v + w.offset;

		if (w.along)
			for (uint32_t i = 0; i < w.inner; i++)
				row[i] = exp(row[i] - x[i]);
		else
			for (uint32_t i = 0; i < w.inner; i++)
				row[i] = exp(row[i] - *x);
		walk_next(&w);
	}
	mg_factor_marginal(f, sum);
}

double
mg_factor_total(const mg_factor *f)
{
	double sum = 0;

	for (size_t i = 0; i < f->cells; i++)
		sum += f->v[i];
	return sum;
}
