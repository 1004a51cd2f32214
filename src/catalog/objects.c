/*
 * catalog/objects.c: the extension's own objects, as verification sees them.
 *
 * Seals (catalog/seals.c) tell of rows that were changed. What is forced upon the tables themselves changes rows to
 * come, lets others read or write them, or hides them: triggers and rules, row security, owners, privileges,
 * inheritance, a function that is replaced. None of it is in the log, but the install script says how it must be: our
 * triggers, enabled always, and no others; no rules, policies, children or parents; all of it the extension's owner's,
 * and nothing granted on the schema's tables; functions in our library.
 *
 * Each check is one statement that returns the names of what offends. What tables and sequences are made of is
 * catalog/tables.c's. Not compared: the text of views, which versions of the server print differently.
 */
#include "postgres.h"

#include "catalog/objects.h"
#include "catalog/seals.h"
#include "utils/array.h"

/* SHA-256 of the body of mirage.refuse_change(), src/sql/00_schema.sql. */
#define REFUSE_BODY "c9ffd44bbc9034144cee51d9851c0d84c3c9f93167da3a742160f7ab10cc75ba"
#define MOST_NAMES 20 /* of one kind that are told */

/* Everything of the schema, and what else belongs to the extension (its views). x: the extension. */
#define OURS                                                                                                     \
	"WITH x AS (SELECT e.oid, e.extowner FROM pg_extension e WHERE e.extname = 'pg_mirage'), "                   \
	"ours AS (SELECT c.*, c.relnamespace = 'mirage'::regnamespace AS inner FROM pg_class c WHERE "               \
	"c.relkind <> 'i' AND (c.relnamespace = 'mirage'::regnamespace OR EXISTS (SELECT FROM pg_depend d, x WHERE " \
	"d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_extension'::regclass AND "      \
	"d.refobjid = x.oid AND d.deptype = 'e'))) "

