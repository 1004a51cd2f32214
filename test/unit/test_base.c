/* test/unit/test_base.c: status, arena, byte strings, thread pool. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mirage.h"
#include "base/pool.h"

static mg_code
fails_inside(mg_ctx *ctx)
{
	MG_TRY(MG_OK);
	MG_TRY(mg_fail(ctx, MG_IO, "inner %d", 3));
	return mg_fail(ctx, MG_INTERNAL, "not reached");
}

static void
test_status(void **state)
{
	mg_ctx ctx;
	char text[400];

	mg_ctx_init(&ctx);
	assert_int_equal(ctx.code, MG_OK);
	assert_int_equal(mg_hint(&ctx, "nothing failed"), MG_OK);
	assert_string_equal(ctx.hint, "");
	assert_int_equal(fails_inside(&ctx), MG_IO);
	assert_string_equal(ctx.message, "inner 3");
	assert_int_equal(mg_hint(&ctx, "try %s", "again"), MG_IO);
	assert_string_equal(ctx.hint, "try again");
	/* Later failures change nothing, their hints included; the code that was passed comes back. */
	assert_int_equal(mg_fail(&ctx, MG_NOMEM, "later"), MG_NOMEM);
	assert_int_equal(mg_hint(&ctx, "other"), MG_IO);
	assert_string_equal(ctx.message, "inner 3");
	assert_string_equal(ctx.hint, "try again");
	assert_int_equal(ctx.code, MG_IO);

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	mg_ctx_init(&ctx);
	(void) mg_fail(&ctx, MG_INVALID, "%s", text);
	(void) mg_hint(&ctx, "%s", text);
	assert_int_equal(strlen(ctx.message), sizeof(ctx.message) - 1);
	assert_int_equal(strlen(ctx.hint), sizeof(ctx.hint) - 1);
	for (int code = MG_OK; code <= MG_INTERNAL; code++)
		assert_string_not_equal(mg_code_name((mg_code) code), "unrecognized status");
	assert_string_equal(mg_code_name((mg_code) 99), "unrecognized status");
}

static bool
cancel_counted(void *arg)
{
	int *left = arg;

	return --*left < 0;
}

static void
record_progress(void *arg, const char *phase, double fraction)
{
	*(double *) arg = fraction;
	assert_string_equal(phase, "phase");
}

static void
test_hooks(void **state)
{
	mg_ctx ctx;
	int left = 2;
	double seen = -1;

	mg_ctx_init(&ctx);
	assert_int_equal(mg_poll(&ctx), MG_OK);
	mg_progress(&ctx, "phase", 0.5); /* nobody watches */
	ctx.cancel = cancel_counted;
	ctx.cancel_arg = &left;
	ctx.progress = record_progress;
	ctx.progress_arg = &seen;
	assert_int_equal(mg_poll(&ctx), MG_OK);
	assert_int_equal(mg_poll(&ctx), MG_OK);
	assert_int_equal(mg_poll(&ctx), MG_CANCELLED);
	assert_int_equal(ctx.code, MG_CANCELLED);
	mg_progress(&ctx, "phase", 0.25);
	assert_true(seen == 0.25);
	mg_progress(&ctx, "phase", 7);
	assert_true(seen == 1);
	mg_progress(&ctx, "phase", NAN);
	assert_true(seen == 0);
}

static void
test_sizes(void **state)
{
	size_t out = 5;

	assert_false(mg_mul_size(SIZE_MAX, 2, &out));
	assert_false(mg_mul_size(SIZE_MAX / 2, 3, &out));
	assert_false(mg_add_size(SIZE_MAX, 1, &out));
	assert_int_equal(out, 5);
	assert_true(mg_mul_size(SIZE_MAX, 1, &out) && out == SIZE_MAX);
	assert_true(mg_mul_size(0, SIZE_MAX, &out) && out == 0);
	assert_true(mg_add_size(SIZE_MAX - 1, 1, &out) && out == SIZE_MAX);
}

