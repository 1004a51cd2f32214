/*
 * graphical/body.c: the stored form of a graphical model and its public facts.
 *
 * Body: split (4 doubles), rounds, iterations, evaluations (u32 each), loss, gap, number of cliques; then each
 * clique in the tree's order: columns, parent (u32, all ones for the first), sigma, cells as doubles. Reading
 * trusts nothing: what it accepts is a calibrated junction tree over all columns of the model.
 */
#include "graphical/body.h"

#include "graphical/marginals.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Of the total: what two marginals of one separator, or a clique's sum, may differ by. */
#define CONSISTENT 1e-6
/* On the way to a marginal across cliques. */
#define MOST_TABLE_CELLS ((size_t) 1 << 22)

mg_code
mg_column_sizes(mg_ctx *ctx, mg_arena *a, const mg_column *columns, uint32_t n, uint32_t **out)
{
	MG_NEW(ctx, a, *out, (size_t) n + 1);
	for (uint32_t i = 0; i < n; i++)
		(*out)[i] = columns[i].ncoarse;
	return MG_OK;
}

mg_code
mg_graphical_write(mg_ctx *ctx, const mg_model *m, mg_writer *w)
{
	const mg_graphical *g = m->body;

	mg_put_f64(w, g->split.learn);
	mg_put_f64(w, g->split.oneway);
	mg_put_f64(w, g->split.select);
	mg_put_f64(w, g->split.measure);
	mg_put_u32(w, g->rounds);
	mg_put_u32(w, g->report.iterations);
	mg_put_u32(w, g->report.evaluations);
	mg_put_f64(w, g->report.loss);
	mg_put_f64(w, g->report.gap);
	mg_put_u32(w, g->tree.count);
	for (uint32_t c = 0; c < g->tree.count; c++)
	{
		const mg_clique *q = &g->tree.clique[c];

		mg_put_u32(w, q->k);
		for (uint32_t i = 0; i < q->k; i++)
			mg_put_u32(w, q->cols[i]);
		mg_put_u32(w, q->parent);
		for (size_t i = 0; i < q->cells; i++)
			mg_put_f64(w, g->marginal[c].v[i]);
	}
	mg_put_u32(w, g->nmeasured);
	for (uint32_t i = 0; i < g->nmeasured; i++)
	{
		mg_put_u32(w, g->measured[i].k);
		for (uint32_t c = 0; c < g->measured[i].k; c++)
			mg_put_u32(w, g->measured[i].cols[c]);
		mg_put_f64(w, g->measured[i].sigma);
	}
	return w->failed ? mg_fail(ctx, MG_NOMEM, "out of memory") : MG_OK;
}

static mg_code
corrupt(mg_ctx *ctx)
{
	return mg_fail(ctx, MG_CORRUPT, "the stored model is damaged (graphical part)");
}

static bool
share_ok(double x)
{
	return x >= 0 && x <= 1; /* false for NaN */
}

static mg_code
read_facts(mg_ctx *ctx, mg_graphical *g, mg_reader *r)
{
	double sum;

	g->split.learn = mg_get_f64(r);
	g->split.oneway = mg_get_f64(r);
	g->split.select = mg_get_f64(r);
	g->split.measure = mg_get_f64(r);
	g->rounds = mg_get_u32(r);
	g->report.iterations = mg_get_u32(r);
	g->report.evaluations = mg_get_u32(r);
	g->report.loss = mg_get_f64(r);
	g->report.gap = mg_get_f64(r);
	if (r->failed || !share_ok(g->split.learn) || !share_ok(g->split.oneway) || !share_ok(g->split.select) ||
		!share_ok(g->split.measure) || !(g->report.loss >= 0) || !isfinite(g->report.loss) || !(g->report.gap >= 0) ||
		!isfinite(g->report.gap))
		return corrupt(ctx);
	sum = g->split.learn + g->split.oneway + g->split.select + g->split.measure;
	return fabs(sum - 1) <= 1e-6 ? MG_OK : corrupt(ctx);
}

