#!/usr/bin/env bash
# lint.sh: layout of the C files (clang-format, the one version that .clang-format is written for) and of the others
# (line length, trailing blanks, tabs), documents against what they are about, cppcheck, and a build with warnings as
# errors. The last line is `N passed, N failed, N skipped`. FILES="a.c b.h" looks at these alone.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

MAKE="${MAKE:-make}" "$top/tools/setup.sh" build lint
cd "$top"
out=$(mktemp "${TMPDIR:-/tmp}/pg_mirage_lint.XXXXXX")
trap 'rm -f "$out"' EXIT

# check WHAT EXIT-CODE
check()
{
	if [ "$2" = 0 ]; then
		count_pass
		printf '%-44s %s\n' "$1" ok
	else
		count_fail "$1"
		printf '%-44s %s\n' "$1" FAILED
		head -n 80 "$out" | sed 's/^/    /'
	fi
}

mapfile -t c_files < <(if [ -n "${FILES:-}" ]; then printf '%s\n' $FILES; else find src test -name '*.[ch]' | sort; fi)
mapfile -t text_files < <(printf '%s\n' "${c_files[@]}"
	find src/sql test tools .ci Makefile -type f \
		\( -name '*.sql' -o -name '*.sh' -o -name '*.pl' -o -name Makefile -o -name run \) | sort)

# cppcheck_folders NAME FOLDER...: each file as a unit of its own
cppcheck_folders()
{
	local name=$1 rc=0
	shift
	cppcheck --quiet --std=c11 --language=c --platform=unix64 --enable=warning,performance,portability --inline-suppr \
		--suppress=missingIncludeSystem --suppress=missingInclude --suppress=unknownMacro \
		--suppress=unmatchedSuppression --suppress=normalCheckLevelMaxBranches --suppress=checkersReport \
		--suppress=shiftTooManyBitsSigned --suppress=toomanyconfigs --max-configs=2 \
		--error-exitcode=1 -j"$(nproc)" -Isrc "$@" >"$out" 2>&1 || rc=$?
	check "cppcheck: $name" "$rc"
}

if formatter=$(clang_format); then
	rc=0
	: >"$out"
	for f in "${c_files[@]}"; do
		"$formatter" --dry-run -Werror "$f" >/dev/null 2>&1 || { echo "$f (make format puts it right)" >>"$out"; rc=1; }
	done
	check "layout of ${#c_files[@]} C files" "$rc"
else
	count_skip "layout of the C files: clang-format $clang_format_major is not to be had here"
fi

# Tabs count four. A line of C or SQL that is one string may be longer: messages stay whole, to be searched for.
rc=0
awk '{ line = $0
	while ((i = index(line, "\t")) > 0)
		line = substr(line, 1, i - 1) sprintf("%" (4 - (i - 1) % 4) "s", "") substr(line, i + 1)
	string = (FILENAME ~ /\.[ch]$/ && $0 ~ /^[ \t]*"/) || (FILENAME ~ /\.sql$/ && $0 ~ /^[ \t]*\047/)
	if (length(line) > 120 && !string) { print FILENAME ":" FNR ": " length(line) " columns"; bad = 1 }
	if ($0 ~ /[ \t]$/) { print FILENAME ":" FNR ": trailing blanks"; bad = 1 } }
	END { exit bad }' "${text_files[@]}" >"$out" 2>&1 || rc=$?
check "120 columns, no trailing blanks" "$rc"

rc=0
for f in tools/*.sh .ci/run; do bash -n "$f" >>"$out" 2>&1 || rc=1; done
check "shell syntax" "$rc"
# A claim of the threat model is worth what its test is.
rc=0
: >"$out"
while read -r f; do
	[ -e "$f" ] || { echo "docs/security.md: there is no $f" >>"$out"; rc=1; }
done < <(grep -oE '`(test|sql|src|docs|tools)/[A-Za-z0-9_./-]+`' docs/security.md | tr -d '`' | sort -u)
check "tests that docs/security.md names" "$rc"
rc=0
tools/check-version.sh >"$out" 2>&1 || rc=$?
check "versions agree" "$rc"
rc=0
tools/check-reference.pl >"$out" 2>&1 || rc=$?
check "documents say what the server has" "$rc"

folders=()
for d in base num privacy table curator model graphical neural synthesis seal watermark measure; do
	[ ! -d "src/$d" ] || folders+=("src/$d")
done
cppcheck_folders "core" "${folders[@]}"
folders=()
for d in pg catalog worker emit api; do [ ! -d "src/$d" ] || folders+=("src/$d"); done
cppcheck_folders "server side" --include=tools/cppcheck.h "${folders[@]}" src/pg_mirage.c

# In a folder of its own, so that the objects of a build with other flags are left alone.
rc=0
build BUILD=build/werror WERROR=1 build/werror/libmirage_core.a unit-programs fuzz-programs >"$out" 2>&1 &&
	build BUILD=build/werror WERROR=1 server-objects >>"$out" 2>&1 || rc=$?
check "no warnings" "$rc"
count_report
