/*
 * model/dependency.h: columns that are a function of other columns in every emitted row.
 *
 * The owner declares which; the function itself is made from the fitted model, whose figures are noised, so that it is
 * post-processing and costs nothing. It has two parts. The coarse code (or fine cell) of the dependent column is looked
 * up from its determinants, here. Its value within that is picked by a hash of the determinants' *values*, at emission
 * (synthesis/depend.h). Both are functions of values and of the model alone: equal determinants give equal values in
 * every batch of every stream.
 *
 * The look-up, by how many of the determinants can serve (the first so many in the declared order whose joint cells,
 * with those of the column, stay within MG_DEPENDENCY_CELLS, a rule on sizes alone):
 *
 * - one: its fine cells. The cells of a coarse code share out the codes of the column among them so that each code gets
 *   the mass that the model gives it: of a category the heaviest cell first, to the code that lacks most (a single cell
 *   takes the most likely code); of a number in the order of the axis, contiguously. Then all cells that were given one
 *   code share out its fine cells in the same way, by the column's own masses.
 * - several: their coarse codes, row-major; the most likely code of each cell.
 * - none: 4,096 slots for a hash of the values, shared out by the column's own masses.
 *
 * Those beyond enter the hash only. Everything here belongs to the arena of the model.
 */
#ifndef MIRAGE_MODEL_DEPENDENCY_H
#define MIRAGE_MODEL_DEPENDENCY_H

#include "model/model.h"

#define MG_DEPENDENCY_CELLS ((size_t) 1 << 20) /* most cells of determinants and column together */
#define MG_DEPENDENCY_SLOTS 4096
#define MG_MAX_DETERMINANTS 16

struct mg_dependency
{
	uint32_t column;
	uint32_t ndeterminants;       /* 1..MG_MAX_DETERMINANTS */
	const uint32_t *determinants; /* [ndeterminants] distinct, not the column, in the declared order */

	/*
	 * Where there is one determinant, a closed category: for each of its labels the fine cell of the column that public
	 * facts give it, UINT16_MAX where they give none; NULL: they say nothing. In a request only.
	 */
	const uint16_t *known;

	/* learnt; zero in a request */
	uint32_t used;        /* the first so many choose the code */
	uint32_t ncells;      /* used 1: nfine of the determinant; more: product of their ncoarse; 0: slots */
	const uint16_t *code; /* [ncells] used 1: fine cell of the column; else its coarse code */
};

/*
 * How many of the determinants can choose the code, and the columns of the joint marginal that this takes (those
 * determinants and the column, ascending) into cols[MG_MAX_DETERMINANTS + 1]; *k of them, 1 where none can. sizes:
 * coarse codes of all columns. most_cells: a method that wants to hold the marginal as a clique may set a lower limit.
 */
uint32_t mg_dependency_set(const mg_dependency *d, const uint32_t *sizes, size_t most_cells, uint32_t *cols,
						   uint32_t *k);

/*
 * Fills in what is learnt of `d` from the model's marginal over the columns of mg_dependency_set (at
 * MG_DEPENDENCY_CELLS), row-major, the last fastest; any scale, negative cells count as zero. Where it has no mass the
 * column's own does. MG_INVALID: columns that do not exist, or are named twice.
 */
mg_code mg_dependency_learn(mg_ctx *ctx, mg_arena *a, const mg_column *columns, uint32_t ncolumns, const double *joint,
							mg_dependency *d);

/*
 * Learns all of a fitted model and hangs them into it, determinants before their dependants. The marginals are the
 * method's own (mg_method.marginal), else counted in rows drawn from the model. MG_INVALID: a cycle, or a column that
 * depends twice.
 */
mg_code mg_model_depend(mg_ctx *ctx, mg_model *m, const mg_dependency *dependencies, uint32_t n);

/* The model's section: nothing but a zero count where there is none. Reading checks all that emission relies on. */
void mg_dependencies_write(mg_writer *w, const mg_model *m);
mg_code mg_dependencies_read(mg_ctx *ctx, mg_model *m, mg_reader *r);

/* The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection with full avalanche. */
static inline uint64_t
mg_mix64(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
	return x ^ (x >> 31);
}

#endif
