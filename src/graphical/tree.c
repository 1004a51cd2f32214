/*
 * graphical/tree.c: exact least squares on a tree of pairs of columns (plain Private-PGM, no prior), see
 * mg_estimate_tree.
 *
 * On a tree, consistent non-negative pair tables are the marginals of some distribution, so the problem is a
 * quadratic program: nodes u (columns) with z_u >= 0 and sum z_u = N, edges e = (u, v) with z_e >= 0, and for
 * each edge two constraints: its margins are z_u and z_v. With multipliers l_eu(x) for these (and L_u = sum of
 * l_eu over the edges at u),
 *
 * z_e = max(0, y_e + s_e^2 (l_eu + l_ev)), z_u = max(0, y_u - v_u (L_u + nu_u)), nu_u such that z_u sums to N
 *     D(l) = sum_e sum (y_e^2 - z_e^2) / (2 s_e^2)  +  sum_u sum [ (z_u - y_u)^2 / (2 v_u) + L_u z_u ]
 *     grad wrt l_eu = z_u - (margin of z_e on u)
 *
 * D is concave and piecewise quadratic; its curvature is in units of variances and counts of active cells, not
 * of masses, so that L-BFGS converges alike for little and for much noise, and no iteration needs an
 * exponential. Every hundredth of the way or so the edges are made exactly consistent (conditionals along the
 * tree): that point's loss less D is the duality gap, which stops the search.
 *
 * Memory: an arena of its own for the time of the call.
 */
#include "graphical/estimate.h"

#include "graphical/lbfgs.h"

#include <math.h>
#include <string.h>

/* Iterations between two looks at the gap. */
#define LOOK_EVERY 8
/*
 * Share of the independent product that is mixed into each edge before conditionals are taken, so that no
 * slice is empty.
 */
#define MIX 1e-12

typedef struct node
{
	uint32_t n;
	double *y, *var; /* [n] */
	double *z;       /* [n] */
	double *pull;    /* [n] sum of the multipliers */
} node;

typedef struct edge
{
	uint32_t clique, u, v;
	const double *y;
	double var, constant; /* constant: sum y^2 / (2 var) */
	size_t at_u, at_v;    /* multipliers l_eu, l_ev; also into `curve` */
} edge;

typedef struct forest
{
	const mg_junction *j;
	double total;
	node *node;
	uint32_t nedges;
	edge *edge;
	size_t dim;
	double *curve;   /* [dim] diagonal of the Hessian at the point evaluated last */
	double *scaled;  /* [largest column] */
	mg_factor *best; /* consistent tables at the last look */
	mg_messages messages;
	double loss, gap;
	size_t cells;
	uint32_t evaluations;
	const mg_estimate_options *opt;
} forest;

static mg_code
set_node(mg_ctx *ctx, mg_arena *a, forest *t, const mg_measurement *m)
{
	node *u = &t->node[m->cols[0]];

	if (u->y != NULL)
		return mg_fail(ctx, MG_INVALID, "a column was measured twice");
	MG_NEW(ctx, a, u->y, u->n);
	MG_NEW(ctx, a, u->var, u->n);
	for (uint32_t x = 0; x < u->n; x++)
	{
		u->y[x] = m->y[x];
		u->var[x] = m->cell_var != NULL ? m->cell_var[x] : m->var;
		if (!(u->var[x] > 0) || !isfinite(u->var[x]) || !isfinite(u->y[x]))
			return mg_fail(ctx, MG_INVALID, "a measurement is not finite, or its variance is not positive");
	}
	t->cells += u->n;
	return MG_OK;
}

