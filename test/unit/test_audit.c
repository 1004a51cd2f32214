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
#include "audit_mechanisms.h"
#include "audit_sabotage.h"
#include "curator/workload.h"
#include "graphical/body.h"
#include "num/special.h"
#include "seeded_noise.h"

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
	audit_open(&w, with ? 0xa0d17 : 0x5eed, m->cols, m->ncols, with);
	w.k = m->k;
	if (m->rho > 0)
	{
		w.reserved_rho = m->rho;
		w.reserved_delta = m->atoms;
	}
	audit_fill(&w, m->rows, m->shared);
	if (m->coarse)
		audit_recode(&w);
	for (size_t i = 0; i < runs; i++)
	{
		double again;

		if (m->rho > 0 && i > 0)
			audit_fill(&w, m->rows, m->shared);
		mg_odometer_init(&w.odometer, w.reserved_rho, w.reserved_delta);
		audit_forget();
		v[i] = m->run(&w);
		again = claim_of(m, &w);
		if (i == 0)
			*claim = again;
		assert_true(again == *claim);
	}
	audit_close(&w);
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
	size_t named = 0, runs = runs_of(&audited_wide_label, AUDIT_SOUND);
	int64_t threshold;
	mg_ctx ctx;
	mechanism m = audited_wide_label;

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
	audit_open(&w, 3, audited_greedy.cols, audited_greedy.ncols, true);
	w.reserved_rho = audited_greedy.rho;
	w.reserved_delta = 0;
	audit_fill(&w, audited_greedy.rows, 0);
	assert_int_equal(audit_train(&w, BEYOND * audited_greedy.rho, 0, &m), MG_BUDGET);
	assert_null(m);
	audit_close(&w);
}

/* Nor an atom that was not reserved. */
static void
audit_unreserved_atom_is_refused(void **state)
{
	mg_released r;
	world w;

	audit_break(AUDIT_SOUND);
	audit_open(&w, 4, audited_rare_label.cols, audited_rare_label.ncols, true);
	w.reserved_delta = DELTA / 2;
	audit_fill(&w, audited_rare_label.rows, 0);
	assert_int_equal(mg_curator_release(&w.ctx, w.c, 0, (mg_ratio){3, 1}, DELTA, 16, w.a, &r), MG_BUDGET);
	audit_close(&w);
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
			&audited_##m, AUDIT_SOUND, "sound"            \
		}                                                 \
	}
#define BREAKS(m, defect, when)                                        \
	{                                                                  \
		"audit_" #m "_breaks_when_" when, breaks, NULL, NULL, &(trial) \
		{                                                              \
			&audited_##m, defect, when                                 \
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
