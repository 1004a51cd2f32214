-- Models that wait for an administrator: nobody has rows of them before somebody other than who trained them said so.
\set SHOW_CONTEXT never
\set super :USER
SET client_min_messages = warning;
CREATE EXTENSION pg_mirage;
SELECT format('ALTER DATABASE %I SET client_min_messages = warning', current_database()) \gexec
CREATE ROLE regress_team NOLOGIN;
CREATE ROLE regress_owner LOGIN IN ROLE regress_team;
CREATE ROLE regress_reader LOGIN;
CREATE ROLE regress_admin LOGIN IN ROLE mirage_admin;
-- administers, and trains; and a role that it can take on
CREATE ROLE regress_both LOGIN IN ROLE mirage_admin, mirage_trainer;
CREATE ROLE regress_desk NOLOGIN IN ROLE mirage_admin;
GRANT regress_desk TO regress_both;
CREATE ROLE regress_mate LOGIN IN ROLE mirage_admin, regress_team;
GRANT CREATE ON SCHEMA public TO regress_owner;
\c - regress_owner
CREATE TABLE people (age int NOT NULL CHECK (age BETWEEN 0 AND 9), sex text NOT NULL CHECK (sex IN ('F', 'M')));
INSERT INTO people SELECT i % 10, CASE WHEN i % 3 = 0 THEN 'F' ELSE 'M' END FROM generate_series(1, 300) i;
SELECT dp_create_budget('people', 50, require_approval => true);
SELECT dp_protect('people', 'people');
GRANT SELECT ON people TO regress_both;
SELECT dp_train('m', 'people', epsilon => 1, method => 'independent') > 0 AS trained;
SELECT name, state, card -> 'decisions' AS decisions FROM dp_models;
SELECT name, require_approval FROM dp_budgets;
-- neither the owner, nor a grantee, nor a superuser has rows of it
SELECT dp_synthesize('m', 1);
SELECT dp_grant('m', 'regress_reader');
\c - regress_reader
SELECT dp_synthesize('m', 1);
\c - :super
SELECT dp_synthesize('m', 1);
BEGIN;
UPDATE mirage.model SET state = 'ready' WHERE name = 'm';
SELECT ok FROM dp_verify_audit();
ROLLBACK;
-- who may not decide: the owner, by whatever role
\c - regress_owner
SELECT dp_approve('m', 'mine');
SELECT dp_reject('m', 'mine');
SELECT dp_alter_budget('people', require_approval => false);
\c - regress_reader
SELECT dp_approve('m', 'please');
-- who may: a note, a state that there is something to decide about, and it is as transactional as GRANT
\c - regress_admin
SELECT dp_approve('m', NULL);
SELECT dp_approve('m', E' \n');
SELECT dp_approve('m', E'a\rb');
SELECT dp_approve('m', repeat('x', 2001));
SELECT dp_approve('no such model', 'x');
SELECT dp_withdraw('m', 'not given out yet');
BEGIN;
SELECT dp_approve('m', 'on second thoughts, no');
ROLLBACK;
SELECT state FROM dp_models;
SELECT dp_reject('m', 'Two columns too many.');
SELECT dp_reject('m', 'again');
\c - regress_reader
SELECT dp_synthesize('m', 1);
\c - regress_admin
SELECT dp_approve('m', E'Looked at the columns:\n"age" and "sex" will do.');
SELECT dp_approve('m', 'again');
SELECT dp_synthesize('m', 1);
\c - regress_reader
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 3);
-- the decision is for everybody to see who may see the model
SELECT state, jsonb_path_query_array(card, '$.decisions[*].decision') AS decisions, card -> 'decisions' -> 1 ->> 'note' AS note,
  card -> 'decisions' -> 1 ->> 'by' AS by, (card -> 'decisions' -> 1 ->> 'at')::timestamptz <= now() AS at FROM dp_models;
