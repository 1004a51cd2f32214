#!/usr/bin/env bash
# check-layers.sh [--self-test]: proves the direction of dependencies, in the sources and in what was linked.
#
#   sources   who includes what, and which calls are made where (check-layers.pl)
#   link      the core links with the C library, libm and OpenSSL alone; the module exports its SQL functions and no
#             more; neither holds a symbol of the tests, above all not the seedable source of noise
#
# --self-test plants each kind of violation in a copy of the sources and fails unless it is caught by name.
# The last line is `N passed, N failed, N skipped`.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

scratch=$(mktemp -d "${TMPDIR:-/tmp}/pg_mirage_layers.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# check WHAT OUTPUT-FILE EXIT-CODE
check()
{
	if [ "$3" = 0 ]; then
		count_pass
		printf '%-44s %s\n' "$1" ok
	else
		count_fail "$1"
		printf '%-44s %s\n' "$1" FAILED
		sed 's/^/    /' "$2"
	fi
}

# core_links ARCHIVE: true when nothing is undefined but what the C library, libm and OpenSSL give
core_links()
{
	cc -shared -o "$scratch/whole.so" -Wl,--whole-archive "$1" -Wl,--no-whole-archive -Wl,-z,defs -lcrypto -lm -lpthread
}

# no_test_symbols FILE HELPER-OBJECT...: true when FILE defines nothing called like a test's and nothing that a helper
# defines
no_test_symbols()
{
	local file=$1 found
	shift
	nm --defined-only "$file" 2>/dev/null | awk 'NF == 3 {print $3}' | sort -u >"$scratch/defined"
	if [ ! -s "$scratch/defined" ]; then
		echo "$file holds no symbols to look at"
		return 1
	fi
	found=$(grep -iE 'seeded|test_?noise|for_tests?$|^test_|^__(wrap|real)_' "$scratch/defined" || true)
	if [ $# -gt 0 ]; then
		nm --defined-only --extern-only "$@" 2>/dev/null | awk 'NF == 3 {print $3}' | sort -u >"$scratch/helpers"
		found="$found $(comm -12 "$scratch/defined" "$scratch/helpers" | tr '\n' ' ')"
	fi
	[ -z "${found// /}" ] || { echo "symbols of the tests in $file: $found"; return 1; }
}

# exports_only_functions MODULE
exports_only_functions()
{
	local s wrong=
	nm -D --defined-only "$1" | awk 'NF == 3 {print $3}' | sort -u >"$scratch/exports"
	grep -qx Pg_magic_func "$scratch/exports" || { echo "$1 is no module"; return 1; }
	while read -r s; do
		case $s in
			Pg_magic_func | _PG_init | _PG_fini | pg_finfo_*) ;;
			# What a background worker starts with is found by name, as a V1 function is.
			*_worker_main) ;;
			*) grep -qx "pg_finfo_$s" "$scratch/exports" || wrong="$wrong $s" ;;
		esac
	done <"$scratch/exports"
	[ -z "$wrong" ] || { echo "$1 exports more than SQL functions:$wrong"; return 1; }
}

