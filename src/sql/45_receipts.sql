-- Receipts, the hash of rows, heads of the log. What a table holds that refuses changes is sealed by the log:
-- catalog/seals.c.

ALTER TABLE mirage.log ADD COLUMN seals jsonb; -- [[table, key, hash], ..] of the rows that the entry tells of
-- The last seal of a row of state is looked for at each change: the few entries that have such seals, whose keys are
-- texts, by table and key.
CREATE INDEX log_seals_of_state ON mirage.log USING gin (seals pg_catalog.jsonb_path_ops) WITH (fastupdate = off)
  WHERE seals OPERATOR(pg_catalog.@?) '$[*][1]?(@.type() == "string")';

-- SHA-256 of a model's sealed parameters (mirage.model_blob.sealed), which outlives the model.
CREATE TABLE mirage.model_fingerprint (
  model bigint PRIMARY KEY,
  sha256 bytea NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);

-- One for each issuance, written in its transaction; and one more where the rows were hashed as they left.
CREATE TABLE mirage.receipt (
  issuance bigint PRIMARY KEY,
  login_oid oid NOT NULL, -- who had logged in: the recipient, or who claimed one
  login_name text NOT NULL,
  owner_oid oid NOT NULL, -- of the model, at that time
  owner_name text NOT NULL,
  owner_identity text NOT NULL,
  identity text NOT NULL,
  body text NOT NULL, -- canonical form (RFC 8785) of the receipt without its proof
  created text NOT NULL, -- the proof's
  public_key text NOT NULL, -- Multikey
  signature bytea NOT NULL
);
CREATE TABLE mirage.receipt_rows (
  issuance bigint PRIMARY KEY,
  hash text NOT NULL,
  rows bigint NOT NULL,
  body text NOT NULL, -- the receipt's, and the hash in it
  created text NOT NULL,
  public_key text NOT NULL,
  signature bytea NOT NULL
);

DO $$
DECLARE
  t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['model_fingerprint', 'receipt', 'receipt_rows'] LOOP
    EXECUTE pg_catalog.format('CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON mirage.%I FOR EACH ROW '
                              'EXECUTE FUNCTION mirage.refuse_change()', t);
    EXECUTE pg_catalog.format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON mirage.%I FOR EACH STATEMENT '
                              'EXECUTE FUNCTION mirage.refuse_change()', t);
    EXECUTE pg_catalog.format('ALTER TABLE mirage.%I ENABLE ALWAYS TRIGGER refuse_change', t);
    EXECUTE pg_catalog.format('ALTER TABLE mirage.%I ENABLE ALWAYS TRIGGER refuse_truncate', t);
    PERFORM pg_catalog.pg_extension_config_dump(pg_catalog.format('mirage.%I', t)::pg_catalog.regclass, '');
  END LOOP;
END
$$;

CREATE FUNCTION dp_receipt(issuance bigint)
RETURNS jsonb LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_receipt(bigint) IS
'the signed receipt of an issuance (JSON-LD with a W3C Data Integrity proof): for its recipient, the role that asked, the model''s owner and auditors';

CREATE FUNCTION dp_verify_receipt(receipt jsonb, public_key text DEFAULT NULL)
RETURNS boolean LANGUAGE C STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_verify_receipt(jsonb, text) IS
'is this receipt as it was signed by this database, or by the owner of the public key that is given?';

CREATE FUNCTION dp_public_key(purpose text DEFAULT 'receipt')
RETURNS text LANGUAGE C STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_public_key(text) IS
'the Ed25519 public key of this database''s receipts, or of its log (purpose ''log''), as PEM text, which openssl reads';

CREATE FUNCTION dp_hash_rows(query text)
RETURNS text LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_hash_rows(text) IS
'the hash that a receipt carries of rows, over the rows of a query, in its order';

CREATE FUNCTION dp_audit_head()
RETURNS text LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_audit_head() IS
'a signed head of the audit log that covers everything committed: keep it outside, and give it to dp_verify_audit() later';
REVOKE EXECUTE ON FUNCTION dp_audit_head() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dp_audit_head() TO mirage_auditor, mirage_admin;
