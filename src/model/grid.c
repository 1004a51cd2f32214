/* model/grid.c: see model/grid.h. Pure functions of public figures and of figures already released. */
#include "model/grid.h"

#include <math.h>

void
mg_grid_init(mg_grid *g, const mg_domain *d)
{
	double inverse;

	g->step = d->step > 0 && isfinite(d->step) ? d->step : 0;
	g->origin = 0;
	g->inverse = 0;
	if (g->step == 0)
		return;
	inverse = rint(1 / g->step);
	if (g->step < 1 && inverse <= 1e15 && fabs(1 / g->step - inverse) <= 1e-9 * inverse)
	{
		double scaled = d->lower * inverse;

		/* beyond 2^52 every double is its own lattice point, whatever the origin */
		if (!isfinite(scaled) || fabs(scaled) >= 0x1p52 || fabs(scaled - rint(scaled)) < 1e-3)
		{
			g->inverse = inverse;
			return;
		}
	}
	if (fmod(d->lower, g->step) != 0)
		g->origin = d->lower;
}

double
mg_grid_value(const mg_grid *g, double m)
{
	return g->inverse > 0 ? m / g->inverse : g->origin + m * g->step;
}

double
mg_grid_nearest(const mg_grid *g, double x)
{
	return g->inverse > 0 ? rint(x * g->inverse) : rint((x - g->origin) / g->step);
}

double
mg_grid_ceil(const mg_grid *g, double x)
{
	double m = mg_grid_nearest(g, x);

	return mg_grid_value(g, m) < x ? m + 1 : m;
}

double
mg_grid_count(const mg_grid *g, double lower, double upper)
{
	if (!(lower <= upper))
		return 0;
	if (g->step == 0)
		return lower == upper ? 1 : INFINITY;
	return floor((upper - lower) / g->step + 0.5) + 1; /* as the code table counts them */
}

bool
mg_domain_is_wide(const mg_domain *d)
{
	mg_grid g;

	if (d->kind != MG_NUMBER)
		return false;
	mg_grid_init(&g, d);
	return mg_grid_count(&g, d->lower, d->upper) > MG_MAX_CELLS;
}
