/*
 * graphical/triangulate.c: elimination orders (Rose 1970; Kjaerulff 1990) on graphs held as rows of bits.
 *
 * Eliminating a column joins its neighbours to each other; the column and its neighbours at that moment are a clique
 * of the chordal graph that results. Three observations keep this cheap and the result good:
 *
 * - A column whose neighbours are joined already (simplicial) can always go first: its clique is in every
 *   triangulation. What is left when no such column remains, the core, does not depend on the order in which they went.
 * - The connected parts of the core have nothing to do with each other, so each takes the best order found for it.
 * - With one more set, the columns that went first in the base still can, unless they are in the set or something in
 *   the set hangs on them: only the paths from the set to the roots of the elimination forest, and the parts of the
 *   core that they end in, are worked out anew (mg_growth_cells).
 *
 * A clique is maximal unless it is the set of neighbours of a column eliminated earlier, whose first eliminated
 * neighbour its own column is (Blair, Peyton 1993): such sets wait in `open`.
 *
 * For columns of at least two codes, removing a needless edge of a chordal graph never adds cells, so going first with
 * simplicial columns never costs anything, and with the order of the columns among the orders tried, the result is
 * never larger than plain elimination in that order.
 *
 * Memory: everything is in the caller's arena; a growth is of one thread.
 */
#include "graphical/triangulate.h"

#include "num/rng.h"

#include <math.h>
#include <string.h>

#define NONE UINT32_MAX

typedef enum rule
{
	RULE_COLUMNS, /* in the order of the columns */
	RULE_FILL,    /* fewest edges added, then fewest cells */
	RULE_WEIGHT,  /* least sum of the products of sizes over the edges added, then fewest cells */
	RULE_CELLS,   /* fewest cells in the clique made, then fewest edges added */
	RULES
} rule;

typedef struct score
{
	double first, then;
	bool free; /* simplicial */
} score;

typedef struct solver
{
	uint32_t n, words;
	const double *size;   /* [n] */
	uint64_t *adj;        /* [n][words] neighbours among those left, of the run going on */
	uint64_t *core;       /* [n][words] the same when the core was reached */
	uint64_t *left;       /* [words] not eliminated yet */
	uint64_t *part;       /* [words] the part of the core at work */
	uint64_t *touched;    /* [words] whose score the last elimination may have changed */
	uint64_t *sep;        /* [n][words] neighbours of an eliminated column when it went */
	uint32_t *sep_k;      /* [n] how many */
	uint32_t *open;       /* eliminated columns none of whose neighbours has gone since */
	uint32_t *open_saved; /* the same when the core was reached */
	uint32_t nopen, nsaved;
	score *score;           /* [n] */
	uint32_t *order, *best; /* [n] of the run, and of the best one of the part */
	uint32_t taken;
	double total;     /* cells of the maximal cliques of the run */
	double last;      /* cells added by the last elimination: 0 where its clique is not maximal */
	uint64_t *clique; /* NULL: cliques are not kept; else [n][words] */
	uint32_t cliques;
} solver;

static inline bool
has(const uint64_t *set, uint32_t v)
{
	return set[v / 64] >> (v % 64) & 1;
}

static inline void
put(uint64_t *set, uint32_t v)
{
	set[v / 64] |= (uint64_t) 1 << (v % 64);
}

static inline void
drop(uint64_t *set, uint32_t v)
{
	set[v / 64] &= ~((uint64_t) 1 << (v % 64));
}

/* The first member at or after v; NONE when there is none. */
static inline uint32_t
next_of(const uint64_t *set, uint32_t words, uint32_t v)
{
	uint32_t w = v / 64;
	uint64_t bits;

	if (w >= words)
		return NONE;
	bits = set[w] >> (v % 64) << (v % 64);
	while (bits == 0)
	{
		if (++w == words)
			return NONE;
		bits = set[w];
	}
	return w * 64 + (uint32_t) __builtin_ctzll(bits);
}

