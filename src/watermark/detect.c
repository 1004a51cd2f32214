/*
 * watermark/detect.c: see detect.h.
 *
 * Weights. Let a cell have c of the n rows that its subset counted, and let e be what is expected without a mark. A
 * mark that makes rows of sign + more frequent by a factor 1 + d, and those of sign - less by 1 - d, makes the
 * logarithm of the likelihood ratio of the two signs 2 d (c - e), to first order; an expectation that is itself off by
 * a share kappa divides that by 1 + kappa^2 e. The weight is what the sign is then expected to be, tanh(d (c - e) / (1
 * + kappa^2 e)), which no cell that foreign rows filled can drive beyond 1; d is the subset's, out of the plan.
 * (Measured beside equal weights for each feature that occurs, and Pearson's residuals: it finds more under every
 * change of the rows.)
 *
 * Expectations. e = n p, p from the plan, raked once: times the ratio of the observed to the planned share of each of
 * its groups, and all rare cells of a subset scaled to the number of rows that lie in them. Conditions, foreign rows
 * and shifted columns hurt less so. Nothing here sees a key, which is what the proof rests on.
 */
#include "watermark/detect.h"

#include "num/special.h"

#include <math.h>
#include <string.h>

#define KAPPA 0.5
#define MOST_RATIO 8.0
#define BLOCK 256 /* rows that are counted together */

struct mg_detector
{
	mg_arena *arena;
	const mg_mark_plan *plan;
	bool *whole; /* [nsubsets] all its columns are present */
	uint32_t nwhole;
	uint32_t *count;  /* [cells] */
	uint64_t *rows;   /* [nsubsets] rows that had all its groups */
	uint64_t *margin; /* [ncolumns * MG_MARK_GROUPS] rows of each group */
	bool *present;    /* [ncolumns] */

	/* after finish: cells that weigh something */
	uint32_t n, features;
	uint32_t *cell;
	uint32_t *first; /* [nsubsets + 1] where a subset's begin */
	float *w;
	double norm;
	uint32_t cells; /* keystream that is needed: up to the last of them */
};

/* ---- life ---- */

static mg_code
init(mg_ctx *ctx, mg_detector *d, const bool *present)
{
	const mg_mark_plan *p = d->plan;

	MG_NEW(ctx, d->arena, d->whole, (size_t) p->nsubsets + 1);
	MG_NEW(ctx, d->arena, d->rows, (size_t) p->nsubsets + 1);
	MG_NEW(ctx, d->arena, d->count, (size_t) p->cells + 1);
	MG_NEW(ctx, d->arena, d->margin, (size_t) p->ncolumns * MG_MARK_GROUPS);
	MG_NEW(ctx, d->arena, d->present, p->ncolumns);
	for (uint32_t c = 0; c < p->ncolumns; c++)
		d->present[c] = present[c] && p->column[c].ngroups > 0;
	for (uint32_t s = 0; s < p->nsubsets; s++)
	{
		d->whole[s] = true;
		for (uint32_t i = 0; i < p->subset[s].k; i++)
			d->whole[s] = d->whole[s] && d->present[p->subset[s].cols[i]];
		d->nwhole += d->whole[s];
	}
	return MG_OK;
}

mg_code
mg_detector_create(mg_ctx *ctx, const mg_mark_plan *plan, const bool *present, mg_detector **out)
{
	mg_arena *arena = mg_arena_create(0);
	mg_detector *d = arena != NULL ? mg_arena_alloc(arena, 1, sizeof(*d)) : NULL;
	mg_code code;

	*out = NULL;
	if (d == NULL)
	{
		mg_arena_destroy(arena);
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	}
	d->arena = arena;
	d->plan = plan;
	code = init(ctx, d, present);
	if (code != MG_OK)
	{
		mg_arena_destroy(arena);
		return code;
	}
	*out = d;
	return MG_OK;
}

void
mg_detector_destroy(mg_detector *d)
{
	if (d != NULL)
		mg_arena_destroy(d->arena);
}

uint32_t
mg_detector_subsets(const mg_detector *d)
{
	return d->nwhole;
}

/* ---- counting ---- */

