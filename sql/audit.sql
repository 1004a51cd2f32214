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
-- each release in a block of its own
DO $$
BEGIN
  FOR g IN 1..6 LOOP
    PERFORM count(*) FROM dp_synthesize_as(NULL::people, 'm', g);
    COMMIT;
    CALL chained();
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
DO $$
BEGIN
  FOR i IN 1..600 LOOP
    EXIT WHEN (SELECT block IS NOT NULL FROM dp_audit_log WHERE action = 'release' ORDER BY id DESC LIMIT 1);
    PERFORM pg_sleep(0.05);
  END LOOP;
END
$$;
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
CREATE FUNCTION append_only() RETURNS SETOF regclass LANGUAGE sql AS
  $$SELECT DISTINCT tgrelid::regclass FROM pg_trigger WHERE tgfoid = 'mirage.refuse_change()'::regprocedure$$;
CREATE PROCEDURE lift() LANGUAGE plpgsql AS $$
DECLARE
  t regclass;
BEGIN
  FOR t IN SELECT append_only() LOOP
    EXECUTE format('ALTER TABLE %s DISABLE TRIGGER ALL', t);
  END LOOP;
END
$$;
CREATE PROCEDURE put_back() LANGUAGE plpgsql AS $$
DECLARE
  t regclass;
BEGIN
  FOR t IN SELECT append_only() LOOP
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER refuse_change', t);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER refuse_truncate', t);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER refuse_strangers', t);
  END LOOP;
END
$$;
-- with the triggers out of the way and back in force afterwards, as somebody does who covers the tracks
CREATE FUNCTION tamper(command text) RETURNS TABLE (ok boolean, first_bad bigint) LANGUAGE plpgsql AS $$
BEGIN
  SET LOCAL session_replication_role = replica; -- nor do event triggers mend what was forced
  CALL lift();
  EXECUTE command;
  CALL put_back();
  RESET session_replication_role;
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
UNION ALL SELECT 'charge hidden', * FROM tamper($$ALTER TABLE mirage.log ALTER COLUMN charge DROP EXPRESSION; UPDATE mirage.log SET charge = NULL WHERE id = 3$$)
UNION ALL SELECT 'number of charges lowered', * FROM tamper($$UPDATE mirage.log_block SET charges = charges - 1 WHERE number = 2$$)
UNION ALL SELECT 'another time of a block', * FROM tamper($$UPDATE mirage.log_block SET chained_at = chained_at + interval '1 us' WHERE number = 2$$)
UNION ALL SELECT 'less settled by the last block', * FROM tamper($$UPDATE mirage.log_block SET settled = settled - 1 WHERE number = (SELECT max(number) FROM mirage.log_block)$$)
UNION ALL SELECT 'public key exchanged', * FROM tamper($$UPDATE mirage.wrapped_key SET public_key = sha256('x') WHERE purpose = 'log'$$)
UNION ALL SELECT 'public key gone', * FROM tamper($$UPDATE mirage.wrapped_key SET public_key = NULL WHERE purpose = 'log'$$)
UNION ALL SELECT 'seed damaged', * FROM tamper($$UPDATE mirage.wrapped_key SET wrapped = set_byte(wrapped, 20, 255 - get_byte(wrapped, 20)) WHERE purpose = 'log'$$);
-- what an index does not show: a block of nobody's signature, with an entry of its own, put in while the index was not
-- kept up
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT 'block that no index knows' AS what, * FROM tamper($$UPDATE pg_index SET indisready = false WHERE indexrelid = 'mirage.log_block_pkey'::regclass;
  INSERT INTO mirage.log (id, role_name, session_role, action, object) SELECT max(id) + 1, 'a', 'b', 'c', 'd' FROM mirage.log;
  INSERT INTO mirage.log_block SELECT number + 1, ARRAY[(SELECT max(id) FROM mirage.log)], hash, hash, signature, settled, charges FROM mirage.log_block ORDER BY number DESC LIMIT 1;
  UPDATE pg_index SET indisready = true WHERE indexrelid = 'mirage.log_block_pkey'::regclass$$);
RESET enable_seqscan;
RESET enable_bitmapscan;
-- every value of every sealed row: the first row of each table, column by column
CREATE FUNCTION altered(type text, col text) RETURNS text LANGUAGE sql AS $$
  SELECT format(CASE type
    WHEN 'bigint' THEN 'coalesce(%1$I, 0) + 1000'
    WHEN 'integer' THEN 'coalesce(%1$I, 0) + 1000'
    WHEN 'smallint' THEN 'coalesce(%1$I, 0) + 10'
    WHEN 'oid' THEN '(coalesce(%1$I, 0)::bigint + 1)::oid'
    WHEN 'text' THEN 'coalesce(%1$I, '''') || ''x'''
    WHEN 'boolean' THEN 'NOT %1$I'
    WHEN 'uuid' THEN 'coalesce(overlay(%1$I::text PLACING CASE left(%1$I::text, 1) WHEN ''0'' THEN ''1'' ELSE ''0'' END FROM 1)::uuid, ''00000000-0000-0000-0000-000000000000'')'
    WHEN 'jsonb' THEN 'coalesce(%1$I, ''null'') || ''[0]'''
    WHEN 'text[]' THEN 'array_append(%1$I, ''x'')'
    WHEN 'bytea' THEN 'set_byte(%1$I, 0, 255 - get_byte(%1$I, 0))'
    WHEN 'double precision' THEN 'coalesce(%1$I, 0) * (1 + 1e-15::float8) + 1e-300'
    WHEN 'numeric' THEN 'coalesce(%1$I, 0) + 1'
    WHEN 'timestamp with time zone' THEN 'coalesce(%1$I, ''2020-01-01'') + interval ''1 us'''
    WHEN 'interval' THEN 'coalesce(%1$I, ''0'') + interval ''1 us''' END, col)
