/*
 * test/unit/search_world.h: what the tests of the methods that search share: a made-up table of categories, loaded into
 * a curator with seeded noise, and fits over it.
 */
#ifndef MIRAGE_TEST_SEARCH_WORLD_H
#define MIRAGE_TEST_SEARCH_WORLD_H

#include "graphical/fit.h"
#include "graphical/graphical.h"
#include "memory_store.h"
#include "synthesis/synthesis.h"
#include "world.h"

#define MOST_COLUMNS 12
#define MOST_LABELS 40

typedef struct search_world
{
	WORLD;
	memory_store store;
	mg_noise *noise;
	mg_odometer odometer;
	mg_domain domain[MOST_COLUMNS];
	mg_label label[MOST_LABELS];
	char text[MOST_LABELS][4], name[MOST_COLUMNS][4];
	uint32_t ncolumns, k, nrows; /* k: rows of a unit; 0: the unit is the row */
	uint32_t (*rows)[MOST_COLUMNS];
	mg_option option[4];
	mg_constraint constraint[8];
	mg_expr expr[8];
	mg_term term[8][2];
	uint32_t pair[8][2];
	mg_curator *curator;
	mg_fit_request req;
} search_world;

int search_set_up(void **state);
int search_tear_down(void **state);
/* n closed categories of these many labels, and room for rows. */
void search_columns(search_world *w, uint32_t n, const uint32_t *sizes, uint32_t nrows);
void search_equal_columns(search_world *w, uint32_t n, uint32_t size, uint32_t nrows);
void search_independent_rows(search_world *w);
void search_option(search_world *w, const char *name, const char *value);
/* column left <= column right, whose labels are numbers */
void search_order(search_world *w, uint32_t left, uint32_t compare, uint32_t right);
/* The table into a fresh curator, with an odometer of rho. */
void search_open(search_world *w, uint64_t seed, double rho);
mg_model *search_fit(search_world *w, const char *method, uint64_t seed, double rho);
/* A ring of columns, each the one before it with mistakes: strong pairs beside ever weaker ones. */
void search_ring_rows(search_world *w, uint32_t n, uint32_t size, uint32_t nrows);
/* The model is what a model is: masses of cliques are finite, not negative, and sum to the total. */
void search_check_model(const mg_model *m);
/* Codes of rows as the sampler draws them, before any re-draw; fine labels are the codes where nothing was merged. */
uint16_t *search_draw(search_world *w, const mg_model *m, uint32_t n);

#endif
