#!/usr/bin/env bash
# cluster.sh [-c setting=value]... [--] [COMMAND...]: runs COMMAND (psql where none is given) beside a throwaway
# server with the built pg_mirage installed, as an unprivileged user when called by root, and leaves nothing behind.
#
# The command finds the server through PGHOST, PGUSER (postgres, a superuser) and PGDATABASE; its programs come first
# in PATH. MIRAGE_ENV="NAME OTHER" names further variables to hand on. MIRAGE_SCRATCH=disk keeps the data out of
# memory.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

settings=()
while [ $# -gt 0 ]; do
	case $1 in
		-c) settings+=("$2"); shift 2 ;;
		--) shift; break ;;
		-*) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
		*) break ;;
	esac
done
[ $# -gt 0 ] || set -- psql -X

private_start
private_server ${settings[@]+"${settings[@]}"}
for name in ${MIRAGE_ENV:-}; do private_env+=("$name=${!name:-}"); done
rc=0
guarded "$@" || rc=$?
exit "$rc"