$$;
CREATE FUNCTION alter_all(t regclass) RETURNS TABLE (columns bigint, seen bigint, unseen text[]) LANGUAGE plpgsql AS $$
DECLARE
  a record;
  c record;
  drops text := '';
  bad boolean;
BEGIN
  columns := 0;
  seen := 0;
  FOR c IN SELECT conname FROM pg_constraint WHERE conrelid = t AND contype IN ('c', 'u') LOOP
    drops := drops || format('ALTER TABLE %s DROP CONSTRAINT %I; ', t, c.conname);
  END LOOP;
  FOR c IN SELECT indexrelid::regclass AS name FROM pg_index WHERE indrelid = t AND indisunique
           AND indexrelid NOT IN (SELECT conindid FROM pg_constraint) LOOP
    drops := drops || format('DROP INDEX %s; ', c.name);
  END LOOP;
  FOR a IN SELECT attname, format_type(atttypid, atttypmod) AS type FROM pg_attribute
           WHERE attrelid = t AND attnum > 0 AND NOT attisdropped LOOP
    SELECT NOT ok INTO bad FROM tamper(format('%sUPDATE %s SET %I = %s WHERE ctid = (SELECT min(ctid) FROM %2$s)',
                                               drops, t, a.attname, altered(a.type, a.attname)));
    columns := columns + 1;
    seen := seen + bad::int;
    IF NOT bad THEN
      unseen := unseen || a.attname::text;
    END IF;
  END LOOP;
  RETURN NEXT;
END
$$;
CREATE TEMP TABLE hashed AS SELECT * FROM dp_synthesize_as(NULL::people, 'm', 3, hash => true);
SELECT dp_train('w', 'people', 'independent', epsilon => 0.1) > 0 AS trained;
SELECT dp_withdraw('w', 'a note');
SELECT dp_set_model('w', watermark => false);
SELECT dp_audit_head() IS NOT NULL AS chained;
SELECT t, x.columns = (SELECT count(*) FROM pg_attribute WHERE attrelid = t AND attnum > 0) AS all_columns,
  x.columns = x.seen AS all_seen, x.unseen
FROM unnest(ARRAY['mirage.ledger', 'mirage.issuance', 'mirage.receipt', 'mirage.receipt_rows', 'mirage.budget_change',
                  'mirage.model_fingerprint', 'mirage.recipient',
                  'mirage.decision', 'mirage.mark_plan', 'mirage.mark_switch']::regclass[]) t, LATERAL alter_all(t) x;
-- tables of state: each value of each row, as the last change left it
SELECT dp_set_column('people', 'age', lower => '0', upper => '99', bins => 10);
SELECT dp_grant_budget('people', 'mirage_trainer', 1);
SELECT dp_allow_claims('mirage_trainer');
SELECT dp_grant('m', 'mirage_trainer', max_rows => 1000, per => '1 day', purposes => ARRAY['test'], valid_until => now() + interval '1 year',
  conditions => '{"age": [20, 39]}', columns => ARRAY['age']::name[]);
SELECT t, x.columns = (SELECT count(*) FROM pg_attribute WHERE attrelid = t AND attnum > 0) AS all_columns,
  x.columns = x.seen AS all_seen, x.unseen
FROM unnest(ARRAY['mirage.model_grant', 'mirage.claimant', 'mirage.model', 'mirage.model_column', 'mirage.share',
                  'mirage.relation', 'mirage.column_decl', 'mirage.budget', 'mirage.job']::regclass[]) t, LATERAL alter_all(t) x;
-- a row that was altered by force, and that an ordinary change then passes over: the change goes on, says so, and leaves
-- for good what it found; without a WARNING where it found nothing, and where nothing was forced
CREATE FUNCTION passed_over(force text, change text) RETURNS TABLE (ok boolean, named boolean) LANGUAGE plpgsql AS $$
BEGIN
  SET LOCAL session_replication_role = replica;
  CALL lift();
  EXECUTE force;
  CALL put_back();
  RESET session_replication_role;
  EXECUTE change;
  SELECT v.ok, v.first_bad = (SELECT max(id) FROM mirage.log WHERE action <> 'alert') INTO ok, named FROM dp_verify_audit() v;
  RAISE EXCEPTION USING MESSAGE = 'undone', ERRCODE = 'XXUND';
