/*
 * test/bench/bench_curator.c: what the curator costs: loading and coding a mixed table of 15 columns, learning its
 * columns, recoding, counting all 105 pairs, and a workload of all 455 triples.
 *
 * usage: bench_curator [rows [memory in MB [threads [k [different]]]]]. k 0: rows are units. different: hardly any two
 * rows are alike, fine or coarse; else there are 16,384 kinds of them. Prints a line for each step: seconds, and ns a
 * row, a value or an increment. With k, rows belong to units (2.5 rows each on average, some have dozens), of which k
 * rows stay, and what bounding them costs has a line of its own. Nine columns are short open text, three closed
 * numbers, three open numbers, as in a table of people.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/pool.h"
#include "curator/workload.h"
#include "num/rng.h"

#define COLUMNS 15
#define TEXTS 9

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

static mg_ctx ctx;

static void
check(mg_code code)
{
	if (code == MG_OK)
		return;
	fprintf(stderr, "bench_curator: %s\n", ctx.message);
	exit(1);
}

/* A store over unlinked temporary files. */
static FILE *files[64];

static mg_code
file_open(mg_ctx *c, mg_store *s, int *file)
{
	for (int i = 0; i < 64; i++)
		if (files[i] == NULL)
		{
			files[i] = tmpfile();
			*file = i;
			return files[i] != NULL ? MG_OK : mg_fail(c, MG_IO, "no temporary file");
		}
	return mg_fail(c, MG_IO, "too many files");
}

static mg_code
file_write(mg_ctx *c, mg_store *s, int file, uint64_t offset, const void *p, size_t n)
{
	if (fseeko(files[file], (off_t) offset, SEEK_SET) != 0 || fwrite(p, 1, n, files[file]) != n)
		return mg_fail(c, MG_IO, "cannot write");
	return MG_OK;
}

static mg_code
file_read(mg_ctx *c, mg_store *s, int file, uint64_t offset, void *p, size_t n)
{
	if (fseeko(files[file], (off_t) offset, SEEK_SET) != 0 || fread(p, 1, n, files[file]) != n)
		return mg_fail(c, MG_IO, "cannot read");
	return MG_OK;
}

static void
file_close(mg_store *s, int file)
{
	fclose(files[file]);
	files[file] = NULL;
}

static mg_store store = {file_open, file_write, file_read, file_close, NULL};

#define SAMPLE 16384 /* distinct rows, repeated: making them is not measured */
static struct
{
	char text[TEXTS][24];
	uint8_t len[TEXTS];
	double number[COLUMNS - TEXTS];
} sample[SAMPLE];

static void
make_sample(void)
{
	static const int labels[TEXTS] = {2, 5, 7, 9, 14, 16, 42, 6, 2};
	mg_rng r;

	mg_rng_seed(&r, 1);
	for (int i = 0; i < SAMPLE; i++)
	{
		for (int j = 0; j < TEXTS; j++)
		{
			double u = mg_rng_unit(&r);
			int v = (int) (u * u * labels[j]);

			sample[i].len[j] = (uint8_t) snprintf(sample[i].text[j], sizeof(sample[i].text[j]), "%.*s-%d", 4 + v % 12,
												  "Married-civ-spouse", v);
		}
		for (int j = 0; j < COLUMNS - TEXTS; j++)
			sample[i].number[j] = (double) (int) (mg_rng_unit(&r) * mg_rng_unit(&r) * (j < 3 ? 90 : 100000));
	}
}

/* Which sample's value column j of row i has. */
static inline size_t
kind_of(size_t i, uint32_t j, bool different)
{
	uint64_t h = i * 7919;

	if (different)
	{
		h = (i * COLUMNS + j) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 32;
		h *= UINT64_C(0xd6e8feb86659fd93);
		h >>= 40;
	}
	return h % SAMPLE;
}

static void
load(mg_curator *c, size_t rows, size_t units, bool different)
{
	mg_rng r;

	mg_rng_seed(&r, 2);
	for (size_t i = 0; i < rows; i++)
	{
		for (uint32_t j = 0; j < TEXTS; j++)
		{
			size_t k = kind_of(i, j, different);

			mg_load_text(c, j, sample[k].text[j], sample[k].len[j]);
		}
		for (uint32_t j = TEXTS; j < COLUMNS; j++)
			mg_load_number(c, j, sample[kind_of(i, j, different)].number[j - TEXTS]);
		if (different) /* two million values */
			mg_load_number(c, COLUMNS - 1, (double) ((i * UINT64_C(0x9e3779b97f4a7c15)) >> 43));
		if (units > 0)
		{
			double u = mg_rng_unit(&r);
			uint64_t unit = (uint64_t) (u * u * (double) units);

			mg_load_unit(c, &unit, sizeof(unit));
		}
		check(mg_load_row(&ctx, c));
	}
}

