-- What may be learnt from through a view or under row security, and what an administrator's word about it covers.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION pg_mirage;
CREATE ROLE regress_owner LOGIN;
CREATE ROLE regress_trainer LOGIN IN ROLE mirage_trainer;
CREATE ROLE regress_admin LOGIN IN ROLE mirage_admin;
GRANT CREATE ON SCHEMA public TO regress_owner;
SET SESSION AUTHORIZATION regress_owner;
CREATE TABLE people (age int NOT NULL CHECK (age BETWEEN 0 AND 9), salary int NOT NULL, sex text NOT NULL CHECK (sex IN ('F', 'M')));
INSERT INTO people SELECT i % 10, 1000 + i % 50, CASE WHEN i % 3 = 0 THEN 'F' ELSE 'M' END FROM generate_series(1, 500) i;
CREATE TABLE cities (sex text, city text CHECK (city IN ('Graz', 'Linz')));
INSERT INTO cities VALUES ('F', 'Graz'), ('M', 'Linz');
CREATE TABLE others (a int CHECK (a BETWEEN 0 AND 3));
SELECT dp_protect('people', epsilon => 20);
SELECT dp_protect('others', epsilon => 20);
GRANT SELECT ON people, cities, others TO regress_trainer;

-- Declarations belong to the table's column that a view shows, whatever the view calls it.
SELECT dp_set_column('people', 'age', kind => 'category');
SELECT dp_set_column('people', 'salary', lower => '900', upper => '1100');
CREATE VIEW renamed AS SELECT salary AS age, age AS salary, sex FROM people;
CREATE VIEW computed AS SELECT salary + 0 AS salary FROM people;
CREATE VIEW nested AS SELECT age AS sex, sex AS age FROM renamed;
SELECT "column", kind, domain, source FROM dp_describe('people');
SELECT "column", kind, domain, source FROM dp_describe('renamed');
SELECT "column", kind, domain, source FROM dp_describe('nested');
SELECT "column", kind, domain, source FROM dp_describe('computed');
SELECT count(*) FILTER (WHERE step ~ 'learn') AS learnt, count(*) > 0 AS planned FROM dp_plan('renamed');
SELECT dp_train('renamed_1', 'renamed', columns => '{age,salary,sex}', epsilon => 1) > 0 AS trained;
SELECT min(age) >= 900 AND max(age) <= 1100 AS pay, min(salary) >= 0 AND max(salary) <= 9 AS age
FROM dp_synthesize('renamed_1', 300) AS t(age int, salary int);

-- What an administrator says of a table is about its own policies, not about whatever its owner puts over it.
CREATE VIEW multiplied AS SELECT s.age FROM people s, generate_series(1, 1000) g;
CREATE VIEW enriched AS SELECT p.age, c.city FROM people p JOIN cities c USING (sex);
SELECT dp_protect('enriched', budget => 'people', assert_stable => true);
SET SESSION AUTHORIZATION regress_admin;
SELECT dp_protect('people', budget => 'people', assert_stable => true);
SET SESSION AUTHORIZATION regress_owner;
SELECT dp_train('x', 'multiplied', epsilon => 0.1);
SELECT dp_train('x', 'enriched', epsilon => 0.1);
SET SESSION AUTHORIZATION regress_admin;
SELECT dp_protect('people', budget => 'people');

-- What is said of a view is said of its definition, and names the budget of the people in it.
SELECT dp_protect('enriched', epsilon => 1, assert_stable => true);
SELECT dp_protect('enriched', budget => 'others', assert_stable => true);
SELECT dp_protect('enriched', budget => 'people');
SELECT dp_protect('enriched', budget => 'people', assert_stable => true);
SET SESSION AUTHORIZATION regress_owner;
SELECT dp_train('enriched_1', 'enriched', epsilon => 1) > 0 AS trained;
SELECT count(*) > 300 AS enough FROM dp_synthesize('enriched_1') AS t(age int, city text) WHERE city IN ('Graz', 'Linz');
SELECT dp_train('x', 'multiplied', epsilon => 0.1);
SELECT name, relation, card->>'stability' AS stability, card->>'budget' AS budget FROM dp_models ORDER BY name;
SELECT model, budget, state FROM dp_ledger ORDER BY id;

