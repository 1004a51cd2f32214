/*
 * graphical/consistent.h: noisy marginals that overlap, made to agree.
 *
 * Measurements of {a, b} and {a, c} both tell the marginal of a, with different noise. Estimation cannot follow both,
 * and spends most of its iterations on finding out. The generalised least-squares answer is known in closed form: a
 * marginal is the sum of its residual components, one for each subset s of its columns (summed over the others, centred
 * along each column of s), white noise is independent in different components, so what several measurements tell of one
 * component is averaged by inverse variance (the residual basis of Xiao, He, Zhang, Kifer 2023, "ResidualPlanner").
 *
 * By Pythagoras, sum |z_i - y_i|^2 / v_i over measurements and its value at the averaged y_i differ by a constant for
 * all z_i that are marginals of one table: Private-PGM's answer stays what it was.
 */
#ifndef MIRAGE_GRAPHICAL_CONSISTENT_H
#define MIRAGE_GRAPHICAL_CONSISTENT_H

#include "graphical/estimate.h"

/*
 * out[i]: [product of sizes] in arena a, the consistent version of m[i].y; it may have negative cells. MG_INVALID:
 * cell_var (one variance a measurement), more than 16 columns. Cost: 2^k passes over a measurement of k columns.
 */
mg_code mg_make_consistent(mg_ctx *ctx, mg_arena *a, const uint32_t *sizes, const mg_measurement *m, uint32_t count,
						   double **out);

#endif
