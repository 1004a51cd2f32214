-- Models as foreign tables: options, rights, one fixed table in every plan, and rows that are passed over.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION pg_mirage;
CREATE TYPE mood AS ENUM ('sad', 'fine', 'glad');
CREATE DOMAIN percent AS smallint CHECK (VALUE BETWEEN 0 AND 100);
CREATE TABLE people (
  id bigint, age int NOT NULL CHECK (age BETWEEN 0 AND 99), sex text NOT NULL CHECK (sex IN ('F', 'M')), "Mood" mood,
  score percent, code char(3) CHECK (code IN ('a', 'bc', 'def')), price numeric(8,2) CHECK (price BETWEEN 0 AND 500),
  weight real CHECK (weight BETWEEN 0 AND 10), ratio numeric CHECK (ratio BETWEEN 0 AND 1), big bigint CHECK (big BETWEEN -1000000000000 AND 1000000000000),
  f float8 CHECK (f BETWEEN -5 AND 5), ok boolean, born date NOT NULL CHECK (born BETWEEN '1990-01-01' AND '2010-12-31'),
  seen timestamp CHECK (seen BETWEEN '2020-01-01' AND '2021-01-01'), shift time CHECK (shift BETWEEN '08:00' AND '20:00'),
  span interval CHECK (span BETWEEN '0' AND '1 year'), photo bytea);
INSERT INTO people SELECT i, i % 100, CASE WHEN i % 3 = 0 THEN 'F' ELSE 'M' END, (ARRAY['sad', 'fine', 'glad', NULL])[1 + i % 4]::mood,
  nullif(i % 101, 7), (ARRAY['a', 'bc', 'def'])[1 + i % 3], i % 500 + 0.25, (i % 100) / 10.0, (i % 77) / 77.0, (i - 500) * 1000000000::bigint,
  (i % 11) - 5, CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN false ELSE true END, date '1990-01-01' + i, timestamp '2020-01-01' + i * interval '7 hours',
  time '08:00' + (i % 700) * interval '1 minute', (i % 300) * interval '1 day', '\x00'
  FROM generate_series(1, 1000) i;
SELECT dp_protect('people', epsilon => 1000);
SELECT dp_set_column('people', 'id', kind => 'identifier'), dp_set_column('people', 'photo', kind => 'excluded');
SELECT dp_train('m', 'people', 'independent', epsilon => 50) > 0 AS trained;
-- rows that are held to constraints, and columns that follow others
CREATE TABLE stays (id int PRIMARY KEY, ward text NOT NULL CHECK (ward IN ('a', 'b', 'c', 'd', 'e', 'f')), wing text CHECK (wing IN ('east', 'west')),
  entered date NOT NULL CHECK (entered BETWEEN '2024-01-01' AND '2024-12-31'), gone date CHECK (gone BETWEEN '2024-01-01' AND '2024-12-31'),
  age int CHECK (age BETWEEN 0 AND 99), band int CHECK (band BETWEEN 0 AND 4), CHECK (entered <= gone), CHECK (ward <> 'a' OR wing = 'east'));
INSERT INTO stays SELECT i, chr(97 + i % 6), CASE WHEN i % 6 < 3 THEN 'east' ELSE 'west' END, date '2024-01-01' + i % 300,
  CASE WHEN i % 7 > 0 THEN date '2024-01-01' + i % 300 + i % 60 END, i % 97, i % 97 / 20 FROM generate_series(1, 2000) i;
SELECT dp_protect('stays', epsilon => 1000);
SELECT dp_set_column('stays', 'id', kind => 'identifier'), dp_set_column('stays', 'wing', depends_on => '{ward}'),
       dp_set_column('stays', 'band', depends_on => '{age}');
SELECT dp_train('s', 'stays', 'mst', epsilon => 100) > 0 AS trained;

