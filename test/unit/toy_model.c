/* test/unit/toy_model.c: see toy_model.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "toy_model.h"
#include "toy_sampler.h"

/* ---- a method that draws every column evenly and by itself; it cannot tell marginals unless asked to ---- */

static mg_code
even_batch(mg_ctx *ctx, mg_sampler *s, mg_rng *rng, uint32_t n, uint16_t *const *codes)
{
	const mg_model *m = ((toy_sampler *) s)->model;

	for (uint32_t c = 0; c < m->ncolumns; c++)
		for (uint32_t i = 0; i < n; i++)
			codes[c][i] = (uint16_t) random_below(rng, m->columns[c].ncoarse);
	return MG_OK;
}

static mg_code
even_compile(mg_ctx *ctx, const mg_model *m, mg_sampler **out)
{
	return toy_sampler_make(m, even_batch, out);
}

/* Column 1 toy_tied to column 0: in step with even_tied, whatever the sampler says. */
static mg_code
tied_marginal(mg_ctx *ctx, const mg_model *m, const uint32_t *cols, uint32_t k, double *out, bool *answered)
{
	assert_true(k == 2 && cols[0] == 0 && cols[1] == 1);
	for (uint32_t b = 0; b < m->columns[0].ncoarse; b++)
		out[b * m->columns[1].ncoarse + (b + 1) % m->columns[1].ncoarse] = 1;
	*answered = true;
	return MG_OK;
}

static mg_code
no_body(mg_ctx *ctx, const mg_model *m, mg_writer *w)
{
	return MG_OK;
}

static mg_code
no_body_read(mg_ctx *ctx, mg_model *m, mg_reader *r)
{
	return MG_OK;
}

const mg_method even = {.name = "even", .compile = even_compile, .write_body = no_body, .read_body = no_body_read};
const mg_method toy_tied = {.name = "toy_tied",
							.compile = even_compile,
							.write_body = no_body,
							.read_body = no_body_read,
							.marginal = tied_marginal};
const mg_method *const toy_methods[] = {&even, &toy_tied, NULL};

/* ---- columns ---- */

int
toy_set_up(void **state)
{
	return make_world(state, sizeof(world), 2026) == NULL;
}

int
toy_tear_down(void **state)
{
	world *w = *state;

	mg_model_destroy(w->model);
	return free_world(state);
}

void *
toy_take(mg_arena *a, size_t n, size_t size)
{
	void *p = mg_arena_alloc(a, n, size);

	assert_non_null(p);
	return p;
}

/* Masses, one-way figures and a merge in which every code has a cell: coarse codes of runs (numbers) or at random. */
static void
merge_cells(world *w, mg_arena *a, mg_column *c, uint32_t cells, uint32_t codes, bool runs)
{
	double *fine = toy_take(a, c->nfine, sizeof(double)), *coarse, *var;
	uint16_t *merge = toy_take(a, c->nfine, sizeof(uint16_t));

	for (uint32_t f = 0; f < cells; f++)
		merge[f] = (uint16_t) (runs ? (uint64_t) f * codes / cells : f < codes ? f : below(w, codes));
	c->ncoarse = codes + (c->domain.nullable ? 1 : 0);
	merge[c->nfine - 1] = c->domain.nullable ? (uint16_t) codes : 0;
	coarse = toy_take(a, c->ncoarse, sizeof(double));
	var = toy_take(a, c->ncoarse, sizeof(double));
	for (uint32_t f = 0; f < c->nfine; f++)
	{
		fine[f] = below(w, 4) == 0 ? 0 : mg_rng_unit(&w->rng);
		coarse[merge[f]] += fine[f];
		c->total += fine[f];
	}
	for (uint32_t i = 0; i < c->ncoarse; i++)
		var[i] = 1;
	c->fine = fine;
	c->merge = merge;
	c->coarse = coarse;
	c->coarse_var = var;
}

void
make_category(world *w, mg_arena *a, mg_column *c, uint32_t nlabels, uint32_t codes, bool nullable, bool other)
{
	mg_label *labels = toy_take(a, nlabels, sizeof(mg_label));

	for (uint32_t i = 0; i < nlabels; i++)
	{
		char *text = toy_take(a, 16, 1);

		labels[i].len = (uint32_t) snprintf(text, 16, "label %u", i);
		labels[i].text = text;
	}
	c->domain = (mg_domain){.name = "category", .kind = MG_CATEGORY, .nlabels = nlabels, .labels = labels};
	c->domain.nullable = nullable;
	c->domain.has_other = other;
	/* the same text as a label has: one value, two cells */
	if (other)
		c->domain.other = labels[nlabels / 2].text;
	c->nfine = nlabels + 2;
	merge_cells(w, a, c, nlabels + 1, codes, false);
}

void
make_number(world *w, mg_arena *a, mg_column *c, uint32_t cells, uint32_t codes, bool nullable, double step)
{
	mg_cell *cell = toy_take(a, cells, sizeof(mg_cell));
	double at = 0;

	for (uint32_t i = 0; i < cells; i++)
	{
		cell[i].lower = at;
		at += i % 3 == 1 ? 0 : 3;
		cell[i].upper = at;
	}
	c->domain = (mg_domain){.name = "number", .kind = MG_NUMBER, .lower = 0, .upper = at, .step = step};
	c->domain.nullable = nullable;
	c->nfine = cells + 1;
	c->cells = cell;
	merge_cells(w, a, c, cells, codes, true);
}

void
make_model(world *w, const mg_method *method, uint32_t n)
{
	mg_model_destroy(w->model);
	w->model = NULL;
	assert_int_equal(mg_model_create(&w->ctx, method, n, 0, &w->model), MG_OK);
	w->model->total = 1000 + mg_rng_unit(&w->rng);
}

void
make_mixed(world *w, const mg_method *method)
{
	mg_column *c;

	make_model(w, method, COLUMNS);
	c = w->model->columns;
	make_category(w, w->model->arena, &c[0], 40, 7, true, true);
	make_category(w, w->model->arena, &c[1], 12, 5, false, false);
	make_number(w, w->model->arena, &c[2], 20, 6, true, 2);
	make_number(w, w->model->arena, &c[3], 15, 4, false, 0);
	make_category(w, w->model->arena, &c[4], 9, 9, true, false);
	make_number(w, w->model->arena, &c[5], 9, 3, true, 1);
	make_number(w, w->model->arena, &c[6], 30, 5, true, 0);
}

static const uint32_t on_0[] = {0}, on_1[] = {1}, on_3_0[] = {3, 0}, on_6[] = {6};

const mg_dependency mixed[NMIXED] = {
	{.column = 4, .ndeterminants = 1, .determinants = on_1},
	{.column = 1, .ndeterminants = 1, .determinants = on_0},
	{.column = 5, .ndeterminants = 1, .determinants = on_6},
	{.column = 2, .ndeterminants = 2, .determinants = on_3_0},
};
