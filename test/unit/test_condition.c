/*
 * test/unit/test_condition.c: models under conditions. Inference against an enumeration of the whole joint; rows
 * against rejection, which needs no inference: the model's own rows, those kept that satisfy the condition.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graphical/body.h"
#include "graphical/graphical.h"
#include "synthesis/condition.h"
#include "world.h"

#define COLUMNS 6
#define CLIQUES 4

typedef struct world
{
	WORLD;
} world;

static int
set_up(void **state)
{
	return make_world(state, sizeof(world), 5150) == NULL;
}

static double
unit(world *w)
{
	return mg_rng_unit(&w->rng);
}

static void *
zeros(world *w, size_t n, size_t size)
{
	void *p = mg_arena_alloc(w->a, n, size);

	assert_non_null(p);
	return p;
}

/* ---- models: a forest of two parts, one clique of three ---- */

static const uint32_t ab[] = {0, 1}, bcd[] = {1, 2, 3}, de[] = {3, 4}, lone[] = {5};
static const mg_column_set net[CLIQUES] = {{2, ab, 0}, {3, bcd, 0}, {2, de, 0}, {1, lone, 0}};
static const char *const names[COLUMNS] = {"a", "b", "c", "d", "e", "f"};

typedef struct oracle
{
	uint32_t size[COLUMNS];
	size_t cells;
	double *p; /* [cells] the joint, sums to 1; the last column fastest */
} oracle;

static uint32_t
code_of(const oracle *o, size_t cell, uint32_t col)
{
	for (uint32_t i = COLUMNS; --i > col;)
		cell /= o->size[i];
	return (uint32_t) (cell % o->size[col]);
}

/* Random potentials over the cliques of a model whose columns are there, a share of them impossible; the joint by
 * enumeration of the potentials. False where everything came out impossible. */
static bool
fill_body(world *w, mg_model *m, double spread, double impossible, oracle *o)
{
	mg_graphical *g = mg_arena_alloc(m->arena, 1, sizeof(*g));
	mg_messages messages;
	double sum = 0;

	m->total = 5000;
	m->body = g;
	o->cells = 1;
	for (uint32_t i = 0; i < COLUMNS; i++)
	{
		o->size[i] = m->columns[i].ncoarse;
		o->cells *= o->size[i];
	}
	assert_int_equal(mg_junction_build(&w->ctx, m->arena, o->size, COLUMNS, net, CLIQUES, &g->tree), MG_OK);
	assert_int_equal(mg_junction_factors(&w->ctx, m->arena, &g->tree, &g->marginal), MG_OK);
	assert_int_equal(mg_messages_make(&w->ctx, w->a, &g->tree, &messages), MG_OK);
	o->p = zeros(w, o->cells, sizeof(double));
	for (uint32_t c = 0; c < CLIQUES; c++)
	{
		mg_factor *f = &g->marginal[c];

		for (size_t i = 0; i < f->cells; i++)
			f->v[i] = unit(w) < impossible ? -INFINITY : spread * (2 * unit(w) - 1);
		for (size_t x = 0; x < o->cells; x++)
		{
			size_t at = 0;

			for (uint32_t i = 0; i < f->k; i++)
				at = at * f->size[i] + code_of(o, x, f->cols[i]);
			o->p[x] += f->v[at];
		}
	}
	for (size_t x = 0; x < o->cells; x++)
		sum += o->p[x] = exp(o->p[x]);
	for (size_t x = 0; x < o->cells && sum > 0; x++)
		o->p[x] /= sum;
	mg_junction_calibrate(&g->tree, &messages, m->total, g->marginal);
	return sum > 0;
}

static mg_model *
coded_model(world *w, const uint32_t *sizes, double spread, double impossible, oracle *o)
{
	mg_model *m;

	assert_int_equal(mg_model_create(&w->ctx, &mg_method_mst, COLUMNS, 0, &m), MG_OK);
	for (uint32_t i = 0; i < COLUMNS; i++)
	{
		m->columns[i].ncoarse = sizes[i];
		m->columns[i].domain.name = names[i];
	}
	if (fill_body(w, m, spread, impossible, o))
		return m;
	mg_model_destroy(m);
	return NULL;
}

