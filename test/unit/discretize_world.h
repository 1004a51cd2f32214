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
#include "world.h"

typedef struct world
{
	WORLD;
} world;

static inline int
set_up(void **state)
{
	return make_world(state, sizeof(world), 77) == NULL;
}

#endif
