/*
 * privacy/pld.c: composition of privacy losses, see pld.h.
 *
 * One composition, in one direction d = +1 (P first) or -1, with y = d times the total loss:
 *
 *   delta(epsilon) = sum over y > epsilon of W(y) (1 - e^(epsilon - y)) + what lies at infinity,
 *
 * W being the masses of the first law. Forwards W is the convolution of the P masses w; backwards it is that of w e^-g.
 * Tilting: with t = lambda forwards and t = -(1 + lambda) backwards, W(y) = V(y) e^(K - lambda y), where V convolves
 * w e^(t g) / (its sum) and K adds the logarithms of the sums. lambda = order - 1 at the order that Renyi composition
 * prefers puts the bulk of V about epsilon, so that an error of 1e-14 in V is one of about 1e-14 sigma/h relative to
 * delta, however small delta is (after Koskela, Jaelkoe, Honkela 2020; Gopi, Lee, Wutschitz 2021 for error accounting).
 *
 * What is counted above the sum (count_window, count_rounding, solve):
 *   1. truncated tails of each event: count * above (or below), at infinity;
 *   2. mass of V outside the window [a, b] of positions kept, at most WRAPPED on each side by Chernoff's bound:
 *      beyond the far end its delta, e^(K - lambda y) WRAPPED; and it comes back into the window by wrap-around, with
 *      either sign (fft.h), so each cell may lack that much;
 *   3. rounding of the transforms: |computed - exact| <= E for every cell of V, from the l1 bound of fft.h carried
 *      through powers and products: prod (|F_j| + e)^n_j - prod |F_j|^n_j at every frequency, averaged;
 *   4. relative errors of single masses, as a factor e^(n MG_LOSS_ERROR).
 * Each cell enters as max(V + E + wrap, 0).
 */
#include "privacy/pld.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "num/fft.h"
#include "num/special.h"
#include "privacy/pld_private.h"

#define WRAPPED_LOG 36.0 /* -log of the mass outside the window, each side */
#define INFLATION 4e-4   /* how much variance the grid may add */
#define FRACTION 5e-4    /* grid step over epsilon, at most */
#define LOG_LARGEST 19   /* 2^20 positions */
#define MOST_PASSES 6
#define LARGEST_LOSS 2e4 /* Renyi's answer stands where a single loss may be larger: e^-20000 protects nobody */
#define GOOD_GUESS 0.6
#define CHUNK 64
#define BLOCK 512

#define LOG_SQRT_2PI 0.91893853320467274178

/* A composition: pairs, their discretisations, and the grid. */
typedef struct composition
{
	mg_arena *arena;
	mg_pair *pair;
	mg_loss *loss;
	size_t n;
	double h, tail;
	double total; /* number of calls */
} composition;

/* The exact profile of a Gaussian. */

double
mg_gaussian_delta(double mu, double epsilon)
{
	double a, b, la, lb, delta;

	if (!(mu >= 0) || !(epsilon >= 0))
		return 1;
	if (mu == 0)
		return 0;
	a = epsilon / mu - mu / 2;
	b = epsilon / mu + mu / 2;
	la = mg_log_normal_cdf(-a);
	lb = epsilon + mg_log_normal_cdf(-b);
	delta = la > lb ? exp(la) * -expm1(lb - la) : 0;
	delta += exp(la) * 64 * DBL_EPSILON * (4 + a * a + b * b + epsilon);
	if (isnan(delta) || delta > 1)
		return 1;
	return delta > 0 ? delta : DBL_TRUE_MIN;
}

double
mg_gaussian_epsilon(double mu, double delta)
{
	double low = 0, high;

	if (!(mu >= 0) || !(delta > 0))
		return mu == 0 ? 0 : INFINITY;
	if (mu == 0 || mg_gaussian_delta(mu, 0) <= delta)
		return 0;
	high = mg_zcdp_epsilon(mu * mu / 2 * (1 + 4 * DBL_EPSILON), delta);
	if (!isfinite(high))
		return high;
	for (int i = 0; i < 100 && high - low > 1e-13 * high; i++)
	{
		double middle = low + (high - low) / 2;

		if (mg_gaussian_delta(mu, middle) <= delta)
			high = middle;
		else
			low = middle;
	}
	return high;
}

