/*
 * test/fuzz/fuzz_model.c: any bytes as a stored model. What is accepted must also compile, emit rows, with conditions
 * too, and write itself again.
 *
 * The bytes are tried as they are and with their checksum made right, or the fuzzer would never pass it.
 * With -DWRITE_CORPUS it is a program that writes its seeds into the folder given (no other main may be linked then).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/dependency.h"
#include "synthesis/condition.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROWS 37

static void
check(bool ok)
{
	if (!ok)
		abort();
}

/* No row violates a constraint that the model keeps. */
static void
check_constraints(const mg_model *m, const mg_batch *batch)
{
	mg_arena *a = mg_arena_create(0);
	uint8_t truth[ROWS];
	mg_check *k;
	mg_ctx ctx;

	check(a != NULL);
	mg_ctx_init(&ctx);
	for (uint32_t i = 0; i < m->nconstraints; i++)
	{
		if (!mg_constraint_enforced(&m->constraints[i]))
			continue;
		check(mg_check_prepare(&ctx, a, m->columns, m->ncolumns, &m->constraints[i], &k) == MG_OK);
		mg_check_rows(k, batch->column, batch->rows, truth);
		for (uint32_t r = 0; r < batch->rows; r++)
			check(truth[r] != MG_TRUTH_FALSE);
	}
	mg_arena_destroy(a);
}

static void
emit_rows(const mg_model *m)
{
	static const uint8_t key[32] = {7};
	const mg_batch *batch;
	mg_stream *s;
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	if (mg_stream_create(&ctx, m, key, &s) != MG_OK)
		return;
	for (int i = 0; i < 2 && mg_stream_next(&ctx, s, i == 0 ? ROWS : 1, &batch) == MG_OK; i++)
	{
		check_constraints(m, batch);
		for (uint32_t c = 0; c < m->ncolumns; c++)
		{
			const mg_domain *d = &m->columns[c].domain;
			const mg_values *v = &batch->column[c];

			for (uint32_t r = 0; r < batch->rows; r++)
			{
				if (v->null[r])
					check(d->nullable);
				else if (d->kind == MG_CATEGORY)
					check(v->label[r] <= d->nlabels);
				else
					check(v->number[r] >= d->lower && v->number[r] <= d->upper);
			}
		}
	}
	mg_stream_destroy(s);
}

/* Every other label, or the upper parts of a number's range; NULL on the first column only. */
static void
emit_conditioned(const mg_model *m, uint32_t col)
{
	static const uint8_t key[32] = {8};
	static bool even[MG_MAX_LABELS + 1];
	const mg_domain *d = &m->columns[col].domain;
	double third = d->upper / 3 - d->lower / 3;
	mg_interval parts[2] = {{d->lower + third / 2, d->lower + third}, {d->lower + 2 * third, d->upper}};
	mg_condition c = {.col = col, .null = col == 0, .label = even, .interval = parts, .nintervals = 2};
	const mg_batch *batch;
	mg_conditioned *given;
	mg_stream *s;
	mg_ctx ctx;

	for (uint32_t i = 0; i <= MG_MAX_LABELS; i += 2)
		even[i] = true;
	mg_ctx_init(&ctx);
	if (mg_conditioned_create(&ctx, m, &c, 1, &given) != MG_OK)
		return;
	check(mg_stream_create_conditioned(&ctx, given, key, &s) == MG_OK);
	if (mg_stream_next(&ctx, s, ROWS, &batch) != MG_OK)
	{
		/* a row that satisfies the conditions and the constraints may not exist */
		check(ctx.code == MG_IMPOSSIBLE);
		batch = NULL;
	}
	if (batch != NULL)
		check_constraints(m, batch);
	for (uint32_t r = 0; batch != NULL && r < ROWS; r++)
	{
		const mg_values *v = &batch->column[col];

		if (v->null[r])
			check(c.null);
		else if (d->kind == MG_CATEGORY)
			check(v->label[r] <= d->nlabels && even[v->label[r]]);
		else
			check((v->number[r] >= parts[0].low && v->number[r] <= parts[0].high) ||
				  (v->number[r] >= parts[1].low && v->number[r] <= parts[1].high));
	}
	mg_stream_destroy(s);
	mg_conditioned_destroy(given);
}

static void
read_model(const uint8_t *data, size_t size)
{
	mg_model *m = NULL, *again = NULL;
	mg_writer w;
	mg_ctx ctx;
	mg_code code;

	mg_ctx_init(&ctx);
	code = mg_model_read(&ctx, mg_methods, data, size, &m);
	check((code == MG_OK) == (m != NULL) && ctx.code == code);
	if (code != MG_OK)
		return;
	emit_rows(m);
	emit_conditioned(m, 0);
	emit_conditioned(m, m->ncolumns - 1);
	mg_writer_init(&w);
	check(mg_model_write(&ctx, m, &w) == MG_OK);
	check(mg_model_read(&ctx, mg_methods, w.data, w.len, &again) == MG_OK);
	mg_model_destroy(again);
	mg_model_destroy(m);
	mg_writer_free(&w);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *sealed;
	uint32_t sum;

	read_model(data, size);
	if (size < 4)
		return 0;
	sealed = malloc(size);
	check(sealed != NULL);
	memcpy(sealed, data, size);
	sum = mg_crc32c(sealed, size - 4);
	for (int i = 0; i < 4; i++)
		sealed[size - 4 + (size_t) i] = (uint8_t) (sum >> (8 * i));
	read_model(sealed, size);
	free(sealed);
	return 0;
}

