/*
 * test/unit/test_learn.c: the growing model (graphical/learn.h) and the estimator behind it where cells are impossible,
 * against the joint distribution in full: the optimum of F (estimate.h) by mirror descent over all cells of the joint,
 * which shares nothing with the dual method under test.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graphical/fit.h"
#include "graphical/learn.h"
#include "graphical/marginals.h"
#include "world.h"

#define COLUMNS 4
#define JOINT (3 * 2 * 4 * 2)
#define MOST_MEASURED 12
static const uint32_t sizes[COLUMNS] = {3, 2, 4, 2};
static const mg_learn_options exact = {.tolerance = 1e-13, .iterations = 20000, .steps = 1};

typedef struct world
{
	WORLD;
	mg_model *m;
	mg_learner *l;
	bool possible[JOINT];
	/* what was added, for the oracle */
	mg_measurement known[MOST_MEASURED];
	uint32_t count;
} world;

static int
set_up(void **state)
{
	world *w = make_world(state, sizeof(*w), 5);

	if (w == NULL)
		return 1;
	memset(w->possible, 1, sizeof(w->possible));
	return 0;
}

static int
tear_down(void **state)
{
	world *w = *state;

	mg_learner_destroy(w->l);
	mg_model_destroy(w->m);
	return free_world(state);
}

/* ---- the joint in full ---- */

static void
codes_of(size_t x, uint32_t *code)
{
	for (uint32_t i = COLUMNS; i-- > 0; x /= sizes[i])
		code[i] = (uint32_t) (x % sizes[i]);
}

static size_t
cell_of(size_t x, const uint32_t *cols, uint32_t k)
{
	uint32_t code[COLUMNS];
	size_t cell = 0;

	codes_of(x, code);
	for (uint32_t i = 0; i < k; i++)
		cell = cell * sizes[cols[i]] + code[cols[i]];
	return cell;
}

static size_t
cells_of(const uint32_t *cols, uint32_t k)
{
	size_t cells = 1;

	for (uint32_t i = 0; i < k; i++)
		cells *= sizes[cols[i]];
	return cells;
}

static double
variance(const mg_measurement *m, size_t x)
{
	return m->cell_var != NULL ? m->cell_var[x] : m->var;
}

/* F's squared part at N p, and its gradient in p (added). */
static double
squared_error(const mg_measurement *m, uint32_t count, double total, const double *p, double *grad)
{
	double sum = 0;

	for (uint32_t i = 0; i < count; i++)
	{
		double z[64] = {0};
		size_t cells = cells_of(m[i].cols, m[i].k);

		assert_true(cells <= 64);
		for (size_t x = 0; x < JOINT; x++)
			z[cell_of(x, m[i].cols, m[i].k)] += total * p[x];
		for (size_t x = 0; x < cells; x++)
			sum += (z[x] - m[i].y[x]) * (z[x] - m[i].y[x]) / (2 * variance(&m[i], x));
		for (size_t x = 0; x < JOINT; x++)
		{
			size_t c = cell_of(x, m[i].cols, m[i].k);

			grad[x] += total * (z[c] - m[i].y[c]) / variance(&m[i], c);
		}
	}
	return sum;
}

/*
 * Minimises the squared part + gamma N KL(p || p0): p0 where it is positive. Relative to the entropy the squared part
 * is smooth with N^2 sum_i 1 / min var_i (Pinsker), so that these steps never increase F (Lu, Freund, Nesterov 2018)
 * and converge linearly by the strong convexity of the second part.
 */
static double
oracle(const mg_measurement *m, uint32_t count, double total, double gamma, const double *p0, double *p)
{
	double smooth = 0, value = 0;

	for (uint32_t i = 0; i < count; i++)
	{
		double least = INFINITY;

		for (size_t x = 0; x < cells_of(m[i].cols, m[i].k); x++)
			least = fmin(least, variance(&m[i], x));
		smooth += total * total / least;
	}
	memcpy(p, p0, JOINT * sizeof(*p));
	for (uint32_t n = 0; n < 200000; n++)
	{
		double grad[JOINT] = {0}, top = -INFINITY, sum = 0, moved = 0, next[JOINT];

		value = squared_error(m, count, total, p, grad);
		for (size_t x = 0; x < JOINT; x++)
		{
			next[x] = p0[x] > 0 ? (smooth * log(p[x]) + gamma * total * log(p0[x]) - grad[x]) / (smooth + gamma * total)
								: -INFINITY;
			top = fmax(top, next[x]);
		}
		for (size_t x = 0; x < JOINT; x++)
			sum += next[x] = exp(next[x] - top);
		for (size_t x = 0; x < JOINT; x++)
		{
			moved += fabs(next[x] / sum - p[x]);
			p[x] = fmax(next[x] / sum, p0[x] > 0 ? 1e-300 : 0);
		}
		if (moved < 1e-14)
			break;
	}
	return value;
}

