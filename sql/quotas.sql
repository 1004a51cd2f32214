-- What counts against a limit of rows, compared with a plain sum over all releases, through a random history of releases,
-- new and withdrawn grants, roles that exchange names, go and come back, and time that passes.
SET client_min_messages = warning;
CREATE EXTENSION pg_mirage;
SELECT setseed(0.25) IS NULL AS never;
CREATE TABLE few AS SELECT (g % 3)::int AS a FROM generate_series(1, 60) g;
ALTER TABLE few ALTER a SET NOT NULL, ADD CHECK (a BETWEEN 0 AND 2);
SELECT dp_protect('few', epsilon => 1);
SELECT dp_train('quotas', 'few', 'independent', epsilon => 1) > 0 AS trained;
CREATE ROLE regress_q1;
CREATE ROLE regress_q2;
CREATE ROLE regress_q3;
CREATE ROLE regress_qg ROLE regress_q3;

CREATE VIEW plain_sum AS
SELECT g.grantee_name AS grantee, g.grantee_oid, g.identity, g.max_rows, coalesce(sum(i.requested_rows), 0) AS used
FROM mirage.model_grant g LEFT JOIN mirage.issuance i
  ON i.model = g.model AND i.issued_at > now() AT TIME ZONE 'UTC' AT TIME ZONE 'UTC' - coalesce(g.per, '1000 years')
 AND (i.grantee_name = g.grantee_name OR (i.grantee_oid = g.grantee_oid
      AND split_part(i.identity, ':', 1) = split_part(g.identity, ':', 1)))
GROUP BY 1, 2, 3, 4;
CREATE TABLE history (step int, what text, expected boolean, got boolean, wrong bigint);
CREATE PROCEDURE shift(by interval) LANGUAGE plpgsql AS $$
BEGIN
  ALTER TABLE mirage.issuance DISABLE TRIGGER refuse_change;
  UPDATE mirage.issuance SET issued_at = issued_at + by;
  ALTER TABLE mirage.issuance ENABLE ALWAYS TRIGGER refuse_change;
END
$$;
CREATE FUNCTION take(role text, n bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('SET LOCAL ROLE %I', role);
  PERFORM count(*) FROM dp_synthesize('quotas', n) t(a int);
  RESET ROLE;
  RETURN true;
EXCEPTION WHEN program_limit_exceeded OR insufficient_privilege THEN
  RETURN false;
END
$$;
DO $$
DECLARE
  r float8;
  who text;
  rows bigint;
  what text;
  expected boolean;
  got boolean;
BEGIN
  FOR step IN 1 .. 150 LOOP
    r := random();
    who := 'regress_q' || (ARRAY['1', '2', '3', 'g'])[1 + floor(4 * random())];
    rows := floor(12 * random());
    expected := NULL;
    got := NULL;
    IF r < 0.6 THEN
      what := 'release';
      SELECT coalesce(bool_or(max_rows IS NULL OR used + rows <= max_rows), false) INTO expected
      FROM plain_sum p WHERE mirage.is_role(p.grantee_oid, p.grantee, p.identity)
        AND pg_has_role(who, p.grantee_oid, 'usage');
      got := take(who, rows);
    ELSIF r < 0.72 OR step < 8 THEN
      what := 'grant';
      IF random() < 0.2 THEN
        PERFORM dp_grant('quotas', who::regrole);
      ELSE
        PERFORM dp_grant('quotas', who::regrole, (30 * random())::bigint + 1,
                         CASE WHEN random() < 0.7 THEN '1 hour'::interval * ceil(3 * random()) END);
      END IF;
    ELSIF r < 0.77 THEN
      what := 'exchange of names';
      ALTER ROLE regress_q1 RENAME TO regress_q0;
      ALTER ROLE regress_q2 RENAME TO regress_q1;
      ALTER ROLE regress_q0 RENAME TO regress_q2;
    ELSIF r < 0.81 THEN
      what := 'a role of the same name';
      DROP ROLE regress_q1;
      CREATE ROLE regress_q1;
    ELSIF r < 0.84 THEN
      what := 'revoke';
      PERFORM dp_revoke('quotas', who::regrole) FROM dp_grants WHERE model = 'quotas' AND grantee = who;
    ELSE
      what := 'time passes';
      CALL shift(-random() * interval '50 min');
    END IF;
    COMMIT;
    INSERT INTO history SELECT step, what, expected, got, count(*) FROM plain_sum p
      JOIN dp_grants g ON g.model = 'quotas' AND g.grantee = p.grantee WHERE g.used <> p.used;
    COMMIT;
  END LOOP;
END
$$;
SELECT what, count(*) FILTER (WHERE expected <> got) AS wrongly, sum(wrong) AS wrong_sums, count(*) > 2 AS often,
  count(*) FILTER (WHERE got) > 9 AS some_got, count(*) FILTER (WHERE NOT got) > 9 AS some_refused
FROM history GROUP BY what ORDER BY what;
SELECT * FROM history WHERE expected <> got OR wrong > 0 ORDER BY step LIMIT 5;

-- a clock that is set back opens no window earlier
SELECT dp_grant('quotas', 'regress_q2', 100000, '1 hour');
SELECT take('regress_q2', 1);
CALL shift('30 min');
SELECT take('regress_q2', 2);
SELECT min(issued_at) = max(issued_at) AS stands_still, min(issued_at) > now() AS ahead,
  count(DISTINCT id) AS releases FROM (SELECT * FROM mirage.issuance ORDER BY id DESC LIMIT 2) i;
CALL shift('-61 min');
SELECT used >= 3 AS still_counted FROM dp_grants WHERE grantee = 'regress_q2';
CALL shift('-30 min');
SELECT used FROM dp_grants WHERE grantee = 'regress_q2';

-- more rows than a bigint counts
SELECT dp_grant('quotas', 'regress_q2', 9223372036854775807);
BEGIN;
ALTER TABLE mirage.issuance DISABLE TRIGGER refuse_change;
UPDATE mirage.issuance SET requested_rows = 9223372036854775807, name_total = name_total + 9223372036854775807,
  oid_total = oid_total + 9223372036854775807, both_total = both_total + 9223372036854775807,
  recipient_total = recipient_total + 9223372036854775807 WHERE id = (SELECT max(id) FROM mirage.issuance);
ALTER TABLE mirage.issuance ENABLE ALWAYS TRIGGER refuse_change;
COMMIT;
SELECT take('regress_q2', 0) AS got;
SELECT dp_grant('quotas', 'regress_q2');
SELECT take('regress_q2', 5) AS got;
SELECT used > 9223372036854775807 AS beyond, remaining FROM dp_grants WHERE grantee = 'regress_q2';

-- the index is what finds a sum
ANALYZE mirage.issuance;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
CREATE FUNCTION plan_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY EXECUTE 'EXPLAIN (COSTS off) ' || query;
END
$$;
SELECT count(*) FILTER (WHERE p ~ 'Index (Only )?Scan Backward') AS by_index, count(*) FILTER (WHERE p ~ 'Aggregate|Sort') AS otherwise
FROM plan_of('SELECT used FROM mirage.grant_use') p;
RESET enable_seqscan;
RESET enable_bitmapscan;
RESET enable_sort;

DROP VIEW plain_sum;
DROP EXTENSION pg_mirage CASCADE;
DROP FUNCTION plan_of, take;
DROP PROCEDURE shift;
DROP TABLE history, few;
DROP ROLE regress_qg, regress_q1, regress_q2, regress_q3;