#ifdef WRITE_CORPUS

/* Small tables through the whole of training: a category, a number, NULLs; each method. The store is never used: they
 * fit in memory. */

static mg_code
no_store(mg_ctx *ctx, mg_store *s, int *file)
{
	return mg_fail(ctx, MG_IO, "no store");
}

static mg_code
no_write(mg_ctx *ctx, mg_store *s, int file, uint64_t offset, const void *p, size_t n)
{
	return mg_fail(ctx, MG_IO, "no store");
}

static mg_code
no_read(mg_ctx *ctx, mg_store *s, int file, uint64_t offset, void *p, size_t n)
{
	return mg_fail(ctx, MG_IO, "no store");
}

static void
no_close(mg_store *s, int file)
{
}

/* dependent: with columns that are functions of others, one of one and one of two. */
static mg_code
train(mg_ctx *ctx, const mg_method *method, bool dependent, mg_noise *noise, mg_writer *w)
{
	static const uint32_t first[] = {0}, both[] = {1, 0};
	static const mg_dependency functions[] = {{.column = 1, .ndeterminants = 1, .determinants = first},
											  {.column = 2, .ndeterminants = 2, .determinants = both}};
	static const mg_label sexes[] = {{"f", 1}, {"m", 1}};
	const mg_domain domains[] = {
		{.name = "s", .kind = MG_CATEGORY, .nlabels = 2, .labels = sexes, .nullable = true},
		{.name = "t", .kind = MG_CATEGORY, .open = true, .has_other = true},
		{.name = "p", .kind = MG_NUMBER, .lower = 0, .upper = 1, .bins = 3, .nullable = true},
	};
	/* s IS NULL OR s IN ('f', 'x') OR p > 0.3; and what is not kept */
	static const mg_label listed[] = {{"f", 1}, {"x", 1}};
	static const mg_term term = {2, 1};
	static const mg_expr expr[] = {
		{.kind = MG_EXPR_OR, .span = 4},
		{.kind = MG_EXPR_IS_NULL, .span = 1, .col = 0},
		{.kind = MG_EXPR_LABELS, .span = 1, .col = 0, .nlabels = 2, .labels = listed},
		{.kind = MG_EXPR_COMPARE, .span = 1, .compare = MG_GREATER, .constant = 0.3, .nterms = 1, .terms = &term},
	};
	mg_constraint constraints[] = {
		{.name = "either",
		 .definition = "CHECK (..)",
		 .how = MG_HOW_REDRAWS,
		 .nnodes = 4,
		 .expr = expr,
		 .rejected = 0.1},
		{.name = "key", .definition = "UNIQUE (t)", .why = "learnt values may repeat", .rejected = -1},
	};
	mg_store store = {no_store, no_write, no_read, no_close, NULL};
	mg_fit_request req = {.domains = domains, .ncolumns = 3, .allowance = {0.02, 1e-9}, .memory = 1 << 20};
	mg_odometer odometer;
	mg_curator *c;
	mg_model *m;

	mg_odometer_init(&odometer, req.allowance.rho, req.allowance.delta_atoms);
	MG_TRY(mg_curator_create(ctx, domains, 3, noise, &odometer, &store, 1 << 22, &c));
	for (uint32_t i = 0; i < 2000; i++)
	{
		mg_load_code(c, 0, i % 2);
		mg_load_text(c, 1, i % 3 == 0 ? "Ulm" : "Bonn", i % 3 == 0 ? 3 : 4);
		mg_load_number(c, 2, (double) (i % 50) / 50);
		MG_TRY(mg_load_row(ctx, c));
	}
	MG_TRY(mg_load_finish(ctx, c));
	/* as zeros where the method takes them so, and measured together with what determines them */
	constraints[0].sure = true;
	req.constraints = constraints;
	req.nconstraints = 2;
	req.dependencies = functions;
	req.ndependencies = dependent ? 2 : 0;
	MG_TRY(method->fit(ctx, c, &req, &m));
	MG_TRY(mg_model_depend(ctx, m, functions, dependent ? 2 : 0));
	MG_TRY(mg_model_constrain(ctx, m, constraints, 2));
	MG_TRY(mg_model_write(ctx, m, w));
	mg_model_destroy(m);
	mg_curator_destroy(c);
	return MG_OK;
}

int
main(int argc, char **argv)
{
	mg_noise *noise;
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	if (argc != 2 || mg_noise_create(&ctx, &noise) != MG_OK)
		return 2;
	for (int i = 0; mg_methods[i / 2] != NULL; i++)
	{
		const mg_method *m = mg_methods[i / 2];
		char path[4096];
		mg_writer w;
		FILE *f;

		mg_writer_init(&w);
		snprintf(path, sizeof(path), "%s/%s%s", argv[1], m->name, i % 2 == 0 ? "" : "_dependent");
		if (train(&ctx, m, i % 2 == 1, noise, &w) != MG_OK || (f = fopen(path, "wb")) == NULL)
		{
			fprintf(stderr, "%s\n", ctx.message);
			return 1;
		}
		fwrite(w.data, 1, w.len, f);
		fclose(f);
		printf("%s: %zu bytes\n", path, w.len);
		mg_writer_free(&w);
	}
	mg_noise_destroy(noise);
	return 0;
}

#endif
