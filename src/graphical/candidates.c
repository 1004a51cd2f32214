/*
 * graphical/candidates.c: see candidates.h. The sets are listed with their cells and weights, sorted (pairs first, then
 * by cells, then by columns), and cut where the limits are reached.
 */
#include "graphical/candidates.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_WEIGHT ((double) MG_MAX_WEIGHT)
/* Scoring looks at every candidate in every round: with so many pairs, larger sets are left out. */
#define MOST_CANDIDATES 6000
#define MOST_SETS 1000 /* of a given workload */
#define MOST_GIVEN 1e9 /* a weight that is given: sums over a workload stay far from infinity */

typedef struct entry
{
	uint32_t k, cols[MG_MOST_WORKLOAD_COLUMNS];
	size_t cells;
	double weight;
} entry;

typedef struct list
{
	entry *item;
	size_t count, room;
	size_t most_cells;
	const uint32_t *sizes;
} list;

/* ---- all sets of a degree ---- */

/* C(n, k) for k <= 3; 0 where n < k. */
static double
choose(uint32_t n, uint32_t k)
{
	double c = 1;

	for (uint32_t i = 0; i < k; i++)
		c *= n > i ? (double) (n - i) / (i + 1) : 0;
	return c;
}

/* sum over all sets s of `degree` of d columns of |r and s|, |r| = k. */
static double
workload_weight(uint32_t d, uint32_t degree, uint32_t k)
{
	double sum = 0;

	for (uint32_t shared = 1; shared <= k && shared <= degree; shared++)
		sum += shared * choose(k, shared) * choose(d - k, degree - shared);
	return sum;
}

/* False: no memory. A set of too many cells is left out. */
static bool
append(list *l, const uint32_t *cols, uint32_t k, double weight)
{
	size_t cells;

	if (!mg_factor_count(cols, k, l->sizes, &cells) || cells > l->most_cells)
		return true;
	if (l->count == l->room)
	{
		size_t room = l->room > 0 ? 2 * l->room : 1024;
		entry *more = realloc(l->item, room * sizeof(*more));

		if (more == NULL)
			return false;
		l->item = more;
		l->room = room;
	}
	l->item[l->count] = (entry){.k = k, .cells = cells, .weight = weight};
	memcpy(l->item[l->count++].cols, cols, k * sizeof(*cols));
	return true;
}

static bool
append_all(list *l, uint32_t d, uint32_t degree)
{
	/* with fewer columns than that, all of them are the workload */
	uint32_t all = degree < d ? degree : d;
	double two = workload_weight(d, all, 2), three = workload_weight(d, all, 3);
	bool triples = degree > 2 && (size_t) d * (d - 1) / 2 < MOST_CANDIDATES, ok = true;

	for (uint32_t i = 0; i < d; i++)
	{
		for (uint32_t j = i + 1; j < d && ok; j++)
		{
			uint32_t cols[3] = {i, j};

			ok = append(l, cols, 2, two);
			for (cols[2] = j + 1; triples && cols[2] < d && ok; cols[2]++)
				ok = append(l, cols, 3, three);
		}
	}
	return ok;
}

/* ---- a given workload ---- */

static mg_code
find_column(mg_ctx *ctx, const mg_domain *const *domain, uint32_t n, const char *name, size_t len, uint32_t *col)
{
	for (*col = 0; *col < n; ++*col)
	{
		if (strlen(domain[*col]->name) == len && memcmp(domain[*col]->name, name, len) == 0)
			return MG_OK;
	}
	mg_fail(ctx, MG_UNKNOWN, "the workload names a column that is not learnt: \"%.*s\"", (int) (len < 64 ? len : 64),
			name);
	return mg_hint(ctx, "A set lists columns of the model that are categories, numbers or times.");
}

