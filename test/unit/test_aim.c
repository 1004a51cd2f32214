/*
 * test/unit/test_aim.c: the methods that search, aim and swift, from rows to model, through the real curator with seeded
 * noise: what they find, what they charge, how large the model gets, and that nothing which is not released steers them
 * where a caller could see it: cancels, failures of memory, threads, degenerate tables. Structural zeros are tried on
 * all methods.
 *
 * The program is linked with malloc, calloc and realloc wrapped, so that the n-th of them can be made to fail.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "graphical/fit.h"
#include "graphical/graphical.h"
#include "memory_store.h"
#include "seeded_noise.h"
#include "synthesis/synthesis.h"

#define assert_near(a, b, most) assert_true(fabs((double) (a) - (double) (b)) <= (most))

#define MOST_COLUMNS 12
#define MOST_LABELS 40

/* ---- memory that runs out ---- */

static size_t allocations, failing; /* the failing-th fails, and all after it; 0: none */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static bool
fails(void)
{
	size_t n = __atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED);

	return failing > 0 && n >= failing;
}

void *
__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : __real_realloc(p, size);
}

/* ---- a table ---- */

typedef struct world
{
	mg_ctx ctx;
	mg_rng rng;
	memory_store store;
	mg_noise *noise;
	mg_odometer odometer;
	mg_domain domain[MOST_COLUMNS];
	mg_label label[MOST_LABELS];
	char text[MOST_LABELS][4], name[MOST_COLUMNS][4];
	uint32_t ncolumns, k, nrows; /* k: rows of a unit; 0: the unit is the row */
	uint32_t (*rows)[MOST_COLUMNS];
	mg_option option[4];
	mg_constraint constraint[8];
	mg_expr expr[8];
	mg_term term[8][2];
	uint32_t pair[8][2];
	mg_curator *curator;
	mg_fit_request req;
} world;

static int
set_up(void **state)
{
	world *w = calloc(1, sizeof(*w));

	mg_ctx_init(&w->ctx);
	mg_rng_seed(&w->rng, 77);
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
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	world *w = *state;

	failing = 0;
	mg_curator_destroy(w->curator);
	mg_noise_destroy(w->noise);
	memory_store_free(&w->store);
	free(w->rows);
	free(w);
	return 0;
}

/* n closed categories of these many labels, and room for rows. */
static void
make_columns(world *w, uint32_t n, const uint32_t *sizes, uint32_t nrows)
{
	w->ncolumns = n;
	w->nrows = nrows;
	for (uint32_t i = 0; i < n; i++)
		w->domain[i] =
			(mg_domain){.name = w->name[i], .kind = MG_CATEGORY, .nlabels = sizes[i], .labels = w->label};
	free(w->rows);
	w->rows = calloc(nrows + 1, sizeof(*w->rows));
}

static void
make_equal_columns(world *w, uint32_t n, uint32_t size, uint32_t nrows)
{
	uint32_t sizes[MOST_COLUMNS];

	for (uint32_t i = 0; i < n; i++)
		sizes[i] = size;
	make_columns(w, n, sizes, nrows);
}

static uint32_t
below(world *w, uint32_t n)
{
	return mg_rng_below32((uint32_t) (mg_rng_u64(&w->rng) >> 32), n);
}

static void
independent_rows(world *w)
{
	for (uint32_t r = 0; r < w->nrows; r++)
		for (uint32_t i = 0; i < w->ncolumns; i++)
			w->rows[r][i] = below(w, w->domain[i].nlabels);
}

static void
set_option(world *w, const char *name, const char *value)
{
	w->option[w->req.noptions++] = (mg_option){name, value};
}

/* column left <= column right, whose labels are numbers */
static void
set_order(world *w, uint32_t left, uint32_t compare, uint32_t right)
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

/* The table into a fresh curator, with an odometer of rho. */
static void
open_curator(world *w, uint64_t seed, double rho)
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

static mg_model *
fit(world *w, const char *method, uint64_t seed, double rho)
{
	mg_model *m = NULL;

	open_curator(w, seed, rho);
	assert_int_equal(mg_method_find(method)->fit(&w->ctx, w->curator, &w->req, &m), MG_OK);
	assert_non_null(m);
	return m;
}

/* ---- looking at models ---- */