void
mg_objects_check(MgFindings *f, const char *sql, int nargs, const MgArg *args, const char *message, const char *hint)
{
	StringInfoData names;
	MgQuery q;
	uint64 n;

	initStringInfo(&names);
	mg_query_begin(&q);
	n = mg_query_run(&q, true, sql, nargs, args);
	for (uint64 i = 0; i < Min(n, MOST_NAMES); i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", mg_get_text(&q, i, 1));
	mg_query_end(&q);
	if (n == 0)
		return;
	mg_found(f, 0);
	ereport(NOTICE, (errmsg("%s: %s%s", message, names.data, n > MOST_NAMES ? ", .." : ""), errhint("%s", hint)));
}

/* $1: see mg_objects_verify. */
static void
verify(MgFindings *f, const MgArg *arg, const char *sql, const char *message, const char *hint)
{
	mg_objects_check(f, sql, arg != NULL ? 1 : 0, arg, message, hint);
}

/*
 * The triggers that refuse changes, enabled always, on every table that has to have them: both of append-only tables,
 * and on all tables the one that refuses strangers. Types of triggers: before, for each row, on update and delete (27);
 * before truncate (34); before any write, for each statement (62).
 */
static void
verify_triggers(MgFindings *f, const MgArg *tables)
{
	verify(
		f, tables,
		"SELECT format('%s on mirage.%I', t.trigger, t.name) FROM (SELECT n.name, k.* FROM pg_catalog.unnest($1) n "
		"(name), (VALUES ('refuse_change', 27, 'mirage.refuse_change()'), ('refuse_truncate', 34, "
		"'mirage.refuse_change()')) k (trigger, type, function) UNION ALL SELECT c.relname, 'refuse_strangers', 62, "
		"'mirage.refuse_strangers()' FROM pg_class c WHERE c.relnamespace = 'mirage'::regnamespace AND c.relkind = "
		"'r' AND EXISTS (SELECT FROM pg_depend d, pg_extension e WHERE e.extname = 'pg_mirage' AND d.classid = "
		"'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid "
		"AND d.deptype = 'e')) t (name, trigger, type, function) "
		"WHERE NOT EXISTS (SELECT FROM pg_trigger g, pg_class c WHERE c.relnamespace = 'mirage'::regnamespace "
		"AND c.relname = t.name AND g.tgrelid = c.oid AND g.tgname = t.trigger AND g.tgtype = t.type AND "
		"g.tgenabled = 'A' AND g.tgfoid = t.function::regprocedure AND g.tgqual IS NULL AND "
		"g.tgattr::text = '' AND g.tgparentid = 0) ORDER BY 1",
		"triggers that refuse changes are missing, disabled or not the original ones",
		"Bring them back by ALTER TABLE .. ENABLE ALWAYS TRIGGER, or from the extension's script.");
	/* a foreign key's triggers are internal ones, on both of its tables: the constraint names them */
	verify(f, tables,
		   OURS "SELECT DISTINCT format('%I on %s', coalesce(o.conname, g.tgname), c.oid::regclass) FROM ours c JOIN "
				"pg_trigger g ON g.tgrelid = c.oid LEFT JOIN pg_constraint o ON o.oid = g.tgconstraint WHERE NOT "
				"(c.inner AND (g.tgname = 'refuse_strangers' OR (c.relname = ANY ($1) AND g.tgname IN "
				"('refuse_change', 'refuse_truncate'))) AND NOT g.tgisinternal) ORDER BY 1",
		   "triggers on the extension's tables are not its own", "Drop them: they can change or keep out rows.");
	verify(f, NULL,
		   "SELECT t.name FROM (VALUES ('pg_mirage_follow_names', 'mirage.follow_names()', 'ddl_command_end'), "
		   "('pg_mirage_forget_dropped', 'mirage.forget_dropped()', 'sql_drop')) t (name, function, event) "
		   "WHERE NOT EXISTS (SELECT FROM pg_event_trigger e WHERE e.evtname = t.name AND e.evtevent = t.event AND "
		   "e.evtfoid = t.function::regprocedure AND e.evtenabled IN ('O', 'A')) ORDER BY 1",
		   "event triggers of the extension are missing or disabled", "Enable them by ALTER EVENT TRIGGER.");
}

static void
verify_rules(MgFindings *f)
{
	verify(f, NULL,
		   OURS "SELECT format('%I on %s', r.rulename, c.oid::regclass) FROM ours c JOIN pg_rewrite r "
				"ON r.ev_class = c.oid WHERE NOT (c.relkind = 'v' AND r.rulename = '_RETURN') ORDER BY 1",
		   "rules on the extension's tables and views are not its own", "Drop them: they can change or keep out rows.");
	verify(f, NULL,
		   OURS "SELECT c.oid::regclass::text FROM ours c WHERE c.relrowsecurity OR c.relforcerowsecurity OR EXISTS "
				"(SELECT FROM pg_policy p WHERE p.polrelid = c.oid) ORDER BY 1",
		   "row security is on for tables of the extension, or has policies",
		   "Drop the policies, and disable row security: it can hide rows.");
	verify(f, NULL,
		   OURS "SELECT format('%s of %s', i.inhrelid::regclass, i.inhparent::regclass) FROM pg_inherits i WHERE "
				"EXISTS (SELECT FROM ours c WHERE c.oid IN (i.inhrelid, i.inhparent) AND c.relkind IN ('r', 'p', 'f')) "
				"ORDER BY 1",
		   "tables of the extension have children or parents", "ALTER TABLE .. NO INHERIT: a child adds rows.");
}

/*
 * Owners of everything, and privileges on what is behind the views: nobody's but the owner's, and USAGE of the schema.
 * The views are read only, but some of them could be written through. Who may execute functions is the site's affair:
 * they check rights themselves.
 */
static void
verify_rights(MgFindings *f)
{
	verify(f, NULL,
		   OURS "SELECT n.name FROM (SELECT oid::regclass::text, relowner FROM ours UNION ALL SELECT "
				"'schema mirage', nspowner FROM pg_namespace WHERE nspname = 'mirage' UNION ALL SELECT "
				"p.oid::regprocedure::text, p.proowner FROM pg_proc p, pg_depend d, x WHERE d.classid = "
				"'pg_proc'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = "
				"x.oid AND d.deptype = 'e') n (name, owner), x WHERE n.owner <> x.extowner ORDER BY 1",
		   "objects of the extension belong to another role than the extension",
		   "Give them back by ALTER .. OWNER TO: an owner can do everything with them.");
	verify(f, NULL,
		   OURS
		   ", a AS (SELECT c.oid::regclass::text AS name, c.inner, c.relowner AS owner, c.relacl AS acl FROM ours "
		   "c UNION ALL SELECT format('%s.%I', c.oid::regclass, t.attname), c.inner, c.relowner, t.attacl FROM "
		   "ours c JOIN pg_attribute t ON t.attrelid = c.oid AND t.attacl IS NOT NULL UNION ALL SELECT "
		   "'schema mirage', NULL, nspowner, nspacl FROM pg_namespace WHERE nspname = 'mirage') "
		   "SELECT DISTINCT format('%s on %s to %s', e.privilege_type, a.name, CASE e.grantee WHEN 0 THEN 'PUBLIC' "
		   "ELSE quote_ident(pg_get_userbyid(e.grantee)) END) FROM a, "
		   "LATERAL aclexplode(a.acl) e WHERE e.grantee <> a.owner AND CASE WHEN a.inner THEN true WHEN NOT "
		   "a.inner THEN e.privilege_type <> 'SELECT' ELSE e.privilege_type <> 'USAGE' END ORDER BY 1",
		   "privileges were granted on what is the extension's alone",
		   "REVOKE them: tables of the schema mirage are read through views and written through functions.");
}

/* What is replaced by CREATE OR REPLACE FUNCTION is no longer in our library, or no longer the same in it. */
static void
verify_functions(MgFindings *f)
{
	const char *hash = REFUSE_BODY;
	MgArg body = MG_TEXT(hash);

	verify(f, &body,
		   "SELECT 'mirage.refuse_change()' WHERE NOT EXISTS (SELECT FROM pg_proc p, pg_language l WHERE "
		   "p.oid = 'mirage.refuse_change()'::regprocedure AND l.oid = p.prolang AND l.lanname = 'plpgsql' AND "
		   "NOT p.prosecdef AND pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(p.prosrc, 'UTF8')), 'hex') "
		   "= $1)",
		   "the function that refuses changes is not the extension's own",
		   "Bring it back from the extension's script.");
	verify(f, NULL,
		   OURS "SELECT p.oid::regprocedure::text FROM pg_proc p, pg_depend d, pg_language l, x WHERE d.classid = "
				"'pg_proc'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = "
				"x.oid AND d.deptype = 'e' AND p.oid <> 'mirage.refuse_change()'::regprocedure AND l.oid = p.prolang "
				"AND NOT (l.lanname = 'c' AND p.probin = '$libdir/pg_mirage' AND p.prosrc IN (p.proname, 'mg_sql_' || "
				"p.proname, 'mg_' || p.proname, 'dp_' || p.proname) AND NOT p.prosecdef AND p.proconfig IS NULL) "
				"ORDER BY 1",
		   "functions of the extension were replaced",
		   "Drop the extension's code and install it again, or compare "
		   "them with its script.");
}

void
mg_objects_verify(MgFindings *f)
{
	List *names = mg_append_only_tables();
	MgArg tables = {TEXTARRAYOID, mg_text_array(names), false};

	mg_tables_verify(f);
	verify_triggers(f, &tables);
	verify_rules(f);
	verify_rights(f);
	verify_functions(f);
}
