/*
 * test/bench/mark_csv.c: what a mark withstands and what it costs, without a server: trains a model over a CSV file (as
 * fit_csv.c does, same warnings) and draws marked rows of it, each time under new keys.
 *
 *   mark_csv ROWS.csv COLUMNS METHOD EPSILON DELTA [draws=20] [rows=40000] [runs=3] [seed=2026] [parts=cdatm]
 *            [given=COLUMN:LABEL|COLUMN:LOW..HIGH] [model=FILE]
 *   mark_csv ROWS.csv COLUMNS METHOD EPSILON DELTA write=PREFIX [rows=40000] [seed=2026] [model=FILE]
 *
 * The first form prints, of `draws` draws each, in how many the mark was found at p < 1e-6 by the model's key and by
 * the recipient's: fresh rows, rows out of many, and after changes to 3,000 of them; the share of p < 0.01 over 2,000
 * keys that had no part in the rows; the tracing of one of 1,000 recipients, and of several who mix their rows;
 * distances to the real rows and to the model (fidelity.h) with and without the mark; seconds. `parts` chooses among
 * them: c changes, d distances, a false alarms, t tracing, m time of detection. `given`: all rows are drawn under this
 * condition, and compared with the real rows and the model under it. The second form writes PREFIX.plain.csv and
 * PREFIX.marked.csv, for whatever else is to be measured. Keys and changes come from the seed, the training's noise
 * does not; a model is kept in a file, and read from it once it is there.
 */
#include "table.h"

#include <inttypes.h>

#include "synthesis/condition.h"
#include "synthesis/marking.h"
#include "watermark/detect.h"

#define FOUND 1e-6
#define KEYS 2000
#define RECIPIENTS 1000

typedef struct bench
{
	table t;
	training tr;
	mg_mark_plan *plan;
	mg_rng rng;
	uint32_t draws, rows, runs, seed;
	const char *prefix, *parts, *model_file;
	char *given; /* COLUMN, then a zero and what its values are to be; NULL */
} bench;

/* Rows as the table has them: numbers, indices of texts (-1: a text that it does not have), NAN for NULL. */
typedef struct rows
{
	uint64_t n;
	double **v;
} rows;

typedef struct keys
{
	uint8_t model[32], recipient[32], stream[32];
} keys;

static uint32_t
below(bench *b, uint32_t n)
{
	return mg_rng_below32((uint32_t) (mg_rng_u64(&b->rng) >> 32), n);
}

static void
new_key(bench *b, uint8_t key[32])
{
	for (int i = 0; i < 32; i++)
		key[i] = (uint8_t) mg_rng_u64(&b->rng);
}

static keys
new_keys(bench *b)
{
	keys k;

	new_key(b, k.model);
	new_key(b, k.recipient);
	new_key(b, k.stream);
	return k;
}

/* ---- rows ---- */

static rows
make_rows(const bench *b, uint64_t n)
{
	rows r = {n, table_alloc(NULL, b->t.ncolumns, sizeof(double *))};

	for (uint32_t c = 0; c < b->t.ncolumns; c++)
		r.v[c] = table_alloc(NULL, n, sizeof(double));
	return r;
}

static void
free_rows(const bench *b, rows *r)
{
	free_columns(r->v, b->t.ncolumns);
}

/* What the table calls a value of the model. A text that it does not have is entered: it may be the model's own. */
static double
value_of(bench *b, const mg_model *m, uint32_t c, const mg_values *v, uint32_t i)
{
	const mg_domain *d = &m->columns[c].domain;

	if (v->null[i])
		return NAN;
	return d->kind == MG_NUMBER ? v->number[i] : text_index(&b->t.col[c].texts, text_of(d, v->label[i]), true);
}

static uint32_t
given_column(const bench *b)
{
	for (uint32_t c = 0; c < b->t.ncolumns; c++)
		if (strcmp(b->t.col[c].d.name, b->given) == 0)
			return c;
	die("a condition is on a column that is not declared");
	return 0;
}

