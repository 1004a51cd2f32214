/*
 * model/constraint.h: conditions that tie the columns of a row together, as the table's CHECK constraints state them.
 *
 * A constraint is a boolean expression over the values of one row, in SQL's three-valued logic: a row satisfies it when
 * it is true or NULL. Conditions are public (the schema shows them to everyone), so keeping them costs no budget. They
 * are used twice: cells of a joint table of coarse codes that hold no satisfying row are structural zeros of the fit;
 * and rows that violate one are drawn again (synthesis/redraw.c).
 *
 * Values are those of mg_values: points of a column's axis, labels by index, NULL.
 */
#ifndef MIRAGE_MODEL_CONSTRAINT_H
#define MIRAGE_MODEL_CONSTRAINT_H

#include "table/domain.h"

#define MG_MAX_CONSTRAINTS 1024
#define MG_MAX_EXPR_NODES 4096
#define MG_MAX_EXPR_DEPTH 32
#define MG_MAX_EXPR_TERMS 64
#define MG_ZERO_CELLS ((size_t) 1 << 16)      /* most cells of the joint table of structural zeros ... */
#define MG_ZERO_PAIR_CELLS ((size_t) 1 << 18) /* ... of three or more columns; of one or two columns */

/*
 * One column of a batch. A NULL value has null[i] set. label[i] indexes columns[c].domain.labels; `other` comes as its
 * declared label (other_text) with index nlabels, or as NULL in a nullable column, and never otherwise.
 */
typedef struct mg_values
{
	bool *null;
	uint32_t *label; /* category */
	double *number;  /* number */
} mg_values;

/* In this order AND is the minimum, OR the maximum, and NOT x is 2 - x. */
typedef enum mg_truth
{
	MG_TRUTH_FALSE,
	MG_TRUTH_NULL,
	MG_TRUTH_TRUE
} mg_truth;

typedef enum mg_expr_kind
{
	MG_EXPR_CONSTANT, /* value */
	MG_EXPR_AND,      /* of any number of arguments */
	MG_EXPR_OR,
	MG_EXPR_NOT, /* of one */
	MG_EXPR_IS_TRUE,
	MG_EXPR_IS_NULL, /* col */
	MG_EXPR_COMPARE, /* sum of factor * column over terms, compared with constant; NULL where a column is */
	MG_EXPR_NONNULL, /* sum of factor over those terms whose column is not NULL, compared with constant */
	MG_EXPR_LABELS,  /* the text of the category col is one of labels; NULL where it is */
	MG_EXPR_SAME     /* the texts of the categories col and other are the same; NULL where one is */
} mg_expr_kind;

/* A comparison is the set of signs of (sum - constant) for which it is true. */
#define MG_LESS 1u
#define MG_EQUAL 2u
#define MG_GREATER 4u

typedef struct mg_term
{
	uint32_t col; /* a number; or a category of numbers, whose labels are read as numbers */
	double factor;
} mg_term;

/*
 * One node. An expression is an array of nodes, each followed by its arguments: the first argument of node i is node
 * i + 1, the next one comes `span` nodes after it, the last ends at i + span.
 */
typedef struct mg_expr
{
	mg_expr_kind kind;
	uint32_t span; /* nodes, this one included */
	mg_truth value;
	uint32_t compare; /* MG_LESS | .. */
	/*
	 * COMPARE: sums of decimals, which doubles hold only nearly: what differs by less than their rounding is equal.
	 * (Right for values of up to 15 digits.)
	 */
	bool decimal;
	uint32_t col, other;
	double constant;
	uint32_t nterms, nlabels;
	const mg_term *terms;
	const mg_label *labels;
} mg_expr;

typedef enum mg_how
{
	MG_HOW_NONE,    /* not enforced; `why` says why */
	MG_HOW_REDRAWS, /* rows that violate it are drawn again */
	MG_HOW_ZEROS,   /* the fit knows its structural zeros; rows that violate it all the same are drawn again */
	MG_HOW_FRESH    /* a key that contains an identifier: met by fresh values */
} mg_how;

