# The two commands of the README, and what developers use beside them.
SHELL := /bin/bash
DATA_DIR ?= /var/lib/coxswain
TARGET := x86_64-unknown-linux-gnu
# Static: no C library, no names service, nothing beside the binary at run time. The tests run it so, too.
export RUSTFLAGS := -C target-feature=+crt-static
export CARGO_BUILD_TARGET := $(TARGET)
BINARY := target/$(TARGET)/release/coxswain

.PHONY: up down test lint build setup tools smoke

## make up: everything from nothing to a workload that answers
up: build tools
	scripts/up.sh $(BINARY) $(DATA_DIR)

down:
	$(BINARY) down --data-dir $(DATA_DIR)

build: setup
	cargo build --release --locked -p coxswain

## make test: format, lints, and all tests, the ones with real containers and the real kubectl included
test: setup tools
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo test --locked --workspace

lint: setup
	scripts/lint.sh

setup:
	scripts/setup.sh

tools:
	scripts/tools.sh

## make smoke: a small set of upstream's conformance tests against a cluster of our own
smoke: build tools
	scripts/conformance.sh smoke

## make conformance [FOCUS=regex]: upstream's conformance tests, recorded in conformance/ledger.tsv
.PHONY: conformance
conformance: build tools
	scripts/conformance.sh $(if $(FOCUS),'$(FOCUS)')
