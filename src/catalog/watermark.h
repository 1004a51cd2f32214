/*
 * catalog/watermark.h: what the catalog keeps about the watermark: a model's plan (sealed, and kept when the model is
 * dropped), whether its rows are marked, and the keys.
 *
 * Keys follow from the root key "watermark" and a label, never from the model's own key, which dies with the model:
 *
 *   of the model        HKDF(root, "pg_mirage mark 1" | model id)
 *   of a recipient      HKDF(root, "pg_mirage mark 1" | model id | "role:" or "claim:" name)
 *   the plan's seal     HKDF(root, "pg_mirage mark plan 1"), with the model's id as associated data
 *
 * Who holds a key or a root wipes it.
 */
#ifndef MIRAGE_CATALOG_WATERMARK_H
#define MIRAGE_CATALOG_WATERMARK_H

#include "catalog/catalog.h"
#include "seal/seal.h"

#define MG_MARK_ID_SIZE 17 /* 16 hexadecimal digits and NUL */

/* The root that all keys of marks follow from: opened once for many keys. create: made where there is none. */
typedef struct MgMarkRoot
{
	uint8 key[MG_KEY_BYTES];
} MgMarkRoot;
extern void mg_mark_root_open(MgMarkRoot *root, bool create);
extern void mg_mark_root_close(MgMarkRoot *root);

/* recipient NULL: the model's own key. Nothing is raised between deriving and returning. */
extern mg_code mg_mark_key(mg_ctx *ctx, const MgMarkRoot *root, int64 model, const char *recipient, bool claimed,
						   uint8 key[MG_KEY_BYTES]);
/* What an issuance records of a key: it says which key it was and nothing about it. */
extern mg_code mg_mark_key_id(mg_ctx *ctx, const uint8 key[MG_KEY_BYTES], char id[MG_MARK_ID_SIZE]);

/* Are the model's rows to be marked? In the latest snapshot. */
extern bool mg_mark_is_on(int64 model);
/* Records the switch and puts it on the model's card, in the caller's transaction. */
extern void mg_mark_switch(int64 model, bool marked);
/*
 * For the transaction of a release: error unless the mark was `marked`, as the caller's session saw it, in this
 * transaction's snapshot too. A switch that is not committed yet moves no row that is given out.
 */
extern void mg_mark_require(int64 model, const char *model_name, bool marked);

extern bool mg_mark_plan_exists(int64 model);
/* Seals and stores a plan; once for each model. Makes the root key where there is none. */
extern void mg_mark_plan_store(int64 model, const char *model_name, const void *plain, size_t len);
/* Unsealed, palloc'ed; NULL where the model has none. */
extern void *mg_mark_plan_load(const MgMarkRoot *root, int64 model, size_t *len);

/* A model that has a plan, dropped or not. */
typedef struct MgMarkedModel
{
	int64 id;
	char *name;
} MgMarkedModel;
/* All, or those that are or were called `name`; a List of MgMarkedModel *, by id. */
extern List *mg_mark_models(const char *name);

/* Somebody who was given marked rows of a model. */
typedef struct MgMarkRecipient
{
	char *name;
	bool claimed;
} MgMarkRecipient;
/* By issuances; a List of MgMarkRecipient *, by name. */
extern List *mg_mark_recipients(int64 model);

#endif
