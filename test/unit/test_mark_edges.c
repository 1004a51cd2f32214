/*
 * test/unit/test_mark_edges.c: branches passed around, against a plain account of the same: who gets whose branch is
 * compared row by row, for random plans, scores and separators, with tables and without. The plain account scores a row
 * by the definition, subset by subset, and knows nothing of tables, lanes or what is summed when.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "model/dependency.h"
#include "synthesis/marking_private.h"

#define ROWS 700
#define MOST_COLUMNS 100
#define MOST_CELLS 60000

typedef struct world
{
	mg_ctx ctx;
	mg_arena *a;
	mg_rng rng;
	uint32_t ncolumns, slots[MOST_COLUMNS];
	mg_mark_column column[MOST_COLUMNS];
	mg_mark_subset subset[MG_MARK_SUBSETS];
	mg_mark_plan plan;
	int8_t score[MOST_CELLS + 1];
	uint32_t list[MOST_COLUMNS]; /* the separator's columns, then the branch's */
	mg_branch branch;
	uint8_t row[ROWS * MOST_COLUMNS];
	uint16_t order[ROWS];
	uint32_t start[ROWS + 1];
	mg_row_groups groups;
	uint16_t from[ROWS], expected[ROWS];
} world;

/* What a random plan is like. */
typedef struct kind
{
	uint32_t columns, groups, separator, branch, subsets, arity, groups_of_rows, nonzero; /* nonzero: percent */
} kind;

static uint32_t
below(world *w, uint32_t n)
{
	return mg_rng_below32((uint32_t) (mg_rng_u64(&w->rng) >> 32), n);
}

/* k different columns, ascending, of at most `most` cells; false: no luck. */
static bool
draw_subset(world *w, uint32_t k, mg_mark_subset *s)
{
	s->k = k;
	for (uint32_t j = 0; j < k; j++)
	{
		uint32_t col = below(w, w->ncolumns), at = j;

		for (uint32_t i = 0; i < j; i++)
			if (s->cols[i] == col)
				return false;
		for (; at > 0 && s->cols[at - 1] > col; at--)
			s->cols[at] = s->cols[at - 1];
		s->cols[at] = col;
	}
	s->cells = 1;
	for (uint32_t j = k; j-- > 0;)
	{
		s->stride[j] = s->cells;
		s->cells *= w->column[s->cols[j]].ngroups;
	}
	return s->cells <= MG_MARK_CELLS;
}

static void
draw_plan(world *w, const kind *of)
{
	w->ncolumns = of->columns;
	w->plan = (mg_mark_plan){.ncolumns = of->columns, .column = w->column, .subset = w->subset};
	for (uint32_t i = 0; i < of->columns; i++)
	{
		w->column[i].ngroups = 1 + below(w, of->groups);
		w->slots[i] = i;
	}
	while (w->plan.nsubsets < of->subsets)
	{
		mg_mark_subset *s = &w->subset[w->plan.nsubsets];

		if (!draw_subset(w, 2 + below(w, of->arity - 1), s))
			continue;
		if (w->plan.cells + s->cells > MOST_CELLS)
			break;
		s->first = w->plan.cells;
		s->weight = (uint8_t) (1 + below(w, MG_MARK_WEIGHTS));
		for (uint32_t c = 0; c < s->cells; c++)
			w->score[s->first + c] =
				(int8_t) (below(w, 100) < of->nonzero ? ((int) below(w, 3) - 1) * 2 * s->weight : 0);
		w->plan.cells += s->cells;
		w->plan.nsubsets++;
	}
	w->score[w->plan.cells] = 0;
}

/* A random separator and branch; lists ascend. */
static void
draw_branch(world *w, const kind *of)
{
	uint32_t nsep = 0, nbranch = 0;
	int part[MOST_COLUMNS] = {0};

	for (uint32_t n = 0; n < of->separator + of->branch;)
	{
		uint32_t col = below(w, w->ncolumns);

		if (part[col] == 0)
			part[col] = n++ < of->separator ? 1 : 2;
	}
	for (uint32_t i = 0; i < w->ncolumns; i++)
	{
		if (part[i] == 1)
			w->list[nsep++] = i;
		if (part[i] == 2)
			w->list[of->separator + nbranch++] = i;
	}
	w->branch = (mg_branch){.nbranch = nbranch, .nsep = nsep, .branch = w->list + of->separator, .sep = w->list};
}

