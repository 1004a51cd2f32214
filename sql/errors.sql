-- Bad input: from the call, the catalogs and the machine. Each error has its own code, and ledger, log and models stay right.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION pg_mirage;
CREATE ROLE regress_owner LOGIN;
CREATE ROLE regress_nobody LOGIN;
GRANT CREATE ON SCHEMA public TO regress_owner;
SET ROLE regress_owner;
CREATE TABLE people (age int NOT NULL CHECK (age BETWEEN 0 AND 99), sex text NOT NULL CHECK (sex IN ('F', 'M')), note text);
INSERT INTO people SELECT i % 100, CASE WHEN i % 3 = 0 THEN 'F' ELSE 'M' END, 'n' || i % 5 FROM generate_series(1, 500) i;
CREATE TABLE odd (a int, b point);
CREATE TABLE other (age int);
CREATE VIEW joined AS SELECT p.age, o.age AS b FROM people p JOIN other o USING (age);
CREATE VIEW plain AS SELECT age, sex FROM people WHERE age > 10;
CREATE VIEW counted AS SELECT age, count(*) FROM people GROUP BY age;
-- budgets
SELECT dp_create_budget('b', epsilon => 0);
SELECT dp_create_budget('b', epsilon => -1);
SELECT dp_create_budget('b', epsilon => 'NaN');
SELECT dp_create_budget('b', epsilon => 'Infinity');
SELECT dp_create_budget('b', epsilon => NULL);
SELECT dp_create_budget('b', epsilon => 1, delta => 0);
SELECT dp_create_budget('b', epsilon => 1, delta => 1);
SELECT dp_create_budget('b', epsilon => 1, delta => 'NaN');
SELECT dp_create_budget('', epsilon => 1);
SELECT dp_create_budget(E'a\nb', epsilon => 1);

