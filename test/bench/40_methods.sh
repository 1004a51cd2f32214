#!/usr/bin/env bash
# Quality and cost of the methods, through the server as a user would: dp_protect, dp_train, dp_synthesize_as.
#
# Needs BENCH_DATA (data sets and their load.sh), BENCH_TOOLS (fidelity.py: distances of marginals, train on synthetic
# and test on real) and a python with numpy, scikit-learn and pandas below 3 (BENCH_PYTHON); skips without.
#
#   QUALITY=full    all of it: adult_coded, raw adult and diabetes130 at epsilon 0.3, 1, 3, three runs each (an hour)
#   TABLES, METHODS, EPSILONS, RUNS    parts of it; by default adult_coded, all methods, epsilon 1, one run
#   OPTIONS         options of dp_train, as JSON, for every training
#
# "real rows, redrawn": the training rows drawn with replacement, as many as there are: what no sample of that size can
# be much better than. "real rows, 2 a unit": at most so many rows of a unit, chosen at random, and nothing else: what a
# training that may use no more of them cannot be much better than.
#
# tvd1, tvd2, tvd3: mean total variation distance of 1-, 2-, 3-way marginals between the training rows and as many
# synthetic rows as the model says. AUC: gradient boosting trained on synthetic rows, tested on rows that no training
# saw; of a target with three values, the commonest against the others. Seconds are processor seconds (common.bash) of
# the whole call: reading, fitting, storing. Rows "reference" are published figures of the reference implementations
# in Python (McKenna et al. 2021, 2022) on the same training rows, one thread, one seed: they are not run here.
set -euo pipefail
. "$(dirname "$0")/common.bash"
require_fidelity

if [ "${QUALITY:-}" = full ]; then
	tables=${TABLES:-adult_coded adult diabetes130} epsilons=${EPSILONS:-0.3 1 3} runs=${RUNS:-3}
else
	tables=${TABLES:-adult_coded} epsilons=${EPSILONS:-1} runs=${RUNS:-1}
fi
methods=${METHODS:-mst swift aim}
options=${OPTIONS:+options => \'$OPTIONS\'}

# epsilon method tvd1 tvd2 tvd3 auc seconds MB
reference="0.3 MST 0.0268 0.0893 0.1674 0.763 103 170
0.3 AIM,3-way 0.0277 0.0773 0.1421 0.866 474 334
1 MST 0.0101 0.0558 0.1198 0.808 92 171
1 AIM,3-way 0.0125 0.0464 0.0995 0.900 601 419
1 AIM,2-way 0.0103 0.0434 0.0965 0.897 651 185
3 MST 0.0041 0.0436 0.1025 0.846 95 170
3 AIM,3-way 0.0049 0.0296 0.0751 0.907 1174 346"

header()
{
	printf '%-26s %7s %7s %7s %7s %7s %7s %8s %6s\n' "$1" tvd1 tvd2 tvd3 ks corr AUC cpu-s MB
}

# row NAME tvd1 tvd2 tvd3 ks corr auc [seconds MB]
row()
{
	local f=("$@") i
	printf '%-26s' "${f[0]}"
	for i in 1 2 3 4 5 6; do
		case ${f[i]} in -) printf ' %7s' - ;; *) printf ' %7.4f' "${f[i]}" ;; esac
	done
	printf ' %8s %6s\n' "${f[7]:--}" "${f[8]:--}"
}

met=0 missed=0
# target WHAT VALUE RELATION LIMIT
target()
{
	if awk -v a="$2" -v b="$4" -v r="$3" 'BEGIN {exit !(r == ">=" ? a >= b - 5e-5 : a <= b + 5e-5)}'; then
		met=$((met + 1))
		printf '    target met:    %s %.4f %s %s\n' "$1" "$2" "$3" "$4"
	else
		missed=$((missed + 1))
		printf '    target MISSED: %s %.4f %s %s\n' "$1" "$2" "$3" "$4"
	fi
}

# The best figure of each column among the reference's rows of AIM at an epsilon -> "tvd1 tvd2 tvd3 auc seconds"
better_aim()
{
	awk -v e="$1" '$1 == e && $2 ~ /^AIM/ {
			for (i = 3; i <= 7; i++) if (!n || (i == 6 ? $i > b[i] : $i < b[i])) b[i] = $i
			n++}
		END {if (n) print b[3], b[4], b[5], b[6], b[7]}' <<<"$reference"
}

against_reference()
{
	local method=$1 epsilon=$2 tvd2=$4 tvd3=$5 auc=$8 seconds=$9 r1 r2 r3 rauc rs
	read -r r1 r2 r3 rauc rs < <(better_aim "$epsilon") || return 0
	printf '    against the best figures of AIM: tvd1 x %.3f, tvd2 x %.3f, tvd3 x %.3f, AUC %+.4f, time / %.0f\n' \
		$(awk -v a="$3 $tvd2 $tvd3 $auc $seconds" -v b="$r1 $r2 $r3 $rauc $rs" 'BEGIN {split(a, x); split(b, y)
			print x[1] / y[1], x[2] / y[2], x[3] / y[3], x[4] - y[4], y[5] / (x[5] > 0 ? x[5] : 0.01)}')
	case $method in
		aim)
			target tvd2 "$tvd2" '<=' "$r2"
			target tvd3 "$tvd3" '<=' "$r3"
			target AUC "$auc" '>=' "$(awk -v a="$rauc" 'BEGIN {print a - 0.005}')"
			target seconds "$seconds" '<=' "$(awk -v a="$rs" 'BEGIN {printf "%.2f", a / 50}')"
			[ "$epsilon" != 1 ] || target "tvd2 (stretch)" "$tvd2" '<=' 0.038
			;;
		swift)
			target tvd2 "$tvd2" '<=' "$(awk -v a="$r2" 'BEGIN {printf "%.4f", a * 1.05}')"
			target tvd3 "$tvd3" '<=' "$(awk -v a="$r3" 'BEGIN {printf "%.4f", a * 1.05}')"
			target seconds "$seconds" '<=' "$(awk -v a="$rs" 'BEGIN {printf "%.2f", a / 150}')"
			;;
		mst) target seconds "$seconds" '<=' 1 ;;
	esac
}

