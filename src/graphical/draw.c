/*
 * graphical/draw.c: rows from a calibrated junction tree, by systematic sampling.
 *
 * Columns are drawn one after another in the order of the tree's cliques; a column's parents are the separator
 * of the clique that brings it and the columns that the clique brought before. A batch draws a whole column at
 * once: rows are grouped by their parents' codes, and the m rows of a group get codes whose numbers are the
 * systematic allocation
 *
 *     rows with a code <= c  =  floor(m * P(code <= c | parents) + u),     u uniform in [0, 1), one a group,
 *
 * so that each number differs from m * P by less than one and is right in expectation. Which row of the group
 * gets which code is decided by a fresh uniform permutation for each column, without which columns would be
 * tied to each other through the order of rows.
 *
 * Probabilities are 32-bit fixed point: the allocation is exact integer arithmetic, and a code whose cells are
 * zero is never drawn.
 */
#include "graphical/body.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ONE ((uint64_t) 1 << 32)

typedef struct draw
{
	uint32_t col, codes, groups;
	uint32_t nparents;
	uint32_t parent[MG_FACTOR_COLUMNS]; /* ascending */
	uint32_t stride[MG_FACTOR_COLUMNS];
	uint32_t *cum;  /* [groups * codes] P(code <= c | group) * 2^32, unused from last on */
	uint16_t *last; /* [groups] the last code of positive probability */
} draw;

typedef struct sampler
{
	mg_sampler base;
	mg_arena *arena;
	uint32_t ndraws;
	draw *draw;
	uint32_t *cursor;   /* [most groups] zero between draws; rows of a group, then its next slot */
	uint32_t *group;    /* [MG_BATCH_ROWS] group of each row, where there are several parents */
	uint32_t *touched;  /* [MG_BATCH_ROWS + 1] groups that have rows */
	uint16_t *sequence; /* [MG_BATCH_ROWS] codes, group after group */
	uint16_t *order;    /* [MG_BATCH_ROWS] a permutation */
} sampler;

/* Codes for m rows of one group into out[0..m-1], ascending. */
static void
allocate(const uint32_t *cum, uint32_t last, uint32_t m, uint32_t offset, uint16_t *out)
{
	uint32_t at = 0;

	if (last / 16 < m)
	{
		for (uint32_t c = 0; c < last && at < m; c++)
		{
			uint32_t end = (uint32_t) (((uint64_t) m * cum[c] + offset) >> 32);

			while (at < end)
				out[at++] = (uint16_t) c;
		}
		while (at < m)
			out[at++] = (uint16_t) last;
		return;
	}
	/* few rows, many codes: row `at` gets the first code with m * cum + offset >= (at + 1) * 2^32 */
	for (uint32_t low = 0; at < m; at++)
	{
		uint64_t need = ((uint64_t) at + 1) * ONE - offset;
		uint32_t high = last;

		while (low < high)
		{
			uint32_t mid = low + (high - low) / 2;

			if ((uint64_t) m * cum[mid] >= need)
				high = mid;
			else
				low = mid + 1;
		}
		out[at] = (uint16_t) low;
	}
}

/* Group of each row from several parents. */
static void
mix_parents(const draw *d, uint16_t *const *codes, uint32_t n, uint32_t *group)
{
	const uint16_t *first = codes[d->parent[0]];

	for (uint32_t i = 0; i < n; i++)
		group[i] = first[i] * d->stride[0];
	for (uint32_t p = 1; p < d->nparents; p++)
	{
		const uint16_t *code = codes[d->parent[p]];
		uint32_t stride = d->stride[p];

		for (uint32_t i = 0; i < n; i++)
			group[i] += code[i] * stride;
	}
}