-- Defined otherwise, it has to be looked at again: the view itself, one below it, a function that it calls.
CREATE OR REPLACE VIEW enriched AS SELECT p.age, c.city FROM people p CROSS JOIN cities c;
SELECT dp_train('x', 'enriched', epsilon => 0.1);
CREATE OR REPLACE VIEW enriched AS SELECT p.age, c.city FROM people p JOIN cities c USING (sex);
SELECT dp_train('enriched_2', 'enriched', epsilon => 0.1) > 0 AS the_same_again;
CREATE VIEW below AS SELECT age, sex FROM people WHERE random() < 2;
CREATE VIEW above AS SELECT age FROM below;
CREATE FUNCTION shifted(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 + 1; END';
CREATE VIEW calling AS SELECT shifted(age) AS age FROM people;
SET SESSION AUTHORIZATION regress_admin;
SELECT dp_protect('above', budget => 'people', assert_stable => true), dp_protect('calling', budget => 'people', assert_stable => true);
SET SESSION AUTHORIZATION regress_owner;
SELECT dp_train('above_1', 'above', epsilon => 0.1) > 0 AS above, dp_train('calling_1', 'calling', epsilon => 0.1) > 0 AS calling;
ALTER VIEW calling RENAME TO called;
SELECT dp_train('called_1', 'called', epsilon => 0.1) > 0 AS renamed;
CREATE OR REPLACE VIEW below AS SELECT p.age, p.sex FROM people p, generate_series(1, 2);
SELECT dp_train('x', 'above', epsilon => 0.1);
CREATE OR REPLACE FUNCTION shifted(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RAISE EXCEPTION ''%'', $1; END';
SELECT dp_train('x', 'called', epsilon => 0.1);
SELECT dp_protect('enriched', budget => 'people', assert_stable => false);
SELECT dp_protect('enriched', budget => 'people', assert_stable => false);
SELECT dp_train('x', 'enriched', epsilon => 0.1);
DROP VIEW called;
CREATE TABLE called (a int);
SELECT dp_protect('called', epsilon => 1); -- a table of that name has nothing to do with it

-- One protected relation, no more and no fewer.
CREATE VIEW two AS SELECT p.age, o.a FROM people p, others o;
CREATE VIEW none AS SELECT city FROM cities;
CREATE VIEW nothing AS SELECT 1 AS a;
SET SESSION AUTHORIZATION regress_admin;
SELECT dp_protect('two', budget => 'people', assert_stable => true);
SELECT dp_protect('none', budget => 'people', assert_stable => true);
SELECT dp_protect('nothing', budget => 'people', assert_stable => true);

-- Row security of a table, also below a view that was vouched for.
SET SESSION AUTHORIZATION regress_owner;
CREATE FUNCTION sees(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN true; END';
ALTER TABLE people ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON people USING (sees(age));
RESET SESSION AUTHORIZATION;
CREATE VIEW through AS SELECT age FROM people, generate_series(1, 1);
ALTER VIEW through OWNER TO regress_trainer;
SET SESSION AUTHORIZATION regress_admin;
SELECT dp_protect('through', budget => 'people', assert_stable => true);
SET SESSION AUTHORIZATION regress_trainer;
SELECT dp_train('x', 'people', columns => '{age}', epsilon => 0.1);
SELECT dp_train('x', 'through', epsilon => 0.1);
SET SESSION AUTHORIZATION regress_admin;
SELECT dp_protect('people', budget => 'people', assert_stable => true);
SET SESSION AUTHORIZATION regress_trainer;
SELECT dp_train('people_1', 'people', columns => '{age}', epsilon => 0.1) > 0 AS policies, dp_train('through_1', 'through', epsilon => 0.1) > 0 AS view;
SELECT name, card->>'stability' AS stability FROM dp_models WHERE name IN ('people_1', 'through_1') ORDER BY name;
RESET SESSION AUTHORIZATION;
SELECT action, object, detail->'view' AS view, detail->'assert_stable' AS asserted FROM dp_audit_log
WHERE action = 'protect' AND role = 'regress_admin' ORDER BY id;
DROP EXTENSION pg_mirage CASCADE;
DROP OWNED BY regress_owner, regress_trainer, regress_admin CASCADE;
DROP ROLE regress_owner, regress_trainer, regress_admin;
