/*
 * test/bench/bench_discretize.c: ways of cutting numbers into bins, how many, and shares of the budget, compared on a
 * table by the distance of the synthetic rows' marginals.
 *
 *   bench_discretize [compare|shares [ROWS.csv COLUMNS [METHOD [RUNS [EPSILON ...]]]]]
 *   bench_discretize pairs ROWS.csv COLUMNS [SIGMA ...]
 *
 * compare, shares: whole trainings with delta 1e-9, each with its own noise; means of RUNS (3) with the standard
 * deviation in brackets. Without a file: a generated table of people, of whom 20,000.
 *
 * pairs: no training, but what bins by themselves do to a pair of columns. The marginal of each of the table's most
 * dependent pairs with a number of over MANY_CODES codes is counted over bins, given Gaussian noise of SIGMA, made
 * non-negative, fitted to the exact one-way marginals, and spread out within its bins by these; the figure is the mean
 * distance to the exact pair. Its least entry in a row is the best number of bins at that noise, beside which the law
 * of model/binning.c stands. Numbers have to be closed, with at most 1,024 values.
 */
#include "table.h"

#include "model/binning.h"
#include "model/hierarchy.h"
#include "num/rng.h"

#define DELTA 1e-9
#define GENERATED_ROWS 20000
#define MOST_OPTIONS 4
#define MANY_CODES 20
#define MOST_PAIRS 12

typedef struct variant
{
	const char *name;
	mg_option option[MOST_OPTIONS];
	uint32_t count;
} variant;

static const variant binnings[] = {
	{"merged", {{"binning", "merged"}}, 1},
	{"merged, 64", {{"binning", "merged"}, {"bins", "64"}}, 2},
	{"merged, 16", {{"binning", "merged"}, {"bins", "16"}}, 2},
	{"merged, 2 dev.", {{"bin_deviations", "2"}}, 1},
	{"merged, 16 dev.", {{"bin_deviations", "16"}}, 1},
	{"quantile", {{"binning", "quantile"}}, 1},
	{"quantile, 64", {{"binning", "quantile"}, {"bins", "64"}}, 2},
	{"uniform", {{"binning", "uniform"}}, 1},
	{"uniform, 64", {{"binning", "uniform"}, {"bins", "64"}}, 2},
};

static const variant shares[] = {
	{"default", {{0}}, 0},
	{"learn 0.1", {{"learn_share", "0.1"}}, 1},
	{"learn 0.2", {{"learn_share", "0.2"}}, 1},
	{"learn 0.4", {{"learn_share", "0.4"}}, 1},
	{"one-way 0.2", {{"oneway_share", "0.2"}}, 1},
	{"one-way 0.3", {{"oneway_share", "0.3"}}, 1},
	{"one-way 0.5", {{"oneway_share", "0.5"}}, 1},
	{"selection 0.03", {{"select_share", "0.03"}}, 1},
	{"selection 0.12", {{"select_share", "0.12"}}, 1},
};

/* ---- a table of people ---- */