typedef struct mg_constraint
{
	const char *name, *definition; /* as the table has them */
	const char *why;               /* or NULL */
	mg_how how;
	bool sure; /* every row of the table satisfies it: its impossible cells may be zeros of the fit */
	uint32_t nnodes, ncols;
	const mg_expr *expr;  /* [nnodes]; 0 nodes: not understood */
	const uint32_t *cols; /* [ncols] the columns that it mentions, ascending */
	double rejected;      /* share of the model's rows that violate it before any re-draw; below 0: not known */
} mg_constraint;

/* Are rows that violate it drawn again? */
static inline bool
mg_constraint_enforced(const mg_constraint *c)
{
	return c->how == MG_HOW_REDRAWS || c->how == MG_HOW_ZEROS;
}

/*
 * Checks the expression (its form, and that every column exists and is of a kind that its place allows) and lists its
 * columns in arena a. MG_INVALID otherwise. kind(arg, col): the column's.
 */
mg_code mg_constraint_finish(mg_ctx *ctx, mg_arena *a, uint32_t ncolumns,
							 mg_kind (*kind)(const void *arg, uint32_t col), const void *arg, mg_constraint *c);

/* Portable form: all constraints of a model. Reading checks everything and allocates in arena a. */
void mg_constraints_write(mg_writer *w, const mg_constraint *c, uint32_t n);
mg_code mg_constraints_read(mg_ctx *ctx, mg_arena *a, mg_reader *r, const mg_column *columns, uint32_t ncolumns,
							mg_constraint **out, uint32_t *nout);
/* A copy in arena a, for these columns. */
mg_code mg_constraints_copy(mg_ctx *ctx, mg_arena *a, const mg_column *columns, uint32_t ncolumns,
							const mg_constraint *c, uint32_t n, mg_constraint **out);
/* A JSON array: [{"name": .., "definition": .., "how": .., "rejected": 0.013, "reason": ..}, ..] */
void mg_constraints_describe(mg_writer *w, const mg_constraint *c, uint32_t n);

/*
 * check.c: a constraint made ready for batches of these columns, which it refers to; all memory is the arena's. Used by
 * one thread at a time.
 */
typedef struct mg_check mg_check;
mg_code mg_check_prepare(mg_ctx *ctx, mg_arena *a, const mg_column *columns, uint32_t ncolumns, const mg_constraint *c,
						 mg_check **out);
/* truth[i], i < n: the constraint of row i; column: [ncolumns], filled where the constraint mentions it. */
void mg_check_rows(const mg_check *k, const mg_values *column, uint32_t n, uint8_t *truth);

/*
 * zeros.c: which cells of the joint coarse table of the constraint's columns may hold a row that satisfies it. A cell
 * is impossible when no value that is ever emitted from its codes satisfies the constraint; the other way round nothing
 * is promised. possible: [cells], row-major over cols (ascending), the last fastest, in arena a. *k is 0, and nothing
 * else is set, where there is no such cell, or nothing else, where the table would be too large, and where the
 * constraint is not enforced or not sure.
 */
mg_code mg_constraint_zeros(mg_ctx *ctx, mg_arena *a, const mg_column *columns, uint32_t ncolumns,
							const mg_constraint *c, uint32_t *k, const uint32_t **cols, bool **possible);
/* The set of truth values (1 << mg_truth) that the constraint may take on this box of coarse codes, one a column of
 * cols; sound, not exact. For tests and for mg_constraint_zeros. */
typedef struct mg_boxes mg_boxes;
mg_code mg_boxes_prepare(mg_ctx *ctx, mg_arena *a, const mg_column *columns, uint32_t ncolumns, const mg_constraint *c,
						 mg_boxes **out);
uint32_t mg_boxes_truths(const mg_boxes *b, const uint16_t *codes);

#endif
