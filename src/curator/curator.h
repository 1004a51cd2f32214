/*
 * curator/curator.h: the only door to the encoded table.
 *
 * A curator is loaded once, row by row, and then answers DP queries, each of which debits the job's odometer before it
 * draws its noise. No function returns an exact count, a row, or a label that was not released.
 *
 * The privacy unit is a row, or, in a curator made with mg_units, the set of rows that share a unit, of which at most k
 * are used. Every query's sensitivity is stated with it, under add/remove of one unit; k is 1 where the unit is a row.
 * Callers name the variance of the noise they want, the curator charges what k makes of it: scale by k (the two
 * mg_noise_for_* functions do) to pay the same.
 *
 * Memory: a fixed amount that depends on `memory` and on the columns, never on the rows; what does not fit goes to the
 * store.
 *
 * Life: create, load rows, finish, learn columns (open ones must be fixed first), recode, query, destroy.
 */
#ifndef MIRAGE_CURATOR_CURATOR_H
#define MIRAGE_CURATOR_CURATOR_H

#include "privacy/account.h"
#include "privacy/noise.h"
#include "table/domain.h"
#include "table/store.h"

typedef struct mg_curator mg_curator;

/*
 * columns: copied, deeply. odometer, noise, store: kept by reference, owned by the caller. memory: bytes; MG_NOMEM,
 * with a hint, when they are too few for so many columns. store: may be NULL where nothing will spill (tests); MG_IO
 * when it would.
 */
mg_code mg_curator_create(mg_ctx *ctx, const mg_domain *columns, uint32_t ncolumns, mg_noise *noise,
						  mg_odometer *odometer, mg_store *store, size_t memory, mg_curator **out);
void mg_curator_destroy(mg_curator *c); /* wipes what it held; NULL allowed */

/*
 * The same, for units of several rows. most_rows: k, 1..MG_MAX_ROWS_PER_UNIT. key: secret random bytes; under the same
 * key the same rows of a unit are used every time (read only while the curator is made). units NULL: as above.
 */
#define MG_MAX_ROWS_PER_UNIT 8192
#define MG_UNIT_KEY_BYTES 32
typedef struct mg_units
{
	uint32_t most_rows;
	const uint8_t *key;
} mg_units;
mg_code mg_curator_create_for_units(mg_ctx *ctx, const mg_domain *columns, uint32_t ncolumns, const mg_units *units,
									mg_noise *noise, mg_odometer *odometer, mg_store *store, size_t memory,
									mg_curator **out);
uint32_t mg_curator_rows_per_unit(const mg_curator *c); /* k */

/* The least variance for which a histogram or marginal (L2 sensitivity k), or a partition selection (sqrt(k)), costs
 * at most rho; rounded up. false: rho is not positive, or so little that nothing is to be measured. */
bool mg_noise_for_rows(double rho, uint32_t k, mg_ratio *sigma2);
bool mg_noise_for_labels(double rho, uint32_t k, mg_ratio *sigma2);

/*
 * Loading. For each row, one call a column (any order), then mg_load_row. A column that got no call is NULL. In a
 * column that is not nullable, NULL is loaded all the same. Values never cause an error:
 *
 * - number: clamped into a closed range; NaN, -inf and +inf are NULL;
 * - text: looked up among closed labels, else `other`. Open: kept by a keyed 64-bit hash; over MG_MAX_LABEL_BYTES
 *   bytes: `other`;
 * - code: index of a closed label; out of range: `other`.
 *
 * A value of the wrong kind for its column is NULL; a column that is not there is ignored. A row that mg_load_row did
 * not complete is dropped. Text is copied. mg_load_row is what can fail: MG_CANCELLED, MG_IO, MG_NOMEM.
 */
/*
 * With units, beside the row's columns: the unit that it belongs to, as bytes that are equal exactly for values that
 * are (at once hashed, not kept). Rows without the call are one unit. Without units: ignored. mg_load_finish bounds:
 * of each unit at most k rows stay, chosen by a keyed hash of the unit, the row's cells and its rank among the unit's
 * rows with the same cells; which ones is a function of that unit's rows alone (curator/unit.c).
 */
void mg_load_unit(mg_curator *c, const void *bytes, size_t len);
void mg_load_null(mg_curator *c, uint32_t col);
void mg_load_number(mg_curator *c, uint32_t col, double v);
void mg_load_text(mg_curator *c, uint32_t col, const char *s, size_t len);
void mg_load_code(mg_curator *c, uint32_t col, uint32_t code);
mg_code mg_load_row(mg_ctx *ctx, mg_curator *c);
mg_code mg_load_finish(mg_ctx *ctx, mg_curator *c);

/*
 * Partition selection. Of the values that occur in an open category, or of the exact values of a number ("spikes"):
 * adds discrete Gaussian noise of sigma2 to the number of units that hold it and releases those at or over the
 * threshold that belongs to `delta` / k (mg_partition_threshold), at most `most` of them, and at most MG_MAX_LABELS
 * (the heaviest by noisy count), ordered by falling noisy count, then by label bytes or value. NULL and `other` are
 * never released. Before the column is recoded; a number of few closed steps has public values and is refused
 * (MG_INVALID). Labels live in arena a. Sensitivity: a unit adds one to at most k counts, L2 sqrt(k). Charged: discrete
 * Gaussian with atom delta.
 */
typedef struct mg_released
{
	uint32_t count;
	mg_label *labels;  /* category */
	double *values;    /* number */
	int64_t *noisy;    /* their noisy counts, of units */
	int64_t threshold; /* public */
} mg_released;