/* ---- inference ---- */

/* Some columns free, some codes of the others excluded. */
static void
random_weights(world *w, const oracle *o, double **weight)
{
	for (uint32_t i = 0; i < COLUMNS; i++)
	{
		weight[i] = NULL;
		if (below(w, 3) == 0)
			continue;
		weight[i] = zeros(w, o->size[i], sizeof(double));
		for (uint32_t c = 0; c < o->size[i]; c++)
			weight[i][c] = below(w, 3) == 0 ? 0 : below(w, 2) == 0 ? 1 : unit(w);
	}
}

/* Probability of the weights, times the chance that columns x and y have codes cx and cy (UINT32_MAX: any). */
static double
enumerate(const oracle *o, double *const *weight, uint32_t x, uint32_t cx, uint32_t y, uint32_t cy)
{
	double sum = 0;

	for (size_t cell = 0; cell < o->cells; cell++)
	{
		double p = o->p[cell];

		if ((cx != UINT32_MAX && code_of(o, cell, x) != cx) || (cy != UINT32_MAX && code_of(o, cell, y) != cy))
			continue;
		for (uint32_t i = 0; i < COLUMNS; i++)
			p *= weight[i] != NULL ? weight[i][code_of(o, cell, i)] : 1;
		sum += p;
	}
	return sum;
}

static double
inferred(world *w, const mg_model *m, double *const *weight)
{
	mg_sampler *s = NULL;
	double log_p = 0;
	mg_code code;

	mg_ctx_init(&w->ctx);
	code = m->method->condition(&w->ctx, m, (const double *const *) weight, &s, &log_p);
	if (code == MG_IMPOSSIBLE)
		return 0;
	assert_int_equal(code, MG_OK);
	s->destroy(s);
	return exp(log_p);
}

/* The weight of one column, of one code only. */
static double *
only(world *w, const oracle *o, double *const *weight, uint32_t col, uint32_t code)
{
	double *x = zeros(w, o->size[col], sizeof(double));

	x[code] = weight[col] != NULL ? weight[col][code] : 1;
	return x;
}

/* P(weights and two codes) for all pairs of codes of two columns: with P(weights), the conditional marginal. */
static void
check_pair(world *w, const mg_model *m, const oracle *o, double *const *weight, uint32_t x, uint32_t y)
{
	double *with[COLUMNS];

	for (uint32_t cx = 0; cx < o->size[x]; cx++)
		for (uint32_t cy = 0; cy < o->size[y]; cy++)
		{
			memcpy(with, weight, sizeof(with));
			with[x] = only(w, o, weight, x, cx);
			with[y] = only(w, o, weight, y, cy);
			assert_near(inferred(w, m, with), enumerate(o, weight, x, cx, y, cy), 1e-12);
		}
}

static void
inference_matches_enumeration(void **state)
{
	static const uint32_t sizes[COLUMNS] = {2, 3, 4, 3, 2, 3};
	world *w = *state;
	double *weight[COLUMNS];
	oracle o;

	for (int round = 0; round < 150; round++)
	{
		mg_model *m = coded_model(w, sizes, 2, round % 3 == 0 ? 0 : 0.25, &o);
		double p, expect;
		uint32_t x = below(w, COLUMNS), y = (x + 1 + below(w, COLUMNS - 1)) % COLUMNS;

		if (m == NULL)
			continue;
		random_weights(w, &o, weight);
		expect = enumerate(&o, weight, 0, UINT32_MAX, 0, UINT32_MAX);
		p = inferred(w, m, weight);
		assert_true((p > 0) == (expect > 0));
		assert_near(p, expect, 1e-12 * (1 + expect));
		if (round % 5 == 0)
			check_pair(w, m, &o, weight, x, y);
		mg_model_destroy(m);
		mg_arena_reset(w->a);
	}
}

