/*
 * test/unit/joint_world.h: what the tests of graphical models share: an arena and a generator for each test, and an
 * oracle that enumerates the whole joint table. Included after cmocka.h.
 */
#ifndef MIRAGE_TEST_JOINT_WORLD_H
#define MIRAGE_TEST_JOINT_WORLD_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graphical/graphical.h"

#define MOST 16

/* cmocka's own comparison is in single precision. */
#define assert_near(a, b, most) assert_true(fabs((double) (a) - (double) (b)) <= (most))

typedef struct world
{
	mg_ctx ctx;
	mg_arena *a;
	mg_rng rng;
} world;

static inline int
set_up(void **state)
{
	world *w = calloc(1, sizeof(*w));

	mg_ctx_init(&w->ctx);
	w->a = mg_arena_create(0);
	mg_rng_seed(&w->rng, 20240607);
	*state = w;
	return w->a == NULL;
}

static inline int
tear_down(void **state)
{
	world *w = *state;

	mg_arena_destroy(w->a);
	free(w);
	return 0;
}

static inline double
normal(mg_rng *rng)
{
	double u = mg_rng_unit(rng) + 1e-18, v = mg_rng_unit(rng);

	return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

/* ---- the oracle: the joint table ---- */

typedef struct joint
{
	uint32_t n;
	const uint32_t *size;
	size_t cells;
} joint;

static inline joint
whole(const uint32_t *size, uint32_t n)
{
	joint j = {n, size, 1};

	for (uint32_t i = 0; i < n; i++)
		j.cells *= size[i];
	return j;
}

/* The codes of cell x, the last column fastest. */
static inline void
codes_of(const joint *j, size_t x, uint32_t *code)
{
	for (uint32_t i = j->n; i-- > 0;)
	{
		code[i] = (uint32_t) (x % j->size[i]);
		x /= j->size[i];
	}
}

static inline size_t
cell_of(const uint32_t *cols, uint32_t k, const uint32_t *size, const uint32_t *code)
{
	size_t x = 0;

	for (uint32_t i = 0; i < k; i++)
		x = x * size[cols[i]] + code[cols[i]];
	return x;
}

static inline void
oracle_marginal(const joint *j, const double *p, const uint32_t *cols, uint32_t k, double *out, size_t cells)
{
	uint32_t code[MOST];

	memset(out, 0, cells * sizeof(*out));
	for (size_t x = 0; x < j->cells; x++)
	{
		codes_of(j, x, code);
		out[cell_of(cols, k, j->size, code)] += p[x];
	}
}

/* ---- a tree of cliques ---- */

/* Two overlapping triangles, a pair, a triangle on a single column, and a column alone. */
static const uint32_t net_sizes[] = {2, 3, 2, 4, 3, 2, 3, 2};
static const uint32_t net_a[] = {0, 1, 2}, net_b[] = {1, 2, 3}, net_c[] = {2, 4}, net_d[] = {3, 6, 7}, net_e[] = {5};
static const mg_column_set net[] = {
	{2, net_c, 0}, {3, net_d, 0}, {1, net_e, 0}, {3, net_a, 0}, {3, net_b, 0},
};
#define NET_COLUMNS 8
#define NET_CLIQUES 5

#endif