/* The learner's prior: the product of the columns, but for what is impossible. */
static void
prior(const world *w, double *p0)
{
	double **oneway, sum = 0;
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	assert_int_equal(mg_oneway_probabilities(&ctx, w->a, w->m, &oneway), MG_OK);
	for (size_t x = 0; x < JOINT; x++)
	{
		uint32_t code[COLUMNS];

		codes_of(x, code);
		p0[x] = w->possible[x];
		for (uint32_t i = 0; i < COLUMNS; i++)
			p0[x] *= oneway[i][code[i]];
		sum += p0[x];
	}
	for (size_t x = 0; x < JOINT; x++)
		p0[x] /= sum;
}

/* ---- a learner over made-up columns ---- */

static double
noise(world *w, double spread)
{
	return spread * (mg_rng_unit(&w->rng) + mg_rng_unit(&w->rng) + mg_rng_unit(&w->rng) - 1.5);
}

static void
make_columns(world *w, double total)
{
	static const uint32_t index[COLUMNS] = {0, 1, 2, 3};

	mg_model_destroy(w->m);
	assert_int_equal(mg_model_create(&w->ctx, NULL, COLUMNS, 0, &w->m), MG_OK);
	w->count = 0;
	for (uint32_t i = 0; i < COLUMNS; i++)
	{
		mg_column *c = &w->m->columns[i];
		double *y = mg_arena_alloc(w->m->arena, sizes[i], sizeof(double));
		double *var = mg_arena_alloc(w->m->arena, sizes[i], sizeof(double));

		for (uint32_t x = 0; x < sizes[i]; x++)
		{
			y[x] = fmax(total * (x + 1) * 2 / (sizes[i] * (sizes[i] + 1)) + noise(w, 8), 0);
			var[x] = 10 + 20 * mg_rng_unit(&w->rng);
		}
		c->ncoarse = sizes[i];
		c->coarse = y;
		c->coarse_var = var;
		c->total = total;
		w->known[w->count] = (mg_measurement){.k = 1, .cols = &index[i], .y = y};
		for (uint32_t x = 0; x < sizes[i]; x++)
			w->known[w->count].var += var[x] / sizes[i];
		w->count++;
	}
}

static void
make_learner(world *w, double gamma, const mg_zero_set *zeros, uint32_t nzeros)
{
	mg_learner_destroy(w->l);
	assert_int_equal(mg_learner_create(&w->ctx, w->a, w->m, gamma, zeros, nzeros, &w->l), MG_OK);
}

static const uint32_t *
columns_of(world *w, uint32_t bits, uint32_t *k)
{
	uint32_t *cols = mg_arena_alloc(w->a, COLUMNS, sizeof(*cols));

	*k = 0;
	for (uint32_t i = 0; i < COLUMNS; i++)
		if (bits & 1u << i)
			cols[(*k)++] = i;
	return cols;
}

/* A measurement of the columns of `bits`, with much noise; to the learner unless it is NULL, and to the oracle. */
static const int64_t *
measure(world *w, mg_learner *l, uint32_t bits, double total, double var)
{
	uint32_t k;
	const uint32_t *cols = columns_of(w, bits, &k);
	size_t cells = cells_of(cols, k);
	int64_t *y = mg_arena_alloc(w->a, cells, sizeof(*y));
	double *copy = mg_arena_alloc(w->a, cells, sizeof(*copy));

	for (size_t x = 0; x < cells; x++)
	{
		y[x] = (int64_t) rint((x % 3 == 0 ? 1.8 : 0.6) * total / (double) cells + noise(w, 4 * sqrt(var)));
		copy[x] = (double) y[x];
	}
	assert_true(w->count < MOST_MEASURED);
	w->known[w->count++] = (mg_measurement){.k = k, .cols = cols, .y = copy, .var = var};
	if (l != NULL)
		assert_int_equal(mg_learner_add(&w->ctx, l, cols, k, y, var), MG_OK);
	return y;
}

