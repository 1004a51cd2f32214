/*
 * test/unit/test_watermark.c: plans as bytes, groups of values, signs, detection. What a detector says is held against
 * sums written out here, its p-value against all sign vectors.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "watermark/detect.h"
#include "world.h"

typedef struct world
{
	WORLD;
} world;

static int
set_up(void **state)
{
	return make_world(state, sizeof(world), 64) == NULL;
}

static void
any_key(world *w, uint8_t key[MG_KEY_BYTES])
{
	for (int i = 0; i < MG_KEY_BYTES; i++)
		key[i] = (uint8_t) mg_rng_u64(&w->rng);
}

/* ---- a plan: a category with labels, a number with NULL, a column without mark, a category of many groups ---- */

#define NCOLUMNS 4
#define NSUBSETS 2

static int
compare_hashes(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

	return (x > y) - (x < y);
}

static mg_mark_plan *
small_plan(world *w)
{
	static const char *const text[] = {"red", "green", "blue"};
	static const double breaks[] = {-1.5, 10}, even[] = {0.2, 0.2, 0.2, 0.2, 0.1, 0.1};
	static const uint8_t groups[] = {0, 1, 1};
	static const uint16_t branch[] = {3, 0};
	mg_mark_column *c = mg_arena_alloc(w->a, NCOLUMNS, sizeof(*c));
	mg_mark_subset *s = mg_arena_alloc(w->a, NSUBSETS, sizeof(*s));
	mg_mark_plan *p = mg_arena_alloc(w->a, 1, sizeof(*p));
	const double **margin = mg_arena_alloc(w->a, NCOLUMNS, sizeof(*margin));
	uint64_t *label = mg_arena_alloc(w->a, 3, sizeof(*label));
	uint8_t *q = mg_arena_alloc(w->a, 4096, 1);

	for (int i = 0; i < 3; i++)
		label[i] = mg_mark_label_hash(text[i], strlen(text[i]));
	qsort(label, 3, sizeof(*label), compare_hashes);
	c[0] = (mg_mark_column){.name = "colour", .name_len = 6, .kind = MG_CATEGORY, .ngroups = 3, .null_group = 2};
	c[0].nlabels = 3;
	c[0].label = label;
	c[0].label_group = groups;
	c[0].other_group = MG_MARK_MISSING;
	c[1] = (mg_mark_column){.name = "size", .name_len = 4, .kind = MG_NUMBER, .ngroups = 4, .null_group = 3};
	c[1].nbreaks = 2;
	c[1].ngroups = 4;
	c[1].breaks = breaks;
	c[1].other_group = MG_MARK_MISSING;
	c[2] = (mg_mark_column){.name = "copy", .name_len = 4, .kind = MG_NUMBER, .null_group = 255, .other_group = 255};
	c[3] = (mg_mark_column){.name = "shade", .name_len = 5, .kind = MG_CATEGORY, .ngroups = 6, .null_group = 255};
	c[3].other_group = 5;
	margin[0] = margin[1] = margin[3] = even;
	for (uint32_t i = 0; i < 4096; i++)
		q[i] = (uint8_t) (i % 5 == 0 ? MG_MARK_FREQUENT : i % 7 == 0 ? MG_MARK_NEVER : i % 60);
	s[0] = (mg_mark_subset){.k = 2, .cols = {0, 1}, .stride = {4, 1}, .cells = 12, .weight = 3, .tells = 100, .q = q};
	s[1] = (mg_mark_subset){.k = 3, .cols = {0, 1, 3}, .stride = {24, 6, 1}, .cells = 72, .first = 12, .q = q + 12};
	s[1].weight = 1;
	s[1].tells = 30;
	*p = (mg_mark_plan){.ncolumns = NCOLUMNS, .column = c, .margin = margin, .gate = 0.01, .nsubsets = NSUBSETS};
	p->subset = s;
	p->cells = 84;
	p->nbranches = 2;
	p->branch = branch;
	/* a number of three intervals and NULL */
	return p;
}

