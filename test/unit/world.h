/*
 * test/unit/world.h: what most tests stand on: a context, an arena and a generator, new for each test. Included after
 * cmocka.h.
 *
 * A file's own `world` begins with WORLD and goes on with what its tests need; its set_up calls make_world. Where all
 * members are the arena's, free_world is its tear-down.
 */
#ifndef MIRAGE_TEST_WORLD_H
#define MIRAGE_TEST_WORLD_H

#include <math.h>
#include <stdlib.h>

#include "base/mirage.h"
#include "num/rng.h"

/* cmocka's own comparison is in single precision. */
#define assert_near(a, b, most) assert_true(fabs((double) (a) - (double) (b)) <= (most))

#define WORLD    \
	mg_ctx ctx;  \
	mg_arena *a; \
	mg_rng rng

struct plain_world
{
	WORLD;
};

/* A world of this size, the rest of it zero, as the test's state; NULL: no memory, which is the set-up's failure. */
static inline void *
make_world(void **state, size_t size, uint64_t seed)
{
	struct plain_world *w = calloc(1, size);

	if (w == NULL)
		return NULL;
	mg_ctx_init(&w->ctx);
	w->a = mg_arena_create(0);
	mg_rng_seed(&w->rng, seed);
	if (w->a == NULL)
	{
		free(w);
		return NULL;
	}
	*state = w;
	return w;
}

/* A tear_down that has more to free calls it last. */
static inline int
free_world(void **state)
{
	struct plain_world *w = *state;

	mg_arena_destroy(w->a);
	free(w);
	return 0;
}

/* Uniform below n. */
#define below(w, n) random_below(&(w)->rng, n)
static inline uint32_t
random_below(mg_rng *rng, uint32_t n)
{
	return mg_rng_below32((uint32_t) (mg_rng_u64(rng) >> 32), n);
}

/* Box and Muller: a standard normal, for data; noise is never made so. */
static inline double
normal(mg_rng *rng)
{
	double u = mg_rng_unit(rng) + 1e-18, v = mg_rng_unit(rng);

	return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

#endif