SELECT dp_create_budget('b', epsilon => 1);
SELECT dp_create_budget('b', epsilon => 1);
SELECT dp_grant_budget('no such budget', 'regress_nobody', 1);
SELECT dp_grant_budget('b', 'regress_nobody', 0);
-- protection
SELECT dp_protect('people');
SELECT dp_protect('people', budget => 'b', epsilon => 1);
SELECT dp_protect('people', budget => 'no such budget');
SELECT dp_protect('people', epsilon => 1, unit => 'nobody');
SELECT dp_protect('people', epsilon => 1, max_rows_per_unit => 2);
SELECT dp_protect('people', epsilon => 1, assert_stable => true);
SELECT dp_protect('joined', epsilon => 1);
SELECT dp_protect('pg_catalog.pg_class', epsilon => 1);
SELECT dp_create_budget('people', epsilon => 3);
SELECT dp_protect('people', epsilon => 1);
SELECT dp_protect('people', budget => 'people');
SELECT dp_protect('people', budget => 'b');
SELECT dp_protect('people', epsilon => 5);
SELECT dp_protect('odd', epsilon => 1);
-- columns
SELECT dp_set_column('people', 'nope', kind => 'number');
SELECT dp_set_column('people', 'age', kind => 'colour');
SELECT dp_set_column('people', 'age', lower => 'ten');
SELECT dp_set_column('people', 'age', lower => '10', upper => '5');
SELECT dp_set_column('people', 'age', bins => 0);
SELECT dp_set_column('people', 'age', bins => 5000);
SELECT dp_set_column('people', 'note', categories => '{}');
SELECT dp_set_column('people', 'note', categories => ARRAY['x', NULL]);
SELECT dp_set_column('people', 'note', categories => ARRAY['x', 'x']);
SELECT dp_set_column('people', 'note', lower => 'a');
SELECT dp_set_column('people', 'age', pattern => '###');
SELECT dp_set_column('people', 'age', depends_on => '{age}');
-- plans and trainings
SELECT dp_train(NULL, 'people');
SELECT dp_train('', 'people');
SELECT dp_train('m', 'no_such_table');
SELECT dp_train('m', 0::regclass);
SELECT dp_train('m', 999999::regclass);
SELECT dp_train('m', 'people', method => 'magic');
SELECT dp_train('m', 'people', method => NULL);
SELECT dp_train('m', 'people', epsilon => 0);
SELECT dp_train('m', 'people', epsilon => -1);
SELECT dp_train('m', 'people', epsilon => 'NaN');
SELECT dp_train('m', 'people', epsilon => 'Infinity');
SELECT dp_train('m', 'people', delta => 0);
SELECT dp_train('m', 'people', delta => 1);
SELECT dp_train('m', 'people', delta => 0.5);
SELECT dp_train('m', 'people', columns => '{age,nope}');
SELECT dp_train('m', 'people', columns => '{age,age}');
SELECT dp_train('m', 'people', columns => '{}');
SELECT dp_train('m', 'people', options => '{"colour": 1}');
SELECT dp_train('m', 'people', options => '{"select_share": 2}');
SELECT dp_train('m', 'people', options => '{"select_share": "x"}');
SELECT dp_train('m', 'people', options => '{"select_share": [1]}');
SELECT dp_train('m', 'people', options => '[1]');
SELECT dp_train('m', 'people', epsilon => 4);
SELECT dp_train('m', 'other');
SELECT dp_train('m', 'odd');
SELECT dp_train('m', 'joined');
SELECT dp_train('m', 'counted');
SELECT dp_train('m', 'plain', epsilon => 0.1);
SELECT dp_plan('people', method => 'magic');
SELECT dp_plan('other');
BEGIN; SET TRANSACTION READ ONLY; SELECT dp_train('n', 'people', epsilon => 0.1); ROLLBACK;
BEGIN; CREATE TABLE mine (a int); SELECT dp_protect('mine', epsilon => 1); SELECT dp_train('n', 'mine'); ROLLBACK;
BEGIN; ALTER TABLE people ADD COLUMN extra int; SELECT dp_train('n', 'people', epsilon => 0.1); ROLLBACK;
BEGIN; LOCK TABLE people IN ACCESS EXCLUSIVE MODE; SELECT dp_train('n', 'people', epsilon => 0.1); ROLLBACK;
SELECT dp_train('p', 'people', epsilon => 0.2) > 0 AS trained;
SELECT dp_train('p', 'people', epsilon => 0.2);
SELECT dp_wait(NULL);
SELECT dp_wait(-1);
SELECT dp_cancel(-1);
SELECT dp_wait((SELECT id FROM dp_jobs WHERE model = 'p'));
SELECT dp_cancel((SELECT id FROM dp_jobs WHERE model = 'p'));
-- rows
SELECT dp_synthesize('no such model');
SELECT dp_synthesize(NULL);
SELECT dp_synthesize('p', -1);
SELECT dp_synthesize('p', 0);
SELECT dp_synthesize('p', 1, purpose => ' ');
SELECT * FROM dp_synthesize('p', 1) AS t(nope int);
SELECT * FROM dp_synthesize('p', 1) AS t(sex point);
SELECT * FROM dp_synthesize('p', 1);
SELECT * FROM dp_synthesize_as(NULL::int, 'p', 1);
SELECT dp_grant('p', 'regress_nobody', max_rows => 0);
SELECT dp_grant('p', 'regress_nobody', purposes => '{}');
SELECT dp_grant('p', 'regress_nobody', valid_until => '2000-01-01');
SELECT dp_grant('no such model', 'regress_nobody');
SELECT dp_revoke('no such model', 'regress_nobody');
SELECT dp_revoke('p', 'regress_nobody');
SELECT dp_drop_model('no such model');

-- the codes that programs go by
CREATE FUNCTION code_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE statement;
  RETURN '00000';
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE;
END
$$;
CREATE TEMP TABLE fleeting (a int);
SELECT code_of(s) AS code, s AS statement FROM (VALUES
  ($$SELECT dp_create_budget('c', epsilon => 'NaN')$$),
  ($$SELECT dp_create_budget('c', epsilon => NULL)$$),
  ($$SELECT dp_create_budget('', epsilon => 1)$$),
  ($$SELECT dp_create_budget('b', epsilon => 1)$$),
  ($$SELECT dp_create_budget('c', epsilon => 1, period => '1 day')$$),
  ($$SELECT dp_protect('people', budget => 'c')$$),
  ($$SELECT dp_protect('people', epsilon => 1)$$),
  ($$SELECT dp_protect('fleeting', epsilon => 1)$$),
  ($$SELECT dp_protect('joined', epsilon => 1)$$),
  ($$SELECT dp_protect('pg_catalog.pg_class', epsilon => 1)$$),
  ($$SELECT dp_set_column('people', 'nope', kind => 'number')$$),
  ($$SELECT dp_train('z', 999999::regclass)$$),
  ($$SELECT dp_train('z', 'fleeting')$$),
  ($$SELECT dp_train('z', 'people', method => 'magic')$$),
  ($$SELECT dp_train('z', 'people', epsilon => 0)$$),
  ($$SELECT dp_train('z', 'people', delta => 0.5)$$),
  ($$SELECT dp_train('z', 'people', columns => '{nope}')$$),
  ($$SELECT dp_train('z', 'people', columns => '{age,age}')$$),
  ($$SELECT dp_train('z', 'people', options => '{"colour": 1}')$$),
  ($$SELECT dp_train('z', 'people', epsilon => 4)$$),
  ($$SELECT dp_train('z', 'other')$$),
  ($$SELECT dp_train('z', 'odd')$$),
  ($$SELECT dp_train('z', 'joined')$$),
  ($$SELECT dp_train('p', 'people')$$),
  ($$SELECT dp_wait(-1)$$),
  ($$SELECT dp_synthesize('no such model')$$),
  ($$SELECT dp_synthesize('p', -1)$$),
  ($$SELECT dp_synthesize('p', 1, purpose => ' ')$$),
  ($$SELECT * FROM dp_synthesize('p', 1) AS t(nope int)$$),
  ($$SELECT * FROM dp_synthesize('p', 1) AS t(sex point)$$),
  ($$SELECT * FROM dp_synthesize_as(NULL::int, 'p', 1)$$),
  ($$SELECT dp_revoke('p', 'regress_nobody')$$)) v(s);
