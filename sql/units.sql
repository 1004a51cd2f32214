-- Privacy units of several rows: what may be one, how it is kept, what a training makes of it.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION pg_mirage;
-- 2,000 patients: half with one visit, half with ten
CREATE TABLE visits (visit bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, patient int NOT NULL,
  ward text NOT NULL CHECK (ward IN ('A', 'B', 'C')), days int NOT NULL CHECK (days BETWEEN 0 AND 30), note text,
  place point);
INSERT INTO visits (patient, ward, days, note)
SELECT p, chr(65 + (p + v) % 3), (p * v) % 31, 'n' || p % 4 FROM generate_series(1, 2000) p, generate_series(1, 10) v
WHERE v = 1 OR p % 2 = 0;
SELECT dp_set_column('visits', 'place', kind => 'excluded');
-- what may not be a unit
SELECT dp_protect('visits', epsilon => 100, unit => 'doctor');
SELECT dp_protect('visits', epsilon => 100, unit => 'ctid');
SELECT dp_protect('visits', epsilon => 100, unit => 'note');
ALTER TABLE visits ADD odd point NOT NULL DEFAULT '(0,0)';
SELECT dp_protect('visits', epsilon => 100, unit => 'odd');
ALTER TABLE visits DROP odd;
SELECT dp_protect('visits', epsilon => 100, unit => 'patient', max_rows_per_unit => 0);
SELECT dp_protect('visits', epsilon => 100, unit => 'patient', max_rows_per_unit => 8193);
SELECT dp_protect('visits', epsilon => 100, max_rows_per_unit => 2);
SELECT name FROM dp_budgets WHERE name = 'visits';
-- before the first charge the unit may still change
SELECT dp_protect('visits', epsilon => 1000, unit => 'visit');
SELECT dp_protect('visits', budget => 'visits', unit => 'patient', max_rows_per_unit => 3);
SELECT "column", kind, source FROM dp_describe('visits') ORDER BY 1;
SELECT name, unit FROM dp_budgets WHERE name = 'visits';
SELECT step, "column", count FROM dp_plan('visits', 'mst', 100) WHERE step LIKE 'unit%';
-- noise follows the limit
SELECT round((a.sigma / b.sigma)::numeric, 2) AS ratio
FROM dp_plan('visits', 'mst', 1) a, LATERAL (SELECT sqrt(1 / (2 * a.rho)) AS sigma) b
WHERE a.step = 'fine histogram' AND a."column" = 'days';
-- of each patient at most three rows: 1,000 + 3,000
SELECT dp_train('v3', 'visits', 'mst', epsilon => 100) > 0 AS trained;
SELECT abs(count(*) - 4000) < 100 AS bounded, count(DISTINCT patient) = count(*) AS fresh, count(note) > 0 AS noted,
       bool_and(place IS NULL) AS left_out