static void
test_arena(void **state)
{
	static const size_t sizes[] = {0, 1, 15, 16, 63, 64, 65, 1000, 8192, 65535, 65536, 300000, 3000000};
	mg_arena *a = mg_arena_create(0);
	uint8_t *all[200];
	size_t size_of[200];

	assert_non_null(a);
	for (int round = 0; round < 2; round++)
	{
		for (size_t i = 0; i < 200; i++)
		{
			size_t n = sizes[i % 13];
			uint8_t *p = mg_arena_alloc(a, n, 1);

			assert_non_null(p);
			assert_int_equal((uintptr_t) p % (n >= 64 ? 64 : 16), 0);
			for (size_t j = 0; j < n; j++)
				assert_true(p[j] == 0);
			memset(p, (int) (i + 1), n);
			all[i] = p;
			size_of[i] = n;
		}
		/* No two overlap. */
		for (size_t i = 0; i < 200; i++)
			for (size_t j = 0; j < size_of[i]; j += 97)
				assert_true(all[i][j] == (uint8_t) (i + 1));
		assert_true(mg_arena_bytes(a) >= 15 * 3300000);
		mg_arena_reset(a);
		assert_int_equal(mg_arena_bytes(a), 0);
	}
	assert_null(mg_arena_alloc(a, SIZE_MAX, 2));
	assert_null(mg_arena_alloc(a, SIZE_MAX, 1));
	assert_null(mg_arena_alloc(a, SIZE_MAX - 70, 1));
	assert_string_equal(mg_arena_strndup(a, "hello", 3), "hel");
	assert_string_equal(mg_arena_strndup(a, NULL, 0), "");
	assert_null(mg_arena_strndup(a, "x", SIZE_MAX));
	mg_arena_destroy(a);
	mg_arena_destroy(NULL);
}

static void
test_arena_limit(void **state)
{
	for (size_t limit = 1; limit < 200000; limit = limit * 2 + 1)
	{
		mg_arena *a = mg_arena_create(limit);
		size_t got = 0;

		assert_non_null(a);
		while (mg_arena_alloc(a, 40, 1) != NULL)
		{
			got += 40;
			assert_true(mg_arena_bytes(a) <= limit);
		}
		assert_true(got <= limit);
		assert_true(got + got / 5 + 400 >= limit); /* most of the limit is usable */
		assert_null(mg_arena_alloc(a, limit, 1));
		mg_arena_reset(a);
		assert_true(limit < 1000 || mg_arena_alloc(a, limit / 2, 1) != NULL);
		mg_arena_destroy(a);
	}
}

static mg_code
takes_new(mg_ctx *ctx, mg_arena *a, size_t count, double **out)
{
	MG_NEW(ctx, a, *out, count);
	return MG_OK;
}

static void
test_new(void **state)
{
	mg_arena *a = mg_arena_create(10000);
	mg_ctx ctx;
	double *x;

	mg_ctx_init(&ctx);
	assert_int_equal(takes_new(&ctx, a, 100, &x), MG_OK);
	assert_true(x[99] == 0);
	assert_int_equal(takes_new(&ctx, a, 100000, &x), MG_NOMEM);
	assert_int_equal(ctx.code, MG_NOMEM);
	mg_arena_destroy(a);
}

static void
test_bytes(void **state)
{
	static const uint8_t form[] = {0x01, 0x34, 0x12, 0x78, 0x56, 0x34, 0x12, 8,    7,    6,   5,   4,  3, 2,
								   1,    0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0,   0,   0,  0, 0,
								   0,    0xf8, 0x3f, 2,    0,    0,    0,    'a',  'b',  'r', 'a', 'w'};
	mg_writer w;
	mg_reader r;
	size_t n;
	const char *s;

	mg_writer_init(&w);
	mg_put_u8(&w, 1);
	mg_put_u16(&w, 0x1234);
	mg_put_u32(&w, 0x12345678);
	mg_put_u64(&w, UINT64_C(0x0102030405060708));
	mg_put_i64(&w, -2);
	mg_put_f64(&w, 1.5);
	mg_put_str(&w, "ab", 2);
	mg_put_raw(&w, "raw", 3);
	mg_put_raw(&w, NULL, 0);
	assert_false(w.failed);
	assert_int_equal(w.len, sizeof(form));
	assert_memory_equal(w.data, form, sizeof(form));

	mg_reader_init(&r, w.data, w.len);
	assert_int_equal(mg_get_u8(&r), 1);
	assert_int_equal(mg_get_u16(&r), 0x1234);
	assert_int_equal(mg_get_u32(&r), 0x12345678);
	assert_true(mg_get_u64(&r) == UINT64_C(0x0102030405060708));
	assert_true(mg_get_i64(&r) == -2);
	assert_true(mg_get_f64(&r) == 1.5);
	s = mg_get_str(&r, &n);
	assert_true(s != NULL && n == 2 && memcmp(s, "ab", 2) == 0);
	assert_int_equal(mg_reader_left(&r), 3);
	assert_memory_equal(mg_get_raw(&r, 3), "raw", 3);
	assert_non_null(mg_get_raw(&r, 0));
	assert_false(r.failed);
	assert_null(mg_get_raw(&r, 1));
	assert_true(r.failed);

	/* Every prefix fails without a read past its end (in a block of its own size, for the sanitizers). */
	for (size_t cut = 0; cut < sizeof(form) - 3; cut++)
	{
		uint8_t *part = malloc(cut + (cut == 0));

		memcpy(part, form, cut);
		mg_reader_init(&r, part, cut);
		(void) mg_get_u8(&r);
		(void) mg_get_u16(&r);
		(void) mg_get_u32(&r);
		(void) mg_get_u64(&r);
		(void) mg_get_i64(&r);
		(void) mg_get_f64(&r);
		assert_null(mg_get_str(&r, &n));
		assert_int_equal(n, 0);
		assert_true(r.failed && mg_get_u64(&r) == 0 && mg_get_f64(&r) == 0 && mg_reader_left(&r) == 0);
		free(part);
	}
	mg_writer_free(&w);
	assert_null(w.data);
}

