/*
 * graphical/lbfgs.h: limited-memory BFGS (Nocedal 1980) with a diagonal first guess given by the caller at each
 * point.
 */
#ifndef MIRAGE_GRAPHICAL_LBFGS_H
#define MIRAGE_GRAPHICAL_LBFGS_H

#include "base/mirage.h"

#define MG_LBFGS_HISTORY 8

typedef struct mg_lbfgs
{
	size_t dim;
	/* Value and gradient at x; smooth, convex, bounded below. */
	double (*evaluate)(void *arg, const double *x, double *grad);
	/*
	 * d /= diagonal of the Hessian, roughly, at the point evaluated last (it is the current one whenever this
	 * is called).
	 */
	void (*precondition)(void *arg, double *d);
	/* After each accepted step (and once before the first); the value never rises. True: enough. */
	bool (*done)(void *arg, uint32_t iteration, const double *x, const double *grad, double value);
	void *arg;
	uint32_t max_iterations;
} mg_lbfgs;

/*
 * From x to a minimiser; scratch from the arena. Ends at done, max_iterations, or where rounding allows no
 * further descent.
 */
mg_code mg_lbfgs_minimise(mg_ctx *ctx, mg_arena *a, const mg_lbfgs *f, double *x, uint32_t *iterations);

#endif