/* A missing group's cell is beyond all others, and is not counted. */
static void
count_subset(mg_detector *d, uint32_t index, const uint8_t *const *group, size_t from, uint32_t n)
{
	const mg_mark_subset *s = &d->plan->subset[index];
	uint32_t *count = d->count + s->first, seen = 0;
	uint32_t at[BLOCK] = {0};

	for (uint32_t i = 0; i < s->k; i++)
	{
		const uint8_t *g = group[s->cols[i]] + from;
		uint32_t stride = s->stride[i], groups = d->plan->column[s->cols[i]].ngroups;

		for (uint32_t r = 0; r < n; r++)
			at[r] += g[r] < groups ? g[r] * stride : MG_MARK_CELLS;
	}
	for (uint32_t r = 0; r < n; r++)
		if (at[r] < s->cells)
		{
			count[at[r]]++;
			seen++;
		}
	d->rows[index] += seen;
}

mg_code
mg_detect_add(mg_ctx *ctx, mg_detector *d, const uint8_t *const *group, size_t rows)
{
	const mg_mark_plan *p = d->plan;

	for (size_t from = 0; from < rows; from += BLOCK)
	{
		uint32_t n = rows - from < BLOCK ? (uint32_t) (rows - from) : BLOCK;

		if (from % (BLOCK * 64) == 0)
			MG_TRY(mg_poll(ctx));
		for (uint32_t c = 0; c < p->ncolumns; c++)
			for (uint32_t r = 0; d->present[c] && r < n; r++)
				if (group[c][from + r] < p->column[c].ngroups)
					d->margin[(size_t) c * MG_MARK_GROUPS + group[c][from + r]]++;
		for (uint32_t s = 0; s < p->nsubsets; s++)
			if (d->whole[s])
				count_subset(d, s, group, from, n);
	}
	return MG_OK;
}

/* ---- weights ---- */

/* ratio[col][group]: observed share over the plan's. */
static void
rake(const mg_detector *d, double *ratio)
{
	const mg_mark_plan *p = d->plan;

	for (uint32_t c = 0; c < p->ncolumns; c++)
	{
		const uint64_t *seen = d->margin + (size_t) c * MG_MARK_GROUPS;
		double total = 0;

		if (!d->present[c])
			continue;
		for (uint32_t g = 0; g < p->column[c].ngroups; g++)
			total += (double) seen[g];
		for (uint32_t g = 0; g < p->column[c].ngroups; g++)
		{
			/* a prior of some rows of the plan's own shares: few rows say little about a margin */
			double planned = p->margin[c][g], observed = ((double) seen[g] + 50 * planned) / (total + 50);

			ratio[(size_t) c * MG_MARK_GROUPS + g] =
				planned > 0 ? fmin(fmax(observed / planned, 1 / MOST_RATIO), MOST_RATIO) : MOST_RATIO;
		}
	}
}

/* Expected counts of the subset's rare cells into e[cells], scaled to those seen; frequent ones 0. */
static void
expect(const mg_detector *d, uint32_t index, const double *ratio, const double *probability, double *e)
{
	const mg_mark_subset *s = &d->plan->subset[index];
	double n = (double) d->rows[index], sum = 0, seen = 0, scale;

	for (uint32_t i = 0; i < s->cells; i++)
	{
		double x = n * probability[s->q[i]];

		e[i] = 0;
		if (s->q[i] == MG_MARK_FREQUENT)
			continue;
		for (uint32_t j = 0; j < s->k; j++)
			x *= ratio[(size_t) s->cols[j] * MG_MARK_GROUPS + i / s->stride[j] % d->plan->column[s->cols[j]].ngroups];
		e[i] = x;
		sum += x;
		seen += d->count[s->first + i];
	}
	scale = sum > 0 ? (seen + 10) / (sum + 10) : 1;
	for (uint32_t i = 0; i < s->cells; i++)
		e[i] *= scale;
}

