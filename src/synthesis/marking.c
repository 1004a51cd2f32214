/*
 * synthesis/marking.c: the mark of a stream's batches.
 *
 * Exchange. Let B be a branch behind a separator S, R the rest. Given S, B and R are independent in the model, so that rows
 * which agree on S may pass their branches around in any way: every marginal within B + S and within R + S stays what the sampler
 * made it, exactly, and a passing that does not look at the key leaves the distribution of the rows alone. Ours looks: within a
 * group of rows that agree on S, in random order, one branch is carried along; each row takes, of its own and the carried one,
 * that which gives it the higher score, and the other is carried on; the first row, whose branch was carried first, gets
 * what is left. The score of a row is the sum over the subsets of the scores of its cells (watermark/mark.h); only subsets with columns
 * on both sides count. Over the choice of keys nothing is preferred: signs are symmetric, each cell as likely + as -.
 *
 * Where a method has no branches each row is the better of two draws.
 */
#include "synthesis/marking_private.h"

#include "model/dependency.h"

#include <math.h>
#include <string.h>

#define EDGES 4
#define SMALL_ROWS 4096
#define MOST_ROUNDS 8
#define PILOT_ROWS 1024

/* A column of a straddling subset: its place in the row's groups, and what a group of it adds to the subset's cell. */
typedef struct term
{
	uint16_t subset, slot;
	uint16_t stride;
} term;

typedef struct edge
{
	const mg_branch *branch;
	double worth;
	uint32_t nsubsets;
	uint16_t *subset; /* [nsubsets] that straddle it */
	uint32_t nterms;
	term *term; /* columns of these that are in the branch */
	uint32_t nslots;
	uint16_t *slot; /* marked columns of the branch */
} edge;

struct mg_marker
{
	const mg_mark *mark;
	const mg_mark_plan *plan;
	int8_t *score;      /* the mark's, without cells that a condition made frequent */
	uint8_t **group_of; /* [ncolumns] [ncoarse]; NULL: column of no subset */
	uint32_t nslots;    /* columns of subsets */
	uint32_t *col;      /* [nslots] */
	uint32_t nedges;
	edge *edge;
	mg_row_groups groups;
	uint8_t *row;    /* [MG_BATCH_ROWS][nslots] groups */
	uint16_t *cell;  /* [MG_BATCH_ROWS][nsubsets] */
	uint16_t *from;  /* [MG_BATCH_ROWS] whose branch a row has */
	uint16_t *copy;  /* [MG_BATCH_ROWS] */
	uint16_t **other; /* [ncolumns][MG_BATCH_ROWS] second draws, where there are no branches */
};

/* ---- preparing ---- */

static mg_code
mismatch(mg_ctx *ctx)
{
	return mg_fail(ctx, MG_INVALID, "the plan of a watermark is not of this model");
}

/* The group of code `code`: that of any value of it. */
static mg_code
map_column(mg_ctx *ctx, mg_stream *s, const mg_mark_column *p, uint32_t c, uint8_t **out)
{
	const mg_column *col = &s->model->columns[c];
	const mg_domain *d = &col->domain;
	uint32_t cells = col->nfine - (d->kind == MG_CATEGORY ? 2 : 1);
	uint8_t *group;

	if (p->kind != d->kind || strcmp(p->name, d->name) != 0)
		return mismatch(ctx);
	MG_NEW(ctx, s->arena, group, col->ncoarse);
	memset(group, MG_MARK_MISSING, col->ncoarse);
	if (d->nullable)
		group[col->ncoarse - 1] = p->null_group;
	if (d->kind == MG_CATEGORY && d->has_other)
		group[col->merge[d->nlabels]] = d->other != NULL ? mg_mark_text_group(p, d->other, strlen(d->other))
										: d->nullable ? p->null_group : p->other_group;
	for (uint32_t i = cells; i-- > 0;)
		group[col->merge[i]] = d->kind == MG_CATEGORY ? mg_mark_text_group(p, d->labels[i].text, d->labels[i].len)
													 : mg_mark_number_group(p, col->cells[i].lower);
	for (uint32_t i = 0; i < col->ncoarse; i++)
		if (group[i] >= p->ngroups)
			return mismatch(ctx);
	*out = group;
	return MG_OK;
}

