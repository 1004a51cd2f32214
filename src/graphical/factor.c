/*
 * graphical/factor.c: walks a factor in blocks with the offset of the matching cell of a smaller factor beside it.
 *
 * Neighbouring columns that are both in the smaller factor, or both not, count as one, and columns of one code as none;
 * so what is left alternates, and the last two (mid, inner) are done in one go: either the smaller factor has inner and
 * its row is used again for every mid (along), or it has mid and one cell of it serves a whole row of inner. Both run
 * over contiguous memory on either side, and the cost of a step of the walk is shared by mid * inner cells.
 */
#include "graphical/factor.h"

#include <math.h>
#include <string.h>

typedef double quad __attribute__((vector_size(32), aligned(8), may_alias));

#define STRANDS 16 /* cells that short rows are put together to, about */
#define INLINE static inline __attribute__((always_inline))

typedef struct walk
{
	uint32_t k; /* outer columns: all but the last two */
	uint32_t at[MG_FACTOR_COLUMNS], size[MG_FACTOR_COLUMNS];
	size_t stride[MG_FACTOR_COLUMNS]; /* in the smaller factor; 0: absent */
	size_t offset;                    /* of the current block in the smaller factor */
	size_t blocks;                    /* of the larger factor */
	size_t mid, inner;                /* cells of a block: their product */
	bool along;                       /* the smaller factor has inner; otherwise it has mid */
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

/* The columns of f, joined as above; returns how many are left. */
static uint32_t
join_columns(const mg_factor *f, const mg_factor *g, uint32_t *size, size_t *stride)
{
	size_t s = 1;
	uint32_t n = 0, j = g->k;

	/* from the last to the first, then turned round */
	for (uint32_t i = f->k; i-- > 0;)
	{
		bool in = j > 0 && g->cols[j - 1] == f->cols[i];

		j -= in;
		if (f->size[i] == 1)
			continue;
		if (n > 0 && in == (stride[n - 1] != 0))
			size[n - 1] *= f->size[i];
		else
		{
			size[n] = f->size[i];
			stride[n++] = in ? s : 0;
		}
		s *= in ? f->size[i] : 1;
	}
	return n;
}

INLINE void
walk_begin(walk *w, const mg_factor *f, const mg_factor *g)
{
	uint32_t size[MG_FACTOR_COLUMNS], n;
	size_t stride[MG_FACTOR_COLUMNS];

	n = join_columns(f, g, size, stride);
	w->inner = n > 0 ? size[0] : 1;
	w->along = n == 0 || stride[0] != 0;
	w->mid = n > 1 ? size[1] : 1;
	w->blocks = f->cells / (w->inner * w->mid);
	w->offset = 0;
	w->k = n > 2 ? n - 2 : 0;
	for (uint32_t i = 0; i < w->k; i++)
	{
		w->size[i] = size[n - 1 - i];
		w->stride[i] = stride[n - 1 - i];
		w->at[i] = 0;
	}
}

INLINE void
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

/* Sum of n cells: in eight strands, the same whatever the processor. */
INLINE double
strand_sum(const double *restrict v, size_t n)
{
	quad a = {0}, b = {0};
	double sum;
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
	{
		a += *(const quad *) (v + i);
		b += *(const quad *) (v + i + 4);
	}
	a += b;
	sum = (a[0] + a[2]) + (a[1] + a[3]);
	for (; i < n; i++)
		sum += v[i];
	return sum;
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

INLINE void
apply(double *restrict cell, double by, bool multiply)
{
	*cell = multiply ? *cell * by : *cell + by;
}

/* rows[mid][inner] with x[inner] applied to every row; short ones several at a time. */
INLINE void
apply_along(double *restrict row, const double *restrict x, size_t mid, size_t inner, bool multiply)
{
	size_t times = inner < STRANDS ? STRANDS / inner : 1, chunk = times * inner, m = 0;

	if (times > 1 && mid >= times)
	{
		double again[STRANDS];

		for (size_t i = 0, k = 0; i < chunk; i++, k = k + 1 == inner ? 0 : k + 1)
			again[i] = x[k];
		for (; m + times <= mid; m += times, row += chunk)
			for (size_t i = 0; i < chunk; i++)
				apply(&row[i], again[i], multiply);
	}
	for (; m < mid; m++, row += inner)
		for (size_t i = 0; i < inner; i++)
			apply(&row[i], x[i], multiply);
}

/* rows[mid][inner] with x[m] applied to row m. */
INLINE void
apply_each(double *restrict row, const double *restrict x, size_t mid, size_t inner, bool multiply)
{
	for (size_t m = 0; m < mid; m++)
		for (size_t i = 0; i < inner; i++)
			apply(&row[m * inner + i], x[m], multiply);
}

INLINE void
apply_cells(mg_factor *f, const mg_factor *g, bool multiply)
{
	walk w;
	double *restrict row = f->v;

	walk_begin(&w, f, g);
	for (size_t b = 0; b < w.blocks; b++, row += w.mid * w.inner)
	{
		const double *restrict x = g->v + w.offset;

		/* the compiler makes other code where it knows that a row is short */
		if (w.along)
			apply_along(row, x, w.mid, w.inner, multiply);
		else if (w.inner == 2)
			apply_each(row, x, w.mid, 2, multiply);
		else if (w.inner == 3)
			apply_each(row, x, w.mid, 3, multiply);
		else if (w.inner == 4)
			apply_each(row, x, w.mid, 4, multiply);
		else
			apply_each(row, x, w.mid, w.inner, multiply);
		walk_next(&w);
	}
}

MG_WIDE static void
add_cells(mg_factor *f, const mg_factor *g)
{
	apply_cells(f, g, false);
}

MG_WIDE static void
scale_cells(mg_factor *f, const mg_factor *g)
{
	apply_cells(f, g, true);
}

/*
 * x[inner] += the mid rows. Short rows are added several at a time, so that an addition need not wait for the one
 * before: x is not in a register.
 */
INLINE void
add_rows(double *restrict x, const double *restrict row, size_t mid, size_t inner)
{
	size_t times = inner < STRANDS ? STRANDS / inner : 1, chunk = times * inner, m = 0;

	if (times > 1 && mid >= 2 * times)
	{
		double part[STRANDS] = {0};

		for (; m + times <= mid; m += times, row += chunk)
			for (size_t i = 0; i < chunk; i++)
				part[i] += row[i];
		for (size_t t = 0; t < times; t++)
			for (size_t i = 0; i < inner; i++)
				x[i] += part[t * inner + i];
	}
	for (; m < mid; m++, row += inner)
		for (size_t i = 0; i < inner; i++)
			x[i] += row[i];
}

/* x[m] += the sum of row m. */
INLINE void
add_sums(double *restrict x, const double *restrict row, size_t mid, size_t inner)
{
	for (size_t m = 0; m < mid; m++)
		x[m] += strand_sum(row + m * inner, inner);
}

MG_WIDE static void
marginal_cells(const mg_factor *f, mg_factor *out)
{
	walk w;
	const double *restrict row = f->v;

	memset(out->v, 0, out->cells * sizeof(*out->v));
	walk_begin(&w, f, out);
	for (size_t b = 0; b < w.blocks; b++, row += w.mid * w.inner)
	{
		double *restrict x = out->v + w.offset;

		if (w.along)
			add_rows(x, row, w.mid, w.inner);
		else if (w.inner == 2)
			add_sums(x, row, w.mid, 2);
		else if (w.inner == 3)
			add_sums(x, row, w.mid, 3);
		else if (w.inner == 4)
			add_sums(x, row, w.mid, 4);
		else
			add_sums(x, row, w.mid, w.inner);
		walk_next(&w);
	}
}

/* The functions above are static and have clones, which the linker would export otherwise; these are what others call.
 */

void
mg_factor_add(mg_factor *f, const mg_factor *g)
{
	add_cells(f, g);
}

void
mg_factor_scale(mg_factor *f, const mg_factor *g)
{
	scale_cells(f, g);
}

void
mg_factor_marginal(const mg_factor *f, mg_factor *out)
{
	marginal_cells(f, out);
}

/* peak[s] = max of f over slice s. */
MG_WIDE static void
slice_peaks(const mg_factor *f, mg_factor *peak)
{
	walk w;
	const double *restrict row = f->v;

	for (size_t i = 0; i < peak->cells; i++)
		peak->v[i] = -INFINITY;
	walk_begin(&w, f, peak);
	for (size_t b = 0; b < w.blocks; b++)
	{
		double *restrict x = peak->v + w.offset;

		for (size_t m = 0; m < w.mid; m++, row += w.inner)
		{
			double top = w.along ? 0 : x[m];

			if (w.along)
				for (size_t i = 0; i < w.inner; i++)
					x[i] = row[i] > x[i] ? row[i] : x[i];
			else
			{
				for (size_t i = 0; i < w.inner; i++)
					top = row[i] > top ? row[i] : top;
				x[m] = top;
			}
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
	for (size_t b = 0; b < w.blocks; b++)
	{
		const double *x = peak->v + w.offset;

		for (size_t m = 0; m < w.mid; m++, row += w.inner)
			for (size_t i = 0; i < w.inner; i++)
				row[i] = exp(row[i] - x[w.along ? i : m]);
		walk_next(&w);
	}
	mg_factor_marginal(f, sum);
}

MG_WIDE static double
total_of(const double *v, size_t n)
{
	return strand_sum(v, n);
}

double
mg_factor_total(const mg_factor *f)
{
	return total_of(f->v, f->cells);
}

/* Eight strands for the sake of speed; the least is the least in any order. */
MG_WIDE static double
least_of(const double *restrict v, size_t n)
{
	double low[8], least = INFINITY;
	size_t i = 0;

	for (int s = 0; s < 8; s++)
		low[s] = INFINITY;
	for (; i + 8 <= n; i += 8)
		for (int s = 0; s < 8; s++)
		{
			double x = v[i + s] > 0 ? v[i + s] : INFINITY;

			low[s] = x < low[s] ? x : low[s];
		}
	for (; i < n; i++)
		least = v[i] > 0 && v[i] < least ? v[i] : least;
	for (int s = 0; s < 8; s++)
		least = low[s] < least ? low[s] : least;
	return least;
}

double
mg_factor_least(const mg_factor *f)
{
	return least_of(f->v, f->cells);
}
