/*
 * test/unit/test_pack.c: rows that are held once, with a weight: the pack by itself against sorted rows, then every
 * query of the curator over tables that are packed in part, against brute force, and the same as without packing.
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
#include "memory_store.h"
#include "num/rng.h"
#include "seeded_noise.h"

#define ODD UINT64_C(0x9e3779b97f4a7c15)

/* ---- the pack ---- */

#define GROUP 1024u
static const mg_pack_column layout[4] = {{0, 2}, {2 * GROUP, 8}, {10 * GROUP, 1}, {11 * GROUP, 2}};
#define GROUP_BYTES (13 * GROUP)

typedef struct packed_row
{
	uint64_t cell[4];
	uint64_t times;
} packed_row;

static uint64_t
cell_at(const uint8_t *base, int j, uint32_t i)
{
	uint64_t v = 0;

	memcpy(&v, base + layout[j].offset + (size_t) i * layout[j].width, layout[j].width);
	return v;
}

static void
put_cell(uint8_t *base, int j, uint32_t i, uint64_t v)
{
	memcpy(base + layout[j].offset + (size_t) i * layout[j].width, &v, layout[j].width);
}

static int
by_cells(const void *a, const void *b)
{
	return memcmp(((const packed_row *) a)->cell, ((const packed_row *) b)->cell, sizeof(((packed_row *) 0)->cell));
}

/* Sorts and merges; returns how many are left. */
static size_t
merge_rows(packed_row *r, size_t n)
{
	size_t m = 0;

	qsort(r, n, sizeof(*r), by_cells);
	for (size_t i = 0; i < n; i++)
		if (m > 0 && by_cells(&r[m - 1], &r[i]) == 0)
			r[m - 1].times += r[i].times;
		else
			r[m++] = r[i];
	return m;
}

/* Rows with `values` values in a column, times weights or once each. */
static void
check_pack(uint32_t values, bool weights, uint32_t groups, uint64_t seed, uint64_t odd)
{
	uint8_t *base = malloc(GROUP_BYTES);
	packed_row *in = calloc((size_t) groups * GROUP, sizeof(*in)), *out;
	uint16_t weight[GROUP];
	size_t n = 0, m = 0;
	uint64_t held;
	mg_pack *p;
	mg_ctx ctx;
	mg_rng r;

	mg_ctx_init(&ctx);
	mg_rng_seed(&r, seed);
	assert_int_equal(mg_pack_create(&ctx, layout, 4, GROUP, 64 * GROUP, 8 << 20, odd, 2, &p), MG_OK);
	assert_non_null(p);
	for (uint32_t g = 0; g < groups; g++)
	{
		uint32_t rows = g + 1 < groups ? GROUP : GROUP / 3;

		for (uint32_t i = 0; i < rows; i++)
		{
			weight[i] =
				(uint16_t) (mg_rng_u64(&r) % 3 == 0 ? mg_rng_u64(&r) % (MG_MOST_WEIGHT + 1) : mg_rng_u64(&r) % 3);
			for (int j = 0; j < 4; j++)
			{
				put_cell(base, j, i, mg_rng_u64(&r) % values * (j == 1 ? odd : 1));
				in[n].cell[j] = cell_at(base, j, i);
			}
			in[n].times = weights ? weight[i] : 1;
			n += in[n].times > 0; /* rows of weight 0 are none */
		}
		mg_pack_add(p, base, rows, weights ? weight : NULL);
	}
	held = mg_pack_rows(p);
	out = calloc((size_t) held + 1, sizeof(*out));
	for (uint64_t first = 0; first < held; first += GROUP)
	{
		uint32_t rows = held - first < GROUP ? (uint32_t) (held - first) : GROUP;

		mg_pack_get(p, first, rows, base, weight);
		for (uint32_t i = 0; i < rows; i++, m++)
		{
			assert_in_range(weight[i], 1, MG_MOST_WEIGHT);
			out[m].times = weight[i];
			for (int j = 0; j < 4; j++)
				out[m].cell[j] = cell_at(base, j, i);
		}
	}
	n = merge_rows(in, n);
	m = merge_rows(out, m);
	assert_int_equal(n, m);
	assert_memory_equal(in, out, n * sizeof(*in));
	if (!weights)
		assert_int_equal(held, n); /* once each: fewer than would be too heavy */
	mg_pack_destroy(p);
	free(base);
	free(in);
	free(out);
}

