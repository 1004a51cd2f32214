/*
 * api/keys.c: dp_rotate_key. The work is autonomous: keys must not go back under a master key that the site has done
 * away with, whatever becomes of the caller's transaction.
 */
#include "api/watch.h"

#include "catalog/master.h"
#include "miscadmin.h"
#include "worker/worker.h"

MG_FUNCTION(dp_rotate_key);

/* () RETURNS text: the fingerprint that is in force now. */
MG_WATCHED_FUNCTION(dp_rotate_key, MG_WATCHED_ACT)
{
	char *before, *now;

	if (!mg_is_admin(GetUserId()))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied to rotate the master key"),
						errhint("A member of mirage_admin may do this.")));
	mg_require_writable("dp_rotate_key");
	before = mg_master_fingerprint();
	mg_rotate();
	now = mg_master_fingerprint();
	if (now == NULL)
		elog(ERROR, "the master key is not recorded any more");
	ereport(NOTICE, (errmsg("the keys of this database are wrapped under the master key with fingerprint %s", now),
					 before != NULL && strcmp(before, now) != 0
						 ? errhint("Back the new key up. Keep the old one, %s, for other databases of this cluster "
								   "until they are rotated too, and for backups made before.",
								   before)
						 : 0));
	PG_RETURN_TEXT_P(cstring_to_text(now));
}
