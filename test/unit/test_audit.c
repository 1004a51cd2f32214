/*
 * test/unit/test_audit.c: privacy proved by attack. Each mechanism, and whole trainings, run many times on two tables
 * that differ by one unit; what was seen proves a lower bound on epsilon (audit_bounds.h), which must lie under what
 * the odometer says was spent. Then the mechanism is broken on purpose (audit_sabotage.h) and the bound must rise above
 * the claim: the audit has the power to see the defect, so its silence means something.
 *
 * Claims are the product's own: mg_compose_epsilon of the events that were debited or, for a training, the epsilon of
 * what was reserved for it, at the delta of the audit. Noise comes from the real samplers over a seeded source, so an
 * outcome is the same on every machine; AUDIT_RUNS=10 in the environment takes ten times as many runs. The table that
 * is printed at the end has the claim, the bound, the ceiling (what so many runs could prove at most: a claim above it
 * would hold for want of power), and the bound of each defect.
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

#include "audit_bounds.h"
#include "audit_sabotage.h"
#include "curator/workload.h"
#include "graphical/body.h"
#include "memory_store.h"
#include "num/special.h"
#include "seeded_noise.h"
#include "synthesis/synthesis.h"

#define MEMORY (256u << 10)
#define DELTA 0.01 /* of the audits, where a mechanism has no atom; also the atom, where there is one */
#define BEYOND 6   /* times its reservation is what a greedy training asks for */

enum
{
	GROUP, /* closed category of 3 labels */
	FLAG,  /* closed category of 2 */
	KIND,  /* the same */
	CITY,  /* open text */
	AGE,   /* number, closed: 0..100 */
	TENS,  /* number, closed: 0..100 in steps of ten */
	SPAN,  /* the number of AGE, open within -1e6..1e6 */
	COLUMNS
};

/* ---- the two tables ---- */

typedef struct row
{
	uint32_t group, flag, kind;
	const char *city;
	double age, tens;
} row;

/* The row that only the larger table has: out of range, and with a label that nobody shares. */
static const row neighbour = {2, 1, 1, "nowhere", 150, 450};

/* What the neighbour's unit brings where units have several rows: more than are used. */
#define UNIT_ROWS 6
static const char *const unit_cities[UNIT_ROWS] = {"nowhere",   "nowhere 1", "nowhere 2",
												   "nowhere 3", "nowhere 4", "nowhere 5"};

static row
common_row(uint32_t i)
{
	static const char *const cities[] = {"north", "south", "east"};

	return (row){i % 3, i / 3 % 2, i / 2 % 2, cities[i % 3], 5 + 9 * (i % 11), 10 * (i % 11)};
}

typedef struct world
{
	mg_ctx ctx;
	memory_store store;
	mg_noise *noise;
	mg_odometer odometer;
	mg_arena *a;
	const uint32_t *cols; /* which of the columns the curator has, ncols of them */
	uint32_t ncols;
	mg_domain domain[COLUMNS]; /* of these */
	mg_curator *c;
	bool with; /* the neighbour's row */
	double reserved_rho, reserved_delta;
	uint32_t k; /* rows of a unit that are used; 0: a row is a unit */
} world;

static mg_domain
domain_of(uint32_t column)
{
	static const mg_label labels[] = {{"0", 1}, {"1", 1}, {"2", 1}};

	switch (column)
	{
		case GROUP:
			return (mg_domain){.name = "group", .kind = MG_CATEGORY, .nlabels = 3, .labels = labels};
		case CITY:
			return (mg_domain){.name = "city", .kind = MG_CATEGORY, .open = true, .has_other = true};
		case AGE:
			return (mg_domain){.name = "age", .kind = MG_NUMBER, .nullable = true, .lower = 0, .upper = 100};
		case TENS:
			return (
				mg_domain){.name = "tens", .kind = MG_NUMBER, .nullable = true, .lower = 0, .upper = 100, .step = 10};
		case SPAN:
			return (mg_domain){.name = "span", .kind = MG_NUMBER, .open = true, .lower = -1e6, .upper = 1e6};
		default:
			return (mg_domain){.name = "flag", .kind = MG_CATEGORY, .nlabels = 2, .labels = labels};
	}
}

static void
open_world(world *w, uint64_t seed, const uint32_t *cols, uint32_t ncols, bool with)
{
	memset(w, 0, sizeof(*w));
	mg_ctx_init(&w->ctx);
	memory_store_init(&w->store);
	w->noise = seeded_noise(seed);
	w->a = mg_arena_create(0);
	assert_non_null(w->a);
	w->cols = cols;
	w->ncols = ncols;
	w->with = with;
	w->reserved_rho = 1000;
	w->reserved_delta = 0.5;
	for (uint32_t i = 0; i < ncols; i++)
		w->domain[i] = domain_of(cols[i]);
}

static void
close_world(world *w)
{
	mg_curator_destroy(w->c);
	mg_noise_destroy(w->noise);
	memory_store_free(&w->store);
	mg_arena_destroy(w->a);
}

static void
load(world *w, const row *r, uint32_t unit)
{
	if (w->k > 0)
		mg_load_unit(w->c, &unit, sizeof(unit));
	for (uint32_t i = 0; i < w->ncols; i++)
		switch (w->cols[i])
		{
			case GROUP:
				mg_load_code(w->c, i, r->group);
				break;
			case FLAG:
				mg_load_code(w->c, i, r->flag);
				break;
			case KIND:
				mg_load_code(w->c, i, r->kind);
				break;
			case CITY:
				mg_load_text(w->c, i, r->city, strlen(r->city));
				break;
			case TENS:
				mg_load_number(w->c, i, r->tens);
				break;
			default:
				mg_load_number(w->c, i, r->age);
		}
	assert_int_equal(mg_load_row(&w->ctx, w->c), MG_OK);
}

