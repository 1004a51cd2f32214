/*
 * synthesis/mark_plan.c: the plan of a mark, from a model's own rows (watermark/plan.h, synthesis/marking.h).
 *
 * The model's sampler draws rows from a fixed public seed: a few batches to learn how often each code comes, from
 * which groups follow; then more, kept as groups, to count the groups, and the cells of the subsets that are chosen.
 * The choice is made on the first of those batches: among pairs, triples and quadruples of columns those with much
 * of their mass on rare cells that the exchange of branches can reach, spread evenly over the columns, so that a table
 * of which half of the columns were dropped still holds several. All of it is a function of the model alone.
 *
 * Memory: one arena for the plan, one for the work, which dies with the call.
 */
#include "synthesis/mark_maker.h"

#include "model/dependency.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_GATE 0.0001
#define GATE_STEP 3         /* from one gate that is tried to the next */
#define DEAR 1.12           /* most that a mark may cost, */
#define FAR 1.7             /* or where nearly everything is lacking */
#define ROWS 2              /* where little is lacking: what few rows weigh, */
#define COLUMNS 6           /* halves of the columns, */
#define PRICE 3             /* and the cost */
#define FREE 1.07           /* elsewhere: the cost that does not matter, */
#define SURCHARGE 3         /* and what is above it */
#define NEARLY 1.8          /* of both together, of 2, from which little is lacking */
#define LEAST 2.4           /* mean z of an extract, at which ten times the rows have 7 */
#define ENOUGH 7.1          /* mean z of an extract; 5 is needed */
#define ENOUGH_COLUMNS 0.98 /* share of halves of the columns in which it is found */
#define PLAN_BATCHES 8
#define PLAN_CELLS ((size_t) 1 << 24) /* rows * columns that are kept, at most, in more than two batches */
#define SUBSETS 64
#define BRANCHES 6
#define LEAST_WORTH 0.05
#define SEED UINT64_C(0x6d61726b20706c61)
#define POOL 6000
#define SEEN 16384
#define TRIPLES 0.25 /* what a triple is worth beside a pair: fewer survive when columns are dropped */
#define QUADRUPLES 0.1
#define LEAST_RARE 0.004 /* least mass of a subset on rare cells */
#define WEIGHT 2.0       /* of a subset all of whose cells are rare; others' are such that all tell as much */
#define BALANCE 0.5
#define TYPICAL_ROWS 1000 /* of a small batch, for which branches are judged */

enum
{
	WITHIN = 1,
	WITHOUT = 2
};

static double
rows_kept(const maker *k)
{
	return (double) k->batches * MG_BATCH_ROWS;
}

/* ---- the choice of subsets ---- */

static bool
has(const uint32_t *cols, uint32_t n, uint32_t col)
{
	for (uint32_t i = 0; i < n; i++)
		if (cols[i] == col)
			return true;
	return false;
}

/* Is one of the columns in the branch, and one neither there nor in the separator? Only then an exchange moves them. */
static bool
reaches(const uint8_t *side, const uint32_t *cols, uint32_t k)
{
	uint8_t seen = 0;

	for (uint32_t i = 0; i < k; i++)
		seen |= side[cols[i]];
	return seen == (WITHIN | WITHOUT);
}

/* Cells that n rows lie in, each row's groups being group[cols[..]][row]: row-major, the last column fastest. */
void
mg_maker_cells(const maker *k, uint8_t *const *group, const uint32_t *cols, uint32_t arity, uint32_t n, uint16_t *at)
{
	memset(at, 0, n * sizeof(*at));
	for (uint32_t i = 0; i < arity; i++)
	{
		uint16_t groups = (uint16_t) k->column[cols[i]].ngroups;
		const uint8_t *g = group[cols[i]];

		for (uint32_t r = 0; r < n; r++)
			at[r] = (uint16_t) (at[r] * groups + g[r]);
	}
}

