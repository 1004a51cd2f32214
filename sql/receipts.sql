-- Receipts of issuances: what they say, who may read them, that no change of one goes unseen; and the hash of rows.
\set SHOW_CONTEXT never
\set super :USER
SET client_min_messages = warning;
CREATE EXTENSION pg_mirage;
CREATE ROLE regress_owner LOGIN;
CREATE ROLE regress_reader LOGIN;
CREATE ROLE regress_stranger LOGIN;
GRANT CREATE ON SCHEMA public TO regress_owner;
SET SESSION AUTHORIZATION regress_owner;
CREATE TYPE mood AS ENUM ('glad', 'so "so"', 'sad');
CREATE DOMAIN share AS float8 CHECK (VALUE BETWEEN 0 AND 1);
CREATE TABLE people (age int NOT NULL CHECK (age BETWEEN 0 AND 99), "größe" share NOT NULL, mood mood, born date, seen timestamptz);
INSERT INTO people SELECT i % 100, (i % 10) / 10.0, (enum_range(NULL::mood))[1 + i % 3], date '1960-01-01' + i, timestamptz '2020-01-01 00:00+00' + i * interval '1 hour'
FROM generate_series(1, 500) i;
SELECT dp_set_column('people', 'born', lower => '1960-01-01', upper => '1990-01-01');
SELECT dp_set_column('people', 'seen', lower => '2020-01-01 00:00+00', upper => '2021-01-01 00:00+00');
SELECT dp_protect('people', epsilon => 10);
SELECT dp_train('m "1"', 'people', 'independent', epsilon => 0.7) > 0 AS trained;
SELECT dp_grant('m "1"', 'regress_reader');
-- nothing signed yet
SELECT dp_public_key();
SELECT dp_verify_receipt('{}'), dp_verify_receipt(NULL);
\c - regress_reader
SET client_min_messages = warning;
SELECT count(age), count(DISTINCT mood) FROM dp_synthesize('m "1"', 7, conditions => '{"mood": "sad"}', seed => 5) AS t(mood text, age int);
SELECT dp_receipt(1) AS receipt \gset

-- what it says: numbers of this run apart
SELECT jsonb_pretty(regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(:'receipt',
    'urn:pg-mirage:[0-9]+:[0-9]+:', 'urn:pg-mirage:<database>:', 'g'), 'z6Mk[0-9A-Za-z]+', '<key>', 'g'), '"z[0-9A-Za-z]{80,}"', '"<signature>"'),
    '[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z', '<time>', 'g'), 'sha256:[0-9a-f]{64}', '<hash>', 'g'), 'PostgreSQL [^"]+', 'PostgreSQL', 'g'), 'urn:uuid:[-0-9a-f]{36}', 'urn:uuid:<id>')::jsonb
  #- '{proof,@context}' #- '{wasGeneratedBy,wasAssociatedWith,1,softwareVersion}' #- '{wasGeneratedBy,mg:watermarkKey}') AS receipt;
SELECT :'receipt'::jsonb #> '{proof,@context}' = :'receipt'::jsonb -> '@context' AS same_context,
  (:'receipt'::jsonb ->> 'dateCreated')::timestamptz BETWEEN now() - interval '1 minute' AND now() + interval '1 minute' AS time,
  (SELECT 'urn:uuid:' || recipient_id FROM dp_issuances WHERE id = 1) = :'receipt'::jsonb #>> '{mg:recipient,@id}' AS recipient,
  :'receipt'::jsonb #>> '{wasGeneratedBy,wasAssociatedWith,1,softwareVersion}' = (SELECT extversion FROM pg_extension WHERE extname = 'pg_mirage') AS version;
SELECT dp_verify_receipt(:'receipt');

-- no change of a value, no member or element more or less
CREATE TEMP TABLE paths AS
WITH RECURSIVE w(path, v) AS (
  SELECT '{}'::text[], :'receipt'::jsonb
  UNION ALL
  SELECT w.path || e.key, e.value FROM w, LATERAL (
    SELECT key, value FROM jsonb_each(CASE WHEN jsonb_typeof(w.v) = 'object' THEN w.v ELSE '{}' END)
    UNION ALL
    SELECT (ord - 1)::text, value FROM jsonb_array_elements(CASE WHEN jsonb_typeof(w.v) = 'array' THEN w.v ELSE '[]' END) WITH ORDINALITY a(value, ord)) e)
