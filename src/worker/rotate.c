/*
 * worker/rotate.c: a rotation of the master key, in transactions of its own; catalog/rotate.c says why in this order.
 *
 * Killed at any point, it leaves keys that can all be unwrapped, and a record by which the next call goes on. The lock
 * by which it is the only one of the cluster is the session's, and ends with the process.
 */
#include "worker/shared.h"

#include "catalog/catalog.h"
#include "catalog/rotate.h"
#include "miscadmin.h"
#include "pg/guc.h"
#include "pg/server.h"

void
mg_rotate(void)
{
	MgLaunch launch;
	mg_writer w;

	if (!enableFsync && !mg_guc_allow_unsafe_fsync)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the server runs with fsync = off: a key could be lost in a crash"),
						errhint("Turn fsync on. For tests only, a superuser may set pg_mirage.allow_unsafe_fsync.")));
	mg_writer_init(&w);
	mg_put_u8(&w, 0); /* nothing to say: who calls is in the segment */
	mg_launch(&launch, MG_WORK_ROTATE, 0, &w, false);
	mg_launch_wait(&launch, MG_WORK_DONE, false);
	mg_launch_detach(&launch);
}

static void
rewrap_all(MgShared *s, MgRotation *r, bool wait)
{
	int64 last = 0;
	bool more;

	do
	{
		mg_work_begin(s, false);
		more = mg_rotation_rewrap(r, &last, wait);
		mg_work_commit();
	} while (more);
}

void
mg_work_rotate(MgShared *s)
{
	MgRotation r = {0};

	mg_work_begin(s, false);
	if (!mg_is_admin(GetUserId())) /* it may have lost that since the call */
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied to rotate the master key")));
	mg_rotation_lock();
	mg_rotation_choose(&r);
	mg_rotation_record(&r);
	mg_work_commit();

	rewrap_all(s, &r, false);
	rewrap_all(s, &r, true);
	if (!mg_master_by_command())
		mg_master_install(r.to);

	mg_work_begin(s, false);
	mg_rotation_finish(&r);
	mg_work_commit();
	mg_rotation_unlock();
	mg_work_chain(s, true);
}
