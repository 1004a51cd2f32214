/*
 * num/fft.c: radix-2 transforms over split arrays, decimation in frequency on the way there and in time on the way
 * back, so that no pass reorders anything. See fft.h for conventions and the error bound.
 *
 * A plan holds its factors stage by stage, in the order of use: those of the stage that joins halves of length h lie
 * at h - 1 .. 2h - 2. The plan owns nothing but memory of its arena.
 */
#include "num/fft.h"

#include <float.h>
#include <math.h>

struct mg_fft
{
	unsigned log2n;
	size_t n;
	double *cosine, *sine;       /* [h - 1 + j] = exp(-pi i j / h), as cosine and (positive) sine of the angle */
	double *twist_re, *twist_im; /* [j] = exp(pi i j / 2n), j < n */
};

/* exp(pi i j / 2n), j < n, from angles of at most pi/4, so that each part errs by less than 1.1 u. */
static void
quarter_circle(size_t j, size_t n, double *re, double *im)
{
	const double unit = M_PI / 2 / (double) n;

	if (2 * j <= n)
	{
		*re = cos(unit * (double) j);
		*im = sin(unit * (double) j);
	}
	else
	{
		*re = sin(unit * (double) (n - j));
		*im = cos(unit * (double) (n - j));
	}
}

mg_code
mg_fft_create(mg_ctx *ctx, mg_arena *arena, unsigned log2n, mg_fft **out)
{
	mg_fft *plan;
	size_t n;

	if (log2n > MG_FFT_LARGEST)
		return mg_fail(ctx, MG_INVALID, "a Fourier transform of more than 2^%d points", MG_FFT_LARGEST);
	n = (size_t) 1 << log2n;
	MG_NEW(ctx, arena, plan, 1);
	plan->log2n = log2n;
	plan->n = n;
	MG_NEW(ctx, arena, plan->cosine, n);
	MG_NEW(ctx, arena, plan->sine, n);
	MG_NEW(ctx, arena, plan->twist_re, n);
	MG_NEW(ctx, arena, plan->twist_im, n);
	for (size_t j = 0; j < n; j++)
		quarter_circle(j, n, &plan->twist_re[j], &plan->twist_im[j]);

	/* exp(-pi i j / h): the first half of j turns by less than a quarter, the second by a quarter more. */
	for (size_t h = n / 2; h >= 1; h /= 2)
	{
		double *c = plan->cosine + (h - 1), *s = plan->sine + (h - 1);
		size_t half = h / 2, stride = 2 * n / h; /* pi j / h = (pi / 2n) (j stride) */

		c[0] = 1;
		s[0] = 0;
		for (size_t j = 1; j < half; j++)
		{
			c[j] = plan->twist_re[j * stride];
			s[j] = plan->twist_im[j * stride];
		}
		for (size_t j = half; j < h && h > 1; j++)
		{
			c[j] = -plan->twist_im[(j - half) * stride];
			s[j] = plan->twist_re[(j - half) * stride];
		}
	}
	*out = plan;
	return MG_OK;
}

size_t
mg_fft_size(const mg_fft *plan)
{
	return plan->n;
}

size_t
mg_fft_reverse(const mg_fft *plan, size_t k)
{
	size_t r = 0;

	for (unsigned b = 0; b < plan->log2n; b++)
		r |= (k >> b & 1) << (plan->log2n - 1 - b);
	return r;
}

/* (a, b) -> (a + b, (a - b) w), over a block of 2h numbers. */
static void
split_block(double *restrict ar, double *restrict ai, double *restrict br, double *restrict bi,
			const double *restrict c, const double *restrict s, size_t h)
{
	for (size_t j = 0; j < h; j++)
	{
		double dr = ar[j] - br[j], di = ai[j] - bi[j];

		ar[j] += br[j];
		ai[j] += bi[j];
		br[j] = dr * c[j] + di * s[j];
		bi[j] = di * c[j] - dr * s[j];
	}
}

/* (a, b) -> (a + b conj w, a - b conj w). */
static void
join_block(double *restrict ar, double *restrict ai, double *restrict br, double *restrict bi, const double *restrict c,
		   const double *restrict s, size_t h)
{
	for (size_t j = 0; j < h; j++)
	{
		double tr = br[j] * c[j] - bi[j] * s[j], ti = bi[j] * c[j] + br[j] * s[j];

		br[j] = ar[j] - tr;
		bi[j] = ai[j] - ti;
		ar[j] += tr;
		ai[j] += ti;
	}
}

