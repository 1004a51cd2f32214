/*
 * graphical/marginals.c: marginals of a calibrated junction tree over any sets of columns.
 *
 * Every table here is a true marginal, of one clique or of columns of several. Two tables that meet at a separator S
 * are joined by conditional independence,
 *
 *     P(x, y, s) = P(x, s) P(y, s) / P(s)        (x, y: what either has beside S; 0 where P(s) is 0)
 *
 * and summed over what nobody needs any more: for each cell of the columns of S that stay, a product of a small dense
 * matrix with another (contract.h). All the work is in that product.
 *
 * Pairs: sources, the first columns of the sets, travel in blocks. The table of a directed edge of the tree holds
 * P(S, u) of all sources u of the block that lie behind it, side by side (their codes are one column more, PAYLOAD, so
 * that the products have long rows whatever the number of codes of each); it is made of the tables of the edges that
 * come in behind it, and where the edge enters a clique, all pairs with that clique's new columns are read off.
 *
 * Larger sets: the smallest subtree that spans the set, each clique summed down to the wanted columns and its
 * separators; then leaf after leaf joins its neighbour, the cheapest first.
 *
 * Memory: an arena for the call, one for each lane of the pool; nothing outlives the call.
 */
#include "graphical/marginals.h"

#include "base/pool.h"
#include "graphical/contract.h"

#include <stdatomic.h>
#include <string.h>

#define PAYLOAD UINT32_MAX
#define NONE UINT32_MAX
#define BLOCK_CODES 128                /* codes of sources that travel together, about */
#define BLOCK_CELLS ((size_t) 4 << 20) /* cells of a block's tables, about */
#define BLOCK_WORK ((size_t) 5 << 26)  /* multiplications of a block, about: a task should stay short */

#define POLL_SETS 256 /* sets between two looks at whether to stop */

/* ---- the call ---- */

typedef struct call
{
	const mg_junction *j;
	const mg_factor *f;
	const mg_column_set *sets;
	double *const *out;
	bool *answered;
	size_t most;
	uint32_t words;
	mg_lane *lanes;
	uint32_t *home;            /* [count] smallest clique that holds set i; j->count: none */
	uint64_t *below;           /* [j->count][words] columns of clique c and of all that hang on it */
	uint32_t *single, nsingle; /* sets that are a task of their own: within a clique, or of three columns and more */
	uint32_t *start, *of;      /* pairs across cliques by their first column u: of[start[u] .. start[u + 1] - 1] */
	uint32_t *block, nblocks;  /* [nblocks + 1] limits of the blocks within source */
	uint32_t *source, nsources;
	mg_ctx *ctx;      /* polled by lane 0 alone, which is the caller */
	atomic_bool stop; /* it was cancelled: for the other lanes to see */
} call;

static inline bool
has(const uint64_t *set, uint32_t v)
{
	return set[v / 64] >> (v % 64) & 1;
}

/* ---- pairs ---- */

/*
 * Directed edges: 2 c from clique c up to its parent, 2 c + 1 from the parent down to c. Columns of the separator are
 * on neither side.
 */
static uint32_t
tail_of(const mg_junction *j, uint32_t e)
{
	return e % 2 == 0 ? e / 2 : j->clique[e / 2].parent;
}

static uint32_t
head_of(const mg_junction *j, uint32_t e)
{
	return tail_of(j, e ^ 1);
}

static bool
behind(const call *x, uint32_t e, uint32_t col)
{
	const mg_clique *c = &x->j->clique[e / 2];

	return has(x->below + (size_t) (e / 2) * x->words, col) == (e % 2 == 0) && !mg_listed(c->sep, c->nsep, col);
}

/* What a block knows at a directed edge. */
typedef struct crossing
{
	uint32_t sources; /* that travel over it */
	uint32_t *source; /* [sources] in the order of the payload */
	mg_table t;       /* S, PAYLOAD */
} crossing;

