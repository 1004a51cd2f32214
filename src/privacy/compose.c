/*
 * privacy/compose.c: many events together by Renyi divergences and by pure epsilons.
 *
 * Any order gives a valid bound, so the searches here need no proof: they decide how small the answer is, not whether
 * it holds. They go over a grid of orders that is even in log(alpha - 1) and refine its best point by a golden section.
 * An order that cannot beat the best one seen is left as soon as that shows.
 */
#include "privacy/account.h"
#include "privacy/rounding.h"

#include <float.h>
#include <math.h>

#define FIRST_ORDER 1e-4 /* alpha - 1 */
#define LAST_ORDER 1e8
#define STEP 0.35
#define FINE 4e-6
#define GOLDEN 0.381966011250105

double
mg_compose_atoms(const mg_event *events, size_t count)
{
	double atoms = 0;

	for (size_t i = 0; i < count; i++)
	{
		if (!mg_event_valid(&events[i]))
			return INFINITY;
		atoms += padded(events[i].delta * (double) events[i].count);
	}
	return atoms * (1 + PAD + (double) count * DBL_EPSILON);
}

/* The sum of what pure mechanisms cost without any delta; +inf when one of the events is not pure. */
static double
compose_pure(const mg_event *events, size_t count)
{
	double epsilon = 0;

	for (size_t i = 0; i < count; i++)
	{
		const mg_event *e = &events[i];

		if (!mg_event_valid(e))
			return INFINITY;
		if (e->count == 0 || (e->kind == MG_EVENT_ZCDP && e->param == 0) ||
			(e->kind == MG_EVENT_POISSON_GAUSSIAN && e->rate == 0))
			continue;
		if (e->kind == MG_EVENT_LAPLACE || e->kind == MG_EVENT_DISCRETE_LAPLACE)
			epsilon += padded(padded(1 / e->param) * (double) e->count);
		else if (e->kind == MG_EVENT_EXPONENTIAL)
			epsilon += padded(e->param * (double) e->count);
		else
			return INFINITY;
	}
	return padded(epsilon * (1 + (double) count * DBL_EPSILON));
}

/* RDP of all events at order alpha, or +inf as soon as it is seen to pass `most`. */
static double
total_rdp(const mg_event *events, size_t count, double alpha, double most)
{
	double rdp = 0;

	for (int pass = 0; pass < 2; pass++) /* what is cheap to price first */
		for (size_t i = 0; i < count && rdp <= most; i++)
		{
			const mg_event *e = &events[i];
			bool dear = e->kind == MG_EVENT_POISSON_GAUSSIAN && e->rate > 0;

			if (dear != (pass == 1))
				continue;
			if (dear)
			{
				/* A >= q^alpha exp(alpha (alpha - 1) / (2 sigma^2)): the part of N1 alone */
				double floor = alpha / 2 / e->param / e->param + alpha / (alpha - 1) * log(e->rate);

				if (rdp + floor * (double) e->count > most)
					return INFINITY;
			}
			rdp += mg_event_rdp(e, alpha);
		}
	return rdp <= most ? rdp * (1 + PAD + (double) count * DBL_EPSILON) : INFINITY;
}

/* What is minimised: epsilon at a delta, or log delta at an epsilon. */
typedef struct search
{
	const mg_event *events;
	size_t count;
	bool for_delta; /* delta is given */
	bool refining;  /* about a minimum: every order is priced */
	double given;
	double best;
	mg_rdp_point at;
} search;

