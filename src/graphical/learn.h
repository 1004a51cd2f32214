/*
 * graphical/learn.h: a model that grows by measurements: what was measured so far, the junction tree that holds it, and
 * the estimate. All of it is post-processing of noisy figures.
 *
 * Estimates begin at the product of the noisy one-way marginals; each starts from the dual variables of the one before,
 * which belong to measurements and so survive a change of the tree.
 */
#ifndef MIRAGE_GRAPHICAL_LEARN_H
#define MIRAGE_GRAPHICAL_LEARN_H

#include "graphical/body.h"
#include "graphical/triangulate.h"

typedef struct mg_learner mg_learner;

/*
 * Cells that no row can be in, over a few columns: a clique of the model. Some cell of the joint must be possible
 * (mg_required_list sees to it); the fit is MG_INVALID otherwise.
 */
typedef struct mg_zero_set
{
	uint32_t k;
	const uint32_t *cols; /* ascending */
	const bool *possible; /* [product of sizes] */
} mg_zero_set;

typedef struct mg_learn_options
{
	double tolerance; /* gap in nats a measured cell */
	uint32_t iterations;
	uint32_t steps;    /* of the proximal point method; 1 keeps the prior's pull */
	uint32_t restarts; /* of the triangulation */
} mg_learn_options;

/*
 * m: columns discretised. Kept by reference: the model (its columns and arena), zeros. gamma: the prior's weight,
 * see estimate.h. Begins with the one-way marginals as measurements, each
 * with the mean of its cells' variances; everything else belongs to arena a.
 */
mg_code mg_learner_create(mg_ctx *ctx, mg_arena *a, const mg_model *m, double gamma, const mg_zero_set *zeros,
						  uint32_t nzeros, mg_learner **out);
void mg_learner_destroy(mg_learner *l); /* frees what belongs to rounds; NULL allowed */

/*
 * Adds noisy counts y [product] with noise of variance var; a set that was measured before is combined with what is
 * known of it by inverse variance. Copied.
 */
mg_code mg_learner_add(mg_ctx *ctx, mg_learner *l, const uint32_t *cols, uint32_t k, const int64_t *y, double var);

/* Triangulates and estimates. Afterwards tree and marginals are those of all that was added. */
mg_code mg_learner_fit(mg_ctx *ctx, mg_learner *l, const mg_learn_options *opt);

const mg_junction *mg_learner_tree(const mg_learner *l);    /* the learner's own, after a fit */
const mg_factor *mg_learner_marginals(const mg_learner *l); /* one a clique, each summing to the total */
double mg_learner_total(const mg_learner *l);               /* noisy, by inverse variance of all measurements */
const uint32_t *mg_learner_sizes(const mg_learner *l);
/* What is measured or required beside single columns: the sets that the tree must hold. */
const mg_column_set *mg_learner_sets(const mg_learner *l, uint32_t *count);

/* The result into a model's body, in the model's arena. */
mg_code mg_learner_finish(mg_ctx *ctx, const mg_learner *l, mg_model *m, mg_graphical *body);

#endif