SELECT path, v FROM w;
SELECT count(*) > 120 AS many, count(*) FILTER (WHERE dp_verify_receipt(jsonb_set(:'receipt', path, CASE jsonb_typeof(v)
      WHEN 'string' THEN to_jsonb(overlay(v #>> '{}' PLACING CASE WHEN left(v #>> '{}', 1) = 'x' THEN 'y' ELSE 'x' END FROM 1 FOR 1))
      WHEN 'number' THEN to_jsonb((v #>> '{}')::numeric + 1e-12)
      WHEN 'boolean' THEN to_jsonb(NOT v::boolean)
      ELSE '[]'::jsonb END))) AS unseen_changes,
  count(*) FILTER (WHERE dp_verify_receipt(:'receipt'::jsonb #- path)) AS unseen_removals,
  count(*) FILTER (WHERE jsonb_typeof(v) = 'object' AND dp_verify_receipt(jsonb_set(:'receipt', path || '{new}', '1'))) AS unseen_members,
  count(*) FILTER (WHERE jsonb_typeof(v) = 'array' AND dp_verify_receipt(jsonb_set(:'receipt', path, v || '"new"'::jsonb))) AS unseen_elements
FROM paths WHERE path <> '{}';
-- last characters of every string too
SELECT count(*) FILTER (WHERE dp_verify_receipt(jsonb_set(:'receipt', path, to_jsonb((v #>> '{}') || ' ')))) AS unseen FROM paths WHERE jsonb_typeof(v) = 'string';
-- what other programs may do to JSON: order, white space, escapes, the way a number is written
SELECT dp_verify_receipt((SELECT '{' || string_agg(E'\t' || to_json(key)::text || ' :   ' || value, E',\n' ORDER BY key DESC) || '}' FROM json_each(:'receipt'))::jsonb) AS other_order;
SELECT dp_verify_receipt(replace(:'receipt', '"mood"', '"\u006dood"')::jsonb) AS escaped;
SELECT n, dp_verify_receipt(replace(:'receipt', '"mg:epsilon": 0.7', '"mg:epsilon": ' || n)::jsonb)
FROM unnest(ARRAY['0.7', '7e-1', '0.70', '0.70000000000000000000000', '0.7000000000000001', '0.6999999999999999556', '0.70000000000000001', '70', '-0.7', '"0.7"', '7e400', 'null']) n;
SELECT dp_verify_receipt(replace(:'receipt', '"mg:rowsAskedFor": 7', '"mg:rowsAskedFor": 7.000')::jsonb) AS same, dp_verify_receipt(replace(:'receipt', '"mg:rowsAskedFor": 7', '"mg:rowsAskedFor": 8')::jsonb) AS other;
-- what is no receipt at all
SELECT v, dp_verify_receipt(v) FROM unnest(ARRAY['null', '5', '"x"', '[]', '{}', '{"proof": 5}', '{"proof": {}}', '{"proof": {"type": "DataIntegrityProof", "cryptosuite": "eddsa-jcs-2022", "proofPurpose": "assertionMethod", "proofValue": "z"}}']::jsonb[]) v;

-- keys, in all forms; the worked example of "Data Integrity EdDSA Cryptosuites v1.0" is verified as well
SELECT dp_public_key() ~ E'^-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/]{59}=\n-----END PUBLIC KEY-----\n$' AS pem;
SELECT dp_verify_receipt(:'receipt', dp_public_key()) AS pem,
  dp_verify_receipt(:'receipt', substr(:'receipt'::jsonb #>> '{proof,verificationMethod}', 9, 48)) AS multikey,
  dp_verify_receipt(:'receipt', right(encode(decode(split_part(dp_public_key(), E'\n', 2), 'base64'), 'hex'), 64)) AS hex,
  dp_verify_receipt(:'receipt', dp_public_key('log')) AS log, dp_verify_receipt(:'receipt', repeat('00', 32)) AS zeros,
  dp_verify_receipt(:'receipt', 'z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2') AS another;
SELECT dp_verify_receipt(:'receipt', 'secret');
SELECT dp_public_key('watermark');
SELECT dp_public_key(NULL);
\set vector '{"@context": ["https://www.w3.org/ns/credentials/v2", "https://www.w3.org/ns/credentials/examples/v2"], "id": "urn:uuid:58172aac-d8ba-11ed-83dd-0b3aef56cc33", "type": ["VerifiableCredential", "AlumniCredential"], "name": "Alumni Credential", "description": "A minimum viable example of an Alumni Credential.", "issuer": "https://vc.example/issuers/5678", "validFrom": "2023-01-01T00:00:00Z", "credentialSubject": {"id": "did:example:abcdefgh", "alumniOf": "The School of Examples"}, "proof": {"type": "DataIntegrityProof", "cryptosuite": "eddsa-jcs-2022", "created": "2023-02-24T23:36:38Z", "verificationMethod": "https://vc.example/issuers/5678#z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2", "proofPurpose": "assertionMethod", "@context": ["https://www.w3.org/ns/credentials/v2", "https://www.w3.org/ns/credentials/examples/v2"], "proofValue": "z63t83Y53KfzJ5ZosfKTnqfMcKB2dmTrfjSaQjeNNjAD5srBowQfmWqeRb8rRjmeEuCBEsddF9LsVogtuTsijJKh4"}}'
SELECT dp_verify_receipt(:'vector', 'z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2') AS example, dp_verify_receipt(:'vector') AS with_our_key,
  dp_verify_receipt(jsonb_set(:'vector', '{name}', '"Alumni"'), 'z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2') AS changed,
  dp_verify_receipt(jsonb_set(:'vector', '{@context,2}', '"https://w3id.org/x"', true), 'z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2') AS context_added;

-- who reads it: the recipient, whoever asked, the model's owner, auditors; nobody else, whether there is one or not
\c - regress_stranger
SELECT dp_receipt(1);
SELECT dp_receipt(99);
SELECT dp_verify_receipt(:'receipt') AS anybody_verifies;
SELECT count(*) FROM mirage.receipt;
\c - regress_owner
SELECT dp_receipt(1) = :'receipt' AS owner;
SELECT dp_receipt(99);
\c - :super
SET client_min_messages = warning;
GRANT mirage_auditor TO regress_stranger;
SET ROLE regress_stranger;
SELECT dp_receipt(1) = :'receipt' AS auditor;
RESET ROLE;
REVOKE mirage_auditor FROM regress_stranger;
-- after SET ROLE: the login and the role
GRANT regress_owner TO regress_stranger;
\c - regress_stranger
SET client_min_messages = warning;
SET ROLE regress_owner;
SELECT count(*) FROM dp_synthesize_as(NULL::people, 'm "1"', 1);
RESET ROLE;
\c - :super
SET client_min_messages = warning;
REVOKE regress_owner FROM regress_stranger;
SET ROLE regress_stranger;
SELECT r #>> '{mg:recipient,name}' AS recipient, r #>> '{wasAttributedTo,name}' AS role FROM dp_receipt(2) r;
RESET ROLE;
-- the fingerprint: anybody who may read the stored parameters can compute it again
SELECT 'sha256:' || encode(sha256(b.sealed), 'hex') = dp_receipt(1) #>> '{wasDerivedFrom,mg:fingerprint}' AS fingerprint
FROM mirage.model_blob b JOIN mirage.model m ON m.id = b.model WHERE m.name = 'm "1"';

-- marked or not, as the issuance says
SELECT dp_receipt(id) #>> '{wasGeneratedBy,mg:watermarkKey}' IS NOT DISTINCT FROM watermark AS watermark FROM mirage.issuance WHERE id = 1;

-- the hash of rows
\c - regress_reader
SET client_min_messages = warning;
CREATE TEMP TABLE copy (age int, "größe" float8, mood mood, born date, seen timestamptz);
INSERT INTO copy SELECT * FROM dp_synthesize('m "1"', 200, hash => true) AS t(age int, "größe" float8, mood mood, born date, seen timestamptz);
SELECT dp_receipt(3) AS hashed \gset
SELECT (:'hashed'::jsonb -> 'mg:rows') - 'mg:hash' AS rows, dp_verify_receipt(:'hashed') AS verified,
  dp_verify_receipt(jsonb_set(:'hashed', '{mg:rows,mg:count}', '201')) AS other_count, dp_verify_receipt(:'hashed'::jsonb - 'mg:rows') AS without,
  :'hashed'::jsonb #>> '{mg:rows,mg:hash}' = dp_hash_rows('TABLE copy') AS same;
-- out and in again, under other settings
SET datestyle = 'SQL, DMY';
SET timezone = 'America/New_York';
SET extra_float_digits = 0;
SET intervalstyle = iso_8601;
SELECT :'hashed'::jsonb #>> '{mg:rows,mg:hash}' = dp_hash_rows('TABLE copy') AS same;
SHOW datestyle;
RESET ALL;
SET client_min_messages = warning;
CREATE TEMP TABLE again AS SELECT age::text, "größe"::text, mood::text, born::text, seen::text FROM copy;
SELECT :'hashed'::jsonb #>> '{mg:rows,mg:hash}' = dp_hash_rows('SELECT age::int, "größe"::float8, mood::mood, born::date, seen::timestamptz FROM again') AS parsed_again,
  :'hashed'::jsonb #>> '{mg:rows,mg:hash}' = dp_hash_rows('TABLE again') AS as_text,
  :'hashed'::jsonb #>> '{mg:rows,mg:hash}' = dp_hash_rows('SELECT age, "größe", mood, born, seen FROM copy ORDER BY ctid DESC') AS other_order,
  :'hashed'::jsonb #>> '{mg:rows,mg:hash}' = dp_hash_rows('TABLE copy OFFSET 1') AS one_less;
UPDATE copy SET age = age + 1 WHERE ctid = (SELECT min(ctid) FROM copy);
SELECT :'hashed'::jsonb #>> '{mg:rows,mg:hash}' = dp_hash_rows('TABLE copy ORDER BY ctid') AS one_cell;
-- by other means
CREATE FUNCTION pg_temp.field(value text) RETURNS bytea LANGUAGE sql AS
  $$SELECT int8send(octet_length(convert_to(value, 'UTF8'))) || convert_to(value, 'UTF8')$$;
CREATE FUNCTION pg_temp.value(value text) RETURNS bytea LANGUAGE sql AS
  $$SELECT CASE WHEN value IS NULL THEN '\x00'::bytea ELSE '\x01'::bytea || pg_temp.field(value) END$$;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SELECT dp_hash_rows('TABLE copy') = 'sha256:' || encode(sha256('pg_mirage rows 1'::bytea || int8send(5) || pg_temp.field('age') || pg_temp.field('int4')
  || pg_temp.field('größe') || pg_temp.field('float8') || pg_temp.field('mood') || pg_temp.field('mood') || pg_temp.field('born') || pg_temp.field('date')
  || pg_temp.field('seen') || pg_temp.field('timestamptz') || string_agg('R'::bytea || pg_temp.value(age::text) || pg_temp.value("größe"::text)
     || pg_temp.value(mood::text) || pg_temp.value(born::text) || pg_temp.value(seen::text), ''::bytea ORDER BY ctid) || 'E'::bytea), 'hex') AS independent
FROM copy;
SELECT dp_hash_rows('SELECT NULL::text AS a WHERE false') = 'sha256:' || encode(sha256('pg_mirage rows 1'::bytea || int8send(1) || pg_temp.field('a') || pg_temp.field('text') || 'E'), 'hex') AS nothing;

-- only where all rows have left: not after a LIMIT before the end, an error, or when nobody asked
SELECT count(*) FROM dp_synthesize('m "1"', 10, hash => false) AS t(age int);
SELECT count(*) FROM (SELECT * FROM dp_synthesize('m "1"', 10, hash => true) AS t(age int) LIMIT 9) x;
SELECT count(*) FROM (SELECT dp_synthesize('m "1"', 10, hash => true) LIMIT 9) x;
SELECT 1 / (count(*) - 5000) FROM dp_synthesize('m "1"', 5000, hash => true) AS t(age int);
SELECT min(1 / (CASE WHEN n < 50 THEN 1 ELSE 0 END)) FROM (SELECT row_number() OVER () AS n FROM dp_synthesize('m "1"', 100, hash => true) AS t(age int)) x;
SELECT count(*) FROM dp_synthesize('m "1"', 10, hash => NULL) AS t(age int);
SELECT count(*) FROM (SELECT * FROM dp_synthesize('m "1"', 10, hash => true) AS t(age int) LIMIT 10) x;
SELECT count(*) FROM dp_synthesize('m "1"', 0, hash => true) AS t(age int);
SELECT count(*) FROM (SELECT (dp_synthesize_as(NULL::people, 'm "1"', 10, hash => true)).*) x;
SELECT i, dp_receipt(i) #> '{mg:rows,mg:count}' AS hashed FROM generate_series(4, 12) i;
-- all columns of the call, whatever the query reads of them; rows before WHERE; plans that wait for the parameter; rows that are read again
PREPARE with_hash(boolean) AS SELECT age FROM dp_synthesize('m "1"', 50, seed => 3, hash => $1) AS t(age int, mood text) WHERE age >= 0;
SET plan_cache_mode = force_generic_plan;
SELECT count(*) FROM (SELECT 1) x, LATERAL (SELECT dp_synthesize('m "1"', 50, seed => 3, hash => true)) y;
EXPLAIN (VERBOSE, COSTS OFF) EXECUTE with_hash(true);
CREATE TEMP TABLE ages AS EXECUTE with_hash(true);
CREATE TEMP TABLE no_hash AS EXECUTE with_hash(false);
CREATE TEMP TABLE both_columns AS SELECT * FROM dp_synthesize('m "1"', 50, seed => 3) AS t(age int, mood text);
SELECT dp_receipt(14) #>> '{mg:rows,mg:hash}' = dp_hash_rows('TABLE both_columns') AS all_columns, dp_receipt(15) ? 'mg:rows' AS not_asked,
  (SELECT count(*) FROM (TABLE ages EXCEPT ALL SELECT age FROM both_columns) x) AS other_rows;
SET enable_material = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT count(*) FROM generate_series(1, 3) g, dp_synthesize('m "1"', 20, seed => 3, hash => true) AS t(age int, mood text);
SELECT dp_receipt(17) #> '{mg:rows,mg:count}' AS counted_once;
RESET ALL;
SET client_min_messages = warning;

-- dp_hash_rows: one query, with the caller's rights, that writes nothing
CREATE TEMP TABLE written (i int);
SELECT dp_hash_rows('INSERT INTO written VALUES (1) RETURNING i');
SELECT dp_hash_rows('WITH w AS (INSERT INTO written VALUES (1) RETURNING i) SELECT i FROM w');
SELECT dp_hash_rows('SELECT 1; SELECT 2');
SELECT dp_hash_rows('TABLE people');
SELECT dp_hash_rows('SELECT 1 FROM mirage.receipt');
SELECT dp_hash_rows('SET work_mem = 64');
SELECT dp_hash_rows('SELECT 1 /') ;
SELECT dp_hash_rows(NULL) IS NULL AS null;
SHOW transaction_read_only;
INSERT INTO written VALUES (1);

-- receipts outlive grants, models and their keys
\c - regress_owner
SET client_min_messages = warning;
SELECT dp_revoke('m "1"', 'regress_reader');
SELECT dp_drop_model('m "1"');
\c - regress_reader
SELECT dp_receipt(1) = :'receipt' AS same, dp_verify_receipt(dp_receipt(3)) AS verified;
\c - :super
SET client_min_messages = warning;
SELECT dp_hash_rows('SELECT nextval(''mirage.log_id'')');
SELECT dp_hash_rows('TABLE mirage.receipt') ~ '^sha256:[0-9a-f]{64}$' AS superuser;
SELECT ok FROM dp_verify_audit(dp_audit_head());
DROP TABLE people;
DROP TYPE mood;
DROP DOMAIN share;
DROP EXTENSION pg_mirage CASCADE;
REVOKE CREATE ON SCHEMA public FROM regress_owner;
DROP ROLE regress_owner, regress_reader, regress_stranger;
