/*
 * pg/columns.h: what the catalogs and the owner's declarations say about a relation's columns; and the two bridges between
 * Datums and the core's categories and numbers. Reads the schema only, never rows and never statistics.
 */
#ifndef MIRAGE_PG_COLUMNS_H
#define MIRAGE_PG_COLUMNS_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "curator/curator.h"
#include "executor/tuptable.h"
#include "nodes/pg_list.h"
#include "synthesis/synthesis.h"

typedef enum MgColumnKind
{
	MG_COLUMN_CATEGORY,
	MG_COLUMN_NUMBER,
	MG_COLUMN_TIME, /* a number on the type's own axis */
	MG_COLUMN_IDENTIFIER,
	MG_COLUMN_EXCLUDED
} MgColumnKind;

/* The owner's word about a column (mirage.column_decl); all optional, literals of the column's own type. */
typedef struct MgDeclaration
{
	char *kind, *lower, *upper, *pattern, *other;
	List *categories; /* of char *; NIL: none */
	int bins;         /* 0: none */
} MgDeclaration;

/* One column of a relation, or of a stored model: enough to encode and to decode it. */
typedef struct MgColumn
{
	AttrNumber attnum; /* in the relation; 0 for a stored model's */
	char *name;
	Oid type;        /* as declared: may be a domain */
	int32 typmod;
	Oid base;        /* the domain's base type, or type */
	int32 base_typmod;
	bool notnull;    /* attnotnull, or a NOT NULL domain */
	MgColumnKind kind;
	char *pattern;   /* identifier: declared, or NULL */
	char *source;    /* where the domain comes from: "declared", "enum", "boolean", "check", "type", "learnt", "identifier" */
	int core;        /* index among the core's columns; -1: identifier, excluded */
	mg_domain domain; /* core >= 0; memory of the caller's context */
	List *unused_checks; /* of char *: constraints on this column that the domain does not use (shown, not enforced) */
} MgColumn;

typedef struct MgColumns
{
	int n, ncore;
	MgColumn *col;
} MgColumns;

/*
 * Describes the columns of a relation; names: those wanted (char *, NIL for all), in the relation's order. declared(attname) gives the owner's
 * word or NULL. Errors: a column that does not exist, an unsupported type (hint: dp_set_column(.., kind => 'excluded')), a declaration that
 * does not fit the type.
 */
typedef MgDeclaration *(*MgDeclarationLookup)(void *arg, const char *column);
extern MgColumns *mg_describe_columns(Oid relid, List *names, MgDeclarationLookup declared, void *arg);
/* Checks one declaration against the column, by name: what dp_set_column calls. */
extern void mg_check_declaration(Oid relid, const char *column, MgDeclaration *decl);
extern const char *mg_column_kind_name(MgColumnKind kind);
extern bool mg_column_kind_parse(const char *name, MgColumnKind *kind);
/* Human-readable domain for dp_describe: "0 .. 120", "Female, Male", "learnt from the data, within budget". palloc'ed. */
extern char *mg_domain_text(const MgColumn *col);
/* How many codes the domain has when it is closed, 0 when it is learnt or not modelled. */
extern int64 mg_domain_codes(const MgColumn *col);

/*
 * Encoding: tuples straight into a curator. The slot's attribute i is columns->col[i] (only those with core >= 0 are read).
 * No value raises an error.
 */
typedef struct MgEncoder MgEncoder;
extern MgEncoder *mg_encoder_create(const MgColumns *columns, mg_curator *curator);
extern void mg_encoder_row(MgEncoder *enc, TupleTableSlot *slot);

/*
 * Decoding: a batch of a model into Datums of the columns' own types. Values are made in `row_context` where they need memory; labels are
 * made once. identifier columns get fresh values (sequence numbers from first_identifier, random UUIDs from the stream's
 * key, or the pattern), excluded ones NULL.
 */
typedef struct MgDecoder MgDecoder;
extern MgDecoder *mg_decoder_create(const MgColumns *columns, const mg_model *model, const uint8 key[32]);
extern void mg_decoder_row(MgDecoder *dec, const mg_batch *batch, uint32 row, uint64 row_number, Datum *values, bool *nulls);

#endif
