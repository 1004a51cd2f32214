/*
 * test/unit/test_model.c: the stored form of a model. Round trips, every byte damaged, every length cut, and damage
 * that keeps its checksum right.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"

/* ---- a method whose body is a list of numbers that must ascend ---- */

typedef struct toy
{
	uint32_t n;
	uint32_t *v;
} toy;

static mg_code
toy_write(mg_ctx *ctx, const mg_model *m, mg_writer *w)
{
	const toy *t = m->body;

	mg_put_u32(w, t->n);
	for (uint32_t i = 0; i < t->n; i++)
		mg_put_u32(w, t->v[i]);
	return MG_OK;
}

static mg_code
toy_read(mg_ctx *ctx, mg_model *m, mg_reader *r)
{
	toy *t;

	MG_NEW(ctx, m->arena, t, 1);
	t->n = mg_get_count(r, 4);
	MG_NEW(ctx, m->arena, t->v, t->n > 0 ? t->n : 1);
	for (uint32_t i = 0; i < t->n; i++)
	{
		t->v[i] = mg_get_u32(r);
		if (i > 0 && t->v[i] <= t->v[i - 1])
			return mg_fail(ctx, MG_CORRUPT, "numbers that do not ascend");
	}
	m->body = t;
	return MG_OK;
}

static const mg_method toy_method = {.name = "toy",
									 .summary = "numbers",
									 .write_body = toy_write,
									 .read_body = toy_read};
static const mg_method other_method = {.name = "toys",
									   .summary = "none",
									   .write_body = toy_write,
									   .read_body = toy_read};
static const mg_method *const methods[] = {&other_method, &toy_method, NULL};
static const mg_method *const no_methods[] = {&other_method, NULL};

/* ---- a model of one category and one number ---- */

static const mg_label labels[] = {{"red", 3}, {"", 0}, {"gr\xc3\xbcn", 5}};
static const mg_cell cells[] = {{0, 0}, {1, 7.5}, {7.5, 10}};
static const double fine_label[] = {5, 0, 2.25, 1, 0.5}, fine_number[] = {3, 0, 5.75, 0};
static const uint16_t merge_label[] = {0, 1, 1, 2, 3}, merge_number[] = {0, 1, 1, 0};
static const double coarse_label[] = {5, 2.25, 1, 0.5}, coarse_number[] = {3, 5.75}, variance[] = {1, 2, 3, 4};
static uint32_t ascending[] = {2, 3, 5, 7, 11};

static mg_model *
make_model(mg_ctx *ctx, uint32_t numbers)
{
	mg_model *m = NULL;
	toy *t;

	assert_int_equal(mg_model_create(ctx, &toy_method, 2, 0, &m), MG_OK);
	t = mg_arena_alloc(m->arena, 1, sizeof(*t));
	assert_non_null(t);
	t->n = numbers;
	t->v = ascending;
	m->body = t;
	m->total = 8.75;
	m->columns[0] = (mg_column){.domain = {.name = "colour",
										   .kind = MG_CATEGORY,
										   .nullable = true,
										   .open = true,
										   .has_other = true,
										   .nlabels = 3,
										   .labels = labels,
										   .other = "else"},
								.nfine = 5,
								.fine = fine_label,
								.ncoarse = 4,
								.merge = merge_label,
								.total = 8.75,
								.coarse = coarse_label,
								.coarse_var = variance};
	m->columns[1] =
		(mg_column){.domain = {.name = "size", .kind = MG_NUMBER, .lower = 0, .upper = 10, .step = 0.5, .bins = 7},
					.nfine = 4,
					.cells = cells,
					.fine = fine_number,
					.ncoarse = 2,
					.merge = merge_number,
					.total = 8.75,
					.coarse = coarse_number,
					.coarse_var = variance};
	return m;
}

static void
make_bytes(mg_ctx *ctx, mg_writer *w, uint32_t numbers)
{
	mg_model *m = make_model(ctx, numbers);

	mg_writer_init(w);
	assert_int_equal(mg_model_write(ctx, m, w), MG_OK);
	mg_model_destroy(m);
}

/* Reads a copy of exactly `len` bytes, so that a sanitizer sees any step beyond. */
static mg_code
read_copy(const mg_method *const *known, const uint8_t *data, size_t len, mg_model **out)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	mg_ctx ctx;
	mg_code code;

	assert_non_null(copy);
	mg_ctx_init(&ctx);
	if (len > 0)
		memcpy(copy, data, len);
	code = mg_model_read(&ctx, known, copy, len, out);
	assert_int_equal(ctx.code, code);
	assert_true((code == MG_OK) == (*out != NULL));
	free(copy);
	return code;
}