/* A fresh odometer and curator over `rows` common rows, `shared` rows with the neighbour's city, and the neighbour's.
 */
static void
fill_world(world *w, uint32_t rows, uint32_t shared)
{
	static const uint8_t key[MG_UNIT_KEY_BYTES] = {7};
	const mg_units units = {w->k, key};

	mg_curator_destroy(w->c);
	w->c = NULL;
	mg_odometer_init(&w->odometer, w->reserved_rho, w->reserved_delta);
	assert_int_equal(mg_curator_create_for_units(&w->ctx, w->domain, w->ncols, w->k > 0 ? &units : NULL, w->noise,
												 &w->odometer, &w->store.store, MEMORY, &w->c),
					 MG_OK);
	for (uint32_t i = 0; i < rows + shared; i++)
	{
		row r = common_row(i);

		if (i >= rows)
			r.city = neighbour.city;
		load(w, &r, i);
	}
	for (uint32_t i = 0; i < (w->k > 0 ? UNIT_ROWS : 1) && w->with; i++)
	{
		row r = neighbour;

		r.city = unit_cities[i];
		audit_unit_brings_more();
		load(w, &r, UINT32_MAX);
	}
	assert_int_equal(mg_load_finish(&w->ctx, w->c), MG_OK);
}

static void
recode(world *w)
{
	static const uint16_t group[] = {0, 1, 2, 0, 0}, flag[] = {0, 1, 0, 0};
	static const uint16_t *const merge[] = {group, flag};
	static const uint32_t ncoarse[] = {3, 2};

	assert_int_equal(mg_curator_recode(&w->ctx, w->c, merge, ncoarse), MG_OK);
}

/* ---- mechanisms: one run each, and the number that an attacker looks at ---- */

typedef struct mechanism
{
	const char *name;
	double (*run)(world *w);
	uint32_t cols[COLUMNS], ncols, rows;
	size_t runs;     /* on each table */
	double delta;    /* of the claim */
	double power;    /* the share of the claim that the audit must see of the sound mechanism, at least */
	bool coarse;     /* asked after recoding */
	bool gaussian;   /* a fitted mu is valid */
	uint32_t shared; /* rows that have the neighbour's label */
	double rho;      /* of a training, which loads the table for every run and claims what it reserved */
	double atoms;
	uint32_t k; /* rows of a unit that are used; 0: a row is a unit */
} mechanism;

static double
run_marginal(world *w)
{
	static const uint32_t cols[] = {0, 1};
	int64_t noisy[6];

	assert_int_equal(mg_curator_marginal(&w->ctx, w->c, cols, 2, (mg_ratio){2, 1}, noisy), MG_OK);
	return (double) noisy[neighbour.group * 2 + neighbour.flag];
}

/* Three rows of the unit may be in one cell: noise of three times the deviation for the same charge. */
static double
run_unit_marginal(world *w)
{
	static const uint32_t cols[] = {0, 1};
	int64_t noisy[6];

	assert_int_equal(mg_curator_marginal(&w->ctx, w->c, cols, 2, (mg_ratio){18, 1}, noisy), MG_OK);
	return (double) noisy[neighbour.group * 2 + neighbour.flag];
}

/* Four measurements in one call: what they are charged must add up. */
static double
run_marginals(world *w)
{
	static const uint32_t cols[] = {0, 1};
	int64_t noisy[4][6];
	mg_marginal_query q[] = {{1, cols, {8, 1}, noisy[0]},
							 {1, cols + 1, {8, 1}, noisy[1]},
							 {2, cols, {8, 1}, noisy[2]},
							 {2, cols, {8, 1}, noisy[3]}};
	uint32_t cell = neighbour.group * 2 + neighbour.flag;

	assert_int_equal(mg_curator_marginals(&w->ctx, w->c, q, 4), MG_OK);
	return (double) (noisy[0][neighbour.group] + noisy[1][neighbour.flag] + noisy[2][cell] + noisy[3][cell]);
}

/* The neighbour's number is out of range: it belongs in the last cell and nowhere else. */
static double
run_cells(world *w)
{
	static const double cuts[] = {25, 50, 75, 90};
	int64_t noisy[6];

	assert_int_equal(mg_curator_cells(&w->ctx, w->c, 0, cuts, 4, (mg_ratio){2, 1}, noisy), MG_OK);
	return (double) (audit_broken() == AUDIT_NO_CLIP ? noisy[4] + noisy[5] : noisy[4]);
}

/* Fine cells, two groups of them, and all of them together. */
static double
run_hierarchy(world *w)
{
	static const uint32_t size[] = {5, 2, 1}, halves[] = {0, 0, 1, 1, 1}, all[5];
	static const uint32_t *const group[] = {NULL, halves, all};
	static const mg_ratio sigma2[] = {{6, 1}, {6, 1}, {6, 1}};
	int64_t fine[5] = {0}, coarse[2] = {0}, total = 0, *noisy[] = {fine, coarse, &total};

	assert_int_equal(mg_curator_hierarchy(&w->ctx, w->c, 0, 3, size, group, sigma2, noisy), MG_OK);
	return (double) (fine[neighbour.group] + coarse[1] + total);
}

