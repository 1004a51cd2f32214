/*
 * graphical/sweep.c: coordinate ascent of the dual, one measurement at a time, along the junction tree.
 *
 * With everything but the variables q_i of measurement i held, the dual is
 *
 *     <q_i + d, y_i> - gamma/2 <q_i + d, v_i (q_i + d)> - N log( sum_x z_i(x) exp(d(x)) / N )  +  constant
 *
 * and log(u) <= u - 1 bounds it from below by a sum over cells, whose maximum solves z e^d + gamma v (q + d) = y, one
 * equation a cell. Moving there never lowers the dual; without noise (v = 0) it is iterative proportional fitting
 * (Deming, Stephan 1940), which needs far fewer passes than gradients where measurements overlap and noise is small.
 *
 * The marginals stay right as they are needed (Hugin propagation: Jensen, Lauritzen, Olesen 1990): a walk around the
 * tree changes only the clique that it is at, and takes the news along each edge that it crosses, by the ratio of the
 * new separator marginal to the one of its last crossing. A sweep costs as much as one inference.
 */
#include "graphical/estimate_private.h"

#include <math.h>
#include <string.h>

/* Newton's method for one cell; a step that gets this near is the last. */
#define MOST_STEPS 12
#define NEAR 1e-7
/* A cell of less mass may have lost it to rounding: its variable moves as if it had none, and the next inference shows.
 */
#define LEAST_MASS 1e-250
#define MOST_MOVE 50

typedef struct crossing
{
	uint32_t from, to, edge; /* edge: the clique whose separator it is */
} crossing;

struct mge_sweep
{
	mge_problem *p;
	uint32_t *first, *next; /* measurements at home in a clique, as lists; UINT32_MAX ends */
	uint32_t ncrossings;
	crossing *crossing;   /* a walk that starts and ends at the first clique and visits all */
	bool *visited;        /* [cliques] in this sweep */
	mg_factor *separator; /* [cliques] marginals at the last crossing */
	double *scale;        /* [cells of the largest separator] */
	double *mass;         /* [cells of the largest measurement] */
};

/* The walk: down to each child in turn, and back. */
static mg_code
plan_walk(mg_ctx *ctx, mg_arena *a, mge_sweep *s)
{
	const mg_junction *j = s->p->j;
	uint32_t *at, *child, *sibling, here = 0;

	MG_NEW(ctx, a, s->crossing, 2 * (size_t) j->count);
	MG_NEW(ctx, a, child, j->count);
	MG_NEW(ctx, a, sibling, j->count);
	MG_NEW(ctx, a, at, j->count);
	for (uint32_t c = 0; c < j->count; c++)
		child[c] = sibling[c] = UINT32_MAX;
	for (uint32_t c = j->count; c-- > 1;)
	{
		sibling[c] = child[j->clique[c].parent];
		child[j->clique[c].parent] = c;
	}
	memcpy(at, child, j->count * sizeof(*at));
	for (;;)
	{
		uint32_t down = at[here];

		if (down != UINT32_MAX)
		{
			at[here] = sibling[down];
			s->crossing[s->ncrossings++] = (crossing){here, down, down};
			here = down;
		}
		else if (here == 0)
			return MG_OK;
		else
		{
			s->crossing[s->ncrossings++] = (crossing){here, j->clique[here].parent, here};
			here = j->clique[here].parent;
		}
	}
}