/* Rows of the conditioned sampler follow the conditioned joint, all columns at once. */
static void
codes_follow_the_conditioned_joint(void **state)
{
	static const uint32_t sizes[COLUMNS] = {2, 3, 2, 3, 2, 3};
	enum
	{
		BATCHES = 12
	};
	world *w = *state;
	double *weight[COLUMNS], log_p, p, n = BATCHES * (double) MG_BATCH_ROWS;
	uint16_t *codes[COLUMNS];
	mg_sampler *s;
	oracle o;
	mg_model *m = coded_model(w, sizes, 1, 0.1, &o);
	uint32_t *count = zeros(w, o.cells, sizeof(uint32_t));
	double chi = 0, df = -1;

	assert_non_null(m);
	for (uint32_t i = 0; i < COLUMNS; i++)
	{
		codes[i] = zeros(w, MG_BATCH_ROWS, sizeof(uint16_t));
		weight[i] = i == 2 ? NULL : zeros(w, sizes[i], sizeof(double));
		for (uint32_t c = 0; c < sizes[i] && weight[i] != NULL; c++)
			weight[i][c] = i == 3 && c == 1 ? 0 : 0.1 + 0.9 * unit(w);
	}
	p = enumerate(&o, weight, 0, UINT32_MAX, 0, UINT32_MAX);
	assert_int_equal(m->method->condition(&w->ctx, m, (const double *const *) weight, &s, &log_p), MG_OK);
	for (int b = 0; b < BATCHES; b++)
	{
		assert_int_equal(s->batch(&w->ctx, s, &w->rng, MG_BATCH_ROWS, codes), MG_OK);
		for (uint32_t r = 0; r < MG_BATCH_ROWS; r++)
		{
			size_t at = 0;

			for (uint32_t i = 0; i < COLUMNS; i++)
				at = at * sizes[i] + codes[i][r];
			count[at]++;
		}
	}
	for (size_t x = 0; x < o.cells; x++)
	{
		double expect = n * o.p[x] / p;

		for (uint32_t i = 0; i < COLUMNS; i++)
			expect *= weight[i] != NULL ? weight[i][code_of(&o, x, i)] : 1;
		if (expect == 0)
			assert_int_equal(count[x], 0);
		else
		{
			chi += (count[x] - expect) * (count[x] - expect) / expect;
			df += 1;
		}
	}
	assert_true(df > 50);
	assert_true(chi < df + 5 * sqrt(2 * df));
	s->destroy(s);
	mg_model_destroy(m);
}

/*
 * Two codes that occur each, but never together, in columns of different cliques: zeros of two marginals exclude it, or
 * what estimation leaves in place of zeros. `log_residue`: of a cell, against 1.
 */
static void
check_impossible(world *w, double log_residue, bool impossible)
{
	static const uint32_t sizes[COLUMNS] = {2, 2, 1, 2, 2, 2};
	double zero_one[] = {0, 1}, one_zero[] = {1, 0}, *weight[COLUMNS] = {NULL};
	mg_sampler *s = NULL;
	oracle o;
	mg_model *m = coded_model(w, sizes, 0, 0, &o);
	mg_graphical *g;
	mg_messages messages;
	double log_p;

	assert_non_null(m);
	g = m->body;
	assert_int_equal(mg_messages_make(&w->ctx, w->a, &g->tree, &messages), MG_OK);
	for (uint32_t c = 0; c < CLIQUES; c++)
		memset(g->marginal[c].v, 0, g->marginal[c].cells * sizeof(double));
	/* a = b = d = e, by their logarithms */
	for (uint32_t c = 0; c < 3; c++)
		g->marginal[c].v[1] = g->marginal[c].v[2] = log_residue;
	mg_junction_calibrate(&g->tree, &messages, m->total, g->marginal);
	weight[0] = zero_one;
	weight[4] = zero_one;
	assert_near(inferred(w, m, weight), 0.5, 1e-7);
	weight[4] = one_zero;
	assert_int_equal(m->method->condition(&w->ctx, m, (const double *const *) weight, &s, &log_p),
					 impossible ? MG_IMPOSSIBLE : MG_OK);
	assert_true((s == NULL) == impossible);
	if (s != NULL)
	{
		assert_near(exp(log_p), 1.5 * exp(log_residue), 0.01 * exp(log_residue));
		s->destroy(s);
	}
	weight[0] = NULL;
	assert_near(inferred(w, m, weight), 0.5, 1e-7);
	mg_model_destroy(m);
}

