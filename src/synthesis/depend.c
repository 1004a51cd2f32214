/*
 * synthesis/depend.c: see depend.h. About 30 ns a value: the determinants' values are hashed, the code is looked up,
 * and a generator seeded by the hash draws the value within the code.
 */
#include "synthesis/depend.h"

#include "model/dependency.h"

#include <string.h>

#define NULL_VALUE UINT64_MAX /* no label's index, and no finite number's bits */

/* How a determinant's value becomes what it counts as. */
typedef struct identity
{
	const mg_column *col;
	uint32_t other; /* category: the label whose text `other` has, else nlabels */
	bool single;    /* number without a step */
} identity;

struct mg_dependents
{
	const mg_model *model;
	mg_decoder_column *const *decoder;
	identity *identity;  /* [ncolumns] of the determinants */
	const int32_t *rank; /* [ncolumns] place among the dependencies; -1: none */
};

static uint32_t
label_of_other(const mg_domain *d)
{
	uint32_t i = 0;

	while (i < d->nlabels && (d->other == NULL || strcmp(d->labels[i].text, d->other) != 0))
		i++;
	return i;
}

static void
prepare_identity(const mg_column *col, identity *out)
{
	out->col = col;
	if (col->domain.kind == MG_CATEGORY)
		out->other = label_of_other(&col->domain);
	else
		out->single = !(col->domain.step > 0);
}

mg_code
mg_dependents_prepare(mg_ctx *ctx, mg_arena *a, const mg_model *m, mg_decoder_column *const *decoder,
					  mg_dependents **out)
{
	mg_dependents *d;
	int32_t *rank;

	*out = NULL;
	if (m->ndependencies == 0)
		return MG_OK;
	MG_NEW(ctx, a, d, 1);
	MG_NEW(ctx, a, d->identity, m->ncolumns);
	MG_NEW(ctx, a, rank, m->ncolumns);
	for (uint32_t c = 0; c < m->ncolumns; c++)
		rank[c] = -1;
	for (uint32_t i = 0; i < m->ndependencies; i++)
	{
		const mg_dependency *dep = &m->dependencies[i];

		rank[dep->column] = (int32_t) i;
		for (uint32_t j = 0; j < dep->ndeterminants; j++)
			prepare_identity(&m->columns[dep->determinants[j]], &d->identity[dep->determinants[j]]);
	}
	d->model = m;
	d->decoder = decoder;
	d->rank = rank;
	*out = d;
	return MG_OK;
}

bool
mg_dependents_has(const mg_dependents *d, uint32_t col)
{
	return d != NULL && d->rank[col] >= 0;
}

void
mg_dependents_want(const mg_dependents *d, const bool *want, uint32_t ncolumns, bool *make)
{
	for (uint32_t i = 0; i < ncolumns; i++)
		make[i] = want == NULL || want[i];
	/* a column comes after its determinants: backwards, needs reach all the way up */
	for (uint32_t i = d != NULL ? d->model->ndependencies : 0; i-- > 0;)
	{
		const mg_dependency *dep = &d->model->dependencies[i];

		for (uint32_t j = 0; j < dep->ndeterminants && make[dep->column]; j++)
			make[dep->determinants[j]] = true;
	}
}

/* The number of row i as what it counts as; -0 is 0. */
static inline double
number_of(const identity *id, const mg_values *v, uint32_t i)
{
	return (id->single ? (double) (float) v->number[i] : v->number[i]) + 0.0;
}

/* The last cell that begins at or under x, or the single value x before it. */
static inline uint32_t
cell_of(const mg_column *col, double x)
{
	uint32_t low = 0, high = col->nfine - 1;

	while (high - low > 1)
	{
		uint32_t mid = low + (high - low) / 2;

		if (col->cells[mid].lower <= x)
			low = mid;
		else
			high = mid;
	}
	return low > 0 && col->cells[low - 1].lower == x ? low - 1 : low;
}

/* The value of row i as a word for the hash, and its fine cell. */
static inline uint64_t
identify(const identity *id, const mg_values *v, uint32_t i, uint32_t *fine)
{
	uint64_t bits;
	double x;

	if (v->null[i])
	{
		*fine = id->col->nfine - 1;
		return NULL_VALUE;
	}
	if (id->col->domain.kind == MG_CATEGORY)
	{
		*fine = v->label[i] < id->col->domain.nlabels ? v->label[i] : id->other;
		return *fine;
	}
	x = number_of(id, v, i);
	*fine = cell_of(id->col, x);
	memcpy(&bits, &x, sizeof(bits));
	return bits;
}

/* Fine cell (used 1) or code of the dependent column, and the hash that picks the value within it. */
static inline uint32_t
look_up(const mg_dependents *d, const mg_dependency *dep, const mg_values *column, uint32_t row, uint64_t *hash)
{
	uint64_t h = mg_mix64(d->model->dependency_salt + dep->column);
	uint32_t cell = 0;

	for (uint32_t j = 0; j < dep->ndeterminants; j++)
	{
		uint32_t c = dep->determinants[j];
		const identity *id = &d->identity[c];
		uint32_t fine;
		uint64_t value = identify(id, &column[c], row, &fine);

		h = mg_mix64(h + value * UINT64_C(0x9E3779B97F4A7C15) + j + 1);
		if (j >= dep->used)
			continue;
		cell = dep->used == 1 ? fine : cell * id->col->ncoarse + id->col->merge[fine];
	}
	*hash = h;
	if (dep->used == 0)
		cell = (uint32_t) (mg_mix64(h + 1) % MG_DEPENDENCY_SLOTS);
	return dep->code[cell];
}

static inline void
fill_row(const mg_dependents *d, const mg_dependency *dep, uint32_t row, uint16_t *const *codes, mg_values *column)
{
	uint32_t c = dep->column, at;
	uint64_t hash;
	mg_rng rng;

	at = look_up(d, dep, column, row, &hash);
	mg_rng_seed(&rng, hash);
	codes[c][row] = dep->used == 1 ? d->model->columns[c].merge[at] : (uint16_t) at;
	if (dep->used == 1)
		mg_values_draw_cell(d->decoder[c], &rng, at, row, &column[c]);
	else
		mg_values_draw(d->decoder[c], &rng, codes[c][row], row, &column[c]);
}

void
mg_dependents_fill(const mg_dependents *d, const bool *make, uint32_t rows, uint16_t *const *codes, mg_values *column)
{
	for (uint32_t i = 0; d != NULL && i < d->model->ndependencies; i++)
		for (uint32_t row = 0; make[d->model->dependencies[i].column] && row < rows; row++)
			fill_row(d, &d->model->dependencies[i], row, codes, column);
}

void
mg_dependents_fill_rows(const mg_dependents *d, const bool *make, const uint16_t *row, uint32_t nrows,
						uint16_t *const *codes, mg_values *column)
{
	for (uint32_t i = 0; d != NULL && i < d->model->ndependencies; i++)
		for (uint32_t k = 0; make[d->model->dependencies[i].column] && k < nrows; k++)
			fill_row(d, &d->model->dependencies[i], row[k], codes, column);
}
