/*
 * graphical/estimate.h: from noisy marginals to the consistent, non-negative marginals of one distribution
 * (Private-PGM: McKenna, Sheldon, Miklau 2019), on any junction tree.
 *
 * Over distributions P with the structure of the junction tree, scaled to `total` N, with z_i = the marginal of
 * N P that measurement i is of, y_i what was measured and v_i its variance:
 *
 *     minimise  F(P) = sum_i sum_x (z_i(x) - y_i(x))^2 / (2 v_i(x))  +  gamma N KL(P || P0)
 *
 * The first part is minus the log-likelihood of Gaussian noise. P0 is a prior guess (the independent product of
 * the noisy one-way marginals, say; potentials 0: uniform), and gamma > 0 how much it is worth; `steps` > 1
 * repeats the minimisation with P0 replaced by the last result (proximal point method with the Kullback-Leibler
 * divergence), which removes the prior's pull and converges to Private-PGM's own answer, gamma = 0.
 *
 * Each minimisation is solved through its dual, which is smooth and strongly concave, lives on the measured
 * cells, and has the log-potentials themselves as variables: P = P0 exp(sum_i q_i) / Z, so that every iterate
 * is a proper distribution (see estimate.c).
 */
#ifndef MIRAGE_GRAPHICAL_ESTIMATE_H
#define MIRAGE_GRAPHICAL_ESTIMATE_H

#include "graphical/junction.h"

typedef struct mg_measurement
{
	uint32_t k;
	const uint32_t *cols;   /* ascending; within some clique */
	const double *y;        /* [product of sizes], row-major */
	double var;             /* of each cell, > 0; used where cell_var is NULL */
	const double *cell_var; /* [product of sizes], > 0, or NULL */
} mg_measurement;

typedef struct mg_estimate_options
{
	double gamma;            /* > 0 */
	uint32_t steps;          /* >= 1 */
	double tolerance;        /* stop a step when its duality gap is below tolerance * (measured cells), in nats */
	uint32_t max_iterations; /* sweeps over all measurements, of all steps together; each costs about an inference */
	double *q;               /* [measured cells] or NULL: in, the first guess (zeros for none); out, the result's */
	/*
	 * Called every few iterations, for tests and logs: the dual objective of the step (never decreases within
	 * it) and the gap.
	 */
	void (*watch)(void *arg, uint32_t step, uint32_t iteration, double dual, double gap);
	void *watch_arg;
} mg_estimate_options;

typedef struct mg_estimate_report
{
	uint32_t iterations, evaluations;
	double loss; /* squared error part of F at the result */
	double gap;  /* duality gap of the last step: F(result) is at most this above its minimum */
} mg_estimate_report;

/* The total by inverse-variance weighting of the sums of the measurements; at least 1. */
double mg_estimate_total(const uint32_t *sizes, const mg_measurement *m, uint32_t count);

/*
 * f: in, the prior's log-potentials, one factor a clique (-inf: a structural zero, otherwise finite); out, the
 * calibrated marginals, each summing to total. MG_INVALID: a measurement within no clique, a variance that is not
 * positive or underflows or overflows times gamma, a number that is not finite, a prior that leaves no cell of the
 * joint possible.
 */
mg_code mg_estimate(mg_ctx *ctx, const mg_junction *j, const mg_measurement *m, uint32_t count, double total,
					const mg_estimate_options *opt, mg_factor *f, mg_estimate_report *report);

/*
 * Plain Private-PGM (gamma = 0, no prior) by an exact and much faster way (tree.c), where cliques are pairs and
 * single columns, every pair is measured once with one variance, and every column is measured once. f: out
 * only. Of the options, gamma and steps are not used. MG_INVALID: measurements of another shape, or as above.
 */
mg_code mg_estimate_tree(mg_ctx *ctx, const mg_junction *j, const mg_measurement *m, uint32_t count, double total,
						 const mg_estimate_options *opt, mg_factor *f, mg_estimate_report *report);

/*
 * The dual objective and its gradient at q (concatenated in the order of m), for tests: value of D / gamma,
 * grad [measured cells].
 */
mg_code mg_estimate_dual(mg_ctx *ctx, const mg_junction *j, const mg_measurement *m, uint32_t count, double total,
						 double gamma, const mg_factor *prior, const double *q, double *value, double *grad);

#endif
