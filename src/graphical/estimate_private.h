/*
 * graphical/estimate_private.h: what estimate.c and sweep.c share. Private to estimation.
 */
#ifndef MIRAGE_GRAPHICAL_ESTIMATE_PRIVATE_H
#define MIRAGE_GRAPHICAL_ESTIMATE_PRIVATE_H

#include "graphical/estimate.h"

typedef struct mge_problem
{
	const mg_junction *j;
	uint32_t count;
	size_t dim; /* measured cells */
	double total, gamma;
	mg_factor *scope;  /* [count] views: columns of measurement i; v points where it is needed */
	size_t *start;     /* [count] first cell of measurement i in the arrays below */
	uint32_t *home;    /* [count] its clique */
	double *y, *var;   /* [dim] */
	mg_factor *base;   /* log-potentials of P0, -inf: impossible */
	mg_factor *weight; /* exp(base - its largest), NULL where linear space has failed */
	double *top;       /* [cliques] the largest of base */
	double *scale;     /* [cells of the largest measurement] */
	double base_log_z;
	mg_factor *work; /* potentials, then marginals at the last evaluated point */
	mg_messages messages;
	double *z;  /* [dim] measured marginals of the point evaluated last */
	bool *dead; /* [dim] cells that P0 makes impossible: their variables stay zero, and no figure counts them */
	uint32_t evaluations, failures;
	uint32_t step, before;          /* of the proximal point method; iterations of the steps before */
	double gap;                     /* of the last accepted point */
	const mg_estimate_options *opt; /* NULL in mg_estimate_dual */
} mge_problem;

/*
 * sweep.c: coordinate ascent of the dual over all measurements, each in turn. begin: work[] are the marginals at q, as
 * an evaluation leaves them. After each run q has moved, the dual is no lower, and work[] of the first clique is its
 * marginal (the others' are not all). False: cells have moved whose mass is not known, an inference should come next.
 */
typedef struct mge_sweep mge_sweep;
mg_code mge_sweep_make(mg_ctx *ctx, mg_arena *a, mge_problem *p, mge_sweep **out);
void mge_sweep_begin(mge_sweep *s);
bool mge_sweep_run(mge_sweep *s, double *q);

#endif
