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
#define FIRST_GATE 8        /* that is tried */
#define GATE_STEPS 4        /* from one gate that is tried to the next, at first */
#define BOUND 1.07          /* most that a mark may cost */
#define DEAR 1.14           /* and most where little is lacking, */
#define FAR 1.5             /* or nearly everything */
#define NEARLY 1.85         /* value_of, from which little is lacking */
#define LEAST 2.3           /* mean z of an extract, at which ten times the rows have 7 */
#define ENOUGH 7.2          /* mean z of an extract; 5 is needed */
#define ENOUGH_COLUMNS 0.97 /* share of halves of the columns in which it is found */
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
#define TYPICAL_ROWS 1000 /* of a batch, for which branches are judged */

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
 * Greedily at one gate: rare mass that branches reach, less where its columns have been used.
 * Subsets weigh the more the less mass they have, so that each tells as much as any other: whichever columns a table
 * is left with, it is their number that counts.
 */
static void
choose_at(maker *k, uint32_t level)
{
	static const double worth_of[MG_MARK_ARITY + 1] = {0, 0, 1, TRIPLES, QUADRUPLES};
	mg_mark_plan *p = k->plan;
	double *used = k->used;

	memset(used, 0, k->model->ncolumns * sizeof(*used));
	p->nsubsets = p->cells = 0;
	p->gate = k->gate[level];
	while (p->nsubsets < SUBSETS)
	{
		const candidate *best = NULL;
		mg_mark_subset *s = &k->subset[p->nsubsets];
		double most = 0, weight;

		for (uint32_t i = 0; i < k->npool; i++)
		{
			double worth = k->pool[i].rare[level] > LEAST_RARE
							   ? sqrt(k->pool[i].rare[level] * k->pool[i].reach) * worth_of[k->pool[i].k]
							   : 0;

			for (uint32_t j = 0; j < k->pool[i].k; j++)
				worth /= 1 + BALANCE * used[k->pool[i].cols[j]];
			if (worth > most && p->cells + cells_of(k, &k->pool[i]) <= MG_MARK_ALL_CELLS && !already(p, &k->pool[i]))
			{
				most = worth;
				best = &k->pool[i];
			}
		}
		if (best == NULL)
			break;
		s->k = best->k;
		memcpy(s->cols, best->cols, best->k * sizeof(*best->cols));
		s->cells = 1;
		for (uint32_t i = s->k; i-- > 0;)
		{
			s->stride[i] = s->cells;
			s->cells *= k->column[s->cols[i]].ngroups;
			used[s->cols[i]]++;
		}
		weight = WEIGHT / sqrt(best->rare[level]) + 0.5;
		s->tells = 1;
		s->weight = (uint8_t) (weight > MG_MARK_WEIGHTS ? MG_MARK_WEIGHTS : weight);
		s->first = p->cells;
		p->cells += s->cells;
		p->nsubsets++;
	}
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
	MG_NEW(ctx, k->work, k->side, (size_t) k->nbranches + 1);
	MG_TRY(mg_row_groups_make(ctx, k->work, &groups));
	mg_rng_seed(&rng, SEED);
	MG_TRY(k->sampler->batch(ctx, k->sampler, &rng, TYPICAL_ROWS, k->codes));
	for (uint32_t b = 0; b < k->nbranches; b++)
	{
		MG_TRY(mg_poll(ctx));
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
 * less those that branches before them reach already. All subsets weigh alike.
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
			worth = k->reach[b] * sqrt(straddle);
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
	for (uint32_t i = 0; i < p->cells; i++)
	{
		double share = k->count[i] / rows_kept(k), steps = share > 0 ? -8 * log2(share / p->gate) : MG_MARK_NEVER;

		k->q[i] = steps < 0 ? MG_MARK_FREQUENT : steps >= MG_MARK_NEVER ? MG_MARK_NEVER : (uint8_t) steps;
	}
	for (uint32_t s = 0; s < p->nsubsets; s++)
		k->subset[s].q = k->q + k->subset[s].first;
	return MG_OK;
}

/* ---- the gate ---- */

static mg_code
make_at(mg_ctx *ctx, maker *k, int level, double bound, mg_mark_trial *out)
{
	choose_at(k, (uint32_t) level);
	choose_branches(k);
	MG_TRY(set_probabilities(ctx, k));
	return mg_maker_try(ctx, k, bound, out);
}

/*
 * 2 where all is as it should be: few rows out of many name a key for certain, and half of the columns do. Less than 0
 * where the mark is too dear.
 */
static double
value_of(const mg_mark_trial *t, double bound)
{
	return t->cost > bound ? -t->cost : fmin(t->rows / ENOUGH, 1) + fmin(t->columns / ENOUGH_COLUMNS, 1);
}

/*
 * What BOUND does not buy, in two cases. Where the mark is nearly found as it should be, the best up to DEAR: one that
 * some halves of the columns do not show is worth a little more. And where thousands of rows would not show it, the
 * lowest gate at which they do, if there is one up to FAR: rows drawn one by one, as a sample is, lie further from the
 * model than that. *best is the level so far, found its trial; *level the one that was made last.
 */
static mg_code
pay_more(mg_ctx *ctx, maker *k, const mg_mark_trial *found, int *best, int *level)
{
	bool hidden = found->rows < LEAST;
	double bound = hidden ? FAR : DEAR, most = value_of(found, bound);
	mg_mark_trial trial;

	for (int above = *best + 1; (hidden || most >= NEARLY) && above < GATES; above++)
	{
		*level = above;
		MG_TRY(make_at(ctx, k, above, bound, &trial));
		if (trial.cost > bound)
			break;
		if (hidden ? trial.rows >= LEAST : value_of(&trial, bound) > most)
		{
			*best = above;
			most = value_of(&trial, bound);
		}
		if (hidden ? trial.rows >= LEAST : trial.rows >= ENOUGH && trial.columns >= ENOUGH_COLUMNS)
			break;
	}
	return MG_OK;
}

/*
 * The lowest gate at which the mark is found as it should be, or else, of those at which it costs no more than BOUND,
 * the one at which it is found best; where there is none, the least dear. What a mark costs and whether it is found
 * depends on much: how many columns and labels the table has, what branches can be exchanged. So gates are tried
 * (mark_trial.c, mark_cost.c): each twice as high as the one before until one is enough or too dear, then between the
 * last two.
 *
 * The bound is on the distance of a batch to the model. To the real rows a model has a distance of its own: marks were
 * seen to add to that 0.2 to 0.8 of what they add to the former (docs/watermark.md).
 */
static mg_code
choose_gate(mg_ctx *ctx, maker *k)
{
	mg_mark_trial trial, found = {0};
	int low = -1, high = GATES, level, next = FIRST_GATE, best = FIRST_GATE;
	double most = -INFINITY, value,
		   enough = value_of(&(mg_mark_trial){.rows = ENOUGH, .columns = ENOUGH_COLUMNS}, BOUND);

	do
	{
		level = next;
		MG_TRY(make_at(ctx, k, level, BOUND, &trial));
		value = value_of(&trial, BOUND);
		if (value > most || value >= enough)
		{
			most = value;
			best = level;
			found = trial;
		}
		*(trial.cost > BOUND || value >= enough ? &high : &low) = level;
		next = high < GATES ? (low + high) / 2 : low + GATE_STEPS;
	} while (k->npool > 0 && high - low > 1 && next < GATES);
	if (most < enough)
		MG_TRY(pay_more(ctx, k, &found, &best, &level));
	return best == level ? MG_OK : make_at(ctx, k, best, FAR, &trial);
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