/* The model over all columns: what it says of every cell of the joint. */
static void
joint_of(world *w, const mg_learner *l, double *out)
{
	uint32_t k;
	const mg_column_set all = {.cols = columns_of(w, (1u << COLUMNS) - 1, &k), .k = COLUMNS};
	bool answered;

	assert_int_equal(mg_junction_marginals(&w->ctx, mg_learner_tree(l), mg_learner_marginals(l), &all, 1, 1 << 20, &out,
										   &answered),
					 MG_OK);
	assert_true(answered);
}

/* total by inverse variance of the sums, from the definition */
static double
oracle_total(const world *w)
{
	double sum = 0, weight = 0;

	for (uint32_t i = 0; i < w->count; i++)
	{
		const mg_measurement *m = &w->known[i];
		double y = 0, var = 0;

		for (size_t x = 0; x < cells_of(m->cols, m->k); x++)
		{
			y += m->y[x];
			var += variance(m, x);
		}
		sum += y / var;
		weight += 1 / var;
	}
	return sum / weight;
}

/*
 * Where measurements leave the joint undetermined the prior decides it: all of the joint has one optimum, and the model
 * must be it in every cell.
 */
static void
check_optimal(world *w, const mg_learner *l, double gamma)
{
	double p0[JOINT], p[JOINT], got[JOINT], total = oracle_total(w), far = 0;

	assert_near(mg_learner_total(l), total, 1e-9 * total);
	prior(w, p0);
	oracle(w->known, w->count, total, gamma, p0, p);
	joint_of(w, l, got);
	for (size_t x = 0; x < JOINT; x++)
	{
		if (!w->possible[x])
			assert_true(got[x] == 0);
		assert_near(got[x], total * p[x], 1e-4 * total);
		far += fabs(total * p[x] - total * p0[x]);
	}
	assert_true(far > 0.05 * total); /* it is not just the prior */
}

static void
estimates_are_the_optimum_over_the_joint(void **state)
{
	world *w = *state;

	for (uint32_t round = 0; round < 6; round++)
	{
		double total = 200, gamma = round % 2 ? 0.5 : 2;

		make_columns(w, total);
		make_learner(w, gamma, NULL, 0);
		/* a chain, a cycle (which the model closes by a larger clique), a triple, and a triple beside a pair */
		measure(w, w->l, 0x3, total, 9);
		measure(w, w->l, 0x6, total, 16);
		if (round % 3 > 0)
			measure(w, w->l, round % 3 == 1 ? 0x5 : 0xe, total, 25);
		assert_int_equal(mg_learner_fit(&w->ctx, w->l, &exact), MG_OK);
		check_optimal(w, w->l, gamma);
	}
}

/* ---- structural zeros ---- */

/* Cells of these columns that are impossible: every third. */
static mg_zero_set
zero_set(world *w, uint32_t bits, uint32_t phase)
{
	mg_zero_set z = {0};
	size_t cells;
	bool *possible;

	z.cols = columns_of(w, bits, &z.k);
	cells = cells_of(z.cols, z.k);
	possible = mg_arena_alloc(w->a, cells, sizeof(*possible));
	for (size_t x = 0; x < cells; x++)
		possible[x] = (x + phase) % 3 != 0;
	for (size_t x = 0; x < JOINT; x++)
		w->possible[x] = w->possible[x] && possible[cell_of(x, z.cols, z.k)];
	z.possible = possible;
	return z;
}

/* Measured cells may be impossible (noise says something of them); the model holds nothing there, whatever they say. */
static void
zeros_hold_nothing_and_the_rest_is_optimal(void **state)
{
	static const uint32_t sets[][2] = {{0x3, 0}, {0x5, 0}, {0x6, 0xc}, {0x7, 0}, {0x3, 0xc}, {0xd, 0x3}};
	world *w = *state;

	for (uint32_t round = 0; round < sizeof(sets) / sizeof(*sets); round++)
	{
		mg_zero_set zeros[2];
		uint32_t nzeros = 0;

		memset(w->possible, 1, sizeof(w->possible));
		for (uint32_t i = 0; i < 2; i++)
			if (sets[round][i] != 0)
			{
				zeros[nzeros] = zero_set(w, sets[round][i], round + i);
				nzeros++;
			}
		make_columns(w, 300);
		make_learner(w, 0.5, zeros, nzeros);
		assert_int_equal(mg_learner_fit(&w->ctx, w->l, &exact), MG_OK);
		measure(w, w->l, 0x3, 300, 9);
		measure(w, w->l, 0xe, 300, 16);
		assert_int_equal(mg_learner_fit(&w->ctx, w->l, &exact), MG_OK);
		check_optimal(w, w->l, 0.5);
		for (uint32_t i = 0; i < nzeros; i++)
			assert_true(mg_junction_find(mg_learner_tree(w->l), zeros[i].cols, zeros[i].k) <
						mg_learner_tree(w->l)->count);
	}
}

