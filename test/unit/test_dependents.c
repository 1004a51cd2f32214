/*
 * test/unit/test_dependents.c: the property of dependent columns itself, over random models: equal determinants, equal
 * dependants, across batches, keys and wanted columns; and the stored form of their functions.
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

#include "toy_model.h"

static const uint32_t on_0[] = {0};

/* ---- the property ---- */

/* What a value is to the server: NULL, a text, a number; a number of a real column to single precision. */
static size_t
print_value(const mg_column *c, const mg_values *v, uint32_t i, char *out, size_t room)
{
	if (v->null[i])
		return (size_t) snprintf(out, room, "|null");
	if (c->domain.kind == MG_NUMBER)
		return (size_t) snprintf(out, room, "|%.9g", (double) (float) v->number[i]);
	return (size_t) snprintf(out, room, "|%s",
							 v->label[i] < c->domain.nlabels ? c->domain.labels[v->label[i]].text : c->domain.other);
}

typedef struct seen
{
	char key[200], value[60];
} seen;
#define SLOTS 65536

/* Remembers the pair, or holds it against what was seen; true: the key is known already. */
static bool
hold_against(seen *table, const char *key, const char *value)
{
	uint64_t h = 14695981039346656037u;

	for (const char *p = key; *p != '\0'; p++)
		h = (h ^ (uint8_t) *p) * 1099511628211u;
	for (uint32_t i = (uint32_t) (h % SLOTS);; i = (i + 1) % SLOTS)
	{
		if (table[i].key[0] == '\0')
		{
			snprintf(table[i].key, sizeof(table[i].key), "%s", key);
			snprintf(table[i].value, sizeof(table[i].value), "%s", value);
			return false;
		}
		if (strcmp(table[i].key, key) == 0)
		{
			assert_string_equal(table[i].value, value);
			return true;
		}
	}
}

/* All rows of a batch; wanted: dependants whose values may be looked at. Counts how often a key was seen again. */
static uint32_t
check_batch(const mg_model *m, const mg_batch *b, const bool *wanted, seen *table)
{
	uint32_t again = 0;

	for (uint32_t i = 0; i < m->ndependencies; i++)
	{
		const mg_dependency *d = &m->dependencies[i];

		for (uint32_t r = 0; r < b->rows && (wanted == NULL || wanted[d->column]); r++)
		{
			char key[200], value[60];
			size_t len = (size_t) snprintf(key, sizeof(key), "%u", d->column);

			for (uint32_t j = 0; j < d->ndeterminants; j++)
				len += print_value(&m->columns[d->determinants[j]], &b->column[d->determinants[j]], r, key + len,
								   sizeof(key) - len);
			print_value(&m->columns[d->column], &b->column[d->column], r, value, sizeof(value));
			again += hold_against(table, key, value);
		}
	}
	return again;
}

static void
equal_determinants_equal_dependants(void **state)
{
	world *w = *state;

	for (int model = 0; model < 6; model++)
	{
		seen *table = calloc(SLOTS, sizeof(seen));
		uint32_t again = 0;

		assert_non_null(table);
		make_mixed(w, &even);
		assert_int_equal(mg_model_depend(&w->ctx, w->model, mixed, NMIXED), MG_OK);
		for (int s = 0; s < 4; s++)
		{
			static const uint32_t rows[] = {700, 1, 333, 50};
			bool want[COLUMNS] = {false, s != 2, true, false, s != 1, s == 3, false};
			uint8_t key[32];
			mg_stream *stream;
			const mg_batch *b;

			for (int i = 0; i < 32; i++)
				key[i] = (uint8_t) below(w, 256);
			assert_int_equal(mg_stream_create(&w->ctx, w->model, key, &stream), MG_OK);
			if (s > 0)
				mg_stream_want(stream, want);
			for (int i = 0; i < 4; i++)
			{
				assert_int_equal(mg_stream_next(&w->ctx, stream, rows[i], &b), MG_OK);
				again += check_batch(w->model, b, s > 0 ? want : NULL, table);
			}
			mg_stream_destroy(stream);
		}
		assert_true(again > 4000); /* of about 12,000: the property was put to the test */
		free(table);
	}
}

/* What a real column stores alike is one value: a tenth, and the single-precision number next to it, are in two codes.
 */
