# The commands of this repository. `make` lists them; each does its own set-up below target/.

SHELL := bash
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

export CARGO_TARGET_DIR := $(CURDIR)/target
PYTHON := target/venv/bin/python
TOOLS := tools
# Go, as $(TOOLS)/go finds or gets it.
export PATH := $(CURDIR)/target/tools/bin:$(PATH)

# make demo ETCD=HOST:PORT uses that etcd; COORDINATORS=c,go,py mixes languages.
ETCD ?=
COORDINATORS ?= c
COMMA := ,
# Those of a list that are ours to build; others are programs of somebody else's.
coordinators_in = $(patsubst %,target/coordinators/%,$(filter c go go-lent py,$(subst $(COMMA), ,$(1))))

GO_MODULES := go go/etcdclient go/etcdclient/internal/embedded go/etcdfence go/grpcresolver go/sessionutil

# What `make test` runs, in this order: `make test-NAME` each. To add one, write its target and name it here.
TESTS := rust mutations kit contract failover demo python deploy go

.PHONY: help
help: ## list the commands
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' Makefile | sort | awk -F'\t' '{ printf "make %-14s %s\n", $$1, $$2 }'

# Building

.PHONY: build
build: ## the C library, for release: target/release/libprimacy.so and .a; EMBEDDED=1 with mem://
	cargo build --release --package primacy-c --no-default-features $(if $(EMBEDDED),--features embedded)

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
BINDIR ?= $(PREFIX)/bin
INCLUDEDIR ?= $(PREFIX)/include
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)

.PHONY: install
install: build command ## the C library, header, .pc and the program `primacy`, below PREFIX=/usr/local; DESTDIR=, LIBDIR=, BINDIR=, INCLUDEDIR=
	PREFIX="$(PREFIX)" LIBDIR="$(LIBDIR)" INCLUDEDIR="$(INCLUDEDIR)" DESTDIR="$(DESTDIR)" \
		$(TOOLS)/install-library target/release "$(VERSION)"
	install -D -m 755 target/primacy "$(DESTDIR)$(BINDIR)/primacy"

.PHONY: header
header: ## write include/primacy.h anew from the Rust sources
	PRIMACY_BLESS=1 cargo test --quiet --package primacy-c --test header

.PHONY: pages
pages: ## write anew what pages repeat from the code: the settings, the README's quick start
	PRIMACY_BLESS=1 cargo test --quiet --package primacy --test pages

# Optimised, but without the release's link-time optimisation, which takes minutes: see Cargo.toml.
.PHONY: library
library:
	@[ -e target/demo/libprimacy.a ] || echo "building the library, optimised; the first time this takes minutes"
	@cargo build --quiet --profile demo --package primacy-c

.PHONY: coordinators
coordinators: $(addprefix target/coordinators/,c client go go-lent py) ## the sample coordinators, into target/coordinators/

# Linked to the static archive: they run from anywhere.
CFLAGS ?= -O2 -g
SYSTEM_LIBRARIES := -lgcc_s -lutil -lrt -lpthread -lm -ldl
target/demo/libprimacy.a: library ;
target/coordinators/c: bindings/c/examples/coordinator.c
target/coordinators/client: bindings/c/examples/client.c
target/coordinators/c target/coordinators/client: target/demo/libprimacy.a include/primacy.h
	@mkdir -p $(@D)
	@$(CC) -std=c11 -Wall -Wextra $(CFLAGS) -Iinclude -o $@ $(filter %.c,$^) $< $(SYSTEM_LIBRARIES)

# What the Go package links to: in it only primacy_* is global, so that it links beside other Rust libraries.
.PHONY: go-library
go-library: library
	@$(TOOLS)/go >/dev/null
	@mkdir -p go/lib/linux_amd64
	@cmp -s include/primacy.h go/lib/linux_amd64/primacy.h || cp include/primacy.h go/lib/linux_amd64/primacy.h
	@[ go/lib/linux_amd64/libprimacy.a -nt target/demo/libprimacy.a ] || \
		$(TOOLS)/prelink target/demo/libprimacy.a go/lib/linux_amd64/libprimacy.a

.PHONY: go
go: go-library ## the Go packages and their examples
	@set -e; for module in $(GO_MODULES); do (cd $$module && go build ./...); done
	cd go/sessionutil && go build -o ../../target/examples/mixcoord ./examples/mixcoord

# Removed first, since to Go a program whose archive alone has changed is up to date.
.PHONY: target/coordinators/go
target/coordinators/go: go-library
	@mkdir -p $(@D)
	@rm -f $@
	@cd go && go build -o ../$@ ./examples/coordinator