/* A model of nothing is refused, not made of NaN. (graphical/required.c keeps such zeros apart.) */
static void
zeros_that_leave_nothing_are_refused(void **state)
{
	world *w = *state;
	mg_zero_set zeros[2];
	bool *possible;

	zeros[0] = zero_set(w, 0x3, 0);
	zeros[1] = zero_set(w, 0x3, 0);
	possible = mg_arena_alloc(w->a, 6, sizeof(*possible));
	for (size_t x = 0; x < 6; x++)
		possible[x] = !zeros[0].possible[x];
	zeros[1].possible = possible;
	make_columns(w, 100);
	make_learner(w, 0.5, zeros, 2);
	measure(w, w->l, 0x6, 100, 9);
	assert_int_equal(mg_learner_fit(&w->ctx, w->l, &exact), MG_INVALID);
	assert_non_null(strstr(w->ctx.message, "possible"));
}

/* The dual's gradient, where the prior has impossible cells, by differences of its value. */
static void
gradient_is_the_difference_quotient_under_zeros(void **state)
{
	static const uint32_t ab[] = {0, 1}, bcd[] = {1, 2, 3}, b[] = {1};
	static const mg_column_set cliques[] = {{2, ab, 0}, {3, bcd, 0}};
	world *w = *state;
	mg_measurement m[] = {{.k = 2, .cols = ab, .var = 7},
						  {.k = 3, .cols = bcd, .var = 11},
						  {.k = 1, .cols = b, .var = 3}};
	mg_junction j;
	mg_factor *f;
	double q[24] = {0}, grad[24], value;
	uint32_t dim = 0;

	assert_int_equal(mg_junction_build(&w->ctx, w->a, sizes, COLUMNS, cliques, 2, &j), MG_OK);
	assert_int_equal(mg_junction_factors(&w->ctx, w->a, &j, &f), MG_OK);
	for (uint32_t c = 0; c < j.count; c++)
		for (size_t x = 0; x < f[c].cells; x++)
			f[c].v[x] = x % 4 == 1 ? -INFINITY : noise(w, 2);
	for (uint32_t i = 0; i < 3; i++)
	{
		double *y = mg_arena_alloc(w->a, 16, sizeof(*y));

		for (size_t x = 0; x < cells_of(m[i].cols, m[i].k); x++)
		{
			y[x] = 50 * mg_rng_unit(&w->rng);
			q[dim++] = noise(w, 1);
		}
		m[i].y = y;
	}
	assert_int_equal(dim, 24);
	for (int far = 0; far < 2; far++)
	{
		/* far: one potential outside of what linear space takes, so that the logarithms answer */
		q[3] += far * 230;
		assert_int_equal(mg_estimate_dual(&w->ctx, &j, m, 3, 100, 0.3, f, q, &value, grad), MG_OK);
		assert_true(isfinite(value));
		for (uint32_t i = 0; i < dim; i++)
		{
			double up, down, unused[24], at = q[i], h = 1e-4;

			q[i] = at + h;
			assert_int_equal(mg_estimate_dual(&w->ctx, &j, m, 3, 100, 0.3, f, q, &up, unused), MG_OK);
			q[i] = at - h;
			assert_int_equal(mg_estimate_dual(&w->ctx, &j, m, 3, 100, 0.3, f, q, &down, unused), MG_OK);
			q[i] = at;
			assert_near((up - down) / (2 * h), grad[i], 1e-4 * (1 + fabs(grad[i])));
		}
	}
}

/* ---- two ways to evaluate ---- */

/*
 * A cell of the prior that is e^-250 of the others cannot be told from an impossible one in the result, but only the
 * latter is taken in linear space; and a first guess too large for linear space is followed in the logarithms. All
 * three must end in the same model.
 */