/* Does a pair of u wait ahead of e, and may u's table over the separator be made? */
static bool
travels(const call *x, uint32_t e, uint32_t u)
{
	const mg_clique *c = &x->j->clique[e / 2];
	size_t cells;

	if (!mg_factor_count(c->sep, c->nsep, x->j->size, &cells) || !mg_mul_size(cells, x->j->size[u], &cells) ||
		cells > x->most)
		return false;
	for (uint32_t i = x->start[u]; i < x->start[u + 1]; i++)
	{
		if (behind(x, e ^ 1, x->sets[x->of[i]].cols[1]))
			return true;
	}
	return false;
}

static uint32_t
codes_of(const call *x, const uint32_t *source, uint32_t n)
{
	uint32_t codes = 0;

	for (uint32_t i = 0; i < n; i++)
		codes += x->j->size[source[i]];
	return codes;
}

/* The sources of the block that start at e's tail, then those that come over edges into it; false: out of memory. */
static bool
gather(const call *x, mg_lane *l, uint32_t b, const crossing *all, uint32_t e, const uint32_t *in, uint32_t nin,
	   crossing *to)
{
	const mg_clique *tail = &x->j->clique[tail_of(x->j, e)];

	to->sources = 0;
	to->source = mg_arena_alloc(l->a, (size_t) x->block[b + 1] - x->block[b] + 1, sizeof(*to->source));
	if (to->source == NULL)
		return !(l->failed = true);
	for (uint32_t i = x->block[b]; i < x->block[b + 1]; i++)
	{
		uint32_t u = x->source[i];

		if (mg_listed(tail->cols, tail->k, u) && behind(x, e, u) && travels(x, e, u))
			to->source[to->sources++] = u;
	}
	for (uint32_t i = 0; i < nin; i++)
		for (uint32_t s = 0; in[i] != (e ^ 1) && s < all[in[i]].sources; s++)
		{
			if (travels(x, e, all[in[i]].source[s]))
				to->source[to->sources++] = all[in[i]].source[s];
		}
	return true;
}

/* The sources of `from` that are in `to` as well, as a narrower table where some are left behind. */
static bool
narrow(const call *x, mg_lane *l, const crossing *from, const crossing *to, crossing *out)
{
	size_t rows = from->t.cells / from->t.size[from->t.k - 1], at = 0, width = from->t.size[from->t.k - 1], codes,
		   put = 0;

	*out = *from;
	out->source = mg_arena_alloc(l->a, (size_t) from->sources + 1, sizeof(*out->source));
	if (out->source == NULL)
		return !(l->failed = true);
	out->sources = 0;
	for (uint32_t s = 0; s < from->sources; s++)
	{
		if (mg_listed(to->source, to->sources, from->source[s]))
			out->source[out->sources++] = from->source[s];
	}
	if (out->sources == from->sources || out->sources == 0)
		return true;
	codes = codes_of(x, out->source, out->sources);
	out->t.size[out->t.k - 1] = (uint32_t) codes;
	out->t.cells = rows * codes;
	out->t.v = mg_take(l, out->t.cells);
	for (uint32_t s = 0; s < from->sources && out->t.v != NULL; s++)
	{
		size_t size = x->j->size[from->source[s]];

		if (mg_listed(out->source, out->sources, from->source[s]))
		{
			for (size_t r = 0; r < rows; r++)
				memcpy(out->t.v + r * codes + put, from->t.v + r * width + at, size * sizeof(double));
			put += size;
		}
		at += size;
	}
	return out->t.v != NULL;
}

/* P(S, u) of a source in the tail itself, into the table of the edge from cell `at` of each row on. */
static bool
start_source(const call *x, mg_lane *l, uint32_t e, uint32_t u, crossing *to, size_t at)
{
	const mg_clique *c = &x->j->clique[e / 2];
	uint32_t cols[MG_FACTOR_COLUMNS + 1], order[MG_FACTOR_COLUMNS + 1],
		k = mg_columns_unite(c->sep, c->nsep, &u, 1, cols);
	mg_mark m = mg_here(l);
	mg_table t;

	if (!mg_table_of_clique(l, &x->f[tail_of(x->j, e)], cols, k, x->j->size, &t))
		return false;
	memcpy(order, c->sep, c->nsep * sizeof(*order));
	order[c->nsep] = u;
	mg_table_reorder(&t, order, to->t.v + at, to->t.size[to->t.k - 1]);
	mg_back_to(l, m);
	return true;
}