#define INLINE static inline __attribute__((always_inline))
#define foreach(v, set, words) for (uint32_t v = next_of(set, words, 0); v != NONE; v = next_of(set, words, v + 1))

static inline uint64_t *
row(uint64_t *rows, const solver *s, uint32_t v)
{
	return rows + (size_t) v * s->words;
}

static mg_code
solver_make(mg_ctx *ctx, mg_arena *a, const uint32_t *sizes, uint32_t n, solver *s)
{
	size_t cells;
	double *size;

	memset(s, 0, sizeof(*s));
	s->n = n;
	s->words = n / 64 + 1;
	if (!mg_mul_size(n, s->words, &cells))
		return mg_fail(ctx, MG_INVALID, "too many columns");
	MG_NEW(ctx, a, size, n);
	MG_NEW(ctx, a, s->adj, cells);
	MG_NEW(ctx, a, s->core, cells);
	MG_NEW(ctx, a, s->sep, cells);
	MG_NEW(ctx, a, s->left, s->words);
	MG_NEW(ctx, a, s->part, s->words);
	MG_NEW(ctx, a, s->touched, s->words);
	MG_NEW(ctx, a, s->sep_k, n);
	MG_NEW(ctx, a, s->open, n);
	MG_NEW(ctx, a, s->open_saved, n);
	MG_NEW(ctx, a, s->score, n);
	MG_NEW(ctx, a, s->order, n);
	MG_NEW(ctx, a, s->best, n);
	for (uint32_t i = 0; i < n; i++)
		size[i] = sizes[i];
	s->size = size;
	return MG_OK;
}

/* Is the clique of v, k columns large, what an earlier column left behind? Takes the sets that wait for v. */
static bool
absorbed(solver *s, uint32_t v, uint32_t k)
{
	bool found = false;

	for (uint32_t i = 0; i < s->nopen;)
	{
		uint32_t u = s->open[i];

		if (!has(row(s->sep, s, u), v))
		{
			i++;
			continue;
		}
		found = found || s->sep_k[u] == k;
		s->open[i] = s->open[--s->nopen];
	}
	return found;
}

/* Joins the neighbours of v to each other and takes v out; `touched` are those whose score may differ now. */
static void
eliminate(solver *s, uint32_t v)
{
	const uint32_t words = s->words;
	uint64_t *near = row(s->sep, s, v);
	double cells = s->size[v];
	uint32_t k = 0;

	memcpy(near, row(s->adj, s, v), words * sizeof(*near));
	memcpy(s->touched, near, words * sizeof(*near));
	drop(s->left, v);
	foreach (u, near, words)
	{
		uint64_t *mine = row(s->adj, s, u);

		cells *= s->size[u];
		k++;
		for (uint32_t w = 0; w < words; w++)
		{
			uint64_t added = near[w] & ~mine[w];

			if (u / 64 == w)
				added &= ~((uint64_t) 1 << (u % 64));
			/* who is a neighbour of both ends of a new edge lacks one edge less */
			for (; added != 0; added &= added - 1)
			{
				const uint64_t *other = row(s->adj, s, w * 64 + (uint32_t) __builtin_ctzll(added));

				for (uint32_t x = 0; x < words; x++)
					s->touched[x] |= mine[x] & other[x];
			}
		}
		for (uint32_t w = 0; w < words; w++)
			mine[w] |= near[w];
		drop(mine, u);
		drop(mine, v);
	}
	drop(s->touched, v);
	s->sep_k[v] = k;
	s->last = absorbed(s, v, k + 1) ? 0 : cells;
	s->total += s->last;
	if (s->clique != NULL && s->last > 0)
	{
		uint64_t *out = row(s->clique, s, s->cliques++);

		memcpy(out, near, words * sizeof(*out));
		put(out, v);
	}
	if (k > 0)
		s->open[s->nopen++] = v;
	s->order[s->taken++] = v;
}

