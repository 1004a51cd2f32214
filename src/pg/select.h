/*
 * pg/select.h: a query that the caller wrote, read once: one SELECT, as the current user, in a read-only transaction,
 * row by row, in a security-restricted operation. Nothing is kept of it, nor of what it sets.
 */
#ifndef MIRAGE_PG_SELECT_H
#define MIRAGE_PG_SELECT_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "executor/tuptable.h"

typedef struct MgSelectSink
{
	/* Before the query runs; an error here means that it never does. In the caller's memory context. */
	void (*begin)(void *arg, TupleDesc desc);
	/* Each row; may raise errors. The slot is the executor's. */
	void (*row)(void *arg, TupleTableSlot *slot);
	void *arg;
	bool serial; /* rows come in an order that no parallel plan changes */
} MgSelectSink;

/* Errors: not one SELECT (`what` names it in messages), and whatever the query raises. */
extern void mg_read_select(const char *what, const char *sql, const MgSelectSink *sink);

#endif
