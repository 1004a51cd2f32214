/*
 * watermark/detect.h: were these rows made with that key?
 *
 * A detector counts the cells of the subsets whose columns are all there, turns the counts into weights that depend on
 * no key, and then tests any number of keys: T = sum over cells of w * sign, z = T / ||w||. Over the choice of a key
 * that the rows' maker did not know, signs are independent fair coins whatever the rows and the weights are, so that
 *
 *     P(T >= z ||w||)  <=  min(exp(-z^2 / 2), 3.178 Phi(-z))
 *
 * (Hoeffding 1963, theorem 2; Bentkus, Dzindzalieta 2015, theorem 1.1): a proved p-value, not a fitted one. It is for
 * one key: whoever tries several corrects for that.
 *
 * Use: create, add rows in any number of calls, finish once, then mg_detect_key as often as wanted.
 */
#ifndef MIRAGE_WATERMARK_DETECT_H
#define MIRAGE_WATERMARK_DETECT_H

#include "watermark/mark.h"

typedef struct mg_detector mg_detector;

/* present[plan->ncolumns]: columns that the rows have. The plan is referred to. At least two are needed for features,
 * but it is no error to have none: then nothing is ever found. */
mg_code mg_detector_create(mg_ctx *ctx, const mg_mark_plan *plan, const bool *present, mg_detector **out);
void mg_detector_destroy(mg_detector *d); /* NULL allowed */

/* Subsets that are whole. */
uint32_t mg_detector_subsets(const mg_detector *d);

/*
 * group[col][row]: groups by mg_mark_text_group and its like, or MG_MARK_MISSING; group[col] is read where present[col]
 * and the column carries a mark. Any number of rows.
 */
mg_code mg_detect_add(mg_ctx *ctx, mg_detector *d, const uint8_t *const *group, size_t rows);

/* Once, after the last row: counts become weights. */
mg_code mg_detect_finish(mg_ctx *ctx, mg_detector *d);

typedef struct mg_detection
{
	uint32_t features; /* distinct rare cells that occurred */
	double z;          /* 0 where nothing counts */
	double p;          /* at most 1; 0 where it is below the least double */
	double log_p;      /* natural logarithm, never below what a double holds */
} mg_detection;

mg_code mg_detect_key(mg_ctx *ctx, const mg_detector *d, const uint8_t key[MG_KEY_BYTES], mg_detection *out);

/* What a subset adds to T and to ||w||^2. */
typedef struct mg_detection_part
{
	double sum, square;
} mg_detection_part;

/*
 * out[plan->nsubsets]: the parts of a key's z. What a subset adds depends on its own columns alone, so that the z of
 * these rows with columns dropped is the sum over the subsets that are left, over the root of their squares.
 */
mg_code mg_detect_parts(mg_ctx *ctx, const mg_detector *d, const uint8_t key[MG_KEY_BYTES], mg_detection_part *out);

/* log of the bound above; 0 where z <= 0. */
double mg_mark_log_p(double z);

#endif
