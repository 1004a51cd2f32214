/*
 * test/bench/fit_csv.c: trains a model over a CSV of integer codes and writes synthetic rows, without a server:
 * for measuring the core's quality and speed, and for choosing its defaults. Real noise from the operating
 * system's entropy; not a private release of anything, since its times and its messages are not guarded.
 *
 *   fit_csv CODES.csv SIZES METHOD EPSILON DELTA ROWS [OPTION=VALUE ...] > synthetic.csv
 *   fit_csv CODES.csv SIZES METHOD EPSILON DELTA ROWS measure=1 [OPTION=VALUE ...]
 *
 * The second form writes no rows but the mean total variation distances of all columns, pairs and triples (fidelity.h)
 * between ROWS synthetic rows (0: as many as were read) and those read: a line "tvd1 tvd2 tvd3" and one of the figures.
 *
 * CODES.csv: a header, then rows of integers. SIZES: lines of "name size"; columns are taken in its order, each
 * a closed number 0 .. size - 1. Processor seconds of each phase, the model's facts and the odometer go to
 * stderr.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "fidelity.h"
#include "synthesis/synthesis.h"

#define LINE_BYTES 65536
#define MOST_COLUMNS 1024

typedef struct job
{
	mg_domain domain[MOST_COLUMNS];
	uint32_t ncolumns;
	int place[MOST_COLUMNS]; /* field of the file -> column, or -1 */
	mg_curator *curator;
	uint64_t rows;
	uint32_t size[MOST_COLUMNS];
	bool measure;      /* keep the codes that are read, and compare */
	uint32_t **kept;   /* [ncolumns][rows] */
	uint64_t kept_cap; /* rows */
	double clock;
} job;

static void
die(const char *what)
{
	fprintf(stderr, "fit_csv: %s\n", what);
	exit(1);
}

static void
check(mg_ctx *ctx, mg_code code)
{
	if (code == MG_OK)
		return;
	fprintf(stderr, "fit_csv: %s: %s. %s\n", mg_code_name(code), ctx->message, ctx->hint);
	exit(1);
}

static void
phase(job *j, const char *name)
{
	double now = (double) clock() / CLOCKS_PER_SEC;

	fprintf(stderr, "%-10s %8.3f s\n", name, now - j->clock);
	j->clock = now;
}

/* ---- a store over temporary files ---- */

#define MOST_FILES 256
static FILE *files[MOST_FILES];

static mg_code
store_open(mg_ctx *ctx, mg_store *s, int *file)
{
	for (int i = 0; i < MOST_FILES; i++)
	{
		if (files[i] != NULL)
			continue;
		files[i] = tmpfile();
		*file = i;
		return files[i] != NULL ? MG_OK : mg_fail(ctx, MG_IO, "no temporary file: %s", strerror(errno));
	}
	return mg_fail(ctx, MG_IO, "too many temporary files");
}

static mg_code
store_write(mg_ctx *ctx, mg_store *s, int file, uint64_t offset, const void *p, size_t n)
{
	if (pwrite(fileno(files[file]), p, n, (off_t) offset) != (ssize_t) n)
		return mg_fail(ctx, MG_IO, "a temporary file could not be written");
	return MG_OK;
}

static mg_code
store_read(mg_ctx *ctx, mg_store *s, int file, uint64_t offset, void *p, size_t n)
{
	if (pread(fileno(files[file]), p, n, (off_t) offset) != (ssize_t) n)
		return mg_fail(ctx, MG_IO, "a temporary file could not be read");
	return MG_OK;
}

static void
store_close(mg_store *s, int file)
{
	fclose(files[file]);
	files[file] = NULL;
}

/* ---- input ---- */

static void
read_sizes(job *j, const char *path)
{
	FILE *f = fopen(path, "r");
	char name[256];
	long size;

	if (f == NULL)
		die("cannot open the file of sizes");
	while (j->ncolumns < MOST_COLUMNS && fscanf(f, "%255s %ld", name, &size) == 2)
	{
		mg_domain *d = &j->domain[j->ncolumns];

		j->size[j->ncolumns++] = (uint32_t) size;

		d->name = strdup(name);
		d->kind = MG_NUMBER;
		d->upper = (double) size - 1;
		d->step = 1;
	}
	fclose(f);
	if (j->ncolumns == 0)
		die("no \"name size\" lines");
}