/* The table of edge e, from the clique behind it and the edges in[] into that. */
static bool
cross(const call *x, mg_lane *l, uint32_t b, crossing *all, uint32_t e, const uint32_t *in, uint32_t nin)
{
	const mg_clique *c = &x->j->clique[e / 2];
	crossing *to = &all[e], part;
	uint32_t order[MG_FACTOR_COLUMNS + 1], cols[MG_FACTOR_COLUMNS], codes, s = 0;
	size_t at = 0;

	if (!gather(x, l, b, all, e, in, nin, to))
		return false;
	codes = codes_of(x, to->source, to->sources);
	to->t.k = 0;
	to->t.cells = 1;
	for (uint32_t i = 0; i < c->nsep; i++)
		(void) mg_table_append(&to->t, c->sep[i], x->j->size[c->sep[i]]);
	if (to->sources == 0)
		return true;
	(void) mg_table_append(&to->t, PAYLOAD, codes);
	to->t.v = mg_take(l, to->t.cells);
	if (to->t.v == NULL)
		return false;
	memcpy(order, to->t.cols, to->t.k * sizeof(*order));
	for (; s < to->sources &&
		   mg_listed(x->j->clique[tail_of(x->j, e)].cols, x->j->clique[tail_of(x->j, e)].k, to->source[s]);
		 s++)
	{
		if (!start_source(x, l, e, to->source[s], to, at))
			return false;
		at += x->j->size[to->source[s]];
	}
	for (uint32_t i = 0; i < nin; i++)
	{
		const mg_clique *d = &x->j->clique[in[i] / 2];
		mg_mark m = mg_here(l);
		mg_table link, sum;

		if (in[i] == (e ^ 1) || all[in[i]].sources == 0)
			continue;
		if (!narrow(x, l, &all[in[i]], to, &part))
			return false;
		if (part.sources == 0)
			continue;
		if (!mg_table_of_clique(l, &x->f[tail_of(x->j, e)], cols,
								mg_columns_unite(c->sep, c->nsep, d->sep, d->nsep, cols), x->j->size, &link) ||
			!mg_table_join(l, &part.t, part.sources, &link, 1, c->sep, c->nsep, SIZE_MAX, &sum))
			return false;
		mg_table_reorder(&sum, order, to->t.v + at, codes);
		at += codes_of(x, part.source, part.sources);
		mg_back_to(l, m);
	}
	return true;
}

/* All pairs (u, v) of the sources that cross e with one column v that the clique ahead brings. */
static bool
read_column(const call *x, mg_lane *l, uint32_t e, const crossing *from, uint32_t v)
{
	const mg_clique *c = &x->j->clique[e / 2];
	uint32_t cols[MG_FACTOR_COLUMNS + 1], keep[1] = {v}, order[2] = {PAYLOAD, v};
	uint32_t k = mg_columns_unite(c->sep, c->nsep, keep, 1, cols);
	mg_mark m = mg_here(l);
	mg_table link, pairs;
	double *rows;

	if (!mg_table_of_clique(l, &x->f[head_of(x->j, e)], cols, k, x->j->size, &link) ||
		!mg_table_join(l, &from->t, from->sources, &link, 1, NULL, 0, SIZE_MAX, &pairs))
		return false;
	rows = mg_table_ordered(l, &pairs, order, false);
	if (rows == NULL)
		return false;
	for (uint32_t s = 0; s < from->sources; s++)
	{
		uint32_t u = from->source[s];
		size_t cells = (size_t) x->j->size[u] * x->j->size[v];

		for (uint32_t i = x->start[u]; i < x->start[u + 1]; i++)
		{
			uint32_t set = x->of[i];

			if (x->sets[set].cols[1] != v || cells > x->most)
				continue;
			memcpy(x->out[set], rows, cells * sizeof(*rows));
			x->answered[set] = true;
		}
		rows += cells;
	}
	mg_back_to(l, m);
	return true;
}

static bool
awaited(const call *x, const crossing *from, uint32_t v)
{
	for (uint32_t s = 0; s < from->sources; s++)
		for (uint32_t i = x->start[from->source[s]]; i < x->start[from->source[s] + 1]; i++)
		{
			if (x->sets[x->of[i]].cols[1] == v)
				return true;
		}
	return false;
}