static bool
insert_column(entry *e, uint32_t col)
{
	uint32_t at = e->k;

	while (at > 0 && e->cols[at - 1] > col)
		at--;
	if (at > 0 && e->cols[at - 1] == col)
		return true; /* named twice */
	if (e->k == MG_MOST_WORKLOAD_COLUMNS)
		return false;
	memmove(&e->cols[at + 1], &e->cols[at], (e->k - at) * sizeof(*e->cols));
	e->cols[at] = col;
	e->k++;
	return true;
}

/* One set from *text, which moves on behind it. */
static mg_code
read_set(mg_ctx *ctx, const mg_domain *const *domain, uint32_t n, const char **text, entry *out)
{
	const char *end = *text + strcspn(*text, (const char[]){MG_SETS_APART, 0});
	char *stop;

	*out = (entry){.weight = 1};
	while (*text < end && **text != MG_WEIGHT_APART)
	{
		size_t len = strcspn(*text, (const char[]){MG_NAMES_APART, MG_SETS_APART, MG_WEIGHT_APART, 0});
		uint32_t col;

		MG_TRY(find_column(ctx, domain, n, *text, len, &col));
		if (!insert_column(out, col))
			return mg_fail(ctx, MG_INVALID, "a set of the workload has more than %d columns", MG_MOST_WORKLOAD_COLUMNS);
		*text += len + ((*text)[len] == MG_NAMES_APART);
	}
	if (**text == MG_WEIGHT_APART)
	{
		out->weight = strtod(*text + 1, &stop);
		if (stop != end || !(out->weight > 0 && out->weight <= MOST_GIVEN))
			return mg_fail(ctx, MG_INVALID, "a weight of the workload is not a positive number up to %g", MOST_GIVEN);
	}
	if (out->k < 2)
		return mg_fail(ctx, MG_INVALID, "a set of the workload has less than two columns");
	*text = end + (*end == MG_SETS_APART);
	return MG_OK;
}

static mg_code
read_workload(mg_ctx *ctx, const mg_domain *const *domain, uint32_t n, const char *text, entry *sets, uint32_t *count)
{
	*count = 0;
	do
	{
		if (*count == MOST_SETS)
			return mg_fail(ctx, MG_INVALID, "the workload has more than %d sets", MOST_SETS);
		MG_TRY(read_set(ctx, domain, n, &text, &sets[*count]));
		++*count;
	} while (*text != '\0');
	return MG_OK;
}

static uint32_t
shared_columns(const entry *a, const entry *b)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < a->k; i++)
		n += mg_columns_within(&a->cols[i], 1, b->cols, b->k);
	return n;
}

/* The subsets of two columns and more of every set. */
static mg_code
append_closure(mg_ctx *ctx, list *l, const entry *sets, uint32_t count)
{
	for (uint32_t s = 0; s < count; s++)
	{
		MG_TRY(mg_poll(ctx));
		for (uint32_t mask = 1; mask < 1u << sets[s].k; mask++)
		{
			entry r = {0};

			for (uint32_t i = 0; i < sets[s].k; i++)
				if (mask & 1u << i)
					r.cols[r.k++] = sets[s].cols[i];
			for (uint32_t t = 0; t < count; t++)
				r.weight += sets[t].weight * shared_columns(&r, &sets[t]);
			if (r.k >= 2 && !append(l, r.cols, r.k, r.weight))
				return mg_fail(ctx, MG_NOMEM, "out of memory");
		}
	}
	return MG_OK;
}

/* ---- the result ---- */

static int
compare_entries(const void *a, const void *b)
{
	const entry *x = a, *y = b;

	if ((x->k == 2) != (y->k == 2))
		return x->k == 2 ? -1 : 1;
	if (x->cells != y->cells)
		return x->cells < y->cells ? -1 : 1;
	if (x->k != y->k)
		return x->k < y->k ? -1 : 1;
	return memcmp(x->cols, y->cols, sizeof(x->cols));
}

