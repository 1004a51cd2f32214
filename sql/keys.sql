-- The master key: who may exchange it and see its fingerprints, and that a ROLLBACK does not bring the old one back.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION pg_mirage;
LOAD 'pg_mirage';
SELECT name, setting, unit, context, vartype, min_val FROM pg_settings WHERE name LIKE 'pg_mirage.master_key_t%';
SET pg_mirage.master_key_timeout = '1s';
SELECT count(*) FROM dp_keys;
SELECT dp_rotate_key();
CREATE TABLE people (age int NOT NULL CHECK (age BETWEEN 0 AND 99));
INSERT INTO people SELECT i % 100 FROM generate_series(1, 500) i;
SELECT dp_protect('people', epsilon => 10);
SELECT dp_train('m', 'people', epsilon => 1) > 0 AS trained;
SELECT in_force, keys > 0 AS keys, rotating FROM dp_keys;
SELECT fingerprint AS before FROM dp_keys \gset
SELECT string_agg(t::text, ' ') AS rows FROM dp_synthesize_as(NULL::people, 'm', 20, seed => 1) t \gset
SELECT head FROM dp_verify_audit() \gset

-- not for those who train, release or read the log
CREATE ROLE regress_keys_trainer IN ROLE mirage_trainer;
CREATE ROLE regress_keys_auditor IN ROLE mirage_auditor;
CREATE ROLE regress_keys_admin IN ROLE mirage_admin;
SET ROLE regress_keys_trainer;
SELECT dp_rotate_key();
SELECT fingerprint FROM dp_keys;
SELECT old FROM mirage.key_rotation;
SET ROLE regress_keys_auditor;
SELECT dp_rotate_key();
SELECT count(*) FROM dp_keys;
RESET ROLE;
-- nor where it was granted to somebody by name
GRANT EXECUTE ON FUNCTION dp_rotate_key() TO regress_keys_trainer;
SET ROLE regress_keys_trainer;
SELECT dp_rotate_key();
RESET ROLE;
REVOKE EXECUTE ON FUNCTION dp_rotate_key() FROM regress_keys_trainer;
BEGIN READ ONLY;
SELECT dp_rotate_key();
ROLLBACK;

SET ROLE regress_keys_admin;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM dp_keys;
SELECT dp_rotate_key() ~ '^[0-9a-f]{32}$' AS rotated;
ROLLBACK;
RESET ROLE;
SELECT fingerprint = :'before' AS old, in_force, keys > 0 AS keys, rotating FROM dp_keys ORDER BY recorded_at;
SELECT string_agg(t::text, ' ') = :'rows' AS same FROM dp_synthesize_as(NULL::people, 'm', 20, seed => 1) t;
SELECT ok FROM dp_verify_audit(:'head');
SELECT role, action, object, detail->>'from' = :'before' AS from_it, detail->>'state' AS state FROM dp_audit_log
  WHERE action = 'rotate key' ORDER BY id;
SELECT old = :'before' AS old, role_name, finished_at IS NOT NULL AS finished FROM mirage.key_rotation;
SELECT dp_train('m2', 'people', epsilon => 1) > 0 AS trained;
SELECT fingerprint = :'before' AS old, keys > 0 AS keys FROM dp_keys ORDER BY recorded_at;

-- a look-alike on the search_path changes nothing
CREATE SCHEMA shadow;
CREATE FUNCTION shadow.eq(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR shadow.= (LEFTARG = text, RIGHTARG = text, FUNCTION = shadow.eq);
CREATE TABLE shadow.wrapped_key (master text);
SET search_path = shadow, public, pg_catalog;
SELECT fingerprint OPERATOR(pg_catalog.=) :'before' AS old, in_force, keys > 0 AS keys FROM dp_keys ORDER BY recorded_at;
SELECT dp_rotate_key() IS NOT NULL AS rotated;
RESET search_path;
SELECT in_force, keys > 0 AS keys FROM dp_keys ORDER BY recorded_at;

DROP EXTENSION pg_mirage;
DROP SCHEMA shadow CASCADE;
DROP TABLE people;
DROP ROLE regress_keys_trainer, regress_keys_auditor, regress_keys_admin;
