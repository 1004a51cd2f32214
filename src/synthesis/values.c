/*
 * synthesis/values.c: fine cells within bins, values within cells. The hot path of emission: about 10 ns a value.
 *
 * Layout: the emittable fine cells, sorted by coarse code; each bin is a run of them with cumulative shares. What a
 * cell becomes (label, NULL, single number, lattice points, an interval) is worked out once.
 */
#include "synthesis/values.h"

#include "model/grid.h"
#include "synthesis/condition.h"

#include <math.h>
#include <string.h>

typedef enum cell_kind
{
	CELL_NULL,
	CELL_LABEL,
	CELL_SINGLE,
	CELL_STEPS, /* lattice points, uniform */
	CELL_SPAN   /* uniform in [low, high], rounded to decimals */
} cell_kind;

typedef struct out_cell
{
	double base;      /* CELL_SINGLE: the value. CELL_STEPS: index of the first lattice point */
	uint64_t count;   /* CELL_STEPS */
	double low, high; /* CELL_SPAN */
	double scale;     /* CELL_SPAN: rounded to multiples of 1 / scale, or of unit when scale is 0, unless both are */
	double unit;
	uint32_t label;
	cell_kind kind;
} out_cell;

typedef struct bin
{
	uint32_t from, n; /* its cells in `cell`; n >= 1 */
} bin;

struct mg_decoder_column
{
	const mg_column *col;
	mg_grid grid;
	uint32_t ncells;
	out_cell *cell; /* [ncells] */
	double *upto;   /* [ncells] cumulative share within the bin; the last of a bin is 1 */
	uint32_t nbins;
	bin *bin;       /* [nbins] */
	int32_t *place; /* [nfine] of the fine cell in `cell`; -1: it is never emitted */
	bool direct;    /* every bin is one cell, each NULL, a label or a single value: nothing is drawn */
};

/* ---- preparation ---- */

/* A decimal grid fine enough to be invisible in a cell of this width: at least 16 points, a public rule. */
static void
decimal_unit(out_cell *c)
{
	double e = floor(log10((c->high - c->low) / 16));

	c->scale = c->unit = 0;
	if (!(fabs(e) <= 290))
		return; /* zero, endless or beyond the decimals of a double: not rounded */
	if (e < 0)
		c->scale = pow(10, -e);
	else
		c->unit = pow(10, e);
}

static void
prepare_number(const mg_column *col, const mg_grid *g, const mg_cell *cell, out_cell *out)
{
	const mg_domain *d = &col->domain;
	double lower = fmin(fmax(cell->lower, d->lower), d->upper);
	double upper = fmax(fmin(cell->upper, d->upper), d->lower);

	/* what a cell beyond the range holds is at its nearest end */
	out->kind = CELL_SINGLE;
	out->base = lower;
	if (cell->lower == cell->upper || !(upper > lower))
		return;
	if (g->step == 0)
	{
		out->kind = CELL_SPAN;
		out->low = lower;
		out->high = upper;
		decimal_unit(out);
	}
	else
	{
		double first = mg_grid_ceil(g, lower), end = mg_grid_ceil(g, cell->upper);

		if (mg_grid_value(g, end - 1) > d->upper)
			end = mg_grid_nearest(g, d->upper) + 1;
		if (end - first >= 2)
		{
			out->kind = CELL_STEPS;
			out->base = first;
			out->count = (uint64_t) fmin(end - first, 0x1p62);
		}
		else
			out->base = fmin(fmax(mg_grid_value(g, first), d->lower), d->upper);
	}
}

/* False: the cell is never emitted. */
static bool
prepare_cell(const mg_column *col, const mg_grid *g, uint32_t fine, out_cell *out)
{
	const mg_domain *d = &col->domain;

	memset(out, 0, sizeof(*out));
	if (fine == col->nfine - 1)
	{
		out->kind = CELL_NULL;
		return d->nullable;
	}
	if (d->kind == MG_NUMBER)
	{
		prepare_number(col, g, &col->cells[fine], out);
		return true;
	}
	out->kind = CELL_LABEL;
	out->label = fine;
	if (fine < d->nlabels)
		return true;
	if (!d->has_other)
		return false;
	if (d->other == NULL)
		out->kind = CELL_NULL;
	return d->other != NULL || d->nullable;
}