-- servers and options
CREATE SERVER no FOREIGN DATA WRAPPER pg_mirage_fdw OPTIONS (host 'x');
CREATE SERVER models FOREIGN DATA WRAPPER pg_mirage_fdw;
CREATE USER MAPPING FOR CURRENT_USER SERVER models OPTIONS (password 'x');
CREATE FOREIGN TABLE t (age int) SERVER models;
CREATE FOREIGN TABLE t (age int) SERVER models OPTIONS (model '');
CREATE FOREIGN TABLE t (age int) SERVER models OPTIONS (model 'm', row '5');
CREATE FOREIGN TABLE t (age int) SERVER models OPTIONS (model 'm', rows '-1');
CREATE FOREIGN TABLE t (age int) SERVER models OPTIONS (model 'm', rows '5x');
CREATE FOREIGN TABLE t (age int) SERVER models OPTIONS (model 'm', rows '99999999999999999999');
CREATE FOREIGN TABLE t (age int) SERVER models OPTIONS (model 'm', seed 'one');
CREATE FOREIGN TABLE t (age int) SERVER models OPTIONS (model 'm', condition 'sex = F');
CREATE FOREIGN TABLE t (age int) SERVER models OPTIONS (model 'm', condition '["F"]');
CREATE FOREIGN TABLE t (age int OPTIONS (name 'x')) SERVER models OPTIONS (model 'm');
-- what only the model can say is said by a scan
CREATE FOREIGN TABLE t (age int, nothing text) SERVER models OPTIONS (model 'm', rows '20');
SELECT count(age) FROM t;
SELECT * FROM t;
ALTER FOREIGN TABLE t OPTIONS (SET model 'none');
SELECT * FROM t;
EXPLAIN (COSTS OFF) SELECT age FROM t;
ALTER FOREIGN TABLE t OPTIONS (SET model 'm', ADD condition '{"sexx": "F"}');
SELECT age FROM t;
ALTER FOREIGN TABLE t OPTIONS (SET condition '{"sex": "X"}');
SELECT age FROM t;
ALTER FOREIGN TABLE t OPTIONS (SET condition '{"age": [30, 39]}', ADD seed '-5');
SELECT count(*), bool_and(age BETWEEN 30 AND 39) AS within FROM t;
ALTER FOREIGN TABLE t DROP COLUMN nothing, ADD COLUMN years smallint OPTIONS (column_name 'age'), ADD COLUMN "Mood" text, ADD COLUMN p numeric(5,1) OPTIONS (column_name 'price');
SELECT bool_and(years = age) AS renamed, bool_and("Mood" IN ('sad', 'fine', 'glad')) AS cast, bool_and(scale(p) = 1) AS rounded FROM t;
SELECT count(*) FROM t WHERE years = 31 AND p > 100 AND "Mood" = 'sad' AND age <> 31;
ALTER FOREIGN TABLE t ALTER COLUMN years TYPE bytea;
SELECT years FROM t;
DROP FOREIGN TABLE t;
CREATE FOREIGN TABLE bare () SERVER models OPTIONS (model 'm', rows '12');
SELECT count(*) FROM bare;

-- IMPORT
CREATE SCHEMA f;
IMPORT FOREIGN SCHEMA models FROM SERVER models INTO f OPTIONS (row '5');
IMPORT FOREIGN SCHEMA models FROM SERVER models INTO f OPTIONS (rows 'x');
IMPORT FOREIGN SCHEMA models LIMIT TO (m, other) FROM SERVER models INTO f OPTIONS (rows '20000', seed '7');
IMPORT FOREIGN SCHEMA anything EXCEPT (m) FROM SERVER models INTO f OPTIONS (rows '17000', seed '-3');
\d f.m
\d f.s
CREATE TABLE m AS SELECT * FROM f.m;
CREATE TABLE s AS SELECT * FROM f.s;
-- the rows of a call with the same seed, all of them, in order
SELECT (SELECT count(*) FROM (TABLE m EXCEPT ALL SELECT * FROM dp_synthesize_as(NULL::people, 'm', 20000, seed => 7)) x) AS m,
       (SELECT count(*) FROM (TABLE s EXCEPT ALL SELECT * FROM dp_synthesize_as(NULL::stays, 's', 17000, seed => -3)) x) AS s;
SELECT bool_and(n = id) AS in_order FROM (SELECT id, row_number() OVER () AS n FROM f.m) x;

-- one table, however it is read
CREATE FUNCTION plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) ' || query;
END
$$;
SELECT count(*) FROM f.m a JOIN f.m b USING (id) WHERE (a.*)::text = (b.*)::text;
SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off;
SELECT count(*) > 0 AND count(*) = (SELECT count(*) FROM m a JOIN m b ON a.age = b.age AND b.id < 50 WHERE a.id < 3) AS nested
  FROM (SELECT * FROM f.m WHERE id <= 3) a JOIN f.m b ON a.age = b.age AND b.id < 50 JOIN m ON m.id = b.id WHERE m::text = b::text AND a.id < 3;