static void
impossible_across_cliques(void **state)
{
	world *w = *state;

	check_impossible(w, -INFINITY, true);
	check_impossible(w, log(1e-12), true);
	check_impossible(w, log(1e-8), false);
}

/* Evidence on many columns may be less likely than any double; its rows are drawn all the same. */
static void
unlikely_beyond_doubles(void **state)
{
	static const uint32_t sizes[COLUMNS] = {2, 2, 2, 2, 2, 2};
	world *w = *state;
	double tiny[] = {0, 1e-300}, *weight[COLUMNS];
	uint16_t *codes[COLUMNS];
	mg_sampler *s;
	oracle o;
	mg_model *m = coded_model(w, sizes, 0.5, 0, &o);
	double log_p;

	for (uint32_t i = 0; i < COLUMNS; i++)
	{
		weight[i] = tiny;
		codes[i] = zeros(w, MG_BATCH_ROWS, sizeof(uint16_t));
	}
	assert_int_equal(m->method->condition(&w->ctx, m, (const double *const *) weight, &s, &log_p), MG_OK);
	assert_near(log_p, COLUMNS * log(1e-300) + log(o.p[o.cells - 1]), 1e-9 * -log_p);
	assert_int_equal(s->batch(&w->ctx, s, &w->rng, 100, codes), MG_OK);
	for (uint32_t i = 0; i < COLUMNS; i++)
		for (int r = 0; r < 100; r++)
			assert_int_equal(codes[i][r], 1);
	s->destroy(s);
	mg_model_destroy(m);
}

/* ---- random columns ---- */

static const mg_label labels[] = {{"red", 3}, {"blue", 4}, {"green", 5}, {"white", 5}, {"black", 5}};

static void
random_category(world *w, mg_column *c)
{
	uint32_t n = 2 + below(w, 4), merged = (n + 1) / 2;
	uint16_t *merge = zeros(w, n + 2, sizeof(uint16_t));

	c->domain.kind = MG_CATEGORY;
	c->domain.nlabels = n;
	c->domain.labels = labels;
	c->domain.has_other = below(w, 2) == 0;
	c->domain.other = c->domain.has_other && below(w, 2) == 0 ? "other" : NULL;
	c->nfine = n + 2;
	for (uint32_t i = 0; i < n; i++)
		merge[i] = (uint16_t) (i / 2);
	merge[n] = (uint16_t) (c->domain.has_other ? merged++ : 0);
	merge[n + 1] = (uint16_t) (c->domain.nullable ? merged++ : 0);
	c->merge = merge;
	c->ncoarse = merged;
}

/* The double nearest to the decimal of a multiple of step. */
static double
round_to(double v, double step)
{
	double k = rint(v / step);

	return step < 1 ? k / rint(1 / step) : k * step;
}

/*
 * Cells of a few steps each, or continuous ones, with single values between them. Continuous cells have widths that
 * rows are rounded to tenths in.
 */
static void
random_number(world *w, mg_column *c)
{
	static const double steps[] = {0, 1, 0.01, 0.5, 3};
	uint32_t n = 3 + below(w, 6), merged = 0;
	uint16_t *merge = zeros(w, n + 1, sizeof(uint16_t));
	mg_cell *cells = zeros(w, n, sizeof(mg_cell));
	double step = steps[below(w, 5)], scale = step > 0 ? step : 1.6, at;

	at = round_to(scale * (below(w, 40) - 10.0), scale);
	c->domain.kind = MG_NUMBER;
	c->domain.step = step;
	c->domain.lower = at;
	for (uint32_t i = 0; i < n; i++)
	{
		bool single = below(w, 4) == 0;

		cells[i].lower = at;
		cells[i].upper = single ? at : round_to(at + scale * (1 + below(w, 8)), scale);
		at = single ? round_to(at + scale, scale) : cells[i].upper;
		merge[i] = (uint16_t) merged;
		merged += below(w, 2) == 0 || i + 1 == n;
	}
	c->domain.upper = step > 0 ? round_to(at - step, step) : at;
	merge[n] = (uint16_t) (c->domain.nullable ? merged++ : 0);
	c->cells = cells;
	c->nfine = n + 1;
	c->merge = merge;
	c->ncoarse = merged;
}

