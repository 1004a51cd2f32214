/*
 * synthesis/where.h: rows of a stream that cannot satisfy a query's conditions are passed over.
 *
 * Unlike the conditions of condition.h these change no row: a batch has the rows that it has without them, and names
 * those among them that may satisfy all conditions. What is passed over is decided on codes first, which are there
 * before any value is; then on values of the conditions' own columns, made for the rows that are left; only rows that
 * are still left get values in the other columns. Rows that are named may violate a condition, by rounding at the ends
 * of an interval; no row that satisfies them all is passed over.
 *
 * Post-processing: nothing here looks at anything but the model and the rows that were drawn from it.
 */
#ifndef MIRAGE_SYNTHESIS_WHERE_H
#define MIRAGE_SYNTHESIS_WHERE_H

#include "synthesis/condition.h"

/*
 * Before the first batch; at most one condition a column, referred to until the stream is destroyed. Their columns are
 * made as if they were wanted. Intervals are on the column's axis and of values as they will be seen (mg_stream_snap,
 * which is taken to be monotone); `null` is whether a value that the model leaves out satisfies the condition, however
 * it will be shown. MG_INVALID: an interval or a column that cannot be.
 */
mg_code mg_stream_where(mg_ctx *ctx, mg_stream *s, const mg_condition *where, uint32_t n);

/*
 * The share of the model's rows that satisfies the conditions, as if columns were independent: each by its own
 * measured marginal. given: conditions that hold already (NULL: none), of which those on the same columns count. For
 * estimates.
 */
mg_code mg_where_share(mg_ctx *ctx, const mg_model *m, const mg_conditioned *given, const mg_condition *where,
					   uint32_t n, double *share);

#endif
