#!/usr/bin/env bash
# What a watermark withstands and what it costs, in the core (no server): mark_csv.c says what is printed.
#
# Needs BENCH_DATA (adult.csv.gz, diabetes130.csv.gz); skips without. Train on synthetic and test on real, and only
# that, needs BENCH_TOOLS (fidelity.py) and BENCH_PYTHON too.
#
#   EPSILONS="1 10"   TABLES="adult diabetes130"   DRAWS=20   RUNS=3
set -euo pipefail
. "$(dirname "$0")/common.bash"
[ -n "${BENCH_DATA:-}" ] && [ -e "$BENCH_DATA/adult.csv.gz" ] || { echo "no data sets: BENCH_DATA"; exit 77; }

cat >adult.columns <<'S'
age number 0 120 1
workclass text null
fnlwgt number 0 2000000 1
education text
education_num number 1 16 1
marital_status text
occupation text null
relationship text
race text
sex text
capital_gain number 0 99999 1
capital_loss number 0 10000 1
hours_per_week number 0 168 1
native_country text null
income text
S
# numbers with their ranges, the two identifiers left out, all else text
cat >diabetes130.columns <<'S'
race text null
gender text null
age text
weight text null
admission_type_id number 1 8 1
discharge_disposition_id number 1 29 1
admission_source_id number 1 26 1
time_in_hospital number 1 14 1
payer_code text null
medical_specialty text null
num_lab_procedures number 0 150 1
num_procedures number 0 6 1
num_medications number 0 100 1
number_outpatient number 0 100 1
number_emergency number 0 100 1
number_inpatient number 0 50 1
diag_1 text null
diag_2 text null
diag_3 text null
number_diagnoses number 1 16 1
max_glu_serum text null
A1Cresult text null
S
for drug in metformin repaglinide nateglinide chlorpropamide glimepiride acetohexamide glipizide glyburide tolbutamide \
	pioglitazone rosiglitazone acarbose miglitol troglitazone tolazamide examide citoglipton insulin \
	glyburide-metformin glipizide-metformin glimepiride-pioglitazone metformin-rosiglitazone \
	metformin-pioglitazone change diabetesMed readmitted; do
	echo "$drug text" >>diabetes130.columns
done

# Area under the curve of a model that was trained on the plain and on the marked rows; every fifth real row is kept
# from the training of both.
utility()
{
	local table=$1 epsilon=$2 target=$3 kind
	awk 'NR == 1 || NR % 5 != 0' "$table.csv" >train.csv
	awk 'NR == 1 || NR % 5 == 0' "$table.csv" >test.csv
	"$BENCH_PROGRAMS/mark_csv" train.csv "$table.columns" aim "$epsilon" 1e-9 write=out
	for kind in plain marked; do
		printf 'trained on %s rows: ' "$kind"
		"$BENCH_PYTHON" "$BENCH_TOOLS/fidelity.py" train.csv "out.$kind.csv" --test test.csv --target "$target" |
			tr -d '\n' | sed 's/  */ /g; s/.*"ml"/"ml"/'
		echo
	done
}

for table in ${TABLES:-adult diabetes130}; do
	gzip -dc "$BENCH_DATA/$table.csv.gz" >"$table.csv"
	for epsilon in ${EPSILONS:-1 10}; do
		echo "$table, aim, epsilon $epsilon"
		"$BENCH_PROGRAMS/mark_csv" "$table.csv" "$table.columns" aim "$epsilon" 1e-9 \
			draws="${DRAWS:-20}" runs="${RUNS:-3}"
		if [ "$table" = adult ] && [ -n "${BENCH_TOOLS:-}" ] && [ -n "${BENCH_PYTHON:-}" ]; then
			utility "$table" "$epsilon" income
		fi
		echo
	done
done
