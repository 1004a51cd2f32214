/*
 * privacy/pld.h: composition by privacy loss distributions (PLD), the tightest accountant here, and calibration by it.
 *
 * Each event is replaced by a pair of laws (P, Q) that dominates it, its loss log P/Q by one on a grid that dominates
 * it again ("connect the dots", Doroshenko, Ghazi, Kamath, Kumar, Manurangsi 2022), and the losses are added by Fourier
 * transforms of exponentially tilted masses. All that is left out (tails, what wraps around, rounding of transforms) is
 * bounded and counted, so results are upper bounds, in both directions of add/remove. docs/privacy.md has the proofs.
 *
 * They hold for compositions whose noise levels do not depend on earlier results (mechanisms themselves may be chosen
 * adaptively); the filter of account.h is for the rest. zCDP blocks are merged and enter by the envelope of the privacy
 * profiles that zCDP allows.
 *
 * No result is above what mg_compose_epsilon (mg_compose_delta) says. Deterministic; polls; memory below 128 MiB.
 */
#ifndef MIRAGE_PRIVACY_PLD_H
#define MIRAGE_PRIVACY_PLD_H

#include "privacy/account.h"

/* epsilon at delta of all events together, from above. +inf for invalid events, or when the atoms leave no delta. */
mg_code mg_pld_epsilon(mg_ctx *ctx, const mg_event *events, size_t count, double delta, double *epsilon);
/* delta at epsilon >= 0, from above; 1 for invalid events. */
mg_code mg_pld_delta(mg_ctx *ctx, const mg_event *events, size_t count, double epsilon, double *delta);

/*
 * The exact profile of Gaussians that add up to mu (sum of 1/sigma^2 = mu^2): Balle, Wang 2018, Theorem 8. From above,
 * relative accuracy 1e-10 (mg_gaussian_delta: relative to Phi(mu/2 - epsilon/mu)).
 */
double mg_gaussian_delta(double mu, double epsilon);
double mg_gaussian_epsilon(double mu, double delta);

/*
 * The smallest noise multiplier, to a relative 1e-4 above it, for which `steps` Poisson-subsampled Gaussians of rate q
 * together with `others` (NULL with 0) are (epsilon, delta)-DP. MG_INVALID: bad figures, or `others` alone are more
 * than that. sigma is at most 1e6.
 */
mg_code mg_calibrate_gaussian(mg_ctx *ctx, double epsilon, double delta, double q, uint64_t steps,
							  const mg_event *others, size_t nothers, double *sigma);

#endif
