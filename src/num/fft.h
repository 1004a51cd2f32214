/*
 * num/fft.h: a discrete Fourier transform in double precision for products of long real polynomials, with a proved
 * bound on its own rounding.
 *
 * Lengths are powers of two. Complex numbers are split into two arrays of n doubles. The transformed order is
 * bit-reversed and stays so: products and powers are taken element by element, and the way back expects that order.
 *
 * Real polynomials. R[x] / (x^2n + 1) is C[x] / (x^n - i): the polynomial of 2n real coefficients a_0 .. a_2n-1 is
 * held as re[j] = a_j, im[j] = a_(n+j), and mg_ring_forward takes it to its values at the n roots of x^n = i. So a
 * product of real sequences costs a complex transform of half their length, and what runs over the end comes back
 * with its sign changed.
 *
 * Rounding. With u = 2^-53 and t stages, every coefficient reaches every value through at most t additions and t
 * products with a factor of modulus one. Each multiplies the path's term by 1 + e, |e| <= 6u (addition u, product
 * sqrt(5) u, the stored factor 2u), whence for x of l1 norm |x|_1
 *
 *     |computed - exact| <= ((1 + 6u)^t - 1) |x|_1        at every output,
 *
 * without an assumption on how errors spread. mg_fft_error and mg_ring_error state the factor.
 */
#ifndef MIRAGE_NUM_FFT_H
#define MIRAGE_NUM_FFT_H

#include "base/mirage.h"

#define MG_FFT_LARGEST 22 /* log2 of the longest transform: 4 Mi complex numbers */

/* Owned by the arena it was made from; read-only after creation, so that threads may share it. */
typedef struct mg_fft mg_fft;

/* A plan for n = 2^log2n complex numbers. Takes about 4n doubles. MG_INVALID: log2n > MG_FFT_LARGEST. */
mg_code mg_fft_create(mg_ctx *ctx, mg_arena *arena, unsigned log2n, mg_fft **out);
size_t mg_fft_size(const mg_fft *plan); /* n */

/* y[rev(k)] = sum_j x_j exp(-2 pi i j k / n), in place, not scaled. */
void mg_fft_forward(const mg_fft *plan, double *re, double *im);
/* x_j = (1 / n) sum_k y[rev(k)] exp(2 pi i j k / n), in place. */
void mg_fft_inverse(const mg_fft *plan, double *re, double *im);
/* Either way: an upper bound of the error of one output over the l1 norm of the input (inverse: over its mean). */
double mg_fft_error(const mg_fft *plan);

/* The same for polynomials of 2n real coefficients modulo x^2n + 1; see above. */
void mg_ring_forward(const mg_fft *plan, double *re, double *im);
void mg_ring_inverse(const mg_fft *plan, double *re, double *im);
double mg_ring_error(const mg_fft *plan);

/* where rev(k) is: the reversal of the low log2n bits of k. */
size_t mg_fft_reverse(const mg_fft *plan, size_t k);

#endif
