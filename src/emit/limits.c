/*
 * emit/limits.c: see limits.h. Conditions are exact inference, so that a grant's confinement holds in every row, and
 * the rows of a confined call have the distribution that the model's own rows have within it.
 */
#include "postgres.h"

#include <math.h>

#include "emit/limits.h"
#include "pg/server.h"
#include "pg/texts.h"

/* How far a grant carries a call. */
typedef enum Reach
{
	REACH_NOTHING,     /* a column that the call names is not granted */
	REACH_COLUMNS,     /* call and grant cannot be satisfied together */
	REACH_SATISFIABLE, /* no room for the rows */
	REACH_ALL
} Reach;

/* A noisy total as a number of rows, what does not fit is no total; of those that satisfy the conditions, one at least.
 */
static int64
default_rows(const MgLimits *l)
{
	double total = l->model->total;

	if (!(total >= 1 && total < 0x1p62))
		return 0;
	if (l->conditioned != NULL)
		total = Max(total * mg_conditioned_probability(l->conditioned), 1);
	return (int64) rint(total);
}

/* Exact inference, once for the release. */
static mg_code
confine(mg_ctx *ctx, MgLimits *l, const MgGrant *g)
{
	List *columns = g != NULL ? g->columns : NIL;

	mg_conditioned_destroy(l->conditioned);
	l->conditioned = NULL;
	l->given = mg_given_parse(l->conditions, g != NULL ? g->conditions : NULL, l->columns, columns, l->entry->name);
	l->visible = mg_columns_named(l->columns, columns);
	if (l->given.n > 0)
		MG_TRY(mg_conditioned_create(ctx, l->model, l->given.condition, (uint32_t) l->given.n, &l->conditioned));
	if (!l->has_rows)
		l->rows = default_rows(l);
	return MG_OK;
}

static bool
has_columns(const MgLimits *l, const MgGrant *g)
{
	ListCell *lc;

	if (g->columns == NIL)
		return true;
	foreach (lc, l->listed)
		if (!mg_texts_have(g->columns, lfirst(lc)))
			return false;
	return mg_given_within(l->conditions, g->columns);
}

static bool
any_has_room(List *alike, int64 rows)
{
	ListCell *lc;

	foreach (lc, alike)
		if (mg_grant_has_room(lfirst(lc), rows))
			return true;
	return false;
}

/* Tries what the grants, which are alike, permit; on REACH_SATISFIABLE and beyond the limits are those of the grants.
 */
static Reach
try_grants(mg_ctx *ctx, MgLimits *l, List *alike)
{
	mg_code code;

	if (!has_columns(l, linitial(alike)))
		return REACH_NOTHING;
	code = confine(ctx, l, linitial(alike));
	if (code == MG_IMPOSSIBLE)
		return REACH_COLUMNS;
	MG_CHECK(ctx, code);
	return l->repeats || any_has_room(alike, l->rows) ? REACH_ALL : REACH_SATISFIABLE;
}

/* The grants in classes of what they confine to, both in the order of the list: a List of Lists. */
static List *
classes(List *grants)
{
	List *all = NIL;
	ListCell *lc;

	foreach (lc, grants)
	{
		ListCell *c;
		bool placed = false;

		foreach (c, all)
			if (!placed && mg_grants_alike(linitial(lfirst(c)), lfirst(lc)))
			{
				lfirst(c) = lappend(lfirst(c), lfirst(lc));
				placed = true;
			}
		if (!placed)
			all = lappend(all, list_make1(lfirst(lc)));
	}
	return all;
}

static List *
references(List *grants)
{
	List *refs = NIL;
	ListCell *lc;

	foreach (lc, grants)
	{
		const MgGrant *g = lfirst(lc);
		MgGrantRef *ref = palloc(sizeof(MgGrantRef));

		*ref = (MgGrantRef){.recorded = g->recorded, .granted_at = g->granted_at};
		refs = lappend(refs, ref);
	}
	return refs;
}

/* What the caller would have to find out from the rows otherwise: they are not what it had yesterday. */
static void
tell_narrower(const MgLimits *l, const MgGrant *full, const MgGrant *instead)
{
	ereport(NOTICE,
			(errmsg("the limit of rows of model \"%s\" for role \"%s\" is reached", l->entry->name, full->grantee.name),
			 errdetail("These rows come under the grant to role \"%s\", which confines them in another way.",
					   instead->grantee.name)));
}

void
mg_limits_apply(mg_ctx *ctx, MgLimits *l, List *grants)
{
	List *all = classes(grants), *best = NIL, *full = NIL;
	Reach reach = REACH_NOTHING;
	bool applied = false;
	ListCell *lc;

	/* one class decides alone: whatever it lacks is said by what finds it */
	foreach (lc, list_length(all) > 1 ? all : NIL)
	{
		Reach r = try_grants(ctx, l, lfirst(lc));

		applied = false;
		if (best == NIL || r > reach)
		{
			best = lfirst(lc);
			reach = r;
			applied = true;
		}
		if (r == REACH_ALL)
			break;
		if (r == REACH_SATISFIABLE && full == NIL)
			full = lfirst(lc);
	}
	if (best == NIL && all != NIL)
		best = linitial(all);
	if (!applied || reach < REACH_SATISFIABLE)
		MG_CHECK(ctx, confine(ctx, l, best != NIL ? linitial(best) : NULL));
	if (reach == REACH_ALL && full != NIL)
		tell_narrower(l, linitial(full), linitial(best));
	l->grants = references(best);
}
