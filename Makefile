# pg_mirage: builds, installs and tests the extension. `make help` lists the targets.
#
# Nothing here is needed beforehand but git, make and bash: where the compiler, the server or its development files
# are missing, the targets first call tools/setup.sh, which installs them once (apt, as root or by sudo) or names
# them. The core (pure C, no server) becomes build/libmirage_core.a, which the module and the unit tests link. Sources
# are found by wildcard: a new file in a folder is part of the build.

SHELL = /bin/bash
.DEFAULT_GOAL = all

EXTENSION = pg_mirage
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" pg_mirage.control)

PURE = base num privacy table curator model graphical neural synthesis seal watermark measure
SERVER = pg catalog worker emit api

BUILD = build
core_sources := $(foreach d,$(PURE),$(sort $(wildcard src/$(d)/*.c)))
server_sources := $(foreach d,$(SERVER),$(sort $(wildcard src/$(d)/*.c))) $(wildcard src/pg_mirage.c)
core_objects := $(core_sources:src/%.c=$(BUILD)/core/%.o)
server_objects := $(server_sources:src/%.c=$(BUILD)/server/%.o)
core = $(BUILD)/libmirage_core.a
core_libs = -lcrypto -lm -lpthread

# The server that we build for: one with its makefiles and its programs. Empty where there is none yet.
ifndef PG_CONFIG
PG_CONFIG := $(shell bash -c '. tools/lib.sh; find_pg_config' 2>/dev/null)
endif
PGXS := $(if $(PG_CONFIG),$(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null)))

.PHONY: setup help unit demo test bench fuzz check-layers sanitize lint format check-version

warnings = -Wall -Wextra -Wshadow -Wpointer-arith -Wvla -Wwrite-strings -Wmissing-prototypes -Wno-unused-parameter \
	-Wno-declaration-after-statement -Wno-missing-field-initializers \
	-Werror=implicit-function-declaration -Werror=incompatible-pointer-types -Werror=int-conversion \
	$(if $(filter-out 0,$(WERROR)),-Werror)
# Contraction off: a * b + c rounds the same way on every processor.
# What the optimiser believes to be uninitialised depends on its level: the sanitizers and cppcheck know better.
core_cflags = -std=gnu11 -g -O3 -fPIC -fvisibility=hidden -fstack-protector-strong -fno-omit-frame-pointer \
	-ffp-contract=off $(warnings) -Wno-maybe-uninitialized -Isrc -MMD -MP

ifneq ($(PGXS),)

MODULE_big = $(EXTENSION)
OBJS = $(server_objects)
DATA = $(wildcard src/sql/upgrade/$(EXTENSION)--*.sql)
DATA_built = $(EXTENSION)--$(EXTVERSION).sql
DOCS = README.md
DOCS := $(wildcard $(DOCS))
PG_CPPFLAGS = -Isrc -DMG_LIBRARY_VERSION='"$(EXTVERSION)"'
PG_CFLAGS = -std=gnu11 -fvisibility=hidden -ffp-contract=off $(warnings) -MMD -MP
SHLIB_LINK = $(core) $(core_libs)
EXTRA_CLEAN = $(BUILD) $(EXTENSION)--$(EXTVERSION).sql
# Bitcode would need clang and inlines nothing of ours.
override with_llvm = no

include $(PGXS)

# Warnings are about our code, not about the server's headers.
override CPPFLAGS := $(patsubst -I$(includedir_server),-isystem $(includedir_server),$(CPPFLAGS))

$(EXTENSION)$(DLSUFFIX): $(core)
all: $(core)

# Objects of another server's version, or another of ours, are made again when it changes.
stamp = $(BUILD)/server/version
server_identity = $(shell $(PG_CONFIG) --version) $(patsubst %/,%,$(dir $(PGXS))) $(EXTVERSION)
.PHONY: FORCE
$(stamp): FORCE
	@mkdir -p $(@D)
	@echo '$(server_identity)' | cmp -s - $@ || echo '$(server_identity)' >$@
$(server_objects): $(stamp)
$(server_objects): $(BUILD)/server/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CPPFLAGS) -fPIC -c -o $@ $<
.PHONY: server-objects
server-objects: $(server_objects)

else

# No server yet: install it, then go on with a makefile that can see it. Building alone needs less than testing.
.PHONY: all install
all install:
	@MAKE="$(MAKE)" tools/setup.sh build
	@$(MAKE) --no-print-directory $@ \
		SETUP_DONE=$(if $(SETUP_DONE),$(error no server with development files even after the set-up),1)

.PHONY: clean
clean:
	rm -rf $(BUILD) $(EXTENSION).so $(EXTENSION)--$(EXTVERSION).sql

endif

# The core, and programs that use nothing else.

$(core_objects): $(BUILD)/core/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(core_cflags) $(CORE_EXTRA) -c -o $@ $<

$(core): $(core_objects)
	@mkdir -p $(@D)
	rm -f $@
	$(AR) rcs $@ $(core_objects)

unit_programs := $(patsubst test/unit/%.c,$(BUILD)/unit/%,$(sort $(wildcard test/unit/test_*.c)))
unit_helpers := $(patsubst test/unit/%.c,$(BUILD)/unit/%.o,\
	$(filter-out test/unit/test_% test/unit/audit_%,$(sort $(wildcard test/unit/*.c))))
audit_helpers := $(patsubst test/unit/%.c,$(BUILD)/unit/%.o,$(sort $(wildcard test/unit/audit_*.c)))
# Calls that the linker sends to the wrappers of test/unit/audit_sabotage.c: in the program of the audits only.
audit_wrapped = mg_add_discrete_gaussian mg_discrete_laplace mg_exponential mg_partition_threshold mg_odometer_debit \
	mg_codes_load_number mg_codes_load_code mg_codes_load_text mg_codes_load_row mg_keyed_hash_wide \
	mgc_selection_sensitivity mgc_selection_squared_reach
fuzz_programs := $(patsubst test/fuzz/%.c,$(BUILD)/fuzz/%,$(sort $(wildcard test/fuzz/fuzz_*.c)))
bench_programs := $(patsubst test/bench/%.c,$(BUILD)/bench/%,$(sort $(wildcard test/bench/*.c)))
test_cflags = $(filter-out -O3 -fvisibility=hidden -fPIC,$(core_cflags)) -O2 -Itest/unit $(CORE_EXTRA)

$(BUILD)/unit/%.o: test/unit/%.c
	@mkdir -p $(@D)
	$(CC) $(test_cflags) -c -o $@ $<

$(unit_programs): $(BUILD)/unit/%: $(BUILD)/unit/%.o $(unit_helpers) $(core)
	$(CC) $(CORE_EXTRA) $(unit_link) -o $@ $(filter %.o,$^) $(core) -lcmocka $(core_libs)

$(BUILD)/unit/test_audit: $(audit_helpers)
$(BUILD)/unit/test_audit: unit_link = $(audit_wrapped:%=-Wl,--wrap=%)
# Memory that runs out when the test says so.
$(BUILD)/unit/test_fits: unit_link = -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc

# Fuzz targets in plain mode: their corpus, and a fixed number of mutations of it, without libFuzzer.
$(fuzz_programs): $(BUILD)/fuzz/%: test/fuzz/%.c test/fuzz/standalone.c $(core)
	@mkdir -p $(@D)
	$(CC) $(test_cflags) -o $@ $< test/fuzz/standalone.c $(core) $(core_libs)

$(bench_programs): $(BUILD)/bench/%: test/bench/%.c $(wildcard test/bench/*.h) $(core)
	@mkdir -p $(@D)
	$(CC) $(test_cflags) -o $@ $< $(core) $(core_libs)

.PHONY: unit-programs fuzz-programs bench-programs
unit-programs: $(unit_programs)
fuzz-programs: $(fuzz_programs)
bench-programs: $(bench_programs)
.SECONDARY: $(unit_programs:=.o) $(unit_helpers) $(audit_helpers)

-include $(core_objects:.o=.d) $(server_objects:.o=.d) $(unit_programs:=.d) $(unit_helpers:.o=.d) \
	$(audit_helpers:.o=.d) $(fuzz_programs:=.d)

# The install script, in the order of its parts' names.
sql_parts := $(sort $(wildcard src/sql/*.sql))
$(EXTENSION)--$(EXTVERSION).sql: $(sql_parts) pg_mirage.control META.json
	@tools/check-version.sh
	@cat $(sql_parts) >$@.new && mv $@.new $@

check-version:
	@tools/check-version.sh

# What a developer runs. Each installs what it needs first.

setup:
	@tools/setup.sh build test lint

unit:
	@ONLY=unit tools/test.sh

test:
	@tools/test.sh

demo:
	@CSV="$(CSV)" tools/demo.sh

bench:
	@tools/bench.sh

check-layers:
	@tools/setup.sh build
	@tools/check-layers.sh

sanitize:
	@tools/sanitize.sh

fuzz:
	@tools/fuzz.sh

lint:
	@tools/lint.sh

format:
	@. tools/lib.sh; tools/setup.sh lint; find src test -name '*.[ch]' -print0 | xargs -0 "$$(clang_format)" -i

help:
	@sed -n 's/^#: //p' Makefile

#: make                 the core library and the module
#: make install         into the server that pg_config belongs to (as root, where it is the system's)
#: make demo            a made-up table of hospital admissions, from budget to rows that are traced;
#:                      CSV=file.csv takes yours
#: make test            unit, regression, isolation and TAP tests in throwaway clusters;
#:                      ONLY="unit regress isolation tap" chooses kinds, TESTS="name ..." tests;
#:                      TEST_JOBS=1 runs them one at a time;
#:                      AUDIT_RUNS=10 has the audits of privacy take ten times as many runs
#: make unit            the tests of the core alone
#: make bench           ratios against plain SQL; BENCH="name ..." chooses scripts
#: make sanitize        unit tests and fuzz regressions under ASan and UBSan
#: make fuzz            libFuzzer on every target, SECONDS_EACH=60
#: make check-layers    who may include whom, and what the module may hold
#: make lint            layout, documents against what the server has, static analysis
#: make format          lays the C files out
#: make clean           removes everything that was built
#: make setup           installs what all of these need