/* Shares of the first batch's rows on cells that are no more frequent than each of the gates. */
static void
rare_shares(maker *k, const uint32_t *cols, uint32_t n, uint32_t cells, uint32_t *count, double *rare)
{
	memset(count, 0, cells * sizeof(*count));
	mg_maker_cells(k, mg_maker_kept(k, 0), cols, n, MG_BATCH_ROWS, k->at);
	for (uint32_t r = 0; r < MG_BATCH_ROWS; r++)
		count[k->at[r]]++;
	for (uint32_t i = 0; i < cells; i++)
		for (uint32_t g = GATES; g-- > 0 && count[i] > 0 && count[i] <= k->gate[g] * MG_BATCH_ROWS;)
			rare[g] += (double) count[i] / MG_BATCH_ROWS;
}

static void
consider(maker *k, const uint32_t *cols, uint32_t n, uint32_t *count)
{
	candidate *c = &k->pool[k->npool];
	double cells = 1, reach = k->nbranches == 0 ? 1 : 0;

	for (uint32_t i = 0; i < n; i++)
		cells *= k->column[cols[i]].ngroups;
	if (k->npool == POOL || cells > MG_MARK_CELLS)
		return;
	for (uint32_t b = 0; b < k->nbranches; b++)
		if (reaches(k->side[b], cols, n))
			reach += k->reach[b];
	if (reach < LEAST_WORTH)
		return;
	memset(c, 0, sizeof(*c));
	c->k = n;
	memcpy(c->cols, cols, n * sizeof(*cols));
	c->reach = fmin(reach, 2);
	rare_shares(k, cols, n, (uint32_t) cells, count, c->rare);
	k->npool += c->rare[GATES - 1] > LEAST_RARE;
}

/* Columns that tell something, in the order of how even their groups are (entropy), at most `most` of them. */
static uint32_t
list_columns(const maker *k, uint32_t *cols, double *entropy, uint32_t most)
{
	uint32_t n = 0;

	for (uint32_t c = 0; c < k->model->ncolumns; c++)
	{
		double h = 0;
		uint32_t at;

		for (uint32_t g = 0; g < k->column[c].ngroups; g++)
			h -= k->margin[c][g] > 0 ? k->margin[c][g] * log(k->margin[c][g]) : 0;
		if (h < 0.02 || (n == most && h <= entropy[n - 1]))
			continue;
		n += n < most;
		for (at = n - 1; at > 0 && entropy[at - 1] < h; at--)
		{
			entropy[at] = entropy[at - 1];
			cols[at] = cols[at - 1];
		}
		entropy[at] = h;
		cols[at] = c;
	}
	return n;
}

static void
sort_columns(uint32_t *cols, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++)
		for (uint32_t j = i; j > 0 && cols[j - 1] > cols[j]; j--)
		{
			uint32_t t = cols[j];

			cols[j] = cols[j - 1];
			cols[j - 1] = t;
		}
}

/* Enters a set of columns; true: it is there already. `seen` has SEEN places, more than are ever tried. */
static bool
enter(uint64_t *seen, const uint32_t *cols, uint32_t n)
{
	uint64_t key = n;
	uint32_t at;

	for (uint32_t i = 0; i < n; i++)
		key = key * MG_MAX_COLUMNS + cols[i];
	for (at = (uint32_t) (mg_mix64(key) % SEEN); seen[at] != 0; at = (at + 1) % SEEN)
		if (seen[at] == key)
			return true;
	seen[at] = key;
	return false;
}

/* Pairs, triples and quadruples at random: nearly all pairs and triples where they are few. */
static mg_code
fill_pool(mg_ctx *ctx, maker *k, mg_rng *rng)
{
	static const uint32_t tries[MG_MARK_ARITY + 1] = {0, 0, 1500, 1500, 3000};
	uint32_t most = 200, *cols, n, *count;
	double *entropy;
	uint64_t *seen;

	MG_NEW(ctx, k->work, cols, most);
	MG_NEW(ctx, k->work, entropy, most);
	MG_NEW(ctx, k->work, count, MG_MARK_CELLS);
	MG_NEW(ctx, k->work, seen, SEEN);
	MG_NEW(ctx, k->work, k->pool, (size_t) POOL + 1);
	n = list_columns(k, cols, entropy, most);
	for (uint32_t g = 0; g < GATES; g++)
		k->gate[g] = LEAST_GATE * exp2(g / 4.0);
	for (uint32_t arity = 2; arity <= MG_MARK_ARITY && arity <= n; arity++)
		for (uint32_t tried = 0; tried < tries[arity]; tried++)
		{
			uint32_t pick[MG_MARK_ARITY];

			for (uint32_t i = 0; i < arity; i++)
				do
					pick[i] = cols[mg_rng_below32((uint32_t) (mg_rng_u64(rng) >> 32), n)];
				while (has(pick, i, pick[i]));
			sort_columns(pick, arity);
			if (tried % 256 == 0)
				MG_TRY(mg_poll(ctx));
			if (!enter(seen, pick, arity))
				consider(k, pick, arity, count);
		}
	return MG_OK;
}

