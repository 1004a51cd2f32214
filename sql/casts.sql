-- Rows in types that the caller names: nobody else's code runs, and every value is one of its type. Cursors over them.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION pg_mirage;
CREATE ROLE regress_owner LOGIN;
CREATE ROLE regress_reader LOGIN;
GRANT CREATE ON SCHEMA public TO regress_owner;
SET SESSION AUTHORIZATION regress_owner;
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE FUNCTION is_even(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RAISE WARNING ''code of the owner''; RETURN $1 % 2 = 0; END';
CREATE DOMAIN even AS int CHECK (is_even(VALUE));
CREATE DOMAIN big AS numeric(6,1) CHECK (VALUE > 50) CHECK (VALUE <> round(VALUE));
CREATE DOMAIN word AS text CHECK (length(VALUE) < 4);
CREATE DOMAIN needed AS word NOT NULL;
CREATE TABLE t (i int PRIMARY KEY, m mood NOT NULL, e even NOT NULL CHECK (e BETWEEN 0 AND 9), w word CHECK (w IN ('ab', 'abc')), b big, n int CHECK (n BETWEEN 0 AND 9));
SET client_min_messages = error;
INSERT INTO t SELECT i, CASE WHEN i % 2 = 0 THEN 'sad'::mood ELSE 'ok' END, i % 5 * 2, CASE i % 3 WHEN 0 THEN 'ab' WHEN 1 THEN 'abc' END,
                     51.5 + i % 40, i % 10 FROM generate_series(1, 1000) i;
SELECT dp_protect('t', epsilon => 20);
SELECT dp_train('m', 't', epsilon => 10) > 0 AS trained;
SELECT dp_grant('m', 'regress_reader');
SET client_min_messages = warning;

-- The owner's casts are not taken: enums are texts as the server writes them.
CREATE FUNCTION as_text(mood) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE WARNING ''runs as %'', current_user; RETURN ''x''; END';
CREATE CAST (mood AS text) WITH FUNCTION as_text(mood) AS ASSIGNMENT;
CREATE FUNCTION as_varchar(mood) RETURNS varchar LANGUAGE plpgsql AS 'BEGIN RAISE WARNING ''runs as %'', current_user; RETURN ''x''; END';
CREATE CAST (mood AS varchar) WITH FUNCTION as_varchar(mood) AS IMPLICIT;
CREATE FUNCTION as_int(mood) RETURNS int LANGUAGE plpgsql AS 'BEGIN RAISE WARNING ''runs as %'', current_user; RETURN 1; END';
CREATE CAST (mood AS int) WITH FUNCTION as_int(mood) AS ASSIGNMENT;
SET SESSION AUTHORIZATION regress_reader;
SELECT DISTINCT m FROM dp_synthesize('m', 200, seed => 1) AS t(m text) ORDER BY 1;
SELECT DISTINCT m FROM dp_synthesize('m', 200, seed => 1) AS t(m varchar(3)) ORDER BY 1;
SELECT DISTINCT m FROM dp_synthesize('m', 200, seed => 1) AS t(m mood) ORDER BY 1;
SELECT m FROM dp_synthesize('m', 20, seed => 1) AS t(m varchar(2));
SELECT m FROM dp_synthesize('m', 1) AS t(m int);
SELECT (r).m FROM (SELECT dp_synthesize_as(NULL::t, 'm', 0) AS r) s;
CREATE TEMP TABLE texts (m text, n int);
SELECT DISTINCT m FROM dp_synthesize_as(NULL::texts, 'm', 200, seed => 1) ORDER BY 1;

-- A record has the types that domains are over; nothing of them runs.
SELECT count(*) FROM (SELECT dp_synthesize('m', 100)) s;
SELECT count(*), min(e) >= 0 AND max(e) <= 9 AS inside FROM dp_synthesize('m', 100) AS t(e int);
SELECT pg_typeof(e), pg_typeof(b), pg_typeof(w) FROM dp_synthesize('m', 1) AS t(e int, b numeric(6,1), w text);

-- A domain that was named: its constraints run, and no value breaks them.
SET SESSION AUTHORIZATION regress_owner;
SET client_min_messages = error;
CREATE TABLE twin (LIKE t INCLUDING ALL);
INSERT INTO twin SELECT * FROM dp_synthesize_as(NULL::t, 'm', 1000, seed => 1);
SELECT count(*), count(*) FILTER (WHERE e % 2 <> 0) AS odd, count(DISTINCT e) AS different, count(*) FILTER (WHERE b <= 50 OR b = round(b)) AS small,
       count(b) > 900 AS nearly_all_there FROM twin;
ALTER TABLE twin DROP CONSTRAINT twin_pkey;
INSERT INTO twin SELECT (dp_synthesize_as(NULL::t, 'm', 300)).*;
SELECT count(*) FROM twin;
SELECT bool_and(a.e = b.e AND a.w IS NOT DISTINCT FROM b.w) AS repeats, count(*)
FROM (SELECT row_number() OVER () AS i, e, w FROM dp_synthesize_as(NULL::t, 'm', 500, seed => 7)) a
     JOIN (SELECT row_number() OVER () AS i, e, w FROM dp_synthesize('m', 500, seed => 7) AS t(w word, e even, n int)) b USING (i);
SELECT count(*) FILTER (WHERE n % 2 <> 0) AS odd, count(n) > 400 AS nearly_all_there FROM dp_synthesize('m', 500) AS t(n even);
SELECT e % 2 AS odd FROM dp_synthesize('m', 1, seed => 3) AS t(e even);
SELECT count(DISTINCT w) AS words, count(w) AS there FROM dp_synthesize('m', 100) AS t(w needed);
-- constraints that came later count, valid for old rows or not
ALTER DOMAIN even ADD CONSTRAINT low CHECK (VALUE < 3) NOT VALID;
SELECT max(e) <= 2 AS low FROM dp_synthesize_as(NULL::t, 'm', 300);
ALTER DOMAIN word ADD CONSTRAINT none CHECK (VALUE ~ 'z') NOT VALID;
SELECT count(w) AS words, count(*) FROM dp_synthesize_as(NULL::t, 'm', 300);
SELECT w FROM dp_synthesize('m', 300) AS t(w needed);
ALTER DOMAIN even ADD CONSTRAINT high CHECK (VALUE > 8) NOT VALID;
SELECT e FROM dp_synthesize_as(NULL::t, 'm', 1);
SELECT count(e) FROM dp_synthesize('m', 100) AS t(e int);

-- cursors: the server puts a store above where one is scrollable
SET client_min_messages = warning;
CREATE TABLE numbered (i int, n int);
BEGIN;
DECLARE forwards CURSOR FOR SELECT n FROM dp_synthesize('m', 5, seed => 1) AS t(n int);
MOVE 2 FROM forwards;
FETCH BACKWARD 1 FROM forwards;
ROLLBACK;
BEGIN;
DECLARE both_ways SCROLL CURSOR FOR SELECT i FROM dp_synthesize_as(NULL::numbered, 'm', 5, seed => 1);
MOVE 3 FROM both_ways;
FETCH BACKWARD 2 FROM both_ways;
FETCH LAST FROM both_ways;
DECLARE plain_scroll SCROLL CURSOR WITH HOLD FOR SELECT i FROM dp_synthesize('m', 5, seed => 1) AS t(i int);
MOVE ALL FROM plain_scroll;
FETCH PRIOR FROM plain_scroll;
COMMIT;
MOVE BACKWARD ALL FROM plain_scroll;
CLOSE plain_scroll;
EXPLAIN (COSTS OFF) DECLARE c SCROLL CURSOR FOR SELECT n FROM dp_synthesize('m', 5) AS t(n int);

-- A default inside which is a domain: to read it would run the domain's constraints, so none counts; neither where the
-- type came to be such a one after the training.
CREATE DOMAIN trap AS int CHECK (is_even(VALUE));
CREATE TYPE pair AS (x int, y trap);
SET client_min_messages = error;
CREATE TABLE laden (n int CHECK (n BETWEEN 0 AND 9), a trap[] NOT NULL DEFAULT '{2}', p pair NOT NULL DEFAULT '(1,2)',
  m mood[] NOT NULL DEFAULT '{ok}', CHECK (array_length(a, 1) < n + 100), CHECK (array_length(m, 1) < n + 100));
INSERT INTO laden SELECT i % 10 FROM generate_series(1, 100) i;
SELECT dp_protect('laden', epsilon => 20);
SELECT dp_set_column('laden', c, kind => 'excluded') FROM unnest('{a,p,m}'::name[]) c;
SET client_min_messages = warning;
SELECT count(*) FROM dp_plan('laden', columns => '{n,a}');
SELECT dp_train('l', 'laden', epsilon => 1, columns => '{n,p}');
SELECT dp_train('l', 'laden', epsilon => 1, columns => '{n,m}') > 0 AS trained;
SELECT dp_grant('l', 'regress_reader');
ALTER TYPE mood RENAME TO old_mood;
CREATE DOMAIN mood AS text CHECK (is_even(length(VALUE)));
SET SESSION AUTHORIZATION regress_reader;
SELECT dp_synthesize('l', 1);
SELECT count(*) FROM dp_synthesize('l', 3) AS t(n int);
RESET SESSION AUTHORIZATION;
DROP EXTENSION pg_mirage CASCADE;
DROP OWNED BY regress_owner, regress_reader CASCADE;
DROP ROLE regress_owner, regress_reader;