/* Events into pairs: equal ones once, Gaussians as one, zCDP blocks as one. */

typedef struct gathered
{
	double mu2, rho; /* rounded up */
	mg_pair *pair;
	size_t n;
} gathered;

static void
add_pair(gathered *g, mg_pair_kind kind, double a, double q, uint64_t count)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->pair[i].kind == kind && g->pair[i].a == a && g->pair[i].q == q)
		{
			g->pair[i].count += count;
			return;
		}
	g->pair[g->n].kind = kind;
	g->pair[g->n].a = a;
	g->pair[g->n].q = q;
	g->pair[g->n++].count = count;
}

/* What is charged as it is, and what as a zCDP block: two sound readings of an exponential mechanism. */
static void
gather(const mg_event *events, size_t count, bool ranges, gathered *g)
{
	const double up = 1 + 8 * DBL_EPSILON;

	g->mu2 = g->rho = 0;
	g->n = 0;
	for (size_t i = 0; i < count; i++)
	{
		const mg_event *e = &events[i];
		double calls = (double) e->count;

		if (e->count == 0)
			continue;
		switch (e->kind)
		{
			case MG_EVENT_GAUSSIAN:
				g->mu2 = (g->mu2 + calls / e->param / e->param * up) * up;
				break;
			case MG_EVENT_POISSON_GAUSSIAN:
				if (e->rate == 1)
					g->mu2 = (g->mu2 + calls / e->param / e->param * up) * up;
				else if (e->rate > 0 && e->param < 1e7)
					add_pair(g, MG_PAIR_SUBSAMPLED_NORMAL, e->param, e->rate, e->count);
				else if (e->rate > 0)
					g->rho = (g->rho + mg_event_rho(e)) * up;
				break;
			case MG_EVENT_LAPLACE:
				add_pair(g, MG_PAIR_LAPLACE, up / e->param, 0, e->count);
				break;
			case MG_EVENT_DISCRETE_LAPLACE:
				add_pair(g, MG_PAIR_RESPONSE, up / e->param, 0, e->count);
				break;
			case MG_EVENT_DISCRETE_GAUSSIAN:
				if (e->param <= 16384)
					add_pair(g, MG_PAIR_DISCRETE_NORMAL, e->param, 0, e->count);
				else
					g->rho = (g->rho + mg_event_rho(e)) * up;
				break;
			case MG_EVENT_EXPONENTIAL:
				if (ranges && e->param > 0)
					add_pair(g, MG_PAIR_RANGE, e->param, 0, e->count);
				else
					g->rho = (g->rho + mg_event_rho(e)) * up;
				break;
			case MG_EVENT_ZCDP:
			case MG_EVENT_GNMAX:
				g->rho = (g->rho + mg_event_rho(e)) * up;
				break;
		}
	}
	if (g->n == 0 && g->rho == 0)
		return;
	if (g->mu2 > 0)
		add_pair(g, MG_PAIR_NORMAL, sqrt(g->mu2) * up, 0, 1);
	if (g->rho > 0)
		add_pair(g, MG_PAIR_ZCDP, g->rho, 0, 1);
}

/* log sum_i mass[i] e^(t (first + i) h), with the mean and variance of the position under the tilted law. |t| h <= 4.
 */
