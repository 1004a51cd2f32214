-- Rows of a model, and who may have them. Every right is checked in C, so everybody may call these functions; a
-- release is recorded by a background worker's transaction before its first row.

CREATE FUNCTION mirage.synthesize_support(internal)
RETURNS internal LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dp_synthesize_support';
COMMENT ON FUNCTION mirage.synthesize_support(internal) IS 'the planner''s estimate of n rows where n is a constant';

CREATE FUNCTION dp_synthesize(model text, n bigint DEFAULT NULL, conditions jsonb DEFAULT NULL,
  seed bigint DEFAULT NULL,
                              purpose text DEFAULT NULL, hash boolean DEFAULT false)
RETURNS SETOF record LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1000
SUPPORT mirage.synthesize_support AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_synthesize(text, bigint, jsonb, bigint, text, boolean) IS
'n synthetic rows of a model (by default as many as its noisy total), all of which satisfy the conditions: records of all its columns, or any columns by a column definition list';

CREATE FUNCTION dp_synthesize_as(base anyelement, model text, n bigint DEFAULT NULL, conditions jsonb DEFAULT NULL,
                                 seed bigint DEFAULT NULL, purpose text DEFAULT NULL,
                                 hash boolean DEFAULT false)
RETURNS SETOF anyelement LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1000
SUPPORT mirage.synthesize_support AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_synthesize_as(anyelement, text, bigint, jsonb, bigint, text, boolean) IS
'n synthetic rows of a model, all of which satisfy the conditions, as rows of the type of base, which may be NULL::table_name';

CREATE FUNCTION dp_grant(model text, grantee regrole, max_rows bigint DEFAULT NULL, per interval DEFAULT NULL,
                         purposes text[] DEFAULT NULL, valid_until timestamptz DEFAULT NULL,
                         conditions jsonb DEFAULT NULL, columns name[] DEFAULT NULL)
RETURNS void LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_grant(text, regrole, bigint, interval, text[], timestamptz, jsonb, name[]) IS
'lets a role have rows of a model: so many within an interval, for named purposes, until a moment, only those that satisfy conditions, only some columns; replaces what it was granted before, and gives nothing back';

CREATE FUNCTION dp_revoke(model text, grantee regrole)
RETURNS void LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_revoke(text, regrole) IS 'takes a grant back; rows that were given out stay given out';

CREATE FUNCTION dp_drop_model(model text)
RETURNS void LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_drop_model(text) IS
'drops a model, its grants and its key; what its training spent stays spent';

CREATE FUNCTION dp_allow_claims(role regrole, allowed boolean DEFAULT true)
RETURNS void LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_allow_claims(regrole, boolean) IS
'lets sessions that log in as a role, a pooler''s, say by pg_mirage.recipient whom rows are for';

CREATE FUNCTION dp_adopt_recipient(role regrole, recipient_id uuid)
RETURNS void LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_adopt_recipient(regrole, uuid) IS
'says, after a restore on another server and before its first release there, which recipient of before a role is';

CREATE FUNCTION dp_approve(model text, note text)
RETURNS void LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_approve(text, text) IS
'lets a model release rows that waits for approval, or was rejected or withdrawn; for administrators other than who trained it';

CREATE FUNCTION dp_reject(model text, note text)
RETURNS void LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_reject(text, text) IS 'refuses a model that waits for approval, and says why';

CREATE FUNCTION dp_withdraw(model text, note text)
RETURNS void LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_withdraw(text, text) IS
'ends the releases of a model, and says why; rows that were given out stay given out';
