/*
 * privacy/account.h: events, their composition, and the privacy filter.
 *
 * Neighbours differ by one privacy unit, added or removed. An event says what a mechanism of sensitivity 1 was called
 * with; `delta` is the additive atom of mechanisms that have one (partition selection).
 */
#ifndef MIRAGE_PRIVACY_ACCOUNT_H
#define MIRAGE_PRIVACY_ACCOUNT_H

#include "base/mirage.h"

typedef enum mg_event_kind
{
	MG_EVENT_ZCDP,              /* param = rho */
	MG_EVENT_GAUSSIAN,          /* param = sigma (continuous); rho = 1 / (2 sigma^2) */
	MG_EVENT_DISCRETE_GAUSSIAN, /* param = sigma; the same rho (Canonne, Kamath, Steinke 2020, Theorem 4) */
	MG_EVENT_LAPLACE,           /* param = scale */
	MG_EVENT_DISCRETE_LAPLACE,  /* param = scale */
	MG_EVENT_EXPONENTIAL,       /* param = epsilon; bounded range, rho = epsilon^2 / 8 (Cesar, Rogers 2021) */
	MG_EVENT_POISSON_GAUSSIAN,  /* param = sigma (continuous), rate = q: each unit takes part with probability q */
	MG_EVENT_GNMAX              /* param = sigma of the noise on each count of votes; rho = 1 / sigma^2 */
} mg_event_kind;
#define MG_EVENT_KINDS (MG_EVENT_GNMAX + 1)

typedef struct mg_event
{
	mg_event_kind kind;
	double param;
	uint64_t count;
	double delta; /* per call; 0 where the mechanism has no atom */
	double rate;  /* MG_EVENT_POISSON_GAUSSIAN: in 0..1; others ignore it */
} mg_event;

const char *mg_event_name(mg_event_kind kind); /* "zcdp", "gaussian", ... as in dp_compose */
bool mg_event_kind_of(const char *name, mg_event_kind *kind);
/* Are param, rate and delta in the kind's range? Events that are not cost +inf everywhere. */
bool mg_event_valid(const mg_event *e);

/* RDP of the event, all its calls, at order alpha > 1. +inf for bad parameters, never NaN. */
double mg_event_rdp(const mg_event *e, double alpha);
/* A rho for which the event, all calls, is rho-zCDP; +inf for bad parameters. A subsampled Gaussian has no better one
 * than the Gaussian itself: large orders see through the sampling. */
double mg_event_rho(const mg_event *e);

/* epsilon for which (alpha, rdp)-RDP implies (epsilon, delta)-DP: Canonne et al. 2020, Proposition 12. >= 0. */
double mg_rdp_to_epsilon(double alpha, double rdp, double delta);
/* The least of it over orders for rho-zCDP; optimised over alpha > 1, rounded up. */
double mg_zcdp_epsilon(double rho, double delta);
double mg_zcdp_delta(double rho, double epsilon);
/* The largest rho with mg_zcdp_epsilon(rho, delta) <= epsilon, rounded down. */
double mg_zcdp_rho(double epsilon, double delta);
/* The order alpha > 1 at which mg_zcdp_epsilon finds its least. */
double mg_zcdp_order(double rho, double delta);

/*
 * RDP at order alpha > 1 of one Gaussian of sensitivity 1 and noise sigma on a Poisson sample of rate q, in both
 * directions of add/remove (Mironov, Talwar, Zhang 2019, Theorem 5), from above; relative accuracy 1e-10. For any real
 * order; where orders are so large against sigma that it would need too much work, the price without sampling.
 */
double mg_subsampled_rdp(double q, double sigma, double alpha);

/* epsilon at delta of all events together: the RDP curve optimised over orders, their pure epsilons where all have one,
 * atoms taken from delta. +inf for bad parameters or when the atoms leave nothing. */
