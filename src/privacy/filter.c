/*
 * privacy/filter.c: the privacy filter of a budget, the allowance of one training, the odometer of one job.
 *
 * The filter (Feldman, Zrnic 2021, Theorem 4.3) holds under full adaptivity as its order is fixed beforehand: while
 * the RDP at alpha of all charges, each fixed before it reads, sums to at most rdp_cap, all results together satisfy
 * (alpha, rdp_cap)-RDP, hence (epsilon, delta / 2)-DP; the atoms sum to at most delta / 2 beside it (Rogers, Roth,
 * Ullman, Vadhan 2016).
 *
 * Rounding. Charges are summed in floating point by the ledger and by odometers, which allow a relative excess of
 * ODOMETER_SLACK. Capacities are converted at a delta, and multiplied by a factor, that leave FREE of both, which pays
 * for the slack and for a million summed charges (2^-53 each). mg_filter_fits itself is exact.
 */
#include "privacy/account.h"

#include <float.h>
#include <math.h>

#define ODOMETER_SLACK 1e-9
#define FREE 4e-9 /* relative, kept free of capacities and of the delta of conversions */
#define ATOM_PART 200

static bool
valid_pair(double epsilon, double delta)
{
	return isfinite(epsilon) && epsilon > 0 && delta >= 1e-300 && delta < 1;
}

mg_code
mg_filter_init(mg_ctx *ctx, mg_filter *f, double epsilon, double delta)
{
	double half, rho;

	if (!isfinite(epsilon) || epsilon <= 0)
		return mg_fail(ctx, MG_INVALID, "epsilon of a budget must be positive and finite");
	if (!valid_pair(epsilon, delta))
		return mg_fail(ctx, MG_INVALID, "delta of a budget must be between 1e-300 and 1");
	half = delta / 2 * (1 - FREE);
	rho = mg_zcdp_rho(epsilon, half);
	if (!(rho > 0))
		return mg_fail(ctx, MG_INVALID, "epsilon of a budget is too small");
	return mg_filter_init_at(ctx, f, mg_zcdp_order(rho, half), epsilon, delta);
}

mg_code
mg_filter_init_at(mg_ctx *ctx, mg_filter *f, double alpha, double epsilon, double delta)
{
	double half, cap = 0, high, middle;

	if (!valid_pair(epsilon, delta) || !(alpha > 1) || !isfinite(alpha))
		return mg_fail(ctx, MG_INVALID, "a budget's epsilon, delta or order is out of range");
	half = delta / 2 * (1 - FREE);

	/* The conversion grows with the RDP: the largest that it accepts, by bisection down to neighbouring numbers. */
	for (high = epsilon; high < DBL_MAX / 4 && mg_rdp_to_epsilon(alpha, high, half) <= epsilon;)
		high *= 2;
	while (cap < (middle = cap + (high - cap) / 2) && middle < high)
		if (mg_rdp_to_epsilon(alpha, middle, half) <= epsilon)
			cap = middle;
		else
			high = middle;
	if (!(cap > 0))
		return mg_fail(ctx, MG_INVALID, "epsilon of a budget is too small for its order");
	f->epsilon = epsilon;
	f->delta = delta;
	f->alpha = alpha;
	f->delta_cap = delta / 2;
	f->rdp_cap = cap * (1 - FREE);
	return MG_OK;
}

double
mg_filter_used(const mg_filter *f, double rdp, double delta_atoms)
{
	double a = rdp / f->rdp_cap, b = delta_atoms / f->delta_cap;

	if (!(rdp >= 0) || !(delta_atoms >= 0))
		return INFINITY;
	return a > b ? a : b;
}

/* a + b <= cap, exactly: TwoSum (Knuth) yields the rounding error of the sum. All are finite and not negative. */
static bool
sum_within(double a, double b, double cap)
{
	double sum = a + b, part = sum - a, error = (a - (sum - part)) + (b - part);

	return sum < cap || (sum == cap && error <= 0);
}

bool
mg_filter_fits(const mg_filter *f, double used_rdp, double used_delta, double rdp, double delta_atoms)
{
	if (!(used_rdp >= 0 && used_delta >= 0 && rdp >= 0 && delta_atoms >= 0))
		return false;
	if (!isfinite(used_rdp) || !isfinite(used_delta) || !isfinite(rdp) || !isfinite(delta_atoms))
		return false;
	return sum_within(used_rdp, rdp, f->rdp_cap) && sum_within(used_delta, delta_atoms, f->delta_cap);
}