static bool
already(const mg_mark_plan *p, const candidate *c)
{
	for (uint32_t i = 0; i < p->nsubsets; i++)
		if (p->subset[i].k == c->k && memcmp(p->subset[i].cols, c->cols, c->k * sizeof(*c->cols)) == 0)
			return true;
	return false;
}

static uint32_t
cells_of(const maker *k, const candidate *c)
{
	uint32_t cells = 1;

	for (uint32_t i = 0; i < c->k; i++)
		cells *= k->column[c->cols[i]].ngroups;
	return cells;
}

/*
 * What a candidate is worth when its cells may be as frequent as gate `level`, and `most` of its mass is wanted: its
 * gate is the lowest at which it has that. Equal mass on rarer cells is seen less: what a cell's shift adds to the
 * distance, over what it adds to z, grows as the root of its probability.
 */
static double
rate(const maker *k, candidate *c, uint32_t level, double most)
{
	static const double worth_of[MG_MARK_ARITY + 1] = {0, 0, 1, TRIPLES, QUADRUPLES};

	c->level = 0;
	while (c->level < level && c->rare[c->level] < most)
		c->level++;
	if (c->rare[c->level] <= LEAST_RARE)
		return 0;
	return sqrt(fmin(c->rare[c->level], most) * c->reach * LEAST_GATE / k->gate[c->level]) * worth_of[c->k];
}

static void
add_subset(maker *k, const candidate *c)
{
	mg_mark_plan *p = k->plan;
	mg_mark_subset *s = &k->subset[p->nsubsets];
	double weight = WEIGHT / sqrt(c->rare[c->level]) + 0.5;

	s->k = c->k;
	memcpy(s->cols, c->cols, c->k * sizeof(*c->cols));
	s->cells = 1;
	for (uint32_t i = s->k; i-- > 0;)
	{
		s->stride[i] = s->cells;
		s->cells *= k->column[s->cols[i]].ngroups;
		k->used[s->cols[i]]++;
	}
	s->tells = 1;
	s->weight = (uint8_t) (weight > MG_MARK_WEIGHTS ? MG_MARK_WEIGHTS : weight);
	s->first = p->cells;
	k->limit[p->nsubsets++] = k->gate[c->level];
	k->chosen_hash = mg_mix64(k->chosen_hash ^ ((uint64_t) (c - k->pool) << 8 | c->level));
	p->cells += s->cells;
	p->gate = fmax(p->gate, k->gate[c->level]);
}

/*
 * Greedily: rare mass that branches reach, less where its columns have been used. Returns how many rare cells a row
 * has. Subsets weigh the more the less mass they have, so that each tells as much as any other: whichever columns a
 * table is left with, it is their number that counts.
 */
static double
choose_subsets(maker *k, uint32_t level, double most)
{
	mg_mark_plan *p = k->plan;
	double sum = 0;

	memset(k->used, 0, k->model->ncolumns * sizeof(*k->used));
	p->nsubsets = p->cells = 0;
	p->gate = k->gate[0];
	k->chosen_hash = 0;
	for (uint32_t i = 0; i < k->npool; i++)
		k->pool[i].worth = rate(k, &k->pool[i], level, most);
	while (p->nsubsets < SUBSETS)
	{
		const candidate *best = NULL;
		double worthiest = 0;

		for (uint32_t i = 0; i < k->npool; i++)
		{
			const candidate *c = &k->pool[i];
			double worth = c->worth;

			for (uint32_t j = 0; j < c->k; j++)
				worth /= 1 + BALANCE * k->used[c->cols[j]];
			if (worth > worthiest && p->cells + cells_of(k, c) <= MG_MARK_ALL_CELLS && !already(p, c))
			{
				worthiest = worth;
				best = c;
			}
		}
		if (best == NULL)
			break;
		add_subset(k, best);
		sum += best->rare[best->level];
	}
	return sum;
}