static bool
measured(const mg_model *m, const uint32_t *cols, uint32_t k)
{
	const mg_graphical *g = m->body;

	for (uint32_t i = 0; i < g->nmeasured; i++)
		if (g->measured[i].k == k && memcmp(g->measured[i].cols, cols, k * sizeof(*cols)) == 0)
			return true;
	return false;
}

/* The model is what a model is: masses of cliques are finite, not negative, and sum to the total. */
static void
check_model(const mg_model *m)
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

/* Codes of rows as the sampler draws them, before any re-draw; fine labels are the codes where nothing was merged. */
static uint16_t *
draw(world *w, const mg_model *m, uint32_t n)
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

/* Total variation distance between the table and drawn rows in the joint of a few columns (coarse codes). */
static double
drawn_distance(world *w, const mg_model *m, const uint32_t *cols, uint32_t k)
{
	enum
	{
		DRAWN = 16000
	};
	uint16_t *codes = draw(w, m, DRAWN);
	size_t cells = 1;
	double *diff, sum = 0;

	for (uint32_t i = 0; i < k; i++)
		cells *= m->columns[cols[i]].ncoarse;
	diff = calloc(cells, sizeof(*diff));
	for (uint32_t r = 0; r < w->nrows + DRAWN; r++)
	{
		bool real = r < w->nrows;
		size_t x = 0;

		for (uint32_t i = 0; i < k; i++)
			x = x * m->columns[cols[i]].ncoarse +
				(real ? m->columns[cols[i]].merge[w->rows[r][cols[i]]] : codes[(size_t) cols[i] * DRAWN + r - w->nrows]);
		diff[x] += real ? 1.0 / w->nrows : -1.0 / DRAWN;
	}
	for (size_t x = 0; x < cells; x++)
		sum += fabs(diff[x]) / 2;
	free(diff);
	free(codes);
	return sum;
}

/* ---- what is found ---- */

/* c is a or b exclusively, so that no pair of them says anything; d follows e, most of the time; f is on its own. */
static void
exclusive_rows(world *w)
{
	static const uint32_t sizes[] = {2, 2, 2, 4, 4, 3};

	make_columns(w, 6, sizes, 3000);
	independent_rows(w);
	for (uint32_t r = 0; r < w->nrows; r++)
	{
		uint32_t *row = w->rows[r];

		row[2] = below(w, 10) > 0 ? row[0] ^ row[1] : row[2];
		row[3] = below(w, 10) > 2 ? (row[4] + 1) % 4 : row[3];
	}
}

static void
aim_finds_pairs_and_triples(void **state)
{
	static const uint32_t abc[] = {0, 1, 2}, de[] = {3, 4};
	world *w = *state;
	mg_model *m;

	exclusive_rows(w);
	m = fit(w, "aim", 1, 1);
	check_model(m);
	assert_true(measured(m, abc, 3));
	assert_true(measured(m, de, 2) || drawn_distance(w, m, de, 2) < 0.02);
	assert_true(drawn_distance(w, m, abc, 3) < 0.03);
	assert_true(drawn_distance(w, m, de, 2) < 0.03);
	mg_model_destroy(m);
	/* pairs alone cannot tell */
	set_option(w, "degree", "2");
	m = fit(w, "aim", 1, 1);
	for (uint32_t i = 0; i < ((mg_graphical *) m->body)->nmeasured; i++)
		assert_int_equal(((mg_graphical *) m->body)->measured[i].k, 2);
	assert_true(drawn_distance(w, m, de, 2) < 0.03);
	assert_true(drawn_distance(w, m, abc, 3) > 0.3);
	mg_model_destroy(m);
}

/* A ring of columns, each the one before it with mistakes: strong pairs beside ever weaker ones. */
static void
ring_rows(world *w, uint32_t n, uint32_t size, uint32_t nrows)
{
	make_equal_columns(w, n, size, nrows);
	independent_rows(w);
	for (uint32_t r = 0; r < nrows; r++)
		for (uint32_t i = 1; i < n; i++)
			if (below(w, 10) > 1)
				w->rows[r][i] = (w->rows[r][i - 1] + (below(w, 4) == 0)) % size;
}