static mg_code
set_edge(mg_ctx *ctx, forest *t, const mg_measurement *m)
{
	edge *e = &t->edge[t->nedges++];
	size_t cells;

	e->clique = mg_junction_find(t->j, m->cols, 2);
	if (e->clique == t->j->count || t->j->clique[e->clique].k != 2)
		return mg_fail(ctx, MG_INVALID, "a measured pair is not a clique of the tree");
	for (uint32_t i = 0; i + 1 < t->nedges; i++)
	{
		if (t->edge[i].clique == e->clique)
			return mg_fail(ctx, MG_INVALID, "a pair was measured twice");
	}
	e->u = m->cols[0];
	e->v = m->cols[1];
	e->y = m->y;
	e->var = m->var;
	cells = t->j->clique[e->clique].cells;
	if (!(e->var > 0) || !isfinite(e->var) || m->cell_var != NULL)
		return mg_fail(ctx, MG_INVALID, "a pair's measurement needs one positive variance");
	for (size_t x = 0; x < cells; x++)
	{
		if (!isfinite(e->y[x]))
			return mg_fail(ctx, MG_INVALID, "a measurement is not finite");
		e->constant += e->y[x] * e->y[x] / (2 * e->var);
	}
	e->at_u = t->dim;
	e->at_v = e->at_u + t->node[e->u].n;
	t->dim = e->at_v + t->node[e->v].n;
	t->cells += cells;
	return MG_OK;
}

static mg_code
set_up(mg_ctx *ctx, mg_arena *a, forest *t, const mg_measurement *m, uint32_t count)
{
	const mg_junction *j = t->j;
	uint32_t largest = 0, pairs = 0;

	MG_NEW(ctx, a, t->node, j->ncolumns);
	MG_NEW(ctx, a, t->edge, (size_t) count + 1);
	for (uint32_t i = 0; i < j->ncolumns; i++)
	{
		t->node[i].n = j->size[i];
		largest = j->size[i] > largest ? j->size[i] : largest;
		MG_NEW(ctx, a, t->node[i].z, j->size[i]);
		MG_NEW(ctx, a, t->node[i].pull, j->size[i]);
	}
	for (uint32_t i = 0; i < count; i++)
	{
		if (m[i].k < 1 || m[i].k > 2)
			return mg_fail(ctx, MG_INVALID, "a measurement is neither of a column nor of a pair");
		MG_TRY(m[i].k == 1 ? set_node(ctx, a, t, &m[i]) : set_edge(ctx, t, &m[i]));
	}
	for (uint32_t c = 0; c < j->count; c++)
		pairs += j->clique[c].k > 1;
	for (uint32_t i = 0; i < j->ncolumns; i++)
	{
		if (t->node[i].y == NULL)
			return mg_fail(ctx, MG_INVALID, "a column was not measured");
	}
	if (pairs != t->nedges)
		return mg_fail(ctx, MG_INVALID, "a clique of the tree was not measured");
	MG_NEW(ctx, a, t->curve, t->dim + 1);
	MG_NEW(ctx, a, t->scaled, (size_t) largest + 1);
	MG_TRY(mg_junction_factors(ctx, a, j, &t->best));
	return mg_messages_make(ctx, a, j, &t->messages);
}

/*
 * z = max(0, y - v (pull + nu)) with sum total. The sum falls in nu and is convex and piecewise linear, so
 * Newton's steps from the left, where all cells are taken as active, rise to the root in finitely many. Returns
 * the node's part of D.
 */
static double
solve_node(node *u, double total)
{
	double sum = 0, slope = 0, nu, value = 0;

	for (uint32_t x = 0; x < u->n; x++)
	{
		sum += u->y[x] - u->var[x] * u->pull[x];
		slope += u->var[x];
	}
	nu = (sum - total) / slope;
	for (uint32_t round = 0; round < u->n + 2; round++)
	{
		double next;

		sum = slope = 0;
		for (uint32_t x = 0; x < u->n; x++)
		{
			double z = u->y[x] - u->var[x] * (u->pull[x] + nu);

			u->z[x] = z > 0 ? z : 0;
			sum += u->z[x];
			slope += z > 0 ? u->var[x] : 0;
		}
		next = slope > 0 ? nu + (sum - total) / slope : nu;
		if (!(next > nu + 1e-15 * fabs(nu)))
			break;
		nu = next;
	}
	for (uint32_t x = 0; x < u->n; x++)
		value += (u->z[x] - u->y[x]) * (u->z[x] - u->y[x]) / (2 * u->var[x]) + u->pull[x] * u->z[x];
	return value;
}

