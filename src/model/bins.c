/* model/bins.c: see model/bins.h. Post-processing of noisy masses; memory is the caller's arena. */
#include "model/bins.h"

#include <math.h>

/* A stretch of neighbouring cells: a heavy cell alone, or what lies between two of them. */
typedef struct stretch
{
	uint32_t from, to;
	double mass;
	bool heavy;
	uint32_t bins; /* 0: joins a neighbour */
} stretch;

static uint32_t
find_stretches(const double *fine, uint32_t n, double heavy, stretch *s)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < n; i++)
	{
		bool alone = fine[i] >= heavy;

		if (alone || count == 0 || s[count - 1].heavy)
			s[count++] = (stretch){i, i, 0, alone, 0};
		s[count - 1].to = i + 1;
		s[count - 1].mass += fine[i];
	}
	return count;
}

/* Bins of each stretch when a bin is to weigh `target`; returns their sum. */
static uint32_t
share_bins(stretch *s, uint32_t count, double target, double least)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < count; i++)
	{
		uint32_t width = s[i].to - s[i].from;

		if (s[i].heavy)
			s[i].bins = 1;
		else if (s[i].mass < least)
			s[i].bins = 0;
		else
			s[i].bins = (uint32_t) fmin(fmax(rint(s[i].mass / target), 1), width);
		sum += s[i].bins;
	}
	return sum;
}

/* Cuts a stretch into its bins at about equal masses, none lighter than `least`: a cell goes to the bin in which its
 * middle falls. */
static uint32_t
cut_stretch(const stretch *s, const double *fine, double least, uint32_t code, uint16_t *merge)
{
	double before = 0, here = 0;
	uint32_t bin = 0, from = s->from;

	for (uint32_t i = s->from; i < s->to; i++)
	{
		double due = s->mass > 0 ? fmin((before + fine[i] / 2) / s->mass * s->bins, s->bins - 1) : 0;

		if (due >= bin + 1 && here >= least)
		{
			bin++;
			here = 0;
			from = i;
		}
		here += fine[i];
		before += fine[i];
		merge[i] = (uint16_t) (code + bin);
	}
	if (here < least && bin > 0)
	{
		/* what is left over joins the bin before */
		bin--;
		for (uint32_t i = from; i < s->to; i++)
			merge[i] = (uint16_t) (code + bin);
	}
	return code + bin + 1;
}

/* The mass of a bin when heavy cells stand alone and the others share what bins are left. */
static double
bin_mass(const double *fine, uint32_t n, double total, const mg_bin_rule *rule)
{
	double target = fmax(total / rule->most, rule->least);

	for (;;)
	{
		double rest = 0, next;
		uint32_t heavy = 0;

		for (uint32_t i = 0; i < n; i++)
			if (fine[i] >= target)
				heavy++;
			else
				rest += fine[i];
		/* heavy cells weigh at least the target, so the others' share of the bins left is never above it; few rounds in
		 * practice */
		next = heavy < rule->most ? fmax(rest / (rule->most - heavy), rule->least) : target;
		if (!(next < target * 0.999))
			return target;
		target = next;
	}
}

static uint32_t
merge_number(const double *fine, uint32_t n, const mg_bin_rule *rule, stretch *s, uint16_t *merge)
{
	double total = 0, target;
	uint32_t count, code = 0;

	for (uint32_t i = 0; i < n; i++)
		total += fine[i];
	target = bin_mass(fine, n, total, rule);
	for (;;)
	{
		count = find_stretches(fine, n, target, s);
		if (share_bins(s, count, target, rule->least) <= rule->most)
			break;
		target *= 1.1;
	}
	for (uint32_t i = 0; i < count; i++)
	{
		if (s[i].bins > 0)
		{
			code = cut_stretch(&s[i], fine, rule->least, code, merge);
			continue;
		}
		/* joins what is before it; at the front, what comes after */
		for (uint32_t j = s[i].from; j < s[i].to; j++)
			merge[j] = (uint16_t) (code > 0 ? code - 1 : 0);
	}
	return code > 0 ? code : 1;
}

