/*
 * table/count.c: the counting loops.
 *
 * Index of a row in a marginal over columns c1..ck with n1..nk codes: ((c1 * n2 + c2) * n3 + c3) .., mixed radix. One,
 * two and three columns, the bulk of all work, have loops of their own; more go through a block's indices, built column
 * by column.
 */
#include "table/count.h"

#include <stdlib.h>

/* Jobs that one call of the pool runs over a block: bounds the time between two looks at the cancel hook. */
#define JOBS_AT_ONCE 512

typedef struct counting
{
	mg_codes *t;
	mg_count *count;
	size_t n;      /* jobs */
	size_t *start; /* [n] place of each job's counters in a lane */
	size_t cells;  /* of all jobs */
	int lanes;
	uint32_t *lane;            /* [lanes][cells] */
	size_t job_first, job_end; /* what tasks run now */
} counting;

bool
mg_count_cells(const mg_codes *t, const uint32_t *cols, uint32_t k, size_t *cells)
{
	size_t n = 1;

	for (uint32_t i = 0; i < k; i++)
	{
		if (!mg_mul_size(n, t->column[cols[i]].ncodes, &n) || n > MG_MAX_MARGINAL_CELLS)
			return false;
	}
	*cells = n;
	return true;
}

size_t
mg_count_bytes(size_t cells)
{
	return cells * (sizeof(int64_t) + sizeof(uint32_t));
}

/* Each loop once for rows that count once and once for rows with weights w. */
#define ONE(name, ta)                                                            \
	static void name(const ta *a, uint32_t rows, const uint16_t *w, uint32_t *n) \
	{                                                                            \
		if (w == NULL)                                                           \
			for (uint32_t i = 0; i < rows; i++)                                  \
				n[a[i]]++;                                                       \
		else                                                                     \
			for (uint32_t i = 0; i < rows; i++)                                  \
				n[a[i]] += w[i];                                                 \
	}
ONE(count_8, uint8_t)
ONE(count_16, uint16_t)

#define TWO(name, ta, tb)                                                                                  \
	static void name(const ta *a, const tb *b, uint32_t nb, uint32_t rows, const uint16_t *w, uint32_t *n) \
	{                                                                                                      \
		if (w == NULL)                                                                                     \
			for (uint32_t i = 0; i < rows; i++)                                                            \
				n[(size_t) a[i] * nb + b[i]]++;                                                            \
		else                                                                                               \
			for (uint32_t i = 0; i < rows; i++)                                                            \
				n[(size_t) a[i] * nb + b[i]] += w[i];                                                      \
	}
TWO(count_8_8, uint8_t, uint8_t)
TWO(count_8_16, uint8_t, uint16_t)
TWO(count_16_8, uint16_t, uint8_t)
TWO(count_16_16, uint16_t, uint16_t)

#define THREE(name, ta, tb, tc)                                                                      \
	static void name(const ta *a, const tb *b, const tc *c, uint32_t nb, uint32_t nc, uint32_t rows, \
					 const uint16_t *w, uint32_t *n)                                                 \
	{                                                                                                \
		if (w == NULL)                                                                               \
			for (uint32_t i = 0; i < rows; i++)                                                      \
				n[((size_t) a[i] * nb + b[i]) * nc + c[i]]++;                                        \
		else                                                                                         \
			for (uint32_t i = 0; i < rows; i++)                                                      \
				n[((size_t) a[i] * nb + b[i]) * nc + c[i]] += w[i];                                  \
	}
THREE(count_8_8_8, uint8_t, uint8_t, uint8_t)
THREE(count_8_8_16, uint8_t, uint8_t, uint16_t)
THREE(count_8_16_8, uint8_t, uint16_t, uint8_t)
THREE(count_8_16_16, uint8_t, uint16_t, uint16_t)
THREE(count_16_8_8, uint16_t, uint8_t, uint8_t)
THREE(count_16_8_16, uint16_t, uint8_t, uint16_t)
THREE(count_16_16_8, uint16_t, uint16_t, uint8_t)
THREE(count_16_16_16, uint16_t, uint16_t, uint16_t)

static void
count_single(const mg_codes *t, const uint32_t *cols, const mg_block *b, uint32_t *n)
{
	const mg_code_column *c = &t->column[cols[0]];

	if (c->width == 1)
		count_8(mg_block_column(c, b), b->rows, b->weight, n);
	else
		count_16(mg_block_column(c, b), b->rows, b->weight, n);
}

static void
count_pair(const mg_codes *t, const uint32_t *cols, const mg_block *b, uint32_t *n)
{
	const mg_code_column *ca = &t->column[cols[0]], *cb = &t->column[cols[1]];
	const void *pa = mg_block_column(ca, b), *pb = mg_block_column(cb, b);

	if (ca->width == 1 && cb->width == 1)
		count_8_8(pa, pb, cb->ncodes, b->rows, b->weight, n);
	else if (ca->width == 1)
		count_8_16(pa, pb, cb->ncodes, b->rows, b->weight, n);
	else if (cb->width == 1)
		count_16_8(pa, pb, cb->ncodes, b->rows, b->weight, n);
	else
		count_16_16(pa, pb, cb->ncodes, b->rows, b->weight, n);
}

