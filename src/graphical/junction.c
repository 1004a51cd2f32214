/*
 * graphical/junction.c: construction, checks and the sum-product algorithm (Lauritzen, Spiegelhalter 1988, in
 * the one-pass-up, one-pass-down form of Shenoy and Shafer: conditionals on the way up, marginals on the way
 * down).
 */
#include "graphical/junction.h"

#include <math.h>
#include <string.h>

static uint32_t
intersect(const uint32_t *a, uint32_t na, const uint32_t *b, uint32_t nb, uint32_t *out)
{
	uint32_t i = 0, j = 0, n = 0;

	while (i < na && j < nb)
	{
		if (a[i] == b[j])
		{
			if (out != NULL)
				out[n] = a[i];
			n++;
			i++;
			j++;
		}
		else if (a[i] < b[j])
			i++;
		else
			j++;
	}
	return n;
}

mg_code
mg_column_set_check(mg_ctx *ctx, const uint32_t *sizes, uint32_t ncolumns, const mg_column_set *set, size_t *cells)
{
	if (set->k == 0 || set->k > MG_FACTOR_COLUMNS)
		return mg_fail(ctx, MG_INVALID, "a clique of %u columns", set->k);
	for (uint32_t i = 0; i < set->k; i++)
	{
		if (set->cols[i] >= ncolumns || (i > 0 && set->cols[i] <= set->cols[i - 1]))
			return mg_fail(ctx, MG_INVALID, "the columns of a clique are out of range or out of order");
	}
	if (!mg_factor_count(set->cols, set->k, sizes, cells))
		return mg_fail(ctx, MG_INVALID, "a clique has too many cells");
	return MG_OK;
}

static mg_code
adopt_clique(mg_ctx *ctx, mg_arena *a, const mg_column_set *set, uint32_t index, bool *seen, mg_junction *out)
{
	mg_clique *c = &out->clique[index];
	uint32_t *cols, *sep, shared = 0;

	MG_TRY(mg_column_set_check(ctx, out->size, out->ncolumns, set, &c->cells));
	if (!mg_add_size(out->cells, c->cells, &out->cells))
		return mg_fail(ctx, MG_INVALID, "the cliques have too many cells");
	if (index == 0 ? set->parent != MG_NO_PARENT : set->parent >= index)
		return mg_fail(ctx, MG_INVALID, "a clique comes before its parent");
	MG_NEW(ctx, a, cols, set->k);
	MG_NEW(ctx, a, sep, set->k);
	memcpy(cols, set->cols, set->k * sizeof(*cols));
	c->k = set->k;
	c->cols = cols;
	c->parent = set->parent;
	if (index > 0)
		c->nsep = intersect(cols, c->k, out->clique[c->parent].cols, out->clique[c->parent].k, sep);
	c->sep = sep;
	for (uint32_t i = 0; i < c->k; i++)
	{
		shared += seen[cols[i]];
		seen[cols[i]] = true;
	}
	/* the separator is part of what was seen, so equal numbers mean equal sets */
	if (shared != c->nsep)
		return mg_fail(ctx, MG_INVALID, "the cliques have no junction tree (running intersection fails)");
	return MG_OK;
}

mg_code
mg_junction_adopt(mg_ctx *ctx, mg_arena *a, const uint32_t *sizes, uint32_t ncolumns, const mg_column_set *cliques,
				  uint32_t count, mg_junction *out)
{
	uint32_t *own;
	bool *seen;

	if (count == 0 || ncolumns == 0)
		return mg_fail(ctx, MG_INVALID, "a junction tree without cliques or columns");
	memset(out, 0, sizeof(*out));
	MG_NEW(ctx, a, own, ncolumns);
	MG_NEW(ctx, a, seen, ncolumns);
	MG_NEW(ctx, a, out->clique, count);
	memcpy(own, sizes, ncolumns * sizeof(*own));
	out->ncolumns = ncolumns;
	out->size = own;
	out->count = count;
	for (uint32_t i = 0; i < count; i++)
		MG_TRY(adopt_clique(ctx, a, &cliques[i], i, seen, out));
	for (uint32_t i = 0; i < ncolumns; i++)
	{
		if (!seen[i])
			return mg_fail(ctx, MG_INVALID, "a column is in no clique");
	}
	return MG_OK;
}