static bool
read_pairs(const call *x, mg_lane *l, uint32_t e, const crossing *from)
{
	const mg_clique *head = &x->j->clique[head_of(x->j, e)], *c = &x->j->clique[e / 2];

	for (uint32_t i = 0; from->sources > 0 && i < head->k; i++)
	{
		if (!mg_listed(c->sep, c->nsep, head->cols[i]) && awaited(x, from, head->cols[i]) &&
			!read_column(x, l, e, from, head->cols[i]))
			return false;
	}
	return true;
}

/* Up all edges, then down: what an edge needs is there when it is its turn. */
/* Over a thousand cliques a block is seconds' work. */
static bool
stopped(call *x, const mg_lane *l)
{
	if (l == x->lanes && !atomic_load_explicit(&x->stop, memory_order_relaxed) && mg_poll(x->ctx) != MG_OK)
		atomic_store_explicit(&x->stop, true, memory_order_relaxed);
	return atomic_load_explicit(&x->stop, memory_order_relaxed);
}

static bool
run_block(call *x, mg_lane *l, uint32_t b)
{
	uint32_t count = x->j->count, *in = mg_arena_alloc(l->a, (size_t) count + 1, sizeof(*in));
	crossing *all = mg_arena_alloc(l->a, 2 * (size_t) count, sizeof(*all));

	if (in == NULL || all == NULL)
		return !(l->failed = true);
	for (uint32_t turn = 1; turn < 2 * count - 1; turn++)
	{
		uint32_t e = turn < count ? 2 * (count - turn) : 2 * (turn - count + 1) + 1, tail = tail_of(x->j, e), nin = 0;

		if (stopped(x, l))
			return false;
		for (uint32_t c = tail + 1; c < count; c++)
		{
			if (x->j->clique[c].parent == tail)
				in[nin++] = 2 * c;
		}
		if (e % 2 == 1 && tail > 0)
			in[nin++] = 2 * tail + 1;
		if (!cross(x, l, b, all, e, in, nin) || !read_pairs(x, l, e, &all[e]))
			return false;
	}
	return true;
}

/* ---- larger sets ---- */

/* The smallest subtree: cliques at its ends that bring nothing beyond their separator are left out. */
static void
span_set(const mg_junction *j, const mg_column_set *set, bool *in, uint32_t *degree)
{
	uint32_t wanted[MG_FACTOR_COLUMNS];
	bool changed = true;

	memset(degree, 0, j->count * sizeof(*degree));
	for (uint32_t c = 0; c < j->count; c++)
	{
		in[c] = true;
		if (c > 0)
		{
			degree[c]++;
			degree[j->clique[c].parent]++;
		}
	}
	while (changed)
	{
		changed = false;
		for (uint32_t c = j->count; c-- > 0;)
		{
			uint32_t n = 0, edge = c, next;

			if (!in[c] || degree[c] != 1)
				continue;
			if (c == 0 || !in[j->clique[c].parent])
				for (edge = c + 1; !in[edge] || j->clique[edge].parent != c; edge++)
					;
			next = edge == c ? j->clique[c].parent : edge;
			for (uint32_t i = 0; i < set->k; i++)
			{
				if (mg_listed(j->clique[c].cols, j->clique[c].k, set->cols[i]))
					wanted[n++] = set->cols[i];
			}
			if (!mg_columns_within(wanted, n, j->clique[edge].sep, j->clique[edge].nsep))
				continue;
			in[c] = false;
			degree[c]--;
			degree[next]--;
			changed = true;
		}
	}
}

/* The subtree of a set while leaves join. */
typedef struct subtree
{
	uint32_t n;
	mg_table *t;
	uint32_t *clique;    /* [n] */
	uint32_t (*edge)[2]; /* [n - 1] ends, as places in t */
	uint32_t *sep;       /* [n - 1] the clique whose separator the edge is */
	bool *gone;          /* [n - 1] */
	uint32_t *degree;    /* [n] */
} subtree;