static void
count_triple(const mg_codes *t, const uint32_t *cols, const mg_block *b, uint32_t *n)
{
	const mg_code_column *ca = &t->column[cols[0]], *cb = &t->column[cols[1]], *cc = &t->column[cols[2]];
	const void *pa = mg_block_column(ca, b), *pb = mg_block_column(cb, b), *pc = mg_block_column(cc, b);
	uint32_t nb = cb->ncodes, nc = cc->ncodes, rows = b->rows;

	switch ((ca->width - 1) * 4 + (cb->width - 1) * 2 + (cc->width - 1))
	{
		case 0:
			count_8_8_8(pa, pb, pc, nb, nc, rows, b->weight, n);
			break;
		case 1:
			count_8_8_16(pa, pb, pc, nb, nc, rows, b->weight, n);
			break;
		case 2:
			count_8_16_8(pa, pb, pc, nb, nc, rows, b->weight, n);
			break;
		case 3:
			count_8_16_16(pa, pb, pc, nb, nc, rows, b->weight, n);
			break;
		case 4:
			count_16_8_8(pa, pb, pc, nb, nc, rows, b->weight, n);
			break;
		case 5:
			count_16_8_16(pa, pb, pc, nb, nc, rows, b->weight, n);
			break;
		case 6:
			count_16_16_8(pa, pb, pc, nb, nc, rows, b->weight, n);
			break;
		default:
			count_16_16_16(pa, pb, pc, nb, nc, rows, b->weight, n);
	}
}

/* index[i] = index[i] * codes + code of row i */
static void
extend_index(const mg_code_column *c, const mg_block *b, uint32_t *index)
{
	const void *p = mg_block_column(c, b);

	if (c->width == 1)
		for (uint32_t i = 0; i < b->rows; i++)
			index[i] = index[i] * c->ncodes + ((const uint8_t *) p)[i];
	else
		for (uint32_t i = 0; i < b->rows; i++)
			index[i] = index[i] * c->ncodes + ((const uint16_t *) p)[i];
}

/* Fewer than 2^28 cells: 32 bits suffice. */
static void
block_index(const mg_codes *t, const uint32_t *cols, uint32_t k, const mg_block *b, uint32_t index[MG_BLOCK_ROWS])
{
	memset(index, 0, b->rows * sizeof(index[0]));
	for (uint32_t i = 0; i < k; i++)
		extend_index(&t->column[cols[i]], b, index);
}

static void
count_whole(const mg_codes *t, const uint32_t *cols, uint32_t k, const mg_block *b, uint32_t *n)
{
	uint32_t index[MG_BLOCK_ROWS];

	if (k == 1)
		count_single(t, cols, b, n);
	else if (k == 2)
		count_pair(t, cols, b, n);
	else if (k == 3)
		count_triple(t, cols, b, n);
	else
	{
		block_index(t, cols, k, b, index);
		for (uint32_t i = 0; i < b->rows; i++)
			n[index[i]] += b->weight != NULL ? b->weight[i] : 1;
	}
}

static void
count_range(const mg_codes *t, const mg_count *q, const mg_block *b, uint32_t *n)
{
	uint32_t index[MG_BLOCK_ROWS];
	uint32_t first = (uint32_t) q->first, cells = (uint32_t) q->cells;

	block_index(t, q->cols, q->k, b, index);
	for (uint32_t i = 0; i < b->rows; i++)
		if (index[i] - first < cells) /* unsigned: also false under first */
			n[index[i] - first] += b->weight != NULL ? b->weight[i] : 1;
}

static void
count_block(void *arg, const mg_block *b, int lane)
{
	const counting *c = arg;

	for (size_t j = c->job_first; j < c->job_end; j++)
	{
		const mg_count *q = &c->count[j];
		uint32_t *n = c->lane + (size_t) lane * c->cells + c->start[j];
		size_t all = 0;
		bool whole;

		mg_count_cells(c->t, q->cols, q->k, &all); /* checked before */
		whole = q->cells == all;
		if (whole)
			count_whole(c->t, q->cols, q->k, b, n);
		else
			count_range(c->t, q, b, n);
	}
}

static void
count_fold(void *arg)
{
	counting *c = arg;

	for (size_t j = c->job_first; j < c->job_end; j++)
		for (int l = 0; l < c->lanes; l++)
		{
			uint32_t *n = c->lane + (size_t) l * c->cells + c->start[j];

			for (size_t i = 0; i < c->count[j].cells; i++)
				c->count[j].out[i] += n[i];
			mg_zeroize(n, c->count[j].cells * sizeof(*n));
		}
}

