/*
 * curator/workload.h: marginals that many rounds of selection and measurement come back to.
 *
 * A workload counts its marginals once, exactly, and keeps the counts inside the curator: what a round costs then
 * follows from the sizes of the marginals, not from the rows. Nothing is charged for the counting, since nothing of it
 * leaves but through the queries below, which are those of curator.h under the same sensitivities and charges.
 *
 * Life: after mg_curator_recode; ended, and so wiped, before the curator is destroyed. Selections made from it keep
 * only scores and may outlive it (not the curator).
 */
#ifndef MIRAGE_CURATOR_WORKLOAD_H
#define MIRAGE_CURATOR_WORKLOAD_H

#include "curator/curator.h"

typedef struct mg_workload mg_workload;

typedef struct mg_marginal_of
{
	uint32_t k;           /* columns, at least 1 */
	const uint32_t *cols; /* ascending, the last one the fastest */
} mg_marginal_of;

/*
 * sets: copied. memory: bytes for kept counts (four a cell). In the order given each marginal that fits into what is
 * left is kept; the others, and all where the table has 2^32 rows or more, are counted again whenever they are asked
 * for. So which are kept, and the memory, follow from public figures; only time can show that a table was that long.
 */
mg_code mg_workload_begin(mg_ctx *ctx, mg_curator *c, const mg_marginal_of *sets, size_t count, size_t memory,
						  mg_workload **out);
void mg_workload_end(mg_workload *w); /* wipes the counts; NULL allowed */

size_t mg_workload_cells(const mg_workload *w, size_t marginal); /* public: the product of the columns' codes */

/*
 * Private selection with weights: contender i scores weight * (|exact marginal - round(answer)|_1 - penalty), an
 * integer, saturated at +-2^62. fill writes contender i's answer into out[cells]: doubles in the marginal's layout; NaN
 * counts as 0, others are clamped to +-2^62 and rounded half away from zero. It is called from the caller's thread, in
 * order, once a contender. What comes out is for mg_selection_choose and mg_selection_end: each choice is one
 * exponential mechanism, Pr proportional to exp(epsilon score / 2s), charged `epsilon`, where s is k times the largest
 * weight among the contenders that this choice allows.
 */
#define MG_MAX_WEIGHT 65536u
typedef struct mg_contender
{
	size_t marginal; /* of the workload */
	uint32_t weight; /* public; 1 .. MG_MAX_WEIGHT */
	int64_t penalty; /* public */
} mg_contender;
mg_code mg_workload_score(mg_ctx *ctx, mg_workload *w, const mg_contender *cont, size_t count,
						  void (*fill)(void *arg, size_t i, double *out), void *arg, mg_selection **out);

/* Noisy marginals exactly as mg_curator_marginals gives them: same charge, all or none. */
typedef struct mg_workload_query
{
	size_t marginal;
	mg_ratio sigma2;
	int64_t *noisy; /* [cells] */
} mg_workload_query;
mg_code mg_workload_measure(mg_ctx *ctx, mg_workload *w, mg_workload_query *q, size_t count);

#endif