static mg_interval
given_interval(const bench *b)
{
	const char *low = b->given + strlen(b->given) + 1, *high = strstr(low, "..");

	return (mg_interval){strtod(low, NULL), strtod(high != NULL ? high + 2 : low, NULL)};
}

/* Does a value of the table satisfy the condition? */
static bool
is_given(const bench *b, uint32_t c, double v)
{
	mg_interval of = given_interval(b);

	if (isnan(v) || b->t.col[c].d.kind == MG_NUMBER)
		return v >= of.low && v <= of.high;
	return strcmp(b->t.col[c].texts.text[(uint32_t) v], b->given + strlen(b->given) + 1) == 0;
}

static mg_conditioned *
conditioned(bench *b, const mg_model *m)
{
	uint32_t c = given_column(b);
	const mg_domain *d = &m->columns[c].domain;
	bool *label = table_alloc(NULL, (size_t) d->nlabels + 1, sizeof(*label));
	mg_interval interval = given_interval(b);
	mg_conditioned *out;

	for (uint32_t i = 0; i <= d->nlabels; i++)
		label[i] = i < d->nlabels && strcmp(text_of(d, i), b->given + strlen(b->given) + 1) == 0;
	check(&b->tr.ctx, mg_conditioned_create(&b->tr.ctx, m,
											&(mg_condition){.col = c,
															.label = d->kind == MG_CATEGORY ? label : NULL,
															.interval = &interval,
															.nintervals = d->kind == MG_NUMBER},
											1, &out));
	free(label);
	return out;
}

/* n rows, n > 0, `seconds` of which the stream took; k NULL: unmarked. */
static rows
draw(bench *b, const mg_model *m, const keys *k, bool marked, uint64_t n, double *seconds)
{
	mg_ctx *ctx = &b->tr.ctx;
	rows r = make_rows(b, n);
	mg_conditioned *given = b->given != NULL ? conditioned(b, m) : NULL;
	mg_mark *mark = NULL;
	mg_stream *s;

	if (given != NULL)
		check(ctx, mg_stream_create_conditioned(ctx, given, k->stream, &s));
	else
		check(ctx, mg_stream_create(ctx, m, k->stream, &s));
	if (marked)
	{
		check(ctx, mg_mark_create(ctx, b->plan, k->model, k->recipient, &mark));
		check(ctx, mg_stream_mark(ctx, s, mark));
	}
	for (uint64_t done = 0; done < n;)
	{
		double begun = cpu_seconds();
		const mg_batch *batch = next_batch(ctx, s, n - done);

		*seconds += cpu_seconds() - begun;
		for (uint32_t c = 0; c < b->t.ncolumns; c++)
			for (uint32_t i = 0; i < batch->rows; i++)
				r.v[c][done + i] = value_of(b, m, c, &batch->column[c], i);
		done += batch->rows;
	}
	mg_stream_destroy(s);
	mg_conditioned_destroy(given);
	mg_mark_destroy(mark);
	return r;
}

static rows
draw_marked(bench *b, const keys *k, uint64_t n)
{
	double seconds = 0;

	return draw(b, b->tr.model, k, true, n, &seconds);
}

/* Row i of `to` becomes row k of `from`. */
static void
copy_row(const bench *b, rows *to, uint64_t i, double *const *from, uint64_t k)
{
	for (uint32_t c = 0; c < b->t.ncolumns; c++)
		to->v[c][i] = from[c][k];
}

/* The first n of the rows in random order. */
static rows
sample(bench *b, rows r, uint64_t n)
{
	rows out = make_rows(b, n);

	for (uint64_t i = 0; i < n; i++)
	{
		uint64_t j = i + below(b, (uint32_t) (r.n - i));

		copy_row(b, &out, i, r.v, j);
		copy_row(b, &r, j, r.v, i);
	}
	free_rows(b, &r);
	return out;
}

