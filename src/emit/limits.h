/*
 * emit/limits.h: what a call may have: under which grants it is made, and what those confine its rows to.
 */
#ifndef MIRAGE_EMIT_LIMITS_H
#define MIRAGE_EMIT_LIMITS_H

#include "postgres.h"

#include "catalog/catalog.h"
#include "emit/given.h"

typedef struct MgLimits
{
	/* the call and its model */
	const MgModel *entry;
	const mg_model *model;
	MgColumns *columns; /* all of the model's; conditions are noted in them */
	Jsonb *conditions;  /* of the call; NULL: none */
	List *listed;       /* of char *: columns that must be there (a column definition list) */
	bool repeats;       /* a seed is given: what the rows are confined to must not depend on what was used */
	bool has_rows;      /* else as many as the model's noisy total, times the probability of the conditions */
	int64 rows;

	/* what comes of it; memory of the context that is current at the call */
	List *grants;       /* of MgGrantRef *: those that may pay, in order; NIL: the caller needs none */
	MgColumns *visible; /* the columns that the caller may have, with their conditions */
	MgGiven given;
	mg_conditioned *conditioned; /* NULL: no conditions. Whoever holds the limits destroys it, after errors too */
} MgLimits;

/*
 * Fits the call to the grants (of MgGrant *, the least restrictive first; NIL: the caller needs none): the first that
 * permits it decides what the rows are confined to, and those that confine to the same may pay too. A grant permits a
 * call when it has the columns that the call lists and conditions on, when call and grant together can be satisfied,
 * and when there is room for the rows, which is not asked where the call repeats. Where none does, the error is that of
 * the grant that came nearest; that there is no room is left for the record to find.
 */
extern void mg_limits_apply(mg_ctx *ctx, MgLimits *limits, List *grants);

#endif
