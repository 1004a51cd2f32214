/*
 * test/unit/test_dependency.c: columns that are functions of others: the map from a marginal, against counting by hand;
 * its stored form; and the property itself, over random models: equal determinants, equal dependants, across batches,
 * keys and wanted columns.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/dependency.h"
#include "synthesis/synthesis.h"

#define COLUMNS 7

/* ---- a method that draws every column evenly and by itself; it cannot tell marginals unless asked to ---- */

typedef struct even_sampler
{
	mg_sampler base;
	const mg_model *model;
} even_sampler;

static mg_code
even_batch(mg_ctx *ctx, mg_sampler *s, mg_rng *rng, uint32_t n, uint16_t *const *codes)
{
	const mg_model *m = ((even_sampler *) s)->model;

	for (uint32_t c = 0; c < m->ncolumns; c++)
		for (uint32_t i = 0; i < n; i++)
			codes[c][i] = (uint16_t) mg_rng_below32((uint32_t) (mg_rng_u64(rng) >> 32), m->columns[c].ncoarse);
	return MG_OK;
}

static void
even_destroy(mg_sampler *s)
{
	free(s);
}

static mg_code
even_compile(mg_ctx *ctx, const mg_model *m, mg_sampler **out)
{
	even_sampler *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	*s = (even_sampler){{even_batch, even_destroy}, m};
	*out = &s->base;
	return MG_OK;
}

/* Column 1 tied to column 0: in step with even_tied, whatever the sampler says. */
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

static const mg_method even = {
	.name = "even", .compile = even_compile, .write_body = no_body, .read_body = no_body_read};
static const mg_method tied = {.name = "tied",
							   .compile = even_compile,
							   .write_body = no_body,
							   .read_body = no_body_read,
							   .marginal = tied_marginal};
static const mg_method *const methods[] = {&even, &tied, NULL};

/* ---- columns ---- */

typedef struct world
{
	mg_ctx ctx;
	mg_arena *a;
	mg_rng rng;
	mg_model *model;
} world;

static int
set_up(void **state)
{
	world *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return 1;
	mg_ctx_init(&w->ctx);
	w->a = mg_arena_create(0);
	mg_rng_seed(&w->rng, 2026);
	*state = w;
	return w->a == NULL;
}

static int
tear_down(void **state)
{
	world *w = *state;

	mg_model_destroy(w->model);
	mg_arena_destroy(w->a);
	free(w);
	return 0;
}

static void *
take(mg_arena *a, size_t n, size_t size)
{
	void *p = mg_arena_alloc(a, n, size);

	assert_non_null(p);
	return p;
}

static uint32_t
below(world *w, uint32_t n)
{
	return mg_rng_below32((uint32_t) (mg_rng_u64(&w->rng) >> 32), n);
}