static void
seal(uint8_t *data, size_t len)
{
	uint32_t sum = mg_crc32c(data, len - 4);

	for (int i = 0; i < 4; i++)
		data[len - 4 + (size_t) i] = (uint8_t) (sum >> (8 * i));
}

static void
checksum_is_castagnoli(void **state)
{
	uint8_t zeros[32] = {0}, ones[32];

	memset(ones, 0xFF, sizeof(ones));
	/* RFC 3720, appendix B.4, and the check value of CRC-32C */
	assert_int_equal(mg_crc32c("123456789", 9), 0xE3069283u);
	assert_int_equal(mg_crc32c(zeros, 32), 0x8A9136AAu);
	assert_int_equal(mg_crc32c(ones, 32), 0x62A8AB43u);
	assert_int_equal(mg_crc32c(NULL, 0), 0);
}

static void
round_trip(void **state)
{
	mg_ctx ctx;
	mg_writer first, second;
	mg_model *m;

	mg_ctx_init(&ctx);
	make_bytes(&ctx, &first, 5);
	assert_int_equal(read_copy(methods, first.data, first.len, &m), MG_OK);
	assert_ptr_equal(m->method, &toy_method);
	assert_int_equal(m->ncolumns, 2);
	assert_true(m->total == 8.75);
	assert_string_equal(m->columns[0].domain.name, "colour");
	assert_string_equal(m->columns[0].domain.labels[2].text, "gr\xc3\xbcn");
	assert_string_equal(m->columns[0].domain.other, "else");
	assert_true(m->columns[0].domain.nullable && m->columns[0].domain.open && m->columns[0].domain.has_other);
	assert_memory_equal(m->columns[0].fine, fine_label, sizeof(fine_label));
	assert_memory_equal(m->columns[1].cells, cells, sizeof(cells));
	assert_memory_equal(m->columns[1].merge, merge_number, sizeof(merge_number));
	assert_int_equal(m->columns[1].domain.bins, 7);
	assert_int_equal(((toy *) m->body)->v[4], 11);

	/* what was read writes the same bytes, also behind others in one buffer */
	mg_writer_init(&second);
	mg_put_str(&second, "before", 6);
	assert_int_equal(mg_model_write(&ctx, m, &second), MG_OK);
	assert_int_equal(second.len, first.len + 10);
	assert_memory_equal(second.data + 10, first.data, first.len);
	mg_model_destroy(m);
	mg_writer_free(&first);
	mg_writer_free(&second);
	mg_model_destroy(NULL);
}

static void
every_damage_is_seen(void **state)
{
	mg_ctx ctx;
	mg_writer w;
	mg_model *m;

	mg_ctx_init(&ctx);
	make_bytes(&ctx, &w, 5);
	for (size_t i = 0; i < w.len; i++)
		for (int bit = 0; bit < 8; bit++)
		{
			w.data[i] ^= (uint8_t) (1 << bit);
			assert_int_equal(read_copy(methods, w.data, w.len, &m), MG_CORRUPT);
			w.data[i] ^= (uint8_t) (1 << bit);
		}
	for (size_t n = 0; n < w.len; n++)
		assert_int_equal(read_copy(methods, w.data, n, &m), MG_CORRUPT);
	mg_writer_free(&w);
}

/* The checksum is no defence: with it made right again, each changed byte gives a sound model or a plain refusal. */
static void
sealed_damage_is_harmless(void **state)
{
	static const uint8_t values[] = {0x00, 0x01, 0x7F, 0x80, 0xFF};
	size_t refused = 0, accepted = 0;
	mg_ctx ctx;
	mg_writer w;

	mg_ctx_init(&ctx);
	make_bytes(&ctx, &w, 5);
	for (size_t i = 0; i + 4 < w.len; i++)
		for (size_t v = 0; v < sizeof(values); v++)
		{
			uint8_t old = w.data[i];
			mg_model *m = NULL;
			mg_code code;

			w.data[i] = values[v];
			seal(w.data, w.len);
			code = read_copy(methods, w.data, w.len, &m);
			assert_true(code == MG_OK || code == MG_CORRUPT);
			if (code == MG_OK)
			{
				assert_true(m->total >= 1 && m->ncolumns == 2);
				accepted++;
			}
			else
				refused++;
			mg_model_destroy(m);
			w.data[i] = old;
		}
	assert_true(refused > 100 && accepted > 100);
	/* cut anywhere, and grown */
	for (size_t n = 4; n < w.len; n++)
	{
		uint8_t *cut = malloc(n);
		mg_model *m;

		assert_non_null(cut);
		memcpy(cut, w.data, n);
		seal(cut, n);
		assert_int_equal(read_copy(methods, cut, n, &m), MG_CORRUPT);
		free(cut);
	}
	mg_put_u32(&w, 0);
	seal(w.data, w.len);
	{
		mg_model *m;

		assert_int_equal(read_copy(methods, w.data, w.len, &m), MG_CORRUPT);
	}
	mg_writer_free(&w);
}

