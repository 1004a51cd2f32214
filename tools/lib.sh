# tools/lib.sh: what the scripts of this folder share. Sourced by bash, never run.
#
# A *private tree* is a copy of the installed server's programs beside symbolic links to everything else of it, in a
# directory of our own, with pg_mirage installed into the copy. PostgreSQL finds its directories relative to where its
# programs lie, so a server started from there loads our module, and the system's directories are never written to.
# That needs no root, works the same for root, and two checkouts never meet.
#
# Whoever makes a tree removes it through `private_stop`, which also ends every server whose data lies in it.

set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Variables given on make's command line are in the environment; its job server is not for us.
unset MAKEFLAGS MFLAGS MAKELEVEL GNUMAKEFLAGS

# make in the top folder, as many jobs as processors
build()
{
	"${MAKE:-make}" -C "$top" --no-print-directory -s -j"$(nproc 2>/dev/null || echo 2)" "$@"
}

say()
{
	printf '%s\n' "$*"
}

die()
{
	printf 'error: %s\n' "$*" >&2
	exit 1
}

have()
{
	command -v "$1" >/dev/null 2>&1
}

# Counting, for everything that ends with `N passed, N failed, N skipped`.
passed=0 failed=0 skipped=0 failures=() skips=()
count_pass()
{
	passed=$((passed + 1))
}

count_fail()
{
	failed=$((failed + 1))
	failures+=("$*")
}

count_skip()
{
	skipped=$((skipped + 1))
	skips+=("$*")
}

# The last lines; false when something failed.
count_report()
{
	[ ${#skips[@]} = 0 ] || printf 'skipped: %s\n' "${skips[@]}"
	[ ${#failures[@]} = 0 ] || printf 'FAILED: %s\n' "${failures[@]}"
	say "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" = 0 ]
}

# count_tap NAME EXIT-CODE FILE: counts the outermost lines of TAP in FILE. A program that ended badly without a
# failed test, or with fewer tests than it planned, is a failure of its own.
count_tap()
{
	local name=$1 rc=$2 file=$3 line what seen=0 planned=0 bad=0 all=
	while IFS= read -r line; do
		case $line in
			"1.."*)
				case $line in
					"1..0"*[Ss][Kk][Ii][Pp]*) all=${line#*[Pp]} ;;
					*) planned=$((planned + $(printf '%s' "${line#1..}" | sed 's/[^0-9].*//;s/^$/0/'))) ;;
				esac
				;;
			ok\ [0-9]*"# "[Ss][Kk][Ii][Pp]* | "not ok "[0-9]*"# "[Ss][Kk][Ii][Pp]*)
				seen=$((seen + 1))
				what=$(sed -E 's/^(not )?ok [0-9]+ *-? *//' <<<"$line")
				count_skip "$name: $what"
				;;
			ok\ [0-9]*)
				seen=$((seen + 1))
				count_pass
				;;
			"not ok "[0-9]*)
				seen=$((seen + 1)) bad=$((bad + 1))
				count_fail "$name: $(sed -E 's/^not ok [0-9]+ *-? *//' <<<"$line")"
				;;
		esac
	done <"$file"
	if [ -n "$all" ]; then
		count_skip "$name:$all"
	elif [ "$bad" = 0 ]; then
		if [ "$rc" != 0 ]; then
			count_fail "$name: ended with $rc after $seen tests"
		elif [ "$seen" != "$planned" ] || [ "$seen" = 0 ]; then
			count_fail "$name: planned $planned tests, ran $seen"
		fi
	fi
}

