-- The watermark: rows are marked by default, and dp_trace finds the model and the recipient again. What is found is
-- chance in its figures and certain in its order of magnitude: results are compared with bounds.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION pg_mirage;
CREATE ROLE regress_wm_trainer;
CREATE ROLE regress_wm_reader;
CREATE ROLE regress_wm_auditor IN ROLE mirage_auditor;
CREATE ROLE regress_wm_admin IN ROLE mirage_admin;
GRANT CREATE ON SCHEMA public TO regress_wm_trainer, regress_wm_auditor;
CREATE TYPE wm_size AS ENUM ('s', 'm', 'l', 'xl');
CREATE TABLE people (
  id bigint, age smallint NOT NULL CHECK (age BETWEEN 0 AND 99), sex text NOT NULL CHECK (sex IN ('F', 'M')),
  city text CHECK (city IN ('Graz', 'Linz', 'Wien', 'Bozen', 'Brno', 'Cluj', 'Como', 'Gent')),
  size wm_size, price numeric(8,2) CHECK (price BETWEEN 0 AND 5000), member boolean NOT NULL,
  born date NOT NULL CHECK (born BETWEEN '1920-01-01' AND '2020-12-31'),
  seen timestamptz NOT NULL CHECK (seen BETWEEN '2020-01-01 00:00+00' AND '2024-01-01 00:00+00'),
  score double precision CHECK (score BETWEEN -10 AND 10), visits int NOT NULL CHECK (visits BETWEEN 0 AND 40));
ALTER TABLE people OWNER TO regress_wm_trainer;
INSERT INTO people SELECT i, abs(hashint4(i)) % 100, CASE WHEN hashint4(i * 3) % 5 < 2 THEN 'F' ELSE 'M' END,
  (ARRAY['Graz', 'Linz', 'Wien', 'Bozen', 'Brno', 'Cluj', 'Como', 'Gent', NULL])[1 + abs(hashint4(i * 5)) % 9],
  (ARRAY['s', 'm', 'l', 'xl', NULL])[1 + abs(hashint4(i * 7)) % 5]::wm_size,
  CASE WHEN i % 11 > 0 THEN abs(hashint4(i * 11)) % 500000 / 100.0 END, hashint4(i * 13) > 0,
  date '1920-01-01' + abs(hashint4(i * 17)) % 36500,
  timestamptz '2020-01-01 00:00+00' + abs(hashint4(i * 19)) % 126000000 * interval '1 second',
  (hashint4(i * 23) % 10000) / 1000.0, abs(hashint4(i * 29)) % 41
  FROM generate_series(1, 4000) i;
SET ROLE regress_wm_trainer;
SELECT dp_protect('people', epsilon => 200);
SELECT dp_set_column('people', 'id', kind => 'identifier');
SELECT dp_train('m', 'people', 'mst', epsilon => 20) > 0 AS trained;
SELECT dp_train('other', 'people', 'independent', epsilon => 20) > 0 AS trained;
SELECT name, card -> 'watermark' AS watermark FROM dp_models ORDER BY name;
RESET ROLE;
-- one plan a model, sealed; neither readable nor changeable by anybody
SELECT model, model_name, carries, length(sealed) > 1000 AS sealed FROM mirage.mark_plan ORDER BY model;
UPDATE mirage.mark_plan SET sealed = '' WHERE model = 1;
DELETE FROM mirage.mark_switch;
TRUNCATE mirage.mark_plan;
SET ROLE regress_wm_auditor;
SELECT count(*) FROM mirage.mark_plan;
RESET ROLE;

-- all three ways by which rows leave, and conditions
CREATE TABLE typed AS SELECT * FROM dp_synthesize_as(NULL::people, 'm', 5000);
CREATE TABLE records AS SELECT (r).* FROM (SELECT x::people AS r FROM (SELECT dp_synthesize_as(NULL::people, 'm', 2000) x OFFSET 0) y) z;
CREATE TABLE listed AS SELECT * FROM dp_synthesize('m', 2000)
  AS t(visits int, city varchar(10), age numeric, size text, born timestamp, seen timestamptz, price float8);
CREATE TABLE given AS SELECT * FROM dp_synthesize_as(NULL::people, 'm', 2000, '{"sex": "F", "age": [20, 59]}');
CREATE TABLE json AS SELECT row_to_json(r) AS row FROM (SELECT dp_synthesize('m', 2000) AS r) x;
CREATE TABLE foreign_rows AS SELECT * FROM dp_synthesize_as(NULL::people, 'other', 2000);
SELECT count(*) AS issuances, count(watermark) AS marked, count(DISTINCT watermark) AS keys,
  bool_and(watermark ~ '^[0-9a-f]{16}$') AS ids FROM mirage.issuance;
