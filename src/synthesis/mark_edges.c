/*
 * synthesis/mark_edges.c: how rows are scored over an edge of the junction tree: what mark_pass.c works with.
 *
 * Of a subset with one column w in the branch and columns U outside, a row's U picks a row of scores, one for each
 * group of w. Subsets of the same w whose U is within another's, or nearly so, are added up in one table over the
 * union; and columns of few groups share a table's width. So each row of the batch sums a few vectors, and knows the
 * score of every branch that it could be given. Adding up is exact: a table's entries are sums of the scores of cells.
 *
 * Memory is the stream's arena.
 */
#include "synthesis/marking_private.h"

#include "model/dependency.h"

#include <string.h>

#define LANES MG_MARK_LANES
#define MOST_UNITS 65535 /* of an edge's tables: 16 bits tell them apart */
#define MOST_JOINED 2048 /* bytes that subsets are put together in: more would leave the nearest cache */
#define MOST_COLUMNS 8   /* outside the branch, of a table */

/* A column of the branch. */
typedef struct place
{
	uint32_t col, segment, lane; /* of the segment */
} place;

typedef struct table
{
	uint32_t segment, k, cols[MOST_COLUMNS], stride[MOST_COLUMNS]; /* strides in cells */
	uint32_t cells, first;                                         /* first in units */
	uint32_t order;                                                /* among all tables */
} table;

/* A subset in a table. */
typedef struct member
{
	const mg_mark_subset *of;
	uint32_t place, table;
} member;

typedef struct packing
{
	const mg_mark_plan *plan;
	uint32_t nmembers, njoined, nplaces, nsegments, ntables, nloose;
	size_t units;
	member member[MG_MARK_SUBSETS]; /* of many cells first; [njoined] in their tables */
	place place[MG_MOST_PLACES];    /* of many groups first */
	uint32_t lanes[MG_MOST_PLACES], used[MG_MOST_PLACES], start[MG_MOST_PLACES]; /* of segments */
	table table[MG_MARK_SUBSETS];
	const mg_mark_subset *loose[MG_MARK_SUBSETS];
} packing;

/* ---- sides ---- */

static bool
listed(const uint32_t *list, uint32_t n, uint32_t col)
{
	for (uint32_t i = 0; i < n; i++)
		if (list[i] == col)
			return true;
	return false;
}

bool
mg_in_branch(const mg_branch *b, uint32_t col)
{
	return listed(b->branch, b->nbranch, col);
}

static int
part_of(const mg_branch *b, uint32_t col)
{
	return mg_in_branch(b, col) ? MG_PART_BRANCH : listed(b->sep, b->nsep, col) ? MG_PART_SEPARATOR : MG_PART_REST;
}

/* How many columns of the subset are in this part? */
static uint32_t
columns_in(const mg_branch *b, const mg_mark_subset *of, int part)
{
	uint32_t n = 0;

	for (uint32_t j = 0; j < of->k; j++)
		n += part_of(b, of->cols[j]) == part;
	return n;
}

static uint32_t
groups_of(const packing *k, uint32_t col)
{
	return k->plan->column[col].ngroups;
}

/* ---- what goes where ---- */

static void
make_loose(packing *k, const mg_mark_subset *of)
{
	k->loose[k->nloose++] = of;
}

/* The place of a column, a new one where it has none; MG_MOST_PLACES: there is no room for one. */
static uint32_t
find_place(packing *k, uint32_t col)
{
	uint32_t i = 0;

	while (i < k->nplaces && k->place[i].col != col)
		i++;
	if (i == k->nplaces && i < MG_MOST_PLACES)
		k->place[k->nplaces++].col = col;
	return i;
}

static void
sort_subsets(packing *k, const mg_branch *b, bool tables)
{
	for (uint32_t i = 0; i < k->plan->nsubsets; i++)
	{
		const mg_mark_subset *of = &k->plan->subset[i];
		uint32_t within = columns_in(b, of, MG_PART_BRANCH), at = k->nmembers, j = 0, spot;

		if (within == 0 || columns_in(b, of, MG_PART_REST) == 0)
			continue;
		while (!mg_in_branch(b, of->cols[j]))
			j++;
		spot = tables && within == 1 ? find_place(k, of->cols[j]) : MG_MOST_PLACES;
		if (spot == MG_MOST_PLACES)
		{
			make_loose(k, of);
			continue;
		}
		for (; at > 0 && k->member[at - 1].of->cells < of->cells; at--)
			k->member[at] = k->member[at - 1];
		k->member[at] = (member){.of = of, .place = spot};
		k->nmembers++;
	}
}

