/*
 * privacy/sampler.c: exact samplers of the discrete Gaussian, the discrete Laplace and the exponential mechanism.
 *
 * After Canonne, Kamath, Steinke 2020 ("CKS"), Algorithms 1-3: every decision is a Bernoulli trial whose probability is
 * a rational or exp(-rational), carried out on integers. No floating point stands between random bits and result.
 *
 * A trial of probability p compares a uniform real U, whose binary digits are drawn 64 at a time and only as far as
 * they are needed, with p: almost always one word decides.
 *
 * Widths. For sigma2 = num/den with num, den <= 2^53, t = floor(sigma) + 1 and |Y| < 257 t (see RUN_LIMIT):
 * t^2 den <= num + 2 sqrt(num den) + den <= 2^55, so |Y| t den + num < 2^64 and 2 t^2 den num <= 2^109. Trials take
 * denominators below 2^127.
 *
 * Broken sources. Each loop ends with a probability of at least a constant per turn (stated with it). One that goes on
 * beyond RUN_LIMIT or TRY_LIMIT turns has met a source that does not work, at odds below 2^-256, and fails with
 * MG_INTERNAL rather than spin or return a value. On failure results are unchanged or, for arrays, to be discarded.
 */
#include "privacy/noise_private.h"

#define RUN_LIMIT 256  /* turns of loops that end with probability >= 1/2, or 1 - 1/e */
#define TRY_LIMIT 4096 /* attempts of rejection loops that accept with probability >= 1/4 */
#define POLL_DRAWS 4096

static mg_code
broken_source(mg_ctx *ctx)
{
	return mg_fail(ctx, MG_INTERNAL, "the random source does not look random");
}

/* Uniform in 0..bound-1 (bound >= 1), exact: Lemire 2019, multiplication with rejection of the short remainder. */
static inline mg_code
uniform_below(mg_ctx *ctx, mg_noise *n, uint64_t bound, uint64_t *out)
{
	uint64_t u;
	mg_u128 m;

	MG_TRY(mg_noise_word(ctx, n, &u));
	m = (mg_u128) u * bound;
	if (__builtin_expect((uint64_t) m < bound, 0))
	{
		uint64_t least = -bound % bound; /* 2^64 mod bound */
		int turns = 0;

		while ((uint64_t) m < least) /* probability < 1/2 */
		{
			if (++turns > RUN_LIMIT)
				return broken_source(ctx);
			MG_TRY(mg_noise_word(ctx, n, &u));
			m = (mg_u128) u * bound;
		}
	}
	*out = (uint64_t) (m >> 64);
	return MG_OK;
}

static inline mg_code
fair_coin(mg_ctx *ctx, mg_noise *n, bool *out)
{
	if (n->ncoins == 0 || n->generation != atomic_load_explicit(&mg_noise_generation, memory_order_relaxed))
	{
		uint64_t fresh;

		MG_TRY(mg_noise_word(ctx, n, &fresh));
		n->coins = fresh;
		n->ncoins = 64;
	}
	*out = (n->coins & 1) != 0;
	n->coins >>= 1;
	n->ncoins--;
	return MG_OK;
}

/*
 * Bernoulli(num/den), num <= den, 0 < den < 2^127. With u the next 64 digits of U, U < num/den is settled when the
 * interval [u, u + 1) den lies on one side of num 2^64; if num 2^64 falls inside it, the digits to come are compared
 * with what is left of the fraction. Each word leaves the question open with probability 2^-64 at most.
 */
static inline mg_code
bernoulli(mg_ctx *ctx, mg_noise *n, mg_u128 num, mg_u128 den, bool *out)
{
	for (int turns = 0; turns < RUN_LIMIT; turns++)
	{
		uint64_t u, rest;
		mg_u128 low, high, left;

		MG_TRY(mg_noise_word(ctx, n, &u));
		low = (mg_u128) u * (uint64_t) den;
		high = (mg_u128) u * (uint64_t) (den >> 64) + (low >> 64); /* u den = high 2^64 + rest */
		rest = (uint64_t) low;
		if (high >= num)
		{
			*out = false;
			return MG_OK;
		}
		/* num 2^64 - u den = left 2^64 + (-rest mod 2^64), positive */
		left = num - high - (rest != 0);
		if ((left >> 64) != 0 || ((left << 64) | (uint64_t) -rest) >= den)
		{
			*out = true;
			return MG_OK;
		}
		num = (left << 64) | (uint64_t) -rest;
	}
	return broken_source(ctx);
}

/* Bernoulli(exp(-1)): U against the first 256 binary digits of 1/e, which is irrational, so that digits decide. */
static inline mg_code
bernoulli_exp1(mg_ctx *ctx, mg_noise *n, bool *out)
{
	static const uint64_t digits[4] = {UINT64_C(0x5e2d58d8b3bcdf1a), UINT64_C(0xbadec7829054f90d),
									   UINT64_C(0xda9805aab56c7733), UINT64_C(0x3024b9d0a507daed)};

	for (int i = 0; i < 4; i++)
	{
		uint64_t u;

		MG_TRY(mg_noise_word(ctx, n, &u));
		if (u != digits[i])
		{
			*out = u < digits[i];
			return MG_OK;
		}
	}
	return broken_source(ctx);
}

