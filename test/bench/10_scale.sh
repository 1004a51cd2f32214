#!/usr/bin/env bash
# Reading and emitting at size, as ratios within one run, with the peak memory of the training worker.
#
#   read   time of a training's reading phase (scan, encode, code table) / SELECT count(c1), ..., count(ck) of the table
#   emit   SELECT count(*) FROM dp_synthesize_as(NULL::t, m, n) / SELECT count(*) over generate_series(1, n) with as
#          many random()
#   all    the same with count(c1), ..., count(ck) on both sides, so that every value of every row is made
#   train  the whole dp_train, aim, epsilon 1, against the same count
#   after  what is left of that when the reading phase has ended, in ms: it should not grow with the rows
#
# The table is `adult` of $BENCH_DATA (15 columns) where that is given, else one of the same shape made here, replicated
# to each of $SIZES rows; with DIFFERENT=1 they have numbers that make nearly all of them differ. Each figure is the
# median of $RUNS alternating pairs; serial plans on both sides, one thread.
set -euo pipefail
sizes=${SIZES:-50000 1000000 10000000}
runs=${RUNS:-3}
export PGOPTIONS='-c max_parallel_workers_per_gather=0 -c pg_mirage.threads=1'
. "$(dirname "$0")/common.bash"

# Microseconds of a statement.
took()
{
	local began
	now
	began=$now
	q -c "$1" >/dev/null
	now
	echo $((now - began))
}

of_columns() { q -c "SELECT $1 FROM pg_attribute WHERE attrelid = 'adult'::regclass AND attnum > 0"; }

q -c "CREATE EXTENSION pg_mirage"
make_adult
counts=$(of_columns "string_agg(format('count(%I)', attname), ', ')")
randoms=$(of_columns "string_agg('random() AS r' || attnum, ', ')")
printf '%10s  %8s %8s %5s  %8s %8s %5s  %8s %8s %5s  %8s %5s %8s  %7s %7s\n' rows 'count ms' 'read ms' read \
	'random ms' 'emit ms' emit 'random ms' 'all ms' all 'train ms' train 'after ms' 'anon MB' 'peak MB'
randomcounts=$(of_columns "string_agg('count(r' || attnum || ')', ', ')")
rows=$(of_columns "string_agg('a.' || quote_ident(attname), ', ' ORDER BY attnum)")
[ -z "${DIFFERENT:-}" ] || rows=$(sed 's/a\.fnlwgt/(random() * 1900000)::int/' <<<"$rows")
for size in $sizes; do
	q -c "SET client_min_messages = error; DROP TABLE IF EXISTS big" \
		-c "CREATE UNLOGGED TABLE big (LIKE adult INCLUDING ALL)"
	q -c "INSERT INTO big SELECT ${rows} FROM generate_series(1, ($size + 48841) / 48842) g, adult a LIMIT $size" \
		-c "VACUUM (FREEZE, ANALYZE) big" -c "CHECKPOINT" \
		-c "SELECT dp_protect('big', epsilon => 1000)" >/dev/null 2>&1 ||
		q -c "SELECT dp_protect('big', budget => 'big')" >/dev/null
	rm -f a b c d e f g
	most_peak=0 most_anon=0
	for i in $(seq "$runs"); do
		took "SELECT $counts FROM big" >>a
		train "m_${size}_$i" big aim 1
		echo "$read_us" >>b
		echo "$wall" >>c
		[ "$peak" -le "$most_peak" ] || most_peak=$peak
		[ "$anon" -le "$most_anon" ] || most_anon=$anon
		took "SELECT count(*) FROM (SELECT $randoms FROM generate_series(1, $size)) s" >>d
		took "SELECT count(*) FROM dp_synthesize_as(NULL::big, 'm_${size}_$i', $size)" >>e
		took "SELECT $randomcounts FROM (SELECT $randoms FROM generate_series(1, $size)) s" >>f
		took "SELECT $counts FROM dp_synthesize_as(NULL::big, 'm_${size}_$i', $size)" >>g
	done
	for f in a b c d e f g; do median <$f >$f.m; done
	paste ?.m | awk -v n="$size" -v hwm="$most_peak" -v anon="$most_anon" '{
		printf "%10d  %8.0f %8.0f %5.2f  %8.0f %8.0f %5.2f", n, $1 / 1e3, $2 / 1e3, $2 / $1, $4 / 1e3, $5 / 1e3, $5 / $4
		printf "  %8.0f %8.0f %5.2f  %8.0f %5.2f %8.0f  %7.0f %7.0f\n", $6 / 1e3, $7 / 1e3, $7 / $6, $3 / 1e3, $3 / $1,
			($3 - $2) / 1e3, anon, hwm}'
done
