/*
 * model/discretize.c: from columns as the schema knows them to coarse codes.
 *
 * Everything here is computed from public figures and from what the curator released; the file holds no exact count.
 * What is spent is fixed before the first query by share_budget: rho_learn + rho_oneway in all, whichever way the data
 * goes (what a step turns out not to need goes to the same column's histogram), and delta_atoms at most. Results live
 * in the caller's arena, scratch in one that ends with the call.
 */
#include "model/binning.h"
#include "model/grid.h"
#include "model/hierarchy.h"
#include "model/ranges.h"
#include "model/smooth.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Rounds of looking for a number's range, and what they take of the column's learning share; spikes take the rest. */
#define RANGE_ROUNDS 3
#define RANGE_SHARE 0.6
#define RANGE_PARTS 512
/* Cells of a wide number weigh about this many noise deviations each. */
#define CELL_DEVIATIONS 12.0
#define LEAST_CELLS 32
#define MOST_SPIKES 64
/* Of a wide column's histogram share, what learning takes when the request gave it nothing. */
#define UNFUNDED_LEARNING 0.25
/* Assumed before the data is seen: labels of an open text, cells of a wide number. */
#define NOMINAL_LABELS 32
#define NOMINAL_CELLS 128
/* More cells than this are no harder to measure: their estimates are pooled. */
#define HARD_CELLS 128
/* The atoms that an open text gets for each part of a number: a label lost is lost, a spike becomes a cell anyway. */
#define TEXT_ATOMS 8.0
/* From this many cells on, a level of groups is measured beside the cells. */
#define TREE_FROM 160
#define TREE_BRANCH 16
/* Of a coarse measurement: certain cells (publicly empty) still have a finite weight. */
#define LEAST_VARIANCE 0x1p-20
/* Outer cells whose sum is below so many of its deviations are cut off. */
#define TRIM_DEVIATIONS 4.0
#define HALO_DEVIATIONS 1.5

typedef struct share
{
	bool learns;  /* open, or a number with more values than cells */
	double learn; /* rho */
	double delta;
	double oneway; /* rho */
	uint32_t k;    /* rows of a unit: noise follows it */
} share;

/* One column on its way. */
typedef struct work
{
	share sh;
	uint32_t nfine;
	mg_cell *cells;
	double *leaf_y, *leaf_var; /* [nfine] what releases said of single cells; variance 0: nothing */
	bool *empty;               /* [nfine] publicly empty */
	mg_tree tree;
	bool seen;         /* a number: some cell stands out of the noise */
	uint32_t from, to; /* cells of a number that are kept; values of the others go to the nearest of them */
	uint16_t *merge;   /* [nfine] */
	double *fine;      /* [to - from + 1] of the kept cells and NULL */
} work;

static uint32_t
nominal_cells(const mg_domain *d)
{
	mg_grid g;

	if (d->kind == MG_CATEGORY)
		return d->open ? NOMINAL_LABELS : d->nlabels + (d->has_other ? 1 : 0);
	if (d->open || mg_domain_is_wide(d))
		return NOMINAL_CELLS;
	mg_grid_init(&g, d);
	return (uint32_t) mg_grid_count(&g, d->lower, d->upper);
}

static bool
valid_share(double x)
{
	return isfinite(x) && x >= 0;
}

static double
atom_weight(const mg_domain *d)
{
	return d->kind == MG_CATEGORY ? TEXT_ATOMS : 1;
}

/*
 * Learning is split over the columns that learn, by mg_learning_weight; of the atoms an open text gets TEXT_ATOMS times
 * what a number does. Histograms: a flat one of k cells has an L1 error of k sigma, and the least sum of k_c /
 * sqrt(rho_c) under a given sum of rho_c has rho_c proportional to k_c^(2/3).
 */
