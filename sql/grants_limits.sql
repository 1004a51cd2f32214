-- Grants with limits: how many rows, for which purpose, which rows, which columns; who pays where several grants would
-- serve; and for whom rows are.
\set SHOW_CONTEXT never
\set super :USER
SET client_min_messages = warning;
CREATE EXTENSION pg_mirage;
CREATE ROLE regress_owner LOGIN;
CREATE ROLE regress_reader LOGIN;
CREATE ROLE regress_other LOGIN;
CREATE ROLE regress_group NOLOGIN;
CREATE ROLE regress_north NOLOGIN;
CREATE ROLE regress_member LOGIN IN ROLE regress_group, regress_north;
CREATE ROLE regress_auditor LOGIN IN ROLE mirage_auditor;
CREATE ROLE regress_admin LOGIN IN ROLE mirage_admin;
GRANT CREATE ON SCHEMA public TO regress_owner;
-- what an attempt comes to: 'ok', or the message; with the moment from which there is room as a check, not as a time
CREATE FUNCTION attempt(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  d text;
  h text;
BEGIN
  EXECUTE call;
  RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
  IF h ~ '^Try again after' THEN
    h := CASE WHEN substring(h FROM 'after (.*), or')::timestamptz > clock_timestamp() THEN 'Try again later.' ELSE h END;
  END IF;
  RETURN SQLSTATE || ' ' || concat_ws(' / ', SQLERRM, nullif(d, ''), nullif(h, ''));
END
$$;
SET SESSION AUTHORIZATION regress_owner;
CREATE TABLE people (region text NOT NULL CHECK (region IN ('north', 'south', 'east')), age int NOT NULL CHECK (age BETWEEN 0 AND 99),
  income numeric(8, 3) CHECK (income BETWEEN 0 AND 1000), grade text CHECK (grade IN ('a', 'b', 'c')));
INSERT INTO people SELECT (ARRAY['north', 'south', 'east'])[1 + i % 3], i % 100, CASE WHEN i % 7 > 0 THEN i % 997 + 0.125 END,
  (ARRAY['a', 'b', 'c', NULL])[1 + i % 4] FROM generate_series(1, 900) i;
SELECT dp_protect('people', epsilon => 20);
SELECT dp_train('m', 'people', epsilon => 5) > 0 AS trained;

-- so many rows within an interval: n is charged at the start, whatever is read
SELECT dp_grant('m', 'regress_reader', max_rows => 10, per => '1 day');
SET SESSION AUTHORIZATION regress_reader;
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 4);
SELECT age >= 0 AS one_of_four FROM dp_synthesize('m', 4) AS t(age int) LIMIT 1;
SELECT attempt('SELECT dp_synthesize(''m'', 4)');
SELECT attempt('SELECT dp_synthesize(''m'', 11)');
SELECT attempt('SELECT dp_synthesize(''m'')');
SELECT attempt('SELECT dp_synthesize(''m'', 2)');
SELECT attempt('SELECT dp_synthesize(''m'', 1)');
SELECT attempt('SELECT dp_synthesize(''m'', 0)');
SELECT model, grantee, max_rows, per, used, remaining, live FROM dp_grants;
-- granting anew gives nothing back, and neither does revoking
SET SESSION AUTHORIZATION regress_owner;
SELECT dp_grant('m', 'regress_reader', max_rows => 12);
SET SESSION AUTHORIZATION regress_reader;
SELECT attempt('SELECT dp_synthesize(''m'', 3)');
SELECT attempt('SELECT dp_synthesize(''m'', 2)');
SET SESSION AUTHORIZATION regress_owner;
SELECT dp_revoke('m', 'regress_reader');
SELECT dp_grant('m', 'regress_reader', max_rows => 12, per => '100 years');
SET SESSION AUTHORIZATION regress_reader;
SELECT attempt('SELECT dp_synthesize(''m'', 1)');
-- what was given out before the interval does not count, nor does what was refused
SET SESSION AUTHORIZATION regress_owner;
SELECT dp_grant('m', 'regress_other', max_rows => 5, per => '1 second');
SET SESSION AUTHORIZATION regress_other;
SELECT attempt('SELECT dp_synthesize(''m'', 5)');
SELECT pg_sleep(1.2);
SELECT attempt('SELECT dp_synthesize(''m'', 5)');
SELECT used, remaining FROM dp_grants WHERE used > 0;
-- ROLLBACK gives nothing back
SET SESSION AUTHORIZATION regress_owner;
SELECT dp_grant('m', 'regress_other', max_rows => 17);
SET SESSION AUTHORIZATION regress_other;
BEGIN;
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 7);
ROLLBACK;
SELECT attempt('SELECT dp_synthesize(''m'', 1)');