/*
 * The subsets at one gate: no cell is more frequent than it, and a row has no more than about k->rare rare cells. Where
 * there would be more, every subset gives some away, its most frequent cells first, so that columns of few labels,
 * whose subsets have none but those, are marked beside others at a cost that can be borne.
 */
static void
choose_at(maker *k, uint32_t level)
{
	double most = k->rare / SUBSETS;

	while (choose_subsets(k, level, most) < k->rare && most < 1)
		most = fmin(most * 1.25, 1);
	k->limited = most < 1;
}

/* ---- rows ---- */

static mg_code
draw_rows(mg_ctx *ctx, maker *k, uint32_t batches, void (*take)(maker *k, void *arg), void *arg)
{
	mg_rng rng;

	mg_rng_seed(&rng, SEED);
	for (uint32_t b = 0; b < batches; b++)
	{
		MG_TRY(mg_poll(ctx));
		MG_TRY(k->sampler->batch(ctx, k->sampler, &rng, MG_BATCH_ROWS, k->codes));
		take(k, arg);
	}
	return MG_OK;
}

static void
count_codes(maker *k, void *arg)
{
	for (uint32_t c = 0; c < k->model->ncolumns; c++)
		for (uint32_t r = 0; r < MG_BATCH_ROWS; r++)
			k->code_count[c][k->codes[c][r]]++;
}

/* Groups of the rows in codes. */
void
mg_maker_groups(const maker *k, uint16_t *const *codes, uint32_t rows)
{
	for (uint32_t c = 0; c < k->model->ncolumns; c++)
		for (uint32_t r = 0; k->column[c].ngroups > 0 && r < rows; r++)
			k->group[c][r] = k->group_of[c][codes[c][r]];
}

/* arg: how many batches came before */
static void
keep_groups(maker *k, void *arg)
{
	size_t *number = arg;

	for (uint32_t c = 0; c < k->model->ncolumns; c++)
		for (uint32_t r = 0; k->column[c].ngroups > 0 && r < MG_BATCH_ROWS; r++)
			k->kept[c][*number * MG_BATCH_ROWS + r] = k->group_of[c][k->codes[c][r]];
	++*number;
	count_codes(k, NULL);
}

uint8_t *const *
mg_maker_kept(maker *k, uint32_t b)
{
	for (uint32_t c = 0; c < k->model->ncolumns; c++)
		k->window[c] = k->kept[c] + (size_t) b * MG_BATCH_ROWS;
	return k->window;
}

/* Draws the rows that stand for the model, and learns how much of them each group has. */
static mg_code
keep_rows(mg_ctx *ctx, maker *k)
{
	size_t number = 0;

	for (uint32_t c = 0; c < k->model->ncolumns; c++)
		memset(k->code_count[c], 0, k->model->columns[c].ncoarse * sizeof(*k->code_count[c]));
	MG_TRY(draw_rows(ctx, k, k->batches, keep_groups, &number));
	for (uint32_t c = 0; c < k->model->ncolumns; c++)
		if (k->column[c].ngroups > 0)
			mg_maker_margin(k, c, k->batches);
	return MG_OK;
}

static mg_code
judge_branches(mg_ctx *ctx, maker *k)
{
	const mg_model *m = k->model;
	mg_row_groups groups = {0};
	mg_rng rng;

	if (m->method->branches == NULL)
		return MG_OK;
	MG_TRY(m->method->branches(ctx, m, k->work, &k->branch, &k->nbranches));
	MG_NEW(ctx, k->work, k->reach, (size_t) k->nbranches + 1);
	MG_NEW(ctx, k->work, k->reach_large, (size_t) k->nbranches + 1);
	MG_NEW(ctx, k->work, k->side, (size_t) k->nbranches + 1);
	MG_TRY(mg_row_groups_make(ctx, k->work, &groups));
	mg_rng_seed(&rng, SEED);
	MG_TRY(k->sampler->batch(ctx, k->sampler, &rng, MG_BATCH_ROWS, k->codes));
	for (uint32_t b = 0; b < k->nbranches; b++)
	{
		MG_TRY(mg_poll(ctx));
		k->reach_large[b] = mg_branch_reach(m, &k->branch[b], k->codes, MG_BATCH_ROWS, &groups);
		k->reach[b] = mg_branch_reach(m, &k->branch[b], k->codes, TYPICAL_ROWS, &groups);
		MG_NEW(ctx, k->work, k->side[b], m->ncolumns);
		memset(k->side[b], WITHOUT, m->ncolumns);
		for (uint32_t i = 0; i < k->branch[b].nsep; i++)
			k->side[b][k->branch[b].sep[i]] = 0;
		for (uint32_t i = 0; i < k->branch[b].nbranch; i++)
			k->side[b][k->branch[b].branch[i]] = WITHIN;
	}
	return MG_OK;
}

