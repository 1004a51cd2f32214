/*
 * test/unit/test_table.c: the code table's parts: keyed hash, order-preserving keys, cells, cached text, lossless open
 * columns, grouping in slices, passes over blocks, and a column's portable form against every truncation and many
 * damages.
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

#include "memory_store.h"
#include "num/rng.h"
#include "table/codes.h"
#include "table/groupby.h"

static const uint8_t test_key[MG_HASH_KEY_BYTES + 8] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17};

/* Values of another implementation of SipHash-1-3 under the zero key. */
static void
test_hash_vectors(void **state)
{
	static const uint64_t zero[2];
	uint8_t ramp[64];

	for (int i = 0; i < 64; i++)
		ramp[i] = (uint8_t) i;
	assert_true(mg_keyed_hash(zero, "a", 1) == UINT64_C(0x407448d2b89b1813));
	assert_true(mg_keyed_hash(zero, "abcdefg", 7) == UINT64_C(0x6db12aae9070f506));
	assert_true(mg_keyed_hash(zero, "abcdefgh", 8) == UINT64_C(0x3f7b849c0b8e35ea));
	assert_true(mg_keyed_hash(zero, "Married-civ-spouse", 18) == UINT64_C(0x4a49a2a606863de7));
	assert_true(mg_keyed_hash(zero, ramp, 64) == UINT64_C(0x75e05fd5bbc870c6));
	assert_true(mg_keyed_hash((const uint64_t[2]){0, 1}, "a", 1) != UINT64_C(0x407448d2b89b1813));
}

static void
test_mix_is_a_bijection_that_keeps_zero(void **state)
{
	static uint8_t seen[65536];

	assert_true(mg_mix64(0, 0x123456789abcdef1) == 0);
	/* Odd multiplications and xor-shifts are invertible; on the high bits, slices must be even. */
	for (uint64_t i = 1; i <= 65536; i++)
		seen[mg_mix64(i, 0x123456789abcdef1) >> 48]++;
	for (int i = 0; i < 65536; i++)
		assert_true(seen[i] <= 12);
}

static double
any_double(mg_rng *r)
{
	uint64_t u;
	double v;

	do
	{
		u = mg_rng_u64(r);
		memcpy(&v, &u, sizeof(v));
	} while (!isfinite(v));
	return v;
}

static void
test_keys_keep_order(void **state)
{
	const double special[] = {-1.7976931348623157e308, -1, -4.9e-324, 0, 4.9e-324, 1, 1.7976931348623157e308};
	mg_rng r;

	mg_rng_seed(&r, 1);
	for (size_t i = 0; i + 1 < sizeof(special) / sizeof(special[0]); i++)
		assert_true(mg_key_of(special[i]) < mg_key_of(special[i + 1]));
	assert_true(mg_key_of(-0.0) == mg_key_of(0.0));
	assert_true(mg_key_of(special[0]) > 0 && mg_key_of(special[6]) < MG_KEY_NULL);
	for (int i = 0; i < 100000; i++)
	{
		double x = any_double(&r), y = any_double(&r);

		assert_true((x < y) == (mg_key_of(x) < mg_key_of(y)));
		assert_true(mg_key_value(mg_key_of(x)) == x);
	}
}

/* The cell of v by the words of the contract: the one that holds it, else the nearest. */
static uint32_t
cell_by_search(const mg_cell *cells, uint32_t n, double v)
{
	uint32_t best = 0;
	double least = HUGE_VAL;

	for (uint32_t i = 0; i < n; i++)
		if (cells[i].lower == cells[i].upper && v == cells[i].lower)
			return i;
	for (uint32_t i = 0; i < n; i++)
		if (v >= cells[i].lower && v < cells[i].upper)
			return i;
	for (uint32_t i = 0; i < n; i++)
	{
		double d = v < cells[i].lower ? cells[i].lower - v : v - cells[i].upper;

		/* of two as near, the upper one, unless v lies under both (a single value and the interval that begins there)
		 */
		if (d < least || (d == least && v >= cells[best].upper))
		{
			least = d;
			best = i;
		}
	}
	return best;
}

