/*
 * test/unit/audit_mechanisms.h: what is audited: two tables that differ by one unit, and mechanisms that look at one of
 * them, each giving the number that an attacker looks at. A world is opened for one of the tables, filled as often as
 * its runs need, and closed; it owns all that it points to.
 */
#ifndef MIRAGE_TEST_AUDIT_MECHANISMS_H
#define MIRAGE_TEST_AUDIT_MECHANISMS_H

#include "memory_store.h"
#include "synthesis/synthesis.h"

#define MEMORY (256u << 10)
#define DELTA 0.01 /* of the audits, where a mechanism has no atom; also the atom, where there is one */
#define BEYOND 6   /* times its reservation is what a greedy training asks for */

enum
{
	GROUP, /* closed category of 3 labels */
	FLAG,  /* closed category of 2 */
	KIND,  /* the same */
	CITY,  /* open text */
	AGE,   /* number, closed: 0..100 */
	TENS,  /* number, closed: 0..100 in steps of ten */
	SPAN,  /* the number of AGE, open within -1e6..1e6 */
	COLUMNS
};

typedef struct world
{
	mg_ctx ctx;
	memory_store store;
	mg_noise *noise;
	mg_odometer odometer;
	mg_arena *a;
	const uint32_t *cols; /* which of the columns the curator has, ncols of them */
	uint32_t ncols;
	mg_domain domain[COLUMNS]; /* of these */
	mg_curator *c;
	bool with; /* the neighbour's row */
	double reserved_rho, reserved_delta;
	uint32_t k; /* rows of a unit that are used; 0: a row is a unit */
} world;

typedef struct mechanism
{
	const char *name;
	double (*run)(world *w);
	uint32_t cols[COLUMNS], ncols, rows;
	size_t runs;     /* on each table */
	double delta;    /* of the claim */
	double power;    /* the share of the claim that the audit must see of the sound mechanism, at least */
	bool coarse;     /* asked after recoding */
	bool gaussian;   /* a fitted mu is valid */
	uint32_t shared; /* rows that have the neighbour's label */
	double rho;      /* of a training, which loads the table for every run and claims what it reserved */
	double atoms;
	uint32_t k; /* rows of a unit that are used; 0: a row is a unit */
} mechanism;

void audit_open(world *w, uint64_t seed, const uint32_t *cols, uint32_t ncols, bool with);
void audit_close(world *w);
/* A fresh odometer and curator over `rows` common rows, `shared` rows with the neighbour's city, and the neighbour's.
 */
void audit_fill(world *w, uint32_t rows, uint32_t shared);
void audit_recode(world *w);
/* mst on what was filled in; the model is the caller's */
mg_code audit_train(world *w, double rho, double atoms, mg_model **m);

extern const mechanism audited_marginal, audited_marginals, audited_cells, audited_hierarchy, audited_shared_label,
	audited_rare_label, audited_wide_label, audited_selection, audited_close_selection, audited_weighted,
	audited_workload, audited_scores, audited_weighted_scores, audited_unit_scores, audited_laplace, audited_mst,
	audited_aim, audited_swift, audited_number, audited_greedy, audited_unit_marginal, audited_unit_labels,
	audited_unit_mst, audited_open_text, audited_open_number;

#endif