# outcome NAME EXIT-CODE TAP-FILE [SECONDS]: counts, says it in a line, shows what failed and keeps its log in $logs.
outcome()
{
	local p=$passed f=$failed s=$skipped
	count_tap "$1" "$2" "$3"
	printf '%-44s %s\n' "$1" "$((passed - p)) passed$(
		[ "$failed" = "$f" ] || printf ', %d FAILED' $((failed - f))
		[ "$skipped" = "$s" ] || printf ', %d skipped' $((skipped - s))
		[ "${4:-0}" -lt 5 ] || printf ', %d s' "$4")"
	if [ "$failed" != "$f" ]; then
		mkdir -p "$logs"
		cp "$3" "$logs/$(tr / _ <<<"$1").log"
		{ grep -vE '^ok |^1\.\.' "$3" || true; } | tail -n 60 | sed 's/^/    /'
	fi
}
logs=$top/build/test-logs

# A pool: tests that run at once, TEST_JOBS of them (as many as there are processors), each with a log of its own.
# As each ends, $pool_done NAME EXIT-CODE LOG SECONDS counts it, in this shell. A program of the pool is told to stop
# when we die: by the kernel, where we are killed outright.
pool_jobs=${TEST_JOBS:-$(nproc 2>/dev/null || echo 2)}
pool_done=outcome
declare -A pool=()

