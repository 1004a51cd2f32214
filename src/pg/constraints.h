/*
 * pg/constraints.h: what a table says about its rows as wholes: CHECK constraints, keys, exclusion.
 */
#ifndef MIRAGE_PG_CONSTRAINTS_H
#define MIRAGE_PG_CONSTRAINTS_H

#include "model/constraint.h"
#include "pg/columns.h"

/*
 * The constraints of `base`, as far as they say more than the columns' domains do, in terms of the core's columns:
 * source's, which is base or a view that shows rows of it. Those that rows will be held to have how MG_HOW_REDRAWS; the
 * others say why not. Reads catalogs, runs no foreign code. Memory: the current context's, which also releases an
 * arena.
 */
extern mg_constraint *mg_read_constraints(Oid source, Oid base, const MgColumns *columns, uint32 *n);

/*
 * Numbers as the decoder will show them: for mg_stream_snap, with the snapper as arg. It refers to columns and model.
 */
typedef struct MgSnapper MgSnapper;
extern MgSnapper *mg_snapper_create(const MgColumns *columns, const mg_model *model);
extern double mg_snap_number(void *snapper, uint32_t col, double v);

#endif