double mg_compose_epsilon(const mg_event *events, size_t count, double delta);
/* delta at epsilon likewise; 1 for bad parameters. */
double mg_compose_delta(const mg_event *events, size_t count, double epsilon);

/* A point of the RDP curve of all events: order and total RDP there. */
typedef struct mg_rdp_point
{
	double alpha, rdp;
} mg_rdp_point;

/* The order that is best for epsilon at delta (atoms not counted), and for delta at epsilon. rdp is +inf for bad
 * parameters. */
mg_rdp_point mg_best_order_for_delta(const mg_event *events, size_t count, double delta);
mg_rdp_point mg_best_order_for_epsilon(const mg_event *events, size_t count, double epsilon);
/* The sum of atoms, rounded up; +inf when an event is not valid. */
double mg_compose_atoms(const mg_event *events, size_t count);

/*
 * Privacy filter (Feldman, Zrnic 2021): RDP at one order fixed with the budget, beside the sum of delta atoms. Half of
 * the budget's delta serves the conversion, half the atoms.
 */
typedef struct mg_filter
{
	double epsilon, delta; /* the cap */
	double alpha;          /* the order that is best at the cap for zCDP blocks */
	double rdp_cap;        /* what the RDP at alpha may sum to; leaves free what odometers and sums of charges round */
	double delta_cap;      /* delta / 2 */
} mg_filter;

/* MG_INVALID: epsilon not finite, or <= 0, or too small for doubles; delta outside [1e-300, 1). */
mg_code mg_filter_init(mg_ctx *ctx, mg_filter *f, double epsilon, double delta);
/*
 * The filter of a cap at an order that was fixed earlier (a budget whose cap was altered keeps its order: that is what
 * makes the filter valid). MG_INVALID also when the order cannot serve the cap: delta's conversion alone costs more
 * than epsilon.
 */
mg_code mg_filter_init_at(mg_ctx *ctx, mg_filter *f, double alpha, double epsilon, double delta);
/* The fraction of the capacity that (rdp, delta) used is; max of the two. */
double mg_filter_used(const mg_filter *f, double rdp, double delta_atoms);
/* Would one more charge of (rdp, delta) fit above what is used? The sum is compared exactly, never a hair over: a
 * charge of exactly the cap on an untouched filter fits. The rdp of a training is mg_event_rdp of its zCDP block at
 * f->alpha. */
bool mg_filter_fits(const mg_filter *f, double used_rdp, double used_delta, double rdp, double delta_atoms);
/* The largest epsilon of one more training at the budget's delta that fits; 0 when none does. */
double mg_filter_remaining(const mg_filter *f, double used_rdp, double used_delta);

/*
 * What a training of (epsilon, delta) under this filter may use: rho for all its mechanisms (one zCDP block) and a sum
 * of atoms, delta / 200 (a hundredth of the half that atoms may use). Both guarantees hold: rho converts to at most
 * epsilon at delta less the atoms, and the charge fits an untouched filter when epsilon is at most the cap (beyond the
 * cap it does not: mg_filter_fits says so). delta <= the budget's, else MG_INVALID.
 */
typedef struct mg_allowance
{
	double rho;
	double delta_atoms;
} mg_allowance;

mg_code mg_training_allowance(mg_ctx *ctx, const mg_filter *f, double epsilon, double delta, mg_allowance *out);

/* Odometer: what a job has reserved and used. Every curator query debits before it draws noise. */
typedef struct mg_odometer
{
	double rho_reserved, delta_reserved;
	double rho_used, delta_used;
	uint64_t calls;
} mg_odometer;

/* For a job that may use rho and a sum of atoms delta_atoms; nothing is used yet. */
void mg_odometer_init(mg_odometer *o, double rho, double delta_atoms);
/* MG_BUDGET, nothing debited, when it would go beyond the reservation (relative slack 1e-9 for the sum's rounding,
 * which mg_training_allowance keeps free). */
mg_code mg_odometer_debit(mg_ctx *ctx, mg_odometer *o, const mg_event *e);

#endif
