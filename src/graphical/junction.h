/*
 * graphical/junction.h: junction trees and exact inference on them.
 *
 * Cliques are column sets, in an order in which every clique but the first has its parent before it. The
 * separator of a clique is its intersection with its parent; it may be empty, which is how the parts of a
 * forest hang together (messages are scalars there). Running intersection: what a clique shares with all
 * cliques before it lies within its parent. Every column is in a clique.
 */
#ifndef MIRAGE_GRAPHICAL_JUNCTION_H
#define MIRAGE_GRAPHICAL_JUNCTION_H

#include "graphical/factor.h"

#define MG_NO_PARENT UINT32_MAX

typedef struct mg_clique
{
	uint32_t k;
	const uint32_t *cols; /* [k] ascending */
	uint32_t parent;      /* MG_NO_PARENT for the first */
	uint32_t nsep;
	const uint32_t *sep; /* [nsep] ascending; empty for the first */
	size_t cells;
} mg_clique;

typedef struct mg_junction
{
	uint32_t ncolumns;
	const uint32_t *size; /* [ncolumns] codes of each column */
	uint32_t count;
	mg_clique *clique; /* [count] */
	size_t cells;      /* of all cliques */
} mg_junction;

/* A set of columns as a caller writes it. */
typedef struct mg_column_set
{
	uint32_t k;
	const uint32_t *cols; /* ascending */
	uint32_t parent;      /* used by mg_junction_adopt only */
} mg_column_set;

/* MG_INVALID: none or too many columns, out of range or not ascending, too many cells. */
mg_code mg_column_set_check(mg_ctx *ctx, const uint32_t *sizes, uint32_t ncolumns, const mg_column_set *set,
							size_t *cells);

/*
 * Joins cliques into a junction tree: a maximum spanning tree by separator size (which is one whenever one
 * exists: Jensen, Jensen 1994), first clique first. Everything is copied into the arena. MG_INVALID: the
 * cliques have no junction tree, a column is in none, a column is out of range, columns do not ascend, too many
 * cells.
 */
mg_code mg_junction_build(mg_ctx *ctx, mg_arena *a, const uint32_t *sizes, uint32_t ncolumns,
						  const mg_column_set *cliques, uint32_t count, mg_junction *out);
/* The same with the order and the parents given, all checked: what reading a stored model does. */
mg_code mg_junction_adopt(mg_ctx *ctx, mg_arena *a, const uint32_t *sizes, uint32_t ncolumns,
						  const mg_column_set *cliques, uint32_t count, mg_junction *out);

/* The first clique that contains all of cols; count when none does. */
uint32_t mg_junction_find(const mg_junction *j, const uint32_t *cols, uint32_t k);

/* Working memory of the sum-product algorithm for one junction tree. */
typedef struct mg_messages
{
	mg_factor *peak, *sum; /* [count] over the separators */
	double *least;         /* [count] of the linear pass: what cells of a clique other than zero cannot be below */
} mg_messages;

/* Room for the messages of this tree, in arena a; contents undefined. */
mg_code mg_messages_make(mg_ctx *ctx, mg_arena *a, const mg_junction *j, mg_messages *out);

/* Factors over all cliques, zeroed. */
mg_code mg_junction_factors(mg_ctx *ctx, mg_arena *a, const mg_junction *j, mg_factor **out);

/*
 * Sum-product, in place: f[c] holds the log-potential of clique c and becomes its marginal, scaled to `total`
 * (every clique sums to it, cliques agree on their separators). Returns log Z, the logarithm of the sum over
 * all cells of the joint of exp(sum of potentials); -inf, and all marginals zero, when every cell is
 * impossible. One exp a cell; no under- or overflow whatever the potentials, as long as they are not +inf or
 * NaN.
 */
double mg_junction_calibrate(const mg_junction *j, mg_messages *m, double total, mg_factor *f);

/*
 * The same without logarithms, several times as fast: f[c] holds non-negative weights (zero: impossible) whose product
 * over the cliques is the joint, and becomes the marginals; *log_z the logarithm of the sum of that product. False, and
 * f undefined, where sums leave the range in which doubles are safe, or where a sum of zero may have come from numbers
 * too small rather than from impossible cells: then mg_junction_calibrate on the logarithms has the answer. Where it is
 * true, cells are off by rounding and by less than 1e-50 of the total.
 */
bool mg_junction_calibrate_linear(const mg_junction *j, mg_messages *m, double total, mg_factor *f, double *log_z);

/* Largest absolute difference between the two sides' marginals of any separator. */
double mg_junction_inconsistency(const mg_junction *j, mg_messages *m, const mg_factor *f);

#endif