EXCEPTION WHEN SQLSTATE 'XXUND' THEN
  RETURN NEXT;
END
$$;
SELECT 'nothing' AS what, * FROM passed_over('SELECT 1', $$SELECT dp_grant('m', 'mirage_trainer', max_rows => 5)$$)
UNION ALL SELECT 'put back', * FROM passed_over('UPDATE mirage.model_grant SET max_rows = max_rows + 1; UPDATE mirage.model_grant SET max_rows = max_rows - 1', $$SELECT dp_revoke('m', 'mirage_trainer')$$)
UNION ALL SELECT 'changed twice', * FROM passed_over('SELECT 1', $$SELECT dp_revoke('m', 'mirage_trainer'), dp_grant('m', 'mirage_trainer'), dp_grant('m', 'mirage_trainer', max_rows => 2)$$);
SELECT 'grant renewed' AS what, * FROM passed_over('UPDATE mirage.model_grant SET max_rows = 1000000', $$SELECT dp_grant('m', 'mirage_trainer', max_rows => 5)$$);
SELECT 'grant revoked' AS what, * FROM passed_over('UPDATE mirage.model_grant SET max_rows = 1000000', $$SELECT dp_revoke('m', 'mirage_trainer')$$);
SELECT 'grant added' AS what, * FROM passed_over($$INSERT INTO mirage.model_grant SELECT (jsonb_populate_record(g, jsonb_build_object('grantee_name', 'mirage_auditor', 'grantee_oid', 'mirage_auditor'::regrole::oid))).* FROM mirage.model_grant g$$, $$SELECT dp_revoke('m', 'mirage_auditor')$$);
SELECT 'grant removed' AS what, * FROM passed_over('DELETE FROM mirage.model_grant', $$SELECT dp_grant('m', 'mirage_trainer')$$);
SELECT 'withdrawal undone' AS what, * FROM passed_over($$UPDATE mirage.model SET state = 'ready' WHERE name = 'w'$$, $$SELECT dp_withdraw('w', 'again')$$);
SELECT 'cap raised' AS what, * FROM passed_over('UPDATE mirage.budget SET epsilon = 100', $$SELECT dp_alter_budget('people', epsilon => 11)$$);
SELECT 'unit exchanged' AS what, * FROM passed_over($$UPDATE mirage.relation SET max_rows_per_unit = 5 WHERE name ~ 'people'$$, 'ALTER TABLE people RENAME TO folk');
SELECT 'bounds moved' AS what, * FROM passed_over($$UPDATE mirage.column_decl SET upper = '50'$$, $$SELECT dp_set_column('people', 'age', lower => '0', upper => '99', bins => 10)$$);
SELECT 'share raised' AS what, * FROM passed_over('UPDATE mirage.share SET epsilon = 5', $$SELECT dp_grant_budget('people', 'mirage_trainer', 2)$$);
SELECT 'claimant exchanged' AS what, * FROM passed_over($$UPDATE mirage.claimant SET allowed_by = 'mallory'$$, $$SELECT dp_allow_claims('mirage_trainer', false)$$);
-- within one transaction
BEGIN;
SELECT dp_grant('m', 'mirage_trainer', max_rows => 3);
UPDATE mirage.model_grant SET purposes = '{any}';
SELECT dp_grant('m', 'mirage_trainer', max_rows => 4);
SELECT ok FROM dp_verify_audit();
ROLLBACK;
SELECT ok FROM dp_verify_audit();
-- gone, added, back again, back to what they were before
CREATE TABLE before AS SELECT * FROM mirage.model_grant;
SELECT dp_grant('m', 'mirage_trainer', max_rows => 10);
CREATE TABLE revoked AS SELECT * FROM mirage.model_grant;
SELECT t, (tamper(format('DELETE FROM %s', t))).ok AS deleted, (tamper(format('TRUNCATE %s', t))).ok AS truncated,
  (tamper(format('INSERT INTO %s SELECT (jsonb_populate_record(r, %L)).* FROM %1$s r LIMIT 1', t, added))).ok AS added
FROM (VALUES ('mirage.model_grant', '{"grantee_name": "mallory"}'), ('mirage.claimant', '{"role_name": "mallory"}'),
  ('mirage.model', '{"id": 1000, "name": "n"}'), ('mirage.model_column', '{"pos": 1000}'), ('mirage.share', '{"id": 1000}'),
  ('mirage.relation', '{"id": 1000, "relid": 1}'), ('mirage.column_decl', '{"attname": "mallory"}'),
  ('mirage.budget', '{"id": 1000, "name": "n"}'), ('mirage.job', '{"id": 1000}')) x (t, added);
SELECT (tamper('DELETE FROM mirage.model_grant; INSERT INTO mirage.model_grant TABLE before')).ok AS old_grant,
  (tamper('UPDATE mirage.model_grant SET max_rows = max_rows')).ok AS same_grant,
  (tamper('CREATE TABLE copy AS TABLE mirage.model_grant; DELETE FROM mirage.model_grant; INSERT INTO mirage.model_grant TABLE copy; DROP TABLE copy')).ok AS put_back;
