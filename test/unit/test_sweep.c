/*
 * test/unit/test_sweep.c: coordinate ascent of estimation on random problems: it never falls, ends where the gradient
 * is nothing, and takes few sweeps where measurements overlap; with numbers at the ends of what doubles hold.
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
#include "graphical/lbfgs.h"
#include "graphical/triangulate.h"
#include "joint.h"
#include "world.h"

#define COLUMNS 6
#define MOST_SETS 10

typedef struct world
{
	WORLD;
	/* a problem */
	uint32_t sizes[COLUMNS], count;
	mg_measurement m[MOST_SETS];
	size_t cells[MOST_SETS], dim;
	double total;
	mg_junction j;
	mg_factor *prior, *f;
	double *q, *grad;
} world;

static int
set_up(void **state)
{
	return make_world(state, sizeof(world), 20261123) == NULL;
}

/* A joint table of total 1, of which `empty` of the cells are zero. */
static double *
random_table(world *w, double empty, size_t *cells)
{
	double *p, sum = 0;

	*cells = 1;
	for (uint32_t c = 0; c < COLUMNS; c++)
		*cells *= w->sizes[c];
	p = mg_arena_alloc(w->a, *cells, sizeof(*p));
	for (size_t x = 0; x < *cells; x++)
		sum += p[x] = mg_rng_unit(&w->rng) < empty ? 0 : exp(1.5 * normal(&w->rng));
	for (size_t x = 0; x < *cells; x++)
		p[x] /= sum;
	return p;
}

typedef struct kind
{
	const char *what;
	double total, sigma; /* of the noise that is there, and that is told */
	double gamma;
	double zeros;       /* share of the prior's cells that are impossible */
	bool contradictory; /* each measurement is of a table of its own */
	double end;         /* the gap a cell that is reached, where measurements are made consistent; 0: not tried */
} kind;

/* Sets of columns, bits; 0 ends. */
static const uint32_t loop[MOST_SETS + 1] = {3, 6, 12, 24, 48, 33};
static const uint32_t nested[MOST_SETS + 1] = {7, 3, 6, 1, 2, 4, 56, 24, 12, 33};

static void
measure(world *w, const kind *k, const uint32_t *sets)
{
	mg_column_set family[MOST_SETS + COLUMNS];
	double *p = NULL;
	size_t ncells;

	w->total = k->total;
	w->dim = 0;
	for (uint32_t c = 0; c < COLUMNS; c++)
		w->sizes[c] = 2 + below(w, 3);
	for (w->count = 0; w->count < MOST_SETS && sets[w->count] != 0; w->count++)
	{
		uint32_t *cols = mg_arena_alloc(w->a, COLUMNS, sizeof(*cols)), n = 0, i = w->count;
		double *y;

		w->cells[i] = 1;
		for (uint32_t c = 0; c < COLUMNS; c++)
		{
			if (sets[i] >> c & 1)
			{
				cols[n++] = c;
				w->cells[i] *= w->sizes[c];
			}
		}
		if (p == NULL || k->contradictory)
			p = random_table(w, 0.3, &ncells);
		y = mg_arena_alloc(w->a, w->cells[i], sizeof(*y));
		for (size_t x = 0; x < ncells; x++)
			y[cell_under(w->sizes, COLUMNS, x, cols, n)] += k->total * p[x];
		for (size_t x = 0; x < w->cells[i]; x++)
			y[x] += k->sigma * normal(&w->rng);
		w->m[i] = (mg_measurement){.k = n, .cols = cols, .y = y, .var = k->sigma * k->sigma};
		family[i] = (mg_column_set){n, cols, 0};
		w->dim += w->cells[i];
	}
	assert_int_equal(mg_triangulate(&w->ctx, w->a, w->sizes, COLUMNS, family, w->count, 5, &w->j), MG_OK);
	assert_int_equal(mg_junction_factors(&w->ctx, w->a, &w->j, &w->prior), MG_OK);
	assert_int_equal(mg_junction_factors(&w->ctx, w->a, &w->j, &w->f), MG_OK);
	for (uint32_t c = 0; c < w->j.count; c++)
	{
		/* the first cell stays, so that something is possible */
		for (size_t x = 0; x < w->prior[c].cells; x++)
			w->prior[c].v[x] = x > 0 && mg_rng_unit(&w->rng) < k->zeros ? -INFINITY : normal(&w->rng);
	}
	w->q = mg_arena_alloc(w->a, w->dim, sizeof(double));
	w->grad = mg_arena_alloc(w->a, w->dim, sizeof(double));
}

