-- Views. Each shows a role the rows that concern it; members of mirage_auditor and mirage_admin see all. The
-- functions decide as the caller, the tables are read as the extension's owner.

CREATE FUNCTION mirage.is_me(role_oid oid, role_name text, identity text) RETURNS boolean
LANGUAGE C STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mg_sql_is_me';
CREATE FUNCTION mirage.is_role(role_oid oid, role_name text, identity text) RETURNS boolean
LANGUAGE C STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mg_sql_is_role';
CREATE FUNCTION mirage.owns(relid oid, identity text) RETURNS boolean
LANGUAGE C STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mg_sql_owns';
CREATE FUNCTION mirage.oversees() RETURNS boolean
LANGUAGE C STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mg_sql_oversees';
CREATE FUNCTION mirage.may_release(model text) RETURNS boolean
LANGUAGE C STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mg_sql_may_release';
CREATE FUNCTION mirage.budget_figures(budget bigint, OUT visible boolean, OUT used float8, OUT spent float8,
                                      OUT remaining float8, OUT lifetime float8) RETURNS record
LANGUAGE C STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mg_sql_budget_figures';
CREATE FUNCTION mirage.job_progress(job bigint, dsm_handle bigint, OUT alive boolean, OUT phase text,
                                    OUT fraction float8)
RETURNS record LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mg_sql_job_progress';

-- The rows given out that count against a grant: of its last interval, or of all time; by grantee, whatever the grant
-- was then. A release counts where it was paid by a grantee of the grant's name, or of its OID in this cluster: what
-- either sums up to, less what both do; each as the difference of two running totals, so that an index finds it however
-- many releases there were. Days are of 24 hours, whatever the time zone of who asks; an interval ends where the
-- statement began, so it is a moment longer than asked for, never shorter. catalog/quota.c decides by the same sums.
CREATE VIEW mirage.grant_use AS
SELECT g.model, g.grantee_name, g.per, w.since,
       coalesce((SELECT i.name_total FROM mirage.issuance i
          WHERE i.model OPERATOR(pg_catalog.=) g.model AND i.grantee_name OPERATOR(pg_catalog.=) g.grantee_name
          AND i.grantee_name IS NOT NULL
          ORDER BY i.issued_at DESC, i.id DESC LIMIT 1), 0)
        OPERATOR(pg_catalog.-) coalesce((SELECT i.name_total FROM mirage.issuance i
          WHERE i.model OPERATOR(pg_catalog.=) g.model AND i.grantee_name OPERATOR(pg_catalog.=) g.grantee_name
          AND i.grantee_name IS NOT NULL AND i.issued_at OPERATOR(pg_catalog.<=) w.since
          ORDER BY i.issued_at DESC, i.id DESC LIMIT 1), 0)
       OPERATOR(pg_catalog.+)
       (coalesce((SELECT i.oid_total FROM mirage.issuance i
          WHERE i.model OPERATOR(pg_catalog.=) g.model AND i.grantee_oid OPERATOR(pg_catalog.=) g.grantee_oid
          AND pg_catalog.split_part(i.identity, ':', 1) OPERATOR(pg_catalog.=) pg_catalog.split_part(g.identity, ':', 1)
          AND i.grantee_name IS NOT NULL
          ORDER BY i.issued_at DESC, i.id DESC LIMIT 1), 0)
        OPERATOR(pg_catalog.-) coalesce((SELECT i.oid_total FROM mirage.issuance i
          WHERE i.model OPERATOR(pg_catalog.=) g.model AND i.grantee_oid OPERATOR(pg_catalog.=) g.grantee_oid
          AND pg_catalog.split_part(i.identity, ':', 1) OPERATOR(pg_catalog.=) pg_catalog.split_part(g.identity, ':', 1)
          AND i.grantee_name IS NOT NULL AND i.issued_at OPERATOR(pg_catalog.<=) w.since
          ORDER BY i.issued_at DESC, i.id DESC LIMIT 1), 0))
       OPERATOR(pg_catalog.-)
       (coalesce((SELECT i.both_total FROM mirage.issuance i
          WHERE i.model OPERATOR(pg_catalog.=) g.model AND i.grantee_name OPERATOR(pg_catalog.=) g.grantee_name
            AND i.grantee_oid OPERATOR(pg_catalog.=) g.grantee_oid
          AND pg_catalog.split_part(i.identity, ':', 1) OPERATOR(pg_catalog.=) pg_catalog.split_part(g.identity, ':', 1)
          AND i.grantee_name IS NOT NULL
          ORDER BY i.issued_at DESC, i.id DESC LIMIT 1), 0)
        OPERATOR(pg_catalog.-) coalesce((SELECT i.both_total FROM mirage.issuance i
          WHERE i.model OPERATOR(pg_catalog.=) g.model AND i.grantee_name OPERATOR(pg_catalog.=) g.grantee_name
            AND i.grantee_oid OPERATOR(pg_catalog.=) g.grantee_oid
          AND pg_catalog.split_part(i.identity, ':', 1) OPERATOR(pg_catalog.=) pg_catalog.split_part(g.identity, ':', 1)
          AND i.grantee_name IS NOT NULL AND i.issued_at OPERATOR(pg_catalog.<=) w.since
          ORDER BY i.issued_at DESC, i.id DESC LIMIT 1), 0)) AS used
