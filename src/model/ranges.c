/*
 * model/ranges.c: see model/ranges.h. Everything here is computed from public figures and from noisy masses.
 */
#include "model/ranges.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Exponents of the logarithmic grid: every octave where values usually are, every 32nd beyond. */
#define OCTAVE_LOW (-40)
#define OCTAVE_HIGH 80
#define EXPONENT_STRIDE 32
#define MAX_LOG_EDGES 600

/* A tail of k cells is taken in from so many deviations of its sum on; when wrong, empty cells are learnt as nearly
 * empty. */
#define TAIL_DEVIATIONS 3.0

/* Room beside the split cells for what is joined and kept. */
#define MAX_ROUND_CELLS 2048

/* Noise alone passes this many deviations in one of n cells with probability below 0.005, whatever n. */
static double
significance(uint32_t n)
{
	return sqrt(2 * log((double) n + 1)) + 1;
}

static mg_code
partition_alloc(mg_ctx *ctx, mg_arena *a, uint32_t cells, mg_partition *p)
{
	memset(p, 0, sizeof(*p));
	MG_NEW(ctx, a, p->edge, cells + 1);
	MG_NEW(ctx, a, p->mass, cells);
	MG_NEW(ctx, a, p->group, cells);
	MG_NEW(ctx, a, p->kept, cells);
	return MG_OK;
}

/* Appends an edge moved up onto the lattice, unless it is not above the last one or not below `end`. */
static void
push_edge(mg_partition *p, uint32_t *edges, const mg_grid *g, double x, double end)
{
	if (g->step > 0)
		x = mg_grid_value(g, mg_grid_ceil(g, x));
	if (x > p->edge[*edges - 1] && x < end)
		p->edge[(*edges)++] = x;
}

/* The end of the last cell: a step beyond the largest value, as cells are half open. */
static double
range_end(const mg_grid *g, double upper)
{
	return g->step > 0 ? mg_grid_value(g, mg_grid_nearest(g, upper) + 1) : upper;
}

static uint32_t
log_magnitudes(const mg_grid *g, double *out)
{
	uint32_t n = 0;

	if (g->step > 0)
	{
		for (int k = 0; k < 1000 && n < MAX_LOG_EDGES / 2 - 1; k += k < 100 ? 1 : EXPONENT_STRIDE)
		{
			double x = ldexp(g->step, k);

			if (!isfinite(x))
				break;
			out[n++] = x;
		}
		return n;
	}
	for (int k = DBL_MIN_EXP; k < DBL_MAX_EXP;)
	{
		out[n++] = ldexp(1, k);
		if (k >= OCTAVE_LOW && k < OCTAVE_HIGH)
			k++;
		else if (k < OCTAVE_LOW && k + EXPONENT_STRIDE > OCTAVE_LOW)
			k = OCTAVE_LOW;
		else
			k += EXPONENT_STRIDE;
	}
	return n;
}

mg_code
mg_partition_start(mg_ctx *ctx, mg_arena *a, const mg_domain *d, mg_partition *p)
{
	double magnitude[MAX_LOG_EDGES / 2], end;
	uint32_t n, edges = 1;
	mg_grid g;

	mg_grid_init(&g, d);
	end = range_end(&g, d->upper);
	MG_TRY(partition_alloc(ctx, a, MAX_LOG_EDGES, p));
	n = log_magnitudes(&g, magnitude);
	p->edge[0] = d->lower;
	for (uint32_t i = n; i-- > 0;)
		push_edge(p, &edges, &g, -magnitude[i], end);
	push_edge(p, &edges, &g, 0, end);
	for (uint32_t i = 0; i < n; i++)
		push_edge(p, &edges, &g, magnitude[i], end);
	p->edge[edges] = end > p->edge[edges - 1] ? end : nextafter(p->edge[edges - 1], INFINITY);
	p->n = edges;
	return MG_OK;
}

static bool
is_significant(const mg_partition *p, double mass, uint32_t cells)
{
	return mass >= fmax(significance(p->n) * p->sigma * sqrt((double) cells), 1);
}

/* Belongs to the range: significant now, or in the round before when its parts are not. */
static bool
qualifies(const mg_partition *p, uint32_t i)
{
	return p->kept[i] || is_significant(p, p->mass[i], 1);
}

/*
 * Parts of a significant cell that drown one by one go back into the cell, which stays: what was found must not be lost
 * by looking closer.
 */