CREATE FUNCTION found(query text, of_model text DEFAULT NULL, mapping jsonb DEFAULT NULL,
                      OUT model text, OUT recipient text, OUT certain boolean) RETURNS SETOF record LANGUAGE sql
AS $$ SELECT model, recipient, p_value < 1e-6 FROM dp_trace(query, of_model, mapping) WITH ORDINALITY ORDER BY ordinality $$;
SELECT * FROM found('SELECT * FROM typed');
SELECT * FROM found('SELECT * FROM records');
SELECT * FROM found('SELECT * FROM listed');
SELECT * FROM found('SELECT * FROM given');
SELECT * FROM found('SELECT p.* FROM json, json_populate_record(NULL::people, row) p', 'm');
SELECT * FROM found('SELECT * FROM foreign_rows');
-- real rows, no rows, and one column: nothing
SELECT * FROM found('SELECT * FROM people') WHERE recipient IS NULL ORDER BY model;
SELECT model, recipient, features, score, p_value FROM dp_trace('SELECT * FROM typed WHERE false', 'm');
SELECT * FROM found('TABLE typed', 'm');
SELECT * FROM found($$VALUES ('F', 'Graz'), ('M', 'Wien')$$, 'm', '{"column1": "sex", "column2": "city"}') WHERE recipient IS NULL;

-- renamed, reordered, dropped, further columns; a part of the rows, mixed with real ones
SELECT * FROM found('SELECT 1 AS further, born AS b, city AS c, visits, seen, price, size FROM typed LIMIT 4000', 'm',
  '{"b": "born", "c": "city"}') WHERE recipient IS NULL;
SELECT * FROM found('SELECT age, born, city, size, price, visits FROM typed', 'm') WHERE recipient IS NULL;
SELECT * FROM found('SELECT * FROM typed UNION ALL SELECT * FROM people WHERE id <= 2000', 'm') WHERE recipient IS NULL;
SELECT * FROM found('SELECT city, size, round(age, -1) AS age, round(price, -2) AS price, born, seen, visits, round(score) AS score FROM typed', 'm')
  WHERE recipient IS NULL;

-- as it comes from a CSV: all texts, '' for NULL
CREATE TABLE csv AS SELECT age::text, sex, coalesce(city, '') AS city, coalesce(size::text, '') AS size,
  coalesce(price::text, '') AS price, member::text, born::text, seen::text, coalesce(score::text, '') AS score,
  visits::text FROM typed;
SELECT (SELECT array_agg((features, round(score::numeric, 6)) ORDER BY recipient NULLS FIRST) FROM dp_trace('SELECT * FROM csv', 'm')) =
  (SELECT array_agg((features, round(score::numeric, 6)) ORDER BY recipient NULLS FIRST) FROM dp_trace('SELECT * FROM typed', 'm')) AS same;
-- other types of the same values
SELECT (SELECT array_agg((features, round(score::numeric, 6)) ORDER BY recipient NULLS FIRST) FROM dp_trace(
    'SELECT age::numeric, sex::char(3), city::varchar, size::text, price::float8, member::int, born::timestamp, seen::text, score::text, visits::bigint FROM typed', 'm')) =
  (SELECT array_agg((features, round(score::numeric, 6)) ORDER BY recipient NULLS FIRST) FROM dp_trace('SELECT * FROM typed', 'm')) AS same;
-- what cannot be read counts as missing
SELECT count(*) > 0 AS traced, bool_and(features = 0) AS nothing
  FROM dp_trace($$SELECT 'young' AS age, 'x' AS price, '31.31.31' AS born, '' AS seen, 'NaN' AS visits, point(1, 2) AS score,
    '{1}'::int[] AS member FROM typed$$, 'm');
SELECT * FROM found($$SELECT *, 'often' AS v, 'never' AS w FROM (SELECT city, size, price, visits, age FROM typed) t
  UNION ALL SELECT 'Atlantis', NULL, 'Infinity', NULL, NULL, '', '' FROM generate_series(1, 100)$$, 'm') WHERE recipient IS NULL;

