#!/usr/bin/env bash
# fuzz.sh: libFuzzer on every target of test/fuzz, SECONDS_EACH seconds (60); needs clang. What it finds stays in
# build/fuzz-found; put the bytes into test/fuzz/corpus/TARGET with the fix.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

MAKE="${MAKE:-make}" "$top/tools/setup.sh" build fuzz
cd "$top"
shopt -s nullglob
checks="address,undefined -fno-sanitize-recover=all"
build BUILD=build/libfuzzer CC=clang CORE_EXTRA="-O1 -fsanitize=fuzzer-no-link,$checks" build/libfuzzer/libmirage_core.a
mkdir -p build/fuzz-found
for source in test/fuzz/fuzz_*.c; do
	name=$(basename "$source" .c)
	clang -std=gnu11 -g -O1 -Isrc -fsanitize=fuzzer,$checks -o "build/libfuzzer/$name" \
		"$source" build/libfuzzer/libmirage_core.a -lcrypto -lm -lpthread
	mkdir -p "build/libfuzzer/corpus/$name"
	corpus=("build/libfuzzer/corpus/$name")
	[ ! -d "test/fuzz/corpus/$name" ] || corpus+=("test/fuzz/corpus/$name")
	if "build/libfuzzer/$name" -max_total_time="${SECONDS_EACH:-60}" -artifact_prefix="build/fuzz-found/$name-" \
		-verbosity=0 "${corpus[@]}"; then
		count_pass
	else
		count_fail "$name: see build/fuzz-found"
	fi
done
count_report
