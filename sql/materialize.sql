-- Rows of a model into tables: created like the source, or filled as INSERT would.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET search_path = public;
CREATE EXTENSION pg_mirage;
CREATE ROLE regress_keeper LOGIN;
CREATE ROLE regress_reader LOGIN;
GRANT CREATE ON SCHEMA public TO regress_keeper;
CREATE SCHEMA closed;
GRANT USAGE ON SCHEMA closed TO PUBLIC;
CREATE SCHEMA own AUTHORIZATION regress_reader;
CREATE FUNCTION issued() RETURNS bigint SECURITY DEFINER LANGUAGE sql AS 'SELECT count(*) FROM mirage.issuance';
SET SESSION AUTHORIZATION regress_keeper;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN hours AS int CHECK (VALUE BETWEEN 0 AND 24);
CREATE TABLE lands (id int PRIMARY KEY, name text);
INSERT INTO lands SELECT i, 'land ' || i FROM generate_series(1, 5) i;
SELECT dp_declare_public('lands');
CREATE TABLE secrets (id int PRIMARY KEY);
INSERT INTO secrets SELECT generate_series(1, 3);
SELECT dp_protect('secrets', epsilon => 1);
CREATE TABLE plain (id int PRIMARY KEY);
INSERT INTO plain SELECT generate_series(0, 30);
CREATE TABLE folk (
  id serial PRIMARY KEY,
  code text UNIQUE,
  uid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
  "Number" bigint GENERATED ALWAYS AS IDENTITY (START WITH 5000),
  age int NOT NULL CHECK (age BETWEEN 0 AND 99),
  sex text COLLATE "C" NOT NULL DEFAULT 'F' CHECK (sex IN ('F', 'M')),
  mood mood,
  work hours,
  land int NOT NULL REFERENCES lands,
  half numeric(6,1) GENERATED ALWAYS AS (age / 2.0) STORED,
  secret int CHECK (secret BETWEEN 1 AND 3) REFERENCES secrets,
  plain int CHECK (plain BETWEEN 0 AND 30) REFERENCES plain,
  note jsonb,
  CONSTRAINT old_work CHECK (age >= 10 OR work = 0),
  UNIQUE (age, id),
  EXCLUDE (id WITH =));
INSERT INTO folk (code, age, sex, mood, work, land, secret, plain) SELECT 'P-' || lpad(i::text, 6, '0'), i % 97,
  CASE WHEN i % 3 = 0 THEN 'F' ELSE 'M' END, (enum_range(NULL::mood))[1 + i % 3], CASE WHEN i % 97 < 10 THEN 0 ELSE 8 END,
  1 + i % 5, 1 + i % 3, i % 31 FROM generate_series(1, 1000) i;
SELECT dp_protect('folk', epsilon => 100);
SELECT dp_set_column('folk', 'code', kind => 'identifier', pattern => 'P-######');
SELECT dp_set_column('folk', 'note', kind => 'excluded');
SELECT dp_train('m', 'folk', 'mst', epsilon => 10) > 0 AS trained;

-- a table like the source, and rows that fit it
SET client_min_messages = notice;
SELECT dp_materialize('m', 'syn', 5000, seed => 1);
SET client_min_messages = warning;
SELECT attname, format_type(atttypid, atttypmod), attnotnull, attidentity AS i, attgenerated AS g, pg_get_expr(adbin, adrelid) AS expression,
  attcollation::regcollation AS "collation" FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
  WHERE attrelid = 'syn'::regclass AND attnum > 0 ORDER BY attnum;
SELECT conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint WHERE conrelid = 'syn'::regclass AND contype IN ('p', 'u', 'c', 'f', 'x') ORDER BY 1;
SELECT obj_description('syn'::regclass), pg_get_userbyid(relowner) AS owner FROM pg_class WHERE oid = 'syn'::regclass;
SELECT count(*), count(DISTINCT id) AS ids, count(DISTINCT code) AS codes, count(DISTINCT uid) AS uids, max(id), max(code), max("Number") AS number,
  bool_and(half = round(age / 2.0, 1)) AS halves FROM syn;