static double
log_moments(const mg_loss *l, double h, double t, double *mean, double *variance)
{
	double factor[CHUNK], high = -INFINITY, s0 = 0, s1 = 0, s2 = 0;

	for (int k = 0; k < CHUNK; k++)
		factor[k] = exp(t * h * k);
	for (size_t i = 0; i < l->cells; i += CHUNK)
	{
		size_t most = l->cells - i < CHUNK ? l->cells - i : CHUNK;
		double sum = 0, first = 0, second = 0, at;

		for (size_t k = 0; k < most; k++)
		{
			double m = l->mass[i + k] * factor[k];

			sum += m;
			first += m * (double) k;
			second += m * (double) (k * k);
		}
		if (!(sum > 0))
			continue;
		at = t * h * (double) (l->first + (int64_t) i) + log(sum);
		if (at > high)
		{
			double shrink = exp(high - at);

			s0 *= shrink;
			s1 *= shrink;
			s2 *= shrink;
			high = at;
		}
		at = exp(at - high);
		first /= sum;
		second /= sum;
		s0 += at;
		s1 += at * ((double) i + first);
		s2 += at * ((double) i * (double) i + 2 * (double) i * first + second);
	}
	if (mean != NULL)
	{
		*mean = s1 / s0 + (double) l->first;
		*variance = fmax(s2 / s0 - s1 / s0 * (s1 / s0), 0);
	}
	return high + log(s0);
}

/* K(t) of all events. */
static double
total_log(const composition *c, double t)
{
	double sum = 0;

	for (size_t j = 0; j < c->n; j++)
		sum += (double) c->loss[j].count * log_moments(&c->loss[j], c->h, t, NULL, NULL);
	return sum;
}

/* The positions that are kept, in cells, and what is known of V. */
typedef struct window
{
	double tilt, log_sum;       /* t, K */
	int64_t low, high;          /* the window, both ends included */
	bool whole_low, whole_high; /* nothing lies outside on that side */
} window;

/*
 * Chernoff: the tilted mass at positions >= b is at most exp(K(t + s) - K(t) - s h b) for s > 0, and likewise below. A
 * few s about the one that would be best for a normal law.
 */
static mg_code
find_window(mg_ctx *ctx, const composition *c, double tilt, window *w)
{
	double mean = 0, variance = 0, least = 0, most = 0, s0, low = -INFINITY, high = INFINITY;

	w->tilt = tilt;
	w->log_sum = 0;
	for (size_t j = 0; j < c->n; j++)
	{
		double m, v, calls = (double) c->loss[j].count;

		w->log_sum += calls * log_moments(&c->loss[j], c->h, tilt, &m, &v);
		mean += calls * m;
		variance += calls * v;
		least += calls * (double) c->loss[j].first;
		most += calls * (double) (c->loss[j].first + (int64_t) c->loss[j].cells - 1);
	}
	MG_TRY(mg_poll(ctx));
	s0 = sqrt(2 * WRAPPED_LOG / fmax(variance, 1e-6)) / c->h;
	if (!isfinite(w->log_sum) || !(most - least < 0x1.0p60))
		return mg_fail(ctx, MG_INVALID, "a privacy loss is out of range");
	for (double s = 2 * s0; s > s0 / 40; s /= 2)
	{
		double up = s > 1 / c->h ? INFINITY : total_log(c, tilt + s) - w->log_sum;
		double down = s > 1 / c->h ? INFINITY : total_log(c, tilt - s) - w->log_sum;

		high = fmin(high, (up + WRAPPED_LOG) / (s * c->h));
		low = fmax(low, -(down + WRAPPED_LOG) / (s * c->h));
		MG_TRY(mg_poll(ctx));
		if (s < s0 / 2 && high < mean + 12 * sqrt(variance) && low > mean - 12 * sqrt(variance))
			break;
	}
	w->whole_high = !(ceil(high) < most);
	w->whole_low = !(floor(low) > least);
	w->high = (int64_t) (w->whole_high ? most : ceil(high));
	w->low = (int64_t) (w->whole_low ? least : floor(low));
	return MG_OK;
}

