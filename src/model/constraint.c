/*
 * model/constraint.c: the form of constraints: checking it, storing it, describing it. See constraint.h.
 *
 *   constraints  u32   how many; each: name, definition (strings), u8 and string of why, u8 how, u8 sure, f64 rejected,
 *                      u32 nodes, then each node: u8 kind and what the kind has (write_node)
 *
 * The reader trusts nothing. Memory is the arena's; nothing refers to the bytes that were read.
 */
#include "model/constraint.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MOST_BYTES 65536 /* of a name, a definition, a reason */

static const char *const how_names[] = {"not enforced", "re-draws", "structural zeros", "fresh values"};

/* ---- the form ---- */

typedef struct checker
{
	mg_ctx *ctx;
	const mg_expr *expr;
	uint32_t ncolumns;
	mg_kind (*kind)(const void *arg, uint32_t col);
	const void *arg;
	bool *mentioned; /* [ncolumns] */
} checker;

static bool
check_column(checker *c, uint32_t col, bool category)
{
	if (col >= c->ncolumns || (category && c->kind(c->arg, col) != MG_CATEGORY))
		return false;
	c->mentioned[col] = true;
	return true;
}

static bool
check_terms(checker *c, const mg_expr *e)
{
	if (e->compare > (MG_LESS | MG_EQUAL | MG_GREATER) || !isfinite(e->constant) || e->nterms == 0 ||
		e->nterms > MG_MAX_EXPR_TERMS)
		return false;
	for (uint32_t i = 0; i < e->nterms; i++)
		if (!isfinite(e->terms[i].factor) || !check_column(c, e->terms[i].col, false))
			return false;
	return true;
}

/* Node i, which must end within `room` nodes. */
static bool
check_node(checker *c, uint32_t i, uint32_t room, uint32_t depth)
{
	const mg_expr *e = &c->expr[i];
	uint32_t args = 0;

	if (depth > MG_MAX_EXPR_DEPTH || e->span < 1 || e->span > room)
		return false;
	for (uint32_t at = i + 1; at < i + e->span; at += c->expr[at].span, args++)
		if (!check_node(c, at, i + e->span - at, depth + 1))
			return false;
	switch (e->kind)
	{
		case MG_EXPR_AND:
		case MG_EXPR_OR:
			return true;
		case MG_EXPR_NOT:
		case MG_EXPR_IS_TRUE:
			return args == 1;
		case MG_EXPR_CONSTANT:
			return args == 0 && e->value <= MG_TRUTH_TRUE;
		case MG_EXPR_IS_NULL:
			return args == 0 && check_column(c, e->col, false);
		case MG_EXPR_COMPARE:
		case MG_EXPR_NONNULL:
			return args == 0 && check_terms(c, e);
		case MG_EXPR_LABELS:
			return args == 0 && e->nlabels <= MG_MAX_LABELS && check_column(c, e->col, true);
		case MG_EXPR_SAME:
			return args == 0 && check_column(c, e->col, true) && check_column(c, e->other, true);
	}
	return false;
}

mg_code
mg_constraint_finish(mg_ctx *ctx, mg_arena *a, uint32_t ncolumns, mg_kind (*kind)(const void *arg, uint32_t col),
					 const void *arg, mg_constraint *c)
{
	checker check = {.ctx = ctx, .expr = c->expr, .ncolumns = ncolumns, .kind = kind, .arg = arg};
	uint32_t *cols;

	MG_NEW(ctx, a, check.mentioned, (size_t) ncolumns + 1);
	if (c->nnodes < 1 || c->nnodes > MG_MAX_EXPR_NODES || c->expr[0].span != c->nnodes ||
		!check_node(&check, 0, c->nnodes, 1))
		return mg_fail(ctx, MG_INVALID, "a constraint's expression is malformed");
	c->ncols = 0;
	for (uint32_t i = 0; i < ncolumns; i++)
		c->ncols += check.mentioned[i];
	MG_NEW(ctx, a, cols, (size_t) c->ncols + 1);
	for (uint32_t i = 0, n = 0; i < ncolumns; i++)
		if (check.mentioned[i])
			cols[n++] = i;
	c->cols = cols;
	return MG_OK;
}

/* ---- storing ---- */

static void
write_text(mg_writer *w, const char *s)
{
	mg_put_str(w, s, strlen(s));
}