self_test()
{
	local h rc
	# plant RULE FILE[@WHERE] TEXT...: TEXT is appended to FILE of a fresh copy of the sources; RULE must be what is
	# reported there, or in WHERE.
	plant()
	{
		local rule=$1 file=${2%@*} where=${2#*@} tree=$scratch/tree rc=0
		shift 2
		rm -rf "$tree"
		mkdir -p "$tree"
		cp -r "$top/src" "$tree/src"
		mkdir -p "$tree/src/$(dirname "$file")"
		# What a violation names must be there, whatever the tree holds today.
		mkdir -p "$tree/src"/{table,curator,num,privacy,model,synthesis,pg,neural,graphical,worker,api}
		for h in table/count.h privacy/noise.h privacy/noise_private.h curator/curator.h curator/curator_private.h \
			num/rng.h model/model.h pg/server.h neural/layer.h graphical/junction.h worker/worker.h \
			synthesis/synthesis.h; do
			[ -e "$tree/src/$h" ] || echo "/* planted */" >"$tree/src/$h"
		done
		grep -q curator/curator.h "$tree/src/model/model.h" ||
			echo '#include "curator/curator.h"' >>"$tree/src/model/model.h"
		printf '%s\n' "$@" >>"$tree/src/$file"
		perl "$top/tools/check-layers.pl" "$tree" >"$scratch/out" 2>&1 || rc=$?
		if [ "$rc" = 1 ] && grep -q "^$rule: src/$where:" "$scratch/out"; then rc=0; else rc=1; fi
		check "planted: $rule in ${file#src/}" "$scratch/out" "$rc"
	}

	plant server-header base/planted.c '#include "postgres.h"'
	plant server-header num/planted.c '#include <postgres.h>'
	plant server-header model/planted.c '#include "utils/memutils.h"'
	plant server-header table/planted.c '# include <libpq-fe.h>'
	plant direction num/planted.c '#include "privacy/noise.h"'
	plant direction curator/planted.c '#include "model/model.h"'
	plant direction seal/planted.c '#include "num/rng.h"'
	plant direction graphical/planted.c '#include "neural/layer.h"'
	plant direction neural/planted.c '#include "graphical/junction.h"'
	plant direction synthesis/planted.c '#include "pg/server.h"'
	plant direction pg/planted.c '#include "worker/worker.h"'
	plant direction emit/planted.c '#include "worker/worker.h"'
	# by a detour: a header of base that reaches synthesis
	plant direction base/planted.h '#include "synthesis/synthesis.h"'
	plant exact-counting model/planted.c '#include "table/count.h"'
	plant exact-counting pg/planted.c '#include "table/count.h"'
	# through the curator's public header
	plant exact-counting curator/curator.h@model/model.h '#include "table/count.h"'
	plant private-header graphical/planted.c '#include "curator/curator_private.h"'
	plant private-header curator/planted.c '#include "privacy/noise_private.h"'
	plant fast-generator privacy/planted.c '#include "num/rng.h"'
	plant fast-generator curator/planted.c '#include "num/rng.h"'
	plant fast-generator table/planted.h '#include "num/rng.h"'
	plant server-call model/planted.c 'static void f(void) { ereport(ERROR, (errmsg("x"))); }'
	plant server-call base/planted.c 'static void *f(void) { return palloc0(1); }'
	plant server-call curator/planted.c 'static void f(void) { CHECK_FOR_INTERRUPTS(); }'
	plant no-jump privacy/planted.c 'static void f(void) { abort(); }'
	plant no-jump seal/planted.c 'static void f(void) { printf("x"); }'
	plant entry-point emit/planted.c 'PG_FUNCTION_INFO_V1(planted);'
	plant entry-point worker/planted.c 'MG_FUNCTION(planted);'
	plant entry-point api/planted.c 'PG_MODULE_MAGIC;'
	plant error-map worker/planted.c 'static void f(mg_ctx *ctx) { ereport(ERROR, (errmsg("%s", ctx->message))); }'
	plant fast-math num/planted.c '#pragma GCC optimize ("fast-math")' '__attribute__((optimize("O3"))) int planted;'
	plant include base/planted.c '#include HEADER'
	plant folder oddments/planted.c 'int planted;'
	plant folder planted.c 'int planted;'

	# Comments and strings are no violations.
	rc=0
	rm -rf "$scratch/tree"
	mkdir -p "$scratch/tree/src/base"
	printf '%s\n' '/* never palloc() here; #include "postgres.h"' '#include "postgres.h" */' \
		'// ereport' 'const char *planted = "palloc(1) /* PG_FUNCTION_INFO_V1 ";' '#include <stdint.h>' \
		>"$scratch/tree/src/base/planted.c"
	perl "$top/tools/check-layers.pl" "$scratch/tree" >"$scratch/out" 2>&1 || rc=$?
	check "not planted: words in comments and strings" "$scratch/out" "$rc"

	# What is linked.
	caught()
	{
		local what=$1 rc=0
		shift
		"$@" >"$scratch/out" 2>&1 && rc=1
		check "planted: $what" "$scratch/out" "$rc"
	}
	archive()
	{
		printf '%s\n' "$2" | cc -x c -c -fPIC -o "$scratch/$1.o" -
		rm -f "$scratch/$1.a"
		ar rcs "$scratch/$1.a" "$scratch/$1.o"
	}
	archive undefined 'extern void *palloc(unsigned long); void *planted(void) { return palloc(1); }'
	caught "a server's symbol in the core" core_links "$scratch/undefined.a"
	archive seeded 'int mg_noise_create_seeded(void) { return 1; }'
	caught "a seedable source of noise in the core" no_test_symbols "$scratch/seeded.a"
	archive helper 'int fixed_source(void) { return 1; }'
	archive core 'int fixed_source(void) { return 1; }'
	caught "a symbol of a test helper in the core" no_test_symbols "$scratch/core.a" "$scratch/helper.o"
	archive wrapped 'int __wrap_mg_discrete_laplace(void) { return 0; }'
	caught "a sabotaged mechanism in the core" no_test_symbols "$scratch/wrapped.a"
	archive empty 'typedef int planted;'
	caught "an archive without symbols" no_test_symbols "$scratch/empty.a"
	printf '%s\n' 'int Pg_magic_func(void) { return 1; } int leaked(void) { return 1; }' |
		cc -x c -shared -fPIC -o "$scratch/open.so" -
	caught "a module that exports a helper" exports_only_functions "$scratch/open.so"
	archive clean '#include <math.h>
		double planted(double x) { return exp(x); }'
	rc=0
	{ core_links "$scratch/clean.a" && no_test_symbols "$scratch/clean.a"; } >"$scratch/out" 2>&1 || rc=1
	check "not planted: a clean archive" "$scratch/out" "$rc"
}

if [ "${1:-}" = --self-test ]; then
	self_test
else
	rc=0
	perl "$top/tools/check-layers.pl" "$top" >"$scratch/out" 2>&1 || rc=$?
	check "sources" "$scratch/out" "$rc"

	cd "$top"
	build all
	core=build/libmirage_core.a
	helpers=()
	for f in test/unit/*.c; do
		case $f in test/unit/test_* | 'test/unit/*.c') continue ;; esac
		helpers+=("build/unit/$(basename "$f" .c).o")
	done
	if [ ${#helpers[@]} -gt 0 ] && build "${helpers[@]}" >/dev/null 2>&1; then :; else helpers=(); fi
	rc=0; core_links "$core" >"$scratch/out" 2>&1 || rc=$?
	check "the core needs no server" "$scratch/out" "$rc"
	rc=0; no_test_symbols "$core" ${helpers[@]+"${helpers[@]}"} >"$scratch/out" 2>&1 || rc=$?
	check "the core holds no seedable noise and no sabotage" "$scratch/out" "$rc"
	rc=0; no_test_symbols pg_mirage.so ${helpers[@]+"${helpers[@]}"} >"$scratch/out" 2>&1 || rc=$?
	check "nor does the module" "$scratch/out" "$rc"
	rc=0; exports_only_functions pg_mirage.so >"$scratch/out" 2>&1 || rc=$?
	check "the module exports its SQL functions only" "$scratch/out" "$rc"
fi
count_report
