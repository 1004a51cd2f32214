/*
 * synthesis/marking.c: the mark of a stream's batches.
 *
 * Exchange. Let B be a branch behind a separator S, R the rest. Given S, B and R are independent in the model, so that
 * rows which agree on S may pass their branches around in any way: every marginal within B + S and within R + S stays
 * what the sampler made it, exactly. Within a group of rows that agree on S, in random order, a hand of branches is
 * carried along; each row takes, of its own and those, the one that gives it the highest score, and leaves its own; the
 * first rows, whose branches began the hand, choose from what is left. A row's score is the sum over the subsets of the
 * scores of its cells (watermark/mark.h); only subsets with columns on both sides count. Large batches are passed over
 * for few branches, small ones, in which few rows agree on a separator, more often.
 *
 * Where a method has no branches each row is the better of two draws.
 */
#include "synthesis/marking_private.h"

#include "graphical/factor.h"
#include "model/dependency.h"

#include <math.h>
#include <string.h>

#define HAND 2         /* branches that are carried in a large batch, one more in its first pass */
#define MOST_HAND 8    /* and in a small one */
#define LEAST_PASSES 2 /* over a batch, each of one branch: what a large one gets */
#define MOST_PASSES 16 /* what a small one gets, in which few rows agree on a separator */
#define SMALL_ROWS 4096
#define LEAST_ROWS 512   /* that are drawn for a batch: in one of a single row there would be nobody to exchange with */
#define PASSED_ROWS 49152
#define GIVEN_ROWS 8192 /* of a conditioned stream, by which its cells are gated */
#define GIVEN_GATE 8    /* gates: what a cell may have there */
#define LANES 16        /* lists of cells are padded to a multiple of it, for the vector units */

/* Sixteen cells at once: two or one of the processor's vectors. */
typedef uint16_t lanes __attribute__((vector_size(2 * LANES)));

/* A marked column on one side of an edge: what each group of it adds to the cells of the edge's subsets. */
typedef struct side
{
	uint32_t slot;
	const lanes *add; /* [groups][nlanes] */
} side;

/* A branch as it is used: the subsets that straddle it, and their columns on both sides. */
typedef struct edge
{
	const mg_branch *branch;
	uint32_t nsubsets,
		nlanes;       /* the subsets' cells fill so many lanes, the last of them with cells that score nothing */
	uint16_t *subset; /* [nsubsets] that straddle it */
	lanes *base;      /* [nlanes] first cell of each */
	uint32_t nwithin, nwithout;
	side *within, *without; /* columns in the branch; all others, the separator's too */
} edge;