static void
swift_finds_the_strong_pairs_and_few_others(void **state)
{
	world *w = *state;
	const mg_graphical *g;
	uint32_t few;
	mg_model *m;

	ring_rows(w, 8, 4, 4000);
	m = fit(w, "swift", 2, 0.5);
	check_model(m);
	g = m->body;
	for (uint32_t i = 0; i + 1 < 8; i++)
	{
		const uint32_t pair[] = {i, i + 1};

		assert_true(measured(m, pair, 2));
		assert_true(drawn_distance(w, m, pair, 2) < 0.05);
	}
	few = g->nmeasured;
	assert_true(few <= 20); /* of 28 */
	mg_model_destroy(m);
	/* with less to spend, fewer are worth their noise */
	for (double rho = 0.02; rho > 1e-4; rho /= 15)
	{
		m = fit(w, "swift", 2, rho);
		g = m->body;
		assert_true(g->nmeasured < few);
		few = g->nmeasured;
		mg_model_destroy(m);
	}
}

/* What is explained by a path is not measured again, though its score is large. */
static void
swift_does_not_measure_what_a_path_explains(void **state)
{
	static const uint32_t ac[] = {0, 2}, sizes[] = {3, 3, 3, 3};
	world *w = *state;
	mg_model *m;

	make_columns(w, 4, sizes, 4000);
	independent_rows(w);
	for (uint32_t r = 0; r < w->nrows; r++)
		for (uint32_t i = 1; i < 3; i++)
			if (below(w, 20) > 0)
				w->rows[r][i] = w->rows[r][i - 1];
	m = fit(w, "swift", 3, 0.5);
	assert_true(measured(m, (const uint32_t[]){0, 1}, 2));
	assert_true(measured(m, (const uint32_t[]){1, 2}, 2));
	assert_false(measured(m, ac, 2));
	assert_true(drawn_distance(w, m, ac, 2) < 0.05);
	mg_model_destroy(m);
}

/* Of two pairs alike, the one that the workload weighs more is looked at first; what is not in it, never. */
static void
aim_follows_the_workload(void **state)
{
	static const char text[] = "a\x1f" "b\x1e" "c\x1f" "d\x1d" "20\x1e" "e\x1f" "f";
	world *w = *state;

	make_equal_columns(w, 6, 3, 2000);
	independent_rows(w);
	for (uint32_t r = 0; r < w->nrows; r++)
		for (uint32_t i = 1; i < 6; i++)
			w->rows[r][i] = below(w, 3) == 0 ? w->rows[r][i - 1] : w->rows[r][i];
	set_option(w, "workload", text);
	for (uint64_t seed = 1; seed <= 8; seed++)
	{
		mg_model *m = fit(w, "aim", seed, 0.05);
		const mg_graphical *g = m->body;

		assert_true(g->nmeasured > 0);
		assert_int_equal(g->measured[0].cols[0], 2);
		for (uint32_t i = 0; i < g->nmeasured; i++)
		{
			assert_int_equal(g->measured[i].k, 2);
			assert_int_equal(g->measured[i].cols[0] % 2, 0);
			assert_int_equal(g->measured[i].cols[1], g->measured[i].cols[0] + 1);
		}
		mg_model_destroy(m);
	}
}

/*
 * A wide pair that only looks uneven, since its cells are many, and a small one that is: the first has the larger
 * distance, the second is worth its noise.
 */
static void
aim_weighs_distance_against_noise(void **state)
{
	static const uint32_t sizes[] = {30, 30, 2, 2}, small[] = {2, 3};
	world *w = *state;
	uint32_t first = 0;

	make_columns(w, 4, sizes, 1500);
	independent_rows(w);
	for (uint32_t r = 0; r < w->nrows; r++)
		w->rows[r][3] = below(w, 4) == 0 ? w->rows[r][2] : w->rows[r][3];
	for (uint64_t seed = 1; seed <= 10; seed++)
	{
		mg_model *m = fit(w, "aim", seed, 0.3);
		const mg_graphical *g = m->body;

		for (uint32_t i = 0; i < 4; i++)
			assert_int_equal(m->columns[i].ncoarse, sizes[i]);
		first += g->nmeasured > 0 && g->measured[0].k == 2 && memcmp(g->measured[0].cols, small, sizeof(small)) == 0;
		mg_model_destroy(m);
	}
	assert_true(first >= 8);
}

/* ---- budget ---- */