-- later rows do not collide
INSERT INTO syn (age, land) VALUES (50, 1) RETURNING id, "Number", sex;
-- again: it is filled, identifiers go on, UUIDs of the same seed are not the same
SELECT dp_materialize('m', 'syn', 5000, seed => 1);
SELECT count(*), count(DISTINCT id) AS ids, count(DISTINCT code) AS codes, count(DISTINCT uid) AS uids, max(id), max(code), max("Number") AS number FROM syn;
-- the same rows as a call with this seed gives; a new table repeats them with their identifiers
SELECT count(*) FROM (SELECT age, sex, mood, work, land, secret, plain FROM syn WHERE id <= 5000 EXCEPT ALL
  SELECT age, sex, mood, work, land, secret, plain FROM dp_synthesize_as(NULL::folk, 'm', 5000, seed => 1)) x;
SELECT dp_materialize('m', 'syn2', 5000, seed => 1);
SELECT count(*) FROM (SELECT id, code, uid, age, sex FROM syn2 EXCEPT ALL SELECT id, code, uid, age, sex FROM syn WHERE id <= 5000) x;
DROP TABLE syn2;

-- conditions; n by default; no rows at all; names as SQL reads them; a temporary table
SELECT dp_materialize('m', 'public."Odd ""name; DROP TABLE folk"', 200, conditions => '{"sex": "F", "age": [20, 29]}');
SELECT count(*), bool_and(sex = 'F' AND age BETWEEN 20 AND 29) FROM "Odd ""name; DROP TABLE folk";
DROP TABLE "Odd ""name; DROP TABLE folk";
SELECT dp_materialize('m', 'Folded') > 0 AS some;
SELECT count(*) BETWEEN 900 AND 1100 AS noisy_total FROM folded;
DROP TABLE folded;
SELECT dp_materialize('m', 'none', 0, existing => false);
SELECT count(*) FROM none;
SELECT dp_materialize('m', 'none', 10, existing => true);
DROP TABLE none;
SELECT dp_materialize('m', 'pg_temp.syn', 10);
SELECT count(*), min(relpersistence) FROM pg_temp.syn, pg_class WHERE oid = 'pg_temp.syn'::regclass;
DROP TABLE pg_temp.syn;

-- an existing table: columns by name, its own types, defaults, triggers, partitions
CREATE TABLE slips (batch text DEFAULT 'b1', sex varchar(10), rank int GENERATED ALWAYS AS IDENTITY, age bigint, "Number" numeric, note jsonb DEFAULT '{}', twice bigint GENERATED ALWAYS AS (age * 2) STORED)
  PARTITION BY LIST (sex);
CREATE TABLE slips_f PARTITION OF slips FOR VALUES IN ('F');
CREATE TABLE slips_m PARTITION OF slips FOR VALUES IN ('M');
CREATE FUNCTION older() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.age < 10 THEN RETURN NULL; END IF; NEW.age := NEW.age + 1000; RETURN NEW; END';
CREATE TRIGGER older BEFORE INSERT ON slips FOR EACH ROW EXECUTE FUNCTION older();
CREATE TABLE batches (rows bigint);
CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO batches SELECT count(*) FROM new_rows; RETURN NULL; END';
CREATE TRIGGER counted AFTER INSERT ON slips REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION counted();
SELECT dp_materialize('m', 'slips', 10000, seed => 3) AS written \gset
SELECT :written < 10000 AS suppressed, :written = (SELECT count(*) FROM slips) AS counted, :written = (SELECT sum(rows) FROM batches) AS seen, (SELECT count(*) FROM batches) > 1 AS batches;
SELECT min(batch), count(DISTINCT rank) = count(*) AS ranks, min(age) >= 1010 AS older, bool_and(twice = age * 2) AS twice, count(DISTINCT note), min("Number") >= 1 AND max("Number") <= 10000 AS one_up,
  count(DISTINCT "Number") = count(*) AS numbers FROM slips;
DROP TRIGGER older ON slips;
ALTER TABLE slips DROP COLUMN rank;
SELECT max("Number") AS largest FROM slips_f \gset
SELECT dp_materialize('m', 'slips_f', 10, conditions => '{"sex": "F"}');
SELECT max("Number") = :largest + 10 AS its_own_largest FROM slips_f;
DROP TABLE slips, batches;

-- a row that the table refuses: nothing of the call is written, what was there stays; the release stays on record
CREATE TABLE few (id int, age int CHECK (age < 50));
INSERT INTO few VALUES (7, 1);
SELECT issued() AS issued \gset
DO $$
DECLARE
  h text;
BEGIN
  PERFORM dp_materialize('m', 'few', 1000);
EXCEPTION WHEN check_violation THEN
  GET STACKED DIAGNOSTICS h = PG_EXCEPTION_HINT;
  RAISE WARNING '%: %', SQLERRM, h;
