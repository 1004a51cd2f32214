/*
 * test/unit/test_consistent.c: measurements made to agree, against least squares over all real joint tables: conjugate
 * gradients on the whole table, which know nothing of components.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graphical/consistent.h"
#include "joint.h"
#include "world.h"

#define COLUMNS 4
#define MOST_SETS 12
#define MOST_CELLS 256 /* of the joint, so of a measurement */

typedef struct world
{
	WORLD;
	uint32_t sizes[COLUMNS];
	size_t joint; /* cells */
	uint32_t count;
	mg_measurement m[MOST_SETS];
	size_t cells[MOST_SETS];
	double *out[MOST_SETS];
} world;

static int
set_up(void **state)
{
	return make_world(state, sizeof(world), 20261122) == NULL;
}

static void
random_sizes(world *w)
{
	w->joint = 1;
	for (uint32_t i = 0; i < COLUMNS; i++)
	{
		w->sizes[i] = 2 + (uint32_t) (mg_rng_unit(&w->rng) * 3);
		w->joint *= w->sizes[i];
	}
}

/* One measurement a set (a bit each column), anything at all; variances over `range` orders of magnitude. */
static void
measure(world *w, const uint32_t *sets, uint32_t count, double range)
{
	w->count = count;
	for (uint32_t i = 0; i < count; i++)
	{
		uint32_t *cols = mg_arena_alloc(w->a, COLUMNS, sizeof(*cols)), k = 0;
		double *y;

		w->cells[i] = 1;
		for (uint32_t c = 0; c < COLUMNS; c++)
		{
			if (sets[i] >> c & 1)
			{
				cols[k++] = c;
				w->cells[i] *= w->sizes[c];
			}
		}
		y = mg_arena_alloc(w->a, w->cells[i], sizeof(*y));
		for (size_t x = 0; x < w->cells[i]; x++)
			y[x] = 100 * (mg_rng_unit(&w->rng) - 0.3);
		w->m[i] = (mg_measurement){.k = k, .cols = cols, .y = y, .var = exp(range * (mg_rng_unit(&w->rng) - 0.5))};
	}
	assert_int_equal(mg_make_consistent(&w->ctx, w->a, w->sizes, w->m, w->count, w->out), MG_OK);
}

/* z = the marginal of `table` that measurement i is of. */
static void
marginal_of(const world *w, uint32_t i, const double *table, double *z)
{
	memset(z, 0, w->cells[i] * sizeof(*z));
	for (size_t x = 0; x < w->joint; x++)
		z[cell_under(w->sizes, COLUMNS, x, w->m[i].cols, w->m[i].k)] += table[x];
}

/* to += sum_i A_i' (z_i / v_i), where z_i is y_i, or A_i table. */
static void
pull_back(const world *w, const double *table, double *to)
{
	for (uint32_t i = 0; i < w->count; i++)
	{
		double z[MOST_CELLS];
		const double *from = z;

		if (table != NULL)
			marginal_of(w, i, table, z);
		else
			from = w->m[i].y;
		for (size_t x = 0; x < w->joint; x++)
			to[x] += from[cell_under(w->sizes, COLUMNS, x, w->m[i].cols, w->m[i].k)] / w->m[i].var;
	}
}