/* Either narrow (one parent: its codes) or wide (several) is given; inlined twice so that each loop knows which. */
static inline void
draw_groups(sampler *s, const draw *d, mg_rng *rng, uint32_t n, const uint16_t *narrow, const uint32_t *wide,
			uint16_t *out)
{
	uint32_t *cursor = s->cursor, ntouched = 0, at = 0;

	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t g = narrow != NULL ? narrow[i] : wide[i];

		s->touched[ntouched] = g;
		ntouched += cursor[g]++ == 0;
	}
	for (uint32_t t = 0; t < ntouched; t++)
	{
		uint32_t g = s->touched[t], m = cursor[g];

		allocate(d->cum + (size_t) g * d->codes, d->last[g], m, (uint32_t) (mg_rng_u64(rng) >> 32), s->sequence + at);
		cursor[g] = at;
		at += m;
	}
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t row = s->order[i], g = narrow != NULL ? narrow[row] : wide[row];

		out[row] = s->sequence[cursor[g]++];
	}
	for (uint32_t t = 0; t < ntouched; t++)
		cursor[s->touched[t]] = 0;
}

static mg_code
sampler_batch(mg_ctx *ctx, mg_sampler *base, mg_rng *rng, uint32_t n, uint16_t *const *codes)
{
	sampler *s = (sampler *) base;

	if (n > MG_BATCH_ROWS)
		return mg_fail(ctx, MG_INVALID, "a batch has at most %d rows", MG_BATCH_ROWS);
	for (uint32_t i = 0; i < s->ndraws && n > 0; i++)
	{
		const draw *d = &s->draw[i];
		uint16_t *out = codes[d->col];

		mg_rng_permutation16(rng, s->order, n);
		if (d->nparents == 0)
		{
			allocate(d->cum, d->last[0], n, (uint32_t) (mg_rng_u64(rng) >> 32), s->sequence);
			for (uint32_t r = 0; r < n; r++)
				out[s->order[r]] = s->sequence[r];
		}
		else if (d->nparents == 1)
			draw_groups(s, d, rng, n, codes[d->parent[0]], NULL, out);
		else
		{
			mix_parents(d, codes, n, s->group);
			draw_groups(s, d, rng, n, NULL, s->group, out);
		}
	}
	return mg_poll(ctx);
}

static void
sampler_destroy(mg_sampler *base)
{
	if (base != NULL)
		mg_arena_destroy(((sampler *) base)->arena);
}

/*
 * Cumulative fixed-point probabilities of one group from weights w[c * step]; false when all are zero. Rounding
 * the cumulative sums, not the probabilities, keeps every code within 2^-32 of its probability; a zero weight
 * repeats the sum before it.
 */
static bool
set_group(draw *d, uint32_t g, const double *w, size_t step)
{
	uint32_t *cum = d->cum + (size_t) g * d->codes, last = 0;
	double total = 0, sum = 0;

	for (uint32_t c = 0; c < d->codes; c++)
	{
		total += w[c * step];
		if (w[c * step] > 0)
			last = c;
	}
	if (!(total > 0))
		return false;
	for (uint32_t c = 0; c < last; c++)
	{
		uint64_t fixed;

		sum += w[c * step];
		fixed = (uint64_t) (sum / total * (double) ONE + 0.5);
		cum[c] = fixed < ONE ? (uint32_t) fixed : UINT32_MAX;
	}
	d->last[g] = (uint16_t) last;
	return true;
}