END
$$;
SELECT count(*), issued() - :issued AS recorded FROM few;
DROP TABLE few;

-- identifiers go on after those that are there
CREATE TABLE ids (id int UNIQUE, code char(12) UNIQUE, "Number" text UNIQUE, uid text UNIQUE);
INSERT INTO ids VALUES (41, 'P-000123', '99', 'x'), (-5, 'P-0009999', 'none', 'y'), (NULL, 'zzz', '0777', NULL);
SELECT dp_materialize('m', 'ids', 3);
SELECT id, code, "Number", length(uid) FROM ids ORDER BY id NULLS FIRST;
INSERT INTO ids VALUES (2147483640, 'P-999990', '7', 'z');
SELECT dp_materialize('m', 'ids', 7);
SELECT dp_materialize('m', 'ids', 8);
DROP TABLE ids;
CREATE TABLE ids (id smallint);
SELECT dp_materialize('m', 'ids', 32768);
SELECT dp_materialize('m', 'ids', 32767);
SELECT dp_materialize('m', 'ids', 1);
DROP TABLE ids;
CREATE TABLE codes (code text);
INSERT INTO codes VALUES ('P-999997');
SELECT dp_materialize('m', 'codes', 3);
SELECT dp_materialize('m', 'codes', 2);
SELECT max(code) FROM codes;
DROP TABLE codes;
-- a sequence that rows are ahead of is moved behind them; one that is ahead stays
CREATE TABLE ahead (id serial PRIMARY KEY, age int);
INSERT INTO ahead VALUES (100, 1), (101, 2);
SELECT dp_materialize('m', 'ahead', 5);
SELECT array_agg(id ORDER BY id) FROM ahead;
SELECT nextval('ahead_id_seq');
SELECT dp_materialize('m', 'ahead', 1);
SELECT max(id) FROM ahead;
DROP TABLE ahead;

-- constraints that rows of the model break, or that are none of the caller's, are left out, by name
ALTER TABLE syn DROP CONSTRAINT syn_land_fkey;
ALTER TABLE folk DROP CONSTRAINT folk_land_fkey;
DELETE FROM lands WHERE id > 2;
ALTER TABLE folk ADD CONSTRAINT folk_land_fkey FOREIGN KEY (land) REFERENCES lands NOT VALID;
ALTER TABLE folk ADD CONSTRAINT young CHECK (age < 30) NOT VALID;
ALTER TABLE folk ADD CONSTRAINT inverse CHECK (10 / (age - 40) < 100) NOT VALID;
ALTER TABLE folk ADD CONSTRAINT whole CHECK (folk IS NOT NULL) NOT VALID;
SET client_min_messages = notice;
SELECT dp_materialize('m', 'broken', 1000);
SET client_min_messages = warning;
SELECT conname FROM pg_constraint WHERE conrelid = 'broken'::regclass AND contype IN ('p', 'u', 'c', 'f') ORDER BY 1;
DROP TABLE broken;
ALTER TABLE folk DROP CONSTRAINT young, DROP CONSTRAINT inverse, DROP CONSTRAINT whole;

-- what is refused, before anything is recorded
SELECT issued() AS issued \gset
SELECT dp_materialize('m', 'folk', 10);
SELECT dp_materialize('m', 'secrets', 10);
SELECT dp_materialize('m', 'syn', 10, existing => false);
SELECT dp_materialize('m', 'no_such_table', 10, existing => true);
SELECT dp_materialize('m', 'folk_id_seq', 10);
SELECT dp_materialize('m', 'pg_catalog.pg_class', 10);
SELECT dp_materialize('m', 'mirage.ledger', 10);
SELECT dp_materialize('m', 'no_such_schema.t', 10);
SELECT dp_materialize('m', 'a.b.c', 10);
SELECT dp_materialize('m', '', 10);
SELECT dp_materialize('m', 'a b', 10);
SELECT dp_materialize('m', NULL, 10);
SELECT dp_materialize(NULL, 't', 10);
SELECT dp_materialize('no such model', 't', 10);
SELECT dp_materialize('m', 't', -1);
CREATE VIEW seen AS SELECT * FROM syn;
SELECT dp_materialize('m', 'seen', 10);
DROP VIEW seen;
CREATE TABLE other (a int, b text);
SELECT dp_materialize('m', 'other', 10);
DROP TABLE other;
CREATE TABLE other (age int, due date NOT NULL);
SELECT dp_materialize('m', 'other', 10);
DROP TABLE other;
CREATE TABLE other (age point);
SELECT dp_materialize('m', 'other', 10);
DROP TABLE other;
BEGIN TRANSACTION READ ONLY;
SELECT dp_materialize('m', 't', 10);
ROLLBACK;
SELECT issued() - :issued AS recorded;
-- ROLLBACK takes the table away, and not the record
BEGIN;
SELECT dp_materialize('m', 't', 10);
ROLLBACK;
SELECT to_regclass('t'), issued() - :issued AS recorded;

