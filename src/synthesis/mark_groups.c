/*
 * synthesis/mark_groups.c: the columns of a plan: which values are one group.
 *
 * Labels are dealt to groups of about equal mass, numbers cut into intervals of about equal mass where no code lies on
 * both sides, NULL is a group of its own. Made from counts of the model's own rows (mark_plan.c). What lasts is in the
 * plan's arena.
 */
#include "synthesis/mark_maker.h"

#include "model/dependency.h"

#include <stdlib.h>
#include <string.h>

#define NUMBER_GROUPS 24
#define LABEL_GROUPS 24

typedef struct heavy
{
	uint32_t count, code;
} heavy;

static int
compare_heavy(const void *a, const void *b)
{
	const heavy *x = a, *y = b;

	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return (x->code > y->code) - (x->code < y->code);
}

/* Codes in falling order of mass, each into the group that has least. */
static mg_code
group_labels(mg_ctx *ctx, const maker *k, uint32_t c, uint32_t codes, uint8_t *group, uint32_t *ngroups)
{
	double load[LABEL_GROUPS] = {0};
	heavy *list;

	*ngroups = codes < LABEL_GROUPS ? codes : LABEL_GROUPS;
	MG_NEW(ctx, k->work, list, (size_t) codes + 1);
	for (uint32_t i = 0; i < codes; i++)
		list[i] = (heavy){k->code_count[c][i], i};
	qsort(list, codes, sizeof(*list), compare_heavy);
	for (uint32_t i = 0; i < codes; i++)
	{
		uint32_t least = 0;

		for (uint32_t g = 1; g < *ngroups; g++)
			if (load[g] < load[least])
				least = g;
		group[list[i].code] = (uint8_t) least;
		load[least] += list[i].count + 1e-9; /* codes that never came spread out too */
	}
	return MG_OK;
}

static int
compare_hashes(const void *a, const void *b)
{
	uint64_t x = ((const uint64_t *) a)[0], y = ((const uint64_t *) b)[0];

	return (x > y) - (x < y);
}

/*
 * What a text of `other` looks like: its declared label, or NULL. A code of its own that comes out as NULL is in NULL's
 * group.
 */
static mg_code
make_category(mg_ctx *ctx, maker *k, uint32_t c)
{
	const mg_column *col = &k->model->columns[c];
	const mg_domain *d = &col->domain;
	mg_mark_column *out = &k->column[c];
	uint32_t codes = col->ncoarse - d->nullable, n = 0, ngroups;
	uint64_t(*entry)[2], *label;
	uint8_t *group = k->group_of[c], *label_group;

	MG_TRY(group_labels(ctx, k, c, codes, group, &ngroups));
	out->null_group = MG_MARK_MISSING;
	if (d->nullable)
		out->null_group = group[codes] = (uint8_t) ngroups++;
	out->other_group = MG_MARK_MISSING;
	if (d->has_other && d->other == NULL && d->nullable)
	{
		bool alone = true;

		for (uint32_t i = 0; i < d->nlabels; i++)
			alone = alone && col->merge[i] != col->merge[d->nlabels];
		if (alone)
			group[col->merge[d->nlabels]] = out->null_group;
	}
	if (d->has_other)
		out->other_group = group[col->merge[d->nlabels]];
	MG_NEW(ctx, k->work, entry, (size_t) d->nlabels + 1);
	for (uint32_t i = 0; i < d->nlabels; i++, n++)
	{
		entry[n][0] = mg_mark_label_hash(d->labels[i].text, d->labels[i].len);
		entry[n][1] = group[col->merge[i]];
	}
	if (d->has_other && d->other != NULL)
	{
		entry[n][0] = mg_mark_label_hash(d->other, strlen(d->other));
		entry[n++][1] = out->other_group;
	}
	qsort(entry, n, sizeof(*entry), compare_hashes);
	MG_NEW(ctx, k->plan->arena, label, (size_t) n + 1);
	MG_NEW(ctx, k->plan->arena, label_group, (size_t) n + 1);
	for (uint32_t i = 0; i < n; i++)
		if (out->nlabels == 0 || label[out->nlabels - 1] != entry[i][0])
		{
			label[out->nlabels] = entry[i][0];
			label_group[out->nlabels++] = (uint8_t) entry[i][1];
		}
	out->label = label;
	out->label_group = label_group;
	out->ngroups = ngroups;
	return MG_OK;
}

