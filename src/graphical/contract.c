/*
 * graphical/contract.c: two marginals that share columns become one, by a product of small dense matrices for each cell
 * of the shared columns that stay; the same bits whatever the processor.
 */
#include "graphical/contract.h"

#include <string.h>

#define FIRST_SLAB ((size_t) 1 << 16) /* cells */

mg_mark
mg_here(const mg_lane *l)
{
	return (mg_mark){l->slab_at, l->used};
}

/* What was taken since is free again. */
void
mg_back_to(mg_lane *l, mg_mark m)
{
	l->slab_at = m.slab;
	l->used = m.used;
}

double *
mg_take(mg_lane *l, size_t cells)
{
	size_t padded = (cells + 8) & ~(size_t) 7, size;
	double *v;

	while (l->slab_at < l->nslabs && l->room[l->slab_at] - l->used < padded)
	{
		l->slab_at++;
		l->used = 0;
	}
	if (l->slab_at == l->nslabs)
	{
		size = l->nslabs == 0 ? FIRST_SLAB : 2 * l->room[l->nslabs - 1];
		size = size < padded ? padded : size;
		v = l->nslabs == SLABS ? NULL : mg_arena_alloc(l->store, size, sizeof(*v));
		if (v == NULL)
		{
			l->failed = true;
			return NULL;
		}
		l->slab[l->nslabs] = v;
		l->room[l->nslabs++] = size;
		l->used = 0;
	}
	v = l->slab[l->slab_at] + l->used;
	l->used += padded;
	return v;
}

bool
mg_listed(const uint32_t *cols, uint32_t k, uint32_t col)
{
	for (uint32_t i = 0; i < k; i++)
	{
		if (cols[i] == col)
			return true;
	}
	return false;
}

bool
mg_table_append(mg_table *t, uint32_t col, uint32_t size)
{
	if (t->k == TABLE_COLUMNS)
		return false;
	t->cols[t->k] = col;
	t->size[t->k++] = size;
	return mg_mul_size(t->cells, size, &t->cells);
}

/* ---- permutation, product ---- */

/*
 * Copies t with its columns in this order; its rows (the last column of the order) lie `pitch` cells apart in out, 0:
 * densely.
 */
void
mg_table_reorder(const mg_table *t, const uint32_t *order, double *out, size_t pitch)
{
	size_t stride[TABLE_COLUMNS] = {0}, of[TABLE_COLUMNS], s = 1, from = 0, rows, step;
	uint32_t at[TABLE_COLUMNS] = {0}, size[TABLE_COLUMNS] = {0}, inner;

	for (uint32_t i = t->k; i-- > 0; s *= t->size[i])
		of[i] = s;
	for (uint32_t i = 0; i < t->k; i++)
		for (uint32_t d = 0; d < t->k; d++)
		{
			if (order[i] == t->cols[d])
			{
				stride[i] = of[d];
				size[i] = t->size[d];
			}
		}
	inner = t->k == 0 ? 1 : size[t->k - 1];
	step = t->k == 0 ? 1 : stride[t->k - 1];
	pitch = pitch == 0 ? inner : pitch;
	rows = t->cells / inner;
	for (size_t r = 0; r < rows; r++, out += pitch)
	{
		const double *x = t->v + from;

		if (step == 1)
			memcpy(out, x, inner * sizeof(*out));
		else
			for (uint32_t i = 0; i < inner; i++)
				out[i] = x[i * step];
		for (uint32_t i = t->k < 2 ? 0 : t->k - 1; i-- > 0;)
		{
			from += stride[i];
			if (++at[i] < size[i])
				break;
			at[i] = 0;
			from -= stride[i] * size[i];
		}
	}
}

/* t->v in this order: itself, or a copy; NULL: out of memory. */
double *
mg_table_ordered(mg_lane *l, const mg_table *t, const uint32_t *order, bool own)
{
	double *v;

	if (!own && memcmp(order, t->cols, t->k * sizeof(*order)) == 0)
		return t->v;
	v = mg_take(l, t->cells);
	if (v != NULL)
		mg_table_reorder(t, order, v, 0);
	return v;
}