SELECT dp_revoke('m', 'mirage_trainer');
SELECT dp_allow_claims('mirage_trainer', false);
SELECT (tamper('SELECT 1')).ok AS untouched, (tamper('INSERT INTO mirage.model_grant TABLE revoked')).ok AS revoked_grant;
DROP TABLE before, revoked;
-- ordinary use leaves nothing to complain about: changes twice in a transaction, undone by halves, by an error, names
-- that move along, what is dropped, partitions that join
CREATE FUNCTION fails() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM dp_grant('m', 'mirage_auditor');
  BEGIN
    PERFORM dp_grant('m', 'mirage_auditor', max_rows => 5);
    PERFORM dp_allow_claims('mirage_auditor');
    RAISE EXCEPTION 'no';
  EXCEPTION WHEN raise_exception THEN
    PERFORM dp_alter_budget('people', epsilon => 12);
  END;
END
$$;
SELECT fails();
BEGIN;
SELECT dp_grant('m', 'mirage_trainer');
SAVEPOINT s;
SELECT dp_revoke('m', 'mirage_trainer');
SELECT dp_allow_claims('mirage_trainer');
ROLLBACK TO s;
SELECT dp_grant('m', 'mirage_trainer', max_rows => 7);
SELECT dp_revoke('m', 'mirage_trainer');
SELECT dp_grant('m', 'mirage_trainer', max_rows => 8);
COMMIT;
BEGIN;
SELECT dp_revoke('m', 'mirage_trainer');
ROLLBACK;
CREATE ROLE regress_named;
SELECT dp_grant('m', 'regress_named');
SELECT dp_allow_claims('regress_named');
SELECT dp_grant_budget('people', 'regress_named', 2);
ALTER ROLE regress_named RENAME TO regress_renamed;
SELECT dp_grant('m', 'regress_renamed', max_rows => 3);
SELECT dp_allow_claims('regress_renamed');
SELECT dp_grant_budget('people', 'regress_renamed', 1);
CREATE TABLE parts (age int NOT NULL CHECK (age BETWEEN 0 AND 99)) PARTITION BY RANGE (age);
CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (0) TO (50);
SELECT dp_protect('parts', epsilon => 5);
CREATE TABLE part_2 PARTITION OF parts FOR VALUES FROM (50) TO (100);
INSERT INTO parts TABLE people;
SELECT dp_train('p', 'parts', 'independent', epsilon => 1) > 0 AS trained;
SELECT name, inherited FROM mirage.relation WHERE name ~ 'part' ORDER BY name;
CREATE TABLE codes (code text PRIMARY KEY);
SELECT dp_declare_public('codes');
CREATE SCHEMA elsewhere;
ALTER TABLE people RENAME TO folk;
ALTER TABLE codes SET SCHEMA elsewhere;
ALTER SCHEMA elsewhere RENAME TO anywhere;
ALTER TABLE folk RENAME TO people;
SELECT name FROM mirage.relation WHERE NOT inherited ORDER BY name;
DROP SCHEMA anywhere CASCADE;
SELECT dp_alter_budget('people', require_approval => true);
SELECT dp_train('q', 'people', 'independent', epsilon => 0.1) > 0 AS trained;
SELECT dp_reject('q', 'no');
SELECT dp_train('x', 'people', epsilon => 100);
SELECT dp_alter_budget('people', require_approval => false);
SELECT dp_drop_model('q');
SELECT dp_drop_model('p');
DROP TABLE parts;
SELECT action, object FROM dp_audit_log WHERE action IN ('follow names', 'forget dropped') ORDER BY id;
SELECT ok, first_bad FROM dp_verify_audit();
SELECT (tamper($$INSERT INTO mirage.model SELECT (jsonb_populate_record(m, '{"id": 3, "name": "p"}')).* FROM mirage.model m WHERE name = 'm'$$)).ok AS dropped_model,
  (tamper($$UPDATE mirage.relation SET name = 'public.codes' WHERE name = 'anywhere.codes'$$)).ok AS name_moved;