static void
read_header(job *j, char *line)
{
	int field = 0;

	for (char *name = strtok(line, ",\r\n"); name != NULL; name = strtok(NULL, ",\r\n"), field++)
	{
		if (field == MOST_COLUMNS)
			die("too many columns");
		j->place[field] = -1;
		for (uint32_t c = 0; c < j->ncolumns; c++)
			if (strcmp(j->domain[c].name, name) == 0)
				j->place[field] = (int) c;
	}
}

static uint32_t **
alloc_codes(const job *j, uint64_t rows)
{
	uint32_t **code = calloc(j->ncolumns, sizeof(*code));

	for (uint32_t c = 0; code != NULL && c < j->ncolumns; c++)
		if ((code[c] = calloc(rows + 1, sizeof(**code))) == NULL)
			die("out of memory");
	return code != NULL ? code : (die("out of memory"), NULL);
}

static void
free_codes(const job *j, uint32_t **code)
{
	for (uint32_t c = 0; code != NULL && c < j->ncolumns; c++)
		free(code[c]);
	free(code);
}

/* As the curator does: what lies beyond the domain is clamped. */
static uint32_t
as_code(const job *j, uint32_t c, double v)
{
	double most = j->size[c] - 1.0;

	return v > 0 ? (uint32_t) (v < most ? v : most) : 0;
}

static void
keep_code(job *j, uint32_t c, double v)
{
	if (j->rows == j->kept_cap)
	{
		j->kept_cap = j->kept_cap > 0 ? 2 * j->kept_cap : 1 << 16;
		if (j->kept == NULL)
			j->kept = alloc_codes(j, j->kept_cap);
		else
			for (uint32_t i = 0; i < j->ncolumns; i++)
				if ((j->kept[i] = realloc(j->kept[i], j->kept_cap * sizeof(**j->kept))) == NULL)
					die("out of memory");
	}
	j->kept[c][j->rows] = as_code(j, c, v);
}

static void
load_rows(mg_ctx *ctx, job *j, const char *path)
{
	static char line[LINE_BYTES];
	FILE *f = fopen(path, "r");

	if (f == NULL || fgets(line, sizeof(line), f) == NULL)
		die("cannot read the rows");
	read_header(j, line);
	while (fgets(line, sizeof(line), f) != NULL)
	{
		char *at = line;

		for (int field = 0; *at != '\0' && *at != '\n'; field++)
		{
			double v = strtod(at, &at);

			if (j->place[field] >= 0)
			{
				mg_load_number(j->curator, (uint32_t) j->place[field], v);
				if (j->measure)
					keep_code(j, (uint32_t) j->place[field], v);
			}
			at += *at == ',';
			at += *at == '\r';
		}
		check(ctx, mg_load_row(ctx, j->curator));
		j->rows++;
	}
	fclose(f);
	check(ctx, mg_load_finish(ctx, j->curator));
}

/* ---- output ---- */

static mg_stream *
open_stream(mg_ctx *ctx, const mg_model *m)
{
	uint8_t key[32];
	FILE *entropy = fopen("/dev/urandom", "r");
	mg_stream *stream;

	if (entropy == NULL || fread(key, 1, sizeof(key), entropy) != sizeof(key))
		die("no entropy");
	fclose(entropy);
	check(ctx, mg_stream_create(ctx, m, key, &stream));
	return stream;
}

static const mg_batch *
next_batch(mg_ctx *ctx, mg_stream *stream, uint64_t left)
{
	const mg_batch *b;

	check(ctx, mg_stream_next(ctx, stream, left < MG_BATCH_ROWS ? (uint32_t) left : MG_BATCH_ROWS, &b));
	return b;
}

static void
write_rows(mg_ctx *ctx, const job *j, const mg_model *m, uint64_t rows)
{
	mg_stream *stream = open_stream(ctx, m);

	for (uint32_t c = 0; c < j->ncolumns; c++)
		printf("%s%s", c == 0 ? "" : ",", j->domain[c].name);
	printf("\n");
	for (uint64_t done = 0; done < rows;)
	{
		const mg_batch *b = next_batch(ctx, stream, rows - done);

		for (uint32_t r = 0; r < b->rows; r++)
			for (uint32_t c = 0; c < j->ncolumns; c++)
				printf("%ld%c", (long) b->column[c].number[r], c + 1 < j->ncolumns ? ',' : '\n');
		done += b->rows;
	}
	mg_stream_destroy(stream);
}

