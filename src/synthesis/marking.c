/*
 * synthesis/marking.c: the mark of a stream's batches.
 *
 * Exchange. Let B be a branch behind a separator S, R the rest. Given S, B and R are independent in the model, so that
 * rows which agree on S may pass their branches around in any way: every marginal within B + S and within R + S stays
 * what the sampler made it, exactly. Within a group of rows that agree on S, in random order, a hand of branches is
 * carried along; each row takes, of its own and those, the one that gives it the highest score, and leaves its own; the
 * first rows, whose branches began the hand, choose from what is left. A row's score is the sum over the subsets of the
 * scores of its cells (watermark/mark.h); only subsets with columns on both sides count.
 *
 * Candidates. In a small batch few rows agree on a separator, in a model of wide separators hardly any, and in one of a
 * single clique there is none. So four times the rows are drawn, each row is the best of four, and then branches are
 * exchanged. Rows are independent draws then, more or less, rather than a systematic sample; of so few the noise of
 * sampling is far above what a mark moves. Where a method has no branches each row of a large batch is the better of
 * two draws.
 */
#include "synthesis/marking_private.h"

#include "model/dependency.h"

#include <math.h>
#include <string.h>

#define HAND 2       /* branches that are carried in a large batch: what passes with tables are compiled for */
#define SMALL_HAND 4 /* and in a small one */
#define SMALL_PASSES 6
#define SMALL_ROWS 4096 /* up to which rows are chosen from candidates */
#define CANDIDATES 4
#define PRICE_UNIT 4096
#define MOST_PRICE (32 * PRICE_UNIT)
#define GIVEN_ROWS 8192 /* of a conditioned stream, by which its cells are gated */
#define GIVEN_GATE 8    /* what a cell may have there, in gates of its subset */

/* A candidate for a row: its score, and the weight of what is rare in it. */
typedef struct rated
{
	int32_t score, rare;
} rated;

