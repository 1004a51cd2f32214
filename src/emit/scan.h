/*
 * emit/scan.h: streaming of dp_synthesize and dp_synthesize_as in FROM.
 */
#ifndef MIRAGE_EMIT_SCAN_H
#define MIRAGE_EMIT_SCAN_H

#include "postgres.h"

#include "fmgr.h"
#include "nodes/bitmapset.h"
#include "nodes/nodes.h"

/*
 * Installs the planner hook; once, from _PG_init. The functions are recognised by their C code, whatever they are
 * called in SQL: `support` is their planner support function, which also sees to it that the library is loaded before a
 * first query is planned.
 */
extern void mg_scan_install(PGFunction support, PGFunction record, PGFunction typed);

/* Adds the numbers of the PARAM_EXEC parameters in an expression: a change of one makes a rescan begin anew. False. */
extern bool mg_exec_params(Node *node, Bitmapset **params);

#endif