/*
 * Bernoulli(exp(-num/den)), num <= den < 2^119: CKS Algorithm 1. The number K of the first failure among trials of
 * probability g/1, g/2, g/3, ... is odd with probability 1 - g + g^2/2! - ... = exp(-g).
 */
static inline mg_code
bernoulli_exp_unit(mg_ctx *ctx, mg_noise *n, mg_u128 num, mg_u128 den, bool *out)
{
	for (unsigned k = 1; k <= RUN_LIMIT; k++)
	{
		bool more = false;

		MG_TRY(bernoulli(ctx, n, num, den * k, &more));
		if (!more)
		{
			*out = (k & 1) != 0;
			return MG_OK;
		}
	}
	return broken_source(ctx);
}

/* Bernoulli(exp(-num/den)) for any num: the whole part is a run of Bernoulli(1/e), most often lost at its start. */
static mg_code
bernoulli_exp(mg_ctx *ctx, mg_noise *n, mg_u128 num, mg_u128 den, bool *out)
{
	int turns = 0;

	while (num >= den)
	{
		bool more = false;

		if (++turns > RUN_LIMIT)
			return broken_source(ctx);
		MG_TRY(bernoulli_exp1(ctx, n, &more));
		if (!more)
		{
			*out = false;
			return MG_OK;
		}
		num -= den;
	}
	return bernoulli_exp_unit(ctx, n, num, den, out);
}

/* |X| + 0 of CKS Algorithm 2 before the division: u + t v with Pr proportional to exp(-(u + t v) / t); t <= 2^53. */
static inline mg_code
geometric(mg_ctx *ctx, mg_noise *n, uint64_t t, uint64_t *out)
{
	uint64_t u = 0, v = 0;
	bool more = false;

	for (int tries = 0; !more; tries++) /* accepts with probability >= 1 - 1/e */
	{
		if (tries >= TRY_LIMIT)
			return broken_source(ctx);
		MG_TRY(uniform_below(ctx, n, t, &u));
		MG_TRY(bernoulli_exp_unit(ctx, n, u, t, &more));
	}
	for (;;)
	{
		MG_TRY(bernoulli_exp1(ctx, n, &more));
		if (!more)
			break;
		if (++v > RUN_LIMIT - 1)
			return broken_source(ctx);
	}
	*out = u + t * v; /* below 257 * 2^53 */
	return MG_OK;
}

/* Discrete Laplace of scale t/s as sign and magnitude: CKS Algorithm 2. */
static inline mg_code
laplace(mg_ctx *ctx, mg_noise *n, uint64_t t, uint64_t s, bool *negative, uint64_t *magnitude)
{
	for (int tries = 0; tries < TRY_LIMIT; tries++) /* -0 is refused: probability <= 1/2 */
	{
		uint64_t x = 0;

		MG_TRY(geometric(ctx, n, t, &x));
		MG_TRY(fair_coin(ctx, n, negative));
		if (s > 1)
			x /= s;
		if (x != 0 || !*negative)
		{
			*magnitude = x;
			return MG_OK;
		}
	}
	return broken_source(ctx);
}

/* What all draws of one sigma2 share. */
typedef struct gauss_plan
{
	uint64_t t;    /* floor(sigma) + 1: the scale of the Laplace proposals */
	uint64_t tden; /* t den */
	uint64_t num;
	mg_u128 scale; /* 2 t^2 den num */
} gauss_plan;

static uint64_t
integer_sqrt(uint64_t x)
{
	uint64_t root = 0;

	for (uint64_t bit = UINT64_C(1) << 31; bit != 0; bit >>= 1)
	{
		uint64_t next = root | bit;

		if (next * next <= x)
			root = next;
	}
	return root;
}

static mg_code
gauss_prepare(mg_ctx *ctx, mg_ratio sigma2, gauss_plan *plan)
{
	if (!mg_ratio_valid(sigma2))
		return mg_fail(ctx, MG_INVALID, "the variance of discrete Gaussian noise is out of range");
	plan->t = integer_sqrt(sigma2.num / sigma2.den) + 1;
	plan->tden = plan->t * sigma2.den;
	plan->num = sigma2.num;
	plan->scale = (mg_u128) 2 * plan->t * plan->tden * plan->num;
	return MG_OK;
}

/*
 * CKS Algorithm 3: a proposal Y from the discrete Laplace of scale t is kept with probability
 * exp(-(|Y| - sigma2/t)^2 / (2 sigma2)) = exp(-(|Y| t den - num)^2 / (2 t^2 den num)).
 */