/* The columns that place i must keep when edge `but` goes: wanted ones and those of its other separators. */
static uint32_t
needed(const call *x, const subtree *s, const mg_column_set *set, uint32_t i, uint32_t but, uint32_t *cols)
{
	uint32_t n = set->k, next[2 * TABLE_COLUMNS];

	memcpy(cols, set->cols, n * sizeof(*cols));
	for (uint32_t e = 0; e + 1 < s->n; e++)
	{
		const mg_clique *c = &x->j->clique[s->sep[e]];

		if (e == but || s->gone[e] || (s->edge[e][0] != i && s->edge[e][1] != i))
			continue;
		n = mg_columns_unite(cols, n, c->sep, c->nsep, next);
		memcpy(cols, next, n * sizeof(*cols));
	}
	return n;
}

static bool
subtree_make(const call *x, mg_lane *l, const mg_column_set *set, subtree *s)
{
	uint32_t count = x->j->count, *degree = mg_arena_alloc(l->a, count, sizeof(*degree));
	uint32_t *place = mg_arena_alloc(l->a, count, sizeof(*place)), edges = 0;
	bool *in = mg_arena_alloc(l->a, count, sizeof(*in));

	memset(s, 0, sizeof(*s));
	s->t = mg_arena_alloc(l->a, count, sizeof(*s->t));
	s->clique = mg_arena_alloc(l->a, count, sizeof(*s->clique));
	s->edge = mg_arena_alloc(l->a, count, sizeof(*s->edge));
	s->sep = mg_arena_alloc(l->a, count, sizeof(*s->sep));
	s->gone = mg_arena_alloc(l->a, count, sizeof(*s->gone));
	s->degree = mg_arena_alloc(l->a, count, sizeof(*s->degree));
	if (degree == NULL || place == NULL || in == NULL || s->t == NULL || s->clique == NULL || s->edge == NULL ||
		s->sep == NULL || s->gone == NULL || s->degree == NULL)
		return !(l->failed = true);
	span_set(x->j, set, in, degree);
	for (uint32_t c = 0; c < count; c++)
	{
		if (!in[c])
			continue;
		place[c] = s->n;
		s->clique[s->n] = c;
		s->degree[s->n++] = degree[c];
		if (c > 0 && in[x->j->clique[c].parent])
		{
			s->edge[edges][0] = place[x->j->clique[c].parent];
			s->edge[edges][1] = place[c];
			s->sep[edges++] = c;
		}
	}
	return true;
}

/* False: out of memory, or a table of more than the most cells. */
static bool
subtree_load(const call *x, mg_lane *l, const mg_column_set *set, subtree *s)
{
	for (uint32_t i = 0; i < s->n; i++)
	{
		const mg_clique *c = &x->j->clique[s->clique[i]];
		uint32_t cols[MG_FACTOR_COLUMNS], k = 0;
		size_t cells;

		for (uint32_t v = 0; v < c->k; v++)
		{
			bool wanted = mg_listed(set->cols, set->k, c->cols[v]);

			for (uint32_t e = 0; !wanted && e + 1 < s->n; e++)
			{
				const mg_clique *d = &x->j->clique[s->sep[e]];

				wanted = (s->edge[e][0] == i || s->edge[e][1] == i) && mg_listed(d->sep, d->nsep, c->cols[v]);
			}
			if (wanted)
				cols[k++] = c->cols[v];
		}
		if (!mg_factor_count(cols, k, x->j->size, &cells) || cells > x->most ||
			!mg_table_of_clique(l, &x->f[s->clique[i]], cols, k, x->j->size, &s->t[i]))
			return false;
	}
	return true;
}

/* Multiplications of joining a leaf over edge e, as a double. */
static double
join_cost(const subtree *s, uint32_t leaf, uint32_t to)
{
	double cost = (double) s->t[to].cells;

	for (uint32_t i = 0; i < s->t[leaf].k; i++)
		cost *= mg_listed(s->t[to].cols, s->t[to].k, s->t[leaf].cols[i]) ? 1 : s->t[leaf].size[i];
	return cost;
}

