/*
 * emit/target.h: the table that dp_materialize fills: found or made, and how the model's columns meet its own. Private
 * to emit/.
 */
#ifndef MIRAGE_EMIT_TARGET_H
#define MIRAGE_EMIT_TARGET_H

#include "emit/emit.h"
#include "emit/likeness.h"
#include "emit/materialize.h"

typedef struct MgTarget
{
	Oid relid;
	char *name;       /* schema-qualified and quoted */
	MgLikeness *like; /* of a table that was made for this; NULL: it was there */
	TupleDesc desc;   /* those of its attributes that get values of the model; the others get their defaults */
	uint64 *first;    /* [desc->natts] rows that identifiers continue after */
} MgTarget;

/*
 * Between SPI_connect and SPI_finish; as the caller, who may INSERT into it or CREATE it. Errors for whatever can be
 * known to fail before a row is made. Memory: the current context's.
 */
extern MgTarget *mg_target_open(MgRelease *release, const char *name, MgExisting existing);
/* "INSERT INTO target (a, b) SELECT a, b FROM `from`". */
extern char *mg_target_insert(const MgTarget *target, const char *from);

#endif
