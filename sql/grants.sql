-- Who may have rows of a model: its owner, whoever was granted them, and nobody else.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION pg_mirage;
CREATE ROLE regress_owner LOGIN;
CREATE ROLE regress_reader LOGIN;
CREATE ROLE regress_group NOLOGIN;
CREATE ROLE regress_member LOGIN IN ROLE regress_group;
CREATE ROLE regress_admin LOGIN IN ROLE mirage_admin;
GRANT CREATE ON SCHEMA public TO regress_owner;
SET SESSION AUTHORIZATION regress_owner;
CREATE TABLE people (age int NOT NULL CHECK (age BETWEEN 0 AND 99), sex text NOT NULL CHECK (sex IN ('F', 'M')));
INSERT INTO people SELECT i % 100, CASE WHEN i % 3 = 0 THEN 'F' ELSE 'M' END FROM generate_series(1, 500) i;
SELECT dp_protect('people', epsilon => 10);
SELECT dp_train('m', 'people', epsilon => 1) > 0 AS trained;
SELECT count(*) AS owner FROM dp_synthesize_as(NULL::people, 'm', 5);
-- nobody else yet
SET SESSION AUTHORIZATION regress_reader;
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 5);
SELECT dp_synthesize('m', 0);
SELECT dp_grant('m', 'regress_reader');
SELECT dp_revoke('m', 'regress_reader');
SELECT dp_drop_model('m');
SET SESSION AUTHORIZATION regress_admin;
SELECT dp_synthesize('m', 1);
-- a grant is enough: no SELECT on the table, none on ours
SET SESSION AUTHORIZATION regress_owner;
SELECT dp_grant('m', 'regress_reader');
SELECT dp_grant('m', 'regress_group', valid_until => '2200-01-01 00:00+00');
SET SESSION AUTHORIZATION regress_reader;
SELECT count(*) AS reader FROM dp_synthesize_as(NULL::people, 'm', 5);
SELECT count(*) AS reader FROM dp_synthesize('m', 5) AS t(sex text);
SELECT count(*) FROM people;
SELECT count(*) FROM mirage.model_blob;
SELECT name FROM dp_models;
SET SESSION AUTHORIZATION regress_member;
SELECT count(*) AS member FROM dp_synthesize_as(NULL::people, 'm', 5);
-- a seed repeats for one recipient, and means something else for another: whoever logged in, whatever the role is then
SET SESSION AUTHORIZATION regress_owner;
CREATE TABLE seeded AS SELECT * FROM dp_synthesize_as(NULL::people, 'm', 5000, seed => 1);
GRANT SELECT ON seeded TO PUBLIC;
SELECT count(*) FROM (TABLE seeded EXCEPT ALL SELECT * FROM dp_synthesize_as(NULL::people, 'm', 5000, seed => 1)) x;
SET SESSION AUTHORIZATION regress_reader;
SELECT count(*) AS same_login FROM (TABLE seeded EXCEPT ALL SELECT * FROM dp_synthesize_as(NULL::people, 'm', 5000, seed => 1)) x;
\set super :USER
\c - regress_reader
SELECT count(*) > 100 AS other FROM (TABLE seeded EXCEPT ALL SELECT * FROM dp_synthesize_as(NULL::people, 'm', 5000, seed => 1)) x;
\c - :super
SET client_min_messages = warning;
-- grants are transactional, and a revoked one is gone at once
SET SESSION AUTHORIZATION regress_owner;
BEGIN;
SELECT dp_revoke('m', 'regress_reader');
ROLLBACK;
SET SESSION AUTHORIZATION regress_reader;
SELECT count(*) AS still FROM dp_synthesize_as(NULL::people, 'm', 5);
SET SESSION AUTHORIZATION regress_admin;
SELECT dp_revoke('m', 'regress_reader');
SELECT dp_revoke('m', 'regress_reader');
SET SESSION AUTHORIZATION regress_reader;
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 5);
-- a grant that has run out
SET SESSION AUTHORIZATION regress_owner;
SELECT dp_grant('m', 'regress_reader', valid_until => clock_timestamp() + interval '0.3 s');
SELECT pg_sleep(0.4);
SET SESSION AUTHORIZATION regress_reader;
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 5);
-- what is refused
SET SESSION AUTHORIZATION regress_owner;
SELECT dp_grant('m', 'regress_reader', max_rows => -1);
SELECT dp_grant('m', 'regress_reader', per => '1 day');
SELECT dp_grant('m', 'regress_reader', purposes => '{a,NULL}');
SELECT dp_grant('m', 'regress_reader', valid_until => '2001-01-01');
SELECT dp_grant('m', 'regress_reader', valid_until => '-infinity');
SELECT dp_grant('m', NULL);
SELECT dp_grant('m', '-');
SELECT dp_grant('m', 'no_such_role');
SELECT dp_grant(NULL, 'regress_reader');
SELECT dp_grant('no such model', 'regress_reader');
SELECT dp_drop_model('no such model');
BEGIN TRANSACTION READ ONLY;
SELECT dp_grant('m', 'regress_reader');
ROLLBACK;
-- a role that is dropped takes its grant with it, even where another gets its name
RESET SESSION AUTHORIZATION;
CREATE ROLE regress_gone LOGIN;
SELECT dp_grant('m', 'regress_gone');
DROP ROLE regress_gone;
CREATE ROLE regress_gone LOGIN;
SET SESSION AUTHORIZATION regress_gone;
SELECT dp_synthesize('m', 1);
-- dropping destroys the key; the name is free again, what was spent stays spent
SET SESSION AUTHORIZATION regress_admin;
SELECT dp_drop_model('m');
SET SESSION AUTHORIZATION regress_owner;
SELECT dp_synthesize('m', 1);
RESET SESSION AUTHORIZATION;
SELECT (SELECT count(*) FROM mirage.wrapped_key WHERE purpose = 'model') AS keys, (SELECT count(*) FROM mirage.model_blob) AS blobs,
  (SELECT count(*) FROM mirage.model_grant) AS grants, (SELECT count(*) FROM dp_ledger) AS charges;
SELECT role, action, object, detail ->> 'grantee' AS grantee, (detail ->> 'valid_until')::timestamptz = '2200-01-01 00:00+00' AS as_given
  FROM dp_audit_log WHERE action IN ('grant', 'revoke', 'drop model') ORDER BY id;
DROP EXTENSION pg_mirage CASCADE;
DROP OWNED BY regress_owner;
DROP ROLE regress_owner, regress_reader, regress_group, regress_member, regress_admin, regress_gone;
