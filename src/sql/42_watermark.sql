-- The watermark: what marking and tracing share of a model, and whether a model's rows are marked. The plan follows
-- from the model alone (post-processing), is sealed under a root key of its own, and stays when the model is dropped,
-- so that rows that were given out can be traced as long as this database exists.

CREATE TABLE mirage.mark_plan (
  model bigint PRIMARY KEY,
  model_name text NOT NULL,
  carries boolean NOT NULL, -- false: the model has too few columns to carry a mark
  sealed bytea NOT NULL,
  made_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
ALTER TABLE mirage.mark_plan ALTER COLUMN sealed SET STORAGE EXTERNAL;
CREATE INDEX ON mirage.mark_plan (model_name);

-- Every time that a model's mark was switched; the last row counts. No row: marked, as every new model is.
CREATE SEQUENCE mirage.mark_switch_id;
CREATE TABLE mirage.mark_switch (
  id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('mirage.mark_switch_id'),
  model bigint NOT NULL,
  marked boolean NOT NULL,
  switched_by text NOT NULL,
  switched_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX ON mirage.mark_switch (model, id);

-- Whose keys dp_trace tries.
CREATE INDEX ON mirage.issuance (model, recipient_id, id) WHERE watermark IS NOT NULL;

DO $$
DECLARE
  t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['mark_plan', 'mark_switch'] LOOP
    EXECUTE pg_catalog.format('CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON mirage.%I FOR EACH ROW '
                              'EXECUTE FUNCTION mirage.refuse_change()', t);
    EXECUTE pg_catalog.format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON mirage.%I FOR EACH STATEMENT '
                              'EXECUTE FUNCTION mirage.refuse_change()', t);
    EXECUTE pg_catalog.format('ALTER TABLE mirage.%I ENABLE ALWAYS TRIGGER refuse_change', t);
    EXECUTE pg_catalog.format('ALTER TABLE mirage.%I ENABLE ALWAYS TRIGGER refuse_truncate', t);
  END LOOP;
  FOREACH t IN ARRAY ARRAY['mark_plan', 'mark_switch', 'mark_switch_id'] LOOP
    PERFORM pg_catalog.pg_extension_config_dump(pg_catalog.format('mirage.%I', t)::pg_catalog.regclass, '');
  END LOOP;
END
$$;

CREATE FUNCTION dp_set_model(model text, watermark boolean DEFAULT NULL)
RETURNS void LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_set_model(text, boolean) IS
'switches the watermark of a model''s rows off or on; logged, and shown on the model''s card';
REVOKE EXECUTE ON FUNCTION dp_set_model(text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dp_set_model(text, boolean) TO mirage_admin;

CREATE FUNCTION dp_trace(query text, model text DEFAULT NULL, mapping jsonb DEFAULT NULL)
RETURNS TABLE (model text, recipient text, features bigint, score float8, p_value float8, recipient_id uuid,
               role_now text)
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_trace(text, text, jsonb) IS
'which model, and which recipient, the rows of a query come from: p_value is the chance that rows made without the key look so, corrected for all keys that were tried; recipient NULL: the model itself; role_now: what that very role, or the login that claimed, is called now';
REVOKE EXECUTE ON FUNCTION dp_trace(text, text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dp_trace(text, text, jsonb) TO mirage_auditor, mirage_admin;
