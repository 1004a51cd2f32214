/*
 * privacy/gaussian.c: discrete Gaussian noise of a large deviation, in integer arithmetic. See gaussian.h.
 *
 * The sampler follows Karney 2016 (Algorithm D, which puts a uniform offset into a cell of width sigma): with K >= 0 of
 * Pr proportional to exp(-k^2 / 2), J uniform in 0 .. sigma - 1 and a fair sign, Y = K sigma + J is kept with
 * probability
 *
 *     exp(-x (2k + x) / 2),  x = J / sigma,      since exp(-k^2 / 2) times it is exp(-(Y / sigma)^2 / 2),
 *
 * and zero with a minus sign is refused. 71 attempts of 100 succeed. What is not exact, and how much:
 *
 *   - K is looked up in a table of 128 digits, with the cells from 13 on (2^-122) left out: off by 2^-122 in total
 *     variation. The second word of the look-up is drawn only where the first does not decide.
 *   - A uniform U of 128 digits is compared with the weight. Its first 31 digits, and 64 more in rare cases, are
 * compared with a fixed-point value that is right to 2^-52 (mg_gauss_weight); where that does not decide, with one that
 * is right to 2^-118 (mg_gauss_weight_exact). The decision differs from the exact one with probability 2^-118.
 *
 * Divided by the rate of success, and for two errors of the same kind in numerator and normaliser, a draw is within
 * DISTANCE = 2^-115 of its law in total variation. J and the sign are exact.
 */
#include "privacy/gaussian_private.h"

#include <float.h>
#include <math.h>

#define DISTANCE 0x1.0p-115
#define TRY_LIMIT 4096 /* attempts succeed with probability above 0.7: odds below 2^-256 */
#define RUN_LIMIT 256
#define POLL_DRAWS 16384
#define CLAMP 0x1.0p52
#define SATURATED (INT64_C(1) << 62)

const uint64_t mg_gauss_cell[MG_GAUSS_CELLS][2] = {
	{UINT64_C(0x92025b19482ce72b), UINT64_C(0xd40241fe3d8503e0)},
	{UINT64_C(0xea91798547a0ef93), UINT64_C(0xd55d4ff9ab842149)},
	{UINT64_C(0xfe5415c6e9da4bae), UINT64_C(0xeabab39c56d419be)},
	{UINT64_C(0xfff3523319908c11), UINT64_C(0xd937bd03927c2f09)},
	{UINT64_C(0xffffdc31b8ef5942), UINT64_C(0x488c43f4219a48e8)},
	{UINT64_C(0xffffffdaa2d72344), UINT64_C(0xf06d574f25e26ea2)},
	{UINT64_C(0xfffffffff1a20da4), UINT64_C(0x272e392479b0e3d6)},
	{UINT64_C(0xfffffffffffdf76c), UINT64_C(0x4ac9d6ef19667473)},
	{UINT64_C(0xffffffffffffffe4), UINT64_C(0xe341e1b0f4764936)},
	{UINT64_C(0xffffffffffffffff), UINT64_C(0xff7b01dedd7a579c)},
	{UINT64_C(0xffffffffffffffff), UINT64_C(0xffffff100072148c)},
	{UINT64_C(0xffffffffffffffff), UINT64_C(0xffffffffff60ab69)},
	{UINT64_C(0xffffffffffffffff), UINT64_C(0xffffffffffffffd9)},
};