static void
same_bytes_again(world *w, const mg_mark_plan *p, mg_writer *first)
{
	mg_mark_plan *again = NULL;
	mg_writer second;

	mg_writer_init(first);
	mg_writer_init(&second);
	mg_mark_plan_write(p, first);
	assert_int_equal(mg_mark_plan_read(&w->ctx, first->data, first->len, &again), MG_OK);
	mg_mark_plan_write(again, &second);
	assert_int_equal(first->len, second.len);
	assert_memory_equal(first->data, second.data, first->len);
	assert_int_equal(again->cells, p->cells);
	assert_int_equal(again->subset[1].stride[0], p->subset[1].stride[0]);
	assert_int_equal(again->subset[1].first, p->subset[1].first);
	assert_string_equal(again->column[3].name, "shade");
	mg_mark_plan_destroy(again);
	mg_writer_free(&second);
}

static void
plans_come_back(void **state)
{
	world *w = *state;
	mg_writer bytes;

	same_bytes_again(w, small_plan(w), &bytes);
	mg_writer_free(&bytes);
}

/* Every cut is refused; every changed byte is refused, or what came of it writes itself and can be used. */
static void
damaged_plans_are_refused(void **state)
{
	static const bool all[NCOLUMNS] = {true, true, true, true};
	world *w = *state;
	const uint8_t key[MG_KEY_BYTES] = {1};
	uint32_t refused = 0;
	mg_writer bytes;

	same_bytes_again(w, small_plan(w), &bytes);
	for (size_t n = 0; n < bytes.len; n++)
	{
		uint8_t *copy = malloc(bytes.len);
		mg_mark_plan *p = NULL;
		mg_detector *d = NULL;
		mg_mark *m = NULL;

		memcpy(copy, bytes.data, bytes.len);
		mg_ctx_init(&w->ctx);
		assert_int_equal(mg_mark_plan_read(&w->ctx, copy, n, &p), MG_CORRUPT);
		assert_null(p);
		copy[n] ^= (uint8_t) (1 + below(w, 255));
		mg_ctx_init(&w->ctx);
		if (mg_mark_plan_read(&w->ctx, copy, bytes.len, &p) == MG_OK)
		{
			if (p->ncolumns <= NCOLUMNS)
			{
				assert_int_equal(mg_detector_create(&w->ctx, p, all, &d), MG_OK);
				assert_int_equal(mg_detect_finish(&w->ctx, d), MG_OK);
			}
			assert_int_equal(mg_mark_create(&w->ctx, p, key, NULL, &m), MG_OK);
			mg_mark_destroy(m);
			mg_detector_destroy(d);
		}
		else
		{
			assert_int_equal(w->ctx.code, MG_CORRUPT);
			refused++;
		}
		mg_mark_plan_destroy(p);
		free(copy);
	}
	assert_true(refused > 60);
	mg_writer_free(&bytes);
}

static void
values_find_their_groups(void **state)
{
	world *w = *state;
	const mg_mark_plan *p = small_plan(w);
	const mg_mark_column *colour = &p->column[0], *size = &p->column[1], *shade = &p->column[3];

	assert_int_equal(mg_mark_number_group(size, -1e300), 0);
	assert_int_equal(mg_mark_number_group(size, -1.5), 1);
	assert_int_equal(mg_mark_number_group(size, 9.99), 1);
	assert_int_equal(mg_mark_number_group(size, 10), 2);
	assert_int_equal(mg_mark_number_group(size, INFINITY), 2);
	assert_int_equal(mg_mark_number_group(size, NAN), MG_MARK_MISSING);
	assert_int_equal(mg_mark_number_group(&p->column[2], 3), MG_MARK_MISSING);
	assert_int_equal(mg_mark_number_group(colour, 3), MG_MARK_MISSING);
	for (uint32_t i = 0; i < 3; i++)
	{
		static const char *const text[] = {"red", "green", "blue"};
		uint32_t at = 0;

		while (colour->label[at] != mg_mark_label_hash(text[i], strlen(text[i])))
			at++;
		assert_int_equal(mg_mark_text_group(colour, text[i], strlen(text[i])), colour->label_group[at]);
	}
	assert_int_equal(mg_mark_text_group(colour, "re", 2), MG_MARK_MISSING);
	assert_int_equal(mg_mark_text_group(shade, "anything", 8), 5);
	assert_near(mg_mark_probability(p, 8), 0.005, 1e-15);
	assert_near(mg_mark_probability(p, MG_MARK_FREQUENT), 0.01, 1e-15);
}