-- every type, as a number and as a category: by its own values and by texts, whatever the session's settings
CREATE FUNCTION skewed(i int, n int) RETURNS int LANGUAGE sql AS 'SELECT 1 + (n * (abs(hashint4(i)) % 1000 / 1000.0) ^ 3)::int % n';
CREATE TABLE kinds AS SELECT skewed(i, 4) - 1 AS icat, (ARRAY[0.5, 1.25, 100, -3])[skewed(i * 3, 4)]::numeric AS ncat,
  date '2019-12-31' + skewed(i * 5, 3) AS dcat, (ARRAY['10:00', '11:30', '23:59:59'])[skewed(i * 7, 3)]::time AS tcat,
  ('00000000-0000-0000-0000-00000000000' || skewed(i * 11, 4) - 1)::uuid AS u, hashint4(i * 13) % 20 = 0 AS b,
  (ARRAY['ab', 'abc', 'x', NULL])[skewed(i * 17, 4)]::char(4) AS c, abs(hashint4(i * 19)) % 86400 * interval '1 second' AS iv,
  time '00:00' + abs(hashint4(i * 23)) % 86400 * interval '1 second' AS t,
  timestamp '2020-01-01' + abs(hashint4(i * 29)) % 1000 * interval '1 hour' AS ts,
  timestamptz '2020-01-01 00:00+00' + abs(hashint4(i * 31)) % 1000 * interval '1 hour' AS tz,
  (hashint4(i * 37) % 1000 / 8.0)::real AS r, (hashint4(i * 41) % 100000)::bigint AS l,
  (ARRAY[0.5, 2.25, -1e10])[skewed(i * 43, 3)]::float8 AS fcat FROM generate_series(1, 3000) i;
SELECT dp_protect('kinds', epsilon => 100);
SELECT count(dp_set_column('kinds', c, 'category', categories => k)) FROM (VALUES ('icat', ARRAY['0', '1', '2', '3']),
  ('ncat', ARRAY['0.5', '1.25', '100', '-3']), ('dcat', ARRAY['2020-01-01', '2020-01-02', '2020-01-03']),
  ('tcat', ARRAY['10:00', '11:30', '23:59:59']), ('fcat', ARRAY['0.5', '2.25', '-1e10']),
  ('u', ARRAY['00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000001',
   '00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000003'])) x(c, k);
SELECT count(dp_set_column('kinds', c, lower => l, upper => u)) FROM (VALUES ('iv', '0', '1 day'), ('t', '00:00', '23:59:59'),
  ('ts', '2020-01-01', '2020-03-01'), ('tz', '2020-01-01 00:00+00', '2020-03-01 00:00+00'), ('r', '-130', '130'), ('l', '-100000', '100000')) x(c, l, u);
SELECT dp_train('kinds', 'kinds', 'independent', epsilon => 50) > 0 AS trained;
CREATE TABLE k AS SELECT * FROM dp_synthesize_as(NULL::kinds, 'kinds', 2000);
CREATE FUNCTION figures(query text) RETURNS text LANGUAGE sql AS
$$ SELECT string_agg(concat_ws(' ', recipient, features, round(score::numeric, 6)), ', ' ORDER BY recipient NULLS FIRST) FROM dp_trace(query, 'kinds') $$;
SELECT * FROM found('SELECT * FROM k', 'kinds');
CREATE FUNCTION with_one(col text, as_what text) RETURNS text LANGUAGE sql AS
$$ SELECT figures(format('SELECT %s FROM k', string_agg(CASE WHEN attname = col THEN as_what ELSE attname END, ', ')))
   FROM pg_attribute WHERE attrelid = 'k'::regclass AND attnum > 0 $$;
SELECT string_agg(format('SELECT %1$L AS col, with_one(%1$L, %2$L) = with_one(%1$L, %3$L) AS same, with_one(%1$L, %2$L) <> with_one(%1$L, %4$L) AS matters',
    attname, attname, attname || '::text', $$'none' AS $$ || attname), ' UNION ALL ' ORDER BY attnum) AS each
  FROM pg_attribute WHERE attrelid = 'k'::regclass AND attnum > 0 \gset
:each;
SET TimeZone = 'Asia/Tokyo';
SET DateStyle = 'German';
SET IntervalStyle = 'iso_8601';
:each;
SELECT figures('SELECT icat::float8, ncat::float8, dcat::timestamp, b::int, c::text, iv, t, ts::text, tz::timestamp, r::float8, l::float8, fcat::numeric, u FROM k') =
  figures('SELECT icat, ncat, dcat, b, c, iv, t, ts, tz, r, l, fcat, u FROM k') AS same;