/* 2^64 exp(-i / 2), 2^64 exp(-i / 64), 2^64 exp(-i / 2048), to the nearest; 2^64 itself is held as 2^64 - 1. */
static const uint64_t power[3][32] = {
	{
		UINT64_C(0xffffffffffffffff), UINT64_C(0x9b4597e37cb04ff4), UINT64_C(0x5e2d58d8b3bcdf1b),
		UINT64_C(0x391f0ee496b83ac9), UINT64_C(0x22a555477f039740), UINT64_C(0x150385c094f424a7),
		UINT64_C(0x0cbed86667585765), UINT64_C(0x07bb0406393fd97e), UINT64_C(0x04b0556e084f3d1e),
		UINT64_C(0x02d80a08d2b882e8), UINT64_C(0x01b993fe00d53762), UINT64_C(0x010bd4a5aca77287),
		UINT64_C(0x00a2728f889ea6af), UINT64_C(0x006287862a553fe9), UINT64_C(0x003bc2d73849531d),
		UINT64_C(0x00243f37481e63a9), UINT64_C(0x0015fc21041027ad), UINT64_C(0x000d55a1fd9ca051),
		UINT64_C(0x0008167912932a2d), UINT64_C(0x0004e7ce295263f8), UINT64_C(0x0002f9af36ac8f93),
		UINT64_C(0x0001cdfc263f6a0c), UINT64_C(0x000118354238f676), UINT64_C(0x0000a9f46bb3c058),
		UINT64_C(0x0000671530ed0ef2), UINT64_C(0x00003e85da7ed1cd), UINT64_C(0x000025ec0a77303b),
		UINT64_C(0x000017003974e946), UINT64_C(0x00000df3637ed80b), UINT64_C(0x00000876281e934b),
		UINT64_C(0x00000521d72889fb), UINT64_C(0x0000031ce2700ee3),
	},
	{
		UINT64_C(0xffffffffffffffff), UINT64_C(0xfc07f55ff77d2494), UINT64_C(0xf81fab5445aebc8a),
		UINT64_C(0xf446e357f67dfd8e), UINT64_C(0xf07d5fde38151e73), UINT64_C(0xecc2e44e820d18c4),
		UINT64_C(0xe9173500cbe0159b), UINT64_C(0xe57a1739d263ec95), UINT64_C(0xe1eb51276c110c3c),
		UINT64_C(0xde6aa9dcebdb100b), UINT64_C(0xdaf7e94f9261313d), UINT64_C(0xd792d8530d3da531),
		UINT64_C(0xd43b4096043bde03), UINT64_C(0xd0f0ec9eb43e8079), UINT64_C(0xcdb3a7c7979ebd5d),
		UINT64_C(0xca833e3c1bcf93e9), UINT64_C(0xc75f7cf564105743), UINT64_C(0xc44831b718faa1da),
		UINT64_C(0xc13d2b0c44b8af4a), UINT64_C(0xbe3e38443bb1dfef), UINT64_C(0xbb4b296f917bf09a),
		UINT64_C(0xb863cf5d19e0354f), UINT64_C(0xb587fb96f5c4e713), UINT64_C(0xb2b7805fabcb5328),
		UINT64_C(0xaff230af4c747554), UINT64_C(0xad37e030a19e3f45), UINT64_C(0xaa88633e692c84ac),
		UINT64_C(0xa7e38ee09ab13659), UINT64_C(0xa54938c9b7e846b1), UINT64_C(0xa2b9375427dc3ef6),
		UINT64_C(0xa033617f9c893773), UINT64_C(0x9db78eee82d48c8c),
	},
	{
		UINT64_C(0xffffffffffffffff), UINT64_C(0xffe001ffeaab5551), UINT64_C(0xffc007ff555fff77),
		UINT64_C(0xffa011fdc035fbf3), UINT64_C(0xff801ffaab554446), UINT64_C(0xff6031f596f5cbf0),
		UINT64_C(0xff4047ee035f7e77), UINT64_C(0xff2061e370ea3d60), UINT64_C(0xff007fd55ffdde39),
		UINT64_C(0xfee0a1c351122892), UINT64_C(0xfec0c7acc4aed406), UINT64_C(0xfea0f1913b6b8638),
		UINT64_C(0xfe811f7035efd0d9), UINT64_C(0xfe61514934f32fa8), UINT64_C(0xfe41871bb93d0678),
		UINT64_C(0xfe21c0e743a49f2f), UINT64_C(0xfe01feab551127cc), UINT64_C(0xfde240676e79b06b),
		UINT64_C(0xfdc2861b10e52946), UINT64_C(0xfda2cfc5bd6a60be), UINT64_C(0xfd831d66f530015a),
		UINT64_C(0xfd636efe396c8fcf), UINT64_C(0xfd43c48b0b666903), UINT64_C(0xfd241e0cec73c015),
		UINT64_C(0xfd047b835dfa9c5e), UINT64_C(0xfce4dcede170d77a), UINT64_C(0xfcc5424bf85c1b4d),
		UINT64_C(0xfca5ab9d2451e009), UINT64_C(0xfc8618e0e6f76a33), UINT64_C(0xfc668a16c201c8ab),
		UINT64_C(0xfc46ff3e3735d2b4), UINT64_C(0xfc277856c86825f9),
	},
};