/* Rows in random order, in groups that agree on the separator; some groups of a row or two. */
static void
draw_rows(world *w, const kind *of)
{
	uint32_t n = 0;

	mg_rng_permutation16(&w->rng, w->order, ROWS);
	for (uint32_t i = 0; i < ROWS * w->ncolumns; i++)
		w->row[i] = (uint8_t) below(w, w->column[i % w->ncolumns].ngroups);
	w->start[0] = 0;
	while (w->start[n] < ROWS)
	{
		uint32_t left = ROWS - w->start[n], size = 1 + below(w, 2 * ROWS / of->groups_of_rows);

		w->start[n + 1] = w->start[n] + (size < left ? size : left);
		for (uint32_t i = w->start[n]; i < w->start[n + 1]; i++)
			for (uint32_t j = 0; j < w->branch.nsep; j++)
				w->row[w->order[i] * w->ncolumns + w->branch.sep[j]] =
					w->row[w->order[w->start[n]] * w->ncolumns + w->branch.sep[j]];
		n++;
	}
	w->groups = (mg_row_groups){.n = n, .row = w->order, .start = w->start};
}

/* ---- the plain account ---- */

/* The score, over the subsets that the edge cuts, of row r with the branch of row b. */
static int
plain_score(const world *w, uint32_t r, uint32_t b)
{
	int sum = 0;

	for (uint32_t i = 0; i < w->plan.nsubsets; i++)
	{
		const mg_mark_subset *s = &w->subset[i];
		uint32_t cell = s->first;
		bool within = false, rest = false;

		for (uint32_t j = 0; j < s->k; j++)
		{
			bool in = mg_in_branch(&w->branch, s->cols[j]), sep = false;

			for (uint32_t c = 0; c < w->branch.nsep; c++)
				sep = sep || w->branch.sep[c] == s->cols[j];
			cell += s->stride[j] * w->row[(in ? b : r) * w->ncolumns + s->cols[j]];
			within = within || in;
			rest = rest || (!in && !sep);
		}
		sum += within && rest ? w->score[cell] : 0;
	}
	return sum;
}

static void
plain_group(world *w, const uint16_t *row, uint32_t n, uint32_t most_hand)
{
	uint32_t hand[MG_MOST_HAND + 1], held = n >= 2 * most_hand ? most_hand : n / 2;

	for (uint32_t i = 0; i < held; i++)
		hand[i] = row[i];
	for (uint32_t i = held; i < n + held; i++)
	{
		uint32_t r = row[i % n], choices = i < n ? held + 1 : n + held - i, best = choices - 1;

		if (i < n)
			hand[held] = r;
		for (uint32_t h = 0; h + 1 < choices; h++)
			if (plain_score(w, r, hand[h]) > plain_score(w, r, hand[best]))
				best = h;
		w->expected[r] = (uint16_t) hand[best];
		hand[best] = hand[choices - 1];
	}
}

/* ---- tests ---- */

/* Passes with and without tables; how many rows got another's branch. */
static uint32_t
compare(world *w, const kind *of, uint32_t hand, uint32_t *tables, uint32_t *loose)
{
	mg_edge_maker maker = {w->a, &w->plan, w->score, w->slots, of->columns};
	mg_exchange x = {w->row, w->ncolumns, hand, w->from};
	uint32_t moved = 0;

	for (uint32_t i = 0; i < w->groups.n; i++)
		plain_group(w, w->order + w->start[i], w->start[i + 1] - w->start[i], hand);
	for (int with = 0; with < 2; with++)
	{
		mg_edge e;

		assert_int_equal(mg_edge_make(&w->ctx, &maker, &w->branch, with == 1, &e), MG_OK);
		memset(w->from, 0xff, sizeof(w->from));
		mg_edge_pass(&e, &x, &w->groups);
		assert_memory_equal(w->from, w->expected, sizeof(w->from));
		*tables = e.table_vectors;
		*loose = e.nloose;
	}
	for (uint32_t r = 0; r < ROWS; r++)
		moved += w->from[r] != r;
	return moved;
}

