/*
 * test/unit/toy_model.h: models whose columns are made at random, of all kinds, with a sampler that draws each evenly
 * and by itself: for the tests of dependent columns. A world owns its model and an arena.
 */
#ifndef MIRAGE_TEST_TOY_MODEL_H
#define MIRAGE_TEST_TOY_MODEL_H

#include "model/dependency.h"
#include "synthesis/synthesis.h"
#include "world.h"

#define COLUMNS 7

typedef struct world
{
	WORLD;
	mg_model *model;
} world;

/* even cannot tell marginals; toy_tied says that column 1 follows column 0, whatever its sampler draws */
extern const mg_method even, toy_tied;
extern const mg_method *const toy_methods[];

int toy_set_up(void **state);
int toy_tear_down(void **state);
void *toy_take(mg_arena *a, size_t n, size_t size);
/* Every code has a cell. A category's `other` has the text of one of its labels. */
void make_category(world *w, mg_arena *a, mg_column *c, uint32_t nlabels, uint32_t codes, bool nullable, bool other);
/* Cells of width 3 with single values between them: with a step of 2, some cells share values. step 0: continuous. */
void make_number(world *w, mg_arena *a, mg_column *c, uint32_t cells, uint32_t codes, bool nullable, double step);
void make_model(world *w, const mg_method *method, uint32_t n);
/* COLUMNS columns of all kinds: what tells values apart, and what does not. */
void make_mixed(world *w, const mg_method *method);

/* Of such columns: 0, 3 and 6 are free; a chain 0 -> 1 -> 4, and 2 <- (3, 0), 5 <- 6. Dependants are named first. */
#define NMIXED 4
extern const mg_dependency mixed[NMIXED];

#endif
