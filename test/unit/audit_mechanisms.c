/* test/unit/audit_mechanisms.c: see audit_mechanisms.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit_mechanisms.h"
#include "audit_sabotage.h"
#include "curator/workload.h"
#include "graphical/body.h"
#include "num/special.h"
#include "seeded_noise.h"

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

void
audit_open(world *w, uint64_t seed, const uint32_t *cols, uint32_t ncols, bool with)
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

void
audit_close(world *w)
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
void
audit_fill(world *w, uint32_t rows, uint32_t shared)
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

void
audit_recode(world *w)
{
	static const uint16_t group[] = {0, 1, 2, 0, 0}, flag[] = {0, 1, 0, 0};
	static const uint16_t *const merge[] = {group, flag};
	static const uint32_t ncoarse[] = {3, 2};

	assert_int_equal(mg_curator_recode(&w->ctx, w->c, merge, ncoarse), MG_OK);
}

/* ---- mechanisms: one run each, and the number that an attacker looks at ---- */

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

mg_code
audit_train(world *w, double rho, double atoms, mg_model **m)
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

	assert_int_equal(audit_train(w, rho, atoms, &m), MG_OK);
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
const mechanism audited_marginal = {"marginal",     run_marginal,    TWO, 24, 20000, DELTA, 0.6,
									.coarse = true, .gaussian = true};
const mechanism audited_marginals = {"four marginals", run_marginals,   TWO, 24, 20000, DELTA, 0.6,
									 .coarse = true,   .gaussian = true};
const mechanism audited_cells = {"cells", run_cells, {AGE}, 1, 24, 20000, DELTA, 0.6, .gaussian = true};
const mechanism audited_hierarchy = {"hierarchy", run_hierarchy, {GROUP}, 1, 24, 20000, DELTA, 0.6, .gaussian = true};
const mechanism audited_shared_label = {"labels, shared", run_shared_label, {CITY}, 1, 24, 20000, 2 * DELTA, 0.35,
										.shared = 4};
const mechanism audited_rare_label = {"labels, rare", run_rare_label, {CITY}, 1, 24, 60000, DELTA + 1e-3, 0};
const mechanism audited_wide_label = {"labels, atom", run_wide_label, {CITY}, 1, 24, 20000, 1e-3, 0};
const mechanism audited_selection = {"selection", run_selection, TWO, 24, 20000, 0, 0.5, .coarse = true};
const mechanism audited_close_selection = {"selection, close", run_close_selection, TWO, 24, 20000, 0, 0.35,
										   .coarse = true};
const mechanism audited_weighted = {"selection, weights", run_weighted, TWO, 24, 20000, 0, 0.45, .coarse = true};
const mechanism audited_workload = {"workload",     run_workload,    TWO, 24, 20000, DELTA, 0.6,
									.coarse = true, .gaussian = true};
const mechanism audited_scores = {"scores", run_scores, TWO, 24, 20000, DELTA, 0.6, .coarse = true, .gaussian = true};
const mechanism audited_weighted_scores = {"scores, weights", run_weighted_scores, TWO, 24, 20000, DELTA, 0.6,
										   .coarse = true,    .gaussian = true};
const mechanism audited_unit_scores = {"units, scores", run_unit_scores,  TWO,   24, 20000, DELTA, 0.6,
									   .coarse = true,  .gaussian = true, .k = 3};
const mechanism audited_laplace = {"discrete Laplace", run_laplace, {FLAG}, 1, 0, 20000, 0, 0.8};
const mechanism audited_mst = {"mst", run_mst, THREE, 96, 30000, DELTA, 0.3, .rho = 0.5};
/* Estimation weighs what was measured against a prior, which hides more of one row than the noise alone: what these two
 * show is that no noise is left out; their queries are audited one by one. */
const mechanism audited_aim = {"aim", run_aim, THREE, 96, 3000, DELTA, 0, .rho = 0.5};
const mechanism audited_swift = {"swift", run_swift, THREE, 96, 3000, DELTA, 0, .rho = 0.5};
const mechanism audited_number = {"mst, number", run_number, {TENS, FLAG}, 2, 96, 10000, DELTA, 0.15, .rho = 0.5};
const mechanism audited_greedy = {"mst, greedy", run_greedy, THREE, 96, 30000, DELTA, 0, .rho = 0.5};
const mechanism audited_unit_marginal = {"units, marginal", run_unit_marginal, TWO,   24, 20000, DELTA, 0.6,
										 .coarse = true,    .gaussian = true,  .k = 3};
const mechanism audited_unit_labels = {"units, labels", run_unit_labels, {CITY}, 1, 24, 40000, DELTA + 1e-3, 0, .k = 1};
const mechanism audited_unit_mst = {"units, mst", run_mst, THREE, 150, 15000, DELTA, 0.2, .rho = 0.5, .k = 2};
const mechanism audited_open_text = {"mst, open text", run_open_text, {CITY, FLAG}, 2, 96, 4000, 2 * DELTA, 0,
									 .rho = 0.25,      .atoms = DELTA};
const mechanism audited_open_number = {"mst, open number", run_open_number, {SPAN, FLAG}, 2, 48, 400, 2 * DELTA, 0,
									   .rho = 0.25,        .atoms = DELTA};