/* Columns of many groups first, each into the first segment that has room. */
static void
place_columns(packing *k)
{
	bool placed[MG_MOST_PLACES] = {false};

	for (uint32_t i = 0; i < k->nplaces; i++)
	{
		uint32_t next = 0, groups, s = 0;

		while (placed[next])
			next++;
		for (uint32_t j = next + 1; j < k->nplaces; j++)
			if (!placed[j] && groups_of(k, k->place[j].col) > groups_of(k, k->place[next].col))
				next = j;
		placed[next] = true;
		groups = groups_of(k, k->place[next].col);
		while (s < k->nsegments && k->used[s] + groups > k->lanes[s])
			s++;
		if (s == k->nsegments)
		{
			k->lanes[s] = groups > LANES ? 2 * LANES : LANES;
			k->used[s] = 0;
			k->start[s] = s == 0 ? 0 : k->start[s - 1] + k->lanes[s - 1];
			k->nsegments++;
		}
		k->place[next].segment = s;
		k->place[next].lane = k->used[s];
		k->used[s] += groups;
	}
}

/* t over the subset's columns outside the branch as well. False: that is too many. */
static bool
widen(const packing *k, table *t, const member *m)
{
	for (uint32_t j = 0; j < m->of->k; j++)
	{
		uint32_t col = m->of->cols[j];

		if (col == k->place[m->place].col || listed(t->cols, t->k, col))
			continue;
		if (t->k == MOST_COLUMNS)
			return false;
		t->cols[t->k++] = col;
		t->cells *= groups_of(k, col);
	}
	return true;
}

/* Into the table that grows least, or a new one. False: there is no room for it. */
static bool
join_table(packing *k, member *m)
{
	uint32_t segment = k->place[m->place].segment, width = k->lanes[segment], best = k->ntables;
	table widest = {.segment = segment, .cells = 1};
	size_t least = SIZE_MAX;

	if (!widen(k, &widest, m))
		return false;
	for (uint32_t i = 0; i < k->ntables; i++)
	{
		table t = k->table[i];

		if (t.segment != segment || !widen(k, &t, m) ||
			(t.cells > k->table[i].cells && t.cells * width > MOST_JOINED) || t.cells - k->table[i].cells >= least)
			continue;
		least = t.cells - k->table[i].cells;
		best = i;
		widest = t;
	}
	if (best == k->ntables)
		least = widest.cells;
	if (k->units + least * width / LANES > MOST_UNITS)
		return false;
	k->units += least * width / LANES;
	k->table[best] = widest;
	k->ntables += best == k->ntables;
	m->table = best;
	return true;
}

/* Tables in the order of their segments, and where they begin. */
static void
order_tables(packing *k, mg_edge *e)
{
	uint32_t order = 0, first = 0;

	for (uint32_t s = 0; s < k->nsegments; s++)
		for (uint32_t i = 0; i < k->ntables; i++)
		{
			table *t = &k->table[i];

			if (t->segment != s)
				continue;
			for (uint32_t j = t->k, stride = 1; j-- > 0; stride *= groups_of(k, t->cols[j]))
				t->stride[j] = stride;
			t->order = order++;
			t->first = first;
			first += t->cells * k->lanes[s] / LANES;
			e->segment[s].ntables++;
		}
}

static mg_code
pack(mg_ctx *ctx, const mg_edge_maker *maker, packing *k, bool tables, mg_edge *e)
{
	sort_subsets(k, e->branch, tables);
	place_columns(k);
	for (uint32_t i = 0; i < k->nmembers; i++)
	{
		member m = k->member[i];

		if (!join_table(k, &m))
			make_loose(k, m.of);
		else
			k->member[k->njoined++] = m;
	}
	e->nplaces = k->nplaces;
	e->nsegments = k->nsegments;
	e->units = k->units;
	e->nloose = k->nloose;
	e->table_vectors = (k->ntables + LANES - 1) / LANES;
	e->place_vectors = (k->nplaces + LANES - 1) / LANES;
	e->loose_vectors = (k->nloose + LANES - 1) / LANES;
	MG_NEW(ctx, maker->arena, e->segment, (size_t) k->nsegments + 1);
	for (uint32_t s = 0; s < k->nsegments; s++)
		e->segment[s].wide = k->lanes[s] > LANES;
	order_tables(k, e);
	return MG_OK;
}

/* ---- what columns add ---- */

static void
set_lane(mg_lanes *v, uint32_t lane, uint32_t to)
{
	v[lane / LANES][lane % LANES] = (uint16_t) to;
}

