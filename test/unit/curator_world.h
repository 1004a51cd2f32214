/*
 * test/unit/curator_world.h: what the tests of the curator share: columns of every kind, rows that fill them, a curator
 * over them with seeded noise, and what its queries have to give, by brute force over the rows. Included after
 * cmocka.h.
 *
 * Exactness is seen through queries of a variance of 2^-20: a discrete Gaussian of sigma 0.001 is 0 but with
 * probability e^-500000.
 */
#ifndef MIRAGE_TEST_CURATOR_WORLD_H
#define MIRAGE_TEST_CURATOR_WORLD_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "curator/curator_private.h"
#include "memory_store.h"
#include "num/rng.h"
#include "seeded_noise.h"

#define COLUMNS 7
#define SMALL (256u << 10) /* 1,024 rows a group, 2 resident groups before recoding and 12 after */
#define LARGE (64u << 20)

enum
{
	COLOUR, /* closed category of 5 labels, loaded as text */
	CODE,   /* closed category of 300 labels, loaded as codes */
	AGE,    /* closed 0..90, step 1 */
	HALF,   /* closed -100..100, step 1/2 */
	TOWN,   /* open text */
	PAY,    /* open number */
	REAL    /* closed -1..1, continuous */
};

static const mg_ratio exactly = {1, 1 << 20};
static const mg_label colours[] = {{"red", 3},
								   {"green", 5},
								   {"blue", 4},
								   {"", 0},
								   {"a label that is longer than the cache", 37}};
static mg_label codes[300];

static inline void
fill_domains(mg_domain d[COLUMNS])
{
	for (int i = 0; i < 300; i++)
		codes[i] = (mg_label){"x", 1}; /* loaded by code: the text does not matter */
	memset(d, 0, COLUMNS * sizeof(*d));
	d[COLOUR] = (mg_domain){.name = "colour",
							.kind = MG_CATEGORY,
							.nullable = true,
							.has_other = true,
							.nlabels = 5,
							.labels = colours};
	d[CODE] = (mg_domain){.name = "code", .kind = MG_CATEGORY, .nlabels = 300, .labels = codes};
	d[AGE] = (mg_domain){.name = "age", .kind = MG_NUMBER, .nullable = true, .upper = 90, .step = 1};
	d[HALF] = (mg_domain){.name = "half", .kind = MG_NUMBER, .lower = -100, .upper = 100, .step = 0.5};
	d[TOWN] = (mg_domain){.name = "town", .kind = MG_CATEGORY, .nullable = true, .open = true, .has_other = true};
	d[PAY] = (mg_domain){
		.name = "pay", .kind = MG_NUMBER, .nullable = true, .open = true, .lower = -1e300, .upper = 1e300, .step = 1};
	d[REAL] = (mg_domain){.name = "real", .kind = MG_NUMBER, .lower = -1, .upper = 1};
}

/* A row as the test made it. */
typedef struct row
{
	bool null[COLUMNS];
	char text[2][64]; /* COLOUR, TOWN */
	uint32_t len[2];
	uint32_t code;
	double number[COLUMNS];
} row;

#define LONG_TEXT 2000 /* a len of more than MG_MAX_LABEL_BYTES stands for that many letters */

static inline void
make_row(mg_rng *r, row *w, uint32_t towns)
{
	static const double odd[] = {NAN, INFINITY, -INFINITY, -0.0, 1e308, -1e308, 90.4, -0.6};
	uint64_t u = mg_rng_u64(r);

	memset(w, 0, sizeof(*w));
	for (int j = 0; j < COLUMNS; j++)
	{
		w->null[j] = mg_rng_u64(r) % 13 == 0;
		w->number[j] =
			mg_rng_u64(r) % 10 == 0 ? odd[mg_rng_u64(r) % 8] : (double) (int) (mg_rng_unit(r) * mg_rng_unit(r) * 100);
	}
	if (mg_rng_u64(r) % 2)
		w->number[REAL] = mg_rng_unit(r) * 2.2 - 1.1;
	w->number[HALF] = w->number[HALF] * 3 - 120 + 0.13;
	if (u % 7 < 5)
	{
		w->len[0] = colours[u % 7].len;
		memcpy(w->text[0], colours[u % 7].text, w->len[0]);
	}
	else
		w->len[0] = (uint32_t) sprintf(w->text[0], "redd%d", (int) (u % 3));
	w->code = (uint32_t) (mg_rng_unit(r) * 310);
	if (mg_rng_u64(r) % 50 == 0)
		w->len[1] = LONG_TEXT;
	else
		w->len[1] =
			(uint32_t) sprintf(w->text[1], "town %d", (int) (mg_rng_unit(r) * mg_rng_unit(r) * mg_rng_unit(r) * towns));
}