/* z = z^n (n >= 1) and u = u^n, over BLOCK numbers at a time; u bounds what |z| can be off by, see pld.c's header. */
static void
raise(double *re, double *im, double *bound, uint64_t n)
{
	double br[BLOCK], bi[BLOCK], bu[BLOCK];

	if (n == 1)
		return;
	memcpy(br, re, sizeof(br));
	memcpy(bi, im, sizeof(bi));
	memcpy(bu, bound, sizeof(bu));
	for (int bit = 62 - __builtin_clzll(n); bit >= 0; bit--)
	{
		bool odd = (n >> bit & 1) != 0;

		for (int i = 0; i < BLOCK; i++)
		{
			double r = re[i] * re[i] - im[i] * im[i];

			im[i] = 2 * re[i] * im[i];
			re[i] = r;
			bound[i] *= bound[i];
		}
		if (!odd)
			continue;
		for (int i = 0; i < BLOCK; i++)
		{
			double r = re[i] * br[i] - im[i] * bi[i];

			im[i] = im[i] * br[i] + re[i] * bi[i];
			re[i] = r;
			bound[i] *= bu[i];
		}
	}
}

/* The tilted masses of one event at their positions modulo the ring; their l1 norm is 1 to rounding. */
static void
place(const mg_loss *l, double h, double tilt, double log_sum, double *re, double *im, size_t n)
{
	double factor[CHUNK];

	memset(re, 0, n * sizeof(*re));
	memset(im, 0, n * sizeof(*im));
	for (int k = 0; k < CHUNK; k++)
		factor[k] = exp(tilt * h * k);
	for (size_t i = 0; i < l->cells; i += CHUNK)
	{
		size_t most = l->cells - i < CHUNK ? l->cells - i : CHUNK;
		double base = tilt * h * (double) (l->first + (int64_t) i) - log_sum, scale = exp(base);

		for (size_t k = 0; k < most; k++)
		{
			double m = l->mass[i + k], v;
			size_t at = (i + k) % (4 * n);

			if (!(m > 0))
				continue;
			v = base < 600 ? m * factor[k] * scale : exp(log(m) + tilt * h * (double) k + base);
			if (at >= 2 * n)
			{
				at -= 2 * n;
				v = -v;
			}
			if (at < n)
				re[at] += v;
			else
				im[at - n] += v;
		}
	}
}

/* V over the window and E, the bound of the error of each of its cells. */
typedef struct convolved
{
	double *re, *im; /* positions offset .. offset + 2n - 1, and on with changed sign */
	size_t n;
	int64_t offset;
	double error;
} convolved;

static mg_code
convolve(mg_ctx *ctx, mg_arena *arena, const composition *c, const window *w, convolved *out)
{
	unsigned log2n = 9; /* BLOCK */
	double *re, *im, *bound, sum = 0, gap = 0, transform;
	size_t n;
	mg_fft *plan;

	while (((int64_t) 2 << log2n) < w->high - w->low + 2)
		log2n++;
	n = (size_t) 1 << log2n;
	MG_TRY(mg_fft_create(ctx, arena, log2n, &plan));
	MG_NEW(ctx, arena, re, n);
	MG_NEW(ctx, arena, im, n);
	MG_NEW(ctx, arena, bound, n);
	MG_NEW(ctx, arena, out->re, n);
	MG_NEW(ctx, arena, out->im, n);
	transform = mg_ring_error(plan) * (1 + 1e-6) + 8 * DBL_EPSILON;
	out->n = n;
	out->offset = 0;
	for (size_t i = 0; i < n; i++)
	{
		out->re[i] = bound[i] = 1;
		out->im[i] = 0;
	}
	for (size_t j = 0; j < c->n; j++)
	{
		const mg_loss *l = &c->loss[j];

		place(l, c->h, w->tilt, log_moments(l, c->h, w->tilt, NULL, NULL), re, im, n);
		out->offset += (int64_t) l->count * l->first;
		mg_ring_forward(plan, re, im);
		MG_TRY(mg_poll(ctx));
		for (size_t b = 0; b < n; b += BLOCK)
		{
			double u[BLOCK];

			for (int i = 0; i < BLOCK; i++)
			{
				double r = re[b + i], m = im[b + i];

				/* the modulus, its rounding and that of the products to come, and the transform's error */
				u[i] = sqrt(r * r + m * m) * (1 + 4 * DBL_EPSILON) + transform;
			}
			raise(re + b, im + b, u, l->count);
			for (int i = 0; i < BLOCK; i++)
			{
				double r = out->re[b + i] * re[b + i] - out->im[b + i] * im[b + i];

				out->im[b + i] = out->im[b + i] * re[b + i] + out->re[b + i] * im[b + i];
				out->re[b + i] = r;
				bound[b + i] *= u[i] * (1 + 2 * DBL_EPSILON);
			}
			if (b % 65536 == 0)
				MG_TRY(mg_poll(ctx));
		}
	}
	for (size_t i = 0; i < n; i++)
	{
		double r = sqrt(out->re[i] * out->re[i] + out->im[i] * out->im[i]);

		sum += r;
		gap += bound[i] > r ? bound[i] - r : 0;
		gap += bound[i] * 4 * DBL_EPSILON;
	}
	mg_ring_inverse(plan, out->re, out->im);
	out->error = (gap + sum * transform) / (double) n * (1 + (double) n * DBL_EPSILON);
	return mg_poll(ctx);
}