DROP TABLE fleeting;
-- somebody without any right
SET ROLE regress_nobody;
SELECT dp_protect('people', budget => 'people');
SELECT dp_protect('people', epsilon => 5);
SELECT dp_set_column('people', 'age', upper => '50');
SELECT dp_grant_budget('people', 'regress_nobody', 1);
SELECT dp_describe('people');
SELECT dp_plan('people');
SELECT dp_train('q', 'people', epsilon => 0.1);
SELECT dp_synthesize('p', 1);
SELECT dp_grant('p', 'regress_nobody');
SELECT dp_drop_model('p');
SELECT dp_wait(1);
SELECT * FROM dp_verify_audit();
SELECT (SELECT count(*) FROM dp_budgets) + (SELECT count(*) FROM dp_ledger) + (SELECT count(*) FROM dp_models) +
       (SELECT count(*) FROM dp_jobs) + (SELECT count(*) FROM dp_audit_log) AS seen;
SELECT * FROM mirage.ledger;
RESET ROLE;
-- hints are commands that can be copied, whatever a name holds
BEGIN;
SET ROLE regress_owner;
CREATE TABLE "o'clock" (h int NOT NULL CHECK (h BETWEEN 0 AND 23));
SAVEPOINT s;
SELECT dp_plan('"o''clock"');
ROLLBACK TO s;
SELECT dp_protect('"o''clock"', epsilon => 1);
SAVEPOINT s;
SELECT dp_protect('"o''clock"', epsilon => 1);
ROLLBACK;
-- a budget whose row was forced out is none that can be made anew: what was charged to it counts
BEGIN;
DELETE FROM mirage.budget WHERE name = 'people';
SET ROLE regress_owner;
SAVEPOINT s;
SELECT dp_protect('people', epsilon => 3);
ROLLBACK TO s;
SELECT dp_plan('people');
ROLLBACK;
-- a stranger hears nothing of columns and of what was declared about them, here a label that the table does not allow
BEGIN;
SET ROLE regress_owner;
CREATE TABLE private (a int, p point);
SELECT dp_set_column('private', 'a', kind => 'category', categories => '{7}');
ALTER TABLE private ADD CHECK (a IN (1, 2));
CREATE VIEW private_view AS SELECT * FROM private;
SAVEPOINT s;
SELECT dp_plan('private');
ROLLBACK TO s;
SELECT dp_protect('private', epsilon => 1);
SET ROLE regress_nobody;
SAVEPOINT s;
SELECT dp_plan('private');
ROLLBACK TO s;
SELECT dp_plan('private_view');
ROLLBACK;
-- what is left of all this
SELECT model, epsilon, state FROM dp_ledger ORDER BY id;
SELECT name, method, epsilon, state FROM dp_models ORDER BY name;
SELECT action, object FROM dp_audit_log ORDER BY id;
SELECT ok, first_bad FROM dp_verify_audit();
UPDATE mirage.ledger SET epsilon = 0;
DELETE FROM mirage.log;
TRUNCATE mirage.ledger;
DROP EXTENSION pg_mirage CASCADE;
DROP OWNED BY regress_owner; DROP OWNED BY regress_nobody;
DROP ROLE regress_owner, regress_nobody;