/* Fixes open columns and merges everything into at most 32 codes. */
static void
learn(mg_curator *c, mg_arena *a)
{
	const uint16_t *merge[COLUMNS];
	uint32_t ncoarse[COLUMNS];
	mg_cell cells[256];

	for (uint32_t j = 0; j < COLUMNS; j++)
	{
		mg_released out;
		uint32_t n;
		uint16_t *m;

		if (j < TEXTS)
		{
			check(mg_curator_release(&ctx, c, j, (mg_ratio){100, 1}, 1e-9, 1000, a, &out));
			check(mg_curator_fix_labels(&ctx, c, j, out.labels, out.count));
		}
		else if (mg_curator_nfine(c, j) == 0)
		{
			for (int i = 0; i < 256; i++)
				cells[i] = (mg_cell){i * 400.0, (i + 1) * 400.0};
			check(mg_curator_fix_number(&ctx, c, j, cells, 256));
		}
		n = mg_curator_nfine(c, j);
		int64_t *noisy = malloc(n * sizeof(*noisy));
		check(mg_curator_hierarchy(&ctx, c, j, 1, &n, NULL, &(mg_ratio){100, 1}, &noisy));
		free(noisy);
		ncoarse[j] = n < 32 ? n : 32;
		m = mg_arena_alloc(a, n, sizeof(*m));
		for (uint32_t i = 0; i < n; i++)
			m[i] = (uint16_t) (i * ncoarse[j] / n);
		merge[j] = m;
	}
	double t = now();
	check(mg_curator_recode(&ctx, c, merge, ncoarse));
	printf("  of it recoding           %8.3f s\n", now() - t);
}

static void
count_pairs(mg_curator *c)
{
	mg_marginal_query q[COLUMNS * (COLUMNS - 1) / 2];
	uint32_t cols[COLUMNS * (COLUMNS - 1) / 2][2], n = 0;

	for (uint32_t i = 0; i < COLUMNS; i++)
		for (uint32_t j = i + 1; j < COLUMNS; j++)
		{
			cols[n][0] = i;
			cols[n][1] = j;
			/* Next to no noise, so that drawing it is not what is measured. */
			q[n] = (mg_marginal_query){2, cols[n], {1, 1 << 20}, calloc(32 * 32, sizeof(int64_t))};
			n++;
		}
	check(mg_curator_marginals(&ctx, c, q, n));
	while (n > 0)
		free(q[--n].noisy);
}

static void
count_triples(mg_curator *c)
{
	static uint32_t cols[455][3];
	static mg_marginal_of set[455];
	mg_workload *w;
	size_t n = 0;

	for (uint32_t i = 0; i < COLUMNS; i++)
		for (uint32_t j = i + 1; j < COLUMNS; j++)
			for (uint32_t k = j + 1; k < COLUMNS; k++, n++)
			{
				cols[n][0] = i;
				cols[n][1] = j;
				cols[n][2] = k;
				set[n] = (mg_marginal_of){3, cols[n]};
			}
	check(mg_workload_begin(&ctx, c, set, n, (size_t) 256 << 20, &w));
	mg_workload_end(w);
}

int
main(int argc, char **argv)
{
	size_t rows = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
	size_t memory = (argc > 2 ? strtoull(argv[2], NULL, 10) : 64) << 20;
	mg_domain domain[COLUMNS];
	mg_odometer odometer;
	mg_noise *noise;
	mg_curator *c;
	mg_arena *a = mg_arena_create(0);
	const uint8_t key[MG_UNIT_KEY_BYTES] = "any key will do to measure time";
	bool with_units = argc > 4 && strcmp(argv[4], "0") != 0;
	const mg_units units = {with_units ? (uint32_t) strtoul(argv[4], NULL, 10) : 1, key};
	struct rusage usage;
	double t;

	mg_ctx_init(&ctx);
	ctx.pool = argc > 3 ? mg_pool_create(atoi(argv[3])) : NULL;
	make_sample();
	for (int j = 0; j < COLUMNS; j++)
		domain[j] =
			j < TEXTS ? (mg_domain){.name = "t", .kind = MG_CATEGORY, .nullable = true, .open = true, .has_other = true}
					  : (mg_domain){.name = "n",
									.kind = MG_NUMBER,
									.open = j >= TEXTS + 3,
									.lower = 0,
									.upper = j >= TEXTS + 3 ? 1e9 : 90,
									.step = 1};
	mg_odometer_init(&odometer, 1e12, 1);
	check(mg_noise_create(&ctx, &noise));
	check(mg_curator_create_for_units(&ctx, domain, COLUMNS, with_units ? &units : NULL, noise, &odometer, &store,
									  memory, &c));

	printf("%zu rows, %d columns, %zu MB, %d lanes, %u rows a unit\n", rows, COLUMNS, memory >> 20,
		   mg_pool_width(ctx.pool), mg_curator_rows_per_unit(c));
	t = now();
	load(c, rows, with_units ? rows * 2 / 5 + 1 : 0, argc > 5);
	t = now() - t;
	printf("load                       %8.3f s  %7.1f ns a row  %5.2f ns a value\n", t, 1e9 * t / (double) rows,
		   1e9 * t / (double) rows / COLUMNS);
	t = now();
	check(mg_load_finish(&ctx, c));
	t = now() - t;
	printf("bounding units             %8.3f s  %7.1f ns a row\n", t, 1e9 * t / (double) rows);
	t = now();
	learn(c, a);
	t = now() - t;
	printf("release, histograms, recode%8.3f s  %7.1f ns a row\n", t, 1e9 * t / (double) rows);
	t = now();
	count_pairs(c);
	t = now() - t;
	printf("105 pairs                  %8.3f s  %7.1f ns a row  %5.2f ns an increment\n", t, 1e9 * t / (double) rows,
		   1e9 * t / (double) rows / 105);
	t = now();
	count_triples(c);
	t = now() - t;
	printf("455 triples                %8.3f s  %7.1f ns a row  %5.2f ns an increment\n", t, 1e9 * t / (double) rows,
		   1e9 * t / (double) rows / 455);
	mg_curator_destroy(c);
	mg_noise_destroy(noise);
	mg_arena_destroy(a);
	mg_pool_destroy(ctx.pool);
	getrusage(RUSAGE_SELF, &usage);
	printf("peak memory                %8ld MB\n", usage.ru_maxrss / 1024);
	return 0;
}