static inline uint64_t
high_product(uint64_t a, uint64_t b)
{
	return (uint64_t) ((mg_u128) a * b >> 64);
}

/*
 * The exponent in units of 2^-58: x errs by less than 2^-57 downwards (reciprocal and shift), its product with at most
 * 13 by 14 * 2^-57, below 2^-53. Its digits select three table entries; the rest, below 2^-11, goes into the series of
 * exp to its fifth power (the sixth is below 2^-75). Each product loses less than 2^-63. In all below 2^-52.
 */
uint64_t
mg_gauss_weight(const mg_lattice *l, unsigned k, uint64_t j)
{
	uint64_t x = (uint64_t) ((mg_u128) j * l->reciprocal >> 36); /* j / sigma 2^58 */
	uint64_t g = (uint64_t) ((mg_u128) x * (((uint64_t) k << 59) + x) >> 59);
	uint64_t r = (g & ((UINT64_C(1) << 47) - 1)) << 6; /* 2^64 times the rest, below 2^53 */
	uint64_t s = r / 5, weight;

	/* 1 - e^-r = r (1 - r/2 (1 - r/3 (1 - r/4 (1 - r/5)))) */
	s = r / 4 - high_product(r / 4, s);
	s = r / 3 - high_product(r / 3, s);
	s = r / 2 - high_product(r / 2, s);
	s = r - high_product(r, s);
	weight = UINT64_MAX - s;
	weight = high_product(weight, power[0][g >> 57]);
	weight = high_product(weight, power[1][g >> 52 & 31]);
	return high_product(weight, power[2][g >> 47 & 31]);
}

/* floor(a b / 2^128) to within 3. */
static mg_u128
high_product_wide(mg_u128 a, mg_u128 b)
{
	uint64_t a1 = (uint64_t) (a >> 64), a0 = (uint64_t) a, b1 = (uint64_t) (b >> 64), b0 = (uint64_t) b;

	return (mg_u128) a1 * b1 + ((mg_u128) a1 * b0 >> 64) + ((mg_u128) a0 * b1 >> 64);
}

/*
 * Digit by digit: the exponent j (2 k sigma + j) / (2 sigma^2) is a fraction with parts below 2^68; its whole part is a
 * power of 1/e, the rest goes into the series. Fewer than 100 operations of error 3 * 2^-128 each.
 */
mg_u128
mg_gauss_weight_exact(const mg_lattice *l, unsigned k, uint64_t j)
{
	static const uint64_t inverse_e[2] = {UINT64_C(0x5e2d58d8b3bcdf1a), UINT64_C(0xbadec7829054f90d)};
	mg_u128 num = (mg_u128) j * (2 * (mg_u128) k * l->sigma + j), den = (mg_u128) 2 * l->sigma * l->sigma;
	mg_u128 whole = num / den, rest = num % den, fraction = 0, term, sum;

	for (int bit = 0; bit < 128; bit++)
	{
		rest <<= 1;
		fraction <<= 1;
		if (rest >= den)
		{
			rest -= den;
			fraction |= 1;
		}
	}
	/* e^-f = 1 - f + f^2/2 - ...; 2^128 itself is the wrapped zero, and f > 0 or the answer is 1 */
	if (fraction == 0)
		sum = ~(mg_u128) 0;
	else
	{
		sum = 0;
		term = fraction;
		for (unsigned n = 1; term != 0; n++)
		{
			sum += n % 2 == 1 ? -term : term;
			term = high_product_wide(term, fraction) / (n + 1);
		}
	}
	for (; whole > 0; whole--)
		sum = high_product_wide(sum, (mg_u128) inverse_e[0] << 64 | inverse_e[1]);
	return sum;
}

static mg_code
broken_source(mg_ctx *ctx)
{
	return mg_fail(ctx, MG_INTERNAL, "the random source does not look random");
}

