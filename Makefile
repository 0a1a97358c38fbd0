# Everything a newcomer runs. Each target installs what is missing first, and says what it does.
#
#   make demo           a network of 14 real nodes on this machine: add a file, kill and wipe 8 nodes, get the file back
#   make test           lints and the whole fast suite
#   make test-long      what takes long: 1,000 simulated worlds of each kind, 700 kills, 4 GiB
#   make bench          what each stage costs (criterion)
#   make bench-ledger   what a network of validators takes, from signature to disk: one table
#   make bench-compare  the whole beside cp, and beside Tahoe-LAFS and Garage where they are installed
#   make check          formatting and lints alone
#   make build          the two commands, in target/release

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build demo test test-long bench bench-ledger bench-compare check clean

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

# The whole workspace, although these are the benches of one crate: with fewer crates the features differ, and libp2p
# is built again.
bench: setup
	$(CARGO) bench --locked --workspace --bench proto --bench store --bench net --bench ledger

# About ten minutes; for less: make bench-ledger ARGS='--transfers 100000 --seconds 10', and ARGS=--help.
bench-ledger: build
	$(CARGO) bench --locked --workspace --bench ledger -- ledger/
	@$(BIN)/bench-ledger $(ARGS)

# About half an hour with both peers. Their installation is benches/compare/install-peers.sh; for less or other figures:
# make bench-compare ARGS='--sizes 64MiB --rounds 1 --only ostrakon-4-12', and ARGS=--help.
bench-compare: build
	@$(BIN)/bench-compare $(ARGS)

clean:
	$(CARGO) clean
