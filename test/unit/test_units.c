/*
 * test/unit/test_units.c: privacy units of several rows: what the bounding keeps of a unit, seen in the code table
 * itself, against what it says it keeps; that it is a function of the unit's rows alone; sensitivities, charges and
 * laws that follow k.
 *
 * A row's cells here are functions of its `content`, so that a row put together from cells of several rows would show.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "curator/curator_private.h"
#include "graphical/graphical.h"
#include "memory_store.h"
#include "num/rng.h"
#include "seeded_noise.h"

#define COLUMNS 4
#define SMALL (256u << 10) /* nothing fits: groups, pairs, side streams and kept rows all go to the store */
#define LARGE (64u << 20)

enum
{
	GRADE, /* closed, u8 */
	STEP,  /* closed number, u16 */
	NAME,  /* open text */
	VALUE  /* open number */
};

static const mg_ratio exactly = {1, 1 << 20}; /* sigma 0.001: noise is 0 but with probability e^-500000 */
static const mg_label grades[] = {{"a", 1}, {"b", 1}, {"c", 1}};
static const mg_domain domains[COLUMNS] = {
	[GRADE] = {.name = "grade", .kind = MG_CATEGORY, .nlabels = 3, .labels = grades, .nullable = true},
	[STEP] = {.name = "step", .kind = MG_NUMBER, .upper = 999, .step = 1},
	[NAME] = {.name = "name", .kind = MG_CATEGORY, .nullable = true, .open = true, .has_other = true},
	[VALUE] = {.name = "value", .kind = MG_NUMBER, .nullable = true, .open = true, .lower = -1e300, .upper = 1e300},
};

typedef struct row
{
	uint32_t unit, content;
} row;

static uint8_t unit_key[MG_UNIT_KEY_BYTES] = "a key of thirty-two bytes, hush!";

typedef struct world
{
	mg_ctx ctx;
	mg_noise *noise;
	mg_odometer odometer;
	memory_store store;
	mg_arena *a;
	mg_curator *c;
} world;

/* k 0: the unit is the row. */
static void
open_world(world *w, uint32_t k, size_t memory, uint64_t seed)
{
	mg_units units = {k, unit_key};

	memset(w, 0, sizeof(*w));
	mg_ctx_init(&w->ctx);
	w->noise = seeded_noise(seed);
	mg_odometer_init(&w->odometer, 1e15, 1);
	memory_store_init(&w->store);
	w->a = mg_arena_create(0);
	assert_int_equal(mg_curator_create_for_units(&w->ctx, domains, COLUMNS, k > 0 ? &units : NULL, w->noise,
												 &w->odometer, &w->store.store, memory, &w->c),
					 MG_OK);
}

static void
close_world(world *w)
{
	mg_curator_destroy(w->c);
	assert_int_equal(w->store.opened, w->store.closed);
	memory_store_free(&w->store);
	mg_noise_destroy(w->noise);
	mg_arena_destroy(w->a);
}

/* ---- rows and their cells ---- */

static int
name_of(uint32_t content, char *out)
{
	return sprintf(out, "the name of %u", content);
}

static double
value_of(uint32_t content)
{
	return content * 1.5 - 7;
}

static mg_code
load_row(mg_ctx *ctx, mg_curator *c, const row *r)
{
	char name[32];

	mg_load_code(c, GRADE, r->content % 3);
	mg_load_number(c, STEP, r->content % 1000);
	mg_load_text(c, NAME, name, (size_t) name_of(r->content, name));
	if (r->content % 11 > 0)
		mg_load_number(c, VALUE, value_of(r->content));
	mg_load_unit(c, &r->unit, sizeof(r->unit));
	return mg_load_row(ctx, c);
}

static void
load_rows(world *w, const row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(load_row(&w->ctx, w->c, &rows[i]), MG_OK);
	assert_int_equal(mg_load_finish(&w->ctx, w->c), MG_OK);
}

typedef struct reading
{
	world *w;
	row *out;
	size_t n, room;
	const uint64_t *hash_of; /* name hash by content */
	uint32_t contents;
} reading;

/* Cells back into rows; `unit` is the unit's number, or 0 where the table has none. */
static mg_code
read_block(mg_ctx *ctx, void *arg, const mg_block *b)
{
	reading *r = arg;
	mg_codes *t = r->w->c->codes;
	const uint8_t *grade = mg_block_column(&t->column[GRADE], b);
	const uint16_t *step = mg_block_column(&t->column[STEP], b), *name = mg_block_column(&t->column[NAME], b);
	const uint64_t *value = mg_block_column(&t->column[VALUE], b);
	const uint64_t *unit = t->units ? mg_block_column(&t->column[COLUMNS], b) : NULL;
	mg_text *x = t->column[NAME].text;

	for (uint32_t i = 0; i < b->rows; i++)
	{
		uint64_t hash = 0;
		uint32_t content;

		if (name[i] == MG_TEXT_ESCAPE)
			MG_TRY(mg_text_next(ctx, x, t->store, &hash));
		else
			hash = x->hash[name[i] - MG_TEXT_FIRST];
		for (content = step[i]; content < r->contents; content += 1000)
			if (r->hash_of[content] == hash)
				break;
		assert_true(content < r->contents);
		assert_int_equal(grade[i], content % 3);
		if (content % 11 > 0)
			assert_true(mg_key_value(value[i]) == value_of(content));
		else
			assert_true(value[i] == MG_KEY_NULL);
		assert_true(r->n < r->room);
		r->out[r->n++] = (row){unit != NULL ? (uint32_t) unit[i] : 0, content};
	}
	return MG_OK;
}