/* The table of `col` given parents (all in clique marginal f). */
static mg_code
tabulate(mg_ctx *ctx, mg_arena *keep, mg_arena *scratch, const mg_junction *tree, const mg_factor *f, draw *d)
{
	uint32_t scope[MG_FACTOR_COLUMNS], n = 0, place = 0;
	size_t inner = 1;
	mg_factor joint, alone;

	while (place < d->nparents && d->parent[place] < d->col)
		place++;
	for (uint32_t i = 0; i <= d->nparents; i++)
		scope[n++] = i < place ? d->parent[i] : i == place ? d->col : d->parent[i - 1];
	MG_TRY(mg_factor_make(ctx, scratch, scope, n, tree->size, &joint));
	MG_TRY(mg_factor_make(ctx, scratch, &d->col, 1, tree->size, &alone));
	mg_factor_marginal(f, &joint);
	mg_factor_marginal(f, &alone);
	for (uint32_t i = place + 1; i < n; i++)
		inner *= joint.size[i];
	d->codes = tree->size[d->col];
	d->groups = (uint32_t) (joint.cells / d->codes);
	for (uint32_t i = d->nparents, stride = 1; i-- > 0;)
	{
		d->stride[i] = stride;
		stride *= tree->size[d->parent[i]];
	}
	MG_NEW(ctx, keep, d->cum, joint.cells);
	MG_NEW(ctx, keep, d->last, d->groups);
	for (uint32_t g = 0; g < d->groups; g++)
	{
		const double *w = joint.v + (g / inner) * d->codes * inner + g % inner;

		/* parents' codes that never occur together, but for rounding */
		if (!set_group(d, g, w, inner) && !set_group(d, g, alone.v, 1))
			return mg_fail(ctx, MG_INVALID, "the model has a clique without mass");
	}
	return MG_OK;
}

/* The draws of the columns that clique c brings. */
static mg_code
compile_clique(mg_ctx *ctx, sampler *s, mg_arena *scratch, const mg_graphical *g, uint32_t c, uint32_t *most_groups)
{
	const mg_clique *q = &g->tree.clique[c];
	uint32_t known[MG_FACTOR_COLUMNS], nknown = q->nsep;

	memcpy(known, q->sep, q->nsep * sizeof(*known));
	for (uint32_t i = 0; i < q->k; i++)
	{
		draw *d = &s->draw[s->ndraws];
		uint32_t at = nknown;

		if (mg_columns_within(&q->cols[i], 1, q->sep, q->nsep))
			continue;
		d->col = q->cols[i];
		d->nparents = nknown;
		memcpy(d->parent, known, nknown * sizeof(*known));
		MG_TRY(tabulate(ctx, s->arena, scratch, &g->tree, &g->marginal[c], d));
		mg_arena_reset(scratch);
		*most_groups = d->groups > *most_groups ? d->groups : *most_groups;
		s->ndraws++;
		while (at > 0 && known[at - 1] > q->cols[i])
		{
			known[at] = known[at - 1];
			at--;
		}
		known[at] = q->cols[i];
		nknown++;
	}
	return MG_OK;
}

static mg_code
compile(mg_ctx *ctx, sampler *s, mg_arena *scratch, const mg_model *m)
{
	const mg_graphical *g = m->body;
	uint32_t most_groups = 1;

	MG_NEW(ctx, s->arena, s->draw, m->ncolumns);
	for (uint32_t c = 0; c < g->tree.count; c++)
		MG_TRY(compile_clique(ctx, s, scratch, g, c, &most_groups));
	MG_NEW(ctx, s->arena, s->cursor, most_groups);
	MG_NEW(ctx, s->arena, s->group, MG_BATCH_ROWS);
	MG_NEW(ctx, s->arena, s->touched, MG_BATCH_ROWS + 1);
	MG_NEW(ctx, s->arena, s->sequence, MG_BATCH_ROWS);
	MG_NEW(ctx, s->arena, s->order, MG_BATCH_ROWS);
	return MG_OK;
}

mg_code
mg_graphical_compile(mg_ctx *ctx, const mg_model *m, mg_sampler **out)
{
	mg_arena *arena = mg_arena_create(0), *scratch = mg_arena_create(0);
	sampler *s = arena == NULL ? NULL : mg_arena_alloc(arena, 1, sizeof(*s));
	mg_code code;

	if (s == NULL || scratch == NULL)
		code = mg_fail(ctx, MG_NOMEM, "out of memory");
	else
	{
		s->arena = arena;
		s->base.batch = sampler_batch;
		s->base.destroy = sampler_destroy;
		code = compile(ctx, s, scratch, m);
	}
	mg_arena_destroy(scratch);
	if (code != MG_OK)
	{
		mg_arena_destroy(arena);
		return code;
	}
	*out = &s->base;
	return MG_OK;
}
