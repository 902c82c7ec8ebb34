# The commands of this repository. `make` lists them; each does its own set-up below target/.

SHELL := bash
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

export CARGO_TARGET_DIR := $(CURDIR)/target
PYTHON := target/venv/bin/python
TOOLS := tests/tools

# make demo ETCD=HOST:PORT uses that etcd; COORDINATORS=c,go,py mixes languages.
ETCD ?=
COORDINATORS ?= c

# What `make test` runs, in this order: `make test-NAME` each. To add one, write its target and name it here.
TESTS := rust contract tools demo

.PHONY: help
help: ## list the commands
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' Makefile | sort | awk -F'\t' '{ printf "make %-14s %s\n", $$1, $$2 }'

# Building

.PHONY: build
build: ## the C library, for release: target/release/libprimacy.so and .a
	cargo build --release --package primacy-c

.PHONY: header
header: ## write include/primacy.h anew from the Rust sources
	PRIMACY_WRITE_HEADER=1 cargo test --quiet --package primacy-c --test header

# Optimised, but without the release's link-time optimisation, which takes minutes: see Cargo.toml.
.PHONY: library
library:
	cargo build --profile demo --package primacy-c

.PHONY: coordinators
coordinators: target/coordinators/c target/coordinators/client ## the sample coordinators, into target/coordinators/

# Linked to the static archive: they run from anywhere.
CFLAGS ?= -O2 -g
SYSTEM_LIBRARIES := -lpthread -ldl -lm
target/coordinators/%: library
	@mkdir -p $(@D)
	$(CC) -std=c11 -Wall -Wextra $(CFLAGS) -Iinclude -o $@ $(SOURCE) target/demo/libprimacy.a $(SYSTEM_LIBRARIES)
target/coordinators/c: SOURCE = bindings/c/examples/coordinator.c
target/coordinators/client: SOURCE = bindings/c/examples/client.c

.PHONY: dev-etcd
dev-etcd: ## primacy's own server for development: target/demo/primacy-dev-etcd
	cargo build --profile demo --package primacy --bin primacy-dev-etcd

.PHONY: etcd
etcd: ## the newest etcd, into target/tools/etcd
	@$(TOOLS)/etcd

.PHONY: venv
venv:
	@$(TOOLS)/venv

# Running

.PHONY: demo
demo: coordinators venv ## three candidates of four roles on a real etcd, killed, ended and paused; ETCD=HOST:PORT|embedded
	@PYTHONPATH=$(TOOLS) $(PYTHON) -m demo --coordinators "$(COORDINATORS)" $(if $(ETCD),--etcd "$(ETCD)")

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
test-rust: ## engine, driver, C library
	cargo test --workspace

.PHONY: test-contract
test-contract: coordinators etcd venv ## the sample coordinators keep their contract
	$(PYTHON) -m pytest tests/contract

.PHONY: test-tools
test-tools: venv ## the demo judges as it should
	$(PYTHON) -m pytest $(TOOLS)

.PHONY: test-demo
test-demo: demo ## the demo's own verdict

.PHONY: check
check: venv ## format, lints, types
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	$(PYTHON) -m ruff format --check tests tests/tools/etcd
	$(PYTHON) -m ruff check tests tests/tools/etcd
	$(PYTHON) -m mypy --config-file tests/pyproject.toml tests tests/tools/etcd

.PHONY: clean
clean: ## remove all that was built and fetched
	rm -rf target