/* Shares within a run of cells: by mass; even where there is none. */
static void
cumulate(double *upto, const double *mass, uint32_t n)
{
	double sum = 0, run = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += mass[i];
	for (uint32_t i = 0; i < n; i++)
	{
		run += sum > 0 ? mass[i] / sum : 1.0 / n;
		upto[i] = run;
	}
	upto[n - 1] = 1;
}

/* Working memory of preparation. */
typedef struct layout
{
	uint32_t *order; /* [nfine] fine cells by coarse code */
	uint32_t *start; /* [ncoarse + 1] where each code's begin in it */
	double *mass;    /* of the cells appended so far */

	const mg_condition *given; /* NULL: every value may be drawn */
	size_t room;               /* of pieces: more than disjoint cells can have; a damaged model's may overlap */
	double satisfied;          /* of the last run of cells: the share that satisfies it */
	bool emittable;            /* does that run have a cell that can be emitted at all? */
} layout;

/* ---- conditions ---- */

/* One piece of a cell that satisfies the condition, if it has any mass. */
static void
append_piece(mg_decoder_column *dc, layout *l, const out_cell *piece, double mass)
{
	if (!(mass > 0) || dc->ncells >= l->room)
		return;
	dc->cell[dc->ncells] = *piece;
	l->mass[dc->ncells++] = mass;
}

/* The lattice points of a cell that lie in one interval, all equally likely. */
static void
append_steps(mg_decoder_column *dc, layout *l, const out_cell *c, const mg_interval *v, double mass)
{
	double first = mg_grid_ceil(&dc->grid, v->low), last = mg_grid_nearest(&dc->grid, v->high);
	out_cell piece = *c;

	if (mg_grid_value(&dc->grid, last) > v->high)
		last -= 1;
	first = fmax(first, c->base);
	last = fmin(last, c->base + (double) (c->count - 1));
	if (!(first <= last))
		return;
	piece.base = first;
	piece.count = (uint64_t) (last - first) + 1;
	if (piece.count == 1)
	{
		piece.kind = CELL_SINGLE;
		piece.base = mg_grid_value(&dc->grid, first);
	}
	append_piece(dc, l, &piece, mass * (double) piece.count / (double) c->count);
}

/* The part of a continuous cell that lies in one interval; single points have no width. */
static void
append_span(mg_decoder_column *dc, layout *l, const out_cell *c, const mg_interval *v, double mass)
{
	out_cell piece = *c;

	piece.low = fmax(c->low, v->low);
	piece.high = fmin(c->high, v->high);
	if (!(piece.low < piece.high))
		return;
	if (piece.low > c->low || piece.high < c->high)
		decimal_unit(&piece);
	append_piece(dc, l, &piece, mass * ((piece.high - piece.low) / (c->high - c->low)));
}

static void
append_part(mg_decoder_column *dc, layout *l, const out_cell *c, double mass)
{
	const mg_condition *given = l->given;

	if (c->kind == CELL_NULL)
		append_piece(dc, l, c, given->null ? mass : 0);
	else if (c->kind == CELL_LABEL)
		append_piece(dc, l, c, given->label[c->label] ? mass : 0);
	else
		for (uint32_t i = 0; i < given->nintervals; i++)
		{
			const mg_interval *v = &given->interval[i];

			if (c->kind == CELL_STEPS)
				append_steps(dc, l, c, v, mass);
			else if (c->kind == CELL_SPAN)
				append_span(dc, l, c, v, mass);
			else if (v->low <= c->base && c->base <= v->high)
				append_piece(dc, l, c, mass);
		}
}