against_raw()
{
	[ "$1 $2" = "aim 1" ] || return 0
	target tvd1 "$3" '<=' 0.015
	target tvd2 "$4" '<=' 0.045
	target ks "$6" '<=' 0.02
	target AUC "$8" '>=' 0.89
}

# Training rows in TABLE_train, the others in TABLE_test; real.csv and test.csv of the learnt columns.
prepare()
{
	case $1 in
		adult_coded)
			bash "$BENCH_DATA/load.sh" adult_coded adult_coded_test >/dev/null
			quiet -c "ALTER TABLE adult_coded RENAME TO adult_coded_train"
			target_column='income>50K' without= compare="--domain $BENCH_DATA/adult_coded_domain.json"
			quiet -c "SELECT dp_protect('adult_coded_train', epsilon => 1000)"
			;;
		*)
			bash "$BENCH_DATA/load.sh" "$1" >/dev/null
			quiet -c "CREATE TABLE $1_train (LIKE $1 INCLUDING ALL); CREATE TABLE $1_test (LIKE $1 INCLUDING ALL)" \
				-c "INSERT INTO $1_train SELECT * FROM $1 t WHERE abs(hashtext(t::text)) % 5 <> 0" \
				-c "INSERT INTO $1_test SELECT * FROM $1 t WHERE abs(hashtext(t::text)) % 5 = 0"
			target_column=income without= compare="--null ?"
			if [ "$1" = diabetes130 ]; then
				# encounter_id, a primary key, is an identifier by itself, and the unit's column is not learnt either
				target_column=readmitted without=encounter_id,patient_nbr
				quiet -c "SELECT dp_protect('$1_train', epsilon => 1000, unit => 'patient_nbr', max_rows_per_unit => 2)"
			else
				quiet -c "SELECT dp_protect('$1_train', epsilon => 1000)"
			fi
			;;
	esac
	quiet -c "VACUUM (FREEZE) $1_train"
	# Texts get a letter in front: the tool guesses types, and would read codes such as 250 as 250.0 where a sample has
	# no V45 among them.
	columns=$(q -c "SELECT string_agg(CASE WHEN atttypid = 'text'::regtype
			THEN format('''t'' || %1\$I AS %1\$I', attname) ELSE quote_ident(attname) END, ', ' ORDER BY attnum)
		FROM pg_attribute
		WHERE attrelid = '$1_train'::regclass AND attnum > 0 AND attname <> ALL ('{$without}')")
	write_csv "SELECT $columns FROM $1_train" real.csv
	write_csv "SELECT $columns FROM $1_test" test.csv
}

compare()
{
	fidelity real.csv "$1" $compare --test test.csv --target "$target_column"
}

q -c "CREATE EXTENSION IF NOT EXISTS pg_mirage"
for table in $tables; do
	prepare "$table"
	header "$table ($runs runs)"
	redraw_csv "${table}_train" "$columns" synthetic.csv
	row "real rows, redrawn" $(compare synthetic.csv)
	if [ "$table" = diabetes130 ]; then
		write_csv "SELECT $columns FROM (SELECT *, row_number() OVER (PARTITION BY patient_nbr ORDER BY random()) AS bound_i
			FROM ${table}_train) t WHERE bound_i <= 2" synthetic.csv
		row "real rows, 2 a unit" $(compare synthetic.csv)
	fi
	for epsilon in $epsilons; do
		if [ "$table" = adult_coded ]; then
			while read -r e name t1 t2 t3 auc s mb; do
				[ "$e" != "$epsilon" ] || row "$e reference $name" "$t1" "$t2" "$t3" - - "$auc" "$s" "$mb"
			done <<<"$reference"
		fi
		for method in $methods; do
			rm -f figures
			for ((run = 1; run <= runs; run++)); do
				model=${table}_${method}_${epsilon}_$run
				train "$model" "${table}_train" "$method" "$epsilon" "delta => 1e-9${options:+, $options}"
				write_csv "SELECT $columns FROM dp_synthesize_as(NULL::${table}_train, '$model')" synthetic.csv
				echo "$(compare synthetic.csv) $cpu $peak" >>figures
			done
			mean=$(sed 's/ - / 0 /g; s/ - / 0 /g' figures | means)
			[ "$table" != adult_coded ] || mean=$(awk '{$4 = $5 = "-"; print}' <<<"$mean")
			read -r t1 t2 t3 ks corr auc seconds mb <<<"$mean"
			row "$epsilon $method" "$t1" "$t2" "$t3" "$ks" "$corr" "$auc" "$(printf %.2f "$seconds")" "$(printf %.0f "$mb")"
			case $table in
				adult_coded) against_reference "$method" "$epsilon" "$t1" "$t2" "$t3" "$ks" "$corr" "$auc" "$seconds" ;;
				adult) against_raw "$method" "$epsilon" "$t1" "$t2" "$t3" "$ks" "$corr" "$auc" "$seconds" ;;
			esac
		done
	done
done
echo "targets: $met met, $missed missed"