/*
 * Prim's algorithm: order[i] is the i-th clique to join, sets[i] a copy of it with its parent among the
 * earlier ones.
 */
static mg_code
span(mg_ctx *ctx, mg_arena *a, const mg_column_set *cliques, uint32_t count, mg_column_set *sets)
{
	uint32_t *best, *link;
	bool *in;

	MG_NEW(ctx, a, best, count);
	MG_NEW(ctx, a, link, count);
	MG_NEW(ctx, a, in, count);
	for (uint32_t n = 0; n < count; n++)
	{
		uint32_t next = count;

		for (uint32_t i = 0; i < count; i++)
		{
			if (!in[i] && (next == count || best[i] > best[next]))
				next = i;
		}
		in[next] = true;
		sets[n] = cliques[next];
		sets[n].parent = n == 0 ? MG_NO_PARENT : link[next];
		for (uint32_t i = 0; i < count; i++)
		{
			uint32_t shared = in[i] ? 0 : intersect(cliques[i].cols, cliques[i].k, sets[n].cols, sets[n].k, NULL);

			if (shared > best[i])
			{
				best[i] = shared;
				link[i] = n;
			}
		}
	}
	return MG_OK;
}

mg_code
mg_junction_build(mg_ctx *ctx, mg_arena *a, const uint32_t *sizes, uint32_t ncolumns, const mg_column_set *cliques,
				  uint32_t count, mg_junction *out)
{
	mg_column_set *sets;
	size_t cells;

	MG_NEW(ctx, a, sets, (size_t) count + 1);
	for (uint32_t i = 0; i < count; i++)
		MG_TRY(mg_column_set_check(ctx, sizes, ncolumns, &cliques[i], &cells));
	MG_TRY(span(ctx, a, cliques, count, sets));
	return mg_junction_adopt(ctx, a, sizes, ncolumns, sets, count, out);
}

uint32_t
mg_junction_find(const mg_junction *j, const uint32_t *cols, uint32_t k)
{
	for (uint32_t c = 0; c < j->count; c++)
	{
		if (mg_columns_within(cols, k, j->clique[c].cols, j->clique[c].k))
			return c;
	}
	return j->count;
}

mg_code
mg_messages_make(mg_ctx *ctx, mg_arena *a, const mg_junction *j, mg_messages *out)
{
	MG_NEW(ctx, a, out->peak, j->count);
	MG_NEW(ctx, a, out->sum, j->count);
	MG_NEW(ctx, a, out->least, j->count);
	for (uint32_t c = 0; c < j->count; c++)
	{
		MG_TRY(mg_factor_make(ctx, a, j->clique[c].sep, j->clique[c].nsep, j->size, &out->peak[c]));
		MG_TRY(mg_factor_make(ctx, a, j->clique[c].sep, j->clique[c].nsep, j->size, &out->sum[c]));
	}
	return MG_OK;
}

mg_code
mg_junction_factors(mg_ctx *ctx, mg_arena *a, const mg_junction *j, mg_factor **out)
{
	mg_factor *f;

	MG_NEW(ctx, a, f, j->count);
	for (uint32_t c = 0; c < j->count; c++)
		MG_TRY(mg_factor_make(ctx, a, j->clique[c].cols, j->clique[c].k, j->size, &f[c]));
	*out = f;
	return MG_OK;
}

/*
 * The way down: f holds weights of cells, m->sum what they sum to within each slice of the separator. A slice's mass is
 * the parent's marginal; that of the first clique, which has no parent, is `total`.
 */
static void
distribute(const mg_junction *j, mg_messages *m, double total, mg_factor *f)
{
	for (uint32_t c = 0; c < j->count; c++)
	{
		mg_factor *mass = &m->peak[c], *sum = &m->sum[c];

		if (c > 0)
			mg_factor_marginal(&f[j->clique[c].parent], mass);
		else
			mass->v[0] = total;
		for (size_t i = 0; i < mass->cells; i++)
			mass->v[i] = sum->v[i] > 0 ? mass->v[i] / sum->v[i] : 0;
		mg_factor_scale(&f[c], mass);
	}
}

