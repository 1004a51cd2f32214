-- Budgets: a cap that can be moved but never below what is spent, a renewal period that hides nothing, shares, the site's limit.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION pg_mirage;
CREATE ROLE regress_owner LOGIN;
CREATE ROLE regress_analyst LOGIN;
GRANT CREATE ON SCHEMA public TO regress_owner;
SET ROLE regress_owner;
CREATE TABLE people (a int NOT NULL CHECK (a BETWEEN 0 AND 4), b int NOT NULL CHECK (b BETWEEN 0 AND 2));
INSERT INTO people SELECT i % 5, i % 3 FROM generate_series(1, 1000) i;
SELECT dp_create_budget('b', 2, period => '0 seconds');
SELECT dp_create_budget('b', 2, period => '-1 day');
SELECT dp_create_budget('b', 2, period => '100 years');
SELECT dp_protect('people', budget => 'b');
SELECT dp_train('m', 'people', epsilon => 1.5) > 0 AS trained;
SELECT name, epsilon, round(used::numeric, 3) AS used, round(spent::numeric, 3) AS spent, round(lifetime::numeric, 3) AS lifetime, period
  FROM dp_budgets;
-- what was used of a charge is at most the charge
SELECT used_rho > 0 AND used_rho <= (events->0->>'rho')::float8 * (1 + 1e-9) AS within FROM dp_ledger;
-- never below what is spent
SELECT dp_alter_budget('b', epsilon => 1);
SELECT dp_alter_budget('b', delta => 1e-30);
SELECT dp_alter_budget('b', epsilon => 'NaN');
SELECT dp_alter_budget('no such budget', epsilon => 1);
SELECT dp_alter_budget('b', epsilon => 1.7);
SELECT dp_train('n', 'people', epsilon => 1) > 0 AS trained;
SELECT dp_alter_budget('b', epsilon => 4);
SELECT dp_train('n2', 'people', epsilon => 1) > 0 AS trained;
SELECT name, epsilon, round(spent::numeric, 2) AS spent, spent <= 2.5 AS composed, remaining < 4 AND remaining > 2 AS left FROM dp_budgets;
-- a whole budget, and a whole share, fit
SELECT dp_create_budget('whole', 0.7);
CREATE TABLE others (a int NOT NULL CHECK (a BETWEEN 0 AND 4));
INSERT INTO others SELECT i % 5 FROM generate_series(1, 500) i;
SELECT dp_protect('others', budget => 'whole');
SELECT dp_grant_budget('whole', 'regress_analyst', 0.4);
SET ROLE regress_analyst;
SELECT dp_train('o', 'others', epsilon => 0.41);
SELECT dp_train('o', 'others', epsilon => 0.4) > 0 AS trained;
SELECT dp_train('p', 'others', epsilon => 0.01);
SELECT dp_alter_budget('whole', epsilon => 9);
SET ROLE regress_owner;
SELECT share, epsilon FROM dp_ledger WHERE budget = 'whole';
-- renewal: only charges of the last period count towards the cap; the lifetime shows all
SELECT dp_create_budget('renewing', 1, period => '1 second');
CREATE TABLE visits (a int NOT NULL CHECK (a BETWEEN 0 AND 4));
SELECT dp_protect('visits', budget => 'renewing');
SELECT dp_train('v1', 'visits', epsilon => 1) > 0 AS trained;
SELECT pg_sleep(1.1);
SELECT dp_train('v2', 'visits', epsilon => 1) > 0 AS trained;
SELECT lifetime > 1.3 AS shown FROM dp_budgets WHERE name = 'renewing';
-- every cap there ever was is on the card
SELECT name, jsonb_path_query_array(card, '$.budget_caps[*].epsilon') AS caps FROM dp_models ORDER BY name;
RESET ROLE;
UPDATE mirage.budget_change SET epsilon = 0;
SELECT action, object, detail->>'was_epsilon' AS was, detail->>'epsilon' AS now FROM dp_audit_log WHERE action = 'alter budget' ORDER BY id;
SELECT ok FROM dp_verify_audit();
DROP EXTENSION pg_mirage CASCADE;
DROP OWNED BY regress_owner, regress_analyst;
DROP ROLE regress_owner, regress_analyst;
