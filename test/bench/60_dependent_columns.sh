#!/usr/bin/env bash
# What it costs, and gives, to declare a column a function of another: education and education_num of `adult`, each of
# which determines the other, learnt freely and declared either way.
#
#   several  values of education with more than one education_num among the rows, and the reverse
#   true     share of rows whose pair of values is a true one
#   tvd      total variation distance to the real rows, 0.5 * sum |p - q|, of education, of education_num, of the pair,
#            and of education_num with income, which the dependence was not told about
#
# Means of $RUNS trainings with $METHOD on all columns. Needs the table `adult` of $BENCH_DATA; skipped without it.
set -euo pipefail
epsilons=${EPSILONS:-0.3 1 3}
runs=${RUNS:-3}
method=${METHOD:-mst}
export PGOPTIONS='-c client_min_messages=warning'
q() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }

if [ -z "${BENCH_DATA:-}" ] || [ ! -f "$BENCH_DATA/adult.csv.gz" ]; then
	echo "skipped: no BENCH_DATA"
	exit 0
fi
q -c 'CREATE EXTENSION pg_mirage'
bash "$BENCH_DATA/load.sh" adult >/dev/null
q >/dev/null <<'S'
SELECT dp_protect('adult', epsilon => 1000);
CREATE TABLE result (epsilon float8, declared int, several bigint, back bigint, truth float8, education float8,
  education_num float8, pair float8, income float8);
CREATE FUNCTION tvd(columns text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
  distance float8;
BEGIN
  EXECUTE format('SELECT 0.5 * sum(abs(coalesce(p, 0) - coalesce(q, 0))) FROM '
    '(SELECT %1$s, count(*) / sum(count(*)) OVER () AS p FROM adult GROUP BY %1$s) a FULL JOIN '
    '(SELECT %1$s, count(*) / sum(count(*)) OVER () AS q FROM made GROUP BY %1$s) b USING (%1$s)', columns)
    INTO distance;
  RETURN distance;
END
$$;
S
declared=("SELECT" "SELECT dp_set_column('adult', 'education_num', depends_on => '{education}')"
	"SELECT dp_set_column('adult', 'education', depends_on => '{education_num}')")
n=0
for epsilon in $epsilons; do
	for run in $(seq "$runs"); do
		for way in 0 1 2; do
			n=$((n + 1))
			q -c "SELECT dp_set_column('adult', 'education'), dp_set_column('adult', 'education_num')" \
				-c "${declared[way]}" >/dev/null
			q -c "SELECT dp_train('m$n', 'adult', '$method', epsilon => $epsilon)" >/dev/null
			q <<S
CREATE TABLE made AS SELECT * FROM dp_synthesize_as(NULL::adult, 'm$n', 48842);
INSERT INTO result SELECT $epsilon, $way,
  (SELECT count(*) FROM (SELECT FROM made GROUP BY education HAVING count(DISTINCT education_num) > 1) x),
  (SELECT count(*) FROM (SELECT FROM made GROUP BY education_num HAVING count(DISTINCT education) > 1) x),
  (SELECT avg((EXISTS (SELECT FROM (SELECT DISTINCT education, education_num FROM adult) a
    WHERE a.education = made.education AND a.education_num = made.education_num))::int) FROM made),
  tvd('education'), tvd('education_num'), tvd('education, education_num'), tvd('education_num, income');
DROP TABLE made;
S
		done
	done
done
psql -Xq -P pager=off -c "SELECT epsilon,
  (ARRAY['neither', 'education_num of education', 'education of education_num'])[declared + 1] AS declared,
  round(avg(several), 1) AS several, round(avg(back), 1) AS reverse, round(avg(truth)::numeric, 4) AS \"true\",
  round(avg(education)::numeric, 4) AS education, round(avg(education_num)::numeric, 4) AS education_num,
  round(avg(pair)::numeric, 4) AS pair, round(avg(income)::numeric, 4) AS num_income
  FROM result GROUP BY result.epsilon, result.declared ORDER BY 1, result.declared"