/* ---- signs ---- */

static void
signs_are_fair_and_their_own(void **state)
{
	world *w = *state;
	uint8_t key[2][MG_KEY_BYTES], bits[2][8192], prefix[100];
	uint32_t set = 0, agree = 0;
	char id[2][17];

	for (int i = 0; i < 2; i++)
	{
		any_key(w, key[i]);
		assert_int_equal(mg_mark_signs(&w->ctx, key[i], 65536, bits[i]), MG_OK);
		assert_int_equal(mg_mark_key_id(&w->ctx, key[i], id[i]), MG_OK);
		assert_int_equal(strlen(id[i]), 16);
	}
	assert_string_not_equal(id[0], id[1]);
	for (int i = 0; i < 8192; i++)
	{
		set += (uint32_t) __builtin_popcount(bits[0][i]);
		agree += (uint32_t) __builtin_popcount((uint8_t) ~(bits[0][i] ^ bits[1][i]));
	}
	/* 65,536 fair coins: a deviation of 128 */
	assert_near(set, 32768, 5 * 128);
	assert_near(agree, 32768, 5 * 128);
	/* fewer cells have the same signs */
	assert_int_equal(mg_mark_signs(&w->ctx, key[0], 800, prefix), MG_OK);
	assert_memory_equal(prefix, bits[0], 100);
}

static void
scores_add_both_keys(void **state)
{
	world *w = *state;
	const mg_mark_plan *p = small_plan(w);
	uint8_t key[2][MG_KEY_BYTES], bits[2][16];
	mg_mark *both = NULL, *alone = NULL;

	for (int i = 0; i < 2; i++)
	{
		any_key(w, key[i]);
		assert_int_equal(mg_mark_signs(&w->ctx, key[i], p->cells, bits[i]), MG_OK);
	}
	assert_int_equal(mg_mark_create(&w->ctx, p, key[0], key[1], &both), MG_OK);
	assert_int_equal(mg_mark_create(&w->ctx, p, key[0], NULL, &alone), MG_OK);
	for (uint32_t i = 0; i < p->cells; i++)
	{
		const mg_mark_subset *s = &p->subset[i >= 12];
		int first = (bits[0][i / 8] >> (i % 8)) & 1 ? 1 : -1, second = (bits[1][i / 8] >> (i % 8)) & 1 ? 1 : -1;
		bool rare = s->q[i - s->first] != MG_MARK_FREQUENT;

		assert_int_equal(both->score[i], rare ? s->weight * (first + second) : 0);
		assert_int_equal(alone->score[i], rare ? s->weight * first : 0);
	}
	mg_mark_destroy(both);
	mg_mark_destroy(alone);
}

/* ---- the p-value ---- */

/* Largest excess of P(sum w s >= t) over the bound at any t that the sum takes; all sign vectors. */
static double
worst_excess(const double *w, uint32_t n)
{
	uint32_t all = 1u << n;
	double *sum = malloc(all * sizeof(*sum)), norm = 0, worst = -1;

	for (uint32_t i = 0; i < n; i++)
		norm += w[i] * w[i];
	norm = sqrt(norm);
	for (uint32_t v = 0; v < all; v++)
	{
		sum[v] = 0;
		for (uint32_t i = 0; i < n; i++)
			sum[v] += v >> i & 1 ? w[i] : -w[i];
	}
	for (uint32_t v = 0; v < all; v += n < 10 ? 1 : 37)
	{
		uint32_t above = 0;
		double excess;

		for (uint32_t u = 0; u < all; u++)
			above += sum[u] >= sum[v] - 1e-12;
		excess = (double) above / all - exp(mg_mark_log_p(sum[v] / norm));
		worst = excess > worst ? excess : worst;
	}
	free(sum);
	return worst;
}