-- withdrawn by its owner, who cannot take that back
\c - regress_owner
SELECT dp_withdraw('m', 'The survey was redone.');
SELECT dp_withdraw('m', 'again');
SELECT dp_synthesize('m', 1);
SELECT dp_reject('m', 'again');
\c - regress_reader
SELECT dp_withdraw('m', 'x');
\c - regress_admin
SELECT dp_approve('m', 'It was not.');
SELECT dp_withdraw('m', 'It was.');
-- a trainer who is an administrator as well; a member of the role that trained; a superuser
\c - regress_both
SELECT dp_train('b', 'people', epsilon => 1, method => 'independent') > 0 AS trained;
SELECT dp_approve('b', 'mine');
SET ROLE regress_desk;
SELECT dp_approve('b', 'mine');
SET ROLE mirage_admin;
SELECT dp_approve('b', 'mine');
\c - :super
ALTER TABLE people OWNER TO regress_team;
\c - regress_owner
SET ROLE regress_team;
SELECT dp_train('t', 'people', epsilon => 1, method => 'independent') > 0 AS trained;
\c - regress_mate
SELECT dp_approve('t', 'ours');
\c - :super
SELECT dp_train('s', 'people', epsilon => 1, method => 'independent') > 0 AS trained;
SELECT dp_approve('s', 'mine');
SET SESSION AUTHORIZATION regress_admin;
SELECT dp_approve('s', 'mine, under another name');
RESET SESSION AUTHORIZATION;
-- a role that a superuser took on to train is the superuser's model too
SET SESSION AUTHORIZATION regress_both;
SELECT dp_train('p', 'people', epsilon => 1, method => 'independent') > 0 AS trained;
RESET SESSION AUTHORIZATION;
SELECT dp_approve('p', 'mine');
-- but not others'
SELECT dp_approve('t', 'looked at it');
\c - regress_admin
SELECT dp_approve(name, 'looked at it') FROM dp_models WHERE state = 'pending' ORDER BY name;
SELECT name, owner, state, card -> 'decisions' -> 0 ->> 'by' AS by FROM dp_models ORDER BY name;
-- the budget's owner may ask for approval; somebody else lets it go; models that wait go on waiting
\c - regress_owner
SELECT dp_create_budget('other', 5);
SELECT dp_alter_budget('other', require_approval => true);
SELECT dp_alter_budget('people', epsilon => 60);
\c - regress_admin
SELECT dp_alter_budget('people', require_approval => false);
SELECT name, epsilon, require_approval FROM dp_budgets ORDER BY name;
SELECT dp_create_budget('own', 1, require_approval => true);
SELECT dp_alter_budget('own', require_approval => false);
\c - regress_both
SELECT dp_train('free', 'people', epsilon => 1, method => 'independent') > 0 AS trained;
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'free', 2);
SELECT dp_drop_model('free');
-- decisions are in the log, and outlive the model
\c - :super
SELECT dp_drop_model('m');
SELECT model_name, decision, role_name, login_name FROM mirage.decision WHERE model_name IN ('m', 't') ORDER BY id;
SELECT role, action, object, detail FROM dp_audit_log WHERE action IN ('approve', 'reject', 'withdraw') AND object IN ('m', 't') ORDER BY id;
SELECT count(*) AS waiting FROM dp_audit_log WHERE action = 'train' AND detail ->> 'state' = 'pending';
SELECT ok FROM dp_verify_audit();
-- verification finds a state that nobody decided on, and decisions that were changed by force
SET client_min_messages = notice;
BEGIN;
UPDATE mirage.model SET state = 'withdrawn' WHERE name = 't';
SELECT ok FROM dp_verify_audit();
ROLLBACK;
BEGIN;
ALTER TABLE mirage.decision DISABLE TRIGGER refuse_change;
UPDATE mirage.decision SET role_name = 'regress_both' WHERE model_name = 't';
ALTER TABLE mirage.decision ENABLE ALWAYS TRIGGER refuse_change;
SELECT ok FROM dp_verify_audit();
ROLLBACK;
SET client_min_messages = warning;
DELETE FROM mirage.decision;
UPDATE mirage.decision SET note = '';
TRUNCATE mirage.decision;
DROP EXTENSION pg_mirage CASCADE;
DROP TABLE people;
SELECT format('ALTER DATABASE %I RESET client_min_messages', current_database()) \gexec
DROP OWNED BY regress_owner, regress_team;
DROP ROLE regress_owner, regress_reader, regress_admin, regress_both, regress_desk, regress_mate, regress_team;