static bool
simplicial(const solver *s, uint32_t v)
{
	const uint64_t *near = row(s->adj, s, v);

	foreach (u, near, s->words)
	{
		const uint64_t *other = row(s->adj, s, u);

		for (uint32_t w = 0; w < s->words; w++)
		{
			uint64_t missing = near[w] & ~other[w];

			if (u / 64 == w)
				missing &= ~((uint64_t) 1 << (u % 64));
			if (missing != 0)
				return false;
		}
	}
	return true;
}

/* Neighbours of v that u is not joined to and that come after u, in word w: each missing edge is met once. */
INLINE uint64_t
missing_after(const uint64_t *near, const uint64_t *other, uint32_t u, uint32_t w)
{
	uint64_t missing = near[w] & ~other[w];

	if (w == u / 64)
		missing &= ~(uint64_t) 1 << (u % 64);
	return missing;
}

INLINE void
rate(solver *s, rule by, uint32_t v)
{
	const uint64_t *near = row(s->adj, s, v);
	double cells = s->size[v], weight = 0;
	uint32_t fill = 0;

	foreach (u, near, s->words)
	{
		const uint64_t *other = row(s->adj, s, u);
		double after = 0;

		cells *= s->size[u];
		for (uint32_t w = u / 64; w < s->words; w++)
		{
			uint64_t missing = missing_after(near, other, u, w);

			fill += (uint32_t) __builtin_popcountll(missing);
			for (; by == RULE_WEIGHT && missing != 0; missing &= missing - 1)
				after += s->size[w * 64 + (uint32_t) __builtin_ctzll(missing)];
		}
		weight += s->size[u] * after;
	}
	s->score[v].free = fill == 0;
	s->score[v].first = by == RULE_CELLS ? cells : by == RULE_WEIGHT ? weight : fill;
	s->score[v].then = by == RULE_CELLS ? fill : cells;
}

/*
 * The column to go next. Without rng the first of the best; with it one of those whose first score is within the
 * slack of the best, all alike (at slack 0: a tie broken at random).
 */
INLINE uint32_t
choose(solver *s, mg_rng *rng, double slack)
{
	uint32_t best = NONE, ties = 0;
	double most;

	foreach (v, s->part, s->words)
	{
		const score *x = &s->score[v], *y = best == NONE ? x : &s->score[best];

		if (x->free)
			return v;
		if (best == NONE || x->first < y->first || (x->first == y->first && x->then < y->then))
			best = v;
	}
	if (rng == NULL || best == NONE)
		return best;
	most = s->score[best].first * (1 + slack);
	foreach (v, s->part, s->words)
	{
		if (s->score[v].first <= most && mg_rng_below32((uint32_t) (mg_rng_u64(rng) >> 32), ++ties) == 0)
			best = v;
	}
	return best;
}

/* Back to where the core was reached, for the columns of the part. */
static void
rewind_part(solver *s, const uint64_t *part)
{
	memcpy(s->part, part, s->words * sizeof(*part));
	foreach (v, part, s->words)
	{
		memcpy(row(s->adj, s, v), row(s->core, s, v), s->words * sizeof(*part));
		put(s->left, v);
	}
	memcpy(s->open, s->open_saved, s->nsaved * sizeof(*s->open));
	s->nopen = s->nsaved;
	s->total = 0;
	s->taken = 0;
}

INLINE double
run_by(solver *s, const uint64_t *part, rule by, mg_rng *rng, double slack, double most)
{
	rewind_part(s, part);
	foreach (v, part, s->words)
	{
		if (by != RULE_COLUMNS)
			rate(s, by, v);
	}
	for (;;)
	{
		uint32_t v = by == RULE_COLUMNS ? next_of(s->part, s->words, 0) : choose(s, rng, slack);

		if (v == NONE)
			return s->total;
		drop(s->part, v);
		eliminate(s, v);
		if (s->total >= most && isfinite(most))
			return INFINITY;
		foreach (u, s->touched, s->words)
		{
			if (by != RULE_COLUMNS)
				rate(s, by, u);
		}
	}
}

