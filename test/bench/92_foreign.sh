#!/usr/bin/env bash
# Scans of a foreign table, as ratios to dp_synthesize_as of as many rows of the same model, all columns counted; and
# how long planning takes, which looks at the model where there is something to estimate.
#
#   call       SELECT count(c1), .., count(ck) FROM dp_synthesize_as(..): the measure of the others
#   all        the same of the foreign table
#   one        SELECT count(age)
#   count      SELECT count(*): makes no rows
#   half       count(c1), .. WHERE sex = 'Male'
#   rare       WHERE age = 80 AND education_num = 16
#   none       WHERE age > 200: no code can satisfy it, nothing is drawn
#   filtered   the clauses of `rare` on the rows of the call, which makes them all: what `rare` saves
#   limit      SELECT * .. LIMIT 10, in ms: the record, one block
#   planning   EXPLAIN (SUMMARY) of `all` and of `rare`, in ms
#
# Once with marked rows, as all are, and once with the mark off: the mark is put on codes, before rows are passed over.
# Medians of $RUNS alternating runs on $ROWS rows; the table is `adult` of $BENCH_DATA, else one of its shape. Rows that
# `rare` finds are compared with those of the call.
set -euo pipefail
rows=${ROWS:-1000000}
runs=${RUNS:-5}
. "$(dirname "$0")/common.bash"
export PGOPTIONS='-c max_parallel_workers_per_gather=0 -c jit=off -c client_min_messages=warning'

q -c 'CREATE EXTENSION pg_mirage'
make_adult
q >/dev/null <<S
SELECT dp_protect('adult', epsilon => 100);
SELECT dp_train('m', 'adult', 'mst', epsilon => 1);
CREATE SERVER models FOREIGN DATA WRAPPER pg_mirage_fdw;
CREATE SCHEMA f;
IMPORT FOREIGN SCHEMA models FROM SERVER models INTO f OPTIONS (rows '$rows', seed '1');
S
counts=$(q -c "SELECT string_agg(format('count(%I)', attname), ', ' ORDER BY attnum) FROM pg_attribute
	WHERE attrelid = 'adult'::regclass AND attnum > 0 AND NOT attisdropped")
call="dp_synthesize_as(NULL::adult, 'm', $rows, seed => 1)"
rare='age = 80 AND education_num = 16'
declare -A query=(
	[call]="SELECT $counts FROM $call"
	[all]="SELECT $counts FROM f.m"
	[one]="SELECT count(age) FROM f.m"
	[count]="SELECT count(*) FROM f.m"
	[half]="SELECT $counts FROM f.m WHERE sex = 'Male'"
	[rare]="SELECT $counts FROM f.m WHERE $rare"
	[none]="SELECT $counts FROM f.m WHERE age > 200"
	[filtered]="SELECT $counts FROM $call WHERE $rare"
	[limit]="SELECT * FROM f.m LIMIT 10"
)
order='call all one count half rare none filtered limit'
# Milliseconds, of psql's own clock -> $ms.
clocked() {
	ms=$(psql -Xqt -v ON_ERROR_STOP=1 -c '\timing on' -c "$1" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p')
}
for marked in true false; do
	q -c "SELECT dp_set_model('m', watermark => $marked)" >/dev/null
	rm -f -- *.ms
	for run in $(seq 0 "$runs"); do
		for name in $order; do
			clocked "${query[$name]}"
			[ "$run" = 0 ] || echo "$ms" >>"$name.ms"
		done
	done
	base=$(median <call.ms)
	printf '%-22s %10s %12s\n' "$([ $marked = true ] && echo marked || echo 'mark off')" ms 'ratio to call'
	for name in $order; do
		awk -v n="$name" -v m="$(median <"$name.ms")" -v b="$base" 'BEGIN {printf "%-22s %10.1f %12.3f\n", n, m, m / b}'
	done
done
for name in all rare; do
	for run in $(seq 0 "$runs"); do
		q -c "EXPLAIN (SUMMARY) ${query[$name]}" | sed -n 's/^Planning Time: \([0-9.]*\) ms/\1/p' >>"plan-$name.ms"
	done
	printf 'planning %-13s %10.2f\n' "$name" "$(median <"plan-$name.ms")"
done
q -c "SELECT 'rare: ' || count(*) || ' rows, of ' || (SELECT count(*) FROM f.m WHERE $rare) || ' that are found'
	FROM $call WHERE $rare"
q -c "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM f.m WHERE $rare" | sed -n '/Skipped/p'