/* The noisy count of a label, or -inf where it was not released. */
static double
released(world *w, mg_ratio sigma2, const char *label)
{
	mg_released r = {0};
	double count = -INFINITY;

	assert_int_equal(mg_curator_release(&w->ctx, w->c, 0, sigma2, DELTA, 16, w->a, &r), MG_OK);
	for (uint32_t i = 0; i < r.count; i++)
		if (strcmp(r.labels[i].text, label) == 0)
			count = (double) r.noisy[i];
	mg_arena_reset(w->a);
	return count;
}

/* Both tables hold the label, about as often as its release takes. */
static double
run_shared_label(world *w)
{
	return released(w, (mg_ratio){2, 1}, neighbour.city);
}

/* Only one of the tables holds the label: whether it is named is all that there is to see. At a variance of 3 the
 * threshold lets it through with probability 0.0047, and with 0.022 were it one lower. */
static double
run_rare_label(world *w)
{
	return released(w, (mg_ratio){3, 1}, neighbour.city) > -INFINITY;
}

/* The unit has a label in each of its rows, one of which is used: is any of them named? */
static double
run_unit_labels(world *w)
{
	mg_released r = {0};
	bool named = false;

	assert_int_equal(mg_curator_release(&w->ctx, w->c, 0, (mg_ratio){3, 1}, DELTA, 16, w->a, &r), MG_OK);
	for (uint32_t i = 0; i < r.count; i++)
		named = named || strncmp(r.labels[i].text, neighbour.city, strlen(neighbour.city)) == 0;
	mg_arena_reset(w->a);
	return named;
}

/* At 16 with 0.0088: near enough to the atom for an audit that is told of a smaller one to notice. */
static double
run_wide_label(world *w)
{
	return released(w, (mg_ratio){16, 1}, neighbour.city) > -INFINITY;
}

/* One candidate's score falls by one with the neighbour, the other's rises by one. */
static double
choose(world *w, int64_t ahead)
{
	static const uint32_t cols[] = {0, 1};
	static const int64_t above[] = {8, 8, 20}, below[] = {12, 0};
	mg_candidate cand[] = {{1, cols, above, 0}, {1, cols + 1, below, ahead}}; /* 12 or 11; 12 or 13, less ahead */
	mg_selection *s;
	size_t chosen;

	assert_int_equal(mg_selection_begin(&w->ctx, w->c, cand, 2, NULL, NULL, &s), MG_OK);
	assert_int_equal(mg_selection_choose(&w->ctx, s, NULL, (mg_ratio){1, 1}, &chosen), MG_OK);
	mg_selection_end(s);
	return (double) chosen;
}

/* Where the second is rarely chosen, neighbours' probabilities differ most. */
static double
run_selection(world *w)
{
	return choose(w, 3);
}

/* Where the best changes with the neighbour, a choice without noise gives it away. */
static double
run_close_selection(world *w)
{
	return choose(w, 1);
}

/* The same two marginals as a workload, with weights. */
static const mg_marginal_of pair[] = {{1, (const uint32_t[]){0}}, {1, (const uint32_t[]){1}}};

static void
fill_pair(void *arg, size_t i, double *out)
{
	static const double answer[2][3] = {{8, 8, 20}, {12, 0}};

	memcpy(out, answer[i], (i == 0 ? 3 : 2) * sizeof(double));
}

/* With the neighbour the first falls by 4, from 48 to 44, and the second rises by 3, from 36 to 39. */
static double
run_weighted(world *w)
{
	static const mg_contender cont[] = {{0, 4, 0}, {1, 3, 0}};
	mg_workload *load;
	mg_selection *s;
	size_t chosen;

	assert_int_equal(mg_workload_begin(&w->ctx, w->c, pair, 2, MEMORY, &load), MG_OK);
	assert_int_equal(mg_workload_score(&w->ctx, load, cont, 2, fill_pair, NULL, &s), MG_OK);
	mg_workload_end(load);
	assert_int_equal(mg_selection_choose(&w->ctx, s, NULL, (mg_ratio){1, 1}, &chosen), MG_OK);
	mg_selection_end(s);
	return (double) chosen;
}

/* Two scores that fall by k with the neighbour and two that rise: L2 2k. The best test of four is their sum. */
static double
released_scores(world *w, mg_ratio sigma2)
{
	static const uint32_t cols[] = {0, 1};
	static const int64_t above[] = {8, 8, 20}, below[] = {12, 0};
	const mg_candidate cand[] = {{1, cols, above, 0},
								 {1, cols + 1, below, 0},
								 {1, cols, above, 7},
								 {1, cols + 1, below, -7}};
	mg_selection *s;
	int64_t noisy[4];

	assert_int_equal(mg_selection_begin(&w->ctx, w->c, cand, 4, NULL, NULL, &s), MG_OK);
	assert_int_equal(mg_selection_release(&w->ctx, s, sigma2, noisy), MG_OK);
	mg_selection_end(s);
	return (double) (noisy[1] + noisy[3] - noisy[0] - noisy[2]);
}

static double
run_scores(world *w)
{
	return released_scores(w, (mg_ratio){8, 1});
}

static double
run_unit_scores(world *w)
{
	return released_scores(w, (mg_ratio){72, 1});
}

