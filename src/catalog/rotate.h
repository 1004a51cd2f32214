/*
 * catalog/rotate.h: the steps of a rotation, each in a transaction of the worker's (worker/rotate.c).
 */
#ifndef MIRAGE_CATALOG_ROTATE_H
#define MIRAGE_CATALOG_ROTATE_H

#include "catalog/master.h"

typedef struct MgRotation
{
	int64 id; /* 0: not recorded yet */
	char from[MG_FINGERPRINT_SIZE], to[MG_FINGERPRINT_SIZE];
	int64 keys, damaged;
} MgRotation;

/* Error unless this process is the cluster's only one that exchanges keys; so it stays to the unlock, an error or its
 * end. */
extern void mg_rotation_lock(void);
extern void mg_rotation_unlock(void);
/*
 * What is to be done: an interrupted rotation goes on; a database that is behind its cluster's key follows; else there
 * is a next key. Finds out that both keys are to be had. Writes nothing but the next key's file.
 */
extern void mg_rotation_choose(MgRotation *r);
/* From the commit on, new keys are wrapped under the next key. Waits for those who are wrapping one. */
extern void mg_rotation_record(MgRotation *r);
/*
 * Wraps some of the keys after row *last anew, and moves *last on; false: there were none. wait: also for those that
 * another transaction is about to drop.
 */
extern bool mg_rotation_rewrap(MgRotation *r, int64 *last, bool wait);
/* After the last key is wrapped anew and the files are exchanged. */
extern void mg_rotation_finish(const MgRotation *r);

#endif
