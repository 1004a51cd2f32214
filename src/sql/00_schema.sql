-- pg_mirage: the tables behind the functions. All of them belong to the extension's owner; nobody else reads or
-- writes them directly. Those that are dumped are registered as configuration tables at the end of this file. The
-- install script puts no row into any of them: a restore would collide with it.
\echo Use "CREATE EXTENSION pg_mirage" to load this file. \quit

DO $$
DECLARE
  r text;
BEGIN
  FOREACH r IN ARRAY ARRAY['mirage_admin', 'mirage_trainer', 'mirage_auditor'] LOOP
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) r::pg_catalog.name) THEN
      BEGIN
        EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', r);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;
      END;
    END IF;
  END LOOP;
END
$$;

CREATE SCHEMA mirage;
COMMENT ON SCHEMA mirage IS 'tables of pg_mirage; read them through the views dp_*';
GRANT USAGE ON SCHEMA mirage TO PUBLIC;

-- Refuses every change of an append-only table, also in replica mode and for its owner.
CREATE FUNCTION mirage.refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'table "%.%" is append-only', TG_TABLE_SCHEMA, TG_TABLE_NAME
    USING ERRCODE = 'object_not_in_prerequisite_state',
          HINT = 'A ledger that can be rewritten proves nothing; corrections are new rows.';
END
$$;

-- Relations and roles are recorded as an OID, a name and the database they were written in (identity); see
-- docs/architecture.md, "Bindings".
CREATE SEQUENCE mirage.budget_id;
CREATE TABLE mirage.budget (
  id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('mirage.budget_id'),
  name text NOT NULL UNIQUE,
  epsilon float8 NOT NULL,
  delta float8 NOT NULL,
  alpha float8 NOT NULL, -- the order of the filter, fixed for ever when the budget is made
  period interval,
  owner_oid oid NOT NULL,
  owner_name text NOT NULL,
  identity text NOT NULL,
  unit_kind text, -- what its units are; NULL until the first charge, which freezes it
  require_approval boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);