# As a host that lends its own etcd client: also for `make failover COORDINATORS=go-lent`.
.PHONY: target/coordinators/go-lent
target/coordinators/go-lent: go-library
	@mkdir -p $(@D)
	@rm -f $@
	@cd go/etcdclient && go build -o ../../$@ ./coordinator

# The package in target/venv, from this folder: changes of its Python are there at once.
.PHONY: python
python: venv ## the Python package, into target/venv
	cd python && VIRTUAL_ENV=$(CURDIR)/target/venv ../target/venv/bin/maturin develop --quiet --profile demo

# Linked statically: for any image, whatever its libc, and LD_PRELOAD does not touch it.
.PHONY: command
command: ## the program `primacy` for operators, which has the crash guard and a server for development: target/primacy
	@CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static" \
		cargo build --quiet --profile demo --target x86_64-unknown-linux-gnu --package primacy-command
	@strip -o target/primacy target/x86_64-unknown-linux-gnu/demo/primacy

.PHONY: wheel
wheel: venv ## a wheel for CPython 3.9 and later: target/wheels
	cd python && ../target/venv/bin/maturin build --release --out ../target/wheels

.PHONY: target/coordinators/py
target/coordinators/py: python
	@mkdir -p $(@D)
	@printf '#!/bin/sh\nexec "%s" "%s" "$$@"\n' "$(CURDIR)/$(PYTHON)" "$(CURDIR)/python/examples/coordinator.py" >$@.new
	@chmod +x $@.new && mv $@.new $@

.PHONY: etcd
etcd: venv ## the newest etcd, into target/tools/etcd
	@$(TOOLS)/etcd

.PHONY: etcdctl
etcdctl: venv ## its client, into target/tools/etcdctl
	@$(TOOLS)/etcd --ctl

.PHONY: etcd-versions
etcd-versions: ## the older ones that the guarantees are shown on as well
	@for version in 3.4 3.5.35 3.6.16; do $(TOOLS)/etcd $$version || exit; done

.PHONY: venv
venv:
	@$(TOOLS)/venv

# Running

.PHONY: demo
demo: $(call coordinators_in,$(COORDINATORS)) target/coordinators/client venv ## three candidates of four roles on a real etcd, killed, ended and paused; ETCD=HOST:PORT|embedded
	@PYTHONPATH=tests:python $(PYTHON) -m demo --coordinators "$(COORDINATORS)" $(if $(ETCD),--etcd "$(ETCD)")

# Testing

.PHONY: test
test: ## everything that must hold
	@failed=; for name in $(TESTS); do \
		printf '\n==== test-%s\n' "$$name"; start=$$SECONDS; \
		$(MAKE) "test-$$name" && end=passed || { end=FAILED; failed="$$failed $$name"; }; \
		printf '==== test-%s %s in %d s\n' "$$name" "$$end" $$((SECONDS - start)); \
	done; \
	printf '\n'; if [ -n "$$failed" ]; then echo "make test: failed:$$failed"; exit 1; fi; \
	echo "make test: passed: $(TESTS)"

.PHONY: test-rust
# The same random scripts each time; `make conformance` draws new ones.
test-rust: etcd etcdctl ## engine, 20,000 seeds of its simulation, driver, C library, on a real etcd
	@$(TOOLS)/need c++=g++ openssl strace # the header must please C++ as well; certificates; a slow disk
	SEEDS=20000 PRIMACY_CONFORMANCE_SEED=15474 cargo test --workspace --no-fail-fast

.PHONY: test-mutations
test-mutations: venv ## the most feared mistakes in the engine are noticed; `make mutations mutations-host` tries them all
	$(PYTHON) tests/mutations/run.py --sample

# Not those that measure memory themselves, or whose panics need the library for tests.
C_PROGRAMS = cargo test --package primacy-c --test programs -- --skip elections_cost --skip two_rust --skip exported
VALGRIND = valgrind --quiet --trace-children=yes --fair-sched=yes --error-exitcode=9 \
	--suppressions=$(CURDIR)/tests/c/valgrind.supp --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite

.PHONY: test-c-memory
test-c-memory: etcd library ## the C programs under AddressSanitizer, UBSan and valgrind
	@$(TOOLS)/need c++=g++ valgrind
	PRIMACY_CFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=all" \
		PRIMACY_RANDOM_CALLS=500000 PRIMACY_ROUNDS=100 $(C_PROGRAMS)
	PRIMACY_C_UNDER="$(VALGRIND)" PRIMACY_PROFILE=demo \
		PRIMACY_RANDOM_CALLS=50000 PRIMACY_ROUNDS=20 $(C_PROGRAMS) --test-threads 1