/* Weights 4 and 3 move by a vector of length 5, and each score counts by how far it moves. */
static double
run_weighted_scores(world *w)
{
	static const mg_contender cont[] = {{0, 4, 0}, {1, 3, 0}};
	mg_workload *load;
	mg_selection *s;
	int64_t noisy[2];

	assert_int_equal(mg_workload_begin(&w->ctx, w->c, pair, 2, MEMORY, &load), MG_OK);
	assert_int_equal(mg_workload_score(&w->ctx, load, cont, 2, fill_pair, NULL, &s), MG_OK);
	mg_workload_end(load);
	assert_int_equal(mg_selection_release(&w->ctx, s, (mg_ratio){50, 1}, noisy), MG_OK);
	mg_selection_end(s);
	return (double) (3 * noisy[1] - 4 * noisy[0]);
}

/* Kept counts and such as are counted again, in one call. */
static double
run_workload(world *w)
{
	int64_t noisy[4][3];
	mg_workload_query q[] = {{0, {8, 1}, noisy[0]},
							 {1, {8, 1}, noisy[1]},
							 {1, {8, 1}, noisy[2]},
							 {0, {8, 1}, noisy[3]}};
	mg_workload *load;

	assert_int_equal(mg_workload_begin(&w->ctx, w->c, pair, 2, 16 * sizeof(uint32_t), &load), MG_OK);
	assert_int_equal(mg_workload_measure(&w->ctx, load, q, 4), MG_OK);
	mg_workload_end(load);
	return (double) (noisy[0][neighbour.group] + noisy[1][neighbour.flag] + noisy[2][neighbour.flag] +
					 noisy[3][neighbour.group]);
}

/* A count of its own: no query of the curator draws this noise yet. */
static double
run_laplace(world *w)
{
	const mg_event e = {MG_EVENT_DISCRETE_LAPLACE, 1, 1, 0};
	int64_t x;

	assert_int_equal(mg_odometer_debit(&w->ctx, &w->odometer, &e), MG_OK);
	assert_int_equal(mg_discrete_laplace(&w->ctx, w->noise, (mg_ratio){1, 1}, &x), MG_OK);
	return (double) x + w->with;
}

/* ---- whole trainings ---- */

static mg_code
train_with(world *w, const char *method, double rho, double atoms, mg_model **m)
{
	mg_fit_request req = {.domains = w->domain,
						  .ncolumns = w->ncols,
						  .allowance = {rho, atoms},
						  .memory = 8 << 20,
						  .rows_per_unit = w->k};

	return mg_method_find(method)->fit(&w->ctx, w->c, &req, m);
}

static mg_code
train(world *w, double rho, double atoms, mg_model **m)
{
	return train_with(w, "mst", rho, atoms, m);
}

/* Masses of the cells of columns and cliques where a row of these fine cells falls. */
static double
mass_at(const mg_model *m, const uint32_t *fine)
{
	const mg_graphical *g = m->body;
	double sum = 0;

	for (uint32_t i = 0; i < m->ncolumns; i++)
		sum += m->columns[i].fine[fine[i]];
	for (uint32_t k = 0; k < g->tree.count; k++)
	{
		const mg_factor *f = &g->marginal[k];
		size_t cell = 0;

		for (uint32_t i = 0; i < f->k; i++)
			cell = cell * f->size[i] + m->columns[f->cols[i]].merge[fine[f->cols[i]]];
		sum += f->v[cell];
	}
	return sum;
}

static double
mass_at_neighbour(const mg_model *m)
{
	return mass_at(m, (const uint32_t[]){neighbour.group, neighbour.flag, neighbour.kind});
}

/* Of the columns TENS and FLAG; NULL as well where an outlier is counted there. */
static double
mass_at_outlier(const mg_model *m)
{
	const uint32_t null = m->columns[0].nfine - 1;
	double sum = mass_at(m, (const uint32_t[]){null - 1, neighbour.flag});

	return audit_broken() == AUDIT_NO_CLIP ? sum + mass_at(m, (const uint32_t[]){null, neighbour.flag}) : sum;
}

static double
run_training(world *w, double rho, double atoms, double (*look)(const mg_model *m))
{
	mg_model *m;
	double x;

	assert_int_equal(train(w, rho, atoms, &m), MG_OK);
	x = look(m);
	mg_model_destroy(m);
	return x;
}

static double
run_mst(world *w)
{
	return run_training(w, w->reserved_rho, 0, mass_at_neighbour);
}

static double
run_search(world *w, const char *method)
{
	mg_model *m;
	double x;

	assert_int_equal(train_with(w, method, w->reserved_rho, 0, &m), MG_OK);
	x = mass_at_neighbour(m);
	mg_model_destroy(m);
	return x;
}

static double
run_aim(world *w)
{
	return run_search(w, "aim");
}

static double
run_swift(world *w)
{
	return run_search(w, "swift");
}

static double
run_number(world *w)
{
	return run_training(w, w->reserved_rho, 0, mass_at_outlier);
}

/* A method with a mistake in it: it takes its share many times over. */
static double
run_greedy(world *w)
{
	return run_training(w, BEYOND * w->reserved_rho, 0, mass_at_neighbour);
}

static double
knows_label(const mg_model *m)
{
	const mg_domain *d = &m->columns[0].domain;
	double found = 0;

	for (uint32_t i = 0; i < d->nlabels; i++)
		found += strcmp(d->labels[i].text, neighbour.city) == 0;
	return found;
}

/* Open text is learnt: is the neighbour's label in the model? */
static double
run_open_text(world *w)
{
	return run_training(w, w->reserved_rho, w->reserved_delta, knows_label);
}

static double
total_of(const mg_model *m)
{
	return m->total;
}

/* An open number is learnt, and the neighbour is an outlier of it: what is the total over all cells? */
static double
run_open_number(world *w)
{
	return run_training(w, w->reserved_rho, w->reserved_delta, total_of);
}