-- Every cap that a budget ever had: a raised one shows on every card.
CREATE SEQUENCE mirage.budget_change_id;
CREATE TABLE mirage.budget_change (
  id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('mirage.budget_change_id'),
  budget bigint NOT NULL,
  epsilon float8 NOT NULL,
  delta float8 NOT NULL,
  alpha float8 NOT NULL, -- the budget's, which never changes
  period interval,
  changed_by text NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX ON mirage.budget_change (budget);

CREATE SEQUENCE mirage.relation_id;
CREATE TABLE mirage.relation (
  id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('mirage.relation_id'),
  relid oid NOT NULL,
  name text NOT NULL,
  identity text NOT NULL,
  budget bigint,
  -- under the budget as a partition, child or parent, not by dp_protect itself
  inherited boolean NOT NULL DEFAULT false,
  assert_stable boolean NOT NULL DEFAULT false,
  fingerprint text, -- of a view: the definition that assert_stable is about
  is_public boolean NOT NULL DEFAULT false,
  protected_by_oid oid,
  protected_by_name text,
  protected_at timestamptz,
  unit text, -- the column whose values are the privacy units; NULL: each row is one
  unit_attnum smallint,
  max_rows_per_unit int NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX ON mirage.relation (relid, identity);

CREATE TABLE mirage.column_decl (
  relation bigint NOT NULL,
  attname text NOT NULL,
  kind text, lower text, upper text, categories text[], bins int, pattern text, other text, depends_on text[],
  PRIMARY KEY (relation, attname)
);

CREATE SEQUENCE mirage.share_id;
CREATE TABLE mirage.share (
  id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('mirage.share_id'),
  budget bigint NOT NULL,
  grantee_oid oid NOT NULL,
  grantee_name text NOT NULL,
  identity text NOT NULL,
  epsilon float8 NOT NULL,
  granted_by text NOT NULL,
  granted_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX ON mirage.share (budget);

-- The ledger. A charge is one row of state 'reserved', committed before anything was read, and at most one more that
-- settles it: 'spent' or 'released'. Only 'released' gives back.
CREATE SEQUENCE mirage.ledger_id;
CREATE SEQUENCE mirage.charge_id;
CREATE TABLE mirage.ledger (
  id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('mirage.ledger_id'),
  charge bigint NOT NULL,
  state text NOT NULL CHECK (state IN ('reserved', 'spent', 'released')),
  budget bigint NOT NULL,
  budget_name text NOT NULL,
  relation text NOT NULL,
  relid oid NOT NULL,
  model text NOT NULL,
  job bigint NOT NULL,
  role_oid oid NOT NULL,
  role_name text NOT NULL,
  share bigint NOT NULL, -- 0: none
  epsilon float8 NOT NULL,
  delta float8 NOT NULL,
  rho float8 NOT NULL,
  rdp float8 NOT NULL,
  delta_atoms float8 NOT NULL,
  events jsonb NOT NULL,
  used_rho float8,  -- for information, where the job came to an end: what its mechanisms used of the charge
  used_delta float8,
  charged_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  UNIQUE (charge, state)
);
CREATE UNIQUE INDEX ON mirage.ledger (charge) WHERE state <> 'reserved';
-- what a budget's use is summed from, and what is left out of it
CREATE INDEX ON mirage.ledger (budget, charge) INCLUDE (share, charged_at, rho, rdp, delta_atoms)
  WHERE state = 'reserved';
CREATE INDEX ON mirage.ledger (charge) WHERE state = 'released';

CREATE SEQUENCE mirage.job_id;
CREATE TABLE mirage.job (
  id bigint PRIMARY KEY,
  model text NOT NULL,
  relation text NOT NULL,
  relid oid NOT NULL,
  method text NOT NULL,
  epsilon float8 NOT NULL,
  role_oid oid NOT NULL,
  role_name text NOT NULL,
  login_oid oid NOT NULL, -- who had logged in, whatever the role was then
  login_name text NOT NULL,
  identity text NOT NULL,
  charge bigint NOT NULL,
  state text NOT NULL CHECK (state IN ('running', 'done', 'failed', 'cancelled')),
  dsm_handle bigint NOT NULL,
  pid int NOT NULL,
  errcode text,
  error text,
  started_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  ended_at timestamptz
);

CREATE SEQUENCE mirage.model_id;
CREATE TABLE mirage.model (
  id bigint PRIMARY KEY,
  name text NOT NULL UNIQUE,
  relation text NOT NULL,
  relid oid NOT NULL,
  identity text NOT NULL,
  method text NOT NULL,
  owner_oid oid NOT NULL,
  owner_name text NOT NULL,
  epsilon float8 NOT NULL,
  delta float8 NOT NULL,
  charge bigint NOT NULL,
  job bigint NOT NULL,
  state text NOT NULL CHECK (state IN ('ready', 'pending', 'rejected', 'withdrawn')), -- only 'ready' releases rows
  total float8 NOT NULL,
  card jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE TABLE mirage.model_column (
  model bigint NOT NULL,
  pos int NOT NULL,
  name text NOT NULL,
  type text NOT NULL,
  kind text NOT NULL,
  not_null boolean NOT NULL,
  pattern text,
  core int NOT NULL,
  PRIMARY KEY (model, pos)
);
CREATE TABLE mirage.model_blob (
  model bigint PRIMARY KEY,
  sealed bytea NOT NULL
);
ALTER TABLE mirage.model_blob ALTER COLUMN sealed SET STORAGE EXTERNAL;

-- Keys wrapped under the master key, which is in no table. purpose 'model': one per model; else one root per purpose.
CREATE SEQUENCE mirage.wrapped_key_id;
CREATE TABLE mirage.wrapped_key (
  id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('mirage.wrapped_key_id'),
  purpose text NOT NULL,
  model bigint NOT NULL DEFAULT 0,
  master text NOT NULL,
  wrapped bytea NOT NULL,
  public_key bytea,
  UNIQUE (purpose, model)
);
CREATE TABLE mirage.master_key (
  fingerprint text PRIMARY KEY,
  recorded_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);

CREATE TABLE mirage.model_grant (
  model bigint NOT NULL,
  grantee_oid oid NOT NULL,
  grantee_name text NOT NULL,
  identity text NOT NULL,
  granted_by text NOT NULL,
  valid_until timestamptz,
  max_rows bigint, -- in any interval of this length; without one, for ever
  per interval,
  purposes text[], -- a call must name one of them
  conditions jsonb, -- all rows satisfy them
  columns text[], -- nothing else is emitted
  granted_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  PRIMARY KEY (model, grantee_name)
);

-- Roles that may say whom rows are for: a pooler's, whose clients share its login.
CREATE TABLE mirage.claimant (
  role_oid oid NOT NULL,
  role_name text PRIMARY KEY,
  identity text NOT NULL,
  allowed_by text NOT NULL,
  allowed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);

-- Who rows are for: identities, which keys are derived from. A role of one OID in one cluster is one recipient,
-- whatever it is called, and a role that comes after it under its name another; so is what another login claims.
-- One row for each time that it was met under another name, or in another cluster: catalog/recipient.c.
CREATE SEQUENCE mirage.recipient_number;
CREATE TABLE mirage.recipient (
  id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('mirage.recipient_number'),
  recipient_id uuid NOT NULL,
  name text NOT NULL, -- of the role, or what was claimed
  role_oid oid, -- NULL: a claim
  claimed_by uuid, -- of a claim: recipient_id of the login that made it
  identity text NOT NULL,
  seen_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  CHECK ((role_oid IS NULL) OPERATOR(pg_catalog.<>) (claimed_by IS NULL))
);
CREATE INDEX recipient_of_role ON mirage.recipient (role_oid, id) WHERE role_oid IS NOT NULL;
CREATE UNIQUE INDEX recipient_of_claim ON mirage.recipient (claimed_by, name) WHERE claimed_by IS NOT NULL;
CREATE INDEX ON mirage.recipient (recipient_id);

-- What was decided about a model, and by whom; outlives the model.
CREATE SEQUENCE mirage.decision_id;
CREATE TABLE mirage.decision (
  id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('mirage.decision_id'),
  model bigint NOT NULL,
  model_name text NOT NULL,
  decision text NOT NULL CHECK (decision IN ('approve', 'reject', 'withdraw')),
  role_name text NOT NULL,
  login_name text NOT NULL,
  note text NOT NULL,
  decided_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX ON mirage.decision (model);

CREATE SEQUENCE mirage.issuance_id;
CREATE TABLE mirage.issuance (
  id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('mirage.issuance_id'),
  model bigint NOT NULL,
  model_name text NOT NULL,
  role_oid oid NOT NULL,
  role_name text NOT NULL,
  identity text NOT NULL,
  recipient text NOT NULL, -- who had logged in, or whom a claimant named
  claimed boolean NOT NULL,
  recipient_id uuid NOT NULL, -- of mirage.recipient
  grantee_oid oid, -- whose grant paid; NULL: the model's owner or a superuser
  grantee_name text,
  requested_rows bigint NOT NULL,
  seeded boolean NOT NULL,
  purpose text,
  path text NOT NULL CHECK (path IN ('call', 'foreign', 'materialize')),
  conditions jsonb, -- the names of the columns that were conditioned on; NULL: none
  columns text[] NOT NULL, -- that left
  watermark text, -- id of the recipient's mark key; NULL: unmarked
  -- by the clock, but never earlier than the last release of the same grantee or recipient
  issued_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  -- Sums of requested_rows so far, this row's included, in the order of ids; catalog/quota.c. Of the model's releases
  -- that were paid by a grantee of this name, of this OID, of both; and of the recipient, whatever the model.
  name_total numeric,
  oid_total numeric,
  both_total numeric,
  recipient_total numeric NOT NULL,
  CHECK (CASE WHEN grantee_name IS NULL THEN grantee_oid IS NULL AND name_total IS NULL AND oid_total IS NULL
                                             AND both_total IS NULL
              ELSE grantee_oid IS NOT NULL AND name_total IS NOT NULL AND oid_total IS NOT NULL
                   AND both_total IS NOT NULL END)
);
-- the last release by name, OID, both, recipient, and the last one up to a moment
CREATE INDEX issuance_by_name ON mirage.issuance (model, grantee_name, issued_at, id) INCLUDE (name_total)
  WHERE grantee_name IS NOT NULL;
CREATE INDEX issuance_by_oid ON mirage.issuance (model, grantee_oid, pg_catalog.split_part(identity, ':', 1),
                                                 issued_at, id) INCLUDE (oid_total, identity)
  WHERE grantee_name IS NOT NULL;
CREATE INDEX issuance_by_both ON mirage.issuance (model, grantee_name, grantee_oid,
                                                  pg_catalog.split_part(identity, ':', 1), issued_at, id)
  INCLUDE (both_total, identity) WHERE grantee_name IS NOT NULL;
CREATE INDEX issuance_by_recipient ON mirage.issuance (recipient, claimed, issued_at, id) INCLUDE (recipient_total);

CREATE SEQUENCE mirage.log_id;
CREATE TABLE mirage.log (
  id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('mirage.log_id'),
  at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  role_name text NOT NULL,
  session_role text NOT NULL,
  action text NOT NULL,
  object text NOT NULL,
  detail jsonb,
  role_oid oid NOT NULL DEFAULT 0, -- with identity: whose entry it is to see; not part of the chain
  identity text NOT NULL DEFAULT '',
  -- what each reservation compares with the ledger: by an index, without opening every detail again
  charge bigint GENERATED ALWAYS AS (CASE WHEN action OPERATOR(pg_catalog.=) 'charge'
    THEN (detail OPERATOR(pg_catalog.->>) 'charge')::bigint END) STORED
);
CREATE INDEX ON mirage.log (charge) WHERE charge IS NOT NULL;
CREATE TABLE mirage.log_block (
  number bigint PRIMARY KEY,
  entries bigint[] NOT NULL,
  previous bytea NOT NULL,
  hash bytea NOT NULL,
  signature bytea NOT NULL,
  -- every entry with an id up to this is in a block by now, or will never appear: catalog/log.c
  settled bigint NOT NULL,
  charges bigint NOT NULL, -- entries of charges in the blocks up to this
  chained_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX ON mirage.log_block (settled);

DO $$
DECLARE
  t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['budget_change', 'ledger', 'decision', 'recipient', 'issuance', 'log', 'log_block'] LOOP
    EXECUTE pg_catalog.format('CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON mirage.%I FOR EACH ROW '
                              'EXECUTE FUNCTION mirage.refuse_change()', t);
    EXECUTE pg_catalog.format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON mirage.%I FOR EACH STATEMENT '
                              'EXECUTE FUNCTION mirage.refuse_change()', t);
    EXECUTE pg_catalog.format('ALTER TABLE mirage.%I ENABLE ALWAYS TRIGGER refuse_change', t);
    EXECUTE pg_catalog.format('ALTER TABLE mirage.%I ENABLE ALWAYS TRIGGER refuse_truncate', t);
  END LOOP;
  FOREACH t IN ARRAY ARRAY['budget', 'budget_change', 'relation', 'column_decl', 'share', 'ledger', 'job', 'model',
                           'model_column',
                           'model_blob', 'wrapped_key', 'master_key', 'model_grant', 'claimant', 'decision',
                           'recipient', 'issuance', 'log', 'log_block',
                           'budget_id', 'budget_change_id', 'relation_id', 'share_id', 'ledger_id', 'charge_id', 'job_id', 'model_id', 'wrapped_key_id',
                           'decision_id', 'recipient_number', 'issuance_id', 'log_id'] LOOP
    PERFORM pg_catalog.pg_extension_config_dump(pg_catalog.format('mirage.%I', t)::pg_catalog.regclass, '');
  END LOOP;
END
$$;