static void
settle(mg_partition *p)
{
	uint32_t n = 0;

	for (uint32_t i = 0, end; i < p->n; i = end, n++)
	{
		bool seen = p->group[i] == 0;
		double sum = 0;

		for (end = i; end < p->n && (end == i || (p->group[i] != 0 && p->group[end] == p->group[i])); end++)
		{
			sum += p->mass[end];
			seen = seen || is_significant(p, p->mass[end], 1);
		}
		if (seen)
			end = i + 1;
		p->edge[n] = p->edge[i];
		p->mass[n] = seen ? p->mass[i] : sum;
		p->kept[n] = !seen;
		/* the rest of a group that was seen is settled as cells of their own */
		if (seen && end < p->n && p->group[end] == p->group[i])
			for (uint32_t k = end; k < p->n && p->group[k] == p->group[i] && p->group[k] != 0; k++)
				p->group[k] = 0;
	}
	p->edge[n] = p->edge[p->n];
	p->n = n;
}

mg_code
mg_partition_measure(mg_ctx *ctx, mg_curator *c, uint32_t col, mg_ratio sigma2, mg_arena *a, mg_partition *p)
{
	int64_t *noisy;

	MG_NEW(ctx, a, noisy, p->n + 1);
	MG_TRY(mg_curator_cells(ctx, c, col, p->edge + 1, p->n - 1, sigma2, noisy));
	p->total = 0;
	for (uint32_t i = 0; i < p->n; i++)
	{
		p->mass[i] = (double) noisy[i];
		p->total += p->mass[i];
	}
	p->sigma = sqrt(mg_ratio_value(sigma2));
	settle(p);
	return MG_OK;
}

/*
 * How many of the `n` cells outward (mass[0], mass[step], ..) belong to the range: the count at which their sum stands
 * out most above TAIL_DEVIATIONS of its own noise; 0 where it never does. A thin tail is seen in this way that no cell
 * alone shows.
 */
static uint32_t
tail_cells(const mg_partition *p, const double *mass, int step, uint32_t n)
{
	double sum = 0, best = 0;
	uint32_t count = 0;

	for (uint32_t k = 1; k <= n; k++, mass += step)
	{
		double excess;

		sum += *mass;
		excess = sum - fmax(TAIL_DEVIATIONS * p->sigma * sqrt((double) k), 1);
		if (excess > best)
		{
			best = excess;
			count = k;
		}
	}
	return count;
}

/* First and last cell of what is significant, with its tails. False: nothing is. */
static bool
significant_range(const mg_partition *p, uint32_t *first, uint32_t *last)
{
	uint32_t i, j;

	for (i = 0; i < p->n && !qualifies(p, i); i++)
		;
	if (i == p->n)
		return false;
	for (j = p->n - 1; j > i && !qualifies(p, j); j--)
		;
	*first = i > 0 ? i - tail_cells(p, &p->mass[i - 1], -1, i) : i;
	*last = j + 1 < p->n ? j + tail_cells(p, &p->mass[j + 1], 1, p->n - 1 - j) : j;
	return true;
}

/* Where nothing is known: a short range of the type's own, from zero up when it holds zero. */
static void
fallback_bounds(const mg_domain *d, const mg_grid *g, double *lower, double *upper)
{
	double from = d->lower <= 0 && d->upper >= 0 ? 0 : d->lower;

	if (g->step > 0)
	{
		double m = mg_grid_ceil(g, from);

		*lower = mg_grid_value(g, m);
		*upper = fmin(mg_grid_value(g, m + MG_MAX_CELLS - 1), d->upper);
	}
	else
	{
		*lower = from;
		*upper = fmin(from + fmax(1, fabs(from) * 0x1p-20), d->upper);
	}
	if (*upper < *lower)
		*upper = *lower;
}

void
mg_partition_bounds(const mg_domain *d, const mg_partition *p, double *lower, double *upper)
{
	uint32_t first, last;
	mg_grid g;

	mg_grid_init(&g, d);
	if (!d->open)
	{
		*lower = d->lower;
		*upper = d->upper;
	}
	else if (!significant_range(p, &first, &last))
		fallback_bounds(d, &g, lower, upper);
	else if (g.step > 0)
	{
		double m0 = mg_grid_ceil(&g, p->edge[first]);
		double m1 = last + 1 == p->n ? mg_grid_nearest(&g, d->upper) : mg_grid_ceil(&g, p->edge[last + 1]) - 1;

		*lower = fmax(mg_grid_value(&g, m0), d->lower);
		*upper = fmin(fmax(mg_grid_value(&g, m1), *lower), d->upper);
	}
	else
	{
		*lower = fmax(p->edge[first], d->lower);
		*upper = fmin(p->edge[last + 1], d->upper);
	}
}

