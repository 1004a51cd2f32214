/*
 * test/bench/fidelity.h: how far the marginals of one coded table are from another's.
 *
 * A table is columns of codes, code[c][row] < size[c]. The distance of a marginal is the total variation,
 * 0.5 * sum |p - q|; a figure is its mean over all columns, all pairs, or all triples of columns (a fixed sample of
 * MOST_TRIPLES where there are more). Counts are exact integers; nothing here is a private release.
 */
#ifndef MIRAGE_BENCH_FIDELITY_H
#define MIRAGE_BENCH_FIDELITY_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_TRIPLES 400
#define DENSE_CELLS ((uint64_t) 1 << 23) /* marginals with more cells are counted in a hash table */

typedef struct coded_table
{
	uint32_t ncolumns;
	const uint32_t *size; /* [ncolumns] */
	uint64_t rows;
	uint32_t **code; /* [ncolumns][rows] */
} coded_table;

/* Scratch of one comparison: weight[slot] is rows of the one times n of the other, less the reverse. */
typedef struct tvd_scratch
{
	int64_t *weight; /* [slots], zero between marginals */
	uint64_t *key;   /* [slots] of the hash table: cell + 1, 0 where free */
	uint64_t slots;
} tvd_scratch;

static inline uint64_t
tvd_slot(tvd_scratch *s, uint64_t cell, uint64_t cells)
{
	uint64_t at;

	if (cells <= DENSE_CELLS)
		return cell;
	at = (cell * UINT64_C(0x9E3779B97F4A7C15)) >> 20;
	for (at &= s->slots - 1; s->key[at] != 0 && s->key[at] != cell + 1; at = (at + 1) & (s->slots - 1))
		;
	s->key[at] = cell + 1;
	return at;
}

static inline uint64_t
tvd_cell(const coded_table *t, const uint32_t *cols, int k, uint64_t row)
{
	uint64_t cell = 0;

	for (int i = 0; i < k; i++)
		cell = cell * t->size[cols[i]] + t->code[cols[i]][row];
	return cell;
}

static void
tvd_add(tvd_scratch *s, const coded_table *t, const uint32_t *cols, int k, uint64_t cells, int64_t weight)
{
	for (uint64_t r = 0; r < t->rows; r++)
		s->weight[tvd_slot(s, tvd_cell(t, cols, k, r), cells)] += weight;
}

/* Sums |weight| over the cells that `t` touches and clears them. */
static double
tvd_take(tvd_scratch *s, const coded_table *t, const uint32_t *cols, int k, uint64_t cells)
{
	double sum = 0;

	for (uint64_t r = 0; r < t->rows; r++)
	{
		uint64_t at = tvd_slot(s, tvd_cell(t, cols, k, r), cells);

		sum += (double) (s->weight[at] < 0 ? -s->weight[at] : s->weight[at]);
		s->weight[at] = 0;
	}
	return sum;
}

static double
tvd_of(tvd_scratch *s, const coded_table *real, const coded_table *synthetic, const uint32_t *cols, int k)
{
	uint64_t cells = 1;
	double sum;

	for (int i = 0; i < k; i++)
		cells *= real->size[cols[i]];
	tvd_add(s, real, cols, k, cells, (int64_t) synthetic->rows);
	tvd_add(s, synthetic, cols, k, cells, -(int64_t) real->rows);
	sum = tvd_take(s, real, cols, k, cells) + tvd_take(s, synthetic, cols, k, cells);
	if (cells > DENSE_CELLS)
		memset(s->key, 0, s->slots * sizeof(*s->key));
	return 0.5 * sum / ((double) real->rows * (double) synthetic->rows);
}

static void
next_set(uint32_t *cols, int k, uint32_t n)
{
	int i = k - 1;

	while (i > 0 && cols[i] == n - (uint32_t) (k - i))
		i--;
	cols[i]++;
	for (int j = i + 1; j < k; j++)
		cols[j] = cols[j - 1] + 1;
}

/* A fixed sample of the sets: the first `left` of a random order, one set at a time. */
static int
takes_set(uint64_t *state, uint64_t left, uint64_t of)
{
	uint64_t x = *state += UINT64_C(0x9E3779B97F4A7C15);

	x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
	return (double) ((x ^ (x >> 31)) >> 11) * 0x1p-53 * (double) of < (double) left;
}

static double
mean_tvd(tvd_scratch *s, const coded_table *real, const coded_table *synthetic, int k)
{
	uint64_t sets = 1, left, state = 0;
	uint32_t cols[3] = {0, 1, 2}, n = real->ncolumns, taken = 0;
	double sum = 0;

	if (n < (uint32_t) k)
		return 0;
	for (int i = 0; i < k; i++)
		sets = sets * (n - (uint32_t) i) / (uint32_t) (i + 1);
	left = k == 3 && sets > MOST_TRIPLES ? MOST_TRIPLES : sets;
	for (uint64_t of = sets; of > 0; of--, next_set(cols, k, n))
	{
		if (!takes_set(&state, left, of))
			continue;
		left--;
		taken++;
		sum += tvd_of(s, real, synthetic, cols, k);
	}
	return sum / taken;
}

/* tvd[0..2]: the mean distances of 1-, 2- and 3-way marginals. */
static void
measure_tvd(const coded_table *real, const coded_table *synthetic, double *tvd)
{
	tvd_scratch s = {.slots = 1 << 10};

	while (s.slots < 2 * (real->rows + synthetic->rows) + 2)
		s.slots *= 2;
	s.weight = calloc(s.slots > DENSE_CELLS ? s.slots : DENSE_CELLS, sizeof(*s.weight));
	s.key = calloc(s.slots, sizeof(*s.key));
	if (s.weight == NULL || s.key == NULL)
	{
		fprintf(stderr, "out of memory\n");
		exit(1);
	}
	for (int k = 1; k <= 3; k++)
		tvd[k - 1] = mean_tvd(&s, real, synthetic, k);
	free(s.weight);
	free(s.key);
}

#endif