static void
test_pack_keeps_each_row_and_its_times(void **state)
{
	check_pack(1, false, 3, 1, ODD);
	check_pack(3, false, 20, 2, ODD);
	check_pack(9, false, 30, 3, ODD);
	check_pack(1u << 20, false, 30, 4, ODD); /* all different */
	check_pack(3, true, 20, 5, ODD);
	check_pack(9, true, 30, 6, ODD);
	check_pack(1, true, 30, 7, ODD);
	/* Under this key rows that differ in two columns by the same bits have the same hash. */
	check_pack(16, false, 30, 8, 1);
	check_pack(16, true, 30, 9, 1);
}

/* A row that comes more often than a weight can say. */
static void
test_a_heavy_row_is_held_several_times(void **state)
{
	uint8_t *base = calloc(1, GROUP_BYTES);
	uint16_t weight[GROUP];
	uint64_t sum = 0;
	mg_pack *p;
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	assert_int_equal(mg_pack_create(&ctx, layout, 4, GROUP, 64 * GROUP, 8 << 20, ODD, 2, &p), MG_OK);
	for (int g = 0; g < 200; g++)
		mg_pack_add(p, base, GROUP, NULL);
	assert_int_equal(mg_pack_rows(p), (200 * GROUP + MG_MOST_WEIGHT - 1) / MG_MOST_WEIGHT);
	mg_pack_get(p, 0, (uint32_t) mg_pack_rows(p), base, weight);
	for (uint32_t i = 0; i < mg_pack_rows(p); i++)
		sum += weight[i];
	assert_int_equal(sum, 200 * GROUP);
	mg_pack_destroy(p);
	free(base);
}

static void
test_packing_ends_where_it_does_not_pay(void **state)
{
	uint8_t *base = calloc(1, GROUP_BYTES);
	uint64_t next = 0;
	mg_pack *p;
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	assert_int_equal(mg_pack_create(&ctx, layout, 4, GROUP, 64 * GROUP, 1000, ODD, 2, &p), MG_OK);
	assert_null(p); /* no memory for it: none is begun */
	/* One group of new rows is forgiven, the second in a row is not. */
	assert_int_equal(mg_pack_create(&ctx, layout, 4, GROUP, 64 * GROUP, 8 << 20, ODD, 2, &p), MG_OK);
	for (int g = 0; g < 5; g++)
	{
		assert_true(mg_pack_pays(p));
		for (uint32_t i = 0; i < GROUP && g != 1 && g != 2; i++)
			put_cell(base, 1, i, ++next);
		mg_pack_add(p, base, GROUP, NULL);
	}
	assert_false(mg_pack_pays(p));
	mg_pack_destroy(p);
	/* Nor is a table whose groups bring little new, but too much in all. */
	assert_int_equal(mg_pack_create(&ctx, layout, 4, GROUP, 4 * GROUP, 8 << 20, ODD, 2, &p), MG_OK);
	for (int g = 0; mg_pack_pays(p); g++)
	{
		assert_in_range(g, 0, 12);
		for (uint32_t i = 0; i < GROUP / 3; i++)
			put_cell(base, 1, i, ++next);
		mg_pack_add(p, base, GROUP, NULL);
		assert_true(mg_pack_rows(p) <= 4 * GROUP);
	}
	mg_pack_destroy(p);
	free(base);
}

/* ---- under the curator ---- */

enum
{
	CODE, /* closed, 20 labels */
	TOWN, /* open text */
	PAY,  /* open number */
	COLUMNS
};

typedef struct row
{
	uint32_t code, town; /* town 0: NULL */
	double pay;
} row;

typedef struct table
{
	const char *what;
	size_t rows;
	size_t twins;   /* rows before this one are of 50 kinds */
	uint32_t towns; /* of the later ones; TOWNS: in turn, with little else to tell them by */
	size_t memory;
	int threads;
	uint64_t most_held; /* rows held after loading, at most */
} table;

#define PACKED (32u << 20) /* groups of 65,536 rows, a pack of 160,000 */
#define NOT_PACKED (256u << 10)
#define TOWNS 60000 /* more than a dictionary has room for */