# pool_start NAME LOG COMMAND...: waits for room. COMMAND becomes the program itself, by exec where it is a function.
pool_start()
{
	local name=$1 log=$2
	shift 2
	while [ ${#pool[@]} -ge "$pool_jobs" ]; do pool_wait; done
	"$@" >"$log" 2>&1 </dev/null &
	pool[$!]="$EPOCHSECONDS $name $log"
}

# Waits for one of them.
pool_wait()
{
	local pid= rc=0 began name log
	wait -n -p pid "${!pool[@]}" || rc=$?
	[ -n "$pid" ] || die "lost sight of the tests that run"
	read -r began name log <<<"${pool[$pid]}"
	unset "pool[$pid]"
	"$pool_done" "$name" "$rc" "$log" $((EPOCHSECONDS - began))
}

pool_finish()
{
	while [ ${#pool[@]} -gt 0 ]; do pool_wait; done
}

program_exec()
{
	exec setpriv --pdeathsig TERM timeout -k 5 900 "$@"
}

# run_programs KIND PROGRAM...: programs that print TAP (cmocka's in that mode), each under a limit of time
run_programs()
{
	local kind=$1 program
	shift
	mkdir -p "$top/build/logs"
	export CMOCKA_MESSAGE_OUTPUT=TAP
	for program in "$@"; do
		pool_start "$kind/${program##*/}" "$top/build/logs/$(tr / _ <<<"$kind")_${program##*/}.log" \
			program_exec "$program"
	done
	pool_finish
}

# The layout is that of one clang-format: others disagree about the same style file.
clang_format_major=14
clang_format()
{
	local c
	for c in "clang-format-$clang_format_major" clang-format; do
		if have "$c" && "$c" --version | grep -qE "version $clang_format_major\."; then
			printf '%s\n' "$c"
			return 0
		fi
	done
	return 1
}

# The pg_config whose server we build for and run: with its makefiles and with a server beside it; or nothing.
find_pg_config()
{
	local c dir installed
	installed=$(ls -d /usr/lib/postgresql/*/bin/pg_config 2>/dev/null | sort -t/ -k5,5nr)
	for c in "${PG_CONFIG:-}" "$(command -v pg_config || true)" $installed; do
		[ -n "$c" ] && c=$(command -v "$c") && [ -f "$("$c" --pgxs 2>/dev/null)" ] || continue
		[ -f "$("$c" --includedir-server)/postgres.h" ] || continue
		dir=$("$c" --bindir)
		if [ -x "$dir/postgres" ] && [ -x "$dir/initdb" ]; then
			# Debian's is a wrapper that forgets where it was called from: the server's own one says where it lies.
			if [ -x "$dir/pg_config" ] && [ -f "$("$dir/pg_config" --pgxs)" ]; then c=$dir/pg_config; fi
			printf '%s\n' "$c"
			return 0
		fi
	done
	return 1
}

# The name that servers run under: ourselves, or an unprivileged user when we are root.
server_user()
{
	if [ "$(id -u)" != 0 ]; then
		id -un
	elif id postgres >/dev/null 2>&1; then
		echo postgres
	else
		echo nobody
	fi
}

# A directory for what is only looked at for a while: memory where there is plenty of it, else TMPDIR.
scratch_parent()
{
	local d free
	for d in /dev/shm "${TMPDIR:-/tmp}" /tmp; do
		[ -d "$d" ] && [ -w "$d" ] && [ -x "$d" ] || continue
		if [ "$d" = /dev/shm ]; then
			[ "${MIRAGE_SCRATCH:-memory}" = memory ] || continue
			free=$(df -Pk "$d" | awk 'NR == 2 {print $4}')
			[ "${free:-0}" -ge 4000000 ] || continue
			case ",$(awk '$2 == "/dev/shm" {print $4}' /proc/mounts | tail -1)," in *,noexec,*) continue ;; esac
		fi
		if [ "$(id -u)" = 0 ] && ! as_server_user test -x "$d"; then continue; fi
		printf '%s\n' "$d"
		return 0
	done
	die "no directory for temporary files: set TMPDIR to one that $(server_user) can enter"
}

# Becomes a program run as the server's user, in a directory that this user can enter, with an environment of our own
# making, which is told to stop when we die. Call it in a subshell.
server_exec()
{
	local u drop=()
	u=$(server_user)
	if [ "$(id -u)" = 0 ]; then drop=(--reuid "$u" --regid "$(id -gn "$u")" --clear-groups); fi
	exec setpriv ${drop[@]+"${drop[@]}"} --pdeathsig "${death_signal:-TERM}" \
		env -i -C "${private_dir:-/}" "${private_env[@]}" "$@"
}

as_server_user()
{
	(server_exec "$@")
}

# The same, but a signal to us ends it at once (bash looks at its traps only between foreground commands).
guarded_pid=
guarded()
{
	local rc=0
	server_exec "$@" <&0 &
	guarded_pid=$!
	wait "$guarded_pid" || rc=$?
	guarded_pid=
	return "$rc"
}
private_dir=
private_env=(PATH="$PATH" LC_ALL=C.UTF-8)

# private_start [setting=value ...]: makes the tree ($private, $private_bin) and installs the built module into it.
# private_server [setting=value ...]: starts a server in it and sets private_env for its clients.
private=
private_server_pid=
private_start()
{
	local pg_config share lib libraries f d parent pid
	pg_config=$(find_pg_config) || die "no PostgreSQL server with its development files was found: run make setup"
	trap private_stop EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	parent=$(scratch_parent)
	# Trees of ours whose maker was killed outright: their servers were told to end with it.
	for d in "$parent"/pg_mirage.*/owner; do
		if [ -O "$d" ] && pid=$(cat "$d") && [ -n "$pid" ] && ! [ -d "/proc/$pid" ]; then
			end_servers "${d%/owner}"
			rm -rf --one-file-system "${d%/owner}"
		fi
	done
	private=$(mktemp -d "$parent/pg_mirage.XXXXXX")
	echo $$ >"$private/owner"
	chmod 755 "$private"
	private_dir=$private
	private_bin=$private$("$pg_config" --bindir)
	share=$("$pg_config" --sharedir)
	lib=$("$pg_config" --pkglibdir)
	mkdir -p "$private_bin" "$private$share/extension" "$private$lib"
	cp -L "$("$pg_config" --bindir)"/* "$private_bin/"
	for f in "$share"/*; do
		[ "${f##*/}" = extension ] || ln -s "$f" "$private$share/"
	done
	# An older pg_mirage that was installed into the system must not shine through.
	for f in "$share"/extension/*; do
		case ${f##*/} in pg_mirage.control | pg_mirage--*.sql) ;; *) ln -s "$f" "$private$share/extension/" ;; esac
	done
	for f in "$lib"/*; do
		[ "${f##*/}" = pg_mirage.so ] || ln -s "$f" "$private$lib/"
	done
	for d in "$("$pg_config" --pkgincludedir)" "$("$pg_config" --localedir)"; do
		[ -d "$d" ] && [ ! -e "$private$d" ] && mkdir -p "$private${d%/*}" && ln -s "$d" "$private$d"
	done
	build install DESTDIR="$private" PG_CONFIG="$pg_config" >/dev/null
	mkdir "$private/run"
	chmod 700 "$private/run"
	[ "$(id -u)" != 0 ] || chown "$(server_user):" "$private/run"
	private_dir=$private/run
	# The copies of programs that look for their libraries beside where they lie would not find them.
	libraries=$({ ldd "$("$pg_config" --bindir)"/{initdb,psql} 2>/dev/null || true; } |
		awk '$2 == "=>" && $3 ~ "^/" && $3 !~ "^/(usr/)?lib" {sub("/[^/]*$", "", $3); print $3}' | sort -u | paste -sd:)
	private_env=(PATH="$private_bin:/usr/local/bin:/usr/bin:/bin" HOME="$private/run" TMPDIR="$private/run"
		LC_ALL=C.UTF-8 TZ=UTC PGPORT=5432 PSQLRC=/dev/null ${libraries:+"LD_LIBRARY_PATH=$libraries"})
}