-- a purpose must be one of the grant's, in these very words
SET SESSION AUTHORIZATION regress_owner;
SELECT dp_grant('m', 'regress_reader', purposes => '{testing,"load tests"}');
SET SESSION AUTHORIZATION regress_reader;
SELECT attempt('SELECT dp_synthesize(''m'', 1)');
SELECT attempt('SELECT dp_synthesize(''m'', 1, purpose => ''Testing'')');
SELECT attempt('SELECT dp_synthesize(''m'', 1, purpose => ''load tests'')');
SELECT attempt('SELECT dp_synthesize_as(NULL::people, ''m'', 1, purpose => ''testing'')');
-- where none is asked for, what is said is recorded
SET SESSION AUTHORIZATION regress_owner;
SELECT dp_grant('m', 'regress_reader');
SET SESSION AUTHORIZATION regress_reader;
SELECT attempt('SELECT dp_synthesize(''m'', 1, purpose => ''a look at it'')');
SELECT purpose, rows, grantee, path, seeded, claimed, columns FROM dp_issuances WHERE purpose IS NOT NULL ORDER BY id;

-- a condition that the grantee is confined to: all rows satisfy it, and the call's own with it
SET SESSION AUTHORIZATION regress_owner;
SELECT dp_grant('m', 'regress_reader', conditions => '{"region": ["north", "south"], "age": [20, 59], "income": {"between": [100.125, 900]}}');
SET SESSION AUTHORIZATION regress_reader;
SELECT count(*), count(*) FILTER (WHERE region IN ('north', 'south') AND age BETWEEN 20 AND 59 AND income BETWEEN 100.125 AND 900) AS confined,
  count(DISTINCT region) AS regions FROM dp_synthesize_as(NULL::people, 'm', 2000);
SELECT count(*), count(*) FILTER (WHERE region = 'north' AND age BETWEEN 20 AND 30 AND income BETWEEN 100.125 AND 900
    AND NOT income BETWEEN 200 AND 300) AS confined, count(DISTINCT age) > 5 AS ages, count(DISTINCT income) > 100 AS incomes
  FROM dp_synthesize_as(NULL::people, 'm', 2000, '{"region": "north", "age": [null, 30], "income": {"not": {"between": [200, 300]}}}');
SELECT count(*), count(*) FILTER (WHERE region = 'south') AS confined, count(grade) AS grades
  FROM dp_synthesize_as(NULL::people, 'm', 500, '{"region": {"not": "north"}, "grade": null}');
