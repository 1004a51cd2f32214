/*
 * model/dependency.c: the function that a dependent column is of others, made from a fitted model's marginals; and its
 * stored form. See dependency.h. Sees noised figures only. Memory: what is learnt is the given arena's, scratch one of
 * its own.
 *
 * Section of a stored model: how many (u32), then each as column, number of determinants, determinants, used, number
 * of cells (u32 each), codes (u16 each); then the salt (u64) of the hash.
 */
#include "model/dependency.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Batches that are drawn for the marginals of a method that cannot tell them: a million rows. */
#define DRAWN_BATCHES 64
#define DRAWING_SEED UINT64_C(0x64657065)

/* ---- which columns ---- */

uint32_t
mg_dependency_set(const mg_dependency *d, const uint32_t *sizes, size_t most_cells, uint32_t *cols, uint32_t *k)
{
	size_t cells = sizes[d->column];
	uint32_t used = 0;

	*k = 0;
	while (used < d->ndeterminants && mg_mul_size(cells, sizes[d->determinants[used]], &cells) && cells <= most_cells)
		used++;
	for (uint32_t i = 0; i <= used; i++)
	{
		uint32_t c = i < used ? d->determinants[i] : d->column, at = (*k)++;

		for (; at > 0 && cols[at - 1] > c; at--)
			cols[at] = cols[at - 1];
		cols[at] = c;
	}
	return used;
}

static mg_code
check(mg_ctx *ctx, const mg_dependency *d, uint32_t ncolumns)
{
	bool ok = d->column < ncolumns && d->ndeterminants >= 1 && d->ndeterminants <= MG_MAX_DETERMINANTS;

	for (uint32_t i = 0; ok && i < d->ndeterminants; i++)
	{
		ok = d->determinants[i] < ncolumns && d->determinants[i] != d->column;
		for (uint32_t j = 0; ok && j < i; j++)
			ok = d->determinants[i] != d->determinants[j];
	}
	return ok ? MG_OK : mg_fail(ctx, MG_INVALID, "a column depends on columns that do not exist or are named twice");
}

/* ---- one determinant: cells of a coarse code share out the column's codes ---- */

typedef struct share
{
	uint32_t codes;       /* of the column */
	const double *base;   /* [codes] the column's own masses: breaks ties, and stands in where there is no mass */
	double *weight;       /* [codes] of the code at hand: what each code of the column is to get */
	double *place;        /* [codes] mean place of each code of the column on the determinant's axis */
	double *mass;         /* [codes] of each code where the determinant has a place */
	uint32_t *order;      /* [codes] by place */
	const mg_column *det; /* the determinant */
	uint32_t *cell;       /* [nfine] its cells of the code at hand */
	uint32_t ncells;
	uint16_t *out; /* [nfine] */
} share;

/* Compares doubles of an array by two indices; ties by index, so that sorting is deterministic. */
typedef struct ranked
{
	double by;
	uint32_t index;
} ranked;