mg_code mg_curator_release(mg_ctx *ctx, mg_curator *c, uint32_t col, mg_ratio sigma2, double delta, uint32_t most,
						   mg_arena *a, mg_released *out);

/*
 * Noisy histogram of a number over the caller's cells: cuts[0] < ... < cuts[ncuts - 1]; cell 0 is below cuts[0], cell i
 * is [cuts[i-1], cuts[i]), cell ncuts is the rest, cell ncuts + 1 is NULL. noisy[ncuts + 2]. Rows are counted; one row
 * is in one cell, a unit has at most k: sensitivity k. Charged: discrete Gaussian.
 */
mg_code mg_curator_cells(mg_ctx *ctx, mg_curator *c, uint32_t col, const double *cuts, uint32_t ncuts, mg_ratio sigma2,
						 int64_t *noisy);

/*
 * A hierarchy over the fine cells of a column: fixes the fine cells (`cells` for a number, sorted and disjoint, values
 * outside them go to the nearest; `labels` for an open category; both from released or public figures only), then
 * measures `levels` histograms, level 0 the fine cells (nfine of them), level k > 0 the groups that group[k][cell]
 * names (size[k] of them). group[0] is not read; size[k] <= nfine. noisy[k][size[k]]. Each level is charged as one
 * discrete Gaussian of sigma2[level] and sensitivity k (one row is in one group of each level).
 */
mg_code mg_curator_fix_number(mg_ctx *ctx, mg_curator *c, uint32_t col, const mg_cell *cells, uint32_t ncells);
mg_code mg_curator_fix_labels(mg_ctx *ctx, mg_curator *c, uint32_t col, const mg_label *labels, uint32_t nlabels);
/* Number of fine cells of a column, laid out as table/domain.h says (`other` and NULL always among them). Closed
 * columns are fixed from the start when they are categories, or numbers of at most MG_MAX_CELLS steps (then a cell is
 * one value, lower == upper); any other number, closed ones too, has 0 fine cells until mg_curator_fix_number. A column
 * is fixed once. An interval may begin at the single value that is the cell before it, and then leaves that value out.
 */
uint32_t mg_curator_nfine(const mg_curator *c, uint32_t col);
mg_code mg_curator_hierarchy(mg_ctx *ctx, mg_curator *c, uint32_t col, uint32_t levels, const uint32_t *size,
							 const uint32_t *const *group, const mg_ratio *sigma2, int64_t *const *noisy);

/*
 * Recodes the whole table once: merge[col][fine] -> coarse, ncoarse[col] (1..65535, at most nfine). After it only the
 * queries below work; after a failure (a cancel, the store) none does.
 */
mg_code mg_curator_recode(mg_ctx *ctx, mg_curator *c, const uint16_t *const *merge, const uint32_t *ncoarse);

/* Noisy marginal over k columns (row-major, the last column fastest) of coarse codes: noisy[product]. Sensitivity k.
 * Charged: discrete Gaussian. MG_INVALID above 2^28 cells. */
mg_code mg_curator_marginal(mg_ctx *ctx, mg_curator *c, const uint32_t *cols, uint32_t k, mg_ratio sigma2,
							int64_t *noisy);
/* The same for many marginals in as few passes over the table as memory allows, each charged on its own (all or none),
 * with its own noise. A failure after the charge may leave some results written: noised ones, never others. */
typedef struct mg_marginal_query
{
	uint32_t k;
	const uint32_t *cols;
	mg_ratio sigma2;
	int64_t *noisy;
} mg_marginal_query;
mg_code mg_curator_marginals(mg_ctx *ctx, mg_curator *c, mg_marginal_query *q, size_t count);

/*
 * Private selection among marginals: candidate i scores |exact marginal - answer|_1 - penalty, integers, sensitivity k.
 * mg_selection_begin counts the exact marginals once and keeps only the scores, inside the curator (several rounds use
 * the same scores). Each mg_selection_choose is one exponential mechanism, Pr proportional to exp(epsilon score / 2k),
 * charged `epsilon`.
 */
typedef struct mg_candidate
{
	uint32_t k;
	const uint32_t *cols;
	const int64_t *answer; /* [product], rounded model answers; NULL: asks the callback below */
	int64_t penalty;       /* public */
} mg_candidate;
typedef struct mg_selection mg_selection;
/* fill: writes candidate i's answer into out[product] (called from one thread, just before it is compared); may be
 * NULL. */
mg_code mg_selection_begin(mg_ctx *ctx, mg_curator *c, const mg_candidate *cand, size_t count,
						   void (*fill)(void *arg, size_t i, int64_t *out), void *arg, mg_selection **out);
mg_code mg_selection_choose(mg_ctx *ctx, mg_selection *s, const bool *allowed, mg_ratio epsilon, size_t *chosen);
/*
 * All scores with discrete Gaussian noise of sigma2 on each: noisy[count]. A unit moves score i by at most k times its
 * weight (1 without weights), so the L2 sensitivity of the vector is k sqrt(sum of squared weights). Charged: discrete
 * Gaussian. mg_noise_for_scores: the least variance for which that costs at most rho, all weights being 1.
 */
mg_code mg_selection_release(mg_ctx *ctx, mg_selection *s, mg_ratio sigma2, int64_t *noisy);
bool mg_noise_for_scores(double rho, uint32_t k, size_t count, mg_ratio *sigma2);
void mg_selection_end(mg_selection *s);

#endif