/* All rows of the table as it is now. */
static row *
rows_kept(world *w, uint32_t contents, size_t room, size_t *n)
{
	uint64_t *hash_of = malloc(contents * sizeof(*hash_of));
	reading r = {w, calloc(room + 1, sizeof(row)), 0, room, hash_of, contents};
	const uint32_t all[COLUMNS + 1] = {0, 1, 2, 3, 4};
	char name[32];

	for (uint32_t i = 0; i < contents; i++)
		hash_of[i] = mg_keyed_hash(w->c->codes->key, name, (size_t) name_of(i, name));
	mg_text_rewind(w->c->codes->column[NAME].text);
	assert_int_equal(mg_codes_pass_in_order(&w->ctx, w->c->codes, all, COLUMNS, read_block, &r), MG_OK);
	assert_int_equal(w->c->codes->rows, r.n);
	free(hash_of);
	*n = r.n;
	return r.out;
}

static int
by_unit_content(const void *x, const void *y)
{
	const row *a = x, *b = y;

	if (a->unit != b->unit)
		return a->unit < b->unit ? -1 : 1;
	return (a->content > b->content) - (a->content < b->content);
}

/* The multiset of contents alone. */
static int
by_content(const void *x, const void *y)
{
	const row *a = x, *b = y;

	return (a->content > b->content) - (a->content < b->content);
}

static void
shuffle(row *rows, size_t n, uint64_t seed)
{
	mg_rng r;

	mg_rng_seed(&r, seed);
	for (size_t i = n; i > 1; i--)
	{
		size_t j = (size_t) (mg_rng_unit(&r) * (double) i);
		row swap = rows[i - 1];

		rows[i - 1] = rows[j];
		rows[j] = swap;
	}
}

/* What a curator keeps of these rows: sorted contents. */
static row *
bounded(const row *rows, size_t n, uint32_t contents, uint32_t k, size_t memory, size_t *nkept)
{
	world w;
	row *kept;

	open_world(&w, k, memory, 1);
	load_rows(&w, rows, n);
	kept = rows_kept(&w, contents, n, nkept);
	close_world(&w);
	return kept;
}

/* ---- what is kept ---- */

static row *
random_rows(size_t n, uint32_t units, uint32_t contents, double skew, uint64_t seed)
{
	row *rows = calloc(n > 0 ? n : 1, sizeof(*rows));
	mg_rng r;

	mg_rng_seed(&r, seed);
	for (size_t i = 0; i < n; i++)
		rows[i] = (row){(uint32_t) (pow(mg_rng_unit(&r), skew) * units), (uint32_t) (mg_rng_unit(&r) * contents)};
	return rows;
}

static const struct
{
	size_t rows;
	uint32_t units, contents, k;
	double skew;
	size_t memory;
} tables[] = {
	{0, 1, 1, 3, 1, LARGE},
	{1, 1, 1, 1, 1, LARGE},
	{500, 60, 5, 1, 1, LARGE},
	{500, 60, 400, 2, 1, LARGE},
	{500, 60, 5, 5, 2, LARGE},
	{40000, 9000, 30000, 2, 1, SMALL},  /* spills, in several levels of merging */
	{40000, 3000, 3, 5, 4, SMALL},      /* identical rows, skew */
	{20000, 1, 20000, 7, 1, SMALL},     /* one unit owns all */
	{20000, 1, 1, 7, 1, SMALL},         /* and all its rows are the same */
	{20000, 20000, 500, 8, 1, SMALL},   /* most units are whole */
	{5120, 5120, 4000, 8192, 0, SMALL}, /* exactly five full groups, nothing dropped: skew 0 puts all in unit `units` */
};
#define TABLES (sizeof(tables) / sizeof(tables[0]))

/*
 * The contract: of each unit min(k, its rows) rows, each of them one of its own, and which ones does not depend on
 * anything but the unit's rows: what the whole table keeps is what each unit would keep if it were alone.
 */