/*
 * place[i] in [0, 1]: where cell i lies among all; never falls from one to the next. Cells go to the `most` equal parts
 * of that; a part without a cell gets no code.
 */
static uint32_t
merge_by_place(const double *place, uint32_t n, uint32_t most, uint16_t *merge)
{
	double part = 0;
	uint32_t code = 0;

	for (uint32_t i = 0; i < n; i++)
	{
		double here = fmin(floor(place[i] * most), most - 1.0);

		if (i > 0 && here > part)
			code++;
		part = i == 0 ? here : fmax(part, here);
		merge[i] = (uint16_t) code;
	}
	return code + 1;
}

/* Middles on the axis; a single value is as wide as the step. */
static void
place_by_width(const mg_domain *d, const mg_cell *cells, uint32_t n, double *place)
{
	double step = d->step > 0 ? d->step : 0, from = cells[0].lower, to = cells[n - 1].upper;

	if (cells[n - 1].upper == cells[n - 1].lower)
		to += step;
	for (uint32_t i = 0; i < n; i++)
	{
		double upper = cells[i].upper > cells[i].lower ? cells[i].upper : cells[i].upper + step;
		/* all by half: the ends of a type's range may be too far apart for a double */
		double half = cells[i].lower / 4 + upper / 4 - from / 2;

		place[i] = to > from ? fmin(fmax(half / (to / 2 - from / 2), 0), 1) : 0;
	}
}

static void
place_by_mass(const double *fine, uint32_t n, double *place)
{
	double total = 0, before = 0;

	for (uint32_t i = 0; i < n; i++)
		total += fine[i];
	for (uint32_t i = 0; i < n; i++)
	{
		place[i] = total > 0 ? (before + fine[i] / 2) / total : (i + 0.5) / n;
		before += fine[i];
	}
}

static uint32_t
merge_labels(const mg_domain *d, const double *fine, uint32_t nlabels, const mg_bin_rule *rule, uint16_t *merge)
{
	uint32_t code = 0, light = 0;
	bool other_light = d->has_other && fine[nlabels] < rule->least;

	for (uint32_t i = 0; i < nlabels; i++)
		if (fine[i] >= rule->least)
			merge[i] = (uint16_t) code++;
		else
			light++;
	if (light > 0)
	{
		for (uint32_t i = 0; i < nlabels; i++)
			if (!(fine[i] >= rule->least))
				merge[i] = (uint16_t) code;
		code++;
	}
	merge[nlabels] = 0;
	if (d->has_other && other_light && light > 0)
		merge[nlabels] = (uint16_t) (code - 1);
	else if (d->has_other)
		merge[nlabels] = (uint16_t) code++;
	return code > 0 ? code : 1;
}

mg_code
mg_bins_merge(mg_ctx *ctx, mg_arena *a, const mg_domain *d, const mg_cell *cells, const double *fine, uint32_t nfine,
			  const mg_bin_rule *rule, uint16_t *merge, uint32_t *ncoarse)
{
	uint32_t codes, null_cell = nfine - 1;

	if (nfine < 2 || rule->most < 1)
		return mg_fail(ctx, MG_INTERNAL, "a column without cells");
	if (d->kind == MG_NUMBER && rule->how != MG_BINS_MERGED)
	{
		double *place;

		MG_NEW(ctx, a, place, nfine);
		if (rule->how == MG_BINS_UNIFORM)
			place_by_width(d, cells, nfine - 1, place);
		else
			place_by_mass(fine, nfine - 1, place);
		codes = merge_by_place(place, nfine - 1, rule->most, merge);
	}
	else if (d->kind == MG_NUMBER)
	{
		stretch *s;

		MG_NEW(ctx, a, s, nfine);
		codes = merge_number(fine, nfine - 1, rule, s, merge);
	}
	else
		codes = merge_labels(d, fine, nfine - 2, rule, merge);
	merge[null_cell] = (uint16_t) (d->nullable ? codes++ : 0);
	*ncoarse = codes;
	return MG_OK;
}