-- rights: a grant for the rows, CREATE or INSERT for the table, SELECT where the largest identifier is looked up
SELECT dp_grant('m', 'regress_reader');
CREATE TABLE drop_box (age int, sex text);
CREATE TABLE numbered (id int, age int);
GRANT INSERT (age) ON numbered TO regress_reader;
SET SESSION AUTHORIZATION regress_reader;
SELECT dp_materialize('m', 'closed.mine', 10);
SELECT dp_materialize('m', 'drop_box', 10);
SELECT dp_materialize('m', 'numbered', 10);
SET client_min_messages = notice;
SELECT dp_materialize('m', 'own.mine', 10);
SET client_min_messages = warning;
SELECT count(*), bool_and(work IS NULL OR work BETWEEN 0 AND 24) FROM own.mine;
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'own.mine'::regclass AND attname = 'work';
-- an unqualified name is looked up as INSERT would, and made in the first schema of the path
SET search_path = own, public;
SELECT dp_materialize('m', 'syn', 10);
SELECT dp_materialize('m', 'syn', 10, existing => false);
SELECT dp_materialize('m', 'fresh', 10, existing => false);
SET search_path = public;
SELECT count(*) FROM own.fresh;
SET SESSION AUTHORIZATION regress_keeper;
GRANT INSERT (age) ON drop_box TO regress_reader;
SET SESSION AUTHORIZATION regress_reader;
SELECT dp_materialize('m', 'drop_box', 10);
SET SESSION AUTHORIZATION regress_keeper;
GRANT INSERT ON drop_box, numbered TO regress_reader;
SET SESSION AUTHORIZATION regress_reader;
SELECT dp_materialize('m', 'drop_box', 10);
SELECT dp_materialize('m', 'numbered', 10);
SET SESSION AUTHORIZATION regress_keeper;
GRANT SELECT (id) ON numbered TO regress_reader;
ALTER TABLE drop_box ENABLE ROW LEVEL SECURITY;
CREATE POLICY women ON drop_box FOR INSERT TO regress_reader WITH CHECK (sex = 'F');
SET SESSION AUTHORIZATION regress_reader;
SELECT dp_materialize('m', 'numbered', 10);
SELECT dp_materialize('m', 'drop_box', 100);
SELECT dp_materialize('m', 'drop_box', 100, conditions => '{"sex": "F"}');
SET SESSION AUTHORIZATION regress_keeper;
SELECT count(*), count(DISTINCT id) FROM numbered;
SELECT sex = 'F' AS women, count(*) > 0 FROM drop_box GROUP BY 1 ORDER BY 1;
SELECT dp_revoke('m', 'regress_reader');
-- what a grant does not have, a new table does not either, nor an existing one get
SELECT dp_grant('m', 'regress_reader', max_rows => 340, purposes => '{test}', conditions => '{"sex": "F"}', columns => '{age,sex,half}');
CREATE TABLE wide (age int, sex text, mood mood, land int DEFAULT 7);
GRANT INSERT, SELECT ON wide TO regress_reader;
SET SESSION AUTHORIZATION regress_reader;
SELECT dp_materialize('m', 'own.part', 50);
SELECT dp_materialize('m', 'own.part', 50, purpose => 'test');
SELECT dp_materialize('m', 'wide', 50, purpose => 'test');
SELECT dp_materialize('m', 'wide', 1, purpose => 'test');
SELECT count(*), bool_and(sex = 'F'), array_agg(DISTINCT attname) FROM own.part, pg_attribute WHERE attrelid = 'own.part'::regclass AND attnum > 0;
SELECT conname FROM pg_constraint WHERE conrelid = 'own.part'::regclass AND contype IN ('p', 'u', 'c', 'f') ORDER BY 1;
SELECT count(*), bool_and(sex = 'F'), count(mood), min(land), max(land) FROM wide;
SET SESSION AUTHORIZATION regress_keeper;
SELECT dp_revoke('m', 'regress_reader');
SET SESSION AUTHORIZATION regress_reader;
SELECT dp_materialize('m', 'numbered', 10);