typedef struct trace
{
	uint32_t calls, reached; /* reached: iterations until the gap was first at most `goal` */
	double dual, slack, goal;
	bool fell;
} trace;

static void
watch(void *arg, uint32_t step, uint32_t iteration, double dual, double gap)
{
	trace *t = arg;

	assert_false(isnan(dual) || isnan(gap));
	if (t->calls > 0 && dual < t->dual - t->slack)
		t->fell = true;
	if (gap <= t->goal && t->reached == 0)
		t->reached = iteration;
	t->dual = dual;
	t->calls++;
}

static mg_estimate_report
estimate(world *w, const kind *k, uint32_t most, double tolerance, trace *t)
{
	mg_estimate_report report;
	mg_estimate_options opt = {.gamma = k->gamma,
							   .steps = 1,
							   .tolerance = tolerance,
							   .max_iterations = most,
							   .q = w->q,
							   .watch = t != NULL ? watch : NULL,
							   .watch_arg = t};

	for (uint32_t c = 0; c < w->j.count; c++)
		memcpy(w->f[c].v, w->prior[c].v, w->prior[c].cells * sizeof(double));
	assert_int_equal(mg_estimate(&w->ctx, &w->j, w->m, w->count, w->total, &opt, w->f, &report), MG_OK);
	for (size_t x = 0; x < w->dim; x++)
		assert_true(isfinite(w->q[x]));
	return report;
}

static double
dual(world *w, const kind *k)
{
	double value;

	assert_int_equal(mg_estimate_dual(&w->ctx, &w->j, w->m, w->count, w->total, k->gamma, w->prior, w->q, &value,
									  w->grad),
					 MG_OK);
	return value;
}

/* Of sums of numbers as large as the terms of the dual. */
static double
rounding(const world *w, const kind *k)
{
	double terms = w->total;
	size_t at = 0;

	for (uint32_t i = 0; i < w->count; i++)
		for (size_t x = 0; x < w->cells[i]; x++, at++)
			terms += fabs(w->q[at] * w->m[i].y[x]) + k->gamma * w->m[i].var * w->q[at] * w->q[at];
	return 1e-11 * terms;
}

static const kind kinds[] = {
	{"plain", 1000, 10, 0.1, 0, false, 1e-09},
	{"structural zeros", 1000, 10, 0.1, 0.3, false, 1e-09},
	{"contradictory", 1000, 3, 0.1, 0, true, 1e-09},
	{"contradictory, with structural zeros", 1000, 3, 0.1, 0.3, true, 1e-06},
	{"tiny noise", 1000, 0.0316, 0.1, 0, false, 0.0001},
	{"tiny noise, contradictory", 1000, 0.0316, 0.1, 0.2, true, 0},
	{"huge noise", 1000, 1e6, 0.1, 0, false, 1e-09},
	{"noise beyond all data", 10, 1e12, 1, 0.2, false, 1e-09},
	{"one", 1, 5, 0.1, 0.1, false, 1e-09},
	{"one, exact", 1, 0.0316, 0.01, 0, false, 0.01},
	{"many", 1e9, 1000, 0.01, 0.1, false, 0},
	{"many, tiny noise", 1e9, 0.0316, 0.01, 0, false, 1e-05},
	{"many, contradictory", 1e9, 30, 0.001, 0.1, true, 0},
};

#define KINDS (sizeof(kinds) / sizeof(*kinds))

