# common.bash: what the benchmarks of methods share. Sourced by bash, never run.
#
# The server is the throwaway one of tools/bench.sh; figures of a training come from outside of it, from /proc:
#
#   cpu         seconds of processor time of all processes of the server that ended with the call: the training worker
#               with all its threads, parallel workers of its reading, and the session that waited. The postmaster's
#               account of its children (fields 16, 17 of /proc/PID/stat), read when none is left: good to 0.02 s.
#   peak, anon  megabytes of the worker: VmHWM, which counts the shared buffers that it touched and the program's text,
#               and RssAnon, which is its own; looked at every 20 ms, VmHWM being a maximum already.
#
# The working directory is the script's own.
export PGOPTIONS="${PGOPTIONS:-} -c client_min_messages=notice"

q()
{
	psql -XqAt -v ON_ERROR_STOP=1 "$@"
}

quiet()
{
	PGOPTIONS="-c client_min_messages=error" psql -XqAt -v ON_ERROR_STOP=1 "$@" >/dev/null
}

# Microseconds, without a process for asking.
now()
{
	local t=$EPOCHREALTIME
	now=${t/./}
}

# Of numbers, one a line.
median()
{
	sort -n | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'
}

# Lines of numbers -> a line of the columns' means.
means()
{
	awk '{for (i = 1; i <= NF; i++) s[i] += $i; n = NF}
		END {for (i = 1; i <= n; i++) printf "%s%.6g", (i > 1 ? " " : ""), s[i] / NR; print ""}'
}

# The children of the postmaster whose title holds a text -> $found. One on its way out has no title any more, and its
# time is not in the postmaster's account yet: where it is asked for, it counts as found.
find_children()
{
	local kids kid title
	found=
	kids=
	read -r kids <"/proc/$BENCH_POSTMASTER/task/$BENCH_POSTMASTER/children" 2>/dev/null || true
	for kid in $kids; do
		title=
		{ read -r -d '' title <"/proc/$kid/cmdline"; } 2>/dev/null || true
		case ${title:-${2:-}} in *$1*) found="$found $kid" ;; esac
	done
}

# Clock ticks that the ended children of the postmaster took, once no session and no worker of ours is left -> $ticks.
ended_ticks()
{
	local stat fields i
	for ((i = 0; i < 500; i++)); do
		find_children 'postgres: postgres ' 'postgres: postgres '
		[ -n "$found" ] || find_children pg_mirage
		[ -n "$found" ] || break
		sleep 0.01
	done
	stat=$(<"/proc/$BENCH_POSTMASTER/stat")
	fields=(${stat##*) })
	ticks=$((fields[13] + fields[14]))
}

# Runs a command; processor seconds of what the server did for it -> $cpu, and microseconds -> $wall.
timed()
{
	local before began
	ended_ticks
	before=$ticks
	now
	began=$now
	"$@"
	now
	wall=$((now - began))
	ended_ticks
	cpu=$(awk -v t=$((ticks - before)) -v hz="$hertz" 'BEGIN {printf "%.2f", t / hz}')
}
hertz=$(getconf CLK_TCK)

# Until the file "stop" is there: "peak anon" in kilobytes to "memory". It does not outlive the server: a script that is
# killed cannot say stop.
watch_memory()
{
	local peak=0 anon=0 key value rest pause
	# a pause without a process
	exec {pause}<> <(:)
	while [ ! -e stop ] && [ -d "/proc/$BENCH_POSTMASTER" ]; do
		find_children 'pg_mirage training'
		for pid in $found; do
			while read -r key value rest; do
				case $key in
					VmHWM:) [ "$value" -le "$peak" ] || peak=$value ;;
					RssAnon:) [ "$value" -le "$anon" ] || anon=$value ;;
				esac
			done 2>/dev/null <"/proc/$pid/status" || true
		done 2>/dev/null
		read -r -t 0.02 -u "$pause" || true
	done
	echo "$peak $anon" >memory
}

# Clock ticks of the worker so far -> $ticks; 0 where it has gone.
worker_ticks()
{
	local stat fields
	find_children 'pg_mirage training'
	ticks=0
	for pid in $found; do
		stat=$({ cat "/proc/$pid/stat"; } 2>/dev/null) || continue
		fields=(${stat##*) })
		ticks=$((fields[11] + fields[12]))
	done
}

# The statement that trains, from a file; phases as their NOTICEs come: reading ended after $read_us and $read_ticks.
follow()
{
	local line began=
	now
	began=$now
	read_us=0 read_ticks=0 failed=
	while IFS= read -r line; do
		case $line in
			*": reading"*) ;;
			*": charged"*) now; began=$now ;;
			*NOTICE*)
				[ "$read_us" = 0 ] || continue
				now
				read_us=$((now - began))
				worker_ticks
				read_ticks=$ticks
				;;
			*ERROR*) failed=1; echo "$line" >&2 ;;
		esac
	done < <(psql -XqAt -c "$1" 2>&1)
}