SELECT count(*), min(age), max(age) FROM dp_synthesize_as(NULL::people, 'm', 500, '{"age": {"in": [19, 20, 59, 60]}, "income": {"not": null}}');
SELECT attempt('SELECT dp_synthesize(''m'', 1, ''{"region": "east"}'')');
SELECT attempt('SELECT dp_synthesize(''m'', 1, ''{"age": [60, 70]}'')');
SELECT attempt('SELECT dp_synthesize(''m'', 1, ''{"income": null}'')');
SELECT attempt('SELECT dp_synthesize(''m'', 1, ''{"income": [900.001, null]}'')');
SELECT attempt('SELECT dp_synthesize(''m'', 1, ''{"income": [880, null]}'')');
-- as many as the total says, of those that it is confined to
SELECT count(*) BETWEEN 100 AND 300 AS as_many, bool_and(region IN ('north', 'south') AND age BETWEEN 20 AND 59) AS confined FROM dp_synthesize_as(NULL::people, 'm');
-- ends of ranges are exact in decimals, however the two conditions come by them
RESET SESSION AUTHORIZATION;
CREATE TABLE exact (x numeric CHECK (x BETWEEN 0 AND 1));
INSERT INTO exact SELECT i / 100.0 FROM generate_series(0, 100) i;
INSERT INTO exact SELECT (ARRAY[0.3, 0.7])[1 + i % 2] FROM generate_series(1, 600) i;
SELECT dp_protect('exact', epsilon => 5);
SELECT dp_train('exact', 'exact', epsilon => 2) > 0 AS trained;
SELECT dp_grant('exact', 'regress_reader', conditions => '{"x": [0.3, 0.69999999999999999999]}');
SET SESSION AUTHORIZATION regress_reader;
SELECT count(*), bool_and(x BETWEEN 0.30000000000000000001 AND 0.69999999999999999999) AS within, count(*) FILTER (WHERE x < 0.3000001) > 100 AS low,
  count(*) FILTER (WHERE x > 0.6999999) > 100 AS high FROM dp_synthesize('exact', 5000, '{"x": [0.30000000000000000001, 0.7]}') AS t(x numeric);
SELECT count(*), bool_and(x BETWEEN 0.3 AND 0.69999999999999999999) AS within, bool_and(x NOT BETWEEN 0.4 AND 0.5) AS outside
  FROM dp_synthesize('exact', 5000, '{"x": {"not": [0.4, 0.5]}}') AS t(x numeric);
SELECT count(*), bool_and(x = 0.3) AS the_one FROM dp_synthesize('exact', 500, '{"x": [null, 0.30000000000000000001]}') AS t(x numeric);
SELECT attempt('SELECT dp_synthesize(''exact'', 1, ''{"x": [null, 0.29]}'')');
SELECT attempt('SELECT dp_synthesize(''exact'', 1, ''{"x": [null, 0.29999999999999999999]}'')');

-- columns: the others are not there for the grantee
SET SESSION AUTHORIZATION regress_owner;
SELECT dp_grant('m', 'regress_reader', columns => '{grade,age}', conditions => '{"region": "east"}');
SET SESSION AUTHORIZATION regress_reader;
SELECT count(*), count(region) AS region, count(age) AS age, count(income) AS income, count(grade) > 0 AS grade FROM dp_synthesize_as(NULL::people, 'm', 100);
SELECT count(age) FROM dp_synthesize('m', 10) AS t(grade text, age int);
SELECT attempt('SELECT * FROM dp_synthesize(''m'', 1) AS t(age int, income numeric)');
SELECT attempt('SELECT dp_synthesize(''m'', 1, ''{"income": [0, 1]}'')');
SELECT attempt('SELECT dp_synthesize(''m'', 1, ''{"region": "east"}'')');
SELECT count(*), count(DISTINCT jsonb_object_keys) FROM (SELECT jsonb_object_keys(to_jsonb(r)) FROM (SELECT dp_synthesize('m', 5, '{"age": [20, 40]}') AS r) x) y;
SELECT columns, conditions FROM dp_issuances ORDER BY id DESC LIMIT 1;

-- the same by every other way that rows leave: foreign tables and dp_materialize
RESET SESSION AUTHORIZATION;
CREATE SERVER regress_models FOREIGN DATA WRAPPER pg_mirage_fdw;
GRANT USAGE ON FOREIGN SERVER regress_models TO regress_reader;
GRANT CREATE ON SCHEMA public TO regress_reader;
SET SESSION AUTHORIZATION regress_reader;
CREATE FOREIGN TABLE granted (grade text, age int) SERVER regress_models OPTIONS (model 'm', rows '100', seed '1', condition '{"age": [30, 39]}');
CREATE FOREIGN TABLE more (age int, income numeric) SERVER regress_models OPTIONS (model 'm', rows '100', seed '1');
SELECT count(*), count(grade) > 0 AS grade, bool_and(age BETWEEN 30 AND 39) AS age FROM granted;
SELECT count(age) FROM more;
SELECT count(age) FROM more WHERE income > 500;
EXPLAIN (COSTS OFF) SELECT count(age) FROM more WHERE income > 500;
SELECT dp_materialize('m', 'mine', 20);
SELECT attname FROM pg_attribute WHERE attrelid = 'mine'::regclass AND attnum > 0 ORDER BY attnum;
SELECT path, rows, columns, conditions FROM dp_issuances WHERE path <> 'call' ORDER BY id;
DROP FOREIGN TABLE granted, more;
DROP TABLE mine;

