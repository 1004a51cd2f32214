/*
 * pg/groups.h: values of any query as groups of a watermark's plan (watermark/plan.h).
 *
 * A plan knows groups by labels' texts and by points on the axis of the column's type. Which type that was is kept
 * beside the plan, by class (pg/types.h): a *bundle* is a plan with the classes of its columns, and needs no catalog,
 * so that it can outlive model, table and types.
 *
 * A query's column may be of another type than the model's: the rows may come from a CSV whose columns are all texts,
 * or an integer may have become a numeric. Values are brought to the model's class where they fit it, else by their
 * text; a text that is empty counts as NULL where the model has no such label. What cannot be read counts as missing.
 * No value raises an error.
 */
#ifndef MIRAGE_PG_GROUPS_H
#define MIRAGE_PG_GROUPS_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "executor/tuptable.h"
#include "pg/types.h"
#include "watermark/plan.h"

typedef struct MgMarkBundle
{
	mg_mark_plan *plan;
	MgTypeClass *cls; /* [plan->ncolumns]; MG_TYPE_NONE where the column carries no mark; palloc'ed */
} MgMarkBundle;

/* Portable form. columns: the model's. Looks into the catalogs: in a transaction. */
extern mg_code mg_mark_bundle_write(mg_ctx *ctx, const mg_mark_plan *plan, const MgColumns *columns, mg_writer *w);
/* MG_CORRUPT where the bytes are none. The plan is the core's: mg_mark_plan_destroy. */
extern mg_code mg_mark_bundle_read(mg_ctx *ctx, const void *data, size_t len, MgMarkBundle *out);

#define MG_GROUP_ROWS 1024 /* rows that are collected before somebody must look at them */

typedef struct MgGroups MgGroups;
/*
 * attr[plan->ncolumns]: which attribute of desc a column of the plan is read from, from 0; -1: none. The bundle is
 * referred to. All memory is the current context's.
 */
extern MgGroups *mg_groups_create(const MgMarkBundle *bundle, TupleDesc desc, const int *attr);
/* Takes a row whose attributes are all there; false: full, call mg_groups_clear after use of the groups. */
extern bool mg_groups_row(MgGroups *g, const TupleTableSlot *slot);
extern uint32 mg_groups_rows(const MgGroups *g);
extern const uint8 *const *mg_groups_columns(const MgGroups *g); /* [plan->ncolumns], NULL where absent */
extern void mg_groups_clear(MgGroups *g);

#endif
