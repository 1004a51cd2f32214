/*
 * test/unit/audit_bounds.h: lower bounds on the epsilon of a mechanism, from what it was seen to do.
 *
 * A mechanism runs n times on each of two neighbouring tables and each run becomes one number. (epsilon, delta)-DP
 * promises Pr[event | one] <= exp(epsilon) Pr[event | other] + delta for every event, so a pair of frequencies proves a
 * lower bound on epsilon (Jagielski, Ullman, Oprea 2020; Nasr et al. 2023).
 *
 * Events are "at least t" and "below t". The first half of the runs chooses t, for each of the two kinds of event and
 * for each table as the one that the event is likelier on; the second half alone proves, by Clopper-Pearson bounds,
 * with what all four may err shared out. So the choice costs nothing but the runs it took.
 */
#ifndef MIRAGE_TEST_AUDIT_BOUNDS_H
#define MIRAGE_TEST_AUDIT_BOUNDS_H

#include <stdbool.h>
#include <stddef.h>

#define AUDIT_ERROR 1e-6 /* a bound is wrong with no larger probability, over all that one audit tries */

typedef struct audit_bound
{
	double epsilon;  /* proved by events; 0 when nothing is */
	double mu;       /* proved for a mechanism that is mu-GDP for some mu; 0 where it was not asked for */
	double gaussian; /* the epsilon at delta that mu stands for */
	double best;     /* the larger of the two */
	double ceiling;  /* what events could prove with so many runs, if the tables could be told apart for certain */
} audit_bound;

/*
 * without, with: [n] outcomes on the smaller and the larger table, in the order of the runs; n >= 4. gaussian: the
 * mechanism is a Gaussian one (Dong, Roth, Su 2022), and mu >= quantile(Pr[event | with]) - quantile(Pr[event |
 * without]) is asked for too. Outcomes may be -inf, never NaN.
 */
audit_bound audit_lower_bound(const double *without, const double *with, size_t n, double delta, bool gaussian);

/* Clopper, Pearson 1934: k successes in n trials, or more (less), have probability `error` at the lower (upper) bound.
 */
double audit_least_probability(size_t n, size_t k, double error);
double audit_most_probability(size_t n, size_t k, double error);
/* The epsilon at delta of a mu-GDP mechanism, exactly (Balle, Wang 2018; Dong, Roth, Su 2022, Corollary 2.13). */
double audit_gaussian_epsilon(double mu, double delta);

#endif