static void
numbers_that_round_alike_are_one(void **state)
{
	static const mg_cell cell[] = {{0.1, 0.1}, {(double) 0.1f, (double) 0.1f}, {3, 3}, {3, 6}};
	static const double fine[] = {1, 1, 1, 1, 0}, coarse[] = {1, 1, 1, 1};
	static const uint16_t merge[] = {0, 1, 2, 3, 0};
	static const uint8_t key[32] = {1};
	world *w = *state;
	mg_dependency d = {.column = 1, .ndeterminants = 1, .determinants = on_0};
	uint32_t label[2] = {99, 99}, count[2] = {0};
	double joint[4 * 4] = {0};
	mg_stream *s;
	const mg_batch *b;
	mg_column *c;

	make_model(w, &even, 2);
	c = w->model->columns;
	c[0] = (mg_column){.domain = {.name = "x", .kind = MG_NUMBER, .lower = 0, .upper = 6},
					   .nfine = 5,
					   .cells = cell,
					   .fine = fine,
					   .merge = merge,
					   .ncoarse = 4,
					   .coarse = coarse,
					   .coarse_var = coarse};
	make_category(w, w->model->arena, &c[1], 3, 4, false, false);
	assert_int_equal(mg_model_depend(&w->ctx, w->model, &d, 1), MG_OK);
	for (uint32_t i = 0; i < 4; i++)
		joint[i * 4 + i % 3] = 1;
	assert_int_equal(mg_dependency_learn(&w->ctx, w->model->arena, c, 2, joint, &d), MG_OK);
	d.determinants = w->model->dependencies[0].determinants;
	w->model->dependencies = &d;
	assert_int_equal(mg_stream_create(&w->ctx, w->model, key, &s), MG_OK);
	assert_int_equal(mg_stream_next(&w->ctx, s, 1000, &b), MG_OK);
	for (uint32_t r = 0; r < b->rows; r++)
	{
		double x = b->column[0].number[r];
		int which = x == 0.1 ? 0 : 1;

		if (x == 3) /* the single value's cell, not that of the interval that begins there */
			assert_int_equal(b->column[1].label[r], 2);
		if (x > 1)
			continue;
		count[which]++;
		assert_true(label[0] == 99 || b->column[1].label[r] == label[0]);
		label[0] = b->column[1].label[r];
	}
	assert_true(count[0] > 100 && count[1] > 100);
	mg_stream_destroy(s);
}

/* A dependent column is the same whether what it depends on is wanted or not. */
static void
what_is_wanted_changes_nothing(void **state)
{
	static const uint8_t key[32] = {77};
	static const bool want[COLUMNS] = {false, false, true, false, true, true, false};
	world *w = *state;
	mg_stream *all, *some;
	const mg_batch *a, *b;

	make_mixed(w, &even);
	assert_int_equal(mg_model_depend(&w->ctx, w->model, mixed, NMIXED), MG_OK);
	assert_int_equal(mg_stream_create(&w->ctx, w->model, key, &all), MG_OK);
	assert_int_equal(mg_stream_create(&w->ctx, w->model, key, &some), MG_OK);
	mg_stream_want(some, want);
	assert_int_equal(mg_stream_next(&w->ctx, all, 2000, &a), MG_OK);
	assert_int_equal(mg_stream_next(&w->ctx, some, 2000, &b), MG_OK);
	for (uint32_t c = 0; c < COLUMNS; c++)
		for (uint32_t r = 0; r < 2000 && want[c]; r++)
		{
			char x[60], y[60];

			print_value(&w->model->columns[c], &a->column[c], r, x, sizeof(x));
			print_value(&w->model->columns[c], &b->column[c], r, y, sizeof(y));
			assert_string_equal(x, y);
		}
	mg_stream_destroy(all);
	mg_stream_destroy(some);
}

/* What is not wanted and not needed changes nothing; values of free columns are those of a model without dependence. */
static void
free_columns_stay_as_they_are(void **state)
{
	static const uint8_t key[32] = {5};
	world *w = *state;
	mg_stream *with, *without;
	const mg_batch *a, *b;

	make_mixed(w, &even);
	assert_int_equal(mg_stream_create(&w->ctx, w->model, key, &without), MG_OK);
	assert_int_equal(mg_model_depend(&w->ctx, w->model, mixed, NMIXED), MG_OK);
	assert_int_equal(mg_stream_create(&w->ctx, w->model, key, &with), MG_OK);
	for (int i = 0; i < 3; i++)
	{
		assert_int_equal(mg_stream_next(&w->ctx, with, 500, &a), MG_OK);
		assert_int_equal(mg_stream_next(&w->ctx, without, 500, &b), MG_OK);
		for (uint32_t c = 0; c < COLUMNS; c += 3)
			for (uint32_t r = 0; r < 500; r++)
			{
				assert_int_equal(a->column[c].null[r], b->column[c].null[r]);
				if (a->column[c].null[r])
					continue;
				if (w->model->columns[c].domain.kind == MG_NUMBER)
					assert_true(a->column[c].number[r] == b->column[c].number[r]);
				else
					assert_int_equal(a->column[c].label[r], b->column[c].label[r]);
			}
	}
	mg_stream_destroy(with);
	mg_stream_destroy(without);
}