static void
linear_and_logarithmic_estimates_agree(void **state)
{
	static const uint32_t ab[] = {0, 1}, bc[] = {1, 2}, cd[] = {2, 3};
	static const mg_column_set cliques[] = {{2, ab, 0}, {2, bc, 0}, {2, cd, 0}};
	world *w = *state;
	mg_measurement m[] = {{.k = 2, .cols = ab, .var = 4},
						  {.k = 2, .cols = bc, .var = 9},
						  {.k = 2, .cols = cd, .var = 4}};
	double start[22] = {0}, *y;
	mg_factor *f[3];
	mg_junction j;

	assert_int_equal(mg_junction_build(&w->ctx, w->a, sizes, COLUMNS, cliques, 3, &j), MG_OK);
	for (uint32_t i = 0; i < 3; i++)
	{
		size_t cells = cells_of(m[i].cols, m[i].k);

		y = mg_arena_alloc(w->a, cells, sizeof(*y));
		for (size_t x = 0; x < cells; x++)
			y[x] = 150 / (double) cells + noise(w, 12);
		m[i].y = y;
	}
	for (uint32_t way = 0; way < 3; way++)
	{
		mg_estimate_options opt = {.gamma = 0.2, .steps = 1, .tolerance = 1e-12, .max_iterations = 20000, .q = start};
		mg_estimate_report report;

		assert_int_equal(mg_junction_factors(&w->ctx, w->a, &j, &f[way]), MG_OK);
		f[way][0].v[2] = way == 1 ? -250 : -INFINITY;
		memset(start, 0, sizeof(start));
		start[0] = way == 2 ? 1500 : 0;
		start[7] = way == 2 ? -900 : 0;
		assert_int_equal(mg_estimate(&w->ctx, &j, m, 3, 150, &opt, f[way], &report), MG_OK);
		assert_true(report.gap <= 1e-12 * 22);
		for (uint32_t c = 0; c < j.count; c++)
			for (size_t x = 0; x < f[way][c].cells; x++)
				assert_near(f[way][c].v[x], f[0][c].v[x], 1e-3);
	}
	assert_true(f[0][0].v[2] == 0);
}

/* ---- growing ---- */

static void
compare_joints(world *w, const mg_learner *x, const mg_learner *y, double most)
{
	double a[JOINT], b[JOINT];

	joint_of(w, x, a);
	joint_of(w, y, b);
	for (size_t i = 0; i < JOINT; i++)
		assert_near(a[i], b[i], most);
}

/* Estimated after each measurement, or once after all: one optimum, though the tree changes on the way. */
static void
a_warm_start_ends_where_a_cold_one_does(void **state)
{
	static const uint32_t sets[] = {0x3, 0xc, 0x6, 0x9, 0x7};
	world *w = *state;
	mg_learner *once;

	make_columns(w, 400);
	make_learner(w, 0.5, NULL, 0);
	assert_int_equal(mg_learner_create(&w->ctx, w->a, w->m, 0.5, NULL, 0, &once), MG_OK);
	for (uint32_t i = 0; i < 5; i++)
	{
		uint32_t k;
		const uint32_t *cols = columns_of(w, sets[i], &k);
		const int64_t *y = measure(w, w->l, sets[i], 400, 20);

		assert_int_equal(mg_learner_fit(&w->ctx, w->l, &exact), MG_OK);
		assert_int_equal(mg_learner_add(&w->ctx, once, cols, k, y, 20), MG_OK);
	}
	assert_int_equal(mg_learner_fit(&w->ctx, once, &exact), MG_OK);
	compare_joints(w, w->l, once, 1e-3);
	check_optimal(w, w->l, 0.5);
	mg_learner_destroy(once);
}

/* And a second fit of the same finds nothing left to do. */
static void
a_fit_starts_where_the_last_one_ended(void **state)
{
	static const mg_learn_options moderate = {.tolerance = 1e-6, .iterations = 1000, .steps = 1};
	world *w = *state;
	mg_graphical body[2] = {{.rounds = 0}};

	make_columns(w, 400);
	make_learner(w, 0.05, NULL, 0);
	measure(w, w->l, 0x7, 400, 5);
	measure(w, w->l, 0xc, 400, 5);
	for (int i = 0; i < 2; i++)
	{
		assert_int_equal(mg_learner_fit(&w->ctx, w->l, &moderate), MG_OK);
		assert_int_equal(mg_learner_finish(&w->ctx, w->l, w->m, &body[i]), MG_OK);
	}
	assert_true(body[0].report.iterations > 3);
	assert_int_equal(body[1].report.iterations, 0);
	assert_int_equal(body[1].nmeasured, 2);
	assert_near(body[1].measured[0].sigma, sqrt(5), 1e-12);
}