#define TWO {GROUP, FLAG}, 2
#define THREE {GROUP, FLAG, KIND}, 3
/* name, run, columns, rows, runs, delta, power */
static const mechanism marginal = {"marginal",     run_marginal,    TWO, 24, 20000, DELTA, 0.6,
								   .coarse = true, .gaussian = true};
static const mechanism marginals = {"four marginals", run_marginals,   TWO, 24, 20000, DELTA, 0.6,
									.coarse = true,   .gaussian = true};
static const mechanism cells = {"cells", run_cells, {AGE}, 1, 24, 20000, DELTA, 0.6, .gaussian = true};
static const mechanism hierarchy = {"hierarchy", run_hierarchy, {GROUP}, 1, 24, 20000, DELTA, 0.6, .gaussian = true};
static const mechanism shared_label = {"labels, shared", run_shared_label, {CITY}, 1, 24, 20000, 2 * DELTA, 0.35,
									   .shared = 4};
static const mechanism rare_label = {"labels, rare", run_rare_label, {CITY}, 1, 24, 60000, DELTA + 1e-3, 0};
static const mechanism wide_label = {"labels, atom", run_wide_label, {CITY}, 1, 24, 20000, 1e-3, 0};
static const mechanism selection = {"selection", run_selection, TWO, 24, 20000, 0, 0.5, .coarse = true};
static const mechanism close_selection = {"selection, close", run_close_selection, TWO, 24, 20000, 0, 0.35,
										  .coarse = true};
static const mechanism weighted = {"selection, weights", run_weighted, TWO, 24, 20000, 0, 0.45, .coarse = true};
static const mechanism workload = {"workload",     run_workload,    TWO, 24, 20000, DELTA, 0.6,
								   .coarse = true, .gaussian = true};
static const mechanism scores = {"scores", run_scores, TWO, 24, 20000, DELTA, 0.6, .coarse = true, .gaussian = true};
static const mechanism weighted_scores = {"scores, weights", run_weighted_scores, TWO, 24, 20000, DELTA, 0.6,
										  .coarse = true,    .gaussian = true};
static const mechanism unit_scores = {"units, scores", run_unit_scores,  TWO,   24, 20000, DELTA, 0.6,
									  .coarse = true,  .gaussian = true, .k = 3};
static const mechanism laplace = {"discrete Laplace", run_laplace, {FLAG}, 1, 0, 20000, 0, 0.8};
static const mechanism mst = {"mst", run_mst, THREE, 96, 30000, DELTA, 0.3, .rho = 0.5};
/* Estimation weighs what was measured against a prior, which hides more of one row than the noise alone: what these two
 * show is that no noise is left out; their queries are audited one by one. */
static const mechanism aim = {"aim", run_aim, THREE, 96, 3000, DELTA, 0, .rho = 0.5};
static const mechanism swift = {"swift", run_swift, THREE, 96, 3000, DELTA, 0, .rho = 0.5};
static const mechanism number = {"mst, number", run_number, {TENS, FLAG}, 2, 96, 10000, DELTA, 0.15, .rho = 0.5};
static const mechanism greedy = {"mst, greedy", run_greedy, THREE, 96, 30000, DELTA, 0, .rho = 0.5};
static const mechanism unit_marginal = {"units, marginal", run_unit_marginal, TWO,   24, 20000, DELTA, 0.6,
										.coarse = true,    .gaussian = true,  .k = 3};
static const mechanism unit_labels = {"units, labels", run_unit_labels, {CITY}, 1, 24, 40000, DELTA + 1e-3, 0, .k = 1};
static const mechanism unit_mst = {"units, mst", run_mst, THREE, 150, 15000, DELTA, 0.2, .rho = 0.5, .k = 2};
static const mechanism open_text = {"mst, open text", run_open_text, {CITY, FLAG}, 2, 96, 4000, 2 * DELTA, 0,
									.rho = 0.25,      .atoms = DELTA};
static const mechanism open_number = {"mst, open number", run_open_number, {SPAN, FLAG}, 2, 48, 400, 2 * DELTA, 0,
									  .rho = 0.25,        .atoms = DELTA};

/* ---- the audit ---- */

/* What shows at once needs fewer runs. */
static size_t
runs_of(const mechanism *m, audit_defect d)
{
	const char *s = getenv("AUDIT_RUNS");
	long times = s != NULL ? strtol(s, NULL, 10) : 1;
	size_t part = d == AUDIT_NO_NOISE || d == AUDIT_NO_THRESHOLD ? 4 : d == AUDIT_NO_BOUND ? 2 : 1;

	part = m->runs < 1000 ? 1 : part;
	return m->runs / part * (size_t) (times >= 1 && times <= 1000 ? times : 1);
}

/* What the product says that a run cost. */
static double
claim_of(const mechanism *m, const world *w)
{
	size_t n;
	const mg_event *e = audit_charged(&n);

	if (m->rho > 0)
		return mg_zcdp_epsilon(w->reserved_rho, m->delta - w->reserved_delta);
	assert_true(n > 0 && n < AUDIT_EVENTS);
	return mg_compose_epsilon(e, n, m->delta);
}

