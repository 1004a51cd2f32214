-- What a table says about its rows as wholes holds for synthetic rows; what cannot be kept is said.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION pg_mirage;
CREATE TYPE level AS ENUM ('low', 'middle', 'high');
CREATE DOMAIN odd AS int CHECK (VALUE <> 5) CHECK (VALUE BETWEEN 0 AND 20);
CREATE FUNCTION is_fine(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 <= $2 + 1000';
-- operators that look like the server's, but are not
CREATE SCHEMA shadow;
CREATE FUNCTION shadow.always(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR shadow.< (LEFTARG = int, RIGHTARG = int, FUNCTION = shadow.always);

CREATE TABLE orders (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  code int UNIQUE,
  started date NOT NULL,
  ended date,
  opened timestamp(0), closed timestamp(0),
  kind text CHECK (kind IN ('x', 'y', 'z')),
  size text CHECK (size IN ('s', 'm', 'x')),
  quality level, best level,
  qty int, most int,
  price numeric(8,2) CHECK (price >= 0), discount numeric(8,2) CHECK (discount >= 0),
  free numeric, other_free numeric,
  weight real, gross double precision,
  paid boolean, refunded boolean NOT NULL,
  note text,
  level odd,
  CONSTRAINT ends CHECK (started <= ended),
  CONSTRAINT soon CHECK (ended - started <= 400),
  CONSTRAINT closes CHECK (closed > opened AND closed <= opened + interval '30 days'),
  CONSTRAINT same_day CHECK (opened >= started),
  CONSTRAINT cheaper CHECK (discount < price),
  CONSTRAINT tenth CHECK (discount * 2 <= price + 100),
  CONSTRAINT frees CHECK (free <= other_free),
  CONSTRAINT weights CHECK (weight < gross),
  CONSTRAINT no_x CHECK (kind <> 'x' OR qty IS NULL),
  CONSTRAINT pair CHECK (kind <> size),
  CONSTRAINT combination CHECK (NOT (kind = 'y' AND quality > 'low' AND size IN ('m', 'x'))),
  CONSTRAINT ranks CHECK (quality <= best),
  CONSTRAINT stock CHECK (qty BETWEEN 1 AND most),
  CONSTRAINT gap CHECK (qty < 10 OR qty > 20),
  CONSTRAINT money CHECK (NOT refunded OR paid),
  CONSTRAINT together CHECK ((opened IS NULL) = (closed IS NULL)),
  CONSTRAINT arm CHECK (CASE WHEN kind = 'z' THEN COALESCE(qty, 0) <= 100 WHEN kind = 'y' THEN most > 3 ELSE true END),
  CONSTRAINT one_free CHECK (num_nonnulls(free, other_free) <> 1),
  CONSTRAINT differ CHECK (qty IS DISTINCT FROM most),
  CONSTRAINT noted CHECK (note IS NULL AND qty > 0 OR length(note) < most),
  CONSTRAINT own CHECK (is_fine(qty, most)),
  CONSTRAINT shadowed CHECK (most OPERATOR(shadow.<) qty),
  CONSTRAINT excluding EXCLUDE USING btree (note WITH =) WHERE (note = 'never')
);
CREATE UNIQUE INDEX by_code ON orders (code, kind);

INSERT INTO orders (code, started, ended, opened, closed, kind, size, quality, best, qty, most, price, discount, free, other_free,
                    weight, gross, paid, refunded, note, level)
SELECT i, d, CASE WHEN i % 7 > 0 THEN d + i % 300 END, CASE WHEN i % 5 > 0 THEN d + time '08:00' END,
       CASE WHEN i % 5 > 0 THEN d + time '08:00' + (i % 29) * interval '1 day' + interval '5 min' END,
       k, CASE k WHEN 'x' THEN 's' WHEN 'y' THEN 's' ELSE (ARRAY['s', 'm', 'x'])[1 + i % 3] END,
       (ARRAY['low', 'middle', 'high'])[1 + i % 3]::level, (ARRAY['middle', 'high', 'high'])[1 + i % 3]::level,
       CASE WHEN k <> 'x' THEN CASE WHEN i % 20 < 9 THEN 1 + i % 9 ELSE 21 + i % 50 END END, 80 + i % 20, 100 + i % 90, i % 50,
       CASE WHEN i % 3 > 0 THEN (i % 100) / 8.0 END, CASE WHEN i % 3 > 0 THEN (i % 100) / 8.0 + i % 4 END,
       (i % 40) / 4.0, (i % 40) / 4.0 + 0.5, i % 4 > 0, i % 4 = 1, NULL, CASE WHEN i % 11 = 5 THEN 6 ELSE i % 11 END
FROM generate_series(1, 4000) i, LATERAL (SELECT date '2020-01-01' + i % 700 AS d, (ARRAY['x', 'y', 'z'])[1 + i % 3] AS k) v;

SELECT dp_protect('orders', epsilon => 1000);
SELECT dp_set_column('orders', 'note', kind => 'excluded');
SELECT step FROM dp_plan('orders', 'mst', epsilon => 20) WHERE step LIKE 'constraint %';
SELECT dp_train('orders', 'orders', 'mst', epsilon => 20) > 0 AS trained;

-- what became of them (which are structural zeros depends on the bins); how often the model alone would break them is a rate
SELECT c->>'name' AS name, CASE WHEN c->>'how' IN ('re-draws', 'structural zeros') THEN 'kept' ELSE c->>'how' END AS how, (c->>'rejected')::float8 BETWEEN 0 AND 1 AS rate, c->>'reason' AS reason
FROM dp_models, jsonb_array_elements(card->'constraints') c WHERE dp_models.name = 'orders';
SELECT c->>'name' AS name, c->>'how' AS zeros FROM dp_models, jsonb_array_elements(card->'constraints') c
WHERE dp_models.name = 'orders' AND c->>'name' IN ('money', 'together');
SELECT c->>'definition' AS definition FROM dp_models, jsonb_array_elements(card->'constraints') c
WHERE dp_models.name = 'orders' AND c->>'name' IN ('ends', 'by_code');

-- the table takes the rows, but for the constraint that is not kept and the keys of what is learnt
CREATE TABLE taken (LIKE orders INCLUDING ALL);
ALTER TABLE taken DROP CONSTRAINT shadowed;
ALTER TABLE taken DROP CONSTRAINT taken_code_key;
DROP INDEX taken_code_kind_idx;
INSERT INTO taken OVERRIDING SYSTEM VALUE SELECT * FROM dp_synthesize_as(NULL::orders, 'orders', 5000, seed => 1);
SELECT count(*), count(DISTINCT id), count(qty) > 100 AS quantities, count(closed) > 100 AS closed FROM taken;
-- whichever columns are asked for, the same rows
SELECT count(*) AS same FROM
  (SELECT row_number() OVER () AS i, s.qty FROM dp_synthesize_as(NULL::orders, 'orders', 5000, seed => 1) s) a
  JOIN (SELECT row_number() OVER () AS i, t.qty FROM dp_synthesize('orders', 5000, seed => 1) AS t(qty int)) b USING (i)
  WHERE a.qty IS NOT DISTINCT FROM b.qty;
SELECT count(*) FROM (SELECT s.ended, s.started FROM dp_synthesize_as(NULL::orders, 'orders', 20000) s) x WHERE ended < started;

-- a view over the table keeps what it can see of it
CREATE VIEW brief AS SELECT ended AS until, started AS since, qty FROM orders WHERE kind = 'y';
SELECT dp_train('brief', 'brief', 'mst', epsilon => 5) > 0 AS trained;
SELECT c->>'name' AS name, CASE WHEN c->>'how' IN ('re-draws', 'structural zeros') THEN 'kept' ELSE c->>'how' END AS how, c->>'reason' AS reason
FROM dp_models, jsonb_array_elements(card->'constraints') c WHERE dp_models.name = 'brief' AND c->>'how' <> 'not enforced';
SELECT count(*) FROM dp_synthesize_as(NULL::brief, 'brief', 5000) b WHERE b.until < b.since OR b.qty BETWEEN 10 AND 20;

-- NOT VALID binds new rows, and synthetic rows are new; what the model hardly ever satisfies is given up, and said
CREATE TABLE loose (a int CHECK (a BETWEEN 0 AND 99), b int NOT NULL CHECK (b BETWEEN 0 AND 99), c int CHECK (c BETWEEN 0 AND 99));
INSERT INTO loose SELECT i % 100, (i * 7) % 100, i % 50 FROM generate_series(1, 3000) i;
ALTER TABLE loose ADD CONSTRAINT later CHECK (a <= b) NOT VALID;
ALTER TABLE loose ADD CONSTRAINT never CHECK (a + b = 3 * c + 1000) NOT VALID;
ALTER TABLE loose ADD CONSTRAINT here CHECK (b <> c) NO INHERIT NOT VALID;
SELECT dp_protect('loose', budget => 'orders');
SELECT dp_train('loose', 'loose', 'mst', epsilon => 5) > 0 AS trained;
SELECT c->>'name' AS name, CASE WHEN c->>'how' IN ('re-draws', 'structural zeros') THEN 'kept' ELSE c->>'how' END AS how, (c->>'rejected')::float8 > 0.1 AS often, c->>'reason' AS reason
FROM dp_models, jsonb_array_elements(card->'constraints') c WHERE dp_models.name = 'loose';
SELECT count(*), count(*) FILTER (WHERE a > b OR b = c) AS broken FROM dp_synthesize_as(NULL::loose, 'loose', 5000);

-- windows much narrower than a bin, and sums that must be met exactly
CREATE TABLE visits (since timestamp(0) NOT NULL, until timestamp(0), net numeric(8,2) NOT NULL, tax numeric(8,2) NOT NULL, total numeric(9,2) NOT NULL,
  CONSTRAINT short CHECK (until >= since AND until <= since + interval '20 min'),
  CONSTRAINT sum CHECK (total = net + tax));
INSERT INTO visits SELECT t, t + i % 20 * interval '1 min', net, tax, net + tax
FROM generate_series(1, 3000) i, LATERAL (SELECT timestamp '2024-01-01' + abs(hashint4(i)) % 500000 * interval '1 min' AS t,
  abs(hashint4(-i)) % 9000 / 100.0 AS net, abs(hashint4(i * 7)) % 900 / 100.0 AS tax) v;
SELECT dp_protect('visits', budget => 'orders');
SELECT dp_train('visits', 'visits', 'mst', epsilon => 30) > 0 AS trained;
SELECT c->>'name' AS name, CASE WHEN c->>'how' IN ('re-draws', 'structural zeros') THEN 'kept' ELSE c->>'how' END AS how, (c->>'rejected')::float8 > 0.9 AS mostly, c->>'reason' AS reason
FROM dp_models, jsonb_array_elements(card->'constraints') c WHERE dp_models.name = 'visits';
INSERT INTO visits SELECT * FROM dp_synthesize_as(NULL::visits, 'visits', 5000);
SELECT count(DISTINCT (since, net)) > 4000 AS various FROM (SELECT * FROM visits OFFSET 3000) v;

-- values at the ends of every type: what is judged is what the table will see
CREATE TABLE ends_of_ranges (i2 smallint, i4 integer, i8 bigint, f4 real, f8 double precision, n numeric, n2 numeric(6,2), n3 numeric(30,2),
  d date, tm time, ts timestamp, tz timestamptz, tz2 timestamptz, iv interval, iv2 interval month, t text, c char(5));
INSERT INTO ends_of_ranges VALUES
  (-32768, -2147483648, -9223372036854775808, '-Infinity', '-Infinity', 'NaN', -9999.99, -1e27,
   '-infinity', '00:00', '-infinity', '-infinity','-infinity', '-178000000 years', '3 month', 'a', 'b'),
  (32767, 2147483647, 9223372036854775807, 'Infinity', 'NaN', repeat('9', 100)::numeric, 9999.99, 9e27,
   'infinity', '24:00', 'infinity', 'infinity','infinity', '178000000 years', '-5 months', repeat('x', 1048576), 'five5'),
  (0, 0, 0, 'NaN', 1e308, ('0.' || repeat('1', 100))::numeric, 0, 0,
   '4713-01-01 BC', '23:59:59.999999', '294276-12-31 23:59:59.999999', '4713-01-01 00:00:00+00 BC', '2020-01-01', '-1 microsecond', NULL, '', ''),
  (1, 1, 1, 3.4e38, -1e-308, -1e130000, 0.01, 100,
   '5874897-12-31', NULL, '4713-01-01 00:00:00 BC', '294276-12-31 23:59:59.999999+00', NULL, NULL, '0', NULL, NULL);
INSERT INTO ends_of_ranges SELECT w.* FROM ends_of_ranges w, generate_series(1, 200);
ALTER TABLE ends_of_ranges ADD CONSTRAINT a CHECK (i2 < i4) NOT VALID, ADD CONSTRAINT b CHECK (i8 < n) NOT VALID, ADD CONSTRAINT c CHECK (f4 < f8) NOT VALID,
 ADD CONSTRAINT d CHECK (d <= ts) NOT VALID, ADD CONSTRAINT e CHECK (tz < tz2) NOT VALID, ADD CONSTRAINT f CHECK (iv > iv2) NOT VALID,
 ADD CONSTRAINT g CHECK (n2 < n3) NOT VALID, ADD CONSTRAINT h CHECK (n <> n2) NOT VALID, ADD CONSTRAINT i CHECK (t <> c) NOT VALID, ADD CONSTRAINT j CHECK (i4 <= i8 ) NOT VALID, ADD CONSTRAINT k CHECK (tm < '12:00' OR f8 > i8) NOT VALID;
SELECT dp_protect('ends_of_ranges', budget => 'orders');
SELECT dp_train('extremes', 'ends_of_ranges', 'mst', epsilon => 20) > 0 AS trained;
SELECT string_agg(c->>'name', ' ' ORDER BY c->>'name') AS kept FROM dp_models, jsonb_array_elements(card->'constraints') c
WHERE dp_models.name = 'extremes' AND c->>'how' IN ('re-draws', 'structural zeros');
INSERT INTO ends_of_ranges SELECT * FROM dp_synthesize_as(NULL::ends_of_ranges, 'extremes', 5000);

DROP EXTENSION pg_mirage CASCADE;
DROP VIEW brief;
DROP TABLE orders, taken, loose, visits, ends_of_ranges;
DROP FUNCTION is_fine;
DROP DOMAIN odd;
DROP TYPE level;
DROP SCHEMA shadow CASCADE;
