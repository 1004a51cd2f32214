-- demo_types.sql: gives the text columns of the table :tbl the narrowest types that all their values allow, in this
-- order: boolean, bigint, double precision, date, timestamp, and text where nothing else does. From here on the types
-- are part of the schema, and so public; nothing else about the values is declared.
CREATE FUNCTION pg_temp.guess_types(tbl regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  col record;
  candidate record;
  fits boolean;
BEGIN
  FOR col IN SELECT attname FROM pg_attribute WHERE attrelid = tbl AND attnum > 0 AND NOT attisdropped ORDER BY attnum
  LOOP
    FOR candidate IN
      SELECT * FROM (VALUES
        ('boolean', '^(t|f|true|false|yes|no)$'),
        ('bigint', '^[+-]?(0|[1-9][0-9]{0,17})$'),                                   -- 007 is a label
        ('double precision', '^[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$'),
        ('date', '^[0-9]{4}-[0-9]{2}-[0-9]{2}$'),
        ('timestamp', '^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?$')) AS c(type, pattern)
    LOOP
      EXECUTE format('SELECT count(%1$I) > 0 AND coalesce(bool_and(btrim(%1$I) ~* $1), false) FROM %2$s',
                     col.attname, tbl)
        INTO fits USING candidate.pattern;
      CONTINUE WHEN NOT fits;
      BEGIN
        EXECUTE format('ALTER TABLE %2$s ALTER COLUMN %1$I TYPE %3$s USING btrim(%1$I)::%3$s',
                       col.attname, tbl, candidate.type);
        EXIT;
      EXCEPTION WHEN data_exception THEN
        NULL; -- the 30th of February, 1e999
      END;
    END LOOP;
  END LOOP;
END
$$;
SELECT pg_temp.guess_types(:'tbl') \g /dev/null
SELECT format('%s: %s rows, %s columns, as their values allow: %s', :'tbl',
              (SELECT count(*) FROM :"tbl"),
              (SELECT count(*) FROM pg_attribute WHERE attrelid = :'tbl'::regclass AND attnum > 0),
              (SELECT string_agg(quote_ident(attname) || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
               FROM pg_attribute WHERE attrelid = :'tbl'::regclass AND attnum > 0)) AS line \gset
\echo :line