static void
test_bytes_bounds(void **state)
{
	static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}, two[] = {2, 0, 0, 0, 1, 2, 3, 4};
	mg_writer w;
	mg_reader r;
	size_t n;

	mg_reader_init(&r, huge, sizeof(huge));
	assert_null(mg_get_str(&r, &n));
	mg_reader_init(&r, huge, sizeof(huge));
	assert_int_equal(mg_get_count(&r, 1), 0);
	assert_true(r.failed);
	mg_reader_init(&r, two, sizeof(two));
	assert_int_equal(mg_get_count(&r, 2), 2);
	assert_false(r.failed);
	mg_reader_init(&r, two, sizeof(two));
	assert_int_equal(mg_get_count(&r, 3), 0);
	assert_true(r.failed);
	mg_reader_init(&r, two, sizeof(two));
	assert_int_equal(mg_get_count(&r, SIZE_MAX), 0);
	mg_reader_init(&r, NULL, 0);
	assert_null(mg_get_raw(&r, SIZE_MAX));

	/* A writer that has failed stays empty and takes anything. */
	mg_writer_init(&w);
	mg_put_u8(&w, 1);
	mg_put_raw(&w, "x", SIZE_MAX - 1);
	assert_true(w.failed && w.data == NULL && w.len == 0);
	mg_put_u64(&w, 1);
	mg_put_str(&w, "abc", 3);
	assert_true(w.failed && w.data == NULL && w.len == 0);
	mg_writer_free(&w);

	mg_writer_init(&w);
	for (uint32_t i = 0; i < 100000; i++)
		mg_put_u32(&w, i);
	assert_int_equal(w.len, 400000);
	mg_reader_init(&r, w.data, w.len);
	for (uint32_t i = 0; i < 100000; i++)
		assert_true(mg_get_u32(&r) == i);
	mg_writer_free(&w);
}

typedef struct pool_job
{
	atomic_int ran[1000];
	atomic_int in_lane[64];
	atomic_bool overlap, unmasked;
	pthread_t caller;
	atomic_bool stop;
} pool_job;

static void
pool_task(void *arg, size_t index, int lane)
{
	pool_job *job = arg;
	sigset_t mask;

	if (atomic_fetch_add(&job->in_lane[lane], 1) != 0)
		atomic_store(&job->overlap, true);
	atomic_fetch_add(&job->ran[index], 1);
	(void) pthread_sigmask(SIG_SETMASK, NULL, &mask);
	if (!pthread_equal(pthread_self(), job->caller))
		for (int s = 1; s < 32; s++) /* the C library keeps the first real-time ones */
			if (s != SIGKILL && s != SIGSTOP && sigismember(&mask, s) != 1)
				atomic_store(&job->unmasked, true);
	if (pthread_equal(pthread_self(), job->caller) && lane != 0)
		atomic_store(&job->overlap, true);
	atomic_fetch_sub(&job->in_lane[lane], 1);
}

static void
test_pool(void **state)
{
	static pool_job job;
	mg_ctx ctx;

	assert_null(mg_pool_create(-1));
	assert_null(mg_pool_create(64));
	assert_int_equal(mg_pool_width(NULL), 1);
	for (int threads = 0; threads < 6; threads++)
	{
		mg_pool *pool = mg_pool_create(threads);
		sigset_t mask;

		assert_non_null(pool);
		assert_int_equal(mg_pool_width(pool), threads + 1);
		(void) pthread_sigmask(SIG_SETMASK, NULL, &mask);
		assert_int_equal(sigismember(&mask, SIGINT), 0); /* the caller's mask is as before */
		for (size_t count = 0; count <= 1000; count = count * 3 + 1)
		{
			mg_ctx_init(&ctx);
			memset(&job, 0, sizeof(job));
			job.caller = pthread_self();
			assert_int_equal(mg_pool_run(&ctx, pool, pool_task, &job, count), MG_OK);
			for (size_t i = 0; i < 1000; i++)
				assert_int_equal(job.ran[i], i < count ? 1 : 0);
			assert_false(job.overlap);
			assert_false(job.unmasked);
		}
		mg_pool_destroy(pool);
	}
	mg_ctx_init(&ctx);
	memset(&job, 0, sizeof(job));
	job.caller = pthread_self();
	assert_int_equal(mg_pool_run(&ctx, NULL, pool_task, &job, 10), MG_OK);
	assert_int_equal(job.ran[9], 1);
	mg_pool_destroy(NULL);
}