.PHONY: test-contract
test-contract: $(call coordinators_in,$(COORDINATORS)) etcd venv ## the sample coordinators keep their contract
	$(PYTHON) -m pytest tests/contract --primacy-coordinator "$(COORDINATORS)"

.PHONY: test-kit
test-kit: venv ## the fault kit judges as it should
	$(PYTHON) -m pytest tests/kit

# Several tests at a time: nearly all of their time is waiting for a lease to run out.
FAILOVER = $(PYTHON) -m pytest --primacy-report "$(REPORT)" -n 4 --dist worksteal
REPORT ?= target/failover.html
ALL_LANGUAGES := c,go,py

# Where these can not be had, tests that want them are left out, and say so.
.PHONY: machine-tools
machine-tools:
	@$(TOOLS)/need openssl
	@$(TOOLS)/need ip=iproute2 faketime || true

.PHONY: test-failover
test-failover: coordinators command etcd etcd-versions machine-tools venv ## the short ones of `make failover`
	$(FAILOVER) --primacy-coordinator "$(COORDINATORS)" -m short tests/failover

.PHONY: failover
failover: coordinators command etcd etcd-versions machine-tools venv ## everything done to real etcds and coordinators in all languages, or COORDINATORS=c; a page of it: REPORT=target/failover.html
	$(FAILOVER) --primacy-coordinator "$(if $(filter file,$(origin COORDINATORS)),$(ALL_LANGUAGES),$(COORDINATORS))" tests/failover

# How often each of 24 kinds stands still: 20 times for each version of etcd and TTL.
WAKES ?= 5
# With RULE=off the library believes what they acknowledge, and the suite must find that out.
BELIEVER := target/mutations/coordinator-an_acknowledgement_counts_unconfirmed

.PHONY: stalled-leader
stalled-leader: REPORT = target/stalled-leader.html
stalled-leader: $(if $(filter off,$(RULE)),$(BELIEVER),coordinators) etcd etcd-versions venv ## leaders of etcd stand still and go on, WAKES=5 of each kind; RULE=off: the library's rule against it taken out, so that it must fail
	$(FAILOVER) -n 6 --wakes "$(WAKES)" -k test_a_primary tests/failover/test_stalled_leader.py \
		--primacy-coordinator "$(if $(filter off,$(RULE)),$(BELIEVER),$(COORDINATORS))"

.PHONY: $(BELIEVER)
$(BELIEVER): venv
	$(PYTHON) tests/mutations/coordinator.py $(@:target/mutations/coordinator-%=%)

.PHONY: test-demo
test-demo: demo ## the demo's own verdict

.PHONY: test-deploy
test-deploy: command python etcd ## the manifests of deploy/ are what Kubernetes, Compose and systemd read, and what they run works
	@$(TOOLS)/need systemd-analyze=systemd
	@$(TOOLS)/go >/dev/null
	cd tools/check-deploy && go run . $(CURDIR)/deploy/kubernetes.yaml $(CURDIR)/deploy/compose.yaml
	$(PYTHON) -m pytest tests/deploy

.PHONY: test-go
test-go: go target/coordinators/go etcd venv ## the Go packages; `make test-go-memory` does the rest
	@$(TOOLS)/need pkg-config
	tests/go/test-go format vet static none race dynamic
	tests/go/two-libraries
	tests/go/beside-milvus
	$(PYTHON) -m pytest -n 4 tests/contract tests/adapter --primacy-coordinator go

.PHONY: test-go-memory
test-go-memory: go target/coordinators/go etcd ## the Go package under cgocheck2, GOGC=1 and AddressSanitizer
	tests/go/test-go cgocheck gogc asan

.PHONY: bench-go
bench-go: go etcd ## what the Go package costs, in the form that benchstat reads
	cd go && go test -run '^$$' -bench . -count 10 . ./internal/callback
	cd go/etcdfence && go test -run '^$$' -bench BinarySize -benchtime 1x
	cd go/etcdclient && go test -run '^$$' -bench Takeover -benchtime 500x

.PHONY: bench-python
bench-python: python ## what a look at is_primary costs from Python
	$(PYTHON) python/benchmarks/is_primary.py

# EXITS=100: how often each way to end an interpreter is tried.
EXITS ?= 4

.PHONY: test-python
test-python: target/coordinators/py etcd ## the Python package, and that its sample coordinator keeps the contract
	cd python && ../$(PYTHON) -m pytest --exits $(EXITS)
	cd python && ../$(PYTHON) -m mypy.stubtest primacy
	$(PYTHON) -m pytest -n 4 tests/contract/test_coordinator.py tests/adapter --primacy-coordinator py