static mg_code
share_budget(mg_ctx *ctx, const mg_domain *domains, uint32_t n, const mg_discretize_options *opt, share *out)
{
	double learn = opt->rho_learn, oneway = opt->rho_oneway, weight = 0, atoms = 0, learning = 0;

	if (n == 0 || n > MG_MAX_COLUMNS)
		return mg_fail(ctx, MG_INVALID, "a model needs between 1 and %d columns", MG_MAX_COLUMNS);
	if (!valid_share(learn) || !valid_share(oneway) || !(learn + oneway > 0) || !valid_share(opt->delta_atoms))
		return mg_fail(ctx, MG_INVALID, "the privacy budget of discretisation must be positive");
	for (uint32_t i = 0; i < n; i++)
	{
		out[i].k = opt->rows_per_unit > 0 ? opt->rows_per_unit : 1;
		out[i].learns = domains[i].open || mg_domain_is_wide(&domains[i]);
		learning += out[i].learns ? mg_learning_weight(&domains[i]) : 0;
		atoms += out[i].learns ? atom_weight(&domains[i]) : 0;
		weight += pow(fmin(fmax(nominal_cells(&domains[i]), 2), HARD_CELLS), 2.0 / 3);
	}
	if (!(learning > 0))
	{
		oneway += learn;
		learn = 0;
	}
	for (uint32_t i = 0; i < n; i++)
	{
		double w = pow(fmin(fmax(nominal_cells(&domains[i]), 2), HARD_CELLS), 2.0 / 3);

		out[i].learn = out[i].learns ? learn * mg_learning_weight(&domains[i]) / learning : 0;
		out[i].delta = out[i].learns ? opt->delta_atoms * atom_weight(&domains[i]) / atoms : 0;
		out[i].oneway = oneway * w / weight;
		if (out[i].learns && learn <= 0)
		{
			out[i].learn = out[i].oneway * UNFUNDED_LEARNING;
			out[i].oneway -= out[i].learn;
		}
	}
	return MG_OK;
}

/* ---- learning ---- */

static mg_code
copy_label(mg_ctx *ctx, mg_arena *a, const char *text, uint32_t len, const char **out)
{
	*out = mg_arena_strndup(a, text, len);
	return *out != NULL ? MG_OK : mg_fail(ctx, MG_NOMEM, "out of memory");
}

/* The domain with all its strings in the model's own arena. */
static mg_code
copy_domain(mg_ctx *ctx, mg_arena *a, const mg_domain *d, mg_domain *out)
{
	mg_label *labels = NULL;

	*out = *d;
	MG_TRY(copy_label(ctx, a, d->name, (uint32_t) strlen(d->name), &out->name));
	if (d->other != NULL)
		MG_TRY(copy_label(ctx, a, d->other, (uint32_t) strlen(d->other), &out->other));
	if (d->kind == MG_CATEGORY && d->nlabels > 0)
	{
		MG_NEW(ctx, a, labels, d->nlabels);
		for (uint32_t i = 0; i < d->nlabels; i++)
		{
			MG_TRY(copy_label(ctx, a, d->labels[i].text, d->labels[i].len, &labels[i].text));
			labels[i].len = d->labels[i].len;
		}
	}
	out->labels = labels;
	return MG_OK;
}

static mg_code
alloc_leaves(mg_ctx *ctx, mg_arena *s, work *w)
{
	MG_NEW(ctx, s, w->leaf_y, w->nfine);
	MG_NEW(ctx, s, w->leaf_var, w->nfine);
	MG_NEW(ctx, s, w->empty, w->nfine);
	return MG_OK;
}

/*
 * A released count is one more measurement of its cell. Being released selects large noise near the threshold: counts
 * within two deviations of it are left out, and the bias of the others is below a twentieth of a deviation.
 * Releases count units, cells count rows: only where these are the same is it a measurement at all.
 */
static void
reuse_count(work *w, uint32_t cell, int64_t noisy, int64_t threshold, double variance)
{
	if (w->sh.k > 1 || (double) noisy < (double) threshold + 2 * sqrt(variance))
		return;
	w->leaf_y[cell] = (double) noisy;
	w->leaf_var[cell] = variance;
}