static uint32_t
rounds_of(world *w, const char *method, uint64_t seed, double rho)
{
	mg_model *m = fit(w, method, seed, rho);
	uint32_t n = ((mg_graphical *) m->body)->rounds;

	mg_model_destroy(m);
	return n;
}

/*
 * Where measurements find nothing new, noise halves, and so a few dear ones are made; where there is much to find
 * against the noise, many cheap ones: 4 a column, were none of them weak.
 */
static void
aim_anneals(void **state)
{
	world *w = *state;

	make_equal_columns(w, 8, 4, 1000);
	independent_rows(w);
	for (uint64_t seed = 1; seed <= 3; seed++)
		assert_true(rounds_of(w, "aim", seed, 0.02) <= 12);
	ring_rows(w, 8, 4, 20000);
	for (uint64_t seed = 1; seed <= 3; seed++)
		assert_true(rounds_of(w, "aim", seed, 0.5) >= 10);
}

/* All that was allowed is used, whatever the rows, the units and the noise. */
static void
charges_follow_the_plan(void **state)
{
	static const double rhos[] = {1e-7, 1e-4, 0.01, 1, 20};
	world *w = *state;

	for (uint32_t k = 0; k <= 3; k += 3)
		for (uint32_t i = 0; i < 5; i++)
			for (uint32_t rows = 0; rows <= 600; rows += 300)
			{
				mg_model *m;

				w->k = k;
				ring_rows(w, 7, 4, rows);
				m = fit(w, "aim", i, rhos[i]);
				check_model(m);
				assert_true(w->odometer.rho_used <= rhos[i] * (1 + 1e-9));
				assert_true(w->odometer.rho_used >= rhos[i] * 0.99);
				assert_true(w->odometer.delta_used == 0);
				mg_model_destroy(m);
				m = fit(w, "swift", i, rhos[i]);
				check_model(m);
				assert_true(w->odometer.rho_used <= rhos[i] * (1 + 1e-9));
				/* where no pair is worth its noise, none is measured */
				assert_true(w->odometer.rho_used >= rhos[i] * 0.99 || ((mg_graphical *) m->body)->nmeasured == 0);
				mg_model_destroy(m);
			}
}

/* A workload of one set leaves nothing to choose; its budget is measured all the same. */
static void
nothing_to_choose_costs_nothing(void **state)
{
	world *w = *state;
	mg_model *m;

	ring_rows(w, 5, 4, 500);
	set_option(w, "workload", "b\x1f" "d");
	m = fit(w, "aim", 1, 0.1);
	assert_int_equal(((mg_graphical *) m->body)->nmeasured, 1);
	assert_true(w->odometer.rho_used <= 0.1 * (1 + 1e-9));
	assert_true(w->odometer.rho_used >= 0.1 * 0.99);
	mg_model_destroy(m);
}

/* sigma of the first measurement is what the plan says, for units of any size. */
static void
plans_name_the_noise(void **state)
{
	static const char *const methods[] = {"aim", "swift"};
	world *w = *state;

	for (uint32_t which = 0; which < 2; which++)
		for (uint32_t n = 1; n <= 6; n++)
			for (w->k = 0; w->k <= 3; w->k += 3)
			{
				mg_arena *a = mg_arena_create(0);
				double rho = 0, share = 0, sigma = 0;
				mg_plan plan;

				ring_rows(w, n, 4, 3000);
				open_curator(w, 5, 0.2);
				assert_int_equal(mg_method_find(methods[which])->plan(&w->ctx, a, &w->req, &plan), MG_OK);
				for (uint32_t i = 0; i < plan.count; i++)
				{
					rho += plan.item[i].rho;
					share += plan.item[i].share;
					sigma = strstr(plan.item[i].what, "first noise") != NULL ? plan.item[i].sigma : sigma;
				}
				assert_near(rho, 0.2, 1e-8);
				assert_near(share, 1, 1e-6);
				if (which == 0 && n > 1)
				{
					mg_model *m = fit(w, "aim", 5, 0.2);
					const mg_graphical *g = m->body;
					double most = 0;

					/* measured once: the first noise, or less where it was annealed or the last */
					for (uint32_t i = 0; i < g->nmeasured; i++)
						most = fmax(most, g->measured[i].sigma);
					assert_true(most <= sigma * (1 + 1e-6));
					if (n <= 2)
						assert_near(most, sigma, 1e-6 * sigma);
					mg_model_destroy(m);
				}
				mg_arena_destroy(a);
			}
}