static mg_model *
random_model(world *w, oracle *o)
{
	mg_model *m;

	assert_int_equal(mg_model_create(&w->ctx, &mg_method_mst, COLUMNS, 0, &m), MG_OK);
	for (uint32_t i = 0; i < COLUMNS; i++)
	{
		mg_column *c = &m->columns[i];
		double *fine;

		c->domain.name = names[i];
		c->domain.nullable = below(w, 2) == 0;
		if (below(w, 2) == 0)
			random_category(w, c);
		else
			random_number(w, c);
		fine = zeros(w, c->nfine, sizeof(double));
		for (uint32_t k = 0; k < c->nfine; k++)
			fine[k] = below(w, 5) == 0 ? 0 : 100 * unit(w);
		c->fine = fine;
		c->total = 5000;
	}
	if (fill_body(w, m, 1.5, 0.1, o))
		return m;
	mg_model_destroy(m);
	return NULL;
}

/* An end: a value of the column mostly, or near one; of a continuous column half way between two that rows have. */
static double
random_end(world *w, const mg_domain *d)
{
	double step = d->step > 0 ? d->step : 0.1;
	double v = d->lower + step * rint((d->upper - d->lower) / step * unit(w));

	return d->step == 0 ? v + 0.05 : below(w, 4) == 0 ? v + 0.3 * step : v;
}

static int
compare_doubles(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return (x > y) - (x < y);
}

static void
random_condition(world *w, const mg_model *m, uint32_t col, mg_condition *out)
{
	const mg_domain *d = &m->columns[col].domain;

	*out = (mg_condition){.col = col, .null = below(w, 3) == 0};
	if (d->kind == MG_CATEGORY)
	{
		bool *label = zeros(w, d->nlabels + 1, sizeof(bool));

		for (uint32_t i = 0; i <= d->nlabels; i++)
			label[i] = below(w, 2) == 0;
		out->label = label;
	}
	else
	{
		uint32_t n = 1 + below(w, 3);
		double *end = zeros(w, 2 * n, sizeof(double));
		mg_interval *v = zeros(w, n, sizeof(mg_interval));

		for (uint32_t i = 0; i < 2 * n; i++)
			end[i] = random_end(w, d);
		qsort(end, 2 * n, sizeof(double), compare_doubles);
		for (uint32_t i = 0; i < n; i++)
		{
			v[out->nintervals] = (mg_interval){end[2 * i], end[2 * i + 1]};
			out->nintervals += i == 0 || end[2 * i] > v[out->nintervals - 1].high;
		}
		if (below(w, 4) == 0)
			v[0].low = -INFINITY;
		if (below(w, 4) == 0)
			v[out->nintervals - 1].high = INFINITY;
		out->interval = v;
	}
}

static bool
satisfies(const mg_batch *b, const mg_model *m, const mg_condition *c, uint32_t row)
{
	const mg_values *v = &b->column[c->col];

	if (v->null[row])
		return c->null;
	if (m->columns[c->col].domain.kind == MG_CATEGORY)
		return c->label[v->label[row]];
	for (uint32_t i = 0; i < c->nintervals; i++)
		if (v->number[row] >= c->interval[i].low && v->number[row] <= c->interval[i].high)
			return true;
	return false;
}

/* ---- rows against rejection ---- */

#define BUCKETS 16
#define ROWS_BATCHES 4

/* What pairs of columns look like, in few buckets a column. */
typedef struct picture
{
	double rows;
	uint32_t pair[COLUMNS][COLUMNS][BUCKETS][BUCKETS];
} picture;

static uint32_t
bucket(const mg_batch *b, const mg_model *m, uint32_t col, uint32_t row)
{
	const mg_domain *d = &m->columns[col].domain;
	const mg_values *v = &b->column[col];

	if (v->null[row])
		return BUCKETS - 1;
	if (d->kind == MG_CATEGORY)
		return v->label[row];
	assert_true(v->number[row] >= d->lower && v->number[row] <= d->upper);
	return d->upper > d->lower ? (uint32_t) ((v->number[row] - d->lower) / (d->upper - d->lower) * (BUCKETS - 2)) : 0;
}