static mg_code
learn_labels(mg_ctx *ctx, mg_curator *c, uint32_t col, mg_arena *a, mg_arena *s, work *w, mg_domain *d)
{
	mg_released found = {0};
	mg_ratio sigma2;

	if (w->sh.delta > 0 && mg_noise_for_labels(w->sh.learn, w->sh.k, &sigma2))
		MG_TRY(mg_curator_release(ctx, c, col, sigma2, w->sh.delta, MG_MAX_LABELS, a, &found));
	else
		w->sh.oneway += w->sh.learn;
	d->nlabels = found.count;
	d->labels = found.labels;
	d->has_other = true;
	if (d->nlabels == 0 && !d->nullable && d->other == NULL)
		d->other = ""; /* something must stand in a NOT NULL column: the empty text is public */
	MG_TRY(mg_curator_fix_labels(ctx, c, col, d->labels, d->nlabels));
	w->nfine = d->nlabels + 2;
	MG_TRY(alloc_leaves(ctx, s, w));
	for (uint32_t i = 0; i < found.count; i++)
		reuse_count(w, i, found.noisy[i], found.threshold, mg_ratio_value(sigma2));
	return MG_OK;
}

/* Up to RANGE_ROUNDS histograms; *spent of the column's learning share. Stops when every value can have a cell. */
static mg_code
learn_range(mg_ctx *ctx, mg_curator *c, uint32_t col, mg_arena *s, const work *w, const mg_domain *d, mg_partition *p,
			double *lower, double *upper, double *spent)
{
	double rho = w->sh.learn * RANGE_SHARE / RANGE_ROUNDS;
	mg_partition next;
	mg_ratio sigma2;
	mg_grid g;

	mg_grid_init(&g, d);
	*spent = 0;
	MG_TRY(mg_partition_start(ctx, s, d, p));
	if (mg_noise_for_rows(rho, w->sh.k, &sigma2))
		for (int round = 0; round < RANGE_ROUNDS; round++)
		{
			MG_TRY(mg_partition_measure(ctx, c, col, sigma2, s, p));
			*spent += rho;
			mg_partition_bounds(d, p, lower, upper);
			if (mg_grid_count(&g, *lower, *upper) <= MG_MAX_CELLS)
				break;
			if (round + 1 < RANGE_ROUNDS)
			{
				MG_TRY(mg_partition_refine(ctx, s, d, RANGE_PARTS, p, &next));
				*p = next;
			}
		}
	mg_partition_bounds(d, p, lower, upper);
	return MG_OK;
}

static uint32_t
wanted_cells(const mg_partition *p, const work *w)
{
	double sigma = w->sh.oneway > 0 ? w->sh.k * sqrt(1 / (2 * w->sh.oneway)) : INFINITY;

	return (uint32_t) fmin(fmax(p->total / (CELL_DEVIATIONS * sigma), LEAST_CELLS), MG_MAX_CELLS);
}

static mg_code
learn_number(mg_ctx *ctx, mg_curator *c, uint32_t col, mg_arena *a, mg_arena *s, work *w, mg_domain *d)
{
	mg_released found = {0};
	mg_partition p;
	mg_ratio sigma2 = {1, 1};
	double lower, upper, spent;
	uint32_t ncells;
	mg_grid g;

	mg_grid_init(&g, d);
	MG_TRY(learn_range(ctx, c, col, s, w, d, &p, &lower, &upper, &spent));
	if (mg_grid_count(&g, lower, upper) > MG_MAX_CELLS && w->sh.delta > 0 &&
		mg_noise_for_labels(w->sh.learn - spent, w->sh.k, &sigma2))
	{
		MG_TRY(mg_curator_release(ctx, c, col, sigma2, w->sh.delta, MOST_SPIKES, s, &found));
		spent = w->sh.learn;
	}
	w->sh.oneway += w->sh.learn - spent;
	mg_partition_reach(d, &p, &lower, &upper);
	for (uint32_t i = 0; i < found.count; i++)
	{
		lower = fmin(lower, fmax(found.values[i], d->lower));
		upper = fmax(upper, fmin(found.values[i], d->upper));
	}
	MG_TRY(mg_partition_cells(ctx, a, d, &p, lower, upper, wanted_cells(&p, w), found.values, found.count, &w->cells,
							  &ncells));
	MG_TRY(mg_curator_fix_number(ctx, c, col, w->cells, ncells));
	d->lower = lower;
	d->upper = upper;
	w->nfine = ncells + 1;
	MG_TRY(alloc_leaves(ctx, s, w));
	for (uint32_t i = 0; i < found.count; i++)
		for (uint32_t k = 0; k < ncells; k++)
			if (w->cells[k].lower == found.values[i] && w->cells[k].upper == found.values[i])
				reuse_count(w, k, found.noisy[i], found.threshold, mg_ratio_value(sigma2));
	return MG_OK;
}