.PHONY: check
check: venv circles ## format, lints, types, imports
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	$(PYTHON) -m ruff format --check deploy tests python tools/etcd
	$(PYTHON) -m ruff check deploy tests python tools/etcd
	$(PYTHON) -m mypy --config-file tests/pyproject.toml deploy tests tools/etcd
	cd python && ../$(PYTHON) -m mypy primacy benchmarks examples tests

.PHONY: circles
circles: venv ## no two files of a crate or a package import each other, not by way of others either
	$(PYTHON) tests/circles.py

.PHONY: doc
doc: ## the documentation of the crates: every link in it leads somewhere
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --quiet --workspace --no-deps --document-private-items

MSRV = $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
.PHONY: msrv-toolchain
msrv-toolchain:
	rustup toolchain install --no-self-update --profile minimal $(MSRV)

.PHONY: msrv
msrv: msrv-toolchain ## the oldest Rust that Cargo.toml names, as rustup has it, builds all of it
	CARGO_TARGET_DIR=target/msrv cargo +$(MSRV) check --quiet --locked --workspace --all-targets

DENY := target/tools/cargo-deny/bin/cargo-deny
$(DENY):
	cargo install --quiet --locked --root target/tools/cargo-deny cargo-deny@0.20.2

.PHONY: deny
deny: $(DENY) ## licences, sources and duplicates of the crates that the library is built of; ADVISORIES=1: what is known against them, too, where GitHub can be reached
	$(DENY) check --hide-inclusion-graph licenses bans sources $(if $(ADVISORIES),advisories)

# Longer than `make test` takes the time for

.PHONY: fresh
fresh: ## `make demo` and `make test` on a fresh machine: a bare Debian in target/fresh, a clean clone; as root, takes an hour
	@$(TOOLS)/fresh demo test

SEEDS ?= 100000
.PHONY: sim
sim: ## the engine's simulation: SEEDS=n of them
	SEEDS=$(SEEDS) cargo test --quiet --profile sim --package primacy-model --test simulation

.PHONY: mutations
mutations: venv ## the engine with one mistake at a time: transcripts or simulation notice each; takes half an hour
	$(PYTHON) tests/mutations/run.py

.PHONY: mutations-host
mutations-host: go-library python etcd ## the same with what surrounds it, in Rust, Go and Python: a test notices each; takes an hour
	$(PYTHON) tests/mutations/host.py

MUTANTS := target/tools/cargo-mutants/bin/cargo-mutants
$(MUTANTS):
	cargo install --quiet --locked --root target/tools/cargo-mutants cargo-mutants@27.1.0

SHARD ?= 0/40
MUTATE = $(MUTANTS) mutants --in-place --no-shuffle --shard $(SHARD) --minimum-test-timeout 120 \
	--dir target/mutations/tree --output target/mutants
.PHONY: cargo-mutants
cargo-mutants: $(MUTANTS) venv etcd ## what cargo-mutants can change in Rust, a shard of it: SHARD=0/40; hours in all
	$(PYTHON) tests/mutations/host.py --tree
	@mkdir -p target/mutants/{engine,host,c}
	@export CARGO_TARGET_DIR=$(CURDIR)/target/mutations/tree/target; failed=; \
	$(MUTATE)/engine --package primacy-engine -- --lib --test transcripts || failed=1; \
	$(MUTATE)/host --package primacy -e 'src/embedded/**' -e src/bin \
		-- --lib --test session --test virtual_time || failed=1; \
	$(MUTATE)/c --package primacy-c -- --lib --test programs || failed=1; \
	[ -z "$$failed" ]

.PHONY: exhaustive
exhaustive: ## all states of a few candidates with a fault or two, through the real engine; takes minutes
	cargo test --profile sim --package primacy-model --test exhaustive

MINUTES ?= 30
.PHONY: fuzz
fuzz: ## anything in the place of records, settings and answers, for MINUTES=30
	MINUTES=$(MINUTES) nice -n 19 cargo test --profile sim --package primacy --test fuzz -- --nocapture

.PHONY: conformance
conformance: etcd ## the embedded etcd answers as real ones do
	@for version in 3.4 3.5.35 3.6.16 3.7.3; do $(TOOLS)/etcd $$version; done
	PRIMACY_CONFORMANCE_CASES=2000 cargo test --quiet --package primacy --test conformance