FROM mirage.model_grant g,
     LATERAL (SELECT CASE WHEN g.per IS NULL THEN '-infinity'::timestamptz
              ELSE pg_catalog.timezone('UTC', pg_catalog.timezone('UTC', pg_catalog.statement_timestamp())
                                              OPERATOR(pg_catalog.-) g.per) END AS since) w;

CREATE VIEW dp_budgets WITH (security_barrier) AS
SELECT b.name, b.epsilon, b.delta, f.used, f.spent, f.remaining, f.lifetime, b.period, b.owner_name AS owner,
       ARRAY(SELECT r.name FROM mirage.relation r WHERE r.budget OPERATOR(pg_catalog.=) b.id AND NOT r.inherited
             AND r.fingerprint IS NULL
             ORDER BY r.name) AS protected_tables,
       b.unit_kind AS unit, b.require_approval
FROM mirage.budget b, LATERAL mirage.budget_figures(b.id) f
WHERE f.visible;
COMMENT ON VIEW dp_budgets IS
'used: fraction of the cap that is gone, which is enforced; spent: epsilon of all charges together; remaining: largest epsilon of one more training; with a period (a policy, not a guarantee) these three are of the charges of the last period alone; lifetime: epsilon of all charges ever; unit: who is counted, fixed by the first charge';

CREATE VIEW dp_ledger WITH (security_barrier) AS
SELECT l.charge AS id, l.budget_name AS budget, l.relation, l.model, l.role_name AS role,
       (SELECT h.grantee_name FROM mirage.share h WHERE h.id OPERATOR(pg_catalog.=) l.share) AS share,
       coalesce((SELECT s.state FROM mirage.ledger s WHERE s.charge OPERATOR(pg_catalog.=) l.charge
                 AND s.state OPERATOR(pg_catalog.<>) 'reserved' ORDER BY s.id DESC LIMIT 1), l.state) AS state,
       l.epsilon, l.delta, l.events, l.charged_at, l.job, u.used_rho, u.used_delta
FROM mirage.ledger l
     LEFT JOIN mirage.ledger u
     ON u.charge OPERATOR(pg_catalog.=) l.charge AND u.state OPERATOR(pg_catalog.<>) 'reserved'
WHERE l.state OPERATOR(pg_catalog.=) 'reserved'
  AND (mirage.oversees()
       OR EXISTS (SELECT FROM mirage.job j WHERE j.id OPERATOR(pg_catalog.=) l.job
                  AND (mirage.is_me(j.role_oid, j.role_name, j.identity) OR mirage.owns(j.relid, j.identity)))
       OR EXISTS (SELECT FROM mirage.budget b WHERE b.id OPERATOR(pg_catalog.=) l.budget
                  AND mirage.is_me(b.owner_oid, b.owner_name, b.identity)));
COMMENT ON VIEW dp_ledger IS 'one row a charge; only a charge in state released has been given back';

CREATE VIEW dp_models WITH (security_barrier) AS
SELECT m.name, m.relation, m.method, m.owner_name AS owner, m.epsilon, m.delta, m.state, m.created_at,
       m.card OPERATOR(pg_catalog.||) coalesce((
         SELECT pg_catalog.jsonb_build_object('budget_caps', pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                  'epsilon', c.epsilon, 'delta', c.delta, 'period', c.period::text, 'since', c.changed_at) ORDER BY c.id))
         FROM mirage.budget_change c, mirage.ledger l
         WHERE l.charge OPERATOR(pg_catalog.=) m.charge AND l.state OPERATOR(pg_catalog.=) 'reserved'
           AND c.budget OPERATOR(pg_catalog.=) l.budget), '{}'::jsonb)
         OPERATOR(pg_catalog.||) coalesce((
         SELECT pg_catalog.jsonb_build_object('decisions', pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                  'decision', d.decision, 'by', d.role_name, 'login', d.login_name, 'at', d.decided_at,
                  'note', d.note) ORDER BY d.id))
         FROM mirage.decision d WHERE d.model OPERATOR(pg_catalog.=) m.id
           HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 0),
         '{}'::jsonb) AS card
FROM mirage.model m
WHERE mirage.oversees() OR mirage.is_me(m.owner_oid, m.owner_name, m.identity) OR mirage.may_release(m.name)
   OR mirage.owns(m.relid, m.identity);