/* V at a position, from above, as a mass: what wraps around may be missing here. */
static double
mass_at(const convolved *v, const window *w, int64_t position)
{
	int64_t ring = 2 * (int64_t) v->n, r = (position - v->offset) % (2 * ring);
	double m;

	if (r < 0)
		r += 2 * ring;
	m = r < ring ? (r < (int64_t) v->n ? v->re[r] : v->im[r - (int64_t) v->n])
				 : -(r - ring < (int64_t) v->n ? v->re[r - ring] : v->im[r - ring - (int64_t) v->n]);
	m += v->error + (w->whole_low ? 0 : exp(-WRAPPED_LOG)) + (w->whole_high ? 0 : exp(-WRAPPED_LOG));
	return m > 0 ? m : 0;
}

/*
 * delta at `epsilon`, or, where `for_delta`, the least epsilon >= 0 at which delta is `delta`. From the far end
 * inwards, D = delta(y), T = sum over y' >= y of W(y') e^(y - y'): one cell on, D grows by (1 - e^-h) T. Only positive
 * terms.
 */
static double
solve(const composition *c, const window *w, const convolved *v, int direction, double lambda, bool for_delta,
	  double given)
{
	double grown = exp(c->total * MG_LOSS_ERROR) * (1 + 1e-9), fixed = 0, d = 0, t = 0, fall = exp(-c->h), y = 0;
	double span = -expm1(-c->h), target = given;
	int64_t far = direction > 0 ? w->high : -w->low, near = direction > 0 ? w->low : -w->high;

	for (size_t j = 0; j < c->n; j++)
		fixed += (double) c->loss[j].count * (direction > 0 ? c->loss[j].above : c->loss[j].below);
	if (!(direction > 0 ? w->whole_high : w->whole_low))
		fixed += exp(w->log_sum - lambda * c->h * (double) far - WRAPPED_LOG);
	fixed *= 1 + 1e-9;
	if (for_delta)
	{
		target = given / grown - fixed;
		if (!(target > 0))
			return INFINITY;
	}
	for (int64_t p = far; p >= near; p--)
	{
		double before = t, step;

		y = c->h * (double) p;
		if (!for_delta && y <= given)
		{
			step = d + before * -expm1(given - (y + c->h));
			return grown * (step + fixed);
		}
		step = d + span * before;
		if (for_delta && (step > target || y < 0))
		{
			/* between y and y + h */
			double epsilon = before > 0 ? y + c->h + log1p(-fmin((target - d) / before, 1)) : 0;

			return epsilon > 0 ? epsilon * (1 + 1e-12) : 0;
		}
		d = step;
		t = before * fall + mass_at(v, w, direction * p) * exp(w->log_sum - lambda * y);
	}
	/* The window ended: all mass is above y. */
	if (for_delta)
		return y > 0 ? y : 0;
	return 1;
}

