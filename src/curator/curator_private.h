/*
 * curator/curator_private.h: inside the curator, and the seam that its own tests look through. Nobody else includes it.
 *
 * Each query has the same four steps: check the call (public figures only), debit the odometer, count exactly into a
 * private buffer (the mgc_exact_* functions), noise that buffer and copy it out. A refusal leaves the caller's buffer
 * as it was, a later failure (a cancel, the store) leaves in it what it held or numbers that are noised and paid for;
 * private buffers are wiped before they are freed. So an exact count exists outside table/ only between an mgc_exact_*
 * call and the mg_noise call that follows it in the same function.
 */
#ifndef MIRAGE_CURATOR_PRIVATE_H
#define MIRAGE_CURATOR_PRIVATE_H

#include "curator/curator.h"
#include "table/codes.h"
#include "table/count.h"
#include "table/groupby.h"

typedef struct mgc_bounding mgc_bounding; /* unit.c: what loading by units holds */

struct mg_curator
{
	mg_codes *codes;
	mg_noise *noise;
	mg_odometer *odometer;
	size_t memory;
	uint32_t ncolumns;
	uint32_t k;          /* most rows of a unit: all sensitivities follow it */
	mgc_bounding *units; /* NULL: the unit is the row, or loading is over */
	bool loaded;
};

/* unit.c. Life: create (also gives the code table's key), row before each mg_codes_load_row, run once, destroy. */
mg_code mgc_bounding_create(mg_ctx *ctx, const mg_units *units, uint32_t ncolumns, mg_store *store, size_t memory,
							uint8_t key[MG_HASH_KEY_BYTES + 8], mgc_bounding **out);
void mgc_bounding_destroy(mgc_bounding *b); /* NULL allowed */
mg_code mgc_bounding_row(mg_ctx *ctx, mgc_bounding *b, const mg_codes *t);
mg_code mgc_bounding_run(mg_ctx *ctx, mgc_bounding *b, mg_codes *t);

/* Refuses when a query of that stage cannot be asked now. */
mg_code mgc_check_fine(mg_ctx *ctx, const mg_curator *c, uint32_t col);
mg_code mgc_check_coarse(mg_ctx *ctx, const mg_curator *c);
mg_code mgc_check_sigma2(mg_ctx *ctx, mg_ratio sigma2);

/* One discrete Gaussian of sigma2, of a vector whose squared L2 sensitivity is `squared`, with an atom of delta; as an
 * event, and debited. */
mg_event mgc_gaussian_event(mg_ratio sigma2, uint64_t squared, double delta);
/* Of rows, as almost all are. */
static inline mg_event
mgc_rows_event(const mg_curator *c, mg_ratio sigma2)
{
	return mgc_gaussian_event(sigma2, (uint64_t) c->k * c->k, 0);
}
mg_code mgc_debit(mg_ctx *ctx, mg_curator *c, const mg_event *e);
/* All or none of them. */
mg_code mgc_debit_all(mg_ctx *ctx, mg_curator *c, size_t count,
					  mg_event (*event)(const mg_curator *c, const void *arg, size_t i), const void *arg);

/* Memory for counters: a quarter of the whole. */
size_t mgc_counting_memory(const mg_curator *c);

/* Exact vectors, before noise. */
mg_code mgc_exact_cells(mg_ctx *ctx, mg_curator *c, uint32_t col, const double *cuts, uint32_t ncuts, int64_t *exact);
mg_code mgc_exact_fine(mg_ctx *ctx, mg_curator *c, uint32_t col, int64_t *exact);
mg_code mgc_exact_marginal(mg_ctx *ctx, mg_curator *c, const uint32_t *cols, uint32_t k, int64_t *exact);
/* marginal.c: counts, noises and hands out queries that were checked and debited by the caller. */
mg_code mgc_check_marginal(mg_ctx *ctx, const mg_curator *c, const uint32_t *cols, uint32_t k, size_t *cells);
mg_code mgc_measure_debited(mg_ctx *ctx, mg_curator *c, mg_marginal_query *q, size_t count);
size_t mgc_cells_at_once(const mg_curator *c); /* the most cells that are counted at once */

/* Private scores and, where they differ, what each is a multiple of. Owned by the selection, wiped at its end. */
struct mg_selection
{
	mg_curator *c;
	size_t count;
	int64_t *score;   /* [count] */
	uint32_t *weight; /* [count], public; NULL: all are 1 */
};
/* workload.c: how far a unit moves a score among the allowed ones at most: k times the largest weight of these. */
uint64_t mgc_selection_sensitivity(const mg_selection *s, const bool *allowed);
/* workload.c: the squared distance by which it moves the vector of all scores at most: k^2 times the sum of squared
 * weights. UINT64_MAX: too much to count. */
uint64_t mgc_selection_squared_reach(const mg_selection *s);
/* Scores inside a selection. */
const int64_t *mgc_selection_scores(const mg_selection *s);
/* Sum of |exact - answer|, - penalty, saturated at +-2^62 (clamping is 1-Lipschitz: sensitivity stays). */
typedef struct mgc_score
{
	unsigned __int128 sum;
} mgc_score;
void mgc_score_add(mgc_score *s, const int64_t *exact, const int64_t *answer, size_t n);
int64_t mgc_score_value(const mgc_score *s, int64_t penalty);
/* workload.c: weight times that, saturated after the product. */
int64_t mgc_weighted_score(const mgc_score *s, uint32_t weight, int64_t penalty);

#endif
