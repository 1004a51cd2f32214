/*
 * model/hierarchy.c: weighted least squares on a tree of noisy counts, and the projection to non-negative masses.
 *
 * Works on noisy figures only. All memory is the arena's of mg_tree_build.
 */
#include "model/hierarchy.h"

#include <math.h>
#include <string.h>

/* Groups of level k: runs of branch^k among the ordered cells, then one for each further cell. */
static uint32_t
level_groups(uint32_t ordered, uint32_t rest, uint64_t run)
{
	return (uint32_t) ((ordered + run - 1) / run) + rest;
}

mg_code
mg_tree_build(mg_ctx *ctx, mg_arena *a, uint32_t nfine, uint32_t ordered, uint32_t branch, uint32_t levels, mg_tree *t)
{
	uint32_t rest = nfine - ordered;
	uint64_t run = 1;

	memset(t, 0, sizeof(*t));
	if (nfine == 0 || ordered > nfine || branch < 2)
		return mg_fail(ctx, MG_INTERNAL, "a histogram without cells");
	for (uint32_t k = 0; k < levels && k < MG_TREE_LEVELS; k++, run *= branch)
	{
		uint32_t size = level_groups(ordered, rest, run);

		if (k > 0 && size >= t->size[k - 1])
			break;
		t->size[k] = size;
		MG_NEW(ctx, a, t->group[k], nfine);
		MG_NEW(ctx, a, t->z[k], size);
		MG_NEW(ctx, a, t->v[k], size);
		for (uint32_t i = 0; i < nfine; i++)
			t->group[k][i] = i < ordered ? (uint32_t) (i / run) : size - rest + (i - ordered);
		t->levels = k + 1;
		if (k > 0)
		{
			MG_NEW(ctx, a, t->parent[k - 1], t->size[k - 1]);
			for (uint32_t i = 0; i < nfine; i++)
				t->parent[k - 1][t->group[k - 1][i]] = t->group[k][i];
		}
	}
	return MG_OK;
}

/* Joins two independent estimates of one figure; a variance of 0 is certain, INFINITY says nothing. */
static void
join(double *z, double *v, double other, double other_var)
{
	double w;

	if (*v == 0 || !isfinite(other_var) || other_var < 0)
		return;
	if (!isfinite(*v))
	{
		*z = other;
		*v = other_var;
		return;
	}
	w = *v / (*v + other_var);
	*z += w * (other - *z);
	*v *= 1 - w;
}

void
mg_tree_up(mg_tree *t, const int64_t *const *noisy, const double *level_var, const bool *empty, const double *leaf_y,
		   const double *leaf_var)
{
	for (uint32_t i = 0; i < t->size[0]; i++)
	{
		bool none = empty != NULL && empty[i];

		t->z[0][i] = none ? 0 : (double) noisy[0][i];
		t->v[0][i] = none ? 0 : level_var[0];
		if (leaf_var != NULL && leaf_var[i] > 0)
			join(&t->z[0][i], &t->v[0][i], leaf_y[i], leaf_var[i]);
	}
	for (uint32_t k = 1; k < t->levels; k++)
	{
		memset(t->z[k], 0, t->size[k] * sizeof(double));
		memset(t->v[k], 0, t->size[k] * sizeof(double));
		for (uint32_t i = 0; i < t->size[k - 1]; i++)
		{
			t->z[k][t->parent[k - 1][i]] += t->z[k - 1][i];
			t->v[k][t->parent[k - 1][i]] += t->v[k - 1][i];
		}
		for (uint32_t i = 0; i < t->size[k]; i++)
			join(&t->z[k][i], &t->v[k][i], (double) noisy[k][i], level_var[k]);
	}
	t->root = t->root_var = 0;
	for (uint32_t i = 0; i < t->size[t->levels - 1]; i++)
	{
		t->root += t->z[t->levels - 1][i];
		t->root_var += t->v[t->levels - 1][i];
	}
}

/* Moves the children of one parent so that they sum to it: each by its share of their variance. */
static void
spread_level(double *z, const double *v, uint32_t n, const uint32_t *parent, const double *gap, const double *var)
{
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t p = parent != NULL ? parent[i] : 0;

		if (var[p] > 0)
			z[i] += gap[p] * v[i] / var[p];
	}
}