static void
test_each_unit_keeps_its_own_choice(void **state)
{
	for (size_t t = 0; t < TABLES; t++)
	{
		uint32_t k = tables[t].k, contents = tables[t].contents;
		size_t n = tables[t].rows, nkept, nexpected = 0, alone_limit = 300;
		row *rows = random_rows(n, tables[t].units, contents, tables[t].skew, 100 + t), *kept, *expected;
		row *order = malloc((n + 1) * sizeof(*order));

		memcpy(order, rows, n * sizeof(*order));
		shuffle(order, n, 7);
		kept = bounded(order, n, contents, k, tables[t].memory, &nkept);
		qsort(rows, n, sizeof(*rows), by_unit_content);
		expected = calloc(n + 1, sizeof(*expected));
		for (size_t i = 0, j; i < n; i = j)
		{
			for (j = i; j < n && rows[j].unit == rows[i].unit; j++)
				continue;
			nexpected += j - i < k ? j - i : k;
		}
		assert_int_equal(nkept, nexpected);
		/* alone: for tables of few units */
		nexpected = 0;
		for (size_t i = 0, j; i < n && tables[t].units <= alone_limit; i = j)
		{
			size_t some;
			row *own;

			for (j = i; j < n && rows[j].unit == rows[i].unit; j++)
				continue;
			own = bounded(rows + i, j - i, contents, k, tables[t].memory, &some);
			memcpy(expected + nexpected, own, some * sizeof(*own));
			nexpected += some;
			free(own);
		}
		if (tables[t].units <= alone_limit)
		{
			assert_int_equal(nkept, nexpected);
			qsort(kept, nkept, sizeof(*kept), by_content);
			qsort(expected, nexpected, sizeof(*expected), by_content);
			for (size_t i = 0; i < nkept; i++)
				assert_int_equal(kept[i].content, expected[i].content);
		}
		free(rows);
		free(order);
		free(kept);
		free(expected);
	}
}

/* Units by number: each appears at most k times, and its rows are rows that one unit of the table has. */
static void
test_never_more_than_k(void **state)
{
	for (size_t t = 0; t < TABLES; t++)
	{
		uint32_t k = tables[t].k, contents = tables[t].contents;
		size_t n = tables[t].rows, nkept;
		row *rows = random_rows(n, tables[t].units, contents, tables[t].skew, 300 + t), *kept;

		kept = bounded(rows, n, contents, k, tables[t].memory, &nkept);
		qsort(kept, nkept, sizeof(*kept), by_unit_content);
		if (k > 1)
			for (size_t i = 0, j; i < nkept; i = j)
			{
				for (j = i; j < nkept && kept[j].unit == kept[i].unit; j++)
					continue;
				assert_true(j - i <= k);
			}
		free(rows);
		free(kept);
	}
}

/* Neither the order of rows nor the memory shows in what is kept, nor in how it falls into units. */
static void
test_order_and_memory_do_not_matter(void **state)
{
	const size_t n = 20000;
	row *rows = random_rows(n, 3000, 2500, 2, 5), *first = NULL;
	size_t nfirst = 0, most[4] = {SMALL, LARGE, SMALL, 1 << 20};

	for (uint64_t s = 0; s < 4; s++)
	{
		size_t nkept;
		row *kept;

		shuffle(rows, n, 40 + s);
		kept = bounded(rows, n, 2500, 3, most[s], &nkept);
		qsort(kept, nkept, sizeof(*kept), by_unit_content);
		if (s == 0)
		{
			first = kept;
			nfirst = nkept;
			continue;
		}
		assert_int_equal(nkept, nfirst);
		assert_memory_equal(kept, first, nkept * sizeof(*kept));
		free(kept);
	}
	free(first);
	free(rows);
}

/* The choice among a unit's rows is even, follows the key, and is the same under the same key. */
static void
test_choice_is_even_and_keyed(void **state)
{
	enum
	{
		N = 6,
		KEYS = 3000
	};
	row rows[N];
	int taken[N] = {0}, pairs = 0;
	uint8_t saved = unit_key[0], saved1 = unit_key[31];

	for (uint32_t i = 0; i < N; i++)
		rows[i] = (row){9, i < 2 ? 0 : i}; /* two are the same */
	for (int i = 0; i < KEYS; i++)
	{
		size_t n, m = 2;
		row *kept, *again = NULL;

		unit_key[0] = (uint8_t) i;
		unit_key[31] = (uint8_t) (i >> 8);
		kept = bounded(rows, N, N, 2, SMALL, &n);
		if (i % 50 == 0)
			again = bounded(rows, N, N, 2, SMALL, &m);
		assert_int_equal(n, 2);
		assert_int_equal(m, 2);
		if (again != NULL)
			assert_memory_equal(kept, again, 2 * sizeof(*kept));
		for (int j = 0; j < 2; j++)
			taken[kept[j].content]++;
		pairs += kept[0].content == 0 && kept[1].content == 0;
		free(kept);
		free(again);
	}
	unit_key[0] = saved;
	unit_key[31] = saved1;
	/* each row with probability 1/3, the two of content 0 together 2/3; 5 sigma */
	assert_true(fabs(taken[0] - KEYS * 2 / 3.0) < 5 * sqrt(KEYS * 0.36));
	for (int i = 2; i < N; i++)
		assert_true(fabs(taken[i] - KEYS / 3.0) < 5 * sqrt(KEYS * 2 / 9.0));
	/* any of 15 pairs */
	assert_true(fabs(pairs - KEYS / 15.0) < 5 * sqrt(KEYS / 15.0));
}

