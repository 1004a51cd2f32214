/*
 * table/domain.h: what is publicly known about a column, and what private learning made of it.
 *
 * A column enters the core as a category (labels) or a number (a point on an axis; dates, times, intervals too, the
 * server edge maps them). Identifiers and excluded columns never do.
 *
 * Codes of a column go through two stages: *fine* cells and *coarse* codes, the bins that fine cells were merged into,
 * which the model is over. Fine cells are laid out the same way for every column:
 *
 * - category: 0..nlabels-1 the labels, nlabels `other` (a value without a label), nlabels+1 NULL; nfine = nlabels + 2
 * - number: 0..ncells-1 the cells (at most 1,024), ncells NULL; nfine = ncells + 1
 *
 * whether or not the column can hold them. A coarse code of its own for NULL exists iff the column is nullable, and is
 * then the last (ncoarse - 1) and holds nothing else; one for `other` exists iff has_other. Otherwise the merge sends
 * that fine cell, which public facts say is empty, to coarse code 0. Nothing here holds an exact count.
 */
#ifndef MIRAGE_TABLE_DOMAIN_H
#define MIRAGE_TABLE_DOMAIN_H

#include "base/bytes.h"

#define MG_MAX_COLUMNS 1600
#define MG_MAX_CELLS 1024       /* fine cells of a number, NULL not counted */
#define MG_MAX_LABELS 16384     /* labels of a category */
#define MG_MAX_LABEL_BYTES 1024 /* a longer open text is coded `other` */

typedef enum mg_kind
{
	MG_CATEGORY,
	MG_NUMBER
} mg_kind;

typedef struct mg_label
{
	const char *text; /* NUL-terminated, len bytes */
	uint32_t len;
} mg_label;

/* What is public before any private read. */
typedef struct mg_domain
{
	const char *name;
	mg_kind kind;
	bool nullable;
	bool open;      /* the domain is learnt: labels by partition selection, bounds by DP quantiles */
	bool has_other; /* category: a value without a label may occur (open, or labels that no constraint enforces) */

	/* category, closed */
	uint32_t nlabels;
	const mg_label *labels;
	const char *other; /* category: label that stands for what has none (declared), or NULL */

	/* number: closed: the range. open: the widest public range of the type, which bounds are learnt within */
	double lower, upper;
	double step; /* values are lower + k * step; 0: continuous (a public granularity: integers 1, numeric(p,s) 10^-s) */
	uint32_t bins; /* most coarse bins, declared; 0: as the method thinks best */
} mg_domain;

/* One fine cell of a number: the interval [lower, upper) of the axis, or the single value lower == upper. */
typedef struct mg_cell
{
	double lower, upper;
} mg_cell;

/*
 * A learnt column: fine cells with their noisy, consistent, non-negative masses, and the merge into coarse codes.
 */
typedef struct mg_column
{
	mg_domain domain; /* labels: as released; lower, upper: as learnt */
	uint32_t nfine;
	const mg_cell *cells;     /* number: [nfine - 1], sorted, disjoint */
	const double *fine;       /* [nfine] noisy masses, made consistent, >= 0 */
	uint32_t ncoarse;         /* <= 65535 */
	const uint16_t *merge;    /* [nfine] fine -> coarse; */
	double total;             /* noisy total of this column's measurement */
	const double *coarse;     /* [ncoarse] the method's one-way measurement */
	const double *coarse_var; /* [ncoarse] its variance */
} mg_column;

/* Portable form, for a model's blob. Read checks everything (lengths, monotone cells, codes in range); allocates in
 * arena. */
void mg_column_write(mg_writer *w, const mg_column *c);
mg_code mg_column_read(mg_ctx *ctx, mg_arena *a, mg_reader *r, mg_column *out);

#endif
