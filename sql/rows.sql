-- Rows of a model: shapes, casts, errors, streaming, seeds. What the values are is chance; what they can be is not.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION pg_mirage;
CREATE TYPE mood AS ENUM ('sad', 'fine', 'glad');
CREATE DOMAIN percent AS smallint CHECK (VALUE BETWEEN 0 AND 100);
CREATE TABLE people (
  id bigint, gone int, age int NOT NULL CHECK (age BETWEEN 0 AND 99), sex text NOT NULL CHECK (sex IN ('F', 'M')),
  "Mood" mood, score percent, price numeric(6,2) NOT NULL CHECK (price BETWEEN 0 AND 500), photo bytea, born date NOT NULL);
ALTER TABLE people DROP COLUMN gone;
INSERT INTO people SELECT i, i % 100, CASE WHEN i % 3 = 0 THEN 'F' ELSE 'M' END,
  (ARRAY['sad', 'fine', 'glad', NULL])[1 + i % 4]::mood, i % 101, i % 500 + 0.25, '\x00', date '2000-01-01' + i
  FROM generate_series(1, 1000) i;
SELECT dp_protect('people', epsilon => 100);
SELECT dp_set_column('people', 'id', kind => 'identifier');
SELECT dp_set_column('people', 'photo', kind => 'excluded');
SELECT dp_set_column('people', 'born', lower => '1990-01-01', upper => '2010-12-31');
SELECT dp_train('m', 'people', epsilon => 50) > 0 AS trained;

-- typed rows: every attribute by name, of its own type
SELECT count(*), count(DISTINCT id) AS ids, bool_and(age BETWEEN 0 AND 99 AND sex IN ('F', 'M') AND score BETWEEN 0 AND 100 AND
  price BETWEEN 0 AND 500 AND scale(price) = 2 AND born BETWEEN '1990-01-01' AND '2010-12-31') AS within,
  count(photo) AS photos, count("Mood") BETWEEN 600 AND 900 AS moods
  FROM dp_synthesize_as(NULL::people, 'm', 1000);
SELECT pg_typeof(t) AS row, pg_typeof((t).score) AS score, pg_typeof((t)."Mood") AS mood
  FROM (SELECT dp_synthesize_as(NULL::people, 'm', 1) AS t) x;
SELECT pg_typeof(t) AS row, t.id > 0 AS id FROM dp_synthesize_as(NULL::people, 'm', 1) t;
CREATE TABLE copy (LIKE people INCLUDING ALL);
INSERT INTO copy SELECT * FROM dp_synthesize_as(NULL::people, 'm', 5000);
SELECT count(*) FROM copy;
-- n: the noisy total, nothing, more than can ever be
SELECT count(*) BETWEEN 900 AND 1100 AS near FROM dp_synthesize_as(NULL::people, 'm');
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 0);
SELECT count(*) FROM (SELECT dp_synthesize('m', 0)) x;
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 16385);
SELECT count(*) FROM (SELECT dp_synthesize('m', 32769)) x;
SELECT count(*) FROM (SELECT dp_synthesize('m', 4611686018427387904) LIMIT 3) x;
SELECT count(*) FROM (SELECT * FROM dp_synthesize_as(NULL::people, 'm', 9223372036854775807) LIMIT 3) x;
-- records: of all columns, or of those listed, in any order, by assignment casts
SELECT json_object_keys(row_to_json(r)) AS key FROM dp_synthesize('m', 1) AS r(age int, sex text);
SELECT json_object_keys(row_to_json(r)) AS key FROM (SELECT dp_synthesize('m', 1) AS r) x;
SELECT count(*), min(octet_length(sex)) AS padded, bool_and(scale(age) = 1) AS scaled, pg_typeof(min(price)) AS price
  FROM dp_synthesize('m', 10) AS t(price float4, sex char(4), age numeric(4,1));