static const table tables[] = {
	{"all alike", 300000, 300000, 9, PACKED, 0, 60},
	{"all alike, a whole number of groups", 262144, 262144, 9, PACKED, 2, 60},
	{"less than a group", 1000, 1000, 9, PACKED, 0, 1000},
	{"then all different", 400000, 140000, 9, PACKED, 1, 400000},
	{"then labels without an id", 500000, 140000, TOWNS, PACKED, 0, 500000},
	{"labels without an id in the last rows", 196608 + 60000, 196608, TOWNS, PACKED, 0, 2 * 65536},
	{"no memory for it", 50000, 50000, 9, NOT_PACKED, 0, 50000},
	{"in large memory", 500000, 300000, 9, 128u << 20, 3, 300000},
};
#define TABLES (sizeof(tables) / sizeof(*tables))

static row *
make_rows(const table *t)
{
	row *rows = calloc(t->rows, sizeof(*rows));
	mg_rng r;

	mg_rng_seed(&r, 7);
	for (size_t i = 0; i < t->rows; i++)
	{
		uint32_t kind = (uint32_t) (mg_rng_u64(&r) % 50);

		rows[i] = (row){kind % 20, kind % 4, kind / 5 * 10};
		if (i >= t->twins)
			rows[i] = (row){(uint32_t) (mg_rng_u64(&r) % 21), (uint32_t) (mg_rng_u64(&r) % t->towns),
							(double) (mg_rng_u64(&r) % 9000) / 8};
		if (i >= t->twins && t->towns == TOWNS)
		{
			uint32_t town = 1 + (uint32_t) (i - t->twins) % (TOWNS - 1);

			rows[i] = (row){town % 2, town, town % 7 * 100};
		}
	}
	return rows;
}

typedef struct world
{
	mg_ctx ctx;
	mg_noise *noise;
	mg_odometer odometer;
	memory_store store;
	mg_arena *a;
	mg_curator *c;
} world;

static void
open_world(world *w, const table *t, const row *rows)
{
	static mg_label labels[20];
	mg_domain d[COLUMNS] = {
		{.name = "code", .kind = MG_CATEGORY, .nlabels = 20, .labels = labels},
		{.name = "town", .kind = MG_CATEGORY, .nullable = true, .open = true},
		{.name = "pay", .kind = MG_NUMBER, .open = true, .lower = -1e9, .upper = 1e9},
	};
	char s[32];

	for (int i = 0; i < 20; i++)
		labels[i] = (mg_label){"x", 1};
	memset(w, 0, sizeof(*w));
	mg_ctx_init(&w->ctx);
	if (t->threads > 0)
		w->ctx.pool = mg_pool_create(t->threads);
	w->noise = seeded_noise(5);
	w->a = mg_arena_create(0);
	mg_odometer_init(&w->odometer, 1e15, 1);
	memory_store_init(&w->store);
	assert_int_equal(mg_curator_create(&w->ctx, d, COLUMNS, w->noise, &w->odometer, &w->store.store, t->memory, &w->c),
					 MG_OK);
	for (size_t i = 0; i < t->rows; i++)
	{
		mg_load_code(w->c, CODE, rows[i].code);
		if (rows[i].town > 0)
			mg_load_text(w->c, TOWN, s, (size_t) sprintf(s, "town %u", rows[i].town));
		mg_load_number(w->c, PAY, rows[i].pay);
		assert_int_equal(mg_load_row(&w->ctx, w->c), MG_OK);
	}
	assert_int_equal(mg_load_finish(&w->ctx, w->c), MG_OK);
}

static void
close_world(world *w)
{
	mg_curator_destroy(w->c);
	assert_int_equal(w->store.opened, w->store.closed);
	memory_store_free(&w->store);
	mg_noise_destroy(w->noise);
	mg_arena_destroy(w->a);
	mg_pool_destroy(w->ctx.pool);
}

static const mg_ratio exactly = {1, 1 << 20}; /* a sigma of 0.001: no noise to speak of */
#define CELLS 10
static const mg_label fixed[2] = {{"town 1", 6}, {"town 50000", 10}}; /* the second is an escape, where it is */
static const uint32_t nfine[COLUMNS] = {22, 4, CELLS + 1};

static uint32_t
fine_of(const row *r, int j)
{
	if (j == CODE)
		return r->code < 20 ? r->code : 20;
	if (j == TOWN)
		return r->town == 0 ? 3 : r->town == 1 ? 0 : r->town == 50000 ? 1 : 2;
	return r->pay / 100 < CELLS ? (uint32_t) (r->pay / 100) : CELLS - 1;
}

