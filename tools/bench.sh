#!/usr/bin/env bash
# bench.sh: runs test/bench/*.sh in order beside a throwaway server, and prints what they print. BENCH="name ..."
# chooses.
#
# A script finds the server through PGHOST and PGUSER, programs of test/bench/*.c in $BENCH_PROGRAMS, a folder of its
# own to write to as its working directory, the server's data directory as $BENCH_PGDATA and its process as
# $BENCH_POSTMASTER. BENCH_DATA is a folder with further data sets, BENCH_TOOLS one with further tools, where there are
# such, and BENCH_PYTHON the python for them; BENCH_ENV names other variables to hand on. Data lie on disk: a benchmark
# of a machine's memory file system would flatter both sides. A script that ends with 77 was skipped.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

MAKE="${MAKE:-make}" "$top/tools/setup.sh" build test
build all
build bench-programs
export MIRAGE_SCRATCH=disk
private_start
mkdir -p "$private/run/bench" "$private/run/programs"
cp "$top"/test/bench/* "$private/run/bench/"
[ ! -d "$top/build/bench" ] ||
	find "$top/build/bench" -maxdepth 1 -type f -perm -u+x -exec cp {} "$private/run/programs/" \;
[ -z "${BENCH_DATA:-}" ] || cp -r "$BENCH_DATA" "$private/run/data-sets"
[ -z "${BENCH_TOOLS:-}" ] || cp -r "$BENCH_TOOLS" "$private/run/tools"
[ "$(id -u)" != 0 ] || chown -R "$(server_user):" "$private/run"
private_server shared_buffers=256MB max_wal_size=8GB checkpoint_timeout=30min autovacuum=off
private_env+=(BENCH_PROGRAMS="$private/run/programs" BENCH_PGDATA="$private/run/data"
	BENCH_POSTMASTER="$private_server_pid")
[ -z "${BENCH_DATA:-}" ] || private_env+=(BENCH_DATA="$private/run/data-sets")
[ -z "${BENCH_TOOLS:-}" ] || private_env+=(BENCH_TOOLS="$private/run/tools")
[ -z "${BENCH_PYTHON:-}" ] || private_env+=(BENCH_PYTHON="$BENCH_PYTHON")
for name in ${BENCH_ENV:-}; do private_env+=("$name=${!name:-}"); done

shopt -s nullglob
say "$(as_server_user postgres --version), $(nproc) processors," \
	"$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
for script in "$top"/test/bench/*.sh; do
	name=$(basename "$script" .sh)
	case " ${BENCH:-$name} " in *" $name "*) ;; *) continue ;; esac
	mkdir "$private/run/work-$name"
	[ "$(id -u)" != 0 ] || chown "$(server_user):" "$private/run/work-$name"
	private_dir=$private/run/work-$name
	say "" "$name"
	rc=0
	guarded bash "$private/run/bench/$name.sh" </dev/null || rc=$?
	private_dir=$private/run
	case $rc in
		0) count_pass ;;
		77) count_skip "$name" ;;
		*) count_fail "$name ended with $rc" ;;
	esac
	rm -rf "$private/run/work-$name"
done
count_report