static mg_code
copy_out(mg_ctx *ctx, mg_arena *a, const list *l, size_t all_cells, mg_candidates *out)
{
	double top = 0;

	MG_NEW(ctx, a, out->set, l->count + 1);
	MG_NEW(ctx, a, out->cells, l->count + 1);
	MG_NEW(ctx, a, out->weight, l->count + 1);
	for (size_t i = 0; i < l->count; i++)
		top = l->item[i].weight > top ? l->item[i].weight : top;
	for (size_t i = 0; i < l->count && (out->count < MOST_CANDIDATES || l->item[i].k == 2); i++)
	{
		const entry *e = &l->item[i];
		uint32_t *cols, weight = (uint32_t) (e->weight / top * MOST_WEIGHT);

		if (i > 0 && e->k == e[-1].k && memcmp(e->cols, e[-1].cols, sizeof(e->cols)) == 0)
			continue; /* a subset of two sets */
		if (e->cells > all_cells - out->all_cells)
			break;
		MG_NEW(ctx, a, cols, e->k);
		memcpy(cols, e->cols, e->k * sizeof(*cols));
		out->set[out->count] = (mg_marginal_of){.k = e->k, .cols = cols};
		out->cells[out->count] = e->cells;
		out->weight[out->count] = weight < 1 ? 1 : weight;
		out->all_cells += e->cells;
		out->most_cells = e->cells > out->most_cells ? e->cells : out->most_cells;
		out->count++;
	}
	return MG_OK;
}

static mg_code
list_sets(mg_ctx *ctx, list *l, const mg_column *columns, uint32_t ncolumns, uint32_t degree, const char *workload,
		  mg_arena *scratch)
{
	const mg_domain **domain;
	uint32_t *sizes, count;
	entry *sets;

	MG_NEW(ctx, scratch, sizes, ncolumns);
	MG_NEW(ctx, scratch, domain, ncolumns);
	for (uint32_t i = 0; i < ncolumns; i++)
	{
		sizes[i] = columns[i].ncoarse;
		domain[i] = &columns[i].domain;
	}
	l->sizes = sizes;
	if (workload == NULL)
		return append_all(l, ncolumns, degree) ? MG_OK : mg_fail(ctx, MG_NOMEM, "out of memory");
	MG_NEW(ctx, scratch, sets, MOST_SETS);
	MG_TRY(read_workload(ctx, domain, ncolumns, workload, sets, &count));
	return append_closure(ctx, l, sets, count);
}

mg_code
mg_candidates_list(mg_ctx *ctx, mg_arena *a, const mg_column *columns, uint32_t ncolumns, uint32_t degree,
				   const char *workload, size_t most_cells, size_t all_cells, mg_candidates *out)
{
	mg_arena *scratch = mg_arena_create(0);
	list l = {.most_cells = most_cells};
	mg_code code;

	memset(out, 0, sizeof(*out));
	if (scratch == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	code = list_sets(ctx, &l, columns, ncolumns, degree, workload, scratch);
	if (code == MG_OK)
	{
		if (l.count > 0)
			qsort(l.item, l.count, sizeof(*l.item), compare_entries);
		code = copy_out(ctx, a, &l, all_cells, out);
	}
	free(l.item);
	mg_arena_destroy(scratch);
	return code;
}

mg_code
mg_workload_check(mg_ctx *ctx, const mg_domain *domains, uint32_t ncolumns, const char *workload)
{
	mg_arena *scratch;
	const mg_domain **domain;
	entry *sets;
	uint32_t count;
	mg_code code;

	if (workload == NULL)
		return MG_OK;
	scratch = mg_arena_create(0);
	domain = scratch == NULL ? NULL : mg_arena_alloc(scratch, ncolumns, sizeof(*domain));
	sets = scratch == NULL ? NULL : mg_arena_alloc(scratch, MOST_SETS, sizeof(*sets));
	for (uint32_t i = 0; i < ncolumns && domain != NULL; i++)
		domain[i] = &domains[i];
	code = domain == NULL || sets == NULL ? mg_fail(ctx, MG_NOMEM, "out of memory")
										  : read_workload(ctx, domain, ncolumns, workload, sets, &count);
	mg_arena_destroy(scratch);
	return code;
}