SELECT figures($$SELECT ' ' || icat || '.0 ' AS icat, CASE b WHEN true THEN 'yes' WHEN false THEN '0' END AS b, c || '  ' AS c, upper(u::text) AS u, l || 'e0' AS l,
  iv, t, ts, tz, r, fcat, ncat, dcat, tcat FROM k$$) = figures('SELECT * FROM k') AS same;
RESET TimeZone;
RESET DateStyle;
RESET IntervalStyle;

-- queries that are none
SELECT * FROM dp_trace(NULL);
SELECT * FROM dp_trace('');
SELECT * FROM dp_trace('SELEKT');
SELECT * FROM dp_trace('SELECT 1; SELECT 2');
SELECT * FROM dp_trace('INSERT INTO typed SELECT * FROM typed RETURNING *');
SELECT * FROM dp_trace('WITH d AS (DELETE FROM typed RETURNING *) SELECT * FROM d');
SELECT * FROM dp_trace('SELECT * INTO nowhere FROM typed');
SELECT * FROM dp_trace('SELECT * FROM typed FOR UPDATE');
SELECT * FROM dp_trace('EXPLAIN SELECT * FROM typed');
SELECT * FROM dp_trace('COPY typed TO STDOUT');
SELECT * FROM dp_trace('SELECT * FROM typed WHERE age = $1');
SELECT * FROM dp_trace('SELECT 1 / (age - age) AS age, sex FROM typed');
CREATE FUNCTION writes() RETURNS smallint LANGUAGE sql AS 'INSERT INTO typed SELECT * FROM typed LIMIT 1; SELECT 1::smallint';
SELECT * FROM dp_trace('SELECT writes() AS age, sex FROM typed');
SHOW transaction_read_only;
SELECT count(*) FROM typed;
-- columns that are none
SELECT * FROM dp_trace('SELECT age FROM typed', 'm');
SELECT * FROM dp_trace('SELECT 1 AS a, 2 AS b');
SELECT * FROM dp_trace('SELECT * FROM typed a, typed b', 'm');
SELECT * FROM dp_trace('SELECT * FROM typed', 'm', '{"nowhere": "age"}');
SELECT * FROM dp_trace('SELECT *, 1 AS extra FROM typed', 'm', '{"extra": "nothing"}');
SELECT * FROM dp_trace('SELECT * FROM typed', 'm', '["age"]');
SELECT * FROM dp_trace('SELECT * FROM typed', 'm', '{"age": 1}');
SELECT * FROM dp_trace('SELECT *, 1 AS extra FROM typed', 'm', '{"extra": "age"}');
SELECT * FROM dp_trace('SELECT * FROM typed', 'nobody');

-- rights: who traces, and as whom the query runs
SET ROLE regress_wm_reader;
SELECT * FROM dp_trace('SELECT 1 AS age, 2 AS sex');
SELECT dp_set_model('m', watermark => false);
SET ROLE regress_wm_trainer;
SELECT * FROM dp_trace('SELECT * FROM people');
SELECT dp_set_model('m', watermark => false);
SET ROLE regress_wm_auditor;
SELECT * FROM dp_trace('SELECT * FROM typed');
SELECT dp_set_model('m', watermark => false);
RESET ROLE;
GRANT EXECUTE ON FUNCTION dp_trace(text, text, jsonb), dp_set_model(text, boolean) TO regress_wm_reader, regress_wm_auditor;
SET ROLE regress_wm_reader;
SELECT * FROM dp_trace('SELECT 1 AS age, 2 AS sex');
SELECT dp_set_model('m', watermark => false);
SET ROLE regress_wm_auditor;
SELECT dp_set_model('m', watermark => false);
RESET ROLE;
GRANT SELECT ON typed TO regress_wm_auditor;
SET ROLE regress_wm_auditor;
SELECT * FROM public.found('SELECT * FROM typed', 'm');
BEGIN READ ONLY;
SELECT count(*) FROM dp_trace('SELECT * FROM typed', 'm');
ROLLBACK;
RESET ROLE;
-- each trace is in the log, also of a transaction that was rolled back
SELECT role, object, detail FROM dp_audit_log WHERE action = 'trace' AND role = 'regress_wm_auditor' ORDER BY id;
SELECT count(*) FROM dp_audit_log WHERE action = 'trace' AND detail::text ~ 'typed|SELECT|Graz';

-- off and on again
SET ROLE regress_wm_admin;
SELECT dp_set_model('m');
SELECT dp_set_model('nobody', watermark => false);
SELECT dp_set_model(NULL, watermark => false);
SELECT dp_set_model('m', watermark => false);
RESET ROLE;
SELECT card -> 'watermark' -> 'marked' AS marked, card -> 'watermark' -> 'switched_by' AS by,
  card -> 'watermark' ? 'switched_at' AS at FROM dp_models WHERE name = 'm';
