/*
 * synthesis/depend.h: the values of dependent columns in a batch (model/dependency.h); a part of a stream.
 *
 * A dependent value is a function of the model and of the emitted values of its determinants: nothing of the stream's
 * key, the batch or the row enters. NULL is a value like others. Two labels of one text, and numbers that a real column
 * cannot tell apart, are one value: a number without a step counts by its nearest single-precision number.
 */
#ifndef MIRAGE_SYNTHESIS_DEPEND_H
#define MIRAGE_SYNTHESIS_DEPEND_H

#include "synthesis/values.h"

typedef struct mg_dependents mg_dependents;

/* *out: NULL where the model has no dependent column. All memory is the arena's; model and decoders are kept. */
mg_code mg_dependents_prepare(mg_ctx *ctx, mg_arena *a, const mg_model *m, mg_decoder_column *const *decoder,
							  mg_dependents **out);

/* make[col]: must the values of this column be made where those of want[col] are wanted (NULL: all)? */
void mg_dependents_want(const mg_dependents *d, const bool *want, uint32_t ncolumns, bool *make);

/* Does column `col` depend on others, so that mg_dependents_fill makes its values? */
bool mg_dependents_has(const mg_dependents *d, uint32_t col);

/* Overwrites codes and values of the dependent columns with make[col] set, from the values of their determinants. */
void mg_dependents_fill(const mg_dependents *d, const bool *make, uint32_t rows, uint16_t *const *codes,
						mg_values *column);
/* The same of row[0..nrows-1] alone. */
void mg_dependents_fill_rows(const mg_dependents *d, const bool *make, const uint16_t *row, uint32_t nrows,
							 uint16_t *const *codes, mg_values *column);

#endif