/* Emitted values belong to the code that the map names, in its domain. */
static void
values_are_of_the_code_that_is_looked_up(void **state)
{
	static const uint8_t key[32] = {9};
	world *w = *state;
	mg_stream *s;
	const mg_batch *b;
	const mg_dependency *d;

	make_mixed(w, &even);
	assert_int_equal(mg_model_depend(&w->ctx, w->model, &mixed[1], 1), MG_OK); /* 1 is a function of 0 */
	d = w->model->dependencies;
	assert_int_equal(mg_stream_create(&w->ctx, w->model, key, &s), MG_OK);
	assert_int_equal(mg_stream_next(&w->ctx, s, 4000, &b), MG_OK);
	for (uint32_t r = 0; r < b->rows; r++)
	{
		const mg_column *det = &w->model->columns[0], *col = &w->model->columns[1];
		uint32_t label = b->column[0].label[r];
		uint32_t fine = b->column[0].null[r] ? det->nfine - 1 : label < det->domain.nlabels ? label : 20;

		assert_false(b->column[1].null[r]);
		assert_true(b->column[1].label[r] < col->domain.nlabels);
		assert_int_equal(col->merge[b->column[1].label[r]], col->merge[d->code[fine]]);
		if (d->code[fine] < col->domain.nlabels)
			assert_int_equal(b->column[1].label[r], d->code[fine]);
	}
	mg_stream_destroy(s);
}

/* ---- bytes ---- */

static void
write_model(world *w, mg_writer *out)
{
	mg_writer_init(out);
	assert_int_equal(mg_model_write(&w->ctx, w->model, out), MG_OK);
}

static void
models_keep_their_functions(void **state)
{
	static const uint8_t key[32] = {3};
	world *w = *state;
	mg_model *again = NULL;
	mg_stream *s;
	const mg_batch *b;
	mg_writer first, second;
	seen *table = calloc(SLOTS, sizeof(seen));

	assert_non_null(table);
	make_mixed(w, &even);
	assert_int_equal(mg_model_depend(&w->ctx, w->model, mixed, NMIXED), MG_OK);
	write_model(w, &first);
	assert_int_equal(mg_model_read(&w->ctx, toy_methods, first.data, first.len, &again), MG_OK);
	mg_writer_init(&second);
	assert_int_equal(mg_model_write(&w->ctx, again, &second), MG_OK);
	assert_int_equal(first.len, second.len);
	assert_memory_equal(first.data, second.data, first.len);
	/* one table for both: what the one emits holds for the other */
	for (int i = 0; i < 2; i++)
	{
		assert_int_equal(mg_stream_create(&w->ctx, i == 0 ? w->model : again, key, &s), MG_OK);
		assert_int_equal(mg_stream_next(&w->ctx, s, 2000, &b), MG_OK);
		check_batch(w->model, b, NULL, table);
		mg_stream_destroy(s);
	}
	mg_writer_free(&first);
	mg_writer_free(&second);
	mg_model_destroy(again);
	free(table);
}

/* A section of the given words after a model's columns, and its checksum: is it accepted? */
static mg_code
try_section(world *w, const mg_writer *plain, size_t at, const uint32_t *word, size_t nwords, const uint16_t *code,
			size_t ncodes)
{
	mg_model *m = NULL;
	mg_writer out;
	mg_code result;
	mg_ctx ctx;

	mg_writer_init(&out);
	mg_put_raw(&out, plain->data, at);
	for (size_t i = 0; i < nwords; i++)
		mg_put_u32(&out, word[i]);
	for (size_t i = 0; i < ncodes; i++)
		mg_put_u16(&out, code[i]);
	mg_put_u64(&out, 12345); /* salt */
	mg_put_u64(&out, 0);     /* body */
	mg_put_u32(&out, mg_crc32c(out.data, out.len));
	mg_ctx_init(&ctx);
	result = mg_model_read(&ctx, toy_methods, out.data, out.len, &m);
	mg_model_destroy(m);
	mg_writer_free(&out);
	return result;
}