typedef double quad __attribute__((vector_size(32), aligned(8), may_alias));

/* out[4][8] of the product below, from column c on. */
static inline __attribute__((always_inline)) void
tile(const double *restrict x, const double *restrict y, size_t inner, size_t n, double *restrict out)
{
	quad sum[4][2] = {{{0}}};

	for (size_t i = 0; i < inner; i++, y += n)
	{
		quad left = *(const quad *) y, right = *(const quad *) (y + 4);

		for (int r = 0; r < 4; r++)
		{
			sum[r][0] += x[(size_t) r * inner + i] * left;
			sum[r][1] += x[(size_t) r * inner + i] * right;
		}
	}
	for (int r = 0; r < 4; r++)
	{
		*(quad *) (out + (size_t) r * n) = sum[r][0];
		*(quad *) (out + (size_t) r * n + 4) = sum[r][1];
	}
}

/* out[m][n] = x[m][inner] y[inner][n], all row-major and dense. Sums run over `inner` in order, whatever the tile. */
MG_WIDE static void
product(const double *restrict x, const double *restrict y, size_t m, size_t inner, size_t n, double *restrict out)
{
	size_t m4 = n >= 8 ? m / 4 * 4 : 0, n8 = n / 8 * 8;

	for (size_t r = 0; r < m4; r += 4)
		for (size_t c = 0; c < n8; c += 8)
			tile(x + r * inner, y + c, inner, n, out + r * n + c);
	for (size_t r = 0; r < m; r++)
	{
		size_t first = r < m4 ? n8 : 0;
		double *row = out + r * n;

		if (first == n)
			continue;
		memset(row + first, 0, (n - first) * sizeof(*row));
		for (size_t i = 0; i < inner; i++)
		{
			double w = x[r * inner + i];
			const double *from = y + i * n;

			for (size_t c = first; c < n; c++)
				row[c] += w * from[c];
		}
	}
}

/* Rows become shares of their sum (times `times`); 0 where that is 0. */
static void
divide_rows(double *v, size_t rows, size_t n, double times)
{
	for (size_t r = 0; r < rows; r++, v += n)
	{
		double sum = 0;

		for (size_t i = 0; i < n; i++)
			sum += v[i];
		sum /= times;
		for (size_t i = 0; i < n; i++)
			v[i] = sum > 0 ? v[i] / sum : 0;
	}
}

/* How two tables meet: columns that both have and that stay, that both have and that go, and those of one alone. */
typedef struct meeting
{
	size_t batch, inner, m, n;
	mg_table left, right; /* columns in the order of the product; cells of `out` */
	mg_table out;
} meeting;

/*
 * x's other columns stay, y's too; of the shared ones those in keep. The side with more cells of its own is right: its
 * rows are long. False: the result would have more than `most` cells, or too many columns.
 */
static bool
meet(const mg_table *x, const mg_table *y, const uint32_t *keep, uint32_t nkeep, size_t most, meeting *m)
{
	size_t own_x = 1, own_y = 1;

	memset(m, 0, sizeof(*m));
	m->batch = m->inner = m->m = m->n = 1;
	m->left.cells = m->right.cells = m->out.cells = 1;
	for (uint32_t pass = 0; pass < 2; pass++)
		for (uint32_t i = 0; i < x->k; i++)
		{
			bool shared = mg_listed(y->cols, y->k, x->cols[i]), stays = shared && mg_listed(keep, nkeep, x->cols[i]);

			if (!shared)
			{
				own_x *= pass == 0 ? x->size[i] : 1;
				continue;
			}
			if (stays != (pass == 0))
				continue;
			*(stays ? &m->batch : &m->inner) *= x->size[i];
			(void) mg_table_append(&m->left, x->cols[i], x->size[i]);
			(void) mg_table_append(&m->right, x->cols[i], x->size[i]);
			if (stays)
				(void) mg_table_append(&m->out, x->cols[i], x->size[i]);
		}
	for (uint32_t i = 0; i < y->k; i++)
		own_y *= mg_listed(x->cols, x->k, y->cols[i]) ? 1 : y->size[i];
	m->m = own_x;
	m->n = own_y;
	for (uint32_t side = 0; side < 2; side++)
	{
		const mg_table *t = side == 0 ? x : y, *other = side == 0 ? y : x;

		for (uint32_t i = 0; i < t->k; i++)
		{
			if (!mg_listed(other->cols, other->k, t->cols[i]) && !mg_table_append(&m->out, t->cols[i], t->size[i]))
				return false;
		}
	}
	return m->out.cells <= most;
}

