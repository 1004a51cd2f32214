/*
 * pg/dependence.h: columns that are declared to be functions of others. Private to pg/, but for what columns.h shows.
 */
#ifndef MIRAGE_PG_DEPENDENCE_H
#define MIRAGE_PG_DEPENDENCE_H

#include "pg/columns.h"

/*
 * Finds the columns that column i is declared to be a function of (depends_on: of char *, by the names that they have
 * where they are declared), once all are described. Where one of them is not learnt, or not by its values, the
 * dependence cannot be seen in the rows, or not be kept: it is left out, and dp_describe says so.
 */
extern void mg_resolve_dependence(MgColumns *columns, int i, List *depends_on);
/* Error unless `det`, described, is a column that `col` can be a function of. */
extern void mg_require_determinant(const MgColumn *col, const MgColumn *det);

#endif
