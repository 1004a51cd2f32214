/*
 * privacy/calibrate.c: the noise multiplier for a wanted (epsilon, delta).
 *
 * epsilon falls with sigma, and log epsilon is nearly a straight line in log sigma: a secant finds the crossing in a
 * few compositions. Only a sigma at which epsilon was computed and held is ever returned, so that the search is not
 * part of the proof. It owns no memory.
 */
#include "privacy/pld.h"

#include <math.h>

#define TOLERANCE 1e-4
#define LARGEST 1e6
#define SMALLEST 1e-2
#define MOST_STEPS 80

/* Two points of the curve, (log sigma, log of epsilon over the wanted one): `high` holds, `low` does not. */
typedef struct bracket
{
	double low, high, at_low, at_high;
	bool has_low, has_high;
} bracket;

/* mu for which mg_gaussian_epsilon is `epsilon`, roughly. */
static double
gaussian_mu(double epsilon, double delta)
{
	double low = 1e-8, high = 1e4;

	for (int i = 0; i < 50; i++)
	{
		double middle = sqrt(low * high);

		if (mg_gaussian_epsilon(middle, delta) <= epsilon)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* By the central limit, `steps` subsampled Gaussians are worth mu^2 = steps q^2 (e^(1 / sigma^2) - 1); all of them at q
 * = 1 mu^2 = steps / sigma^2. */
static double
first_guess(double epsilon, double delta, double q, double steps)
{
	double mu = gaussian_mu(epsilon, delta), sigma = sqrt(steps) / mu;

	if (q < 1)
		sigma = fmin(sigma, 1 / sqrt(log1p(mu * mu / (steps * q * q))));
	return fmin(fmax(sigma, 2 * SMALLEST), LARGEST / 2);
}

/* Where to look next: the secant's root a little beyond, to either side in turn, so that the bracket closes from both.
 */
static double
next_point(const bracket *b, double at, double value, bool upwards)
{
	double root, slope = -1.2;

	if (!b->has_low || !b->has_high)
	{
		double step = isfinite(value) ? -value / slope : 0.7 * (value > 0 ? 1 : -1);

		step *= 1.1; /* past the root rather than short of it */
		if (fabs(step) < 0.4 * TOLERANCE)
			step = b->has_low ? 0.4 * TOLERANCE : -0.4 * TOLERANCE;
		return at + fmin(fmax(step, -1.5), 1.5);
	}
	if (!isfinite(b->at_low) || !isfinite(b->at_high) || b->high - b->low > 2)
		return (b->low + b->high) / 2;
	root = b->low + (b->high - b->low) * b->at_low / (b->at_low - b->at_high);
	root += (upwards ? 0.3 : -0.3) * TOLERANCE;
	return fmin(fmax(root, b->low + 0.02 * (b->high - b->low)), b->high - 0.02 * (b->high - b->low));
}

/* The search; event is the last of `events`, whose param is set. */
static mg_code
search_sigma(mg_ctx *ctx, mg_event *events, size_t count, double epsilon, double delta, double guess, double *sigma)
{
	mg_event *event = &events[count - 1];
	bracket b = {0, 0, 0, 0, false, false};
	double at = log(guess);

	for (int i = 0; i < MOST_STEPS; i++)
	{
		double here, value;

		at = fmin(fmax(at, log(SMALLEST)), log(LARGEST));
		event->param = exp(at);
		MG_TRY(mg_pld_epsilon(ctx, events, count, delta, &here));
		value = log(here / epsilon);
		if (here <= epsilon)
		{
			b.high = at;
			b.at_high = value;
			b.has_high = true;
			*sigma = event->param;
		}
		else
		{
			b.low = at;
			b.at_low = value;
			b.has_low = true;
		}
		if (b.has_high && ((b.has_low && b.high - b.low <= TOLERANCE) || b.high <= log(SMALLEST)))
			return MG_OK;
		if (!b.has_high && b.low >= log(LARGEST))
			break;
		at = next_point(&b, at, value, i % 2 == 1);
	}
	if (b.has_high)
		return MG_OK;
	(void) mg_fail(ctx, MG_INVALID, "no noise is large enough for this epsilon");
	return mg_hint(ctx, "Allow a larger epsilon or delta, or plan for fewer steps.");
}

mg_code
mg_calibrate_gaussian(mg_ctx *ctx, double epsilon, double delta, double q, uint64_t steps, const mg_event *others,
					  size_t nothers, double *sigma)
{
	mg_arena *arena;
	mg_event *events;
	mg_code code;
	double rest;

	if (!(epsilon > 0) || !isfinite(epsilon))
		return mg_fail(ctx, MG_INVALID, "epsilon must be positive and finite");
	if (!(delta > 0 && delta < 1))
		return mg_fail(ctx, MG_INVALID, "delta must lie between 0 and 1");
	if (!(q > 0 && q <= 1) || steps == 0)
		return mg_fail(ctx, MG_INVALID, "the sampling rate must lie between 0 and 1, and there must be a step");
	MG_TRY(mg_pld_epsilon(ctx, others, nothers, delta, &rest));
	if (!(rest < epsilon))
	{
		(void) mg_fail(ctx, MG_INVALID, "the other mechanisms leave nothing of epsilon");
		return mg_hint(ctx, "Give the other mechanisms more noise, or allow a larger epsilon.");
	}
	arena = mg_arena_create(0);
	events = arena == NULL ? NULL : mg_arena_alloc(arena, nothers + 1, sizeof(*events));
	if (events == NULL)
		code = mg_fail(ctx, MG_NOMEM, "out of memory");
	else
	{
		for (size_t i = 0; i < nothers; i++)
			events[i] = others[i];
		events[nothers].kind = MG_EVENT_POISSON_GAUSSIAN;
		events[nothers].count = steps;
		events[nothers].rate = q;
		code = search_sigma(ctx, events, nothers + 1, epsilon, delta, first_guess(epsilon, delta, q, (double) steps),
							sigma);
	}
	mg_arena_destroy(arena);
	return code;
}
