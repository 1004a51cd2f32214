/*
 * pg/fkeys.h: foreign keys to tables declared public, as domains. Private to pg/.
 *
 * A column with a validated, enforced foreign key to a public table holds keys of that table or NULL, and whoever
 * declared the table public attests that its rows do not depend on protected ones: its keys are a public domain. They
 * are read by a bare scan of the heap, which runs nobody's code and takes nobody's rights: the declaration is the
 * right.
 */
#ifndef MIRAGE_PG_FKEYS_H
#define MIRAGE_PG_FKEYS_H

#include "pg/types.h"
#include "utils/rel.h"

#define MG_MAX_KEY_ROWS (1 << 20) /* rows of a public table that are looked through at most */

typedef struct MgKeys
{
	Oid relation; /* whose keys they are; InvalidOid: none are used */
	char *name;   /* of it */
	char *constraint;
	Oid constraint_oid;
	AttrNumber attnum; /* of the column there */
	bool has_labels;
	List *labels; /* of char *: canonical texts, distinct, in the order of their values */
	/* too many for labels, or days without a gap: lower .. upper on the type's axis. Not exact where keys are missing
	 * in between, and then `unused` says so. */
	bool has_range;
	double lower, upper;
	List *unused; /* of char *: foreign keys on this column that say more than is used here, and why */
} MgKeys;

#define MG_NO_LABEL UINT16_MAX

/*
 * What a public table says of two columns of one key: for each label of `from` (column `from_attnum` there) the label
 * of `to` that it occurs with, where that is one; else MG_NO_LABEL. Both are closed categories. [from->nlabels], or
 * NULL where the table cannot be read.
 */
extern uint16 *mg_read_key_map(Oid relation, AttrNumber from_attnum, const mg_domain *from, AttrNumber to_attnum,
							   const mg_domain *to);

/* Of the relation's column, of base type class cls. Takes no lock for longer than it reads. */
extern void mg_read_keys(Relation rel, AttrNumber attnum, MgTypeClass cls, int32 typmod, MgPublicLookup lookup,
						 MgKeys *out);

#endif