/* Margins of z_e are added to grad, active cells times variance to curve. Returns the edge's part of D. */
static double
solve_edge(const forest *t, const edge *e, const double *l, double *grad, double *curve)
{
	uint32_t nu = t->node[e->u].n, nv = t->node[e->v].n;
	const double *y = e->y;
	double squares = 0, *col = t->scaled;
	double *grad_v = grad + e->at_v, *curve_v = curve + e->at_v;

	for (uint32_t b = 0; b < nv; b++)
		col[b] = e->var * l[e->at_v + b];
	for (uint32_t a = 0; a < nu; a++, y += nv)
	{
		double row = e->var * l[e->at_u + a], sum = 0, active = 0;

		for (uint32_t b = 0; b < nv; b++)
		{
			double z = y[b] + row + col[b], on = z > 0 ? e->var : 0;

			z = z > 0 ? z : 0;
			sum += z;
			squares += z * z;
			active += on;
			grad_v[b] += z;
			curve_v[b] += on;
		}
		grad[e->at_u + a] += sum;
		curve[e->at_u + a] += active;
	}
	return e->constant - squares / (2 * e->var);
}

static double
evaluate(void *arg, const double *l, double *grad)
{
	forest *t = arg;
	double dual = 0;

	t->evaluations++;
	memset(grad, 0, t->dim * sizeof(double));
	memset(t->curve, 0, t->dim * sizeof(double));
	for (uint32_t i = 0; i < t->j->ncolumns; i++)
		memset(t->node[i].pull, 0, t->node[i].n * sizeof(double));
	for (uint32_t i = 0; i < t->nedges; i++)
	{
		const edge *e = &t->edge[i];

		dual += solve_edge(t, e, l, grad, t->curve);
		for (uint32_t x = 0; x < t->node[e->u].n; x++)
			t->node[e->u].pull[x] += l[e->at_u + x];
		for (uint32_t x = 0; x < t->node[e->v].n; x++)
			t->node[e->v].pull[x] += l[e->at_v + x];
	}
	for (uint32_t i = 0; i < t->j->ncolumns; i++)
		dual += solve_node(&t->node[i], t->total);
	for (uint32_t i = 0; i < t->nedges; i++)
	{
		const edge *e = &t->edge[i];
		const node *ends[2] = {&t->node[e->u], &t->node[e->v]};
		size_t at[2] = {e->at_u, e->at_v};

		for (int side = 0; side < 2; side++)
			for (uint32_t x = 0; x < ends[side]->n; x++)
			{
				grad[at[side] + x] -= ends[side]->z[x];
				t->curve[at[side] + x] += ends[side]->z[x] > 0 ? ends[side]->var[x] : 0;
			}
	}
	return -dual;
}

static void
precondition(void *arg, double *d)
{
	const forest *t = arg;

	for (uint32_t i = 0; i < t->nedges; i++)
	{
		const edge *e = &t->edge[i];
		size_t end = e->at_v + t->node[e->v].n;

		/* a slice without an active cell is flat for now: step as if it had one */
		for (size_t x = e->at_u; x < end; x++)
			d[x] /= t->curve[x] > e->var ? t->curve[x] : e->var;
	}
}

/* best = tables that agree exactly: the edges' conditionals along the tree, from the first clique's own margin on. */
static void
make_consistent(forest *t, const double *l)
{
	const mg_junction *j = t->j;

	for (uint32_t c = 0; c < j->count; c++)
	{
		if (j->clique[c].k == 1)
			memcpy(t->best[c].v, t->node[j->clique[c].cols[0]].z, t->best[c].cells * sizeof(double));
	}
	for (uint32_t i = 0; i < t->nedges; i++)
	{
		const edge *e = &t->edge[i];
		const node *u = &t->node[e->u], *v = &t->node[e->v];
		double *out = t->best[e->clique].v;
		const double *y = e->y;

		for (uint32_t a = 0; a < u->n; a++)
			for (uint32_t b = 0; b < v->n; b++)
			{
				double z = *y++ + e->var * (l[e->at_u + a] + l[e->at_v + b]);
				double product = (u->z[a] + t->total / u->n * 1e-6) * (v->z[b] + t->total / v->n * 1e-6) / t->total;

				*out++ = (z > 0 ? z : 0) + MIX * product;
			}
	}
	for (uint32_t c = 0; c < j->count; c++)
	{
		mg_factor *mass = &t->messages.peak[c], *sum = &t->messages.sum[c];

		mg_factor_marginal(&t->best[c], sum);
		if (c > 0)
			mg_factor_marginal(&t->best[j->clique[c].parent], mass);
		/* an empty separator, or none: its one cell is the total */
		if (mass->k == 0)
			mass->v[0] = t->total;
		for (size_t i = 0; i < mass->cells; i++)
			mass->v[i] = sum->v[i] > 0 ? mass->v[i] / sum->v[i] : 0;
		mg_factor_scale(&t->best[c], mass);
	}
}

