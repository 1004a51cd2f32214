-- Units are told apart by the column's own equality, its collation included. A collation under which texts that differ
-- are equal is ICU's: a server built without it has none.
SELECT NOT EXISTS (SELECT FROM pg_collation WHERE collname = 'und-x-icu') AS no_icu \gset
\if :no_icu
\quit
\endif
SET client_min_messages = warning;
CREATE EXTENSION pg_mirage;
CREATE COLLATION regress_any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE spelt (t text COLLATE regress_any_case NOT NULL, x boolean NOT NULL);
INSERT INTO spelt SELECT CASE s WHEN 0 THEN 'Unit ' ELSE 'uNIT ' END || u, u % 2 = 0
FROM generate_series(1, 1500) u, generate_series(0, 1) s;
SELECT dp_protect('spelt', epsilon => 1000, unit => 't');
SELECT dp_train('spelt', 'spelt', 'independent', epsilon => 100, columns => '{x}') > 0 AS trained;
-- of each unit's two rows one is used
SELECT abs(count(*) - 1500) < 60 AS units FROM dp_synthesize('spelt') AS t(x boolean);
SELECT unit FROM dp_budgets;
DROP EXTENSION pg_mirage CASCADE;
DROP TABLE spelt;
DROP COLLATION regress_any_case;