RESET enable_hashjoin; RESET enable_mergejoin; RESET enable_material;
SELECT count(*) > 0 AND count(*) = (SELECT count(*) FROM m, m g WHERE g.age = m.age AND g.price < 100 AND m.id < 4) AS rescans
  FROM m, LATERAL (SELECT * FROM f.m g WHERE g.age = m.age AND g.price < 100 OFFSET 0) g WHERE m.id < 4;
SELECT id, (SELECT count(*) FROM f.m g WHERE g.age = m.age AND g."Mood" = m."Mood") = (SELECT count(*) FROM m g WHERE g.age = m.age AND g."Mood" = m."Mood") AS same
  FROM m WHERE id < 6 ORDER BY id;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM f.m TABLESAMPLE SYSTEM (1)) x;
SELECT (SELECT age FROM f.m LIMIT 1) = age AS same, (SELECT array_agg(age) FROM (SELECT age FROM f.m OFFSET 100 LIMIT 10) x) =
  (SELECT array_agg(age) FROM (SELECT age FROM m WHERE id BETWEEN 101 AND 110 ORDER BY id) x) AS later FROM m WHERE id = 1;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id, age FROM f.m;
MOVE 20000 c;
FETCH PRIOR c \gset last_
FETCH FIRST c \gset first_
SELECT :last_id AS last, :first_id AS first, :last_age = (SELECT age FROM m WHERE id = 19999) AS same;
DECLARE h CURSOR WITH HOLD FOR SELECT id FROM f.m WHERE id < 4;
COMMIT;
FETCH ALL h;
CLOSE h;
SELECT tableoid::regclass FROM f.m LIMIT 1;
SELECT id FROM f.m FOR UPDATE LIMIT 1;
CREATE TABLE parent (LIKE s);
ALTER FOREIGN TABLE f.s INHERIT parent;
SELECT tableoid::regclass, count(*) = (SELECT count(*) FROM s WHERE ward = 'b') AS same FROM parent WHERE ward = 'b' GROUP BY 1;
ALTER FOREIGN TABLE f.s NO INHERIT parent;
-- beside a parallel plan
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
SELECT plan('SELECT count(*) FROM f.s JOIN (SELECT id, count(*) FROM m GROUP BY id) g USING (id)') ~ 'Parallel' AS parallel GROUP BY 1 ORDER BY 1 DESC LIMIT 1;
SELECT count(*) FROM f.s JOIN (SELECT id, count(*) FROM m GROUP BY id) g USING (id);
RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET min_parallel_table_scan_size;
-- nothing is written
INSERT INTO f.m (age) VALUES (1);
UPDATE f.m SET age = 1;
DELETE FROM f.m;
TRUNCATE f.m;
COPY f.m FROM stdin;
\.

-- a WHERE clause leaves the rows that it leaves of the whole table, each as it is; and it is used
CREATE FUNCTION try(tab text, predicates text[]) RETURNS TABLE (predicate text, used boolean, hits boolean) LANGUAGE plpgsql AS $$
DECLARE
  p text;
  wrong bigint;
  found bigint;
BEGIN
  FOREACH p IN ARRAY predicates LOOP
    EXECUTE format('WITH a AS MATERIALIZED (SELECT x::text AS r FROM f.%1$s x WHERE %2$s), b AS (SELECT x::text AS r FROM %1$s x WHERE %2$s) '
      'SELECT (SELECT count(*) FROM (TABLE a EXCEPT ALL TABLE b) y) + (SELECT count(*) FROM (TABLE b EXCEPT ALL TABLE a) y), '
      '(SELECT count(*) FROM a)', tab, p) INTO wrong, found;
    EXECUTE format('SELECT %s + abs(%s - (SELECT count(*) FROM f.%s x WHERE %s))', wrong, found, tab, p) INTO wrong;
    SELECT string_agg(l, ' ') ~ 'Skips Rows Without' INTO used FROM plan(format('SELECT * FROM f.%s x WHERE %s', tab, p)) l;
    predicate := p || CASE WHEN wrong > 0 THEN ' IS WRONG' ELSE '' END ;
    hits := found > 0;
    RETURN NEXT;
  END LOOP;
