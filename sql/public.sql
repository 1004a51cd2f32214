-- Tables declared public: their keys are the domain of columns that refer to them.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION pg_mirage;
CREATE ROLE regress_owner LOGIN;
CREATE ROLE regress_nobody LOGIN;
GRANT CREATE ON SCHEMA public TO regress_owner;
SET ROLE regress_owner;

CREATE TABLE country (code text PRIMARY KEY, name text UNIQUE);
INSERT INTO country VALUES ('NZ', 'New Zealand'), ('AT', 'Austria'), ('BR', 'Brazil'), ('LU', 'Luxembourg');
CREATE TABLE band (id smallint PRIMARY KEY);
INSERT INTO band SELECT i * 7 FROM generate_series(1, 9) i;
CREATE TABLE tag (id uuid PRIMARY KEY);
INSERT INTO tag SELECT ('00000000-0000-0000-0000-00000000000' || i)::uuid FROM generate_series(1, 3) i;
CREATE TABLE calendar (day date PRIMARY KEY);
INSERT INTO calendar SELECT d::date FROM generate_series('2024-01-01'::date, '2024-12-31', '1 day') d;
CREATE TABLE holiday (day date PRIMARY KEY);
INSERT INTO holiday VALUES ('2024-05-01'), ('2024-12-25'), ('2024-01-01');
CREATE TABLE area (state text, city text, PRIMARY KEY (state, city));
INSERT INTO area VALUES ('S', 'a'), ('S', 'b'), ('T', 'a'), ('T', 'c');
CREATE TABLE zip (id int PRIMARY KEY);
INSERT INTO zip SELECT 10000 + 3 * i FROM generate_series(1, 17000) i;
CREATE TABLE serials (id int PRIMARY KEY);
INSERT INTO serials SELECT i FROM generate_series(1, 17000) i;
CREATE TABLE words (word text PRIMARY KEY);
INSERT INTO words SELECT 'w' || i FROM generate_series(1, 17000) i;
CREATE TABLE empty (id int PRIMARY KEY);
CREATE TABLE region (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE region_low PARTITION OF region FOR VALUES FROM (0) TO (50);
CREATE TABLE region_high PARTITION OF region FOR VALUES FROM (50) TO (100);
INSERT INTO region VALUES (3), (77), (55);

CREATE TABLE people (
  country text NOT NULL REFERENCES country,
  born_in text REFERENCES country (name) CHECK (born_in <> 'Atlantis'),
  band bigint NOT NULL REFERENCES band CHECK (band < 40),
  tag uuid REFERENCES tag,
  day date NOT NULL REFERENCES calendar,
  free date REFERENCES holiday,
  state text NOT NULL, city text NOT NULL,
  half text, other_half text,
  zip int REFERENCES zip, serial int REFERENCES serials, word text REFERENCES words,
  none int REFERENCES empty,
  region int REFERENCES region,
  later text, FOREIGN KEY (state, city) REFERENCES area, FOREIGN KEY (half, other_half) REFERENCES area);
ALTER TABLE people ADD CONSTRAINT later_fkey FOREIGN KEY (later) REFERENCES country NOT VALID;
INSERT INTO people SELECT (ARRAY['NZ', 'AT', 'BR'])[1 + i % 3], CASE WHEN i % 5 > 0 THEN 'Austria' END, 7 * (1 + i % 4),
  ('00000000-0000-0000-0000-00000000000' || 1 + i % 3)::uuid, '2024-03-01'::date + i % 100,
  CASE WHEN i % 2 = 0 THEN '2024-12-25'::date END, 'S', CASE WHEN i % 4 = 0 THEN 'a' ELSE 'b' END, 'S', 'a',
  10000 + 3 * (1 + i % 2000), 1 + i % 900, 'w1', NULL, CASE WHEN i % 3 = 0 THEN 55 ELSE 3 END, NULL
  FROM generate_series(1, 2000) i;
SELECT dp_protect('people', epsilon => 20);

-- nothing is public by itself
SELECT "column", kind, source, unused_checks FROM dp_describe('people');
SELECT dp_declare_public(t) FROM unnest('{country,band,tag,calendar,holiday,area,zip,serials,words,empty,region}'::regclass[]) t;
SELECT * FROM dp_describe('people');
-- what an owner declares is within it
SELECT dp_set_column('people', 'country', categories => '{AT,XX}');
SELECT dp_set_column('people', 'country', categories => '{AT,NZ}', other => 'LU');
SELECT dp_set_column('people', 'band', kind => 'number');
SELECT dp_set_column('people', 'tag', kind => 'identifier');
SELECT "column", kind, domain, source, codes, unused_checks FROM dp_describe('people') WHERE "column" IN ('country', 'band', 'tag');
SELECT dp_set_column('people', 'country');
SELECT dp_set_column('people', 'band');
SELECT dp_set_column('people', 'tag');
-- views show it, too
CREATE VIEW few AS SELECT country AS land, day FROM people WHERE band > 7;
SELECT "column", domain, source FROM dp_describe('few');

-- rows keep the foreign keys: all of them but the one over two columns, and those beyond the limit of labels
SELECT dp_train('p', 'people', epsilon => 10, columns => '{country,born_in,band,tag,day,free,serial,region}') > 0 AS trained;
CREATE TABLE copies (LIKE people INCLUDING CONSTRAINTS,
  FOREIGN KEY (country) REFERENCES country, FOREIGN KEY (born_in) REFERENCES country (name),
  FOREIGN KEY (band) REFERENCES band, FOREIGN KEY (tag) REFERENCES tag, FOREIGN KEY (day) REFERENCES calendar,
  FOREIGN KEY (free) REFERENCES holiday, FOREIGN KEY (serial) REFERENCES serials, FOREIGN KEY (region) REFERENCES region);
ALTER TABLE copies ALTER state DROP NOT NULL, ALTER city DROP NOT NULL;
INSERT INTO copies SELECT * FROM dp_synthesize_as(NULL::copies, 'p', 5000, seed => 1);
SELECT count(*) AS copies, count(DISTINCT country) > 1 AS countries, count(born_in) BETWEEN 3000 AND 4500 AS born,
       min(band) >= 7 AND max(band) < 40 AS bands, count(DISTINCT region) > 1 AS regions FROM copies;
RESET ROLE;
SELECT card->'public_tables' AS public_tables FROM mirage.model WHERE name = 'p';
SET ROLE regress_owner;
-- a key that is deleted later is still one of the model's, not of the next one
INSERT INTO country VALUES ('XX', 'Nowhere');
SELECT "column", domain FROM dp_describe('people') WHERE "column" = 'country';
DELETE FROM country WHERE code = 'XX';
SELECT "column", domain FROM dp_describe('people') WHERE "column" = 'country';

-- a table follows its name; dropped, it is forgotten
ALTER TABLE band RENAME TO bands;
SELECT source FROM dp_describe('people') WHERE "column" = 'band';
ALTER TABLE people DROP CONSTRAINT people_band_fkey;
ALTER TABLE copies DROP CONSTRAINT copies_band_fkey;
DROP TABLE bands;
SELECT dp_declare_public('calendar', false);
SELECT source, unused_checks FROM dp_describe('people') WHERE "column" = 'day';
RESET ROLE;
SELECT name, is_public FROM mirage.relation WHERE budget IS NULL ORDER BY name;
SELECT action, object, detail FROM mirage.log WHERE action = 'declare public' ORDER BY id DESC LIMIT 2;
SET ROLE regress_owner;

-- not everything can be public, and what is cannot be protected
CREATE VIEW lands AS SELECT * FROM country;
CREATE MATERIALIZED VIEW stored AS SELECT * FROM country;
CREATE TABLE secured (id int PRIMARY KEY);
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE TABLE heads (country text PRIMARY KEY, person int);
CREATE TABLE persons (id int PRIMARY KEY);
ALTER TABLE heads ADD FOREIGN KEY (person) REFERENCES persons;
SELECT dp_declare_public('lands');
SELECT dp_declare_public('stored');
SELECT dp_declare_public('country_pkey');
SELECT dp_declare_public('secured');
SELECT dp_declare_public('people');
SELECT dp_declare_public('pg_catalog.pg_class');
SELECT dp_declare_public('mirage.budget');
SELECT dp_declare_public(NULL);
SELECT dp_declare_public(0::regclass);
CREATE TEMP TABLE fleeting (id int PRIMARY KEY);
\set VERBOSITY sqlstate
SELECT dp_declare_public('fleeting');
\set VERBOSITY default
DROP TABLE fleeting;
SELECT dp_protect('country', budget => 'people');
SELECT dp_protect('region_low', budget => 'people');
SELECT dp_protect('region', epsilon => 1);
SELECT dp_declare_public('region', false);
SELECT dp_protect('region', epsilon => 1);
SELECT dp_declare_public('region_low');
-- tied to protected rows, before or after
SELECT dp_protect('persons', epsilon => 1);
SELECT dp_declare_public('heads');
ALTER TABLE country ADD head int REFERENCES persons;
SELECT source, unused_checks FROM dp_describe('people') WHERE "column" = 'country';
ALTER TABLE country DROP head;
-- through a table that nobody protected, or by a partition's own key
CREATE TABLE staff (id int PRIMARY KEY, person int REFERENCES persons);
ALTER TABLE country ADD head int REFERENCES staff;
SELECT source, unused_checks FROM dp_describe('people') WHERE "column" = 'country';
SELECT dp_declare_public('staff');
ALTER TABLE country DROP head;
CREATE TABLE place (id int PRIMARY KEY, keeper int) PARTITION BY RANGE (id);
CREATE TABLE place_low PARTITION OF place FOR VALUES FROM (0) TO (50);
SELECT dp_declare_public('place');
ALTER TABLE place_low ADD FOREIGN KEY (keeper) REFERENCES staff;
CREATE TABLE lives (place int REFERENCES place);
SELECT source, unused_checks FROM dp_describe('lives');
SELECT dp_declare_public('place');
-- row security that is turned on later
ALTER TABLE country ENABLE ROW LEVEL SECURITY;
SELECT source, unused_checks FROM dp_describe('people') WHERE "column" = 'country';
ALTER TABLE country DISABLE ROW LEVEL SECURITY;
SELECT source, unused_checks FROM dp_describe('people') WHERE "column" = 'country';

-- foreign keys that promise nothing: to other types, of inheritance parents
CREATE TABLE visits (land varchar(9) REFERENCES country, when_at timestamp);
CREATE TABLE more_visits () INHERITS (visits);
CREATE TABLE prices (id numeric PRIMARY KEY);
INSERT INTO prices VALUES (1.5), (2), (2.50);
CREATE TABLE odd (n int NOT NULL REFERENCES prices, m numeric REFERENCES prices, code int PRIMARY KEY REFERENCES serials,
  k int REFERENCES serials CHECK (k > 20000));
SELECT dp_declare_public('prices');
SELECT dp_protect('visits', epsilon => 1);
SELECT dp_protect('odd', epsilon => 1);
SELECT "column", source, unused_checks FROM dp_describe('visits');
SELECT "column", kind, domain, source, unused_checks FROM dp_describe('odd');
-- partitions have their parent's keys; a key to a partitioned table is one, not one a partition
CREATE TABLE trips (land text REFERENCES country, home int REFERENCES serials) PARTITION BY LIST (land);
CREATE TABLE trips_at PARTITION OF trips FOR VALUES IN ('AT');
SELECT dp_protect('trips', epsilon => 1);
SELECT "column", source, unused_checks FROM dp_describe('trips_at');

-- a worker sees what is committed
CREATE TABLE late (id int PRIMARY KEY);
INSERT INTO late VALUES (1), (2);
CREATE TABLE users (late int REFERENCES late);
SELECT dp_protect('users', epsilon => 1);
BEGIN; SELECT dp_declare_public('late'); SELECT dp_train('u', 'users', epsilon => 0.1); ROLLBACK;
BEGIN; SELECT dp_declare_public('late'); ROLLBACK;
SELECT source FROM dp_describe('users');
BEGIN; SET TRANSACTION READ ONLY; SELECT dp_declare_public('late'); ROLLBACK;
BEGIN; LOCK TABLE zip IN ACCESS EXCLUSIVE MODE; SELECT dp_train('u', 'people', epsilon => 0.1, columns => '{zip}'); ROLLBACK;
-- nobody else
SET ROLE regress_nobody;
SELECT dp_declare_public('late');
SELECT dp_declare_public('country', false);
RESET ROLE;
SELECT ok, first_bad FROM dp_verify_audit();
DROP EXTENSION pg_mirage CASCADE;
DROP OWNED BY regress_owner; DROP OWNED BY regress_nobody;
DROP ROLE regress_owner, regress_nobody;