void
mg_tree_down(mg_tree *t, double total, double total_var)
{
	uint32_t top = t->levels - 1;
	double own = t->root, own_var = t->root_var, gap;

	join(&t->root, &t->root_var, total, total_var);
	gap = t->root - own;
	spread_level(t->z[top], t->v[top], t->size[top], NULL, &gap, &own_var);
	for (uint32_t k = top; k-- > 0;)
	{
		uint32_t child = 0;

		/* children of one parent are neighbours, in both the ordered part and the rest */
		while (child < t->size[k])
		{
			uint32_t p = t->parent[k][child], end = child;
			double sum = 0, var = 0;

			for (; end < t->size[k] && t->parent[k][end] == p; end++)
			{
				sum += t->z[k][end];
				var += t->v[k][end];
			}
			gap = t->z[k + 1][p] - sum;
			spread_level(t->z[k] + child, t->v[k] + child, end - child, NULL, &gap, &var);
			child = end;
		}
	}
}

/*
 * Given its parent's value, a child moves by w = v / sum of v of the parent's gap (spread_level), and its residual has
 * covariance diag(v) - v v' / sum v. With a_c, q_c the slope and residual variance of the wanted sum within child c:
 *   a = sum a_c w_c,   q = sum q_c + sum a_c^2 v_c - (sum a_c v_c)^2 / sum v_c.
 */
static double
bin_var(const mg_tree *t, const uint16_t *merge, uint32_t bin, double *a, double *q)
{
	double sv = 0, sav = 0, saav = 0, sq = 0;

	for (uint32_t i = 0; i < t->size[0]; i++)
	{
		a[i] = merge[i] == bin ? 1 : 0;
		q[i] = 0;
	}
	for (uint32_t k = 0; k < t->levels; k++)
	{
		uint32_t child = 0;
		bool last = k + 1 == t->levels;

		while (child < t->size[k])
		{
			uint32_t p = last ? 0 : t->parent[k][child];

			sv = sav = saav = sq = 0;
			for (; child < t->size[k] && (last || t->parent[k][child] == p); child++)
			{
				double v = t->v[k][child];

				sv += v;
				sav += a[child] * v;
				saav += a[child] * a[child] * v;
				sq += q[child];
			}
			/* p <= child, so that the entries overwritten have been read */
			a[p] = sv > 0 ? sav / sv : 0;
			q[p] = sq + (sv > 0 ? fmax(saav - sav * sav / sv, 0) : 0);
		}
	}
	return a[0] * a[0] * t->root_var + q[0];
}

mg_code
mg_tree_bin_vars(mg_ctx *ctx, mg_arena *scratch, const mg_tree *t, const uint16_t *merge, uint32_t nbins, double *var)
{
	double all = 0, *a, *q;

	if (t->levels > 1)
	{
		MG_NEW(ctx, scratch, a, t->size[0]);
		MG_NEW(ctx, scratch, q, t->size[0]);
		for (uint32_t b = 0; b < nbins; b++)
			var[b] = bin_var(t, merge, b, a, q);
		return MG_OK;
	}
	/* the same with one level: a_c is 1 within the bin, so sum a_c v_c = sum a_c^2 v_c is the bin's own variance */
	for (uint32_t b = 0; b < nbins; b++)
		var[b] = 0;
	for (uint32_t i = 0; i < t->size[0]; i++)
	{
		var[merge[i]] += t->v[0][i];
		all += t->v[0][i];
	}
	for (uint32_t b = 0; b < nbins && all > 0; b++)
	{
		double share = var[b] / all;

		var[b] = share * share * t->root_var + fmax(var[b] - share * var[b], 0);
	}
	return MG_OK;
}

void
mg_project_simplex(double *x, const double *var, uint32_t n, double total)
{
	double sum, weight;
	uint32_t active = 0;
	bool changed = true;

	for (uint32_t i = 0; i < n; i++)
	{
		if (var[i] > 0)
			active++;
		else
			x[i] = 0;
	}
	if (active == 0)
	{
		if (n > 0)
			x[0] = total;
		return;
	}
	/* Michelot 1986: shift onto the plane, drop what is negative for good, again; at most n rounds, each removes one.
	 * Dropped: -1. */
	while (changed)
	{
		double shift;

		sum = weight = 0;
		for (uint32_t i = 0; i < n; i++)
			if (var[i] > 0 && x[i] > -INFINITY)
			{
				sum += x[i];
				weight += var[i];
			}
		shift = (sum - total) / weight;
		changed = false;
		for (uint32_t i = 0; i < n; i++)
			if (var[i] > 0 && x[i] > -INFINITY)
			{
				x[i] -= shift * var[i];
				if (x[i] < 0)
				{
					x[i] = -INFINITY;
					changed = true;
				}
			}
	}
	sum = 0;
	for (uint32_t i = 0; i < n; i++)
	{
		x[i] = fmax(x[i], 0);
		sum += x[i];
	}
	for (uint32_t i = 0; i < n; i++)
		x[i] *= total / sum;
}