END
$$;
CREATE TABLE tried AS SELECT * FROM try('m', ARRAY[
  'age = 30', 'age < 3', 'age <= 3', '3 > age', 'age > 97', '97 < age', 'age >= 98', 'age BETWEEN 20 AND 22', 'age <> 30', 'age IN (1, 50, 98, NULL)',
  'age = ANY (ARRAY[3, 4]::bigint[])', 'age > ALL (ARRAY[3, 95])', 'age > ANY (ARRAY[98, 97, NULL])', 'age NOT IN (1, 2)', 'age < 2.5', 'age = 2.5', 'age::numeric = 3', 'age < 5 OR age > 95',
  'NOT (age > 4)', 'age < 5 AND age > 2', '(age < 5 OR age > 90) AND age <> 3 AND sex = ''F''', 'age = NULL', 'age + 0 = 5', 'age = id',
  'sex = ''F''', 'sex < ''G''', 'sex COLLATE "C" >= ''M''', 'sex LIKE ''F%''', 'sex IN (''F'', ''X'')', 'lower(sex) = ''f''', 'sex = ''X''',
  '"Mood" = ''sad''', '"Mood" > ''sad''', '"Mood" IS NULL', '"Mood" IS NOT NULL', '"Mood" IN (''fine'', ''glad'') OR "Mood" IS NULL', '"Mood" IS DISTINCT FROM ''sad''',
  'score = 5', 'score IS NULL', 'code = ''a''', 'code = ''bc ''', 'code > ''a''', 'price < 10', 'price = 3.25', 'price BETWEEN 99.99 AND 101', 'price > 499.5', 'price IS NULL OR price < 1', 'price = 250.255',
  'weight < 0.5', 'weight = 0.1::real', 'weight > 9.9', 'weight = 0.1', 'ratio < 0.01', 'ratio = 1', 'ratio = 0.5', 'ratio > 0.99', 'big = 0', 'big < -400000000000', 'big > 399000000000 AND big < 400000000001',
  'f < -4.5', 'f = 5', 'f > 4.999', 'f = ''NaN''', 'f < ''NaN''', 'f > ''-Infinity''', 'ok', 'NOT ok', 'ok IS TRUE', 'ok IS NOT TRUE', 'ok IS NULL', 'ok = false', 'ok IS UNKNOWN OR ok',
  'born = ''2000-01-01''', 'born < ''1990-03-01''', 'born < timestamp ''1990-02-01 12:00''', 'born >= ''infinity''', 'seen > ''2020-12-30''', 'seen < ''2020-01-02 03:04:05.678''', 'seen < date ''2020-01-03''', 'seen > now()',
  'shift < ''08:30''', 'shift >= ''19:59:30''', 'span < ''3 days''', 'span > ''11 months''', 'span = ''1 day''', 'id = 5', 'photo IS NULL', 'id < 100 AND age < 10', 'random() < 2 AND age = 3',
  'f > -5 AND f < -4 AND ok AND "Mood" = ''glad'' AND price > 400', 'x IS NOT NULL', 'x::text LIKE ''%glad%''', 'age = (SELECT 7)', 'age IN (SELECT 7)', 'age = length(sex) + 6']);
INSERT INTO tried SELECT * FROM try('s', ARRAY[
  'ward = ''a''', 'ward > ''e''', 'wing = ''west''', 'wing = ''west'' AND ward = ''d''', 'wing = ''west'' AND ward = ''a''', 'wing IS NULL', 'entered = ''2024-02-29''', 'entered > ''2024-10-20''',
  'gone IS NULL', 'gone < ''2024-01-10''', 'gone BETWEEN ''2024-05-01'' AND ''2024-05-03'' AND entered > ''2024-04-30''', 'gone < entered', 'age = 5', 'band = 4', 'band = 4 AND age < 80', 'band = 0 AND age IS NOT NULL AND age < 3',
  'band IS NULL', 'age IS NULL', 'band IN (1, 3) AND gone IS NULL AND wing = ''east''']);
SELECT predicate, used FROM tried;
SELECT count(*) FILTER (WHERE hits) > 70 AS some_rows, count(*) FILTER (WHERE NOT hits) > 10 AS none FROM tried;
-- constants that come late
PREPARE by_age(int, text) AS SELECT count(*) FROM f.m WHERE age = $1 AND sex = $2;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE by_age(5, 'F');
CREATE TEMP TABLE got (a bigint, b bigint);
DO $$
DECLARE n bigint;
BEGIN
  FOR i IN 1..5 LOOP
    EXECUTE format('EXECUTE by_age(%s, %L)', i, CASE WHEN i % 2 = 0 THEN 'F' ELSE 'M' END) INTO n;
    INSERT INTO got SELECT n, count(*) FROM m WHERE age = i AND sex = CASE WHEN i % 2 = 0 THEN 'F' ELSE 'M' END;
  END LOOP;