/* A closed column's cells, as the curator has them too: labels, or one cell a value. */
static mg_code
take_closed(mg_ctx *ctx, mg_curator *c, uint32_t col, mg_arena *a, mg_arena *s, work *w, const mg_domain *d)
{
	uint32_t ncells;
	mg_partition none = {0};

	w->nfine = mg_curator_nfine(c, col);
	if (d->kind == MG_NUMBER)
	{
		MG_TRY(mg_partition_cells(ctx, a, d, &none, d->lower, d->upper, 0, NULL, 0, &w->cells, &ncells));
		if (!(d->step > 0))
		{
			/* a single value on an axis without steps: the curator leaves all such axes to us */
			MG_TRY(mg_curator_fix_number(ctx, c, col, w->cells, ncells));
			w->nfine = ncells + 1;
		}
		if (ncells + 1 != w->nfine)
			return mg_fail(ctx, MG_INTERNAL, "cells of column \"%.60s\" do not match", d->name);
	}
	else if (w->nfine != d->nlabels + 2)
		return mg_fail(ctx, MG_INTERNAL, "labels of column \"%.60s\" do not match", d->name);
	return alloc_leaves(ctx, s, w);
}

static mg_code
learn_column(mg_ctx *ctx, mg_curator *c, uint32_t col, mg_arena *a, mg_arena *s, work *w, mg_domain *d)
{
	if (!w->sh.learns)
		MG_TRY(take_closed(ctx, c, col, a, s, w, d));
	else if (d->kind == MG_CATEGORY)
		MG_TRY(learn_labels(ctx, c, col, a, s, w, d));
	else
		MG_TRY(learn_number(ctx, c, col, a, s, w, d));
	w->empty[w->nfine - 1] = !d->nullable;
	if (d->kind == MG_CATEGORY)
		w->empty[d->nlabels] = !d->has_other;
	return MG_OK;
}

/* ---- histograms ---- */

static uint32_t
tree_levels(uint32_t ordered)
{
	return ordered < TREE_FROM ? 1 : 2;
}

static mg_code
measure_column(mg_ctx *ctx, mg_curator *c, uint32_t col, mg_arena *s, work *w, const mg_domain *d)
{
	uint32_t ordered = d->kind == MG_NUMBER ? w->nfine - 1 : 0;
	int64_t *noisy[MG_TREE_LEVELS];
	mg_ratio sigma2[MG_TREE_LEVELS];
	double var[MG_TREE_LEVELS];
	bool measured;

	MG_TRY(mg_tree_build(ctx, s, w->nfine, ordered, TREE_BRANCH, tree_levels(ordered), &w->tree));
	measured = mg_noise_for_rows(w->sh.oneway / w->tree.levels, w->sh.k, &sigma2[0]);
	for (uint32_t k = 0; k < w->tree.levels; k++)
	{
		MG_NEW(ctx, s, noisy[k], w->tree.size[k]);
		sigma2[k] = sigma2[0];
		var[k] = measured ? mg_ratio_value(sigma2[k]) : 0x1p41;
	}
	if (measured)
		MG_TRY(mg_curator_hierarchy(ctx, c, col, w->tree.levels, w->tree.size, (const uint32_t *const *) w->tree.group,
									sigma2, noisy));
	mg_tree_up(&w->tree, (const int64_t *const *) noisy, var, w->empty, w->leaf_y, w->leaf_var);
	return MG_OK;
}

