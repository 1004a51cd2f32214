/*
 * emit/materialize.h: rows of a model into a table.
 */
#ifndef MIRAGE_EMIT_MATERIALIZE_H
#define MIRAGE_EMIT_MATERIALIZE_H

#include "postgres.h"

#include "fmgr.h"

/* May the table be there already? */
typedef enum MgExisting
{
	MG_EXISTING_OR_NEW,
	MG_EXISTING_ONLY,
	MG_NEW_ONLY
} MgExisting;

/*
 * Fills the table `target`, a name as SQL would read it, in the caller's transaction; returns how many rows were
 * written. args: [MG_RELEASE_ARGS], as of mg_release_open.
 */
extern int64 mg_materialize(const NullableDatum *args, const char *target, MgExisting existing);

#endif