DROP FUNCTION fails;
SELECT 'charge refunded' AS what, * FROM tamper($$INSERT INTO mirage.ledger SELECT (jsonb_populate_record(l, '{"id": 1000, "state": "released", "charge": 1000}')).* FROM mirage.ledger l WHERE state = 'reserved' AND charge = 1$$)
UNION ALL SELECT 'charge gone', * FROM tamper($$DELETE FROM mirage.ledger$$)
UNION ALL SELECT 'settlement gone', * FROM tamper($$DELETE FROM mirage.ledger WHERE state = 'spent'$$)
UNION ALL SELECT 'issuance gone', * FROM tamper($$DELETE FROM mirage.issuance WHERE id = 3$$)
UNION ALL SELECT 'all issuances gone', * FROM tamper($$TRUNCATE mirage.issuance$$)
UNION ALL SELECT 'receipt gone', * FROM tamper($$DELETE FROM mirage.receipt WHERE issuance = 3$$)
UNION ALL SELECT 'hash gone', * FROM tamper($$DELETE FROM mirage.receipt_rows$$)
UNION ALL SELECT 'recipient gone', * FROM tamper($$DELETE FROM mirage.recipient$$)
UNION ALL SELECT 'recipient invented', * FROM tamper($$INSERT INTO mirage.recipient SELECT (jsonb_populate_record(r, '{"id": 1000, "role_oid": 1}')).* FROM mirage.recipient r$$)
UNION ALL SELECT 'issuance invented', * FROM tamper($$INSERT INTO mirage.issuance SELECT (jsonb_populate_record(i, '{"id": 1000}')).* FROM mirage.issuance i WHERE id = 3$$)
UNION ALL SELECT 'issuances exchanged', * FROM tamper($$UPDATE mirage.issuance SET id = CASE id WHEN 3 THEN 1004 ELSE 1003 END WHERE id IN (3, 4); UPDATE mirage.issuance SET id = id - 1000 WHERE id > 1000$$)
UNION ALL SELECT 'running total altered', * FROM tamper($$UPDATE mirage.issuance SET recipient_total = 0 WHERE id = 3$$)
UNION ALL SELECT 'seal altered', * FROM tamper($$UPDATE mirage.log SET seals = '[["issuance", 3, "00"]]' WHERE seals @> '[["issuance", 3]]'$$)
UNION ALL SELECT 'seals that are none', * FROM tamper($$UPDATE mirage.log SET seals = '[5, ["ledger"], ["ledger", "x"], ["ledger", {}, []]]' WHERE id = 3$$)
UNION ALL SELECT 'no seals', * FROM tamper($$UPDATE mirage.log SET seals = '"x"' WHERE id = 3$$)
UNION ALL SELECT 'entry of another OID', * FROM tamper($$UPDATE mirage.log SET role_oid = 1 WHERE id = 4$$)
UNION ALL SELECT 'cap raised', * FROM tamper($$UPDATE mirage.budget SET epsilon = 100$$)
UNION ALL SELECT 'order of the filter changed', * FROM tamper($$UPDATE mirage.budget SET alpha = alpha * 2$$)
UNION ALL SELECT 'period given', * FROM tamper($$UPDATE mirage.budget SET period = '1 day'$$)
UNION ALL SELECT 'price of a model', * FROM tamper($$UPDATE mirage.model SET epsilon = 0.1$$)
UNION ALL SELECT 'parameters exchanged', * FROM tamper($$UPDATE mirage.model_blob SET sealed = set_byte(sealed, 100, 255 - get_byte(sealed, 100))$$)
UNION ALL SELECT 'key of receipts exchanged', * FROM tamper($$UPDATE mirage.wrapped_key SET public_key = sha256('x') WHERE purpose = 'receipt'$$);

