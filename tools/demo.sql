-- demo.sql: the main job, from a protected table to the rows of a role that never saw it. tools/demo.sh runs it beside
-- a throwaway server as the role that owns the table, with the variables tbl (the table, as regclass reads it), row
-- (NULL of its type) and model; the roles researcher, stranger and auditor, the server models and the schema elsewhere
-- are there.
\pset footer off
\pset null '-'
\set ON_ERROR_STOP 1
\set QUIET 1
SET client_min_messages = notice;
SET timezone = 'UTC';

\echo
\echo '== 1. The owner gives the people in the table a budget: epsilon 10, ever.'
\set ECHO queries
SELECT dp_protect(:'tbl', epsilon => 10);
\set ECHO none

\echo '== 2. What is public about each column, and what must be learnt out of the budget.'
\set ECHO queries
SELECT "column", type, kind, domain, source, codes FROM dp_describe(:'tbl');
\set ECHO none

\echo '== 3. What a training at epsilon 1 would buy, and with what noise. Reads no row.'
\set ECHO queries
SELECT step, "column", round(share::numeric, 4) AS share, round(sigma::numeric, 1) AS sigma, count
FROM dp_plan(:'tbl', epsilon => 1);
\set ECHO none

\echo '== 4. The training, in a background worker. The charge is committed before the first row is read.'
\set ECHO queries
SELECT dp_train(:'model', :'tbl', epsilon => 1) AS job;
SELECT model, state, round(extract(epoch FROM elapsed)::numeric, 1) AS seconds FROM dp_jobs;
\set ECHO none

\echo '== 5. Twenty synthetic rows, of the table''s own types.'
\set ECHO queries
SELECT * FROM dp_synthesize_as(:row, :'model', 20);
\set ECHO none

\echo '== 6. Real against synthetic: as many rows as the model believes there are.'
\echo '(The real figures are exact, and for the owner''s eyes: nobody else can ask for them.)'
\echo
CREATE TEMP TABLE synthetic AS SELECT * FROM dp_synthesize_as(:row, :'model');

-- For each column: NULLs; quartiles of what has an order; the commonest values of the rest.
CREATE FUNCTION pg_temp.compare(real_table regclass)
RETURNS TABLE("column" name, measure text, "real" text, synthetic text) LANGUAGE plpgsql AS $$
DECLARE
  col record;
  nulls constant text :=
    'SELECT round(100.0 * count(*) FILTER (WHERE %1$I IS NULL) / greatest(count(*), 1), 1)::text FROM %2$s';
  quartiles constant text :=
    'SELECT array_to_string(percentile_disc(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY %1$I), '' | '') FROM %2$s';
  shares constant text :=
    'SELECT %1$I::text AS v, count(*)::numeric / sum(count(*)) OVER () AS share FROM %2$s '
    'WHERE %1$I IS NOT NULL GROUP BY 1';
BEGIN
  FOR col IN
    SELECT a.attname, a.attnotnull, t.typcategory IN ('N', 'D') AS ordered
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = real_table AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
  LOOP
    "column" := col.attname;
    IF NOT col.attnotnull THEN
      measure := 'NULL, %';
      EXECUTE format(nulls, col.attname, real_table) INTO "real";
      EXECUTE format(nulls, col.attname, 'pg_temp.synthetic') INTO synthetic;
      RETURN NEXT;
    END IF;
    IF col.ordered THEN
      measure := 'quartiles';
      EXECUTE format(quartiles, col.attname, real_table) INTO "real";
      EXECUTE format(quartiles, col.attname, 'pg_temp.synthetic') INTO synthetic;
      RETURN NEXT;
    ELSE
      FOR measure, "real", synthetic IN EXECUTE format(
        'SELECT left(r.v, 40) || '', %%'', round(100 * r.share, 1)::text, round(100 * coalesce(s.share, 0), 1)::text '
        'FROM (%s) AS r LEFT JOIN (%s) AS s USING (v) ORDER BY r.share DESC, r.v LIMIT 3',
        format(shares, col.attname, real_table), format(shares, col.attname, 'pg_temp.synthetic'))
      LOOP
        RETURN NEXT;
      END LOOP;
    END IF;
  END LOOP;
END
$$;
SELECT * FROM pg_temp.compare(:'tbl');

SELECT :'tbl' = 'admissions' AS made_up \gset
\if :made_up
\echo 'Columns together, which no single one of them shows:'
\set ECHO queries
SELECT ward, source, round(avg(age)) AS age, round(avg(stay_days), 2) AS stay, round(avg(charge)) AS charge,
       round(100 * avg(emergency::int)) AS "emergency, %", round(100 * avg((sex = 'female')::int)) AS "women, %",
       round(100.0 * count(follow_up) / count(*)) AS "follow-up, %"
