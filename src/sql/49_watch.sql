-- Watching: what a recipient has had, and alerts. Written by workers in transactions of their own.

-- Sums of mirage.issuance by recipient and day (UTC), for comparing a day with others.
CREATE TABLE mirage.use_day (
  recipient text NOT NULL,
  claimed boolean NOT NULL,
  day date NOT NULL,
  releases bigint NOT NULL,
  rows float8 NOT NULL,
  PRIMARY KEY (recipient, claimed, day)
) WITH (fillfactor = 50);

CREATE SEQUENCE mirage.alert_id;
CREATE TABLE mirage.alert (
  id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('mirage.alert_id'),
  at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  kind text NOT NULL,
  role_name text NOT NULL, -- whose calls it is about
  claimed boolean NOT NULL,
  object text,
  detail jsonb NOT NULL
);
CREATE INDEX ON mirage.alert (role_name, kind, at);
CREATE TABLE mirage.alert_acknowledged (
  alert bigint PRIMARY KEY,
  role_name text NOT NULL,
  at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  note text NOT NULL
);

DO $$
DECLARE
  t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['alert', 'alert_acknowledged'] LOOP
    EXECUTE pg_catalog.format('CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON mirage.%I FOR EACH ROW '
                              'EXECUTE FUNCTION mirage.refuse_change()', t);
    EXECUTE pg_catalog.format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON mirage.%I FOR EACH STATEMENT '
                              'EXECUTE FUNCTION mirage.refuse_change()', t);
    EXECUTE pg_catalog.format('ALTER TABLE mirage.%I ENABLE ALWAYS TRIGGER refuse_change', t);
    EXECUTE pg_catalog.format('ALTER TABLE mirage.%I ENABLE ALWAYS TRIGGER refuse_truncate', t);
  END LOOP;
  FOREACH t IN ARRAY ARRAY['use_day', 'alert', 'alert_acknowledged', 'alert_id'] LOOP
    PERFORM pg_catalog.pg_extension_config_dump(pg_catalog.format('mirage.%I', t)::pg_catalog.regclass, '');
  END LOOP;
END
$$;

CREATE FUNCTION dp_acknowledge_alert(id bigint, note text)
RETURNS void LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_acknowledge_alert(bigint, text) IS
'records that somebody has looked at an alert, with a note; once for each';
REVOKE EXECUTE ON FUNCTION dp_acknowledge_alert(bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dp_acknowledge_alert(bigint, text) TO mirage_auditor, mirage_admin;

CREATE VIEW dp_alerts WITH (security_barrier) AS
SELECT a.id, a.at, a.kind, a.role_name AS role, a.object, a.detail,
       k.role_name AS acknowledged_by, k.at AS acknowledged_at, k.note, a.claimed
FROM mirage.alert a LEFT JOIN mirage.alert_acknowledged k ON k.alert OPERATOR(pg_catalog.=) a.id
WHERE mirage.oversees();
COMMENT ON VIEW dp_alerts IS
'unusual use and failed verifications, for auditors and admins; role: whose calls it is about, or with claimed a recipient that a login named';
GRANT SELECT ON dp_alerts TO PUBLIC;
