/*
 * catalog/objects.h: were the extension's own tables, functions and triggers tampered with?
 */
#ifndef MIRAGE_CATALOG_OBJECTS_H
#define MIRAGE_CATALOG_OBJECTS_H

#include "catalog/verify.h"

/* Compares the objects with what the install script makes of them; a NOTICE names each that differs. */
extern void mg_objects_verify(MgFindings *f);

/* -- catalog/tables.c -- */

extern void mg_tables_verify(MgFindings *f);

/* What the statement returns, one name a row, is wrong: `message` says of what kind it is. */
extern void mg_objects_check(MgFindings *f, const char *sql, int nargs, const MgArg *args, const char *message,
							 const char *hint);

#endif
