-- The tamper-evident log: whoever may rewrite our tables, and lacks the key, is seen.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION pg_mirage;
SELECT * FROM dp_verify_audit();
CREATE TABLE people (age int NOT NULL CHECK (age BETWEEN 0 AND 99));
INSERT INTO people SELECT i % 100 FROM generate_series(1, 500) i;
SELECT dp_protect('people', epsilon => 10);
SELECT entries, ok, first_bad FROM dp_verify_audit();
SELECT dp_train('m', 'people', epsilon => 1) > 0 AS trained;
SELECT count(*) FROM generate_series(1, 6) g, LATERAL dp_synthesize_as(NULL::people, 'm', g);

-- workers chain the log, and nobody waits for the last block: until it is there
CREATE PROCEDURE chained() LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1..600 LOOP
    EXIT WHEN NOT EXISTS (SELECT FROM dp_audit_log WHERE block IS NULL);
    PERFORM pg_sleep(0.05);
    COMMIT;
  END LOOP;
END
$$;
CALL chained();
SELECT action, object, block IS NOT NULL AS chained FROM dp_audit_log ORDER BY id;
SELECT entries, ok, first_bad, head ~ '^[0-9]+:[0-9a-f]{64}$' AS head FROM dp_verify_audit();
SELECT head AS earlier FROM dp_verify_audit() \gset
-- an entry of a transaction that is still open does not hold the others up, and is chained when its turn comes
BEGIN;
SELECT dp_grant('m', 'mirage_trainer');
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 1);
COMMIT;
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 1);
CALL chained();
SELECT entries, ok, first_bad FROM dp_verify_audit(:'earlier');
SELECT entries, ok, first_bad FROM dp_verify_audit(upper(:'earlier'));
-- the chain again, by other means: entries and blocks are hashed over these bytes, which anybody can recompute
CREATE FUNCTION le(value bigint, bytes int) RETURNS bytea LANGUAGE sql AS
  $$SELECT string_agg(set_byte('\x00', 0, (value >> (8 * i))::int & 255), '' ORDER BY i) FROM generate_series(0, bytes - 1) i$$;
CREATE FUNCTION field(value text) RETURNS bytea LANGUAGE sql AS
  $$SELECT int8send(octet_length(convert_to(value, 'UTF8'))) || convert_to(value, 'UTF8')$$;
CREATE FUNCTION entry_hash(l mirage.log) RETURNS bytea LANGUAGE sql AS
  $$SELECT sha256('pg_mirage log entry 2'::bytea || int8send(l.id) || timestamptz_send(l.at) || field(l.role_name) ||
    field(l.session_role) || field(l.action) || field(l.object) || int8send(l.role_oid::bigint) || field(l.identity) ||
    CASE WHEN l.detail IS NULL THEN '\x00'::bytea ELSE '\x01'::bytea || field(l.detail::text) END ||
    CASE WHEN l.seals IS NULL THEN '\x00'::bytea ELSE '\x01'::bytea || field(l.seals::text) END)$$;
SELECT count(*) > 1 AS blocks, bool_and(hash = again) AS hashes, bool_and(previous = before) AS links,
  sum(cardinality(entries)) AS entries
FROM (SELECT b.*, lag(b.hash, 1, decode(repeat('00', 32), 'hex')) OVER (ORDER BY b.number) AS before,
        sha256('pg_mirage block'::bytea || le(b.number, 8) || b.previous || le(cardinality(b.entries), 4) ||
          (SELECT string_agg(entry_hash(l), '' ORDER BY l.id) FROM mirage.log l WHERE l.id = ANY (b.entries))) AS again
      FROM mirage.log_block b) x;
-- a head that this chain never had, and what is no head
SELECT ok FROM dp_verify_audit('1:' || repeat('0', 64));
SELECT ok FROM dp_verify_audit('0:' || repeat('0', 64));
SELECT dp_verify_audit('latest');
SELECT dp_verify_audit('');

-- tampering
CREATE FUNCTION tamper(command text) RETURNS TABLE (ok boolean, first_bad bigint) LANGUAGE plpgsql AS $$
BEGIN
  ALTER TABLE mirage.log DISABLE TRIGGER ALL;
  ALTER TABLE mirage.log_block DISABLE TRIGGER ALL;
  EXECUTE command;
  SELECT v.ok, v.first_bad INTO ok, first_bad FROM dp_verify_audit() v;
  RAISE EXCEPTION USING MESSAGE = 'undone', ERRCODE = 'XXUND';
EXCEPTION WHEN SQLSTATE 'XXUND' THEN
  RETURN NEXT;