CREATE TABLE bare AS SELECT * FROM dp_synthesize_as(NULL::people, 'm', 2000);
SELECT * FROM found('SELECT * FROM bare', 'm') WHERE recipient IS NULL;
SELECT watermark IS NULL AS unmarked FROM mirage.issuance ORDER BY id DESC LIMIT 1;
SET ROLE regress_wm_admin;
SELECT dp_set_model('m', watermark => true);
RESET ROLE;
CREATE TABLE again AS SELECT * FROM dp_synthesize_as(NULL::people, 'm', 2000);
SELECT * FROM found('SELECT * FROM again', 'm');
SELECT role, object, detail FROM dp_audit_log WHERE action = 'set model' ORDER BY id;
-- a switch that nobody can see yet moves no row
BEGIN;
SELECT dp_set_model('m', watermark => false);
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 5);
ROLLBACK;
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 5);
-- a seed repeats the same marked rows, and the mark does not move a column's own distribution in a batch
CREATE TABLE s1 AS SELECT * FROM dp_synthesize_as(NULL::people, 'm', 3000, seed => 5);
CREATE TABLE s2 AS SELECT * FROM dp_synthesize_as(NULL::people, 'm', 3000, seed => 5);
SELECT count(*) AS differ FROM (TABLE s1 EXCEPT ALL TABLE s2) x;
CREATE TABLE s3 AS SELECT age, city FROM dp_synthesize_as(NULL::people, 'm', 3000, seed => 5);
SELECT count(*) AS differ FROM (SELECT age, city FROM s1 EXCEPT ALL TABLE s3) x;

-- one column cannot carry a mark
CREATE TABLE narrow AS SELECT i % 7 = 0 AS a FROM generate_series(1, 100) i;
SELECT dp_protect('narrow', epsilon => 10);
SELECT dp_train('narrow', 'narrow', epsilon => 1) > 0 AS trained;
SELECT card -> 'watermark' AS watermark FROM dp_models WHERE name = 'narrow';
SELECT count(*) FROM dp_synthesize('narrow', 10) AS t(a boolean);
SELECT watermark IS NULL AS unmarked FROM mirage.issuance ORDER BY id DESC LIMIT 1;
SELECT * FROM dp_trace('SELECT true AS a', 'narrow');
SET client_min_messages = notice;
SELECT dp_set_model('narrow', watermark => true);
SET client_min_messages = warning;
SELECT card -> 'watermark' -> 'marked' AS marked FROM dp_models WHERE name = 'narrow';

-- a model of before there were marks says what to do
CREATE TABLE kept AS SELECT * FROM mirage.mark_plan WHERE model_name = 'other';
ALTER TABLE mirage.mark_plan DISABLE TRIGGER refuse_change;
DELETE FROM mirage.mark_plan WHERE model_name = 'other';
ALTER TABLE mirage.mark_plan ENABLE ALWAYS TRIGGER refuse_change;
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'other', 5);
SELECT dp_set_model('other', watermark => false);
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'other', 5);
SELECT dp_set_model('other', watermark => true);
CREATE TABLE made AS SELECT * FROM dp_synthesize_as(NULL::people, 'other', 2000);
SELECT * FROM found('SELECT * FROM made', 'other');
-- the same plan, since it follows from the model: rows from before are found by it
SELECT * FROM found('SELECT * FROM foreign_rows', 'other');

-- dropped: its rows stay traceable, under its name, beside those of a new model of that name
SELECT dp_drop_model('m');
DROP TABLE people CASCADE;
DROP TYPE wm_size CASCADE;
SELECT * FROM found('SELECT * FROM csv', 'm');
SELECT count(*) FROM mirage.mark_plan WHERE model_name = 'm';

DROP TABLE kinds, k, csv, typed, records, listed, given, json, foreign_rows, bare, again, s1, s2, s3, made, kept, narrow;
DROP FUNCTION found, with_one, figures, writes, skewed;
DROP EXTENSION pg_mirage CASCADE;
DROP SCHEMA IF EXISTS mirage CASCADE;
DROP OWNED BY regress_wm_trainer, regress_wm_reader, regress_wm_auditor, regress_wm_admin;
DROP ROLE regress_wm_trainer, regress_wm_reader, regress_wm_auditor, regress_wm_admin;