static inline void
load_rows(mg_ctx *ctx, mg_curator *c, const row *w, size_t n, size_t leave_out)
{
	static char letters[LONG_TEXT];

	memset(letters, 'z', sizeof(letters));
	for (size_t i = 0; i < n; i++)
	{
		if (i == leave_out)
			continue;
		for (uint32_t j = 0; j < COLUMNS; j++)
		{
			if (w[i].null[j])
			{
				if (i % 2) /* no call at all is NULL, too */
					mg_load_null(c, j);
			}
			else if (j == COLOUR)
				mg_load_text(c, j, w[i].text[0], w[i].len[0]);
			else if (j == TOWN)
				mg_load_text(c, j, w[i].len[1] == LONG_TEXT ? letters : w[i].text[1], w[i].len[1]);
			else if (j == CODE)
				mg_load_code(c, j, w[i].code);
			else
				mg_load_number(c, j, w[i].number[j]);
		}
		assert_int_equal(mg_load_row(ctx, c), MG_OK);
	}
	assert_int_equal(mg_load_finish(ctx, c), MG_OK);
}

typedef struct world
{
	mg_ctx ctx;
	mg_noise *noise;
	mg_odometer odometer;
	memory_store store;
	mg_arena *a;
	mg_curator *c;
	mg_domain domain[COLUMNS];
} world;

static inline void
open_world(world *w, size_t memory, int threads, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	mg_ctx_init(&w->ctx);
	if (threads > 0)
		w->ctx.pool = mg_pool_create(threads);
	w->noise = seeded_noise(seed);
	mg_odometer_init(&w->odometer, 1e15, 1);
	memory_store_init(&w->store);
	w->a = mg_arena_create(0);
	fill_domains(w->domain);
	assert_int_equal(mg_curator_create(&w->ctx, w->domain, COLUMNS, w->noise, &w->odometer, &w->store.store, memory,
									   &w->c),
					 MG_OK);
}

static inline void
close_world(world *w)
{
	mg_curator_destroy(w->c);
	assert_int_equal(w->store.opened, w->store.closed);
	memory_store_free(&w->store);
	mg_noise_destroy(w->noise);
	mg_arena_destroy(w->a);
	mg_pool_destroy(w->ctx.pool);
}

static inline row *
make_rows(size_t n, uint32_t towns, uint64_t seed)
{
	row *w = calloc(n > 0 ? n : 1, sizeof(*w));
	mg_rng r;

	mg_rng_seed(&r, seed);
	for (size_t i = 0; i < n; i++)
		make_row(&r, &w[i], towns);
	return w;
}

/* ---- the oracle ---- */

#define PAY_CELLS 12
#define REAL_CELLS 8
#define TOWNS 3
static const mg_label towns[TOWNS] = {{"town 0", 6}, {"town 5", 6}, {"town 17", 7}};
static mg_cell pay_cells[PAY_CELLS], real_cells[REAL_CELLS];
static const uint32_t nfine_of[COLUMNS] = {7, 302, 92, 402, TOWNS + 2, PAY_CELLS + 1, REAL_CELLS + 1};

static inline void
fill_cells(void)
{
	for (int i = 0; i < PAY_CELLS; i++)
		pay_cells[i] = (mg_cell){i * 8, (i + 1) * 8};
	for (int i = 0; i < REAL_CELLS; i++)
		real_cells[i] = (mg_cell){-1 + i * 0.25, -0.75 + i * 0.25};
}

