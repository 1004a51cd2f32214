/*
 * test/unit/tree_world.h: what the tests of junction trees share: a world, and random sets of columns to make trees of.
 * Included after cmocka.h.
 */
#ifndef MIRAGE_TEST_TREE_WORLD_H
#define MIRAGE_TEST_TREE_WORLD_H

#include "graphical/junction.h"
#include "graphical/triangulate.h"
#include "world.h"

typedef struct world
{
	WORLD;
} world;

static inline int
set_up(void **state)
{
	return make_world(state, sizeof(world), 20260109) == NULL;
}

/* k of n columns, ascending. */
static inline uint32_t *
random_columns(world *w, uint32_t n, uint32_t k)
{
	uint32_t *cols = mg_arena_alloc(w->a, k + 1, sizeof(*cols)), got = 0;

	for (uint32_t i = 0; i < n && got < k; i++)
	{
		if (below(w, n - i) < k - got)
			cols[got++] = i;
	}
	return cols;
}

static inline mg_column_set *
random_sets(world *w, uint32_t n, uint32_t count, uint32_t most)
{
	mg_column_set *sets = mg_arena_alloc(w->a, count + 2, sizeof(*sets));

	for (uint32_t i = 0; i < count; i++)
	{
		sets[i].k = 1 + below(w, most);
		sets[i].k = sets[i].k > n ? n : sets[i].k;
		sets[i].cols = random_columns(w, n, sets[i].k);
	}
	return sets;
}

static inline uint32_t *
random_sizes(world *w, uint32_t n, uint32_t least, uint32_t most)
{
	uint32_t *sizes = mg_arena_alloc(w->a, n, sizeof(*sizes));

	for (uint32_t i = 0; i < n; i++)
		sizes[i] = least + below(w, most - least + 1);
	return sizes;
}

static inline void
triangulated(world *w, const uint32_t *sizes, uint32_t n, const mg_column_set *sets, uint32_t nsets, uint32_t restarts,
			 mg_junction *j)
{
	assert_int_equal(mg_triangulate(&w->ctx, w->a, sizes, n, sets, nsets, restarts, j), MG_OK);
}

#endif