/* append_cells under a condition: the shares that the cells have without (cumulate), cut to what satisfies it. */
static uint32_t
append_satisfying(mg_decoder_column *dc, layout *l, uint32_t from, uint32_t to)
{
	uint32_t before = dc->ncells, n = 0;
	double all = 0, kept = 0;
	out_cell c;

	for (uint32_t k = from; k < to; k++)
		if (prepare_cell(dc->col, &dc->grid, l->order[k], &c))
		{
			all += dc->col->fine[l->order[k]];
			n++;
		}
	for (uint32_t k = from; k < to; k++)
		if (prepare_cell(dc->col, &dc->grid, l->order[k], &c))
			append_part(dc, l, &c, all > 0 ? dc->col->fine[l->order[k]] / all : 1.0 / n);
	for (uint32_t i = before; i < dc->ncells; i++)
		kept += l->mass[i];
	l->satisfied = fmin(kept, 1);
	l->emittable = n > 0;
	return dc->ncells - before;
}

/* A counting sort of the fine cells by their codes. */
static mg_code
sort_cells(mg_ctx *ctx, mg_arena *a, const mg_column *col, layout *l)
{
	uint32_t *at;

	MG_NEW(ctx, a, l->order, col->nfine);
	MG_NEW(ctx, a, l->start, col->ncoarse + 1);
	MG_NEW(ctx, a, at, col->ncoarse);
	for (uint32_t i = 0; i < col->nfine; i++)
		l->start[col->merge[i] + 1]++;
	for (uint32_t b = 0; b < col->ncoarse; b++)
	{
		at[b] = l->start[b];
		l->start[b + 1] += l->start[b];
	}
	for (uint32_t i = 0; i < col->nfine; i++)
		l->order[at[col->merge[i]]++] = i;
	return MG_OK;
}

/* Appends those of the cells order[from..to) that can be emitted; how many. */
static uint32_t
append_cells(mg_decoder_column *dc, layout *l, uint32_t from, uint32_t to)
{
	uint32_t before = dc->ncells;

	if (l->given != NULL)
		return append_satisfying(dc, l, from, to);
	for (uint32_t k = from; k < to; k++)
		if (prepare_cell(dc->col, &dc->grid, l->order[k], &dc->cell[dc->ncells]))
		{
			dc->place[l->order[k]] = (int32_t) dc->ncells;
			l->mass[dc->ncells++] = dc->col->fine[l->order[k]];
		}
	return dc->ncells - before;
}

/*
 * The whole column, for codes that cannot be emitted or, under a condition, must not be; or a label index beyond the
 * last, the caller's empty value. *satisfied: its share that satisfies the condition.
 */
static void
append_whole(mg_decoder_column *dc, layout *l, bin *out, double *satisfied)
{
	out->from = dc->ncells;
	out->n = append_cells(dc, l, 0, dc->col->nfine);
	*satisfied = l->satisfied;
	if (out->n > 0)
		return;
	*satisfied = 0;
	memset(&dc->cell[dc->ncells], 0, sizeof(out_cell));
	dc->cell[dc->ncells].kind = CELL_LABEL;
	dc->cell[dc->ncells].label = dc->col->domain.nlabels;
	l->mass[dc->ncells++] = 1;
	out->n = 1;
}

/* weight: [nbins], NULL without a condition. */
static void
prepare_bins(mg_decoder_column *dc, layout *l, double *weight)
{
	bin whole = {0, 0};
	double satisfied = 0; /* of the whole */

	dc->direct = true;
	dc->nbins = dc->col->ncoarse;
	for (uint32_t b = 0; b < dc->nbins; b++)
	{
		bin *bn = &dc->bin[b];

		bn->from = dc->ncells;
		bn->n = append_cells(dc, l, l->start[b], l->start[b + 1]);
		if (weight != NULL)
			weight[b] = l->satisfied;
		if (bn->n == 0)
		{
			bool emittable = l->emittable;

			if (whole.n == 0)
				append_whole(dc, l, &whole, &satisfied);
			*bn = whole;
			if (weight != NULL && !emittable)
				weight[b] = satisfied;
		}
		cumulate(dc->upto + bn->from, l->mass + bn->from, bn->n);
		if (bn->n > 1 || dc->cell[bn->from].kind > CELL_SINGLE)
			dc->direct = false;
	}
}