/* Rows that name no unit are one unit. */
static void
test_rows_without_a_unit_are_one(void **state)
{
	world w;

	open_world(&w, 2, LARGE, 1);
	for (int i = 0; i < 50; i++)
	{
		mg_load_number(w.c, STEP, i);
		assert_int_equal(mg_load_row(&w.ctx, w.c), MG_OK);
	}
	assert_int_equal(mg_load_finish(&w.ctx, w.c), MG_OK);
	assert_int_equal(w.c->codes->rows, 2);
	close_world(&w);
}

/* ---- sensitivity ---- */

#define PEOPLE 12
#define CONTENTS 9

/* Everything exact that a query may see. */
typedef struct exact
{
	int64_t fine[8], marginal[64], labels[CONTENTS], values[CONTENTS], score[2];
} exact;

static mg_code
keep_counts(mg_ctx *ctx, void *arg, uint64_t *value, int64_t *count, size_t n)
{
	uint64_t(*out)[2] = arg;

	for (size_t i = 0; i < n; i++)
	{
		size_t j = 0;

		while (out[j][0] != 0)
			j++;
		out[j][0] = value[i];
		out[j][1] = (uint64_t) count[i];
	}
	return MG_OK;
}

static mg_code
groupby(world *w, uint32_t col, uint64_t (*out)[2])
{
	return (w->c->k > 1 ? mg_codes_groupby_units : mg_codes_groupby)(&w->ctx, w->c->codes, col, 1 << 16, keep_counts,
																	 out);
}

static void
measure_exactly(const row *rows, size_t n, uint32_t k, exact *out)
{
	static const mg_cell cells[3] = {{-100, -3}, {-3, 1}, {1, 100}};
	static const int64_t answer[24] = {3, 1, 4};
	const uint32_t pair[2] = {GRADE, VALUE};
	const mg_candidate cand[2] = {{.k = 2, .cols = pair, .answer = answer, .penalty = 2},
								  {.k = 1, .cols = pair, .answer = answer}};
	uint16_t step_merge[1002] = {0}, grade_merge[5] = {0, 1, 2, 3, 4}, value_merge[4] = {0, 1, 2, 3};
	uint16_t name_merge[2] = {0, 1};
	const uint16_t *merge[COLUMNS] = {grade_merge, step_merge, name_merge, value_merge};
	const uint32_t ncoarse[COLUMNS] = {5, 1, 2, 4};
	uint64_t found[CONTENTS + 1][2];
	mg_selection *s;
	char name[32];
	world w;

	memset(out, 0, sizeof(*out));
	open_world(&w, k, SMALL, 3);
	load_rows(&w, rows, n);
	memset(found, 0, sizeof(found));
	assert_int_equal(groupby(&w, NAME, found), MG_OK);
	for (uint32_t i = 0; i < CONTENTS; i++)
		for (size_t j = 0; found[j][0] != 0; j++)
			if (found[j][0] == mg_keyed_hash(w.c->codes->key, name, (size_t) name_of(i, name)))
				out->labels[i] = (int64_t) found[j][1];
	memset(found, 0, sizeof(found));
	assert_int_equal(groupby(&w, VALUE, found), MG_OK);
	for (uint32_t i = 0; i < CONTENTS; i++)
		for (size_t j = 0; found[j][0] != 0; j++)
			if (mg_key_value(found[j][0]) == value_of(i))
				out->values[i] = (int64_t) found[j][1];
	assert_int_equal(mg_curator_fix_labels(&w.ctx, w.c, NAME, NULL, 0), MG_OK);
	assert_int_equal(mg_curator_fix_number(&w.ctx, w.c, VALUE, cells, 3), MG_OK);
	assert_int_equal(mgc_exact_fine(&w.ctx, w.c, VALUE, out->fine), MG_OK);
	assert_int_equal(mg_curator_recode(&w.ctx, w.c, merge, ncoarse), MG_OK);
	assert_int_equal(mgc_exact_marginal(&w.ctx, w.c, pair, 2, out->marginal), MG_OK);
	assert_int_equal(mg_selection_begin(&w.ctx, w.c, cand, 2, NULL, NULL, &s), MG_OK);
	memcpy(out->score, mgc_selection_scores(s), sizeof(out->score));
	mg_selection_end(s);
	close_world(&w);
}