/* ---- changes ---- */

static void
replace_cells(bench *b, rows *r, double share)
{
	double *old = table_alloc(NULL, r->n, sizeof(double));

	for (uint32_t c = 0; c < b->t.ncolumns; c++)
	{
		memcpy(old, r->v[c], r->n * sizeof(double));
		for (uint64_t i = 0; i < r->n; i++)
			if (mg_rng_unit(&b->rng) < share)
				r->v[c][i] = old[below(b, (uint32_t) r->n)];
	}
	free(old);
}

/* The real rows take the place of so many. */
static void
mix_foreign(bench *b, rows *r, double share)
{
	for (uint64_t i = 0; i < (uint64_t) (share * (double) r->n); i++)
	{
		uint64_t k = below(b, (uint32_t) b->t.rows);

		for (uint32_t c = 0; c < b->t.ncolumns; c++)
			r->v[c][i] = b->t.col[c].value[k];
	}
}

/* To two significant digits. */
static void
round_numbers(bench *b, rows *r)
{
	for (uint32_t c = 0; c < b->t.ncolumns; c++)
		for (uint64_t i = 0; b->t.col[c].d.kind == MG_NUMBER && i < r->n; i++)
		{
			double v = r->v[c][i], digit = v != 0 ? pow(10, floor(log10(fabs(v))) - 1) : 1;

			r->v[c][i] = isnan(v) ? v : round(v / digit) * digit;
		}
}

/* ---- detection ---- */

static uint8_t
group_of(const bench *b, uint32_t c, double v)
{
	const mg_mark_column *col = &b->plan->column[c];
	const char *text;

	if (isnan(v))
		return col->null_group;
	if (col->kind == MG_NUMBER)
		return mg_mark_number_group(col, v);
	text = b->t.col[c].texts.text[(uint32_t) v];
	return mg_mark_text_group(col, text, strlen(text));
}

/* Over the columns that are present (NULL: all). */
static mg_detector *
detector_of(bench *b, const rows *r, const bool *present, double *seconds)
{
	uint8_t *group[TABLE_COLUMNS];
	bool all[TABLE_COLUMNS];
	mg_ctx *ctx = &b->tr.ctx;
	mg_detector *d;
	double begun;

	for (uint32_t c = 0; c < b->t.ncolumns; c++)
	{
		all[c] = true;
		group[c] = table_alloc(NULL, r->n, 1);
		for (uint64_t i = 0; i < r->n; i++)
			group[c][i] = b->plan->column[c].ngroups > 0 ? group_of(b, c, r->v[c][i]) : MG_MARK_MISSING;
	}
	begun = cpu_seconds();
	check(ctx, mg_detector_create(ctx, b->plan, present != NULL ? present : all, &d));
	check(ctx, mg_detect_add(ctx, d, (const uint8_t *const *) group, r->n));
	check(ctx, mg_detect_finish(ctx, d));
	*seconds = cpu_seconds() - begun;
	for (uint32_t c = 0; c < b->t.ncolumns; c++)
		free(group[c]);
	return d;
}

static mg_detection
try_key(bench *b, const mg_detector *d, const uint8_t *key)
{
	mg_detection found;

	check(&b->tr.ctx, mg_detect_key(&b->tr.ctx, d, key, &found));
	return found;
}

/* ---- what is withstood ---- */

typedef enum change
{
	FRESH,
	OUT_OF_MANY,
	FIRST_OF_MANY,
	UNCHANGED,
	DELETED,
	REPLACED,
	HALF_COLUMNS,
	FOREIGN,
	ROUNDED,
	MORE_OF_MANY,
	NCHANGES
} change;

static const char *const change_name[NCHANGES] = {
	"300 rows",
	"300 rows out of 40,000",
	"the first 300 of 40,000",
	"3,000 rows",
	"50% of rows deleted",
	"20% of cells drawn",
	"half the columns dropped",
	"50% real rows",
	"2 significant digits",
	"3,000 rows out of 40,000",
};