FROM (SELECT 'real' AS source, * FROM admissions UNION ALL SELECT 'synthetic', * FROM synthetic) AS both_tables
GROUP BY ward, source ORDER BY ward, source;
\set ECHO none
\endif

\echo '== 7. What is left of the budget.'
\set ECHO queries
SELECT name, epsilon, delta, round(used::numeric, 4) AS used, round(spent::numeric, 3) AS spent,
       round(remaining::numeric, 3) AS remaining, protected_tables FROM dp_budgets;
SELECT model, role, state, epsilon, delta FROM dp_ledger;
\set ECHO none

\echo '== 8. Who may read what: the owner, a role that is granted the model, and one that is not.'
\set ECHO queries
SELECT dp_grant(:'model', 'researcher') \g /dev/null
\set ECHO none
-- Each role tries for itself. Only a refusal for want of a privilege is caught.
\set table_query 'SELECT * FROM ' :"tbl"
\set model_query 'SELECT dp_synthesize(' :'model' ', 100)'
\set attempt 'CREATE FUNCTION pg_temp.attempt(query text) RETURNS text LANGUAGE plpgsql AS '
\set attempt :attempt '$$ DECLARE n bigint; BEGIN '
\set attempt :attempt 'EXECUTE ''SELECT count(*) FROM ('' || query || '') AS x'' INTO n; RETURN n || '' rows''; '
\set attempt :attempt 'EXCEPTION WHEN insufficient_privilege THEN RETURN ''refused: '' || SQLERRM; END $$;'
\set report 'SELECT current_user AS role, pg_temp.attempt(:''table_query'') AS "the table", '
\set report :report 'pg_temp.attempt(:''model_query'') AS "100 rows of the model";'
\pset expanded on
:attempt
:report
\connect - researcher
:attempt
:report
\connect - stranger
:attempt
:report
\pset expanded off

\connect - hospital
\echo
\echo '== 9. A grant with limits: so many rows a day, for a purpose. What was had before counts.'
\set ECHO queries
SELECT dp_grant(:'model', 'researcher', max_rows => 10000, per => '1 day', purposes => '{research}') \g /dev/null
\connect - researcher
SELECT dp_materialize(:'model', 'elsewhere.found', 5000, purpose => 'research') AS rows;
\set ON_ERROR_STOP 0
SELECT dp_synthesize(:'model', 9000, purpose => 'research');
SELECT dp_synthesize(:'model', 10);
\set ON_ERROR_STOP 1
SELECT max_rows, per, purposes, used, remaining FROM dp_grants;
\set ECHO none

\connect - hospital
\echo '== 10. The model as a table: fixed, virtual, streamed.'
\set ECHO queries
IMPORT FOREIGN SCHEMA models LIMIT TO (:"model") FROM SERVER models INTO public OPTIONS (rows '1000000');
SELECT count(*) FROM :"model";
\set ECHO none
SELECT :'tbl' = 'admissions' AS made_up \gset
\if :made_up
\set ECHO queries
SELECT region, count(*), round(avg(charge)) AS charge FROM :"model"
  WHERE ward = 'cardiology' AND age >= 85 GROUP BY 1 ORDER BY 1;
\set ECHO none
\endif

\connect - researcher
\echo '== 11. A part of the rows of step 9 turns up without a name. Whose were they?'
\set ECHO queries
DELETE FROM elsewhere.found WHERE random() < 0.5;
GRANT SELECT ON elsewhere.found TO auditor;
\set ECHO none
\connect - auditor
SELECT coalesce((card #>> '{watermark,marked}')::boolean, false) AS marked FROM dp_models WHERE name = :'model' \gset
\if :marked
\set ECHO queries
SELECT coalesce(recipient, '(the model)') AS who, features, round(score::numeric, 1) AS score, p_value
FROM dp_trace('SELECT * FROM elsewhere.found');
\set ECHO none
\else
\echo 'This model has too few columns to mark its rows.'
\endif

\echo '== 12. What the record says: issuances with their signed receipts, and a log that is whole.'
\set ECHO queries
SELECT id, recipient, rows, purpose, path, dp_verify_receipt(dp_receipt(id)) AS receipt FROM dp_issuances ORDER BY id;
SELECT entries, ok FROM dp_verify_audit();
SELECT left(dp_audit_head(), 100) || '..' AS "a signed head, to be kept outside";
\set ECHO none
