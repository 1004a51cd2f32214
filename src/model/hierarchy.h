/*
 * model/hierarchy.h: noisy histograms of one column at several resolutions, made into one consistent estimate.
 *
 * A tree has the column's fine cells as leaves (level 0) and coarser groups of neighbours above; level k was measured
 * with independent noise of variance level_var[k]. The estimate is the weighted least squares solution (Hay, Rastogi,
 * Miklau, Suciu 2010, Theorem 3, here for any branching and any variances), found by two passes; a root above the top
 * level carries what is known of the total from elsewhere.
 */
#ifndef MIRAGE_MODEL_HIERARCHY_H
#define MIRAGE_MODEL_HIERARCHY_H

#include "table/domain.h"

#define MG_TREE_LEVELS 4

typedef struct mg_tree
{
	uint32_t levels;                  /* 1..MG_TREE_LEVELS */
	uint32_t size[MG_TREE_LEVELS];    /* groups of each level; size[0]: fine cells */
	uint32_t *group[MG_TREE_LEVELS];  /* [size[0]] the group of each fine cell; group[0] is the identity */
	uint32_t *parent[MG_TREE_LEVELS]; /* [size[k]] the group of level k + 1; absent for the last */
	double *z[MG_TREE_LEVELS];        /* estimate from the subtree alone, then from everything */
	double *v[MG_TREE_LEVELS];        /* variance of the subtree's own estimate; 0: known to be empty */
	double root, root_var;            /* the total, from this column alone until mg_tree_down */
} mg_tree;

/*
 * Groups: the first `ordered` fine cells in runs of branch, branch^2, ..; each further cell (NULL, `other`) is a group
 * of its own in every level. levels: as many as asked, as long as each has fewer groups than the one below.
 */
mg_code mg_tree_build(mg_ctx *ctx, mg_arena *a, uint32_t nfine, uint32_t ordered, uint32_t branch, uint32_t levels,
					  mg_tree *t);

/*
 * Up: z and v from the measurements. empty[cell]: known to hold nothing (mass 0, variance 0). leaf_y, leaf_var: one
 * more independent measurement of single cells (variance <= 0 or not finite: none); both may be NULL.
 */
void mg_tree_up(mg_tree *t, const int64_t *const *noisy, const double *level_var, const bool *empty,
				const double *leaf_y, const double *leaf_var);
/* Down: joins what others know of the total (INFINITY: nothing) and makes all levels consistent. */
void mg_tree_down(mg_tree *t, double total, double total_var);
/*
 * var[b]: variance of the sum of the leaves with merge[cell] == b, exact for the estimate of mg_tree_down before any
 * smoothing or projection. O(levels > 1 ? bins * cells : cells).
 */
mg_code mg_tree_bin_vars(mg_ctx *ctx, mg_arena *scratch, const mg_tree *t, const uint16_t *merge, uint32_t nbins,
						 double *var);

/*
 * The point nearest to x, in the metric 1 / var, with no negative entry and sum `total` > 0; entries of variance 0
 * become 0. Where all variances are zero: spread evenly over those that are not empty, or all in the first.
 */
void mg_project_simplex(double *x, const double *var, uint32_t n, double total);

#endif
