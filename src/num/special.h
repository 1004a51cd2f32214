/* num/special.h: special functions, with their domain and relative accuracy. Pure, no state. */
#ifndef MIRAGE_NUM_SPECIAL_H
#define MIRAGE_NUM_SPECIAL_H

#include <stddef.h>

double mg_log_add(double a, double b);            /* log(exp a + exp b), -inf allowed */
double mg_log_sum_exp(const double *x, size_t n); /* -inf for n = 0 */
double mg_log_sub(double a, double b);            /* log(exp a - exp b), a >= b */
double mg_normal_cdf(double x);                   /* by erfc: full relative accuracy in the lower tail */
double mg_log_normal_cdf(double x);               /* finite for x down to -1e150 */
double mg_normal_quantile(double p);              /* p in (0, 1) */
double mg_log1mexp(double x);                     /* log(1 - exp(-x)), x > 0 */

#endif