static mg_code
map_columns(mg_ctx *ctx, mg_stream *s, mg_marker *k)
{
	const mg_mark_plan *p = k->plan;

	if (p->ncolumns != s->model->ncolumns)
		return mismatch(ctx);
	MG_NEW(ctx, s->arena, k->group_of, p->ncolumns);
	MG_NEW(ctx, s->arena, k->col, p->ncolumns);
	for (uint32_t i = 0; i < p->nsubsets; i++)
		for (uint32_t j = 0; j < p->subset[i].k; j++)
		{
			uint32_t c = p->subset[i].cols[j];

			if (k->group_of[c] != NULL)
				continue;
			MG_TRY(map_column(ctx, s, &p->column[c], c, &k->group_of[c]));
			k->col[k->nslots++] = c;
		}
	return MG_OK;
}

static uint16_t
slot_of(const mg_marker *k, uint32_t col)
{
	uint16_t i = 0;

	while (k->col[i] != col)
		i++;
	return i;
}

static bool
in_branch(const mg_branch *b, uint32_t col)
{
	for (uint32_t i = 0; i < b->nbranch; i++)
		if (b->branch[i] == col)
			return true;
	return false;
}

static mg_code
make_edge(mg_ctx *ctx, mg_stream *s, mg_marker *k, const mg_branch *b, edge *e)
{
	const mg_mark_plan *p = k->plan;

	e->branch = b;
	MG_NEW(ctx, s->arena, e->subset, (size_t) p->nsubsets + 1);
	MG_NEW(ctx, s->arena, e->term, (size_t) p->nsubsets * MG_MARK_ARITY + 1);
	MG_NEW(ctx, s->arena, e->slot, (size_t) k->nslots + 1);
	for (uint16_t i = 0; i < p->nsubsets; i++)
	{
		const mg_mark_subset *of = &p->subset[i];

		if (!mg_branch_reaches(b, of->cols, of->k))
			continue;
		for (uint32_t j = 0; j < of->k; j++)
			if (in_branch(b, of->cols[j]))
				e->term[e->nterms++] =
					(term){(uint16_t) e->nsubsets, slot_of(k, of->cols[j]), (uint16_t) of->stride[j]};
		e->subset[e->nsubsets++] = i;
	}
	for (uint16_t i = 0; i < k->nslots; i++)
		if (in_branch(b, k->col[i]))
			e->slot[e->nslots++] = i;
	return MG_OK;
}

/* ---- rows as groups and cells ---- */

static void
read_rows(const mg_marker *k, uint16_t *const *codes, uint32_t rows)
{
	for (uint32_t i = 0; i < k->nslots; i++)
	{
		const uint8_t *group = k->group_of[k->col[i]];
		const uint16_t *code = codes[k->col[i]];

		for (uint32_t r = 0; r < rows; r++)
			k->row[(size_t) r * k->nslots + i] = group[code[r]];
	}
}

static void
read_cells(const mg_marker *k, uint32_t rows)
{
	uint32_t n = k->plan->nsubsets;

	memset(k->cell, 0, (size_t) rows * n * sizeof(*k->cell));
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < k->plan->subset[i].k; j++)
		{
			uint32_t stride = k->plan->subset[i].stride[j], slot = slot_of(k, k->plan->subset[i].cols[j]);

			for (uint32_t r = 0; r < rows; r++)
				k->cell[(size_t) r * n + i] =
					(uint16_t) (k->cell[(size_t) r * n + i] + k->row[(size_t) r * k->nslots + slot] * stride);
		}
}

/* ---- exchange ---- */

/* What row r's branch adds to the cells of the edge's subsets. */
static inline void
branch_part(const mg_marker *k, const edge *e, uint32_t r, uint16_t *part)
{
	const uint8_t *g = k->row + (size_t) r * k->nslots;

	memset(part, 0, e->nsubsets * sizeof(*part));
	for (uint32_t i = 0; i < e->nterms; i++)
		part[e->term[i].subset] = (uint16_t) (part[e->term[i].subset] + g[e->term[i].slot] * e->term[i].stride);
}