-- triggers: in force for everybody, and missed when they are not
CREATE FUNCTION attempts(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE command;
  RETURN 'done';
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE;
END
$$;
SET session_replication_role = replica;
SELECT t, attempts(format('UPDATE %s SET %I = %2$I', t, (SELECT attname FROM pg_attribute WHERE attrelid = t AND attnum = 1))) AS update,
  attempts(format('DELETE FROM %s', t)) AS delete, attempts(format('TRUNCATE %s', t)) AS truncate
FROM unnest(ARRAY['mirage.ledger', 'mirage.issuance', 'mirage.receipt', 'mirage.receipt_rows', 'mirage.budget_change',
                  'mirage.model_fingerprint', 'mirage.recipient', 'mirage.log', 'mirage.log_block']::regclass[]) t;
RESET session_replication_role;
CREATE FUNCTION without(command text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  result boolean;
BEGIN
  EXECUTE command;
  SELECT v.ok INTO result FROM dp_verify_audit() v;
  RAISE EXCEPTION USING MESSAGE = 'undone', ERRCODE = 'XXUND';
EXCEPTION WHEN SQLSTATE 'XXUND' THEN
  RETURN result;
END
$$;
SELECT without('SELECT 1') AS untouched,
  without('ALTER TABLE mirage.ledger DISABLE TRIGGER refuse_change') AS disabled,
  without('ALTER TABLE mirage.log ENABLE TRIGGER refuse_change') AS not_always,
  without('ALTER TABLE mirage.issuance ENABLE REPLICA TRIGGER refuse_truncate') AS replica_only,
  without('DROP TRIGGER refuse_truncate ON mirage.log_block') AS dropped,
  without('DROP TRIGGER refuse_change ON mirage.receipt; CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON mirage.receipt FOR EACH ROW WHEN (false) EXECUTE FUNCTION mirage.refuse_change(); ALTER TABLE mirage.receipt ENABLE ALWAYS TRIGGER refuse_change') AS never,
  without('DROP TRIGGER refuse_change ON mirage.receipt; CREATE TRIGGER refuse_change BEFORE UPDATE ON mirage.receipt FOR EACH ROW EXECUTE FUNCTION mirage.refuse_change(); ALTER TABLE mirage.receipt ENABLE ALWAYS TRIGGER refuse_change') AS update_only,
  without('CREATE OR REPLACE FUNCTION mirage.refuse_change() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN RETURN NEW; END''') AS other_function;
-- what a NOTICE says of it
SET client_min_messages = notice;
SELECT ok FROM tamper($$UPDATE mirage.ledger SET epsilon = 0.5; DELETE FROM mirage.receipt_rows; INSERT INTO mirage.issuance SELECT (jsonb_populate_record(i, '{"id": 1000}')).* FROM mirage.issuance i WHERE id = 3$$);
SELECT without('ALTER TABLE mirage.ledger DISABLE TRIGGER refuse_change; UPDATE mirage.budget SET epsilon = 100') AS ok;
SELECT without($$INSERT INTO mirage.log (at, role_name, session_role, action, object) VALUES (now() - interval '2 hours', 'a', 'b', 'c', 'd')$$) AS ok;
-- what is forced upon the tables themselves
CREATE FUNCTION evil() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE ROLE regress_mallory;
\set VERBOSITY terse
SELECT without('CREATE TRIGGER evil BEFORE INSERT ON mirage.log FOR EACH ROW EXECUTE FUNCTION evil()') AS ok;
SELECT without('CREATE TRIGGER refuse_change AFTER INSERT ON mirage.model_grant FOR EACH ROW EXECUTE FUNCTION mirage.refuse_change()') AS ok;
SELECT without('CREATE TRIGGER evil INSTEAD OF INSERT ON dp_models FOR EACH ROW EXECUTE FUNCTION evil()') AS ok;
SELECT without('CREATE TABLE tied (id bigint CONSTRAINT tied_key REFERENCES mirage.model ON DELETE CASCADE)') AS ok;
SELECT without('DROP TRIGGER refuse_change ON mirage.issuance') AS ok;
SELECT without('ALTER TABLE mirage.decision DISABLE TRIGGER refuse_truncate') AS ok;
SELECT without('ALTER TABLE mirage.model_grant DISABLE TRIGGER refuse_strangers') AS ok;
SELECT without('CREATE RULE evil AS ON INSERT TO mirage.log DO INSTEAD NOTHING') AS ok;
SELECT without('CREATE RULE evil AS ON UPDATE TO dp_models DO INSTEAD NOTHING') AS ok;
SELECT without('CREATE OR REPLACE FUNCTION mirage.refuse_change() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN RETURN NEW; END''') AS ok;
SELECT without('CREATE OR REPLACE FUNCTION mirage.oversees() RETURNS boolean LANGUAGE sql AS ''SELECT true''') AS ok;
SELECT without('CREATE OR REPLACE FUNCTION mirage.oversees() RETURNS boolean LANGUAGE c AS ''$libdir/pg_mirage'', ''mg_sql_owns''') AS ok;
SELECT without('ALTER FUNCTION mirage.oversees() SECURITY DEFINER') AS ok;
SELECT without('ALTER TABLE mirage.model_grant ENABLE ROW LEVEL SECURITY') AS ok;
SELECT without('CREATE POLICY evil ON mirage.claimant USING (false)') AS ok;
SELECT without('ALTER TABLE mirage.model_grant OWNER TO regress_mallory') AS ok;
SELECT without('ALTER SEQUENCE mirage.log_id OWNER TO regress_mallory') AS ok;
SELECT without('ALTER VIEW dp_models OWNER TO regress_mallory') AS ok;
SELECT without('ALTER FUNCTION mirage.oversees() OWNER TO regress_mallory') AS ok;
SELECT without('ALTER SCHEMA mirage OWNER TO regress_mallory') AS ok;
SELECT without('GRANT SELECT, INSERT ON mirage.log TO regress_mallory') AS ok;
SELECT without('GRANT UPDATE (epsilon) ON mirage.budget TO PUBLIC') AS ok;
SELECT without('GRANT USAGE ON SEQUENCE mirage.log_id TO regress_mallory') AS ok;
SELECT without('GRANT UPDATE ON dp_models TO regress_mallory') AS ok;
SELECT without('GRANT CREATE ON SCHEMA mirage TO PUBLIC') AS ok;
SELECT without('CREATE TABLE child () INHERITS (mirage.model_grant)') AS ok;
SELECT without('CREATE TABLE parent (id bigint NOT NULL); ALTER TABLE mirage.share INHERIT parent') AS ok;
SELECT without('ALTER EVENT TRIGGER pg_mirage_follow_names DISABLE') AS ok;
SELECT without('ALTER EVENT TRIGGER pg_mirage_forget_dropped ENABLE REPLICA') AS ok;
-- something else in a table's place, and what decides of rows to come
CREATE FUNCTION instead(command text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  result boolean;
BEGIN
  SET LOCAL session_replication_role = replica;
  result := without(command);
  RESET session_replication_role;
  RETURN result;
END
$$;
SET client_min_messages = warning;
SELECT instead('ALTER TABLE mirage.share RENAME TO s; CREATE VIEW mirage.share AS TABLE mirage.s') AS view,
  instead('ALTER TABLE mirage.share RENAME TO s; CREATE TABLE mirage.share (LIKE mirage.s INCLUDING ALL)') AS table,
  instead('ALTER EXTENSION pg_mirage DROP TABLE mirage.share') AS not_ours,
  instead('CREATE TABLE mirage.more ()') AS more,
  instead($$ALTER TABLE mirage.issuance ALTER issued_at SET DEFAULT '2000-01-01'$$) AS other_default,
  instead('ALTER TABLE mirage.log ALTER at DROP DEFAULT') AS no_default,
  instead('ALTER TABLE mirage.share ALTER grantee_name DROP NOT NULL') AS may_be_null,
  instead('ALTER TABLE mirage.use_day ALTER rows TYPE numeric') AS other_type,
  instead('ALTER TABLE mirage.log ADD note text') AS column_more,
  instead('ALTER TABLE mirage.model_grant DROP CONSTRAINT model_grant_pkey') AS no_key,
  instead('ALTER TABLE mirage.model DROP CONSTRAINT model_state_check') AS no_check,
  instead('ALTER TABLE mirage.share ADD CHECK (epsilon > 100) NOT VALID') AS check_more,
  instead('DROP INDEX mirage.issuance_by_name') AS no_index,
  instead($$UPDATE pg_index SET indisready = false WHERE indexrelid = 'mirage.issuance_by_name'::regclass$$) AS idle_index,
  instead('CREATE INDEX ON mirage.log ((upper(object)))') AS code_in_index,
  instead('ALTER TABLE mirage.share SET UNLOGGED') AS unlogged,
  instead('ALTER SEQUENCE mirage.log_id CACHE 10') AS cached,
  instead('ALTER SEQUENCE mirage.issuance_id INCREMENT -1 MINVALUE -1000') AS downwards;
-- what is a matter of speed
SELECT instead('CREATE INDEX ON mirage.log (at); ALTER TABLE mirage.log SET (autovacuum_enabled = off); ALTER TABLE mirage.log CLUSTER ON log_pkey; REINDEX TABLE mirage.log') AS speed;
SET client_min_messages = notice;
SELECT without('ALTER TABLE mirage.share RENAME TO s; CREATE VIEW mirage.share AS TABLE mirage.s; ALTER TABLE mirage.s SET SCHEMA public') AS ok;
SET quote_all_identifiers = on;
SELECT ok FROM dp_verify_audit();
RESET quote_all_identifiers;
-- what a site may do: say who executes which function and who reads which view
SELECT without('GRANT SELECT ON dp_keys TO regress_mallory; REVOKE EXECUTE ON FUNCTION dp_receipt(bigint) FROM PUBLIC') AS ok;
DROP FUNCTION evil;
DROP ROLE regress_mallory;
\set VERBOSITY default
SET client_min_messages = warning;

-- cutting off the end is what an earlier head is for; a block of its own, without what leaves traces elsewhere
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 1);
CALL chained();
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm', 1);
CALL chained();
SELECT head AS latest FROM dp_verify_audit() \gset
CREATE FUNCTION cut(latest text) RETURNS TABLE (alone boolean, with_head boolean) LANGUAGE plpgsql AS $$
DECLARE
  s record;
BEGIN
  CALL lift();
  FOR s IN SELECT e.value->>0 AS name, e.value->>1 AS key FROM mirage.log l JOIN mirage.log_block b ON l.id = ANY (b.entries),
           jsonb_array_elements(l.seals) e WHERE b.number = (SELECT max(number) FROM mirage.log_block) LOOP
    EXECUTE format('DELETE FROM mirage.%I WHERE %s = %s', s.name, CASE WHEN s.name ~ 'receipt' THEN 'issuance' WHEN s.name ~ 'fingerprint|plan' THEN 'model'
      WHEN s.name ~ 'acknowledged' THEN 'alert' ELSE 'id' END, s.key);
  END LOOP;
  DELETE FROM mirage.log l USING mirage.log_block b WHERE l.id = ANY (b.entries) AND b.number = (SELECT max(number) FROM mirage.log_block);
  DELETE FROM mirage.log_block WHERE number = (SELECT max(number) FROM mirage.log_block);
  CALL put_back();
  SELECT v.ok, w.ok INTO alone, with_head FROM dp_verify_audit() v, dp_verify_audit(latest) w;
  RAISE EXCEPTION USING MESSAGE = 'undone', ERRCODE = 'XXUND';
EXCEPTION WHEN SQLSTATE 'XXUND' THEN
  RETURN NEXT;
END
$$;
\set VERBOSITY terse
SET client_min_messages = notice;
SELECT * FROM cut(:'latest');
SET client_min_messages = warning;
\set VERBOSITY default
SELECT ok FROM dp_verify_audit(:'latest');

-- signed heads: of all that is committed, and of nobody else
SELECT dp_grant('m', 'mirage_trainer');
SELECT dp_audit_head() AS signed \gset
SELECT bool_and(block IS NOT NULL) AS all_chained, max(action) FILTER (WHERE id = (SELECT max(id) FROM mirage.log)) AS last FROM dp_audit_log;
SELECT :'signed' ~ '^pg_mirage-head-1;[0-9]+;[0-9a-f]{64};[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z;[0-9]+:[0-9]+;[0-9a-f]{128}$' AS form,
  split_part(:'signed', ';', 2) || ':' || split_part(:'signed', ';', 3) = head AS same, ok FROM dp_verify_audit(:'signed');
SELECT ok FROM dp_verify_audit(split_part(:'signed', ';', 2) || ':' || split_part(:'signed', ';', 3));
\set VERBOSITY terse
SET client_min_messages = notice;
SELECT ok FROM dp_verify_audit(regexp_replace(:'signed', '[0-9]{2}Z', '99Z'));
SELECT ok FROM dp_verify_audit(left(:'signed', -128) || repeat('0', 128));
SELECT ok FROM dp_verify_audit(split_part(:'signed', ';', 2) || ':' || repeat('0', 64));
SELECT ok FROM dp_verify_audit('1000000:' || repeat('0', 64));
SELECT ok FROM dp_verify_audit(:'signed' || '00');
SET client_min_messages = warning;
\set VERBOSITY default

-- a longer log, in little memory: the same findings, and an end when asked for
DO $$
BEGIN
  FOR i IN 1..2000 LOOP
    PERFORM dp_grant('m', 'mirage_trainer', max_rows => i);
  END LOOP;
END
$$;
SELECT dp_audit_head() IS NOT NULL AS chained;
SET work_mem = '64kB';
CREATE TEMP TABLE middle AS SELECT max(id) - 1000 AS id FROM mirage.log WHERE action = 'grant';
CREATE TEMP TABLE block AS SELECT number, entries[1] AS first FROM mirage.log_block b WHERE (SELECT id FROM middle) = ANY (entries);
SELECT 'nothing' AS what, ok, first_bad IS NULL AS right FROM tamper('SELECT 1')
UNION ALL SELECT 'entry altered', ok, first_bad = first FROM tamper('UPDATE mirage.log SET object = object || ''x'' WHERE id = (SELECT id FROM middle)'), block
UNION ALL SELECT 'entry deleted', ok, first_bad = first FROM tamper('DELETE FROM mirage.log WHERE id = (SELECT id FROM middle)'), block
UNION ALL SELECT 'entry moved to another block', ok, first_bad = 1 FROM tamper('UPDATE mirage.log_block SET entries = CASE number WHEN 1 THEN entries || (SELECT id FROM middle) ELSE array_remove(entries, (SELECT id FROM middle)) END WHERE number IN (1, (SELECT number FROM block))')
UNION ALL SELECT 'order in the block', ok, first_bad <= first + 1 FROM tamper('UPDATE mirage.log_block SET entries = entries[2:2] || entries[1:1] || entries[3:] WHERE number = (SELECT number FROM block)'), block
UNION ALL SELECT 'settled lowered', ok, first_bad = first FROM tamper('UPDATE mirage.log_block SET settled = 0 WHERE number = (SELECT number FROM block)'), block
UNION ALL SELECT 'entry of a number long settled', ok, first_bad = id FROM tamper('WITH old AS (DELETE FROM mirage.log WHERE id = (SELECT id FROM middle) RETURNING *), cut AS (UPDATE mirage.log_block SET entries = array_remove(entries, (SELECT id FROM middle)) WHERE number = (SELECT number FROM block)) INSERT INTO mirage.log (id, role_name, session_role, action, object) SELECT 0 - 1, role_name, session_role, action, object FROM old; UPDATE mirage.log SET id = (SELECT id FROM middle) WHERE id = -1'), (SELECT least(middle.id, first) AS id FROM middle, block) m
UNION ALL SELECT 'row altered', ok, first_bad IS NULL FROM tamper('UPDATE mirage.model_grant SET max_rows = 1999')
UNION ALL SELECT 'twice the same row', ok, first_bad IS NULL FROM tamper('ALTER TABLE mirage.issuance DROP CONSTRAINT issuance_pkey; INSERT INTO mirage.issuance SELECT * FROM mirage.issuance WHERE id = 3');
RESET work_mem;
SET statement_timeout = '3ms';
SELECT ok FROM dp_verify_audit();
RESET statement_timeout;

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
-- (14 takes any name)
DO $$
BEGIN
  SET pg_mirage.no_such_setting = 1;
  IF current_setting('server_version_num')::int >= 150000 THEN RAISE 'an unknown setting was taken'; END IF;
EXCEPTION WHEN invalid_name THEN
END $$;
SHOW pg_mirage.master_key_file;
\set VERBOSITY default
SELECT dp_verify_audit();
SELECT dp_audit_head();
RESET ROLE;
GRANT mirage_auditor TO regress_user;
SET ROLE regress_user;
SELECT ok FROM dp_verify_audit();
SELECT ok FROM dp_verify_audit(dp_audit_head());
RESET ROLE;
DROP EXTENSION pg_mirage CASCADE;
DROP FUNCTION tamper, cut, attempt, le, field, append_only, altered, alter_all, attempts, without;
DROP PROCEDURE chained, lift, put_back;
DROP TABLE people;
DROP ROLE regress_user, regress_renamed;