/* Outcomes on one table; the claim, which may not depend on the table or on the run. */
static double *
outcomes(const mechanism *m, size_t runs, bool with, double *claim)
{
	double *v = malloc(runs * sizeof(*v));
	world w;

	assert_non_null(v);
	open_world(&w, with ? 0xa0d17 : 0x5eed, m->cols, m->ncols, with);
	w.k = m->k;
	if (m->rho > 0)
	{
		w.reserved_rho = m->rho;
		w.reserved_delta = m->atoms;
	}
	fill_world(&w, m->rows, m->shared);
	if (m->coarse)
		recode(&w);
	for (size_t i = 0; i < runs; i++)
	{
		double again;

		if (m->rho > 0 && i > 0)
			fill_world(&w, m->rows, m->shared);
		mg_odometer_init(&w.odometer, w.reserved_rho, w.reserved_delta);
		audit_forget();
		v[i] = m->run(&w);
		again = claim_of(m, &w);
		if (i == 0)
			*claim = again;
		assert_true(again == *claim);
	}
	close_world(&w);
	return v;
}

/* Lines of the table at the end. */
static char report[64][160];
static size_t lines;

static audit_bound
audit(const mechanism *m, audit_defect d, const char *what, double *claim)
{
	size_t runs = runs_of(m, d);
	double claim_with, *without, *with;
	audit_bound b;

	audit_break(d);
	without = outcomes(m, runs, false, claim);
	with = outcomes(m, runs, true, &claim_with);
	assert_true(d == AUDIT_SOUND || audit_defective_calls() > 0);
	audit_break(AUDIT_SOUND);
	assert_true(*claim == claim_with && isfinite(*claim));
	b = audit_lower_bound(without, with, runs, m->delta, m->gaussian);
	free(without);
	free(with);
	if (lines < sizeof(report) / sizeof(*report))
		snprintf(report[lines++], sizeof(*report), "# %-17s %-38s %5.3f %8.2f %8.2f %8.2f %8.2f", m->name, what,
				 m->delta, *claim, b.epsilon, b.gaussian, b.ceiling);
	return b;
}

typedef struct trial
{
	const mechanism *m;
	audit_defect defect;
	const char *what;
} trial;

static void
holds(void **state)
{
	const trial *t = *state;
	double claim;
	audit_bound b = audit(t->m, AUDIT_SOUND, "sound", &claim);

	assert_true(b.best <= claim);
	assert_true(b.best >= t->m->power * claim);
	assert_true(b.ceiling > claim);
}

static void
breaks(void **state)
{
	const trial *t = *state;
	double claim;
	audit_bound b = audit(t->m, t->defect, t->what, &claim);

	assert_true(b.best > claim);
}

/* ---- the harness itself ---- */

/* Against the sums that define the bounds, and where they have a closed form. */
static void
audit_frequencies_are_bounded_exactly(void **state)
{
	enum
	{
		N = 20
	};

	assert_true(audit_least_probability(N, 0, 1e-3) == 0);
	assert_float_equal(audit_least_probability(N, N, 1e-3), pow(1e-3, 1.0 / N), 1e-12);
	assert_float_equal(audit_most_probability(N, 0, 1e-3), 1 - pow(1e-3, 1.0 / N), 1e-12);
	for (size_t k = 1; k < N; k++)
	{
		double low = audit_least_probability(N, k, 1e-3), tail = 0, choose_i = 1;

		for (size_t i = 0; i <= N; i++)
		{
			if (i >= k)
				tail += choose_i * pow(low, (double) i) * pow(1 - low, (double) (N - i));
			choose_i *= (double) (N - i) / (double) (i + 1);
		}
		assert_float_equal(tail, 1e-3, 1e-9);
		assert_float_equal(audit_most_probability(N, k, 1e-3), 1 - audit_least_probability(N, N - k, 1e-3), 1e-12);
	}
}

/* delta(epsilon) of two normal laws that are mu apart, as the integral that defines it. */
static void
audit_mu_is_converted_exactly(void **state)
{
	static const double mus[] = {0.3, 1, 2.5};

	for (int i = 0; i < 3; i++)
	{
		double mu = mus[i], epsilon = audit_gaussian_epsilon(mu, DELTA), delta = 0;

		for (double x = -10; x < 12; x += 1e-4)
		{
			double gap = exp(-(x - mu) * (x - mu) / 2) - exp(epsilon - x * x / 2);

			delta += gap > 0 ? gap * 1e-4 / sqrt(2 * M_PI) : 0;
		}
		assert_float_equal(delta, DELTA, 1e-6);
	}
	assert_true(audit_gaussian_epsilon(0.01, DELTA) < 1e-12);
}

/* A fitted mu is valid for discrete Gaussians of the variances used here: no event at an integer shows more than
 * 1/sigma by 4 per cent, which is less than what the zCDP of the claim is above the profile of mu. */
static void
audit_discrete_noise_is_nearly_gaussian(void **state)
{
	for (double sigma2 = 2; sigma2 <= 8; sigma2 *= 2)
	{
		double total = 0, above = 0, mu = 1 / sqrt(sigma2);

		for (int x = -60; x <= 60; x++)
			total += exp(-x * x / (2 * sigma2));
		for (int x = 60; x > -4; x--)
		{
			double here = exp(-x * x / (2 * sigma2)) / total, t = above + here;

			if (x <= 4) /* events that runs by the thousand can see */
				assert_true(mg_normal_quantile(t) - mg_normal_quantile(above) < mu * 1.04);
			above = t;
		}
		assert_true(audit_gaussian_epsilon(mu * 1.04, DELTA) < mg_zcdp_epsilon(mu * mu / 2, DELTA));
	}
}