/* Splits [from, to) into at most `parts` cells of equal width, on the lattice: pushes the inner edges. */
static void
split_cell(mg_partition *out, uint32_t *edges, const mg_grid *g, double from, double to, uint32_t parts)
{
	if (g->step > 0)
	{
		double m0 = mg_grid_ceil(g, from), steps = mg_grid_ceil(g, to) - m0;

		if (steps < parts)
			parts = steps < 1 ? 1 : (uint32_t) steps;
		for (uint32_t i = 1; i < parts; i++)
			push_edge(out, edges, g, mg_grid_value(g, m0 + floor(steps * i / parts)), to);
		return;
	}
	for (uint32_t i = 1; i < parts; i++)
	{
		double t = (double) i / parts;

		push_edge(out, edges, g, from * (1 - t) + to * t, to);
	}
}

/*
 * Of `parts`, those of a cell with this mass: most by mass, some to every significant cell so that its shape is seen.
 * At least two, and no more than can be told from noise when the mass is spread out, unless they are the last
 * (`final`).
 */
static uint32_t
parts_of(const mg_partition *p, double mass, double sum, uint32_t significant, uint32_t parts, bool final)
{
	double share = 0.3 / significant + (sum > 0 ? 0.7 * fmax(mass, 0) / sum : 0);
	double want = fmax(rint(share * parts), 2), visible = mass / (significance(p->n) * fmax(p->sigma, 1));

	if (!final && want > visible)
		want = fmax(visible, 2);
	return (uint32_t) fmin(want, parts);
}

mg_code
mg_partition_refine(mg_ctx *ctx, mg_arena *a, const mg_domain *d, uint32_t parts, bool final, const mg_partition *p,
					mg_partition *out)
{
	uint32_t significant = 0, edges = 1, first = p->n, last = 0;
	double sum = 0, extent = 0;
	mg_grid g;

	mg_grid_init(&g, d);
	MG_TRY(partition_alloc(ctx, a, MAX_ROUND_CELLS + MAX_LOG_EDGES, out));
	for (uint32_t i = 0; i < p->n; i++)
		if (qualifies(p, i))
		{
			significant++;
			sum += fmax(p->mass[i], 0);
			first = first < i ? first : i;
			last = i;
		}
	if (significant > 0)
		extent = p->edge[last + 1] - p->edge[first];
	out->edge[0] = p->edge[0];
	for (uint32_t i = 0, end; i < p->n; i = end)
	{
		uint32_t from = edges - 1;

		end = i + 1;
		if (qualifies(p, i))
		{
			uint32_t want = parts_of(p, p->mass[i], sum, significant, parts, final);
			uint32_t room = MAX_ROUND_CELLS - edges > p->n - i ? MAX_ROUND_CELLS - edges - (p->n - i) : 1;

			split_cell(out, &edges, &g, p->edge[i], p->edge[i + 1], want < room ? want : room);
			for (uint32_t k = from; k < edges; k++)
				out->group[k] = i + 1;
		}
		else
		{
			/* a run that holds nothing, not even together, becomes one cell; but never a wider one than all that is
			 * known to be occupied, so that a thin tail does not reach to the end of the type */
			double mass = p->mass[i];

			while (end < p->n && !qualifies(p, end) && p->edge[end + 1] - p->edge[i] <= extent &&
				   !is_significant(p, mass + p->mass[end], end + 1 - i))
				mass += p->mass[end++];
		}
		if (end < p->n)
			push_edge(out, &edges, &g, p->edge[end], p->edge[p->n]);
	}
	out->edge[edges] = p->edge[p->n];
	out->n = edges;
	out->sigma = p->sigma;
	out->total = p->total;
	return MG_OK;
}

static mg_code
value_cells(mg_ctx *ctx, mg_arena *a, const mg_grid *g, double lower, uint32_t n, mg_cell **cells)
{
	double m0 = mg_grid_nearest(g, lower);

	MG_NEW(ctx, a, *cells, n);
	for (uint32_t i = 0; i < n; i++)
		(*cells)[i].lower = (*cells)[i].upper = i == 0 ? lower : mg_grid_value(g, m0 + i);
	return MG_OK;
}