mg_code
mg_detect_finish(mg_ctx *ctx, mg_detector *d)
{
	const mg_mark_plan *p = d->plan;
	double *ratio, *e, probability[256], squares = 0;

	MG_NEW(ctx, d->arena, ratio, (size_t) p->ncolumns * MG_MARK_GROUPS);
	MG_NEW(ctx, d->arena, e, MG_MARK_CELLS);
	MG_NEW(ctx, d->arena, d->cell, (size_t) p->cells + 1);
	MG_NEW(ctx, d->arena, d->w, (size_t) p->cells + 1);
	MG_NEW(ctx, d->arena, d->first, (size_t) p->nsubsets + 1);
	for (int q = 0; q < 256; q++)
		probability[q] = mg_mark_probability(p, (uint8_t) q);
	rake(d, ratio);
	for (uint32_t s = 0; s < p->nsubsets; s++)
	{
		const mg_mark_subset *of = &p->subset[s];

		MG_TRY(mg_poll(ctx));
		d->first[s] = d->n;
		if (!d->whole[s] || d->rows[s] == 0)
			continue;
		expect(d, s, ratio, probability, e);
		for (uint32_t i = 0; i < of->cells; i++)
		{
			double c = d->count[of->first + i];
			double w = (c - e[i]) / (1 + KAPPA * KAPPA * e[i]);

			if (of->q[i] == MG_MARK_FREQUENT || (c == 0 && e[i] < 0.02))
				continue;
			w = tanh(w * of->tells / MG_MARK_TELLS);
			d->features += c > 0;
			d->cell[d->n] = of->first + i;
			d->w[d->n++] = (float) w;
			squares += (double) (float) w * (double) (float) w;
			d->cells = of->first + i + 1;
		}
	}
	d->first[p->nsubsets] = d->n;
	d->norm = sqrt(squares);
	return MG_OK;
}

/* ---- a key ---- */

/* log(3.178) bounds the constant of Bentkus, Dzindzalieta 2015, 1 / (4 (1 - Phi(sqrt 2))) = 3.1787.. rounded up. */
double
mg_mark_log_p(double z)
{
	if (!(z > 0))
		return 0;
	return fmin(fmin(-z * z / 2, log(3.1788) + mg_log_normal_cdf(-z)), 0);
}

/* The signs of all cells that may be asked for, in an arena of their own. */
static mg_code
make_signs(mg_ctx *ctx, const mg_detector *d, const uint8_t key[MG_KEY_BYTES], mg_arena **a, uint8_t **bits)
{
	*a = mg_arena_create(0);
	*bits = *a != NULL ? mg_arena_alloc(*a, 1, (size_t) d->cells / 8 + 1) : NULL;
	return *bits != NULL ? mg_mark_signs(ctx, key, d->cells, *bits) : mg_fail(ctx, MG_NOMEM, "out of memory");
}

static void
forget_signs(const mg_detector *d, mg_arena *a, uint8_t *bits)
{
	if (bits != NULL)
		mg_wipe(bits, (size_t) d->cells / 8 + 1);
	mg_arena_destroy(a);
}

/* The sum of w * sign over the cells in some places. */
static double
signed_sum(const mg_detector *d, const uint8_t *bits, uint32_t from, uint32_t to)
{
	double sum = 0;

	for (uint32_t i = from; i < to; i++)
	{
		uint32_t at = d->cell[i];

		sum += (bits[at / 8] >> (at % 8)) & 1 ? (double) d->w[i] : -(double) d->w[i];
	}
	return sum;
}

mg_code
mg_detect_key(mg_ctx *ctx, const mg_detector *d, const uint8_t key[MG_KEY_BYTES], mg_detection *out)
{
	double sum = 0;
	uint8_t *bits;
	mg_arena *a;
	mg_code code;

	memset(out, 0, sizeof(*out));
	out->features = d->features;
	out->p = 1;
	if (!(d->norm > 0))
		return MG_OK;
	code = make_signs(ctx, d, key, &a, &bits);
	if (code == MG_OK)
		sum = signed_sum(d, bits, 0, d->n);
	forget_signs(d, a, bits);
	MG_TRY(code);
	out->z = sum / d->norm;
	out->log_p = mg_mark_log_p(out->z);
	out->p = exp(out->log_p);
	return MG_OK;
}

mg_code
mg_detect_parts(mg_ctx *ctx, const mg_detector *d, const uint8_t key[MG_KEY_BYTES], mg_detection_part *out)
{
	uint8_t *bits;
	mg_arena *a;
	mg_code code = make_signs(ctx, d, key, &a, &bits);

	for (uint32_t s = 0; code == MG_OK && s < d->plan->nsubsets; s++)
	{
		out[s] = (mg_detection_part){.sum = signed_sum(d, bits, d->first[s], d->first[s + 1])};
		for (uint32_t i = d->first[s]; i < d->first[s + 1]; i++)
			out[s].square += (double) d->w[i] * (double) d->w[i];
	}
	forget_signs(d, a, bits);
	return code;
}