static bool
is_chosen(const maker *k, uint32_t branch)
{
	for (uint32_t i = 0; i < k->plan->nbranches; i++)
		if (k->chosen[i] == branch)
			return true;
	return false;
}

/*
 * The branches in the order of what they promise: the share of rows with a partner, and the subsets that straddle them,
 * less those that branches before them reach already. All subsets weigh alike. The first
 * are those that serve large batches.
 */
static void
choose_branches(maker *k)
{
	mg_mark_plan *p = k->plan;
	double seen[SUBSETS] = {0};

	p->nbranches = 0;
	while (p->nbranches < BRANCHES)
	{
		double most = LEAST_WORTH;
		uint32_t best = k->nbranches;

		for (uint32_t b = 0; b < k->nbranches && b <= UINT16_MAX; b++)
		{
			double straddle = 0, worth;

			for (uint32_t t = 0; t < p->nsubsets; t++)
				if (reaches(k->side[b], p->subset[t].cols, p->subset[t].k))
					straddle += 1 / (1 + seen[t]);
			worth = (p->nbranches < MG_MARK_PASSES ? k->reach_large : k->reach)[b] * sqrt(straddle);
			if (worth > most && !is_chosen(k, b))
			{
				most = worth;
				best = b;
			}
		}
		if (best == k->nbranches)
			break;
		k->chosen[p->nbranches++] = (uint16_t) best;
		for (uint32_t t = 0; t < p->nsubsets; t++)
			if (reaches(k->side[best], p->subset[t].cols, p->subset[t].k))
				seen[t] += k->reach[best];
	}
}

static mg_code
set_probabilities(mg_ctx *ctx, maker *k)
{
	mg_mark_plan *p = k->plan;

	memset(k->count, 0, ((size_t) p->cells + 1) * sizeof(*k->count));
	for (uint32_t b = 0; b < k->batches; b++)
	{
		uint8_t *const *group = mg_maker_kept(k, b);

		MG_TRY(mg_poll(ctx));
		for (uint32_t i = 0; i < p->nsubsets; i++)
		{
			const mg_mark_subset *s = &k->subset[i];

			mg_maker_cells(k, group, s->cols, s->k, MG_BATCH_ROWS, k->at);
			for (uint32_t r = 0; r < MG_BATCH_ROWS; r++)
				k->count[s->first + k->at[r]]++;
		}
	}
	for (uint32_t s = 0; s < p->nsubsets; s++)
	{
		const uint32_t *count = k->count + k->subset[s].first;
		uint8_t *q = k->q + k->subset[s].first;

		for (uint32_t i = 0; i < k->subset[s].cells; i++)
		{
			double share = count[i] / rows_kept(k), steps = share > 0 ? -8 * log2(share / p->gate) : MG_MARK_NEVER;

			q[i] = share > k->limit[s] ? MG_MARK_FREQUENT : steps >= MG_MARK_NEVER ? MG_MARK_NEVER : (uint8_t) steps;
		}
		k->subset[s].q = q;
	}
	return MG_OK;
}

/* ---- gate and rare cells ---- */

/* How subsets are chosen, and what comes of it. */
typedef struct choice
{
	uint32_t level;
	double rare;
	uint64_t hash; /* of the subsets and their gates */
	mg_mark_trial trial;
} choice;

static void
choose(maker *k, choice *c)
{
	k->rare = c->rare;
	choose_at(k, c->level);
	c->hash = k->chosen_hash;
}