/* Group g of column col, into the vectors of its part. False: it adds nothing to any. */
static bool
add_group(const packing *k, const mg_edge *e, int part, uint32_t col, uint32_t g, mg_lanes *v)
{
	uint32_t loose = LANES * (part == MG_PART_BRANCH ? e->place_vectors : e->table_vectors);
	bool any = false;

	for (uint32_t i = 0; i < k->nplaces && part == MG_PART_BRANCH; i++)
		if (k->place[i].col == col)
		{
			set_lane(v, i, k->start[k->place[i].segment] + k->place[i].lane + g);
			any = true;
		}
	for (uint32_t i = 0; i < k->ntables && part != MG_PART_BRANCH; i++)
		for (uint32_t j = 0; j < k->table[i].k; j++)
			if (k->table[i].cols[j] == col)
			{
				set_lane(v, k->table[i].order, g * k->table[i].stride[j] * k->lanes[k->table[i].segment] / LANES);
				any = true;
			}
	for (uint32_t i = 0; i < k->nloose; i++)
		for (uint32_t j = 0; j < k->loose[i]->k; j++)
			if (k->loose[i]->cols[j] == col)
			{
				set_lane(v, loose + i, g * k->loose[i]->stride[j]);
				any = true;
			}
	return any;
}

static mg_code
make_terms(mg_ctx *ctx, const mg_edge_maker *maker, const packing *k, mg_edge *e)
{
	/* one vector more: what is smaller than two is not aligned to one */
	MG_NEW(ctx, maker->arena, e->base, (size_t) e->table_vectors + e->loose_vectors + 1);
	MG_NEW(ctx, maker->arena, e->own_base, (size_t) e->place_vectors + e->loose_vectors + 1);
	for (uint32_t i = k->nplaces; i < e->place_vectors * LANES; i++)
		set_lane(e->own_base, i, k->start[k->nsegments - 1] + k->lanes[k->nsegments - 1]);
	for (uint32_t i = 0; i < k->ntables; i++)
		set_lane(e->base, k->table[i].order, k->table[i].first);
	for (uint32_t i = 0; i < e->loose_vectors * LANES; i++)
		set_lane(e->base, e->table_vectors * LANES + i, i < k->nloose ? k->loose[i]->first : k->plan->cells);
	for (int part = 0; part < MG_PARTS; part++)
		MG_NEW(ctx, maker->arena, e->terms[part], (size_t) maker->nslots + 1);
	for (uint32_t i = 0; i < maker->nslots; i++)
	{
		uint32_t col = maker->col[i], groups = groups_of(k, col);
		int part = part_of(e->branch, col);
		size_t vectors = (part == MG_PART_BRANCH ? e->place_vectors : e->table_vectors) + e->loose_vectors;
		bool any = false;
		mg_lanes *add;

		MG_NEW(ctx, maker->arena, add, groups * vectors + 1);
		for (uint32_t g = 0; g < groups; g++)
			any = add_group(k, e, part, col, g, add + g * vectors) || any;
		if (any)
			e->terms[part][e->nterms[part]++] = (mg_terms){i, add};
	}
	return MG_OK;
}

/* ---- tables ---- */

/* Adds the scores of a subset's cells to its table, cell by cell of the table. */
static void
fill_member(const packing *k, const int8_t *score, const member *m, mg_edge *e)
{
	const table *t = &k->table[m->table];
	const place *w = &k->place[m->place];
	uint32_t digit[MOST_COLUMNS] = {0}, stride[MOST_COLUMNS] = {0}, step = 0, groups = groups_of(k, w->col);
	size_t width = k->lanes[t->segment];
	int16_t *out = (int16_t *) (e->table + t->first) + w->lane;
	const int8_t *in = score + m->of->first;

	for (uint32_t j = 0; j < m->of->k; j++)
	{
		step = m->of->cols[j] == w->col ? m->of->stride[j] : step;
		for (uint32_t i = 0; i < t->k; i++)
			stride[i] = t->cols[i] == m->of->cols[j] ? m->of->stride[j] : stride[i];
	}
	for (uint32_t cell = 0; cell < t->cells; cell++, out += width)
	{
		for (uint32_t g = 0; g < groups; g++)
			out[g] = (int16_t) (out[g] + in[g * step]);
		for (uint32_t i = t->k; i-- > 0;)
		{
			in += stride[i];
			if (++digit[i] < groups_of(k, t->cols[i]))
				break;
			in -= digit[i] * stride[i];
			digit[i] = 0;
		}
	}
}

mg_code
mg_edge_make(mg_ctx *ctx, const mg_edge_maker *maker, const mg_branch *b, bool tables, mg_edge *e)
{
	packing *k;

	MG_NEW(ctx, maker->arena, k, 1);
	k->plan = maker->plan;
	*e = (mg_edge){.branch = b, .score = maker->score};
	MG_TRY(pack(ctx, maker, k, tables, e));
	MG_TRY(make_terms(ctx, maker, k, e));
	MG_NEW(ctx, maker->arena, e->table, e->units + 1);
	for (uint32_t i = 0; i < k->njoined; i++)
		fill_member(k, maker->score, &k->member[i], e);
	return MG_OK;
}
