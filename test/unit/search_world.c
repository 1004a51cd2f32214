/* test/unit/search_world.c: see search_world.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "search_world.h"
#include "seeded_noise.h"

int
search_set_up(void **state)
{
	search_world *w = make_world(state, sizeof(*w), 77);

	if (w == NULL)
		return 1;
	memory_store_init(&w->store);
	for (uint32_t i = 0; i < MOST_LABELS; i++)
	{
		snprintf(w->text[i], sizeof(w->text[i]), "%u", i);
		w->label[i] = (mg_label){w->text[i], (uint32_t) strlen(w->text[i])};
	}
	for (uint32_t i = 0; i < MOST_COLUMNS; i++)
		snprintf(w->name[i], sizeof(w->name[i]), "%c", 'a' + (int) i);
	w->req.domains = w->domain;
	w->req.options = w->option;
	w->req.constraints = w->constraint;
	w->req.memory = 8 << 20;
	return 0;
}

int
search_tear_down(void **state)
{
	search_world *w = *state;

	mg_curator_destroy(w->curator);
	mg_noise_destroy(w->noise);
	memory_store_free(&w->store);
	free(w->rows);
	return free_world(state);
}

void
search_columns(search_world *w, uint32_t n, const uint32_t *sizes, uint32_t nrows)
{
	w->ncolumns = n;
	w->nrows = nrows;
	for (uint32_t i = 0; i < n; i++)
		w->domain[i] = (mg_domain){.name = w->name[i], .kind = MG_CATEGORY, .nlabels = sizes[i], .labels = w->label};
	free(w->rows);
	w->rows = calloc(nrows + 1, sizeof(*w->rows));
}

void
search_equal_columns(search_world *w, uint32_t n, uint32_t size, uint32_t nrows)
{
	uint32_t sizes[MOST_COLUMNS];

	for (uint32_t i = 0; i < n; i++)
		sizes[i] = size;
	search_columns(w, n, sizes, nrows);
}

void
search_independent_rows(search_world *w)
{
	for (uint32_t r = 0; r < w->nrows; r++)
		for (uint32_t i = 0; i < w->ncolumns; i++)
			w->rows[r][i] = below(w, w->domain[i].nlabels);
}

void
search_option(search_world *w, const char *name, const char *value)
{
	w->option[w->req.noptions++] = (mg_option){name, value};
}

void
search_order(search_world *w, uint32_t left, uint32_t compare, uint32_t right)
{
	uint32_t i = w->req.nconstraints++;
	mg_term *t = w->term[i];

	t[0] = (mg_term){left, 1};
	t[1] = (mg_term){right, -1};
	w->pair[i][0] = left < right ? left : right;
	w->pair[i][1] = left < right ? right : left;
	w->expr[i] = (mg_expr){.kind = MG_EXPR_COMPARE, .span = 1, .compare = compare, .nterms = 2, .terms = t};
	w->constraint[i] = (mg_constraint){.name = "order",
									   .definition = "CHECK (..)",
									   .how = MG_HOW_REDRAWS,
									   .sure = true,
									   .nnodes = 1,
									   .ncols = 2,
									   .expr = &w->expr[i],
									   .cols = w->pair[i],
									   .rejected = -1};
}

void
search_open(search_world *w, uint64_t seed, double rho)
{
	static const uint8_t key[MG_UNIT_KEY_BYTES] = {5};
	const mg_units units = {w->k, key};

	mg_ctx_init(&w->ctx);
	mg_curator_destroy(w->curator);
	w->curator = NULL;
	mg_noise_destroy(w->noise);
	w->noise = seeded_noise(seed);
	mg_odometer_init(&w->odometer, rho, 1e-12);
	w->req.allowance = (mg_allowance){rho, 1e-12};
	w->req.ncolumns = w->ncolumns;
	w->req.rows_per_unit = w->k;
	for (uint32_t i = 0; i < w->req.nconstraints; i++)
		w->constraint[i].how = MG_HOW_REDRAWS;
	assert_int_equal(mg_curator_create_for_units(&w->ctx, w->domain, w->ncolumns, w->k > 0 ? &units : NULL, w->noise,
												 &w->odometer, &w->store.store, 8 << 20, &w->curator),
					 MG_OK);
	for (uint32_t r = 0; r < w->nrows; r++)
	{
		uint32_t unit = r / (w->k > 0 ? w->k : 1);

		if (w->k > 0)
			mg_load_unit(w->curator, &unit, sizeof(unit));
		for (uint32_t i = 0; i < w->ncolumns; i++)
			mg_load_code(w->curator, i, w->rows[r][i]);
		assert_int_equal(mg_load_row(&w->ctx, w->curator), MG_OK);
	}
	assert_int_equal(mg_load_finish(&w->ctx, w->curator), MG_OK);
}

mg_model *
search_fit(search_world *w, const char *method, uint64_t seed, double rho)
{
	mg_model *m = NULL;

	search_open(w, seed, rho);
	assert_int_equal(mg_method_find(method)->fit(&w->ctx, w->curator, &w->req, &m), MG_OK);
	assert_non_null(m);
	return m;
}

void
search_ring_rows(search_world *w, uint32_t n, uint32_t size, uint32_t nrows)
{
	search_equal_columns(w, n, size, nrows);
	search_independent_rows(w);
	for (uint32_t r = 0; r < nrows; r++)
		for (uint32_t i = 1; i < n; i++)
			if (below(w, 10) > 1)
				w->rows[r][i] = (w->rows[r][i - 1] + (below(w, 4) == 0)) % size;
}

void
search_check_model(const mg_model *m)
{
	const mg_graphical *g = m->body;
	bool seen[MOST_COLUMNS] = {false};

	assert_true(m->total >= 1 && isfinite(m->total));
	for (uint32_t c = 0; c < g->tree.count; c++)
	{
		for (size_t x = 0; x < g->marginal[c].cells; x++)
			assert_true(g->marginal[c].v[x] >= 0 && isfinite(g->marginal[c].v[x]));
		assert_near(mg_factor_total(&g->marginal[c]), m->total, 1e-6 * m->total);
		for (uint32_t i = 0; i < g->tree.clique[c].k; i++)
			seen[g->tree.clique[c].cols[i]] = true;
	}
	for (uint32_t i = 0; i < m->ncolumns; i++)
		assert_true(seen[i]);
}

uint16_t *
search_draw(search_world *w, const mg_model *m, uint32_t n)
{
	uint16_t *codes = calloc((size_t) m->ncolumns * n, sizeof(*codes)), *at[MOST_COLUMNS];
	mg_sampler *s;
	mg_rng rng;

	mg_rng_seed(&rng, 3);
	assert_int_equal(m->method->compile(&w->ctx, m, &s), MG_OK);
	for (uint32_t i = 0; i < m->ncolumns; i++)
		at[i] = codes + (size_t) i * n;
	assert_int_equal(s->batch(&w->ctx, s, &rng, n, at), MG_OK);
	s->destroy(s);
	return codes;
}