/* What is left to do of a plan whose subsets are chosen. */
static mg_code
try_chosen(mg_ctx *ctx, maker *k, choice *c, double bound)
{
	choose_branches(k);
	MG_TRY(set_probabilities(ctx, k));
	return mg_maker_try(ctx, k, bound, &c->trial);
}

static mg_code
make_at(mg_ctx *ctx, maker *k, choice *c, double bound)
{
	choose(k, c);
	return try_chosen(ctx, k, c, bound);
}

/* A plan that is the same as the one before is not made again: its trial is at hand. */
static mg_code
try_at(mg_ctx *ctx, maker *k, choice *c, const choice *before, double bound)
{
	choose(k, c);
	if (c->hash != before->hash)
		return try_chosen(ctx, k, c, bound);
	c->trial = before->trial;
	return MG_OK;
}

static bool
is_hidden(const choice *c)
{
	return c->trial.rows < LEAST;
}

static bool
is_enough(const mg_mark_trial *t)
{
	return t->rows >= ENOUGH && t->columns >= ENOUGH_COLUMNS;
}

/*
 * How good a choice is: what finds the mark, and what it costs, which is dearer where much is lacking. Of those beyond
 * the bound the least dear is the best: rows drawn one by one, as a sample is, lie further from the model than FAR. A
 * mark that thousands of rows would not show is worth less than any other.
 */
static double
score_of(const choice *c)
{
	const mg_mark_trial *t = &c->trial;
	double rows = fmin(t->rows / ENOUGH, 1);               /* 1: few rows out of many name a key for certain, */
	double columns = fmin(t->columns / ENOUGH_COLUMNS, 1); /* and half of the columns do */
	double hidden = is_hidden(c) ? -100 : 0;

	if (t->cost > DEAR)
		return hidden - 10 * t->cost;
	if (rows + columns < NEARLY)
		return hidden + rows + columns - SURCHARGE * fmax(t->cost - FREE, 0);
	return hidden + ROWS * rows + COLUMNS * columns - PRICE * (t->cost - 1);
}

/* The gates that were passed over, beside the best so far; or all above a mark that is hidden, until one is not. */
static mg_code
try_beside(mg_ctx *ctx, maker *k, choice *best)
{
	bool hidden = is_hidden(best);
	uint32_t level = best->level, last = hidden ? GATES - 1 : level + 1;

	for (uint32_t beside = level > 0 ? level - 1 : 1; beside <= last && beside < GATES; beside++)
	{
		choice c = {.level = beside, .rare = best->rare};

		if (beside == level)
			continue;
		MG_TRY(make_at(ctx, k, &c, hidden ? FAR : DEAR));
		if (score_of(&c) > score_of(best))
			*best = c;
		if (hidden && (c.trial.cost > FAR || !is_hidden(best)))
			break;
	}
	return MG_OK;
}

/*
 * What a mark costs and whether it is found depends on much: how many columns and labels the table has, what branches
 * can be exchanged. So gates and numbers of rare cells are tried (mark_trial.c, mark_cost.c), and the best of all kept.
 *
 * The bounds are on the distance of a batch to the model. To the real rows a model has a distance of its own: marks
 * were seen to add to that 0.2 to 0.8 of what they add to the former (docs/watermark.md).
 */
static mg_code
choose_gate(mg_ctx *ctx, maker *k)
{
	static const double rare[] = {2, 3, 5, 10};
	bool limited[GATES];
	choice c, before = {.hash = UINT64_MAX}, best = {.rare = rare[0], .trial.cost = INFINITY};

	memset(limited, true, sizeof(limited));
	for (size_t i = 0; i < sizeof(rare) / sizeof(*rare) && !is_enough(&best.trial); i++)
		for (uint32_t level = 0; level < GATES; level += GATE_STEP)
		{
			double bound = is_hidden(&best) ? FAR : DEAR;

			/* a row had less than it might have had already: more would be the same */
			if (!limited[level])
				continue;
			c = (choice){.level = level, .rare = rare[i]};
			MG_TRY(try_at(ctx, k, &c, &before, bound));
			before = c;
			limited[level] = k->limited;
			if (c.trial.cost <= bound && score_of(&c) > score_of(&best))
				best = c;
			/* from here on gates are dearer still */
			if (c.trial.cost > bound || is_enough(&c.trial))
				break;
		}
	MG_TRY(try_beside(ctx, k, &best));
	return make_at(ctx, k, &best, INFINITY);
}