static mg_code
prepare(mg_ctx *ctx, mg_arena *a, const mg_column *col, const mg_condition *given, mg_decoder_column **out,
		double *weight)
{
	mg_decoder_column *dc;
	layout l = {.given = given};
	/*
	 * the bins, the whole column once more, the caller's empty value; an interval cuts at most one more piece off a
	 * cell, and a lattice point may lie on the edge of two
	 */
	size_t most = 2 * (size_t) col->nfine + 1;

	if (given != NULL && col->domain.kind == MG_NUMBER)
		most = 2 * (2 * (size_t) col->nfine + given->nintervals) + 1;
	if (most > UINT16_MAX)
		return mg_fail(ctx, MG_INVALID, "a column of the model has too many cells");
	l.room = most - 1;
	MG_NEW(ctx, a, dc, 1);
	MG_NEW(ctx, a, dc->cell, most);
	MG_NEW(ctx, a, dc->upto, most);
	MG_NEW(ctx, a, l.mass, most);
	MG_NEW(ctx, a, dc->bin, col->ncoarse);
	MG_NEW(ctx, a, dc->place, col->nfine);
	for (uint32_t f = 0; f < col->nfine; f++)
		dc->place[f] = -1;
	dc->col = col;
	MG_TRY(sort_cells(ctx, a, col, &l));
	if (col->domain.kind == MG_NUMBER)
		mg_grid_init(&dc->grid, &col->domain);
	prepare_bins(dc, &l, weight);
	*out = dc;
	return MG_OK;
}

mg_code
mg_values_prepare(mg_ctx *ctx, mg_arena *a, const mg_column *col, mg_decoder_column **out)
{
	return prepare(ctx, a, col, NULL, out, NULL);
}

mg_code
mg_values_prepare_given(mg_ctx *ctx, mg_arena *a, const mg_column *col, const mg_condition *given,
						mg_decoder_column **out, double *weight)
{
	return prepare(ctx, a, col, given, out, weight);
}

bool
mg_values_fixed(const mg_decoder_column *dc)
{
	return dc->direct;
}

/* ---- drawing ---- */

/* The m cells of one bin's rows, in the order of the cells: cell k ends at the least j with (j + u) / m >= upto[k]. */
static void
lay_out(const mg_decoder_column *dc, const bin *b, uint32_t m, double u, uint16_t *pool)
{
	uint32_t j = 0;

	for (uint32_t k = b->from; k < b->from + b->n; k++)
	{
		double end = k + 1 < b->from + b->n ? ceil(m * dc->upto[k] - u) : m;

		while (j < m && j < end)
			pool[j++] = (uint16_t) k;
	}
}

/* cell[i]: the out_cell of row i. Scratch: pool, then left and end of each bin's rows in it. */
static void
deal(const mg_decoder_column *dc, mg_rng *rng, const uint16_t *codes, uint32_t n, mg_values_scratch *s)
{
	uint32_t at = 0;

	memset(s->left, 0, dc->nbins * sizeof(uint32_t));
	for (uint32_t i = 0; i < n; i++)
		s->left[codes[i]]++;
	for (uint32_t b = 0; b < dc->nbins; b++)
	{
		s->start[b] = at;
		if (s->left[b] > 0)
			lay_out(dc, &dc->bin[b], s->left[b], mg_rng_unit(rng), s->pool + at);
		at += s->left[b];
	}
	/* each row takes a random one of what is left for its bin (Fisher-Yates, in place) */
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t b = codes[i], left = s->left[b]--;
		uint16_t *pool = s->pool + s->start[b];
		uint32_t r = mg_rng_below32((uint32_t) (mg_rng_u64(rng) >> 32), left);

		s->cell[i] = pool[r];
		pool[r] = pool[left - 1];
	}
}

static inline void
emit_category(const out_cell *c, uint32_t i, mg_values *out)
{
	out->null[i] = c->kind == CELL_NULL;
	out->label[i] = c->label;
}

static inline double
draw_span(const out_cell *c, mg_rng *rng)
{
	double u = mg_rng_unit(rng);
	double x = c->low * (1 - u) + c->high * u;

	if (c->scale > 0)
		x = rint(x * c->scale) / c->scale;
	else if (c->unit > 0)
		x = rint(x / c->unit) * c->unit;
	x = x < c->low ? c->low : x;
	return x > c->high ? c->high : x;
}

