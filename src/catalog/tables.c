/*
 * catalog/tables.c: the extension's own tables as the catalogs know them, beside what the install script makes.
 *
 * A row that is sealed says what it holds, not that the table which it is read from is the one that is written to: a
 * view under its name can show verification what it wants to see. And what a column's default, a constraint or an index
 * is decides what rows to come hold. So all of it is compared: kind and access method; columns with type, collation,
 * default; constraints; indexes that are unique, partial or of expressions, as far as they are in use. Other indexes
 * are a matter of speed.
 *
 * The server prints definitions alike in all versions that we run on, with these settings. What it prints is hashed:
 * SHA-256, the first 16 digits of which are listed here. A table that the script changes gets another digest; the NOTICE
 * that then tells of it shows the new one, and sql/audit.sql fails until it stands here.
 */
#include "postgres.h"

#include "catalog/objects.h"
#include "utils/array.h"
#include "utils/guc.h"

static const struct
{
	const char *name, *digest;
} tables[] = {
	{"alert", "9efab970e7aba255"},
	{"alert_acknowledged", "e240aacfecf25d42"},
	{"budget", "3ffacc1345c8ebc7"},
	{"budget_change", "e9f25f456751702a"},
	{"claimant", "70740e64b9291b51"},
	{"column_decl", "5443dc249486db18"},
	{"decision", "f31cd70018373e7a"},
	{"issuance", "156776fe43fa75c6"},
	{"job", "0cfd0d754c971515"},
	{"key_rotation", "4a7419e24474b09d"},
	{"ledger", "c0f7118b239480ce"},
	{"log", "b780b715de410061"},
	{"log_block", "d6201ce839377329"},
	{"mark_plan", "d287cbf4154dba8d"},
	{"mark_switch", "cafc7e601ae71c8c"},
	{"master_key", "cb2b7a7d7a7e991b"},
	{"model", "c7545fc7fec34c01"},
	{"model_blob", "285a1802f76026b6"},
	{"model_column", "848c891b00b188eb"},
	{"model_fingerprint", "6da736fe12ff5cce"},
	{"model_grant", "b70d333e5e2ac4c5"},
	{"receipt", "a2a61490322b189d"},
	{"receipt_rows", "2e19f410d058ed26"},
	{"recipient", "1a0ed3bdb0ce2e7a"},
	{"relation", "854c4e706ab58b51"},
	{"share", "57ebf8d6a0a57e35"},
	{"use_day", "0334c9c50e686f8c"},
	{"wrapped_key", "f2b8785455c0c464"},
};

/* Of a table `t`. Constraints that NOT NULL makes (since PostgreSQL 18) are columns' here, as before. */
#define COLUMNS                                                                                                      \
	"(SELECT string_agg(format('%s %s%s%s%s%s', a.attname, format_type(a.atttypid, a.atttypmod), CASE WHEN "         \
	"a.attcollation <> y.typcollation THEN ' collate' END, CASE WHEN a.attnotnull THEN ' not null' END, "            \
	"a.attgenerated::text || a.attidentity::text, ' ' || pg_get_expr(d.adbin, d.adrelid)), ', ' ORDER BY a.attname " \
	"COLLATE \"C\") FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = " \
	"a.attrelid AND d.adnum = a.attnum WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped)"
#define CONSTRAINTS                                                                                                 \
	"(SELECT string_agg(x.def, ', ' ORDER BY x.def COLLATE \"C\") FROM (SELECT pg_get_constraintdef(c.oid) AS def " \
	"FROM pg_constraint c WHERE c.conrelid = t.oid AND c.contype IN ('c', 'p', 'u', 'f', 'x')) x)"
/* Beside one that is being made again (REINDEX CONCURRENTLY) there is always one in use. */
#define INDEXES                                                                                                      \
	"(SELECT string_agg(x.def, ', ' ORDER BY x.def COLLATE \"C\") FROM (SELECT DISTINCT "                            \
	"regexp_replace(pg_get_indexdef(i.indexrelid), ' INDEX .* ON ', ' ') AS def FROM pg_index i WHERE i.indrelid = " \
	"t.oid AND i.indisvalid AND i.indisready AND i.indislive AND (i.indisunique OR i.indexprs IS NOT NULL OR "       \
	"i.indpred IS NOT NULL)) x)"

/* The tables that are not as they should be, each with the digest that it has now; $1: names, $2: digests. */
static const char differing[] =
	"SELECT format('mirage.%I (%s)', coalesce(w.name, t.relname), coalesce(t.digest, 'missing')) FROM "
	"unnest($1, $2) w (name, digest) FULL JOIN (SELECT t.relname::text, CASE WHEN t.relkind = 'r' THEN "
	"left(encode(sha256(convert_to(concat_ws('; ', t.relpersistence::text || m.amname, " COLUMNS ", " CONSTRAINTS
	", " INDEXES "), 'UTF8')), 'hex'), 16) ELSE 'not a table' END AS digest, EXISTS (SELECT FROM pg_depend d, "
	"pg_extension e WHERE e.extname = 'pg_mirage' AND d.classid = 'pg_class'::regclass AND d.objid = t.oid AND "
	"d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e') AS member, t.relkind FROM "
	"pg_class t LEFT JOIN pg_am m ON m.oid = t.relam WHERE t.relnamespace = 'mirage'::regnamespace AND t.relkind IN "
	"('r', 'p', 'f', 'v', 'm')) t ON t.relname = w.name WHERE CASE WHEN w.name IS NULL THEN NOT (t.member AND "
	"t.relkind = 'v') ELSE t.digest IS DISTINCT FROM w.digest OR NOT t.member END ORDER BY 1";

/* Numbers follow the order of locks only where they are drawn one by one (catalog/seals.c). */
static const char sequences[] =
	"SELECT format('mirage.%I', c.relname) FROM pg_class c LEFT JOIN pg_sequence s ON s.seqrelid = c.oid WHERE "
	"c.relnamespace = 'mirage'::regnamespace AND c.relkind = 'S' AND (s.seqtypid = 'bigint'::regtype AND s.seqstart = "
	"1 AND s.seqincrement = 1 AND s.seqmin = 1 AND s.seqmax = 9223372036854775807 AND s.seqcache = 1 AND NOT "
	"s.seqcycle AND c.relpersistence = 'p') IS NOT TRUE ORDER BY 1";

void
mg_tables_verify(MgFindings *f)
{
	List *names = NIL, *digests = NIL;
	int level = NewGUCNestLevel();

	for (size_t i = 0; i < lengthof(tables); i++)
	{
		names = lappend(names, pstrdup(tables[i].name));
		digests = lappend(digests, pstrdup(tables[i].digest));
	}
	(void) set_config_option("quote_all_identifiers", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
	{
		MgArg args[] = {{TEXTARRAYOID, mg_text_array(names), false}, {TEXTARRAYOID, mg_text_array(digests), false}};

		mg_objects_check(f, differing, lengthof(args), args,
						 "tables of the extension are not what its script makes of them",
						 "Columns, defaults, constraints or indexes were changed, or something else stands in their "
						 "place: compare them with the script, of the version that is installed.");
	}
	mg_objects_check(f, sequences, 0, NULL, "sequences of the extension are not what its script makes of them",
					 "Bring them back by ALTER SEQUENCE: numbers are drawn one by one, upwards, from 1.");
	AtEOXact_GUC(true, level);
}