/* The partition's cells within [lower, end), as a partition; masses kept (whole cells, or clipped at the ends). */
static mg_code
clip_partition(mg_ctx *ctx, mg_arena *a, const mg_grid *g, const mg_partition *p, double lower, double end,
			   mg_partition *out)
{
	uint32_t edges = 1;

	MG_TRY(partition_alloc(ctx, a, p->n + 2, out));
	out->edge[0] = lower;
	for (uint32_t i = 0; i < p->n; i++)
	{
		uint32_t before = edges;

		if (p->edge[i + 1] <= lower || p->edge[i] >= end)
			continue;
		out->mass[before - 1] = p->mass[i];
		out->kept[before - 1] = p->kept[i];
		push_edge(out, &edges, g, p->edge[i + 1], end);
	}
	out->edge[edges] = end;
	out->n = edges;
	out->sigma = p->sigma;
	out->total = p->total;
	return MG_OK;
}

static int
in_spikes(const double *spikes, uint32_t n, double from, double to, double *at)
{
	int found = 0;

	for (uint32_t i = 0; i < n; i++)
		if (spikes[i] >= from && spikes[i] < to && (!found || spikes[i] < *at))
		{
			*at = spikes[i];
			found = 1;
		}
	return found;
}

/* Emits [from, to) with the spikes in it cut out as single values. */
static void
push_cells(mg_cell *cells, uint32_t *n, const mg_grid *g, double from, double to, const double *spikes,
		   uint32_t nspikes)
{
	double at = 0;

	while (*n + 2 < MG_MAX_CELLS && in_spikes(spikes, nspikes, from, to, &at))
	{
		if (at > from)
			cells[(*n)++] = (mg_cell){from, at};
		cells[(*n)++] = (mg_cell){at, at};
		from = g->step > 0 ? mg_grid_value(g, mg_grid_nearest(g, at) + 1) : nextafter(at, INFINITY);
		if (!(from > at))
			from = nextafter(at, INFINITY);
	}
	if (from < to && *n < MG_MAX_CELLS)
		cells[(*n)++] = (mg_cell){from, to};
}

mg_code
mg_partition_cells(mg_ctx *ctx, mg_arena *a, const mg_domain *d, const mg_partition *p, double lower, double upper,
				   uint32_t wanted, const double *spikes, uint32_t nspikes, mg_cell **cells, uint32_t *ncells)
{
	mg_partition clipped, fine;
	uint32_t n = 0, most;
	double count;
	mg_grid g;

	mg_grid_init(&g, d);
	count = mg_grid_count(&g, lower, upper);
	if (count <= MG_MAX_CELLS)
	{
		*ncells = (uint32_t) count;
		return value_cells(ctx, a, &g, lower, *ncells, cells);
	}
	MG_TRY(clip_partition(ctx, a, &g, p, lower, range_end(&g, upper), &clipped));
	most = MG_MAX_CELLS - 2 * nspikes - 2;
	MG_TRY(mg_partition_refine(ctx, a, d, wanted < most ? wanted : most, true, &clipped, &fine));
	MG_NEW(ctx, a, *cells, MG_MAX_CELLS);
	if (fine.n > most)
	{
		/* more cells than fit: the clipped ones alone, which are few */
		fine = clipped;
	}
	if (fine.n == 1)
	{
		/* nothing was significant: equal cells */
		uint32_t edges = 1;
		double end = fine.edge[1];

		MG_TRY(partition_alloc(ctx, a, MG_MAX_CELLS, &clipped));
		clipped.edge[0] = lower;
		split_cell(&clipped, &edges, &g, lower, end, wanted < most ? wanted : most);
		clipped.edge[edges] = end;
		clipped.n = edges;
		fine = clipped;
	}
	for (uint32_t i = 0; i < fine.n; i++)
		push_cells(*cells, &n, &g, fine.edge[i], fine.edge[i + 1], spikes, nspikes);
	/* cells are half open: a spike at the very end of an axis without steps comes after the last */
	for (uint32_t i = 0; g.step == 0 && i < nspikes && n < MG_MAX_CELLS; i++)
		if (spikes[i] == upper)
			(*cells)[n++] = (mg_cell){upper, upper};
	*ncells = n;
	return MG_OK;
}