static rows
changed_rows(bench *b, const keys *k, change how, bool *present)
{
	bool many = how == OUT_OF_MANY || how == FIRST_OF_MANY || how == MORE_OF_MANY;
	rows r = draw_marked(b, k, how == FRESH ? 300 : many ? b->rows : 3000);

	for (uint32_t c = 0; c < b->t.ncolumns; c++)
		present[c] = true;
	if (how == OUT_OF_MANY)
		r = sample(b, r, 300);
	if (how == MORE_OF_MANY)
		r = sample(b, r, 3000);
	if (how == FIRST_OF_MANY)
		r.n = 300;
	if (how == DELETED)
		r = sample(b, r, 1500);
	if (how == REPLACED)
		replace_cells(b, &r, 0.2);
	if (how == FOREIGN)
		mix_foreign(b, &r, 0.5);
	if (how == ROUNDED)
		round_numbers(b, &r);
	for (uint32_t left = how == HALF_COLUMNS ? b->t.ncolumns / 2 : 0; left > 0;)
	{
		uint32_t c = below(b, b->t.ncolumns);

		left -= present[c];
		present[c] = false;
	}
	return r;
}

static void
show_changes(bench *b)
{
	printf("%-26s %14s %14s   %-13s least z\n", "found at p < 1e-6", "model", "recipient", "mean z");
	for (change how = FRESH; how < NCHANGES; how++)
	{
		uint32_t found[2] = {0};
		double z[2] = {0}, least[2] = {INFINITY, INFINITY};

		for (uint32_t i = 0; i < b->draws; i++)
		{
			bool present[TABLE_COLUMNS];
			keys k = new_keys(b);
			rows r = changed_rows(b, &k, how, present);
			double seconds;
			mg_detector *d = detector_of(b, &r, present, &seconds);

			for (int j = 0; j < 2; j++)
			{
				mg_detection one = try_key(b, d, j == 0 ? k.model : k.recipient);

				found[j] += one.p < FOUND;
				z[j] += one.z / b->draws;
				least[j] = fmin(least[j], one.z);
			}
			mg_detector_destroy(d);
			free_rows(b, &r);
		}
		printf("%-26s %7u of %3u %7u of %3u   %5.1f %5.1f   %5.1f %5.1f\n", change_name[how], found[0], b->draws,
			   found[1], b->draws, z[0], z[1], least[0], least[1]);
	}
}

static void
show_alarms(bench *b, const char *what, const rows *r)
{
	double seconds, least = 1;
	mg_detector *d = detector_of(b, r, NULL, &seconds);
	uint32_t alarms = 0;

	for (uint32_t i = 0; i < KEYS; i++)
	{
		uint8_t key[32];
		mg_detection found;

		new_key(b, key);
		found = try_key(b, d, key);
		alarms += found.p < 0.01;
		least = fmin(least, found.p);
	}
	printf("%-26s p < 0.01 in %u of %u keys; least p %.1e\n", what, alarms, KEYS, least);
	mg_detector_destroy(d);
}

static void
show_all_alarms(bench *b, const mg_model *other)
{
	rows real = {b->t.rows, table_alloc(NULL, b->t.ncolumns, sizeof(double *))};
	keys k = new_keys(b);
	double seconds = 0;
	rows r;

	for (uint32_t c = 0; c < b->t.ncolumns; c++)
		real.v[c] = b->t.col[c].value;
	show_alarms(b, "real rows", &real);
	free(real.v);
	r = draw(b, b->tr.model, &k, false, b->rows, &seconds);
	show_alarms(b, "unmarked rows", &r);
	free_rows(b, &r);
	r = draw(b, other, &k, false, b->rows, &seconds);
	show_alarms(b, "rows of another model", &r);
	free_rows(b, &r);
	r = draw_marked(b, &k, b->rows);
	show_alarms(b, "marked with other keys", &r);
	free_rows(b, &r);
}