mg_code
mge_sweep_make(mg_ctx *ctx, mg_arena *a, mge_problem *p, mge_sweep **out)
{
	size_t most = 1, most_measured = 1;
	mge_sweep *s;

	MG_NEW(ctx, a, s, 1);
	s->p = p;
	MG_NEW(ctx, a, s->first, p->j->count);
	MG_NEW(ctx, a, s->next, (size_t) p->count + 1);
	MG_NEW(ctx, a, s->visited, p->j->count);
	MG_NEW(ctx, a, s->separator, p->j->count);
	for (uint32_t c = 0; c < p->j->count; c++)
	{
		s->first[c] = UINT32_MAX;
		MG_TRY(mg_factor_make(ctx, a, p->j->clique[c].sep, p->j->clique[c].nsep, p->j->size, &s->separator[c]));
		most = s->separator[c].cells > most ? s->separator[c].cells : most;
	}
	for (uint32_t i = p->count; i-- > 0;)
	{
		s->next[i] = s->first[p->home[i]];
		s->first[p->home[i]] = i;
		most_measured = p->scope[i].cells > most_measured ? p->scope[i].cells : most_measured;
	}
	MG_NEW(ctx, a, s->scale, most);
	MG_NEW(ctx, a, s->mass, most_measured);
	MG_TRY(plan_walk(ctx, a, s));
	*out = s;
	return MG_OK;
}

/*
 * d with z e^d + a (q + d) = y, a > 0: the left side rises and is convex, so Newton's method comes down to the root
 * from any point at or above it. With r = y - a q that is log(r / z) where r > z, and 0 otherwise.
 */
static double
solve(double z, double a, double q, double y)
{
	double r = y - a * q, d = r > z ? log(r / z) : 0;

	for (int i = 0; i < MOST_STEPS; i++)
	{
		double e = z * exp(d), step = (e + a * d - r) / (e + a);

		d -= step;
		if (fabs(step) < NEAR)
			break;
	}
	return d;
}

/* The best move for measurement i, given the rest; its clique follows. */
static void
move(mge_sweep *s, uint32_t i, double *q)
{
	mge_problem *p = s->p;
	mg_factor view = p->scope[i];
	const double *y = p->y + p->start[i], *var = p->var + p->start[i];
	const bool *dead = p->dead + p->start[i];
	double sum = 0;

	q += p->start[i];
	view.v = s->mass;
	mg_factor_marginal(&p->work[p->home[i]], &view);
	for (size_t x = 0; x < view.cells; x++)
	{
		double z = view.v[x], a = p->gamma * var[x], d = 0;

		if (!dead[x])
		{
			d = z > LEAST_MASS ? solve(z, a, q[x], y[x]) : y[x] / a - q[x];
			d = fmin(fmax(d, -MOST_MOVE), MOST_MOVE);
			q[x] += d;
		}
		view.v[x] = exp(d);
		sum += z * view.v[x];
	}
	for (size_t x = 0; x < view.cells; x++)
		view.v[x] *= p->total / sum;
	mg_factor_scale(&p->work[p->home[i]], &view);
}

static void
cross(mge_sweep *s, const crossing *c)
{
	mg_factor *old = &s->separator[c->edge], now = *old;

	now.v = s->scale;
	mg_factor_marginal(&s->p->work[c->from], &now);
	for (size_t x = 0; x < now.cells; x++)
	{
		double mass = now.v[x];

		now.v[x] = old->v[x] > 0 ? mass / old->v[x] : 0;
		old->v[x] = mass;
	}
	mg_factor_scale(&s->p->work[c->to], &now);
}

static void
visit(mge_sweep *s, uint32_t clique, double *q)
{
	if (s->visited[clique])
		return;
	s->visited[clique] = true;
	for (uint32_t i = s->first[clique]; i != UINT32_MAX; i = s->next[i])
		move(s, i, q);
}

void
mge_sweep_begin(mge_sweep *s)
{
	for (uint32_t c = 1; c < s->p->j->count; c++)
		mg_factor_marginal(&s->p->work[c], &s->separator[c]);
}

void
mge_sweep_run(mge_sweep *s, double *q)
{
	memset(s->visited, 0, s->p->j->count * sizeof(*s->visited));
	visit(s, 0, q);
	for (uint32_t i = 0; i < s->ncrossings; i++)
	{
		cross(s, &s->crossing[i]);
		visit(s, s->crossing[i].to, q);
	}
}