static void
damaged_sections_are_refused(void **state)
{
	world *w = *state;
	mg_writer plain;
	size_t at;
	uint16_t code[8] = {0, 1, 2, 0, 1, 2, 1, 0};
	mg_column *c;

	make_model(w, &even, 3);
	c = w->model->columns;
	make_category(w, w->model->arena, &c[0], 4, 5, true, false); /* 6 fine cells, 6 codes */
	make_category(w, w->model->arena, &c[1], 2, 3, false, false);
	make_category(w, w->model->arena, &c[2], 2, 2, false, false);
	write_model(w, &plain);
	at = plain.len - 4 - 8 - 8 - 4; /* checksum, length of the body, salt, count */

#define SECTION(ncodes, ...) \
	try_section(w, &plain, at, (const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / 4, code, ncodes)
	assert_int_equal(SECTION(6, 1, 1, 1, 0, 1, 6), MG_OK);
	assert_int_equal(SECTION(6, 1, 3, 1, 0, 1, 6), MG_CORRUPT); /* no such column */
	assert_int_equal(SECTION(6, 1, 1, 1, 3, 1, 6), MG_CORRUPT);
	assert_int_equal(SECTION(6, 1, 1, 1, 1, 1, 6), MG_CORRUPT); /* itself */
	assert_int_equal(SECTION(6, 1, 1, 1, 0, 2, 6), MG_CORRUPT); /* uses more than it has */
	assert_int_equal(SECTION(5, 1, 1, 1, 0, 1, 5), MG_CORRUPT); /* cells of another column */
	code[5] = 4;
	assert_int_equal(SECTION(6, 1, 2, 1, 0, 1, 6), MG_CORRUPT); /* cell 4 of 4 */
	code[5] = 1;
	assert_int_equal(SECTION(6, 1, 2, 1, 0, 1, 6), MG_OK);
	assert_int_equal(SECTION(8, 1, 2, 2, 0, 1, 2, 18), MG_CORRUPT); /* of two: 18 codes are not there */
	assert_int_equal(SECTION(6, 1, 1, 0, 1, 6), MG_CORRUPT);        /* of nothing */
	assert_int_equal(SECTION(6, 2, 1, 1, 0, 1, 6), MG_CORRUPT);     /* one of two is missing */
	assert_int_equal(SECTION(0, 4000000000u, 1, 1, 0, 1, 6), MG_CORRUPT);
	assert_int_equal(SECTION(0, 1, 1, 1, 0, 1, 4000000000u), MG_CORRUPT);
	assert_int_equal(SECTION(6, 1, 1, 2, 0, 0, 1, 6), MG_CORRUPT); /* twice */
#undef SECTION
	/* 1 <- 0 and 0 <- 1: whichever comes first, it is settled too early; and a column that is settled twice */
	for (uint32_t other = 0; other < 2; other++)
	{
		mg_model *m = NULL;
		mg_writer out;

		mg_writer_init(&out);
		mg_put_raw(&out, plain.data, at);
		mg_put_u32(&out, 2);
		for (uint32_t i = 0; i < 2; i++)
		{
			uint32_t column = i == 0 ? 1 : other, det = 1 - column;

			mg_put_u32(&out, column);
			mg_put_u32(&out, 1);
			mg_put_u32(&out, det);
			mg_put_u32(&out, 1);
			mg_put_u32(&out, c[det].nfine);
			for (uint32_t f = 0; f < c[det].nfine; f++)
				mg_put_u16(&out, 0);
		}
		mg_put_u64(&out, 1);
		mg_put_u64(&out, 0);
		mg_put_u32(&out, mg_crc32c(out.data, out.len));
		mg_ctx_init(&w->ctx);
		assert_int_equal(mg_model_read(&w->ctx, toy_methods, out.data, out.len, &m), MG_CORRUPT);
		mg_writer_free(&out);
	}
	mg_writer_free(&plain);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(equal_determinants_equal_dependants, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(numbers_that_round_alike_are_one, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(what_is_wanted_changes_nothing, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(free_columns_stay_as_they_are, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(values_are_of_the_code_that_is_looked_up, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(models_keep_their_functions, toy_set_up, toy_tear_down),
		cmocka_unit_test_setup_teardown(damaged_sections_are_refused, toy_set_up, toy_tear_down),
	};

	return cmocka_run_group_tests_name("dependents", tests, NULL, NULL);
}