/*
 * Up: f[c] + its children's messages, as weights within each slice of the separator, exp(.. - peak); the
 * message is peak + log(sum). The weights divided by the sums are P(clique | separator), so the way down only
 * multiplies.
 */
double
mg_junction_calibrate(const mg_junction *j, mg_messages *m, double total, mg_factor *f)
{
	double log_z = 0;

	for (uint32_t c = j->count; c-- > 0;)
	{
		mg_factor *peak = &m->peak[c], *sum = &m->sum[c];

		mg_factor_log_slices(&f[c], peak, sum);
		for (size_t i = 0; i < peak->cells; i++)
			peak->v[i] += log(sum->v[i]);
		if (c > 0)
			mg_factor_add(&f[j->clique[c].parent], peak);
		else
			log_z = peak->v[0];
	}
	distribute(j, m, total, f);
	return log_z;
}

/* Sums of slices in here are neither lost themselves nor will they lose what they divide or multiply. */
#define SAFE_LEAST 1e-250
#define SAFE_MOST 1e250

/*
 * The message that clique c sends: its slice sums in `message`, scaled so that the largest is 1; returns that scale, 0
 * where every slice is impossible, -1 where the sums are not safe.
 *
 * A slice whose sum is safe may have lost cells to underflow: those were below 1e-308 beside at least 1e-250. A sum
 * below that is believed only if it is zero and no product in the clique can have been as small.
 */
static double
linear_message(const mg_factor *sum, double least, double *message)
{
	double top = 0, low = SAFE_MOST;
	bool wrong = false;

	for (size_t i = 0; i < sum->cells; i++)
	{
		double x = sum->v[i];

		top = x > top ? x : top;
		low = x < low ? x : low;
		/* NaN as well */
		wrong = wrong || !(x >= 0);
	}
	if (wrong || top > SAFE_MOST)
		return -1;
	if (low < SAFE_LEAST)
	{
		if (least < SAFE_LEAST)
			return -1;
		low = top;
		for (size_t i = 0; i < sum->cells; i++)
			low = sum->v[i] > 0 && sum->v[i] < low ? sum->v[i] : low;
	}
	if (top == 0)
		return 0;
	if (low < top * SAFE_LEAST)
		return -1;
	for (size_t i = 0; i < sum->cells; i++)
		message[i] = sum->v[i] / top;
	return top;
}

bool
mg_junction_calibrate_linear(const mg_junction *j, mg_messages *m, double total, mg_factor *f, double *log_z)
{
	double z = 0;

	for (uint32_t c = 0; c < j->count; c++)
		m->least[c] = mg_factor_least(&f[c]);
	for (uint32_t c = j->count; c-- > 0;)
	{
		mg_factor *message = &m->peak[c], *sum = &m->sum[c];
		double scale;

		mg_factor_marginal(&f[c], sum);
		scale = linear_message(sum, m->least[c], message->v);
		if (scale < 0)
			return false;
		if (scale == 0)
			memset(message->v, 0, message->cells * sizeof(*message->v));
		z += scale > 0 ? log(scale) : -INFINITY;
		if (c == 0)
			break;
		m->least[j->clique[c].parent] *= scale > 0 ? mg_factor_least(message) : 1;
		mg_factor_scale(&f[j->clique[c].parent], message);
	}
	distribute(j, m, total, f);
	*log_z = z;
	return true;
}

double
mg_junction_inconsistency(const mg_junction *j, mg_messages *m, const mg_factor *f)
{
	double worst = 0;

	for (uint32_t c = 1; c < j->count; c++)
	{
		mg_factor_marginal(&f[c], &m->peak[c]);
		mg_factor_marginal(&f[j->clique[c].parent], &m->sum[c]);
		for (size_t i = 0; i < m->sum[c].cells; i++)
		{
			double d = fabs(m->peak[c].v[i] - m->sum[c].v[i]);

			/* NaN counts as the worst */
			worst = d <= worst ? worst : d;
		}
	}
	return worst;
}
