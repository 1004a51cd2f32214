-- The high-water mark: a file outside of the cluster that shows what the ledger held (pg_mirage.high_water_file).

CREATE FUNCTION dp_acknowledge_rewind(note text)
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_acknowledge_rewind(text) IS
'after a rewind: charges what the high-water mark shows and the ledger lacks to its budgets again, records that in the log, and lets training go on; returns how many charges were lost';
REVOKE EXECUTE ON FUNCTION dp_acknowledge_rewind(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dp_acknowledge_rewind(text) TO mirage_admin;