MILVUS ?=
LIST ?=
.PHONY: check-milvus
check-milvus: ## a tree of Milvus with our sessionutil in place of its own has no type errors: MILVUS=PATH; what it uses: LIST=FILE
	@[ -d "$(MILVUS)/internal/util/sessionutil" ] || { echo "check-milvus: set MILVUS to a checked-out tree of Milvus" >&2; exit 2; }
	@$(TOOLS)/go >/dev/null
	@cd tools/check-milvus && go build -o ../../target/tools/bin/check-milvus .
	@target/tools/bin/check-milvus $(if $(LIST),-list "$(LIST)") "$(MILVUS)" .
	@cd "$(MILVUS)" && git apply --check "$(CURDIR)/go/sessionutil/milvus.patch" && echo "milvus: the patch applies"

.PHONY: milvus-patch
milvus-patch: ## write go/sessionutil/milvus.patch anew: MILVUS=PATH
	@$(TOOLS)/milvus-patch "$(MILVUS)" >target/milvus.patch && mv target/milvus.patch go/sessionutil/milvus.patch

.PHONY: check-install
check-install: ## what `make install` puts there is what the README promises
	@$(TOOLS)/need pkg-config
	rm -rf target/installed
	@$(MAKE) install DESTDIR=$(CURDIR)/target/installed PREFIX=/usr
	$(TOOLS)/check-library target/installed /usr "$(VERSION)"

.PHONY: check-wheel
check-wheel: ## the wheel, and the package from its sources, in each Python from 3.9 on that is here
	rm -rf target/wheels
	@$(MAKE) wheel
	$(TOOLS)/check-wheel target/wheels/primacy-*.whl target/checked-wheels

# What is measured beside ours, what is many of ours, and what makes a program large.
.PHONY: target/bench/others
target/bench/others:
	@$(TOOLS)/go >/dev/null
	@mkdir -p $(@D)
	@cd tests/peers/others && go build -o ../../../$@ .

target/bench/crowd: tests/peers/crowd.c target/demo/libprimacy.a include/primacy.h
	@mkdir -p $(@D)
	@$(CC) -std=c11 -Wall -Wextra $(CFLAGS) -Iinclude -o $@ $< target/demo/libprimacy.a $(SYSTEM_LIBRARIES)

target/bench/heavy.so: tests/peers/heavy.c
	@mkdir -p $(@D)
	@$(CC) -std=c11 -Wall -Wextra -shared -fPIC -o $@ $<

# ROUNDS=100: how many handovers of each kind; of what takes longer, in proportion. ROUNDS=20 takes a quarter of an hour.
ROUNDS ?= 100
.PHONY: bench-peers
bench-peers: coordinators command target/bench/others target/bench/crowd target/bench/heavy.so etcd venv ## how fast the next one is primary, beside etcd's, Kubernetes' and Milvus's elections, by standbys and faults; writes docs/bench; ROUNDS=20: in a quarter of an hour
	@PYTHONPATH=tests:python $(PYTHON) -m peers --rounds $(ROUNDS)

# HOLD=120: how long primacy is looked at, in seconds.
HOLD ?= 120
.PHONY: bench-latency
bench-latency: target/coordinators/c target/bench/others etcd venv ## what a far or slow etcd costs, beside etcd's clientv3/concurrency; HOLD=120 s of primacy
	@$(TOOLS)/need strace
	$(PYTHON) tests/latency.py --hold $(HOLD)

# TIMES=200: how often etcd's leader is lost for each TTL.
TIMES ?= 200
.PHONY: survival
survival: target/coordinators/c etcd venv ## how often primacy outlives the loss of etcd's leader, by TTL; TIMES=200 for each
	$(PYTHON) tests/survival.py --times $(TIMES)

.PHONY: bench
bench: build etcd ## what a look at is_primary, a takeover and an idle standby cost; each with its bound
	@failed=; \
	PRIMACY_LIBRARY=$(CARGO_TARGET_DIR)/release/libprimacy.so \
		cargo bench --quiet --profile demo --package primacy-c --bench abi || failed=1; \
	cargo bench --quiet --profile demo --package primacy --bench costs || failed=1; \
	[ -z "$$failed" ]

# KILLS=100: how often a primary is killed.
KILLS ?= 100
.PHONY: bench-guard
bench-guard: target/coordinators/c command etcd venv ## how long after a SIGKILL with the guard the next one is primary, beside a revoke of etcd's
	$(PYTHON) -m pytest -q tests/failover/test_guard.py -k how_long --kills "$(KILLS)" --primacy-coordinator c

.PHONY: clean
clean: ## remove all that was built and fetched
	rm -rf target go/lib python/primacy/*.abi3.so
