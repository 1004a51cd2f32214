/*
 * test/unit/test_dependency.c: columns that are functions of others: the map from a marginal, against counting by hand.
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

#include "graphical/body.h"
#include "toy_model.h"

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
		joint = toy_take(w->a, (size_t) c[0].ncoarse * c[1].ncoarse, sizeof(double));
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
	joint = toy_take(w->a, 3 * 9, sizeof(double));
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

/* Public facts about a label count before what is learnt of it, and are not kept longer than the call. */
static void
public_facts_come_first(void **state)
{
	static const uint16_t known[] = {3, UINT16_MAX, 0, UINT16_MAX, 2};
	static const double joint[25] = {0};
	world *w = *state;
	uint32_t determinant = 0;
	mg_dependency learnt = {.column = 1, .ndeterminants = 1, .determinants = &determinant}, told = learnt;
	mg_column *c;

	make_model(w, &even, 2);
	c = w->model->columns;
	make_category(w, w->model->arena, &c[0], 5, 5, false, false);
	make_category(w, w->model->arena, &c[1], 4, 5, false, false);
	told.known = known;
	assert_int_equal(mg_dependency_learn(&w->ctx, w->a, c, 2, joint, &learnt), MG_OK);
	assert_int_equal(mg_dependency_learn(&w->ctx, w->a, c, 2, joint, &told), MG_OK);
	assert_int_equal(told.ncells, 7);
	for (uint32_t f = 0; f < 7; f++)
		assert_int_equal(told.code[f], f < 5 && known[f] != UINT16_MAX ? known[f] : learnt.code[f]);
	assert_int_equal(mg_model_depend(&w->ctx, w->model, &told, 1), MG_OK);
	assert_null(w->model->dependencies[0].known);
	assert_int_equal(w->model->dependencies[0].code[0], 3);
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
	even_mass = toy_take(w->a, 41, sizeof(double));
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
	fine = toy_take(w->a, 81, sizeof(double));
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
	coarse = toy_take(w->a, 3000, sizeof(double));
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

static const uint32_t on_0[] = {0}, on_1[] = {1}, on_2[] = {2}, on_0_2[] = {0, 2};

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
		{{.column = 1, .ndeterminants = 1, .determinants = on_0},
		 {.column = 1, .ndeterminants = 1, .determinants = on_2}},
		{{.column = 0, .ndeterminants = 1, .determinants = on_1},
		 {.column = 1, .ndeterminants = 1, .determinants = on_0}},
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

	make_model(w, &toy_tied, 2);
	c = w->model->columns;
	make_category(w, w->model->arena, &c[0], 4, 5, false, false);
	make_category(w, w->model->arena, &c[1], 2, 3, false, false);
	assert_int_equal(mg_model_depend(&w->ctx, w->model, &d, 1), MG_OK);
	for (uint32_t b = 0; b < 5; b++)
		assert_int_equal(c[1].merge[w->model->dependencies[0].code[b]], (b + 1) % 3);
}

/* What a graphical model tells of columns within a clique, against adding its cells up, and across cliques. */
static void
graphical_models_tell_their_marginals(void **state)
{
	static const uint32_t sizes[] = {3, 4, 2, 5}, first[] = {0, 1, 3}, second[] = {2, 3};
	static const mg_column_set sets[] = {{.k = 3, .cols = first}, {.k = 2, .cols = second}};
	static const uint32_t within[][3] = {{0, 1, 3}, {0, 3, 0}, {1, 3, 0}, {0, 1, 0}, {3, 0, 0}, {2, 3, 0}};
	static const uint32_t count[] = {3, 2, 2, 2, 1, 2}, across[] = {0, 2};
	world *w = *state;
	mg_column column[4] = {{.ncoarse = 3}, {.ncoarse = 4}, {.ncoarse = 2}, {.ncoarse = 5}};
	mg_graphical g = {0};
	mg_model m = {.ncolumns = 4, .columns = column, .body = &g};
	double out[60];
	bool answered;

	assert_int_equal(mg_junction_build(&w->ctx, w->a, sizes, 4, sets, 2, &g.tree), MG_OK);
	assert_int_equal(mg_junction_factors(&w->ctx, w->a, &g.tree, &g.marginal), MG_OK);
	/* whole numbers, so that sums are exact; both cliques are even along the column that they share */
	for (uint32_t c = 0; c < 2; c++)
		for (size_t i = 0; i < g.marginal[c].cells; i++)
			g.marginal[c].v[i] = g.marginal[c].k == 3 ? (double) (i / 5) : 66;
	for (size_t q = 0; q < sizeof(count) / sizeof(count[0]); q++)
	{
		double want[60] = {0};
		size_t cells = 1;

		memset(out, 0, sizeof(out));
		assert_int_equal(mg_graphical_marginal(&w->ctx, &m, within[q], count[q], out, &answered), MG_OK);
		if (within[q][0] == 2)
			for (int i = 0; i < 10; i++)
				want[i] = 66;
		else if (within[q][0] == 3)
		{
			/* either clique may answer: they agree on it up to their totals */
			assert_true(answered);
			for (int i = 1; i < 5; i++)
				assert_true(out[i] == out[0] && out[0] > 0);
			continue;
		}
		else
			for (uint32_t x0 = 0; x0 < 3; x0++)
				for (uint32_t x1 = 0; x1 < 4; x1++)
					for (uint32_t x3 = 0; x3 < 5; x3++)
					{
						uint32_t x[] = {x0, x1, 0, x3};
						size_t at = 0;

						for (uint32_t i = 0; i < count[q]; i++)
							at = at * sizes[within[q][i]] + x[within[q][i]];
						want[at] += x0 * 4 + x1;
					}
		for (uint32_t i = 0; i < count[q]; i++)
			cells *= sizes[within[q][i]];
		assert_true(answered);
		for (size_t i = 0; i < cells; i++)
			assert_true(out[i] == want[i]);
	}
	/* across cliques too: of these two, whose separator is one column that is even in both, the product */
	assert_int_equal(mg_graphical_marginal(&w->ctx, &m, across, 2, out, &answered), MG_OK);
	assert_true(answered);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(single_cells_take_the_mode, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(merged_labels_share_out_the_codes, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(public_facts_come_first, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(a_matching_is_found_by_mass, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(cells_of_a_code_are_matched, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(bands_of_a_number_are_found_in_order, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(several_take_the_mode_of_their_cell, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(too_large_a_joint_keeps_the_masses, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(determinants_come_first, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(circles_and_nonsense_are_refused, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(marginals_are_asked_for, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(graphical_models_tell_their_marginals, toy_set_up, toy_tear_down),
	};

	return cmocka_run_group_tests_name("dependency", tests, NULL, NULL);
}
