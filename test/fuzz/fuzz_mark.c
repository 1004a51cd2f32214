/*
 * test/fuzz/fuzz_mark.c: any bytes as the plan of a watermark. What is accepted must write itself again to the same
 * bytes, give signs, tell groups of any value, and detect in any rows.
 *
 * With -DWRITE_CORPUS it is a program that writes its seed into the folder given (no other main may be linked then).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "watermark/detect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROWS 300

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static void
ask_groups(const mg_mark_plan *p)
{
	static const double numbers[] = {-1e308, -1, 0, 0.5, 7, 1e308};

	for (uint32_t c = 0; c < p->ncolumns; c++)
	{
		const mg_mark_column *col = &p->column[c];
		uint8_t g = mg_mark_text_group(col, "label", 5);

		check(g < col->ngroups || g == MG_MARK_MISSING);
		for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		{
			g = mg_mark_number_group(col, numbers[i]);
			check(g < col->ngroups || g == MG_MARK_MISSING);
		}
	}
}

/* Groups of all kinds, those that no column has among them; every third column is not there. */
static void
detect(mg_ctx *ctx, const mg_mark_plan *p, const uint8_t *data, size_t size)
{
	const uint8_t key[MG_KEY_BYTES] = {3};
	const uint8_t **group = calloc(p->ncolumns, sizeof(*group));
	bool *present = calloc(p->ncolumns, sizeof(*present));
	uint8_t *row = malloc(ROWS);
	mg_detection found;
	mg_detector *d;

	check(group != NULL && present != NULL && row != NULL);
	for (int i = 0; i < ROWS; i++)
		row[i] = size > 0 ? data[(size_t) i * 7 % size] : 0;
	for (uint32_t c = 0; c < p->ncolumns; c++)
	{
		present[c] = c % 3 != 2;
		group[c] = row;
	}
	check(mg_detector_create(ctx, p, present, &d) == MG_OK);
	check(mg_detect_add(ctx, d, group, ROWS) == MG_OK);
	check(mg_detect_finish(ctx, d) == MG_OK);
	check(mg_detect_key(ctx, d, key, &found) == MG_OK);
	check(found.p >= 0 && found.p <= 1 && found.log_p <= 0 && found.z == found.z);
	mg_detector_destroy(d);
	free(row);
	free(present);
	free(group);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t key[MG_KEY_BYTES] = {4};
	mg_mark_plan *p, *again = NULL;
	mg_mark *mark;
	mg_writer w, second;
	mg_ctx ctx;
	mg_code code;

	mg_ctx_init(&ctx);
	code = mg_mark_plan_read(&ctx, data, size, &p);
	check((code == MG_OK) == (p != NULL) && ctx.code == code);
	if (code != MG_OK)
		return 0;
	ask_groups(p);
	detect(&ctx, p, data, size);
	check(mg_mark_create(&ctx, p, key, key, &mark) == MG_OK);
	mg_mark_destroy(mark);
	mg_writer_init(&w);
	mg_writer_init(&second);
	mg_mark_plan_write(p, &w);
	check(mg_mark_plan_read(&ctx, w.data, w.len, &again) == MG_OK);
	mg_mark_plan_write(again, &second);
	check(w.len == second.len && memcmp(w.data, second.data, w.len) == 0);
	mg_writer_free(&w);
	mg_writer_free(&second);
	mg_mark_plan_destroy(again);
	mg_mark_plan_destroy(p);
	return 0;
}

#ifdef WRITE_CORPUS

int
main(int argc, char **argv)
{
	static const uint64_t label[] = {10, 20};
	static const uint8_t label_group[] = {1, 0};
	static const double breaks[] = {0.5, 2}, margin[] = {0.5, 0.25, 0.25, 0};
	static const mg_mark_column column[] = {
		{"t", 1, MG_CATEGORY, 3, 2, 2, label, label_group, MG_MARK_MISSING, 0, NULL},
		{"n", 1, MG_NUMBER, 4, 3, 0, NULL, NULL, MG_MARK_MISSING, 2, breaks},
		{"d", 1, MG_NUMBER, 0, MG_MARK_MISSING, 0, NULL, NULL, MG_MARK_MISSING, 0, NULL},
	};
	static const double *const margins[] = {margin, margin, NULL};
	static const uint8_t q[12] = {255, 255, 255, 0, 9, 40, 254, 254, 254, 254, 1, 2};
	static const uint16_t branch[] = {1};
	static const mg_mark_subset subset = {2, {0, 1}, {4, 1}, 12, 0, q, 5, 3, 90};
	const mg_mark_plan p = {NULL, 3, column, margins, 0.01, 1, &subset, 12, 1, branch};
	char path[4096];
	mg_writer w;
	FILE *f;

	mg_writer_init(&w);
	mg_mark_plan_write(&p, &w);
	if (argc != 2)
		return 2;
	snprintf(path, sizeof(path), "%s/small", argv[1]);
	f = fopen(path, "wb");
	if (f == NULL)
		return 1;
	fwrite(w.data, 1, w.len, f);
	fclose(f);
	mg_writer_free(&w);
	return 0;
}

#endif