struct mg_marker
{
	const mg_mark *mark;
	const mg_mark_plan *plan;
	int8_t *score;      /* [cells + 1] the mark's, without cells that a condition made frequent; the last 0 */
	uint8_t **group_of; /* [ncolumns] [ncoarse]; NULL: column of no subset */
	uint32_t nslots;    /* columns of subsets */
	uint32_t *col;      /* [nslots] */
	uint32_t nedges;
	mg_edge *edge; /* [nedges] without tables */
	uint32_t ntabled;
	mg_edge *tabled; /* [ntabled] the same edges with tables, for large batches; made when the first one comes */
	mg_edge_maker maker;
	mg_row_groups groups;
	uint8_t *row;     /* [MG_BATCH_ROWS][nslots] groups */
	uint16_t *from;   /* [MG_BATCH_ROWS] whose branch a row gets */
	uint16_t *copy;   /* [MG_BATCH_ROWS] */
	uint8_t *rare;    /* [cells + 1] is the cell rare? */
	rated *rated;     /* [2 * MG_BATCH_ROWS] candidates */
	uint8_t *taken;   /* [MG_BATCH_ROWS] the candidate that a row becomes */
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
										: d->nullable    ? p->null_group
														 : p->other_group;
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

/* ---- rows as groups ---- */

static void
read_column(const mg_marker *k, uint32_t slot, uint16_t *const *codes, uint32_t rows)
{
	const uint8_t *group = k->group_of[k->col[slot]];
	const uint16_t *code = codes[k->col[slot]];

	for (uint32_t r = 0; r < rows; r++)
		k->row[(size_t) r * k->nslots + slot] = group[code[r]];
}

static void
read_rows(const mg_marker *k, uint16_t *const *codes, uint32_t rows)
{
	for (uint32_t i = 0; i < k->nslots; i++)
		read_column(k, i, codes, rows);
}

/* ---- exchange ---- */

/* Rows get the branches that k->from says; their groups are as they were. */
static void
move_branches(mg_marker *k, const mg_edge *e, uint16_t *const *codes, uint32_t rows)
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
pass_edge(mg_stream *s, mg_marker *k, const mg_edge *e, uint32_t most_hand, uint32_t rows)
{
	mg_row_groups *g = &k->groups;
	mg_exchange x = {k->row, k->nslots, most_hand, k->from};

	mg_group_rows(s->model, e->branch, s->codes, rows, g);
	mg_edge_pass(e, &x, g);
	move_branches(k, e, s->codes, rows);
}

/* ---- candidates ---- */

/* The cell of subset i that row r lies in, among all subsets'. */
static uint32_t
cell_of(const mg_marker *k, uint32_t i, uint16_t *const *codes, uint32_t r)
{
	const mg_mark_subset *of = &k->plan->subset[i];
	uint32_t cell = of->first;

	for (uint32_t j = 0; j < of->k; j++)
		cell += k->group_of[of->cols[j]][codes[of->cols[j]][r]] * of->stride[j];
	return cell;
}

static void
rate_rows(const mg_marker *k, uint16_t *const *codes, uint32_t n, rated *out)
{
	memset(out, 0, n * sizeof(*out));
	for (uint32_t i = 0; i < k->plan->nsubsets; i++)
	{
		const mg_mark_subset *of = &k->plan->subset[i];

		for (uint32_t r = 0; r < n; r++)
		{
			uint32_t cell = cell_of(k, i, codes, r);

			out[r].score += k->score[cell];
			out[r].rare += k->rare[cell] ? of->weight : 0;
		}
	}
}

/* Of `of` candidates, the one of the highest score less `price` for what is rare in it. The sum of that over rows. */
static int64_t
take_best(mg_marker *k, uint32_t rows, uint32_t of, int64_t price)
{
	int64_t sum = 0;

	for (uint32_t r = 0; r < rows; r++)
	{
		const rated *c = &k->rated[r];
		uint32_t best = 0;
		int64_t most = c->score * PRICE_UNIT - c->rare * price;

		for (uint32_t i = 1; i < of; i++)
		{
			const rated *d = &k->rated[(size_t) i * rows + r];
			int64_t net = d->score * PRICE_UNIT - d->rare * price;

			if (net > most)
			{
				most = net;
				best = i;
			}
		}
		k->taken[r] = (uint8_t) best;
		sum += k->rated[(size_t) best * rows + r].rare;
	}
	return sum;
}

/*
 * Rows of rare cells have the more extreme scores, and the best of several would have too many of them, over all keys.
 * What is rare has a price, then, at which the chosen rows hold as much of it as all candidates do on average. The sum
 * falls as the price rises, in steps: of the last price before and the first after the average one is taken by lot,
 * so that it is right in expectation even for a single row. (Exchanges need no price: measured over keys, rare cells
 * come more often by at most 1.7%, since what one row takes another lacks.)
 */
static void
choose_rows(mg_marker *k, mg_rng *rng, uint32_t rows, uint32_t of)
{
	int64_t low = -MOST_PRICE, high = MOST_PRICE, above, below, all = 0;

	for (uint32_t i = 0; i < rows * of; i++)
		all += k->rated[i].rare;
	while (high - low > 1)
	{
		int64_t price = (low + high) / 2;

		if (take_best(k, rows, of, price) * of >= all)
			low = price;
		else
			high = price;
	}
	above = take_best(k, rows, of, low) * of;
	below = take_best(k, rows, of, high) * of;
	if (above > below && mg_rng_unit(rng) * (double) (above - below) < (double) (all - below))
		take_best(k, rows, of, low);
}

/* Candidate i of row r is row i * rows + r, or row r of k->other. */
static void
keep_chosen(const mg_stream *s, mg_marker *k, uint32_t rows, bool apart)
{
	for (uint32_t c = 0; c < s->model->ncolumns; c++)
		for (uint32_t r = 0; r < rows; r++)
			if (k->taken[r] > 0)
				s->codes[c][r] = apart ? k->other[c][r] : s->codes[c][k->taken[r] * rows + r];
}

/* ---- a stream ---- */

uint32_t
mg_mark_pool(const mg_marker *k, uint32_t rows)
{
	uint32_t of = rows <= SMALL_ROWS ? MG_BATCH_ROWS / rows : 1;

	if (k == NULL || k->plan->nsubsets == 0)
		return rows;
	return rows * (of > CANDIDATES ? CANDIDATES : of);
}

static mg_code
exchange(mg_ctx *ctx, mg_stream *s, mg_rng *rng, uint32_t rows, bool small)
{
	mg_marker *k = s->marker;
	uint32_t passes = small ? SMALL_PASSES : MG_MARK_PASSES;
	const mg_edge *e;

	if (k->nedges == 0)
		return MG_OK;
	for (; !small && k->ntabled < k->nedges && k->ntabled < MG_MARK_PASSES; k->ntabled++)
		MG_TRY(mg_edge_make(ctx, &k->maker, k->edge[k->ntabled].branch, true, &k->tabled[k->ntabled]));
	read_rows(k, s->codes, rows);
	for (uint32_t i = 0; i < passes; i++)
	{
		MG_TRY(mg_poll(ctx));
		/*
		 * A new order each time, though the sampler's is random: who comes first chooses from what is left, and that
		 * may not be those at a batch's begin, which a LIMIT takes.
		 */
		mg_rng_permutation16(rng, k->groups.order, rows);
		e = &(small ? k->edge : k->tabled)[i % k->nedges];
		pass_edge(s, k, e, small ? SMALL_HAND : HAND, rows);
		for (uint32_t j = 0; j < k->nslots && i + 1 < passes; j++)
			if (mg_in_branch(e->branch, k->col[j]))
				read_column(k, j, s->codes, rows);
	}
	return MG_OK;
}

mg_code
mg_mark_batch(mg_ctx *ctx, mg_stream *s, mg_rng *rng, uint32_t rows)
{
	mg_marker *k = s->marker;
	uint32_t pool = mg_mark_pool(k, rows);
	bool apart = pool == rows && k->nedges == 0;

	if (k->plan->nsubsets == 0)
		return MG_OK;
	if (pool > rows || apart)
	{
		rate_rows(k, s->codes, pool, k->rated);
		if (apart)
		{
			MG_TRY(s->sampler->batch(ctx, s->sampler, rng, rows, k->other));
			rate_rows(k, k->other, rows, k->rated + rows);
		}
		choose_rows(k, rng, rows, apart ? 2 : pool / rows);
		keep_chosen(s, k, rows, apart);
	}
	return exchange(ctx, s, rng, rows, pool > rows);
}

/* What the most frequent of a subset's cells that carry the mark has. */
static double
gate_of(const mg_mark_plan *p, const mg_mark_subset *s)
{
	double most = 0;

	for (uint32_t i = 0; i < s->cells; i++)
		if (s->q[i] != MG_MARK_FREQUENT)
			most = fmax(most, mg_mark_probability(p, s->q[i]));
	return most;
}

/* Cells that the conditions made frequent carry no mark. */
static mg_code
gate_given(mg_ctx *ctx, mg_stream *s, mg_marker *k)
{
	uint32_t *count;
	mg_rng rng;

	MG_NEW(ctx, s->arena, count, (size_t) k->plan->cells + 1);
	mg_rng_seed(&rng, UINT64_C(0x676976656e206d6b));
	MG_TRY(s->sampler->batch(ctx, s->sampler, &rng, GIVEN_ROWS, s->codes));
	for (uint32_t i = 0; i < k->plan->nsubsets; i++)
		for (uint32_t r = 0; r < GIVEN_ROWS; r++)
			count[cell_of(k, i, s->codes, r)]++;
	for (uint32_t i = 0; i < k->plan->nsubsets; i++)
	{
		const mg_mark_subset *of = &k->plan->subset[i];
		double most = GIVEN_GATE * gate_of(k->plan, of) * GIVEN_ROWS;

		for (uint32_t j = of->first; j < of->first + of->cells; j++)
			if (count[j] > most)
				k->score[j] = k->rare[j] = 0;
	}
	return MG_OK;
}

static mg_code
prepare_edges(mg_ctx *ctx, mg_stream *s, mg_marker *k)
{
	const mg_branch *branch = NULL;
	uint32_t n = 0;

	if (s->model->method->branches != NULL)
		MG_TRY(s->model->method->branches(ctx, s->model, s->arena, &branch, &n));
	MG_NEW(ctx, s->arena, k->edge, MG_MARK_BRANCHES);
	MG_NEW(ctx, s->arena, k->tabled, MG_MARK_PASSES);
	k->maker = (mg_edge_maker){s->arena, k->plan, k->score, k->col, k->nslots};
	for (uint32_t i = 0; i < k->plan->nbranches; i++)
	{
		if (k->plan->branch[i] >= n || !mg_separator_fits(s->model, &branch[k->plan->branch[i]]))
			return mismatch(ctx);
		MG_TRY(mg_edge_make(ctx, &k->maker, &branch[k->plan->branch[i]], false, &k->edge[k->nedges++]));
	}
	if (k->nedges > 0)
		return MG_OK;
	MG_NEW(ctx, s->arena, k->other, s->model->ncolumns);
	for (uint32_t c = 0; c < s->model->ncolumns; c++)
		MG_NEW(ctx, s->arena, k->other[c], MG_BATCH_ROWS);
	return MG_OK;
}

static mg_code
prepare(mg_ctx *ctx, mg_stream *s, mg_marker *k)
{
	MG_TRY(map_columns(ctx, s, k));
	if (k->plan->nsubsets == 0)
		return MG_OK;
	MG_NEW(ctx, s->arena, k->score, (size_t) k->plan->cells + 1);
	MG_NEW(ctx, s->arena, k->rare, (size_t) k->plan->cells + 1);
	memcpy(k->score, k->mark->score, k->plan->cells);
	for (uint32_t i = 0; i < k->plan->nsubsets; i++)
		for (uint32_t j = 0; j < k->plan->subset[i].cells; j++)
			k->rare[k->plan->subset[i].first + j] = k->plan->subset[i].q[j] != MG_MARK_FREQUENT;
	MG_TRY(mg_stream_ready(ctx, s));
	MG_TRY(mg_row_groups_make(ctx, s->arena, &k->groups));
	MG_NEW(ctx, s->arena, k->row, (size_t) MG_BATCH_ROWS * k->nslots);
	MG_NEW(ctx, s->arena, k->from, MG_BATCH_ROWS);
	MG_NEW(ctx, s->arena, k->copy, MG_BATCH_ROWS);
	MG_NEW(ctx, s->arena, k->rated, (size_t) 2 * MG_BATCH_ROWS);
	MG_NEW(ctx, s->arena, k->taken, MG_BATCH_ROWS);
	MG_TRY(prepare_edges(ctx, s, k));
	return s->given != NULL ? gate_given(ctx, s, k) : MG_OK;
}

mg_code
mg_stream_mark(mg_ctx *ctx, mg_stream *s, const mg_mark *mark)
{
	mg_marker *k;
	mg_code code;

	MG_NEW(ctx, s->arena, k, 1);
	k->mark = mark;
	k->plan = mark->plan;
	code = prepare(ctx, s, k);
	if (code != MG_OK)
	{
		mg_marker_wipe(k);
		return code;
	}
	s->marker = k;
	return MG_OK;
}

void
mg_marker_wipe(mg_marker *k)
{
	if (k == NULL)
		return;
	if (k->score != NULL)
		mg_wipe(k->score, k->plan->cells);
	for (uint32_t i = 0; i < k->ntabled; i++)
		mg_wipe(k->tabled[i].table, k->tabled[i].units * sizeof(*k->tabled[i].table));
}