/* Where may the axis be cut between cells i - 1 and i? Where no code lies on both sides. */
static mg_code
find_cuts(mg_ctx *ctx, maker *k, const mg_column *col, bool *cut)
{
	uint32_t cells = col->nfine - 1, *last, open = 0;

	MG_NEW(ctx, k->work, last, col->ncoarse);
	for (uint32_t i = 0; i < cells; i++)
		last[col->merge[i]] = i;
	for (uint32_t i = 0; i < cells; i++)
	{
		/* a cut at the upper end of a cell of no width would be one between equal values */
		cut[i] = i > 0 && open <= i - 1 && col->cells[i].lower > col->cells[i - 1].lower &&
				 col->cells[i].lower >= col->cells[i - 1].upper;
		open = last[col->merge[i]] > open ? last[col->merge[i]] : open;
	}
	return MG_OK;
}

/* Groups of equal mass, as far as cuts allow; a single value that is heavier than a group stays alone. */
static mg_code
make_number(mg_ctx *ctx, maker *k, uint32_t c)
{
	const mg_column *col = &k->model->columns[c];
	mg_mark_column *out = &k->column[c];
	uint32_t cells = col->nfine - 1;
	double total = 0, mass = 0, left, *first, *breaks;
	bool *cut;

	MG_NEW(ctx, k->work, cut, (size_t) cells + 1);
	MG_NEW(ctx, k->work, first, (size_t) cells + 1);
	MG_NEW(ctx, k->plan->arena, breaks, NUMBER_GROUPS);
	MG_TRY(find_cuts(ctx, k, col, cut));
	/* mass of the codes that begin at a cell */
	for (uint32_t code = 0; code < col->ncoarse - col->domain.nullable; code++)
		for (uint32_t i = 0; i < cells; i++)
			if (col->merge[i] == code)
			{
				first[i] += k->code_count[c][code];
				total += k->code_count[c][code];
				break;
			}
	left = total;
	for (uint32_t i = 0; i < cells && total > 0; i++)
	{
		double next = first[i], share = left / (NUMBER_GROUPS - out->nbreaks);

		/* all that is as one up to the next cut */
		for (uint32_t j = i + 1; j < cells && !cut[j]; j++)
			next += first[j];
		if (cut[i] && mass > 0 && next > 0 && out->nbreaks < NUMBER_GROUPS - 1 && mass + next / 2 > share)
		{
			breaks[out->nbreaks++] = col->cells[i].lower;
			left -= mass;
			mass = 0;
		}
		mass += first[i];
	}
	out->breaks = breaks;
	out->ngroups = out->nbreaks + 1;
	for (uint32_t i = 0; i < cells; i++)
	{
		uint8_t g = 0;

		while (g < out->nbreaks && breaks[g] <= col->cells[i].lower)
			g++;
		k->group_of[c][col->merge[i]] = g;
	}
	out->null_group = MG_MARK_MISSING;
	if (col->domain.nullable)
	{
		out->null_group = (uint8_t) out->ngroups++;
		k->group_of[c][col->ncoarse - 1] = out->null_group;
	}
	return MG_OK;
}

static bool
is_dependent(const mg_model *m, uint32_t col)
{
	for (uint32_t i = 0; i < m->ndependencies; i++)
		if (m->dependencies[i].column == col)
			return true;
	return false;
}

void
mg_maker_margin(maker *k, uint32_t c, uint32_t batches)
{
	memset(k->margin[c], 0, k->column[c].ngroups * sizeof(*k->margin[c]));
	for (uint32_t i = 0; k->column[c].ngroups > 0 && i < k->model->columns[c].ncoarse; i++)
		k->margin[c][k->group_of[c][i]] += k->code_count[c][i] / ((double) batches * MG_BATCH_ROWS);
}

mg_code
mg_maker_column(mg_ctx *ctx, maker *k, uint32_t c)
{
	const mg_column *col = &k->model->columns[c];
	mg_mark_column *out = &k->column[c];

	out->name_len = (uint32_t) strlen(col->domain.name);
	out->name = mg_arena_strndup(k->plan->arena, col->domain.name, out->name_len);
	if (out->name == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	out->kind = col->domain.kind;
	out->null_group = out->other_group = MG_MARK_MISSING;
	if (is_dependent(k->model, c))
		return MG_OK;
	MG_TRY(out->kind == MG_CATEGORY ? make_category(ctx, k, c) : make_number(ctx, k, c));
	MG_NEW(ctx, k->plan->arena, k->margin[c], out->ngroups);
	mg_maker_margin(k, c, CODE_BATCHES);
	return MG_OK;
}
