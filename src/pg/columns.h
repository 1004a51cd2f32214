/*
 * pg/columns.h: what the catalogs and the owner's declarations say about a relation's columns; and the two bridges
 * between Datums and the core's categories and numbers. Reads the schema only, never rows and never statistics.
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
	List *depends_on; /* of char *: columns that this one is a function of; NIL: none */
} MgDeclaration;

/* May a table's keys serve as a public domain? Told by a function that the caller hands in. */
typedef enum MgPublicness
{
	MG_NOT_PUBLIC,
	MG_PUBLIC,
	MG_PUBLIC_STALE, /* declared in another database, of which this one was restored */
	MG_PUBLIC_TIED   /* declared, but protected as well, or referring to a protected table */
} MgPublicness;
typedef MgPublicness (*MgPublicLookup)(Oid relid);

/* One column of a relation, or of a stored model: enough to encode and to decode it. */
typedef struct MgColumn
{
	AttrNumber attnum; /* in the relation; 0 for a stored model's */
	char *name;
	Oid type; /* as declared: may be a domain */
	int32 typmod;
	Oid base; /* the domain's base type, or type */
	int32 base_typmod;
	bool notnull; /* attnotnull, or a NOT NULL domain */
	MgColumnKind kind;
	char *pattern; /* identifier: declared, or NULL; excluded and NOT NULL: its constant default, or NULL */
	/*
	 * where the domain comes from: declared, enum, boolean, check, type, learnt, identifier, foreign key to ..; of a
	 * stored model: model
	 */
	char *source;
	Oid keys_of; /* the public table whose keys bound the domain, or InvalidOid; by which constraint, and as what there
				  */
	Oid keys_by;
	AttrNumber key_attnum;
	/*
	 * The table and column that say what this one is: the relation's own, or those that a view's column shows. NULL and
	 * InvalidOid where it could not be seen through, and of a stored model.
	 */
	Oid under;
	char *under_name;
	/* the column is a function of these, indices into MgColumns.col, all learnt; 0: of none */
	int ndeterminants;
	int *determinants;
	uint16 *known;       /* of one determinant: its labels' own, of a public table (mg_read_key_map); NULL: learnt */
	int core;            /* index among the core's columns; -1: identifier, excluded */
	mg_domain domain;    /* core >= 0; memory of the caller's context */
	List *unused_checks; /* of char *: constraints on this column that the domain does not use (shown, not enforced) */
	/* of a release: the caller's condition on this column (pg/column_condition.h); NULL: none */
	const struct MgColumnCondition *condition;
} MgColumn;

typedef struct MgColumns
{
	int n, ncore;
	MgColumn *col;
} MgColumns;

/*
 * Describes the columns of a relation; names: those wanted (char *, NIL for all), in the relation's order.
 * is_public tells which tables' keys may serve as domains (NULL: none).
 * declared(relid, attname) gives the owner's word or NULL; for a view's column it is asked about the table's column
 * that it shows, and not at all where it is anything else. Errors: a column that does not exist, an unsupported type
 * (hint: dp_set_column(.., kind => 'excluded')), a declaration that does not fit the type.
 */
typedef MgDeclaration *(*MgDeclarationLookup)(Oid relid, const char *column);
extern MgColumns *mg_describe_columns(Oid relid, List *names, MgDeclarationLookup declared, MgPublicLookup is_public);
/*
 * What `source` calls the column `attnum` of base relation `base`: of the base its own name; of a view (of views) over
 * it that of the column that is nothing but this one; NULL when there is none. palloc'ed.
 */
extern char *mg_source_column(Oid source, Oid base, AttrNumber attnum);
/* The column of `base` that this column of `source` is, row by row; InvalidAttrNumber: none. */
extern AttrNumber mg_base_attribute(Oid source, AttrNumber attnum, Oid base);
/*
 * Checks one declaration against the column, by name: what dp_set_column calls. Rewrites the literals (lower, upper,
 * other, categories) in a canonical form that means the same under every DateStyle, IntervalStyle and TimeZone: store
 * them after the call. declared: of the columns that it depends on; circles among them are the caller's business.
 */
extern void mg_check_declaration(Oid relid, const char *column, MgDeclaration *decl, MgDeclarationLookup declared,
								 MgPublicLookup is_public);
/*
 * What a training asks beyond a description: something to learn, and something to emit for excluded columns that are
 * NOT NULL.
 */
extern void mg_require_trainable(const MgColumns *columns);
/* Hands the columns' dependences to a fit; palloc'ed. */
extern void mg_columns_dependencies(const MgColumns *columns, mg_fit_request *request);
/* The column of that name; NULL: there is none. And the names of all, in their order: char *, referred to. */
extern MgColumn *mg_columns_find(const MgColumns *columns, const char *name);
extern List *mg_columns_names(const MgColumns *columns);
/* The column's type with typmod, qualified with its schema: what a stored model keeps. */
extern char *mg_column_type_text(const MgColumn *col);
/*
 * The inverse, for a stored model: resolves the type now; an error where it is gone. learnt: the model's own column,
 * NULL where core is -1; its labels are referred to, not copied.
 */
extern MgColumn *mg_column_from_catalog(const char *name, const char *type, MgColumnKind kind, bool notnull,
										const char *pattern, int core, const mg_column *learnt);
extern const char *mg_column_kind_name(MgColumnKind kind);
extern bool mg_column_kind_parse(const char *name, MgColumnKind *kind);
/*
 * Human-readable domain for dp_describe: "0 .. 120", "Female, Male", "learnt from the data, within budget".
 * palloc'ed.
 */
extern char *mg_domain_text(const MgColumn *col);
/* How many codes the domain has when it is closed, 0 when it is learnt or not modelled. */
extern int64 mg_domain_codes(const MgColumn *col);

/*
 * Encoding: tuples straight into a curator. The slot's attribute i is columns->col[i] (only those with core >= 0 are
 * read). No value raises an error. mg_encoder_row makes the calls of one row's values; mg_load_row, which ends the
 * row, is the caller's.
 */
typedef struct MgEncoder MgEncoder;
extern MgEncoder *mg_encoder_create(const MgColumns *columns, mg_curator *curator);
extern void mg_encoder_row(MgEncoder *enc, TupleTableSlot *slot);

/*
 * Decoding: a batch of a model into Datums of the columns' own types. Values are made in `row_context` where they
 * need memory; labels are made once. identifier columns get fresh values (sequence numbers from first_identifier,
 * random UUIDs from the stream's key, or the pattern), excluded ones NULL (or the default). row_context is the
 * context that is current at the call of mg_decoder_row. row_number counts from 0: integer identifiers come as
 * row_number + 1, and start anew when the type is full; texts likewise. No value of a valid model raises an error;
 * labels that the type no longer takes raise one in mg_decoder_create. A NOT NULL column for which the model has
 * nothing to emit gets its declared other, else the type's zero or empty text.
 */
typedef struct MgDecoder MgDecoder;
extern MgDecoder *mg_decoder_create(const MgColumns *columns, const mg_model *model, const uint8 key[32]);
/* Identifiers of column i are made as if its rows came after `first` others (pg/identifier.h). */
extern void mg_decoder_continue(MgDecoder *dec, int i, uint64 first);
extern void mg_decoder_row(MgDecoder *dec, const mg_batch *batch, uint32 row, uint64 row_number, Datum *values,
						   bool *nulls);

#endif
