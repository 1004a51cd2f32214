#!/usr/bin/env bash
# test.sh: builds and runs the tests; the last line is `N passed, N failed, N skipped`.
#
#   ONLY   kinds, of unit, regress, isolation, tap (all)
#   TESTS  names of tests, without folder and ending (all of the kinds)
#   KEEP   a directory that the logs of what failed are copied to (build/test-logs)
#   TEST_JOBS  how many unit programs, and how many TAP tests, run at once (as many as there are processors)
#
# Servers run in a private tree (lib.sh) as an unprivileged user on private sockets, and work on a copy of the tests.
# Unit tests count one by one, regression and isolation tests by file, TAP by its outermost tests.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

only=" ${ONLY:-unit regress isolation tap} "
for kind in $only; do
	case $kind in unit | regress | isolation | tap) ;; *) die "no kind of test is called $kind" ;; esac
done
logs=${KEEP:-$top/build/test-logs}
tap_times=$top/build/tap-seconds

wants()
{
	case $only in *" $1 "*) return 0 ;; esac
	return 1
}

# names FOLDER ENDING: the tests there that were asked for
names()
{
	local f n
	for f in "$top/$1"/*"$2"; do
		[ -e "$f" ] || continue
		n=$(basename "$f" "$2")
		case " ${TESTS:-$n} " in *" $n "*) printf '%s\n' "$n" ;; esac
	done
}

run_unit()
{
	local programs
	build unit-programs
	mapfile -t programs < <(names test/unit .c | sed -n "s,^test_,$top/build/unit/&,p")
	run_programs unit ${programs[@]+"${programs[@]}"}
}

# regress_to_tap NAME...: what pg_regress prints (before 16: "test NAME ... ok") as TAP, by the names we gave it
regress_to_tap()
{
	local n i=0
	for n in "$@"; do
		i=$((i + 1))
		if grep -qE "^(test +$n +\.\.\. ok|ok [0-9]+ +[-+] $n )" "$work/regress.out"; then
			echo "ok $i - $n"
		else
			echo "not ok $i - $n"
		fi
	done
	echo "1..$i"
}

# run_regress KIND PROGRAM FOLDER ENDING: each file a test; the servers' database is made anew for all of them
run_regress()
{
	local kind=$1 program=$2 tests rc=0 load=()
	mapfile -t tests < <(names "$3" "$4")
	[ ${#tests[@]} -gt 0 ] || return 0
	mkdir -p "$work/$kind"
	give "$work/$kind"
	grep -qsiE '^ *CREATE EXTENSION( IF NOT EXISTS)? pg_mirage' "$top/$3/${tests[0]}$4" ||
		load=(--load-extension=pg_mirage)
	guarded timeout -k 30 1500 "$pgxs/../test/$program" --bindir="$private_bin" \
		--inputdir="$work/$5" --outputdir="$work/$kind" \
		--host="$private/run" --port=5432 --user=postgres --dbname="contrib_$kind" ${load[@]+"${load[@]}"} \
		"${tests[@]}" >"$work/regress.out" 2>&1 </dev/null || rc=$?
	regress_to_tap "${tests[@]}" >"$work/regress.tap"
	if [ "$rc" != 0 ]; then
		{
			cat "$work/regress.out"
			cat "$work/$kind"/*.diffs 2>/dev/null || true
		} | sed 's/^/# /' >>"$work/regress.tap"
		mkdir -p "$logs"
		cp -r "$work/$kind/results" "$logs/$kind-results" 2>/dev/null || true
	fi
	outcome "$kind" "$rc" "$work/regress.tap"
}

# The server's user must be able to write here.
give()
{
	[ "$(id -u)" != 0 ] || chown -R "$(server_user):" "$@"
}

# The perl modules that come with a server's development files; a build without them borrows those of another version,
# which know older servers.
perl_modules()
{
	local d
	for d in "$pgxs/../test/perl" /usr/lib/postgresql/*/lib/pgxs/src/test/perl; do
		if [ -d "$d/PostgreSQL" ]; then
			printf '%s\n' "$d"
			return 0
		fi
	done
}