/* U < weight, U given by its first 31 digits at the top of a word. */
static inline mg_code
keep(mg_ctx *ctx, mg_noise *n, const mg_lattice *l, unsigned k, uint64_t j, uint64_t first, bool *out)
{
	const uint64_t open = UINT64_C(1) << 33; /* what the digits still to come may add */
	uint64_t weight = mg_gauss_weight(l, k, j), more, low;

	/* no sum here overflows: where it would, the comparison before it has decided */
	if (weight >= open + MG_GAUSS_MARGIN && first <= weight - open - MG_GAUSS_MARGIN)
	{
		*out = true;
		return MG_OK;
	}
	if (first >= MG_GAUSS_MARGIN && first - MG_GAUSS_MARGIN >= weight)
	{
		*out = false;
		return MG_OK;
	}
	MG_TRY(mg_noise_word(ctx, n, &more));
	first |= more >> 31;
	if (weight > MG_GAUSS_MARGIN && first < weight - MG_GAUSS_MARGIN)
	{
		*out = true;
		return MG_OK;
	}
	if (first >= MG_GAUSS_MARGIN && first - MG_GAUSS_MARGIN >= weight)
	{
		*out = false;
		return MG_OK;
	}
	MG_TRY(mg_noise_word(ctx, n, &low));
	*out = ((mg_u128) first << 64 | low) < mg_gauss_weight_exact(l, k, j);
	return MG_OK;
}

/* K; MG_GAUSS_CELLS where none of the cells takes it. */
static inline mg_code
cell(mg_ctx *ctx, mg_noise *n, unsigned *k)
{
	uint64_t high, low;
	unsigned i = 0;

	MG_TRY(mg_noise_word(ctx, n, &high));
	while (i < MG_GAUSS_CELLS && high > mg_gauss_cell[i][0])
		i++;
	if (i < MG_GAUSS_CELLS && high == mg_gauss_cell[i][0])
	{
		MG_TRY(mg_noise_word(ctx, n, &low));
		while (i < MG_GAUSS_CELLS && high == mg_gauss_cell[i][0] && low >= mg_gauss_cell[i][1])
			i++;
	}
	*k = i;
	return MG_OK;
}

static inline mg_code
draw(mg_ctx *ctx, mg_noise *n, const mg_lattice *l, int64_t *out)
{
	for (int tries = 0; tries < TRY_LIMIT; tries++)
	{
		unsigned k = 0;
		uint64_t word, m, y;
		bool kept = false;
		int turns = 0;

		MG_TRY(cell(ctx, n, &k));
		/* one word: 32 digits for J (Lemire 2019, exact), one for the sign, 31 for U */
		do
		{
			if (++turns > RUN_LIMIT)
				return broken_source(ctx);
			MG_TRY(mg_noise_word(ctx, n, &word));
			m = (word >> 32) * l->sigma;
		} while ((uint32_t) m < l->rejected);
		if (k == MG_GAUSS_CELLS)
			continue;
		MG_TRY(keep(ctx, n, l, k, m >> 32, (word & UINT64_C(0x7fffffff)) << 33, &kept));
		y = k * l->sigma + (m >> 32);
		if (kept && (y != 0 || (word & UINT64_C(0x80000000)) == 0))
		{
			*out = (word & UINT64_C(0x80000000)) != 0 ? -(int64_t) y : (int64_t) y;
			return MG_OK;
		}
	}
	return broken_source(ctx);
}

static mg_code
lattice_of(mg_ctx *ctx, mg_lattice *l, double sigma, double step)
{
	double steps = ceil(sigma / step); /* a power of two divides exactly */

	if (!(steps >= 0x1.0p30 && steps <= 0x1.0p31))
		return mg_fail(ctx, MG_INVALID, "the grid of Gaussian noise does not fit its deviation");
	l->step = step;
	l->sigma = (uint64_t) steps;
	l->reciprocal = l->sigma == UINT64_C(1) << 30 ? UINT64_MAX : (uint64_t) (((mg_u128) 1 << 94) / l->sigma);
	l->rejected = (uint32_t) ((UINT64_C(1) << 32) % l->sigma);
	return MG_OK;
}

