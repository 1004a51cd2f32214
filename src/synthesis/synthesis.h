/*
 * synthesis/synthesis.h: the methods by name, and values from any model.
 *
 * A stream turns a model and a key into batches of values: coarse codes from the method's sampler, then fine cells
 * within a bin by the noisy fine histogram, then values within the cell on the column's public step. All of it is
 * post-processing.
 */
#ifndef MIRAGE_SYNTHESIS_SYNTHESIS_H
#define MIRAGE_SYNTHESIS_SYNTHESIS_H

#include "model/model.h"

extern const mg_method *const mg_methods[];        /* NULL-terminated: independent, mst */
const mg_method *mg_method_find(const char *name); /* NULL: unknown */

typedef struct mg_batch
{
	uint32_t rows;
	mg_values *column; /* [ncolumns] */
	/* Of a stream with conditions (synthesis/where.h) the rows that have values, ascending; NULL: all have. */
	const uint16_t *row;
	uint32_t nrows;
} mg_batch;

typedef struct mg_stream mg_stream;
/* key: 32 bytes; batch b is a function of (model, key, b, its number of rows). The stream keeps a reference to the
 * model. */
mg_code mg_stream_create(mg_ctx *ctx, const mg_model *m, const uint8_t key[32], mg_stream **out);
/* want: NULL for all columns; otherwise values are only made where want[col]. */
void mg_stream_want(mg_stream *s, const bool *want);
/*
 * How a number will look once it is rounded to its column's type: enforced constraints are judged by what will be seen,
 * not by what was drawn. NULL: as drawn. Numbers that constraints mention come out rounded.
 */
typedef double (*mg_snap)(void *arg, uint32_t col, double v);
void mg_stream_snap(mg_stream *s, mg_snap snap, void *arg);
/*
 * rows: 1..MG_BATCH_ROWS. Where anything is wanted, every row satisfies the constraints that the model keeps; rows that
 * would not are drawn again, a bounded number of times. MG_IMPOSSIBLE: none was found that does. The batch belongs to
 * the stream and is overwritten by the next call.
 */
mg_code mg_stream_next(mg_ctx *ctx, mg_stream *s, uint32_t rows, const mg_batch **out);
/* The number of the batch to come: batches may be asked for in any order. */
void mg_stream_seek(mg_stream *s, uint64_t batch);
void mg_stream_destroy(mg_stream *s);

/*
 * For a model just made: the share of its rows that violate each enforced constraint before any re-draw, from a fixed
 * key. What hardly any row can be made to satisfy within its bins (one in 20; one in 500 with all others) is enforced
 * no more, with the reason: its rows would have little to do with the model. Post-processing: rates follow from the
 * model alone.
 */
mg_code mg_constraints_measure(mg_ctx *ctx, mg_model *m, mg_snap snap, void *arg);

#endif
