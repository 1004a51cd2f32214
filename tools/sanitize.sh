#!/usr/bin/env bash
# sanitize.sh: the unit tests, and the fuzz targets over their corpora and some mutations, under ASan and UBSan. Any
# report is a failure. The last line is `N passed, N failed, N skipped`.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

MAKE="${MAKE:-make}" "$top/tools/setup.sh" build test
logs=$top/build/sanitize-logs
rm -rf "$logs"
build BUILD=build/sanitize CORE_EXTRA="-O1 -fsanitize=address,undefined -fno-sanitize-recover=all" \
	unit-programs fuzz-programs

export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:check_initialization_order=1
export UBSAN_OPTIONS=print_stacktrace=1
probe=$top/build/sanitize/probe
printf 'int main(void) { return 0; }\n' >"$probe.c"
cc -fsanitize=address -o "$probe" "$probe.c"
if ! "$probe" 2>/dev/null; then
	# Inside some containers the leak checker may not trace its own process.
	export ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
	count_skip "leak detection: not permitted on this machine"
fi

shopt -s nullglob
cd "$top"
sources=(test/unit/test_*.c)
programs=("${sources[@]#test/}")
programs=("${programs[@]%.c}")
run_programs sanitize/unit ${programs[@]+"${programs[@]/#/build/sanitize/}"}
sources=(test/fuzz/fuzz_*.c)
programs=("${sources[@]#test/}")
programs=("${programs[@]%.c}")
run_programs sanitize/fuzz ${programs[@]+"${programs[@]/#/build/sanitize/}"}
count_report
