-- The high-water mark: a file outside of the cluster that shows what the ledger held (pg_mirage.high_water_file).

CREATE FUNCTION dp_acknowledge_rewind(note text)
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_acknowledge_rewind(text) IS
'after a rewind: charges again what the high-water mark shows and the ledger lacks, and lets training go on';
REVOKE EXECUTE ON FUNCTION dp_acknowledge_rewind(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dp_acknowledge_rewind(text) TO mirage_admin;