static double
dot(const double *a, const double *b, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

/* Hestenes, Stiefel 1952, on the normal equations; from zero it stays in their range, singular or not. */
static void
least_squares(const world *w, double *table)
{
	double r[MOST_CELLS] = {0}, p[MOST_CELLS], ap[MOST_CELLS], rr, first;
	size_t n = w->joint;

	memset(table, 0, n * sizeof(*table));
	pull_back(w, NULL, r);
	memcpy(p, r, n * sizeof(*p));
	first = rr = dot(r, r, n);
	for (int i = 0; i < 500 && rr > 1e-28 * first; i++)
	{
		double step, next;

		memset(ap, 0, sizeof(ap));
		pull_back(w, p, ap);
		step = rr / dot(p, ap, n);
		for (size_t x = 0; x < n; x++)
		{
			table[x] += step * p[x];
			r[x] -= step * ap[x];
		}
		next = dot(r, r, n);
		for (size_t x = 0; x < n; x++)
			p[x] = r[x] + next / rr * p[x];
		rr = next;
	}
	assert_true(rr <= 1e-24 * first);
}

static void
compare_with_least_squares(const world *w)
{
	double table[MOST_CELLS], z[MOST_CELLS];

	least_squares(w, table);
	for (uint32_t i = 0; i < w->count; i++)
	{
		marginal_of(w, i, table, z);
		for (size_t x = 0; x < w->cells[i]; x++)
			assert_near(w->out[i][x], z[x], 1e-8);
	}
}

/* Bits: column 0 is 1, column 3 is 8. */
static const struct
{
	uint32_t count, sets[MOST_SETS];
} family[] = {
	{3, {3, 6, 12}},           /* a chain */
	{4, {3, 6, 12, 9}},        /* a cycle */
	{4, {15, 7, 3, 1}},        /* nested */
	{4, {3, 3, 3, 6}},         /* the same columns, again */
	{4, {1, 2, 4, 8}},         /* singles */
	{2, {3, 12}},              /* disjoint */
	{6, {3, 5, 9, 6, 10, 12}}, /* all pairs */
	{10, {3, 5, 9, 6, 10, 12, 1, 2, 4, 8}},
	{4, {7, 11, 13, 14}}, /* all triples */
	{3, {0, 5, 10}},      /* the total alone, too */
	{1, {15}},
};

static void
it_is_the_least_squares_answer(void **state)
{
	world *w = *state;

	for (uint32_t i = 0; i < sizeof(family) / sizeof(*family); i++)
	{
		for (int range = 0; range < 12; range += 5)
		{
			random_sizes(w);
			measure(w, family[i].sets, family[i].count, range);
			compare_with_least_squares(w);
			mg_arena_reset(w->a);
		}
	}
}

static void
so_it_is_for_random_families(void **state)
{
	world *w = *state;

	for (int i = 0; i < 60; i++)
	{
		uint32_t sets[MOST_SETS], count = 1 + (uint32_t) (mg_rng_unit(&w->rng) * MOST_SETS);

		for (uint32_t s = 0; s < count; s++)
			sets[s] = (uint32_t) (mg_rng_unit(&w->rng) * 16);
		random_sizes(w);
		measure(w, sets, count, 6);
		compare_with_least_squares(w);
		mg_arena_reset(w->a);
	}
}

/* What two results say of the columns that they share. */
static void
compare_shared(const world *w, uint32_t i, uint32_t k)
{
	uint32_t cols[COLUMNS], shared = 0;
	double one[MOST_CELLS] = {0}, two[MOST_CELLS] = {0};
	mg_factor from[2], to;
	mg_ctx ctx = w->ctx;

	for (uint32_t c = 0; c < w->m[i].k; c++)
	{
		if (mg_columns_within(&w->m[i].cols[c], 1, w->m[k].cols, w->m[k].k))
			cols[shared++] = w->m[i].cols[c];
	}
	assert_int_equal(mg_factor_make(&ctx, w->a, cols, shared, w->sizes, &to), MG_OK);
	for (int side = 0; side < 2; side++)
	{
		uint32_t s = side == 0 ? i : k;

		assert_int_equal(mg_factor_make(&ctx, w->a, w->m[s].cols, w->m[s].k, w->sizes, &from[side]), MG_OK);
		from[side].v = w->out[s];
		to.v = side == 0 ? one : two;
		mg_factor_marginal(&from[side], &to);
	}
	for (size_t x = 0; x < to.cells; x++)
		assert_near(one[x], two[x], 1e-9);
}

static void
results_agree(void **state)
{
	world *w = *state;

	for (uint32_t f = 0; f < sizeof(family) / sizeof(*family); f++)
	{
		double total;

		random_sizes(w);
		measure(w, family[f].sets, family[f].count, 6);
		total = mg_estimate_total(w->sizes, w->m, w->count);
		assert_true(total > 1); /* no floor was hit */
		for (uint32_t i = 0; i < w->count; i++)
		{
			double sum = 0;

			for (size_t x = 0; x < w->cells[i]; x++)
				sum += w->out[i][x];
			assert_near(sum, total, 1e-9 * (1 + fabs(total)));
			for (uint32_t k = 0; k < i; k++)
				compare_shared(w, i, k);
		}
	}
}

/* Twice is once; and y of a real table, without noise, stays. */
static void
agreement_stays(void **state)
{
	world *w = *state;

	for (uint32_t f = 0; f < sizeof(family) / sizeof(*family); f++)
	{
		double *first[MOST_SETS];

		random_sizes(w);
		measure(w, family[f].sets, family[f].count, 6);
		memcpy(first, w->out, sizeof(first));
		for (uint32_t i = 0; i < w->count; i++)
		{
			w->m[i].y = first[i];
			w->m[i].var *= 1 + i; /* no matter who is believed */
		}
		assert_int_equal(mg_make_consistent(&w->ctx, w->a, w->sizes, w->m, w->count, w->out), MG_OK);
		for (uint32_t i = 0; i < w->count; i++)
			for (size_t x = 0; x < w->cells[i]; x++)
				assert_near(w->out[i][x], first[i][x], 1e-9);
	}
}

/* Where nothing but the total is shared, nothing but the total is changed: all cells by the same. */
static void
what_shares_no_column_keeps_its_shape(void **state)
{
	static const uint32_t sets[] = {3, 4, 8};
	world *w = *state;
	double total;

	random_sizes(w);
	measure(w, sets, 3, 4);
	total = mg_estimate_total(w->sizes, w->m, 3);
	for (uint32_t i = 0; i < 3; i++)
	{
		double sum = 0;

		for (size_t x = 0; x < w->cells[i]; x++)
			sum += w->m[i].y[x];
		for (size_t x = 0; x < w->cells[i]; x++)
			assert_near(w->out[i][x], w->m[i].y[x] + (total - sum) / (double) w->cells[i], 1e-9);
	}
	measure(w, sets, 1, 4);
	for (size_t x = 0; x < w->cells[0]; x++)
		assert_near(w->out[0][x], w->m[0].y[x], 1e-9);
}

/*
 * What the header says of estimation: the squared errors with the old y and with the new differ by the same constant
 * for the marginals of any two tables.
 */
static void
the_objective_moves_by_a_constant(void **state)
{
	world *w = *state;
	double constant = 0;

	random_sizes(w);
	measure(w, family[7].sets, family[7].count, 6);
	for (int t = 0; t < 5; t++)
	{
		double table[MOST_CELLS], z[MOST_CELLS], differ = 0;

		for (size_t x = 0; x < w->joint; x++)
			table[x] = 20 * mg_rng_unit(&w->rng) - 5;
		for (uint32_t i = 0; i < w->count; i++)
		{
			marginal_of(w, i, table, z);
			for (size_t x = 0; x < w->cells[i]; x++)
			{
				double old = z[x] - w->m[i].y[x], new = z[x] - w->out[i][x];

				differ += (old * old - new *new) / w->m[i].var;
			}
		}
		constant = t == 0 ? differ : constant;
		assert_near(differ, constant, 1e-8 * fabs(constant));
	}
	assert_true(constant > 1);
}

static void
refusals(void **state)
{
	static const double y[4] = {1, 2, 3, 4}, vars[] = {0, -1, NAN, INFINITY, 1e-310};
	static const uint32_t wide[17] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, back[] = {1, 0};
	uint32_t sizes[17];
	world *w = *state;
	mg_measurement good = {.k = 2, .cols = wide, .y = y, .var = 1}, m[2] = {good, good};
	double *out[2];

	for (uint32_t i = 0; i < 17; i++)
		sizes[i] = i < 2 ? 2 : 1;
	assert_int_equal(mg_make_consistent(&w->ctx, w->a, sizes, m, 2, out), MG_OK);
	assert_int_equal(mg_make_consistent(&w->ctx, w->a, sizes, m, 0, out), MG_OK);
	for (uint32_t i = 0; i < sizeof(vars) / sizeof(*vars); i++)
	{
		m[1].var = vars[i];
		assert_int_equal(mg_make_consistent(&w->ctx, w->a, sizes, m, 2, out), MG_INVALID);
	}
	m[1] = good;
	m[1].cell_var = y;
	assert_int_equal(mg_make_consistent(&w->ctx, w->a, sizes, m, 2, out), MG_INVALID);
	m[1] = good;
	m[1].cols = back;
	assert_int_equal(mg_make_consistent(&w->ctx, w->a, sizes, m, 2, out), MG_INVALID);
	m[1] = good;
	m[1].k = 16;
	assert_int_equal(mg_make_consistent(&w->ctx, w->a, sizes, m, 2, out), MG_OK);
	m[1].k = 17;
	assert_int_equal(mg_make_consistent(&w->ctx, w->a, sizes, m, 2, out), MG_INVALID);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_is_the_least_squares_answer, set_up, free_world),
		cmocka_unit_test_setup_teardown(so_it_is_for_random_families, set_up, free_world),
		cmocka_unit_test_setup_teardown(results_agree, set_up, free_world),
		cmocka_unit_test_setup_teardown(agreement_stays, set_up, free_world),
		cmocka_unit_test_setup_teardown(what_shares_no_column_keeps_its_shape, set_up, free_world),
		cmocka_unit_test_setup_teardown(the_objective_moves_by_a_constant, set_up, free_world),
		cmocka_unit_test_setup_teardown(refusals, set_up, free_world),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