-- several grants: the least restrictive that permits the call pays, a group's is shared by all who use it
SET SESSION AUTHORIZATION regress_owner;
SELECT dp_grant('m', 'regress_member', max_rows => 5, purposes => '{a,b}');
SELECT dp_grant('m', 'regress_group', max_rows => 20);
SELECT dp_grant('m', 'regress_north', conditions => '{"region": "north"}', columns => '{region,age}');
CREATE FUNCTION paid() RETURNS text LANGUAGE sql AS $$SELECT grantee FROM dp_issuances ORDER BY id DESC LIMIT 1$$;
SET SESSION AUTHORIZATION regress_member;
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 4, purpose => 'a');
SELECT paid();
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 17, purpose => 'b');
SELECT paid();
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 1, purpose => 'b');
SELECT paid();
-- of two that confine to the same, the next pays where the first has no room
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 13, purpose => 'a');
SELECT paid();
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 5, purpose => 'a');
SELECT paid();
-- what has room last of all confines more, and says so
SET client_min_messages = notice;
SELECT count(*), count(*) FILTER (WHERE region = 'north') AS north, count(income) AS incomes FROM dp_synthesize_as(NULL::people, 'm', 25);
SELECT attempt('SELECT dp_synthesize(''m'', 25, seed => 1)');
SET client_min_messages = warning;
SELECT paid();
-- a column or a condition that it does not have brings back the others' refusal
SELECT attempt('SELECT * FROM dp_synthesize(''m'', 25) AS t(income numeric)');
SELECT attempt('SELECT dp_synthesize(''m'', 25, ''{"region": "south"}'')');
SELECT attempt('SELECT dp_synthesize(''m'', 1, ''{"region": "south"}'')');
SELECT paid();
SET SESSION AUTHORIZATION regress_owner;
SELECT grantee, used, remaining FROM dp_grants WHERE grantee <> 'regress_reader' ORDER BY grantee;
-- one's own right needs no grant and has no limit, but is recorded
SELECT dp_grant('m', 'regress_owner', max_rows => 1);
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 50);
SELECT role, grantee IS NULL AS owner, rows FROM dp_issuances ORDER BY id DESC LIMIT 1;
RESET SESSION AUTHORIZATION;
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 60);
SELECT role = session_user AS me, grantee IS NULL AS superuser, rows FROM dp_issuances ORDER BY id DESC LIMIT 1;

-- what is refused when it is granted
SET SESSION AUTHORIZATION regress_owner;
SELECT attempt(format('SELECT dp_grant(''m'', ''regress_reader'', %s)', x)) FROM unnest(ARRAY[
  'max_rows => 0', 'per => ''1 day''', 'max_rows => 1, per => ''-1 day''', 'max_rows => 1, per => ''0.5 s''', 'max_rows => 1, per => ''200000 years''', 'purposes => ''{" "}''',
  'purposes => array_fill(''p''::text, ARRAY[101])',
  'columns => ''{age,height}''', 'columns => ''{age,age}''', 'columns => ''{}''', 'conditions => ''[]''', 'conditions => ''{"height": 1}''',
  'conditions => ''{"region": "west"}''', 'conditions => ''{"age": [40, 30]}''', 'conditions => ''{"age": [200, 300]}''',
  'conditions => ''{"age": null}''', 'conditions => ''{}'', valid_until => ''infinity''']) x;