SELECT pg_typeof("Mood") AS mood FROM dp_synthesize('m', 1) AS t("Mood" text);
SELECT photo IS NULL AS excluded FROM dp_synthesize('m', 1) AS t(photo bytea);
-- other types with the same names: what the model lacks is NULL
CREATE TYPE part AS (nothing int, sex varchar(1), age bigint);
SELECT count(nothing) AS nothing, count(sex) AS sex, min(age) >= 0 AS age FROM dp_synthesize_as(NULL::part, 'm', 20);
SELECT count((r).nothing) AS nothing, count((r).sex) AS sex FROM (SELECT dp_synthesize_as(NULL::part, 'm', 20) AS r OFFSET 0) x;
SELECT count(*) FROM dp_synthesize_as((SELECT ROW(1, 'F', 2)::part), 'm', 20);
ALTER TYPE part DROP ATTRIBUTE nothing;
SELECT count(sex) AS sex, count(t.*) AS rows FROM dp_synthesize_as(NULL::part, 'm', 20) t;

-- a seed repeats, however the rows are asked for; without one they are fresh
CREATE TABLE s1 AS SELECT * FROM dp_synthesize_as(NULL::people, 'm', 20000, seed => 7);
CREATE TABLE s2 AS SELECT (r).* FROM (SELECT dp_synthesize_as(NULL::people, 'm', 20000, seed => 7) AS r OFFSET 0) x;
SELECT (SELECT count(*) FROM (TABLE s1 EXCEPT ALL TABLE s2) x) AS streamed,
  (SELECT count(*) FROM (TABLE s1 EXCEPT ALL SELECT (w).* FROM (SELECT t AS w
     FROM dp_synthesize_as(NULL::people, 'm', 20000, seed => 7) t OFFSET 0) y) x) AS whole,
  (SELECT count(*) FROM (SELECT sex, age FROM s1 EXCEPT ALL
     SELECT * FROM dp_synthesize('m', 20000, seed => 7) AS t(sex text, age int)) x) AS columns,
  (SELECT count(*) FROM (TABLE s1 EXCEPT ALL SELECT * FROM dp_synthesize_as(NULL::people, 'm', 20000, seed => 8)) x) > 10000 AS other,
  (SELECT count(*) FROM (TABLE s1 EXCEPT ALL SELECT * FROM dp_synthesize_as(NULL::people, 'm', 20000)) x) > 10000 AS fresh;