struct mg_marker
{
	const mg_mark *mark;
	const mg_mark_plan *plan;
	int8_t *score;      /* [cells + 1] the mark's, without cells that a condition made frequent; the last 0 */
	uint8_t **group_of; /* [ncolumns] [ncoarse]; NULL: column of no subset */
	uint32_t nslots;    /* columns of subsets */
	uint32_t *col;      /* [nslots] */
	uint32_t nedges;
	edge *edge;
	mg_row_groups groups;
	uint8_t *row;     /* [MG_BATCH_ROWS][nslots] groups */
	uint16_t *from;   /* [MG_BATCH_ROWS] whose branch a row gets */
	uint16_t *copy;   /* [MG_BATCH_ROWS] */
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

static bool
in_branch(const mg_branch *b, uint32_t col)
{
	for (uint32_t i = 0; i < b->nbranch; i++)
		if (b->branch[i] == col)
			return true;
	return false;
}

/* The columns of slots that are in the branch (or are not), with what they add. */
static mg_code
make_side(mg_ctx *ctx, mg_stream *s, const mg_marker *k, const edge *e, bool within, side **out, uint32_t *n)
{
	MG_NEW(ctx, s->arena, *out, (size_t) k->nslots + 1);
	for (uint32_t i = 0; i < k->nslots; i++)
	{
		uint32_t col = k->col[i], groups = k->plan->column[col].ngroups;
		bool any = false;
		lanes *add;

		if (in_branch(e->branch, col) != within)
			continue;
		MG_NEW(ctx, s->arena, add, (size_t) groups * e->nlanes);
		for (uint32_t t = 0; t < e->nsubsets; t++)
		{
			const mg_mark_subset *of = &k->plan->subset[e->subset[t]];

			for (uint32_t j = 0; j < of->k; j++)
				for (uint32_t g = 0; of->cols[j] == col && g < groups; g++)
				{
					add[(size_t) g * e->nlanes + t / LANES][t % LANES] = (uint16_t) (g * of->stride[j]);
					any = true;
				}
		}
		if (any)
			(*out)[(*n)++] = (side){i, add};
	}
	return MG_OK;
}

/* Has the subset columns on both sides? */
static bool
straddles(const mg_branch *b, const mg_mark_subset *of)
{
	bool within = false, without = false;

	for (uint32_t j = 0; j < of->k; j++)
	{
		bool sep = false;

		for (uint32_t i = 0; i < b->nsep; i++)
			sep = sep || b->sep[i] == of->cols[j];
		within = within || in_branch(b, of->cols[j]);
		without = without || (!sep && !in_branch(b, of->cols[j]));
	}
	return within && without;
}

static mg_code
make_edge(mg_ctx *ctx, mg_stream *s, mg_marker *k, const mg_branch *b, edge *e)
{
	const mg_mark_plan *p = k->plan;

	e->branch = b;
	MG_NEW(ctx, s->arena, e->subset, (size_t) p->nsubsets + 1);
	for (uint16_t i = 0; i < p->nsubsets; i++)
		if (straddles(b, &p->subset[i]))
			e->subset[e->nsubsets++] = i;
	e->nlanes = (e->nsubsets + LANES - 1) / LANES;
	MG_NEW(ctx, s->arena, e->base, (size_t) e->nlanes + 1);
	for (uint32_t t = 0; t < e->nlanes * LANES; t++)
		e->base[t / LANES][t % LANES] =
			(uint16_t) (t < e->nsubsets ? k->plan->subset[e->subset[t]].first : k->plan->cells);
	MG_TRY(make_side(ctx, s, k, e, true, &e->within, &e->nwithin));
	return make_side(ctx, s, k, e, false, &e->without, &e->nwithout);
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

/* cell += what the columns of a side add, for the row whose groups these are. */
static inline void
add_side(const side *list, uint32_t n, const uint8_t *row, uint32_t nlanes, lanes *cell)
{
	for (uint32_t i = 0; i < n; i++)
	{
		const lanes *add = list[i].add + (size_t) row[list[i].slot] * nlanes;

		for (uint32_t t = 0; t < nlanes; t++)
			cell[t] += add[t];
	}
}

/*
 * The score of a row with this rest and this branch. The cells are stored before they are looked up: a compiler that
 * keeps them in a vector takes them out again one by one, at several times the cost.
 */
static inline int
score_of(const int8_t *score, const lanes *rest, const lanes *part, uint32_t nlanes)
{
	lanes sum[MG_MARK_SUBSETS / LANES];
	const uint16_t *cell = (const uint16_t *) sum;
	int a = 0, b = 0, c = 0, d = 0;

	for (uint32_t t = 0; t < nlanes; t++)
		sum[t] = rest[t] + part[t];
	__asm__ volatile("" : : "r"(sum) : "memory");
	for (uint32_t t = 0; t < nlanes * LANES; t += 4)
	{
		a += score[cell[t]];
		b += score[cell[t + 1]];
		c += score[cell[t + 2]];
		d += score[cell[t + 3]];
	}
	return a + b + c + d;
}

/* A branch in hand: whose it was, and what it adds to cells. */
typedef struct held
{
	lanes part[MG_MARK_SUBSETS / LANES];
	uint16_t row;
} held;

/*
 * Passes branches around one group: k->from says whose each row gets. The first rows' branches are taken into the hand;
 * each other row takes the best of its own and those in the hand, and leaves its own there; in the end the first rows
 * choose from what is left.
 */
static MG_WIDE void
pass_group(const mg_marker *k, const edge *e, uint32_t most_hand, const uint16_t *row, uint32_t n)
{
	held space[MOST_HAND + 1], *hand[MOST_HAND + 1];
	lanes rest[MG_MARK_SUBSETS / LANES];
	uint32_t inhand = n >= 2 * most_hand ? most_hand : n / 2;

	for (uint32_t i = 0; i <= inhand; i++)
		hand[i] = &space[i];
	for (uint32_t i = 0; i < n + inhand; i++)
	{
		uint32_t r = row[i < n ? i : i - n], choices = i < n ? inhand + 1 : n + inhand - i, best = choices - 1;
		const uint8_t *groups = k->row + (size_t) r * k->nslots;
		held *own = hand[i < n ? (i < inhand ? i : inhand) : 0];
		int most;

		if (i < n)
		{
			own->row = (uint16_t) r;
			memset(own->part, 0, e->nlanes * sizeof(*own->part));
			add_side(e->within, e->nwithin, groups, e->nlanes, own->part);
		}
		if (i < inhand)
			continue;
		memcpy(rest, e->base, e->nlanes * sizeof(*rest));
		add_side(e->without, e->nwithout, groups, e->nlanes, rest);
		most = score_of(k->score, rest, hand[best]->part, e->nlanes);
		for (uint32_t h = 0; h + 1 < choices; h++)
		{
			int score = score_of(k->score, rest, hand[h]->part, e->nlanes);

			if (score > most)
			{
				most = score;
				best = h;
			}
		}
		k->from[r] = hand[best]->row;
		/* what was taken makes room: for the next row's own, or nothing more */
		own = hand[best];
		hand[best] = hand[choices - 1];
		hand[choices - 1] = own;
	}
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
	for (uint32_t i = 0; i < k->nslots; i++)
		if (in_branch(e->branch, k->col[i]))
			read_column(k, i, codes, rows);
}

static void
pass_edge(mg_stream *s, mg_marker *k, const edge *e, uint32_t most_hand, uint32_t rows)
{
	mg_row_groups *g = &k->groups;

	mg_group_rows(s->model, e->branch, s->codes, rows, g);
	for (uint32_t i = 0; i < g->n; i++)
	{
		uint32_t n = g->start[i + 1] - g->start[i];

		if (n > 1)
			pass_group(k, e, most_hand, g->row + g->start[i], n);
		else
			k->from[g->row[g->start[i]]] = g->row[g->start[i]];
	}
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

static int
score_row(const mg_marker *k, uint16_t *const *codes, uint32_t r)
{
	int sum = 0;

	for (uint32_t i = 0; i < k->plan->nsubsets; i++)
		sum += k->score[cell_of(k, i, codes, r)];
	return sum;
}

static void
choose_rows(mg_stream *s, mg_marker *k, uint32_t rows)
{
	for (uint32_t r = 0; r < rows; r++)
		if (score_row(k, k->other, r) > score_row(k, s->codes, r))
			for (uint32_t c = 0; c < s->model->ncolumns; c++)
				s->codes[c][r] = k->other[c][r];
}

/* ---- a stream ---- */

uint32_t
mg_mark_drawn(const mg_marker *k, uint32_t rows)
{
	return k->nedges > 0 && rows < LEAST_ROWS ? LEAST_ROWS : rows;
}

mg_code
mg_mark_batch(mg_ctx *ctx, mg_stream *s, mg_rng *rng, uint32_t rows)
{
	mg_marker *k = s->marker;
	uint32_t passes = rows <= SMALL_ROWS ? PASSED_ROWS / rows : LEAST_PASSES;

	if (k->plan->nsubsets == 0)
		return MG_OK;
	if (k->nedges == 0)
	{
		MG_TRY(s->sampler->batch(ctx, s->sampler, rng, rows, k->other));
		choose_rows(s, k, rows);
		return MG_OK;
	}
	passes = passes > MOST_PASSES ? MOST_PASSES : passes;
	read_rows(k, s->codes, rows);
	for (uint32_t i = 0; i < rows; i++)
		k->groups.order[i] = (uint16_t) i;
	for (uint32_t i = 0; i < passes; i++)
	{
		MG_TRY(mg_poll(ctx));
		/* the sampler's rows are in random order: only who meets again needs a new one; or where some of the rows are
		 * left out, since the first of a group choose last */
		if (i >= k->nedges || rows <= LEAST_ROWS)
			mg_rng_permutation16(rng, k->groups.order, rows);
		pass_edge(s, k, &k->edge[i % k->nedges], rows <= SMALL_ROWS ? MOST_HAND : HAND + (i == 0), rows);
	}
	return MG_OK;
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
	for (uint32_t i = 0; i < k->plan->cells; i++)
		if (count[i] > GIVEN_GATE * k->plan->gate * GIVEN_ROWS)
			k->score[i] = 0;
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
	for (uint32_t i = 0; i < k->plan->nbranches; i++)
	{
		if (k->plan->branch[i] >= n || !mg_separator_fits(s->model, &branch[k->plan->branch[i]]))
			return mismatch(ctx);
		MG_TRY(make_edge(ctx, s, k, &branch[k->plan->branch[i]], &k->edge[k->nedges++]));
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
	memcpy(k->score, k->mark->score, k->plan->cells);
	MG_TRY(mg_stream_ready(ctx, s));
	MG_TRY(mg_row_groups_make(ctx, s->arena, &k->groups));
	MG_NEW(ctx, s->arena, k->row, (size_t) MG_BATCH_ROWS * k->nslots);
	MG_NEW(ctx, s->arena, k->from, MG_BATCH_ROWS);
	MG_NEW(ctx, s->arena, k->copy, MG_BATCH_ROWS);
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
	if (k != NULL && k->score != NULL)
		mg_wipe(k->score, k->plan->cells);
}
