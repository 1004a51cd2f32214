-- Data never decides whether a call succeeds: whatever is in the rows, a training trains and charges like any other.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION pg_mirage;
CREATE TYPE mood AS ENUM ('sad', 'fine', 'glad');
CREATE DOMAIN percent AS int CHECK (VALUE BETWEEN 0 AND 100);
CREATE TABLE wild (
  b boolean, i2 smallint, i4 integer, i8 bigint, f4 real, f8 double precision, n numeric, n2 numeric(6,2), t text, v varchar(8),
  c char(5), m mood, p percent, d date, tm time, ts timestamp, tz timestamptz, iv interval, u uuid);
SELECT dp_protect('wild', epsilon => 1000);

-- one training of whatever the table holds, and what came of it: rows of the right shape, one more charge
CREATE FUNCTION try(name text) RETURNS TABLE(rows bigint, charges bigint, last_state text) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM dp_train(name, 'wild', epsilon => 0.5);
  RETURN QUERY SELECT (SELECT pg_catalog.count(*) FROM dp_synthesize_as(NULL::wild, name, 50) s
                       WHERE s.p IS NULL OR s.p BETWEEN 0 AND 100),
                      (SELECT pg_catalog.count(*) FROM dp_ledger), (SELECT l.state FROM dp_ledger l ORDER BY l.id DESC LIMIT 1);
END
$$;
-- nothing
SELECT * FROM try('empty');
-- one row
INSERT INTO wild VALUES (true, 1, 2, 3, 4, 5, 6, 7, 'x', 'y', 'z', 'fine', 50, '2020-02-02', '12:00', '2020-02-02 12:00',
  '2020-02-02 12:00+00', '1 day', '11111111-2222-3333-4444-555555555555');
SELECT * FROM try('one row');
-- nulls only
TRUNCATE wild;
INSERT INTO wild (b) SELECT NULL FROM generate_series(1, 300);
SELECT * FROM try('nulls');
-- ends of every range, not-a-numbers, a hundred digits, a megabyte
TRUNCATE wild;
INSERT INTO wild VALUES
  (true, -32768, -2147483648, -9223372036854775808, '-Infinity', '-Infinity', 'NaN', -9999.99, '', '', '', 'sad', 0,
   '-infinity', '00:00', '-infinity', '-infinity', '-178000000 years', '00000000-0000-0000-0000-000000000000'),
  (false, 32767, 2147483647, 9223372036854775807, 'Infinity', 'NaN', repeat('9', 100)::numeric, 9999.99, repeat('x', 1048576),
   'eightchr', 'five5', 'glad', 100, 'infinity', '24:00', 'infinity', 'infinity', '178000000 years', 'ffffffff-ffff-ffff-ffff-ffffffffffff'),
  (NULL, 0, 0, 0, 'NaN', 1e308, ('0.' || repeat('1', 100))::numeric, 0, E'\u00e9\u4e2d' || chr(127), NULL, ' ', NULL, NULL,
   '4713-01-01 BC', '23:59:59.999999', '294276-12-31 23:59:59.999999', '4713-01-01 00:00:00+00 BC', '-1 microsecond', NULL),
  (NULL, 1, 1, 1, 3.4e38, -1e-308, -1e130000, 0.01, NULL, NULL, NULL, NULL, NULL,
   '5874897-12-31', NULL, '4713-01-01 00:00:00 BC', '294276-12-31 23:59:59.999999+00', NULL, NULL);

INSERT INTO wild SELECT w.* FROM wild w, generate_series(1, 100);
SELECT * FROM try('extremes');
-- declared narrower than the data: clamped, or coded other
SELECT dp_set_column('wild', 'i4', lower => '10', upper => '20');
SELECT dp_set_column('wild', 't', categories => ARRAY['one', 'two'], other => 'else');
SELECT dp_set_column('wild', 'ts', lower => '2020-01-01', upper => '2021-01-01');
SELECT * FROM try('declared');
SELECT pg_catalog.count(*) AS outside FROM dp_synthesize_as(NULL::wild, 'declared', 2000)
  WHERE i4 NOT BETWEEN 10 AND 20 OR t NOT IN ('one', 'two', 'else') OR ts NOT BETWEEN '2020-01-01' AND '2021-01-01';