static void
p_values_hold_for_all_sign_vectors(void **state)
{
	world *w = *state;
	double weight[12];

	for (int round = 0; round < 60; round++)
	{
		uint32_t n = 1 + below(w, 12);

		for (uint32_t i = 0; i < n; i++)
			weight[i] = round % 3 == 0 ? 1 : round % 3 == 1 ? mg_rng_unit(&w->rng) : pow(2, -(double) i);
		assert_true(worst_excess(weight, n) <= 1e-9);
	}
}

/* Weights that know the signs make a z that no bound on coins covers: the test above is not one that anything passes.
 */
static void
peeking_breaks_the_bound(void **state)
{
	/* w = s: the sum is always n */
	assert_true(exp(mg_mark_log_p(16 / sqrt(16))) < 0.001);
}

static void
p_values_reach_far(void **state)
{
	assert_near(mg_mark_log_p(0), 0, 0);
	assert_near(mg_mark_log_p(-3), 0, 0);
	assert_near(mg_mark_log_p(NAN), 0, 0);
	/* Hoeffding below, Bentkus and Dzindzalieta above */
	assert_near(mg_mark_log_p(0.5), -0.125, 1e-12);
	assert_near(mg_mark_log_p(6), log(3.1788) + log(9.865876450377018e-10), 1e-9);
	assert_true(isfinite(mg_mark_log_p(1e3)) && mg_mark_log_p(1e3) < -499999);
	for (double z = 0; z < 50; z += 0.01)
		assert_true(mg_mark_log_p(z + 0.01) <= mg_mark_log_p(z));
}

/* ---- detection ---- */

#define ROWS 2000

typedef struct rows
{
	uint8_t data[NCOLUMNS][ROWS];
	const uint8_t *group[NCOLUMNS];
} rows;

static void
random_rows(world *w, const mg_mark_plan *p, rows *r)
{
	for (uint32_t c = 0; c < NCOLUMNS; c++)
	{
		r->group[c] = r->data[c];
		for (uint32_t i = 0; i < ROWS; i++)
			r->data[c][i] = p->column[c].ngroups == 0 || below(w, 40) == 0 ? MG_MARK_MISSING
																		   : (uint8_t) below(w, p->column[c].ngroups);
	}
}

static mg_detector *
detector_of(world *w, const mg_mark_plan *p, const bool *present, const rows *r, size_t n)
{
	mg_detector *d = NULL;

	assert_int_equal(mg_detector_create(&w->ctx, p, present, &d), MG_OK);
	assert_int_equal(mg_detect_add(&w->ctx, d, r->group, n), MG_OK);
	assert_int_equal(mg_detect_finish(&w->ctx, d), MG_OK);
	return d;
}

/* Rows in one call or in many, in any order: the same verdict. */
static void
order_does_not_matter(void **state)
{
	static const bool all[NCOLUMNS] = {true, true, true, true};
	world *w = *state;
	const mg_mark_plan *p = small_plan(w);
	mg_detector *one, *many = NULL;
	mg_detection a, b;
	uint8_t key[MG_KEY_BYTES];
	static rows r, back;

	random_rows(w, p, &r);
	for (uint32_t c = 0; c < NCOLUMNS; c++)
		for (uint32_t i = 0; i < ROWS; i++)
			back.data[c][i] = r.data[c][ROWS - 1 - i];
	one = detector_of(w, p, all, &r, ROWS);
	assert_int_equal(mg_detector_create(&w->ctx, p, all, &many), MG_OK);
	for (uint32_t done = 0; done < ROWS; done += 250)
	{
		for (uint32_t c = 0; c < NCOLUMNS; c++)
			back.group[c] = back.data[c] + done;
		assert_int_equal(mg_detect_add(&w->ctx, many, back.group, 250), MG_OK);
	}
	assert_int_equal(mg_detect_finish(&w->ctx, many), MG_OK);
	any_key(w, key);
	assert_int_equal(mg_detect_key(&w->ctx, one, key, &a), MG_OK);
	assert_int_equal(mg_detect_key(&w->ctx, many, key, &b), MG_OK);
	assert_true(a.z == b.z && a.p == b.p && a.features == b.features && a.features > 0);
	mg_detector_destroy(one);
	mg_detector_destroy(many);
}