/*
 * The number of rows is in every column's histogram: inverse variance over all. Each column then gets what the *others*
 * know, so that its own noise is not counted twice.
 */
static double
join_totals(work *w, uint32_t n)
{
	double sum = 0, weight = 0;

	for (uint32_t i = 0; i < n; i++)
		if (w[i].tree.root_var > 0)
		{
			sum += w[i].tree.root / w[i].tree.root_var;
			weight += 1 / w[i].tree.root_var;
		}
	for (uint32_t i = 0; i < n; i++)
	{
		double own = w[i].tree.root_var > 0 ? 1 / w[i].tree.root_var : 0;
		double others = weight - own;

		if (others > weight * 1e-9)
			mg_tree_down(&w[i].tree, (sum - own * w[i].tree.root) / others, 1 / others);
		else
			mg_tree_down(&w[i].tree, 0, INFINITY);
	}
	return weight > 0 ? fmax(sum / weight, 1) : 1;
}

/* ---- tails ---- */

/*
 * How many of `n` cells (cell[0], cell[step], ..) from one end inward hold nothing that stands out of the noise, alone
 * or together; all where nothing does. Of a group of the tree's next level, the variance of the cells passed so far is
 * their own sum's, or the group's and the others', whichever is less.
 */
static uint32_t
empty_cells(const mg_tree *t, uint32_t first, int step, uint32_t n)
{
	double sum = 0, groups = 0, here = 0, others = 0;
	uint32_t cell = first;

	for (uint32_t k = 0; k < n; k++, cell += (uint32_t) step)
	{
		double var;

		if (t->levels > 1)
		{
			uint32_t g = t->parent[0][cell];

			if (k == 0 || g != t->parent[0][cell - (uint32_t) step])
			{
				groups += fmin(here, others);
				here = 0;
				others = t->v[1][g];
				for (uint32_t i = cell, left = n - k; left > 0 && t->parent[0][i] == g; i += (uint32_t) step, left--)
					others += t->v[0][i];
			}
			others -= t->v[0][cell];
		}
		else
			others = INFINITY;
		here += t->v[0][cell];
		sum += t->z[0][cell];
		var = groups + fmin(here, others);
		if (sum >= fmax(TRIM_DEVIATIONS * sqrt(var), 1))
			return k;
	}
	return n;
}

/*
 * How many cells beyond the one at `edge` (at most n) to take back in: the number at which their sum stands out most
 * above HALO_DEVIATIONS of its noise, within `reach` of the edge and not across zero. That near, a cell too many does
 * no harm.
 */
static uint32_t
halo_cells(const work *w, uint32_t edge, int step, uint32_t n, double reach)
{
	double sum = 0, var = 0, best = 0;
	uint32_t count = 0, cell = edge;

	for (uint32_t k = 1; k <= n; k++)
	{
		double excess, away;

		cell += (uint32_t) step;
		away = step > 0 ? w->cells[cell].upper - w->cells[edge].upper : w->cells[edge].lower - w->cells[cell].lower;
		if (!(away <= reach) || (step > 0 ? w->cells[edge].upper <= 0 && w->cells[cell].upper > 0
										  : w->cells[edge].lower >= 0 && w->cells[cell].lower < 0))
			break;
		sum += w->tree.z[0][cell];
		var += w->tree.v[0][cell];
		excess = sum - HALO_DEVIATIONS * sqrt(var);
		if (excess > best)
		{
			best = excess;
			count = k;
		}
	}
	return count;
}

/*
 * The cells at both ends that show nothing are cut off: what rows they hold are worth a few deviations of the noise,
 * but what noise they hold would be drawn as values far from any real one.
 */