/* Adds the columns of one job to those that a pass reads; cols has room for all. */
static uint32_t
add_columns(uint32_t k, const uint32_t *of, bool *seen, uint32_t *cols, uint32_t n)
{
	for (uint32_t i = 0; i < k; i++)
	{
		if (!seen[of[i]])
			cols[n++] = of[i];
		seen[of[i]] = true;
	}
	return n;
}

static mg_code
count_passes(mg_ctx *ctx, counting *c)
{
	uint32_t cols[MG_MAX_COLUMNS];

	for (c->job_first = 0; c->job_first < c->n; c->job_first = c->job_end)
	{
		bool seen[MG_MAX_COLUMNS] = {false};
		uint32_t ncols = 0;

		c->job_end = c->n - c->job_first < JOBS_AT_ONCE ? c->n : c->job_first + JOBS_AT_ONCE;
		for (size_t j = c->job_first; j < c->job_end; j++)
			ncols = add_columns(c->count[j].k, c->count[j].cols, seen, cols, ncols);
		MG_TRY(mg_codes_pass(ctx, c->t, cols, ncols, c->lanes > 1 ? ctx->pool : NULL, count_block, count_fold, c));
	}
	return MG_OK;
}

mg_code
mg_count_run(mg_ctx *ctx, mg_codes *t, mg_count *count, size_t n, size_t memory)
{
	counting c = {.t = t, .count = count, .n = n};
	mg_code code;

	c.start = calloc(n > 0 ? n : 1, sizeof(*c.start));
	if (c.start == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	for (size_t j = 0; j < n; j++)
	{
		memset(count[j].out, 0, count[j].cells * sizeof(int64_t));
		c.start[j] = c.cells;
		c.cells += (count[j].cells + 15) & ~(size_t) 15; /* lanes and jobs begin on cache lines of their own */
	}
	c.lanes = mg_pool_width(ctx->pool);
	if (c.cells > 0 && (size_t) c.lanes > memory / sizeof(uint32_t) / c.cells)
		c.lanes = 1;
	c.lane = calloc(c.cells > 0 ? c.cells * (size_t) c.lanes : 1, sizeof(uint32_t));
	if (c.lane == NULL)
	{
		free(c.start);
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	}
	code = count_passes(ctx, &c);
	mg_zeroize_free(c.lane, c.cells * (size_t) c.lanes * sizeof(uint32_t));
	free(c.start);
	return code;
}

/* ---- 32-bit results ---- */

#define JOBS_OF_PART 64 /* so that a part over a group of rows stays a few milliseconds */

typedef struct narrow
{
	const mg_codes *t;
	const mg_count_32 *count;
	size_t n, parts;
} narrow;

bool
mg_count_narrow(const mg_codes *t)
{
	return t->rows <= UINT32_MAX;
}

/*
 * Jobs are dealt out in turn, so that parts are alike where neighbouring jobs are. A job runs over the whole group
 * before the next one begins: its counters, which many marginals together have no room for in any cache, are fetched
 * once a group, and the few columns that it reads come in order.
 */
static void
count_part(void *arg, const mg_block *group, size_t part)
{
	const narrow *c = arg;

	for (size_t j = part; j < c->n; j += c->parts)
	{
		const mg_count_32 *q = &c->count[j];
		uint32_t at_once = q->k <= 3 ? group->rows : MG_BLOCK_ROWS; /* indices are of a block */

		for (uint32_t first = 0; first < group->rows; first += at_once)
		{
			mg_block b = {group->base, first, group->rows - first < at_once ? group->rows - first : at_once,
						  group->weight != NULL ? group->weight + first : NULL};

			count_whole(c->t, q->cols, q->k, &b, q->out);
		}
	}
}

mg_code
mg_count_run_32(mg_ctx *ctx, mg_codes *t, const mg_count_32 *count, size_t n)
{
	narrow c = {.t = t, .count = count, .n = n, .parts = 4 * (size_t) mg_pool_width(ctx->pool)};
	uint32_t cols[MG_MAX_COLUMNS], ncols = 0;
	bool seen[MG_MAX_COLUMNS] = {false};

	if (!mg_count_narrow(t))
		return mg_fail(ctx, MG_INTERNAL, "counters of 32 bits for so many rows");
	for (size_t j = 0; j < n; j++)
	{
		size_t cells = 0;

		mg_count_cells(t, count[j].cols, count[j].k, &cells); /* checked before */
		memset(count[j].out, 0, cells * sizeof(uint32_t));
		ncols = add_columns(count[j].k, count[j].cols, seen, cols, ncols);
	}
	if (c.parts < (n + JOBS_OF_PART - 1) / JOBS_OF_PART)
		c.parts = (n + JOBS_OF_PART - 1) / JOBS_OF_PART;
	if (c.parts > n)
		c.parts = n;
	return c.parts > 0 ? mg_codes_pass_parts(ctx, t, cols, ncols, ctx->pool, c.parts, count_part, &c) : MG_OK;
}