FROM dp_synthesize_as(NULL::visits, 'v3');
SELECT card->>'unit' AS unit, card->>'max_rows_per_unit' AS most, card->>'budget' AS budget FROM dp_models WHERE name = 'v3';
SELECT name, unit FROM dp_budgets WHERE name = 'visits';
-- from now on the unit stays; how many rows are used may change, and is kept where nothing is said
SELECT dp_protect('visits', budget => 'visits', unit => 'visit');
SELECT dp_protect('visits', budget => 'visits', unit => 'days');
SELECT dp_protect('visits', budget => 'visits', unit => 'patient', max_rows_per_unit => 1);
SELECT dp_train('v1', 'visits', 'independent', epsilon => 100, columns => '{ward}') > 0 AS trained;
SELECT abs(count(*) - 2000) < 100 AS bounded FROM dp_synthesize('v1') AS t(ward text);
SELECT dp_protect('visits', budget => 'visits', max_rows_per_unit => 5);
SELECT dp_protect('visits', budget => 'visits');
SELECT count FROM dp_plan('visits', 'mst', 1) WHERE step LIKE 'unit%';
SELECT detail->>'unit' AS unit, detail->>'max_rows_per_unit' AS most FROM dp_audit_log
WHERE action = 'protect' AND object = 'public.visits' ORDER BY id DESC LIMIT 1;
-- a renamed column is the same unit
ALTER TABLE visits RENAME patient TO person;
SELECT "column", count FROM dp_plan('visits', 'mst', 1) WHERE step LIKE 'unit%';
ALTER TABLE visits ALTER person DROP NOT NULL;
SELECT dp_train('v0', 'visits', 'mst', epsilon => 1);
ALTER TABLE visits ALTER person SET NOT NULL;
-- asked for, the unit's column is learnt like any other
SELECT dp_set_column('visits', 'person', kind => 'number');
SELECT kind, source FROM dp_describe('visits') WHERE "column" = 'person';
SELECT dp_set_column('visits', 'person', kind => 'identifier');
-- the same people in a second table: one budget, which adds up; integers of any width are one kind
CREATE TABLE bills (who bigint NOT NULL, paid boolean NOT NULL);
INSERT INTO bills SELECT p, p % 3 = 0 FROM generate_series(1, 2000) p, generate_series(1, 4);
SELECT dp_protect('bills', budget => 'visits');
CREATE TABLE letters (who text NOT NULL, read boolean NOT NULL);
SELECT dp_protect('letters', budget => 'visits', unit => 'who');
SELECT dp_protect('bills', budget => 'visits', unit => 'who', max_rows_per_unit => 2);
SELECT used AS before FROM dp_budgets WHERE name = 'visits' \gset
SELECT dp_train('b', 'bills', 'mst', epsilon => 100) > 0 AS trained;
SELECT used > :before AS adds_up, protected_tables FROM dp_budgets WHERE name = 'visits';
SELECT abs(count(*) - 4000) < 100 AS bounded FROM dp_synthesize_as(NULL::bills, 'b');
-- and what was charged for rows is not charged for people
CREATE TABLE plain (x int NOT NULL CHECK (x BETWEEN 0 AND 9), who int NOT NULL);
INSERT INTO plain SELECT i % 10, i % 100 FROM generate_series(1, 1000) i;
SELECT dp_protect('plain', epsilon => 1000);
SELECT dp_train('p', 'plain', 'independent', epsilon => 10, columns => '{x}') > 0 AS trained;
SELECT name, unit FROM dp_budgets WHERE name = 'plain';
SELECT dp_protect('plain', budget => 'plain', unit => 'who');
SELECT dp_protect('plain', budget => 'visits', unit => 'who');
-- views: the unit must show, under any name
CREATE VIEW short_stays AS SELECT person AS whose, ward, days FROM visits WHERE days < 31;
CREATE VIEW anonymous AS SELECT ward, days FROM visits;
CREATE VIEW coarse AS SELECT person / 10 AS person, ward FROM visits;
SELECT step, "column", count FROM dp_plan('short_stays', 'mst', 1) WHERE step LIKE 'unit%';
SELECT dp_train('w', 'short_stays', 'mst', epsilon => 50) > 0 AS trained;
SELECT abs(count(*) - 6000) < 200 AS bounded FROM dp_synthesize_as(NULL::short_stays, 'w');
SELECT dp_train('w2', 'anonymous', 'mst', epsilon => 1);
SELECT dp_train('w2', 'coarse', 'mst', epsilon => 1);
-- a view that was vouched for has its table's unit, too
CREATE TABLE wards (ward text PRIMARY KEY, floor int NOT NULL CHECK (floor BETWEEN 0 AND 9));
INSERT INTO wards VALUES ('A', 1), ('B', 2), ('C', 3);
CREATE VIEW on_floors AS SELECT v.person, v.days, w.floor FROM visits v JOIN wards w USING (ward);
SELECT dp_protect('on_floors', budget => 'visits', assert_stable => true, unit => 'floor');
SELECT dp_protect('on_floors', budget => 'visits', assert_stable => true);
SELECT dp_train('f', 'on_floors', 'mst', epsilon => 50) > 0 AS trained;
SELECT abs(count(*) - 6000) < 200 AS bounded FROM dp_synthesize_as(NULL::on_floors, 'f');
-- partitions carry the unit of what they are part of
CREATE TABLE stays (person int NOT NULL, year int NOT NULL CHECK (year BETWEEN 2000 AND 2020)) PARTITION BY RANGE (year);
CREATE TABLE stays_1 PARTITION OF stays FOR VALUES FROM (2000) TO (2010);
CREATE TABLE stays_2 PARTITION OF stays FOR VALUES FROM (2010) TO (2021);
INSERT INTO stays SELECT p, 2000 + y FROM generate_series(1, 2000) p, generate_series(0, 20) y;
SELECT dp_protect('stays', epsilon => 1000, unit => 'person', max_rows_per_unit => 2);
SELECT dp_protect('stays_1', budget => 'stays', unit => 'year');
SELECT dp_protect('stays', budget => 'stays', unit => 'person', max_rows_per_unit => 2);
SELECT "column", count FROM dp_plan('stays_1', 'mst', 1) WHERE step LIKE 'unit%';
SELECT dp_protect('stays_2', epsilon => 1, unit => 'person');
SELECT dp_train('s', 'stays', 'mst', epsilon => 100) > 0 AS trained;
SELECT dp_train('s1', 'stays_1', 'independent', epsilon => 100) > 0 AS trained;
SELECT abs(count(*) - 4000) < 100 AS whole FROM dp_synthesize_as(NULL::stays, 's');
SELECT abs(count(*) - 4000) < 100 AS part FROM dp_synthesize_as(NULL::stays_1, 's1');
SELECT dp_protect('stays_1', budget => 'stays', unit => 'year');
CREATE ROLE regress_unit_child;
ALTER TABLE stays_1 OWNER TO regress_unit_child;
SET ROLE regress_unit_child;
SELECT dp_protect('stays_1', budget => 'stays', unit => 'person', max_rows_per_unit => 9);
RESET ROLE;
-- one that leaves keeps it
ALTER TABLE stays DETACH PARTITION stays_2;
SELECT "column", count FROM dp_plan('stays_2', 'mst', 1) WHERE step LIKE 'unit%';
-- those that come together must agree
CREATE TABLE first_kind (a int NOT NULL, b int NOT NULL);
CREATE TABLE second_kind (a int NOT NULL, b int NOT NULL);
SELECT dp_create_budget('mixed', 10);
SELECT dp_protect('first_kind', budget => 'mixed', unit => 'a'), dp_protect('second_kind', budget => 'mixed', unit => 'b');
ALTER TABLE second_kind INHERIT first_kind;
SELECT * FROM dp_plan('first_kind', 'mst', 1);
SELECT dp_protect('second_kind', budget => 'mixed', unit => 'a', max_rows_per_unit => 2);
SELECT "column", count FROM dp_plan('first_kind', 'mst', 1) WHERE step LIKE 'unit%';
-- whose each row is must be readable
CREATE ROLE regress_unit_trainer IN ROLE mirage_trainer;
GRANT SELECT (ward, days) ON visits TO regress_unit_trainer;
SET ROLE regress_unit_trainer;
SELECT dp_train('t', 'visits', 'independent', epsilon => 1, columns => '{ward}');
RESET ROLE;
GRANT SELECT (person) ON visits TO regress_unit_trainer;
SET ROLE regress_unit_trainer;
SELECT dp_train('t', 'visits', 'independent', epsilon => 1, columns => '{ward}') > 0 AS trained;
RESET ROLE;
-- units by the type's own equality: each of these has 1,500 units of two spellings
CREATE TABLE spelt (n numeric NOT NULL, i interval NOT NULL, f float8 NOT NULL, c char(12) NOT NULL,
  b bytea NOT NULL, x boolean NOT NULL);
