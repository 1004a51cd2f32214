#!/usr/bin/env bash
# setup.sh [build|test|lint|fuzz]...: installs what is missing for these purposes (test where none is given); does
# nothing and says nothing when all is there. Packages come from apt, as root or by sudo; without apt it names them
# and stops.
#
# The server is the one that the system comes with, unless a pg_config is there already. Installing it neither makes
# nor starts a cluster of the distribution's, and an existing one is left as it is.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

[ $# -gt 0 ] || set -- test
wanted=" $* "
missing=() words=()

# need PACKAGE WHAT-IT-IS-FOR
need()
{
	missing+=("$1")
	words+=("$1 ($2)")
}

# Does the compiler find this header?
header()
{
	have cc && printf '#include <%s>\n' stdarg.h stddef.h stdint.h setjmp.h "$1" |
		cc -E -x c - >/dev/null 2>&1
}

# The version of the server to install: that of a pg_config, or of installed development files, or the system's own.
server_version()
{
	local v
	if have pg_config && [ -f "$(pg_config --pgxs)" ]; then
		v=$(pg_config --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
	else
		v=$(ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null | sort -t/ -k5,5nr |
			sed -n '1s|.*/postgresql/\([0-9]*\)/.*|\1|p')
		[ -n "$v" ] || v=$(apt-cache policy postgresql 2>/dev/null |
			sed -nE 's/^ *Candidate: *([0-9]+:)?([0-9]+).*/\2/p')
	fi
	printf '%s' "$v"
}

look()
{
	local v=NN
	missing=() words=()
	have cc && header stdio.h || { need gcc "compiler"; need libc6-dev "C library headers"; }
	have ld && have ar || need binutils "linker"
	if ! find_pg_config >/dev/null; then
		if have apt-cache; then v=$(server_version); v=${v:-NN}; fi
		need "postgresql-$v" "server"
		need "postgresql-server-dev-$v" "its headers and makefiles"
	fi
	header openssl/evp.h || need libssl-dev "cryptography"
	case $wanted in
		*" test "*)
			header cmocka.h || need libcmocka-dev "unit tests"
			have prove || need perl "TAP tests"
			perl -MIPC::Run -e 1 2>/dev/null || need libipc-run-perl "TAP tests"
			have setpriv || need util-linux "running as another user"
			;;
	esac
	case $wanted in
		*" lint "*)
			have cppcheck || need cppcheck "lint"
			# Where the system has none of that version, lint says that it skips the layout.
			if ! clang_format >/dev/null &&
				apt-cache policy "clang-format-$clang_format_major" 2>/dev/null | grep -q 'Candidate: [^(]'; then
				need "clang-format-$clang_format_major" "lint"
			fi
			;;
	esac
	case $wanted in *" fuzz "*) have clang || need clang "libFuzzer" ;; esac
}

look
[ ${#missing[@]} -gt 0 ] || exit 0

if ! have apt-get; then
	say "pg_mirage needs what these Debian packages hold, and there is no apt here to install them:" >&2
	printf '  %s\n' "${words[@]}" >&2
	exit 1
fi
as_root=()
if [ "$(id -u)" != 0 ]; then
	if ! have sudo; then
		say "pg_mirage needs these packages; install them as root:" >&2
		printf '  %s\n' "${words[@]}" >&2
		exit 1
	fi
	as_root=(sudo)
fi
apt=(${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l
	apt-get -q -o DPkg::Lock::Timeout=600)

# The log stays only where it has something to say.
log=$(mktemp "${TMPDIR:-/tmp}/pg_mirage_setup.XXXXXX")
keep_log=
guard=
tidy()
{
	[ -z "$guard" ] || ${as_root[@]+"${as_root[@]}"} rm -f "$guard"
	[ -n "$keep_log" ] || rm -f "$log"
}
trap tidy EXIT
quietly()
{
	"$@" >>"$log" 2>&1 || { keep_log=1; tail -15 "$log" >&2; die "failed: $* (all of it: $log)"; }
}

say "setup: refreshing the list of packages"
quietly "${apt[@]}" update
look # the system's version of the server is known now
case "${missing[*]}" in *-NN*) die "apt knows no package called postgresql" ;; esac
say "setup: installing, once: $(printf '%s, ' "${words[@]}" | sed 's/, $//')"

# Installing a server makes a cluster of the distribution's where the version has none yet, unless this file says no.
# It is there while we install, and no longer.
guard=/etc/postgresql-common/createcluster.d/pg_mirage_setup.conf
${as_root[@]+"${as_root[@]}"} mkdir -p "${guard%/*}"
printf 'create_main_cluster = false\n' | ${as_root[@]+"${as_root[@]}"} tee "$guard" >/dev/null
quietly "${apt[@]}" install -y --no-install-recommends "${missing[@]}"
look
[ ${#missing[@]} = 0 ] || { keep_log=1; die "installed, and still not found: ${words[*]} (all of it: $log)"; }
say "setup: done"