/* Also of sweeps between two inferences: n of them from the start, for every n. */
static void
no_sweep_lowers_the_dual(void **state)
{
	world *w = *state;

	for (size_t i = 0; i < KINDS; i++)
	{
		for (int again = 0; again < 8; again++)
		{
			const kind *k = &kinds[i];
			double last;

			measure(w, k, again % 2 == 0 ? loop : nested);
			last = dual(w, k);
			for (uint32_t n = 1; n <= 24; n++)
			{
				double now;

				memset(w->q, 0, w->dim * sizeof(double));
				estimate(w, k, n, 0, NULL);
				now = dual(w, k);
				if (now < last - rounding(w, k))
					fail_msg("%s: fell by %g in sweep %u", k->what, last - now, n);
				last = now;
			}
			mg_arena_reset(w->a);
		}
	}
}

/* As learners do before they estimate. */
static void
make_consistent(world *w)
{
	double *out[MOST_SETS];

	assert_int_equal(mg_make_consistent(&w->ctx, w->a, w->sizes, w->m, w->count, out), MG_OK);
	for (uint32_t i = 0; i < w->count; i++)
		w->m[i].y = out[i];
}

/* The duality gap from the gradient of the last dual(). */
static double
gap_of(const world *w)
{
	double gap = 0;
	size_t at = 0;

	for (uint32_t i = 0; i < w->count; i++)
		for (size_t x = 0; x < w->cells[i]; x++, at++)
			gap += w->grad[at] * w->grad[at] / (2 * w->m[i].var);
	return gap;
}

static void
check_total(const world *w)
{
	for (uint32_t c = 0; c < w->j.count; c++)
	{
		for (size_t x = 0; x < w->f[c].cells; x++)
			assert_true(w->f[c].v[x] >= 0);
		assert_true(fabs(mg_factor_total(&w->f[c]) - w->total) <= 1e-9 * w->total);
	}
}

/*
 * Where the gradient of the strictly concave dual vanishes is its maximum (the conditions of Karush, Kuhn and Tucker).
 * That it is the gradient, test_graphical.c checks by differences.
 */
static void
it_ends_at_the_optimum(void **state)
{
	world *w = *state;

	for (size_t i = 0; i < KINDS; i++)
	{
		for (int again = 0; again < 4 && kinds[i].end > 0; again++)
		{
			const kind *k = &kinds[i];
			trace t = {0};
			mg_estimate_report report;

			measure(w, k, again % 2 == 0 ? loop : nested);
			make_consistent(w);
			t.slack = 1e-9 * w->total;
			report = estimate(w, k, 20000, k->end, &t);
			dual(w, k);
			if (gap_of(w) > 1.0001 * k->end * (double) w->dim || t.fell)
				fail_msg("%s: gap %g after %u sweeps%s", k->what, gap_of(w), report.iterations, t.fell ? ", fell" : "");
			check_total(w);
			mg_arena_reset(w->a);
		}
	}
}

/*
 * Noise that contradicts the total: each variable of a measurement is off by the same, which changes no distribution.
 * Ascent cell by cell would need about 1 / (gamma v) sweeps a nat.
 */
static void
a_constant_takes_no_time(void **state)
{
	static const kind k = {"a total of its own", 1000, 0.1, 0.01, 0, false, 1e-6};
	static const uint32_t one[] = {3, 0};
	world *w = *state;

	measure(w, &k, one);
	w->total = 1010;
	estimate(w, &k, 20, 1e-6, NULL);
	dual(w, &k);
	assert_true(gap_of(w) <= 1.0001e-6 * (double) w->dim);
}

/* Iterations to the same gap by the general method, with the diagonal of the Hessian. */
typedef struct general
{
	world *w;
	const kind *k;
	double goal;
} general;

static double
minus_dual(void *arg, const double *x, double *grad)
{
	general *g = arg;
	double value;

	memcpy(g->w->q, x, g->w->dim * sizeof(double));
	value = -dual(g->w, g->k);
	for (size_t i = 0; i < g->w->dim; i++)
		grad[i] = -g->w->grad[i];
	return value;
}

static void
divide_by_diagonal(void *arg, double *d)
{
	const general *g = arg;
	const world *w = g->w;
	size_t at = 0;

	for (uint32_t i = 0; i < w->count; i++)
	{
		for (size_t x = 0; x < w->cells[i]; x++, at++)
		{
			double pull = g->k->gamma * w->m[i].var;

			d[at] /= pull + fmax(w->m[i].y[x] - pull * w->q[at] - w->grad[at], 0);
		}
	}
}