mg_code
mg_training_allowance(mg_ctx *ctx, const mg_filter *f, double epsilon, double delta, mg_allowance *out)
{
	double atoms, rho, most;

	if (!isfinite(epsilon) || epsilon <= 0)
		return mg_fail(ctx, MG_INVALID, "epsilon of a training must be positive and finite");
	if (!valid_pair(epsilon, delta))
		return mg_fail(ctx, MG_INVALID, "delta of a training must be between 1e-300 and 1");
	if (delta > f->delta)
		return mg_fail(ctx, MG_INVALID, "delta of a training is larger than the budget's");
	atoms = delta / ATOM_PART;
	rho = mg_zcdp_rho(epsilon, (delta - atoms) * (1 - FREE)) * (1 - FREE);
	/* At the cap the filter's order and its half of delta ask for a little less. 1 - FREE / 4: mg_event_rdp pads. */
	most = f->rdp_cap / f->alpha * (1 - FREE / 4);
	if (epsilon <= f->epsilon && rho > most)
		rho = most;
	if (!(rho > 0))
		return mg_fail(ctx, MG_INVALID, "epsilon of a training is too small");
	out->rho = rho;
	out->delta_atoms = atoms;
	return MG_OK;
}

/* Would a training of epsilon at the budget's delta fit? */
static bool
training_fits(const mg_filter *f, double used_rdp, double used_delta, double epsilon)
{
	mg_ctx scratch;
	mg_allowance a;
	mg_event e = {MG_EVENT_ZCDP, 0, 1, 0};

	mg_ctx_init(&scratch);
	if (mg_training_allowance(&scratch, f, epsilon, f->delta, &a) != MG_OK)
		return false;
	e.param = a.rho;
	return mg_filter_fits(f, used_rdp, used_delta, mg_event_rdp(&e, f->alpha), a.delta_atoms);
}

double
mg_filter_remaining(const mg_filter *f, double used_rdp, double used_delta)
{
	double low = 0, high = f->epsilon, guess;

	if (!(used_rdp >= 0 && used_rdp < f->rdp_cap))
		return 0;
	if (training_fits(f, used_rdp, used_delta, high))
		return high;

	/* The answer is within rounding of the conversion of what is left: look there first. */
	guess = mg_zcdp_epsilon((f->rdp_cap - used_rdp) / f->alpha, f->delta - f->delta / ATOM_PART);
	if (guess * (1 - 1e-6) < high && training_fits(f, used_rdp, used_delta, guess * (1 - 1e-6)))
		low = guess * (1 - 1e-6);
	if (guess * (1 + 1e-6) < high && !training_fits(f, used_rdp, used_delta, guess * (1 + 1e-6)))
		high = guess * (1 + 1e-6);
	for (int i = 0; i < 60 && high - low > 1e-9 * high; i++)
	{
		double middle = low + (high - low) / 2;

		if (training_fits(f, used_rdp, used_delta, middle))
			low = middle;
		else
			high = middle;
	}
	return low;
}

void
mg_odometer_init(mg_odometer *o, double rho, double delta_atoms)
{
	/* A reservation that is not a number reserves nothing. */
	o->rho_reserved = rho >= 0 && isfinite(rho) ? rho : 0;
	o->delta_reserved = delta_atoms >= 0 && isfinite(delta_atoms) ? delta_atoms : 0;
	o->rho_used = 0;
	o->delta_used = 0;
	o->calls = 0;
}

mg_code
mg_odometer_debit(mg_ctx *ctx, mg_odometer *o, const mg_event *e)
{
	double rho = mg_event_rho(e), delta = e->delta * (double) e->count;

	if (!isfinite(rho) || !isfinite(delta))
		return mg_fail(ctx, MG_INVALID, "a mechanism was called with a bad scale");
	if (!(o->rho_used + rho <= o->rho_reserved * (1 + ODOMETER_SLACK)) ||
		!(o->delta_used + delta <= o->delta_reserved * (1 + ODOMETER_SLACK)))
		return mg_fail(ctx, MG_BUDGET, "a mechanism would go beyond what was reserved for the training");
	o->rho_used += rho;
	o->delta_used += delta;
	o->calls += e->count;
	return MG_OK;
}
