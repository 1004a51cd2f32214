/*
 * test/unit/discretize_world.h: what the tests of discretisation share: an arena and a generator for each test.
 * Included after cmocka.h.
 */
#ifndef MIRAGE_TEST_DISCRETIZE_WORLD_H
#define MIRAGE_TEST_DISCRETIZE_WORLD_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory_store.h"
#include "model/bins.h"
#include "model/grid.h"
#include "model/hierarchy.h"
#include "model/model.h"
#include "model/ranges.h"
#include "model/smooth.h"
#include "seeded_noise.h"

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

	if (w == NULL)
		return 1;
	mg_ctx_init(&w->ctx);
	w->a = mg_arena_create(0);
	mg_rng_seed(&w->rng, 77);
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

#endif