/* A plan whose columns are not all there uses the subsets that are whole, and no others. */
static void
absent_columns_take_their_subsets(void **state)
{
	static const bool some[NCOLUMNS] = {true, true, false, false}, few[NCOLUMNS] = {true};
	world *w = *state;
	const mg_mark_plan *p = small_plan(w);
	const uint8_t key[MG_KEY_BYTES] = {9};
	mg_detection found;
	mg_detector *d;
	static rows r;

	random_rows(w, p, &r);
	r.group[2] = r.group[3] = NULL;
	d = detector_of(w, p, some, &r, ROWS);
	assert_int_equal(mg_detector_subsets(d), 1);
	assert_int_equal(mg_detect_key(&w->ctx, d, key, &found), MG_OK);
	assert_true(found.features > 0 && found.features <= p->subset[0].cells);
	mg_detector_destroy(d);
	r.group[1] = NULL;
	d = detector_of(w, p, few, &r, ROWS);
	assert_int_equal(mg_detector_subsets(d), 0);
	assert_int_equal(mg_detect_key(&w->ctx, d, key, &found), MG_OK);
	assert_true(found.features == 0 && found.z == 0 && found.p == 1 && found.log_p == 0);
	mg_detector_destroy(d);
}

/* z has mean 0 and variance 1 over keys, whatever the rows: weights are normalised, and see no key. */
static void
keys_at_random_find_nothing(void **state)
{
	static const bool all[NCOLUMNS] = {true, true, true, true};
	world *w = *state;
	const mg_mark_plan *p = small_plan(w);
	double sum = 0, squares = 0;
	uint32_t below_5 = 0;
	mg_detector *d;
	static rows r;

	random_rows(w, p, &r);
	/* rows that pile up on single cells */
	for (uint32_t i = 0; i < ROWS / 2; i++)
		for (uint32_t c = 0; c < NCOLUMNS; c++)
			r.data[c][i] = r.data[c][i % 3];
	d = detector_of(w, p, all, &r, ROWS);
	for (int i = 0; i < 4000; i++)
	{
		uint8_t key[MG_KEY_BYTES];
		mg_detection found;

		any_key(w, key);
		assert_int_equal(mg_detect_key(&w->ctx, d, key, &found), MG_OK);
		sum += found.z;
		squares += found.z * found.z;
		below_5 += found.p < 0.05;
	}
	assert_near(sum / 4000, 0, 5 / sqrt(4000));
	assert_near(squares / 4000, 1, 5 * sqrt(2.0 / 4000));
	/* 0.05 of 4,000, and five deviations */
	assert_true(below_5 <= 200 + 5 * 14);
	mg_detector_destroy(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(plans_come_back, set_up, free_world),
		cmocka_unit_test_setup_teardown(damaged_plans_are_refused, set_up, free_world),
		cmocka_unit_test_setup_teardown(values_find_their_groups, set_up, free_world),
		cmocka_unit_test_setup_teardown(signs_are_fair_and_their_own, set_up, free_world),
		cmocka_unit_test_setup_teardown(scores_add_both_keys, set_up, free_world),
		cmocka_unit_test_setup_teardown(p_values_hold_for_all_sign_vectors, set_up, free_world),
		cmocka_unit_test(peeking_breaks_the_bound),
		cmocka_unit_test(p_values_reach_far),
		cmocka_unit_test_setup_teardown(order_does_not_matter, set_up, free_world),
		cmocka_unit_test_setup_teardown(absent_columns_take_their_subsets, set_up, free_world),
		cmocka_unit_test_setup_teardown(keys_at_random_find_nothing, set_up, free_world),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