static inline mg_code
gauss_draw(mg_ctx *ctx, mg_noise *n, const gauss_plan *plan, int64_t *out)
{
	for (int tries = 0; tries < TRY_LIMIT; tries++)
	{
		bool negative = false, keep = false;
		uint64_t y = 0, scaled, apart;

		MG_TRY(laplace(ctx, n, plan->t, 1, &negative, &y));
		scaled = y * plan->tden;
		apart = scaled > plan->num ? scaled - plan->num : plan->num - scaled;
		MG_TRY(bernoulli_exp(ctx, n, (mg_u128) apart * apart, plan->scale, &keep));
		if (keep)
		{
			*out = negative ? -(int64_t) y : (int64_t) y;
			return MG_OK;
		}
	}
	return broken_source(ctx);
}

mg_code
mg_noise_below(mg_ctx *ctx, mg_noise *n, uint64_t bound, uint64_t *out)
{
	if (bound == 0)
		return mg_fail(ctx, MG_INVALID, "an empty range to draw from");
	return uniform_below(ctx, n, bound, out);
}

mg_code
mg_bernoulli_exp(mg_ctx *ctx, mg_noise *n, mg_ratio gamma, bool *out)
{
	if (gamma.den == 0 || gamma.num > (UINT64_C(1) << 53) || gamma.den > (UINT64_C(1) << 53))
		return mg_fail(ctx, MG_INVALID, "the exponent of a Bernoulli trial is out of range");
	return bernoulli_exp(ctx, n, gamma.num, gamma.den, out);
}

mg_code
mg_discrete_gaussian(mg_ctx *ctx, mg_noise *n, mg_ratio sigma2, int64_t *out)
{
	gauss_plan plan;

	MG_TRY(gauss_prepare(ctx, sigma2, &plan));
	return gauss_draw(ctx, n, &plan, out);
}

mg_code
mg_add_discrete_gaussian(mg_ctx *ctx, mg_noise *n, mg_ratio sigma2, int64_t *v, size_t count)
{
	gauss_plan plan;

	MG_TRY(gauss_prepare(ctx, sigma2, &plan));
	for (size_t i = 0; i < count; i++)
	{
		int64_t x = 0, sum;

		if (i % POLL_DRAWS == 0)
			MG_TRY(mg_poll(ctx));
		MG_TRY(gauss_draw(ctx, n, &plan, &x));
		if (__builtin_add_overflow(v[i], x, &sum))
			sum = x > 0 ? INT64_MAX : INT64_MIN;
		v[i] = sum;
	}
	return MG_OK;
}

mg_code
mg_discrete_laplace(mg_ctx *ctx, mg_noise *n, mg_ratio scale, int64_t *out)
{
	bool negative = false;
	uint64_t magnitude = 0;

	if (!mg_ratio_valid(scale))
		return mg_fail(ctx, MG_INVALID, "the scale of discrete Laplace noise is out of range");
	MG_TRY(laplace(ctx, n, scale.num, scale.den, &negative, &magnitude));
	*out = negative ? -(int64_t) magnitude : (int64_t) magnitude;
	return MG_OK;
}

/*
 * By rejection: a uniform index, kept if it is allowed and passes Bernoulli(exp(-epsilon (max - score) / 2)). The best
 * score is kept when it comes up, so that an attempt succeeds with probability >= 1 / count.
 */
mg_code
mg_exponential(mg_ctx *ctx, mg_noise *n, mg_ratio epsilon, const int64_t *score, const bool *allowed, size_t count,
			   size_t *chosen)
{
	int64_t best = INT64_MIN;
	size_t choices = 0, limit;

	if (!mg_ratio_valid(epsilon))
		return mg_fail(ctx, MG_INVALID, "the epsilon of a private selection is out of range");
	for (size_t i = 0; i < count; i++)
	{
		if (allowed != NULL && !allowed[i])
			continue;
		choices++;
		if (score[i] > best)
			best = score[i];
	}
	if (choices == 0)
		return mg_fail(ctx, MG_INVALID, "a private selection without candidates");
	if (!mg_mul_size(count, TRY_LIMIT, &limit))
		limit = SIZE_MAX;

	for (size_t tries = 0; tries < limit; tries++)
	{
		uint64_t i = 0, gap;
		bool keep = false;

		if (tries % POLL_DRAWS == 0)
			MG_TRY(mg_poll(ctx));
		MG_TRY(uniform_below(ctx, n, count, &i));
		if (allowed != NULL && !allowed[i])
			continue;
		gap = (uint64_t) best - (uint64_t) score[i]; /* exact: the difference is in 0..2^64-1 */
		MG_TRY(bernoulli_exp(ctx, n, (mg_u128) epsilon.num * gap, (mg_u128) 2 * epsilon.den, &keep));
		if (keep)
		{
			*chosen = (size_t) i;
			return MG_OK;
		}
	}
	return broken_source(ctx);
}