/* Passes branches around one group; k->from says whose each row gets. */
static void
pass_group(const mg_marker *k, const edge *e, const uint16_t *row, uint32_t n)
{
	uint16_t parts[2][MG_MARK_SUBSETS], *own = parts[0], *carried = parts[1];
	uint32_t holder = row[0], nsubsets = k->plan->nsubsets;

	branch_part(k, e, row[0], carried);
	for (uint32_t i = 1; i < n; i++)
	{
		uint32_t r = row[i];
		const uint16_t *cell = k->cell + (size_t) r * nsubsets;
		int gain = 0;

		branch_part(k, e, r, own);
		for (uint32_t t = 0; t < e->nsubsets; t++)
		{
			const int8_t *score = k->score + k->plan->subset[e->subset[t]].first;
			uint32_t c = cell[e->subset[t]];

			gain += score[c - own[t] + carried[t]] - score[c];
		}
		k->from[r] = (uint16_t) r;
		if (gain > 0)
		{
			uint16_t *swap = own;

			k->from[r] = (uint16_t) holder;
			holder = r;
			own = carried;
			carried = swap;
		}
	}
	k->from[row[0]] = (uint16_t) holder;
}

/* Rows get the branches that k->from says. */
static void
move_branches(mg_marker *k, const edge *e, uint16_t *const *codes, uint32_t rows)
{
	for (uint32_t i = 0; i < e->branch->nbranch; i++)
	{
		uint16_t *code = codes[e->branch->branch[i]];

		for (uint32_t r = 0; r < rows; r++)
			k->copy[r] = code[k->from[r]];
		memcpy(code, k->copy, rows * sizeof(*code));
	}
}

static void
pass_edge(mg_stream *s, mg_marker *k, const edge *e, mg_rng *rng, uint32_t rows)
{
	mg_row_groups *g = &k->groups;

	mg_rng_permutation16(rng, g->order, rows);
	mg_group_rows(s->model, e->branch, s->codes, rows, g);
	for (uint32_t i = 0; i < g->n; i++)
		pass_group(k, e, g->row + g->start[i], g->start[i + 1] - g->start[i]);
	move_branches(k, e, s->codes, rows);
	read_rows(k, s->codes, rows);
	read_cells(k, rows);
}

/* ---- candidates ---- */

static void
choose_rows(mg_stream *s, mg_marker *k, uint32_t rows)
{
	uint32_t n = k->plan->nsubsets;

	read_rows(k, s->codes, rows);
	read_cells(k, rows);
	for (uint32_t r = 0; r < rows; r++)
	{
		int own = 0, other = 0;

		for (uint32_t i = 0; i < n; i++)
		{
			const mg_mark_subset *of = &k->plan->subset[i];
			uint32_t cell = 0;

			for (uint32_t j = 0; j < of->k; j++)
				cell += k->group_of[of->cols[j]][k->other[of->cols[j]][r]] * of->stride[j];
			own += k->score[of->first + k->cell[(size_t) r * n + i]];
			other += k->score[of->first + cell];
		}
		for (uint32_t c = 0; other > own && c < s->model->ncolumns; c++)
			s->codes[c][r] = k->other[c][r];
	}
}

/* ---- a stream ---- */

mg_code
mg_mark_batch(mg_ctx *ctx, mg_stream *s, mg_rng *rng, uint32_t rows)
{
	mg_marker *k = s->marker;
	uint32_t rounds = 1;

	if (k->plan->nsubsets == 0)
		return MG_OK;
	if (k->nedges == 0)
	{
		MG_TRY(s->sampler->batch(ctx, s->sampler, rng, rows, k->other));
		choose_rows(s, k, rows);
		return MG_OK;
	}
	while (rows * rounds * 2 <= SMALL_ROWS && rounds < MOST_ROUNDS)
		rounds *= 2;
	read_rows(k, s->codes, rows);
	read_cells(k, rows);
	for (uint32_t i = 0; i < rounds * k->nedges; i++)
	{
		MG_TRY(mg_poll(ctx));
		pass_edge(s, k, &k->edge[i % k->nedges], rng, rows);
	}
	return MG_OK;
}

/* Branches in the order of what they promise: the share of rows with a partner, and the rare mass that straddles them,
 * less what those before them straddle already. */
