/*
 * graphical/branches.c: what of a junction tree may be exchanged among rows (mg_method.branches).
 *
 * Cutting the edge between a clique and its parent leaves the columns of the clique's subtree and all others
 * independent given the separator. Of the two sides the one with fewer columns is the branch. A condition on single
 * columns multiplies the joint by functions of one column each, which changes no independence.
 */
#include "graphical/body.h"

#include <string.h>

/* below[col]: the column is in the subtree of clique `top` (cliques come after their parents). */
static void
mark_subtree(const mg_junction *tree, uint32_t top, bool *inside, bool *below)
{
	memset(below, 0, tree->ncolumns * sizeof(*below));
	for (uint32_t c = 0; c < tree->count; c++)
	{
		const mg_clique *q = &tree->clique[c];

		inside[c] = c == top || (c > top && q->parent != MG_NO_PARENT && inside[q->parent]);
		for (uint32_t i = 0; inside[c] && i < q->k; i++)
			below[q->cols[i]] = true;
	}
}

/* The branch behind clique c into *out; none where a side would be empty. */
static mg_code
cut(mg_ctx *ctx, mg_arena *a, const mg_junction *tree, uint32_t c, bool *inside, bool *below, mg_branch *out)
{
	const mg_clique *q = &tree->clique[c];
	uint32_t nbelow = 0, nrest, *branch;
	bool take;

	mark_subtree(tree, c, inside, below);
	for (uint32_t i = 0; i < q->nsep; i++)
		below[q->sep[i]] = false;
	for (uint32_t i = 0; i < tree->ncolumns; i++)
		nbelow += below[i];
	nrest = tree->ncolumns - q->nsep - nbelow;
	out->nbranch = 0;
	if (nbelow == 0 || nrest == 0)
		return MG_OK;
	take = nbelow <= nrest;
	MG_NEW(ctx, a, branch, take ? nbelow : nrest);
	for (uint32_t i = 0; i < tree->ncolumns; i++)
		if (below[i] == take && !mg_columns_within(&i, 1, q->sep, q->nsep))
			branch[out->nbranch++] = i;
	out->branch = branch;
	out->sep = q->sep;
	out->nsep = q->nsep;
	return MG_OK;
}

static bool
same_branch(const mg_branch *a, const mg_branch *b)
{
	return a->nbranch == b->nbranch && memcmp(a->branch, b->branch, a->nbranch * sizeof(*a->branch)) == 0;
}

mg_code
mg_graphical_branches(mg_ctx *ctx, const mg_model *m, mg_arena *a, const mg_branch **out, uint32_t *n)
{
	const mg_junction *tree = &((const mg_graphical *) m->body)->tree;
	bool *inside, *below;
	mg_branch *list;

	*n = 0;
	MG_NEW(ctx, a, list, tree->count);
	MG_NEW(ctx, a, inside, tree->count);
	MG_NEW(ctx, a, below, tree->ncolumns);
	*out = list;
	for (uint32_t c = 0; c < tree->count; c++)
	{
		bool new = true;

		if (tree->clique[c].parent == MG_NO_PARENT)
			continue;
		MG_TRY(mg_poll(ctx));
		MG_TRY(cut(ctx, a, tree, c, inside, below, &list[*n]));
		for (uint32_t i = 0; i < *n; i++)
			new = new && !same_branch(&list[i], &list[*n]);
		*n += new &&list[*n].nbranch > 0;
	}
	return MG_OK;
}
