#!/usr/bin/env bash
# Reading and emitting at size, as ratios within one run, with the peak memory of the training worker.
#
#   read   time of a training's reading phase (scan, encode, code table) / SELECT count(c1), ..., count(ck) of the table
#   emit   SELECT count(*) FROM dp_synthesize_as(NULL::t, m, n) / SELECT count(*) over generate_series(1, n) with as
#          many random()
#   all    the same with count(c1), ..., count(ck) on both sides, so that every value of every row is made
#   train  the whole dp_train, mst, epsilon 1, against the same count
#   after  what is left of that when the reading phase has ended, in ms: it should not grow with the rows
#
# The table is `adult` of $BENCH_DATA (15 columns) where that is given, else one of the same shape made here, replicated
# to each of $SIZES rows; with DIFFERENT=1 they have numbers that make nearly all of them differ. Each figure is the
# median of $RUNS alternating pairs; serial plans on both sides, one thread.
set -euo pipefail
sizes=${SIZES:-50000 1000000 10000000}
runs=${RUNS:-3}
export PGOPTIONS='-c max_parallel_workers_per_gather=0 -c pg_mirage.threads=1 -c client_min_messages=notice'
q() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }
now() { date +%s%N; }
median() { sort -n | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }

make_seed() {
	if [ -n "${BENCH_DATA:-}" ] && [ -f "$BENCH_DATA/adult.csv.gz" ]; then
		bash "$BENCH_DATA/load.sh" adult >/dev/null
		echo "table: adult, replicated"
		return
	fi
	echo "table: generated, in the shape of adult (set BENCH_DATA for the real one)"
	q <<'S'
CREATE TABLE adult (
  age smallint NOT NULL CHECK (age BETWEEN 0 AND 120), workclass text,
  fnlwgt integer NOT NULL CHECK (fnlwgt BETWEEN 0 AND 2000000),
  education text NOT NULL, education_num smallint NOT NULL CHECK (education_num BETWEEN 1 AND 16),
  marital_status text NOT NULL, occupation text, relationship text NOT NULL, race text NOT NULL,
  sex text NOT NULL CHECK (sex IN ('Female', 'Male')),
  capital_gain integer NOT NULL CHECK (capital_gain BETWEEN 0 AND 99999),
  capital_loss integer NOT NULL CHECK (capital_loss BETWEEN 0 AND 10000),
  hours_per_week smallint NOT NULL CHECK (hours_per_week BETWEEN 0 AND 168), native_country text,
  income text NOT NULL CHECK (income IN ('<=50K', '>50K')));
INSERT INTO adult SELECT 17 + 60 * r ^ 2, 'workclass-' || (r * 7)::int, 20000 + 900000 * s ^ 2, 'education-' || e, e,
  'marital-status-' || (s * 6)::int, 'occupation-' || (r * s * 14)::int,
  'relationship-' || (s * 5)::int, 'race-' || (r ^ 3 * 4)::int,
  CASE WHEN s < 0.33 THEN 'Female' ELSE 'Male' END, CASE WHEN r > 0.92 THEN (s * 99999)::int ELSE 0 END,
  CASE WHEN s > 0.95 THEN (r * 4000)::int ELSE 0 END, (20 + 40 * s)::int, 'country-' || (r ^ 6 * 40)::int,
  CASE WHEN e > 12 AND s > 0.5 THEN '>50K' ELSE '<=50K' END
FROM (SELECT random() AS r, random() AS s, 1 + (random() * 15)::int AS e FROM generate_series(1, 48842)) g;
S
}

# The worker's memory while it lives: VmHWM counts shared buffers that it touched, RssAnon is its own.
watch_memory() {
	local pid= hwm=0 anon=0 line
	while [ ! -e stop ]; do
		pid=$(pgrep -P "$BENCH_POSTMASTER" -f 'pg_mirage training' | head -n 1 || true)
		if [ -n "$pid" ]; then
			line=$(awk '/^VmHWM/ {h = $2} /^RssAnon/ {a = $2} END {print h + 0, a + 0}' "/proc/$pid/status" \
				2>/dev/null || echo "0 0")
			[ "${line% *}" -le "$hwm" ] || hwm=${line% *}
			[ "${line#* }" -le "$anon" ] || anon=${line#* }
		fi
		sleep 0.02
	done
	echo "$hwm $anon" >memory
}

# Trains and prints: nanoseconds of the reading phase, nanoseconds of it all. A NOTICE comes as each phase begins.
train() {
	local begun reading= read_ns= line
	begun=$(now)
	while IFS= read -r line; do
		case $line in
			*": reading"*) [ -n "$reading" ] || reading=$(now) ;;
			*": charged"*) ;;
			*NOTICE*) [ -n "$read_ns" ] || { [ -n "$reading" ] || reading=$begun; read_ns=$(($(now) - reading)); } ;;
			*ERROR*) echo "$line" >&2; return 1 ;;
		esac
	done < <(psql -XqAt -c "SELECT dp_train('$1', 'big', epsilon => 1)" 2>&1)
	echo "$read_ns $(($(now) - begun))"
}
timed() { local t; t=$(now); q -c "$1" >/dev/null; echo $(($(now) - t)); }

of_columns() { q -c "SELECT $1 FROM pg_attribute WHERE attrelid = 'adult'::regclass AND attnum > 0"; }

q -c "CREATE EXTENSION pg_mirage"
make_seed
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
	rm -f stop a b c d e f g
	watch_memory &
	watcher=$!
	for i in $(seq "$runs"); do
		timed "SELECT $counts FROM big" >>a
		train "m_${size}_$i" >run
		read -r r t <run
		echo "$r" >>b
		echo "$t" >>c
		timed "SELECT count(*) FROM (SELECT $randoms FROM generate_series(1, $size)) s" >>d
		timed "SELECT count(*) FROM dp_synthesize_as(NULL::big, 'm_${size}_$i', $size)" >>e
		timed "SELECT $randomcounts FROM (SELECT $randoms FROM generate_series(1, $size)) s" >>f
		timed "SELECT $counts FROM dp_synthesize_as(NULL::big, 'm_${size}_$i', $size)" >>g
	done
	touch stop
	wait "$watcher"
	read -r hwm anon <memory
	for f in a b c d e f g; do median <$f >$f.m; done
	paste ?.m | awk -v n="$size" -v hwm="$hwm" -v anon="$anon" '{
		printf "%10d  %8.0f %8.0f %5.2f  %8.0f %8.0f %5.2f", n, $1 / 1e6, $2 / 1e6, $2 / $1, $4 / 1e6, $5 / 1e6, $5 / $4
		printf "  %8.0f %8.0f %5.2f  %8.0f %5.2f %8.0f  %7.0f %7.0f\n", $6 / 1e6, $7 / 1e6, $7 / $6, $3 / 1e6, $3 / $1,
			($3 - $2) / 1e6, anon / 1024, hwm / 1024}'
done
