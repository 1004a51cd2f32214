/*
 * pg/reader.h: one pass over a relation into a curator, and the check of what a source may be.
 */
#ifndef MIRAGE_PG_READER_H
#define MIRAGE_PG_READER_H

#include "pg/columns.h"
#include "pg/unit.h"

/*
 * What is recorded of a relation, by a function that the caller hands in: catalog/ lies above this folder.
 * asserted: an administrator vouches for it; fingerprint: of a view, the one that it had then.
 */
typedef struct MgSourceRecord
{
	bool budgeted; /* it, or a relative, is protected */
	bool asserted;
	char *fingerprint; /* NULL: none */
} MgSourceRecord;
typedef MgSourceRecord (*MgSourceLookup)(Oid relid);

/*
 * The base relation whose protection and budget stand for `relid`: itself for a table, partitioned table, inheritance
 * parent or foreign table; for a view the one base relation that its rewritten query reads, provided that each source
 * row yields at most one row by leakproof, immutable expressions with no sub-select, join, aggregate, window,
 * DISTINCT, LIMIT or set-returning function. The same check covers row security that applies to the current user, and
 * generated columns that are computed while a table is read. Otherwise: error, feature_not_supported, saying which
 * construct it was.
 *
 * An assertion about a table covers its row security and generated columns; one about a view, while its fingerprint is
 * what it was, covers the view's definition: it may then read other relations beside one protected one. *relied (may be
 * NULL): an assertion was needed.
 */
extern Oid mg_source_base(Oid relid, List *column_names, MgSourceLookup recorded, bool *relied);

/*
 * The same, but keeps none of the locks on views and tables that the analysis takes: for a session that is about to
 * wait for a worker. (One that it kept could be waited for by an ALTER TABLE, which the worker would queue behind:
 * nobody's deadlock detector sees that.) Who reads afterwards uses mg_source_base, whose locks hold the definition
 * still. judge false: only the search for the base relation, for callers who are not those that will read.
 */
extern Oid mg_source_base_peek(Oid relid, List *column_names, MgSourceLookup recorded, bool judge);

/* For whoever is about to vouch for a view: the one protected relation that it reads; an error for none or several. */
extern Oid mg_source_asserted_base(Oid relid, MgSourceLookup recorded);

/*
 * SHA-256 in hex of a view's definition, those of the views below it and the code of the functions that they call
 * directly; row-security policies, which depend on who reads, are left out. Holds for this database only.
 */
extern char *mg_source_fingerprint(Oid relid);

/*
 * Reads the columns of `relid` once, as the current user with the current settings, in the current snapshot, through
 * the executor (parallel plans allowed), into the curator. Polls interrupts. ctx->progress hears "reading" now and
 * then, always with fraction 0: how far a pass is depends on the rows. Ends the loading with mg_load_finish. Errors
 * of the core are thrown. unit: whose each row is, with the key of its curator; NULL: the unit is the row.
 */
extern void mg_read_relation(mg_ctx *ctx, Oid relid, const MgColumns *columns, const MgUnit *unit,
							 const uint8 *unit_key, mg_curator *curator);

/* An mg_store over the server's temporary files, kept across transactions, gone with the process or a crash. */
extern mg_store *mg_server_store(MemoryContext context);

#endif