static int64_t
l1(const int64_t *x, const int64_t *y, size_t n)
{
	int64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += x[i] > y[i] ? x[i] - y[i] : y[i] - x[i];
	return sum;
}

static int64_t
most_of(const int64_t *x, const int64_t *y, size_t n)
{
	int64_t most = 0;

	for (size_t i = 0; i < n; i++)
		most = llabs(x[i] - y[i]) > most ? llabs(x[i] - y[i]) : most;
	return most;
}

/*
 * Each unit of random tables removed in turn: histograms, marginals and scores move by at most k, and somewhere by k;
 * the counts of labels by at most one each, at most k of them. Without the bounding the same tables go beyond all of
 * it.
 */
static void
test_sensitivity_is_k(void **state)
{
	static const uint32_t ks[] = {1, 2, 5};

	for (int i = 0; i < 3; i++)
	{
		int64_t rows_most = 0, score_most = 0, labels_most = 0, free_rows = 0, free_each = 0;
		const int64_t k = ks[i];

		for (uint64_t s = 0; s < 6; s++)
		{
			size_t n = 90;
			row *rows = random_rows(n, PEOPLE, CONTENTS, 1.5, 900 + s);
			exact all, unbounded;

			measure_exactly(rows, n, ks[i], &all);
			measure_exactly(rows, n, 0, &unbounded);
			for (uint32_t u = 0; u < PEOPLE; u++)
			{
				row others[90];
				exact less;
				size_t m = 0;

				for (size_t j = 0; j < n; j++)
					if (rows[j].unit != u)
						others[m++] = rows[j];
				measure_exactly(others, m, ks[i], &less);
				assert_true(l1(all.fine, less.fine, 8) <= k);
				assert_true(l1(all.marginal, less.marginal, 64) <= k);
				assert_true(most_of(all.score, less.score, 2) <= k);
				assert_true(most_of(all.labels, less.labels, CONTENTS) <= 1);
				assert_true(most_of(all.values, less.values, CONTENTS) <= 1);
				assert_true(l1(all.labels, less.labels, CONTENTS) <= k);
				assert_true(l1(all.values, less.values, CONTENTS) <= k);
				rows_most = fmax(rows_most, l1(all.marginal, less.marginal, 64));
				score_most = fmax(score_most, most_of(all.score, less.score, 2));
				labels_most = fmax(labels_most, l1(all.labels, less.labels, CONTENTS));
				measure_exactly(others, m, 0, &less);
				free_rows = fmax(free_rows, l1(unbounded.marginal, less.marginal, 64));
				free_each = fmax(free_each, most_of(unbounded.labels, less.labels, CONTENTS));
			}
			free(rows);
		}
		assert_int_equal(rows_most, k);
		assert_true(score_most == k);
		assert_int_equal(labels_most, k);
		assert_true(free_rows > 5 && free_each > 1);
	}
}

/*
 * Distinct units of each label, against counting by hand: by sorting where the dictionary overflows, by bits in one
 * pass, and by bits in several passes of a memory that is too small for one.
 */
static void
test_units_of_a_label_are_counted_once(void **state)
{
	static const struct
	{
		size_t memory;
		uint32_t units, contents, k;
	} cases[] = {{SMALL, 900, 4000, 40}, {LARGE, 900, 4000, 40}, {SMALL, 4000, 200, 9}};
	const size_t n = 30000;

	for (size_t m = 0; m < sizeof(cases) / sizeof(cases[0]); m++)
	{
		const uint32_t contents = cases[m].contents;
		row *rows = random_rows(n, cases[m].units, contents, 2, 77), *kept;
		int64_t *expected = calloc(contents, sizeof(*expected));
		size_t nkept, different = 0;
		mg_released r;
		world w;

		open_world(&w, cases[m].k, cases[m].memory, 5);
		load_rows(&w, rows, n);
		assert_int_equal(mg_text_escapes(w.c->codes->column[NAME].text) > 0, m == 0);
		kept = rows_kept(&w, contents, n, &nkept);
		qsort(kept, nkept, sizeof(*kept), by_unit_content);
		for (size_t i = 0; i < nkept; i++)
			if (i == 0 || by_unit_content(&kept[i], &kept[i - 1]) != 0)
				expected[kept[i].content]++, different++;
		assert_true(different < nkept); /* or the test has no power */
		assert_int_equal(w.c->codes->nunits, kept[nkept - 1].unit + 1);
		assert_int_equal(mg_curator_release(&w.ctx, w.c, NAME, exactly, 0.9, MG_MAX_LABELS, w.a, &r), MG_OK);
		assert_true(r.count > 0);
		for (uint32_t i = 0; i < r.count; i++)
		{
			uint32_t content = (uint32_t) atoi(r.labels[i].text + 12);

			assert_int_equal(r.noisy[i], expected[content]);
			expected[content] = 0;
		}
		for (uint32_t i = 0; i < contents; i++)
			assert_true(expected[i] < r.threshold);
		free(rows);
		free(kept);
		free(expected);
		close_world(&w);
	}
}

