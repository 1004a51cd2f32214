/*
 * test/unit/joint_world.h: what the tests of graphical models share: a world, the oracle of joint.h, and a
 * tree of cliques. Included after cmocka.h.
 */
#ifndef MIRAGE_TEST_JOINT_WORLD_H
#define MIRAGE_TEST_JOINT_WORLD_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graphical/graphical.h"
#include "joint.h"
#include "world.h"

typedef struct world
{
	WORLD;
} world;

static inline int
set_up(void **state)
{
	return make_world(state, sizeof(world), 20240607) == NULL;
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