-- in FROM rows are streamed in the columns that are needed; whole rows and the like come from a function scan
EXPLAIN (COSTS OFF) SELECT age FROM dp_synthesize_as(NULL::people, 'm', 100) WHERE sex = 'F' ORDER BY price;
EXPLAIN (COSTS OFF) SELECT t FROM dp_synthesize_as(NULL::people, 'm', 100) t;
EXPLAIN (COSTS OFF) SELECT age FROM dp_synthesize_as(NULL::people, 'm', 100) WITH ORDINALITY;
SELECT bool_and(sex = 'F') AS f, count(*) > 0 AS some FROM dp_synthesize_as(NULL::people, 'm', 1000) WHERE sex = 'F';
SELECT age IS NOT NULL AS age, ordinality FROM dp_synthesize_as(NULL::people, 'm', 2) WITH ORDINALITY;
SELECT age IS NOT NULL AS age, g FROM ROWS FROM (dp_synthesize_as(NULL::people, 'm', 2), generate_series(1, 3)) AS t(id, age, a, b, c, d, e, f, g);
-- the planner's estimate
CREATE FUNCTION estimate(query text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
  EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
  RETURN plan -> 0 -> 'Plan' ->> 'Plan Rows';
END
$$;
SELECT estimate('SELECT * FROM dp_synthesize_as(NULL::people, ''m'', 12345)') AS typed,
  estimate('SELECT * FROM dp_synthesize(n => 6 * 7, model => ''m'') AS t(age int)') AS listed,
  estimate('SELECT dp_synthesize(''m'', 77)') AS streamed, estimate('SELECT dp_synthesize(''m'')') AS total;
-- rescans show the same rows, without another record; another n is another release
SET enable_material = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
CREATE TABLE mark AS SELECT count(*) AS n FROM mirage.issuance;
SELECT count(DISTINCT s) AS distinct FROM (SELECT g, sum(age * price) AS s FROM generate_series(1, 3) g,
  dp_synthesize_as(NULL::people, 'm', 20000) GROUP BY g) x;
SELECT count(*) - (SELECT n FROM mark) AS recorded FROM mirage.issuance;
SELECT g, count(age) FROM generate_series(1, 3) g, dp_synthesize_as(NULL::people, 'm', g) GROUP BY g ORDER BY g;
SELECT g, (SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', g)) FROM generate_series(1, 2) g;
SELECT g, age IS NOT NULL AS age FROM generate_series(0, 1) g LEFT JOIN LATERAL dp_synthesize_as(NULL::people, 'm', g) ON true;
SELECT count(*) - (SELECT n FROM mark) AS recorded FROM mirage.issuance;
RESET enable_material; RESET enable_hashjoin; RESET enable_mergejoin;
-- cursors, loops, prepared statements, writes
BEGIN;
DECLARE c CURSOR FOR SELECT dp_synthesize('m', 4611686018427387904);
MOVE 5 FROM c;
DECLARE d SCROLL CURSOR FOR SELECT age FROM dp_synthesize_as(NULL::people, 'm', 5);
MOVE FORWARD ALL FROM d;
MOVE BACKWARD ALL FROM d;
COMMIT;
DO $$
DECLARE r record; n int := 0;
BEGIN
  FOR r IN SELECT * FROM dp_synthesize_as(NULL::people, 'm', 4611686018427387904) LOOP
    n := n + 1;
    IF n = 5 THEN PERFORM 1 / 0; END IF;
  END LOOP;
EXCEPTION WHEN division_by_zero THEN
  RAISE WARNING 'left after %', n;
END
$$;
PREPARE p(bigint) AS SELECT count(age) FROM dp_synthesize_as(NULL::part, 'm', $1);
EXECUTE p(2); EXECUTE p(3); EXECUTE p(4); EXECUTE p(5); EXECUTE p(6); EXECUTE p(7); EXECUTE p(8);
UPDATE copy SET age = t.age FROM dp_synthesize_as(NULL::people, 'm', 10) t WHERE copy.id = t.id AND false;
BEGIN TRANSACTION READ ONLY;
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 3);
COMMIT;

-- what is refused
SELECT dp_synthesize('no such model', 1);
SELECT dp_synthesize(NULL, 1);
SELECT dp_synthesize('m', -1);
SELECT * FROM dp_synthesize_as(NULL::people, 'm', -1);
SELECT dp_synthesize('m', 1, purpose => '');
SELECT age FROM dp_synthesize('m', 1) AS t(age int, height int);
SELECT age FROM dp_synthesize('m', 1) AS t(age int, sex int);
SELECT * FROM dp_synthesize('m', 1) AS t(mood text);
SELECT * FROM dp_synthesize_as(1, 'm', 1);
SELECT dp_synthesize_as(NULL::text, 'm', 1);
SELECT * FROM dp_synthesize_as(ROW(1), 'm', 1) AS t(age int);
SELECT * FROM dp_synthesize_as(NULL::pg_catalog.pg_am, 'm', 1);
CREATE DOMAIN whole AS part CHECK ((VALUE).age > 0);
SELECT * FROM dp_synthesize_as(NULL::whole, 'm', 1);
CREATE DOMAIN needed AS int NOT NULL;
CREATE TABLE needy (age int, missing needed);
SELECT * FROM dp_synthesize_as(NULL::needy, 'm', 1);
SELECT * FROM dp_synthesize('m', 100) AS t(born varchar(3));
DROP DOMAIN whole;
ALTER TYPE part ALTER ATTRIBUTE age TYPE text;
EXECUTE p(2);
-- nothing refused was recorded, but what failed on a value had begun
SELECT requested_rows, seeded, recipient = session_user AS me FROM mirage.issuance ORDER BY id DESC LIMIT 2;

DROP EXTENSION pg_mirage CASCADE;
DROP FUNCTION estimate;
DROP TABLE people, copy, needy, s1, s2, mark;
DROP DOMAIN percent, needed;
DROP TYPE part, mood;