/* Cells of one order of a part of the core; given up, and infinite, once it reaches `most`. */
MG_WIDE static double
run(solver *s, const uint64_t *part, rule by, mg_rng *rng, double slack, double most)
{
	/* each rule as code of its own */
	switch (by)
	{
		case RULE_FILL:
			return run_by(s, part, RULE_FILL, rng, slack, most);
		case RULE_WEIGHT:
			return run_by(s, part, RULE_WEIGHT, rng, slack, most);
		case RULE_CELLS:
			return run_by(s, part, RULE_CELLS, rng, slack, most);
		default:
			return run_by(s, part, RULE_COLUMNS, rng, slack, most);
	}
}

/* The best order of a part, into s->best; its cells. */
static double
solve_part(solver *s, const uint64_t *part, uint32_t restarts, mg_rng *rng)
{
	static const double slack[] = {0, 0.2, 0, 0.5};
	double best = INFINITY;
	uint32_t tries = RULES + restarts;

	for (uint32_t i = 0; i < tries; i++)
	{
		uint32_t r = i - RULES;
		double cells = i < RULES ? run(s, part, (rule) i, NULL, 0, best)
								 : run(s, part, (rule) (1 + r % (RULES - 1)), rng, slack[r / (RULES - 1) % 4], best);

		/* the first is kept in any case: cells may be beyond what a double holds */
		if (i == 0 || cells < best)
		{
			best = cells;
			memcpy(s->best, s->order, s->taken * sizeof(*s->best));
		}
	}
	return best;
}

/* Takes simplicial columns out of `left` until none remains. done(arg, v) is told of each. */
static void
reduce(solver *s, uint64_t *look, void (*done)(void *arg, uint32_t v), void *arg)
{
	memcpy(look, s->left, s->words * sizeof(*look));
	for (uint32_t v = next_of(look, s->words, 0); v != NONE; v = next_of(look, s->words, 0))
	{
		drop(look, v);
		if (!has(s->left, v) || !simplicial(s, v))
			continue;
		eliminate(s, v);
		for (uint32_t w = 0; w < s->words; w++)
			look[w] |= s->touched[w];
		if (done != NULL)
			done(arg, v);
	}
}

/* The part of what is left that holds v. */
static void
part_of(solver *s, uint32_t v, uint64_t *part)
{
	bool grown = true;

	memset(part, 0, s->words * sizeof(*part));
	put(part, v);
	while (grown)
	{
		grown = false;
		foreach (u, part, s->words)
		{
			const uint64_t *near = row(s->adj, s, u);

			for (uint32_t w = 0; w < s->words; w++)
			{
				grown = grown || (near[w] & ~part[w]) != 0;
				part[w] |= near[w];
			}
		}
	}
}

/* What reduce left is the core: runs start from here. */
static void
save_core(solver *s)
{
	foreach (v, s->left, s->words)
		memcpy(row(s->core, s, v), row(s->adj, s, v), s->words * sizeof(uint64_t));
	memcpy(s->open_saved, s->open, s->nopen * sizeof(*s->open));
	s->nsaved = s->nopen;
}

/* ---- a triangulation of the whole ---- */

static mg_code
load(mg_ctx *ctx, const uint32_t *sizes, uint32_t n, const mg_column_set *sets, uint32_t nsets, uint32_t words,
	 uint64_t *rows)
{
	size_t cells;

	for (uint32_t i = 0; i < nsets; i++)
	{
		MG_TRY(mg_column_set_check(ctx, sizes, n, &sets[i], &cells));
		for (uint32_t x = 0; x < sets[i].k; x++)
			for (uint32_t y = 0; y < sets[i].k; y++)
			{
				if (x != y)
					put(rows + (size_t) sets[i].cols[x] * words, sets[i].cols[y]);
			}
	}
	return MG_OK;
}

typedef struct parts
{
	uint32_t count;
	uint64_t *set; /* [count][words] */
	double *cells; /* [count] */
} parts;