static bool
near_enough(void *arg, uint32_t iteration, const double *x, const double *grad, double value)
{
	const general *g = arg;

	return gap_of(g->w) <= g->goal;
}

static void
a_loop_takes_few_sweeps(void **state)
{
	world *w = *state;
	uint32_t most = 0, least = UINT32_MAX;

	for (int again = 0; again < 6; again++)
	{
		const kind *k = &kinds[11]; /* many, tiny noise */
		mg_estimate_report report;
		general g = {.w = w, .k = k};
		mg_lbfgs search = {.evaluate = minus_dual,
						   .precondition = divide_by_diagonal,
						   .done = near_enough,
						   .arg = &g,
						   .max_iterations = 100};
		uint32_t n;
		double *x;

		measure(w, k, loop);
		make_consistent(w);
		search.dim = w->dim;
		g.goal = 1e-2 * (double) w->dim;
		report = estimate(w, k, 1000, 1e-2, NULL);
		assert_true(report.gap <= g.goal);
		most = report.iterations > most ? report.iterations : most;
		x = mg_arena_alloc(w->a, w->dim, sizeof(double));
		assert_int_equal(mg_lbfgs_minimise(&w->ctx, w->a, &search, x, &n), MG_OK);
		least = n < least ? n : least;
		mg_arena_reset(w->a);
	}
	assert_true(most <= 40 && least > 80);
}

/* Code 0 of column 0, the first of all measurements that have it, becomes a thousandth of what it was. */
static void
make_rare(world *w)
{
	for (uint32_t s = 0; s < w->count; s++)
	{
		double *y = mg_arena_alloc(w->a, w->cells[s], sizeof(*y));

		for (size_t x = 0; x < w->cells[s]; x++)
			y[x] = w->m[s].y[x] * (w->m[s].cols[0] == 0 && x < w->cells[s] / w->sizes[0] ? 1e-3 : 1);
		w->m[s].y = y;
	}
	w->total = mg_estimate_total(w->sizes, w->m, w->count);
}

/*
 * A first guess under which cells have no mass that doubles can hold, in linear space or in any: they come back, with
 * nothing lost on the way, and not by leaps of all measurements that share them at a time.
 */
static void
lost_cells_come_back(void **state)
{
	static const double depth[] = {-240, -300, -700, -3000};
	static const uint32_t star[] = {1, 2, 3, 5, 9, 17, 33, 0};
	world *w = *state;

	for (int i = 0; i < 3 * (int) (sizeof(depth) / sizeof(*depth)); i++)
	{
		for (int how = 0; how < 3; how++)
		{
			static const int which[] = {0, 4, 10}; /* plain, tiny noise, many */
			const kind *k = &kinds[which[i % 3]];
			trace t = {0};
			double last;

			measure(w, k, star);
			make_rare(w);
			make_consistent(w);
			/* code 0 of column 0: of the first measurement, of all, of two */
			for (uint32_t s = 0, at = 0; s < w->count; at += (uint32_t) w->cells[s++])
				w->q[at] = s == 0 || how == 1 || (how == 2 && s == 1) ? depth[i / 3] : 0;
			t.slack = 1e-9 * w->total;
			last = dual(w, k);
			for (int n = 0; n < 30; n++)
			{
				double now;

				estimate(w, k, 4, 0, NULL);
				now = dual(w, k);
				if (now < last - rounding(w, k))
					fail_msg("%s from %g, %d: fell by %g", k->what, depth[i / 3], how, last - now);
				last = now;
			}
			estimate(w, k, 3000, 1e-2, &t);
			dual(w, k);
			/* with next to no noise the mass is back long before the variables are; the last kind ends nowhere */
			if (t.fell || (k == &kinds[0] && gap_of(w) > 1.0001e-2 * (double) w->dim) ||
				(k == &kinds[4] && fabs(w->grad[0] + k->gamma * w->m[0].var * w->q[0]) > 0.5 * fabs(w->m[0].y[0])))
				fail_msg("%s from %g, %d: gap %g", k->what, depth[i / 3], how, gap_of(w));
			check_total(w);
			mg_arena_reset(w->a);
		}
	}
}