# train MODEL TABLE METHOD EPSILON [FURTHER ARGUMENTS] -> $cpu $wall $read_us $read_cpu $peak $anon
train()
{
	local watcher
	rm -f stop memory
	watch_memory &
	watcher=$!
	timed follow "SELECT dp_train('$1', '$2', '$3', epsilon => $4${5:+, $5})"
	touch stop
	wait "$watcher"
	[ -z "$failed" ] || return 1
	read_cpu=$(awk -v t="$read_ticks" -v hz="$hertz" 'BEGIN {printf "%.2f", t / hz}')
	read -r peak anon <memory
	peak=$((peak / 1024)) anon=$((anon / 1024))
}

# The fidelity tool with what it needs, or a reason why not -> 77, which tools/bench.sh counts as skipped.
require_fidelity()
{
	python=${BENCH_PYTHON:-python3}
	[ -n "${BENCH_TOOLS:-}" ] && [ -f "$BENCH_TOOLS/fidelity.py" ] ||
		{ echo "skipped: no fidelity.py (BENCH_TOOLS names its folder)"; exit 77; }
	[ -n "${BENCH_DATA:-}" ] && [ -f "$BENCH_DATA/load.sh" ] ||
		{ echo "skipped: no data sets (BENCH_DATA names their folder, with a load.sh)"; exit 77; }
	"$python" -c 'import numpy, pandas, sklearn; assert int(pandas.__version__.split(".")[0]) < 3' 2>/dev/null ||
		{ echo "skipped: $python has no numpy, scikit-learn and pandas below 3 (BENCH_PYTHON names another)"; exit 77; }
}

# fidelity REAL SYNTHETIC [OPTIONS] -> "tvd1 tvd2 tvd3 ks corr auc", a dash where there is none
fidelity()
{
	OMP_NUM_THREADS=1 "$python" "$BENCH_TOOLS/fidelity.py" "$@" | "$python" -c '
import json, sys
r = json.load(sys.stdin)
auc = r.get("ml", {}).get("hgb", {}).get("auc", "-")
print(*[r.get(k, "-") for k in ("tvd1", "tvd2", "tvd3", "ks", "corr")], auc)'
}

# write_csv QUERY FILE
write_csv()
{
	q -c "COPY ($1) TO STDOUT (FORMAT csv, HEADER)" >"$2"
}

# redraw_csv TABLE EXPRESSIONS FILE: its rows redrawn with replacement
redraw_csv()
{
	write_csv "WITH t AS MATERIALIZED (SELECT row_number() OVER () AS redraw_i, * FROM $1),
		n AS (SELECT count(*) AS n FROM t),
		g AS MATERIALIZED (SELECT 1 + floor(random() * n)::bigint AS redraw_i FROM n, generate_series(1, n))
		SELECT $2 FROM g JOIN t USING (redraw_i)" "$3"
}

# The table "adult": the real one of BENCH_DATA where there is one, else one of the same shape.
make_adult()
{
	if [ -n "${BENCH_DATA:-}" ] && [ -f "$BENCH_DATA/load.sh" ] && [ -f "$BENCH_DATA/adult.csv.gz" ]; then
		bash "$BENCH_DATA/load.sh" adult >/dev/null
		echo "table: adult"
		return
	fi
	echo "table: generated, in the shape of adult (set BENCH_DATA for the real one)"
	quiet <<'SQL'
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
INSERT INTO adult SELECT 17 + 73 * r ^ 2, 'workclass-' || (r * 7)::int, 20000 + 900000 * s ^ 2, 'education-' || e, e,
  'marital-status-' || (s * 6)::int, 'occupation-' || (r * s * 14)::int,
  'relationship-' || (s * 5)::int, 'race-' || (r ^ 3 * 4)::int,
  CASE WHEN s < 0.33 THEN 'Female' ELSE 'Male' END, CASE WHEN r > 0.92 THEN (s * 99999)::int ELSE 0 END,
  CASE WHEN s > 0.95 THEN (r * 4000)::int ELSE 0 END, (20 + 40 * s)::int, 'country-' || (r ^ 6 * 40)::int,
  CASE WHEN e > 12 AND s > 0.5 THEN '>50K' ELSE '<=50K' END
FROM (SELECT random() AS r, random() AS s, 1 + (random() * 15)::int AS e FROM generate_series(1, 48842)) g;
SQL
}
