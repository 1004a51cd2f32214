-- Conditions: what they mean for every type, that every row satisfies them exactly, that the asked number comes out,
-- and what is refused. What the values are is chance.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE EXTENSION pg_mirage;
CREATE TYPE mood AS ENUM ('sad', 'fine', 'glad');
CREATE DOMAIN percent AS smallint CHECK (VALUE BETWEEN 0 AND 100);
CREATE TABLE visits (
  id int PRIMARY KEY, sex text NOT NULL CHECK (sex IN ('F', 'M')), smoker boolean NOT NULL, mood mood, score percent,
  age int NOT NULL CHECK (age BETWEEN 0 AND 99), big bigint CHECK (big BETWEEN 0 AND 9000000000000000000),
  price numeric(8,2) NOT NULL CHECK (price BETWEEN 0 AND 500), amount numeric CHECK (amount BETWEEN 0 AND 1000),
  weight double precision CHECK (weight BETWEEN 30 AND 130), height real CHECK (height BETWEEN 0 AND 3),
  born date CHECK (born BETWEEN '1920-01-01' AND '2020-12-31'),
  seen timestamptz CHECK (seen BETWEEN '2024-01-01 00:00+00' AND '2024-12-31 00:00+00'),
  slot time CHECK (slot BETWEEN '08:00' AND '18:00'), stay interval CHECK (stay BETWEEN '0' AND '10 days'),
  city text, grade char(3), note text);
INSERT INTO visits SELECT i, CASE WHEN i % 3 = 0 THEN 'F' ELSE 'M' END, i % 2 = 0,
  (ARRAY['sad', 'fine', 'glad', NULL])[1 + i % 4]::mood, CASE WHEN i % 10 > 0 THEN i % 101 END, (i * 37) % 100,
  i * 4000000000000001, (i % 450) + 0.99, CASE i % 3 WHEN 0 THEN 19.99 ELSE i * 0.123 END, 30 + (i % 1000) * 0.1,
  1 + (i % 100) * 0.01, date '1930-01-01' + i * 15, timestamptz '2024-01-01 00:00+00' + i * interval '4 hours',
  time '08:00' + (i % 600) * interval '1 minute', (i % 240) * interval '1 hour',
  (ARRAY['Bonn', 'Köln', 'a "quoted"\ one', NULL])[1 + (i / 5) % 4], (ARRAY['a', 'bb', 'ccc'])[1 + (i / 7) % 3], 'x'
  FROM generate_series(1, 2000) i;
SELECT dp_protect('visits', epsilon => 400);
SELECT dp_set_column('visits', 'note', kind => 'excluded');
SELECT dp_train('m', 'visits', method => 'mst', epsilon => 200) > 0 AS trained;

-- how many: as asked, or what the model expects of them
SELECT count(*), bool_and(sex = 'F' AND smoker) AS hold FROM
  dp_synthesize_as(NULL::visits, 'm', 1234, '{"sex": "F", "smoker": true}');
SELECT count(*) BETWEEN 560 AND 780 AS a_third FROM dp_synthesize_as(NULL::visits, 'm', conditions => '{"sex": "F"}');
SELECT count(*) BETWEEN 1900 AND 2100 AS all_of_them FROM dp_synthesize_as(NULL::visits, 'm', conditions => '{}');
SELECT count(*) AS one_at_least FROM dp_synthesize_as(NULL::visits, 'm', conditions => '{"weight": [77, 77.00001]}');
SELECT count(*) FROM (SELECT dp_synthesize('m', 9223372036854775807, '{"sex": "F"}') LIMIT 5) x;
SELECT count(*) FROM dp_synthesize('m', 17, '{"sex": "F"}') AS t(age int);
SELECT count(*) FROM dp_synthesize('m', 0, '{"sex": "F"}') AS t(age int);