END
$$;
EXECUTE by_age(NULL, 'F');
RESET plan_cache_mode;
SELECT count(*), bool_and(a = b) AS same FROM got;
-- clauses that a barrier keeps back are not run early; what errs, errs as it would
CREATE VIEW barred WITH (security_barrier) AS SELECT * FROM f.m WHERE length(sex) = 1;
EXPLAIN (COSTS OFF) SELECT age FROM barred WHERE price = 3.25;
EXPLAIN (COSTS OFF) SELECT age FROM barred WHERE age = 3;
DROP VIEW barred;
SELECT count(*) FROM f.m WHERE age = 1 / (SELECT 0);

-- plans say what is made and what is passed over, and have an idea of how many rows there are
EXPLAIN (VERBOSE, COSTS OFF) SELECT sex FROM f.m WHERE age > 90 AND sex = 'F' AND lower(sex) = 'f';
EXPLAIN (COSTS OFF) SELECT count(*) FROM f.m;
CREATE FUNCTION estimate(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  plan json;
BEGIN
  EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
  RETURN plan->0->'Plan'->>'Plan Rows';
END
$$;
SELECT estimate('SELECT * FROM f.m') AS all, abs(estimate('SELECT * FROM f.m WHERE sex = ''F''') - (SELECT count(*) FROM m WHERE sex = 'F')) < 500 AS sex,
  abs(estimate('SELECT * FROM f.m WHERE age < 10') - (SELECT count(*) FROM m WHERE age < 10)) < 500 AS age, estimate('SELECT * FROM f.m WHERE age > 200') AS none,
  abs(estimate('SELECT * FROM f.m WHERE "Mood" IS NULL AND age >= 50') - (SELECT count(*) FROM m WHERE "Mood" IS NULL AND age >= 50)) < 500 AS two;
CREATE FUNCTION skipped(query text) RETURNS TABLE (rows text, blocks text) LANGUAGE plpgsql AS $$
DECLARE
  plan json;
BEGIN
  EXECUTE 'EXPLAIN (ANALYZE, FORMAT json) ' || query INTO plan;
  RETURN QUERY SELECT plan->0->'Plan'->>'Rows Skipped', plan->0->'Plan'->>'Blocks Skipped';
END
$$;
SELECT * FROM skipped('SELECT * FROM f.m WHERE age > 200');
SELECT rows::int BETWEEN 10000 AND 19999 AS many, blocks FROM skipped('SELECT * FROM f.m WHERE age = 5');
SELECT * FROM skipped('SELECT * FROM f.m');
-- ANALYZE: a sample, recorded; estimates then know what the model's marginals do not say
ANALYZE f.m;
SELECT attname, CASE WHEN n_distinct BETWEEN 0 AND 120 THEN n_distinct::text END AS values, null_frac > 0 AS nulls FROM pg_stats
  WHERE schemaname = 'f' AND attname IN ('sex', 'Mood', 'age', 'photo', 'id') ORDER BY 1;
SELECT reltuples, estimate('SELECT DISTINCT sex FROM f.m') AS sexes FROM pg_class WHERE oid = 'f.m'::regclass;

-- rights: SELECT on the table, and the model's own; those of a view's owner behind a view
CREATE ROLE regress_mirage_a; CREATE ROLE regress_mirage_b;
GRANT USAGE ON SCHEMA f TO regress_mirage_a, regress_mirage_b;
CREATE VIEW owned AS SELECT age FROM f.m;
CREATE VIEW lent AS SELECT age FROM f.m;
ALTER VIEW lent OWNER TO regress_mirage_b;
GRANT SELECT ON owned, lent TO regress_mirage_a;
SET ROLE regress_mirage_a;
CREATE SERVER mine FOREIGN DATA WRAPPER pg_mirage_fdw;
IMPORT FOREIGN SCHEMA models FROM SERVER models INTO f;
SELECT count(*) FROM f.m;
RESET ROLE;
GRANT SELECT ON f.m TO regress_mirage_a, regress_mirage_b;
SET ROLE regress_mirage_a;
SELECT count(*) FROM f.m;
EXPLAIN (COSTS OFF) SELECT count(*) FROM f.m WHERE age = 3;
SELECT estimate('SELECT * FROM f.m') AS option, estimate('SELECT * FROM f.m WHERE sex = ''F''') <> (SELECT 20000) AS guessed;
SELECT count(*) FROM owned;
SELECT count(*) FROM lent;
RESET ROLE;
SELECT dp_grant('m', 'regress_mirage_b');
SET ROLE regress_mirage_a;
SELECT count(*) FROM lent;
SELECT count(*) FROM f.m;
RESET ROLE;
-- figures of the model that no record tells of are not for who may have so many rows and no more
CREATE FOREIGN TABLE f.looked_at (age int, sex text) SERVER models OPTIONS (model 'm', rows '20000', purpose 'testing');
GRANT SELECT ON f.looked_at TO regress_mirage_a;
SELECT dp_grant('m', 'regress_mirage_a');
SET ROLE regress_mirage_a;
SELECT count(*) FROM f.m;
SELECT estimate('SELECT age FROM f.looked_at WHERE sex = ''F'' ') = estimate('SELECT age FROM f.looked_at WHERE sex = ''M'' ') AS nothing_told;
RESET ROLE;
-- a grant's limits hold for scans: purpose, columns, rows
SELECT dp_grant('m', 'regress_mirage_a', max_rows => 50000, purposes => '{testing}', columns => '{age,sex}');
SET ROLE regress_mirage_a;
SELECT count(age) FROM f.m;
RESET ROLE;
ALTER FOREIGN TABLE f.m OPTIONS (ADD purpose 'testing');
SET ROLE regress_mirage_a;
SELECT estimate('SELECT age FROM f.looked_at WHERE sex = ''F'' ') = estimate('SELECT age FROM f.looked_at WHERE sex = ''M'' ') AS nothing_told;
SELECT count(age) FROM f.m;
SELECT count(price) FROM f.m;
SELECT count(age) FROM f.m WHERE price < 5;
SELECT count(age) FROM f.m WHERE sex IN ('F', 'M');
SELECT count(age) FROM f.m;
RESET ROLE;
ALTER FOREIGN TABLE f.m OPTIONS (DROP purpose);
GRANT USAGE ON FOREIGN DATA WRAPPER pg_mirage_fdw TO regress_mirage_a;
GRANT CREATE ON SCHEMA public TO regress_mirage_a;
CREATE SCHEMA AUTHORIZATION regress_mirage_a;
SET ROLE regress_mirage_a;
CREATE SERVER mine FOREIGN DATA WRAPPER pg_mirage_fdw;
IMPORT FOREIGN SCHEMA models FROM SERVER mine INTO public OPTIONS (rows '5');
IMPORT FOREIGN SCHEMA models FROM SERVER mine INTO regress_mirage_a OPTIONS (rows '5', purpose 'testing');
\d regress_mirage_a.*
RESET ROLE;
DROP SERVER mine CASCADE;
DROP SCHEMA regress_mirage_a;
SELECT dp_grant('m', 'regress_mirage_a');
-- a table's owner without the model analyzes nothing
ALTER FOREIGN TABLE f.s OWNER TO regress_mirage_a;
ANALYZE f.s;
-- one record a node and execution: none of EXPLAIN, of nodes that are not reached, of rescans; its rows are what could have been read
SELECT max(id) AS since FROM mirage.issuance \gset
EXPLAIN (COSTS OFF) SELECT 1 FROM f.m WHERE false;
SELECT count(*) FROM m o WHERE id = 0 AND EXISTS (SELECT FROM f.m WHERE m.age > o.age OFFSET 0);
SELECT count(*) FROM f.m LIMIT 0;
SELECT count(*) FROM f.m;
SELECT id FROM f.m LIMIT 1;
SELECT count(*) FROM m, LATERAL (SELECT * FROM f.s WHERE s.age = m.age OFFSET 0) g WHERE m.id < 4 HAVING count(*) > 0 \gset ignored_
SELECT age FROM lent LIMIT 1 \gset ignored_
SELECT count(*) FROM f.m a, f.m b WHERE a.id = b.id AND a.id = 1;
EXPLAIN (COSTS OFF) SELECT 1 FROM f.m;
SELECT role_name, path, model_name, requested_rows, seeded, count(*) FROM mirage.issuance WHERE id > :since GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3;
-- a dropped model
SELECT dp_drop_model('s');
SELECT count(*) FROM f.s;
DROP VIEW owned, lent;
DROP SERVER models CASCADE;
DROP FUNCTION plan, try, estimate, skipped;
DROP TABLE people, stays, m, s, parent, got, tried;
DROP SCHEMA f;
DROP EXTENSION pg_mirage CASCADE;
DROP TYPE mood; DROP DOMAIN percent;
DROP OWNED BY regress_mirage_a, regress_mirage_b;
DROP ROLE regress_mirage_a, regress_mirage_b;