-- who sees what of it
SELECT dp_grant('m', 'regress_reader', 100, '1 day', '{x}', '2200-01-01 00:00+00', '{"region": "north"}', '{age,region}');
SET SESSION AUTHORIZATION regress_reader;
SELECT model, grantee, max_rows, per, purposes, valid_until = '2200-01-01 00:00+00' AS until, conditions, columns, live, granted_by FROM dp_grants ORDER BY model DESC;
SELECT DISTINCT role FROM dp_issuances;
SELECT count(*) FROM mirage.grant_use;
SET SESSION AUTHORIZATION regress_member;
SELECT grantee FROM dp_grants ORDER BY grantee;
SET SESSION AUTHORIZATION regress_other;
SELECT grantee FROM dp_grants;
SELECT DISTINCT role FROM dp_issuances;
SET SESSION AUTHORIZATION regress_auditor;
SELECT model, grantee FROM dp_grants ORDER BY model, grantee;
SELECT role, count(*) FROM dp_issuances GROUP BY role = 'postgres', role HAVING role LIKE 'regress%' ORDER BY role;
SET SESSION AUTHORIZATION regress_owner;
SELECT DISTINCT model, grantee FROM dp_issuances WHERE grantee IS NOT NULL ORDER BY grantee;
-- the log names the columns of conditions, not their values
SELECT detail FROM dp_audit_log WHERE action = 'grant' ORDER BY id DESC LIMIT 1;

-- for whom: who logged in, whatever the role is now; a claim takes a right of its own
RESET SESSION AUTHORIZATION;
CREATE FUNCTION by_owner() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$SELECT count(*) FROM dp_synthesize('m', 2) AS t(age int)$$;
ALTER FUNCTION by_owner() OWNER TO regress_owner;
SELECT dp_grant('m', 'regress_reader');
GRANT regress_reader TO regress_other;
SET SESSION AUTHORIZATION regress_admin;
SELECT dp_allow_claims('regress_other');
\c - regress_other
SELECT by_owner();
SET ROLE regress_reader;
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 2);
SET pg_mirage.recipient = 'Alice of Accounts';
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 2);
SET pg_mirage.recipient = 'regress_other';
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 2);
SELECT count(*) AS claimed_seeded FROM dp_synthesize_as(NULL::people, 'm', 500, seed => 1);
SET pg_mirage.recipient = ' x';
SELECT dp_synthesize('m', 2);
RESET pg_mirage.recipient;
-- another recipient than the role of that name
CREATE TEMP TABLE own AS SELECT * FROM dp_synthesize_as(NULL::people, 'm', 500, seed => 1);
SELECT count(*) = 0 AS repeats FROM (TABLE own EXCEPT ALL SELECT * FROM dp_synthesize_as(NULL::people, 'm', 500, seed => 1)) x;
SET pg_mirage.recipient = 'regress_other';
SELECT count(*) > 50 AS another FROM (TABLE own EXCEPT ALL SELECT * FROM dp_synthesize_as(NULL::people, 'm', 500, seed => 1)) x;
SELECT role, recipient, claimed, rows FROM dp_issuances WHERE recipient <> 'postgres' ORDER BY id LIMIT 4;
-- without the right it is an error, not ignored; also for superusers, and for who takes the claimant's role on
\c - regress_reader
SET pg_mirage.recipient = 'Alice of Accounts';
SELECT dp_synthesize('m', 2);
\c - :super
SET client_min_messages = warning;
SET pg_mirage.recipient = 'Alice of Accounts';
SELECT dp_synthesize('m', 2);
SET SESSION AUTHORIZATION regress_other;
SELECT dp_synthesize('m', 2);
SET SESSION AUTHORIZATION regress_owner;
RESET pg_mirage.recipient;
SELECT dp_allow_claims('regress_reader');
SET SESSION AUTHORIZATION regress_admin;
SELECT dp_allow_claims('regress_other', false);
SELECT dp_allow_claims(NULL);
\c - regress_other
SET pg_mirage.recipient = 'Alice of Accounts';
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 2);
\c - :super
SET client_min_messages = warning;
SELECT action, object FROM dp_audit_log WHERE action LIKE '%claims' ORDER BY id;
DROP EXTENSION pg_mirage CASCADE;
DROP OWNED BY regress_owner, regress_reader CASCADE;
DROP TABLE exact;
DROP FUNCTION attempt;
DROP ROLE regress_owner, regress_reader, regress_other, regress_group, regress_north, regress_member, regress_auditor, regress_admin;