/* The grid: fine against epsilon, and adding little variance; `epsilon` and `variance` need not be exact. */
static double
choose_step(const composition *c, double epsilon, double variance)
{
	double h = FRACTION * epsilon, calls = 0, widest = 0;

	for (size_t j = 0; j < c->n; j++)
	{
		calls += (double) c->pair[j].count;
		widest = fmax(widest, mg_pair_reach(&c->pair[j], c->tail));
	}
	h = fmin(h, 2 * sqrt(INFLATION * variance / calls));
	h = fmax(h, 24 * sqrt(variance) / ((double) ((int64_t) 2 << LOG_LARGEST)));
	return fmax(h, 4 * widest / (double) MG_LOSS_MOST_CELLS);
}

/* One grid: both directions where they differ. MG_OK with *fits false: the window is too long, the grid must be
 * coarser. */
static mg_code
compose_on(mg_ctx *ctx, composition *c, double lambda, bool for_delta, double given, double *answer, bool *fits)
{
	bool symmetric = true;

	*answer = 0;
	*fits = true;
	for (size_t j = 0; j < c->n; j++)
	{
		MG_TRY(mg_loss_discretise(ctx, c->arena, &c->pair[j], c->h, c->tail, &c->loss[j]));
		symmetric &= c->pair[j].kind != MG_PAIR_SUBSAMPLED_NORMAL;
	}
	for (int direction = 1; direction >= (symmetric ? 1 : -1); direction -= 2)
	{
		mg_arena *scratch;
		window w;
		convolved v;
		mg_code code;
		double here;

		MG_TRY(find_window(ctx, c, direction > 0 ? lambda : -(1 + lambda), &w));
		if (w.high - w.low + 2 > (int64_t) 2 << LOG_LARGEST)
		{
			*fits = false;
			return MG_OK;
		}
		scratch = mg_arena_create(0);
		if (scratch == NULL)
			return mg_fail(ctx, MG_NOMEM, "out of memory");
		code = convolve(ctx, scratch, c, &w, &v);
		here = code == MG_OK ? solve(c, &w, &v, direction, lambda, for_delta, given) : 0;
		mg_arena_destroy(scratch);
		MG_TRY(code);
		*answer = fmax(*answer, here);
	}
	return MG_OK;
}

/*
 * What the pairs together cost: epsilon at `given` = delta, or delta at `given` = epsilon. `at` is the Renyi order to
 * tilt by, `rough` the Renyi epsilon (delta).
 */
static mg_code
compose_pairs(mg_ctx *ctx, gathered *g, mg_rdp_point at, bool for_delta, double given, double rough, double *answer)
{
	composition c = {.pair = g->pair, .n = g->n};
	double delta = for_delta ? given : rough, epsilon = for_delta ? rough : given;
	double lambda = at.alpha - 1, variance = 2 * at.rdp / at.alpha;
	bool fits = false;

	for (size_t j = 0; j < g->n; j++)
		c.total += (double) g->pair[j].count;
	*answer = for_delta ? INFINITY : 1;
	/* Beyond these figures Renyi's answer stands. */
	if (!(c.total < 1e10) || !(variance > 0) || !isfinite(variance) || !(epsilon >= 0) || !(delta > 0))
		return MG_OK;
	c.tail = fmax(1e-7 * delta / c.total / (double) g->n, 1e-290);
	for (size_t j = 0; j < g->n; j++)
		if (!(mg_pair_reach(&g->pair[j], c.tail) < LARGEST_LOSS))
			return MG_OK;
	c.h = choose_step(&c, fmax(epsilon, sqrt(variance)), variance);
	for (int tries = 0; tries < 8 && !fits; tries++, c.h *= 2)
	{
		mg_code code = MG_OK;
		double tilt = fmin(lambda, 2 / c.h);

		c.arena = mg_arena_create(0);
		c.loss = c.arena == NULL ? NULL : mg_arena_alloc(c.arena, g->n, sizeof(*c.loss));
		if (c.loss == NULL)
			code = mg_fail(ctx, MG_NOMEM, "out of memory");
		else
			code = compose_on(ctx, &c, tilt, for_delta, given, answer, &fits);
		mg_arena_destroy(c.arena);
		MG_TRY(code);
	}
	if (!fits)
		*answer = for_delta ? INFINITY : 1;
	return MG_OK;
}