static inline double
draw_steps(const mg_decoder_column *dc, const out_cell *c, mg_rng *rng)
{
	uint64_t k = (uint64_t) (((unsigned __int128) mg_rng_u64(rng) * c->count) >> 64);

	return mg_grid_value(&dc->grid, c->base + (double) k);
}

static inline void
emit_number(const mg_decoder_column *dc, mg_rng *rng, const out_cell *c, uint32_t i, mg_values *out)
{
	out->null[i] = c->kind == CELL_NULL;
	if (c->kind == CELL_STEPS)
		out->number[i] = draw_steps(dc, c, rng);
	else if (c->kind == CELL_SPAN)
		out->number[i] = draw_span(c, rng);
	else
		out->number[i] = c->base;
}

void
mg_values_fill(const mg_decoder_column *dc, mg_rng *rng, const uint16_t *codes, uint32_t n, mg_values_scratch *s,
			   mg_values *out)
{
	if (dc->direct)
		for (uint32_t i = 0; i < n; i++)
			s->cell[i] = (uint16_t) dc->bin[codes[i]].from;
	else
		deal(dc, rng, codes, n, s);
	if (dc->col->domain.kind == MG_CATEGORY)
		for (uint32_t i = 0; i < n; i++)
			emit_category(&dc->cell[s->cell[i]], i, out);
	else
		for (uint32_t i = 0; i < n; i++)
			emit_number(dc, rng, &dc->cell[s->cell[i]], i, out);
}

void
mg_values_fill_rows(const mg_decoder_column *dc, mg_rng *rng, const uint16_t *codes, uint32_t n, const uint16_t *row,
					uint32_t nrows, mg_values_scratch *s, mg_values *out)
{
	uint32_t k = 0;

	if (nrows == n || nrows == 0)
	{
		if (nrows > 0)
			mg_values_fill(dc, rng, codes, n, s, out);
		return;
	}
	if (dc->direct)
		for (uint32_t i = 0; i < nrows; i++)
			s->cell[row[i]] = (uint16_t) dc->bin[codes[row[i]]].from;
	else
		deal(dc, rng, codes, n, s);
	if (dc->direct || dc->col->domain.kind == MG_CATEGORY)
	{
		/* nothing more is drawn */
		for (uint32_t i = 0; i < nrows; i++)
		{
			if (dc->col->domain.kind == MG_CATEGORY)
				emit_category(&dc->cell[s->cell[row[i]]], row[i], out);
			else
				emit_number(dc, rng, &dc->cell[s->cell[row[i]]], row[i], out);
		}
		return;
	}
	/* rows between draw what they would have drawn: one word each, of cells with several values */
	for (uint32_t i = 0; k < nrows; i++)
	{
		const out_cell *c = &dc->cell[s->cell[i]];

		if (i == row[k])
		{
			emit_number(dc, rng, c, i, out);
			k++;
		}
		else if (c->kind > CELL_SINGLE)
			(void) mg_rng_u64(rng);
	}
}

/* ---- what a code may become ---- */

bool
mg_values_may(const mg_decoder_column *dc, uint16_t code, const mg_condition *c, mg_snap snap, void *arg)
{
	const bin *b = &dc->bin[code];
	uint32_t col = c->col;

	for (uint32_t k = b->from; k < b->from + b->n; k++)
	{
		const out_cell *cell = &dc->cell[k];
		double low = cell->base, high = low;

		if (cell->kind == CELL_NULL || cell->kind == CELL_LABEL)
		{
			if (cell->kind == CELL_NULL ? c->null : c->label[cell->label])
				return true;
			continue;
		}
		if (cell->kind == CELL_STEPS)
		{
			low = mg_grid_value(&dc->grid, cell->base);
			high = mg_grid_value(&dc->grid, cell->base + (double) (cell->count - 1));
		}
		else if (cell->kind == CELL_SPAN)
		{
			low = cell->low;
			high = cell->high;
		}
		if (snap != NULL)
		{
			low = snap(arg, col, low);
			high = snap(arg, col, high);
		}
		if (mg_condition_admits(c, low, high))
			return true;
	}
	return false;
}

