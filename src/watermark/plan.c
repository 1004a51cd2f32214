/*
 * watermark/plan.c: see plan.h. The portable form:
 *
 *   magic     8 bytes  "MGMARK" and two zeros
 *   version   u32
 *   columns   u32, each: name (string), kind u8, ngroups u8, null_group u8; where ngroups > 0 a category's labels
 *             (u32, then hash u64 and group u8 each) and other_group u8, or a number's breaks (u32, f64 each); and the
 *             margin, f64 a group
 *   gate      f64
 *   subsets   u32, each: k u8, columns u32 each, weight u8, tells u8, bytes of its cells
 *             as runs (u8 length - 1, u8 value)
 *   branches  u8, each: u16
 *
 * Strides, cells and places follow from the groups and are not written. Runs, because most cells of a sparse subset
 * never occur: a plan of adult is some ten thousand bytes.
 */
#include "watermark/plan.h"

#include <math.h>
#include <string.h>

#define PLAN_VERSION 1
#define MOST_NAME 1024
/* A plan that was read may take so many times its bytes, and so much beside. */
#define ARENA_FACTOR 256
#define ARENA_FLOOR ((size_t) 1 << 20)

static const uint8_t plan_magic[8] = {'M', 'G', 'M', 'A', 'R', 'K', 0, 0};

/* ---- groups of values ---- */