static int
compare_ranked(const void *a, const void *b)
{
	const ranked *x = a, *y = b;

	if (x->by != y->by)
		return x->by < y->by ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

/* Weights that sum to one; false where there is no mass at all. */
static bool
normalise(double *w, uint32_t n)
{
	double sum = 0;

	for (uint32_t i = 0; i < n; i++)
	{
		w[i] = w[i] > 0 && isfinite(w[i]) ? w[i] : 0;
		sum += w[i];
	}
	if (!(sum > 0) || !isfinite(sum))
		return false;
	for (uint32_t i = 0; i < n; i++)
		w[i] /= sum;
	return true;
}

/* Weights of a row of the joint, or the column's own, or even ones. */
static void
settle_weights(double *w, const double *base, uint32_t n)
{
	if (normalise(w, n))
		return;
	memcpy(w, base, n * sizeof(*w));
	if (normalise(w, n))
		return;
	for (uint32_t i = 0; i < n; i++)
		w[i] = 1.0 / n;
}

/* The greatest weight; ties by the column's own mass, then the lesser code. */
static uint32_t
greatest(const double *w, const double *base, uint32_t n)
{
	uint32_t best = 0;

	for (uint32_t i = 1; i < n; i++)
		if (w[i] > w[best] || (w[i] == w[best] && base[i] > base[best]))
			best = i;
	return best;
}

/* The masses of the cells at hand as shares; even where they have none. */
static double
cell_share(const share *s, double sum, uint32_t i)
{
	return sum > 0 ? s->det->fine[s->cell[i]] / sum : 1.0 / s->ncells;
}

static double
cell_sum(const share *s)
{
	double sum = 0;

	for (uint32_t i = 0; i < s->ncells; i++)
		sum += s->det->fine[s->cell[i]];
	return sum;
}

/* The heaviest first, each to the code that lacks most: what remains is left in the weights. */
static mg_code
share_by_mass(mg_ctx *ctx, mg_arena *scratch, share *s)
{
	double sum = cell_sum(s);
	ranked *rank;

	MG_NEW(ctx, scratch, rank, s->ncells);
	for (uint32_t i = 0; i < s->ncells; i++)
		rank[i] = (ranked){-cell_share(s, sum, i), i};
	qsort(rank, s->ncells, sizeof(*rank), compare_ranked);
	for (uint32_t i = 0; i < s->ncells; i++)
	{
		uint32_t code = greatest(s->weight, s->base, s->codes);

		s->out[s->cell[rank[i].index]] = (uint16_t) code;
		s->weight[code] += rank[i].by;
	}
	return MG_OK;
}

/* In the order of the axis: the code at the middle of each cell, codes laid out by where they are found. */
static void
share_by_place(share *s)
{
	double sum = cell_sum(s), upto = s->weight[s->order[0]], before = 0;
	uint32_t at = 0;

	for (uint32_t i = 0; i < s->ncells; i++)
	{
		double mass = cell_share(s, sum, i);

		while (before + mass / 2 > upto && at + 1 < s->codes)
			upto += s->weight[s->order[++at]];
		/* rounding may run past the last code that has any weight */
		if (s->weight[s->order[at]] > 0)
			s->out[s->cell[i]] = (uint16_t) s->order[at];
		else
			s->out[s->cell[i]] = i > 0 ? s->out[s->cell[i - 1]] : (uint16_t) greatest(s->weight, s->base, s->codes);
		before += mass;
	}
}

/* joint[b * s1 + c * s2] -> where on the determinant's axis each code of the column is found, and their order. */
static mg_code
place_codes(mg_ctx *ctx, mg_arena *scratch, const double *joint, size_t s1, size_t s2, share *s)
{
	const mg_column *det = s->det;
	double *where;
	uint32_t *count;
	ranked *rank;

	MG_NEW(ctx, scratch, where, det->ncoarse);
	MG_NEW(ctx, scratch, count, det->ncoarse);
	MG_NEW(ctx, scratch, rank, s->codes);
	/* the last fine cell is NULL, which has no place */
	for (uint32_t f = 0; f + 1 < det->nfine; f++)
	{
		where[det->merge[f]] += f;
		count[det->merge[f]]++;
	}
	for (uint32_t b = 0; b < det->ncoarse; b++)
	{
		for (uint32_t c = 0; c < s->codes && count[b] > 0; c++)
		{
			double w = joint[b * s1 + c * s2];

			w = w > 0 && isfinite(w) ? w : 0;
			s->place[c] += w * (where[b] / count[b]);
			s->mass[c] += w;
		}
	}
	for (uint32_t c = 0; c < s->codes; c++)
	{
		s->place[c] = s->mass[c] > 0 ? s->place[c] / s->mass[c] : 0;
		rank[c] = (ranked){s->place[c], c};
	}
	qsort(rank, s->codes, sizeof(*rank), compare_ranked);
	for (uint32_t c = 0; c < s->codes; c++)
		s->order[c] = rank[c].index;
	return MG_OK;
}

/* Can the fine cell be emitted, for all that the domain says? */
static bool
may_occur(const mg_column *col, uint32_t fine)
{
	if (fine == col->nfine - 1)
		return col->domain.nullable;
	return col->domain.kind == MG_NUMBER || fine < col->domain.nlabels || col->domain.has_other;
}

/* The fine cells of one of the column's codes: those that may occur, or all; how many. */
static uint32_t
cells_of_code(const mg_column *col, uint32_t code, uint32_t *cells)
{
	uint32_t n = 0;

	for (int all = 0; all < 2 && n == 0; all++)
		for (uint32_t f = 0; f < col->nfine; f++)
			if (col->merge[f] == code && (all == 1 || may_occur(col, f)))
				cells[n++] = f;
	return n;
}

/* Two numbers: does the column fall where the determinant rises? The sign of the codes' covariance with their places.
 */
static bool
falls(const share *s, const mg_column *col, const uint32_t *first_cell)
{
	double sum = 0, x = 0, y = 0, xy = 0;

	/* the last code of a nullable column is NULL's */
	for (uint32_t c = 0; c + (col->domain.nullable ? 1 : 0) < s->codes; c++)
	{
		sum += s->mass[c];
		x += s->mass[c] * s->place[c];
		y += s->mass[c] * first_cell[c];
		xy += s->mass[c] * s->place[c] * first_cell[c];
	}
	return xy * sum < x * y;
}

/* From codes of the column to its fine cells, in s->out: all cells that have one code share out that code's. */
static mg_code
refine(mg_ctx *ctx, mg_arena *scratch, const share *codes, const mg_column *col)
{
	const mg_column *det = codes->det;
	bool numbers = det->domain.kind == MG_NUMBER && col->domain.kind == MG_NUMBER, down;
	uint32_t *target, *first;
	share s = {.det = det};
	double *base;

	MG_NEW(ctx, scratch, target, col->nfine);
	MG_NEW(ctx, scratch, first, codes->codes);
	MG_NEW(ctx, scratch, base, col->nfine);
	MG_NEW(ctx, scratch, s.weight, col->nfine);
	MG_NEW(ctx, scratch, s.order, col->nfine);
	MG_NEW(ctx, scratch, s.cell, det->nfine);
	MG_NEW(ctx, scratch, s.out, det->nfine);
	s.base = base;
	for (uint32_t f = col->nfine - 1; f-- > 0;)
		first[col->merge[f]] = f;
	down = numbers && falls(codes, col, first);
	for (uint32_t c = 0; c < codes->codes; c++)
	{
		s.ncells = 0;
		for (uint32_t f = 0; f < det->nfine; f++)
			if (codes->out[f] == c)
				s.cell[s.ncells++] = f;
		if (s.ncells == 0)
			continue;
		s.codes = cells_of_code(col, c, target);
		for (uint32_t i = 0; i < s.codes; i++)
		{
			base[i] = s.weight[i] = col->fine[target[i]];
			s.order[i] = down ? s.codes - 1 - i : i;
		}
		settle_weights(s.weight, base, s.codes);
		if (numbers && s.ncells > 1)
			share_by_place(&s);
		else
			MG_TRY(share_by_mass(ctx, scratch, &s));
		for (uint32_t i = 0; i < s.ncells; i++)
			s.out[s.cell[i]] = (uint16_t) target[s.out[s.cell[i]]];
	}
	memcpy(codes->out, s.out, det->nfine * sizeof(*s.out));
	return MG_OK;
}

static mg_code
learn_single(mg_ctx *ctx, mg_arena *scratch, const mg_column *det, const mg_column *col, const double *joint,
			 bool column_last, uint16_t *out)
{
	share s = {.codes = col->ncoarse, .base = col->coarse, .det = det, .out = out};
	size_t s1 = column_last ? col->ncoarse : 1, s2 = column_last ? 1 : det->ncoarse;
	uint32_t *start, *cells;

	MG_NEW(ctx, scratch, s.weight, s.codes);
	MG_NEW(ctx, scratch, s.place, s.codes);
	MG_NEW(ctx, scratch, s.mass, s.codes);
	MG_NEW(ctx, scratch, s.order, s.codes);
	MG_NEW(ctx, scratch, start, (size_t) det->ncoarse + 2);
	MG_NEW(ctx, scratch, cells, det->nfine);
	MG_TRY(place_codes(ctx, scratch, joint, s1, s2, &s));
	/* a counting sort of the fine cells by their codes, each code's in order */
	for (uint32_t f = 0; f < det->nfine; f++)
		start[det->merge[f] + 2]++;
	for (uint32_t b = 0; b < det->ncoarse; b++)
		start[b + 2] += start[b + 1];
	for (uint32_t f = 0; f < det->nfine; f++)
		cells[start[det->merge[f] + 1]++] = f;
	for (uint32_t b = 0; b < det->ncoarse; b++)
	{
		s.cell = cells + start[b];
		s.ncells = start[b + 1] - start[b];
		for (uint32_t c = 0; c < s.codes; c++)
			s.weight[c] = joint[b * s1 + c * s2];
		settle_weights(s.weight, s.base, s.codes);
		if (det->domain.kind == MG_NUMBER && s.ncells > 1)
			share_by_place(&s);
		else
			MG_TRY(share_by_mass(ctx, scratch, &s));
	}
	return refine(ctx, scratch, &s, col);
}

/* ---- several determinants, and none ---- */

/* The most likely code of each cell of the determinants' coarse codes, which are in the declared order. */
static mg_code
learn_several(mg_ctx *ctx, mg_arena *scratch, const mg_column *columns, const uint32_t *cols, uint32_t k,
			  const double *joint, const mg_dependency *d, uint16_t *out)
{
	const mg_column *col = &columns[d->column];
	size_t stride[MG_MAX_DETERMINANTS], along = 0, step = 1;
	double *w;

	MG_NEW(ctx, scratch, w, col->ncoarse);
	for (uint32_t i = k; i-- > 0;)
	{
		if (cols[i] == d->column)
			along = step;
		for (uint32_t j = 0; j < d->used; j++)
			if (d->determinants[j] == cols[i])
				stride[j] = step;
		step *= columns[cols[i]].ncoarse;
	}
	for (uint32_t cell = 0; cell < d->ncells; cell++)
	{
		size_t at = 0;
		uint32_t rest = cell;

		for (uint32_t j = d->used; j-- > 0;)
		{
			uint32_t size = columns[d->determinants[j]].ncoarse;

			at += rest % size * stride[j];
			rest /= size;
		}
		for (uint32_t c = 0; c < col->ncoarse; c++)
			w[c] = joint[at + c * along];
		settle_weights(w, col->coarse, col->ncoarse);
		out[cell] = (uint16_t) greatest(w, col->coarse, col->ncoarse);
	}
	return MG_OK;
}

/* Slots by the column's masses. */
static mg_code
learn_slots(mg_ctx *ctx, mg_arena *scratch, const mg_column *col, uint16_t *out)
{
	double *w, upto;
	uint32_t code = 0;

	MG_NEW(ctx, scratch, w, col->ncoarse);
	settle_weights(w, col->coarse, col->ncoarse);
	upto = w[0];
	for (uint32_t i = 0; i < MG_DEPENDENCY_SLOTS; i++)
	{
		while ((i + 0.5) / MG_DEPENDENCY_SLOTS > upto && code + 1 < col->ncoarse)
			upto += w[++code];
		out[i] = (uint16_t) code;
	}
	return MG_OK;
}

/* ---- learning ---- */

static uint32_t
count_cells(const mg_column *columns, const mg_dependency *d)
{
	uint32_t cells = 1;

	if (d->used == 0)
		return MG_DEPENDENCY_SLOTS;
	if (d->used == 1)
		return columns[d->determinants[0]].nfine;
	for (uint32_t i = 0; i < d->used; i++)
		cells *= columns[d->determinants[i]].ncoarse; /* within MG_DEPENDENCY_CELLS */
	return cells;
}

static mg_code
coarse_sizes(mg_ctx *ctx, mg_arena *a, const mg_column *columns, uint32_t n, uint32_t **out)
{
	MG_NEW(ctx, a, *out, (size_t) n + 1);
	for (uint32_t i = 0; i < n; i++)
		(*out)[i] = columns[i].ncoarse;
	return MG_OK;
}

/* What public facts say counts before what is learnt. */
static void
take_known(const mg_column *columns, const mg_dependency *d, uint16_t *code)
{
	const mg_domain *det = &columns[d->determinants[0]].domain;

	for (uint32_t i = 0; d->known != NULL && d->ndeterminants == 1 && det->kind == MG_CATEGORY && i < det->nlabels; i++)
		if (d->known[i] < columns[d->column].nfine)
			code[i] = d->known[i];
}

static mg_code
learn(mg_ctx *ctx, mg_arena *a, mg_arena *scratch, const mg_column *columns, uint32_t ncolumns, const double *joint,
	  mg_dependency *d)
{
	uint32_t cols[MG_MAX_DETERMINANTS + 1], k, *sizes;
	uint16_t *code;

	MG_TRY(coarse_sizes(ctx, scratch, columns, ncolumns, &sizes));
	d->used = mg_dependency_set(d, sizes, MG_DEPENDENCY_CELLS, cols, &k);
	d->ncells = count_cells(columns, d);
	MG_NEW(ctx, a, code, d->ncells);
	d->code = code;
	if (d->used == 0)
		return learn_slots(ctx, scratch, &columns[d->column], code);
	if (d->used == 1)
	{
		MG_TRY(learn_single(ctx, scratch, &columns[d->determinants[0]], &columns[d->column], joint,
							cols[1] == d->column, code));
		take_known(columns, d, code);
		return MG_OK;
	}
	return learn_several(ctx, scratch, columns, cols, k, joint, d, code);
}

mg_code
mg_dependency_learn(mg_ctx *ctx, mg_arena *a, const mg_column *columns, uint32_t ncolumns, const double *joint,
					mg_dependency *d)
{
	mg_arena *scratch;
	mg_code code;

	MG_TRY(check(ctx, d, ncolumns));
	scratch = mg_arena_create(0);
	if (scratch == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	code = learn(ctx, a, scratch, columns, ncolumns, joint, d);
	mg_arena_destroy(scratch);
	return code;
}

/* ---- a model's ---- */

/* The marginal by counting rows drawn from the model; a function of the model alone. */
static mg_code
draw_marginal(mg_ctx *ctx, mg_arena *a, const mg_model *m, mg_sampler *s, const uint32_t *cols, uint32_t k, double *out)
{
	uint16_t **codes;
	mg_rng rng;

	MG_NEW(ctx, a, codes, m->ncolumns);
	for (uint32_t i = 0; i < m->ncolumns; i++)
		MG_NEW(ctx, a, codes[i], MG_BATCH_ROWS);
	mg_rng_seed(&rng, DRAWING_SEED);
	for (uint32_t b = 0; b < DRAWN_BATCHES; b++)
	{
		MG_TRY(s->batch(ctx, s, &rng, MG_BATCH_ROWS, codes));
		for (uint32_t r = 0; r < MG_BATCH_ROWS; r++)
		{
			size_t at = 0;

			for (uint32_t i = 0; i < k; i++)
				at = at * m->columns[cols[i]].ncoarse + codes[cols[i]][r];
			out[at]++;
		}
	}
	return MG_OK;
}

static mg_code
find_marginal(mg_ctx *ctx, mg_arena *a, const mg_model *m, const uint32_t *cols, uint32_t k, double *out)
{
	bool answered = false;
	mg_sampler *s;
	mg_code code;

	if (m->method->marginal != NULL)
		MG_TRY(m->method->marginal(ctx, m, cols, k, out, &answered));
	if (answered)
		return MG_OK;
	MG_TRY(m->method->compile(ctx, m, &s));
	code = draw_marginal(ctx, a, m, s, cols, k, out);
	s->destroy(s);
	return code;
}

static mg_code
learn_from_model(mg_ctx *ctx, mg_arena *scratch, mg_model *m, mg_dependency *d)
{
	uint32_t cols[MG_MAX_DETERMINANTS + 1], k, *sizes;
	double *joint = NULL;
	size_t cells = 1;

	MG_TRY(coarse_sizes(ctx, scratch, m->columns, m->ncolumns, &sizes));
	if (mg_dependency_set(d, sizes, MG_DEPENDENCY_CELLS, cols, &k) > 0)
	{
		for (uint32_t i = 0; i < k; i++)
			cells *= sizes[cols[i]];
		MG_NEW(ctx, scratch, joint, cells);
		MG_TRY(find_marginal(ctx, scratch, m, cols, k, joint));
	}
	return mg_dependency_learn(ctx, m->arena, m->columns, m->ncolumns, joint, d);
}

/* Is column c the subject of one of these? */
static bool
is_dependent(const mg_dependency *d, uint32_t n, uint32_t c)
{
	for (uint32_t i = 0; i < n; i++)
		if (d[i].column == c)
			return true;
	return false;
}

/* Those whose determinants are settled come first. What is left over when none is ready lies on, or behind, a cycle. */
static mg_code
put_in_order(mg_ctx *ctx, mg_dependency *d, uint32_t n)
{
	for (uint32_t done = 0; done < n; done++)
	{
		uint32_t next = done;

		for (; next < n; next++)
		{
			bool ready = !is_dependent(d + done, next - done, d[next].column) &&
						 !is_dependent(d + next + 1, n - next - 1, d[next].column);

			for (uint32_t i = 0; ready && i < d[next].ndeterminants; i++)
				ready = !is_dependent(d + done, n - done, d[next].determinants[i]);
			if (ready)
				break;
		}
		if (next == n)
			return mg_fail(ctx, MG_INVALID, "columns depend on each other in a circle, or one depends twice");
		if (next > done)
		{
			mg_dependency swap = d[next];

			memmove(d + done + 1, d + done, (next - done) * sizeof(*d));
			d[done] = swap;
		}
	}
	return MG_OK;
}

static uint64_t
bits_of(double x)
{
	uint64_t bits;

	memcpy(&bits, &x, sizeof(bits));
	return bits;
}

/* Of the noisy masses: no two trainings share it, and the model alone decides it. */
static uint64_t
make_salt(const mg_model *m)
{
	uint64_t salt = bits_of(m->total);

	for (uint32_t c = 0; c < m->ncolumns; c++)
		for (uint32_t f = 0; f < m->columns[c].nfine; f++)
			salt = mg_mix64(salt + UINT64_C(0x9E3779B97F4A7C15) + bits_of(m->columns[c].fine[f]));
	return salt;
}

mg_code
mg_model_depend(mg_ctx *ctx, mg_model *m, const mg_dependency *dependencies, uint32_t n)
{
	mg_dependency *list;

	if (n == 0)
		return MG_OK;
	MG_NEW(ctx, m->arena, list, n);
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t *determinants;

		list[i] = dependencies[i];
		MG_TRY(check(ctx, &list[i], m->ncolumns));
		MG_NEW(ctx, m->arena, determinants, list[i].ndeterminants);
		memcpy(determinants, dependencies[i].determinants, list[i].ndeterminants * sizeof(*determinants));
		list[i].determinants = determinants;
	}
	MG_TRY(put_in_order(ctx, list, n));
	for (uint32_t i = 0; i < n; i++)
	{
		mg_arena *scratch = mg_arena_create(0);
		mg_code code;

		if (scratch == NULL)
			return mg_fail(ctx, MG_NOMEM, "out of memory");
		code = learn_from_model(ctx, scratch, m, &list[i]);
		mg_arena_destroy(scratch);
		MG_TRY(code);
	}
	for (uint32_t i = 0; i < n; i++)
		list[i].known = NULL; /* the caller's */
	m->dependencies = list;
	m->ndependencies = n;
	m->dependency_salt = make_salt(m);
	return MG_OK;
}

/* ---- bytes ---- */

void
mg_dependencies_write(mg_writer *w, const mg_model *m)
{
	mg_put_u32(w, m->ndependencies);
	for (uint32_t i = 0; i < m->ndependencies; i++)
	{
		const mg_dependency *d = &m->dependencies[i];

		mg_put_u32(w, d->column);
		mg_put_u32(w, d->ndeterminants);
		for (uint32_t j = 0; j < d->ndeterminants; j++)
			mg_put_u32(w, d->determinants[j]);
		mg_put_u32(w, d->used);
		mg_put_u32(w, d->ncells);
		for (uint32_t c = 0; c < d->ncells; c++)
			mg_put_u16(w, d->code[c]);
	}
	mg_put_u64(w, m->dependency_salt);
}

static mg_code
corrupt(mg_ctx *ctx)
{
	return mg_fail(ctx, MG_CORRUPT, "the stored model is damaged (dependent columns)");
}

static mg_code
read_one(mg_ctx *ctx, mg_model *m, mg_reader *r, mg_dependency *d)
{
	uint32_t *determinants, most;
	uint16_t *code;
	size_t cells = 1;
	mg_ctx probe;

	d->column = mg_get_u32(r);
	d->ndeterminants = mg_get_count(r, sizeof(uint32_t));
	if (r->failed || d->ndeterminants > MG_MAX_DETERMINANTS)
		return corrupt(ctx);
	MG_NEW(ctx, m->arena, determinants, (size_t) d->ndeterminants + 1);
	for (uint32_t i = 0; i < d->ndeterminants; i++)
		determinants[i] = mg_get_u32(r);
	d->determinants = determinants;
	d->used = mg_get_u32(r);
	mg_ctx_init(&probe);
	if (r->failed || check(&probe, d, m->ncolumns) != MG_OK || d->used > d->ndeterminants)
		return corrupt(ctx);
	for (uint32_t i = 0; i < d->used && d->used > 1; i++)
		if (!mg_mul_size(cells, m->columns[determinants[i]].ncoarse, &cells) || cells > MG_DEPENDENCY_CELLS)
			return corrupt(ctx);
	most = d->used == 1 ? m->columns[d->column].nfine : m->columns[d->column].ncoarse;
	d->ncells = mg_get_count(r, sizeof(uint16_t));
	if (r->failed || d->ncells != count_cells(m->columns, d))
		return corrupt(ctx);
	MG_NEW(ctx, m->arena, code, d->ncells);
	for (uint32_t i = 0; i < d->ncells; i++)
	{
		code[i] = mg_get_u16(r);
		if (code[i] >= most)
			return corrupt(ctx);
	}
	d->code = code;
	return MG_OK;
}

mg_code
mg_dependencies_read(mg_ctx *ctx, mg_model *m, mg_reader *r)
{
	uint32_t n = mg_get_count(r, 4 * sizeof(uint32_t));
	mg_dependency *list;

	if (r->failed || n > m->ncolumns)
		return corrupt(ctx);
	MG_NEW(ctx, m->arena, list, (size_t) n + 1);
	for (uint32_t i = 0; i < n; i++)
	{
		MG_TRY(read_one(ctx, m, r, &list[i]));
		/* once each, and never on one that is settled later: emission fills them in this order */
		for (uint32_t j = 0; j < i; j++)
			for (uint32_t k = 0; k < list[j].ndeterminants; k++)
				if (list[j].column == list[i].column || list[j].determinants[k] == list[i].column)
					return corrupt(ctx);
	}
	m->dependencies = list;
	m->ndependencies = n;
	m->dependency_salt = mg_get_u64(r);
	return r->failed ? corrupt(ctx) : MG_OK;
}
