/*
 * graphical/learn.c: see learn.h.
 *
 * Memory: measurements and their dual variables live in the caller's arena, the tree and its tables of the latest fit
 * in an arena of the learner's own; the next fit makes a new one before the old one goes.
 */
#include "graphical/learn.h"

#include "graphical/consistent.h"
#include "graphical/fit.h"

#include <math.h>
#include <string.h>

/*
 * No measurement is taken for more exact than noise of this share of the total, spread evenly over its cells: rows that
 * are drawn will not show less, and estimation has something to stop at where tables are long.
 */
#define PRECISION 0.002

typedef struct known
{
	uint32_t k;
	const uint32_t *cols;
	size_t cells;
	double *y;
	double var;  /* of each cell */
	bool single; /* a one-way marginal of discretisation */
	double *q;   /* dual variables */
} known;

struct mg_learner
{
	mg_arena *arena; /* the caller's */
	const mg_model *model;
	uint32_t ncolumns;
	uint32_t *sizes;
	double gamma;
	double **oneway; /* probabilities, positive */
	const mg_zero_set *zeros;
	uint32_t nzeros;
	known *known;
	uint32_t count, room;
	mg_column_set *sets; /* zero sets, then measured sets of several columns */
	uint32_t nsets, sets_room;
	double total;

	mg_arena *round;
	mg_junction tree;
	mg_factor *marginal;
	mg_estimate_report report;
};

static mg_code
grow_known(mg_ctx *ctx, mg_learner *l)
{
	known *more;

	if (l->count < l->room)
		return MG_OK;
	MG_NEW(ctx, l->arena, more, 2 * (size_t) l->room + 64);
	if (l->count > 0)
		memcpy(more, l->known, l->count * sizeof(*more));
	l->known = more;
	l->room = 2 * l->room + 64;
	return MG_OK;
}

static mg_code
add_set(mg_ctx *ctx, mg_learner *l, const uint32_t *cols, uint32_t k)
{
	if (l->nsets == l->sets_room)
	{
		mg_column_set *more;

		MG_NEW(ctx, l->arena, more, 2 * (size_t) l->sets_room + 64);
		if (l->nsets > 0)
			memcpy(more, l->sets, l->nsets * sizeof(*more));
		l->sets = more;
		l->sets_room = 2 * l->sets_room + 64;
	}
	l->sets[l->nsets++] = (mg_column_set){.k = k, .cols = cols};
	return MG_OK;
}

static mg_code
add_oneway(mg_ctx *ctx, mg_learner *l, uint32_t i)
{
	const mg_column *col = &l->model->columns[i];
	uint32_t *cols;
	double var = 0;
	known *m;

	MG_TRY(grow_known(ctx, l));
	MG_NEW(ctx, l->arena, cols, 1);
	cols[0] = i;
	for (uint32_t x = 0; x < col->ncoarse; x++)
		var += col->coarse_var[x] / col->ncoarse;
	m = &l->known[l->count++];
	*m = (known){.k = 1, .cols = cols, .cells = col->ncoarse, .var = fmax(var, 1e-9), .single = true};
	MG_NEW(ctx, l->arena, m->y, col->ncoarse);
	MG_NEW(ctx, l->arena, m->q, col->ncoarse);
	memcpy(m->y, col->coarse, col->ncoarse * sizeof(*m->y));
	return MG_OK;
}

mg_code
mg_learner_create(mg_ctx *ctx, mg_arena *a, const mg_model *m, double gamma, const mg_zero_set *zeros, uint32_t nzeros,
				  mg_learner **out)
{
	mg_learner *l;

	MG_NEW(ctx, a, l, 1);
	l->arena = a;
	l->model = m;
	l->ncolumns = m->ncolumns;
	l->gamma = gamma;
	l->zeros = zeros;
	l->nzeros = nzeros;
	MG_TRY(mg_column_sizes(ctx, a, m->columns, m->ncolumns, &l->sizes));
	MG_TRY(mg_oneway_probabilities(ctx, a, m, &l->oneway));
	for (uint32_t i = 0; i < m->ncolumns; i++)
		MG_TRY(add_oneway(ctx, l, i));
	for (uint32_t i = 0; i < nzeros; i++)
		MG_TRY(add_set(ctx, l, zeros[i].cols, zeros[i].k));
	*out = l;
	return MG_OK;
}

