/*
 * model/ranges.h: where on its axis a number lives, learnt from noisy histograms in a few rounds.
 *
 * Round one counts the type's whole public range on a logarithmic grid that is symmetric around zero; each further
 * round splits the cells that hold more than noise would, in proportion to what they hold. So a table of ages, of
 * incomes over six orders of magnitude and of timestamps of one afternoon, far from zero, all end in cells of their own
 * scale. What no round found significant at either end is cut off when the domain is open (values there are clamped);
 * where all is noise a fixed public range stands.
 */
#ifndef MIRAGE_MODEL_RANGES_H
#define MIRAGE_MODEL_RANGES_H

#include "curator/curator.h"
#include "model/grid.h"

/* Cells of one round: [edge[i], edge[i + 1]), the first and last reaching to the ends of the public range. */
typedef struct mg_partition
{
	uint32_t n;
	double *edge;    /* [n + 1] strictly increasing */
	double *mass;    /* [n] noisy; zero before the first measurement */
	uint32_t *group; /* [n] cells that are looked at together share a number: parts of one cell; 0: of none */
	double *before;  /* [n] the mass of that cell, as measured a round ago */
	bool *kept;      /* [n] known to be occupied: stood out of the noise, now or as the whole it is a part of */
	double sigma;    /* of each mass */
	double total;    /* noisy, without NULL */
} mg_partition;

mg_code mg_partition_start(mg_ctx *ctx, mg_arena *a, const mg_domain *d, mg_partition *p);
mg_code mg_partition_measure(mg_ctx *ctx, mg_curator *c, uint32_t col, mg_ratio sigma2, mg_arena *a, mg_partition *p);
/*
 * Splits the occupied cells into about `parts` in all, joins the others between them, and lays cells of doubling widths
 * outward from both ends. Many parts cost nothing: a measurement joins those that it cannot tell apart again.
 */
mg_code mg_partition_refine(mg_ctx *ctx, mg_arena *a, const mg_domain *d, uint32_t parts, const mg_partition *p,
							mg_partition *out);
/* The range [*lower, *upper] (on the lattice) that holds what is significant; a fixed public one when nothing is. */
void mg_partition_bounds(const mg_domain *d, const mg_partition *p, double *lower, double *upper);

/* Moves the range outward where its cells are intervals anyway, by a few times its width but not across zero: what thin
 * tail there is shows in the histogram of the cells, which is less noisy than the rounds were. Where
 * nothing is known to be occupied, the range stays. */
void mg_partition_reach(const mg_domain *d, const mg_partition *p, double *lower, double *upper);

/*
 * Fine cells of the range [lower, upper] of a number: one a value when there are at most MG_MAX_CELLS; else the cells
 * of the partition within the range, split into about `wanted`, with a cell of its own for each spike (any order, no
 * duplicates). *ncells <= MG_MAX_CELLS.
 */
mg_code mg_partition_cells(mg_ctx *ctx, mg_arena *a, const mg_domain *d, const mg_partition *p, double lower,
						   double upper, uint32_t wanted, const double *spikes, uint32_t nspikes, mg_cell **cells,
						   uint32_t *ncells);

#endif