/* The two last stages of the way there (first of the way back): four numbers at a time, factors 1 and -i. */
static void
split_fours(double *re, double *im, size_t n)
{
	for (size_t b = 0; b < n; b += 4)
	{
		double *r = re + b, *i = im + b;
		double sr0 = r[0] + r[2], si0 = i[0] + i[2], sr1 = r[1] + r[3], si1 = i[1] + i[3];
		double dr0 = r[0] - r[2], di0 = i[0] - i[2], dr1 = i[1] - i[3], di1 = r[3] - r[1]; /* d1 times -i */

		r[0] = sr0 + sr1;
		i[0] = si0 + si1;
		r[1] = sr0 - sr1;
		i[1] = si0 - si1;
		r[2] = dr0 + dr1;
		i[2] = di0 + di1;
		r[3] = dr0 - dr1;
		i[3] = di0 - di1;
	}
}

static void
join_fours(double *re, double *im, size_t n)
{
	for (size_t b = 0; b < n; b += 4)
	{
		double *r = re + b, *i = im + b;
		double sr0 = r[0] + r[1], si0 = i[0] + i[1], dr0 = r[0] - r[1], di0 = i[0] - i[1];
		double sr1 = r[2] + r[3], si1 = i[2] + i[3], dr1 = i[3] - i[2], di1 = r[2] - r[3]; /* difference times i */

		r[0] = sr0 + sr1;
		i[0] = si0 + si1;
		r[2] = sr0 - sr1;
		i[2] = si0 - si1;
		r[1] = dr0 + dr1;
		i[1] = di0 + di1;
		r[3] = dr0 - dr1;
		i[3] = di0 - di1;
	}
}

/*
 * Depth first: once a block fits the cache, all its stages run before the next block is touched.
 */
static void
split_all(const mg_fft *plan, double *re, double *im, size_t n)
{
	size_t h = n / 2;

	if (n == 4)
	{
		split_fours(re, im, 4);
		return;
	}
	if (n < 2)
		return;
	split_block(re, im, re + h, im + h, plan->cosine + (h - 1), plan->sine + (h - 1), h);
	if (n == 2)
		return;
	if (n > 4096)
	{
		split_all(plan, re, im, h);
		split_all(plan, re + h, im + h, h);
		return;
	}
	for (h /= 2; h > 2; h /= 2)
		for (size_t b = 0; b < n; b += 2 * h)
			split_block(re + b, im + b, re + b + h, im + b + h, plan->cosine + (h - 1), plan->sine + (h - 1), h);
	split_fours(re, im, n);
}

static void
join_all(const mg_fft *plan, double *re, double *im, size_t n)
{
	size_t top = n / 2;

	if (n < 2)
		return;
	if (n > 4096)
	{
		join_all(plan, re, im, top);
		join_all(plan, re + top, im + top, top);
		join_block(re, im, re + top, im + top, plan->cosine + (top - 1), plan->sine + (top - 1), top);
		return;
	}
	if (n == 2)
	{
		join_block(re, im, re + 1, im + 1, plan->cosine, plan->sine, 1);
		return;
	}
	join_fours(re, im, n);
	for (size_t h = 4; h < n; h *= 2)
		for (size_t b = 0; b < n; b += 2 * h)
			join_block(re + b, im + b, re + b + h, im + b + h, plan->cosine + (h - 1), plan->sine + (h - 1), h);
}

void
mg_fft_forward(const mg_fft *plan, double *re, double *im)
{
	split_all(plan, re, im, plan->n);
}

void
mg_fft_inverse(const mg_fft *plan, double *re, double *im)
{
	const double scale = 1 / (double) plan->n; /* a power of two: exact */

	join_all(plan, re, im, plan->n);
	for (size_t j = 0; j < plan->n; j++)
	{
		re[j] *= scale;
		im[j] *= scale;
	}
}

void
mg_ring_forward(const mg_fft *plan, double *re, double *im)
{
	for (size_t j = 0; j < plan->n; j++)
	{
		double c = plan->twist_re[j], s = plan->twist_im[j], r = re[j] * c - im[j] * s;

		im[j] = im[j] * c + re[j] * s;
		re[j] = r;
	}
	split_all(plan, re, im, plan->n);
}

void
mg_ring_inverse(const mg_fft *plan, double *re, double *im)
{
	const double scale = 1 / (double) plan->n;

	join_all(plan, re, im, plan->n);
	for (size_t j = 0; j < plan->n; j++)
	{
		double c = plan->twist_re[j] * scale, s = plan->twist_im[j] * scale, r = re[j] * c + im[j] * s;

		im[j] = im[j] * c - re[j] * s;
		re[j] = r;
	}
}

/* (1 + 6u)^t - 1 <= 6 t u (1 + 2^-40) for t <= 23. */
static double
path_error(unsigned stages)
{
	return 3 * DBL_EPSILON * (double) stages * (1 + 0x1.0p-40);
}

double
mg_fft_error(const mg_fft *plan)
{
	return path_error(plan->log2n);
}

double
mg_ring_error(const mg_fft *plan)
{
	return path_error(plan->log2n + 1);
}