static void
run(const kind *of, uint32_t repeats, uint32_t *most_tables, uint32_t *most_loose)
{
	world *w = calloc(1, sizeof(*w));
	uint32_t tables, loose, moved = 0;

	mg_ctx_init(&w->ctx);
	mg_rng_seed(&w->rng, of->columns * 1000 + of->subsets);
	*most_tables = *most_loose = 0;
	for (uint32_t i = 0; i < repeats; i++)
	{
		w->a = mg_arena_create(0);
		draw_plan(w, of);
		draw_branch(w, of);
		draw_rows(w, of);
		for (uint32_t hand = 1; hand <= MG_MOST_HAND; hand++)
		{
			moved += compare(w, of, hand, &tables, &loose);
			*most_tables = tables > *most_tables ? tables : *most_tables;
			*most_loose = loose > *most_loose ? loose : *most_loose;
		}
		mg_arena_destroy(w->a);
	}
	/* a comparison of rows that all keep their own would tell nothing */
	assert_true(moved > repeats * ROWS / 4);
	free(w);
}

static void
test_few_columns(void **state)
{
	const kind of = {.columns = 12,
					 .groups = 14,
					 .separator = 3,
					 .branch = 3,
					 .subsets = 60,
					 .arity = 3,
					 .groups_of_rows = 12,
					 .nonzero = 10};
	uint32_t tables, loose;

	run(&of, 6, &tables, &loose);
	assert_true(tables >= 1 && loose > 0);
}

/* Columns of more groups than a vector has lanes, two of which share a segment or not. */
static void
test_many_groups(void **state)
{
	const kind of = {.columns = 14,
					 .groups = MG_MARK_GROUPS,
					 .separator = 1,
					 .branch = 5,
					 .subsets = 60,
					 .arity = 3,
					 .groups_of_rows = 5,
					 .nonzero = 10};
	uint32_t tables, loose;

	run(&of, 6, &tables, &loose);
	assert_true(tables >= 1);
}

/* One column in the branch: nothing is loose, and each other column may be in the tables of it. */
static void
test_one_in_the_branch(void **state)
{
	const kind of = {.columns = 9,
					 .groups = 10,
					 .separator = 0,
					 .branch = 1,
					 .subsets = 120,
					 .arity = 2,
					 .groups_of_rows = 1,
					 .nonzero = 40};
	uint32_t tables, loose;

	run(&of, 4, &tables, &loose);
	assert_true(tables >= 1 && loose == 0);
}

/* More columns in the branch than there are places, more subsets than tables may join, four columns a subset. */
static void
test_crowded(void **state)
{
	const kind many = {.columns = MOST_COLUMNS,
					   .groups = 6,
					   .separator = 2,
					   .branch = 90,
					   .subsets = MG_MARK_SUBSETS,
					   .arity = 2,
					   .groups_of_rows = 20,
					   .nonzero = 60};
	const kind deep = {.columns = 30,
					   .groups = 5,
					   .separator = 5,
					   .branch = 9,
					   .subsets = MG_MARK_SUBSETS,
					   .arity = 4,
					   .groups_of_rows = 300,
					   .nonzero = 30};
	uint32_t tables, loose;

	run(&many, 3, &tables, &loose);
	run(&deep, 3, &tables, &loose);
	assert_true(tables >= 2 && loose > 16);
}

/* Equal scores: rows keep what is theirs, whatever is in hand. */
static void
test_nothing_to_choose(void **state)
{
	const kind of = {.columns = 6,
					 .groups = 5,
					 .separator = 1,
					 .branch = 2,
					 .subsets = 12,
					 .arity = 2,
					 .groups_of_rows = 4,
					 .nonzero = 0};
	world *w = calloc(1, sizeof(*w));
	uint32_t tables, loose;

	mg_ctx_init(&w->ctx);
	mg_rng_seed(&w->rng, 5);
	w->a = mg_arena_create(0);
	draw_plan(w, &of);
	draw_branch(w, &of);
	draw_rows(w, &of);
	for (uint32_t hand = 1; hand <= MG_MOST_HAND; hand++)
	{
		uint32_t first = 0;

		compare(w, &of, hand, &tables, &loose);
		for (uint32_t i = 0; i < w->groups.n; i++)
			first += w->start[i + 1] - w->start[i] > 2 * hand ? 2 * hand : w->start[i + 1] - w->start[i];
		for (uint32_t r = 0, others = 0; r < ROWS; r++)
		{
			others += w->from[r] != r;
			assert_true(others <= first);
		}
	}
	mg_arena_destroy(w->a);
	free(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_few_columns),       cmocka_unit_test(test_many_groups),
		cmocka_unit_test(test_one_in_the_branch), cmocka_unit_test(test_crowded),
		cmocka_unit_test(test_nothing_to_choose),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