static void
trim_tails(work *w)
{
	uint32_t ncells = w->nfine - 1, low = empty_cells(&w->tree, 0, 1, ncells), high;
	double reach;

	if (low == ncells)
		return;
	w->seen = true;
	high = ncells - 1 - empty_cells(&w->tree, ncells - 1, -1, ncells);
	if (high >= ncells || high < low)
		high = low;
	reach = w->cells[high].upper - w->cells[low].lower;
	w->from = low - halo_cells(w, low, -1, low, reach);
	w->to = high + 1 + halo_cells(w, high, 1, ncells - 1 - high, reach);
}

/*
 * How far into the outermost cell its values go. With mass m there, and M in the width W next to it, the exponential
 * tail that would put both where they are falls by log(1 + M / m) / W, and the largest of m values is expected log(m)
 * over that beyond the cell's inner edge. Not less than the whole cell where the mass does not fall outward.
 */
static double
outer_width(const mg_cell *cells, const double *fine, uint32_t n, bool top)
{
	uint32_t at = top ? n - 1 : 0;
	double width = cells[at].upper - cells[at].lower, beside = 0, mass = 0;

	for (uint32_t k = 1; k < n && beside < width && mass < 4 * fine[at]; k++)
	{
		uint32_t i = top ? at - k : at + k;

		if (cells[i].upper > cells[i].lower)
		{
			beside += cells[i].upper - cells[i].lower;
			mass += fine[i];
		}
	}
	if (!(width > 0) || !(beside > 0) || !(fine[at] > 0) || !(mass > 0))
		return width;
	return fmin(width, beside * log1p(fine[at]) / log1p(mass / fine[at]));
}

/* Narrows the outermost cells, and the range of an open domain to what the cells reach. */
static void
narrow_range(mg_column *out, mg_cell *cells, uint32_t n)
{
	mg_domain *d = &out->domain;
	mg_cell *low = &cells[0], *high = &cells[n - 1];
	double lower = low->upper - outer_width(cells, out->fine, n, false);
	double upper = high->lower + outer_width(cells, out->fine, n, true);
	mg_grid g;

	mg_grid_init(&g, d);
	if (g.step > 0)
	{
		lower = mg_grid_value(&g, mg_grid_ceil(&g, lower));
		upper = mg_grid_value(&g, mg_grid_ceil(&g, upper));
	}
	if (n > 1 && lower > low->lower && lower < low->upper)
		low->lower = lower;
	if (n > 1 && upper < high->upper && upper > high->lower)
		high->upper = upper;
	if (!d->open)
		return;
	upper = high->upper;
	if (g.step > 0 && high->upper > high->lower)
		upper = mg_grid_value(&g, mg_grid_ceil(&g, high->upper) - 1);
	d->lower = fmin(fmax(d->lower, low->lower), d->upper);
	d->upper = fmax(fmin(d->upper, upper), d->lower);
}

/* ---- codes ---- */

/* Takes noise out where it shows: neighbours that are alike, masses of zero. */
static mg_code
smooth_column(mg_ctx *ctx, mg_arena *s, work *w, const double *var, uint32_t n, const mg_domain *d, double total)
{
	if (d->kind == MG_CATEGORY)
		mg_smooth_labels(w->fine, var, n, total);
	else
	{
		MG_TRY(mg_smooth_ordered(ctx, s, w->fine, var, n - 1, total));
		mg_smooth_labels(w->fine + n - 1, var + n - 1, 1, total);
	}
	return MG_OK;
}

