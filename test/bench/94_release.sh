#!/usr/bin/env bash
# 94_release.sh: what the record of a release costs a small one: dp_synthesize of five rows, called again and again.
#
#   calls/s   by pgbench, one session and 16; with workers that linger and with a worker started for each release
#             (pg_mirage.worker_linger = 0)
#   insert    the same of an INSERT of one row with its COMMIT, the least that a durable record can cost; and the ratio
#
# Once as the model's owner, once as a grantee with a limit of rows. fsync is on: what a flush to disk costs is
# in all of it. $SECONDS_EACH (5) for each figure, the median of $RUNS (3), which alternate.
set -euo pipefail
. "$(dirname "$0")/common.bash"
each=${SECONDS_EACH:-5}
runs=${RUNS:-3}

quiet -c "CREATE EXTENSION pg_mirage" -c "LOAD 'pg_mirage'" \
	-c "ALTER SYSTEM SET pg_mirage.max_releases_per_minute = 0" -c "ALTER SYSTEM SET pg_mirage.alerts = off"
make_adult
quiet -c "SELECT dp_protect('adult', epsilon => 10)" -c "SELECT dp_train('m', 'adult', 'mst', epsilon => 1)" \
	-c "CREATE ROLE bench_reader LOGIN" -c "SELECT dp_grant('m', 'bench_reader', max_rows => 1000000000)" \
	-c "CREATE TABLE one (i int)" -c "GRANT INSERT ON one TO bench_reader"
echo "SELECT count(*) FROM dp_synthesize('m', 5) AS t(age int);" >release.sql
echo "INSERT INTO one VALUES (1);" >insert.sql

# calls ROLE SESSIONS SCRIPT: adds calls/s to the file
calls()
{
	local out
	out=$(pgbench -U "$1" -n -c "$2" -j 2 -T "$each" -f "$3.sql" 2>pgbench.err) || { cat pgbench.err >&2; exit 1; }
	sed -n 's/^tps = \([0-9.]*\).*/\1/p' <<<"$out"
}

linger()
{
	quiet -c "LOAD 'pg_mirage'" -c "ALTER SYSTEM SET pg_mirage.worker_linger = '$1'" -c "SELECT pg_reload_conf()"
	sleep 0.5
}

printf '%-14s %9s %12s %12s %10s %10s %10s\n' role sessions 'linger /s' 'start /s' ratio 'insert /s' 'of insert'
for role in postgres bench_reader; do
	for sessions in 1 16; do
		rm -f lingering starting inserts
		for ((i = 0; i < runs; i++)); do
			linger 1s
			calls "$role" "$sessions" release >>lingering
			linger 0
			calls "$role" "$sessions" release >>starting
			calls "$role" "$sessions" insert >>inserts
		done
		paste <(median <lingering) <(median <starting) <(median <inserts) |
			awk -v r="$role" -v s="$sessions" '{printf "%-14s %9d %12.1f %12.1f %10.2f %10.1f %10.3f\n",
				r, s, $1, $2, $1 / $2, $3, $1 / $3}'
	done
done
quiet -c "DROP OWNED BY bench_reader" -c "DROP ROLE bench_reader"
q -c "SELECT format('%s entries, log whole: %s', entries, ok) FROM dp_verify_audit()"