-- categories: one, several, NULL among them, all but
SELECT DISTINCT mood FROM dp_synthesize_as(NULL::visits, 'm', 300, '{"mood": "sad"}');
SELECT DISTINCT mood FROM dp_synthesize_as(NULL::visits, 'm', 300, '{"mood": ["sad", null]}') ORDER BY 1;
SELECT DISTINCT mood FROM dp_synthesize_as(NULL::visits, 'm', 300, '{"mood": {"in": ["sad", "glad"]}}') ORDER BY 1;
SELECT DISTINCT mood FROM dp_synthesize_as(NULL::visits, 'm', 300, '{"mood": null}');
SELECT DISTINCT mood FROM dp_synthesize_as(NULL::visits, 'm', 300, '{"mood": {"not": "sad"}}') ORDER BY 1;
SELECT DISTINCT mood FROM dp_synthesize_as(NULL::visits, 'm', 300, '{"mood": {"not": null}}') ORDER BY 1;
SELECT DISTINCT smoker FROM dp_synthesize_as(NULL::visits, 'm', 300, '{"smoker": "off"}');
SELECT DISTINCT smoker FROM dp_synthesize_as(NULL::visits, 'm', 300, '{"smoker": [true, false]}') ORDER BY 1;
SELECT DISTINCT city FROM dp_synthesize_as(NULL::visits, 'm', 300, '{"city": ["Köln", "a \"quoted\"\\ one"]}') ORDER BY 1;
SELECT DISTINCT grade, length(grade) FROM dp_synthesize_as(NULL::visits, 'm', 300, '{"grade": "bb"}');

-- numbers and times: values, ranges, open ends, lists; ends belong to them
SELECT min(age) >= 30 AND max(age) <= 39 AS hold, count(DISTINCT age) > 5 AS spread
  FROM dp_synthesize_as(NULL::visits, 'm', 500, '{"age": [30, 39]}');
SELECT DISTINCT age FROM dp_synthesize_as(NULL::visits, 'm', 500, '{"age": {"in": [7, 42, 99]}}') ORDER BY 1;
SELECT DISTINCT age FROM dp_synthesize_as(NULL::visits, 'm', 500, '{"age": "41"}');
SELECT DISTINCT age FROM dp_synthesize_as(NULL::visits, 'm', 500, '{"age": [40.1, 41.9]}');
SELECT count(*) FROM dp_synthesize_as(NULL::visits, 'm', 500, '{"age": {"not": [10, 98]}}') WHERE age BETWEEN 10 AND 98;
SELECT DISTINCT score IS NULL OR score = 50 AS hold FROM dp_synthesize_as(NULL::visits, 'm', 500,
  '{"score": {"in": [50, null]}}');
SELECT bool_and(score IS NOT NULL) AS hold FROM dp_synthesize_as(NULL::visits, 'm', 500, '{"score": [null, null]}');
SELECT bool_and(big BETWEEN 5000000000000000001 AND 5100000000000000001) AS hold
  FROM dp_synthesize_as(NULL::visits, 'm', 500, '{"big": [5000000000000000001, 5100000000000000001]}');
SELECT bool_and(price BETWEEN 10 AND 20 AND scale(price) = 2) AS hold
  FROM dp_synthesize_as(NULL::visits, 'm', 500, '{"price": {"between": [9.995, 20.00000001]}}');
SELECT DISTINCT price FROM dp_synthesize_as(NULL::visits, 'm', 100, '{"price": {"in": [17.99, "18.99"]}}') ORDER BY 1;
-- decimals finer than the column usually shows
SELECT bool_and(amount BETWEEN 1.23456789012 AND 1.23456789019) AS hold, count(DISTINCT amount) > 10 AS spread
  FROM dp_synthesize_as(NULL::visits, 'm', 500, '{"amount": [1.23456789012, 1.23456789019]}');
SELECT bool_and(amount BETWEEN 1.234 AND 1.236) AS hold, max(scale(amount)) <= 7 AS short
  FROM dp_synthesize_as(NULL::visits, 'm', 500, '{"amount": [1.234, 1.236]}');
SELECT bool_and(amount BETWEEN 100.0000001 AND 199.9999999) AS hold
  FROM dp_synthesize_as(NULL::visits, 'm', 5000, '{"amount": [100.0000001, 199.9999999]}');
SELECT bool_and(amount < 100.0000001 OR amount > 199.9999999) AS hold, bool_and(amount IS NOT NULL) AS there
  FROM dp_synthesize_as(NULL::visits, 'm', 5000, '{"amount": {"not": [100.0000001, 199.9999999]}}');
SELECT bool_and(amount BETWEEN 100.0001 AND 116.9999) AS hold
  FROM dp_synthesize_as(NULL::visits, 'm', 100000, '{"amount": [100.0001, 116.9999]}');
SELECT bool_and(amount % 1 <> 0.25) AS hold FROM dp_synthesize_as(NULL::visits, 'm', 20000,
  (SELECT jsonb_build_object('amount', jsonb_build_object('not', jsonb_build_object('in', jsonb_agg(i + 0.25))))
   FROM generate_series(0, 999) i));
