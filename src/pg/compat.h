/*
 * pg/compat.h: where PostgreSQL 14 to 18 differ in what this side uses. Every difference lives here, so that the
 * other files read as if there were one server.
 */
#ifndef MIRAGE_PG_COMPAT_H
#define MIRAGE_PG_COMPAT_H

#include "postgres.h"

#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/extensible.h"
#include "nodes/parsenodes.h"
#include "optimizer/pathnode.h"
#include "parser/parse_type.h"
#include "postmaster/autovacuum.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/guc_tables.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"

#if PG_VERSION_NUM < 140000
#error "pg_mirage needs PostgreSQL 14 or later"
#endif

#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
#endif

/* ExplainProperty* have a header of their own since 18. */
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#else
#include "commands/explain.h"
#endif

/* Until 14 every custom scan was taken to project. */
#ifdef CUSTOMPATH_SUPPORT_PROJECTION
#define MG_CUSTOMPATH_PROJECTS CUSTOMPATH_SUPPORT_PROJECTION
#else
#define MG_CUSTOMPATH_PROJECTS 0
#endif

/* The checks of one kind of object each became one for all in 16. */
static inline AclResult
mg_proc_aclcheck(Oid function, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ProcedureRelationId, function, role, ACL_EXECUTE);
#else
	return pg_proc_aclcheck(function, role, ACL_EXECUTE);
#endif
}

static inline AclResult
mg_namespace_aclcheck(Oid schema, Oid role, AclMode mode)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(NamespaceRelationId, schema, role, mode);
#else
	return pg_namespace_aclcheck(schema, role, mode);
#endif
}

/* A name as SQL would read it, in its parts. */
static inline List *
mg_qualified_name_list(const char *name)
{
#if PG_VERSION_NUM >= 160000
	return stringToQualifiedNameList(name, NULL);
#else
	return stringToQualifiedNameList(name);
#endif
}

/* Analysis and rewriting of a parameterless statement got a name of its own in 15. */
static inline List *
mg_analyze_and_rewrite(RawStmt *raw, const char *source)
{
#if PG_VERSION_NUM >= 150000
	return pg_analyze_and_rewrite_fixedparams(raw, source, NULL, 0, NULL);
#else
	return pg_analyze_and_rewrite(raw, source, NULL, 0, NULL);
#endif
}

/*
 * Parses a type name with typmod; false where the type does not exist. (A soft error context replaced missing_ok in
 * 16.)
 */
static inline bool
mg_parse_type(const char *text, Oid *type, int32 *typmod)
{
#if PG_VERSION_NUM >= 160000
	ErrorSaveContext soft = {.type = T_ErrorSaveContext};

	*type = InvalidOid;
	if (!parseTypeString(text, type, typmod, (Node *) &soft) || soft.error_occurred)
		return false;
#else
	*type = InvalidOid;
	parseTypeString(text, type, typmod, true);
#endif
	return OidIsValid(*type);
}

/*
 * Input of a text by a type of the server's own whose input function does nothing but read; false where it is none.
 * Before soft errors came with 16, the error is caught where it is about the value: such functions hold nothing.
 */
static inline bool
mg_input_softly(Oid type, char *text, Datum *value)
{
	Oid input, ioparam;
	FmgrInfo flinfo;

	getTypeInputInfo(type, &input, &ioparam);
	fmgr_info(input, &flinfo);
	{
#if PG_VERSION_NUM >= 160000
		ErrorSaveContext soft = {.type = T_ErrorSaveContext};

		return InputFunctionCallSafe(&flinfo, text, ioparam, -1, (Node *) &soft, value) && !soft.error_occurred;
#else
		MemoryContext context = CurrentMemoryContext;
		volatile bool good = true;

		PG_TRY();
		{
			*value = InputFunctionCall(&flinfo, text, ioparam, -1);
		}
		PG_CATCH();
		{
			ErrorData *error;

			MemoryContextSwitchTo(context);
			error = CopyErrorData();
			if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION)
				PG_RE_THROW();
			FlushErrorState();
			FreeErrorData(error);
			good = false;
		}
		PG_END_TRY();
		return good;
#endif
	}
}

/* NOT ENFORCED constraints came with 18; their rows may break them. */
#if PG_VERSION_NUM >= 180000
#define MG_CONSTRAINT_ENFORCED(form) ((form)->conenforced)
#define MG_CONSTRAINT_PERIOD(form) ((form)->conperiod)
#else
#define MG_CONSTRAINT_ENFORCED(form) (true)
#define MG_CONSTRAINT_PERIOD(form) (false)
#endif

/* A path that scans one foreign table: it got clauses that it enforces in 17, disabled nodes in 18. */
static inline ForeignPath *
mg_foreignscan_path(PlannerInfo *root, RelOptInfo *rel, double rows, Cost startup, Cost total, Relids outer)
{
#if PG_VERSION_NUM >= 180000
	return create_foreignscan_path(root, rel, NULL, rows, 0, startup, total, NIL, outer, NULL, NIL, NIL);
#elif PG_VERSION_NUM >= 170000
	return create_foreignscan_path(root, rel, NULL, rows, startup, total, NIL, outer, NULL, NIL, NIL);
#else
	return create_foreignscan_path(root, rel, NULL, rows, startup, total, NIL, outer, NULL, NIL);
#endif
}

/* Whose rights a scan of a foreign table has; InvalidOid: the current user's. In the plan itself since 16. */
static inline Oid
mg_foreignscan_user(const ForeignScan *scan, EState *estate)
{
#if PG_VERSION_NUM >= 160000
	return scan->checkAsUser;
#else
	return exec_rt_fetch(scan->scan.scanrelid, estate)->checkAsUser;
#endif
}

/* All settings of the server, and how many they are. */
static inline struct config_generic **
mg_all_gucs(int *n)
{
#if PG_VERSION_NUM >= 160000
	return get_guc_variables(n);
#else
	*n = GetNumConfigOptions();
	return get_guc_variables();
#endif
}

/* A process that works for no session: it counts as the bootstrap superuser, whom nobody is. */
static inline bool
mg_in_autovacuum(void)
{
#if PG_VERSION_NUM >= 170000
	return AmAutoVacuumWorkerProcess();
#else
	return IsAutoVacuumWorkerProcess();
#endif
}

/*
 * Has the server no process structure left for a background worker? A hint, read without a lock: the list's head is one
 * word.
 */
static inline bool
mg_no_background_process_left(void)
{
#if PG_VERSION_NUM >= 160000
	return dlist_is_empty(&ProcGlobal->bgworkerFreeProcs);
#else
	return ProcGlobal->bgworkerFreeProcs == NULL;
#endif
}

/* A NOT NULL constraint of a table is a pg_constraint row, which may be NOT VALID, since 18. */
#define MG_NOT_NULL_MAY_BE_INVALID (PG_VERSION_NUM >= 180000)

#endif
