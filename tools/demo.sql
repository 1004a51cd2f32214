-- demo.sql: the main job, from a protected table to the rows of a role that never saw it. tools/demo.sh runs it
-- beside a throwaway server as the role that owns the table, with the variables tbl (the table, as regclass reads
-- it), row (NULL of its type) and model, and the roles researcher and stranger made.
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
\set ECHO none
SELECT 'trained in ' || round(extract(epoch FROM elapsed)::numeric, 1) || ' s' AS "time" FROM dp_jobs ORDER BY id DESC LIMIT 1;

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
  shares constant text := 'SELECT %1$I::text AS v, count(*)::numeric / sum(count(*)) OVER () AS share FROM %2$s WHERE %1$I IS NOT NULL GROUP BY 1';
BEGIN
  FOR col IN
    SELECT a.attname, a.attnotnull, t.typcategory IN ('N', 'D') AS ordered
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = real_table AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
  LOOP
    IF NOT col.attnotnull THEN
      RETURN QUERY EXECUTE format(
        'SELECT %3$L::name, ''NULL, %%'', (SELECT round(100.0 * count(*) FILTER (WHERE %1$I IS NULL) / greatest(count(*), 1), 1)::text FROM %2$s), '
        '(SELECT round(100.0 * count(*) FILTER (WHERE %1$I IS NULL) / greatest(count(*), 1), 1)::text FROM pg_temp.synthetic)',
        col.attname, real_table, col.attname);
    END IF;
    IF col.ordered THEN
      RETURN QUERY EXECUTE format(
        'SELECT %3$L::name, ''quartiles'', '
        '(SELECT array_to_string(percentile_disc(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY %1$I), '' | '') FROM %2$s), '
        '(SELECT array_to_string(percentile_disc(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY %1$I), '' | '') FROM pg_temp.synthetic)',
        col.attname, real_table, col.attname);
    ELSE
      RETURN QUERY EXECUTE format(
        'SELECT %1$L::name, left(r.v, 40) || '', %%'', round(100 * r.share, 1)::text, round(100 * coalesce(s.share, 0), 1)::text '
        'FROM (%2$s) AS r LEFT JOIN (%3$s) AS s USING (v) ORDER BY r.share DESC, r.v LIMIT 3',
        col.attname, format(shares, col.attname, real_table), format(shares, col.attname, 'pg_temp.synthetic'));
    END IF;
  END LOOP;
END
$$;
SELECT * FROM pg_temp.compare(:'tbl');

SELECT :'tbl' = 'admissions' AS made_up \gset
\if :made_up
\echo 'Columns together, which no single one of them shows:'
\set ECHO queries
SELECT ward, r.*, s.* FROM
  (SELECT ward, round(avg(age)) AS age, round(avg(stay_days), 2) AS stay, round(avg(charge)) AS charge,
          round(100 * avg(emergency::int)) AS "emergency, %" FROM admissions GROUP BY ward) AS r(ward, "age", "stay", "charge", "emergency, %")
  JOIN (SELECT ward, round(avg(age)), round(avg(stay_days), 2), round(avg(charge)), round(100 * avg(emergency::int))
        FROM synthetic GROUP BY ward) AS s(ward, "age, synth", "stay, synth", "charge, synth", "emergency, % synth") USING (ward)
ORDER BY ward;
\set ECHO none
\endif

\echo '== 7. What is left of the budget.'
\set ECHO queries
SELECT name, epsilon, delta, round(used::numeric, 4) AS used, round(spent::numeric, 3) AS spent,
       round(remaining::numeric, 3) AS remaining, protected_tables FROM dp_budgets;
SELECT model, role, state, epsilon, delta FROM dp_ledger;
\set ECHO none

\echo '== 8. A role that was granted the model, and one that was not: what each may read.'
\set ECHO queries
SELECT dp_grant(:'model', 'researcher') \g /dev/null
\set ECHO none
-- What becomes of a query, in a word: every refusal here must be one of privilege.
\set attempt 'CREATE FUNCTION pg_temp.attempt(query text) RETURNS text LANGUAGE plpgsql AS $$ DECLARE n bigint; BEGIN EXECUTE ''SELECT count(*) FROM ('' || query || '') AS x'' INTO n; RETURN n || '' rows''; EXCEPTION WHEN insufficient_privilege OR undefined_object THEN RETURN ''refused: '' || SQLERRM; END $$;'
\set report 'SELECT current_user AS role, pg_temp.attempt(format(''SELECT * FROM %s'', :''tbl''::regclass)) AS "the table", pg_temp.attempt(format(''SELECT dp_synthesize(%L, 100)'', :''model'')) AS "100 rows of the model";'
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
