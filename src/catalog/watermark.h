/*
 * catalog/watermark.h: what the catalog keeps about the watermark: a model's plan (sealed, and kept when the model is
 * dropped), whether its rows are marked, and the keys.
 *
 * Keys follow from the root key "watermark" and a label, never from the model's own key, which dies with the model:
 *
 *   of the model        HKDF(root, "pg_mirage mark 1" | model id)
 *   of a recipient      HKDF(root, "pg_mirage mark 1" | model id | the recipient's id)
 *   the plan's seal     HKDF(root, "pg_mirage mark plan 1"), with the model's id as associated data
 *
 * Who holds a key or a root wipes it.
 */
#ifndef MIRAGE_CATALOG_WATERMARK_H
#define MIRAGE_CATALOG_WATERMARK_H

#include "catalog/catalog.h"
#include "pg/groups.h"
#include "seal/seal.h"

/* The root that all keys of marks follow from: opened once for many keys. create: made where there is none. */
typedef struct MgMarkRoot
{
	uint8 key[MG_KEY_BYTES];
} MgMarkRoot;
extern void mg_mark_root_open(MgMarkRoot *root, bool create);
extern void mg_mark_root_close(MgMarkRoot *root);

/* recipient: its id, as MgRecipient has it; NULL: the model's own key. Raises nothing. */
extern mg_code mg_mark_key(mg_ctx *ctx, const MgMarkRoot *root, int64 model, const char *recipient,
						   uint8 key[MG_KEY_BYTES]);
/* In the latest snapshot: */
typedef enum MgMarkState
{
	MG_MARK_OFF,      /* switched off */
	MG_MARK_BLANK,    /* on, but the model has too few columns to carry one */
	MG_MARK_ON,       /* rows are marked */
	MG_MARK_UNPLANNED /* on, and there is no plan: the model was trained by an earlier version */
} MgMarkState;
extern MgMarkState mg_mark_state(int64 model);
extern bool mg_mark_has_plan(int64 model);
/* Records the switch and puts it on the model's card, in the caller's transaction. */
extern void mg_mark_switch(int64 model, bool marked);
/*
 * For the transaction of a release: error unless rows are to be marked (or not) in its snapshot as they were in the
 * caller's. A switch that is not committed yet has no effect on rows that are given out.
 */
extern void mg_mark_require(const MgModel *model, bool marked);

/*
 * Stores a model's plan with the types of its columns, sealed; once for each model. Makes the root key where there is
 * none.
 */
extern void mg_mark_plan_store(int64 model, const char *model_name, const mg_mark_plan *plan, const MgColumns *columns);
/* The key that plans are sealed under, for whoever stores one later, when the master key may not be to be had. */
extern void mg_mark_plan_key(uint8 key[MG_KEY_BYTES]);
extern void mg_mark_plan_store_under(const uint8 key[MG_KEY_BYTES], int64 model, const char *model_name,
									 const mg_mark_plan *plan, const MgColumns *columns);
/* Back. Its plan is the caller's to destroy; NULL where the model has none, and after a failure. */
extern mg_code mg_mark_plan_load(mg_ctx *ctx, const MgMarkRoot *root, int64 model, MgMarkBundle *out);

/* A model that has a plan, dropped or not. */
typedef struct MgMarkedModel
{
	int64 id;
	char *name;
} MgMarkedModel;
/* All, or those that are or were called `name`; a List of MgMarkedModel *, by id. */
extern List *mg_mark_models(const char *name);

/* Somebody who was given marked rows of a model. */
typedef struct MgSuspect
{
	MgRecipient recipient; /* by the name that it had when it was given such rows last */
	char *role_now;        /* what that very role, or the login that claimed, is called now; NULL: there is none */
	bool namesake;         /* a role that has the name now is another one */
} MgSuspect;
/* All of them, by the model's issuances: a List of MgSuspect *, by name (catalog/recipient.c). */
extern List *mg_mark_recipients(int64 model);

#endif
