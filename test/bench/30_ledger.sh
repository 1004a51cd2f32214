#!/usr/bin/env bash
# The account's own costs.
#
#   throughput  trainings a second (each a reservation, a model, a settled charge and two blocks of the log) of a table
#               of 50 rows: one session, and $SESSIONS sessions that share one budget
#   release     a call of a plain function, and dp_synthesize of one row: the difference is the transaction
#               of its own in which a release is written down, and the opening of the model
#   ledger      from the call of dp_train to its committed reservation (wait => false), with $FEW charges in the ledger
#               and with $MANY: the difference is what checking a longer ledger costs. The many are copies of a real
#               charge: 'reserved' and 'spent' in the ledger, two entries and two blocks each in the log, as trainings
#               leave them (the blocks are not signed: nothing verifies them here). Target: under 20 ms.
#
# Medians of $RUNS calls; throughput over $SECONDS_EACH seconds.
set -euo pipefail
sessions=${SESSIONS:-32}
seconds=${SECONDS_EACH:-10}
runs=${RUNS:-41}
few=10
many=${MANY:-10000}
export PGOPTIONS='-c client_min_messages=warning'
q() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }

# make_database NAME: the extension, a table under a wide budget, and what measures calls from within
make_database()
{
	q -c "CREATE DATABASE $1"
	q -d "$1" <<'S' >/dev/null
CREATE EXTENSION pg_mirage;
CREATE TABLE few AS SELECT i % 3 = 0 AS a, i % 4 AS b FROM generate_series(1, 50) i;
ANALYZE few;
SELECT dp_protect('few', epsilon => 1000);
CREATE SEQUENCE name;
CREATE FUNCTION train(waits boolean) RETURNS bigint LANGUAGE sql AS
  $$ SELECT dp_train('m' || nextval('name'), 'few', method => 'independent', epsilon => 0.001, delta => 1e-14,
                     wait => waits) $$;
CREATE FUNCTION plain() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;
-- milliseconds of each of n reservations, every job awaited before the next
CREATE FUNCTION reservations(n int) RETURNS SETOF float8 LANGUAGE plpgsql AS $$
DECLARE
  t timestamptz;
  job bigint;
BEGIN
  FOR i IN 1 .. n LOOP
    t := clock_timestamp();
    job := train(false);
    RETURN NEXT extract(epoch FROM clock_timestamp() - t) * 1000;
    PERFORM dp_wait(job);
  END LOOP;
END $$;
CREATE FUNCTION calls(n int, query text) RETURNS SETOF float8 LANGUAGE plpgsql AS $$
DECLARE
  t timestamptz;
BEGIN
  FOR i IN 1 .. n LOOP
    t := clock_timestamp();
    EXECUTE query;
    RETURN NEXT extract(epoch FROM clock_timestamp() - t) * 1000;
  END LOOP;
END $$;
S
}

# median DATABASE SOURCE: of a set of figures
median()
{
	q -d "$1" -c "SELECT round(percentile_cont(0.5) WITHIN GROUP (ORDER BY v)::numeric, 2) FROM $2 v"
}

# rate SESSIONS: trainings a second; one that is refused (for lack of a worker) fails the benchmark
rate()
{
	local out
	echo "SELECT train(true);" >train.sql
	out=$(pgbench -n -c "$1" -j 2 -T "$seconds" -f train.sql rate 2>pgbench.err) || { cat pgbench.err >&2; exit 1; }
	printf '  %2d sessions   %7.1f trainings/s   %7.1f ms each\n' "$1" \
		"$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' <<<"$out")" \
		"$(sed -n 's/^latency average = \([0-9.]*\).*/\1/p' <<<"$out")"
}

make_database rate
echo "throughput, max_worker_processes = $(q -c 'SHOW max_worker_processes')"
rate 1
rate "$sessions"
q -d rate -c "SELECT '  ' || count(*) || ' charges; log whole: ' || (SELECT ok FROM dp_verify_audit()) FROM dp_ledger"

make_database release
q -d release -c "SELECT dp_train('m', 'few', method => 'independent', epsilon => 0.1)" >/dev/null
plain=$(median release "calls($runs, 'SELECT plain()')")
row=$(median release "calls($runs, \$\$SELECT dp_synthesize('m', 1)\$\$)")
many_rows=$(median release "calls($runs, \$\$SELECT dp_synthesize('m', 1000)\$\$)")
echo "release"
printf '  plain function %s ms   dp_synthesize of 1 row %s ms, of 1000 rows %s ms   ' "$plain" "$row" "$many_rows"
printf 'the transaction of its own adds %s ms\n' "$(awk -v a="$row" -v b="$plain" 'BEGIN {print a - b}')"

make_database ledger
q -d ledger -c "SELECT count(*) FROM reservations($few)" >/dev/null
before=$(median ledger "reservations($runs)")
q -d ledger -v n="$many" <<'S'
INSERT INTO mirage.ledger (charge, state, budget, budget_name, relation, relid, model, job, role_oid, role_name, share,
                           epsilon, delta, rho, rdp, delta_atoms, events)
SELECT -i, s, budget, budget_name, relation, relid, 'copy' || i, -i, role_oid, role_name, 0, epsilon, delta, rho * 1e-3,
       rdp * 1e-3, delta_atoms * 1e-3, events
FROM mirage.ledger l, generate_series(1, :n) i, unnest(ARRAY['reserved', 'spent']) s
WHERE l.state = 'reserved' AND l.charge = (SELECT max(charge) FROM mirage.ledger);
INSERT INTO mirage.log (id, role_name, session_role, action, object, detail, role_oid, identity)
SELECT -2 * i + (action = 'charge')::int, role_name, session_role, action, object,
       jsonb_set(detail, '{charge}', to_jsonb(-i)), role_oid, identity
FROM mirage.log l, generate_series(1, :n) i
WHERE l.id IN (SELECT max(id) FROM mirage.log WHERE action IN ('charge', 'train') GROUP BY action);
INSERT INTO mirage.log_block (number, entries, previous, hash, signature, settled, charges)
SELECT -i, ARRAY[-i], b.previous, b.hash, b.signature, 0, 0
FROM mirage.log_block b, generate_series(1, 2 * :n) i WHERE b.number = 1;
VACUUM ANALYZE;
S
after=$(median ledger "reservations($runs)")
echo "ledger"
printf '  %d charges: reserved in %s ms   %s charges: in %s ms   ' $((few + runs)) "$before" \
	"$(q -d ledger -c 'SELECT count(DISTINCT charge) FROM mirage.ledger')" "$after"
awk -v a="$after" -v b="$before" 'BEGIN {
	printf "checking costs %.2f ms (target: under 20): %s\n", a - b, a - b < 20 ? "met" : "MISSED"}'