/* Works out all of `left`: total in s->total, maximal cliques in s->clique, the parts of the core in `p`. */
static mg_code
solve(mg_ctx *ctx, mg_arena *a, solver *s, uint32_t restarts, void (*done)(void *arg, uint32_t v), void *arg, parts *p)
{
	uint64_t *look, *todo;
	double total;
	mg_rng rng;

	mg_rng_seed(&rng, 0x6d697261);
	MG_NEW(ctx, a, look, s->words);
	MG_NEW(ctx, a, todo, s->words);
	MG_NEW(ctx, a, s->clique, (size_t) s->n * s->words);
	MG_NEW(ctx, a, p->set, (size_t) s->n * s->words);
	MG_NEW(ctx, a, p->cells, s->n);
	p->count = 0;
	s->cliques = 0;
	reduce(s, look, done, arg);
	save_core(s);
	total = s->total;
	memcpy(todo, s->left, s->words * sizeof(*todo));
	for (uint32_t v = next_of(todo, s->words, 0); v != NONE; v = next_of(todo, s->words, 0))
	{
		uint64_t *part = row(p->set, s, p->count), *keep = s->clique;
		uint32_t columns;

		MG_TRY(mg_poll(ctx));
		part_of(s, v, part);
		s->clique = NULL;
		p->cells[p->count] = solve_part(s, part, restarts, &rng);
		s->clique = keep;
		rewind_part(s, part);
		columns = 0;
		foreach (u, part, s->words)
			columns++;
		for (uint32_t i = 0; i < columns; i++)
			eliminate(s, s->best[i]);
		total += p->cells[p->count++];
		for (uint32_t w = 0; w < s->words; w++)
			todo[w] &= ~part[w];
	}
	s->total = total;
	return MG_OK;
}

static void
set_left(solver *s)
{
	for (uint32_t v = 0; v < s->n; v++)
		put(s->left, v);
}

static mg_code
triangulate(mg_ctx *ctx, mg_arena *a, mg_arena *scratch, const uint32_t *sizes, uint32_t n, const mg_column_set *sets,
			uint32_t nsets, uint32_t restarts, mg_junction *out)
{
	solver s;
	parts p;
	mg_column_set *cliques;

	MG_TRY(solver_make(ctx, scratch, sizes, n, &s));
	MG_TRY(load(ctx, sizes, n, sets, nsets, s.words, s.adj));
	set_left(&s);
	MG_TRY(solve(ctx, scratch, &s, restarts, NULL, NULL, &p));
	MG_NEW(ctx, scratch, cliques, s.cliques);
	for (uint32_t c = 0; c < s.cliques; c++)
	{
		const uint64_t *set = row(s.clique, &s, c);
		uint32_t k = 0, *cols;

		MG_NEW(ctx, scratch, cols, n);
		foreach (v, set, s.words)
			cols[k++] = v;
		cliques[c] = (mg_column_set){k, cols, 0};
	}
	return mg_junction_build(ctx, a, sizes, n, cliques, s.cliques, out);
}

