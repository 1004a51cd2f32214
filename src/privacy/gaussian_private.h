/* privacy/gaussian_private.h: the two exponentials of the lattice sampler, for gaussian.c and its test. */
#ifndef MIRAGE_PRIVACY_GAUSSIAN_PRIVATE_H
#define MIRAGE_PRIVACY_GAUSSIAN_PRIVATE_H

#include "privacy/gaussian.h"
#include "privacy/noise_private.h"

#define MG_GAUSS_CELLS 13

/* 2^128 Pr[K <= k], K >= 0 with Pr proportional to exp(-k^2 / 2), rounded down: high word, low word. */
extern const uint64_t mg_gauss_cell[MG_GAUSS_CELLS][2];

/* exp(-x (2k + x) / 2), x = j / sigma, j < sigma, k < MG_GAUSS_CELLS: times 2^64 to within MG_GAUSS_MARGIN, and times
 * 2^128 to within 2^10. */
uint64_t mg_gauss_weight(const mg_lattice *l, unsigned k, uint64_t j);
mg_u128 mg_gauss_weight_exact(const mg_lattice *l, unsigned k, uint64_t j);

#define MG_GAUSS_MARGIN (UINT64_C(1) << 12)

#endif
