-- Watching: what alerts look like, who may see and acknowledge them. Limits and notifications: test/t/065_watch.pl.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION pg_mirage;
SET pg_mirage.alerts = on;
CREATE ROLE regress_watcher LOGIN IN ROLE mirage_auditor;
CREATE ROLE regress_watched LOGIN;
ALTER ROLE regress_watched SET pg_mirage.alerts = on;
CREATE TABLE people (age int NOT NULL CHECK (age BETWEEN 0 AND 99));
INSERT INTO people SELECT i % 100 FROM generate_series(1, 500) i;
SELECT dp_protect('people', epsilon => 10);
SELECT dp_train('m', 'people', 'independent', epsilon => 1) > 0 AS trained;
SELECT dp_grant('m', 'regress_watched');
SELECT name, setting, unit, context FROM pg_settings
WHERE name ~ '^pg_mirage\.(max_(failures|releases|rows)|failure|alert)' ORDER BY name;
SELECT * FROM dp_alerts;

-- far more rows than ever before: one alert a day, in the transaction of the release, which a ROLLBACK does not undo
\c - regress_watched
BEGIN;
SELECT count(*) FROM (SELECT dp_synthesize('m', 99999) LIMIT 1) x;
SELECT count(*) FROM (SELECT dp_synthesize('m', 1) LIMIT 1) x;
SELECT count(*) FROM (SELECT dp_synthesize('m', 100000) LIMIT 1) x;
ROLLBACK;
-- nobody sees what is said of it
SELECT * FROM dp_alerts;
SELECT count(*) FROM dp_audit_log WHERE action = 'alert';
SELECT * FROM mirage.alert;
SELECT * FROM mirage.use_day;
SELECT dp_acknowledge_alert(1, 'nothing to see');
SET pg_mirage.alerts = off;
SET pg_mirage.max_failures = 0;
-- nor by a setting that is made before the library is there to refuse it
\c - regress_watched
SET client_min_messages = error;
SET pg_mirage.alerts = off;
SET pg_mirage.max_releases_per_minute = 0;
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 1);
SHOW pg_mirage.alerts;
SHOW pg_mirage.max_releases_per_minute;
\c - regress_watcher
SET client_min_messages = warning;
SELECT id, kind, role, object, detail, acknowledged_by, acknowledged_at, note FROM dp_alerts;
SELECT role, session_role, object, detail FROM dp_audit_log WHERE action = 'alert';
SELECT dp_acknowledge_alert(1, '');
SELECT dp_acknowledge_alert(1, NULL);
SELECT dp_acknowledge_alert(NULL, 'which?');
SELECT dp_acknowledge_alert(2, 'there is no such alert');
SELECT dp_acknowledge_alert(1, 'load test "of the quarter"');
SELECT dp_acknowledge_alert(1, 'me, too');
SELECT id, acknowledged_by, acknowledged_at > at AS later, note FROM dp_alerts;
SELECT role, object, detail FROM dp_audit_log WHERE action = 'acknowledge alert';
\c - postgres
SET client_min_messages = warning;
-- one row a recipient and day
SELECT recipient, claimed, releases, rows FROM mirage.use_day;
UPDATE mirage.alert SET kind = 'nothing';
DELETE FROM mirage.alert_acknowledged;
TRUNCATE mirage.alert;
SELECT ok, first_bad FROM dp_verify_audit();
DROP EXTENSION pg_mirage CASCADE;
DROP TABLE people;
DROP ROLE regress_watcher, regress_watched;