/* ---- tracing ---- */

/* n rows of some of RECIPIENTS, who mix theirs: all named, and nobody else? Corrected for all that are tried. */
static void
show_tracing(bench *b, uint32_t colluders, uint64_t n)
{
	static uint8_t recipient[RECIPIENTS][32];
	uint32_t all = 0, wrong = 0;

	for (uint32_t i = 0; i < b->draws; i++)
	{
		keys k = new_keys(b);
		rows mixed = make_rows(b, n);
		uint32_t named = 0;
		double seconds;
		mg_detector *d;

		for (uint32_t j = 0; j < RECIPIENTS; j++)
			new_key(b, recipient[j]);
		for (uint32_t j = 0; j < colluders; j++)
		{
			rows r;

			memcpy(k.recipient, recipient[j], 32);
			new_key(b, k.stream);
			r = draw_marked(b, &k, n / colluders);
			for (uint64_t at = 0; at < r.n; at++)
				copy_row(b, &mixed, at * colluders + j, r.v, at);
			free_rows(b, &r);
		}
		d = detector_of(b, &mixed, NULL, &seconds);
		for (uint32_t j = 0; j < RECIPIENTS; j++)
		{
			bool found = try_key(b, d, recipient[j]).p * RECIPIENTS < FOUND;

			named += found && j < colluders;
			wrong += found && j >= colluders;
		}
		all += named == colluders;
		mg_detector_destroy(d);
		free_rows(b, &mixed);
	}
	printf("%u of %u recipients, %" PRIu64 " rows: all named in %u of %u, wrong names %u\n", colluders, RECIPIENTS, n,
		   all, b->draws, wrong);
}

/* ---- what it costs ---- */

static coded_table
coded(const bench *b, const rows *r)
{
	return (coded_table){b->t.ncolumns, b->t.size, r->n, code_table(&b->t, r->v, r->n)};
}

/* The real rows, those that satisfy the condition where there is one. */
static coded_table
real_rows(bench *b)
{
	rows r = make_rows(b, b->t.rows);
	coded_table out;

	r.n = 0;
	for (uint64_t i = 0; i < b->t.rows; i++)
		if (b->given == NULL || is_given(b, given_column(b), b->t.col[given_column(b)].value[i]))
		{
			for (uint32_t c = 0; c < b->t.ncolumns; c++)
				r.v[c][r.n] = b->t.col[c].value[i];
			r.n++;
		}
	if (r.n == 0)
		die("no real row satisfies the condition");
	out = coded(b, &r);
	free_rows(b, &r);
	return out;
}

static void
show_distances(bench *b)
{
	double to[2][2][3] = {{{0}}}, seconds[2] = {0}, ignored = 0;
	keys k = new_keys(b);
	rows many = draw(b, b->tr.model, &k, false, 20 * MG_BATCH_ROWS, &ignored);
	coded_table model = coded(b, &many), real = real_rows(b);

	for (uint32_t run = 0; run < b->runs; run++)
	{
		k = new_keys(b);
		for (int marked = 0; marked < 2; marked++)
		{
			rows r = draw(b, b->tr.model, &k, marked == 1, b->rows, &seconds[marked]);
			coded_table made = coded(b, &r);
			double x[2][3];

			measure_tvd(&real, &made, x[0]);
			measure_tvd(&model, &made, x[1]);
			for (int i = 0; i < 6; i++)
				to[i / 3][marked][i % 3] += x[i / 3][i % 3] / b->runs;
			free_columns(made.code, b->t.ncolumns);
			free_rows(b, &r);
		}
	}
	for (int i = 0; i < 6; i++)
		printf("tvd%d to %s: %.5f, marked %.5f (%+.2f%%)\n", i % 3 + 1, i < 3 ? "the real rows" : "the model",
			   to[i / 3][0][i % 3], to[i / 3][1][i % 3], 100 * (to[i / 3][1][i % 3] / to[i / 3][0][i % 3] - 1));
	printf("values of a row: %.0f ns, marked %.0f ns\n", seconds[0] * 1e9 / b->rows / b->runs,
		   seconds[1] * 1e9 / b->rows / b->runs);
	free_columns(model.code, b->t.ncolumns);
	free_columns(real.code, b->t.ncolumns);
	free_rows(b, &many);
}

