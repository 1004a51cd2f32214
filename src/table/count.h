/*
 * table/count.h: exact k-way marginals of a coarse code table. Exact data; only curator/ may include this.
 *
 * A pass over the table serves many marginals: each task takes a block of rows, small enough that the columns it
 * touches stay in the cache, and runs all marginals over it. Counters of a task's lane are 32 bits; they are folded
 * into 64 bits before they could overflow (mg_count_run), or are the result (mg_count_run_32). Marginals whose counters
 * do not fit the given memory together take several passes; one that does not fit alone is counted in ranges of cells.
 * How many passes there are follows from dimensions and memory only.
 */
#ifndef MIRAGE_TABLE_COUNT_H
#define MIRAGE_TABLE_COUNT_H

#include "table/codes.h"

#define MG_MAX_MARGINAL_CELLS ((size_t) 1 << 28)

typedef struct mg_count
{
	uint32_t k;
	const uint32_t *cols; /* row-major: the last column is the fastest */
	size_t first, cells;  /* the range of cells that is counted */
	int64_t *out;         /* [cells], set by mg_count_run */
} mg_count;

/* The number of cells of a marginal; false when it is above MG_MAX_MARGINAL_CELLS. */
bool mg_count_cells(const mg_codes *t, const uint32_t *cols, uint32_t k, size_t *cells);
/* Bytes that mg_count_run takes for so many cells with one lane, out included. */
size_t mg_count_bytes(size_t cells);
/* Whole marginals into 32-bit counters, which it clears first; for tables that mg_count_narrow allows. A task is some
 * of the marginals over a group of rows: no two tasks share counters, so none are kept for each lane and nothing is
 * folded.
 */
typedef struct mg_count_32
{
	uint32_t k;
	const uint32_t *cols;
	uint32_t *out; /* [cells of it] */
} mg_count_32;
bool mg_count_narrow(const mg_codes *t);
mg_code mg_count_run_32(mg_ctx *ctx, mg_codes *t, const mg_count_32 *count, size_t n);

/* One pass (a marginal range each). Uses the pool's lanes where `memory` allows counters for each, else one. */
mg_code mg_count_run(mg_ctx *ctx, mg_codes *t, mg_count *count, size_t n, size_t memory);

#endif