/* Measured twice is measured once with what both say together. */
static void
measurements_of_one_set_combine_by_inverse_variance(void **state)
{
	world *w = *state;
	uint32_t k, nsets;
	const uint32_t *cols = columns_of(w, 0x6, &k);
	const int64_t *first, *second;
	mg_graphical body = {.rounds = 0};
	double *y = mg_arena_alloc(w->a, 8, sizeof(*y));

	make_columns(w, 200);
	make_learner(w, 0.5, NULL, 0);
	first = measure(w, w->l, 0x6, 200, 30);
	assert_int_equal(mg_learner_fit(&w->ctx, w->l, &exact), MG_OK);
	second = measure(w, NULL, 0x6, 200, 10);
	assert_int_equal(mg_learner_add(&w->ctx, w->l, cols, k, second, 10), MG_OK);
	assert_int_equal(mg_learner_fit(&w->ctx, w->l, &exact), MG_OK);
	mg_learner_sets(w->l, &nsets);
	assert_int_equal(nsets, 1);
	/* the oracle's: both in one; 1 / (1/30 + 1/10) = 7.5 */
	for (size_t x = 0; x < 8; x++)
		y[x] = ((double) first[x] / 30 + (double) second[x] / 10) * 7.5;
	w->count -= 2;
	w->known[w->count++] = (mg_measurement){.k = k, .cols = cols, .y = y, .var = 7.5};
	check_optimal(w, w->l, 0.5);
	assert_int_equal(mg_learner_finish(&w->ctx, w->l, w->m, &body), MG_OK);
	assert_int_equal(body.nmeasured, 1);
	assert_near(body.measured[0].sigma, sqrt(7.5), 1e-12);
}

static bool
at_once(void *arg)
{
	return true;
}

static void
nonsense_is_refused_and_a_failure_changes_nothing(void **state)
{
	static const double bad[] = {0, -1, NAN, INFINITY};
	static const int64_t y[6] = {1, 2, 3, 4, 5, 6};
	static const uint32_t ab[] = {0, 1};
	world *w = *state;
	double before[JOINT], after[JOINT];

	make_columns(w, 100);
	make_learner(w, 0.5, NULL, 0);
	measure(w, w->l, 0x3, 100, 9);
	assert_int_equal(mg_learner_fit(&w->ctx, w->l, &exact), MG_OK);
	joint_of(w, w->l, before);
	for (uint32_t i = 0; i < 4; i++)
	{
		mg_ctx_init(&w->ctx);
		assert_int_equal(mg_learner_add(&w->ctx, w->l, ab, 2, y, bad[i]), MG_INVALID);
	}
	mg_ctx_init(&w->ctx);
	measure(w, w->l, 0xc, 100, 9);
	w->ctx.cancel = at_once;
	assert_int_equal(mg_learner_fit(&w->ctx, w->l, &exact), MG_CANCELLED);
	mg_ctx_init(&w->ctx);
	joint_of(w, w->l, after);
	assert_memory_equal(before, after, sizeof(before));
	assert_int_equal(mg_learner_fit(&w->ctx, w->l, &exact), MG_OK);
	check_optimal(w, w->l, 0.5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(estimates_are_the_optimum_over_the_joint, set_up, tear_down),
		cmocka_unit_test_setup_teardown(zeros_hold_nothing_and_the_rest_is_optimal, set_up, tear_down),
		cmocka_unit_test_setup_teardown(zeros_that_leave_nothing_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(gradient_is_the_difference_quotient_under_zeros, set_up, tear_down),
		cmocka_unit_test_setup_teardown(linear_and_logarithmic_estimates_agree, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_warm_start_ends_where_a_cold_one_does, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_fit_starts_where_the_last_one_ended, set_up, tear_down),
		cmocka_unit_test_setup_teardown(measurements_of_one_set_combine_by_inverse_variance, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nonsense_is_refused_and_a_failure_changes_nothing, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
