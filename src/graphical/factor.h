/*
 * graphical/factor.h: dense tables over sets of columns.
 *
 * A factor's columns are strictly ascending indices; its cells are row-major, the last column fastest (as the
 * curator's marginals are). Whether the cells are probabilities, masses or logarithms is the caller's business:
 * functions whose name says `log` expect logarithms (-inf is zero), all others are plain sums. No function
 * allocates but mg_factor_make and mg_factor_product.
 */
#ifndef MIRAGE_GRAPHICAL_FACTOR_H
#define MIRAGE_GRAPHICAL_FACTOR_H

#include "base/mirage.h"

#define MG_FACTOR_COLUMNS 32               /* most columns of a factor */
#define MG_FACTOR_CELLS ((size_t) 1 << 28) /* most cells: what the curator measures at most */

/*
 * Loops over cells are compiled for AVX2 as well and chosen when the program starts. No fused multiply-add: sums have
 * the same bits with both. For static functions only: of others the module would export the clones. Sanitizers run
 * before what chooses can.
 */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define MG_SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MG_SANITIZED
#endif
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GLIBC__) && !defined(MG_SANITIZED)
#define MG_WIDE __attribute__((target_clones("avx2", "default")))
#else
#define MG_WIDE
#endif

typedef struct mg_factor
{
	uint32_t k;           /* columns; 0: one cell */
	const uint32_t *cols; /* [k] ascending */
	const uint32_t *size; /* [k] codes of each */
	size_t cells;         /* product of size */
	double *v;            /* [cells] */
} mg_factor;

/* Is a (ascending) a subset of b (ascending)? */
bool mg_columns_within(const uint32_t *a, uint32_t na, const uint32_t *b, uint32_t nb);

/*
 * Product of the sizes of these columns; false above MG_FACTOR_CELLS, or when a size is zero. sizes: of all
 * columns.
 */
bool mg_factor_count(const uint32_t *cols, uint32_t k, const uint32_t *sizes, size_t *cells);

/*
 * A factor of zeros over cols (copied); sizes: of all columns. MG_INVALID: columns not ascending, too many
 * columns or cells.
 */
mg_code mg_factor_make(mg_ctx *ctx, mg_arena *a, const uint32_t *cols, uint32_t k, const uint32_t *sizes,
					   mg_factor *out);

/* out = f * g over the union of their columns (log: f + g); cells are multiplied when `log` is false. */
mg_code mg_factor_product(mg_ctx *ctx, mg_arena *a, const mg_factor *f, const mg_factor *g, bool log, mg_factor *out);

/* f += g, f *= g, cell by cell, g's columns within f's (g is repeated along the columns it lacks). */
void mg_factor_add(mg_factor *f, const mg_factor *g);
void mg_factor_scale(mg_factor *f, const mg_factor *g);

/* out = sum of f over the columns that out lacks; out's columns within f's. Overwrites out. */
void mg_factor_marginal(const mg_factor *f, mg_factor *out);

/*
 * Turns logarithms into slice weights: for each cell s of `sum` (columns within f's), peak[s] = max of f over
 * the slice, f becomes exp(f - peak[s]), and sum[s] is the sum of the new f over the slice (at least 1, or 0
 * where the whole slice is -inf; peak is 0 there). So log-sum-exp of the slice is peak + log(sum), and f / sum
 * is the distribution of the slice: one exp a cell serves both.
 */
void mg_factor_log_slices(mg_factor *f, mg_factor *peak, mg_factor *sum);

double mg_factor_total(const mg_factor *f); /* the sum of all cells */

/* Of cells that are not negative: the least that is not zero; +inf where all are. */
double mg_factor_least(const mg_factor *f);

#endif