/* ---- all of it ---- */

static mg_code
begin(mg_ctx *ctx, maker *k)
{
	uint32_t n = k->model->ncolumns;
	size_t batches = PLAN_CELLS / ((size_t) n * MG_BATCH_ROWS);

	k->batches = batches < 2 ? 2 : batches > PLAN_BATCHES ? PLAN_BATCHES : (uint32_t) batches;
	MG_NEW(ctx, k->plan->arena, k->column, n);
	MG_NEW(ctx, k->plan->arena, k->margin, n);
	MG_NEW(ctx, k->work, k->codes, n);
	MG_NEW(ctx, k->work, k->code_count, n);
	MG_NEW(ctx, k->work, k->group_of, n);
	MG_NEW(ctx, k->work, k->kept, n);
	MG_NEW(ctx, k->work, k->window, n);
	MG_NEW(ctx, k->work, k->group, n);
	MG_NEW(ctx, k->work, k->at, MG_BATCH_ROWS);
	MG_NEW(ctx, k->work, k->used, n);
	MG_NEW(ctx, k->work, k->count, MG_MARK_ALL_CELLS + 1);
	MG_NEW(ctx, k->plan->arena, k->q, MG_MARK_ALL_CELLS + 1);
	MG_NEW(ctx, k->plan->arena, k->subset, SUBSETS);
	MG_NEW(ctx, k->plan->arena, k->chosen, MG_MARK_BRANCHES);
	MG_NEW(ctx, k->work, k->limit, SUBSETS);
	k->plan->subset = k->subset;
	k->plan->branch = k->chosen;
	k->plan->ncolumns = n;
	k->plan->column = k->column;
	k->plan->margin = (const double *const *) k->margin;
	for (uint32_t c = 0; c < n; c++)
	{
		MG_NEW(ctx, k->work, k->codes[c], MG_BATCH_ROWS);
		MG_NEW(ctx, k->work, k->group[c], MG_BATCH_ROWS);
		MG_NEW(ctx, k->work, k->code_count[c], k->model->columns[c].ncoarse);
		MG_NEW(ctx, k->work, k->group_of[c], k->model->columns[c].ncoarse);
		MG_NEW(ctx, k->work, k->kept[c], (size_t) k->batches * MG_BATCH_ROWS);
	}
	return k->model->method->compile(ctx, k->model, &k->sampler);
}

static mg_code
make(mg_ctx *ctx, maker *k)
{
	mg_rng rng;

	mg_rng_seed(&rng, UINT64_C(0x7375627365747321));
	MG_TRY(begin(ctx, k));
	MG_TRY(draw_rows(ctx, k, CODE_BATCHES, count_codes, NULL));
	for (uint32_t c = 0; c < k->model->ncolumns; c++)
		MG_TRY(mg_maker_column(ctx, k, c));
	MG_TRY(keep_rows(ctx, k));
	MG_TRY(mg_maker_pairs(ctx, k));
	MG_TRY(judge_branches(ctx, k));
	MG_TRY(fill_pool(ctx, k, &rng));
	return choose_gate(ctx, k);
}

mg_code
mg_mark_plan_make(mg_ctx *ctx, const mg_model *m, mg_mark_plan **out)
{
	maker k = {.model = m};
	mg_arena *arena = mg_arena_create(0);
	mg_code code;

	*out = NULL;
	k.work = mg_arena_create(0);
	k.plan = arena != NULL ? mg_arena_alloc(arena, 1, sizeof(*k.plan)) : NULL;
	if (k.plan == NULL || k.work == NULL)
		code = mg_fail(ctx, MG_NOMEM, "out of memory");
	else
	{
		k.plan->arena = arena;
		code = make(ctx, &k);
	}
	if (k.sampler != NULL)
		k.sampler->destroy(k.sampler);
	mg_arena_destroy(k.work);
	if (code != MG_OK)
	{
		mg_arena_destroy(arena);
		return code;
	}
	*out = k.plan;
	return MG_OK;
}