static void
show_detection_time(bench *b)
{
	keys k = new_keys(b);
	rows r = draw_marked(b, &k, 1000000);
	double seconds, begun;
	mg_detector *d = detector_of(b, &r, NULL, &seconds);

	begun = cpu_seconds();
	for (uint32_t i = 0; i < RECIPIENTS; i++)
		try_key(b, d, k.model);
	printf("detection: %.2f s for 1,000,000 rows of groups, %.3f s for %u keys, %u features\n", seconds,
		   cpu_seconds() - begun, RECIPIENTS, try_key(b, d, k.model).features);
	mg_detector_destroy(d);
	free_rows(b, &r);
}

static void
show_plan(bench *b)
{
	uint32_t arity[MG_MARK_ARITY + 1] = {0};
	double begun = cpu_seconds();
	mg_writer w;

	check(&b->tr.ctx, mg_mark_plan_make(&b->tr.ctx, b->tr.model, &b->plan));
	mg_writer_init(&w);
	mg_mark_plan_write(b->plan, &w);
	for (uint32_t i = 0; i < b->plan->nsubsets; i++)
		arity[b->plan->subset[i].k]++;
	printf("plan: %.2f s, %zu bytes, gate %.5f, %u pairs, %u triples, %u quadruples, %u branches\n",
		   cpu_seconds() - begun, w.len, b->plan->gate, arity[2], arity[3], arity[4], b->plan->nbranches);
	mg_writer_free(&w);
}

/* ---- all of it ---- */

static void
write_file(bench *b, const keys *k, bool marked)
{
	char path[4096];
	double seconds = 0;
	rows r = draw(b, b->tr.model, k, marked, b->rows, &seconds);
	FILE *f;

	snprintf(path, sizeof(path), "%s.%s.csv", b->prefix, marked ? "marked" : "plain");
	f = fopen(path, "w");
	if (f == NULL)
		die("cannot write the rows");
	for (uint32_t c = 0; c < b->t.ncolumns; c++)
		fprintf(f, "%s%s", c == 0 ? "" : ",", b->t.col[c].d.name);
	for (uint64_t i = 0; i < r.n; i++)
		for (uint32_t c = 0; c < b->t.ncolumns; c++)
		{
			double v = r.v[c][i];

			fputc(c == 0 ? '\n' : ',', f);
			if (!isnan(v) && b->t.col[c].d.kind == MG_NUMBER)
				fprintf(f, "%.17g", v);
			else if (!isnan(v))
				fputs(b->t.col[c].texts.text[(uint32_t) v], f);
		}
	fputc('\n', f);
	fclose(f);
	free_rows(b, &r);
}

static void
train(bench *b, training *tr, const char *method, double epsilon, double delta)
{
	training_begin(tr, &b->t, epsilon, delta);
	training_load_kept(tr);
	training_fit(tr, mg_method_find(method), NULL, 0);
}

/* From the file of the model where there is one; else trained, and written to it. */
static void
get_model(bench *b, const char *method, double epsilon, double delta)
{
	FILE *f = b->model_file != NULL ? fopen(b->model_file, "r") : NULL;
	mg_ctx *ctx = &b->tr.ctx;
	mg_writer w;

	if (f == NULL)
	{
		train(b, &b->tr, method, epsilon, delta);
		if (b->model_file == NULL)
			return;
		mg_writer_init(&w);
		check(ctx, mg_model_write(ctx, b->tr.model, &w));
		f = fopen(b->model_file, "w");
		if (f == NULL || fwrite(w.data, 1, w.len, f) != w.len)
			die("cannot write the model");
		mg_writer_free(&w);
	}
	else
	{
		size_t room = (size_t) 64 << 20, n;
		char *data = table_alloc(NULL, room, 1);

		mg_ctx_init(ctx);
		n = fread(data, 1, room, f);
		check(ctx, mg_model_read(ctx, mg_methods, data, n, &b->tr.model));
		free(data);
	}
	fclose(f);
}