SELECT DISTINCT amount FROM dp_synthesize_as(NULL::visits, 'm', 100, '{"amount": 19.99}');
SELECT bool_and(weight BETWEEN 70.1 AND 70.3) AS hold FROM dp_synthesize_as(NULL::visits, 'm', 500, '{"weight": [70.1, 70.3]}');
SELECT bool_and(height BETWEEN 1.7::real AND 1.70001::real) AS hold
  FROM dp_synthesize_as(NULL::visits, 'm', 500, '{"height": [1.7, 1.70001]}');
SELECT bool_and(height NOT BETWEEN 1.2::real AND 1.8::real) AS hold
  FROM dp_synthesize_as(NULL::visits, 'm', 500, '{"height": {"not": [1.2, 1.8]}}');
SELECT bool_and(born BETWEEN '1970-01-01' AND '1970-01-07') AS hold, count(DISTINCT born) AS days
  FROM dp_synthesize_as(NULL::visits, 'm', 500, '{"born": ["1970-01-01", "1970-01-07"]}');
SELECT bool_and(seen BETWEEN '2024-06-01 00:00+00' AND '2024-06-01 12:00+00') AS hold
  FROM dp_synthesize_as(NULL::visits, 'm', 500, '{"seen": ["2024-06-01 02:00+02", "2024-06-01 12:00"]}');
SELECT bool_and(seen >= '2024-10-01') AS hold FROM dp_synthesize_as(NULL::visits, 'm', 500, '{"seen": ["2024-10-01", null]}');
SELECT bool_and(slot BETWEEN '08:30' AND '08:31:30') AS hold
  FROM dp_synthesize_as(NULL::visits, 'm', 500, '{"slot": ["08:30", "08:31:30"]}');
SELECT bool_and(stay <= '36 hours') AS hold FROM dp_synthesize_as(NULL::visits, 'm', 500, '{"stay": [null, "1 day 12:00"]}');

-- columns that the query does not show; records; a seed; other ways to say it; parameters
SELECT array_agg(age) = (SELECT array_agg(age) FROM dp_synthesize_as(NULL::visits, 'm', 50,
  '{"age": {"in": [20, 21, 22, 23]}, "mood": {"in": ["fine"]}}', seed => 7)) AS same
  FROM dp_synthesize('m', 50, '{"mood": "fine", "age": {"between": [20, 23]}}', 7) AS t(age int);
SELECT (regexp_split_to_array(r::text, ','))[2] AS sex FROM (SELECT dp_synthesize('m', 2, '{"sex": "F"}') AS r) x;
SELECT bool_and(t.age = a) AS hold, count(*) FROM generate_series(40, 44) a,
  LATERAL dp_synthesize_as(NULL::visits, 'm', 10, jsonb_build_object('age', a)) t;
PREPARE q(jsonb) AS SELECT min(age), max(age) FROM dp_synthesize_as(NULL::visits, 'm', 40, $1);
EXECUTE q('{"age": 10}');
EXECUTE q('{"age": 11}');
DEALLOCATE q;
-- what a domain's constraints reject is replaced by what satisfies the condition as well
ALTER DOMAIN percent ADD CONSTRAINT even CHECK (VALUE % 2 = 0) NOT VALID;
SELECT bool_and(score BETWEEN 51 AND 61 AND score % 2 = 0) AS hold
  FROM dp_synthesize_as(NULL::visits, 'm', 500, '{"score": [51, 61]}');
SELECT score FROM dp_synthesize_as(NULL::visits, 'm', 5, '{"score": 51}');
ALTER DOMAIN percent DROP CONSTRAINT even;
-- a role that was granted rows needs nothing more for conditional ones; the log names the columns only
CREATE ROLE consumer_c;
SELECT dp_grant('m', 'consumer_c');
SET ROLE consumer_c;
SELECT DISTINCT sex FROM dp_synthesize('m', 20, '{"sex": "M", "age": [50, null]}') AS t(sex text);
RESET ROLE;
SELECT detail - 'issuance' - 'watermark' AS detail FROM dp_audit_log WHERE action = 'release' ORDER BY id DESC LIMIT 1;