static void
add_row(picture *p, const mg_batch *b, const mg_model *m, uint32_t row)
{
	uint32_t at[COLUMNS];

	for (uint32_t i = 0; i < COLUMNS; i++)
		at[i] = bucket(b, m, i, row);
	for (uint32_t i = 0; i < COLUMNS; i++)
		for (uint32_t j = i; j < COLUMNS; j++)
			p->pair[i][j][at[i]][at[j]]++;
	p->rows += 1;
}

static bool
is_continuous(const mg_model *m, uint32_t col)
{
	return m->columns[col].domain.kind == MG_NUMBER && m->columns[col].domain.step == 0;
}

/* The same distribution, as far as so many rows say? Continuous values are rounded, finer where a cell is cut. */
static void
compare_pictures(const mg_model *m, const picture *a, const picture *b)
{
	for (uint32_t i = 0; i < COLUMNS; i++)
		for (uint32_t j = i; j < COLUMNS; j++)
			for (uint32_t x = 0; x < BUCKETS; x++)
				for (uint32_t y = 0; y < BUCKETS; y++)
				{
					double n = a->rows + b->rows, p = (a->pair[i][j][x][y] + b->pair[i][j][x][y]) / n;
					double off = a->pair[i][j][x][y] / a->rows - b->pair[i][j][x][y] / b->rows;
					double rounding = is_continuous(m, i) || is_continuous(m, j) ? 0.03 : 0;

					assert_true(fabs(off) <=
								6 * sqrt(p * (1 - p) * (1 / a->rows + 1 / b->rows)) + 4 / a->rows + rounding);
				}
}

/* Draws; keeps what satisfies the conditions in `p`; returns the share kept. */
static double
draw_rows(world *w, mg_stream *s, const mg_model *m, const mg_condition *c, uint32_t n, picture *p)
{
	const mg_batch *b;

	memset(p, 0, sizeof(*p));
	for (int i = 0; i < ROWS_BATCHES; i++)
	{
		assert_int_equal(mg_stream_next(&w->ctx, s, MG_BATCH_ROWS, &b), MG_OK);
		for (uint32_t row = 0; row < b->rows; row++)
		{
			bool kept = true;

			for (uint32_t k = 0; k < n && kept; k++)
				kept = satisfies(b, m, &c[k], row);
			if (kept)
				add_row(p, b, m, row);
		}
	}
	mg_stream_destroy(s);
	return p->rows / (ROWS_BATCHES * (double) MG_BATCH_ROWS);
}

/* Returns how probable the conditions were. */
static double
check_against_rejection(world *w, const mg_model *m, const mg_condition *c, uint32_t n)
{
	static picture all, given;
	uint8_t key[32] = {1, 2, 3}, other[32] = {9};
	mg_conditioned *cond;
	mg_stream *s;
	double share, p;
	mg_code code = mg_conditioned_create(&w->ctx, m, c, n, &cond);

	assert_int_equal(mg_stream_create(&w->ctx, m, key, &s), MG_OK);
	share = draw_rows(w, s, m, c, n, &all);
	if (code == MG_IMPOSSIBLE)
	{
		assert_true(share == 0);
		assert_true(w->ctx.message[0] != '\0' && w->ctx.hint[0] != '\0');
		mg_ctx_init(&w->ctx);
		return 0;
	}
	assert_int_equal(code, MG_OK);
	p = mg_conditioned_probability(cond);
	assert_near(share, p, 6 * sqrt(p * (1 - p) / (ROWS_BATCHES * (double) MG_BATCH_ROWS)) + 1e-4);
	assert_int_equal(mg_stream_create_conditioned(&w->ctx, cond, other, &s), MG_OK);
	/* every row, whatever was asked */
	assert_true(draw_rows(w, s, m, c, n, &given) == 1);
	if (all.rows >= 200)
		compare_pictures(m, &all, &given);
	mg_conditioned_destroy(cond);
	return p;
}