static inline void
emit_cell(const mg_decoder_column *dc, mg_rng *rng, uint32_t cell, uint32_t i, mg_values *out)
{
	if (dc->col->domain.kind == MG_CATEGORY)
		emit_category(&dc->cell[cell], i, out);
	else
		emit_number(dc, rng, &dc->cell[cell], i, out);
}

void
mg_values_draw(const mg_decoder_column *dc, mg_rng *rng, uint16_t code, uint32_t i, mg_values *out)
{
	const bin *b = &dc->bin[code];
	uint32_t low = b->from, high = b->from + b->n - 1;
	double u = mg_rng_unit(rng);

	/* the first cell of the bin whose cumulative share is beyond u */
	while (low < high)
	{
		uint32_t mid = low + (high - low) / 2;

		if (dc->upto[mid] > u)
			high = mid;
		else
			low = mid + 1;
	}
	emit_cell(dc, rng, low, i, out);
}

void
mg_values_draw_cell(const mg_decoder_column *dc, mg_rng *rng, uint32_t fine, uint32_t i, mg_values *out)
{
	if (dc->place[fine] < 0)
		mg_values_draw(dc, rng, dc->col->merge[fine], i, out);
	else
		emit_cell(dc, rng, (uint32_t) dc->place[fine], i, out);
}

/* ---- drawing within bounds ---- */

/* The part of the cell within [low, high], into *from .. *to (lattice points, or values); its share of the cell. */
static double
clip_cell(const mg_decoder_column *dc, const out_cell *c, double low, double high, double *from, double *to)
{
	if (c->kind == CELL_SINGLE)
		return c->base >= low && c->base <= high ? 1 : 0;
	if (c->kind == CELL_STEPS)
	{
		double last = c->base + (double) (c->count - 1);

		*from = low > mg_grid_value(&dc->grid, c->base) ? mg_grid_ceil(&dc->grid, low) : c->base;
		*to = last;
		if (high < mg_grid_value(&dc->grid, last))
		{
			*to = mg_grid_nearest(&dc->grid, high);
			if (mg_grid_value(&dc->grid, *to) > high)
				*to -= 1;
		}
		return *to >= *from ? (*to - *from + 1) / (double) c->count : 0;
	}
	if (c->kind != CELL_SPAN)
		return 0;
	*from = fmax(low, c->low);
	*to = fmin(high, c->high);
	/* a single point has no share of an interval, but may be all that is asked for */
	return *to > *from ? (*to - *from) / (c->high - c->low) : *to == *from ? 1e-12 : 0;
}

static double
draw_clipped(const mg_decoder_column *dc, const out_cell *c, mg_rng *rng, double from, double to)
{
	double u = mg_rng_unit(rng), x, round;

	if (c->kind == CELL_SINGLE)
		return c->base;
	if (c->kind == CELL_STEPS)
		return mg_grid_value(&dc->grid, fmin(from + floor(u * (to - from + 1)), to));
	x = from * (1 - u) + to * u;
	round = c->scale > 0 ? rint(x * c->scale) / c->scale : c->unit > 0 ? rint(x / c->unit) * c->unit : x;
	return round >= from && round <= to ? round : fmin(fmax(x, from), to);
}

bool
mg_values_within(const mg_decoder_column *dc, mg_rng *rng, uint16_t code, double low, double high, double *out)
{
	const bin *b = &dc->bin[code];
	double total = 0, before = 0, from = 0, to = 0, u;

	if (dc->col->domain.kind != MG_NUMBER || !(low <= high))
		return false;
	for (uint32_t k = b->from; k < b->from + b->n; before = dc->upto[k++])
		total += (dc->upto[k] - before) * clip_cell(dc, &dc->cell[k], low, high, &from, &to);
	if (!(total > 0))
		return false;
	u = mg_rng_unit(rng) * total;
	before = total = 0;
	for (uint32_t k = b->from; k < b->from + b->n; before = dc->upto[k++])
	{
		double w = (dc->upto[k] - before) * clip_cell(dc, &dc->cell[k], low, high, &from, &to);

		total += w;
		if (w > 0 && total > u)
		{
			*out = draw_clipped(dc, &dc->cell[k], rng, from, to);
			return true;
		}
	}
	return false;
}
