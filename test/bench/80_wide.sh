#!/usr/bin/env bash
# Wide tables: $COLUMNS_WIDE columns x $ROWS rows made here, $METHODS at epsilon $EPSILON (one training each), with
# $OPTIONS (JSON).
#
# The columns are a random tree: each depends on one of the twenty before it, with a strength of its own, the rest of
# the time on nothing. Every fifth is a number with a CHECK range (1,000 values, near its parent's place in its range),
# the others are categories of 2 to 50 codes, a scrambled function of the parent. A row is a function of its number, so
# every run has the same table.
#
#   tvd1, tvd2, edge   mean total variation distance between the table and as many synthetic rows: of all columns, of
#             $PAIRS random pairs, of as many pairs of a column and its parent; numbers in 20 cells. Made by the server.
#   read, after, cpu-s, anon, peak   wall seconds of the reading phase and of the rest; processor seconds and megabytes
#             of memory (common.bash); measured: marginals of two and more columns
#
# "redrawn" is the table's rows redrawn with replacement: what no sample of this size can be much better than.
set -euo pipefail
. "$(dirname "$0")/common.bash"

columns=${COLUMNS_WIDE:-100} rows=${ROWS:-100000} pairs=${PAIRS:-150} epsilon=${EPSILON:-1}
methods=${METHODS:-independent mst swift aim}
options=${OPTIONS:+options => \'$OPTIONS\'}

q -c "CREATE EXTENSION IF NOT EXISTS pg_mirage"
quiet -v columns="$columns" -v rows="$rows" <<'SQL'
CREATE TABLE shape (j int PRIMARY KEY, parent int, size int, number boolean, keep float8, a int, b int, expr text);
-- a fraction in [0, 1) of row i and a stream: the table's only randomness
CREATE FUNCTION fraction(i int, stream bigint) RETURNS float8 LANGUAGE sql IMMUTABLE
  AS 'SELECT (hashint4extended(i, stream) & 1048575)::float8 / 1048576';
SELECT set_config('wide.columns', :'columns', false);
DO $$
DECLARE
  last int := current_setting('wide.columns')::int;
  s shape; p shape; dice text; own text; given text;
BEGIN
  FOR j IN 1 .. last LOOP
    s.j := j;
    s.parent := CASE WHEN j > 1 THEN j - 1 - floor(fraction(j, 1) * least(j - 1, 20)) END;
    s.number := j % 5 = 0;
    s.size := CASE WHEN s.number THEN 1000 ELSE 2 + floor(49 * fraction(j, 2) ^ 2) END;
    s.keep := 0.3 + 0.6 * fraction(j, 3);
    s.a := 1 + 2 * floor(fraction(j, 4) * 20);
    s.b := floor(fraction(j, 5) * s.size);
    dice := format('fraction(i, %s)', 100 + 2 * j);
    own := format('floor(%s * %s ^ 2)::int', s.size, dice);
    IF s.parent IS NULL THEN
      s.expr := own;
    ELSE
      SELECT * INTO p FROM shape WHERE shape.j = s.parent;
      given := CASE WHEN s.number
                    THEN format('floor(1000 * (0.8 * (%s) / %s + 0.2 * %s))::int', p.expr, p.size, dice)
                    WHEN p.number THEN format('((%s) / 50 * %s + %s) %% %s', p.expr, s.a, s.b, s.size)
                    ELSE format('((%s) * %s + %s) %% %s', p.expr, s.a, s.b, s.size) END;
      s.expr := format('CASE WHEN fraction(i, %s) < %s THEN %s ELSE %s END', 101 + 2 * j, s.keep, given, own);
    END IF;
    INSERT INTO shape VALUES (s.*);
  END LOOP;
  EXECUTE (SELECT format('CREATE TABLE wide (%s)', string_agg(
             format('c%s smallint NOT NULL CHECK (c%1$s BETWEEN 0 AND %s)', shape.j, shape.size - 1), ', '
             ORDER BY shape.j)) FROM shape);
END $$;
SELECT format('INSERT INTO wide SELECT %s FROM generate_series(1, %s) i', string_agg(expr, ', ' ORDER BY j), :rows)
FROM shape \gexec
VACUUM (FREEZE, ANALYZE) wide;
CREATE FUNCTION cell(int) RETURNS text STABLE LANGUAGE sql
  AS $$SELECT CASE WHEN number THEN format('(c%s / 50)', $1) ELSE format('c%s', $1) END FROM shape WHERE j = $1$$;
-- total variation distance of a set of columns between `wide` and another table
CREATE FUNCTION distance(other regclass, cols int[]) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE d float8; list text := (SELECT string_agg(cell(c), ', ') FROM unnest(cols) c);
BEGIN
  EXECUTE format('SELECT 0.5 * sum(abs(p)) FROM (SELECT sum(w) AS p FROM (
      SELECT ROW(%1$s) AS r, count(*)::float8 / sum(count(*)) OVER () AS w FROM wide GROUP BY %1$s UNION ALL
      SELECT ROW(%1$s), -count(*)::float8 / sum(count(*)) OVER () FROM %2$s GROUP BY %1$s) u GROUP BY r) v',
    list, other)
  INTO d;
  RETURN d;
