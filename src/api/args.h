/*
 * api/args.h: reading the arguments of V1 functions: NULL where a value is needed, parameters whose machinery is not
 * served, and the checks that several functions share.
 */
#ifndef MIRAGE_API_ARGS_H
#define MIRAGE_API_ARGS_H

#include "postgres.h"

#include "catalog/catalog.h"
#include "fmgr.h"
#include "pg/export.h"

/* The argument as a C string; error when NULL. `name` is the parameter's. */
extern char *mg_arg_text(FunctionCallInfo fcinfo, int i, const char *name);
extern char *mg_arg_text_or_null(FunctionCallInfo fcinfo, int i);
extern char *mg_arg_name_or_null(FunctionCallInfo fcinfo, int i);
extern Oid mg_arg_oid(FunctionCallInfo fcinfo, int i, const char *name);
extern double mg_arg_float8(FunctionCallInfo fcinfo, int i, const char *name);
/* name[] or text[] as a List of char *, without duplicates for name[]; NIL for NULL; error for a NULL element or no
 * element. */
extern List *mg_arg_names(FunctionCallInfo fcinfo, int i, const char *name);
extern List *mg_arg_texts(FunctionCallInfo fcinfo, int i, const char *name);

/* Prepares fcinfo->resultinfo for rows by tuplestore_putvalues; error where a set is not accepted. */
extern void mg_arg_materialize(FunctionCallInfo fcinfo);

/* Error unless finite and > 0; error unless in (0, 1). */
extern void mg_check_epsilon(double epsilon);
extern void mg_check_delta(double delta);
/* Error unless the note says something, in no more than 2,000 bytes; hint: what it should say. */
extern void mg_check_note(const char *note, const char *hint);
/* An interval of at least a second, whatever a month is; NULL where none is given. `name` is the parameter's. */
extern Interval *mg_arg_interval(FunctionCallInfo fcinfo, int i, const char *name);
/* Writes to our tables: not on a standby, not in a read-only transaction. */
extern void mg_require_writable(const char *function);
/* Error unless the relation exists and the current role owns it or is an admin. */
extern void mg_require_owner(Oid relid);
/*
 * The model that parameter `model`, the first, names; error unless the caller owns it or is an admin. lock: the mode it
 * is then locked in (mg_model_lock), to the end of the transaction; NoLock: none.
 */
extern MgModel *mg_arg_own_model(FunctionCallInfo fcinfo, const char *function, LOCKMODE lock);
/* The role of parameter i; *name: what it is called. */
extern Oid mg_arg_role(FunctionCallInfo fcinfo, int i, const char *parameter, char **name);
/* May the current role see what the budget's figures are? */
extern bool mg_budget_visible(const MgBudget *budget);

#endif
