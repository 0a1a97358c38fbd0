# Everything a newcomer runs. Each target installs what is missing first, and says what it does.
#
#   make demo        a network of 14 real nodes on this machine: add a file, kill and wipe 8 nodes, get the file back
#   make test        lints and the whole fast suite
#   make test-long   what takes minutes: 1,000 simulated worlds, 200 kills, 4 GiB
#   make bench       what each stage costs (criterion)
#   make check       formatting and lints alone
#   make build       the two commands, in target/release

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build demo test test-long bench check clean

CARGO ?= cargo
BIN := target/release

help:
	@sed -n 's/^#   //p' Makefile

# RocksDB is compiled from source: a C++ compiler, and libclang to read its header. Nothing else comes from outside cargo.
setup:
	@.ci/setup

build: setup
	@echo "==> building ostrakon and ostrakon-node (the first time about 12 minutes on 2 cores: RocksDB is most of it)"
	$(CARGO) build --release --locked --workspace --bins

demo: build
	@$(BIN)/ostrakon demo

check: setup
	@echo "==> formatting and lints"
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings

test: check build
	@echo "==> tests"
	$(CARGO) test --release --locked --workspace

test-long: build
	@echo "==> the long suite: every scenario at full size"
	OSTRAKON_LONG=1 OSTRAKON_SEEDS=1000 $(CARGO) test --release --locked --workspace -- --nocapture

bench: setup
	$(CARGO) bench --locked -p ostrakon-benches

clean:
	$(CARGO) clean