static void
rows_are_those_that_rejection_keeps(void **state)
{
	world *w = *state;
	int impossible = 0, judged = 0;
	oracle o;

	for (int round = 0; round < 150; round++)
	{
		mg_model *m = random_model(w, &o);
		mg_condition c[COLUMNS];
		uint32_t n = 0, most = 1 + below(w, 4);
		double p;

		if (m == NULL)
			continue;
		for (uint32_t col = below(w, 3); col < COLUMNS && n < most; col += 1 + below(w, 2))
			random_condition(w, m, col, &c[n++]);
		p = check_against_rejection(w, m, c, n);
		impossible += p == 0;
		judged += p > 0.01 && p < 0.99;
		mg_model_destroy(m);
		mg_arena_reset(w->a);
	}
	assert_true(impossible > 0 && judged > 20);
}

/* ---- evidence, by hand ---- */

typedef struct single
{
	mg_column column;
	double weight[8];
} single;

static void
weigh(world *w, single *s, const mg_interval *v, uint32_t n, bool null)
{
	mg_condition c = {.col = 0, .interval = v, .nintervals = n, .null = null};
	mg_decoder_column *d;

	assert_int_equal(mg_values_prepare_given(&w->ctx, w->a, &s->column, &c, &d, s->weight), MG_OK);
}

static void
soft_cells(void **state)
{
	/* bin 0: 0..9 with mass 30, 10..19 with mass 10; bin 1: the single value 20; bin 2: 21..40; bin 3: NULL */
	static const mg_cell cells[] = {{0, 10}, {10, 20}, {20, 20}, {21, 41}};
	static const double fine[] = {30, 10, 7, 20, 5};
	static const uint16_t merge[] = {0, 0, 1, 2, 3};
	world *w = *state;
	single s = {.column = {.domain = {.name = "x", .kind = MG_NUMBER, .nullable = true, .upper = 40, .step = 1},
						   .nfine = 5,
						   .cells = cells,
						   .fine = fine,
						   .merge = merge,
						   .ncoarse = 4}};

	weigh(w, &s, (mg_interval[]){{8, 14.5}}, 1, false);
	assert_near(s.weight[0], (30 * 2 / 10.0 + 10 * 5 / 10.0) / 40, 1e-15);
	assert_true(s.weight[1] == 0 && s.weight[2] == 0 && s.weight[3] == 0);
	weigh(w, &s, (mg_interval[]){{-INFINITY, 0}, {3, 3}, {20, 20}, {39, INFINITY}}, 4, true);
	assert_near(s.weight[0], 30 * 2 / 10.0 / 40, 1e-15);
	assert_near(s.weight[2], 2 / 20.0, 1e-15);
	assert_true(s.weight[1] == 1 && s.weight[3] == 1);
	weigh(w, &s, (mg_interval[]){{20.2, 20.8}}, 1, false);
	for (int b = 0; b < 4; b++)
		assert_true(s.weight[b] == 0);
	/* continuous: width counts, points do not */
	s.column.domain.step = 0;
	weigh(w, &s, (mg_interval[]){{2, 2}, {5, 12.5}, {20, 26}}, 3, false);
	assert_near(s.weight[0], (30 * 5 / 10.0 + 10 * 2.5 / 10.0) / 40, 1e-15);
	assert_true(s.weight[1] == 1);
	assert_near(s.weight[2], 5 / 19.0, 1e-15); /* the domain ends at 40 */
}

/* Codes that cannot be emitted are drawn from the whole column; so is the evidence on them. */
static void
codes_without_values(void **state)
{
	static const double fine[] = {30, 10, 60, 0};
	static const uint16_t merge[] = {0, 1, 2, 0};
	static const bool red[] = {true, false, false};
	world *w = *state;
	mg_column col = {.domain = {.name = "x", .kind = MG_CATEGORY, .has_other = true, .nlabels = 2, .labels = labels},
					 .nfine = 4,
					 .fine = fine,
					 .merge = merge,
					 .ncoarse = 3};
	mg_condition c = {.col = 0, .label = red};
	mg_decoder_column *d;
	double weight[3];

	assert_int_equal(mg_values_prepare_given(&w->ctx, w->a, &col, &c, &d, weight), MG_OK);
	assert_near(weight[0], 1, 0);
	assert_near(weight[1], 0, 0);
	assert_near(weight[2], 0.75, 1e-15);
}