/* What the contract says the fine cell of a value is, once open columns are fixed to the cells and towns above. */
static inline uint32_t
fine_by_contract(const row *w, uint32_t j)
{
	double v = w->number[j];
	uint32_t null_cell = nfine_of[j] - 1;

	if (w->null[j])
		return null_cell;
	if (j == COLOUR || j == TOWN)
	{
		const mg_label *l = j == COLOUR ? colours : towns;
		uint32_t n = nfine_of[j] - 2, k = j == COLOUR ? 0 : 1;

		for (uint32_t i = 0; i < n && w->len[k] != LONG_TEXT; i++)
			if (l[i].len == w->len[k] && memcmp(l[i].text, w->text[k], w->len[k]) == 0)
				return i;
		return n;
	}
	if (j == CODE)
		return w->code < 300 ? w->code : 300;
	if (!isfinite(v))
		return null_cell;
	if (j == AGE)
		return (uint32_t) lround(fmin(fmax(v, 0), 90));
	if (j == HALF)
		return (uint32_t) lround((fmin(fmax(v, -100), 100) + 100) * 2);
	if (j == PAY)
		return (uint32_t) fmin(fmax(floor(v / 8), 0), PAY_CELLS - 1);
	return (uint32_t) fmin(fmax(floor((fmin(fmax(v, -1), 1) + 1) * 4), 0), REAL_CELLS - 1);
}

static inline void
fix_open(world *w)
{
	fill_cells();
	assert_int_equal(mg_curator_fix_labels(&w->ctx, w->c, TOWN, towns, TOWNS), MG_OK);
	assert_int_equal(mg_curator_fix_number(&w->ctx, w->c, PAY, pay_cells, PAY_CELLS), MG_OK);
	assert_int_equal(mg_curator_fix_number(&w->ctx, w->c, REAL, real_cells, REAL_CELLS), MG_OK);
}

static inline uint32_t
coarse_count(uint32_t j)
{
	return nfine_of[j] < 300 ? (nfine_of[j] + 1) / 2 : nfine_of[j] - 1; /* CODE and HALF stay wider than a byte */
}

static uint16_t
coarse_of(uint32_t j, uint32_t fine)
{
	return (uint16_t) (nfine_of[j] < 300 ? fine / 2 : fine > 0 ? fine - 1 : 0);
}

static inline void
recode_all(world *w)
{
	const uint16_t *merge[COLUMNS];
	uint32_t ncoarse[COLUMNS];

	for (uint32_t j = 0; j < COLUMNS; j++)
	{
		uint16_t *m = mg_arena_alloc(w->a, nfine_of[j], sizeof(*m));

		for (uint32_t i = 0; i < nfine_of[j]; i++)
			m[i] = coarse_of(j, i);
		merge[j] = m;
		ncoarse[j] = coarse_count(j);
	}
	assert_int_equal(mg_curator_recode(&w->ctx, w->c, merge, ncoarse), MG_OK);
}

static inline size_t
marginal_cells(const uint32_t *cols, uint32_t k)
{
	size_t n = 1;

	for (uint32_t i = 0; i < k; i++)
		n *= coarse_count(cols[i]);
	return n;
}

static inline int64_t *
marginal_by_force(const row *w, size_t n, const uint32_t *cols, uint32_t k)
{
	int64_t *m = calloc(marginal_cells(cols, k), sizeof(*m));

	for (size_t i = 0; i < n; i++)
	{
		size_t at = 0;

		for (uint32_t j = 0; j < k; j++)
			at = at * coarse_count(cols[j]) + coarse_of(cols[j], fine_by_contract(&w[i], cols[j]));
		m[at]++;
	}
	return m;
}

static inline bool
same_text(const row *a, const row *b)
{
	return a->len[1] == b->len[1] && a->len[1] != LONG_TEXT && memcmp(a->text[1], b->text[1], a->len[1]) == 0;
}

static inline int64_t
occurrences(const row *rows, size_t n, uint32_t col, const row *like)
{
	int64_t count = 0;

	for (size_t i = 0; i < n; i++)
		count +=
			!rows[i].null[col] && (col == TOWN ? same_text(&rows[i], like) : rows[i].number[col] == like->number[col]);
	return count;
}

static inline void
fill_answer(void *arg, size_t i, int64_t *out)
{
	const mg_candidate *cand = arg;
	size_t cells = marginal_cells(cand[i].cols, cand[i].k);

	for (size_t k = 0; k < cells; k++)
		out[k] = (int64_t) (k * 7919 % 41) - 10;
}

#endif