static void
put_header(mg_writer *w, uint32_t version, const char *method, uint32_t columns)
{
	mg_writer_init(w);
	mg_put_raw(w, "MGMODEL", 8);
	mg_put_u32(w, version);
	mg_put_str(w, method, strlen(method));
	mg_put_u32(w, columns);
}

static mg_code
read_sealed(mg_writer *w)
{
	mg_model *m = NULL;
	mg_code code;

	mg_put_u32(w, 0);
	seal(w->data, w->len);
	code = read_copy(methods, w->data, w->len, &m);
	mg_model_destroy(m);
	mg_writer_free(w);
	return code;
}

static void
hostile_headers(void **state)
{
	static const uint32_t counts[] = {0, 1, 2, 1600, 1601, 0x7FFFFFFF, 0xFFFFFFFF};
	mg_writer w;
	mg_ctx ctx;
	mg_model *m;

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
	{
		put_header(&w, 1, "toy", counts[i]);
		assert_int_equal(read_sealed(&w), MG_CORRUPT);
	}
	put_header(&w, 3, "toy", 1);
	assert_int_equal(read_sealed(&w), MG_CORRUPT);
	put_header(&w, 0, "toy", 1);
	assert_int_equal(read_sealed(&w), MG_CORRUPT);
	put_header(&w, 1, "", 1);
	assert_int_equal(read_sealed(&w), MG_CORRUPT);
	put_header(&w, 1, "nobody", 1);
	assert_int_equal(read_sealed(&w), MG_CORRUPT);

	/* a method that this program lacks */
	mg_ctx_init(&ctx);
	make_bytes(&ctx, &w, 0);
	assert_int_equal(read_copy(no_methods, w.data, w.len, &m), MG_CORRUPT);
	assert_int_equal(read_copy(methods, w.data, w.len, &m), MG_OK);
	mg_model_destroy(m);
	mg_writer_free(&w);
}

static void
totals_must_be_counts(void **state)
{
	static const double bad[] = {0, 0.5, -3, NAN, INFINITY, -INFINITY};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		mg_ctx ctx;
		mg_writer w;
		mg_model *m;

		mg_ctx_init(&ctx);
		m = make_model(&ctx, 1);
		m->total = bad[i];
		mg_writer_init(&w);
		assert_int_equal(mg_model_write(&ctx, m, &w), MG_OK);
		mg_model_destroy(m);
		assert_int_equal(read_copy(methods, w.data, w.len, &m), MG_CORRUPT);
		mg_writer_free(&w);
	}
}

/* Constraints are stored with the model. */
static void
constraints_are_kept(void **state)
{
	const mg_expr expr = {.kind = MG_EXPR_IS_NULL, .span = 1, .col = 1};
	const uint32_t cols[] = {1};
	const mg_constraint list[] = {
		{.name = "c",
		 .definition = "CHECK (size IS NULL)",
		 .how = MG_HOW_REDRAWS,
		 .nnodes = 1,
		 .expr = &expr,
		 .ncols = 1,
		 .cols = cols,
		 .rejected = 0.5},
		{.name = "d", .definition = "UNIQUE (size)", .why = "no", .rejected = -1},
	};
	mg_ctx ctx;
	mg_writer w;
	mg_model *m;

	mg_ctx_init(&ctx);
	m = make_model(&ctx, 3);
	assert_int_equal(mg_model_constrain(&ctx, m, list, 2), MG_OK);
	mg_writer_init(&w);
	assert_int_equal(mg_model_write(&ctx, m, &w), MG_OK);
	mg_model_destroy(m);
	assert_int_equal(read_copy(methods, w.data, w.len, &m), MG_OK);
	assert_int_equal(m->nconstraints, 2);
	assert_string_equal(m->constraints[0].definition, list[0].definition);
	assert_true(m->constraints[0].ncols == 1 && m->constraints[0].cols[0] == 1 && m->constraints[0].rejected == 0.5);
	assert_string_equal(m->constraints[1].why, "no");
	mg_model_destroy(m);
	mg_writer_free(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checksum_is_castagnoli), cmocka_unit_test(round_trip),
		cmocka_unit_test(every_damage_is_seen),   cmocka_unit_test(sealed_damage_is_harmless),
		cmocka_unit_test(hostile_headers),        cmocka_unit_test(totals_must_be_counts),
		cmocka_unit_test(constraints_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
