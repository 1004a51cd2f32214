-- The exchange of the master key.

-- Of each rotation the fingerprints; the last one's new key is in force. Open while finished_at is NULL.
CREATE SEQUENCE mirage.key_rotation_id;
CREATE TABLE mirage.key_rotation (
  id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('mirage.key_rotation_id'),
  old text NOT NULL,
  new text NOT NULL,
  role_name text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  finished_at timestamptz
);
SELECT pg_catalog.pg_extension_config_dump('mirage.key_rotation', '');
SELECT pg_catalog.pg_extension_config_dump('mirage.key_rotation_id', '');

CREATE FUNCTION dp_rotate_key()
RETURNS text LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_rotate_key() IS
'wraps every key of this database under the next master key; returns its fingerprint. Not undone by ROLLBACK';
REVOKE EXECUTE ON FUNCTION dp_rotate_key() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dp_rotate_key() TO mirage_admin;

-- Which master keys this database needs. A key without keys under it is wanted by backups at most.
CREATE VIEW dp_keys WITH (security_barrier) AS
SELECT m.fingerprint,
       m.fingerprint OPERATOR(pg_catalog.=) coalesce(
         (SELECT r.new FROM mirage.key_rotation r ORDER BY r.id DESC LIMIT 1),
         (SELECT n.fingerprint FROM mirage.master_key n ORDER BY n.recorded_at DESC, n.fingerprint LIMIT 1))
         AS in_force,
       (SELECT pg_catalog.count(*) FROM mirage.wrapped_key w
        WHERE w.master OPERATOR(pg_catalog.=) m.fingerprint) AS keys,
       EXISTS (SELECT FROM mirage.key_rotation r WHERE r.finished_at IS NULL
               AND r.id OPERATOR(pg_catalog.=) (SELECT pg_catalog.max(x.id) FROM mirage.key_rotation x)
               AND (r.old OPERATOR(pg_catalog.=) m.fingerprint OR r.new OPERATOR(pg_catalog.=) m.fingerprint))
         AS rotating,
       m.recorded_at
FROM mirage.master_key m;
COMMENT ON VIEW dp_keys IS
'the fingerprints of the master keys of this database, and how many keys are wrapped under each';
REVOKE ALL ON dp_keys FROM PUBLIC;
GRANT SELECT ON dp_keys TO mirage_admin, mirage_auditor;
