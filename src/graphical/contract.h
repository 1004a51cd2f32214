/*
 * graphical/contract.h: joining tables that are marginals: what marginals.c works with. Private to it.
 *
 * A task of the pool has a lane; memory is the lane's, and failure is told in its `failed`.
 */
#ifndef MIRAGE_GRAPHICAL_CONTRACT_H
#define MIRAGE_GRAPHICAL_CONTRACT_H

#include "graphical/factor.h"

#define TABLE_COLUMNS 64
#define SLABS 40

/* A table over columns in any order, the last fastest. v is the lane's. */
typedef struct mg_table
{
	uint32_t k;
	uint32_t cols[TABLE_COLUMNS], size[TABLE_COLUMNS];
	size_t cells;
	double *v;
} mg_table;

/*
 * Cells come off a stack of slabs that is kept from task to task: fresh pages cost more than most products. Not
 * zeroed: every table is written in full.
 */
typedef struct mg_lane
{
	mg_arena *a; /* of the task: all but cells */
	mg_arena *store;
	double *slab[SLABS];
	size_t room[SLABS]; /* cells */
	uint32_t nslabs, slab_at;
	size_t used; /* cells of the current slab */
	bool failed; /* out of memory */
} mg_lane;

typedef struct mg_mark
{
	uint32_t slab;
	size_t used;
} mg_mark;

mg_mark mg_here(const mg_lane *l);
/* What was taken since is free again. */
void mg_back_to(mg_lane *l, mg_mark m);
/* Not zeroed; NULL: out of memory. */
double *mg_take(mg_lane *l, size_t cells);

/* Is col among cols[k]? */
bool mg_listed(const uint32_t *cols, uint32_t k, uint32_t col);
/* a united with b, ascending both; returns how many. */
uint32_t mg_columns_unite(const uint32_t *a, uint32_t na, const uint32_t *b, uint32_t nb, uint32_t *out);

/* One column more; t->cells is kept. False: too many. */
bool mg_table_append(mg_table *t, uint32_t col, uint32_t size);
/*
 * Copies t with its columns in this order; its rows (the last column of the order) lie `pitch` cells apart in out, 0:
 * densely.
 */
void mg_table_reorder(const mg_table *t, const uint32_t *order, double *out, size_t pitch);
/* t->v in this order: itself, or a copy (always one where `own`); NULL: out of memory. */
double *mg_table_ordered(mg_lane *l, const mg_table *t, const uint32_t *order, bool own);
/*
 * out = sum over the shared columns not in keep of x y / P(shared). x_times, y_times: how many sources the columns that
 * x or y has alone hold side by side (1, but for PAYLOAD): a row then sums to as many times P(shared). False: out of
 * memory, or a result of more than `most` cells.
 */
bool mg_table_join(mg_lane *l, const mg_table *x, double x_times, const mg_table *y, double y_times,
				   const uint32_t *keep, uint32_t nkeep, size_t most, mg_table *out);
/* A clique's marginal over some of its columns (ascending). */
bool mg_table_of_clique(mg_lane *l, const mg_factor *f, const uint32_t *cols, uint32_t k, const uint32_t *sizes,
						mg_table *out);

#endif