/* Randomised response has events that prove all of its epsilon; equal laws prove nothing; certainty, the ceiling. */
static void
audit_bounds_what_is_known(void **state)
{
	enum
	{
		RUNS = 20000
	};
	double *v = calloc(2 * RUNS, sizeof(*v));
	audit_bound b;
	mg_rng r;

	assert_non_null(v);
	mg_rng_seed(&r, 11);
	for (size_t i = 0; i < 2 * RUNS; i++)
		v[i] = mg_rng_unit(&r) < (i < RUNS ? 0.25 : 0.75);
	b = audit_lower_bound(v, v + RUNS, RUNS, 0, false);
	assert_true(b.best < log(3) && b.best > 0.9 * log(3));
	for (size_t i = 0; i < 2 * RUNS; i++)
		v[i] = (double) mg_rng_below32((uint32_t) mg_rng_u64(&r), 100);
	b = audit_lower_bound(v, v + RUNS, RUNS, 0, true);
	assert_true(b.best == 0 && b.mu == 0);
	for (size_t i = 0; i < 2 * RUNS; i++)
		v[i] = i < RUNS ? -INFINITY : 1;
	b = audit_lower_bound(v, v + RUNS, RUNS, DELTA, false);
	assert_float_equal(b.epsilon, b.ceiling, 1e-12);
	assert_true(b.ceiling > 5 && b.ceiling < 8);
	free(v);
}

/* ---- what is not an epsilon ---- */

/* A label that one row alone holds is named as often as the tail says, and that is no more than the atom. */
static void
audit_rare_label_is_named_as_often_as_charged(void **state)
{
	const mg_ratio sigma2 = {16, 1};
	double claim, *v, tail;
	size_t named = 0, runs = runs_of(&wide_label, AUDIT_SOUND);
	int64_t threshold;
	mg_ctx ctx;
	mechanism m = wide_label;

	m.delta = 2 * DELTA; /* at a smaller one there is no claim */
	mg_ctx_init(&ctx);
	assert_int_equal(mg_partition_threshold(&ctx, sigma2, DELTA, &threshold), MG_OK);
	tail = mg_discrete_gaussian_tail(sigma2, threshold - 1);
	audit_break(AUDIT_SOUND);
	v = outcomes(&m, runs, true, &claim);
	for (size_t i = 0; i < runs; i++)
		named += v[i] > 0;
	assert_true(tail <= DELTA);
	assert_true(audit_least_probability(runs, named, AUDIT_ERROR) <= tail);
	assert_true(audit_most_probability(runs, named, AUDIT_ERROR) >= 0.999 * tail);
	assert_true(audit_least_probability(runs, named, AUDIT_ERROR) >= DELTA / 2);
	free(v);
	v = outcomes(&m, runs, false, &claim);
	for (size_t i = 0; i < runs; i++)
		assert_true(v[i] == 0);
	free(v);
}

/* The odometer lets no training take more than it reserved, so that a greedy method never gets to hand out a model. */
static void
audit_greedy_training_is_refused(void **state)
{
	mg_model *m = NULL;
	world w;

	audit_break(AUDIT_SOUND);
	open_world(&w, 3, greedy.cols, greedy.ncols, true);
	w.reserved_rho = greedy.rho;
	w.reserved_delta = 0;
	fill_world(&w, greedy.rows, 0);
	assert_int_equal(train(&w, BEYOND * greedy.rho, 0, &m), MG_BUDGET);
	assert_null(m);
	close_world(&w);
}

/* Nor an atom that was not reserved. */
static void
audit_unreserved_atom_is_refused(void **state)
{
	mg_released r;
	world w;

	audit_break(AUDIT_SOUND);
	open_world(&w, 4, rare_label.cols, rare_label.ncols, true);
	w.reserved_delta = DELTA / 2;
	fill_world(&w, rare_label.rows, 0);
	assert_int_equal(mg_curator_release(&w.ctx, w.c, 0, (mg_ratio){3, 1}, DELTA, 16, w.a, &r), MG_BUDGET);
	close_world(&w);
}

static int
print_table(void **state)
{
	print_message("# %-17s %-38s %5s %8s %8s %8s %8s\n", "mechanism", "state", "delta", "claim", "events", "gaussian",
				  "ceiling");
	for (size_t i = 0; i < lines; i++)
		print_message("%s\n", report[i]);
	return 0;
}

/* A test of its own for each mechanism that must hold and for each defect that must show. */
#define HOLDS(m)                                          \
	{                                                     \
		"audit_" #m "_holds", holds, NULL, NULL, &(trial) \
		{                                                 \
			&m, AUDIT_SOUND, "sound"                      \
		}                                                 \
	}