static void
same_key_same_rows(void **state)
{
	world *w = *state;
	oracle o;
	mg_model *m;
	mg_condition c;
	mg_conditioned *cond;
	mg_stream *s, *t;
	const mg_batch *x, *y;
	uint8_t key[32] = {4};
	bool want[COLUMNS] = {false, true, false, false, false, true};

	do
		m = random_model(w, &o);
	while (m == NULL);
	do
		random_condition(w, m, 5, &c);
	while (mg_conditioned_create(&w->ctx, m, &c, 1, &cond) == MG_IMPOSSIBLE);
	assert_non_null(cond);
	/* two streams in turn share the sampler; one of them makes fewer columns */
	assert_int_equal(mg_stream_create_conditioned(&w->ctx, cond, key, &s), MG_OK);
	assert_int_equal(mg_stream_create_conditioned(&w->ctx, cond, key, &t), MG_OK);
	mg_stream_want(t, want);
	for (int b = 0; b < 3; b++)
	{
		assert_int_equal(mg_stream_next(&w->ctx, s, 1000, &x), MG_OK);
		assert_int_equal(mg_stream_next(&w->ctx, t, 1000, &y), MG_OK);
		for (uint32_t col = 1; col < COLUMNS; col += 4)
		{
			assert_memory_equal(x->column[col].null, y->column[col].null, 1000 * sizeof(bool));
			if (m->columns[col].domain.kind == MG_CATEGORY)
				assert_memory_equal(x->column[col].label, y->column[col].label, 1000 * sizeof(uint32_t));
			else
				assert_memory_equal(x->column[col].number, y->column[col].number, 1000 * sizeof(double));
		}
	}
	mg_stream_destroy(s);
	mg_stream_destroy(t);
	mg_conditioned_destroy(cond);
	mg_model_destroy(m);
}

static void
malformed_conditions_are_refused(void **state)
{
	world *w = *state;
	oracle o;
	mg_model *m;
	mg_conditioned *cond;
	mg_interval twisted[] = {{3, 2}}, touching[] = {{1, 2}, {2, 3}}, nan[] = {{NAN, 2}}, fine[] = {{-1e9, 1e9}};
	mg_method deaf = mg_method_mst;
	mg_condition c;

	do
		m = random_model(w, &o);
	while (m == NULL || m->columns[0].domain.kind != MG_NUMBER);
	c = (mg_condition){.col = 0, .interval = twisted, .nintervals = 1};
	assert_int_equal(mg_conditioned_create(&w->ctx, m, &c, 1, &cond), MG_INVALID);
	assert_null(cond);
	c.interval = nan;
	assert_int_equal(mg_conditioned_create(&w->ctx, m, &c, 1, &cond), MG_INVALID);
	c.interval = touching;
	c.nintervals = 2;
	assert_int_equal(mg_conditioned_create(&w->ctx, m, &c, 1, &cond), MG_INVALID);
	c.interval = fine;
	c.nintervals = 1;
	assert_int_equal(mg_conditioned_create(&w->ctx, m, (mg_condition[]){c, c}, 2, &cond), MG_INTERNAL);
	c.col = COLUMNS;
	assert_int_equal(mg_conditioned_create(&w->ctx, m, &c, 1, &cond), MG_INTERNAL);
	c.col = 0;
	deaf.condition = NULL;
	m->method = &deaf;
	assert_int_equal(mg_conditioned_create(&w->ctx, m, &c, 1, &cond), MG_INVALID);
	mg_model_destroy(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(inference_matches_enumeration, set_up, free_world),
		cmocka_unit_test_setup_teardown(codes_follow_the_conditioned_joint, set_up, free_world),
		cmocka_unit_test_setup_teardown(impossible_across_cliques, set_up, free_world),
		cmocka_unit_test_setup_teardown(unlikely_beyond_doubles, set_up, free_world),
		cmocka_unit_test_setup_teardown(rows_are_those_that_rejection_keeps, set_up, free_world),
		cmocka_unit_test_setup_teardown(soft_cells, set_up, free_world),
		cmocka_unit_test_setup_teardown(codes_without_values, set_up, free_world),
		cmocka_unit_test_setup_teardown(same_key_same_rows, set_up, free_world),
		cmocka_unit_test_setup_teardown(malformed_conditions_are_refused, set_up, free_world),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