static void
test_cells_are_found(void **state)
{
	mg_ctx ctx;
	mg_rng r;

	mg_ctx_init(&ctx);
	mg_rng_seed(&r, 2);
	for (int round = 0; round < 200; round++)
	{
		mg_cell cells[60];
		uint32_t n = 1 + (uint32_t) (mg_rng_u64(&r) % 60);
		double at = -20;
		mg_axis *axis;

		/* On a grid of quarters, so that midpoints are exact: single values, touching intervals, gaps. */
		for (uint32_t i = 0; i < n; i++)
		{
			bool after_point = i > 0 && cells[i - 1].lower == cells[i - 1].upper;

			at += (double) (mg_rng_u64(&r) % 3) * 0.5;
			cells[i].lower = at;
			if (mg_rng_u64(&r) % 3 == 0 && !(after_point && at == cells[i - 1].upper))
				cells[i].upper = at;
			else
				cells[i].upper = at += 0.5 + (double) (mg_rng_u64(&r) % 3) * 0.5;
			if (cells[i].upper == cells[i].lower && mg_rng_u64(&r) % 2)
				at += 0.5;
		}
		assert_int_equal(mg_axis_of_cells(&ctx, cells, n, &axis), MG_OK);
		for (int i = 0; i < 500; i++)
		{
			double v = -25 + (double) (mg_rng_u64(&r) % 700) * 0.25;

			assert_int_equal(mg_axis_cell(axis, mg_key_of(v)), cell_by_search(cells, n, v));
		}
		assert_int_equal(mg_axis_cell(axis, MG_KEY_NULL), n);
		free(axis);
	}
}

static void
test_bad_cells_are_refused(void **state)
{
	const mg_cell overlap[] = {{0, 2}, {1, 3}}, back[] = {{1, 0}}, twice[] = {{1, 1}, {1, 1}}, nan_cell[] = {{NAN, 1}};
	const double same[] = {1, 1}, nan_cut[] = {NAN};
	mg_axis *axis = NULL;
	mg_ctx ctx;

#define REFUSED(expr)                         \
	do                                        \
	{                                         \
		mg_ctx_init(&ctx);                    \
		assert_int_equal((expr), MG_INVALID); \
	} while (0)
	REFUSED(mg_axis_of_cells(&ctx, overlap, 2, &axis));
	REFUSED(mg_axis_of_cells(&ctx, back, 1, &axis));
	REFUSED(mg_axis_of_cells(&ctx, twice, 2, &axis));
	REFUSED(mg_axis_of_cells(&ctx, nan_cell, 1, &axis));
	REFUSED(mg_axis_of_cells(&ctx, overlap, 0, &axis));
	REFUSED(mg_axis_of_cuts(&ctx, same, 2, &axis));
	REFUSED(mg_axis_of_cuts(&ctx, nan_cut, 1, &axis));
	assert_null(axis);
}

/* ---- open text ---- */

typedef struct counted
{
	uint64_t *value;
	int64_t *count;
	size_t n, slices;
} counted;

static mg_code
collect(mg_ctx *ctx, void *arg, uint64_t *value, int64_t *count, size_t n)
{
	counted *c = arg;

	c->value = realloc(c->value, (c->n + n) * sizeof(*c->value));
	c->count = realloc(c->count, (c->n + n) * sizeof(*c->count));
	memcpy(c->value + c->n, value, n * sizeof(*value));
	memcpy(c->count + c->n, count, n * sizeof(*count));
	c->n += n;
	c->slices++;
	return MG_OK;
}

