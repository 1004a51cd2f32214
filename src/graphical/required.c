/* graphical/required.c: see required.h. */
#include "graphical/required.h"

#include "model/dependency.h"

#include <math.h>

/* A marginal of more cells would be noise; the dependence is then learnt from what the model says of it. */
#define MOST_DEPENDENCY_CELLS ((size_t) 1 << 18)

/* Would the model of these sets and one more have at most so many cells? */
static mg_code
fits(mg_ctx *ctx, const uint32_t *sizes, uint32_t ncolumns, const mg_column_set *sets, uint32_t nsets,
	 const uint32_t *cols, uint32_t k, double most_cells, bool *out)
{
	double cells = 0;
	mg_code code = mg_grown_cells(ctx, sizes, ncolumns, sets, nsets, cols, k, &cells);

	*out = cells <= most_cells;
	return code;
}

/* Is there a row at all that none of these zero sets forbids? */
static mg_code
any_row_possible(mg_ctx *ctx, mg_arena *a, const uint32_t *sizes, uint32_t ncolumns, const mg_zero_set *zeros,
				 uint32_t n, const mg_column_set *sets, bool *out)
{
	mg_junction tree;
	mg_messages messages;
	mg_factor *f;

	MG_TRY(mg_triangulate(ctx, a, sizes, ncolumns, sets, n, 0, &tree));
	MG_TRY(mg_junction_factors(ctx, a, &tree, &f));
	MG_TRY(mg_messages_make(ctx, a, &tree, &messages));
	for (uint32_t z = 0; z < n; z++)
	{
		mg_factor table;

		MG_TRY(mg_factor_make(ctx, a, zeros[z].cols, zeros[z].k, sizes, &table));
		for (size_t x = 0; x < table.cells; x++)
			table.v[x] = zeros[z].possible[x] ? 0 : -INFINITY;
		mg_factor_add(&f[mg_junction_find(&tree, zeros[z].cols, zeros[z].k)], &table);
	}
	*out = mg_junction_calibrate(&tree, &messages, 1, f) > -INFINITY;
	return MG_OK;
}

/* Room for one more zero set, and rows left under all of them? */
static mg_code
takes(mg_ctx *ctx, const uint32_t *sizes, uint32_t ncolumns, const mg_column_set *all, uint32_t nall,
	  const mg_required *out, double most_cells, bool *yes)
{
	const mg_zero_set *last = &out->zeros[out->nzeros];
	mg_arena *a;
	mg_code code;

	MG_TRY(fits(ctx, sizes, ncolumns, all, nall, last->cols, last->k, most_cells, yes));
	if (!*yes)
		return MG_OK;
	a = mg_arena_create(0);
	if (a == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	code = any_row_possible(ctx, a, sizes, ncolumns, out->zeros, out->nzeros + 1, all, yes);
	mg_arena_destroy(a);
	return code;
}

static mg_code
list_zeros(mg_ctx *ctx, mg_arena *a, const mg_fit_request *req, const mg_model *m, const uint32_t *sizes,
		   double most_cells, mg_column_set *all, uint32_t *nall, mg_required *out)
{
	for (uint32_t i = 0; i < req->nconstraints; i++)
	{
		mg_constraint *c = &req->constraints[i];
		const uint32_t *cols = NULL;
		bool *possible = NULL, taken;
		uint32_t k = 0;

		MG_TRY(mg_constraint_zeros(ctx, a, m->columns, m->ncolumns, c, &k, &cols, &possible));
		if (k == 0)
			continue;
		out->zeros[out->nzeros] = (mg_zero_set){.k = k, .cols = cols, .possible = possible};
		all[*nall] = (mg_column_set){.k = k, .cols = cols};
		MG_TRY(takes(ctx, sizes, m->ncolumns, all, *nall, out, most_cells, &taken));
		if (!taken)
			continue;
		out->from[out->nzeros++] = i;
		++*nall;
		c->how = MG_HOW_ZEROS;
	}
	return MG_OK;
}

/* Each dependent column with those of its determinants that choose its code. */
static mg_code
list_dependencies(mg_ctx *ctx, mg_arena *a, const mg_fit_request *req, const mg_model *m, const uint32_t *sizes,
				  double most_cells, mg_column_set *all, uint32_t *nall, mg_required *out)
{
	for (uint32_t i = 0; i < req->ndependencies; i++)
	{
		uint32_t *cols, k;
		bool room;

		MG_NEW(ctx, a, cols, MG_MAX_DETERMINANTS + 1);
		mg_dependency_set(&req->dependencies[i], sizes, MOST_DEPENDENCY_CELLS, cols, &k);
		if (k < 2)
			continue;
		MG_TRY(fits(ctx, sizes, m->ncolumns, all, *nall, cols, k, most_cells, &room));
		if (!room)
			continue;
		out->sets[out->nsets++] = (mg_column_set){.k = k, .cols = cols};
		all[(*nall)++] = (mg_column_set){.k = k, .cols = cols};
	}
	return MG_OK;
}

mg_code
mg_required_list(mg_ctx *ctx, mg_arena *a, const mg_fit_request *req, const mg_model *m, double most_cells,
				 mg_required *out)
{
	uint32_t *sizes, nall = 0;
	mg_column_set *all;

	*out = (mg_required){0};
	MG_TRY(mg_column_sizes(ctx, a, m->columns, m->ncolumns, &sizes));
	MG_NEW(ctx, a, all, (size_t) req->nconstraints + req->ndependencies + 1);
	MG_NEW(ctx, a, out->sets, (size_t) req->ndependencies + 1);
	MG_NEW(ctx, a, out->zeros, (size_t) req->nconstraints + 1);
	MG_NEW(ctx, a, out->from, (size_t) req->nconstraints + 1);
	MG_TRY(list_zeros(ctx, a, req, m, sizes, most_cells, all, &nall, out));
	return list_dependencies(ctx, a, req, m, sizes, most_cells, all, &nall, out);
}

mg_code
mg_required_trim(mg_ctx *ctx, const mg_fit_request *req, const mg_model *m, const mg_column_set *sets, uint32_t nsets,
				 double most_cells, mg_required *required)
{
	mg_arena *a = mg_arena_create(0);
	mg_column_set *all = NULL;
	uint32_t *sizes = NULL;
	mg_code code = MG_OK;
	bool good = false;

	if (a != NULL)
		all = mg_arena_alloc(a, (size_t) nsets + required->nzeros + 1, sizeof(*all));
	if (all == NULL)
		code = mg_fail(ctx, MG_NOMEM, "out of memory");
	else
		code = mg_column_sizes(ctx, a, m->columns, m->ncolumns, &sizes);
	for (uint32_t i = 0; i < nsets && code == MG_OK; i++)
		all[i] = sets[i];
	for (uint32_t z = 0; z < required->nzeros && code == MG_OK; z++)
		all[nsets + z] = (mg_column_set){.k = required->zeros[z].k, .cols = required->zeros[z].cols};
	while (required->nzeros > 0 && code == MG_OK && !good)
	{
		code = fits(ctx, sizes, m->ncolumns, all, nsets + required->nzeros, NULL, 0, most_cells, &good);
		if (code == MG_OK && !good)
			req->constraints[required->from[--required->nzeros]].how = MG_HOW_REDRAWS;
	}
	mg_arena_destroy(a);
	return code;
}
