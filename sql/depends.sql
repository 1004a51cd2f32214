-- Columns that are a function of others, in every row that is ever emitted.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION pg_mirage;
-- 60 cities in 6 states in 2 halves; an age and its band; a price of no scale
CREATE TABLE people (id int PRIMARY KEY, city text NOT NULL, state text NOT NULL CHECK (state IN ('A', 'B', 'C', 'D', 'E', 'F')),
  half boolean, age int CHECK (age BETWEEN 0 AND 99), band int, day date NOT NULL, month int NOT NULL CHECK (month BETWEEN 1 AND 12),
  ratio float8, price numeric, note text);
INSERT INTO people
SELECT i, 'city ' || i % 60, chr(65 + i % 60 % 6), i % 60 % 6 < 3, CASE WHEN i % 11 > 0 THEN i % 97 END,
       CASE WHEN i % 11 > 0 THEN i % 97 / 20 END, date '2024-01-01' + i % 366, extract(month FROM date '2024-01-01' + i % 366),
       (i % 7) / 7.0, i % 5, 'n'
FROM generate_series(1, 6000) i;
SELECT dp_protect('people', epsilon => 1000);
-- what cannot be
SELECT dp_set_column('people', 'state', depends_on => '{nope}');
SELECT dp_set_column('people', 'state', depends_on => '{state}');
SELECT dp_set_column('people', 'state', depends_on => '{city,city}');
SELECT dp_set_column('people', 'state', depends_on => '{}');
SELECT dp_set_column('people', 'state', depends_on => ARRAY['city', NULL]::name[]);
SELECT dp_set_column('people', 'state', depends_on => '{id}');
SELECT dp_set_column('people', 'state', depends_on => '{price}');
SELECT dp_set_column('people', 'id', depends_on => '{city}');
SELECT dp_set_column('people', 'note', kind => 'excluded', depends_on => '{city}');
SELECT dp_set_column('people', 'state', depends_on => '{a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q}');
-- circles, short and long
SELECT dp_set_column('people', 'state', depends_on => '{city}');
SELECT dp_set_column('people', 'city', depends_on => '{state}');
SELECT dp_set_column('people', 'half', depends_on => '{state}');
SELECT dp_set_column('people', 'city', depends_on => '{age,half}');
SELECT dp_set_column('people', 'band', kind => 'category', categories => '{0,1,2,3,4}', depends_on => '{age}');
SELECT dp_set_column('people', 'month', depends_on => '{day}');
SELECT dp_set_column('people', 'ratio', lower => '0', upper => '1', depends_on => '{state,band}');
SELECT "column", kind, source, unused_checks FROM dp_describe('people');

-- within a model equal values go with equal values: in one call, across calls, seeds and lists of columns
SELECT dp_train('p', 'people', epsilon => 500) > 0 AS trained;
CREATE TABLE rows AS SELECT * FROM dp_synthesize_as(NULL::people, 'p', 20000, seed => 1);
INSERT INTO rows SELECT * FROM dp_synthesize_as(NULL::people, 'p', 3000);
INSERT INTO rows (city, state, day, month)
  SELECT * FROM dp_synthesize('p', 3000) AS t(city text, state text, day date, month int);
CREATE FUNCTION several(determinants text, dependent text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM (SELECT FROM rows GROUP BY %s HAVING count(DISTINCT %s) + max((%2$s IS NULL)::int) > 1) x',
                 determinants, dependent) INTO n;
  RETURN n;
END
$$;
SELECT several('city', 'state') AS city_state, several('day', 'month') AS day_month;
DELETE FROM rows WHERE id IS NULL;
SELECT several('state', 'half') AS state_half, several('age', 'band') AS age_band, several('state, band', 'ratio') AS state_band_ratio,
       several('note, city', 'age') > 0 AS age_is_free;
-- and they are mostly the true ones
SELECT avg((state = chr(65 + substr(city, 6)::int % 6))::int) > 0.95 AS states, avg((half = (state < 'D'))::int) > 0.95 AS halves,
       avg((band = age / 20)::int) > 0.9 AS bands, avg((month = extract(month FROM day))::int) > 0.8 AS months FROM rows;
SELECT card->'dependent_columns' AS dependent_columns FROM mirage.model WHERE name = 'p';
-- a column without what it depends on is learnt as any other
SELECT "column", source FROM dp_describe('people') WHERE "column" = 'state';
SELECT dp_train('q', 'people', epsilon => 10, columns => '{state,half,age}') > 0 AS trained;
SELECT card->'dependent_columns' AS dependent_columns FROM mirage.model WHERE name = 'q';
-- each call replaces what was declared: a column that is no longer learnt takes the dependence with it
SELECT dp_set_column('people', 'city', kind => 'identifier', pattern => '@@@');
SELECT "column", source, unused_checks FROM dp_describe('people') WHERE "column" IN ('city', 'state');
SELECT dp_set_column('people', 'city');
SELECT dp_set_column('people', 'state');
SELECT dp_set_column('people', 'city', depends_on => '{state}');
-- a view's columns under other names
CREATE VIEW renamed AS SELECT age AS years, band AS decade, state FROM people;
SELECT "column", source FROM dp_describe('renamed');
SELECT dp_train('v', 'renamed', epsilon => 50) > 0 AS trained;
SELECT count(*) FROM (SELECT FROM dp_synthesize('v', 5000) AS t(years int, decade int) GROUP BY years
                      HAVING count(DISTINCT decade) + max((decade IS NULL)::int) > 1) x;
-- the two columns of one foreign key to a public table: the table itself says which goes with which, at any epsilon
CREATE TABLE place (country text, state text, city text, PRIMARY KEY (city, state), UNIQUE (country, state, city));
INSERT INTO place SELECT 'country ' || i % 2, 'state ' || i % 20, 'city ' || i FROM generate_series(1, 300) i;
INSERT INTO place VALUES ('country 7', 'state 7', 'city 8');
CREATE TABLE shop (city text NOT NULL, state text NOT NULL, size int CHECK (size BETWEEN 1 AND 3),
  FOREIGN KEY (city, state) REFERENCES place);
INSERT INTO shop SELECT city, state, 1 + random()::int FROM place;
SELECT dp_declare_public('place'), dp_protect('shop', epsilon => 10);
SELECT dp_set_column('shop', 'state', depends_on => '{city}');
SELECT "column", source, codes, unused_checks FROM dp_describe('shop');
SELECT dp_train('s', 'shop', epsilon => 2) > 0 AS trained;
CREATE TABLE shops AS SELECT * FROM dp_synthesize_as(NULL::shop, 's', 3000, seed => 1);
DELETE FROM shops WHERE city = 'city 8'; -- it lies in two states: that is not for the table to say
ALTER TABLE shops ADD FOREIGN KEY (city, state) REFERENCES place;
SELECT count(*) > 0 AS rows, count(DISTINCT (city, state)) = count(DISTINCT city) AS one_state_each FROM shops;
DROP EXTENSION pg_mirage CASCADE;
DROP VIEW renamed;
DROP TABLE people, rows, shops, shop, place;
