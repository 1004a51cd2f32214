#!/usr/bin/env bash
# What a watermark withstands and what it costs, in the core (no server): mark_csv.c says what is printed.
#
# Tables: adult and diabetes130, on which the settings were chosen, and others, of which the bound on the cost takes
# account: nursery and what awk makes here (five columns; twelve numbers; forty columns; one with a text of 5,000
# values). Real ones need BENCH_DATA (adult.csv.gz, diabetes130.csv.gz, nursery.csv.gz); those that are not there are
# passed over. Training on synthetic rows and testing on real ones (adult and diabetes130, tstr.py) needs BENCH_PYTHON
# too, and is done so often as SEEDS says, each time with another model and other keys.
#
#   EPSILONS="1 10"   TABLES="adult diabetes130 ..."   METHODS=aim   DRAWS=20   RUNS=3   SEEDS=3   PARTS=cdatm
#   (BENCH_ENV="TABLES METHODS" hands such names on)
set -euo pipefail
. "$(dirname "$0")/common.bash"
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

for column in parents has_nurs form children housing finance social health class; do
	echo "$column text" >>nursery.columns
done
printf '%s\n' 'a text' 'b text' 'c number 0 200 1' 'd number 0 100 1' 'e text' >five.columns
printf '%s\n' 'word text' 'a text' 'b text' 'c text' 'n number 0 1000 1' 'm number 0 60 1' >words.columns
for i in $(seq 12); do echo "n$i number -1000 8000 1"; done >numbers.columns
for i in $(seq 40); do [ $((i % 4)) = 0 ] && echo "c$i number 0 200 1" || echo "c$i text"; done >forty.columns

# made TABLE: 50,000 rows; most columns hang on h, which is hidden
made()
{
	cut -d' ' -f1 "$1.columns" | paste -sd,
	awk -v kind="$1" '
	function u() {return rand()}
	function bell() {return rand() + rand() + rand() + rand() - 2}
	BEGIN {
		srand(2026)
		for (r = 0; r < 50000; r++) {
			h = int(8 * u())
			row = ""
			if (kind == "five")
				row = sprintf("a%d,b%d,%d,%d,e%d", (h + int(3 * u())) % 8, 12 * u() ^ 2, 20 + 5 * h + 30 * u(),
					100 * u() ^ 3, (h + int(2 * u())) % 4)
			if (kind == "words")
				row = sprintf("t%d,a%d,b%d,c%d,%d,%d", 5000 * u() ^ 2, (h + int(3 * u())) % 8, 6 * u() ^ 2, h / 4,
					100 * bell() + 10 * h + 300, 50 * u() ^ 2)
			for (i = 1; kind == "numbers" && i <= 12; i++)
				row = row sprintf("%s%d", (i > 1 ? "," : ""), 1000 * (2 + h / 8 * (i % 4) + bell()))
			for (i = 1; kind == "forty" && i <= 40; i++) {
				v = "w" int((3 + i % 9) * u() ^ 2)
				if (i % 4 == 0) v = int(80 + 3 * h + 20 * bell())
				if (i % 4 == 1) v = "v" ((h + int((2 + i % 7) * u())) % (2 + i % 11))
				if (i % 4 == 2) v = u() < 0.05 + h / 16 ? "yes" : "no"
				row = row (i > 1 ? "," : "") v
			}
			print row
		}
	}'
}

# Area under the curve of a model that was trained on the plain and on the marked rows; every fifth real row is kept
# from the training of both.
utility()
{
	local table=$1 epsilon=$2 target=$3 positive=$4 seed
	awk 'NR == 1 || NR % 5 != 0' "$table.csv" >train.csv
	awk 'NR == 1 || NR % 5 == 0' "$table.csv" >test.csv
	for seed in $(seq "${SEEDS:-3}"); do
		"$BENCH_PROGRAMS/mark_csv" train.csv "$table.columns" aim "$epsilon" 1e-9 write=out seed="$seed" >/dev/null
		OMP_NUM_THREADS=1 "$BENCH_PYTHON" "$here/tstr.py" test.csv "$table.columns" "$target" "$positive" \
			out.plain.csv out.marked.csv | paste -sd' '
	done | awk '{d = $2 - $1; s += d; ss += d * d; a += $1; b += $2}
		END {printf "AUC of %d models: %.4f, marked %.4f; difference %+.4f, its standard deviation %.4f\n", NR,
			a / NR, b / NR, s / NR, NR > 1 ? sqrt((ss - s * s / NR) / (NR - 1)) : 0}'
}

here=$(dirname "$0")
for table in ${TABLES:-adult diabetes130 nursery five words numbers forty}; do
	case $table in
		five | words | numbers | forty) made "$table" >"$table.csv" ;;
		*)
			[ -n "${BENCH_DATA:-}" ] && [ -e "$BENCH_DATA/$table.csv.gz" ] ||
				{ echo "$table: not in BENCH_DATA"; continue; }
			gzip -dc "$BENCH_DATA/$table.csv.gz" >"$table.csv"
			;;
	esac
	for method in ${METHODS:-aim}; do
		for epsilon in ${EPSILONS:-1 10}; do
			echo "$table, $method, epsilon $epsilon"
			"$BENCH_PROGRAMS/mark_csv" "$table.csv" "$table.columns" "$method" "$epsilon" 1e-9 \
				draws="${DRAWS:-20}" runs="${RUNS:-3}" parts="${PARTS:-cdatm}"
			[ "$method" != aim ] || [ -z "${BENCH_PYTHON:-}" ] || case $table in
				adult) utility adult "$epsilon" income '>50K' ;;
				diabetes130) utility diabetes130 "$epsilon" readmitted NO ;;
			esac
			echo
		done
	done
done