/* Numbers that nobody measured: whatever they are, there is a distribution at the end, and no NaN on the way. */
static void
extreme_numbers_do_no_harm(void **state)
{
	static const double value[] = {1e300, 1e200, -1e200, 1e20, -1e20, -1e6, 1e-300, 0};
	static const double var[] = {1e-3, 1e-9, 1e-200, 1e200};
	static const kind k = {"extremes", 100, 1, 0.01, 0.1, false, 0};
	world *w = *state;

	for (size_t i = 0; i < sizeof(value) / sizeof(*value) * 4; i++)
	{
		for (int how = 0; how < 3; how++)
		{
			trace t = {.slack = INFINITY};

			measure(w, &k, how == 0 ? loop : nested);
			for (uint32_t s = 0; s < w->count; s++)
			{
				double *y = mg_arena_alloc(w->a, w->cells[s], sizeof(*y));

				/* all cells, one of each, or those of one */
				memcpy(y, w->m[s].y, w->cells[s] * sizeof(*y));
				for (size_t x = 0; x < w->cells[s]; x++)
					y[x] = how == 0 || (how == 1 && x == 1) || (how == 2 && s == 2) ? value[i / 4] : y[x];
				w->m[s].y = y;
				w->m[s].var = var[i % 4];
			}
			estimate(w, &k, 40, 1e-9, &t);
			check_total(w);
			mg_arena_reset(w->a);
		}
	}
}

/* Far below zero everywhere is an answer in one move, not one of many small ones. */
static void
far_below_zero_is_soon_reached(void **state)
{
	static const kind k = {"negative", 100, 0.1, 0.01, 0, false, 0};
	static const uint32_t chain[] = {3, 12, 48, 0};
	world *w = *state;
	mg_estimate_report report;

	measure(w, &k, chain);
	for (uint32_t s = 0; s < w->count; s++)
	{
		double *y = mg_arena_alloc(w->a, w->cells[s], sizeof(*y));

		for (size_t x = 0; x < w->cells[s]; x++)
			y[x] = x == 0 ? 100 : -5;
		w->m[s].y = y;
	}
	report = estimate(w, &k, 40, 1e-6, NULL);
	assert_true(report.gap <= 1e-6 * (double) w->dim);
	dual(w, &k);
	assert_true(gap_of(w) <= 1.0001e-6 * (double) w->dim);
	assert_true(w->q[1] < -1000);
}

static void
refusals(void **state)
{
	static const double var[] = {0, -1, NAN, INFINITY, 1e-310};
	static const kind k = {"refused", 100, 1, 0.01, 0, false, 0};
	static const mg_estimate_options opt = {.gamma = 0.01, .steps = 1, .max_iterations = 10};
	world *w = *state;
	mg_estimate_report report;

	measure(w, &k, loop);
	for (size_t i = 0; i < sizeof(var) / sizeof(*var); i++)
	{
		w->m[1].var = var[i];
		assert_int_equal(mg_estimate(&w->ctx, &w->j, w->m, w->count, w->total, &opt, w->f, &report), MG_INVALID);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(no_sweep_lowers_the_dual, set_up, free_world),
		cmocka_unit_test_setup_teardown(it_ends_at_the_optimum, set_up, free_world),
		cmocka_unit_test_setup_teardown(a_constant_takes_no_time, set_up, free_world),
		cmocka_unit_test_setup_teardown(a_loop_takes_few_sweeps, set_up, free_world),
		cmocka_unit_test_setup_teardown(lost_cells_come_back, set_up, free_world),
		cmocka_unit_test_setup_teardown(extreme_numbers_do_no_harm, set_up, free_world),
		cmocka_unit_test_setup_teardown(far_below_zero_is_soon_reached, set_up, free_world),
		cmocka_unit_test_setup_teardown(refusals, set_up, free_world),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
