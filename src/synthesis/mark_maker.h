/*
 * synthesis/mark_maker.h: a plan of a mark while it is made; shared by mark_plan.c, mark_groups.c,
 * mark_trial.c and mark_cost.c. Private to synthesis/.
 */
#ifndef MIRAGE_SYNTHESIS_MARK_MAKER_H
#define MIRAGE_SYNTHESIS_MARK_MAKER_H

#include "synthesis/marking_private.h"

#define CODE_BATCHES 2 /* from which groups are made */
#define GATES 25

typedef struct candidate
{
	uint32_t k, cols[MG_MARK_ARITY];
	double reach, rare[GATES]; /* share of rows on cells below each gate */
	uint32_t level;            /* its own gate, when subsets are chosen, */
	double worth;              /* and what it is worth by itself */
} candidate;

/* Columns whose joint distribution a mark may not be seen to move. */
typedef struct mg_pair
{
	uint32_t cols[2], cells;
	uint32_t *model; /* [cells] rows of all batches that are kept */
} mg_pair;

typedef struct mg_cost
{
	uint32_t npairs;
	mg_pair *pair;
	double plain; /* what unmarked batches are away from the model; 0: not measured yet */
} mg_cost;

typedef struct maker
{
	const mg_model *model;
	mg_arena *work;
	mg_mark_plan *plan;
	mg_mark_column *column;
	mg_mark_subset *subset;
	double **margin;
	mg_sampler *sampler;
	uint16_t **codes;      /* [ncolumns][MG_BATCH_ROWS] */
	uint32_t batches;      /* that are kept */
	uint32_t **code_count; /* [ncolumns][ncoarse] */
	uint8_t **group_of;    /* [ncolumns][ncoarse] */
	uint8_t **group;       /* [ncolumns][MG_BATCH_ROWS] of a batch */
	uint16_t *at;          /* [MG_BATCH_ROWS] cells of a subset */
	uint8_t **kept;        /* [ncolumns][batches * MG_BATCH_ROWS] groups of rows that stand for the model */
	uint8_t **window;      /* [ncolumns] one batch of them */
	const mg_branch *branch;
	uint32_t nbranches;
	double *reach;       /* [nbranches] share of rows of a small batch that have a partner, */
	double *reach_large; /* and of a large one */
	uint8_t **side;      /* [nbranches][ncolumns] WITHIN the branch, WITHOUT, or 0: of the separator */
	candidate *pool;
	uint32_t npool;
	double gate[GATES];   /* each the fourth root of two times the one before */
	uint8_t *q;           /* [MG_MARK_ALL_CELLS + 1] */
	uint32_t *count;      /* [MG_MARK_ALL_CELLS + 1] */
	uint16_t *chosen;     /* [MG_MARK_BRANCHES] */
	double *used;         /* [ncolumns] by how many subsets */
	double *limit;        /* [subsets] their gates */
	double rare;          /* cells that a row may have below its subsets' gates, about */
	bool limited;         /* would there have been more? */
	uint64_t chosen_hash; /* of the subsets and their gates */
	mg_cost cost;
} maker;

/* Cells that n rows lie in, each row's groups being group[cols[..]][row]: row-major, the last column fastest. */
void mg_maker_cells(const maker *k, uint8_t *const *group, const uint32_t *cols, uint32_t arity, uint32_t n,
					uint16_t *at);
/* k->group of rows, by their codes. */
void mg_maker_groups(const maker *k, uint16_t *const *codes, uint32_t rows);

/* The groups of kept batch b; until the next call. */
uint8_t *const *mg_maker_kept(maker *k, uint32_t b);

/* How surely a mark is found, and what it costs. */
typedef struct mg_mark_trial
{
	double cost;    /* 1: nothing. Distance to the model, marked over unmarked, by pairs of columns */
	double rows;    /* mean z of 300 rows out of a large batch */
	double columns; /* share of halves of the columns, of 3,000 rows, in which a key is found with some margin */
} mg_mark_trial;

/* Sets what the subsets tell, and measures; the plan is otherwise complete. Where it costs more than so much, nothing
 * but that is measured. */
mg_code mg_maker_try(mg_ctx *ctx, maker *k, double bound, mg_mark_trial *out);

/* Chooses k->cost.pair and counts what is kept by them. */
mg_code mg_maker_pairs(mg_ctx *ctx, maker *k);
/* How far the batch in k->group is from what is kept: rows, twice over, summed over the pairs. */
double mg_maker_distance(maker *k);

/* k->column[c] and its margin, from k->code_count[c] of CODE_BATCHES batches; k->group_of[c]. */
mg_code mg_maker_column(mg_ctx *ctx, maker *k, uint32_t c);

/* k->margin[c] anew, from the codes that were counted in so many batches. */
void mg_maker_margin(maker *k, uint32_t c, uint32_t batches);

#endif