/* The kept cells' masses, smooth and of the right sum. */
static mg_code
estimate_fine(mg_ctx *ctx, mg_arena *a, mg_arena *s, work *w, double total, mg_column *out)
{
	uint32_t kept = w->to - w->from, rest = out->domain.kind == MG_NUMBER ? 1 : 0;
	double *var;

	out->nfine = kept + rest;
	MG_NEW(ctx, a, w->fine, out->nfine);
	MG_NEW(ctx, s, var, out->nfine);
	memcpy(w->fine, w->tree.z[0] + w->from, kept * sizeof(double));
	memcpy(var, w->tree.v[0] + w->from, kept * sizeof(double));
	if (rest > 0)
	{
		w->fine[kept] = w->tree.z[0][w->nfine - 1];
		var[kept] = w->tree.v[0][w->nfine - 1];
	}
	MG_TRY(smooth_column(ctx, s, w, var, out->nfine, &out->domain, total));
	mg_project_simplex(w->fine, var, out->nfine, total);
	out->fine = w->fine;
	return MG_OK;
}

/* The codes of all cells that the curator has: those cut off go with the nearest that was kept. */
static mg_code
merge_all(mg_ctx *ctx, mg_arena *s, work *w, const uint16_t *merge)
{
	MG_NEW(ctx, s, w->merge, w->nfine);
	for (uint32_t i = 0; i < w->nfine; i++)
	{
		uint32_t kept = i < w->from ? 0 : i < w->to ? i - w->from : w->to - w->from - 1;

		w->merge[i] = merge[kept];
	}
	w->merge[w->nfine - 1] = merge[w->to - w->from - (w->to == w->nfine ? 1 : 0)];
	return MG_OK;
}

static mg_code
finish_column(mg_ctx *ctx, mg_arena *a, mg_arena *s, work *w, double total, const mg_bin_rule *rule, mg_column *out)
{
	bool number = out->domain.kind == MG_NUMBER;
	double *coarse, *coarse_var;
	uint16_t *merge;

	w->from = 0;
	w->to = w->nfine - (number ? 1 : 0);
	if (number && w->sh.learns)
		trim_tails(w);
	MG_TRY(estimate_fine(ctx, a, s, w, total, out));
	MG_NEW(ctx, a, merge, out->nfine);
	MG_TRY(mg_bins_merge(ctx, s, &out->domain, w->cells + w->from, w->fine, out->nfine, rule, merge, &out->ncoarse));
	MG_TRY(merge_all(ctx, s, w, merge));
	MG_NEW(ctx, a, coarse, out->ncoarse);
	MG_NEW(ctx, a, coarse_var, out->ncoarse);
	for (uint32_t i = 0; i < out->nfine; i++)
		coarse[merge[i]] += w->fine[i];
	MG_TRY(mg_tree_bin_vars(ctx, s, &w->tree, w->merge, out->ncoarse, coarse_var));
	for (uint32_t b = 0; b < out->ncoarse; b++)
		coarse_var[b] = fmax(coarse_var[b], LEAST_VARIANCE);
	if (number)
	{
		if (w->seen)
			narrow_range(out, w->cells + w->from, w->to - w->from);
		out->cells = w->cells + w->from;
	}
	out->merge = merge;
	out->total = total;
	out->coarse = coarse;
	out->coarse_var = coarse_var;
	return MG_OK;
}

static mg_code
recode(mg_ctx *ctx, mg_curator *c, mg_arena *s, const work *w, uint32_t n, const mg_column *out)
{
	const uint16_t **merge;
	uint32_t *ncoarse;

	MG_NEW(ctx, s, merge, n);
	MG_NEW(ctx, s, ncoarse, n);
	for (uint32_t i = 0; i < n; i++)
	{
		merge[i] = w[i].merge;
		ncoarse[i] = out[i].ncoarse;
	}
	return mg_curator_recode(ctx, c, merge, ncoarse);
}