# What took longest the last time comes first, else the longest file, so that no processor waits for a late long one.
by_length()
{
	local n
	for n in "$@"; do
		printf '%s %s %s\n' "$(sed -n "s/^$n //p" "$tap_times" 2>/dev/null | tail -n 1 | grep . || echo 0)" \
			"$(wc -c <"$top/test/t/$n.pl")" "$n"
	done | sort -k1,1nr -k2,2nr | cut -d' ' -f3
}

run_tap()
{
	local name tests perl template=$work/template
	mapfile -t tests < <(names test/t .pl)
	[ ${#tests[@]} -gt 0 ] || return 0
	perl=$(perl_modules)
	mkdir -p "$work/tap" "$work/ports" "$work/logs"
	# What each test's first server is a copy of (Mirage.pm): made as PostgreSQL::Test::Cluster would, locale included.
	mkdir "$template"
	give "$work/tap" "$work/ports" "$template"
	as_server_user env -u LC_ALL LC_MESSAGES=C initdb -D "$template" -A trust -N >"$work/template.log" 2>&1 || template=
	mapfile -t tests < <(by_length "${tests[@]}")
	pool_done=tap_done
	for name in "${tests[@]}"; do
		private_dir=$work/tap/$name
		mkdir -p "$private_dir/data" "$private_dir/log"
		give "$private_dir"
		pool_start "$name" "$work/logs/$name.log" server_exec env \
			${MIRAGE_FAILURES:+"MIRAGE_FAILURES=$MIRAGE_FAILURES"} ${MIRAGE_SEED:+"MIRAGE_SEED=$MIRAGE_SEED"} \
			${MIRAGE_WHOLE:+"MIRAGE_WHOLE=$MIRAGE_WHOLE"} ${template:+"MIRAGE_TEMPLATE=$template"} \
			${MIRAGE_DATA:+"MIRAGE_DATA=$MIRAGE_DATA"} ${MIRAGE_TABLES:+"MIRAGE_TABLES=$MIRAGE_TABLES"} \
			TESTDIR="$private_dir" TESTDATADIR="$private_dir/data" TESTLOGDIR="$private_dir/log" \
			PG_REGRESS="$pgxs/../test/regress/pg_regress" PGPORT=65432 PERL5LIB="$perl:$work/src/test/t" \
			TAR="$(command -v tar)" top_builddir="$private_dir" \
			PG_TEST_PORT_DIR="$work/ports" PROJECT_DIR="$work/src" \
			timeout -k 30 "${MIRAGE_WHOLE:+9}900" perl -w "$work/src/test/t/$name.pl"
	done
	pool_finish
	private_dir=$private/run
}

# tap_done NAME EXIT-CODE LOG SECONDS
tap_done()
{
	outcome "tap/$1" "$2" "$3" "$4"
	[ "$2" != 0 ] || echo "$1 $4" >>"$tap_times"
	if [ "$2" != 0 ]; then
		mkdir -p "$logs"
		(cd "$work/tap/$1" && find . -name '*.log' -o -name 'regress_log*' | cut -c3- |
			while read -r f; do cp "$f" "$logs/tap_$1_$(tr / _ <<<"$f")"; done) || true
	fi
	rm -rf "${work:?}/tap/$1"
}

MAKE="${MAKE:-make}" "$top/tools/setup.sh" build test
rm -rf "$logs"
build all
! wants unit || run_unit

if wants regress || wants isolation || wants tap; then
	private_start
	work=$private/run/work
	pgxs=$("$private_bin/pg_config" --pgxs)
	pgxs=${pgxs%/*}
	mkdir -p "$work/src"
	for d in README.md docs sql expected test tools META.json pg_mirage.control; do
		[ ! -e "$top/$d" ] || cp -r "$top/$d" "$work/src/"
	done
	give "$work"
	if wants regress || wants isolation; then
		# one login refuses more calls, in all tests together, than people do in a day
		private_server pg_mirage.alerts=off
		! wants regress || run_regress regress regress/pg_regress sql .sql src
		! wants isolation ||
			run_regress isolation isolation/pg_isolation_regress test/isolation/specs .spec src/test/isolation
		kill -INT "$private_server_pid"
		wait "$private_server_pid" || true
		private_server_pid=
	fi
	! wants tap || run_tap
fi
count_report || exit 1
