/*
 * model/smooth.c: Bayes estimates of non-negative masses. See smooth.h.
 *
 * Prior of one mass: zero with probability ZERO_SHARE, else exponential with mean total / 4^j, j uniform in
 * 0..SCALES-1: about log-uniform over the scales that counts have. With a Gaussian likelihood each part has a closed
 * form: for y with precision w = 1 / v and prior mean m, the posterior is N(y - v/m, v) cut at zero, and the evidence
 * is
 *
 *   (1/m) sqrt(2 pi v) Phi((y - v/m) / sqrt v) exp(-y/m + v / (2 m^2)) exp(w y^2 / 2)          relative to that of
 * zero.
 *
 * Ordered cells: a sequence of segments of one mass each; a boundary between two cells exists with probability p, which
 * is given a grid and weighted by its evidence. Posterior means by the forward-backward recursion over segment ends
 * (the exact Bayesian change point analysis of Barry, Hartigan 1992; Fearnhead 2006), in O(n * longest segment).
 */
#include "model/smooth.h"

#include "num/special.h"

#include <math.h>
#include <string.h>

#define SCALES 6
#define ZERO_SHARE 0.1
/* Cells of the segment table: bounds the longest segment at many cells. */
#define MOST_SEGMENTS 65536
/* Below half a row of noise (variance) there is nothing to smooth. */
#define QUIET 0.25
/* In deviations: from here on the asymptotes are right to 1e-6, and what they stand for is not. */
#define FAR_OUT (-1e3)

static const double roughness[] = {0.05, 0.1, 0.2, 0.4, 0.7, 0.95};
#define NROUGH ((uint32_t) (sizeof(roughness) / sizeof(roughness[0])))

/* Log evidence (relative to a certain zero) and posterior mean of a mass seen as y with variance v. */
static double
mass_posterior(double y, double v, double total, double *mean)
{
	double sd = sqrt(v), level[SCALES + 1], at[SCALES + 1], all, sum = 0, m = total;

	for (int j = 0; j < SCALES; j++, m /= 4)
	{
		double centre = y - v / m, z = centre / sd, log_mills;

		/*
		 * -y/m + v/(2 m^2) + w y^2/2 is z^2/2, so log Phi + z^2/2 is Mills' ratio less a constant: far out, where noise
		 * is many times what it could show, its asymptote, since the difference of the two would be rounding alone.
		 */
		if (z < FAR_OUT)
		{
			log_mills = -log(-z) - 0.5 * log(2 * M_PI);
			at[j] = -sd / z;
		}
		else
		{
			log_mills = mg_log_normal_cdf(z) + z * z / 2;
			at[j] = fmax(centre + sd * exp(-0.5 * log(2 * M_PI) - log_mills), 0);
		}
		level[j] = log((1 - ZERO_SHARE) / SCALES) - log(m) + 0.5 * log(2 * M_PI * v) + log_mills;
	}
	level[SCALES] = log(ZERO_SHARE);
	at[SCALES] = 0;
	all = mg_log_sum_exp(level, SCALES + 1);
	for (int j = 0; j <= SCALES; j++)
		sum += exp(level[j] - all) * at[j];
	*mean = sum;
	return all;
}

void
mg_smooth_labels(double *x, const double *var, uint32_t n, double total)
{
	for (uint32_t i = 0; i < n; i++)
		if (var[i] > QUIET)
			(void) mass_posterior(x[i], var[i], total, &x[i]);
}

/* Segments that end before cell j and begin at l = j - 1 - k: table[j * longest + k]. */
typedef struct segments
{
	uint32_t n, longest;
	double *level; /* log evidence */
	double *mean;
	double *forward, *backward; /* [n + 1] */
	double *gain;               /* [n + 1] differences of the posterior mean */
} segments;

