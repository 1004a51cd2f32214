#!/usr/bin/env bash
# demo.sh: the demonstration, beside a throwaway server of its own: a budget, a training, synthetic rows, who may read
# what, and how rows are traced to whom they were for.
#
#   CSV  a file with a header line (commas, semicolons or tabs; empty is NULL): its types are guessed, nothing about its
#        values is declared, so that the domain is learnt privately. Without it: a made-up table of hospital admissions.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

csv=${CSV:-}
[ -z "$csv" ] || { [ -f "$csv" ] && [ -r "$csv" ]; } || die "cannot read $csv"
MAKE="${MAKE:-make}" "$top/tools/setup.sh" build demo
build all
private_start
private_server
run=$private/run

# psql's input is a file that its user can read; from standard input, so that notices come without a file's name
# before them.
run_sql()
{
	local file=$1
	shift
	guarded psql -X -q -v ON_ERROR_STOP=1 "$@" <"$file"
}

cat >"$run/roles.sql" <<'SQL'
CREATE EXTENSION pg_mirage;
CREATE ROLE hospital LOGIN;
CREATE ROLE researcher LOGIN;
CREATE ROLE stranger LOGIN;
CREATE ROLE auditor LOGIN IN ROLE mirage_auditor;
GRANT CREATE ON SCHEMA public TO hospital;
CREATE SERVER models FOREIGN DATA WRAPPER pg_mirage_fdw;
GRANT USAGE ON FOREIGN SERVER models TO hospital;
CREATE SCHEMA elsewhere;
GRANT CREATE, USAGE ON SCHEMA elsewhere TO researcher;
GRANT USAGE ON SCHEMA elsewhere TO auditor;
SQL
run_sql "$run/roles.sql"

if [ -z "$csv" ]; then
	say "A hospital that does not exist has 60,000 admissions, twelve columns each."
	run_sql "$top/tools/demo_admissions.sql" -U hospital
	table=admissions row=NULL::admissions model=admissions_v1
else
	# A copy that the server's user may read, under a name without quotes.
	cp "$csv" "$run/input.csv"
	[ "$(id -u)" != 0 ] || chown "$(server_user):" "$run/input.csv"
	perl "$top/tools/csv_table.pl" "$csv" "$(basename "$csv")" "$run/input.csv" >"$run/table.sql" 2>"$run/message" ||
		die "$csv: $(cat "$run/message")"
	table=$(sed -n 's/^-- table: //p' "$run/table.sql")
	row="NULL::\"$table\"" model=${table}_v1
	{
		cat "$run/table.sql"
		cat "$top/tools/demo_types.sql"
	} >"$run/load.sql"
	run_sql "$run/load.sql" -U hospital -v tbl="$table"
fi
run_sql "$top/tools/demo.sql" -U hospital -v tbl="$table" -v row="$row" -v model="$model"