static double
squared_error(const double *z, const double *y, const double *var, double one_var, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (z[i] - y[i]) * (z[i] - y[i]) / (2 * (var != NULL ? var[i] : one_var));
	return sum;
}

/* The loss of `best`. */
static double
loss_of(const forest *t)
{
	double loss = 0;

	for (uint32_t i = 0; i < t->nedges; i++)
	{
		const edge *e = &t->edge[i];

		loss += squared_error(t->best[e->clique].v, e->y, NULL, e->var, t->best[e->clique].cells);
	}
	for (uint32_t i = 0; i < t->j->ncolumns; i++)
	{
		const node *u = &t->node[i];
		mg_factor margin = {1, &i, &u->n, u->n, t->scaled};

		mg_factor_marginal(&t->best[mg_junction_find(t->j, &i, 1)], &margin);
		loss += squared_error(margin.v, u->y, u->var, 0, u->n);
	}
	return loss;
}

static bool
done(void *arg, uint32_t iteration, const double *l, const double *grad, double value)
{
	forest *t = arg;

	if (iteration % LOOK_EVERY == 0)
	{
		make_consistent(t, l);
		t->loss = loss_of(t);
		t->gap = t->loss + value;
	}
	if (t->opt->watch != NULL && iteration > 0)
		t->opt->watch(t->opt->watch_arg, 0, iteration, -value, t->gap);
	return t->gap <= t->opt->tolerance * (double) t->cells;
}

static mg_code
run(mg_ctx *ctx, mg_arena *a, forest *t, const mg_estimate_options *opt, mg_factor *f, mg_estimate_report *report)
{
	mg_lbfgs search = {.dim = t->dim,
					   .evaluate = evaluate,
					   .precondition = precondition,
					   .done = done,
					   .arg = t,
					   .max_iterations = opt->max_iterations};
	double *l, *grad, value;

	MG_NEW(ctx, a, l, t->dim + 1);
	MG_NEW(ctx, a, grad, t->dim + 1);
	t->opt = opt;
	MG_TRY(mg_lbfgs_minimise(ctx, a, &search, l, &report->iterations));
	/* the last evaluation may have been a rejected trial, and the last look some iterations ago */
	value = evaluate(t, l, grad);
	make_consistent(t, l);
	report->loss = loss_of(t);
	report->gap = report->loss + value > 0 ? report->loss + value : 0;
	report->evaluations = t->evaluations;
	for (uint32_t c = 0; c < t->j->count; c++)
		memcpy(f[c].v, t->best[c].v, f[c].cells * sizeof(double));
	mg_progress(ctx, "estimation", 1);
	return MG_OK;
}

mg_code
mg_estimate_tree(mg_ctx *ctx, const mg_junction *j, const mg_measurement *m, uint32_t count, double total,
				 const mg_estimate_options *opt, mg_factor *f, mg_estimate_report *report)
{
	mg_arena *a = mg_arena_create(0);
	forest t = {.j = j, .total = total};
	mg_code code;

	if (a == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	if (!(total > 0) || !isfinite(total))
		code = mg_fail(ctx, MG_INVALID, "estimation needs a positive total");
	else
		code = set_up(ctx, a, &t, m, count);
	if (code == MG_OK)
		code = run(ctx, a, &t, opt, f, report);
	mg_arena_destroy(a);
	return code;
}
