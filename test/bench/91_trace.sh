#!/usr/bin/env bash
# 91_trace.sh: what the watermark costs at the server: tracing, and emission with the mark against without.
#
#   trace   dp_trace of $ROWS rows against one model / SELECT count(c1), ..., count(ck) of the same table, which reads
#           every value; once with columns of their own types, once all as texts, as from a CSV; and with a thousand
#           recipients to try beside
#   emit    n rows asked for with the mark / the same without, of the same model: count(*), one column, all columns; and
#           300 rows at once, where the record of the issuance is part of the time
#
# The model is $METHOD (aim) of `adult` (BENCH_DATA, or one of its shape) at epsilon $EPSILON (1 and 10). Each figure is
# the median of $RUNS (5) alternating pairs; serial plans.
set -euo pipefail
. "$(dirname "$0")/common.bash"
rows=${ROWS:-1000000}
runs=${RUNS:-5}
method=${METHOD:-aim}
export PGOPTIONS="$PGOPTIONS -c max_parallel_workers_per_gather=0"

quiet -c "CREATE EXTENSION pg_mirage"
make_adult
of_columns()
{
	q -c "SELECT string_agg($1, ', ' ORDER BY attnum) FROM pg_attribute
		WHERE attrelid = 'adult'::regclass AND attnum > 0"
}
counts=$(of_columns "format('count(%I)', attname)")
texts=$(of_columns "format('%I::text', attname)")
quiet -c "SELECT dp_protect('adult', epsilon => 1000)"

# Milliseconds that a statement takes in the server, planning and all -> $ms
ms()
{
	ms=$(psql -XqAt -v ON_ERROR_STOP=1 -c '\timing on' -c "$1" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p')
}

# pair FILE STATEMENT STATEMENT: both, one after the other, so often; "a b a/b" of the medians
pair()
{
	local i
	rm -f a b
	for ((i = 0; i < runs; i++)); do
		[ -z "${before_a:-}" ] || quiet -c "$before_a"
		ms "$1"; echo "$ms" >>a
		[ -z "${before_b:-}" ] || quiet -c "$before_b"
		ms "$2"; echo "$ms" >>b
	done
	paste <(median <a) <(median <b) | awk '{printf "%9.1f %9.1f %6.2f\n", $1, $2, $1 / $2}'
}

for epsilon in ${EPSILON:-1 10}; do
	model="m_${method}_$epsilon"
	echo "$method, epsilon $epsilon"
	quiet -c "SELECT dp_train('$model', 'adult', '$method', epsilon => $epsilon)"
	echo "plan: $(q -c "SELECT length(sealed) FROM mirage.mark_plan WHERE model_name = '$model'") bytes"
	quiet -c "DROP TABLE IF EXISTS leak, leak_text" \
		-c "CREATE UNLOGGED TABLE leak AS SELECT * FROM dp_synthesize_as(NULL::adult, '$model', $rows)" \
		-c "CREATE UNLOGGED TABLE leak_text AS SELECT $texts FROM leak" \
		-c "VACUUM ANALYZE leak" -c "VACUUM ANALYZE leak_text"
	printf '%-34s %9s %9s %6s\n' "trace, $rows rows" 'trace ms' 'count ms' ratio
	printf '%-34s %s\n' 'typed columns' \
		"$(pair "SELECT * FROM dp_trace('SELECT * FROM leak', '$model')" "SELECT $counts FROM leak")"
	printf '%-34s %s\n' 'all texts' \
		"$(pair "SELECT * FROM dp_trace('SELECT * FROM leak_text', '$model')" "SELECT $counts FROM leak_text")"
	quiet <<-SQL
		INSERT INTO mirage.issuance (model, model_name, role_oid, role_name, identity, recipient, claimed,
			requested_rows, seeded, path, columns, watermark, recipient_total, recipient_id)
		SELECT id, name, 10, 'r', 'x', 'r' || g, false, 1, false, 'call', '{}', 'not looked at', 1, gen_random_uuid()
		FROM mirage.model, generate_series(1, 1000) g WHERE name = '$model'
	SQL
	printf '%-34s %s\n' 'typed, 1,000 recipients' \
		"$(pair "SELECT count(*) FROM dp_trace('SELECT * FROM leak', '$model')" "SELECT $counts FROM leak")"
	before_a="SELECT dp_set_model('$model', watermark => true)"
	before_b="SELECT dp_set_model('$model', watermark => false)"
	printf '%-34s %9s %9s %6s\n' 'emit' 'marked ms' 'bare ms' ratio
	for what in "count(*)|$rows" "count(age)|$rows" "count(age), count(workclass)|$rows" "$counts|$rows" \
		"count(*)|300" "$counts|300"; do
		statement="SELECT ${what%|*} FROM dp_synthesize_as(NULL::adult, '$model', ${what#*|})"
		name=${what%|*}
		[ "$name" != "$counts" ] || name="all columns"
		printf '%-34s %s\n' "$name, ${what#*|} rows" "$(pair "$statement" "$statement")"
	done
	before_a= before_b=
done