/* The columns of a clique or a measured set. */
static mg_code
read_columns(mg_ctx *ctx, mg_model *m, mg_reader *r, uint32_t *k, const uint32_t **out)
{
	uint32_t *cols;

	*k = mg_get_count(r, sizeof(uint32_t));
	if (r->failed || *k == 0 || *k > MG_FACTOR_COLUMNS)
		return corrupt(ctx);
	MG_NEW(ctx, m->arena, cols, *k);
	for (uint32_t i = 0; i < *k; i++)
	{
		cols[i] = mg_get_u32(r);
		if (r->failed || cols[i] >= m->ncolumns)
			return corrupt(ctx);
	}
	*out = cols;
	return MG_OK;
}

/* One clique: set[c], and where its cells are in the buffer. */
static mg_code
read_clique(mg_ctx *ctx, mg_model *m, const uint32_t *sizes, mg_reader *r, mg_column_set *set, const uint8_t **raw)
{
	size_t cells, bytes;

	MG_TRY(read_columns(ctx, m, r, &set->k, &set->cols));
	set->parent = mg_get_u32(r);
	if (r->failed || !mg_factor_count(set->cols, set->k, sizes, &cells) || !mg_mul_size(cells, sizeof(double), &bytes))
		return corrupt(ctx);
	*raw = mg_get_raw(r, bytes);
	return *raw == NULL ? corrupt(ctx) : MG_OK;
}

static mg_code
read_marginal(mg_ctx *ctx, const uint8_t *raw, double total, mg_factor *f)
{
	mg_reader cells;

	mg_reader_init(&cells, raw, f->cells * sizeof(double));
	for (size_t i = 0; i < f->cells; i++)
	{
		f->v[i] = mg_get_f64(&cells);
		if (!(f->v[i] >= 0) || !isfinite(f->v[i]))
			return corrupt(ctx);
	}
	return fabs(mg_factor_total(f) - total) <= CONSISTENT * total ? MG_OK : corrupt(ctx);
}

static mg_code
read_tree(mg_ctx *ctx, mg_model *m, mg_graphical *g, mg_reader *r)
{
	uint32_t count = mg_get_count(r, 2 * sizeof(uint32_t)), *sizes;
	mg_column_set *sets;
	const uint8_t **raw;
	mg_messages messages;
	mg_ctx probe;
	mg_code code;

	/* a chordal graph has no more maximal cliques than nodes */
	if (r->failed || count == 0 || count > m->ncolumns)
		return corrupt(ctx);
	MG_TRY(mg_column_sizes(ctx, m->arena, m->columns, m->ncolumns, &sizes));
	MG_NEW(ctx, m->arena, sets, count);
	MG_NEW(ctx, m->arena, raw, count);
	for (uint32_t c = 0; c < count; c++)
		MG_TRY(read_clique(ctx, m, sizes, r, &sets[c], &raw[c]));
	mg_ctx_init(&probe);
	code = mg_junction_adopt(&probe, m->arena, sizes, m->ncolumns, sets, count, &g->tree);
	if (code != MG_OK)
		return code == MG_NOMEM ? mg_fail(ctx, MG_NOMEM, "out of memory") : corrupt(ctx);
	MG_TRY(mg_junction_factors(ctx, m->arena, &g->tree, &g->marginal));
	for (uint32_t c = 0; c < count; c++)
		MG_TRY(read_marginal(ctx, raw[c], m->total, &g->marginal[c]));
	MG_TRY(mg_messages_make(ctx, m->arena, &g->tree, &messages));
	if (!(mg_junction_inconsistency(&g->tree, &messages, g->marginal) <= CONSISTENT * m->total))
		return corrupt(ctx);
	return MG_OK;
}

