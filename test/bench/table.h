/*
 * test/bench/table.h: tables from CSV files, with declared columns, trained on in process.
 *
 * Columns are declared in a file, one a line, in the order in which they are taken:
 *
 *   name SIZE                      a code, 0 .. SIZE - 1
 *   name number LOWER UPPER STEP   a closed number
 *   name open LOWER UPPER STEP     a number whose range is learnt within this one
 *   name text                      open text
 *
 * with `null` at the end where it may be missing (an empty field, or ?). Names have no blanks, fields no quotes.
 *
 * Fidelity is that of fidelity.h: codes as they are; other columns are coded by what the real rows look like, numbers
 * of more than 40 values by 20 quantiles and the values that hold over 5% of the rows, all else by the 100 most
 * frequent values. ks: the mean Kolmogorov-Smirnov distance of those numbers of many values. All of it reads exact
 * data: for development only. Whatever fails ends the program.
 */
#ifndef MIRAGE_BENCH_TABLE_H
#define MIRAGE_BENCH_TABLE_H

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
#define TABLE_COLUMNS 1024
#define MANY_VALUES 40
#define QUANTILES 20
#define SPIKE 0.05
#define TOP_VALUES 100

/* Texts of a column: a value is the index of its text. */
typedef struct dictionary
{
	char **text;
	uint32_t count, slots;
	uint32_t *slot; /* index + 1 */
} dictionary;

/* How a column is coded for fidelity. */
typedef struct coder
{
	double *spike, *edge; /* sorted */
	uint32_t nspikes, nedges;
	double *value; /* sorted, of a column of few values */
	uint32_t *code;
	uint32_t nvalues;
	bool numeric;
} coder;

typedef struct table_column
{
	mg_domain d;
	uint32_t size; /* of a code; 0: of anything else */
	double *value; /* [rows] NAN: NULL; a text's index */
	dictionary texts;
	coder k;
} table_column;

typedef struct table
{
	uint32_t ncolumns;
	table_column col[TABLE_COLUMNS];
	uint64_t rows, room;
	uint32_t nfields;
	int place[TABLE_COLUMNS]; /* field of the file -> column, or -1 */
	coded_table real;
	uint32_t size[TABLE_COLUMNS];
} table;

static void
die(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(1);
}

static void
check(mg_ctx *ctx, mg_code code)
{
	if (code == MG_OK)
		return;
	fprintf(stderr, "%s: %s. %s\n", mg_code_name(code), ctx->message, ctx->hint);
	exit(1);
}

static void *
table_alloc(void *old, size_t n, size_t each)
{
	void *p = realloc(old, n > 0 ? n * each : 1);

	if (p == NULL)
		die("out of memory");
	return p;
}

static double
cpu_seconds(void)
{
	return (double) clock() / CLOCKS_PER_SEC;
}

/* ---- texts ---- */

static uint32_t
text_slot(const dictionary *d, const char *s)
{
	uint64_t h = 14695981039346656037u;

	for (const char *p = s; *p != '\0'; p++)
		h = (h ^ (uint8_t) *p) * 1099511628211u;
	for (h &= d->slots - 1; d->slot[h] != 0 && strcmp(d->text[d->slot[h] - 1], s) != 0; h = (h + 1) & (d->slots - 1))
		;
	return (uint32_t) h;
}

/* The index of a text; -1 where it is new and not to be added. */
static double
text_index(dictionary *d, const char *s, bool add)
{
	uint32_t at;

	if (2 * (d->count + 1) > d->slots)
	{
		d->slots = d->slots > 0 ? 2 * d->slots : 256;
		d->slot = table_alloc(d->slot, d->slots, sizeof(*d->slot));
		d->text = table_alloc(d->text, d->slots, sizeof(*d->text));
		memset(d->slot, 0, d->slots * sizeof(*d->slot));
		for (uint32_t i = 0; i < d->count; i++)
			d->slot[text_slot(d, d->text[i])] = i + 1;
	}
	at = text_slot(d, s);
	if (d->slot[at] == 0 && !add)
		return -1;
	if (d->slot[at] == 0)
	{
		d->text[d->count] = strdup(s);
		d->slot[at] = ++d->count;
	}
	return d->slot[at] - 1.0;
}

