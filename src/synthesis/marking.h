/*
 * synthesis/marking.h: plans from models, and marks in streams.
 *
 * A plan is made once, when the model is: from rows of the model by a fixed public seed, so it is post-processing and a
 * function of the model alone. A marked stream chooses, within each batch, how parts of its rows are combined, so that
 * rare cells with a high score come a little more often: where the model has a junction tree, branches of it are
 * exchanged among rows that agree on the separator, which leaves the batch's marginals over every clique exactly as the
 * sampler made them (a small batch is the first rows of a larger one that was marked so); otherwise each row is the
 * better of two draws.
 */
#ifndef MIRAGE_SYNTHESIS_MARKING_H
#define MIRAGE_SYNTHESIS_MARKING_H

#include "synthesis/synthesis.h"
#include "watermark/mark.h"

/* MG_CANCELLED, MG_NOMEM; a model of one column has a plan without subsets, which marks nothing. */
mg_code mg_mark_plan_make(mg_ctx *ctx, const mg_model *m, mg_mark_plan **out);

/*
 * Before the first batch. The plan must be of the stream's model (MG_INVALID where it cannot be); the stream refers to
 * the mark until it is destroyed. Batch b is then a function of (model, key, conditions, mark, b, rows); which columns
 * are wanted has no part in it.
 */
mg_code mg_stream_mark(mg_ctx *ctx, mg_stream *s, const mg_mark *mark);

#endif