END
$$;
-- entry 4 is the first of block 2: what cannot be told within a block is put down to its first entry
SELECT 'nothing' AS what, * FROM tamper('SELECT 1')
UNION ALL SELECT 'entry altered', * FROM tamper($$UPDATE mirage.log SET object = object || 'x' WHERE id = 4$$)
UNION ALL SELECT 'entry of another role', * FROM tamper($$UPDATE mirage.log SET role_name = 'mallory' WHERE id = 4$$)
UNION ALL SELECT 'entry of another time', * FROM tamper($$UPDATE mirage.log SET at = at + interval '1 us' WHERE id = 4$$)
UNION ALL SELECT 'fields shifted', * FROM tamper($$UPDATE mirage.log SET action = action || left(object, 1), object = substr(object, 2) WHERE id = 4$$)
UNION ALL SELECT 'detail gone', * FROM tamper($$UPDATE mirage.log SET detail = NULL WHERE id = 4$$)
UNION ALL SELECT 'entry deleted', * FROM tamper($$DELETE FROM mirage.log WHERE id = 4$$)
UNION ALL SELECT 'entry slipped in', * FROM tamper($$INSERT INTO mirage.log SELECT 0, at, role_name, session_role, action, object, detail FROM mirage.log WHERE id = 4$$)
UNION ALL SELECT 'block deleted', * FROM tamper($$DELETE FROM mirage.log_block WHERE number = 2$$)
UNION ALL SELECT 'first block deleted', * FROM tamper($$DELETE FROM mirage.log_block WHERE number = 1$$)
UNION ALL SELECT 'all blocks deleted', * FROM tamper($$DELETE FROM mirage.log_block$$)
UNION ALL SELECT 'entry left out of its block', * FROM tamper($$UPDATE mirage.log_block SET entries = entries[2:] WHERE number = 1$$)
UNION ALL SELECT 'block emptied', * FROM tamper($$UPDATE mirage.log_block SET entries = '{}' WHERE number = 2$$)
UNION ALL SELECT 'entry in two blocks', * FROM tamper($$UPDATE mirage.log_block SET entries = entries || 1::bigint WHERE number = 2$$)
UNION ALL SELECT 'hash altered', * FROM tamper($$UPDATE mirage.log_block SET hash = set_byte(hash, 0, 255 - get_byte(hash, 0)) WHERE number = 2$$)
UNION ALL SELECT 'signature altered', * FROM tamper($$UPDATE mirage.log_block SET signature = set_byte(signature, 9, 255 - get_byte(signature, 9)) WHERE number = 2$$)
UNION ALL SELECT 'signature cut', * FROM tamper($$UPDATE mirage.log_block SET signature = '' WHERE number = 2$$)
UNION ALL SELECT 'public key exchanged', * FROM tamper($$UPDATE mirage.wrapped_key SET public_key = sha256('x') WHERE purpose = 'log'$$)
UNION ALL SELECT 'public key gone', * FROM tamper($$UPDATE mirage.wrapped_key SET public_key = NULL WHERE purpose = 'log'$$)
UNION ALL SELECT 'seed damaged', * FROM tamper($$UPDATE mirage.wrapped_key SET wrapped = set_byte(wrapped, 20, 255 - get_byte(wrapped, 20)) WHERE purpose = 'log'$$);
-- cutting off the end is what an earlier head is for
SELECT head AS latest FROM dp_verify_audit() \gset
CREATE FUNCTION cut(latest text) RETURNS TABLE (alone boolean, with_head boolean) LANGUAGE plpgsql AS $$
BEGIN
  ALTER TABLE mirage.log DISABLE TRIGGER ALL;
  ALTER TABLE mirage.log_block DISABLE TRIGGER ALL;
  DELETE FROM mirage.log l USING mirage.log_block b WHERE l.id = ANY (b.entries) AND b.number = (SELECT max(number) FROM mirage.log_block);
  DELETE FROM mirage.log_block WHERE number = (SELECT max(number) FROM mirage.log_block);
  SELECT v.ok, w.ok INTO alone, with_head FROM dp_verify_audit() v, dp_verify_audit(latest) w;
  RAISE EXCEPTION USING MESSAGE = 'undone', ERRCODE = 'XXUND';
EXCEPTION WHEN SQLSTATE 'XXUND' THEN
  RETURN NEXT;
END
$$;
SELECT * FROM cut(:'latest');
SELECT ok FROM dp_verify_audit(:'latest');

-- damaged keys and models fail closed, and say what to do
CREATE FUNCTION attempt(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  state text; message text; hint text;
BEGIN
  BEGIN
    EXECUTE command;
    PERFORM dp_synthesize('m', 1);
    RAISE EXCEPTION 'rows of it';
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
  END;
  RETURN state || ' ' || message || ' | ' || regexp_replace(hint, '[0-9a-f]{32}', '<fingerprint>');
END
$$;
SELECT attempt('SELECT 1');
SELECT attempt('UPDATE mirage.model_blob SET sealed = set_byte(sealed, 100, 255 - get_byte(sealed, 100))');
SELECT attempt('UPDATE mirage.model_blob SET sealed = ''''');
SELECT attempt('DELETE FROM mirage.model_blob');
SELECT attempt('DELETE FROM mirage.wrapped_key WHERE purpose = ''model''');
SELECT attempt('UPDATE mirage.wrapped_key SET wrapped = set_byte(wrapped, 20, 255 - get_byte(wrapped, 20)) WHERE purpose = ''model''');
SELECT attempt('UPDATE mirage.wrapped_key w SET wrapped = l.wrapped FROM mirage.wrapped_key l WHERE w.purpose = ''model'' AND l.purpose = ''log''');
SELECT attempt('UPDATE mirage.master_key SET fingerprint = repeat(''0'', 32)');
SELECT attempt('DELETE FROM mirage.master_key');
SELECT attempt('UPDATE mirage.model SET state = ''withdrawn''');
SELECT ok FROM dp_verify_audit(:'latest');
-- settings: none is a secret, none can be moved by a user
CREATE ROLE regress_user;
SET ROLE regress_user;
\set VERBOSITY sqlstate
SET pg_mirage.master_key_file = '/tmp/x';
SET pg_mirage.allow_unsafe_fsync = on;
SET pg_mirage.work_mem = '1MB';
SET pg_mirage.no_such_setting = 1;
SHOW pg_mirage.master_key_file;
\set VERBOSITY default
SELECT dp_verify_audit();
RESET ROLE;
GRANT mirage_auditor TO regress_user;
SET ROLE regress_user;
SELECT ok FROM dp_verify_audit();
RESET ROLE;
DROP EXTENSION pg_mirage CASCADE;
DROP FUNCTION tamper, cut, attempt, le, field;
DROP PROCEDURE chained;
DROP TABLE people;
DROP ROLE regress_user;
