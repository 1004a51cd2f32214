#!/usr/bin/env bash
# test.sh: builds and runs the tests; the last line is `N passed, N failed, N skipped`.
#
#   ONLY   kinds, of unit, regress, isolation, tap (all)
#   TESTS  names of tests, without folder and ending (all of the kinds)
#   KEEP   a directory that the logs of what failed are copied to (build/test-logs)
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

run_tap()
{
	local name rc tests perl=$pgxs/../test/perl log
	mapfile -t tests < <(names test/t .pl)
	[ ${#tests[@]} -gt 0 ] || return 0
	for name in "${tests[@]}"; do
		rc=0
		log=$work/tap-$name.log
		mkdir -p "$work/tap/$name/data" "$work/tap/$name/log"
		give "$work/tap"
		private_dir=$work/tap/$name
		guarded env ${MIRAGE_FAILURES:+"MIRAGE_FAILURES=$MIRAGE_FAILURES"} ${MIRAGE_SEED:+"MIRAGE_SEED=$MIRAGE_SEED"} \
			${MIRAGE_WHOLE:+"MIRAGE_WHOLE=$MIRAGE_WHOLE"} \
			TESTDIR="$private_dir" TESTDATADIR="$private_dir/data" TESTLOGDIR="$private_dir/log" \
			PG_REGRESS="$pgxs/../test/regress/pg_regress" PGPORT=65432 PERL5LIB="$perl:$work/src/test/t" \
			TAR="$(command -v tar)" top_builddir="$private_dir" \
			PG_TEST_PORT_DIR="$private_dir" PROJECT_DIR="$work/src" \
			timeout -k 30 900 perl -w "$work/src/test/t/$name.pl" >"$log" 2>&1 </dev/null || rc=$?
		private_dir=$private/run
		outcome "tap/$name" "$rc" "$log"
		if [ "$rc" != 0 ]; then
			mkdir -p "$logs"
			(cd "$private/run/work/tap/$name" && find . -name '*.log' -o -name 'regress_log*' | cut -c3- |
				while read -r f; do cp "$f" "$logs/tap_${name}_$(tr / _ <<<"$f")"; done) || true
		fi
		rm -rf "$work/tap/$name"
	done
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
