/*
 * test/unit/constraint_world.h: what the tests of constraints share: a model of six columns with a sampler of even
 * codes, ways to write expressions, and an evaluator of one row written from SQL's truth tables.
 */
#ifndef MIRAGE_TEST_CONSTRAINT_WORLD_H
#define MIRAGE_TEST_CONSTRAINT_WORLD_H

#include "synthesis/synthesis.h"
#include "world.h"

/* Two categories of words, one of numbers, three numbers on different grids; all may be NULL. */
enum
{
	COLOUR,
	PAINT,
	GRADE,
	AGE,
	SHORT,
	PRICE,
	NCOLUMNS
};

typedef struct world
{
	WORLD;
	mg_model model;
	mg_column column[NCOLUMNS];
	uint8_t key[32];
} world;

extern const mg_label some_texts[4];
extern const uint16_t merge_age[5];
extern const double mass[8];
extern uint64_t drawn; /* rows, by the sampler */
extern bool tied;      /* the price has the code of the age, modulo its number of codes */

int set_up(void **state);
mg_domain number(const char *name, double lower, double upper, double step);
/* So many single values, 1,024 at most, with codes of their own, and NULL. */
mg_column wide_column(uint32_t values, bool nullable);

typedef struct tree
{
	mg_expr node[512];
	mg_term term[1024];
	uint32_t n, nterms;
} tree;

uint32_t open_node(tree *t, mg_expr_kind kind);
void close_node(tree *t, uint32_t i);
void put_compare(tree *t, mg_expr_kind kind, uint32_t compare, double constant, uint32_t nterms, const mg_term *terms);
void put_order(tree *t, uint32_t left, uint32_t compare, uint32_t right,
			   double constant); /* left op right + constant */
void put_listed(tree *t, uint32_t col, const mg_label *labels, uint32_t n);
void put_same(tree *t, uint32_t col, uint32_t other);
void put_is_null(tree *t, uint32_t col);
mg_kind kind_of(const void *arg, uint32_t col);
mg_constraint constraint(world *w, const tree *t, const char *name);
void random_node(tree *t, mg_rng *r, int depth);

/* One value as SQL would see it. */
typedef struct cell
{
	bool null;
	const char *text; /* categories */
	double number;    /* numbers, and texts that are numbers */
} cell;

cell cell_of(const mg_column *col, const mg_values *v, uint32_t i);
mg_truth oracle_truth(const mg_expr *e, const cell *row);

#endif