static double
normal(mg_rng *rng)
{
	double u = mg_rng_unit(rng) + 1e-18, v = mg_rng_unit(rng);

	return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

/* Skewed labels: the k-th about half as frequent as the one before. */
static double
label(table *t, uint32_t c, mg_rng *rng, double shift)
{
	char text[32];

	snprintf(text, sizeof(text), "label-%d", (int) fmin(-log2(mg_rng_unit(rng) + 1e-9) + shift, 24));
	return text_index(&t->col[c].texts, text, true);
}

static void
generate(table *t)
{
	static const char *const declared[] = {"age number 0 120 1",
										   "hours number 0 168 1",
										   "education number 1 16 1",
										   "wage open -1e9 1e9 1",
										   "gain number 0 99999 1",
										   "job text",
										   "country text null",
										   "group text",
										   "married 3"};
	double row[TABLE_COLUMNS];
	char line[64];
	mg_rng rng;

	mg_rng_seed(&rng, 11);
	for (size_t i = 0; i < sizeof(declared) / sizeof(declared[0]); i++)
	{
		snprintf(line, sizeof(line), "%s", declared[i]);
		declare_column(t, line);
	}
	for (uint32_t r = 0; r < GENERATED_ROWS; r++)
	{
		double u = mg_rng_unit(&rng), v = mg_rng_unit(&rng);

		row[0] = floor(17 + 60 * u * sqrt(v));
		row[1] =
			mg_rng_unit(&rng) < 0.45 ? 40 : floor(fmin(fmax(40 - fabs(row[0] - 42) / 2 + 12 * normal(&rng), 1), 99));
		row[2] = floor(1 + 15 * sqrt(v));
		row[3] = floor(exp(9.5 + row[2] / 10 + row[1] / 100 + 0.4 * normal(&rng)));
		row[4] = mg_rng_unit(&rng) < 0.9 ? 0 : floor(fmin(row[3] * mg_rng_unit(&rng), 99999));
		row[5] = label(t, 5, &rng, row[2] / 4);
		row[6] = mg_rng_unit(&rng) < 0.02 ? NAN : label(t, 6, &rng, 0);
		row[7] = label(t, 7, &rng, row[0] > 45 ? 1 : 0);
		row[8] = row[0] < 25 ? 0 : mg_rng_unit(&rng) < 0.7 ? 1 : 2;
		table_keep(t, row);
	}
}

/* ---- whole trainings ---- */

static void
show_variant(table *t, const mg_method *method, double epsilon, uint32_t runs, const variant *v)
{
	double sum[4] = {0}, squares[4] = {0}, x[4], codes = 0;
	static training tr;

	for (uint32_t run = 0; run < runs; run++)
	{
		training_begin(&tr, t, epsilon, DELTA);
		training_load_kept(&tr);
		training_fit(&tr, method, v->option, v->count);
		training_compare(&tr, t->rows, x);
		for (uint32_t c = 0; c < t->ncolumns; c++)
			codes += (double) tr.model->columns[c].ncoarse / t->ncolumns / runs;
		for (int i = 0; i < 4; i++)
		{
			sum[i] += x[i] / runs;
			squares[i] += x[i] * x[i];
		}
		training_end(&tr);
	}
	printf("%7g  %-16s %6.1f", epsilon, v->name, codes);
	for (int i = 0; i < 4; i++)
		printf("  %.4f (%.4f)", sum[i], runs > 1 ? sqrt(fmax(squares[i] - runs * sum[i] * sum[i], 0) / (runs - 1)) : 0);
	printf("\n");
	fflush(stdout);
}

static void
compare(table *t, const mg_method *method, uint32_t runs, const double *epsilon, uint32_t nepsilon, const variant *v,
		size_t nv)
{
	table_code(t);
	printf("%s, %u columns, %llu rows, %u runs\n", method->name, t->ncolumns, (unsigned long long) t->rows, runs);
	printf("epsilon  %-16s  codes  tvd1             tvd2             tvd3             ks\n", "variant");
	for (uint32_t e = 0; e < nepsilon; e++)
		for (size_t i = 0; i < nv; i++)
			show_variant(t, method, epsilon[e], runs, &v[i]);
}

/* ---- pairs ---- */

/* A column as cells of its own values, and merged. */
typedef struct cells_of
{
	bool number;
	uint32_t size, ncoarse;
	uint32_t *code; /* [rows] */
	double *fine, *coarse;
	mg_cell *cell;
	uint16_t *merge;
} cells_of;

typedef struct pair
{
	uint32_t a, b;
	double dependence;
} pair;

typedef struct pairs
{
	table *t;
	mg_ctx ctx;
	mg_rng rng;
	cells_of col[TABLE_COLUMNS];
	pair pair[MOST_PAIRS];
	uint32_t npairs;
	double *exact, *estimate, *var;
} pairs;

static void
take_cells(const table *t, uint32_t c, cells_of *out)
{
	const table_column *col = &t->col[c];
	double lower = col->d.kind == MG_NUMBER ? col->d.lower : 0;

	out->number = col->d.kind == MG_NUMBER;
	out->size = out->number ? (uint32_t) fmin(col->d.upper - lower + 1, 1e6) : col->texts.count + 1;
	if (out->size > MG_MAX_CELLS)
		die("pairs needs columns of at most 1,024 values");
	out->code = table_alloc(NULL, t->rows, sizeof(*out->code));
	out->fine = calloc(out->size + 2, sizeof(double));
	out->coarse = calloc(out->size + 2, sizeof(double));
	out->merge = calloc(out->size + 2, sizeof(*out->merge));
	out->cell = calloc(out->size, sizeof(*out->cell));
	for (uint32_t i = 0; i < out->size; i++)
		out->cell[i].lower = out->cell[i].upper = i;
	for (uint64_t r = 0; r < t->rows; r++)
	{
		double v = col->value[r];

		/* a missing text is a label of its own, the last */
		out->code[r] =
			isnan(v) ? (out->number ? 0 : out->size - 1) : (uint32_t) fmin(fmax(v - lower, 0), out->size - 1.0);
		out->fine[out->code[r]]++;
	}
}

static void
count_pair(const pairs *p, const pair *q, double *out)
{
	const cells_of *a = &p->col[q->a], *b = &p->col[q->b];

	memset(out, 0, (size_t) a->size * b->size * sizeof(*out));
	for (uint64_t r = 0; r < p->t->rows; r++)
		out[(size_t) a->code[r] * b->size + b->code[r]]++;
}

/* Distance from independence, less what chance would make of it. */
static double
dependence(pairs *p, const pair *q)
{
	const cells_of *a = &p->col[q->a], *b = &p->col[q->b];
	double sum = 0, n = (double) p->t->rows;

	count_pair(p, q, p->exact);
	for (uint32_t x = 0; x < a->size; x++)
		for (uint32_t y = 0; y < b->size; y++)
		{
			double f = a->fine[x] * b->fine[y] / n;

			sum += fabs(p->exact[(size_t) x * b->size + y] - f) - sqrt(2 / M_PI * f);
		}
	return 0.5 * sum / n;
}

static int
compare_pairs(const void *a, const void *b)
{
	double x = ((const pair *) a)->dependence, y = ((const pair *) b)->dependence;

	return (x < y) - (x > y);
}

static void
list_pairs(pairs *p)
{
	uint32_t n = p->t->ncolumns, count = 0;
	pair *all = table_alloc(NULL, (size_t) n * n, sizeof(*all));

	for (uint32_t a = 0; a < n; a++)
		for (uint32_t b = a + 1; b < n; b++)
		{
			if (!(p->col[a].number && p->col[a].size > MANY_CODES) &&
				!(p->col[b].number && p->col[b].size > MANY_CODES))
				continue;
			all[count] = (pair){a, b, 0};
			all[count].dependence = dependence(p, &all[count]);
			count++;
		}
	qsort(all, count, sizeof(*all), compare_pairs);
	p->npairs = count < MOST_PAIRS ? count : MOST_PAIRS;
	memcpy(p->pair, all, p->npairs * sizeof(*all));
	free(all);
}

static void
cut_column(pairs *p, cells_of *c, const mg_bin_rule *rule)
{
	mg_domain d = {.name = "", .kind = c->number ? MG_NUMBER : MG_CATEGORY, .upper = c->size - 1.0, .step = 1};
	mg_arena *a = mg_arena_create(0);

	d.nlabels = c->size;
	check(&p->ctx,
		  mg_bins_merge(&p->ctx, a, &d, c->cell, c->fine, c->size + (c->number ? 1 : 2), rule, c->merge, &c->ncoarse));
	memset(c->coarse, 0, c->size * sizeof(*c->coarse));
	for (uint32_t i = 0; i < c->size; i++)
		c->coarse[c->merge[i]] += c->fine[i];
	mg_arena_destroy(a);
}

/* One sweep of iterative proportional fitting to the exact one-way marginals. */
static void
fit_sums(double *est, const cells_of *a, const cells_of *b)
{
	for (uint32_t x = 0; x < a->ncoarse; x++)
	{
		double sum = 0;

		for (uint32_t y = 0; y < b->ncoarse; y++)
			sum += est[x * b->ncoarse + y];
		for (uint32_t y = 0; y < b->ncoarse; y++)
			est[x * b->ncoarse + y] *= sum > 0 ? a->coarse[x] / sum : 0;
	}
	for (uint32_t y = 0; y < b->ncoarse; y++)
	{
		double sum = 0;

		for (uint32_t x = 0; x < a->ncoarse; x++)
			sum += est[x * b->ncoarse + y];
		for (uint32_t x = 0; x < a->ncoarse; x++)
			est[x * b->ncoarse + y] *= sum > 0 ? b->coarse[y] / sum : 0;
	}
}

/* The distance of one pair's reconstruction. */
static double
rebuild_pair(pairs *p, const pair *q, double sigma)
{
	const cells_of *a = &p->col[q->a], *b = &p->col[q->b];
	uint32_t cells = a->ncoarse * b->ncoarse;
	double sum = 0, n = (double) p->t->rows;

	count_pair(p, q, p->exact);
	memset(p->estimate, 0, cells * sizeof(double));
	for (uint32_t x = 0; x < a->size; x++)
		for (uint32_t y = 0; y < b->size; y++)
			p->estimate[a->merge[x] * b->ncoarse + b->merge[y]] += p->exact[(size_t) x * b->size + y];
	for (uint32_t i = 0; i < cells; i++)
	{
		p->estimate[i] += sigma * normal(&p->rng);
		p->var[i] = sigma * sigma;
	}
	mg_project_simplex(p->estimate, p->var, cells, n);
	for (uint32_t i = 0; i < cells; i++)
		p->estimate[i] += 1e-6; /* no cell is so empty that fitting could not fill it */
	for (int sweep = 0; sweep < 5; sweep++)
		fit_sums(p->estimate, a, b);
	for (uint32_t x = 0; x < a->size; x++)
		for (uint32_t y = 0; y < b->size; y++)
		{
			uint32_t u = a->merge[x], v = b->merge[y];
			double within = a->fine[x] * b->fine[y], of = a->coarse[u] * b->coarse[v];

			sum +=
				fabs(p->exact[(size_t) x * b->size + y] - (of > 0 ? p->estimate[u * b->ncoarse + v] * within / of : 0));
		}
	return 0.5 * sum / n;
}

static double
mean_rebuilt(pairs *p, const mg_bin_rule *rule, double sigma)
{
	double sum = 0;

	for (uint32_t c = 0; c < p->t->ncolumns; c++)
		cut_column(p, &p->col[c], rule);
	for (uint32_t i = 0; i < p->npairs; i++)
		sum += rebuild_pair(p, &p->pair[i], sigma) / p->npairs;
	return sum;
}

static void
show_pairs(table *t, const double *sigma, uint32_t nsigma)
{
	static const uint32_t bins[] = {6, 8, 12, 16, 24, 32, 48, 64, 100};
	static const char *const how[] = {"merged", "uniform", "quantile"};
	static pairs p;
	size_t cells = (size_t) MG_MAX_CELLS * MG_MAX_CELLS;

	p.t = t;
	mg_ctx_init(&p.ctx);
	mg_rng_seed(&p.rng, 3);
	p.exact = table_alloc(NULL, cells, sizeof(double));
	p.estimate = table_alloc(NULL, cells, sizeof(double));
	p.var = table_alloc(NULL, cells, sizeof(double));
	for (uint32_t c = 0; c < t->ncolumns; c++)
		take_cells(t, c, &p.col[c]);
	list_pairs(&p);
	printf("%u pairs, %llu rows\n%8s %8s %-9s", p.npairs, (unsigned long long) t->rows, "n/sigma", "law", "binning");
	for (size_t i = 0; i < sizeof(bins) / sizeof(bins[0]); i++)
		printf(" %6u", bins[i]);
	printf("\n");
	for (uint32_t s = 0; s < nsigma; s++)
	{
		mg_discretize_options opt = {.rho_measure = 1 / (2 * sigma[s] * sigma[s])};
		mg_domain d = {.name = "", .kind = MG_NUMBER};

		for (uint32_t h = 0; h < sizeof(how) / sizeof(how[0]); h++)
		{
			printf("%8.0f %8u %-9s", (double) t->rows / sigma[s], mg_bin_rule_for(&opt, &d, 2, (double) t->rows).most,
				   how[h]);
			for (size_t i = 0; i < sizeof(bins) / sizeof(bins[0]); i++)
			{
				mg_bin_rule rule = {.how = (mg_binning) h, .least = 4 * sigma[s], .most = bins[i]};

				printf(" %.4f", mean_rebuilt(&p, &rule, sigma[s]));
			}
			printf("\n");
			fflush(stdout);
		}
	}
	for (uint32_t c = 0; c < t->ncolumns; c++)
	{
		free(p.col[c].code);
		free(p.col[c].fine);
		free(p.col[c].coarse);
		free(p.col[c].merge);
		free(p.col[c].cell);
	}
	free(p.exact);
	free(p.estimate);
	free(p.var);
}

/* Numbers from argv[from] on, or the defaults. */
static uint32_t
read_numbers(int argc, char **argv, int from, const double *defaults, uint32_t n, double *out)
{
	uint32_t count = 0;

	for (int i = from; i < argc && count < 16; i++)
		out[count++] = strtod(argv[i], NULL);
	if (count > 0)
		return count;
	memcpy(out, defaults, n * sizeof(*out));
	return n;
}

int
main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "compare";
	const mg_method *method = mg_method_find(argc > 4 ? argv[4] : "mst");
	uint32_t runs = argc > 5 ? (uint32_t) fmax(strtod(argv[5], NULL), 1) : 3, n;
	double number[16];
	static table t;

	if (argc > 3)
	{
		table_declare(&t, argv[3]);
		table_read(&t, argv[2], table_keep, &t);
	}
	else
		generate(&t);
	if (strcmp(mode, "pairs") == 0)
	{
		n = read_numbers(argc, argv, 4, (const double[]){2, 10, 50, 200}, 4, number);
		show_pairs(&t, number, n);
	}
	else if (method == NULL)
		die("no such method");
	else
	{
		n = read_numbers(argc, argv, 6, (const double[]){0.3, 1, 3}, 3, number);
		if (strcmp(mode, "compare") == 0)
			compare(&t, method, runs, number, n, binnings, sizeof(binnings) / sizeof(binnings[0]));
		else if (strcmp(mode, "shares") == 0)
			compare(&t, method, runs, number, n, shares, sizeof(shares) / sizeof(shares[0]));
		else
			die("usage: bench_discretize [compare|shares|pairs ...]");
	}
	table_free(&t);
	return 0;
}
