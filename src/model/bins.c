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
mg_bins_merge(mg_ctx *ctx, mg_arena *a, const mg_domain *d, const double *fine, uint32_t nfine, const mg_bin_rule *rule,
			  uint16_t *merge, uint32_t *ncoarse)
{
	uint32_t codes, null_cell = nfine - 1;

	if (nfine < 2 || rule->most < 1)
		return mg_fail(ctx, MG_INTERNAL, "a column without cells");
	if (d->kind == MG_NUMBER)
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