-- code that the source's owner left in defaults, constraints and types never runs as somebody else who materializes
SET SESSION AUTHORIZATION regress_keeper;
CREATE TABLE ran (as_role text);
GRANT INSERT ON ran TO PUBLIC;
CREATE FUNCTION run() RETURNS void LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.ran VALUES (current_user); END';
CREATE FUNCTION trap(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM public.run(); RETURN $1; END';
CREATE FUNCTION trap_lt(int, text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM public.run(); RETURN true; END';
CREATE OPERATOR public.<< (LEFTARG = int, RIGHTARG = text, FUNCTION = trap_lt);
CREATE DOMAIN trapped AS int CHECK (trap(VALUE) >= 0);
CREATE VIEW trap_view AS SELECT trap(1);
GRANT SELECT ON trap_view TO PUBLIC;
CREATE TABLE baited (id int PRIMARY KEY, age int NOT NULL CHECK (age BETWEEN 0 AND 9), d trapped, e int DEFAULT trap(1) CHECK (e BETWEEN 0 AND 9),
  f int CHECK (f BETWEEN 0 AND 9), g int GENERATED ALWAYS AS (trap(age)) STORED, h text DEFAULT table_to_xml('trap_view', false, false, '')::text CHECK (h IN ('a', 'b')),
  CONSTRAINT bait CHECK (trap(f) >= 0), CONSTRAINT operated CHECK (age << 'a'::text), CONSTRAINT harmless CHECK (age + f < 100));
INSERT INTO baited (id, age, d, e, f, h) SELECT i, i % 10, i % 10, i % 10, i % 10, 'a' FROM generate_series(1, 100) i;
SELECT dp_set_column('baited', 'g', kind => 'number', lower => '0', upper => '9');
SELECT dp_set_column('baited', 'd', kind => 'number', lower => '0', upper => '9');
SELECT dp_protect('baited', epsilon => 100);
SELECT dp_train('bait', 'baited', 'mst', epsilon => 5) > 0 AS trained;
SELECT dp_grant('bait', 'regress_reader');
TRUNCATE ran;
SET SESSION AUTHORIZATION regress_reader;
SET client_min_messages = notice;
SET search_path = public, pg_catalog;
SELECT dp_materialize('bait', 'own.caught', 50);
SELECT format_type(atttypid, atttypmod), attgenerated FROM pg_attribute WHERE attrelid = 'own.caught'::regclass AND attname IN ('d', 'g') ORDER BY attname;
INSERT INTO own.caught (id, age, f) VALUES (1000, 1, 1);
DROP TABLE own.caught;
RESET SESSION AUTHORIZATION;
SET search_path = public;
SET client_min_messages = warning;
SELECT dp_materialize('bait', 'caught', 50);
SELECT count(*) AS ran FROM ran;
DROP TABLE caught;
-- the source's owner gets them as they are
SET SESSION AUTHORIZATION regress_keeper;
SELECT dp_materialize('bait', 'caught', 50);
SELECT DISTINCT as_role FROM ran;
SELECT conname FROM pg_constraint WHERE conrelid = 'caught'::regclass AND contype = 'c' ORDER BY 1;
DROP TABLE caught;

-- the source has gone: what the model knows is enough
DROP TABLE folk CASCADE;
SELECT dp_materialize('m', 'orphan', 100);
SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute WHERE attrelid = 'orphan'::regclass AND attnum > 0 ORDER BY attnum;
SELECT count(*), count(DISTINCT id), max(code) FROM orphan;
RESET SESSION AUTHORIZATION;
-- what cannot be recorded does not leave, even if a superuser sees to that
CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER skip BEFORE INSERT ON mirage.issuance FOR EACH ROW EXECUTE FUNCTION skip();
SELECT dp_materialize('m', 'unrecorded', 10);
SELECT to_regclass('unrecorded');
DROP FUNCTION skip() CASCADE;
SELECT DISTINCT path, watermark IS NOT NULL AS marked FROM mirage.issuance WHERE model = (SELECT id FROM mirage.model WHERE name = 'm') ORDER BY 1;
SELECT ok FROM dp_verify_audit();
DROP EXTENSION pg_mirage CASCADE;
DROP OWNED BY regress_keeper, regress_reader;
DROP ROLE regress_keeper, regress_reader;
DROP SCHEMA closed;
DROP FUNCTION issued();