static double
objective(search *s, double logb)
{
	double b = exp(logb), alpha = 1 + b, most, rdp, value;

	if (!(alpha > 1))
		return INFINITY;
	/* What the RDP may be for the objective to reach the best one seen; a little more for rounding. */
	if (s->for_delta)
		most = s->best + log1p(1 / b) + (log(s->given) + log1p(b)) / b;
	else
		most = s->given + log1p(1 / b) + (s->best + log1p(b)) / b;
	most = s->refining || isnan(most) ? INFINITY : most + 1e-6 * fabs(most);
	rdp = total_rdp(s->events, s->count, alpha, most);
	if (s->for_delta)
		value = mg_rdp_to_epsilon(alpha, rdp, s->given);
	else
	{
		value = b * (rdp - s->given - log1p(1 / b)) - log1p(b);
		value += PAD * (b * (rdp + s->given + log1p(1 / b)) + log1p(b));
	}
	if (value < s->best)
	{
		s->best = value;
		s->at.alpha = alpha;
		s->at.rdp = rdp;
	}
	return isnan(value) ? INFINITY : value;
}

static void
minimise(search *s)
{
	const double first = log(FIRST_ORDER), last = log(LAST_ORDER);
	double at = first, grid = INFINITY, low, high, left, right, on_left, on_right;

	s->best = INFINITY;
	s->at.alpha = 2;
	s->at.rdp = INFINITY;
	for (int i = 0; first + i * STEP <= last; i++)
	{
		double here = objective(s, first + i * STEP);

		if (here < grid)
		{
			grid = here;
			at = first + i * STEP;
		}
	}
	s->refining = true;
	low = at - STEP;
	high = at + STEP;
	left = low + (high - low) * GOLDEN;
	right = high - (high - low) * GOLDEN;
	on_left = objective(s, left);
	on_right = objective(s, right);
	while (high - low > FINE)
	{
		if (on_left <= on_right)
		{
			high = right;
			right = left;
			on_right = on_left;
			left = low + (high - low) * GOLDEN;
			on_left = objective(s, left);
		}
		else
		{
			low = left;
			left = right;
			on_left = on_right;
			right = high - (high - low) * GOLDEN;
			on_right = objective(s, right);
		}
	}
}

mg_rdp_point
mg_best_order_for_delta(const mg_event *events, size_t count, double delta)
{
	search s = {events, count, true, false, delta, INFINITY, {2, INFINITY}};

	if (delta > 0 && delta < 1 && isfinite(mg_compose_atoms(events, count)))
		minimise(&s);
	return s.at;
}

mg_rdp_point
mg_best_order_for_epsilon(const mg_event *events, size_t count, double epsilon)
{
	search s = {events, count, false, false, epsilon, INFINITY, {2, INFINITY}};

	if (epsilon >= 0 && isfinite(epsilon) && isfinite(mg_compose_atoms(events, count)))
		minimise(&s);
	return s.at;
}

double
mg_compose_epsilon(const mg_event *events, size_t count, double delta)
{
	double atoms = mg_compose_atoms(events, count), pure;
	mg_rdp_point at;

	if (!isfinite(atoms))
		return INFINITY;
	if (!(delta >= 0) || (atoms > 0 && atoms >= delta))
		return delta >= 1 ? 0 : INFINITY;
	if (delta >= 1)
		return 0;
	pure = compose_pure(events, count); /* holds at any delta that the atoms leave */
	delta = nextafter(delta - atoms, 0);
	if (pure == 0 || !(delta > 0))
		return pure;
	at = mg_best_order_for_delta(events, count, delta);
	return least(pure, mg_rdp_to_epsilon(at.alpha, at.rdp, delta));
}

double
mg_compose_delta(const mg_event *events, size_t count, double epsilon)
{
	double atoms = mg_compose_atoms(events, count), delta;
	search s = {events, count, false, false, epsilon, INFINITY, {2, INFINITY}};

	if (!isfinite(atoms) || !(epsilon >= 0))
		return 1;
	if (compose_pure(events, count) <= epsilon)
		return least(atoms, 1);
	if (!isfinite(epsilon))
		return least(atoms, 1);
	minimise(&s);
	delta = exp(s.best) * (1 + PAD);
	if (!(delta >= 0))
		return 1;
	delta = (delta > 0 ? delta : DBL_TRUE_MIN) + atoms;
	return least(delta * (1 + PAD), 1);
}