static bool
run_across(const call *x, mg_lane *l, uint32_t i)
{
	const mg_column_set *set = &x->sets[i];
	subtree s;
	mg_table *last = NULL;

	if (!subtree_make(x, l, set, &s) || !subtree_load(x, l, set, &s))
		return !l->failed;
	for (uint32_t joined = 0; joined + 1 < s.n; joined++)
	{
		uint32_t best = NONE, leaf = 0, to = 0, cols[2 * TABLE_COLUMNS], k;
		double least = 0;
		mg_table t;

		for (uint32_t e = 0; e + 1 < s.n; e++)
			for (uint32_t side = 0; !s.gone[e] && side < 2; side++)
			{
				double cost;

				if (s.degree[s.edge[e][side]] != 1)
					continue;
				cost = join_cost(&s, s.edge[e][side], s.edge[e][1 - side]);
				if (best == NONE || cost < least)
				{
					best = e;
					least = cost;
					leaf = s.edge[e][side];
					to = s.edge[e][1 - side];
				}
			}
		k = needed(x, &s, set, to, best, cols);
		if (k > TABLE_COLUMNS || !mg_table_join(l, &s.t[to], 1, &s.t[leaf], 1, cols, k, x->most, &t))
			return !l->failed;
		s.t[to] = t;
		last = &s.t[to];
		s.gone[best] = true;
		s.degree[leaf]--;
		s.degree[to]--;
	}
	if (last != NULL)
	{
		mg_table_reorder(last, set->cols, x->out[i], 0);
		x->answered[i] = true;
	}
	return true;
}

/* ---- tasks ---- */

static void
task(void *arg, size_t index, int which)
{
	call *x = arg;
	mg_lane *l = &x->lanes[which];

	if (l->failed)
		return;
	if (index < x->nblocks)
		(void) run_block(x, l, (uint32_t) index);
	else
	{
		uint32_t i = x->single[index - x->nblocks], home = x->home[i];

		if (home == x->j->count)
			(void) run_across(x, l, i);
		else
		{
			uint32_t size[MG_FACTOR_COLUMNS];
			mg_factor view = {x->sets[i].k, x->sets[i].cols, size, 1, x->out[i]};

			for (uint32_t d = 0; d < view.k; d++)
			{
				size[d] = x->j->size[view.cols[d]];
				view.cells *= size[d];
			}
			mg_factor_marginal(&x->f[home], &view);
			x->answered[i] = true;
		}
	}
	mg_arena_reset(l->a);
	mg_back_to(l, (mg_mark){0, 0});
}

static uint32_t
smallest_home(const mg_junction *j, const mg_column_set *set)
{
	uint32_t best = j->count;

	for (uint32_t c = 0; c < j->count; c++)
	{
		if (mg_columns_within(set->cols, set->k, j->clique[c].cols, j->clique[c].k) &&
			(best == j->count || j->clique[c].cells < j->clique[best].cells))
			best = c;
	}
	return best;
}

/* Which set is what, and the pairs by their first column. */
static mg_code
sort_out(mg_ctx *ctx, mg_arena *a, call *x, uint32_t count)
{
	uint32_t n = x->j->ncolumns, *next;

	MG_NEW(ctx, a, x->home, (size_t) count + 1);
	MG_NEW(ctx, a, x->single, (size_t) count + 1);
	MG_NEW(ctx, a, x->of, (size_t) count + 1);
	MG_NEW(ctx, a, x->start, (size_t) n + 1);
	MG_NEW(ctx, a, next, (size_t) n + 1);
	for (uint32_t i = 0; i < count; i++)
	{
		size_t cells;

		x->answered[i] = false;
		if (i % POLL_SETS == 0)
			MG_TRY(mg_poll(ctx));
		if (x->out[i] == NULL)
			continue;
		MG_TRY(mg_column_set_check(ctx, x->j->size, n, &x->sets[i], &cells));
		x->home[i] = smallest_home(x->j, &x->sets[i]);
		if (x->home[i] == x->j->count && x->sets[i].k == 2)
			x->start[x->sets[i].cols[0] + 1]++;
		else
			x->single[x->nsingle++] = i;
	}
	for (uint32_t u = 0; u < n; u++)
		next[u + 1] = x->start[u + 1] += x->start[u];
	for (uint32_t i = 0; i < count; i++)
	{
		if (x->out[i] != NULL && x->home[i] == x->j->count && x->sets[i].k == 2)
			x->of[next[x->sets[i].cols[0]]++] = i;
	}
	return MG_OK;
}