static mg_code
build_segments(mg_ctx *ctx, mg_arena *a, const double *x, const double *var, uint32_t n, double total, segments *s)
{
	size_t cells;

	s->n = n;
	s->longest = MOST_SEGMENTS / n < 1 ? 1 : MOST_SEGMENTS / n;
	if (s->longest > n)
		s->longest = n;
	cells = ((size_t) n + 1) * s->longest;
	MG_NEW(ctx, a, s->level, cells);
	MG_NEW(ctx, a, s->mean, cells);
	MG_NEW(ctx, a, s->forward, n + 1);
	MG_NEW(ctx, a, s->backward, n + 1);
	MG_NEW(ctx, a, s->gain, n + 1);
	for (uint32_t j = 1; j <= n; j++)
	{
		double weight = 0, sum = 0;

		for (uint32_t k = 0; k < s->longest && k < j; k++)
		{
			uint32_t l = j - 1 - k;
			size_t at = (size_t) j * s->longest + k;

			weight += 1 / var[l];
			sum += x[l] / var[l];
			s->level[at] = mass_posterior(sum / weight, 1 / weight, total, &s->mean[at]);
		}
		if (j % 64 == 0)
			MG_TRY(mg_poll(ctx));
	}
	return MG_OK;
}

/*
 * forward[j]: all segmentations of the cells before j, with a boundary at j; backward[j]: of those from j on. A segment
 * of k + 1 cells has k places without a boundary. Returns the log evidence.
 */
static double
recurse(segments *s, double p)
{
	double inside = log1p(-p), boundary = log(p);

	s->forward[0] = 0;
	for (uint32_t j = 1; j <= s->n; j++)
	{
		double all = -INFINITY;

		for (uint32_t k = 0; k < s->longest && k < j; k++)
			all = mg_log_add(all, s->forward[j - 1 - k] + s->level[(size_t) j * s->longest + k] + k * inside);
		s->forward[j] = all + (j < s->n ? boundary : 0);
	}
	for (uint32_t j = 0; j < s->n; j++)
		s->backward[j] = -INFINITY;
	s->backward[s->n] = 0;
	for (uint32_t j = s->n; j > 0; j--)
	{
		double after = s->backward[j] + (j < s->n ? boundary : 0);

		for (uint32_t k = 0; k < s->longest && k < j; k++)
		{
			uint32_t l = j - 1 - k;

			s->backward[l] = mg_log_add(s->backward[l], after + s->level[(size_t) j * s->longest + k] + k * inside);
		}
	}
	return s->forward[s->n];
}

/* Adds share * posterior mean, as differences, to s->gain. */
static void
collect(segments *s, double p, double evidence, double share)
{
	double inside = log1p(-p), boundary = log(p);

	for (uint32_t j = 1; j <= s->n; j++)
	{
		double after = s->backward[j] + (j < s->n ? boundary : 0) - evidence;

		for (uint32_t k = 0; k < s->longest && k < j; k++)
		{
			size_t at = (size_t) j * s->longest + k;
			double mass = share * exp(s->forward[j - 1 - k] + s->level[at] + k * inside + after) * s->mean[at];

			s->gain[j - 1 - k] += mass;
			s->gain[j] -= mass;
		}
	}
}

mg_code
mg_smooth_ordered(mg_ctx *ctx, mg_arena *a, double *x, const double *var, uint32_t n, double total)
{
	double evidence[NROUGH], all, quiet = 0;
	segments s;

	for (uint32_t i = 0; i < n; i++)
		quiet = fmax(quiet, var[i]);
	if (n == 0 || quiet <= QUIET)
		return MG_OK;
	MG_TRY(build_segments(ctx, a, x, var, n, total, &s));
	for (uint32_t r = 0; r < NROUGH; r++)
		evidence[r] = recurse(&s, roughness[r]);
	all = mg_log_sum_exp(evidence, NROUGH);
	for (uint32_t r = 0; r < NROUGH; r++)
	{
		double share = exp(evidence[r] - all);

		if (share < 1e-6)
			continue;
		recurse(&s, roughness[r]);
		collect(&s, roughness[r], evidence[r], share);
	}
	all = 0;
	for (uint32_t i = 0; i < n; i++)
	{
		all += s.gain[i];
		x[i] = fmax(all, 0);
	}
	return MG_OK;
}
