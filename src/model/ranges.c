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
#define GROUP_OCTAVES 4

/* A tail of k cells is taken in from so many deviations of its sum on; when wrong, empty cells are learnt as nearly
 * empty. */
#define TAIL_DEVIATIONS 3.0
#define FAR_DEVIATIONS 5.0

/* Cells beyond the occupied range, on either side: the first is so small a part of it, the others double. */
#define LADDER_FIRST 16
#define LADDER_STEPS 14
#define REACH 4.0

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
	MG_NEW(ctx, a, p->before, cells);
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

/* A heap that spreads over several octaves may show in them together: groups of neighbours, from zero on both sides. */
static void
group_octaves(mg_partition *p)
{
	uint32_t zero = 0;

	while (zero < p->n && p->edge[zero] < 0)
		zero++;
	for (uint32_t i = 0; i < p->n; i++)
		p->group[i] = 1 + (i >= zero ? zero + (i - zero) / GROUP_OCTAVES : (zero - 1 - i) / GROUP_OCTAVES);
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
	group_octaves(p);
	return MG_OK;
}

/*
 * Does the sum of so many cells stand out of the noise, in one of all the sums that a round looks at? Where nothing is
 * known to be, half a deviation more is asked for: there an error would stretch the range without end.
 */
static bool
stands_out(const mg_partition *p, double sum, uint32_t cells, bool known)
{
	double deviations = significance(2 * p->n) + (known ? 0 : 0.5);

	return sum >= fmax(deviations * p->sigma * sqrt((double) cells), 1);
}

/* The cells [from, to) of one group, halved again and again: is there a part that stands out? */
static bool
any_stands_out(const mg_partition *p, uint32_t from, uint32_t to, double *sum)
{
	uint32_t middle = from + (to - from) / 2;
	double left, right;
	bool any, known = p->kept[from];

	if (to - from == 1)
	{
		*sum = p->mass[from];
		return stands_out(p, *sum, 1, known);
	}
	any = any_stands_out(p, from, middle, &left);
	any = any_stands_out(p, middle, to, &right) || any;
	*sum = left + right;
	return any || stands_out(p, *sum, to - from, known);
}

/* Appends a cell of `p` or several as one, in place: never more cells than were read. */
static void
settle_cell(mg_partition *p, uint32_t *n, uint32_t from, double mass, bool kept)
{
	p->edge[*n] = p->edge[from];
	p->mass[*n] = mass;
	p->kept[*n] = kept;
	p->group[*n] = 0;
	(*n)++;
}

static void
settle_cells(mg_partition *p, uint32_t *n, uint32_t from, uint32_t to)
{
	for (; from < to; from++)
		settle_cell(p, n, from, p->mass[from], false);
}

/* A part that stands out, of which the smallest parts that do are wanted. Halves that do not: their cells as they are.
 */
static void
settle_part(mg_partition *p, uint32_t *n, uint32_t from, uint32_t to, double sum)
{
	uint32_t middle = from + (to - from) / 2;
	double left, right;
	bool any_left, any_right;

	if (to - from == 1)
	{
		settle_cell(p, n, from, sum, true);
		return;
	}
	any_left = any_stands_out(p, from, middle, &left);
	any_right = any_stands_out(p, middle, to, &right);
	if (!any_left && !any_right)
	{
		settle_cell(p, n, from, sum, true);
		return;
	}
	if (any_left)
		settle_part(p, n, from, middle, left);
	else
		settle_cells(p, n, from, middle);
	if (any_right)
		settle_part(p, n, middle, to, right);
	else
		settle_cells(p, n, middle, to);
}

/*
 * Cells after a measurement: of each group the smallest parts (of a binary tree over it) that stand out of the noise.
 * A narrow heap is found at the full resolution, a flat one at the resolution that its mass allows. Where no part of
 * what was known to be occupied shows, it stays whole: what was found must not be lost by looking closer.
 */