/* ---- columns and rows ---- */

static void
declare_column(table *t, char *line)
{
	table_column *col = &t->col[t->ncolumns];
	mg_domain *d = &col->d;
	char name[256], kind[32], nullable[8] = "";
	int n = sscanf(line, "%255s %31s", name, kind);

	if (n < 1)
		return;
	if (n < 2 || t->ncolumns == TABLE_COLUMNS)
		die("a column is declared by its name and kind");
	d->name = strdup(name);
	d->kind = MG_NUMBER;
	d->step = 1;
	if (strcmp(kind, "text") == 0)
	{
		d->kind = MG_CATEGORY;
		d->open = d->has_other = true;
		sscanf(line, "%*s %*s %7s", nullable);
	}
	else if (strcmp(kind, "number") == 0 || strcmp(kind, "open") == 0)
	{
		d->open = strcmp(kind, "open") == 0;
		if (sscanf(line, "%*s %*s %lf %lf %lf %7s", &d->lower, &d->upper, &d->step, nullable) < 3)
			die("a number is declared by its lower and upper end and its step");
	}
	else
	{
		col->size = (uint32_t) strtoul(kind, NULL, 10);
		d->upper = (double) col->size - 1;
		if (col->size == 0)
			die("an unknown kind of column");
	}
	d->nullable = strcmp(nullable, "null") == 0;
	t->ncolumns++;
}

static void
table_declare(table *t, const char *path)
{
	static char line[1024];
	FILE *f = fopen(path, "r");

	if (f == NULL)
		die("cannot open the file of columns");
	while (fgets(line, sizeof(line), f) != NULL)
		declare_column(t, line);
	fclose(f);
	if (t->ncolumns == 0)
		die("no columns");
}

static void
read_header(table *t, char *line)
{
	for (char *name = strtok(line, ",\r\n"); name != NULL; name = strtok(NULL, ",\r\n"), t->nfields++)
	{
		if (t->nfields == TABLE_COLUMNS)
			die("too many columns");
		t->place[t->nfields] = -1;
		for (uint32_t c = 0; c < t->ncolumns; c++)
			if (strcmp(t->col[c].d.name, name) == 0)
				t->place[t->nfields] = (int) c;
	}
}

static double
read_field(table_column *col, const char *s)
{
	char *end;
	double v;

	if (*s == '\0' || strcmp(s, "?") == 0)
		return NAN;
	if (col->d.kind == MG_CATEGORY)
		return text_index(&col->texts, s, true);
	v = strtod(s, &end);
	return *end == '\0' ? v : NAN;
}

/* Calls `take` with the values of each row in turn. */
static void
table_read(table *t, const char *path, void (*take)(void *arg, const double *row), void *arg)
{
	static char line[LINE_BYTES];
	static double row[TABLE_COLUMNS];
	FILE *f = fopen(path, "r");

	if (f == NULL || fgets(line, sizeof(line), f) == NULL)
		die("cannot read the rows");
	t->nfields = 0;
	read_header(t, line);
	while (fgets(line, sizeof(line), f) != NULL)
	{
		char *at = line;

		line[strcspn(line, "\r\n")] = '\0';
		for (uint32_t c = 0; c < t->ncolumns; c++)
			row[c] = NAN;
		for (uint32_t field = 0; field < t->nfields && at != NULL; field++)
		{
			char *s = strsep(&at, ",");

			if (t->place[field] >= 0)
				row[t->place[field]] = read_field(&t->col[t->place[field]], s);
		}
		take(arg, row);
	}
	fclose(f);
}

static void
table_keep(void *arg, const double *row)
{
	table *t = arg;

	if (t->rows == t->room)
	{
		t->room = t->room > 0 ? 2 * t->room : 1 << 14;
		for (uint32_t c = 0; c < t->ncolumns; c++)
			t->col[c].value = table_alloc(t->col[c].value, t->room, sizeof(double));
	}
	for (uint32_t c = 0; c < t->ncolumns; c++)
		t->col[c].value[t->rows] = row[c];
	t->rows++;
}