/* ---- charges and laws ---- */

static void
test_charges_follow_k(void **state)
{
	static const uint32_t ks[] = {1, 2, 5, 8192};
	const mg_ratio sigma2 = {1 << 20, 3};
	const double unit = 3.0 / (2 << 20), near = 1e-12;

	for (int i = 0; i < 4; i++)
	{
		const uint16_t step[1001] = {0}, grade[5] = {0, 1, 2, 3, 3}, name[2] = {0, 1}, value[3] = {0, 1, 2};
		const uint16_t *merge[COLUMNS] = {grade, step, name, value};
		const uint32_t ncoarse[COLUMNS] = {4, 1, 2, 3}, both[2] = {GRADE, NAME}, fine = 5;
		const mg_cell cells[2] = {{0, 1}, {1, 2}};
		const double k = ks[i], squared = k * k;
		const row one = {1, 1};
		int64_t noisy[64], *levels[1] = {noisy}, answer[4] = {0};
		const mg_candidate cand = {.k = 1, .cols = both, .answer = answer};
		const double cut = 3;
		mg_released r;
		mg_selection *s;
		mg_ratio derived;
		size_t chosen;
		world w;

		open_world(&w, ks[i], LARGE, 9);
		load_rows(&w, &one, 1);
		assert_int_equal(mg_curator_rows_per_unit(w.c), ks[i]);
#define CHARGED(call, rho)                                      \
	do                                                          \
	{                                                           \
		mg_odometer_init(&w.odometer, 1e15, 1);                 \
		assert_int_equal(call, MG_OK);                          \
		assert_true(w.odometer.rho_used >= (rho));              \
		assert_true(w.odometer.rho_used <= (rho) * (1 + near)); \
	} while (0)
		CHARGED(mg_curator_cells(&w.ctx, w.c, VALUE, &cut, 1, sigma2, noisy), squared * unit);
		CHARGED(mg_curator_release(&w.ctx, w.c, NAME, sigma2, 0.01, 9, w.a, &r), k * unit);
		assert_true(fabs(w.odometer.delta_used - 0.01) < 1e-15);
		/* what the threshold was asked for: delta / k for each label */
		assert_true(k * mg_discrete_gaussian_tail(sigma2, r.threshold - 1) <= 0.01 * (1 + 1e-12));
		assert_true(k * mg_discrete_gaussian_tail(sigma2, r.threshold - 2) > 0.01);
		CHARGED(mg_curator_hierarchy(&w.ctx, w.c, GRADE, 1, &fine, NULL, &sigma2, levels), squared * unit);
		assert_int_equal(mg_curator_fix_labels(&w.ctx, w.c, NAME, NULL, 0), MG_OK);
		assert_int_equal(mg_curator_fix_number(&w.ctx, w.c, VALUE, cells, 2), MG_OK);
		assert_int_equal(mg_curator_recode(&w.ctx, w.c, merge, ncoarse), MG_OK);
		CHARGED(mg_curator_marginal(&w.ctx, w.c, both, 2, sigma2, noisy), squared * unit);
		assert_int_equal(mg_selection_begin(&w.ctx, w.c, &cand, 1, NULL, NULL, &s), MG_OK);
		CHARGED(mg_selection_choose(&w.ctx, s, NULL, (mg_ratio){1, UINT64_C(1) << 40}, &chosen), 0x1p-80 / 8);
		assert_int_equal(mg_selection_choose(&w.ctx, s, NULL, (mg_ratio){1, UINT64_C(1) << 53}, &chosen),
						 ks[i] > 1 ? MG_INVALID : MG_OK);
		mg_selection_end(s);
		/* callers who ask for the noise that rho buys pay rho, and no more */
		assert_true(mg_noise_for_rows(0.001, ks[i], &derived));
		mg_odometer_init(&w.odometer, 1e15, 1);
		assert_int_equal(mg_curator_marginal(&w.ctx, w.c, both, 2, derived, noisy), MG_OK);
		assert_true(w.odometer.rho_used >= 0.001 * (1 - 1e-5));
		assert_true(w.odometer.rho_used <= 0.001 * (1 + 1e-9));
		assert_true(mg_noise_for_labels(0.001, ks[i], &derived));
		assert_true(fabs(mg_ratio_value(derived) - k / 0.002) < 1e-3);
		/* also where that is more than a fine ratio can hold */
		CHARGED(mg_noise_for_rows(3e-8, ks[i], &derived) ? mg_curator_marginal(&w.ctx, w.c, both, 2, derived, noisy)
														 : MG_INVALID,
				3e-8 * (1 - 2e-13));
		assert_true(w.odometer.rho_used <= 3e-8 * (1 + 1e-9));
		assert_false(mg_noise_for_rows(0, ks[i], &derived) || mg_noise_for_rows(NAN, ks[i], &derived));
		assert_false(mg_noise_for_rows(1e-17, ks[i], &derived));
		close_world(&w);
	}
}

