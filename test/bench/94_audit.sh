#!/usr/bin/env bash
# What a long log costs: verification, and whatever a release or a training does with it.
#
#   verify       dp_verify_audit(), by the clock and in processor seconds of all its threads, also for each issuance;
#                and beside it a sequential SELECT that hashes the same rows (log, blocks, issuances, receipts) with
#                sha256(): the ratio of the two by the clock; MB is the size of those tables
#   release      dp_synthesize of one row, to its end: record, receipt, entry in the log
#   training     from the call of dp_train to its committed reservation (wait => false), which asks whether the ledger
#                is whole
#   head         dp_audit_head(): chains what is in no block, and signs
#
# A release takes milliseconds, so that most of the issuances are copies of a real one, made as the product makes them:
# issuance, receipt and log entry with the seals of both, each entry in a block of its own with a genuine signature
# (sign_blocks.c). That verification finds them whole says that they are; one altered receipt among them is found.
# $REAL are real. Targets: verification linear and under 30 s at 300,000; the others as long at the end as at the
# beginning.
set -euo pipefail
. "$(dirname "$0")/common.bash"
sizes=${SIZES:-1000 10000 100000 300000}
real=${REAL:-200}
runs=${RUNS:-21}
export PGOPTIONS='-c client_min_messages=warning'
[ -x "${BENCH_PROGRAMS:-}/sign_blocks" ] || { echo "skipped: no sign_blocks (make bench-programs)"; exit 77; }

quiet <<'S'
CREATE EXTENSION pg_mirage;
CREATE TABLE few AS SELECT i % 3 = 0 AS a, i % 4 AS b FROM generate_series(1, 50) i;
ANALYZE few;
SELECT dp_protect('few', epsilon => 1000);
SELECT dp_train('m', 'few', method => 'independent', epsilon => 0.1);
CREATE SEQUENCE name;
CREATE FUNCTION field(name text, value bytea) RETURNS bytea LANGUAGE sql AS
  $$SELECT int8send(octet_length(name)) || convert_to(name, 'UTF8') || int8send(octet_length(value)) || value$$;
CREATE FUNCTION str(value text) RETURNS bytea LANGUAGE sql AS
  $$SELECT int8send(octet_length(convert_to(value, 'UTF8'))) || convert_to(value, 'UTF8')$$;