static mg_code
discretize(mg_ctx *ctx, mg_curator *c, const mg_domain *domains, uint32_t n, const mg_discretize_options *opt,
		   mg_arena *a, mg_arena *s, mg_column *out)
{
	share *shares;
	double total;
	work *w;

	MG_NEW(ctx, s, shares, n > 0 ? n : 1);
	MG_NEW(ctx, s, w, n > 0 ? n : 1);
	MG_TRY(share_budget(ctx, domains, n, opt, shares));
	if (shares[0].k != mg_curator_rows_per_unit(c))
		return mg_fail(ctx, MG_INVALID, "the request is for units of %u rows, the curator's have %u", shares[0].k,
					   mg_curator_rows_per_unit(c));
	for (uint32_t i = 0; i < n; i++)
	{
		mg_progress(ctx, "learning the domain", (double) i / n);
		MG_TRY(mg_poll(ctx));
		w[i].sh = shares[i];
		memset(&out[i], 0, sizeof(out[i]));
		MG_TRY(copy_domain(ctx, a, &domains[i], &out[i].domain));
		MG_TRY(learn_column(ctx, c, i, a, s, &w[i], &out[i].domain));
	}
	for (uint32_t i = 0; i < n; i++)
	{
		mg_progress(ctx, "measuring columns", (double) i / n);
		MG_TRY(mg_poll(ctx));
		MG_TRY(measure_column(ctx, c, i, s, &w[i], &out[i].domain));
	}
	total = join_totals(w, n);
	for (uint32_t i = 0; i < n; i++)
	{
		mg_bin_rule rule = mg_bin_rule_for(opt, &out[i].domain, n, total);

		MG_TRY(mg_poll(ctx));
		MG_TRY(finish_column(ctx, a, s, &w[i], total, &rule, &out[i]));
	}
	return recode(ctx, c, s, w, n, out);
}

mg_code
mg_discretize(mg_ctx *ctx, mg_curator *c, const mg_domain *domains, uint32_t ncolumns, const mg_discretize_options *opt,
			  mg_arena *a, mg_column *out)
{
	mg_arena *scratch = mg_arena_create(0);
	mg_code code;

	if (scratch == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	code = discretize(ctx, c, domains, ncolumns, opt, a, scratch, out);
	mg_arena_destroy(scratch);
	return code;
}

/* ---- plan ---- */

static void
plan_item(mg_plan *plan, const char *what, const char *column, const share *sh, double rho, double delta,
		  uint64_t count)
{
	mg_plan_item *it = &plan->item[plan->count++];
	mg_ratio sigma2 = {1, 1};

	memset(it, 0, sizeof(*it));
	snprintf(it->what, sizeof(it->what), "%s", what);
	snprintf(it->column, sizeof(it->column), "%.63s", column);
	it->rho = rho;
	it->delta = delta;
	it->count = count;
	/* where there is a delta, labels are looked for */
	it->sigma = (delta > 0 ? mg_noise_for_labels : mg_noise_for_rows)(rho / (double) count, sh->k, &sigma2)
					? sqrt(mg_ratio_value(sigma2))
					: 0;
}

mg_code
mg_discretize_plan(mg_ctx *ctx, mg_arena *a, const mg_domain *domains, uint32_t ncolumns,
				   const mg_discretize_options *opt, mg_plan *plan)
{
	mg_plan_item *items;
	share *shares;

	MG_NEW(ctx, a, shares, ncolumns > 0 ? ncolumns : 1);
	MG_TRY(share_budget(ctx, domains, ncolumns, opt, shares));
	MG_NEW(ctx, a, items, (size_t) plan->count + 3 * (size_t) ncolumns);
	if (plan->count > 0)
		memcpy(items, plan->item, plan->count * sizeof(*items));
	plan->item = items;
	for (uint32_t i = 0; i < ncolumns; i++)
	{
		const mg_domain *d = &domains[i];
		const share *sh = &shares[i];

		if (sh->learns && d->kind == MG_CATEGORY)
			plan_item(plan, "labels", d->name, sh, sh->learn, sh->delta, 1);
		else if (sh->learns)
		{
			plan_item(plan, d->open ? "bounds" : "spread", d->name, sh, sh->learn * RANGE_SHARE, 0, RANGE_ROUNDS);
			plan_item(plan, "frequent values", d->name, sh, sh->learn * (1 - RANGE_SHARE), sh->delta, 1);
		}
		plan_item(plan, "fine histogram", d->name, sh, sh->oneway, 0, tree_levels(nominal_cells(d)));
	}
	return MG_OK;
}
