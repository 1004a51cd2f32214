/*
 * test/unit/test_sort.c: the sort that the bounding of units rests on, against qsort, in memory, with runs, and with
 * several levels of merging; and the wide keyed hash that its records hold.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "memory_store.h"
#include "num/rng.h"
#include "table/hash.h"
#include "table/sort.h"

static int
by_words(const void *x, const void *y)
{
	const uint64_t *a = x, *b = y;

	for (int i = 0; i < 3; i++)
		if (a[i] != b[i])
			return a[i] < b[i] ? -1 : 1;
	return 0;
}

static void
test_sort(void **state)
{
	static const struct
	{
		size_t n, memory;
		uint64_t range[3];
	} cases[] = {{0, 1 << 16, {1, 1, 1}},
				 {1, 0, {1, 1, 1}},
				 {1000, 1 << 20, {UINT64_MAX, 3, 1}},
				 {1000, 0, {2, 2, UINT64_MAX}}, /* 64 records at a time: three levels of merging */
				 {50000, 0, {1, 1, 1}},
				 {50000, 1 << 14, {1000, UINT64_MAX, 2}},
				 {60000, 1 << 21, {1, 70000, UINT64_MAX}},
				 {64 * 7, 0, {5, UINT64_MAX, 1}},
				 {64 * 7 + 1, 0, {5, UINT64_MAX, 1}}};

	for (size_t t = 0; t < sizeof(cases) / sizeof(cases[0]); t++)
	{
		uint64_t *all = malloc((cases[t].n * 3 + 3) * sizeof(*all));
		const uint64_t *r;
		memory_store m;
		mg_sort *s;
		mg_ctx ctx;
		mg_rng rng;

		mg_ctx_init(&ctx);
		memory_store_init(&m);
		mg_rng_seed(&rng, t);
		assert_int_equal(mg_sort_create(&ctx, 3, cases[t].memory, &m.store, &s), MG_OK);
		for (size_t i = 0; i < cases[t].n; i++)
		{
			for (int j = 0; j < 3; j++)
				all[3 * i + j] = mg_rng_u64(&rng) % cases[t].range[j];
			assert_int_equal(mg_sort_add(&ctx, s, all + 3 * i), MG_OK);
		}
		assert_int_equal(mg_sort_next(&ctx, s, &r), MG_INTERNAL);
		qsort(all, cases[t].n, 3 * sizeof(*all), by_words);
		assert_int_equal(mg_sort_finish(&ctx, s), MG_OK);
		for (size_t i = 0; i < cases[t].n; i++)
		{
			assert_int_equal(mg_sort_next(&ctx, s, &r), MG_OK);
			assert_non_null(r);
			assert_memory_equal(r, all + 3 * i, 3 * sizeof(*r));
		}
		for (int i = 0; i < 2; i++)
		{
			assert_int_equal(mg_sort_next(&ctx, s, &r), MG_OK);
			assert_null(r);
		}
		mg_sort_destroy(s);
		assert_int_equal(m.opened, m.closed);
		assert_true(cases[t].n * 24 <= cases[t].memory + 1536 || m.opened > 0);
		memory_store_free(&m);
		free(all);
	}
}

/* The wide form's published vector is of 2-4 rounds; ours is checked against the narrow form's structure instead: it
 * depends on every byte, on the length and on both words of the key. */
static void
test_wide_hash(void **state)
{
	uint64_t key[2] = {1, 2}, base[2], other[2];
	uint8_t bytes[40] = {0};

	for (size_t len = 0; len <= sizeof(bytes); len++)
	{
		mg_keyed_hash_wide(key, bytes, len, base);
		assert_true(base[0] != base[1] && base[0] != mg_keyed_hash(key, bytes, len));
		for (size_t i = 0; i < len; i++)
		{
			bytes[i] ^= 1;
			mg_keyed_hash_wide(key, bytes, len, other);
			assert_true(other[0] != base[0] && other[1] != base[1]);
			bytes[i] ^= 1;
		}
		if (len > 0)
		{
			mg_keyed_hash_wide(key, bytes, len - 1, other);
			assert_true(other[0] != base[0] && other[1] != base[1]);
		}
		for (int i = 0; i < 2; i++)
		{
			key[i] ^= UINT64_C(1) << 63;
			mg_keyed_hash_wide(key, bytes, len, other);
			assert_true(other[0] != base[0] && other[1] != base[1]);
			key[i] ^= UINT64_C(1) << 63;
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sort),
		cmocka_unit_test(test_wide_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
