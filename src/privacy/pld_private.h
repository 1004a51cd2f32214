/*
 * privacy/pld_private.h: discretised privacy losses, between loss.c (which makes them), pld.c (which adds them) and the
 * tests.
 */
#ifndef MIRAGE_PRIVACY_PLD_PRIVATE_H
#define MIRAGE_PRIVACY_PLD_PRIVATE_H

#include "privacy/account.h"

/* A pair of laws (P, Q). All but the last are symmetric: the loss has the same law in both directions. */
typedef enum mg_pair_kind
{
	MG_PAIR_NORMAL,           /* N(mu, 1) from N(0, 1); a = mu */
	MG_PAIR_ZCDP,             /* the envelope of all a-zCDP profiles; a = rho */
	MG_PAIR_LAPLACE,          /* a = 1 / scale */
	MG_PAIR_RESPONSE,         /* randomised response with odds exp(a); the worst pure a-DP pair, and discrete Laplace */
	MG_PAIR_RANGE,            /* the envelope of all pairs of bounded range a */
	MG_PAIR_DISCRETE_NORMAL,  /* discrete Gaussians one apart; a = sigma */
	MG_PAIR_SUBSAMPLED_NORMAL /* P = (1 - q) N(0, a^2) + q N(1, a^2), Q = N(0, a^2) */
} mg_pair_kind;

typedef struct mg_pair
{
	mg_pair_kind kind;
	double a, q;
	uint64_t count;
} mg_pair;

/*
 * The loss log P/Q of one call on the grid of multiples of h: mass[i] is P's mass at (first + i) h, and exp(-(first +
 * i) h) mass[i] is Q's. Read forwards, with `above` at +infinity, it dominates (P, Q); read backwards, with `below` (of
 * Q) at +infinity, it dominates (Q, P).
 */
typedef struct mg_loss
{
	uint64_t count;
	int64_t first;
	size_t cells;
	double *mass;
	double above, below;
} mg_loss;

/* The largest |loss| that a discretisation with this tail covers. */
double mg_pair_reach(const mg_pair *pair, double tail);
/* above, below <= tail (or 0). Memory of the arena. Each mass has relative accuracy MG_LOSS_ERROR. */
mg_code mg_loss_discretise(mg_ctx *ctx, mg_arena *arena, const mg_pair *pair, double h, double tail, mg_loss *out);

#define MG_LOSS_ERROR 1e-11
#define MG_LOSS_MOST_CELLS ((size_t) 1 << 21)

#endif