static void
compare_rows(mg_ctx *ctx, const job *j, const mg_model *m, uint64_t rows)
{
	coded_table real = {j->ncolumns, j->size, j->rows, j->kept};
	coded_table made = {j->ncolumns, j->size, rows > 0 ? rows : j->rows, NULL};
	mg_stream *stream = open_stream(ctx, m);
	double tvd[3];

	if (j->rows == 0)
		die("no rows to compare with");
	made.code = alloc_codes(j, made.rows);
	for (uint64_t done = 0; done < made.rows;)
	{
		const mg_batch *b = next_batch(ctx, stream, made.rows - done);

		for (uint32_t c = 0; c < j->ncolumns; c++)
			for (uint32_t r = 0; r < b->rows; r++)
				made.code[c][done + r] = as_code(j, c, b->column[c].number[r]);
		done += b->rows;
	}
	mg_stream_destroy(stream);
	measure_tvd(&real, &made, tvd);
	free_codes(j, made.code);
	fprintf(stderr, "tvd1 tvd2 tvd3\n%.5f %.5f %.5f\n", tvd[0], tvd[1], tvd[2]);
}

static void
show_facts(mg_ctx *ctx, const mg_model *m, const mg_odometer *odometer)
{
	mg_writer facts;

	mg_writer_init(&facts);
	check(ctx, m->method->describe(ctx, m, &facts));
	fprintf(stderr, "%.*s\n", (int) facts.len, (const char *) facts.data);
	fprintf(stderr, "codes:");
	for (uint32_t i = 0; i < m->ncolumns; i++)
		fprintf(stderr, " %s %u", m->columns[i].domain.name, m->columns[i].ncoarse);
	fprintf(stderr, "\nrho used: %.6f of %.6f, model: %zu bytes of arena\n", odometer->rho_used, odometer->rho_reserved,
			mg_arena_bytes(m->arena));
	mg_writer_free(&facts);
}

/* What is not for the harness is for the method. */
static uint32_t
read_options(job *j, int argc, char **argv, mg_option *out)
{
	uint32_t n = 0;

	for (int i = 7; i < argc; i++)
	{
		char *equals = strchr(argv[i], '=');

		if (equals == NULL || n == 16)
			die("options are NAME=VALUE");
		*equals = '\0';
		if (strcmp(argv[i], "measure") == 0)
			j->measure = strcmp(equals + 1, "1") == 0;
		else
			out[n++] = (mg_option){argv[i], equals + 1};
	}
	return n;
}

int
main(int argc, char **argv)
{
	static job j;
	mg_store store = {store_open, store_write, store_read, store_close, NULL};
	mg_option options[16];
	mg_fit_request req = {.options = options, .memory = (size_t) 64 << 20};
	const mg_method *method;
	mg_odometer odometer;
	mg_filter filter;
	mg_noise *noise;
	mg_model *model;
	mg_ctx ctx;

	if (argc < 7)
		die("usage: fit_csv CODES.csv SIZES METHOD EPSILON DELTA ROWS [OPTION=VALUE ...]");
	mg_ctx_init(&ctx);
	method = mg_method_find(argv[3]);
	if (method == NULL)
		die("no such method");
	read_sizes(&j, argv[2]);
	req.noptions = read_options(&j, argc, argv, options);
	check(&ctx, mg_filter_init(&ctx, &filter, strtod(argv[4], NULL), strtod(argv[5], NULL)));
	check(&ctx, mg_training_allowance(&ctx, &filter, strtod(argv[4], NULL), strtod(argv[5], NULL), &req.allowance));
	mg_odometer_init(&odometer, req.allowance.rho, req.allowance.delta_atoms);
	check(&ctx, mg_noise_create(&ctx, &noise));
	check(&ctx, mg_curator_create(&ctx, j.domain, j.ncolumns, noise, &odometer, &store, req.memory, &j.curator));
	load_rows(&ctx, &j, argv[1]);
	phase(&j, "load");

	req.domains = j.domain;
	req.ncolumns = j.ncolumns;
	check(&ctx, method->fit(&ctx, j.curator, &req, &model));
	phase(&j, "train");
	(j.measure ? compare_rows : write_rows)(&ctx, &j, model, strtoull(argv[6], NULL, 10));
	phase(&j, "rows");
	show_facts(&ctx, model, &odometer);

	mg_model_destroy(model);
	mg_curator_destroy(j.curator);
	mg_noise_destroy(noise);
	free_codes(&j, j.kept);
	for (uint32_t c = 0; c < j.ncolumns; c++)
		free((void *) j.domain[c].name);
	return 0;
}