static void
settle(mg_partition *p)
{
	uint32_t cells = p->n, n = 0;

	for (uint32_t i = 0, end; i < cells; i = end)
	{
		bool known = p->kept[i];
		double sum;

		for (end = i + 1; end < cells && p->group[i] != 0 && p->group[end] == p->group[i]; end++)
			;
		if (any_stands_out(p, i, end, &sum))
			settle_part(p, &n, i, end, sum);
		else if (known)
			settle_cell(p, &n, i, end - i > 1 ? p->before[i] : sum, true);
		else
			settle_cells(p, &n, i, end);
	}
	p->edge[n] = p->edge[cells];
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
 * How many of the `n` cells outward from edge[at] belong to the range: the count at which their sum stands out most
 * above TAIL_DEVIATIONS of its own noise, or FAR_DEVIATIONS beyond a few times the range's width; 0 where it never
 * does. A thin tail is seen in this way that no cell alone shows.
 */
static uint32_t
tail_cells(const mg_partition *p, uint32_t at, int step, uint32_t n, double extent)
{
	double sum = 0, best = 0;
	uint32_t count = 0;

	for (uint32_t k = 1; k <= n; k++)
	{
		uint32_t cell = step > 0 ? at + k - 1 : at - k;
		double away = fabs(p->edge[step > 0 ? cell + 1 : cell] - p->edge[at]);
		double deviations = away <= REACH * extent ? TAIL_DEVIATIONS : FAR_DEVIATIONS, excess;

		sum += p->mass[cell];
		excess = sum - fmax(deviations * p->sigma * sqrt((double) k), 1);
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
	double extent;
	uint32_t i, j;

	for (i = 0; i < p->n && !p->kept[i]; i++)
		;
	if (i == p->n)
		return false;
	for (j = p->n - 1; j > i && !p->kept[j]; j--)
		;
	extent = p->edge[j + 1] - p->edge[i];
	*first = i - tail_cells(p, i, -1, i, extent);
	*last = j + tail_cells(p, j + 1, 1, p->n - 1 - j, extent);
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

void
mg_partition_reach(const mg_domain *d, const mg_partition *p, double *lower, double *upper)
{
	double by = REACH * (*upper - *lower), from = *lower - by, to = *upper + by;
	uint32_t first, last;
	mg_grid g;

	mg_grid_init(&g, d);
	if (!d->open || !significant_range(p, &first, &last) || !(mg_grid_count(&g, *lower, *upper) > MG_MAX_CELLS) ||
		!isfinite(from) || !isfinite(to))
		return;
	if (*lower >= 0 && from < 0)
		from = 0;
	if (*upper <= 0 && to > 0)
		to = 0;
	if (g.step > 0)
	{
		from = mg_grid_value(&g, mg_grid_ceil(&g, from));
		to = mg_grid_value(&g, mg_grid_nearest(&g, to));
	}
	*lower = fmin(fmax(from, d->lower), *lower);
	*upper = fmax(fmin(to, d->upper), *upper);
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
 * Edges outward from the occupied range to the end of the axis: the first cell is narrow, each further one twice as
 * wide, the last one the rest; zero is an edge wherever it lies. A tail is so looked at on its own scale, in few cells,
 * and nothing far away is taken for it.
 */
static uint32_t
ladder(const mg_grid *g, double from, double end, double extent, double *edge)
{
	double width = extent / LADDER_FIRST, at = from;
	uint32_t n = 0;

	for (; n < LADDER_STEPS; width *= 2)
	{
		double next = end > from ? at + width : at - width;

		at = at * next < 0 ? 0 : next; /* zero is an edge: a positive column gets no negative value from a neighbour */
		if (!(end > from ? at < end : at > end))
			break;
		edge[n++] = g->step > 0 ? mg_grid_value(g, mg_grid_ceil(g, at)) : at;
	}
	return n;
}

static void
copy_partition(const mg_partition *p, mg_partition *out)
{
	memcpy(out->edge, p->edge, (p->n + 1) * sizeof(double));
	memcpy(out->mass, p->mass, p->n * sizeof(double));
	memcpy(out->group, p->group, p->n * sizeof(uint32_t));
	out->n = p->n;
}

/* The next stretch from cell i on: one occupied cell, or a run of others that does not stand out even together. */
static uint32_t
next_stretch(const mg_partition *p, uint32_t i, uint32_t last, double *mass)
{
	uint32_t end = i + 1;

	*mass = p->mass[i];
	while (!p->kept[i] && end <= last && !p->kept[end] && !stands_out(p, *mass + p->mass[end], end + 1 - i, true))
		*mass += p->mass[end++];
	return end;
}

/*
 * A gap [i, end) that is wider than what is occupied on one side of it: the tails of both sides reach into it, each on
 * the scale of its own side.
 */
static void
bridge(mg_partition *out, uint32_t *edges, const mg_grid *g, const mg_partition *p, uint32_t first, uint32_t last,
	   uint32_t i, uint32_t end)
{
	double rung[LADDER_STEPS], from = p->edge[i], to = p->edge[end];
	uint32_t n = ladder(g, from, to, from - p->edge[first], rung);

	for (uint32_t k = 0; k < n; k++)
		push_edge(out, edges, g, rung[k], to);
	n = ladder(g, to, from, p->edge[last + 1] - to, rung);
	while (n-- > 0)
		push_edge(out, edges, g, rung[n], to);
}

/*
 * The range of the occupied cells [first, last], split: pushes edges from edge[first] on. Most parts go by mass, some
 * to every occupied cell (at least two, unless there are many); a run between them is split by what mass it seems to
 * have.
 */
static void
refine_occupied(mg_partition *out, uint32_t *edges, const mg_grid *g, const mg_partition *p, uint32_t first,
				uint32_t last, uint32_t parts)
{
	uint32_t occupied = 0;
	double sum = 0, mass;

	for (uint32_t i = first; i <= last; i = next_stretch(p, i, last, &mass))
		occupied += p->kept[i];
	for (uint32_t i = first; i <= last;)
	{
		i = next_stretch(p, i, last, &mass);
		sum += fmax(mass, 0);
	}
	for (uint32_t i = first, end; i <= last; i = end)
	{
		uint32_t from = *edges - 1, room;
		double share, want;

		end = next_stretch(p, i, last, &mass);
		share = (p->kept[i] ? 0.3 / occupied : 0) + (sum > 0 ? 0.7 * fmax(mass, 0) / sum : 0);
		want = fmax(rint(share * parts), p->kept[i] && occupied <= parts / 4 ? 2 : 1);
		room = MAX_ROUND_CELLS - *edges > p->n - i ? MAX_ROUND_CELLS - *edges - (p->n - i) : 1;
		if (!p->kept[i] && room > 2 * LADDER_STEPS &&
			p->edge[end] - p->edge[i] > fmin(p->edge[i] - p->edge[first], p->edge[last + 1] - p->edge[end]))
			bridge(out, edges, g, p, first, last, i, end);
		else
			split_cell(out, edges, g, p->edge[i], p->edge[end], (uint32_t) fmin(want, room));
		for (uint32_t k = from; k < *edges; k++)
		{
			out->group[k] = i + 1;
			out->before[k] = mass;
			out->kept[k] = p->kept[i];
		}
		push_edge(out, edges, g, p->edge[end], p->edge[p->n]);
	}
}

mg_code
mg_partition_refine(mg_ctx *ctx, mg_arena *a, const mg_domain *d, uint32_t parts, const mg_partition *p,
					mg_partition *out)
{
	uint32_t edges = 1, first = 0, last = p->n, steps;
	double extent, rung[LADDER_STEPS];
	mg_grid g;

	mg_grid_init(&g, d);
	MG_TRY(partition_alloc(ctx, a, MAX_ROUND_CELLS + MAX_LOG_EDGES, out));
	out->sigma = p->sigma;
	out->total = p->total;
	while (first < p->n && !p->kept[first])
		first++;
	if (first == p->n)
	{
		copy_partition(p, out);
		return MG_OK;
	}
	while (!p->kept[last - 1])
		last--;
	last--;
	extent = p->edge[last + 1] - p->edge[first];
	out->edge[0] = p->edge[0];
	steps = ladder(&g, p->edge[first], p->edge[0], extent, rung);
	while (steps-- > 0)
		push_edge(out, &edges, &g, rung[steps], p->edge[p->n]);
	push_edge(out, &edges, &g, p->edge[first], p->edge[p->n]);
	refine_occupied(out, &edges, &g, p, first, last, parts);
	steps = ladder(&g, p->edge[last + 1], p->edge[p->n], extent, rung);
	for (uint32_t i = 0; i < steps; i++)
		push_edge(out, &edges, &g, rung[i], p->edge[p->n]);
	out->edge[edges] = p->edge[p->n];
	out->n = edges;
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

/* Joins neighbours, greedily, as long as two of them hold less than a part in n / 2 of all: at most n are left. */
static void
join_neighbours(mg_partition *p, uint32_t n)
{
	double sum = 0, most;
	uint32_t to = 0;

	for (uint32_t i = 0; i < p->n; i++)
		sum += fmax(p->mass[i], 0);
	most = 2 * sum / (n > 2 ? n - 2 : 1);
	for (uint32_t i = 1; i < p->n; i++)
	{
		double both = fmax(p->mass[to], 0) + fmax(p->mass[i], 0);

		if (both <= most)
		{
			p->mass[to] = both;
			p->kept[to] = p->kept[to] || p->kept[i];
			continue;
		}
		to++;
		p->edge[to] = p->edge[i];
		p->mass[to] = p->mass[i];
		p->kept[to] = p->kept[i];
	}
	p->edge[to + 1] = p->edge[p->n];
	p->n = to + 1;
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
	MG_TRY(mg_partition_refine(ctx, a, d, wanted < most ? wanted : most, &clipped, &fine));
	MG_NEW(ctx, a, *cells, MG_MAX_CELLS);
	if (fine.n > most && clipped.n + 2 * LADDER_STEPS + 8 < most)
		MG_TRY(mg_partition_refine(ctx, a, d, (most - clipped.n - 2 * LADDER_STEPS) / 2, &clipped, &fine));
	if (fine.n > most)
	{
		/* more visible parts than cells: neighbours joined until they can be split again by mass */
		join_neighbours(&clipped, most / 4);
		MG_TRY(mg_partition_refine(ctx, a, d, most / 4, &clipped, &fine));
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