private_server()
{
	local data=$private/run/data s opts=() i
	# "$private" alone may be too long for a socket's path (107 bytes) only where TMPDIR is absurd: said by the
	# server.
	as_server_user initdb -D "$data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync \
		>"$private/initdb.log" 2>&1 ||
		{ cat "$private/initdb.log" >&2; die "initdb failed"; }
	for s in "$@"; do opts+=(-c "$s"); done
	death_signal=INT server_exec postgres -D "$data" -k "$private/run" -c listen_addresses= -c logging_collector=off \
		"${opts[@]}" >"$private/server.log" 2>&1 </dev/null &
	private_server_pid=$!
	private_env+=(PGHOST="$private/run" PGUSER=postgres PGDATABASE=postgres)
	for ((i = 0; i < 600; i++)); do
		if as_server_user pg_isready -q 2>/dev/null; then return 0; fi
		kill -0 "$private_server_pid" 2>/dev/null || break
		sleep 0.1
	done
	tail -20 "$private/server.log" >&2
	die "the throwaway server did not start"
}

# end_servers TREE [PID...]: ends these, and every server whose data directory lies in the tree.
end_servers()
{
	local tree=$1 f pid pids i
	shift
	pids="$*"
	while IFS= read -r f; do
		pid=$(sed -n 1p "$f" 2>/dev/null || true)
		case $pid in '' | *[!0-9]*) continue ;; esac
		# The file outlives a killed server, and its number may be someone else's by now: only a process that runs a
		# program of this tree is ours.
		case $(readlink "/proc/$pid/exe" 2>/dev/null || true) in "$tree"/*) pids="$pids $pid" ;; esac
	done < <(find "$tree" -name postmaster.pid 2>/dev/null)
	for pid in $pids; do kill -INT "$pid" 2>/dev/null || true; done
	for ((i = 0; i < 100; i++)); do
		for pid in $pids; do
			if kill -0 "$pid" 2>/dev/null; then sleep 0.1; continue 2; fi
		done
		return 0
	done
	for pid in $pids; do kill -QUIT "$pid" 2>/dev/null || true; done
}

# Ends every server whose data directory lies in the private tree, then removes the tree. Idempotent; keeps the exit
# code.
private_stop()
{
	local rc=$? pid
	trap '' HUP INT TERM
	trap - EXIT
	if [ -n "$private" ]; then
		for pid in $guarded_pid "${!pool[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
		end_servers "$private" $private_server_pid
		wait 2>/dev/null || true
		[ -n "${MIRAGE_KEEP:-}" ] && say "kept: $private" || rm -rf --one-file-system "$private"
	fi
	exit "$rc"
}