static uint32_t
label_text(uint32_t i, char *out)
{
	/* Lengths from 1 to 50: within and beyond what the cache holds. */
	return (uint32_t) sprintf(out, "%u%.*s", i, (int) (i % 45), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
}

static mg_codes *
open_table(mg_ctx *ctx, memory_store *m, size_t memory)
{
	const mg_domain d = {.name = "t", .kind = MG_CATEGORY, .nullable = true, .open = true, .has_other = true};
	mg_codes *t;

	mg_ctx_init(ctx);
	memory_store_init(m);
	assert_int_equal(mg_codes_create(ctx, &d, 1, test_key, &m->store, memory, &t), MG_OK);
	return t;
}

/* 100,000 labels, each once or twice, in a dictionary of a few hundred: group-by in slices finds each with its exact
 * count. */
static void
test_overflowing_dictionary_is_lossless(void **state)
{
	enum
	{
		LABELS = 100000
	};
	mg_ctx ctx;
	memory_store m;
	mg_codes *t = open_table(&ctx, &m, 256 << 10);
	counted c = {0};
	int64_t *expected = calloc(LABELS, sizeof(*expected));
	char s[64];
	size_t found = 0;

	for (uint32_t i = 0; i < LABELS * 3 / 2; i++)
	{
		uint32_t k = (uint32_t) ((uint64_t) i * 61 % LABELS);

		if (i % 1000 == 999)
			mg_codes_load_null(t, 0);
		else
		{
			mg_codes_load_text(t, 0, s, label_text(k, s));
			expected[k]++;
		}
		assert_int_equal(mg_codes_load_row(&ctx, t), MG_OK);
	}
	assert_int_equal(mg_codes_load_finish(&ctx, t), MG_OK);
	assert_true(mg_text_escapes(t->column[0].text) > LABELS);
	assert_int_equal(mg_codes_groupby(&ctx, t, 0, 64 << 10, collect, &c), MG_OK);
	assert_true(c.slices > 30);
	for (uint32_t k = 0; k < LABELS; k++)
		found += expected[k] > 0;
	assert_int_equal(c.n, found);

	/* Each hash belongs to the label that its bytes say, and has that label's count. */
	for (uint32_t k = 0; k < LABELS; k++)
	{
		uint32_t len = label_text(k, s);
		uint64_t h = mg_keyed_hash(t->key, s, len);

		expected[k] = -expected[k];
		if (k % 97 != 0) /* a search each: a sample is enough */
			continue;
		for (size_t i = 0; i < c.n; i++)
			if (c.value[i] == h)
				expected[k] += c.count[i];
		assert_int_equal(expected[k], 0);
	}
	free(c.value);
	free(c.count);
	free(expected);
	mg_codes_destroy(t);
	assert_int_equal(m.opened, m.closed);
	memory_store_free(&m);
}

/* The x with mg_mix64(x, odd) == m: products with inverses modulo 2^64 (Newton), and the xor-shift by 32 undoes itself.
 */
static uint64_t
unmix64(uint64_t m, uint64_t odd)
{
	const uint64_t factor[3] = {UINT64_C(0xd6e8feb86659fd93), UINT64_C(0xd6e8feb86659fd93), odd};

	for (int i = 0; i < 3; i++)
	{
		uint64_t inverse = factor[i];

		for (int k = 0; k < 6; k++)
			inverse *= 2 - factor[i] * inverse;
		m ^= m >> 32;
		m *= inverse;
	}
	return m;
}

/* Values that all lie in one slice, many more than the table takes: the slice is halved until they fit; none is lost.
 */
static void
test_a_slice_that_does_not_fit_is_halved(void **state)
{
	const mg_domain d = {.name = "x", .kind = MG_NUMBER, .open = true, .lower = -1e308, .upper = 1e308};
	counted c = {0};
	int64_t sum = 0;
	uint32_t n = 0;
	mg_codes *t;
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	assert_int_equal(mg_codes_create(&ctx, &d, 1, test_key, NULL, 4 << 20, &t), MG_OK);
	for (uint64_t i = 1; n < 3000; i++)
	{
		double v = mg_key_value(unmix64(i << 32 | i, t->odd));

		if (!isfinite(v))
			continue;
		assert_true(mg_mix64(mg_key_of(v), t->odd) == (i << 32 | i));
		for (int k = 0; k < 2; k++)
		{
			mg_codes_load_number(t, 0, v);
			assert_int_equal(mg_codes_load_row(&ctx, t), MG_OK);
		}
		n++;
	}
	assert_int_equal(mg_codes_load_finish(&ctx, t), MG_OK);
	assert_int_equal(mg_codes_groupby(&ctx, t, 0, 4096, collect, &c), MG_OK);
	assert_int_equal(c.n, n);
	assert_true(c.slices > 1 && c.slices < 200); /* crowded slices only are narrow */
	for (size_t i = 0; i < c.n; i++)
		sum += c.count[i];
	assert_int_equal(sum, 2 * n);
	free(c.value);
	free(c.count);
	mg_codes_destroy(t);
}

typedef struct looked_up
{
	const uint32_t *label; /* by index of hash */
	size_t n;
} looked_up;

static mg_code
check_label(mg_ctx *ctx, void *arg, size_t i, const char *s, size_t len)
{
	looked_up *l = arg;
	char expected[64];

	assert_int_equal(len, label_text(l->label[i], expected));
	assert_memory_equal(s, expected, len);
	l->n++;
	return MG_OK;
}

static void
test_labels_come_back_from_hashes(void **state)
{
	enum
	{
		LABELS = 20000,
		ASK = 500
	};
	mg_ctx ctx;
	memory_store m;
	mg_codes *t = open_table(&ctx, &m, 256 << 10);
	uint64_t hash[ASK];
	uint32_t label[ASK];
	looked_up l = {label, 0};
	char s[64];

	for (uint32_t i = 0; i < 3 * LABELS; i++)
	{
		mg_codes_load_text(t, 0, s, label_text(i % LABELS, s));
		assert_int_equal(mg_codes_load_row(&ctx, t), MG_OK);
	}
	assert_int_equal(mg_codes_load_finish(&ctx, t), MG_OK);
	for (uint32_t i = 0; i < ASK; i++)
	{
		label[i] = (i * 7919) % LABELS;
		hash[i] = mg_keyed_hash(t->key, s, label_text(label[i], s));
	}
	assert_int_equal(mg_codes_labels(&ctx, t, 0, hash, ASK, check_label, &l), MG_OK);
	assert_int_equal(l.n, ASK);
	mg_codes_destroy(t);
	memory_store_free(&m);
}

/* Short texts over two letters and NUL-like bytes, all lengths: the cache never mistakes one for another. */
static void
test_cached_text_is_exact(void **state)
{
	enum
	{
		LABELS = 600
	};
	mg_label label[LABELS];
	static char bytes[LABELS][40];
	mg_domain d = {.name = "t", .kind = MG_CATEGORY, .has_other = true, .nlabels = LABELS, .labels = label};
	mg_ctx ctx;
	mg_codes *t;
	mg_rng r;

	mg_ctx_init(&ctx);
	mg_rng_seed(&r, 3);
	for (int i = 0; i < LABELS; i++)
	{
		uint32_t len = (uint32_t) (mg_rng_u64(&r) % 30);

		for (uint32_t k = 0; k < len; k++)
			bytes[i][k] = mg_rng_u64(&r) % 8 ? 1 : 2;
		label[i] = (mg_label){bytes[i], len};
	}
	assert_int_equal(mg_codes_create(&ctx, &d, 1, test_key, NULL, 4 << 20, &t), MG_OK);
	for (int i = 0; i < 50000; i++)
	{
		char s[40];
		uint32_t len = (uint32_t) (mg_rng_u64(&r) % 30), expected = LABELS;

		if (i % 2)
		{
			const mg_label *l = &label[mg_rng_u64(&r) % LABELS];

			len = l->len;
			memcpy(s, l->text, len);
		}
		else
			for (uint32_t k = 0; k < len; k++)
				s[k] = mg_rng_u64(&r) % 8 ? 1 : 2;
		for (uint32_t k = 0; k < LABELS && expected == LABELS; k++)
			if (label[k].len == len && memcmp(label[k].text, s, len) == 0)
				expected = k;
		mg_codes_load_text(t, 0, s, len);
		assert_int_equal(((const uint16_t *) (const void *) t->column[0].load)[t->last_rows], expected);
		assert_int_equal(mg_codes_load_row(&ctx, t), MG_OK);
	}
	mg_codes_destroy(t);
}

/* ---- memory ---- */

/* What a table holds is a matter of `memory` and columns: after 10 times the rows it has no group more in memory. */
static void
test_memory_does_not_follow_rows(void **state)
{
	uint32_t resident[2];

	for (int k = 0; k < 2; k++)
	{
		const mg_domain d = {.name = "x", .kind = MG_NUMBER, .open = true, .lower = -1e300, .upper = 1e300};
		mg_ctx ctx;
		memory_store m;
		mg_codes *t;

		mg_ctx_init(&ctx);
		memory_store_init(&m);
		assert_int_equal(mg_codes_create(&ctx, &d, 1, test_key, &m.store, 1 << 20, &t), MG_OK);
		for (int i = 0; i < (k ? 1000000 : 100000); i++)
		{
			mg_codes_load_number(t, 0, i);
			assert_int_equal(mg_codes_load_row(&ctx, t), MG_OK);
		}
		resident[k] = t->nresident;
		assert_true(t->nstored > 0);
		assert_true((t->nresident + 2) * t->group_bytes <= 1 << 19);
		mg_codes_destroy(t);
		memory_store_free(&m);
	}
	assert_int_equal(resident[0], resident[1]);
}

static void
test_too_little_memory_is_said(void **state)
{
	static mg_domain d[MG_MAX_COLUMNS];
	mg_codes *t = NULL;
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	for (int j = 0; j < MG_MAX_COLUMNS; j++)
		d[j] = (mg_domain){.name = "x", .kind = MG_NUMBER, .open = true, .lower = 0, .upper = 1};
	assert_int_equal(mg_codes_create(&ctx, d, MG_MAX_COLUMNS, test_key, NULL, 1 << 20, &t), MG_NOMEM);
	assert_true(ctx.hint[0] != '\0');
	assert_null(t);
	mg_ctx_init(&ctx);
	assert_int_equal(mg_codes_create(&ctx, d, MG_MAX_COLUMNS, test_key, NULL, 256 << 20, &t), MG_OK);
	mg_codes_destroy(t);
}

/* ---- the portable form of a column ---- */

static const mg_label some_labels[] = {{"red", 3}, {"green", 5}, {"", 0}};
static const mg_cell some_cells[] = {{-1, 0}, {0, 0}, {0, 2.5}, {4, 8}};
static const double some_masses[] = {1, 2.5, 0, 4, 1e9};
static const uint16_t category_merge[] = {0, 1, 1, 2, 3}, number_merge[] = {0, 1, 0, 0, 2};
static const double some_counts[] = {1, 2, 3, 4}, some_variances[] = {0, 1, 2, 1e6};

static mg_column
category_column(void)
{
	return (mg_column){.domain = {.name = "colour",
								  .kind = MG_CATEGORY,
								  .nullable = true,
								  .open = true,
								  .has_other = true,
								  .nlabels = 3,
								  .labels = some_labels,
								  .other = "else"},
					   .nfine = 5,
					   .fine = some_masses,
					   .ncoarse = 4,
					   .merge = category_merge,
					   .total = 1e9,
					   .coarse = some_counts,
					   .coarse_var = some_variances};
}

static mg_column
number_column(void)
{
	return (mg_column){
		.domain = {.name = "age", .kind = MG_NUMBER, .nullable = true, .lower = -1, .upper = 8, .step = 0.5, .bins = 7},
		.nfine = 5,
		.cells = some_cells,
		.fine = some_masses,
		.ncoarse = 3,
		.merge = number_merge,
		.total = -3,
		.coarse = some_counts,
		.coarse_var = some_variances};
}

static void
assert_same_column(const mg_column *a, const mg_column *b)
{
	assert_string_equal(a->domain.name, b->domain.name);
	assert_int_equal(a->domain.kind, b->domain.kind);
	assert_int_equal(a->domain.nullable, b->domain.nullable);
	assert_int_equal(a->domain.open, b->domain.open);
	assert_int_equal(a->domain.has_other, b->domain.has_other);
	assert_int_equal(a->domain.nlabels, b->domain.nlabels);
	assert_int_equal(a->domain.bins, b->domain.bins);
	assert_true(a->domain.lower == b->domain.lower && a->domain.upper == b->domain.upper &&
				a->domain.step == b->domain.step && a->total == b->total);
	for (uint32_t i = 0; i < a->domain.nlabels; i++)
	{
		assert_int_equal(a->domain.labels[i].len, b->domain.labels[i].len);
		assert_string_equal(a->domain.labels[i].text, b->domain.labels[i].text);
	}
	assert_int_equal(a->domain.other == NULL, b->domain.other == NULL);
	if (a->domain.other != NULL)
		assert_string_equal(a->domain.other, b->domain.other);
	assert_int_equal(a->nfine, b->nfine);
	assert_int_equal(a->ncoarse, b->ncoarse);
	assert_memory_equal(a->fine, b->fine, a->nfine * sizeof(double));
	assert_memory_equal(a->merge, b->merge, a->nfine * sizeof(uint16_t));
	assert_memory_equal(a->coarse, b->coarse, a->ncoarse * sizeof(double));
	assert_memory_equal(a->coarse_var, b->coarse_var, a->ncoarse * sizeof(double));
	if (a->domain.kind == MG_NUMBER)
		assert_memory_equal(a->cells, b->cells, (a->nfine - 1) * sizeof(mg_cell));
}

static mg_code
read_back(mg_arena *a, const uint8_t *data, size_t len, mg_column *out)
{
	mg_reader r;
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	mg_reader_init(&r, data, len);
	return mg_column_read(&ctx, a, &r, out);
}

static void
test_column_round_trip_and_damage(void **state)
{
	mg_column both[2] = {category_column(), number_column()};
	mg_arena *a = mg_arena_create(0);
	mg_rng r;

	mg_rng_seed(&r, 4);
	for (int k = 0; k < 2; k++)
	{
		mg_writer w;
		mg_column back;
		uint8_t *copy;

		mg_writer_init(&w);
		mg_column_write(&w, &both[k]);
		assert_false(w.failed);
		assert_int_equal(read_back(a, w.data, w.len, &back), MG_OK);
		assert_same_column(&both[k], &back);
		for (size_t len = 0; len < w.len; len++)
		{
			uint8_t *exact = malloc(len > 0 ? len : 1); /* so that the sanitizer sees a read beyond it */

			memcpy(exact, w.data, len);
			assert_int_equal(read_back(a, exact, len, &back), MG_CORRUPT);
			free(exact);
		}
		copy = malloc(w.len);
		for (int i = 0; i < 20000; i++)
		{
			mg_code code;

			memcpy(copy, w.data, w.len);
			for (int n = 1 + i % 4; n > 0; n--)
				copy[mg_rng_u64(&r) % w.len] = (uint8_t) mg_rng_u64(&r);
			code = read_back(a, copy, w.len, &back);
			assert_true(code == MG_OK || code == MG_CORRUPT);
			for (uint32_t j = 0; code == MG_OK && j < back.nfine; j++)
				assert_true(back.merge[j] < back.ncoarse && back.fine[j] >= 0);
			mg_arena_reset(a);
		}
		free(copy);
		mg_writer_free(&w);
	}
	mg_arena_destroy(a);
}

/* Each claim of domain.h, broken on its own. */
static void
test_column_claims_are_checked(void **state)
{
	static const mg_cell unsorted[] = {{-1, 0}, {0, 0}, {-3, 2.5}, {4, 8}};
	static const double negative[] = {1, -2.5, 0, 4, 1e9}, not_finite[] = {1, NAN, 0, 4, 1e9};
	static const uint16_t beyond[] = {0, 1, 0, 9, 2}, shares_null[] = {0, 2, 0, 0, 2}, no_null[] = {0, 1, 0, 0, 1};
	mg_arena *a = mg_arena_create(0);

	for (int k = 0; k < 9; k++)
	{
		mg_column c = number_column(), back;
		mg_writer w;

		switch (k)
		{
			case 0:
				c.cells = unsorted;
				break;
			case 1:
				c.fine = negative;
				break;
			case 2:
				c.fine = not_finite;
				break;
			case 3:
				c.merge = beyond;
				break;
			case 4:
				c.merge = shares_null;
				break;
			case 5:
				c.merge = no_null;
				break;
			case 6:
				c.ncoarse = 0;
				break;
			case 7:
				c.domain.upper = -2;
				break;
			case 8:
				c.domain.step = NAN;
				break;
		}
		mg_writer_init(&w);
		mg_column_write(&w, &c);
		assert_int_equal(read_back(a, w.data, w.len, &back), MG_CORRUPT);
		mg_writer_free(&w);
	}
	mg_arena_destroy(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hash_vectors),
		cmocka_unit_test(test_mix_is_a_bijection_that_keeps_zero),
		cmocka_unit_test(test_keys_keep_order),
		cmocka_unit_test(test_cells_are_found),
		cmocka_unit_test(test_bad_cells_are_refused),
		cmocka_unit_test(test_overflowing_dictionary_is_lossless),
		cmocka_unit_test(test_a_slice_that_does_not_fit_is_halved),
		cmocka_unit_test(test_labels_come_back_from_hashes),
		cmocka_unit_test(test_cached_text_is_exact),
		cmocka_unit_test(test_memory_does_not_follow_rows),
		cmocka_unit_test(test_too_little_memory_is_said),
		cmocka_unit_test(test_column_round_trip_and_damage),
		cmocka_unit_test(test_column_claims_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