/* The columns of t that the other lacks, after or before the shared ones already in `order`. */
static void
arrange(const mg_table *t, uint32_t *order, uint32_t shared, uint32_t batch_columns, bool right)
{
	uint32_t full[TABLE_COLUMNS], n = 0;

	/* right: batch, inner, own; left: batch, own, inner */
	for (uint32_t i = 0; i < (right ? shared : batch_columns); i++)
		full[n++] = order[i];
	for (uint32_t i = 0; i < t->k; i++)
	{
		if (!mg_listed(order, shared, t->cols[i]))
			full[n++] = t->cols[i];
	}
	for (uint32_t i = batch_columns; !right && i < shared; i++)
		full[n++] = order[i];
	memcpy(order, full, n * sizeof(*order));
}

/*
 * out = sum over the shared columns not in keep of x y / P(shared). x_times, y_times: how many sources the columns that
 * x or y has alone hold side by side (1, but for PAYLOAD): a row then sums to as many times P(shared). False: out of
 * memory, or a result of more than `most` cells.
 */
bool
mg_table_join(mg_lane *l, const mg_table *x, double x_times, const mg_table *y, double y_times, const uint32_t *keep,
			  uint32_t nkeep, size_t most, mg_table *out)
{
	meeting m;
	uint32_t shared, batch_columns = 0;
	const double *left;
	double *right, times = y_times;

	if (!meet(x, y, keep, nkeep, most, &m))
		return false;
	if (m.m > m.n)
	{
		const mg_table *t = x;

		x = y;
		y = t;
		times = x_times;
		if (!meet(x, y, keep, nkeep, most, &m))
			return false;
	}
	shared = m.left.k;
	while (batch_columns < shared && mg_listed(keep, nkeep, m.left.cols[batch_columns]))
		batch_columns++;
	arrange(x, m.left.cols, shared, batch_columns, false);
	arrange(y, m.right.cols, shared, batch_columns, true);
	left = mg_table_ordered(l, x, m.left.cols, false);
	right = mg_table_ordered(l, y, m.right.cols, true);
	*out = m.out;
	out->v = mg_take(l, out->cells);
	if (left == NULL || right == NULL || out->v == NULL)
		return false;
	divide_rows(right, m.batch * m.inner, m.n, times);
	for (size_t b = 0; b < m.batch; b++)
		product(left + b * m.m * m.inner, right + b * m.inner * m.n, m.m, m.inner, m.n, out->v + b * m.m * m.n);
	return true;
}

/* A clique's marginal over some of its columns (ascending). */
bool
mg_table_of_clique(mg_lane *l, const mg_factor *f, const uint32_t *cols, uint32_t k, const uint32_t *sizes,
				   mg_table *out)
{
	mg_factor view;

	out->k = 0;
	out->cells = 1;
	for (uint32_t i = 0; i < k; i++)
		(void) mg_table_append(out, cols[i], sizes[cols[i]]);
	out->v = mg_take(l, out->cells);
	if (out->v == NULL)
		return false;
	view = (mg_factor){k, out->cols, out->size, out->cells, out->v};
	mg_factor_marginal(f, &view);
	return true;
}

/* a united with b, ascending both; returns how many. */
uint32_t
mg_columns_unite(const uint32_t *a, uint32_t na, const uint32_t *b, uint32_t nb, uint32_t *out)
{
	uint32_t i = 0, j = 0, n = 0;

	while (i < na || j < nb)
	{
		uint32_t col = j == nb || (i < na && a[i] <= b[j]) ? a[i] : b[j];

		out[n++] = col;
		i += i < na && a[i] == col;
		j += j < nb && b[j] == col;
	}
	return n;
}
