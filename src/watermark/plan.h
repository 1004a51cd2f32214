/*
 * watermark/plan.h: what the maker and the detector of a mark share, beside a key.
 *
 * A plan says how a value of each column becomes one of a few *groups*, which *subsets* of columns carry the mark, and
 * for every cell of a subset (a combination of groups) its probability under the model. It is made once from a model's
 * own rows (synthesis/marking.h), so that it is post-processing, and it is all that detection needs: a dropped model's
 * rows stay traceable through its plan.
 *
 * Column i of a plan is column i of its model. A column with ngroups = 0 carries no mark (it is a function of others).
 * Groups of a category hold labels, told apart by 64-bit hashes of their texts; groups of a number are the intervals
 * between breaks; NULL is a group of its own where the model has it. Everything belongs to the plan's arena; nothing
 * changes a plan once it is made, and threads may share it.
 */
#ifndef MIRAGE_WATERMARK_PLAN_H
#define MIRAGE_WATERMARK_PLAN_H

#include "base/bytes.h"
#include "table/domain.h"

#define MG_MARK_GROUPS 32       /* most groups of a column */
#define MG_MARK_MISSING 255     /* no group: the column is absent, or the value is none that the model has */
#define MG_MARK_SUBSETS 128     /* most subsets of a plan */
#define MG_MARK_ARITY 4         /* most columns of a subset */
#define MG_MARK_CELLS 4096      /* most cells of a subset */
#define MG_MARK_ALL_CELLS 65535 /* most of all subsets together: 16 bits tell them apart */
#define MG_MARK_BRANCHES 8      /* most branches that emission uses */
#define MG_MARK_TELLS 200
#define MG_MARK_WEIGHTS 30 /* most weight of a subset; scores are bytes */

typedef struct mg_mark_column
{
	const char *name; /* NUL-terminated */
	uint32_t name_len;
	mg_kind kind;
	uint32_t ngroups;   /* 0: not part of the mark */
	uint8_t null_group; /* MG_MARK_MISSING: the model has no NULL here */

	/* category */
	uint32_t nlabels;
	const uint64_t *label;      /* [nlabels] mg_mark_label_hash of each, ascending, distinct */
	const uint8_t *label_group; /* [nlabels] */
	uint8_t other_group;        /* of a text that is none of them; MG_MARK_MISSING */

	/* number: the group of v is the number of breaks <= v */
	uint32_t nbreaks;
	const double *breaks; /* [nbreaks] finite, strictly ascending */
} mg_mark_column;

/*
 * Cells are row-major over the groups of its columns, the last fastest. A cell's probability is kept as one byte q:
 * MG_MARK_FREQUENT where it is above the subset's gate (such cells carry no mark), else it is 2^(-q / 8) times the
 * highest of those gates, the plan's, and the last step stands for all below it, zero included. Cells of one subset
 * with q == MG_MARK_NEVER never occurred.
 */
#define MG_MARK_FREQUENT 255
#define MG_MARK_NEVER 254
typedef struct mg_mark_subset
{
	uint32_t k;                   /* 2..MG_MARK_ARITY */
	uint32_t cols[MG_MARK_ARITY]; /* ascending */
	uint32_t stride[MG_MARK_ARITY];
	uint32_t cells;
	uint32_t first;   /* index of its first cell among all subsets' */
	const uint8_t *q; /* [cells] */
	uint8_t weight;   /* 1..MG_MARK_WEIGHTS: how much a feature of it counts when rows are made */
	uint8_t tells;    /* 1..MG_MARK_TELLS: and when they are judged; no key enters either */
} mg_mark_subset;

typedef struct mg_mark_plan
{
	struct mg_arena *arena;
	uint32_t ncolumns;
	const mg_mark_column *column;
	const double *const *margin; /* [ncolumns][ngroups] the model's share of each group; NULL where ngroups = 0 */
	double gate;
	uint32_t nsubsets;
	const mg_mark_subset *subset;
	uint32_t cells; /* of all subsets */
	/* Which of the method's branches emission exchanges, the best first; detection has no use for them. */
	uint32_t nbranches;
	const uint16_t *branch;
} mg_mark_plan;

/* Groups of values. */
uint64_t mg_mark_label_hash(const char *text, size_t len);
uint8_t mg_mark_text_group(const mg_mark_column *c, const char *text, size_t len); /* category */
uint8_t mg_mark_number_group(const mg_mark_column *c, double v);                   /* number; NaN: missing */
/* NULL: c->null_group */

/* The probability that byte q stands for (MG_MARK_FREQUENT: the highest gate). */
double mg_mark_probability(const mg_mark_plan *p, uint8_t q);

/* Portable form, with a version. Reading checks everything and allocates no more than a fixed multiple of the bytes;
 * MG_CORRUPT on anything that is not a well-formed plan. */
void mg_mark_plan_write(const mg_mark_plan *p, mg_writer *w);
mg_code mg_mark_plan_read(mg_ctx *ctx, const void *data, size_t len, mg_mark_plan **out);
void mg_mark_plan_destroy(mg_mark_plan *p); /* NULL allowed */

#endif