/* ---- coding for fidelity ---- */

static int
compare_doubles(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return (x > y) - (x < y);
}

typedef struct run_of
{
	double value;
	uint64_t count, first;
} run_of;

/* The most frequent first; among equals, the one that came first. */
static int
compare_runs(const void *a, const void *b)
{
	const run_of *x = a, *y = b;

	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return (x->value > y->value) - (x->value < y->value);
}

/* Sorted values that are not NULL; the caller frees. */
static double *
sorted_values(const double *v, uint64_t rows, uint64_t *n)
{
	double *s = table_alloc(NULL, rows, sizeof(*s));

	*n = 0;
	for (uint64_t i = 0; i < rows; i++)
		if (!isnan(v[i]))
			s[(*n)++] = v[i];
	qsort(s, *n, sizeof(*s), compare_doubles);
	return s;
}

static void
code_quantiles(coder *k, double *s, uint64_t n, const run_of *runs, uint32_t nruns)
{
	uint64_t rest = 0;

	k->spike = table_alloc(NULL, nruns, sizeof(double));
	k->edge = table_alloc(NULL, QUANTILES, sizeof(double));
	for (uint32_t i = 0; i < nruns; i++)
	{
		if ((double) runs[i].count > SPIKE * (double) n)
			k->spike[k->nspikes++] = runs[i].value;
		else
			for (uint64_t j = 0; j < runs[i].count; j++)
				s[rest++] = runs[i].value; /* in place: never beyond what was read */
	}
	for (int q = 1; rest > 0 && q < QUANTILES; q++)
	{
		double at = (double) (rest - 1) * q / QUANTILES, low = s[(uint64_t) at];
		double edge = low + (at - floor(at)) * (s[(uint64_t) fmin(at + 1, (double) (rest - 1))] - low);

		if (k->nedges == 0 || edge > k->edge[k->nedges - 1])
			k->edge[k->nedges++] = edge;
	}
}

static void
code_values(coder *k, run_of *runs, uint32_t nruns)
{
	qsort(runs, nruns, sizeof(*runs), compare_runs);
	k->nvalues = nruns < TOP_VALUES ? nruns : TOP_VALUES;
	k->value = table_alloc(NULL, k->nvalues, sizeof(double));
	for (uint32_t i = 0; i < k->nvalues; i++)
		k->value[i] = runs[i].value;
	qsort(k->value, k->nvalues, sizeof(double), compare_doubles);
}

/* Codes of the column: its own; what is none of them; NULL. */
static uint32_t
make_coder(table_column *col, uint64_t rows)
{
	uint64_t n;
	double *s = sorted_values(col->value, rows, &n);
	run_of *runs = table_alloc(NULL, n, sizeof(*runs));
	uint32_t nruns = 0;
	coder *k = &col->k;

	for (uint64_t i = 0; i < n; i++)
	{
		if (i == 0 || s[i] != s[i - 1])
			runs[nruns++] = (run_of){s[i], 0, i};
		runs[nruns - 1].count++;
	}
	k->numeric = col->d.kind == MG_NUMBER && nruns > MANY_VALUES;
	if (k->numeric)
		code_quantiles(k, s, n, runs, nruns);
	else
		code_values(k, runs, nruns);
	free(runs);
	free(s);
	return (k->numeric ? k->nspikes + k->nedges : k->nvalues) + 2;
}