mg_code
mg_triangulate(mg_ctx *ctx, mg_arena *a, const uint32_t *sizes, uint32_t ncolumns, const mg_column_set *sets,
			   uint32_t nsets, uint32_t restarts, mg_junction *out)
{
	mg_arena *scratch;
	mg_code code;

	if (ncolumns == 0)
		return mg_fail(ctx, MG_INVALID, "a junction tree without columns");
	scratch = mg_arena_create(0);
	if (scratch == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	code = triangulate(ctx, a, scratch, sizes, ncolumns, sets, nsets, restarts, out);
	mg_arena_destroy(scratch);
	return code;
}

/* ---- one set more ---- */

/*
 * The base: columns outside its core in the order they went, with what each left behind and added, and the parts
 * of the core. `s` is the solver that works the rest out.
 */
struct mg_growth
{
	solver s;
	uint64_t *graph; /* [n][words] the sets' */
	uint64_t *full;  /* [n][words] the same after triangulation, with each column its own neighbour */
	double total;
	uint32_t *went; /* columns outside the core, in order */
	uint32_t nwent;
	uint32_t *at;     /* [n] place in `went`, NONE: in the core */
	uint32_t *parent; /* [n] of a column outside the core: the neighbour left that goes first (of the core: any) */
	uint64_t *sep;    /* [n][words] of columns outside the core: what it left behind */
	uint32_t *sep_k;  /* [n] */
	double *added;    /* [n] cells of the clique of a column outside the core, 0 where not maximal */
	parts parts;
	uint32_t *part;                       /* [n] of a column in the core */
	uint64_t *mask, *look, *piece, *todo; /* [words] */
};

static void
note(void *arg, uint32_t v)
{
	mg_growth *g = arg;

	g->at[v] = g->nwent;
	g->went[g->nwent++] = v;
	g->added[v] = g->s.last;
	g->sep_k[v] = g->s.sep_k[v];
	memcpy(row(g->sep, &g->s, v), row(g->s.sep, &g->s, v), g->s.words * sizeof(uint64_t));
}

static mg_code
growth_arrays(mg_ctx *ctx, mg_arena *a, mg_growth *g)
{
	uint32_t n = g->s.n, words = g->s.words;
	size_t cells = (size_t) n * words;

	MG_NEW(ctx, a, g->graph, cells);
	MG_NEW(ctx, a, g->full, cells);
	MG_NEW(ctx, a, g->sep, cells);
	MG_NEW(ctx, a, g->went, n);
	MG_NEW(ctx, a, g->at, n);
	MG_NEW(ctx, a, g->parent, n);
	MG_NEW(ctx, a, g->sep_k, n);
	MG_NEW(ctx, a, g->added, n);
	MG_NEW(ctx, a, g->part, n);
	MG_NEW(ctx, a, g->mask, words);
	MG_NEW(ctx, a, g->look, words);
	MG_NEW(ctx, a, g->piece, words);
	MG_NEW(ctx, a, g->todo, words);
	for (uint32_t v = 0; v < n; v++)
		g->at[v] = g->parent[v] = g->part[v] = NONE;
	return MG_OK;
}

/* After the base is solved: who hangs on whom, which column is in which part, and the chordal graph. */
static void
growth_index(mg_growth *g)
{
	solver *s = &g->s;

	for (uint32_t i = 0; i < g->nwent; i++)
	{
		uint32_t v = g->went[i];

		foreach (u, row(g->sep, s, v), s->words)
		{
			if (g->parent[v] == NONE || g->at[u] < g->at[g->parent[v]])
				g->parent[v] = u;
		}
	}
	for (uint32_t p = 0; p < g->parts.count; p++)
		foreach (v, row(g->parts.set, s, p), s->words)
			g->part[v] = p;
	for (uint32_t c = 0; c < s->cliques; c++)
		foreach (v, row(s->clique, s, c), s->words)
		{
			for (uint32_t w = 0; w < s->words; w++)
				row(g->full, s, v)[w] |= row(s->clique, s, c)[w];
		}
	s->clique = NULL;
}

mg_code
mg_growth_create(mg_ctx *ctx, mg_arena *a, const uint32_t *sizes, uint32_t ncolumns, const mg_column_set *sets,
				 uint32_t nsets, mg_growth **out)
{
	mg_growth *g;

	if (ncolumns == 0)
		return mg_fail(ctx, MG_INVALID, "a junction tree without columns");
	MG_NEW(ctx, a, g, 1);
	MG_TRY(solver_make(ctx, a, sizes, ncolumns, &g->s));
	MG_TRY(growth_arrays(ctx, a, g));
	MG_TRY(load(ctx, sizes, ncolumns, sets, nsets, g->s.words, g->graph));
	memcpy(g->s.adj, g->graph, (size_t) ncolumns * g->s.words * sizeof(*g->graph));
	set_left(&g->s);
	MG_TRY(solve(ctx, a, &g->s, 0, note, g, &g->parts));
	growth_index(g);
	g->total = g->s.total;
	*out = g;
	return MG_OK;
}

/* A clique of the chordal graph lies within a maximal one. */
static bool
held_already(mg_growth *g, const uint32_t *extra, uint32_t k)
{
	for (uint32_t i = 0; i < k; i++)
	{
		const uint64_t *near = row(g->full, &g->s, extra[i]);

		for (uint32_t j = 0; j < i; j++)
		{
			if (!has(near, extra[j]))
				return false;
		}
	}
	return true;
}

/* g->mask: what has to be worked out anew. Returns the cells of all the rest. */
static double
affected(mg_growth *g, const uint32_t *extra, uint32_t k)
{
	const solver *s = &g->s;
	double rest = 0;

	memset(g->mask, 0, s->words * sizeof(*g->mask));
	for (uint32_t i = 0; i < k; i++)
	{
		uint32_t v = extra[i];

		for (; v != NONE && g->at[v] != NONE && !has(g->mask, v); v = g->parent[v])
			put(g->mask, v);
		if (v == NONE || g->at[v] != NONE || has(g->mask, v))
			continue;
		for (uint32_t w = 0; w < s->words; w++)
			g->mask[w] |= row(g->parts.set, s, g->part[v])[w];
	}
	/* sums of what stays: no differences, which would lose small numbers beside astronomical ones */
	for (uint32_t i = 0; i < g->nwent; i++)
		rest += has(g->mask, g->went[i]) ? 0 : g->added[g->went[i]];
	for (uint32_t p = 0; p < g->parts.count; p++)
		rest += has(g->mask, next_of(row(g->parts.set, s, p), s->words, 0)) ? 0 : g->parts.cells[p];
	return rest;
}

/* The solver stands where the columns outside the mask are gone. */
static void
growth_load(mg_growth *g, const uint32_t *extra, uint32_t k)
{
	solver *s = &g->s;

	memcpy(s->left, g->mask, s->words * sizeof(*s->left));
	foreach (v, g->mask, s->words)
	{
		for (uint32_t w = 0; w < s->words; w++)
			row(s->adj, s, v)[w] = row(g->graph, s, v)[w] & g->mask[w];
	}
	for (uint32_t i = 0; i < k; i++)
		for (uint32_t j = 0; j < k; j++)
		{
			if (i != j)
				put(row(s->adj, s, extra[i]), extra[j]);
		}
	s->nopen = 0;
	for (uint32_t i = 0; i < g->nwent; i++)
	{
		uint32_t v = g->went[i];

		if (has(g->mask, v) || g->parent[v] == NONE || !has(g->mask, g->parent[v]))
			continue;
		memcpy(row(s->sep, s, v), row(g->sep, s, v), s->words * sizeof(uint64_t));
		s->sep_k[v] = g->sep_k[v];
		s->open[s->nopen++] = v;
	}
	s->total = 0;
	s->taken = 0;
}

double
mg_growth_cells(mg_growth *g, const uint32_t *extra, uint32_t k)
{
	solver *s = &g->s;
	double total;

	if (held_already(g, extra, k))
		return g->total;
	total = affected(g, extra, k);
	growth_load(g, extra, k);
	reduce(s, g->look, NULL, NULL);
	save_core(s);
	total += s->total;
	memcpy(g->todo, s->left, s->words * sizeof(*g->todo));
	for (uint32_t v = next_of(g->todo, s->words, 0); v != NONE; v = next_of(g->todo, s->words, 0))
	{
		part_of(s, v, g->piece);
		total += solve_part(s, g->piece, 0, NULL);
		for (uint32_t w = 0; w < s->words; w++)
			g->todo[w] &= ~g->piece[w];
	}
	return total;
}

mg_code
mg_grown_cells(mg_ctx *ctx, const uint32_t *sizes, uint32_t ncolumns, const mg_column_set *sets, uint32_t nsets,
			   const uint32_t *extra, uint32_t k, double *cells)
{
	mg_arena *a = mg_arena_create(0);
	mg_growth *growth;
	mg_code code;

	if (a == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	code = mg_growth_create(ctx, a, sizes, ncolumns, sets, nsets, &growth);
	if (code == MG_OK)
		*cells = mg_growth_cells(growth, extra, k);
	mg_arena_destroy(a);
	return code;
}