/* Two candidates whose scores differ by g: the odds are exp(epsilon g / 2k). */
static void
test_selection_scales_by_k(void **state)
{
	enum
	{
		DRAWS = 20000
	};
	static const uint32_t ks[] = {1, 4};

	for (int i = 0; i < 2; i++)
	{
		const uint16_t step[1001] = {0}, grade[5] = {0, 1, 2, 3, 3}, name[2] = {0, 1}, value[3] = {0, 1, 2};
		const uint16_t *merge[COLUMNS] = {grade, step, name, value};
		const uint32_t ncoarse[COLUMNS] = {4, 1, 2, 3}, col = STEP;
		const mg_cell cells[2] = {{0, 1}, {1, 2}};
		const int64_t answer[2] = {0, 6};
		const mg_candidate cand[2] = {{.k = 1, .cols = &col, .answer = &answer[0]},
									  {.k = 1, .cols = &col, .answer = &answer[1], .penalty = 0}};
		row *rows = random_rows(0, 1, 1, 1, 1);
		double p = 1 / (1 + exp(-0.5 * 6 / (2.0 * ks[i]))), hits = 0;
		mg_selection *s;
		world w;

		open_world(&w, ks[i], LARGE, 21);
		load_rows(&w, rows, 0);
		assert_int_equal(mg_curator_fix_labels(&w.ctx, w.c, NAME, NULL, 0), MG_OK);
		assert_int_equal(mg_curator_fix_number(&w.ctx, w.c, VALUE, cells, 2), MG_OK);
		assert_int_equal(mg_curator_recode(&w.ctx, w.c, merge, ncoarse), MG_OK);
		assert_int_equal(mg_selection_begin(&w.ctx, w.c, cand, 2, NULL, NULL, &s), MG_OK);
		for (int d = 0; d < DRAWS; d++)
		{
			size_t chosen;

			assert_int_equal(mg_selection_choose(&w.ctx, s, NULL, (mg_ratio){1, 2}, &chosen), MG_OK);
			hits += chosen == 1;
		}
		assert_true(fabs(hits - p * DRAWS) < 5 * sqrt(p * (1 - p) * DRAWS));
		mg_selection_end(s);
		close_world(&w);
		free(rows);
	}
}

/* A unit whose k rows hold k labels that nobody else has: one of them is named with probability at most delta. */
static void
test_labels_of_one_unit_share_delta(void **state)
{
	enum
	{
		TRIES = 6000,
		K = 5
	};
	const mg_ratio sigma2 = {16, 1};
	const double delta = 0.2;
	int named = 0;
	double each;

	for (uint64_t i = 0; i < TRIES; i++)
	{
		mg_released r;
		world w;

		open_world(&w, K, SMALL, 5000 + i);
		for (uint32_t j = 0; j < 8; j++)
			assert_int_equal(load_row(&w.ctx, w.c, &(row){3, j}), MG_OK);
		assert_int_equal(mg_load_finish(&w.ctx, w.c), MG_OK);
		assert_int_equal(mg_curator_release(&w.ctx, w.c, NAME, sigma2, delta, 100, w.a, &r), MG_OK);
		named += r.count > 0;
		each = mg_discrete_gaussian_tail(sigma2, r.threshold - 1);
		close_world(&w);
	}
	assert_true(named < (delta + 4 * sqrt(delta * (1 - delta) / TRIES)) * TRIES);
	/* and the law is what it should be: independent labels, each by its own tail */
	assert_true(fabs(named - (1 - pow(1 - each, K)) * TRIES) < 5 * sqrt(delta * TRIES));
}

/* ---- a whole training ---- */

static void
fit(uint32_t k, uint32_t asked, mg_code expected, double *total, double *noise)
{
	const size_t n = 6000;
	row *rows = random_rows(n, 500, 40, 1, 11);
	mg_fit_request req = {.domains = domains, .ncolumns = COLUMNS, .allowance = {0.5, 1e-6}, .rows_per_unit = asked};
	mg_model *m = NULL;
	mg_plan plan;
	world w;

	open_world(&w, k, 8 << 20, 31);
	mg_odometer_init(&w.odometer, 0.5, 1e-6);
	load_rows(&w, rows, n);
	assert_int_equal(mg_method_mst.fit(&w.ctx, w.c, &req, &m), expected);
	assert_true(w.odometer.rho_used <= 0.5 * (1 + 1e-9));
	if (expected == MG_OK)
	{
		assert_true(w.odometer.rho_used > 0.5 * 0.99); /* what was reserved buys noise, whatever k */
		*total = m->total;
		mg_model_destroy(m);
		assert_int_equal(mg_method_mst.plan(&w.ctx, w.a, &req, &plan), MG_OK);
		*noise = 0;
		for (uint32_t i = 0; i < plan.count; i++)
			if (strcmp(plan.item[i].what, "pair marginals") == 0 || strcmp(plan.item[i].what, "fine histogram") == 0)
				*noise += plan.item[i].sigma;
	}
	free(rows);
	close_world(&w);
}