/* Masses, one-way figures and a merge in which every code has a cell: coarse codes of runs (numbers) or at random. */
static void
merge_cells(world *w, mg_arena *a, mg_column *c, uint32_t cells, uint32_t codes, bool runs)
{
	double *fine = take(a, c->nfine, sizeof(double)), *coarse, *var;
	uint16_t *merge = take(a, c->nfine, sizeof(uint16_t));

	for (uint32_t f = 0; f < cells; f++)
		merge[f] = (uint16_t) (runs ? (uint64_t) f * codes / cells : f < codes ? f : below(w, codes));
	c->ncoarse = codes + (c->domain.nullable ? 1 : 0);
	merge[c->nfine - 1] = c->domain.nullable ? (uint16_t) codes : 0;
	coarse = take(a, c->ncoarse, sizeof(double));
	var = take(a, c->ncoarse, sizeof(double));
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

static void
make_category(world *w, mg_arena *a, mg_column *c, uint32_t nlabels, uint32_t codes, bool nullable, bool other)
{
	mg_label *labels = take(a, nlabels, sizeof(mg_label));

	for (uint32_t i = 0; i < nlabels; i++)
	{
		char *text = take(a, 16, 1);

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

/* Cells of width 3 with single values between them: with a step of 2, some cells share values. step 0: continuous. */
static void
make_number(world *w, mg_arena *a, mg_column *c, uint32_t cells, uint32_t codes, bool nullable, double step)
{
	mg_cell *cell = take(a, cells, sizeof(mg_cell));
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

static void
make_model(world *w, const mg_method *method, uint32_t n)
{
	mg_model_destroy(w->model);
	w->model = NULL;
	assert_int_equal(mg_model_create(&w->ctx, method, n, 0, &w->model), MG_OK);
	w->model->total = 1000 + mg_rng_unit(&w->rng);
}

/* All kinds of column: what tells values apart, and what does not. */
static void
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

/* ---- the map ---- */

static double
weight(const double *joint, size_t i)
{
	return joint[i] > 0 ? joint[i] : 0;
}

/* A code that is one cell takes the most likely code; ties and empty rows go by the column's own masses. */
static void
single_cells_take_the_mode(void **state)
{
	world *w = *state;

	for (int round = 0; round < 50; round++)
	{
		uint32_t determinant = (uint32_t) (round & 1);
		mg_dependency d = {.column = 1 - determinant, .ndeterminants = 1, .determinants = &determinant};
		mg_column *c;
		double *joint;

		make_model(w, &even, 2);
		c = w->model->columns;
		make_category(w, w->a, &c[determinant], 6, 7, true, false); /* six labels and `other`: a code each */
		make_category(w, w->a, &c[1 - determinant], 5, 6, true, false);
		joint = take(w->a, (size_t) c[0].ncoarse * c[1].ncoarse, sizeof(double));
		for (size_t i = 0; i < (size_t) c[0].ncoarse * c[1].ncoarse; i++)
			joint[i] = (double) below(w, 4) - 1;
		assert_int_equal(mg_dependency_learn(&w->ctx, w->a, c, 2, joint, &d), MG_OK);
		assert_int_equal(d.used, 1);
		assert_int_equal(d.ncells, c[determinant].nfine);
		for (uint32_t f = 0; f < d.ncells; f++)
		{
			const mg_column *col = &c[d.column];
			uint32_t b = c[determinant].merge[f], best = 0;
			double most = -1, sum = 0;

			for (uint32_t x = 0; x < col->ncoarse; x++)
			{
				double v = weight(joint, determinant == 0 ? b * col->ncoarse + x : x * c[determinant].ncoarse + b);

				sum += v;
				if (v > most || (v == most && col->coarse[x] > col->coarse[best]))
				{
					most = v;
					best = x;
				}
			}
			assert_int_equal(col->merge[d.code[f]], best);
			assert_true(sum >= 0);
		}
	}
}

/* Of the cells of one code, each code of the column gets its mass, to the weight of one cell. */
static void
merged_labels_share_out_the_codes(void **state)
{
	world *w = *state;
	uint32_t determinant = 0;
	mg_dependency d = {.column = 1, .ndeterminants = 1, .determinants = &determinant};
	mg_column *c;
	double *joint;

	make_model(w, &even, 2);
	c = w->model->columns;
	make_category(w, w->a, &c[0], 600, 3, false, false);
	make_category(w, w->a, &c[1], 8, 9, false, false);
	joint = take(w->a, 3 * 9, sizeof(double));
	for (int i = 0; i < 3 * 9; i++)
		joint[i] = mg_rng_unit(&w->rng);
	assert_int_equal(mg_dependency_learn(&w->ctx, w->a, c, 2, joint, &d), MG_OK);
	for (uint32_t b = 0; b < 3; b++)
	{
		double got[9] = {0}, mass = 0, want = 0, heaviest = 0;

		for (uint32_t f = 0; f < c[0].nfine; f++)
			if (c[0].merge[f] == b)
			{
				got[c[1].merge[d.code[f]]] += c[0].fine[f];
				mass += c[0].fine[f];
				heaviest = fmax(heaviest, c[0].fine[f]);
			}
		for (int x = 0; x < 9; x++)
			want += joint[b * 9 + x];
		for (int x = 0; x < 9; x++)
			assert_true(fabs(got[x] - mass * joint[b * 9 + x] / want) <= heaviest);
	}
}

/* Two labels in one code, two codes of the column with their masses: each finds its own, which the mode would not. */
static void
a_matching_is_found_by_mass(void **state)
{
	static const double fine[] = {30, 70, 100, 0, 0}, coarse[] = {30, 70, 100};
	static const uint16_t merge[] = {0, 0, 1, 0, 0};
	static const double joint[] = {29, 71, 1, 2, 0, 99};
	world *w = *state;
	uint32_t determinant = 0;
	mg_dependency d = {.column = 1, .ndeterminants = 1, .determinants = &determinant};
	mg_column *c;

	make_model(w, &even, 2);
	c = w->model->columns;
	make_category(w, w->a, &c[0], 3, 2, false, false);
	make_category(w, w->a, &c[1], 2, 3, false, false);
	c[0].fine = fine;
	c[0].merge = merge;
	c[1].coarse = coarse;
	assert_int_equal(mg_dependency_learn(&w->ctx, w->a, c, 2, joint, &d), MG_OK);
	assert_int_equal(d.code[0], 0);
	assert_int_equal(d.code[1], 1);
	assert_int_equal(d.code[2], 2);
}

/* A code that holds several cells of the column, too: cells of one weight find each other; numbers keep their order. */
static void
cells_of_a_code_are_matched(void **state)
{
	static const double fine[] = {25, 75, 40, 60, 0, 0}, coarse[] = {200};
	static const double other[] = {76, 59, 24, 41, 0, 0};
	static const uint16_t merge[] = {0, 0, 0, 0, 0, 0};
	static const double joint[] = {200};
	world *w = *state;
	uint32_t determinant = 0;
	mg_dependency d = {.column = 1, .ndeterminants = 1, .determinants = &determinant};
	double slope[2][8 * 8] = {{0}};
	mg_column *c;
	double *even_mass;

	make_model(w, &even, 2);
	c = w->model->columns;
	make_category(w, w->a, &c[0], 4, 1, false, false);
	make_category(w, w->a, &c[1], 4, 1, false, false);
	c[0].fine = fine;
	c[1].fine = other;
	c[0].merge = c[1].merge = merge;
	c[0].coarse = c[1].coarse = coarse;
	assert_int_equal(mg_dependency_learn(&w->ctx, w->a, c, 2, joint, &d), MG_OK);
	assert_true(d.code[0] == 2 && d.code[1] == 0 && d.code[2] == 3 && d.code[3] == 1);

	/* forty cells in eight bins each, the one rising with the other, or falling */
	make_number(w, w->a, &c[0], 40, 8, false, 1);
	make_number(w, w->a, &c[1], 40, 8, false, 1);
	even_mass = take(w->a, 41, sizeof(double));
	for (uint32_t f = 0; f < 40; f++)
		even_mass[f] = 1;
	c[0].fine = c[1].fine = even_mass;
	for (int b = 0; b < 8; b++)
		slope[0][b * 8 + b] = slope[1][b * 8 + 7 - b] = 5;
	for (int down = 0; down < 2; down++)
	{
		assert_int_equal(mg_dependency_learn(&w->ctx, w->a, c, 2, slope[down], &d), MG_OK);
		for (uint32_t f = 0; f < 40; f++)
			assert_int_equal(d.code[f], down ? 39 - f : f);
	}
}

/* Bands of a number, cut where no bin is cut: the bins' cells go to the band on their own side. */
static void
bands_of_a_number_are_found_in_order(void **state)
{
	world *w = *state;
	uint32_t determinant = 1;
	mg_dependency d = {.column = 0, .ndeterminants = 1, .determinants = &determinant};
	double joint[4 * 9] = {0};
	mg_column *c;
	double *fine;

	make_model(w, &even, 2);
	c = w->model->columns;
	make_category(w, w->a, &c[0], 3, 4, false, false);
	make_number(w, w->a, &c[1], 80, 8, true, 1); /* bins of ten cells, and NULL */
	fine = take(w->a, 81, sizeof(double));
	for (uint32_t f = 0; f < 81; f++)
		fine[f] = 1;
	c[1].fine = fine;
	/* bands of the cells 0..24, 25..51, 52..79, called 2, 0, 1; NULL is a band of its own, 3 */
	for (uint32_t f = 0; f < 81; f++)
		joint[(f < 25 ? 2 : f < 52 ? 0 : f < 80 ? 1 : 3) * 9 + c[1].merge[f]]++;
	assert_int_equal(mg_dependency_learn(&w->ctx, w->a, c, 2, joint, &d), MG_OK);
	for (uint32_t f = 0; f < 81; f++)
		assert_int_equal(d.code[f], f < 25 ? 2 : f < 52 ? 0 : f < 80 ? 1 : 3);
}

/* Against the obvious: three determinants in a declared order that is not that of the marginal. */
static void
several_take_the_mode_of_their_cell(void **state)
{
	static const uint32_t determinants[] = {3, 0, 2};
	static const uint32_t codes[] = {3, 4, 5, 2};
	world *w = *state;
	mg_dependency d = {.column = 1, .ndeterminants = 3, .determinants = determinants};
	uint32_t cols[MG_MAX_DETERMINANTS + 1], sizes[4], k;
	mg_column *c;
	double joint[3 * 4 * 5 * 2];

	make_model(w, &even, 4);
	c = w->model->columns;
	for (int i = 0; i < 4; i++)
	{
		make_category(w, w->a, &c[i], 11, codes[i], false, false);
		sizes[i] = c[i].ncoarse;
	}
	assert_int_equal(mg_dependency_set(&d, sizes, 120, cols, &k), 3);
	assert_int_equal(k, 4);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(cols[i], i);
	for (size_t i = 0; i < sizeof(joint) / sizeof(joint[0]); i++)
		joint[i] = mg_rng_unit(&w->rng);
	assert_int_equal(mg_dependency_learn(&w->ctx, w->a, c, 4, joint, &d), MG_OK);
	assert_int_equal(d.used, 3);
	assert_int_equal(d.ncells, 2 * 3 * 5);
	for (uint32_t x3 = 0; x3 < 2; x3++)
		for (uint32_t x0 = 0; x0 < 3; x0++)
			for (uint32_t x2 = 0; x2 < 5; x2++)
			{
				uint32_t best = 0;
				double most = -1;

				for (uint32_t x1 = 0; x1 < 4; x1++)
				{
					double v = joint[((x0 * 4 + x1) * 5 + x2) * 2 + x3];

					if (v > most)
					{
						most = v;
						best = x1;
					}
				}
				assert_int_equal(d.code[(x3 * 3 + x0) * 5 + x2], best);
			}
	/* one cell less than all need: the last declared one goes */
	assert_int_equal(mg_dependency_set(&d, sizes, 119, cols, &k), 2);
	assert_true(k == 3 && cols[0] == 0 && cols[1] == 1 && cols[2] == 3);
	assert_int_equal(mg_dependency_set(&d, sizes, 7, cols, &k), 0);
	assert_true(k == 1 && cols[0] == 1);
}

/* Columns too large to be told together: the column's own masses, shared out by hash. */
static void
too_large_a_joint_keeps_the_masses(void **state)
{
	world *w = *state;
	uint32_t determinant = 0, count[3000] = {0};
	mg_dependency d = {.column = 1, .ndeterminants = 1, .determinants = &determinant};
	mg_column *c;
	double *coarse;

	make_model(w, &even, 2);
	c = w->model->columns;
	make_category(w, w->a, &c[0], 2999, 3000, false, false);
	make_category(w, w->a, &c[1], 2999, 3000, false, false);
	coarse = take(w->a, 3000, sizeof(double));
	coarse[7] = 3;
	coarse[2999] = 1;
	c[1].coarse = coarse;
	assert_int_equal(mg_dependency_learn(&w->ctx, w->a, c, 2, NULL, &d), MG_OK);
	assert_int_equal(d.used, 0);
	assert_int_equal(d.ncells, MG_DEPENDENCY_SLOTS);
	for (uint32_t i = 0; i < d.ncells; i++)
		count[d.code[i]]++;
	assert_int_equal(count[7], MG_DEPENDENCY_SLOTS / 4 * 3);
	assert_int_equal(count[2999], MG_DEPENDENCY_SLOTS / 4);
}

/* ---- a model's ---- */

static const uint32_t on_0[] = {0}, on_1[] = {1}, on_2[] = {2}, on_0_2[] = {0, 2}, on_3_0[] = {3, 0}, on_6[] = {6};

/* 0, 3 and 6 are free; a chain 0 -> 1 -> 4, and 2 <- (3, 0), 5 <- 6. Declared with dependants first. */
static const mg_dependency mixed[] = {
	{.column = 4, .ndeterminants = 1, .determinants = on_1},
	{.column = 1, .ndeterminants = 1, .determinants = on_0},
	{.column = 5, .ndeterminants = 1, .determinants = on_6},
	{.column = 2, .ndeterminants = 2, .determinants = on_3_0},
};
#define NMIXED 4

static void
determinants_come_first(void **state)
{
	world *w = *state;
	bool settled[COLUMNS] = {true, false, false, true, false, false, true};

	make_mixed(w, &even);
	assert_int_equal(mg_model_depend(&w->ctx, w->model, mixed, NMIXED), MG_OK);
	assert_int_equal(w->model->ndependencies, NMIXED);
	for (uint32_t i = 0; i < NMIXED; i++)
	{
		const mg_dependency *d = &w->model->dependencies[i];

		for (uint32_t j = 0; j < d->ndeterminants; j++)
			assert_true(settled[d->determinants[j]]);
		settled[d->column] = true;
	}
}

static void
circles_and_nonsense_are_refused(void **state)
{
	static const uint32_t twice[] = {0, 0}, beyond[] = {COLUMNS};
	static const mg_dependency bad[][3] = {
		{{.column = 1, .ndeterminants = 1, .determinants = on_1}},
		{{.column = 1, .ndeterminants = 2, .determinants = twice}},
		{{.column = 1, .ndeterminants = 1, .determinants = beyond}},
		{{.column = COLUMNS, .ndeterminants = 1, .determinants = on_1}},
		{{.column = 1, .ndeterminants = 0, .determinants = on_0}},
		{{.column = 1, .ndeterminants = 1, .determinants = on_0}, {.column = 1, .ndeterminants = 1, .determinants = on_2}},
		{{.column = 0, .ndeterminants = 1, .determinants = on_1}, {.column = 1, .ndeterminants = 1, .determinants = on_0}},
		{{.column = 0, .ndeterminants = 1, .determinants = on_1},
		 {.column = 1, .ndeterminants = 1, .determinants = on_2},
		 {.column = 2, .ndeterminants = 1, .determinants = on_0}},
		{{.column = 2, .ndeterminants = 1, .determinants = on_0},
		 {.column = 0, .ndeterminants = 1, .determinants = on_1},
		 {.column = 1, .ndeterminants = 2, .determinants = on_0_2}},
	};
	static const uint32_t count[] = {1, 1, 1, 1, 1, 2, 2, 3, 3};
	world *w = *state;

	for (size_t i = 0; i < sizeof(count) / sizeof(count[0]); i++)
	{
		mg_ctx ctx;

		mg_ctx_init(&ctx);
		make_mixed(w, &even);
		assert_int_equal(mg_model_depend(&ctx, w->model, bad[i], count[i]), MG_INVALID);
		assert_int_equal(w->model->ndependencies, 0);
	}
}

/* The method's own marginal is taken where it has one; drawn rows, which know no tie here, where it has not. */
static void
marginals_are_asked_for(void **state)
{
	world *w = *state;
	mg_dependency d = {.column = 1, .ndeterminants = 1, .determinants = on_0};
	mg_column *c;

	make_model(w, &tied, 2);
	c = w->model->columns;
	make_category(w, w->model->arena, &c[0], 4, 5, false, false);
	make_category(w, w->model->arena, &c[1], 2, 3, false, false);
	assert_int_equal(mg_model_depend(&w->ctx, w->model, &d, 1), MG_OK);
	for (uint32_t b = 0; b < 5; b++)
		assert_int_equal(c[1].merge[w->model->dependencies[0].code[b]], (b + 1) % 3);
}

/* ---- the property ---- */

/* What a value is to the server: NULL, a text, a number; a number of a real column to single precision. */
static size_t
print_value(const mg_column *c, const mg_values *v, uint32_t i, char *out, size_t room)
{
	if (v->null[i])
		return (size_t) snprintf(out, room, "|null");
	if (c->domain.kind == MG_NUMBER)
		return (size_t) snprintf(out, room, "|%.9g", (double) (float) v->number[i]);
	return (size_t) snprintf(out, room, "|%s",
							 v->label[i] < c->domain.nlabels ? c->domain.labels[v->label[i]].text : c->domain.other);
}

typedef struct seen
{
	char key[200], value[60];
} seen;
#define SLOTS 65536

/* Remembers the pair, or holds it against what was seen; true: the key is known already. */
static bool
hold_against(seen *table, const char *key, const char *value)
{
	uint64_t h = 14695981039346656037u;

	for (const char *p = key; *p != '\0'; p++)
		h = (h ^ (uint8_t) *p) * 1099511628211u;
	for (uint32_t i = (uint32_t) (h % SLOTS);; i = (i + 1) % SLOTS)
	{
		if (table[i].key[0] == '\0')
		{
			snprintf(table[i].key, sizeof(table[i].key), "%s", key);
			snprintf(table[i].value, sizeof(table[i].value), "%s", value);
			return false;
		}
		if (strcmp(table[i].key, key) == 0)
		{
			assert_string_equal(table[i].value, value);
			return true;
		}
	}
}

/* All rows of a batch; wanted: dependants whose values may be looked at. Counts how often a key was seen again. */
static uint32_t
check_batch(const mg_model *m, const mg_batch *b, const bool *wanted, seen *table)
{
	uint32_t again = 0;

	for (uint32_t i = 0; i < m->ndependencies; i++)
	{
		const mg_dependency *d = &m->dependencies[i];

		for (uint32_t r = 0; r < b->rows && (wanted == NULL || wanted[d->column]); r++)
		{
			char key[200], value[60];
			size_t len = (size_t) snprintf(key, sizeof(key), "%u", d->column);

			for (uint32_t j = 0; j < d->ndeterminants; j++)
				len += print_value(&m->columns[d->determinants[j]], &b->column[d->determinants[j]], r, key + len,
								   sizeof(key) - len);
			print_value(&m->columns[d->column], &b->column[d->column], r, value, sizeof(value));
			again += hold_against(table, key, value);
		}
	}
	return again;
}

static void
equal_determinants_equal_dependants(void **state)
{
	world *w = *state;

	for (int model = 0; model < 6; model++)
	{
		seen *table = calloc(SLOTS, sizeof(seen));
		uint32_t again = 0;

		assert_non_null(table);
		make_mixed(w, &even);
		assert_int_equal(mg_model_depend(&w->ctx, w->model, mixed, NMIXED), MG_OK);
		for (int s = 0; s < 4; s++)
		{
			static const uint32_t rows[] = {700, 1, 333, 50};
			bool want[COLUMNS] = {false, s != 2, true, false, s != 1, s == 3, false};
			uint8_t key[32];
			mg_stream *stream;
			const mg_batch *b;

			for (int i = 0; i < 32; i++)
				key[i] = (uint8_t) below(w, 256);
			assert_int_equal(mg_stream_create(&w->ctx, w->model, key, &stream), MG_OK);
			if (s > 0)
				mg_stream_want(stream, want);
			for (int i = 0; i < 4; i++)
			{
				assert_int_equal(mg_stream_next(&w->ctx, stream, rows[i], &b), MG_OK);
				again += check_batch(w->model, b, s > 0 ? want : NULL, table);
			}
			mg_stream_destroy(stream);
		}
		assert_true(again > 4000); /* of about 12,000: the property was put to the test */
		free(table);
	}
}

/* What a real column stores alike is one value: a tenth, and the single-precision number next to it, are in two codes. */
static void
numbers_that_round_alike_are_one(void **state)
{
	static const mg_cell cell[] = {{0.1, 0.1}, {(double) 0.1f, (double) 0.1f}, {3, 3}, {3, 6}};
	static const double fine[] = {1, 1, 1, 1, 0}, coarse[] = {1, 1, 1, 1};
	static const uint16_t merge[] = {0, 1, 2, 3, 0};
	static const uint8_t key[32] = {1};
	world *w = *state;
	mg_dependency d = {.column = 1, .ndeterminants = 1, .determinants = on_0};
	uint32_t label[2] = {99, 99}, count[2] = {0};
	double joint[4 * 4] = {0};
	mg_stream *s;
	const mg_batch *b;
	mg_column *c;

	make_model(w, &even, 2);
	c = w->model->columns;
	c[0] = (mg_column){.domain = {.name = "x", .kind = MG_NUMBER, .lower = 0, .upper = 6},
					   .nfine = 5,
					   .cells = cell,
					   .fine = fine,
					   .merge = merge,
					   .ncoarse = 4,
					   .coarse = coarse,
					   .coarse_var = coarse};
	make_category(w, w->model->arena, &c[1], 3, 4, false, false);
	assert_int_equal(mg_model_depend(&w->ctx, w->model, &d, 1), MG_OK);
	for (uint32_t i = 0; i < 4; i++)
		joint[i * 4 + i % 3] = 1;
	assert_int_equal(mg_dependency_learn(&w->ctx, w->model->arena, c, 2, joint, &d), MG_OK);
	d.determinants = w->model->dependencies[0].determinants;
	w->model->dependencies = &d;
	assert_int_equal(mg_stream_create(&w->ctx, w->model, key, &s), MG_OK);
	assert_int_equal(mg_stream_next(&w->ctx, s, 1000, &b), MG_OK);
	for (uint32_t r = 0; r < b->rows; r++)
	{
		double x = b->column[0].number[r];
		int which = x == 0.1 ? 0 : 1;

		if (x == 3) /* the single value's cell, not that of the interval that begins there */
			assert_int_equal(b->column[1].label[r], 2);
		if (x > 1)
			continue;
		count[which]++;
		assert_true(label[0] == 99 || b->column[1].label[r] == label[0]);
		label[0] = b->column[1].label[r];
	}
	assert_true(count[0] > 100 && count[1] > 100);
	mg_stream_destroy(s);
}

/* A dependent column is the same whether what it depends on is wanted or not. */
static void
what_is_wanted_changes_nothing(void **state)
{
	static const uint8_t key[32] = {77};
	static const bool want[COLUMNS] = {false, false, true, false, true, true, false};
	world *w = *state;
	mg_stream *all, *some;
	const mg_batch *a, *b;

	make_mixed(w, &even);
	assert_int_equal(mg_model_depend(&w->ctx, w->model, mixed, NMIXED), MG_OK);
	assert_int_equal(mg_stream_create(&w->ctx, w->model, key, &all), MG_OK);
	assert_int_equal(mg_stream_create(&w->ctx, w->model, key, &some), MG_OK);
	mg_stream_want(some, want);
	assert_int_equal(mg_stream_next(&w->ctx, all, 2000, &a), MG_OK);
	assert_int_equal(mg_stream_next(&w->ctx, some, 2000, &b), MG_OK);
	for (uint32_t c = 0; c < COLUMNS; c++)
		for (uint32_t r = 0; r < 2000 && want[c]; r++)
		{
			char x[60], y[60];

			print_value(&w->model->columns[c], &a->column[c], r, x, sizeof(x));
			print_value(&w->model->columns[c], &b->column[c], r, y, sizeof(y));
			assert_string_equal(x, y);
		}
	mg_stream_destroy(all);
	mg_stream_destroy(some);
}

/* What is not wanted and not needed changes nothing; values of free columns are those of a model without dependence. */
static void
free_columns_stay_as_they_are(void **state)
{
	static const uint8_t key[32] = {5};
	world *w = *state;
	mg_stream *with, *without;
	const mg_batch *a, *b;

	make_mixed(w, &even);
	assert_int_equal(mg_stream_create(&w->ctx, w->model, key, &without), MG_OK);
	assert_int_equal(mg_model_depend(&w->ctx, w->model, mixed, NMIXED), MG_OK);
	assert_int_equal(mg_stream_create(&w->ctx, w->model, key, &with), MG_OK);
	for (int i = 0; i < 3; i++)
	{
		assert_int_equal(mg_stream_next(&w->ctx, with, 500, &a), MG_OK);
		assert_int_equal(mg_stream_next(&w->ctx, without, 500, &b), MG_OK);
		for (uint32_t c = 0; c < COLUMNS; c += 3)
			for (uint32_t r = 0; r < 500; r++)
			{
				assert_int_equal(a->column[c].null[r], b->column[c].null[r]);
				if (a->column[c].null[r])
					continue;
				if (w->model->columns[c].domain.kind == MG_NUMBER)
					assert_true(a->column[c].number[r] == b->column[c].number[r]);
				else
					assert_int_equal(a->column[c].label[r], b->column[c].label[r]);
			}
	}
	mg_stream_destroy(with);
	mg_stream_destroy(without);
}

/* Emitted values belong to the code that the map names, in its domain. */
static void
values_are_of_the_code_that_is_looked_up(void **state)
{
	static const uint8_t key[32] = {9};
	world *w = *state;
	mg_stream *s;
	const mg_batch *b;
	const mg_dependency *d;

	make_mixed(w, &even);
	assert_int_equal(mg_model_depend(&w->ctx, w->model, &mixed[1], 1), MG_OK); /* 1 is a function of 0 */
	d = w->model->dependencies;
	assert_int_equal(mg_stream_create(&w->ctx, w->model, key, &s), MG_OK);
	assert_int_equal(mg_stream_next(&w->ctx, s, 4000, &b), MG_OK);
	for (uint32_t r = 0; r < b->rows; r++)
	{
		const mg_column *det = &w->model->columns[0], *col = &w->model->columns[1];
		uint32_t label = b->column[0].label[r];
		uint32_t fine = b->column[0].null[r] ? det->nfine - 1 : label < det->domain.nlabels ? label : 20;

		assert_false(b->column[1].null[r]);
		assert_true(b->column[1].label[r] < col->domain.nlabels);
		assert_int_equal(col->merge[b->column[1].label[r]], col->merge[d->code[fine]]);
		if (d->code[fine] < col->domain.nlabels)
			assert_int_equal(b->column[1].label[r], d->code[fine]);
	}
	mg_stream_destroy(s);
}

/* ---- bytes ---- */

static void
write_model(world *w, mg_writer *out)
{
	mg_writer_init(out);
	assert_int_equal(mg_model_write(&w->ctx, w->model, out), MG_OK);
}

static void
models_keep_their_functions(void **state)
{
	static const uint8_t key[32] = {3};
	world *w = *state;
	mg_model *again = NULL;
	mg_stream *s;
	const mg_batch *b;
	mg_writer first, second;
	seen *table = calloc(SLOTS, sizeof(seen));

	assert_non_null(table);
	make_mixed(w, &even);
	assert_int_equal(mg_model_depend(&w->ctx, w->model, mixed, NMIXED), MG_OK);
	write_model(w, &first);
	assert_int_equal(mg_model_read(&w->ctx, methods, first.data, first.len, &again), MG_OK);
	mg_writer_init(&second);
	assert_int_equal(mg_model_write(&w->ctx, again, &second), MG_OK);
	assert_int_equal(first.len, second.len);
	assert_memory_equal(first.data, second.data, first.len);
	/* one table for both: what the one emits holds for the other */
	for (int i = 0; i < 2; i++)
	{
		assert_int_equal(mg_stream_create(&w->ctx, i == 0 ? w->model : again, key, &s), MG_OK);
		assert_int_equal(mg_stream_next(&w->ctx, s, 2000, &b), MG_OK);
		check_batch(w->model, b, NULL, table);
		mg_stream_destroy(s);
	}
	mg_writer_free(&first);
	mg_writer_free(&second);
	mg_model_destroy(again);
	free(table);
}

/* A section of the given words after a model's columns, and its checksum: is it accepted? */
static mg_code
try_section(world *w, const mg_writer *plain, size_t at, const uint32_t *word, size_t nwords, const uint16_t *code,
			size_t ncodes)
{
	mg_model *m = NULL;
	mg_writer out;
	mg_code result;
	mg_ctx ctx;

	mg_writer_init(&out);
	mg_put_raw(&out, plain->data, at);
	for (size_t i = 0; i < nwords; i++)
		mg_put_u32(&out, word[i]);
	for (size_t i = 0; i < ncodes; i++)
		mg_put_u16(&out, code[i]);
	mg_put_u64(&out, 12345); /* salt */
	mg_put_u64(&out, 0);     /* body */
	mg_put_u32(&out, mg_crc32c(out.data, out.len));
	mg_ctx_init(&ctx);
	result = mg_model_read(&ctx, methods, out.data, out.len, &m);
	mg_model_destroy(m);
	mg_writer_free(&out);
	return result;
}

static void
damaged_sections_are_refused(void **state)
{
	world *w = *state;
	mg_writer plain;
	size_t at;
	uint16_t code[8] = {0, 1, 2, 0, 1, 2, 1, 0};
	mg_column *c;

	make_model(w, &even, 3);
	c = w->model->columns;
	make_category(w, w->model->arena, &c[0], 4, 5, true, false); /* 6 fine cells, 6 codes */
	make_category(w, w->model->arena, &c[1], 2, 3, false, false);
	make_category(w, w->model->arena, &c[2], 2, 2, false, false);
	write_model(w, &plain);
	at = plain.len - 4 - 8 - 8 - 4; /* checksum, length of the body, salt, count */

#define SECTION(ncodes, ...) \
	try_section(w, &plain, at, (const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / 4, code, ncodes)
	assert_int_equal(SECTION(6, 1, 1, 1, 0, 1, 6), MG_OK);
	assert_int_equal(SECTION(6, 1, 3, 1, 0, 1, 6), MG_CORRUPT); /* no such column */
	assert_int_equal(SECTION(6, 1, 1, 1, 3, 1, 6), MG_CORRUPT);
	assert_int_equal(SECTION(6, 1, 1, 1, 1, 1, 6), MG_CORRUPT); /* itself */
	assert_int_equal(SECTION(6, 1, 1, 1, 0, 2, 6), MG_CORRUPT); /* uses more than it has */
	assert_int_equal(SECTION(5, 1, 1, 1, 0, 1, 5), MG_CORRUPT); /* cells of another column */
	code[5] = 4;
	assert_int_equal(SECTION(6, 1, 2, 1, 0, 1, 6), MG_CORRUPT); /* cell 4 of 4 */
	code[5] = 1;
	assert_int_equal(SECTION(6, 1, 2, 1, 0, 1, 6), MG_OK);
	assert_int_equal(SECTION(8, 1, 2, 2, 0, 1, 2, 18), MG_CORRUPT); /* of two: 18 codes are not there */
	assert_int_equal(SECTION(6, 1, 1, 0, 1, 6), MG_CORRUPT);    /* of nothing */
	assert_int_equal(SECTION(6, 2, 1, 1, 0, 1, 6), MG_CORRUPT); /* one of two is missing */
	assert_int_equal(SECTION(0, 4000000000u, 1, 1, 0, 1, 6), MG_CORRUPT);
	assert_int_equal(SECTION(0, 1, 1, 1, 0, 1, 4000000000u), MG_CORRUPT);
	assert_int_equal(SECTION(6, 1, 1, 2, 0, 0, 1, 6), MG_CORRUPT); /* twice */
#undef SECTION
	/* 1 <- 0 and 0 <- 1: whichever comes first, it is settled too early; and a column that is settled twice */
	for (uint32_t other = 0; other < 2; other++)
	{
		mg_model *m = NULL;
		mg_writer out;

		mg_writer_init(&out);
		mg_put_raw(&out, plain.data, at);
		mg_put_u32(&out, 2);
		for (uint32_t i = 0; i < 2; i++)
		{
			uint32_t column = i == 0 ? 1 : other, det = 1 - column;

			mg_put_u32(&out, column);
			mg_put_u32(&out, 1);
			mg_put_u32(&out, det);
			mg_put_u32(&out, 1);
			mg_put_u32(&out, c[det].nfine);
			for (uint32_t f = 0; f < c[det].nfine; f++)
				mg_put_u16(&out, 0);
		}
		mg_put_u64(&out, 1);
		mg_put_u64(&out, 0);
		mg_put_u32(&out, mg_crc32c(out.data, out.len));
		mg_ctx_init(&w->ctx);
		assert_int_equal(mg_model_read(&w->ctx, methods, out.data, out.len, &m), MG_CORRUPT);
		mg_writer_free(&out);
	}
	mg_writer_free(&plain);
}

/* A model of the format before this section has no dependent column. */
static void
older_models_are_read(void **state)
{
	world *w = *state;
	mg_model *m = NULL;
	mg_writer now, old;
	size_t at;

	make_mixed(w, &even);
	write_model(w, &now);
	at = now.len - 4 - 8 - 8 - 4;
	mg_writer_init(&old);
	mg_put_raw(&old, now.data, 8);
	mg_put_u32(&old, 1);
	mg_put_raw(&old, now.data + 12, at - 12);
	mg_put_u64(&old, 0);
	mg_put_u32(&old, mg_crc32c(old.data, old.len));
	assert_int_equal(mg_model_read(&w->ctx, methods, old.data, old.len, &m), MG_OK);
	assert_int_equal(m->ndependencies, 0);
	assert_int_equal(m->ncolumns, COLUMNS);
	mg_model_destroy(m);
	mg_writer_free(&now);
	mg_writer_free(&old);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(single_cells_take_the_mode, set_up, tear_down),
		cmocka_unit_test_setup_teardown(merged_labels_share_out_the_codes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_matching_is_found_by_mass, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cells_of_a_code_are_matched, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bands_of_a_number_are_found_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(several_take_the_mode_of_their_cell, set_up, tear_down),
		cmocka_unit_test_setup_teardown(too_large_a_joint_keeps_the_masses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(determinants_come_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(circles_and_nonsense_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(marginals_are_asked_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(equal_determinants_equal_dependants, set_up, tear_down),
		cmocka_unit_test_setup_teardown(numbers_that_round_alike_are_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_wanted_changes_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(free_columns_stay_as_they_are, set_up, tear_down),
		cmocka_unit_test_setup_teardown(values_are_of_the_code_that_is_looked_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(models_keep_their_functions, set_up, tear_down),
		cmocka_unit_test_setup_teardown(damaged_sections_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(older_models_are_read, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("dependency", tests, NULL, NULL);
}