-- as many distinct texts as rows
TRUNCATE wild;
INSERT INTO wild (t, f8, i8) SELECT md5(i::text), i * 1e-3, i FROM generate_series(1, 20000) i;
SELECT * FROM try('distinct');
-- one column only
CREATE TABLE narrow (x int NOT NULL);
INSERT INTO narrow SELECT 7 FROM generate_series(1, 200);
SELECT dp_protect('narrow', budget => 'wild');
SELECT dp_train('narrow', 'narrow', epsilon => 1) > 0 AS trained;
SELECT pg_catalog.count(x) FROM dp_synthesize_as(NULL::narrow, 'narrow', 30);
-- a partitioned table, an inheritance parent
CREATE TABLE parts (k int NOT NULL CHECK (k BETWEEN 0 AND 9), x text) PARTITION BY LIST (k);
CREATE TABLE parts_low PARTITION OF parts FOR VALUES IN (0, 1, 2, 3, 4);
CREATE TABLE parts_high PARTITION OF parts DEFAULT;
INSERT INTO parts SELECT i % 10, 'x' FROM generate_series(1, 400) i;
SELECT dp_protect('parts', epsilon => 2);
SELECT dp_protect('parts_low', epsilon => 2);
SELECT dp_train('parts', 'parts', epsilon => 1) > 0 AS trained;
SELECT dp_train('part', 'parts_low', epsilon => 0.5) > 0 AS trained;
SELECT budget, relation, state FROM dp_ledger WHERE budget = 'parts' ORDER BY id;
SELECT round(spent::numeric, 3) > 1 AS both FROM dp_budgets WHERE name = 'parts';

-- A category of other than texts, NOT NULL, of which no label was learnt: it has to hold something.
CREATE TABLE rare (n int NOT NULL, u uuid NOT NULL, p numeric NOT NULL, d date NOT NULL, t text NOT NULL);
INSERT INTO rare SELECT i, ('00000000-0000-0000-0000-0000000000' || 10 + i)::uuid, i / 7.0, '2020-01-01'::date + i, 't' || i
  FROM generate_series(1, 40) i;
SELECT dp_protect('rare', epsilon => 1);
SELECT dp_set_column('rare', c, kind => 'category') FROM unnest('{n,u,p,d}'::name[]) c;
SELECT dp_train('rare', 'rare', epsilon => 0.1) > 0 AS trained;
SELECT DISTINCT * FROM dp_synthesize_as(NULL::rare, 'rare', 100);
-- Constraints that leave nothing but NULL.
CREATE TABLE nothing (a int CHECK (a > 7) CHECK (a < 3), b bigint CHECK (b > 9e19), k int NOT NULL CHECK (k BETWEEN 0 AND 1));
INSERT INTO nothing SELECT NULL, NULL, i % 2 FROM generate_series(1, 1000) i;
SELECT dp_protect('nothing', epsilon => 10);
SELECT dp_train('nothing', 'nothing', epsilon => 0.5) > 0 AS trained;
SELECT count(*), count(a), count(b) FROM dp_synthesize_as(NULL::nothing, 'nothing', 500);
-- A constraint that the default of an excluded column makes an error.
CREATE TABLE parted (a int CHECK (a BETWEEN 0 AND 9), x int NOT NULL DEFAULT 0, CONSTRAINT share CHECK (10 / x < a + 50));
INSERT INTO parted SELECT i % 10, 1 + i % 3 FROM generate_series(1, 100) i;
SELECT dp_protect('parted', epsilon => 10);
SELECT dp_set_column('parted', 'x', kind => 'excluded');
SELECT step FROM dp_plan('parted') WHERE step LIKE 'constraint%';
SELECT dp_train('parted', 'parted', epsilon => 1) > 0 AS trained;
DROP EXTENSION pg_mirage CASCADE;
DROP TABLE rare, nothing, parted;
DROP TABLE wild, narrow, parts;
DROP DOMAIN percent;
DROP TYPE mood;
DROP FUNCTION try;