/* FNV-1a, then the finaliser of SplitMix64 (Steele, Lea, Flood 2014), so that all bits depend on all. */
uint64_t
mg_mark_label_hash(const char *text, size_t len)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t) text[i]) * UINT64_C(1099511628211);
	h = (h ^ (h >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	h = (h ^ (h >> 27)) * UINT64_C(0x94D049BB133111EB);
	return h ^ (h >> 31);
}

uint8_t
mg_mark_text_group(const mg_mark_column *c, const char *text, size_t len)
{
	uint64_t h = mg_mark_label_hash(text, len);
	uint32_t low = 0, high = c->nlabels;

	if (c->ngroups == 0 || c->kind != MG_CATEGORY)
		return MG_MARK_MISSING;
	while (low < high)
	{
		uint32_t mid = low + (high - low) / 2;

		if (c->label[mid] < h)
			low = mid + 1;
		else
			high = mid;
	}
	return low < c->nlabels && c->label[low] == h ? c->label_group[low] : c->other_group;
}

uint8_t
mg_mark_number_group(const mg_mark_column *c, double v)
{
	uint8_t g = 0;

	if (c->ngroups == 0 || c->kind != MG_NUMBER || isnan(v))
		return MG_MARK_MISSING;
	while (g < c->nbreaks && c->breaks[g] <= v)
		g++;
	return g;
}

double
mg_mark_probability(const mg_mark_plan *p, uint8_t q)
{
	return q == MG_MARK_FREQUENT ? p->gate : p->gate * exp2(-(double) q / 8);
}

/* ---- writing ---- */

static void
write_column(const mg_mark_column *c, const double *margin, mg_writer *w)
{
	mg_put_str(w, c->name, c->name_len);
	mg_put_u8(w, (uint8_t) c->kind);
	mg_put_u8(w, (uint8_t) c->ngroups);
	mg_put_u8(w, c->null_group);
	if (c->ngroups == 0)
		return;
	if (c->kind == MG_CATEGORY)
	{
		mg_put_u32(w, c->nlabels);
		for (uint32_t i = 0; i < c->nlabels; i++)
		{
			mg_put_u64(w, c->label[i]);
			mg_put_u8(w, c->label_group[i]);
		}
		mg_put_u8(w, c->other_group);
	}
	else
	{
		mg_put_u32(w, c->nbreaks);
		for (uint32_t i = 0; i < c->nbreaks; i++)
			mg_put_f64(w, c->breaks[i]);
	}
	for (uint32_t g = 0; g < c->ngroups; g++)
		mg_put_f64(w, margin[g]);
}

static void
write_subset(const mg_mark_subset *s, mg_writer *w)
{
	mg_put_u8(w, (uint8_t) s->k);
	for (uint32_t i = 0; i < s->k; i++)
		mg_put_u32(w, s->cols[i]);
	mg_put_u8(w, s->weight);
	mg_put_u8(w, s->tells);
	for (uint32_t i = 0, run; i < s->cells; i += run)
	{
		for (run = 1; run < 256 && i + run < s->cells && s->q[i + run] == s->q[i];)
			run++;
		mg_put_u8(w, (uint8_t) (run - 1));
		mg_put_u8(w, s->q[i]);
	}
}

void
mg_mark_plan_write(const mg_mark_plan *p, mg_writer *w)
{
	mg_put_raw(w, plan_magic, sizeof(plan_magic));
	mg_put_u32(w, PLAN_VERSION);
	mg_put_u32(w, p->ncolumns);
	for (uint32_t i = 0; i < p->ncolumns; i++)
		write_column(&p->column[i], p->margin[i], w);
	mg_put_f64(w, p->gate);
	mg_put_u32(w, p->nsubsets);
	for (uint32_t i = 0; i < p->nsubsets; i++)
		write_subset(&p->subset[i], w);
	mg_put_u8(w, (uint8_t) p->nbranches);
	for (uint32_t i = 0; i < p->nbranches; i++)
		mg_put_u16(w, p->branch[i]);
}

/* ---- reading ---- */

static mg_code
corrupt(mg_ctx *ctx)
{
	return mg_fail(ctx, MG_CORRUPT, "the plan of a watermark is damaged");
}

static mg_code
read_labels(mg_ctx *ctx, mg_arena *a, mg_reader *r, mg_mark_column *c)
{
	uint64_t *label;
	uint8_t *group;

	c->nlabels = mg_get_count(r, 9);
	if (r->failed || c->nlabels > MG_MAX_LABELS)
		return corrupt(ctx);
	MG_NEW(ctx, a, label, (size_t) c->nlabels + 1);
	MG_NEW(ctx, a, group, (size_t) c->nlabels + 1);
	for (uint32_t i = 0; i < c->nlabels; i++)
	{
		label[i] = mg_get_u64(r);
		group[i] = mg_get_u8(r);
		if (group[i] >= c->ngroups || (i > 0 && label[i] <= label[i - 1]))
			return corrupt(ctx);
	}
	c->label = label;
	c->label_group = group;
	c->other_group = mg_get_u8(r);
	return c->other_group < c->ngroups || c->other_group == MG_MARK_MISSING ? MG_OK : corrupt(ctx);
}

static mg_code
read_breaks(mg_ctx *ctx, mg_arena *a, mg_reader *r, mg_mark_column *c)
{
	double *breaks;

	c->nbreaks = mg_get_count(r, 8);
	if (r->failed || c->nbreaks + 1 + (c->null_group != MG_MARK_MISSING) != c->ngroups)
		return corrupt(ctx);
	MG_NEW(ctx, a, breaks, (size_t) c->nbreaks + 1);
	for (uint32_t i = 0; i < c->nbreaks; i++)
	{
		breaks[i] = mg_get_f64(r);
		if (!isfinite(breaks[i]) || (i > 0 && !(breaks[i] > breaks[i - 1])))
			return corrupt(ctx);
	}
	c->breaks = breaks;
	return MG_OK;
}

static mg_code
read_column(mg_ctx *ctx, mg_arena *a, mg_reader *r, mg_mark_column *c, const double **margin)
{
	size_t len;
	const char *name = mg_get_str(r, &len);
	uint8_t kind = mg_get_u8(r);
	double *share;

	c->ngroups = mg_get_u8(r);
	c->null_group = mg_get_u8(r);
	if (r->failed || len > MOST_NAME || kind > MG_NUMBER || c->ngroups > MG_MARK_GROUPS)
		return corrupt(ctx);
	if (c->null_group != MG_MARK_MISSING && c->null_group >= c->ngroups)
		return corrupt(ctx);
	c->kind = kind == MG_NUMBER ? MG_NUMBER : MG_CATEGORY;
	c->other_group = MG_MARK_MISSING;
	c->name = mg_arena_strndup(a, name, len);
	c->name_len = (uint32_t) len;
	if (c->name == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	if (c->ngroups == 0)
		return MG_OK;
	MG_TRY(c->kind == MG_CATEGORY ? read_labels(ctx, a, r, c) : read_breaks(ctx, a, r, c));
	/* a number's NULL comes after its intervals */
	if (c->kind == MG_NUMBER && c->null_group != MG_MARK_MISSING && c->null_group != c->ngroups - 1)
		return corrupt(ctx);
	MG_NEW(ctx, a, share, c->ngroups);
	for (uint32_t g = 0; g < c->ngroups; g++)
	{
		share[g] = mg_get_f64(r);
		if (!(share[g] >= 0 && share[g] <= 1))
			return corrupt(ctx);
	}
	*margin = share;
	return MG_OK;
}

/* Strides and size of a subset whose columns are set; false: no such subset. Row-major, the last column fastest. */
static bool
lay_out(const mg_mark_plan *p, mg_mark_subset *s)
{
	s->cells = 1;
	for (uint32_t i = s->k; i-- > 0;)
	{
		uint32_t groups;

		if (s->cols[i] >= p->ncolumns || (i + 1 < s->k && s->cols[i] >= s->cols[i + 1]))
			return false;
		groups = p->column[s->cols[i]].ngroups;
		if (groups == 0 || s->cells * groups > MG_MARK_CELLS)
			return false;
		s->stride[i] = s->cells;
		s->cells *= groups;
	}
	return true;
}

static mg_code
read_subset(mg_ctx *ctx, mg_mark_plan *p, mg_reader *r, mg_mark_subset *s)
{
	uint8_t *q;

	s->k = mg_get_u8(r);
	if (s->k < 2 || s->k > MG_MARK_ARITY)
		return corrupt(ctx);
	for (uint32_t i = 0; i < s->k; i++)
		s->cols[i] = mg_get_u32(r);
	s->weight = mg_get_u8(r);
	s->tells = mg_get_u8(r);
	if (r->failed || !lay_out(p, s) || s->weight < 1 || s->weight > MG_MARK_WEIGHTS || s->tells < 1 ||
		s->tells > MG_MARK_TELLS || p->cells + s->cells > MG_MARK_ALL_CELLS)
		return corrupt(ctx);
	s->first = p->cells;
	p->cells += s->cells;
	MG_NEW(ctx, p->arena, q, s->cells);
	for (uint32_t i = 0; i < s->cells;)
	{
		uint32_t run = (uint32_t) mg_get_u8(r) + 1;
		uint8_t value = mg_get_u8(r);

		if (r->failed || run > s->cells - i)
			return corrupt(ctx);
		memset(q + i, value, run);
		i += run;
	}
	s->q = q;
	return MG_OK;
}

static mg_code
read_branches(mg_ctx *ctx, mg_mark_plan *p, mg_reader *r)
{
	uint16_t *branch;

	p->nbranches = mg_get_u8(r);
	if (r->failed || p->nbranches > MG_MARK_BRANCHES)
		return corrupt(ctx);
	MG_NEW(ctx, p->arena, branch, (size_t) p->nbranches + 1);
	for (uint32_t i = 0; i < p->nbranches; i++)
		branch[i] = mg_get_u16(r);
	p->branch = branch;
	return !r->failed && mg_reader_left(r) == 0 ? MG_OK : corrupt(ctx);
}

static mg_code
read_plan(mg_ctx *ctx, mg_mark_plan *p, mg_reader *r)
{
	const uint8_t *magic = mg_get_raw(r, sizeof(plan_magic));
	mg_mark_column *column;
	mg_mark_subset *subset;
	const double **margin;

	if (magic == NULL || memcmp(magic, plan_magic, sizeof(plan_magic)) != 0 || mg_get_u32(r) != PLAN_VERSION)
		return corrupt(ctx);
	p->ncolumns = mg_get_count(r, 7);
	if (r->failed || p->ncolumns < 1 || p->ncolumns > MG_MAX_COLUMNS)
		return corrupt(ctx);
	MG_NEW(ctx, p->arena, column, p->ncolumns);
	MG_NEW(ctx, p->arena, margin, p->ncolumns);
	p->column = column;
	p->margin = margin;
	for (uint32_t i = 0; i < p->ncolumns; i++)
		MG_TRY(read_column(ctx, p->arena, r, &column[i], &margin[i]));
	p->gate = mg_get_f64(r);
	p->nsubsets = mg_get_count(r, 13);
	if (r->failed || !(p->gate > 0 && p->gate < 1) || p->nsubsets > MG_MARK_SUBSETS)
		return corrupt(ctx);
	MG_NEW(ctx, p->arena, subset, (size_t) p->nsubsets + 1);
	p->subset = subset;
	for (uint32_t i = 0; i < p->nsubsets; i++)
		MG_TRY(read_subset(ctx, p, r, &subset[i]));
	return read_branches(ctx, p, r);
}

mg_code
mg_mark_plan_read(mg_ctx *ctx, const void *data, size_t len, mg_mark_plan **out)
{
	mg_arena *arena = NULL;
	mg_mark_plan *p;
	mg_reader r;
	size_t limit;
	mg_code code;

	*out = NULL;
	if (mg_mul_size(len, ARENA_FACTOR, &limit) && mg_add_size(limit, ARENA_FLOOR, &limit))
		arena = mg_arena_create(limit);
	p = arena != NULL ? mg_arena_alloc(arena, 1, sizeof(*p)) : NULL;
	if (p == NULL)
	{
		mg_arena_destroy(arena);
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	}
	p->arena = arena;
	mg_reader_init(&r, data, len);
	code = read_plan(ctx, p, &r);
	if (code != MG_OK)
	{
		mg_arena_destroy(arena);
		return code;
	}
	*out = p;
	return MG_OK;
}

void
mg_mark_plan_destroy(mg_mark_plan *p)
{
	if (p != NULL)
		mg_arena_destroy(p->arena);
}