COMMENT ON VIEW dp_models IS
'models that the current role owns, may release from, or that were trained on its tables';

CREATE VIEW dp_jobs WITH (security_barrier) AS
SELECT j.id, j.model, j.relation, j.method, j.role_name AS role,
       CASE WHEN j.state OPERATOR(pg_catalog.=) 'running' AND NOT p.alive THEN 'orphaned' ELSE j.state END AS state,
       CASE WHEN j.state OPERATOR(pg_catalog.=) 'running' THEN p.phase END AS phase,
       CASE WHEN j.state OPERATOR(pg_catalog.=) 'done' THEN 1.0::float8 ELSE p.fraction END AS fraction,
       coalesce(j.ended_at, pg_catalog.clock_timestamp()) OPERATOR(pg_catalog.-) j.started_at AS elapsed,
       CASE WHEN j.state OPERATOR(pg_catalog.=) 'running' AND p.fraction OPERATOR(pg_catalog.>) 0.01::float8
            THEN (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) j.started_at) OPERATOR(pg_catalog.*)
                 ((1::float8 OPERATOR(pg_catalog.-) p.fraction) OPERATOR(pg_catalog./) p.fraction) END AS eta,
       j.error, j.errcode, j.charge, j.started_at
FROM mirage.job j LEFT JOIN LATERAL mirage.job_progress(j.id, j.dsm_handle) p
     ON j.state OPERATOR(pg_catalog.=) 'running'
WHERE mirage.oversees() OR mirage.is_me(j.role_oid, j.role_name, j.identity) OR mirage.owns(j.relid, j.identity);
COMMENT ON VIEW dp_jobs IS
'trainings and how far they are; a job is orphaned when its worker is gone: its charge stands';

CREATE VIEW dp_audit_log WITH (security_barrier) AS
SELECT g.id, g.at, g.role_name AS role, g.session_role, g.action, g.object, g.detail, c.number AS block
FROM mirage.log g
     LEFT JOIN (SELECT b.number, e.id FROM mirage.log_block b, pg_catalog.unnest(b.entries) e(id)) c
     ON c.id OPERATOR(pg_catalog.=) g.id
WHERE mirage.oversees() OR mirage.is_me(g.role_oid, g.role_name, g.identity);
COMMENT ON VIEW dp_audit_log IS
'the tamper-evident log: everything for auditors, what it did itself for any other role';

CREATE VIEW dp_grants WITH (security_barrier) AS
SELECT m.name AS model, g.grantee_name AS grantee, g.max_rows, g.per, g.purposes, g.valid_until, g.conditions,
       g.columns, u.used, CASE WHEN g.max_rows IS NOT NULL
                               THEN GREATEST(g.max_rows::numeric OPERATOR(pg_catalog.-) u.used, 0) END AS remaining,
       mirage.is_role(g.grantee_oid, g.grantee_name, g.identity)
       AND (g.valid_until IS NULL OR g.valid_until OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()) AS live,
       g.granted_by, g.granted_at
FROM mirage.model_grant g JOIN mirage.model m ON m.id OPERATOR(pg_catalog.=) g.model
     JOIN mirage.grant_use u
     ON u.model OPERATOR(pg_catalog.=) g.model AND u.grantee_name OPERATOR(pg_catalog.=) g.grantee_name
WHERE mirage.oversees() OR mirage.is_me(m.owner_oid, m.owner_name, m.identity)
   OR mirage.is_me(g.grantee_oid, g.grantee_name, g.identity);
COMMENT ON VIEW dp_grants IS
'who may have rows of which model, and within which limits; used: rows given out under the grant within its last interval, or ever; a grant is live until it runs out, as long as its role is the one it was given to';

CREATE VIEW dp_issuances WITH (security_barrier) AS
SELECT i.id, i.model_name AS model, i.role_name AS role, i.recipient, i.claimed, i.requested_rows AS rows, i.purpose,
       i.grantee_name AS grantee, i.path, i.issued_at, i.seeded, i.conditions, i.columns, i.watermark,
       i.recipient_id
FROM mirage.issuance i LEFT JOIN mirage.model m ON m.id OPERATOR(pg_catalog.=) i.model
WHERE mirage.oversees() OR mirage.is_me(i.role_oid, i.role_name, i.identity)
   OR mirage.is_me(m.owner_oid, m.owner_name, m.identity);
COMMENT ON VIEW dp_issuances IS
'releases of rows: a role''s own, those of the models it owns, and all of them for auditors; grantee: whose grant paid, none for the owner; conditions: the columns that were conditioned on';

GRANT SELECT ON dp_budgets, dp_ledger, dp_models, dp_jobs, dp_audit_log, dp_grants, dp_issuances TO PUBLIC;
