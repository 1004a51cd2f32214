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

/* One column of a batch. A NULL value has null[i] set. label[i] indexes columns[c].domain.labels; `other` comes as its
 * declared label (other_text) with index nlabels, or as NULL in a nullable column, and never otherwise. */
typedef struct mg_values
{
	bool *null;
	uint32_t *label; /* category */
	double *number;  /* number */
} mg_values;

typedef struct mg_batch
{
	uint32_t rows;
	mg_values *column; /* [ncolumns] */
} mg_batch;

typedef struct mg_stream mg_stream;
/* key: 32 bytes; batch b is a function of (model, key, b, its number of rows). The stream keeps a reference to the
 * model. */
mg_code mg_stream_create(mg_ctx *ctx, const mg_model *m, const uint8_t key[32], mg_stream **out);
/* want: NULL for all columns; otherwise values are only made where want[col]. */
void mg_stream_want(mg_stream *s, const bool *want);
/* rows: 1..MG_BATCH_ROWS. The batch belongs to the stream and is overwritten by the next call. */
mg_code mg_stream_next(mg_ctx *ctx, mg_stream *s, uint32_t rows, const mg_batch **out);
void mg_stream_destroy(mg_stream *s);

#endif