/* Sources in the order in which the cliques bring them, so that those of a block travel over the same edges. */
static mg_code
make_blocks(mg_ctx *ctx, mg_arena *a, call *x)
{
	const mg_junction *j = x->j;
	size_t carried = 1;
	uint32_t codes = 0, most;

	MG_NEW(ctx, a, x->source, j->ncolumns);
	MG_NEW(ctx, a, x->block, (size_t) j->ncolumns + 1);
	MG_NEW(ctx, a, x->below, (size_t) j->count * x->words);
	for (uint32_t c = j->count; c-- > 0;)
	{
		uint64_t *mine = x->below + (size_t) c * x->words;
		size_t cells = 0;

		for (uint32_t i = 0; i < j->clique[c].k; i++)
			mine[j->clique[c].cols[i] / 64] |= (uint64_t) 1 << (j->clique[c].cols[i] % 64);
		for (uint32_t w = 0; c > 0 && w < x->words; w++)
			x->below[(size_t) j->clique[c].parent * x->words + w] |= mine[w];
		if (c > 0 && mg_factor_count(j->clique[c].sep, j->clique[c].nsep, j->size, &cells))
			carried += 2 * cells;
	}
	/* a column that is wider than this travels alone */
	most = BLOCK_CODES;
	if (most > BLOCK_CELLS / carried)
		most = (uint32_t) (BLOCK_CELLS / carried);
	if (most > BLOCK_WORK / 2 / j->cells)
		most = (uint32_t) (BLOCK_WORK / 2 / j->cells);
	for (uint32_t c = 0; c < j->count; c++)
		for (uint32_t i = 0; i < j->clique[c].k; i++)
		{
			uint32_t u = j->clique[c].cols[i];

			if (mg_listed(j->clique[c].sep, j->clique[c].nsep, u) || x->start[u] == x->start[u + 1])
				continue;
			if (x->nsources == 0 || codes + j->size[u] > most)
			{
				x->block[x->nblocks++] = x->nsources;
				codes = 0;
			}
			codes += j->size[u];
			x->source[x->nsources++] = u;
		}
	x->block[x->nblocks] = x->nsources;
	return MG_OK;
}

static mg_code
run_all(mg_ctx *ctx, call *x)
{
	int width = mg_pool_width(ctx->pool);
	mg_code code = MG_OK;

	for (int i = 0; i < width && code == MG_OK; i++)
	{
		x->lanes[i].a = mg_arena_create(0);
		x->lanes[i].store = mg_arena_create(0);
		if (x->lanes[i].a == NULL || x->lanes[i].store == NULL)
			code = mg_fail(ctx, MG_NOMEM, "out of memory");
	}
	if (code == MG_OK)
		code = mg_pool_run(ctx, ctx->pool, task, x, (size_t) x->nblocks + x->nsingle);
	for (int i = 0; i < width; i++)
	{
		mg_arena_destroy(x->lanes[i].a);
		mg_arena_destroy(x->lanes[i].store);
		if (x->lanes[i].failed && code == MG_OK)
			code = mg_fail(ctx, MG_NOMEM, "out of memory");
		if (x->stop && code == MG_OK)
			code = MG_CANCELLED; /* recorded */
	}
	return code;
}

mg_code
mg_junction_marginals(mg_ctx *ctx, const mg_junction *j, const mg_factor *f, const mg_column_set *sets, uint32_t count,
					  size_t most_cells, double *const *out, bool *answered)
{
	mg_arena *a = mg_arena_create(0);
	call x = {.j = j, .f = f, .sets = sets, .out = out, .answered = answered, .most = most_cells, .ctx = ctx};
	mg_code code;

	if (a == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	x.words = j->ncolumns / 64 + 1;
	x.lanes = mg_arena_alloc(a, (size_t) mg_pool_width(ctx->pool), sizeof(*x.lanes));
	code = x.lanes != NULL ? sort_out(ctx, a, &x, count) : mg_fail(ctx, MG_NOMEM, "out of memory");
	if (code == MG_OK)
		code = make_blocks(ctx, a, &x);
	if (code == MG_OK)
		code = run_all(ctx, &x);
	mg_arena_destroy(a);
	return code;
}