/*
 * The Renyi answer can be far off (small q and few steps), and with it the tilt, the grid and the tails that are cut in
 * proportion to it. Then the answer takes its place, as often as that pays.
 */
static mg_code
refine_pairs(mg_ctx *ctx, const mg_event *events, size_t count, gathered *g, bool for_delta, double given, double rough,
			 double *answer)
{
	mg_rdp_point at;

	at = for_delta ? mg_best_order_for_delta(events, count, given) : mg_best_order_for_epsilon(events, count, given);
	*answer = INFINITY;
	for (int pass = 0; pass < MOST_PASSES; pass++)
	{
		double here;

		MG_TRY(compose_pairs(ctx, g, at, for_delta, given, rough, &here));
		if (here < *answer)
			*answer = here;
		if (!(here > 0) || !(here < GOOD_GUESS * rough))
			break;
		rough = here;
		if (for_delta)
			at = mg_best_order_for_epsilon(events, count, here);
	}
	return MG_OK;
}

/* Either question; *answer is the Renyi answer, which is improved. */
static mg_code
tighten(mg_ctx *ctx, const mg_event *events, size_t count, bool for_delta, double given, double *answer)
{
	mg_arena *arena = mg_arena_create(0);
	gathered g = {0};
	bool ranges = false;
	mg_code code = MG_OK;

	if (arena == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	for (size_t i = 0; i < count; i++)
		ranges |= events[i].kind == MG_EVENT_EXPONENTIAL && events[i].count > 0;
	g.pair = mg_arena_alloc(arena, count + 2, sizeof(*g.pair));
	if (g.pair == NULL)
		code = mg_fail(ctx, MG_NOMEM, "out of memory");
	for (int reading = 0; code == MG_OK && reading <= (ranges ? 1 : 0); reading++)
	{
		double here;

		gather(events, count, reading == 1, &g);
		if (g.n == 0 && g.rho == 0)
			here = for_delta ? mg_gaussian_epsilon(sqrt(g.mu2), given) : mg_gaussian_delta(sqrt(g.mu2), given);
		else if (g.n == 1 && g.pair[0].kind == MG_PAIR_ZCDP)
			here = for_delta ? mg_zcdp_epsilon(g.rho, given) : mg_zcdp_delta(g.rho, given);
		else
			code = refine_pairs(ctx, events, count, &g, for_delta, given, *answer, &here);
		if (code == MG_OK && here < *answer)
			*answer = here;
	}
	mg_arena_destroy(arena);
	return code;
}

mg_code
mg_pld_epsilon(mg_ctx *ctx, const mg_event *events, size_t count, double delta, double *epsilon)
{
	double atoms = mg_compose_atoms(events, count), left;

	*epsilon = mg_compose_epsilon(events, count, delta);
	left = nextafter(delta - atoms, 0);
	if (!isfinite(atoms) || !(left > 0) || delta >= 1 || *epsilon == 0)
		return MG_OK;
	return tighten(ctx, events, count, true, left, epsilon);
}

mg_code
mg_pld_delta(mg_ctx *ctx, const mg_event *events, size_t count, double epsilon, double *delta)
{
	double atoms = mg_compose_atoms(events, count), rest;

	*delta = mg_compose_delta(events, count, epsilon);
	rest = *delta - atoms;
	if (!isfinite(atoms) || !(epsilon >= 0) || !isfinite(epsilon) || !(rest > 0))
		return MG_OK;
	MG_TRY(tighten(ctx, events, count, false, epsilon, &rest));
	rest = (rest + atoms) * (1 + 4 * DBL_EPSILON);
	if (rest < *delta)
		*delta = rest;
	return MG_OK;
}