/* How many of x[0..n) are at most v. */
static uint32_t
at_most(const double *x, uint32_t n, double v)
{
	uint32_t low = 0, high = n;

	while (low < high)
	{
		uint32_t mid = (low + high) / 2;

		if (x[mid] <= v)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static uint32_t
value_code(const table *t, uint32_t c, double v)
{
	const coder *k = &t->col[c].k;
	const double *of = k->numeric ? k->spike : k->value;
	uint32_t n = k->numeric ? k->nspikes : k->nvalues, i;

	if (t->col[c].size > 0)
		return v > 0 ? (uint32_t) fmin(v, t->col[c].size - 1.0) : 0;
	if (isnan(v))
		return t->size[c] - 1;
	i = at_most(of, n, v);
	if (i > 0 && of[i - 1] == v)
		return i - 1;
	return k->numeric ? k->nspikes + at_most(k->edge, k->nedges, v) : t->size[c] - 2;
}

static uint32_t **
code_table(const table *t, double *const *value, uint64_t rows)
{
	uint32_t **code = table_alloc(NULL, t->ncolumns, sizeof(*code));

	for (uint32_t c = 0; c < t->ncolumns; c++)
	{
		code[c] = table_alloc(NULL, rows, sizeof(**code));
		for (uint64_t r = 0; r < rows; r++)
			code[c][r] = value_code(t, c, value[c][r]);
	}
	return code;
}

static void
free_columns(void *columns, uint32_t n)
{
	void **column = columns;

	for (uint32_t c = 0; c < n; c++)
		free(column[c]);
	free(column);
}

/* Once all rows are kept. */
static void
table_code(table *t)
{
	double *value[TABLE_COLUMNS];

	if (t->rows == 0)
		die("no rows to compare with");
	for (uint32_t c = 0; c < t->ncolumns; c++)
	{
		t->size[c] = t->col[c].size > 0 ? t->col[c].size : make_coder(&t->col[c], t->rows);
		value[c] = t->col[c].value;
	}
	t->real = (coded_table){t->ncolumns, t->size, t->rows, code_table(t, value, t->rows)};
}

static void
table_free(table *t)
{
	for (uint32_t c = 0; c < t->ncolumns; c++)
	{
		table_column *col = &t->col[c];

		for (uint32_t i = 0; i < col->texts.count; i++)
			free(col->texts.text[i]);
		free(col->texts.text);
		free(col->texts.slot);
		free(col->k.spike);
		free(col->k.edge);
		free(col->k.value);
		free(col->value);
		free((void *) col->d.name);
	}
	if (t->real.code != NULL)
		free_columns(t->real.code, t->ncolumns);
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

static mg_store file_store = {store_open, store_write, store_read, store_close, NULL};

/* ---- training ---- */

#define TRAIN_MEMORY ((size_t) 64 << 20)

/* One training: a budget of its own, a curator, in the end a model. */
typedef struct training
{
	mg_ctx ctx;
	table *t;
	mg_domain domain[TABLE_COLUMNS];
	mg_filter filter;
	mg_allowance allowance;
	mg_odometer odometer;
	mg_noise *noise;
	mg_curator *curator;
	mg_model *model;
	double load_seconds, fit_seconds; /* of the processor, all threads */
} training;

static void
training_begin(training *tr, table *t, double epsilon, double delta)
{
	memset(tr, 0, sizeof(*tr));
	mg_ctx_init(&tr->ctx);
	tr->t = t;
	for (uint32_t c = 0; c < t->ncolumns; c++)
		tr->domain[c] = t->col[c].d;
	check(&tr->ctx, mg_filter_init(&tr->ctx, &tr->filter, epsilon, delta));
	check(&tr->ctx, mg_training_allowance(&tr->ctx, &tr->filter, epsilon, delta, &tr->allowance));
	mg_odometer_init(&tr->odometer, tr->allowance.rho, tr->allowance.delta_atoms);
	check(&tr->ctx, mg_noise_create(&tr->ctx, &tr->noise));
	check(&tr->ctx, mg_curator_create(&tr->ctx, tr->domain, t->ncolumns, tr->noise, &tr->odometer, &file_store,
									  TRAIN_MEMORY, &tr->curator));
}

static void
training_take(void *arg, const double *row)
{
	training *tr = arg;

	for (uint32_t c = 0; c < tr->t->ncolumns; c++)
	{
		const table_column *col = &tr->t->col[c];

		if (isnan(row[c]))
			mg_load_null(tr->curator, c);
		else if (col->d.kind == MG_NUMBER)
			mg_load_number(tr->curator, c, row[c]);
		else
		{
			const char *s = col->texts.text[(uint32_t) row[c]];

			mg_load_text(tr->curator, c, s, strlen(s));
		}
	}
	check(&tr->ctx, mg_load_row(&tr->ctx, tr->curator));
}

static void
training_load_kept(training *tr)
{
	double row[TABLE_COLUMNS], begun = cpu_seconds();

	for (uint64_t r = 0; r < tr->t->rows; r++)
	{
		for (uint32_t c = 0; c < tr->t->ncolumns; c++)
			row[c] = tr->t->col[c].value[r];
		training_take(tr, row);
	}
	check(&tr->ctx, mg_load_finish(&tr->ctx, tr->curator));
	tr->load_seconds = cpu_seconds() - begun;
}

static void
training_fit(training *tr, const mg_method *method, const mg_option *options, uint32_t noptions)
{
	mg_fit_request req = {.domains = tr->domain,
						  .ncolumns = tr->t->ncolumns,
						  .allowance = tr->allowance,
						  .options = options,
						  .noptions = noptions,
						  .memory = TRAIN_MEMORY};
	double begun = cpu_seconds();

	check(&tr->ctx, method->fit(&tr->ctx, tr->curator, &req, &tr->model));
	tr->fit_seconds = cpu_seconds() - begun;
}

static void
training_end(training *tr)
{
	mg_model_destroy(tr->model);
	mg_curator_destroy(tr->curator);
	mg_noise_destroy(tr->noise);
}

/* ---- synthetic rows ---- */

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

/* The text of a category's value. */
static const char *
text_of(const mg_domain *d, uint32_t label)
{
	return label < d->nlabels ? d->labels[label].text : d->other != NULL ? d->other : "";
}

/* [ncolumns][rows] of values as the table has them; a text that it does not have is -1. */
static double **
draw_rows(training *tr, uint64_t rows)
{
	uint32_t n = tr->t->ncolumns;
	double **value = table_alloc(NULL, n, sizeof(*value));
	mg_stream *stream = open_stream(&tr->ctx, tr->model);

	for (uint32_t c = 0; c < n; c++)
		value[c] = table_alloc(NULL, rows, sizeof(**value));
	for (uint64_t done = 0; done < rows;)
	{
		const mg_batch *b = next_batch(&tr->ctx, stream, rows - done);

		for (uint32_t c = 0; c < n; c++)
		{
			const mg_domain *d = &tr->model->columns[c].domain;
			const mg_values *v = &b->column[c];

			for (uint32_t r = 0; r < b->rows; r++)
				value[c][done + r] = v->null[r] ? NAN
									 : d->kind == MG_NUMBER
										 ? v->number[r]
										 : text_index(&tr->t->col[c].texts, text_of(d, v->label[r]), false);
		}
		done += b->rows;
	}
	mg_stream_destroy(stream);
	return value;
}

static double
ks_distance(const double *real, uint64_t nreal, const double *made, uint64_t nmade)
{
	uint64_t na, nb, i = 0, j = 0;
	double *a = sorted_values(real, nreal, &na), *b = sorted_values(made, nmade, &nb), most = 0;

	while (i < na || j < nb)
	{
		double at = j == nb || (i < na && a[i] <= b[j]) ? a[i] : b[j];

		while (i < na && a[i] <= at)
			i++;
		while (j < nb && b[j] <= at)
			j++;
		most = fmax(most, fabs((double) i / fmax((double) na, 1) - (double) j / fmax((double) nb, 1)));
	}
	free(a);
	free(b);
	return most;
}

/* out: tvd1, tvd2, tvd3, ks (0 where no column has one) between `rows` synthetic rows and the table's. */
static void
training_compare(training *tr, uint64_t rows, double *out)
{
	table *t = tr->t;
	double **value = draw_rows(tr, rows);
	coded_table made = {t->ncolumns, t->size, rows, code_table(t, value, rows)};
	uint32_t numbers = 0;

	measure_tvd(&t->real, &made, out);
	out[3] = 0;
	for (uint32_t c = 0; c < t->ncolumns; c++)
		if (t->col[c].size == 0 && t->col[c].k.numeric)
		{
			out[3] += ks_distance(t->col[c].value, t->rows, value[c], rows);
			numbers++;
		}
	out[3] /= numbers > 0 ? numbers : 1;
	free_columns(made.code, t->ncolumns);
	free_columns(value, t->ncolumns);
}

#endif
