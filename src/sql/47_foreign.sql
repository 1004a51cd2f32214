-- Models as tables. Whoever has USAGE on the wrapper makes servers of it; a scan needs SELECT on the foreign table and
-- the right to the model's rows, which C code checks each time.

CREATE FUNCTION mirage.fdw_handler() RETURNS fdw_handler
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'mg_fdw_handler';
CREATE FUNCTION mirage.fdw_validator(text[], oid) RETURNS void
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'mg_fdw_validator';
-- The server calls them by itself.
REVOKE EXECUTE ON FUNCTION mirage.fdw_handler(), mirage.fdw_validator(text[], oid) FROM PUBLIC;

CREATE FOREIGN DATA WRAPPER pg_mirage_fdw HANDLER mirage.fdw_handler VALIDATOR mirage.fdw_validator;
COMMENT ON FOREIGN DATA WRAPPER pg_mirage_fdw IS
'models as foreign tables: fixed virtual tables of synthetic rows';
