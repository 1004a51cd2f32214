#!/usr/bin/env bash
# dp_materialize against INSERT .. SELECT, as ratios within one run.
#
#   synthesize   dp_materialize into a table that is there / INSERT .. SELECT * FROM dp_synthesize_as() into one like it
#   copy         the same / INSERT .. SELECT of as many rows from a plain table: what writing alone takes
#   created      dp_materialize into a new table, CHECKs looked at afterwards / CREATE TABLE AS of dp_synthesize_as()
#   peak         private memory of the backend meanwhile, MB
#
# $SIZES rows (100000 and 1000000) of a table in the shape of adult; medians of $RUNS alternating turns, truncated in
# between.
set -euo pipefail
. "$(dirname "$0")/common.bash"
sizes=${SIZES:-100000 1000000}
runs=${RUNS:-3}

make_adult
quiet <<'S'
CREATE EXTENSION pg_mirage;
SELECT dp_protect('adult', epsilon => 10);
SELECT dp_train('m', 'adult', 'mst', epsilon => 1);
CREATE TABLE filled (LIKE adult INCLUDING ALL);
CREATE TABLE inserted (LIKE adult INCLUDING ALL);
CREATE TABLE copied (LIKE adult INCLUDING ALL);
S

# Microseconds of a statement in a session of its own -> $us.
run()
{
	us=$(q -c '\timing on' -c "$1" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | awk '{printf "%d", $1 * 1000}')
}

# The same, its largest private memory in MB -> $peak.
measure()
{
	local key value rest
	peak=0
	q -c "$1" >/dev/null &
	while kill -0 $! 2>/dev/null; do
		find_children 'postgres: postgres '
		for pid in $found; do
			while read -r key value rest; do
				[ "$key" != RssAnon: ] || [ "$value" -le "$peak" ] || peak=$value
			done 2>/dev/null <"/proc/$pid/status" || true
		done
		sleep 0.02
	done
	wait $!
	peak=$((peak / 1024))
}

ratio()
{
	awk -v a="$(printf '%s\n' $1 | median)" -v b="$(printf '%s\n' $2 | median)" 'BEGIN {printf "%.2f", a / b}'
}

printf '%10s %12s %8s %8s %6s\n' rows synthesize copy created peak
for n in $sizes; do
	quiet -c "DROP TABLE IF EXISTS plain; CREATE TABLE plain AS SELECT * FROM dp_synthesize_as(NULL::adult, 'm', $n)"
	fill= insert= copy= created= as=
	for ((i = 0; i < runs; i++)); do
		quiet -c 'TRUNCATE filled, inserted, copied' -c 'DROP TABLE IF EXISTS made, made_as' -c CHECKPOINT
		run "INSERT INTO inserted SELECT * FROM dp_synthesize_as(NULL::adult, 'm', $n)"; insert="$insert $us"
		run "SELECT dp_materialize('m', 'filled', $n)"; fill="$fill $us"
		run "INSERT INTO copied SELECT * FROM plain"; copy="$copy $us"
		run "SELECT dp_materialize('m', 'made', $n)"; created="$created $us"
		run "CREATE TABLE made_as AS SELECT * FROM dp_synthesize_as(NULL::adult, 'm', $n)"; as="$as $us"
	done
	quiet -c 'TRUNCATE filled'
	measure "SELECT dp_materialize('m', 'filled', $n)"
	printf '%10d %12s %8s %8s %6d\n' "$n" "$(ratio "$fill" "$insert")" "$(ratio "$fill" "$copy")" \
		"$(ratio "$created" "$as")" "$peak"
done