static void
write_node(mg_writer *w, const mg_expr *e)
{
	mg_put_u8(w, (uint8_t) e->kind);
	switch (e->kind)
	{
		case MG_EXPR_CONSTANT:
			mg_put_u8(w, (uint8_t) e->value);
			break;
		case MG_EXPR_AND:
		case MG_EXPR_OR:
		case MG_EXPR_NOT:
		case MG_EXPR_IS_TRUE:
			mg_put_u32(w, e->span);
			break;
		case MG_EXPR_IS_NULL:
			mg_put_u32(w, e->col);
			break;
		case MG_EXPR_COMPARE:
		case MG_EXPR_NONNULL:
			mg_put_u8(w, (uint8_t) e->compare);
			mg_put_u8(w, e->decimal);
			mg_put_f64(w, e->constant);
			mg_put_u32(w, e->nterms);
			for (uint32_t i = 0; i < e->nterms; i++)
			{
				mg_put_u32(w, e->terms[i].col);
				mg_put_f64(w, e->terms[i].factor);
			}
			break;
		case MG_EXPR_LABELS:
			mg_put_u32(w, e->col);
			mg_put_u32(w, e->nlabels);
			for (uint32_t i = 0; i < e->nlabels; i++)
				mg_put_str(w, e->labels[i].text, e->labels[i].len);
			break;
		case MG_EXPR_SAME:
			mg_put_u32(w, e->col);
			mg_put_u32(w, e->other);
			break;
	}
}

void
mg_constraints_write(mg_writer *w, const mg_constraint *c, uint32_t n)
{
	mg_put_u32(w, n);
	for (uint32_t i = 0; i < n; i++, c++)
	{
		write_text(w, c->name);
		write_text(w, c->definition);
		mg_put_u8(w, c->why != NULL);
		write_text(w, c->why != NULL ? c->why : "");
		mg_put_u8(w, (uint8_t) c->how);
		mg_put_u8(w, c->sure);
		mg_put_f64(w, c->rejected);
		mg_put_u32(w, c->nnodes);
		for (uint32_t k = 0; k < c->nnodes; k++)
			write_node(w, &c->expr[k]);
	}
}

static mg_code
corrupt(mg_ctx *ctx)
{
	return mg_fail(ctx, MG_CORRUPT, "the stored model is damaged (constraints)");
}

/* A string without a NUL in it, copied. */
static mg_code
read_text(mg_ctx *ctx, mg_arena *a, mg_reader *r, size_t most, const char **out, size_t *len)
{
	const char *s = mg_get_str(r, len);

	if (s == NULL || *len > most || memchr(s, 0, *len) != NULL)
		return corrupt(ctx);
	*out = mg_arena_strndup(a, s, *len);
	return *out != NULL ? MG_OK : mg_fail(ctx, MG_NOMEM, "out of memory");
}

static mg_code
read_labels(mg_ctx *ctx, mg_arena *a, mg_reader *r, mg_expr *e)
{
	mg_label *labels;
	size_t len;

	e->nlabels = mg_get_count(r, 4);
	if (r->failed || e->nlabels > MG_MAX_LABELS)
		return corrupt(ctx);
	MG_NEW(ctx, a, labels, e->nlabels > 0 ? e->nlabels : 1);
	for (uint32_t i = 0; i < e->nlabels; i++)
	{
		MG_TRY(read_text(ctx, a, r, MOST_BYTES, &labels[i].text, &len));
		labels[i].len = (uint32_t) len;
	}
	e->labels = labels;
	return MG_OK;
}

static mg_code
read_terms(mg_ctx *ctx, mg_arena *a, mg_reader *r, mg_expr *e)
{
	mg_term *terms;
	uint8_t decimal;

	e->compare = mg_get_u8(r);
	decimal = mg_get_u8(r);
	e->decimal = decimal == 1;
	e->constant = mg_get_f64(r);
	e->nterms = mg_get_count(r, 12);
	if (r->failed || decimal > 1 || e->nterms == 0 || e->nterms > MG_MAX_EXPR_TERMS)
		return corrupt(ctx);
	MG_NEW(ctx, a, terms, e->nterms);
	for (uint32_t i = 0; i < e->nterms; i++)
	{
		terms[i].col = mg_get_u32(r);
		terms[i].factor = mg_get_f64(r);
	}
	e->terms = terms;
	return MG_OK;
}

static mg_code
read_node(mg_ctx *ctx, mg_arena *a, mg_reader *r, mg_expr *e)
{
	uint8_t kind = mg_get_u8(r);

	if (r->failed || kind > MG_EXPR_SAME)
		return corrupt(ctx);
	e->kind = (mg_expr_kind) kind;
	e->span = 1;
	switch (e->kind)
	{
		case MG_EXPR_CONSTANT:
			kind = mg_get_u8(r);
			if (kind > MG_TRUTH_TRUE)
				return corrupt(ctx);
			e->value = (mg_truth) kind;
			break;
		case MG_EXPR_AND:
		case MG_EXPR_OR:
		case MG_EXPR_NOT:
		case MG_EXPR_IS_TRUE:
			e->span = mg_get_u32(r);
			break;
		case MG_EXPR_IS_NULL:
			e->col = mg_get_u32(r);
			break;
		case MG_EXPR_COMPARE:
		case MG_EXPR_NONNULL:
			MG_TRY(read_terms(ctx, a, r, e));
			break;
		case MG_EXPR_LABELS:
			e->col = mg_get_u32(r);
			MG_TRY(read_labels(ctx, a, r, e));
			break;
		case MG_EXPR_SAME:
			e->col = mg_get_u32(r);
			e->other = mg_get_u32(r);
			break;
	}
	return r->failed ? corrupt(ctx) : MG_OK;
}