#define BREAKS(m, defect, when)                                        \
	{                                                                  \
		"audit_" #m "_breaks_when_" when, breaks, NULL, NULL, &(trial) \
		{                                                              \
			&m, defect, when                                           \
		}                                                              \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(audit_frequencies_are_bounded_exactly),
		cmocka_unit_test(audit_mu_is_converted_exactly),
		cmocka_unit_test(audit_discrete_noise_is_nearly_gaussian),
		cmocka_unit_test(audit_bounds_what_is_known),
		HOLDS(marginal),
		BREAKS(marginal, AUDIT_NO_NOISE, "noise_is_missing"),
		BREAKS(marginal, AUDIT_WEAK_NOISE, "variance_is_halved"),
		BREAKS(marginal, AUDIT_NO_BOUND, "a_unit_counts_three_times"),
		HOLDS(marginals),
		BREAKS(marginals, AUDIT_ONE_DEBIT, "only_one_is_charged"),
		BREAKS(marginals, AUDIT_WEAK_NOISE, "variance_is_halved"),
		HOLDS(cells),
		BREAKS(cells, AUDIT_NO_NOISE, "noise_is_missing"),
		BREAKS(cells, AUDIT_WEAK_NOISE, "variance_is_halved"),
		BREAKS(cells, AUDIT_NO_CLIP, "an_outlier_is_in_two_cells"),
		BREAKS(cells, AUDIT_NO_BOUND, "a_unit_counts_three_times"),
		HOLDS(hierarchy),
		BREAKS(hierarchy, AUDIT_NO_NOISE, "noise_is_missing"),
		BREAKS(hierarchy, AUDIT_WEAK_NOISE, "variance_is_halved"),
		BREAKS(hierarchy, AUDIT_ONE_DEBIT, "only_one_level_is_charged"),
		BREAKS(hierarchy, AUDIT_NO_BOUND, "a_unit_counts_three_times"),
		HOLDS(shared_label),
		BREAKS(shared_label, AUDIT_NO_NOISE, "noise_is_missing"),
		BREAKS(shared_label, AUDIT_NO_BOUND, "a_unit_counts_three_times"),
		HOLDS(rare_label),
		BREAKS(rare_label, AUDIT_NO_THRESHOLD, "the_threshold_is_missing"),
		BREAKS(rare_label, AUDIT_LOW_THRESHOLD, "the_threshold_is_one_too_low"),
		BREAKS(rare_label, AUDIT_NO_BOUND, "a_unit_counts_three_times"),
		cmocka_unit_test(audit_rare_label_is_named_as_often_as_charged),
		BREAKS(wide_label, AUDIT_FREE_DELTA, "the_atom_is_not_charged"),
		HOLDS(selection),
		BREAKS(selection, AUDIT_WEAK_NOISE, "epsilon_is_doubled"),
		BREAKS(selection, AUDIT_NO_BOUND, "a_unit_counts_three_times"),
		HOLDS(close_selection),
		BREAKS(close_selection, AUDIT_NO_NOISE, "noise_is_missing"),
		HOLDS(weighted),
		BREAKS(weighted, AUDIT_NO_WEIGHT, "weights_are_left_out"),
		BREAKS(weighted, AUDIT_WEAK_NOISE, "epsilon_is_doubled"),
		BREAKS(weighted, AUDIT_NO_BOUND, "a_unit_counts_three_times"),
		HOLDS(workload),
		BREAKS(workload, AUDIT_NO_NOISE, "noise_is_missing"),
		BREAKS(workload, AUDIT_WEAK_NOISE, "variance_is_halved"),
		BREAKS(workload, AUDIT_ONE_DEBIT, "only_one_is_charged"),
		BREAKS(workload, AUDIT_NO_BOUND, "a_unit_counts_three_times"),
		HOLDS(scores),
		BREAKS(scores, AUDIT_NO_NOISE, "noise_is_missing"),
		BREAKS(scores, AUDIT_WEAK_NOISE, "variance_is_halved"),
		BREAKS(scores, AUDIT_ONE_SCORE, "only_one_score_is_charged"),
		BREAKS(scores, AUDIT_NO_BOUND, "a_unit_counts_three_times"),
		HOLDS(weighted_scores),
		BREAKS(weighted_scores, AUDIT_NO_WEIGHT, "weights_are_left_out"),
		BREAKS(weighted_scores, AUDIT_WEAK_NOISE, "variance_is_halved"),
		HOLDS(unit_scores),
		BREAKS(unit_scores, AUDIT_NO_UNITS, "units_are_not_bounded"),
		HOLDS(laplace),
		BREAKS(laplace, AUDIT_NO_NOISE, "noise_is_missing"),
		BREAKS(laplace, AUDIT_WEAK_NOISE, "scale_is_halved"),
		HOLDS(mst),
		BREAKS(mst, AUDIT_NO_NOISE, "noise_is_missing"),
		BREAKS(mst, AUDIT_NO_BOUND, "a_unit_counts_three_times"),
		HOLDS(aim),
		BREAKS(aim, AUDIT_NO_NOISE, "noise_is_missing"),
		HOLDS(swift),
		BREAKS(swift, AUDIT_NO_NOISE, "noise_is_missing"),
		HOLDS(number),
		BREAKS(number, AUDIT_NO_CLIP, "an_outlier_is_counted_again"),
		BREAKS(number, AUDIT_NO_NOISE, "noise_is_missing"),
		BREAKS(greedy, AUDIT_ONE_DEBIT, "only_one_mechanism_is_charged"),
		cmocka_unit_test(audit_greedy_training_is_refused),
		HOLDS(unit_marginal),
		BREAKS(unit_marginal, AUDIT_NO_UNITS, "units_are_not_bounded"),
		BREAKS(unit_marginal, AUDIT_NO_NOISE, "noise_is_missing"),
		HOLDS(unit_labels),
		BREAKS(unit_labels, AUDIT_NO_UNITS, "units_are_not_bounded"),
		HOLDS(unit_mst),
		BREAKS(unit_mst, AUDIT_NO_UNITS, "units_are_not_bounded"),
		HOLDS(open_text),
		BREAKS(open_text, AUDIT_NO_THRESHOLD, "labels_need_no_threshold"),
		HOLDS(open_number),
		BREAKS(open_number, AUDIT_NO_NOISE, "noise_is_missing"),
		cmocka_unit_test(audit_unreserved_atom_is_refused),
	};

	return cmocka_run_group_tests_name("audit", tests, NULL, print_table);
}