static mg_code
choose_edges(mg_ctx *ctx, mg_stream *s, mg_marker *k, const mg_branch *branch, uint32_t n)
{
	double *reach, *seen, *rare;
	edge *all;
	mg_rng rng;

	MG_NEW(ctx, s->arena, reach, (size_t) n + 1);
	MG_NEW(ctx, s->arena, all, (size_t) n + 1);
	MG_NEW(ctx, s->arena, seen, (size_t) k->plan->nsubsets + 1);
	MG_NEW(ctx, s->arena, rare, (size_t) k->plan->nsubsets + 1);
	MG_NEW(ctx, s->arena, k->edge, EDGES);
	mg_rng_seed(&rng, UINT64_C(0x6d61726b20656467));
	MG_TRY(s->sampler->batch(ctx, s->sampler, &rng, PILOT_ROWS, s->codes));
	read_rows(k, s->codes, PILOT_ROWS);
	read_cells(k, PILOT_ROWS);
	for (uint32_t i = 0; i < k->plan->nsubsets; i++)
		for (uint32_t r = 0; r < PILOT_ROWS; r++)
			rare[i] += (k->score[k->plan->subset[i].first + k->cell[(size_t) r * k->plan->nsubsets + i]] != 0) /
					   (double) PILOT_ROWS;
	for (uint32_t i = 0; i < n; i++)
	{
		MG_TRY(mg_branch_reach(ctx, s->arena, s->model, &branch[i], s->codes, PILOT_ROWS, &reach[i]));
		MG_TRY(make_edge(ctx, s, k, &branch[i], &all[i]));
	}
	while (k->nedges < EDGES)
	{
		edge *best = NULL;

		for (uint32_t i = 0; i < n; i++)
		{
			double mass = 0;

			for (uint32_t t = 0; t < all[i].nsubsets; t++)
				mass += rare[all[i].subset[t]] / (1 + seen[all[i].subset[t]]);
			all[i].worth = all[i].branch == NULL ? 0 : reach[i] * sqrt(mass);
			if (all[i].worth > 0.05 && (best == NULL || all[i].worth > best->worth))
				best = &all[i];
		}
		if (best == NULL)
			break;
		for (uint32_t t = 0; t < best->nsubsets; t++)
			seen[best->subset[t]] += reach[best - all];
		k->edge[k->nedges++] = *best;
		best->branch = NULL;
	}
	return MG_OK;
}

static mg_code
prepare(mg_ctx *ctx, mg_stream *s, mg_marker *k)
{
	const mg_branch *branch = NULL;
	uint32_t n = 0;

	MG_TRY(map_columns(ctx, s, k));
	k->score = k->mark->score;
	if (k->plan->nsubsets == 0)
		return MG_OK;
	MG_TRY(mg_stream_ready(ctx, s));
	MG_TRY(mg_row_groups_make(ctx, s->arena, &k->groups));
	MG_NEW(ctx, s->arena, k->row, (size_t) MG_BATCH_ROWS * k->nslots);
	MG_NEW(ctx, s->arena, k->cell, (size_t) MG_BATCH_ROWS * k->plan->nsubsets);
	MG_NEW(ctx, s->arena, k->from, MG_BATCH_ROWS);
	MG_NEW(ctx, s->arena, k->copy, MG_BATCH_ROWS);
	if (s->model->method->branches != NULL)
		MG_TRY(s->model->method->branches(ctx, s->model, s->arena, &branch, &n));
	MG_TRY(choose_edges(ctx, s, k, branch, n));
	if (k->nedges > 0)
		return MG_OK;
	MG_NEW(ctx, s->arena, k->other, s->model->ncolumns);
	for (uint32_t c = 0; c < s->model->ncolumns; c++)
		MG_NEW(ctx, s->arena, k->other[c], MG_BATCH_ROWS);
	return MG_OK;
}

mg_code
mg_stream_mark(mg_ctx *ctx, mg_stream *s, const mg_mark *mark)
{
	mg_marker *k;

	MG_NEW(ctx, s->arena, k, 1);
	k->mark = mark;
	k->plan = mark->plan;
	MG_TRY(prepare(ctx, s, k));
	s->marker = k;
	return MG_OK;
}