static mg_kind
kind_of_column(const void *arg, uint32_t col)
{
	const mg_column *columns = arg;

	return columns[col].domain.kind;
}

static mg_code
read_expr(mg_ctx *ctx, mg_arena *a, mg_reader *r, const mg_column *columns, uint32_t ncolumns, mg_constraint *c)
{
	mg_expr *expr;
	mg_ctx probe;
	mg_code code;

	c->nnodes = mg_get_count(r, 2);
	if (r->failed || c->nnodes > MG_MAX_EXPR_NODES || (c->nnodes == 0 && mg_constraint_enforced(c)))
		return corrupt(ctx);
	if (c->nnodes == 0)
		return MG_OK;
	MG_NEW(ctx, a, expr, c->nnodes);
	for (uint32_t i = 0; i < c->nnodes; i++)
		MG_TRY(read_node(ctx, a, r, &expr[i]));
	c->expr = expr;
	mg_ctx_init(&probe);
	code = mg_constraint_finish(&probe, a, ncolumns, kind_of_column, columns, c);
	if (code != MG_OK)
		return code == MG_NOMEM ? mg_fail(ctx, MG_NOMEM, "out of memory") : corrupt(ctx);
	return MG_OK;
}

mg_code
mg_constraints_read(mg_ctx *ctx, mg_arena *a, mg_reader *r, const mg_column *columns, uint32_t ncolumns,
					mg_constraint **out, uint32_t *nout)
{
	uint32_t n = mg_get_count(r, 27);
	mg_constraint *list;

	if (r->failed || n > MG_MAX_CONSTRAINTS)
		return corrupt(ctx);
	MG_NEW(ctx, a, list, n > 0 ? n : 1);
	for (uint32_t i = 0; i < n; i++)
	{
		mg_constraint *c = &list[i];
		uint8_t has_why, how, sure;
		size_t len;

		MG_TRY(read_text(ctx, a, r, MOST_BYTES, &c->name, &len));
		MG_TRY(read_text(ctx, a, r, MOST_BYTES, &c->definition, &len));
		has_why = mg_get_u8(r);
		MG_TRY(read_text(ctx, a, r, MOST_BYTES, &c->why, &len));
		how = mg_get_u8(r);
		sure = mg_get_u8(r);
		c->rejected = mg_get_f64(r);
		if (r->failed || has_why > 1 || (has_why == 0 && len > 0) || how > MG_HOW_FRESH || sure > 1 ||
			!(c->rejected == -1 || (c->rejected >= 0 && c->rejected <= 1)))
			return corrupt(ctx);
		c->why = has_why ? c->why : NULL;
		c->how = (mg_how) how;
		c->sure = sure;
		MG_TRY(read_expr(ctx, a, r, columns, ncolumns, c));
	}
	*out = list;
	*nout = n;
	return MG_OK;
}

mg_code
mg_constraints_copy(mg_ctx *ctx, mg_arena *a, const mg_column *columns, uint32_t ncolumns, const mg_constraint *c,
					uint32_t n, mg_constraint **out)
{
	mg_writer w;
	mg_reader r;
	mg_code code;

	mg_writer_init(&w);
	mg_constraints_write(&w, c, n);
	if (w.failed)
		code = mg_fail(ctx, MG_NOMEM, "out of memory");
	else
	{
		mg_reader_init(&r, w.data, w.len);
		code = mg_constraints_read(ctx, a, &r, columns, ncolumns, out, &n);
	}
	mg_writer_free(&w);
	return code;
}

/* ---- describing ---- */

static void
put_member(mg_writer *w, const char *name, const char *s)
{
	mg_put_json(w, name);
	mg_put_text(w, ": ");
	mg_put_json(w, s);
}

void
mg_constraints_describe(mg_writer *w, const mg_constraint *c, uint32_t n)
{
	mg_put_text(w, "[");
	for (uint32_t i = 0; i < n; i++, c++)
	{
		char text[40];

		mg_put_text(w, i == 0 ? "{" : ", {");
		put_member(w, "name", c->name);
		mg_put_text(w, ", ");
		put_member(w, "definition", c->definition);
		mg_put_text(w, ", ");
		put_member(w, "how", how_names[c->how]);
		if (c->rejected >= 0)
		{
			snprintf(text, sizeof(text), ", \"rejected\": %.4g", c->rejected);
			mg_put_text(w, text);
		}
		if (c->why != NULL)
		{
			mg_put_text(w, ", ");
			put_member(w, "reason", c->why);
		}
		mg_put_text(w, "}");
	}
	mg_put_text(w, "]");
}
