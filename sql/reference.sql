-- The surface: what docs/reference.md must say, word for word. `make lint` compares the two (tools/check-reference.pl
-- reads the output of this test), so a change here is a change of what users rely on.
SET client_min_messages = warning;
CREATE EXTENSION pg_mirage;
LOAD 'pg_mirage';
\pset format unaligned
\pset tuples_only on
\pset fieldsep '|'

-- functions for people: parameters and results. Those of the schema mirage are ours.
SELECT 'function', p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid)
FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid
WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_mirage')
  AND p.pronamespace <> 'mirage'::regnamespace
ORDER BY p.proname COLLATE "C";

-- who may call them: everybody, or those who are named
SELECT 'granted', p.proname, string_agg(coalesce(r.rolname, 'PUBLIC'), ', ' ORDER BY r.rolname COLLATE "C")
FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid
  CROSS JOIN aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
  LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_mirage')
  AND p.pronamespace <> 'mirage'::regnamespace AND a.grantee <> p.proowner
GROUP BY p.proname ORDER BY p.proname COLLATE "C";

-- views, with their columns in order
SELECT 'view', c.relname, string_agg(a.attname, ', ' ORDER BY a.attnum)
FROM pg_depend d JOIN pg_class c ON c.oid = d.objid
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e' AND c.relkind = 'v'
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_mirage')
  AND c.relnamespace <> 'mirage'::regnamespace
GROUP BY c.relname ORDER BY c.relname COLLATE "C";

-- what is in our own schema, which nobody reads directly, but documents name
SELECT 'ours', c.relkind, c.relname
FROM pg_class c WHERE c.relnamespace = 'mirage'::regnamespace AND c.relkind IN ('r', 'v', 'S')
ORDER BY c.relkind, c.relname COLLATE "C";
SELECT 'ours', 'f', p.proname FROM pg_proc p WHERE p.pronamespace = 'mirage'::regnamespace
ORDER BY p.proname COLLATE "C";

-- settings
SELECT 'setting', name, boot_val, unit, context FROM pg_settings WHERE name LIKE 'pg\_mirage.%'
ORDER BY name COLLATE "C";

-- roles, wrapper
SELECT 'role', rolname, rolcanlogin FROM pg_roles WHERE rolname LIKE 'mirage\_%' ORDER BY rolname COLLATE "C";
SELECT 'wrapper', fdwname FROM pg_foreign_data_wrapper WHERE fdwname LIKE '%mirage%';
DROP EXTENSION pg_mirage CASCADE;
