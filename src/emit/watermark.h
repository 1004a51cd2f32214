/*
 * emit/watermark.h: the mark of a release: resolved while the release can still be refused, and handed to its streams.
 */
#ifndef MIRAGE_EMIT_WATERMARK_H
#define MIRAGE_EMIT_WATERMARK_H

#include "catalog/watermark.h"
#include "synthesis/marking.h"

typedef struct MgReleaseMark
{
	mg_mark_plan *plan;
	mg_mark *mark;   /* NULL: rows are not marked */
	char id[17];     /* of the recipient's key, as the issuance records it; empty: not marked */
	MgMarkRoot root; /* while it is opened */
} MgReleaseMark;

/* Zeroed before; also after a failure it is to be closed. An error where the model has no plan. */
extern void mg_release_mark_open(MgReleaseMark *m, mg_ctx *ctx, const MgModel *model, const MgRecipient *recipient);
extern void mg_release_mark_close(MgReleaseMark *m);

#endif