/* ---- the model's size ---- */

/* The limit in MiB; at the lower end it is less than the room that the first picks' share of it would give a pair. */
static void
models_stay_within_their_limit(void **state)
{
	static const char *const methods[] = {"aim", "swift"}, *const limits[] = {"0.01", "0.02", "0.1", "1"};
	world *w = *state;

	ring_rows(w, 9, 12, 4000);
	set_option(w, "max_model_mb", NULL);
	for (uint32_t which = 0; which < 2; which++)
		for (uint32_t i = 0; i < 4; i++)
		{
			size_t most = (size_t) (strtod(limits[i], NULL) * (1 << 20) / sizeof(double));
			const mg_graphical *g;
			mg_model *m;

			w->option[0].value = limits[i];
			m = fit(w, methods[which], i, 5);
			g = m->body;
			check_model(m);
			for (uint32_t c = 0; c < 9; c++)
				assert_int_equal(m->columns[c].ncoarse, 12);
			assert_true(g->tree.cells <= most);
			assert_true(g->nmeasured >= (i == 0 ? 3 : 6)); /* 1,310 cells hold 7 pairs with a column each to spare */
			assert_true(w->odometer.rho_used <= 5 * (1 + 1e-9));
			if (which == 0)
				assert_true(w->odometer.rho_used >= 5 * 0.99);
			mg_model_destroy(m);
		}
}

/* A limit below what the single columns take: they are the model, and nothing fails. */
static void
no_room_at_all_leaves_the_columns(void **state)
{
	static const char *const methods[] = {"aim", "swift"};
	world *w = *state;

	ring_rows(w, 12, 40, 3000);
	set_option(w, "max_model_mb", "0.01");
	for (uint32_t which = 0; which < 2; which++)
	{
		mg_model *m = fit(w, methods[which], 1, 100);
		const mg_graphical *g = m->body;

		check_model(m);
		assert_true(g->nmeasured == 0);
		assert_int_equal(g->tree.count, 12);
		mg_model_destroy(m);
	}
}

/* ---- any table ---- */

/* None, few and many rows; one column and more; columns of one code; units. */
static void
any_table_trains(void **state)
{
	static const char *const methods[] = {"aim", "swift", "mst", "independent"};
	static const uint32_t sizes[] = {1, 3, 1, 2, 1};
	world *w = *state;

	for (uint32_t which = 0; which < 4; which++)
		for (uint32_t n = 1; n <= 5; n++)
			for (uint32_t rows = 0; rows <= 40; rows = rows * 3 + 1)
				for (w->k = 0; w->k <= 5; w->k += 5)
				{
					mg_model *m;

					make_columns(w, n, sizes, rows);
					independent_rows(w);
					m = fit(w, methods[which], rows, 0.02);
					check_model(m);
					assert_true(w->odometer.rho_used <= 0.02 * (1 + 1e-9));
					mg_model_destroy(m);
				}
}

/* From an epsilon that can say nothing to one that hides nothing. The former may be refused, by name. */
static void
any_epsilon_trains(void **state)
{
	static const char *const methods[] = {"aim", "swift"};
	world *w = *state;

	ring_rows(w, 6, 5, 400);
	for (uint32_t which = 0; which < 2; which++)
		for (double rho = 1e-18; rho < 1e9; rho *= 1000)
		{
			mg_model *m = NULL;
			mg_code code;

			open_curator(w, 9, rho);
			code = mg_method_find(methods[which])->fit(&w->ctx, w->curator, &w->req, &m);
			assert_true(code == MG_OK || (code == MG_INVALID && strstr(w->ctx.message, "too small") && rho < 1e-12));
			assert_true((code == MG_OK) == (m != NULL));
			if (code == MG_OK)
				check_model(m);
			mg_model_destroy(m);
		}
}