static bool
wants(const bench *b, char part)
{
	return strchr(b->parts, part) != NULL;
}

static void
show_all(bench *b, const char *method, double epsilon, double delta)
{
	if (wants(b, 'c'))
		show_changes(b);
	if (wants(b, 'd'))
		show_distances(b);
	if (wants(b, 'a'))
	{
		training other;

		train(b, &other, method, epsilon, delta);
		show_all_alarms(b, other.model);
		training_end(&other);
	}
	for (uint32_t colluders = 1; wants(b, 't') && colluders <= 4; colluders *= 2)
		show_tracing(b, colluders, colluders == 1 ? 1000 : 10000);
	if (wants(b, 'm'))
		show_detection_time(b);
}

static void
read_option(bench *b, char *option)
{
	char *value = strchr(option, '=');
	size_t n = value != NULL ? (size_t) (++value - option) : 0;

	if (n == 6 && memcmp(option, "draws=", n) == 0)
		b->draws = (uint32_t) fmax(strtod(value, NULL), 1);
	else if (n == 5 && memcmp(option, "rows=", n) == 0)
		b->rows = (uint32_t) fmax(strtod(value, NULL), 3000);
	else if (n == 5 && memcmp(option, "runs=", n) == 0)
		b->runs = (uint32_t) fmax(strtod(value, NULL), 1);
	else if (n == 5 && memcmp(option, "seed=", n) == 0)
		b->seed = (uint32_t) fmax(strtod(value, NULL), 0);
	else if (n == 6 && memcmp(option, "write=", n) == 0)
		b->prefix = value;
	else if (n == 6 && memcmp(option, "parts=", n) == 0)
		b->parts = value;
	else if (n == 6 && memcmp(option, "model=", n) == 0)
		b->model_file = value;
	else if (n == 6 && memcmp(option, "given=", n) == 0 && strchr(value, ':') != NULL)
	{
		b->given = value;
		*strchr(value, ':') = '\0';
	}
	else
		die("an unknown option");
}

int
main(int argc, char **argv)
{
	static bench b = {.draws = 20, .rows = 40000, .runs = 3, .seed = 2026, .parts = "cdatm"};

	(void) training_compare; /* of table.h: this program compares other pairs of tables */
	if (argc < 6 || mg_method_find(argv[3]) == NULL)
		die("usage: mark_csv ROWS.csv COLUMNS METHOD EPSILON DELTA [draws=N] [rows=N] [runs=N] [seed=N] [parts=cdatm] "
			"[given=COLUMN:LABEL|COLUMN:LOW..HIGH] [model=FILE] [write=PREFIX]");
	for (int i = 6; i < argc; i++)
		read_option(&b, argv[i]);
	mg_rng_seed(&b.rng, b.seed);
	table_declare(&b.t, argv[2]);
	table_read(&b.t, argv[1], table_keep, &b.t);
	table_code(&b.t);
	get_model(&b, argv[3], strtod(argv[4], NULL), strtod(argv[5], NULL));
	show_plan(&b);
	if (b.prefix == NULL)
		show_all(&b, argv[3], strtod(argv[4], NULL), strtod(argv[5], NULL));
	else
	{
		keys k = new_keys(&b);

		for (int marked = 0; marked < 2; marked++)
			write_file(&b, &k, marked);
	}
	mg_mark_plan_destroy(b.plan);
	training_end(&b.tr);
	table_free(&b.t);
	return 0;
}
