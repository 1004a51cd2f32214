#!/usr/bin/env bash
# check-version.sh: the version of the control file and those of META.json must be one.
set -euo pipefail
cd "$(dirname "$0")/.."
control=$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" pg_mirage.control)
meta=$(sed -n 's/^ *"version": "\([0-9][^"]*\)".*/\1/p' META.json)
# The last one is the version of the META specification.
spec=$(printf '%s\n' "$meta" | tail -n 1)
for v in $(printf '%s\n' "$meta" | head -n -1); do
	[ "$v" = "$control" ] || { echo "META.json says $v, pg_mirage.control says $control" >&2; exit 1; }
done
[ "$(printf '%s\n' "$meta" | wc -l)" = 3 ] && [ "$spec" = 1.0.0 ] ||
	{ echo "META.json: unexpected versions" >&2; exit 1; }
case $control in
	[0-9]*.[0-9]*.[0-9]*) ;;
	*) echo "pg_mirage.control: \"$control\" is no semantic version" >&2; exit 1 ;;
esac