/* Workers hold their task until the hook has been asked: the caller polls while it only waits. */
static void
held_task(void *arg, size_t index, int lane)
{
	pool_job *job = arg;

	atomic_fetch_add(&job->ran[0], 1);
	if (!pthread_equal(pthread_self(), job->caller))
		while (!atomic_load(&job->stop))
			(void) usleep(1000);
	else
		while (atomic_load(&job->ran[0]) < 2) /* let a worker take one first */
			(void) usleep(1000);
}

static bool
cancel_later(void *arg)
{
	pool_job *job = arg;

	/* First asked before the tasks begin, then after the caller's own; it says stop while it waits for the worker. */
	if (atomic_fetch_add(&job->ran[1], 1) < 2)
		return false;
	atomic_store(&job->stop, true);
	return true;
}

static void
test_pool_cancel(void **state)
{
	static pool_job job;
	mg_pool *pool = mg_pool_create(1);
	mg_ctx ctx;
	int left = 3;

	assert_non_null(pool);
	mg_ctx_init(&ctx);
	memset(&job, 0, sizeof(job));
	job.caller = pthread_self();
	ctx.cancel = cancel_later;
	ctx.cancel_arg = &job;
	assert_int_equal(mg_pool_run(&ctx, pool, held_task, &job, 2), MG_CANCELLED);
	assert_int_equal(ctx.code, MG_CANCELLED);

	/* Tasks not yet begun are left out, and the pool is usable afterwards. */
	mg_ctx_init(&ctx);
	memset(&job, 0, sizeof(job));
	job.caller = pthread_self();
	ctx.cancel = cancel_counted;
	ctx.cancel_arg = &left;
	assert_int_equal(mg_pool_run(&ctx, NULL, pool_task, &job, 1000), MG_CANCELLED);
	assert_int_equal(job.ran[2], 1);
	assert_int_equal(job.ran[3], 0);
	mg_ctx_init(&ctx);
	assert_int_equal(mg_pool_run(&ctx, pool, pool_task, &job, 1000), MG_OK);
	assert_int_equal(job.ran[999], 1);
	mg_pool_destroy(pool);
}

/* Digits against printf's, and back; whatever is not exactly the digits is refused. */
static void
test_hex(void **state)
{
	uint8_t all[256], back[256];
	char text[2 * sizeof(all) + 1], want[3];

	for (int i = 0; i < 256; i++)
		all[i] = (uint8_t) i;
	mg_hex(all, sizeof(all), text);
	assert_int_equal(strlen(text), 2 * sizeof(all));
	for (int i = 0; i < 256; i++)
	{
		snprintf(want, sizeof(want), "%02x", (unsigned) i);
		assert_memory_equal(text + 2 * i, want, 2);
	}
	assert_true(mg_unhex(text, 512, back, 256));
	assert_memory_equal(back, all, 256);
	assert_true(mg_unhex("aBcDeF", 6, back, 3));
	assert_memory_equal(back, "\xab\xcd\xef", 3);
	assert_true(mg_unhex("00ff;", 4, back, 2));
	assert_true(mg_unhex("", 0, back, 0));
	assert_false(mg_unhex("00f", 3, back, 1));
	assert_false(mg_unhex("00ff", 4, back, 1));
	assert_false(mg_unhex("00ff", 4, back, 3));
	for (int c = 1; c < 256; c++)
	{
		char one[3] = {'0', (char) c, '\0'}, other[3] = {(char) c, '0', '\0'};
		bool digit = strchr("0123456789abcdefABCDEF", c) != NULL;

		assert_int_equal(mg_unhex(one, 2, back, 1), digit);
		assert_int_equal(mg_unhex(other, 2, back, 1), digit);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),      cmocka_unit_test(test_hooks),        cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_arena),       cmocka_unit_test(test_arena_limit),  cmocka_unit_test(test_new),
		cmocka_unit_test(test_bytes),       cmocka_unit_test(test_bytes_bounds), cmocka_unit_test(test_pool),
		cmocka_unit_test(test_pool_cancel), cmocka_unit_test(test_hex),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