static bool
sigma_valid(double sigma)
{
	return sigma >= 1e-280 && sigma <= 1e280;
}

mg_code
mg_lattice_init(mg_ctx *ctx, mg_lattice *l, double sigma)
{
	int exponent;

	if (!sigma_valid(sigma))
		return mg_fail(ctx, MG_INVALID, "the deviation of Gaussian noise is out of range");
	(void) frexp(sigma, &exponent); /* 2^(exponent - 1) <= sigma < 2^exponent */
	return lattice_of(ctx, l, sigma, ldexp(1, exponent - 31));
}

double
mg_lattice_sigma(const mg_lattice *l)
{
	return (double) l->sigma * l->step;
}

/* v / step towards zero, within +-2^52; 0 for NaN. */
static inline int64_t
on_lattice(double v, double inverse)
{
	double steps = v * inverse;

	if (!(steps > -CLAMP))
		return steps <= -CLAMP ? -(int64_t) CLAMP : 0;
	return steps < CLAMP ? (int64_t) steps : (int64_t) CLAMP;
}

void
mg_lattice_accumulate(const mg_lattice *l, const double *v, int64_t *sum, size_t n)
{
	const double inverse = 1 / l->step; /* exact */

	for (size_t i = 0; i < n; i++)
	{
		int64_t total = sum[i] + on_lattice(v[i], inverse); /* both far below 2^63 */

		sum[i] = total > SATURATED ? SATURATED : total < -SATURATED ? -SATURATED : total;
	}
}

mg_code
mg_lattice_noise(mg_ctx *ctx, mg_noise *noise, const mg_lattice *l, int64_t *sum, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		int64_t y = 0;

		if (i % POLL_DRAWS == 0)
			MG_TRY(mg_poll(ctx));
		MG_TRY(draw(ctx, noise, l, &y));
		if (__builtin_add_overflow(sum[i], y, &sum[i]))
			sum[i] = y > 0 ? INT64_MAX : INT64_MIN;
	}
	return MG_OK;
}

void
mg_lattice_values(const mg_lattice *l, const int64_t *sum, double *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		v[i] = (double) sum[i] * l->step;
}

mg_code
mg_gaussian_vector(mg_ctx *ctx, mg_noise *noise, double sigma, double grid, double *v, size_t n)
{
	mg_lattice l;
	int exponent;

	if (!sigma_valid(sigma))
		return mg_fail(ctx, MG_INVALID, "the deviation of Gaussian noise is out of range");
	if (!(grid > 0) || !isfinite(grid) || frexp(grid, &exponent) != 0.5)
		return mg_fail(ctx, MG_INVALID, "the grid of Gaussian noise must be a power of two");
	MG_TRY(lattice_of(ctx, &l, sigma, grid));
	for (size_t i = 0; i < n; i++)
	{
		int64_t y = 0;

		if (i % POLL_DRAWS == 0)
			MG_TRY(mg_poll(ctx));
		MG_TRY(draw(ctx, noise, &l, &y));
		v[i] = (double) (on_lattice(v[i], 1 / grid) + y) * grid; /* below 2^53 steps: exact */
	}
	return MG_OK;
}

/*
 * Continuous noise rounded to the nearest step has, at t deviations from an integer centre, the discrete law's mass
 * times the mean of exp(-t u / s - u^2 / (2 s^2)) over u in [-1/2, 1/2], s = sigma in steps: between exp(-1 / (24 s^2))
 * (Jensen) and sinh(t / 2s) / (t / 2s) <= exp(t^2 / (24 s^2)); the normalisers differ by a factor 1 + 2 exp(-2 pi^2
 * s^2). Within 40 deviations, outside of which either law has less than 1e-300, that is 1601 / (24 s^2) in the exponent
 * for a draw, and for the two neighbours twice that.
 */
mg_lattice_error
mg_lattice_excess(const mg_lattice *l, double draws)
{
	double s = (double) l->sigma;
	mg_lattice_error e = {draws * 2 * (1601 / (24 * s * s)) * (1 + 1e-9), draws * (2 * DISTANCE) * (1 + 1e-9)};

	return e;
}