static mg_code
read_measured(mg_ctx *ctx, mg_model *m, mg_graphical *g, mg_reader *r)
{
	g->nmeasured = mg_get_count(r, 2 * sizeof(uint32_t) + sizeof(double));
	if (r->failed)
		return corrupt(ctx);
	MG_NEW(ctx, m->arena, g->measured, (size_t) g->nmeasured + 1);
	for (uint32_t i = 0; i < g->nmeasured; i++)
	{
		mg_measured *set = &g->measured[i];

		MG_TRY(read_columns(ctx, m, r, &set->k, &set->cols));
		set->sigma = mg_get_f64(r);
		if (r->failed || !(set->sigma > 0) || !isfinite(set->sigma) ||
			mg_junction_find(&g->tree, set->cols, set->k) == g->tree.count)
			return corrupt(ctx);
	}
	return MG_OK;
}

mg_code
mg_graphical_read(mg_ctx *ctx, mg_model *m, mg_reader *r)
{
	mg_graphical *g;

	if (!(m->total > 0) || !isfinite(m->total) || m->ncolumns == 0)
		return corrupt(ctx);
	MG_NEW(ctx, m->arena, g, 1);
	MG_TRY(read_facts(ctx, g, r));
	MG_TRY(read_tree(ctx, m, g, r));
	MG_TRY(read_measured(ctx, m, g, r));
	m->body = g;
	return MG_OK;
}

static void
put_number(mg_writer *w, const char *name, double x)
{
	char text[40];

	snprintf(text, sizeof(text), "%.6g", x);
	mg_put_json(w, name);
	mg_put_text(w, ": ");
	mg_put_text(w, text);
}

static void
put_columns(mg_writer *w, const mg_model *m, const uint32_t *cols, uint32_t k)
{
	for (uint32_t i = 0; i < k; i++)
	{
		mg_put_text(w, i == 0 ? "[" : ", ");
		mg_put_json(w, m->columns[cols[i]].domain.name);
	}
	mg_put_text(w, "]");
}

mg_code
mg_graphical_describe(mg_ctx *ctx, const mg_model *m, mg_writer *w)
{
	const mg_graphical *g = m->body;

	mg_put_text(w, "\"cliques\": [");
	for (uint32_t c = 0; c < g->tree.count; c++)
	{
		mg_put_text(w, c == 0 ? "" : ", ");
		put_columns(w, m, g->tree.clique[c].cols, g->tree.clique[c].k);
	}
	mg_put_text(w, "], \"measured\": [");
	for (uint32_t i = 0; i < g->nmeasured; i++)
	{
		mg_put_text(w, i == 0 ? "{\"columns\": " : ", {\"columns\": ");
		put_columns(w, m, g->measured[i].cols, g->measured[i].k);
		mg_put_text(w, ", ");
		put_number(w, "sigma", g->measured[i].sigma);
		mg_put_text(w, "}");
	}
	mg_put_text(w, "], \"split\": {");
	put_number(w, "learn", g->split.learn);
	mg_put_text(w, ", ");
	put_number(w, "oneway", g->split.oneway);
	mg_put_text(w, ", ");
	put_number(w, "select", g->split.select);
	mg_put_text(w, ", ");
	put_number(w, "measure", g->split.measure);
	mg_put_text(w, "}, ");
	put_number(w, "selection rounds", g->rounds);
	mg_put_text(w, ", ");
	put_number(w, "cells", (double) g->tree.cells);
	mg_put_text(w, ", ");
	put_number(w, "iterations", g->report.iterations);
	mg_put_text(w, ", ");
	put_number(w, "loss", g->report.loss);
	mg_put_text(w, ", ");
	put_number(w, "gap", g->report.gap);
	return w->failed ? mg_fail(ctx, MG_NOMEM, "out of memory") : MG_OK;
}

mg_code
mg_graphical_marginal(mg_ctx *ctx, const mg_model *m, const uint32_t *cols, uint32_t k, double *out, bool *answered)
{
	const mg_graphical *g = m->body;
	mg_column_set set = {.k = k, .cols = cols};

	*answered = false;
	if (k > MG_FACTOR_COLUMNS)
		return MG_OK;
	return mg_junction_marginals(ctx, &g->tree, g->marginal, &set, 1, MOST_TABLE_CELLS, &out, answered);
}