static void
bad_options_are_refused(void **state)
{
	static const char *const methods[] = {"aim", "swift"};
	static const mg_option bad[] = {{"degree", "1"},        {"degree", "4"},    {"degree", "x"},
									{"max_model_mb", "0"},  {"rounds", "5"},    {"max_model_mb", "nan"},
									{"oneway_share", "0.9"}};
	world *w = *state;

	ring_rows(w, 4, 3, 10);
	for (uint32_t which = 0; which < 2; which++)
		for (uint32_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		{
			mg_model *m = NULL;
			mg_plan plan;
			mg_arena *a = mg_arena_create(0);
			bool unknown = strcmp(bad[i].name, "rounds") == 0;

			w->req.noptions = 0;
			set_option(w, bad[i].name, bad[i].value);
			open_curator(w, 1, 1);
			assert_int_equal(mg_method_find(methods[which])->plan(&w->ctx, a, &w->req, &plan),
							 unknown ? MG_UNKNOWN : MG_INVALID);
			mg_ctx_init(&w->ctx);
			assert_int_equal(mg_method_find(methods[which])->fit(&w->ctx, w->curator, &w->req, &m),
							 unknown ? MG_UNKNOWN : MG_INVALID);
			assert_true(m == NULL && w->odometer.calls == 0);
			mg_arena_destroy(a);
		}
	w->req.noptions = 0;
	set_option(w, "workload", "a\x1f" "z");
	open_curator(w, 1, 1);
	assert_int_equal(mg_method_find("aim")->fit(&w->ctx, w->curator, &w->req, &(mg_model *){NULL}), MG_UNKNOWN);
	assert_int_equal(w->odometer.calls, 0); /* before anything was spent */
}

/* ---- structural zeros ---- */

/* Cells that the constraint makes impossible hold exactly nothing, and no row is drawn into one. */
static void
check_zeros(world *w, const mg_model *m, const mg_constraint *c)
{
	const mg_graphical *g = m->body;
	mg_arena *a = mg_arena_create(0);
	const uint32_t *cols;
	uint16_t *codes = draw(w, m, 4000);
	uint32_t k, home;
	double mass[MOST_LABELS * MOST_LABELS + 100] = {0};
	bool *possible;
	mg_factor f;

	assert_int_equal(c->how, MG_HOW_ZEROS);
	assert_int_equal(mg_constraint_zeros(&w->ctx, a, m->columns, m->ncolumns, c, &k, &cols, &possible), MG_OK);
	assert_int_equal(k, 2);
	home = mg_junction_find(&g->tree, cols, k);
	assert_true(home < g->tree.count);
	assert_int_equal(mg_factor_make(&w->ctx, a, cols, k, g->tree.size, &f), MG_OK);
	f.v = mass;
	mg_factor_marginal(&g->marginal[home], &f);
	for (size_t x = 0; x < f.cells; x++)
		assert_true(possible[x] || mass[x] == 0);
	for (uint32_t r = 0; r < 4000; r++)
		assert_true(possible[codes[cols[0] * 4000 + r] * f.size[1] + codes[cols[1] * 4000 + r]]);
	free(codes);
	mg_arena_destroy(a);
}

/* a <= b <= c, and d <= b; rows obey, but noise does not know that. */
static void
ordered_rows(world *w, uint32_t nrows)
{
	make_equal_columns(w, 6, 5, nrows);
	independent_rows(w);
	for (uint32_t r = 0; r < nrows; r++)
	{
		uint32_t *row = w->rows[r];

		row[1] = row[0] + below(w, 5 - row[0]);
		row[2] = row[1] + below(w, 5 - row[1]);
		row[3] = below(w, row[1] + 1);
	}
}

static void
zeros_are_never_drawn(void **state)
{
	static const char *const methods[] = {"aim", "swift", "mst", "independent"};
	static const double rhos[] = {0.02, 0.2, 2};
	world *w = *state;

	set_order(w, 0, MG_LESS | MG_EQUAL, 1);
	set_order(w, 1, MG_LESS | MG_EQUAL, 2);
	set_order(w, 1, MG_GREATER | MG_EQUAL, 3);
	for (uint32_t which = 0; which < 4; which++)
		for (uint32_t i = 0; i < 3; i++)
		{
			mg_model *m;

			ordered_rows(w, i == 0 ? 2000 : 500);
			m = fit(w, methods[which], i, rhos[i]);
			check_model(m);
			for (uint32_t c = 0; c < 3; c++)
				check_zeros(w, m, &w->constraint[c]);
			mg_model_destroy(m);
		}
}

/* a < b and b < a: no row is possible. The first is kept, the second left to re-draws, which say what they think of it;
 * the third agrees with the first. */
static void
contradictions_are_left_out(void **state)
{
	static const char *const methods[] = {"aim", "swift", "mst", "independent"};
	world *w = *state;

	ordered_rows(w, 1000);
	set_order(w, 0, MG_LESS, 1);
	set_order(w, 0, MG_GREATER, 1);
	set_order(w, 1, MG_LESS, 2);
	for (uint32_t which = 0; which < 4; which++)
	{
		mg_model *m = fit(w, methods[which], 1, 1);

		check_model(m);
		check_zeros(w, m, &w->constraint[0]);
		check_zeros(w, m, &w->constraint[2]);
		assert_int_equal(w->constraint[1].how, MG_HOW_REDRAWS);
		mg_model_destroy(m);
	}
}

/*
 * mst chooses its tree without regard to zeros. Here they are a grid and it is another path through the same columns:
 * together they need cliques of several columns, which for mst would be too large; some zeros go then, and what is kept
 * is kept whole.
 */
static void
zeros_give_way_to_the_tree(void **state)
{
	static const uint32_t path[12] = {0, 7, 2, 9, 4, 11, 6, 1, 8, 3, 10, 5};
	world *w = *state;
	mg_model *m;
	uint32_t kept = 0;
	const mg_graphical *g;

	make_equal_columns(w, 12, 30, 5000);
	independent_rows(w);
	for (uint32_t r = 0; r < w->nrows; r++)
	{
		uint32_t *row = w->rows[r];

		row[0] = 1 + below(w, 28);
		for (uint32_t i = 1; i < 12; i++)
			row[path[i]] = below(w, 4) ? row[path[i - 1]] : 1 + below(w, 28);
	}
	for (uint32_t i = 0; i < 8; i++)
		set_order(w, i, MG_LESS | MG_EQUAL, i + 4);
	m = fit(w, "mst", 1, 100);
	g = m->body;
	check_model(m);
	assert_int_equal(g->nmeasured, 11);
	assert_true(g->tree.cells <= (1u << 19) + 11 * 900);
	for (uint32_t i = 0; i < 8; i++)
	{
		if (w->constraint[i].how != MG_HOW_ZEROS)
			continue;
		check_zeros(w, m, &w->constraint[i]);
		kept++;
	}
	assert_true(kept > 0 && kept < 8);
	mg_model_destroy(m);
}

/* ---- stopping, failing, threads ---- */

typedef struct stop
{
	size_t polls, at;
} stop;

static bool
stops(void *arg)
{
	stop *s = arg;

	return ++s->polls >= s->at;
}

/* Whenever the hook says so the fit ends soon, as cancelled, and frees what it had (the sanitizer looks). */
static void
cancelling_ends_a_fit_soon(void **state)
{
	static const char *const methods[] = {"aim", "swift"};
	world *w = *state;

	ring_rows(w, 6, 4, 300);
	for (uint32_t which = 0; which < 2; which++)
	{
		stop s = {0, SIZE_MAX};
		size_t all;
		mg_model *m;

		open_curator(w, 1, 0.2);
		w->ctx.cancel = stops;
		w->ctx.cancel_arg = &s;
		assert_int_equal(mg_method_find(methods[which])->fit(&w->ctx, w->curator, &w->req, &m), MG_OK);
		mg_model_destroy(m);
		all = s.polls;
		assert_true(all > 20);
		for (size_t at = 1; at <= all; at += 1 + all / 60)
		{
			s = (stop){0, at};
			m = NULL;
			open_curator(w, 1, 0.2);
			w->ctx.cancel = stops;
			w->ctx.cancel_arg = &s;
			assert_int_equal(mg_method_find(methods[which])->fit(&w->ctx, w->curator, &w->req, &m), MG_CANCELLED);
			assert_null(m);
			assert_true(s.polls <= at + 2);
		}
	}
}

/* The n-th allocation fails, and all after it: out of memory, nothing else, and nothing is left behind. */
static void
running_out_of_memory_is_told(void **state)
{
	static const char *const methods[] = {"aim", "swift"};
	world *w = *state;

	ring_rows(w, 5, 4, 200);
	set_order(w, 0, MG_LESS | MG_EQUAL, 1);
	for (uint32_t which = 0; which < 2; which++)
	{
		size_t all;
		mg_model *m;

		open_curator(w, 1, 0.2);
		allocations = 0;
		assert_int_equal(mg_method_find(methods[which])->fit(&w->ctx, w->curator, &w->req, &m), MG_OK);
		all = allocations;
		mg_model_destroy(m);
		assert_true(all > 50);
		for (size_t at = 1; at <= all; at += 1 + all / 250)
		{
			mg_code code;

			m = NULL;
			open_curator(w, 1, 0.2);
			allocations = 0;
			failing = at;
			code = mg_method_find(methods[which])->fit(&w->ctx, w->curator, &w->req, &m);
			failing = 0;
			assert_int_equal(code, MG_NOMEM);
			assert_null(m);
			assert_true(w->odometer.rho_used <= 0.2 * (1 + 1e-9));
		}
	}
}

static void
written(world *w, const char *method, mg_pool *pool, mg_writer *out)
{
	mg_model *m = NULL;

	open_curator(w, 42, 0.5);
	w->ctx.pool = pool;
	assert_int_equal(mg_method_find(method)->fit(&w->ctx, w->curator, &w->req, &m), MG_OK);
	w->ctx.pool = NULL;
	mg_writer_init(out);
	assert_int_equal(mg_model_write(&w->ctx, m, out), MG_OK);
	mg_model_destroy(m);
}

/* The same noise gives the same bytes, with and without threads. */
static void
fits_can_be_repeated(void **state)
{
	static const char *const methods[] = {"aim", "swift", "mst", "independent"};
	world *w = *state;
	mg_pool *pool = mg_pool_create(3);

	assert_non_null(pool);
	ring_rows(w, 8, 6, 3000);
	set_order(w, 0, MG_LESS | MG_EQUAL, 4);
	for (uint32_t which = 0; which < 4; which++)
	{
		mg_writer out[3];

		for (uint32_t i = 0; i < 3; i++)
			written(w, methods[which], i == 2 ? pool : NULL, &out[i]);
		for (uint32_t i = 1; i < 3; i++)
		{
			assert_int_equal(out[i].len, out[0].len);
			assert_memory_equal(out[i].data, out[0].data, out[0].len);
		}
		for (uint32_t i = 0; i < 3; i++)
			mg_writer_free(&out[i]);
	}
	mg_pool_destroy(pool);
}

/* Rows in another order are the same table: the same noise gives the same model. */
static void
the_order_of_rows_does_not_matter(void **state)
{
	static const char *const methods[] = {"aim", "swift"};
	world *w = *state;

	ring_rows(w, 6, 5, 1000);
	for (uint32_t which = 0; which < 2; which++)
	{
		mg_writer before, after;

		written(w, methods[which], NULL, &before);
		for (uint32_t r = w->nrows - 1; r > 0; r--)
		{
			uint32_t other = below(w, r + 1), row[MOST_COLUMNS];

			memcpy(row, w->rows[r], sizeof(row));
			memcpy(w->rows[r], w->rows[other], sizeof(row));
			memcpy(w->rows[other], row, sizeof(row));
		}
		written(w, methods[which], NULL, &after);
		assert_int_equal(after.len, before.len);
		assert_memory_equal(after.data, before.data, before.len);
		mg_writer_free(&before);
		mg_writer_free(&after);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(aim_finds_pairs_and_triples),
		TEST(swift_finds_the_strong_pairs_and_few_others),
		TEST(swift_does_not_measure_what_a_path_explains),
		TEST(aim_follows_the_workload),
		TEST(aim_weighs_distance_against_noise),
		TEST(aim_anneals),
		TEST(charges_follow_the_plan),
		TEST(nothing_to_choose_costs_nothing),
		TEST(plans_name_the_noise),
		TEST(models_stay_within_their_limit),
		TEST(no_room_at_all_leaves_the_columns),
		TEST(any_table_trains),
		TEST(any_epsilon_trains),
		TEST(bad_options_are_refused),
		TEST(zeros_are_never_drawn),
		TEST(contradictions_are_left_out),
		TEST(zeros_give_way_to_the_tree),
		TEST(cancelling_ends_a_fit_soon),
		TEST(running_out_of_memory_is_told),
		TEST(fits_can_be_repeated),
		TEST(the_order_of_rows_does_not_matter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