void
mg_learner_destroy(mg_learner *l)
{
	if (l == NULL)
		return;
	mg_arena_destroy(l->round);
	l->round = NULL;
}

static bool
same_columns(const known *m, const uint32_t *cols, uint32_t k)
{
	return m->k == k && memcmp(m->cols, cols, k * sizeof(*cols)) == 0;
}

/* y and what is known already, weighted by inverse variance. */
static void
combine(known *m, const int64_t *y, double var)
{
	double together = 1 / (1 / m->var + 1 / var);

	for (size_t x = 0; x < m->cells; x++)
		m->y[x] = together * (m->y[x] / m->var + (double) y[x] / var);
	m->var = together;
}

mg_code
mg_learner_add(mg_ctx *ctx, mg_learner *l, const uint32_t *cols, uint32_t k, const int64_t *y, double var)
{
	uint32_t *own;
	known *m;
	size_t cells;

	if (!(var > 0) || !isfinite(var))
		return mg_fail(ctx, MG_INVALID, "a measurement without noise");
	for (uint32_t i = 0; i < l->count; i++)
	{
		if (!l->known[i].single && same_columns(&l->known[i], cols, k))
		{
			combine(&l->known[i], y, var);
			return MG_OK;
		}
	}
	if (!mg_factor_count(cols, k, l->sizes, &cells))
		return mg_fail(ctx, MG_INVALID, "a measurement has too many cells");
	MG_TRY(grow_known(ctx, l));
	MG_NEW(ctx, l->arena, own, k);
	memcpy(own, cols, k * sizeof(*own));
	m = &l->known[l->count];
	*m = (known){.k = k, .cols = own, .cells = cells, .var = var};
	MG_NEW(ctx, l->arena, m->y, cells);
	MG_NEW(ctx, l->arena, m->q, cells);
	for (size_t x = 0; x < cells; x++)
		m->y[x] = (double) y[x];
	l->count++;
	return add_set(ctx, l, own, k);
}

/* Puts the prior's logarithms and the zeros into the tree's factors. */
static mg_code
set_prior(mg_ctx *ctx, const mg_learner *l, const mg_junction *tree, mg_arena *a, mg_factor *f)
{
	for (uint32_t i = 0; i < l->ncolumns; i++)
	{
		mg_factor one;
		uint32_t home = mg_junction_find(tree, &i, 1);

		MG_TRY(mg_factor_make(ctx, a, &i, 1, l->sizes, &one));
		for (uint32_t x = 0; x < l->sizes[i]; x++)
			one.v[x] = log(l->oneway[i][x]);
		mg_factor_add(&f[home], &one);
	}
	for (uint32_t z = 0; z < l->nzeros; z++)
	{
		const mg_zero_set *set = &l->zeros[z];
		mg_factor table;

		MG_TRY(mg_factor_make(ctx, a, set->cols, set->k, l->sizes, &table));
		for (size_t x = 0; x < table.cells; x++)
			table.v[x] = set->possible[x] ? 0 : -INFINITY;
		mg_factor_add(&f[mg_junction_find(tree, set->cols, set->k)], &table);
	}
	return MG_OK;
}

/* The measurements made to agree, none taken for more exact than PRECISION. */
static mg_code
make_consistent(mg_ctx *ctx, const mg_learner *l, mg_arena *scratch, mg_measurement *list)
{
	double **y;

	MG_NEW(ctx, scratch, y, l->count);
	MG_TRY(mg_make_consistent(ctx, scratch, l->sizes, list, l->count, y));
	for (uint32_t i = 0; i < l->count; i++)
	{
		double sigma = PRECISION * l->total / (double) l->known[i].cells;

		list[i].y = y[i];
		list[i].var = fmax(list[i].var, sigma * sigma);
	}
	return MG_OK;
}

