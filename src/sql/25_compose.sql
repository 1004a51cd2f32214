-- The calculator of the account. It reads nothing, spends nothing and knows no secret: anybody may call it.

CREATE FUNCTION dp_compose(events jsonb, delta float8, OUT accountant text, OUT epsilon float8)
RETURNS SETOF record LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 2 COST 100000 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_compose(jsonb, float8) IS
'what mechanisms cost together: epsilon at delta by Renyi DP (rdp) and by privacy loss distributions (pld), both upper bounds';