/* Labels and values that occur at least twice, with their counts. */
static void
check_releases(world *w, const table *t, const row *rows)
{
	static int64_t town[TOWNS], pay[9000];
	mg_released out;
	uint32_t released = 0;

	memset(town, 0, sizeof(town));
	memset(pay, 0, sizeof(pay));
	for (size_t i = 0; i < t->rows; i++)
	{
		town[rows[i].town] += rows[i].town > 0;
		pay[(size_t) (rows[i].pay * 8)]++;
	}
	assert_int_equal(mg_curator_release(&w->ctx, w->c, TOWN, exactly, 1e-9, 100000, w->a, &out), MG_OK);
	for (int i = 0; i < TOWNS; i++)
		released += town[i] >= out.threshold;
	assert_int_equal(out.count, released < MG_MAX_LABELS ? released : MG_MAX_LABELS);
	for (uint32_t i = 0; i < out.count; i++)
		assert_int_equal(out.noisy[i], town[atoi(out.labels[i].text + 5)]);
	assert_int_equal(mg_curator_release(&w->ctx, w->c, PAY, exactly, 1e-9, 100000, w->a, &out), MG_OK);
	released = 0;
	for (int i = 0; i < 9000; i++)
		released += pay[i] >= out.threshold;
	assert_int_equal(out.count, released);
	for (uint32_t i = 0; i < out.count; i++)
		assert_int_equal(out.noisy[i], pay[(size_t) (out.values[i] * 8)]);
}

static void
check_marginals(world *w, const table *t, const row *rows)
{
	static const uint32_t cols[4][3] = {{TOWN}, {CODE, PAY}, {CODE, TOWN, PAY}, {PAY, CODE}};
	static const uint32_t k[4] = {1, 2, 3, 2};

	for (int q = 0; q < 4; q++)
	{
		size_t cells = 1;
		int64_t *expected, *noisy;

		for (uint32_t j = 0; j < k[q]; j++)
			cells *= nfine[cols[q][j]];
		expected = calloc(cells, sizeof(*expected));
		noisy = calloc(cells, sizeof(*noisy));
		for (size_t i = 0; i < t->rows; i++)
		{
			size_t cell = 0;

			for (uint32_t j = 0; j < k[q]; j++)
				cell = cell * nfine[cols[q][j]] + fine_of(&rows[i], (int) cols[q][j]);
			expected[cell]++;
		}
		assert_int_equal(mg_curator_marginal(&w->ctx, w->c, cols[q], k[q], exactly, noisy), MG_OK);
		assert_memory_equal(noisy, expected, cells * sizeof(*noisy));
		free(expected);
		free(noisy);
	}
}

static void
test_queries_see_every_row(void **state)
{
	for (size_t s = 0; s < TABLES; s++)
	{
		const table *t = &tables[s];
		row *rows = make_rows(t);
		const double cuts[4] = {1, 30, 450, 1000};
		int64_t noisy[64], expected[3][64] = {{0}};
		uint16_t merge[22];
		const uint16_t *const merges[COLUMNS] = {merge, merge, merge};
		mg_cell cells[CELLS];
		uint64_t held;
		world w;

		open_world(&w, t, rows);
		held = mg_codes_rows_held(w.c->codes);
		if (held > t->most_held)
			fail_msg("%s: %zu rows are held", t->what, (size_t) held);
		assert_int_equal(w.c->codes->rows, t->rows);
		check_releases(&w, t, rows);
		for (size_t i = 0; i < t->rows; i++)
			expected[0][(rows[i].pay >= 1) + (rows[i].pay >= 30) + (rows[i].pay >= 450) + (rows[i].pay >= 1000)]++;
		assert_int_equal(mg_curator_cells(&w.ctx, w.c, PAY, cuts, 4, exactly, noisy), MG_OK);
		assert_memory_equal(noisy, expected[0], 6 * sizeof(*noisy));

		for (int i = 0; i < CELLS; i++)
			cells[i] = (mg_cell){i * 100, i * 100 + 100};
		assert_int_equal(mg_curator_fix_number(&w.ctx, w.c, PAY, cells, CELLS), MG_OK);
		assert_int_equal(mg_curator_fix_labels(&w.ctx, w.c, TOWN, fixed, 2), MG_OK);
		memset(expected, 0, sizeof(expected));
		for (uint32_t j = 0; j < COLUMNS; j++)
		{
			int64_t *level = noisy;

			for (size_t i = 0; i < t->rows; i++)
				expected[j][fine_of(&rows[i], (int) j)]++;
			assert_int_equal(mg_curator_hierarchy(&w.ctx, w.c, j, 1, &nfine[j], NULL, &exactly, &level), MG_OK);
			assert_memory_equal(noisy, expected[j], nfine[j] * sizeof(*noisy));
		}
		for (uint16_t i = 0; i < 22; i++)
			merge[i] = i;
		assert_int_equal(mg_curator_recode(&w.ctx, w.c, merges, nfine), MG_OK);
		assert_true(mg_codes_rows_held(w.c->codes) <= held);
		if (t->memory >= PACKED && t->rows > w.c->codes->group_rows)
			assert_true(mg_codes_rows_held(w.c->codes) <= 22 * 4 * 11); /* all the coarse rows that there can be */
		check_marginals(&w, t, rows);
		close_world(&w);
		free(rows);
	}
}