static mg_code
estimate(mg_ctx *ctx, mg_learner *l, mg_arena *keep, mg_arena *scratch, const mg_learn_options *opt, mg_junction *tree,
		 mg_factor **marginal)
{
	mg_estimate_options how = {.gamma = l->gamma,
							   .steps = opt->steps,
							   .tolerance = opt->tolerance,
							   .max_iterations = opt->iterations};
	mg_measurement *list;
	size_t dim = 0;

	MG_TRY(mg_triangulate(ctx, keep, l->sizes, l->ncolumns, l->sets, l->nsets, opt->restarts, tree));
	MG_TRY(mg_junction_factors(ctx, keep, tree, marginal));
	MG_TRY(set_prior(ctx, l, tree, scratch, *marginal));
	MG_NEW(ctx, scratch, list, l->count);
	for (uint32_t i = 0; i < l->count; i++)
	{
		const known *m = &l->known[i];

		list[i] = (mg_measurement){.k = m->k, .cols = m->cols, .y = m->y, .var = m->var};
		dim += m->cells;
	}
	l->total = mg_estimate_total(l->sizes, list, l->count);
	MG_TRY(make_consistent(ctx, l, scratch, list));
	MG_NEW(ctx, scratch, how.q, dim + 1);
	dim = 0;
	for (uint32_t i = 0; i < l->count; dim += l->known[i++].cells)
		memcpy(how.q + dim, l->known[i].q, l->known[i].cells * sizeof(double));
	MG_TRY(mg_estimate(ctx, tree, list, l->count, l->total, &how, *marginal, &l->report));
	dim = 0;
	for (uint32_t i = 0; i < l->count; dim += l->known[i++].cells)
		memcpy(l->known[i].q, how.q + dim, l->known[i].cells * sizeof(double));
	return MG_OK;
}

mg_code
mg_learner_fit(mg_ctx *ctx, mg_learner *l, const mg_learn_options *opt)
{
	mg_arena *keep = mg_arena_create(0), *scratch = mg_arena_create(0);
	mg_junction tree;
	mg_factor *marginal;
	mg_code code;

	if (keep == NULL || scratch == NULL)
		code = mg_fail(ctx, MG_NOMEM, "out of memory");
	else
		code = estimate(ctx, l, keep, scratch, opt, &tree, &marginal);
	mg_arena_destroy(scratch);
	if (code != MG_OK)
	{
		mg_arena_destroy(keep);
		return code;
	}
	mg_arena_destroy(l->round);
	l->round = keep;
	l->tree = tree;
	l->marginal = marginal;
	return MG_OK;
}

const mg_junction *
mg_learner_tree(const mg_learner *l)
{
	return &l->tree;
}

const mg_factor *
mg_learner_marginals(const mg_learner *l)
{
	return l->marginal;
}

double
mg_learner_total(const mg_learner *l)
{
	return l->total;
}

const uint32_t *
mg_learner_sizes(const mg_learner *l)
{
	return l->sizes;
}

const mg_column_set *
mg_learner_sets(const mg_learner *l, uint32_t *count)
{
	*count = l->nsets;
	return l->sets;
}

/* The tree again in arena a: cliques in their order, so factors carry over. */
static mg_code
copy_tree(mg_ctx *ctx, mg_arena *a, const mg_junction *from, mg_junction *out)
{
	mg_column_set *sets;

	MG_NEW(ctx, a, sets, from->count);
	for (uint32_t c = 0; c < from->count; c++)
		sets[c] =
			(mg_column_set){.k = from->clique[c].k, .cols = from->clique[c].cols, .parent = from->clique[c].parent};
	return mg_junction_adopt(ctx, a, from->size, from->ncolumns, sets, from->count, out);
}

/* What was measured, for the model's description. */
static mg_code
list_measured(mg_ctx *ctx, const mg_learner *l, mg_arena *a, mg_graphical *body)
{
	MG_NEW(ctx, a, body->measured, (size_t) l->count + 1);
	for (uint32_t i = 0; i < l->count; i++)
	{
		const known *m = &l->known[i];
		uint32_t *cols;

		if (m->single)
			continue;
		MG_NEW(ctx, a, cols, m->k);
		memcpy(cols, m->cols, m->k * sizeof(*cols));
		body->measured[body->nmeasured++] = (mg_measured){.k = m->k, .cols = cols, .sigma = sqrt(m->var)};
	}
	return MG_OK;
}

mg_code
mg_learner_finish(mg_ctx *ctx, const mg_learner *l, mg_model *m, mg_graphical *body)
{
	MG_TRY(copy_tree(ctx, m->arena, &l->tree, &body->tree));
	MG_TRY(mg_junction_factors(ctx, m->arena, &body->tree, &body->marginal));
	for (uint32_t c = 0; c < l->tree.count; c++)
		memcpy(body->marginal[c].v, l->marginal[c].v, l->marginal[c].cells * sizeof(double));
	MG_TRY(list_measured(ctx, l, m->arena, body));
	m->total = l->total;
	body->report = l->report;
	return MG_OK;
}