END $$;
SELECT dp_protect('wide', epsilon => 1000);
SQL
random_pairs="SELECT x, y FROM (SELECT 1 + floor(fraction(i, 11) * $columns)::int AS x,
	1 + floor(fraction(i, 12) * $columns)::int AS y FROM generate_series(1, 10 * $pairs) i) g WHERE x < y LIMIT $pairs"
tree_pairs="SELECT parent, j FROM shape WHERE parent IS NOT NULL ORDER BY fraction(j, 13) LIMIT $pairs"

# distances TABLE -> "tvd1 tvd2 edge"
distances()
{
	q -F' ' -c "SET max_parallel_workers_per_gather = 0" -c "SELECT
		(SELECT avg(distance('$1', ARRAY[j])) FROM shape)::numeric(8, 4),
		(SELECT avg(distance('$1', ARRAY[x, y])) FROM ($random_pairs) p)::numeric(8, 4),
		(SELECT avg(distance('$1', ARRAY[x, y])) FROM ($tree_pairs) p (x, y))::numeric(8, 4)"
}

printf '%s columns x %s rows, epsilon %s\n' "$columns" "$rows" "$epsilon"
printf '%-12s %7s %7s %7s  %8s %8s %8s  %6s %6s %8s\n' \
	method tvd1 tvd2 edge 'read s' 'after s' cpu-s anon peak measured
list=$(q -c "SELECT string_agg('c' || j, ', ' ORDER BY j) FROM shape")
quiet -c "CREATE UNLOGGED TABLE other (LIKE wide)" -c "WITH
	t AS MATERIALIZED (SELECT row_number() OVER () AS redraw_i, * FROM wide),
	g AS MATERIALIZED (SELECT 1 + floor(random() * $rows)::bigint AS redraw_i FROM generate_series(1, $rows))
	INSERT INTO other SELECT $list FROM g JOIN t USING (redraw_i)"
printf '%-12s %7s %7s %7s\n' redrawn $(distances other)
for method in $methods; do
	train "wide_$method" wide "$method" "$epsilon" "$options"
	quiet -c "TRUNCATE other" -c "INSERT INTO other SELECT * FROM dp_synthesize_as(NULL::wide, 'wide_$method', $rows)"
	measured=$(q -c "SELECT coalesce(jsonb_array_length(card -> 'model' -> 'measured'), 0) FROM dp_models
		WHERE name = 'wide_$method'")
	printf '%-12s %7s %7s %7s  %8.1f %8.1f %8.1f  %6d %6d %8d\n' "$method" $(distances other) \
		"${read_us}e-6" "$((wall - read_us))e-6" "$cpu" "$anon" "$peak" "$measured"
done
