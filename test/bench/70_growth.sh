#!/usr/bin/env bash
# How trainings grow with the rows: the table `adult` of $BENCH_DATA (15 columns; else one of the same shape made here)
# replicated to each of $SIZES rows; $METHODS; the median of $RUNS. The server's own settings: reading may take a
# parallel plan, and so may the count that it is compared to.
#
# Two series. "fixed" has the same epsilon, $EPSILON, for all sizes: more rows then allow a finer model (more bins, more
# and larger marginals), which takes longer to fit. "alike" has rho in proportion to 1 / rows^2, with $EPSILON at
# a million rows: noise is the same part of the counts for all sizes, hence the models are alike, and what still grows
# does so because of the rows. (Fewer rows than the 48,842 that are replicated are a sample of them, in which every pair
# of columns depends on each other by chance: a model that has hardly any noise learns that too.)
#
#   count     SELECT count(c1), ..., count(c15) of the table: ms, and processor seconds
#   read      of a training, the reading phase (scan, encode, code table)
#   after     all that follows it: learning the domain, counting, selection, estimation, storing. It should not grow.
#   whole     wall time of the training / that of the count; and the same of processor time
#   anon, peak   the worker's memory (common.bash), MB; cells: of the model's tables
#
# GROWTH=full adds 10 million rows, and three runs. DIFFERENT=1: numbers that make nearly all rows differ.
set -euo pipefail
. "$(dirname "$0")/common.bash"

if [ "${GROWTH:-}" = full ]; then
	sizes=${SIZES:-10000 100000 1000000 10000000} runs=${RUNS:-3}
else
	sizes=${SIZES:-10000 100000 1000000} runs=${RUNS:-1}
fi
methods=${METHODS:-mst swift aim}
epsilon=${EPSILON:-1}

of_columns()
{
	q -c "SELECT $1 FROM pg_attribute WHERE attrelid = 'adult'::regclass AND attnum > 0"
}

# epsilon = rho + 2 sqrt(rho ln(1 / delta)), delta 1e-9, and back
alike_epsilon()
{
	awk -v e="$epsilon" -v n="$size" 'BEGIN {l = log(1e9); r = (sqrt(l + e) - sqrt(l)) * 1e6 / n
		printf "%.6g", r * r + 2 * r * sqrt(l)}'
}

# $table and $method: a line for a series
measure()
{
	local i run figures cells
	rm -f run.*
	for ((run = 1; run <= runs; run++)); do
		timed q -o /dev/null -c "SELECT $counts FROM $table"
		count_wall=$wall count_cpu=$cpu
		train "${table}_${method}_$1_$run" "$table" "$method" "$2"
		cells=$(q -c "SELECT card -> 'model' ->> 'cells' FROM dp_models WHERE name = '${table}_${method}_$1_$run'")
		figures=("$count_wall" "$count_cpu" "$read_us" "$read_cpu" "$((wall - read_us))" "$wall" "$cpu" "$anon" "$peak"
			"${cells:-0}")
		for ((i = 0; i < 10; i++)); do echo "${figures[i]}" >>run.$((i + 1)); done
	done
	for ((i = 1; i <= 10; i++)); do median <run.$i >run.m$i; done
	paste -d' ' run.m{1,2,3,4,5,6,7,8,9,10} | awk -v n="$size" -v m="$method" -v s="$1" '{
		printf "%10d %-7s %-6s %9.0f %7.2f  %8.0f %7.2f  %8.0f %8.2f  %7.2f %7.2f  %6.0f %6.0f %8.0f\n", n, m, s,
			$1 / 1e3, $2, $3 / 1e3, $4, $5 / 1e3, $7 - $4, $6 / $1, $7 / ($2 > 0 ? $2 : 0.01), $8, $9, $10
		print m, s, $7 - $4 >>"after"}'
}

q -c "CREATE EXTENSION IF NOT EXISTS pg_mirage"
make_adult
counts=$(of_columns "string_agg(format('count(%I)', attname), ', ')")
values=$(of_columns "string_agg('a.' || quote_ident(attname), ', ' ORDER BY attnum)")
[ -z "${DIFFERENT:-}" ] || values=${values/a.fnlwgt/(random() * 1900000)::int}
printf '%10s %-7s %-6s %9s %7s  %8s %7s  %8s %8s  %7s %7s  %6s %6s %8s\n' rows method series 'count ms' cpu-s \
	'read ms' cpu-s 'after ms' cpu-s 'whole x' 'cpu x' anon peak cells

for size in $sizes; do
	table=adult_$size
	quiet -c "CREATE UNLOGGED TABLE $table (LIKE adult INCLUDING ALL)" \
		-c "INSERT INTO $table SELECT $values FROM generate_series(1, ($size + 48841) / 48842) g, adult a LIMIT $size" \
		-c "VACUUM (FREEZE, ANALYZE) $table" -c "CHECKPOINT" -c "SELECT dp_protect('$table', epsilon => 1000000)"
	q -c "SELECT $counts FROM $table" >/dev/null
	for method in $methods; do
		measure fixed "$epsilon"
		measure alike "$(alike_epsilon)"
	done
	quiet -c "DROP TABLE $table"
done
for series in fixed alike; do
	for method in $methods; do
		awk -v m="$method" -v s="$series" '$1 == m && $2 == s {
				if (!n++ || $3 < least) least = $3
				if ($3 > most) most = $3}
			END {printf "%-7s %s: processor time after the reading, largest / smallest over the sizes: %.2f\n", m, s,
				most / (least > 0 ? least : 0.01)}' after
	done
done
