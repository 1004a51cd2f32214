-- Default privileges of whoever makes the extension apply to its objects as well. What they gave away is taken back:
-- tables and sequences are nobody's but their owner's, views are read and no more, functions are called by those whom
-- the parts before name. The last part, since it looks at all that was made; a script that makes more has to say the
-- same of that.

DO $$
DECLARE
  given record;
BEGIN
  FOR given IN
    WITH member AS (
      SELECT d.classid, d.objid
      FROM pg_catalog.pg_depend d
           JOIN pg_catalog.pg_extension e ON e.oid OPERATOR(pg_catalog.=) d.refobjid
      WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
        AND d.deptype OPERATOR(pg_catalog.=) 'e' AND e.extname OPERATOR(pg_catalog.=) 'pg_mirage'),
    granted AS (
      SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS what,
             pg_catalog.format('%I.%I', n.nspname, c.relname) AS name, a.privilege_type, a.grantee, a.is_grantable,
             -- what the parts before can have granted
             n.nspname OPERATOR(pg_catalog.<>) 'mirage' AND a.privilege_type OPERATOR(pg_catalog.=) 'SELECT' AS usual
      FROM member m
           JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) m.objid
           JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace,
           LATERAL pg_catalog.aclexplode(c.relacl) a
      WHERE m.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
        AND a.grantee OPERATOR(pg_catalog.<>) c.relowner
      UNION ALL
      SELECT 'FUNCTION', p.oid::pg_catalog.regprocedure::text, a.privilege_type, a.grantee, a.is_grantable, true
      FROM member m
           JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) m.objid,
           LATERAL pg_catalog.aclexplode(p.proacl) a
      WHERE m.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
        AND a.grantee OPERATOR(pg_catalog.<>) p.proowner
      UNION ALL
      SELECT 'SCHEMA', n.nspname::text, a.privilege_type, a.grantee, a.is_grantable,
             a.privilege_type OPERATOR(pg_catalog.=) 'USAGE'
      FROM member m
           JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) m.objid,
           LATERAL pg_catalog.aclexplode(n.nspacl) a
      WHERE m.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass
        AND a.grantee OPERATOR(pg_catalog.<>) n.nspowner)
    SELECT pg_catalog.format('%s ON %s %s FROM %s', g.privilege_type, g.what, g.name,
                             CASE WHEN r.rolname IS NULL THEN 'PUBLIC'
                                  ELSE pg_catalog.quote_ident(r.rolname) END) AS words
    FROM granted g LEFT JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) g.grantee
    WHERE NOT g.usual OR g.is_grantable
       OR (r.rolname IS NOT NULL AND r.rolname OPERATOR(pg_catalog.<>) ALL
             ('{mirage_admin,mirage_trainer,mirage_auditor}'::pg_catalog.name[]))
  LOOP
    EXECUTE 'REVOKE ' OPERATOR(pg_catalog.||) given.words;
  END LOOP;
END
$$;

-- A right to write all tables (pg_write_all_data) asks for no other: it does not reach ours.
CREATE FUNCTION mirage.refuse_strangers() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'mg_sql_refuse_strangers';

DO $$
DECLARE
  t text;
BEGIN
  FOR t IN SELECT c.relname FROM pg_catalog.pg_class c
           WHERE c.relnamespace OPERATOR(pg_catalog.=) 'mirage'::pg_catalog.regnamespace
             AND c.relkind OPERATOR(pg_catalog.=) 'r' ORDER BY c.relname LOOP
    EXECUTE pg_catalog.format('CREATE TRIGGER refuse_strangers BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE '
                              'ON mirage.%I FOR EACH STATEMENT EXECUTE FUNCTION mirage.refuse_strangers()', t);
    EXECUTE pg_catalog.format('ALTER TABLE mirage.%I ENABLE ALWAYS TRIGGER refuse_strangers', t);
  END LOOP;
END
$$;
