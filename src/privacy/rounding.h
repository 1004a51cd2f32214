/*
 * privacy/rounding.h: the rule of account.c and compose.c, that costs are rounded up: PAD times a value is far more
 * than libm and a few operations err. Private to privacy/.
 */
#ifndef MIRAGE_PRIVACY_ROUNDING_H
#define MIRAGE_PRIVACY_ROUNDING_H

#include <float.h>

#define PAD (64 * DBL_EPSILON)

/* A product of few exactly given factors, rounded up; 0 stays 0. */
static inline double
padded(double x)
{
	return x * (1 + PAD);
}

/* b where a is NaN. */
static inline double
least(double a, double b)
{
	return a < b ? a : b;
}

#endif