static void
test_trainings_follow_k(void **state)
{
	double total[3], noise[3];

	fit(0, 1, MG_OK, &total[0], &noise[0]);
	fit(1, 0, MG_OK, &total[1], &noise[1]);
	fit(MG_MAX_ROWS_PER_UNIT, MG_MAX_ROWS_PER_UNIT, MG_OK, &total[2], &noise[2]); /* drowns, but trains */
	fit(5, 5, MG_OK, &total[2], &noise[2]);
	assert_true(fabs(total[0] - 6000) < 30);
	assert_true(fabs(total[1] - 500) < 30);
	assert_true(fabs(total[2] - 2500) < 150);
	assert_true(fabs(noise[1] / noise[0] - 1) < 1e-3);
	assert_true(fabs(noise[2] / noise[0] - 5) < 1e-2);
	/* a request that thinks noise need not follow is refused */
	fit(5, 1, MG_INVALID, &total[0], &noise[0]);
	fit(5, 0, MG_INVALID, &total[0], &noise[0]);
}

/* ---- failures ---- */

static void
test_failures_leave_nothing_open(void **state)
{
	const size_t n = 9000;
	row *rows = random_rows(n, 2000, 5000, 1, 3);
	int failed = 0, bounded_failed = 0;

	for (int64_t after = 0; after < 700; after += 1 + after / 9)
	{
		mg_code code = MG_OK;
		int64_t noisy[4];
		double cut = 1;
		world w;

		open_world(&w, 3, SMALL, 1);
		w.store.fail_after = after;
		for (size_t i = 0; i < n && code == MG_OK; i++)
			code = load_row(&w.ctx, w.c, &rows[i]);
		failed += code != MG_OK;
		if (code == MG_OK)
		{
			code = mg_load_finish(&w.ctx, w.c);
			if (code != MG_OK)
			{
				/* an unbounded table answers nothing */
				bounded_failed++;
				assert_int_equal(code, MG_IO);
				assert_int_equal(mg_curator_cells(&w.ctx, w.c, VALUE, &cut, 1, exactly, noisy), MG_INVALID);
			}
		}
		close_world(&w);
	}
	assert_true(failed > 2 && bounded_failed > 2);
	free(rows);
}

static bool
cancelled(void *arg)
{
	return ++*(int *) arg > 60;
}

static void
test_cancel(void **state)
{
	const size_t n = 60000;
	row *rows = random_rows(n, 2000, 5000, 1, 3);
	mg_code code = MG_OK;
	int polls = 0;
	world w;

	open_world(&w, 3, LARGE, 1);
	w.ctx.cancel = cancelled;
	w.ctx.cancel_arg = &polls;
	for (size_t i = 0; i < n && code == MG_OK; i++)
		code = load_row(&w.ctx, w.c, &rows[i]);
	assert_int_equal(code, MG_OK);
	polls = 57;
	assert_int_equal(mg_load_finish(&w.ctx, w.c), MG_CANCELLED);
	close_world(&w);
	free(rows);
}

static void
test_bad_limits_are_refused(void **state)
{
	static const uint32_t bad[] = {0, MG_MAX_ROWS_PER_UNIT + 1, UINT32_MAX};

	for (int i = 0; i < 3; i++)
	{
		mg_units units = {bad[i], unit_key};
		mg_odometer odometer;
		mg_curator *c;
		mg_ctx ctx;

		mg_ctx_init(&ctx);
		mg_odometer_init(&odometer, 1, 0);
		assert_int_equal(mg_curator_create_for_units(&ctx, domains, COLUMNS, &units, NULL, &odometer, NULL, LARGE, &c),
						 MG_INVALID);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_unit_keeps_its_own_choice),
		cmocka_unit_test(test_never_more_than_k),
		cmocka_unit_test(test_order_and_memory_do_not_matter),
		cmocka_unit_test(test_choice_is_even_and_keyed),
		cmocka_unit_test(test_rows_without_a_unit_are_one),
		cmocka_unit_test(test_sensitivity_is_k),
		cmocka_unit_test(test_units_of_a_label_are_counted_once),
		cmocka_unit_test(test_charges_follow_k),
		cmocka_unit_test(test_selection_scales_by_k),
		cmocka_unit_test(test_labels_of_one_unit_share_delta),
		cmocka_unit_test(test_trainings_follow_k),
		cmocka_unit_test(test_failures_leave_nothing_open),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_bad_limits_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
