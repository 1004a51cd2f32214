/*
 * model/grid.h: the lattice of values that a number may take, counted so that rounding never moves a value.
 *
 * A number with a step takes the values origin + m * step, m an integer (held in a double, |m| <= 2^53 wherever the
 * type's own values are exact). The origin is zero when the range starts on a multiple of the step, so that the bounds
 * of wide types
 * (-2^63) do not eat the digits of small values; steps such as 0.01 are divided by their inverse, so that a lattice
 * point is the double nearest to its decimal.
 */
#ifndef MIRAGE_MODEL_GRID_H
#define MIRAGE_MODEL_GRID_H

#include "table/domain.h"

typedef struct mg_grid
{
	double origin;
	double step;    /* 0: continuous; the other fields are then unused */
	double inverse; /* 1 / step when that is an integer above 1 and the origin is zero; else 0 */
} mg_grid;

void mg_grid_init(mg_grid *g, const mg_domain *d);  /* of a number */
double mg_grid_value(const mg_grid *g, double m);   /* origin + m step, m an integer */
double mg_grid_nearest(const mg_grid *g, double x); /* the m whose value is nearest to x */
double mg_grid_ceil(const mg_grid *g, double x);    /* the least m with value(m) >= x, up to the axis' own rounding */
/* Number of lattice points in the closed range [lower, upper]; infinite where continuous, 0 when empty. */
double mg_grid_count(const mg_grid *g, double lower, double upper);

/* Does the domain hold more values than a cell each could be given? (Then frequent values are looked for, and cells
 * cut.) */
bool mg_domain_is_wide(const mg_domain *d);

#endif