-- what is refused
SELECT dp_synthesize('m', 1, '["sex"]');
SELECT dp_synthesize('m', 1, 'null');
SELECT dp_synthesize('m', 1, '{"sxe": "F"}');
SELECT dp_synthesize('m', 1, '{"note": null}');
SELECT dp_synthesize('m', 1, '{"id": 5}');
SELECT dp_synthesize('m', 1, '{"sex": "X"}');
SELECT dp_synthesize('m', 1, '{"sex": ["F", "X"]}');
SELECT dp_synthesize('m', 1, '{"sex": null}');
SELECT dp_synthesize('m', 1, '{"sex": {"not": ["F", "M"]}}');
SELECT dp_synthesize('m', 1, '{"sex": 1}');
SELECT dp_synthesize('m', 1, '{"sex": []}');
SELECT dp_synthesize('m', 1, '{"sex": [["F"]]}');
SELECT dp_synthesize('m', 1, '{"sex": {"between": ["A", "G"]}}');
SELECT dp_synthesize('m', 1, '{"sex": {"like": "F"}}');
SELECT dp_synthesize('m', 1, '{"sex": {}}');
SELECT dp_synthesize('m', 1, '{"sex": {"in": "F"}}');
SELECT dp_synthesize('m', 1, '{"sex": {"not": {"not": "F"}}}');
SELECT dp_synthesize('m', 1, '{"mood": "angry"}');
SELECT dp_synthesize('m', 1, '{"smoker": 1}');
SELECT dp_synthesize('m', 1, '{"smoker": "perhaps"}');
SELECT dp_synthesize('m', 1, '{"age": "old"}');
SELECT dp_synthesize('m', 1, '{"age": true}');
SELECT dp_synthesize('m', 1, '{"age": [39, 30]}');
SELECT dp_synthesize('m', 1, '{"age": [30, 35, 39]}');
SELECT dp_synthesize('m', 1, '{"age": 30.5}');
SELECT dp_synthesize('m', 1, '{"age": [30.2, 30.8]}');
SELECT dp_synthesize('m', 1, '{"age": [120, null]}');
SELECT dp_synthesize('m', 1, '{"age": [0, 3000000000]}');
SELECT dp_synthesize('m', 1, '{"age": {"not": [null, null]}}');
SELECT dp_synthesize('m', 1, '{"big": 1e30}');
SELECT dp_synthesize('m', 1, '{"amount": "NaN"}');
SELECT dp_synthesize('m', 1, '{"weight": 70.123456}');
SELECT dp_synthesize('m', 1, '{"weight": "Infinity"}');
SELECT dp_synthesize('m', 1, '{"height": 1e39}');
SELECT dp_synthesize('m', 1, '{"born": 19700101}');
SELECT dp_synthesize('m', 1, '{"born": "1970-02-30"}');
SELECT dp_synthesize('m', 1, '{"born": ["-infinity", "2000-01-01"]}');
SELECT dp_synthesize('m', 1, '{"stay": "soon"}');
SELECT dp_synthesize('m', 1, jsonb_build_object('age', jsonb_build_object('in', to_jsonb(array_fill(1, ARRAY[4097])))));
-- values that exist each, but not together: as good as no noise
CREATE TABLE pairs (parity text NOT NULL CHECK (parity IN ('even', 'odd')), digit int NOT NULL CHECK (digit BETWEEN 0 AND 9));
INSERT INTO pairs SELECT CASE WHEN i % 2 = 0 THEN 'even' ELSE 'odd' END, i % 10 FROM generate_series(1, 1000) i;
SELECT dp_protect('pairs', epsilon => 100000);
SELECT dp_train('pairs', 'pairs', method => 'mst', epsilon => 50000) > 0 AS trained;
SELECT digit FROM dp_synthesize('pairs', 1, '{"parity": "even", "digit": {"in": [3, 5, 6, 7]}}') AS t(digit int);
SELECT * FROM dp_synthesize('pairs', 1, '{"parity": "even", "digit": {"in": [3, 5, 7]}}') AS t(digit int);
-- none of these was recorded
SELECT detail - 'issuance' - 'watermark' AS detail FROM dp_audit_log WHERE action = 'release' AND object = 'm' ORDER BY id DESC LIMIT 1;
\set VERBOSITY sqlstate
SELECT dp_synthesize('m', 1, '{"sxe": "F"}');
SELECT dp_synthesize('m', 1, '{"id": 5}');
SELECT dp_synthesize('m', 1, '{"sex": 1}');
SELECT dp_synthesize('m', 1, '{"sex": "X"}');
SELECT dp_synthesize('m', 1, '{"age": [120, null]}');
SELECT dp_synthesize('m', 1, '{"age": [0, 3000000000]}');
\set VERBOSITY default
DROP OWNED BY consumer_c;
DROP ROLE consumer_c;
DROP EXTENSION pg_mirage CASCADE;
DROP TABLE visits, pairs;
DROP DOMAIN percent;
DROP TYPE mood;