/* Rows of more than 2^32 by weight, as no test can load: the weights of packed groups are set to the most. */
static void
test_counters_of_32_bits_do_not_overflow(void **state)
{
	const table *t = &tables[3];
	row *rows = make_rows(t);
	uint64_t expected;
	int64_t exact[2];
	mg_codes *codes;
	world w;

	open_world(&w, t, rows);
	codes = w.c->codes;
	expected = codes->last_rows;
	for (uint32_t g = 0; g < codes->nresident; g++)
	{
		for (uint32_t i = 0; i < codes->group_rows && codes->weight[g] != NULL; i++)
			codes->weight[g][i] = MG_MOST_WEIGHT;
		expected += codes->group_rows * (codes->weight[g] != NULL ? (uint64_t) MG_MOST_WEIGHT : 1);
	}
	assert_true(expected > UINT32_MAX);
	assert_int_equal(mgc_exact_cells(&w.ctx, w.c, PAY, NULL, 0, exact), MG_OK); /* one cell, of all rows */
	assert_int_equal(exact[0] + exact[1], expected);
	close_world(&w);
	free(rows);
}

static bool
cancel_at(void *arg)
{
	int *left = arg;

	return (*left)-- <= 0;
}

/* A cancel or a failing store at any point while the table is packed, unpacked and recoded leaves nothing behind, and a
 * table that lost rows answers nothing. */
static void
test_cancel_and_failing_store(void **state)
{
	const table *t = &tables[4];
	row *rows = make_rows(t);

	for (int left = 0; left < 40; left += 5)
		for (int store = 0; store < 2; store++)
		{
			const mg_cell all = {0, 1000};
			uint16_t merge[22] = {0};
			const uint16_t *const merges[COLUMNS] = {merge, merge, merge};
			const uint32_t one[COLUMNS] = {1, 1, 1};
			int polls = left;
			int64_t noisy;
			mg_code code;
			world w;

			open_world(&w, t, rows);
			assert_int_equal(mg_curator_fix_number(&w.ctx, w.c, PAY, &all, 1), MG_OK);
			assert_int_equal(mg_curator_fix_labels(&w.ctx, w.c, TOWN, fixed, 2), MG_OK);
			w.ctx.cancel = store ? NULL : cancel_at;
			w.ctx.cancel_arg = &polls;
			w.store.fail_after = store ? left : -1;
			code = mg_curator_recode(&w.ctx, w.c, merges, one);
			w.ctx.cancel = NULL;
			w.store.fail_after = -1;
			if (code == MG_OK)
				assert_int_equal(mg_curator_marginal(&w.ctx, w.c, (const uint32_t[]){CODE}, 1, exactly, &noisy), MG_OK);
			else
			{
				assert_int_equal(code, store ? MG_IO : MG_CANCELLED);
				assert_int_equal(mg_curator_marginal(&w.ctx, w.c, (const uint32_t[]){CODE}, 1, exactly, &noisy),
								 MG_INVALID);
			}
			close_world(&w);
		}
	free(rows);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pack_keeps_each_row_and_its_times),
		cmocka_unit_test(test_a_heavy_row_is_held_several_times),
		cmocka_unit_test(test_packing_ends_where_it_does_not_pay),
		cmocka_unit_test(test_queries_see_every_row),
		cmocka_unit_test(test_counters_of_32_bits_do_not_overflow),
		cmocka_unit_test(test_cancel_and_failing_store),
	};

	return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
