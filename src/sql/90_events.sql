-- Protections follow a relation that is renamed by its OID, and a dump carries no OIDs: the recorded name is kept up
-- to date, so that a restored table is known by the name that it had when it was dumped. ALTER INDEX .. RENAME takes
-- a table, too. The last part: it would fire on those before.

CREATE FUNCTION mirage.follow_names() RETURNS event_trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'mg_sql_follow_names';
CREATE EVENT TRIGGER pg_mirage_follow_names ON ddl_command_end
  WHEN TAG IN ('ALTER TABLE', 'ALTER FOREIGN TABLE', 'ALTER INDEX', 'ALTER SCHEMA', 'ALTER EXTENSION')
  EXECUTE FUNCTION mirage.follow_names();
COMMENT ON EVENT TRIGGER pg_mirage_follow_names IS 'keeps the names that pg_mirage has recorded up to date';

-- A table declared public that is dropped is forgotten: its OID may be given out again.
CREATE FUNCTION mirage.forget_dropped() RETURNS event_trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'mg_sql_forget_dropped';
CREATE EVENT TRIGGER pg_mirage_forget_dropped ON sql_drop
  WHEN TAG IN ('DROP TABLE', 'DROP SCHEMA', 'DROP OWNED', 'DROP EXTENSION', 'DROP TYPE')
  EXECUTE FUNCTION mirage.forget_dropped();
COMMENT ON EVENT TRIGGER pg_mirage_forget_dropped IS 'takes back what was declared of tables that are dropped';
