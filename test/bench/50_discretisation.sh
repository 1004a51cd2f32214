#!/usr/bin/env bash
# Discretisation: ways of cutting numbers into bins, how many, and shares of the budget, by the distance of the
# synthetic rows' marginals (test/bench/bench_discretize.c). A generated table, a few seconds; with LONG=1 and the
# folder of data sets in $BENCH_DATA also adult_coded, adult and diabetes130 at epsilon 0.1 to 10, $RUNS runs each
# (minutes). METHOD chooses the method.
set -euo pipefail
method=${METHOD:-mst}
runs=${RUNS:-5}
epsilons=${EPSILONS:-0.1 0.3 1 3 10}
program=$BENCH_PROGRAMS/bench_discretize

"$program" compare
if [ "${LONG:-0}" != 1 ] || [ -z "${BENCH_DATA:-}" ]; then
	echo "(LONG=1 with BENCH_DATA measures real tables)"
	exit 0
fi

# Columns of each table as its DDL declares them: fit_csv's file of columns.
columns() {
	case $1 in
	adult_coded_train)
		tr -d '{}" ' <"$BENCH_DATA/adult_coded_domain.json" | tr ',' '\n' | tr ':' ' '
		;;
	adult)
		printf '%s\n' 'age number 0 120 1' 'workclass text null' 'fnlwgt number 0 2000000 1' 'education text' \
			'education_num number 1 16 1' 'marital_status text' 'occupation text null' 'relationship text' 'race text' \
			'sex text' 'capital_gain number 0 99999 1' 'capital_loss number 0 10000 1' 'hours_per_week number 0 168 1' \
			'native_country text null' 'income text'
		;;
	diabetes130)
		printf '%s\n' 'race text null' 'gender text null' 'age text' 'discharge_disposition_id number 1 29 1' \
			'admission_source_id number 1 26 1' 'time_in_hospital number 1 14 1' 'medical_specialty text null' \
			'num_lab_procedures number 0 150 1' 'num_procedures number 0 6 1' 'num_medications number 0 100 1' \
			'number_outpatient number 0 100 1' 'number_emergency number 0 100 1' 'number_inpatient number 0 50 1' \
			'number_diagnoses number 1 16 1' 'insulin text' 'diabetesMed text' 'readmitted text'
		;;
	esac
}

for t in adult_coded_train adult diabetes130; do
	gzip -dc "$BENCH_DATA/$t.csv.gz" >"$t.csv"
	columns "$t" >"$t.columns"
	echo
	echo "== $t"
	if [ "$t" != adult ]; then
		"$program" pairs "$t.csv" "$t.columns"
	fi
	# shellcheck disable=SC2086
	"$program" compare "$t.csv" "$t.columns" "$method" "$runs" $epsilons
	# shellcheck disable=SC2086
	"$program" shares "$t.csv" "$t.columns" "$method" "$runs" $epsilons
done
