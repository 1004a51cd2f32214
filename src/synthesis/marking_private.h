/*
 * synthesis/marking_private.h: what mark_plan.c, marking.c, mark_edges.c, mark_pass.c and exchange.c
 * share. Private to synthesis/.
 */
#ifndef MIRAGE_SYNTHESIS_MARKING_PRIVATE_H
#define MIRAGE_SYNTHESIS_MARKING_PRIVATE_H

#include "synthesis/marking.h"
#include "synthesis/stream_private.h"

/* Over a large batch, each of one branch: the plan's first. */
#define MG_MARK_PASSES 2

/* The marker of a stream: NULL where it is unmarked. Memory is the stream's arena. */
struct mg_marker;
typedef struct mg_marker mg_marker;

/* exchange.c: rows grouped by the codes of a separator. */
typedef struct mg_row_groups
{
	uint32_t n;      /* groups */
	uint16_t *row;   /* [MG_BATCH_ROWS] group after group */
	uint32_t *start; /* [MG_BATCH_ROWS + 1] */
	uint32_t *slot;  /* [2 * MG_BATCH_ROWS] group + 1 */
	uint64_t *key;   /* [MG_BATCH_ROWS] of a group */
	uint16_t *group; /* [MG_BATCH_ROWS] of a row */
	uint16_t *order; /* [MG_BATCH_ROWS] */
} mg_row_groups;

mg_code mg_row_groups_make(mg_ctx *ctx, mg_arena *a, mg_row_groups *g);
/* False: the separator has more cells than a 64-bit number tells apart. */
bool mg_separator_fits(const mg_model *m, const mg_branch *b);
/* Rows in g->order, dealt to groups; their order is kept. */
void mg_group_rows(const mg_model *m, const mg_branch *b, uint16_t *const *codes, uint32_t n, mg_row_groups *g);

/* Share of n rows that have a partner of the same separator, less one a group; 0 where its codes do not fit. */
double mg_branch_reach(const mg_model *m, const mg_branch *b, uint16_t *const *codes, uint32_t n, mg_row_groups *g);

/* ---- mark_edges.c, mark_pass.c: branches passed around so that scores rise ---- */

#define MG_MARK_LANES 16 /* numbers of a vector: two or one of the processor's */
#define MG_MOST_PLACES (4 * MG_MARK_LANES)
#define MG_MOST_HAND 4
typedef uint16_t mg_lanes __attribute__((vector_size(2 * MG_MARK_LANES)));
typedef int16_t mg_sums __attribute__((vector_size(2 * MG_MARK_LANES)));
typedef int8_t mg_bytes __attribute__((vector_size(MG_MARK_LANES)));
typedef int8_t mg_wide_bytes __attribute__((vector_size(2 * MG_MARK_LANES)));
#define MG_UNIT 8 /* bytes: tables are addressed in these */

/* What a column belongs to. */
enum
{
	MG_PART_SEPARATOR,
	MG_PART_REST,
	MG_PART_BRANCH,
	MG_PARTS
};

/* A column: what each group of it adds to the vectors of its part. */
typedef struct mg_terms
{
	uint32_t slot;
	const mg_lanes *add; /* [groups][vectors] */
} mg_terms;

/*
 * The branch's columns are laid side by side in segments of MG_MARK_LANES lanes, or twice as many, a lane a group. A
 * segment has tables: rows of so many bytes, of which separator and rest say which; their sum is what each group adds
 * to the score. The tables of a run add up to no more than a byte holds.
 */
typedef struct mg_segment
{
	bool wide;
	uint32_t ntables;
} mg_segment;

/*
 * How an edge counts the subsets that have columns in the branch and in the rest. Those with a single column in the
 * branch are in tables, several in one; the others, or all, are loose: a cell's number is what the separator, the rest
 * and the branch add up to. The vectors of separator and rest hold the units where rows of tables begin, then the
 * loose cells; those of a branch the lanes of its columns, then the loose cells.
 */
typedef struct mg_edge
{
	const mg_branch *branch;
	uint32_t table_vectors, place_vectors, loose_vectors;
	mg_lanes *base;     /* [table_vectors + loose_vectors] */
	mg_lanes *own_base; /* [place_vectors + loose_vectors] of a branch; places beyond the last are worth nothing */
	uint32_t nterms[MG_PARTS];
	mg_terms *terms[MG_PARTS];
	uint32_t nplaces, nsegments;
	mg_segment *segment;
	mg_sums *table; /* [units] */
	size_t units;
	uint32_t nloose;
	const int8_t *score; /* of loose cells */
} mg_edge;

/* What edges are made of. */
typedef struct mg_edge_maker
{
	mg_arena *arena;
	const mg_mark_plan *plan;
	const int8_t *score; /* [plan->cells + 1], the last 0; kept by reference, and copied into tables */
	const uint32_t *col; /* [nslots] the columns of subsets */
	uint32_t nslots;
} mg_edge_maker;

/* tables: else all subsets are loose, which is made sooner and slower to use. The edge scores alike either way. */
mg_code mg_edge_make(mg_ctx *ctx, const mg_edge_maker *k, const mg_branch *b, bool tables, mg_edge *e);
bool mg_in_branch(const mg_branch *b, uint32_t col);

/* The rows of a batch as groups, and what comes of passing branches around. */
typedef struct mg_exchange
{
	const uint8_t *row; /* [rows][nslots] */
	uint32_t nslots;
	uint32_t hand;  /* so many branches are carried, 1..MG_MOST_HAND */
	uint16_t *from; /* [rows] whose branch a row gets */
} mg_exchange;

/* Groups: rows that agree on the edge's separator. Within each, in its order, branches are passed around. */
void mg_edge_pass(const mg_edge *e, const mg_exchange *x, const mg_row_groups *g);

/* How many rows are to be drawn for a batch of so many. NULL: no more. */
uint32_t mg_mark_pool(const mg_marker *k, uint32_t rows);
/* Makes the batch's rows, s->codes[][0..rows), out of what was drawn, s->codes[][0..mg_mark_pool). */
mg_code mg_mark_batch(mg_ctx *ctx, mg_stream *s, mg_rng *rng, uint32_t rows);

/* The signs that a marker holds; NULL allowed. */
void mg_marker_wipe(mg_marker *k);

#endif