INSERT INTO spelt SELECT CASE s WHEN 0 THEN u::numeric ELSE (u || '.000')::numeric END,
  CASE s WHEN 0 THEN make_interval(days => u) ELSE make_interval(hours => 24 * u) END,
  CASE WHEN u > 1 THEN u WHEN s = 0 THEN '-0'::float8 ELSE 0 END, 'u' || u || repeat(' ', s),
  u::text::bytea, u % 2 = 0
FROM generate_series(1, 1500) u, generate_series(0, 1) s;
SELECT dp_protect('spelt', epsilon => 5000, unit => 'n');
SELECT dp_train('spelt_n', 'spelt', 'independent', epsilon => 100, columns => '{x}') > 0 AS trained;
SELECT abs(count(*) - 1500) < 60 AS numerics FROM dp_synthesize('spelt_n') AS t(x boolean);
CREATE FUNCTION units_of(col name) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE spelt_%I AS SELECT %I AS who, x FROM spelt', col, col);
  EXECUTE format('ALTER TABLE spelt_%I ALTER who SET NOT NULL, ALTER x SET NOT NULL', col);
  PERFORM dp_protect(format('spelt_%I', col)::regclass, epsilon => 1000, unit => 'who');
  RETURN 0;
END $$;
SELECT units_of('i'), units_of('f'), units_of('c'), units_of('b');
SELECT dp_train('si', 'spelt_i', 'independent', epsilon => 100, columns => '{x}') > 0
   AND dp_train('sf', 'spelt_f', 'independent', epsilon => 100, columns => '{x}') > 0
   AND dp_train('sc', 'spelt_c', 'independent', epsilon => 100, columns => '{x}') > 0
   AND dp_train('sb', 'spelt_b', 'independent', epsilon => 100, columns => '{x}') > 0 AS trained;
SELECT m, abs(n - 1500) < 60 AS units FROM (VALUES
  ('interval', (SELECT count(*) FROM dp_synthesize('si') AS t(x boolean))),
  ('float8', (SELECT count(*) FROM dp_synthesize('sf') AS t(x boolean))),
  ('char', (SELECT count(*) FROM dp_synthesize('sc') AS t(x boolean))),
  ('bytea', (SELECT count(*) FROM dp_synthesize('sb') AS t(x boolean)))) AS v(m, n);
SELECT unit, count(*) FROM dp_budgets WHERE name LIKE 'spelt%' GROUP BY 1 ORDER BY 1;
DROP EXTENSION pg_mirage CASCADE;
DROP VIEW on_floors, short_stays, anonymous, coarse;
DROP TABLE visits, bills, letters, plain, wards, stays, stays_2, second_kind, first_kind, spelt, spelt_i, spelt_f, spelt_c,
  spelt_b;
DROP FUNCTION units_of;
DROP OWNED BY regress_unit_child, regress_unit_trainer;
DROP ROLE regress_unit_child, regress_unit_trainer;