-- an expression for the hash of rows (catalog/seals.c) like the one of a key, but for columns that are given
CREATE FUNCTION hash_of(t text, key text, id bigint, other jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  c record;
  form text;
  value bytea;
  parts text := format('%L::bytea || str(%L)', 'pg_mirage row 1', t);
BEGIN
  FOR c IN SELECT attname AS name, typname AS type, typsend AS send FROM pg_attribute a
           JOIN pg_type y ON y.oid = atttypid
           WHERE attrelid = format('mirage.%I', t)::regclass AND attnum > 0 ORDER BY attname::text COLLATE "C" LOOP
    form := CASE WHEN c.type IN ('text', 'jsonb') THEN format('convert_to(%I::text, ''UTF8'')', c.name)
      WHEN c.type = '_text' THEN
        format('(SELECT string_agg(''\x01''::bytea || str(e), '''') FROM unnest(%I) e)', c.name)
      ELSE format('%s(%I)', c.send, c.name) END;
    EXECUTE format('SELECT %s FROM mirage.%I WHERE %I = $1', form, t, key) INTO value USING id;
    IF other ? c.name THEN
      parts := parts || format(' || field(%L, %s(%s))', c.name, c.send, other->>c.name);
    ELSIF value IS NOT NULL THEN
      parts := parts || format(' || %L::bytea', field(c.name, value)::text);
    END IF;
  END LOOP;
  RETURN format('encode(sha256(%s), ''hex'')', parts);
END
$$;
-- copies of the last issuance, with all that belongs to it but blocks; entries and their hashes to the table `made`
CREATE TABLE made (id bigint, hash text);
CREATE PROCEDURE copy(n bigint) LANGUAGE plpgsql AS $$
DECLARE
  last mirage.issuance;
  entry bigint;
BEGIN
  SELECT * INTO last FROM mirage.issuance ORDER BY id DESC LIMIT 1;
  SELECT max(id) INTO entry FROM mirage.log WHERE seals @> jsonb_build_array(jsonb_build_array('issuance', last.id));
  TRUNCATE made;
  CREATE TEMP TABLE new ON COMMIT DROP AS SELECT last.id + i AS id, last.issued_at + i * interval '1 us' AS at,
    last.recipient_total + i * last.requested_rows AS total FROM generate_series(1, n) i;
  INSERT INTO mirage.issuance SELECT (r).* FROM (SELECT jsonb_populate_record(last, jsonb_build_object('id', w.id,
    'issued_at', w.at, 'recipient_total', w.total)) AS r FROM new w) x;
  INSERT INTO mirage.receipt SELECT (r).* FROM (
    SELECT jsonb_populate_record(t, jsonb_build_object('issuance', w.id)) AS r
    FROM new w, mirage.receipt t WHERE t.issuance = last.id) x;
  EXECUTE format('INSERT INTO mirage.log (id, at, role_name, session_role, action, object, detail, role_oid, identity, '
    'seals) SELECT nextval(''mirage.log_id''), w.at, g.role_name, g.session_role, g.action, g.object, '
    'jsonb_set(g.detail, ''{issuance}'', to_jsonb(w.id)), g.role_oid, g.identity, '
    'jsonb_build_array(jsonb_build_array(''issuance'', w.id, %s),'
    'jsonb_build_array(''receipt'', w.id, %s)) FROM new w, mirage.log g WHERE g.id = $1',
    hash_of('issuance', 'id', last.id, '{"id": "w.id", "issued_at": "w.at", "recipient_total": "w.total"}'),
    hash_of('receipt', 'issuance', last.id, '{"issuance": "w.id"}')) USING entry;
  INSERT INTO made SELECT l.id, encode(sha256('pg_mirage log entry 2'::bytea || int8send(l.id) || timestamptz_send(l.at)
    || str(l.role_name) || str(l.session_role) || str(l.action) || str(l.object) || int8send(l.role_oid::bigint) ||
    str(l.identity) || '\x01'::bytea || str(l.detail::text) || '\x01'::bytea || str(l.seals::text)), 'hex')
    FROM mirage.log l WHERE l.id > (SELECT max(settled) FROM mirage.log_block) ORDER BY l.id;
  PERFORM setval('mirage.issuance_id', last.id + n);
END
$$;
-- milliseconds of each of n calls
CREATE FUNCTION calls(n int, query text) RETURNS SETOF float8 LANGUAGE plpgsql AS $$
DECLARE
  t timestamptz;
BEGIN
  FOR i IN 1 .. n LOOP
    t := clock_timestamp();
    EXECUTE query;
    RETURN NEXT extract(epoch FROM clock_timestamp() - t) * 1000;
  END LOOP;
END
$$;
CREATE FUNCTION reservations(n int) RETURNS SETOF float8 LANGUAGE plpgsql AS $$
DECLARE
  t timestamptz;
  job bigint;
BEGIN
  FOR i IN 1 .. n LOOP
    t := clock_timestamp();
    job := dp_train('m' || nextval('name'), 'few', method => 'independent', epsilon => 0.001, delta => 1e-14,
      wait => false);
    RETURN NEXT extract(epoch FROM clock_timestamp() - t) * 1000;
    PERFORM dp_wait(job);
  END LOOP;
END
$$;
S

median_of()
{
	q -c "SELECT round(percentile_cont(0.5) WITHIN GROUP (ORDER BY v)::numeric, 1) FROM $1 v"
}

# What the last command took by the clock.
seconds()
{
	awk -v t="$wall" 'BEGIN {printf "%.2f", t / 1e6}'
}

# The entries that copy() made, in blocks.
chain_copies()
{
	local root number hash charges
	root=$(q -c "SELECT encode(wrapped, 'hex') FROM mirage.wrapped_key WHERE purpose = 'log'")
	IFS='|' read -r number hash charges \
		<<<"$(q -c "SELECT number, encode(hash, 'hex'), charges FROM mirage.log_block ORDER BY number DESC LIMIT 1")"
	q -c "COPY (SELECT id, hash FROM made ORDER BY id) TO STDOUT" |
		"$BENCH_PROGRAMS/sign_blocks" "$BENCH_PGDATA/pg_mirage.key" "$root" "$number" "$hash" "$charges" |
		q -c "COPY mirage.log_block (number, entries, previous, hash, signature, settled, charges, chained_at) FROM STDIN"
}

hash_all()
{
	quiet -c "SELECT count(sha256(convert_to(t::text, 'UTF8'))) FROM mirage.log t" \
		-c "SELECT count(sha256(convert_to(t::text, 'UTF8'))) FROM mirage.log_block t" \
		-c "SELECT count(sha256(convert_to(t::text, 'UTF8'))) FROM mirage.issuance t" \
		-c "SELECT count(sha256(convert_to(t::text, 'UTF8'))) FROM mirage.receipt t"
}

verify()
{
	[ "$(q -c 'SELECT ok FROM dp_verify_audit()')" = t ] || { echo "the log is not whole"; exit 1; }
}

echo "SELECT dp_synthesize('m', 1);" >release.sql
pgbench -n -c 4 -t $((real / 4)) -f release.sql >/dev/null 2>pgbench.err || { cat pgbench.err >&2; exit 1; }
printf '%9s %6s %10s %10s %10s %6s %12s %12s %13s %9s\n' issuances MB 'verify, s' 'CPU, s' 'SELECT, s' ratio \
	'CPU us each' 'release, ms' 'training, ms' 'head, ms'
for size in $sizes; do
	quiet -c "SELECT dp_audit_head()"
	missing=$((size - $(q -c 'SELECT count(*) FROM mirage.issuance')))
	if [ "$missing" -gt 0 ]; then
		quiet -c "CALL copy($missing)"
		chain_copies
	fi
	quiet -c "VACUUM ANALYZE"
	timed hash_all
	plain=$(seconds)
	timed verify
	verified=$(seconds)
	megabytes=$(q -c "SELECT round(sum(pg_total_relation_size(t)) / 1e6) FROM
		unnest('{mirage.log,mirage.log_block,mirage.issuance,mirage.receipt}'::regclass[]) t")
	printf '%9d %6d %10s %10s %10s %6s %12s %12s %13s %9s\n' "$size" "$megabytes" "$verified" "$cpu" "$plain" \
		"$(awk -v a="$verified" -v b="$plain" 'BEGIN {printf "%.2f", a / b}')" \
		"$(awk -v a="$cpu" -v n="$size" 'BEGIN {printf "%.0f", a * 1e6 / n}')" \
		"$(median_of "calls($runs, 'SELECT dp_synthesize(''m'', 1)')")" "$(median_of "reservations($runs)")" \
		"$(median_of "calls($runs, 'SELECT dp_audit_head()')")"
done
cat >forge.sql <<'S'
BEGIN;
ALTER TABLE mirage.receipt DISABLE TRIGGER refuse_change;
UPDATE mirage.receipt SET body = body || ' ' WHERE issuance = (SELECT max(issuance) / 2 FROM mirage.receipt);
ALTER TABLE mirage.receipt ENABLE ALWAYS TRIGGER refuse_change;
SELECT ok FROM dp_verify_audit();
ROLLBACK;
S
forged=$(q -f forge.sql)
echo "a receipt altered in the middle: $([ "$forged" = f ] && echo found || echo "NOT FOUND")"
[ "$forged" = f ]
