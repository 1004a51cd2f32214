/*
 * test/bench/fit_csv.c: trains a model over a CSV file and writes synthetic rows, without a server:
 * for measuring the core's quality and speed, and for choosing its defaults. Real noise from the operating
 * system's entropy; not a private release of anything, since its times and its messages are not guarded.
 *
 *   fit_csv ROWS.csv COLUMNS METHOD EPSILON DELTA ROWS [OPTION=VALUE ...] > synthetic.csv
 *   fit_csv ROWS.csv COLUMNS METHOD EPSILON DELTA ROWS measure=1 [runs=R] [OPTION=VALUE ...]
 *
 * ROWS.csv: a header, then rows. COLUMNS: see table.h; lines of "name size" for a table of codes. Processor seconds of
 * each phase, the model's facts and the odometer go to stderr.
 *
 * The second form writes no rows but, to stderr, the mean total variation distances of all columns, pairs and triples
 * (fidelity.h) between ROWS synthetic rows (0: as many as were read) and those read: a line "tvd1 tvd2 tvd3" (and "ks"
 * where there are numbers that are not codes), and one of the figures for each of the runs, each a training of its own;
 * of several runs their mean and standard deviation too.
 */
#include "table.h"

typedef struct job
{
	table t;
	const char *path;
	const mg_method *method;
	double epsilon, delta;
	uint64_t rows;
	mg_option options[16];
	uint32_t noptions;
	bool measure; /* compare rather than write rows */
	uint32_t runs;
} job;

static void
show_phase(const char *name, double seconds)
{
	fprintf(stderr, "%-10s %8.3f s\n", name, seconds);
}

static void
write_value(const mg_domain *d, const mg_values *v, uint32_t r)
{
	if (v->null[r])
		return;
	if (d->kind == MG_NUMBER)
		printf("%.17g", v->number[r]);
	else
		printf("%s", text_of(d, v->label[r]));
}

static void
write_rows(training *tr, uint64_t rows)
{
	uint32_t n = tr->t->ncolumns;
	mg_stream *stream = open_stream(&tr->ctx, tr->model);

	for (uint32_t c = 0; c < n; c++)
		printf("%s%s", c == 0 ? "" : ",", tr->domain[c].name);
	printf("\n");
	for (uint64_t done = 0; done < rows;)
	{
		const mg_batch *b = next_batch(&tr->ctx, stream, rows - done);

		for (uint32_t r = 0; r < b->rows; r++)
			for (uint32_t c = 0; c < n; c++)
			{
				write_value(&tr->model->columns[c].domain, &b->column[c], r);
				putchar(c + 1 < n ? ',' : '\n');
			}
		done += b->rows;
	}
	mg_stream_destroy(stream);
}

static void
show_facts(training *tr)
{
	const mg_model *m = tr->model;
	mg_writer facts;

	mg_writer_init(&facts);
	check(&tr->ctx, m->method->describe(&tr->ctx, m, &facts));
	fprintf(stderr, "%.*s\n", (int) facts.len, (const char *) facts.data);
	fprintf(stderr, "codes:");
	for (uint32_t i = 0; i < m->ncolumns; i++)
		fprintf(stderr, " %s %u", m->columns[i].domain.name, m->columns[i].ncoarse);
	fprintf(stderr, "\nrho used: %.6f of %.6f, model: %zu bytes of arena\n", tr->odometer.rho_used,
			tr->odometer.rho_reserved, mg_arena_bytes(m->arena));
	mg_writer_free(&facts);
}

static void
run_and_write(job *j)
{
	double begun = cpu_seconds();
	training tr;

	training_begin(&tr, &j->t, j->epsilon, j->delta);
	table_read(&j->t, j->path, training_take, &tr);
	check(&tr.ctx, mg_load_finish(&tr.ctx, tr.curator));
	show_phase("load", cpu_seconds() - begun);
	training_fit(&tr, j->method, j->options, j->noptions);
	show_phase("train", tr.fit_seconds);
	begun = cpu_seconds();
	write_rows(&tr, j->rows);
	show_phase("rows", cpu_seconds() - begun);
	show_facts(&tr);
	training_end(&tr);
}

static bool
any_ks(const table *t)
{
	for (uint32_t c = 0; c < t->ncolumns; c++)
		if (t->col[c].size == 0 && t->col[c].k.numeric)
			return true;
	return false;
}

static void
show_figures(const double *x, bool ks, const char *what)
{
	fprintf(stderr, "%.5f %.5f %.5f", x[0], x[1], x[2]);
	if (ks)
		fprintf(stderr, " %.5f", x[3]);
	fprintf(stderr, "%s\n", what);
}

static void
run_and_measure(job *j)
{
	double sum[4] = {0}, squares[4] = {0}, x[4], seconds = 0;
	bool ks;

	table_read(&j->t, j->path, table_keep, &j->t);
	table_code(&j->t);
	ks = any_ks(&j->t);
	for (uint32_t run = 0; run < j->runs; run++)
	{
		training tr;

		training_begin(&tr, &j->t, j->epsilon, j->delta);
		training_load_kept(&tr);
		training_fit(&tr, j->method, j->options, j->noptions);
		training_compare(&tr, j->rows > 0 ? j->rows : j->t.rows, x);
		if (run == 0)
		{
			show_phase("load", tr.load_seconds);
			show_facts(&tr);
			fprintf(stderr, "tvd1 tvd2 tvd3%s\n", ks ? " ks" : "");
		}
		show_figures(x, ks, "");
		seconds += tr.fit_seconds / j->runs;
		for (int i = 0; i < 4; i++)
		{
			sum[i] += x[i];
			squares[i] += x[i] * x[i];
		}
		training_end(&tr);
	}
	for (int i = 0; j->runs > 1 && i < 4; i++)
	{
		sum[i] /= j->runs;
		squares[i] = sqrt(fmax(squares[i] - j->runs * sum[i] * sum[i], 0) / (j->runs - 1));
	}
	if (j->runs > 1)
	{
		show_figures(sum, ks, " mean");
		show_figures(squares, ks, " sd");
	}
	show_phase("train", seconds);
}

/* What is not for the harness is for the method. */
static void
read_options(job *j, int argc, char **argv)
{
	j->runs = 1;
	for (int i = 7; i < argc; i++)
	{
		char *equals = strchr(argv[i], '=');

		if (equals == NULL || j->noptions == 16)
			die("options are NAME=VALUE");
		*equals = '\0';
		if (strcmp(argv[i], "measure") == 0)
			j->measure = strcmp(equals + 1, "1") == 0;
		else if (strcmp(argv[i], "runs") == 0)
			j->runs = (uint32_t) fmax(strtod(equals + 1, NULL), 1);
		else
			j->options[j->noptions++] = (mg_option){argv[i], equals + 1};
	}
}

int
main(int argc, char **argv)
{
	static job j;

	if (argc < 7)
		die("usage: fit_csv ROWS.csv COLUMNS METHOD EPSILON DELTA ROWS [measure=1] [OPTION=VALUE ...]");
	j.path = argv[1];
	table_declare(&j.t, argv[2]);
	j.method = mg_method_find(argv[3]);
	if (j.method == NULL)
		die("no such method");
	j.epsilon = strtod(argv[4], NULL);
	j.delta = strtod(argv[5], NULL);
	j.rows = strtoull(argv[6], NULL, 10);
	read_options(&j, argc, argv);
	(j.measure ? run_and_measure : run_and_write)(&j);
	table_free(&j.t);
	return 0;
}
